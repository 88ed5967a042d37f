"""How many numbers an answer holds: in the network that it makes, and in its code."""

from __future__ import annotations

import ast
import dis
import types
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

FREE = 500
"""Numbers that code may hold beside the parameters: sizes, places, constants."""

LONG_TEXT = 1000
"""Characters from which on a text in the code counts as numbers, four characters each."""

OWN = "n2n_lib.framework.module"
"""All of the library that a network may be made of, beside the student's answers."""


def look_into(network: Any, numbers: Tensor) -> tuple[int, bool]:
    """Count the numbers that can be reached from a network, and see if it holds a ready-made layer.

    Tensors and arrays count, wherever they hang: attributes, closures, defaults, globals of the
    notebook that its methods name. Gradients do not, and what shares its memory counts once.
    """
    pairs = [pair for pair in network.param()]
    gradients = {_memory(gradient) for _, gradient in pairs}
    given = _memory(numbers)
    sizes: dict[Any, int] = {}
    ready_made = False
    for thing in _reached(network):
        if isinstance(thing, Tensor):
            if _memory(thing) not in gradients:
                sizes[_memory(thing)] = thing.untyped_storage().nbytes() // thing.element_size()
        elif isinstance(thing, np.ndarray):
            sizes[id(thing)] = thing.size
        elif isinstance(thing, (bytes, bytearray, memoryview)):
            sizes[id(thing)] = len(thing) // 4
        elif isinstance(thing, (list, tuple, set, frozenset, dict)):
            items = thing.values() if isinstance(thing, dict) else thing
            sizes[id(thing)] = sum(type(item) in (int, float, complex) for item in items)
        ready_made |= _is_layer(thing)
    if given not in {_memory(parameter) for parameter, _ in pairs}:
        sizes.pop(given, None)  # it was copied from, and may still lie there
    return sum(sizes.values()), ready_made


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr() or id(tensor)


def _is_layer(thing: Any) -> bool:
    modules = {each.__module__ for each in type(thing).__mro__} - {OWN}
    return any(each.startswith(("n2n_lib.framework.", "torch.nn.modules")) for each in modules)


def _reached(root: Any) -> Iterator[Any]:
    """Yield everything that hangs on an object."""
    known: dict[int, Any] = {}
    todo = [root]
    while todo:
        thing = todo.pop()
        if id(thing) in known or isinstance(thing, (types.ModuleType, str, int, float)):
            continue
        known[id(thing)] = thing  # kept, or another could get its id
        yield thing
        todo += _inside(thing)


def _inside(thing: Any) -> Iterable[Any]:
    """Return what hangs directly on an object; of code, on that of the notebook alone."""
    if isinstance(thing, dict):
        return [*thing.keys(), *thing.values()]
    if isinstance(thing, (list, tuple, set, frozenset)):
        return thing
    if isinstance(thing, (Tensor, np.ndarray)):
        return vars(thing).values() if hasattr(thing, "__dict__") else ()
    if isinstance(thing, types.MethodType):
        return thing.__func__, thing.__self__
    if isinstance(thing, partial):
        return thing.func, thing.args, thing.keywords
    if isinstance(thing, (staticmethod, classmethod)):
        return (thing.__func__,)
    if isinstance(thing, property):
        return thing.fget, thing.fset
    if isinstance(thing, types.FunctionType):
        return _held_by(thing) if thing.__module__ == "__main__" else ()
    if isinstance(thing, type):
        return [*vars(thing).values(), *thing.__bases__] if thing.__module__ == "__main__" else ()
    slots = [name for each in type(thing).__mro__ for name in getattr(each, "__slots__", ())]
    held = [getattr(thing, name, None) for name in slots if isinstance(name, str)]
    return [*getattr(thing, "__dict__", {}).values(), *held, type(thing)]


def _held_by(function: types.FunctionType) -> list[Any]:
    """Return what a function holds: closure, defaults, and the globals that it names."""
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    names, codes = set(), [function.__code__]
    while codes:
        code = codes.pop()
        for step in dis.get_instructions(code):
            if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):  # `co_names` has attributes as well
                names.add(step.argval)
        codes += [each for each in code.co_consts if isinstance(each, types.CodeType)]
    space = function.__globals__
    named = [space[name] for name in sorted(names) if name in space]
    defaults = [function.__defaults__, function.__kwdefaults__, vars(function)]
    return [*cells, *named, *defaults]


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def written_in(sources: Iterable[str]) -> int:
    """Count the numbers that some code holds, beyond those that any code does."""
    count = 0
    for source in sources:
        try:
            nodes = list(ast.walk(ast.parse(source)))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue  # it is not run either
        for value in (node.value for node in nodes if isinstance(node, ast.Constant)):
            if isinstance(value, (int, float, complex)) and not isinstance(value, bool):
                count += 1
            elif isinstance(value, (str, bytes)) and len(value) > LONG_TEXT:
                count += len(value) // 4
    return max(0, count - FREE)

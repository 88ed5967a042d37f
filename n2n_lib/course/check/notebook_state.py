"""What a notebook's state tells of an answer: the cells that failed, and names that leak in.

A check is given a function, and so cannot see that a later version of it was never defined. The
kernel can: its events tell how every cell ended, with a history or without one, as under nbval.
"""

from __future__ import annotations

import ast
import dis
import functools
import inspect
import linecache
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import CodeType, FrameType, FunctionType
from typing import Any

import numpy as np
from torch import Tensor

from n2n_lib.course.cells import read_cell
from n2n_lib.course.check.exercise import EXERCISES, Exercise
from n2n_lib.course.check.words import listed, with_article
from n2n_lib.course.needed import DEFINITIONS, names_of

DEFINITION = re.compile(r"(?m)^([ \t]*)(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)")

DATA = (bool, int, float, complex, str, bytes, list, tuple, dict, set, range, Tensor, np.ndarray)
"""What counts as data of a notebook; functions, modules, networks and the like do not."""

STUB = "NotImplementedError"


@dataclass(frozen=True)
class Failure:
    """How the last cell ended that should have defined a name, and what the name is since."""

    error: str  # "a SyntaxError (line 3: `...`)"
    value: Any


@dataclass
class Cells:
    """What the cells that were run have done with the names that they define."""

    before: dict[str, Any] = field(default_factory=dict)  # of the running cell
    failed: dict[str, Failure] = field(default_factory=dict)
    defined: dict[str, Any] = field(default_factory=dict)
    rebound: dict[str, str] = field(default_factory=dict)  # by which line of a later cell

    def begin(self, cell: str, space: dict[str, Any]) -> None:
        """Remember what the names were before a cell runs."""
        self.before = {name: space.get(name) for name in defined_in(cell)}

    def end(self, cell: str, space: dict[str, Any], error: BaseException | None) -> None:
        """Remember what a cell has made of them."""
        before, self.before = self.before, {}
        names = defined_in(cell)
        for name in names:
            value = space.get(name)
            if error is not None and name in before and value is before[name]:
                self.failed[name] = Failure(_how_it_ended(error, cell, space), value)
                continue
            self.failed.pop(name, None)
            self.rebound.pop(name, None)
            self.defined[name] = value
        for name in self.defined.keys() - set(names):
            if space.get(name) is self.defined[name]:
                self.rebound.pop(name, None)
            elif name not in self.rebound:
                self.rebound[name] = _line_that_sets(name, cell)


cells = Cells()
"""What this kernel has seen."""


# ---------------------------------------------------------------------- the kernel


def kernel() -> Any:
    """Return the running IPython, None where there is none."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def kernel_namespace() -> dict[str, Any] | None:
    """Return the names of the running notebook, None where there is none."""
    return getattr(kernel(), "user_ns", None)


def executed(space: dict[str, Any]) -> list[str]:
    """Return the sources of the cells that were run.

    A program that runs them without a history, as nbval does, leaves them with the compiler.
    """
    if history := [cell for cell in space.get("In", ()) if isinstance(cell, str) and cell]:
        return history
    names = getattr(kernel().compile, "_filename_map", {})
    return ["".join(linecache.cache[name][2]) for name in names if name in linecache.cache]


def listen_to_kernel(failed: type[BaseException]) -> None:
    """Have the kernel, if there is one, tell how its cells end; calling this twice does no harm.

    Parameters
    ----------
    failed : type
        What a check raises; it knows how Jupyter shows a message.
    """
    shell = kernel()
    if shell is None or getattr(shell, "_n2n_listens", False):
        return
    with suppress(Exception):  # a program that is like IPython, and has no such events
        shell.events.register("pre_run_cell", _begin)
        shell.events.register("post_run_cell", _end)
        _explain_missing_names(shell, failed)
        shell._n2n_listens = True


def _begin(info: Any = None) -> None:
    with suppress(Exception):  # no cell may fail for what is only a help
        cells.begin(info.raw_cell, kernel_namespace() or {})


def _end(result: Any = None) -> None:
    with suppress(Exception):
        error = result.error_before_exec or result.error_in_exec
        cells.end(result.info.raw_cell, kernel_namespace() or {}, error)


def _explain_missing_names(shell: Any, failed: Any) -> None:
    """Show one line for a check that is run before its exercise, see `explain_missing`."""
    kinds, others = shell.custom_exceptions, shell.CustomTB

    def handler(
        shell: Any, kind: type, error: BaseException, trace: Any, tb_offset: int | None = None
    ) -> None:
        if kinds and isinstance(error, kinds):  # somebody's own
            others(kind, error, trace, tb_offset=tb_offset)
            return
        with suppress(Exception):
            if message := explain_missing(error, shell.user_ns):
                error._render_traceback_ = failed(message)._render_traceback_
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset, running_compiled_code=True)

    shell.set_custom_exc((*kinds, NameError), handler)


def explain_missing(error: BaseException, space: dict[str, Any]) -> str | None:
    """Return what to say to a check of a name that is not defined, None to any other error."""
    frames = list(traceback.walk_tb(error.__traceback__))
    own = [(frame, number) for frame, number in frames if frame.f_globals is space]
    if not own or own[-1] != frames[-1] or own[-1][0].f_code.co_name != "<module>":
        return None
    frame, number = own[-1]
    source = "".join(linecache.getlines(frame.f_code.co_filename))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.lineno <= number <= (node.end_lineno or 0):
            name = _checked(node, space)
            if name and name == getattr(error, "name", None):
                return _missing(name, EXERCISES[_exercise_of(node, name)])
    return None


def _checked(call: ast.Call, space: dict[str, Any]) -> str | None:
    """Return the name of the answer that a call of a check is given."""
    function = call.func
    if not isinstance(function, ast.Attribute) or not isinstance(function.value, ast.Name):
        return None
    module = space.get(function.value.id)
    if getattr(module, "__name__", "") != __package__ or not call.args:
        return None
    argument = call.args[0]
    is_check = function.attr in EXERCISES or function.attr == "go_on_with"
    if not is_check or not isinstance(argument, ast.Name):
        return None
    return argument.id if _exercise_of(call, argument.id) in EXERCISES else None


def _exercise_of(call: ast.Call, name: str) -> str:
    function = call.func
    if isinstance(function, ast.Attribute) and function.attr in EXERCISES:
        return function.attr
    named = call.args[1:2] + [word.value for word in call.keywords]
    return named[0].value if named and isinstance(named[0], ast.Constant) else name


def _missing(name: str, exercise: Exercise) -> str:
    definition = f"`{_word(exercise)} {name}`"
    if failure := cells.failed.get(name):
        return (
            f"{name} is not defined: the cell with {definition} ended in {failure.error}. Mend it, "
            "run it, then run this check again."
        )
    return f"{name} is not defined yet: run the cell with {definition} above first."


def _word(exercise: Exercise) -> str:
    return "class" if exercise.kind == "class" else "def"


# ---------------------------------------------------------------------- cells that failed


def defined_in(cell: str) -> list[str]:
    """Return the names that a cell defines by ``def`` and ``class``, even if it does not parse."""
    found = DEFINITION.findall(cell)
    least = min((len(indent) for indent, _ in found), default=0)
    return list(dict.fromkeys(name for indent, name in found if len(indent) == least))


def _how_it_ended(error: BaseException, cell: str, space: dict[str, Any]) -> str:
    """Name an error and the line of the cell that it is in."""
    what = with_article(type(error).__name__)
    if isinstance(error, SyntaxError):
        number, text = error.lineno, error.text
    else:
        own = [
            (number, linecache.getline(frame.f_code.co_filename, number))
            for frame, number in traceback.walk_tb(error.__traceback__)
            if frame.f_globals is space and frame.f_code.co_name == "<module>"
        ]
        number, text = own[-1] if own else (None, None)
    if not number:
        return what
    number += cell.lstrip().startswith("%%")  # as in %%time, which counts the lines below it
    text = (text or next(iter(cell.splitlines()[number - 1 : number]), "")).strip()
    return f"{what} (line {number}: `{text}`)" if text else f"{what} (line {number})"


def _line_that_sets(name: str, cell: str) -> str:
    """Return the first line of the last statement that binds a name, empty if none is seen to."""
    number, statements = 0, list(read_cell(cell).statements)
    while binding := [each for each in statements if name in names_of(each)[0]]:
        number = binding[-1].lineno
        statements = list(_statements_in(binding[-1]))
    return cell.split("\n")[number - 1].strip() if number else ""


def _statements_in(block: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements of a block; those of a function are none of the notebook."""
    if isinstance(block, DEFINITIONS):
        return
    for child in ast.iter_child_nodes(block):
        if isinstance(child, ast.stmt):
            yield child
        elif isinstance(child, (ast.ExceptHandler, ast.match_case)):
            yield from _statements_in(child)


# ---------------------------------------------------------------------- what is said of an answer


def failed_cell(exercise: Exercise, answer: Callable[..., Any]) -> str | None:
    """Say that the cell failed which should have defined an answer, None if that is not so."""
    space = kernel_namespace() or {}
    replaced = getattr(answer, "__module__", None) != space.get("__name__")  # by the library's
    for name, failure in cells.failed.items():
        if answer is failure.value or replaced and answer is space.get(name):
            return (
                f"{exercise.name}: the cell with `{_word(exercise)} {name}` ended in "
                f"{failure.error}, so your last changes are not in force: mend it, run it, then "
                "run this check again."
            )
    return None


def remarks(answer: Callable[..., Any]) -> str:
    """Return what to add to the message of a wrong answer, beginning with a space, or nothing."""
    space, text = kernel_namespace() or {}, ""
    for name, line in cells.rebound.items():
        if answer is space.get(name):
            by = f": `{line}`" if line else ""
            text = (
                f" A later cell has set `{name}` anew{by}. To have the one judged that you "
                "defined, run its cell again, then this check."
            )
    if leaks := borrowed(answer):
        text += f" It reads {listed([f'`{name}`' for name in leaks])} of the notebook, which "
        text += f"{'is' if len(leaks) == 1 else 'are'} none of its arguments."
    return text


def is_of(answer: Callable[..., Any]) -> Callable[[FrameType], bool]:
    """Return what tells the frames of an answer, and of the functions beside it, from others."""
    spaces = [function.__globals__ for function in _functions(answer)[:1]]
    return lambda frame: any(frame.f_globals is space for space in spaces)


def student_line(error: BaseException, answer: Callable[..., Any]) -> str:
    """Return the line of the notebook in which an answer was stopped, empty if it was in none."""
    theirs = is_of(answer)
    lines = [
        linecache.getline(frame.f_code.co_filename, number)
        for frame, number in traceback.walk_tb(error.__traceback__)
        if theirs(frame)
    ]
    return lines[-1].strip() if lines else ""


def leftover_stub(exercise: Exercise, answer: Callable[..., Any]) -> str | None:
    """Say of an answer that stops at an empty exercise's line where this is.

    None if the answer is nothing but this line, or it cannot be found.
    """
    known = False
    for function in _functions(answer):
        definition = _definition(function)
        if definition is None:
            return None
        body = definition.body[bool(ast.get_docstring(definition)) :]
        stubs = [n for n, statement in enumerate(body) if _is_stub(statement)]
        known = known or any(_is_stub(node) for node in ast.walk(definition))
        if not stubs or len(body) == 1:
            continue
        first = stubs[0]
        method = f" in `{definition.name}`" if exercise.kind == "class" else ""
        raises = body[first]
        line = "the line `raise NotImplementedError` is"
        if (raises.end_lineno or 0) > raises.lineno:
            line = "the lines of `raise NotImplementedError(...)` are"
        them = "them" if line.endswith("are") else "it"
        if all(_is_stub(statement) for statement in body[first:]):
            place = ", below your code"
            if not any(isinstance(n, ast.Return) for s in body for n in ast.walk(s)):
                place += ", which returns nothing" * (exercise.in_place is None and not method)
        else:
            place = ", above your code"
        return f"{exercise.name}: {line} still there{method}{place}: delete {them}."
    if known:
        return None
    for called, other in _globals_read(answer):
        definition = _definition(other) if isinstance(other, FunctionType) else None
        if definition is not None and any(_is_stub(s) for s in definition.body):
            return f"{exercise.name}: it calls `{called}`, which is not written yet."
    return None


def _is_stub(node: ast.AST) -> bool:
    if not isinstance(node, ast.Raise):
        return False
    raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    return isinstance(raised, ast.Name) and raised.id == STUB


def _definition(function: Callable[..., Any]) -> ast.FunctionDef | None:
    """Return the tree of a function's text, None if it has none or is no ``def``."""
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    return tree if isinstance(tree, ast.FunctionDef) else None


def _functions(answer: Any) -> list[FunctionType]:
    """Return an answer, or the methods that it defines as a class."""
    if not isinstance(answer, type):
        answer = inspect.unwrap(answer)
        return [answer] if isinstance(answer, FunctionType) else []
    found = []
    for held in vars(answer).values():
        held = getattr(held, "fget", None) or getattr(held, "__func__", held)
        if isinstance(held, FunctionType) and held.__module__ == answer.__module__:
            found.append(held)
    return found


# ---------------------------------------------------------------------- names that leak in


def borrowed(answer: Callable[..., Any]) -> list[str]:
    """Return the data of the notebook that an answer reads, by name.

    Constants in capitals of its own cell are a part of it, and what is imported is no data.
    """
    found = [
        (name, value)
        for name, value in _globals_read(answer)
        if isinstance(value, DATA) or value is None
    ]
    if not found:
        return []
    functions = _functions(answer)
    own = "".join(linecache.getlines(functions[0].__code__.co_filename))
    constants = {name for name in _bound(own, ast.Assign, ast.AnnAssign) if name.isupper()}
    space = functions[0].__globals__
    texts = executed(space) if space is kernel_namespace() else [own]
    imported = {name for text in texts for name in _bound(text, ast.Import, ast.ImportFrom)}
    return [name for name, _ in found if name not in constants | imported]


def _globals_read(answer: Any) -> Iterator[tuple[str, Any]]:
    """Yield the global names, with their values, that the code of an answer reads."""
    seen = set()
    for function in _functions(answer):
        space = function.__globals__
        for name in _names_read(function.__code__):
            if name in space and name not in seen and not name.startswith("__"):
                seen.add(name)
                yield name, space[name]


def _names_read(code: CodeType) -> Iterator[str]:
    steps = list(dis.get_instructions(code))
    written = {step.argval for step in steps if step.opname == "STORE_GLOBAL"}
    for step in steps:
        if step.opname == "LOAD_GLOBAL" and step.argval not in written:
            yield step.argval
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names_read(inner)


@functools.lru_cache(maxsize=512)  # every wrong answer asks it of every cell that has been run
def _bound(text: str, *kinds: type) -> frozenset[str]:
    """Return the names that the statements of some kinds bind in a text."""
    try:
        tree = ast.parse(text)
    except SyntaxError:  # a cell with magics, or one that failed
        return frozenset()
    names = set()
    for statement in tree.body:
        if not isinstance(statement, kinds):
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.alias):
                names.add(node.asname or node.name.partition(".")[0])
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
    return frozenset(names)

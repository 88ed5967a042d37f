"""The source of a student's answer, with everything that it needs.

It comes from the cells that the kernel has executed, whichever program shows the notebook; outside
of a notebook, from the file.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Any

from n2n_lib.course.check.blocks import (
    Block,
    Collision,
    imports_of,
    renamed,
    stand_in,
    without_namespace,
)
from n2n_lib.course.check.exercise import EXERCISES
from n2n_lib.course.check.judge import is_our_version
from n2n_lib.course.check.notebook_state import executed, kernel_namespace
from n2n_lib.course.needed import needed, parse, touched_by

HANDING_ON = ("answers", "go_on_with")
"""Functions of the check that return answers."""

LOADED = "mine"
"""The module that answers are in that were collected, and loaded again."""

MARKER = re.compile(r"(?m)^[ \t]*### (?:BEGIN|END) SOLUTION[ \t]*\n?")


class NotCollectable(Exception):
    """An answer that is right, but not by its text alone; the message says why."""


class Answers:
    """The answers to exercises by their names, what `answers` returns."""

    def __init__(self, yours: dict[str, Any], others: dict[str, Any]) -> None:
        self._yours = tuple(yours)
        vars(self).update(yours | others)

    def __repr__(self) -> str:
        names = [name for name in vars(self) if not name.startswith("_")]
        return f"Answers({', '.join(names)})"


def needs_of(name: str, answer: Callable[..., Any]) -> list[Block]:
    """Return the blocks of an answer to an exercise, last the one that defines it.

    Parameters
    ----------
    name : str
        Of the exercise, which the answer gets for a name.
    answer : callable
        The student's function or class.

    Raises
    ------
    NotCollectable
        If its text is not there, or needs something that is no text.
    """
    called = getattr(answer, "__name__", "")
    cells = _cells(answer)
    namespace = _namespace(answer)
    handed = _handed_out(namespace)
    spaces = {key: value for key, value in namespace.items() if isinstance(value, Answers)}
    given = {*handed, *spaces} - {called}
    blocks = _found(cells, called, given, partial(_is_beside, namespace=namespace))
    if not any(called in block.bound for block in blocks):
        raise NotCollectable("its source was not found")
    try:
        blocks = _by_name(blocks, handed, spaces)
        if called != name:
            blocks = [renamed(block, called, name) for block in blocks]
    except Collision as error:
        raise NotCollectable(f"its name `{error}` means two things") from None
    _check(blocks)
    return [block for block in blocks if name not in block.bound] + [
        block for block in blocks if name in block.bound
    ]


def _found(
    cells: Sequence[str], name: str, given: set[str], skip: Callable[[ast.stmt], bool]
) -> list[Block]:
    """Return the blocks that a name needs, in the order in which they were run."""
    found: dict[tuple[int, int, str], Block] = {}
    waiting, seen = {name}, set(given)
    while waiting := waiting - seen:
        wanted = waiting.pop()
        seen.add(wanted)
        for number, statement in needed(cells, wanted, given, skip, late=waiting):
            for block in _blocks(cells[number], statement):
                found[number, statement.lineno, block.text] = block
    ordered = [found[place] for place in sorted(found)]
    return list({block.plain: block for block in ordered}.values())  # a cell may run twice


def _namespace(answer: Callable[..., Any]) -> dict[str, Any]:
    """Return the global names that an answer sees."""
    space = kernel_namespace() or {}
    if answer.__module__ == space.get("__name__"):
        return space
    return vars(sys.modules.get(answer.__module__, builtins))


def _cells(answer: Callable[..., Any]) -> list[str]:
    """Return the sources that an answer may need, that of its definition among them."""
    space = _namespace(answer)
    if space is kernel_namespace():
        return executed(space)
    sources = []
    for thing in (sys.modules.get(answer.__module__), answer):  # its own, last, counts
        with suppress(OSError, TypeError):
            sources.append(textwrap.dedent(inspect.getsource(thing)))
    return sources


def _handed_out(namespace: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """Return names that stand for collected answers: of which exercise, and if the library's."""
    handed = {}
    for key, value in namespace.items():
        for name, exercise in EXERCISES.items():
            if is_our_version(exercise, value) and getattr(value, "exercise", exercise) is exercise:
                handed[key] = name, True
        if getattr(value, "__module__", "") == LOADED:
            if getattr(value, "__name__", "") in EXERCISES:
                handed[key] = value.__name__, False
    return handed


def _is_beside(statement: ast.stmt, namespace: dict[str, Any]) -> bool:
    """Whether a statement adds nothing to an answer.

    It hands answers on, as ``f = check.go_on_with(f)`` and ``f = answers.f`` do, or calls a
    function of a module, as ``torch.manual_seed(0)``.
    """
    if isinstance(statement, ast.Assign):
        for node in ast.walk(statement.value):
            if isinstance(node, ast.Attribute) and node.attr in HANDING_ON:
                return True
            if isinstance(node, ast.Name) and isinstance(namespace.get(node.id), Answers):
                return True
    touched = touched_by(statement)
    return bool(touched) and all(isinstance(namespace.get(n), ModuleType) for n in touched)


def _blocks(cell: str, statement: ast.stmt) -> list[Block]:
    """Return a statement as the student wrote it, without what the course put into it."""
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return [Block(text) for text in imports_of(statement)]
    lines = cell.splitlines()
    decorators = getattr(statement, "decorator_list", [])
    first = min([statement.lineno, *(decorator.lineno for decorator in decorators)]) - 1
    others = [s for s in parse(cell) if s.lineno <= statement.end_lineno and s.end_lineno > first]
    if len(others) > 1:
        return [Block(ast.unparse(statement))]
    last = first
    while first and lines[first - 1].startswith("#"):
        first -= 1
    above = [line for line in lines[first:last] if not line.startswith(("# %", "#%"))]
    text = "\n".join([*above, *lines[last : statement.end_lineno]])
    return [Block(MARKER.sub("", _without_hint(text) + "\n").strip("\n"))]


def _without_hint(text: str) -> str:
    """Cut the hint off the docstring of an exercise: students have notebooks that held one."""
    statement = ast.parse(text).body[0]
    if not isinstance(statement, (ast.FunctionDef, ast.ClassDef)) or not ast.get_docstring(
        statement
    ):
        return text
    lines, docstring = text.splitlines(), statement.body[0]
    first, end = docstring.lineno - 1, docstring.end_lineno
    inside = lines[first:end]
    starts = [index for index, line in enumerate(inside) if line.strip().startswith("Hint: ")]
    if not starts or not inside[-1].rstrip().endswith('"""'):
        return text
    kept = "\n".join(inside[: starts[0]]).rstrip().splitlines()
    quotes = '"""' if len(kept) == 1 else "\n" + " " * docstring.col_offset + '"""'
    return "\n".join([*lines[:first], "\n".join(kept) + quotes, *lines[end:]])


def _by_name(
    blocks: list[Block], handed: dict[str, tuple[str, bool]], spaces: dict[str, Answers]
) -> list[Block]:
    """Let blocks ask for collected answers by the names of the exercises, and add the library's."""
    library: dict[str, bool] = {}
    result = []
    for block in blocks:
        for key, space in spaces.items():
            block, asked = without_namespace(block, key)
            library |= {name: name not in space._yours for name in asked}
        for key in sorted(block.used & handed.keys()):
            block = renamed(block, key, handed[key][0])
            library[handed[key][0]] = handed[key][1]
        result.append(block)
    if unknown := sorted(library.keys() - EXERCISES.keys()):
        raise NotCollectable(f"it uses `{unknown[0]}`, which is no exercise")
    stand_ins = [stand_in(name) for name in sorted(library) if library[name]]
    return stand_ins + result


def _check(blocks: Sequence[Block]) -> None:
    """Refuse what a notebook has computed: only Python and torch may be called by a constant."""
    own = {name for block in blocks if block.is_definition for name in block.bound}
    theirs = {
        name
        for block in blocks
        if block.module is not None and not block.module.startswith("n2n_lib")
        for name in block.bound
    }
    free = own | theirs | set(vars(builtins))
    known = free.union(EXERCISES, ["__name__"], *(block.bound for block in blocks))
    for block in blocks:
        if unknown := sorted(block.used - known):
            raise NotCollectable(f"it uses `{unknown[0]}`, whose source was not found")
        if block.module is not None or block.is_definition:
            continue
        calls = [n for s in block.statements for n in ast.walk(s) if isinstance(n, ast.Call)]
        if block.is_assignment and all(_root(call.func) in free for call in calls):
            continue
        asked = set().union(*(other.used for other in blocks if other is not block))
        changed = block.bound | block.touched
        name = sorted(changed & asked or changed)[0]
        raise NotCollectable(f"it uses `{name}`, which the notebook computes")


def _root(node: ast.expr) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""

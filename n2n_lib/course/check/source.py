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
from typing import Any

from n2n_lib.course.check.blocks import Block, Collision, imports_of, renamed, without_namespace
from n2n_lib.course.check.exercise import EXERCISES
from n2n_lib.course.needed import names_of, needed, parse

NAMESPACES = ("answers", "go_on_with")
"""Calls of the check that bind names to answers."""

MARKER = re.compile(r"(?m)^[ \t]*### (?:BEGIN|END) SOLUTION[ \t]*\n?")

PLACEHOLDER = 'from n2n_lib.course import check\n{name} = check.EXERCISES["{name}"].solution'
"""What stands for an answer that another one needs and that is not there."""


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


def kernel_namespace() -> dict[str, Any] | None:
    """Return the names of the running notebook, None where there is none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "user_ns", None)


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
    namespace = vars(sys.modules.get(answer.__module__, builtins))
    ours = {key for key, value in namespace.items() if isinstance(value, Answers)}
    ours |= {key for key, value in namespace.items() if _is_library_version(value)}
    statements = needed(cells, called, given=ours - {called}, skip=_goes_on)
    texts = [_blocks(cells[number], statement) for number, statement in statements]
    blocks = [block for each in texts for block in each]
    if not any(called in block.bound for block in blocks):
        raise NotCollectable("its source was not found in the cells that were run")
    try:
        blocks = _by_name(blocks, namespace, ours - {called})
        if called != name:
            blocks = [renamed(block, called, name) for block in blocks]
    except Collision as error:
        raise NotCollectable(f"its name `{error}` means two things") from None
    _check(blocks)
    return [block for block in blocks if name not in block.bound] + [
        block for block in blocks if name in block.bound
    ]


def _cells(answer: Callable[..., Any]) -> list[str]:
    """Return the sources that an answer may need, that of its definition among them."""
    name, space = getattr(answer, "__name__", ""), kernel_namespace()
    if space is not None and answer.__module__ == space.get("__name__"):
        return [cell for cell in space.get("In", ()) if isinstance(cell, str)]
    try:
        if answer.__qualname__ == name:
            return [inspect.getsource(sys.modules[answer.__module__])]
        return [textwrap.dedent(inspect.getsource(answer))]
    except (OSError, TypeError, KeyError, AttributeError):
        raise NotCollectable("its source was not found") from None


def _goes_on(statement: ast.stmt) -> bool:
    """Whether a statement hands an answer on: ``f = check.go_on_with(f)``."""
    value = getattr(statement, "value", None)
    return (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Attribute)
        and value.func.attr in NAMESPACES
    )


def _is_library_version(value: Any) -> bool:
    exercise = getattr(value, "exercise", None)
    if exercise is not None and type(value).__name__ == "LibraryVersion":
        return True
    return isinstance(value, type) and any(value is each.solution for each in EXERCISES.values())


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
    """Cut the hint off the docstring of an exercise."""
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


def _by_name(blocks: list[Block], namespace: dict[str, Any], ours: set[str]) -> list[Block]:
    """Let blocks ask for answers by their names, and add those that are the library's."""
    spaces = {key: namespace[key] for key in ours if isinstance(namespace[key], Answers)}
    missing, result = {}, []
    for block in blocks:
        for key, space in spaces.items():
            block, asked = without_namespace(block, key)
            for exercise in sorted(asked):
                missing[exercise] = exercise not in space._yours
        for key in sorted(block.used & (ours - spaces.keys())):
            missing[key] = True
        result.append(block)
    for name, library in missing.items():
        if name not in EXERCISES:
            raise NotCollectable(f"it uses `{name}`, which is no exercise")
        if library:
            texts = PLACEHOLDER.format(name=name).splitlines()
            result = [*map(Block, texts), *result]
        # else it stands in mine.py already, from which it is not taken out any more
    return result


def _check(blocks: Sequence[Block]) -> None:
    """Refuse what a notebook has computed."""
    known = set().union(*(block.bound for block in blocks)) | set(vars(builtins)) | set(EXERCISES)
    free = {
        alias
        for block in blocks
        if block.module is not None and block.module.partition(".")[0] != "n2n_lib"
        for alias in block.bound
    }
    free |= set(vars(builtins))
    for block in blocks:
        for statement in block.statements:
            if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                free |= names_of(statement)[0]
    for block in blocks:
        if unknown := sorted(block.used - known - {"__name__"}):
            raise NotCollectable(f"it uses `{unknown[0]}`, whose source was not found")
        for statement in block.statements:
            if (
                isinstance(statement, (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom))
                or ".EXERCISES[" in block.text
            ):
                continue
            what = sorted(block.bound | block.touched) or ["a statement"]
            if not isinstance(statement, (ast.Assign, ast.AnnAssign)):
                raise NotCollectable(f"it uses `{what[0]}`, which the notebook computes")
            for node in ast.walk(statement):
                if isinstance(node, ast.Call) and _root(node.func) not in free:
                    raise NotCollectable(f"it uses `{what[0]}`, which the notebook computes")


def _root(node: ast.expr) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""

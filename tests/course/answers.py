"""A student's answers to the exercises of the lessons, for the tests of checks and guides.

An answer is text, put in the place of the solution in the lesson's own cell: so it meets the
signature and the imports that a student meets. Of a class it takes the place of all that is below
the docstring.
"""

from __future__ import annotations

import ast
import contextlib
import math
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest

from n2n_lib.course import check
from n2n_lib.course.check import CheckFailed
from n2n_lib.course.check.exercise import Answer
from n2n_lib.course.check.outcome import Elsewhere
from n2n_lib.course.notebooks import find_lessons

LESSONS = find_lessons(Path(__file__).resolve().parents[2] / "notebooks")
SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION\n(.*?)### END SOLUTION", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """Where a lesson asks for an answer: its file, imports, cell, and the name defined in it."""

    lesson: Path
    imports: str
    cell: str
    function: str


def read_exercises() -> dict[str, Place]:
    """Find every check that a lesson calls.

    Raises if a check is called on anything but the function or class of the cell before.
    """
    found = {}
    for path in LESSONS:
        lesson = nbformat.read(path, as_version=4)
        cells = [cell.source for cell in lesson.cells if cell.cell_type == "code"]
        imports = "\n".join(
            re.findall(r"(?m)^(?:import|from) (?:[^(\n]*$|[^)]*\))", "\n".join(cells))
        )
        for before, cell in zip(cells, cells[1:], strict=False):
            for name, argument in re.findall(r"\bcheck\.(?!go_on_with)(\w+)\((\w+)\)", cell):
                defined = re.search(rf"(?m)^(def|class) {argument}\b", before)
                assert SOLUTION.search(before) and defined, (path.name, name)
                assert name not in found, f"{name} is checked twice"
                if name in check.HAND_INS:  # measured, and not compared with a solution
                    continue
                found[name] = Place(path, imports, before, argument)
    return found


PLACES = read_exercises()


def student(name: str, answer: Answer | None = None) -> Callable:
    """Return the lesson's function or class, with its own solution or another answer in place."""
    cell = PLACES[name].cell
    if answer is not None:
        cell = answered(cell, check.EXERCISES[name].text_of(answer))
    return _run(name, cell)


def untouched(name: str) -> Callable:
    """Return the lesson's function or class without its solution."""
    return _run(name, emptied(PLACES[name].cell))


def answered(cell: str, text: str) -> str:
    """Return an exercise's cell with another answer."""
    body = textwrap.indent(text, "    ")
    (definition,) = ast.parse(cell).body
    if isinstance(definition, ast.ClassDef):
        return "\n".join([*cell.splitlines()[: definition.body[0].end_lineno], body])
    return SOLUTION.sub(lambda _: body, cell)


def emptied(cell: str) -> str:
    """Return an exercise's cell whose solution, or each part of it, is still to be written."""
    return SOLUTION.sub(r"\1raise NotImplementedError", cell)


def _run(name: str, cell: str) -> Callable:
    place = PLACES[name]
    names: dict = {"math": math}
    names |= {other: each.solution for other, each in check.EXERCISES.items()}  # what it builds on
    names["answers"] = SimpleNamespace(**names)
    exec(place.imports, names)
    exec(cell, names)
    return names[place.function]


def judge(name: str, function: Callable) -> str:
    """Return the message of a check that must fail, to a function of this name."""
    with contextlib.suppress(AttributeError):  # a built-in function keeps its own
        function.__name__ = name
    with pytest.raises(CheckFailed) as caught:
        check.EXERCISES[name](function)
    return str(caught.value)


class ByTorch(Elsewhere):
    """PyTorch in place of a student: its own functions are what a student may not use."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

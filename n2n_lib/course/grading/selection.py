"""Put together what is run for an answer: the statements that the graded function needs."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from n2n_lib.course.grading.grades import Piece
from n2n_lib.course.grading.tasks import Task
from n2n_lib.course.needed import needed


@dataclass
class Answer:
    """What a student hands in for one exercise.

    Attributes
    ----------
    pieces : list of Piece
        The statements that the function needs: the lesson's own before the exercise, and the
        student's up to the check.
    remarks : list of str
        What was done to the check.
    """

    pieces: list[Piece]
    remarks: list[str]


def select(task: Task, cells: Sequence[dict]) -> Answer:
    """Select what a student's answer to an exercise needs."""
    remarks, place = [], _place(cells, task.check_cell)
    if place is None:
        remarks.append("the check was deleted; the instructor's was used")
    elif cells[place]["source"].strip() != task.check_source.strip():
        remarks.append("the check was changed; the instructor's was used")
    elif any(cells[place]["nbgrader"].get(k) != v for k, v in task.check_metadata.items()):
        remarks.append("the metadata of the check was changed; the instructor's was used")
    own = cells[:place]
    sources = [*task.before, *(cell["source"] for cell in own)]
    origins = ["lesson"] * len(task.before) + [_origin(task, cell) for cell in own]
    pieces = [
        Piece(origins[number], number, *_lines(sources[number], statement))
        for number, statement in needed(sources, task.function, skip=_is_check)
    ]
    return Answer(pieces, remarks)


def _origin(task: Task, cell: dict) -> str:
    if task.cell in (cell["id"], cell["nbgrader"].get("grade_id")):
        return "exercise"
    defines = re.compile(rf"\b(?:def|class)\s+{task.function}\b")
    return "exercise" if defines.search(cell["source"]) else "yours"


def _lines(source: str, statement: ast.stmt) -> tuple[int, str]:
    """Return the number of the first line of a statement, and its lines."""
    return statement.lineno, ast.unparse(statement)


def _is_check(statement: ast.stmt) -> bool:
    """Whether a statement checks another answer, ``check.relu(relu)``, which none waits for."""
    call = getattr(statement, "value", None)
    return (
        isinstance(statement, ast.Expr)
        and isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "check"
    )


def _place(cells: Sequence[dict], name: str) -> int | None:
    """Return where the cell of that id is, the last one if it was copied."""
    found = [i for i, c in enumerate(cells) if name in (c["id"], c["nbgrader"].get("grade_id"))]
    return found[-1] if found else None

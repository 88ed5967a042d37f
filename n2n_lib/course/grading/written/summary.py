"""Say in a few lines, or as plain data, what came of grading a class."""

from __future__ import annotations

from collections.abc import Sequence

from n2n_lib.course.grading.grades import Grade
from n2n_lib.course.grading.written.outputs import Outputs
from n2n_lib.course.grading.written.sheets import visible

MOST_DOUBTFUL = 10
"""Answers to look at that are listed; the others are counted."""


def doubtful(grades: Sequence[Grade]) -> list[tuple[str, str]]:
    """Return student and exercise of each answer that somebody should look at, and has not."""
    return [
        (done.student, column)
        for done in grades
        for column, mark in done.marks.items()
        if mark.doubtful
    ]


def summary_lines(grades: Sequence[Grade], outputs: Outputs) -> list[str]:
    """Return what to say below the points of a class.

    Parameters
    ----------
    grades : sequence of Grade
        As `Outputs.write` returned them.
    outputs : Outputs
        What wrote them.
    """
    lines, found = list(outputs.lines), doubtful(grades)
    if found:
        lines.append("0 points, look at it:")
        lines += [f"  {visible(name)}: {column}" for name, column in found[:MOST_DOUBTFUL]]
    if len(found) > MOST_DOUBTFUL:
        lines.append(f"  and {len(found) - MOST_DOUBTFUL} more, see the remarks")
    if outputs.feedback is not None:
        lines.append(f"pages of feedback: {outputs.feedback}")
    return lines


def summary(grades: Sequence[Grade], outputs: Outputs) -> dict:
    """Return the same facts as plain data: ``lines``, ``doubtful`` and ``students``."""
    students = {
        done.student: {
            "total": done.total,
            "remarks": done.remarks,
            "points": {column: mark.points for column, mark in done.marks.items()},
            "adjustment": done.adjustment,
            "comment": done.comment,
            "handed_in": done.handed_in,
            "ids": done.ids,
        }
        for done in grades
    }
    looked_at = [{"student": name, "exercise": column} for name, column in doubtful(grades)]
    return {"lines": outputs.lines, "doubtful": looked_at, "students": students}

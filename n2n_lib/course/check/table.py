"""The table of cases that a check prints, and how values are described in it."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from n2n_lib.course.check.exercise import Exercise
from n2n_lib.course.check.outcome import Outcome
from n2n_lib.course.check.showing import apart

WIDTH = 96
"""Of a line of a message, in characters."""

MANY = 3
"""More values of a case than so many, and the right ones share a row."""

COLUMNS = (30, 26, 25)
"""Width of each column, at most; the verdict comes after them."""


def draw_table(exercise: Exercise, outcomes: list[Outcome]) -> str:
    """Draw one row for each value of each case; of many values, those that are right in one row."""
    rows = [("case", "expected", "got", "verdict")]
    for outcome in outcomes:
        found = [_row(exercise, outcome, index) for index in range(len(outcome.expected))]
        right = [row for row in found if row[3] == "right"]
        if len(found) > MANY and len(right) > 1:
            found = [row for row in found if row[3] != "right"]
            found.append((f"{outcome.case.name}: {len(right)} values", "", "", "right"))
        rows += found
    rows = [(*map(cut, row[:3], COLUMNS), row[3]) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )


def _row(exercise: Exercise, outcome: Outcome, index: int) -> tuple[str, str, str, str]:
    """Describe one value of a case."""
    expected, verdict = outcome.expected[index], outcome.verdicts[index]
    which, count = "", len(outcome.expected)
    if count > 1:
        which = f": {exercise.name_of(index, count)}"
        if exercise.in_place:
            which += f" {index % (count // len(exercise.returns))}"
    label = cut(outcome.case.name, max(COLUMNS[0] - len(which), 8)) + which
    texts = (describe(expected), describe(outcome.returned))
    if outcome.error is not None:
        texts = (describe(expected), type(outcome.error).__name__)
    elif verdict != "wrong count":
        texts = _compare(exercise, expected, outcome.got[index], verdict)
    if verdict == "right" and outcome.changed:
        verdict = "input changed"
    elif verdict == "right" and not outcome.allowed:
        verdict = "not allowed"
    return label, *texts, verdict


def cut(text: str, width: int) -> str:
    """Shorten a text to a width."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _compare(exercise: Exercise, expected: Any, got: Any, verdict: str) -> tuple[str, str]:
    """Describe both sides of a row: shapes, or the first number that differs."""
    if verdict == "wrong dtype":
        return str(expected.dtype), str(got.dtype)
    if verdict == "wrong number":
        return apart(expected, got)
    if verdict not in ("wrong numbers", "not finite"):
        return describe(expected), describe(got)
    where = tuple(exercise.wrong(expected, got).nonzero()[0].tolist())
    place = " at [" + ", ".join(map(str, where)) + "]" if where else ""  # of one number, none
    one, other = apart(expected[where].item(), got[where].item())
    return one + place, other


def describe(value: Any) -> str:
    """Describe a value in few characters: the shape of a tensor, the value of a number."""
    if isinstance(value, Tensor):
        return f"shape {tuple(value.shape)}"
    if isinstance(value, (bool, int)) or value is None:
        return str(value)
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__} of {len(value)}"
    return type(value).__name__

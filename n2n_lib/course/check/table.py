"""The table of cases that a check prints, and how values are described in it."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from n2n_lib.course.check.exercise import Exercise
from n2n_lib.course.check.outcome import Outcome

WIDTH = 96
"""Of a line of a message, in characters."""

COLUMNS = (36, 26, 20)
"""Width of each column, at most; the verdict comes after them."""


def draw_table(exercise: Exercise, outcomes: list[Outcome]) -> str:
    """Draw one row for each value of each case."""
    rows = [("case", "expected", "got", "verdict")]
    for outcome in outcomes:
        for index, (expected, verdict) in enumerate(
            zip(outcome.expected, outcome.verdicts, strict=True)
        ):
            label = outcome.case.name
            if exercise.in_place and len(outcome.expected) > 1:
                share = len(outcome.expected) // len(exercise.returns)
                label += f": {exercise.returns[index // share]} {index % share}"
            elif len(exercise.returns) > 1:
                label += f": {exercise.returns[index]}"
            texts = (describe(expected), describe(outcome.returned))
            if outcome.error is not None:
                texts = (describe(expected), type(outcome.error).__name__)
            elif verdict != "wrong count":
                texts = _compare(exercise, expected, outcome.got[index], verdict)
            if verdict == "right" and outcome.changed:
                verdict = "input changed"
            rows.append((label, *texts, verdict))
    rows = [(*map(cut, row[:3], COLUMNS), row[3]) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )


def cut(text: str, width: int) -> str:
    """Shorten a text to a width."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _compare(exercise: Exercise, expected: Any, got: Any, verdict: str) -> tuple[str, str]:
    """Describe both sides of a row: shapes, or the first number that differs."""
    if verdict == "wrong dtype":
        return str(expected.dtype), str(got.dtype)
    if verdict not in ("wrong numbers", "not finite"):
        return describe(expected), describe(got)
    where = tuple(exercise.wrong(expected, got).nonzero()[0].tolist())
    place = "[" + ", ".join(map(str, where)) + "]"
    return f"{expected[where].item():.4g} at {place}", f"{got[where].item():.4g}"


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

"""Grades made by hand, for tests of what becomes of them."""

from __future__ import annotations

import csv
from pathlib import Path

from n2n_lib.course.grading.grades import Grade, Mark

FORWARD, BACKWARD = "03/conv2d-forward", "03/conv2d-backward"


def made(student: str, *points: float, **ids: str) -> Grade:
    """A grade of two exercises, of 3 and 2 points."""
    results = ["right" if each else "wrong" for each in points or (3, 0)]
    marks = [
        Mark(each, maximum, result)
        for each, maximum, result in zip(points or (3, 0), (3, 2), results, strict=True)
    ]
    return Grade(student, "digest", dict(zip((FORWARD, BACKWARD), marks, strict=True)), ids=ids)


def rows(path: Path) -> dict[str, dict[str, str]]:
    """The rows of a table by its first column, read by Python's own reader."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return {next(iter(row.values())): row for row in csv.DictReader(file)}


def edited(path: Path, *pairs: tuple[str, str]) -> None:
    """Replace texts in a file, as somebody does with an editor."""
    text = path.read_bytes().decode("utf-8-sig")
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_bytes(text.encode("utf-8-sig"))

"""Write the table of a class."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from n2n_lib.course.grading.grades import Grade
from n2n_lib.support.files import write_atomically


def write_csv(path: str | os.PathLike, grades: Sequence[Grade]) -> Path:
    """Write one row for each student: name, points of each exercise, total, maximum, remarks.

    Parameters
    ----------
    path : path-like
        The file; it is written whole or not at all.
    grades : sequence of Grade
        All of the same exercises.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    columns = list(grades[0].marks)
    writer.writerow(["student", *columns, "total", "maximum", "remarks"])
    for done in grades:
        points = [f"{done.marks[column].points:g}" for column in columns]
        totals = [f"{done.total:g}", f"{done.maximum:g}"]
        writer.writerow([_inert(done.student), *points, *totals, _inert("; ".join(done.remarks))])
    content = text.getvalue().encode("utf-8-sig", errors="replace")  # so that Excel reads it too
    return write_atomically(path, lambda file: file.write(content))


def _inert(text: str) -> str:
    """Keep a spreadsheet from taking a text for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text

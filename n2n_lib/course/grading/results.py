"""Write what grading found: a table for the instructor, a page for each student."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from n2n_lib.support.files import write_atomically

LONGEST = 20_000
"""Characters of a student's code that are shown, at most."""


@dataclass
class Mark:
    """What one answer is worth.

    Attributes
    ----------
    points, maximum : float
        What was reached, and what could be.
    result : str
        ``right``, ``wrong``, ``not written``, ``no result`` or ``missing``.
    message, table : str
        What the check says.
    code : str
        The student's cell.
    remarks : list of str
        What was done to the check, and why there is no result.
    """

    points: float
    maximum: float
    result: str
    message: str = ""
    table: str = ""
    code: str = ""
    remarks: list[str] = field(default_factory=list)


@dataclass
class Grade:
    """What a student gets.

    Attributes
    ----------
    student : str
        Name.
    digest : str
        Of what was handed in, see `Submission`.
    marks : dict of str to Mark
        By exercise, ``03/conv2d-forward``.
    unread : list of str
        What could not be read, and why.
    """

    student: str
    digest: str
    marks: dict[str, Mark]
    unread: list[str] = field(default_factory=list)

    @property
    def remarks(self) -> list[str]:
        """All that an instructor should know beside the points."""
        found = list(self.unread)
        for column, mark in self.marks.items():
            found += [f"{column}: {remark}" for remark in mark.remarks]
            if mark.result in ("wrong", "not written"):
                found.append(f"{column}: {mark.result}")
        return found

    @property
    def notes(self) -> list[str]:
        """The remarks without the results, for a page that shows these in a table."""
        marks = self.marks.items()
        return self.unread + [f"{column}: {each}" for column, m in marks for each in m.remarks]

    @property
    def total(self) -> float:
        """Sum of the points."""
        return sum(mark.points for mark in self.marks.values())

    @property
    def maximum(self) -> float:
        """Sum of what could be reached."""
        return sum(mark.maximum for mark in self.marks.values())


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


def write_feedback(path: str | os.PathLike, done: Grade) -> Path:
    """Write a page that tells a student what was right, what was not, and why.

    The page needs no other file, holds no script, and shows everything of the student as text.

    Parameters
    ----------
    path : path-like
        The file; it is written whole or not at all.
    done : Grade
        Of the student.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("feedback.html").render(done=done, longest=LONGEST)
    return write_atomically(path, lambda file: file.write(page.encode(errors="replace")))

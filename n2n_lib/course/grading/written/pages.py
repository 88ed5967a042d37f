"""Write the pages of feedback: one for each student, and one on the class for the instructor."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from n2n_lib.course.grading.grades import Grade, Mark, Piece
from n2n_lib.course.grading.written.revealed import reveal, reveal_code
from n2n_lib.course.lessons import TOPICS, label_of
from n2n_lib.support.files import file_names, write_atomically

INDEX = "index.html"
"""Name of the page on the class."""

_BINS = 10
"""Bars of the distribution of totals."""

_LONGEST_MESSAGE = 160
"""Characters of a message on the page of the class; the whole one is on the student's."""

_WORDS = {
    "right": "Right",
    "partly": "Partly",
    "wrong": "Wrong",
    "not written": "Not written",
    "no result": "No result",
    "missing": "Not handed in",
}


_TITLES = {label_of(topic): topic.replace("_", " ").capitalize() for topic in TOPICS}


@dataclass(frozen=True)
class Lesson:
    """The marks of a lesson.

    Attributes
    ----------
    title : str
        For people.
    marks : dict of str to Mark
        By exercise.
    """

    title: str
    marks: dict[str, Mark]

    @property
    def missing(self) -> bool:
        """Whether it was not handed in, and the instructor said nothing on it."""
        return all(
            mark.result == "missing" and mark.graded is None and not mark.comment
            for mark in self.marks.values()
        )

    @property
    def points(self) -> float:
        """Sum of the points."""
        return sum(mark.points for mark in self.marks.values())

    @property
    def maximum(self) -> float:
        """Sum of what could be reached."""
        return sum(mark.maximum for mark in self.marks.values())


@dataclass(frozen=True)
class Exercise:
    """What a class made of an exercise; shares are of those who handed in anything.

    Attributes
    ----------
    column, title : str
        Its name.
    solved, tried : float
        Share with all points, and share that wrote something.
    mean, maximum : float
        Points.
    messages : list of (str, int)
        What the check said most often to those without all points, and how often.
    """

    column: str
    title: str
    solved: float
    tried: float
    mean: float
    maximum: float
    messages: list[tuple[str, int]]


def write_feedback(path: str | os.PathLike, done: Grade, *, when: datetime | None = None) -> Path:
    """Write a page that tells a student what was right, what was not, and why.

    The page needs no other file, holds no script, and shows everything of the student as text. The
    code on it is what was run, all of it, in its order; characters that cannot be seen, or turn
    text around, stand as escapes.

    Parameters
    ----------
    path : path-like
        The file; it is written whole or not at all.
    done : Grade
        Of the student.
    when : datetime, optional
        Of the grading. Default: the page names none.
    """
    return _write(path, "feedback.html", done=done, lessons=_lessons(done.marks), when=when)


def write_class_page(
    path: str | os.PathLike,
    grades: Sequence[Grade],
    unknown: Sequence[str] = (),
    when: datetime | None = None,
) -> Path:
    """Write the page for the instructor: who got what, where the class stumbled, what to look at.

    It links to the students' pages, which lie beside it by the names of `page_names`.

    Parameters
    ----------
    path : path-like
        The file; it is written whole or not at all.
    grades : sequence of Grade
        Of the class, with those who handed in nothing.
    unknown : sequence of str
        What was handed in and belongs to no student.
    when : datetime, optional
        Of the grading. Default: the page names none.
    """
    present = [grade for grade in grades if grade.handed_in]
    return _write(
        path,
        "class.html",
        grades=grades,
        present=present,
        absent=[grade.student for grade in grades if not grade.handed_in],
        pages={student: f"./{quote(name)}" for student, name in page_names(grades).items()},
        doubtful=[(g, c, m) for g in grades for c, m in g.marks.items() if m.doubtful],
        bars=_bars(present),
        exercises=summarize(present),
        unknown=unknown,
        when=when,
    )


def page_names(grades: Iterable[Grade]) -> dict[str, str]:
    """Return the name of each student's page: unique, and possible on every system."""
    names = file_names([grade.student for grade in grades], taken=[Path(INDEX).stem])
    return {student: f"{name}.html" for student, name in names.items()}


def summarize(grades: Sequence[Grade]) -> list[Exercise]:
    """Say of each exercise what a class made of it.

    Parameters
    ----------
    grades : sequence of Grade
        Of those who handed in.
    """
    columns = dict.fromkeys(column for grade in grades for column in grade.marks)
    return [
        _exercise(column, [grade.marks[column] for grade in grades if column in grade.marks])
        for column in columns
    ]


def _exercise(column: str, marks: Sequence[Mark]) -> Exercise:
    lacking = [mark for mark in marks if mark.points < mark.maximum]
    said = Counter(_first_sentence(mark.message) for mark in lacking if mark.message.strip())
    return Exercise(
        column,
        marks[0].title,
        solved=1 - len(lacking) / len(marks),
        tried=sum(mark.result not in ("missing", "not written") for mark in marks) / len(marks),
        mean=sum(mark.points for mark in marks) / len(marks),
        maximum=max(mark.maximum for mark in marks),
        messages=said.most_common(3),
    )


def _first_sentence(message: str) -> str:
    line = message.strip().splitlines()[0]
    sentence = re.split(r"(?<=[.!?])\s", line, maxsplit=1)[0]
    if len(sentence) > _LONGEST_MESSAGE:
        return sentence[:_LONGEST_MESSAGE] + "…"
    return sentence


def _bars(grades: Sequence[Grade]) -> list[tuple[float, float, int]]:
    """Count the totals between equally spaced points; the last bar holds what is above, too."""
    top = max((grade.maximum for grade in grades), default=0)
    if not top:
        return []
    width = top / _BINS
    count = Counter(min(_BINS - 1, math.floor(grade.total / width)) for grade in grades)
    return [(n * width, (n + 1) * width, count[n]) for n in range(_BINS)]


def _lessons(marks: dict[str, Mark]) -> list[Lesson]:
    found: dict[str, dict[str, Mark]] = {}
    for column, mark in marks.items():
        found.setdefault(column.partition("/")[0], {})[column] = mark
    return [Lesson(_lesson_title(number), each) for number, each in found.items()]


def _lesson_title(number: str) -> str:
    name = _TITLES.get(number)
    return f"Lesson {number}: {name}" if name else f"Lesson {number}"


def _groups(pieces: Sequence[Piece]) -> list[tuple[str, int | None, list[Piece]]]:
    """Group pieces that follow each other: those of one cell, and those of the lesson."""

    def source(piece: Piece) -> tuple[str, int | None]:
        return piece.origin, None if piece.origin == "lesson" else piece.cell

    return [(*key, list(group)) for key, group in groupby(pieces, source)]


def _points(value: float) -> str:
    """Write points so that nobody sees how computers add, a minus as a minus."""
    return f"{round(value, 2) + 0:.10g}".replace("-", "\N{MINUS SIGN}")


def _counted(value: float) -> str:
    """Write points with their unit: ``1 point``."""
    return f"{_points(value)} point{'' if abs(value) == 1 else 's'}"


def _date(when: datetime) -> str:
    return f"{when.day} {when:%B %Y, %H:%M}"


def _write(path: str | os.PathLike, template: str, **values: object) -> Path:
    page = _templates().get_template(template).render(**values)
    return write_atomically(path, lambda file: file.write(page.encode(errors="replace")))


@cache
def _templates() -> Environment:
    """Return what holds the templates, each compiled once for all pages."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "reveal": reveal,
        "lines": reveal_code,
        "points": _points,
        "counted": _counted,
        "date": _date,
        "groups": _groups,
        "further": _further,
        "anchor": lambda column: re.sub(r"\s", "-", column),
        "percent": lambda share: f"{100 * share:.0f} %",
    }
    environment.globals["words"] = _WORDS
    return environment


def _further(mark: Mark) -> list[str]:
    """Return the remarks that the page does not show by other words."""
    return [each for each in mark.remarks if each not in mark.message and "by hand: " not in each]

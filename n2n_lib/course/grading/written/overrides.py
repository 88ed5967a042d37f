"""What the instructor changed: points of an answer, comments, and penalties on the whole."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from n2n_lib.course.grading.grades import Grade
from n2n_lib.course.grading.written.roster import IDENTITIES, name_keys
from n2n_lib.course.grading.written.sheets import (
    inert,
    number,
    plain,
    read_sheet,
    shown,
    visible,
    write_sheet,
)

COLUMNS = ("student", "exercise", "points", "comment")

WHOLE = ("", "total")
"""What stands for no single exercise."""

EXERCISE = re.compile(r"(\d\d|E\d)/.+")
"""Names of exercises of any lesson, electives among them."""

CHANGED = "changed in grades.csv"
"""Comment of corrections that were carried over from the table; students do not see it."""


@dataclass(frozen=True)
class Override:
    """One correction.

    Attributes
    ----------
    student : str
        Name, id or e-mail address.
    exercise : str
        ``03/conv2d-forward``; empty for the whole.
    points : float, optional
        Of an exercise: what it gets. Of the whole: what is added.
    percent : bool
        Whether the points of the whole are percent of what the exercises got.
    comment : str
        For the student.
    line : int
        Of the file.
    """

    student: str
    exercise: str = ""
    points: float | None = None
    percent: bool = False
    comment: str = ""
    line: int = 0


def read_overrides(path: Path, columns: Collection[str]) -> list[Override]:
    """Read the corrections in a file.

    The columns are ``student``, ``exercise``, ``points`` and ``comment``. Points of an exercise
    replace what was graded, 0 or more; empty, only the comment counts. With an empty exercise, or
    ``total``, points such as ``-2`` or ``-10%`` are added to the total: a late penalty.

    Parameters
    ----------
    path : Path
        A CSV file, see `sheets.read_sheet`.
    columns : collection of str
        The exercises that are graded. Lines of other lessons are kept, and have no effect.

    Raises
    ------
    ValueError
        If something in it cannot be understood; it names the line.
    """
    sheet = read_sheet(path)
    names = {name.casefold(): name for name in sheet.header}
    missing = [name for name in COLUMNS[:3] if name not in names]
    if missing:
        raise ValueError(f"expected columns {', '.join(COLUMNS)} in {path}, got {sheet.names}")
    overrides = []
    for line, record in sheet.records():
        cells = [record.get(names.get(name, name), "") for name in COLUMNS]
        try:
            overrides.append(_read(*cells, line, columns))
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}") from None
    return overrides


def append_overrides(path: Path, added: Sequence[Override]) -> None:
    """Add corrections to the end of a file, or make it."""
    header, rows = list(COLUMNS), []
    if path.exists():
        sheet = read_sheet(path)
        header, rows = list(sheet.header), [list(cells) for _, cells in sheet.rows]
    names = [name.casefold() for name in header]
    if "comment" not in names:
        header, names, rows = [*header, "comment"], [*names, "comment"], [[*r, ""] for r in rows]
    for each in added:
        points = "" if each.points is None else shown(each.points)
        cells = {"student": inert(each.student), "exercise": each.exercise or "total",
                 "points": points, "comment": inert(each.comment)}  # fmt: skip
        rows.append([cells.get(name, "") for name in names])
    write_sheet(path, header, rows)


class Students:
    """Find students of a class by what an instructor writes of them.

    Parameters
    ----------
    students : iterable of (str, dict of str to str)
        Names and ids of all.
    """

    def __init__(self, students: Iterable[tuple[str, dict[str, str]]]) -> None:
        ways = [defaultdict(set) for _ in range(4)]
        self._by_text, self._by_id, self._by_name, self._by_number = ways
        for name, ids in students:
            for text in (name, visible(name), inert(name)):
                self._by_text[text].add(name)
            for kind in IDENTITIES:
                self._by_id[ids.get(kind, "").casefold()].add(name)
            for key in name_keys(name) | name_keys(ids.get("name", "")):
                self._by_name[key].add(name)
            if name.isdecimal():  # spreadsheets take the zeros off the front of a number
                self._by_number[name.lstrip("0")].add(name)

    def find(self, text: str) -> str | None:
        """Return the name of the one student that a text means; None for none, or for several.

        Parameters
        ----------
        text : str
            A name, as the table shows it or in another order and spelling, an id or an e-mail
            address.
        """
        text = text.strip()
        by_name = [self._by_name.get(key, set()) for key in name_keys(text)]
        ways = [self._by_text.get(text), self._by_id.get(text.casefold()), set().union(*by_name)]
        ways.append(self._by_number.get(text.lstrip("0")) if text.isdecimal() else None)
        found = next(filter(None, ways), set()) if text else set()
        return next(iter(found)) if len(found) == 1 else None


def resolve(
    overrides: Sequence[Override], students: Sequence[tuple[str, dict[str, str]]], path: Path
) -> list[Override]:
    """Name the students of corrections as the table does.

    Raises
    ------
    ValueError
        If somebody is not of the class, or may be two; it names the line.
    """
    known, resolved = Students(students), []
    for each in overrides:
        name = known.find(each.student)
        if name is None:
            raise ValueError(
                f"{path}, line {each.line}: expected one student of the class, got {each.student!r}"
            )
        resolved.append(replace(each, student=name))
    return resolved


def apply(overrides: Sequence[Override], grades: Sequence[Grade]) -> None:
    """Correct grades, in the order of the file.

    Of two corrections of the points of an exercise the later counts; what is added to the total
    adds up. Percentages are of the points of the exercises as corrected. On the whole, the
    comments of penalties are joined, and a line with a comment alone replaces all before it.
    """
    by_name = {grade.student: grade for grade in grades}
    for each in overrides:
        if each.exercise in by_name[each.student].marks:
            _correct(by_name[each.student], each)
    for each in overrides:
        if not each.exercise:
            _adjust(by_name[each.student], each)
    for grade in by_name.values():
        if grade.adjustment and grade.total > grade.maximum:
            grade.unread.append(f"total: {shown(grade.total)} of {shown(grade.maximum)} points")


def _read(
    student: str, exercise: str, points: str, comment: str, line: int, columns: Collection[str]
) -> Override:
    student, comment = visible(student), plain(visible(comment))
    if not student:
        raise ValueError("expected a student, got none")
    if exercise.casefold() in WHOLE:
        percent = points.endswith("%")
        value = _points(points.removesuffix("%")) if points else None
        return Override(student, "", value, percent, comment, line)
    lessons = {column.partition("/")[0] for column in columns}
    other = EXERCISE.fullmatch(exercise) and exercise[:2] not in lessons
    if exercise not in columns and not other:
        raise ValueError(f"expected an exercise such as {next(iter(columns))}, got {exercise!r}")
    value = _points(points) if points else None
    if value is not None and value < 0:
        raise ValueError(f"expected 0 or more points of an exercise, got {points}")
    return Override(student, exercise, value, False, comment, line)


def _points(text: str) -> float:
    try:
        return number(text)
    except ValueError:
        raise ValueError(f"expected points as a number, got {text!r}") from None


def _correct(grade: Grade, each: Override) -> None:
    mark = grade.marks[each.exercise]
    if each.points is not None:
        mark.graded = mark.points if mark.graded is None else mark.graded
        mark.points = each.points
        mark.remarks = [remark for remark in mark.remarks if not remark.startswith("by hand: ")]
        said = f"by hand: {shown(each.points)} of {shown(mark.maximum)} points"
        mark.remarks.append(f"{said}, graded {shown(mark.graded)}")
    if each.comment and each.comment != CHANGED:
        mark.comment = each.comment


def _adjust(grade: Grade, each: Override) -> None:
    comment = "" if each.comment == CHANGED else each.comment
    if each.points is None:
        grade.comment = comment
        return
    reached = sum(mark.points for mark in grade.marks.values())
    grade.adjustment += each.points * reached / 100 if each.percent else each.points
    if comment:
        grade.comment = "; ".join(filter(None, [grade.comment, comment]))

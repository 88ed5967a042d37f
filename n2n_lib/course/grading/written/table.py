"""Write the table of a class, and read what was changed in it by hand since."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from n2n_lib.course.grading.grades import Grade
from n2n_lib.course.grading.written.overrides import CHANGED, EXERCISE, Override, Students
from n2n_lib.course.grading.written.sheets import (
    Sheet,
    inert,
    number,
    read_sheet,
    sheet_bytes,
    shown,
)
from n2n_lib.support.files import write_atomically

_OURS = {"student", "name", "id", "email", "adjustment", "total", "maximum", "comment", "remarks"}

_IDS = ("id", "sis", "login", "canvas", "moodle")
"""Of these ids the table shows the first that is known."""

Extras = Mapping[str, Mapping[str, str]]
"""Columns that somebody added to the table: cells by student by column."""


@dataclass
class Changes:
    """What somebody changed in a table.

    Attributes
    ----------
    overrides : list of Override
        Other points and comments.
    extras : dict of str to dict of str to str
        See `Extras`.
    lost : list of str
        What is not kept.
    """

    overrides: list[Override] = field(default_factory=list)
    extras: dict[str, dict[str, str]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


def write_csv(
    path: str | os.PathLike, grades: Sequence[Grade], extras: Extras | None = None
) -> Path:
    """Write one row for each student, and keep a copy to see later what was changed by hand.

    The columns are ``student``, ``name``, ``id`` and ``email`` where they are known, the points
    of each exercise, ``adjustment``, ``total``, ``maximum``, ``comment`` and ``remarks``. Texts
    are such that no spreadsheet takes them for a formula, see `sheets.inert`.

    Parameters
    ----------
    path : path-like
        The file; it is written whole or not at all.
    grades : sequence of Grade
        All of the same exercises.
    extras : dict, optional
        Further columns, as `read_changes` found them.
    """
    path, extras = Path(path), extras or {}
    known = [kind for kind in ("name", "id", "email") if any(_known(g, kind) for g in grades)]
    columns = list(grades[0].marks)
    header = ["student", *known, *columns, "adjustment", "total", "maximum", "comment", "remarks"]
    rows = []
    for done in grades:
        numbers = [mark.points for mark in done.marks.values()]
        numbers += [done.adjustment, done.total, done.maximum]
        texts = [done.comment, "; ".join(done.remarks)]
        texts += [cells.get(done.student, "") for cells in extras.values()]
        who = [done.student, *(_known(done, kind) for kind in known)]
        rows.append([*map(inert, who), *map(shown, numbers), *map(inert, texts)])
    content = sheet_bytes([*header, *map(inert, extras)], rows)
    written, coming = _copies(path)
    # Whenever a run is killed, one of the copies is what the table was.
    write_atomically(coming, lambda file: file.write(content))
    write_atomically(path, lambda file: file.write(content))
    os.replace(coming, written)
    return path


def read_changes(
    path: str | os.PathLike, students: Sequence[tuple[str, dict[str, str]]]
) -> Changes:
    """Say what somebody changed in a table since `write_csv` wrote it.

    Spreadsheets may have saved it with another separator, encoding or decimal point.

    Parameters
    ----------
    path : path-like
        The table; none is there before the first run.
    students : sequence of (str, dict of str to str)
        Names and ids of the class.

    Raises
    ------
    ValueError
        If it cannot be understood: a row of an unknown student, points that are no number, no
        column ``student``, a file that `write_csv` did not write.
    """
    path = Path(path)
    if not path.exists():
        return Changes()
    try:
        copies = [copy for copy in _copies(path) if copy.exists()]
        if not copies:
            raise ValueError("another file, or one of an earlier release")
        now = read_sheet(path)
        if "student" not in now.header:
            raise ValueError("no column 'student'")
        known = Students(students)
        found = [_changes(now, read_sheet(copy), known) for copy in copies]
    except ValueError as error:
        raise ValueError(
            f"expected {path} as it was written, apart from changed points and comments, got "
            f"{error}; move the file away to have it written anew"
        ) from None
    return min(found, key=lambda each: len(each.overrides))


def _copies(path: Path) -> tuple[Path, Path]:
    """Return where a copy of the table is kept, and where the next one while it is written."""
    return path.with_name(f".{path.name}.written"), path.with_name(f".{path.name}.next")


def _known(done: Grade, kind: str) -> str:
    """Return what the table shows of a student's ids."""
    if kind == "name":
        name = done.ids.get("name", "")
        return name if name != done.student else ""
    kinds = _IDS if kind == "id" else (kind,)
    return next((done.ids[each] for each in kinds if each in done.ids), "")


def _changes(now: Sheet, before: Sheet, students: Students) -> Changes:
    """Compare a table with its copy, row by row."""
    changes, seen = Changes(), set()
    copied = {record.get("student", ""): record for _, record in before.records()}
    for column in now.header:
        if column and column not in _OURS and not EXERCISE.fullmatch(column):
            changes.extras[column] = {}
    for line, record in now.records():
        shown_name = _row_of(record["student"], copied)
        old = copied.get(shown_name)
        student = students.find(shown_name)
        if shown_name in seen:
            raise ValueError(f"two rows of {shown_name!r}, the second on line {line}")
        if old is None and student is None:
            raise ValueError(
                f"a row of {shown_name!r} on line {line}, who has handed in nothing and is on no "
                "roster"
            )
        seen.add(shown_name)
        try:
            overrides = list(_row_changes(student or shown_name, record, old))
        except ValueError as error:
            raise ValueError(f"line {line}: {error}") from None
        if student is None:
            changes.lost += [f"{shown_name}: no longer in the class"] if overrides else []
            continue
        changes.overrides += overrides
        for column, cells in changes.extras.items():
            cells[student] = record[column]
        fixed = ("name", "id", "email", "maximum", "remarks")
        if old and any(not _same(record.get(c, old.get(c, "")), old.get(c, "")) for c in fixed):
            changes.lost.append(f"{student}: changes beside points, adjustment, total and comment")
    return changes


def _row_of(text: str, copied: Mapping[str, dict[str, str]]) -> str:
    """Return the name that was written; spreadsheets make 12345 of 0012345, and 1.2E+7 of more."""
    if text in copied:
        return text
    try:
        value = float(text.replace(",", "."))
        near = [name for name in copied if re.fullmatch(r"\d+", name, re.ASCII)]
        near = [name for name in near if math.isclose(float(name), value, rel_tol=1e-9)] or [
            name for name in near if "E" in text.upper() and f"{float(name):.2E}" == f"{value:.2E}"
        ]
    except ValueError:
        return text
    return near[0] if len(near) == 1 else text


def _row_changes(
    student: str, record: dict[str, str], old: dict[str, str] | None
) -> Iterator[Override]:
    """Yield what differs in a row, as corrections; `old` is None for a row that was added."""
    new_row, old = old is None, old or {}
    for column in filter(EXERCISE.fullmatch, record):
        text = record[column]
        if _same(text, old.get(column, "")):
            continue
        points = _points(text, column)
        if points < 0:
            raise ValueError(f"expected 0 or more points of {column}, got {text!r}")
        yield Override(student, column, points, comment=CHANGED)
    added = 0.0
    adjustment, before = record.get("adjustment", ""), old.get("adjustment", "")
    if adjustment and not _same(adjustment, before):
        added = _points(adjustment, "adjustment") - number(before or "0")
    total, before = record.get("total", ""), old.get("total", "")
    if total and not _same(total, before):
        cells = [text for column, text in record.items() if EXERCISE.fullmatch(column) and text]
        if new_row and not cells:
            raise ValueError("expected points of exercises in a row that was added, got a total")
        due = sum(_points(text, "") for text in cells) + number(adjustment or "0")
        if not math.isclose(max(0, due), _points(total, "total"), abs_tol=1e-3):
            added += number(total) - due
    if abs(added) > 1e-9:
        yield Override(student, "", added, comment=CHANGED)
    if "comment" in record and record["comment"] != old.get("comment", ""):
        yield Override(student, "", None, comment=record["comment"])


def _points(text: str, column: str) -> float:
    try:
        return number(text)
    except ValueError:
        raise ValueError(f"expected a number in column {column}, got {text!r}") from None


def _same(new: str, old: str) -> bool:
    """Whether two cells say the same, numbers in any way of writing."""
    if new == old:
        return True
    try:
        return math.isclose(number(new), number(old), abs_tol=1e-9)
    except ValueError:
        return False

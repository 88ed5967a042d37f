"""Write what the gradebooks of Moodle and Canvas import.

The formats are those that their own importers read: of Moodle ``grade/import/csv`` and the plugin
``assignfeedback_offline`` (see also MoodleDocs, "Grade import"), of Canvas
``gradebook_importer.rb``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from n2n_lib.course.grading.grades import Grade
from n2n_lib.course.grading.written.sheets import inert, shown, visible, write_sheet

MOODLE_IDS = {"email": "Email address", "id": "ID number", "login": "Username"}
"""Columns by which Moodle's gradebook knows users, by kind of id."""

CANVAS_IDS = {"canvas": "ID", "sis": "SIS User ID", "login": "SIS Login ID"}
"""Columns by which Canvas knows users, by kind of id."""


@dataclass(frozen=True)
class Export:
    """A file for a gradebook.

    Attributes
    ----------
    path : Path
        The file.
    how : str
        How it is imported.
    left_out : list of str
        Students whom the gradebook could not identify.
    """

    path: Path
    how: str
    left_out: list[str]


def write_moodle(path: str | Path, grades: Sequence[Grade]) -> Export:
    """Write what Moodle imports.

    If e-mail addresses, ID numbers or usernames are known, of whichever more students have, it is
    a file for the gradebook's *Import > CSV file*. If more participant numbers are known, which
    stand in the folders that an assignment's *Download all submissions* makes, it is that
    assignment's grading worksheet, without dates: *Upload grading worksheet*, allowing updates of
    what was modified more recently.

    Parameters
    ----------
    path : path-like
        The file.
    grades : sequence of Grade
        All of the same exercises.
    """
    count = {kind: sum(kind in each.ids for each in grades) for kind in (*MOODLE_IDS, "moodle")}
    kind = max(count, key=count.__getitem__)
    known = [each for each in grades if each.ids.get(kind)]
    left_out = [each.student for each in grades if not each.ids.get(kind)]
    if kind == "moodle":
        header = ["Identifier", "Full name", "Email address", "Status", "Grade", "Maximum Grade"]
        header += ["Grade can be changed", "Last modified (submission)", "Last modified (grade)"]
        header += ["Feedback comments"]
        rows = [_worksheet_row(each) for each in known]
        how = "the assignment's grading worksheet"
    else:
        header = [*MOODLE_IDS.values(), "Full name", assignment_name(grades), "Feedback comments"]
        rows = [
            [*(inert(each.ids.get(k, "")) for k in MOODLE_IDS), inert(_name(each)),
             shown(each.total), feedback(each)]
            for each in known
        ]  # fmt: skip
        how = f"in the gradebook, users mapped by {MOODLE_IDS[kind]}"
    return Export(write_sheet(path, header, rows, mark=False), how, left_out)


def write_canvas(path: str | Path, grades: Sequence[Grade]) -> Export:
    """Write what Canvas's *Gradebook > Import* takes: one assignment, its points, the students.

    Canvas asks whether the assignment is a new one or one of the course. Students are known by
    Canvas's own number, their SIS user ID or their login; Canvas would look for others by their
    names, so that these are left out.

    Parameters
    ----------
    path : path-like
        The file.
    grades : sequence of Grade
        All of the same exercises.
    """
    known = [each for each in grades if any(each.ids.get(kind) for kind in CANVAS_IDS)]
    header = ["Student", *CANVAS_IDS.values(), "Section", assignment_name(grades)]
    rows = [["    Points Possible", "", "", "", "", shown(grades[0].maximum)]]
    for each in known:
        ids = [inert(each.ids.get(kind, "")) for kind in CANVAS_IDS]
        section = inert(each.ids.get("section", ""))
        rows.append([inert(_name(each)), *ids, section, shown(each.total)])
    found = {each.student for each in known}
    left_out = [each.student for each in grades if each.student not in found]
    return Export(write_sheet(path, header, rows, mark=False), "in the gradebook", left_out)


def assignment_name(grades: Sequence[Grade]) -> str:
    """Return the name of the column of points: the same for the same lessons."""
    lessons = sorted({column.partition("/")[0] for column in grades[0].marks})
    return f"n2n lesson{'s' * (len(lessons) > 1)} {' '.join(lessons)}"


def feedback(done: Grade) -> str:
    """Say on one line what a student did not get, with the instructor's comments."""
    return inert(" | ".join(_feedback(done)))


def _feedback(done: Grade) -> Iterator[str]:
    if done.comment:
        yield done.comment
    if done.adjustment:
        yield f"adjustment: {shown(done.adjustment)}"
    if not done.handed_in:
        yield "nothing handed in"
        return
    for column, mark in done.marks.items():
        if mark.comment or mark.points != mark.maximum:
            comment = f", {mark.comment}" if mark.comment else ""
            yield f"{column}: {shown(mark.points)} of {shown(mark.maximum)}{comment}"


def _worksheet_row(done: Grade) -> list[str]:
    status = "Submitted for grading" if done.handed_in else "No submission"
    who = [f"Participant {visible(done.ids['moodle'])}", inert(_name(done))]
    who.append(inert(done.ids.get("email", "")))
    points = [shown(done.total), shown(done.maximum)]
    return [*who, status, *points, "Yes", "-", "-", feedback(done)]


def _name(done: Grade) -> str:
    return done.ids.get("name") or done.student

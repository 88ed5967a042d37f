"""What becomes of the grades of a class: the table, the pages, the files for gradebooks."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from n2n_lib.course.grading.grades import Grade, Mark
from n2n_lib.course.grading.handed_in.layouts import HandedIn
from n2n_lib.course.grading.written.gradebooks import Export, write_canvas, write_moodle
from n2n_lib.course.grading.written.overrides import (
    Override,
    append_overrides,
    apply,
    read_overrides,
    resolve,
)
from n2n_lib.course.grading.written.pages import INDEX, page_names, write_class_page, write_feedback
from n2n_lib.course.grading.written.roster import Class, join, listed, read_roster
from n2n_lib.course.grading.written.sheets import visible
from n2n_lib.course.grading.written.table import Changes, read_changes, write_csv
from n2n_lib.support.files import make_writable


@dataclass(frozen=True)
class Outputs:
    """Files that a run of grading reads and writes beside the submissions.

    Attributes
    ----------
    out : Path
        The table. What was changed in it by hand is kept, see `table.read_changes`.
    feedback : Path, optional
        Folder of the pages; it is made.
    roster : Path, optional
        Table of all students: who has handed in nothing gets a row, too.
    overrides : Path, optional
        Table of the instructor's corrections, comments and penalties. Default: beside `out`, with
        ``.overrides.csv`` instead of its ending, if it is there.
    moodle, canvas : Path, optional
        Tables to write that these gradebooks import.
    lines : list of str
        What `write` has to tell, for people.
    """

    out: Path
    feedback: Path | None = None
    roster: Path | None = None
    overrides: Path | None = None
    moodle: Path | None = None
    canvas: Path | None = None
    lines: list[str] = field(default_factory=list, compare=False)

    def prepare(
        self,
        submissions: str | os.PathLike | None = None,
        columns: Collection[str] = (),
        students: Sequence[HandedIn] = (),
    ) -> None:
        """Make the folders, and raise before any work if something cannot be read or written.

        Parameters
        ----------
        submissions : path-like, optional
            What is graded, which nothing may be written over.
        columns : collection of str
            The exercises.
        students : sequence of HandedIn
            Who handed in.

        Raises
        ------
        ValueError
            If two files are the same, a file is a folder or the other way round, the pages would
            lie among the submissions, or what is to be read cannot be understood.
        """
        self._check_paths(None if submissions is None else Path(submissions))
        found = self._class([(each.name, each.ids) for each in students])
        if columns:
            self._corrections(found, columns)
        for file in self._written():
            make_writable(file.parent)
        if self.feedback is not None:
            make_writable(self.feedback)

    def write(self, grades: Sequence[Grade], unknown: Sequence[str] = ()) -> list[Grade]:
        """Complete the grades by roster and corrections, write all files, return the grades.

        Parameters
        ----------
        grades : sequence of Grade
            Of all who handed in.
        unknown : sequence of str
            What was handed in and belongs to no student, a line each.
        """
        found = self._class([(grade.student, grade.ids) for grade in grades])
        done = _completed(grades, found)
        self.lines[:] = [*found.lines]
        if late := [each.student for each in done if each.ids.get("late")]:
            self.lines.append(f"marked as late where they were handed in: {listed(late)}")
        corrections, changes = self._corrections(found, done[0].marks)
        if changes.overrides:
            append_overrides(self.overrides_file, changes.overrides)
            self.lines.append(
                f"{len(changes.overrides)} changes made in {self.out.name} by hand were added to "
                f"{self.overrides_file}"
            )
        if changes.lost:
            self.lines.append(f"changed in {self.out.name}, not kept: {listed(changes.lost)}")
        apply(corrections + changes.overrides, done)
        write_csv(self.out, done, changes.extras)  # first: whatever fails below, it is there
        self._write_pages(done, unknown)
        if self.moodle is not None:
            self._exported("Moodle", write_moodle(self.moodle, done))
        if self.canvas is not None:
            self._exported("Canvas", write_canvas(self.canvas, done))
        self.lines[:] = map(visible, self.lines)
        return done

    @property
    def overrides_file(self) -> Path:
        """Where the instructor's corrections are."""
        return self.overrides or self.out.with_suffix(".overrides.csv")

    def _class(self, students: Sequence[tuple[str, dict[str, str]]]) -> Class:
        return join(students, None if self.roster is None else read_roster(self.roster))

    def _corrections(
        self, found: Class, columns: Collection[str]
    ) -> tuple[list[Override], Changes]:
        """Read what the instructor changed, in the file of corrections and in the table."""
        corrections, file = [], self.overrides_file
        if self.overrides is not None or file.exists():
            corrections = resolve(read_overrides(file, columns), found.students, file)
        return corrections, read_changes(self.out, found.students)

    def _write_pages(self, done: Sequence[Grade], unknown: Sequence[str]) -> None:
        """Write the pages; one that cannot be written costs nobody else's."""
        if self.feedback is None:
            return
        names, when, failed = page_names(done), datetime.now(), []
        for each in done:
            try:
                write_feedback(self.feedback / names[each.student], each, when=when)
            except Exception as error:
                failed.append(f"{each.student} ({error})")
        try:
            write_class_page(self.feedback / INDEX, done, unknown, when)
        except Exception as error:
            failed.append(f"the class ({error})")
        if failed:
            self.lines.append(f"no page could be written for {listed(failed)}")

    def _exported(self, gradebook: str, export: Export) -> None:
        self.lines.append(f"for {gradebook}: {export.path}, to be imported {export.how}")
        if export.left_out:
            self.lines.append(
                f"left out for {gradebook}, which could not identify them: "
                f"{listed(export.left_out)}"
            )

    def _written(self) -> list[Path]:
        return [each for each in (self.out, self.moodle, self.canvas) if each is not None]

    def _check_paths(self, submissions: Path | None) -> None:
        named = {"--out": self.out, "--roster": self.roster, "--moodle": self.moodle,
                 "--canvas": self.canvas, "--overrides": self.overrides_file,
                 "the submissions": submissions}  # fmt: skip
        seen: dict[Path, str] = {}
        for option, path in named.items():
            if path is None:
                continue
            if option.startswith("--") and path.is_dir():
                raise ValueError(f"expected a file as {option}, got the folder {path}")
            if (same := seen.setdefault(path.resolve(), option)) != option:
                raise ValueError(f"expected different files as {same} and {option}, got {path}")
        if self.feedback is None:
            return
        if self.feedback.exists() and not self.feedback.is_dir():
            raise ValueError(f"expected a folder as --feedback, got the file {self.feedback}")
        if submissions is not None and self.feedback.resolve().is_relative_to(
            submissions.resolve()
        ):
            raise ValueError(
                f"expected --feedback outside of the submissions in {submissions}, got "
                f"{self.feedback}"
            )


def _completed(grades: Sequence[Grade], found: Class) -> list[Grade]:
    """Return copies of the grades that may be changed, with a row for all of the roster."""
    done = []
    for grade in grades:
        marks = {c: replace(mark, remarks=[*mark.remarks]) for c, mark in grade.marks.items()}
        ids, unread = found.ids[grade.student], [*grade.unread]
        done.append(replace(grade, marks=marks, ids=ids, unread=unread))
    for name, perhaps in found.missing.items():
        marks = {
            column: Mark(0, mark.maximum, "missing", mark.title)
            for column, mark in grades[0].marks.items()
        }
        said = f"may have handed in as {listed(perhaps)}" if perhaps else "handed in nothing"
        done.append(Grade(name, "", marks, [said], found.ids[name], handed_in=False))
    return sorted(done, key=lambda each: each.student)

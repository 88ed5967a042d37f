"""What becomes of the grades of a class: the table, the pages, the files for gradebooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from n2n_lib.course.grading.grades import Grade
from n2n_lib.course.grading.pages import INDEX, page_names, write_class_page, write_feedback
from n2n_lib.course.grading.table import write_csv
from n2n_lib.support.files import check_writable


@dataclass(frozen=True)
class Outputs:
    """Files that a run of grading reads and writes beside the submissions.

    Attributes
    ----------
    out : Path
        The table.
    feedback : Path, optional
        Folder of the pages; it is made.
    roster : Path, optional
        Table of all students: who has handed in nothing gets a row, too.
    overrides : Path, optional
        Table of the instructor's corrections, comments and penalties.
    moodle, canvas : Path, optional
        Tables to write that these gradebooks import.
    """

    out: Path
    feedback: Path | None = None
    roster: Path | None = None
    overrides: Path | None = None
    moodle: Path | None = None
    canvas: Path | None = None

    def prepare(self) -> None:
        """Make the folders, and raise before any work if something cannot be read or written."""
        check_writable(self.out.parent)
        if self.feedback is not None:
            self.feedback.mkdir(parents=True, exist_ok=True)
            check_writable(self.feedback)

    def write(self, grades: Sequence[Grade]) -> list[Grade]:
        """Complete the grades by roster and corrections, write all files, return the grades."""
        done = sorted(grades, key=lambda each: each.student)
        if self.feedback is not None:
            names, when = page_names(done), datetime.now()
            for each in done:
                write_feedback(self.feedback / names[each.student], each, when=when)
            write_class_page(self.feedback / INDEX, done, when=when)
        write_csv(self.out, done)
        return done

"""Keep the grades of a run, so that the same command goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from n2n_lib.course.grading.grades import Grade, Mark, Piece
from n2n_lib.course.grading.judge import Limits
from n2n_lib.course.grading.submissions import Submission
from n2n_lib.course.grading.tasks import Assignment
from n2n_lib.support.files import write_atomically


class Journal:
    """The grades so far, a line each, for the lessons and limits that the first line names.

    Parameters
    ----------
    path : Path
        The file; what it holds for other lessons, limits or another version of the library is
        left out.
    assignments : sequence of Assignment
        What is graded.
    limits : Limits
        For each answer.
    """

    def __init__(self, path: Path, assignments: Sequence[Assignment], limits: Limits) -> None:
        key = _digest(assignments, limits)
        self._path, self._known = path, {}
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        if lines and lines[0] == key:
            for line in lines[1:]:
                self._read(line)
        content = "\n".join([key, *map(self._line, self._known.values()), ""])
        write_atomically(path, lambda file: file.write(content.encode()))

    def get(self, submission: Submission) -> Grade | None:
        """Return the grade of a submission that has not changed since."""
        known = self._known.get(submission.student)
        return known if known and known.digest == submission.digest else None

    def add(self, done: Grade) -> None:
        """Keep a grade."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(self._line(done) + "\n")

    @staticmethod
    def _line(done: Grade) -> str:
        return json.dumps(asdict(done))

    def _read(self, line: str) -> None:
        try:
            content = json.loads(line)
            marks = {column: _mark(mark) for column, mark in content.pop("marks").items()}
            grade = Grade(**content, marks=marks)
        except (ValueError, KeyError, TypeError):  # the last line of a run that was killed
            return
        self._known[grade.student] = grade


def _mark(content: dict) -> Mark:
    return Mark(**{**content, "pieces": [Piece(**piece) for piece in content["pieces"]]})


def _digest(assignments: Sequence[Assignment], limits: Limits) -> str:
    """Describe all but the submissions that grades depend on: lessons, limits, library."""
    asked = [
        [asdict(replace(task, exercise=None)) for task in assignment.tasks]
        for assignment in assignments
    ]
    digest = hashlib.sha256(json.dumps([asked, asdict(limits)]).encode())
    for file in sorted(Path(__file__).parents[2].rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()

"""Keep the grades of a run, so that the same command goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import msgspec

from n2n_lib.course.check.hand_in import HandIn
from n2n_lib.course.grading.grades import Grade
from n2n_lib.course.grading.judging.judge import Limits
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
        self._path = path
        self._columns = [task.column for each in assignments for task in each.tasks]
        self._known: dict[str, Grade] = {}
        content = path.read_bytes() if path.is_file() else b""
        first, *lines = content.decode("ascii", errors="replace").split("\n")
        if first == key:
            for line in lines:
                self._read(line)
        lines = [key, *map(to_line, self._known.values()), ""]
        write_atomically(path, lambda file: file.write("\n".join(lines).encode()))

    @property
    def digests(self) -> dict[str, str]:
        """What each known student has handed in, see `Submission`."""
        return {name: known.digest for name, known in self._known.items()}

    def get(self, student: str) -> Grade:
        """Return the grade of a student who is known."""
        return self._known[student]

    def add(self, done: Grade) -> None:
        """Keep a grade."""
        with self._path.open("a", encoding="ascii") as file:
            file.write(to_line(done) + "\n")

    def _read(self, line: str) -> None:
        try:
            grade = from_line(line)
        except ValueError:  # the last line of a run that was killed, or a damaged one
            return
        if list(grade.marks) == self._columns:
            self._known[grade.student] = grade


def to_line(done: Grade) -> str:
    """Write a grade as one line of ASCII, whatever characters its texts hold."""
    return json.dumps(asdict(done))


def from_line(line: str) -> Grade:
    """Read what `to_line` wrote.

    Raises
    ------
    ValueError
        If something is missing or not of its type.
    """
    try:
        return msgspec.convert(json.loads(line, parse_constant=_refuse), Grade)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise ValueError(f"expected a grade, got {type(error).__name__}") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"expected a number, got {constant}")


def _digest(assignments: Sequence[Assignment], limits: Limits) -> str:
    """Describe all but the submissions that grades depend on: lessons, seed, limits, library."""
    asked = [
        [asdict(replace(task, exercise=None)) for task in assignment.tasks]
        for assignment in assignments
    ]
    hidden = [
        task.exercise.hidden and asdict(task.exercise.hidden)
        for assignment in assignments
        for task in assignment.tasks
        if isinstance(task.exercise, HandIn)
    ]
    digest = hashlib.sha256(json.dumps([asked, hidden, asdict(limits)]).encode())
    for file in sorted(Path(__file__).parents[3].rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()

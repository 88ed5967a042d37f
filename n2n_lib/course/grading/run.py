"""Grade a class: every exercise of every student, with a table and pages of feedback as result."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from n2n_lib.course.check.hand_in import Hidden
from n2n_lib.course.grading.grades import Grade
from n2n_lib.course.grading.handed_in.layouts import Found, HandedIn, find_class
from n2n_lib.course.grading.judging.journal import Journal
from n2n_lib.course.grading.judging.judge import Limits
from n2n_lib.course.grading.judging.judges import Judges
from n2n_lib.course.grading.tasks import Assignment, measures, read_assignments
from n2n_lib.course.grading.written.outputs import Outputs
from n2n_lib.support.files import write_atomically


def grade(
    submissions: str | os.PathLike,
    outputs: Outputs,
    *,
    source: str | os.PathLike | None = None,
    lessons: Sequence[str] = (),
    limits: Limits | None = None,
    jobs: int = 2,
    capstone_seed: int | None = None,
    capstone_pictures: str | os.PathLike | None = None,
    progress: bool = True,
    report: Callable[[Found], None] = lambda found: None,
) -> list[Grade]:
    """Grade submissions; write a CSV file and, if wanted, a page of feedback for each student.

    First the solutions of the lessons themselves are graded, which must get all points. What is
    done is kept in ``OUT.journal``, so that the same command goes on after an interruption, and
    after a late submission grades only this one.

    Parameters
    ----------
    submissions : path-like
        See `layouts.find_class`.
    outputs : Outputs
        The files to write.
    source, lessons
        See `tasks.read_assignments`.
    limits : Limits, optional
        For each answer.
    jobs : int
        How many students are graded at a time.
    capstone_seed : int, optional
        Of the hidden thumbnails that networks are measured on. Default: that of the last run to
        the same table, else a random one. It is kept in ``OUT.capstone.json``, and told.
    capstone_pictures : path-like, optional
        Folder of photographs that they are drawn from. Default: the course's, for validation.
    progress : bool
        Whether to show a progress bar on stderr.
    report : callable
        Gets what was found, before the work begins.

    Returns
    -------
    list of Grade
        By the students' names.

    Raises
    ------
    ValueError
        If there is nothing to grade, or not by these lessons, or another run writes to the
        same file.
    """
    assignments = read_assignments(source, lessons)
    found = find_class(submissions, [assignment.name for assignment in assignments])
    report(found)
    limits, out, hidden = limits or Limits(), outputs.out, None
    if measures(assignments):
        hidden = _hidden(out, capstone_seed, capstone_pictures)
        assignments = read_assignments(source, lessons, hidden)
    columns = [task.column for assignment in assignments for task in assignment.tasks]
    outputs.prepare(submissions, columns, found.students)
    try:
        with (
            FileLock(out.with_name(f".{out.name}.lock"), timeout=0),
            Judges(source, lessons, limits, jobs, hidden) as judges,
        ):
            if hidden is not None:
                text = json.dumps(asdict(hidden)) + "\n"
                write_atomically(_seed_file(out), lambda file: file.write(text.encode()))
            _check_solutions(assignments, judges)
            journal = Journal(out.with_name(f"{out.name}.journal"), assignments, limits)
            grades = []
            with tqdm(total=len(found.students), unit="student", disable=not progress) as bar:
                for done in _grades(found.students, judges, journal):
                    grades.append(done)
                    bar.update()
            done = outputs.write(grades, found.unknown)
            if hidden is not None:
                outputs.lines.append(
                    f"hidden thumbnails: seed {hidden.seed}, see {_seed_file(out)}"
                )
            return done
    except Timeout:
        raise ValueError(f"expected no other run to write to {out}, found one at work") from None


def _seed_file(out: Path) -> Path:
    return out.with_name(f"{out.name}.capstone.json")


def _hidden(out: Path, seed: int | None, pictures: str | os.PathLike | None) -> Hidden:
    """Say where hidden thumbnails come from; without a seed that of the last run, or a new one."""
    folder = "" if pictures is None else os.path.abspath(pictures)
    if seed is None:
        try:
            last = json.loads(_seed_file(out).read_text(encoding="utf-8"))
            seed = int(last["seed"])
        except (OSError, ValueError, KeyError, TypeError):
            seed = secrets.randbelow(2**31)
    hidden = Hidden(seed, folder)
    hidden.draw()
    return hidden


def _grades(students: Sequence[HandedIn], judges: Judges, journal: Journal) -> Iterator[Grade]:
    """Yield the grades as they are ready, those of unchanged submissions from the journal."""
    for student, done in judges.grade(students, journal.digests):
        if done is None:
            done = replace(journal.get(student.name), ids=student.ids)
        elif done.digest:  # what could not be graded is tried again by the next run
            journal.add(done)
        yield done


def _check_solutions(assignments: Sequence[Assignment], judges: Judges) -> None:
    """Raise unless the instructor's own solutions are right; what is measured gets some points."""
    folder = assignments[0].path.parent
    ((_, own),) = judges.grade([HandedIn(folder.name, (folder,))])
    wrong = {
        column: mark
        for column, mark in own.marks.items()
        if mark.points != mark.maximum and mark.result != "partly"  # measured, on these pictures
    }
    if wrong:
        column, mark = next(iter(wrong.items()))
        why = mark.message or "; ".join(own.unread)
        raise ValueError(
            f"expected all solutions in {folder} to be right, got {', '.join(wrong)} wrong; "
            f"{column}: {why}"
        )

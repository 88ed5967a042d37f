"""Grade a class: every exercise of every student, with a table and pages of feedback as result."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from filelock import FileLock, Timeout
from tqdm import tqdm

from n2n_lib.course.grading.grades import Grade
from n2n_lib.course.grading.handed_in.layouts import Found, HandedIn, find_class
from n2n_lib.course.grading.judging.journal import Journal
from n2n_lib.course.grading.judging.judge import Limits
from n2n_lib.course.grading.judging.judges import Judges
from n2n_lib.course.grading.tasks import Assignment, read_assignments
from n2n_lib.course.grading.written.outputs import Outputs


def grade(
    submissions: str | os.PathLike,
    outputs: Outputs,
    *,
    source: str | os.PathLike | None = None,
    lessons: Sequence[str] = (),
    limits: Limits | None = None,
    jobs: int = 2,
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
    limits, out = limits or Limits(), outputs.out
    columns = [task.column for assignment in assignments for task in assignment.tasks]
    outputs.prepare(submissions, columns, found.students)
    try:
        with (
            FileLock(out.with_name(f".{out.name}.lock"), timeout=0),
            Judges(source, lessons, limits, jobs) as judges,
        ):
            _check_solutions(assignments, judges)
            journal = Journal(out.with_name(f"{out.name}.journal"), assignments, limits)
            grades = []
            with tqdm(total=len(found.students), unit="student", disable=not progress) as bar:
                for done in _grades(found.students, judges, journal):
                    grades.append(done)
                    bar.update()
            return outputs.write(grades, found.unknown)
    except Timeout:
        raise ValueError(f"expected no other run to write to {out}, found one at work") from None


def _grades(students: Sequence[HandedIn], judges: Judges, journal: Journal) -> Iterator[Grade]:
    """Yield the grades as they are ready, those of unchanged submissions from the journal."""
    for student, done in judges.grade(students, journal.digests):
        if done is None:
            done = replace(journal.get(student.name), ids=student.ids)
        elif done.digest:  # what could not be graded is tried again by the next run
            journal.add(done)
        yield done


def _check_solutions(assignments: Sequence[Assignment], judges: Judges) -> None:
    """Raise unless the instructor's own solutions get all points."""
    folder = assignments[0].path.parent
    ((_, own),) = judges.grade([HandedIn(folder.name, (folder,))])
    wrong = {column: mark for column, mark in own.marks.items() if mark.points != mark.maximum}
    if wrong:
        column, mark = next(iter(wrong.items()))
        why = mark.message or "; ".join(own.unread)
        raise ValueError(
            f"expected all solutions in {folder} to be right, got {', '.join(wrong)} wrong; "
            f"{column}: {why}"
        )

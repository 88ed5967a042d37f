"""Grade a class: every exercise of every student, with a table and pages of feedback as result."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Event

from filelock import FileLock, Timeout
from tqdm import tqdm

from n2n_lib.course.grading.attempts import is_unsure, judge_answer
from n2n_lib.course.grading.grades import Grade, Mark
from n2n_lib.course.grading.journal import Journal
from n2n_lib.course.grading.judge import Limits, Worker
from n2n_lib.course.grading.layouts import HandedIn, find_class
from n2n_lib.course.grading.outputs import Outputs
from n2n_lib.course.grading.submissions import Submission, read_submission
from n2n_lib.course.grading.tasks import Assignment, Task, read_assignments


def grade(
    submissions: str | os.PathLike,
    outputs: Outputs,
    *,
    source: str | os.PathLike | None = None,
    lessons: Sequence[str] = (),
    limits: Limits | None = None,
    jobs: int = 2,
    progress: bool = True,
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
    assignments, found = read_assignments(source, lessons), find_class(submissions)
    limits, out = limits or Limits(), outputs.out
    outputs.prepare()
    try:
        with FileLock(out.with_name(f".{out.name}.lock"), timeout=0):
            _check_solutions(assignments, limits)
            journal = Journal(out.with_name(f"{out.name}.journal"), assignments, limits)
            grades = []
            with tqdm(total=len(found.students), unit="student", disable=not progress) as bar:
                for done in _each(found.students, assignments, limits, jobs, journal):
                    grades.append(done)
                    bar.update()
            return outputs.write(grades)
    except Timeout:
        raise ValueError(f"expected no other run to write to {out}, found one at work") from None


def grade_submission(
    submission: Submission,
    assignments: Sequence[Assignment],
    worker: Worker,
    stopped: Callable[[], bool] = lambda: False,
) -> Grade:
    """Grade what one student handed in.

    Parameters
    ----------
    submission, assignments
        See `read_submission` and `read_assignments`.
    worker : Worker
        For the student's code.
    stopped : callable
        Asked before every answer.

    Raises
    ------
    KeyboardInterrupt
        If `stopped` says so.
    """
    marks = {}
    for assignment in assignments:
        cells = submission.notebooks.get(assignment.name)
        for task in assignment.tasks:
            if stopped():
                raise KeyboardInterrupt
            marks[task.column] = _mark(task, cells, worker)
    return Grade(submission.student, submission.digest, marks, submission.remarks, submission.ids)


def _mark(task: Task, cells: list[dict] | None, worker: Worker) -> Mark:
    """Judge one answer."""
    mark = Mark(0, task.points, "missing", task.title)
    if cells is None:
        return mark
    attempt = judge_answer(worker, task, cells)
    mark.pieces, mark.remarks = attempt.answer.pieces, attempt.answer.remarks
    mark.unsure = is_unsure(task, cells, attempt)
    if attempt.verdict is None:
        mark.result, mark.message = "no result", f"{task.function}: {attempt.reason}."
        mark.remarks = [*mark.remarks, attempt.reason]
    elif attempt.verdict.right:
        mark.result, mark.points = "right", task.points
    else:
        mark.result = "wrong" if attempt.verdict.table else "not written"
        mark.message, mark.table = attempt.verdict.message, attempt.verdict.table
    return mark


def _each(
    students: Sequence[HandedIn],
    assignments: Sequence[Assignment],
    limits: Limits,
    jobs: int,
    journal: Journal,
) -> Iterator[Grade]:
    """Yield the grades as they are ready, those of unchanged submissions from the journal."""
    stop, workers, names = Event(), set(), [assignment.name for assignment in assignments]

    def one(student: HandedIn) -> Grade:
        submission = read_submission(student, names)
        if known := journal.get(submission):
            return known
        with limits.worker() as worker:
            workers.add(worker)
            return grade_submission(submission, assignments, worker, stop.is_set)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            for future in as_completed([pool.submit(one, student) for student in students]):
                done = future.result()
                journal.add(done)
                yield done
        finally:
            stop.set()
            for worker in list(workers):  # at work only if the run is interrupted
                worker.interrupt()
            pool.shutdown(cancel_futures=True)


def _check_solutions(assignments: Sequence[Assignment], limits: Limits) -> None:
    """Raise unless the instructor's own solutions get all points."""
    folder = assignments[0].path.parent
    own = HandedIn(folder.name, (folder,))
    solutions = read_submission(own, [assignment.name for assignment in assignments])
    with limits.worker() as worker:
        own = grade_submission(solutions, assignments, worker)
    wrong = {column: mark for column, mark in own.marks.items() if mark.points != mark.maximum}
    if wrong:
        column, mark = next(iter(wrong.items()))
        raise ValueError(
            f"expected all solutions in {folder} to be right, got {', '.join(wrong)} wrong; "
            f"{column}: {mark.message}"
        )

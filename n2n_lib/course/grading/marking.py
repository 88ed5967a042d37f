"""Mark what one student handed in: every answer, one after the other."""

from __future__ import annotations

import time
from collections.abc import Sequence

from n2n_lib.course.grading.grades import Grade, Mark
from n2n_lib.course.grading.judge import NoAnswer, Worker
from n2n_lib.course.grading.selection import select
from n2n_lib.course.grading.submissions import Submission
from n2n_lib.course.grading.tasks import Assignment, Task

LARGEST_ANSWER = 100_000
"""Characters of code that one answer may need; the solutions need up to 4000."""

MOST_REMARKS = 100
"""On what could not be read of a submission."""


def grade_submission(
    submission: Submission,
    assignments: Sequence[Assignment],
    worker: Worker,
    seconds: float = 600,
) -> Grade:
    """Grade what one student handed in.

    Parameters
    ----------
    submission, assignments
        See `read_submission` and `read_assignments`.
    worker : Worker
        For the student's code.
    seconds : float
        That all answers may take. Those that are not reached get no result.
    """
    end, marks = time.monotonic() + seconds, {}
    for assignment in assignments:
        cells = submission.notebooks.get(assignment.name)
        for task in assignment.tasks:
            mark = marks[task.column] = Mark(0, task.points, "missing", task.title)
            if cells is None:
                continue
            try:
                _judge(mark, task, cells, worker, end)
            except NoAnswer as reason:
                mark.result, mark.message = "no result", f"{task.function}: {reason}."
                mark.remarks = [*mark.remarks, str(reason)]
    unread = submission.remarks[:MOST_REMARKS]
    if more := len(submission.remarks) - len(unread):
        unread.append(f"and {more} more")
    return Grade(submission.student, submission.digest, marks, unread, submission.ids)


def _judge(mark: Mark, task: Task, cells: list[dict], worker: Worker, end: float) -> None:
    """Judge one answer, at most until the time `end`."""
    if time.monotonic() >= end:
        raise NoAnswer("not graded, the time for one student was used up")
    try:
        answer = select(task, cells)
    except (RecursionError, MemoryError) as error:  # code that no people write
        raise NoAnswer(f"its code cannot be analysed, {type(error).__name__}") from None
    mark.pieces, mark.remarks = answer.pieces, answer.remarks
    if (size := sum(len(piece.source) for piece in answer.pieces)) > LARGEST_ANSWER:
        mark.pieces = []
        raise NoAnswer(f"needs {size} characters of code, more than {LARGEST_ANSWER}")
    left = max(end - time.monotonic(), 0.1)
    verdict = worker.judge(task.exercise, answer.pieces, task.function, left)
    if verdict.right:
        mark.result, mark.points = "right", task.points
    else:
        mark.result = "wrong" if verdict.table else "not written"
        mark.message, mark.table = verdict.message, verdict.table

"""Mark what one student handed in: every answer, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from n2n_lib.course.check.hand_in import points_of
from n2n_lib.course.grading.grades import Grade, Mark
from n2n_lib.course.grading.handed_in.submissions import Submission
from n2n_lib.course.grading.judging.attempts import is_unsure, judge_answer
from n2n_lib.course.grading.judging.judge import LARGEST_CODE, NoAnswer, Worker
from n2n_lib.course.grading.tasks import Assignment, Task

MOST_REMARKS = 100
"""On what could not be read of a submission."""


def grade_submission(
    submission: Submission,
    assignments: Sequence[Assignment],
    worker: Worker,
) -> Grade:
    """Grade what one student handed in.

    Parameters
    ----------
    submission, assignments
        See `read_submission` and `read_assignments`.
    worker : Worker
        For the student's code.
    """
    marks = {}
    for assignment in assignments:
        cells = submission.notebooks.get(assignment.name)
        for task in assignment.tasks:
            mark = marks[task.column] = _mark(task, cells, worker)
            if sum(len(piece.source) for piece in mark.pieces) > LARGEST_CODE:
                mark.pieces = []  # they were not run
    unread = submission.remarks[:MOST_REMARKS]
    if more := len(submission.remarks) - len(unread):
        unread.append(f"and {more} more")
    return Grade(submission.student, submission.digest, marks, unread, submission.ids)


def _mark(task: Task, cells: list[dict] | None, worker: Worker) -> Mark:
    """Judge one answer."""
    mark = Mark(0, task.points, "missing", task.title)
    if cells is None:
        return mark
    try:
        attempt = judge_answer(worker, task, cells)
    except (NoAnswer, RecursionError, MemoryError) as error:
        reason = f"its code is {type(error).__name__}"
        mark.result, mark.message = "no result", f"{task.function}: {reason}."
        mark.remarks, mark.unsure = [reason], True
        return mark
    mark.pieces, mark.remarks = attempt.answer.pieces, attempt.answer.remarks
    mark.unsure = is_unsure(task, cells, attempt)
    if attempt.verdict is None:
        mark.result, mark.message = "no result", f"{task.function}: {attempt.reason}."
        mark.remarks = [*mark.remarks, attempt.reason]
    elif attempt.verdict.right:
        share = attempt.verdict.share
        mark.result, mark.points = "right", task.points
        if share is not None:
            mark.points = points_of(share, task.points)
            mark.result = "right" if share == 1 else "partly"
            mark.message = attempt.verdict.message
    else:
        measured = attempt.verdict.share is not None
        mark.result = "wrong" if attempt.verdict.table or measured else "not written"
        mark.message, mark.table = attempt.verdict.message, attempt.verdict.table
    return mark

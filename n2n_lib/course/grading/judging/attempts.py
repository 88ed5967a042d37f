"""Judge an answer as a fair reader would: before it gets no points, all cells above are run.

What counts is what a class sees: the function that the notebook holds where its check stands, once
its cells have been run in their order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from n2n_lib.course.check.hand_in import HandIn, last_numbers
from n2n_lib.course.check.judge import Verdict
from n2n_lib.course.grading.judging.judge import NoAnswer, NotDefined, Worker
from n2n_lib.course.grading.judging.selection import Answer, read_code
from n2n_lib.course.grading.tasks import Task

ELSEWHERE = re.compile(
    r"\b(NameError|ImportError|ModuleNotFoundError|PermissionError|FileNotFoundError|OSError|EOFError)\b"
)
"""Exceptions of an answer that needs what is not there when it is graded."""


@dataclass
class Attempt:
    """An answer and what came of it.

    Attributes
    ----------
    answer : Answer
        What was run, and the remarks.
    verdict : Verdict or None
        None if there is no result.
    reason : str
        Why there is none.
    undefined : bool
        Whether the reason is that the function or class was not there after the code had been run.
    """

    answer: Answer
    verdict: Verdict | None = None
    reason: str = ""
    undefined: bool = False

    @property
    def right(self) -> bool:
        """Whether the answer is right."""
        return self.verdict is not None and self.verdict.right

    @property
    def may_be_more(self) -> bool:
        """Whether other cells may make it right: it is wrong, or not there, and no stub.

        What was measured stays as it is.
        """
        return self.undefined if self.verdict is None else bool(self.verdict.table)

    @property
    def lacks_something(self) -> bool:
        """Whether a name is not defined."""
        return self.undefined or (self.verdict is not None and "NameError" in self.verdict.message)


def judge_answer(worker: Worker, task: Task, cells: Sequence[dict]) -> Attempt:
    """Judge a student's answer to an exercise, with more of their cells if it needs them.

    First what the function needs is run, as far as its text says. If that is not right, all of the
    student's cells above the check are, each as far as it gets; if a name is still not there, cells
    below the check count too.

    Parameters
    ----------
    worker : Worker
        For the student's code.
    task : Task
        The exercise.
    cells : sequence of dict
        The code cells of the student's notebook, see `Submission`.
    """
    if isinstance(task.exercise, HandIn):
        numbers = last_numbers([cell.get("numbers", "") for cell in cells])
        task = replace(task, exercise=task.exercise.of(numbers))
    code = read_code(task, cells)
    first = _attempt(worker, task, code.select())
    if not first.may_be_more:
        return first
    whole = _attempt(worker, task, code.all_above(), forgiving=True)
    if whole.right or (first.undefined and whole.verdict):
        return _remarked(whole, "judged after all cells above its check were run")
    if first.lacks_something:
        below = _attempt(worker, task, code.select(below=True))
        if below.right or (first.undefined and below.verdict):
            return _remarked(below, "judged with cells below its check")
    if first.undefined:
        first.reason = _most_helpful(first)
    return first


def is_unsure(task: Task, cells: Sequence[dict], attempt: Attempt) -> bool:
    """Whether somebody should look at an answer that is not right.

    It may have failed only where it was graded: if there is no result though something was written
    in time, if it asked for what only the student's computer has, and if the notebook shows that
    its check was passed. And its numbers may be right, by means that are not allowed.
    """
    if attempt.right:
        return False
    if any(f"{task.exercise.name}: right, " in cell.get("output", "") for cell in cells):
        return True
    if attempt.verdict is not None:
        verdict = attempt.verdict
        by_other_means = verdict.kind == "forbidden" and "numbers are right" in verdict.message
        return by_other_means or bool(ELSEWHERE.search(verdict.message))
    if attempt.undefined:
        return any(task.function in cell["source"] for cell in cells if not _is_check(task, cell))
    return "did not finish" not in attempt.reason


def _is_check(task: Task, cell: dict) -> bool:
    return f"check.{task.exercise.name}" in cell["source"] or "go_on_with" in cell["source"]


def _attempt(worker: Worker, task: Task, answer: Answer, *, forgiving: bool = False) -> Attempt:
    exercise = task.exercise
    if isinstance(exercise, HandIn):
        own = [piece.source for piece in answer.pieces if piece.origin != "lesson"]
        exercise = exercise.with_code(own)
    try:
        verdict = worker.judge(exercise, answer.pieces, task.function, forgiving=forgiving)
    except NoAnswer as reason:
        return Attempt(answer, None, str(reason), isinstance(reason, NotDefined))
    return Attempt(answer, verdict)


def _remarked(attempt: Attempt, remark: str) -> Attempt:
    remarks = [*attempt.answer.remarks, remark]
    return replace(attempt, answer=replace(attempt.answer, remarks=remarks))


def _most_helpful(attempt: Attempt) -> str:
    """Name the cell that Python cannot run, since it most likely holds what is missing."""
    return attempt.answer.broken[0] if attempt.answer.broken else attempt.reason

"""Use a student's answer, a function or a class, on every case, and give a verdict."""

from __future__ import annotations

import dis
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any

import torch

from n2n_lib.course.check import autograded, notebook_state, record
from n2n_lib.course.check.diagnosis import Diagnosis
from n2n_lib.course.check.exercise import Exercise
from n2n_lib.course.check.limit import limited
from n2n_lib.course.check.outcome import Outcome, call
from n2n_lib.course.check.table import WIDTH, cut, draw_table
from n2n_lib.course.check.watch import is_students

TO_WRITE = (
    'Replace the line `raise NotImplementedError` in the cell above; `check.hint("{name}")` '
    "helps you begin."
)
"""What is said to an exercise that is still empty."""


class CheckFailed(AssertionError):
    """A student's answer is not right yet; the message says what to look at."""

    def _render_traceback_(self) -> list[str]:
        """Tell Jupyter to show the message alone: the traceback would be of this library."""
        lines = str(self).splitlines()
        return [part for line in lines for part in textwrap.wrap(line, WIDTH) or [""]]


@dataclass(frozen=True)
class Verdict:
    """What a check finds: right or not, a message, and of a wrong answer the table of cases."""

    right: bool
    message: str
    table: str = ""
    kind: str = ""  # of its explanation
    stopped: bool = False  # it took too long, so there is no table
    share: float | None = None  # of the points, where an answer is measured and not compared

    @property
    def written(self) -> bool:
        """Whether the answer is more than what a student has been given."""
        return self.right or self.stopped or bool(self.table)


def run(exercise: Exercise, answer: Callable[..., Any]) -> None:
    """Judge `answer`: print one line if it is right, else a table, and raise.

    Raises
    ------
    CheckFailed
        If it is not right; the message is the diagnosis. The second failure adds the first hint,
        the third the second, and every later one the last.
    TypeError
        If `answer` is not a function, or not a class where one is asked for.
    """
    name = exercise.name
    if failed := notebook_state.failed_cell(exercise, answer):
        raise CheckFailed(failed)
    if is_the_librarys(exercise, answer):
        raise CheckFailed(librarys(exercise))
    try:
        verdict = judge_in_time(exercise, answer)
    finally:
        autograded.take_away_output()
    if verdict.right:
        exercise.failures = 0
        print(_by_its_name(verdict.message, exercise, answer))
        record.note(name, right=True)
        return
    message = _by_its_name(verdict.message, exercise, answer)
    if verdict.written:
        if verdict.table:
            print(verdict.table)
        message += notebook_state.remarks(answer)
        record.note(name, right=False)
        exercise.failures += 1
        if exercise.failures > 1:
            step = min(exercise.failures - 1, len(exercise.hints))
            message += f"\nHint: {exercise.hints[step - 1]}"
    else:
        message = notebook_state.leftover_stub(exercise, answer) or message
    raise CheckFailed(message) from None


def _by_its_name(message: str, exercise: Exercise, answer: Callable[..., Any]) -> str:
    """Begin a message with the name that the student has given to the answer."""
    name = getattr(answer, "__name__", "")
    return message.replace(exercise.name, name, 1) if name.isidentifier() else message


def judge_in_time(exercise: Exercise, answer: Callable[..., Any]) -> Verdict:
    """Judge as `judge` does, but stop an answer that takes too long, see `limit`.

    Raises
    ------
    TypeError
        As `judge`.
    KeyboardInterrupt
        If it is interrupted; Jupyter shows one line of it, and none of this library.
    """
    limit = limited(counts=notebook_state.is_of(answer))
    try:
        with torch.no_grad(), limit:  # it ends as it began even where a `with` inside is cut short
            return judge(exercise, answer)
    except limit.stop as stop:
        limit.close()
        line = notebook_state.student_line(stop, answer)
        where = f" in the line `{cut(line, WIDTH)}`" if line else ""
        message = (
            f"{exercise.name}: stopped after {limit.spent:.0f} seconds{where}. Is there a loop "
            "that never ends? A right answer takes a second or two for all cases."
        )
        return Verdict(False, message, stopped=True)
    except KeyboardInterrupt as stop:
        limit.close()
        line = notebook_state.student_line(stop, answer)
        where = f" in the line `{cut(line, WIDTH)}`" if line else ""
        message = f"{exercise.name}: stopped by you{where}."
        stop._render_traceback_ = CheckFailed(message)._render_traceback_
        raise
    finally:
        limit.close()


def judge(exercise: Exercise, answer: Callable[..., Any]) -> Verdict:
    """Use `answer` on every case, and say whether it is right and if not, why.

    Raises
    ------
    TypeError
        If `answer` is not a function, or not a class where one is asked for.
    """
    name = exercise.name
    if not exercise.is_one(answer):
        raise TypeError(
            f"expected the {exercise.kind} {name} itself, as in check.{name}({name}), "
            f"got {type(answer).__name__}"
        )
    watch = not is_our_version(exercise, answer)  # which uses the solution, of course
    return judge_calls(exercise, exercise.calls(answer), watch=watch)


def judge_calls(exercise: Exercise, function: Callable[..., Any], *, watch: bool = True) -> Verdict:
    """Judge an answer that is a function of the arguments of a case, see `Exercise.calls`.

    Unless it is to be watched, it may use what it likes.
    """
    name = exercise.name
    with torch.no_grad():
        outcomes = [call(exercise, case, function, watch=watch) for case in exercise.cases]
        for outcome, expected in zip(outcomes, exercise.expected, strict=True):
            outcome.compare(expected)
        if any(not_written(outcome.error) for outcome in outcomes):
            return Verdict(False, f"{name}: not written yet. {TO_WRITE.format(name=name)}")
        if all(outcome.right and not outcome.changed for outcome in outcomes):
            if all(outcome.allowed for outcome in outcomes):
                return Verdict(True, f"{name}: right, {len(outcomes)} cases.{_rounded(outcomes)}")
        explanation = Diagnosis(exercise, outcomes).explain()
        table = draw_table(exercise, outcomes)
        return Verdict(False, f"{name}: {explanation.text}", table, explanation.kind)


def _rounded(outcomes: list[Outcome]) -> str:
    """Say where an answer has the digits of float32 alone."""
    if not any(outcome.is_rounded for outcome in outcomes):
        return ""
    return (
        " To seven digits: on its way it makes a tensor of float32, where `x.new_zeros(...)` or "
        "`dtype=x.dtype` would keep all sixteen."
    )


def not_written(error: BaseException | None) -> bool:
    """Whether an exception says that an exercise is still empty, or another one that it calls.

    It comes from a ``raise`` in the answer itself, or in a function beside it that does nothing
    else. PyTorch raises the same error for a missing kernel, and `Module` for a missing method.
    """
    if not isinstance(error, NotImplementedError):
        return False
    if hasattr(error, "student_line"):  # of another process, where this has been asked
        return True
    steps, trace = [], error.__traceback__
    while trace is not None:
        steps.append((trace.tb_frame.f_code, trace.tb_lasti))
        trace = trace.tb_next
    theirs = [code for code, _ in steps if is_students(code)]
    if not theirs or steps[-1][0] is not theirs[-1]:
        return False
    code, place = steps[-1]
    is_raise = dis.opname[code.co_code[place]] == "RAISE_VARARGS"
    return is_raise and (set(theirs) == {code} or _never_returns(code))


def _never_returns(code: CodeType) -> bool:
    return not any(step.opname.startswith("RETURN") for step in dis.get_instructions(code))


# ------------------------------------------------------------------------------ going on


@dataclass(frozen=True)
class LibraryVersion:
    """A function that does what an exercise asks for, with the arguments of the student's."""

    exercise: Exercise

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return what the student's function should return, or do what it should do in place."""
        return self.exercise.solution(*arguments, **named)


def our_version(exercise: Exercise) -> Callable[..., Any]:
    """Return the library's version of an answer.

    Of a class it is the solution itself, so that it can be subclassed and its instances tested.
    """
    return exercise.solution if exercise.kind == "class" else LibraryVersion(exercise)


def is_our_version(exercise: Exercise, answer: Any) -> bool:
    """Whether an answer is what `our_version` returns."""
    return answer is exercise.solution or isinstance(answer, LibraryVersion)


def right_or_library(exercise: Exercise, answer: Callable[..., Any]) -> Callable[..., Any]:
    """Return `answer` if it passes its check, or else print one line and return our version."""
    if not is_our_version(exercise, answer):
        verdict = judge_in_time(exercise, answer)
        if verdict.right:
            return answer
        if verdict.stopped:
            print(textwrap.fill(verdict.message, WIDTH))
        if verdict.written:  # and wrong: so is what was collected before
            record.retire(exercise.name)
        answer = our_version(exercise)
    print(f"{exercise.name}: the library's version, until yours is right.")
    return answer


def librarys(exercise: Exercise) -> str:
    """Return what is said to an answer that is the library's."""
    return f"{exercise.name}: this is the library's {exercise.kind}. Run the cell with yours first."


def is_the_librarys(exercise: Exercise, answer: Any) -> bool:
    """Whether a student's answer was replaced since, by `right_or_library` or by an import."""
    place = getattr(answer, "__module__", None) or ""
    imported = place.startswith("n2n_lib.") and not place.startswith("n2n_lib.course.check.")
    return imported or is_our_version(exercise, answer)

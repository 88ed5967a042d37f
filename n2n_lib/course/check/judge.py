"""Use a student's answer, a function or a class, on every case, and give a verdict."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from n2n_lib.course.check import record
from n2n_lib.course.check.diagnosis import Diagnosis
from n2n_lib.course.check.exercise import Exercise
from n2n_lib.course.check.outcome import call
from n2n_lib.course.check.table import WIDTH, draw_table


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
    if is_the_librarys(exercise, answer):
        raise CheckFailed(librarys(exercise))
    verdict = judge(exercise, answer)
    if verdict.right:
        exercise.failures = 0
        print(verdict.message)
        record.note(name, right=True)
        return
    message = verdict.message
    if verdict.table:  # an exercise that is still empty has none
        print(verdict.table)
        record.note(name, right=False)
        exercise.failures += 1
        if exercise.failures > 1:
            step = min(exercise.failures - 1, len(exercise.hints))
            message += f"\nHint: {exercise.hints[step - 1]}"
    raise CheckFailed(message) from None


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
    return judge_calls(exercise, exercise.calls(answer))


def judge_calls(exercise: Exercise, function: Callable[..., Any]) -> Verdict:
    """Judge an answer that is a function of the arguments of a case, see `Exercise.calls`."""
    name = exercise.name
    with torch.no_grad():
        outcomes = [call(exercise, case, function) for case in exercise.cases]
        for outcome, expected in zip(outcomes, exercise.expected, strict=True):
            outcome.compare(exercise, expected)
        if any(_not_written(outcome.error) for outcome in outcomes):
            return Verdict(False, f"{name}: not written yet. Hint: {exercise.hint}")
        if all(outcome.right and not outcome.changed for outcome in outcomes):
            return Verdict(True, f"{name}: right, {len(outcomes)} cases.")
        message = f"{name}: {Diagnosis(exercise, outcomes).explain()}"
        return Verdict(False, message, draw_table(exercise, outcomes))


def _not_written(error: Exception | None) -> bool:
    """Whether the exercise is still empty.

    PyTorch raises the same error for a missing kernel, and `Module` for a missing method.
    """
    others = ("implemented for", "Could not run", "does not define")
    return isinstance(error, NotImplementedError) and not any(part in str(error) for part in others)


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
        verdict = judge(exercise, answer)
        if verdict.right:
            return answer
        if verdict.table:  # it is written, and wrong: so is what was collected before
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

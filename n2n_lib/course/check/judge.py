"""Call a student's function on every case of an exercise, and give a verdict."""

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


def run(exercise: Exercise, function: Callable[..., Any]) -> None:
    """Judge `function`: print one line if it is right, else a table, and raise.

    Raises
    ------
    CheckFailed
        If an answer is not right; the message is the diagnosis, from the second failure on with
        the hint.
    TypeError
        If `function` is not a function.
    """
    name = exercise.name
    if _is_the_librarys(function):
        raise CheckFailed(f"{name}: this is the library's function. Run the cell with yours first.")
    verdict = judge(exercise, function)
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
            message += f"\nHint: {exercise.hint}"
    raise CheckFailed(message) from None


def judge(exercise: Exercise, function: Callable[..., Any]) -> Verdict:
    """Call `function` on every case, and say whether it is right and if not, why.

    Raises
    ------
    TypeError
        If `function` is not a function.
    """
    name = exercise.name
    if not callable(function):
        raise TypeError(
            f"expected the function {name} itself, as in check.{name}({name}), "
            f"got {type(function).__name__}"
        )
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
    """Whether the exercise is still empty; PyTorch raises the same error for a missing kernel."""
    text = str(error)
    kernel = "implemented for" in text or "Could not run" in text
    return isinstance(error, NotImplementedError) and not kernel


# ------------------------------------------------------------------------------ going on


@dataclass(frozen=True)
class LibraryVersion:
    """A function that does what an exercise asks for, with the arguments of the student's."""

    exercise: Exercise

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return what the student's function should return, or do what it should do in place."""
        names = list(self.exercise.cases[0].arguments)
        given = dict(zip(names, arguments, strict=False)) | named
        return self.exercise.solution(*(given[name] for name in names))


def right_or_library(exercise: Exercise, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` if it passes its check, or else print one line and return our version."""
    if not isinstance(function, LibraryVersion):
        verdict = judge(exercise, function)
        if verdict.right:
            return function
        if verdict.table:  # it is written, and wrong: so is what was collected before
            record.retire(exercise.name)
        function = LibraryVersion(exercise)
    print(f"{exercise.name}: the library's version, until yours is right.")
    return function


def _is_the_librarys(function: Any) -> bool:
    """Whether a student's function was replaced since, by `right_or_library` or by an import."""
    place = getattr(function, "__module__", None) or ""
    imported = place.startswith("n2n_lib.") and not place.startswith("n2n_lib.course.check.")
    return imported or isinstance(function, LibraryVersion)

"""Call a student's function on every case of an exercise, and give a verdict."""

from __future__ import annotations

import copy
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from n2n_lib.course.check import record
from n2n_lib.course.check.diagnosis import Diagnosis
from n2n_lib.course.check.table import WIDTH, draw_table

if TYPE_CHECKING:
    from n2n_lib.course.check.exercise import Case, Exercise


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


# ------------------------------------------------------------------------------ one case


@dataclass
class Outcome:
    """What a function made of one case."""

    case: Case
    returned: Any = None
    got: tuple = ()  # the values to judge
    error: Exception | None = None
    after: list[Tensor] = field(default_factory=list)  # the tensors among the arguments
    changed: list[str] = field(default_factory=list)  # arguments that had to stay as they were
    expected: tuple = ()
    verdicts: list[str] = field(default_factory=list)  # one for each expected value

    @property
    def right(self) -> bool:
        """Whether every value is right; `changed` is judged apart."""
        return self.error is None and all(verdict == "right" for verdict in self.verdicts)

    def compare(self, exercise: Exercise, expected: tuple) -> None:
        """Give a verdict on every value."""
        self.expected = expected
        if self.error is not None:
            self.verdicts = ["raised"] * len(expected)
        elif len(self.got) != len(expected):
            self.verdicts = ["wrong count"] * len(expected)
        else:
            pairs = zip(expected, self.got, strict=True)
            self.verdicts = [_verdict(exercise, *pair) for pair in pairs]

    def wrong_values(self, *verdicts: str) -> Iterator[tuple[int, Any, Any]]:
        """Yield (index, expected, got) of what is not right, or has one of the verdicts."""
        if self.error is None and len(self.got) == len(self.expected):
            for index, verdict in enumerate(self.verdicts):
                if verdict in verdicts or (not verdicts and verdict != "right"):
                    yield index, self.expected[index], self.got[index]


def call(exercise: Exercise, case: Case, function: Callable[..., Any]) -> Outcome:
    """Call a function on a copy of the arguments; keep what it returned, raised and changed."""
    outcome = Outcome(case)
    arguments = copy.deepcopy(case.arguments)
    lists = {name: list(value) for name, value in arguments.items() if isinstance(value, list)}
    try:
        outcome.returned = function(*arguments.values())
    except Exception as error:  # whatever a student's function may raise
        outcome.error = error
        return outcome
    for name, before in lists.items():
        if list(map(id, arguments[name])) != list(map(id, before)):
            outcome.changed.append(f"the list {name}")
    arguments |= lists  # the tensors that were in the list when the call began
    for (label, before), (_, after) in zip(
        tensors_in(case.arguments), tensors_in(arguments), strict=True
    ):
        outcome.after.append(after)
        if not label.startswith(exercise.may_change) and not _untouched(before, after):
            outcome.changed.append(("the " if " in " in label else "") + label)
    if exercise.in_place:
        outcome.got = exercise.in_place(*arguments.values())
    elif len(exercise.returns) > 1 and isinstance(outcome.returned, (tuple, list)):
        outcome.got = tuple(outcome.returned)
    else:
        outcome.got = (outcome.returned,)
    outcome.got = tuple(v.detach() if isinstance(v, Tensor) else v for v in outcome.got)
    return outcome


def _untouched(before: Tensor, after: Tensor) -> bool:
    rounding = 1e-12 if before.dtype == torch.float64 else 1e-6  # x + h - 2h + h is not x
    return before.shape == after.shape and torch.allclose(after, before, rounding, rounding)


def tensors_in(value: Any, label: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor in the arguments with a name for it."""
    if isinstance(value, Tensor):
        yield label, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from tensors_in(item, name)
    elif isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], Tensor):
        yield f"parameter in {label}", value[0]
        yield f"gradient in {label}", value[1]
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            yield from tensors_in(item, f"{label}[{index}]")


def _verdict(exercise: Exercise, expected: Any, got: Any) -> str:
    """Judge one value in a few words for the table."""
    if not isinstance(expected, Tensor):
        kinds = (int,) if isinstance(expected, int) else (int, float)
        if isinstance(got, bool) or not isinstance(got, kinds):
            return "wrong type"
        return "right" if exercise.close(expected, got) else "wrong number"
    if not isinstance(got, Tensor) or got.is_complex():
        return "wrong type"
    if got.shape != expected.shape:
        return "wrong shape"
    if not exercise.close(expected, got):
        return "wrong numbers" if got.isfinite().all() else "not finite"
    return "right" if got.dtype == expected.dtype else "wrong dtype"


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
        if judge(exercise, function).right:
            return function
        function = LibraryVersion(exercise)
    print(f"{exercise.name}: the library's version, until yours is right.")
    return function


def _is_the_librarys(function: Any) -> bool:
    """Whether a student's function was replaced since, by `right_or_library` or by an import."""
    place = getattr(function, "__module__", None) or ""
    imported = place.startswith("n2n_lib.") and not place.startswith("n2n_lib.course.check.")
    return imported or isinstance(function, LibraryVersion)

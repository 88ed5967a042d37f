"""What an answer makes of one case."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import TOLERANCE, Case, Exercise, tensors_in
from n2n_lib.course.check.watch import Seen, Watch


class Elsewhere:
    """An answer that runs in another process, where it is watched.

    Attributes
    ----------
    seen : Seen
        What was seen while it ran last.
    """

    seen = Seen()


@dataclass
class Outcome:
    """What an answer made of one case."""

    exercise: Exercise
    case: Case
    returned: Any = None
    got: tuple = ()  # the values to judge
    error: Exception | None = None
    after: list[Tensor] = field(default_factory=list)  # the tensors among the arguments
    changed: list[str] = field(default_factory=list)  # arguments that had to stay as they were
    seen: Seen = field(default_factory=Seen)  # what happened meanwhile
    expected: tuple = ()
    verdicts: list[str] = field(default_factory=list)  # one for each expected value

    @property
    def right(self) -> bool:
        """Whether every value is right; `changed` and `seen` are judged apart."""
        return self.error is None and all(verdict == "right" for verdict in self.verdicts)

    @property
    def allowed(self) -> bool:
        """Whether it came about as the exercise allows."""
        seen = self.seen
        looped = seen.loops and not self.exercise.loops
        return not (seen.used or seen.copied or seen.moved or looped)

    @property
    def is_rounded(self) -> bool:
        """Whether it has the digits of float32 alone, and was given those of float64."""
        return self.right and any(
            isinstance(expected, Tensor) and not self.exercise.close(expected, got)
            for expected, got in zip(self.expected, self.got, strict=True)
        )

    def compare(self, expected: tuple) -> None:
        """Give a verdict on every value."""
        exercise = self.exercise
        self.expected = expected
        if self.error is not None:
            self.verdicts = ["raised"] * len(expected)
        elif len(self.got) != len(expected):
            self.verdicts = ["wrong count"] * len(expected)
        else:
            single = self.seen.single and not exercise.needs_single(self.case)
            pairs = zip(expected, self.got, strict=True)
            self.verdicts = [_verdict(exercise, *pair, single) for pair in pairs]

    def wrong_values(self, *verdicts: str) -> Iterator[tuple[int, Any, Any]]:
        """Yield (index, expected, got) of what is not right, or has one of the verdicts."""
        if self.error is None and len(self.got) == len(self.expected):
            for index, verdict in enumerate(self.verdicts):
                if verdict in verdicts or (not verdicts and verdict != "right"):
                    yield index, self.expected[index], self.got[index]


def call(
    exercise: Exercise, case: Case, function: Callable[..., Any], *, watch: bool = True
) -> Outcome:
    """Call a function on a copy of the arguments; keep what it returned, raised and changed.

    The function is what `Exercise.calls` makes of an answer, or an `Elsewhere`.
    """
    outcome = Outcome(exercise, case)
    arguments = copy.deepcopy(case.arguments)
    lists = {name: list(value) for name, value in arguments.items() if isinstance(value, list)}
    try:
        if watch and not isinstance(function, Elsewhere):
            outcome.returned, outcome.seen = watched(
                exercise, exercise.allowed, function, arguments
            )
        else:
            outcome.returned = function(*arguments.values())
            outcome.seen = getattr(function, "seen", outcome.seen) if watch else outcome.seen
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


def watched(
    exercise: Exercise,
    allowed: Sequence[str],
    function: Callable[..., Any],
    arguments: dict[str, Any],
) -> tuple[Any, Seen]:
    """Call an answer to an exercise; return what it returned, and what was seen.

    Parameters
    ----------
    exercise : Exercise
    allowed : sequence of str
        Ready-made functions that do not count, `Exercise.allowed`.
    function : callable
        What `Exercise.calls` makes of an answer.
    arguments : dict
        Of a case.
    """
    places = [(tensor, tensor.data_ptr()) for _, tensor in tensors_in(arguments)]
    with Watch(allowed, exercise) as watch:
        returned = function(*arguments.values())
    given_single = any(value.dtype == torch.float32 for _, value in tensors_in(arguments))
    seen = replace(watch.seen, single=watch.seen.single and not given_single)
    if exercise.view_of and not _is_view_of(returned, arguments[exercise.view_of]):
        seen = replace(seen, copied=True)
    if any(tensor.data_ptr() != place for tensor, place in places):
        seen = replace(seen, moved=True)
    return returned, seen


def _is_view_of(result: Any, argument: Tensor) -> bool:
    """Whether a tensor shares the memory of another."""
    if not isinstance(result, Tensor):
        return False
    return result.untyped_storage().data_ptr() == argument.untyped_storage().data_ptr()


def _untouched(before: Tensor, after: Tensor) -> bool:
    rounding = 1e-12 if before.dtype == torch.float64 else 1e-6  # x + h - 2h + h is not x
    if before.shape != after.shape or before.dtype != after.dtype:
        return False
    return torch.allclose(after, before, rounding, rounding, equal_nan=True)


def _verdict(exercise: Exercise, expected: Any, got: Any, single: bool) -> str:
    """Judge one value in a few words for the table.

    Where the answer worked in float32 on the way, it cannot be more accurate than that.
    """
    if not isinstance(expected, Tensor):
        kinds = (int,) if isinstance(expected, int) else (int, float)
        if isinstance(got, bool) or not isinstance(got, kinds):
            return "wrong type"
        return "right" if exercise.close(expected, got) else "wrong number"
    if not isinstance(got, Tensor) or got.is_complex():
        return "wrong type"
    if got.shape != expected.shape:
        return "wrong shape"
    if got.dtype != expected.dtype:  # that is what is wrong, and not the digits that it costs
        single = got.dtype == torch.float32
    tolerance = TOLERANCE[torch.float32] if single else None
    if not exercise.close(expected, got, tolerance):
        return "wrong numbers" if got.isfinite().all() else "not finite"
    return "right" if got.dtype == expected.dtype else "wrong dtype"

"""What an answer makes of one case."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Exercise, tensors_in


@dataclass
class Outcome:
    """What an answer made of one case."""

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
    """Call a function on a copy of the arguments; keep what it returned, raised and changed.

    The function is what `Exercise.calls` makes of an answer.
    """
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

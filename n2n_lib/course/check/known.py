"""Recognise a known mistake: one that does the same as the student's answer."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any

from torch import Tensor

from n2n_lib.course.check.exercise import Answer, Exercise
from n2n_lib.course.check.outcome import Outcome, call

REMEMBERED = 8
"""Exercises whose wrong answers are kept with what they make of the cases."""


class Wrong:
    """A wrong answer that is known; what it makes of a case is found out when it is asked for.

    Parameters
    ----------
    exercise : Exercise
    make : callable
        Returns the function, or class.
    says : str
        What is said of it.
    """

    def __init__(self, exercise: Exercise, make: Callable[[], Any], says: str) -> None:
        self.says = says
        self._exercise, self._make = exercise, make
        self._outcomes: dict[int, Outcome] = {}

    @cached_property
    def _function(self) -> Callable[..., Any]:
        return self._exercise.calls(self._make())

    def __getitem__(self, index: int) -> Outcome:
        """Return what it makes of a case."""
        if index not in self._outcomes:
            case = self._exercise.cases[index]
            with warnings.catch_warnings():  # what it warns of is not the student's to read
                warnings.simplefilter("ignore")
                outcome = call(self._exercise, case, self._function, watch=False)
            if outcome.error is not None:
                outcome.error.__traceback__ = None  # it would keep all that was there alive
            self._outcomes[index] = outcome
        return self._outcomes[index]


def known_mistakes(
    exercise: Exercise, outcomes: list[Outcome], *, effects: bool = False, everywhere: bool = True
) -> list[str]:
    """Return the sentences of the known mistakes that do the same as the student's answer.

    Parameters
    ----------
    exercise : Exercise
        With its known mistakes.
    outcomes : list of Outcome
        What the student's answer made of each case.
    effects : bool
        Whether a mistake must also leave the same in its arguments. If not, only mistakes that
        change nothing count.
    everywhere : bool
        Whether it must do the same in every case. If not, it is enough that two wrong answers are
        the same, and that the student's answer raises, returns a wrong shape or has values that
        are not finite wherever else the two differ.
    """
    least = 1 if everywhere else 2
    returned = [index for index, outcome in enumerate(outcomes) if outcome.error is None]
    if len(returned) < least:
        return []
    raised = [index for index in range(len(outcomes)) if index not in returned]  # tell less: last
    found = (
        wrong.says
        for wrong in _known(exercise)
        if _fits(exercise, outcomes, wrong, returned + raised, effects, everywhere) >= least
    )
    return list(dict.fromkeys(found))


@lru_cache(maxsize=REMEMBERED)
def _known(exercise: Exercise) -> list[Wrong]:
    def maker(answer: Answer) -> Callable[[], Any]:
        return lambda: exercise.function_of(answer)

    return [
        Wrong(exercise, maker(answer), mistake.sentence)
        for mistake in exercise.mistakes
        for answer in mistake.answers
    ]


def _fits(
    exercise: Exercise,
    outcomes: list[Outcome],
    known: Wrong,
    order: list[int],
    effects: bool,
    everywhere: bool,
) -> int:
    """Count the wrong cases that a mistake and the student's answer share, 0 if they disagree."""
    shown = 0
    for index in order:
        outcome, theirs = outcomes[index], known[index]
        if theirs.changed and not effects:
            return 0
        if theirs.error is not None and outcome.error is not None:
            if type(theirs.error).__name__ != type(outcome.error).__name__:
                return 0
            continue
        if is_same(exercise, outcome, theirs, effects):
            shown += is_wrong(exercise, outcome, theirs)
        elif everywhere or not _excused(exercise, outcome, theirs):
            return 0
    return shown


def is_same(exercise: Exercise, outcome: Outcome, theirs: Outcome, effects: bool) -> bool:
    """Whether two answers made the same of a case; with `effects`, of its arguments too."""
    if theirs.error is not None or outcome.error is not None:
        return False
    if effects and theirs.changed != outcome.changed:
        return False
    if effects and not exercise.same(theirs.after, outcome.after):
        return False
    return exercise.same(theirs.got, outcome.got)


def is_wrong(exercise: Exercise, outcome: Outcome, theirs: Outcome) -> bool:
    """Whether what both made of a case is wrong."""
    return bool(theirs.changed) or not exercise.same(theirs.got, outcome.expected)


def _excused(exercise: Exercise, outcome: Outcome, theirs: Outcome) -> bool:
    """Whether a mistake may differ from the student's answer in a case that this one spoils."""
    if outcome.error is not None:
        return True
    if theirs.error is not None:
        return False
    if "wrong shape" in outcome.verdicts:
        return not exercise.same(theirs.got, outcome.expected)
    return _is_same_where_finite(exercise, outcome, theirs)


def _is_same_where_finite(exercise: Exercise, outcome: Outcome, theirs: Outcome) -> bool:
    """Whether an answer differs from a mistake only in values that are not finite."""
    if "not finite" not in outcome.verdicts or len(theirs.got) != len(outcome.got):
        return False
    ours, others = [], []
    for got, other in zip(outcome.got, theirs.got, strict=True):
        if isinstance(got, Tensor) and isinstance(other, Tensor) and got.shape == other.shape:
            finite = got.isfinite()
            got, other = got[finite], other[finite]
        ours.append(got)
        others.append(other)
    return exercise.same(ours, others)

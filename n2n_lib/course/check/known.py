"""Recognise a known mistake: one that does the same as the student's answer."""

from __future__ import annotations

from functools import cache

from n2n_lib.course.check.exercise import Exercise
from n2n_lib.course.check.outcome import Outcome, call


def known_mistake(
    exercise: Exercise, outcomes: list[Outcome], *, effects: bool = False, everywhere: bool = True
) -> str | None:
    """Return the sentence of the known mistake that does the same as the student's answer.

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
        the same, and that the student's answer raises or returns a wrong shape wherever else the
        two differ.
    """
    for sentence, known in _known_outcomes(exercise):
        if _fits(exercise, outcomes, known, effects, everywhere):
            return sentence
    return None


@cache
def _known_outcomes(exercise: Exercise) -> list[tuple[str, list[Outcome]]]:
    """Return of every known mistake the sentence, and what it makes of each case."""
    return [
        (mistake.sentence, [call(exercise, case, function) for case in exercise.cases])
        for mistake in exercise.mistakes
        for function in map(exercise.calls, map(exercise.function_of, mistake.answers))
    ]


def _fits(
    exercise: Exercise,
    outcomes: list[Outcome],
    known: list[Outcome],
    effects: bool,
    everywhere: bool,
) -> bool:
    """Whether a mistake agrees with the student's answer."""
    shown = 0
    for outcome, theirs in zip(outcomes, known, strict=True):
        if theirs.changed and not effects:
            return False
        if theirs.error is not None and outcome.error is not None:
            continue
        same = theirs.error is None and exercise.same(theirs.got, outcome.got)
        if effects:
            same = same and theirs.changed == outcome.changed
            same = same and exercise.same(theirs.after, outcome.after)
        if same:
            shown += bool(theirs.changed) or not exercise.same(theirs.got, outcome.expected)
        elif everywhere or not _excused(exercise, outcome, theirs):
            return False
    return shown >= (1 if everywhere else 2)


def _excused(exercise: Exercise, outcome: Outcome, theirs: Outcome) -> bool:
    """Whether a mistake may differ from the student's answer in a case that this one spoils."""
    if "wrong shape" in outcome.verdicts:
        return not exercise.same(theirs.got, outcome.expected)
    return outcome.error is not None

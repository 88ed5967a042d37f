"""The answer checks of lesson 13: right answers pass, wrong ones are told what is wrong."""

from __future__ import annotations

import re

import pytest
import test_check as helpers
from test_check import but

from n2n_lib import check

MEAN = """
total = 0
for grad, count in zip(grads, counts):
    total = total + count / sum(counts) * grad
return total
"""
RING = """
messages = 2.0 * (processes - 1)
return messages * (latency + size / processes / bandwidth)
"""


# For every exercise: (what is wrong, the student's text, words that the message must contain).
WRONG: dict[str, list[tuple[str, str, tuple[str, ...]]]] = {
    "mean_gradient": [
        ("mean of means", "return sum(grads) / len(grads)", ("mean of the means", "equal")),
        ("a sum", "return sum(grads)", ("each in full",)),
        ("not divided", but(MEAN, (" / sum(counts)", "")), ("size of the whole batch",)),
        (
            "upside down",
            but(MEAN, ("count / sum(counts)", "(count and sum(counts) / count)")),
            ("upside down",),
        ),
        ("by the largest", but(MEAN, ("sum(counts)", "max(counts)")), ("by the largest",)),
        ("counts missing", but(MEAN, ("count / sum", "1 / sum")), ("counts are missing",)),
        ("divided twice", but(MEAN, ("return total", "return total / len(grads)")), ("once more",)),
        (
            "reversed",
            but(MEAN, ("zip(grads, counts)", "zip(grads, reversed(counts))")),
            ("do not belong together",),
        ),
        ("the first", "return grads[0].clone()", ("Only the first",)),
        ("overwritten", but(MEAN, ("total + count", "count")), ("Only the last", "overwrite")),
        ("stacked", "return torch.stack(grads)", ("Wrong shape",)),
        (
            "in place",
            "grads[0] *= counts[0] / sum(counts)\n"
            "for grad, count in zip(grads[1:], counts[1:]):\n"
            "    grads[0] += count / sum(counts) * grad\nreturn grads[0]",
            ("grads",),
        ),
    ],
    "ring_seconds": [
        ("once around", but(RING, ("2.0 * ", "")), ("Half of the messages",)),
        ("one too many", but(RING, ("(processes - 1)", "processes")), ("One message too many",)),
        ("whole tensor", but(RING, ("size / processes", "size")), ("whole tensor",)),
        (
            "latency once",
            "return latency + 2 * (processes - 1) * size / processes / bandwidth",
            ("paid once",),
        ),
        ("no latency", but(RING, ("latency + ", "")), ("latency is missing",)),
        ("multiplied", but(RING, ("/ bandwidth", "* bandwidth")), ("multiplied by the bandwidth",)),
        (
            "latency shared",
            but(
                RING,
                (
                    "latency + size / processes / bandwidth",
                    "latency / processes + size / processes / bandwidth",
                ),
            ),
            ("divided among",),
        ),
        (
            "cut for one less",
            but(RING, ("size / processes", "size / max(1, processes - 1)")),
            ("size / (P - 1)",),
        ),
        (
            "bytes twice only",
            but(RING, ("2.0 * ", ""), ("size /", "2 * size /")),
            ("both rounds",),
        ),
        ("a string", "return 'long'", ("Wrong type",)),
    ],
}
NAMES = sorted(WRONG)
EVERY_WRONG = [
    pytest.param(name, answer, words, id=f"{name}: {what}")
    for name, answers in WRONG.items()
    for what, answer, words in answers
]
every_exercise = pytest.mark.parametrize("name", NAMES)
nothing_has_failed_yet = helpers.nothing_has_failed_yet


def test_all_exercises_of_the_lesson_are_here():
    assert sorted(name for name, (lesson, *_) in check.EXERCISES.items() if lesson == 13) == NAMES


@pytest.mark.parametrize("name, answer, words", EVERY_WRONG)
def test_wrong_answer_is_named(name: str, answer: str, words: tuple[str, ...], capsys):
    helpers.test_wrong_answer_is_named(name, answer, words, capsys)


@every_exercise
def test_there_are_many_known_mistakes_and_none_hides_another(name: str, monkeypatch, capsys):
    assert len(helpers.exercise_of(name).mistakes) >= 9
    helpers.test_no_known_mistake_hides_behind_another(name, monkeypatch, capsys)


@every_exercise
@pytest.mark.parametrize(
    "test",
    [
        helpers.test_the_solution_of_the_lesson_is_right,
        helpers.test_what_is_not_written_yet_gets_the_hint,
        helpers.test_right_answers_may_be_views_lists_and_other_numbers,
        helpers.test_the_table_stays_narrow_whatever_is_in_it,
        helpers.test_an_exception_is_reported_with_its_case_and_arguments,
    ],
)
def test_as_every_exercise(name: str, test, capsys):
    test(name, capsys)


@every_exercise
def test_the_hint_comes_with_the_second_failure(name: str, capsys):
    wrong, hint = helpers.student(name, WRONG[name][0][1]), check.EXERCISES[name][2]
    assert "Hint" not in helpers.judge(name, wrong)
    assert helpers.judge(name, wrong).endswith(f"\nHint: {hint}")


@every_exercise
@pytest.mark.parametrize("what", helpers.ODD)
@pytest.mark.parametrize("only", ["always", "in the last case"])
def test_odd_answers_are_explained_too(name: str, what: str, only: str, capsys):
    helpers.test_odd_answers_are_explained_too(name, what, only, capsys)


@pytest.mark.parametrize("name", ["mean_gradient"])
def test_digits_that_count(name: str, capsys):
    helpers.test_digits_that_count(name, capsys)
    helpers.test_both_dtypes_are_judged(name, capsys)


@pytest.mark.parametrize("name, answer", [("mean_gradient", MEAN), ("ring_seconds", RING)])
def test_the_answers_that_are_spoilt_are_right(name: str, answer: str, capsys):
    getattr(check, name)(helpers.student(name, answer))
    assert re.fullmatch(rf"{name}: right, \d+ cases\.\n", capsys.readouterr().out)

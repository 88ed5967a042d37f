"""The answer checks of lesson 13: right answers pass, wrong ones are told what is wrong."""

from __future__ import annotations

import re

import pytest
import test_check as helpers
from answer_checks import AnswersThatReturn
from test_check import but

from n2n_lib.course import check

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


class TestLesson13(AnswersThatReturn):
    lesson, wrong, mistakes = 13, WRONG, 9


@pytest.mark.parametrize("name", ["mean_gradient"])
def test_digits_that_count(name: str, capsys):
    helpers.test_digits_that_count(name, capsys)
    helpers.test_both_dtypes_are_judged(name, capsys)


@pytest.mark.parametrize("name, answer", [("mean_gradient", MEAN), ("ring_seconds", RING)])
def test_the_answers_that_are_spoilt_are_right(name: str, answer: str, capsys):
    getattr(check, name)(helpers.student(name, answer))
    assert re.fullmatch(rf"{name}: right, \d+ cases\.\n", capsys.readouterr().out)

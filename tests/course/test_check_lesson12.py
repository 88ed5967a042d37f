"""The answer checks of lesson 12: right answers pass, wrong ones are told what is wrong."""

from __future__ import annotations

import re

import pytest
import test_check as helpers
from answer_checks import AnswersThatReturn
from test_check import but

from n2n_lib.course import check

CONCAT = """
past, branch = grad_output[:, :channels], grad_output[:, channels:]
return past + f.backward(branch)
"""
FIELD = """
size, distance = 1, 1
for kernel_size, stride in layers:
    size += (kernel_size - 1) * distance
    distance *= stride
return size
"""
ENSEMBLE = """
results = []
for quarters in range(4):
    for mirrored in (False, True):
        view = torch.rot90(noisy, quarters, (-2, -1))
        view = view.flip(-1) if mirrored else view
        result = denoise(view)
        result = result.flip(-1) if mirrored else result
        results.append(torch.rot90(result, -quarters, (-2, -1)))
return sum(results) / 8
"""
RECORRUPT = """
first = noisy + alpha * noise
second = noisy - noise / alpha
return first, second
"""


# For every exercise: (what is wrong, the student's text, words that the message must contain).
WRONG: dict[str, list[tuple[str, str, tuple[str, ...]]]] = {
    "concat_backward": [
        ("past only", "return grad_output[:, :channels]", ("past f alone", "f.backward")),
        (
            "through f only",
            "return f.backward(grad_output[:, channels:])",
            ("through f alone", "first channels"),
        ),
        (
            "averaged",
            but(CONCAT, ("past + f.backward(branch)", "(past + f.backward(branch)) / 2")),
            ("averaged", "sum"),
        ),
        ("subtracted", but(CONCAT, ("past +", "past -")), ("subtracted", "sum")),
        ("multiplied", but(CONCAT, ("past +", "past *")), ("multiplied", "sum")),
        (
            "concatenated",
            but(CONCAT, ("past + f.backward(branch)", "torch.cat([past, f.backward(branch)], 1)")),
            ("beside each other", "backward adds"),
        ),
        (
            "not through f",
            but(CONCAT, ("f.backward(branch)", "branch")),
            ("without going through",),
        ),
        (
            "exchanged",
            "cut = grad_output.shape[1] - channels\n"
            "return grad_output[:, cut:] + f.backward(grad_output[:, :cut])",
            ("exchanged", "input first"),
        ),
        (
            "f gets the first part",
            but(CONCAT, ("backward(branch)", "backward(past)")),
            ("f made the other ones",),
        ),
        ("forward", but(CONCAT, ("f.backward", "f.forward")), ("calls forward",)),
        (
            "in the middle",
            but(
                CONCAT,
                ("grad_output[:, :channels], grad_output[:, channels:]", "grad_output.chunk(2, 1)"),
            ),
            ("not in the middle", "grad_output[:, channels:]"),
        ),
        (
            "in place",
            but(
                CONCAT,
                ("return past + f.backward(branch)", "past += f.backward(branch)\nreturn past"),
            ),
            ("numbers are right", "view", "`+=`"),
        ),
        ("nothing is split", "return f.backward(grad_output)", ("no others",)),
        ("as it came", "return grad_output", ("split it first",)),
        ("twice past", but(CONCAT, ("past +", "2 * past +")), ("counted twice",)),
        (
            "summed over the batch",
            but(
                CONCAT,
                ("past + f.backward(branch)", "(past + f.backward(branch)).sum(0, keepdim=True)"),
            ),
            ("summed over the batch",),
        ),
    ],
    "receptive_field": [
        ("strides ignored", but(FIELD, ("    distance *= stride\n", "")), ("strides are ignored",)),
        (
            "stride too early",
            but(
                FIELD,
                (
                    "    size += (kernel_size - 1) * distance\n    distance *= stride",
                    "    distance *= stride\n    size += (kernel_size - 1) * distance",
                ),
            ),
            ("too early",),
        ),
        (
            "last stride only",
            but(FIELD, ("distance *= stride", "distance = stride")),
            ("layer before", "product"),
        ),
        (
            "strides added",
            but(FIELD, ("distance *= stride", "distance += stride")),
            ("added up", "product"),
        ),
        (
            "starts with 0",
            but(FIELD, ("size, distance = 1, 1", "size, distance = 0, 1")),
            ("one pixel",),
        ),
        ("no minus 1", but(FIELD, ("(kernel_size - 1)", "kernel_size")), ("k - 1 steps", "not k")),
        ("sum of windows", "return sum(kernel for kernel, _ in layers)", ("added up",)),
        ("product of windows", "return math.prod(kernel for kernel, _ in layers)", ("multiplied",)),
        (
            "product of strides",
            "return math.prod(stride for _, stride in layers)",
            ("product of the strides",),
        ),
        ("one side", but(FIELD, ("return size", "return (size - 1) // 2")), ("to one side",)),
        ("wrong order", but(FIELD, ("in layers", "in reversed(layers)")), ("wrong order",)),
        ("half windows", but(FIELD, ("(kernel_size - 1)", "(kernel_size // 2)")), ("Half",)),
        ("swapped", but(FIELD, ("kernel_size, stride in", "stride, kernel_size in")), ("swapped",)),
        ("squared", but(FIELD, ("return size", "return size**2")), ("squared",)),
        ("last left out", but(FIELD, ("in layers", "in layers[:-1]")), ("last layer is left out",)),
        ("float", but(FIELD, ("return size", "return float(size)")), ("should be an int",)),
    ],
    "self_ensemble": [
        ("once", "return denoise(noisy)", ("denoised once",)),
        ("a sum", but(ENSEMBLE, (" / 8", "")), ("not divided by 8",)),
        ("by four", but(ENSEMBLE, ("/ 8", "/ 4")), ("divided by 4",)),
        (
            "turns only",
            but(ENSEMBLE, ("(False, True)", "(False,)"), ("/ 8", "/ 4")),
            ("mirrored views are missing",),
        ),
        (
            "mirrored only",
            but(ENSEMBLE, ("(False, True)", "(True,)"), ("/ 8", "/ 4")),
            ("4 mirrored views only",),
        ),
        (
            "no quarter turns",
            but(ENSEMBLE, ("range(4)", "(0, 2)"), ("/ 8", "/ 4")),
            ("90 degrees are missing",),
        ),
        (
            "three turns",
            but(ENSEMBLE, ("range(4)", "range(3)"), ("/ 8", "/ 6")),
            ("last quarter turn",),
        ),
        (
            "not upright",
            but(ENSEMBLE, ("range(4)", "range(1, 4)"), ("/ 8", "/ 6")),
            ("not turned is left out",),
        ),
        ("turned on", but(ENSEMBLE, ("-quarters", "quarters")), ("same direction", "-quarters")),
        (
            "not mirrored back",
            but(ENSEMBLE, ("        result = result.flip(-1) if mirrored else result\n", "")),
            ("not mirrored back",),
        ),
        (
            "not turned back",
            but(ENSEMBLE, ("torch.rot90(result, -quarters, (-2, -1))", "result")),
            ("not turned back",),
        ),
        (
            "back in the wrong order",
            but(
                ENSEMBLE,
                ("        result = result.flip(-1) if mirrored else result\n", ""),
                (
                    "torch.rot90(result, -quarters, (-2, -1))",
                    "torch.rot90(result, -quarters, (-2, -1)).flip([-1] if mirrored else [])",
                ),
            ),
            ("Undo the last step first",),
        ),
        ("not denoised", but(ENSEMBLE, ("denoise(view)", "view")), ("Nothing is denoised",)),
        (
            "median",
            but(ENSEMBLE, ("sum(results) / 8", "torch.stack(results).median(0).values")),
            ("median",),
        ),
        (
            "maximum",
            but(ENSEMBLE, ("sum(results) / 8", "torch.stack(results).amax(0)")),
            ("maximum",),
        ),
        (
            "all eight",
            but(ENSEMBLE, ("sum(results) / 8", "torch.stack(results)")),
            ("eight results", "mean"),
        ),
    ],
    "recorrupt": [
        ("same sign", but(RECORRUPT, ("noisy - noise", "noisy + noise")), ("same sign", "minus")),
        (
            "signs exchanged",
            but(RECORRUPT, ("noisy + alpha", "noisy - alpha"), ("noisy - noise", "noisy + noise")),
            ("signs are exchanged", "independent too"),
        ),
        ("order", but(RECORRUPT, ("first, second\n", "second, first\n")), ("wrong order",)),
        ("times in both", but(RECORRUPT, ("noise / alpha", "noise * alpha")), ("covariance",)),
        (
            "divided in both",
            but(RECORRUPT, ("alpha * noise", "noise / alpha")),
            ("Both copies get the noise divided",),
        ),
        (
            "alpha exchanged",
            but(
                RECORRUPT,
                ("alpha * noise", "(noise / alpha)"),
                ("- noise / alpha", "- alpha * noise"),
            ),
            ("alpha and 1 / alpha",),
        ),
        ("second as it came", "return noisy + alpha * noise, noisy", ("second copy is the noisy",)),
        (
            "first as it came",
            "return noisy, noisy - noise / alpha",
            ("first copy is the noisy",),
        ),
        ("no alpha", "return noisy + noise, noisy - noise", ("alpha is ignored:",)),
        (
            "no alpha in the first",
            but(RECORRUPT, ("alpha * noise", "noise")),
            ("ignored in the first",),
        ),
        (
            "no alpha in the second",
            but(RECORRUPT, ("noise / alpha", "noise")),
            ("ignored in the second",),
        ),
        (
            "squared",
            but(RECORRUPT, ("alpha * noise", "alpha**2 * noise"), ("/ alpha", "/ alpha**2")),
            ("squared in both",),
        ),
        (
            "squared in the second",
            but(RECORRUPT, ("/ alpha", "/ alpha**2")),
            ("squared in the second",),
        ),
        ("from the first", but(RECORRUPT, ("noisy - noise", "first - noise")), ("from the first",)),
        ("noise alone", "return alpha * noise, -noise / alpha", ("noise alone",)),
        (
            "in place",
            "second = noisy - noise / alpha\nnoisy += alpha * noise\nreturn noisy, second",
            ("numbers are right", "`+=`"),
        ),
        ("one value", "return noisy + alpha * noise", ("2",)),
    ],
}
NAMES = sorted(WRONG)


class TestLesson12(AnswersThatReturn):
    lesson, wrong = 12, WRONG


@pytest.mark.parametrize("name", ["concat_backward", "self_ensemble", "recorrupt"])
def test_digits_that_count(name: str, capsys):
    helpers.test_digits_that_count(name, capsys)
    helpers.test_both_dtypes_are_judged(name, capsys)


@pytest.mark.parametrize("answer", [CONCAT, FIELD, RECORRUPT, ENSEMBLE])
def test_the_answers_that_are_spoilt_are_right(answer: str, capsys):
    name = NAMES[[CONCAT, FIELD, RECORRUPT, ENSEMBLE].index(answer)]
    getattr(check, name)(helpers.student(name, answer))
    assert re.fullmatch(rf"{name}: right, \d+ cases\.\n", capsys.readouterr().out)

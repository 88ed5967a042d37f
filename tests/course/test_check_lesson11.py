"""The answer checks of lesson 11: right answers pass, wrong ones are told what is wrong."""

from __future__ import annotations

import pytest
import test_check
import torch
from answer_checks import AnswersThatReturn
from test_check import but, judge

from n2n_lib.course import check

VIEW = """
images, height, width, channels = x.shape
rows, columns = (height - kernel) // stride + 1, (width - kernel) // stride + 1
image, line, pixel, one = x.stride()
shape = (images, rows, columns, kernel, kernel, channels)
return x.as_strided(shape, (image, stride * line, stride * pixel, line, pixel, one))
"""
ADD = """
images, height, width, k, _, outputs = products.shape
size = (images, (height - 1) * stride + k, (width - 1) * stride + k, outputs)
y = products.new_zeros(size)
for u in range(k):
    for v in range(k):
        pixels = y[:, u : u + stride * height : stride, v : v + stride * width : stride]
        pixels += products[:, :, :, u, v]
return y
"""
PHASES = """
sums = torch.tensor([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], dtype=weight.dtype)
return torch.einsum("pau,qbv,ocuv->pqocab", sums, sums, weight)
"""


# For every exercise: (what is wrong, the student's text, words that the message must contain).
WRONG: dict[str, list[tuple[str, str, tuple[str, ...]]]] = {
    "windows": [
        (
            "no stride in the steps",
            but(VIEW, ("stride * line, stride * pixel", "line, pixel")),
            ("start one pixel apart",),
        ),
        (
            "stride inside",
            but(
                VIEW,
                ("stride * line, stride * pixel, line, pixel", "line, pixel, 2 * line, 2 * pixel"),
                ("2 *", "stride *"),
            ),
            ("stride is inside the window",),
        ),
        (
            "dilated",
            but(VIEW, ("pixel, line, pixel, one", "pixel, stride * line, stride * pixel, one")),
            ("raised RuntimeError", "beyond the end of x"),
        ),
        ("rows alone", but(VIEW, ("stride * pixel", "pixel")), ("for the rows alone",)),
        ("columns alone", but(VIEW, ("stride * line", "line")), ("for the columns alone",)),
        (
            "window transposed",
            but(VIEW, ("pixel, line, pixel, one", "pixel, pixel, line, one")),
            ("Rows and columns of the window",),
        ),
        (
            "places transposed",
            but(VIEW, ("stride * line, stride * pixel", "stride * pixel, stride * line")),
            ("Rows and columns of the places",),
        ),
        (
            "pixels counted",
            but(
                VIEW,
                ("x.stride()", "height * width, width, 1, 1"),
            ),
            ("a pixel holds C",),
        ),
        ("first image", but(VIEW, ("(image, ", "(0, ")), ("Every image shows",)),
        ("first channel", but(VIEW, ("pixel, one)", "pixel, 0)")), ("Every channel shows",)),
        ("corner", but(VIEW, ("stride * line, stride * pixel", "0, 0")), ("of the corner",)),
        (
            "corner of the window",
            but(VIEW, ("pixel, line, pixel, one", "pixel, 0, 0, one")),
            ("is its corner",),
        ),
        ("one short", but(VIEW, ("stride + 1", "stride")), ("last place is missing",)),
        (
            "stride forgotten",
            but(VIEW, (" // stride", ""), ("stride * ", "")),
            ("ignores the stride",),
        ),
        (
            "channels in front",
            "return x.unfold(1, kernel, stride).unfold(2, kernel, stride)",
            ("channels stand before the window",),
        ),
        (
            "a matrix",
            but(VIEW, ("one))", "one)).reshape(-1, kernel * kernel * channels)")),
            ("a matrix already",),
        ),
        ("flat", but(VIEW, ("one))", "one)).flatten(3)")), ("window is flat",)),
        ("five steps", but(VIEW, (", one))", "))")), ("raised RuntimeError", "six entries")),
    ],
    "shift_and_add": [
        (
            "set",
            but(ADD, ("pixels += products[:, :, :, u, v]", "pixels[:] = products[:, :, :, u, v]")),
            ("overwrite each other",),
        ),
        ("transposed", but(ADD, (":, u, v]", ":, v, u]")), ("Rows and columns",)),
        (
            "turned",
            but(ADD, (":, u, v]", ":, k - 1 - u, k - 1 - v]")),
            ("windows are turned around",),
        ),
        (
            "slices without stride",
            but(
                ADD,
                ("u : u + stride * height : stride", "u : u + height"),
                ("v : v + stride * width : stride", "v : v + width"),
            ),
            ("one pixel apart",),
        ),
        ("stride ignored", "stride = 1" + ADD, ("ignores the stride",)),
        (
            "cropped",
            but(ADD, ("return y", "return y[:, : stride * height, : stride * width]")),
            ("output is cut",),
        ),
        ("mean", but(ADD, ("return y", "return y / k**2")), ("divided by the size of a window",)),
        ("diagonal", but(ADD, ("for v in range(k)", "for v in [u]")), ("on the diagonal",)),
        ("return inside", but(ADD, ("return y", "        return y")), ("Only the first tap",)),
        (
            "first row",
            but(ADD, ("for u in range(k)", "for u in range(1)")),
            ("Only the first row",),
        ),
        (
            "first column",
            but(ADD, ("for v in range(k)", "for v in range(1)")),
            ("Only the first column",),
        ),
        ("short loops", but(ADD, ("range(k)", "range(k - 1)")), ("last row and column",)),
        ("no shift", "return products.sum((3, 4))", ("without a shift",)),
        ("summed", but(ADD, ("return y", "return y.sum(0)")), ("summed over the batch",)),
        (
            "first image",
            but(ADD, ("y[:, u", "y[:1, u"), ("products[:, :, :, u", "products[:1, :, :, u")),
            ("Only the first image",),
        ),
        (
            "slice without stride in its end",
            but(ADD, ("stride * height : stride", "height : stride")),
            ("raised RuntimeError", "different sizes"),
        ),
    ],
    "phase_kernels": [
        ("parities", but(PHASES, ("weight)", "weight).flip(0, 1)")), ("parities are swapped",)),
        ("row parity", but(PHASES, ("sums, sums,", "sums.flip(0), sums,")), ("of the rows",)),
        ("column parity", but(PHASES, ("sums, sums,", "sums, sums.flip(0),")), ("of the columns",)),
        ("p and q", but(PHASES, (">pq", ">qp")), ("Row parity and column parity",)),
        ("pixels", but(PHASES, ("sums, sums,", "sums.flip(1), sums.flip(1),")), ("two pixels",)),
        ("a and b", but(PHASES, ("ocab", "ocba")), ("Rows and columns of each",)),
        (
            "mean",
            but(PHASES, ("return", "sums = sums / sums.sum(2, keepdim=True)\nreturn")),
            ("averaged",),
        ),
        ("even only", but(PHASES, ("[[1, 1, 0], [0, 0, 1]]", "[[1, 0, 0], [0, 1, 1]]")), ("even",)),
        ("odd only", but(PHASES, ("[[1, 0, 0], [0, 1, 1]]", "[[1, 1, 0], [0, 0, 1]]")), ("odd",)),
        (
            "middle twice",
            but(PHASES, ("[1, 0, 0]", "[1, 1, 0]"), ("[0, 0, 1]", "[0, 1, 1]")),
            ("counts twice",),
        ),
        (
            "middle missing",
            but(PHASES, ("[0, 1, 1]", "[0, 0, 1]"), ("[1, 1, 0]", "[1, 0, 0]")),
            ("is missing",),
        ),
        (
            "corner",
            "return weight[:, :, :2, :2].expand(2, 2, -1, -1, -1, -1)",
            ("the corner",),
        ),
        (
            "pieces",
            "return weight.unfold(2, 2, 1).unfold(3, 2, 1).permute(2, 3, 0, 1, 4, 5)",
            ("piece of the weight",),
        ),
        ("turned", but(PHASES, ("weight)", "weight.flip(2, 3))")), ("turned around first",)),
        ("channels", but(PHASES, ("pqoc", "pqco")), ("Input and output channels",)),
        ("quarter", but(PHASES, ("weight)", "weight) / 4")), ("divided by 4",)),
        (
            "rows only",
            but(PHASES, ("pau,qbv,", "pau,"), ("pqocab", "pocav"), ("sums, sums,", "sums,")),
            ("Only the rows",),
        ),
        ("in a row", but(PHASES, ("weight)", "weight).flatten(0, 1)")), ("stand in a row",)),
        ("no dtype", but(PHASES, (", dtype=weight.dtype", "")), ("Two dtypes meet",)),
    ],
}

every_exercise = pytest.mark.parametrize("name", sorted(WRONG))


class TestLesson11(AnswersThatReturn):
    lesson, wrong = 11, WRONG


@every_exercise
def test_dtypes_and_digits_count(name: str, capsys):
    test_check.test_both_dtypes_are_judged(name, capsys)
    test_check.test_digits_that_count(name, capsys)


@pytest.mark.parametrize("factor", [1, 2])
@every_exercise
def test_the_reference_is_what_torch_computes(name: str, factor: int, capsys):
    """Judge PyTorch's own functions as if they were a student."""
    functional = torch.nn.functional

    def by_torch(*arguments):
        if name == "windows":
            x, kernel, stride = arguments
            cut = functional.unfold(x.permute(0, 3, 1, 2), kernel, stride=stride)
            rows = (x.shape[1] - kernel) // stride + 1
            cut = cut.unflatten(1, (-1, kernel, kernel)).unflatten(4, (rows, -1))
            return factor * cut.permute(0, 4, 5, 2, 3, 1)
        if name == "shift_and_add":
            products, stride = arguments
            n, h, w, k, _, o = products.shape
            columns = products.permute(0, 5, 3, 4, 1, 2).reshape(n, o * k * k, h * w)
            size = ((h - 1) * stride + k, (w - 1) * stride + k)
            return factor * functional.fold(columns, size, k, stride=stride).permute(0, 2, 3, 1)
        (weight,) = arguments  # each small pixel by itself, through the layer as it is
        outputs, channels = weight.shape[:2]
        kernels = weight.new_zeros(2, 2, outputs, channels, 2, 2)
        for c in range(channels):
            for a in range(-1, 2):
                for b in range(-1, 2):
                    x = weight.new_zeros(1, channels, 3, 3)
                    x[0, c, 1 + a, 1 + b] = 1
                    big = functional.interpolate(x, scale_factor=2)
                    y = functional.conv2d(big, weight, padding=1)[0]  # (O, 6, 6)
                    for p in range(2):
                        for q in range(2):
                            if 0 <= a + 1 - p < 2 and 0 <= b + 1 - q < 2:
                                kernels[p, q, :, c, a + 1 - p, b + 1 - q] = y[:, 2 + p, 2 + q]
        return factor * kernels

    if factor == 1:
        getattr(check, name)(by_torch)
        assert "right" in capsys.readouterr().out
    else:
        assert "a constant factor of 2" in judge(name, by_torch)

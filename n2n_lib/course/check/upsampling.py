"""Exercises on upsampling."""

from __future__ import annotations

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise

# -------------------------------------------------------------------------------- upsample_forward


def _upsample_case(
    name: str, shape: tuple[int, int, int, int], scale: int, dtype: torch.dtype = torch.float64
) -> Case:
    arguments = {"x": values(shape, 13, dtype), "scale": scale}
    return Case(name, arguments, {"the scale": scale, "the size of a block": scale**2})


@exercise(
    topic="upsampling",
    title="Copy every pixel into a block",
    hints=(
        "From which small pixel does row 0 of the large picture come, from which row 1? Which "
        "operation on whole numbers says so?",
        "Large pixel (i, j) is small pixel (i // scale, j // scale): every row stands scale "
        "times below itself, and every column scale times beside itself.",
        "`x.repeat_interleave(scale, dim=2)` does it for the rows; the columns are dimension 3.",
    ),
    returns=("output",),
    axes=("image", "channel", "row", "column"),
    cases=(
        _upsample_case("the report's 2 x 2", (1, 1, 2, 2), 2),
        _upsample_case("not square, 2 images", (2, 3, 2, 3), 2),
        _upsample_case("scale 3", (1, 2, 3, 2), 3),
        _upsample_case("scale 1", (1, 1, 2, 3), 1),
        _upsample_case("float32", (2, 1, 3, 2), 2, torch.float32),
    ),
    errors=(
        (
            "is invalid for input of size",
            "A view has as many numbers as before. Here there are more: they have to be copied.",
        ),
        (
            "expanded size of the tensor",
            "expand repeats what has the size 1: give each pixel a dimension of its own first, or "
            "use what copies neighbours.",
        ),
        (
            "out of bounds",
            "x has H rows and W columns. Which of its rows is row i of y a copy of?",
        ),
    ),
)
def upsample_forward(x: Tensor, scale: int) -> Tensor:
    """Check ``upsample_forward(x, scale) -> output``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``x`` ``(N, C, H, W)`` and an integer, and returns every pixel
        copied into a block: ``(N, C, scale H, scale W)``.
    """
    rows = x.repeat_interleave(scale, dim=2)  # (N, C, s H, W)
    return rows.repeat_interleave(scale, dim=3)  # (N, C, s H, s W)


upsample_forward.mistakes = (
    Mistake(
        "The whole image is tiled: copies stand side by side. Each pixel should be next to its "
        "own copies: repeat_interleave instead of repeat.",
        "return x.repeat(1, 1, scale, scale)",
        likely="tiled",
    ),
    Mistake(
        "Only the rows are repeated: the image should grow along both axes.",
        "return x.repeat_interleave(scale, dim=2)",
        likely="rows only",
    ),
    Mistake(
        "Only the columns are repeated: the image should grow along both axes.",
        "return x.repeat_interleave(scale, dim=3)",
        likely="columns only",
    ),
    Mistake(
        "The scale is ignored: it is always 2.",
        "return x.repeat_interleave(2, 2).repeat_interleave(2, 3)",
        likely="always 2",
    ),
    Mistake(
        "There are zeros between the pixels: fill the whole block with copies, not its first "
        "place alone.",
        """
        n, c, h, w = x.shape
        output = x.new_zeros(n, c, scale * h, scale * w)
        output[:, :, ::scale, ::scale] = x
        return output
        """,
        likely="zeros between",
    ),
    Mistake(
        "The blocks overlap: that of pixel (i, j) begins at row i * scale and column j * scale.",
        """
        n, c, h, w = x.shape
        output = x.new_zeros(n, c, scale * h, scale * w)
        for i in range(h):
            for j in range(w):
                output[:, :, i : i + scale, j : j + scale] = x[:, :, i : i + 1, j : j + 1]
        return output
        """,
    ),
    Mistake(
        "The pixels of a block share its value: they were divided by scale * scale. Every copy "
        "has the full value.",
        "return x.repeat_interleave(scale, 2).repeat_interleave(scale, 3) / scale**2",
    ),
    Mistake(
        "The rows are repeated and the columns are tiled: use repeat_interleave for both.",
        "return x.repeat_interleave(scale, 2).repeat(1, 1, 1, scale)",
    ),
    Mistake(
        "The columns are repeated and the rows are tiled: use repeat_interleave for both.",
        "return x.repeat_interleave(scale, 3).repeat(1, 1, scale, 1)",
    ),
    Mistake(
        "The channels are repeated too, or instead: dimension 1 holds the channels, rows and "
        "columns are dimensions 2 and 3.",
        "return x.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2)",
    ),
    Mistake(
        "It is flat: without dim=, repeat_interleave lists all values in a row. The rows are "
        "dimension 2, the columns dimension 3.",
        "return x.repeat_interleave(scale)",
    ),
    Mistake(
        "The image grows by scale * scale along each axis: repeat each axis once.",
        "return x.repeat_interleave(scale**2, 2).repeat_interleave(scale**2, 3)",
    ),
)


# ------------------------------------------------------------------------------- upsample_backward


def _backward_case(
    name: str, shape: tuple[int, int, int, int], scale: int, dtype: torch.dtype = torch.float64
) -> Case:
    n, c, h, w = shape
    grad = values((n, c, scale * h, scale * w), 14, dtype)
    sizes = {"the scale": scale, "the size of a block": scale**2, "the batch size N": n}
    return Case(name, {"grad_output": grad, "scale": scale}, sizes)


@exercise(
    topic="upsampling",
    title="Sum every block of gradients",
    hints=(
        "How often was a small pixel copied? What does a number get that stands in several "
        "places of the output?",
        "The gradient of a small pixel is the sum of grad_output over its block. As (N, C, H, "
        "s, W, s) the picture has two dimensions that count inside a block: sum over them.",
        "`grad_output.unflatten(2, (-1, scale))` is (N, C, H, s, s W); split the columns, now "
        "dimension 4, in the same way, then `.sum((3, 5))`.",
    ),
    returns=("grad_input",),
    axes=("image", "channel", "row", "column"),
    loops=False,
    errors=(
        (
            "Dimension out of range",
            "A sum takes its dimension away, so those behind it count one less: sum over both at "
            "once.",
        ),
    ),
    cases=(
        _backward_case("the report's 4 x 4", (1, 1, 2, 2), 2),
        _backward_case("not square, 2 images", (2, 3, 2, 3), 2),
        _backward_case("scale 3", (1, 2, 2, 4), 3),
        _backward_case("scale 1", (1, 1, 2, 3), 1),
        _backward_case("float32", (2, 1, 3, 2), 2, torch.float32),
    ),
)
def upsample_backward(grad_output: Tensor, scale: int) -> Tensor:
    """Check ``upsample_backward(grad_output, scale) -> grad_input``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``grad_output`` ``(N, C, scale H, scale W)`` and an integer, and
        returns the gradient of the small image ``(N, C, H, W)``.
    """
    rows = grad_output.unflatten(2, (-1, scale))  # (N, C, H, s, s W)
    blocks = rows.unflatten(4, (-1, scale))  # (N, C, H, s, W, s)
    return blocks.sum((3, 5))  # (N, C, H, W)


upsample_backward.mistakes = (
    Mistake(
        "It is a mean over the block where a sum belongs: a pixel that was copied four times "
        "collects four gradients.",
        but(("sum((3, 5))", "mean((3, 5))")),
        likely="mean",
    ),
    Mistake(
        "It takes the top left value of each block only: sum over the whole block, since every "
        "copy has a gradient.",
        "return grad_output[:, :, ::scale, ::scale]",
        likely="top left",
    ),
    Mistake(
        "It takes the top left value of each block, times the size of the block: sum over the "
        "whole block, since every copy has a gradient of its own.",
        "return scale**2 * grad_output[:, :, ::scale, ::scale]",
        likely="top left times the size of a block",
    ),
    Mistake(
        "It takes the bottom right value of each block only: add (`+=`) the values of the block, "
        "do not overwrite.",
        """
        n, c, h, w = grad_output.shape
        grad = grad_output.new_zeros(n, c, h // scale, w // scale)
        for i in range(h):
            for j in range(w):
                grad[:, :, i // scale, j // scale] = grad_output[:, :, i, j]
        return grad
        """,
        likely="overwritten",
    ),
    Mistake(
        "It sums along one axis only, over the rows of a block: sum over its columns too.",
        "return grad_output.unflatten(2, (-1, scale)).sum(3)",
        likely="rows only",
    ),
    Mistake(
        "It sums along one axis only, over the columns of a block: sum over its rows too.",
        "return grad_output.unflatten(3, (-1, scale)).sum(4)",
    ),
    Mistake(
        "It adds pixels that are far apart, as if the image had been tiled. View grad_output as "
        "(N, C, H, scale, W, scale): the scale comes after H and after W.",
        but(("(-1, scale)", "(scale, -1)"), ("(3, 5)", "(2, 4)")),
    ),
    Mistake(
        "It sums over the wrong two dimensions, the rows and columns of the image. In (N, C, H, "
        "scale, W, scale) the places inside a block are dimensions 3 and 5.",
        but(("(3, 5)", "(2, 4)")),
    ),
    Mistake(
        "A reshape to (..., scale, scale) takes numbers that lie side by side in a row, and a "
        "block has several rows: split H into (H, scale) where it stands, and W likewise.",
        """
        n, c, h, w = grad_output.shape
        return grad_output.reshape(n, c, h // scale, w // scale, scale, scale).sum((4, 5))
        """,
    ),
    Mistake(
        "It is summed over the batch too: every image has a gradient of its own.",
        but(("(3, 5)", "(0, 3, 5)")),
    ),
    Mistake(
        "It takes the sum along one axis of the block and the mean along the other: sum along "
        "both.",
        but(("sum((3, 5))", "sum(3).mean(4)")),
    ),
    Mistake(
        "It takes the largest value of each block. Every copy sends its own gradient back: sum "
        "over the block.",
        but(("sum", "amax")),
    ),
    Mistake(
        "The scale is ignored: it is always 2.",
        but(("scale", "2")),
    ),
    Mistake(
        "It copies again, as the forward does: backward makes the image smaller.",
        "return grad_output.repeat_interleave(scale, 2).repeat_interleave(scale, 3)",
    ),
)


# --------------------------------------------------------------------------------------- stamp_row


def _stamp_case(
    name: str, places: int, kernel: int, stride: int, dtype: torch.dtype = torch.float64
) -> Case:
    arguments = {
        "x": values((places,), 41, dtype),
        "weight": values((kernel,), 42, dtype),
        "stride": stride,
    }
    return Case(name, arguments, {"the stride": stride, "the window k": kernel})


@exercise(
    topic="upsampling",
    title="Stamps that overlap, in one row",
    hints=(
        "Draw two stamps of length 3 that are 2 places apart. Where does each begin, where does"
        " the last one end, and what stands where they overlap?",
        "Stamp i begins at i * stride and is k long, so the row has (L - 1) * stride + k "
        "places. Pixel i adds x[i] times the whole weight to its k places.",
        "A stamp is `x[i] * weight`, and it is added to a slice of k places that begins at `i * "
        "stride`; before that the row is zeros of the dtype of x.",
    ),
    returns=("output",),
    axes=("place",),
    cases=(
        _stamp_case("stride 2, window 2", 3, 2, 2),
        _stamp_case("stride 2, window 3", 4, 3, 2),
        _stamp_case("stride 1, window 3", 3, 3, 1),
        _stamp_case("stride 3, window 2: a gap", 3, 2, 3),
        _stamp_case("one pixel", 1, 4, 2),
        _stamp_case("stride 2, window 4, float32", 4, 4, 2, torch.float32),
    ),
    errors=(
        (
            "must match the size of tensor",
            "Is the row long enough? It ends where the last stamp ends, (L - 1) * stride + k.",
        ),
        (
            "out of bounds",
            "Is the row long enough? It ends where the last stamp ends, (L - 1) * stride + k.",
        ),
        (
            "match the broadcast shape",
            "Is the row long enough? It ends where the last stamp ends, (L - 1) * stride + k.",
        ),
    ),
)
def stamp_row(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Check ``stamp_row(x, weight, stride) -> output``.

    Parameters
    ----------
    function : callable
        The student's, which takes a row ``x`` ``(L,)``, a window ``weight`` ``(k,)`` and an
        integer, and returns the sum of all stamps: ``((L - 1) * stride + k,)``.
    """
    k = len(weight)
    output = torch.zeros((len(x) - 1) * stride + k, dtype=x.dtype)
    for i in range(len(x)):
        start = i * stride
        output[start : start + k] += x[i] * weight
    return output


stamp_row.mistakes = (
    Mistake(
        "Where stamps overlap, the later one overwrites the earlier: add with `+=`.",
        but(("+=", "=")),
        likely="overwritten",
    ),
    Mistake(
        "The stride is in the size, and not in the place: stamp i starts at i * stride.",
        but(("start = i * stride", "start = i")),
        likely="stride in the size only",
    ),
    Mistake(
        "Only every `stride`-th pixel stamps: all do, and `stride` says where.",
        but(("in range(len(x))", "in range(0, len(x), stride)")),
    ),
    Mistake(
        "Every place of a stamp gets the same number: weight[u] goes to its place u.",
        but(("x[i] * weight", "(x[i] * weight).sum()")),
    ),
    Mistake(
        "The window is turned around: weight[0] comes first.",
        but(("x[i] * weight", "x[i] * weight.flip(0)")),
        likely="window turned around",
    ),
    Mistake(
        "Every stamp has the same strength: multiply the weight with x[i].",
        but(("x[i] * weight", "weight")),
        likely="x forgotten",
    ),
    Mistake(
        "Every place of a stamp gets x[i] alone: multiply it with the weight.",
        but(("x[i] * weight", "x[i]")),
        likely="weight forgotten",
    ),
    Mistake(
        "The row is too long: it should end where the last stamp ends.",
        but(("(len(x) - 1) * stride + k", "len(x) * stride + k")),
    ),
    Mistake(
        "The stamps are spread by the stride: inside a stamp the places are neighbours.",
        """
        k = len(weight)
        output = torch.zeros((len(x) - 1) * stride + k, dtype=x.dtype)
        for i in range(len(x)):
            for u in range(k):
                if i + u * stride < len(output):
                    output[i + u * stride] += x[i] * weight[u]
        return output
        """,
    ),
    Mistake(
        "The last stamp is missing: does the loop end one too early?",
        but(("in range(len(x))", "in range(len(x) - 1)")),
    ),
    Mistake(
        "Where stamps overlap, it takes their mean: what meets at one place is added.",
        """
        k = len(weight)
        output = torch.zeros((len(x) - 1) * stride + k, dtype=x.dtype)
        counts = torch.zeros_like(output)
        for i in range(len(x)):
            output[i * stride : i * stride + k] += x[i] * weight
            counts[i * stride : i * stride + k] += 1
        return output / counts.clamp(min=1)
        """,
    ),
    Mistake(
        "It adds x[i] and the weight where it should multiply them.",
        but(("x[i] * weight", "x[i] + weight")),
    ),
)

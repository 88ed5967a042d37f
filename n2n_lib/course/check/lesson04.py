"""Exercises of lesson 04, upsampling."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from n2n_lib.course.check.engine import Case, Exercise, run, values

# ------------------------------------------------------------------------------ upsample_forward


def _upsample_case(
    name: str, shape: tuple[int, int, int, int], scale: int, dtype: torch.dtype = torch.float64
) -> Case:
    arguments = {"x": values(shape, 13, dtype), "scale": scale}
    return Case(name, arguments, {"the scale": scale, "the size of a block": scale**2})


def _copy(x: Tensor, scale: int) -> Tensor:
    """Fill the output pixel by pixel, equation 1 of the report."""
    n, c, h, w = x.shape
    output = x.new_zeros(n, c, scale * h, scale * w)
    for i in range(scale * h):
        for j in range(scale * w):
            output[:, :, i, j] = x[:, :, i // scale, j // scale]
    return output


def _spread(x: Tensor, scale: int, row: int = 0, column: int = 0) -> Tensor:
    """Put every pixel into one place of its block, with zeros around it."""
    output = x.new_zeros(*x.shape[:2], scale * x.shape[2], scale * x.shape[3])
    output[:, :, row::scale, column::scale] = x
    return output


def _rows(x: Tensor, scale: int) -> Tensor:
    return x.repeat_interleave(scale, 2)


def _columns(x: Tensor, scale: int) -> Tensor:
    return x.repeat_interleave(scale, 3)


UPSAMPLE_FORWARD = Exercise(
    name="upsample_forward",
    lesson=4,
    title="Copy every pixel into a block",
    hint=(
        "Output pixel (i, j) is input pixel (i // scale, j // scale). repeat_interleave copies "
        "each entry of a dimension next to itself; do it for the rows and for the columns."
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
    reference=_copy,
    mistakes=(
        (
            "The whole image is tiled: copies stand side by side. Each pixel should be next to "
            "its own copies: repeat_interleave instead of repeat.",
            lambda x, s: x.repeat(1, 1, s, s),
        ),
        (
            "Only the rows are repeated: the image should grow along both axes.",
            _rows,
        ),
        (
            "Only the columns are repeated: the image should grow along both axes.",
            _columns,
        ),
        (
            "The scale is ignored: it is always 2.",
            lambda x, s: _copy(x, 2),
        ),
        (
            "There are zeros between the pixels: fill the whole block with copies, not its first "
            "place alone.",
            _spread,
        ),
        (
            "The pixels of a block share its value: they were divided by scale * scale. Every "
            "copy has the full value.",
            lambda x, s: _copy(x, s) / s**2,
        ),
        (
            "The rows are repeated and the columns are tiled: use repeat_interleave for both.",
            lambda x, s: _rows(x, s).repeat(1, 1, 1, s),
        ),
        (
            "The columns are repeated and the rows are tiled: use repeat_interleave for both.",
            lambda x, s: _columns(x, s).repeat(1, 1, s, 1),
        ),
        (
            "The channels are repeated too, or instead: dimension 1 holds the channels, rows and "
            "columns are dimensions 2 and 3.",
            lambda x, s: x.repeat_interleave(s, 1).repeat_interleave(s, 2),
        ),
        (
            "It is flat: without dim=, repeat_interleave lists all values in a row. The rows are "
            "dimension 2, the columns dimension 3.",
            lambda x, s: x.repeat_interleave(s),
        ),
        (
            "The image grows by scale * scale along each axis: repeat each axis once.",
            lambda x, s: _copy(x, s * s),
        ),
    ),
)


def upsample_forward(function: Callable) -> None:
    """Check ``upsample_forward(x, scale) -> output``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``x`` ``(N, C, H, W)`` and an integer, and returns every pixel
        copied into a block: ``(N, C, scale H, scale W)``.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(UPSAMPLE_FORWARD, function)


# ------------------------------------------------------------------------------ upsample_backward


def _backward_case(
    name: str, shape: tuple[int, int, int, int], scale: int, dtype: torch.dtype = torch.float64
) -> Case:
    n, c, h, w = shape
    grad = values((n, c, scale * h, scale * w), 14, dtype)
    sizes = {"the scale": scale, "the size of a block": scale**2, "the batch size N": n}
    return Case(name, {"grad_output": grad, "scale": scale}, sizes)


def _collect(g: Tensor, scale: int) -> Tensor:
    """Add the gradient of every output pixel to the pixel it was copied from, equation 2."""
    n, c, h, w = g.shape
    grad = g.new_zeros(n, c, h // scale, w // scale)
    for i in range(h):
        for j in range(w):
            grad[:, :, i // scale, j // scale] += g[:, :, i, j]
    return grad


def _blocks(g: Tensor, scale: int) -> Tensor:
    """``(N, C, H, scale, W, scale)``."""
    return g.unflatten(3, (-1, scale)).unflatten(2, (-1, scale))


def _tiles(g: Tensor, scale: int) -> Tensor:
    """``(N, C, scale, H, scale, W)``: the blocks that belong to a tiled image."""
    return g.unflatten(3, (scale, -1)).unflatten(2, (scale, -1))


UPSAMPLE_BACKWARD = Exercise(
    name="upsample_backward",
    lesson=4,
    title="Sum every block of gradients",
    hint=(
        "An input pixel was copied into a block of scale x scale pixels, so its gradient is the "
        "sum over that block. View grad_output as (N, C, H, scale, W, scale) and sum over the two "
        "dimensions of size scale."
    ),
    returns=("grad_input",),
    axes=("image", "channel", "row", "column"),
    cases=(
        _backward_case("the report's 4 x 4", (1, 1, 2, 2), 2),
        _backward_case("not square, 2 images", (2, 3, 2, 3), 2),
        _backward_case("scale 3", (1, 2, 2, 4), 3),
        _backward_case("scale 1", (1, 1, 2, 3), 1),
        _backward_case("float32", (2, 1, 3, 2), 2, torch.float32),
    ),
    reference=_collect,
    mistakes=(
        (
            "It is a mean over the block where a sum belongs: a pixel that was copied four times "
            "collects four gradients.",
            lambda g, s: _blocks(g, s).mean((3, 5)),
        ),
        (
            "It takes the top left value of each block only: sum over the whole block, since "
            "every copy has a gradient.",
            lambda g, s: g[:, :, ::s, ::s],
        ),
        (
            "It takes the top left value of each block, times the size of the block: sum over the "
            "whole block, since every copy has a gradient of its own.",
            lambda g, s: s**2 * g[:, :, ::s, ::s],
        ),
        (
            "It takes the bottom right value of each block only: add (`+=`) the values of the "
            "block, do not overwrite.",
            lambda g, s: g[:, :, s - 1 :: s, s - 1 :: s],
        ),
        (
            "It sums along one axis only, over the rows of a block: sum over its columns too.",
            lambda g, s: g.unflatten(2, (-1, s)).sum(3),
        ),
        (
            "It sums along one axis only, over the columns of a block: sum over its rows too.",
            lambda g, s: g.unflatten(3, (-1, s)).sum(4),
        ),
        (
            "It adds pixels that are far apart, as if the image had been tiled. View grad_output "
            "as (N, C, H, scale, W, scale): the scale comes after H and after W.",
            lambda g, s: _tiles(g, s).sum((2, 4)),
        ),
        (
            "It sums over the wrong two dimensions, the rows and columns of the image. In "
            "(N, C, H, scale, W, scale) the places inside a block are dimensions 3 and 5.",
            lambda g, s: _blocks(g, s).sum((2, 4)),
        ),
        (
            "It is summed over the batch too: every image has a gradient of its own.",
            lambda g, s: _blocks(g, s).sum((0, 3, 5)),
        ),
        (
            "It takes the sum along one axis of the block and the mean along the other: sum "
            "along both.",
            lambda g, s: _blocks(g, s).sum((3, 5)) / s,
        ),
        (
            "It takes the largest value of each block. Every copy sends its own gradient back: "
            "sum over the block.",
            lambda g, s: _blocks(g, s).amax((3, 5)),
        ),
        (
            "The scale is ignored: it is always 2.",
            lambda g, s: _collect(g, 2),
        ),
        (
            "It copies again, as the forward does: backward makes the image smaller.",
            lambda g, s: _copy(g, s),
        ),
    ),
)


def upsample_backward(function: Callable) -> None:
    """Check ``upsample_backward(grad_output, scale) -> grad_input``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``grad_output`` ``(N, C, scale H, scale W)`` and an integer, and
        returns the gradient of the small image ``(N, C, H, W)``.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(UPSAMPLE_BACKWARD, function)

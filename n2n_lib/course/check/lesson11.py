"""Exercises of lesson 11, speed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from n2n_lib.course.check.engine import Case, Exercise, run, values

# ------------------------------------------------------------------------------ windows


def _windows_case(
    name: str,
    shape: tuple[int, int, int, int],
    kernel: int,
    stride: int = 1,
    dtype: torch.dtype = torch.float64,
) -> Case:
    return Case(name, {"x": values(shape, 50, dtype), "kernel": kernel, "stride": stride})


def _places(x: Tensor, kernel: int, stride: int) -> tuple[int, int]:
    return (x.shape[1] - kernel) // stride + 1, (x.shape[2] - kernel) // stride + 1


def _cut(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Cut the windows out one by one: ``(N, H', W', k, k, C)``."""
    rows, columns = _places(x, kernel, stride)
    lines = [
        torch.stack(
            [
                x[:, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
                for j in range(columns)
            ],
            1,
        )
        for i in range(rows)
    ]
    return torch.stack(lines, 1)


def _strided(x: Tensor, kernel: int, stride: int, steps: Callable) -> Tensor:
    """View x with the right shape and the steps that a rule makes of ``x.stride()``."""
    rows, columns = _places(x, kernel, stride)
    shape = (x.shape[0], rows, columns, kernel, kernel, x.shape[3])
    return x.as_strided(shape, steps(*x.stride()))


def _view(x: Tensor, kernel: int, stride: int) -> Tensor:
    """View x as its windows, for a lesson that goes on with them."""
    return _strided(x, kernel, stride, lambda n, h, w, c: (n, stride * h, stride * w, h, w, c))


WINDOWS = Exercise(
    name="windows",
    lesson=11,
    title="Windows of a channels-last image, without a copy",
    hint=(
        "Take image, line, pixel, one = x.stride(). A step to the next image jumps over `image` "
        "numbers, to the next window below over stride * line, to the next on the right over "
        "stride * pixel; inside a window the steps are line, pixel and one."
    ),
    returns=("view",),
    axes=("image", "row", "column", "row of the window", "column of the window", "channel"),
    cases=(
        _windows_case("one image, one channel", (1, 4, 4, 1), 2),
        _windows_case("2 images, 3 channels", (2, 5, 4, 3), 3),
        _windows_case("stride 2", (1, 9, 7, 2), 3, 2),
        _windows_case("stride as large as the window", (2, 6, 4, 3), 2, 2),
        _windows_case("stride 3, with a rest", (2, 12, 14, 2), 2, 3),
        _windows_case("float32", (2, 4, 6, 2), 3, 1, torch.float32),
    ),
    reference=_cut,
    library=_view,
    mistakes=(
        (
            "The shape is right, but neighbouring windows start one pixel apart: the steps to the "
            "next window are stride * line and stride * pixel.",
            lambda x, k, s: _strided(x, k, s, lambda n, i, j, c: (n, i, j, i, j, c)),
        ),
        (
            "The stride is inside the window: its pixels should be neighbours, with the steps "
            "line and pixel, and the windows lie stride apart.",
            lambda x, k, s: _strided(x, k, s, lambda n, i, j, c: (n, i, j, s * i, s * j, c)),
        ),
        (
            "The stride counts for the rows alone: the step to the next window on the right is "
            "stride * pixel.",
            lambda x, k, s: _strided(x, k, s, lambda n, i, j, c: (n, s * i, j, i, j, c)),
        ),
        (
            "The stride counts for the columns alone: the step to the next window below is "
            "stride * line.",
            lambda x, k, s: _strided(x, k, s, lambda n, i, j, c: (n, i, s * j, i, j, c)),
        ),
        (
            "Rows and columns of the window are swapped: the step down (line) comes before the "
            "step to the right (pixel).",
            lambda x, k, s: _strided(x, k, s, lambda n, i, j, c: (n, s * i, s * j, j, i, c)),
        ),
        (
            "Rows and columns of the places are swapped: the step down (stride * line) comes "
            "before the step to the right (stride * pixel).",
            lambda x, k, s: _strided(x, k, s, lambda n, i, j, c: (n, s * j, s * i, i, j, c)),
        ),
        (
            "The steps count pixels where they should count numbers: a pixel holds C of them. Take "
            "the steps from x.stride().",
            lambda x, k, s: _strided(
                x,
                k,
                s,
                lambda n, i, j, c: (n // x.shape[3], s * x.shape[2], s, x.shape[2], 1, 1),
            ),
        ),
        (
            "Every image shows the windows of the first: the first step is that of the image, "
            "x.stride(0).",
            lambda x, k, s: _strided(x, k, s, lambda n, i, j, c: (0, s * i, s * j, i, j, c)),
        ),
        (
            "Every channel shows the first: the last step is that of the channels, 1.",
            lambda x, k, s: _strided(x, k, s, lambda n, i, j, c: (n, s * i, s * j, i, j, 0)),
        ),
        (
            "Every place shows the window of the corner: the steps to the next window are "
            "stride * line and stride * pixel.",
            lambda x, k, s: _strided(x, k, s, lambda n, i, j, c: (n, 0, 0, i, j, c)),
        ),
        (
            "Every pixel of a window is its corner: inside a window the steps are line and pixel.",
            lambda x, k, s: _strided(x, k, s, lambda n, i, j, c: (n, s * i, s * j, 0, 0, c)),
        ),
        (
            "The last place is missing, in rows and columns: (H - k) // stride + 1.",
            lambda x, k, s: _cut(x, k, s)[:, :-1, :-1],
        ),
        (
            "It ignores the stride, in the shape and in the steps: windows lie stride pixels "
            "apart, and there are (H - k) // stride + 1 of them below each other.",
            lambda x, k, s: _cut(x, k, 1),
        ),
        (
            "The channels stand before the window: in this memory the channels of a pixel are "
            "neighbours, so they come last, (N, H', W', k, k, C).",
            lambda x, k, s: _cut(x, k, s).permute(0, 1, 2, 5, 3, 4),
        ),
        (
            "It is a matrix already. Return the view (N, H', W', k, k, C): the reshape, which "
            "copies, comes after it.",
            lambda x, k, s: _cut(x, k, s).flatten(3).flatten(0, 2),
        ),
        (
            "Each window is flat. Return it with its own rows and columns: (N, H', W', k, k, C).",
            lambda x, k, s: _cut(x, k, s).flatten(3),
        ),
    ),
    errors=(
        (
            "out of bounds",
            "The view reaches beyond the end of x. Is the stride in the wrong place? Windows start "
            "stride * line and stride * pixel apart, their pixels line and pixel, and there are "
            "(H - k) // stride + 1 windows below each other.",
        ),
        (
            "mismatch in length of strides and shape",
            "The shape and the steps should both have six entries: (N, H', W', k, k, C).",
        ),
    ),
)


def windows(function: Callable) -> None:
    """Check ``windows(x, kernel, stride) -> view``.

    Parameters
    ----------
    function : callable
        The student's, which takes contiguous images ``(N, H, W, C)`` and two integers, and returns
        the square windows ``(N, H', W', k, k, C)``.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(WINDOWS, function)


# ------------------------------------------------------------------------------ shift_and_add


def _products_case(
    name: str,
    grid: tuple[int, int, int],
    kernel: int,
    outputs: int,
    stride: int = 1,
    dtype: torch.dtype = torch.float64,
) -> Case:
    products = values((*grid, kernel, kernel, outputs), 51, dtype)
    sizes = {"the size of a window": kernel**2, "the batch size N": grid[0]}
    return Case(name, {"products": products, "stride": stride}, sizes)


def _add(products: Tensor, stride: int, rule: Callable | None = None) -> Tensor:
    """Add number by number; a rule may take another tap than ``(u, v)``."""
    n, h, w, k, _, o = products.shape
    y = products.new_zeros(n, (h - 1) * stride + k, (w - 1) * stride + k, o)
    for i in range(h):
        for j in range(w):
            for u in range(k):
                for v in range(k):
                    tap = rule(u, v, k) if rule else (u, v)
                    if tap:
                        y[:, i * stride + u, j * stride + v] += products[:, i, j, tap[0], tap[1]]
    return y


def _add_taps(products: Tensor, stride: int) -> Tensor:
    """Add tap after tap, fast enough for a lesson that goes on with it."""
    n, h, w, k, _, o = products.shape
    y = products.new_zeros(n, (h - 1) * stride + k, (w - 1) * stride + k, o)
    for u in range(k):
        for v in range(k):
            pixels = y[:, u : u + stride * h : stride, v : v + stride * w : stride]
            pixels += products[:, :, :, u, v]
    return y


def _last_written(products: Tensor, stride: int) -> Tensor:
    """Set, tap after tap, where a sum belongs."""
    n, h, w, k, _, o = products.shape
    y = products.new_zeros(n, (h - 1) * stride + k, (w - 1) * stride + k, o)
    for u in range(k):
        for v in range(k):
            y[:, u : u + stride * h : stride, v : v + stride * w : stride] = products[:, :, :, u, v]
    return y


def _without_stride(products: Tensor, stride: int) -> Tensor:
    """The right size, but the windows lie one pixel apart."""
    right, dense = _add(products, stride), _add(products, 1)
    y = torch.zeros_like(right)
    y[:, : dense.shape[1], : dense.shape[2]] = dense
    return y


def _covered(products: Tensor, stride: int) -> Tensor:
    return _add(torch.ones_like(products), stride).clamp(min=1)


SHIFT_AND_ADD = Exercise(
    name="shift_and_add",
    lesson=11,
    title="Shift and add",
    hint=(
        "Make zeros of (N, (H - 1) * stride + k, (W - 1) * stride + k, O). Then two loops over the "
        "taps: tap (u, v) of all windows, products[:, :, :, u, v], is added to the pixels "
        "y[:, u : u + stride * H : stride, v : v + stride * W : stride]."
    ),
    returns=("output",),
    axes=("image", "row", "column", "channel"),
    cases=(
        _products_case("one image, one channel", (1, 2, 3), 2, 1),
        _products_case("2 images, 3 channels", (2, 3, 4), 3, 3),
        _products_case("stride 2", (1, 3, 2), 3, 2, 2),
        _products_case("stride 2, window 4", (2, 3, 4), 4, 2, 2),
        _products_case("stride as large as the window", (2, 2, 3), 2, 2, 2),
        _products_case("float32", (2, 3, 2), 3, 2, 1, torch.float32),
    ),
    reference=_add,
    library=_add_taps,
    mistakes=(
        (
            "Taps overwrite each other where windows overlap: add with `+=`, do not set with `=`.",
            _last_written,
        ),
        (
            "Rows and columns of the window are swapped: tap (u, v) goes u rows down and v columns "
            "to the right.",
            lambda p, s: _add(p, s, lambda u, v, k: (v, u)),
        ),
        (
            "The windows are turned around: tap (u, v) goes to row i * stride + u and column "
            "j * stride + v, not to the opposite corner.",
            lambda p, s: _add(p, s, lambda u, v, k: (k - 1 - u, k - 1 - v)),
        ),
        (
            "The size is right, but the windows are added one pixel apart: the slices need the "
            "stride, u : u + stride * H : stride.",
            _without_stride,
        ),
        (
            "It ignores the stride: the windows lie stride pixels apart, so the output has "
            "(H - 1) * stride + k rows.",
            lambda p, s: _add(p, 1),
        ),
        (
            "The output is cut to stride * H rows and columns: the last window reaches to row "
            "(H - 1) * stride + k - 1.",
            lambda p, s: _add(p, s)[:, : s * p.shape[1], : s * p.shape[2]],
        ),
        (
            "It is a mean where windows overlap, and a sum belongs there: do not divide by the "
            "number of windows on a pixel.",
            lambda p, s: _add(p, s) / _covered(p, s),
        ),
        (
            "The sum is divided by the size of a window: add the taps as they are.",
            lambda p, s: _add(p, s) / p.shape[3] ** 2,
        ),
        (
            "Only the taps on the diagonal are added: u and v need a loop each.",
            lambda p, s: _add(p, s, lambda u, v, k: (u, v) if u == v else None),
        ),
        (
            "Only the first tap is added: is `return` inside the loops?",
            lambda p, s: _add(p, s, lambda u, v, k: (u, v) if u == v == 0 else None),
        ),
        (
            "Only the last tap is added: is the sum inside both loops?",
            lambda p, s: _add(p, s, lambda u, v, k: (u, v) if u == v == k - 1 else None),
        ),
        (
            "Only the first row of each window is added: let u run over all k rows.",
            lambda p, s: _add(p, s, lambda u, v, k: (u, v) if u == 0 else None),
        ),
        (
            "Only the first column of each window is added: let v run over all k columns.",
            lambda p, s: _add(p, s, lambda u, v, k: (u, v) if v == 0 else None),
        ),
        (
            "The last row and column of each window are left out: range(k) runs to k - 1 already.",
            lambda p, s: _add(p, s, lambda u, v, k: (u, v) if max(u, v) < k - 1 else None),
        ),
        (
            "The taps are summed where they stand, without a shift: tap (u, v) of window (i, j) "
            "belongs to pixel (i * stride + u, j * stride + v).",
            lambda p, s: p.sum((3, 4)),
        ),
        (
            "The windows are laid side by side: they should overlap, and what overlaps is added.",
            lambda p, s: p.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2),
        ),
        (
            "It is summed over the batch too: every image has an output of its own.",
            lambda p, s: _add(p, s).sum(0),
        ),
        (
            "Only the first image is computed: write `:` in front, for all images.",
            lambda p, s: torch.cat([_add(p[:1], s), 0 * _add(p[1:], s)]),
        ),
    ),
    errors=(
        (
            "must match the size of tensor",
            "The slice of the output and the tap have different sizes. Tap (u, v) has H rows, and "
            "u : u + stride * H : stride takes H rows of an output with (H - 1) * stride + k.",
        ),
        (
            "doesn't match the broadcast shape",
            "The slice of the output and the tap have different sizes. Tap (u, v) has H rows, and "
            "u : u + stride * H : stride takes H rows of an output with (H - 1) * stride + k.",
        ),
    ),
)


def shift_and_add(function: Callable) -> None:
    """Check ``shift_and_add(products, stride) -> output``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``products`` ``(N, H, W, k, k, O)`` and an integer, and returns
        ``(N, (H - 1) stride + k, (W - 1) stride + k, O)``: every window added where it lies.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(SHIFT_AND_ADD, function)


# ------------------------------------------------------------------------------ phase_kernels


def _weight_case(name: str, outputs: int, channels: int, dtype=torch.float64) -> Case:
    return Case(name, {"weight": values((outputs, channels, 3, 3), 52, dtype)})


def _phases(weight: Tensor) -> Tensor:
    """Ask of every tap which small pixel it reads: ``(2, 2, O, C, 2, 2)``."""
    out = weight.new_zeros(2, 2, *weight.shape[:2], 2, 2)
    for p in range(2):
        for q in range(2):
            for u in range(3):
                for v in range(3):
                    row, column = (p + u - 1) // 2, (q + v - 1) // 2  # of the small image
                    out[p, q, :, :, row + (1 - p), column + (1 - q)] += weight[:, :, u, v]
    return out


_SUMS = [[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]], [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]


def _with_sums(weight: Tensor, sums: list, columns: list | None = None) -> Tensor:
    down = torch.tensor(sums, dtype=weight.dtype)
    across = torch.tensor(columns or sums, dtype=weight.dtype)
    return torch.einsum("pau,qbv,ocuv->pqocab", down, across, weight)


def _cropped(weight: Tensor) -> Tensor:
    parts = [weight[:, :, p : p + 2, q : q + 2] for p in range(2) for q in range(2)]
    return torch.stack(parts).unflatten(0, (2, 2))


PHASE_KERNELS = Exercise(
    name="phase_kernels",
    lesson=11,
    title="Four 2 x 2 kernels out of one of 3 x 3",
    hint=(
        "Along one axis an even output has the weights (w0, w1 + w2), an odd one (w0 + w1, w2). "
        "Do it for the rows, weight[:, :, 0] and so on, then for the columns of the result."
    ),
    returns=("kernels",),
    axes=("row parity", "column parity", "output channel", "input channel", "row", "column"),
    cases=(
        _weight_case("one channel", 1, 1),
        _weight_case("2 outputs, 3 channels", 2, 3),
        _weight_case("2 outputs, 2 channels", 2, 2),
        _weight_case("float32", 3, 2, torch.float32),
    ),
    reference=_phases,
    mistakes=(
        (
            "The parities are swapped: an even output has the weights (w0, w1 + w2), an odd one "
            "(w0 + w1, w2).",
            lambda w: _phases(w).flip(0, 1),
        ),
        (
            "The parities of the rows are swapped: an even row has the weights (w0, w1 + w2).",
            lambda w: _phases(w).flip(0),
        ),
        (
            "The parities of the columns are swapped: an even column has the weights (w0, w1 + "
            "w2).",
            lambda w: _phases(w).flip(1),
        ),
        (
            "Row parity and column parity are swapped: the first dimension is that of the row.",
            lambda w: _phases(w).transpose(0, 1),
        ),
        (
            "The two pixels of each kernel are swapped, in rows and columns: the pixel before "
            "comes first, so an even output has (w0, w1 + w2) and not (w1 + w2, w0).",
            lambda w: _phases(w).flip(4, 5),
        ),
        (
            "Rows and columns of each small kernel are swapped.",
            lambda w: _phases(w).transpose(4, 5),
        ),
        (
            "The weights that meet the same pixel are averaged: their sum belongs there.",
            lambda w: _with_sums(
                w, [[[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]], [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]]
            ),
        ),
        (
            "All four kernels are the even one, (w0, w1 + w2): an odd output has (w0 + w1, w2).",
            lambda w: _with_sums(w, [_SUMS[0], _SUMS[0]]),
        ),
        (
            "All four kernels are the odd one, (w0 + w1, w2): an even output has (w0, w1 + w2).",
            lambda w: _with_sums(w, [_SUMS[1], _SUMS[1]]),
        ),
        (
            "The middle weight counts twice, as in (w0 + w1, w1 + w2): it belongs to the second "
            "pixel of an even output, and to the first of an odd one.",
            lambda w: _with_sums(w, [[[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]] * 2),
        ),
        (
            "The middle weight is missing, as in (w0, w2): it belongs to the second pixel of an "
            "even output, and to the first of an odd one.",
            lambda w: _with_sums(w, [[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]] * 2),
        ),
        (
            "Each kernel is a piece of the weight, cut out: all nine weights count in each of the "
            "four, and those that meet the same pixel are summed.",
            _cropped,
        ),
        (
            "Each kernel is the corner weight[:, :, :2, :2]: all nine weights count in each of the "
            "four, and those that meet the same pixel are summed.",
            lambda w: w[:, :, :2, :2].expand(2, 2, -1, -1, -1, -1),
        ),
        (
            "The 3 x 3 weight is turned around first: no reversing here, w0 is the weight of the "
            "pixel before.",
            lambda w: _phases(w.flip(2, 3)),
        ),
        (
            "Input and output channels are swapped: (2, 2, O, C, 2, 2).",
            lambda w: _phases(w).transpose(2, 3),
        ),
        (
            "It is divided by 4: every output pixel gets its full sum, there are just four kinds "
            "of them.",
            lambda w: _phases(w) / 4,
        ),
        (
            "Only the rows are summed: do the same to the columns of the result.",
            lambda w: torch.einsum("pau,ocuv->pocav", torch.tensor(_SUMS, dtype=w.dtype), w),
        ),
        (
            "The four kernels stand in a row: give the two parities a dimension each, "
            "(2, 2, O, C, 2, 2).",
            lambda w: _phases(w).flatten(0, 1),
        ),
    ),
    errors=(
        (
            "same dtype",
            "Two dtypes meet. Give a new tensor that of the weight: dtype=weight.dtype.",
        ),
        (
            "expected scalar type",
            "Two dtypes meet. Give a new tensor that of the weight: dtype=weight.dtype.",
        ),
        (
            "stack expects each tensor to be equal size",
            "stack wants equal shapes: keep dimensions with slices, as in weight[:, :, :1], or use "
            "plain numbers, as in weight[:, :, 0], for all of them.",
        ),
    ),
)


def phase_kernels(function: Callable) -> None:
    """Check ``phase_kernels(weight) -> kernels``.

    Parameters
    ----------
    function : callable
        The student's, which takes the weight ``(O, C, 3, 3)`` of a convolution with padding 1 that
        follows an upsampling by 2, and returns the kernels ``(2, 2, O, C, 2, 2)`` that compute
        its output pixels of each row and column parity from the small image.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(PHASE_KERNELS, function)

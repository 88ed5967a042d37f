"""Exercises on speed."""

from __future__ import annotations

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise

# ----------------------------------------------------------------------------------------- windows


def _windows_case(
    name: str,
    shape: tuple[int, int, int, int],
    kernel: int,
    stride: int = 1,
    dtype: torch.dtype = torch.float64,
) -> Case:
    return Case(name, {"x": values(shape, 50, dtype), "kernel": kernel, "stride": stride})


@exercise(
    topic="speed",
    title="Windows of a channels-last image, without a copy",
    hints=(
        "How many numbers of memory lie between a value and the next one along each of the six "
        "dimensions? A view is a shape and six such steps.",
        "With the strides (image, line, pixel, one) of x: an image further is `image`; a window "
        "further down stride * line, to the right stride * pixel; inside a window line, pixel and "
        "one. H' is (H - k) // stride + 1.",
        "`image, line, pixel, one = x.stride()`, then `x.as_strided(shape, (image, stride * line, "
        "stride * pixel, line, pixel, one))` with the shape (N, H', W', k, k, C).",
    ),
    returns=("view",),
    axes=("image", "row", "column", "row of the window", "column of the window", "channel"),
    cases=(
        _windows_case("one image, one channel", (1, 4, 4, 1), 2),
        _windows_case("2 images, 3 channels", (2, 5, 4, 3), 3),
        _windows_case("stride 2", (1, 9, 7, 2), 3, 2),
        _windows_case("stride 2, window 2", (2, 6, 4, 3), 2, 2),
        _windows_case("stride 3, with a rest", (2, 12, 14, 2), 2, 3),
        _windows_case("float32", (2, 4, 6, 2), 3, 1, torch.float32),
    ),
    view_of="x",
    errors=(
        (
            "out of bounds",
            "The view would reach beyond the end of x. Is the stride in the wrong place? Windows "
            "start stride * line and stride * pixel apart, their pixels line and pixel, and there "
            "are (H - k) // stride + 1 windows below each other.",
        ),
        (
            "mismatch in length of strides and shape",
            "The shape and the steps should both have six entries: (N, H', W', k, k, C).",
        ),
    ),
)
def windows(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Check ``windows(x, kernel, stride) -> view``.

    Parameters
    ----------
    function : callable
        The student's, which takes contiguous images ``(N, H, W, C)`` and two integers, and returns
        the square windows ``(N, H', W', k, k, C)``.
    """
    images, height, width, channels = x.shape
    rows, columns = (height - kernel) // stride + 1, (width - kernel) // stride + 1
    image, line, pixel, one = x.stride()
    shape = (images, rows, columns, kernel, kernel, channels)
    return x.as_strided(shape, (image, stride * line, stride * pixel, line, pixel, one))


windows.mistakes = (
    Mistake(
        "The shape is right, but neighbouring windows start one pixel apart: the steps to the "
        "next window are stride * line and stride * pixel.",
        but(("stride * line, stride * pixel", "line, pixel")),
        likely="no stride in the steps",
    ),
    Mistake(
        "The stride is inside the window: its pixels should be neighbours, with the steps line "
        "and pixel, and the windows lie stride apart.",
        but(
            ("stride * line, stride * pixel, line, pixel", "line, pixel, 2 * line, 2 * pixel"),
            ("2 *", "stride *"),
        ),
        likely="stride inside",
    ),
    Mistake(
        "The stride counts for the rows alone: the step to the next window on the right is "
        "stride * pixel.",
        but(("stride * pixel", "pixel")),
        likely="rows alone",
    ),
    Mistake(
        "The stride counts for the columns alone: the step to the next window below is stride * "
        "line.",
        but(("stride * line", "line")),
        likely="columns alone",
    ),
    Mistake(
        "Rows and columns of the window are swapped: the step down (line) comes before the step "
        "to the right (pixel).",
        but(("pixel, line, pixel, one", "pixel, pixel, line, one")),
        likely="window transposed",
    ),
    Mistake(
        "Rows and columns of the places are swapped: the step down (stride * line) comes before "
        "the step to the right (stride * pixel).",
        but(("stride * line, stride * pixel", "stride * pixel, stride * line")),
    ),
    Mistake(
        "The steps count pixels where they should count numbers: a pixel holds C of them. Take "
        "the steps from x.stride().",
        but(("x.stride()", "height * width, width, 1, 1")),
    ),
    Mistake(
        "Every image shows the windows of the first: the first step is that of the image, "
        "x.stride(0).",
        but(("(image, ", "(0, ")),
    ),
    Mistake(
        "Every channel shows the first: the last step is that of the channels, 1.",
        but(("pixel, one)", "pixel, 0)")),
    ),
    Mistake(
        "Every place shows the window of the corner: the steps to the next window are stride * "
        "line and stride * pixel.",
        but(("stride * line, stride * pixel", "0, 0")),
    ),
    Mistake(
        "Every pixel of a window is its corner: inside a window the steps are line and pixel.",
        but(("pixel, line, pixel, one", "pixel, 0, 0, one")),
    ),
    Mistake(
        "The last place is missing, in rows and columns: (H - k) // stride + 1.",
        but(("stride + 1", "stride")),
    ),
    Mistake(
        "It ignores the stride, in the shape and in the steps: windows lie stride pixels apart, "
        "and there are (H - k) // stride + 1 of them below each other.",
        but((" // stride", ""), ("stride * ", "")),
    ),
    Mistake(
        "The channels stand before the window: in this memory the channels of a pixel are "
        "neighbours, so they come last, (N, H', W', k, k, C).",
        "return x.unfold(1, kernel, stride).unfold(2, kernel, stride)",
    ),
    Mistake(
        "It is a matrix already. Return the view (N, H', W', k, k, C): the reshape, which "
        "copies, comes after it.",
        but(("one))", "one)).reshape(-1, kernel * kernel * channels)")),
    ),
    Mistake(
        "Each window is flat. Return it with its own rows and columns: (N, H', W', k, k, C).",
        but(("one))", "one)).flatten(3)")),
    ),
)


# ----------------------------------------------------------------------------------- shift_and_add


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


@exercise(
    topic="speed",
    title="Shift and add",
    hints=(
        "Where in the output do the values at place (u, v) of all windows lie? A loop over the "
        "windows is long, one over the places in a window short.",
        "Begin with zeros of (N, (H - 1) stride + k, (W - 1) stride + k, O). For u and v from 0 to "
        "k - 1 add products[n, i, j, u, v] to row i * stride + u and column j * stride + v: a "
        "slice with steps of stride.",
        "`y[:, u : u + stride * height : stride, v : v + stride * width : stride] += products[:, "
        ":, :, u, v]`, in two loops, where `height, width` are H and W of `products`.",
    ),
    returns=("output",),
    axes=("image", "row", "column", "channel"),
    cases=(
        _products_case("one image, one channel", (1, 2, 3), 2, 1),
        _products_case("2 images, 3 channels", (2, 3, 4), 3, 3),
        _products_case("stride 2", (1, 3, 2), 3, 2, 2),
        _products_case("stride 2, window 4", (2, 3, 4), 4, 2, 2),
        _products_case("stride as large as the window", (2, 2, 3), 2, 2, 2),
        _products_case("stride 3, with gaps between the windows", (1, 2, 3), 2, 3, 3),
        _products_case("float32", (2, 3, 2), 3, 2, 1, torch.float32),
    ),
    errors=(
        (
            "must match the size of tensor",
            "Two tensors have different sizes. A tap (u, v) of all windows has H rows, and "
            "u : u + stride * H : stride takes H rows of an output with (H - 1) * stride + k.",
        ),
        (
            "doesn't match the broadcast shape",
            "Two tensors have different sizes. A tap (u, v) of all windows has H rows, and "
            "u : u + stride * H : stride takes H rows of an output with (H - 1) * stride + k.",
        ),
    ),
)
def shift_and_add(products: Tensor, stride: int) -> Tensor:
    """Check ``shift_and_add(products, stride) -> output``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``products`` ``(N, H, W, k, k, O)`` and an integer, and returns
        ``(N, (H - 1) stride + k, (W - 1) stride + k, O)``: every window added where it lies.
    """
    images, height, width, k, _, outputs = products.shape
    size = (images, (height - 1) * stride + k, (width - 1) * stride + k, outputs)
    y = products.new_zeros(size)
    for u in range(k):
        for v in range(k):
            pixels = y[:, u : u + stride * height : stride, v : v + stride * width : stride]
            pixels += products[:, :, :, u, v]
    return y


shift_and_add.mistakes = (
    Mistake(
        "Taps overwrite each other where windows overlap: add with `+=`, do not set with `=`.",
        but(("pixels += products[:, :, :, u, v]", "pixels[:] = products[:, :, :, u, v]")),
        likely="set",
    ),
    Mistake(
        "Rows and columns of the window are swapped: tap (u, v) goes u rows down and v columns "
        "to the right.",
        but((":, u, v]", ":, v, u]")),
        likely="transposed",
    ),
    Mistake(
        "The windows are turned around: tap (u, v) goes to row i * stride + u and column j * "
        "stride + v, not to the opposite corner.",
        but((":, u, v]", ":, k - 1 - u, k - 1 - v]")),
        likely="turned",
    ),
    Mistake(
        "The size is right, but the windows are added one pixel apart: the slices need the "
        "stride, u : u + stride * H : stride.",
        but(
            ("u : u + stride * height : stride", "u : u + height"),
            ("v : v + stride * width : stride", "v : v + width"),
        ),
        likely="slices without stride",
    ),
    Mistake(
        "It ignores the stride: the windows lie stride pixels apart, so the output has (H - 1) * "
        "stride + k rows.",
        but(("images, height", "stride = 1\nimages, height")),
        likely="stride ignored",
    ),
    Mistake(
        "The output is cut to stride * H rows and columns: the last window reaches to row (H - "
        "1) * stride + k - 1.",
        but(("return y", "return y[:, : stride * height, : stride * width]")),
    ),
    Mistake(
        "It is a mean where windows overlap, and a sum belongs there: do not divide by the "
        "number of windows on a pixel.",
        but(
            ("y = products", "count = products.new_zeros(size)\ny = products"),
            (
                "pixels += products[:, :, :, u, v]",
                "pixels += products[:, :, :, u, v]\n"
                "        count[:, u : u + stride * height : stride, v : v + stride * width : "
                "stride] += 1",
            ),
            ("return y", "return y / count.clamp(min=1)"),
        ),
    ),
    Mistake(
        "The sum is divided by the size of a window: add the taps as they are.",
        but(("return y", "return y / k**2")),
    ),
    Mistake(
        "Only the taps on the diagonal are added: u and v need a loop each.",
        but(("for v in range(k)", "for v in [u]")),
    ),
    Mistake(
        "Only the first tap is added: is `return` inside the loops?",
        but(("return y", "        return y")),
    ),
    Mistake(
        "Only the last tap is added: is the sum inside both loops?",
        but(("        pixels += ", "pixels += ")),
    ),
    Mistake(
        "Only the first row of each window is added: let u run over all k rows.",
        but(("for u in range(k)", "for u in range(1)")),
    ),
    Mistake(
        "Only the first column of each window is added: let v run over all k columns.",
        but(("for v in range(k)", "for v in range(1)")),
    ),
    Mistake(
        "The last row and column of each window are left out: range(k) runs to k - 1 already.",
        but(("range(k)", "range(k - 1)")),
    ),
    Mistake(
        "The taps are summed where they stand, without a shift: tap (u, v) of window (i, j) "
        "belongs to pixel (i * stride + u, j * stride + v).",
        "return products.sum((3, 4))",
    ),
    Mistake(
        "The windows are laid side by side: they should overlap, and what overlaps is added.",
        "return products.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)",
    ),
    Mistake(
        "It is summed over the batch too: every image has an output of its own.",
        but(("return y", "return y.sum(0)")),
    ),
    Mistake(
        "Only the first image is computed: write `:` in front, for all images.",
        but(("y[:, u", "y[:1, u"), ("products[:, :, :, u", "products[:1, :, :, u")),
    ),
)


# ----------------------------------------------------------------------------------- phase_kernels


def _weight_case(name: str, outputs: int, channels: int, dtype=torch.float64) -> Case:
    return Case(name, {"weight": values((outputs, channels, 3, 3), 52, dtype)})


@exercise(
    topic="speed",
    title="Four 2 x 2 kernels out of one of 3 x 3",
    hints=(
        "Which two of the three rows under the window are copies of one row, for an even and for "
        "an odd row of the output? Upsampling has doubled each.",
        "Along one axis an even output has the weights (w0, w1 + w2), an odd one (w0 + w1, w2). "
        "Both axes are independent: do it for the rows of the window, then for its columns.",
        "`sums = torch.tensor([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], "
        'dtype=weight.dtype)` has (parity, place, tap); `torch.einsum("pau,qbv,ocuv->pqocab", '
        "sums, sums, weight)` does both axes.",
    ),
    returns=("kernels",),
    axes=("row parity", "column parity", "output channel", "input channel", "row", "column"),
    cases=(
        _weight_case("one channel", 1, 1),
        _weight_case("2 outputs, 3 channels", 2, 3),
        _weight_case("2 outputs, 2 channels", 2, 2),
        _weight_case("float32", 3, 2, torch.float32),
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
def phase_kernels(weight: Tensor) -> Tensor:
    """Check ``phase_kernels(weight) -> kernels``.

    Parameters
    ----------
    function : callable
        The student's, which takes the weight ``(O, C, 3, 3)`` of a convolution with padding 1 that
        follows an upsampling by 2, and returns the kernels ``(2, 2, O, C, 2, 2)`` that compute
        its output pixels of each row and column parity from the small image.
    """
    sums = torch.tensor([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], dtype=weight.dtype)
    return torch.einsum("pau,qbv,ocuv->pqocab", sums, sums, weight)


phase_kernels.mistakes = (
    Mistake(
        "The parities are swapped: an even output has the weights (w0, w1 + w2), an odd one (w0 "
        "+ w1, w2).",
        but(("weight)", "weight).flip(0, 1)")),
        likely="parities",
    ),
    Mistake(
        "The parities of the rows are swapped: an even row has the weights (w0, w1 + w2).",
        but(("sums, sums,", "sums.flip(0), sums,")),
        likely="row parity",
    ),
    Mistake(
        "The parities of the columns are swapped: an even column has the weights (w0, w1 + w2).",
        but(("sums, sums,", "sums, sums.flip(0),")),
        likely="column parity",
    ),
    Mistake(
        "Row parity and column parity are swapped: the first dimension is that of the row.",
        but((">pq", ">qp")),
        likely="p and q",
    ),
    Mistake(
        "The two pixels of each kernel are swapped, in rows and columns: the pixel before comes "
        "first, so an even output has (w0, w1 + w2) and not (w1 + w2, w0).",
        but(("sums, sums,", "sums.flip(1), sums.flip(1),")),
        likely="pixels",
    ),
    Mistake(
        "Rows and columns of each small kernel are swapped.",
        but(("ocab", "ocba")),
    ),
    Mistake(
        "The weights that meet the same pixel are averaged: their sum belongs there.",
        but(("return", "sums = sums / sums.sum(2, keepdim=True)\nreturn")),
    ),
    Mistake(
        "All four kernels are the even one, (w0, w1 + w2): an odd output has (w0 + w1, w2).",
        but(("[[1, 1, 0], [0, 0, 1]]", "[[1, 0, 0], [0, 1, 1]]")),
    ),
    Mistake(
        "All four kernels are the odd one, (w0 + w1, w2): an even output has (w0, w1 + w2).",
        but(("[[1, 0, 0], [0, 1, 1]]", "[[1, 1, 0], [0, 0, 1]]")),
    ),
    Mistake(
        "The middle weight counts twice, as in (w0 + w1, w1 + w2): it belongs to the second "
        "pixel of an even output, and to the first of an odd one.",
        but(("[1, 0, 0]", "[1, 1, 0]"), ("[0, 0, 1]", "[0, 1, 1]")),
    ),
    Mistake(
        "The middle weight is missing, as in (w0, w2): it belongs to the second pixel of an even "
        "output, and to the first of an odd one.",
        but(("[0, 1, 1]", "[0, 0, 1]"), ("[1, 1, 0]", "[1, 0, 0]")),
    ),
    Mistake(
        "Each kernel is a piece of the weight, cut out: all nine weights count in each of the "
        "four, and those that meet the same pixel are summed.",
        "return weight.unfold(2, 2, 1).unfold(3, 2, 1).permute(2, 3, 0, 1, 4, 5)",
    ),
    Mistake(
        "Each kernel is the corner weight[:, :, :2, :2]: all nine weights count in each of the "
        "four, and those that meet the same pixel are summed.",
        "return weight[:, :, :2, :2].expand(2, 2, -1, -1, -1, -1)",
    ),
    Mistake(
        "The 3 x 3 weight is turned around first: no reversing here, w0 is the weight of the "
        "pixel before.",
        but(("weight)", "weight.flip(2, 3))")),
    ),
    Mistake(
        "Input and output channels are swapped: (2, 2, O, C, 2, 2).",
        but(("pqoc", "pqco")),
    ),
    Mistake(
        "It is divided by 4: every output pixel gets its full sum, there are just four kinds of "
        "them.",
        but(("weight)", "weight) / 4")),
    ),
    Mistake(
        "Only the rows are summed: do the same to the columns of the result.",
        but(("pau,qbv,", "pau,"), ("pqocab", "pocav"), ("sums, sums,", "sums,")),
    ),
    Mistake(
        "The four kernels stand in a row: give the two parities a dimension each, (2, 2, O, C, "
        "2, 2).",
        but(("weight)", "weight).flatten(0, 1)")),
    ),
)

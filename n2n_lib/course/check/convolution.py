"""Exercises on convolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import fold, unfold  # noqa: TID251 (functions, not modules)

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise

# ------------------------------------------------------------------------------------- output_size


def _size_case(name: str, *numbers: int) -> Case:
    names = ("size", "kernel", "stride", "padding", "dilation")
    return Case(name, dict(zip(names, numbers, strict=True)))


@exercise(
    topic="convolution",
    title="How many places a window has",
    hints=(
        "Slide the window along a row of boxes on paper. Where does its last row lie at the "
        "first place, and how often can it move on?",
        "The padded picture has size + 2 * padding rows, and the window reaches over dilation *"
        " (kernel - 1) + 1 of them. One place is the first; each whole stride that fits into "
        "the rest is one more.",
        "Whole strides are counted by `//`: `(size + 2 * padding - ...) // stride + 1`, with "
        "the reach of the window at the dots.",
    ),
    returns=("size",),
    cases=(
        _size_case("plain", 6, 3, 1, 0, 1),
        _size_case("padding 2", 6, 3, 1, 2, 1),
        _size_case("stride 2, with a rest", 8, 3, 2, 0, 1),
        _size_case("dilation 2", 9, 3, 1, 0, 2),
        _size_case("kernel 1, stride 3", 9, 1, 3, 0, 1),
        _size_case("everything", 18, 4, 3, 1, 3),
    ),
)
def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Check ``output_size(size, kernel, stride, padding, dilation) -> int``.

    Parameters
    ----------
    function : callable
        The student's, which takes five integers for one dimension and returns how many places the
        window has, an int.
    """
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


output_size.mistakes = (
    Mistake(
        "It is one too small: add 1 at the end, for the first place of the window.",
        "return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride",
        likely="one missing",
    ),
    Mistake(
        "The padding counts once: it is added on both sides, so write 2 * padding.",
        "return (size + padding - dilation * (kernel - 1) - 1) // stride + 1",
        likely="padding counted once",
    ),
    Mistake(
        "It forgot the padding: the window moves over size + 2 * padding pixels.",
        "return (size - dilation * (kernel - 1) - 1) // stride + 1",
        likely="padding forgotten",
    ),
    Mistake(
        "It forgot the dilation: a window of kernel pixels reaches over dilation * (kernel - 1) "
        "+ 1.",
        "return (size + 2 * padding - kernel) // stride + 1",
        likely="dilation forgotten",
    ),
    Mistake(
        "The window is one dilation too long: kernel pixels have kernel - 1 gaps between them, "
        "so it reaches over dilation * (kernel - 1) + 1.",
        "return (size + 2 * padding - dilation * kernel) // stride + 1",
        likely="dilation of the whole kernel",
    ),
    Mistake(
        "It forgot the stride: divide by it before you add 1.",
        "return size + 2 * padding - dilation * (kernel - 1)",
    ),
    Mistake(
        "It forgot the padding and the dilation: the window moves over size + 2 * padding "
        "pixels, and reaches over dilation * (kernel - 1) + 1 of them.",
        "return (size - kernel) // stride + 1",
    ),
    Mistake(
        "It forgot the window: that reaches over dilation * (kernel - 1) + 1 pixels, so it "
        "cannot start on the last of them.",
        "return (size + 2 * padding) // stride",
        "return (size + 2 * padding) // stride + 1",
    ),
    Mistake(
        "Parentheses are missing: `//` comes before plus and minus, so only the 1 in front of it "
        "is divided.",
        "return size + 2 * padding - dilation * (kernel - 1) - 1 // stride + 1",
    ),
    Mistake(
        "It rounds to the nearest number. A place that sticks out of the image does not count: "
        "round down with `//`.",
        "return round((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1",
        "return round((size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1)",
    ),
    Mistake(
        "It rounds up. A place that sticks out of the image does not count: round down with `//`.",
        "return math.ceil((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1",
    ),
    Mistake(
        "It divides too late: add 1 after the division by the stride, not before.",
        "return (size + 2 * padding - dilation * (kernel - 1)) // stride",
    ),
    Mistake(
        "The window is one pixel too short: it reaches over dilation * (kernel - 1) + 1 pixels, "
        "and the + 1 is missing.",
        "return (size + 2 * padding - dilation * (kernel - 1)) // stride + 1",
    ),
)


# ------------------------------------------------------------------------------------ conv2d_loops


def _loops_case(
    name: str,
    x: tuple[int, int, int, int],
    weight: tuple[int, int, int],
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    dtype: torch.dtype = torch.float64,
) -> Case:
    outputs, *kernel = weight
    arguments = {
        "x": values(x, 28, dtype),
        "weight": values((outputs, x[1], *kernel), 29, dtype),
        "bias": values((outputs,), 30, dtype),
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
    }
    return Case(name, arguments, {"the batch size N": x[0], "the channels C": x[1]})


@exercise(
    topic="convolution",
    title="Convolution, index by index",
    hints=(
        "Which pixel of x does entry (u, v) of the kernel lie on, when the window stands at "
        "place (i, j)? Some of these pixels do not exist.",
        "y[n, o, i, j] is bias[o] plus the sum over c, u, v of weight[o, c, u, v] times x at "
        "row i * stride + u * dilation - padding, and the column likewise with j and v. Outside"
        " of the picture x is 0.",
        "`row = i * stride + u * dilation - padding`, `column = ...`, and add only `if 0 <= row"
        " < H and 0 <= column < W`, since a negative index counts from the end.",
    ),
    returns=("output",),
    axes=("image", "channel", "row", "column"),
    cases=(
        _loops_case("one channel, one image", (1, 1, 4, 4), (1, 2, 2)),
        _loops_case("3 images, 2 channels in and out", (3, 2, 3, 4), (2, 2, 2)),
        _loops_case("window not square", (1, 3, 5, 4), (2, 2, 3)),
        _loops_case("stride 2", (1, 2, 6, 7), (2, 3, 2), stride=2),
        _loops_case("padding 1", (2, 1, 3, 4), (2, 3, 3), padding=1),
        _loops_case("dilation 2", (1, 1, 6, 5), (1, 3, 2), dilation=2),
        _loops_case("all three, float32", (1, 2, 6, 5), (2, 2, 3), 2, 2, 2, torch.float32),
    ),
    errors=(
        (
            "out of bounds",
            "Which index runs how far? y is [n, o, i, j], weight [o, c, u, v], x [n, c, row, "
            "column]. And with padding a window reaches outside the picture: add only where "
            "0 <= row < H and 0 <= column < W.",
        ),
    ),
)
def conv2d_loops(
    x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int, dilation: int
) -> Tensor:
    """Check ``conv2d_loops(x, weight, bias, stride, padding, dilation) -> output``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``x`` ``(N, C, H, W)``, ``weight`` ``(O, C, kH, kW)``, ``bias``
        ``(O,)`` and three integers, and returns ``(N, O, H', W')``.
    """
    (N, C, H, W), (outputs, _, kH, kW) = x.shape, weight.shape
    rows = (H + 2 * padding - dilation * (kH - 1) - 1) // stride + 1
    columns = (W + 2 * padding - dilation * (kW - 1) - 1) // stride + 1
    y = torch.zeros(N, outputs, rows, columns, dtype=x.dtype)
    for n, o, i, j in product(range(N), range(outputs), range(rows), range(columns)):
        y[n, o, i, j] = bias[o]
        for c, u, v in product(range(C), range(kH), range(kW)):
            row = i * stride + u * dilation - padding
            column = j * stride + v * dilation - padding
            if 0 <= row < H and 0 <= column < W:  # outside is zero
                y[n, o, i, j] += weight[o, c, u, v] * x[n, c, row, column]
    return y


conv2d_loops.mistakes = (
    Mistake(
        "It forgot the bias: each output of channel o starts from bias[o].",
        but(("y[n, o, i, j] = bias[o]", "pass")),
        likely="bias forgotten",
    ),
    Mistake(
        "The padding is in the size of the output, and not in the place of the window: its first "
        "row is i * stride - padding.",
        but((" - padding", "")),
        likely="padding in the size only",
    ),
    Mistake(
        "The padding moves the window the wrong way: its first row lies `padding` rows above the "
        "picture, so subtract.",
        but((" - padding", " + padding")),
    ),
    Mistake(
        "The stride spreads the weights, too: places are `stride` apart, and the weights of a "
        "window `dilation`.",
        but(
            ("i * stride + u * dilation", "(i + u) * stride"),
            ("j * stride + v * dilation", "(j + v) * stride"),
        ),
    ),
    Mistake(
        "A negative row or column counts from the other end in Python, so the window wraps "
        "around the picture: skip what lies above and to the left of it.",
        but(("0 <= row < H and 0 <= column < W", "row < H and column < W")),
        likely="wrapped around",
    ),
    Mistake(
        "The stride is in the size of the output, and not in the place of the window: the window "
        "of row i starts i * stride rows down.",
        but(("i * stride +", "i +"), ("j * stride +", "j +")),
        likely="stride in the size only",
    ),
    Mistake(
        "The dilation is in the size of the output, and not inside the window: neighbouring "
        "weights look at pixels that are `dilation` apart.",
        but(("u * dilation", "u"), ("v * dilation", "v")),
        likely="dilation in the size only",
    ),
    Mistake(
        "The window is turned by 180 degrees: weight (u, v) meets the pixel u rows down and v "
        "columns to the right.",
        but(("weight[o, c, u, v]", "weight[o, c, kH - 1 - u, kW - 1 - v]")),
    ),
    Mistake(
        "Each product overwrites the one before it: add with `+=`.",
        but(("y[n, o, i, j] +=", "y[n, o, i, j] =")),
    ),
    Mistake(
        "It sees the first input channel only: sum over all channels c.",
        but(("range(C)", "range(1)")),
    ),
    Mistake(
        "The bias is added for every number of the window: add it once for each output.",
        but(
            ("y[n, o, i, j] = bias[o]", "pass"),
            (
                "weight[o, c, u, v] * x[n, c, row, column]",
                "weight[o, c, u, v] * x[n, c, row, column] + bias[o]",
            ),
        ),
    ),
    Mistake(
        "Stride and dilation are swapped: i counts places, which are `stride` apart, and u counts "
        "weights, which are `dilation` apart.",
        but(
            ("i * stride + u * dilation", "i * dilation + u * stride"),
            ("j * stride + v * dilation", "j * dilation + v * stride"),
        ),
    ),
    Mistake(
        "Only the first image is computed, and the others stay zero: loop over n.",
        but(("product(range(N), ", "product(range(1), ")),
    ),
)


# ---------------------------------------------------------------------------------- conv2d_forward


def _conv_case(
    name: str,
    x: tuple[int, int, int, int],
    weight: tuple[int, int, int],
    stride: int = 1,
    padding: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Case:
    outputs, *kernel = weight
    arguments = {
        "x": values(x, 6, dtype),
        "weight": values((outputs, x[1], *kernel), 7, dtype),
        "bias": values((outputs,), 8, dtype),
        "stride": stride,
        "padding": padding,
    }
    return Case(name, arguments, {"the batch size N": x[0], "the channels C": x[1]})


@exercise(
    topic="convolution",
    title="Convolution",
    hints=(
        "Once every window is a column, a convolution is one matrix product. Which matrix "
        "stands on the left, and what do the columns of the result count?",
        "The windows are (N, C kH kW, L) and the weight is (O, C kH kW): their product is (N, "
        "O, L). Add bias[o] to row o, and turn the L places into H' rows and W' columns.",
        "`weight.flatten(1) @ windows + bias[:, None]` with `windows = unfold(x, "
        "weight.shape[2:], stride=stride, padding=padding)`, then `unflatten(2, (rows, -1))`.",
    ),
    returns=("output",),
    axes=("image", "channel", "row", "column"),
    cases=(
        _conv_case("one channel, one image", (1, 1, 4, 4), (1, 2, 2)),
        _conv_case("3 images, 2 channels in and out", (3, 2, 4, 5), (2, 3, 3)),
        _conv_case("window not square", (2, 3, 5, 4), (2, 2, 3)),
        _conv_case("as many outputs as places", (1, 2, 3, 3), (4, 2, 2)),
        _conv_case("stride 2", (1, 2, 7, 9), (4, 3, 3), stride=2),
        _conv_case("padding 1", (2, 2, 4, 3), (3, 3, 3), padding=1),
        _conv_case("stride 2, padding 2, float32", (2, 3, 5, 6), (4, 2, 3), 2, 2, torch.float32),
    ),
    errors=(
        (
            "must match the size of tensor",
            "Two shapes do not fit. A bias (O,) needs the shape (O, 1), or (O, 1, 1), to be added "
            "along the channels; a window and its weight are both (C, kH, kW).",
        ),
        (
            "Expected size for first two dimensions",
            "weight.flatten(1) is (O, C kH kW), and the windows are (N, C kH kW, L): is the size "
            "of the window (kH, kW)?",
        ),
        (
            "multiply up to the size",
            "The places L of the windows are not H' W': print both. H' is "
            "(H + 2 * padding - kH) // stride + 1, and unfold takes the stride and the padding by "
            "their names, `stride=stride, padding=padding`.",
        ),
        (
            "is invalid for input of size",
            "The values of the result are not N O H' W': print its shape before. H' is "
            "(H + 2 * padding - kH) // stride + 1, and unfold takes the window as (kH, kW), and "
            "stride and padding by their names, `stride=stride, padding=padding`.",
        ),
    ),
)
def conv2d_forward(x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int) -> Tensor:
    """Check ``conv2d_forward(x, weight, bias, stride, padding) -> output``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``x`` ``(N, C, H, W)``, ``weight`` ``(O, C, kH, kW)``, ``bias``
        ``(O,)`` and two integers, and returns ``(N, O, H', W')``.
    """
    kernel = weight.shape[2:]
    windows = unfold(x, kernel, stride=stride, padding=padding)  # (N, C kH kW, L)
    output = weight.flatten(1) @ windows + bias[:, None]  # (N, O, L)
    rows = (x.shape[2] + 2 * padding - kernel[0]) // stride + 1
    return output.unflatten(2, (rows, -1))  # (N, O, H', W')


LOOPS = """
outputs, channels, k_h, k_w = weight.shape
padded = torch.zeros(
    x.shape[0], channels, x.shape[2] + 2 * padding, x.shape[3] + 2 * padding, dtype=x.dtype
)
padded[:, :, padding : padding + x.shape[2], padding : padding + x.shape[3]] = x
rows = (padded.shape[2] - k_h) // stride + 1
columns = (padded.shape[3] - k_w) // stride + 1
output = torch.zeros(x.shape[0], outputs, rows, columns, dtype=x.dtype)
for n in range(x.shape[0]):
    for o in range(outputs):
        for i in range(rows):
            for j in range(columns):
                top, left = i * stride, j * stride
                window = padded[n, :, top : top + k_h, left : left + k_w]
                output[n, o, i, j] = (window * weight[o]).sum() + bias[o]
return output
"""
"""Another right answer: the sum over every window, in loops."""

conv2d_forward.mistakes = (
    Mistake(
        "It forgot the bias: add bias[o] to every pixel of output channel o.",
        but((" + bias[:, None]", "")),
        likely="bias forgotten",
    ),
    Mistake(
        "It forgot the padding: put `padding` rows and columns of zeros around x, or hand "
        "padding on to unfold.",
        but((", padding=padding", ""), (" + 2 * padding", "")),
        likely="padding forgotten",
    ),
    Mistake(
        "It forgot both the stride and the padding: hand them on to unfold.",
        but((", stride=stride, padding=padding", ""), (" + 2 * padding", ""), (" // stride", "")),
        likely="stride and padding forgotten",
    ),
    Mistake(
        "It ignored the stride: the window should move by `stride` pixels from one place to the "
        "next.",
        but(("stride=stride, ", ""), (" // stride", "")),
        likely="stride forgotten",
    ),
    Mistake(
        "The output has the right size, but the stride is ignored when a window is cut out: the "
        "window of row i starts at row i * stride.",
        but(("i * stride, j * stride", "i, j"), of=LOOPS),
    ),
    Mistake(
        "The kernel is flipped: weight[o, c, u, v] belongs to the pixel u rows down and v "
        "columns to the right in the window. No reversing here, as in PyTorch.",
        but(("weight.flatten(1)", "weight.flip(2, 3).flatten(1)")),
    ),
    Mistake(
        "Rows and columns of the kernel are swapped: u goes down, v goes to the right.",
        but(("kernel = ", "weight = weight.transpose(2, 3)\nkernel = ")),
    ),
    Mistake(
        "The weight is transposed: input and output channels are swapped. It is (O, C, kH, kW), "
        "so output channel o uses weight[o].",
        but(("weight.flatten(1)", "weight.transpose(0, 1).flatten(1)")),
    ),
    Mistake(
        "The weight is reshaped to (C kH kW, O), which mixes up its numbers, where it should be "
        "flattened to (O, C kH kW).",
        but(("weight.flatten(1)", "weight.reshape(-1, len(weight)).T")),
    ),
    Mistake(
        "The bias is added per column of the image: it holds one number for each output channel, "
        "so give it the shape (O, 1, 1).",
        but((" + bias[:, None]", ""), ("(rows, -1))", "(rows, -1)) + bias")),
    ),
    Mistake(
        "The bias is inside the sum: it is added once for each number of the window, and should "
        "be added once at the end.",
        but(("weight[o]).sum() + bias[o]", "weight[o] + bias[o]).sum()"), of=LOOPS),
    ),
    Mistake(
        "The bias is added once for each input channel, and should be added once at the end.",
        but(("bias[", "weight.shape[1] * bias[")),
    ),
    Mistake(
        "Every pixel gets the sum of all biases: output channel o gets bias[o] alone.",
        but(("bias[:, None]", "bias.sum()")),
    ),
    Mistake(
        "The bias has the wrong sign: it is added.",
        but(("+ bias", "- bias")),
    ),
    Mistake(
        "It sees the first input channel only: sum over all channels c.",
        but(("(window * weight[o])", "(window[0] * weight[o, 0])"), of=LOOPS),
    ),
    Mistake(
        "It sees the last input channel only: add (`+=`) the channels, do not overwrite.",
        but(("unfold(x,", "unfold(x[:, -1:],"), ("weight.flatten", "weight[:, -1:].flatten")),
    ),
    Mistake(
        "It takes the mean over the window where a sum belongs.",
        but((").sum()", ").mean()"), of=LOOPS),
    ),
    Mistake(
        "It returns the first image only: loop over the batch too.",
        but(("return output", "return output[:1]")),
    ),
    Mistake(
        "It computes the first image only, and the others stay zero: loop over the batch too.",
        but(("for n in range(x.shape[0])", "for n in range(1)"), of=LOOPS),
    ),
    Mistake(
        "The padding is on one side only, at the bottom and the right: it belongs on all four "
        "sides.",
        but(
            ("+ 2 * padding", "+ padding"),
            ("padding : padding + x.shape[2]", ": x.shape[2]"),
            ("padding : padding + x.shape[3]", ": x.shape[3]"),
            of=LOOPS,
        ),
    ),
    Mistake(
        "The padding is on one side only, at the top and the left: it belongs on all four sides.",
        but(("+ 2 * padding", "+ padding"), of=LOOPS),
    ),
    Mistake(
        "Height and width of the output are swapped in the last reshape: it is (N, O, H', W').",
        but(("(rows, -1)", "(-1, rows)")),
    ),
    Mistake(
        "The numbers are right, and the rows of the output are counted without the padding: H' = "
        "(H + 2 * padding - kH) // stride + 1.",
        but((" + 2 * padding", "")),
        likely="padding forgotten in the size only",
    ),
)


# ------------------------------------------------------------------------------ conv2d_weight_grad


def _weight_grad_case(
    name: str,
    n: int,
    weight: tuple[int, int, int, int],
    places: tuple[int, int],
    dtype: torch.dtype = torch.float64,
) -> Case:
    outputs, channels, k_h, k_w = weight
    length = places[0] * places[1]
    arguments = {
        "grad_output": values((n, outputs, *places), 9, dtype),
        "windows": values((n, channels * k_h * k_w, length), 10, dtype),
        "weight_shape": weight,
    }
    sizes = {"the batch size N": n, "the places L": length, "all places of the batch": n * length}
    return Case(name, arguments, sizes)


@exercise(
    topic="convolution",
    title="Gradient of the weight",
    hints=(
        "Forward is a matrix product, weight times windows. What is the gradient of the left "
        "factor, in the lesson on gradients, and what is to be done with N of them?",
        "Of each picture it is grad_output as (O, L) times the transposed windows (L, C kH kW)."
        " Sum over the pictures, and give the result the shape of the weight.",
        "`grad_output.flatten(2) @ windows.transpose(1, 2)` is (N, O, C kH kW); a `.sum(0)` and"
        " the shape are left to do.",
    ),
    returns=("grad_weight",),
    axes=("output channel", "input channel", "row", "column"),
    cases=(
        _weight_grad_case("one image", 1, (2, 1, 2, 2), (3, 3)),
        _weight_grad_case("batch of 3", 3, (2, 2, 2, 2), (2, 3)),
        _weight_grad_case("window not square", 2, (4, 3, 2, 3), (4, 2)),
        _weight_grad_case("one place, float32", 2, (3, 2, 3, 3), (1, 1), torch.float32),
    ),
    errors=(
        (
            "Expected size for first two dimensions",
            "Flatten grad_output to (N, O, L) and transpose the windows to (N, L, C kH kW), so "
            "that the sum in the product runs over the places L.",
        ),
        (
            "is invalid for input of size",
            "What is reshaped has not as many values as the weight: print its shape. The sums over "
            "the places L and over the batch N both come before.",
        ),
        (
            "must match the size of tensor",
            "Flatten grad_output to (N, O, L) before it meets the windows.",
        ),
    ),
)
def conv2d_weight_grad(
    grad_output: Tensor, windows: Tensor, weight_shape: tuple[int, ...]
) -> Tensor:
    """Check ``conv2d_weight_grad(grad_output, windows, weight_shape) -> grad_weight``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``grad_output`` ``(N, O, H', W')``, the unfolded ``windows``
        ``(N, C kH kW, L)`` with ``L = H' W'`` and ``weight_shape``, the tuple ``(O, C, kH, kW)``,
        and returns the gradient of the weight, of that shape.
    """
    grad = grad_output.flatten(2)  # (N, O, L)
    return (grad @ windows.transpose(1, 2)).sum(0).view(weight_shape)


conv2d_weight_grad.mistakes = (
    Mistake(
        "It is a mean over the batch where a sum belongs: every image pulls at the weight, so do "
        "not divide by N.",
        but(("sum(0)", "mean(0)")),
        likely="mean over the batch",
    ),
    Mistake(
        "It forgot to sum over the batch: there is one gradient for each image.",
        but((".sum(0)", ""), ("weight_shape", "-1, *weight_shape")),
        likely="not summed, but reshaped",
    ),
    Mistake(
        "It forgot to sum over the batch, and to reshape the result to weight_shape.",
        "return grad_output.flatten(2) @ windows.transpose(1, 2)",
        likely="not summed over the batch",
    ),
    Mistake(
        "The sum is right, but it is not reshaped to weight_shape at the end.",
        "return (grad_output.flatten(2) @ windows.transpose(1, 2)).sum(0)",
        likely="not reshaped",
    ),
    Mistake(
        "The product is transposed: windows times grad_output is (C kH kW, O), and a reshape "
        "mixes it up. Let grad_output come first.",
        but(("grad @ windows.transpose(1, 2)", "windows @ grad.transpose(1, 2)")),
        likely="transposed product",
    ),
    Mistake(
        "The result is flipped: entry (u, v) belongs to pixel (u, v) of the window.",
        but(("(weight_shape)", "(weight_shape).flip(2, 3)")),
    ),
    Mistake(
        "It is a mean over the places of the window where a sum belongs: do not divide by L.",
        but(
            (".sum(0)", ".sum(0) / grad.shape[2]"),
            ("return (grad", "return ((grad"),
            ("[2].view", "[2]).view"),
        ),
    ),
    Mistake(
        "It is a mean over the images and the places where a sum belongs.",
        but((".sum(0)", ".mean(0)"), ("return (grad", "return (grad / grad.shape[2]")),
    ),
    Mistake(
        "Only the first image counts: sum over the batch.",
        "return (grad_output[0].flatten(1) @ windows[0].T).view(weight_shape)",
    ),
    Mistake(
        "Only the last image counts: add (`+=`) the images, do not overwrite.",
        """
        for g, w in zip(grad_output.flatten(2), windows):
            grad_weight = (g @ w.T).view(weight_shape)
        return grad_weight
        """,
    ),
    Mistake(
        "A reshape of grad_output to (O, N L) mixes up the batch and the channels: O has to come "
        "first, so take grad_output.transpose(0, 1) before it.",
        """
        grad = grad_output.reshape(weight_shape[0], -1)
        return (grad @ windows.transpose(0, 1).flatten(1).T).view(weight_shape)
        """,
        """
        grad = grad_output.reshape(weight_shape[0], -1)
        return (grad @ windows.reshape(windows.shape[1], -1).T).view(weight_shape)
        """,
    ),
    Mistake(
        "It sums over the batch first and multiplies then: each picture's grad_output meets its "
        "own windows, and the products are summed.",
        "return (grad_output.flatten(2).sum(0) @ windows.sum(0).T).view(weight_shape)",
    ),
    Mistake(
        "It forgot grad_output: these are the sums of the windows alone.",
        "return windows.sum((0, 2)).repeat(weight_shape[0], 1).view(weight_shape)",
    ),
    Mistake(
        "The sign is wrong: the minus comes in with the step of gradient descent.",
        "return -(grad_output.flatten(2) @ windows.transpose(1, 2)).sum(0).view(weight_shape)",
    ),
)


# -------------------------------------------------------------------------------- conv2d_bias_grad


def _bias_grad_case(
    name: str, shape: tuple[int, int, int, int], dtype: torch.dtype = torch.float64
) -> Case:
    n, _, rows, columns = shape
    sizes = {
        "the batch size N": n,
        "the places L": rows * columns,
        "all places of the batch": n * rows * columns,
    }
    return Case(name, {"grad_output": values(shape, 31, dtype)}, sizes)


@exercise(
    topic="convolution",
    title="Gradient of the bias",
    hints=(
        "In which numbers of the output does bias[o] stand, and with what factor?",
        "bias[o] is added at every place of channel o in every picture. So it gets the sum of "
        "grad_output over n, i and j.",
        "`sum` takes a tuple of dimensions: of the four of `grad_output` name all but the "
        "channels, dimension 1.",
    ),
    returns=("grad_bias",),
    axes=("output channel",),
    cases=(
        _bias_grad_case("one image", (1, 2, 2, 3)),
        _bias_grad_case("batch of 3", (3, 2, 2, 4)),
        _bias_grad_case("all sizes equal", (2, 2, 2, 2)),
        _bias_grad_case("one place, float32", (4, 3, 1, 1), torch.float32),
    ),
)
def conv2d_bias_grad(grad_output: Tensor) -> Tensor:
    """Check ``conv2d_bias_grad(grad_output) -> grad_bias``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``grad_output`` ``(N, O, H', W')`` and returns the gradient of
        the bias ``(O,)``.
    """
    return grad_output.sum((0, 2, 3))


conv2d_bias_grad.mistakes = (
    Mistake(
        "It is a mean where a sum belongs: every place pulls at the bias, so do not divide.",
        but(("sum", "mean")),
        likely="mean",
    ),
    Mistake(
        "It is a mean over the batch: every image pulls at the bias, so do not divide by N.",
        "return grad_output.sum((2, 3)).mean(0)",
        likely="mean over the batch",
    ),
    Mistake(
        "It is a mean over the places: every place pulls at the bias, so do not divide by L.",
        "return grad_output.mean((2, 3)).sum(0)",
    ),
    Mistake(
        "It is summed over the places and not over the batch: one bias serves all images.",
        "return grad_output.sum((2, 3))",
        likely="batch not summed",
    ),
    Mistake(
        "It is summed over the batch and not over the places: one bias serves all of them.",
        "return grad_output.sum(0)",
        likely="places not summed",
    ),
    Mistake(
        "It is summed over the channels too: each output channel has a bias of its own.",
        "return grad_output.sum()",
        likely="channels summed too",
    ),
    Mistake(
        "It forgot grad_output: this counts the places.",
        "return torch.full_like(grad_output[0, :, 0, 0], grad_output[:, 0].numel())",
    ),
    Mistake(
        "It is summed over the wrong dimensions: what stays is dimension 1, the output channels.",
        "return grad_output.sum((1, 2, 3))",
        "return grad_output.sum((0, 1, 2))",
        "return grad_output.sum((0, 1, 3))",
    ),
    Mistake(
        "The numbers are right, in the shape (1, O, 1, 1): the bias is (O,), so leave keepdim out.",
        "return grad_output.sum((0, 2, 3), keepdim=True)",
    ),
    Mistake(
        "It sees the first image only: sum over the batch.",
        "return grad_output[0].sum((1, 2))",
    ),
    Mistake(
        "It sees the last image only: add (`+=`) the images, do not overwrite.",
        "return grad_output[-1].sum((1, 2))",
    ),
    Mistake(
        "The sign is wrong: the minus comes in with the step of gradient descent.",
        "return -grad_output.sum((0, 2, 3))",
    ),
)


# -------------------------------------------------------------------------------------- adjoint_gap


@dataclass
class _Matrix:
    """The linear map with this matrix."""

    matrix: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return self.matrix.to(x.dtype) @ x


@dataclass
class _Windows:
    """Cuts a picture into windows, or adds windows up, perhaps with a factor that is wrong."""

    size: tuple[int, int]
    back: bool = False
    factor: float = 1.0

    def __call__(self, x: Tensor) -> Tensor:
        return self.factor * (fold(x, self.size, 2) if self.back else unfold(x, 2))


def _gap_case(
    name: str, forward: Tensor, transposed: Tensor, dtype: torch.dtype = torch.float64
) -> Case:
    rows, columns = forward.shape
    arguments = {
        "forward": _Matrix(forward),
        "transposed": _Matrix(transposed),
        "x": values((columns,), 32, dtype),
        "y": values((rows,), 33, dtype),
    }
    return Case(name, arguments)


def _whole_case() -> Case:
    """A right pair, with whole numbers: the gap is zero, without rounding."""
    matrix = torch.tensor([[1.0, -2.0, 0.0], [3.0, 1.0, 2.0]], dtype=torch.float64)
    case = _gap_case("right: the transpose, whole numbers", matrix, matrix.T.contiguous())
    whole = {name: (3 * case.arguments[name]).round() for name in ("x", "y")}
    return Case(case.name, case.arguments | whole)


def _windows_case() -> Case:
    arguments = {
        "forward": _Windows((3, 4)),
        "transposed": _Windows((3, 4), back=True, factor=0.5),
        "x": values((2, 2, 3, 4), 34),
        "y": values((2, 8, 6), 35),
    }
    return Case("windows of pictures, half of fold", arguments)


@exercise(
    topic="convolution",
    title="The adjoint test",
    hints=(
        "A transpose may change sides in an inner product. Which two inner products does that "
        "compare, and in which of the two spaces is each?",
        "<a, b> is the sum of the products of equal entries, whatever the shape. Left: "
        "forward(x) with y. Right: x with transposed(y). Return left minus right.",
        "`(forward(x) * y).sum()` is the left one, one number; the right one has "
        "`transposed(y)` in it.",
    ),
    returns=("gap",),
    cases=(
        _gap_case("wrong: another matrix", values((2, 3), 36), values((3, 2), 37)),
        _whole_case(),
        _gap_case("square matrix, not transposed", values((2, 2), 38), values((2, 2), 38)),
        _windows_case(),
        _gap_case("float32", values((3, 2), 39), values((2, 3), 40), torch.float32),
    ),
    errors=(
        (
            "must match the size of tensor",
            "Two shapes do not fit: forward turns an x into the shape of y, `transposed` a y into "
            "the shape of x.",
        ),
        (
            "size mismatch",
            "Two shapes do not fit: forward takes x, and `transposed` takes y.",
        ),
        (
            "1D tensors expected",
            "The tensors may have any shape: multiply entry by entry, a * b, and add up.",
        ),
        (
            "shapes cannot be multiplied",
            "The tensors may have any shape: multiply entry by entry, a * b, and add up.",
        ),
        (
            "Expected size for first two dimensions",
            "The tensors may have any shape: multiply entry by entry, a * b, and add up.",
        ),
    ),
)
def adjoint_gap(
    forward: Callable[[Tensor], Tensor],
    transposed: Callable[[Tensor], Tensor],
    x: Tensor,
    y: Tensor,
) -> Tensor:
    """Check ``adjoint_gap(forward, transposed, x, y) -> gap``.

    Parameters
    ----------
    function : callable
        The student's, which takes two linear functions and two tensors, ``y`` of the shape of
        ``forward(x)``, and returns ``<forward(x), y> - <x, transposed(y)>``, a tensor with one
        value.
    """
    left = (forward(x) * y).sum()
    right = (x * transposed(y)).sum()
    return left - right


adjoint_gap.mistakes = (
    Mistake(
        "Left and right are swapped: the gap is <forward(x), y> minus <x, transposed(y)>.",
        but(("left - right", "right - left")),
        likely="right minus left",
    ),
    Mistake(
        "It takes the absolute value: the gap has a sign.",
        but(("left - right", "(left - right).abs()")),
        likely="absolute value",
    ),
    Mistake(
        "It adds left and right where it should subtract.",
        but(("left - right", "left + right")),
        likely="sum of both",
    ),
    Mistake(
        "These are means of products where sums belong.",
        but(("sum()", "mean()")),
        likely="means",
    ),
    Mistake(
        "It sums first and multiplies then: <a, b> multiplies entry by entry, and adds up the "
        "products.",
        """
        return forward(x).sum() * y.sum() - x.sum() * transposed(y).sum()
        """,
        likely="sums multiplied",
    ),
    Mistake(
        "It is divided by the left side: the gap is the difference itself.",
        but(("left - right", "(left - right) / left")),
    ),
    Mistake(
        "This is the left side alone: subtract <x, transposed(y)>.",
        but(("left - right", "left")),
    ),
    Mistake(
        "This is the right side alone: it is taken away from <forward(x), y>.",
        but(("left - right", "right")),
    ),
    Mistake(
        "The difference is squared: the gap has a sign.",
        but(("left - right", "(left - right) ** 2")),
    ),
    Mistake(
        "It is divided by the right side: the gap is the difference itself.",
        but(("left - right", "(left - right) / right")),
    ),
)


# ------------------------------------------------------------------------------- conv2d_input_grad


def _input_grad_case(
    name: str,
    n: int,
    weight: tuple[int, int, int, int],
    size: tuple[int, int],
    stride: int = 1,
    padding: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Case:
    places = [
        output_size.solution(length, kernel, stride, padding, 1)
        for length, kernel in zip(size, weight[2:], strict=True)
    ]
    arguments = {
        "grad_output": values((n, weight[0], *places), 12, dtype),
        "weight": values(weight, 11, dtype),
        "size": size,
        "stride": stride,
        "padding": padding,
    }
    return Case(name, arguments, {"the batch size N": n, "the output channels O": weight[0]})


_PRODUCT_BACK = (
    "Is the weight transposed? And grad_output flattened? (C kH kW, O) times (N, O, L) gives "
    "(N, C kH kW, L)."
)


@exercise(
    topic="convolution",
    title="Gradient of the input",
    hints=(
        "Walk back through forward: its last step was the product, its first was unfold. What "
        "is the transpose of each?",
        "The gradient of the windows is the transposed weight (C kH kW, O) times grad_output as"
        " (N, O, L). fold adds the windows up in a picture of size (H, W), with the stride and "
        "padding of forward.",
        "`weight.flatten(1).T @ grad_output.flatten(2)` goes into `fold(..., size, "
        "weight.shape[2:], stride=stride, padding=padding)`.",
    ),
    returns=("grad_input",),
    axes=("image", "channel", "row", "column"),
    cases=(
        _input_grad_case("one channel, one image", 1, (1, 1, 2, 2), (4, 4)),
        _input_grad_case("2 images, 2 channels in and out", 2, (2, 2, 3, 3), (5, 4)),
        _input_grad_case("window not square", 2, (2, 3, 2, 3), (4, 5)),
        _input_grad_case("stride 2, with a rest", 2, (3, 2, 2, 2), (5, 7), stride=2),
        _input_grad_case("padding 1, float32", 1, (4, 2, 3, 3), (4, 3), 1, 1, torch.float32),
        _input_grad_case("stride 2, padding 1, with a rest", 2, (2, 3, 3, 3), (6, 8), 2, 1),
    ),
    errors=(
        (
            "sliding blocks",
            "fold counts its windows from the size, the kernel, the stride and the padding, and "
            "finds another number of them: compare all four with those of the forward.",
        ),
        (
            "divisible by the product of kernel_size",
            "fold(windows, output_size, kernel_size) wants windows of C kH kW rows: are its "
            "arguments in this order, and is the weight transposed before the product?",
        ),
        ("Expected size for first two dimensions", _PRODUCT_BACK),
        ("shapes cannot be multiplied", _PRODUCT_BACK),
    ),
)
def conv2d_input_grad(
    grad_output: Tensor, weight: Tensor, size: tuple[int, int], stride: int, padding: int
) -> Tensor:
    """Check ``conv2d_input_grad(grad_output, weight, size, stride, padding) -> grad_input``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``grad_output`` ``(N, O, H', W')``, ``weight``
        ``(O, C, kH, kW)``, ``size``, the tuple ``(H, W)`` of the input, and two integers, and
        returns the gradient of the input ``(N, C, H, W)``.
    """
    grad = grad_output.flatten(2)  # (N, O, L)
    grad_windows = weight.flatten(1).T @ grad  # (N, C kH kW, L)
    return fold(grad_windows, size, weight.shape[2:], stride=stride, padding=padding)


SCATTER = """
n, outputs, rows, columns = grad_output.shape
channels, k_h, k_w = weight.shape[1:]
height, width = size
grad = grad_output.new_zeros(n, channels, height + 2 * padding, width + 2 * padding)
for i in range(rows):
    for j in range(columns):
        part = (grad_output[:, :, i, j] @ weight.flatten(1)).view(n, channels, k_h, k_w)
        top, left = i * stride, j * stride
        grad[:, :, top : top + k_h, left : left + k_w] += part
return grad[:, :, padding : padding + height, padding : padding + width]
"""
"""Another right answer: each gradient spread over its window, in loops."""

conv2d_input_grad.mistakes = (
    Mistake(
        "It forgot the padding: the frame of padded pixels is still around the result. Cut it "
        "off, or hand padding on to fold.",
        but(("[:, :, padding : padding + height, padding : padding + width]", ""), of=SCATTER),
        likely="frame not cut off",
    ),
    Mistake(
        "Without padding the result is empty: a slice [0:-0] has nothing in it. End it at "
        "padding + H, and at padding + W.",
        but(
            (
                "padding : padding + height, padding : padding + width",
                "padding:-padding, padding:-padding",
            ),
            of=SCATTER,
        ),
    ),
    Mistake(
        "It forgot the padding: a window of the padded image starts `padding` rows above and "
        "columns left of where you put it.",
        but(
            ("padding : padding + height, padding : padding + width]", ":height, :width]"),
            of=SCATTER,
        ),
    ),
    Mistake(
        "It ran the forward convolution again, with the channels of the weight swapped. Backward "
        "must spread each gradient over its window: the transposed map.",
        """
        k_h, k_w = weight.shape[2:]
        rows = (grad_output.shape[2] + 2 * padding - k_h) // stride + 1
        windows = unfold(grad_output, (k_h, k_w), stride=stride, padding=padding)
        return (weight.transpose(0, 1).flatten(1) @ windows).unflatten(2, (rows, -1))
        """,
    ),
    Mistake(
        "It ran the forward convolution again. Backward must spread each gradient over its "
        "window: multiply by the transposed weight, then fold.",
        """
        rows = (grad_output.shape[2] + 2 * padding - weight.shape[2]) // stride + 1
        windows = unfold(grad_output, weight.shape[2:], stride=stride, padding=padding)
        return (weight.flatten(1) @ windows).unflatten(2, (rows, -1))
        """,
    ),
    Mistake(
        "The kernel is flipped: the gradient of place (i, j) times weight[o, c, u, v] goes to "
        "row i * stride + u - padding. (If you convolve with padding kH - 1 instead, there the "
        "kernel has to be flipped.)",
        but(("weight.flatten", "weight.flip(2, 3).flatten")),
        likely="flipped kernel",
    ),
    Mistake(
        "The weight is reshaped to (C kH kW, O), which mixes up its numbers: flatten it to (O, C "
        "kH kW) first, then transpose it.",
        but(("weight.flatten(1).T", "weight.reshape(-1, len(weight))")),
        likely="weight reshaped instead of transposed",
    ),
    Mistake(
        "The weight is not transposed: input and output channels are swapped. The gradient of "
        "output channel o comes back through weight[o].",
        but(("@ weight.", "@ weight.transpose(0, 1)."), of=SCATTER),
        likely="channels swapped",
    ),
    Mistake(
        "Where windows overlap, the later one overwrites the earlier: add (`+=`) them, since a "
        "pixel that several windows saw collects a gradient from each.",
        but(("] += part", "] = part"), of=SCATTER),
        likely="overwritten",
    ),
    Mistake(
        "Where windows overlap, one overwrites the other: add (`+=`) them, since a pixel that "
        "several windows saw collects a gradient from each.",
        """
        n, outputs, rows, columns = grad_output.shape
        channels, k_h, k_w = weight.shape[1:]
        height, width = size
        grad = grad_output.new_zeros(n, channels, height + 2 * padding, width + 2 * padding)
        for u in range(k_h):
            for v in range(k_w):
                part = torch.einsum("noij,oc->ncij", grad_output, weight[:, :, u, v])
                grad[:, :, u : u + stride * rows : stride, v : v + stride * columns : stride] = part
        return grad[:, :, padding : padding + height, padding : padding + width]
        """,
    ),
    Mistake(
        "Where windows overlap, it takes their mean where a sum belongs: a pixel that several "
        "windows saw collects a gradient from each.",
        """
        def spread(windows):
            return fold(windows, size, weight.shape[2:], stride=stride, padding=padding)
        windows = weight.flatten(1).T @ grad_output.flatten(2)
        return spread(windows) / spread(torch.ones_like(windows)).clamp(min=1)
        """,
    ),
    Mistake(
        "It ignored the stride: the window of place (i, j) starts at row i * stride.",
        but(("i * stride, j * stride", "i, j"), of=SCATTER),
    ),
    Mistake(
        "The size is computed from grad_output, and the rows and columns that the last stride "
        "left over are missing: use `size`.",
        but(
            (
                "height, width = size",
                "height = (rows - 1) * stride + k_h - 2 * padding\n"
                "width = (columns - 1) * stride + k_w - 2 * padding",
            ),
            of=SCATTER,
        ),
    ),
    Mistake(
        "It uses the first output channel only: sum over all output channels o.",
        but(
            ("grad_output[:, :, i, j] @ weight", "grad_output[:, :1, i, j] @ weight[:1]"),
            of=SCATTER,
        ),
    ),
    Mistake(
        "The last row of windows is left out: does the loop over the rows of grad_output end one "
        "too early?",
        but(("range(rows)", "range(rows - 1)"), of=SCATTER),
    ),
    Mistake(
        "The last column of windows is left out: does the loop over the columns of grad_output "
        "end one too early?",
        but(("range(columns)", "range(columns - 1)"), of=SCATTER),
    ),
    Mistake(
        "It is a mean over the batch: every image has a gradient of its own, so nothing is "
        "divided by N.",
        but(("return fold", "return 1 / len(grad_output) * fold")),
    ),
)


# ------------------------------------------------------------------------------------ unfold_loops


def _unfold_case(
    name: str,
    x: tuple[int, int, int, int],
    kernel: tuple[int, int],
    stride: int = 1,
    dtype: torch.dtype = torch.float64,
) -> Case:
    return Case(name, {"x": values(x, 47, dtype), "kernel": kernel, "stride": stride})


@exercise(
    topic="convolution",
    title="All windows as columns, index by index",
    hints=(
        "One column is one window, read channel by channel and row by row. Which numbers fix "
        "the column, and which the row of the matrix?",
        "Row (c * kH + u) * kW + v and column i * W' + j hold channel c of the pixel in row i *"
        " stride + u and column j * stride + v. There are (H - kH) // stride + 1 rows of "
        "places, and columns likewise.",
        "`windows[:, (c * kH + u) * kW + v, i * columns + j] = x[:, c, i * stride + u, ...]`, "
        "for all pictures at once.",
    ),
    returns=("windows",),
    axes=("image", "row", "place"),
    cases=(
        _unfold_case("one channel", (1, 1, 3, 3), (2, 2)),
        _unfold_case("2 images, 2 channels", (2, 2, 3, 4), (2, 2)),
        _unfold_case("window not square", (1, 3, 4, 5), (2, 3)),
        _unfold_case("stride 2, with a rest", (2, 2, 6, 5), (3, 2), 2),
        _unfold_case("stride 2, float32", (1, 2, 4, 6), (2, 2), 2, torch.float32),
    ),
    errors=(
        (
            "out of bounds",
            "How many places are there? H' = (H - kH) // stride + 1, and W' likewise; the matrix "
            "has C kH kW rows and H' W' columns.",
        ),
    ),
)
def unfold_loops(x: Tensor, kernel: tuple[int, int], stride: int) -> Tensor:
    """Check ``unfold_loops(x, kernel, stride) -> windows``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``x`` ``(N, C, H, W)``, the size of a window ``(kH, kW)`` and an
        integer, and returns all windows as columns ``(N, C kH kW, H' W')``, without padding.
    """
    (N, C, H, W), (kH, kW) = x.shape, kernel
    rows, columns = (H - kH) // stride + 1, (W - kW) // stride + 1
    windows = torch.zeros(N, C * kH * kW, rows * columns, dtype=x.dtype)
    for i, j in product(range(rows), range(columns)):
        for c, u, v in product(range(C), range(kH), range(kW)):
            pixel = x[:, c, i * stride + u, j * stride + v]  # (N,)
            windows[:, (c * kH + u) * kW + v, i * columns + j] = pixel
    return windows


unfold_loops.mistakes = (
    Mistake(
        "The columns are in another order: column i * W' + j belongs to the place in row i and "
        "column j.",
        but(("i * columns + j] =", "j * rows + i] =")),
        likely="places counted column by column",
    ),
    Mistake(
        "The columns collide: a row of places has W' of them, so place (i, j) is column "
        "i * W' + j.",
        but(("i * columns + j] =", "i * rows + j] =")),
    ),
    Mistake(
        "The rows are in another order: inside a window the row number u comes before the column "
        "number v, so v runs fastest.",
        but(("(c * kH + u) * kW + v", "(c * kW + v) * kH + u")),
        likely="window read column by column",
    ),
    Mistake(
        "The rows are in another order: all numbers of one channel stand together, so c runs "
        "slowest.",
        but(("(c * kH + u) * kW + v", "(u * kW + v) * C + c")),
        likely="channels fastest",
    ),
    Mistake(
        "The stride is in the number of places, and not in the place: the window of row i starts "
        "i * stride rows down.",
        but(("i * stride + u, j * stride + v", "i + u, j + v")),
        likely="stride in the size only",
    ),
    Mistake(
        "The stride is ignored: there is a window at every pixel.",
        but((" // stride", ""), ("i * stride + u, j * stride + v", "i + u, j + v")),
        likely="stride ignored",
    ),
    Mistake(
        "The windows are turned by 180 degrees: row (u, v) holds the pixel u rows down and v "
        "columns to the right.",
        but(("i * stride + u, j * stride + v", "i * stride + kH - 1 - u, j * stride + kW - 1 - v")),
    ),
    Mistake(
        "The matrix is transposed: each window is a column.",
        but(("return windows", "return windows.transpose(1, 2)")),
    ),
    Mistake(
        "Every picture has the windows of the first: keep the batch in the pixel.",
        but(("x[:, c,", "x[0, c,")),
    ),
    Mistake(
        "It sees the first channel only, and the rows of the others stay zero.",
        but(("range(C)", "range(1)")),
    ),
    Mistake(
        "Each window is spread by the stride: inside a window pixels are neighbours, and places "
        "are `stride` apart.",
        but(("i * stride + u, j * stride + v", "(i + u * stride) % H, (j + v * stride) % W")),
    ),
)


# -------------------------------------------------------------------------------------- fold_loops


def _fold_case(
    name: str,
    shape: tuple[int, int],
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: int = 1,
    dtype: torch.dtype = torch.float64,
) -> Case:
    n, channels = shape
    places = [(h - k) // stride + 1 for h, k in zip(size, kernel, strict=True)]
    arguments = {
        "windows": values((n, channels * kernel[0] * kernel[1], places[0] * places[1]), 48, dtype),
        "size": size,
        "kernel": kernel,
        "stride": stride,
    }
    return Case(name, arguments)


@exercise(
    topic="convolution",
    title="Windows added up, index by index",
    hints=(
        "It is the transpose of unfold: the same pairs of places, with the arrow turned round. "
        "What if several windows hold the same pixel?",
        "The loops and indices of unfold_loops: the number in row (c * kH + u) * kW + v and "
        "column i * W' + j is added to channel c of pixel (i * stride + u, j * stride + v). C "
        "is the number of rows over kH kW.",
        "`x[:, c, i * stride + u, j * stride + v] += windows[:, ..., i * columns + j]`, into "
        "zeros of (N, C, H, W).",
    ),
    returns=("x",),
    axes=("image", "channel", "row", "column"),
    cases=(
        _fold_case("one channel", (1, 1), (3, 3), (2, 2)),
        _fold_case("2 images, 2 channels", (2, 2), (3, 4), (2, 2)),
        _fold_case("window not square", (1, 3), (4, 5), (2, 3)),
        _fold_case("stride 2, with a rest", (2, 2), (6, 5), (3, 2), 2),
        _fold_case("stride 2, float32", (1, 2), (4, 6), (2, 2), 2, torch.float32),
    ),
    errors=(
        (
            "out of bounds",
            "How many places are there? H' = (H - kH) // stride + 1, and W' likewise. The channels "
            "are the rows of the matrix divided by kH kW.",
        ),
    ),
)
def fold_loops(
    windows: Tensor, size: tuple[int, int], kernel: tuple[int, int], stride: int
) -> Tensor:
    """Check ``fold_loops(windows, size, kernel, stride) -> x``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``windows`` ``(N, C kH kW, H' W')``, the size of the picture
        ``(H, W)``, the size of a window ``(kH, kW)`` and an integer, and returns the sums
        ``(N, C, H, W)``.
    """
    (H, W), (kH, kW) = size, kernel
    rows, columns = (H - kH) // stride + 1, (W - kW) // stride + 1
    C = windows.shape[1] // (kH * kW)
    x = torch.zeros(len(windows), C, H, W, dtype=windows.dtype)
    for i, j in product(range(rows), range(columns)):
        for c, u, v in product(range(C), range(kH), range(kW)):
            part = windows[:, (c * kH + u) * kW + v, i * columns + j]  # (N,)
            x[:, c, i * stride + u, j * stride + v] += part
    return x


fold_loops.mistakes = (
    Mistake(
        "Where windows overlap, the later one overwrites the earlier: add with `+=`.",
        but(("+= part", "= part")),
        but(
            (
                "for i, j in product(range(rows), range(columns)):\n"
                "    for c, u, v in product(range(C), range(kH), range(kW)):\n",
                "for c, u, v in product(range(C), range(kH), range(kW)):\n"
                "    for i, j in product(range(rows), range(columns)):\n",
            ),
            ("+= part", "= part"),
        ),
        likely="overwritten",
    ),
    Mistake(
        "Where windows overlap, it takes their mean: `fold` adds, as the transpose of a copy does.",
        but(
            (
                "return x",
                "counts = torch.zeros_like(x)\n"
                "for i, j in product(range(rows), range(columns)):\n"
                "    top, left = i * stride, j * stride\n"
                "    counts[:, :, top : top + kH, left : left + kW] += 1\n"
                "return x / counts.clamp(min=1)",
            )
        ),
        likely="mean",
    ),
    Mistake(
        "The columns are read in another order: column i * W' + j belongs to the place in row i "
        "and column j.",
        but(("i * columns + j]", "j * rows + i]")),
        likely="places counted column by column",
    ),
    Mistake(
        "The rows are read in another order: inside a window the row number u comes before the "
        "column number v, so v runs fastest.",
        but(("(c * kH + u) * kW + v", "(c * kW + v) * kH + u")),
        likely="window read column by column",
    ),
    Mistake(
        "The rows are read in another order: all numbers of one channel stand together, so c runs "
        "slowest.",
        but(("(c * kH + u) * kW + v", "(u * kW + v) * C + c")),
    ),
    Mistake(
        "The stride is in the number of places, and not in the place: the window of row i starts "
        "i * stride rows down.",
        but(("i * stride + u, j * stride + v", "i + u, j + v")),
        likely="stride in the size only",
    ),
    Mistake(
        "Each window is spread by the stride: inside a window pixels are neighbours, and places "
        "are `stride` apart.",
        but(("i * stride + u, j * stride + v", "i + u * stride, j + v * stride")),
    ),
    Mistake(
        "The windows are turned by 180 degrees: row (u, v) goes u rows down and v columns to the "
        "right.",
        but(("i * stride + u, j * stride + v", "i * stride + kH - 1 - u, j * stride + kW - 1 - v")),
    ),
    Mistake(
        "The last row of windows is left out: does the loop over i end one too early?",
        but(("range(rows)", "range(rows - 1)")),
    ),
    Mistake(
        "Every picture gets the windows of the first: keep the batch.",
        but(("= windows[:, (c", "= windows[0, (c")),
    ),
    Mistake(
        "It fills the first channel only, and the others stay zero.",
        but(("range(C)", "range(1)")),
    ),
)

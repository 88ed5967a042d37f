"""Exercises on transposed convolution."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import fold, unfold  # noqa: TID251 (functions, not modules)

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise

# --------------------------------------------------------------------------------- transposed_size


def _size_case(name: str, *numbers: int) -> Case:
    names = ("size", "kernel", "stride", "padding", "output_padding")
    return Case(name, dict(zip(names, numbers, strict=True)))


@exercise(
    topic="transposed_convolution",
    title="How large a transposed convolution makes its output",
    hints=(
        "Where does the last window start, and where does it end? Every row of the input puts down "
        "one; then something is cut off, and something added.",
        "The last of `size` windows starts (size - 1) * stride rows below the first and is kernel "
        "rows long. padding rows are cut off at both ends, output_padding rows are added at one.",
        "`(size - 1) * stride + kernel`, less what is cut off at two ends, `2 * padding`, and with "
        "`output_padding` more.",
    ),
    returns=("size",),
    cases=(
        _size_case("plain", 5, 3, 1, 0, 0),
        _size_case("stride 2", 4, 2, 2, 0, 0),
        _size_case("padding 1", 6, 3, 1, 1, 0),
        _size_case("the decoder of lesson 10", 8, 4, 2, 1, 0),
        _size_case("output_padding 1", 8, 3, 2, 1, 1),
        _size_case("everything", 7, 5, 3, 2, 2),
    ),
)
def transposed_size(size: int, kernel: int, stride: int, padding: int, output_padding: int) -> int:
    """Check ``transposed_size(size, kernel, stride, padding, output_padding) -> int``.

    Parameters
    ----------
    function : callable
        The student's, which takes five integers for one dimension and returns how many rows the
        output of a transposed convolution (without dilation) has, an int.
    """
    return (size - 1) * stride - 2 * padding + kernel + output_padding


transposed_size.mistakes = (
    Mistake(
        "The last window starts at (size - 1) * stride, not at size * stride: there are only "
        "size - 1 steps between size windows.",
        but(("(size - 1)", "size")),
        likely="size steps",
    ),
    Mistake(
        "The length of the window is missing: the last window does not end where it starts, add "
        "kernel.",
        but((" + kernel", "")),
        likely="no window",
    ),
    Mistake(
        "It is one too small: the last window covers kernel rows, so add kernel, not kernel - 1.",
        but(("kernel", "kernel - 1")),
        likely="kernel - 1",
    ),
    Mistake(
        "It is one too large: a window that starts in row a ends before row a + kernel, and rows "
        "are counted from 0.",
        but(("+ output_padding", "+ output_padding + 1")),
        likely="one more",
    ),
    Mistake(
        "The padding is added. Here it makes the output smaller: subtract 2 * padding.",
        but(("- 2 *", "+ 2 *")),
        likely="padding added",
    ),
    Mistake(
        "The padding counts once: rows are taken away at both ends, so write 2 * padding.",
        but(("2 * padding", "padding")),
    ),
    Mistake(
        "It forgot the padding: rows are taken away at both ends.",
        but((" - 2 * padding", "")),
    ),
    Mistake(
        "It forgot output_padding: it is added at the end.",
        but((" + output_padding", "")),
    ),
    Mistake(
        "It forgot both paddings: one is subtracted twice, the other is added once.",
        "return (size - 1) * stride + kernel",
    ),
    Mistake(
        "output_padding counts twice: it is added at the end of the picture only.",
        but(("output_padding", "2 * output_padding")),
    ),
    Mistake(
        "output_padding is subtracted: it adds rows.",
        but(("+ output", "- output")),
    ),
    Mistake(
        "It forgot the stride: the windows stand `stride` rows apart.",
        but((" * stride", "")),
    ),
    Mistake(
        "Parentheses are missing: `*` comes before minus, so it is (size - 1) * stride.",
        but(("(size - 1)", "size - 1")),
    ),
    Mistake(
        "This is the size of a convolution's output, the formula of lesson 04: here the map goes "
        "the other way, and the picture grows.",
        "return (size + 2 * padding - kernel) // stride + 1",
        "return (size + 2 * padding - kernel) // stride + 1 + output_padding",
    ),
    Mistake(
        "It only multiplies by the stride, which is right if kernel is stride + 2 * padding: "
        "take the window and the paddings into account.",
        "return size * stride",
    ),
    Mistake(
        "It only multiplies by the stride and adds output_padding: take the window and the "
        "padding into account.",
        "return size * stride + output_padding",
    ),
)


# ------------------------------------------------------------------------ conv_transpose2d_forward


def _forward_case(
    name: str,
    x: tuple[int, int, int, int],
    weight: tuple[int, int, int],
    stride: int = 1,
    padding: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Case:
    arguments = {
        "x": values(x, 21, dtype),
        "weight": values((x[1], *weight), 22, dtype),
        "bias": values(weight[:1], 23, dtype),
        "stride": stride,
        "padding": padding,
    }
    return Case(name, arguments, {"the batch size N": x[0], "the channels C": x[1]})


@exercise(
    topic="transposed_convolution",
    title="Transposed convolution",
    hints=(
        "How large is the picture to which the windows are added? It is the way back of "
        "“Convolution”, where fold added windows that overlap; here each pixel of x makes one.",
        "The product of the weight as (O kH kW, C) and the pixels as (N, C, L) is (N, O kH kW, L). "
        "fold it to (H', W'), with H' = (H - 1) stride - 2 padding + kH and W' alike, and add the "
        "bias along dimension 1.",
        "`windows = weight.flatten(1).T @ x.flatten(2)`, then `fold(windows, size, "
        "weight.shape[2:], stride=stride, padding=padding)`, where size is (H', W'), plus `bias[:, "
        "None, None]`.",
    ),
    returns=("output",),
    axes=("image", "channel", "row", "column"),
    cases=(
        _forward_case("one channel, one image", (1, 1, 2, 2), (1, 2, 2)),
        _forward_case("3 images, 2 channels in and out", (3, 2, 2, 3), (2, 3, 3)),
        _forward_case("window not square", (2, 3, 3, 2), (2, 2, 3)),
        _forward_case("stride 2", (1, 2, 3, 4), (4, 3, 3), stride=2),
        _forward_case("padding 1, float32", (2, 4, 4, 3), (3, 3, 3), 1, 1, torch.float32),
        _forward_case("stride 2, padding 1", (2, 3, 3, 2), (2, 4, 4), 2, 1),
        _forward_case("all at once", (3, 2, 3, 2), (4, 5, 6), 3, 2),
    ),
    errors=(
        (
            "sliding blocks",
            "fold counts the places of the window in the output, and there must be one for each "
            "pixel of x. H' = (H - 1) * stride - 2 * padding + kH, and fold wants the same stride "
            "and padding.",
        ),
        (
            "divisible by the product of kernel_size",
            "fold(windows, output_size, kernel_size) wants windows of O kH kW rows: are its "
            "arguments in this order, and is the weight transposed before the product?",
        ),
        (
            "Expected size for first two dimensions",
            "Is the weight transposed? (O kH kW, C) times (N, C, L) gives (N, O kH kW, L).",
        ),
        (
            "shapes cannot be multiplied",
            "Is the weight transposed? (O kH kW, C) times (N, C, L) gives (N, O kH kW, L).",
        ),
        (
            "must match the size of tensor",
            "Two shapes do not fit. Are the sides of the window kH and kW, each in its place, and "
            "is the bias (O, 1, 1) where it is added along the channels?",
        ),
    ),
)
def conv_transpose2d_forward(
    x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int
) -> Tensor:
    """Check ``conv_transpose2d_forward(x, weight, bias, stride, padding) -> output``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``x`` ``(N, C, H, W)``, ``weight`` ``(C, O, kH, kW)``, ``bias``
        ``(O,)`` and two integers, and returns ``(N, O, H', W')`` with
        ``H' = (H - 1) stride - 2 padding + kH``.
    """
    kernel = weight.shape[2:]
    windows = weight.flatten(1).T @ x.flatten(2)  # (N, O kH kW, L)
    sizes = zip(x.shape[2:], kernel, strict=True)
    size = [(n - 1) * stride - 2 * padding + k for n, k in sizes]  # (H', W')
    output = fold(windows, size, kernel, stride=stride, padding=padding)  # (N, O, H', W')
    return output + bias[:, None, None]


STAMP = """
(n, c, rows, columns), (o, k_h, k_w) = x.shape, weight.shape[1:]
y = x.new_zeros(n, o, (rows - 1) * stride + k_h, (columns - 1) * stride + k_w)
for i in range(rows):
    for j in range(columns):
        part = (x[:, :, i, j] @ weight.flatten(1)).view(n, o, k_h, k_w)
        top, left = i * stride, j * stride
        y[:, :, top : top + k_h, left : left + k_w] += part
y = y + bias[:, None, None]
return y[:, :, padding : y.shape[2] - padding, padding : y.shape[3] - padding]
"""
"""Another right answer: a weighted window put down around every pixel, in loops."""

conv_transpose2d_forward.mistakes = (
    Mistake(
        "It forgot the bias: add bias[o] to every pixel of output channel o.",
        but((" + bias[:, None, None]", "")),
        likely="no bias",
    ),
    Mistake(
        "It forgot the padding: cut `padding` rows and columns off at each side, or hand padding "
        "on to fold.",
        but(("return y[:, :, padding : y.shape[2] - padding,", "return y\n#"), of=STAMP),
        likely="frame left",
    ),
    Mistake(
        "The size is right, but the padding is cut off at the bottom and the right only: the "
        "first `padding` rows and columns have to go as well.",
        but(
            (
                "padding : y.shape[2] - padding, padding : y.shape[3] -",
                ": y.shape[2] - 2 * padding, : y.shape[3] - 2 *",
            ),
            of=STAMP,
        ),
        likely="padding not cut",
    ),
    Mistake(
        "It ignored the stride: the window of pixel (i, j) starts at row i * stride and column j "
        "* stride.",
        but((" stride=stride,", ""), (" * stride", "")),
        likely="stride forgotten everywhere",
    ),
    Mistake(
        "It forgot both the stride and the padding: hand them on to fold.",
        but((" stride=stride,", ""), (", padding=padding", ""), (" * stride - 2 * padding", "")),
    ),
    Mistake(
        "The kernel is flipped: weight[c, o, u, v] goes u rows down and v columns to the right "
        "of where the window starts. (It is flipped only if you convolve the picture with zeros "
        "between its pixels.)",
        but(("weight.flatten", "weight.flip(2, 3).flatten")),
        likely="flipped",
    ),
    Mistake(
        "Rows and columns of the kernel are swapped: u goes down, v goes to the right.",
        but(("kernel = ", "weight = weight.transpose(2, 3)\nkernel = ")),
    ),
    Mistake(
        "Input and output channels of the weight are swapped. It is (C, O, kH, kW) here, so "
        "pixel channel c uses weight[c].",
        but(("weight.flatten(1).T", "weight.transpose(0, 1).flatten(1).T")),
    ),
    Mistake(
        "The weight is reshaped to (O kH kW, C), which mixes up its numbers: flatten it to (C, O "
        "kH kW) first, then transpose it.",
        but(("weight.flatten(1).T", "weight.reshape(-1, len(weight))")),
    ),
    Mistake(
        "Where windows overlap, the later one overwrites the earlier: add (`+=`) them.",
        but(("+= part", "= part"), of=STAMP),
    ),
    Mistake(
        "Where windows overlap, it takes their mean: add them, as the transpose does.",
        but(
            (
                "return output +",
                "windows = torch.ones_like(windows)\n"
                "count = fold(windows, size, kernel, stride=stride, padding=padding)\n"
                "return output / count.clamp(min=1) +",
            )
        ),
    ),
    Mistake(
        "The bias is added with every window, so a pixel where windows overlap has it several "
        "times: add it once, at the end.",
        but(
            ("y = y + bias[:, None, None]\n", ""),
            ("view(n, o, k_h, k_w)", "view(n, o, k_h, k_w) + bias[:, None, None]"),
            of=STAMP,
        ),
    ),
    Mistake(
        "The bias has the wrong sign: it is added.",
        but(("+ bias", "- bias")),
    ),
    Mistake(
        "The bias is added per column of the image: it holds one number for each output channel, "
        "so give it the shape (O, 1, 1).",
        but(("[:, None, None]", "")),
    ),
    Mistake(
        "Every pixel gets the sum of all biases: output channel o gets bias[o] alone.",
        but(("bias[:, None, None]", "bias.sum()")),
    ),
    Mistake(
        "It uses the first input channel only: sum over all input channels c.",
        but(("x[:, :, i, j] @ weight", "x[:, :1, i, j] @ weight[:1]"), of=STAMP),
    ),
    Mistake(
        "It uses the last input channel only: add (`+=`) the channels, do not overwrite.",
        but(("weight.flatten", "weight[-1:].flatten"), ("x.flatten", "x[:, -1:].flatten")),
    ),
    Mistake(
        "The last row of pixels puts no window down: does the loop over the rows of x end one "
        "too early?",
        but(("range(rows)", "range(rows - 1)"), of=STAMP),
    ),
    Mistake(
        "The last column of pixels puts no window down: does the loop over the columns of x end "
        "one too early?",
        but(("range(columns)", "range(columns - 1)"), of=STAMP),
    ),
)


# --------------------------------------------------------------------- conv_transpose2d_input_grad


def _input_grad_case(
    name: str,
    x: tuple[int, int, int, int],
    weight: tuple[int, int, int],
    stride: int = 1,
    padding: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Case:
    n, channels, *size = x
    outputs, *kernel = weight
    large = [(m - 1) * stride - 2 * padding + k for m, k in zip(size, kernel, strict=True)]
    arguments = {
        "grad_output": values((n, outputs, *large), 24, dtype),
        "weight": values((channels, *weight), 25, dtype),
        "stride": stride,
        "padding": padding,
    }
    sizes = {
        "the batch size N": n,
        "the output channels O": outputs,
        "the size of the window": kernel[0] * kernel[1],
    }
    return Case(name, arguments, sizes)


@exercise(
    topic="transposed_convolution",
    title="Gradient of a transposed convolution's input",
    hints=(
        "Forward was the way back of a convolution. So what is its own way back? Look at the "
        "forward pass of “Convolution”, and leave the bias out.",
        "The windows of grad_output, with the same stride and padding, are (N, O kH kW, L). Times "
        "the weight as (C, O kH kW) they give (N, C, L), and L is H times W with H = (H' + 2 "
        "padding - kH) // stride + 1.",
        "`windows = unfold(grad_output, weight.shape[2:], stride=stride, padding=padding)`, then "
        "`(weight.flatten(1) @ windows).unflatten(2, (rows, -1))`, where `rows` is H.",
    ),
    returns=("grad_input",),
    axes=("image", "channel", "row", "column"),
    cases=(
        _input_grad_case("one channel, one image", (1, 1, 2, 2), (1, 2, 2)),
        _input_grad_case("3 images, 2 channels in and out", (3, 2, 2, 3), (2, 3, 3)),
        _input_grad_case("window not square", (2, 3, 3, 2), (4, 2, 3)),
        _input_grad_case("stride 2", (1, 2, 3, 4), (4, 3, 3), stride=2),
        _input_grad_case("padding 1, float32", (2, 4, 4, 3), (3, 3, 3), 1, 1, torch.float32),
        _input_grad_case("stride 2, padding 1", (2, 3, 3, 2), (2, 4, 4), 2, 1),
        _input_grad_case("all at once", (3, 2, 3, 2), (4, 5, 6), 3, 2),
    ),
    errors=(
        (
            "Expected size for first two dimensions",
            "The windows of grad_output are (N, O kH kW, L), and weight.flatten(1) is (C, O kH "
            "kW): they fit as they are, the weight first.",
        ),
        (
            "shapes cannot be multiplied",
            "The windows of grad_output are (N, O kH kW, L), and weight.flatten(1) is (C, O kH "
            "kW): they fit as they are, the weight first.",
        ),
        (
            "multiply up to the size",
            "The places L of the windows are not H W: print both. The rows H of the input are "
            "(H' + 2 * padding - kH) // stride + 1, and unfold takes stride and padding too.",
        ),
        (
            "is invalid for input of size",
            "The values of the result are not N C H W: print its shape before. The rows H of the "
            "input are (H' + 2 * padding - kH) // stride + 1, and unfold takes stride and padding.",
        ),
    ),
)
def conv_transpose2d_input_grad(
    grad_output: Tensor, weight: Tensor, stride: int, padding: int
) -> Tensor:
    """Check ``conv_transpose2d_input_grad(grad_output, weight, stride, padding) -> grad_input``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``grad_output`` ``(N, O, H', W')``, ``weight``
        ``(C, O, kH, kW)`` and two integers, and returns the gradient of the input
        ``(N, C, H, W)``.
    """
    kernel = weight.shape[2:]
    windows = unfold(grad_output, kernel, stride=stride, padding=padding)  # (N, O kH kW, L)
    rows = (grad_output.shape[2] + 2 * padding - kernel[0]) // stride + 1
    return (weight.flatten(1) @ windows).unflatten(2, (rows, -1))  # (N, C, H, W)


conv_transpose2d_input_grad.mistakes = (
    Mistake(
        "It ran the transposed convolution again, with the channels of the weight swapped, and "
        "the picture grew once more. Backward goes the other way: unfold, then multiply.",
        """
        kernel = weight.shape[2:]
        w = weight.transpose(0, 1).flatten(1).T
        sizes = zip(grad_output.shape[2:], kernel)
        size = [(n - 1) * stride - 2 * padding + k for n, k in sizes]
        return fold(w @ grad_output.flatten(2), size, kernel, stride=stride, padding=padding)
        """,
        likely="grown again",
    ),
    Mistake(
        "It forgot the padding: put `padding` rows and columns of zeros around grad_output, or "
        "hand padding on to unfold.",
        but((", padding=padding", ""), (" + 2 * padding", "")),
        likely="padding forgotten",
    ),
    Mistake(
        "It forgot both the stride and the padding: hand them on to unfold.",
        but(
            (" stride=stride,", ""),
            (", padding=padding", ""),
            (" + 2 * padding", ""),
            (" // stride", ""),
        ),
    ),
    Mistake(
        "It ignored the stride: the windows of neighbouring pixels are `stride` apart.",
        but((" stride=stride,", ""), ("// stride", "// 1")),
        likely="stride forgotten",
    ),
    Mistake(
        "The size is right, but the stride is ignored when a window is cut out: the window of "
        "pixel i starts at row i * stride - padding.",
        but(
            (" stride=stride,", ""),
            (
                "return (weight.flatten(1) @ windows).unflatten(2, (rows, -1))",
                "columns = (grad_output.shape[3] + 2 * padding - kernel[1]) // stride + 1\n"
                "every = grad_output.shape[2] + 2 * padding - kernel[0] + 1\n"
                "grad = (weight.flatten(1) @ windows).unflatten(2, (every, -1))\n"
                "return grad[:, :, :rows, :columns]",
            ),
        ),
    ),
    Mistake(
        "The kernel is flipped: what was written with weight[c, o, u, v] comes back through the "
        "same number, so nothing is turned.",
        but(("weight.flatten", "weight.flip(2, 3).flatten")),
        likely="flipped",
    ),
    Mistake(
        "Rows and columns of the kernel are swapped: u goes down, v goes to the right.",
        but(("kernel = ", "weight = weight.transpose(2, 3)\nkernel = ")),
        likely="kernel transposed",
    ),
    Mistake(
        "Input and output channels of the weight are swapped: grad_output has O channels, and "
        "weight[c] (O, kH, kW) brings them to input channel c.",
        but(("weight.flatten(1)", "weight.transpose(0, 1).flatten(1)")),
    ),
    Mistake(
        "The weight is reshaped to (O kH kW, C) and transposed, which mixes up its numbers: here "
        "weight.flatten(1) is all that is needed.",
        but(("weight.flatten(1)", "weight.reshape(-1, len(weight)).T")),
    ),
    Mistake(
        "It takes the mean over the window where a sum belongs.",
        but(("@ windows)", "@ windows / kernel[0] / kernel[1])")),
    ),
    Mistake(
        "It is a mean over the output channels and the window where a sum belongs.",
        but(("@ windows)", "@ windows / windows.shape[1])")),
    ),
    Mistake(
        "It uses the first output channel only: sum over all output channels o.",
        but(
            ("unfold(grad_output,", "unfold(grad_output[:, :1],"),
            ("weight.flatten", "weight[:, :1].flatten"),
        ),
    ),
    Mistake(
        "It uses the last output channel only: add (`+=`) the channels, do not overwrite.",
        but(
            ("unfold(grad_output,", "unfold(grad_output[:, -1:],"),
            ("weight.flatten", "weight[:, -1:].flatten"),
        ),
    ),
    Mistake(
        "It takes the gradient of one output pixel, the first of each window: a pixel was "
        "written to a whole window, so sum over u and v.",
        but(
            (
                "weight.flatten(1) @ windows",
                "weight[:, :, 0, 0] @ windows[:, :: kernel.numel()]",
            )
        ),
    ),
    Mistake(
        "It forgot the weight: these are the sums of grad_output over each window.",
        but(("weight.flatten(1)", "torch.ones_like(weight).flatten(1)")),
    ),
    Mistake(
        "It is a mean over the batch: every image has a gradient of its own, so nothing is "
        "divided by N.",
        but(("@ windows)", "@ windows / len(windows))")),
    ),
    Mistake(
        "The places are not given their rows and columns: end with a reshape to (N, C, H, W).",
        but((".unflatten(2, (rows, -1))", "")),
    ),
    Mistake(
        "Height and width of the result are swapped in the last reshape: it is (N, C, H, W).",
        but(("(rows, -1)", "(-1, rows)")),
    ),
    Mistake(
        "The sign is wrong: the minus comes in with the step of gradient descent.",
        but(("return (", "return -(")),
    ),
)


# -------------------------------------------------------------------- conv_transpose2d_weight_grad


def _weight_grad_case(
    name: str,
    x: tuple[int, int, int, int],
    weight: tuple[int, int, int],
    stride: int = 1,
    padding: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Case:
    case = _input_grad_case(name, x, weight, stride, padding, dtype)
    places = x[2] * x[3]
    arguments = {
        "grad_output": case.arguments["grad_output"],
        "x": values(x, 26, dtype),
        "kernel_size": weight[1:],
        "stride": stride,
        "padding": padding,
    }
    sizes = {
        "the batch size N": x[0],
        "the pixels L": places,
        "all pixels of the batch": x[0] * places,
    }
    return Case(name, arguments, sizes)


@exercise(
    topic="transposed_convolution",
    title="Gradient of a transposed convolution's weight",
    hints=(
        "Over what is a weight shared, so that its gradient is a sum? Each ties a channel of x to "
        "a place of the window.",
        "The windows of grad_output are (N, O kH kW, L), the pixels (N, C, L). Multiply the pixels "
        "by the transposed windows, which sums over L; then sum over N, and give (C, O kH kW) the "
        "shape (C, O, kH, kW).",
        "`windows = unfold(grad_output, kernel_size, stride=stride, padding=padding)`, then "
        "`(x.flatten(2) @ windows.transpose(1, 2)).sum(0)`, and a view as `(x.shape[1], "
        "grad_output.shape[1], *kernel_size)`.",
    ),
    returns=("grad_weight",),
    axes=("input channel", "output channel", "row", "column"),
    cases=(
        _weight_grad_case("one image", (1, 1, 2, 2), (2, 2, 2)),
        _weight_grad_case("3 images, 2 channels in and out", (3, 2, 2, 3), (2, 3, 3)),
        _weight_grad_case("window not square", (2, 3, 3, 2), (4, 2, 3)),
        _weight_grad_case("stride 2", (1, 2, 3, 4), (4, 3, 3), stride=2),
        _weight_grad_case("padding 1, float32", (2, 4, 4, 3), (3, 3, 3), 1, 1, torch.float32),
        _weight_grad_case("stride 2, padding 1", (2, 3, 3, 2), (2, 4, 4), 2, 1),
        _weight_grad_case("all at once", (3, 2, 3, 2), (4, 5, 6), 3, 2),
    ),
    errors=(
        (
            "Expected size for first two dimensions",
            "The pixels are (N, C, L) and the windows of grad_output, with the stride and the "
            "padding of forward, (N, O kH kW, L). The sum runs over L, so transpose the windows.",
        ),
        (
            "is invalid for input of size",
            "What is reshaped has not as many values as the weight, C O kH kW: print its shape. "
            "The sums over the places and over the batch come before.",
        ),
        (
            "multiply up to the size",
            "What is reshaped has not as many values as the weight, C O kH kW: print its shape. "
            "The sums over the places and over the batch come before.",
        ),
    ),
)
def conv_transpose2d_weight_grad(
    grad_output: Tensor, x: Tensor, kernel_size: tuple[int, int], stride: int, padding: int
) -> Tensor:
    """Check ``conv_transpose2d_weight_grad(grad_output, x, kernel_size, stride, padding)``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``grad_output`` ``(N, O, H', W')``, ``x`` ``(N, C, H, W)``,
        ``kernel_size``, the pair ``(kH, kW)``, and two integers, and returns the gradient of the
        weight ``(C, O, kH, kW)``.
    """
    windows = unfold(grad_output, kernel_size, stride=stride, padding=padding)  # (N, O kH kW, L)
    grad = (x.flatten(2) @ windows.transpose(1, 2)).sum(0)  # (C, O kH kW)
    return grad.view(x.shape[1], grad_output.shape[1], *kernel_size)


conv_transpose2d_weight_grad.mistakes = (
    Mistake(
        "Input and output channels are swapped: the weight is (C, O, kH, kW), so let the pixels "
        "come first and the windows of grad_output second.",
        but(("*kernel_size)", "*kernel_size).transpose(0, 1)")),
        likely="channels swapped",
    ),
    Mistake(
        "The product is the wrong way round, windows times pixels, (O kH kW, C), and a reshape "
        "mixes it up: let the pixels come first.",
        but(
            ("x.flatten(2) @ windows.transpose(1, 2)", "windows @ X"),
            ("grad = ", "X = x.flatten(2).transpose(1, 2)\ngrad = "),
        ),
        likely="roles as in lesson 04",
    ),
    Mistake(
        "It is a mean over the batch where a sum belongs: every image pulls at the weight, so do "
        "not divide by N.",
        but((".sum(0)", ".mean(0)")),
        likely="mean over the batch",
    ),
    Mistake(
        "It forgot to sum over the batch: there is one gradient for each image.",
        but((".sum(0)", ""), ("grad.view(", "grad.view(len(x), ")),
        likely="not summed",
    ),
    Mistake(
        "It forgot to sum over the batch, and to view the result as (C, O, kH, kW).",
        but((".sum(0)", ""), ("return grad.view", "return grad\ngrad.view")),
        likely="not summed, not viewed",
    ),
    Mistake(
        "The sum is right, but it is not viewed as (C, O, kH, kW) at the end.",
        but(("return grad.view", "return grad\nreturn grad.view")),
    ),
    Mistake(
        "Only the first image counts: sum over the batch.",
        but((".sum(0)", "[0]")),
    ),
    Mistake(
        "Only the last image counts: add (`+=`) the images, do not overwrite.",
        but((".sum(0)", "[-1]")),
    ),
    Mistake(
        "It ignored the stride: the windows of neighbouring pixels are `stride` apart in "
        "grad_output.",
        but(
            (" stride=stride,", ""),
            (
                "grad = ",
                "rows = grad_output.shape[2] + 2 * padding - kernel_size[0] + 1\n"
                "windows = windows.unflatten(2, (rows, -1))[..., : x.shape[2], : "
                "x.shape[3]].flatten(2)\n"
                "grad = ",
            ),
        ),
    ),
    Mistake(
        "It forgot both the stride and the padding: hand them on to unfold.",
        but(
            (", stride=stride, padding=padding", ""),
            (
                "grad = (x.flatten(2) @ windows.transpose(1, 2)).sum(0)",
                "rows = grad_output.shape[2] - kernel_size[0] + 1\n"
                "windows = windows.unflatten(2, (rows, -1))[..., : x.shape[2], : x.shape[3]]\n"
                "grad = torch.einsum('ncij,nkij->ck', x, windows)",
            ),
        ),
    ),
    Mistake(
        "The kernel is flipped: entry (u, v) belongs to place (u, v) of the window.",
        but(("*kernel_size)", "*kernel_size).flip(2, 3)")),
    ),
    Mistake(
        "Rows and columns of the kernel are swapped: u goes down, v goes to the right.",
        but(("*kernel_size)", "*kernel_size).transpose(2, 3)")),
    ),
    Mistake(
        "It is a mean over the pixels where a sum belongs: do not divide by L.",
        but((".sum(0)", ".sum(0) / windows.shape[2]")),
    ),
    Mistake(
        "It is a mean over the images and the pixels where a sum belongs.",
        but((".sum(0)", ".mean(0) / windows.shape[2]")),
    ),
    Mistake(
        "It forgot x: these are the sums of the windows of grad_output alone.",
        but(("x.flatten(2)", "torch.ones_like(x).flatten(2)")),
    ),
    Mistake(
        "The sign is wrong: the minus comes in with the step of gradient descent.",
        but(("return grad", "return -grad")),
    ),
)

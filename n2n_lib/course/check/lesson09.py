"""Exercises of lesson 09, transposed convolution."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from n2n_lib.course.check.engine import Case, Exercise, run, values

# ------------------------------------------------------------------------------ transposed_size


def _size_case(name: str, *numbers: int) -> Case:
    names = ("size", "kernel", "stride", "padding", "output_padding")
    return Case(name, dict(zip(names, numbers, strict=True)))


def _last_row(size: int, kernel: int, stride: int, padding: int, output_padding: int) -> int:
    """Put the windows down one by one, and count the rows up to where the last one ends."""
    rows = {i * stride + u for i in range(size) for u in range(kernel)}
    return max(rows) + 1 - 2 * padding + output_padding


TRANSPOSED_SIZE = Exercise(
    name="transposed_size",
    lesson=9,
    title="How large a transposed convolution makes its output",
    hint=(
        "The first window starts in row 0, the last one (size - 1) * stride rows further down, and "
        "it is kernel rows long. The padding takes rows away at both ends, output_padding adds "
        "some at the end."
    ),
    returns=("size",),
    cases=(
        _size_case("plain", 5, 3, 1, 0, 0),
        _size_case("stride 2", 4, 2, 2, 0, 0),
        _size_case("padding 1", 6, 3, 1, 1, 0),
        _size_case("the decoder of lesson 08", 8, 4, 2, 1, 0),
        _size_case("output_padding 1", 8, 3, 2, 1, 1),
        _size_case("everything", 7, 5, 3, 2, 2),
    ),
    reference=_last_row,
    mistakes=(
        (
            "The last window starts at (size - 1) * stride, not at size * stride: there are only "
            "size - 1 steps between size windows.",
            lambda n, k, s, p, e: n * s - 2 * p + k + e,
        ),
        (
            "The length of the window is missing: the last window does not end where it starts, "
            "add kernel.",
            lambda n, k, s, p, e: (n - 1) * s - 2 * p + e,
        ),
        (
            "It is one too small: the last window covers kernel rows, so add kernel, not "
            "kernel - 1.",
            lambda n, k, s, p, e: (n - 1) * s - 2 * p + k - 1 + e,
        ),
        (
            "It is one too large: a window that starts in row a ends before row a + kernel, and "
            "rows are counted from 0.",
            lambda n, k, s, p, e: (n - 1) * s - 2 * p + k + 1 + e,
        ),
        (
            "The padding is added. Here it makes the output smaller: subtract 2 * padding.",
            lambda n, k, s, p, e: (n - 1) * s + 2 * p + k + e,
        ),
        (
            "The padding counts once: rows are taken away at both ends, so write 2 * padding.",
            lambda n, k, s, p, e: (n - 1) * s - p + k + e,
        ),
        (
            "It forgot the padding: rows are taken away at both ends.",
            lambda n, k, s, p, e: (n - 1) * s + k + e,
        ),
        (
            "It forgot output_padding: it is added at the end.",
            lambda n, k, s, p, e: (n - 1) * s - 2 * p + k,
        ),
        (
            "It forgot both paddings: one is subtracted twice, the other is added once.",
            lambda n, k, s, p, e: (n - 1) * s + k,
        ),
        (
            "output_padding counts twice: it is added at the end of the picture only.",
            lambda n, k, s, p, e: (n - 1) * s - 2 * p + k + 2 * e,
        ),
        (
            "output_padding is subtracted: it adds rows.",
            lambda n, k, s, p, e: (n - 1) * s - 2 * p + k - e,
        ),
        (
            "It forgot the stride: the windows stand `stride` rows apart.",
            lambda n, k, s, p, e: n - 1 - 2 * p + k + e,
        ),
        (
            "Parentheses are missing: `*` comes before minus, so it is (size - 1) * stride.",
            lambda n, k, s, p, e: n - 1 * s - 2 * p + k + e,
        ),
        (
            "This is the size of a convolution's output, the formula of lesson 03: here the map "
            "goes the other way, and the picture grows.",
            lambda n, k, s, p, e: (n + 2 * p - k) // s + 1,
        ),
        (
            "It only multiplies by the stride, which is right if kernel is stride + 2 * padding: "
            "take the window and the paddings into account.",
            lambda n, k, s, p, e: n * s,
        ),
        (
            "It only multiplies by the stride and adds output_padding: take the window and the "
            "padding into account.",
            lambda n, k, s, p, e: n * s + e,
        ),
    ),
)


def transposed_size(function: Callable) -> None:
    """Check ``transposed_size(size, kernel, stride, padding, output_padding) -> int``.

    Parameters
    ----------
    function : callable
        The student's, which takes five integers for one dimension and returns how many rows the
        output of a transposed convolution (without dilation) has, an int.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(TRANSPOSED_SIZE, function)


# ------------------------------------------------------------------------------ forward


def _canvas(
    x: Tensor, weight: Tensor, stride: int, padding: int, mode: str = "add"
) -> tuple[Tensor, int, int]:
    """Put windows down in one of the ways that people do; before the padding is cut off."""
    windows = torch.einsum("ncij,couv->nouvij", x, weight)
    (rows, columns), (k_h, k_w) = x.shape[2:], weight.shape[2:]
    height, width = (rows - 1) * stride + k_h, (columns - 1) * stride + k_w
    canvas = x.new_zeros(len(x), weight.shape[1], height, width)
    count = torch.zeros_like(canvas)
    for i in range(rows):
        for j in range(columns):
            place = (..., slice(i * stride, i * stride + k_h), slice(j * stride, j * stride + k_w))
            if mode == "overwrite":
                canvas[place] = windows[..., i, j]
            else:
                canvas[place] += windows[..., i, j]
            count[place] += 1
    if mode == "mean":
        canvas = canvas / count.clamp(min=1)
    return canvas, height - 2 * padding, width - 2 * padding


def _grow(x: Tensor, weight: Tensor, stride: int, padding: int, mode: str = "add") -> Tensor:
    """Convolve, transposed, without bias; for the known mistakes."""
    canvas, height, width = _canvas(x, weight, stride, padding, mode)
    if height < 1 or width < 1:
        raise ValueError("expected a padding that leaves something of the output")
    return canvas[:, :, padding : padding + height, padding : padding + width]


def _transpose_conv(x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int) -> Tensor:
    """Add pixel times weight where it lands, from the definition."""
    (rows, columns), (o, k_h, k_w) = x.shape[2:], weight.shape[1:]
    height, width = (rows - 1) * stride + k_h, (columns - 1) * stride + k_w
    height, width = height - 2 * padding, width - 2 * padding
    output = bias.view(1, o, 1, 1).repeat(len(x), 1, height, width)
    for i in range(rows):
        for j in range(columns):
            for u in range(k_h):
                for v in range(k_w):
                    row, column = i * stride + u - padding, j * stride + v - padding
                    if 0 <= row < height and 0 <= column < width:
                        output[:, :, row, column] += x[:, :, i, j] @ weight[:, :, u, v]
    return output


def _column(bias: Tensor) -> Tensor:
    return bias[:, None, None]  # (O, 1, 1)


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


def _reshape_weight(w: Tensor) -> Tensor:
    """Read the memory of the weight as ``(O kH kW, C)`` instead of transposing it."""
    return w.reshape(-1, len(w)).T.reshape(w.shape)


def _uncut(w: Tensor, x: Tensor, b: Tensor, s: int, p: int) -> Tensor:
    """Cut the right size out of the canvas, but from its corner."""
    canvas, height, width = _canvas(x, w, s, p)
    return canvas[:, :, :height, :width] + _column(b)


def _bias_under_each(x: Tensor, w: Tensor, b: Tensor, s: int, p: int) -> Tensor:
    ones = torch.ones_like(x[:, :1])
    counts = _grow(ones, torch.ones_like(w[:1, :1]), s, p)
    return _grow(x, w, s, p) + counts * _column(b)


CONV_TRANSPOSE2D_FORWARD = Exercise(
    name="conv_transpose2d_forward",
    lesson=9,
    title="Transposed convolution",
    hint=(
        "Multiply the transposed weight (O kH kW, C) by the pixels as (N, C, L), which gives a "
        "window for every pixel. fold them to (H', W') with the stride and the padding, where "
        "H' = (H - 1) * stride - 2 * padding + kH, and add bias[:, None, None]."
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
    ),
    reference=_transpose_conv,
    mistakes=(
        (
            "It forgot the bias: add bias[o] to every pixel of output channel o.",
            lambda x, w, b, s, p: _grow(x, w, s, p),
        ),
        (
            "It forgot the padding: cut `padding` rows and columns off at each side, or hand "
            "padding on to fold.",
            lambda x, w, b, s, p: _grow(x, w, s, 0) + _column(b),
        ),
        (
            "The size is right, but the padding is cut off at the bottom and the right only: the "
            "first `padding` rows and columns have to go as well.",
            lambda x, w, b, s, p: _uncut(w, x, b, s, p),
        ),
        (
            "It ignored the stride: the window of pixel (i, j) starts at row i * stride and "
            "column j * stride.",
            lambda x, w, b, s, p: _grow(x, w, 1, p) + _column(b),
        ),
        (
            "It forgot both the stride and the padding: hand them on to fold.",
            lambda x, w, b, s, p: _grow(x, w, 1, 0) + _column(b),
        ),
        (
            "The kernel is flipped: weight[c, o, u, v] goes u rows down and v columns to the right "
            "of where the window starts. (It is flipped only if you convolve the picture with "
            "zeros between its pixels.)",
            lambda x, w, b, s, p: _grow(x, w.flip(2, 3), s, p) + _column(b),
        ),
        (
            "Rows and columns of the kernel are swapped: u goes down, v goes to the right.",
            lambda x, w, b, s, p: _grow(x, w.transpose(2, 3), s, p) + _column(b),
        ),
        (
            "Input and output channels of the weight are swapped. It is (C, O, kH, kW) here, so "
            "pixel channel c uses weight[c].",
            lambda x, w, b, s, p: _grow(x, w.transpose(0, 1), s, p) + _column(b),
        ),
        (
            "The weight is reshaped to (O kH kW, C), which mixes up its numbers: flatten it to "
            "(C, O kH kW) first, then transpose it.",
            lambda x, w, b, s, p: _grow(x, _reshape_weight(w), s, p) + _column(b),
        ),
        (
            "Where windows overlap, the later one overwrites the earlier: add (`+=`) them.",
            lambda x, w, b, s, p: _grow(x, w, s, p, "overwrite") + _column(b),
        ),
        (
            "Where windows overlap, it takes their mean: add them, as the transpose does.",
            lambda x, w, b, s, p: _grow(x, w, s, p, "mean") + _column(b),
        ),
        (
            "The bias is added with every window, so a pixel where windows overlap has it several "
            "times: add it once, at the end.",
            _bias_under_each,
        ),
        (
            "The bias has the wrong sign: it is added.",
            lambda x, w, b, s, p: _grow(x, w, s, p) - _column(b),
        ),
        (
            "The bias is added per column of the image: it holds one number for each output "
            "channel, so give it the shape (O, 1, 1).",
            lambda x, w, b, s, p: _grow(x, w, s, p) + b,
        ),
        (
            "Every pixel gets the sum of all biases: output channel o gets bias[o] alone.",
            lambda x, w, b, s, p: _grow(x, w, s, p) + b.sum(),
        ),
        (
            "It uses the first input channel only: sum over all input channels c.",
            lambda x, w, b, s, p: _grow(x[:, :1], w[:1], s, p) + _column(b),
        ),
        (
            "It uses the last input channel only: add (`+=`) the channels, do not overwrite.",
            lambda x, w, b, s, p: _grow(x[:, -1:], w[-1:], s, p) + _column(b),
        ),
        (
            "The last row of pixels puts no window down: does the loop over the rows of x end one "
            "too early?",
            lambda x, w, b, s, p: (
                _grow(torch.cat([x[:, :, :-1], 0 * x[:, :, -1:]], 2), w, s, p) + _column(b)
            ),
        ),
        (
            "The last column of pixels puts no window down: does the loop over the columns of x "
            "end one too early?",
            lambda x, w, b, s, p: (
                _grow(torch.cat([x[..., :-1], 0 * x[..., -1:]], 3), w, s, p) + _column(b)
            ),
        ),
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
            "fold wants windows of O kH kW rows: is the weight transposed before the product?",
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
            "Two shapes do not fit. A bias (O,) needs the shape (O, 1, 1) to be added along the "
            "channels.",
        ),
    ),
)


def conv_transpose2d_forward(function: Callable) -> None:
    """Check ``conv_transpose2d_forward(x, weight, bias, stride, padding) -> output``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``x`` ``(N, C, H, W)``, ``weight`` ``(C, O, kH, kW)``, ``bias``
        ``(O,)`` and two integers, and returns ``(N, O, H', W')`` with
        ``H' = (H - 1) stride - 2 padding + kH``.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(CONV_TRANSPOSE2D_FORWARD, function)


# ------------------------------------------------------------------------------ input gradient


def _places(g: Tensor, weight: Tensor, stride: int, padding: int) -> tuple[int, int]:
    size = [(g.shape[2 + a] + 2 * padding - weight.shape[2 + a]) // stride + 1 for a in (0, 1)]
    if min(size) < 1:
        raise ValueError("expected a window that fits")
    return size[0], size[1]


def _windows(g: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Cut the windows out by slicing: ``(N, O, kH, kW, H, W)``."""
    (rows, columns), (k_h, k_w) = _places(g, weight, stride, padding), weight.shape[2:]
    n, o, height, width = g.shape
    padded = g.new_zeros(n, o, height + 2 * padding, width + 2 * padding)
    padded[:, :, padding : padding + height, padding : padding + width] = g
    cut = [
        padded[:, :, u::stride, v::stride][:, :, :rows, :columns]
        for u in range(k_h)
        for v in range(k_w)
    ]
    return torch.stack(cut, 2).unflatten(2, (k_h, k_w))


def _input_grad(g: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Collect, for every pixel, what its window did to the loss."""
    (rows, columns), (k_h, k_w) = _places(g, weight, stride, padding), weight.shape[2:]
    grad = g.new_zeros(len(g), len(weight), rows, columns)
    for i in range(rows):
        for j in range(columns):
            for u in range(k_h):
                for v in range(k_w):
                    row, column = i * stride + u - padding, j * stride + v - padding
                    if 0 <= row < g.shape[2] and 0 <= column < g.shape[3]:
                        grad[:, :, i, j] += g[:, :, row, column] @ weight[:, :, u, v].T
    return grad


def _convolve(g: Tensor, w: Tensor, s: int, p: int) -> Tensor:
    return torch.einsum("nouvij,couv->ncij", _windows(g, w, s, p), w)


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


CONV_TRANSPOSE2D_INPUT_GRAD = Exercise(
    name="conv_transpose2d_input_grad",
    lesson=9,
    title="Gradient of a transposed convolution's input",
    hint=(
        "It is the convolution of lesson 03, without bias: unfold grad_output into windows "
        "(N, O kH kW, L) with the stride and the padding, multiply by weight.flatten(1) "
        "(C, O kH kW), and give the L places their rows and columns."
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
    ),
    reference=_input_grad,
    mistakes=(
        (
            "It ran the transposed convolution again, with the channels of the weight swapped, and "
            "the picture grew once more. Backward goes the other way: unfold, then multiply.",
            lambda g, w, s, p: _grow(g, w.transpose(0, 1), s, p),
        ),
        (
            "It forgot the padding: put `padding` rows and columns of zeros around grad_output, or "
            "hand padding on to unfold.",
            lambda g, w, s, p: _convolve(g, w, s, 0),
        ),
        (
            "It forgot both the stride and the padding: hand them on to unfold.",
            lambda g, w, s, p: _convolve(g, w, 1, 0),
        ),
        (
            "It ignored the stride: the windows of neighbouring pixels are `stride` apart.",
            lambda g, w, s, p: _convolve(g, w, 1, p),
        ),
        (
            "The size is right, but the stride is ignored when a window is cut out: the window of "
            "pixel i starts at row i * stride - padding.",
            lambda g, w, s, p: _convolve(g, w, 1, p)[
                :, :, : _places(g, w, s, p)[0], : _places(g, w, s, p)[1]
            ],
        ),
        (
            "The kernel is flipped: what was written with weight[c, o, u, v] comes back through "
            "the same number, so nothing is turned.",
            lambda g, w, s, p: _convolve(g, w.flip(2, 3), s, p),
        ),
        (
            "Rows and columns of the kernel are swapped: u goes down, v goes to the right.",
            lambda g, w, s, p: _convolve(g, w.transpose(2, 3), s, p),
        ),
        (
            "Input and output channels of the weight are swapped: grad_output has O channels, and "
            "weight[c] (O, kH, kW) brings them to input channel c.",
            lambda g, w, s, p: _convolve(g, w.transpose(0, 1), s, p),
        ),
        (
            "The weight is reshaped to (O kH kW, C) and transposed, which mixes up its numbers: "
            "here weight.flatten(1) is all that is needed.",
            lambda g, w, s, p: _convolve(g, _reshape_weight(w), s, p),
        ),
        (
            "It takes the mean over the window where a sum belongs.",
            lambda g, w, s, p: _convolve(g, w, s, p) / w[0, 0].numel(),
        ),
        (
            "It is a mean over the output channels and the window where a sum belongs.",
            lambda g, w, s, p: _convolve(g, w, s, p) / w[0].numel(),
        ),
        (
            "It uses the first output channel only: sum over all output channels o.",
            lambda g, w, s, p: _convolve(g[:, :1], w[:, :1], s, p),
        ),
        (
            "It uses the last output channel only: add (`+=`) the channels, do not overwrite.",
            lambda g, w, s, p: _convolve(g[:, -1:], w[:, -1:], s, p),
        ),
        (
            "It takes the gradient of one output pixel, the first of each window: a pixel was "
            "written to a whole window, so sum over u and v.",
            lambda g, w, s, p: torch.einsum(
                "noij,co->ncij", _windows(g, w, s, p)[:, :, 0, 0], w[:, :, 0, 0]
            ),
        ),
        (
            "It forgot the weight: these are the sums of grad_output over each window.",
            lambda g, w, s, p: _windows(g, w, s, p).sum((1, 2, 3))[:, None].repeat(1, len(w), 1, 1),
        ),
        (
            "It is a mean over the batch: every image has a gradient of its own, so nothing is "
            "divided by N.",
            lambda g, w, s, p: _convolve(g, w, s, p) / len(g),
        ),
        (
            "The places are not given their rows and columns: end with a reshape to (N, C, H, W).",
            lambda g, w, s, p: _convolve(g, w, s, p).flatten(2),
        ),
        (
            "Height and width of the result are swapped in the last reshape: it is (N, C, H, W).",
            lambda g, w, s, p: _convolve(g, w, s, p).reshape(
                len(g), len(w), *_places(g, w, s, p)[::-1]
            ),
        ),
        (
            "The sign is wrong: the minus comes in with the step of gradient descent.",
            lambda g, w, s, p: -_convolve(g, w, s, p),
        ),
    ),
    errors=(
        (
            "Expected size for first two dimensions",
            "The windows of grad_output are (N, O kH kW, L), and weight.flatten(1) is (C, O kH "
            "kW): no transpose this time.",
        ),
        (
            "shapes cannot be multiplied",
            "The windows of grad_output are (N, O kH kW, L), and weight.flatten(1) is (C, O kH "
            "kW): no transpose this time.",
        ),
        (
            "unflatten",
            "So many rows and columns do not fit the places of unfold: the rows of the input are "
            "(H' + 2 * padding - kH) // stride + 1.",
        ),
        (
            "is invalid for input of size",
            "A reshape does not fit: the rows of the input are (H' + 2 * padding - kH) // stride "
            "+ 1.",
        ),
    ),
)


def conv_transpose2d_input_grad(function: Callable) -> None:
    """Check ``conv_transpose2d_input_grad(grad_output, weight, stride, padding) -> grad_input``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``grad_output`` ``(N, O, H', W')``, ``weight``
        ``(C, O, kH, kW)`` and two integers, and returns the gradient of the input
        ``(N, C, H, W)``.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(CONV_TRANSPOSE2D_INPUT_GRAD, function)


# ------------------------------------------------------------------------------ weight gradient


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


def _like_weight(g: Tensor, x: Tensor, kernel: tuple[int, int]) -> Tensor:
    return g.new_empty(x.shape[1], g.shape[1], *kernel)


def _weight_grad(
    g: Tensor, x: Tensor, kernel: tuple[int, int], stride: int, padding: int
) -> Tensor:
    """Add, for every image and pixel, the pixel times the gradient of each place of its window."""
    grad = torch.zeros_like(_like_weight(g, x, kernel))
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            for u in range(kernel[0]):
                for v in range(kernel[1]):
                    row, column = i * stride + u - padding, j * stride + v - padding
                    if 0 <= row < g.shape[2] and 0 <= column < g.shape[3]:
                        grad[:, :, u, v] += x[:, :, i, j].T @ g[:, :, row, column]
    return grad


def _products(g: Tensor, x: Tensor, kernel: tuple[int, int], s: int, p: int) -> Tensor:
    """One product for each image: ``(N, C, O, kH, kW)``."""
    windows = _windows(g, _like_weight(g, x, kernel), s, p)
    return torch.einsum("ncij,nouvij->ncouv", x, windows)


def _shifted(g: Tensor, x: Tensor, kernel: tuple[int, int]) -> Tensor:
    """Sum with windows that start one pixel apart, as if the stride were 1."""
    windows = _windows(g, _like_weight(g, x, kernel), 1, 0)[..., : x.shape[2], : x.shape[3]]
    return torch.einsum("ncij,nouvij->couv", x, windows)


CONV_TRANSPOSE2D_WEIGHT_GRAD = Exercise(
    name="conv_transpose2d_weight_grad",
    lesson=9,
    title="Gradient of a transposed convolution's weight",
    hint=(
        "Unfold grad_output into windows (N, O kH kW, L). The product of the pixels as (N, C, L) "
        "with the transposed windows (N, L, O kH kW) sums over the pixels; then sum over the batch "
        "and view it as (C, O, kH, kW)."
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
    ),
    reference=_weight_grad,
    mistakes=(
        (
            "Input and output channels are swapped: the weight is (C, O, kH, kW), so let the "
            "pixels come first and the windows of grad_output second.",
            lambda g, x, k, s, p: _products(g, x, k, s, p).sum(0).transpose(0, 1),
        ),
        (
            "The product is the wrong way round, windows times pixels, (O kH kW, C), and a "
            "reshape mixes it up: let the pixels come first.",
            lambda g, x, k, s, p: (
                _products(g, x, k, s, p).sum(0).flatten(1).T.reshape(x.shape[1], g.shape[1], *k)
            ),
        ),
        (
            "It is a mean over the batch where a sum belongs: every image pulls at the weight, so "
            "do not divide by N.",
            lambda g, x, k, s, p: _products(g, x, k, s, p).mean(0),
        ),
        (
            "It forgot to sum over the batch: there is one gradient for each image.",
            lambda g, x, k, s, p: _products(g, x, k, s, p),
        ),
        (
            "It forgot to sum over the batch, and to view the result as (C, O, kH, kW).",
            lambda g, x, k, s, p: _products(g, x, k, s, p).flatten(2),
        ),
        (
            "The sum is right, but it is not viewed as (C, O, kH, kW) at the end.",
            lambda g, x, k, s, p: _products(g, x, k, s, p).sum(0).flatten(1),
        ),
        (
            "Only the first image counts: sum over the batch.",
            lambda g, x, k, s, p: _products(g, x, k, s, p)[0],
        ),
        (
            "Only the last image counts: add (`+=`) the images, do not overwrite.",
            lambda g, x, k, s, p: _products(g, x, k, s, p)[-1],
        ),
        (
            "It ignored the stride: the windows of neighbouring pixels are `stride` apart in "
            "grad_output.",
            lambda g, x, k, s, p: _shifted(torch.constant_pad_nd(g, (p,) * 4), x, k),
        ),
        (
            "It forgot both the stride and the padding: hand them on to unfold.",
            lambda g, x, k, s, p: _shifted(g, x, k),
        ),
        (
            "The kernel is flipped: entry (u, v) belongs to place (u, v) of the window.",
            lambda g, x, k, s, p: _products(g, x, k, s, p).sum(0).flip(2, 3),
        ),
        (
            "Rows and columns of the kernel are swapped: u goes down, v goes to the right.",
            lambda g, x, k, s, p: _products(g, x, k, s, p).sum(0).transpose(2, 3),
        ),
        (
            "It is a mean over the pixels where a sum belongs: do not divide by L.",
            lambda g, x, k, s, p: _products(g, x, k, s, p).sum(0) / x[0, 0].numel(),
        ),
        (
            "It is a mean over the images and the pixels where a sum belongs.",
            lambda g, x, k, s, p: _products(g, x, k, s, p).mean(0) / x[0, 0].numel(),
        ),
        (
            "It forgot x: these are the sums of the windows of grad_output alone.",
            lambda g, x, k, s, p: _products(g, torch.ones_like(x), k, s, p).sum(0),
        ),
        (
            "The sign is wrong: the minus comes in with the step of gradient descent.",
            lambda g, x, k, s, p: -_products(g, x, k, s, p).sum(0),
        ),
    ),
    errors=(
        (
            "Expected size for first two dimensions",
            "The pixels are (N, C, L), the windows of grad_output (N, O kH kW, L): transpose the "
            "windows, so that the sum runs over L. With the wrong stride or padding L differs.",
        ),
        (
            "is invalid for input of size",
            "A view does not fit: is the batch summed, and is the shape (C, O, kH, kW)?",
        ),
        (
            "unflatten",
            "A view does not fit: is the batch summed, and is the shape (C, O, kH, kW)?",
        ),
    ),
)


def conv_transpose2d_weight_grad(function: Callable) -> None:
    """Check ``conv_transpose2d_weight_grad(grad_output, x, kernel_size, stride, padding)``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``grad_output`` ``(N, O, H', W')``, ``x`` ``(N, C, H, W)``,
        ``kernel_size``, the pair ``(kH, kW)``, and two integers, and returns the gradient of the
        weight ``(C, O, kH, kW)``.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(CONV_TRANSPOSE2D_WEIGHT_GRAD, function)

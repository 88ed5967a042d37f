"""Exercises of lesson 03, convolution."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from n2n_lib.course.check.engine import Case, Exercise, run, values

# ------------------------------------------------------------------------------ output_size


def _size_case(name: str, *numbers: int) -> Case:
    names = ("size", "kernel", "stride", "padding", "dilation")
    return Case(name, dict(zip(names, numbers, strict=True)))


def _count_places(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Count the places of the window, by moving it until it leaves the padded image."""
    places, start = 0, -padding
    while start + dilation * (kernel - 1) <= size + padding - 1:
        places, start = places + 1, start + stride
    return places


OUTPUT_SIZE = Exercise(
    name="output_size",
    lesson=3,
    title="How many places a window has",
    hint=(
        "The padded image has size + 2 * padding pixels, the window reaches over "
        "dilation * (kernel - 1) + 1 of them. Count its first place, then how many whole strides "
        "fit into what is left."
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
    reference=_count_places,
    mistakes=(
        (
            "It is one too small: add 1 at the end, for the first place of the window.",
            lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s,
        ),
        (
            "The padding counts once: it is added on both sides, so write 2 * padding.",
            lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1,
        ),
        (
            "It forgot the padding: the window moves over size + 2 * padding pixels.",
            lambda n, k, s, p, d: (n - d * (k - 1) - 1) // s + 1,
        ),
        (
            "It forgot the dilation: a window of kernel pixels reaches over "
            "dilation * (kernel - 1) + 1.",
            lambda n, k, s, p, d: (n + 2 * p - k) // s + 1,
        ),
        (
            "The window is one dilation too long: kernel pixels have kernel - 1 gaps between "
            "them, so it reaches over dilation * (kernel - 1) + 1.",
            lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1,
        ),
        (
            "It forgot the stride: divide by it before you add 1.",
            lambda n, k, s, p, d: n + 2 * p - d * (k - 1),
        ),
        (
            "It forgot the padding and the dilation: the window moves over size + 2 * padding "
            "pixels, and reaches over dilation * (kernel - 1) + 1 of them.",
            lambda n, k, s, p, d: (n - k) // s + 1,
        ),
        (
            "It forgot the window: that reaches over dilation * (kernel - 1) + 1 pixels, so it "
            "cannot start on the last of them.",
            lambda n, k, s, p, d: (n + 2 * p) // s,
        ),
        (
            "It forgot the window: that reaches over dilation * (kernel - 1) + 1 pixels, so it "
            "cannot start on the last of them.",
            lambda n, k, s, p, d: (n + 2 * p) // s + 1,
        ),
        (
            "Parentheses are missing: `//` comes before plus and minus, so only the 1 in front of "
            "it is divided.",
            lambda n, k, s, p, d: n + 2 * p - d * (k - 1) - 1 // s + 1,
        ),
        (
            "It rounds to the nearest number. A place that sticks out of the image does not count: "
            "round down with `//`.",
            lambda n, k, s, p, d: round((n + 2 * p - d * (k - 1) - 1) / s) + 1,
        ),
        (
            "It rounds up. A place that sticks out of the image does not count: round down "
            "with `//`.",
            lambda n, k, s, p, d: -(-(n + 2 * p - d * (k - 1) - 1) // s) + 1,
        ),
        (
            "It divides too late: add 1 after the division by the stride, not before.",
            lambda n, k, s, p, d: (n + 2 * p - d * (k - 1)) // s,
        ),
        (
            "The window is one pixel too short: it reaches over dilation * (kernel - 1) + 1 "
            "pixels, and the + 1 is missing.",
            lambda n, k, s, p, d: (n + 2 * p - d * (k - 1)) // s + 1,
        ),
    ),
)


def output_size(function: Callable) -> None:
    """Check ``output_size(size, kernel, stride, padding, dilation) -> int``.

    Parameters
    ----------
    function : callable
        The student's, which takes five integers for one dimension and returns how many places the
        window has, an int.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(OUTPUT_SIZE, function)


# ------------------------------------------------------------------------------ convolution


def _places(x: Tensor, weight: Tensor, stride: int, padding: int) -> tuple[int, int]:
    rows, columns = (
        _count_places(x.shape[2 + axis], weight.shape[2 + axis], stride, padding, 1)
        for axis in (0, 1)
    )
    if rows < 1 or columns < 1:
        raise ValueError("expected a window that fits into the image")
    return rows, columns


def _pad(x: Tensor, before: int, after: int) -> Tensor:
    n, c, h, w = x.shape
    padded = x.new_zeros(n, c, h + before + after, w + before + after)
    padded[:, :, before : before + h, before : before + w] = x
    return padded


def _windows(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Cut the windows out by slicing: ``(N, C, kH, kW, H', W')``."""
    rows, columns = _places(x, weight, stride, padding)
    padded, (k_h, k_w) = _pad(x, padding, padding), weight.shape[2:]
    cut = [
        padded[:, :, u : u + stride * rows : stride, v : v + stride * columns : stride]
        for u in range(k_h)
        for v in range(k_w)
    ]
    cut = [part[:, :, :rows, :columns] for part in cut]
    return torch.stack(cut, 2).unflatten(2, (k_h, k_w))


def _convolve(x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int) -> Tensor:
    """Take the weighted sum over every window, from the definition."""
    windows = _windows(x, weight, stride, padding)
    n, _, _, _, rows, columns = windows.shape
    output = x.new_zeros(n, weight.shape[0], rows, columns)
    for o in range(weight.shape[0]):
        for i in range(rows):
            for j in range(columns):
                output[:, o, i, j] = (windows[..., i, j] * weight[o]).sum((1, 2, 3)) + bias[o]
    return output


def _fast(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Convolve without bias; for the known mistakes."""
    return torch.einsum("ncuvij,ocuv->noij", _windows(x, weight, stride, padding), weight)


def _column(bias: Tensor) -> Tensor:
    return bias[:, None, None]  # (O, 1, 1)


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


def _rows_without_padding(y: Tensor, x: Tensor, w: Tensor, s: int) -> Tensor:
    """The places in rows and columns as if there had been no padding; raises if that is absurd."""
    return y.flatten(2).unflatten(2, ((x.shape[2] - w.shape[2]) // s + 1, -1))


def _first_places(x: Tensor, w: Tensor, b: Tensor, s: int, p: int) -> Tensor:
    """The right size, but windows that move by one pixel instead of `stride`."""
    rows, columns = _places(x, w, s, p)
    return (_fast(x, w, 1, p) + _column(b))[:, :, :rows, :columns]


def _pad_after(x: Tensor, before: int, after: int, w: Tensor, b: Tensor, s: int) -> Tensor:
    return _fast(_pad(x, before, after), w, s, 0) + _column(b)


def _reshape_weight(w: Tensor) -> Tensor:
    """Read the memory of the weight as ``(C kH kW, O)`` instead of transposing it."""
    return w.reshape(-1, w.shape[0]).T.reshape(w.shape)


CONV2D_FORWARD = Exercise(
    name="conv2d_forward",
    lesson=3,
    title="Convolution",
    hint=(
        "Unfold x into windows (N, C kH kW, L) with the stride and the padding, multiply by "
        "weight.flatten(1) (O, C kH kW), add bias[:, None], and give the L places their rows and "
        "columns: (N, O, H', W')."
    ),
    returns=("output",),
    axes=("image", "channel", "row", "column"),
    cases=(
        _conv_case("one channel, one image", (1, 1, 4, 4), (1, 2, 2)),
        _conv_case("3 images, 2 channels in and out", (3, 2, 4, 5), (2, 3, 3)),
        _conv_case("window not square", (2, 3, 5, 4), (2, 2, 3)),
        _conv_case("stride 2", (1, 2, 7, 9), (4, 3, 3), stride=2),
        _conv_case("padding 1", (2, 2, 4, 3), (3, 3, 3), padding=1),
        _conv_case("stride 2, padding 2, float32", (2, 3, 5, 6), (4, 2, 3), 2, 2, torch.float32),
    ),
    reference=_convolve,
    mistakes=(
        (
            "It forgot the bias: add bias[o] to every pixel of output channel o.",
            lambda x, w, b, s, p: _fast(x, w, s, p),
        ),
        (
            "It forgot the padding: put `padding` rows and columns of zeros around x, or hand "
            "padding on to unfold.",
            lambda x, w, b, s, p: _fast(x, w, s, 0) + _column(b),
        ),
        (
            "It forgot both the stride and the padding: hand them on to unfold.",
            lambda x, w, b, s, p: _fast(x, w, 1, 0) + _column(b),
        ),
        (
            "It ignored the stride: the window should move by `stride` pixels from one place to "
            "the next.",
            lambda x, w, b, s, p: _fast(x, w, 1, p) + _column(b),
        ),
        (
            "The output has the right size, but the stride is ignored when a window is cut out: "
            "the window of row i starts at row i * stride.",
            _first_places,
        ),
        (
            "The kernel is flipped: weight[o, c, u, v] belongs to the pixel u rows down and v "
            "columns to the right in the window. No reversing here, as in PyTorch.",
            lambda x, w, b, s, p: _fast(x, w.flip(2, 3), s, p) + _column(b),
        ),
        (
            "Rows and columns of the kernel are swapped: u goes down, v goes to the right.",
            lambda x, w, b, s, p: _fast(x, w.transpose(2, 3), s, p) + _column(b),
        ),
        (
            "The weight is transposed: input and output channels are swapped. It is (O, C, kH, "
            "kW), so output channel o uses weight[o].",
            lambda x, w, b, s, p: _fast(x, w.transpose(0, 1), s, p) + _column(b),
        ),
        (
            "The weight is reshaped to (C kH kW, O), which mixes up its numbers, where it should "
            "be flattened to (O, C kH kW).",
            lambda x, w, b, s, p: _fast(x, _reshape_weight(w), s, p) + _column(b),
        ),
        (
            "The bias is added per column of the image: it holds one number for each output "
            "channel, so give it the shape (O, 1, 1).",
            lambda x, w, b, s, p: _fast(x, w, s, p) + b,
        ),
        (
            "The bias is inside the sum: it is added once for each number of the window, and "
            "should be added once at the end.",
            lambda x, w, b, s, p: _fast(x, w, s, p) + w[0].numel() * _column(b),
        ),
        (
            "The bias is added once for each input channel, and should be added once at the end.",
            lambda x, w, b, s, p: _fast(x, w, s, p) + w.shape[1] * _column(b),
        ),
        (
            "Every pixel gets the sum of all biases: output channel o gets bias[o] alone.",
            lambda x, w, b, s, p: _fast(x, w, s, p) + b.sum(),
        ),
        (
            "The bias has the wrong sign: it is added.",
            lambda x, w, b, s, p: _fast(x, w, s, p) - _column(b),
        ),
        (
            "It sees the first input channel only: sum over all channels c.",
            lambda x, w, b, s, p: _fast(x[:, :1], w[:, :1], s, p) + _column(b),
        ),
        (
            "It sees the last input channel only: add (`+=`) the channels, do not overwrite.",
            lambda x, w, b, s, p: _fast(x[:, -1:], w[:, -1:], s, p) + _column(b),
        ),
        (
            "It takes the mean over the window where a sum belongs.",
            lambda x, w, b, s, p: _fast(x, w, s, p) / w[0].numel() + _column(b),
        ),
        (
            "It returns the first image only: loop over the batch too.",
            lambda x, w, b, s, p: (_fast(x, w, s, p) + _column(b))[:1],
        ),
        (
            "It computes the first image only, and the others stay zero: loop over the batch too.",
            lambda x, w, b, s, p: torch.cat(
                [_fast(x[:1], w, s, p) + _column(b), 0 * _fast(x[1:], w, s, p)]
            ),
        ),
        (
            "The padding is on one side only, at the bottom and the right: it belongs on all "
            "four sides.",
            lambda x, w, b, s, p: _pad_after(x, 0, p, w, b, s),
        ),
        (
            "The padding is on one side only, at the top and the left: it belongs on all four "
            "sides.",
            lambda x, w, b, s, p: _pad_after(x, p, 0, w, b, s),
        ),
        (
            "Height and width of the output are swapped in the last reshape: it is (N, O, H', W').",
            lambda x, w, b, s, p: (_fast(x, w, s, p) + _column(b)).reshape(
                len(x), len(w), *_places(x, w, s, p)[::-1]
            ),
        ),
        (
            "The numbers are right, and the rows of the output are counted without the padding: "
            "H' = (H + 2 * padding - kH) // stride + 1.",
            lambda x, w, b, s, p: _rows_without_padding(_fast(x, w, s, p) + _column(b), x, w, s),
        ),
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
            "unflatten",
            "So many rows and columns do not fit the places of unfold: do both have the stride and "
            "the padding, H' = (H + 2 * padding - kH) // stride + 1?",
        ),
        (
            "is invalid for input of size",
            "A reshape does not fit: H' = (H + 2 * padding - kH) // stride + 1, and W' likewise "
            "with W and kW; is every one of them in it?",
        ),
    ),
)


def conv2d_forward(function: Callable) -> None:
    """Check ``conv2d_forward(x, weight, bias, stride, padding) -> output``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``x`` ``(N, C, H, W)``, ``weight`` ``(O, C, kH, kW)``, ``bias``
        ``(O,)`` and two integers, and returns ``(N, O, H', W')``.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(CONV2D_FORWARD, function)


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


def _weight_grad(g: Tensor, windows: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Add, for every image and place, the gradient times the window."""
    grad = windows.new_zeros(shape[0], windows.shape[1])
    flat = g.reshape(*g.shape[:2], -1)
    for n in range(flat.shape[0]):
        for o in range(flat.shape[1]):
            for place in range(flat.shape[2]):
                grad[o] += flat[n, o, place] * windows[n, :, place]
    return grad.reshape(shape)


def _products(g: Tensor, windows: Tensor) -> Tensor:
    """One product for each image: ``(N, O, C kH kW)``."""
    return g.flatten(2) @ windows.transpose(1, 2)


CONV2D_WEIGHT_GRAD = Exercise(
    name="conv2d_weight_grad",
    lesson=3,
    title="Gradient of the weight",
    hint=(
        "Flatten grad_output to (N, O, L), multiply by the transposed windows (N, L, C kH kW), "
        "sum over the batch, and reshape to weight_shape."
    ),
    returns=("grad_weight",),
    axes=("output channel", "input channel", "row", "column"),
    cases=(
        _weight_grad_case("one image", 1, (2, 1, 2, 2), (3, 3)),
        _weight_grad_case("batch of 3", 3, (2, 2, 2, 2), (2, 3)),
        _weight_grad_case("window not square", 2, (4, 3, 2, 3), (4, 2)),
        _weight_grad_case("one place, float32", 2, (3, 2, 3, 3), (1, 1), torch.float32),
    ),
    reference=_weight_grad,
    mistakes=(
        (
            "It is a mean over the batch where a sum belongs: every image pulls at the weight, so "
            "do not divide by N.",
            lambda g, w, s: _products(g, w).mean(0).reshape(s),
        ),
        (
            "It forgot to sum over the batch: there is one gradient for each image.",
            lambda g, w, s: _products(g, w).reshape(-1, *s),
        ),
        (
            "It forgot to sum over the batch, and to reshape the result to weight_shape.",
            lambda g, w, s: _products(g, w),
        ),
        (
            "The sum is right, but it is not reshaped to weight_shape at the end.",
            lambda g, w, s: _products(g, w).sum(0),
        ),
        (
            "The product is transposed: windows times grad_output is (C kH kW, O), and a reshape "
            "mixes it up. Let grad_output come first.",
            lambda g, w, s: _products(g, w).sum(0).T.reshape(s),
        ),
        (
            "The result is flipped: entry (u, v) belongs to pixel (u, v) of the window.",
            lambda g, w, s: _products(g, w).sum(0).reshape(s).flip(2, 3),
        ),
        (
            "It is a mean over the places of the window where a sum belongs: do not divide by L.",
            lambda g, w, s: _products(g, w).sum(0).reshape(s) / w.shape[2],
        ),
        (
            "It is a mean over the images and the places where a sum belongs.",
            lambda g, w, s: _products(g, w).mean(0).reshape(s) / w.shape[2],
        ),
        (
            "Only the first image counts: sum over the batch.",
            lambda g, w, s: _products(g, w)[0].reshape(s),
        ),
        (
            "Only the last image counts: add (`+=`) the images, do not overwrite.",
            lambda g, w, s: _products(g, w)[-1].reshape(s),
        ),
        (
            "A reshape of grad_output to (O, N L) mixes up the batch and the channels: O has to "
            "come first, so take grad_output.transpose(0, 1) before it.",
            lambda g, w, s: (
                g.reshape(s[0], -1) @ w.transpose(1, 2).reshape(-1, w.shape[1])
            ).reshape(s),
        ),
        (
            "It forgot grad_output: these are the sums of the windows alone.",
            lambda g, w, s: w.sum((0, 2)).reshape(1, *s[1:]).repeat(s[0], 1, 1, 1),
        ),
        (
            "The sign is wrong: the minus comes in with the step of gradient descent.",
            lambda g, w, s: -_products(g, w).sum(0).reshape(s),
        ),
    ),
    errors=(
        (
            "Expected size for first two dimensions",
            "Flatten grad_output to (N, O, L) and transpose the windows to (N, L, C kH kW), so "
            "that the sum in the product runs over the places L.",
        ),
        (
            "is invalid for input of size",
            "A reshape does not fit: is the batch summed before the reshape to weight_shape?",
        ),
        (
            "must match the size of tensor",
            "Flatten grad_output to (N, O, L) before it meets the windows.",
        ),
    ),
)


def conv2d_weight_grad(function: Callable) -> None:
    """Check ``conv2d_weight_grad(grad_output, windows, weight_shape) -> grad_weight``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``grad_output`` ``(N, O, H', W')``, the unfolded ``windows``
        ``(N, C kH kW, L)`` with ``L = H' W'`` and ``weight_shape``, the tuple ``(O, C, kH, kW)``,
        and returns the gradient of the weight, of that shape.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(CONV2D_WEIGHT_GRAD, function)


# ------------------------------------------------------------------------------ conv2d_input_grad


def _input_grad_case(
    name: str,
    n: int,
    weight: tuple[int, int, int, int],
    size: tuple[int, int],
    stride: int = 1,
    padding: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Case:
    w = values(weight, 11, dtype)
    places = _places(torch.empty(n, weight[1], *size), w, stride, padding)
    arguments = {
        "grad_output": values((n, weight[0], *places), 12, dtype),
        "weight": w,
        "size": size,
        "stride": stride,
        "padding": padding,
    }
    return Case(name, arguments, {"the batch size N": n, "the output channels O": weight[0]})


def _input_grad(
    g: Tensor, weight: Tensor, size: tuple[int, int], stride: int, padding: int
) -> Tensor:
    """Carry every gradient back to the pixels that its window saw."""
    (rows, columns), (k_h, k_w) = g.shape[2:], weight.shape[2:]
    grad = g.new_zeros(g.shape[0], weight.shape[1], *size)
    for i in range(rows):
        for j in range(columns):
            for u in range(k_h):
                for v in range(k_w):
                    row, column = i * stride + u - padding, j * stride + v - padding
                    if 0 <= row < size[0] and 0 <= column < size[1]:
                        grad[:, :, row, column] += g[:, :, i, j] @ weight[:, :, u, v]
    return grad


def _scatter(
    g: Tensor,
    weight: Tensor,
    size: tuple[int, int],
    stride: int,
    padding: int,
    mode: str = "add",
) -> Tensor:
    """Fold ``w^T G`` onto the padded image, in one of the ways that people do; not cropped."""
    windows = torch.einsum("noij,ocuv->ncuvij", g, weight)
    (rows, columns), (k_h, k_w) = g.shape[2:], weight.shape[2:]
    canvas = g.new_zeros(g.shape[0], weight.shape[1], size[0] + 2 * padding, size[1] + 2 * padding)
    count = torch.zeros_like(canvas)
    order = [(i, j, u, v) for i in range(rows) for j in range(columns) for u in range(k_h)
             for v in range(k_w)]  # fmt: skip
    if mode == "last slice":  # loops over u and v outside, over places inside
        order.sort(key=lambda place: place[2:])
    for i, j, u, v in order:
        row, column = i * stride + u, j * stride + v
        if mode in ("add", "mean"):
            canvas[:, :, row, column] += windows[:, :, u, v, i, j]
        else:
            canvas[:, :, row, column] = windows[:, :, u, v, i, j]
        count[:, :, row, column] += 1
    return canvas / count.clamp(min=1) if mode == "mean" else canvas


def _crop(canvas: Tensor, size: tuple[int, int], padding: int) -> Tensor:
    return canvas[:, :, padding : padding + size[0], padding : padding + size[1]]


def _folded(
    g: Tensor, w: Tensor, size: tuple[int, int], s: int, p: int, mode: str = "add"
) -> Tensor:
    return _crop(_scatter(g, w, size, s, p, mode), size, p)


def _natural_size(g: Tensor, w: Tensor, s: int, p: int) -> tuple[int, int]:
    """The size of the image if no rest had been left at its end."""
    return tuple((g.shape[2 + a] - 1) * s + w.shape[2 + a] - 2 * p for a in (0, 1))


CONV2D_INPUT_GRAD = Exercise(
    name="conv2d_input_grad",
    lesson=3,
    title="Gradient of the input",
    hint=(
        "Multiply the transposed weight (C kH kW, O) by grad_output as (N, O, L), which gives a "
        "gradient for every window, and fold the windows back with the stride and the padding "
        "of the forward and output size (H, W)."
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
    reference=_input_grad,
    mistakes=(
        (
            "It forgot the padding: the frame of padded pixels is still around the result. Cut "
            "it off, or hand padding on to fold.",
            lambda g, w, n, s, p: _scatter(g, w, n, s, p),
        ),
        (
            "It forgot the padding: a window of the padded image starts `padding` rows above and "
            "columns left of where you put it.",
            lambda g, w, n, s, p: _scatter(g, w, n, s, p)[:, :, : n[0], : n[1]],
        ),
        (
            "It ran the forward convolution again, with the channels of the weight swapped. "
            "Backward must spread each gradient over its window: the transposed map.",
            lambda g, w, n, s, p: _fast(g, w.transpose(0, 1), s, p),
        ),
        (
            "It ran the forward convolution again. Backward must spread each gradient over its "
            "window: multiply by the transposed weight, then fold.",
            lambda g, w, n, s, p: _fast(g, w, s, p),
        ),
        (
            "The kernel is flipped: the gradient of place (i, j) times weight[o, c, u, v] goes to "
            "row i * stride + u - padding. (If you convolve with padding kH - 1 instead, there "
            "the kernel has to be flipped.)",
            lambda g, w, n, s, p: _folded(g, w.flip(2, 3), n, s, p),
        ),
        (
            "The weight is reshaped to (C kH kW, O), which mixes up its numbers: flatten it to "
            "(O, C kH kW) first, then transpose it.",
            lambda g, w, n, s, p: _folded(g, _reshape_weight(w), n, s, p),
        ),
        (
            "The weight is not transposed: input and output channels are swapped. The gradient "
            "of output channel o comes back through weight[o].",
            lambda g, w, n, s, p: _folded(g, w.transpose(0, 1), n, s, p),
        ),
        (
            "Where windows overlap, the later one overwrites the earlier: add (`+=`) them, since "
            "a pixel that several windows saw collects a gradient from each.",
            lambda g, w, n, s, p: _folded(g, w, n, s, p, "last window"),
        ),
        (
            "Where windows overlap, one overwrites the other: add (`+=`) them, since a pixel that "
            "several windows saw collects a gradient from each.",
            lambda g, w, n, s, p: _folded(g, w, n, s, p, "last slice"),
        ),
        (
            "Where windows overlap, it takes their mean where a sum belongs: a pixel that several "
            "windows saw collects a gradient from each.",
            lambda g, w, n, s, p: _folded(g, w, n, s, p, "mean"),
        ),
        (
            "It ignored the stride: the window of place (i, j) starts at row i * stride.",
            lambda g, w, n, s, p: _folded(g, w, n, 1, p),
        ),
        (
            "The size is computed from grad_output, and the rows and columns that the last stride "
            "left over are missing: use `size`.",
            lambda g, w, n, s, p: _folded(g, w, _natural_size(g, w, s, p), s, p),
        ),
        (
            "It uses the first output channel only: sum over all output channels o.",
            lambda g, w, n, s, p: _folded(g[:, :1], w[:1], n, s, p),
        ),
        (
            "The last row of windows is left out: does the loop over the rows of grad_output end "
            "one too early?",
            lambda g, w, n, s, p: _folded(g[:, :, :-1], w, n, s, p),
        ),
        (
            "The last column of windows is left out: does the loop over the columns of grad_output "
            "end one too early?",
            lambda g, w, n, s, p: _folded(g[..., :-1], w, n, s, p),
        ),
        (
            "It is a mean over the batch: every image has a gradient of its own, so nothing is "
            "divided by N.",
            lambda g, w, n, s, p: _folded(g, w, n, s, p) / len(g),
        ),
    ),
    errors=(
        (
            "sliding blocks",
            "fold counts its windows from the size, the kernel, the stride and the padding: give "
            "it all four as in the forward. Did you forget the padding or the stride?",
        ),
        (
            "divisible by the product of kernel_size",
            "fold wants windows of C kH kW rows: is the weight transposed before the product?",
        ),
        (
            "Expected size for first two dimensions",
            "Is the weight transposed? (C kH kW, O) times (N, O, L) gives (N, C kH kW, L).",
        ),
        (
            "shapes cannot be multiplied",
            "Is the weight transposed? (C kH kW, O) times (N, O, L) gives (N, C kH kW, L).",
        ),
    ),
)


def conv2d_input_grad(function: Callable) -> None:
    """Check ``conv2d_input_grad(grad_output, weight, size, stride, padding) -> grad_input``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``grad_output`` ``(N, O, H', W')``, ``weight``
        ``(O, C, kH, kW)``, ``size``, the tuple ``(H, W)`` of the input, and two integers, and
        returns the gradient of the input ``(N, C, H, W)``.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(CONV2D_INPUT_GRAD, function)

r"""Convolution and upsampling, fast: the arithmetic of lesson 11, and the default.

The same functions as in ``kernels.unfold``, with the same results, several times faster in plain
tensor operations. Five ideas carry them:

1. *Channels last.* Tensors are ``(N, C, H, W)`` to the outside and ``(N, H, W, C)`` in memory. A
   window is then a few runs of contiguous floats, and a copy of all windows is the left matrix of
   one large product, without `unfold`.
2. *Unfold the narrow side.* Windows can be copied before the product or added up after it. Each
   axis goes the way that moves fewer floats: ``kH kW C`` for each pixel with windows first,
   ``kH kW O`` with the sums last, ``kW C + kH O`` with one axis each way.
3. *Never upsample.* An upsampled image holds each number s^2 times. Its convolution is a sum over
   the small image with a kernel of ``k + s - 1``, see `upsample_conv2d_forward`.
4. *Stay in the cache.* A batch is worked through in parts whose windows take about 8 MB: few
   enough numbers for the cache that the cores share, and enough to keep all cores busy.
5. *Multiply less.* Windows of three lines and stride 1 need four products for two lines of output
   instead of six, see ``kernels.winograd``; after doubling an image, windows of 3 x 3 need nine
   products a pixel instead of 16, see ``kernels.doubling``.

What these share, the parts of a batch, windows and their adjoint, is in ``kernels.windows``. Each
way of computing has a class of its own, which keeps what backward needs and knows the way back.

Every function works for every stride, padding, dilation, kernel and scale. Where a shorter way does
not apply, `_plan` and `upsample_conv2d_forward` say which way is taken instead.

Notation as in ``kernels.unfold``; ``x`` is ``(N, H, W, C)`` inside this file.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from n2n_lib.framework.kernels import doubling, winograd
from n2n_lib.framework.kernels.product import product
from n2n_lib.framework.kernels.unfold import Pair, output_size, transposed_size
from n2n_lib.framework.kernels.windows import (
    Part,
    Windows,
    add_up,
    as_images,
    as_rows,
    bias_grad,
    canvas,
    correlate,
    crop,
    first_taps,
    joined,
    pixels,
    shift_and_add,
    split_batch,
    windows,
)

# ------------------------------------------------------------------ convolution


@lru_cache(maxsize=256)
def _plan(
    size: Pair, shape: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair
) -> tuple[Windows, Windows | None]:
    r"""Decide which axes are copied before the product and which are added up after it.

    An axis of stride 1 can be turned around: with :math:`\kappa = k - 1 - u`,

    .. math:: y_i = \sum_u w_u\, x_{i + u d - p} \iff
              \text{every } x_h w_u \text{ is added to } y_{h + \kappa d - ((k - 1) d - p)}

    Parameters
    ----------
    size : (int, int)
        Of the image.
    shape : (int, int, int, int)
        Of the weight.

    Returns
    -------
    Windows, Windows or None
        What `windows` copies of the input, and where `shift_and_add` adds the products (None: the
        products are the output).
    """
    out, channels, kh, kw = shape
    grid = output_size(size, (kh, kw), stride, padding, dilation)
    shift = tuple((k - 1) * d - p for k, d, p in zip((kh, kw), dilation, padding, strict=True))
    turns = [s == 1 and m >= 0 for s, m in zip(stride, shift, strict=True)]
    floats = {}
    if turns[0] and kh > 1:
        floats[True, False] = kw * channels + kh * out
        if turns[1]:
            floats[True, True] = kh * kw * out
    floats[False, False] = kh * kw * channels
    turn_h, turn_w = min(floats, key=floats.get)
    if not turn_h:  # any stride, padding and dilation
        return Windows(size, grid, (kh, kw), stride, padding, dilation), None
    if turn_w:
        before = Windows(size, size, (1, 1))
        return before, Windows(grid, size, (kh, kw), (1, 1), shift, dilation)
    between = (size[0], grid[1])
    before = Windows(size, between, (1, kw), (1, stride[1]), (0, padding[1]), (1, dilation[1]))
    return before, Windows(grid, between, (kh, 1), (1, 1), (shift[0], 0), (dilation[0], 1))


def _matrix(weight: Tensor, after: Windows | None) -> Tensor:
    """Lay the weight out for the plan: ``(taps after * O, taps before * C)``."""
    out, channels, kh, kw = weight.shape
    if after is None:
        return weight.permute(0, 2, 3, 1).reshape(out, -1)
    if after.kernel == (kh, 1):  # also where kw = 1: then both plans have one matrix
        return weight.flip(2).permute(2, 0, 3, 1).reshape(kh * out, -1)
    return weight.flip(2, 3).permute(2, 3, 0, 1).reshape(-1, channels)


def _weight(matrix: Tensor, after: Windows | None, shape: tuple[int, ...]) -> Tensor:
    """Undo `_matrix`."""
    out, channels, kh, kw = shape
    if after is None:
        return matrix.reshape(out, kh, kw, channels).permute(0, 3, 1, 2)
    if after.kernel == (kh, 1):
        return matrix.reshape(kh, out, kw, channels).permute(1, 3, 0, 2).flip(2)
    return matrix.reshape(kh, kw, out, channels).permute(2, 3, 0, 1).flip(2, 3)


def conv2d_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, dilation: Pair
) -> tuple[Tensor, winograd.Winograd | Convolution]:
    """Convolve, by the shortest way: that of ``kernels.winograd``, or as `_plan` chose."""
    if winograd.applies(weight.shape, stride, padding, dilation):
        y, saved = winograd.forward(as_rows(x), weight, bias, padding)
    else:
        before, after = _plan(tuple(x.shape[2:]), tuple(weight.shape), stride, padding, dilation)
        y, saved = _convolve(as_rows(x), weight, bias, before, after)
    return as_images(y), saved


def conv2d_backward(
    grad_output: Tensor,
    saved: winograd.Winograd | Convolution,
    weight: Tensor,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    needs_input_grad: bool = True,
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Differentiate, by the way that the forward took."""
    return _outside(saved.backward(as_rows(grad_output), weight, needs_input_grad))


def _outside(gradients: tuple[Tensor | None, Tensor, Tensor]) -> tuple:
    """Turn the gradient of the input, if there is one, back into ``(N, C, H, W)``."""
    grad_input, grad_weight, grad_bias = gradients
    return None if grad_input is None else as_images(grad_input), grad_weight, grad_bias


def _convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, before: Windows, after: Windows | None
) -> tuple[Tensor, Convolution]:
    """Convolve ``(N, H, W, C)``: ``Z = windows(X) W^T`` and ``Y = shift_and_add(Z) + b``."""
    matrix, out, grid = _matrix(weight, after), len(weight), before.grid
    parts = split_batch(len(x), grid[0], grid[1] * sum(matrix.shape))
    rows_of_parts = windows(x, before, parts)
    if len(parts) == 1:
        rows_of_parts = list(rows_of_parts)  # few enough to be kept for backward
    kept = rows_of_parts if len(parts) == 1 else None
    saved = Convolution(x, kept, before, after, matrix, parts)
    if after is None:
        y = joined([product(rows, matrix, bias) for rows in rows_of_parts])
        return y.view(len(x), *grid, out), saved
    target, taps = canvas(after, parts[0], len(x), x, bias, out), first_taps(after, parts[0], bias)
    for part, rows in zip(parts, rows_of_parts, strict=True):
        shift_and_add(product(rows, matrix, taps), after, target, part)
    return crop(target, after), saved


class Convolution(NamedTuple):
    """What backward needs of a convolution by windows, before the product, after it, or both."""

    x: Tensor  # (N, H, W, C)
    rows: list[Tensor] | None  # the windows of x, where they are few enough to be kept
    before: Windows
    after: Windows | None
    matrix: Tensor  # W, the weight as `_matrix` laid it out
    parts: list[Part]

    def backward(
        self, grad: Tensor, weight: Tensor, needs_input_grad: bool
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Differentiate: ``dZ = windows(dY)``, ``dW = dZ^T windows(X)``, ``dX`` from ``dZ W``.

        What was added up on the way out is copied on the way back, and the other way round: ``dX``
        is ``shift_and_add(dZ W)``.
        """
        x, rows_of_parts, before, after, matrix, parts = self
        grad_matrix = []
        if needs_input_grad:
            target = canvas(before, parts[0], len(x), x, None, x.shape[3])
        turned = Windows(before.grid, before.grid, (1, 1)) if after is None else after
        rows_of_parts = rows_of_parts or windows(x, before, parts)
        for part, dz, rows in zip(parts, windows(grad, turned, parts), rows_of_parts, strict=True):
            grad_matrix.append(correlate(dz, rows))
            if needs_input_grad:
                shift_and_add(product(dz, matrix.t()), before, target, part)
        grad_weight = _weight(add_up(grad_matrix), after, weight.shape)
        grad_input = crop(target, before) if needs_input_grad else None
        return grad_input, grad_weight, bias_grad(grad)


# ------------------------------------------------------------------ upsampling


def nn_upsample_forward(x: Tensor, scale: Pair) -> Tensor:
    """Copy every pixel into a block: ``y[i, j] = x[i // sH, j // sW]`` (equation 1)."""
    x = as_rows(x)
    n, h, w, c = x.shape
    y = x.new_empty(n, h, scale[0], w, scale[1], c)
    y.copy_(x[:, :, None, :, None])
    return as_images(y.view(n, h * scale[0], w * scale[1], c))


def nn_upsample_backward(grad_output: Tensor, scale: Pair) -> Tensor:
    """Sum every block of gradients (equation 2)."""
    grad = as_rows(grad_output).unflatten(1, (-1, scale[0])).unflatten(3, (-1, scale[1]))
    return as_images(grad.sum((2, 4)))  # (N, H, sH, W, sW, C) -> (N, H, W, C)


@lru_cache(maxsize=64)
def _boxes(kernel: Pair, scale: Pair, dilation: Pair, dtype: torch.dtype, device: torch.device):
    r"""Return the map from a kernel of k x k taps to the one of K x K, as a matrix of 0 and 1.

    Along one axis :math:`E_{\kappa u} = 1` where :math:`0 \le \kappa - (k - 1 - u) d < s`; the
    matrix is the Kronecker product of both axes, ``(KH KW, kH kW)``.
    """
    axes = []
    for k, s, d in zip(kernel, scale, dilation, strict=True):
        place = torch.arange((k - 1) * d + s)[:, None] - torch.arange(k - 1, -1, -1) * d
        axes.append(((place >= 0) & (place < s)).to(device, dtype))
    return torch.kron(*axes)


def upsample_conv2d_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    scale: Pair,
) -> tuple[Tensor, doubling.Doubling | UpsampledFirst | SummedTaps]:
    r"""Convolve the upsampled image without making it.

    The convolution reads pixel :math:`m = j + u d - p` of the upsampled image, which is the small
    pixel :math:`i = \lfloor m / s \rfloor`: so :math:`m = s i + r` with :math:`0 \le r < s`. Turned
    around, :math:`x_i w_u` is added to

    .. math:: j = s i + \kappa - ((k - 1) d - p), \qquad \kappa = r + (k - 1 - u) d,

    where :math:`\kappa` runs over :math:`K = (k - 1) d + s` values. The weights of equal
    :math:`\kappa` are summed first: :math:`v = E w` with `_boxes`. For k = 3 and s = 2 that is 16
    products for each small pixel instead of 9 for each of its 4 copies, see `_add_windows`.
    """
    if doubling.applies(weight.shape, stride, padding, dilation, scale):
        y, saved = doubling.forward(as_rows(x), weight, bias)
        return as_images(y), saved
    after = _upsample_plan(tuple(x.shape[2:]), tuple(weight.shape[2:]), padding, dilation, scale)
    if stride != (1, 1) or min(after.padding) < 0:  # no shorter way: upsample, then convolve
        big = nn_upsample_forward(x, scale)
        y, saved = conv2d_forward(big, weight, bias, stride, padding, dilation)
        return y, UpsampledFirst(saved, scale)
    x, (out, channels, *kernel) = as_rows(x), weight.shape
    boxes = _boxes(tuple(kernel), scale, dilation, weight.dtype, weight.device)
    matrix = (boxes @ weight.reshape(out * channels, -1).t()).view(-1, channels)  # (KH KW O, C)
    parts = split_batch(len(x), after.grid[0], after.grid[1] * len(matrix))
    y = _add_windows(x, matrix, bias, after, parts, out)
    return as_images(y), SummedTaps(x, after, matrix, parts, boxes)


def upsample_conv2d_backward(
    grad_output: Tensor,
    saved: doubling.Doubling | UpsampledFirst | SummedTaps,
    weight: Tensor,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    scale: Pair,
    needs_input_grad: bool = True,
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Differentiate, by the way that the forward took."""
    return _outside(saved.backward(as_rows(grad_output), weight, needs_input_grad))


@lru_cache(maxsize=256)
def _upsample_plan(size: Pair, kernel: Pair, padding: Pair, dilation: Pair, scale: Pair) -> Windows:
    """Return what `shift_and_add` does to the products in `upsample_conv2d_forward`."""
    reach = tuple((k - 1) * d + s for k, d, s in zip(kernel, dilation, scale, strict=True))
    shift = tuple((k - 1) * d - p for k, d, p in zip(kernel, dilation, padding, strict=True))
    big = tuple(m * s for m, s in zip(size, scale, strict=True))
    return Windows(output_size(big, kernel, (1, 1), padding, dilation), size, reach, scale, shift)


class UpsampledFirst(NamedTuple):
    """What backward needs where the image was upsampled and then convolved."""

    convolution: winograd.Winograd | Convolution
    scale: Pair

    def backward(
        self, grad: Tensor, weight: Tensor, needs_input_grad: bool
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Differentiate in the opposite order: the convolution first, then the copies."""
        grad, *others = self.convolution.backward(grad, weight, needs_input_grad)
        if grad is None:
            return None, *others
        return as_rows(nn_upsample_backward(as_images(grad), self.scale)), *others


class SummedTaps(NamedTuple):
    """What backward needs where the sums of weights ``V`` met the small image."""

    x: Tensor  # (N, H, W, C), not upsampled
    after: Windows
    matrix: Tensor  # V: (KH KW O, C)
    parts: list[Part]
    boxes: Tensor  # E

    def backward(
        self, grad: Tensor, weight: Tensor, needs_input_grad: bool
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Differentiate: ``dX = dZ V``, ``dV = dZ^T X`` as `_copy_windows`, and ``dw = E^T dV``."""
        grad_input, grad_matrix = _copy_windows(grad, *self[:4], needs_input_grad)
        taps = grad_matrix.reshape(len(self.boxes), -1)  # (KH KW, O C)
        grad_weight = torch.mm(taps.t(), self.boxes).view(weight.shape)
        return grad_input, grad_weight, bias_grad(grad)


# ------------------------------------------------------------------ every pixel times a window


def _add_windows(
    x: Tensor, matrix: Tensor, bias: Tensor | None, after: Windows, parts: list[Part], out: int
) -> Tensor:
    """Multiply every pixel by a window and add them up: ``Y = shift_and_add(X V^T) + b``."""
    target, taps = canvas(after, parts[0], len(x), x, bias, out), first_taps(after, parts[0], bias)
    for part in parts:
        shift_and_add(product(pixels(x, part), matrix, taps), after, target, part)
    return crop(target, after)


def _copy_windows(
    grad: Tensor,
    x: Tensor,
    after: Windows,
    matrix: Tensor,
    parts: list[Part],
    needs_input_grad: bool,
) -> tuple[Tensor | None, Tensor]:
    """Differentiate `_add_windows`: ``dZ = windows(dY)``, ``dX = dZ V`` and ``dV = dZ^T X``."""
    grad_matrix, grad_input = [], []
    for part, dz in zip(parts, windows(grad, after, parts), strict=True):
        grad_matrix.append(correlate(dz, pixels(x, part)))
        if needs_input_grad:
            grad_input.append(product(dz, matrix.t()))
    grad_input = joined(grad_input).view(x.shape) if needs_input_grad else None
    return grad_input, add_up(grad_matrix)


# ------------------------------------------------------------------ transposed convolution


def conv_transpose2d_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Pair,
    padding: Pair,
    output_padding: Pair,
    dilation: Pair,
) -> tuple[Tensor, Transposed]:
    """Transpose the convolution: every pixel times the window around it, see `_add_windows`."""
    grid, kernel, (channels, out) = tuple(x.shape[2:]), tuple(weight.shape[2:]), weight.shape[:2]
    size = transposed_size(grid, kernel, stride, padding, output_padding, dilation)
    after = Windows(size, grid, kernel, stride, padding, dilation)
    x, matrix = as_rows(x), weight.permute(2, 3, 1, 0).reshape(-1, channels)  # (kH kW O, C)
    parts = split_batch(len(x), grid[0], grid[1] * len(matrix))
    y = _add_windows(x, matrix, bias, after, parts, out)
    return as_images(y), Transposed(x, after, matrix, parts)


def conv_transpose2d_backward(
    grad_output: Tensor,
    saved: Transposed,
    weight: Tensor,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    needs_input_grad: bool = True,
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Differentiate: a convolution gives the gradient of the input."""
    return _outside(saved.backward(as_rows(grad_output), weight, needs_input_grad))


class Transposed(NamedTuple):
    """What backward needs of a transposed convolution."""

    x: Tensor  # (N, H, W, C)
    after: Windows
    matrix: Tensor  # W: (kH kW O, C)
    parts: list[Part]

    def backward(
        self, grad: Tensor, weight: Tensor, needs_input_grad: bool
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Differentiate: ``dX = dZ W`` and ``dW = dZ^T X``, as `_copy_windows`."""
        (channels, out), (kh, kw) = weight.shape[:2], self.after.kernel
        grad_input, grad_matrix = _copy_windows(grad, *self, needs_input_grad)
        grad_weight = grad_matrix.reshape(kh, kw, out, channels).permute(3, 2, 0, 1)
        return grad_input, grad_weight, bias_grad(grad)

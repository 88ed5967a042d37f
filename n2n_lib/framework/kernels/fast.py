r"""A training step, fast: the arithmetic of the lesson on speed, and the default.

The same functions as in ``kernels.unfold``, with the same results, several times faster in plain
tensor operations. Six ideas carry convolution and upsampling:

1. *Channels last.* Tensors are ``(N, C, H, W)`` to the outside and ``(N, H, W, C)`` in memory. A
   window is then a few runs of contiguous floats, and a copy of all windows is the left matrix of
   one large product, without `unfold`.
2. *Unfold the narrow side.* Windows can be cut before the product or added up after it. Each axis
   goes the way that moves fewer floats: ``kH kW C`` for each pixel with windows first,
   ``kH kW O`` with the sums last, ``kW C + kH O`` with one axis each way.
3. *Never upsample.* An upsampled image holds each number s^2 times. Its convolution is a sum over
   the small image with a kernel of ``k + s - 1`` taps, see `UpsampledByTaps`.
4. *Stay in the cache.* A batch is worked through in parts whose windows and products take about
   8 MB: few enough numbers for the cache that the cores share, and enough to keep all cores busy.
5. *Multiply less.* Windows of three lines and stride 1 need six products for four lines of output
   instead of twelve, see ``kernels.winograd``; after doubling an image, windows of 3 x 3 need nine
   products a pixel instead of 16, and windows of 2 x 2 four instead of nine, see
   ``kernels.doubling``.
6. *Copy nothing.* With few channels the copies of windows weigh most; but the lines of windows
   that do not overlap are a matrix already, see ``kernels.shifted``.

What these share, the parts of a batch, windows and their adjoint, is in ``kernels.windows``.

Every function works for every stride, padding, dilation, kernel and scale. It chooses one of
several ways, and *saved* is an object of that way's own class, which keeps what it needs and knows
its ``backward``:

==================== ================== ==============================================
function             way                where
==================== ================== ==============================================
``conv2d``           `ByShifts`         where ``shifted.applies``
..                   `SixProducts`      else where ``winograd.applies``
..                   `ByWindows`        everywhere else
``upsample_conv2d``  `FewProducts`      where ``doubling.applies``
..                   `UpsampledByTaps`  stride 1, and a padding of at most (k - 1) d
..                   `UpsampledFirst`   everywhere else
``conv_transpose2d`` `TransposedByTaps` everywhere
==================== ================== ==============================================

Notation as in ``kernels.unfold``; ``x`` is ``(N, H, W, C)`` inside this file, and so are the
gradients that a way's ``backward(grad, weight, needs_input_grad)`` takes and returns.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from n2n_lib.framework.kernels import doubling, shifted, winograd
from n2n_lib.framework.kernels.doubling import FewProducts
from n2n_lib.framework.kernels.product import product
from n2n_lib.framework.kernels.shifted import ByShifts
from n2n_lib.framework.kernels.unfold import (
    HW,
    mse_backward,  # noqa: F401 (of this set too: as fast as can be)
    mse_forward,  # noqa: F401
    output_size,
    transposed_size,
)
from n2n_lib.framework.kernels.windows import (
    Geometry,
    Gradients,
    Part,
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
from n2n_lib.framework.kernels.winograd import SixProducts

# ------------------------------------------------------------------ convolution


class ByWindows(NamedTuple):
    """A convolution by one product with windows: what its backward needs.

    ``Z = windows(X) W^T`` and ``Y = shift_and_add(Z) + b``, each axis as `_plan` chose.
    """

    x: Tensor  # (N, H, W, C)
    rows: list[Tensor] | None  # windows(X), where they are few enough to be kept
    before: Geometry  # what `windows` does to the input
    after: Geometry | None  # what `shift_and_add` does to the products; None: nothing
    matrix: Tensor  # (taps after * O, taps before * C): W
    parts: list[Part]

    def backward(self, grad: Tensor, weight: Tensor, needs_input_grad: bool) -> Gradients:
        """Differentiate: ``dZ = windows(dY)``, ``dW = dZ^T windows(X)``, ``dX = add(dZ W)``.

        What was added up on the way out is cut into windows on the way back, and the other way
        round.
        """
        x, rows, before, after, matrix, parts = self
        grad_matrix = []
        if needs_input_grad:
            target = canvas(before, parts[0], len(x), x, None, x.shape[3])
        turned = Geometry(before.grid, before.grid, (1, 1)) if after is None else after
        rows = rows or windows(x, before, parts)
        for part, dz, cut in zip(parts, windows(grad, turned, parts), rows, strict=True):
            grad_matrix.append(correlate(dz, cut))
            if needs_input_grad:
                shift_and_add(product(dz, matrix.t()), before, target, part)
        grad_weight = _as_weight(add_up(grad_matrix), after, weight.shape)
        grad_input = crop(target, before) if needs_input_grad else None
        return grad_input, grad_weight, bias_grad(grad)


@lru_cache(maxsize=256)
def _plan(
    size: HW, shape: tuple[int, ...], stride: HW, padding: HW, dilation: HW
) -> tuple[Geometry, Geometry | None]:
    r"""Decide which axes are cut before the product and which are added up after it.

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
    Geometry, Geometry or None
        ``before`` and ``after`` of `ByWindows`.
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
        return Geometry(size, grid, (kh, kw), stride, padding, dilation), None
    if turn_w:
        before = Geometry(size, size, (1, 1))
        return before, Geometry(grid, size, (kh, kw), (1, 1), shift, dilation)
    between = (size[0], grid[1])
    before = Geometry(size, between, (1, kw), (1, stride[1]), (0, padding[1]), (1, dilation[1]))
    return before, Geometry(grid, between, (kh, 1), (1, 1), (shift[0], 0), (dilation[0], 1))


def _as_matrix(weight: Tensor, after: Geometry | None) -> Tensor:
    """Lay the weight out for the plan: ``(taps after * O, taps before * C)``."""
    out, channels, kh, kw = weight.shape
    if after is None:
        return weight.permute(0, 2, 3, 1).reshape(out, -1)
    if after.kernel == (kh, 1):  # also where kw = 1: then both plans have one matrix
        return weight.flip(2).permute(2, 0, 3, 1).reshape(kh * out, -1)
    return weight.flip(2, 3).permute(2, 3, 0, 1).reshape(-1, channels)


def _as_weight(matrix: Tensor, after: Geometry | None, shape: tuple[int, ...]) -> Tensor:
    """Undo `_as_matrix`: return ``(O, C, kH, kW)``, which is `shape`."""
    out, channels, kh, kw = shape
    if after is None:
        return matrix.reshape(out, kh, kw, channels).permute(0, 3, 1, 2)
    if after.kernel == (kh, 1):
        return matrix.reshape(kh, out, kw, channels).permute(1, 3, 0, 2).flip(2)
    return matrix.reshape(kh, kw, out, channels).permute(2, 3, 0, 1).flip(2, 3)


def _by_windows(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: HW, padding: HW, dilation: HW
) -> tuple[Tensor, ByWindows]:
    size, out = tuple(x.shape[1:3]), len(weight)
    before, after = _plan(size, tuple(weight.shape), stride, padding, dilation)
    matrix, grid = _as_matrix(weight, after), before.grid
    parts = split_batch(len(x), grid[0], grid[1] * sum(matrix.shape))
    rows = windows(x, before, parts)
    if len(parts) == 1:
        rows = list(rows)  # few enough to be kept for backward
    saved = ByWindows(x, rows if len(parts) == 1 else None, before, after, matrix, parts)
    if after is None:
        y = joined([product(cut, matrix, bias) for cut in rows])
        return y.view(len(x), *grid, out), saved
    target, taps = canvas(after, parts[0], len(x), x, bias, out), first_taps(after, parts[0], bias)
    for part, cut in zip(parts, rows, strict=True):
        shift_and_add(product(cut, matrix, taps), after, target, part)
    return crop(target, after), saved


def conv2d_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: HW, padding: HW, dilation: HW
) -> tuple[Tensor, SixProducts | ByShifts | ByWindows]:
    """Convolve: without windows or in six products for twelve where they apply, else with them."""
    if shifted.applies(weight.shape, stride, padding, dilation):
        y, saved = shifted.forward(as_rows(x), weight, bias)
    elif winograd.applies(weight.shape, stride, padding, dilation):
        y, saved = winograd.forward(as_rows(x), weight, bias, padding)
    else:
        y, saved = _by_windows(as_rows(x), weight, bias, stride, padding, dilation)
    return as_images(y), saved


def conv2d_backward(
    grad_output: Tensor,
    saved: SixProducts | ByShifts | ByWindows,
    weight: Tensor,
    stride: HW,
    padding: HW,
    dilation: HW,
    needs_input_grad: bool = True,
) -> Gradients:
    """Differentiate the convolution the way that it was computed."""
    return _go_back(grad_output, saved, weight, needs_input_grad)


def _go_back(grad_output: Tensor, saved, weight: Tensor, needs_input_grad: bool) -> Gradients:
    """Call the backward of the way that `saved` is of; images outside, rows of pixels inside."""
    grad_input, *others = saved.backward(as_rows(grad_output), weight, needs_input_grad)
    return None if grad_input is None else as_images(grad_input), *others


# ------------------------------------------------------------------ upsampling


def nn_upsample_forward(x: Tensor, scale: HW) -> Tensor:
    """Copy every pixel into a block: ``y[i, j] = x[i // sH, j // sW]`` (equation 1)."""
    x = as_rows(x)
    n, h, w, c = x.shape
    y = x.new_empty(n, h, scale[0], w, scale[1], c)
    y.copy_(x[:, :, None, :, None])
    return as_images(y.view(n, h * scale[0], w * scale[1], c))


def nn_upsample_backward(grad_output: Tensor, scale: HW) -> Tensor:
    """Sum every block of gradients (equation 2)."""
    grad = as_rows(grad_output).unflatten(1, (-1, scale[0])).unflatten(3, (-1, scale[1]))
    return as_images(grad.sum((2, 4)))  # (N, H, sH, W, sW, C) -> (N, H, W, C)


# ------------------------------------------------------------------ pixels times taps


class Taps(NamedTuple):
    """Every pixel times all taps of a window, then shift and add: what the backward needs.

    ``Z = X V^T`` and ``Y = shift_and_add(Z) + b``.
    """

    x: Tensor  # (N, H, W, C)
    after: Geometry  # what `shift_and_add` does to the products
    matrix: Tensor  # (KH KW O, C): V
    parts: list[Part]

    def backward(self, grad: Tensor, needs_input_grad: bool) -> Gradients:
        """Differentiate: ``dZ = windows(dY)``, ``dX = dZ V``, ``dV = dZ^T X`` and ``db``."""
        x, after, matrix, parts = self
        grad_matrix, grad_input = [], []
        for part, dz in zip(parts, windows(grad, after, parts), strict=True):
            grad_matrix.append(correlate(dz, pixels(x, part)))
            if needs_input_grad:
                grad_input.append(product(dz, matrix.t()))
        grad_input = joined(grad_input).view(x.shape) if needs_input_grad else None
        return grad_input, add_up(grad_matrix), bias_grad(grad)


def _by_taps(
    x: Tensor, matrix: Tensor, bias: Tensor | None, after: Geometry, out: int
) -> tuple[Tensor, Taps]:
    parts = split_batch(len(x), after.grid[0], after.grid[1] * len(matrix))
    target, taps = canvas(after, parts[0], len(x), x, bias, out), first_taps(after, parts[0], bias)
    for part in parts:
        shift_and_add(product(pixels(x, part), matrix, taps), after, target, part)
    return crop(target, after), Taps(x, after, matrix, parts)


# ------------------------------------------------------------------ upsampling, then convolution


class UpsampledByTaps(NamedTuple):
    r"""The convolution of an upsampled image, which is never made: what its backward needs.

    The convolution reads pixel :math:`m = j + u d - p` of the upsampled image, which is the small
    pixel :math:`i = \lfloor m / s \rfloor`: so :math:`m = s i + r` with :math:`0 \le r < s`. Turned
    around, :math:`x_i w_u` is added to

    .. math:: j = s i + \kappa - ((k - 1) d - p), \qquad \kappa = r + (k - 1 - u) d,

    where :math:`\kappa` runs over :math:`K = (k - 1) d + s` values. The weights of equal
    :math:`\kappa` are summed first: :math:`v = E w` with `_sums_of_weights`. For k = 3 and s = 2
    that is 16 products for each small pixel instead of 9 for each of its 4 copies.
    """

    taps: Taps
    sums: Tensor  # (KH KW, kH kW): E

    def backward(self, grad: Tensor, weight: Tensor, needs_input_grad: bool) -> Gradients:
        """Differentiate the product with the taps, then ``dw = E^T dV``."""
        grad_input, grad_matrix, grad_bias = self.taps.backward(grad, needs_input_grad)
        grad_taps = grad_matrix.reshape(len(self.sums), -1)  # (KH KW, O C)
        return grad_input, torch.mm(grad_taps.t(), self.sums).view(weight.shape), grad_bias


class UpsampledFirst(NamedTuple):
    """Upsampling, then a convolution, where there is no shorter way: what the backward needs."""

    convolution: SixProducts | ByShifts | ByWindows
    scale: HW

    def backward(self, grad: Tensor, weight: Tensor, needs_input_grad: bool) -> Gradients:
        """Differentiate in the opposite order."""
        grad, *others = self.convolution.backward(grad, weight, needs_input_grad)
        if needs_input_grad:
            grad = as_rows(nn_upsample_backward(as_images(grad), self.scale))
        return grad, *others


@lru_cache(maxsize=64)
def _sums_of_weights(
    kernel: HW, scale: HW, dilation: HW, dtype: torch.dtype, device: torch.device
) -> Tensor:
    r"""Return the map from a kernel of k x k weights to its K x K taps, as a matrix of 0 and 1.

    Along one axis :math:`E_{\kappa u} = 1` where :math:`0 \le \kappa - (k - 1 - u) d < s`; the
    matrix is the Kronecker product of both axes, ``(KH KW, kH kW)``.
    """
    axes = []
    for k, s, d in zip(kernel, scale, dilation, strict=True):
        place = torch.arange((k - 1) * d + s)[:, None] - torch.arange(k - 1, -1, -1) * d
        axes.append(((place >= 0) & (place < s)).to(device, dtype))
    return torch.kron(*axes)


@lru_cache(maxsize=256)
def _upsampled(size: HW, kernel: HW, padding: HW, dilation: HW, scale: HW) -> Geometry:
    """Return what `shift_and_add` does to the products of `UpsampledByTaps`."""
    reach = tuple((k - 1) * d + s for k, d, s in zip(kernel, dilation, scale, strict=True))
    shift = tuple((k - 1) * d - p for k, d, p in zip(kernel, dilation, padding, strict=True))
    big = tuple(m * s for m, s in zip(size, scale, strict=True))
    return Geometry(output_size(big, kernel, (1, 1), padding, dilation), size, reach, scale, shift)


def upsample_conv2d_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: HW,
    padding: HW,
    dilation: HW,
    scale: HW,
) -> tuple[Tensor, FewProducts | UpsampledByTaps | UpsampledFirst]:
    """Convolve the upsampled image without making it, where that can be done."""
    if doubling.applies(weight.shape, stride, padding, dilation, scale):
        y, saved = doubling.forward(as_rows(x), weight, bias)
        return as_images(y), saved
    out, channels, *kernel = weight.shape
    after = _upsampled(tuple(x.shape[2:]), tuple(kernel), padding, dilation, scale)
    if stride != (1, 1) or min(after.padding) < 0:
        big = nn_upsample_forward(x, scale)
        y, convolution = conv2d_forward(big, weight, bias, stride, padding, dilation)
        return y, UpsampledFirst(convolution, scale)
    sums = _sums_of_weights(tuple(kernel), scale, dilation, weight.dtype, weight.device)
    matrix = (sums @ weight.reshape(out * channels, -1).t()).view(-1, channels)  # (KH KW O, C)
    y, taps = _by_taps(as_rows(x), matrix, bias, after, out)
    return as_images(y), UpsampledByTaps(taps, sums)


def upsample_conv2d_backward(
    grad_output: Tensor,
    saved: FewProducts | UpsampledByTaps | UpsampledFirst,
    weight: Tensor,
    stride: HW,
    padding: HW,
    dilation: HW,
    scale: HW,
    needs_input_grad: bool = True,
) -> Gradients:
    """Differentiate upsampling and convolution the way that they were computed."""
    return _go_back(grad_output, saved, weight, needs_input_grad)


# ------------------------------------------------------------------ transposed convolution


class TransposedByTaps(NamedTuple):
    """A transposed convolution, every pixel times the window around it: what its backward needs."""

    taps: Taps

    def backward(self, grad: Tensor, weight: Tensor, needs_input_grad: bool) -> Gradients:
        """Differentiate the product with the taps; its matrix is the weight in another order."""
        channels, out, kh, kw = weight.shape
        grad_input, grad_matrix, grad_bias = self.taps.backward(grad, needs_input_grad)
        grad_weight = grad_matrix.reshape(kh, kw, out, channels).permute(3, 2, 0, 1)
        return grad_input, grad_weight, grad_bias


def conv_transpose2d_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: HW,
    padding: HW,
    output_padding: HW,
    dilation: HW,
) -> tuple[Tensor, TransposedByTaps]:
    """Transpose the convolution: ``Y = shift_and_add(X W) + b``."""
    grid, (channels, out, *kernel) = tuple(x.shape[2:]), weight.shape
    size = transposed_size(grid, kernel, stride, padding, output_padding, dilation)
    after = Geometry(size, grid, tuple(kernel), stride, padding, dilation)
    matrix = weight.permute(2, 3, 1, 0).reshape(-1, channels)  # (kH kW O, C)
    y, taps = _by_taps(as_rows(x), matrix, bias, after, out)
    return as_images(y), TransposedByTaps(taps)


def conv_transpose2d_backward(
    grad_output: Tensor,
    saved: TransposedByTaps,
    weight: Tensor,
    stride: HW,
    padding: HW,
    dilation: HW,
    needs_input_grad: bool = True,
) -> Gradients:
    """Differentiate the transposed convolution."""
    return _go_back(grad_output, saved, weight, needs_input_grad)


# ------------------------------------------------------------------ number by number

PIECE = 1 << 18
"""Numbers that `relu_backward` works on at once: 1 MB, which stays in the cache."""


def relu_forward(x: Tensor, inplace: bool = False) -> Tensor:
    """Keep what is positive."""
    return x.clamp_(min=0) if inplace else x.clamp(min=0)


def relu_backward(grad_output: Tensor, output: Tensor, inplace: bool = False) -> Tensor:
    """Multiply with the slope: 1 where the output ``y`` is positive, else 0: ``sign(y)``."""
    grad = grad_output if inplace else grad_output.clone()
    if grad.numel() <= PIECE:
        return grad.mul_(output.sign())
    # In pieces: a large fresh tensor of slopes would cost more time than the product.
    step = max(1, PIECE * len(grad) // grad.numel())
    for part, y in zip(grad.split(step), output.split(step), strict=True):
        part.mul_(y.sign())
    return grad


def sigmoid_forward(x: Tensor) -> Tensor:
    """Compute ``e^min(x, 0) / (1 + e^-|x|)`` with few fresh tensors."""
    small = x.abs().neg_().exp_()  # e^-|x|, never more than 1
    return x.clamp(max=0).exp_() / (1 + small)


def sigmoid_backward(grad_output: Tensor, output: Tensor) -> Tensor:
    """Make the slope ``y - y^2`` in one pass, and multiply it with the gradient."""
    return torch.addcmul(output, output, output, value=-1).mul_(grad_output)


def sgd_step(params: list[tuple[Tensor, Tensor]], lr: float) -> None:
    """Step against the gradient, all parameters in one call."""
    parameters, grads = zip(*params, strict=True)
    torch._foreach_add_(parameters, grads, alpha=-lr)

r"""Doubling an image, then convolving with windows of 3 x 3, in nine products a pixel.

Along one axis the two outputs that belong to pixel :math:`i` of the small image are

.. math::

    y_{2i} &= w_0 x_{i-1} + (w_1 + w_2)\, x_i = \sigma x_i + w_0 (x_{i-1} - x_i) \\
    y_{2i+1} &= (w_0 + w_1)\, x_i + w_2 x_{i+1} = \sigma x_i + w_2 (x_{i+1} - x_i)

with :math:`\sigma = w_0 + w_1 + w_2` and zeros outside the image. The left forms need four products
for each pixel, the right ones three: :math:`\sigma x_i`, :math:`w_0 x_i` and :math:`w_2 x_i`. With
both axes there are nine, where the four phases of the lesson on speed have 16, and PyTorch 36. This
is summation by parts: sums of weights meet the image, weights meet its differences. Exact algebra;
in float32 the rounding errors are about twice those of the plain sum.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from n2n_lib.framework.kernels.product import product
from n2n_lib.framework.kernels.unfold import HW
from n2n_lib.framework.kernels.windows import (
    Part,
    add_up,
    bias_grad,
    correlate,
    joined,
    split_batch,
    take_images,
)

CHANNELS = 16
"""Channels, in and out, from which nine products beat the sums that they need around them."""

_KINDS = ((1.0, 1.0, 1.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))  # sigma, w0, w2


def applies(shape: tuple[int, ...], stride: HW, padding: HW, dilation: HW, scale: HW) -> bool:
    """Whether upsampling and a convolution with such a weight can, and should, be computed here."""
    out, channels, *kernel = shape
    plain = stride == dilation == padding == (1, 1) and scale == (2, 2) and kernel == [3, 3]
    return plain and min(out, channels) >= CHANNELS


@lru_cache(maxsize=16)
def _kinds(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the map from nine weights to the nine sums that are multiplied, for both axes."""
    kinds = torch.tensor(_KINDS, dtype=dtype, device=device)
    return torch.einsum("au,bv->bauv", kinds, kinds).reshape(9, 9)


def _parts(x: Tensor, out: int) -> list[Part]:
    """Cut the batch so that nine products a pixel, and the same again in sums, fit the cache."""
    return split_batch(len(x), 1, x.shape[1] * x.shape[2] * 20 * out)


def _spread(kinds: tuple[Tensor, ...], even: Tensor, odd: Tensor, axis: int) -> None:
    """Set the outputs of one axis from its three products, as in the equations above."""
    whole, before, behind = kinds
    last = whole.shape[axis] - 1
    torch.sub(whole, before, out=even)
    even.narrow(axis, 1, last).add_(before.narrow(axis, 0, last))
    torch.sub(whole, behind, out=odd)
    odd.narrow(axis, 0, last).add_(behind.narrow(axis, 1, last))


def _gather(even: Tensor, odd: Tensor, kinds: tuple[Tensor, ...], axis: int) -> None:
    """Set the gradients of the three products from those of the outputs: `_spread` transposed."""
    whole, before, behind = kinds
    last = whole.shape[axis] - 1
    torch.add(even, odd, out=whole)
    torch.sub(
        even.narrow(axis, 1, last), even.narrow(axis, 0, last), out=before.narrow(axis, 0, last)
    )
    torch.neg(even.narrow(axis, last, 1), out=before.narrow(axis, last, 1))
    torch.sub(
        odd.narrow(axis, 0, last), odd.narrow(axis, 1, last), out=behind.narrow(axis, 1, last)
    )
    torch.neg(odd.narrow(axis, 0, 1), out=behind.narrow(axis, 0, 1))


def _stages(like: Tensor, y: Tensor, products: Tensor) -> list[tuple]:
    """Return what `_spread` and `_gather` work on, as ``(kinds, even, odd, axis)``: width, height.

    ``products`` is ``(n, H, W, 3, 3, O)``, with the kinds of the width first, ``y`` is
    ``(n, 2 H, 2 W, O)``. Between the two lie the three products of the height for each column,
    ``(n, H, 2 W, 3, O)``, in memory of their own.
    """
    n, h, w, _, _, out = products.shape
    columns = like.new_empty(n, h, w, 2, 3, out)
    width = products.unbind(3), *columns.unbind(3), 2
    height = columns.view(n, h, 2 * w, 3, out).unbind(3), *y.unflatten(1, (h, 2)).unbind(2), 1
    return [width, height]


class NineProducts(NamedTuple):
    """Doubling and convolving in nine products a pixel: what its backward needs."""

    x: Tensor  # (N, H, W, C)
    matrix: Tensor  # (9 O, C): V, the nine sums of weights

    def backward(
        self, grad: Tensor, weight: Tensor, needs_input_grad: bool
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Differentiate: `_gather` makes ``dP`` of ``dY``, then ``dX = dP V`` and ``dV = dP^T X``.

        Takes ``dY`` as ``(N, 2 H, 2 W, O)`` and returns the gradients of the input
        ``(N, H, W, C)``, the weight ``(O, C, 3, 3)`` and the bias ``(O,)``.
        """
        x, matrix = self
        (_, h, w, channels), out = x.shape, len(weight)
        grad_matrix, grad_input = [], []
        for images, _ in _parts(x, out):
            pixels = take_images(x, images).reshape(-1, channels)
            dp = x.new_empty(len(pixels) // (h * w), h, w, 3, 3, out)
            for kinds, even, odd, axis in reversed(_stages(x, take_images(grad, images), dp)):
                _gather(even, odd, kinds, axis)
            dp = dp.view(-1, 9 * out)
            grad_matrix.append(correlate(dp, pixels))
            if needs_input_grad:
                grad_input.append(product(dp, matrix.t()))
        grad_kinds = add_up(grad_matrix).reshape(9, -1).t()  # (O C, 9)
        grad_weight = (grad_kinds @ _kinds(weight.dtype, weight.device)).view(weight.shape)
        grad_input = joined(grad_input).view(x.shape) if needs_input_grad else None
        return grad_input, grad_weight, bias_grad(grad)


def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, NineProducts]:
    """Double and convolve ``(N, H, W, C)``: ``P = X V^T + b``, then `_spread` along both axes.

    The bias comes with the product of both sums, which every output holds once.
    """
    (n, h, w, channels), out = x.shape, len(weight)
    matrix = _kinds(weight.dtype, weight.device) @ weight.reshape(out * channels, 9).t()
    matrix = matrix.view(9 * out, channels)
    if bias is not None:
        bias = torch.cat([bias, bias.new_zeros(8 * out)])
    y = x.new_empty(n, 2 * h, 2 * w, out)
    for images, _ in _parts(x, out):
        pixels = take_images(x, images).reshape(-1, channels)
        p = product(pixels, matrix, bias).view(-1, h, w, 3, 3, out)
        for kinds, even, odd, axis in _stages(x, take_images(y, images), p):
            _spread(kinds, even, odd, axis)
    return y, NineProducts(x, matrix)

r"""Doubling an image, then convolving, in as many products a pixel as the window has weights.

Along one axis a window of three weights has two outputs that belong to pixel :math:`i` of the small
image:

.. math::

    y_{2i} &= w_0 x_{i-1} + (w_1 + w_2)\, x_i = \sigma x_i + w_0 (x_{i-1} - x_i) \\
    y_{2i+1} &= (w_0 + w_1)\, x_i + w_2 x_{i+1} = \sigma x_i + w_2 (x_{i+1} - x_i)

with :math:`\sigma = w_0 + w_1 + w_2` and zeros outside the image. The left forms need four products
for each pixel, the right ones three: :math:`\sigma x_i`, :math:`w_0 x_i` and :math:`w_2 x_i`. With
both axes there are nine, where the four phases of the lesson on speed have 16, and PyTorch 36. This
is summation by parts: sums of weights meet the image, weights meet its differences.

A window of two weights (the report's) is simpler still. Its outputs are

.. math:: y_{2i} = w_0 x_{i-1} + w_1 x_i, \qquad y_{2i+1} = w_0 x_i + w_1 x_i,

two products for each pixel where sums of weights would take three, so with both axes four in place
of nine. All of it is exact algebra; in float32 the rounding errors of the output are those of the
plain sum, those of the input's gradient up to three times as large.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from n2n_lib.framework.kernels.product import product
from n2n_lib.framework.kernels.unfold import HW
from n2n_lib.framework.kernels.windows import (
    Gradients,
    Part,
    add_up,
    bias_grad,
    correlate,
    joined,
    split_batch,
    take_images,
)

CHANNELS = 16
"""Channels, in and out, from which this way is taken."""


class _ThreeWeights:
    """One axis of a window of three weights, padding 1: ``2 H`` outputs."""

    kinds = (1.0, 1.0, 1.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)  # sigma, w0, w2
    more = 0

    @staticmethod
    def spread(kinds: tuple[Tensor, ...], even: Tensor, odd: Tensor, axis: int) -> None:
        """Set the outputs of one axis from its products, as in the equations above."""
        whole, before, behind = kinds
        last = whole.shape[axis] - 1
        torch.sub(whole, before, out=even)
        even.narrow(axis, 1, last).add_(before.narrow(axis, 0, last))
        torch.sub(whole, behind, out=odd)
        odd.narrow(axis, 0, last).add_(behind.narrow(axis, 1, last))

    @staticmethod
    def gather(even: Tensor, odd: Tensor, kinds: tuple[Tensor, ...], axis: int) -> None:
        """Set the gradients of the products from those of the outputs: `spread` transposed."""
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


class _TwoWeights:
    """One axis of a window of two weights, padding 1: ``2 H + 1`` outputs."""

    kinds = (0.0, 1.0), (1.0, 0.0)  # w1, which all outputs but the last have, and w0
    more = 1

    @staticmethod
    def spread(kinds: tuple[Tensor, ...], even: Tensor, odd: Tensor, axis: int) -> None:
        """Set the outputs of one axis from its products."""
        here, before = kinds
        size = here.shape[axis]
        torch.add(
            here.narrow(axis, 1, size - 1),
            before.narrow(axis, 0, size - 1),
            out=even.narrow(axis, 1, size - 1),
        )
        even.narrow(axis, 0, 1).copy_(here.narrow(axis, 0, 1))
        even.narrow(axis, size, 1).copy_(before.narrow(axis, size - 1, 1))
        torch.add(here, before, out=odd)

    @staticmethod
    def gather(even: Tensor, odd: Tensor, kinds: tuple[Tensor, ...], axis: int) -> None:
        """Set the gradients of the products from those of the outputs: `spread` transposed."""
        here, before = kinds
        size = here.shape[axis]
        torch.add(even.narrow(axis, 0, size), odd, out=here)
        torch.add(even.narrow(axis, 1, size), odd, out=before)


_RULES = {(3, 3): _ThreeWeights, (2, 2): _TwoWeights}


def applies(shape: tuple[int, ...], stride: HW, padding: HW, dilation: HW, scale: HW) -> bool:
    """Whether upsampling and a convolution with such a weight can, and should, be computed here."""
    out, channels, *kernel = shape
    plain = stride == dilation == padding == (1, 1) and scale == (2, 2)
    return plain and tuple(kernel) in _RULES and min(out, channels) >= CHANNELS


@lru_cache(maxsize=16)
def _kinds(kernel: HW, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the map from k k weights to as many sums that are multiplied, for both axes."""
    kinds = torch.tensor(_RULES[kernel].kinds, dtype=dtype, device=device)
    size = kernel[0] ** 2
    return torch.einsum("au,bv->bauv", kinds, kinds).reshape(size, size)


def _parts(x: Tensor, out: int, count: int) -> list[Part]:
    """Cut the batch so that `count` products a pixel, and the sums made of them, fit the cache."""
    return split_batch(len(x), 1, x.shape[1] * x.shape[2] * 2 * (count + 1) * out)


def _stages(y: Tensor, products: Tensor) -> list[tuple]:
    """Return what ``spread`` and ``gather`` work on, ``(kinds, even, odd, axis)``: width, height.

    ``products`` is ``(n, H, W, k, k, O)``, with the kinds of the width first, ``y`` is
    ``(n, H', W', O)``. Between the two lie the products of the height for each column,
    ``(n, H, W', k, O)``, in memory of their own.
    """
    n, h, _, _, k, out = products.shape
    columns = products.new_empty(n, h, y.shape[2], k, out)
    width = products.unbind(3), columns[:, :, ::2], columns[:, :, 1::2], 2
    height = columns.unbind(3), y[:, ::2], y[:, 1::2], 1
    return [width, height]


class FewProducts(NamedTuple):
    """Doubling and convolving in k k products a pixel: what its backward needs."""

    x: Tensor  # (N, H, W, C)
    matrix: Tensor  # (k k O, C): V, weights or sums of them

    def backward(self, grad: Tensor, weight: Tensor, needs_input_grad: bool) -> Gradients:
        """Differentiate: ``gather`` makes ``dP`` of ``dY``, then ``dX = dP V``, ``dV = dP^T X``.

        Takes ``dY`` as ``(N, H', W', O)``.
        """
        x, matrix = self
        (_, h, w, channels), (out, _, *kernel) = x.shape, weight.shape
        k, count, rule = kernel[0], kernel[0] ** 2, _RULES[tuple(kernel)]
        grad_matrix, grad_input = [], []
        for images, _ in _parts(x, out, count):
            pixels = take_images(x, images).reshape(-1, channels)
            dp = x.new_empty(len(pixels) // (h * w), h, w, k, k, out)
            for kinds, even, odd, axis in reversed(_stages(take_images(grad, images), dp)):
                rule.gather(even, odd, kinds, axis)
            dp = dp.view(-1, count * out)
            grad_matrix.append(correlate(dp, pixels))
            if needs_input_grad:
                grad_input.append(product(dp, matrix.t()))
        grad_kinds = add_up(grad_matrix).reshape(count, -1).t()  # (O C, k k)
        kinds = _kinds(tuple(kernel), weight.dtype, weight.device)
        grad_weight = (grad_kinds @ kinds).view(weight.shape)
        grad_input = joined(grad_input).view(x.shape) if needs_input_grad else None
        return grad_input, grad_weight, bias_grad(grad)


def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, FewProducts]:
    """Double and convolve ``(N, H, W, C)``: ``P = X V^T + b``, then ``spread`` along both axes.

    The bias comes with the first product, which every output holds once; of windows of two weights,
    not those at the lower and the right edge.
    """
    (n, h, w, channels), (out, _, *kernel) = x.shape, weight.shape
    k, count, rule = kernel[0], kernel[0] ** 2, _RULES[tuple(kernel)]
    kinds = _kinds(tuple(kernel), weight.dtype, weight.device)
    matrix = (kinds @ weight.reshape(out * channels, count).t()).view(count * out, channels)
    biases = None if bias is None else torch.cat([bias, bias.new_zeros((count - 1) * out)])
    y = x.new_empty(n, 2 * h + rule.more, 2 * w + rule.more, out)
    for images, _ in _parts(x, out, count):
        pixels = take_images(x, images).reshape(-1, channels)
        p = product(pixels, matrix, biases).view(-1, h, w, k, k, out)
        for kinds, even, odd, axis in _stages(take_images(y, images), p):
            rule.spread(kinds, even, odd, axis)
    if bias is not None and rule.more:
        y[:, -1] += bias
        y[:, :-1, -1] += bias
    return y, FewProducts(x, matrix)

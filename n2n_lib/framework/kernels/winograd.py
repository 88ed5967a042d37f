r"""Convolution with windows of three lines, in two thirds of the multiplications.

Two lines of output need :math:`2 \cdot 3` products of lines with lines of the kernel, but four are
enough (Winograd, 1980; Lavin and Gray, 2016, section 4: :math:`F(2, 3)`):

.. math::

    y = A^T \bigl[(G w) \cdot (B^T x)\bigr], \quad
    B^T = \begin{pmatrix} 1 & 0 & -1 & 0 \\ 0 & 1 & 1 & 0 \\ 0 & -1 & 1 & 0 \\ 0 & -1 & 0 & 1
    \end{pmatrix}, \quad
    G = \begin{pmatrix} 1 & 0 & 0 \\ \frac12 & \frac12 & \frac12 \\ \frac12 & -\frac12 & \frac12 \\
    0 & 0 & 1 \end{pmatrix}, \quad
    A^T = \begin{pmatrix} 1 & 1 & 1 & 0 \\ 0 & 1 & -1 & 1 \end{pmatrix}

for four lines :math:`x` of the image, two apart from the next four. It is used along the height;
along the width windows are cut as ever, so that each of the four products is a matrix product.
Exact algebra; in float32 the rounding errors are about three times those of the plain sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from n2n_lib.framework.kernels.product import product
from n2n_lib.framework.kernels.unfold import HW, output_size
from n2n_lib.framework.kernels.windows import Geometry, Part, add_up, lines, split_batch, transposed

CHANNELS = 16
"""Channels, in and out, from which four products beat the sums that they need around them."""

_G = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.0, 0.0, 1.0))
_B = ((torch.sub, 0, 2), (torch.add, 1, 2), (torch.sub, 2, 1), (torch.sub, 3, 1))


def applies(shape: tuple[int, ...], stride: HW, padding: HW, dilation: HW) -> bool:
    """Whether a convolution with a weight of this shape can, and should, be computed here."""
    out, channels, kh, kw = shape
    plain = kh == 3 and stride == dilation == (1, 1) and padding[0] < kh and padding[1] < kw
    return plain and min(out, channels) >= CHANNELS


def _sums_of_weights(weight: Tensor) -> Tensor:
    """Return ``G w`` as four matrices ``(4, O, kW C)``."""
    lines_of_weight = weight.permute(2, 0, 3, 1).reshape(3, -1)
    return (weight.new_tensor(_G) @ lines_of_weight).view(4, len(weight), -1)


def _sums_of_lines(x: Tensor, at: Geometry, parts: list[Part]) -> Iterator[Iterator[Tensor]]:
    """Yield ``B^T x`` for every part: four matrices of windows ``(n h w, kW C)``, in one buffer."""
    (_, w), kw, channels, buffer = at.grid, at.kernel[1], x.shape[3], None
    for (_, band), part in zip(parts, lines(x, at, parts), strict=True):
        image, line, column, one = part.stride()
        shape = (len(part), band.stop - band.start, w, kw, channels)
        strides = (image, 2 * line, column, column, one)
        start = part.storage_offset()
        four = [part.as_strided(shape, strides, start + k * line) for k in range(4)]
        if buffer is None or buffer.shape != shape:
            buffer = x.new_empty(shape)
        yield (
            combine(four[a], four[b], out=buffer).view(-1, kw * channels) for combine, a, b in _B
        )


def _plan(x: Tensor, weight: Tensor, padding: HW) -> tuple[Geometry, list[Part]]:
    """Return where the four lines lie, and the parts: windows and four products in the cache."""
    (n, height, width, _), (out, channels, *kernel) = x.shape, weight.shape
    rows, columns = output_size((height, width), tuple(kernel), (1, 1), padding, (1, 1))
    at = Geometry((height, width), (-(-rows // 2), columns), (4, kernel[1]), (2, 1), padding)
    return at, split_batch(n, at.grid[0], columns * (kernel[1] * channels + 3 * out))


class FourProducts(NamedTuple):
    """A convolution in four products for two lines: what its backward needs."""

    x: Tensor  # (N, H, W, C)
    at: Geometry  # the windows of four lines
    parts: list[Part]

    def backward(
        self, grad: Tensor, weight: Tensor, needs_input_grad: bool
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Differentiate: ``dw = G^T [(A dY)^T (B^T x)]``; ``dX``: ``dY`` with ``w`` turned around.

        Takes ``dY`` as ``(N, H', W', O)`` and returns the gradients of the input ``(N, H, W, C)``,
        the weight ``(O, C, 3, kW)`` and the bias ``(O,)``.
        """
        x, at, parts = self
        out, channels, *kernel = weight.shape
        pairs = Geometry(tuple(grad.shape[1:3]), at.grid, (2, 1), (2, 1))
        grad_matrices, grad_bias = [], []
        for four, g in zip(_sums_of_lines(x, at, parts), lines(grad, pairs, parts), strict=True):
            upper, lower = (transposed(g[:, i::2].reshape(-1, out)) for i in (0, 1))  # (O, n h w)
            both = upper + lower
            grad_bias.append(both.sum(1))
            scaled = (upper, both, upper - lower, lower)
            grad_matrices.append(
                torch.stack([product(d, v.t()) for d, v in zip(scaled, four, strict=True)])
            )
        grad_weight = weight.new_tensor(_G).t() @ add_up(grad_matrices).view(4, -1)
        grad_weight = grad_weight.view(3, out, kernel[1], channels).permute(1, 3, 0, 2)
        grad_input = None
        if needs_input_grad:
            opposite = tuple(k - 1 - p for k, p in zip(kernel, at.padding, strict=True))
            grad_input, _ = forward(grad, weight.flip(2, 3).transpose(0, 1), None, opposite)
        return grad_input, grad_weight, add_up(grad_bias)


def forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, padding: HW
) -> tuple[Tensor, FourProducts]:
    """Convolve ``(N, H, W, C)``: ``Y = A^T [(G w) (B^T x)] + b``; the bias comes with product 1."""
    at, parts = _plan(x, weight, padding)
    matrices, (h, w), out = _sums_of_weights(weight), at.grid, len(weight)
    y = x.new_empty(len(x), h, 2, w, out)
    for (images, band), four in zip(parts, _sums_of_lines(x, at, parts), strict=True):
        biases = (None, bias, None, None)
        m = [product(v, u, b) for v, u, b in zip(four, matrices, biases, strict=True)]
        target = y[images, band]
        m = [rows.view(len(target), -1, w, out) for rows in m]
        torch.add(m[1], m[2], out=target[:, :, 0]).add_(m[0])
        torch.sub(m[1], m[2], out=target[:, :, 1]).add_(m[3])
    y = y.view(len(x), 2 * h, w, out)[:, : x.shape[1] + 2 * padding[0] - 2]
    return y, FourProducts(x, at, parts)

r"""Convolution with windows of three lines, in half the multiplications.

Four lines of output need :math:`4 \cdot 3` products of lines with lines of the kernel, but six are
enough (Winograd, 1980; Lavin and Gray, 2016, section 4: :math:`F(4, 3)`):

.. math::

    y = A^T \bigl[(G w) \cdot (B^T x)\bigr], \quad
    G = \begin{pmatrix} \frac14 & 0 & 0 \\ -\frac16 & -\frac16 & -\frac16 \\
    -\frac16 & \frac16 & -\frac16 \\ \frac1{24} & \frac1{12} & \frac16 \\
    \frac1{24} & -\frac1{12} & \frac16 \\ 0 & 0 & 1 \end{pmatrix}, \quad
    A^T = \begin{pmatrix} 1 & 1 & 1 & 1 & 1 & 0 \\ 0 & 1 & -1 & 2 & -2 & 0 \\
    0 & 1 & 1 & 4 & 4 & 0 \\ 0 & 1 & -1 & 8 & -8 & 1 \end{pmatrix}

for six lines :math:`x` of the image, four apart from the next six, of which

.. math::

    B^T = \begin{pmatrix} 4 & 0 & -5 & 0 & 1 & 0 \\ 0 & -4 & -4 & 1 & 1 & 0 \\
    0 & 4 & -4 & -1 & 1 & 0 \\ 0 & -2 & -1 & 2 & 1 & 0 \\ 0 & 2 & -1 & -2 & 1 & 0 \\
    0 & 4 & 0 & -5 & 0 & 1 \end{pmatrix}

makes six sums. The lesson on speed derives the smaller sibling :math:`F(2, 3)`, four products for
six. It is used along the height; along the width windows are cut as ever, so that each of the six
products is a matrix product. Exact algebra; in float32 the rounding errors are three to four
times those of the plain sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from n2n_lib.framework.kernels.product import product
from n2n_lib.framework.kernels.unfold import HW, output_size
from n2n_lib.framework.kernels.windows import (
    Geometry,
    Gradients,
    Part,
    add_up,
    lines,
    split_batch,
)

CHANNELS = 16
"""Channels, in and out, from which six products beat the sums that they need around them."""

_G = (
    (1 / 4, 0.0, 0.0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0.0, 0.0, 1.0),
)
_DIFFERENCES = ((4, 2, -1), (0, 2, -1), (4, 2, -4), (3, 1, -4), (3, 1, -1), (5, 3, -1))
_SUMS = ((0, 1, 4), (2, 3, 1), (2, 3, -1), (0, 4, 2), (0, 4, -2), (5, 4, -4))
"""``B^T x`` in two stages: (a, b, c) stands for ``x[a] + c x[b]``, first of lines, then of what
came of them."""


def applies(shape: tuple[int, ...], stride: HW, padding: HW, dilation: HW) -> bool:
    """Whether a convolution with a weight of this shape can, and should, be computed here."""
    out, channels, kh, kw = shape
    plain = kh == 3 and stride == dilation == (1, 1) and padding[0] < kh and padding[1] < kw
    return plain and min(out, channels) >= CHANNELS


def _sums_of_weights(weight: Tensor) -> Tensor:
    """Return ``G w`` as six matrices ``(6, O, kW C)``."""
    lines_of_weight = weight.permute(2, 0, 3, 1).reshape(3, -1)
    # A matrix product would round by the number of threads, and pictures would depend on it.
    first, middle, last = (weight.new_tensor(_G)[:, :, None] * lines_of_weight).unbind(1)
    return (first + middle + last).view(6, len(weight), -1)


def _sums_of_lines(x: Tensor, at: Geometry, parts: list[Part]) -> Iterator[Iterator[Tensor]]:
    """Yield ``B^T x`` for every part: six matrices of windows ``(n h w, kW C)``, in one buffer."""
    (_, w), kw, channels, differences = at.grid, at.kernel[1], x.shape[3], None
    for (_, band), part in zip(parts, lines(x, at, parts), strict=True):
        shape = (len(part), band.stop - band.start, part.shape[2], channels)
        if differences is None or differences.shape[1:] != shape:
            differences = x.new_empty(6, *shape)
            buffer = x.new_empty(*shape[:2], w, kw, channels)
        last = 4 * shape[1] - 3
        for (a, b, times), target in zip(_DIFFERENCES, differences, strict=True):
            first, second = part[:, a : a + last : 4], part[:, b : b + last : 4]
            torch.add(first, second, alpha=times, out=target)
        views = [line.unfold(2, kw, 1).transpose(3, 4) for line in differences]
        yield (
            torch.add(views[a], views[b], alpha=times, out=buffer).view(-1, kw * channels)
            for a, b, times in _SUMS
        )


def _plan(x: Tensor, weight: Tensor, padding: HW) -> tuple[Geometry, list[Part]]:
    """Return where the six lines lie, and the parts: windows and six products in the cache."""
    (n, height, width, _), (out, channels, *kernel) = x.shape, weight.shape
    rows, columns = output_size((height, width), tuple(kernel), (1, 1), padding, (1, 1))
    at = Geometry((height, width), (-(-rows // 4), columns), (6, kernel[1]), (4, 1), padding)
    return at, split_batch(n, at.grid[0], columns * (kernel[1] * channels + 6 * out))


def transposed(a: Tensor) -> Tensor:
    """Return ``a.T`` as a matrix of its own: blocks of some rows first, so that all cores share."""
    rows, columns = a.shape
    if a.numel() < 1 << 16:
        return a.t().contiguous()
    block = _block(rows)
    blocks = a.view(-1, block, columns).transpose(1, 2).contiguous()  # (blocks, columns, block)
    return blocks.transpose(0, 1).reshape(columns, rows)


@lru_cache(maxsize=256)
def _block(rows: int) -> int:
    """Return the largest divisor of `rows` up to 100: a block that stays in a core's own cache."""
    return next(size for size in range(100, 0, -1) if rows % size == 0)


class SixProducts(NamedTuple):
    """A convolution in six products for four lines: what its backward needs."""

    x: Tensor  # (N, H, W, C)
    at: Geometry  # the windows of six lines
    parts: list[Part]

    def backward(self, grad: Tensor, weight: Tensor, needs_input_grad: bool) -> Gradients:
        """Differentiate: ``dw = G^T [(A dY)^T (B^T x)]``; ``dX``: ``dY`` with ``w`` turned around.

        Takes ``dY`` as ``(N, H', W', O)``.
        """
        x, at, parts = self
        out, channels, *kernel = weight.shape
        fours = Geometry(tuple(grad.shape[1:3]), at.grid, (4, 1), (4, 1))
        grad_matrices, grad_bias = [], []
        for six, g in zip(_sums_of_lines(x, at, parts), lines(grad, fours, parts), strict=True):
            dy = [transposed(g[:, i::4].reshape(-1, out)) for i in range(4)]  # (O, n h w)
            even, odd = dy[0] + dy[2], dy[1] + dy[3]
            grad_bias.append((even + odd).sum(1))
            even4, odd4 = dy[0].add(dy[2], alpha=4), dy[1].add(dy[3], alpha=4)
            scaled = (
                dy[0],
                even + odd,
                even - odd,
                even4.add(odd4, alpha=2),
                even4.sub(odd4, alpha=2),
                dy[3],
            )
            grad_matrices.append(
                torch.stack([product(d, v.t()) for d, v in zip(scaled, six, strict=True)])
            )
        grad_weight = weight.new_tensor(_G).t() @ add_up(grad_matrices).view(6, -1)
        grad_weight = grad_weight.view(3, out, kernel[1], channels).permute(1, 3, 0, 2)
        grad_input = None
        if needs_input_grad:
            opposite = tuple(k - 1 - p for k, p in zip(kernel, at.padding, strict=True))
            grad_input, _ = forward(grad, weight.flip(2, 3).transpose(0, 1), None, opposite)
        return grad_input, grad_weight, add_up(grad_bias)


def forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, padding: HW
) -> tuple[Tensor, SixProducts]:
    """Convolve ``(N, H, W, C)``: ``Y = A^T [(G w) (B^T x)] + b``; the bias comes with product 1."""
    at, parts = _plan(x, weight, padding)
    matrices, (h, w), out = _sums_of_weights(weight), at.grid, len(weight)
    y = x.new_empty(len(x), h, 4, w, out)
    for (images, band), six in zip(parts, _sums_of_lines(x, at, parts), strict=True):
        biases = (None, bias, None, None, None, None)
        m = [product(v, u, b) for v, u, b in zip(six, matrices, biases, strict=True)]
        target = y[images, band]
        m = [rows.view(len(target), -1, w, out) for rows in m]
        sums, differences = [], []  # m1 + m2 and m3 + m4, m1 - m2 and m3 - m4, where m lies
        for one, other in (m[1:3], m[3:5]):
            differences.append(one.sub_(other))
            sums.append(torch.add(one, other, alpha=2, out=other))
        torch.add(sums[0], sums[1], out=target[:, :, 0]).add_(m[0])
        torch.add(differences[0], differences[1], alpha=2, out=target[:, :, 1])
        torch.add(sums[0], sums[1], alpha=4, out=target[:, :, 2])
        torch.add(differences[0], differences[1], alpha=8, out=target[:, :, 3]).add_(m[5])
    y = y.view(len(x), 4 * h, w, out)[:, : x.shape[1] + 2 * padding[0] - 2]
    return y, SixProducts(x, at, parts)

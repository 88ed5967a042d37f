r"""Convolution of few channels: windows that nobody copies.

With few channels a product is cheap, and copying its windows into fresh memory takes longer than
multiplying them. But in an image with its frame of zeros, whose pixels lie one after the other in
memory, a line of a window is there already: the pixels :math:`p, \dots, p + k_W - 1` are
:math:`k_W C` numbers in a row. The windows at :math:`p = r, r + k_W, r + 2 k_W, \dots` do not
overlap: they are the rows of a matrix :math:`X_r`, which is a view, and so are their outputs, every
:math:`k_W`-th pixel. So with :math:`W` columns in the frame and :math:`w_u` the line :math:`u` of
the kernel,

.. math:: Y_r = \sum_u X_{r + u W}\, w_u^T, \qquad
          \mathrm{d}w_u = \sum_r \mathrm{d}Y_r^T X_{r + u W}, \qquad 0 \le r < k_W.

Where a window begins too far right to fit in its line, it runs on into the next one: such outputs
are computed like all others, and left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from n2n_lib.framework.kernels.unfold import HW
from n2n_lib.framework.kernels.windows import Gradients
from n2n_lib.support.threads import mind_the_time

FEWEST, MOST = 12, 600
"""Channels, in and out, from which it pays, and their product, up to which it does: with fewer,
copies are small; with more, ``winograd`` saves more by multiplying less."""

PIECE = 1 << 15
"""Pixels that are worked through at once: they stay in the cache for all lines of the kernel."""


def applies(shape: tuple[int, ...], stride: HW, padding: HW, dilation: HW) -> bool:
    """Whether a convolution with a weight of this shape can, and should, be computed here."""
    out, channels, *kernel = shape
    same = all(2 * p == k - 1 > 0 for k, p in zip(kernel, padding, strict=True))
    plain = same and stride == dilation == (1, 1)
    return plain and min(out, channels) >= FEWEST and out * channels <= MOST


def _framed(x: Tensor, padding: HW) -> Tensor:
    """Put zeros around the images ``(N, H, W, C)``: ``(N, H + 2 pH, W + 2 pW, C)``."""
    (n, height, width, channels), (ph, pw) = x.shape, padding
    frame = x.new_zeros(n, height + 2 * ph, width + 2 * pw, channels)
    frame[:, ph : ph + height, pw : pw + width].copy_(x)
    return frame


def _every(x: Tensor, first: int, count: int, wide: int, step: int) -> Tensor:
    """View `count` runs of `wide` pixels, `step` pixels apart, as rows ``(count, wide C)``."""
    c = x.shape[-1]
    return x.as_strided((count, wide * c), (step * c, 1), x.storage_offset() + first * c)


def _pieces(frame: Tensor, kernel: HW) -> Iterator[tuple[int, int]]:
    """Yield where windows begin in a frame of ``(N, H, W, C)``: ``(first, how many)``, by pieces.

    A piece holds every kW-th window, so that they do not overlap; kW pieces together are all
    windows of `PIECE` pixels.
    """
    (n, height, width, _), (kh, kw) = frame.shape, kernel
    windows = n * height * width - (kh - 1) * width - (kw - 1)
    for start in range(0, windows, PIECE):
        stop = min(start + PIECE, windows)
        for first in range(start, min(start + kw, stop)):
            yield first, -(-(stop - first) // kw)


def _convolve(frame: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve a frame ``(N, H, W, C)`` with ``(O, C, kH, kW)``: ``(N, H', W', O)``, a view."""
    out, channels, kh, kw = weight.shape
    n, height, width, _ = frame.shape
    by_line = weight.permute(2, 3, 1, 0).reshape(kh, kw * channels, out)
    y = frame.new_empty(n, height, width, out)
    mind_the_time()
    for first, count in _pieces(frame, (kh, kw)):
        target = _every(y, first, count, 1, kw)
        for u, line in enumerate(by_line):
            rows = _every(frame, first + u * width, count, kw, kw)
            if u:
                target.addmm_(rows, line)
            elif bias is None:
                torch.mm(rows, line, out=target)
            else:
                torch.addmm(bias, rows, line, out=target)
    return y[:, : height - kh + 1, : width - kw + 1]


class ByShifts(NamedTuple):
    """A convolution without copies of windows: what its backward needs."""

    frame: Tensor  # (N, H + 2 pH, W + 2 pW, C)

    def backward(self, grad: Tensor, weight: Tensor, needs_input_grad: bool) -> Gradients:
        """Differentiate: ``dw_u`` as above; ``dX`` is ``dY`` convolved with ``w`` turned around.

        Takes ``dY`` as ``(N, H, W, O)``.
        """
        out, channels, kh, kw = weight.shape
        width, padding = self.frame.shape[2], (kh // 2, kw // 2)
        framed = _framed(grad, padding)
        corner = padding[0] * width + padding[1]  # where dY begins in its frame
        grad_lines = weight.new_zeros(kh, out, kw * channels)
        mind_the_time()
        for first, count in _pieces(self.frame, (kh, kw)):
            dy = _every(framed, corner + first, count, 1, kw).t()  # the zeros meet what is left out
            for u, line in enumerate(grad_lines):
                line.addmm_(dy, _every(self.frame, first + u * width, count, kw, kw))
        grad_weight = grad_lines.view(kh, out, kw, channels).permute(1, 3, 0, 2)
        grad_input = None
        if needs_input_grad:
            grad_input = _convolve(framed, weight.flip(2, 3).transpose(0, 1), None)
        return grad_input, grad_weight, grad.sum((0, 1, 2))


def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, ByShifts]:
    """Convolve ``(N, H, W, C)`` to ``(N, H, W, O)``, padded so that the size stays."""
    frame = _framed(x, tuple(k // 2 for k in weight.shape[2:]))
    return _convolve(frame, weight, bias), ByShifts(frame)

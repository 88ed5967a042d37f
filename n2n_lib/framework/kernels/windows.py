"""What the fast kernels share: windows and their adjoint, parts of a batch, tall products.

`windows` and `shift_and_add` do what the lesson on speed derives under these names, for any
geometry and for a batch in parts. Here ``x`` is ``(N, H, W, C)``: images as the fast kernels keep
them in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from n2n_lib.framework.kernels.unfold import HW
from n2n_lib.support.threads import mind_the_time

Part = tuple[slice, slice]
"""Some images of a batch, and some lines of windows in each."""

Gradients = tuple[Tensor | None, Tensor, Tensor]
"""Of the input ``(N, H, W, C)`` (None where it is not needed), the weight and the bias."""

PART_BYTES = 1 << 23
"""Size of what is made of one part of a batch, in float32: windows, products and their sums."""

LARGE = 1 << 17
"""Numbers from which windows are copied line by line."""


def as_rows(images: Tensor) -> Tensor:
    """View ``(N, C, H, W)`` as ``(N, H, W, C)``."""
    return images.permute(0, 2, 3, 1)


def as_images(rows: Tensor) -> Tensor:
    """View ``(N, H, W, C)`` as ``(N, C, H, W)``."""
    return rows.permute(0, 3, 1, 2)


def split_batch(count: int, lines: int, floats: int) -> list[Part]:
    """Cut a batch into parts of `PART_BYTES`: some whole images, or some lines of one image.

    Parameters
    ----------
    count, lines : int
        Images, and lines of windows in each.
    floats : int
        Intermediate numbers that belong to one line.

    Returns
    -------
    list of (slice, slice)
        Which images, and which lines of their windows; the first part is the largest.

    Examples
    --------
    >>> split_batch(count=3, lines=10, floats=1 << 17)  # 16 lines fit: one image at a time
    [(slice(0, 1, None), slice(0, 10, None)),
     (slice(1, 2, None), slice(0, 10, None)),
     (slice(2, 3, None), slice(0, 10, None))]
    """
    fitting = max(1, PART_BYTES // (4 * floats))  # lines
    if fitting >= lines:
        step = fitting // lines
        return [(slice(n, n + step), slice(0, lines)) for n in range(0, count, step)]
    bands = [slice(i, min(i + fitting, lines)) for i in range(0, lines, fitting)]
    return [(slice(n, n + 1), band) for n in range(count) for band in bands]


def take_images(x: Tensor, images: slice) -> Tensor:
    """Return ``x[images]``; `x` itself where that is all of it, which saves a call."""
    return x if images.start == 0 and images.stop >= len(x) else x[images]


def pixels(x: Tensor, part: Part) -> Tensor:
    """Return the pixels of a part as rows ``(n h w, C)``: a view where they lie in one piece."""
    images, band = part
    if band.stop - band.start == x.shape[1]:
        return take_images(x, images).reshape(-1, x.shape[3])
    return x[part].reshape(-1, x.shape[3])


def add_up(parts: list[Tensor]) -> Tensor:
    """Add up the contributions of the parts of a batch."""
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total


def bias_grad(grad: Tensor) -> Tensor:
    """Return the gradient of the bias ``(O,)``: the sum over all pixels of ``(N, H', W', O)``."""
    if grad.numel() < 1 << 16:
        return grad.sum((0, 1, 2))
    return grad.sum((1, 2)).sum(0)  # N O sums for the cores to share, in place of O


def correlate(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a.T @ b`` of two tall matrices.

    By ``torch.mm``, which reads a matrix turned as well as straight. oneDNN would have to get it
    turned, which takes about as long as its product saves.
    """
    mind_the_time()
    return torch.mm(a.t(), b)


def joined(parts: list[Tensor]) -> Tensor:
    """Put the rows of the parts of a batch below each other."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)


# ------------------------------------------------------------------ windows and their adjoint


class Geometry(NamedTuple):
    """Where windows lie in an image: ``grid`` of them, on an image of ``size``.

    The window ``(i, j)`` of the grid holds the pixels ``(i s + u d - p, j s + v d - p)``.
    """

    size: HW
    grid: HW
    kernel: HW
    stride: HW = (1, 1)
    padding: HW = (0, 0)
    dilation: HW = (1, 1)


def lines(x: Tensor, at: Geometry, parts: list[Part]) -> Iterator[Tensor]:
    """Yield the lines that the windows of a part reach, left and right padded, part after part.

    A view of `x` where it holds them all, else a copy with zeros around: one frame for all parts.
    """
    (height, width), (_, w), (kh, kw), (sh, sw), (ph, pw), (dh, dw) = at
    reach_w, frame = (w - 1) * sw + (kw - 1) * dw + 1, None
    for images, band in parts:
        part = take_images(x, images)
        top = band.start * sh - ph  # the first line that is needed, perhaps above the image
        bottom = top + (band.stop - band.start - 1) * sh + (kh - 1) * dh + 1
        if top >= 0 and bottom <= height and not pw and reach_w <= width:
            yield part if bottom - top == height else part[:, top:bottom]
            continue
        if frame is None:  # the first part is the largest; left and right stay zero for all
            frame = x.new_zeros(len(part), bottom - top, reach_w, x.shape[3])
        inside = part[:, max(top, 0) : max(bottom, 0), : max(reach_w - pw, 0)]
        above, below = max(-top, 0), max(-top, 0) + inside.shape[1]
        part = frame[: len(part), : bottom - top]
        part[:, above:below, pw : pw + inside.shape[2]].copy_(inside)
        if len(parts) > 1:
            part[:, :above] = part[:, below:] = 0
        yield part


def windows(x: Tensor, at: Geometry, parts: list[Part]) -> Iterator[Tensor]:
    """Copy windows into rows, ``(N, H, W, C)`` to ``(n h w, kH kW C)``, part after part.

    ``row[n, i, j][u, v, c] = x[n, i s + u d - p, j s + v d - p, c]``, zero outside the image.
    """
    _, (_, w), (kh, kw), (sh, sw), _, (dh, dw) = at
    for (_, band), part in zip(parts, lines(x, at, parts), strict=True):
        (n, _, _, channels), h = part.shape, band.stop - band.start
        image, line, column, one = part.stride()
        view = part.as_strided(
            (n, h, w, kh, kw, channels),
            (image, sh * line, sw * column, dh * line, dw * column, one),
        )
        if kh == 1 or view.numel() < LARGE:
            yield view.reshape(n * h * w, kh * kw * channels)
            continue
        rows = x.new_empty(n, h, w, kh, kw * channels)
        for u in range(kh):  # line by line: each copy loops over fewer dimensions
            rows[:, :, :, u].unflatten(3, (kw, channels)).copy_(view[:, :, :, u])
        yield rows.view(n * h * w, kh * kw * channels)


def canvas(
    at: Geometry, part: Part, count: int, like: Tensor, bias: Tensor | None, c: int
) -> Tensor:
    """Make ``(N, H', W', C)``, large enough for `shift_and_add` and `crop`, filled with the bias.

    Where the first taps that `shift_and_add` sets leave no gap, only the edges beyond them are
    filled: the products bring the bias along, see `first_taps`.
    """
    h, w = (max((g - 1) * s + (k - 1) * d + 1, m + p) for m, g, k, s, p, d in zip(*at, strict=True))
    target = like.new_empty(count, h, w, c)
    bottom, right = (grid * stride for grid, stride in zip(at.grid, at.stride, strict=True))
    edges = [target]
    if _sets(at, part):
        edges = [target[:, bottom:]] if h > bottom else []
        if w > right:
            edges.append(target[:, :bottom, right:])
    for edge in edges:
        edge.zero_() if bias is None else edge.copy_(bias)
    return target


def _sets(at: Geometry, part: Part) -> bool:
    """Whether the first s x s taps of all windows meet every pixel between them, and before others.

    Not with dilation, nor where windows leave gaps, nor where a part is less than an image.
    """
    whole = part[1].stop - part[1].start == at.grid[0]
    return whole and at.dilation == (1, 1) and all(map(int.__ge__, at.kernel, at.stride))


def first_taps(at: Geometry, part: Part, bias: Tensor | None) -> Tensor | None:
    """Return the bias of the products ``(KH KW O,)``: zero but for taps that are set, not added."""
    if bias is None or not _sets(at, part):
        return None
    return (_is_first(at.kernel, at.stride, bias.dtype, bias.device) * bias).view(-1)


@lru_cache(maxsize=64)
def _is_first(kernel: HW, stride: HW, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return 1 for each of the first s x s taps of a window, else 0: ``(KH KW, 1)``."""
    first = torch.zeros(kernel, dtype=dtype, device=device)
    first[: stride[0], : stride[1]] = 1
    return first.view(-1, 1)


def shift_and_add(rows: Tensor, at: Geometry, target: Tensor, part: Part) -> None:
    """Add every row where `windows` would have taken it: its adjoint, as `fold` is of `unfold`.

    ``target[n, i s + u d, j s + v d] += row[n, i, j][u, v]``, in coordinates of the padded image.
    Without dilation, the s x s taps that meet s x s different pixels are added at once, and the
    first of them are set (`canvas`).
    """
    images, band = part
    target, sets = take_images(target, images), _sets(at, part)
    start = target.storage_offset() + band.start * at.stride[0] * target.stride(1)
    groups = _groups(at, band.stop - band.start, target.shape, target.stride())
    for number, (shape, row_strides, row_place, strides, place) in enumerate(groups):
        taps = rows.as_strided(shape, row_strides, row_place)
        pixels = target.as_strided(shape, strides, start + place)
        if number or not sets:
            pixels.add_(taps)
        else:
            pixels.copy_(taps)


@lru_cache(maxsize=256)
def _groups(
    at: Geometry, h: int, target_shape: tuple[int, ...], target_strides: tuple[int, ...]
) -> list[tuple]:
    """Return the groups of taps that `shift_and_add` adds at once.

    Each is ``(shape, strides and place in the rows, strides and place in the target)``, where
    the shape is ``(n, h, w, taps up and down, taps left and right, C)``.
    """
    _, (_, w), (kh, kw), (sh, sw), _, (dh, dw) = at
    (n, _, _, channels), (image, line, column, _) = target_shape, target_strides
    taps_h, taps_w = (sh, sw) if (dh, dw) == (1, 1) else (1, 1)
    long, groups = w * kh * kw * channels, []
    for u in range(0, kh, taps_h):
        for v in range(0, kw, taps_w):
            shape = (n, h, w, min(taps_h, kh - u), min(taps_w, kw - v), channels)
            row_strides = (h * long, long, kh * kw * channels, kw * channels, channels, 1)
            strides = (image, sh * line, sw * column, line, column, 1)
            row_place, place = (u * kw + v) * channels, u * dh * line + v * dw * column
            groups.append((shape, row_strides, row_place, strides, place))
    return groups


def crop(target: Tensor, at: Geometry) -> Tensor:
    """Cut the image out of its canvas: ``(N, H, W, C)``, a view."""
    (height, width), (ph, pw) = at.size, at.padding
    if target.shape[1] == height and target.shape[2] == width:
        return target
    return target[:, ph : ph + height, pw : pw + width]

r"""Convolution and upsampling, fast: the arithmetic of lesson 11, and the default.

The same functions as in ``kernels.unfold``, with the same results, several times faster in plain
tensor operations. Four ideas carry them:

1. *Channels last.* Tensors are ``(N, C, H, W)`` to the outside and ``(N, H, W, C)`` in memory. A
   window is then a few runs of contiguous floats, and a copy of all windows is the left matrix of
   one large product, without `unfold`.
2. *Unfold the narrow side.* Windows can be cut before the product or added up after it. Each axis
   goes the way that moves fewer floats: ``kH kW C`` for each pixel with windows first,
   ``kH kW O`` with the sums last, ``kW C + kH O`` with one axis each way.
3. *Never upsample.* An upsampled image holds each number s^2 times. Its convolution is a sum over
   the small image with a kernel of ``k + s - 1``, see `upsample_conv2d_forward`.
4. *Stay in the cache.* A batch is worked through in parts whose windows take about 8 MB: few
   enough numbers for the cache that the cores share, and enough to keep all cores busy.

Every function works for every stride, padding, dilation, kernel and scale. Where a shorter way does
not apply, the last lines of `_plan` and `upsample_conv2d_forward` say which way is taken instead.

Notation as in ``kernels.unfold``; ``x`` is ``(N, H, W, C)`` inside this file.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from n2n_lib.kernels.product import product
from n2n_lib.kernels.unfold import Pair, output_size, transposed_size

Part = tuple[slice, slice]
"""Some images of a batch, and some lines of windows in each."""

PART_BYTES = 1 << 23
"""Size of the windows of one part of a batch: the fastest of 1 to 16 MB on two cores."""

SMALL, NARROW = 1 << 23, 32
"""Multiplications, and columns, up to which a product is not worth turning a matrix for."""


def _rows(images: Tensor) -> Tensor:
    """View ``(N, C, H, W)`` as ``(N, H, W, C)``."""
    return images.permute(0, 2, 3, 1)


def _images(rows: Tensor) -> Tensor:
    """View ``(N, H, W, C)`` as ``(N, C, H, W)``."""
    return rows.permute(0, 3, 1, 2)


def _parts(count: int, lines: int, floats: int) -> list[Part]:
    """Cut a batch into parts of `PART_BYTES`: some whole images, or some lines of one image.

    Parameters
    ----------
    count, lines : int
        Images, and lines of windows in each.
    floats : int
        Intermediate numbers that belong to one line.
    """
    fitting = max(1, PART_BYTES // (4 * floats))  # lines
    if fitting >= lines:
        step = fitting // lines
        return [(slice(n, n + step), slice(0, lines)) for n in range(0, count, step)]
    bands = [slice(i, min(i + fitting, lines)) for i in range(0, lines, fitting)]
    return [(slice(n, n + 1), band) for n in range(count) for band in bands]


def _total(parts: list[Tensor]) -> Tensor:
    """Add up the contributions of the parts of a batch."""
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total


def _correlate(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a.T @ b`` of two tall matrices; the narrower one is turned for `product`."""
    if a.numel() * b.shape[1] < SMALL or min(a.shape[1], b.shape[1]) <= NARROW:
        return torch.mm(a.t(), b)  # turning would take longer than `product` saves
    if a.shape[1] <= b.shape[1]:
        return product(_turned(a), b.t())
    return product(_turned(b), a.t()).t()


def _turned(a: Tensor) -> Tensor:
    """Return ``a.T`` as a matrix of its own: blocks of some rows first, so that all cores share."""
    rows, columns = a.shape
    block = _block(rows)
    blocks = a.view(-1, block, columns).transpose(1, 2).contiguous()  # (blocks, columns, block)
    return blocks.transpose(0, 1).reshape(columns, rows)


@lru_cache(maxsize=256)
def _block(rows: int) -> int:
    """Return the largest divisor of `rows` up to 100: a block that stays in the nearest cache."""
    return next(size for size in range(100, 0, -1) if rows % size == 0)


def _joined(parts: list[Tensor]) -> Tensor:
    """Put the rows of the parts of a batch below each other."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)


# ------------------------------------------------------------------ windows and their adjoint


class Windows(NamedTuple):
    """Where windows lie in an image: ``grid`` of them, on an image of ``size``."""

    size: Pair
    grid: Pair
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)


def cut(x: Tensor, at: Windows, parts: list[Part]) -> Iterator[Tensor]:
    """Copy windows into rows, ``(N, H, W, C)`` to ``(n h w, kH kW C)``, part after part.

    ``row[n, i, j][u, v, c] = x[n, i s + u d - p, j s + v d - p, c]``, zero outside the image.
    """
    (height, width), (_, w), (kh, kw), (sh, sw), (ph, pw), (dh, dw) = at
    channels, reach_w, frame = x.shape[3], (w - 1) * sw + (kw - 1) * dw + 1, None
    for images, lines in parts:
        part, h = x[images], lines.stop - lines.start
        n = part.shape[0]
        top = lines.start * sh - ph  # the first line that is needed, perhaps above the image
        bottom = top + (h - 1) * sh + (kh - 1) * dh + 1
        if top < 0 or bottom > height or pw or reach_w > width:
            if frame is None:  # the first part is the largest; left and right stay zero for all
                frame = x.new_zeros(n, bottom - top, reach_w, channels)
            inside = part[:, max(top, 0) : max(bottom, 0), : max(reach_w - pw, 0)]
            above, below = max(-top, 0), max(-top, 0) + inside.shape[1]
            part, top = frame[:n, : bottom - top], 0
            part[:, above:below, pw : pw + inside.shape[2]] = inside
            if len(parts) > 1:
                part[:, :above] = part[:, below:] = 0
        image, line, column, one = part.stride()
        view = part.as_strided(
            (n, h, w, kh, kw, channels),
            (image, sh * line, sw * column, dh * line, dw * column, one),
            part.storage_offset() + top * line,
        )
        yield view.reshape(n * h * w, kh * kw * channels)


def canvas(
    at: Windows, part: Part, count: int, like: Tensor, bias: Tensor | None, c: int
) -> Tensor:
    """Make ``(N, H', W', C)``, large enough for `add` and `crop`, for sums that start at the bias.

    Where the first taps that `add` sets leave no gap, only the edges beyond them are filled: the
    products bring the bias along, see `first_taps`.
    """
    h, w = (max((g - 1) * s + (k - 1) * d + 1, m + p) for m, g, k, s, p, d in zip(*at, strict=True))
    target = like.new_empty(count, h, w, c)
    start = 0 if bias is None else bias
    if not _sets(at, part):
        target[:] = start
        return target
    (grid_h, grid_w), (sh, sw) = at.grid, at.stride
    if h > grid_h * sh:
        target[:, grid_h * sh :] = start
    if w > grid_w * sw:
        target[:, : grid_h * sh, grid_w * sw :] = start
    return target


def _sets(at: Windows, part: Part) -> bool:
    """Whether the first s x s taps of all windows meet every pixel between them, and before others.

    Not with dilation, nor where windows leave gaps, nor where a part is less than an image.
    """
    whole = part[1].stop - part[1].start == at.grid[0]
    return whole and at.dilation == (1, 1) and all(map(int.__ge__, at.kernel, at.stride))


def first_taps(at: Windows, part: Part, bias: Tensor | None) -> Tensor | None:
    """Return the bias ``(KH KW O,)`` of the products: on the taps that `add` sets, else zero."""
    if bias is None or not _sets(at, part):
        return None
    taps = bias.new_zeros(*at.kernel, len(bias))
    taps[: at.stride[0], : at.stride[1]] = bias
    return taps.flatten()


def add(rows: Tensor, at: Windows, target: Tensor, part: Part) -> None:
    """Add every row where `cut` would have taken it: the adjoint of `cut`, as `fold` of `unfold`.

    ``target[n, i s + u d, j s + v d] += row[n, i, j][u, v]``, in coordinates of the padded image.
    Without dilation, the s x s taps that meet s x s different pixels are added at once, and the
    first of them are set (`canvas`).
    """
    _, (_, w), (kh, kw), (sh, sw), _, (dh, dw) = at
    images, lines = part
    target, h = target[images], lines.stop - lines.start
    n, channels = target.shape[0], target.shape[3]
    image, line, column, _ = target.stride()
    start = target.storage_offset() + lines.start * sh * line
    taps_h, taps_w = (sh, sw) if (dh, dw) == (1, 1) else (1, 1)
    long, sets = w * kh * kw * channels, _sets(at, part)
    for u in range(0, kh, taps_h):
        for v in range(0, kw, taps_w):
            shape = (n, h, w, min(taps_h, kh - u), min(taps_w, kw - v), channels)
            strides = (h * long, long, kh * kw * channels, kw * channels, channels, 1)
            taps = rows.as_strided(shape, strides, (u * kw + v) * channels)
            strides = (image, sh * line, sw * column, line, column, 1)
            pixels = target.as_strided(shape, strides, start + u * dh * line + v * dw * column)
            if u or v or not sets:
                pixels.add_(taps)
            else:
                pixels.copy_(taps)


def crop(target: Tensor, at: Windows) -> Tensor:
    """Cut the image out of its canvas: ``(N, H, W, C)``, a view."""
    (height, width), (ph, pw) = at.size, at.padding
    if target.shape[1] == height and target.shape[2] == width:
        return target
    return target[:, ph : ph + height, pw : pw + width]


# ------------------------------------------------------------------ convolution


@lru_cache(maxsize=256)
def _plan(
    size: Pair, shape: tuple[int, ...], stride: Pair, padding: Pair, dilation: Pair
) -> tuple[Windows, Windows | None]:
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
    Windows, Windows or None
        What `cut` does to the input, and what `add` does to the products (None: nothing).
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
) -> tuple[Tensor, tuple]:
    """Convolve: ``Z = cut(X) W^T`` and ``Y = add(Z) + b``, each axis as `_plan` chose."""
    before, after = _plan(tuple(x.shape[2:]), tuple(weight.shape), stride, padding, dilation)
    matrix = _matrix(weight, after)
    x, out, grid = _rows(x), len(weight), before.grid
    parts = _parts(len(x), grid[0], grid[1] * sum(matrix.shape))
    windows = cut(x, before, parts)
    if len(parts) == 1:
        windows = list(windows)  # few enough to be kept for backward
    saved = x, windows if len(parts) == 1 else None, before, after, matrix, parts
    if after is None:
        y = _joined([product(rows, matrix, bias) for rows in windows])
        return _images(y.view(len(x), *grid, out)), saved
    target, taps = canvas(after, parts[0], len(x), x, bias, out), first_taps(after, parts[0], bias)
    for part, rows in zip(parts, windows, strict=True):
        add(product(rows, matrix, taps), after, target, part)
    return _images(crop(target, after)), saved


def conv2d_backward(
    grad_output: Tensor,
    saved: tuple,
    weight: Tensor,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    needs_input_grad: bool = True,
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Differentiate: ``dZ = cut(dY)``, ``dW = dZ^T cut(X)`` and ``dX = add(dZ W)``.

    What was added up on the way out is cut on the way back, and the other way round.
    """
    x, windows, before, after, matrix, parts = saved
    grad, grad_matrix = _rows(grad_output), []
    if needs_input_grad:
        target = canvas(before, parts[0], len(x), x, None, x.shape[3])
    turned = Windows(before.grid, before.grid, (1, 1)) if after is None else after
    windows = windows or cut(x, before, parts)
    for part, dz, rows in zip(parts, cut(grad, turned, parts), windows, strict=True):
        grad_matrix.append(_correlate(dz, rows))
        if needs_input_grad:
            add(product(dz, matrix.t()), before, target, part)
    grad_weight = _weight(_total(grad_matrix), after, weight.shape)
    grad_input = _images(crop(target, before)) if needs_input_grad else None
    return grad_input, grad_weight, grad.sum((1, 2)).sum(0)


# ------------------------------------------------------------------ upsampling


def nn_upsample_forward(x: Tensor, scale: Pair) -> Tensor:
    """Copy every pixel into a block: ``y[i, j] = x[i // sH, j // sW]`` (equation 1)."""
    x = _rows(x)
    n, h, w, c = x.shape
    y = x.new_empty(n, h, scale[0], w, scale[1], c)
    y.copy_(x[:, :, None, :, None])
    return _images(y.view(n, h * scale[0], w * scale[1], c))


def nn_upsample_backward(grad_output: Tensor, scale: Pair) -> Tensor:
    """Sum every block of gradients (equation 2)."""
    grad = _rows(grad_output).unflatten(1, (-1, scale[0])).unflatten(3, (-1, scale[1]))
    return _images(grad.sum((2, 4)))  # (N, H, sH, W, sW, C) -> (N, H, W, C)


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
) -> tuple[Tensor, tuple]:
    r"""Convolve the upsampled image without making it.

    The convolution reads pixel :math:`m = j + u d - p` of the upsampled image, which is the small
    pixel :math:`i = \lfloor m / s \rfloor`: so :math:`m = s i + r` with :math:`0 \le r < s`. Turned
    around, :math:`x_i w_u` is added to

    .. math:: j = s i + \kappa - ((k - 1) d - p), \qquad \kappa = r + (k - 1 - u) d,

    where :math:`\kappa` runs over :math:`K = (k - 1) d + s` values. The weights of equal
    :math:`\kappa` are summed first: :math:`v = E w` with `_boxes`. For k = 3 and s = 2 that is 16
    products for each small pixel instead of 9 for each of its 4 copies. ``Y = add(X V^T) + b``.
    """
    after = _upsample_plan(tuple(x.shape[2:]), tuple(weight.shape[2:]), padding, dilation, scale)
    if stride != (1, 1) or min(after.padding) < 0:  # no shorter way: upsample, then convolve
        big = nn_upsample_forward(x, scale)
        y, saved = conv2d_forward(big, weight, bias, stride, padding, dilation)
        return y, (None, saved)
    x, (out, channels, *kernel) = _rows(x), weight.shape
    boxes = _boxes(tuple(kernel), scale, dilation, weight.dtype, weight.device)
    matrix = (boxes @ weight.reshape(out * channels, -1).t()).view(-1, channels)  # (KH KW O, C)
    parts = _parts(len(x), after.grid[0], after.grid[1] * len(matrix))
    target, taps = canvas(after, parts[0], len(x), x, bias, out), first_taps(after, parts[0], bias)
    for part in parts:
        add(product(x[part].reshape(-1, channels), matrix, taps), after, target, part)
    return _images(crop(target, after)), (x, after, matrix, boxes, parts)


@lru_cache(maxsize=256)
def _upsample_plan(size: Pair, kernel: Pair, padding: Pair, dilation: Pair, scale: Pair) -> Windows:
    """Return what `add` does to the products in `upsample_conv2d_forward`."""
    reach = tuple((k - 1) * d + s for k, d, s in zip(kernel, dilation, scale, strict=True))
    shift = tuple((k - 1) * d - p for k, d, p in zip(kernel, dilation, padding, strict=True))
    big = tuple(m * s for m, s in zip(size, scale, strict=True))
    return Windows(output_size(big, kernel, (1, 1), padding, dilation), size, reach, scale, shift)


def upsample_conv2d_backward(
    grad_output: Tensor,
    saved: tuple,
    weight: Tensor,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    scale: Pair,
    needs_input_grad: bool = True,
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Differentiate: ``dZ = cut(dY)``, ``dX = dZ V``, ``dV = dZ^T X`` and ``dw = E^T dV``."""
    if saved[0] is None:
        grad, grad_weight, grad_bias = conv2d_backward(
            grad_output, saved[1], weight, stride, padding, dilation, needs_input_grad
        )
        grad_input = nn_upsample_backward(grad, scale) if needs_input_grad else None
        return grad_input, grad_weight, grad_bias
    x, after, matrix, boxes, parts = saved
    grad, channels = _rows(grad_output), x.shape[3]
    grad_matrix, grad_input = [], []
    for part, dz in zip(parts, cut(grad, after, parts), strict=True):
        pixels = x[part].reshape(-1, channels)
        grad_matrix.append(_correlate(dz, pixels))
        if needs_input_grad:
            grad_input.append(product(dz, matrix.t()))
    taps = _total(grad_matrix).reshape(len(boxes), -1)  # (KH KW, O C)
    grad_weight = (boxes.t() @ taps).t().reshape(weight.shape)
    grad_bias = grad.sum((1, 2)).sum(0)
    if not needs_input_grad:
        return None, grad_weight, grad_bias
    return _images(_joined(grad_input).view(x.shape)), grad_weight, grad_bias


# ------------------------------------------------------------------ transposed convolution


def conv_transpose2d_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Pair,
    padding: Pair,
    output_padding: Pair,
    dilation: Pair,
) -> tuple[Tensor, tuple]:
    """Transpose the convolution: ``Y = add(X W) + b``, every pixel times the window around it."""
    grid, kernel, (channels, out) = tuple(x.shape[2:]), tuple(weight.shape[2:]), weight.shape[:2]
    size = transposed_size(grid, kernel, stride, padding, output_padding, dilation)
    after = Windows(size, grid, kernel, stride, padding, dilation)
    x, matrix = _rows(x), weight.permute(2, 3, 1, 0).reshape(-1, channels)  # (kH kW O, C)
    parts = _parts(len(x), grid[0], grid[1] * len(matrix))
    target, taps = canvas(after, parts[0], len(x), x, bias, out), first_taps(after, parts[0], bias)
    for part in parts:
        add(product(x[part].reshape(-1, channels), matrix, taps), after, target, part)
    return _images(crop(target, after)), (x, after, matrix, parts)


def conv_transpose2d_backward(
    grad_output: Tensor,
    saved: tuple,
    weight: Tensor,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    needs_input_grad: bool = True,
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Differentiate: ``dZ = cut(dY)``, ``dX = dZ W^T`` and ``dW = X^T dZ``."""
    x, after, matrix, parts = saved
    grad, (channels, out), (kh, kw) = _rows(grad_output), weight.shape[:2], after.kernel
    grad_matrix, grad_input = [], []
    for part, dz in zip(parts, cut(grad, after, parts), strict=True):
        pixels = x[part].reshape(-1, channels)
        grad_matrix.append(_correlate(dz, pixels))
        if needs_input_grad:
            grad_input.append(product(dz, matrix.t()))
    grad_weight = _total(grad_matrix).reshape(kh, kw, out, channels).permute(3, 2, 0, 1)
    grad_input = _images(_joined(grad_input).view(x.shape)) if needs_input_grad else None
    return grad_input, grad_weight, grad.sum((1, 2)).sum(0)

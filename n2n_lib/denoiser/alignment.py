"""Images of one scene: by how much they are shifted, how bright they are, what moved, what noise.

All of it is found from the noisy images alone, as `scene` needs it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from skimage import filters, registration  # which scikit-image loads when they are first used
from torch import Tensor

MOVED = 6.0
"""Standard deviations of the smoothed noise by which a moving part differs."""

MASK_SMOOTHING = 1.5
"""Pixels over which differences are smoothed before they are compared with the noise."""

_BINS = 12  # of brightness, in each of which the noise has a level of its own


# --------------------------------------------------------------------------------------------------
# Shifts


def find_shift(reference: Tensor, frame: Tensor) -> tuple[tuple[int, int], float]:
    """Find by how much a frame must be moved in order to lie on another one.

    Parameters
    ----------
    reference, frame : Tensor
        ``(C, H, W)``, of one size.

    Returns
    -------
    ((int, int), float)
        Rows and columns, and how far the correlation of their details stands out of chance, in
        standard deviations.

    Notes
    -----
    scikit-image's phase correlation of details (a band of frequencies, which noise and uneven
    light leave alone), without its whitening, which drowns in noise. It takes the picture for
    periodic, so the estimate, rounded, is then improved among its neighbours, and those of no
    shift at all, by the correlation of what overlaps. Whole pixels only: to interpolate would mix
    the noise of neighbours.
    """
    details = [_details(image) for image in (reference, frame)]
    estimate, _, _ = registration.phase_cross_correlation(
        *details, upsample_factor=10, normalization=None
    )
    row, column = (round(float(value)) for value in estimate)
    tried = {
        (y, x): _agreement(*details, (y, x))
        for top, left in {(row, column), (0, 0)}
        for y in range(top - 3, top + 4)
        for x in range(left - 3, left + 4)
        if 2 * abs(y) < details[0].shape[0] and 2 * abs(x) < details[0].shape[1]
    }
    best = max(tried, key=tried.get)
    return best, tried[best]


def _details(image: Tensor) -> np.ndarray:
    """Band of frequencies of the brightness, clipped, so that one bright thing does not decide."""
    grey = image.mean(0).numpy()
    band = filters.gaussian(grey, 1) - filters.gaussian(grey, 4)
    limit = 4 * _spread(np.abs(band))
    return band.clip(-limit, limit)


_DETAIL_AREA = 4 * math.pi  # pixels that one independent value of `_details` stands for


def _agreement(first: np.ndarray, second: np.ndarray, shift: tuple[int, int]) -> float:
    """Correlate what overlaps, in standard deviations of chance."""
    here, there = overlap(first.shape, shift)
    one, other = first[here] - first[here].mean(), second[there] - second[there].mean()
    norm = math.sqrt(float((one * one).sum()) * float((other * other).sum()))
    return float((one * other).sum()) / norm * math.sqrt(one.size / _DETAIL_AREA) if norm else 0.0


def overlap(
    size: tuple[int, int], shift: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where a reference and a frame to be moved by `shift` overlap, in each of them."""
    here = tuple(slice(max(0, d), n + min(0, d)) for n, d in zip(size, shift, strict=True))
    there = tuple(slice(max(0, -d), n + min(0, -d)) for n, d in zip(size, shift, strict=True))
    return here, there


def smoothness(difference: Tensor) -> float:
    """Correlation of values four pixels apart."""
    centred = difference - difference.mean((1, 2), keepdim=True)
    product = (centred[:, :, 4:] * centred[:, :, :-4]).mean()
    return (product / centred.square().mean().clamp(min=1e-12)).item()


def crop(frames: Sequence[Tensor], shifts: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Move frames by whole pixels, and cut all to what they share.

    Parameters
    ----------
    frames : sequence of Tensor
        ``(C, H, W)`` of one size.
    shifts : sequence of (int, int)
        Rows and columns by which to move each.

    Returns
    -------
    list of Tensor
        Views of equal size, perhaps an empty one.
    """
    parts = []
    for axis in (0, 1):
        moves, size = [shift[axis] for shift in shifts], frames[0].shape[1 + axis]
        start, stop = max(moves), size + min(moves)
        parts.append([slice(start - move, max(start, stop) - move) for move in moves])
    return [frame[:, rows, columns] for frame, rows, columns in zip(frames, *parts, strict=True)]


# --------------------------------------------------------------------------------------------------
# Brightness


def fit_brightness(reference: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
    r"""Fit gain and offset of each channel: frame :math:`\approx g` reference :math:`+ o`.

    Parameters
    ----------
    reference, frame : Tensor
        ``(C, H, W)``, aligned.

    Returns
    -------
    (Tensor, Tensor)
        ``(C,)`` each. The gain is 1 where the picture is too even to tell; both are 1 and 0 where
        the difference may be chance.

    Notes
    -----
    Means of blocks of 8 x 8 pixels, whose noise is an eighth, and the line that is closest to them
    in both directions (orthogonal regression): least squares would make the gain too small, since
    the reference is noisy too. Blocks off the line by more than four standard deviations, by their
    median, are left out, five times: parts that moved do not count.
    """
    pairs = zip(_block_means(reference), _block_means(frame), strict=True)
    gains, offsets = torch.tensor([_fit_line(one, other) for one, other in pairs]).unbind(1)
    return gains, offsets


def _fit_line(one: Tensor, other: Tensor) -> tuple[float, float]:
    """Return slope and height of the line through most of the points."""
    level = other.median() - one.median()
    gain = (_deviations(other).median() / _deviations(one).median().clamp(min=1e-9)).item()
    for _ in range(5):
        off = _deviations(other - gain * one)
        kept = off <= 4 * 1.4826 * off.median() + 1e-6
        x, y = one[kept], other[kept]
        dx, dy = x - x.mean(), y - y.mean()
        xx, yy, xy = ((p * q).mean().item() for p, q in ((dx, dx), (dy, dy), (dx, dy)))
        if xy <= 0.7 * math.sqrt(xx * yy):  # too even to tell
            return 1.0, level.item()
        gain = (yy - xx + math.hypot(yy - xx, 2 * xy)) / (2 * xy)
    unsure = 3 * (y - gain * x).std().item() / math.sqrt(len(x))
    if abs(gain - 1) * math.sqrt(xx) < unsure:
        gain = 1.0
    offset = (y.mean() - gain * x.mean()).item()
    return gain, 0.0 if gain == 1 and abs(offset) < unsure else offset


def _deviations(values: Tensor) -> Tensor:
    return (values - values.median()).abs()


def _block_means(image: Tensor) -> Tensor:
    """Means of blocks of 8 x 8, float64 ``(C, blocks)``; what is left over at the ends is not."""
    height, width = (n // 8 for n in image.shape[1:])
    blocks = image[:, : 8 * height, : 8 * width].double()
    return blocks.unflatten(2, (width, 8)).unflatten(1, (height, 8)).mean((2, 4)).flatten(1)


# --------------------------------------------------------------------------------------------------
# What moved, and the noise


def still_parts(frames: Sequence[Tensor]) -> Tensor:
    """Find where each frame shows what most of them show.

    Parameters
    ----------
    frames : sequence of Tensor
        ``(C, H, W)``, aligned and equally bright.

    Returns
    -------
    Tensor
        bool ``(n, H, W)``.

    Notes
    -----
    A pixel has moved where the difference to the median of all frames, smoothed, is beyond `MOVED`
    times its own standard deviation at this brightness (a median again, so that what moved does
    not count), and beyond what an edge changes by within half a pixel: shifts are whole numbers.
    Two frames have but one difference, so both lose the pixel.
    """
    from skimage import morphology  # which scikit-image loads whole

    median = _median(frames)
    smooth = _blurred(median, MASK_SMOOTHING)
    slopes = np.hypot(np.gradient(smooth, axis=1), np.gradient(smooth, axis=2))
    edges = np.quantile(smooth, np.linspace(0, 1, _BINS + 1)[1:-1])
    bins = np.digitize(smooth, edges)
    valid, disk = [], morphology.disk(2)
    for frame in frames:
        rest = np.abs(_blurred(frame - median, MASK_SMOOTHING))
        spread = np.array([_spread(rest[bins == number]) for number in range(_BINS)])
        moved = (rest > MOVED * spread[bins] + 0.7 * slopes).any(0)
        valid.append(torch.from_numpy(~morphology.dilation(moved, disk)))
    return torch.stack(valid)


def _spread(values: np.ndarray) -> float:
    """Standard deviation of normal numbers by the median of their absolute values."""
    return 1.4826 * float(np.median(values)) if values.size else 0.0


def _median(frames: Sequence[Tensor]) -> Tensor:
    """Median of frames, some rows at a time: a copy of all of them has no room."""
    rows = range(0, frames[0].shape[1], 64)
    parts = [np.median([frame[:, row : row + 64].numpy() for frame in frames], 0) for row in rows]
    return torch.from_numpy(np.concatenate(parts, 1).astype(np.float32))


def noise_variance(frames: Sequence[Tensor]) -> Tensor:
    """Variance of the noise of a frame at every pixel, mean over channels: float64 ``(H, W)``."""
    mean = sum(frame.double() for frame in frames) / len(frames)
    total = sum((frame - mean).square().mean(0) for frame in frames)
    return total / (len(frames) - 1)


def noise_correlation(first: Tensor, second: Tensor) -> float:
    """Correlate the noise of two frames, as far as it can be told from what they show.

    Parameters
    ----------
    first, second : Tensor
        ``(C, H, W)``, of one size.

    Returns
    -------
    float
        -1 to 1; about 0 where the noise is independent. Detail of the scene adds to it: none where
        the frames are shifted against each other, little otherwise.

    Notes
    -----
    Noise is taken to be what a second difference in both directions leaves (Immerkær 1996), in the
    most even quarter of the picture.
    """
    rest = [_second_differences(frame.double()) for frame in (first, second)]
    bends = _second_differences(torch.from_numpy(_blurred(first + second, 2))).abs().mean(0)
    rough = filters.gaussian(bends.numpy(), 3)
    even = torch.from_numpy(rough <= np.quantile(rough, 0.25))
    one, other = (values[:, even] for values in rest)
    norm = (one.square().mean() * other.square().mean()).sqrt().item()
    return (one * other).mean().item() / norm if norm else 1.0


def _blurred(image: Tensor, width: float) -> np.ndarray:
    return filters.gaussian(image.numpy(), width, channel_axis=0)


def _second_differences(image: Tensor) -> Tensor:
    return image.diff(n=2, dim=1).diff(n=2, dim=2)


def mean_where(frames: Sequence[Tensor], valid: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of frames over their valid values, and where there was one.

    Parameters
    ----------
    frames : sequence of Tensor
        ``(C, H, W)`` each.
    valid : Tensor
        bool ``(n, H, W)``.

    Returns
    -------
    (Tensor, Tensor)
        ``(C, H, W)``, which is the first frame where none is valid, and bool ``(H, W)``.
    """
    total, count = torch.zeros_like(frames[0]), valid.sum(0)
    for frame, here in zip(frames, valid, strict=True):
        total += frame * here
    return torch.where(count > 0, total / count.clamp(min=1), frames[0]), count > 0

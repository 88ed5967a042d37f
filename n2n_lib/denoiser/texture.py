"""Texture that a network took for noise, given back.

Where a network takes fine texture for noise, because it has to find out the level by itself or was
told one that is too high for the place, more is taken away than the noise that is there: this is
how it shows, and how it is undone, place by place.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate  # noqa: TID251 (functions, not modules)

from n2n_lib.denoiser.estimate import NoiseMeasure

CELL = 8
"""Side of the cells, in pixels, in which it is looked up how much was taken away."""

PARTS = 8
"""Steps of brightness, at most, from the darkest cells to the brightest."""

FEWEST = 12
"""Cells that the level of one step rests on, at least."""

MARGIN = 1.3
"""How much more than the usual power is still noise: it varies from cell to cell."""

SURPASS = 2.0
"""By how much the power of the noise may surpass the one that was measured on the picture."""

STEEPEST = 3.0
"""Noise of one brightness to that of another, at most, as standard deviations."""

ROWS = 512
"""Rows of pixels that are converted at a time, a multiple of `CELL`."""


def within_noise(noisy: Tensor, cleaned: Tensor, measure: NoiseMeasure) -> Tensor:
    r"""Take away no more than the noise that is there.

    .. math::

        y = x + a\,(f(x) - x), \qquad a = \min\Bigl(1, \frac{\sigma^2}{r^2}\Bigr)

    with r² the mean square of what was taken away around a pixel, and σ² that of the noise at its
    brightness. Of all shares a of what is taken away this one leaves the smallest error, if what
    is taken away is all of the noise and, independent of it, texture.

    Parameters
    ----------
    noisy, cleaned : Tensor
        An image ``(3, H, W)`` before and after, 0-255.
    measure : NoiseMeasure
        Of the noisy one. Where no place of it was even, all rests on what was taken away.

    Returns
    -------
    Tensor
        The shape and dtype of `cleaned`; `cleaned` itself if nothing has to be given back.

    Notes
    -----
    σ² is the smaller of two: twice that of `measure`, which takes texture for noise where no
    place is quite even, and 1.3 times the usual r² of the cells of that brightness. Noise of one
    brightness has one level, so that the r² of cells without texture lie close together: usual is
    the middle of the narrowest interval that holds half of the cells.

    Examples
    --------
    >>> cleaned = within_noise(noisy, model.predict(noisy), measure_noise(noisy))
    """
    if min(noisy.shape[1:]) < CELL:
        return cleaned
    taken, brightness = _cells(noisy, cleaned)
    allowed = _usual_power(taken, brightness)
    if measure.blocks:
        measured = np.square(np.interp(brightness, measure.brightness, measure.level))
        allowed = np.minimum(allowed, SURPASS * measured)
    share = torch.from_numpy(allowed / np.maximum(taken, 1e-9)).float().clamp_(max=1)
    return cleaned if bool((share == 1).all()) else _mixed(noisy, cleaned, share)


def taken_away(noisy: Tensor, cleaned: Tensor) -> float:
    """Return the standard deviation of what was taken away from an image ``(3, H, W)``, 0-255."""
    parts = zip(noisy.split(ROWS, 1), cleaned.split(ROWS, 1), strict=True)
    total = sum(float((before.float() - after.float()).square_().sum()) for before, after in parts)
    return (total / noisy.numel()) ** 0.5


def _cells(noisy: Tensor, cleaned: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the power of what was taken away and the brightness, of every cell and its neighbours.

    Those at the lower and right edge, which may be narrower, are as long as is left.
    """
    taken, brightness = [], []
    for before, after in zip(noisy.split(ROWS, 1), cleaned.split(ROWS, 1), strict=True):
        before, after = before.float(), after.float()
        power = (before - after).square_().mean(0, keepdim=True)
        taken.append(avg_pool2d(power, CELL, ceil_mode=True))
        brightness.append(avg_pool2d(after.mean(0, keepdim=True), CELL, ceil_mode=True))
    return _smooth(torch.cat(taken, 1)[0].numpy()), torch.cat(brightness, 1)[0].numpy()


def _smooth(cells: np.ndarray) -> np.ndarray:
    """Average each cell with its neighbours, with weights 1, 2, 1 in rows and in columns."""
    padded = np.pad(cells, 1, mode="edge")
    rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4


def _usual_power(taken: np.ndarray, brightness: np.ndarray) -> np.ndarray:
    """Return for each cell what is usually taken away at its brightness, with some margin."""
    order = brightness.argsort(axis=None)
    parts = np.array_split(order, max(1, min(PARTS, len(order) // FEWEST)))
    middles = [np.median(brightness.flat[part]) for part in parts]
    powers = np.array([_narrowest_half(np.log(taken.flat[part] + 1e-3)) for part in parts])
    powers = np.minimum(np.exp(powers), STEEPEST**2 * np.exp(powers.min()))
    return MARGIN * np.interp(brightness, middles, powers)


def _narrowest_half(values: np.ndarray) -> float:
    """Return the mean of the half of the values that lie closest together."""
    values = np.sort(values)
    half = (len(values) + 1) // 2
    widths = values[half - 1 :] - values[: len(values) - half + 1]
    first = int(widths.argmin())
    return float(values[first : first + half].mean())


def _mixed(noisy: Tensor, cleaned: Tensor, share: Tensor) -> Tensor:
    """Return ``noisy + share * (cleaned - noisy)``, the share drawn smoothly from cell to cell."""
    result = torch.empty_like(cleaned)
    height, width = cleaned.shape[1:]
    padded = torch.cat([share[:1], share, share[-1:]])  # a strip needs the cells around it
    for top in range(0, height, ROWS):
        rows = slice(top, min(top + ROWS, height))
        first, last = top // CELL, -(-rows.stop // CELL) + 2
        strip = interpolate(padded[None, None, first:last], scale_factor=CELL, mode="bilinear")
        strip = strip[0, 0, CELL : CELL + rows.stop - top, :width]
        mixed = noisy[:, rows].float().lerp(cleaned[:, rows].float(), strip)
        result[:, rows] = mixed if cleaned.is_floating_point() else mixed.round_()
    return result

"""What a denoiser gains on noisy frames, estimated without a clean image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from n2n_lib.denoiser.alignment import noise_variance
from n2n_lib.denoiser.scene import Scene


class Estimate(NamedTuple):
    """How much closer to the clean picture an image is than one noisy frame.

    Attributes
    ----------
    gain : float
        In decibels.
    spread : float
        Standard error of it.
    """

    gain: float
    spread: float


ONE, MEAN = "one noisy frame", "mean of the frames"
ONE_CLEANED, MEAN_CLEANED = "one frame, cleaned", "mean of the frames, cleaned"


BASIS = (
    "gain over one noisy frame ± its standard error, measured without a clean image on a frame "
    "(with two frames: every fourth block of pixels) that was not trained on. It rests on noise of "
    "mean zero that is independent between frames; what all frames share counts as picture."
)
"""What `estimate_gains` rests on, in words fit for printing."""


def estimate_gains(scene: Scene, clean: Callable[[Tensor, int], Tensor]) -> dict[str, Estimate]:
    r"""Estimate what a denoiser gains on a scene, without a clean image.

    Let x be the clean picture and :math:`b = x + n` a frame whose noise is independent of an image
    y. Then

    .. math:: E|y - b|^2 = E|y - x|^2 + \operatorname{Var}(n),

    so the error of y is its distance to b less the variance of b's noise, and that variance is
    known from frames alone: two of them differ by :math:`E|a - b|^2 = \operatorname{Var}(n_a) +
    \operatorname{Var}(n_b)`.

    - With three frames or more, b is the last one, which the network was not trained on and y not
      made of.
    - With two, y is made of a; the pixels are those of `Scene.held_out`, which no training
      target held, so that the network cannot know b's noise there. Both orders are averaged, for
      then the variances need not be equal. The mean of both frames cannot be judged after
      cleaning, since no frame is left to compare with.

    Parameters
    ----------
    scene : Scene
        The frames.
    clean : callable
        Takes a mean of frames ``(C, H, W)`` and the number of them, and returns it denoised.

    Returns
    -------
    dict of str to Estimate
        For one noisy frame, the mean of those trained on, one frame cleaned and that mean cleaned.

    Notes
    -----
    It rests on noise that is independent between frames and has mean zero. What all frames share
    (a pattern of the sensor, values clipped at black and white) counts as picture here. The
    standard error is that of a ratio of sums over blocks of 16 x 16 pixels, as if they were drawn
    from a larger picture: it tells, too, how much the gain differs from place to place.
    """
    count, here = scene.training, scene.valid.all(0)
    frames, mean = scene.frames[:count], scene.mean(count)
    noise = noise_variance(frames)
    if len(scene.frames) == 2:
        here = here & scene.held_out
        one, other = frames
        cleaned = (_squared(clean(one, 1), other) + _squared(clean(other, 1), one)) / 2 - noise
        errors = {ONE: noise, MEAN: noise / 2, ONE_CLEANED: cleaned}
    else:
        last = scene.frames[-1]
        variance = sum(_squared(frame, last) for frame in frames) / count - noise
        some = frames[:2]
        cleaned = sum(_squared(clean(frame, 1), last) for frame in some) / len(some) - variance
        errors = {
            ONE: noise,
            MEAN: _squared(mean, last) - variance,
            ONE_CLEANED: cleaned,
            MEAN_CLEANED: _squared(clean(mean, count), last) - variance,
        }
    return {name: _estimate(error, noise, here) for name, error in errors.items()}


def mean_estimates(scenes: Sequence[dict[str, Estimate]]) -> dict[str, Estimate]:
    """Average estimates over the scenes that have them."""
    means = {}
    for name in (ONE, MEAN, ONE_CLEANED, MEAN_CLEANED):
        own = [scene[name] for scene in scenes if name in scene]
        if own:
            gain = sum(each.gain for each in own) / len(own)
            means[name] = Estimate(gain, math.hypot(*(each.spread for each in own)) / len(own))
    return means


def rounded(estimates: dict[str, Estimate]) -> dict[str, dict[str, float]]:
    """Return estimates as they are written down."""
    return {
        name: {"gain": round(each.gain, 3), "spread": round(each.spread, 3)}
        for name, each in estimates.items()
    }


def _squared(image: Tensor, frame: Tensor) -> Tensor:
    return (image.double() - frame).square().mean(0)


def _estimate(error: Tensor, noise: Tensor, here: Tensor) -> Estimate:
    """Compare two mean errors; one below its own uncertainty counts as large as that."""
    errors, noises = _sums(error * here), _sums(noise * here)
    whole = noises.sum().clamp(min=1e-12)
    ratio = errors.sum() / whole
    spread = (errors - ratio * noises).square().sum().sqrt() / whole
    ratio = max(ratio, spread, torch.tensor(1e-12)).item()
    return Estimate(-10 * math.log10(ratio), 10 / math.log(10) * spread.item() / ratio)


def _sums(values: Tensor) -> Tensor:
    """Sums over blocks of 16 x 16."""
    height, width = (-n % 16 for n in values.shape)
    padded = torch.constant_pad_nd(values, (0, width, 0, height))
    return padded.unflatten(1, (-1, 16)).unflatten(0, (-1, 16)).sum((1, 3))

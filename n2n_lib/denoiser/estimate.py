r"""What the noise of a picture is like, measured on the picture alone.

Noise shows where the scene is even. The picture is cut into blocks of `BLOCK` pixels a side, a
plane is fitted to each and taken away, and the blocks are kept in which what remains looks like
noise: little of it survives when pixels are averaged, as it does with texture and edges. In these,
level, brightness and the likeness of neighbours are measured.

A camera interpolates, smooths and compresses, so that neighbouring pixels share their noise. A
measure that takes the difference of neighbours for noise, as `classical.estimate_sigma` does, then
finds a fraction of it, and takes the rest for picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from n2n_lib.denoiser.images import check_images

BLOCK = 16
"""Side of a block in pixels: large enough for noise whose grains are some pixels wide."""

GRAIN = 4
"""Side of the squares that are averaged: what survives that is no fine noise."""

LAGS = 6
"""Distances between pixels, from 0, at which their likeness is measured."""

MOST = 8192
"""Blocks that are looked at, about: those of two megapixels, spread over a larger picture."""

LIKENESS = 0.07
"""Correlation of neighbours from which on noise is not white.

White noise of 5 to 25 grey levels on photographs shows up to 0.03; a camera's shows 0.19 to
0.7, and 0.09 where it was sharpened much.
"""

FEWEST = 6
"""Blocks that a figure rests on, at least."""

ENOUGH = 64
"""Blocks to choose the even ones from, if the picture has as many."""


@dataclass(frozen=True)
class NoiseMeasure:
    """The noise of one picture.

    Attributes
    ----------
    sigma : float
        Standard deviation, in grey levels of 255, over all even blocks: the median.
    brightness, level : tuple of float
        Standard deviation of the noise by brightness, both in grey levels, from dark to bright.
        Empty where too few blocks are even.
    correlation : tuple of float
        Of pixels that are 0, 1, 2 ... apart in a row or a column.
    channels : float
        Correlation of the noise of two colours, the mean over the three pairs: 1 in a grey picture.
    blocks : int
        How many blocks all this rests on; 0 if none was even, and then the noise is unknown.
    """

    sigma: float
    brightness: tuple[float, ...]
    level: tuple[float, ...]
    correlation: tuple[float, ...]
    channels: float
    blocks: int

    @property
    def white(self) -> bool:
        """Whether neighbouring pixels have noise of their own, as far as anything is known."""
        return self.blocks == 0 or self.correlation[1] < LIKENESS

    @property
    def network(self) -> str:
        """The shipped network that suits this noise."""
        return "unet" if self.white else "unet-camera"

    def __str__(self) -> str:
        if not self.blocks:
            return "noise unknown: no even place"
        kind = "white" if self.white else "of a camera"
        return f"noise of {self.sigma:.1f} grey levels, {kind}"


def level_to_tell(sigma: float, shared: float = 1.0) -> float:
    r"""Return the level of noise that a network should be told where colours share their noise.

    A network that knows levels has learned channels with noise of their own, of which it takes a
    mean. Where the noise of two of them has the correlation `shared`, this mean has
    :math:`1 + 2 \rho` times the variance, so that the level has to be larger by the root of that.

    Parameters
    ----------
    sigma : float
        Standard deviation of the noise, in any units.
    shared : float
        Correlation of the noise of two colours; 1 where the three are equal, as in a grey picture.

    Returns
    -------
    float
        In the units of `sigma`.

    Examples
    --------
    >>> round(level_to_tell(10.0), 2), level_to_tell(10.0, shared=0.0)
    (17.32, 10.0)
    """
    return math.sqrt(1 + 2 * shared) * sigma


def measure_noise(image: Tensor) -> NoiseMeasure:
    """Measure the noise of a picture in its even places.

    Parameters
    ----------
    image : Tensor
        ``(3, H, W)``, 0-255, uint8 or floating point.

    Returns
    -------
    NoiseMeasure
        With no blocks if the picture has less than `FEWEST` of them.

    Raises
    ------
    TypeError, ValueError
        If it is no such image.

    Notes
    -----
    Blocks in which more than a fiftieth of the values are black or white do not count, if there
    are others: there noise is cut off. The level is that of the noise if at least some blocks of
    the picture are even; where all is texture, it is too high.

    Examples
    --------
    >>> measure_noise(photograph("coffee"))
    """
    check_images(image, "image")
    if image.dim() != 3:
        raise ValueError(f"expected one image (3, H, W), got {tuple(image.shape)}")
    blocks = _blocks(image)
    rest = _without_planes(blocks)
    power = rest.square().mean((1, 2, 3))  # (B,)
    coarse = _averaged(rest.mean(1)).square().mean((1, 2))  # (B,)
    even = _even(power, coarse)
    if len(even) < FEWEST:
        return NoiseMeasure(0.0, (), (), (1.0,) * LAGS, 0.0, 0)
    brightness, level, quiet = _by_brightness(blocks.mean((1, 2, 3)), power, even)
    noise = rest[quiet] / power[quiet].clamp(min=1e-9).sqrt().view(-1, 1, 1, 1)
    return NoiseMeasure(
        power[even].median().sqrt().item(),
        brightness,
        level,
        tuple(_correlation(noise, lag) for lag in range(LAGS)),
        _between_channels(noise),
        len(even),
    )


def _blocks(image: Tensor) -> Tensor:
    """Cut a picture into blocks ``(B, 3, BLOCK, BLOCK)`` that are neither black nor white."""
    if min(image.shape[1:]) < BLOCK:
        return image.new_empty(0, 3, BLOCK, BLOCK, dtype=torch.double)
    whole = image.unfold(1, BLOCK, BLOCK).unfold(2, BLOCK, BLOCK)
    step = math.ceil(math.sqrt(whole.shape[1] * whole.shape[2] / MOST))
    whole = whole[:, ::step, ::step]
    blocks = whole.permute(1, 2, 0, 3, 4).flatten(0, 1).double()
    cut_off = ((blocks <= 1) | (blocks >= 254)).double().mean((1, 2, 3))
    enough = min(len(blocks), ENOUGH)
    for most in (0.02, 0.1, 0.3):  # strong noise is cut off here and there wherever one looks
        kept = blocks[cut_off <= most]
        if len(kept) >= enough:
            break
    return kept


def _without_planes(blocks: Tensor) -> Tensor:
    """Take away from each block and colour the plane that fits it best."""
    side = torch.arange(BLOCK, dtype=blocks.dtype)
    rows, columns = torch.meshgrid(side, side, indexing="ij")
    planes = torch.stack([torch.ones_like(rows), rows, columns]).flatten(1)  # (3, BLOCK^2)
    basis = torch.linalg.qr(planes.T).Q  # (BLOCK^2, 3)
    flat = blocks.flatten(-2)
    return (flat - flat @ basis @ basis.T).view_as(blocks)


def _averaged(grey: Tensor) -> Tensor:
    return grey.unfold(1, GRAIN, GRAIN).unfold(2, GRAIN, GRAIN).mean((-1, -2))


def _even(power: Tensor, coarse: Tensor) -> Tensor:
    """Return the numbers of the blocks in which little of the rest survives averaging.

    How little, the evenest blocks of the picture show: white noise keeps a sixteenth at most, that
    of a camera more.
    """
    if len(power) < FEWEST:
        return torch.arange(0)
    share = coarse / power.clamp(min=1e-9)
    evenest = coarse.argsort()[: max(FEWEST, len(coarse) // 20)]
    usual = 1.5 * share[evenest].median()
    return ((share <= usual) & (coarse <= coarse.median())).nonzero().squeeze(1)


def _by_brightness(
    brightness: Tensor, power: Tensor, even: Tensor
) -> tuple[tuple[float, ...], tuple[float, ...], Tensor]:
    """Return brightness and level from dark to bright, and the quieter half of the blocks.

    A block with texture that passed for an even one is among the louder half.
    """
    ordered = even[brightness[even].argsort()]
    middles, levels, quiet = [], [], []
    for part in ordered.chunk(max(1, min(8, len(ordered) // FEWEST))):
        quieter = part[power[part].argsort()[: (len(part) + 1) // 2]]
        quiet.append(quieter)
        middles.append(brightness[part].median().item())
        levels.append(power[quieter].median().sqrt().item())
    return tuple(middles), tuple(levels), torch.cat(quiet)


def _correlation(noise: Tensor, lag: int) -> float:
    """Return the mean product of pixels so far apart, in rows and in columns."""
    end = BLOCK - lag
    across = (noise[..., lag:] * noise[..., :end]).mean()
    down = (noise[..., lag:, :] * noise[..., :end, :]).mean()
    return ((across + down) / 2).item()


def _between_channels(noise: Tensor) -> float:
    own = noise.square().mean((0, 2, 3)).clamp(min=1e-9).sqrt()
    pairs = combinations(range(3), 2)
    found = [(noise[:, i] * noise[:, j]).mean() / (own[i] * own[j]) for i, j in pairs]
    return torch.stack(found).mean().item()

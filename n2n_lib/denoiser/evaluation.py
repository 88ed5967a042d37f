"""One table for every denoiser: PSNR, SSIM and time, with the do-nothing row."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from n2n_lib.denoiser.classical import METHODS, denoise
from n2n_lib.denoiser.images import to_unit
from n2n_lib.denoiser.metrics import PSNR_DEFINITIONS, psnr, ssim

DO_NOTHING = "do nothing"
OURS = "our network"


@dataclass(frozen=True)
class Score:
    """How well one denoiser did, on a batch of images or on one photograph.

    Attributes
    ----------
    name : str
        The denoiser.
    psnr : float
        In dB, mean over images, peak 1.
    psnr_pooled : float
        In dB, of the squared error pooled over all images; of one photograph the same as `psnr`.
    ssim : float
        As in ``metrics.ssim``, mean over images.
    seconds : float
        Time for all of them.
    megapixels : float
        Their size, all together.
    output : Tensor
        The denoised images in the shape of the noisy ones, 0-255, clipped.
    image : str
        Name of the photograph; empty for a batch.
    """

    name: str
    psnr: float
    psnr_pooled: float
    ssim: float
    seconds: float
    megapixels: float
    output: Tensor = field(repr=False)
    image: str = ""

    def rounded(self, *measures: str) -> dict[str, float]:
        """Return measures by name: decibels and SSIM to four digits, seconds to three."""
        return {key: round(getattr(self, key), 3 if key == "seconds" else 4) for key in measures}


def evaluate(
    noisy: Tensor,
    clean: Tensor,
    denoisers: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    *,
    classical: Sequence[str] = tuple(METHODS),
    sigma: float | None = None,
) -> list[Score]:
    """Denoise the same images in several ways and measure each against the clean ones.

    Parameters
    ----------
    noisy, clean : Tensor
        ``(N, 3, H, W)``, 0-255. Every result is clipped to 0-255 before it is measured, the
        untouched noisy images too: that is how they would be shown.
    denoisers : mapping of str to callable, optional
        Functions of images 0-255, for example ``{"our network": model.predict}``.
    classical : sequence of str
        Names out of ``classical.METHODS``.
    sigma : float, optional
        Noise level for the classical methods in grey levels of 255; estimated if None.

    Returns
    -------
    list of Score
        Doing nothing first, then the classical methods, then `denoisers`.

    Examples
    --------
    >>> from n2n_lib import sample_pairs
    >>> pairs = sample_pairs(4, split="validation")
    >>> [score.name for score in evaluate(pairs.noisy1, pairs.clean, classical=["tv"])]
    ['do nothing', 'tv']
    """
    ways = _ways(classical, sigma, denoisers or {})
    return list(_scores(ways, noisy, clean))


def summary(scores: Sequence[Score]) -> dict:
    """Lay the table of `evaluate` out for machines, with `OURS` apart from the baselines."""
    rows = {score.name: score.rounded("psnr", "psnr_pooled", "ssim", "seconds") for score in scores}
    nothing, ours = rows.pop(DO_NOTHING), rows.pop(OURS)
    return {
        "psnr_noisy": nothing["psnr"],
        "psnr_denoised": ours["psnr"],
        "psnr_definition": PSNR_DEFINITIONS["mean"],
        "psnr_pooled_noisy": nothing["psnr_pooled"],
        "psnr_pooled_denoised": ours["psnr_pooled"],
        "ssim_noisy": nothing["ssim"],
        "ssim_denoised": ours["ssim"],
        "baselines": rows,
    }


def evaluate_photographs(
    pairs: Mapping[str, tuple[Tensor, Tensor]],
    denoisers: Mapping[str, Callable[[Tensor], Tensor]],
    *,
    against: Sequence[str] = (),
    sigma: float | None = None,
) -> Iterator[Score]:
    """Denoise whole photographs in several ways, one after the other.

    Parameters
    ----------
    pairs : mapping of str to (Tensor, Tensor)
        Noisy and clean photograph, ``(3, H, W)``, 0-255, by name; of any size.
    denoisers : mapping of str to callable
        Functions of images 0-255, for example ``{"our network": model.predict}``.
    against : sequence of str
        Names out of ``classical.ALL_METHODS``.
    sigma : float, optional
        Noise level that the classical methods are told, in grey levels of 255; estimated if None.

    Yields
    ------
    Score
        For each photograph: doing nothing, `against`, `denoisers`.
    """
    ways = _ways(against, sigma, denoisers)
    for image, (noisy, clean) in pairs.items():
        yield from _scores(ways, noisy, clean, image)


def _ways(
    classical: Sequence[str],
    sigma: float | None,
    denoisers: Mapping[str, Callable[[Tensor], Tensor]],
) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return functions of images 0-255 by name, in the order of the table."""
    ways: dict[str, Callable[[Tensor], Tensor]] = {DO_NOTHING: lambda images: images}
    for name in classical:
        ways[name] = lambda images, name=name: denoise(name, to_unit(images), sigma) * 255
    return ways | dict(denoisers)


def _scores(
    ways: Mapping[str, Callable[[Tensor], Tensor]], noisy: Tensor, clean: Tensor, image: str = ""
) -> Iterator[Score]:
    """Denoise one batch or photograph in every way, and measure each as soon as it is done."""
    reference = to_unit(clean)
    megapixels = reference.numel() / reference.shape[-3] / 1e6
    for name, function in ways.items():
        started = time.perf_counter()
        output = function(noisy)
        seconds = time.perf_counter() - started
        unit = to_unit(output).clamp(0, 1)
        yield Score(
            name,
            psnr(unit, reference),
            psnr(unit, reference, definition="pooled"),
            ssim(unit, reference),
            seconds,
            megapixels,
            unit * 255,
            image,
        )

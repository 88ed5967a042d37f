"""One table for every denoiser: PSNR, SSIM and time, with the do-nothing row (lesson 08)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from n2n_lib.classical import METHODS, denoise
from n2n_lib.data import to_unit
from n2n_lib.metrics import psnr, ssim

DO_NOTHING = "do nothing"


@dataclass(frozen=True)
class Row:
    """How well one denoiser did.

    Attributes
    ----------
    name : str
        The denoiser.
    psnr : float
        In dB, mean over images, peak 1.
    psnr_pooled : float
        In dB, of the squared error pooled over all images.
    ssim : float
        Mean over images.
    seconds : float
        Time for all images.
    """

    name: str
    psnr: float
    psnr_pooled: float
    ssim: float
    seconds: float


def evaluate(
    noisy: Tensor,
    clean: Tensor,
    denoisers: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    *,
    classical: Sequence[str] = tuple(METHODS),
    sigma: float | None = None,
) -> list[Row]:
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
    list of Row
        Doing nothing first, then the classical methods, then `denoisers`.
    """
    ways: dict[str, Callable[[Tensor], Tensor]] = {DO_NOTHING: lambda images: images}
    for name in classical:
        ways[name] = lambda images, name=name: denoise(name, to_unit(images), sigma) * 255
    ways.update(denoisers or {})
    rows, reference = [], to_unit(clean)
    for name, function in ways.items():
        started = time.perf_counter()
        output = function(noisy)
        seconds = time.perf_counter() - started
        unit = to_unit(output).clamp(0, 1)
        rows.append(
            Row(
                name,
                psnr(unit, reference),
                psnr(unit, reference, definition="pooled"),
                ssim(unit, reference),
                seconds,
            )
        )
    return rows

"""One table for every denoiser: PSNR, SSIM and time, with the do-nothing row (lessons 08, 12)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from n2n_lib.denoiser.classical import METHODS, denoise
from n2n_lib.denoiser.images import to_unit
from n2n_lib.denoiser.metrics import psnr, ssim

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


@dataclass(frozen=True)
class PhotographRow:
    """How well one denoiser did on one photograph.

    Attributes
    ----------
    image, name : str
        The photograph and the denoiser.
    psnr : float
        In dB, peak 1.
    ssim : float
        As in ``metrics.ssim``.
    seconds : float
        Time for it.
    megapixels : float
        Size of the photograph.
    output : Tensor
        The denoised photograph ``(3, H, W)``, 0-255, clipped.
    """

    image: str
    name: str
    psnr: float
    ssim: float
    seconds: float
    megapixels: float
    output: Tensor


def evaluate_photographs(
    pairs: Mapping[str, tuple[Tensor, Tensor]],
    denoisers: Mapping[str, Callable[[Tensor], Tensor]],
    *,
    against: Sequence[str] = (),
    sigma: float | None = None,
) -> Iterator[PhotographRow]:
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
    PhotographRow
        For each photograph: doing nothing, `against`, `denoisers`.
    """
    ways: dict[str, Callable[[Tensor], Tensor]] = {DO_NOTHING: lambda image: image}
    for name in against:
        ways[name] = lambda image, name=name: denoise(name, to_unit(image), sigma) * 255
    ways.update(denoisers)
    for image, (noisy, clean) in pairs.items():
        for name, function in ways.items():
            started = time.perf_counter()
            output = function(noisy)
            seconds = time.perf_counter() - started
            unit, reference = to_unit(output).clamp(0, 1), to_unit(clean)
            yield PhotographRow(
                image,
                name,
                psnr(unit, reference),
                ssim(unit, reference),
                seconds,
                clean.shape[1] * clean.shape[2] / 1e6,
                unit * 255,
            )

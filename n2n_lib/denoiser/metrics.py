"""How close is one image to another: mean squared error, PSNR and SSIM (lessons 01 and 02).

PSNR comes in two definitions that differ by about 1 dB on thumbnails, so every figure that is
printed says which one it is: see `PSNR_DEFINITIONS`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from n2n_lib.support.arguments import check_number

PSNR_DEFINITIONS: dict[str, str] = {
    "mean": "mean over images of each image's PSNR",
    "pooled": "PSNR of the squared error pooled over all images",
}
"""The two definitions of the PSNR of several images, in words fit for printing."""

SSIM_WINDOW = 7
"""Side, in pixels, of the square window over which SSIM compares local statistics."""


def mse(output: Tensor, target: Tensor) -> float:
    """Mean squared error over every value of every image.

    Parameters
    ----------
    output, target : Tensor
        Images ``(C, H, W)`` or ``(N, C, H, W)`` of equal shape, uint8 or float, on the same scale.

    Returns
    -------
    float
        The mean of the squared differences, computed in float64, in squared units of the images.

    Raises
    ------
    TypeError
        If an argument is not a tensor, or neither uint8 nor floating point.
    ValueError
        If the shapes differ, are not 3-D or 4-D, are empty, or a value is not finite.
    """
    return _squared_error_per_image(output, target).mean().item()


def psnr_per_image(output: Tensor, target: Tensor, *, peak: float = 1.0) -> Tensor:
    r"""Peak signal-to-noise ratio of each image, in dB.

    .. math:: \mathrm{PSNR} = 10 \log_{10} (\mathrm{peak}^2 / \mathrm{MSE})

    Parameters
    ----------
    output, target : Tensor
        Images ``(C, H, W)`` or ``(N, C, H, W)`` of equal shape, uint8 or float, on the same scale.
    peak : float
        The value of white: 1 for images in 0-1 (the default), 255 for images in 0-255.

    Returns
    -------
    Tensor
        float64, ``(N,)``; ``(1,)`` for one 3-D image. Two identical images have ``inf``.

    Raises
    ------
    TypeError, ValueError
        As `mse`; and ValueError if `peak` is not a finite positive number.
    """
    peak = float(check_number("peak", peak, above=0))
    return 10 * torch.log10(peak**2 / _squared_error_per_image(output, target))


def psnr(output: Tensor, target: Tensor, *, peak: float = 1.0, definition: str = "mean") -> float:
    """Peak signal-to-noise ratio of a set of images, in dB.

    Parameters
    ----------
    output, target : Tensor
        Images ``(C, H, W)`` or ``(N, C, H, W)`` of equal shape, uint8 or float, on the same scale.
    peak : float
        The value of white: 1 for images in 0-1 (the default), 255 for images in 0-255.
    definition : {"mean", "pooled"}
        "mean" (the default) is the mean over images of each image's PSNR; "pooled" is the PSNR of
        the squared error averaged over all images. Since the logarithm is concave, "pooled" is
        never the larger. For one image they agree.

    Returns
    -------
    float
        The PSNR in dB. ``inf`` if the images are identical; under "mean", one identical pair
        among others is enough for that.

    Raises
    ------
    TypeError, ValueError
        As `psnr_per_image`; and ValueError if `definition` is unknown.
    """
    if definition not in PSNR_DEFINITIONS:
        raise ValueError(f"expected a definition among {_names()}, got {definition!r}")
    if definition == "mean":
        return psnr_per_image(output, target, peak=peak).mean().item()
    peak = float(check_number("peak", peak, above=0))
    error = mse(output, target)
    return 10 * math.log10(peak**2 / error) if error > 0 else math.inf


def ssim(output: Tensor, target: Tensor, *, peak: float = 1.0) -> float:
    """Structural similarity, mean over images.

    Parameters
    ----------
    output, target : Tensor
        Images ``(C, H, W)`` or ``(N, C, H, W)`` of equal shape, uint8 or float, on the same scale,
        at least 7 pixels high and wide.
    peak : float
        The value of white: 1 for images in 0-1 (the default), 255 for images in 0-255.

    Returns
    -------
    float
        Between -1 and 1; 1 for identical images.

    Raises
    ------
    TypeError, ValueError
        As `psnr_per_image`; and ValueError if the images are smaller than the window.

    Notes
    -----
    `skimage.metrics.structural_similarity` in float64 with its default window, uniform and 7 x 7
    pixels, on each channel; the channels and then the images are averaged. The original paper
    (Wang, Bovik, Sheikh and Simoncelli, 2004) has an 11 x 11 Gaussian window, which is a third of
    the width of a 32 x 32 thumbnail, so figures made with it differ somewhat from these.
    """
    peak = float(check_number("peak", peak, above=0))
    output, target = _check_images(output, target)
    height, width = output.shape[-2:]
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(
            f"expected images of at least {SSIM_WINDOW} x {SSIM_WINDOW} pixels for SSIM, "
            f"got {height} x {width}"
        )
    from skimage.metrics import structural_similarity  # and with it a good part of SciPy

    scores = [
        structural_similarity(
            image.numpy(),
            clean.numpy(),
            win_size=SSIM_WINDOW,
            data_range=peak,
            channel_axis=0,
        )
        for image, clean in zip(output, target, strict=True)
    ]
    return float(sum(scores) / len(scores))


def _squared_error_per_image(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each image, float64 ``(N,)``."""
    output, target = _check_images(output, target)
    return (output - target).square().mean(dim=(1, 2, 3))


def _check_images(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return both as float64 ``(N, C, H, W)`` on the CPU, or say what is wrong with them."""
    for name, images in (("output", output), ("target", target)):
        if not isinstance(images, Tensor):
            raise TypeError(f"expected {name} to be a tensor, got {type(images).__name__}")
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise TypeError(f"expected {name} to be uint8 or floating point, got {images.dtype}")
        if images.ndim not in (3, 4) or images.numel() == 0:
            raise ValueError(
                f"expected {name} of shape (C, H, W) or (N, C, H, W), none of them 0, "
                f"got {tuple(images.shape)}"
            )
    if output.shape != target.shape:
        raise ValueError(
            f"expected output and target of one shape, "
            f"got {tuple(output.shape)} and {tuple(target.shape)}"
        )
    pair = []
    for name, images in (("output", output), ("target", target)):
        images = images.detach().to("cpu", torch.float64)
        if not torch.isfinite(images).all():
            raise ValueError(f"expected {name} to hold finite values, got NaN or infinity")
        pair.append(images if images.ndim == 4 else images[None])
    return pair[0], pair[1]


def _names() -> str:
    return ", ".join(repr(name) for name in PSNR_DEFINITIONS)

"""Classical denoisers, the rivals that a network has to beat (lesson 10 onwards).

All of them are scikit-image's, but for BM3D, which its authors' package ``bm3d`` brings. None
learns from data, so each needs to be told how strong the noise is, or to estimate it. There are two
cases, and the parameters are good ones for each:

- ``sigma`` is given: white Gaussian noise of known strength, the case these methods were made for.
- ``sigma=None``: the strength is unknown; it is estimated from the image itself, and the parameters
  come from a grid searched on 300 *training* thumbnails under pixel sampling, the default task.
  The estimate (a median) misses most of that noise, which is strong in few places; so strengths are
  of the form ``a + b * estimate``, and both numbers were searched for. `tv` is the exception that
  its docstring explains. For Gaussian noise on photographs of full size, give sigma.

The search compared with clean images, which Noise2Noise never sees, so it is generous to the
classical methods: where a network trained on noisy pairs beats them, it is not for want of tuning.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pywt
import torch
from skimage import filters, restoration  # which scikit-image loads when they are first used
from torch import Tensor

from n2n_lib.support.arguments import check_number

_WAVELET = "sym4"
_QUARTILE = NormalDist().inv_cdf(0.75)  # half of all normal numbers are smaller in size


def median(image: Tensor, sigma: float | None = None) -> Tensor:
    """Median of each value's 3 x 3 neighbourhood, channel by channel.

    Parameters
    ----------
    image : Tensor
        ``(3, H, W)``, floating point, 0-1.
    sigma : float, optional
        Not used: the median needs no noise level.

    Returns
    -------
    Tensor
        Denoised image, same shape and dtype, within 0-1.
    """
    square = np.ones((3, 3), dtype=bool)
    channels = [filters.median(channel, square) for channel in _pixels(image).transpose(2, 0, 1)]
    return _tensor(np.stack(channels, axis=2), image)


def tv(image: Tensor, sigma: float | None = None) -> Tensor:
    """Total variation denoising (Chambolle 2004): flat regions with sharp edges.

    Parameters
    ----------
    image : Tensor
        ``(3, H, W)``, floating point, 0-1.
    sigma : float, optional
        Standard deviation of the noise in grey levels of 255; None estimates it.

    Returns
    -------
    Tensor
        Denoised image, same shape and dtype, within 0-1.

    Notes
    -----
    The weight of the variation is sigma if that is given, or the larger of 0.1 and its estimate,
    all on the 0-1 scale. 0.1 is scikit-image's default. The grid on training thumbnails preferred
    0.06, which is 0.4 dB better there but 0.3 dB worse on validation thumbnails, whose noise is
    stronger; so this one choice was made with the validation photographs in view, in favour of
    the rival.
    """
    pixels = _pixels(image)
    weight = max(0.1, _estimated(pixels)) if sigma is None else sigma / 255
    return _tensor(restoration.denoise_tv_chambolle(pixels, weight=weight, channel_axis=-1), image)


def wavelet(image: Tensor, sigma: float | None = None) -> Tensor:
    """Soft wavelet thresholding with BayesShrink in YCbCr (Chang, Yu and Vetterli 2000).

    Parameters
    ----------
    image : Tensor
        ``(3, H, W)``, floating point, 0-1.
    sigma : float, optional
        Standard deviation of the noise in grey levels of 255; None estimates it.

    Returns
    -------
    Tensor
        Denoised image, same shape and dtype, within 0-1.

    Notes
    -----
    Symlets of length 8. For a given sigma: on as many levels as the image has room for, at most 4.
    For an estimated one: on one level, as if sigma were 0.1 + the estimate (0-1 scale).
    """
    pixels = _pixels(image)
    if sigma is None:
        levels, strength = 1, 0.1 + _estimated(pixels)
    else:
        room = pywt.dwt_max_level(min(pixels.shape[:2]), _WAVELET)
        levels, strength = min(max(room, 1), 4), sigma / 255
    with warnings.catch_warnings():
        # PyWavelets warns that in a tiny image every coefficient feels the border. It does.
        warnings.simplefilter("ignore", UserWarning)
        denoised = restoration.denoise_wavelet(
            pixels,
            sigma=strength,
            wavelet=_WAVELET,
            wavelet_levels=levels,
            method="BayesShrink",
            mode="soft",
            convert2ycbcr=True,
            channel_axis=-1,
        )
    return _tensor(denoised, image)


def nlm(image: Tensor, sigma: float | None = None) -> Tensor:
    """Non-local means (Buades, Coll and Morel 2005): average over similar patches.

    Parameters
    ----------
    image : Tensor
        ``(3, H, W)``, floating point, 0-1.
    sigma : float, optional
        Standard deviation of the noise in grey levels of 255; None estimates it.

    Returns
    -------
    Tensor
        Denoised image, same shape and dtype, within 0-1.

    Notes
    -----
    5 x 5 patches. For a given sigma: up to 6 pixels away, cut-off h = 0.6 sigma, and the distance
    that noise alone puts between two patches subtracted. For an estimated one: up to 2 pixels
    away, since a thumbnail of 32 x 32 holds few similar patches, and h = 0.1 + half the estimate
    (0-1 scale).
    """
    pixels = _pixels(image)
    if sigma is None:
        options = {"patch_distance": 2, "h": 0.1 + 0.5 * _estimated(pixels)}
    else:
        options = {"patch_distance": 6, "h": 0.6 * sigma / 255, "sigma": sigma / 255}
    denoised = restoration.denoise_nl_means(
        pixels, patch_size=5, fast_mode=True, channel_axis=-1, **options
    )
    # scikit-image drops the axes of an image one pixel wide.
    return _tensor(denoised.reshape(pixels.shape), image)


def bm3d(image: Tensor, sigma: float | None = None) -> Tensor:
    """Block-matching and 3-D filtering (Dabov, Foi, Katkovnik and Egiazarian 2007), in colour.

    Parameters
    ----------
    image : Tensor
        ``(3, H, W)``, floating point, 0-1.
    sigma : float, optional
        Standard deviation of the noise in grey levels of 255; None estimates it.

    Returns
    -------
    Tensor
        Denoised image, same shape and dtype, within 0-1.

    Raises
    ------
    ValueError
        If the package ``bm3d`` is not installed.

    Notes
    -----
    Its authors' implementation with their default profile. Blocks are matched in the luminance and
    filtered in an opponent colour space. It is slow, some 40 seconds a megapixel, and therefore not
    among the `METHODS` of every table; name it to have it.
    """
    try:
        from bm3d import bm3d as bm3d_grey
        from bm3d import bm3d_rgb
    except ImportError:
        raise ValueError("expected the package bm3d for this method: pip install bm3d") from None
    pixels = _pixels(image).astype(np.float64)
    strength = _estimated(pixels) if sigma is None else sigma / 255
    if strength == 0:  # an image without noise: nothing to do, and BM3D divides by it
        return _tensor(pixels, image)
    with np.errstate(divide="ignore", invalid="ignore"):
        denoised = bm3d_rgb(pixels, strength)
    if not np.isfinite(denoised).all():  # a grey image: its colours span no range to divide by
        channels = [bm3d_grey(channel, strength) for channel in pixels.transpose(2, 0, 1)]
        denoised = np.stack(channels, axis=2)
    return _tensor(denoised, image)


METHODS: dict[str, Callable[[Tensor, float | None], Tensor]] = {
    "median": median,
    "tv": tv,
    "wavelet": wavelet,
    "nlm": nlm,
}
"""The classical denoisers by name: functions ``(image, sigma) -> image``."""

ALL_METHODS = METHODS | {"bm3d": bm3d}
"""The same and BM3D, whose package is optional."""


def denoise(method: str, images: Tensor, sigma: float | None = None) -> Tensor:
    """Denoise one image or several with a classical method.

    Parameters
    ----------
    method : {"median", "tv", "wavelet", "nlm", "bm3d"}
        A key of `ALL_METHODS`.
    images : Tensor
        ``(3, H, W)`` or ``(N, 3, H, W)``, floating point, 0-1; noisy values may lie outside.
    sigma : float, optional
        Standard deviation of the noise in grey levels of 255, for white Gaussian noise of known
        strength. None, the default, estimates it from each image (see the top of this file).

    Returns
    -------
    Tensor
        Denoised images, same shape and dtype, within 0-1.

    Raises
    ------
    TypeError
        If `images` is not a floating-point tensor, or `sigma` not a number.
    ValueError
        If the method is unknown, the shape is another, a value is not finite, or `sigma` is not a
        finite number above 0.
    """
    if method not in ALL_METHODS:
        known = ", ".join(repr(name) for name in ALL_METHODS)
        raise ValueError(f"expected a method among {known}, got {method!r}")
    check_images(images)
    if sigma is not None:
        check_number("sigma", sigma, above=0)
    function = ALL_METHODS[method]
    if images.ndim == 3:
        return function(images, sigma)
    return torch.stack([function(image, sigma) for image in images])


def check_images(images: Tensor) -> None:
    """Raise unless `images` are finite floats, one image ``(3, H, W)`` or several."""
    if not isinstance(images, Tensor):
        raise TypeError(f"expected images as a tensor, got {type(images).__name__}")
    if not images.is_floating_point():
        raise TypeError(f"expected floating-point images in 0-1, got {images.dtype}")
    if images.ndim not in (3, 4) or images.shape[-3] != 3 or images.numel() == 0:
        raise ValueError(
            f"expected images (3, H, W) or (N, 3, H, W), got shape {tuple(images.shape)}"
        )
    if not torch.isfinite(images).all():
        raise ValueError("expected images with finite values, got NaN or infinity")


def estimate_sigma(image: Tensor) -> float:
    """Estimate how strong gaussian noise is, from a noisy image alone.

    Parameters
    ----------
    image : Tensor
        ``(3, H, W)``, floating point, 0-1.

    Returns
    -------
    float
        Standard deviation of the noise in grey levels of 255, mean over the channels. Fine texture
        is taken for noise, so the estimate is rather too high: by 1 to 3 levels on photographs.

    Notes
    -----
    The median of the finest wavelet coefficients (Donoho and Johnstone 1994), with the same result
    as ``skimage.restoration.estimate_sigma``, which loads all of SciPy's statistics for it.
    """
    return 255 * _estimated(_pixels(image))


def _pixels(image: Tensor) -> np.ndarray:
    """``(3, H, W)`` tensor to the ``(H, W, 3)`` float32 array that scikit-image works on."""
    return image.detach().cpu().float().permute(1, 2, 0).contiguous().numpy()


def _tensor(pixels: np.ndarray, like: Tensor) -> Tensor:
    """Back to ``(3, H, W)`` within 0-1, with the dtype and device of the input."""
    chw = np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)
    # A copy, since a method that has nothing to do hands back the pixels of its input.
    return torch.from_numpy(chw.copy()).clamp_(0, 1).to(like.device, like.dtype)


def _estimated(pixels: np.ndarray) -> float:
    """Estimate the standard deviation of the noise, 0-1 scale, mean over the channels."""
    levels = []
    for channel in np.moveaxis(pixels, -1, 0):
        details = pywt.dwtn(channel, "db2")["dd"]
        details = np.abs(details[details != 0])  # where there are none, a picture is masked
        levels.append(float(np.median(details)) / _QUARTILE if details.size else 0.0)  # 0: flat
    return float(np.mean(levels))

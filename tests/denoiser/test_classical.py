"""The classical denoisers: fair, deterministic, and quiet."""

from __future__ import annotations

import math
import sys
import warnings

import numpy as np
import pytest
import torch
from skimage import restoration

import n2n_lib
from n2n_lib.denoiser import classical, metrics
from n2n_lib.denoiser.noise import Gaussian

METHODS = ["median", "tv", "wavelet", "nlm"]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def thumbnails():
    """Noisy and clean validation thumbnails, 0-1."""
    pairs = n2n_lib.sample_pairs(300, split="validation", generator=seeded())
    return n2n_lib.to_unit(pairs.noisy1), n2n_lib.to_unit(pairs.clean)


def test_registry():
    assert list(classical.METHODS) == METHODS
    assert list(classical.ALL_METHODS) == [*METHODS, "bm3d"]


@pytest.mark.parametrize(("method", "gain"), list(zip(METHODS, [2.0, 3.2, 2.0, 2.2], strict=True)))
def test_beats_doing_nothing_on_the_default_task(thumbnails, method, gain):
    noisy, clean = thumbnails
    nothing = metrics.psnr(noisy, clean)
    assert metrics.psnr(classical.denoise(method, noisy), clean) > nothing + gain


@pytest.mark.parametrize(("method", "gain"), list(zip(METHODS, [4, 6, 6, 8], strict=True)))
def test_known_gaussian_noise_on_a_photograph(method, gain):
    clean = n2n_lib.to_unit(n2n_lib.photograph("coffee")[:, 100:228, 200:328])
    noisy = Gaussian(25)(clean, seeded())
    denoised = classical.denoise(method, noisy, sigma=25.0)
    assert metrics.psnr(denoised, clean) > metrics.psnr(noisy, clean) + gain


def test_sigma_is_in_grey_levels_and_matters():
    noisy = Gaussian(25)(torch.full((3, 64, 64), 0.5), seeded())
    for method in ("tv", "wavelet", "nlm"):
        weak, strong = (classical.denoise(method, noisy, sigma) for sigma in (5.0, 50.0))
        assert strong.std() < weak.std()


def test_estimate_of_gaussian_noise():
    noisy = Gaussian(25)(torch.full((3, 128, 128), 0.5), seeded())
    assert classical.estimate_sigma(noisy) == pytest.approx(25, rel=0.05)
    levels = restoration.estimate_sigma(noisy.numpy(), average_sigmas=False, channel_axis=0)
    assert classical.estimate_sigma(noisy) == pytest.approx(255 * np.mean(levels), rel=1e-6)


def test_median_equals_sorting(thumbnails):
    image = thumbnails[0][0]
    denoised = classical.median(image)
    for row, col in ((1, 1), (7, 20), (30, 30)):
        patch = image[:, row - 1 : row + 2, col - 1 : col + 2].flatten(1)
        assert torch.equal(denoised[:, row, col], patch.sort(dim=1).values[:, 4])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sigma", [None, 25.0])
def test_images_shapes_dtypes(thumbnails, method, sigma):
    images = thumbnails[0][:3]
    before = images.clone()
    denoised = classical.denoise(method, images, sigma)
    assert denoised.shape == images.shape and denoised.dtype == torch.float32
    for image, result in zip(images, denoised, strict=True):
        assert torch.equal(classical.denoise(method, image, sigma), result)
        assert torch.equal(classical.METHODS[method](image, sigma), result)
    assert classical.denoise(method, images.double(), sigma).dtype == torch.float64
    assert torch.equal(images, before)
    assert denoised.data_ptr() != images.data_ptr()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sigma", [None, 25.0])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (8, 8), (13, 50), (33, 31)])
def test_quiet_and_within_range_whatever_the_image(method, sigma, shape, capfd):
    generator = seeded()
    red = torch.zeros(3, *shape)
    red[0] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for image in (
            torch.zeros(3, *shape),
            torch.ones(3, *shape),
            red,
            0.5 + 2 * torch.randn(3, *shape, generator=generator),  # far outside 0-1
        ):
            before = image.clone()
            denoised = classical.denoise(method, image, sigma)
            assert denoised.shape == image.shape and torch.isfinite(denoised).all()
            assert 0 <= denoised.min() and denoised.max() <= 1
            assert torch.equal(image, before)
        flat = torch.full((3, *shape), 0.25)
        torch.testing.assert_close(classical.denoise(method, flat, sigma), flat, atol=1e-3, rtol=0)
    assert capfd.readouterr() == ("", "")


GOOD = torch.zeros(2, 3, 8, 8)


@pytest.mark.parametrize(
    ("method", "images", "sigma", "error", "message"),
    [
        ("bm4d", GOOD, None, ValueError, "'median', 'tv', 'wavelet', 'nlm', 'bm3d', got 'bm4d'"),
        ("tv", GOOD.byte(), None, TypeError, "floating-point images.*uint8"),
        ("tv", np.zeros((3, 8, 8)), None, TypeError, "got ndarray"),
        ("tv", GOOD[0, 0], None, ValueError, r"got shape \(8, 8\)"),
        ("tv", GOOD[:, :1], None, ValueError, r"got shape \(2, 1, 8, 8\)"),
        ("tv", GOOD[:0], None, ValueError, r"got shape \(0, 3, 8, 8\)"),
        ("tv", GOOD / 0, None, ValueError, "got NaN or infinity"),
        ("tv", GOOD, 0, ValueError, "sigma > 0, got 0"),
        ("tv", GOOD, -5.0, ValueError, "got -5.0"),
        ("median", GOOD, math.nan, ValueError, "got nan"),
        ("nlm", GOOD, "25", TypeError, "sigma to be a number, got '25'"),
    ],
)
def test_bad_arguments(method, images, sigma, error, message):
    with pytest.raises(error, match=message):
        classical.denoise(method, images, sigma)


# BM3D, which is slow


@pytest.fixture(scope="module")
def crop():
    """Noisy and clean, 48 x 64."""
    clean = n2n_lib.to_unit(n2n_lib.photograph("coffee")[:, 130:178, 230:294])
    return Gaussian(25)(clean, seeded()), clean


@pytest.mark.parametrize("sigma", [25.0, None])
def test_bm3d_removes_gaussian_noise(crop, sigma):
    noisy, clean = crop
    before = noisy.clone()
    denoised = classical.denoise("bm3d", noisy, sigma)
    assert metrics.psnr(denoised, clean) > metrics.psnr(noisy, clean) + 6
    assert denoised.shape == noisy.shape and denoised.dtype == torch.float32
    assert 0 <= denoised.min() and denoised.max() <= 1
    assert torch.equal(noisy, before)


@pytest.mark.parametrize("sigma", [25.0, None])
def test_bm3d_of_a_grey_image(sigma):
    flat = torch.full((3, 16, 16), 0.25)
    torch.testing.assert_close(classical.denoise("bm3d", flat, sigma), flat, atol=1e-3, rtol=0)


def test_bm3d_is_optional(crop, monkeypatch):
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(ValueError, match="expected the package bm3d .*: pip install bm3d"):
        classical.denoise("bm3d", crop[0], 25.0)

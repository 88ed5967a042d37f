"""The metrics against scikit-image and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from n2n_lib.denoiser import metrics


@pytest.fixture
def pair():
    """Noisy and clean floats 0-1 whose images are noisy to very different degrees."""
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(5, 3, 12, 16, generator=generator)
    strength = torch.tensor([0.01, 0.05, 0.1, 0.2, 0.4])[:, None, None, None]
    return clean + strength * torch.randn(clean.shape, generator=generator), clean


def test_psnr_per_image_equals_scikit_image(pair):
    noisy, clean = pair
    expected = [
        peak_signal_noise_ratio(c.double().numpy(), n.double().numpy(), data_range=1)
        for n, c in zip(*pair, strict=True)
    ]
    actual = metrics.psnr_per_image(noisy, clean)
    assert actual.dtype == torch.float64
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-12)


def test_psnr_definitions(pair):
    noisy, clean = pair
    each = [
        peak_signal_noise_ratio(c.double().numpy(), n.double().numpy(), data_range=1)
        for n, c in zip(*pair, strict=True)
    ]
    pooled = peak_signal_noise_ratio(clean.double().numpy(), noisy.double().numpy(), data_range=1)
    assert metrics.psnr(noisy, clean) == pytest.approx(np.mean(each), rel=1e-12)
    assert metrics.psnr(noisy, clean, definition="mean") == metrics.psnr(noisy, clean)
    assert metrics.psnr(noisy, clean, definition="pooled") == pytest.approx(pooled, rel=1e-12)
    assert pooled < np.mean(each) - 1  # they are not the same thing
    assert set(metrics.PSNR_DEFINITIONS) == {"mean", "pooled"}


def test_definitions_agree_for_one_image(pair):
    noisy, clean = pair
    one = metrics.psnr(noisy[2], clean[2])
    assert one == pytest.approx(metrics.psnr(noisy[2], clean[2], definition="pooled"), rel=1e-12)
    assert one == pytest.approx(metrics.psnr(noisy[2:3], clean[2:3]), rel=1e-12)


def test_mse_equals_a_loop():
    generator = torch.Generator().manual_seed(1)
    a, b = torch.rand(2, 2, 3, 4, 5, generator=generator)
    total = 0.0
    for x, y in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True):
        total += (x - y) ** 2
    assert metrics.mse(a, b) == pytest.approx(total / a.numel(), rel=1e-12)


def test_ssim_equals_scikit_image_on_height_width_channels(pair):
    noisy, clean = pair
    expected = [
        structural_similarity(
            n.permute(1, 2, 0).double().numpy(),
            c.permute(1, 2, 0).double().numpy(),
            data_range=1,
            channel_axis=2,
        )
        for n, c in zip(*pair, strict=True)
    ]
    assert metrics.ssim(noisy, clean) == pytest.approx(np.mean(expected), rel=1e-10)
    assert metrics.ssim(noisy[0], clean[0]) == pytest.approx(expected[0], rel=1e-10)


def test_uint8_does_not_wrap_around():
    output = torch.full((3, 8, 8), 250, dtype=torch.uint8)
    target = torch.full((3, 8, 8), 5, dtype=torch.uint8)
    assert metrics.mse(output, target) == 245**2
    assert metrics.mse(target, output) == 245**2
    assert metrics.psnr(output, target, peak=255) == pytest.approx(20 * math.log10(255 / 245))


def test_peak_is_the_scale(pair):
    noisy, clean = pair
    for measure in (metrics.psnr, metrics.ssim):
        assert measure(255 * noisy, 255 * clean, peak=255) == pytest.approx(
            measure(noisy, clean), abs=1e-5
        )


def test_identical_images():
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    other = images.clone()
    other[1] += 0.1
    assert metrics.psnr(images, images) == math.inf
    assert metrics.psnr(images, images, definition="pooled") == math.inf
    assert metrics.psnr_per_image(images, other)[0] == math.inf
    assert math.isfinite(metrics.psnr(images, other, definition="pooled"))
    assert metrics.ssim(images, images) == pytest.approx(1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_computed_in_float64(dtype):
    # In half precision the square of this difference would underflow to 0.
    target = torch.zeros(3, 8, 8, dtype=dtype)
    output = torch.full((3, 8, 8), 2.0**-14, dtype=dtype)
    assert metrics.mse(output, target) == 2.0**-28


def test_arguments_unchanged(pair):
    noisy, clean = pair
    before = noisy.clone(), clean.clone()
    metrics.psnr(noisy, clean), metrics.ssim(noisy, clean)
    assert torch.equal(noisy, before[0]) and torch.equal(clean, before[1])


GOOD = torch.zeros(2, 3, 8, 8)
NAN = torch.full((2, 3, 8, 8), math.nan)


@pytest.mark.parametrize(
    "measure", [metrics.mse, metrics.psnr, metrics.psnr_per_image, metrics.ssim]
)
@pytest.mark.parametrize(
    ("output", "target", "error", "message"),
    [
        (GOOD, torch.zeros(2, 3, 8, 9), ValueError, r"one shape.*\(2, 3, 8, 8\).*\(2, 3, 8, 9\)"),
        (GOOD, GOOD[:1], ValueError, "one shape"),  # would broadcast
        (GOOD, GOOD[0], ValueError, "one shape"),  # would broadcast
        (GOOD[0, 0], GOOD[0, 0], ValueError, r"got \(8, 8\)"),
        (GOOD[:0], GOOD[:0], ValueError, r"got \(0, 3, 8, 8\)"),
        (NAN, GOOD, ValueError, "output.*finite"),
        (GOOD, -NAN.log(), ValueError, "target.*finite"),
        (GOOD, GOOD + math.inf, ValueError, "target.*finite"),
        (GOOD.int(), GOOD, TypeError, "int32"),
        (GOOD.numpy(), GOOD, TypeError, "ndarray"),
    ],
)
def test_bad_images(measure, output, target, error, message):
    with pytest.raises(error, match=message):
        measure(output, target)


@pytest.mark.parametrize("measure", [metrics.psnr, metrics.psnr_per_image, metrics.ssim])
@pytest.mark.parametrize("peak", [0, -1.0, math.nan, math.inf])
def test_bad_peak(measure, peak):
    with pytest.raises(ValueError, match="expected a finite peak > 0, got"):
        measure(GOOD, GOOD, peak=peak)


def test_other_errors():
    with pytest.raises(ValueError, match="'mean', 'pooled', got 'median'"):
        metrics.psnr(GOOD, GOOD, definition="median")
    with pytest.raises(TypeError, match="got '1'"):
        metrics.psnr(GOOD, GOOD, peak="1")
    with pytest.raises(ValueError, match=r"at least 7 x 7 pixels.*got 6 x 8"):
        metrics.ssim(torch.zeros(3, 6, 8), torch.zeros(3, 6, 8))

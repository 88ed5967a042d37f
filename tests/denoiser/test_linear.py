"""The linear filter with 26 numbers: fitted and applied as an independent computation does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad, unfold

from n2n_lib import psnr, sample_pairs, to_unit
from n2n_lib.denoiser import linear


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def training():
    """Two noisy copies of training thumbnails and the clean ones, 0-1."""
    return [to_unit(images) for images in sample_pairs(linear.PAIRS, generator=seeded())]


def planes(images: Tensor) -> Tensor:
    """Each colour by itself, with a border: ``(3 N, 1, H + 4, W + 4)``."""
    return pad(images.flatten(0, 1)[:, None].double(), (2, 2, 2, 2), mode="replicate")


def test_equals_least_squares(training):
    x, t = (images[:70] for images in training[:2])
    windows = unfold(planes(x), 5).transpose(1, 2).reshape(-1, 25).numpy()  # (3 N H W, 25)
    windows = np.hstack([windows, np.ones((len(windows), 1))])
    theta, *_ = np.linalg.lstsq(windows, t.double().numpy().ravel(), rcond=None)
    found = linear.fit(x, t)
    np.testing.assert_allclose(found.weight.numpy().ravel(), theta[:25], atol=1e-9)
    assert found.bias == pytest.approx(theta[25], abs=1e-9)


def test_equals_a_convolution(training):
    found = linear.LinearFilter(torch.rand(5, 5, generator=seeded()).double() / 30, 0.1)
    for images in (training[0][:3], torch.rand(2, 3, 7, 12, generator=seeded())):
        before = images.clone()
        expected = conv2d(
            planes(images), found.weight[None, None], torch.tensor([found.bias]).double()
        )
        expected = expected.view(images.shape).clamp(0, 1).float()
        torch.testing.assert_close(found(images), expected, atol=1e-6, rtol=0)
        torch.testing.assert_close(found(images[0]), expected[0], atol=1e-6, rtol=0)
        assert torch.equal(images, before)


def test_finds_the_filter_that_made_the_target(training):
    weight = torch.rand(5, 5, generator=seeded(1)).double() / 30  # stays within 0-1
    made = linear.LinearFilter(weight, 0.02)
    found = linear.fit(training[0].double(), made(training[0].double()))
    torch.testing.assert_close(found.weight, weight, atol=1e-9, rtol=0)
    assert found.bias == pytest.approx(0.02, abs=1e-9)


def test_noisy_and_clean_targets_teach_the_same_and_both_denoise(training):
    pairs = sample_pairs(300, split="validation", generator=seeded(1))
    noisy, clean = to_unit(pairs.noisy1), to_unit(pairs.clean)
    from_noisy, from_clean = (linear.fit(training[0], target) for target in training[1:])
    assert (from_noisy.weight - from_clean.weight).abs().max() < 0.01
    assert torch.equal(linear.fitted().weight, from_noisy.weight)
    assert torch.equal(linear.fitted(clean_targets=True).weight, from_clean.weight)
    levels = [psnr(found(noisy), clean) for found in (from_noisy, from_clean)]
    assert levels[0] == pytest.approx(levels[1], abs=0.05)
    assert min(levels) > psnr(noisy, clean) + 3.9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_keeps_shape_and_dtype_and_stays_within_range(dtype):
    found = linear.LinearFilter(torch.full((5, 5), 1.0).double(), -9.0)
    images = torch.rand(2, 3, 1, 9, generator=seeded()).to(dtype)
    denoised = found(images)
    assert denoised.shape == images.shape and denoised.dtype == dtype
    assert denoised.min() == 0 and denoised.max() == 1


GOOD = torch.rand(2, 3, 8, 8, generator=seeded())


@pytest.mark.parametrize(
    ("noisy1", "noisy2", "error", "message"),
    [
        (GOOD.byte(), GOOD, TypeError, "floating-point images.*uint8"),
        (GOOD, GOOD.numpy(), TypeError, "got ndarray"),
        (GOOD[:, :1], GOOD, ValueError, r"got shape \(2, 1, 8, 8\)"),
        (GOOD, GOOD[..., 1:], ValueError, r"one shape, got \(2, 3, 8, 8\) and \(2, 3, 8, 7\)"),
        (GOOD, GOOD / 0, ValueError, "got NaN or infinity"),
        (torch.zeros(2, 3, 8, 8), GOOD, ValueError, "determine a filter"),
        (GOOD[:1, :, :2, :2], GOOD[:1, :, :2, :2], ValueError, "determine a filter"),
    ],
)
def test_bad_arguments(noisy1, noisy2, error, message):
    with pytest.raises(error, match=message):
        linear.fit(noisy1, noisy2)

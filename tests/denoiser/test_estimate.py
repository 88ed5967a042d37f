"""The noise of a picture, measured on the picture alone: against noise that is known."""

from __future__ import annotations

import pytest
import torch

from n2n_lib.denoiser import camera, estimate, plots
from n2n_lib.denoiser.estimate import NoiseMeasure, measure_noise
from n2n_lib.denoiser.photographs import photograph

PHOTOS = ("coffee", "china", "astronaut", "rocket")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise_like(image: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return torch.randn(image.shape, generator=seeded(seed))


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("sigma", [5, 15, 25])
def test_white_noise_in_a_file_of_eight_bits(name, sigma):
    clean = photograph(name).float()
    noisy = (clean + sigma * noise_like(clean)).round().clamp(0, 255).byte()
    found = measure_noise(noisy)
    assert found.sigma == pytest.approx(sigma, rel=0.1)
    assert found.white and abs(found.channels) < 0.15
    assert max(map(abs, found.correlation[2:])) < 0.1


@pytest.mark.parametrize("name", PHOTOS)
def test_strong_noise_that_is_cut_off_everywhere(name):
    clean = photograph(name).float()
    noisy = (clean + 50 * noise_like(clean)).round().clamp(0, 255).byte()
    assert measure_noise(noisy).sigma == pytest.approx(50, rel=0.15)


@pytest.mark.parametrize("name", PHOTOS)
def test_smooth_noise_is_not_taken_for_picture(name):
    """Blurred noise of 10 grey levels, of which a difference of neighbours sees a fraction."""
    clean = 20 + photograph(name).float() * (215 / 255)
    smooth = camera.blur(noise_like(clean), 1.0)
    noisy = clean + 10 * smooth / smooth.std()
    found = measure_noise(noisy)
    assert found.sigma == pytest.approx(10, rel=0.2)
    assert not found.white
    expected = (smooth[..., 1:] * smooth[..., :-1]).mean() / smooth.square().mean()
    assert found.correlation[1] == pytest.approx(expected.item(), abs=0.2)  # planes take some


def test_noise_that_the_colours_share():
    clean = photograph("coffee").float()
    noisy = clean + 20 * noise_like(clean[:1])
    found = measure_noise(noisy)
    assert found.white and found.channels > 0.95


def test_level_by_brightness():
    """A ramp, with noise that grows along it."""
    ramp = torch.linspace(30, 220, 512).expand(3, 256, 512)
    sigma = 2 + ramp / 20
    found = measure_noise(ramp + sigma * noise_like(ramp))
    assert len(found.level) > 3
    for brightness, level in zip(found.brightness, found.level, strict=True):
        assert level == pytest.approx(2 + brightness / 20, rel=0.12)


@pytest.mark.parametrize("seed", range(6))
def test_cameras_are_recognised(seed):
    clean = photograph("coffee") / 255
    noisy, _ = camera.Cameras().exposed(clean, seeded(seed))
    assert not measure_noise(255 * noisy).white


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 32, 32), (3, 16, 600)])
def test_too_small_a_picture_tells_nothing(shape):
    found = measure_noise(torch.full(shape, 90.0))
    if found.blocks == 0:
        assert str(found) == "noise unknown: no even place" and found.white
    else:
        assert found.sigma < 1e-9


def test_a_picture_without_noise_or_all_white():
    even = measure_noise(torch.full((3, 200, 200), 100.0))
    assert even.sigma < 1e-9 and not any(map(lambda x: x != x, even.correlation))
    assert measure_noise(torch.full((3, 200, 200), 255.0)).blocks == 0


def test_what_it_says():
    measure = NoiseMeasure(7.25, (90.0,), (7.0,), (1.0, 0.4, 0.0), 0.5, 12)
    assert str(measure) == "noise of 7.2 grey levels, of a camera"
    figure = plots.show_noise(measure)
    assert figure.axes[0].get_title() == "7.2 grey levels, from 12 even places"
    assert figure.axes[1].get_title() == "neighbours 0.40, colours 0.50"


@pytest.mark.parametrize("bad", [torch.zeros(2, 3, 64, 64), torch.zeros(64, 64), "image"])
def test_what_is_no_image(bad):
    with pytest.raises((TypeError, ValueError)):
        measure_noise(bad)


def test_blocks_divide_into_grains():
    assert estimate.BLOCK % estimate.GRAIN == 0

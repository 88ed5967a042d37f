"""The noise models: their statistics, their determinism, and what they refuse."""

from __future__ import annotations

import math

import pytest
import torch

from n2n_lib.denoiser import noise
from n2n_lib.denoiser.noise import Bernoulli, Gaussian, PixelSampling, Poisson

MODELS = [Gaussian(25), Poisson(30), Bernoulli(0.5)]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def grey_steps() -> torch.Tensor:
    """Many pixels each of four greys, (4, 3, 100, 200): enough to measure moments."""
    return torch.tensor([0.1, 0.4, 0.7, 1.0])[:, None, None, None].expand(4, 3, 100, 200).clone()


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_zero_mean_and_theoretical_variance(model):
    clean = grey_steps()
    x = clean[:, 0, 0, 0].double()
    variance = {
        "Gaussian": torch.full_like(x, (25 / 255) ** 2),
        "Poisson": x / 30,
        "Bernoulli": x**2 * (1 / 0.5 - 1),
    }[type(model).__name__]
    noisy = model(clean, seeded()).double()
    n = clean[0, 0].numel()  # the channels may share their noise, so count pixels only
    mean_error = (noisy.mean(dim=(1, 2, 3)) - x).abs()
    assert (mean_error < 5 * (variance / n).sqrt()).all()  # five standard errors
    measured = (noisy - clean).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(measured, variance, rtol=0.06, atol=0)


def test_gaussian_is_gaussian_and_not_clipped():
    noisy = Gaussian(25)(torch.ones(3, 200, 200), seeded())
    assert (noisy > 1).double().mean() == pytest.approx(0.5, abs=0.01)
    z = (noisy - 1).double() * 255 / 25
    assert (z**4).mean() == pytest.approx(3, abs=0.1)  # kurtosis
    assert ((z.abs() < 1).double().mean()) == pytest.approx(0.6827, abs=0.01)


def test_a_range_of_sigma_gives_each_image_its_own():
    model, clean = Gaussian((5, 50)), torch.full((2000, 3, 4, 4), 0.5, dtype=torch.float64)
    assert model.varies and not Gaussian(25).varies
    levels = model.levels(clean, seeded()) * 255
    assert levels.shape == (2000, 1, 1, 1) and levels.dtype == torch.float64
    uniform = ((levels.flatten() - 5) / 45).sort().values
    steps = torch.linspace(0, 1, 2000, dtype=torch.float64)
    assert (uniform - steps).abs().max() < 1.95 / math.sqrt(2000)  # Kolmogorov-Smirnov, 99.9 %
    few = torch.full((4, 3, 100, 100), 0.5)
    measured = (model(few, seeded(1)) - few).flatten(1).double().std(dim=1) * 255
    torch.testing.assert_close(
        measured, model.levels(few, seeded(1)).flatten().double() * 255, rtol=0.02, atol=0
    )
    assert measured.max() > 1.2 * measured.min()


def test_given_levels_are_taken():
    clean, model = torch.full((3, 3, 50, 50), 0.5), Gaussian((5, 50))
    levels = torch.tensor([0.0, 0.1, 0.2]).view(3, 1, 1, 1)
    noise = model(clean, seeded(), levels) - clean
    expected = levels * torch.randn(clean.shape, generator=seeded())
    torch.testing.assert_close(noise, expected, rtol=0, atol=1e-6)


def test_a_fixed_sigma_draws_no_levels():
    """Its noise is the same as ever, byte for byte."""
    clean, generator = torch.full((2, 3, 8, 8), 0.5), seeded()
    levels = Gaussian(25).levels(clean, generator)
    assert torch.equal(levels, torch.full((2, 1, 1, 1), 25 / 255))
    assert torch.equal(generator.get_state(), seeded().get_state())
    one, equal = (Gaussian(sigma)(clean, seeded()) for sigma in (25, (25, 25)))
    assert one.shape == equal.shape == clean.shape


@pytest.mark.parametrize(
    ("sigma", "error", "message"),
    [
        ((50, 5), ValueError, r"ascending order, got \(50, 5\)"),
        ((5,), ValueError, r"one number or two, got \(5,\)"),
        ((5, 10, 20), ValueError, "one number or two"),
        ((0, 5), ValueError, "sigma > 0, got 0"),
        ((5, math.inf), ValueError, "sigma > 0, got inf"),
        ((5, math.nan), ValueError, "sigma > 0, got nan"),
        ((5, "50"), TypeError, "sigma to be a number, got '50'"),
        ((True, 5), TypeError, "sigma to be a number, got True"),
    ],
)
def test_bad_ranges_of_sigma(sigma, error, message):
    with pytest.raises(error, match=message):
        noise.make_noise("gaussian", sigma)


def test_poisson_counts_photons():
    photons = Poisson(30)(torch.full((3, 200, 200), 0.1), seeded()).double() * 30
    torch.testing.assert_close(photons, photons.round(), rtol=0, atol=1e-5)
    for count in range(6):  # P(k) = 3^k e^-3 / k!
        probability = 3**count * math.exp(-3) / math.factorial(count)
        share = (photons.round() == count).double().mean().item()
        assert share == pytest.approx(probability, abs=0.01)


def test_bernoulli_masks_whole_pixels():
    noisy = Bernoulli(0.25)(torch.full((4, 3, 50, 50), 0.2), seeded())
    kept = noisy != 0
    torch.testing.assert_close(noisy[kept], torch.full_like(noisy[kept], 0.8))
    assert torch.equal(kept[:, 0], kept[:, 1]) and torch.equal(kept[:, 0], kept[:, 2])
    assert kept.double().mean() == pytest.approx(0.25, abs=0.02)
    assert not torch.equal(kept[0], kept[1])  # each image has its own mask
    clean = torch.rand(3, 8, 8, generator=seeded())
    assert torch.equal(Bernoulli(1.0)(clean, seeded()), clean)


@pytest.mark.parametrize("model", MODELS, ids=repr)
@pytest.mark.parametrize("shape", [(3, 9, 7), (2, 3, 9, 7), (2, 2, 1, 9, 7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_dtype_and_input_kept(model, shape, dtype):
    clean = torch.rand(shape, dtype=dtype, generator=seeded())
    before = clean.clone()
    noisy = model(clean, seeded())
    assert noisy.shape == clean.shape and noisy.dtype == dtype
    assert torch.equal(clean, before)


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_same_seed_same_bytes_whatever_the_threads(model):
    clean = torch.rand(8, 3, 64, 64, generator=seeded())
    threads = torch.get_num_threads()
    global_state = torch.get_rng_state()
    try:
        torch.set_num_threads(1)
        one = model(clean, seeded(3))
        torch.set_num_threads(2)
        two = model(clean, seeded(3))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(one, two)
    assert not torch.equal(one, model(clean, seeded(4)))
    assert torch.equal(torch.get_rng_state(), global_state)


def test_two_draws_from_one_generator_are_independent():
    generator, clean = seeded(), torch.full((3, 200, 200), 0.5)
    first, second = (Gaussian(25)(clean, generator) - clean for _ in range(2))
    correlation = torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1]
    assert abs(correlation) < 0.02


# Pixel sampling


def test_pixel_sampling_equals_a_loop():
    crop = torch.arange(2 * 3 * 8 * 12).reshape(2, 3, 8, 12)  # every value occurs once
    small = noise.pixel_sampling(crop, 4, seeded())
    assert small.shape == (2, 3, 2, 3) and small.dtype == crop.dtype
    for n in range(2):
        for i in range(2):
            for j in range(3):
                pixel = small[n, :, i, j]
                block = crop[n, :, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4]
                matches = (block == pixel[:, None, None]).all(dim=0)
                assert matches.sum() == 1  # one pixel of the block, with all its channels


def test_pixel_sampling_takes_every_pixel_equally_often():
    crop = torch.arange(9).reshape(1, 3, 3).repeat(1, 100, 100)
    small = noise.pixel_sampling(crop, 3, seeded())
    counts = torch.bincount(small.flatten(), minlength=9).double()
    expected = 10_000 / 9
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert chi_squared < 26.1  # 99.9 % quantile for 8 degrees of freedom


def test_pixel_sampling_is_zero_mean():
    crop = torch.rand(3, 24, 24, generator=seeded(), dtype=torch.float64)
    means = torch.nn.functional.avg_pool2d(crop[None], 6)[0]
    generator = seeded(1)
    draws = torch.stack([noise.pixel_sampling(crop, 6, generator) for _ in range(4000)])
    standard_error = draws.std(dim=0) / math.sqrt(4000)
    assert ((draws.mean(dim=0) - means).abs() < 5 * standard_error).all()


def test_pixel_sampling_edge_cases():
    crop = torch.rand(3, 64, 64, generator=seeded())
    assert torch.equal(noise.pixel_sampling(crop, 1, seeded()), crop)
    one = noise.pixel_sampling(crop, 8, seeded(5))
    assert torch.equal(one, noise.pixel_sampling(crop, 8, seeded(5)))
    assert not torch.equal(one, noise.pixel_sampling(crop, 8, seeded(6)))


@pytest.mark.parametrize(
    ("shape", "block", "error", "message"),
    [
        ((3, 8, 9), 4, ValueError, r"multiples of 4, got \(3, 8, 9\)"),
        ((8, 8), 4, ValueError, r"got \(8, 8\)"),
        ((3, 0, 8), 4, ValueError, r"got \(3, 0, 8\)"),
        ((3, 8, 8), 0, ValueError, "block of at least 1, got 0"),
        ((3, 8, 8), 2.0, TypeError, "integer, got 2.0"),
    ],
)
def test_pixel_sampling_refuses(shape, block, error, message):
    with pytest.raises(error, match=message):
        noise.pixel_sampling(torch.zeros(shape), block, seeded())


# Two noisy images out of one


@pytest.mark.parametrize("alpha", [0.25, 0.5, 1.0, 2.0])
def test_recorrupted_images_have_independent_noise_of_the_variance_that_is_told(alpha):
    clean = grey_steps().double()
    noisy = Gaussian(25)(clean, seeded())
    first, second = noise.recorrupt(noisy, 25, seeded(1), alpha)
    a, b = (first - clean) * 255 / 25, (second - clean) * 255 / 25
    count = clean.numel()
    for error, variance in ((a, 1 + alpha**2), (b, 1 + 1 / alpha**2)):
        assert error.mean().abs() < 5 * math.sqrt(variance / count)
        assert error.square().mean() == pytest.approx(variance, rel=5 * math.sqrt(2 / count))
    for one, other in ((a, b), (a.square(), b.square())):  # independent, not only uncorrelated
        correlation = torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]
        assert correlation.abs() < 5 / math.sqrt(count)
    # Nothing is lost: the weighted mean of the two is the image that they came from.
    torch.testing.assert_close((first + alpha**2 * second) / (1 + alpha**2), noisy)


def test_told_the_wrong_level_recorrupted_noise_is_not_independent():
    clean = torch.full((3, 200, 200), 0.5, dtype=torch.float64)
    first, second = noise.recorrupt(Gaussian(25)(clean, seeded()), 10, seeded(1))
    a, b = (first - clean) * 255, (second - clean) * 255
    assert (a * b).mean() == pytest.approx(25**2 - 10**2, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((torch.zeros(3, 8, 8).byte(), 25), TypeError, "floating-point.*uint8"),
        ((torch.zeros(8, 8), 25), ValueError, r"got shape \(8, 8\)"),
        ((torch.zeros(3, 8, 8), 0), ValueError, "sigma > 0, got 0"),
        ((torch.zeros(3, 8, 8), 25, math.nan), ValueError, "alpha > 0, got nan"),
        ((torch.zeros(3, 8, 8), 25, "half"), TypeError, "alpha to be a number, got 'half'"),
    ],
)
def test_recorrupt_refuses(arguments, error, message):
    images, sigma, *alpha = arguments
    generator = seeded()
    before = generator.get_state()
    with pytest.raises(error, match=message):
        noise.recorrupt(images, sigma, generator, *alpha)
    assert torch.equal(generator.get_state(), before)


# The registry


def test_registry():
    assert list(noise.NOISES) == ["pixels", "gaussian", "poisson", "bernoulli", "camera"]
    for name, kind in noise.NOISES.items():
        assert type(noise.make_noise(name)) is kind
    assert noise.make_noise("gaussian", sigma=50).sigma == 50
    assert repr(noise.make_noise("gaussian", 12.5)) == "Gaussian(sigma=12.5)"
    assert repr(Gaussian((5, 50.0))) == "Gaussian(sigma=(5, 50))"
    assert repr(Poisson()) == "Poisson(peak=30)"
    assert repr(Bernoulli()) == "Bernoulli(keep=0.5)"
    assert repr(PixelSampling()) == "PixelSampling()"
    assert repr(noise.make_noise("camera")) == "Cameras(together=4)"


def test_pixel_sampling_is_no_function_of_the_clean_image():
    with pytest.raises(TypeError, match="expected the source photograph"):
        noise.make_noise("pixels")(torch.zeros(3, 8, 8), seeded())


@pytest.mark.parametrize("bad", [0, -25.0, math.nan, math.inf])
@pytest.mark.parametrize("name", list(noise.NOISES))
def test_bad_sigma(name, bad):
    with pytest.raises(ValueError, match=f"expected a finite sigma > 0, got {bad}"):
        noise.make_noise(name, sigma=bad)


def test_bad_parameters():
    with pytest.raises(ValueError, match=r"'pixels', 'gaussian', .* got 'salt'"):
        noise.make_noise("salt")
    with pytest.raises(TypeError, match="got '25'"):
        Gaussian("25")
    with pytest.raises(ValueError, match="peak > 0, got 0"):
        Poisson(0)
    with pytest.raises(ValueError, match=r"keep in \(0, 1\], got 1.5"):
        Bernoulli(1.5)
    with pytest.raises(ValueError, match="keep > 0, got 0"):
        Bernoulli(0)


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_bad_images(model):
    with pytest.raises(TypeError, match=r"floating-point.*uint8"):
        model(torch.zeros(3, 8, 8, dtype=torch.uint8), seeded())
    with pytest.raises(TypeError, match="tensor, got list"):
        model([0.5], seeded())
    with pytest.raises(ValueError, match=r"got shape \(8, 8\)"):
        model(torch.zeros(8, 8), seeded())


def test_poisson_refuses_negative_values():
    for bad in (-0.5, math.nan):
        with pytest.raises(ValueError, match=f"clean values >= 0.*got {bad}"):
            Poisson()(torch.tensor([[[0.5, bad]]]), seeded())

"""Pairs and patches drawn from photographs."""

from __future__ import annotations

import math

import pytest
import torch
from reference import generator, random_image

from n2n_lib.denoiser import noise, sampling
from n2n_lib.denoiser.images import to_unit
from n2n_lib.denoiser.metrics import psnr
from n2n_lib.denoiser.photographs import photographs
from n2n_lib.denoiser.sampling import jitter_colours, sample_pairs, sample_patches


def numbered_image(height: int, width: int) -> torch.Tensor:
    """An image whose red is its row and whose green is its column (both below 256)."""
    rows = torch.arange(height).view(-1, 1).expand(height, width)
    cols = torch.arange(width).expand(height, width)
    return torch.stack([rows, cols, torch.zeros(height, width, dtype=torch.long)]).byte()


def only(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let blocks have one size, so that a test knows it."""
    monkeypatch.setattr(sampling, "BLOCKS", (block, block))


@pytest.mark.parametrize("block", [4, 7, 13])
def test_pixel_pairs_against_loops(block, monkeypatch):
    """Recover the place and the flips from a numbered image, and compare block by block."""
    only(block, monkeypatch)
    size, image = 5, numbered_image(100, 120)
    pairs = sample_pairs(60, images=[image], size=size, generator=generator(0))
    assert pairs.noisy1.dtype == pairs.noisy2.dtype == torch.uint8
    assert pairs.clean.dtype == torch.float32
    seen_flips = set()
    for noisy1, noisy2, clean in zip(*pairs, strict=True):
        # The mean of a block of row numbers is the number of its middle row.
        middle_rows, middle_cols = clean[0, :, 0], clean[1, 0, :]
        seen_flips.add(
            (bool(middle_rows[0] > middle_rows[-1]), bool(middle_cols[0] > middle_cols[-1]))
        )
        for i in range(size):
            for j in range(size):
                top = int(middle_rows[i] - (block - 1) / 2)
                left = int(middle_cols[j] - (block - 1) / 2)
                source = image[:, top : top + block, left : left + block]
                assert source.shape == (3, block, block)  # inside the photograph
                torch.testing.assert_close(
                    clean[:, i, j], source.double().mean(dim=(1, 2)).float(), rtol=0, atol=0
                )
                for noisy in (noisy1, noisy2):
                    # Red and green say which pixel this is: it must be one of the block's.
                    row, col, _ = noisy[:, i, j].tolist()
                    assert top <= row < top + block and left <= col < left + block
        steps = middle_rows.diff().abs().tolist() + middle_cols.diff().abs().tolist()
        assert steps == [block] * (2 * (size - 1))
    assert len(seen_flips) == 4


def test_clean_is_the_exact_mean_of_random_blocks(monkeypatch):
    only(4, monkeypatch)
    image = random_image(8, 8)  # one place only: thumbnails differ by their flips alone
    pairs = sample_pairs(20, images={"x": image}, size=2, generator=generator(0))
    mean = torch.nn.functional.avg_pool2d(image[None].double(), 4)[0].float()
    flips = [mean, mean.flip(1), mean.flip(2), mean.flip(1, 2)]
    hits = [sum(torch.equal(clean, flip) for clean in pairs.clean) for flip in flips]
    assert sum(hits) == 20 and min(hits) > 0


def test_both_pixel_samplings_agree_in_distribution(monkeypatch):
    only(6, monkeypatch)
    image = numbered_image(12, 12)
    pairs = sample_pairs(20_000, images=[image], size=2, generator=generator(0))
    crops = image.expand(20_000, 3, 12, 12)
    reference = noise.pixel_sampling(crops, 6, generator(1))
    for sample in (pairs.noisy1, pairs.noisy2, reference):
        # Which of the 144 source pixels was taken, over all blocks (flips permute the blocks).
        taken = sample[:, 0].long() * 12 + sample[:, 1].long()
        counts = torch.bincount(taken.flatten(), minlength=144).double()
        expected = taken.numel() / 144
        chi_squared = ((counts - expected) ** 2 / expected).sum()
        assert chi_squared < 199  # 99.9 % quantile for 143 degrees of freedom is 198.1


def test_pixel_noise_is_zero_mean_and_independent_between_the_two():
    pairs = sample_pairs(3000, generator=generator(0), images=[random_image(64, 64)], size=8)
    first, second = (
        (noisy.double() - pairs.clean).flatten() for noisy in (pairs.noisy1, pairs.noisy2)
    )
    for error in (first, second):
        assert abs(error.mean()) < 5 * error.std() / math.sqrt(len(error) / 3)
    assert abs(torch.corrcoef(torch.stack([first, second]))[0, 1]) < 0.01


def test_noise_on_the_photographs_is_as_the_blocks_say(monkeypatch):
    """Standard deviation at k = 6 against a plain computation over whole photographs."""
    only(6, monkeypatch)
    variances = []
    for image in photographs("train").values():
        height, width = (length // 6 * 6 for length in image.shape[1:])
        blocks = image[:, :height, :width].double().reshape(3, height // 6, 6, width // 6, 6)
        variances.append((blocks - blocks.mean(dim=(2, 4), keepdim=True)).square().mean())
    # Single blocks lie anywhere in a photograph, unlike thumbnails, which shun the margins.
    pairs = sample_pairs(200_000, size=1, generator=generator(0))
    measured = (pairs.noisy1 - pairs.clean).double().std()
    assert measured == pytest.approx(float(torch.stack(variances).mean().sqrt()), rel=0.02)


def test_blocks_are_as_large_as_a_photograph_allows():
    image = numbered_image(13 * 8 - 1, 250)  # k = 13 does not fit, k = 12 does
    pairs = sample_pairs(2000, images=[image], size=8, generator=generator(0))
    block = (pairs.clean[:, 0, 1, 0] - pairs.clean[:, 0, 0, 0]).abs()
    counts = torch.bincount(block.long())
    assert counts.nonzero().flatten().tolist() == list(range(4, 13))
    assert counts[4:].min() > 2000 / 9 * 0.7  # about equally often


def test_every_photograph_is_drawn():
    flat = [torch.full((3, 40, 40), value, dtype=torch.uint8) for value in (10, 20, 30)]
    pairs = sample_pairs(600, images=flat, size=8, generator=generator(0))
    assert torch.equal(pairs.noisy1.float(), pairs.clean)  # flat blocks have no noise
    counts = torch.bincount(pairs.noisy1[:, 0, 0, 0].long())[[10, 20, 30]]
    assert counts.sum() == 600 and counts.min() > 140


def test_do_nothing_on_validation_thumbnails():
    """The orientation figure: near 20.9 dB, as in the report's data (20.7)."""
    pairs = sample_pairs(1000, split="validation", generator=generator(0))
    score = psnr(to_unit(pairs.noisy1), to_unit(pairs.clean))
    assert 20.5 < score < 21.4
    assert pairs.noisy1.shape == (1000, 3, 32, 32)


# Other noise, and patches


@pytest.mark.parametrize("name", ["gaussian", "poisson", "bernoulli"])
def test_other_noise(name):
    pairs = sample_pairs(300, noise=name, size=16, generator=generator(0))
    for noisy in (pairs.noisy1, pairs.noisy2):
        assert noisy.dtype == torch.float32 and noisy.shape == pairs.clean.shape
        error = (noisy - pairs.clean).double()
        assert abs(error.mean()) < 5 * error.std() / math.sqrt(error.numel() / 3)
    assert not torch.equal(pairs.noisy1, pairs.noisy2)
    assert pairs.noisy1.max() > 255  # not clipped
    assert 0 <= pairs.clean.min() and pairs.clean.max() <= 255


def test_sigma_and_a_model_of_ones_own():
    pairs = sample_pairs(200, noise="gaussian", sigma=40, size=16, generator=generator(0))
    assert (pairs.noisy1 - pairs.clean).std() == pytest.approx(40, rel=0.02)
    brighter = sample_pairs(20, noise=lambda x, generator: x + 0.2, generator=generator(0))
    torch.testing.assert_close(brighter.noisy2, brighter.clean + 51)


def test_both_copies_of_a_pair_have_the_sigma_that_was_drawn_for_it():
    flat = [torch.full((3, 64, 64), 128, dtype=torch.uint8)]
    options = {"images": flat, "size": 32, "generator": generator(0)}
    pairs = sample_pairs(300, noise="gaussian", sigma=(5, 50), **options)
    first, second = (
        (noisy - pairs.clean).flatten(1).double().std(dim=1)
        for noisy in (pairs.noisy1, pairs.noisy2)
    )
    assert first.min() < 8 and first.max() > 47
    assert ((first / second).log().abs() < 0.12).all()  # five standard errors of 3072 values
    assert not torch.equal(pairs.noisy1, pairs.noisy2)
    error = (pairs.noisy1 - pairs.clean, pairs.noisy2 - pairs.clean)
    correlation = torch.corrcoef(torch.stack([e.flatten().double() for e in error]))[0, 1]
    assert correlation.abs() < 0.01


def test_pairs_are_cut_at_the_scale_that_is_asked_for():
    pairs = sample_pairs(
        50,
        images=[numbered_image(60, 60)],
        noise="gaussian",
        size=10,
        scale=(3, 3),
        generator=generator(0),
    )
    for axis, steps in ((0, pairs.clean[:, 0].diff(dim=1)), (1, pairs.clean[:, 1].diff(dim=2))):
        torch.testing.assert_close(steps.abs(), torch.full_like(steps, 3.0), msg=f"axis {axis}")


def test_patches_at_scale_one_are_crops():
    image = numbered_image(30, 40)
    patches = sample_patches(50, images=[image], size=9, scale=(1, 1), generator=generator(0))
    corners = set()
    for patch in patches:
        top, left = int(patch[0].min()), int(patch[1].min())
        crop = image[:, top : top + 9, left : left + 9].float()
        options = [crop, crop.flip(1), crop.flip(2), crop.flip(1, 2)]
        assert any(torch.equal(patch, option) for option in options)
        corners.add((top, left))
    assert len(corners) > 25


def test_patches_average_areas():
    """A fractional scale, against bilinear-free brute force: split pixels into 10 x 10 parts."""
    image = random_image(12, 12)
    patches = sample_patches(40, images=[image], size=4, scale=(2.7, 2.7), generator=generator(0))
    fine = image.double().repeat_interleave(10, 1).repeat_interleave(10, 2)
    places = {}
    for top in range(2):  # 4 * 2.7 = 10.8 of 12 pixels: places 0 and 1
        for left in range(2):
            crop = fine[:, 10 * top : 10 * top + 108, 10 * left : 10 * left + 108]
            mean = torch.nn.functional.avg_pool2d(crop[None], 27)[0].float()
            for number, flip in enumerate((mean, mean.flip(1), mean.flip(2), mean.flip(1, 2))):
                places[top, left, number] = flip
    found = set()
    for patch in patches:
        hits = [key for key, mean in places.items() if torch.allclose(patch, mean, atol=1e-4)]
        assert len(hits) == 1
        found.update(hits)
    assert len(found) > 8


def test_scales_are_log_uniform():
    image = numbered_image(250, 250)
    patches = sample_patches(4000, images=[image], size=10, generator=generator(0))
    scale = (patches[:, 0, 1, 0] - patches[:, 0, 0, 0]).abs().double()
    assert scale.min() >= 1 - 1e-4 and scale.max() <= 8 + 1e-4
    uniform = (scale.log() / math.log(8)).sort().values
    steps = torch.linspace(0, 1, 4000, dtype=torch.float64)
    assert (uniform - steps).abs().max() < 1.95 / math.sqrt(4000)  # Kolmogorov-Smirnov, 99.9 %


def test_scales_stay_within_a_small_photograph():
    patches = sample_patches(500, images=[numbered_image(33, 50)], size=32, generator=generator(0))
    assert torch.isfinite(patches).all()
    step = (patches[:, 0, 1, 0] - patches[:, 0, 0, 0]).abs()
    assert step.max() <= 33 / 32 + 1e-4
    exact = sample_patches(5, images=[random_image(32, 32)], size=32, generator=generator(0))
    assert torch.equal(exact, exact.round())  # nothing but scale 1 fits


# Determinism


@pytest.mark.parametrize("name", list(noise.NOISES))
def test_same_seed_same_bytes(name):
    def draw(seed, **options):
        return sample_pairs(300, noise=name, size=8, generator=generator(seed), **options)

    global_state = torch.get_rng_state()
    first, again, other = draw(1), draw(1), draw(2)
    assert torch.equal(torch.get_rng_state(), global_state)
    for a, b, c in zip(first, again, other, strict=True):
        assert torch.equal(a, b) and not torch.equal(a, c)
    without = draw(1, with_clean=False)
    assert without.clean is None
    assert torch.equal(without.noisy1, first.noisy1) and torch.equal(without.noisy2, first.noisy2)


def test_same_bytes_whatever_the_threads():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = sample_pairs(300, generator=generator(0))
        torch.set_num_threads(2)
        two = sample_pairs(300, generator=generator(0))
        assert torch.get_num_threads() == 2  # left as it was, also when a call fails:
        with pytest.raises(ValueError):
            sample_pairs(0, generator=generator(0))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_images_as_a_dict_list_or_iterator_give_the_same():
    images = {"a": random_image(40, 50, 1), "b": random_image(50, 40, 2)}
    before = {name: image.clone() for name, image in images.items()}
    draws = [
        sample_pairs(50, images=given, size=8, generator=generator(0))
        for given in (images, list(images.values()), iter(images.values()))
    ]
    for draw in draws[1:]:
        assert all(torch.equal(a, b) for a, b in zip(draws[0], draw, strict=True))
    assert all(torch.equal(images[name], before[name]) for name in images)


# Colours


def test_jitter_against_a_loop():
    patches = 255 * torch.rand(5, 3, 6, 7, generator=generator(0), dtype=torch.float64)
    before = patches.clone()
    jittered = jitter_colours(patches, 0.4, generator(1))
    assert torch.equal(patches, before)
    factors = 1 + 0.4 * (2 * torch.rand(3, 5, generator=generator(1)).double() - 1)
    for patch, result, b, c, s in zip(patches, jittered, *factors, strict=True):
        middle = b * patch.sum() / patch.numel()
        for i in range(6):
            for j in range(7):
                pixel = [float(middle + c * (b * patch[k, i, j] - middle)) for k in range(3)]
                grey = sum(pixel) / 3
                expected = [min(max(grey + float(s) * (v - grey), 0), 255) for v in pixel]
                assert result[:, i, j].tolist() == pytest.approx(expected, abs=1e-4)


def test_jitter_keeps_the_range_and_reaches_its_ends():
    flat = torch.full((4000, 3, 2, 2), 100.0)
    brightness = jitter_colours(flat, 0.3, generator(0))[:, 0, 0, 0] / 100  # the rest has no say
    assert 0.7 <= brightness.min() < 0.71 and 1.29 < brightness.max() <= 1.3
    assert brightness.mean() == pytest.approx(1, abs=5 * 0.3 / math.sqrt(3 * 4000))
    wild = jitter_colours(255 * torch.rand(50, 3, 8, 8, generator=generator(0)), 1.0, generator(0))
    assert wild.min() == 0 and wild.max() == 255  # clamped
    assert torch.equal(jitter_colours(flat, 0, generator(0)), flat)


def test_pairs_of_jittered_patches_are_noisy_copies_of_them():
    options = {"noise": "gaussian", "sigma": 10, "size": 16, "scale": (1, 2)}
    plain = sample_pairs(200, **options, generator=generator(0))
    drawn = sample_pairs(200, **options, jitter=0.5, generator=generator(0))
    assert (drawn.clean - plain.clean).abs().mean() > 10
    for noisy in drawn[:2]:
        error = (noisy - drawn.clean).double()
        assert error.std() == pytest.approx(10, rel=0.02)
        assert error.mean().abs() < 5 * 10 / math.sqrt(error.numel())
    blind = sample_pairs(200, **options, jitter=0.5, with_clean=False, generator=generator(0))
    assert torch.equal(blind.noisy1, drawn.noisy1) and torch.equal(blind.noisy2, drawn.noisy2)


# Bad arguments


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"count": 0}, ValueError, "count of at least 1, got 0"),
        ({"count": 2.0}, TypeError, "count to be an integer, got 2.0"),
        ({"size": 0}, ValueError, "size of at least 1, got 0"),
        ({"size": True}, TypeError, "size to be an integer, got True"),
        ({"split": "test"}, ValueError, "got 'test'"),
        ({"split": None}, ValueError, "'train', 'validation', got None"),
        ({"noise": "salt"}, ValueError, "got 'salt'"),
        ({"noise": 3}, TypeError, "noise name or model, got int"),
        ({"noise": "gaussian", "sigma": -1}, ValueError, "sigma > 0, got -1"),
        ({"noise": "gaussian", "sigma": math.nan}, ValueError, "sigma > 0, got nan"),
        ({"noise": "gaussian", "sigma": (9, 3)}, ValueError, r"ascending order, got \(9, 3\)"),
        ({"scale": (2, 1)}, ValueError, r"expected a scale .* got \(2, 1\)"),
        ({"jitter": 0.5}, ValueError, "jitter 0 for pixel sampling, got 0.5"),
        ({"noise": "gaussian", "jitter": 1.5}, ValueError, "jitter from 0 to 1, got 1.5"),
        ({"noise": "gaussian", "jitter": math.nan}, ValueError, "jitter from 0 to 1, got nan"),
        ({"noise": "gaussian", "jitter": "some"}, TypeError, "jitter to be a number, got 'some'"),
        ({"noise": "gaussian", "scale": 2}, ValueError, "scale as two numbers, got 2"),
        ({"generator": 0}, TypeError, "torch.Generator, got int"),
        ({"generator": None}, TypeError, "torch.Generator, got NoneType"),
        ({"images": []}, ValueError, "at least one image, got none"),
        ({"images": torch.zeros(3, 64, 64).byte()}, TypeError, "dict or a list, got Tensor"),
        ({"images": [torch.zeros(3, 200, 200)]}, TypeError, "image 0 to be uint8, got float32"),
        ({"images": [torch.zeros(200, 200, 3).byte()]}, ValueError, r"\(3, H, W\)"),
        (
            {"images": {"big": random_image(128, 128), "small.png": random_image(127, 400)}},
            ValueError,
            "image 'small.png' of at least 128 x 128 pixels, got 127 x 400",
        ),
        ({"size": 96}, ValueError, "image 'chelsea' of at least 384 x 384 pixels, got 300 x 451"),
    ],
)
def test_bad_arguments(options, error, message):
    options = {"count": 1, "generator": generator(0), **options}
    with pytest.raises(error, match=message):
        sample_pairs(**options)


@pytest.mark.parametrize(
    "scale", [(0.5, 2), (3, 2), (1, math.inf), (math.nan, 2), (1,), 2, "ab", None]
)
def test_bad_scale(scale):
    with pytest.raises(ValueError, match=r"expected (a )?scale"):
        sample_patches(1, scale=scale, generator=generator(0))


def test_generator_is_not_advanced_by_a_refused_call():
    source = generator(0)
    before = source.get_state()
    with pytest.raises(ValueError):
        sample_pairs(1, images=[random_image(20, 20)], generator=source)
    assert torch.equal(source.get_state(), before)

"""Photographs, sampled pairs and patches, and files."""

from __future__ import annotations

import math
import os
import pickle
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from n2n_lib.denoiser import data, metrics, noise


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_image(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=seeded(seed))


def numbered_image(height: int, width: int) -> torch.Tensor:
    """An image whose red is its row and whose green is its column (both below 256)."""
    rows = torch.arange(height).view(-1, 1).expand(height, width)
    cols = torch.arange(width).expand(height, width)
    return torch.stack([rows, cols, torch.zeros(height, width, dtype=torch.long)]).byte()


# Photographs

SIZES = {
    "astronaut": (512, 512),
    "chelsea": (300, 451),
    "rocket": (427, 640),
    "motorcycle": (500, 741),
    "grace_hopper": (600, 512),
    "flower": (427, 640),
    "coffee": (400, 600),
    "china": (427, 640),
}


def test_photographs_and_their_split():
    images = data.photographs()
    assert {name: tuple(image.shape[1:]) for name, image in images.items()} == SIZES
    for image in images.values():
        assert image.dtype == torch.uint8 and image.shape[0] == 3 and image.is_contiguous()
        assert image.float().std() > 30  # a picture, not a blank
        # Colour, and so not a grey image three times over.
        assert (image[0].float() - image[2].float()).abs().mean() > 5
    assert list(data.photographs("validation")) == ["coffee", "china"]
    train = list(data.photographs("train"))
    assert train == [name for name in SIZES if name not in ("coffee", "china")]


def test_photographs_are_the_files_of_the_packages():
    from skimage import data as skimage_data
    from sklearn.datasets import load_sample_image

    left, right, _ = skimage_data.stereo_motorcycle()
    motorcycle = data.photograph("motorcycle").permute(1, 2, 0).numpy()
    assert np.array_equal(motorcycle, left) and not np.array_equal(motorcycle, right)
    coffee = data.photograph("coffee").permute(1, 2, 0).numpy()
    assert np.array_equal(coffee, skimage_data.coffee())
    china = data.photograph("china").permute(1, 2, 0).numpy()
    assert np.array_equal(china, load_sample_image("china.jpg"))


def test_photographs_need_no_network():
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise AssertionError('network')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "from n2n_lib import data\n"
        "print(len(data.photographs()))\n"
    )
    assert hasattr(socket.socket, "connect")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("8\n", "")


def test_every_photograph_is_credited():
    for photo in data.PHOTOGRAPHS:
        assert all((photo.title, photo.credit, photo.licence)), photo.name
        assert photo.package in ("scikit-image", "scikit-learn", "matplotlib")
    with pytest.raises(AttributeError):
        data.PHOTOGRAPHS[0].split = "validation"


def test_unknown_names():
    with pytest.raises(ValueError, match=r"'astronaut', 'chelsea'.* got 'lena'"):
        data.photograph("lena")
    with pytest.raises(ValueError, match="'train', 'validation' or None, got 'test'"):
        data.photographs("test")
    with pytest.raises(ValueError, match="'train', 'validation', got None"):
        data.sample_pairs(1, split=None, generator=seeded())


# Pixel sampling


def only(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let blocks have one size, so that a test knows it."""
    monkeypatch.setattr(data, "BLOCKS", (block, block))


@pytest.mark.parametrize("block", [4, 7, 13])
def test_pixel_pairs_against_loops(block, monkeypatch):
    """Recover the place and the flips from a numbered image, and compare block by block."""
    only(block, monkeypatch)
    size, image = 5, numbered_image(100, 120)
    pairs = data.sample_pairs(60, images=[image], size=size, generator=seeded())
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
    pairs = data.sample_pairs(20, images={"x": image}, size=2, generator=seeded())
    mean = torch.nn.functional.avg_pool2d(image[None].double(), 4)[0].float()
    flips = [mean, mean.flip(1), mean.flip(2), mean.flip(1, 2)]
    hits = [sum(torch.equal(clean, flip) for clean in pairs.clean) for flip in flips]
    assert sum(hits) == 20 and min(hits) > 0


def test_both_pixel_samplings_agree_in_distribution(monkeypatch):
    only(6, monkeypatch)
    image = numbered_image(12, 12)
    pairs = data.sample_pairs(20_000, images=[image], size=2, generator=seeded())
    crops = image.expand(20_000, 3, 12, 12)
    reference = noise.pixel_sampling(crops, 6, seeded(1))
    for sample in (pairs.noisy1, pairs.noisy2, reference):
        # Which of the 144 source pixels was taken, over all blocks (flips permute the blocks).
        taken = sample[:, 0].long() * 12 + sample[:, 1].long()
        counts = torch.bincount(taken.flatten(), minlength=144).double()
        expected = taken.numel() / 144
        chi_squared = ((counts - expected) ** 2 / expected).sum()
        assert chi_squared < 199  # 99.9 % quantile for 143 degrees of freedom is 198.1


def test_pixel_noise_is_zero_mean_and_independent_between_the_two():
    pairs = data.sample_pairs(3000, generator=seeded(), images=[random_image(64, 64)], size=8)
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
    for image in data.photographs("train").values():
        height, width = (length // 6 * 6 for length in image.shape[1:])
        blocks = image[:, :height, :width].double().reshape(3, height // 6, 6, width // 6, 6)
        variances.append((blocks - blocks.mean(dim=(2, 4), keepdim=True)).square().mean())
    # Single blocks lie anywhere in a photograph, unlike thumbnails, which shun the margins.
    pairs = data.sample_pairs(200_000, size=1, generator=seeded())
    measured = (pairs.noisy1 - pairs.clean).double().std()
    assert measured == pytest.approx(float(torch.stack(variances).mean().sqrt()), rel=0.02)


def test_blocks_are_as_large_as_a_photograph_allows():
    image = numbered_image(13 * 8 - 1, 250)  # k = 13 does not fit, k = 12 does
    pairs = data.sample_pairs(2000, images=[image], size=8, generator=seeded())
    block = (pairs.clean[:, 0, 1, 0] - pairs.clean[:, 0, 0, 0]).abs()
    counts = torch.bincount(block.long())
    assert counts.nonzero().flatten().tolist() == list(range(4, 13))
    assert counts[4:].min() > 2000 / 9 * 0.7  # about equally often


def test_every_photograph_is_drawn():
    flat = [torch.full((3, 40, 40), value, dtype=torch.uint8) for value in (10, 20, 30)]
    pairs = data.sample_pairs(600, images=flat, size=8, generator=seeded())
    assert torch.equal(pairs.noisy1.float(), pairs.clean)  # flat blocks have no noise
    counts = torch.bincount(pairs.noisy1[:, 0, 0, 0].long())[[10, 20, 30]]
    assert counts.sum() == 600 and counts.min() > 140


def test_do_nothing_on_validation_thumbnails():
    """The orientation figure: near 20.9 dB, as in the report's data (20.7)."""
    pairs = data.sample_pairs(1000, split="validation", generator=seeded())
    score = metrics.psnr(data.to_unit(pairs.noisy1), data.to_unit(pairs.clean))
    assert 20.5 < score < 21.4
    assert pairs.noisy1.shape == (1000, 3, 32, 32)


# Other noise, and patches


@pytest.mark.parametrize("name", ["gaussian", "poisson", "bernoulli"])
def test_other_noise(name):
    pairs = data.sample_pairs(300, noise=name, size=16, generator=seeded())
    for noisy in (pairs.noisy1, pairs.noisy2):
        assert noisy.dtype == torch.float32 and noisy.shape == pairs.clean.shape
        error = (noisy - pairs.clean).double()
        assert abs(error.mean()) < 5 * error.std() / math.sqrt(error.numel() / 3)
    assert not torch.equal(pairs.noisy1, pairs.noisy2)
    assert pairs.noisy1.max() > 255  # not clipped
    assert 0 <= pairs.clean.min() and pairs.clean.max() <= 255


def test_sigma_and_a_model_of_ones_own():
    pairs = data.sample_pairs(200, noise="gaussian", sigma=40, size=16, generator=seeded())
    assert (pairs.noisy1 - pairs.clean).std() == pytest.approx(40, rel=0.02)
    brighter = data.sample_pairs(20, noise=lambda x, generator: x + 0.2, generator=seeded())
    torch.testing.assert_close(brighter.noisy2, brighter.clean + 51)


def test_both_copies_of_a_pair_have_the_sigma_that_was_drawn_for_it():
    flat = [torch.full((3, 64, 64), 128, dtype=torch.uint8)]
    options = {"images": flat, "size": 32, "generator": seeded()}
    pairs = data.sample_pairs(300, noise="gaussian", sigma=(5, 50), **options)
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
    pairs = data.sample_pairs(
        50,
        images=[numbered_image(60, 60)],
        noise="gaussian",
        size=10,
        scale=(3, 3),
        generator=seeded(),
    )
    for axis, steps in ((0, pairs.clean[:, 0].diff(dim=1)), (1, pairs.clean[:, 1].diff(dim=2))):
        torch.testing.assert_close(steps.abs(), torch.full_like(steps, 3.0), msg=f"axis {axis}")


def test_patches_at_scale_one_are_crops():
    image = numbered_image(30, 40)
    patches = data.sample_patches(50, images=[image], size=9, scale=(1, 1), generator=seeded())
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
    patches = data.sample_patches(40, images=[image], size=4, scale=(2.7, 2.7), generator=seeded())
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
    patches = data.sample_patches(4000, images=[image], size=10, generator=seeded())
    scale = (patches[:, 0, 1, 0] - patches[:, 0, 0, 0]).abs().double()
    assert scale.min() >= 1 - 1e-4 and scale.max() <= 8 + 1e-4
    uniform = (scale.log() / math.log(8)).sort().values
    steps = torch.linspace(0, 1, 4000, dtype=torch.float64)
    assert (uniform - steps).abs().max() < 1.95 / math.sqrt(4000)  # Kolmogorov-Smirnov, 99.9 %


def test_scales_stay_within_a_small_photograph():
    patches = data.sample_patches(500, images=[numbered_image(33, 50)], size=32, generator=seeded())
    assert torch.isfinite(patches).all()
    step = (patches[:, 0, 1, 0] - patches[:, 0, 0, 0]).abs()
    assert step.max() <= 33 / 32 + 1e-4
    exact = data.sample_patches(5, images=[random_image(32, 32)], size=32, generator=seeded())
    assert torch.equal(exact, exact.round())  # nothing but scale 1 fits


# Determinism


@pytest.mark.parametrize("name", list(noise.NOISES))
def test_same_seed_same_bytes(name):
    def draw(seed, **options):
        return data.sample_pairs(300, noise=name, size=8, generator=seeded(seed), **options)

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
        one = data.sample_pairs(300, generator=seeded())
        torch.set_num_threads(2)
        two = data.sample_pairs(300, generator=seeded())
        assert torch.get_num_threads() == 2  # left as it was, also when a call fails:
        with pytest.raises(ValueError):
            data.sample_pairs(0, generator=seeded())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_images_as_a_dict_list_or_iterator_give_the_same():
    images = {"a": random_image(40, 50, 1), "b": random_image(50, 40, 2)}
    before = {name: image.clone() for name, image in images.items()}
    draws = [
        data.sample_pairs(50, images=given, size=8, generator=seeded())
        for given in (images, list(images.values()), iter(images.values()))
    ]
    for draw in draws[1:]:
        assert all(torch.equal(a, b) for a, b in zip(draws[0], draw, strict=True))
    assert all(torch.equal(images[name], before[name]) for name in images)


# Colours


def test_jitter_against_a_loop():
    patches = 255 * torch.rand(5, 3, 6, 7, generator=seeded(), dtype=torch.float64)
    before = patches.clone()
    jittered = data.jitter_colours(patches, 0.4, seeded(1))
    assert torch.equal(patches, before)
    factors = 1 + 0.4 * (2 * torch.rand(3, 5, generator=seeded(1)).double() - 1)
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
    brightness = data.jitter_colours(flat, 0.3, seeded())[:, 0, 0, 0] / 100  # the rest has no say
    assert 0.7 <= brightness.min() < 0.71 and 1.29 < brightness.max() <= 1.3
    assert brightness.mean() == pytest.approx(1, abs=5 * 0.3 / math.sqrt(3 * 4000))
    wild = data.jitter_colours(255 * torch.rand(50, 3, 8, 8, generator=seeded()), 1.0, seeded())
    assert wild.min() == 0 and wild.max() == 255  # clamped
    assert torch.equal(data.jitter_colours(flat, 0, seeded()), flat)


def test_pairs_of_jittered_patches_are_noisy_copies_of_them():
    options = {"noise": "gaussian", "sigma": 10, "size": 16, "scale": (1, 2)}
    plain = data.sample_pairs(200, **options, generator=seeded())
    drawn = data.sample_pairs(200, **options, jitter=0.5, generator=seeded())
    assert (drawn.clean - plain.clean).abs().mean() > 10
    for noisy in drawn[:2]:
        error = (noisy - drawn.clean).double()
        assert error.std() == pytest.approx(10, rel=0.02)
        assert error.mean().abs() < 5 * 10 / math.sqrt(error.numel())
    blind = data.sample_pairs(200, **options, jitter=0.5, with_clean=False, generator=seeded())
    assert torch.equal(blind.noisy1, drawn.noisy1) and torch.equal(blind.noisy2, drawn.noisy2)


# Bad arguments


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"count": 0}, ValueError, "count >= 1, got 0"),
        ({"count": 2.0}, TypeError, "count to be an integer, got float"),
        ({"size": 0}, ValueError, "size >= 1, got 0"),
        ({"size": True}, TypeError, "size to be an integer, got bool"),
        ({"split": "test"}, ValueError, "got 'test'"),
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
    options = {"count": 1, "generator": seeded(), **options}
    with pytest.raises(error, match=message):
        data.sample_pairs(**options)


@pytest.mark.parametrize(
    "scale", [(0.5, 2), (3, 2), (1, math.inf), (math.nan, 2), (1,), 2, "ab", None]
)
def test_bad_scale(scale):
    with pytest.raises(ValueError, match=r"expected (a )?scale"):
        data.sample_patches(1, scale=scale, generator=seeded())


def test_generator_is_not_advanced_by_a_refused_call():
    generator = seeded()
    before = generator.get_state()
    with pytest.raises(ValueError):
        data.sample_pairs(1, images=[random_image(20, 20)], generator=generator)
    assert torch.equal(generator.get_state(), before)


# Files of pairs


def test_load_pairs(tmp_path):
    a, b = (random_image(8, 16, seed)[None].repeat(4, 1, 1, 1) for seed in (0, 1))
    for name, legacy in (("new.pkl", True), ("old.pkl", False)):
        torch.save((a, b), tmp_path / name, _use_new_zipfile_serialization=legacy)
        first, second = data.load_pairs(str(tmp_path / name))
        assert torch.equal(first, a) and torch.equal(second, b)


def test_load_pairs_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.pkl: expected .*found no such file"):
        data.load_pairs(tmp_path / "none.pkl")


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_load_pairs_never_runs_code(tmp_path):
    trace = tmp_path / "code-was-run"
    with open(tmp_path / "plain.pkl", "wb") as file:
        pickle.dump(Malicious(trace), file)
    torch.save((Malicious(trace), torch.zeros(1)), tmp_path / "torch.pkl")
    for name in ("plain.pkl", "torch.pkl"):
        with pytest.raises(ValueError, match=f"{name}: expected .*uint8 tensors.*does not hold"):
            data.load_pairs(tmp_path / name)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Malicious(trace)))
    assert trace.exists()  # it would have: the test has teeth


def test_load_pairs_damaged(tmp_path):
    path = tmp_path / "pairs.pkl"
    pair = random_image(8, 8)[None], random_image(8, 8)[None]
    torch.save(pair, path)
    whole = path.read_bytes()
    for part in (b"", b"hello", whole[:100], whole[: len(whole) // 2], whole[:-10]):
        path.write_bytes(part)
        with pytest.raises(ValueError, match=r"pairs.pkl: expected .*uint8 tensors"):
            data.load_pairs(path)
    with pytest.raises(ValueError, match="uint8 tensors"):
        data.load_pairs(tmp_path)  # a folder


IMAGES = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (IMAGES, r"got uint8 \(2, 3, 8, 8\)"),
        ((IMAGES,), "got tuple of 1"),
        ((IMAGES, IMAGES[:], IMAGES[:]), "got tuple of 3"),
        ({"a": IMAGES, "b": IMAGES[:]}, "got dict"),
        ((IMAGES, IMAGES[:1]), r"got uint8 \(2, 3, 8, 8\) and uint8 \(1, 3, 8, 8\)"),
        ((IMAGES.float(), IMAGES.float()), "got float32"),
        ((IMAGES[0], IMAGES[0]), r"got uint8 \(3, 8, 8\)"),
        ((IMAGES[:, :1], IMAGES[:, :1]), r"got uint8 \(2, 1, 8, 8\)"),
        ((IMAGES[:0], IMAGES[:0]), r"got uint8 \(0, 3, 8, 8\)"),
        ((IMAGES, "x"), r"and str"),
    ],
)
def test_load_pairs_other_content(tmp_path, content, message):
    path = tmp_path / "other.pkl"
    torch.save(content, path)
    with pytest.raises(ValueError, match=f"other.pkl: expected .*of two uint8 tensors.*{message}"):
        data.load_pairs(path)


# Image files


def picture(height=9, width=14, seed=0) -> np.ndarray:
    return random_image(height, width, seed).permute(1, 2, 0).numpy()


def loaded(path) -> np.ndarray:
    image = data.load_image(path)
    assert image.dtype == torch.uint8 and image.shape[0] == 3 and image.is_contiguous()
    return image.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".webp", ".PNG"])
def test_save_and_load_lossless(tmp_path, suffix):
    image = random_image(9, 14)
    path = tmp_path / f"picture{suffix}"
    data.save_image(image, path)
    assert torch.equal(data.load_image(path), image)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]  # no temporary file left


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_save_and_load_jpeg(tmp_path, suffix):
    image = data.photograph("coffee")[:, :64, :64]
    data.save_image(image, tmp_path / f"picture{suffix}")
    again = data.load_image(tmp_path / f"picture{suffix}")
    assert metrics.psnr(again, image, peak=255) > 30


def test_save_rounds_and_clamps(tmp_path):
    values = torch.tensor([-3.0, 0.4, 0.6, 127.5001, 254.6, 300.0])
    data.save_image(values.expand(3, 2, 6), tmp_path / "x.png")
    assert loaded(tmp_path / "x.png")[0, :, 0].tolist() == [0, 0, 1, 128, 255, 255]


def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    data.save_image(random_image(4, 4), path)
    before = path.read_bytes()

    def fails_halfway(self, file, **options):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fails_halfway)
    with pytest.raises(OSError, match="disk full"):
        data.save_image(random_image(4, 4, 1), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


@pytest.mark.parametrize(
    ("image", "name", "error", "message"),
    [
        (IMAGES[0], "x.gif", ValueError, "ending in .png, .*got .*x.gif"),
        (IMAGES[0], "x", ValueError, "ending in"),
        (IMAGES, "x.png", ValueError, r"got \(2, 3, 8, 8\)"),
        (IMAGES[0, :1], "x.png", ValueError, r"got \(1, 8, 8\)"),
        (IMAGES[0].long(), "x.png", TypeError, "int64"),
        (IMAGES[0].float() * math.nan, "x.png", ValueError, "NaN"),
        (np.zeros((3, 8, 8)), "x.png", TypeError, "ndarray"),
    ],
)
def test_save_refuses(tmp_path, image, name, error, message):
    with pytest.raises(error, match=message):
        data.save_image(image, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_load_grey(tmp_path):
    grey = picture()[:, :, 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert np.array_equal(loaded(tmp_path / "grey.png"), np.stack([grey] * 3, axis=2))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_load_16_bit_grey(tmp_path, suffix):
    grey = np.array([[0, 128, 129, 257 * 100, 65535]], dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / f"deep.{suffix}")
    assert loaded(tmp_path / f"deep.{suffix}")[0, :, 1].tolist() == [0, 0, 1, 100, 255]


def test_load_alpha_over_white(tmp_path):
    rgba = np.zeros((1, 3, 4), dtype=np.uint8)
    rgba[0, :, 0] = 200
    rgba[0, :, 3] = 255, 0, 51  # opaque, transparent, 20 %
    Image.fromarray(rgba).save(tmp_path / "alpha.png")
    assert loaded(tmp_path / "alpha.png")[0].tolist() == [
        [200, 0, 0],
        [255, 255, 255],
        [244, 204, 204],
    ]
    la = np.array([[[50, 255], [50, 0]]], dtype=np.uint8)
    Image.fromarray(la, mode="LA").save(tmp_path / "la.png")
    assert loaded(tmp_path / "la.png")[0].tolist() == [[50] * 3, [255] * 3]


def test_load_palette(tmp_path):
    palette = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8), mode="P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    palette.save(tmp_path / "p.png")
    assert loaded(tmp_path / "p.png")[0].tolist() == [[10, 20, 30], [40, 50, 60], [70, 80, 90]]
    palette.save(tmp_path / "t.png", transparency=1)
    assert loaded(tmp_path / "t.png")[0].tolist() == [[10, 20, 30], [255] * 3, [70, 80, 90]]


def test_load_bilevel_and_cmyk(tmp_path):
    Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert("1").save(tmp_path / "1.png")
    assert loaded(tmp_path / "1.png")[0].tolist() == [[0] * 3, [255] * 3]
    cmyk = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    cmyk.save(tmp_path / "cmyk.tif")
    assert loaded(tmp_path / "cmyk.tif")[0, 0].tolist() == [255, 0, 0]


def test_load_first_frame_of_gif(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert loaded(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]


def test_load_applies_orientation(tmp_path):
    pixels = picture(4, 6)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(loaded(tmp_path / "turned.png"), np.rot90(pixels, k=-1))


def test_load_float_image_refused(tmp_path):
    Image.fromarray(np.zeros((2, 2), dtype=np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(ValueError, match=r"8 or 16 bits, got floating point.*f.tif"):
        data.load_image(tmp_path / "f.tif")


@pytest.mark.parametrize("share", [1.5, 3])  # Pillow warns above its limit and fails above twice
def test_decompression_bomb(tmp_path, monkeypatch, share):
    Image.fromarray(picture(10, 10)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(100 / share))
    with pytest.raises(ValueError, match=r"image of at most .* pixels, got more: .*bomb.png"):
        data.load_image(tmp_path / "bomb.png")


def test_load_images_in_order(tmp_path):
    for name in ("b.png", "a.JPG", "c.webp"):
        Image.fromarray(picture()).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "._b.png").write_text("what a Mac leaves on a USB stick")
    (tmp_path / "folder.png").mkdir()
    images = data.load_images(tmp_path)
    assert list(images) == ["a.JPG", "b.png", "c.webp"]
    assert all(image.shape == (3, 9, 14) for image in images.values())


def test_load_images_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such folder.*none"):
        data.load_images(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"no such file.*none.png"):
        data.load_image(tmp_path / "none.png")
    with pytest.raises(ValueError, match=r"\.png, \.jpg.*got none: .*" + tmp_path.name):
        data.load_images(tmp_path)
    path = tmp_path / "good.png"
    Image.fromarray(picture(50, 50)).save(path)
    with pytest.raises(ValueError, match=r"got a file.*good.png"):
        data.load_images(path)
    whole = path.read_bytes()
    for bad in (
        whole[: len(whole) // 2],
        b"",
        b"not an image",
        whole[:40] + bytes(60) + whole[100:],
    ):
        (tmp_path / "poor.png").write_bytes(bad)
        with pytest.raises(ValueError, match=r"expected an image, got an unreadable.*poor.png"):
            data.load_images(tmp_path)


# Ranges


def test_unit_and_back():
    levels = torch.arange(256, dtype=torch.uint8)
    unit = data.to_unit(levels)
    assert unit.dtype == torch.float32 and unit[0] == 0 and unit[255] == 1
    assert torch.equal(data.to_uint8(unit), levels)
    assert torch.equal(data.to_uint8(unit.double()), levels)
    torch.testing.assert_close(
        data.to_unit(torch.tensor([-51.0, 306.0])), torch.tensor([-0.2, 1.2])
    )
    assert data.to_uint8(torch.tensor([-0.2, 1.2, math.inf])).tolist() == [0, 255, 255]


def test_range_errors():
    with pytest.raises(TypeError, match="int64"):
        data.to_unit(torch.zeros(3, dtype=torch.long))
    with pytest.raises(TypeError, match="ndarray"):
        data.to_unit(np.zeros(3))
    with pytest.raises(TypeError, match="uint8"):
        data.to_uint8(torch.zeros(3, dtype=torch.uint8))
    with pytest.raises(TypeError, match="list"):
        data.to_uint8([0.5])
    with pytest.raises(ValueError, match="NaN"):
        data.to_uint8(torch.tensor([math.nan]))

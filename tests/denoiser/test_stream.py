"""Pairs without end: what batch number i holds, and the thread that draws ahead."""

from __future__ import annotations

import math
import queue
import threading
from itertools import islice

import pytest
import torch
from reference import assert_same, generator
from torch import Tensor

from n2n_lib.denoiser import stream as module
from n2n_lib.denoiser.noise import Gaussian
from n2n_lib.denoiser.sampling import Pairs, Task, sample_pairs
from n2n_lib.denoiser.stream import BatchStream, PairStream, RecorruptedStream


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Eight batches to a chunk, so that a test sees several chunks within a moment."""
    monkeypatch.setattr(module, "CHUNK", 32)


@pytest.fixture(autouse=True)
def no_thread_survives():
    yield
    assert not pair_threads()


def pair_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "n2n-pairs"]


def photo(height: int = 70, width: int = 90, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator(seed))


def stream(batch_size: int = 4, **options) -> PairStream:
    options = {"images": [photo(), photo(80, 64, 1)], "size": 8, "seed": 5} | options
    return PairStream(batch_size, **options)


def taken(
    source: BatchStream, count: int, first: int = 0, **options
) -> list[tuple[Tensor, Tensor]]:
    batches = source.batches(first, **options)
    try:
        return list(islice(batches, count))
    finally:
        batches.close()


def assert_same_batches(one: list, other: list) -> None:
    assert len(one) == len(other) > 0
    for a, b in zip(one, other, strict=True):
        assert_same(list(a), list(b))


# ---------------------------------------------------------------------- which batches


@pytest.mark.parametrize("noise", ["pixels", "gaussian"])
@pytest.mark.parametrize("batch_size", [1, 4, 7, 50])
def test_batch_i_depends_on_the_seed_and_on_i_alone(noise: str, batch_size: int):
    options = {"noise": noise, "sigma": (5, 50)}
    whole = taken(stream(batch_size, **options), 20)
    assert all(len(images) == batch_size for batch in whole for images in batch)
    for first in (0, 1, 7, 8, 9, 17):
        for ahead in (0, 1, 2):
            part = taken(stream(batch_size, **options), 3, first, ahead=ahead)
            assert_same_batches(part, whole[first : first + 3])


def test_every_batch_is_another_and_so_is_every_seed():
    seen = [batch[0] for seed in (0, 1, 2**63 - 1) for batch in taken(stream(seed=seed), 20)]
    assert len({tuple(batch.flatten().tolist()) for batch in seen}) == 60


def test_neither_reads_nor_moves_the_global_generator():
    before = torch.get_rng_state()
    first = taken(stream(), 10)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert_same_batches(first, taken(stream(), 10))


def test_two_iterators_of_one_stream_do_not_disturb_each_other():
    source = stream()
    one, other = source.batches(), source.batches(3)
    drawn = [(next(one), next(other)) for _ in range(10)]
    one.close()
    other.close()
    assert_same_batches([a for a, _ in drawn], taken(stream(), 10))
    assert_same_batches([b for _, b in drawn], taken(stream(), 10, 3))


def test_without_augmentation_the_pairs_are_those_of_sample_pairs():
    images = [photo()]
    source = stream(4, images=images, augment=False, seed=3)
    drawn = sample_pairs(
        32, images=images, size=8, generator=generator(module._mixed(3, 1)), with_clean=False
    )
    batches = taken(source, 8, first=8)
    assert torch.equal(torch.cat([noisy for noisy, _ in batches]), drawn.noisy1)
    assert torch.equal(torch.cat([target for _, target in batches]), drawn.noisy2)


def test_an_iterator_of_images_serves_every_chunk():
    images = [photo(), photo(seed=1)]
    expected = taken(stream(images=images), 20)
    assert_same_batches(taken(stream(images=iter(images)), 20), expected)
    assert_same_batches(taken(stream(images=dict(zip("ab", images, strict=True))), 20), expected)


def test_default_photographs():
    noisy, target = next(PairStream(2).batches(ahead=0))
    assert noisy.shape == target.shape == (2, 3, 32, 32) and noisy.dtype == torch.uint8


# ---------------------------------------------------------------------- input and target


@pytest.mark.parametrize("noise", ["pixels", "gaussian"])
@pytest.mark.parametrize("augment", [True, False])
def test_noise_of_input_and_target_is_independent_with_the_clean_image_as_mean(noise, augment):
    """The clean images are those of the equal stream with clean targets."""
    options = {"noise": noise, "augment": augment}
    noisy1, noisy2 = map(torch.cat, zip(*taken(stream(**options), 100), strict=True))
    again, clean = map(
        torch.cat, zip(*taken(stream(**options, clean_targets=True), 100), strict=True)
    )
    assert torch.equal(noisy1, again)
    first, second = (noisy.double() - clean.double() for noisy in (noisy1, noisy2))
    pixels = first.numel() / 3  # the channels may share their noise
    for error in (first, second):
        assert error.std() > 20
        assert error.mean().abs() < 5 * error.std() / math.sqrt(pixels)
    correlation = torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1]
    assert correlation.abs() < 5 / math.sqrt(pixels)


def test_no_clean_image_is_made_unless_asked_for(monkeypatch):
    asked, draw = [], Task.draw

    def spy(*arguments, **options) -> Pairs:
        drawn = draw(*arguments, **options)
        asked.append(drawn.clean is not None)
        return drawn

    monkeypatch.setattr(Task, "draw", spy)
    taken(stream(), 20)
    assert len(asked) >= 4 and not any(asked)
    asked.clear()
    taken(stream(clean_targets=True), 20)
    assert all(asked)


def test_input_and_target_undergo_the_same_augmentation():
    """Each pixel of the photograph has a colour of its own, which tells how it was turned."""
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    image = torch.stack([rows, 64 + columns, 255 - (rows + columns) // 2]).byte()
    options = {"images": [image], "size": 64, "scale": (1, 1), "noise": lambda x, generator: x}
    seen = {}
    for noisy, target in taken(stream(**options), 150):
        assert torch.equal(noisy, target)
        for copy in noisy:
            for name in variants(image.float(), copy):
                seen[name] = seen.get(name, 0) + 1
    assert sum(seen.values()) == 600, "an image that is no turned copy, or two at once"
    assert len(seen) == 8 * 6  # eight symmetries, six orders of colours ...
    assert min(seen.values()) > 1  # ... 12.5 of each on average


def test_colours_of_a_camera_keep_their_order():
    """Of a scene that is all red, whatever the camera, red stays the brightest colour."""
    red = torch.full((3, 96, 96), 40, dtype=torch.uint8)
    red[0] = 200
    options = {"images": [red], "size": 16, "scale": (1, 1), "noise": "camera"}
    for noisy, _ in taken(stream(**options), 12):
        mean = noisy.mean((2, 3))  # (N, 3)
        grey = (mean.amax(1) - mean.amin(1)) < 1  # one camera in eight is set to black and white
        assert (grey | (mean.argmax(1) == 0)).all()


def variants(image: Tensor, copy: Tensor, atol: float = 1e-3) -> list[tuple]:
    """Return which of the 48 symmetries and orders of colours makes `copy` out of `image`."""
    found = []
    for quarters in range(4):
        for mirrored in (False, True):
            turned = torch.rot90(image, quarters, (1, 2))
            turned = turned.flip(2) if mirrored else turned
            for order in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]:
                if torch.allclose(turned[list(order)], copy, atol=atol):
                    found.append((quarters, mirrored, order))
    return found


# ---------------------------------------------------------------------- a single noisy image


def test_recorrupted_batch_i_depends_on_the_seed_and_on_i_alone():
    def source(seed: int = 5) -> RecorruptedStream:
        return RecorruptedStream(photo(), 25.0, 4, size=8, seed=seed)

    whole = taken(source(), 20)
    assert all(images.shape == (4, 3, 8, 8) for batch in whole for images in batch)
    for first in (0, 1, 7, 8, 9, 17):
        assert_same_batches(taken(source(), 3, first), whole[first : first + 3])
    assert not torch.equal(whole[0][0], taken(source(6), 1)[0][0])


def test_recorrupted_patches_are_turned_pieces_of_the_image():
    """With next to no noise, and a colour of its own for every pixel of the image."""
    rows, columns = torch.meshgrid(torch.arange(9.0), torch.arange(11.0), indexing="ij")
    image = torch.stack([20 * rows, 20 * columns, 200 - 10 * (rows + columns)])
    seen = set()
    for first, second in taken(RecorruptedStream(image, 1e-3, size=7), 100):
        torch.testing.assert_close(first, second, atol=0.1, rtol=0)
        for patch in first:
            top, left = (int((patch[c].min() / 20).round()) for c in (0, 1))
            cut = image[:, top : top + 7, left : left + 7]
            found = [how for how in variants(cut, patch, atol=0.1) if how[2] == (0, 1, 2)]
            assert len(found) == 1
            seen.add((top, left, found[0]))
    assert len(seen) == 3 * 5 * 8  # every place, every symmetry


def test_recorrupted_noise_of_input_and_target_is_independent():
    clean = torch.full((3, 200, 200), 120.0)
    image = 255 * Gaussian(30)(clean / 255, generator(0))
    source = RecorruptedStream(image, 30.0, alpha=0.5, size=40)
    first, second = map(torch.cat, zip(*taken(source, 60), strict=True))
    a, b = first.double() - 120, second.double() - 120
    assert a.std() == pytest.approx(30 * math.sqrt(1 + 0.25), rel=0.01)
    assert b.std() == pytest.approx(30 * math.sqrt(1 + 4), rel=0.01)
    correlation = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
    assert correlation.abs() < 5 / math.sqrt(clean.numel())  # patches overlap: count the pixels


def test_an_image_smaller_than_the_patch_is_taken_as_it_is():
    first, second = next(RecorruptedStream(photo(20, 90), 25.0, 2).batches(ahead=0))
    assert first.shape == second.shape == (2, 3, 20, 20)


def test_recorrupted_streams_say_what_they_draw_from():
    told = {
        RecorruptedStream(image, sigma, alpha=alpha, seed=seed).description
        for image in (photo(), photo(seed=1))
        for sigma in (10.0, 20.0)
        for alpha in (0.5, 1.0)
        for seed in (0, 1)
    }
    assert len(told) == 16
    again = RecorruptedStream(photo().float(), 10.0)
    assert again.description == RecorruptedStream(photo(), 10.0).description


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"image": "photo.png"}, TypeError, "tensor, got str"),
        ({"image": torch.zeros(1, 3, 9, 9)}, ValueError, r"\(3, H, W\), got \(1, 3, 9, 9\)"),
        ({"image": torch.full((3, 9, 9), math.nan)}, ValueError, "finite values, got nan"),
        ({"sigma": -1.0}, ValueError, "sigma > 0, got -1.0"),
        ({"alpha": 0}, ValueError, "alpha > 0, got 0"),
        ({"size": 0}, ValueError, "size of at least 1, got 0"),
        ({"size": 6.5}, TypeError, "size to be an integer, got 6.5"),
        ({"batch_size": 0}, ValueError, "batch_size of at least 1, got 0"),
        ({"seed": -1}, ValueError, "seed from 0"),
    ],
)
def test_recorrupted_stream_refuses(changes, error, message):
    with pytest.raises(error, match=message):
        RecorruptedStream(**{"image": photo(), "sigma": 25.0} | changes)


# ---------------------------------------------------------------------- the thread


def test_the_thread_is_there_and_ends_when_the_iterator_is_closed():
    batches = stream().batches()
    next(batches)
    assert len(pair_threads()) == 1
    batches.close()
    assert not pair_threads()
    batches = stream().batches()
    next(batches)
    del batches  # forgotten
    assert not pair_threads()


def test_the_thread_computes_by_itself():
    """With helpers of its own, those of the training would wait for each other in their sleep."""
    seen = []

    def noise(clean: Tensor, source: torch.Generator) -> Tensor:
        seen.append((threading.current_thread().name, torch.get_num_threads()))
        return clean + 0.1

    pairs, threads = stream(noise=noise), torch.get_num_threads()
    seen.clear()  # of the trial of the constructor
    torch.set_num_threads(2)
    try:
        taken(pairs, 20)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert seen and set(seen) == {("n2n-pairs", 1)}


def test_the_thread_ends_when_the_consumer_fails():
    with pytest.raises(RuntimeError, match="mine"):
        for _ in stream().batches():
            raise RuntimeError("mine")
    assert not pair_threads()


def test_without_a_thread_there_is_none():
    batches = stream().batches(ahead=0)
    next(batches)
    assert not pair_threads()


def test_the_thread_is_at_most_as_far_ahead_as_it_may(monkeypatch):
    drawn, stalled, draw, put = [], threading.Event(), Task.draw, queue.Queue.put

    def counted(*arguments, **options) -> Pairs:
        drawn.append(1)
        return draw(*arguments, **options)

    def watched(self, item, *arguments, **options):
        try:
            return put(self, item, *arguments, **options)
        except queue.Full:
            stalled.set()
            raise

    pairs = stream()
    monkeypatch.setattr(Task, "draw", counted)
    monkeypatch.setattr(queue.Queue, "put", watched)
    batches = pairs.batches(ahead=2)
    next(batches)
    assert stalled.wait(60)
    assert len(drawn) == 4  # one in use, two ready, one in the thread's hands
    batches.close()


class Broken(BaseException):
    """No ordinary exception."""


@pytest.mark.parametrize("error", [ValueError("too dark"), Broken("too dark")], ids=repr)
def test_an_error_in_the_thread_reaches_the_consumer(error: BaseException):
    calls = []

    def noise(clean: Tensor, generator: torch.Generator) -> Tensor:
        calls.append(threading.current_thread().name)
        if len(calls) > 2 + 2 * 2:  # the trial of the constructor, then two chunks of two copies
            raise error
        return clean + 0.1

    batches, seen = stream(noise=noise).batches(), []
    with pytest.raises(type(error), match="too dark"):
        for batch in batches:
            seen.append(batch)
    assert len(seen) == 16  # what was drawn before is handed out first
    assert calls[-1] == "n2n-pairs" and not pair_threads()


# ---------------------------------------------------------------------- description


def test_equal_streams_have_equal_descriptions():
    assert stream().description == stream().description
    as_dict = {"a": photo(), "b": photo(80, 64, 1)}
    assert stream(images=as_dict).description == stream().description
    one, other = (stream(noise=Gaussian((5, 50))).description for _ in range(2))
    assert one == other and "\n" not in one


CHANGES = {
    "batch": {"batch_size": 5},
    "seed": {"seed": 6},
    "size": {"size": 9},
    "noise": {"noise": "gaussian"},
    "sigma": {"sigma": 24.0},
    "range of sigma": {"sigma": (24.0, 26.0)},
    "scale": {"scale": (1.0, 7.0)},
    "clean targets": {"clean_targets": True},
    "no augmentation": {"augment": False},
    "an image less": {"images": [photo()]},
    "another image": {"images": [photo(), photo(80, 64, 2)]},
    "another order": {"images": [photo(80, 64, 1), photo()]},
    "one pixel": {"images": [photo(), photo(80, 64, 1).index_fill(2, torch.tensor(3), 0)]},
    "another shape": {"images": [photo().reshape(3, 90, 70), photo(80, 64, 1)]},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_other_streams_have_other_descriptions(change: dict):
    assert stream(**change).description != stream().description


# ---------------------------------------------------------------------- bad arguments


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "expected batch_size of at least 1, got 0"),
        ({"batch_size": 2.0}, TypeError, "expected batch_size to be an integer, got 2.0"),
        ({"batch_size": True}, TypeError, "expected batch_size to be an integer, got True"),
        ({"seed": -1}, ValueError, "expected seed from 0 to .*, got -1"),
        ({"seed": 2**63}, ValueError, "expected seed from 0 to .*, got 9223372036854775808"),
        ({"seed": "1"}, TypeError, "expected seed to be an integer, got '1'"),
        ({"size": 0}, ValueError, "expected size of at least 1, got 0"),
        ({"size": 20}, ValueError, "of at least 80 x 80 pixels, got 70 x 90"),
        ({"noise": "salt"}, ValueError, "expected a noise among .*, got 'salt'"),
        ({"noise": 3}, TypeError, "expected a noise name or model, got int"),
        ({"sigma": 0}, ValueError, "expected a finite sigma > 0, got 0"),
        ({"sigma": (50, 5)}, ValueError, r"sigma in ascending order, got \(50, 5\)"),
        ({"scale": (8, 1)}, ValueError, r"expected a scale .*, got \(8, 1\)"),
        ({"scale": (0.5, 1), "noise": "gaussian"}, ValueError, r"got \(0.5, 1\)"),
        ({"images": []}, ValueError, "expected at least one image, got none"),
        ({"images": photo()}, TypeError, "expected images as a dict or a list, got Tensor"),
        ({"images": [photo().float()]}, TypeError, "expected image 0 to be uint8"),
    ],
    ids=str,
)
def test_bad_arguments_are_named(options: dict, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        stream(**options)

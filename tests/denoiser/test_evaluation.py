"""The table of denoisers, compared with numbers worked out by hand and by scikit-image."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from reference import generator
from skimage.filters import median
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from n2n_lib.denoiser.classical import METHODS
from n2n_lib.denoiser.evaluation import DO_NOTHING, Score, evaluate, evaluate_photographs


def images(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Noisy and clean images 0-255, noisier from one to the next; as floats they leave 0-255."""
    source = generator(3)
    clean = torch.rand(4, 3, 3, 3, generator=source) * 255
    clean = torch.nn.functional.interpolate(clean, size=(12, 15), mode="bilinear")
    noisy = clean + torch.randn(clean.shape, generator=source) * torch.tensor(
        [10.0, 25.0, 40.0, 80.0]
    ).view(4, 1, 1, 1)
    if dtype == torch.uint8:
        noisy, clean = (t.round().clamp(0, 255) for t in (noisy, clean))
    return noisy.to(dtype), clean.to(dtype)


def by_hand(output: Tensor, clean: Tensor) -> tuple[float, float, float]:
    """PSNR as a mean over images, PSNR of the pooled error, SSIM, all by scikit-image."""
    result = np.clip(output.double().numpy(), 0, 255)
    reference = clean.double().numpy()
    each = [
        peak_signal_noise_ratio(b, a, data_range=255)
        for a, b in zip(result, reference, strict=True)
    ]
    pooled = 10 * np.log10(255**2 / mean_squared_error(reference, result))
    similar = [
        structural_similarity(a, b, data_range=255, channel_axis=0)
        for a, b in zip(result, reference, strict=True)
    ]
    return float(np.mean(each)), float(pooled), float(np.mean(similar))


def assert_measures(row: Score, output: Tensor, clean: Tensor) -> None:
    measured = (row.psnr, row.psnr_pooled, row.ssim)
    assert measured == pytest.approx(by_hand(output, clean), abs=1e-4)


def test_order_of_the_rows():
    noisy, clean = images()
    rows = evaluate(noisy, clean, {"b": lambda x: x, "a": lambda x: x})
    assert [row.name for row in rows] == [DO_NOTHING, *METHODS, "b", "a"]
    assert list(METHODS) == ["median", "tv", "wavelet", "nlm"]
    rows = evaluate(noisy, clean, classical=["tv"])
    assert [row.name for row in rows] == [DO_NOTHING, "tv"]
    assert [row.name for row in evaluate(noisy, clean, classical=[])] == [DO_NOTHING]


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_doing_nothing_is_measured_on_the_clipped_noisy_images(dtype: torch.dtype):
    noisy, clean = images(dtype)
    row = evaluate(noisy, clean, classical=[])[0]
    assert_measures(row, noisy, clean)
    assert row.psnr - row.psnr_pooled > 1  # the two definitions are told apart
    if dtype == torch.float32:
        unclipped = 10 * np.log10(255**2 / (noisy - clean).double().square().mean().item())
        assert row.psnr_pooled > unclipped + 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_a_denoiser_of_ones_own(dtype: torch.dtype):
    noisy, clean = images(dtype)
    seen = []

    def halfway(x: Tensor) -> Tensor:
        seen.append(x)
        return (x.float() + clean.float()) / 2 + 3

    row = evaluate(noisy, clean, {"halfway": halfway}, classical=[])[1]
    assert len(seen) == 1 and torch.equal(seen[0], noisy) and seen[0].dtype == dtype
    assert_measures(row, (noisy.float() + clean.float()) / 2 + 3, clean)


def test_a_classical_method_sees_the_noisy_images():
    """scikit-image's own median over 3 x 3 pixels of each channel."""
    noisy, clean = images()
    row = evaluate(noisy, clean, classical=["median"])[1]
    square = np.ones((3, 3))
    expected = [[median(channel.numpy(), square) for channel in image] for image in noisy]
    assert_measures(row, torch.from_numpy(np.array(expected)), clean)


def test_a_known_noise_level_reaches_the_methods():
    noisy, clean = images()
    rows = {
        sigma: evaluate(noisy, clean, classical=["tv"], sigma=sigma)[1] for sigma in (None, 5, 80)
    }
    assert len({row.psnr for row in rows.values()}) == 3
    assert rows[80].psnr_pooled > rows[5].psnr_pooled  # the pooled error is that of the noisiest


def test_nothing_is_changed():
    noisy, clean = images()
    copies = noisy.clone(), clean.clone()
    evaluate(noisy, clean, {"copy": lambda x: x.clone()})
    assert torch.equal(noisy, copies[0]) and torch.equal(clean, copies[1])


def test_seconds_are_those_of_the_denoiser():
    noisy, clean = images()

    def slow(x: Tensor) -> Tensor:
        time.sleep(0.2)
        return x

    nothing, row = evaluate(noisy, clean, {"slow": slow}, classical=[])
    assert 0.2 <= row.seconds < 2
    assert 0 <= nothing.seconds < 0.2


@pytest.mark.parametrize(
    ("noisy", "clean", "error", "message"),
    [
        (torch.ones(2, 3, 9, 9), torch.ones(3, 3, 9, 9), ValueError, "expected .*got .2, 3, 9, 9"),
        (torch.ones(0, 3, 9, 9), torch.ones(0, 3, 9, 9), ValueError, "expected .*got .0, 3, 9, 9"),
        (torch.ones(1, 3, 6, 9), torch.ones(1, 3, 6, 9), ValueError, "expected .*got 6 x 9"),
        (torch.full((1, 3, 9, 9), torch.nan), torch.ones(1, 3, 9, 9), ValueError, "finite"),
        (torch.ones(1, 3, 9, 9).long(), torch.ones(1, 3, 9, 9), TypeError, "expected .*int64"),
        ([[1.0]], torch.ones(1, 3, 9, 9), TypeError, "expected .*list"),
    ],
    ids=["shapes", "empty", "too small for SSIM", "NaN", "integers", "list"],
)
def test_bad_images(noisy, clean, error, message: str):
    with pytest.raises(error, match=message):
        evaluate(noisy, clean)


def test_an_unknown_method_and_a_bad_noise_level():
    noisy, clean = images()
    with pytest.raises(ValueError, match="expected a method among .*'median'.*, got 'bm4d'"):
        evaluate(noisy, clean, classical=["bm4d"])
    with pytest.raises(ValueError, match="expected a finite sigma > 0, got -1"):
        evaluate(noisy, clean, sigma=-1)


# ---------------------------------------------------------------------- whole photographs


def photographs() -> dict[str, tuple[Tensor, Tensor]]:
    """Two pairs of noisy and clean, of different sizes; the noisy ones leave 0-255."""
    source, pairs = generator(4), {}
    for name, size, sigma in (("a", (20, 31), 20), ("b", (17, 9), 60)):
        clean = (torch.rand(3, *size, generator=source) * 255).round().to(torch.uint8)
        pairs[name] = clean.float() + sigma * torch.randn(clean.shape, generator=source), clean
    return pairs


def test_photographs_are_measured_as_scikit_image_does():
    pairs = photographs()
    ways = {"brighter": lambda image: image + 9, "whole": lambda image: image.round()}
    rows = list(evaluate_photographs(pairs, ways, against=["median"]))
    names = [DO_NOTHING, "median", "brighter", "whole"]
    assert [(row.image, row.name) for row in rows] == [(i, n) for i in "ab" for n in names]
    square = np.ones((3, 3))
    for row in rows:
        noisy, clean = pairs[row.image]
        output = {
            DO_NOTHING: noisy,
            "median": torch.from_numpy(np.array([median(c.numpy(), square) for c in noisy])),
            "brighter": noisy + 9,
            "whole": noisy.round(),
        }[row.name]
        value, _, similar = by_hand(output[None], clean[None])
        assert (row.psnr, row.ssim) == pytest.approx((value, similar), abs=1e-4)
        assert torch.allclose(row.output, output.clamp(0, 255), atol=1e-3)
        assert row.megapixels == clean[0].numel() / 1e6 and row.seconds >= 0


def test_photographs_come_one_after_the_other():
    """A long table shows its rows as they are made."""
    seen = []

    def spy(image: Tensor) -> Tensor:
        seen.append(tuple(image.shape))
        return image

    rows = evaluate_photographs(photographs(), {"spy": spy})
    assert not seen
    assert next(rows).name == DO_NOTHING and not seen
    assert next(rows).name == "spy" and seen == [(3, 20, 31)]


def test_the_noise_level_reaches_the_methods_of_photographs():
    outputs = [
        list(evaluate_photographs(photographs(), {}, against=["tv"], sigma=sigma))[1].output
        for sigma in (5, 80)
    ]
    assert outputs[1].std() < outputs[0].std()


def test_nothing_is_changed_in_photographs():
    pairs = photographs()
    copies = [t.clone() for pair in pairs.values() for t in pair]
    list(evaluate_photographs(pairs, {"copy": lambda x: x}, against=["median"]))
    tensors = [t for pair in pairs.values() for t in pair]
    assert all(torch.equal(a, b) for a, b in zip(tensors, copies, strict=True))


def test_an_unknown_method_for_photographs():
    with pytest.raises(ValueError, match="expected a method among .*'bm3d', got 'bm4d'"):
        list(evaluate_photographs(photographs(), {}, against=["bm4d"]))

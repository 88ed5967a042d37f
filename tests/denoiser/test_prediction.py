"""Predicting: any size, range, dtype and layout; tiles, padding, the ensemble, levels of noise."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import assert_same, copy_values, generator, state, torch_report_network
from small_models import (
    FLOAT32_ERROR,
    assert_refuses,
    filter_model,
    images,
    lively,
    pairs,
    rising,
    weights,
)
from torch import Tensor

from n2n_lib.denoiser import networks, prediction
from n2n_lib.denoiser.images import to_unit
from n2n_lib.denoiser.model import Model
from n2n_lib.framework.activations import ReLU
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.upsampling import Upsampling


def by_torch(model: Model, image: Tensor) -> np.ndarray:
    """Section 3 of the report in torch.nn, on the image grown to multiples of 4, then cut back.

    It grows by reflection, or by its last row and column where it is too small for that.
    """
    height, width = image.shape[-2:]
    batch = image.double().numpy().reshape(-1, 3, height, width) / 255
    bottom, right = -height % 4, -width % 4
    mode = "reflect" if bottom < height and right < width else "edge"
    grown = np.pad(batch, ((0, 0), (0, 0), (0, bottom), (0, right)), mode=mode)
    twin = copy_values(model.network, torch_report_network()).double()
    output = twin(torch.from_numpy(grown)).numpy()[:, :, :height, :width]
    return output.reshape(image.shape) * 255


@pytest.mark.parametrize(
    "shape",
    [(2, 3, 32, 32), (3, 32, 32), (3, 1, 1), (1, 3, 5, 7), (4, 3, 6, 3), (3, 61, 30)],
    ids=str,
)
def test_predict_is_the_network_of_the_report(shape: tuple):
    model, image = lively(), images(*shape)
    output = model.predict(image)
    expected = by_torch(model, image)
    assert expected.std() > 10 or shape == (3, 1, 1)
    assert np.abs(output.numpy() - expected).max() < 255 * FLOAT32_ERROR


SHAPES = [(3, 1, 1), (1, 3, 5, 7), (3, 3, 2, 9), (3, 371, 500), (1, 3, 530, 9), (2, 3, 4, 1030)]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_predict_keeps_shape_and_dtype_range_and_input(shape: tuple, dtype: torch.dtype):
    model, image = lively(), images(*shape, dtype=dtype)
    if dtype != torch.uint8:
        image = image * 40 - 5000  # noise may be anything
    before, parameters = image.clone(), state(model.network)
    output = model.predict(image)
    assert output.shape == image.shape and output.dtype == dtype
    assert output.min() >= 0 and output.max() <= 255
    assert torch.equal(image, before)
    assert output.untyped_storage().data_ptr() != image.untyped_storage().data_ptr()
    assert_same(parameters, state(model.network))


@pytest.mark.parametrize("value", [-1e30, -1e4, 1e4, 1e30])
def test_predict_of_values_far_outside(value: float):
    for network in ("report", Conv2d(3, 3, 3, padding=1, generator=generator(0)), ReLU()):
        output = Model(network).predict(torch.full((3, 6, 6), value))
        assert torch.isfinite(output).all()
        assert output.min() >= 0 and output.max() <= 255


def test_predict_of_a_large_batch_of_noise():
    output = Model().predict(torch.rand(1, 3, 512, 512, generator=generator(0)) * 255)
    assert output.shape == (1, 3, 512, 512) and output.dtype == torch.float32
    assert output.min() >= 0 and output.max() <= 255


def test_uint8_is_the_rounded_float():
    model, image = lively(), images(3, 3, 13, 18, dtype=torch.uint8)
    expected = model.predict(image.float()).numpy()
    assert np.array_equal(model.predict(image).numpy(), np.rint(expected).astype(np.uint8))


def test_one_image_is_a_batch_of_one():
    model, image = lively(), images(3, 9, 14)
    assert torch.equal(model.predict(image), model.predict(image[None])[0])


def test_images_of_a_batch_do_not_mix(monkeypatch):
    """Also when the batch is worked through in several chunks."""
    model, batch = lively(), images(21, 3, 8, 12)
    single = torch.stack([model.predict(image) for image in batch])
    whole = model.predict(batch)
    monkeypatch.setattr(prediction, "TILE", 16)  # 2 images at a time
    chunked = model.predict(batch)
    for other in (whole, chunked):
        assert (other - single).abs().max() < 255 * FLOAT32_ERROR


@pytest.mark.parametrize("layout", ["channels last", "transposed", "strided"])
def test_predict_of_any_memory_layout(layout: str):
    model, image = lively(), images(2, 3, 12, 16)
    view = {
        "channels last": image.to(memory_format=torch.channels_last),
        "transposed": image.transpose(2, 3).contiguous().transpose(2, 3),
        "strided": image.repeat_interleave(2, dim=3)[..., ::2],
    }[layout]
    assert (model.predict(view) - model.predict(image)).abs().max() < 255 * FLOAT32_ERROR


@pytest.mark.parametrize("size", [(64, 65), (65, 3), (200, 63), (131, 131), (128, 192)], ids=str)
@pytest.mark.parametrize("network", networks.NETWORKS)
def test_tiles_join_without_a_seam(network: str, size: tuple, monkeypatch):
    model, image = lively(network=network), images(2, 3, *size)
    whole = model.predict(image)
    monkeypatch.setattr(prediction, "TILE", 64)
    assert (model.predict(image) - whole).abs().max() < 255 * FLOAT32_ERROR
    model.halo = 0  # without a border around each tile there would be a seam
    assert (model.predict(image) - whole).abs().max() > 255 * 10 * FLOAT32_ERROR


def test_an_image_larger_than_a_tile():
    """With the tile that users have; compared with torch.nn on the whole image."""
    model, image = lively(), images(3, 515, 522, dtype=torch.uint8).float()
    difference = np.abs(model.predict(image).numpy() - by_torch(model, image))
    assert difference.max() < 255 * FLOAT32_ERROR


def test_a_network_of_ones_own_sees_the_whole_image(monkeypatch):
    """Nobody knows how far it looks, so it gets no tiles."""
    conv, image = Conv2d(3, 3, 9, padding=4, generator=generator(0)), images(3, 40, 50)
    expected = (conv(image / 255).clamp(0, 1) * 255).clone()
    monkeypatch.setattr(prediction, "TILE", 16)
    assert (Model(conv).predict(image) - expected).abs().max() < 255 * FLOAT32_ERROR


# ---------------------------------------------------------------------- padding and the U-Net


@pytest.mark.parametrize("multiple", [2, 4, 8])
@pytest.mark.parametrize(
    "size", [(9, 13), (8, 11), (5, 5), (4, 3), (1, 9), (2, 2), (1, 1)], ids=str
)
def test_images_grow_to_the_multiple_by_reflection(size: tuple, multiple: int):
    """As np.pad does; where there is too little to reflect, the edge is repeated."""
    model, unit = Model(), images(2, 3, *size) / 255
    model.multiple = multiple
    bottom, right = (-n % multiple for n in size)
    mode = "reflect" if bottom < size[0] and right < size[1] else "edge"
    expected = np.pad(unit.numpy(), ((0, 0), (0, 0), (0, bottom), (0, right)), mode=mode)
    assert np.array_equal(prediction.pad_to_multiple(unit, multiple).numpy(), expected)


def small_unet(seed: int = 0) -> Model:
    model = Model("unet", seed=seed, width=4, depth=3)
    *others, weight, bias = weights(model)
    model.network.set_params([*others, 10 * weight, bias])  # its noise starts at a tenth
    return model


@given(st.integers(1, 150), st.integers(1, 150))
def test_the_unet_joins_its_tiles_at_any_size(height: int, width: int):
    model, image = small_unet(), images(3, height, width)
    whole = model.predict(image)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction, "TILE", 48)
        tiled = model.predict(image)
    assert whole.shape == image.shape
    assert (whole - tiled).abs().max() < 255 * FLOAT32_ERROR


MEMORY = """
import sys, torch
from n2n_lib import Model
from n2n_lib.denoiser import prediction
torch.set_num_threads(1)
prediction.TILE = 64
model = Model("unet", width=8, depth=3)
peaks = []
for side in (256, 1024):
    image = torch.zeros(3, side, side, dtype=torch.uint8)
    model.predict(image)
    with open("/proc/self/status") as status:
        peaks += [int(line.split()[1]) for line in status if line.startswith("VmHWM")]
print(*peaks)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_image():
    """Peaks in kB after 0.07 and after 1 megapixel; one more map of 8 channels would be 32 MB."""
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True)
    small, large = map(int, done.stdout.split())
    assert large - small < 16_000, f"grew by {large - small} kB"


# ---------------------------------------------------------------------- the ensemble


def turned(image: Tensor, quarters: int, mirrored: bool) -> Tensor:
    image = torch.rot90(image, quarters, (-2, -1))
    return image.flip(-1) if mirrored else image


def turned_back(image: Tensor, quarters: int, mirrored: bool) -> Tensor:
    return torch.rot90(image.flip(-1) if mirrored else image, -quarters, (-2, -1))


EIGHT = [(quarters, mirrored) for quarters in range(4) for mirrored in (False, True)]


@pytest.mark.parametrize("size", [(16, 16), (8, 20), (7, 13), (3, 2), (1, 1)], ids=str)
@pytest.mark.parametrize("network", ["report", "unet"])
def test_an_ensemble_is_the_mean_of_eight_predictions(network: str, size: tuple):
    """The network on each turned image by hand; nothing is clipped before the mean is taken."""
    model, image = lively(network=network), images(2, 3, *size)
    single = model.predict(image)
    mean = torch.stack(
        [turned_back(model.forward(turned(image / 255, *way)), *way) for way in EIGHT]
    ).mean(0)
    output = model.predict(image, ensemble=True)
    assert (output / 255 - mean.clamp(0, 1)).abs().max() < FLOAT32_ERROR
    if min(size) > 1:
        assert (output - single).abs().max() > 1  # the network is not symmetric


@pytest.mark.parametrize("way", EIGHT[1:], ids=str)
def test_an_ensemble_turns_with_its_image(way: tuple):
    model, image = lively(), images(2, 3, 16, 16)
    output = model.predict(turned(image, *way), ensemble=True)
    expected = turned(model.predict(image, ensemble=True), *way)
    assert (output - expected).abs().max() < 255 * 1e-6
    plain = model.predict(turned(image, *way)) - turned(model.predict(image), *way)
    assert plain.abs().max() > 1


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, 5, 9), (2, 3, 8, 8)], ids=str)
def test_an_ensemble_keeps_shape_dtype_range_and_input(shape: tuple, dtype: torch.dtype):
    model, image = lively(), images(*shape, dtype=dtype)
    before = image.clone()
    output = model.predict(image, ensemble=True)
    assert output.shape == image.shape and output.dtype == dtype
    assert output.min() >= 0 and output.max() <= 255
    assert torch.equal(image, before)


@pytest.mark.parametrize("network", ["report", "unet"])
def test_an_ensemble_in_tiles(network: str, monkeypatch):
    model, image = lively(network=network), images(1, 3, 128, 192)
    whole = model.predict(image, ensemble=True)
    monkeypatch.setattr(prediction, "TILE", 64)
    assert (model.predict(image, ensemble=True) - whole).abs().max() < 255 * FLOAT32_ERROR


def test_predict_records_no_gradients():
    model = Model()
    with torch.enable_grad():
        assert not model.predict(images(3, 8, 8).requires_grad_()).requires_grad


BAD_IMAGES = {
    "list": ([[1.0]], TypeError, "list"),
    "None": (None, TypeError, "NoneType"),
    "NumPy": (np.zeros((3, 8, 8)), TypeError, "ndarray"),
    "int64": (torch.zeros(3, 8, 8).long(), TypeError, "int64"),
    "bool": (torch.zeros(3, 8, 8).bool(), TypeError, "bool"),
    "complex": (torch.zeros(3, 8, 8) * 1j, TypeError, "complex64"),
    "2-D": (torch.zeros(8, 8), ValueError, "got (8, 8)"),
    "5-D": (torch.zeros(1, 1, 3, 8, 8), ValueError, "got (1, 1, 3, 8, 8)"),
    "grey": (torch.zeros(2, 1, 8, 8), ValueError, "got (2, 1, 8, 8)"),
    "RGBA": (torch.zeros(4, 8, 8), ValueError, "got (4, 8, 8)"),
    "channels last": (torch.zeros(8, 8, 3), ValueError, "got (8, 8, 3)"),
    "empty batch": (torch.zeros(0, 3, 8, 8), ValueError, "(0, 3, 8, 8)"),
    "no height": (torch.zeros(2, 3, 0, 8), ValueError, "(2, 3, 0, 8)"),
    "no width": (torch.zeros(3, 8, 0), ValueError, "(3, 8, 0)"),
    "NaN": (torch.full((3, 8, 8), math.nan), ValueError, "got nan"),
    "one infinity": (torch.zeros(3, 8, 8).index_fill(1, torch.tensor(3), -math.inf), ValueError)
    + ("got -inf",),
}


@pytest.mark.parametrize(("bad", "error", "got"), BAD_IMAGES.values(), ids=BAD_IMAGES.keys())
def test_predict_refuses(bad: object, error: type[Exception], got: str):
    model = Model()
    before = weights(model)
    assert_refuses(lambda: model.predict(bad), error, "test_input", got)
    assert_same(before, weights(model))


OTHER_SIZES = {
    "half": lambda: Conv2d(3, 3, 2, stride=2),
    "double": lambda: Upsampling(3, 3, 3, padding=1),
    "4 channels": lambda: Conv2d(3, 4, 1),
    "1 channel": lambda: Conv2d(3, 1, 1),
}


@pytest.mark.parametrize("build", OTHER_SIZES.values(), ids=OTHER_SIZES.keys())
def test_a_network_that_changes_the_shape_is_refused(build: Callable):
    """It would crop its output, spread one channel over three, or fail deep inside."""
    model = Model(build())
    assert_refuses(lambda: model.predict(images(2, 3, 8, 8)), ValueError, "(2, 3, 8, 8)")


@pytest.mark.parametrize(("dtype", "named"), [(torch.float16, True), (torch.float32, False)])
def test_an_overflow_while_predicting_is_told(dtype: torch.dtype, named: bool):
    noisy, _, _ = pairs(2)
    model = rising(dtype)
    factor = 3e4 if dtype == torch.float16 else 1e38
    model.network.set_params([factor * parameter.sign() for parameter, _ in model.network.param()])
    with pytest.raises(ValueError, match="expected a network that computes finite val") as error:
        model.predict(noisy)
    assert ("float16 ends at 65504" in str(error.value)) is named


# ---------------------------------------------------------------------- other levels of noise


def test_a_level_is_denoised_on_the_scale_of_the_one_that_was_trained():
    """By hand, with a network whose answer depends on the scale."""
    noisy = 40 + 170 * torch.rand(2, 3, 9, 11, generator=generator(2))
    model = Model(filter_model(8).network)
    plain = model.predict(noisy)
    assert_same([model.predict(noisy, sigma=50.0)], [plain])  # no level of its own: ignored
    model.sigma = 25.0
    assert_same([model.predict(noisy)], [plain])
    assert_same([model.predict(noisy, sigma=25)], [plain])
    for sigma in (10.0, 50.0):
        with torch.no_grad():
            shown = to_unit(noisy) * (25.0 / sigma)
            by_hand = (model.network(shown) * (sigma / 25.0)).clamp(0, 1) * 255
        assert not torch.equal(by_hand, plain)
        torch.testing.assert_close(model.predict(noisy, sigma=sigma), by_hand, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    "sigma, error, got",
    [
        (0, ValueError, "got 0"),
        (-1.5, ValueError, "got -1.5"),
        (math.nan, ValueError, "got nan"),
        (math.inf, ValueError, "got inf"),
        ("25", TypeError, "got '25'"),
        (True, TypeError, "got True"),
    ],
)
def test_bad_levels(sigma, error, got: str):
    assert_refuses(lambda: Model().predict(torch.rand(3, 8, 8), sigma=sigma), error, "sigma", got)


# ---------------------------------------------------------------------- strength


def test_strength_leaves_a_share_of_the_noise_or_cleans_again():
    mean = Conv2d(3, 3, 3, padding=1)
    mean.weight.fill_(1 / 27)
    mean.bias.zero_()
    model, noisy = Model(mean), images(3, 40, 40).float()
    once = model.predict(noisy)
    assert_same(model.predict(noisy, strength=0.0), noisy.clamp(0, 255))
    half = model.predict(noisy, strength=0.5)
    torch.testing.assert_close(half, ((noisy + once) / 2).clamp(0, 255), rtol=0, atol=1e-3)
    twice = model.predict(noisy, strength=2.0)
    torch.testing.assert_close(twice, model.predict(once), rtol=0, atol=1e-3)
    assert torch.equal(model.predict(noisy, strength=1.0), once)


def test_cleaned_twice_in_tiles_equals_the_whole(monkeypatch):
    model, noisy = Model("unet", width=4), images(3, 200, 168)
    whole = model.predict(noisy, strength=1.5)
    monkeypatch.setattr(prediction, "TILE", 64)
    torch.testing.assert_close(model.predict(noisy, strength=1.5), whole, rtol=0, atol=1)


@pytest.mark.parametrize("strength", [-0.1, 2.1, math.nan])
def test_strength_out_of_range(strength):
    with pytest.raises(ValueError, match="strength"):
        filter_model().predict(images(3, 8, 8), strength=strength)

"""The denoiser as a user sees it: predicting, training, resuming, saving, loading."""

from __future__ import annotations

import copy
import math
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import assert_same, copy_values, generator, state, torch_report_network
from torch import Tensor, nn

import n2n_lib.denoiser.model
from n2n_lib.denoiser import networks
from n2n_lib.denoiser.images import to_unit
from n2n_lib.denoiser.metrics import psnr
from n2n_lib.denoiser.model import DivergedError, Model
from n2n_lib.denoiser.networks import Network, report_network
from n2n_lib.denoiser.noise import Gaussian
from n2n_lib.denoiser.photographs import photograph
from n2n_lib.denoiser.sampling import sample_pairs
from n2n_lib.denoiser.stream import PairStream
from n2n_lib.framework.activations import ELU, LeakyReLU, ReLU, Sigmoid
from n2n_lib.framework.containers import Sequential
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.module import Module
from n2n_lib.framework.optim import SGD
from n2n_lib.framework.schedules import SCHEDULES
from n2n_lib.framework.upsampling import NNUpsampling, Upsampling

FLOAT32_ERROR = 1e-4  # on the scale 0-1


def images(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Random images 0-255."""
    values = torch.rand(shape, generator=generator(seed)) * 255
    return values.round().to(dtype) if dtype == torch.uint8 else values.to(dtype)


def pairs(count: int = 40, height: int = 8, width: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    """An easy task: images of one colour each, and two copies with noise of deviation 30."""
    source = generator(7)
    clean = 40 + 170 * torch.rand(count, 3, 1, 1, generator=source)
    clean = clean.expand(count, 3, height, width).contiguous()
    noise = 30 * torch.randn(2, count, 3, height, width, generator=source)
    return clean + noise[0], clean + noise[1], clean


def lively(seed: int = 0, network: str = "report") -> Model:
    """A network with weights large enough that every pixel depends on its surroundings.

    Fresh weights of a Xavier network give an almost even grey, on which few mistakes would show.
    Those of the U-Net, which are He's, are large enough.
    """
    model = Model(network, seed=seed)
    scale = 1.0 if network == "unet" else 2.5
    model.network.set_params([scale * parameter for parameter, _ in model.network.param()])
    return model


def weights(model: Model) -> list[Tensor]:
    return [parameter.clone() for parameter, _ in model.network.param()]


def are_finite(tensors: list[Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


def pixel_psnr(image: Tensor, clean: Tensor) -> float:
    """PSNR of 0-255 images, mean over images, in NumPy."""
    error = np.square((image.double() - clean.double()).numpy()).mean((1, 2, 3))
    return float(np.mean(10 * np.log10(255**2 / error)))


def assert_refuses(
    call: Callable, error: type[Exception] | tuple[type[Exception], ...], *fragments: str
) -> None:
    """The call raises this error, in one line that holds "expected" and then every fragment."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    position = 0
    for fragment in ("expected", *fragments):
        assert fragment in message[position:], f"no {fragment!r} in {message!r}"
        position = message.index(fragment, position)


# ====================================================================== predicting


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
    monkeypatch.setattr(n2n_lib.denoiser.model, "TILE", 16)  # 2 images at a time
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
    monkeypatch.setattr(n2n_lib.denoiser.model, "TILE", 64)
    assert (model.predict(image) - whole).abs().max() < 255 * FLOAT32_ERROR
    model._halo = 0  # without a border around each tile there would be a seam
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
    monkeypatch.setattr(n2n_lib.denoiser.model, "TILE", 16)
    assert (Model(conv).predict(image) - expected).abs().max() < 255 * FLOAT32_ERROR


# ---------------------------------------------------------------------- padding and the U-Net


@pytest.mark.parametrize("multiple", [2, 4, 8])
@pytest.mark.parametrize(
    "size", [(9, 13), (8, 11), (5, 5), (4, 3), (1, 9), (2, 2), (1, 1)], ids=str
)
def test_images_grow_to_the_multiple_by_reflection(size: tuple, multiple: int):
    """As np.pad does; where there is too little to reflect, the edge is repeated."""
    model, unit = Model(), images(2, 3, *size) / 255
    model._multiple = multiple
    bottom, right = (-n % multiple for n in size)
    mode = "reflect" if bottom < size[0] and right < size[1] else "edge"
    expected = np.pad(unit.numpy(), ((0, 0), (0, 0), (0, bottom), (0, right)), mode=mode)
    assert np.array_equal(model._pad(unit).numpy(), expected)


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
        patch.setattr(n2n_lib.denoiser.model, "TILE", 48)
        tiled = model.predict(image)
    assert whole.shape == image.shape
    assert (whole - tiled).abs().max() < 255 * FLOAT32_ERROR


MEMORY = """
import sys, torch, n2n_lib.denoiser.model
torch.set_num_threads(1)
n2n_lib.denoiser.model.TILE = 64
model = n2n_lib.denoiser.model.Model("unet", width=8, depth=3)
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
        [turned_back(model._forward(turned(image / 255, *way)), *way) for way in EIGHT]
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
    monkeypatch.setattr(n2n_lib.denoiser.model, "TILE", 64)
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


# ====================================================================== what a Model is


def test_the_default_is_the_network_of_the_report():
    model = Model()
    assert model.network_name == "report" and model.arguments == {}
    shapes = [tuple(p.shape) for p in torch_report_network().parameters()]
    assert [tuple(p.shape) for p, _ in model.network.param()] == shapes
    assert "17763" in repr(model).replace(",", "").replace(" ", "")


def test_seeds_of_the_initial_weights():
    before = torch.get_rng_state()
    assert_same(weights(Model(seed=3)), weights(Model(seed=3)))
    assert not torch.equal(weights(Model(seed=3))[0], weights(Model(seed=4))[0])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("network", "arguments", "error", "fragments"),
    [
        ("unet9", {}, ValueError, ("report", "got 'unet9'")),
        (None, {}, TypeError, ("NoneType",)),
        (report_network, {}, TypeError, ("function",)),
        (nn.Conv2d(3, 3, 1), {}, TypeError, ("Conv2d",)),
        (ReLU(), {"width": 3}, TypeError, ("width",)),
    ],
    ids=["unknown", "None", "function", "torch.nn", "arguments of a module"],
)
def test_bad_networks(network: object, arguments: dict, error: type[Exception], fragments: tuple):
    assert_refuses(lambda: Model(network, **arguments), error, *fragments)


# ====================================================================== training


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_training_on_noisy_pairs_alone_denoises(dtype: torch.dtype):
    noisy1, noisy2, clean = pairs(240)
    if dtype == torch.uint8:
        noisy1, noisy2 = (t.round().clamp(0, 255).to(dtype) for t in (noisy1, noisy2))
    model = Model()
    history = model.train(noisy1[40:], noisy2[40:], 8, batch_size=8, progress=False)
    assert history is model.history
    assert np.mean(history.losses[-25:]) < 0.6 * np.mean(history.losses[:5])
    held_out, truth = noisy1[:40], clean[:40]
    nothing = pixel_psnr(held_out.float().clamp(0, 255), truth)
    assert pixel_psnr(model.predict(held_out).float(), truth) > nothing + 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_training_takes_the_steps_that_torch_takes(dtype: torch.dtype):
    """Full batches, so that their order does not matter: autograd, torch.optim, a cosine."""
    noisy1, noisy2, _ = pairs(12)
    model, epochs, lr = Model(seed=5).to(dtype), 6, 1.5
    twin = copy_values(model.network, torch_report_network())
    history = model.train(noisy1, noisy2, epochs, batch_size=12, lr=lr, progress=False)
    x, y = noisy1.to(dtype) / 255, noisy2.to(dtype) / 255
    optimiser, losses = torch.optim.SGD(twin.parameters(), lr=lr), []
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=epochs)
    with torch.enable_grad():
        for _ in range(epochs):
            loss = nn.functional.mse_loss(twin(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
    assert history.losses == pytest.approx(losses, rel=1e-5)
    assert losses[-1] < losses[0]
    for ours, theirs in zip(weights(model), twin.parameters(), strict=True):
        assert ours.dtype == dtype
        assert torch.allclose(ours, theirs.detach(), rtol=1e-3, atol=1e-5)


class Diary(Module):
    """Multiply by a weight, and write down which images came in: by their first value."""

    def __init__(self) -> None:
        self.weight, self.weight_grad = torch.ones(1), torch.zeros(1)
        self.seen: list[list[int]] = []

    def forward(self, input: Tensor) -> Tensor:
        self._saved = input
        self.seen.append((input[:, 0, 0, 0] * 255).round().int().tolist())
        return self.weight * input

    def backward(self, grad_output: Tensor) -> Tensor:
        self.weight_grad += (grad_output * self._saved).sum()
        return self.weight * grad_output


def numbered(count: int) -> tuple[Tensor, Tensor]:
    """Image i is i everywhere, from 1; its target is 3 i."""
    first = torch.arange(1, count + 1).float().view(-1, 1, 1, 1).expand(count, 3, 2, 2)
    return first, 3 * first


def diary(seed: int = 0, count: int = 10, batch: int = 4, epochs: int = 2) -> Diary:
    network = Diary()
    model = Model(network)
    history = model.train(
        *numbered(count), epochs, batch_size=batch, lr=1e-12, seed=seed, progress=False
    )
    for images_of_step, loss in zip(network.seen, history.losses, strict=True):
        # Each image has its own target: the loss is the mean of (3 i - i)^2 over the batch.
        expected = np.mean([(2 * i / 255) ** 2 for i in images_of_step])
        assert loss == pytest.approx(expected, rel=1e-5)
    return network


def test_every_pair_is_seen_once_an_epoch_in_a_new_order():
    seen = diary().seen
    assert [len(batch) for batch in seen] == [4, 4, 2] * 2  # the last batch is smaller
    first, second = sum(seen[:3], []), sum(seen[3:], [])
    assert sorted(first) == sorted(second) == list(range(1, 11))
    assert first != sorted(first) and first != second


def test_the_seed_decides_the_order():
    assert diary(seed=1).seen == diary(seed=1).seen
    assert diary(seed=1).seen != diary(seed=2).seen


@pytest.mark.parametrize(
    ("count", "batch", "sizes"),
    [(1, 16, [1]), (3, 16, [3]), (4, 1, [1, 1, 1, 1]), (5, 4, [4, 1]), (8, 4, [4, 4])],
)
def test_sizes_of_batches(count: int, batch: int, sizes: list[int]):
    assert [len(b) for b in diary(count=count, batch=batch, epochs=1).seen] == sizes


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 7), (8, 6), (32, 33)])
def test_training_on_any_size(height: int, width: int):
    noisy1, noisy2, _ = pairs(6, height, width)
    model = Model()
    before = weights(model)
    losses = model.train(noisy1, noisy2, 10, batch_size=6, lr=1.0, progress=False).losses
    assert losses[-1] < losses[0]
    assert not torch.equal(before[0], weights(model)[0])
    assert model.predict(noisy1).shape == noisy1.shape


def test_same_seed_same_weights():
    noisy1, noisy2, _ = pairs(20)

    def trained(seed: int, **options) -> list[Tensor]:
        model = Model(seed=1)
        model.train(noisy1, noisy2, 2, batch_size=3, seed=seed, progress=False, **options)
        return weights(model)

    state = torch.get_rng_state()
    first = trained(0)
    assert torch.equal(torch.get_rng_state(), state), "the global generator was used"
    torch.manual_seed(99)
    assert_same(first, trained(0))
    assert not torch.equal(first[0], trained(1)[0])
    val = pairs(5)
    assert_same(first, trained(0, val_input=val[0], val_target=val[2]))  # they only inform


def test_history():
    noisy1, noisy2, clean = pairs(10)
    model, psnrs = Model(), []

    def after_epoch(current: Model) -> None:
        assert current is model and current.history.epochs == len(psnrs) + 1
        psnrs.append(pixel_psnr(model.predict(noisy2), clean))

    history = model.train(
        noisy1,
        noisy2,
        3,
        batch_size=4,
        val_input=noisy2,
        val_target=clean,
        progress=False,
        on_epoch=after_epoch,
    )
    assert history.epochs == 3 and len(history.losses) == 9
    assert history.val_psnr == pytest.approx(psnrs, abs=1e-4)
    assert len(history.seconds) == 3 and all(s > 0 for s in history.seconds)
    again = model.train(noisy1, noisy2, 1, batch_size=5, progress=False)
    assert (again.epochs, len(again.losses), again.val_psnr) == (1, 2, [])
    assert model.history is again and history.epochs == 3


def test_training_changes_no_data():
    data = [t.round().clamp(0, 255).to(torch.uint8) for t in pairs(8, 5, 6)]
    before = [t.clone() for t in data]
    Model().train(*data[:2], 1, val_input=data[0], val_target=data[2], progress=False)
    assert_same(before, data)


def test_progress_shows_loss_and_validation(capsys):
    noisy1, noisy2, clean = pairs(8)
    options = {"val_input": noisy1, "val_target": clean}
    Model().train(noisy1, noisy2, 2, progress=False, **options)
    assert capsys.readouterr() == ("", "")
    history = Model().train(noisy1, noisy2, 2, **options)
    output = capsys.readouterr()
    assert output.out == ""
    assert f"loss {history.losses[-1]:.5f}" in output.err
    assert f"{history.val_psnr[-1]:.2f} dB" in output.err


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("network", ["report", "custom"])
def test_needs_input_grad_is_put_back(wanted: bool, network: str):
    noisy1, noisy2, _ = pairs(4)
    model = Model("report" if network == "report" else Conv2d(3, 3, 1, generator=generator(0)))
    model.network.needs_input_grad = wanted

    def fail(model: Model) -> None:
        raise KeyboardInterrupt

    model.train(noisy1, noisy2, 1, progress=False)
    assert model.network.needs_input_grad is wanted
    with pytest.raises(KeyboardInterrupt):
        model.train(noisy1, noisy2, 1, progress=False, on_epoch=fail)
    assert model.network.needs_input_grad is wanted


# ---------------------------------------------------------------------- divergence


@pytest.mark.parametrize("lr", [1e20, 1e38])
def test_divergence_leaves_the_weights_of_the_last_finished_epoch(lr: float, tmp_path: Path):
    noisy1, noisy2, _ = pairs(8)
    model, after, path = Model(), [], tmp_path / "checkpoint.pth"
    with pytest.raises(
        DivergedError, match=r"loss became nan in epoch 2: expected .*learning rate"
    ):
        model.train(
            noisy1,
            noisy2,
            3,
            batch_size=8,
            lr=lr,
            progress=False,
            checkpoint=path,
            on_epoch=lambda model: after.append(weights(model)),
        )
    assert len(after) == 1 and are_finite(after[0])
    assert_same(after[0], weights(model))
    assert model.history.epochs == 1
    assert are_finite(torch.load(path, weights_only=True)["parameters"])


def test_divergence_in_the_first_epoch_leaves_the_initial_weights(tmp_path: Path):
    noisy1, noisy2, _ = pairs(40)
    model = Model(Conv2d(3, 3, 3, padding=1, generator=generator(0)))
    before = weights(model)
    with pytest.raises(DivergedError, match="in epoch 1: expected .*got 1e.?06"):
        model.train(
            noisy1, noisy2, 2, batch_size=1, lr=1e6, progress=False, checkpoint=tmp_path / "c.pth"
        )
    assert_same(before, weights(model))
    assert model.history.losses == [] and model.history.epochs == 0
    assert list(tmp_path.iterdir()) == []
    assert torch.isfinite(model.predict(noisy1)).all()


@pytest.mark.parametrize("epochs", [1, 2])
def test_divergence_in_the_last_step_of_an_epoch(epochs: int, tmp_path: Path):
    """The loss before that step is still a number; the weights after it are not."""
    noisy1, noisy2, _ = pairs(4)
    model, path = Model(Conv2d(3, 3, 1, generator=generator(0))), tmp_path / "checkpoint.pth"
    before = weights(model)
    with pytest.raises(DivergedError):
        model.train(
            100 * noisy1, noisy2, epochs, batch_size=4, lr=3e38, progress=False, checkpoint=path
        )
    assert_same(before, weights(model))
    assert not path.exists() or are_finite(torch.load(path, weights_only=True)["parameters"])


def rising(dtype: torch.dtype = torch.float32) -> Model:
    """A network that nothing keeps within 0-1."""
    return Model("unet", width=2, depth=1, convs=0).to(dtype)


def test_a_loss_that_rises_without_bound_stops(tmp_path: Path):
    """Adam's steps are as long as the rate, so the loss grows and stays a number for long."""
    noisy1, noisy2, _ = pairs(60)
    model, after = rising(), []
    options = {"batch_size": 1, "progress": False, "optimiser": "adam", "schedule": "step"}
    model.train(noisy1, noisy2, 1, lr=1e-4, **options)
    before = weights(model)
    told = r"the loss rose from 0\.\d+ to \S+ in epoch 1: expected .*rate.* got 3; try a tenth"
    with pytest.raises(DivergedError, match=told):
        model.train(noisy1, noisy2, 9, lr=3.0, on_epoch=after.append, **options)
    assert_same(before, weights(model))
    assert after == [] and model.history.losses == []


def test_a_loss_that_rises_late_leaves_the_last_good_weights(tmp_path: Path, monkeypatch):
    noisy1, noisy2, _ = pairs(60)
    model, after, path = rising(), [], tmp_path / "checkpoint.pth"
    monkeypatch.setitem(SCHEDULES, "late", lambda lr, step, total: lr if step < 60 else 3e4 * lr)
    with pytest.raises(DivergedError, match=r"the loss rose from \S+ to \S+ in epoch 2"):
        model.train(
            noisy1, noisy2, 9, batch_size=1, lr=1e-4, optimiser="adam", schedule="late",
            progress=False, checkpoint=path, on_epoch=lambda model: after.append(weights(model)),
        )  # fmt: skip
    assert len(after) == 1 and model.history.epochs == 1
    assert_same(after[0], weights(model))
    assert_same(after[0], torch.load(path, weights_only=True)["parameters"])


def test_a_bad_start_and_loud_noise_do_not_count_as_divergence():
    """A first loss of hundreds that falls, and images whose noise alone is more than 1."""
    noisy1, noisy2, _ = pairs(60)
    model = rising()
    model.network.set_params([20 * parameter for parameter, _ in model.network.param()])
    losses = model.train(noisy1, noisy2, 2, lr=1e-2, optimiser="adam", progress=False).losses
    assert losses[0] > 10 and losses[-1] < losses[0]
    loud = 1e4 * torch.randn(2, *noisy1.shape, generator=generator(0))
    losses = rising().train(*loud, 2, lr=1e-4, optimiser="adam", progress=False).losses
    assert losses[0] > 100


@pytest.mark.parametrize(("dtype", "named"), [(torch.float16, True), (torch.float32, False)])
def test_an_overflow_of_half_precision_is_named(dtype: torch.dtype, named: bool):
    noisy1, noisy2, _ = pairs(20)
    with pytest.raises(DivergedError, match="in epoch 1: expected .*learning rate") as error:
        rising(dtype).train(noisy1, noisy2, 2, lr=1e4, progress=False, batch_size=1)
    assert ("float16 ends at 65504, float32 and bfloat16 do not" in str(error.value)) is named


@pytest.mark.parametrize(("dtype", "named"), [(torch.float16, True), (torch.float32, False)])
def test_an_overflow_while_predicting_is_told(dtype: torch.dtype, named: bool):
    noisy, _, _ = pairs(2)
    model = rising(dtype)
    factor = 3e4 if dtype == torch.float16 else 1e38
    model.network.set_params([factor * parameter.sign() for parameter, _ in model.network.param()])
    with pytest.raises(ValueError, match="expected a network that computes finite val") as error:
        model.predict(noisy)
    assert ("float16 ends at 65504" in str(error.value)) is named


def test_a_learning_rate_beyond_half_precision():
    noisy1, noisy2, _ = pairs(4)
    with pytest.raises(ValueError, match=r"learning rate within torch.float16, got 1000000\.0"):
        rising(torch.float16).train(noisy1, noisy2, 1, lr=1e6, progress=False)


def test_a_learning_rate_beyond_float32():
    """Finite as a Python number, infinite for the weights."""
    noisy1, noisy2, _ = pairs(4)
    model = Model()
    before = weights(model)
    with pytest.raises((DivergedError, ValueError), match="expected .*got 1e.?300"):
        model.train(noisy1, noisy2, 1, lr=1e300, progress=False)
    assert_same(before, weights(model))


# ---------------------------------------------------------------------- bad input

A, B, C = pairs(6)
BAD_TRAINING = {
    "shapes": (dict(train_target=B[:5]), ValueError, "(6, 3, 8, 8) and (5, 3, 8, 8)"),
    "heights": (dict(train_input=A[:, :, :4]), ValueError, "(6, 3, 4, 8) and (6, 3, 8, 8)"),
    "one image": (dict(train_input=A[0], train_target=B[0]), ValueError, "got (3, 8, 8)"),
    "channels": (dict(train_input=A[:, :1], train_target=B[:, :1]), ValueError, "got (6, 1, 8, 8)"),
    "empty": (dict(train_input=A[:0], train_target=B[:0]), ValueError, "got shape (0, 3, 8, 8)"),
    "NaN input": (dict(train_input=A.clone().fill_(math.nan)), ValueError, "got nan"),
    "NaN target": (dict(train_target=B + math.nan), ValueError, "train_target", "got nan"),
    "inf target": (dict(train_target=B + math.inf), ValueError, "train_target", "got inf"),
    "integers": (dict(train_input=A.long()), TypeError, "train_input", "int64"),
    "list": (dict(train_target=B.tolist()), TypeError, "train_target", "list"),
    "same images": (dict(train_target=A), ValueError, "noise of its own", "train_input"),
    "equal images": (dict(train_target=A.clone()), ValueError, "noise of its own", "train_input"),
    "equal, other dtype": (
        dict(train_input=A.round().clamp(0, 255).byte(), train_target=A.round().clamp(0, 255)),
        ValueError,
        "noise of its own",
    ),
    "0 epochs": (dict(num_epochs=0), ValueError, "num_epochs", "got 0"),
    "-1 epochs": (dict(num_epochs=-1), ValueError, "num_epochs", "got -1"),
    "1.5 epochs": (dict(num_epochs=1.5), TypeError, "num_epochs", "got 1.5"),
    "True epochs": (dict(num_epochs=True), TypeError, "num_epochs", "got True"),
    "batch 0": (dict(batch_size=0), ValueError, "batch_size", "got 0"),
    "batch of text": (dict(batch_size="16"), TypeError, "batch_size", "got '16'"),
    "lr 0": (dict(lr=0), ValueError, "learning rate", "got 0"),
    "lr -1": (dict(lr=-1.0), ValueError, "learning rate", "got -1.0"),
    "lr NaN": (dict(lr=math.nan), ValueError, "learning rate", "got nan"),
    "lr inf": (dict(lr=math.inf), ValueError, "learning rate", "got inf"),
    "lr of text": (dict(lr="2"), TypeError, "learning rate", "2"),
    "only val_input": (dict(val_input=A), ValueError, "val_input and val_target together"),
    "only val_target": (dict(val_target=A), ValueError, "val_input and val_target together"),
    "val shapes": (dict(val_input=A, val_target=C[:5]), ValueError, "val_input", "(5, 3, 8, 8)"),
    "val NaN": (dict(val_input=A * math.nan, val_target=C), ValueError, "val_input", "got nan"),
    "val empty": (dict(val_input=A[:0], val_target=C[:0]), ValueError, "val_input", "(0, 3, 8, 8)"),
}


@pytest.mark.parametrize("case", BAD_TRAINING.values(), ids=BAD_TRAINING.keys())
def test_train_refuses_before_anything_is_changed(case: tuple, tmp_path: Path):
    changes, error, *fragments = case
    model = Model()
    model.train(A, B, 1, progress=False)
    before, history, called = state(model.network), model.history, []
    arguments = dict(train_input=A, train_target=B, num_epochs=1, progress=False) | changes
    assert_refuses(
        lambda: model.train(
            **arguments, checkpoint=tmp_path / "checkpoint.pth", on_epoch=called.append
        ),
        error,
        *fragments,
    )
    assert_same(before, state(model.network))
    assert model.history is history and not called and not list(tmp_path.iterdir())
    assert model.network.needs_input_grad


@pytest.mark.parametrize("where", ["missing/c.pth", "file/c.pth"])
def test_a_checkpoint_that_cannot_be_written_is_refused_before_training(tmp_path: Path, where: str):
    (tmp_path / "file").write_bytes(b"")
    model = Model()
    before = weights(model)
    with pytest.raises((OSError, ValueError)):
        model.train(A, B, 1, progress=False, checkpoint=tmp_path / where)
    assert_same(before, weights(model))


# ====================================================================== resuming


class Stopped(BaseException):
    """As Ctrl-C: no ordinary exception."""


EPOCHS = 4
DATA = pairs(22)


def run(
    path: Path | None = None, *, stop: int | None = None, resume: bool = True, **changes
) -> tuple[Model, int]:
    """Train anew, from other initial weights when resuming; return the model and its epochs."""
    options = {
        "num_epochs": EPOCHS,
        "batch_size": 4,
        "lr": 1.0,
        "seed": 3,
        "val_input": DATA[0],
        "val_target": DATA[2],
    } | changes
    model, epochs = Model(options.pop("network", "report"), seed=options.pop("model_seed", 0)), []

    def after_epoch(model: Model) -> None:
        epochs.append(model.history.epochs)
        if model.history.epochs == stop:
            raise Stopped

    train_input = options.pop("train_input", DATA[0])
    train_target = options.pop("train_target", DATA[1])
    try:
        model.train(
            train_input,
            train_target,
            **options,
            checkpoint=path,
            resume=resume,
            progress=False,
            on_epoch=after_epoch,
        )
    except Stopped:
        assert stop is not None
    return model, len(epochs)


def assert_same_run(model: Model, whole: Model) -> None:
    assert_same(weights(whole), weights(model))
    assert model.history.losses == whole.history.losses
    assert model.history.val_psnr == whole.history.val_psnr
    assert model.history.epochs == whole.history.epochs == EPOCHS


@pytest.fixture(scope="module")
def whole() -> Model:
    """A run that was never stopped, and that never wrote a checkpoint."""
    with torch.no_grad():
        return run()[0]


@pytest.mark.parametrize("stop", range(1, EPOCHS + 1))
def test_a_stopped_run_ends_with_the_same_weights(stop: int, whole: Model, tmp_path: Path):
    path = tmp_path / "checkpoint.pth"
    stopped, _ = run(path, stop=stop)
    assert stopped.history.epochs == stop
    model, epochs = run(path, model_seed=8)
    assert epochs == EPOCHS - stop  # nothing is trained twice
    assert_same_run(model, whole)


@pytest.mark.parametrize("step", [0, 3, 8, 23])
def test_a_run_stopped_within_an_epoch(step: int, whole: Model, tmp_path: Path, monkeypatch):
    """An epoch has six steps; the epoch that was under way is repeated."""
    path, taken, take = tmp_path / "checkpoint.pth", [], SGD.step

    def step_or_stop(optimiser: SGD) -> None:
        if len(taken) == step:
            raise Stopped
        taken.append(1)
        take(optimiser)

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(SGD, "step", step_or_stop)
        run(path, stop=99)
        raise Stopped  # run takes it for the stop that it was told of
    model, epochs = run(path)
    assert epochs == EPOCHS - step // 6
    assert_same_run(model, whole)


def test_stopped_twice(whole: Model, tmp_path: Path):
    path = tmp_path / "checkpoint.pth"
    run(path, stop=1)
    run(path, stop=3)
    assert_same_run(run(path)[0], whole)


def test_resume_of_a_finished_run_changes_nothing(whole: Model, tmp_path: Path):
    path = tmp_path / "checkpoint.pth"
    run(path)
    before = path.read_bytes()
    model, epochs = run(path, model_seed=8)
    assert epochs == 0
    assert_same_run(model, whole)
    assert path.read_bytes() == before


def test_resume_without_a_checkpoint_starts(whole: Model, tmp_path: Path):
    assert_same_run(run(tmp_path / "none.pth")[0], whole)
    assert_same_run(run(None)[0], whole)


def test_without_resume_an_old_checkpoint_does_not_matter(whole: Model, tmp_path: Path):
    path = tmp_path / "checkpoint.pth"
    run(path, stop=2, lr=0.1)
    model, epochs = run(path, resume=False)
    assert epochs == EPOCHS
    assert_same_run(model, whole)
    path.write_bytes(b"damaged")
    assert_same_run(run(path, resume=False)[0], whole)


@pytest.mark.parametrize("validated", [(True, False, True), (False, True, True)], ids=str)
def test_validation_may_come_and_go(validated: tuple, whole: Model, tmp_path: Path):
    """It only informs; no run is refused for it."""
    path, without = tmp_path / "checkpoint.pth", {"val_input": None, "val_target": None}
    for stop, with_validation in zip((1, 2, None), validated, strict=True):
        model, _ = run(path, stop=stop, **({} if with_validation else without))
    assert_same(weights(whole), weights(model))
    assert model.history.losses == whole.history.losses


def test_resume_in_another_dtype_is_refused(tmp_path: Path):
    """The weights would be rounded: neither run ends that way."""
    path = tmp_path / "checkpoint.pth"
    network = Conv2d(3, 3, 3, padding=1, generator=generator(1))
    run(path, stop=1, lr=0.01, network=network.to(torch.float64))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="checkpoint.pth: expected .*float32.*got .*float64"):
        run(path, lr=0.01, network=Conv2d(3, 3, 3, padding=1, generator=generator(1)))
    assert path.read_bytes() == before


def test_resume_of_uint8_pairs_and_a_network_of_ones_own(tmp_path: Path):
    path = tmp_path / "checkpoint.pth"
    data = [t.round().clamp(0, 255).byte() for t in DATA[:2]]

    def model(path: Path | None, stop: int | None = None) -> list[Tensor]:
        changes = dict(zip(("train_input", "train_target"), data, strict=True))
        network = Conv2d(3, 3, 3, padding=1, generator=generator(1))
        return weights(run(path, stop=stop, network=network, lr=0.1, **changes)[0])

    expected = model(None)
    model(path, stop=2)
    assert_same(expected, model(path))


CHANGED = {
    "num_epochs": ({"num_epochs": EPOCHS + 1}, "num_epochs = 5", "got 4"),
    "batch_size": ({"batch_size": 5}, "batch_size = 5", "got 4"),
    "lr": ({"lr": 0.5}, "lr = 0.5", "got 1.0"),
    "seed": ({"seed": 4}, "seed = 4", "got 3"),
    "input": ({"train_input": DATA[0] + 1}, "data"),
    "target": ({"train_target": DATA[1].flip(0)}, "data"),
    "fewer pairs": ({"train_input": DATA[0][1:], "train_target": DATA[1][1:]}, "data"),
    "other sides": (
        {
            "train_input": DATA[0].reshape(22, 3, 4, 16),
            "train_target": DATA[1].reshape(22, 3, 4, 16),
        },
        "data",
    ),
    "network": ({"network": ReLU()}, "network = custom", "got report"),
}


@pytest.mark.parametrize("case", CHANGED.values(), ids=CHANGED.keys())
def test_resume_with_other_settings_is_refused(case: tuple, tmp_path: Path):
    changes, *fragments = case
    path = tmp_path / "checkpoint.pth"
    run(path, stop=1)
    before = path.read_bytes()
    assert_refuses(lambda: run(path, **changes), ValueError, *fragments)
    with pytest.raises(ValueError, match="checkpoint.pth: expected"):
        run(path, **changes)
    assert path.read_bytes() == before


def damaged_checkpoints() -> dict[str, Callable[[dict], object]]:
    """Functions of a good checkpoint's content."""

    def without(key: str) -> Callable[[dict], dict]:
        return lambda content: {k: v for k, v in content.items() if k != key}

    def changed(key: str, change: Callable) -> Callable[[dict], dict]:
        return lambda content: content | {key: change(content[key])}

    return {
        "a list": lambda content: [content],
        "a state dict": lambda content: nn.Conv2d(3, 3, 1).state_dict(),
        "a model": lambda content: content | {"format": "n2n model 1"},
        "another format": lambda content: content | {"format": "n2n checkpoint 99"},
        **{
            f"no {key}": without(key)
            for key in ("format", "settings", "parameters", "generator", "history")
        },
        "settings are text": changed("settings", str),
        "a setting less": changed("settings", lambda s: {k: s[k] for k in s if k != "lr"}),
        "a parameter less": changed("parameters", lambda p: p[:-1]),
        "a parameter of another shape": changed("parameters", lambda p: [p[0][:1], *p[1:]]),
        "a parameter that is NaN": changed("parameters", lambda p: [*p[:-1], p[-1] * math.nan]),
        "a parameter that is text": changed("parameters", lambda p: ["x", *p[1:]]),
        "parameters are None": changed("parameters", lambda p: None),
        "generator cut short": changed("generator", lambda g: g[:100]),
        "generator is None": changed("generator", lambda g: None),
        "history is None": changed("history", lambda h: None),
        "history with another key": changed("history", lambda h: h | {"colour": 1}),
        "history without losses": changed("history", lambda h: h | {"losses": None}),
        "losses of another run": changed("history", lambda h: h | {"losses": h["losses"][:3]}),
        "seconds are None": changed("history", lambda h: h | {"seconds": None}),
    }


DAMAGED = damaged_checkpoints()


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_checkpoint_is_refused_and_the_model_stays(damage: Callable, tmp_path: Path):
    path = tmp_path / "checkpoint.pth"
    run(path, stop=2)
    torch.save(damage(torch.load(path, weights_only=True)), path)
    assert_checkpoint_is_refused(path)


@pytest.mark.parametrize("length", [0, 1, 100, 0.5, 0.95, -1])
def test_a_truncated_checkpoint_is_refused(length: float, tmp_path: Path):
    path = tmp_path / "checkpoint.pth"
    run(path, stop=2)
    path.write_bytes(truncated(path.read_bytes(), length))
    assert_checkpoint_is_refused(path)


def truncated(whole: bytes, length: float) -> bytes:
    return whole[: length if isinstance(length, int) else int(length * len(whole))]


def assert_checkpoint_is_refused(path: Path) -> None:
    content, model = path.read_bytes(), Model(seed=8)
    before, epochs = weights(model), []
    options = {"num_epochs": EPOCHS, "batch_size": 4, "lr": 1.0, "seed": 3}
    with pytest.raises(ValueError) as caught:
        model.train(
            *DATA[:2],
            **options,
            checkpoint=path,
            resume=True,
            progress=False,
            on_epoch=epochs.append,
        )
    message = str(caught.value)
    assert message.startswith(f"{path}: expected ") and "checkpoint of n2n" in message
    assert "\n" not in message and not epochs
    assert_same(before, weights(model))
    assert path.read_bytes() == content


def test_a_refused_resume_leaves_the_history(tmp_path: Path):
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(b"damaged")
    model = Model()
    history = model.train(*DATA[:2], 1, progress=False)
    with pytest.raises(ValueError):
        model.train(*DATA[:2], 1, checkpoint=path, resume=True, progress=False)
    assert model.history is history and history.epochs == 1


# ====================================================================== fresh pairs, ema, held out


def photo(seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8, generator=generator(seed))


def stream(batch_size: int = 4, **options) -> PairStream:
    options = {"images": [photo()], "size": 8, "noise": "gaussian", "seed": 2} | options
    return PairStream(batch_size, **options)


def few_at_once(monkeypatch) -> None:
    monkeypatch.setattr("n2n_lib.denoiser.stream.CHUNK", 16)


def filter_model(seed: int = 1) -> Model:
    return Model(Conv2d(3, 3, 3, padding=1, generator=generator(seed)))


HELD_OUT = tuple(sample_pairs(3, images=[photo(1)], size=8, generator=generator(5))[:2])
STEPS = 20


def run_stream(
    path: Path | None = None, *, stop: int | None = None, resume: bool = True, **changes
) -> Model:
    """Train on a stream in four epochs, from other initial weights when `path` is given."""
    options = {"optimiser": "adam", "lr": 1e-2, "ema": 0.9, "epoch_steps": 5, "held_out": HELD_OUT}
    options |= changes
    model = options.pop("model", None) or filter_model()

    def after_epoch(model: Model) -> None:
        if model.history.epochs == stop:
            raise Stopped

    try:
        model.train_stream(
            options.pop("stream", None) or stream(),
            options.pop("num_steps", STEPS),
            checkpoint=path,
            resume=resume,
            progress=False,
            on_epoch=after_epoch,
            **options,
        )
    except Stopped:
        assert stop is not None
    assert not [t for t in threading.enumerate() if t.name == "n2n-pairs"]
    return model


@pytest.mark.parametrize(("optimiser", "lr"), [("sgd", 0.1), ("momentum", 0.05), ("adam", 1e-2)])
@pytest.mark.parametrize("averaged", [{"ema": 0.9}, {"ema": 0.0}, {"held_out": None}], ids=str)
def test_a_stopped_stream_ends_with_the_same_weights(
    optimiser, lr, averaged, tmp_path, monkeypatch
):
    few_at_once(monkeypatch)
    options = {"optimiser": optimiser, "lr": lr} | averaged
    whole = run_stream(tmp_path / "whole.pth", **options)
    for stop in (1, 2, 3, 4):
        path = tmp_path / f"{stop}.pth"
        assert run_stream(path, stop=stop, **options).history.epochs == stop
        model = run_stream(path, model=filter_model(8), **options)
        assert_same(weights(whole), weights(model))
        assert model.history.losses == whole.history.losses and len(model.history.losses) == STEPS
        assert model.history.held_out == whole.history.held_out
        contents = [torch.load(p, weights_only=True) for p in (path, tmp_path / "whole.pth")]
        for content in contents:
            content["history"].pop("seconds")
        assert flat(contents[0]) == flat(contents[1])


def flat(content: object) -> object:
    """Turn the tensors of a file into what == compares."""
    if isinstance(content, dict):
        return {key: flat(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [flat(value) for value in content]
    return content.tolist() if isinstance(content, Tensor) else content


def test_the_mean_of_the_weights_equals_one_worked_out_step_by_step(monkeypatch):
    """Constant rates, so that a run of k steps is the beginning of a longer one."""
    few_at_once(monkeypatch)
    options = {"schedule": "constant", "held_out": None, "epoch_steps": 1}
    mean = [parameter.double() for parameter in weights(filter_model())]
    for step in range(STEPS):
        present = weights(run_stream(num_steps=step + 1, ema=0.0, **options))
        decay = min(0.9, (1 + step) / (10 + step))
        pairs = zip(mean, present, strict=True)
        mean = [decay * old + (1 - decay) * new.double() for old, new in pairs]
    averaged = weights(run_stream(ema=0.9, **options))
    for ours, expected in zip(averaged, mean, strict=True):
        assert torch.allclose(ours.double(), expected, rtol=0, atol=1e-6)
    assert not torch.allclose(averaged[0], present[0], rtol=0, atol=1e-4)


def test_train_returns_the_mean_that_it_validates():
    noisy1, noisy2, clean = DATA
    seen, model = [], filter_model()
    history = model.train(
        *(noisy1, noisy2, 3),
        **{"batch_size": 4, "lr": 0.1, "ema": 0.9, "val_input": noisy1, "val_target": clean},
        progress=False,
        on_epoch=lambda model: seen.append(pixel_psnr(model.predict(noisy1), clean)),
    )
    assert history.val_psnr == pytest.approx(seen, abs=1e-4)
    assert pixel_psnr(model.predict(noisy1), clean) == pytest.approx(seen[-1], abs=1e-4)
    plain = filter_model()
    losses = plain.train(noisy1, noisy2, 3, batch_size=4, lr=0.1, progress=False).losses
    assert losses == history.losses  # the mean does not touch the training itself
    assert not torch.equal(weights(plain)[0], weights(model)[0])


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_the_weights_with_the_smallest_held_out_error_are_returned(ema: float):
    """The targets grow brighter with every epoch; the held-out ones are those of the second."""
    noisy1, noisy2, _ = pairs(6)
    seen, model = [], filter_model()

    class Brighter(PairStream):
        def batches(self, first: int = 0):
            for number in range(first, 10**6):
                yield noisy1, noisy2 * (0.4 + 0.2 * (number // 40))

    options = {"optimiser": "adam", "lr": 3e-2, "schedule": "constant", "epoch_steps": 40}
    history = model.train_stream(
        Brighter(4, images=[photo()], size=8),
        200,
        **options,
        ema=ema,
        held_out=(noisy1, noisy2 * 0.6),
        progress=False,
        on_epoch=lambda model: seen.append(weights(model)),
    )
    best = int(np.argmin(history.held_out))
    assert len(history.held_out) == len(seen) == 5 and 0 < best < 4
    assert_same(seen[best], weights(model))
    for kept, error in zip(seen, history.held_out, strict=True):
        model.network.set_params(kept)
        squares = np.square((model.predict(noisy1) - noisy2 * 0.6).double().numpy() / 255)
        assert error == pytest.approx(squares.mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("steps", "per_epoch", "epochs"), [(7, 5, 2), (5, 5, 1), (3, 5, 1), (1, 1, 1), (11, 5, 3)]
)
def test_steps_are_rounded_up_to_whole_epochs(steps: int, per_epoch: int, epochs: int, monkeypatch):
    few_at_once(monkeypatch)
    model = run_stream(num_steps=steps, epoch_steps=per_epoch)
    assert model.history.epochs == len(model.history.held_out) == epochs
    assert len(model.history.losses) == epochs * min(per_epoch, steps)


def test_no_thread_survives_a_divergence(monkeypatch):
    few_at_once(monkeypatch)
    model = filter_model()
    with pytest.raises(DivergedError):
        model.train_stream(stream(), 200, optimiser="sgd", lr=1e6, epoch_steps=100, progress=False)
    assert not [t for t in threading.enumerate() if t.name == "n2n-pairs"]


OTHER_STREAMS = {
    "stream": ({"stream": stream(seed=3)}, "data", "seed 3", "seed 2"),
    "clean targets": ({"stream": stream(clean_targets=True)}, "data", "with_clean True"),
    "num_steps": ({"num_steps": 25}, "num_steps = 25", "got 20"),
    "epoch_steps": ({"epoch_steps": 10}, "epoch_steps = 10", "got 5"),
    "ema": ({"ema": 0.99}, "ema = 0.99", "got 0.9"),
    "no ema": ({"ema": 0.0}, "ema = 0.0", "got 0.9"),
    "held out": ({"held_out": HELD_OUT[::-1]}, "held_out = 3 x 3 x 8 x 8", "got 3 x 3 x 8 x 8"),
    "nothing held out": ({"held_out": None}, "held_out = None", "got 3 x 3 x 8 x 8"),
    "schedule": ({"schedule": "cosine"}, "schedule = cosine", "got warmup-cosine"),
    "optimiser": ({"optimiser": "sgd"}, "optimiser = sgd", "got adam"),
}


@pytest.mark.parametrize("case", OTHER_STREAMS.values(), ids=OTHER_STREAMS.keys())
def test_resume_with_another_stream_is_refused(case: tuple, tmp_path: Path, monkeypatch):
    few_at_once(monkeypatch)
    changes, *fragments = case
    path, model = tmp_path / "checkpoint.pth", filter_model(8)
    run_stream(path, stop=1)
    content, before = path.read_bytes(), weights(model)
    assert_refuses(lambda: run_stream(path, model=model, **changes), ValueError, *fragments)
    assert path.read_bytes() == content
    assert_same(before, weights(model))


def in_average(change: Callable) -> Callable[[dict], dict]:
    return lambda average: average | {"values": change(average["values"])}


DAMAGED_MEANS = {
    "average: None": ("average", lambda average: None),
    "average: empty": ("average", lambda average: {}),
    "average: fewer": ("average", in_average(lambda v: v[:-1])),
    "average: a shape": ("average", in_average(lambda v: [v[0][:1], *v[1:]])),
    "average: NaN": ("average", in_average(lambda v: [*v[:-1], v[-1] * math.nan])),
    "average: text": ("average", in_average(lambda v: "mean")),
    "average: steps": ("average", lambda average: average | {"steps": -1}),
    "best: None": ("best", lambda best: None),
    "best: fewer": ("best", lambda best: best[:-1]),
    "best: a shape": ("best", lambda best: [best[0][:1], *best[1:]]),
    "best: NaN": ("best", lambda best: [*best[:-1], best[-1] * math.nan]),
    "best: text": ("best", lambda best: "best"),
    "history: no errors": ("history", lambda history: history | {"held_out": []}),
    "history: an error less": ("history", lambda h: h | {"held_out": h["held_out"][1:]}),
}


@pytest.mark.parametrize("case", DAMAGED_MEANS.values(), ids=DAMAGED_MEANS.keys())
def test_a_damaged_mean_or_best_is_refused(case: tuple, tmp_path: Path, monkeypatch):
    few_at_once(monkeypatch)
    key, damage = case
    path, model = tmp_path / "checkpoint.pth", filter_model(8)
    run_stream(path, stop=2)
    content = torch.load(path, weights_only=True)
    torch.save(content | {key: damage(content[key])}, path)
    before, history = weights(model), model.history
    assert_refuses(lambda: run_stream(path, model=model), ValueError, "whole checkpoint of n2n")
    assert_same(before, weights(model))
    assert model.history is history


BAD_STREAMS = {
    "stream": ({"stream": "photographs"}, TypeError, "stream to be a BatchStream", "got str"),
    "0 steps": ({"num_steps": -1}, ValueError, "num_steps", "got -1"),
    "steps of text": ({"num_steps": "7"}, TypeError, "num_steps", "got '7'"),
    "epoch_steps": ({"epoch_steps": 0}, ValueError, "epoch_steps", "got 0"),
    "ema 1": ({"ema": 1.0}, ValueError, "decay", "got 1.0"),
    "ema -0.1": ({"ema": -0.1}, ValueError, "decay", "got -0.1"),
    "ema NaN": ({"ema": math.nan}, ValueError, "decay", "got nan"),
    "lr": ({"lr": -1.0}, ValueError, "learning rate", "got -1.0"),
    "optimiser": ({"optimiser": "lion"}, ValueError, "optimiser", "got 'lion'"),
    "schedule": ({"schedule": "noam"}, ValueError, "schedule", "got 'noam'"),
    "held_out a tensor": ({"held_out": A}, TypeError, "held_out to be a pair", "got Tensor"),
    "held_out of three": ({"held_out": (A, B, C)}, TypeError, "held_out to be a pair"),
    "held_out of one": ({"held_out": (A, A)}, ValueError, "held_out[1] with noise of its own"),
    "held_out shapes": ({"held_out": (A, B[:2])}, ValueError, "held_out[0]", "(2, 3, 8, 8)"),
    "only val_input": ({"val_input": A}, ValueError, "val_input and val_target together"),
}


@pytest.mark.parametrize("case", BAD_STREAMS.values(), ids=BAD_STREAMS.keys())
def test_train_stream_refuses_before_anything_is_changed(case: tuple, tmp_path: Path):
    changes, error, *fragments = case
    model = filter_model()
    before, history = weights(model), model.history
    path = tmp_path / "checkpoint.pth"
    assert_refuses(lambda: run_stream(path, model=model, **changes), error, *fragments)
    assert_same(before, weights(model))
    assert model.history is history and list(tmp_path.iterdir()) == []


# ====================================================================== one noisy image


def noisy_photo(sigma: float = 25.0) -> tuple[Tensor, Tensor]:
    """A piece of the coffee, and with noise that is not clipped."""
    clean = photograph("coffee")[:, 60:140, 200:300].float()
    noise = torch.randn(clean.shape, generator=generator(4))
    return clean + sigma * noise, clean


def test_a_network_learns_to_denoise_from_a_single_noisy_image():
    noisy, clean = noisy_photo()
    model = Model("unet", width=8, depth=1)
    before = psnr(to_unit(model.predict(noisy, sigma=25)), to_unit(clean))
    history = model.adapt(noisy, 25, 40, lr=2e-3, patch=32, progress=False)
    after = psnr(to_unit(model.predict(noisy, sigma=25)), to_unit(clean))
    assert after > before + 1
    assert history is model.history and len(history.losses) == 40 and history.epochs == 1


def test_adapting_repeats_itself_and_leaves_the_image_alone():
    noisy, _ = noisy_photo()
    kept, models = noisy.clone(), [filter_model() for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        model.adapt(noisy, 25, 3, seed=seed, patch=16, progress=False)
    assert torch.equal(noisy, kept)
    assert_same(weights(models[0]), weights(models[1]))
    assert not torch.equal(weights(models[0])[0], weights(models[2])[0])


@pytest.mark.parametrize("sigma", [10.0, 40.0])
@pytest.mark.parametrize("level", [None, 25.0])
def test_adapting_shows_the_network_the_noise_that_it_was_trained_at(sigma, level, monkeypatch):
    seen = []
    monkeypatch.setattr(Model, "train_stream", lambda self, stream, *_, **__: seen.append(stream))
    model = filter_model()
    model.sigma = level
    flat = 100 + sigma * torch.randn(3, 200, 200, generator=generator(0))
    model.adapt(flat, sigma, alpha=0.75)
    inputs, targets = map(torch.cat, zip(*islice(seen[0].batches(ahead=0), 40), strict=True))
    expected = sigma * math.sqrt(1 + 0.75**2) if level is None else level
    assert inputs.std() == pytest.approx(expected, rel=0.01)
    assert inputs.mean() / targets.mean() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "error", "fragments"),
    [
        ({"noisy": "photo.png"}, TypeError, ("noisy to be a tensor", "got str")),
        ({"noisy": torch.zeros(1, 3, 9, 9)}, ValueError, ("(3, H, W)", "got (1, 3, 9, 9)")),
        ({"noisy": torch.full((3, 9, 9), math.inf)}, ValueError, ("finite values", "got inf")),
        ({"sigma": 0}, ValueError, ("sigma > 0", "got 0")),
        ({"sigma": None}, TypeError, ("sigma to be a number", "got None")),
        ({"alpha": -1.0}, ValueError, ("alpha > 0", "got -1.0")),
        ({"num_steps": 0}, ValueError, ("num_steps", "got 0")),
        ({"batch_size": 0}, ValueError, ("batch_size", "got 0")),
        ({"patch": 0}, ValueError, ("patch", "got 0")),
        ({"lr": math.nan}, ValueError, ("learning rate", "got nan")),
    ],
)
def test_adapt_refuses_before_anything_is_changed(changes: dict, error, fragments: tuple):
    model = filter_model()
    before, history = weights(model), model.history
    arguments = {"noisy": torch.zeros(3, 9, 9), "sigma": 25, "progress": False} | changes
    assert_refuses(lambda: model.adapt(**arguments), error, *fragments)
    assert_same(before, weights(model))
    assert model.history is history


# ====================================================================== saving and loading


def keeps_size(seed: int) -> dict[str, Callable[[], Module]]:
    """A network 3 channels to 3 channels, size kept, around each of our modules."""

    def source() -> torch.Generator:
        return generator(seed)

    def nested() -> Sequential:
        g = source()
        return Sequential(
            Conv2d(3, 4, 2, stride=2, generator=g),
            Sequential(LeakyReLU(), Sequential(Upsampling(4, 5, 3, padding=1, generator=g), ELU())),
            Conv2d(5, 3, 1, bias=False, generator=g),
            Sigmoid(),
        )

    return {
        "Conv2d": lambda: Conv2d(3, 3, 3, padding=1, generator=source()),
        "Conv2d, no bias": lambda: (
            Conv2d(3, 3, (1, 3), padding=(0, 1), bias=False)
            if seed == 0
            else Conv2d(3, 3, (1, 3), padding=(0, 1), bias=False, generator=source())
        ),
        "Upsampling": lambda: Upsampling(3, 3, 3, stride=2, padding=1, generator=source()),
        "NNUpsampling and Conv2d": lambda: Sequential(
            NNUpsampling(), Conv2d(3, 3, 2, stride=2, generator=source())
        ),
        "NNUpsampling": lambda: NNUpsampling(1),
        "ReLU": lambda: ReLU(),
        "LeakyReLU": lambda: LeakyReLU(0.1),
        "ELU": lambda: ELU(),
        "Sigmoid": lambda: Sigmoid(),
        "nested Sequential": nested,
        "the report's": lambda: report_network(generator=source()),
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", keeps_size(0))
def test_loaded_predicts_as_saved(name: str, dtype: torch.dtype, tmp_path: Path):
    saved = Model(keeps_size(1)[name]()).to(dtype)
    loaded = Model(keeps_size(2)[name]()).to(dtype)
    image = images(2, 3, 12, 8, dtype=dtype) - 20
    expected = saved.predict(image)
    if saved.network.param():
        assert not torch.equal(loaded.predict(image), expected)
    assert saved.save_model(tmp_path / "model.pth") == tmp_path / "model.pth"
    loaded.load_pretrained_model(tmp_path / "model.pth")
    assert torch.equal(loaded.predict(image), expected)
    assert_same(weights(saved), weights(loaded))
    assert torch.equal(saved.predict(image), expected)  # saving changed nothing


def test_a_float64_file_in_a_model_built_in_float32(tmp_path: Path):
    """As the docstring says: build the Model around that network, then load."""
    saved = Model(keeps_size(1)["nested Sequential"]()).to(torch.float64)
    saved.save_model(tmp_path / "model.pth")
    loaded = Model(keeps_size(2)["nested Sequential"]())
    loaded.load_pretrained_model(tmp_path / "model.pth")
    assert_same(weights(saved), weights(loaded))
    image = images(2, 3, 12, 8, dtype=torch.float64)
    assert torch.equal(loaded.predict(image), saved.predict(image))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_a_network_by_name(name: str, dtype: torch.dtype, trained: bool, tmp_path: Path):
    saved = lively(1, name).to(dtype)
    if trained:
        saved.train(A, B, 1, lr=0.1, progress=False)
    for image in (images(2, 3, 12, 9, dtype=dtype), images(3, 21, 16, dtype=torch.uint8)):
        expected = saved.predict(image)
        saved.save_model(str(tmp_path / "model.pth"))
        loaded = Model(seed=2)
        assert not torch.equal(loaded.predict(image), expected)
        loaded.load_pretrained_model(str(tmp_path / "model.pth"))
        assert torch.equal(loaded.predict(image), expected)
        assert_same(weights(saved), weights(loaded))


def test_what_a_file_records(tmp_path: Path):
    model = lively(4)
    model.save_model(tmp_path / "model.pth")
    content = torch.load(tmp_path / "model.pth", weights_only=True)
    assert content["network"] == "report" and content["arguments"] == {}
    assert_same(weights(model), content["parameters"])
    assert [path.name for path in tmp_path.iterdir()] == ["model.pth"]


def toy(*, width: int = 2, generator: torch.Generator | None = None) -> Sequential:
    """Half the size, then back."""
    return Sequential(
        Conv2d(3, width, 2, stride=2, generator=generator),
        Upsampling(width, 3, 3, padding=1, generator=generator),
    )


def test_the_file_says_which_network_it_is_with_its_arguments(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(networks.NETWORKS, "toy", Network(toy, multiple=2, halo=4))
    saved = Model("toy", width=5, seed=3)
    saved.save_model(tmp_path / "model.pth")
    content = torch.load(tmp_path / "model.pth", weights_only=True)
    assert (content["network"], content["arguments"]) == ("toy", {"width": 5})
    for loaded in (Model(), Model("toy"), Model(ReLU())):
        loaded.load_pretrained_model(tmp_path / "model.pth")
        assert (loaded.network_name, loaded.arguments) == ("toy", {"width": 5})
        monkeypatch.setattr(
            n2n_lib.denoiser.model, "TILE", 16
        )  # multiple and halo are the toy's too
        image = images(3, 37, 21)
        assert torch.equal(loaded.predict(image), saved.predict(image))
        monkeypatch.undo()
        monkeypatch.setitem(networks.NETWORKS, "toy", Network(toy, multiple=2, halo=4))
    monkeypatch.delitem(networks.NETWORKS, "toy")
    assert_file_is_refused(tmp_path / "model.pth", "got", "'toy'")


def test_a_loaded_model_trains_on(tmp_path: Path):
    first = Model(seed=1)
    first.save_model(tmp_path / "model.pth")
    second = Model(seed=2)
    second.load_pretrained_model(tmp_path / "model.pth")
    first.train(A, B, 2, progress=False)
    second.train(A, B, 2, progress=False)
    assert_same(weights(first), weights(second))


def test_a_copy_of_a_model_is_its_own():
    model = lively()
    twin, image = copy.deepcopy(model), images(3, 8, 8)
    expected = model.predict(image)
    twin.train(A, B, 1, progress=False)
    assert torch.equal(model.predict(image), expected)


def test_a_failing_save_leaves_the_old_file(tmp_path: Path, monkeypatch):
    path = Model(seed=1).save_model(tmp_path / "model.pth")
    before = path.read_bytes()

    def fail(content, file) -> None:
        file.write(b"PK")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        Model(seed=2).save_model(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("where", ["missing/model.pth", "file/model.pth"])
def test_a_model_cannot_be_saved_there(tmp_path: Path, where: str):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(OSError):
        Model().save_model(tmp_path / where)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


# ---------------------------------------------------------------------- files that are no models


def assert_file_is_refused(path: Path, *fragments: str, model: Model | None = None) -> None:
    """ValueError that names the file and what was expected; the model is as it was."""
    model, image = model or lively(9), images(2, 3, 12, 8)
    before, prediction, history = weights(model), model.predict(image), model.history
    name, arguments, network = model.network_name, model.arguments, model.network
    assert_refuses(lambda: model.load_pretrained_model(path), ValueError, *fragments)
    with pytest.raises(ValueError) as caught:
        model.load_pretrained_model(path)
    assert str(caught.value).startswith(f"{path}: expected ")
    assert (model.network_name, model.arguments) == (name, arguments)
    assert model.network is network and model.history is history
    assert_same(before, weights(model))
    assert torch.equal(model.predict(image), prediction)


@pytest.mark.parametrize("length", [0, 1, 4, 100, 1000, 0.25, 0.5, 0.9, 0.99, -22, -1])
def test_a_truncated_model_is_refused(length: float, tmp_path: Path):
    path = lively(1).save_model(tmp_path / "model.pth")
    path.write_bytes(truncated(path.read_bytes(), length))
    assert_file_is_refused(path, "a model saved by n2n")


class Malicious:
    """Pickle code that makes a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def malicious(content: dict, trace: Path) -> dict:
    return content | {"parameters": Malicious(trace)}


OTHER_FILES = {
    "state dict": lambda model: nn.Conv2d(3, 3, 1).state_dict(),
    "tensor": lambda model: torch.zeros(3),
    "pairs": lambda model: (A, B),
    "text": lambda model: "n2n model 1",
    "None": lambda model: None,
    "empty dict": lambda model: {},
    "checkpoint": lambda model: model | {"format": "n2n checkpoint 1"},
    "later format": lambda model: model | {"format": "n2n model 2"},
    "format is a tensor": lambda model: model | {"format": torch.zeros(3)},
    "only the format": lambda model: {"format": model["format"]},
    "no network": lambda model: {k: v for k, v in model.items() if k != "network"},
    "no arguments": lambda model: {k: v for k, v in model.items() if k != "arguments"},
    "no parameters": lambda model: {k: v for k, v in model.items() if k != "parameters"},
    "network None": lambda model: model | {"network": None},
    "network a list": lambda model: model | {"network": ["report"]},
    "unknown network": lambda model: model | {"network": "unet9"},
    "unknown argument": lambda model: model | {"arguments": {"width": 3}},
    "generator": lambda model: model | {"arguments": {"generator": 3}},
    "arguments of text": lambda model: model | {"arguments": "width"},
    "custom": lambda model: model | {"network": "custom"},
}
OTHER_PARAMETERS = {
    "too few": lambda p: p[:-1],
    "too many": lambda p: [*p, p[0]],
    "none": lambda p: [],
    "None": lambda p: None,
    "dict": lambda p: dict(enumerate(p)),
    "other order": lambda p: p[::-1],
    "a shape": lambda p: [*p[:-1], p[-1][None]],
    "larger": lambda p: [torch.cat([p[0], p[0]]), *p[1:]],
    "one NaN": lambda p: [*p[:-1], p[-1].clone().index_fill(0, torch.tensor(1), math.nan)],
    "infinite": lambda p: [p[0] / 0, *p[1:]],
    "integers": lambda p: [t.long() for t in p],
    "two dtypes": lambda p: [p[0].double(), *p[1:]],
    "numbers": lambda p: [t.tolist() for t in p],
    "complex": lambda p: [t * 1j for t in p],
    "sparse": lambda p: [t.to_sparse() for t in p],
    "meta": lambda p: [t.to("meta") for t in p],
    "float8": lambda p: [t.to(torch.float8_e4m3fn) for t in p],
}
EVERY_OTHER_FILE = {f"file: {name}": build for name, build in OTHER_FILES.items()} | {
    f"parameters: {name}": (lambda m, change=change: m | {"parameters": change(m["parameters"])})
    for name, change in OTHER_PARAMETERS.items()
}


@pytest.mark.parametrize("change", EVERY_OTHER_FILE.values(), ids=EVERY_OTHER_FILE.keys())
def test_another_file_is_refused(change: Callable, tmp_path: Path):
    path = lively(1).save_model(tmp_path / "model.pth")
    content = change(torch.load(path, weights_only=True))
    torch.save(content, tmp_path / "other.pth")
    assert_file_is_refused(tmp_path / "other.pth")


@pytest.mark.parametrize("change", OTHER_PARAMETERS.values(), ids=OTHER_PARAMETERS.keys())
def test_other_parameters_for_a_network_of_ones_own(change: Callable, tmp_path: Path):
    """Here the weights are replaced in place, so a failure half way would show."""
    path = Model(keeps_size(1)["nested Sequential"]()).save_model(tmp_path / "model.pth")
    content = torch.load(path, weights_only=True)
    torch.save(content | {"parameters": change(content["parameters"])}, path)
    assert_file_is_refused(path, model=Model(keeps_size(2)["nested Sequential"]()))


def test_a_network_of_ones_own_in_another_one(tmp_path: Path):
    path = Model(keeps_size(1)["Upsampling"]()).save_model(tmp_path / "model.pth")
    assert_file_is_refused(path, "one of your own")  # not into the report's
    assert_file_is_refused(path, model=Model(keeps_size(1)["nested Sequential"]()))
    assert_file_is_refused(path, model=Model(ReLU()))


@pytest.mark.parametrize("suffix", [".pth", ".png", ".txt"])
def test_a_file_of_another_kind(suffix: str, tmp_path: Path):
    path = tmp_path / f"file{suffix}"
    path.write_bytes({".png": b"\x89PNG\r\n\x1a\n", ".txt": b"weights: 3\n"}.get(suffix, b"\x80"))
    assert_file_is_refused(path, "a model saved by n2n")


def test_a_folder_and_a_missing_file(tmp_path: Path):
    assert_file_is_refused(tmp_path, "a model saved by n2n", "a folder")
    model = Model()
    before = weights(model)
    assert_refuses(
        lambda: model.load_pretrained_model(tmp_path / "none.pth"),
        FileNotFoundError,
        "a model saved by n2n",
        "no such file",
    )
    assert_same(before, weights(model))


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_code_in_a_model_file_is_not_run(tmp_path: Path, writer: str):
    trace = tmp_path / "code-was-run"
    path = lively(1).save_model(tmp_path / "model.pth")
    bad = malicious(torch.load(path, weights_only=True), trace)
    torch.save(bad, path) if writer == "torch" else path.write_bytes(pickle.dumps(bad))
    assert_file_is_refused(path, "a model saved by n2n")
    assert not trace.exists()
    torch.load(path, weights_only=False) if writer == "torch" else pickle.loads(path.read_bytes())
    assert trace.exists()  # the file does hold code that would have run


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


def test_the_level_is_saved_and_loaded(tmp_path: Path):
    model, loaded = Model(seed=1), Model()
    model.sigma = 15.0
    model.save_model(tmp_path / "model.pth")
    loaded.load_pretrained_model(tmp_path / "model.pth")
    assert loaded.sigma == 15.0
    content = torch.load(tmp_path / "model.pth", weights_only=True)
    del content["sigma"]  # as the first release wrote it
    torch.save(content, tmp_path / "old.pth")
    loaded.load_pretrained_model(tmp_path / "old.pth")
    assert loaded.sigma is None
    for bad in (0.0, -3.0, math.nan, "25", [25.0]):
        torch.save(content | {"sigma": bad}, tmp_path / "bad.pth")
        before = weights(loaded)
        assert_refuses(
            lambda: loaded.load_pretrained_model(tmp_path / "bad.pth"),
            ValueError,
            "got a damaged one",
            "sigma",
        )
        assert_same(before, weights(loaded))


# ---------------------------------------------------------------------- the shipped models


@pytest.mark.parametrize("name, gain", [("bestmodel", 3.0), ("report", 2.0), ("unet-pixels", 4.0)])
def test_the_shipped_models_denoise_thumbnails_they_were_not_trained_on(name: str, gain: float):
    model = Model()
    model.load_pretrained_model(name)
    assert model.sigma is None
    drawn = sample_pairs(200, split="validation", generator=generator(11))
    denoised = model.predict(drawn.noisy1)
    nothing = pixel_psnr(drawn.noisy1.float(), drawn.clean)
    assert pixel_psnr(denoised.float(), drawn.clean) > nothing + gain


def test_the_default_is_the_best_model():
    default, named = Model(), Model()
    default.load_pretrained_model()
    named.load_pretrained_model("bestmodel")
    assert_same(weights(default), weights(named))


@pytest.mark.parametrize("sigma, gain", [(10, 4.0), (25, 7.0), (50, 9.0)])
def test_the_shipped_unet_denoises_gaussian_noise_of_any_level(sigma: float, gain: float):
    model = Model()
    model.load_pretrained_model("unet")
    assert model.sigma == 25
    clean = photograph("coffee")[None, :, 100:260, 200:360].float()
    noisy = 255 * Gaussian(sigma)(clean / 255, generator(5))
    denoised = model.predict(noisy, sigma=sigma)
    assert pixel_psnr(denoised, clean) > pixel_psnr(noisy.clamp(0, 255), clean) + gain

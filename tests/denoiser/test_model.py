"""What a Model is, and how well the shipped ones do."""

from __future__ import annotations

import copy
import zlib
from dataclasses import replace

import pytest
import torch
from reference import assert_same, generator, torch_report_network
from small_models import A, B, assert_refuses, images, lively, pixel_psnr, weights
from torch import Tensor, nn

from n2n_lib.denoiser.model import Model
from n2n_lib.denoiser.networks import NETWORKS, report_network
from n2n_lib.denoiser.noise import Gaussian
from n2n_lib.denoiser.photographs import photograph
from n2n_lib.denoiser.sampling import Task
from n2n_lib.denoiser.source import Source
from n2n_lib.framework.activations import ReLU


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


def test_a_copy_of_a_model_is_its_own():
    model = lively()
    twin, image = copy.deepcopy(model), images(3, 8, 8)
    expected = model.predict(image)
    twin.train(A, B, 1, progress=False)
    assert torch.equal(model.predict(image), expected)


# ---------------------------------------------------------------------- loading


def test_a_model_is_loaded_by_building_one_network(monkeypatch):
    built, spec = [], NETWORKS["unet"]

    def build(**arguments):
        built.append(spec.build(**arguments))
        return built[-1]

    monkeypatch.setitem(NETWORKS, "unet", replace(spec, build=build))
    loaded = Model.load("unet")
    assert len(built) == 1 and built[0] is loaded.network
    other = Model("strided")
    other.load_pretrained_model("unet")
    assert len(built) == 2
    assert_same(weights(loaded), weights(other))
    image = images(3, 20, 30)
    assert torch.equal(loaded.predict(image), other.predict(image))
    for model in (loaded, other):
        assert repr(model) == "Model('unet', 1732675 parameters)" and model.sigma == 25
        assert all(not grad.any() for _, grad in model.network.param())


def test_the_default_is_the_best_model():
    model = Model()
    model.load_pretrained_model()
    assert_same(weights(Model.load()), weights(model))
    assert_same(weights(Model.load("bestmodel")), weights(model))


def test_a_network_of_ones_own_has_to_be_there_before(tmp_path):
    path = Model(ReLU()).save_model(tmp_path / "own.pth")
    assert_refuses(lambda: Model.load(path), ValueError, "NETWORKS", "one of your own")


# ---------------------------------------------------------------------- the shipped models


@pytest.fixture(scope="module")
def thumbnails() -> tuple[Tensor, Tensor]:
    """Those of the tables in docs/results.md."""
    return Source.open_validation().validation_images(Task())


@pytest.mark.parametrize(
    "name, published", [("report", 23.69), ("bestmodel", 25.85), ("unet-pixels", 26.04)]
)
def test_shipped_models_denoise_thumbnails_as_published(name: str, published: float, thumbnails):
    model, (noisy, clean) = Model.load(name), thumbnails
    assert model.sigma is None
    assert pixel_psnr(model.predict(noisy).float(), clean) > published - 0.1


@pytest.mark.parametrize("name, published", [("coffee", 31.30), ("china", 28.46)])
def test_the_shipped_unet_denoises_photographs_as_published(name: str, published: float):
    """A single pass at 25 grey levels, with the noise that ``n2n evaluate`` adds."""
    clean = photograph(name)[None]
    noisy = 255 * Gaussian(25)(clean / 255, generator(zlib.crc32(name.encode())))
    assert pixel_psnr(Model.load("unet").predict(noisy, sigma=25.0), clean) > published - 0.1


@pytest.mark.parametrize(
    "sigma, ensemble, reached", [(10, False, 36.31), (50, False, 29.95), (25, True, 33.47)]
)
def test_the_shipped_unet_denoises_gaussian_noise_of_any_level(sigma, ensemble, reached: float):
    clean = photograph("coffee")[None, :, 100:260, 200:360].float()
    noisy = 255 * Gaussian(sigma)(clean / 255, generator(5))
    denoised = Model.load("unet").predict(noisy, sigma=sigma, ensemble=ensemble)
    assert pixel_psnr(denoised, clean) > reached - 0.1

"""What is trained goes on gently where nobody says how, and images 0-1 are noticed."""

from __future__ import annotations

import warnings

import pytest
import torch

from n2n_lib import sample_pairs
from n2n_lib.denoiser.metrics import psnr
from n2n_lib.denoiser.model import Model
from n2n_lib.denoiser.rates import RATES, default_rate
from n2n_lib.framework.optim import OPTIMISERS


def pairs_of(count: int, **more):
    return sample_pairs(count, generator=torch.Generator().manual_seed(1), **more)


def quality(model: Model, pairs) -> float:
    return psnr(model.predict(pairs.noisy1).float(), pairs.clean.float(), peak=255)


def test_every_optimiser_has_its_rate():
    assert RATES.keys() == OPTIMISERS.keys()
    assert default_rate("sgd") == default_rate("sgd", "strided") == 4
    for name in OPTIMISERS:
        assert 0 < default_rate(name, "unet", trained=True) < default_rate(name)
    with pytest.raises(ValueError, match="nonsense"):
        default_rate("nonsense")


@pytest.mark.parametrize("name", ["bestmodel", "report"])
def test_the_course_s_own_sequence_keeps_what_was_learnt(name: str):
    fresh, other = pairs_of(320), pairs_of(64, split="validation")
    model = Model()
    model.load_pretrained_model(name)
    before = quality(model, other)
    model.train(fresh.noisy1, fresh.noisy2, num_epochs=1, progress=False)
    assert quality(model, other) > before - 0.1


def test_a_unet_trains_with_defaults():
    pairs = pairs_of(128)
    model = Model("unet", width=8, depth=1)
    history = model.train(pairs.noisy1, pairs.noisy2, num_epochs=2, progress=False)
    assert all(loss < 2 * history.losses[0] for loss in history.losses)  # no nan either


def test_images_in_0_to_1_cause_a_warning():
    unit = torch.linspace(0, 0.5, 4 * 3 * 8 * 8).reshape(4, 3, 8, 8)
    with pytest.warns(UserWarning, match="expected test_input in 0-255, got values up to 0.5"):
        Model().predict(unit)
    with pytest.warns(UserWarning, match="expected train_input in 0-255"):
        Model().train(unit, unit.flip(0), num_epochs=1, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Model().predict(unit * 255)
        Model().predict(torch.zeros(3, 8, 8))
        Model().predict(torch.ones(3, 8, 8, dtype=torch.uint8))

"""A whole run, without the command line."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from reference import assert_same, generator
from small_models import are_finite, assert_refuses, pixel_psnr, rising, weights

from n2n_lib.denoiser import experiment
from n2n_lib.denoiser import source as sources
from n2n_lib.denoiser.model import DivergedError, Model
from n2n_lib.denoiser.noise import Gaussian
from n2n_lib.denoiser.recipe import Recipe
from n2n_lib.denoiser.sampling import Task, sample_pairs
from n2n_lib.denoiser.source import Source
from n2n_lib.denoiser.stream import PairStream
from n2n_lib.framework.schedules import SCHEDULES

GAUSSIAN = Task(noise="gaussian", size=16, sigma=30.0, jitter=0.2)
WRITTEN = ["checkpoint.pth", "curves.png", "denoised.png", "model.pth", "results.json"]


@pytest.fixture(scope="module")
def source() -> Source:
    return Source.open()


@pytest.fixture(autouse=True)
def few_validation_images(monkeypatch):
    monkeypatch.setattr(sources, "VALIDATION_COUNT", 2)


def run(source: Source, recipe: Recipe, out, **options) -> tuple[Model, experiment.Outcome, list]:
    model, told = Model(seed=4), []
    options = {"progress": False, "say": told.append} | options
    return model, experiment.run(model, source, GAUSSIAN, recipe, out, **options), told


def test_pairs_are_drawn_trained_on_and_measured(source: Source, tmp_path):
    recipe = Recipe(num_pairs=10, num_epochs=2, batch_size=4, lr=0.5, seed=6)
    model, done, told = run(source, recipe, tmp_path / "out", notes={"start": "here"})
    drawn = sample_pairs(10, **vars(GAUSSIAN), generator=generator(6))
    alone = Model(seed=4)
    alone.train(drawn.noisy1, drawn.noisy2, 2, batch_size=4, lr=0.5, seed=6, progress=False)
    assert_same(weights(alone), weights(model))
    assert_same(weights(alone), weights(Model.load(tmp_path / "out" / "model.pth")))
    assert model.sigma == 30.0 and len(model.history.val_psnr) == 2
    assert told[0] == "10 noisy pairs from 6 photographs."
    assert told[1].startswith("threads: 1 of ")
    assert "Comparing on 8 validation images" in told[2] and done.images == 8
    assert (done.results["threads"], done.results["threads_later"]) == (1, [])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == WRITTEN
    assert done.results == json.loads((tmp_path / "out" / "results.json").read_text()) | {
        "scale": (1.0, 8.0)
    }
    kept = {"pairs": 10, "epochs": 2, "start": "here", "batch": 4, "sigma": 30.0, "jitter": 0.2}
    assert kept.items() <= done.results.items()
    noisy, clean = source.validation.validation_images(replace(GAUSSIAN, jitter=0.0))
    nothing = pixel_psnr(noisy.clamp(0, 255), clean)  # of images without jitter
    assert done.scores[0].psnr == pytest.approx(nothing, abs=1e-3)
    names = [score.name for score in done.scores]
    assert (names[0], names[-1]) == ("do nothing", "our network")


def test_a_level_that_it_started_with_is_forgotten_where_noise_has_none(source: Source, tmp_path):
    """Else another level would be made of it, and the picture shown on a scale of that."""
    model, task = Model(seed=4), Task(noise="poisson", size=16)
    model.sigma = 25.0
    options = {"progress": False, "say": [].append}
    experiment.run(model, source, task, Recipe(num_pairs=4, num_epochs=1), tmp_path, **options)
    assert model.sigma is None and Model.load(tmp_path / "model.pth").sigma is None


def test_a_noise_may_be_a_model(source: Source, tmp_path):
    task = replace(GAUSSIAN, noise=Gaussian(30.0))
    recipe = Recipe(num_pairs=4, num_epochs=1, lr=0.5)
    options = {"progress": False, "say": lambda line: None}
    experiment.run(model := Model(seed=4), source, task, recipe, tmp_path, **options)
    by_name, *_ = run(source, recipe, tmp_path / "by name")
    assert_same(weights(model), weights(by_name))
    told = json.loads((tmp_path / "results.json").read_text())
    assert told["noise"] == "Gaussian(sigma=30)" and told["sigma"] is None


def test_fresh_pairs_and_going_on(source: Source, tmp_path):
    recipe = Recipe(
        num_steps=4, epoch_steps=2, batch_size=3, lr=1e-3, optimiser="adam", seed=6,
        clean_targets=True,
    )  # fmt: skip
    model, done, told = run(source, recipe, tmp_path)
    assert told[0] == "Fresh pairs for 4 steps." and done.results["pairs"] == 12
    stream = PairStream(3, **vars(GAUSSIAN), clean_targets=True, seed=6)
    options = {"split": "validation", "noise": "gaussian", "sigma": 30.0, "size": 16}
    held_out = sample_pairs(8, **options, generator=generator(sources.HELD_OUT_SEED))[:2]
    alone = Model(seed=4)
    alone.train_stream(
        stream, 4, epoch_steps=2, lr=1e-3, optimiser="adam", schedule="cosine", ema=0.0,
        held_out=held_out, progress=False,
    )  # fmt: skip
    assert_same(weights(alone), weights(model))
    again, _, told = run(source, recipe, tmp_path, resume=True)
    assert_same(weights(model), weights(again)) and "Starting anew" not in told[0]
    _, _, told = run(source, recipe, tmp_path)
    assert told[0].startswith("Starting anew; ")


def test_what_a_diverging_run_had_reached_is_kept(source: Source, tmp_path, monkeypatch):
    monkeypatch.setitem(SCHEDULES, "late", lambda lr, step, total: lr if step < 60 else 3e4 * lr)
    recipe = Recipe(60, 2, batch_size=1, lr=1e-4, optimiser="adam", schedule="late")
    model = rising()
    with pytest.raises(DivergedError, match="in epoch 2: .*weights before it are in .*model"):
        experiment.run(model, source, GAUSSIAN, recipe, tmp_path, progress=False, say=[].append)
    assert_same(weights(model), weights(Model.load(tmp_path / "model.pth")))
    assert model.history.epochs == 1 and are_finite(weights(model))


def test_fresh_pairs_take_photographs(tmp_path):
    pairs = torch.zeros(2, 3, 8, 8), torch.ones(2, 3, 8, 8)
    given = Source({}, pairs, "train_data.pkl", validation=Source.open_validation())
    assert_refuses(
        lambda: run(given, Recipe(num_steps=1), tmp_path), ValueError, "photographs", "train_data"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"num_epochs": 0}, ValueError, "num_epochs of at least 1, got 0"),
        ({"num_pairs": 1.5}, TypeError, "num_pairs to be an integer, got 1.5"),
        ({"num_steps": 0}, ValueError, "num_steps of at least 1, got 0"),
        ({"clean_targets": True}, ValueError, "num_steps with clean_targets, got none"),
        ({"optimiser": "lion"}, ValueError, "optimiser .*got 'lion'"),
        ({"schedule": "noam"}, ValueError, "schedule .*got 'noam'"),
    ],
)
def test_a_recipe_validates_itself(changes: dict, error: type, told: str):
    with pytest.raises(error, match=f"^expected .*{told}"):
        Recipe(**changes)


def test_recipes_and_tasks_do_not_change():
    for frozen in (Recipe(), Task()):
        with pytest.raises(AttributeError):
            frozen.seed = 1

"""A training that was stopped goes on to the very weights of one that was not."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from reference import assert_same, generator
from small_models import (
    DATA,
    HELD_OUT,
    STEPS,
    Stopped,
    assert_refuses,
    few_at_once,
    filter_model,
    run_stream,
    stream,
    truncated,
    weights,
)
from torch import Tensor, nn

from n2n_lib.denoiser.model import Model
from n2n_lib.framework.activations import ReLU
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.optim import SGD

EPOCHS = 4


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


def test_a_learning_rate_of_numpy_is_as_good(whole: Model, tmp_path: Path):
    path = tmp_path / "checkpoint.pth"
    run(path, stop=2, lr=np.float64(1))
    model, epochs = run(path, model_seed=8, lr=np.float32(1))
    assert epochs == EPOCHS - 2
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
        "threads are None": changed("history", lambda h: h | {"threads": None}),
        "threads without a step": changed("history", lambda h: h | {"threads": [[1]]}),
        "no threads": changed("history", lambda h: h | {"threads": [[0, 0]]}),
        "threads of a later step": changed("history", lambda h: h | {"threads": [[10**6, 1]]}),
        "half a thread": changed("history", lambda h: h | {"threads": [[0, 0.5]]}),
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

"""Saved, loaded and predicted is predicted; a file that is no model changes nothing."""

from __future__ import annotations

import math
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from reference import assert_same, generator
from small_models import A, B, assert_refuses, images, lively, truncated, weights
from torch import nn

from n2n_lib.denoiser import networks, prediction
from n2n_lib.denoiser.model import Model
from n2n_lib.denoiser.networks import NetworkSpec, report_network
from n2n_lib.framework.activations import ELU, LeakyReLU, ReLU, Sigmoid
from n2n_lib.framework.containers import Sequential
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.module import Module
from n2n_lib.framework.upsampling import NNUpsampling, Upsampling


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
    monkeypatch.setitem(networks.NETWORKS, "toy", NetworkSpec(toy, multiple=2, halo=4))
    saved = Model("toy", width=5, seed=3)
    saved.save_model(tmp_path / "model.pth")
    content = torch.load(tmp_path / "model.pth", weights_only=True)
    assert (content["network"], content["arguments"]) == ("toy", {"width": 5})
    for loaded in (Model(), Model("toy"), Model(ReLU())):
        loaded.load_pretrained_model(tmp_path / "model.pth")
        assert (loaded.network_name, loaded.arguments) == ("toy", {"width": 5})
        monkeypatch.setattr(prediction, "TILE", 16)  # multiple and halo are the toy's too
        image = images(3, 37, 21)
        assert torch.equal(loaded.predict(image), saved.predict(image))
        monkeypatch.undo()
        monkeypatch.setitem(networks.NETWORKS, "toy", NetworkSpec(toy, multiple=2, halo=4))
    monkeypatch.delitem(networks.NETWORKS, "toy")
    assert_file_is_refused(tmp_path / "model.pth", "got", "'toy'")


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_arguments_may_be_numbers_of_numpy(kind: type, tmp_path: Path):
    saved = Model("unet", width=2, depth=1, slope=kind(0.25), seed=1)
    loaded = Model.load(saved.save_model(tmp_path / "model.pth"))
    assert loaded.arguments == {"width": 2, "depth": 1, "slope": 0.25}
    assert torch.equal(loaded.predict(A), saved.predict(A))


def test_a_loaded_model_trains_on(tmp_path: Path):
    first = Model(seed=1)
    first.save_model(tmp_path / "model.pth")
    second = Model(seed=2)
    second.load_pretrained_model(tmp_path / "model.pth")
    for model in (first, second):  # by default loaded weights train at a gentler rate
        model.train(A, B, 2, lr=4.0, progress=False)
    assert_same(weights(first), weights(second))


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

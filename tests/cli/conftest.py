"""A trained model, two photographs, and a shelf of files that are no good."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Run, run
from given import (
    COUNT,
    noisy_pairs,
    photo,
)
from PIL import Image

from n2n_lib.denoiser import source


@pytest.fixture(autouse=True)
def few_validation_images(monkeypatch):
    monkeypatch.setattr(source, "VALIDATION_COUNT", COUNT)


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> tuple[Path, Run]:
    """One run of the default task, with --json."""
    out = tmp_path_factory.mktemp("trained") / "new" / "out"
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(source, "VALIDATION_COUNT", COUNT)
        done = run("train", "--pairs", 64, "--epochs", 1, "--seed", 5, "--out", out, "--json", "-q")
    assert done.code == 0, done.err
    return out, done


@pytest.fixture
def model_file(trained) -> Path:
    return trained[0] / "model.pth"


@pytest.fixture
def two_photographs(tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    photo(folder / "a.png", 50, 40)
    photo(folder / "b.png", 24, 36)
    return folder


class Malicious:
    """Pickle code that makes a folder in the current one."""

    def __reduce__(self):
        return os.mkdir, ("code-was-run",)


@pytest.fixture(scope="session")
def shelf(trained, tmp_path_factory) -> Path:
    """A folder with everything that the bad commands below name."""
    folder = tmp_path_factory.mktemp("shelf")
    with torch.no_grad():
        first, second = noisy_pairs(6)
        files: dict[str, object] = {
            "text.pkl": "hello",
            "one.pkl": first,
            "shapes.pkl": (first, second[:, :, :8]),
            "float.pkl": (first.float(), second.float()),
            "none.pkl": (first[:0], second[:0]),
            "equal.pkl": (first, first.clone()),
            "malicious.pkl": (Malicious(), first),
            "small.pkl": (first, second),
            "foreign.pth": torch.nn.Conv2d(3, 3, 1).state_dict(),
            "malicious.pth": {"format": "n2n model 1", "parameters": Malicious()},
        }
        for name, content in files.items():
            torch.save(content, folder / name)
        (folder / "plain.pkl").write_bytes(pickle.dumps(Malicious()))
        whole = (folder / "small.pkl").read_bytes()
        (folder / "short.pkl").write_bytes(whole[: len(whole) // 2])
        whole = (trained[0] / "model.pth").read_bytes()
        (folder / "model.pth").write_bytes(whole)
        (folder / "short.pth").write_bytes(whole[: len(whole) // 2])
        content = torch.load(trained[0] / "model.pth", weights_only=True)
        torch.save(content | {"network": "unet9"}, folder / "unknown.pth")
        for name in ("empty", "no images", "corrupt", "tiny", "text"):
            (folder / name).mkdir()
        (folder / "no images" / "notes.txt").write_text("nothing to see")
        for name in ("a.png", "c.png"):
            photo(folder / "corrupt" / name, 150, 140)
        (folder / "corrupt" / "b.png").write_bytes(
            (folder / "corrupt" / "a.png").read_bytes()[:2000]
        )
        photo(folder / "tiny" / "a.png", 40, 30)
        photo(folder / "good.png", 30, 20)
        photo(folder / "good.jpg", 30, 20)
        photo(folder / "dot.png", 4, 3)
        Image.fromarray(np.full((5, 5), np.nan, dtype=np.float32)).save(folder / "nan.tif")
        Image.new("CMYK", (5, 5)).save(folder / "cmyk.tif")
        photo(folder / "dot-denoised.png", 4, 3)
        (folder / "file").write_text("in the way")
        (folder / "damaged.ipynb").write_text("{}")
    return folder

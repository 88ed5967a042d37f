"""A user's mistake is one line that says what was expected, and nothing is written."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from commands import assert_one_line, run, tree

# Per command line, what its one line names, in this order. First what no option takes.
MISUSED = {
    "train --epochs 0": ("--epochs", "0"),
    "train --epochs -3": ("--epochs", "-3"),
    "train --epochs two": ("--epochs", "two"),
    "train --threads x": ("--threads", "integer", "got 'x'"),
    "bench --busy x": ("--busy", "integer", "got 'x'"),
    "train --pairs 0": ("--pairs", "0"),
    "train --batch 0": ("--batch", "0"),
    "train --seed -1": ("--seed", "-1"),
    "train --seed 99999999999999999999": ("seed", "99999999999999999999"),
    "train --lr much": ("--lr", "much"),
    "train --noise salt": ("--noise", "salt"),
    "train --colour": ("--colour",),
    "train extra": ("extra",),
    "paint": ("paint",),
    "denoise": ("images",),
    "denoise good.png --block 0": ("--block", "0"),
    "notebooks --timeout 0 damaged.ipynb": ("--timeout", "0"),
}


BAD = {
    "train --lr 0": ("--lr", "got 0"),
    "train --lr -1": ("--lr", "got -1"),
    "train --lr nan": ("--lr", "got nan"),
    "train --lr inf": ("--lr", "got inf"),
    "train --sigma 0": ("sigma", "got 0"),
    "train --noise gaussian --sigma -5": ("sigma", "got -5"),
    "train --sigma nan": ("sigma", "got nan"),
    "evaluate --model model.pth --sigma 0": ("sigma", "got 0"),
    "denoise good.png --model model.pth --noise gaussian --sigma 0": ("sigma", "got 0"),
    "train --sigma 20": ("--noise gaussian", "--sigma", "got --noise pixels"),
    "train --sigma 5-50 --noise poisson": ("--noise gaussian", "--sigma", "got --noise poisson"),
    "evaluate --model model.pth --sigma 25": ("--noise gaussian", "--sigma", "pixels"),
    "evaluate --against tv --noise bernoulli --sigma 25": ("--sigma", "got --noise bernoulli"),
    "denoise good.png --model model.pth --noise poisson --sigma 25": ("--sigma", "poisson"),
    "denoise good.png --model model.pth --noise pixels --sigma 25": ("--sigma", "pixels"),
    "train --network unet9": ("report", "got 'unet9'"),
    "train --network unet --network-options width=0": ("width", "got"),
    "train --network unet --network-options width=4.5": ("width", "4.5"),
    "train --network unet --network-options width": ("width", "got ''"),
    "train --network unet --network-options colour=3": ("convs", "width", "got 'colour=3'"),
    "train --network report --network-options width=3": ("none", "got 'width=3'"),
    "train --optimiser lion": ("optimiser", "adam", "got 'lion'"),
    "train --schedule noam": ("schedule", "cosine", "got 'noam'"),
    "train --ema 1": ("--ema", "got 1"),
    "train --ema -0.5": ("--ema", "got -0.5"),
    "train --ema nan": ("--ema", "got nan"),
    "train --steps 0": ("--steps", "got 0"),
    "train --patch 0": ("--patch", "got 0"),
    "train --patch 200": ("800 x 800",),
    "train --threads 0": ("--threads", "got 0"),
    "train --threads -1": ("--threads", "got -1"),
    "train --threads 99999": ("--threads of at most", "each processor", "got 99999"),
    "denoise good.png --threads 0": ("--threads", "got 0"),
    "evaluate --against tv --threads 99999": ("--threads of at most", "got 99999"),
    "bench --threads 99999": ("--threads of at most", "got 99999"),
    "train --device abacus": ("--device", "cuda or mps, got abacus"),
    "train --dtype float8": ("--dtype", "bfloat16", "got float8"),
    "train --clean-targets": ("--steps", "--clean-targets"),
    "train --noise gaussian --sigma 50-5": ("ascending order", "(50.0, 5.0)"),
    "train --noise gaussian --sigma 5-10-20": ("--sigma", "range", "got '5-10-20'"),
    "train --noise gaussian --sigma strong": ("--sigma", "number", "got 'strong'"),
    "train --scale 8-1": ("scale", "(8.0, 1.0)"),
    "train --scale 4": ("--scale", "range", "got '4'"),
    "train --scale 1-wide": ("--scale", "range", "got '1-wide'"),
    "train --steps 5 --data small.pkl": ("folder of photographs", "--steps", "small.pkl"),
    "train --jitter 0.3": ("--jitter 0", "--noise pixels", "got 0.3"),
    "train --noise gaussian --jitter 2": ("--jitter", "0 to 1", "got 2"),
    "train --noise gaussian --jitter nan": ("--jitter", "0 to 1", "got nan"),
    "denoise good.png --model model.pth --adapt -1": ("--adapt", "at least 0", "got -1"),
    "denoise good.png --model model.pth --adapt 9 --noise pixels": ("--adapt", "got pixels"),
    "evaluate --model model.pth --adapt 9": ("--noise gaussian", "--adapt", "got pixels"),
    "evaluate --model model.pth --adapt 9 --noise gaussian": ("--against", "--adapt"),
    "evaluate --model model.pth --against bm4d": ("--against", "bm3d", "got 'bm4d'"),
    "evaluate --model model.pth --against tv,": ("--against", "got ''"),
    "evaluate --model model.pth --against ,": ("--against", "got ''"),
    "evaluate --model model.pth --against tv --data missing": ("folder", "missing"),
    "evaluate --model model.pth --against tv --data small.pkl": ("--against", "small.pkl"),
    "evaluate --model model.pth --figure a.png": ("--against", "--figure"),
    "evaluate --model model.pth --against tv --figure missing/a.png": ("folder", "missing"),
    "evaluate --model model.pth --against tv --seed -1": ("--seed", "got -1"),
    "evaluate --model missing.pth --against tv": ("missing.pth", "no such file"),
    "bench --cases nothing": ("--cases", "got 'nothing'"),
    "bench --busy -1": ("--busy", "got -1"),
    "bench --json missing/a.json": ("folder that can be written to", "missing"),
    "bench --plot missing/a.png": ("folder that can be written to", "missing"),
    "train --out file": ("folder", "file"),
    "train --out file/out": ("folder", "out"),
    "denoise good.png --model model.pth --out file": ("folder", "file"),
    "denoise good.png --model model.pth --out file/out": ("folder", "out"),
    "train --data missing": ("folder", "missing"),
    "train --data missing.pkl": ("no such file",),
    "train --data file": ("folder", "file"),
    "train --data empty": ("images", "empty"),
    "train --data no_images": ("images", "no images"),
    "train --data corrupt": ("image", "b.png"),
    "train --data tiny": ("128 x 128", "30 x 40"),
    "train --data text.pkl": ("text.pkl", "uint8 tensors", "got str"),
    "train --data one.pkl": ("one.pkl", "uint8 tensors", "got uint8"),
    "train --data shapes.pkl": ("shapes.pkl", "equal shape", "(6, 3, 8, 16)"),
    "train --data float.pkl": ("float.pkl", "uint8", "float32"),
    "train --data none.pkl": ("none.pkl", "(0, 3, 16, 16)"),
    "train --data short.pkl": ("short.pkl", "uint8 tensors"),
    "train --data malicious.pkl": ("malicious.pkl", "does not hold tensors"),
    "train --data plain.pkl": ("plain.pkl", "does not hold tensors"),
    "train --data equal.pkl": ("noise of its own",),
    "evaluate --model model.pth --data missing": ("folder", "missing"),
    "evaluate --model model.pth --data empty": ("images", "empty"),
    "evaluate --model model.pth --data corrupt": ("image", "b.png"),
    "evaluate --model model.pth --data short.pkl": ("short.pkl", "uint8 tensors"),
    "evaluate --model model.pth --data malicious.pkl": ("malicious.pkl",),
    "evaluate --model missing.pth": ("missing.pth", "a model saved by n2n", "no such file"),
    "evaluate --model foreign.pth": ("foreign.pth", "a model saved by n2n"),
    "evaluate --model short.pth": ("short.pth", "a model saved by n2n"),
    "evaluate --model malicious.pth": ("malicious.pth", "a model saved by n2n"),
    "evaluate --model unknown.pth": ("unknown.pth", "a model saved by n2n", "unet9"),
    "denoise good.png --model missing.pth": ("missing.pth",),
    "denoise good.png --model foreign.pth": ("foreign.pth", "a model saved by n2n"),
    "denoise good.png --model good.png": ("good.png", "a model saved by n2n"),
    "denoise missing.png --model model.pth": ("image", "missing.png"),
    "denoise good.png corrupt/b.png --model model.pth": ("image", "b.png"),
    "denoise good.png missing.png --model model.pth": ("image", "missing.png"),
    "denoise good.png nan.tif --model model.pth": ("finite values", "NaN", "nan.tif"),
    "denoise good.png cmyk.tif --model model.pth": ("CMYK with a colour profile", "cmyk.tif"),
    "denoise dot.png dot-denoised.png --model model.pth --out .": ("--out", "dot-denoised.png"),
    "denoise file --model model.pth": ("image", "file", "PNG, JPEG", "TIFF"),
    "denoise corrupt --model model.pth": ("image", "b.png", "PNG, JPEG"),
    "denoise good.png missing --model model.pth": ("image", "missing"),
    "denoise empty --model model.pth": ("images", ".png, .jpg", "empty"),
    "denoise good.png good.jpg --model model.pth": ("different names", "good.png", "good.jpg"),
    "denoise good.png dot.png --model model.pth --noise pixels": ("dot.png", "6", "3", "4"),
    "notebooks missing.ipynb": ("notebook", "missing.ipynb"),
    "notebooks damaged.ipynb": ("damaged.ipynb", "notebook"),
}


@pytest.mark.parametrize(("command", "fragments"), (MISUSED | BAD).items(), ids=MISUSED | BAD)
def test_a_users_mistake_is_one_line_and_nothing_is_written(
    command: str, fragments: tuple, shelf: Path, monkeypatch
):
    monkeypatch.chdir(shelf)
    before = tree(shelf)
    words = [word.replace("no_images", "no images") for word in command.split()]
    if words[0] == "train":
        words += ["--quiet"]
        words += [] if "--pairs" in words else ["--pairs", "8"]
        words += [] if "--epochs" in words else ["--epochs", "1"]
    try:
        done, after = run(*words), tree(shelf)
    finally:  # the folder serves all of these commands
        remove_new(shelf, before)
    assert_one_line(done, *fragments)
    assert "expected" in done.err or command in MISUSED
    assert after.keys() - before.keys() == set(), "something was written before the error"
    assert after == before


def remove_new(folder: Path, before: dict) -> None:
    for name in sorted(tree(folder).keys() - before.keys(), reverse=True):
        path = folder / name
        path.unlink() if path.is_file() else path.rmdir()


def test_the_malicious_files_have_teeth(shelf: Path, tmp_path, monkeypatch):
    """The commands above left no folder, though loading these files carelessly makes one."""
    assert not (shelf / "code-was-run").exists()
    for name, load in (
        ("malicious.pkl", lambda path: torch.load(path, weights_only=False)),
        ("plain.pkl", lambda path: pickle.loads(path.read_bytes())),
        ("malicious.pth", lambda path: torch.load(path, weights_only=False)),
    ):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        load(shelf / name)
        assert (tmp_path / name / "code-was-run").is_dir()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_refused(tmp_path):
    done = run("train", "--device", "cuda", "--out", tmp_path / "out")
    assert_one_line(done, "a device that this machine has", "--device cuda")
    assert not (tmp_path / "out").exists()


def test_a_network_larger_than_the_memory(tmp_path):
    options = ("--network", "strided", "--network-options", "width=1000000000000")
    done = run("train", *options, "--out", tmp_path / "out")
    assert_one_line(done, "--network-options")
    assert not (tmp_path / "out").exists()

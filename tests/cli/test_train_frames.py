"""``n2n train --frames``: your own noisy frames in, a model and cleaned frames out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from commands import assert_one_line, run, well
from given import load, parameters, pixels
from PIL import Image
from reference import assert_same
from skimage import data

from n2n_lib import photograph
from n2n_lib.denoiser.camera import Camera
from n2n_lib.denoiser.gains import MEAN, MEAN_CLEANED, ONE, ONE_CLEANED
from n2n_lib.denoiser.images import save_image

TINY = "--network report --steps 3 --batch 2 --patch 32 --quiet".split()


def shoot(count: int, side: int = 64, step: int = 0, sigma: float = 25.0) -> list[np.ndarray]:
    """Noisy frames of a photograph, float (side, side, 3), each `step` rows below the last."""
    random = np.random.default_rng(0)
    places = [60 + step * number for number in range(count)]
    clean = [data.coffee()[top : top + side, 150 : 150 + side, :3].astype(float) for top in places]
    return [image + random.normal(0, sigma, image.shape) for image in clean]


@pytest.fixture
def exposures(tmp_path) -> Path:
    """A folder of three frames, 3 rows apart."""
    folder = tmp_path / "exposures"
    folder.mkdir()
    for number, image in enumerate(shoot(3, step=3)):
        Image.fromarray(image.round().clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def test_frames_in_model_and_cleaned_frames_out(exposures: Path, tmp_path):
    out = tmp_path / "out"
    done = well("train", "--frames", exposures, "--out", out, "--json", *TINY)
    cleaned = {f"exposures-{name}.png" for name in ("frame-denoised", "mean", "mean-denoised")}
    written = {"model.pth", "checkpoint.pth", "denoised.png", "results.json"} | cleaned
    assert {path.name for path in out.iterdir()} == written
    results = json.loads(done.out)
    assert results == json.loads((out / "results.json").read_text())
    assert list(results["gains"]) == [ONE, MEAN, ONE_CLEANED, MEAN_CLEANED]
    scene = results["scenes"]["exposures"]
    assert scene["shifts"] == [[0, 0], [3, 0], [6, 0]] and scene["size"] == [58, 64]
    assert scene["frames"] == 3 and scene["still"] > 0.95
    assert (results["network"], results["start"], results["pairs"]) == ("report", None, 6)
    for name in (*results["gains"], "shifts of up to 6", "rests on noise"):
        assert name in done.err
    model = load(out / "model.pth")
    for name in cleaned:
        with Image.open(out / name) as image:
            assert image.size == (64, 58)
    assert model.sigma == pytest.approx(scene["noise"], abs=1e-3)
    first = pixels(exposures / "0.png")[:, 6:]  # the part that all three share
    again = model.predict(first.float(), sigma=model.sigma)
    assert (again - pixels(out / "exposures-frame-denoised.png")).abs().max() <= 0.51
    drawn = np.array(Image.open(out / "denoised.png").convert("RGB"))
    assert (drawn[0] == 255).all() and drawn.std() > 10  # white paper, something on it


@pytest.mark.parametrize("start", ["unet", "unet-camera"])
def test_without_a_network_it_starts_from_the_shipped_one_that_suits(
    start: str, exposures: Path, tmp_path
):
    if start == "unet-camera":  # two shots that a camera developed, in place of white noise
        shutil.rmtree(exposures)
        exposures.mkdir()
        scene, generator = photograph("coffee")[:, 60:188, 150:278] / 255, torch.Generator()
        for number in range(2):
            save_image(255 * Camera(iso=6400).expose(scene, generator), exposures / f"{number}.png")
    options = "--steps 1 --batch 1 --patch 32 --lr 1e-9 --ema 0 --quiet --json".split()
    done = well("train", "--frames", exposures, "--out", tmp_path / "out", *options)
    assert f"Starting from {start}." in done.err
    results = json.loads(done.out)
    assert (results["start"], results["network"], results["optimiser"]) == (start, "unet", "adam")
    assert results["sigma"] == load(start).sigma  # none of its own: frames are shown as they are
    pairs = zip(
        parameters(tmp_path / "out" / "model.pth"), load(start).network.param(), strict=True
    )
    assert all((one - two).abs().max() < 1e-6 for one, (two, _) in pairs)


def test_a_stack_keeps_its_sixteen_bits(tmp_path):
    stack = np.stack([image.mean(2) * 100 + 2000 for image in shoot(4)]).astype(np.uint16)
    tifffile.imwrite(tmp_path / "cells.tif", stack, photometric="minisblack")
    out = tmp_path / "out"
    well("train", "--frames", tmp_path / "cells.tif", "--out", out, *TINY)
    mean = tifffile.imread(out / "cells-mean.tif")
    assert mean.dtype == np.uint16
    assert np.abs(mean - stack.mean(0)).max() <= 1  # nothing moved
    assert tifffile.imread(out / "cells-mean-denoised.tif").shape == (64, 64)


def test_an_interrupted_run_goes_on_and_other_frames_do_not(exposures: Path, tmp_path):
    command = ("train", "--frames", exposures, *TINY)
    well(*command, "--out", tmp_path / "out")
    whole = parameters(tmp_path / "out" / "model.pth")
    well(*command, "--out", tmp_path / "out", "--resume")
    assert_same(parameters(tmp_path / "out" / "model.pth"), whole)
    (exposures / "2.png").unlink()
    done = run(*command, "--out", tmp_path / "out", "--resume")
    assert_one_line(done, "checkpoint.pth", "data")


@pytest.mark.parametrize(
    "option", ["--noise gaussian", "--sigma 5", "--data .", "--pairs 9", "--jitter 0.1"]
)
def test_options_for_photographs_are_refused(option: str, exposures: Path, tmp_path):
    done = run("train", "--frames", exposures, "--out", tmp_path / "out", *option.split())
    assert_one_line(done, f"expected no {option.split()[0]} with --frames")
    assert not (tmp_path / "out").exists()


def test_a_mistake_is_one_line_and_nothing_is_written(exposures: Path, tmp_path):
    bad = {
        "nowhere": ("expected a folder of frames", "nowhere"),
        "exposures/0.png": ("two or more frames", "0.png", "n2n denoise --adapt"),
        "twice": ("the same picture twice", "a.png", "b.png"),
        "empty": ("expected images", "empty"),
    }
    (tmp_path / "empty").mkdir()
    (tmp_path / "twice").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "twice" / name).write_bytes((exposures / "0.png").read_bytes())
    for path, words in bad.items():
        done = run("train", "--frames", tmp_path / path, "--out", tmp_path / "out", *TINY)
        assert_one_line(done, *words)
        assert not (tmp_path / "out").exists()


def test_warnings_are_said(tmp_path):
    pattern = np.random.default_rng(9).normal(0, 40, (64, 64, 3))
    stack = np.stack([image + pattern for image in shoot(3, sigma=10)]).astype(np.float32)
    tifffile.imwrite(tmp_path / "fixed.tif", stack, photometric="rgb")
    done = well("train", "--frames", tmp_path / "fixed.tif", "--out", tmp_path / "out", *TINY)
    assert "Warning: fixed: the noise of two frames agrees by" in done.out

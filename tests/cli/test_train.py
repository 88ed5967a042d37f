"""``n2n train``: what it writes, what it prints, and that it does what the library does."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from commands import assert_one_line, run, well
from given import (
    COUNT,
    KEYS,
    ROWS,
    course_folder,
    load,
    noisy_pairs,
    parameters,
    photo,
    quality,
    validation,
)
from PIL import Image
from reference import assert_same, generator

import n2n_lib
from n2n_lib.denoiser.metrics import PSNR_DEFINITIONS
from n2n_lib.denoiser.model import Model
from n2n_lib.denoiser.source import HELD_OUT_SEED
from n2n_lib.denoiser.stream import PairStream


def test_train_writes_everything(trained):
    out, _ = trained
    names = {"model.pth", "checkpoint.pth", "curves.png", "denoised.png", "results.json"}
    assert {path.name for path in out.iterdir()} == names
    for name in ("curves.png", "denoised.png"):
        pixels = np.array(Image.open(out / name).convert("RGB"))
        assert (pixels[0] == 255).all() and pixels.std() > 10  # white paper, something on it
    assert_same(parameters(out / "model.pth"), parameters(out / "checkpoint.pth"))


def test_the_json_object(trained, model_file):
    out, done = trained
    results = json.loads(done.out.strip().splitlines()[-1])
    assert results.keys() >= KEYS
    assert results == json.loads((out / "results.json").read_text())
    assert (results["pairs"], results["epochs"], results["seed"]) == (64, 1, 5)
    assert results["psnr_definition"] == PSNR_DEFINITIONS["mean"]
    assert results["seconds"] > 0
    assert list(results["baselines"]) == ROWS[1:-1]
    for name, row in results["baselines"].items():
        assert row["psnr"] > 10 and 0 < row["ssim"] < 1
        assert row["seconds"] > 0 or name == "26 numbers"  # which takes less than is told
    noisy, clean = validation()
    assert (results["psnr_noisy"], results["ssim_noisy"]) == pytest.approx(
        quality(noisy, clean), abs=1e-3
    )
    model = load(model_file)
    ours = quality(model.predict(noisy), clean)
    assert (results["psnr_denoised"], results["ssim_denoised"]) == pytest.approx(ours, abs=1e-3)


def test_with_json_stdout_holds_nothing_else(trained):
    _, done = trained
    assert len(done.out.strip().splitlines()) == 1
    for name in ROWS:
        assert name in done.err  # the table is for people


def test_the_command_does_what_the_library_does(trained, model_file):
    """Same pairs, same weights, bit for bit."""
    drawn = n2n_lib.sample_pairs(64, generator=generator(5))
    model = Model("report", seed=5)
    model.train(drawn.noisy1, drawn.noisy2, 1, seed=5, progress=False)
    assert_same([p for p, _ in model.network.param()], parameters(model_file))


def test_the_table_for_people(tmp_path):
    done = well("train", "--pairs", 16, "--epochs", 2, "--out", tmp_path / "out")
    position = 0
    for name in ROWS:  # in this order
        assert name in done.out[position:]
        position = done.out.index(name, position)
    for text in ("PSNR dB", "pooled dB", "SSIM", "seconds", "mean over images", f"{COUNT} "):
        assert text in done.out
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert f"{results['psnr_noisy']:.2f}" in done.out
    assert f"{results['psnr_denoised']:.2f}" in done.out
    assert "loss" in done.err and "dB" in done.err  # the progress bar


def test_names_with_brackets_are_printed_as_they_are(tmp_path):
    out = tmp_path / "run[/x]" / "[bold]"
    options = ("train", "--pairs", 8, "--epochs", 1, "--quiet", "--out", out)
    well(*options)
    printed = well(*options).out.replace("\n", "")
    assert "run[/x]" in printed and f"[bold]{os.sep}checkpoint.pth" in printed


def test_quiet_has_no_progress_bar(tmp_path):
    done = well("train", "--pairs", 8, "--epochs", 1, "--quiet", "--out", tmp_path)
    assert done.err == ""


def test_options_reach_the_training(tmp_path):
    options = {"--pairs": 24, "--epochs": 2, "--batch": 5, "--lr": 0.5, "--seed": 9}
    options |= {"--noise": "gaussian", "--sigma": 40}
    flat = [item for option in options.items() for item in option]
    done = well("train", *flat, "--out", tmp_path, "--json", "--quiet")
    settings = torch.load(tmp_path / "checkpoint.pth", weights_only=True)["settings"]
    assert (settings["num_epochs"], settings["batch_size"], settings["lr"], settings["seed"]) == (
        2,
        5,
        0.5,
        9,
    )
    drawn = n2n_lib.sample_pairs(24, noise="gaussian", sigma=40.0, generator=generator(9))
    model = Model("report", seed=9)
    model.train(drawn.noisy1, drawn.noisy2, 2, batch_size=5, lr=0.5, seed=9, progress=False)
    assert_same([p for p, _ in model.network.param()], parameters(tmp_path / "model.pth"))
    results = json.loads(done.out)
    assert (results["batch"], results["lr"], results["noise"]) == (5, 0.5, "gaussian")
    assert 10 < results["psnr_noisy"] < 10 * np.log10(255**2 / 40**2) + 1.5  # clipped: some better


def test_train_another_network(tmp_path):
    options = ("--pairs", 8, "--epochs", 1, "--network", "report-3x3", "--out", tmp_path)
    assert json.loads(well("train", *options, "--json", "-q").out)["network"] == "report-3x3"
    content = torch.load(tmp_path / "model.pth", weights_only=True)
    assert content["network"] == "report-3x3"
    well("evaluate", "--model", tmp_path / "model.pth")
    assert_one_line(run("train", *options, "--resume", "--network", "report"), "network", "report")


@pytest.mark.parametrize("noise", ["poisson", "bernoulli"])
def test_train_with_other_noise(noise: str, tmp_path):
    done = well("train", "--pairs", 8, "--epochs", 1, "--noise", noise, "--out", tmp_path, "--json")
    assert json.loads(done.out)["noise"] == noise


def test_same_seed_same_model_other_seed_other_model(trained, tmp_path):
    for seed in (5, 6):
        out = tmp_path / str(seed)
        well("train", "--pairs", 64, "--epochs", 1, "--seed", seed, "--out", out, "--quiet")
    first = parameters(trained[0] / "model.pth")
    assert_same(first, parameters(tmp_path / "5" / "model.pth"))
    assert not torch.equal(first[0], parameters(tmp_path / "6" / "model.pth")[0])


def test_train_on_the_courses_data(tmp_path):
    folder = course_folder(tmp_path / "data")
    by_folder = well(
        "train", "--data", folder, "--epochs", 2, "--out", tmp_path / "a", "--json", "-q"
    )
    results = json.loads(by_folder.out)
    assert results["pairs"] == 40
    noisy, clean = torch.load(folder / "val_data.pkl", weights_only=True)
    assert results["psnr_noisy"] == pytest.approx(quality(noisy, clean)[0], abs=1e-3)
    by_file = well(
        "train",
        *("--data", folder / "train_data.pkl", "--epochs", 2, "--pairs", 40),
        *("--out", tmp_path / "b", "--json", "-q"),
    )
    again = json.loads(by_file.out)
    assert {k: again[k] for k in KEYS - {"seconds", "baselines"}} == {
        k: results[k] for k in KEYS - {"seconds", "baselines"}
    }
    assert_same(*(parameters(tmp_path / name / "model.pth") for name in "ab"))
    fewer = well(
        "train",
        *("--data", folder, "--epochs", 1, "--pairs", 7, "--out", tmp_path / "c", "--json", "-q"),
    )
    assert json.loads(fewer.out)["pairs"] == 7


@pytest.mark.parametrize("name", ["train_data.pkl", "mine.pkl"])
def test_a_file_of_pairs_alone_is_validated_on_photographs(name: str, tmp_path):
    """Its pairs are both noisy: nothing in it can stand for the clean images."""
    torch.save(noisy_pairs(20), tmp_path / name)
    done = well(
        "train",
        *("--data", tmp_path / name, "--epochs", 1, "--out", tmp_path / "out", "--json", "-q"),
    )
    results = json.loads(done.out)
    assert results["pairs"] == 20
    assert results["psnr_noisy"] == pytest.approx(quality(*validation())[0], abs=1e-3)


def test_train_on_a_folder_of_images(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    photo(folder / "a.png", 150, 140)
    photo(folder / "b.jpg", 131, 200)
    done = well(
        "train",
        *("--data", folder, "--pairs", 10, "--epochs", 1, "--out", tmp_path / "out", "-q"),
    )
    assert "2 photographs" in done.out
    drawn = n2n_lib.sample_pairs(10, images=n2n_lib.load_images(folder), generator=generator(0))
    model = Model("report")
    model.train(drawn.noisy1, drawn.noisy2, 1, progress=False)
    assert_same([p for p, _ in model.network.param()], parameters(tmp_path / "out" / "model.pth"))


def test_an_earlier_run_is_replaced_with_a_word(tmp_path):
    options = ("--pairs", 8, "--epochs", 1, "--out", tmp_path, "--quiet")
    assert "Starting anew" not in well("train", *options).out
    assert "Starting anew" in " ".join(well("train", *options, "--seed", 1).out.split())
    done = well("train", *options, "--seed", 1, "--resume")
    assert "Starting anew" not in done.out


def test_train_at_one_level_of_gaussian_noise_remembers_it(tmp_path):
    common = ("train", "--pairs", 8, "--epochs", 1, "--noise", "gaussian", "-q", "--out")
    for arguments, level in (((), 25.0), (("--sigma", "15"), 15.0), (("--sigma", "5-50"), None)):
        well(*common, tmp_path, *arguments)
        model = load(tmp_path / "model.pth")
        assert model.sigma == level


def test_train_goes_on_from_a_saved_model(model_file, tmp_path):
    """One step at a vanishing rate leaves the weights that it started from."""
    common = ("train", "--pairs", 4, "--epochs", 1, "--batch", 4, "--lr", 1e-12, "-q", "--out")
    well(*common, tmp_path / "on", "--start", model_file)
    well(*common, tmp_path / "anew")
    started, trained = parameters(model_file), parameters(tmp_path / "on" / "model.pth")
    torch.testing.assert_close(trained, started, rtol=0, atol=1e-9)
    assert not torch.equal(parameters(tmp_path / "anew" / "model.pth")[0], started[0])
    content = json.loads((tmp_path / "on" / "results.json").read_text())
    assert content["network"] == "report" and content["start"] == str(model_file)


def short(*more: object) -> tuple:
    """A run on fresh pairs with every option away from its default."""
    options = "--steps 6 --batch 3 --optimiser adam --lr 0.002 --schedule constant --ema 0.5"
    options += " --network unet --network-options width=4,slope=0.2,depth=1 --noise gaussian"
    options += " --sigma 5-50 --patch 24 --scale 1-3 --jitter 0.25 --seed 4"
    return (*options.split(), *more, "--quiet")


def test_options_reach_the_training_on_fresh_pairs(tmp_path, monkeypatch):
    monkeypatch.setattr("n2n_lib.denoiser.stream.CHUNK", 12)
    done = well("train", *short("--out", tmp_path, "--json"))
    task = {"noise": "gaussian", "sigma": (5.0, 50.0), "size": 24, "scale": (1.0, 3.0)}
    model = Model("unet", seed=4, width=4, slope=0.2, depth=1)
    held_out = n2n_lib.sample_pairs(
        COUNT * 32 * 32 // 24**2,
        **task,
        split="validation",
        generator=generator(HELD_OUT_SEED),
    )[:2]
    options = {"optimiser": "adam", "lr": 0.002, "schedule": "constant", "ema": 0.5}
    stream = PairStream(3, **task, jitter=0.25, seed=4)
    history = model.train_stream(stream, 6, **options, held_out=held_out, progress=False)
    assert_same([p for p, _ in model.network.param()], parameters(tmp_path / "model.pth"))
    content = torch.load(tmp_path / "checkpoint.pth", weights_only=True)
    assert content["history"]["held_out"] == history.held_out
    results = json.loads(done.out)
    expected = {"batch": 3, "pairs": 18, "epochs": 1, "size": 24, "ema": 0.5}
    assert {key: results[key] for key in expected} == expected
    assert (results["network"], results["optimiser"]) == ("unet", "adam")
    assert (results["sigma"], results["scale"]) == ([5.0, 50.0], [1.0, 3.0])
    assert results["clean_targets"] is False


def test_clean_targets(tmp_path, monkeypatch):
    monkeypatch.setattr("n2n_lib.denoiser.stream.CHUNK", 12)
    well("train", *short("--clean-targets", "--out", tmp_path))
    settings = torch.load(tmp_path / "checkpoint.pth", weights_only=True)["settings"]
    assert "with_clean True" in settings["data"]
    done = run("train", *short("--out", tmp_path, "--resume"))
    assert_one_line(done, "checkpoint.pth", "expected", "data", "with_clean False")


def test_threads(tmp_path):
    before = torch.get_num_threads()
    options = ("--pairs", 8, "--epochs", 1, "--out", tmp_path, "--quiet")
    for number in (2, 1):
        assert f"threads: {number} of " in well("train", *options, "--threads", number).out
        results = json.loads((tmp_path / "results.json").read_text())
        assert (results["threads"], results["threads_later"]) == (number, [])
        assert torch.get_num_threads() == before
    assert "threads: 1 of " in well("train", *options).out

"""The command line, end to end: what it writes, what it prints, and how it says no."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from commands import Run, run
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image
from reference import assert_same, generator
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import n2n_lib
from n2n_lib.cli import inputs
from n2n_lib.cli.train import HELD_OUT_SEED
from n2n_lib.denoiser import bench as benchmark
from n2n_lib.denoiser import plots
from n2n_lib.denoiser.metrics import PSNR_DEFINITIONS
from n2n_lib.denoiser.model import PRETRAINED, WEIGHTS, Model
from n2n_lib.denoiser.noise import Bernoulli, Gaussian, Poisson
from n2n_lib.denoiser.stream import PairStream
from n2n_lib.framework.schedules import SCHEDULES

ROOT = Path(__file__).resolve().parents[2]
VERBS = ("train", "denoise", "evaluate", "notebooks", "student", "grade", "doctor", "bench")
COUNT = 12  # validation thumbnails
KEYS = {
    "psnr_noisy",
    "psnr_denoised",
    "psnr_definition",
    "ssim_noisy",
    "ssim_denoised",
    "seconds",
    "pairs",
    "epochs",
    "seed",
    "baselines",
}
ROWS = ["do nothing", "median", "tv", "wavelet", "nlm", "our network"]


def well(*arguments: object) -> Run:
    done = run(*arguments)
    assert done.code == 0, done.err
    return done


@pytest.fixture(autouse=True)
def few_validation_images(monkeypatch):
    monkeypatch.setattr(inputs, "VALIDATION_COUNT", COUNT)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, with the content of files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def parameters(path: Path) -> list[torch.Tensor]:
    return torch.load(path, weights_only=True)["parameters"]


def noisy_pairs(count: int, size: int = 16, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """uint8 pairs as in the course's files: flat colours with noise."""
    source = generator(seed)
    clean = 50 + 150 * torch.rand(count, 3, 1, 1, generator=source)
    noise = 25 * torch.randn(2, count, 3, size, size, generator=source)
    first, second = (clean + noise).round().clamp(0, 255).byte()
    return first, second


def course_folder(folder: Path, count: int = 40) -> Path:
    """``train_data.pkl`` and ``val_data.pkl`` as the report's course gives them."""
    folder.mkdir(exist_ok=True)
    torch.save(noisy_pairs(count), folder / "train_data.pkl")
    noisy, _ = noisy_pairs(8, seed=1)
    colour = 50 + 150 * torch.rand(8, 3, 1, 1, generator=generator(1))
    torch.save((noisy, colour.expand(8, 3, 16, 16).round().byte()), folder / "val_data.pkl")
    return folder


def photo(path: Path, width: int = 500, height: int = 371) -> Path:
    image = n2n_lib.photograph("coffee")[:, :height, :width]
    assert image.shape == (3, height, width)
    n2n_lib.save_image(image, path)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Run]:
    """One run of the default task, with --json."""
    out = tmp_path_factory.mktemp("trained") / "new" / "out"
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(inputs, "VALIDATION_COUNT", COUNT)
        done = run("train", "--pairs", 64, "--epochs", 1, "--seed", 5, "--out", out, "--json", "-q")
    assert done.code == 0, done.err
    return out, done


@pytest.fixture
def model_file(trained) -> Path:
    return trained[0] / "model.pth"


# ====================================================================== train


def test_train_writes_everything(trained):
    out, _ = trained
    names = {"model.pth", "checkpoint.pth", "curves.png", "denoised.png", "results.json"}
    assert {path.name for path in out.iterdir()} == names
    for name in ("curves.png", "denoised.png"):
        pixels = np.array(Image.open(out / name).convert("RGB"))
        assert (pixels[0] == 255).all() and pixels.std() > 10  # white paper, something on it
    assert_same(parameters(out / "model.pth"), parameters(out / "checkpoint.pth"))


def validation() -> tuple[torch.Tensor, torch.Tensor]:
    source = generator(inputs.VALIDATION_SEED)
    drawn = n2n_lib.sample_pairs(COUNT, split="validation", generator=source)
    return drawn.noisy1, drawn.clean


def quality(output: torch.Tensor, clean: torch.Tensor) -> tuple[float, float]:
    """PSNR, mean over images, and SSIM, by scikit-image."""
    pairs = list(zip(output.double().numpy(), clean.double().numpy(), strict=True))
    return (
        float(np.mean([peak_signal_noise_ratio(b, a, data_range=255) for a, b in pairs])),
        float(
            np.mean([structural_similarity(a, b, data_range=255, channel_axis=0) for a, b in pairs])
        ),
    )


def test_the_json_object(trained, model_file):
    out, done = trained
    results = json.loads(done.out.strip().splitlines()[-1])
    assert results.keys() >= KEYS
    assert results == json.loads((out / "results.json").read_text())
    assert (results["pairs"], results["epochs"], results["seed"]) == (64, 1, 5)
    assert results["psnr_definition"] == PSNR_DEFINITIONS["mean"]
    assert results["seconds"] > 0
    assert list(results["baselines"]) == ["median", "tv", "wavelet", "nlm"]
    for row in results["baselines"].values():
        assert row["psnr"] > 10 and 0 < row["ssim"] < 1 and row["seconds"] > 0
    noisy, clean = validation()
    assert (results["psnr_noisy"], results["ssim_noisy"]) == pytest.approx(
        quality(noisy, clean), abs=1e-3
    )
    model = Model()
    model.load_pretrained_model(model_file)
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


# ---------------------------------------------------------------------- fresh pairs


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
    threads = torch.get_num_threads()
    try:
        options = ("--pairs", 8, "--epochs", 1, "--out", tmp_path, "--quiet")
        assert "1 threads" in well("train", *options, "--threads", 1).out
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)


# ====================================================================== denoise


def test_denoise_a_photograph(model_file, tmp_path):
    source, out = photo(tmp_path / "photo.jpg"), tmp_path / "out"
    done = well("denoise", source, "--model", model_file, "--out", out)
    assert {path.name for path in out.iterdir()} == {"photo-denoised.png", "photo-comparison.png"}
    assert str(out / "photo-denoised.png") in done.out
    with Image.open(out / "photo-denoised.png") as image:
        assert image.size == (500, 371) and image.mode == "RGB"
        pixels = np.array(image)
    model = Model()
    model.load_pretrained_model(model_file)
    expected = model.predict(n2n_lib.load_image(source))
    assert np.array_equal(pixels, expected.permute(1, 2, 0).numpy())
    comparison = np.array(Image.open(out / "photo-comparison.png").convert("RGB"))
    assert comparison.shape[1] > 1.5 * comparison.shape[0]  # side by side


@pytest.mark.parametrize(
    ("name", "mode", "size"),
    [("grey.png", "L", (37, 21)), ("alpha.png", "RGBA", (5, 9)), ("palette.gif", "P", (16, 16))]
    + [("one.bmp", "RGB", (1, 1)), ("large.tif", "RGB", (530, 40)), ("web.webp", "RGB", (33, 2))],
)
def test_denoise_any_format_and_size(name: str, mode: str, size: tuple, model_file, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(tmp_path / name)
    well("denoise", tmp_path / name, "--model", model_file, "--out", tmp_path / "out")
    with Image.open(tmp_path / "out" / f"{name.split('.')[0]}-denoised.png") as image:
        assert image.size == size and image.mode == "RGB"


def test_denoise_several(model_file, tmp_path):
    sources = [photo(tmp_path / "a.png", 40, 30), photo(tmp_path / "b.png", 20, 50)]
    well("denoise", *sources, "--model", model_file, "--out", tmp_path / "out")
    names = {"a-denoised.png", "a-comparison.png", "b-denoised.png", "b-comparison.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names


def figures(monkeypatch) -> list[tuple]:
    """Keep the arguments of every noisy / denoised / clean figure."""
    kept, draw = [], plots.show_denoising

    def spy(*images, **options):
        kept.append(images)
        return draw(*images, **options)

    monkeypatch.setattr(plots, "show_denoising", spy)
    return kept


@pytest.mark.parametrize(
    ("noise", "model"),
    [
        (("--noise", "gaussian", "--sigma", 50), Gaussian(50.0)),
        (("--noise", "poisson"), Poisson()),
        (("--noise", "bernoulli"), Bernoulli()),
    ],
    ids=["gaussian", "poisson", "bernoulli"],
)
def test_denoise_with_noise_added_first(noise: tuple, model, model_file, tmp_path, monkeypatch):
    source, kept = photo(tmp_path / "photo.png", 120, 90), figures(monkeypatch)
    options = ("--model", model_file, *noise, "--seed", 3)
    well("denoise", source, *options, "--out", tmp_path / "a")
    well("denoise", source, *options, "--out", tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert Image.open(tmp_path / "a" / "photo-denoised.png").size == (120, 90)
    noisy, cleaned, clean = kept[0]
    assert torch.equal(clean, n2n_lib.load_image(source))
    expected = model(n2n_lib.load_image(source).float() / 255, generator(3)) * 255
    assert torch.allclose(noisy, expected, atol=1e-3)
    assert noisy.min() < 0 or noisy.max() > 255  # the network sees what was not clipped
    well("denoise", source, *options[:-1], 4, "--out", tmp_path / "c")
    assert tree(tmp_path / "a") != tree(tmp_path / "c")


@pytest.mark.parametrize(("block", "size"), [(6, (83, 61)), (1, (500, 371)), (100, (5, 3))])
def test_denoise_under_pixel_sampling(block, size, model_file, tmp_path, monkeypatch):
    source, kept = photo(tmp_path / "photo.png"), figures(monkeypatch)
    options = ("--model", model_file, "--noise", "pixels", "--block", block)
    well("denoise", source, *options, "--out", tmp_path / "out")
    assert Image.open(tmp_path / "out" / "photo-denoised.png").size == size
    noisy, _, clean = kept[0]
    width, height = size
    blocks = n2n_lib.load_image(source)[:, : height * block, : width * block].double()
    blocks = blocks.reshape(3, height, block, width, block).permute(0, 1, 3, 2, 4).flatten(3)
    assert torch.allclose(clean.double(), blocks.mean(3), atol=1e-2)
    assert (noisy[..., None] == blocks).any(3).all()  # each is a pixel of its block
    well("denoise", source, *options, "--seed", 1, "--out", tmp_path / "other")
    assert torch.equal(kept[1][2], clean)
    assert torch.equal(kept[1][0], noisy) == (block == 1)  # which one is left to chance


# ====================================================================== evaluate


def test_evaluate_json(model_file, trained):
    done = well("evaluate", "--model", model_file, "--json")
    assert len(done.out.strip().splitlines()) == 1
    results = json.loads(done.out)
    assert results.keys() >= KEYS
    same = ("psnr_noisy", "psnr_denoised", "ssim_noisy", "ssim_denoised", "psnr_definition")
    after_training = json.loads(trained[1].out)
    assert [results[key] for key in same] == [after_training[key] for key in same]
    assert list(results["baselines"]) == list(after_training["baselines"])


def test_evaluate_for_people(model_file):
    done = well("evaluate", "--model", model_file)
    assert all(name in done.out for name in ROWS)
    assert done.err == ""


def test_evaluate_on_the_courses_data(model_file, tmp_path):
    folder = course_folder(tmp_path / "data")
    expected = quality(*torch.load(folder / "val_data.pkl", weights_only=True))
    alone = tmp_path / "images.pkl"
    alone.write_bytes((folder / "val_data.pkl").read_bytes())
    for path in (folder, folder / "val_data.pkl", folder / "train_data.pkl", alone):
        results = json.loads(well("evaluate", "--model", model_file, "--data", path, "--json").out)
        assert (results["psnr_noisy"], results["ssim_noisy"]) == pytest.approx(expected, abs=1e-3)


def test_evaluate_on_a_folder_of_clean_images(model_file, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    photo(folder / "a.png", 150, 140)
    options = ("--model", model_file, "--data", folder, "--noise", "gaussian", "--sigma", 10)
    results = json.loads(well("evaluate", *options, "--json").out)
    assert 28 < results["psnr_noisy"] < 30  # 20 log10(255 / 10) = 28.1, clipping takes some away


# ---------------------------------------------------------------------- whole photographs


@pytest.fixture
def two_photographs(tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    photo(folder / "a.png", 50, 40)
    photo(folder / "b.png", 24, 36)
    return folder


def test_evaluate_photographs_json(model_file, two_photographs, tmp_path):
    options = ("--model", model_file, "--data", two_photographs, "--against", "tv,median")
    options += ("--noise", "gaussian", "--sigma", 40)
    figure = tmp_path / "crops.png"
    done = well("evaluate", *options, "--seed", 3, "--figure", figure, "--json")
    assert len(done.out.strip().splitlines()) == 1
    results = json.loads(done.out)
    assert [results[key] for key in ("noise", "sigma", "seed")] == ["gaussian", 40.0, 3]
    names = ["do nothing", "tv", "median", "our network"]
    assert list(results["images"]) == ["a.png", "b.png"]
    for rows in results["images"].values():
        assert list(rows) == names
        assert all(row.keys() == {"psnr", "ssim", "seconds"} for row in rows.values())
    for name in names:
        assert name in done.err  # the table is for people
        values = [rows[name]["psnr"] for rows in results["images"].values()]
        assert results["means"][name]["psnr"] == pytest.approx(np.mean(values), abs=1e-3)
    nothing = results["images"]["a.png"]["do nothing"]["psnr"]
    floor = 20 * np.log10(255 / 40)
    assert floor < nothing < floor + 3  # clipped, and the coffee is dark: some better
    with Image.open(figure) as image:
        assert np.array(image.convert("L")).std() > 10
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "crops.png"}


def test_the_noise_of_a_photograph_is_its_own(model_file, two_photographs):
    """Whatever else is in the folder; another seed is other noise."""

    def rows(seed: int = 0) -> dict:
        options = ("--data", two_photographs, "--against", "median", "--seed", seed, "--json")
        images = json.loads(well("evaluate", "--model", model_file, *options).out)["images"]
        return {
            image: {name: (row["psnr"], row["ssim"]) for name, row in rows.items()}
            for image, rows in images.items()
        }

    both, other_seed = rows(), rows(1)
    assert both["a.png"]["do nothing"] != other_seed["a.png"]["do nothing"]
    (two_photographs / "a.png").unlink()
    assert rows() == {"b.png": both["b.png"]}


def test_a_failing_figure_leaves_the_old_one(model_file, two_photographs, tmp_path, monkeypatch):
    figure = tmp_path / "crops.png"
    figure.write_bytes(b"old")

    def fail(self, file, **options) -> None:
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", fail)
    options = ("--data", two_photographs, "--against", "median", "--figure", figure)
    assert_one_line(run("evaluate", "--model", model_file, *options), "disk full")
    assert figure.read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "crops.png"}


def test_evaluate_photographs_for_people(model_file, two_photographs):
    options = ("--data", two_photographs, "--against", "tv", "--noise", "pixels", "--block", 2)
    done = well("evaluate", "--model", model_file, *options)
    for text in ("do nothing", "tv", "our network", "a.png", "b.png", "mean", "pixels noise"):
        assert text in done.out
    assert done.err == ""


def test_ensembles(model_file, two_photographs, tmp_path):
    model = Model()
    model.load_pretrained_model(model_file)
    source = two_photographs / "a.png"
    well("denoise", source, "--model", model_file, "--ensemble", "--out", tmp_path / "out")
    with Image.open(tmp_path / "out" / "a-denoised.png") as image:
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    assert torch.equal(pixels, model.predict(n2n_lib.load_image(source), ensemble=True))
    assert not torch.equal(pixels, model.predict(n2n_lib.load_image(source)))
    one, eight = (
        json.loads(well("evaluate", "--model", model_file, "--json", *flags).out)["psnr_denoised"]
        for flags in ((), ("--ensemble",))
    )
    noisy, clean = validation()
    assert eight == pytest.approx(quality(model.predict(noisy, ensemble=True), clean)[0], abs=1e-3)
    assert one != eight


@pytest.mark.parametrize("name", PRETRAINED)
def test_a_shipped_model_by_name(name: str, two_photographs, tmp_path):
    if not (WEIGHTS / f"{name}.pth").exists():
        pytest.skip(f"{name}.pth is not shipped yet")
    source = two_photographs / "b.png"
    well("denoise", source, "--model", name, "--sigma", 25, "--out", tmp_path / "out")
    model = Model()
    model.load_pretrained_model(name)
    with Image.open(tmp_path / "out" / "b-denoised.png") as image:
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    assert torch.equal(pixels, model.predict(n2n_lib.load_image(source), sigma=25.0))


# ====================================================================== help and lessons


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb(verb: str, flag: str, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    done = well(verb, flag)
    options = {
        "train": "--pairs --epochs --steps --batch --optimiser --lr --schedule --ema --network"
        " --network-options --noise --sigma --patch --scale --jitter --clean-targets --data --seed"
        " --threads --device --dtype --out --resume --json --quiet",
        "denoise": "--model --out --noise --sigma --block --ensemble --adapt --seed",
        "evaluate": "--model --data --against --noise --sigma --block --ensemble --adapt --seed"
        " --figure --json",
        "notebooks": "--timeout",
        "student": "DEST --source --library --json",
        "doctor": "--json",
        "bench": "--seconds --cases --json --plot --threads",
        "grade": "--out --source --feedback --timeout --memory --jobs --json --quiet",
    }[verb]
    assert all(option in done.out for option in options.split())
    assert done.err == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_refused(tmp_path):
    done = run("train", "--device", "cuda", "--out", tmp_path / "out")
    assert_one_line(done, "a device that this machine has", "--device cuda")
    assert not (tmp_path / "out").exists()


def test_help_lists_the_verbs():
    done = well("--help")
    assert all(verb in done.out for verb in VERBS)


def test_no_verb_shows_the_help():
    done = run()
    assert done.code in (0, 2)
    assert all(verb in done.out + done.err for verb in VERBS)
    assert not done.err.startswith("n2n:") and "Traceback" not in done.err


def test_notebooks_are_executed_in_place(tmp_path):
    path = tmp_path / "01_sum.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("6 * 7")]), path)
    well("notebooks", path, "--timeout", 60)
    (cell,) = nbformat.read(path, as_version=4).cells
    assert cell.execution_count == 1
    assert cell.outputs[0].data["text/plain"] == "42"


# ====================================================================== bad input


class Malicious:
    """Pickle code that makes a folder in the current one."""

    def __reduce__(self):
        return os.mkdir, ("code-was-run",)


@pytest.fixture(scope="module")
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
        Image.fromarray(np.zeros((5, 5), dtype=np.float32)).save(folder / "float.tif")
        (folder / "file").write_text("in the way")
        (folder / "damaged.ipynb").write_text("{}")
    return folder


# Per command line, what its one line names, in this order. First what no option takes.
MISUSED = {
    "train --epochs 0": ("--epochs", "0"),
    "train --epochs -3": ("--epochs", "-3"),
    "train --epochs two": ("--epochs", "two"),
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
    "denoise good.png float.tif --model model.pth": ("8 or 16 bits", "float.tif"),
    "denoise file --model model.pth": ("image", "file"),
    "denoise empty --model model.pth": ("image", "empty"),
    "denoise good.png good.jpg --model model.pth": ("good",),
    "denoise good.png dot.png --model model.pth --noise pixels": ("dot.png", "6", "3", "4"),
    "notebooks missing.ipynb": ("notebook", "missing.ipynb"),
    "notebooks damaged.ipynb": ("damaged.ipynb", "notebook"),
}


def assert_one_line(done: Run, *fragments: str) -> None:
    assert done.code == 2
    lines = done.err.strip().splitlines()
    assert len(lines) == 1, f"{len(lines)} lines: {done.err}"
    assert "Traceback" not in done.err
    position = 0
    for fragment in fragments:
        assert fragment in lines[0][position:], f"no {fragment!r} in {lines[0]!r}"
        position = lines[0].index(fragment, position)


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


def test_resume_with_other_settings(tmp_path):
    options = ("--pairs", 8, "--epochs", 2, "--out", tmp_path, "--quiet", "--resume")
    well("train", *options)
    before = tree(tmp_path)
    for change, name, value in [
        (("--lr", 1), "lr", "1.0"),
        (("--batch", 3), "batch_size", "3"),
        (("--epochs", 3), "num_epochs", "3"),
        (("--seed", 7), "seed", "7"),
        (("--pairs", 9), "data", ""),
        (("--noise", "gaussian"), "data", ""),
    ]:
        done = run("train", *options, *change)
        assert_one_line(done, "checkpoint.pth", "expected", name, value)
        assert tree(tmp_path) == before


@pytest.mark.parametrize("content", [b"", b"hello", None], ids=["empty", "text", "a model"])
def test_resume_from_a_damaged_checkpoint(content: bytes | None, model_file, tmp_path):
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(model_file.read_bytes() if content is None else content)
    before = tree(tmp_path)
    done = run("train", "--pairs", 8, "--epochs", 1, "--out", tmp_path, "--quiet", "--resume")
    assert_one_line(done, "checkpoint.pth", "expected", "checkpoint of n2n")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("lr", ["1e20", "1e300"])
def test_a_learning_rate_that_diverges(lr: str, tmp_path):
    done = run("train", "--pairs", 40, "--epochs", 2, "--lr", lr, "--out", tmp_path, "--quiet")
    assert_one_line(done, "expected", "learning rate")
    assert (tmp_path / "model.pth").exists() is ("weights before it are in" in done.err)


def test_the_last_good_weights_of_a_diverging_run_are_written(tmp_path, monkeypatch):
    monkeypatch.setitem(SCHEDULES, "late", lambda lr, step, total: lr if step < 40 else 1e30)
    data_folder = course_folder(tmp_path / "data", count=40)
    options = ("--data", data_folder, "--batch", 1, "--schedule", "late", "--quiet")
    done = run("train", *options, "--epochs", 3, "--out", tmp_path / "out")
    model_path = tmp_path / "out" / "model.pth"
    assert_one_line(done, "in epoch 2", f"the weights before it are in {model_path}")
    assert_same(parameters(tmp_path / "out" / "checkpoint.pth"), parameters(model_path))
    done = run("train", *options, "--epochs", 3, "--lr", 1e30, "--out", tmp_path / "first")
    assert_one_line(done, "in epoch 1")
    assert not (tmp_path / "first" / "model.pth").exists()


def test_a_network_larger_than_the_memory(tmp_path):
    options = ("--network", "strided", "--network-options", "width=1000000000000")
    done = run("train", *options, "--out", tmp_path / "out")
    assert_one_line(done, "--network-options")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_stands_in_the_way_of_a_result(model_file, tmp_path):
    (tmp_path / "out" / "photo-denoised.png").mkdir(parents=True)
    source = photo(tmp_path / "photo.png", 20, 10)
    done = run("denoise", source, "--model", model_file, "--out", tmp_path / "out")
    assert_one_line(done, "photo-denoised.png")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["photo-denoised.png"]


# ====================================================================== stopped and gone on

EPOCHS = 6


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "n2n_lib", *map(str, arguments)]


def environment() -> dict[str, str]:
    """One thread, so that sums are added up in the same order in every process."""
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def interruptible() -> None:
    """A shell may have told its background jobs to ignore Ctrl-C; this child must not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def stop_in_the_middle(arguments: tuple, out: Path, stop: Callable) -> tuple[int, str]:
    """Start training, stop it after its first epochs and before its last; code and stderr."""
    options = {} if os.name == "nt" else {"preexec_fn": interruptible}
    process = subprocess.Popen(
        command("train", *arguments),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    try:
        deadline = time.monotonic() + 60
        while not (out / "checkpoint.pth").exists():
            assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
            time.sleep(0.01)
        time.sleep(0.05)
        stop(process)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert not (out / "model.pth").exists(), "the run ended before it could be stopped"
    assert torch.load(out / "checkpoint.pth", weights_only=True)["history"]["seconds"]
    return process.returncode, err


@pytest.fixture(scope="module")
def long_run(tmp_path_factory) -> tuple[tuple, Path]:
    """The arguments of a run of some seconds, and the model that it gives when left alone."""
    folder = course_folder(tmp_path_factory.mktemp("long") / "data", count=1500)
    arguments = ("--data", folder, "--epochs", EPOCHS, "--batch", 4, "--lr", 1, "--quiet")
    out, threads = folder.parent / "whole", torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            done = run("train", *arguments, "--out", out)
    finally:
        torch.set_num_threads(threads)
    assert done.code == 0, done.err
    return arguments, out / "model.pth"


def test_a_killed_run_goes_on_to_the_same_weights(long_run, tmp_path):
    arguments, whole = long_run
    arguments = (*arguments, "--out", tmp_path)
    code, _ = stop_in_the_middle(arguments, tmp_path, subprocess.Popen.kill)  # SIGKILL
    assert code != 0
    finished = len(torch.load(tmp_path / "checkpoint.pth", weights_only=True)["history"]["seconds"])
    assert 1 <= finished < EPOCHS
    subprocess.run(
        command("train", *arguments, "--resume"),
        env=environment(),
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert_same(parameters(whole), parameters(tmp_path / "model.pth"))


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to a whole console")
def test_ctrl_c_says_how_to_go_on(long_run, tmp_path):
    arguments, whole = long_run
    arguments = (*arguments, "--out", tmp_path)
    code, err = stop_in_the_middle(
        arguments, tmp_path, lambda process: process.send_signal(signal.SIGINT)
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        well("train", *arguments, "--resume")
    finally:
        torch.set_num_threads(threads)
    assert_same(parameters(whole), parameters(tmp_path / "model.pth"))
    assert code == 130
    assert "Traceback" not in err
    assert "--resume" in err.strip().splitlines()[-1]


def test_python_m_n2n_lib(tmp_path):
    """The exit code and the one line reach whoever calls the program."""
    done = subprocess.run(
        command("train", "--lr", "-1", "--out", tmp_path / "out"),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert_one_line(Run(done.returncode, done.stdout, done.stderr), "expected", "--lr", "-1")
    assert done.stdout == "" and list(tmp_path.iterdir()) == []


# ====================================================================== noise levels, going on


def test_train_at_one_level_of_gaussian_noise_remembers_it(tmp_path):
    common = ("train", "--pairs", 8, "--epochs", 1, "--noise", "gaussian", "-q", "--out")
    for arguments, level in (((), 25.0), (("--sigma", "15"), 15.0), (("--sigma", "5-50"), None)):
        well(*common, tmp_path, *arguments)
        model = Model()
        model.load_pretrained_model(tmp_path / "model.pth")
        assert model.sigma == level


def test_denoise_estimates_the_level_or_is_told(tmp_path, monkeypatch):
    told = []

    def predict(self, images, *, sigma=None, ensemble=False):
        told.append(sigma)
        return images

    monkeypatch.setattr(Model, "predict", predict)
    clean = n2n_lib.photograph("coffee")[:, :200, :300]
    noisy = 255 * Gaussian(30)(clean.float() / 255, generator(3))
    n2n_lib.save_image(noisy, tmp_path / "noisy.png")
    n2n_lib.save_image(torch.full((3, 64, 64), 99.0), tmp_path / "flat.png")
    out = ("--out", tmp_path / "out")
    well("denoise", tmp_path / "noisy.png", tmp_path / "flat.png", *out)
    assert abs(told[0] - 30) < 3
    assert told[1] == 1.0  # never zero
    well("denoise", tmp_path / "noisy.png", "--sigma", 12, *out)
    well("denoise", tmp_path / "noisy.png", "--noise", "gaussian", *out)
    assert told[2:] == [12.0, 25.0]


def test_denoise_adapts_a_copy_to_each_image(model_file, two_photographs, tmp_path):
    options = ("--model", model_file, "--sigma", 20, "--adapt", 3, "--out", tmp_path / "out")
    well("denoise", two_photographs / "a.png", two_photographs / "b.png", *options)
    for name in ("a", "b"):
        image = n2n_lib.load_image(two_photographs / f"{name}.png")
        model = Model()
        model.load_pretrained_model(model_file)
        model.adapt(image, 20.0, 3, progress=False)
        with Image.open(tmp_path / "out" / f"{name}-denoised.png") as denoised:
            pixels = torch.from_numpy(np.array(denoised)).permute(2, 0, 1)
        assert torch.equal(pixels, model.predict(image, sigma=20.0))


def test_evaluate_tells_the_adapted_network_beside_the_one_it_came_from(
    model_file, two_photographs
):
    options = ("--model", model_file, "--data", two_photographs, "--against", "median", "--json")
    images = json.loads(well("evaluate", *options, "--adapt", 3).out)["images"]
    plain = json.loads(well("evaluate", *options).out)["images"]
    for name, rows in images.items():
        assert list(rows) == ["do nothing", "median", "our network", "our network, adapted"]
        assert rows["our network"]["psnr"] == plain[name]["our network"]["psnr"]
        assert rows["our network, adapted"]["psnr"] != rows["our network"]["psnr"]


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


def test_full_runs_print_a_line_for_each_row(monkeypatch):
    def short(row, batch_size, lr):
        return benchmark.FullRun(row, batch_size, 90.0, 23.45, 20.97)

    monkeypatch.setattr(benchmark, "full_run", short)
    monkeypatch.setattr(benchmark, "machine", lambda: dict.fromkeys(LIMITS, 1.0))
    lines = [line for line in well("bench", "--full-runs").out.splitlines() if "minutes" in line]
    assert len(lines) == 4
    assert all("1.50 minutes, 23.45 dB" in line for line in lines)


LIMITS = (
    "processor",
    "threads",
    "torch",
    "gigaflops",
    "gigaflops_mm",
    "gigabytes_per_second",
)


def test_a_full_run_and_its_twin_in_pytorch_end_alike():
    runs = [
        benchmark.full_run(row, 16, 4.0, pairs=320, epochs=2)
        for row in (benchmark.OURS, benchmark.CHANNELS_LAST)
    ]
    assert runs[0].psnr_noisy == runs[1].psnr_noisy
    assert abs(runs[0].psnr - runs[1].psnr) < 0.05
    assert all(run.seconds > 0 for run in runs)

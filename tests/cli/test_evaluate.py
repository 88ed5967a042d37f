"""``n2n evaluate``: thumbnails, and whole photographs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from commands import assert_one_line, run, well
from given import (
    KEYS,
    ROWS,
    course_folder,
    load,
    photo,
    pixels,
    quality,
    validation,
)
from matplotlib.figure import Figure
from PIL import Image

import n2n_lib


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


def test_evaluate_photographs_json(model_file, two_photographs, tmp_path):
    options = ("--model", model_file, "--data", two_photographs, "--against", "tv,median")
    options += ("--noise", "gaussian", "--sigma", 40)
    figure = tmp_path / "crops.png"
    done = well("evaluate", *options, "--seed", 3, "--figure", figure, "--json")
    assert len(done.out.strip().splitlines()) == 1
    results = json.loads(done.out)
    assert [results[key] for key in ("noise", "sigma", "seed")] == ["gaussian", 40.0, 3]
    names = ["do nothing", "tv", "median", "26 numbers", "our network"]
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
    for text in (
        "do nothing",
        "tv",
        "26 numbers",
        "our network",
        "a.png",
        "b.png",
        "mean",
        "pixels noise",
    ):
        assert text in done.out
    assert done.err == ""


def test_names_with_brackets_are_printed_as_they_are(model_file, two_photographs):
    (two_photographs / "a.png").rename(two_photographs / "[b] a.png")
    options = ("--data", two_photographs, "--against", "median")
    done = well("evaluate", "--model", model_file, *options)
    assert "[b] a.png: median" in done.out  # as it is measured
    assert done.out.count("[b] a.png") == 5  # four ways, and the heading of the table


def test_ensembles(model_file, two_photographs, tmp_path):
    model = load(model_file)
    source = two_photographs / "a.png"
    well("denoise", source, "--model", model_file, "--ensemble", "--out", tmp_path / "out")
    result = pixels(tmp_path / "out" / "a-denoised.png")
    assert torch.equal(result, model.predict(n2n_lib.load_image(source), ensemble=True))
    assert not torch.equal(result, model.predict(n2n_lib.load_image(source)))
    one, eight = (
        json.loads(well("evaluate", "--model", model_file, "--json", *flags).out)["psnr_denoised"]
        for flags in ((), ("--ensemble",))
    )
    noisy, clean = validation()
    assert eight == pytest.approx(quality(model.predict(noisy, ensemble=True), clean)[0], abs=1e-3)
    assert one != eight


def test_evaluate_tells_the_adapted_network_beside_the_one_it_came_from(
    model_file, two_photographs
):
    options = ("--model", model_file, "--data", two_photographs, "--against", "median", "--json")
    images = json.loads(well("evaluate", *options, "--adapt", 3).out)["images"]
    plain = json.loads(well("evaluate", *options).out)["images"]
    for name, rows in images.items():
        assert list(rows) == [
            "do nothing",
            "median",
            "26 numbers",
            "our network",
            "our network, adapted",
        ]
        assert rows["our network"]["psnr"] == plain[name]["our network"]["psnr"]
        assert rows["our network, adapted"]["psnr"] != rows["our network"]["psnr"]

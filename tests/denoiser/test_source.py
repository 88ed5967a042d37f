"""Where images come from: what a path stands for, and that it is read once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from reference import generator, random_image

from n2n_lib.denoiser import images as files
from n2n_lib.denoiser import source as module
from n2n_lib.denoiser.images import save_image
from n2n_lib.denoiser.photographs import PHOTOGRAPHS, Photograph
from n2n_lib.denoiser.sampling import Task, sample_pairs
from n2n_lib.denoiser.source import Source


def write_pairs(path: Path, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    size = (count, 3, 8, 8)
    pairs = tuple(
        torch.randint(0, 256, size, dtype=torch.uint8, generator=generator(seed + i))
        for i in range(2)
    )
    torch.save(pairs, path)
    return pairs


def test_photographs_of_the_packages_are_read_once_each(monkeypatch):
    monkeypatch.setattr(module, "VALIDATION_COUNT", 4)
    read, load = [], Photograph.load

    def counted(photo: Photograph) -> torch.Tensor:
        read.append(photo.name)
        return load(photo)

    monkeypatch.setattr(Photograph, "load", counted)
    source, task = Source.open(), Task(noise="gaussian")
    assert source.description == "6 photographs" and source.pairs is None
    noisy = source.training_pairs(task, 5, seed=3)
    validation = source.validation.validation_images(task)
    held_out = source.validation.held_out_pairs(task)
    assert sorted(read) == sorted(photo.name for photo in PHOTOGRAPHS)
    drawn = sample_pairs(5, noise="gaussian", generator=generator(3))
    assert all(map(torch.equal, noisy, drawn[:2]))
    options = {"split": "validation", "noise": "gaussian"}
    drawn = sample_pairs(4, **options, generator=generator(module.VALIDATION_SEED))
    assert all(map(torch.equal, validation, (drawn.noisy1, drawn.clean)))
    drawn = sample_pairs(4, **options, generator=generator(module.HELD_OUT_SEED))
    assert all(map(torch.equal, held_out, drawn[:2]))


def test_a_folder_of_photographs_is_read_once(tmp_path, monkeypatch):
    for name in "ab":
        save_image(random_image(40, 50), tmp_path / f"{name}.png")
    read, load = [], files.load_image

    def counted(path: Path) -> torch.Tensor:
        read.append(path.name)
        return load(path)

    monkeypatch.setattr(files, "load_image", counted)
    source = Source.open(tmp_path)
    assert source.description == "2 photographs" and list(source.images) == ["a.png", "b.png"]
    assert list(source.validation.images) == ["coffee", "china"]
    source.training_pairs(Task(size=8), 5, seed=0)
    assert read == ["a.png", "b.png"]
    assert list(Source.open_validation(tmp_path).images) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("given", "trains_on", "validates_with"),
    [
        (".", "train_data.pkl", "val_data.pkl"),
        ("train_data.pkl", "train_data.pkl", "val_data.pkl"),
        ("val_data.pkl", "train_data.pkl", "val_data.pkl"),
        ("mine.pkl", "mine.pkl", "val_data.pkl"),
    ],
)
def test_the_files_of_the_course(given: str, trains_on: str, validates_with: str, tmp_path):
    names = ("train_data.pkl", "val_data.pkl", "mine.pkl")
    content = {name: write_pairs(tmp_path / name, 6, seed) for seed, name in enumerate(names)}
    source = Source.open(tmp_path / given)
    assert source.description == str(tmp_path / trains_on)
    first, second = source.training_pairs(Task(), 4, seed=0)
    assert torch.equal(first, content[trains_on][0][:4])
    assert torch.equal(second, content[trains_on][1][:4])
    validation = source.validation.validation_images(Task())
    assert all(map(torch.equal, validation, content[validates_with]))
    # The validation photographs choose the weights, whatever is trained on.
    assert len(source.validation.held_out_pairs(Task())[0]) == 1000


def test_without_val_data_the_photographs_validate(tmp_path):
    write_pairs(tmp_path / "train_data.pkl", 2, 0)
    for path in (tmp_path, tmp_path / "train_data.pkl"):
        assert list(Source.open(path).validation.images) == ["coffee", "china"]


@pytest.mark.parametrize("given", [".", "val_data.pkl", "train_data.pkl", "mine.pkl"])
def test_validation_by_itself(given: str, tmp_path):
    names = ("train_data.pkl", "val_data.pkl", "mine.pkl")
    content = {name: write_pairs(tmp_path / name, 3, seed) for seed, name in enumerate(names)}
    read = Source.open_validation(tmp_path / given).validation_images(Task())
    expected = content["mine.pkl" if given == "mine.pkl" else "val_data.pkl"]
    assert all(map(torch.equal, read, expected))


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ("none", FileNotFoundError, "expected a folder or a .pkl file, got no such file: .*none"),
        ("none.pkl", FileNotFoundError, "none.pkl: expected .*found no such file"),
        ("notes.txt", ValueError, "expected a folder or a .pkl file, got .*notes.txt"),
        ("empty", ValueError, "expected images .*got none: .*empty"),
    ],
)
@pytest.mark.parametrize("open_source", [Source.open, Source.open_validation])
def test_other_paths(open_source, given: str, error: type, told: str, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no pairs")
    with pytest.raises(error, match=told):
        open_source(tmp_path / given)

"""Damaged and hostile files: a short run of `tools.fuzz`, and what it found once."""

from __future__ import annotations

import math
import os
import random
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from n2n_lib.course.notebooks import LessonError, execute
from n2n_lib.denoiser import images
from n2n_lib.denoiser.model import Model
from n2n_lib.support import files
from tools import fuzz
from tools.fuzz import HOSTILE, HOSTILE_IMAGES, HOSTILE_NOTEBOOKS, LOADERS, SPECIAL, Loader, saved

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

INPUTS = {name: 200 for name in LOADERS} | {"checkpoint": 100, "images": 100, "denoise": 12}
"""Inputs of the short run."""


@linux_only
@pytest.mark.parametrize("name", LOADERS)
def test_every_input_is_refused_in_one_line_or_taken_soundly(name: str):
    report = fuzz.run(name, INPUTS[name])
    assert report.findings == []
    assert report.tried == INPUTS[name] and report.counts["refused"] > 0


@pytest.mark.parametrize("name", sorted(LOADERS.keys() - {"denoise"}))
def test_what_is_changed_was_valid(name: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loader = LOADERS[name]
    load = loader.prepare()
    for index, seed in enumerate(loader.seeds()):
        path = tmp_path / str(index) / f"seed{loader.suffixes[0]}"
        path.parent.mkdir()
        path.write_bytes(seed)
        load(path)


@linux_only
def test_an_input_follows_from_its_number(tmp_path: Path):
    loader = LOADERS["pairs"]
    first, again, other = (
        fuzz.place(loader, loader.seeds(), random.Random(n), tmp_path / "x").read_bytes()
        for n in (1, 1, 2)
    )
    assert first == again != other


# ---------------------------------------------------------------------- it would notice


def harmful(what: str) -> Callable[[Path], None]:
    """Return a loader that does what none may."""

    def load(path: Path) -> None:
        if what == "hangs":
            time.sleep(60)
        elif what == "crashes":
            os.abort()
        elif what == "takes memory":
            torch.ones(2**31)
        elif what == "runs code":
            Path(fuzz.CANARY).mkdir()
        elif what == "raises something else":
            raise RuntimeError("no")
        elif what == "says nothing":
            raise ValueError
        elif what == "says too much":
            raise ValueError("two\nlines")
        elif what == "changes the model":
            model = Model("unet", width=1, depth=1, convs=0)
            fuzz.require_unchanged_if_refused(model, lambda: change_and_fail(model))

    return load


def change_and_fail(model: Model) -> None:
    model.network.param()[0][0].add_(1)
    raise ValueError("refused")


@linux_only
@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("hangs", "process died"),
        ("crashes", "process died"),
        ("takes memory", "RuntimeError"),
        ("runs code", "code was run"),
        ("raises something else", "RuntimeError: no"),
        ("says nothing", "message ''"),
        ("says too much", "two"),
        ("changes the model", "changed the model"),
    ],
)
def test_harm_is_found(what: str, found: str, monkeypatch):
    monkeypatch.setattr(fuzz, "SECONDS", 0.3 if what == "hangs" else 10.0)
    loader = Loader((".x",), lambda: [b"abc"], (fuzz.mangled,), lambda: harmful(what))
    monkeypatch.setitem(LOADERS, "harmful", loader)
    report = fuzz.run("harmful", 2)
    assert [number for number, _ in report.findings] == [0, 1]
    assert all(found in told for _, told in report.findings)


# ---------------------------------------------------------------------- what was found once


def outcome(name: str, make: Callable[[Path], object], monkeypatch) -> dict[str, int]:
    """Give a loader, in a process with limits, what `make` puts at a path."""

    def place(loader: Loader, seeds: object, rnd: object, folder: Path) -> Path:
        folder.mkdir()
        path = folder / f"input{loader.suffixes[0]}"
        make(path)
        return path

    monkeypatch.setattr(fuzz, "place", place)
    monkeypatch.setitem(LOADERS, name, replace(LOADERS[name], seeds=lambda: []))
    report = fuzz.run(name, 1)
    assert report.findings == []
    return dict(report.counts)


CASES = [("model", HOSTILE), ("image", HOSTILE_IMAGES), ("notebook", HOSTILE_NOTEBOOKS)]


@linux_only
@pytest.mark.parametrize(
    ("name", "make"),
    [pytest.param(name, make, id=kind) for name, kinds in CASES for kind, make in kinds.items()],
)
def test_files_made_to_harm_are_refused(name: str, make: Callable[[], bytes], monkeypatch):
    def write(path: Path) -> None:
        path.write_bytes(make())

    assert outcome(name, write, monkeypatch) == {"refused": 1}


@linux_only
@pytest.mark.parametrize("name", ["model", "pairs", "image", "notebook", "stream-checkpoint"])
@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_regular_file_is_refused(name: str, kind: str, monkeypatch):
    starts_anew = name == "stream-checkpoint" and kind in ("nothing", "a link to itself")
    expected = {"taken" if starts_anew else "refused": 1}
    assert outcome(name, SPECIAL[kind], monkeypatch) == expected


def refusal(content: bytes, folder: Path) -> str:
    path = folder / "file.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        files.load(path, "a test file")
    return str(caught.value)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("code", "it names posix mkdir"),
        ("ten gigabytes of zeros", "bytearray"),
        ("a storage larger than its part", "RuntimeError"),
        ("a tensor larger than its storage", "repeats what it holds"),
        ("a key that takes for ever to hash", "it holds something twice"),
        ("such a key under a name in capitals", "it holds something twice"),
        ("a key too deep for the stack", "it has more than 30000 tuples"),
        ("a key too deep to print", "RecursionError"),
        ("a list that holds itself", "it holds something twice"),
        ("text that doubles", "it names _codecs encode"),
        ("lists without end", "RecursionError"),
        ("a compressed archive", "it is compressed"),
    ],
)
def test_why_a_file_is_refused(kind: str, reason: str, tmp_path: Path):
    if os.name == "nt":
        reason = reason.replace("posix", "nt")
    assert reason in refusal(HOSTILE[kind](), tmp_path)


def test_one_changed_bit_is_noticed(tmp_path: Path):
    whole = saved({"weights": torch.arange(1000.0)})
    place = whole.index(torch.arange(1000.0).numpy().tobytes()) + 2000
    changed = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    assert "the checksum of 'archive/data/0' is wrong" in refusal(changed, tmp_path)


def test_a_part_that_is_there_twice(tmp_path: Path):
    parts = fuzz.parts_of(saved([torch.ones(2)]))
    assert "there twice" in refusal(fuzz.archive([*parts, parts[0]]), tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        {"width": 10**6, "depth": 1, "convs": 0},
        {"width": 1, "depth": 10**6, "convs": 0},
        {"width": 1, "depth": 1, "convs": 10**9},
        {"width": 2**70, "depth": 1, "convs": 0},
        {"width": 1, "depth": 1, "convs": 0, "slope": 10**400},
        {"width": 1, "depth": 1, "convs": 0, "seed": 0},
        {"width": "x\ny" * 10000},
        [],
    ],
)
def test_a_model_file_that_names_a_huge_network(arguments: object, tmp_path: Path):
    """The parameters are small; the network that the file names would not be."""
    path = tmp_path / "model.pth"
    Model("unet", width=1, depth=1, convs=0).save_model(path)
    content = torch.load(path, weights_only=True) | {"arguments": arguments}
    torch.save(content, path)
    model = Model()
    with pytest.raises(ValueError, match="model.pth: expected a model saved by n2n, got a d") as no:
        model.load_pretrained_model(path)
    assert len(str(no.value)) < 500 and "\n" not in str(no.value)
    assert model.network_name == "report"


@pytest.mark.parametrize("where", ["losses", "seconds"])
def test_a_checkpoint_whose_history_is_no_number(where: str, tmp_path: Path):
    whole = fuzz.checkpoints(fuzz.train_on_pairs)[0]
    (tmp_path / "checkpoint.pth").write_bytes(whole)
    content = torch.load(tmp_path / "checkpoint.pth", weights_only=True)
    content["history"][where][0] = math.nan
    torch.save(content, tmp_path / "checkpoint.pth")
    with pytest.raises(ValueError, match="expected finite numbers in the history"):
        fuzz.train_on_pairs(fuzz.small_model(), tmp_path / "checkpoint.pth", resume=True)


def test_pillow_says_nothing_on_stderr(tmp_path: Path, capfd):
    """A TIFF file of 278 samples to a pixel: Pillow logs an error before it raises one."""
    fields = ((256, 9), (257, 7), (258, 8), (259, 1), (262, 1), (273, 8), (277, 278), (278, 7))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields)
    path = tmp_path / "many.tif"
    path.write_bytes(b"II*\0\x08\0\0\0" + struct.pack("<H", 8) + entries + bytes(100))
    with pytest.raises(ValueError, match=r"many\.tif"):
        images.load_image(path)
    assert capfd.readouterr().err == ""


def test_libtiff_says_nothing_on_stderr(tmp_path: Path, capfd):
    """Compressed strips whose bytes are no compressed data."""
    picture = Image.fromarray(np.zeros((64, 64, 3), dtype=np.uint8))
    path = tmp_path / "damaged.tif"
    picture.save(path, compression="tiff_deflate")
    whole = path.read_bytes()
    place = whole.index(b"\x78", 8)
    path.write_bytes(whole[:place] + b"\xff" * 8 + whole[place + 8 :])
    with pytest.raises(ValueError, match=r"damaged\.tif"):
        images.load_image(path)
    assert capfd.readouterr().err == ""
    print("still there", file=sys.stderr)
    assert capfd.readouterr().err == "still there\n"


def test_half_a_character_in_a_notebook(tmp_path: Path):
    path = tmp_path / "01_half.ipynb"
    path.write_bytes(HOSTILE_NOTEBOOKS["half a character"]())
    with pytest.raises(LessonError, match="expected a Jupyter notebook, got UnicodeEncodeError"):
        execute([path], progress=False)

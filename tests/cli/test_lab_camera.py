"""What the lab sheet for a class with one camera asks for works as it stands there."""

from __future__ import annotations

import contextlib
import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from commands import well
from PIL import Image

from n2n_lib import photograph
from n2n_lib.denoiser.camera import Camera

SHEET = Path(__file__).resolve().parents[2] / "docs" / "lab-camera.md"
TEXT = SHEET.read_text(encoding="utf-8")
COMMANDS = re.findall(r"^n2n (.*)$", TEXT, re.MULTILINE)
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
CAMERA = Camera(iso=6400, lens_blur=0.7, quality=None)
BRIEF = "--steps 2 --batch 1 --patch 32 --quiet".split()


def shots() -> list[torch.Tensor]:
    """Five of a scene, each with the camera in another place, and one by day."""
    scene, source = photograph("coffee") / 255, torch.Generator().manual_seed(1)
    places = [(60, 150), (61, 153), (58, 149), (62, 148), (60, 152)]
    views = [scene[:, row : row + 128, left : left + 160].contiguous() for row, left in places]
    taken = [CAMERA.expose(view, source) for view in views]
    return [*taken, Camera(iso=100, quality=None).expose(views[0], source)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A class's folder with what the camera wrote."""
    monkeypatch.chdir(tmp_path)
    names = [*(f"camera/IMG_{number:04}.JPG" for number in range(1, 6)), "day/IMG_0021.jpg"]
    for shot, name in zip(shots(), names, strict=True):
        Path(name).parent.mkdir(exist_ok=True)
        pixels = (255 * shot).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(name, quality=95)
    return tmp_path


def test_from_frames_to_the_table(folder: Path, capsys: pytest.CaptureFixture):
    cut, table, _ = PYTHON
    exec(cut, {})
    assert len(list(Path("night").iterdir())) == 5
    assert [path.name for path in sorted(Path("two").iterdir())] == ["IMG_0001.png", "IMG_0002.png"]
    assert [
        shlex.split(command)[0] for command in COMMANDS
    ] == "denoise denoise train denoise".split()
    for command in COMMANDS:
        name, *arguments = shlex.split(command)
        well(name, *arguments, *(BRIEF if name == "train" else ()))
    for name in ("IMG_0001-denoised", "IMG_0001-noise", "IMG_0021-noise"):
        assert Path("single", f"{name}.png").is_file()
    for name in ("two-frame-denoised", "two-mean", "two-mean-denoised"):
        assert Path("from-two", f"{name}.png").is_file()
    assert Path("third", "IMG_0003-denoised.png").is_file()
    capsys.readouterr()
    spaces: dict = {}
    exec(table, spaces)
    told = capsys.readouterr().out
    gains = [float(value) for value in re.findall(r"([\d.]+) dB", told)]
    assert len(gains) == 4 and 1 < gains[1] - gains[0] < 3.2
    assert gains[2] > gains[0] + 1 and gains[3] > gains[1]
    assert len(spaces["levels"]) == 6 and not spaces["scene"].remarks
    assert all(3 < level < 15 for level in spaces["levels"] if not level.isnan())


def test_the_line_from_raw_files(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Stand-ins for raw files: all that the sheet reads of them is what a sensor counted."""
    source, span = torch.Generator().manual_seed(2), 2**CAMERA.bits - 1 - CAMERA.black_level
    raw = {}
    Path("paper").mkdir()
    for number, share in enumerate((0.02, 0.05, 0.1, 0.2, 0.4, 0.7)):
        for letter in "ab":
            counted = CAMERA.capture(torch.full((1, 440, 460), share), source)[0]
            name = f"paper/{number}{letter}.dng"
            raw[name] = (span * counted + CAMERA.black_level).round().numpy().astype(np.uint16)
            Path(name).touch()
    colours = np.tile(np.array([[0, 1], [3, 2]], np.uint8), (220, 230))

    def imread(path: str) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext(
            SimpleNamespace(
                raw_image_visible=raw[path],
                raw_colors_visible=colours,
                black_level_per_channel=[CAMERA.black_level] * 4,
            )
        )

    monkeypatch.setitem(sys.modules, "rawpy", SimpleNamespace(imread=imread))
    spaces: dict = {}
    exec(PYTHON[2], spaces)
    assert spaces["gain"].item() == pytest.approx(span / CAMERA.white, rel=0.03)
    assert spaces["read_noise"].item() == pytest.approx(CAMERA.read_noise, abs=0.6)

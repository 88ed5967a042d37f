"""Runs that die, full disks, folders that cannot be written to, and two writers at once."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import Run, run

from n2n_lib.denoiser.model import Model
from n2n_lib.support import files
from tools import kills
from tools.kills import COMMANDS, Command, Lost, torment

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

PROCESS = os.getpid()
KILLS = {"train": 1, "train --steps": 2, "save": 3, "notebooks": 1, "student": 1, "grade": 1}


@linux_only
@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_killed_loses_nothing(name: str):
    report = torment(name, KILLS[name])
    assert report.kills >= KILLS[name] and report.ends >= 1


# ---------------------------------------------------------------------- it would notice


def slowly(path: Path, content: str) -> None:
    """Write a file where it stands, with a pause in its middle."""
    with path.open("w", encoding="utf-8") as file:
        file.write(content[:5])
        file.flush()
        time.sleep(0.1)
        file.write(content[5:])


def careless(
    run: Callable[[Path], None],
    progress: Callable[[Path], int] = lambda folder: 0,
    result: Callable[[Path], object] = lambda folder: 0,
) -> Command:
    return Command(lambda folder: None, run, progress, result)


def fail(folder: Path) -> None:
    if os.getpid() != PROCESS:
        raise RuntimeError("no")


def forget(folder: Path) -> None:
    for number in (1, 0):
        (folder / "number").write_text(str(number), encoding="utf-8")
        time.sleep(0.1)
    (folder / "number").write_text("1", encoding="utf-8")


def number(folder: Path) -> int:
    path = folder / "number"
    return int(path.read_text(encoding="utf-8") or 0) if path.exists() else 0


@linux_only
@pytest.mark.parametrize(
    ("command", "message"),
    [
        (careless(lambda folder: slowly(folder / "x.json", "[1, 2, 3]")), "x.json to be whole"),
        (careless(forget, progress=number), "1 or more to be finished, got 0"),
        (careless(lambda folder: time.sleep(0.05), result=str), "what a run without kills gives"),
        (careless(fail), "expected it to end well"),
    ],
    ids=["half a file", "something lost", "another result", "a run that fails"],
)
def test_loss_is_found(command: Command, message: str, monkeypatch):
    monkeypatch.setitem(COMMANDS, "careless", command)
    with pytest.raises(Lost, match=re.escape(message)):
        torment("careless", 40)


@linux_only
def test_litter_is_found(monkeypatch):
    """An atomic writer that never removes what killed ones left."""

    def once(folder: Path) -> None:
        unfinished = folder / f".x.txt.{os.getpid()}.part"
        unfinished.touch()
        time.sleep(0.1)
        unfinished.replace(folder / "x.txt")

    monkeypatch.setitem(COMMANDS, "careless", careless(once))
    with pytest.raises(Lost, match="expected old litter to be removed, found .x.txt"):
        torment("careless", 40)


# ---------------------------------------------------------------------- litter


def test_old_litter_of_the_same_file_is_removed_and_nothing_else(tmp_path: Path):
    names = [".model.pth.abc.part", ".model.pth.def.part", ".other.pth.abc.part", "model.pth.part"]
    for name in names:
        (tmp_path / name).write_bytes(b"half")
        if name != ".model.pth.def.part":  # that one is new: somebody may be writing it
            os.utime(tmp_path / name, (1, 1))
    files.write_atomically(tmp_path / "model.pth", lambda file: file.write(b"whole"))
    assert {path.name for path in tmp_path.iterdir()} == {*names[1:], "model.pth"}


# ---------------------------------------------------------------------- no room, no permission


def train(folder: Path, out: Path, *options: object) -> Run:
    """Run a short training."""
    words = ["--data", folder / "data", "--out", out, "--epochs", 3, "--quiet"]
    return run("train", *words, *options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    kills.put_pairs(tmp_path)
    return tmp_path


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a small file system in memory, where that is permitted."""
    places = []

    def mount(options: str) -> Path:
        place = tmp_path / f"disk{len(places)}"
        place.mkdir()
        call = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if sys.platform != "linux" or subprocess.run(call, capture_output=True).returncode:
            pytest.skip("needs Linux, and the permission to mount")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("size", [16, 120, 200])
def test_a_full_disk_is_told_in_one_line(folder: Path, mounted, size: int):
    """A model or checkpoint takes some 75 kB; there is room for none, one or two."""
    out = mounted(f"size={size}k")
    code, _, err = train(folder, out)
    assert code == 2 and err.count("\n") == 1
    assert err.startswith("n2n: [Errno 28] No space left on device: ") and str(out) in err
    kills.require_whole(out)
    assert kills.litter(out) == []
    if size > 16:
        assert files.load(out / "checkpoint.pth", "a checkpoint")["history"]["seconds"]


@pytest.mark.parametrize("when", [1, 2, 4])
def test_a_disk_that_fills_up_at_any_write(folder: Path, when: int, monkeypatch):
    """As above, without a disk: the error of the system call, at each write in turn."""
    calls, real = [], os.fsync

    def fsync(handle: int) -> None:
        calls.append(handle)
        if len(calls) == when:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    code, _, err = train(folder, folder / "out")
    assert code == 2 and err.count("\n") == 1
    assert "No space left on device" in err and ".pth'" in err
    kills.require_whole(folder / "out")
    assert kills.litter(folder / "out") == []
    monkeypatch.undo()
    assert train(folder, folder / "out", "--resume").code == 0
    assert train(folder, folder / "whole").code == 0
    resumed, whole = (kills.values(folder / name / "model.pth") for name in ("out", "whole"))
    assert resumed == whole


def test_a_folder_that_is_read_only(folder: Path, mounted):
    out = mounted("ro,size=16k")
    code, _, err = train(folder, out)
    assert code == 2 and err.count("\n") == 1
    assert f"expected a folder that can be written to, got {out}" in err
    with pytest.raises(OSError, match=re.escape(str(out))):
        Model().save_model(out / "model.pth")


# ---------------------------------------------------------------------- two at once


@linux_only
def test_two_processes_that_write_to_one_folder(folder: Path):
    """Every file is whole and comes from one of the two."""
    runs = {}
    for lr in (1, 2):
        assert train(folder, folder / f"alone-{lr}", "--lr", lr).code == 0
        runs[lr] = kills.values(folder / f"alone-{lr}" / "model.pth")
    started = [kills.start(careless(lambda folder, lr=lr: well(folder, lr)), folder) for lr in runs]
    assert [os.waitpid(process, 0)[1] for process in started] == [0, 0]
    kills.require_whole(folder / "out")
    assert kills.litter(folder / "out") == []
    assert kills.values(folder / "out" / "model.pth") in runs.values()
    assert json.loads((folder / "out" / "results.json").read_text())["lr"] in runs


def well(folder: Path, lr: float) -> None:
    code, _, err = train(folder, folder / "out", "--lr", lr)
    assert code == 0, err


@linux_only
def test_two_processes_that_save_one_model(tmp_path: Path):
    expected = [Model("unet", seed=seed, width=4) for seed in (0, 1)]

    def save(folder: Path, model: Model) -> None:
        for _ in range(20):
            model.save_model(folder / "model.pth")

    started = [
        kills.start(careless(lambda folder, model=model: save(folder, model)), tmp_path)
        for model in expected
    ]
    assert [os.waitpid(process, 0)[1] for process in started] == [0, 0]
    values = [[p.tolist() for p, _ in model.network.param()] for model in expected]
    assert kills.values(tmp_path / "model.pth") in values
    assert kills.litter(tmp_path) == []

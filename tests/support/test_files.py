"""Files are written whole or not at all, and code in a file is never run."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

import numpy as np
import pytest
import torch

from n2n_lib.support import files

posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---------------------------------------------------------------------- writing


def test_a_new_file_holds_what_was_written(tmp_path: Path):
    path = tmp_path / "new.bin"
    assert files.write_atomically(path, lambda file: file.write(b"abc")) == path
    assert content(tmp_path) == {"new.bin": b"abc"}


def test_a_path_may_be_a_string_and_in_the_current_folder(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert files.write_atomically("new.bin", lambda file: file.write(b"abc")) == Path("new.bin")
    assert content(tmp_path) == {"new.bin": b"abc"}


def test_an_old_file_is_replaced_by_a_shorter_one(tmp_path: Path):
    path = tmp_path / "old.bin"
    path.write_bytes(b"a long old content")
    files.write_atomically(path, lambda file: file.write(b"new"))
    assert content(tmp_path) == {"old.bin": b"new"}


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path):
    path = tmp_path / "old.bin"
    path.write_bytes(b"old")
    seen = []

    def write(file) -> None:
        file.write(b"half")
        file.flush()
        seen.append(path.read_bytes())
        file.write(b" and half")

    files.write_atomically(path, write)
    assert seen == [b"old"]
    assert path.read_bytes() == b"half and half"


@pytest.mark.parametrize("error", [OSError("disk full"), ValueError("no"), KeyboardInterrupt()])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_failing_writer_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: BaseException, old: bytes | None
):
    path = tmp_path / "file.bin"
    if old is not None:
        path.write_bytes(old)
    before = content(tmp_path)

    def write(file) -> None:
        file.write(b"half a file")
        raise error

    with pytest.raises(type(error)) as caught:
        files.write_atomically(path, write)
    assert caught.value is error
    assert content(tmp_path) == before


def test_a_failing_move_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def refuse(source, target) -> None:
        raise PermissionError("the file is open elsewhere")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        files.write_atomically(path, lambda file: file.write(b"new"))
    assert content(tmp_path) == {"file.bin": b"old"}


def test_a_folder_in_the_place_of_the_file_stays(tmp_path: Path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):
        files.write_atomically(tmp_path / "taken", lambda file: file.write(b"new"))
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize("where", ["missing/file.bin", "file/file.bin"])
def test_a_path_that_cannot_be_written_to(tmp_path: Path, where: str):
    """A parent that does not exist, and one that is a file."""
    (tmp_path / "file").write_bytes(b"old")
    called = []
    with pytest.raises(OSError, match=f"'{re.escape(str(tmp_path / where))}'$"):
        files.write_atomically(tmp_path / where, called.append)
    assert not called
    assert content(tmp_path) == {"file": b"old"}


@posix_only
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int, mode: int):
    before = os.umask(umask)
    try:
        files.write_atomically(tmp_path / "file.bin", lambda file: file.write(b"abc"))
        (tmp_path / "plain.bin").write_bytes(b"abc")
        left = os.umask(umask)
    finally:
        os.umask(before)
    assert left == umask, "the umask itself was changed"
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("file.bin", "plain.bin")]
    assert modes == [mode, mode]


# ---------------------------------------------------------------------- tensors


def test_saved_and_loaded_are_the_same(tmp_path: Path):
    tensors = [torch.rand(2, 3, generator=torch.Generator().manual_seed(0)), torch.arange(4)]
    written = {"tensors": tensors, "text": "é", "numbers": (1, 2.5, None, True), "empty": {}}
    path = files.save(written, tmp_path / "content.pth")
    read = files.load(str(path), "a test file")
    assert all(torch.equal(a, b) for a, b in zip(read.pop("tensors"), tensors, strict=True))
    assert read == {key: value for key, value in written.items() if key != "tensors"}


def test_numbers_of_numpy_come_back_as_pythons(tmp_path: Path):
    written = {"a": np.float64(0.1), "b": [np.float32(0.5), (np.int64(3), np.bool_(True))]}
    read = files.load(files.save(written, tmp_path / "content.pth"), "a test file")
    assert read == {"a": 0.1, "b": [0.5, (3, True)]}
    assert [type(n) for n in (read["a"], read["b"][0], *read["b"][1])] == [float, float, int, bool]
    assert type(written["a"]) is np.float64


def test_a_failing_save_leaves_the_old_file(tmp_path: Path, monkeypatch):
    path = files.save({"a": 1}, tmp_path / "content.pth")
    before = content(tmp_path)

    def fail(content, file) -> None:
        file.write(b"PK")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        files.save({"a": 2}, path)
    assert content(tmp_path) == before


@pytest.mark.parametrize("part", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(tmp_path: Path, part: float):
    path = files.save([torch.arange(2000)], tmp_path / "short.pth")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(ValueError) as caught:
        files.load(path, "a test file")
    assert str(caught.value).startswith(f"{path}: expected a test file, got ")
    assert "\n" not in str(caught.value)


def test_no_file_and_a_folder(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"none.pth: expected a test file, found no"):
        files.load(tmp_path / "none.pth", "a test file")
    with pytest.raises(ValueError, match="expected a test file, got a folder"):
        files.load(tmp_path, "a test file")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("one\ntwo", "one"),
        ("", ""),
        (ValueError("no"), "no"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 197 + "..."),
        ("a\x1b[31mred\x00", "a?[31mred?"),
    ],
)
def test_brief(value: object, expected: str):
    assert files.brief(value) == expected


def test_a_write_without_room_names_the_file(tmp_path: Path):
    def write(file) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"No space left on device: .*full\.bin'$") as caught:
        files.write_atomically(tmp_path / "full.bin", write)
    assert caught.value.errno == errno.ENOSPC


def test_shared_names_and_all_kinds_of_numbers_are_read(tmp_path: Path):
    """Whatever a file of ours may hold passes the checks before the load, in both formats."""
    tensors = {
        str(dtype): torch.arange(5).to(dtype)
        for dtype in (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
        + (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    }
    views = [torch.arange(6.0).view(2, 3).t(), torch.arange(6.0)[2:4], torch.zeros(0, 3)]
    channels_last = torch.rand(1, 3, 4, 4).to(memory_format=torch.channels_last)
    written = [tensors, views, channels_last, {"cpu": ["storage"] * 3, (1, "a"): -(2**63)}]
    for old in (False, True):
        path = tmp_path / f"{old}.pth"
        torch.save(written, path, _use_new_zipfile_serialization=not old)
        read = files.load(path, "a test file")
        assert all(torch.equal(read[0][name], tensor) for name, tensor in tensors.items())
        assert all(torch.equal(one, other) for one, other in zip(read[1], views, strict=True))
        assert torch.equal(read[2], channels_last) and read[2].stride() == channels_last.stride()
        assert read[3] == written[3]

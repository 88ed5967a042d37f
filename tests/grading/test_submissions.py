"""What is read of what was handed in, and what is not."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from pathlib import Path

import pytest
from handing_in import ACTIVATIONS, LESSONS, NOTEBOOKS, ONE, UPSAMPLING, N, notebook, packed, read

from n2n_lib.course.grading import archives, submissions


def test_a_zip_file_is_read_wherever_the_notebook_lies(tmp_path: Path):
    members = (f"a/b/{UPSAMPLING} (2).ipynb", ONE), (f"__MACOSX/{UPSAMPLING}.ipynb", b"?")
    got = read(packed(tmp_path / "ann.zip", *members), [UPSAMPLING])
    assert (got.student, list(got.notebooks), got.remarks) == ("ann", [UPSAMPLING], [])


def test_of_several_notebooks_the_one_with_the_very_name_counts(tmp_path: Path):
    members = (f"a {UPSAMPLING}.ipynb", b"?"), (f"new/{UPSAMPLING}.ipynb", ONE)
    got = read(packed(tmp_path / "ann.zip", *members), [UPSAMPLING])
    assert list(got.notebooks) == [UPSAMPLING]
    assert got.remarks == [
        f"{N}: a {UPSAMPLING}.ipynb: expected a notebook of format 4, got JSONDecodeError",
        f"{N}: 2 notebooks, graded new/{UPSAMPLING}.ipynb",
    ]


@pytest.mark.parametrize(
    "name, trouble",
    [
        (f"../{UPSAMPLING}.ipynb", "a path out of the archive"),
        (f"/etc/{UPSAMPLING}.ipynb", "a path out of the archive"),
        (f"C:\\{UPSAMPLING}.ipynb", "a path out of the archive"),
        (f"link/{UPSAMPLING}.ipynb", "a link"),
    ],
)
def test_a_zip_file_leads_nowhere_else(tmp_path: Path, name: str, trouble: str):
    entry = zipfile.ZipInfo(name)
    if trouble == "a link":
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    packed(tmp_path / "ann.zip", (entry, ONE))
    got = read(tmp_path / "ann.zip", [UPSAMPLING])
    assert got.notebooks == {}
    assert f"{trouble}, not read" in got.remarks[0] or f"{trouble}, not read" in got.remarks[1]
    assert [path.name for path in tmp_path.iterdir()] == ["ann.zip"]


@pytest.mark.parametrize(
    "content, remark",
    [
        (b"no JSON", f"{N}: expected a notebook of format 4, got JSONDecodeError"),
        (b"[]", f"{N}: expected a notebook of format 4, got AttributeError"),
        (b'{"nbformat": 3, "worksheets": []}', f"{N}: expected a notebook of format 4, got"),
        (b'{"nbformat": 4, "cells": [7]}', f"{N}: expected a notebook of format 4, got TypeError"),
        (b"[" * 10**6, f"{N}: expected a notebook of format 4, got RecursionError"),
        (b" " * (archives.LARGEST + 1), f"{UPSAMPLING}.ipynb: more than 16 MB, not read"),
    ],
    ids=["text", "list", "old", "number", "deep", "bomb"],
)
def test_a_broken_notebook_is_remarked(tmp_path: Path, content: bytes, remark: str):
    got = read(packed(tmp_path / "a.zip", (f"{UPSAMPLING}.ipynb", content)), LESSONS)
    assert got.notebooks == {}
    assert any(line.startswith(remark) for line in got.remarks)


def test_a_broken_zip_file_is_remarked(tmp_path: Path):
    (tmp_path / "ann.zip").write_bytes(b"PK, or so it says")
    assert read(tmp_path / "ann.zip", LESSONS).remarks == ["cannot be read: File is not a zip file"]


def test_a_broken_part_of_a_zip_file_costs_its_notebook(tmp_path: Path):
    activations = json.dumps(notebook(ACTIVATIONS)).encode()
    path = packed(
        tmp_path / "ann.zip", (f"{UPSAMPLING}.ipynb", ONE), (f"{ACTIVATIONS}.ipynb", activations)
    )
    content = bytearray(path.read_bytes())
    content[200:300] = bytes(100)  # inside the first
    path.write_bytes(content)
    got = read(path, [UPSAMPLING, ACTIVATIONS])
    assert list(got.notebooks) == [ACTIVATIONS]
    assert got.remarks[0].startswith(f"{N}: cannot be read: ")


def test_too_many_files_are_remarked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archives, "MOST", 2)
    members = [(f"{UPSAMPLING}.ipynb", ONE), ("1.txt", b""), ("2.txt", b"")]
    got = read(packed(tmp_path / "ann.zip", *members), [UPSAMPLING])
    assert got.remarks == [f"more than {submissions.MOST} files, the rest not read"]
    assert list(got.notebooks) == [UPSAMPLING]


@pytest.mark.skipif(os.name == "nt", reason="needs links and named pipes")
def test_links_and_pipes_in_a_folder_are_not_read(tmp_path: Path):
    folder = tmp_path / "ann"
    folder.mkdir()
    (folder / f"{UPSAMPLING}.ipynb").symlink_to(NOTEBOOKS / f"{UPSAMPLING}.ipynb")
    os.mkfifo(folder / f"{ACTIVATIONS}.ipynb")
    got = read(folder, LESSONS)
    assert got.notebooks == {}
    assert f"{UPSAMPLING}.ipynb: a link, not read" in got.remarks
    assert f"{ACTIVATIONS}.ipynb: no file, not read" in got.remarks

"""``n2n lab``: which folder it opens, and what it writes before."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from commands import ROOT, assert_one_line, run, well

from n2n_lib.cli import lab
from n2n_lib.course import edition, notebooks
from n2n_lib.course.lessons import EDITION


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """Stand in an empty folder, and collect the calls of JupyterLab."""
    calls = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lab, "_run", lambda words: calls.append(words[1:]) or 0)
    monkeypatch.setattr(edition, "make_edition", lambda folder: (folder / "a").mkdir(parents=True))
    return calls


def test_an_edition_is_made_once_and_opened(opened, tmp_path: Path):
    well("lab")
    assert (tmp_path / "lessons" / "a").is_dir()
    (tmp_path / "lessons" / EDITION).touch()
    well("lab", "--no-browser")  # making it again would fail
    folder = str(tmp_path / "lessons")
    assert opened == [["-m", "jupyterlab", folder], ["-m", "jupyterlab", folder, "--no-browser"]]


def test_the_edition_that_one_stands_in_is_opened(opened, tmp_path: Path):
    (tmp_path / EDITION).touch()
    well("lab")
    assert opened == [["-m", "jupyterlab", str(tmp_path)]]


def test_a_folder_that_was_handed_out_with_the_library(opened, tmp_path: Path, monkeypatch):
    (tmp_path / "handed").mkdir()
    (tmp_path / "handed" / EDITION).touch()
    monkeypatch.setattr(notebooks, "PACKAGE", tmp_path / "handed" / "n2n_lib")
    well("lab")
    assert opened == [["-m", "jupyterlab", str(tmp_path / "handed")]]


def test_the_instructor_s_lessons(opened):
    well("lab", "--instructor")
    assert opened == [["-m", "jupyterlab", str(ROOT / "notebooks")]]
    assert_one_line(run("lab", "there", "--instructor"), "expected --instructor or a folder")


def test_a_jupyterlab_that_is_missing_or_fails(opened, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lab, "_run", lambda words: 1)
    assert_one_line(run("lab"), "JupyterLab ended with exit code 1", "n2n doctor")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert_one_line(run("lab", "other"), "JupyterLab is not installed", "pip install jupyterlab")

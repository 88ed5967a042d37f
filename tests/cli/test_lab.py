"""``n2n lab``: which folder it opens, and what it writes before."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
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
    monkeypatch.setattr(lab, "_run", lambda words, env: calls.append(words[1:]) or 0)
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
    monkeypatch.setattr(lab, "_run", lambda words, env: 1)
    assert_one_line(run("lab"), "JupyterLab ended with exit code 1", "n2n doctor")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert_one_line(run("lab", "other"), "JupyterLab is not installed", "pip install jupyterlab")


def test_what_jupyterlab_shall_not_show_is_switched_off(opened, tmp_path: Path, monkeypatch):
    """By what JupyterLab itself reads, beside the settings that a user has."""
    (tmp_path / "theirs" / "labconfig").mkdir(parents=True)
    settings = tmp_path / "theirs" / "labconfig" / "page_config.json"
    settings.write_text('{"disabledExtensions": {"their-own": true}}')
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(tmp_path / "theirs"))
    read = "import json; from jupyterlab_server.config import get_page_config as read_page_config; "
    read += "print(json.dumps(read_page_config([])['disabledExtensions']))"
    seen = []

    def start(words: list[str], env: dict[str, str]) -> int:
        done = subprocess.run([sys.executable, "-c", read], env=env, capture_output=True, text=True)
        seen.append(set(json.loads(done.stdout)))
        return done.returncode

    monkeypatch.setattr(lab, "_run", start)
    well("lab")
    well("lab", "--instructor")
    student, instructor = seen
    assert student >= {"their-own", lab.NEWS, lab.GRADING}
    assert "their-own" in instructor and lab.NEWS in instructor and lab.GRADING not in instructor


@pytest.mark.skipif(os.name == "nt", reason="there, no signal ends a process in good order")
def test_what_ends_the_command_ends_jupyterlab():
    endless = "import time; print('it runs', flush=True); time.sleep(600)"
    command = (
        f"from n2n_lib.cli import lab; print(lab._run({[sys.executable, '-c', endless]}, None))"
    )
    words = [sys.executable, "-c", command]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "it runs\n"
        process.terminate()
        said, _ = process.communicate(timeout=60)  # the program had the pipe, too, until it ended
    assert said == f"{-signal.SIGTERM}\n" and process.returncode == 0


def test_jupyterlab_still_has_what_is_switched_off():
    from jupyterlab.commands import get_app_dir

    programs = Path(get_app_dir(), "static").glob("*.js")
    name = lab.NEWS.partition("/")[2]
    assert any(name.encode() in program.read_bytes() for program in programs)


@pytest.mark.skipif(os.name == "nt", reason="its folders have other places")
def test_what_jupyter_cannot_write_to_is_elsewhere_until_it_ends(tmp_path: Path, monkeypatch):
    (tmp_path / "home").touch()  # no folder can be made in it, even by root
    (tmp_path / "config").mkdir()
    (tmp_path / "work" / EDITION).parent.mkdir()
    (tmp_path / "work" / EDITION).touch()
    own = ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "MPLCONFIGDIR")
    for name in (*own, "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path / "work")
    environments = []

    def start(words: list[str], env: dict[str, str]) -> int:
        environments.append(env)
        draws = [sys.executable, "-c", "import matplotlib; matplotlib.get_cachedir()"]
        return len(subprocess.run(draws, env=env, stderr=subprocess.PIPE, check=True).stderr)

    monkeypatch.setattr(lab, "_run", start)
    done = well("lab")
    assert done.out.count("cannot be written to") == 1 and str(tmp_path / "home") in done.out
    (env,) = environments
    assert env["JUPYTER_CONFIG_DIR"] == str(tmp_path / "config")
    for name in own:
        assert str(tmp_path) not in env[name] and not Path(env[name]).parent.exists()
    monkeypatch.setenv("HOME", str(tmp_path / "config"))
    assert "cannot be written to" not in well("lab").out
    assert environments[1].keys().isdisjoint(own)


def test_matplotlib_is_not_loaded_for_it():
    """It would speak up where it cannot write to its folder, and nothing is drawn here."""
    loads = "import sys; import n2n_lib.cli.lab, n2n_lib.course.edition; "
    words = [sys.executable, "-c", loads + "print('matplotlib' in sys.modules)"]
    assert subprocess.run(words, capture_output=True, text=True).stdout == "False\n"

"""The wheel carries all that people need who have no clone; it is built here, without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from n2n_lib.course.edition import BESIDE

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a source distribution, as whoever publishes it does."""
    pytest.importorskip("setuptools", minversion="77.0.3")
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"  # a build leaves files beside what it builds
    for name in ("n2n_lib", "notebooks"):
        (source / name).mkdir(parents=True)
    tracked = [*ROOT.glob("*.*"), ROOT / "LICENSE"]
    for path in [*tracked, *ROOT.glob("notebooks/*"), *ROOT.glob("n2n_lib/**/*")]:
        if path.is_file() and path.suffix != ".pyc":
            target = source / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target) if path.suffix == ".pth" else target.write_bytes(path.read_bytes())
    backend = "from setuptools import build_meta as b; print(b.build_{}({!r}))"
    call([sys.executable, "-c", backend.format("sdist", str(folder))], source)
    (packed,) = folder.glob("*.tar.gz")
    call([sys.executable, "-m", "tarfile", "-e", str(packed), str(folder)], folder)
    unpacked = folder / packed.name.removesuffix(".tar.gz")
    call([sys.executable, "-c", backend.format("wheel", str(folder))], unpacked)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Install the wheel into a folder, and return the environment that finds it there alone."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder)
    return os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}


def call(words: list[str], folder: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def n2n(installed: dict[str, str], folder: Path, *words: str) -> str:
    return call([sys.executable, "-P", "-m", "n2n_lib", *words], folder, installed)


def test_what_the_wheel_holds(wheel: Path):
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        lesson = file.read(f"n2n_lib/project/notebooks/{NOTEBOOKS[0]}")
    assert lesson == (ROOT / "notebooks" / NOTEBOOKS[0]).read_bytes()
    project = {n.removeprefix("n2n_lib/project/") for n in names if "/project/" in n}
    lessons = {f"notebooks/{name}" for name in NOTEBOOKS}
    assert project == lessons | {"notebooks/README.md", "notebooks/nbval_sanitize.cfg", *BESIDE}
    package = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("n2n_lib/**/*.py")}
    data = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("n2n_lib/**/*.pth")}
    pages = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("n2n_lib/**/*.html")}
    assert package | data | pages <= names
    assert not [name for name in names if "cache" in name or name.startswith("tests")]


def test_an_edition_comes_out_of_the_wheel(installed: dict[str, str], tmp_path: Path):
    (tmp_path / "notebooks").mkdir()  # somebody's own, without lessons
    n2n(installed, tmp_path, "student", "lessons", "--library")
    names = {path.name for path in (tmp_path / "lessons").iterdir()}
    assert names >= {*NOTEBOOKS, *BESIDE, "n2n_lib", ".edition.json"}
    own = (tmp_path / "lessons" / "README.md").read_bytes()
    assert own == (ROOT / "notebooks" / "README.md").read_bytes()
    library = {p.name for p in (tmp_path / "lessons" / "n2n_lib").rglob("*") if p.is_file()}
    assert library == {p.name for end in ("py", "pth") for p in ROOT.glob(f"n2n_lib/**/*.{end}")}


def test_installed_lessons_are_copied_before_they_are_run(
    installed: dict[str, str], tmp_path: Path
):
    code = "from n2n_lib.course.notebooks import *; print(find_lessons()[0], own_lessons()[0])"
    out = call([sys.executable, "-P", "-c", code], tmp_path, installed).split()
    assert Path(out[0]).parts[-4:-1] == ("n2n_lib", "project", "notebooks")
    assert out[1] == str(Path("notebooks", NOTEBOOKS[0]))
    mine = tmp_path / "notebooks" / NOTEBOOKS[0]
    mine.write_text("mine")
    out = call([sys.executable, "-P", "-c", code], tmp_path, installed).split()
    assert out == [str(Path("notebooks", NOTEBOOKS[0]))] * 2 and mine.read_text() == "mine"


# ---------------------------------------------------------------------- the first cell


def run_first_cells(edition: Path, site: Path) -> nbformat.NotebookNode:
    """Run the cells of lesson 03 up to its first import, where the library is not installed."""
    lesson = nbformat.read(edition / "03_gradients.ipynb", as_version=4)
    place = next(n for n, cell in enumerate(lesson.cells) if "import n2n_lib" in cell.source
                 or "from n2n_lib" in cell.source)
    lesson.cells = lesson.cells[: place + 1]
    # -S and a folder of packages of its own: the environment of these tests, without n2n_lib.
    return lesson

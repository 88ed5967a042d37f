"""The wheel carries all that people need who have no clone; it is built here, without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from test_doctor import environment

from n2n_lib.course import first_cell
from n2n_lib.course.edition import BESIDE, make_edition

ROOT = Path(__file__).resolve().parents[2]
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
            shutil.copy(path, target)
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
    assert project == lessons | {
        "notebooks/README.md",
        "notebooks/nbval_sanitize.cfg",
        "notebooks/capstone.bin",
        *BESIDE,
    }
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


def test_copies_of_the_installed_lessons_are_handed_out_with_the_installed_library(
    installed: dict[str, str], tmp_path: Path
):
    n2n(installed, tmp_path, "student", "before.zip")
    copy = "from n2n_lib.course.notebooks import own_lessons; own_lessons()"
    call([sys.executable, "-P", "-c", copy], tmp_path, installed)
    (tmp_path / "notebooks" / NOTEBOOKS[-1]).unlink()  # so that one sees which are handed out
    n2n(installed, tmp_path, "student", "after.zip")
    contents = []
    for name in ("before", "after"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip") as file:
            contents.append({n.removeprefix(f"{name}/"): file.read(n) for n in file.namelist()})
    before, after = contents
    del before[NOTEBOOKS[-1]], before[".edition.json"], after[".edition.json"]
    assert after == before and "n2n_lib/__init__.py" in after


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


@pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")
def test_the_first_cell_installs_where_the_library_is_missing(wheel: Path, tmp_path: Path):
    """As on a class server with PyTorch and Jupyter: nothing is fetched, nothing is replaced."""
    make_edition(tmp_path / "edition", install_from=str(wheel))
    assert (tmp_path / "edition" / wheel.name).read_bytes() == wheel.read_bytes()
    python, packages = environment(tmp_path / "env", without=("n2n-lib",))
    for left in packages.glob("*n2n_lib*"):
        left.unlink()
    lesson = nbformat.read(tmp_path / "edition" / "03_gradients.ipynb", as_version=4)
    codes = [cell.source for cell in lesson.cells if cell.cell_type == "code"]
    first = codes[0].replace("%pip install", "%pip install --no-index")
    program = tmp_path / "cells.py"
    program.write_text(
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        f"for source in {[first, codes[1], first]!r}:\n"
        "    print('cell')\n"
        "    shell.run_cell(source).raise_error()\n"
        "import n2n_lib; print(n2n_lib.__file__)\n"
    )
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env |= {"IPYTHONDIR": str(tmp_path / "ipython"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    out = call([str(python), str(program)], tmp_path / "edition", env)
    assert out.splitlines()[-3:-1] == ["cell", "cell"]  # where it is there, it prints nothing
    assert out.splitlines()[-1] == str(packages / "n2n_lib" / "__init__.py")
    assert not (packages / "torch").is_dir() or (packages / "torch").is_symlink()


def test_the_first_cell_and_what_it_may_install_from(tmp_path: Path):
    source = "git+https://example.org/course/n2n.git@v1#egg=n2n-lib"
    make_edition(tmp_path / "edition", install_from=source)
    for path in sorted((tmp_path / "edition").glob("*.ipynb")):
        lesson = nbformat.read(path, as_version=4)
        first = next(cell for cell in lesson.cells if cell.cell_type == "code")
        assert first.id == "install" and f'%pip install -q "{source}"' in first.source
        assert len(first.source.splitlines()) <= 25


@pytest.mark.parametrize(
    "source",
    ["", "n2n-lib", "nowhere.whl", "-e .", "http://example.org/n", 'https://a"; rm -rf ~; "']
    + ["https://a/$(id)", "https://a/`id`", "https://a b", "/etc/passwd", "https://a\nimport os"],
)
def test_what_it_may_not_install_from(source: str):
    with pytest.raises(ValueError, match="expected a wheel n2n_lib-.*or an address"):
        first_cell.installing({}, source)

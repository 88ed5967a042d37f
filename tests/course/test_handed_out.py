"""An edition that an earlier release handed out can be updated, and runs where it is not.

``handed_out.zip`` was made by the last release whose modules all stood in one folder. It holds a
student's folder with one lesson answered, one only run, and the progress so far; and, in
``imports.txt``, all that the lessons of that release took from the library, a statement a line.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from commands import tree

import n2n_lib
from n2n_lib.course.check import record
from n2n_lib.course.edition import STUB, make_edition
from n2n_lib.course.notebooks import find_lessons, read_lesson, run_lesson
from n2n_lib.support.moved import MOVED

ROOT = Path(__file__).resolve().parents[2]
HANDED_OUT = Path(__file__).with_name("handed_out.zip")
ANSWERED, RUN = "04_upsampling.ipynb", "05_activations.ipynb"
SUCCESSOR = "05_upsampling.ipynb"


@pytest.fixture
def student(tmp_path: Path) -> Path:
    """The folder that the student works in."""
    with zipfile.ZipFile(HANDED_OUT) as archive:
        archive.extractall(tmp_path)
    return tmp_path / "student"


def test_an_update_keeps_the_work_and_brings_the_lessons(student: Path, monkeypatch):
    work = {name: (student / name).read_bytes() for name in (ANSWERED, record.PROGRESS)}
    report = make_edition(student, ROOT / "notebooks")
    assert {name: (student / name).read_bytes() for name in work} == work
    assert report.removed == [RUN] and not (student / RUN).exists()
    assert set(report.written) >= {path.name for path in find_lessons(ROOT / "notebooks")}
    assert report.succeeded == {ANSWERED: [SUCCESSOR]}
    before, after = (
        {cell.id: cell.source for cell in read_lesson(student / name).cells}
        for name in (ANSWERED, SUCCESSOR)
    )
    assert STUB not in before["upsample-forward"]
    assert after["upsample-forward"] == before["upsample-forward"]
    assert STUB in after["upsample-backward"], "was not answered"
    monkeypatch.chdir(student)
    assert record.state(record.read()["upsample_forward"]) == "right"
    again = make_edition(student, ROOT / "notebooks")
    assert again.written == again.updated == again.removed == []
    assert SUCCESSOR in again.kept and not again.succeeded


def test_a_newer_edition_updates_one_of_long_ago(student: Path, tmp_path: Path):
    """Without a clone: its source is a folder that was handed out as well."""
    other = shutil.copytree(student, tmp_path / "other")
    new = tmp_path / "new"
    make_edition(new, ROOT / "notebooks", library=True)
    work = {name: (student / name).read_bytes() for name in (ANSWERED, record.PROGRESS)}
    report = make_edition(student, new)
    assert {name: (student / name).read_bytes() for name in work} == work
    assert report.succeeded == {ANSWERED: [SUCCESSOR]} and report.removed == [RUN]
    make_edition(other, ROOT / "notebooks")
    assert tree(student) == tree(other)
    make_edition(student, new, library=True)
    assert (student / "n2n_lib" / "__init__.py").is_file()


@pytest.mark.parametrize("name", [ANSWERED, RUN])
def test_a_lesson_that_was_not_updated_runs(student: Path, name: str):
    lesson = read_lesson(student / name)
    run_lesson(lesson, student / name, timeout=120)
    for cell in (cell for cell in lesson.cells if cell.cell_type == "code"):
        shown = "".join(output.get("text", "") for output in cell.outputs)
        if cell.id == "upsample-forward-check":
            assert shown.startswith("upsample_forward: right")
        elif not {"exercise", "check"} & set(cell.metadata.get("tags", [])):
            assert not [output for output in cell.outputs if output.output_type == "error"], shown


def failures(statements: list[str], library: Path = ROOT) -> list[str]:
    """Return what goes wrong where a fresh Python runs the statements, each by itself."""
    code = (
        "import sys\n"
        "for line in sys.stdin.read().splitlines():\n"
        "    try: exec(line, {})\n"
        "    except Exception as error: print(f'{line}: {type(error).__name__}: {error}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input="\n".join(statements),
        env=os.environ | {"PYTHONPATH": str(library)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("order", [1, -1], ids=["in order", "backwards"])
def test_what_lessons_took_from_the_library_is_still_there(order: int):
    with zipfile.ZipFile(HANDED_OUT) as archive:
        statements = archive.read("imports.txt").decode().splitlines()
    assert len(statements) > 100
    assert failures(statements[::order]) == []


def test_moved_names_lead_to_the_files_of_now():
    statements = [
        f"import n2n_lib.{old}, n2n_lib.{now} as now; assert sys.modules['n2n_lib.{old}'] is now"
        for old, now in MOVED.items()
        if now
    ]
    statements += [
        "import n2n_lib.gradcheck; assert callable(n2n_lib.gradcheck)",
        "import n2n_lib.gradcheck; from n2n_lib import gradcheck; assert callable(gradcheck)",
        "from n2n_lib.optim import SGD; import n2n_lib; assert SGD is n2n_lib.SGD",
        "from n2n_lib.data import to_unit; import n2n_lib; assert to_unit is n2n_lib.to_unit",
    ]
    assert failures([f"import sys; {statement}" for statement in statements]) == []


def test_old_files_beside_the_new_ones_are_not_read(tmp_path: Path):
    """They stay in a folder that was handed out with the library, and is updated."""
    shutil.copytree(ROOT / "n2n_lib", tmp_path / "n2n_lib")
    for old in MOVED:
        (tmp_path / "n2n_lib" / f"{old}.py").write_text("raise RuntimeError('old')")
    statements = [f"import n2n_lib.{old}" for old in MOVED]
    assert failures(statements, library=tmp_path) == []


def test_a_name_that_never_was_is_an_error():
    assert "ModuleNotFoundError" in failures(["import n2n_lib.nothing"])[0]
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        n2n_lib.nothing  # noqa: B018

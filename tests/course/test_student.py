"""The student edition: no solution in it, and nothing of a student's lost."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from inspect import isfunction
from pathlib import Path
from typing import Any

import nbformat
import pytest
from commands import assert_one_line, command, run, tree
from hypothesis import given
from hypothesis import strategies as st
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from notebook_files import tags, write

from n2n_lib.course import edition as edition_module
from n2n_lib.course import notebooks
from n2n_lib.course.check import record
from n2n_lib.course.edition import (
    REGION,
    STUB,
    fingerprint,
    make_edition,
    pack_edition,
    student_version,
)
from n2n_lib.course.lessons import stem_of
from n2n_lib.course.notebooks import LessonError, find_lessons
from n2n_lib.framework.module import Module
from tools import untouched

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
LESSONS = find_lessons(NOTEBOOKS)
CONVOLUTION = stem_of("convolution")


@pytest.fixture(scope="module")
def edition(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The student edition of the real lessons."""
    folder = tmp_path_factory.mktemp("edition") / "student"
    make_edition(folder, NOTEBOOKS)
    return folder


@pytest.fixture(params=LESSONS, ids=lambda path: path.stem)
def pair(request: pytest.FixtureRequest, edition: Path) -> tuple[NotebookNode, NotebookNode]:
    """A lesson for instructors, and for students."""
    path = request.param
    return nbformat.read(path, as_version=4), nbformat.read(edition / path.name, as_version=4)


def kinds(cell: NotebookNode) -> set[str]:
    return {"exercise", "check"} & set(tags(cell))


# ---------------------------------------------------------------------- no solution in it

SHOWN = {
    # The lesson on gradients writes the gradient of one example before it asks for that of a batch.
    "grad_output @ weight",
    # Its docstrings say what is differentiated, and later cells unpack what is returned.
    "module.forward(x)",
    "grad_x, grad_weight",
    "grad_x, grad_weight, grad_bias",
    "weight, bias",
    # Its first module keeps its parameters so, and the next module does the same.
    "self.weight, self.weight_grad = weight, torch.zeros_like(weight)",
    "self.bias, self.bias_grad = bias, torch.zeros_like(bias)",
    # Later lessons train with this gradient, in such a loop, and test another transpose.
    "2 * error / error.numel()",
    "for _ in range(steps):",
    "left - right",
    # So do the lessons before the one that asks for the loop, and cells between its parts.
    "criterion.backward()",
    "optimiser.step()",
    "optimiser.zero_grad()",
    # The elective on speed has a module of its own.
    "[(self.weight, self.weight_grad), (self.bias, self.bias_grad)]",
    "weight.clone(), bias.clone()",
    # A docstring of the milestone says how the rows are drawn.
    "torch.randint(len(x), (batch,), generator=generator)",
    # Networks and loops that lessons show before the capstone asks for some.
    "for step in range(steps):",
    "last.bias.zero_()",
    "last.weight *= 0.1",
    "losses.append(float(criterion(network(x), t)))",
}
"""What a solution has in common with what the lesson shows on purpose."""


def answers(lesson: NotebookNode) -> set[str]:
    """Return what must not be in a student edition: every line of the solutions.

    Of a line count neither the indentation, nor the comment, nor whether its value is returned or
    given a name. What is then shorter than twelve characters, or holds names alone, gives nothing
    away.
    """
    lines = set()
    for cell in lesson.cells:
        for region in REGION.finditer(cell.source):
            for line in region[0].splitlines()[1:-1]:
                code = re.sub(r"\s+#.*", "", line.strip())
                lines.add(re.sub(r"^(return |[\w, ]+ = )", "", code))
    names = re.compile(r"[\w, ]+")  # without anything done to them
    return {line for line in lines if len(line) >= 12 and not names.fullmatch(line)} - SHOWN


def texts(value: Any) -> Iterator[str]:
    """Yield every string in a notebook: sources, outputs, metadata, attachments, and their keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def leaks(secrets: set[str], lesson: NotebookNode) -> set[str]:
    whole = "\0".join(texts(lesson))  # no secret goes across the borders
    return {secret for secret in secrets if secret in whole}


SECRETS = set().union(*(answers(nbformat.read(path, as_version=4)) for path in LESSONS))


def test_no_line_of_a_solution_is_left(pair: tuple[NotebookNode, NotebookNode]):
    instructors, students = pair
    assert leaks(SECRETS, students) == set()
    assert "SOLUTION" not in "".join(texts(students))
    if answers(instructors):
        assert leaks(SECRETS, instructors), "the search itself finds nothing"


def test_there_is_something_to_find():
    assert len(SECRETS) > 60
    assert "(size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1" in SECRETS


@pytest.mark.parametrize("place", ["source", "output", "metadata", "attachment", "notebook"])
def test_a_line_that_was_left_is_found(place: str):
    lesson = student_version(NOTEBOOKS / f"{CONVOLUTION}.ipynb")
    line = "    x = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1  # so\n"
    cell = next(cell for cell in lesson.cells if cell.cell_type == "code")
    if place == "source":
        cell.source += line
    elif place == "output":
        cell.outputs.append(nbformat.v4.new_output("stream", text=line))
    elif place == "metadata":
        cell.metadata.note = {"old": [line]}
    elif place == "attachment":
        lesson.cells[1].attachments = {"a.txt": {"text/plain": line}}
    else:
        lesson.metadata.note = line
    assert len(leaks(SECRETS, lesson)) == 1


# ---------------------------------------------------------------------- what is in it


def test_cells_are_those_of_the_lesson_with_stubs_and_marks(
    pair: tuple[NotebookNode, NotebookNode],
):
    instructors, students = pair
    nbformat.validate(students)
    kept = [cell for cell in instructors.cells if "instructor" not in tags(cell)]
    assert [cell.id for cell in students.cells[:-2]] == [cell.id for cell in kept]
    assert students.cells[-1].source.endswith("check.progress()")
    for theirs, ours in zip(students.cells, kept, strict=False):
        assert theirs.get("outputs", []) == [] and theirs.get("execution_count") is None
        assert theirs.metadata.get("nbgrader") == ours.metadata.get("nbgrader")
        assert (theirs.source == ours.source) == ("exercise" not in kinds(ours))
        marks = {
            key: theirs.metadata[key]
            for key in ("editable", "deletable")
            if kinds(ours) and key in theirs.metadata
        }
        assert marks == {
            **({"deletable": False} if kinds(ours) else {}),
            **({"editable": False} if "check" in kinds(ours) else {}),
        }
        assert ("raises-exception" in theirs.metadata.get("tags", [])) == bool(kinds(ours))


def test_a_stub_raises_and_keeps_the_docstring(
    pair: tuple[NotebookNode, NotebookNode],
):
    handed_out = {cell.id: cell for cell in pair[1].cells}
    for ours in pair[0].cells:
        if "exercise" not in kinds(ours):
            continue
        theirs = handed_out[ours.id]
        spaces: dict[str, Any] = {"Module": Module}
        original = dict(spaces)
        exec(theirs.source, spaces)
        exec(ours.source, original)
        (name,) = spaces.keys() - {"__builtins__", "Module"}
        assert spaces[name].__doc__ == original[name].__doc__
        check_stubs(spaces[name], len(REGION.findall(ours.source)))
        assert max(map(len, theirs.source.splitlines())) <= 100


def check_stubs(answer: Any, count: int) -> None:
    """So many functions, those of a class or it alone, say nothing but that they are unwritten."""
    functions = vars(answer).values() if isinstance(answer, type) else [answer]
    stubs = [f for f in functions if isfunction(f) and "NotImplementedError" in f.__code__.co_names]
    assert len(stubs) == count
    for stub in stubs:
        with pytest.raises(NotImplementedError) as caught:
            stub(*[None] * stub.__code__.co_argcount)
        assert str(caught.value) == ""


def exercise(solution: str = "    return 2 * x", tags: tuple[str, ...] = ("exercise",)):
    source = (
        'def double(x):\n    """Twice."""\n'
        f"    ### BEGIN SOLUTION\n{solution}\n    ### END SOLUTION"
    )
    return new_code_cell(source, metadata={"tags": list(tags)})


def test_cells_for_instructors_are_left_out(tmp_path: Path):
    note = new_markdown_cell("for you alone", metadata={"tags": ["instructor"]})
    lesson = student_version(write(tmp_path / "01_a.ipynb", "1 + 1", note, exercise()))
    assert [cell.source for cell in lesson.cells[:1]] == ["1 + 1"]
    assert "for you alone" not in "".join(texts(lesson))


def test_code_around_a_region_stays(tmp_path: Path):
    cell = exercise("    y = 2 * x")
    cell.source += "\n    return y"
    lesson = student_version(write(tmp_path / "01_a.ipynb", cell))
    assert lesson.cells[0].source.endswith(f"\n    {STUB}\n    return y")


BROKEN = {
    "not tagged": exercise(tags=()),
    "no end": new_code_cell(
        exercise().source.replace("### END", "### end"), metadata={"tags": ["exercise"]}
    ),
    "no begin": new_code_cell(
        exercise().source.replace("### BEGIN", "### begin"), metadata={"tags": ["exercise"]}
    ),
}


@pytest.mark.parametrize("cell", BROKEN.values(), ids=BROKEN)
def test_a_solution_that_could_not_be_taken_out_is_refused(tmp_path: Path, cell: NotebookNode):
    write(tmp_path / "source" / "01_a.ipynb", "1")
    write(tmp_path / "source" / "02_b.ipynb", cell)
    with pytest.raises(ValueError, match=r"02_b.ipynb, cell cell-0: expected"):
        make_edition(tmp_path / "student", tmp_path / "source")
    assert not (tmp_path / "student").exists()


# ---------------------------------------------------------------------- it runs


@pytest.mark.parametrize("topic", ["convolution", "activations"])
def test_an_untouched_lesson_stops_in_exercises_and_checks_alone(edition: Path, topic: str):
    assert untouched.complaints(edition / f"{stem_of(topic)}.ipynb") == []
    assert not (edition / record.PROGRESS).exists(), "what is not written has not been tried"


def test_what_an_untouched_lesson_must_not_do_is_found(edition: Path, tmp_path: Path):
    path = edition / f"{stem_of('activations')}.ipynb"
    lesson = nbformat.read(path, as_version=4)
    by_id = {cell.id: cell for cell in lesson.cells}
    by_id["relu-backward-check"].source = "pass"
    pictures = untouched.cells_with_pictures(nbformat.read(NOTEBOOKS / path.name, 4))
    places = {cell.id: number for number, cell in enumerate(lesson.cells)}
    last = min(places[name] for name in pictures if places[name] > places["relu-backward-check"])
    picture, lesson.cells = lesson.cells[last].id, lesson.cells[: last + 1]  # sooner done
    by_id[picture].source += "\nraise NotImplementedError('once')"
    by_id[picture].metadata.tags = ["raises-exception"]
    shutil.copy(edition / record.EDITION, tmp_path)
    nbformat.write(lesson, tmp_path / path.name)
    found = untouched.complaints(tmp_path / path.name)
    assert "relu-backward-check did not say that the answer is missing" in found
    assert f"{picture} stopped: NotImplementedError: once" in found
    assert f"{picture} showed no picture" in found


# ---------------------------------------------------------------------- updates

V1 = ("'first'", new_markdown_cell("read"), "3")
V2 = ("'second'", new_markdown_cell("read on"), "3")
V3 = ("'third'",)


def cell_sources(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells]


def versions(folder: Path) -> dict[str, str]:
    """Return the first cell of each notebook in a folder."""
    paths = sorted(path for path in folder.glob("*.ipynb") if path.is_file())
    return {path.name: (cell_sources(path) or [""])[0] for path in paths}


@pytest.fixture
def course(tmp_path: Path) -> tuple[Path, Path]:
    """Folders of a source with one lesson, and of its student edition."""
    write(tmp_path / "source" / "01_a.ipynb", *V1)
    make_edition(tmp_path / "student", tmp_path / "source")
    return tmp_path / "source", tmp_path / "student"


def change(path: Path, what: str) -> None:
    """Work in a notebook as a student does."""
    lesson = nbformat.read(path, as_version=4)
    if what == "edit":
        lesson.cells[0].source += "\nmine = 1"
    elif what == "add":
        lesson.cells.insert(1, new_markdown_cell("my note"))
    elif what == "delete":
        del lesson.cells[2]
    elif what == "move":
        lesson.cells[0], lesson.cells[2] = lesson.cells[2], lesson.cells[0]
    elif what == "attach":
        lesson.cells[1].attachments = {"a.png": {"image/png": "aGk="}}
    elif what == "tag":
        lesson.cells[0].metadata.tags = ["important"]
    elif what == "kind":
        lesson.cells[0] = new_markdown_cell(lesson.cells[0].source, id=lesson.cells[0].id)
    elif what == "run":
        lesson.cells[0].outputs = [nbformat.v4.new_output("stream", text="first")]
        lesson.cells[0].execution_count = 7
        lesson.cells.append(new_code_cell(""))
        lesson.cells[0].metadata |= {"scrolled": True, "jupyter": {"outputs_hidden": True}}
        lesson.metadata.kernelspec.display_name = "Mine"
        lesson.metadata.language_info.version = "3.13"
    nbformat.write(lesson, path)


WORK = ["edit", "add", "delete", "move", "attach", "tag", "kind"]


@pytest.mark.parametrize("what", WORK)
def test_work_is_kept_and_the_new_version_is_written_beside_it(course, what: str):
    source, student = course
    change(student / "01_a.ipynb", what)
    before = (student / "01_a.ipynb").read_bytes()
    write(source / "01_a.ipynb", *V2)
    report = make_edition(student, source)
    assert (student / "01_a.ipynb").read_bytes() == before
    assert cell_sources(student / "01_a.new.ipynb")[0] == "'second'"
    assert report.kept == ["01_a.ipynb"]
    assert report.beside == {"01_a.ipynb": "01_a.new.ipynb"}
    assert report.written == report.updated == report.unchanged == []


def test_a_lesson_that_was_only_run_is_updated(course):
    source, student = course
    change(student / "01_a.ipynb", "run")
    write(source / "01_a.ipynb", *V2)
    assert make_edition(student, source).updated == ["01_a.ipynb"]
    assert versions(student) == {"01_a.ipynb": "'second'"}


@pytest.mark.parametrize("what", [None, "run"])
def test_nothing_is_written_where_nothing_is_new(course, what: str | None):
    source, student = course
    if what:
        change(student / "01_a.ipynb", what)
    before = (student / "01_a.ipynb").read_bytes()
    assert make_edition(student, source).unchanged == ["01_a.ipynb"]
    assert (student / "01_a.ipynb").read_bytes() == before


def test_work_in_the_present_version_gets_no_second_file(course):
    source, student = course
    change(student / "01_a.ipynb", "edit")
    report = make_edition(student, source)
    assert report.kept == ["01_a.ipynb"] and report.beside == {}
    assert list(versions(student)) == ["01_a.ipynb"]


def test_the_file_beside_is_work_as_well_once_it_is_edited(course):
    source, student = course
    change(student / "01_a.ipynb", "edit")
    write(source / "01_a.ipynb", *V2)
    make_edition(student, source)
    write(source / "01_a.ipynb", *V3)
    make_edition(student, source)
    assert versions(student)["01_a.new.ipynb"] == "'third'"  # nobody had worked in the second
    change(student / "01_a.new.ipynb", "add")
    make_edition(student, source)
    assert "01_a.new2.ipynb" not in versions(student)  # there is nothing newer
    write(source / "01_a.ipynb", *V2)
    assert make_edition(student, source).beside == {"01_a.ipynb": "01_a.new2.ipynb"}
    assert versions(student)["01_a.new.ipynb"] == "'third'"
    assert versions(student)["01_a.new2.ipynb"] == "'second'"


def test_a_version_that_was_thrown_away_does_not_come_back(course):
    source, student = course
    change(student / "01_a.ipynb", "edit")
    write(source / "01_a.ipynb", *V2)
    make_edition(student, source)
    (student / "01_a.new.ipynb").unlink()
    make_edition(student, source)
    assert list(versions(student)) == ["01_a.ipynb"]


def test_a_lesson_that_was_renamed_comes_afresh(course):
    source, student = course
    change(student / "01_a.ipynb", "edit")
    (student / "01_a.ipynb").rename(student / "mine.ipynb")
    assert make_edition(student, source).written == ["01_a.ipynb"]
    assert versions(student) == {"01_a.ipynb": "'first'", "mine.ipynb": "'first'\nmine = 1"}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"cells": 3}', '{"cells": [{}]}', "\x00"])
def test_a_notebook_that_cannot_be_read_is_the_students(course, content: str):
    source, student = course
    (student / "01_a.ipynb").write_text(content)
    assert make_edition(student, source).kept == ["01_a.ipynb"]
    assert (student / "01_a.ipynb").read_text() == content


def test_files_that_were_there_before_are_left_alone(tmp_path: Path):
    write(tmp_path / "source" / "01_a.ipynb", *V1)
    student = tmp_path / "student"
    write(student / "01_a.ipynb", "'not yours'")
    (student / "diary.txt").write_text("dear")
    (student / "01_a.new.ipynb").mkdir()
    report = make_edition(student, tmp_path / "source")
    assert report.kept == ["01_a.ipynb"]
    assert versions(student)["01_a.ipynb"] == "'not yours'"
    assert report.beside == {"01_a.ipynb": "01_a.new2.ipynb"}
    assert (student / "diary.txt").read_text() == "dear"


@given(steps=st.lists(st.sampled_from([*WORK, "run", "update", "unlink"]), max_size=8))
def test_whatever_a_student_does_no_work_is_lost(tmp_path_factory, steps: list[str]):
    source, student = (tmp_path_factory.mktemp("course") / name for name in ("source", "student"))
    write(source / "01_a.ipynb", *V1)
    make_edition(student, source)
    work: dict[str, str] = {}  # fingerprints of files that a student has changed
    for number, step in enumerate(steps):
        path = student / sorted(versions(student) or ["01_a.ipynb"])[-1]
        if step == "update":
            write(source / "01_a.ipynb", f"'version {number}'", new_markdown_cell("read"), "3")
            make_edition(student, source)
            assert f"'version {number}'" in versions(student).values()
        elif step == "unlink":
            path.unlink(missing_ok=True)
            work.pop(path.name, None)
        elif path.exists() and len(cell_sources(path)) >= 3:
            change(path, step)
            mark = fingerprint(path.read_bytes(), path.name)
            if mark in json.loads((student / record.EDITION).read_text())["files"].values():
                work.pop(path.name, None)  # moved there and back again
            elif step != "run":
                work[path.name] = mark
        for name, mark in work.items():
            assert fingerprint((student / name).read_bytes(), name) == mark


def test_the_folder_can_be_handed_out_by_itself(tmp_path: Path):
    student = tmp_path / "student"
    report = make_edition(student, NOTEBOOKS, library=True)
    assert {"environment.yml", "pyproject.toml", "README.md", "LICENSE"} <= set(report.written)
    code = "import n2n_lib; n2n_lib.Model().load_pretrained_model(); print(n2n_lib.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=student, env={}, text=True, capture_output=True
    )
    assert Path(done.stdout.strip()).parent.parent.samefile(student), done.stderr
    (student / "n2n_lib" / "framework" / "conv.py").write_text("mine")
    report = make_edition(student, NOTEBOOKS, library=True)
    assert report.kept == ["n2n_lib/framework/conv.py"] and report.beside == {}
    assert (student / "n2n_lib" / "framework" / "conv.py").read_text() == "mine"


# ---------------------------------------------------------------------- editions of editions


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that was handed out by itself, in which nobody has worked."""
    folder = tmp_path_factory.mktemp("new") / "lessons"
    make_edition(folder, NOTEBOOKS, library=True)
    return folder


@pytest.mark.parametrize("library", [True, False])
def test_an_edition_of_an_edition_is_that_of_the_lessons(
    handed_out: Path, tmp_path: Path, library: bool
):
    make_edition(tmp_path / "first", NOTEBOOKS, library=library)
    make_edition(tmp_path / "second", handed_out, library=library)
    assert tree(tmp_path / "second") == tree(tmp_path / "first")


def test_who_has_no_clone_updates_from_the_new_folder(handed_out: Path, tmp_path: Path):
    """The library of the new folder writes itself and its lessons over the old ones."""
    mine = tmp_path / "mine"
    make_edition(mine, NOTEBOOKS, library=True)
    change(mine / f"{CONVOLUTION}.ipynb", "edit")
    (mine / "n2n_lib" / "framework" / "conv.py").write_text("mine")
    old = {f"{stem_of('sgd')}.ipynb": "{}", "n2n_lib/course/edition.py": "old"}  # as we wrote them
    manifest = json.loads((mine / record.EDITION).read_text())
    for name, content in old.items():
        (mine / name).write_text(content)
        manifest["files"][name] = fingerprint(content.encode(), name)
    (mine / record.EDITION).write_text(json.dumps(manifest))
    work = tree(mine)
    words = command("student", os.path.relpath(mine, handed_out), "--json")
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, cwd=handed_out, env=env, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["updated"] == sorted(old) and not report["written"]
    kept = [f"{CONVOLUTION}.ipynb", "n2n_lib/framework/conv.py"]
    assert report["kept"] == kept and report["beside"] == {}
    new = tree(handed_out)
    for name, content in tree(mine).items():
        if name != record.EDITION and "__pycache__" not in name:
            assert content == (work if name in kept else new)[name], name


@pytest.mark.parametrize("library, expected", [(True, "'first'"), (False, "'installed'")])
def test_installed_lessons_come_before_an_edition_that_needs_them(
    course, tmp_path: Path, monkeypatch, library: bool, expected: str
):
    """Whoever got only lessons works with the installed package, and its lessons are as new."""
    _, student = course
    write(tmp_path / "installed" / "01_a.ipynb", "'installed'")
    monkeypatch.setattr(edition_module, "BESIDE_PACKAGE", tmp_path / "none")
    for module in (edition_module, notebooks):
        monkeypatch.setattr(module, "INSTALLED", tmp_path / "installed")
    monkeypatch.setattr(notebooks, "BESIDE_PACKAGE", tmp_path / "none")
    if library:
        (student / "n2n_lib").mkdir()
        (student / "n2n_lib" / "__init__.py").touch()
    monkeypatch.chdir(student)
    make_edition(tmp_path / "mine")
    assert versions(tmp_path / "mine") == {"01_a.ipynb": expected}


def test_a_lesson_that_was_run_is_handed_on_as_it_was(course, tmp_path: Path):
    _, student = course
    before = nbformat.read(student / "01_a.ipynb", as_version=4)
    change(student / "01_a.ipynb", "run")
    make_edition(tmp_path / "mine", student)
    after = nbformat.read(tmp_path / "mine" / "01_a.ipynb", as_version=4)
    assert after.cells[0].metadata.pop("jupyter"), "how it is shown"
    assert after == before


def test_fewer_lessons_can_be_handed_on(course, tmp_path: Path):
    source, student = course
    write(source / "02_b.ipynb", "1")
    make_edition(student, source)
    (student / "01_a.ipynb").unlink()
    assert make_edition(tmp_path / "mine", student).written == ["02_b.ipynb"]


def test_what_somebody_worked_in_is_not_handed_on(course, tmp_path: Path):
    _, student = course
    change(student / "01_a.ipynb", "edit")
    with pytest.raises(ValueError, match=r"01_a.ipynb: expected a file as it was handed out"):
        make_edition(tmp_path / "mine", student)
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    "name",
    ["../01_a.ipynb", "/tmp/01_a.ipynb", "..\\01_a.ipynb", "a/..\\../01_a.ipynb", "C:01_a.ipynb"]
    + ["C:\\01_a.ipynb", "\\01_a.ipynb", "\\\\server\\share\\01_a.ipynb"],
)
def test_an_edition_has_no_files_elsewhere(course, tmp_path: Path, name: str):
    _, student = course
    manifest = json.loads((student / record.EDITION).read_text())
    manifest["files"][name] = "0"
    (student / record.EDITION).write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="expected files in its folder, got"):
        make_edition(tmp_path / "mine", student)


def test_the_cell_that_installs_is_there_once(course, tmp_path: Path):
    source, student = course
    address = "https://example.org/{}.whl"
    for folder, place, name in (student, source, "one"), (tmp_path / "mine", student, "two"):
        make_edition(folder, place, install_from=address.format(name))
    sources = "".join(cell_sources(tmp_path / "mine" / "01_a.ipynb"))
    assert sources.count("%pip") == 1 and "two.whl" in sources


def test_what_the_library_has_no_longer_goes_unless_somebody_changed_it(
    handed_out: Path, tmp_path: Path
):
    mine = tmp_path / "mine"
    make_edition(mine, handed_out)  # without the library
    ours, work = "n2n_lib/old.py", "n2n_lib/course/mine.py"
    beside, outside = "n2n_lib/framework/conv.new.py", "n2n_lib/../../outside.py"
    manifest = json.loads((mine / record.EDITION).read_text())
    for name in (ours, work, beside, outside):
        (mine / name).parent.mkdir(parents=True, exist_ok=True)
        (mine / name).write_text(name)
        manifest["files"][name] = fingerprint(name.encode(), name)
    (mine / work).write_text("changed")
    (mine / record.EDITION).write_text(json.dumps(manifest))
    assert make_edition(mine, handed_out).removed == []
    assert make_edition(mine, handed_out, library=True).removed == [ours]
    there = {name for name in (ours, work, beside, outside) if (mine / name).exists()}
    assert there == {work, beside, outside}
    assert make_edition(mine, handed_out).removed == []


def test_lessons_of_students_without_their_manifest_are_no_source(course, tmp_path: Path):
    _, student = course
    (student / record.EDITION).unlink()
    done = run("student", tmp_path / "mine", "--source", student)
    assert_one_line(done, "01_a.ipynb: expected a lesson of the instructor's, got one of a student")
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize("lost", [False, True])
def test_an_update_of_itself_says_where_to_call_it(handed_out, tmp_path: Path, monkeypatch, lost):
    """In a folder without a clone beside it, where a newer edition was meant to be."""
    monkeypatch.setattr(edition_module, "BESIDE_PACKAGE", tmp_path / "none")
    monkeypatch.setattr(notebooks, "BESIDE_PACKAGE", tmp_path / "none")
    make_edition(tmp_path / "mine", handed_out)
    if lost:
        (tmp_path / "mine" / record.EDITION).unlink()
    monkeypatch.chdir(tmp_path / "mine")
    done = run("student", "../other" if lost else ".")
    assert_one_line(done, "expected to be called in a newer edition, got", "unpack the newer one")


# ---------------------------------------------------------------------- a zip file


def test_a_zip_file_holds_a_fresh_edition(handed_out: Path, tmp_path: Path):
    first, second = tmp_path / "n2n.zip", tmp_path / "elsewhere" / "n2n.zip"
    report = pack_edition(first, NOTEBOOKS)
    assert set(report.written) >= {path.name for path in LESSONS} | {"n2n_lib/__init__.py"}
    code, _, err = run("student", second, "--source", handed_out)
    assert (code, err) == (0, "") and first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        archive.extractall(tmp_path)
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.namelist() == sorted(archive.namelist())
    compiled = {name for name in tree(handed_out) if "__pycache__" in name}  # by the test above
    assert tree(tmp_path / "n2n") == {
        name: content for name, content in tree(handed_out).items() if name not in compiled
    }


def test_a_zip_file_is_replaced_if_it_is_ours(handed_out: Path, tmp_path: Path):
    ours, work = tmp_path / "ours.zip", tmp_path / "work.zip"
    pack_edition(ours, handed_out)
    before = ours.read_bytes()
    pack_edition(ours, handed_out)
    assert ours.read_bytes() == before
    with zipfile.ZipFile(work, "w") as archive:
        archive.writestr("01_a.ipynb", "mine")
    (tmp_path / "text.zip").write_text("mine")
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 1, 1, 255, 0, 0))
    for path in (work, tmp_path / "text.zip", broken):
        before = path.read_bytes()
        assert_one_line(run("student", path, "--source", handed_out), "expected the name of a new")
        assert path.read_bytes() == before
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["broken.zip", "ours.zip", "text.zip", "work.zip"]


# ---------------------------------------------------------------------- the command


def test_the_command_says_what_it_did(course):
    source, student = course
    change(student / "01_a.ipynb", "edit")
    write(source / "01_a.ipynb", *V2)
    write(source / "02_b.ipynb", "1")
    code, out, err = run("student", student, "--source", source)
    assert code == 0 and err == ""
    assert re.search(r"written +02_b.ipynb", out)
    assert re.search(r"yours, kept +01_a.ipynb", out)
    assert re.search(r"newer, beside yours +01_a.new.ipynb", out)
    code, out, _ = run("student", student, "--source", source, "--json")
    assert json.loads(out)["kept"] == ["01_a.ipynb"]


def test_what_cannot_be_done_is_one_clear_error(course, tmp_path: Path):
    source, student = course
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    wrong = {
        (source, source): "expected another folder than that of the lessons",
        (tmp_path, source): "expected another folder than that of the lessons",
        (tmp_path / "file", source): "expected a folder for the student edition, got the file",
        (tmp_path / "file" / "in", source): "expected a folder that can be written to",
        (student, tmp_path / "nowhere"): "expected a folder of lessons, got .*nowhere",
        (student, tmp_path / "empty"): "expected lessons NN_name.ipynb in .*empty",
    }
    before = versions(student)
    for (folder, place), message in wrong.items():
        code, out, err = run("student", folder, "--source", place)
        assert code == 2 and out == "" and err.count("\n") == 1, err
        assert re.search(message, err), err
    (source / "02_b.ipynb").write_text("{")
    with pytest.raises(LessonError, match="02_b.ipynb"):
        make_edition(student, source)
    (source / "02_b.ipynb").unlink()
    with pytest.raises(ValueError, match="expected n2n_lib beside the lessons"):
        make_edition(student, source, library=True)
    (student / record.EDITION).write_text("{")
    with pytest.raises(ValueError, match="expected the manifest of a student edition"):
        make_edition(student, source)
    assert versions(student) == before

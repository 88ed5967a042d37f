"""The instructors' guide on an exercise of one's own, followed word for word.

The steps are taken from the text itself and done in a copy of the project: what the text leaves out
is left out here.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT

from n2n_lib.course import marks
from n2n_lib.course.edition import STUB
from n2n_lib.course.grading.tasks import read_assignments
from n2n_lib.course.notebooks import LessonError, find_lessons, read_lesson

GUIDE = "docs/INSTRUCTORS.md"
NAME, TAKEN = "clip_backward", "clip-backward"
COLUMN = f"06/{TAKEN}"
LITTER = shutil.ignore_patterns(
    *("__pycache__", ".git", ".venv", ".*_cache", ".hypothesis", "*.egg-info"),
    *("build", "out", "student", "*.zip"),
)


def steps() -> list[str]:
    """Return the steps of the recipe."""
    text = (ROOT / GUIDE).read_text(encoding="utf-8")
    recipe = re.search(r"(?ms)^## Adding an exercise\n(.*?)^## ", text)[1]
    return re.findall(r"(?ms)^\d\. (.*?)(?=^\d\. |\Z)", recipe)


def blocks(step: str, language: str) -> list[str]:
    """Return the code in a step as it is meant: the indentation of the list is not in it."""
    found = re.findall(rf"(?ms)^   ```{language}\n(.*?)^   ```", step)
    return [re.sub(r"(?m)^   ", "", block) for block in found]


def files_named(step: str) -> list[str]:
    return re.findall(r"`([\w/]+\.(?:py|ipynb))`", step)


def cells(steps: list[str]) -> list[dict]:
    """Return the two cells, with the ids and the metadata that the second step asks for."""
    ids = re.findall(r"`([a-z-]+)`", steps[1].partition("An id is")[0])
    return [
        {
            "cell_type": "code",
            "id": name,
            "metadata": json.loads(metadata),
            "source": source.rstrip("\n"),
            "outputs": [],
            "execution_count": None,
        }
        for name, metadata, source in zip(
            ids, blocks(steps[1], "json"), blocks(steps[0], "python"), strict=True
        )
    ]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which the first four steps have been done."""
    project = tmp_path_factory.mktemp("own") / "project"
    shutil.copytree(ROOT, project, ignore=LITTER)
    all_steps = steps()
    (lesson,) = project.glob("notebooks/06_*.ipynb")
    content = json.loads(lesson.read_text(encoding="utf-8"))
    after = re.search(r"below the cell `([\w-]+)`", all_steps[0])[1]
    place = [cell["id"] for cell in content["cells"]].index(after) + 1
    content["cells"][place:place] = cells(all_steps)
    lesson.write_text(json.dumps(content), encoding="utf-8")
    check = project / files_named(all_steps[2])[0]
    with check.open("a", encoding="utf-8") as file:
        file.write("\n\n" + "\n".join(blocks(all_steps[2], "python")))
    tests = project / files_named(all_steps[3])[0]
    text = tests.read_text(encoding="utf-8")
    tables = re.findall(r"In `([A-Z_]+)`", all_steps[3])
    for table, entry in zip(tables, blocks(all_steps[3], "python"), strict=True):
        text, count = re.subn(rf"(?m)^{table}: .*\{{\n", lambda m, new=entry: m[0] + new, text)
        assert count == 1, table
    tests.write_text(text, encoding="utf-8")
    return project


@pytest.fixture(scope="module")
def written(project: Path) -> Path:
    """The project after the first two commands of the last step."""
    for line in blocks(steps()[4], "sh")[0].splitlines()[:2]:
        words = shlex.split(line)
        variables = dict(word.split("=") for word in words if "=" in word)
        words = [word for word in words if "=" not in word]
        words = [sys.executable, *(["-m", "n2n_lib"] if words[0] == "n2n" else []), *words[1:]]
        call(project, words, **variables)
    return project


def call(project: Path, words: list, **variables: str) -> str:
    env = os.environ | {"PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"} | variables
    done = subprocess.run(
        list(map(str, words)), cwd=project, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def n2n(project: Path, *words: object) -> str:
    return call(project, [sys.executable, "-m", "n2n_lib", *words])


def test_every_test_that_it_concerns_passes(written: Path):
    """In place of all tests: those of this exercise, this lesson and the guides."""
    command = blocks(steps()[4], "sh")[0].splitlines()[2]
    assert command == "make lint test"
    words = f"{NAME} or 06_activations or guide or written_here or every_exercise"
    files = ["test_check.py", "test_lessons.py", "test_guides.py"]
    tests = [f"tests/course/{file}" for file in files] + ["tests/grading/test_points.py"]
    where = "import n2n_lib; print(n2n_lib.__file__)"
    assert Path(call(written, [sys.executable, "-c", where]).strip()).is_relative_to(written)
    out = call(
        written,
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, "-k", words],
    )
    assert int(re.search(r"(\d+) passed", out)[1]) > 60


def test_the_rest_of_the_metadata_is_filled_in(written: Path):
    content = json.loads((written / "notebooks" / "06_activations.ipynb").read_text())
    found = {cell["id"]: cell["metadata"] for cell in content["cells"]}
    for name in ("relu-backward", "relu-backward-check"):  # which has a point
        text = json.dumps(found[name], sort_keys=True).replace("relu-", "clip-")
        text = text.replace('"points": 1', '"points": 2')
        assert json.dumps(found[name.replace("relu-", "clip-")], sort_keys=True) == text


def test_the_student_edition_has_the_stub_and_grading_gives_the_points(
    written: Path, tmp_path: Path
):
    n2n(written, "student", tmp_path / "lessons")
    path = tmp_path / "lessons" / "06_activations.ipynb"
    given = {cell.id: cell.source for cell in read_lesson(path).cells}
    assert STUB in given[TAKEN] and "x < 1" not in given[TAKEN]
    content = json.loads((written / "notebooks" / path.name).read_text(encoding="utf-8"))
    content["cells"] = [c for c in content["cells"] if c["id"] in ("setup", TAKEN)]  # no other
    solution = cells(steps())[0]["source"]
    answers = {
        "right": solution,
        "wrong": solution.replace("(x > 0) & ", ""),
        "nothing": given[TAKEN],
    }
    for student, source in answers.items():
        for cell in content["cells"]:
            if cell["id"] == TAKEN:
                cell["source"] = source
        (tmp_path / "class" / student).mkdir(parents=True)
        (tmp_path / "class" / student / path.name).write_text(json.dumps(content))
    out = tmp_path / "grades.csv"
    options = ["--out", out, "--lessons", "06", "--fence", "none", "--jobs", 1]
    n2n(written, "grade", tmp_path / "class", *options)
    with out.open(encoding="utf-8-sig", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert {name: float(row[COLUMN]) for name, row in rows.items()} == {
        "right": 2,
        "wrong": 0,
        "nothing": 0,
    }
    (before,) = (each for each in read_assignments(ROOT / "notebooks") if each.name == path.stem)
    whole = sum(task.points for task in before.tasks) + 2
    assert {float(row["maximum"]) for row in rows.values()} == {whole}


# ---------------------------------------------------------------------- what may go wrong


def lesson_with(tmp_path: Path, **of_check: object) -> Path:
    """A lesson whose one check has such metadata."""
    source = 'def relu_forward(x):\n    """No."""\n    ### BEGIN SOLUTION\n    ### END SOLUTION'
    metadata = [{"tags": ["exercise"]}, {"tags": ["check"]} | of_check]
    content = {
        "cells": [
            {"cell_type": "code", "id": name, "metadata": about, "source": text}
            | {"outputs": [], "execution_count": None}
            for name, about, text in zip(
                ["relu", "relu-check"],
                metadata,
                [source, "check.relu_forward(relu_forward)"],
                strict=True,
            )
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path = tmp_path / "01_a.ipynb"
    path.write_text(json.dumps(content))
    return path


def test_an_exercise_is_worth_a_point_if_nothing_is_said(tmp_path: Path):
    lesson_with(tmp_path)
    (assignment,) = read_assignments(tmp_path)
    assert [task.points for task in assignment.tasks] == [marks.POINTS] == [1]


@pytest.mark.parametrize("points", ["2", None, True, -1, [1], float("nan"), float("inf")])
@pytest.mark.parametrize("read", [lambda path: read_assignments(path.parent), read_lesson])
def test_points_are_a_number(tmp_path: Path, points: object, read):
    path = lesson_with(tmp_path, nbgrader={"points": points})
    with pytest.raises(LessonError) as caught:
        read(path)
    words = f"cell relu-check: expected points as a number, 0 or more, got {points!r}"
    assert str(caught.value) == f"{path}, {words}"


def test_a_check_is_one_of_the_library(tmp_path: Path):
    path = lesson_with(tmp_path)
    path.write_text(path.read_text().replace("check.relu_forward", "check.relu_sideways"))
    with pytest.raises(LessonError, match="expected an exercise in .*found none named relu_sidew"):
        read_assignments(tmp_path)


def test_a_cell_is_an_exercise_or_a_check(tmp_path: Path):
    path = lesson_with(tmp_path, tags=["check", "exercise"])
    with pytest.raises(LessonError, match="cell relu-check: expected the tag exercise or check"):
        read_lesson(path)


def test_what_the_lessons_say_is_what_would_be_filled_in():
    for path in find_lessons(ROOT / "notebooks"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for tag in set(marks.TAGS) & set(cell["metadata"].get("tags", ())):
                given = cell["metadata"]["nbgrader"]
                points = {key: given[key] for key in ("points",) if key in given}
                assert given == marks.metadata_of(cell["id"], tag) | points

"""Grading: points for what is right, whatever a student hands in, and the words beside them."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest
import torch
from filelock import FileLock

from n2n_lib.check import EXERCISES
from n2n_lib.cli import main
from n2n_lib.grading import run, submissions
from n2n_lib.grading.judge import NoAnswer, has_bubblewrap
from n2n_lib.grading.lessons import read_lessons
from n2n_lib.grading.needed import needed
from n2n_lib.grading.run import Grade, Limits, Mark, grade
from n2n_lib.grading.submissions import find_submissions, read_submission
from n2n_lib.grading.wire import decode, encode
from n2n_lib.grading.worker import FORKS
from n2n_lib.lessons import find_lessons

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
SOLUTION = re.compile(r" *### BEGIN SOLUTION.*?### END SOLUTION", re.DOTALL)
UPSAMPLING = "04_upsampling"
PLAIN = Limits(seconds=5, closed=False)


def notebook(lesson: str, answers: dict[str, str] | None = None, rest: str | None = None) -> dict:
    """Return a lesson with bodies of functions by the id of the exercise's cell.

    Parameters
    ----------
    rest : str, optional
        Body of all other exercises. Default: the solution.
    """
    content = json.loads((NOTEBOOKS / f"{lesson}.ipynb").read_text(encoding="utf-8"))
    for cell in content["cells"]:
        body = (answers or {}).get(cell["id"], rest)
        if body is not None and "exercise" in cell["metadata"].get("tags", ()):
            lines = "\n".join(f"    {line}" for line in body.splitlines())
            cell["source"] = SOLUTION.sub(lambda _, new=lines: new, "".join(cell["source"]))
    return content


def hand_in(folder: Path, *contents: tuple[str, dict]) -> Path:
    folder.mkdir(parents=True)
    for lesson, content in contents:
        (folder / f"{lesson}.ipynb").write_text(json.dumps(content), encoding="utf-8")
    return folder


def cell_of(content: dict, name: str) -> dict:
    return next(cell for cell in content["cells"] if cell["id"] == name)


def code_cell(source: str) -> dict:
    return {"cell_type": "code", "id": "mine", "metadata": {}, "source": source, "outputs": []}


STUB = "raise NotImplementedError"
LESSONS = [path.stem for path in find_lessons(NOTEBOOKS)]

HOSTILE = {
    "linear-backward": ("while True: pass", "did not finish within 5 s"),
    "output-size": ("import os; os.abort()", "ended by SIGABRT"),
    "conv2d-forward": ("import ctypes; ctypes.string_at(0)", "ended by SIGSEGV"),
    "conv2d-input-grad": (
        "import os\nfor _ in range(1000): print('x' * 10**6)\nos._exit(3)",
        "ended Python, exit code 3",
    ),
    "upsample-forward": ("raise SystemExit", "wrong"),
    "relu-backward": (
        "import ctypes, time\n"
        "if ctypes.CDLL(None).fork() == 0:\n"
        "    ctypes.CDLL(None).setsid()\n"
        "    time.sleep(1000)",
        "wrong",
    ),
    "sigmoid-forward": ("open('big', 'wb').write(b'x' * 10**9)", "wrong"),
    "mse-backward": ("return torch.zeros(10**11)", "wrong"),
    "xavier-exercise": (
        "import socket\nsocket.create_connection(('127.0.0.1', 9), 1)",
        "wrong",
    ),
    "transposed-size": (
        "import os\nfor fd in range(3, 9):\n"
        "    try: os.write(fd, b'right' * 20)\n    except OSError: pass",
        "no answer",
    ),
    "momentum-exercise": ("raise ValueError('<script>alert(1)</script>')", "wrong"),
}
"""Bodies of functions, and what is remarked."""


def tampered() -> dict:
    """A wrong and a missing answer, and whatever might hide it."""
    content = notebook(UPSAMPLING, {"upsample-forward": "print('right')\nreturn x"})
    forge = "class check:\n    upsample_forward = print\nimport n2n_lib.check.engine as engine\n"
    forge += "engine.judge = engine.run = lambda *_: engine.Verdict(True, 'right')"
    content["cells"].insert(0, code_cell(forge))
    cell_of(content, "upsample-forward-check")["metadata"]["nbgrader"]["points"] = 100
    cell_of(content, "upsample-forward")["metadata"] = {}
    content["cells"].remove(cell_of(content, "upsample-backward"))
    cell_of(content, "upsample-backward-check")["source"] = "print('right')"
    return content


def added() -> dict:
    """A right answer that uses cells of the student's own, and no check left."""
    content = notebook(UPSAMPLING, {"upsample-forward": "%time\nreturn twice(x, scale)"})
    cell = cell_of(content, "upsample-forward")
    cell["source"] = cell["source"].replace("    %time\n", "") + "\n%time 1"
    helper = "import numpy as np\ndef twice(x, scale):\n"
    helper += "    return torch.from_numpy(np.kron(x.numpy(), np.ones((scale, scale)))).to(x)"
    content["cells"].insert(content["cells"].index(cell), code_cell(helper))
    cell["id"], cell["metadata"] = "another", {}
    content["cells"].remove(cell_of(content, "upsample-forward-check"))
    return content


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Grade]]:
    """A class, graded once: folder of the results, grades by student."""
    folder = tmp_path_factory.mktemp("class")
    bodies = {name: body for name, (body, _) in HOSTILE.items()}
    students = folder / "handed in"
    hand_in(students / "good", *((lesson, notebook(lesson)) for lesson in LESSONS))
    hand_in(students / "stubs", *((lesson, notebook(lesson, rest=STUB)) for lesson in LESSONS))
    hand_in(students / "hostile", *((lesson, notebook(lesson, bodies)) for lesson in LESSONS))
    half = notebook(UPSAMPLING, {"upsample-forward": "return x"})
    hand_in(students / "half" / "in a folder", (UPSAMPLING, half))
    hand_in(students / "=tampered", (UPSAMPLING, tampered()))
    hand_in(students / "added", (UPSAMPLING, added()))
    (folder / "temporary").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder / "temporary"))
        grades = grade(
            students,
            folder / "grades.csv",
            source=NOTEBOOKS,
            feedback=folder / "pages",
            limits=PLAIN,
            progress=False,
        )
    return folder, {done.student: done for done in grades}


def points(done: Grade) -> dict[str, float]:
    return {column: mark.points for column, mark in done.marks.items() if mark.points}


# ------------------------------------------------------------------------------ points


def test_every_exercise_is_graded_and_points_are_those_of_the_lessons():
    tasks = [task for lesson in read_lessons(NOTEBOOKS) for task in lesson.tasks]
    assert {task.exercise.name for task in tasks} == EXERCISES.keys()
    text = "".join(path.read_text(encoding="utf-8") for path in NOTEBOOKS.glob("*.ipynb"))
    assert sum(task.points for task in tasks) == sum(map(int, re.findall(r'"points": (\d+)', text)))


def test_solutions_get_all_points_and_stubs_none(graded):
    good, stubs = graded[1]["good"], graded[1]["stubs"]
    assert good.total == good.maximum > 0
    assert good.remarks == []
    assert stubs.total == 0
    assert {mark.result for mark in stubs.marks.values()} == {"not written"}


def test_one_right_and_one_wrong(graded):
    half = graded[1]["half"]
    assert points(half) == {"04/upsample-backward": 2}
    assert half.maximum == graded[1]["good"].maximum
    assert "04/upsample-forward: wrong" in half.remarks
    assert "03: no notebook 03_convolution.ipynb" in half.remarks
    assert "Wrong shape" in half.marks["04/upsample-forward"].message


def test_checks_and_points_are_the_instructors(graded):
    done = graded[1]["=tampered"]
    assert points(done) == {}
    remarks = [remark for remark in done.remarks if remark.startswith("04/")]
    restored = "of the check was changed; the instructor's was used"
    assert remarks == [
        f"04/upsample-forward: the metadata {restored}",
        "04/upsample-forward: wrong",
        f"04/upsample-backward: the check {restored.split(maxsplit=3)[-1]}",
        "04/upsample-backward: upsample_backward is not defined in any cell that Python can read",
    ]


def test_cells_of_the_students_own_count(graded):
    done = graded[1]["added"]
    assert points(done) == {"04/upsample-forward": 1, "04/upsample-backward": 2}
    assert "04/upsample-forward: the check was deleted; the instructor's was used" in done.remarks
    assert "twice(x, scale)" in done.marks["04/upsample-forward"].code


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_costs_itself(graded, name: str):
    done = graded[1]["hostile"]
    (column,) = (column for column in done.marks if column.endswith(f"/{name}"))
    assert done.marks[column].points == 0
    if FORKS:
        (remark,) = (remark for remark in done.remarks if remark.startswith(column))
        assert HOSTILE[name][1] in remark


def test_hostile_answers_cost_nothing_else(graded):
    done = graded[1]["hostile"]
    lost = sum(mark.maximum for c, mark in done.marks.items() if c.split("/")[1] in HOSTILE)
    assert done.total == done.maximum - lost


def test_nothing_is_left_behind(graded):
    temporary = graded[0] / "temporary"
    assert list(temporary.iterdir()) == []
    for process in psutil.process_iter():
        try:
            assert not process.environ().get("HOME", "").startswith(str(temporary))
        except psutil.Error:
            continue


def test_bubblewrap_closes_the_answer_in(tmp_path: Path):
    if not has_bubblewrap():
        pytest.skip("needs bubblewrap (bwrap) and a kernel that lets it work")
    target = tmp_path / "precious"
    target.write_text("x")
    path = json.dumps(str(target))
    body = (
        "import ctypes\nlibc = ctypes.CDLL(None)\n"
        f"gone = libc.unlink({path}.encode())\n"
        "with open('/proc/net/dev') as file: lines = file.read().splitlines()\n"
        "raise ValueError(f'{gone} {len(lines)}')"
    )
    hand_in(tmp_path / "one", (UPSAMPLING, notebook(UPSAMPLING, {"upsample-forward": body})))
    lessons = [lesson for lesson in read_lessons(NOTEBOOKS) if lesson.name == UPSAMPLING]
    with Limits(closed=True).worker() as worker:
        done = run.grade_submission(
            read_submission(tmp_path / "one", [UPSAMPLING]), lessons, worker
        )
    assert "ValueError: -1 3" in done.marks["04/upsample-forward"].message  # loopback alone
    assert points(done) == {"04/upsample-backward": 2}
    assert target.exists()

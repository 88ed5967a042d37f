"""Points for what is right, whatever a student hands in."""

from __future__ import annotations

import json
import re
from pathlib import Path

import psutil
import pytest
from handing_in import HIT, HOSTILE, NOTEBOOKS, REST, UPSAMPLING, N, hand_in, notebook, points, read

from n2n_lib.course.check import EXERCISES, HAND_INS
from n2n_lib.course.grading.judging.fence import why_no_bubblewrap
from n2n_lib.course.grading.judging.judge import Limits
from n2n_lib.course.grading.judging.marking import grade_submission
from n2n_lib.course.grading.judging.worker import FORKS
from n2n_lib.course.grading.tasks import read_assignments
from n2n_lib.course.lessons import stem_of


def test_every_exercise_is_graded_and_points_are_those_of_the_lessons():
    tasks = [task for lesson in read_assignments(NOTEBOOKS) for task in lesson.tasks]
    assert {task.exercise.name for task in tasks} == EXERCISES.keys() | HAND_INS.keys()
    text = "".join(path.read_text(encoding="utf-8") for path in NOTEBOOKS.glob("*.ipynb"))
    assert sum(task.points for task in tasks) == sum(map(int, re.findall(r'"points": (\d+)', text)))


def test_solutions_get_all_points_and_stubs_none(graded, solutions):
    stubs = graded[1]["stubs"]
    assert solutions.total == solutions.maximum == stubs.maximum > 0
    assert solutions.remarks == []
    assert stubs.total == 0
    assert {mark.result for mark in stubs.marks.values()} == {"not written"}


def test_one_right_and_one_wrong(graded, solutions):
    half, stem = graded[1]["half"], stem_of("convolution")
    assert points(half) == {f"{N}/upsample-backward": 2} | REST
    assert half.maximum == solutions.maximum
    assert f"{N}/upsample-forward: wrong" in half.remarks
    assert f"{stem[:2]}: no notebook {stem}.ipynb" in half.remarks
    assert "Wrong shape" in half.marks[f"{N}/upsample-forward"].message


def test_checks_and_points_are_the_instructors(graded):
    done = graded[1]["=tampered"]
    assert points(done) == {f"{N}/stamp-row": 2}
    remarks = [remark for remark in done.remarks if remark.startswith(f"{N}/")]
    assert remarks[:4] == [
        f"{N}/upsample-forward: the check is of another release; the instructor's was used",
        f"{N}/upsample-forward: wrong",
        f"{N}/upsample-backward: the check differs from the instructor's, which was used",
        f"{N}/upsample-backward: upsample_backward is not defined in any cell above its check",
    ]
    assert f"{N}/upsample-conv: cell 1, line 3: uses n2n_lib.course.check.judge" in remarks


def test_cells_of_the_students_own_count(graded):
    done = graded[1]["added"]
    assert points(done) == {f"{N}/upsample-forward": 1, f"{N}/upsample-backward": 2} | REST
    assert f"{N}/upsample-forward: the check was deleted; the instructor's was used" in done.remarks
    assert "twice(x, scale)" in done.marks[f"{N}/upsample-forward"].pieces[-2].source


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_costs_itself(graded, name: str):
    done = graded[1]["hostile"]
    (column,) = (column for column in done.marks if column.endswith(f"/{name}"))
    assert done.marks[column].points == 0
    if FORKS:
        remarks = "; ".join(remark for remark in done.remarks if remark.startswith(column))
        assert HOSTILE[name][1] in remarks + done.marks[column].message


def test_hostile_answers_cost_nothing_else_but_what_calls_them(graded):
    done = graded[1]["hostile"]
    names = {*HOSTILE, "conv2d-loops", "upsample-conv"}
    lessons = {lesson.partition("_")[0] for lesson in HIT}
    lost = {c for c in done.marks if c.split("/")[1] in names}
    for column, mark in done.marks.items():
        given = column.split("/")[0] in lessons and column not in lost
        assert mark.points == (mark.maximum if given else 0), column


def test_nothing_is_left_behind(graded):
    temporary = (graded[0] / "temporary").resolve()
    assert list(temporary.iterdir()) == []
    for process in psutil.process_iter():
        try:
            assert not process.environ().get("HOME", "").startswith(str(temporary))
        except psutil.Error:
            continue


def test_bubblewrap_closes_the_answer_in(tmp_path: Path):
    if why := why_no_bubblewrap():
        pytest.skip(why)
    target = tmp_path / "precious"
    target.write_text("x")
    path = json.dumps(str(target))
    body = (
        "import ctypes\nlibc = ctypes.CDLL(None)\n"
        f"gone = libc.unlink({path}.encode())\n"
        "raise ValueError(gone)"
    )
    hand_in(tmp_path / "one", (UPSAMPLING, notebook(UPSAMPLING, {"upsample-forward": body})))
    lessons = [lesson for lesson in read_assignments(NOTEBOOKS) if lesson.name == UPSAMPLING]
    with Limits(closed=True).worker() as worker:
        done = grade_submission(read(tmp_path / "one", [UPSAMPLING]), lessons, worker)
    assert "ValueError: -1" in done.marks[f"{N}/upsample-forward"].message
    assert points(done) == {f"{N}/upsample-backward": 2} | REST
    assert target.exists()

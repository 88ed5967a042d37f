"""nbgrader gives the same points, also for a part of an answer that is measured."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from handing_in import NOTEBOOKS, UPSAMPLING, hand_in, notebook, points_of, read
from test_capstone import LESSON, SEED, SLOW, blur, body, handed_in

from n2n_lib.course.check import hand_in as measuring
from n2n_lib.course.check.autograded import SEED as SEED_VARIABLE
from n2n_lib.course.check.hand_in import Hidden
from n2n_lib.course.grading.grades import Mark
from n2n_lib.course.grading.judging.marking import grade_submission
from n2n_lib.course.grading.tasks import read_assignments

SHOWN = "import sys\nsys.displayhook(20)\nprint(20)\n"
"""What nbgrader would take for points, if the check left it in its cell."""

WARNED = "import sys\nprint('It takes long.', file=sys.stderr)\n"
"""What nbgrader would take for a failure."""

SETTINGS = "shell = get_ipython()\nshell.ast_node_interactivity = 'none'\n%precision 0"
"""No value of a cell is shown, which would be all points; and numbers are rounded."""

NETWORKS = {
    "whole": (None, (NOTEBOOKS / measuring.FILE).read_bytes()),
    "part": (SHOWN + WARNED + body(), blur(0.75), SETTINGS),
    "none": (SHOWN + body(f"network.more = len('{'x' * 30000}')"), blur(0.75)),
}
"""By students: the answer to the capstone, its numbers, and cells above it."""

KEPT = ("setup", "loops", "equation-1", "own-functions")
"""Cells that the answers below need, by their ids."""


def layers() -> dict:
    """Return a lesson with answers that are right and wrong, without its pictures."""
    answers = {"upsample-forward": SHOWN + "return x", "stamp-row": None}
    content = notebook(UPSAMPLING, answers)
    content["cells"] = [
        cell
        for cell in content["cells"]
        if cell["id"] in KEPT or {"exercise", "check"} & set(cell["metadata"].get("tags", ()))
    ]
    (cell,) = [cell for cell in content["cells"] if cell["id"] == "stamp-row"]
    head, mark, rest = "".join(cell["source"]).partition("    ### BEGIN SOLUTION\n")
    cell["source"] = head + "    " + WARNED.replace("\n", "\n    ") + "\n" + mark + rest
    return content


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course folder of nbgrader's: two lessons handed out, answered by some, and graded."""
    pytest.importorskip("nbgrader")
    folder = tmp_path_factory.mktemp("nbgrader")
    (folder / "source" / "lessons").mkdir(parents=True)
    for lesson in (UPSAMPLING, LESSON):
        shutil.copy(NOTEBOOKS / f"{lesson}.ipynb", folder / "source" / "lessons")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, SEED_VARIABLE: str(SEED)}

    def nbgrader(*arguments: str) -> None:
        command = [sys.executable, "-m", "nbgrader", *arguments]
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)

    nbgrader("generate_assignment", "lessons", "--create")
    release = folder / "release" / "lessons"
    submitted = {name: (LESSON, handed_in(*given)) for name, given in NETWORKS.items()}
    submitted["layers"] = UPSAMPLING, layers()
    for student, (lesson, content) in submitted.items():
        handed_out = json.loads((release / f"{lesson}.ipynb").read_text(encoding="utf-8"))
        known = {cell["id"]: cell["metadata"] for cell in handed_out["cells"]}
        for cell in content["cells"]:
            cell["metadata"] = known.get(cell["id"], {})
        hand_in(folder / "submitted" / student / "lessons", (lesson, content))
    nbgrader("autograde", "lessons")
    return folder


@pytest.fixture(scope="module")
def given(course: Path) -> Iterator[dict[str, dict[str, float]]]:
    """The points that nbgrader gives: by student, and by the name of the check's cell."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        yield {
            submission.student.id: {
                grade.name: grade.score for each in submission.notebooks for grade in each.grades
            }
            for submission in book.assignment_submissions("lessons")
        }


@pytest.fixture(scope="module")
def ours(course: Path) -> dict[str, dict[str, Mark]]:
    """What ``n2n grade`` gives, likewise."""
    lessons = read_assignments(NOTEBOOKS, (UPSAMPLING[:2], LESSON[:2]), Hidden(SEED))
    checks = {task.column: task.check_cell for each in lessons for task in each.tasks}
    found = {}
    with SLOW.worker() as worker:
        for folder in sorted((course / "submitted").iterdir()):
            worker.allow(900)
            submission = read(folder, [each.name for each in lessons])
            marks = grade_submission(submission, lessons, worker).marks
            found[folder.name] = {checks[column]: mark for column, mark in marks.items()}
    return found


def test_what_is_handed_out_has_no_solutions(course: Path):
    text = (course / "release" / "lessons" / f"{UPSAMPLING}.ipynb").read_text(encoding="utf-8")
    assert "def upsample_forward(x, scale)" in text
    assert "repeat_interleave(scale, dim=3)  # (N, C, s H, s W)" not in text


@pytest.mark.parametrize("student", ["layers", *NETWORKS])
def test_nbgrader_gives_the_same_points(student: str, given: dict, ours: dict):
    """Of every exercise, those that were not handed in included."""
    expected = {check: mark.points for check, mark in ours[student].items()}
    assert given[student] == expected


def test_nbgrader_gives_points_for_each_exercise(given: dict, ours: dict):
    """So that nothing above is equal because it is nothing."""
    assert given["layers"]["upsample-forward-check"] == 0
    assert sum(given["layers"].values()) == 9
    networks = {name: given[name]["trained-network-check"] for name in NETWORKS}
    assert networks["none"] == 0 < networks["part"] < networks["whole"] == 20
    assert networks["part"] % 0.5 == 0
    said = {name: ours[name]["trained-network-check"].message for name in NETWORKS}
    assert "hidden" in said["part"] and "5000" in said["none"]
    offered = sum(mark.maximum for mark in ours["layers"].values())
    assert offered == points_of(UPSAMPLING) + points_of(LESSON)

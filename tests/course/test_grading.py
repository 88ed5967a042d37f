"""Grading: points for what is right, whatever a student hands in, and the words beside them."""

from __future__ import annotations

import ast
import csv
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import textwrap
import zipfile
from pathlib import Path

import commands
import psutil
import pytest
import torch
from filelock import FileLock

from n2n_lib.course.check import EXERCISES
from n2n_lib.course.grading import run, submissions
from n2n_lib.course.grading.judge import has_bubblewrap
from n2n_lib.course.grading.results import write_feedback
from n2n_lib.course.grading.run import Grade, Limits, Mark, grade
from n2n_lib.course.grading.submissions import find_submissions, read_submission
from n2n_lib.course.grading.tasks import read_assignments
from n2n_lib.course.grading.wire import decode, encode
from n2n_lib.course.grading.worker import FORKS
from n2n_lib.course.lessons import stem_of
from n2n_lib.course.needed import needed
from n2n_lib.course.notebooks import find_lessons

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SOLUTION = re.compile(r"( *)### BEGIN SOLUTION.*?### END SOLUTION", re.DOTALL)
UPSAMPLING, ACTIVATIONS = stem_of("upsampling"), stem_of("activations")
N = UPSAMPLING[:2]
PLAIN = Limits(seconds=5, closed=False)

REST = {f"{N}/upsample-conv": 5, f"{N}/stamp-row": 2}
"""Points of the two exercises of the lesson that most submissions below answer."""


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
            source = "".join(cell["source"])  # in a class each method has a region
            cell["source"] = SOLUTION.sub(lambda m, new=body: textwrap.indent(new, m[1]), source)
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
        "import os\nfor _ in range(100): print('x' * 10**6)\nos._exit(3)",
        "ended Python, exit code 3",
    ),
    "upsample-forward": ("raise SystemExit", "raised SystemExit"),
    "relu-backward": (
        "import ctypes, time\n"
        "if ctypes.CDLL(None).fork() == 0:\n"
        "    ctypes.CDLL(None).setsid()\n"
        "    time.sleep(1000)",
        "wrong",
    ),
    "sigmoid-forward": ("open('big', 'wb').write(b'x' * 10**9)", "graded: open"),
    "mse-backward": ("return torch.zeros(10**9)", "allocate memory"),
    "xavier-exercise": (
        "import socket\nsocket.create_connection(('127.0.0.1', 9), 1)",
        "graded: socket",
    ),
    "transposed-size": (
        "import os\nfor fd in range(3, 9):\n"
        "    try: os.write(fd, b'right' * 20)\n    except OSError: pass",
        "no answer",
    ),
    "momentum-exercise": ("raise ValueError('<script>alert(1)</script>')", "raised ValueError"),
}
"""Bodies of functions, and a part of what is said about them on Linux."""


def tampered() -> dict:
    """A wrong and a missing answer, and whatever might hide it."""
    content = notebook(UPSAMPLING, {"upsample-forward": "print('right')\nreturn x"})
    forge = (
        "class check:\n    upsample_forward = print\nimport n2n_lib.course.check.judge as judge\n"
    )
    forge += "judge.judge = judge.run = lambda *_: judge.Verdict(True, 'right')"
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
    tasks = [task for lesson in read_assignments(NOTEBOOKS) for task in lesson.tasks]
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
    half, stem = graded[1]["half"], stem_of("convolution")
    assert points(half) == {f"{N}/upsample-backward": 2} | REST
    assert half.maximum == graded[1]["good"].maximum
    assert f"{N}/upsample-forward: wrong" in half.remarks
    assert f"{stem[:2]}: no notebook {stem}.ipynb" in half.remarks
    assert "Wrong shape" in half.marks[f"{N}/upsample-forward"].message


def test_checks_and_points_are_the_instructors(graded):
    done = graded[1]["=tampered"]
    assert points(done) == {f"{N}/stamp-row": 2}
    remarks = [remark for remark in done.remarks if remark.startswith(f"{N}/")]
    restored = "of the check was changed; the instructor's was used"
    assert remarks == [
        f"{N}/upsample-forward: the metadata {restored}",
        f"{N}/upsample-forward: wrong",
        f"{N}/upsample-backward: the check {restored.split(maxsplit=3)[-1]}",
        f"{N}/upsample-backward: upsample_backward is not defined in any cell that Python can read",
        f"{N}/upsample-conv: the cells that UpsampleConv needs raised NameError: name "
        "'upsample_backward' is not defined",
    ]


def test_cells_of_the_students_own_count(graded):
    done = graded[1]["added"]
    assert points(done) == {f"{N}/upsample-forward": 1, f"{N}/upsample-backward": 2} | REST
    assert f"{N}/upsample-forward: the check was deleted; the instructor's was used" in done.remarks
    assert "twice(x, scale)" in done.marks[f"{N}/upsample-forward"].code


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_costs_itself(graded, name: str):
    done = graded[1]["hostile"]
    (column,) = (column for column in done.marks if column.endswith(f"/{name}"))
    assert done.marks[column].points == 0
    if FORKS:
        (remark,) = (remark for remark in done.remarks if remark.startswith(column))
        assert HOSTILE[name][1] in remark + done.marks[column].message


def test_hostile_answers_cost_nothing_else_but_what_calls_them(graded):
    done = graded[1]["hostile"]
    names = {*HOSTILE, "conv2d-loops", "upsample-conv"}
    lost = sum(mark.maximum for c, mark in done.marks.items() if c.split("/")[1] in names)
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
    lessons = [lesson for lesson in read_assignments(NOTEBOOKS) if lesson.name == UPSAMPLING]
    with Limits(closed=True).worker() as worker:
        done = run.grade_submission(
            read_submission(tmp_path / "one", [UPSAMPLING]), lessons, worker
        )
    assert "ValueError: -1 3" in done.marks[f"{N}/upsample-forward"].message  # loopback alone
    assert points(done) == {f"{N}/upsample-backward": 2}
    assert target.exists()


# ------------------------------------------------------------------------------ what is run


@pytest.mark.parametrize(
    "cells, kept",
    [
        (["def f(): return 1", "train()", "def f(): return 2"], ["def f(): return 2"]),
        (["import a, b", "def f(): return b.c"], ["import b", "def f(): return b.c"]),
        (["x = slow()", "def f(x): return x"], ["def f(x): return x"]),
        (["x = 1", "y = x", "def f(): return y"], ["x = 1", "y = x", "def f(): return y"]),
        (["x = []", "x.append(1)", "f = lambda: x"], ["x = []", "x.append(1)", "f = lambda: x"]),
        (["c = {}", "c['k'] = 1", "def f(): g()"], ["def f(): g()"]),
        (["x = 1", "if x: y = 2", "def f(): y"], ["x = 1", "if x: y = 2", "def f(): y"]),
        (["from a import *", "def f(): pass"], ["from a import *", "def f(): pass"]),
        (
            ["import a, b", "x = 1", "class B: y = b", "class f(B):\n    def g(self): return x"],
            ["import b", "x = 1", "class B: y = b", "class f(B):\n    def g(self): return x"],
        ),
        (["%time x", "x = (", "!ls\ndef f(): pass\nf()"], ["def f(): pass"]),
    ],
)
def test_what_a_function_needs(cells: list[str], kept: list[str]):
    found = needed(cells, "f")
    assert [ast.unparse(node) for _, node in found] == [ast.unparse(ast.parse(k)) for k in kept]


# ------------------------------------------------------------------------------ the wire


@pytest.mark.parametrize(
    "value",
    [None, True, 3, 0.1, float("inf"), (1, [2.5, None]), torch.zeros(0, 3), torch.tensor(2.5)]
    + [torch.arange(6).view(2, 3).T, torch.ones(2, dtype=torch.bool), torch.ones(1).bfloat16()],
)
def test_values_come_back(value: object):
    back = decode(json.loads(json.dumps(encode(value))))
    if isinstance(value, torch.Tensor):
        assert back.dtype == value.dtype
        assert torch.equal(back, value)
    else:
        assert back == value
        assert type(back) is type(value)


def test_other_types_come_back_as_a_name():
    assert type(decode(encode(torch.zeros(2).numpy()))).__name__ == "ndarray"


@pytest.mark.parametrize(
    "sent",
    [{}, "text", [1], {"dtype": "float64"}, {"dtype": "object", "shape": [1], "bytes": "AAAA"}]
    + [{"dtype": "uint8", "shape": shape, "bytes": "AAAA"} for shape in ([4], [-3, -1], [3.0], 3)],
)
def test_nonsense_is_no_value(sent: object):
    with pytest.raises(ValueError):
        decode(sent)


# ------------------------------------------------------------------------------ what is handed in

ONE = json.dumps(notebook(UPSAMPLING)).encode()


def packed(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_a_zip_file_is_read_wherever_the_notebook_lies(tmp_path: Path):
    members = (f"a/b/{UPSAMPLING} (2).ipynb", ONE), (f"__MACOSX/{UPSAMPLING}.ipynb", b"?")
    read = read_submission(packed(tmp_path / "ann.zip", *members), [UPSAMPLING])
    assert (read.student, list(read.notebooks), read.remarks) == ("ann", [UPSAMPLING], [])


def test_of_several_notebooks_the_one_with_the_very_name_counts(tmp_path: Path):
    members = (f"a {UPSAMPLING}.ipynb", b"?"), (f"new/{UPSAMPLING}.ipynb", ONE)
    read = read_submission(packed(tmp_path / "ann.zip", *members), [UPSAMPLING])
    assert list(read.notebooks) == [UPSAMPLING]
    assert read.remarks == [f"{N}: 2 notebooks, graded new/{UPSAMPLING}.ipynb"]


@pytest.mark.parametrize(
    "name, trouble",
    [
        (f"../{UPSAMPLING}.ipynb", "a path out of the zip file"),
        (f"/etc/{UPSAMPLING}.ipynb", "a path out of the zip file"),
        (f"C:\\{UPSAMPLING}.ipynb", "a path out of the zip file"),
        (f"link/{UPSAMPLING}.ipynb", "a link"),
    ],
)
def test_a_zip_file_leads_nowhere_else(tmp_path: Path, name: str, trouble: str):
    entry = zipfile.ZipInfo(name)
    if trouble == "a link":
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    packed(tmp_path / "ann.zip", (entry, ONE))
    read = read_submission(tmp_path / "ann.zip", [UPSAMPLING])
    assert read.notebooks == {}
    assert f"{trouble}, not read" in read.remarks[0] or f"{trouble}, not read" in read.remarks[1]
    assert [path.name for path in tmp_path.iterdir()] == ["ann.zip"]


@pytest.mark.parametrize(
    "content, remark",
    [
        (b"no JSON", f"{N}: expected a notebook of format 4, got JSONDecodeError"),
        (b"[]", f"{N}: expected a notebook of format 4, got TypeError"),
        (b'{"nbformat": 3, "worksheets": []}', f"{N}: expected a notebook of format 4, got"),
        (b'{"nbformat": 4, "cells": [7]}', f"{N}: expected a notebook of format 4, got TypeError"),
        (b"[" * 10**6, f"{N}: expected a notebook of format 4, got RecursionError"),
        (b" " * (submissions.LARGEST + 1), f"{N}: notebook of more than 16 MB, not read"),
    ],
    ids=["text", "list", "old", "number", "deep", "bomb"],
)
def test_a_broken_notebook_is_remarked(tmp_path: Path, content: bytes, remark: str):
    read = read_submission(packed(tmp_path / "a.zip", (f"{UPSAMPLING}.ipynb", content)), LESSONS)
    assert read.notebooks == {}
    assert any(line.startswith(remark) for line in read.remarks)


def test_a_broken_zip_file_is_remarked(tmp_path: Path):
    (tmp_path / "ann.zip").write_bytes(b"PK, or so it says")
    assert read_submission(tmp_path / "ann.zip", LESSONS).remarks == [
        "cannot be read: File is not a zip file"
    ]


def test_a_broken_part_of_a_zip_file_costs_its_notebook(tmp_path: Path):
    activations = json.dumps(notebook(ACTIVATIONS)).encode()
    path = packed(
        tmp_path / "ann.zip", (f"{UPSAMPLING}.ipynb", ONE), (f"{ACTIVATIONS}.ipynb", activations)
    )
    content = bytearray(path.read_bytes())
    content[200:300] = bytes(100)  # inside the first
    path.write_bytes(content)
    read = read_submission(path, [UPSAMPLING, ACTIVATIONS])
    assert list(read.notebooks) == [ACTIVATIONS]
    assert read.remarks[0].startswith(f"{N}: cannot be read: ")


def test_too_many_files_are_remarked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(submissions, "MOST", 2)
    packed(tmp_path / "ann.zip", *((f"{n}.txt", b"") for n in range(3)))
    read = read_submission(tmp_path / "ann.zip", LESSONS)
    assert read.remarks == ["cannot be read: more than 2 files"]


@pytest.mark.skipif(os.name == "nt", reason="needs links and named pipes")
def test_links_and_pipes_in_a_folder_are_not_read(tmp_path: Path):
    folder = tmp_path / "ann"
    folder.mkdir()
    (folder / f"{UPSAMPLING}.ipynb").symlink_to(NOTEBOOKS / f"{UPSAMPLING}.ipynb")
    os.mkfifo(folder / f"{ACTIVATIONS}.ipynb")
    read = read_submission(folder, LESSONS)
    assert read.notebooks == {}
    assert f"{UPSAMPLING}.ipynb: a link, not read" in read.remarks
    assert f"{ACTIVATIONS}.ipynb: no file, not read" in read.remarks


def test_folders_of_students(tmp_path: Path):
    packed(tmp_path / "ann.zip", (f"{UPSAMPLING}.ipynb", ONE))
    hand_in(tmp_path / "bob", (UPSAMPLING, {}))
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "list.txt").touch()
    assert [path.name for path in find_submissions(tmp_path)] == ["ann.zip", "bob"]
    assert find_submissions(tmp_path / "ann.zip") == [tmp_path / "ann.zip"]
    assert find_submissions(tmp_path / "bob") == [(tmp_path / "bob").resolve()]
    (tmp_path / "ann").mkdir()
    with pytest.raises(ValueError, match="expected one submission of each student, got two of 'an"):
        find_submissions(tmp_path)
    with pytest.raises(ValueError, match="expected a folder or zip file for each student in"):
        find_submissions(tmp_path / "ann")


# ------------------------------------------------------------------------------ what is written


def test_the_table(graded):
    folder, grades = graded
    with open(folder / "grades.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["student"] for row in rows] == [
        "'=tampered",
        *sorted(grades.keys() - {"=tampered"}),
    ]
    half = next(row for row in rows if row["student"] == "half")
    assert (half[f"{N}/upsample-forward"], half[f"{N}/upsample-backward"]) == ("0", "2")
    assert (half["total"], half["maximum"]) == ("9", f"{grades['half'].maximum:g}")
    assert f"{N}/upsample-forward: wrong" in half["remarks"].split("; ")


def test_the_page_of_feedback(graded):
    folder, grades = graded
    page = (folder / "pages" / "half.html").read_text(encoding="utf-8")
    assert f"9 of {grades['half'].maximum:g} points" in page
    assert "Wrong shape" in page
    hostile = (folder / "pages" / "hostile.html").read_text(encoding="utf-8")
    assert "<script" not in hostile
    assert "&lt;script&gt;alert(1)" in hostile
    assert not re.search(r"(src|href)=\"(?!#)|url\(|@import", page + hostile)


def test_a_page_shows_everything_as_text(tmp_path: Path):
    evil = "</pre><script>alert(1)</script>\"'{{ 7 * 7 }}"
    mark = Mark(0, 1, "wrong", message=evil, table=evil, code=evil)
    write_feedback(tmp_path / "page.html", Grade(evil, "", {"03/x": mark}, [evil]))
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert page.count("{{ 7 * 7 }}") == 6  # title, heading, remark, message, table, code
    assert page.count("</pre>") == 2


# ------------------------------------------------------------------------------ the command


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with one lesson."""
    return hand_in(tmp_path / "lessons", (UPSAMPLING, notebook(UPSAMPLING)))


def test_a_run_that_was_stopped_goes_on(tmp_path: Path, source: Path, monkeypatch):
    """What is done is not done again, and a submission that has changed is."""
    students, begun = tmp_path / "students", []
    for name in ("ann", "bob"):
        hand_in(students / name, (UPSAMPLING, notebook(UPSAMPLING, rest=STUB)))
    original = run.grade_submission

    def watched(submission, *arguments):
        begun.append(submission.student)
        if submission.student == "bob" and begun.count("bob") == 1:
            raise KeyboardInterrupt
        return original(submission, *arguments)

    monkeypatch.setattr(run, "grade_submission", watched)
    call = ["grade", students, "--out", tmp_path / "grades.csv", "--jobs", 1]
    call += ["--source", source, "--json", "-q"]
    stopped = commands.run(*call)
    assert stopped.code == 130
    assert "grading with the same command" in stopped.err
    assert not (tmp_path / "grades.csv").exists()
    assert totals(commands.run(*call)) == {"ann": 0, "bob": 0}
    assert begun == ["lessons", "ann", "bob", "lessons", "bob"]
    (students / "ann" / f"{UPSAMPLING}.ipynb").write_bytes(ONE)
    assert totals(commands.run(*call)) == {"ann": points_of(UPSAMPLING), "bob": 0}
    assert begun[5:] == ["lessons", "ann"]


def points_of(lesson: str) -> int:
    """Return what all exercises of a lesson are worth."""
    text = (NOTEBOOKS / f"{lesson}.ipynb").read_text(encoding="utf-8")
    return sum(map(int, re.findall(r'"points": (\d+)', text)))


def totals(done: commands.Run) -> dict[str, float]:
    """Return the points of each student, of a run that ended well."""
    assert done.code == 0
    result = json.loads(done.out.splitlines()[-1])
    return {name: each["total"] for name, each in result["students"].items()}


def test_solutions_that_are_wrong_stop_everything(tmp_path: Path):
    wrong = notebook(UPSAMPLING, {"upsample-forward": STUB})
    source = hand_in(tmp_path / "lessons", (UPSAMPLING, wrong))
    hand_in(tmp_path / "class" / "ann", (UPSAMPLING, notebook(UPSAMPLING)))
    with pytest.raises(ValueError, match=f"got {N}/upsample-forward.* wrong"):
        grade(tmp_path / "class", tmp_path / "grades.csv", source=source, limits=PLAIN)
    assert not (tmp_path / "grades.csv").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere"], "expected a folder of submissions or a zip file, got nowhere"),
        (["class", "--source", "nowhere"], "expected a folder of lessons, got nowhere"),
        (["class", "--source", "class"], "expected a folder of lessons with exercises, got class"),
        (["class", "--timeout", "0"], "expected --timeout of at least 1, got 0"),
        (["class", "--jobs", "0"], "expected --jobs of at least 1, got 0"),
        (["class", "--memory", "none"], "got 'none'"),
    ],
)
def test_a_wrong_call_ends_in_one_line(
    tmp_path: Path, monkeypatch, arguments: list[str], message: str
):
    monkeypatch.chdir(tmp_path)
    hand_in(tmp_path / "class" / "ann", (UPSAMPLING, {}))
    code, _, err = commands.run("grade", *arguments, "--out", "grades.csv")
    assert code == 2 and message in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["class"]


def test_two_runs_do_not_mix(tmp_path: Path, source: Path):
    hand_in(tmp_path / "class" / "ann", (UPSAMPLING, {}))
    with (
        FileLock(tmp_path / ".grades.csv.lock"),
        pytest.raises(ValueError, match="expected no other run to write to"),
    ):
        grade(tmp_path / "class", tmp_path / "grades.csv", source=source, limits=PLAIN)


# ------------------------------------------------------------------------------ nbgrader


def test_nbgrader_gives_the_same_points(graded, tmp_path: Path, source: Path):
    """A course folder of nbgrader's: assignment from the lesson, one answer right, one wrong."""
    pytest.importorskip("nbgrader")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    def nbgrader(*arguments: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "nbgrader", *arguments],
            cwd=tmp_path / "course",
            env=os.environ | {"PATH": path},
            check=True,
            capture_output=True,
        )

    shutil.copytree(source, tmp_path / "course" / "source" / "lessons")
    nbgrader("generate_assignment", "lessons", "--create")
    release = tmp_path / "course" / "release" / "lessons" / f"{UPSAMPLING}.ipynb"
    content = json.loads(release.read_text(encoding="utf-8"))
    assert "repeat_interleave(scale, dim=3)  # (N, C, s H, s W)" not in release.read_text()
    bodies = {"upsample-forward": "return x", "upsample-backward": None}
    for name, body in (bodies | {"upsample-conv": None, "stamp-row": None}).items():
        solved = cell_of(notebook(UPSAMPLING, {name: body} if body else None), name)
        cell_of(content, name)["source"] = solved["source"]
    hand_in(tmp_path / "course" / "submitted" / "half" / "lessons", (UPSAMPLING, content))
    nbgrader("autograde", "lessons")
    nbgrader("export", "--to", "grades.csv")
    with open(tmp_path / "course" / "grades.csv", encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["score"]) == graded[1]["half"].total == 9
    assert float(row["max_score"]) == points_of(UPSAMPLING)

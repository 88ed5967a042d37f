"""What is run for an answer, what the page shows of it, and what somebody should look at."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from handing_in import NOTEBOOKS, PLAIN, hand_in, notebook, read
from odd_answers import BELOW, RIGHT, RIGHT_FUNCTION, RULE, WRONG

from n2n_lib.course.cells import LARGEST, read_cell
from n2n_lib.course.grading.grades import Mark
from n2n_lib.course.grading.judging.attempts import is_unsure, judge_answer
from n2n_lib.course.grading.judging.judge import NotDefined, Worker
from n2n_lib.course.grading.judging.marking import grade_submission
from n2n_lib.course.grading.judging.selection import read_code, select
from n2n_lib.course.grading.tasks import Task, read_assignments
from n2n_lib.course.lessons import stem_of

ASSIGNMENTS = read_assignments(NOTEBOOKS)
TASKS = {task.function: task for assignment in ASSIGNMENTS for task in assignment.tasks}
TASK = TASKS["output_size"]


def cell(source: str, name: str | None = None, **nbgrader: object) -> dict:
    return {"id": name, "nbgrader": nbgrader, "source": source, "output": ""}


def handed_in(*sources: str, task: Task = TASK, below: tuple[str, ...] = ()) -> list[dict]:
    """Return the lesson's cells with others in the place of the exercise, and its check."""
    check = cell(task.check_source, task.check_cell, **task.check_metadata)
    return [cell(each) for each in (*task.before, *sources)] + [check] + [*map(cell, below)]


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with PLAIN.worker() as worker:
        yield worker


# ---------------------------------------------------------------------- the lines


def test_pieces_are_the_lines_as_they_stand_in_the_cell():
    source = (
        "def kept(f): return f\n"
        "# about the rule\n"
        "@kept  # twice\n"
        "@kept\n"
        "def output_size( size ):\n"
        "    # inside\n"
        "    return one+two+three+four  # the end\n"
        "\n"
        "one = 1; two = '''\n"
        "2'''; three = 3 # both\n"
        "import math, os; four = math.pi"
    )
    pieces = select(TASK, handed_in(source)).pieces
    assert [(piece.line, piece.source) for piece in pieces] == [
        (1, "def kept(f): return f"),
        (2, "\n".join(source.splitlines()[1:7])),
        (9, "one = 1"),
        (9, "two = '''\n2'''"),
        (10, "three = 3"),
        (11, "import math"),
        (11, "four = math.pi"),
    ]
    assert {(piece.origin, piece.cell) for piece in pieces} == {("exercise", 2 * len(TASK.before))}


def test_a_line_is_where_it_was_also_below_magics():
    source = f"\n\n%%time\n\n%time x = 1\n!ls\n{RIGHT_FUNCTION}"
    (piece,) = select(TASK, handed_in(source)).pieces
    assert piece.line == 7 and piece.source == RIGHT_FUNCTION
    assert read_cell(source).text.splitlines()[4] == "x = 1"


@pytest.mark.parametrize("function", ["conv2d_forward", "UpsampleConv", "train_network"])
def test_the_lines_of_the_lesson_are_the_lessons_and_come_once(function: str):
    task = TASKS[function]
    pieces = select(task, handed_in(*task.solutions, task=task)).pieces
    assert {piece.origin for piece in pieces} >= {"lesson", "exercise"}
    for piece in pieces:
        if piece.origin == "lesson":
            assert piece.cell >= len(task.before)  # as the student has it
            whole = task.before[piece.cell - len(task.before)].splitlines()
            first = piece.source.splitlines()[0]
            assert first == whole[piece.line - 1] or first.startswith(("import", "from"))


def test_what_runs_is_what_is_shown(tmp_path: Path):
    class Spy:
        def __init__(self) -> None:
            self.run: list = []

        def judge(self, exercise, pieces, name, **named):
            self.run.append(pieces)
            raise NotDefined("not there")

    stem = stem_of("convolution")
    folder = hand_in(tmp_path / "one", (stem, notebook(stem)))
    lessons, spy = [each for each in ASSIGNMENTS if each.name == stem], Spy()
    done = grade_submission(read(folder, [stem]), lessons, spy)
    for mark in done.marks.values():
        assert mark.pieces in spy.run


# ---------------------------------------------------------------------- class and grading


IN_CLASS = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
from n2n_lib import check
from n2n_lib.course.check.judge import CheckFailed, judge

shell, said = InteractiveShell.instance(), {}
out, sys.stdout = sys.stdout, open("/dev/null", "w")
for name, cells in json.load(sys.stdin).items():
    shell.reset()
    shell.user_ns["check"] = check
    for cell in cells:
        try:
            shell.run_cell(cell, store_history=True)
        except RecursionError:
            pass
    check.output_size.failures = 0
    try:
        check.output_size(shell.user_ns["output_size"])
        said[name] = "right"
    except CheckFailed as error:
        said[name] = str(error)
    except (KeyError, TypeError) as error:
        said[name] = type(error).__name__
json.dump(said, out)
"""


def needs_more(cells: list[str]) -> bool:
    """Whether it needs a compiler, or the student's folder."""
    return any("torch.compile" in cell or "from mine" in cell for cell in cells)


@pytest.fixture(scope="module")
def in_class() -> dict[str, str]:
    """What the check says to the odd answers in IPython itself."""
    cells = {name: each for name, each in (RIGHT | WRONG).items() if not needs_more(each)}
    done = subprocess.run(
        [sys.executable, "-c", IN_CLASS], input=json.dumps(cells), text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", RIGHT | WRONG)
def test_an_odd_answer_is_judged_as_in_class(worker: Worker, in_class: dict[str, str], name: str):
    attempt = judge_answer(worker, TASK, handed_in(*(RIGHT | WRONG)[name]))
    assert attempt.right == (name in RIGHT)
    if name in in_class:
        assert attempt.right == (in_class[name] == "right")
        if attempt.verdict and not attempt.right:
            said, _, of_notebook = in_class[name].partition(" It reads `")
            assert attempt.verdict.message == said
            assert not of_notebook or of_notebook.endswith("which is none of its arguments.")


@pytest.mark.parametrize("name", BELOW)
def test_what_is_below_the_check_counts_at_last(worker: Worker, name: str):
    above, below = BELOW[name]
    attempt = judge_answer(worker, TASK, handed_in(*above, below=below))
    assert attempt.right
    assert attempt.answer.remarks[-1] == "judged with cells below its check"


def test_how_the_lesson_goes_on_is_no_answer(worker: Worker):
    below = ("output_size = check.go_on_with(output_size)", "from n2n_lib import output_size")
    assert judge_answer(worker, TASK, handed_in("", below=below)).verdict is None


@pytest.mark.parametrize(
    "sources, reason",
    [
        (["x = 1", "\ndef output_size(x:"], "line 2: `def output_size(x:` is no Python: "),
        (["def output_size(x):\n  if x\n    return"], "line 2: `if x` is no Python: expected ':'"),
        (["return 1", "output_size(1)"], "line 1: `return 1` is no Python: 'return' outside"),
        (["pass"], "output_size is not defined in any cell above its check"),
        (["output_size = nowhere"], "the cells that output_size needs raised NameError: "),
    ],
)
def test_the_reason_names_the_cell_and_the_line(worker: Worker, sources: list[str], reason: str):
    attempt = judge_answer(worker, TASK, handed_in(*sources))
    broken = len(TASK.before) + 1 + ("x = 1" in sources)
    start = f"cell {broken}, " if reason.startswith("line") else ""
    assert attempt.verdict is None
    assert attempt.reason.startswith(start + reason)


# ---------------------------------------------------------------------- remarks


def test_solutions_are_not_remarked():
    for task in TASKS.values():
        cells = handed_in(*task.solutions[:-1], task.solutions[-1], task=task)
        cells[-2]["id"] = task.cell
        answer = select(task, cells)
        assert answer.remarks == [] == answer.broken, task.column


@pytest.mark.parametrize(
    "line, remark",
    [
        ("x = torch.nn.functional.conv2d(x)", "uses torch.nn.functional.conv2d"),
        ("from torch.nn.functional import conv2d as c; c(x)", "torch.nn.functional.conv2d"),
        ("import torch.nn as layers; layers.Conv2d(1, 1, 1)", "uses torch.nn.Conv2d"),
        ("torch.conv2d(x)", "uses torch.conv2d"),
        ("torch.ops.aten.convolution(x)", "uses torch.ops.aten.convolution"),
        ("torch._C._nn.mkldnn(x)", "uses torch._C._nn.mkldnn"),
        ("torch.func.vmap(x)", "uses torch.func.vmap"),
        ("x.requires_grad_()", "uses requires_grad_"),
        ("torch.ones(1, requires_grad=True)", "uses requires_grad"),
        ("torch.autograd.grad(x)", "uses torch.autograd.grad"),
        ("import scipy.signal", "uses scipy"),
        ("from skimage import filters", "uses skimage.filters"),
        ("from n2n_lib.framework.kernels import KERNELS", "n2n_lib.framework.kernels.KERNELS"),
        ("from n2n_lib import Conv2d", "uses n2n_lib.Conv2d"),
        ("check.conv2d_forward.solution(x)", "check.conv2d_forward.solution"),
        ("check.EXERCISES", "check.EXERCISES"),
        ("import sys; sys.modules['torch']", "uses sys.modules"),
        ("import importlib", "uses importlib"),
        ("import gc, inspect, ctypes", "uses gc"),
        ("eval('1')", "uses eval"),
        ("open('a')", "uses open"),
    ],
)
def test_what_is_remarked(line: str, remark: str):
    task = TASKS["conv2d_forward"]
    source = f"def conv2d_forward(x):\n    {line}"
    count = len(task.before) + 1
    remarks = select(task, handed_in(source, task=task)).remarks
    assert any(r.startswith(f"cell {count}, line 2: ") and remark in r for r in remarks), remarks


@pytest.mark.parametrize(
    "line",
    [
        "torch.nn.functional.pad(x, (1, 1))",
        "torch.nn.functional.unfold(x, 3)",
        "from torch.nn import functional as F; F.fold(x, 3, 3)",
        "x.unfold(2, 3, 1).sigmoid()",
        "layer.backward(x)",
        "check.answers('output_size').output_size(1)",
        "from n2n_lib.framework.module import Module",
        "import math, itertools, functools",
        "import numpy as np; np.zeros(3)",
    ],
)
def test_what_is_not_remarked(line: str):
    task = TASKS["conv2d_forward"]
    source = f"def conv2d_forward(x):\n    {line}"
    assert select(task, handed_in(source, task=task)).remarks == []


def test_the_function_that_is_asked_for_is_remarked():
    for line, expected in (("x.sigmoid()", 1), ("torch.sigmoid(x)", 1), ("x.tanh()", 0)):
        task = TASKS["sigmoid_forward"]
        source = f"def sigmoid_forward(x):\n    return {line}"
        assert len(select(task, handed_in(source, task=task)).remarks) == expected


def test_a_name_bound_again_or_elsewhere_is_remarked():
    n = len(TASK.before)
    twice = select(TASK, handed_in(RIGHT_FUNCTION, "\noutput_size = lambda *a: 0")).remarks
    where = f"cell {n + 1}, line 1; cell {n + 2}, line 2"
    assert twice == [f"output_size is defined or changed 2 times: {where}"]
    changed = select(TASK, handed_in(RIGHT_FUNCTION, "output_size.__code__ = f.__code__")).remarks
    assert "defined or changed 2 times" in changed[0]
    elsewhere = select(TASK, handed_in("output_size = lambda *a: 0")).remarks
    (remark,) = elsewhere
    assert remark == f"output_size is not defined in the cell of the exercise: cell {n + 1}, line 1"


def test_what_is_said_of_the_check():
    cells = handed_in(RIGHT_FUNCTION)
    assert select(TASK, cells).remarks == []
    cells[-1]["source"] = "# run me\ncheck.output_size( output_size )"
    assert select(TASK, cells).remarks == []
    cells[-1]["nbgrader"] = {"points": 99}
    assert select(TASK, cells).remarks == [
        "the check is of another release; the instructor's was used"
    ]
    cells[-1]["id"], cells[-1]["source"] = None, TASK.check_source  # as some programs save it
    assert select(TASK, cells).remarks == [
        "the check is of another release; the instructor's was used"
    ]
    cells[-1] |= {"id": TASK.check_cell, "source": "print('right')"}
    assert select(TASK, cells).remarks == [
        "the check differs from the instructor's, which was used"
    ]
    assert select(TASK, cells[:-1]).remarks == ["the check was deleted; the instructor's was used"]


# ---------------------------------------------------------------------- what is too much


def test_a_cell_or_a_notebook_that_is_too_long_costs_itself():
    long = handed_in(f"x = '{'a' * LARGEST}'", RIGHT_FUNCTION)
    answer = select(TASK, long)
    assert [piece.source for piece in answer.pieces] == [RIGHT_FUNCTION]
    assert f"cell {len(TASK.before) + 1}, it has more than {LARGEST} characters" in answer.broken
    whole = handed_in(RIGHT_FUNCTION, *["#" * LARGEST] * 11, "def output_size(): pass")
    answer = read_code(TASK, whole).select()
    assert [piece.source for piece in answer.pieces] == [RIGHT_FUNCTION]
    assert "characters of code, not read" in answer.remarks[0]


def test_magics_by_the_thousand_are_read():
    source = "%ls\n" * 9000 + RIGHT_FUNCTION
    (piece,) = select(TASK, handed_in(source)).pieces
    assert piece.line == 9001


# ---------------------------------------------------------------------- look at it


def test_which_answers_somebody_should_look_at(worker: Worker):
    def doubtful(*sources: str, output: str = "", by: Worker = worker) -> bool:
        cells = handed_in(*sources)
        cells[-1]["output"] = output
        attempt = judge_answer(by, TASK, cells)
        unsure = is_unsure(TASK, cells, attempt)
        points = TASK.points if attempt.right else 0
        return Mark(points, TASK.points, "", unsure=unsure).doubtful

    head = "def output_size(size, kernel_size, stride, padding, dilation):\n    "
    wrong = f"{head}return 0"
    assert not doubtful(RIGHT_FUNCTION)
    assert not doubtful(wrong)
    ours = "check.EXERCISES['output_size'].solution"
    ready = f"{head}return {ours}(size, kernel_size, stride, padding, dilation)"
    assert doubtful("from n2n_lib import check", ready)
    assert not doubtful(f"{head}raise NotImplementedError")
    assert not doubtful("pass")
    with replace(PLAIN, seconds=2).worker() as impatient:
        assert not doubtful(f"{head}while True: pass", by=impatient)
    assert doubtful(wrong, output="output_size: right, 6 cases.\n")
    assert doubtful("def output_size(")
    assert doubtful("output_size = nowhere")
    assert doubtful(f"{head}import nowhere_at_all\n    return {RULE}")
    assert doubtful(f"{head}import os; os._exit(1)")

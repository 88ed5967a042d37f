"""The student's answers are collected, come back where they are right, and run any network."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import IPython
import nbformat
import pytest
import torch
from answers import PLACES
from hypothesis import given, settings
from hypothesis import strategies as st
from notebook_files import code_cells, tags
from scale_exercise import Scale
from torch import Tensor

from n2n_lib.course import check
from n2n_lib.course.check import EXERCISES, CheckFailed, record
from n2n_lib.course.check import kernel_set as kernel_sets
from n2n_lib.course.check.exercise import values
from n2n_lib.course.check.judge import judge
from n2n_lib.course.edition import make_edition
from n2n_lib.course.grading.grades import Piece
from n2n_lib.course.grading.judging.judge import Limits
from n2n_lib.course.needed import needed
from n2n_lib.denoiser.networks import NETWORKS
from n2n_lib.framework import kernels
from n2n_lib.framework.kernels import FUNCTIONS, KERNELS, use_kernels
from n2n_lib.framework.losses import MSELoss
from n2n_lib.framework.optim import SGD

ROOT = Path(__file__).resolve().parents[2]

# What programs call a cell: JupyterLab, Colab, VS Code.
CELL_NAMES = ("/tmp/ipykernel_1/{}.py", "<ipython-input-{}-0>", "01_a.ipynb:cell {}")


class Notebook:
    """A kernel: it keeps the source of its cells, and no program can look into a file for it."""

    def __init__(self, name: str = CELL_NAMES[0]) -> None:
        self.user_ns: dict[str, Any] = {"__name__": "__main__", "In": [""]}
        self.name = name

    def run(self, *cells: str) -> None:
        for cell in cells:
            cell = textwrap.dedent(cell).strip("\n")
            self.user_ns["In"].append(cell)
            place = self.name.format(len(self.user_ns["In"]))
            exec(compile(cell, place, "exec"), self.user_ns)

    def solve(self, *names: str) -> None:
        """Type the solutions in, as they stand in the lessons, and check them."""
        for name in names:
            place = PLACES[name]
            self.run(*before(name), place.cell, f"check.{name}({place.function})")


@cache
def codes_of(lesson: Path) -> list[tuple[str, set[str]]]:
    """Return source and tags of each code cell."""
    cells = code_cells(nbformat.read(lesson, as_version=4))
    return [(cell.source, set(tags(cell))) for cell in cells]


def before(name: str) -> list[str]:
    """Return what an answer needs of the cells before it, exercises and checks left out."""
    place, cells = PLACES[name], []
    for source, kinds in codes_of(place.lesson):
        if source == place.cell:
            break
        if not {"exercise", "check"} & kinds:
            cells.append(source)
    statements = needed([*cells, place.cell], place.function)
    return [ast.unparse(statement) for number, statement in statements if number < len(cells)]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Notebook]:
    """Start a kernel; the one before it is gone, with all that it remembered."""

    def start(name: str = CELL_NAMES[0]) -> Notebook:
        notebook = Notebook(name)
        monkeypatch.setattr(IPython, "get_ipython", lambda: notebook)
        monkeypatch.setattr(record, "session", {})
        monkeypatch.setattr(record, "memory", {record.MINE: ""})
        for exercise in EXERCISES.values():
            exercise.failures = 0
        notebook.run("from n2n_lib import check")
        return notebook

    return start


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a kernel in a student edition."""
    (tmp_path / record.EDITION).write_text('{"files": {}}')
    monkeypatch.chdir(tmp_path)
    return tmp_path


RELU = """
def relu_backward(grad_output, output):
    '''The slope is 1 or 0.'''
    return grad_output * (output > 0)  # 0 at zero
"""
OTHER_RELU = "def relu_backward(grad_output, output):\n    return grad_output * output.sign()"
WRONG_RELU = "def relu_backward(grad_output, output):\n    return grad_output * (output >= 0)"
GRAD, OUTPUT = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 3.0])


def mine(folder: Path) -> str:
    return (folder / record.MINE).read_text()


def right(notebook: Notebook, name: str, *cells: str) -> None:
    notebook.run(*cells, f"check.{name}({name})")


def is_library(answers: Any, name: str = "relu_backward") -> bool:
    return name not in answers._yours


# ---------------------------------------------------------------------- what mine.py looks like


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student edition in which everything was answered, in one kernel a lesson."""
    folder = tmp_path_factory.mktemp("solved")
    (folder / record.EDITION).write_text('{"files": {}}')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for lesson in dict.fromkeys(place.lesson for place in PLACES.values()):
            notebook = Notebook()
            patch.setattr(IPython, "get_ipython", lambda notebook=notebook: notebook)
            notebook.run("from n2n_lib import check", "answers = check.answers()")
            text = "\n".join(code for code, _ in codes_of(lesson))
            for name in re.findall(r"(\w+) = answers\.\1\b", text):
                notebook.run(f"{name} = answers.{name}")
            notebook.solve(*(name for name, place in PLACES.items() if place.lesson == lesson))
    return folder


def test_every_answer_of_the_course_can_be_collected(solved: Path):
    text = mine(solved)
    defined = re.findall(r"(?m)^(?:def|class) (\w+)", text)
    assert set(PLACES) <= set(defined) and len(defined) == len(set(defined))
    assert "SOLUTION" not in text and "Hint:" not in text
    assert [text.index(f"\n{d} ") for d in ("def", "import", "# Lesson")]
    order = [defined.index(name) for name in EXERCISES if name in PLACES]
    assert order == sorted(order)
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("\nimport torch\n") == 1


def test_the_file_runs_with_torch_alone(solved: Path):
    """Importing n2n_lib fails there, and so does looking at the working folder's parents."""
    code = (
        "import sys\n"
        "class No:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'n2n_lib': raise ImportError(name)\n"
        "sys.meta_path.insert(0, No())\n"
        "import mine, torch\n"
        "x = torch.rand(2, 3, 6, 6); w = torch.rand(4, 3, 2, 2)\n"
        "y = mine.conv2d_forward(x, w, torch.zeros(4), 2, 1)\n"
        "torch.testing.assert_close(y, torch.nn.functional.conv2d(x, w, stride=2, padding=1))\n"
        "print(mine.__doc__.splitlines()[0], 'n2n_lib' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=solved, env={}, text=True, capture_output=True
    )
    assert done.stderr == "" and done.stdout.endswith("False\n")


def test_the_file_is_clean_python(solved: Path):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select=E,F,I,W", "--line-length"]
        + ["100", "--config=lint.isort.split-on-trailing-comma=false", record.MINE],
        cwd=solved,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", CELL_NAMES)
def test_an_answer_comes_from_the_cells_of_any_program(start, folder: Path, name: str):
    notebook = start(name)
    right(notebook, "relu_backward", RELU)
    assert "'''The slope is 1 or 0.'''" in mine(folder) and "# 0 at zero" in mine(folder)
    assert is_library(check.answers("relu_backward")) is False


def test_a_kernel_as_jupyter_starts_it(folder: Path):
    """With IPython's own cells, magics among them, and after a restart."""
    code = (
        "import sys\nfrom IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "for cell in sys.argv[1:]:\n"
        "    shell.run_cell(cell, store_history=True).raise_error()\n"
    )

    def kernel(*cells: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *cells],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(folder / "ipython")},
            text=True,
            capture_output=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    first = "from n2n_lib import check\n%precision 3"
    out = kernel(first, RELU, "!true\ncheck.relu_backward(relu_backward)")
    assert "relu_backward: right" in out and "collected" not in out
    out = kernel(first, "a = check.answers('relu_backward', 'sgd_step')\nprint(a.relu_backward)")
    assert "Yours: relu_backward. The library's: sgd_step." in out
    assert "<function relu_backward at" in out


def test_the_latest_definition_and_all_that_it_needs_are_collected(start, folder: Path):
    notebook = start()
    notebook.run("import torch\nimport math, os\ntorch.set_grad_enabled(False)", WRONG_RELU)
    notebook.run("from torch import nn, zeros as z")
    notebook.run(
        "SLOPE = 1.0", "# a mask\ndef mask(y):\n    return (y > ZERO).double()", "ZERO = 0"
    )
    cell = """
    def relu_backward(grad_output, output):
        return SLOPE * grad_output * mask(output).to(output.dtype) + z(1).to(output.dtype)
    """
    right(notebook, "relu_backward", cell)
    text = mine(folder)
    assert "# a mask\ndef mask" in text and "from torch import zeros as z\n" in text
    assert "math" not in text and "nn" not in text and "import torch\n" not in text
    assert text.index("ZERO = 0") < text.index("def relu_backward")


def test_a_function_with_another_name_gets_that_of_the_exercise(start, folder: Path):
    start().run(
        "def steps(n, k):\n    return 0 if n < k else 1 + steps(n - 1, k)",
        "def places(size, kernel, stride, padding, dilation):\n"
        "    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1",
        "check.output_size(places)",
    )
    assert "def output_size(size," in mine(folder) and "places" not in mine(folder)


def test_helpers_of_one_name_do_not_get_in_each_others_way(start, folder: Path):
    notebook = start()
    right(
        notebook,
        "relu_backward",
        "def slope(y):\n    return y > 0",
        "def relu_backward(grad_output, output):\n    return grad_output * slope(output)",
    )
    notebook = start()
    right(
        notebook,
        "sigmoid_backward",
        "def slope(y):\n    return y * (1 - y)",
        "def sigmoid_backward(grad_output, output):\n    return grad_output * slope(output)",
    )
    assert "def slope(y):\n    return y > 0" in mine(folder)
    assert "return grad_output * slope_of_sigmoid_backward(output)" in mine(folder)
    answers = check.answers("relu_backward", "sigmoid_backward")
    assert torch.equal(answers.relu_backward(GRAD, OUTPUT), torch.tensor([0.0, 2.0]))
    y = torch.tensor([0.5, 0.25])
    assert torch.equal(answers.sigmoid_backward(GRAD, y), GRAD * y * (1 - y))


def test_a_helper_that_two_answers_share_stands_there_once_and_as_long_as_it_is_needed(
    start, folder: Path
):
    helper = "def times(a, b):\n    return a * b"
    use = "def relu_backward(grad_output, output):\n    return times(grad_output, output > 0)"
    other = (
        "def sigmoid_backward(grad_output, output):\n"
        "    return times(grad_output, times(output, 1 - output))"
    )
    notebook = start()
    right(notebook, "relu_backward", helper, use)
    right(notebook, "sigmoid_backward", other)
    assert mine(folder).count("def times(") == 1
    right(notebook, "relu_backward", RELU)
    assert mine(folder).count("def times(") == 1
    alone = "def sigmoid_backward(grad, output):\n    return grad * output * (1 - output)"
    right(notebook, "sigmoid_backward", alone)
    assert "def times(" not in mine(folder)


def test_an_answer_may_call_another(start, folder: Path):
    notebook = start()
    notebook.solve("output_size")
    cell = PLACES["conv2d_forward"].cell.replace(
        "rows = (x.shape[2] + 2 * padding - kernel[0]) // stride + 1",
        "rows = output_size(x.shape[2], kernel[0], stride, padding, 1)",
    )
    notebook.run("from torch.nn.functional import unfold")
    right(notebook, "conv2d_forward", "output_size = check.go_on_with(output_size)", cell)
    assert mine(folder).count("def output_size(") == 1 and "n2n_lib" not in mine(folder)
    assert "go_on_with" not in mine(folder)
    start()  # later, in another lesson
    assert check.answers("conv2d_forward")._yours == ("conv2d_forward",)


@pytest.mark.parametrize("handed_on", [True, False])
@pytest.mark.parametrize("collected", [True, False])
def test_an_answer_may_call_those_of_earlier_lessons(
    start, folder: Path, collected: bool, handed_on: bool
):
    if collected:
        start().solve("relu_backward")
    notebook = start()
    cell = """
    def sigmoid_backward(grad_output, output):
        ones = answers.relu_backward(output, output) / output
        return grad_output * output * (ones - output)
    """
    cells = ["answers = check.answers()", cell]
    if handed_on:
        cells = [cells[0], "relu_backward = answers.relu_backward", cell.replace("answers.", "")]
    right(notebook, "sigmoid_backward", *cells)
    assert "answers" not in mine(folder)
    assert ("n2n_lib" in mine(folder)) is not collected, mine(folder)
    if not collected:  # until it is right, when it takes its place
        assert "# The library's, until mine is right" in mine(folder)
        start().solve("relu_backward")
        assert "n2n_lib" not in mine(folder)
    start()
    found = check.answers("sigmoid_backward", "relu_backward")
    assert found._yours == ("sigmoid_backward", "relu_backward")


UNCOLLECTABLE = {
    "computed": ("data = check.EXERCISES.copy()\nn = len(data)", "+ 0 * n", "`n`|`data`"),
    "built in a loop": ("total = 0\nfor k in range(3):\n    total += k", "+ 0 * total", "`total`"),
}


@pytest.mark.parametrize("before, use, why", UNCOLLECTABLE.values(), ids=UNCOLLECTABLE)
def test_what_is_right_but_no_source_costs_a_line(
    start, folder: Path, before: str, use: str, why: str, capsys
):
    notebook = start()
    cell = f"def relu_backward(grad_output, output):\n    return grad_output * (output > 0) {use}"
    right(notebook, "relu_backward", before, cell)
    out = capsys.readouterr().out
    assert re.search(rf"relu_backward: right, but it cannot be collected: it uses ({why})", out)
    assert out.startswith("relu_backward: right, 4 cases.\n")
    assert not (folder / record.MINE).exists()
    assert not is_library(check.answers("relu_backward")), "it is right all the same"


def test_what_is_only_right_here_is_found(start, folder: Path, capsys):
    notebook = start()
    notebook.run(
        "import torch\nsign = torch.sign\ndef positive(y):\n    return sign(y)", OTHER_RELU
    )
    notebook.user_ns["late"] = 0
    cell = "def relu_backward(grad_output, output):\n    return grad_output * (output > late)"
    right(notebook, "relu_backward", cell)
    assert "it uses `late`, whose source was not found" in capsys.readouterr().out


SCALE = """
from n2n_lib import Module
import torch

def product(a, b):
    return a * b

class Scale(Module):
    '''A scale that is learned.'''

    def __init__(self, count):
        self.s, self.s_grad = torch.ones(count), torch.zeros(count)

    def forward(self, x):
        self.x = x
        return product(self.s, x)

    def backward(self, grad_output):
        self.s_grad += product(grad_output, self.x).sum(0)
        return product(self.s, grad_output)
"""


def test_a_class_is_collected_as_a_function_is(start, folder: Path, monkeypatch):
    monkeypatch.setitem(EXERCISES, "Scale", Scale)
    notebook = start()
    assert check.answers("Scale").Scale is Scale.solution
    notebook.run(SCALE)
    Scale(notebook.user_ns["Scale"])
    assert "library. Without it, all works that" in mine(folder)
    assert "try:\n    from n2n_lib import Module\nexcept ImportError:\n" in mine(folder)
    assert mine(folder).index("def product") < mine(folder).index("class Scale(Module):")
    assert check.answers("Scale").Scale is notebook.user_ns["Scale"]
    start()
    found = check.answers("Scale").Scale
    assert found.__module__ == "mine" and judge(Scale, found).right
    edit(folder, "self.s_grad += ", "self.s_grad = ")
    assert check.answers("Scale").Scale is Scale.solution


# ---------------------------------------------------------------------- never stale


def test_a_fresh_kernel_reads_the_file(start, folder: Path, capsys):
    right(start(), "relu_backward", RELU)
    start()
    capsys.readouterr()
    answers = check.answers("relu_backward", "sgd_step")
    assert capsys.readouterr().out == "Yours: relu_backward. The library's: sgd_step.\n"
    assert torch.equal(answers.relu_backward(GRAD, OUTPUT), torch.tensor([0.0, 2.0]))
    assert judge(EXERCISES["sgd_step"], answers.sgd_step).right


def test_a_change_for_the_worse_is_noticed_before_it_is_used(start, folder: Path, capsys):
    notebook = start()
    right(notebook, "relu_backward", RELU)
    notebook.run(WRONG_RELU)
    capsys.readouterr()
    answers = check.answers("relu_backward")
    assert capsys.readouterr().out == (
        "relu_backward: yours has changed since it was right and is now wrong: the library's "
        "version\nruns.\nThe library's: relu_backward.\n"
    )
    assert torch.equal(answers.relu_backward(GRAD, OUTPUT), torch.tensor([0.0, 2.0]))
    start()
    assert is_library(check.answers("relu_backward")), "nor after a restart"


def test_a_change_of_a_helper_counts(start, folder: Path):
    notebook = start()
    right(
        notebook,
        "relu_backward",
        "def slope(y):\n    return y > 0",
        "def relu_backward(grad_output, output):\n    return grad_output * slope(output)",
    )
    notebook.run("def slope(y):\n    return y >= 0")
    assert is_library(check.answers("relu_backward"))


def test_a_right_change_is_collected_anew(start, folder: Path):
    notebook = start()
    right(notebook, "relu_backward", RELU)
    notebook.run(OTHER_RELU)
    assert not is_library(check.answers("relu_backward"))
    assert "output.sign()" in mine(folder) and "# 0 at zero" not in mine(folder)


def test_what_was_never_checked_is_checked(start, folder: Path):
    start().run(RELU)
    assert not is_library(check.answers("relu_backward"))
    assert "def relu_backward" in mine(folder)


@pytest.mark.parametrize("where", ["check.relu_backward(relu_backward)", "check.go_on_with"])
def test_a_wrong_check_takes_the_answer_out_of_use(start, folder: Path, where: str):
    notebook = start()
    right(notebook, "relu_backward", RELU)
    notebook.run(WRONG_RELU)
    if where == "check.go_on_with":
        notebook.run("relu_backward = check.go_on_with(relu_backward)")
    else:
        with pytest.raises(CheckFailed):
            notebook.run(where)
    start()
    assert is_library(check.answers("relu_backward"))
    right(start(), "relu_backward", RELU)
    start()
    assert not is_library(check.answers("relu_backward"))


def test_an_empty_exercise_takes_nothing_out_of_use(start, folder: Path):
    right(start(), "relu_backward", RELU)
    notebook = start()
    notebook.run("def relu_backward(grad_output, output):\n    raise NotImplementedError('hint')")
    assert not is_library(check.answers("relu_backward"))
    with pytest.raises(CheckFailed, match="not written yet"):
        notebook.run("check.relu_backward(relu_backward)")
    assert not is_library(check.answers("relu_backward"))


def edit(folder: Path, old: str, new: str) -> None:
    assert old in mine(folder)
    (folder / record.MINE).write_text(mine(folder).replace(old, new))


def test_a_change_by_hand_is_checked_before_it_is_used(start, folder: Path, capsys):
    right(start(), "relu_backward", RELU)
    edit(folder, "output > 0", "output >= 0")
    start()
    assert is_library(check.answers("relu_backward"))
    assert "mine.py has for it by now is wrong" in capsys.readouterr().out
    edit(folder, "output >= 0", "0 < output")
    assert not is_library(check.answers("relu_backward"))
    assert "0 < output" in mine(folder)


def test_what_a_student_adds_stays(start, folder: Path):
    right(start(), "relu_backward", RELU)
    text = mine(folder).replace("My own deep-learning framework", "Ada's framework")
    text = text.replace("# Lesson", "import torch\n\n# Lesson")
    added = "\n\n# how wonderful\ndef twice(x):\n    return 2 * x\n\n\nprint(twice(3))  # six\n"
    (folder / record.MINE).write_text(f"{text}{added}torch.manual_seed(0)\n# the end\n")
    start().solve("sgd_step", "output_size")
    text = mine(folder)
    assert text.startswith('"""Ada\'s framework')
    assert "# My own additions\n\n# how wonderful\ndef twice(x):" in text
    assert text.index("def output_size") < text.index("def relu_backward") < text.index("def twice")
    assert text.endswith("print(twice(3))  # six\ntorch.manual_seed(0)\n# the end\n")
    assert "\nimport torch\n" in text
    start().solve("mse_backward")
    again = mine(folder)
    assert again.count("how wonderful") == again.count("# the end") == again.count("twice(3)") == 1


def test_an_answer_changed_by_hand_is_kept_beside_when_it_is_replaced(start, folder: Path, capsys):
    right(start(), "relu_backward", RELU)
    edit(folder, "# 0 at zero", "# by hand")
    right(start(), "relu_backward", OTHER_RELU)  # comments alone are no other text
    assert not (folder / record.BEFORE).exists()
    edit(folder, "output.sign()", "(0 < output)")
    right(start(), "relu_backward", RELU)
    assert "(0 < output)" in (folder / record.BEFORE).read_text()
    assert "kept in mine.before.py" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"def f(:\n", b"\xff\xfe\x00", b"x = (\n", b"\x00"])
def test_a_damaged_file_is_used_for_nothing_and_not_touched(
    start, folder: Path, content: bytes, capsys
):
    (folder / record.MINE).write_bytes(content)
    notebook = start()
    assert is_library(check.answers("relu_backward"))
    assert "mine.py is not Python in line 1, so nothing in it is used" in capsys.readouterr().out
    right(notebook, "relu_backward", RELU)
    out = " ".join(capsys.readouterr().out.split())
    assert "cannot be collected: mine.py is not Python in line 1. Correct it or delete" in out
    assert (folder / record.MINE).read_bytes() == content
    assert not is_library(check.answers("relu_backward")), "the notebook's is right"


def test_an_answer_that_does_not_run_any_more_harms_only_itself(start, folder: Path, capsys):
    start().solve("relu_backward", "sgd_step")
    edit(folder, "def relu_backward", "@no_such_decorator\ndef relu_backward")
    start()
    assert check.answers("relu_backward", "sgd_step")._yours == ("sgd_step",)
    assert "relu_backward: not used, mine.py raises NameError" in capsys.readouterr().out


def test_a_deleted_file_is_a_fresh_start(start, folder: Path):
    right(start(), "relu_backward", RELU)
    (folder / record.MINE).unlink()
    start()
    assert is_library(check.answers("relu_backward"))


def test_outside_of_a_student_edition_answers_live_as_long_as_the_kernel(
    start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    notebook = start()
    right(notebook, "relu_backward", RELU)
    del notebook.user_ns["relu_backward"]
    assert not is_library(check.answers("relu_backward"))
    assert list(tmp_path.iterdir()) == []
    start()
    assert is_library(check.answers("relu_backward"))


def test_a_file_that_cannot_be_written_stops_no_check(start, folder: Path, capsys):
    (folder / f".{record.PROGRESS}.lock").mkdir()
    right(start(), "relu_backward", RELU)
    out = capsys.readouterr().out
    assert "relu_backward: right" in out and "could not be written" in out
    assert not is_library(check.answers("relu_backward"))


def test_what_another_answer_imports_is_no_answer(start, monkeypatch):
    """The library's class would pass the check of that name, and is not what a student wrote."""
    start()
    text = "from n2n_lib.framework.activations import ReLU\n"
    monkeypatch.setattr(record, "memory", {record.MINE: text})
    assert check.answers("ReLU").ReLU is EXERCISES["ReLU"].solution


def test_two_notebooks_at_once_lose_nothing(folder: Path):
    """Each checks answers of its own, again and again, with other comments in them."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from answers import PLACES, student\n"
        "import IPython, test_mine\n"
        "notebook = test_mine.Notebook(); IPython.get_ipython = lambda: notebook\n"
        "notebook.run('from n2n_lib import check')\n"
        "for _ in range(3): notebook.solve(*sys.argv[2:])\n"
    )
    shares = [("relu_backward", "sgd_step", "output_size"), ("mse_backward", "sigmoid_forward")]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(Path(__file__).parent), *names],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        for names in shares
    ]
    assert [process.wait(timeout=300) for process in running] == [0, 0]
    defined = set(re.findall(r"(?m)^def (\w+)", mine(folder)))
    assert defined == {name for names in shares for name in names}
    entries = json.loads((folder / record.PROGRESS).read_text())
    assert all(entries[name]["mine"]["used"] for name in defined)


def test_an_update_of_the_edition_leaves_the_file_alone(tmp_path: Path, start, monkeypatch):
    folder = tmp_path / "student"
    make_edition(folder, ROOT / "notebooks")
    monkeypatch.chdir(folder)
    right(start(), "relu_backward", RELU)
    before = mine(folder)
    changes = make_edition(folder, ROOT / "notebooks")
    assert mine(folder) == before
    assert changes.kept == [] and changes.written == [] and changes.updated == []
    start()
    assert not is_library(check.answers("relu_backward"))


# ---------------------------------------------------------------------- answers()


def test_one_line_says_which_are_whose(start, folder: Path, capsys):
    start().solve("relu_backward")
    capsys.readouterr()
    answers = check.answers()
    out = capsys.readouterr().out
    assert out.startswith("Yours: relu_backward. The library's: ")
    assert max(map(len, out.splitlines())) <= 96
    assert {name for name in vars(answers) if not name.startswith("_")} == set(EXERCISES)
    assert "relu_backward" in repr(check.answers("relu_backward"))


def test_unknown_names_are_refused(start, folder: Path):
    start()
    with pytest.raises(ValueError, match="expected names of exercises, got relu, step"):
        check.answers("relu", "relu_backward", "step")


@pytest.mark.parametrize("name", list(EXERCISES))
def test_what_is_missing_has_the_signature_of_the_exercise(start, folder: Path, name: str):
    start()
    version = getattr(check.answers(name), name)
    assert judge(EXERCISES[name], version).right


# ---------------------------------------------------------------------- mine()


def poison(monkeypatch: pytest.MonkeyPatch, *, solutions: bool) -> None:
    """Let every function of the library's kernel sets raise, and the solutions too."""

    def raising(name: str) -> Callable:
        def call(*arguments: Any, **named: Any) -> None:
            raise AssertionError(f"the library's {name} ran")

        return call

    for kernel in KERNELS.values():
        for name, value in list(vars(kernel).items()):
            if getattr(value, "__module__", "").startswith("n2n_lib.framework.kernels"):
                monkeypatch.setattr(kernel, name, raising(name))
    if solutions:
        for name, exercise in EXERCISES.items():
            monkeypatch.setattr(exercise, "solution", raising(name))


def train(network: Any, dtype: torch.dtype, steps: int = 4) -> list[Tensor]:
    """Train for some steps; return the losses and what the parameters have become."""
    source = torch.Generator().manual_seed(3)
    x, y = (torch.rand(4, 3, 16, 16, generator=source).to(dtype) for _ in range(2))
    criterion, optimiser = MSELoss(network), SGD(network, lr=0.5)
    losses = []
    with torch.no_grad(), network.training_mode():
        for _ in range(steps):
            losses.append(criterion(network(x), y))
            optimiser.zero_grad()
            criterion.backward()
            optimiser.step()
    return [torch.stack(losses), *(parameter.clone() for parameter, _ in network.param())]


def network(name: str, dtype: torch.dtype) -> Any:
    options = {"width": 4} if name == "unet" else {}
    return NETWORKS[name].build(**options, generator=torch.Generator().manual_seed(2)).to(dtype)


def assert_equal(ones: list[Tensor], others: list[Tensor], dtype: torch.dtype) -> None:
    tolerance = 1e-9 if dtype == torch.float64 else 2e-4
    for a, b in zip(ones, others, strict=True):
        assert a.dtype == b.dtype == dtype
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * b.abs().max().item())


each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


@each_dtype
def test_the_reports_network_learns_on_nothing_but_answers(
    solved: Path, start, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, capsys
):
    """All were given in other kernels; nothing of the library's kernels or solutions may run."""
    expected = train(network("report", dtype), dtype)
    assert expected[0][-1] < expected[0][0]
    monkeypatch.chdir(solved)
    start()
    poison(monkeypatch, solutions=True)
    with pytest.raises(AssertionError, match="the library's conv2d_forward ran"):
        train(network("report", dtype), dtype)
    with use_kernels(check.mine()):
        got = train(network("report", dtype), dtype)
    assert "The library's" not in capsys.readouterr().out
    assert_equal(got, expected, dtype)


@each_dtype
def test_what_is_missing_is_the_librarys(
    start, folder: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, capsys
):
    """Half were given, and each that was given is called."""
    expected = train(network("report", dtype), dtype)
    given = ["conv2d_forward", "conv2d_input_grad", "upsample_backward", "sigmoid_forward"]
    start().solve(*given, "mse_backward")
    start()
    capsys.readouterr()
    kernel_set = check.mine()
    out = " ".join(capsys.readouterr().out.split())
    assert out.startswith(f"Yours: {', '.join(given)}, mse_backward. The library's: conv2d_weight")
    called = set()
    for name, function in list(kernel_set._do.items()):

        def spy(*arguments: Any, name: str = name, function: Callable = function) -> Any:
            called.add((name, getattr(function, "__module__", None) == "mine"))
            return function(*arguments)

        kernel_set._do[name] = spy
    poison(monkeypatch, solutions=False)
    with use_kernels(kernel_set):
        got = train(network("report", dtype), dtype)
    assert_equal(got, expected, dtype)
    assert {name for name, is_mine in called if is_mine} == {*given, "mse_backward"}
    assert ("sgd_step", False) in called


@pytest.mark.parametrize("name", list(NETWORKS))
def test_any_network_runs_on_answers(name: str, solved: Path, start, monkeypatch):
    dtype = torch.float64
    expected = train(network(name, dtype), dtype, steps=2)
    x = torch.rand(3, 16, 16, dtype=dtype, generator=torch.Generator().manual_seed(1))
    alone = network(name, dtype)(x)
    monkeypatch.chdir(solved)
    start()
    with use_kernels(check.mine()):
        assert_equal(train(network(name, dtype), dtype, steps=2), expected, dtype)
        with use_kernels("fast"):
            torch.testing.assert_close(network(name, dtype)(x), alone, rtol=0, atol=0)
        torch.testing.assert_close(network(name, dtype)(x), alone)


def pairs(most: int, least: int = 0) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(least, most), st.integers(least, most))


@settings(max_examples=60)
@given(
    size=st.tuples(st.integers(5, 8), st.integers(5, 8)),
    kernel=pairs(3, 1),
    stride=pairs(3, 1),
    padding=pairs(2),
    dilation=pairs(2, 1),
    scale=pairs(3, 1),
    extra=pairs(3),
    bias=st.booleans(),
    needed=st.booleans(),
)
def test_every_geometry_of_a_set_is_made_of_answers(
    size, kernel, stride, padding, dilation, scale, extra, bias, needed
):
    """Answers know neither dilation nor two strides; compared with the report's set."""
    with contextlib.redirect_stdout(io.StringIO()):
        ours, theirs = check.mine(), KERNELS["unfold"]
    x = values((2, 3, *size), 1)
    weight, b = values((4, 3, *kernel), 2), values((4,), 3) if bias else None
    back = values((3, 4, *kernel), 4)
    calls = [
        ("conv2d", weight, (stride, padding, dilation), ()),
        ("upsample_conv2d", weight, (stride, padding, dilation), (scale,)),
        ("conv_transpose2d", back, (stride, padding, dilation), ()),
    ]
    for name, w, geometry, more in calls:
        forward = (*geometry, *more)
        if name == "conv_transpose2d":
            forward = (stride, padding, extra, dilation)
            if min(kernels.unfold.transposed_size(size, kernel, *forward)) < 1:
                continue
        results = []
        for each in (ours, theirs):
            output, saved = getattr(each, f"{name}_forward")(x, w, b, *forward)
            grad = values(tuple(output.shape), 5)
            backward = getattr(each, f"{name}_backward")
            results.append([output, *backward(grad, saved, w, *geometry, *more, needed)])
        for a, b_ in zip(*results, strict=True):
            assert (a is None) == (b_ is None) == False or not needed  # noqa: E712
            if a is not None and b_ is not None:
                torch.testing.assert_close(a, b_, rtol=1e-10, atol=1e-10)
    big = ours.nn_upsample_forward(x, scale)
    assert torch.equal(big, theirs.nn_upsample_forward(x, scale))
    grad = values(tuple(big.shape), 6)
    torch.testing.assert_close(
        ours.nn_upsample_backward(grad, scale), theirs.nn_upsample_backward(grad, scale)
    )


def test_the_set_is_complete_and_calls_no_name_that_is_no_exercise():
    with contextlib.redirect_stdout(io.StringIO()) as out:
        kernel_set = check.mine()
    assert "None of them is yours yet" in out.getvalue()
    assert all(callable(getattr(kernel_set, name)) for name in FUNCTIONS)
    names = set(kernel_sets.EXERCISES_OF_A_SET)
    assert names <= set(EXERCISES)
    source = Path(kernel_sets.__file__).read_text()
    assert set(re.findall(r'_do\["(\w+)"\]', source)) == names


# ---------------------------------------------------------------------- graded


def test_a_graded_answer_may_ask_for_those_of_earlier_lessons():
    """Nothing can be written there, and nobody's answers but the solutions are there."""
    cells = [
        "from n2n_lib import check\nanswers = check.answers()",
        "def sigmoid_backward(grad_output, output):\n"
        "    ones = answers.relu_backward(output, output) / output\n"
        "    return grad_output * output * (ones - output)",
    ]
    pieces = [Piece("yours", number, 1, cell) for number, cell in enumerate(cells)]
    with Limits(seconds=60).worker() as worker:
        assert worker.judge(EXERCISES["sigmoid_backward"], pieces, "sigmoid_backward").right

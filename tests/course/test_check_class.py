"""An exercise may ask for a class: its check, its known mistakes, its stubs and its points."""

from __future__ import annotations

import linecache
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from answers import ByTorch, answered, emptied
from nbformat.v4 import new_code_cell
from notebook_files import write
from scale_exercise import CELL, Scale
from test_student import check_stubs

from n2n_lib.course import check
from n2n_lib.course.check import CheckFailed
from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.judge import judge, judge_calls
from n2n_lib.course.check.registry import Check
from n2n_lib.course.edition import student_version
from n2n_lib.course.grading.handed_in.layouts import HandedIn
from n2n_lib.course.grading.handed_in.submissions import read_submission
from n2n_lib.course.grading.judging.judge import Limits
from n2n_lib.course.grading.judging.marking import grade_submission
from n2n_lib.course.grading.tasks import read_assignments
from n2n_lib.framework.activations import ReLU, Sigmoid
from n2n_lib.framework.containers import Sequential
from n2n_lib.framework.module import Module


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(check.EXERCISES, "Scale", Scale)
    Scale.failures = 0


def student(*changes: tuple[str, str]) -> Any:
    """Return the class of the lesson's cell, with parts replaced."""
    cell = CELL
    for part, other in changes:
        assert part in cell
        cell = cell.replace(part, other)
    return run(cell)


def run(cell: str) -> Any:
    """Run a cell whose source Python can show, as it can in a notebook."""
    linecache.cache["<cell>"] = (len(cell), None, cell.splitlines(keepends=True), "<cell>")
    names = {"__name__": "__main__", "torch": torch, "Module": Module}
    exec(compile(cell, "<cell>", "exec"), names)
    return names["Scale"]


def told(answer: Any) -> str:
    verdict = judge(Scale, answer)
    assert not verdict.right
    return verdict.message


def test_a_right_class_is_right(capsys):
    Scale(student())
    Scale(student(("(Module)", "")))
    assert capsys.readouterr().out.count("Scale: right, 2 cases.\n") == 2
    assert check.go_on_with(mine := student()) is mine


def test_the_solution_is_what_torch_computes():
    def by_torch(x, s, grad_output):
        with torch.enable_grad():
            x, s = x.requires_grad_(), s.requires_grad_()
            grads = torch.autograd.grad(x * s, (x, s), grad_output)
        return x * s, grads[0], 2 * grads[1]

    assert judge_calls(Scale, ByTorch(by_torch)).right


@pytest.mark.parametrize("mistake", Scale.mistakes, ids=lambda mistake: mistake.sentence)
def test_a_known_mistake_gets_its_sentence(mistake, capsys):
    for answer in mistake.answers:
        with pytest.raises(CheckFailed) as caught:
            Scale(run(answered(CELL, Scale.text_of(answer))))
        assert str(caught.value) == f"Scale: {mistake.sentence}"
        check_rows = capsys.readouterr().out
        assert "float32: s_grad" in check_rows or "float32: grad_input" in check_rows


def test_an_edit_begins_with_the_body_of_the_class_and_keeps_its_bases():
    assert Scale.text_of(but()).startswith("def __init__(self, count):\n    self.s, ")
    assert issubclass(Scale.function_of(but()), Module)
    with pytest.raises(ValueError, match="expected 'not in it' in the text to edit"):
        Scale.function_of(but(("not in it", "")))


BACKWARD = "    def backward(self, grad_output):"
WRONG = {
    "no backward": ([(BACKWARD, "    def back(self, grad_output):")], "does not define backward"),
    "no backward, no base": (
        [("(Module)", ""), (BACKWARD, "    def back(self, grad_output):")],
        "raised AttributeError: 'Scale' object has no attribute 'backward'. The class has nothing",
    ),
    "attribute never set": (
        [("        self.x = x\n", "")],
        "The line is `self.s_grad += (grad_output * self.x).sum(0)`. It is read before it is set",
    ),
    "raises in __init__": (
        [("torch.zeros(count)", "torch.zeros(counts)")],
        "torch.zeros(counts)`. If this is an argument of another method",
    ),
    "no __init__": ([("def __init__", "def init")], "takes no arguments. Is there an `__init__`"),
    "__init__ without its argument": (
        [("__init__(self, count)", "__init__(self)"), ("(count)", "(1)")],
        "takes 1 positional argument but 2 were given. Count the arguments",
    ),
    "no self": ([("forward(self, x)", "forward(x)")], "Count the arguments"),
    "an argument too many": (
        [("(self, grad_output)", "(self, x, grad_output)")],
        "missing 1 required positional argument: 'grad_output'. Count the arguments",
    ),
    "no return": (
        [("return self.s * x", "self.s * x")],
        "output is nothing (None). Does the method",
    ),
    "changes its input": (
        [("return self.s * x", "x = x.clone()\n        self.x.mul_(2)\n        return self.s * x")],
        "It also changed its input, x",
    ),
    "a factor": ([("return self.s * x", "return -self.s * x")], "output has the wrong sign"),
}


@pytest.mark.parametrize("changes, words", WRONG.values(), ids=WRONG)
def test_a_wrong_class_is_explained(changes: list[tuple[str, str]], words: str):
    message = told(student(*changes))
    assert words in message
    assert "function" not in message and "\n" not in message


def test_right_numbers_at_the_price_of_the_input():
    twice = "grad_output.mul_(2)\n        return self.s * grad_output / 4"
    half = "self.s_grad += (grad_output * self.x).sum(0) / 2 ** self.times"
    answer = student(
        ("self.x = x", "self.x, self.times = x, -1"),
        ("self.s_grad +=", "self.times += 1\n        self.s_grad +="),
        ("self.s_grad += (grad_output * self.x).sum(0)", half),
        ("return self.s * grad_output", twice),
    )
    message = told(answer)
    assert "but your class changed its input: grad_output" in message


@pytest.mark.parametrize("which", ["both", "backward"])
def test_a_method_that_is_not_written_yet(which: str, capsys):
    cell = emptied(CELL)
    if which == "backward":
        cell = CELL[: CELL.index(BACKWARD)] + cell[cell.index(BACKWARD) :]
    with pytest.raises(CheckFailed, match="^Scale: not written yet. Replace the line"):
        Scale(run(cell))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("value", [None, student()(2), lambda count: student()(count)])
def test_anything_but_a_class_is_refused(value: Any):
    kind = type(value).__name__
    message = rf"expected the class Scale itself, as in check.Scale\(Scale\), got {kind}$"
    with pytest.raises(TypeError, match=message):
        Scale(value)


def test_the_librarys_version_is_the_solution_and_cannot_pass_for_the_students(capsys):
    version = check.go_on_with(student(("self.s * x", "x")))
    assert version is Scale.solution and version(3).forward(torch.ones(1, 3)).tolist() == [[1] * 3]
    assert check.go_on_with(version) is version
    line = "Scale: the library's version, until yours is right.\n"
    assert capsys.readouterr().out == 2 * line
    with pytest.raises(CheckFailed, match="Scale: this is the library's class. Run the cell"):
        Scale(version)


# ------------------------------------------------------------------------------ functions too


def run_the_network(answer, inner, x):
    return answer(inner).forward(x)


@partial(
    Check,
    topic="activations",
    title="Two of them",
    hints=("What holds both?", "Keep them in a list.", "`Sequential([inner, ...])`."),
    returns=("output",),
    cases=(Case("float64", {"inner": Sequential([ReLU()]), "x": values((2, 3), 1)}),),
    use=run_the_network,
    mistakes=(Mistake("The inner network is left out.", but(("[inner, ", "["))),),
)
def wrapped(inner):
    """Check ``wrapped(inner) -> network``: a network and a Sigmoid after it."""
    return Sequential([inner, Sigmoid()])


def test_a_function_may_return_a_network_that_is_judged_by_what_it_computes():
    assert judge(wrapped, lambda inner: Sequential([inner, Sigmoid()])).right
    assert "left out" in judge(wrapped, lambda inner: Sequential([Sigmoid()])).message
    nothing = judge(wrapped, lambda inner: None).message
    assert "'NoneType' object has no attribute 'forward'. A value is None" in nothing


# ------------------------------------------------------------------------------ handed out and in


def lesson(folder: Path, cell: str = CELL) -> Path:
    """Write a lesson with the exercise; return its path."""
    points = {"grade": True, "grade_id": "scale-check", "points": 2, "locked": True}
    points |= {"schema_version": 3, "solution": False, "task": False}
    return write(
        folder / "05_activations.ipynb",
        "import torch\n\nfrom n2n_lib import Module, check",
        new_code_cell(cell, metadata={"tags": ["exercise"]}),
        new_code_cell("check.Scale(Scale)", metadata={"tags": ["check"], "nbgrader": points}),
    )


def test_each_region_becomes_a_stub(tmp_path: Path):
    stubs = student_version(lesson(tmp_path)).cells[1].source
    assert "self.x" not in stubs and "SOLUTION" not in stubs
    assert re.findall(r"(?m)^( *)raise", stubs) == [" " * 8] * 2
    assert "self.s, self.s_grad = torch.ones(count), torch.zeros(count)\n" in stubs
    check_stubs(run(stubs), 2)
    assert told(run(stubs)).startswith("Scale: not written yet. Replace the line")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have scale_exercise where a worker may see it: in a folder of packages, for all to read."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        Path(folder, "scale-1.dist-info").mkdir()
        shutil.copy(Path(__file__).with_name("scale_exercise.py"), folder)
        monkeypatch.setenv("PYTHONPATH", folder)
        monkeypatch.syspath_prepend(folder)
        yield


def test_a_class_is_graded(tmp_path: Path, installed: None):
    source = lesson(tmp_path / "lessons")
    handed_in = {
        "right": CELL,
        "accumulates-not": CELL.replace("+=", "="),
        "no-backward": CELL.replace("def backward", "def back").replace("(Module)", ""),
        "unset": CELL.replace("self.x = x", "pass"),
        "function": "def Scale(count):\n    return Own(count)\n" + CELL.replace("Scale(", "Own("),
        "stubs": student_version(source).cells[1].source,
    }
    for name, cell in handed_in.items():
        lesson(tmp_path / "class" / name, cell)
    assignments, marks = read_assignments(source.parent), {}
    with Limits(seconds=20, closed=False).worker() as worker:  # the judge is this process
        for name in handed_in:
            submission = read_submission(HandedIn(name, (tmp_path / "class" / name,)), assignments)
            done = grade_submission(submission, assignments, worker)
            marks[name] = next(iter(done.marks.values()))
    assert {name for name, mark in marks.items() if mark.points == 2} == {"right"}
    words = {
        "accumulates-not": "wrong. Scale: The second backward overwrites s_grad",
        "no-backward": "has no attribute 'backward'. The class has nothing of this name",
        "unset": "The line is `self.s_grad += (grad_output * self.x).sum(0)`. It is read before",
        "function": "no result. Scale: Scale is not a class.",
        "stubs": "not written. Scale: not written yet. Replace the line",
    }
    for name, part in words.items():
        assert part in f"{marks[name].result}. {marks[name].message}"
    assert "s_grad" in marks["accumulates-not"].table
    assert marks["right"].pieces[-1].source.startswith("class Scale(Module):")

"""Submissions as students really hand them in, with the points that a fair human gives.

All are of the lesson on activations, as the student edition has it. A fair human reads the notebook
as its author saw it run: whatever the kernel had learned from its cells by then counts.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator

import nbformat
import pytest
from handing_in import ACTIVATIONS, NOTEBOOKS, hand_in

from n2n_lib.course.edition import student_version
from n2n_lib.course.grading.grades import Grade
from n2n_lib.course.grading.handed_in.layouts import HandedIn
from n2n_lib.course.grading.handed_in.submissions import read_submission
from n2n_lib.course.grading.judging.judge import Limits
from n2n_lib.course.grading.judging.marking import grade_submission
from n2n_lib.course.grading.tasks import read_assignments

FULL = {
    "relu-forward": 1,
    "fit-curve": 2,
    "relu-backward": 1,
    "elu-class": 3,
    "sigmoid-forward": 2,
    "sigmoid-backward": 1,
    "surviving-part": 2,
}
"""Points by the id of the exercise's cell."""

ANSWERS = {
    "relu-forward": """
def relu_forward(x):
    return torch.where(x > 0, x, torch.zeros_like(x))
""",
    "fit-curve": """
def fit_curve(x, target, bends):
    A = torch.ones(len(x), len(bends) + 1, dtype=x.dtype)
    for k, b in enumerate(bends):
        A[:, k] = relu_forward(x - b)
    return A @ torch.linalg.lstsq(A, target).solution
""",
    "relu-backward": """
def relu_backward(grad_output, output):
    mask = (output > 0).to(grad_output.dtype)
    return mask * grad_output
""",
    "elu-class": """
class ELU(Module):
    def __init__(self, alpha=1.0):
        super().__init__()
        self.alpha = alpha

    def forward(self, x):
        self.x = x.clone()
        return torch.where(x > 0, x, self.alpha * torch.expm1(x.clamp(max=0)))

    def backward(self, grad_output):
        slope = torch.where(self.x > 0, 1.0, self.alpha * torch.exp(self.x.clamp(max=0)))
        return grad_output * slope.to(grad_output.dtype)
""",
    "sigmoid-forward": """
def sigmoid_forward(x):
    small = torch.exp(-x.abs())  # never overflows
    return torch.where(x >= 0, 1 / (1 + small), small / (1 + small))
""",
    "sigmoid-backward": """
def sigmoid_backward(grad_output, output):
    return grad_output * (output - output * output)
""",
    "surviving-part": """
def surviving_part(activation, inputs):
    total = 1
    for x in inputs:
        activation.forward(x)
        s = activation.backward(torch.ones_like(x))
        total = total * float((s ** 2).mean()) ** 0.5
    return total
""",
}
"""A good student's own texts."""


class Notebook:
    """The student edition of the lesson, and what a student does to it."""

    def __init__(self, solved: bool = True) -> None:
        lesson = student_version(NOTEBOOKS / f"{ACTIVATIONS}.ipynb")
        self.content = json.loads(nbformat.writes(lesson))
        for cell in self.cells:
            cell["source"] = "".join(cell["source"])
        if solved:
            for name, text in ANSWERS.items():
                self.write(name, text)

    @property
    def cells(self) -> list[dict]:
        return self.content["cells"]

    def cell(self, name: str) -> dict:
        return next(cell for cell in self.cells if cell.get("id") == name)

    def write(self, name: str, text: str) -> None:
        self.cell(name)["source"] = text.strip("\n")

    def add(self, text: str, *, before: str = "", after: str = "") -> dict:
        """Add a cell of the student's own, at the end unless a place is named."""
        cell = {"cell_type": "code", "id": f"own{len(self.cells)}", "metadata": {}, "outputs": []}
        cell |= {"execution_count": None, "source": text.strip("\n")}
        names = [each.get("id") for each in self.cells]
        place = names.index(before or after) + bool(after) if before or after else len(names)
        self.cells.insert(place, cell)
        return cell

    def delete(self, name: str) -> None:
        self.cells.remove(self.cell(name))


SUBMISSIONS: dict[str, tuple[Callable[[], Notebook], set[str]]] = {}
"""By the student's name: how the notebook is made, and the exercises that get no points."""


def submission(*lost: str) -> Callable:
    """Register a submission; `lost` are the ids of exercises that a fair human gives 0."""

    def register(change: Callable[[Notebook], None]) -> Callable:
        def make() -> Notebook:
            notebook = Notebook()
            change(notebook)
            return notebook

        SUBMISSIONS[change.__name__.replace("_", " ")] = make, set(lost)
        return change

    return register


# ------------------------------------------------------------------------------ plain ones


@submission()
def everything_solved(nb: Notebook) -> None:
    pass


@submission(*FULL)
def nothing_written(nb: Notebook) -> None:
    nb.content = Notebook(solved=False).content


@submission(*list(FULL)[3:])
def three_of_seven(nb: Notebook) -> None:
    stubs = Notebook(solved=False)
    for name in list(FULL)[3:]:
        nb.write(name, stubs.cell(name)["source"])


@submission("sigmoid-forward", "relu-backward")
def two_common_mistakes(nb: Notebook) -> None:
    nb.write("sigmoid-forward", "def sigmoid_forward(x):\n    return 1 / (1 + torch.exp(-x))")
    nb.write("relu-backward", "def relu_backward(grad_output, output):\n    return (output > 0)")


@submission("relu-forward")
def changes_its_input(nb: Notebook) -> None:
    """It is to return a new tensor; the other answers that call it never notice."""
    nb.write("relu-forward", "def relu_forward(x):\n    x[x < 0] = 0\n    return x")
    nb.write("fit-curve", ANSWERS["fit-curve"].replace("relu_forward(x - b)", "(x - b).relu()"))


@submission()
def stub_left_below_the_answer(nb: Notebook) -> None:
    stub = Notebook(solved=False).cell("relu-forward")["source"]
    head, raising = stub.split("    raise ", 1)
    nb.write("relu-forward", f"{head}    return x.clamp(min=0)\n    raise {raising}")


# ------------------------------------------------------------------------------ own helpers


@submission()
def helper_in_a_cell_above(nb: Notebook) -> None:
    nb.add("def slope(y):\n    return (y > 0).double()", before="relu-backward")
    text = "def relu_backward(grad_output, output):\n"
    nb.write("relu-backward", text + "    return grad_output * slope(output).to(grad_output)")


@submission()
def helper_between_exercise_and_check(nb: Notebook) -> None:
    nb.write("relu-forward", "def relu_forward(x):\n    return bigger(x, 0)")
    nb.add("def bigger(a, b):\n    return a.clamp(min=b)", after="relu-forward")


@submission()
def helper_at_the_end_of_the_notebook(nb: Notebook) -> None:
    """It was run when the check was, as the kernel remembers."""
    nb.write("relu-forward", "def relu_forward(x):\n    return bigger(x, 0)")
    nb.add("def bigger(a, b):\n    return a.clamp(min=b)")


@submission()
def import_added_to_the_first_cell(nb: Notebook) -> None:
    nb.cell("setup")["source"] = "import numpy as np\n" + nb.cell("setup")["source"]
    text = "def relu_forward(x):\n    return torch.from_numpy(np.maximum(x.numpy(), 0)).to(x)"
    nb.write("relu-forward", text)


@submission()
def import_inside_and_types(nb: Notebook) -> None:
    nb.write(
        "sigmoid-backward",
        "from torch import Tensor\n\n"
        "def sigmoid_backward(g: Tensor, s: Tensor, *, check: bool = False) -> Tensor:\n"
        "    import math as m\n"
        "    assert m.pi > 3, f'{g.shape=}'\n"
        "    return g * s * (1 - s)",
    )


@submission()
def table_filled_in_a_loop(nb: Notebook) -> None:
    nb.add("limits = []\nfor i in range(3):\n    limits.append(0 * i)", before="relu-forward")
    nb.write("relu-forward", "def relu_forward(x):\n    return x.clamp(min=limits[2])")


@submission()
def counts_its_calls(nb: Notebook) -> None:
    nb.write(
        "relu-forward",
        "calls = 0\n\ndef relu_forward(x):\n    global calls\n    calls += 1\n"
        "    return x.clamp(min=0)",
    )


@submission()
def constants_set_in_a_with_and_an_if(nb: Notebook) -> None:
    nb.add(
        "with torch.no_grad():\n    zero = torch.zeros(())\nif zero == 0:\n    low = {}\n"
        "    low['er'] = 0\nelse:\n    low = None",
        before="relu-forward",
    )
    nb.write("relu-forward", "def relu_forward(x):\n    return x.clamp(min=low['er'])")


@submission()
def class_with_methods_added_below(nb: Notebook) -> None:
    text = ANSWERS["elu-class"].split("    def backward")[0]
    nb.write("elu-class", text)
    nb.add(
        "def back(self, grad_output):\n"
        "    s = torch.where(self.x > 0, torch.ones_like(self.x), "
        "self.alpha * torch.exp(self.x.clamp(max=0)))\n"
        "    return grad_output * s\n\nELU.backward = back",
        after="elu-class",
    )


# ------------------------------------------------------------------------------ left-overs


@submission()
def a_wrong_draft_above(nb: Notebook) -> None:
    nb.add("def relu_forward(x):\n    return x.abs()", before="relu-forward")


@submission()
def an_old_version_under_another_name(nb: Notebook) -> None:
    old = "def relu_forward_old(x):\n    return x * 2\n"
    nb.write("relu-forward", old + ANSWERS["relu-forward"])


@submission()
def exercise_copied_and_the_copy_filled_in(nb: Notebook) -> None:
    stubs = Notebook(solved=False)
    nb.write("relu-forward", stubs.cell("relu-forward")["source"])
    cell = copy.deepcopy(nb.cell("relu-forward"))
    cell |= {"id": "f00", "source": ANSWERS["relu-forward"].strip()}  # with its metadata
    nb.cells.insert(nb.cells.index(nb.cell("relu-forward")) + 1, cell)


@submission()
def scratch_below_the_check(nb: Notebook) -> None:
    """What is tried out after the check said "right" takes no points away."""
    nb.add("def relu_forward(x):\n    return x  # what happens without it?", after="relu-toy")


@submission()
def magics(nb: Notebook) -> None:
    nb.write("relu-forward", "%%time\n" + ANSWERS["relu-forward"].strip())
    nb.write("relu-backward", ANSWERS["relu-backward"] + "\ntorch.clamp?\n!ls\n%matplotlib inline")
    text = ANSWERS["sigmoid-backward"]
    nb.write("sigmoid-backward", text + "\n%timeit -n1 -r1 sigmoid_backward(torch.ones(2), 0.5)")


@submission()
def pictures_and_prints(nb: Notebook) -> None:
    nb.write(
        "relu-forward",
        "import matplotlib.pyplot as plt\n"
        "def relu_forward(x):\n    print('x', x.shape)\n    return x.clamp(min=0)\n\n"
        "t = torch.linspace(-1, 1, 9)\nplt.plot(t, relu_forward(t))\nplt.show()\n"
        "display(relu_forward(t))\nrelu_forward(t)",
    )
    text = ANSWERS["sigmoid-backward"].replace(
        "    return", "    display(output.shape)\n    return"
    )
    nb.write("sigmoid-backward", text)


@submission()
def other_cells_are_broken(nb: Notebook) -> None:
    nb.add("for x in\n    print(x", before="relu-forward")
    nb.add("1 + " * 20_000 + "1", before="fit-curve")
    nb.add("undefined_name + 1", before="sigmoid-forward")
    nb.add("await something", before="surviving-part")


@submission()
def default_type_changed(nb: Notebook) -> None:
    nb.add("torch.set_default_dtype(torch.float64)\ntorch.manual_seed(1);", before="relu-forward")


# ------------------------------------------------------------------------------ forms of answers


@submission()
def lambdas(nb: Notebook) -> None:
    nb.write("relu-forward", "relu_forward = lambda x: x.clamp(min=0)")
    nb.write("sigmoid-backward", "sigmoid_backward = lambda g, s: g * s * (1 - s)")


@submission()
def decorators(nb: Notebook) -> None:
    nb.write("relu-forward", "@torch.no_grad()\n" + ANSWERS["relu-forward"].strip())
    timed = (
        "import functools, time\n\ndef timed(f):\n    @functools.wraps(f)\n"
        "    def inner(*a, **k):\n        start = time.time()\n        result = f(*a, **k)\n"
        "        inner.seconds = time.time() - start\n        return result\n    return inner"
    )
    nb.add(timed, before="relu-backward")
    nb.write("relu-backward", "@timed\n" + ANSWERS["relu-backward"].strip())
    nb.write("sigmoid-forward", "@torch.compile\n" + ANSWERS["sigmoid-forward"].strip())


@submission()
def names_in_german(nb: Notebook) -> None:
    nb.write("relu-forward", "def relu_forward(größe):\n    return größe.clamp(min=0)  # ≥ 0")


@submission()
def class_with_a_base_of_its_own(nb: Notebook) -> None:
    nb.add(
        "class Activation(Module):\n    def backward(self, g):\n        return g * self.slope",
        before="elu-class",
    )
    nb.write(
        "elu-class",
        "class ELU(Activation):\n    def __init__(self, alpha=1.0):\n        self.alpha = alpha\n\n"
        "    def forward(self, x):\n        e = self.alpha * torch.expm1(x.clamp(max=0))\n"
        "        self.slope = (x > 0).to(x) + (x <= 0).to(x) * (e + self.alpha)\n"
        "        return torch.where(x > 0, x, e)",
    )


# ------------------------------------------------------------------------------ the notebook


@submission()
def two_exercises_in_one_cell(nb: Notebook) -> None:
    nb.write("relu-forward", ANSWERS["relu-forward"] + "\n" + ANSWERS["relu-backward"])
    nb.delete("relu-backward")


@submission()
def saved_by_colab(nb: Notebook) -> None:
    """New ids, in the metadata; tags and nbgrader's metadata are gone."""
    for number, cell in enumerate(nb.cells):
        cell.pop("id")
        cell["metadata"] = {"id": f"Xy{number}", "colab": {"base_uri": "x"}}
    nb.content["nbformat_minor"] = 0


@submission()
def saved_without_ids(nb: Notebook) -> None:
    for cell in nb.cells:
        cell.pop("id")
    nb.content["nbformat_minor"] = 4


@submission()
def checks_deleted(nb: Notebook) -> None:
    for name in FULL:
        nb.delete(f"{name}-check")


@submission()
def checks_run_in_the_exercise(nb: Notebook) -> None:
    for name in ("relu-forward", "sigmoid-forward"):
        check = nb.cell(f"{name}-check")["source"]
        nb.write(name, ANSWERS[name] + "\n" + check + "  # right!")
        nb.cell(f"{name}-check")["source"] = check + "\n# done"


@submission()
def exercise_moved_below_its_check(nb: Notebook) -> None:
    cell = nb.cell("sigmoid-backward")
    nb.delete("sigmoid-backward")
    nb.cells.insert(nb.cells.index(nb.cell("sigmoid-backward-check")) + 1, cell)


@submission()
def lines_end_as_on_windows(nb: Notebook) -> None:
    for cell in nb.cells:
        cell["source"] = cell["source"].replace("\n", "\r\n")


# ------------------------------------------------------------------------------ one is broken


@submission("fit-curve")
def a_syntax_error(nb: Notebook) -> None:
    nb.write("fit-curve", "def fit_curve(x, target, bends)\n    return target")


@submission("surviving-part")
def an_endless_loop(nb: Notebook) -> None:
    nb.write("surviving-part", "def surviving_part(a, inputs):\n    while True:\n        pass")


@submission("relu-backward", "sigmoid-backward")
def recursion_and_an_exit(nb: Notebook) -> None:
    nb.write("relu-backward", "def relu_backward(g, y):\n    return relu_backward(g, y)")
    nb.write("sigmoid-backward", "def sigmoid_backward(g, y):\n    exit()")


# ------------------------------------------------------------------------------ graded


@pytest.fixture(scope="module")
def grades(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Grade]:
    """Grade all as a judge does, but in one process for answers: starting one takes seconds."""
    folder, found = tmp_path_factory.mktemp("realistic"), {}
    lessons = read_assignments(NOTEBOOKS, [ACTIVATIONS[:2]])
    with Limits(seconds=10).worker() as worker:
        for name, (make, _) in SUBMISSIONS.items():
            path = hand_in(folder / name, (ACTIVATIONS, make().content))
            submission = read_submission(HandedIn(name, (path,)), lessons)
            worker.seconds = 4 if name == an_endless_loop.__name__ else 10
            found[name] = grade_submission(submission, lessons, worker)
    return found


def lines(done: Grade) -> Iterator[str]:
    for column, mark in done.marks.items():
        yield f"{column}: {mark.points:g}, {mark.result} {mark.message} {mark.remarks}"


def test_there_are_thirty_at_least():
    assert len(SUBMISSIONS) >= 30


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_points_are_those_of_a_fair_human(grades: dict[str, Grade], name: str):
    lost = SUBMISSIONS[name][1]
    fair = {column: 0 if column in lost else most for column, most in FULL.items()}
    given = {column.split("/")[1]: mark.points for column, mark in grades[name].marks.items()}
    assert given == fair, "\n".join(lines(grades[name]))

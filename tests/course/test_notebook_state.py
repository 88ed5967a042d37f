"""What a check knows of its notebook, in a real kernel, and how a long answer is stopped."""

from __future__ import annotations

import linecache
import os
import random
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from answers import PLACES, student
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpecManager

from n2n_lib.course import check
from n2n_lib.course.check import EXERCISES, CheckFailed, record
from n2n_lib.course.check import judge as judging
from n2n_lib.course.check.limit import limited
from n2n_lib.course.check.notebook_state import _line_that_sets, borrowed

ROOT = Path(__file__).resolve().parents[2]
SIZE = "def output_size(size, kernel, stride, padding, dilation):\n"
RIGHT = "(size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1"
SOLVED = f"{SIZE}    return {RIGHT}"
CHECK = "check.output_size(output_size)"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Shown:
    """What a cell has shown: what it printed, and its error."""

    text: str
    error: str = ""
    traceback: str = ""


class Kernel:
    """A kernel as Jupyter starts it, with a history of its cells or without one."""

    def __init__(self, folder: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(folder / "ipython")}
        self.manager = KernelManager(
            kernel_name="python3",
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
            connection_file=str(folder / "kernel.json"),
        )
        self.manager.start_kernel(cwd=str(folder), env=environment)
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=120)
        self.history = True

    def __call__(self, *cells: str, then: Callable[[], None] | None = None) -> Shown:
        """Run cells; return what the last one showed."""
        for cell in cells:
            shown = self._run(cell, then)
        return shown

    def _run(self, cell: str, then: Callable[[], None] | None) -> Shown:
        shown = Shown("")

        def show(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                shown.text += content["text"]
                if then:
                    then()
            elif message["msg_type"] == "error":
                shown.error = content["ename"]
                shown.traceback = COLOURS.sub("", "\n".join(content["traceback"]))

        reply = self.client.execute_interactive(
            cell, store_history=self.history, output_hook=show, timeout=120
        )
        assert (reply["content"]["status"] == "error") == bool(shown.error), "the cell's own state"
        return shown

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    kernel = Kernel(tmp_path_factory.mktemp("kernel"))
    kernel("from n2n_lib.course import check\nimport torch")
    yield kernel
    kernel.close()


@pytest.fixture(params=[True, False], ids=["history", "no history"])
def kernel(started: Kernel, request: pytest.FixtureRequest) -> Kernel:
    """Have a kernel that has no answer yet, as in JupyterLab and as under nbval."""
    started.history = request.param
    started(
        "from n2n_lib.course.check import notebook_state\n"
        "for name in [*check.EXERCISES, 'k', 'other']:\n"
        "    globals().pop(name, None)\n"
        "    if name in check.EXERCISES:\n"
        "        check.EXERCISES[name].failures = 0\n"
        "notebook_state.cells.__init__()"
    )
    return started


def sentence(shown: Shown) -> str:
    return " ".join(shown.traceback.split())


# ---------------------------------------------------------------------- cells that failed


def test_after_a_syntax_error_the_function_of_before_is_not_judged(kernel: Kernel):
    assert "output_size: right" in kernel(SOLVED, CHECK).text
    assert kernel(f"{SIZE}    kernel += 1\n    return (size").error == "SyntaxError"
    shown = kernel(CHECK)
    assert shown.error == "CheckFailed" and shown.text == ""
    assert sentence(shown) == (
        "output_size: the cell with `def output_size` ended in a SyntaxError (line 3: `return "
        "(size`), so your last changes are not in force: mend it, run it, then run this check "
        "again."
    )
    assert "output_size: right" in kernel(SOLVED, CHECK).text


def test_after_an_indentation_error(kernel: Kernel):
    kernel(SOLVED, f"{SIZE}    s = 1\n      return s")
    assert "ended in an IndentationError (line 3: `return s`), so" in sentence(kernel(CHECK))


def test_after_a_cell_that_stopped_above_the_function(kernel: Kernel):
    kernel(SOLVED, "import torch\nnothing.at_all\n\n" + SOLVED)
    said = sentence(kernel(CHECK))
    assert "ended in a NameError (line 2: `nothing.at_all`), so your last changes" in said


def test_a_cell_that_stopped_below_the_function_has_defined_it(kernel: Kernel):
    kernel(f"{SIZE}    return 0")
    assert kernel(SOLVED + "\n\noutput_size()").error == "TypeError"
    assert "output_size: right" in kernel(CHECK).text


def test_the_error_of_another_cell_does_not_count(kernel: Kernel):
    kernel(SOLVED, "def other(:", "class A:\n    def output_size(self:\n        pass")
    assert "output_size: right" in kernel(CHECK).text


def test_a_broken_cell_whose_name_goes_on_with_the_library(kernel: Kernel):
    kernel(
        f"{SIZE}    return 0",
        f"{SIZE}    return 0 +",
        "output_size = check.go_on_with(output_size)",
    )
    assert "ended in a SyntaxError (line 2: `return 0 +`)" in sentence(kernel(CHECK))
    kernel(SOLVED)
    assert "output_size: right" in kernel(CHECK).text


def test_a_broken_class(kernel: Kernel):
    place = PLACES["Linear"]
    kernel(
        place.cell.replace("def forward(self", "def forward(self:"),
    )
    said = sentence(kernel("check.Linear(Linear)"))
    assert said.startswith(
        "Linear is not defined: the cell with `class Linear` ended in a SyntaxError"
    )


@pytest.mark.parametrize("first", ["%%time", "import asyncio\nawait asyncio.sleep(0)"])
def test_a_broken_cell_with_more_than_plain_python(kernel: Kernel, first: str):
    kernel(SOLVED, f"{first}\n{SIZE}    return (")
    number = first.count("\n") + 3
    assert f"ended in a SyntaxError (line {number}: `return (`)" in sentence(kernel(CHECK))
    assert "output_size: right" in kernel(f"{first}\n{SOLVED}", CHECK).text


# ---------------------------------------------------------------------- run too early


def test_a_check_before_its_exercise(kernel: Kernel):
    shown = kernel(CHECK)
    assert shown.error == "NameError"
    assert shown.traceback == (
        "output_size is not defined yet: run the cell with `def output_size` above first."
    )
    assert sentence(kernel("output_size = check.go_on_with(output_size)")) == sentence(shown)
    assert "run the cell with `def he_std_by_hand`" in sentence(
        kernel("check.he_std(he_std_by_hand)")
    )
    assert "with `class Linear` above" in sentence(kernel("check.Linear(Linear)"))


def test_a_check_after_a_cell_that_failed(kernel: Kernel):
    kernel(f"{SIZE}    return (")
    assert sentence(kernel(CHECK)) == (
        "output_size is not defined: the cell with `def output_size` ended in a SyntaxError (line "
        "2: `return (`). Mend it, run it, then run this check again."
    )


@pytest.mark.parametrize(
    "cell",
    [
        "1 + output_size",
        "output_size(1)",
        "check.output_size(other)\n",
        "import math\n\ndef other():\n    return output_size\n\nother()",
        "check.output_size(output_size(3))",
    ],
)
def test_any_other_name_error_is_shown_as_ever(kernel: Kernel, cell: str):
    if "other)" in cell:  # an exercise's check, but whose name nobody asks for
        assert "run the cell with `def other` above" in sentence(kernel(cell))
        return
    with_handler = kernel(cell)
    kernel("kept = get_ipython().custom_exceptions\nget_ipython().custom_exceptions = ()")
    without = kernel(cell)
    kernel("get_ipython().custom_exceptions = kept")
    assert with_handler.error == without.error == "NameError"
    number = re.compile(r"In\[\d+\]|line \d+|\d+\.py")
    assert number.sub("", with_handler.traceback) == number.sub("", without.traceback)
    assert "Traceback" in without.traceback


# ---------------------------------------------------------------------- the stub


def test_an_untouched_exercise_gets_no_hint(kernel: Kernel):
    stub = f'{SIZE}    """Doc."""\n    raise NotImplementedError(  # your code\n        "h"\n    )'
    for _ in range(2):
        assert sentence(kernel(stub, CHECK)) == (
            "output_size: not written yet. Replace the line `raise NotImplementedError` in the "
            'cell above; `check.hint("output_size")` helps you begin.'
        )


@pytest.mark.parametrize(
    "body, words",
    [
        (f"raise NotImplementedError\n    return {RIGHT}", "there, above your code: delete it."),
        (f"raise NotImplementedError(\n        'h'\n    )\n    return {RIGHT}", "them."),
        (
            f"size = {RIGHT}\n    raise NotImplementedError",
            "there, below your code, which returns nothing: delete it.",
        ),
        (
            f"if kernel < 0:\n        return {RIGHT}\n    raise NotImplementedError",
            "there, below your code: delete it.",
        ),
    ],
)
def test_the_stub_is_still_there(kernel: Kernel, body: str, words: str):
    said = sentence(kernel(f'{SIZE}    """Doc."""\n    {body}', CHECK))
    assert re.match("output_size: the lines? .*`raise NotImpl.* still there, ", said)
    assert said.endswith(words)


def test_the_stub_of_a_method_is_still_there(kernel: Kernel):
    place = PLACES["Linear"]
    cell = place.cell.replace("    ### BEGIN SOLUTION", "    raise NotImplementedError", 1)
    kernel("from n2n_lib import Module", cell)
    said = sentence(kernel("check.Linear(Linear)"))
    assert re.search("still there in `.*`, above your code: delete it.", said), said


def test_what_it_calls_is_not_written_yet(kernel: Kernel):
    kernel("def other(*numbers):\n    raise NotImplementedError('h')")
    kernel(f"{SIZE}    return other(size)")
    said = sentence(kernel(CHECK))
    assert said == "output_size: it calls `other`, which is not written yet."


# ---------------------------------------------------------------------- names


def test_a_name_that_a_later_cell_has_set(kernel: Kernel):
    kernel(SOLVED, "output_size = lambda *numbers: 0")
    said = sentence(kernel(CHECK))
    assert "A later cell has set `output_size` anew: `output_size = lambda *numbers: 0`." in said
    assert "A later cell" not in sentence(kernel(f"{SIZE}    return 0", CHECK))
    kernel(SOLVED, "output_size = [output_size][0]")
    assert "output_size: right" in kernel(CHECK).text


@pytest.mark.parametrize(
    "cell, line",
    [
        ("output_size = abs", "output_size = abs"),
        ("output_size, k = abs, 3", "output_size, k = abs, 3"),
        ("[k, (*_, output_size)] = 3, [abs]", "[k, (*_, output_size)] = 3, [abs]"),
        ("k = output_size = abs", "k = output_size = abs"),
        ("output_size += 1", "output_size += 1"),
        ("output_size: object = abs", "output_size: object = abs"),
        ("print((output_size := abs)(-1))", "print((output_size := abs)(-1))"),
        ("for output_size in (abs, max):\n    pass", "for output_size in (abs, max):"),
        ("if True:\n    k = 1\n    output_size = k", "output_size = k"),
        ("try:\n    1 / 0\nexcept OSError:\n    output_size = 1", "output_size = 1"),
        ("with open('f') as output_size:\n    k = 1", "with open('f') as output_size:"),
        ("from math import comb, sin as output_size", "from math import comb, sin as output_size"),
        ("%matplotlib inline\noutput_size = abs", "output_size = abs"),
        ("%%time\noutput_size = abs", "output_size = abs"),
        ("output_size = abs\noutput_size = max", "output_size = max"),
        ("k = {output_size: 3}\noutput_size.k = k\noutput_size = 1", "output_size = 1"),
        ("output_size.k = 3", ""),
        ("output_size[0] = k = 3", ""),
        ("k = print(output_size == 3, end='')\nf(output_size=3)", ""),
        ("k = [output_size for output_size in (1, 2)]", ""),
        ("def f():\n    output_size = 3", ""),
        ("# output_size = 3\nexec(text)", ""),
        ("output_size =", ""),
    ],
)
def test_the_line_that_sets_a_name(cell: str, line: str):
    assert _line_that_sets("output_size", cell) == line


def test_names_of_the_notebook_that_leak_in(kernel: Kernel):
    kernel("k = 3", f"{SIZE}    return [size + k for _ in range(1)][0]")
    said = sentence(kernel(CHECK))
    assert said.endswith("It reads `k` of the notebook, which is none of its arguments.")
    kernel(f"{SIZE}    k = 4\n    return size + k")
    assert "of the notebook" not in sentence(kernel(CHECK))
    kernel(SOLVED.replace("+ 1", "+ k - 2"))
    assert "output_size: right" in kernel(CHECK).text.partition("\n")[0]


SPACE = """
import math, torch
from math import pi
EPS, N, t, words = 1e-3, 2, torch.ones(2), ["a"]

def helper():
    return t
"""


@pytest.mark.parametrize(
    "text, names",
    [
        ("def f(x):\n    return x * t + N", ["t"]),
        ("def f(x):\n    return [w for w in words]", ["words"]),
        ("def f(x):\n    return sum(w in words for w in x)", ["words"]),
        ("def f(x):\n    g = lambda: t\n    return g()", ["t"]),
        ("def f(x):\n    t = x\n    return t", []),
        ("def f(t):\n    return lambda: t", []),
        ("def f(x):\n    return helper() + math.pi + pi + EPS", []),
        ("class f:\n    def forward(self, x):\n        return x + t", ["t"]),
        ("class f:\n    t = 1\n    def forward(self, x):\n        return x + self.t", []),
        ("class f:\n    @staticmethod\n    def g(x):\n        return words, t", ["words", "t"]),
    ],
)
def test_what_counts_as_borrowed(text: str, names: list[str]):
    place = f"<{text}>"
    source = SPACE + text
    linecache.cache[place] = (len(source), None, source.splitlines(keepends=True), place)
    space: dict[str, Any] = {"__name__": "notebook"}
    exec(compile(source, place, "exec"), space)
    assert borrowed(space["f"]) == names


@pytest.mark.parametrize("name", EXERCISES)
def test_no_solution_borrows(name: str):
    assert borrowed(student(name)) == []


# ---------------------------------------------------------------------- too slow


def test_an_endless_loop_is_stopped_and_the_kernel_lives(kernel: Kernel):
    kernel("from n2n_lib.course.check import limit\nlimit.SECONDS = 1")
    kernel(f"{SIZE}    n = 0\n    while True:\n        n += 1")
    shown = kernel(CHECK)
    assert shown.error == "CheckFailed"
    assert re.match(
        r"output_size: stopped after \d+ seconds in the line `(while True:|n \+= 1)`. Is there a "
        "loop that never ends?",
        sentence(shown),
    )
    assert "Traceback" not in shown.traceback
    assert "\nHint: " in kernel(CHECK).traceback
    shown = kernel("output_size = check.go_on_with(output_size)")
    assert "stopped after" in shown.text and "the library's version, until" in shown.text
    assert "output_size: right" in kernel(SOLVED, CHECK).text
    assert kernel("print(torch.is_grad_enabled())").text == "True\n"


def test_the_line_is_of_the_notebook_be_it_in_another_cell(kernel: Kernel):
    kernel("from n2n_lib.course.check import limit\nlimit.SECONDS = 1")
    kernel("def other(x):\n    while True:\n        torch.allclose(x, x)")
    kernel(f"{SIZE}    return other(torch.ones(9))")
    said = sentence(kernel(CHECK))
    assert re.search("in the line `(while True:|torch.allclose.x, x.)`. Is there a loop", said)


def test_an_interrupted_check_shows_one_line(kernel: Kernel):
    kernel("from n2n_lib.course.check import limit\nlimit.SECONDS = 60")
    kernel(f"{SIZE}    print('begun', flush=True)\n    while True:\n        pass")
    shown = kernel(CHECK, then=kernel.manager.interrupt_kernel)
    assert shown.error == "KeyboardInterrupt"
    assert re.fullmatch(r"output_size: stopped by you in the line `.*`\.", shown.traceback)
    assert "output_size: right" in kernel(SOLVED, CHECK).text


def endless() -> None:
    while True:
        pass


def swallows() -> None:
    while True:
        try:
            sum(range(100))
        except:  # noqa: E722
            pass


def swallows_while_it_sleeps() -> None:
    while True:
        try:
            time.sleep(0.01)
        except BaseException:  # noqa: B036
            continue


def swallows_inside() -> None:
    for _ in range(10**9):
        try:
            for number in range(10**6):
                number + 1
        except:  # noqa: E722
            pass


def ends_late() -> None:
    time.sleep(1)
    endless()


def multiplies() -> None:
    a = torch.ones(1500, 1500)
    while True:
        a = a @ a


def stop(function: Callable[[], None], seconds: float = 0.3) -> None:
    limit = limited(seconds)
    with pytest.raises(limit.stop), limit:
        function()
    limit.close()


def nothing_is_left_behind() -> None:
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        pass
    assert [thread.name for thread in threading.enumerate()].count("time limit") == 0


@pytest.mark.parametrize(
    "function",
    [endless, swallows, swallows_while_it_sleeps, swallows_inside, ends_late, multiplies],
)
def test_what_does_not_end_is_stopped(function: Callable[[], None]):
    stop(function)
    nothing_is_left_behind()


def test_another_thread_is_stopped_and_this_one_is_not():
    done = []
    thread = threading.Thread(target=lambda: (stop(endless), done.append("stopped")))
    thread.start()
    end = time.monotonic() + 60
    while thread.is_alive() and time.monotonic() < end:
        pass
    assert done == ["stopped"]


def test_one_limit_inside_another():
    with limited(60):
        stop(endless)
    stop(lambda: inner_of(60))
    nothing_is_left_behind()


def inner_of(seconds: float) -> None:
    with limited(seconds):
        endless()


def test_quick_uses_leave_nothing_behind():
    for _ in range(200):
        with limited(10):
            sum(range(10))
    nothing_is_left_behind()


def test_no_exception_comes_after_the_end_of_a_block():
    """The time is over about when the block is, and threads take turns often."""
    spread, stopped, before = random.Random(0), 0, sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(150):
            limit = limited(0.004)
            try:
                with limit:
                    spin(spread.uniform(0.002, 0.01))
            except limit.stop:
                limit.close()
                stopped += 1
            spin(0.0003)  # a TooSlow here fails the test
    finally:
        sys.setswitchinterval(before)
    nothing_is_left_behind()
    assert stopped


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_an_error_of_the_block_passes():
    with pytest.raises(ZeroDivisionError), limited(10):
        1 / 0  # noqa: B018


def test_time_that_goes_by_in_the_check_itself_does_not_count(monkeypatch, capsys):
    """As where a diagnosis tries what many known mistakes would do."""
    judged = judging.judge_calls

    def slowly(*arguments, **named):
        time.sleep(0.5)
        spin(0.5)
        return judged(*arguments, **named)

    monkeypatch.setattr(record, "session", {})
    monkeypatch.setattr(judging, "limited", lambda counts: limited(0.3, counts))
    monkeypatch.setattr(judging, "judge_calls", slowly)
    check.sigmoid_forward(student("sigmoid_forward"))
    assert "sigmoid_forward: right" in capsys.readouterr().out


def test_a_stopped_answer_is_tried_and_what_it_switched_off_is_on_again(monkeypatch, capsys):
    def output_size(size, kernel, stride, padding, dilation):
        with torch.no_grad():
            endless()

    monkeypatch.setattr(record, "session", {})
    monkeypatch.setattr(judging, "limited", lambda counts: limited(0.3, counts))
    EXERCISES["output_size"].failures = 0
    with torch.set_grad_enabled(True):
        with pytest.raises(CheckFailed, match="stopped after 0 seconds in the line `"):
            check.output_size(output_size)
        assert torch.is_grad_enabled()
    assert record.session == {"output_size": {"tries": 1}}
    EXERCISES["output_size"].failures = 0

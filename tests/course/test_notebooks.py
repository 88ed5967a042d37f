"""The runner of the lessons: what it saves, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell
from notebook_files import code_cells, write
from PIL import Image

from n2n_lib.course.notebooks import METADATA, LessonError, execute, find_lessons

ROOT = Path(__file__).resolve().parents[2]


def run(*paths: Path, timeout: int = 60) -> None:
    execute(paths, timeout=timeout, progress=False)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small notebook with every kind of output, as somebody's JupyterLab left it, run once."""
    stale = new_code_cell(
        "import time\nfor i in range(5):\n    print(i, flush=True)\n    time.sleep(0.06)\n2 + 2",
        execution_count=17,
        metadata={
            "tags": ["kept"],
            "scrolled": True,
            "execution": {"iopub.execute_input": "2026-01-01T00:00:00Z"},
        },
    )
    path = write(
        tmp_path_factory.mktemp("good") / "01_good.ipynb",
        new_markdown_cell("# 01 Good"),
        stale,
        "from IPython.display import display, Markdown\n"
        "print('before')\ndisplay(Markdown('*between*'))\nprint('after')",
        "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\nplt.show()",
        "import ipywidgets\nipywidgets.IntSlider(value=3)",
        "from tqdm.auto import tqdm\ntotal = sum(tqdm(range(3)))",
        kernelspec={"name": "other", "display_name": "mine", "language": "python"},
        language_info={"name": "python", "version": "3.9.1"},
        widgets={"application/vnd.jupyter.widget-state+json": {"state": {}}},
    )
    run(path)
    return path


def test_running_twice_gives_the_same_bytes(good: Path):
    once = good.read_bytes()
    run(good)
    assert good.read_bytes() == once
    assert once.endswith(b"}\n") and b"\r" not in once


def test_a_run_writes_outputs_and_nothing_about_the_machine(good: Path):
    lesson = nbformat.read(good, as_version=4)
    nbformat.validate(lesson)
    assert lesson.metadata == METADATA
    first, text, figure, slider, bar = code_cells(lesson)
    assert [cell.execution_count for cell in code_cells(lesson)] == [1, 2, 3, 4, 5]
    assert first.metadata == {"tags": ["kept"]}
    assert [output.output_type for output in first.outputs] == ["stream", "execute_result"]
    assert first.outputs[0].text == "0\n1\n2\n3\n4\n"
    assert first.outputs[1].data == {"text/plain": "4"}
    assert [output.output_type for output in text.outputs] == ["stream", "display_data", "stream"]
    assert "image/png" in figure.outputs[0].data
    assert slider.outputs[0].data == {"text/plain": "IntSlider(value=3)"}
    assert set(bar.outputs[0].data) == {"text/plain"}
    assert "widget-view" not in good.read_text(encoding="utf-8")


def test_figures_hold_no_date(good: Path):
    figure = code_cells(nbformat.read(good, as_version=4))[2].outputs[0].data["image/png"]
    assert set(Image.open(BytesIO(b64decode(figure))).info) <= {"Software", "dpi"}


def test_missing_and_repeated_ids_are_completed_by_place(tmp_path: Path):
    path = write(tmp_path / "01_ids.ipynb", "1", "2", "3", "4")
    content = json.loads(path.read_text())
    content["nbformat_minor"] = 4
    for cell, name in zip(content["cells"], ["kept", None, "kept", "cell-001"], strict=True):
        cell["id"] = name
        if name is None:
            del cell["id"]
    path.write_text(json.dumps(content))
    run(path)
    lesson = nbformat.read(path, as_version=4)
    assert lesson.nbformat_minor == 5
    assert [cell.id for cell in lesson.cells] == ["kept", "cell-001-new", "cell-002", "cell-001"]


def test_the_kernel_is_this_python_in_the_folder_of_the_notebook(tmp_path: Path):
    (tmp_path / "beside.txt").write_text("found")
    path = write(
        tmp_path / "01_where.ipynb",
        "print(open('beside.txt').read())",
        f"import sys\nassert sys.prefix == {sys.prefix!r}",
    )
    run(path)
    assert code_cells(nbformat.read(path, as_version=4))[0].outputs[0].text == "found\n"


def test_personal_settings_do_not_reach_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    profile = tmp_path / "ipython" / "profile_default" / "startup"
    profile.mkdir(parents=True)
    (profile / "00.py").write_text("mine = 1")
    (tmp_path / "matplotlibrc").write_text("figure.dpi: 33")
    kernels = tmp_path / "jupyter" / "kernels" / "python3"
    kernels.mkdir(parents=True)
    (kernels / "kernel.json").write_text('{"argv": ["false"], "display_name": "x"}')
    personal = {
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "MATPLOTLIBRC": str(tmp_path),
        "JUPYTER_PATH": str(tmp_path / "jupyter"),
        "MPLBACKEND": "svg",
        "TQDM_DISABLE": "1",
        "PYTHONWARNINGS": "error",
    }
    for name, value in personal.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "lessons"
    path = write(
        folder / "01_own.ipynb",
        "assert 'mine' not in globals()",
        "import matplotlib\nassert matplotlib.rcParams['figure.dpi'] == 100\n"
        "assert 'inline' in matplotlib.get_backend()",
        "import tqdm, sys\nassert not tqdm.tqdm([], file=sys.stdout).disable\n"
        "assert not sys.warnoptions",
    )
    run(path)
    assert code_cells(nbformat.read(path, as_version=4))[2].execution_count == 3


BAD = {
    "exception": ("1 / 0", r"got ZeroDivisionError: division by zero\n(.*\n)*.*Traceback"),
    "exception that a tag allows": (
        new_code_cell("1 / 0", metadata={"tags": ["raises-exception"]}),
        "expected no exception, got ZeroDivisionError",
    ),
    "stderr": ("import sys\nprint('oops', file=sys.stderr)", "nothing on stderr, got oops"),
    "warning": ("import warnings\nwarnings.warn('old')", "nothing on stderr, got .*old"),
    "working folder": ("import os\nprint('in', os.getcwd())", "no absolute path of this machine"),
    "home, as a value": ("import os\nos.path.expanduser('~/x')", "no absolute path"),
    "temporary folder": ("import tempfile\ntempfile.gettempdir()", "no absolute path"),
    "environment": ("import sys\nsys.executable", "no absolute path"),
    "repository": (f"print({str(ROOT / 'x.png')!r})", "no absolute path"),
    "path in HTML": (
        "import os\nfrom IPython.display import HTML\nHTML(f'<a href=\"{os.getcwd()}/x\">x</a>')",
        "no absolute path",
    ),
    "empty cell": (" ", "expected to be run as number 2, got None"),
    "skipped cell": (
        new_code_cell("1", metadata={"tags": ["skip-execution"]}),
        "expected to be run as number 2, got None",
    ),
    "death": ("import os\nos._exit(1)", "the kernel to live on"),
}


@pytest.mark.parametrize("cell, message", BAD.values(), ids=BAD)
def test_what_is_refused_leaves_the_old_file(tmp_path: Path, cell, message: str):
    path = write(tmp_path / "02_bad.ipynb", "print('fine')", cell)
    before = path.read_bytes()
    with pytest.raises(LessonError, match=message) as caught:
        run(path)
    first_line = str(caught.value).splitlines()[0]
    assert first_line.startswith("02_bad.ipynb, code cell [2] (")
    assert "\x1b" not in str(caught.value)
    assert path.read_bytes() == before
    assert list(tmp_path.glob(".*.part")) == []


def test_a_cell_that_takes_too_long_is_refused(tmp_path: Path):
    path = write(tmp_path / "02_slow.ipynb", "1", "import time\ntime.sleep(60)")
    before = path.read_bytes()
    with pytest.raises(LessonError, match=r"02_slow.ipynb, code cell \[2\].*at most 1 s"):
        run(path, timeout=1)
    assert path.read_bytes() == before


def test_paths_that_only_look_like_this_machine_pass(tmp_path: Path):
    home = Path.home().as_posix()
    path = write(
        tmp_path / "01_fine.ipynb", f"print('https://example.org{home}/x {home}x a/b ./c 1/2')"
    )
    run(path)
    assert code_cells(nbformat.read(path, as_version=4))[0].outputs


def test_lessons_run_in_order_and_those_before_a_failure_are_saved(tmp_path: Path):
    first = write(tmp_path / "01_first.ipynb", "open('made', 'w').close()\n'new'")
    second = write(tmp_path / "02_second.ipynb", "open('made').close()\n1 / 0")
    third = write(tmp_path / "03_third.ipynb", "open('third', 'w').close()")
    with pytest.raises(LessonError, match=r"02_second.ipynb, code cell \[1\]"):
        run(first, second, third)
    assert code_cells(nbformat.read(first, as_version=4))[0].execution_count == 1
    assert not (tmp_path / "third").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
@pytest.mark.parametrize("moment", ["the kernel starts", "a cell runs"])
def test_an_interrupted_run_stops_and_leaves_the_old_file(tmp_path: Path, moment: str):
    path = write(tmp_path / "01_slow.ipynb", "import time\nopen('on', 'w').close()\ntime.sleep(60)")
    before = path.read_bytes()
    code = (  # a shell's background jobs, such as these tests, inherit that Ctrl-C is ignored
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from n2n_lib.course.notebooks import execute\n"
        f"try:\n    execute([{str(path)!r}])\nexcept KeyboardInterrupt:\n    print('interrupted')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        start_new_session=True,  # a terminal, too, sends Ctrl-C to a whole group of processes
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline, kernels = time.monotonic() + 30, []
    while time.monotonic() < deadline:
        kernels = psutil.Process(process.pid).children()
        if (tmp_path / "on").exists() or (kernels and moment == "the kernel starts"):
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert out == "interrupted\n" and "Traceback" not in err
    assert kernels and not any(kernel.is_running() for kernel in kernels)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "found no file"),
        ("", "expected a Jupyter notebook"),
        ("{", "expected a Jupyter notebook"),
        ("[]", "expected a Jupyter notebook"),
        ("\x00", "expected a Jupyter notebook"),
        ('{"nbformat": 3, "nbformat_minor": 0, "worksheets": []}', "format 4, got 3"),
        (
            '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "x"}]}',
            "expected a Jupyter notebook",
        ),
    ],
)
def test_what_is_no_notebook_is_refused_before_any_is_run(tmp_path: Path, content, message: str):
    fine = write(tmp_path / "01_fine.ipynb", "open('made', 'w').close()")
    path = tmp_path / "02_broken.ipynb"
    if content is not None:
        path.write_text(content)
    with pytest.raises(LessonError, match=message) as caught:
        run(fine, path)
    assert path.name in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_timeout_must_be_positive(good: Path, timeout: float):
    with pytest.raises(ValueError, match=f"expected a positive timeout in seconds, got {timeout}"):
        execute([good], timeout=timeout)


def test_nothing_to_run_is_an_error():
    with pytest.raises(ValueError, match="expected one or more notebooks, got none"):
        execute([])


def test_find_lessons_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("10_b.ipynb", "02_a.ipynb", "draft.ipynb", "03_c.txt", ".03_c.ipynb"):
        (tmp_path / name).touch()
    assert [path.name for path in find_lessons(tmp_path)] == ["02_a.ipynb", "10_b.ipynb"]
    monkeypatch.chdir(tmp_path)
    # Without a folder it is the one beside the package, wherever one stands.
    assert find_lessons() == find_lessons(ROOT / "notebooks")
    with pytest.raises(ValueError, match="expected a folder of lessons, got .*nowhere"):
        find_lessons(tmp_path / "nowhere")

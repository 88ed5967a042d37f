"""The runner of the lessons, the file that tells nbval what may differ, and the lessons."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from base64 import b64decode
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbval.plugin import get_sanitize_patterns
from PIL import Image

import n2n_lib
from n2n_lib.course.lessons import TOPICS, number_of, stem_of
from n2n_lib.course.notebooks import METADATA, LessonError, execute, find_lessons

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
LESSONS = find_lessons(NOTEBOOKS)


def code_cells(lesson: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in lesson.cells if cell.cell_type == "code"]


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


# ---------------------------------------------------------------------- the runner


def write(path: Path, *cells: NotebookNode | str, **metadata) -> Path:
    """Write a notebook of code cells (strings) and ready-made cells."""
    lesson = new_notebook(
        cells=[new_code_cell(c) if isinstance(c, str) else c for c in cells], metadata=metadata
    )
    nbformat.write(lesson, path)
    return path


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
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("MPLBACKEND", "svg")
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    folder = tmp_path / "lessons"
    folder.mkdir()
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
def test_an_interrupted_run_stops_and_leaves_the_old_file(tmp_path: Path):
    path = write(tmp_path / "01_slow.ipynb", "import time\nopen('on', 'w').close()\ntime.sleep(60)")
    before = path.read_bytes()
    code = (
        "from n2n_lib.course.notebooks import execute\n"
        f"try:\n    execute([{str(path)!r}])\nexcept KeyboardInterrupt:\n    print('interrupted')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        start_new_session=True,  # a terminal, too, sends Ctrl-C to a whole group of processes
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "on").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=30)[0] == "interrupted\n"
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
    assert find_lessons() == LESSONS  # the folder beside the package, wherever one stands
    with pytest.raises(ValueError, match="expected a folder of lessons, got .*nowhere"):
        find_lessons(tmp_path / "nowhere")


# ---------------------------------------------------------------------- what nbval may overlook


def sanitised(text: str) -> str:
    for regex, replacement in get_sanitize_patterns((NOTEBOOKS / "nbval_sanitize.cfg").read_text()):
        text = re.sub(regex, replacement, text)
    return text


@pytest.mark.parametrize(
    "one, other",
    [
        ("PSNR  9.87 dB", "PSNR 12.30 dB"),
        ("gain -0.41 dB, then", "gain +1.02 dB, then"),
        ("gain \u22120.41 dB", "gain 10.02 dB"),
        ("took 12.3 ms", "took   4 s"),
        ("took 890 \u00b5s", "took 1.2 ms"),
        ("in 3.20 seconds", "in 12 seconds"),
        ("elapsed 0:59.", "elapsed 1:00:03."),
        ("2.5x faster", "11.25x faster"),
        ("3 times slower", "2.9 times slower"),
        ("1,812 images/s", "98.5 images/s"),
        ("4.3it/s", "17.25it/s"),
    ],
)
def test_times_and_decibels_may_differ(one: str, other: str):
    assert sanitised(one) == sanitised(other)


@pytest.mark.parametrize(
    "text",
    [
        "<Figure size 640x480 with 2 Axes>",
        "<object at 0x7f52d01ab3d0>",
        "torch.Size([16, 3, 32, 32])",
        "x[0:32, 1:10] and {1:20}",
        "max difference 1.2e-07",
        "8x8 -> 17 -> 34 steps, 3 samples, 2 sizes",
        "loss 0.0213, SSIM 0.713",
        "dB: 3 columns",
        "2 minus 1 is 1",
        "3 modules",
    ],
)
def test_everything_else_is_compared(text: str):
    assert sanitised(text) == text


# ---------------------------------------------------------------------- the lessons

FIRST_LESSON = {
    "denoiser.images": "noise2noise",
    "denoiser.photographs": "noise2noise",
    "denoiser.sampling": "noise2noise",
    "denoiser.noise": "noise2noise",
    "denoiser.metrics": "noise2noise",
    "framework.module": "gradients",
    "framework.gradcheck": "gradients",
    "framework.conv": "convolution",
    "framework.kernels": "convolution",  # the choice of kernels
    "framework.kernels.unfold": "convolution",  # the report's, which the lessons derive
    "framework.upsampling": "upsampling",
    "framework.activations": "activations",
    "framework.losses": "loss_and_sequential",
    "framework.containers": "loss_and_sequential",
    "framework.init": "sgd",
    "framework.optim": "sgd",
    "framework.schedules": "sgd",
    "denoiser.model": "training",
    "denoiser.networks": "training",
    "framework.torch_twin": "training",
    "framework.transposed": "transposed_convolution",
    "framework.kernels.doubling": "speed",
    "framework.kernels.fast": "speed",
    "framework.kernels.product": "speed",
    "framework.kernels.windows": "speed",
    "framework.kernels.winograd": "speed",
    "denoiser.stream": "unet",
    "framework.distributed": "scale",
}
"""The lesson from which on a file of the library may be imported; others may be from the first."""


def test_names_of_notebooks_follow_from_the_table_of_topics():
    assert [path.stem for path in LESSONS] == [stem_of(topic) for topic in TOPICS]


@pytest.fixture(params=LESSONS, ids=[path.stem for path in LESSONS])
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def lesson(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def test_there_are_lessons_and_their_numbers_have_no_gap():
    numbers = [int(path.name[:2]) for path in LESSONS]
    assert numbers
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_table_of_files_is_about_files_that_exist():
    for name in FIRST_LESSON:
        assert importlib.util.find_spec(f"n2n_lib.{name}"), name


def test_format_is_what_the_runner_writes(path: Path, lesson: NotebookNode):
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    nbformat.validate(content)
    ids = [cell["id"] for cell in content["cells"]]
    assert len(ids) == len(set(ids))
    assert lesson.metadata == METADATA, "re-execute this lesson: n2n notebooks"


def test_every_code_cell_was_run_in_order(lesson: NotebookNode):
    counts = [cell.execution_count for cell in code_cells(lesson)]
    assert counts
    assert counts == list(range(1, len(counts) + 1))


def test_no_errors_and_nothing_on_stderr(lesson: NotebookNode):
    for cell in code_cells(lesson):
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", cell.source


def output_texts(cell: NotebookNode) -> list[str]:
    """Return what a reader reads in the outputs of a cell; mark-up and pictures left out."""
    texts = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            texts.append(output.text)
        for kind, text in output.get("data", {}).items():
            if kind == "text/html":
                text = re.sub(r"<style.*?</style>|<[^>]*>", " ", text, flags=re.DOTALL)
            if kind.startswith("text/"):
                texts.append(text)
    return texts


ABSOLUTE_PATH = re.compile(
    r"(?<![\w/.:~})-])/(?:home|Users|root|tmp|private|var|opt|usr|mnt|srv|work\w*)/\w"
    r"|\b[A-Za-z]:\\+(?:Users|Windows|Program|Temp)"
    r"|\bfile:///"
)


def absolute_path(text: str) -> str | None:
    found = ABSOLUTE_PATH.search(text)
    return found and found[0]


def test_no_absolute_paths(lesson: NotebookNode):
    for cell in lesson.cells:
        raw = [
            json.dumps(o.data.get("text/html", "")) for o in cell.get("outputs", []) if "data" in o
        ]
        for text in [cell.source, *output_texts(cell), *raw]:
            assert absolute_path(text) is None


@pytest.mark.parametrize(
    "text, found",
    [
        ("open('/home/ada/x.png')", True),
        ("C:\\Users\\ada", True),
        ("saved to /tmp/out", True),
        ("![](file:///x.png)", True),
        ("https://example.org/home/ada", False),
        ("../home/x and/or/var/x", False),
        (r"$f:\mathbb{R} \to C:\Theta$", False),
        ("a /tmp", False),
    ],
)
def test_absolute_paths_are_recognised(text: str, found: bool):
    assert bool(absolute_path(text)) == found


def test_code_cells_are_short(lesson: NotebookNode):
    lengths = [len(cell.source.splitlines()) for cell in code_cells(lesson)]
    assert max(lengths) <= 25
    assert statistics.median(lengths) <= 8


def test_skeleton(path: Path, lesson: NotebookNode):
    assert lesson.cells[0].cell_type == "markdown"
    assert lesson.cells[0].source.startswith(f"# {path.name[:2]} ")
    prose = [cell.source for cell in lesson.cells if cell.cell_type == "markdown"]
    opening = "\n".join(prose[:3])
    assert "You will be able to" in opening
    assert re.search(r"(?i)\btime\b.*\bmin", opening), "say how many minutes it takes"
    assert re.search(r"(?i)\bneeds?\b|\brequires?\b", opening), "say what it needs"
    titles = re.findall(r"^ {0,3}#+ +(.*)", "\n\n".join(prose), flags=re.MULTILINE)
    places = [
        next((i for i, title in enumerate(titles) if re.match(rf"(?i){name}\b", title)), None)
        for name in ("summary", "exercises", "next")
    ]
    assert None not in places, f"expected headings Summary, Exercises, Next, got {titles}"
    assert places == sorted(places)


def section(lesson: NotebookNode, title: str) -> str:
    """Return the Markdown below a heading of second rank, up to the next one."""
    prose = "\n\n".join(cell.source for cell in lesson.cells if cell.cell_type == "markdown")
    found = re.search(rf"(?ims)^## {title}\b[^\n]*\n(.*?)(?=^## |\Z)", prose)
    assert found, f"expected a heading ## {title}"
    return found[1]


def test_summary_has_three_to_five_lines(lesson: NotebookNode):
    assert 3 <= len(re.findall(r"^[-*] \S", section(lesson, "summary"), flags=re.MULTILINE)) <= 5


def test_next_leads_to_the_following_lesson(path: Path, lesson: NotebookNode):
    following = dict(pairwise(LESSONS)).get(path)
    if following:
        assert following.name in links(section(lesson, "next"))


def test_answers_are_collapsed(lesson: NotebookNode):
    for cell in lesson.cells:
        if cell.cell_type == "markdown":  # a block cannot reach from one cell into another
            marks = re.findall(r"</?(?:details|summary)>", cell.source)
            assert marks == ["<details>", "<summary>", "</summary>", "</details>"] * (
                len(marks) // 4
            )
    assert "<details>" in "".join(cell.source for cell in lesson.cells[-8:])


BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def region_errors(sources: list[str]) -> list[str]:
    """Return what is wrong with the exercise regions of some code cells, one line per mistake."""
    errors = []
    for number, source in enumerate(sources, start=1):
        marks = [line.strip() for line in source.splitlines() if "SOLUTION" in line]
        if marks != [BEGIN, END] * (len(marks) // 2):
            errors.append(f"cell [{number}]: expected pairs of {BEGIN!r}, {END!r}, got {marks}")
        elif marks and not any(re.search(r"\bcheck\.\w+\(", s) for s in sources[number:][:1]):
            errors.append(f"cell [{number}]: expected the next code cell to call check.")
    return errors


def test_exercises_are_whole_and_checked(lesson: NotebookNode):
    assert region_errors([cell.source for cell in code_cells(lesson)]) == []


def test_exercises_say_what_they_want_and_are_what_is_checked(path: Path, lesson: NotebookNode):
    exercises = 0
    for cell, following in pairwise([*code_cells(lesson), new_code_cell()]):
        if BEGIN not in cell.source:
            continue
        exercises += 1
        (function,) = ast.parse(cell.source).body
        assert isinstance(function, ast.FunctionDef), cell.source
        assert "Hint: " in (ast.get_docstring(function) or ""), cell.source
        assert cell.source.index("Hint: ") < cell.source.index(BEGIN), "the hint stays outside"
        assert re.search(rf"\bcheck\.\w+\({function.name}\b", following.source), cell.source
    if path.stem not in (stem_of("noise2noise"), stem_of("training")):
        assert 2 <= exercises <= 4


@pytest.mark.parametrize(
    "sources, errors",
    [
        ([f"{BEGIN}\nx\n{END}", "check.conv(x)"], 0),
        ([f"def f():\n    {BEGIN}\n    x\n    {END}\n    return x", "check.conv(x)"], 0),
        ([f"{BEGIN}\nx", "check.conv(x)"], 1),
        ([f"{END}\nx\n{BEGIN}", "check.conv(x)"], 1),
        ([f"{BEGIN}\nx\n{BEGIN}\n{END}\n{END}", "check.conv(x)"], 1),
        ([f"# {BEGIN}\nx\n{END}", "check.conv(x)"], 1),
        ([f"{BEGIN}\nx\n{END}", "x"], 1),
        ([f"{BEGIN}\nx\n{END}"], 1),
    ],
)
def test_region_errors_are_recognised(sources: list[str], errors: int):
    assert len(region_errors(sources)) == errors


def links(markdown: str) -> list[str]:
    """Return the targets of links and images in Markdown, without those in code and formulas."""
    for hidden in (r"```.*?```", r"`[^`\n]*`", r"\$\$.*?\$\$", r"\$[^$\n]+\$"):
        markdown = re.sub(hidden, " ", markdown, flags=re.DOTALL)
    inline = re.findall(r"\]\(\s*<?([^)\s>]+)[^)]*\)", markdown)
    return inline + re.findall(r"(?:src|href)\s*=\s*[\"']([^\"']+)", markdown)


def anchors(lesson: NotebookNode) -> set[str]:
    """Return the names that JupyterLab gives to the headings."""
    prose = "\n\n".join(cell.source for cell in lesson.cells if cell.cell_type == "markdown")
    titles = re.findall(r"^ {0,3}#+ +(.*?) *#*$", prose, flags=re.MULTILINE)
    ids = re.findall(r"\b(?:id|name)=[\"']([^\"']+)", prose)
    return {re.sub(r"[`*]", "", title).replace(" ", "-") for title in titles} | set(ids)


def test_links_resolve(path: Path, lesson: NotebookNode):
    for cell in lesson.cells:
        if cell.cell_type != "markdown":
            continue
        for link in links(cell.source):
            if re.match(r"https?://|mailto:", link):
                continue
            if link.startswith("attachment:"):
                assert unquote(link.partition(":")[2]) in cell.get("attachments", {}), link
                continue
            name, _, anchor = unquote(link).partition("#")
            target = path.parent / name if name else path
            assert target.exists(), link
            if anchor and target.suffix == ".ipynb":
                assert anchor in anchors(nbformat.read(target, as_version=4)), link


def test_links_are_found():
    text = "[a](b.ipynb#c) ![x](d.png \"t\") `[n](o)` $f[x](y)$ <img src='e.png'> [u](https://v.w)"
    assert links(text) == ["b.ipynb#c", "d.png", "https://v.w", "e.png"]


def test_nbval_is_told_by_tags_and_never_to_look_away(lesson: NotebookNode):
    for cell in code_cells(lesson):
        assert not re.search(r"(?m)^\s*#+\s*(NBVAL_|PYTEST_VALIDATE)", cell.source), "use a tag"
        forbidden = {"nbval-skip", "nbval-raises-exception", "raises-exception", "skip-execution"}
        assert not forbidden & set(tags(cell)), cell.source


def test_outputs_that_are_not_compared_are_asserted(lesson: NotebookNode):
    for cell, following in pairwise([*code_cells(lesson), new_code_cell()]):
        if "nbval-ignore-output" in tags(cell):
            nodes = ast.walk(ast.parse(python(following)))
            assert any(isinstance(node, ast.Assert) for node in nodes), cell.source


def python(cell: NotebookNode) -> str:
    """Return the source without IPython's magics."""
    lines = cell.source.splitlines()
    if lines and lines[0].startswith("%%"):
        lines = lines[1:]
    return "\n".join(re.sub(r"^(\s*)[%!].*", r"\1pass", line) for line in lines)


def library_files(source: str) -> set[str]:
    """Return the files of the library that some code imports or reaches through the package."""
    names = set()
    tree = ast.parse(source)
    aliases = {"n2n_lib"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for item in node.names:
                if item.name == "n2n_lib":
                    aliases.add(item.asname or item.name)
                elif item.name.startswith("n2n_lib."):
                    names.add(item.name.removeprefix("n2n_lib."))
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "n2n_lib":
                names |= {file_of(item.name) for item in node.names}
            elif node.module.startswith("n2n_lib."):
                names.add(node.module.removeprefix("n2n_lib."))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in aliases
            and not node.attr.startswith("__")
        ):
            names.add(file_of(node.attr))
    return names


def file_of(name: str) -> str:
    """Return the file that a name of the public face is, or comes from."""
    files = {name: file for file, names in n2n_lib.PUBLIC.items() for name in names.split()}
    return (n2n_lib.MODULES | files)[name]


def later(used: set[str], first: dict[str, str], path: Path) -> set[str]:
    """Return what a lesson uses, though `first` says that it belongs to a later one."""
    return {name for name in used & first.keys() if number_of(first[name]) > int(path.name[:2])}


def test_imports_are_of_this_lesson_or_earlier_ones(path: Path, lesson: NotebookNode):
    used = library_files("\n".join(python(cell) for cell in code_cells(lesson)))
    assert later(used, FIRST_LESSON, path) == set()


def test_imports_are_found():
    source = (
        "import n2n_lib as n\nfrom n2n_lib import Conv2d, plots\n"
        "from n2n_lib.framework.optim import SGD\nimport n2n_lib.framework.kernels.unfold\n"
        "n.Model()\nimport torch\nprint(n.__name__)"
    )
    assert library_files(source) == {
        "framework.conv",
        "denoiser.plots",
        "framework.optim",
        "framework.kernels.unfold",
        "denoiser.model",
    }


LATER_NAMES = {
    "AdaGrad": "optimisers",
    "Adam": "optimisers",
    "he_std": "optimisers",
    "he_normal_": "optimisers",
    "he_uniform_": "optimisers",
    "WeightAverage": "optimisers",
    "Residual": "optimisers",
    "Concat": "unet",
    "unet": "unet",
}
"""What is in the file of an earlier lesson and derived in a later one."""


def library_names(source: str) -> set[str]:
    """Return the names that some code takes from the library, by import or by a dot."""
    tree = ast.parse(source)
    taken, prefixes = set(), {"n2n_lib"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "n2n_lib":
            taken |= {item.name for item in node.names}
            prefixes |= {item.asname or item.name for item in node.names}
        elif isinstance(node, ast.Import):
            for item in node.names:
                if item.name.split(".")[0] == "n2n_lib" and item.asname:
                    prefixes.add(item.asname)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if re.split(r"\W", ast.unparse(node.value))[0] in prefixes:
                taken.add(node.attr)
    return taken


def test_names_are_of_this_lesson_or_earlier_ones(path: Path, lesson: NotebookNode):
    used = library_names("\n".join(python(cell) for cell in code_cells(lesson)))
    assert later(used, LATER_NAMES, path) == set()


def test_names_are_found():
    source = (
        "import n2n_lib as n\nimport n2n_lib.framework.init\nfrom n2n_lib.framework import optim\n"
        "import torch\nfrom n2n_lib.framework.containers import Concat as Skip\nn.unet()\n"
        "optim.Adam(net, 1)\n"
        "n2n_lib.framework.init.he_std(w)\ntorch.optim.AdaGrad(p)"
    )
    assert library_names(source) & LATER_NAMES.keys() == {"Concat", "unet", "Adam", "he_std"}


def misspelt(path: Path) -> str:
    """Return what codespell finds, with the settings of the project."""
    command = [sys.executable, "-m", "codespell_lib", "--toml", ROOT / "pyproject.toml", path]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout


def test_spelling(path: Path):
    assert misspelt(path) == ""


def test_wrong_spelling_is_found(tmp_path: Path):
    wrong = "the"[::2] + "h"  # put together here, or codespell would find it in this file, too
    cell = new_markdown_cell(f"The input of {wrong} layer.")
    assert f"{wrong} ==> the" in misspelt(write(tmp_path / "01_wrong.ipynb", cell))


def long_numbers(text: str) -> list[str]:
    """Return the decimal fractions of more than six significant digits."""
    fractions = re.findall(r"(?<![\w.])\d+\.\d+(?:[eE][-+]?\d+)?(?![\w.]*\.\d)", text)
    return [f for f in fractions if len(re.split("[eE]", f)[0].replace(".", "").lstrip("0")) > 6]


def test_numbers_show_no_digits_that_depend_on_the_machine(lesson: NotebookNode):
    for cell in code_cells(lesson):
        if "nbval-ignore-output" not in tags(cell):
            for text in output_texts(cell):
                assert long_numbers(text) == [], cell.source


@pytest.mark.parametrize(
    "text, found",
    [
        ("loss 0.12345678", ["0.12345678"]),
        ("12.345678 dB, -1.2345678e-05 s", ["12.345678", "1.2345678e-05"]),
        ("0.000123456, 1234.56, 1.0, 12345678, version 2.13.10000000", []),
    ],
)
def test_long_numbers_are_recognised(text: str, found: list[str]):
    assert long_numbers(text) == found


@pytest.mark.parametrize("address", [r" at 0x[0-9a-f]{6,}"])
def test_no_memory_addresses(lesson: NotebookNode, address: str):
    for cell in code_cells(lesson):
        if "nbval-ignore-output" not in tags(cell):
            assert not any(re.search(address, text) for text in output_texts(cell)), cell.source

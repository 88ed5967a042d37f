"""The lessons, and the file that tells nbval what may differ in them."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import statistics
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from nbval.plugin import get_sanitize_patterns
from notebook_files import code_cells, tags

import n2n_lib
from n2n_lib.course.edition import BEGIN, END
from n2n_lib.course.lessons import FIRST_LESSON, NAMES, TOPICS, number_of, stem_of
from n2n_lib.course.notebooks import METADATA, check_outputs, find_lessons
from tools.written import Asked, asked, untested

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
LESSONS = find_lessons(NOTEBOOKS)


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


def test_names_of_notebooks_follow_from_the_table_of_topics():
    assert [path.stem for path in LESSONS] == [stem_of(topic) for topic in TOPICS]


@pytest.fixture(params=LESSONS, ids=[path.stem for path in LESSONS])
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def lesson(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def test_there_are_lessons_and_their_numbers_have_no_gap():
    labels = [path.name[:2] for path in LESSONS]
    numbered = [label for label in labels if label.isdigit()]
    assert numbered == [f"{n:02}" for n in range(1, len(numbered) + 1)] and len(numbered) == 16
    assert labels[16:] == [f"E{n}" for n in range(1, len(labels) - 15)]


def test_the_table_of_files_is_about_files_that_exist():
    for name in (name for name in FIRST_LESSON if "." in name):
        assert importlib.util.find_spec(f"n2n_lib.{name}"), name


def test_format_is_what_the_runner_writes(path: Path, lesson: NotebookNode):
    content = json.loads(path.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    nbformat.validate(content)
    ids = [cell["id"] for cell in content["cells"]]
    assert len(ids) == len(set(ids))
    assert lesson.metadata == METADATA, "re-execute this lesson: n2n notebooks"


def test_every_cell_was_run_in_its_turn_without_errors(path: Path, lesson: NotebookNode):
    assert code_cells(lesson)
    check_outputs(lesson, path)


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
    if following and path.stem[0] != "E":
        assert following.name in links(section(lesson, "next"))
    assert links(section(lesson, "next"))  # an elective leads somewhere, too


def test_every_objective_is_tested(path: Path):
    lesson = asked(path)
    assert lesson.objectives and untested(lesson) == []


def test_an_objective_without_a_test_is_found():
    lesson = Asked(Path("a"), exercises=["relu"], questions=2)
    lesson.objectives = {"a": ["relu"], "b": [], "c": ["question 3"], "d": ["question 2", "elu"]}
    assert untested(lesson) == ["b", "c", "d"]


def test_students_write_more_than_four_hundred_lines():
    lessons = [asked(path) for path in LESSONS]
    assert sum(lesson.lines for lesson in lessons) > 400
    assert all(lesson.exercises for lesson in lessons)


def test_answers_are_collapsed(lesson: NotebookNode):
    for cell in lesson.cells:
        if cell.cell_type == "markdown":  # a block cannot reach from one cell into another
            marks = re.findall(r"</?(?:details|summary)>", cell.source)
            assert marks == ["<details>", "<summary>", "</summary>", "</details>"] * (
                len(marks) // 4
            )
    assert "<details>" in "".join(cell.source for cell in lesson.cells[-8:])


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
        assert isinstance(function, (ast.FunctionDef, ast.ClassDef)), cell.source
        assert ast.get_docstring(function), cell.source
        assert re.search(rf"\bcheck\.\w+\({function.name}\b", following.source), cell.source
        assert "Hint: " not in cell.source, "it has three, for whoever asks"
    assert 1 <= exercises <= 9


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


FILES = {name: file for file, names in n2n_lib.PUBLIC.items() for name in names.split()}
FILES |= n2n_lib.MODULES
"""Which file of the library a name of the public face is, or comes from."""


def library_uses(source: str) -> set[str]:
    """Return the files and the names that some code takes from the library."""
    uses, faces, bound = set(), {"n2n_lib"}, {"n2n_lib"}
    nodes = list(ast.walk(ast.parse(source)))
    for node in nodes:
        if isinstance(node, ast.Import):
            for item in node.names:
                if item.name == "n2n_lib":
                    faces.add(item.asname or item.name)
                elif item.name.startswith("n2n_lib."):
                    uses.add(item.name.removeprefix("n2n_lib."))
                    bound.add(item.asname or "n2n_lib")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "n2n_lib":
            file = node.module.removeprefix("n2n_lib").removeprefix(".")
            for item in node.names:  # a name, or a file out of a folder
                uses |= {
                    item.name,
                    file,
                    f"{file}.{item.name}" if file else FILES.get(item.name, ""),
                }
                bound.add(item.asname or item.name)
    for node in (node for node in nodes if isinstance(node, ast.Attribute)):
        whole = ast.unparse(node.value)
        if whole in faces and node.attr in FILES:
            uses.add(FILES[node.attr])
        if whole.split(".")[0] in faces | bound:
            uses.add(node.attr)
    return uses


def test_what_is_used_is_of_this_lesson_or_an_earlier_one(path: Path, lesson: NotebookNode):
    used = library_uses("\n".join(python(cell) for cell in code_cells(lesson)))
    first = {name: number_of(FIRST_LESSON[name]) for name in used & FIRST_LESSON.keys()}
    here = number_of(NAMES.fullmatch(path.stem)["topic"])
    assert {name for name in first if first[name] > here} == set()


def test_uses_are_found():
    source = (
        "import n2n_lib as n\nfrom n2n_lib import Conv2d, plots\n"
        "from n2n_lib.framework.optim import SGD\nfrom n2n_lib.framework.kernels import fast\n"
        "import n2n_lib.framework.kernels.unfold as library\nlibrary.forward(x)\n"
        "n.Model()\nimport torch\nprint(n.__name__)\nimport n2n_lib.framework.init\n"
        "from n2n_lib.framework.containers import Concat as Skip\n"
        "from n2n_lib.framework import optim\noptim.Adam(net, 1)\n"
        "n2n_lib.framework.init.he_std(w)\ntorch.optim.AdaGrad(p)"
    )
    files = "conv optim kernels kernels.fast kernels.unfold init containers".split()
    expected = {"denoiser.plots", "denoiser.model", *(f"framework.{file}" for file in files)}
    names = {"Conv2d", "SGD", "Model", "Concat", "Adam", "he_std", "forward"}
    assert expected | names <= library_uses(source)
    assert not {"AdaGrad", "torch"} & library_uses(source)


def long_numbers(text: str) -> list[str]:
    """Return the decimal fractions of more than six significant digits."""
    fractions = re.findall(r"(?<![\w.])\d+\.\d+(?:[eE][-+]?\d+)?(?![\w.]*\.\d)", text)
    return [f for f in fractions if len(re.split("[eE]", f)[0].replace(".", "").lstrip("0")) > 6]


def rounding_errors(text: str) -> list[str]:
    """Return differences so small that they are what is left of rounding."""
    return re.findall(
        r"(?:difference|off by|error)\w*:? (?:of )?(\d(?:\.\d+)?e-(?:0[6-9]|[1-9]\d))", text
    )


def test_numbers_show_no_digits_that_depend_on_the_machine(lesson: NotebookNode):
    for cell in code_cells(lesson):
        if "nbval-ignore-output" not in tags(cell):
            for text in output_texts(cell):
                assert long_numbers(text) + rounding_errors(text) == [], cell.source


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


def test_rounding_errors_are_recognised():
    assert rounding_errors("largest difference 5e-11, off by 1.2e-07") == ["5e-11", "1.2e-07"]
    assert rounding_errors("difference below 1e-08, off by < 1e-10, difference 2e-03") == []


@pytest.mark.parametrize("address", [r" at 0x[0-9a-f]{6,}"])
def test_no_memory_addresses(lesson: NotebookNode, address: str):
    for cell in code_cells(lesson):
        if "nbval-ignore-output" not in tags(cell):
            assert not any(re.search(address, text) for text in output_texts(cell)), cell.source

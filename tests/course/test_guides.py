"""The guides agree with the project: what they name exists, and what is counted in them is counted.

``PYTHONPATH=tests:. python tests/course/test_guides.py`` writes the parts of the guides that come
from lessons and checks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
import typer
import yaml
from answers import PLACES, SOLUTION
from test_packaging import NBVAL, ROOT, STYLE, TARGETS, UNIT_TESTS

from n2n_lib.cli import app
from n2n_lib.course import doctor
from n2n_lib.course.check import EXERCISES
from n2n_lib.course.check.diagnosis import ERRORS
from n2n_lib.course.lessons import label_of
from n2n_lib.course.notebooks import find_lessons

INSTRUCTORS, STUDENTS = ROOT / "docs" / "INSTRUCTORS.md", ROOT / "notebooks" / "README.md"
GUIDES = [ROOT / "README.md", STUDENTS, *sorted((ROOT / "docs").glob("*.md"))]
every_guide = pytest.mark.parametrize(
    "guide", GUIDES, ids=lambda path: path.parent.name + path.name
)

LESSONS = find_lessons(ROOT / "notebooks")

SHOWN = 5
"""Likely mistakes of each exercise that the guide shows."""


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# ---------------------------------------------------------------------- what is written here


def overview() -> str:
    """The table of lessons: how long each takes, its exercises and their points."""
    lines = ["| lesson | time | exercises and points |", "|---|---|---|"]
    total = 0
    for path in LESSONS:
        lesson = nbformat.read(path, as_version=4)
        opening = "\n".join(cell.source for cell in lesson.cells[:3])
        time = re.search(r"\*\*Time:\*\* (.*?)[.;:]? *(?:[.;:] |\*\*|$)", opening)[1]
        exercises = []
        for cell in lesson.cells:
            points = cell.metadata.get("nbgrader", {}).get("points")
            if points:
                (name,) = re.findall(r"\bcheck\.(\w+)\(", cell.source)
                exercises.append(f"`{name}` {points}")
                total += points
        title = lesson.cells[0].source.splitlines()[0].removeprefix("# ")
        link = f"[{title}](../notebooks/{path.name})"
        lines.append(f"| {link} | {time} | {', '.join(exercises) or 'open questions only'} |")
    return "\n".join([*lines, f"| all | | {total} points |"])


def mistakes() -> str:
    """The section of wrong answers: what each is told."""
    parts = []
    for name, exercise in EXERCISES.items():
        lines = [f"**`{name}`** (lesson {label_of(exercise.topic)}): {exercise.title}", ""]
        lines += ["| wrong answer | message |", "|---|---|"]
        lines += [
            f"| {mistake.likely} | {mistake.sentence.replace('|', chr(92) + '|')} |"
            for mistake in [mistake for mistake in exercise.mistakes if mistake.likely][:SHOWN]
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


WRITTEN: dict[str, tuple[Path, Callable[[], str]]] = {
    "lessons": (INSTRUCTORS, overview),
    "mistakes": (INSTRUCTORS, mistakes),
}


def with_part(text: str, name: str, part: str) -> str:
    """Put a part between its two marks."""
    begin, end = f"<!-- {name}: begin -->\n", f"\n<!-- {name}: end -->"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    assert found, f"expected the marks {begin.strip()} and {end.strip()}"
    return before + begin + part + end + after


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_here_is_fresh(name: str):
    path, write = WRITTEN[name]
    assert read(path) == with_part(read(path), name, write()), (
        f"run PYTHONPATH=tests:. python {Path(__file__).relative_to(ROOT)}"
    )


def test_every_exercise_and_lesson_is_in_the_guide():
    guide = read(INSTRUCTORS)
    for name in EXERCISES:
        table = re.search(rf"(?s)\*\*`{name}`\*\*.*?(?=\n\n\*\*|<!--)", guide)
        assert table and table[0].count("\n| ") == SHOWN + 1
    assert all(f"notebooks/{path.name}" in guide for path in LESSONS)
    assert len(EXERCISES) == len(re.findall(r"(?m)^\*\*`", guide))


# ---------------------------------------------------------------------- tone

BLAME = (
    r"(?i)\b(obvious|simply|just|easy|easily|trivial|careless|stupid|silly|of course|nonsense)\b"
)
"""Words that help nobody who is stuck. ("just four kinds" is said of a number.)"""


def spoken() -> Iterator[tuple[str, str]]:
    """Yield every sentence that a check may say, with the exercise's name."""
    for name, exercise in EXERCISES.items():
        yield from ((name, hint) for hint in exercise.hints)
        yield from ((name, mistake.sentence) for mistake in exercise.mistakes)
        yield from ((name, sentence) for _, sentence in exercise.errors)
    yield from (("every exercise", sentence) for _, sentence in ERRORS)


def test_checks_speak_of_the_function_and_blame_nobody():
    for name, sentence in spoken():
        assert not re.search(BLAME, sentence.replace("just four", "")), (name, sentence)
        assert not re.search(r"\b[Yy]ou (forgot|should|must|failed|did not)\b", sentence), sentence
        assert "!" not in sentence, (name, sentence)
        assert sentence.endswith((".", "?", ".)", "?)")), (name, sentence)


def solution_lines(name: str) -> set[str]:
    """Return the lines of the lesson's solution that are longer than a name, without spaces."""
    regions = SOLUTION.finditer(PLACES[name].cell)
    lines = [line for region in regions for line in region[2].splitlines()]
    squeezed = {re.sub(r"^\s*return\b|\s", "", line) for line in lines}
    return {line for line in squeezed if len(line) > len("grad_output")}


def test_no_message_holds_a_line_of_the_solution():
    for name, exercise in EXERCISES.items():
        for mistake in exercise.mistakes:
            squeezed = re.sub(r"\s", "", mistake.sentence)
            given = [line for line in solution_lines(name) if line in squeezed]
            assert not given, (name, mistake.sentence, given)


# ---------------------------------------------------------------------- what they name


def code(text: str) -> str:
    """Return the code in Markdown, blocks and spans."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, flags=re.DOTALL))


@every_guide
def test_targets_and_verbs_exist(guide: Path):
    verbs = set(typer.main.get_command(app).commands)
    text = code(read(guide))
    assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= set(TARGETS)
    assert set(re.findall(r"\bn2n ([a-z]+)\b", text)) <= verbs


@every_guide
def test_links_resolve(guide: Path):
    text = re.sub(r"```.*?```", "", read(guide), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", link):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = guide.parent / name if name else guide
        assert target.exists(), link
        if anchor:
            titles = re.findall(r"^#+ +(.*)$", read(target), flags=re.MULTILINE)
            names = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
            assert anchor in names, link


@every_guide
def test_paths_exist(guide: Path):
    for span in re.findall(r"`([^`\n]+)`", read(guide)):
        path = re.fullmatch(r"(?:n2n_lib|tests|tools|docs|notebooks)/[\w./-]*", span)
        assert not path or "NN" in span or (ROOT / span).exists(), span


def test_the_students_guide_stands_alone():
    """It is handed out without the rest of the project."""
    assert "](" not in read(STUDENTS)
    assert STUDENTS not in LESSONS


@every_guide
def test_options_of_the_self_test(guide: Path):
    for options in re.findall(r"n2n doctor((?: --\w+)*)", read(guide)):
        assert set(options.split()) <= {"--json"}


def test_the_students_guide_knows_what_the_doctor_looks_at():
    text = read(STUDENTS)
    for probe in ("kernel", "gradient", "figure"):
        assert probe in doctor.PROBES and f"a {probe}" in text


def glossary() -> list[tuple[str, str]]:
    """Return the terms of the glossary with what is said about each."""
    section = read(STUDENTS).partition("## Glossary\n")[2]
    return re.findall(r"(?ms)^\*\*(.+?)\*\* (.*?)(?=\n\n|\n*\Z)", section)


def test_the_glossary_is_in_order_and_names_lessons():
    entries = glossary()
    terms = [re.sub(r"[^\w ]", " ", term).lower() for term, _ in entries]
    assert terms == sorted(terms)
    assert len(set(terms)) == len(terms) >= 40
    numbers = {path.name[:2] for path in LESSONS}
    for term, text in entries:
        named = re.match(r"\(([\dE, ]+)\)\. ", text)
        assert named and set(named[1].split(", ")) <= numbers, term
        assert text.endswith("."), term


@pytest.mark.parametrize(
    "term",
    "adjoint, backward, batch, broadcasting, channel, channels-last, checkerboard, convolution, "
    "ema, fold, gradient check, kernel, loss, noise2noise, psnr, receptive field, ssim, stride, "
    "transposed convolution, u-net, unfold, vector-jacobian product, winograd, xavier".split(", "),
)
def test_the_glossary_explains(term: str):
    assert any(entry.lower().startswith(term) for entry, _ in glossary())


# ---------------------------------------------------------------------- continuous integration


def pipeline(path: str) -> dict:
    return yaml.safe_load(read(ROOT / path))


def test_gitlab_runs_what_everybody_runs():
    jobs = pipeline("docs/gitlab-ci.yml")
    job = jobs["test"]
    assert job["script"] == [".ci/run"]
    assert job["image"] == "python:$PYTHON"
    github = pipeline(".github/workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]["include"]
    on_linux = {entry["python"] for entry in github if entry["os"].startswith("ubuntu")}
    assert {version for row in job["parallel"]["matrix"] for version in row["PYTHON"]} == on_linux
    assert set(jobs) <= {"default", "variables", "workflow", "test"}
    assert set(job["cache"]["key"]["files"]) <= {path.name for path in ROOT.iterdir()}


def scripts(path: str) -> list[str]:
    """Return the commands of a pipeline, one line each."""
    jobs = pipeline(path)
    steps = jobs.get("jobs", {}).get("test", {}).get("steps")
    texts = [s["run"] for s in steps if "run" in s] if steps else jobs["test"]["script"]
    return [line.strip() for text in texts for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("path", [".github/workflows/ci.yml", "docs/gitlab-ci.yml"])
def test_every_command_of_a_pipeline_exists(path: str):
    known = {".ci/run", *map(str.strip, STYLE), UNIT_TESTS, NBVAL}
    for command in scripts(path):
        if command.startswith("sudo apt-get "):  # what a machine there lacks
            continue
        if not command.startswith("python -m pip install"):
            assert command in known, command
        first = command.split()[0]
        assert (
            first in ("python", "ruff", "lint-imports", "codespell") or (ROOT / first).is_file()
        ), command


def test_the_guide_shows_nbval_with_the_options_of_the_tests():
    options = NBVAL.removeprefix("python -m pytest ").removesuffix(" notebooks")
    assert options in " ".join(read(INSTRUCTORS).replace("\\\n", " ").split())


if __name__ == "__main__":
    for name, (path, write) in WRITTEN.items():
        path.write_text(with_part(read(path), name, write()), encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {name}")

"""What a student edition remembers, and how its cells go on where an answer is missing."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from answers import ByTorch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from notebook_files import code_cells, tags

from n2n_lib.course import check
from n2n_lib.course.check import EXERCISES, CheckFailed, record
from n2n_lib.course.check.judge import judge, judge_calls
from n2n_lib.course.lessons import label_of, stem_of
from n2n_lib.course.notebooks import find_lessons
from n2n_lib.denoiser import plots

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
LESSONS = find_lessons(NOTEBOOKS)
CONVOLUTION = stem_of("convolution")


# ---------------------------------------------------------------------- going on without an answer


def names_used_later() -> Iterator[tuple[str, str, str]]:
    """Yield lesson, function and cell wherever a later cell uses the function of an exercise."""
    for path in LESSONS:
        functions: dict[str, bool] = {}  # whether it has been replaced since
        for cell in code_cells(nbformat.read(path, as_version=4)):
            if "check" in tags(cell):
                continue
            if "exercise" in tags(cell):
                functions[re.match(r"(?:def|class) (\w+)", cell.source)[1]] = False
                continue
            for name, replaced in functions.items():
                if re.search(
                    rf"(?m)^{name} = check\.go_on_with\({name}\b|import {name}\b", cell.source
                ):
                    functions[name] = True
                elif not replaced and re.search(rf"(?<![\w.]){name}\(", cell.source):
                    yield path.name, name, cell.id


def test_later_cells_do_not_depend_on_an_answer():
    assert list(names_used_later()) == []


GOES_ON = sorted(
    set(re.findall(r"check\.go_on_with\((\w+)", "".join(p.read_text("utf-8") for p in LESSONS)))
)


def missing(*arguments: Any) -> None:
    raise NotImplementedError("a hint")


@pytest.mark.parametrize("name", [name.removesuffix("_by_hand") for name in GOES_ON])
def test_the_library_version_passes_the_check_as_a_student_would_write_it(name: str, capsys):
    exercise = EXERCISES[name]
    empty = type(name, (), {"__init__": missing}) if exercise.kind == "class" else missing
    version = check.go_on_with(empty, name)
    assert capsys.readouterr().out == f"{name}: the library's version, until yours is right.\n"
    assert judge(exercise, version).right
    if not exercise.use:
        names = exercise.cases[0].arguments
        named = ByTorch(lambda *a: version(**dict(zip(names, a, strict=True))))
        assert judge_calls(exercise, named).right
    assert check.go_on_with(version, name) is version
    assert check.go_on_with(version) is version  # the cell is run once more


def test_a_right_function_is_returned_in_silence(capsys):
    def output_size(size, kernel, stride, padding, dilation):
        return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1

    assert check.go_on_with(output_size) is output_size
    assert check.go_on_with(lambda *a: output_size(*a), "output_size") is not output_size
    assert capsys.readouterr().out == ""


def test_a_wrong_function_is_replaced(capsys):
    version = check.go_on_with(lambda *numbers: 0, "output_size")
    assert version(6, 3, 1, 0, 1) == 4
    assert "until yours is right" in capsys.readouterr().out


@pytest.mark.parametrize("function", [missing, 3, None])
def test_go_on_with_wants_the_function_of_an_exercise(function: Any):
    with pytest.raises(ValueError, match="expected the function of an exercise, got"):
        check.go_on_with(function)


def test_the_library_cannot_pass_for_the_student(capsys):
    from n2n_lib.framework.gradcheck import numerical_gradient

    version = check.go_on_with(missing, "output_size")
    with pytest.raises(CheckFailed, match="output_size: this is the library's function"):
        check.output_size(version)
    with pytest.raises(CheckFailed, match="numerical_gradient: this is the library's function"):
        check.numerical_gradient(numerical_gradient)


# ---------------------------------------------------------------------- progress


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a kernel in a student edition."""
    (tmp_path / record.EDITION).write_text('{"files": {}}')
    (tmp_path / f"{CONVOLUTION}.ipynb").touch()
    (tmp_path / f"{CONVOLUTION}.new.ipynb").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(record, "session", {})
    for exercise in EXERCISES.values():
        exercise.failures = 0
    return tmp_path


def size(size, kernel, stride, padding, dilation):
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def fail(function: Any) -> None:
    with pytest.raises(CheckFailed):
        check.output_size(function)


def entries(folder: Path) -> dict:
    return json.loads((folder / record.PROGRESS).read_text())


def test_answers_are_remembered_and_what_was_right_stays_right(kernel: Path, capsys):
    fail(missing)
    assert not (kernel / record.PROGRESS).exists()
    fail(lambda *numbers: 0)
    assert entries(kernel) == {"output_size": {"tries": 1}}
    check.output_size(size)
    first = entries(kernel)["output_size"]
    assert first["tries"] == 2 and re.fullmatch(r"\d{4}-\d\d-\d\d", first["right"])
    fail(lambda *numbers: 0)
    assert entries(kernel) == {"output_size": {"tries": 3, "right": first["right"]}}


def test_outside_a_student_edition_no_file_is_written(kernel: Path, capsys):
    (kernel / record.EDITION).unlink()
    before = sorted(kernel.iterdir())
    check.output_size(size)
    assert sorted(kernel.iterdir()) == before
    assert record.state(record.read()["output_size"]) == "right"


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", "\x00\xff", "[" * 100_000])
def test_a_damaged_file_is_put_aside(kernel: Path, content: str, capsys):
    (kernel / record.PROGRESS).write_text(content)
    assert record.read() == {}
    check.output_size(size)
    assert list(entries(kernel)) == ["output_size"]
    assert (kernel / record.DAMAGED).read_text() == content


@pytest.mark.parametrize("entry", [None, 3, "right", [], {}, {"tries": "two"}, {"right": None}])
def test_a_damaged_entry_harms_only_itself(kernel: Path, entry: Any, capsys):
    content = {"output_size": entry, "of a later edition": {"tries": 1}}
    (kernel / record.PROGRESS).write_text(json.dumps(content))
    check.progress()
    check.output_size(size)
    assert record.state(entries(kernel)["output_size"]) == "right"
    assert entries(kernel)["of a later edition"] == {"tries": 1}


def test_a_file_that_cannot_be_written_stops_no_check(kernel: Path, capsys):
    (kernel / record.PROGRESS).mkdir()
    check.output_size(size)
    out = capsys.readouterr().out
    assert "output_size: right" in out and "progress.json could not be written" in out


def test_two_notebooks_at_once_lose_nothing(kernel: Path):
    code = (
        "import sys\nfrom n2n_lib.course.check import record\n"
        "for i in range(10): record.note(f'{sys.argv[1]}{i}', right=True)"
    )
    commands = [[sys.executable, "-c", code, name] for name in ("a", "b")]
    environment = os.environ | {"PYTHONPATH": str(NOTEBOOKS.parent)}
    running = [subprocess.Popen(c, cwd=kernel, env=environment) for c in commands]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    assert set(entries(kernel)) == {f"{name}{i}" for name in "ab" for i in range(10)}


def test_the_picture_names_lessons_exercises_and_their_state(kernel: Path, capsys):
    check.output_size(size)
    with pytest.raises(CheckFailed):
        check.conv2d_forward(lambda *arguments: 0)
    texts = [text.get_text() for text in check.progress().axes[0].texts]
    assert set(EXERCISES) <= set(texts)
    other = f"lesson {label_of('transposed_convolution')}"
    assert CONVOLUTION.replace("_", " ") in texts and other in texts
    assert {"right: 1", "tried: 1", f"not tried: {len(EXERCISES) - 2}"} <= set(texts)
    signs = dict(zip(texts[1:], texts, strict=False))  # the sign comes before its name
    assert signs["output_size"] == "✓" and signs["conv2d_forward"] == "…"
    assert signs["conv2d_input_grad"] == ""


def test_states_differ_in_more_than_colour():
    figure = plots.show_progress({"01": [("a", "right"), ("b", "tried"), ("c", "not tried")]})
    signs = [text.get_text() for text in figure.axes[0].texts]
    signs = {name: sign for sign, name in zip(signs, signs[1:], strict=False)}
    assert len({signs["a"], signs["b"], signs["c"]}) == 3
    assert figure.axes[0].get_title(loc="left") == "1 of 3 exercises right"


def test_the_picture_of_all_exercises_can_be_read():
    """It is no wider than the other figures, and no name runs into what stands beside it."""
    rows: dict[str, list[tuple[str, str]]] = {}
    for name, exercise in EXERCISES.items():
        title = stem_of(exercise.topic).replace("_", " ")
        rows.setdefault(title, []).append((name, "not tried"))
    figure = plots.show_progress(rows)
    assert figure.get_figwidth() <= 11
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # lays out what stands beside the squares
    renderer = canvas.get_renderer()
    texts = [each for each in figure.axes[0].texts if each.get_text()]
    assert {each.get_text() for each in texts} >= EXERCISES.keys() | rows.keys()
    boxes = [each.get_window_extent(renderer) for each in texts]
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width for box in boxes)
    assert not [
        (one.get_text(), other.get_text())
        for (one, a), (other, b) in itertools.combinations(zip(texts, boxes, strict=True), 2)
        if a.overlaps(b)
    ]

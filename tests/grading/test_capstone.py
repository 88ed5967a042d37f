"""Networks that are handed in: measured on hidden thumbnails, counted, and seen through."""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import commands
import pytest
import torch
from handing_in import NOTEBOOKS, cell_of, code_cell, hand_in, notebook
from made import rows
from torch import Tensor

from n2n_lib.course import check
from n2n_lib.course.check import hand_in as measuring
from n2n_lib.course.check import held
from n2n_lib.course.check.hand_in import MIME, Hidden, Thumbnails
from n2n_lib.course.grading.grades import Mark
from n2n_lib.course.grading.handed_in.cells import code_cells
from n2n_lib.course.grading.handed_in.submissions import Submission
from n2n_lib.course.grading.judging import judge
from n2n_lib.course.grading.judging.judge import Limits, Worker
from n2n_lib.course.grading.judging.marking import grade_submission
from n2n_lib.course.grading.run import grade
from n2n_lib.course.grading.tasks import read_assignments
from n2n_lib.course.grading.written.outputs import Outputs
from n2n_lib.course.lessons import stem_of

LESSON = stem_of("capstone")
COLUMN = "16/trained-network"
SEED = 987_654_321
SLOW = Limits(seconds=300, student_seconds=900, closed=False)
"""A network is measured in seconds; a machine may have other things to do."""

BODY = """source = torch.Generator().manual_seed(0)
network, place = own.Chain(own.Conv(3, 3, source)), 0
for parameter, _ in network.param():
    size = parameter.numel()
    parameter.copy_(numbers[place : place + size].view_as(parameter))
    place += size
{more}return network"""


def body(more: str = "") -> str:
    return BODY.format(more=more and more + "\n")


def blur(share: float = 0.5) -> Tensor:
    """The 84 numbers of a convolution that keeps a share, and takes the rest from around."""
    weight = torch.zeros(3, 3, 3, 3)
    for colour in range(3):
        weight[colour, colour] = (1 - share) / 8
        weight[colour, colour, 1, 1] = share
    return torch.cat([weight.flatten(), torch.zeros(3)])


def psnr(output: Tensor, clean: Tensor) -> float:
    """The mean over images of each image's, of what is limited to 0-1."""
    errors = (output.clamp(0, 1).double() - clean.double()).square().mean((1, 2, 3))
    return (10 * torch.log10(1 / errors)).mean().item()


def thumbnails(mark: float = 1.0) -> Thumbnails:
    """Even pictures with noise; the mark is so many decibels above doing nothing."""
    draw = torch.Generator().manual_seed(5)
    clean = torch.rand(30, 3, 1, 1, generator=draw).expand(-1, -1, 16, 16).contiguous()
    noisy = clean + 0.2 * torch.randn(clean.shape, generator=draw)
    nothing = psnr(noisy, clean)
    return Thumbnails(noisy, clean, nothing, nothing + mark)


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> Thumbnails:
    """What all networks here are measured on, in place of photographs."""
    made = thumbnails()
    monkeypatch.setattr(measuring, "_draw", lambda seed, folder: made)
    return made


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lesson with this exercise alone."""
    return hand_in(tmp_path_factory.mktemp("lessons") / "x", (LESSON, short(notebook(LESSON))))


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with SLOW.worker() as started:
        yield started


def short(content: dict) -> dict:
    kept = ("setup", "setup-more", "hand-in-own", "trained-network", "trained-network-check")
    content["cells"] = [cell for cell in content["cells"] if cell["id"] in kept]
    return content


def handed_in(answer: str | None, numbers: Tensor | bytes | None, *cells: str) -> dict:
    """Return a student's notebook: an answer, the numbers in its output, and cells above it."""
    content = short(notebook(LESSON, {"trained-network": answer} if answer else {}))
    cell_of(content, "trained-network-check")["outputs"] = outputs_of(numbers)
    place = content["cells"].index(cell_of(content, "trained-network"))
    content["cells"][place:place] = [{**code_cell(text), "id": f"own{i}"}
                                     for i, text in enumerate(cells)]  # fmt: skip
    return content


def outputs_of(numbers: Tensor | bytes | None) -> list[dict]:
    """Return what the check leaves in a notebook."""
    if numbers is None:
        return []
    raw = numbers if isinstance(numbers, bytes) else numbers.numpy().tobytes()
    data = {MIME: base64.b64encode(raw).decode(), "text/plain": "numbers"}
    return [{"output_type": "display_data", "metadata": {}, "data": data}]


def mark_of(content: dict, source: Path, worker: Worker) -> Mark:
    """Grade a notebook."""
    cells, _ = code_cells(json.dumps(content).encode())
    submission = Submission("ann", {LESSON: cells})
    worker.allow(900)
    lessons = read_assignments(source, hidden=Hidden(SEED))
    return grade_submission(submission, lessons, worker).marks[COLUMN]


# --------------------------------------------------------------------------------- points


def test_points_follow_the_decibels(source: Path, worker: Worker, drawn: Thumbnails, monkeypatch):
    """None up to doing nothing, all from the mark on; what leaves 0-1 is limited to it."""
    numbers = blur()
    output = torch.nn.functional.conv2d(drawn.noisy, numbers[:81].view(3, 3, 3, 3), padding=1)
    reached = psnr(output, drawn.clean)
    content = handed_in(body(), numbers)
    for mark, points in ((reached - 0.01, 20), (reached + (reached - drawn.nothing), 10)):
        made = Thumbnails(drawn.noisy, drawn.clean, drawn.nothing, mark)
        monkeypatch.setattr(measuring, "_draw", lambda seed, folder, made=made: made)
        found = mark_of(content, source, worker)
        assert abs(found.points - points) <= 0.5 and found.maximum == 20
        assert found.result == ("right" if points == 20 else "partly")
        assert f"{reached:.2f} dB on 30 hidden thumbnails" in found.message
        assert "84 of 5000 parameters" in found.message
    found = mark_of(handed_in(body(), blur(1.5)), source, worker)
    assert (found.points, found.result) == (0, "wrong") and "doing nothing" in found.message


def test_a_share_is_between_none_and_all():
    pictures = thumbnails(2.0)
    assert measuring.share_of(pictures.nothing - 1, pictures) == 0
    assert measuring.share_of(pictures.nothing + 0.5, pictures) == pytest.approx(0.25)
    assert measuring.share_of(pictures.mark + 3, pictures) == 1
    assert measuring.share_of(float("nan"), pictures) == 0


def test_the_specimen_has_all_points_on_photographs_of_any_seed(source: Path, worker: Worker):
    """On the course's photographs, which the fixture has replaced for the others."""
    numbers = (NOTEBOOKS / measuring.FILE).read_bytes()
    cells, _ = code_cells(json.dumps(handed_in(None, numbers)).encode())
    for seed in (11, 12, 13):
        lessons = read_assignments(source, hidden=Hidden(seed))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(measuring, "_draw", DRAW)
            worker.allow(900)
            done = grade_submission(Submission("us", {LESSON: cells}), lessons, worker)
        mark = done.marks[COLUMN]
        print(seed, mark.message)
        assert (mark.points, mark.result, done.remarks) == (20, "right", [])


DRAW = measuring._draw


# --------------------------------------------------------------------------------- larger networks

BIG = {
    "more numbers in the file": (body(), torch.zeros(5001), ()),
    "an attribute": (body("network.table = torch.zeros(6000)"), blur(), ()),
    "a closure": (
        body(
            "table, inner = torch.zeros(6000), network.forward\n"
            "network.forward = lambda x: inner(x) + 0 * table[0]"
        ),
        blur(),
        (),
    ),
    "a global of the notebook": (
        body("network.forward = lambda x, inner=network.forward: inner(x) + 0 * TABLE[0][0]"),
        blur(),
        ("TABLE = [torch.zeros(6000)]",),
    ),
    "a list": (body("network.table = [0.5] * 6000"), blur(), ()),
    "bytes": (body("network.table = bytes(24000)"), blur(), ()),
    "a text in the code": (body(f"network.table = len('{'x' * 30000}')"), blur(), ()),
    "a class attribute": (
        body("network.more = Bigger()"),
        blur(),
        ("class Bigger:\n    table = torch.zeros(6000)",),
    ),
}


@pytest.mark.parametrize("where", BIG)
def test_more_than_the_budget_is_found(source: Path, worker: Worker, where: str):
    answer, numbers, cells = BIG[where]
    found = mark_of(handed_in(answer, numbers, *cells), source, worker)
    assert found.points == 0 and found.result == "wrong"
    assert "5000" in found.message and "raised" not in found.message


def test_gradients_and_what_was_copied_do_not_count(source: Path, worker: Worker):
    """Nor does what shares its memory: each number once."""
    more = "network.flat, network.same = numbers, network.param()[0][0].view(-1)"
    found = mark_of(handed_in(body(more), blur()), source, worker)
    assert "84 of 5000 parameters" in found.message and found.points == 20


@pytest.mark.parametrize("used, count", [("self.x", 5), ("x", 9005), ("(lambda: x)()", 9005)])
def test_an_attribute_is_no_global_of_the_same_name(used: str, count: int):
    """A module keeps its input as ``self.x`` where the notebook has many pictures ``x``."""
    space = {"__name__": "__main__", "x": torch.zeros(9000)}
    text = (
        "class Scale:\n"
        "    def __init__(self, numbers):\n        self.s, self.grad = 1 * numbers, 0 * numbers\n"
        "    def forward(self, pictures):\n"
        f"        self.x = pictures\n        return self.s[0] * {used}\n"
        "    def param(self):\n        return [(self.s, self.grad)]\n"
    )
    exec(text, space)
    numbers = torch.ones(5)
    assert held.look_into(space["Scale"](numbers), numbers) == (count, False)


# --------------------------------------------------------------------------------- ready-made

READY = {
    "a layer of the library": (
        body(
            "layer = Conv2d(3, 3, 3, padding=1)\nlayer.weight.copy_(network.param()[0][0])\n"
            "layer.bias.zero_()\n"
            "network.forward = layer.forward"
        ),
        (),
        "Conv2d",
    ),
    "a layer from outside the call": (
        "network = own.Chain(LAYER)\nLAYER.weight.copy_(numbers[:81].view(3, 3, 3, 3))\n"
        "LAYER.bias.zero_()\nreturn network",
        ("LAYER = Conv2d(3, 3, 3, padding=1)",),
        "a ready-made layer",
    ),
    "a function of PyTorch": (
        body(
            "weight = network.param()[0][0]\n"
            "network.forward = lambda x: torch.nn.functional.conv2d(x, weight, padding=1)"
        ),
        (),
        "convolution",
    ),
}


@pytest.mark.parametrize("what", READY)
def test_ready_made_layers_get_nothing_and_are_to_be_looked_at(
    source: Path, worker: Worker, what: str
):
    answer, cells, said = READY[what]
    found = mark_of(handed_in(answer, blur(), *cells), source, worker)
    assert found.points == 0 and found.doubtful, found.message
    assert "your own code" in found.message and said in found.message


def test_wrong_gradients_get_nothing(source: Path, worker: Worker):
    more = "network.backward = lambda grad_output: 0 * grad_output"
    found = mark_of(handed_in(body(more), blur()), source, worker)
    assert found.points == 0 and "gradients" in found.message


# --------------------------------------------------------------------------------- hidden pictures


def test_no_clean_picture_and_no_seed_reach_the_process(
    source: Path, worker: Worker, drawn: Thumbnails, monkeypatch
):
    """All that is sent is looked through; the noisy pictures are among it, so they are found."""
    sent: list[bytes] = []
    send = judge.send
    monkeypatch.setattr(
        judge, "send", lambda to, content: sent.append(content) or send(to, content)
    )
    assert mark_of(handed_in(body(), blur()), source, worker).points == 20
    first = drawn.noisy[7].contiguous().numpy().tobytes()[:400]
    assert any(first in content for content in sent)
    for picture in drawn.clean:
        row = picture.numpy().tobytes()[:400]
        assert not any(row in content for content in sent)
    for content in sent:
        assert SEED.to_bytes(4, "little") not in content and str(SEED).encode() not in content
    tensors = [t for content in sent for t in tensors_of(pickle.loads(content))]
    assert all(t.shape[-1] in (16, 84) for t in tensors)


def tensors_of(question: object) -> list[Tensor]:
    return [v for v in question if isinstance(v, Tensor)] if isinstance(question, list) else []


@pytest.mark.parametrize(
    "more",
    [
        "from n2n_lib import photographs\nnetwork.seen = photographs('validation')",
        "import skimage.data\nnetwork.seen = skimage.data.coffee()",
    ],
)
def test_no_photograph_can_be_opened(source: Path, worker: Worker, more: str):
    found = mark_of(handed_in(body(more), blur()), source, worker)
    assert found.points == 0 and "to open a picture" in found.message


def test_an_answer_that_knows_the_public_pictures_gets_nothing(source: Path, worker: Worker):
    """It ignores its input: what it returns is made of numbers that were handed in."""
    public = thumbnails().clean
    stored = public[:1].flatten()  # (768,): on the public ones it would be right for one
    answer = (
        "class Stored(Module):\n"
        "    def __init__(self):\n"
        "        self.picture = numbers.clone()\n"
        "        self.picture_grad = torch.zeros_like(numbers)\n"
        "    def forward(self, x):\n"
        "        size, wide = self.picture.view(3, 16, 16), x.new_zeros(x.shape)\n"
        "        wide[:, :, :16, :16] = size[:, : x.shape[2], : x.shape[3]]\n"
        "        self.seen = x.shape\n"
        "        return wide\n"
        "    def backward(self, grad_output):\n"
        "        whole = self.picture_grad.view(3, 16, 16)\n"
        "        whole[:, : self.seen[2], : self.seen[3]] += grad_output.sum(0)\n"
        "        return 0 * grad_output\n"
        "return Stored()"
    )
    found = mark_of(handed_in(answer, stored), source, worker)
    assert found.points == 0 and found.result == "wrong"


def test_no_seed_of_the_instructor_gives_what_everybody_knows(monkeypatch):
    drawn_from = []
    monkeypatch.setattr(measuring, "_draw", lambda seed, folder: drawn_from.append(seed))
    for seed in range(10):
        Hidden(seed).draw()
    assert len(set(drawn_from)) == 10 and min(drawn_from) > 1000
    check.trained_network.draw()
    assert drawn_from[-1] == measuring.PUBLIC_SEED


# --------------------------------------------------------------------------------- what is read

BROKEN = {
    "no numbers": (None, "there are no numbers"),
    "not whole": (b"abc", "there are no numbers"),
    "not finite": (torch.full((84,), float("nan")), "there are no numbers"),
    "too few": (torch.zeros(50), "raised"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_numbers_that_cannot_be_read_get_nothing(source: Path, worker: Worker, what: str):
    numbers, said = BROKEN[what]
    found = mark_of(handed_in(body(), numbers), source, worker)
    assert found.points == 0 and said in found.message


def test_an_empty_exercise_is_not_written(source: Path, worker: Worker):
    found = mark_of(handed_in("raise NotImplementedError", blur()), source, worker)
    assert (found.points, found.result) == (0, "not written")


def test_the_check_of_the_class_puts_the_numbers_into_its_output(
    tmp_path: Path, monkeypatch, capsys
):
    """They come back as they were, through the notebook that a student hands in."""
    monkeypatch.chdir(tmp_path)
    shown: list[dict] = []
    monkeypatch.setattr("IPython.get_ipython", lambda: object())
    monkeypatch.setattr("IPython.display.publish_display_data", shown.append)
    answer = function_of(body())
    with pytest.raises(check.CheckFailed, match=r"expected capstone.bin beside the lesson"):
        check.trained_network(answer)
    numbers = blur()
    assert check.save_numbers(answer(numbers)) == 84
    check.trained_network(answer)
    assert "84 of 5000 parameters" in capsys.readouterr().out
    (data,) = shown
    cell = {"cell_type": "code", "source": "", "outputs": [
        {"output_type": "display_data", "data": data}]}  # fmt: skip
    ((read,), _) = code_cells(json.dumps({"nbformat": 4, "cells": [cell]}).encode())
    assert torch.equal(measuring.numbers_from(read["numbers"]), numbers)


# --------------------------------------------------------------------------------- by nbgrader


class Shell:
    """A kernel: what its cell shows, and the cells that it has run."""

    def __init__(self) -> None:
        self.shown: list[object] = []
        self.display_pub = SimpleNamespace(clear_output=self.shown.clear)
        self.displayhook = self.shown.append
        self.user_ns = {"In": ["", "check.trained_network(trained_network)"]}


@pytest.fixture
def in_nbgrader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Shell]:
    """Go where nbgrader runs a notebook that was handed in with numbers; return the kernel."""

    def go(numbers: Tensor | None, graded: str = "autograded", points: float = 20) -> Shell:
        for folder, output, worth in (("submitted", numbers, 99), (graded, None, points)):
            content = handed_in(body(), output)
            cell_of(content, "trained-network-check")["metadata"]["nbgrader"]["points"] = worth
            place = hand_in(tmp_path / folder / "ann" / "lessons", (LESSON, content))
        monkeypatch.chdir(place)
        Path(measuring.FILE).write_bytes(torch.cat([blur(), torch.zeros(6)]).numpy().tobytes())
        monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
        shell = Shell()
        monkeypatch.setattr("IPython.get_ipython", lambda: shell)
        return shell

    return go


def function_of(answer: str, **names: object) -> Callable[[Tensor], object]:
    """Return a student's function."""
    space = {"__name__": "__main__", "torch": torch, "own": check.answers("Conv", "Chain")} | names
    exec("def trained_network(numbers):\n    " + answer.replace("\n", "\n    "), space)
    return space["trained_network"]


def test_nbgrader_reads_the_points_of_what_was_handed_in(in_nbgrader, capsys):
    """The numbers are those of the notebook, the points those of the instructor's."""
    shell = in_nbgrader(blur(), points=10)
    check.trained_network(function_of(body()))
    assert list(map(repr, shell.shown)) == ["10"]
    assert "84 of 5000 parameters" in capsys.readouterr().out


def test_without_nbgraders_folders_the_numbers_beside_the_lesson_count(in_nbgrader, capsys):
    shell = in_nbgrader(blur(), "elsewhere")
    check.trained_network(function_of(body()))
    assert list(map(repr, shell.shown)) == ["20"]
    assert "90 of 5000 parameters" in capsys.readouterr().out


def test_a_notebook_without_numbers_has_no_points_from_nbgrader(in_nbgrader):
    """Those beside it may be the instructor's, or of a network that was trained for a moment."""
    shell = in_nbgrader(None)
    with pytest.raises(check.CheckFailed, match="no numbers in the notebook"):
        check.trained_network(function_of(body()))
    assert shell.shown == []


@pytest.mark.parametrize("share, points", [(0.3749, "7"), (0.375, "7.5"), (0.01, "0")])
def test_nbgrader_reads_half_points(in_nbgrader, monkeypatch, share: float, points: str):
    shell = in_nbgrader(blur())
    monkeypatch.setattr(measuring, "share_of", lambda reached, pictures: share)
    check.trained_network(function_of(body()))
    assert list(map(repr, shell.shown)) == [points]


@pytest.mark.parametrize("end", ["network.table = torch.zeros(6000)", "raise KeyboardInterrupt"])
def test_what_an_answer_shows_is_taken_away_before_it_is_refused(in_nbgrader, end: str):
    shell = in_nbgrader(blur())
    answer = function_of("shell.displayhook(20)\n" + body(end), shell=shell)
    with pytest.raises((check.CheckFailed, KeyboardInterrupt)):
        check.trained_network(answer)
    assert shell.shown == []


def test_numbers_in_the_code_count_for_nbgrader(in_nbgrader):
    shell = in_nbgrader(blur())
    shell.user_ns["In"][:1] = (
        f"TABLE = [{'0.5, ' * 6000}]\nUNUSED = [{'0.5, ' * 9000}]",
        "def trained_network(numbers):\n    return TABLE",
    )
    with pytest.raises(check.CheckFailed, match="and 5500 more in the code: at most 5000"):
        check.trained_network(function_of(body()))


def test_the_seed_of_the_instructor_reaches_nbgrader(in_nbgrader, monkeypatch, drawn: Thumbnails):
    in_nbgrader(blur())
    seeds: list[int] = []
    monkeypatch.setattr(measuring, "_draw", lambda seed, folder: seeds.append(seed) or drawn)
    check.trained_network(function_of(body()))
    monkeypatch.setenv("N2N_CAPSTONE_SEED", "77")
    check.trained_network(function_of(body()))
    Hidden(77).draw()
    assert seeds[0] == measuring.PUBLIC_SEED and seeds[1] == seeds[2]
    monkeypatch.setenv("N2N_CAPSTONE_SEED", "-1")
    with pytest.raises(ValueError, match="expected N2N_CAPSTONE_SEED of at least 0, got '-1'"):
        check.trained_network(function_of(body()))


def test_the_student_edition_holds_no_numbers_and_no_specimen(tmp_path: Path):
    from n2n_lib.course.edition import make_edition

    make_edition(tmp_path / "edition", NOTEBOOKS)
    text = (tmp_path / "edition" / f"{LESSON}.ipynb").read_text(encoding="utf-8")
    assert MIME not in text and "own.Residual" not in text and "around_the_filter" not in text
    assert not (tmp_path / "edition" / measuring.FILE).exists()


# --------------------------------------------------------------------------------- the command


def test_a_wrong_seed_ends_in_one_line(tmp_path: Path, source: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = commands.run("grade", source, "--out", "g.csv", "--capstone-seed", -1)
    assert code == 2 and "expected --capstone-seed of at least 0, got -1" in err


def test_a_folder_without_photographs_ends_in_one_line(tmp_path: Path, source: Path, monkeypatch):
    monkeypatch.setattr(measuring, "_draw", DRAW)
    call = ("grade", source, "--source", source, "--out", tmp_path / "g.csv")
    code, _, err = commands.run(*call, "--capstone-pictures", tmp_path / "nowhere")
    assert code == 2 and "nowhere" in err and err.count("\n") == 1


def test_the_seed_is_told_and_kept(tmp_path: Path, source: Path, monkeypatch):
    """Without one it is drawn, and the next run to the same table has it again."""
    from n2n_lib.course.grading import run

    out = tmp_path / "grades.csv"
    first = run._hidden(out, None, None)
    others = {run._hidden(tmp_path / f"{i}.csv", None, None).seed for i in range(5)}
    assert len(others | {first.seed}) > 1
    run._seed_file(out).write_text(json.dumps({"seed": 77, "folder": ""}))
    assert run._hidden(out, None, None).seed == 77
    assert run._hidden(out, 5, None) == Hidden(5)


def test_table_pages_and_seed_of_a_class(tmp_path: Path, source: Path):
    """The whole way, with judges of their own: on photographs, with a seed that was drawn."""
    specimen = (NOTEBOOKS / measuring.FILE).read_bytes()
    own = json.loads((source / f"{LESSON}.ipynb").read_text(encoding="utf-8"))
    cell_of(own, "trained-network-check")["outputs"] = outputs_of(specimen)
    lessons = hand_in(tmp_path / "lessons", (LESSON, own))
    students = tmp_path / "class"
    hand_in(students / "ann", (LESSON, handed_in(None, specimen)))
    hand_in(students / "bob", (LESSON, handed_in(body(), blur())))
    hand_in(students / "carl", (LESSON, handed_in(body(), torch.zeros(6000))))
    outputs = Outputs(tmp_path / "grades.csv", feedback=tmp_path / "pages")
    grades = grade(students, outputs, source=lessons, limits=SLOW, jobs=1, progress=False)
    found = {done.student: done.marks[COLUMN] for done in grades}
    assert found["ann"].points == 20 > found["bob"].points > 0 == found["carl"].points
    table = rows(tmp_path / "grades.csv")
    assert {name: float(row[COLUMN]) for name, row in table.items()} == {
        name: mark.points for name, mark in found.items()
    }
    page = (tmp_path / "pages" / "bob.html").read_text(encoding="utf-8")
    assert "Partly" in page and "hidden thumbnails; doing nothing" in page
    kept = json.loads((tmp_path / "grades.csv.capstone.json").read_text(encoding="utf-8"))
    assert any(f"seed {kept['seed']}" in line for line in outputs.lines)

"""The table, and the pages of feedback."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from handing_in import N
from made import BACKWARD, FORWARD, made

from n2n_lib.course.grading.handed_in.layouts import HandedIn
from n2n_lib.course.grading.written import outputs as outputs_module
from n2n_lib.course.grading.written.outputs import Outputs
from n2n_lib.course.grading.written.sheets import inert, plain
from n2n_lib.course.grading.written.summary import summary_lines
from n2n_lib.course.grading.written.table import write_csv


def test_the_table(graded):
    folder, grades = graded
    with open(folder / "grades.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["student"] for row in rows] == [
        "'=tampered",
        *sorted(grades.keys() - {"=tampered"}),
    ]
    half = next(row for row in rows if row["student"] == "half")
    assert (half[f"{N}/upsample-forward"], half[f"{N}/upsample-backward"]) == ("0", "2")
    assert (half["total"], half["maximum"]) == ("9", f"{grades['half'].maximum:g}")
    assert f"{N}/upsample-forward: wrong" in half["remarks"].split("; ")


def test_the_page_of_feedback(graded):
    folder, grades = graded
    page = (folder / "pages" / "half.html").read_text(encoding="utf-8")
    assert f"9 of {grades['half'].maximum:g} points" in page
    assert "Wrong shape" in page
    hostile = (folder / "pages" / "hostile.html").read_text(encoding="utf-8")
    assert "<script" not in hostile
    assert "&lt;script&gt;alert(1)" in hostile
    assert not re.search(r"(src|href)=\"(?!#)|url\(|@import", page + hostile)


def test_no_spreadsheet_sees_a_formula(tmp_path: Path):
    names = ["a;=1+1;b", "\t=x", "＝1+1", "a\n=2", ' "=3', ';"=4', "@x", "-1", "+a;-b"]
    names += ["\x1b[31mred", "a\u202eb", "ok; fine", "a=b", "\u200e=5"]
    comments = [made(f"s{n}", 3, 0) for n in range(len(names))]
    for each, name in zip(comments, names, strict=True):
        each.comment = name
    write_csv(tmp_path / "grades.csv", [made(name, 3, 0) for name in names] + comments)
    content = (tmp_path / "grades.csv").read_text(encoding="utf-8-sig")
    for separator in (",", ";", "\t"):
        for row in csv.reader(content.splitlines(), delimiter=separator):
            for cell in row:
                start = cell.strip(' "\t')[:1]
                assert start not in tuple("=@＝") and (start not in ("+", "-") or len(cell) > 9)
    assert not re.search("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u200e]", content)
    assert "\\x1b[31mred" in content and "a\\u202eb" in content


@pytest.mark.parametrize("name", ["Zoë Müller", "李小龍", "a=b", "x; y", "o'neil"])
def test_ordinary_texts_stay_as_they_are(name: str):
    assert inert(name) == name and plain(inert(name)) == name


@pytest.mark.parametrize("text", ["=1+1", "a; -b", "＝x", "'=x"])
def test_what_was_made_inert_can_be_read_back(text: str):
    assert plain(inert(text)) == text or text.startswith("'")


def test_every_cell_is_quoted(tmp_path: Path):
    write_csv(tmp_path / "grades.csv", [made("ann")])
    for line in (tmp_path / "grades.csv").read_text(encoding="utf-8-sig").splitlines():
        assert re.fullmatch(r'"[^"]*"(,"[^"]*")*', line)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"feedback": "class/feedback"}, "expected --feedback outside of the submissions in"),
        ({"feedback": "class"}, "expected --feedback outside of the submissions in"),
        ({"feedback": "a file"}, "expected a folder as --feedback, got the file"),
        ({"out": "class"}, "expected a file as --out, got the folder"),
        ({"moodle": "class"}, "expected a file as --moodle, got the folder"),
        ({"moodle": "a/../grades.csv"}, "expected different files as --out and --moodle"),
        ({"canvas": "m.csv", "moodle": "m.csv"}, "different files as --moodle and --canvas"),
        ({"roster": "grades.csv"}, "expected different files as --out and --roster"),
        ({"roster": "nowhere.csv"}, "expected a CSV file, got .*nowhere.csv: No such file"),
        ({"overrides": "nowhere.csv"}, "expected a CSV file, got .*nowhere.csv: No such file"),
        ({"out": "a file/grades.csv"}, "expected a folder that can be written to"),
    ],
)
def test_bad_input_is_refused_before_any_work(tmp_path: Path, options, message):
    (tmp_path / "class").mkdir()
    (tmp_path / "a file").touch()
    options = {"out": "grades.csv"} | options
    outputs = Outputs(**{name: tmp_path / path for name, path in options.items()})
    with pytest.raises(ValueError, match=message):
        outputs.prepare(tmp_path / "class", [FORWARD, BACKWARD], [HandedIn("ann", ())])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a file", "class"]


def test_the_folders_of_all_files_are_made(tmp_path: Path):
    outputs = Outputs(tmp_path / "a/b/grades.csv", tmp_path / "c/d", moodle=tmp_path / "e/m.csv")
    outputs.prepare(tmp_path / "class")
    assert all((tmp_path / folder).is_dir() for folder in ("a/b", "c/d", "e"))


def test_a_page_that_cannot_be_written_costs_nothing_else(tmp_path: Path, monkeypatch):
    def failing(path, done, **_):
        if done.student == "bob":
            raise OSError("no")
        path.touch()

    monkeypatch.setattr(outputs_module, "write_feedback", failing)
    (tmp_path / "pages").mkdir()
    outputs = Outputs(tmp_path / "grades.csv", tmp_path / "pages")
    outputs.write([made("x" * 300), made("a/b"), made("bob"), made("Index")])
    assert "no page could be written for bob (no)" in outputs.lines
    assert (tmp_path / "grades.csv").exists()
    assert len(list((tmp_path / "pages").iterdir())) == 4  # with that of the class


def test_the_summary_lists_what_to_look_at():
    grades = [made(f"\x1b[1ms{n}[red]") for n in range(12)]
    for each in grades:
        each.marks[BACKWARD].unsure = True
    lines = summary_lines(grades, Outputs(Path("grades.csv")))
    assert lines[1] == f"  \\x1b[1ms0[red]: {BACKWARD}"
    assert lines[-1] == "  and 2 more, see the remarks"

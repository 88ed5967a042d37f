"""Files that the gradebooks of Moodle and Canvas import, read as their importers read them."""

from __future__ import annotations

import csv
from pathlib import Path

from made import BACKWARD, made, rows

from n2n_lib.course.grading.grades import Grade
from n2n_lib.course.grading.written.gradebooks import write_canvas, write_moodle

CLASS = [
    made("adamsanna", 3, 2, canvas="123", email="anna@x.edu", name="Adams, Anna"),
    made("=evil", 3, 0, canvas="124", email="evil@x.edu"),
    made("guest", 3, 0),
]


def test_the_gradebook_of_canvas(tmp_path: Path):
    export = write_canvas(tmp_path / "canvas.csv", CLASS)
    content = (tmp_path / "canvas.csv").read_bytes()
    assert not content.startswith(b"\xef\xbb\xbf")  # Canvas takes it for a part of the first name
    header, points, *students = csv.reader(content.decode().splitlines())
    assert header[:5] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    assert header[5:] == ["n2n lesson 03"]
    assert "Points Possible" in points[0] and points[5] == "5"
    assert students == [
        ["Adams, Anna", "123", "", "", "", "5"],
        ["'=evil", "124", "", "", "", "3"],
    ]
    assert export.left_out == ["guest"]


def test_the_gradebook_of_moodle(tmp_path: Path):
    late = made("ann", 3, 0, email="ann@x.edu", id="7", moodle="4711")
    late.adjustment, late.comment = -0.5, "late"
    late.marks[BACKWARD].comment = "nearly"
    export = write_moodle(tmp_path / "moodle.csv", [late, *CLASS])
    table = rows(tmp_path / "moodle.csv")
    assert list(table) == ["ann@x.edu", "anna@x.edu", "evil@x.edu"]
    assert table["ann@x.edu"] == {
        "Email address": "ann@x.edu",
        "ID number": "7",
        "Username": "",
        "Full name": "ann",
        "n2n lesson 03": "2.5",
        "Feedback comments": f"late | adjustment: -0.5 | {BACKWARD}: 0 of 2, nearly",
    }
    assert table["evil@x.edu"]["Full name"] == "'=evil"
    assert "Email address" in export.how and export.left_out == ["guest"]


def test_the_grading_worksheet_of_moodle(tmp_path: Path):
    """Where only participant numbers are known; the importer needs three of the columns."""
    grades = [made("Anna Adams", 3, 0, moodle="4711", name="Anna Adams"), made("guest")]
    grades.append(Grade("Bob", "", grades[1].marks, ids={"moodle": "4712"}, handed_in=False))
    export = write_moodle(tmp_path / "moodle.csv", grades)
    table = rows(tmp_path / "moodle.csv")
    anna = table["Participant 4711"]
    assert list(anna) == [
        "Identifier", "Full name", "Email address", "Status", "Grade", "Maximum Grade",
        "Grade can be changed", "Last modified (submission)", "Last modified (grade)",
        "Feedback comments",
    ]  # fmt: skip
    assert (anna["Full name"], anna["Grade"], anna["Maximum Grade"]) == ("Anna Adams", "3", "5")
    assert anna["Feedback comments"] == f"{BACKWARD}: 0 of 2"
    assert table["Participant 4712"]["Status"] == "No submission"
    assert export.left_out == ["guest"]
    assert "worksheet" in export.how


def test_a_class_of_which_nobody_is_known(tmp_path: Path):
    export = write_moodle(tmp_path / "moodle.csv", [made("ann")])
    assert rows(tmp_path / "moodle.csv") == {} and export.left_out == ["ann"]
    assert write_canvas(tmp_path / "canvas.csv", [made("ann")]).left_out == ["ann"]

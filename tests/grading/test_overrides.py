"""Corrections in a file of their own, and those made in the table itself."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from handing_in import ONE, PLAIN, STUB, UPSAMPLING, N, hand_in, notebook, points_of
from made import BACKWARD, FORWARD, edited, made, rows

from n2n_lib.course.grading import run
from n2n_lib.course.grading.grades import Grade, Mark
from n2n_lib.course.grading.handed_in.layouts import HandedIn
from n2n_lib.course.grading.written.outputs import Outputs

HEADER = "student,exercise,points,comment\n"


def write(tmp_path: Path, text: str = "", *grades, **options) -> dict:
    """Write grades with some corrections; return the completed ones by student."""
    if text:
        (tmp_path / "grades.overrides.csv").write_text(HEADER + text, encoding="utf-8")
    outputs = Outputs(tmp_path / "grades.csv", **options)
    done = outputs.write(grades or [made("ann", 3, 0), made("bob", 0, 2)])
    return {each.student: each for each in done} | {"lines": outputs.lines}


def test_points_comments_and_penalties(tmp_path: Path):
    text = f"ann,{BACKWARD},1.5,nearly\nANN,,-10%,a day late\nann,total,-0.5,no name\n"
    text += f"bob,{FORWARD},,see me\nbob,{BACKWARD},4,better than ours\n"
    done = write(tmp_path, text)
    ann, bob = done["ann"], done["bob"]
    assert (ann.marks[BACKWARD].points, ann.marks[BACKWARD].graded) == (1.5, 0)
    assert ann.marks[BACKWARD].comment == "nearly"
    assert ann.adjustment == pytest.approx(-0.45 - 0.5) and ann.total == pytest.approx(3.55)
    assert ann.comment == "a day late; no name"
    assert (bob.marks[FORWARD].points, bob.marks[FORWARD].comment) == (0, "see me")
    assert bob.total == 4
    assert f"{BACKWARD}: by hand: 4 of 2 points, graded 2" in bob.remarks
    table = rows(tmp_path / "grades.csv")
    assert (table["ann"]["adjustment"], table["ann"]["total"]) == ("-0.95", "3.55")
    assert table["ann"]["comment"] == "a day late; no name"


def test_the_total_is_never_below_0(tmp_path: Path):
    assert write(tmp_path, "ann,total,-7,")["ann"].total == 0


def test_the_later_correction_counts_and_a_comment_alone_replaces(tmp_path: Path):
    text = f"ann,{FORWARD},1,\nann,{FORWARD},2,\nann,,-1,late\nann,,,only this\n"
    ann = write(tmp_path, text)["ann"]
    assert (ann.marks[FORWARD].points, ann.marks[FORWARD].graded) == (2, 3)
    assert (ann.total, ann.comment) == (1, "only this")


def test_students_are_named_by_id_address_or_name(tmp_path: Path):
    text = f'x@y.edu,{FORWARD},1,\n4711,{BACKWARD},1,\n"Brown, Bob",,-1,\n\'=evil,,-2,\n'
    grades = [made("ann", 3, 0, email="X@y.edu", id="4711"), made("bob brown"), made("=evil")]
    done = write(tmp_path, text, *grades)
    assert [done[name].total for name in ("ann", "bob brown", "=evil")] == [2, 2, 1]


@pytest.mark.parametrize(
    "line, message",
    [
        (f"zoe,{FORWARD},1,", "line 2: expected one student of the class, got 'zoe'"),
        ("ann,03/conv2d,1,", "line 2: expected an exercise such as 03/conv2d-forward, got"),
        (f"ann,{FORWARD},one,", "line 2: expected points as a number, got 'one'"),
        (f"ann,{FORWARD},-1,", "line 2: expected 0 or more points of an exercise, got -1"),
        (f"ann,{FORWARD},50%,", "line 2: expected points as a number, got '50%'"),
        ("ann,total,nan,", "line 2: expected points as a number, got 'nan'"),
        ("ann,total,1e999,", "line 2: expected points as a number"),
        (f",{FORWARD},1,", "line 2: expected a student, got none"),
    ],
)
def test_mistakes_are_named_before_any_work(tmp_path: Path, line: str, message: str):
    file = tmp_path / "grades.overrides.csv"
    file.write_text(HEADER + line + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=f"{file.name}, {message}"):
        Outputs(tmp_path / "grades.csv").prepare(None, [FORWARD, BACKWARD], [HandedIn("ann", ())])
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_corrections_of_other_lessons_wait(tmp_path: Path):
    assert write(tmp_path, "ann,04/upsample-forward,1,")["ann"].total == 3


def test_exercises_of_electives_are_corrected_as_all_others(tmp_path: Path):
    elective = "E1/transposed-size"

    def graded() -> Grade:
        ann = made("ann", 3, 0)
        return replace(ann, marks=ann.marks | {elective: Mark(1, 1, "right")})

    write(tmp_path, "", graded())
    edited(tmp_path / "grades.csv", ('"3","0","1"', '"3","0","0.5"'), ('"4"', '"3.5"'))
    done = write(tmp_path, "", graded())
    assert done["ann"].marks[elective].points == 0.5 and done["ann"].total == 3.5
    header = (tmp_path / "grades.csv").read_text(encoding="utf-8-sig").splitlines()[0]
    assert header.count(elective) == 1
    assert "0.5" in (tmp_path / "grades.overrides.csv").read_text(encoding="utf-8-sig")
    assert write(tmp_path)["ann"].total == 3, "without the elective its correction waits"


def test_a_file_with_other_columns(tmp_path: Path):
    (tmp_path / "mine.csv").write_text("name,grade\nann,3\n")
    with pytest.raises(ValueError, match="expected columns student, .* got name, grade"):
        write(tmp_path, overrides=tmp_path / "mine.csv")


def excel(path: Path) -> None:
    """Save a table as Excel does in many countries."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.reader(file))
    text = io.StringIO(newline="")
    table = [[c.replace(".", ",") if c.replace(".", "").isdigit() else c for c in r] for r in table]
    table = [[str(int(c)) if c.isdigit() else c for c in row] for row in table]
    csv.writer(text, delimiter=";").writerows([*table, [""] * len(table[0])])
    path.write_bytes(text.getvalue().encode("cp1252"))


def test_what_is_changed_in_the_table_is_kept(tmp_path: Path):
    grades = [made("ann", 3, 0), made("Zoë", 1.5, 0), made("00123", 3, 2)]
    write(tmp_path, "", *grades)
    table = tmp_path / "grades.csv"
    edited(table, ('"ann","3","0"', '"ann","3","0.5"'), ('"5","5","",', '"4","5","a; b",'))
    excel(table)
    for _ in range(3):  # once corrected, corrected for ever, and once only
        done = write(tmp_path, "", *grades)
        assert done["ann"].marks[BACKWARD].points == 0.5
        assert (done["00123"].total, done["00123"].adjustment) == (4, -1)
        assert done["00123"].comment == "a; b"
        assert done["Zoë"].total == 1.5
        again = rows(table)
        assert (again["ann"][BACKWARD], again["ann"]["total"]) == ("0.5", "3.5")
        assert len(rows(tmp_path / "grades.overrides.csv")) == 2
    with (tmp_path / "grades.overrides.csv").open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file))[1:] == [
            ["00123", "total", "-1", "changed in grades.csv"],
            ["00123", "total", "", "a; b"],
            ["ann", BACKWARD, "0.5", "changed in grades.csv"],
        ]


def test_changes_are_told_and_added_to_the_file_that_is_there(tmp_path: Path):
    write(tmp_path, f"ann,{FORWARD},2,good\n")
    edited(tmp_path / "grades.csv", ('"ann","2","0"', '"ann","1","0"'))
    done = write(tmp_path)
    assert done["ann"].marks[FORWARD].points == 1
    assert done["ann"].marks[FORWARD].comment == "good"
    assert any("1 changes made in grades.csv by hand" in line for line in done["lines"])
    text = (tmp_path / "grades.overrides.csv").read_text(encoding="utf-8-sig")
    assert text.count("ann") == 2 and "good" in text


def test_a_total_that_follows_from_the_points_is_no_change_of_its_own(tmp_path: Path):
    write(tmp_path)
    edited(tmp_path / "grades.csv", ('"ann","3","0","0","3"', '"ann","3","2","0","5"'))
    ann = write(tmp_path)["ann"]
    assert (ann.total, ann.adjustment) == (5, 0)


def test_an_adjustment_is_changed_and_a_comment_removed(tmp_path: Path):
    write(tmp_path, "ann,total,-1,late\n")
    edited(tmp_path / "grades.csv", ('"-1","2","5","late"', '"-0.5","2","5",""'))
    for _ in range(2):
        ann = write(tmp_path)["ann"]
        assert (ann.adjustment, ann.total, ann.comment) == (-0.5, 2.5, "")


def test_columns_of_ones_own_stay(tmp_path: Path):
    write(tmp_path)
    edited(tmp_path / "grades.csv", ('"remarks"', '"remarks","seen"'),
           (f"{BACKWARD}: wrong\"", f"{BACKWARD}: wrong\",\"by Eve\""))  # fmt: skip
    for _ in range(2):
        write(tmp_path)
        table = rows(tmp_path / "grades.csv")
        assert (table["ann"]["seen"], table["bob"]["seen"]) == ("by Eve", "")


def test_rows_of_ones_own(tmp_path: Path):
    """One who handed in on paper: kept if the roster knows them, refused otherwise."""
    write(tmp_path)
    table, roster = tmp_path / "grades.csv", tmp_path / "roster.csv"
    table.write_bytes(table.read_bytes() + b'"zoe","2","0","","","","on paper",""\r\n')
    before = table.read_bytes()
    with pytest.raises(ValueError, match="a row of 'zoe' on line 4, .* move the file away"):
        write(tmp_path)
    assert table.read_bytes() == before
    roster.write_text("name\nann\nbob\nzoe\n")
    for _ in range(2):
        zoe = write(tmp_path, roster=roster)["zoe"]
        assert (zoe.total, zoe.comment, zoe.handed_in) == (2, "on paper", False)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda text: text.replace('"ann","3"', '"ann","three"'), "line 2: expected a number in"),
        (lambda text: text.replace('"ann","3"', '"ann",""'), "line 2: expected a number in"),
        (lambda text: text.replace('"ann","3"', '"ann","-3"'), "line 2: expected 0 or more"),
        (lambda text: text.replace('"student"', '"who"'), "no column 'student'"),
        (lambda text: text.replace('"bob"', '"ann"'), "two rows of 'ann', the second on line 3"),
        (lambda text: "", "empty"),
    ],
)
def test_a_table_that_cannot_be_understood_is_not_written_over(tmp_path, change, message):
    write(tmp_path)
    table = tmp_path / "grades.csv"
    changed = change(table.read_text(encoding="utf-8-sig"))
    table.write_text(changed, encoding="utf-8")
    outputs = Outputs(table)
    with pytest.raises(ValueError, match=message):
        outputs.prepare(None, [FORWARD, BACKWARD], [HandedIn("ann", ()), HandedIn("bob", ())])
    with pytest.raises(ValueError, match="move the file away to have it written anew"):
        write(tmp_path)
    assert table.read_text(encoding="utf-8") == changed


def test_a_file_of_somebody_else_is_not_written_over(tmp_path: Path):
    (tmp_path / "grades.csv").write_text("my,own,list\n")
    with pytest.raises(ValueError, match="got another file, .* move the file away"):
        write(tmp_path)


def test_a_run_that_was_killed_between_two_writes_changes_nothing(tmp_path: Path):
    write(tmp_path)
    table, written = tmp_path / "grades.csv", tmp_path / ".grades.csv.written"
    old = table.read_bytes()
    write(tmp_path, "", made("ann", 3, 2), made("bob", 3, 2))
    for content in (old, table.read_bytes()):  # killed before or after the table was written
        (tmp_path / ".grades.csv.next").write_bytes(table.read_bytes())
        written.write_bytes(old)
        table.write_bytes(content)
        done = write(tmp_path, "", made("ann", 3, 2), made("bob", 3, 2))
        assert (done["ann"].total, done["bob"].total) == (5, 5)
        assert not (tmp_path / "grades.overrides.csv").exists()


def test_a_grade_corrected_by_hand_a_late_student_added_and_graded_again(
    tmp_path: Path, source: Path, monkeypatch
):
    """Nothing is lost: neither the correction, nor the note, nor the one who came late."""
    monkeypatch.setattr(run, "_check_solutions", lambda *_: None)  # takes most of three runs
    students, table = tmp_path / "class", tmp_path / "out" / "grades.csv"
    (tmp_path / "roster.csv").write_text("name,email\nAnn Lee,ann@x.edu\nBob Day,bob@x.edu\n")
    hand_in(students / "lee_ann", (UPSAMPLING, notebook(UPSAMPLING, rest=STUB)))

    def graded() -> dict[str, dict[str, str]]:
        outputs = Outputs(table, roster=tmp_path / "roster.csv", moodle=tmp_path / "moodle.csv")
        run.grade(students, outputs, source=source, limits=PLAIN, jobs=1, progress=False)
        return rows(table)

    first = graded()
    assert (first["lee_ann"]["total"], first["Bob Day"]["remarks"]) == ("0", "handed in nothing")
    edited(table, ('"remarks"', '"remarks","seen"'))
    exercise = f"{N}/upsample-forward"
    place = list(first["lee_ann"]).index(exercise)
    lines = table.read_text(encoding="utf-8-sig").splitlines()
    row = next(number for number, line in enumerate(lines) if line.startswith('"lee_ann"'))
    cells = lines[row].split(",")
    cells[place] = '"1,5"'
    lines[row] = ",".join(cells) + ',"by Eve"'
    table.write_text("\n".join(lines), encoding="utf-8")
    hand_in(students / "Bob Day", (UPSAMPLING, {}))
    (students / "Bob Day" / f"{UPSAMPLING}.ipynb").write_bytes(ONE)
    for _ in range(2):
        again = graded()
        assert (again["lee_ann"][exercise], again["lee_ann"]["total"]) == ("1.5", "1.5")
        assert again["lee_ann"]["seen"] == "by Eve"
        assert again["Bob Day"]["total"] == str(points_of(UPSAMPLING))
        moodle = rows(tmp_path / "moodle.csv")
        assert [moodle[mail][f"n2n lesson {N}"] for mail in ("ann@x.edu", "bob@x.edu")] == [
            "1.5",
            str(points_of(UPSAMPLING)),
        ]

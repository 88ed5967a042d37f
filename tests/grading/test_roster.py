"""The list of a class, and who of it handed in."""

from __future__ import annotations

from pathlib import Path

import pytest
from made import made, rows

from n2n_lib.course.grading.written import roster as lists
from n2n_lib.course.grading.written.outputs import Outputs
from n2n_lib.course.grading.written.roster import Entry, join, match, name_keys, read_roster

CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Lesson 3 (77)\n"
    ",,,,,Manual Posting\n"
    "    Points Possible,,,,,5\n"
    '"Adams, Anna",123,s4711,aadams,Lab 1,\n'
    '"van der Berg, Jan-Willem",124,s4712,jvdberg,Lab 1,\n'
    '"Student, Test",999,,abcdef,Lab 1,\n'
)


def roster(tmp_path: Path, text: str | bytes) -> list[Entry]:
    path = tmp_path / "roster.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_roster(path)


def test_the_export_of_canvas(tmp_path: Path):
    anna, jan = roster(tmp_path, CANVAS)
    assert anna.name == "Adams, Anna"
    assert anna.ids == {"name": "Adams, Anna", "canvas": "123", "sis": "s4711",
                        "login": "aadams", "section": "Lab 1"}  # fmt: skip
    assert jan.ids["canvas"] == "124"


@pytest.mark.parametrize(
    "text",
    [
        "First name,Last name,ID number,Email address,Groups\nZoë,Müller,007,zoe@x.edu,A\n",
        '"First name","Surname","ID number","Email address"\n"Zoë","Müller","007","zoe@x.edu"\n',
        "sep=;\nid;E-Mail;NAME\n007;zoe@x.edu;Zoë Müller\n",
        "Student ID\te-mail\tfull name\n\n007\tzoe@x.edu\tZoë Müller\n\t\t\n",
        "Matrikelnummer;E-Mail-Adresse;Vorname;Nachname\r\n007;zoe@x.edu;Zoë;Müller\r\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_lists_of_all_kinds(tmp_path: Path, text: str, encoding: str):
    (zoe,) = roster(tmp_path, text.encode(encoding))
    assert zoe == Entry("Zoë Müller", {"id": "007", "email": "zoe@x.edu", "name": "Zoë Müller"})


@pytest.mark.parametrize(
    "text, message",
    [
        ("colour,size\nred,3\n", "expected columns such as id, email and name in .*colour, size"),
        ("", "empty"),
        ("name\n", "expected students in .*, got none"),
        ("id,name\n1,Ann\n1,Bob\n", "two of '1', the second on line 3"),
        (b"PK\x03\x04....", "a spreadsheet, to be saved as CSV"),
        ("id,name\n1,Ann,extra\n", "expected rows of 2 cells in .*, got 3 on line 2"),
        (b"name,id\n\x00\x01", "expected a CSV file, got .*: not text"),
    ],
)
def test_what_is_no_list(tmp_path: Path, text: str | bytes, message: str):
    with pytest.raises(ValueError, match=message):
        roster(tmp_path, text)


@pytest.mark.parametrize(
    "one, other, same",
    [
        ("Adams, Anna", "adamsanna", True),
        ("Anna Adams", "adams_anna", True),
        ("ANNA-ADAMS", "Adams, Anna", True),
        ("van der Berg, Jan-Willem", "Jan-Willem van der Berg", True),
        ("Müller, Zoë", "zoe mueller", True),
        ("Müller, Zoë", "mullerzoe", True),
        ("Łukasz Żak", "zaklukasz", True),
        ("O'Neil, Pat", "pat oneil", True),
        ("李 小龍", "李小龍", True),
        ("Anna Adams", "Anna Adamson", False),
        ("Anna", "Anna Adams", False),
        ("", "", False),
    ],
)
def test_names_that_are_the_same(one: str, other: str, same: bool):
    assert bool(name_keys(one) & name_keys(other)) is same


ANNA = Entry("Adams, Anna", {"name": "Adams, Anna", "id": "s4711", "email": "anna.adams@x.edu"})
BOB = Entry("Bob Brown", {"name": "Bob Brown", "id": "s4712", "canvas": "12"})


@pytest.mark.parametrize(
    "student",
    [
        ("whoever", {"email": "Anna.Adams@X.edu"}),
        ("whoever", {"id": "S4711"}),
        ("lab3_s4711_final", {}),
        ("anna.adams@x.edu", {}),
        ("anna.adams", {}),
        ("adamsanna", {"canvas": "99", "name": "adamsanna"}),
        ("Anna Adams (4711)", {"moodle": "4711", "name": "Anna Adams"}),
    ],
)
def test_students_are_found_on_the_list(student: tuple[str, dict[str, str]]):
    matched = match([student], [BOB, ANNA])
    assert matched.entries == {student[0]: ANNA}
    assert matched.missing == [BOB] and not matched.unsure and not matched.strangers


def test_nobody_is_guessed():
    twin = Entry("Anna Adams", {"name": "Anna Adams", "id": "s9"})
    matched = match([("adamsanna", {}), ("Bob Brown", {"canvas": "13"})], [ANNA, twin, BOB])
    assert matched.unsure == {"adamsanna": [ANNA, twin]}
    assert matched.strangers == ["Bob Brown"]  # another number than that of the list
    two = match([("bob brown", {}), ("Brown, Bob", {})], [BOB])
    assert set(two.unsure) == {"bob brown", "Brown, Bob"} and two.missing == [BOB]


def test_a_surer_match_comes_first():
    namesake = Entry("Adams, Anna", {"name": "Adams, Anna", "id": "s5000"})
    matched = match([("Anna Adams", {}), ("s5000", {})], [ANNA, namesake])
    assert matched.entries == {"s5000": namesake, "Anna Adams": ANNA}


def test_a_large_class_is_not_compared_pair_by_pair(monkeypatch):
    everybody = [
        Entry(f"Ann{n} Lee{n}", {"name": f"Ann{n} Lee{n}", "id": f"s{n:04}", "email": f"a{n}@x"})
        for n in range(300)
    ]
    compared, contradicts = [], lists._contradicts
    spy = lambda ids, entry: compared.append(entry) or contradicts(ids, entry)  # noqa: E731
    monkeypatch.setattr(lists, "_contradicts", spy)
    by_id = [(f"n{n}", {"email": f"A{n}@X"}) for n in range(300)]
    by_id_in_name = [(f"lab3_S{n:04}_final", {}) for n in range(300)]
    by_name = [(f"lee{n}_ann{n}", {}) for n in range(300)]
    for students in (by_id, by_id_in_name, by_name):
        assert list(match(students, everybody).entries.values()) == everybody
    assert len(compared) == 3 * 300


def test_everybody_has_a_row_of_their_own():
    namesake = Entry("Bob Brown", {"name": "Bob Brown", "id": "s5000"})
    found = join([("zed", {})], [BOB, namesake])
    assert list(found.ids) == ["zed", "Bob Brown", "Bob Brown (s5000)"]
    assert found.lines[0] == "1 handed in, 0 of the 2 on the roster; 2 of it handed in nothing"
    assert found.lines[1] == "not on the roster: zed"


def test_who_handed_in_nothing_gets_a_row(tmp_path: Path):
    (tmp_path / "roster.csv").write_text(CANVAS, encoding="utf-8")
    outputs = Outputs(tmp_path / "grades.csv", roster=tmp_path / "roster.csv")
    done = outputs.write([made("adamsanna", 3, 2, canvas="123"), made("guest", 3, 0)])
    table = rows(tmp_path / "grades.csv")
    assert [each.handed_in for each in done] == [True, True, False]
    assert table["van der Berg, Jan-Willem"]["total"] == "0"
    assert table["van der Berg, Jan-Willem"]["remarks"] == "handed in nothing"
    assert (table["adamsanna"]["name"], table["adamsanna"]["total"]) == ("Adams, Anna", "5")
    assert "not on the roster: guest" in outputs.lines


def test_who_may_have_handed_in_is_not_reported_with_0_points(tmp_path: Path):
    (tmp_path / "roster.csv").write_text("id,name,email\n1,Ann Lee,a@x\n2,Lee Ann,b@x\n")
    outputs = Outputs(
        tmp_path / "grades.csv", roster=tmp_path / "roster.csv", moodle=tmp_path / "moodle.csv"
    )
    outputs.write([made("annlee", 3, 2)])
    assert rows(tmp_path / "moodle.csv") == {}
    assert rows(tmp_path / "grades.csv")["Ann Lee"]["remarks"] == "may have handed in as annlee"
    assert any("left out for Moodle" in line and "annlee" in line for line in outputs.lines)

"""Grades that are kept between runs, and what else a file may hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from handing_in import PLAIN, UPSAMPLING, hand_in, notebook
from hypothesis import given
from hypothesis import strategies as st

from n2n_lib.course.grading.grades import Grade, Mark, Piece
from n2n_lib.course.grading.judging.journal import Journal, from_line, to_line
from n2n_lib.course.grading.tasks import Assignment, read_assignments

ODD = "\udc80 \ud800 \x00\x1b[31m \u2028 \x85 \r\n '\"<"


@pytest.fixture(scope="module")
def assignments(tmp_path_factory: pytest.TempPathFactory) -> list[Assignment]:
    folder = tmp_path_factory.mktemp("lessons")
    return read_assignments(hand_in(folder / "x", (UPSAMPLING, notebook(UPSAMPLING))))


def grade_of(student: str, assignments: list[Assignment]) -> Grade:
    mark = Mark(1.5, 2, "wrong", "title", ODD, "table", [Piece("yours", 3, 1, ODD)], [ODD])
    marks = {task.column: mark for each in assignments for task in each.tasks}
    return Grade(student, "digest", marks, [ODD], {"email": ODD}, comment=ODD)


def test_grades_come_back_whatever_their_characters(tmp_path: Path, assignments):
    done = [grade_of(name, assignments) for name in ("ann", ODD)]
    journal = Journal(tmp_path / "journal", assignments, PLAIN)
    for each in done:
        journal.add(each)
    again = Journal(tmp_path / "journal", assignments, PLAIN)
    assert again.digests == {"ann": "digest", ODD: "digest"}
    assert [again.get(name) for name in ("ann", ODD)] == done
    assert len((tmp_path / "journal").read_text(encoding="ascii").splitlines()) == 3


def other(grade: Grade, **changes: object) -> str:
    return json.dumps(json.loads(to_line(grade)) | changes)


@pytest.mark.parametrize(
    "damage",
    [
        lambda line, grade: line[: len(line) // 2],
        lambda line, grade: "",
        lambda line, grade: "\xff\xfe",
        lambda line, grade: "[" * 10**6,
        lambda line, grade: "9" * 10**5,
        lambda line, grade: "null",
        lambda line, grade: line.replace('"points": 1.5', '"points": "1.5"'),
        lambda line, grade: line.replace('"points": 1.5', '"points": NaN'),
        lambda line, grade: line.replace('"points": 1.5', '"points": null'),
        lambda line, grade: line.replace('"line": 1', '"line": "1"'),
        lambda line, grade: other(grade, student=7),
        lambda line, grade: other(grade, marks=[]),
        lambda line, grade: other(grade, marks={}),
        lambda line, grade: other(grade, unread="text"),
        lambda line, grade: other(grade, ids={"email": 3}),
        lambda line, grade: other(grade, marks={"99/other": {"points": 1}}),
    ],
)
def test_a_damaged_line_costs_itself(tmp_path: Path, assignments, damage):
    path, ann, bob = tmp_path / "journal", *(grade_of(n, assignments) for n in ("ann", "bob"))
    Journal(path, assignments, PLAIN)
    key, line = path.read_text().strip(), to_line(ann)
    assert damage(line, ann) != line
    path.write_bytes(f"{key}\n{damage(line, ann)}\n{to_line(bob)}\n".encode("latin-1"))
    assert Journal(path, assignments, PLAIN).digests == {"bob": "digest"}


def test_what_was_graded_otherwise_is_forgotten(tmp_path: Path, assignments):
    Journal(tmp_path / "journal", assignments, PLAIN).add(grade_of("ann", assignments))
    (tmp_path / "other").write_bytes(b"\xff" + (tmp_path / "journal").read_bytes())
    assert Journal(tmp_path / "other", assignments, PLAIN).digests == {}
    assert Journal(tmp_path / "journal", [*assignments] * 2, PLAIN).digests == {}


@given(st.text())
def test_any_text_is_a_grade_or_refused(text: str):
    with pytest.raises(ValueError, match="expected a grade"):
        from_line(text)

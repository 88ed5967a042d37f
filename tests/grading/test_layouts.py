"""Who of a class has handed in what, in every way in which classes are collected."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from handing_in import ACTIVATIONS, ONE, PLAIN, STUB, UPSAMPLING, N, notebook, points_of

from n2n_lib.course.grading.handed_in.layouts import Found, find_class
from n2n_lib.course.grading.handed_in.submissions import read_submission
from n2n_lib.course.grading.judging.marking import grade_submission
from n2n_lib.course.grading.run import grade
from n2n_lib.course.grading.tasks import read_assignments
from n2n_lib.course.grading.written.outputs import Outputs

LESSONS = [UPSAMPLING, ACTIVATIONS]
U, A = f"{UPSAMPLING}.ipynb", f"{ACTIVATIONS}.ipynb"

Tree = dict[str, bytes]
"""Files by their paths; a path that ends with a slash is an empty folder."""


def tiny(mark: str) -> bytes:
    """Return a notebook with one cell, by which it is known again."""
    cell = {"cell_type": "code", "id": "x", "metadata": {}, "source": mark, "outputs": []}
    return json.dumps(
        {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}
    ).encode()


def zipped(tree: Tree) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in tree.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(tree: Tree, mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in tree.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def write(folder: Path, tree: Tree) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in tree.items():
        path = folder / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return folder


# ---------------------------------------------------------------------- the same class, every way

STUDENTS = {  # what each hands in, by lesson: the first works on both, the last on none
    "Anna Adams": {U: tiny("anna 5"), A: tiny("anna 6")},
    "Jörg Müller-Lüdenscheidt": {U: tiny("jörg 5")},
    "Bob van den Berg": {A: tiny("bob 6")},
    "Chloë Ng": {U: tiny("chloë 5"), A: tiny("chloë 6")},
}
ANNA, JOERG, BOB, CHLOE = STUDENTS
SHORT = dict(
    zip(STUDENTS, ("adamsanna", "müllerlüdenscheidtjörg", "vandenbergbob", "ngchloë"), strict=True)
)
NUMBER = dict(zip(STUDENTS, ("4711", "4712", "4713", "4714"), strict=True))


def each(name: Callable[[str, str], str], wrap: Callable[[Tree], Tree] | None = None) -> Tree:
    """Return all files, each called by what `name` says of its student and its own name."""
    return {
        name(who, file): content
        for who, files in STUDENTS.items()
        for file, content in (wrap(files) if wrap else files).items()
    }


def in_a_zip(files: Tree) -> Tree:
    return {"lessons.zip": zipped(files)}


def moodle(who: str, file: str) -> str:
    return f"{who}_{NUMBER[who]}_assignsubmission_file_/{file}"


def canvas(who: str, file: str) -> str:
    late = "_LATE" if who == BOB else ""
    return f"{SHORT[who]}{late}_{NUMBER[who]}_98{len(file)}_{file}"


def brightspace(who: str, file: str) -> str:
    return f"{NUMBER[who]}-6789 - {who} - Nov 1, 2026 1000 AM"


def sakai(who: str) -> str:
    first, _, last = who.partition(" ")
    return f"{last}, {first}({SHORT[who]})"


def named(kind: str, names: dict[str, str], number: dict[str, str]) -> dict:
    return {names[who]: {kind: number[who], "name": names[who]} for who in STUDENTS}


SELF = dict(zip(STUDENTS, STUDENTS, strict=True))
PLAINLY = {who: {"name": who} for who in STUDENTS}
BY_MOODLE = named("moodle", SELF, NUMBER)
BY_CANVAS = named("canvas", SHORT, NUMBER)
BY_CANVAS[SHORT[BOB]]["late"] = "yes"
ONLINE = f"{ANNA}_4711_assignsubmission_onlinetext_"

LAYOUTS: dict[str, tuple[Tree, dict[str, dict[str, str]], str]] = {
    "folders": (each(lambda who, f: f"{who}/{f}"), PLAINLY, "a folder for each student"),
    "zip files": (
        {f"{who}.zip": zipped(files) for who, files in STUDENTS.items()},
        PLAINLY,
        "an archive for each student",
    ),
    "folders in folders": (
        each(lambda who, f: f"{who}/my work/{f}"),
        PLAINLY,
        "a folder for each student",
    ),
    "tar files": (
        {f"{who}.tar.gz": tarred(files) for who, files in STUDENTS.items()},
        PLAINLY,
        "an archive for each student",
    ),
    "folders and zip files": (
        {
            **each(lambda who, f: f"{who}/{f}"),
            f"{BOB}.zip": zipped({A: STUDENTS[BOB][A]}),
        },
        PLAINLY,
        "a folder for each student and an archive for each student",
    ),
    "Canvas": (each(canvas), BY_CANVAS, "Canvas"),
    "Canvas, handed in again": (
        each(lambda who, f: canvas(who, f.replace(".", "-2."))),
        BY_CANVAS,
        "Canvas",
    ),
    "Canvas, a zip file each": (each(canvas, in_a_zip), BY_CANVAS, "Canvas"),
    "Moodle": (each(moodle), BY_MOODLE, "Moodle"),
    "Moodle, a zip file each": (each(moodle, in_a_zip), BY_MOODLE, "Moodle"),
    "Moodle, no slash": (
        each(lambda who, f: moodle(who, f).replace("_/", "/")),
        BY_MOODLE,
        "Moodle",
    ),
    "Moodle, no folders": (
        each(lambda who, f: moodle(who, f).replace("/", "")),
        BY_MOODLE,
        "Moodle",
    ),
    "Moodle, with text": (
        {**each(moodle), f"{ONLINE}/onlinetext.html": b"<p>Hello</p>"},
        BY_MOODLE,
        "Moodle",
    ),
    "nbgrader": (
        each(lambda who, f: f"{SHORT[who]}/{f[:2]}/{f}")
        | {f"{SHORT[ANNA]}/05/timestamp.txt": b"2026-11-01"},
        {short: {"name": short} for short in SHORT.values()},
        "a folder for each student",
    ),
    "nbgrader's course": (
        each(lambda who, f: f"submitted/{SHORT[who]}/lessons/{f}")
        | {"source/lessons/" + U: ONE, "release/lessons/" + U: ONE, "gradebook.db": b""},
        {short: {"name": short} for short in SHORT.values()},
        "nbgrader's tree",
    ),
    "nbgrader's exchange": (
        each(lambda who, f: f"{SHORT[who]}+{f[:2]}+2026-11-01 10:00:00.000000 UTC/{f}"),
        {short: {"name": short} for short in SHORT.values()},
        "nbgrader",
    ),
    "Google Classroom": (
        each(lambda who, f: f"{who} - {f}"),
        PLAINLY,
        "Google Classroom",
    ),
    "Google Classroom, names behind": (
        each(lambda who, f: f"{f} - {who}.ipynb"),
        PLAINLY,
        "Google Classroom",
    ),
    "Google Classroom, copies": (
        each(lambda who, f: f"Copy of {who} - {f[:-6]} (1).ipynb"),
        PLAINLY,
        "Google Classroom",
    ),
    "names in the names": (
        each(lambda who, f: f"{f[:-6]}_{who.replace(' ', '_')}.ipynb"),
        PLAINLY,
        "notebooks with the students' names",
    ),
    "GitHub Classroom": (
        each(lambda who, f: f"lesson-05-{SHORT[who]}/{f}"),
        {short: {"github": short} for short in SHORT.values()},
        "GitHub Classroom",
    ),
    "repositories": (
        each(lambda who, f: f"denoiser-{SHORT[who]}/{f}")
        | {f"denoiser-{short}/.git/HEAD": b"" for short in SHORT.values()},
        {short: {"github": short} for short in SHORT.values()},
        "GitHub Classroom",
    ),
    "Blackboard": (
        each(lambda who, f: f"Lesson 5_{SHORT[who]}_attempt_2026-11-01-10-00-00_{f}")
        | {f"Lesson 5_{s}_attempt_2026-11-01-10-00-00.txt": b"" for s in SHORT.values()},
        named("blackboard", SHORT, SHORT),
        "Blackboard",
    ),
    "Brightspace": (
        each(lambda who, f: f"{brightspace(who, f)} - {f}") | {"index.html": b""},
        named("brightspace", SELF, NUMBER),
        "Brightspace",
    ),
    "Brightspace, folders": (
        each(lambda who, f: f"{brightspace(who, f)}/{f}"),
        named("brightspace", SELF, NUMBER),
        "Brightspace",
    ),
    "Sakai": (
        each(lambda who, f: f"Lesson 5/{sakai(who)}/Submission attachment(s)/{f}")
        | {"Lesson 5/grades.csv": b""},
        named("sakai", SELF, SHORT),
        "Sakai",
    ),
    "Teams": (
        each(lambda who, f: f"Submitted files/{who}/Lesson 5/Version 1/{f}"),
        PLAINLY,
        "a folder for each student",
    ),
    "lesson by lesson": (
        each(lambda who, f: f"{f[:-6]}/{who}/{f}"),
        PLAINLY,
        "a folder for each student",
    ),
    "in another folder": (
        each(lambda who, f: f"CS101/{who}/{f}"),
        PLAINLY,
        "a folder for each student",
    ),
    "with the lessons": (
        {
            f"{who} {file[:2]}.zip": zipped({file: content})
            for who, files in STUDENTS.items()
            for file, content in files.items()
        },
        PLAINLY,
        "an archive for each student",
    ),
    "numbers of students": (
        {f"{n}/{f}": c for n, w in enumerate(STUDENTS.values(), 10) for f, c in w.items()},
        {str(n): {"name": str(n)} for n in range(10, 14)},
        "a folder for each student",
    ),
    "a download within": (
        {"submissions.zip": zipped(each(moodle)), "grades.csv": b""},
        BY_MOODLE,
        "Moodle",
    ),
    "lesson by lesson, zip files": (
        {
            "05.zip": zipped({n: c for n, c in each(canvas).items() if n.endswith(U)}),
            "06.zip": zipped({n: c for n, c in each(canvas).items() if n.endswith(A)}),
        },
        BY_CANVAS,
        "Canvas",
    ),
    "lesson by lesson, Canvas": (
        each(lambda who, f: f"{f[:2]}/{canvas(who, f)}"),
        BY_CANVAS,
        "Canvas",
    ),
    "lesson by lesson, Moodle": (
        each(lambda who, f: f"{f[:2]}/{moodle(who, f)}"),
        BY_MOODLE,
        "Moodle",
    ),
}


def lessons_of(found: Found) -> dict[str, dict[str, str]]:
    """Return the only cell of each notebook of each student."""
    got = {}
    for student in found.students:
        notebooks = read_submission(pickle.loads(pickle.dumps(student)), LESSONS).notebooks
        got[student.name] = {f"{k}.ipynb": cell["source"] for k, (cell,) in notebooks.items()}
    return got


def expected(names: dict) -> dict[str, dict[str, str]]:
    whole = [
        {file: json.loads(content)["cells"][0]["source"] for file, content in files.items()}
        for files in STUDENTS.values()
    ]
    return dict(zip(names, whole, strict=True))


def as_one_zip(folder: Path, tree: Tree) -> Path:
    folder.mkdir()
    path = folder / "submissions.zip"
    path.write_bytes(zipped(tree))
    return path


@pytest.mark.parametrize("how", ["folder", "zip", "zip in a folder", "folder in a zip", "macOS"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_class_is_found_however_it_was_collected(tmp_path: Path, layout: str, how: str):
    tree, ids, platform = LAYOUTS[layout]
    if how == "folder":
        path = write(tmp_path / "class", tree)
    elif how == "macOS":
        litter = {f"__MACOSX/{name.rstrip('/')}": b"?" for name in tree} | {".DS_Store": b""}
        path = as_one_zip(tmp_path / "class", tree | litter)
    elif how == "folder in a zip":
        path = as_one_zip(tmp_path / "class", {f"download/{k}": v for k, v in tree.items()})
    else:
        path = as_one_zip(tmp_path / "class", tree)
        path = path if how == "zip" else path.parent
    found = find_class(path, LESSONS)
    assert {student.name: student.ids for student in found.students} == ids
    assert found.layout == platform
    assert lessons_of(found) == expected(ids)


@pytest.mark.parametrize("encoding", ["cp850", "cp1252", "utf-8"])
def test_a_zip_file_of_windows_is_read(tmp_path: Path, encoding: str):
    r"""Folders end in a backslash, names are in a code page, and nothing says in which."""
    names = [f"{who}\\{file}" for who, files in STUDENTS.items() for file in files]
    works = [work for files in STUDENTS.values() for work in files.values()]
    stand_ins = [f"{n}".ljust(len(name.encode(encoding)), "x") for n, name in enumerate(names)]
    content = zipped(dict(zip(stand_ins, works, strict=True)))
    for stand_in, name in zip(stand_ins, names, strict=True):
        content = content.replace(stand_in.encode(), name.encode(encoding))
    (tmp_path / "class.zip").write_bytes(content)
    found = find_class(tmp_path / "class.zip", LESSONS)
    assert {student.name: student.ids for student in found.students} == PLAINLY
    assert lessons_of(found) == expected(PLAINLY)


# ---------------------------------------------------------------------- what lies beside

STRAYS = {
    U: ONE,
    f"{UPSAMPLING}.new.ipynb": ONE,
    "list.txt": b"",
    "grades.csv": b"",
    "syllabus.pdf": b"",
    "notes.docx": b"",
    ".hidden/a.txt": b"",
    "__old__/" + U: ONE,
    "feedback/anna.html": b"",
    "pages/index.html": b"",
    "pages/anna.html": b"",
    "submissions.zip": zipped({f"x/{U}": ONE, f"y/{U}": ONE}),
}


@pytest.mark.parametrize("layout", ["folders", "zip files", "Canvas", "Moodle", "Brightspace"])
def test_strays_change_nothing_and_are_listed(tmp_path: Path, layout: str):
    tree, ids, platform = LAYOUTS[layout]
    found = find_class(write(tmp_path / "class", tree | STRAYS), LESSONS)
    assert {student.name: student.ids for student in found.students} == ids
    assert found.layout == platform
    assert lessons_of(found) == expected(ids)
    strays = {name.partition("/")[0] for name in STRAYS}
    index = {"index.html"} if layout == "Brightspace" else set()
    assert {line.rpartition(": ")[0] for line in found.unknown} == strays | index


def read_all(path: Path) -> tuple[dict[str, dict[str, str]], dict[str, list[str]], Found]:
    """Return the notebooks and the remarks of each student."""
    found = find_class(path, LESSONS)
    remarks = {s.name: read_submission(s, LESSONS).remarks for s in found.students}
    return lessons_of(found), remarks, found


def test_who_hands_in_what_cannot_be_read_gets_a_row_that_says_so(tmp_path: Path):
    tree = {
        f"ann/{U}": tiny("ann"),
        "bob.7z": b"7z",
        "carl.ipynb/" + U: tiny("carl"),
        "dora/": b"",
        "emil/Solution.pdf": b"%PDF",
        "finn/lesson.html": b"<html>",
        "gus.rar": b"Rar!",
        "hal.zip": b"no zip file",
        f"ida/{U}.txt": tiny("ida"),
        "jim/work.7z": b"7z",
        "kim.tar.gz": b"\x1f\x8b broken",
    }
    lessons, remarks, found = read_all(write(tmp_path / "class", tree))
    assert list(lessons) == "ann bob carl dora emil finn gus hal ida jim kim".split()
    assert {name for name, books in lessons.items() if books} == {"ann", "carl", "ida"}
    looked_for = f"expected notebooks as {U}, found "
    for name, file in {"bob": "bob.7z", "gus": "gus.rar", "jim": "work.7z"}.items():
        assert remarks[name][-1] == looked_for + file
    assert remarks["emil"][-1] == looked_for + "Solution.pdf"
    assert remarks["finn"][-1] == looked_for + "lesson.html"
    assert remarks["dora"] == ["no notebooks"]
    assert remarks["hal"] == ["cannot be read: File is not a zip file"]
    assert remarks["kim"][0].startswith("cannot be read: ")
    assert found.unknown == []


def test_a_class_without_a_single_notebook_has_its_rows(tmp_path: Path):
    tree = {"ann/answer.pdf": b"", "bob/": b"", "grades.csv": b""}
    lessons, remarks, found = read_all(write(tmp_path / "class", tree))
    assert lessons == {"ann": {}, "bob": {}}
    assert remarks["ann"] == ["no notebooks", f"expected notebooks as {U}, found answer.pdf"]
    assert found.unknown == ["grades.csv: beside the students' folders"]


def test_students_of_one_name_are_told_apart_by_their_ids(tmp_path: Path):
    tree = {f"Anna Adams_{n}_assignsubmission_file_/{U}": tiny(n) for n in ("4711", "4712")}
    lessons, _, _ = read_all(write(tmp_path / "class", tree))
    assert lessons == {f"Anna Adams ({n})": {U: n} for n in ("4711", "4712")}


def test_a_folder_and_a_zip_file_of_one_student_are_read_together(tmp_path: Path):
    tree = {f"ann/{U}": tiny("5"), "ann.zip": zipped({A: tiny("6")}), f"bob/{U}": tiny("bob")}
    lessons, remarks, _ = read_all(write(tmp_path / "class", tree))
    assert lessons["ann"] == {U: "5", A: "6"}
    assert remarks["ann"] == ["handed in more than once, all was read: ann, ann.zip"]


def test_names_are_printable_and_differ(tmp_path: Path):
    names = ["a\x1b[31m", "a\x07[31m", "x" * 200, "x" * 199 + "y", "Ju\u0308rgen"]
    found = find_class(write(tmp_path / "class", {f"{n}/{U}": ONE for n in names}), LESSONS)
    shown = [student.name for student in found.students]
    assert len(set(shown)) == len(names) and all(n.isprintable() for n in shown)
    assert max(map(len, shown)) <= 110 and "J\u00fcrgen" in shown


ONE_STUDENT = {
    "notebooks": {U: b"", A: b""},
    "copies": {U: b"", f"{UPSAMPLING} (2).ipynb": b"", f"{UPSAMPLING}-Copy1.ipynb": b""},
    "new versions": {U: b"", f"{UPSAMPLING}.new.ipynb": b"", f"{UPSAMPLING}_final.ipynb": b""},
    "other folders": {U: b"", "old/" + U: b"", "data/a.png": b"", f"backup/{A}": b""},
    "a folder for each lesson": {f"{UPSAMPLING}/{U}": b"", f"{ACTIVATIONS}/{A}": b""},
    "weeks": {f"week 1/{U}": b"", f"week 2/{A}": b""},
    "one folder": {f"lessons/{U}": b"", f"lessons/{A}": b""},
    "the edition": {f"notebooks/{U}": b"", "n2n_lib/__init__.py": b"", "README.md": b""},
    "tries": {f"{UPSAMPLING}_try.ipynb": b"", f"{ACTIVATIONS}_best.ipynb": b"", "x.ipynb": b""},
}


@pytest.mark.parametrize("way", ["folder", "zip", "in the class"])
@pytest.mark.parametrize("kind", ONE_STUDENT)
def test_the_work_of_one_student_is_no_class(tmp_path: Path, kind: str, way: str):
    tree = ONE_STUDENT[kind]
    if way == "zip":
        (tmp_path / "ann.zip").write_bytes(zipped(tree))
        found = find_class(tmp_path / "ann.zip", LESSONS)
    else:
        ann = write(tmp_path / "class" / "ann", tree)
        found = find_class(ann if way == "folder" else ann.parent, LESSONS)
    assert [student.name for student in found.students] == ["ann"]
    assert found.unknown == []


def test_copies_without_names_are_one_student_with_a_remark(tmp_path: Path):
    names = ["", " (1)", " (2)"]
    tree = {f"Copy of {UPSAMPLING}{n}.ipynb": tiny(n) for n in names}
    _, remarks, _ = read_all(write(tmp_path / "class", tree))
    assert "several notebooks of a lesson, and no names" in remarks["class"][0]


def test_archives_without_names_are_one_student_with_a_remark(tmp_path: Path):
    tree = {f"lessons{n}.zip": zipped({U: tiny(n)}) for n in ("", " (1)", " (2)")}
    _, remarks, _ = read_all(write(tmp_path / "class", tree))
    assert "several archives, and no names" in remarks["class"][0]


def test_notebooks_called_by_the_students_names_alone(tmp_path: Path):
    tree = {f"{who}.ipynb": tiny(who) for who in ("anna", "bob", "carl")}
    found = find_class(write(tmp_path / "class", tree), LESSONS)
    assert [student.name for student in found.students] == ["anna", "bob", "carl"]


def test_the_last_attempt_counts(tmp_path: Path):
    def attempt(time: str) -> str:
        return f"Lesson 5_ann_attempt_2026-11-{time}-10-00-00_{U}"

    tree = {attempt("01"): tiny("1"), attempt("03"): tiny("3"), attempt("02"): tiny("2")}
    lessons, remarks, _ = read_all(write(tmp_path / "blackboard", tree))
    assert lessons == {"ann": {U: "3"}}
    assert remarks["ann"][0] == f"{N}: 3 notebooks, graded {U}"
    tree = {f"ann/Version {n}/{U}": tiny(str(n)) for n in (1, 9, 10)} | {f"bob/{U}": tiny("b")}
    lessons, _, _ = read_all(write(tmp_path / "teams", tree))
    assert lessons == {"ann": {U: "10"}, "bob": {U: "b"}}
    times = {"930 AM": "9", "1000 AM": "10", "130 PM": "13"}
    tree = {f"1-2 - Ann A - Nov 1, 2026 {t} - {U}": tiny(m) for t, m in times.items()}
    assert read_all(write(tmp_path / "brightspace", tree))[0] == {"Ann A": {U: "13"}}


def test_an_anonymous_class_stays_anonymous(tmp_path: Path):
    tree = {f"anon_{x}_9876_{U}": tiny(x) for x in ("aB3dE", "Xy9Zz")} | {
        f"anon_LATE_123_9876_{U}": tiny("n"),
        f"anon_124_9876_{U}": tiny("m"),
    }
    found = find_class(write(tmp_path / "class", tree), LESSONS)
    names = [student.name for student in found.students]
    assert names == ["anon (123)", "anon (124)", "anon Xy9Zz", "anon aB3dE"]


def test_links_are_not_followed(tmp_path: Path):
    folder = write(tmp_path / "class", {f"ann/{U}": ONE, f"bob/{U}": ONE})
    try:
        (folder / "carl").symlink_to(folder / "ann")
    except OSError:
        pytest.skip("needs links")
    found = find_class(folder, LESSONS)
    assert [student.name for student in found.students] == ["ann", "bob"]
    assert found.unknown == ["carl: a link, not followed"]


def test_of_many_strays_the_first_are_listed(tmp_path: Path):
    tree = {f"ann/{U}": ONE, f"bob/{U}": ONE} | {f"{n}.txt": b"" for n in range(80)}
    found = find_class(write(tmp_path / "class", tree), LESSONS)
    assert len(found.unknown) == 51 and found.unknown[-1] == "and 30 more"


def test_where_nobody_is_nobody_is_found(tmp_path: Path):
    (tmp_path / "list.txt").touch()
    with pytest.raises(ValueError, match="expected a folder or zip file for each student in"):
        find_class(tmp_path)
    with pytest.raises(ValueError, match="expected a folder of submissions or a zip file, got"):
        find_class(tmp_path / "list.txt")
    (tmp_path / "broken.zip").write_bytes(b"PK")
    with pytest.raises(ValueError, match="a zip file, got .*broken.zip: File is not a zip file"):
        find_class(tmp_path / "broken.zip")


# ---------------------------------------------------------------------- graded


def test_nested_zip_files_get_the_points_of_plain_folders(tmp_path: Path):
    good = json.dumps(notebook(UPSAMPLING)).encode()
    half = json.dumps(notebook(UPSAMPLING, {"upsample-forward": STUB})).encode()
    works = {ANNA: {U: good}, JOERG: {U: half}, BOB: {}, CHLOE: {"my homework.ipynb": good}}
    lessons = write(tmp_path / "lessons", {U: good})
    plain = {f"{who}/{file}": work for who, files in works.items() for file, work in files.items()}
    as_zips = {moodle(who, "lessons.zip"): zipped(files) for who, files in works.items()}
    zipped_ones = grade(
        write(tmp_path / "moodle", as_zips),
        Outputs(tmp_path / "moodle.csv"),
        source=lessons,
        limits=PLAIN,
        jobs=1,
        progress=False,
    )
    totals = {done.student: done.total for done in zipped_ones}
    asked, students = read_assignments(lessons), write(tmp_path / "plain", plain | {f"{BOB}/": b""})
    with PLAIN.worker() as worker:  # one process for all, where judges start one for each
        assert totals == {
            each.name: grade_submission(read_submission(each, asked), asked, worker).total
            for each in find_class(students, [UPSAMPLING]).students
        }
    assert totals[ANNA] == totals[CHLOE] == points_of(UPSAMPLING) > totals[JOERG] > 0
    assert totals[BOB] == 0

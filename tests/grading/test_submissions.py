"""What is read of what was handed in, and what is not."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from pathlib import Path

import pytest
from handing_in import (
    ACTIVATIONS,
    LESSONS,
    NOTEBOOKS,
    ONE,
    STUB,
    UPSAMPLING,
    N,
    notebook,
    packed,
    read,
)

from n2n_lib.course.edition import student_version
from n2n_lib.course.grading.handed_in import archives, submissions
from n2n_lib.course.grading.handed_in.layouts import HandedIn
from n2n_lib.course.grading.handed_in.matching import lesson_in
from n2n_lib.course.grading.tasks import Assignment, read_assignments
from n2n_lib.course.lessons import stem_of


def test_a_zip_file_is_read_wherever_the_notebook_lies(tmp_path: Path):
    members = (f"a/b/{UPSAMPLING} (2).ipynb", ONE), (f"__MACOSX/{UPSAMPLING}.ipynb", b"?")
    got = read(packed(tmp_path / "ann.zip", *members), [UPSAMPLING])
    assert (got.student, list(got.notebooks), got.remarks) == ("ann", [UPSAMPLING], [])


def test_of_several_notebooks_the_one_with_the_very_name_counts(tmp_path: Path):
    members = (f"a {UPSAMPLING}.ipynb", b"?"), (f"new/{UPSAMPLING}.ipynb", ONE)
    got = read(packed(tmp_path / "ann.zip", *members), [UPSAMPLING])
    assert list(got.notebooks) == [UPSAMPLING]
    assert got.remarks == [
        f"{N}: a {UPSAMPLING}.ipynb: expected a notebook of format 4, got JSONDecodeError",
        f"{N}: 2 notebooks, graded new/{UPSAMPLING}.ipynb",
    ]


@pytest.mark.parametrize(
    "name, trouble",
    [
        (f"../{UPSAMPLING}.ipynb", "a path out of the archive"),
        (f"/etc/{UPSAMPLING}.ipynb", "a path out of the archive"),
        (f"C:\\{UPSAMPLING}.ipynb", "a path out of the archive"),
        (f"link/{UPSAMPLING}.ipynb", "a link"),
    ],
)
def test_a_zip_file_leads_nowhere_else(tmp_path: Path, name: str, trouble: str):
    entry = zipfile.ZipInfo(name)
    if trouble == "a link":
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    packed(tmp_path / "ann.zip", (entry, ONE))
    got = read(tmp_path / "ann.zip", [UPSAMPLING])
    assert got.notebooks == {}
    assert f"{trouble}, not read" in got.remarks[0] or f"{trouble}, not read" in got.remarks[1]
    assert [path.name for path in tmp_path.iterdir()] == ["ann.zip"]


@pytest.mark.parametrize(
    "content, remark",
    [
        (b"no JSON", f"{N}: expected a notebook of format 4, got JSONDecodeError"),
        (b"[]", f"{N}: expected a notebook of format 4, got AttributeError"),
        (b'{"nbformat": 3, "worksheets": []}', f"{N}: expected a notebook of format 4, got"),
        (b'{"nbformat": 4, "cells": [7]}', f"{N}: expected a notebook of format 4, got TypeError"),
        (b"[" * 10**6, f"{N}: expected a notebook of format 4, got RecursionError"),
        (b" " * (archives.LARGEST + 1), f"{UPSAMPLING}.ipynb: more than 16 MB, not read"),
    ],
    ids=["text", "list", "old", "number", "deep", "bomb"],
)
def test_a_broken_notebook_is_remarked(tmp_path: Path, content: bytes, remark: str):
    got = read(packed(tmp_path / "a.zip", (f"{UPSAMPLING}.ipynb", content)), LESSONS)
    assert got.notebooks == {}
    assert any(line.startswith(remark) for line in got.remarks)


def test_a_broken_zip_file_is_remarked(tmp_path: Path):
    (tmp_path / "ann.zip").write_bytes(b"PK, or so it says")
    assert read(tmp_path / "ann.zip", LESSONS).remarks == ["cannot be read: File is not a zip file"]


def test_a_broken_part_of_a_zip_file_costs_its_notebook(tmp_path: Path):
    activations = json.dumps(notebook(ACTIVATIONS)).encode()
    path = packed(
        tmp_path / "ann.zip", (f"{UPSAMPLING}.ipynb", ONE), (f"{ACTIVATIONS}.ipynb", activations)
    )
    content = bytearray(path.read_bytes())
    content[200:300] = bytes(100)  # inside the first
    path.write_bytes(content)
    got = read(path, [UPSAMPLING, ACTIVATIONS])
    assert list(got.notebooks) == [ACTIVATIONS]
    assert got.remarks[0].startswith(f"{N}: cannot be read: ")


def test_too_many_files_are_remarked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archives, "MOST", 2)
    members = [(f"{UPSAMPLING}.ipynb", ONE), ("1.txt", b""), ("2.txt", b"")]
    got = read(packed(tmp_path / "ann.zip", *members), [UPSAMPLING])
    assert got.remarks == [f"more than {submissions.MOST} files, the rest not read"]
    assert list(got.notebooks) == [UPSAMPLING]


def test_remarks_are_bounded(tmp_path: Path):
    members = [(f"../{n}.ipynb", b"") for n in range(300)]
    assert len(read(packed(tmp_path / "a.zip", *members), LESSONS).remarks) == 100


def test_another_id_is_another_submission(tmp_path: Path):
    path = packed(tmp_path / "ann.zip", (f"{UPSAMPLING}.ipynb", ONE))
    digests = {
        submissions.read_submission(HandedIn("ann", (path,), ids), [UPSAMPLING]).digest
        for ids in ({}, {"canvas": "1"}, {"canvas": "1", "late": "yes"})
    }
    assert len(digests) == 3


@pytest.mark.skipif(os.name == "nt", reason="needs links and named pipes")
def test_links_and_pipes_in_a_folder_are_not_read(tmp_path: Path):
    folder = tmp_path / "ann"
    folder.mkdir()
    (folder / f"{UPSAMPLING}.ipynb").symlink_to(NOTEBOOKS / f"{UPSAMPLING}.ipynb")
    os.mkfifo(folder / f"{ACTIVATIONS}.ipynb")
    got = read(folder, LESSONS)
    assert got.notebooks == {}
    assert f"{UPSAMPLING}.ipynb: a link, not read" in got.remarks
    assert f"{ACTIVATIONS}.ipynb: no file, not read" in got.remarks


# ---------------------------------------------------------------------- which is which lesson

CONVOLUTION, TRANSPOSED = stem_of("convolution"), stem_of("transposed_convolution")


@pytest.mark.parametrize(
    "name, lesson, rest",
    [
        (f"{CONVOLUTION}.ipynb", CONVOLUTION, ""),
        ("04 convolution.ipynb", CONVOLUTION, ""),
        ("04-Convolution.ipynb.txt", CONVOLUTION, ""),
        ("04_convolution.new.ipynb", CONVOLUTION, ""),
        ("04_convolution-1.ipynb", CONVOLUTION, ""),
        ("04_convolution (2).ipynb", CONVOLUTION, ""),
        ("04_convolution-Copy1.ipynb", CONVOLUTION, ""),
        ("Kopie von 04_convolution.ipynb", CONVOLUTION, ""),
        ("Copy of Copy of 04_convolution.ipynb", CONVOLUTION, ""),
        ("Convolution.ipynb", CONVOLUTION, ""),
        ("03_convolution.ipynb", CONVOLUTION, ""),
        ("lesson4.ipynb", CONVOLUTION, ""),
        ("lesson 04 final (2).ipynb", CONVOLUTION, ""),
        ("Lektion_4.ipynb", CONVOLUTION, ""),
        ("04.ipynb", CONVOLUTION, ""),
        ("4.ipynb", CONVOLUTION, ""),
        ("Anna Adams - 04_convolution.ipynb", CONVOLUTION, "Anna Adams"),
        ("04_convolution.ipynb - Anna Adams.ipynb", CONVOLUTION, "Anna Adams"),
        ("04_convolution_adams.ipynb", CONVOLUTION, "adams"),
        ("04_adams.ipynb", CONVOLUTION, "adams"),
        ("transposed convolution.ipynb", TRANSPOSED, ""),
        ("E1.ipynb", TRANSPOSED, ""),
        ("lesson e1.ipynb", TRANSPOSED, ""),
        (f"{stem_of('loss_and_sequential')}.ipynb", stem_of("loss_and_sequential"), ""),
        ("lesson99.ipynb", None, "lesson99"),
        ("Untitled.ipynb", None, "Untitled"),
    ],
)
def test_names_tell_lessons(name: str, lesson: str | None, rest: str):
    assert lesson_in(name) == (lesson, rest)


def test_the_lessons_of_a_course_of_ones_own_go_first():
    own = ["03_convolution", "04_wavelets"]
    assert lesson_in("lesson 4.ipynb", own)[0] == "04_wavelets"
    assert lesson_in("convolution.ipynb", own)[0] == "03_convolution"
    alike = ["01_project", "02_project"]
    assert [lesson_in(f"{n} project ann.ipynb", alike)[0] for n in ("01", "02")] == alike
    assert lesson_in("project.ipynb", alike)[0] is None


@pytest.fixture(scope="module")
def asked() -> list[Assignment]:
    return read_assignments(NOTEBOOKS, [UPSAMPLING[:2], ACTIVATIONS[:2]])


def read_as(asked: list[Assignment], path: Path) -> submissions.Submission:
    return submissions.read_submission(HandedIn("ann", (path,)), asked)


def as_bytes(content: dict) -> bytes:
    return json.dumps(content).encode()


def marked(mark: str, content: dict) -> bytes:
    """Add a cell by which a notebook is known again."""
    cell = {"cell_type": "code", "id": "mark", "metadata": {}, "source": mark, "outputs": []}
    return as_bytes(content | {"cells": [*content["cells"], cell]})


def graded(got: submissions.Submission) -> dict[str, str]:
    return {lesson: cells[-1]["source"] for lesson, cells in got.notebooks.items()}


HANDED_OUT = dict(student_version(NOTEBOOKS / f"{UPSAMPLING}.ipynb"))
EARLIER = notebook(UPSAMPLING, rest='raise NotImplementedError(  # other words\n    "a hint"\n)')
HALF = notebook(UPSAMPLING, {"upsample-forward": STUB})
BEGUN = notebook(UPSAMPLING, {"upsample-forward": f"y = x\n{STUB}"}, rest=STUB)


@pytest.mark.parametrize(
    "exact, copy, winner",
    [
        (HANDED_OUT, notebook(UPSAMPLING), "copy"),
        (EARLIER, BEGUN, "copy"),
        (HANDED_OUT, BEGUN, "copy"),
        (HALF, notebook(UPSAMPLING), "copy"),
        (notebook(UPSAMPLING), HALF, "exact"),
        (notebook(UPSAMPLING), notebook(UPSAMPLING), "exact"),
        (HANDED_OUT, EARLIER, "exact"),
    ],
    ids=["untouched", "earlier edition", "begun", "half", "whole", "same", "none"],
)
def test_the_notebook_with_the_work_in_it_counts(tmp_path, asked, exact, copy, winner):
    for name in (f"{UPSAMPLING} (2).ipynb", f"{UPSAMPLING}.new.ipynb", f"old/{UPSAMPLING}.ipynb"):
        members = (f"{UPSAMPLING}.ipynb", marked("exact", exact)), (name, marked("copy", copy))
        got = read_as(asked, packed(tmp_path / "ann.zip", *members))
        assert graded(got) == {UPSAMPLING: winner}
        chosen = f"{UPSAMPLING}.ipynb" if winner == "exact" else name
        assert f"{N}: 2 notebooks, graded {chosen}" in got.remarks


def test_an_untouched_last_attempt_does_not_count(tmp_path: Path, asked):
    work = marked("work", notebook(UPSAMPLING))
    members = [(f"Version {n}/{UPSAMPLING}.ipynb", marked(str(n), HALF)) for n in (1, 3)]
    members += [(f"Version 2/{UPSAMPLING}.ipynb", work)]
    got = read_as(asked, packed(tmp_path / "a.zip", *members))
    assert graded(got) == {UPSAMPLING: "3"}
    members += [(f"Version 4/{UPSAMPLING}.ipynb", marked("4", HANDED_OUT))]
    assert graded(read_as(asked, packed(tmp_path / "b.zip", *members))) == {UPSAMPLING: "3"}


def test_a_notebook_without_a_telling_name_is_known_by_its_exercises(tmp_path: Path, asked):
    members = [
        ("Untitled1.ipynb", marked("6", notebook(ACTIVATIONS))),
        ("my homework.ipynb", marked("5", notebook(UPSAMPLING))),
    ]
    got = read_as(asked, packed(tmp_path / "ann.zip", *members))
    assert graded(got) == {UPSAMPLING: "5", ACTIVATIONS: "6"}
    assert f"{N}: told by its exercises, graded my homework.ipynb" in got.remarks


def test_a_notebook_without_ids_is_known_by_what_it_defines(tmp_path: Path, asked):
    content = notebook(UPSAMPLING)
    for cell in content["cells"]:
        cell["id"], cell["metadata"] = None, {}
    got = read_as(asked, packed(tmp_path / "ann.zip", ("Untitled0.ipynb", marked("5", content))))
    assert graded(got) == {UPSAMPLING: "5"}


@pytest.mark.parametrize(
    "ending", [".ipynb.txt", ".ipynb.json", ".ipynb (1)", ".ipynb_", ".IPYNB", ".json", ".txt", ""]
)
def test_a_notebook_is_read_whatever_was_put_behind_its_name(tmp_path, ending: str):
    got = read(packed(tmp_path / "ann.zip", (f"{UPSAMPLING}{ending}", ONE)), [UPSAMPLING])
    assert list(got.notebooks) == [UPSAMPLING]
    assert got.remarks == []


def test_copies_of_editors_are_named_where_there_is_nothing_else(tmp_path: Path):
    (tmp_path / "ann" / ".ipynb_checkpoints").mkdir(parents=True)
    (tmp_path / "ann" / ".ipynb_checkpoints" / f"{UPSAMPLING}-checkpoint.ipynb").write_bytes(ONE)
    got = read(tmp_path / "ann", [UPSAMPLING])
    assert got.remarks == ["no notebooks, only .ipynb_checkpoints"]


def test_a_notebook_with_the_name_of_another_lesson_is_remarked(tmp_path: Path, asked):
    members = [(f"{ACTIVATIONS}.ipynb", marked("5", notebook(UPSAMPLING)))]
    got = read_as(asked, packed(tmp_path / "ann.zip", *members))
    assert graded(got) == {UPSAMPLING: "5"}
    label = ACTIVATIONS[:2]
    assert f"{label}: {ACTIVATIONS}.ipynb has the exercises of lesson {N}" in got.remarks


def test_all_lessons_in_one_notebook_are_found(tmp_path: Path, asked):
    content = notebook(UPSAMPLING)
    content["cells"] += notebook(ACTIVATIONS)["cells"]
    got = read_as(asked, packed(tmp_path / "ann.zip", ("all.ipynb", marked("all", content))))
    assert graded(got) == {UPSAMPLING: "all", ACTIVATIONS: "all"}


# ---------------------------------------------------------------------- what a file may look like


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])
def test_a_notebook_is_read_in_any_encoding(tmp_path: Path, encoding: str):
    content = marked("größe = 1", {"nbformat": 4, "cells": []})
    content = json.dumps(json.loads(content), ensure_ascii=False).encode(encoding)
    got = read(packed(tmp_path / "ann.zip", (f"{UPSAMPLING}.ipynb", content)), [UPSAMPLING])
    assert graded(got) == {UPSAMPLING: "größe = 1"}


@pytest.mark.parametrize(
    "written, read_as",
    [
        ("a = 1\r\nb = 2\r\n", "a = 1\nb = 2\n"),
        (["a = 1\r", "b = 2"], "a = 1\nb = 2"),
        ("if a:\n\xa0\xa0\xa0 b\u200b = 2", "if a:\n    b = 2"),
        ("\ufeffa = 1", "a = 1"),
        ("if a:\n\tb\n    c", "if a:\n    b\n    c"),
        ("if a:\n\tb = '\t'", "if a:\n\tb = '\t'"),
    ],
    ids=["CRLF", "CR", "spaces of web pages", "mark", "tabs and spaces", "tabs"],
)
def test_code_is_read_as_its_author_sees_it(tmp_path: Path, written, read_as: str):
    content = marked(written, {"nbformat": 4, "cells": []})
    got = read(packed(tmp_path / "ann.zip", (f"{UPSAMPLING}.ipynb", content)), [UPSAMPLING])
    assert graded(got) == {UPSAMPLING: read_as}


def test_a_cell_that_is_no_text_costs_itself(tmp_path: Path):
    content = json.loads(ONE)
    content["cells"].insert(0, {"cell_type": "code", "source": [1, {}], "metadata": None})
    got = read(packed(tmp_path / "a.zip", (f"{UPSAMPLING}.ipynb", as_bytes(content))), [UPSAMPLING])
    assert got.notebooks == read(packed(tmp_path / "b.zip", (f"{UPSAMPLING}.ipynb", ONE)),
                                 [UPSAMPLING]).notebooks  # fmt: skip
    assert got.remarks == [f"{N}: 1 cells that are no text, not read"]


def test_a_notebook_of_format_3_is_read(tmp_path: Path):
    cells = [{"cell_type": "code", "input": ["a = 1\n", "b"]}, {"cell_type": "heading"}]
    content = {"nbformat": 3, "worksheets": [{"cells": cells}]}
    got = read(packed(tmp_path / "a.zip", (f"{UPSAMPLING}.ipynb", as_bytes(content))), [UPSAMPLING])
    assert graded(got) == {UPSAMPLING: "a = 1\nb"}
    assert "format 3" in got.remarks[0]


@pytest.mark.parametrize(
    "content, kind",
    [(b"<!DOCTYPE html><html>", "HTML"), (b"", "an empty file"), (b"PK\x03\x04", "a zip file")],
)
def test_what_a_notebook_is_instead_is_said(tmp_path: Path, content: bytes, kind: str):
    got = read(packed(tmp_path / "a.zip", (f"{UPSAMPLING}.ipynb", content)), [UPSAMPLING])
    assert got.remarks == [f"{N}: expected a notebook of format 4, got {kind}"]

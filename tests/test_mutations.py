"""The script that breaks the project: two real mutations, and what it must never accept."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from n2n_lib.course.lessons import stem_of
from tools import mutations
from tools.mutations import MUTATIONS, Copy, Mutation, MutationError, run

UPSAMPLING = stem_of("upsampling")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("copy"))


@pytest.fixture
def small(tmp_path: Path) -> Copy:
    """A project of one function and one lesson, which shows 3 and, wrongly, 5."""
    source, folder = tmp_path / "source", tmp_path / "copy"
    (source / "n2n_lib").mkdir(parents=True)
    (source / "notebooks").mkdir()
    (source / "n2n_lib" / "__init__.py").write_text("def f(x):\n    return x + 1  # plus one\n")
    (source / "Makefile").write_text("NBVAL := --nbval \\\n\t--nbval-current-env\n")
    cells = [
        new_code_cell(code, execution_count=n, outputs=[new_output("stream", text=shown)])
        for n, (code, shown) in enumerate(
            [("from n2n_lib import f\nprint(f(2))", "3\n"), ("print(f(3))", "5\n")], start=1
        )
    ]
    nbformat.write(new_notebook(cells=cells[:1]), source / "notebooks" / "01_right.ipynb")
    nbformat.write(new_notebook(cells=cells), source / "notebooks" / "02_wrong.ipynb")
    folder.mkdir()
    return Copy(folder, source)


def mutation(lesson: str, old: str = "# plus one", new: str = "# one more") -> Mutation:
    return Mutation("n2n_lib/__init__.py", old, new, lesson)


def test_every_mutation_fits_its_file(copy: Copy):
    for one in MUTATIONS:
        copy.check_pattern(one)
    files = {one.file.split("/")[-1] for one in MUTATIONS}
    assert {"conv.py", "containers.py", "upsampling.py", f"{UPSAMPLING}.ipynb"} <= files


@pytest.mark.parametrize(
    "file", ["n2n_lib/framework/kernels/unfold.py", f"notebooks/{UPSAMPLING}.ipynb"]
)
def test_a_broken_library_and_a_broken_output_are_noticed(copy: Copy, file: str):
    (one,) = (one for one in MUTATIONS if one.file == file and one.lesson == UPSAMPLING)
    before = (copy.folder / file).read_bytes()
    result = copy.apply(one)
    assert result.cell is not None
    assert f"{UPSAMPLING} failed in code cell [{result.cell}]" in str(result)
    assert (copy.folder / file).read_bytes() == before


def test_a_mutation_that_no_lesson_notices_is_reported(small: Copy, capsys, monkeypatch):
    monkeypatch.setattr(mutations, "MUTATIONS", [mutation("01_right")])
    monkeypatch.setattr(mutations, "Copy", lambda folder: small)
    monkeypatch.setattr(Copy, "check_library", lambda _: None)  # has a test of its own
    assert mutations.main([]) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("SURVIVED n2n_lib/__init__.py: '# plus one' -> '# one more'")
    assert last.startswith("0 of 1 mutations noticed")


def test_a_lesson_that_fails_without_a_mutation_proves_nothing(small: Copy):
    with pytest.raises(MutationError, match=r"unchanged lesson 02_wrong to pass.*cell \[2\]"):
        small.check_unchanged("02_wrong", 2)


def test_a_kernel_with_another_library_is_refused(small: Copy):
    (small.folder / "n2n_lib").rename(small.folder / "elsewhere")
    with pytest.raises(MutationError, match=r"expected the kernel to import .*n2n_lib"):
        small.check_library()


@pytest.mark.parametrize(
    "wrong, message",
    [
        (mutation("01_right", "x - 1"), "exactly once, found it 0 times"),
        (mutation("01_right", "x"), "exactly once, found it 2 times"),
        (Mutation("n2n_lib/none.py", "x", "y", "01_right"), "exactly once, found it 0 times"),
        (mutation("03_none"), "expected the lesson 03_none, found no such notebook"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(
    small: Copy, wrong: Mutation, message: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Copy, "nbval", lambda *_: pytest.fail("something was run"))
    with pytest.raises(MutationError, match=message):
        run(small, [mutation("01_right"), wrong])


def test_a_part_of_no_file_is_refused(capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit):
        mutations.main(["--only", "nowhere.py"])
    assert "expected a part of the name of a file or lesson in the list" in capsys.readouterr().err

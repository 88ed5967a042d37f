"""Names for files, from any text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from n2n_lib.support.files import file_names


@pytest.mark.parametrize("name", ["ann", "Jürgen Groß", "=tampered", "O'Hara, S. (2)", "李小龙"])
def test_a_text_that_can_be_a_name_is_its_own(name: str):
    assert file_names([name]) == {name: name}


@pytest.mark.parametrize(
    "text",
    ["x" * 240, "字" * 200, "a/b", "..", ".", "", "CON", "nul.txt", "com1", "ann.", "ann ", ".ann"]
    + ["a\x1b[31mb", "a\nb", "a\x00b", "\udc80", "a:b", "C:\\x", "\u202egpj.exe", "a?*<>|b"],
)
def test_a_file_of_that_name_can_be_written(tmp_path: Path, text: str):
    name = file_names([text])[text]
    (tmp_path / f"{name}.html").write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.html"]
    assert name.isprintable() and len(name.encode()) < 120 and name[0] != "."
    assert name != text and not name.lower().startswith(("con", "nul", "com1"))


@given(
    st.lists(st.text(max_size=6) | st.sampled_from(["A", "a", "ä", "a\u0308", "index", "Index"]))
)
def test_no_two_have_the_same_name_whatever_the_case(texts: list[str]):
    names = list(file_names(texts, taken=["index"]).values())
    folded = {name.casefold() for name in names} | {"index"}
    assert len(folded) == len(set(texts)) + 1


def test_the_name_of_a_text_does_not_depend_on_its_place():
    assert file_names(["b/", "a/"]) == dict(reversed(file_names(["a/", "b/"]).items()))

"""Who of a class has handed in what."""

from __future__ import annotations

from pathlib import Path

import pytest
from handing_in import ONE, UPSAMPLING, hand_in, packed

from n2n_lib.course.grading.layouts import find_class


def test_folders_of_students(tmp_path: Path):
    packed(tmp_path / "ann.zip", (f"{UPSAMPLING}.ipynb", ONE))
    hand_in(tmp_path / "bob", (UPSAMPLING, {}))
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "list.txt").touch()
    assert [each.name for each in find_class(tmp_path).students] == ["ann", "bob"]
    assert [each.paths for each in find_class(tmp_path / "ann.zip").students] == [
        (tmp_path / "ann.zip",)
    ]
    assert [each.name for each in find_class(tmp_path / "bob").students] == ["bob"]
    (tmp_path / "ann").mkdir()
    with pytest.raises(ValueError, match="expected one submission of each student, got two of 'an"):
        find_class(tmp_path)
    with pytest.raises(ValueError, match="expected a folder or zip file for each student in"):
        find_class(tmp_path / "ann")

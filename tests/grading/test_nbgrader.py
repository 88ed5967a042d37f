"""nbgrader gives the same points."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from handing_in import UPSAMPLING, cell_of, hand_in, notebook, points_of


def test_nbgrader_gives_the_same_points(graded, tmp_path: Path, source: Path):
    """A course folder of nbgrader's: assignment from the lesson, one answer right, one wrong."""
    pytest.importorskip("nbgrader")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    def nbgrader(*arguments: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "nbgrader", *arguments],
            cwd=tmp_path / "course",
            env=os.environ | {"PATH": path},
            check=True,
            capture_output=True,
        )

    shutil.copytree(source, tmp_path / "course" / "source" / "lessons")
    nbgrader("generate_assignment", "lessons", "--create")
    release = tmp_path / "course" / "release" / "lessons" / f"{UPSAMPLING}.ipynb"
    content = json.loads(release.read_text(encoding="utf-8"))
    assert "repeat_interleave(scale, dim=3)  # (N, C, s H, s W)" not in release.read_text()
    bodies = {"upsample-forward": "return x", "upsample-backward": None}
    for name, body in (bodies | {"upsample-conv": None, "stamp-row": None}).items():
        solved = cell_of(notebook(UPSAMPLING, {name: body} if body else None), name)
        cell_of(content, name)["source"] = solved["source"]
    hand_in(tmp_path / "course" / "submitted" / "half" / "lessons", (UPSAMPLING, content))
    nbgrader("autograde", "lessons")
    nbgrader("export", "--to", "grades.csv")
    with open(tmp_path / "course" / "grades.csv", encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["score"]) == graded[1]["half"].total == 9
    assert float(row["max_score"]) == points_of(UPSAMPLING)

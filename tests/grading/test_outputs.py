"""The table, and the pages of feedback."""

from __future__ import annotations

import csv
import re

from handing_in import N


def test_the_table(graded):
    folder, grades = graded
    with open(folder / "grades.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["student"] for row in rows] == [
        "'=tampered",
        *sorted(grades.keys() - {"=tampered"}),
    ]
    half = next(row for row in rows if row["student"] == "half")
    assert (half[f"{N}/upsample-forward"], half[f"{N}/upsample-backward"]) == ("0", "2")
    assert (half["total"], half["maximum"]) == ("9", f"{grades['half'].maximum:g}")
    assert f"{N}/upsample-forward: wrong" in half["remarks"].split("; ")


def test_the_page_of_feedback(graded):
    folder, grades = graded
    page = (folder / "pages" / "half.html").read_text(encoding="utf-8")
    assert f"9 of {grades['half'].maximum:g} points" in page
    assert "Wrong shape" in page
    hostile = (folder / "pages" / "hostile.html").read_text(encoding="utf-8")
    assert "<script" not in hostile
    assert "&lt;script&gt;alert(1)" in hostile
    assert not re.search(r"(src|href)=\"(?!#)|url\(|@import", page + hostile)

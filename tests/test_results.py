"""docs/results.md holds what is measured here, and every table the two rows to compare with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from n2n_lib import PHOTOGRAPHS, photographs
from n2n_lib.denoiser import linear
from n2n_lib.denoiser.evaluation import DO_NOTHING
from tools import linear_filter

DOCS = Path(__file__).resolve().parents[1] / "docs"
TEXT = (DOCS / "results.md").read_text(encoding="utf-8")


def parsed(table: str) -> list[list[str]]:
    """Return the cells of a Markdown table: the heading, then the rows."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    return [lines[0], *lines[2:]]


TABLES = [parsed(table) for table in re.findall(r"(?m)(?:^\|.*\n)+", TEXT) if "---:" in table]
"""Those with numbers."""


def cell(row: str, column: str) -> list[float]:
    """Look up the numbers of a cell, in the only table with this column."""
    (table,) = (table for table in TABLES if column in table[0])
    (found,) = (line for line in table if line[0] == row)
    return [float(number) for number in found[table[0].index(column)].split(" / ")]


def test_every_table_begins_with_the_two_rows():
    assert len(TABLES) == 5
    for _, *rows in TABLES:
        names = [row[0] for row in rows]
        assert names.index(DO_NOTHING) + 1 == names.index(linear.NAME)


def test_thumbnails():
    for row in linear_filter.thumbnails(linear_filter.THUMBNAILS_SEED):
        assert cell(row.name, "PSNR (dB)") == pytest.approx([row.psnr], abs=0.02)
        assert cell(row.name, "SSIM") == pytest.approx([row.ssim], abs=0.002)


@pytest.mark.parametrize("level", linear_filter.LEVELS)
def test_whole_photographs(level: float):
    for image, name, *measured in linear_filter.whole(photographs("validation"), level):
        decibels, ssim = cell(name, f"{image}, {level}")
        assert decibels == pytest.approx(float(measured[0]), abs=0.02)
        assert ssim == pytest.approx(float(measured[1]), abs=0.002)


def test_credits_name_every_photograph():
    credits = (DOCS / "credits.md").read_text(encoding="utf-8")
    for photo in PHOTOGRAPHS:
        title = f"{photo.title} (`{photo.name}`)"
        row = [title, photo.split, photo.package, photo.credit, photo.licence]
        assert f"| {' | '.join(row)} |" in credits

"""Take the code cells out of a notebook, as a fair reader would see them."""

from __future__ import annotations

import ast
import json
import re

from n2n_lib.course.check.hand_in import numbers_of
from n2n_lib.course.grading.handed_in.matching import LONGEST_CELL

INVISIBLE = re.compile("[\u200b\u200c\u200d\u2060\ufeff]")
"""Characters that come along from web pages, and that nobody sees."""


def code_cells(content: bytes) -> tuple[list[dict], list[str]]:
    """Take the code cells out of a notebook, without whatever else it holds.

    Returns
    -------
    list of dict
        Of each cell: ``id``, ``nbgrader``, ``source``, ``output``, ``numbers``.
    list of str
        Remarks.

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError, RecursionError
        If it is no notebook.
    """
    notebook, remarks = _json(content)
    if notebook.get("nbformat") == 3:
        cells = [cell for sheet in notebook["worksheets"] for cell in sheet["cells"]]
        if not cells:
            raise ValueError("no cells")
        remarks.append("a notebook of format 3, read like one of format 4")
    elif str(notebook.get("nbformat", 4)) == "4":
        cells = notebook["cells"]
    else:
        raise ValueError(f"format {notebook['nbformat']!r}")
    found: list[dict] = []
    lost = 0
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        source = cell.get("source", cell.get("input", ""))
        source = "".join(source) if _is_lines(source) else source
        if not isinstance(source, str):
            lost += 1
            continue
        metadata = cell.get("metadata")
        own = metadata.get("nbgrader") if isinstance(metadata, dict) else None
        found.append(
            {
                "id": cell.get("id"),
                "nbgrader": dict(own) if isinstance(own, dict) else {},
                "source": _readable(source),
                "output": _printed(cell),
                "numbers": numbers_of(cell),
            }
        )
    if lost:
        remarks.append(f"{lost} cells that are no text, not read")
    return found, remarks


def _printed(cell: dict) -> str:
    """Return the beginning of what a cell has printed, as far as it can be read."""
    try:
        texts = [each["text"] for each in cell["outputs"][:5] if each["output_type"] == "stream"]
        return "".join("".join(text)[:1000] for text in texts)
    except (KeyError, TypeError, AttributeError):
        return ""


def _is_lines(source: object) -> bool:
    return isinstance(source, list) and all(isinstance(line, str) for line in source)


def _json(content: bytes) -> tuple[dict, list[str]]:
    """Read JSON in whatever encoding an editor may have saved it."""
    try:
        return json.loads(content), []  # UTF-8, -16 or -32, with a mark in front or without
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
        return json.loads(text), ["not in UTF-8, read as text of Windows"]


def kind_of(content: bytes) -> str:
    """Name what is no notebook by its first bytes; empty if they tell nothing."""
    start = content[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not content.strip():
        return "an empty file"
    kinds = {b"<!doctype html": "HTML", b"<html": "HTML", b"pk\x03\x04": "a zip file",
             b"%pdf": "PDF"}  # fmt: skip
    return next((kind for begin, kind in kinds.items() if start.startswith(begin)), "")


def _readable(source: str) -> str:
    """Return code as its author sees it: any line end, spaces from web pages, tabs."""
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    source = INVISIBLE.sub("", source).replace("\xa0", " ")
    if "\t" in source and not _parses(source) and _parses(source.expandtabs(4)):
        return source.expandtabs(4)  # tabs and spaces mixed, as editors show them
    return source


def _parses(source: str) -> bool:
    if len(source) > LONGEST_CELL:
        return False
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True

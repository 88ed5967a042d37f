"""Small notebooks that tests write, and what they look for in any."""

from __future__ import annotations

import copy
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook


def write(path: Path, *cells: NotebookNode | str, **metadata) -> Path:
    """Write a notebook of code cells (strings) and ready-made cells; places are their ids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = [new_code_cell(c) if isinstance(c, str) else copy.deepcopy(c) for c in cells]
    for number, cell in enumerate(made):
        cell.id = f"cell-{number}"
    nbformat.write(new_notebook(cells=made, metadata=metadata), path)
    return path


def code_cells(lesson: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in lesson.cells if cell.cell_type == "code"]


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])

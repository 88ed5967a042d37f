"""The cell that installs the library where it is missing: Colab, Kaggle, a class server.

There a student opens one lesson by itself, and ``import n2n_lib`` fails. What to install is known
to the instructor alone, who says so when the edition is made (``n2n student --install-from``). The
dependencies keep the versions that the machine has, as long as they are new enough: Colab's own
PyTorch is not replaced.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from n2n_lib.course.lessons import NAMES

CELL = """\
from importlib.util import find_spec

if not find_spec("n2n_lib"):  # a machine without the library, such as Colab or Kaggle
    %pip install -q "{source}"
"""
"""It does and prints nothing where the library is there."""

ADDRESS = re.compile(r"(git\+)?(https|ssh|file)://[^\s\"'\\${}`]+")
"""What may stand in the cell; within quotes no shell takes any of it for something else."""

WHEEL = re.compile(r"n2n_lib-[\w.!+]+-[\w.]+-[\w.]+-[\w.]+\.whl")


def installing(contents: Mapping[str, bytes], source: str) -> dict[str, bytes]:
    """Return the lessons of an edition with the cell, and the wheel if there is one.

    Parameters
    ----------
    contents : mapping of str to bytes
        The files of an edition by name.
    source : str
        A wheel of the library, which is handed out beside the lessons, or an address that pip
        takes: ``https://...``, ``git+https://...``.

    Raises
    ------
    ValueError
        If `source` is neither.
    """
    found = _wheel(source)
    where = f"./{Path(source).name}" if found else source
    lessons = {
        name: _begin_with(nbformat.reads(content.decode(), as_version=4), where)
        for name, content in contents.items()
        if name.endswith(".ipynb") and NAMES.fullmatch(Path(name).stem)
    }
    return lessons | found


def _wheel(source: str) -> dict[str, bytes]:
    """Return a wheel by its name, nothing for an address."""
    path = Path(source)
    if ADDRESS.fullmatch(source):
        return {}
    if not (WHEEL.fullmatch(path.name) and path.is_file() and zipfile.is_zipfile(path)):
        raise ValueError(
            "expected a wheel n2n_lib-*.whl or an address (https://..., git+https://...) to "
            f"install from, got {source!r}"
        )
    return {path.name: path.read_bytes()}


def _begin_with(lesson: NotebookNode, where: str) -> bytes:
    """Put the cell before the first one with code, in place of one that is there already."""
    lesson.cells = [cell for cell in lesson.cells if cell.id != "install"]
    first = next(n for n, cell in enumerate(lesson.cells) if cell.cell_type == "code")
    cell = new_code_cell(CELL.format(source=where).rstrip(), id="install")
    cell.metadata.deletable = False
    lesson.cells.insert(first, cell)
    return (nbformat.writes(lesson).rstrip("\n") + "\n").encode()

"""Find who of a class has handed in what, however it was collected."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class HandedIn:
    """What one student has handed in.

    Attributes
    ----------
    name : str
        Of the student; no two of a class have the same.
    paths : tuple of Path
        Folders, zip files and notebooks.
    ids : dict of str to str
        What the names of the files say of the student, see `Grade`.
    """

    name: str
    paths: tuple[Path, ...]
    ids: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """A class.

    Attributes
    ----------
    students : list of HandedIn
        By their names.
    layout : str
        How it was collected, for people: ``a folder for each student``.
    unknown : list of str
        What belongs to no student.
    """

    students: list[HandedIn]
    layout: str = ""
    unknown: list[str] = field(default_factory=list)


def find_class(path: str | os.PathLike) -> Found:
    """Say who has handed in what.

    Parameters
    ----------
    path : path-like
        A folder that holds a folder or a zip file for each student, or that of one student: a zip
        file, or a folder with notebooks directly in it.

    Raises
    ------
    ValueError
        If there are none, or two for one student.
    """
    path = Path(path)
    if path.is_file() and path.suffix.lower() == ".zip":
        return Found([_handed_in(path)])
    if not path.is_dir():
        raise ValueError(f"expected a folder of submissions or a zip file, got {path}")
    visible = [entry for entry in sorted(path.iterdir()) if not entry.name.startswith((".", "__"))]
    if any(entry.suffix == ".ipynb" for entry in visible):
        return Found([_handed_in(path.resolve())])
    found = [e for e in visible if e.is_dir() or (e.suffix.lower() == ".zip" and e.is_file())]
    if not found:
        raise ValueError(f"expected a folder or zip file for each student in {path}, got none")
    names = [_handed_in(entry).name for entry in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"expected one submission of each student, got two of {twice!r} in {path}")
    return Found([_handed_in(entry) for entry in found])


def _handed_in(path: Path) -> HandedIn:
    zipped = path.suffix.lower() == ".zip" and path.is_file()
    return HandedIn(path.stem if zipped else path.name, (path,))

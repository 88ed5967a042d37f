"""Read what students handed in: folders or zip files with notebooks. Nothing is unpacked or run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from n2n_lib.course.grading.layouts import HandedIn
from n2n_lib.course.grading.tasks import source_of
from n2n_lib.course.grading.wire import plain

LARGEST = 16 * 2**20
"""Bytes of a notebook, at most; a lesson with all its pictures has 3 million."""

MOST = 10_000
"""Files in a submission, at most."""

LARGEST_ZIP = 64 * 2**20
"""Bytes of a zip file, at most."""

HIDDEN = re.compile(r"(^|/)(\.[^./]|__MACOSX/)")
"""Paths of copies that JupyterLab and macOS make by themselves."""


@dataclass
class Submission:
    """What a student handed in.

    Attributes
    ----------
    student : str
        Name of the folder, or of the zip file without its ending.
    notebooks : dict
        Of each lesson that is there: the code cells.
    remarks : list of str
        What could not be read, and why.
    digest : str
        Of all that counts, to see whether a submission has changed.
    ids : dict of str to str
        What the place where it was handed in says of the student, see `Grade`.
    """

    student: str
    notebooks: dict[str, list[dict]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    digest: str = ""
    ids: dict[str, str] = field(default_factory=dict)


def read_submission(student: HandedIn, lessons: Sequence[str]) -> Submission:
    """Read the notebooks of a student; what cannot be read becomes a remark.

    Parameters
    ----------
    student : HandedIn
        As `layouts.find_class` returns it.
    lessons : sequence of str
        Names ``NN_name`` of the lessons. A notebook belongs to the lesson whose name is in its own.
    """
    submission, digest = Submission(student.name, ids=student.ids), hashlib.sha256()
    try:
        with ExitStack() as stack:
            files: Files = {}
            for path in student.paths:
                files |= _files(path, stack, submission.remarks)
            for lesson in lessons:
                content = _content(files, lesson, submission.remarks)
                if content is not None:
                    digest.update(lesson.encode() + content)
                    _read_cells(submission, lesson, content)
    except Exception as error:  # so can its table of contents
        submission.remarks.append(f"cannot be read: {plain(str(error) or type(error).__name__)}")
    digest.update("\n".join(submission.remarks).encode())
    submission.digest = digest.hexdigest()
    return submission


Files = dict[str, Callable[[], BinaryIO]]
"""Of every notebook, by its path in the submission: how to open it."""


def _files(path: Path, stack: ExitStack, remarks: list[str]) -> Files:
    """Find the notebooks of a submission, but for those that are not what they seem."""
    files: Files = {}
    entries = _in_folder(path) if path.is_dir() else _in_zip(path, stack)
    for count, (name, trouble, opener) in enumerate(entries):
        if count >= MOST:
            raise ValueError(f"more than {MOST} files")
        if not name.lower().endswith(".ipynb") or HIDDEN.search(name):
            continue
        if trouble:
            remarks.append(f"{plain(name)}: {trouble}, not read")
        else:
            files[name] = opener
    return files


def _in_folder(path: Path) -> Iterator[tuple[str, str, Callable[[], BinaryIO]]]:
    """Yield path, what is wrong, and how to open it, of every file."""
    for folder, _, names in os.walk(path):  # follows no links
        for name in names:
            file = Path(folder, name)
            mode = file.lstat().st_mode
            trouble = "a link" if stat.S_ISLNK(mode) else "" if stat.S_ISREG(mode) else "no file"
            yield file.relative_to(path).as_posix(), trouble, partial(open, file, "rb")


def _in_zip(path: Path, stack: ExitStack) -> Iterator[tuple[str, str, Callable[[], BinaryIO]]]:
    """Do the same for a zip file; nothing of it is written anywhere."""
    if not path.is_file():  # to open a pipe would wait for ever
        raise ValueError("no file")
    if path.stat().st_size > LARGEST_ZIP:
        raise ValueError(f"more than {LARGEST_ZIP >> 20} MB")
    archive = stack.enter_context(zipfile.ZipFile(path))
    for entry in archive.infolist():
        outside = re.match(r"/|\w:", entry.filename) or ".." in re.split(r"[/\\]", entry.filename)
        link = stat.S_ISLNK(entry.external_attr >> 16)
        trouble = "a path out of the zip file" if outside else "a link" if link else ""
        yield entry.filename, trouble, partial(archive.open, entry)


def _content(files: Files, lesson: str, remarks: list[str]) -> bytes | None:
    """Return the bytes of a lesson's notebook; of several, the one with the very name counts."""
    names = {name: PurePosixPath(name) for name in files}
    found = [name for name, path in names.items() if lesson.lower() in path.stem.lower()]
    if not found:
        remarks.append(f"{lesson[:2]}: no notebook {lesson}.ipynb")
        return None
    found.sort(key=lambda name: (names[name].stem != lesson, len(names[name].parts), name))
    if len(found) > 1:
        remarks.append(f"{lesson[:2]}: {len(found)} notebooks, graded {plain(found[0])}")
    try:
        with files[found[0]]() as file:
            content = file.read(LARGEST + 1)
    except Exception as error:  # a broken or locked zip file can fail in many ways
        remarks.append(f"{lesson[:2]}: cannot be read: {plain(str(error))}")
        return None
    if len(content) > LARGEST:
        remarks.append(f"{lesson[:2]}: notebook of more than {LARGEST >> 20} MB, not read")
        return None
    return content


def _read_cells(submission: Submission, lesson: str, content: bytes) -> None:
    """Take the code cells out of a notebook, without whatever else it holds."""
    try:
        notebook = json.loads(content)
        if notebook["nbformat"] != 4:
            raise ValueError(f"format {notebook['nbformat']!r}")
        cells = []
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                source, own = source_of(cell), cell.get("metadata", {}).get("nbgrader", {})
                cells.append(
                    {
                        "id": cell.get("id"),
                        "nbgrader": dict(own),
                        "source": source,
                        "output": _printed(cell),
                    }
                )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        submission.remarks.append(
            f"{lesson[:2]}: expected a notebook of format 4, got {type(error).__name__}"
        )
    else:
        submission.notebooks[lesson] = cells


def _printed(cell: dict) -> str:
    """Return the beginning of what a cell has printed, as far as it can be read."""
    try:
        texts = [each["text"] for each in cell["outputs"][:5] if each["output_type"] == "stream"]
        return "".join("".join(text)[:1000] for text in texts)
    except (KeyError, TypeError, AttributeError):
        return ""

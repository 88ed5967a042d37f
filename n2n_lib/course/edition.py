"""The student edition: the lessons without their solutions, and its update over work in progress.

Nothing that a student has done is ever overwritten. A manifest in the folder, `EDITION`, holds a
fingerprint of each file as it was written. A file that still has this fingerprint is replaced by
its new version. One that has not is the student's: it stays, and the new version, if there is one,
is written beside it, ``04_convolution.new.ipynb`` beside ``04_convolution.ipynb``. Whoever wants a
lesson afresh renames or deletes the file.

Lessons get new numbers now and then. A notebook of an earlier order, `SUCCESSORS`, goes if nobody
has worked in it; if somebody has, it stays, and the answers in it are copied into the lessons that
took its place.

An edition can be made from an edition, too: whoever has it as a zip file and no clone unpacks a
newer one beside the folder that they work in, and updates that from there.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from n2n_lib.course import first_cell
from n2n_lib.course.lessons import EDITION, NAMES, SUCCESSORS, stem_of
from n2n_lib.course.marks import BEGIN, END, REGION
from n2n_lib.course.notebooks import (
    BESIDE_PACKAGE,
    INSTALLED,
    METADATA,
    PACKAGE,
    VIEW_STATE,
    find_lessons,
    normalise,
    read_lesson,
)
from n2n_lib.support import files

STUB = "raise NotImplementedError  # your code, in place of this line"
"""The line that stands where a student writes."""

EARLIER_STUB = "raise NotImplementedError(  # write your code in place of this"
"""How the lines began that stood there in earlier editions; a hint followed."""

BESIDE = ("README.md", "LICENSE", "constraints.txt", "environment.yml", "pyproject.toml")
"""What the library is installed with; README.md is that of the lessons where they have one."""

LIBRARY = "n2n_lib/__init__.py"
"""The file by which a folder is known to hold the library."""

COMMENT = b"n2n student edition"
"""What our zip files say of themselves; no other is ever replaced."""

PROGRESS = "progress"
"""The id of the cell that students' lessons end with."""

NEWER = re.compile(r"\.new\d*(?=\.\w+$)")
"""What marks a version that was written beside the student's own, see `_names`."""

LOOK = VIEW_STATE | {"jupyter", "vscode"}
"""Metadata of a cell that say how it is shown, which is no work."""


@dataclass
class Changes:
    """What a call of `make_edition` did, by the names of the files.

    Attributes
    ----------
    written
        New in the folder.
    updated
        Were as we had written them, and were replaced by a newer version.
    unchanged
        Are up to date.
    kept
        Are the student's by now, and were not touched.
    beside : dict of str to str
        Of files in `kept` that have a newer version: the file that holds it.
    removed
        Were as we had written them, and are no more: other lessons have taken their place, or the
        library has such a file no longer.
    succeeded : dict of str to list of str
        Of lessons of an earlier order with the student's work in them, which stay as they are:
        the files that have taken their place, and received their answers.
    """

    written: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    beside: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    succeeded: dict[str, list[str]] = field(default_factory=dict)


def make_edition(
    folder: str | os.PathLike,
    source: str | os.PathLike | None = None,
    *,
    library: bool = False,
    install_from: str | None = None,
) -> Changes:
    """Write the student edition of the lessons, or update one.

    Parameters
    ----------
    folder : path-like
        Where to; it is made if it does not exist. Files of other names in it are left alone.
    source : path-like, optional
        The folder of the instructor's lessons, or that of a student edition in which nobody has
        worked. Default: the lessons of a clone; without one, the edition that the current folder
        is, with the library in it; else see `notebooks.find_lessons`.
    library : bool
        Whether to write `n2n_lib` and what it is installed with, too, so that the folder can be
        handed out by itself. Both are looked for beside `source`, or in it if it is an edition;
        an installed package gives its own to lessons that have none beside them. A folder that got
        the library once gets it with every update.
    install_from : str, optional
        What the first cell of each lesson installs where the library is missing, see `first_cell`.

    Returns
    -------
    Changes

    Raises
    ------
    ValueError
        If there are no lessons, one of them cannot be read or holds an exercise that is not
        marked as it should be, or `folder` is that of the lessons or the one around it, is a
        file, cannot be written to, or has a manifest that cannot be read. Nothing has been
        written then.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"expected a folder for the student edition, got the file {folder}")
    place = _source(source, folder)
    around = () if (place / EDITION).is_file() else (place.resolve().parent,)
    if folder.resolve() in (place.resolve(), *around):
        raise ValueError(f"expected another folder than that of the lessons, got {folder}")
    manifest = _read_manifest(folder / EDITION)
    library = library or LIBRARY in manifest and _has_library(place)
    contents = _contents(place, library, install_from)
    files.make_writable(folder)
    changes = Changes()
    earlier = _earlier(folder, contents, manifest)
    for name, content in contents.items():
        _place(folder, name, content, manifest, changes)
        _write_manifest(folder / EDITION, manifest)  # after each: an interrupted update goes on
    for name in _obsolete(contents, manifest):
        _remove(folder, name, manifest, changes)
        _write_manifest(folder / EDITION, manifest)
    for name in earlier:
        _succeed(folder, name, contents, manifest, changes)
        _write_manifest(folder / EDITION, manifest)
    return changes


def pack_edition(
    path: str | os.PathLike,
    source: str | os.PathLike | None = None,
    *,
    install_from: str | None = None,
) -> Changes:
    """Write a zip file with a fresh student edition to hand out, the library included.

    Everything in it lies in one folder, which has the file's own name. The same lessons give the
    same bytes.

    Parameters
    ----------
    path : path-like
        The zip file. One that was written here before is replaced.
    source, install_from
        As of `make_edition`.

    Returns
    -------
    Changes
        With the names of all files in `written`.

    Raises
    ------
    ValueError
        As `make_edition`, or if there is a file at `path` that was not written here. Nothing has
        been written then.
    """
    path = Path(path)
    if os.path.lexists(path) and not _is_packed_edition(path):
        raise ValueError(f"expected the name of a new file or of an edition's, got {path}")
    contents = _contents(_source(source, path), True, install_from)
    manifest = {name: fingerprint(content, name) for name, content in contents.items()}
    packed = {**contents, EDITION: _manifest(manifest)}
    files.make_writable(path.parent)
    files.write_atomically(path, lambda file: _pack(file, path.stem, packed))
    return Changes(written=list(contents))


def _pack(file: BinaryIO, folder: str, contents: dict[str, bytes]) -> None:
    """Write a zip file in which no time and no order of a file system shows."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = COMMENT
        for name, content in sorted(contents.items()):
            member = zipfile.ZipInfo(f"{folder}/{name}")  # its time is that of the first zip files
            member.create_system = 3  # Unix, wherever it is made: then its rights count
            member.external_attr = 0o644 << 16
            archive.writestr(member, content, zipfile.ZIP_DEFLATED)


def _is_packed_edition(path: Path) -> bool:
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.comment == COMMENT
    except zipfile.BadZipFile:
        return False


# ---------------------------------------------------------------------- what it is made from


def _source(source: str | os.PathLike | None, target: Path) -> Path:
    """Return the folder of the lessons, those of an instructor or of a student edition."""
    if source is None and _may_be_source(Path()) and target.resolve() != Path().resolve():
        return Path()
    try:
        lessons = find_lessons(source)
    except ValueError:
        if source is None and any(NAMES.fullmatch(path.stem) for path in Path().glob("*.ipynb")):
            raise ValueError(
                f"expected to be called in a newer edition, got {Path.cwd()}: unpack the newer one "
                f"beside the one to update, with its file {EDITION}, and call this in there"
            ) from None
        raise
    if not lessons:
        raise ValueError(f"expected lessons NN_name.ipynb in {source or 'notebooks'}, found none")
    return lessons[0].parent


def _may_be_source(folder: Path) -> bool:
    """Whether a folder is an edition, and there are no other lessons that are meant rather."""
    if BESIDE_PACKAGE.is_dir() or not (folder / EDITION).is_file():
        return False
    return (folder / LIBRARY).is_file() or not INSTALLED.is_dir()


def _contents(source: Path, library: bool, install_from: str | None) -> dict[str, bytes]:
    """Return the files of an edition by their names in it."""
    if library and not _has_library(source):
        place = source if (source / EDITION).is_file() else source.resolve().parent
        raise ValueError(f"expected n2n_lib beside the lessons, found none in {place}")
    if (source / EDITION).is_file():
        contents = _reissued(source, library)
    else:
        contents = {path.name: _notebook(student_version(path)) for path in find_lessons(source)}
        contents |= _files_beside(source, library)
    if install_from is not None:
        contents |= first_cell.installing(contents, install_from)
    return contents


def _reissued(source: Path, library: bool) -> dict[str, bytes]:
    """Return the files of an edition as they were handed out; lessons may have been run."""
    contents = {}
    for name, given in _read_manifest(source / EDITION).items():
        path = source / name
        if not _is_inside(name):
            raise ValueError(f"{source / EDITION}: expected files in its folder, got {name}")
        if not path.is_file() or (_is_of_library(name) and not library):
            continue  # somebody hands out fewer lessons than there are
        if _present(path) != given:
            raise ValueError(
                f"{path}: expected a file as it was handed out, got one that somebody has changed; "
                "unpack the edition anew, and update from there"
            )
        lesson = name.endswith(".ipynb")
        contents[name] = _notebook(_unrun(path)) if lesson else path.read_bytes()
    return contents


def _is_inside(name: str) -> bool:
    """Whether a name in a manifest, which may come from anybody, stays in its folder.

    A drive or a slash at its front leads out of it on Windows, and so does each kind of slash.
    """
    path = PureWindowsPath(name)  # knows both slashes
    return ".." not in path.parts and not path.anchor


def _is_of_library(name: str) -> bool:
    return name.startswith("n2n_lib/") or name in set(BESIDE) - {"README.md"}


def _has_library(source: Path) -> bool:
    if (source / EDITION).is_file():
        return (source / LIBRARY).is_file()
    return (_around_lessons(source)[1] / "__init__.py").is_file()


def _unrun(path: Path) -> NotebookNode:
    """Return a student's lesson without what running and looking at it left behind."""
    lesson = read_lesson(path)  # without outputs
    normalise(lesson)
    lesson.cells = [c for c in lesson.cells if c.source.strip() or c.get("attachments")]
    return lesson


# ---------------------------------------------------------------------- the lessons


def student_version(path: str | os.PathLike) -> NotebookNode:
    """Return a lesson as students get it.

    Solutions are replaced by stubs that raise `NotImplementedError`. Outputs are gone, and so are
    cells with the tag ``instructor``. Checks cannot be edited, and neither they nor exercises be
    deleted. Both get the tag ``raises-exception``, so that "Run all cells" goes on past them. The
    last cell draws the student's progress.

    Raises
    ------
    ValueError
        If the notebook cannot be read, or a solution is not marked as it should be.
    """
    path = Path(path)
    lesson = read_lesson(path)  # without outputs
    lesson.metadata = nbformat.from_dict(METADATA)
    if any(cell.id == PROGRESS for cell in lesson.cells):
        raise ValueError(
            f"{path}: expected a lesson of the instructor's, got one of a student edition without "
            f"its file {EDITION}"
        )
    lesson.cells = [cell for cell in lesson.cells if "instructor" not in _tags(cell)]
    for cell in lesson.cells:
        if BEGIN in cell.source or END in cell.source:
            cell.source = _with_stub(path, cell)
        tags = set(_tags(cell)) & {"exercise", "check"}
        if tags:
            cell.metadata.tags = list(dict.fromkeys([*_tags(cell), "raises-exception"]))
            cell.metadata.deletable = False
        if "check" in tags:
            cell.metadata.editable = False
    lesson.cells += [
        new_markdown_cell("## Your progress", id="progress-title"),
        new_code_cell("from n2n_lib import check\n\ncheck.progress()", id=PROGRESS),
    ]
    nbformat.validate(lesson)
    return lesson


def _with_stub(path: Path, cell: NotebookNode) -> str:
    """Return the source of an exercise with a stub for its solution."""
    if "exercise" not in _tags(cell):
        raise ValueError(
            f"{path}, cell {cell.id}: expected a cell with a solution to be tagged exercise"
        )
    source = REGION.sub(lambda region: region[1] + STUB, cell.source)
    if BEGIN in source or END in source:
        raise ValueError(
            f"{path}, cell {cell.id}: expected every {BEGIN} to have its {END}, each on a line of "
            "its own"
        )
    return source


def _tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def _notebook(lesson: NotebookNode) -> bytes:
    return (nbformat.writes(lesson).rstrip("\n") + "\n").encode()


# ---------------------------------------------------------------------- what lies beside them


def _around_lessons(source: Path) -> tuple[Path, Path]:
    """Return the folder of the files `BESIDE`, and that of the library.

    Lessons of an installed package, and copies of them that have no library beside them, have both
    in that package.
    """
    around = source.resolve().parent
    if INSTALLED.is_dir() and not (around / LIBRARY).is_file():
        return INSTALLED.parent, PACKAGE
    return around, around / "n2n_lib"


def _files_beside(source: Path, library: bool) -> dict[str, bytes]:
    """Return the other files of the edition by their names in it."""
    root, package = _around_lessons(source)
    names = {name: root / name for name in BESIDE} if library else {}
    for path in sorted(package.rglob("*")) if library else ():
        if path.is_file() and path.suffix in (".py", ".pth"):
            names[path.relative_to(package.parent).as_posix()] = path
    if (source / "README.md").is_file():
        names["README.md"] = source / "README.md"
    return {name: path.read_bytes() for name, path in names.items() if path.is_file()}


# ---------------------------------------------------------------------- writing and updating


def fingerprint(content: bytes, name: str) -> str:
    """Return a hash of what counts as work in a file.

    Of a notebook these are its cells: their kind, source, attachments and metadata but for those
    of the view. Outputs, execution counts and metadata of the notebook do not count, nor do empty
    cells: JupyterLab adds one when the last cell is run. A notebook that cannot be read, and any
    other file, counts as its bytes.
    """
    if name.endswith(".ipynb"):
        try:
            content = json.dumps(_work(content), sort_keys=True).encode()
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            pass  # no notebook, whatever its name
    return hashlib.sha256(content).hexdigest()


def _work(content: bytes) -> list:
    return [
        [
            cell["cell_type"],
            "".join(cell["source"]),
            cell.get("attachments", {}),
            {key: value for key, value in cell["metadata"].items() if key not in LOOK},
        ]
        for cell in json.loads(content)["cells"]
        if "".join(cell["source"]).strip() or cell.get("attachments")
    ]


def _place(
    folder: Path, name: str, content: bytes, manifest: dict[str, str], changes: Changes
) -> None:
    """Write a file where it overwrites nothing of the student's, or not at all."""
    new = fingerprint(content, name)
    for candidate in _names(name):
        path, given, is_first = folder / candidate, manifest.get(candidate), candidate == name
        present = _present(path)
        if present is None and given == new and not is_first:
            return  # the student has thrown this version away
        if present in (None, given, new):
            if present != new:
                _write(path, content)
            manifest[candidate] = new
            if is_first:
                done = {None: changes.written, new: changes.unchanged}.get(present, changes.updated)
                done.append(name)
            else:
                changes.beside[name] = candidate
            return
        if is_first:
            changes.kept.append(name)
        if given == new:
            return  # the student works in this very version


def _obsolete(contents: dict[str, bytes], manifest: dict[str, str]) -> list[str]:
    """Return what the folder got as part of a library that has it no longer."""
    if LIBRARY not in contents:
        return []
    names = [name for name in manifest if name.startswith("n2n_lib/") and _is_inside(name)]
    return sorted(name for name in names if NEWER.sub("", name) not in contents)


def _remove(folder: Path, name: str, manifest: dict[str, str], changes: Changes) -> None:
    """Remove a file that nobody has changed; any other stays, and is the student's from now on."""
    given = manifest.pop(name)
    if _present(folder / name) == given:
        (folder / name).unlink()
        changes.removed.append(name)


def _earlier(folder: Path, contents: dict[str, bytes], manifest: dict[str, str]) -> list[str]:
    """Return the lessons of an earlier order that the folder got from us, latest versions first."""
    names = sorted(filter(_is_inside, set(manifest) - set(contents)), reverse=True)
    return [name for name in names if _stem(name) in SUCCESSORS and (folder / name).is_file()]


def _stem(name: str) -> str:
    """Return the name of a lesson without its ending: of ``a.ipynb``, and of ``a.new2.ipynb``."""
    return name.partition(".")[0]


def _succeed(
    folder: Path, name: str, contents: dict[str, bytes], manifest: dict[str, str], changes: Changes
) -> None:
    """Remove a lesson of an earlier order, or copy the student's answers into its successors."""
    given = manifest.pop(name)
    if _present(folder / name) == given:
        (folder / name).unlink()
        changes.removed.append(name)
        return
    successors = [f"{stem_of(topic)}.ipynb" for topic in SUCCESSORS[_stem(name)]]
    changes.succeeded[name] = [file for file in successors if file in contents]
    try:
        answers = _answers(json.loads((folder / name).read_bytes()))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return  # no notebook any more; whatever it is, it stays
    for file in changes.succeeded[name]:
        if _present(folder / file) == fingerprint(contents[file], file):  # nobody's work is in it
            lesson = nbformat.reads(contents[file].decode(), as_version=4)
            for cell in lesson.cells:
                if "exercise" in _tags(cell):
                    cell.source = answers.get(cell.id, cell.source)
            _write(folder / file, _notebook(lesson))


def _answers(notebook: dict) -> dict[str, str]:
    """Return the exercises that a student has written something into, by the id of their cell."""
    sources = {
        cell.get("id"): "".join(cell["source"])
        for cell in notebook["cells"]
        if "exercise" in cell["metadata"].get("tags", [])
    }
    stubs = (STUB, EARLIER_STUB)
    return {n: text for n, text in sources.items() if not any(stub in text for stub in stubs)}


def _present(path: Path) -> str | None:
    """Return the fingerprint of what lies at a path, None if that is nothing."""
    if path.is_file():
        return fingerprint(path.read_bytes(), path.name)
    return "no file" if os.path.lexists(path) else None


def _names(name: str) -> Iterator[str]:
    """Yield ``a.ipynb``, ``a.new.ipynb``, ``a.new2.ipynb`` ..."""
    yield name
    stem, dot, ending = name.rpartition(".")
    stem, ending = (stem, dot + ending) if dot else (ending, "")
    yield f"{stem}.new{ending}"
    yield from (f"{stem}.new{number}{ending}" for number in count(2))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_atomically(path, lambda file: file.write(content))


def _read_manifest(path: Path) -> dict[str, str]:
    """Return the fingerprint of each file as we wrote it last."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): str(value) for name, value in content["files"].items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (ValueError, TypeError, KeyError, AttributeError, OSError):
        raise ValueError(
            f"{path}: expected the manifest of a student edition, got a file that cannot be read; "
            "delete it, and every file that differs from the new edition counts as the student's"
        ) from None


def _write_manifest(path: Path, manifest: dict[str, str]) -> None:
    files.write_atomically(path, lambda file: file.write(_manifest(manifest)))


def _manifest(manifest: dict[str, str]) -> bytes:
    return (json.dumps({"files": manifest}, indent=1, sort_keys=True) + "\n").encode()

"""What a student has answered so far: two files beside the lessons of a student edition.

``progress.json`` says what was tried and what was right, ``mine.py`` holds the right answers. Both
are written under one lock. Elsewhere this kernel remembers as much.
"""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from n2n_lib.course.lessons import EDITION, NAMES
from n2n_lib.support.files import write_atomically

PROGRESS = "progress.json"

DAMAGED = "progress.damaged.json"
"""What could not be read is put aside under this name."""

MINE = "mine.py"
"""The student's right answers, see `mine_file`."""

BEFORE = "mine.before.py"
"""What ``mine.py`` was before an answer in it, changed by hand, was replaced."""

PATIENCE = 10.0  # seconds that another notebook may take to write its own entry

session: dict[str, Any] = {}
"""Outside a student edition: what this kernel has seen."""

memory: dict[str, str] = {MINE: ""}
"""Outside a student edition: the answers."""


def note(name: str, *, right: bool) -> None:
    """Add one answer to the record. What was right stays right, with the date of the first time.

    Parameters
    ----------
    name : str
        Name of the exercise.
    right : bool
        Whether the answer was.
    """
    with forgiving(), changing() as entries:
        _add(entries, name, right)


def retire(name: str) -> None:
    """Take an answer out of use until it is right again."""
    if mark := mark_of(read(), name):
        with forgiving(), changing() as entries:
            set_mark(entries, name, {**mark, "used": False})


def set_mark(entries: dict[str, Any], name: str, mark: dict[str, Any]) -> None:
    """Remember what is known of an answer in ``mine.py``, see `mark_of`."""
    entry = entries.get(name)
    entry = dict(entry) if isinstance(entry, dict) else {}
    if mark["used"]:
        entry.setdefault("right", date.today().isoformat())
    entries[name] = {**entry, "mine": mark}


def mark_of(entries: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what is known of an answer in ``mine.py``: its fingerprints, and if it is in use."""
    entry = entries.get(name)
    mark = entry.get("mine") if isinstance(entry, dict) else None
    return mark if isinstance(mark, dict) else {}


@contextmanager
def forgiving() -> Iterator[None]:
    """Let a record that cannot be written cost one line: it is no reason to stop a check."""
    try:
        yield
    except (OSError, Timeout) as error:
        print(f"{PROGRESS} could not be written, so this answer is not in it: {error}")


@contextmanager
def changing() -> Iterator[dict[str, Any]]:
    """Hand out the entries to be changed in a ``with`` block; at its end they are kept.

    Two notebooks may do so at once.

    Raises
    ------
    OSError, Timeout
        If that cannot be done.
    """
    folder = Path.cwd()
    if not (folder / EDITION).is_file():
        yield session
        return
    with FileLock(folder / f".{PROGRESS}.lock", timeout=PATIENCE):
        entries = _load(folder / PROGRESS)
        if entries is None:
            os.replace(folder / PROGRESS, folder / DAMAGED)
            entries = {}
        yield entries
        text = json.dumps(entries, indent=1) + "\n"
        write_atomically(folder / PROGRESS, lambda file: file.write(text.encode()))


def read() -> dict[str, Any]:
    """Return the entries by name of the exercise, none of a file that is missing or damaged."""
    folder = Path.cwd()
    if not (folder / EDITION).is_file():
        return dict(session)
    return _load(folder / PROGRESS) or {}


def mine_path() -> Path | None:
    """Return where the answers are kept, None outside of a student edition."""
    folder = Path.cwd()
    return folder / MINE if (folder / EDITION).is_file() else None


def read_mine() -> str:
    """Return the text of ``mine.py``, empty if there is none.

    Raises
    ------
    SyntaxError
        If it is not Python; the message says where.
    """
    path = mine_path()
    if path is None:
        return memory[MINE]
    try:
        text = path.read_text(encoding="utf-8")
        _require_python(text)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        raise SyntaxError(f"{MINE} is not Python in line {line}") from None
    return text


@lru_cache(maxsize=8)  # it is read more often than it changes
def _require_python(text: str) -> None:
    ast.parse(text)


def write_mine(text: str, *, keep: bool) -> None:
    """Write ``mine.py``; where `keep`, the old one is kept beside it."""
    path = mine_path()
    if path is None:
        memory[MINE] = text
        return
    if keep:
        os.replace(path, path.with_name(BEFORE))
        print(f"{MINE}: what you had changed there by hand is kept in {BEFORE}.")
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, lambda file: file.write(text.encode()))


def state(entry: Any) -> str:
    """Return what an entry, or None, says: ``"right"``, ``"tried"`` or ``"not tried"``."""
    if not isinstance(entry, dict):
        return "not tried"
    return "right" if entry.get("right") else "tried"


def lesson_titles() -> dict[str, str]:
    """Return the titles of the lessons in the working folder by topic.

    A title is the name of the file, with the number that the lesson has in this folder:
    ``{"convolution": "04 convolution"}``.
    """
    stems = (path.name.partition(".")[0] for path in Path.cwd().glob("*.ipynb"))
    names = filter(None, map(NAMES.fullmatch, sorted(stems, reverse=True)))
    return {name["topic"]: name[0].replace("_", " ") for name in names}


def _add(entries: dict[str, Any], name: str, right: bool) -> None:
    before = entries.get(name)
    entry = dict(before) if isinstance(before, dict) else {}
    tries = entry.get("tries")
    entry["tries"] = (tries if isinstance(tries, int) else 0) + 1
    if right and not entry.get("right"):
        entry["right"] = date.today().isoformat()
    if not right and (mark := mark_of(entries, name)):
        entry["mine"] = {**mark, "used": False}
    entries[name] = entry


def _load(path: Path) -> dict[str, Any] | None:
    """Return the entries of a file: none if there is no file, None if it is damaged."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError):
        return None
    return entries if isinstance(entries, dict) else None

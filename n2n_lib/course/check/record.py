"""What a student has answered so far: ``progress.json`` beside the lessons of a student edition."""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from n2n_lib.course.lessons import NAMES
from n2n_lib.support.files import write_atomically

EDITION = ".edition.json"
"""What ``n2n student`` writes beside its lessons; only where it lies is progress kept."""

PROGRESS = "progress.json"

DAMAGED = "progress.damaged.json"
"""What could not be read is put aside under this name."""

PATIENCE = 10.0  # seconds that another notebook may take to write its own entry

session: dict[str, Any] = {}
"""Outside a student edition: what this kernel has seen."""


def note(name: str, *, right: bool) -> None:
    """Add one answer to the record. What was right stays right, with the date of the first time.

    Two notebooks may do so at once. A record that cannot be written is no reason to stop a check:
    it costs one line.

    Parameters
    ----------
    name : str
        Name of the exercise.
    right : bool
        Whether the answer was.
    """
    folder = Path.cwd()
    if not (folder / EDITION).is_file():
        _add(session, name, right)
        return
    try:
        with FileLock(folder / f".{PROGRESS}.lock", timeout=PATIENCE):
            entries = _load(folder / PROGRESS)
            if entries is None:
                os.replace(folder / PROGRESS, folder / DAMAGED)
                entries = {}
            _add(entries, name, right)
            text = json.dumps(entries, indent=1) + "\n"
            write_atomically(folder / PROGRESS, lambda file: file.write(text.encode()))
    except (OSError, Timeout) as error:
        print(f"{PROGRESS} could not be written, so this answer is not in it: {error}")


def read() -> dict[str, Any]:
    """Return the entries by name of the exercise, none of a file that is missing or damaged."""
    folder = Path.cwd()
    if not (folder / EDITION).is_file():
        return dict(session)
    return _load(folder / PROGRESS) or {}


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

"""What the names of files and folders say, by which platforms let a class's work be downloaded."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Owner:
    """Whose a file or folder is.

    Attributes
    ----------
    platform : str
        Where it was downloaded.
    name : str
        Of the student, as far as it is told.
    ids : dict of str to str
        See `Grade`.
    file : str
        What the student called the file; empty for a folder.
    order : str
        As in `archives.Part`.
    """

    platform: str
    name: str
    ids: dict[str, str] = field(default_factory=dict)
    file: str = ""
    order: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What tells the student from all others."""
        numbers = [f"{kind} {value}" for kind, value in self.ids.items() if kind in NUMBERS]
        return ("", self.name) if not numbers else (self.platform, " ".join(numbers))


NUMBERS = ("canvas", "moodle", "anonymous", "brightspace", "blackboard", "sakai")
"""Ids that belong to one student alone."""


def owner_of(name: str, *, folder: bool) -> Owner | None:
    """Read the name of a file or folder; None if no platform makes such names.

    Parameters
    ----------
    name : str
        Without the folders above it.
    folder : bool
        Whether it is a folder.
    """
    if len(name) > 255:  # of which no system makes files
        return None
    for pattern, read in _PATTERNS:
        if match := pattern.fullmatch(name):
            owner = read(match)
            if folder or owner.file:
                return owner
    return None


def _canvas(match: re.Match) -> Owner:
    ids = {"canvas": match["id"], "name": match["who"]}
    attempt = re.search(r"-(\d+)\.\w+$", match["file"])  # Canvas counts what replaces another
    order = f"{int(attempt[1]):06}" if attempt and len(attempt[1]) < 6 else ""
    return Owner("Canvas", match["who"], ids | _late(match), match["file"], order)


def _anonymous(match: re.Match) -> Owner:
    return Owner(
        "Canvas", f"anon {match['id']}", {"anonymous": match["id"]} | _late(match), match["file"]
    )


def _late(match: re.Match) -> dict[str, str]:
    return {"late": "yes"} if match["late"] else {}


def _moodle(match: re.Match) -> Owner:
    name, file = match["who"].strip(), match["file"] or ""
    if match["kind"].lower() != "file":
        file = f"onlinetext {file}"
    return Owner("Moodle", name, {"moodle": match["id"], "name": name}, file)


def _blackboard(match: re.Match) -> Owner:
    user = match["who"]
    file = match["file"] or "attempt.txt"  # what Blackboard writes about the attempt itself
    return Owner("Blackboard", user, {"blackboard": user, "name": user}, file, match["time"])


def _brightspace(match: re.Match) -> Owner:
    name = match["who"].strip()
    ids = {"brightspace": match["id"], "name": name}
    return Owner("Brightspace", name, ids, match["file"] or "", _time(match["time"]))


def _time(text: str) -> str:
    """Return a time such as ``Nov 1, 2026 1000 AM`` so that later ones sort behind."""
    text = text.replace(":", "")
    text = re.sub(r"\b(\d{3})(?= [AP]M)", r"0\1", text)
    for form in ("%b %d, %Y %I%M %p", "%B %d, %Y %I%M %p", "%d %B, %Y %H%M", "%d %b, %Y %H%M"):
        try:
            return datetime.strptime(text, form).isoformat()
        except ValueError:
            continue
    return text


def _sakai(match: re.Match) -> Owner:
    name = f"{match['first'].strip()} {match['last'].strip()}"
    return Owner("Sakai", name, {"sakai": match["id"], "name": name})


def _exchange(match: re.Match) -> Owner:
    return Owner("nbgrader", match["who"], {"name": match["who"]}, order=match["time"])


def _github(match: re.Match) -> Owner:
    return Owner("GitHub Classroom", match["who"], {"github": match["who"]})


_PATTERNS: tuple[tuple[re.Pattern, Callable[[re.Match], Owner]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), read)
    for pattern, read in (
        # Anna Adams_4711_assignsubmission_file_/, Anna Adams_4711_assignsubmission_file_03.ipynb
        (
            r"(?P<who>.+?)_(?P<id>\d+)_assignsubmission_(?P<kind>file|onlinetext|comments)_?"
            r"(?P<file>.+)?",
            _moodle,
        ),
        # 12345-6789 - Anna Adams - Nov 1, 2026 1000 AM - 03.ipynb
        (
            r"(?P<id>\d+)-\d+ ?- (?P<who>.+?) ?- (?P<time>[^-]*\b\d{4}\b[^-]*?)"
            r"(?: - (?P<file>.+))?",
            _brightspace,
        ),
        # Lesson 3_adamsanna_attempt_2026-11-01-10-00-00_03.ipynb
        (
            r".+_(?P<who>[^_]+)_attempt_(?P<time>\d{4}(?:-\d\d){5})(?:_(?P<file>.+)|\.txt)",
            _blackboard,
        ),
        # anon_Ab3dE_9876_03.ipynb, anon_LATE_Ab3dE_9876_03.ipynb
        (
            r"anon(?P<late>_LATE)?_(?P<id>(?=\d*[a-z])[a-z\d]{5})(?:_LATE)?_\d{3,}_(?P<file>.+)",
            _anonymous,
        ),
        # adamsanna_123_9876_03.ipynb, adamsanna_LATE_123_9876_03-2.ipynb, adamsanna_123_text.html
        (
            r"(?P<who>[^/]+?)(?P<late>_LATE)?_(?P<id>\d+)_(?P<file>text\.html)",
            _canvas,
        ),
        (
            r"(?P<who>[^/]+?)(?P<late>_LATE)?_(?P<id>\d+)_\d{3,}_(?P<file>.+)",
            _canvas,
        ),
        # Adams, Anna(adamsanna)/
        (r"(?P<last>[^,()]+),\s*(?P<first>[^()]+)\((?P<id>[^()]+)\)", _sakai),
        # annaadams+lessons+2026-11-01 10:00:00.000000 UTC/
        (r"(?P<who>[^+]+)\+[^+]+\+(?P<time>\d{4}-\d\d-\d\d[^+]*)(?:\+.*)?", _exchange),
        # lesson-03-annaadams/
        (
            r"(?:lesson|lektion|exercise|homework|assignment|hw|week|lab)-?\d+-(?P<who>[^/\s]+)",
            _github,
        ),
    )
)
"""How names are built. Each describes whole names, the more special ones first."""

"""Read the list of a class, and find who of it handed in what."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from n2n_lib.course.grading.written.sheets import read_sheet, visible

_COLUMNS = {
    "id": "id|idnumber|idnummer|studentid|studentnumber|studentno|matriculationnumber"
    "|matriculation|matrikel|matrikelnummer|matrnr|number|personnumber",
    "email": "email|emailaddress|mail|mailaddress|emailadresse|adresseemail",
    "login": "login|username|userid|user|sislogin|sisloginid|loginid|benutzername|account",
    "sis": "sisuserid|sisid",
    "canvas": "canvasid|canvasuserid",
    "moodle": "identifier|participant|participantnumber",
    "section": "section",
    "name": "name|fullname|student|studentname|displayname|sortablename|vollstandigername",
    "first": "firstname|first|givenname|givennames|forename|vorname",
    "last": "lastname|last|surname|familyname|nachname|name2",
}
"""By kind: names of columns, in small letters without accents, spaces and signs."""

_KINDS = {name: kind for kind, names in _COLUMNS.items() for name in names.split("|")}

MOST_LISTED = 10
"""Names in a row; others are counted."""

IDENTITIES = ("canvas", "moodle", "sis", "login", "email", "id")
"""Ids that tell students apart, the surest first."""


@dataclass(frozen=True)
class Entry:
    """Somebody on the list.

    Attributes
    ----------
    name : str
        As it is written there, or the first of the ids if there is none.
    ids : dict of str to str
        All that is known, with the kinds of `Grade.ids`.
    """

    name: str
    ids: dict[str, str]


@dataclass
class Matched:
    """Who of a roster handed in.

    Attributes
    ----------
    entries : dict of str to Entry
        By the names of those who handed in.
    missing : list of Entry
        Who handed in nothing.
    strangers : list of str
        Who handed in, and is not on the roster.
    unsure : dict of str to list of Entry
        By the names of those who handed in: who of the roster they may be.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    missing: list[Entry] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    unsure: dict[str, list[Entry]] = field(default_factory=dict)


def read_roster(path: str | Path) -> list[Entry]:
    """Read a list of students: an export of Moodle or Canvas, or a table of one's own.

    Parameters
    ----------
    path : path-like
        A CSV file, see `sheets.read_sheet`. Columns are known by their names: an id, an e-mail
        address, a login, a name, or a first and a last name.

    Raises
    ------
    ValueError
        If no column says who somebody is, nobody is in it, or two have the same id.
    """
    sheet = read_sheet(path)
    kinds = _kinds(sheet.header)
    if not set(kinds.values()) - {"section"}:
        raise ValueError(
            f"expected columns such as id, email and name in {path}, got {sheet.names}"
        )
    entries, taken = [], set()
    for line, record in sheet.records():
        ids = {}
        for column, kind in kinds.items():
            if value := visible(record[column]):
                ids.setdefault(kind, value)
        if entry := _entry(ids):
            _check_new(entry, taken, path, line)
            entries.append(entry)
    if not entries:
        raise ValueError(f"expected students in {path}, got none")
    return entries


def match(students: Iterable[tuple[str, dict[str, str]]], roster: Sequence[Entry]) -> Matched:
    """Find on the roster those who handed in: by id, by an id in the name, by the name.

    Nobody is guessed: who may be two, or where two may be one, is in `Matched.unsure`.

    Parameters
    ----------
    students : iterable of (str, dict of str to str)
        Names and ids of those who handed in.
    roster : sequence of Entry
        All students.
    """
    result, waiting, free = Matched(), dict(students), list(roster)
    for way in (_by_id, _by_id_in_name, _by_name):
        fitting = way(free)
        found = {
            name: [e for e in fitting(name, ids) if not _contradicts(ids, e)]
            for name, ids in waiting.items()
        }
        claims = Counter(id(entry) for entries in found.values() for entry in entries)
        for name, entries in found.items():
            if len(entries) == 1 and claims[id(entries[0])] == 1:
                result.entries[name] = entries[0]
            elif entries:
                result.unsure[name] = entries
        taken = {id(entry) for entry in result.entries.values()}
        free = [entry for entry in free if id(entry) not in taken]
        known = result.entries.keys() | result.unsure.keys()
        waiting = {name: ids for name, ids in waiting.items() if name not in known}
    result.missing, result.strangers = free, list(waiting)
    return result


@dataclass
class Class:
    """All students: who handed in, and who is on the roster alone.

    Attributes
    ----------
    ids : dict of str to dict of str to str
        What is known of each, by the names that the table shows.
    missing : dict of str to list of str
        Who handed in nothing, and as whom they may have handed in after all.
    lines : list of str
        What an instructor should know.
    """

    ids: dict[str, dict[str, str]]
    missing: dict[str, list[str]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    @property
    def students(self) -> list[tuple[str, dict[str, str]]]:
        """Names and ids."""
        return list(self.ids.items())


def join(students: Iterable[tuple[str, dict[str, str]]], roster: Sequence[Entry] | None) -> Class:
    """Complete those who handed in by the roster.

    Who may have handed in under a name that fits several gets no ids, so that no gradebook is
    told of 0 points.
    """
    known = dict(students)
    if roster is None:
        return Class(known, lines=[f"{len(known)} handed in"])
    matched = match(known.items(), roster)
    result = Class({name: ids | _ids_of(matched, name) for name, ids in known.items()})
    for entry in matched.missing:
        perhaps = [name for name, entries in matched.unsure.items() if entry in entries]
        name = _unique(entry, result.ids)
        result.ids[name] = {"name": entry.name} if perhaps else entry.ids
        result.missing[name] = perhaps
    count = f"{len(known)} handed in, {len(matched.entries)} of the {len(roster)} on the roster"
    result.lines.append(f"{count}; {len(matched.missing)} of it handed in nothing")
    if matched.strangers:
        result.lines.append(f"not on the roster: {listed(matched.strangers)}")
    for name, entries in matched.unsure.items():
        names = " or ".join(entry.name for entry in entries)
        result.lines.append(f"not matched with the roster, may be {names}: {name}")
    return result


def listed(names: Sequence[str]) -> str:
    """Write names in a row, and count those beyond the first."""
    more = [f"and {len(names) - MOST_LISTED} more"] if len(names) > MOST_LISTED else []
    return ", ".join([*names[:MOST_LISTED], *more])


def _ids_of(matched: Matched, name: str) -> dict[str, str]:
    return matched.entries[name].ids if name in matched.entries else {}


def _unique(entry: Entry, taken: Iterable[str]) -> str:
    """Return a name for a row that no other has."""
    folded, name, count = {each.casefold() for each in taken}, entry.name, 1
    number = next((entry.ids[k] for k in ("id", "email", *IDENTITIES) if k in entry.ids), None)
    if name.casefold() in folded and number:
        name = f"{name} ({number})"
    unique = name
    while unique.casefold() in folded:
        count += 1
        unique = f"{name} ({count})"
    return unique


@cache
def name_keys(name: str) -> frozenset[str]:
    """Return all that a name may be written as, without spaces, case, accents and signs.

    Two names with a key in common are the same: ``Adams, Anna``, ``anna_adams``, ``adamsanna``.
    """
    keys = set()
    for text in {_without_accents(name), _without_accents(_transliterated(name))}:
        words = re.findall(r"\w+", text.replace("_", " ").replace("'", "").replace("’", ""))
        keys |= {"".join(words[turn:] + words[:turn]) for turn in range(len(words))}
    return frozenset(keys - {""})


def _kinds(header: Sequence[str]) -> dict[str, str]:
    """Return what each known column of a header holds."""
    kinds = {}
    for column in header:
        if kind := _KINDS.get(re.sub(r"[\W_]", "", _without_accents(column))):
            kinds.setdefault(column, kind)
    exported = {"Student", "ID", "Section"} <= kinds.keys() or "sis" in kinds.values()
    if exported and "ID" in kinds:  # by Canvas, whose own number of a user this is
        kinds["ID"] = "canvas"
    if "first" in kinds.values() and "last" not in kinds.values():  # "first name", "name"
        kinds = {c: "last" if kind == "name" else kind for c, kind in kinds.items()}
    return kinds


def _entry(ids: dict[str, str]) -> Entry | None:
    """Make an entry of what a row says; None for a row that is no student's."""
    ids = dict(ids)
    first, last = ids.pop("first", ""), ids.pop("last", "")
    name = ids.get("name") or f"{first} {last}".strip()
    if name.startswith("Points Possible") or name == "Student, Test":
        return None  # rows of Canvas
    if "moodle" in ids:
        participant = re.fullmatch(r"(?:[^\W\d]+\s+)?(\d+)", identifier := ids.pop("moodle"))
        ids.setdefault(
            "moodle" if participant else "id", participant[1] if participant else identifier
        )
    if name:
        ids["name"] = name
    known = [ids[kind] for kind in ("email", "login", "id", *IDENTITIES) if kind in ids]
    return Entry(name or known[0], ids) if name or known else None


def _identities(ids: dict[str, str]) -> list[tuple[str, str]]:
    """Return the ids that tell somebody apart, with their kinds, the surest first."""
    return [(kind, ids[kind].casefold()) for kind in IDENTITIES if ids.get(kind)]


def _check_new(entry: Entry, taken: set[tuple[str, str]], path: str | Path, line: int) -> None:
    for kind, value in _identities(entry.ids):
        if (kind, value) in taken:
            raise ValueError(f"expected one row of each {kind} in {path}, got two of {value!r}, "
                             f"the second on line {line}")  # fmt: skip
    taken.update(_identities(entry.ids))


def _contradicts(ids: dict[str, str], entry: Entry) -> bool:
    """Whether another id of the same kind says that this is somebody else."""
    both = [kind for kind in IDENTITIES if kind in ids and kind in entry.ids]
    return bool(both) and set(_identities(ids)).isdisjoint(_identities(entry.ids))


_Fitting = Callable[[str, dict[str, str]], list[Entry]]
"""Returns those of a roster who fit a name and ids: made by each of the ways to find them."""


def _by_id(roster: Sequence[Entry]) -> _Fitting:
    find = _index(roster, lambda entry: _identities(entry.ids))
    return lambda name, ids: find(_identities(ids))


def _by_id_in_name(roster: Sequence[Entry]) -> _Fitting:
    """Find those whose id, login or address stands in the name as a word of its own."""
    find = _index(roster, lambda entry: [_words(each)[0] for each in _own(entry)])
    return lambda name, ids: [
        entry for entry in find(_words(name)) if any(_holds(name, each) for each in _own(entry))
    ]


def _by_name(roster: Sequence[Entry]) -> _Fitting:
    find = _index(roster, lambda entry: name_keys(entry.ids.get("name", "")))
    return lambda name, ids: find(name_keys(_said(name, ids)))


def _index(
    roster: Sequence[Entry], keys: Callable[[Entry], Iterable[Hashable]]
) -> Callable[[Iterable[Hashable]], list[Entry]]:
    """Return what finds all entries that have one of some keys, in their order."""
    places: dict[Hashable, set[int]] = defaultdict(set)
    for place, entry in enumerate(roster):
        for key in keys(entry):
            places[key].add(place)

    def find(wanted: Iterable[Hashable]) -> list[Entry]:
        found = set().union(*(places.get(key, ()) for key in wanted))
        return [roster[place] for place in sorted(found)]

    return find


def _words(text: str) -> list[str]:
    """Return the words of a text, and an empty one last, so that there is a first."""
    return [*re.findall(r"[^\W_]+", text.casefold()), ""]


def _own(entry: Entry) -> list[str]:
    """Return what somebody may put into a name: id, login, address, and how this begins."""
    own = [entry.ids[kind] for kind in ("id", "login", "sis", "email") if kind in entry.ids]
    return own + [each.partition("@")[0] for each in own if "@" in each]


def _holds(name: str, identity: str) -> bool:
    if identity.casefold() not in name.casefold():
        return False
    if len(name) == len(identity):
        return True
    # A word such as "anna" or "12" could mean anything; a number with few digits could be a date.
    telling = len(identity) >= 4 and ("@" in identity or any(c.isdigit() for c in identity))
    word = rf"(?<![^\W_]){re.escape(identity)}(?![^\W_])"
    return telling and bool(re.search(word, name, re.IGNORECASE))


def _said(name: str, ids: dict[str, str]) -> str:
    """Return what somebody is called, as far as it is told."""
    return (ids.get("name") or re.sub(r"\s*\(\d+\)$", "", name)).partition("@")[0]


_LETTERS = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe"})
"""Letters that Unicode does not take apart."""


def _without_accents(text: str) -> str:
    text = text.casefold().translate(_LETTERS)
    split = unicodedata.normalize("NFKD", text)
    return "".join(c for c in split if not unicodedata.combining(c))


def _transliterated(text: str) -> str:
    """Write a name as people do who have no umlauts on their keyboard."""
    pairs = {"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"}
    text = unicodedata.normalize("NFC", text.casefold())
    return "".join(pairs.get(character, character) for character in text)

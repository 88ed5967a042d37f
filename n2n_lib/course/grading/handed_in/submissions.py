"""Read what students handed in: the notebooks of each lesson. Nothing is unpacked or run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from n2n_lib.course.grading.handed_in.archives import LARGEST, MOST, Entry, Files, Part
from n2n_lib.course.grading.handed_in.cells import code_cells, kind_of
from n2n_lib.course.grading.handed_in.layouts import HandedIn
from n2n_lib.course.grading.handed_in.matching import (
    NOTEBOOK,
    exercises_in,
    is_exact,
    is_renamed,
    lesson_in,
    written,
)
from n2n_lib.course.grading.tasks import Assignment, Task
from n2n_lib.course.grading.text import plain

MOST_READ = 100
"""Notebooks of a student that are read, at most."""

MOST_NAMED = 5
"""Other files that a remark names, at most."""

MOST_REMARKS = 100
"""Remarks about what was handed in, at most."""

Cells = list[dict]


@dataclass
class Submission:
    """What a student handed in.

    Attributes
    ----------
    student : str
        Name, see `HandedIn`.
    notebooks : dict
        Of each lesson that is there: the code cells.
    remarks : list of str
        What could not be read, and why; which of several notebooks was.
    digest : str
        Of all that counts, to see whether a submission has changed.
    ids : dict of str to str
        What the place where it was handed in says of the student, see `Grade`.
    """

    student: str
    notebooks: dict[str, Cells] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    digest: str = ""
    ids: dict[str, str] = field(default_factory=dict)


def read_submission(student: HandedIn, lessons: Sequence[Assignment | str]) -> Submission:
    """Read the notebooks of a student; what cannot be read becomes a remark.

    A notebook belongs to the lesson that its name tells, or else to that whose exercises are in
    it. Of several for a lesson one counts: not the untouched one; then that of the last attempt;
    then that with the most answers; then that with the very name, in the topmost folder; then the
    one changed last.

    Parameters
    ----------
    student : HandedIn
        As `layouts.find_class` returns it.
    lessons : sequence of Assignment or str
        What is asked. Of mere names ``NN_name`` no exercises are known, so only names tell.
    """
    reading = _Reading(student, lessons)
    try:
        with Files() as files:
            reading.read(files)
    except Exception as error:  # nothing that a student hands in stops the class
        reading.remark(f"cannot be read: {str(error) or type(error).__name__}")
    return reading.done()


@dataclass
class _Notebook:
    """A notebook that was read."""

    entry: Entry
    digest: bytes
    cells: Cells
    remarks: list[str]

    @property
    def name(self) -> str:
        return self.entry.name


class _Reading:
    """One student's submission while it is read."""

    def __init__(self, student: HandedIn, lessons: Sequence[Assignment | str]) -> None:
        self._student, self._submission = student, Submission(student.name, ids=student.ids)
        self._tasks: dict[str, tuple[Task, ...]] = {}
        for each in lessons:
            name, tasks = (each, ()) if isinstance(each, str) else (each.name, each.tasks)
            self._tasks[name] = tasks
        self._digest, self._read_count = hashlib.sha256(), 0
        self._known: dict[int, _Notebook | None] = {}
        for remark in student.remarks:
            self.remark(remark)

    def remark(self, text: str) -> None:
        if len(self._submission.remarks) < MOST_REMARKS:
            self._submission.remarks.append(plain(text))

    def done(self) -> Submission:
        self._digest.update(repr(sorted(self._submission.ids.items())).encode())
        self._digest.update("\n".join(self._submission.remarks).encode())
        self._submission.digest = self._digest.hexdigest()
        return self._submission

    def read(self, files: Files) -> None:
        named: dict[str | None, list[Entry]] = {}
        others: list[Entry] = []
        names = tuple(self._tasks)
        for entry in self._entries(files):
            if not NOTEBOOK.search(entry.name) and not is_renamed(entry.name, names):
                others.append(entry)
            elif entry.trouble:
                self.remark(f"{entry.name}: {entry.trouble}, not read")
            else:
                lesson, _ = lesson_in(entry.name.rpartition("/")[2], names)
                named.setdefault(lesson, []).append(entry)
        if files.more:
            self.remark(f"more than {MOST} files, the rest not read")
        self._say_broken(others)
        chosen = {lesson: self._of(lesson, named.get(lesson, [])) for lesson in names}
        self._fill(chosen, named)
        for lesson, notebook in chosen.items():
            if notebook is not None:
                self._take(lesson, notebook)
            elif named and not named.get(lesson):
                self.remark(f"{_label(lesson)}: no notebook {lesson}.ipynb")
        if not named and not self._submission.remarks:
            self.remark(f"no notebooks{f', only {files.litter}' if files.litter else ''}")
        self._say_others(others, chosen, named)

    def _entries(self, files: Files) -> list[Entry]:
        """List all files of the student; of several with one name all stay."""
        found: list[Entry] = []
        for path in self._student.paths:
            part = Part(path) if isinstance(path, Path) else path
            try:
                found += files.of(part)
            except Exception as error:  # a broken archive fails in many ways, and costs itself
                where = f"{part.path.name}: " if len(self._student.paths) > 1 else ""
                self.remark(f"{where}cannot be read: {str(error) or type(error).__name__}")
        return found

    def _open(self, entry: Entry, label: str = "") -> _Notebook | None:
        """Read a notebook, once; what is wrong with it becomes a remark."""
        if id(entry) not in self._known:
            self._known[id(entry)] = self._parse(entry, label or f"{entry.name}: ")
        return self._known[id(entry)]

    def _parse(self, entry: Entry, label: str) -> _Notebook | None:
        self._read_count += 1
        if self._read_count > MOST_READ:
            self.remark(f"{label}more than {MOST_READ} notebooks, not read")
            return None
        try:
            content = entry.read()
        except Exception as error:  # a broken or locked archive can fail in many ways
            text = str(error) or type(error).__name__
            large = text.startswith(f"more than {LARGEST >> 20} MB")
            self.remark(f"{label}notebook of {text}, not read" if large
                        else f"{label}cannot be read: {text}")  # fmt: skip
            return None
        try:
            return _Notebook(entry, hashlib.sha256(content).digest(), *code_cells(content))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self.remark(
                f"{label}expected a notebook of format 4, got "
                f"{kind_of(content) or type(error).__name__}"
            )
            return None

    def _of(self, lesson: str, entries: Sequence[Entry]) -> _Notebook | None:
        """Choose a lesson's notebook among those with its name."""
        label, several = f"{_label(lesson)}: ", len(entries) > 1
        found = [
            book
            for entry in entries
            if (book := self._open(entry, label + f"{entry.name}: " * several))
        ]
        if not found:
            return None
        best = max(found, key=lambda book: self._worth(lesson, book))
        if several:
            self.remark(f"{label}{len(entries)} notebooks, graded {best.name}")
        return best

    def _worth(self, lesson: str, book: _Notebook) -> tuple:
        """Return what is greater for the notebook that a fair reader would take."""
        work = sum(written(task, book.cells) for task in self._tasks[lesson])
        exact, near = is_exact(book.name, lesson), -book.name.count("/")
        time = 0 if exact else book.entry.time
        return work > 0, _attempt(book.entry), work, exact, time, near

    def _fill(
        self, chosen: dict[str, _Notebook | None], named: dict[str | None, list[Entry]]
    ) -> None:
        """Find lessons without a notebook among the others, by the exercises in these."""
        tasks = self._tasks
        taken: set[int] = set()
        for lesson, book in chosen.items():
            if book is not None and tasks[lesson] and not exercises_in(book.cells, tasks[lesson]):
                other = max(tasks, key=lambda each: exercises_in(book.cells, tasks[each]))
                if exercises_in(book.cells, tasks[other]):
                    self.remark(
                        f"{_label(lesson)}: {book.name} has the exercises of lesson {_label(other)}"
                    )
                    chosen[lesson] = None
        missing = [lesson for lesson, book in chosen.items() if book is None and tasks[lesson]]
        if not missing:
            return
        free = [entry for lesson, each in named.items() if lesson not in chosen for entry in each]
        free += [e for lesson in missing for e in named.get(lesson, ())]
        books = [book for entry in free if (book := self._open(entry))]
        books += [book for book in chosen.values() if book is not None]
        for lesson in missing:
            least = (len(tasks[lesson]) + 1) // 2
            fit = [book for book in books if exercises_in(book.cells, tasks[lesson]) >= least]
            fit = [book for book in fit if id(book) not in taken] or fit
            if fit:
                best = max(fit, key=lambda book: self._worth(lesson, book))
                self.remark(f"{_label(lesson)}: told by its exercises, graded {best.name}")
                chosen[lesson] = best
                taken.add(id(best))

    def _take(self, lesson: str, book: _Notebook) -> None:
        self._digest.update(lesson.encode() + book.digest)
        self._submission.notebooks[lesson] = book.cells
        for remark in book.remarks:
            self.remark(f"{_label(lesson)}: {remark}")

    def _say_broken(self, others: Sequence[Entry]) -> None:
        for entry in [entry for entry in others if entry.trouble][:MOST_NAMED]:
            self.remark(f"{entry.name}: {entry.trouble}, not read")

    def _say_others(
        self,
        others: Sequence[Entry],
        chosen: dict[str, _Notebook | None],
        named: dict[str | None, list[Entry]],
    ) -> None:
        """Say what lies there in place of notebooks that are missing."""
        missing = [lesson for lesson, book in chosen.items() if book is None]
        telling = [
            entry
            for entry in others
            if not entry.trouble
            and (len(missing) == len(chosen) or lesson_in(_base(entry), missing)[0] in missing)
        ]
        used = [book.entry for book in chosen.values() if book is not None]
        telling += [entry for entry in named.get(None, ()) if missing and entry not in used]
        if telling:
            names = ", ".join(_base(entry)[:40] for entry in telling[:MOST_NAMED])
            more = f" and {len(telling) - MOST_NAMED} more" if len(telling) > MOST_NAMED else ""
            expected = f"{missing[0]}.ipynb"
            self.remark(f"expected notebooks as {expected}, found {names}{more}")


def _label(lesson: str) -> str:
    return lesson[:2]


def _base(entry: Entry) -> str:
    return entry.name.rpartition("/")[2]


def _attempt(entry: Entry) -> tuple[str, int]:
    """Return what tells later attempts from earlier ones: Teams makes a folder for each."""
    versions = re.findall(r"(?:^|/)(?:Version|Attempt)[ _-]?(\d{1,6})(?=/)", entry.name, re.I)
    return entry.order, int(versions[-1]) if versions else 0

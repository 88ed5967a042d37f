"""Say which notebook is which lesson: by its name, the exercises in it, and the work in these."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from n2n_lib.course.grading.tasks import Task
from n2n_lib.course.lessons import TOPICS, stem_of

LONGEST_CELL = 100_000
"""Characters of a cell that is looked into, at most."""

COURSE = tuple(stem_of(topic) for topic in TOPICS)

NOTEBOOK = re.compile(r"\.ipynb(\.txt|\.json|\.download|_|[ _-]?\(\d+\))?$", re.IGNORECASE)
"""Names of notebooks; browsers and mail programs add endings."""

_COUNTED = r"lesson|lektion|leçon|lección|lecture|notebook|nb|exercise|ex|hw|homework|assignment|"
_COUNTED += r"übung|uebung|week|unit|lab|part"

_WORDS = re.compile(
    r"\.ipynb|\.txt$|\.json$|\.html?$|\.zip$|\(\d+\)|"
    r"\b(?:copy|kopie|copie|copia|kopia|duplicate)\d*(?: (?:of|von|de|di))?\b|"
    r"\b(?:final|finished|done|new|neu|fertig|solved?|solutions?|submission|abgabe|version|"
    rf"v?\d+|draft|late|corrected|updated?|edited|my|answers?|{_COUNTED})\b",
    re.IGNORECASE,
)
"""What is in names of notebooks besides lessons and people."""


def lesson_in(name: str, lessons: Sequence[str] = ()) -> tuple[str | None, str]:
    """Read the name of a notebook.

    Parameters
    ----------
    name : str
        Of the file, without folders.
    lessons : sequence of str
        Names ``NN_name`` of lessons beside those of the course, which they go before.

    Returns
    -------
    str or None
        The lesson; of a number and a topic that disagree the topic counts, for earlier editions
        had other numbers.
    str
        What else is in the name: who wrote it, perhaps.
    """
    name = name[:255]
    text = re.sub(r"\.ipynb|\.(txt|json|download|html?|py|pdf)$", " ", name, flags=re.IGNORECASE)
    for pattern, lesson in _topics(tuple(lessons)):
        if found := pattern.search(text):
            return lesson, _rest(text, found)
    labels = _labels(tuple(lessons))
    plain = re.sub(r"\(\d+\)", " ", text)
    word = re.search(rf"(?<![^\W\d_])(?:{_COUNTED}|l)[\W_]*0*(\d{{1,2}}|e\d)(?!\d)", plain, re.I)
    if word and (lesson := labels.get(word[1].upper().zfill(2))):
        return lesson, _rest(plain, word)
    alone = list(re.finditer(r"(?<![^\W_])(\d\d|e\d)(?![^\W_])", plain, re.IGNORECASE))
    alone = alone or list(re.finditer(r"^\W*(\d)\W*$", plain))
    if len(alone) == 1 or (alone and alone[0].start() == 0):
        if lesson := labels.get(alone[0][1].upper().zfill(2)):
            return lesson, _rest(plain, alone[0])
    return None, _rest(text, None)


def _rest(text: str, found: re.Match | None) -> str:
    if found:
        text = f"{text[: found.start()]} {text[found.end() :]}"
    words = _WORDS.sub(" ", re.sub(r"[_\s]+", " ", text))
    return re.sub(r"\s+", " ", words).strip(" -.,+()[]")


@lru_cache
def _topics(lessons: tuple[str, ...]) -> list[tuple[re.Pattern, str]]:
    """Return patterns for all lessons: their whole names first, then their topics with any number.

    Longer ones come first: ``convolution`` only after ``transposed_convolution``. A topic that
    several lessons have tells nothing.
    """
    stems = dict.fromkeys((*lessons, *COURSE))
    topics: dict[str, list[str]] = {}
    for stem in stems:
        topics.setdefault(stem.partition("_")[2].lower(), []).append(stem)
    any_label = rf"(?:(?:{_COUNTED})?[\W_]*(?:\d{{1,2}}|e\d)[\W_]*)?"
    found = []
    for stem in stems:
        label, _, topic = stem.partition("_")
        if topic:
            found.append((2, rf"(?<![^\W_]){re.escape(label)}[\W_]*{_spaced(topic)}", stem))
    for topic, owners in topics.items():
        own = [stem for stem in owners if stem in lessons] or owners
        if topic and len(own) == 1:
            pattern = rf"(?<![^\W_]){any_label}(?<![^\W\d_]){_spaced(topic)}"
            found.append((1, pattern, own[0]))
    found.sort(key=lambda each: (-each[0], -len(each[2])))
    return [
        (re.compile(rf"{pattern}(?![^\W\d_])", re.IGNORECASE), stem) for _, pattern, stem in found
    ]


def _spaced(topic: str) -> str:
    return r"[\W_]*".join(map(re.escape, filter(None, topic.split("_"))))


@lru_cache
def _labels(lessons: tuple[str, ...]) -> dict[str, str]:
    known: dict[str, str] = {}
    for stem in (*lessons, *COURSE):
        known.setdefault(stem.partition("_")[0].upper(), stem)
    return known


def is_exact(name: str, lesson: str) -> bool:
    """Whether a notebook has the very name of its lesson."""
    return name.rpartition("/")[2].lower() == f"{lesson}.ipynb".lower()


def is_renamed(name: str, lessons: Sequence[str]) -> bool:
    """Whether a file has the name of a lesson, with an ending that says only that it is text."""
    stem = re.sub(r"\.(json|txt)$", "", name.rpartition("/")[2], flags=re.IGNORECASE)
    return stem.lower() in [lesson.lower() for lesson in lessons]


def answers_to(task: Task, cells: Iterable[dict]) -> list[str]:
    """Return the sources of the cells for an exercise: by its id, or by what they define.

    Some programs, Colab among them, leave out the ids.
    """
    defines = re.compile(rf"^(?:def|class)\s+{re.escape(task.function)}\b", re.MULTILINE)
    return [
        cell["source"]
        for cell in cells
        if task.cell in (cell["id"], cell["nbgrader"].get("grade_id"))
        or defines.search(cell["source"])
    ]


def exercises_in(cells: Sequence[dict], tasks: Sequence[Task]) -> int:
    """Count the exercises that are among some cells."""
    return sum(bool(answers_to(task, cells)) for task in tasks)


def written(task: Task, cells: Iterable[dict]) -> int:
    """Return 0 for an exercise as it was handed out, 1 if it was begun, 2 if it was written."""
    own = answers_to(task, cells)
    if all(_skeleton(source) == _skeleton(task.stub) for source in own):
        return 0
    return 1 if all("NotImplementedError" in source for source in own) else 2


@lru_cache(maxsize=256)
def _skeleton(source: str) -> str:
    """Return code without what differs between editions: comments, docstrings, hints of stubs."""
    if len(source) > LONGEST_CELL:
        return source.strip()
    try:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise):
                node.exc = None
            if isinstance(getattr(node, "body", None), list):
                node.body = [each for each in node.body if not _is_text(each)]
        return ast.dump(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source.strip()


def _is_text(node: ast.AST) -> bool:
    value = getattr(node, "value", None)
    return isinstance(node, ast.Expr) and isinstance(value, ast.Constant)

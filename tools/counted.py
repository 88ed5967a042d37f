"""Count what a lesson lets its reader do, and how it reads.

``python -m tools.counted`` prints a line for each lesson: questions to recall, predictions that are
put beside their result, pictures to move, exercises, words, sentences, the share of sentences of
six words or fewer, symbols that its table explains twice, minutes. Minutes are estimated: 200 words
a minute, one minute for each code cell that is not folded away, 7 for an exercise, 2 for a question
with an answer; the line **Time:** of the lesson stands beside them.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from n2n_lib.course.notebooks import find_lessons

WORDS_A_MINUTE, CELL, EXERCISE, QUESTION = 200, 1, 7, 2
"""What the estimate of the time rests on: words, and minutes for each of the others."""

SHORT = 6
"""Words of a short sentence, at most."""

HEADER = ("recall", "predict", "move", "exercises", "words", "sentences", "short", "twice", "min")

_CODE = re.compile(r"(?s:```.*?```)|</?[a-z]+[^>\n]*>|`[^`\n]*`")
_MATHS = re.compile(r"\$\$.*?\$\$|\$[^$\n]*\$", re.DOTALL)
_ANSWERS = re.compile(r"<details>.*?</details>", re.DOTALL)


@dataclass(frozen=True)
class Counts:
    """The numbers of one lesson, or of several added up.

    Attributes
    ----------
    recall, predictions, moving, exercises : int
        Questions on earlier lessons; predictions that are put beside a result; pictures with a
        slider; exercises.
    words, sentences, short : int
        Of the text without code, formulas and tables; sentences of at most `SHORT` words.
    twice : tuple of str
        Symbols that the lesson's table explains more than once.
    minutes : float
        The estimate.
    said : str
        What the lesson says of its time.
    """

    recall: int
    predictions: int
    moving: int
    exercises: int
    words: int
    sentences: int
    short: int
    twice: tuple[str, ...]
    minutes: float
    said: str


def count(lesson: NotebookNode) -> Counts:
    """Count what is in a lesson."""
    texts = [cell.source for cell in lesson.cells if cell.cell_type == "markdown"]
    code = [cell for cell in lesson.cells if cell.cell_type == "code"]
    told = "\n\n".join(texts)
    sentences = [len(sentence.split()) for sentence in _sentences(told)]
    exercises = sum("check" in cell.metadata.get("tags", ()) for cell in code)
    questions = told.count("<summary>Answer</summary>")
    words = sum(sentences)
    seen = sum(not cell.metadata.get("jupyter", {}).get("source_hidden") for cell in code)
    time = re.search(r"\*\*Time:\*\* (.*?)[.;]", told)
    minutes = words / WORDS_A_MINUTE + CELL * seen + EXERCISE * exercises + QUESTION * questions
    return Counts(
        recall=_recalled(texts),
        predictions=sum("check.predicted(" in cell.source for cell in code),
        moving=sum(_moves(cell) for cell in code),
        exercises=exercises,
        words=words,
        sentences=len(sentences),
        short=sum(length <= SHORT for length in sentences),
        twice=_explained_twice(told),
        minutes=minutes,
        said=time.group(1) if time else "",
    )


def _sentences(told: str) -> list[str]:
    """Return the sentences of running text; a formula counts as one word."""
    told = _MATHS.sub(" x ", _CODE.sub(" x ", told))
    found = []
    for paragraph in re.split(r"\n\s*\n|\n(?=[-*] |\d+\. )", told):
        if paragraph.lstrip().startswith(("#", "|", "<")):
            continue
        plain = re.sub(r"[*_>]", "", paragraph)
        parts = re.split(r"(?<=[.!?])\s+(?=[A-Z(x])", " ".join(plain.split()))
        found += [part for part in parts if re.search(r"[a-zA-Z]{2}", part)]
    return found


def _recalled(texts: list[str]) -> int:
    """Count the numbered questions below the words that ask for three of them."""
    for text in texts:
        if re.match(r"(#+ |\*\*)Three questions", text):
            return len(re.findall(r"^\d\. ", _ANSWERS.sub("", text), re.MULTILINE))
    return 0


def _moves(cell: NotebookNode) -> bool:
    moving = ("plots.play(", "plots.before_after(", "_repr_mimebundle_")
    return any(call in cell.source for call in moving)


def _explained_twice(told: str) -> tuple[str, ...]:
    """Return the symbols that stand more than once in the first column of the table of symbols."""
    table = re.search(r"^\| *symbol.*?\n((?:\|.*\n?)+)", told, re.MULTILINE | re.IGNORECASE)
    if not table:
        return ()
    first = [row.split("|")[1] for row in table.group(1).splitlines()]
    symbols = Counter(symbol for cell in first for symbol in re.findall(r"\$([^$]+)\$", cell))
    return tuple(symbol for symbol, times in symbols.items() if times > 1)


def main(arguments: list[str] | None = None) -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.counted", description=__doc__)
    parser.add_argument("lessons", nargs="*", type=Path, help="default: all lessons")
    paths = parser.parse_args(arguments).lessons or find_lessons()
    print(f"{'':28}" + "".join(f"{name:>10}" for name in HEADER) + "  said")
    totals = Counter()
    for path in paths:
        counts = count(nbformat.read(path, as_version=4))
        _print(path.stem, counts)
        totals.update({k: v for k, v in vars(counts).items() if isinstance(v, int | float)})
    _print("all", Counts(**{"twice": (), "said": ""} | totals))
    return 0


def _print(name: str, counts: Counts) -> None:
    share = f"{counts.short / max(1, counts.sentences):.0%}"
    cells = (
        counts.recall,
        counts.predictions,
        counts.moving,
        counts.exercises,
        counts.words,
        counts.sentences,
        share,
        len(counts.twice),
        round(counts.minutes),
    )
    print(f"{name:28}" + "".join(f"{cell:>10}" for cell in cells) + f"  {counts.said}")


if __name__ == "__main__":
    sys.exit(main())

"""What ``mine.py`` looks like: a student's right answers in the order of the lessons.

The text is taken apart into blocks (`blocks`), an answer is put among them, and the whole is
written anew: imports first, then the lessons, each helper above the first answer that needs it.
What no answer needs is the student's own and stays, at the end.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import date
from functools import lru_cache
from itertools import pairwise

from n2n_lib.course.check.blocks import Block, reach, read, renamed
from n2n_lib.course.check.exercise import EXERCISES
from n2n_lib.course.lessons import TOPICS, label_of

LIBRARY = "# Of the course's library. Without it, all works that does not use these names."
OWN = "# My own additions"
HEADING = re.compile(rf"# Lesson \w\d: .*|{LIBRARY}|{OWN}")

WIDTH = 100

DOCSTRING = '''"""My own deep-learning framework, written in the course on Noise2Noise.

Begun on {today}. Every function and class below is my answer to an exercise
of a lesson and has passed its check; the next one is added when it is right. To use it:

    import mine

To run any network of the course on it: ``with use_kernels(check.mine()): ...``
"""'''


@lru_cache(maxsize=8)  # it is asked for again and again
def _read(text: str) -> tuple[Block, ...]:
    return tuple(read(text, is_heading=lambda line: HEADING.fullmatch(line) is not None))


def blocks_of(text: str) -> tuple[Block, ...]:
    """Take the file apart; its docstring is left out.

    Raises
    ------
    SyntaxError
        If it is not Python.
    """
    blocks = _read(text)
    return blocks[1:] if blocks and _is_docstring(blocks[0]) else blocks


def with_answer(text: str, name: str, needs: Sequence[Block]) -> str:
    """Return the text of the file with an answer in it.

    Parameters
    ----------
    text : str
        Of the file, empty if there is none.
    name : str
        Of the exercise, which the answer has too.
    needs : sequence of Block
        The answer and all that it needs.

    Raises
    ------
    SyntaxError
        If the text is not Python.
    Collision
        If two answers have different things of one name and none can get another.
    """
    present = _without(blocks_of(text), name)
    blocks = list(needs)
    for other in [bound for block in needs for bound in sorted(block.bound)]:
        rivals = [block for block in present if other in block.bound]
        ours = [block for block in blocks if other in block.bound]
        same = {block.plain for block in rivals} == {block.plain for block in ours}
        if other == name or (same if rivals else other not in EXERCISES):
            continue
        stand_ins = other in EXERCISES and all(block.stands_in for block in ours)
        if stand_ins or all(block.is_librarys(other) for block in [*ours, *rivals]):
            blocks = [block for block in blocks if not rivals or block not in ours]
            continue
        librarys = all(block.is_librarys(other) for block in ours)
        new = f"n2n_{other}" if librarys else f"{other}_of_{name}"
        blocks = [renamed(block, other, new) for block in blocks]
    known = {block.plain for block in present}
    return _write(_header(text), present + [b for b in blocks if b.plain not in known])


def _without(blocks: Sequence[Block], name: str) -> list[Block]:
    """Leave out an answer and what it alone needs."""
    old = reach(blocks, [name])
    mine = [block for block in old if name in block.bound | block.touched]
    others = [block for block in blocks if block not in mine]
    roots = [b for b in others if b not in old or b.bound & EXERCISES.keys()]
    kept = reach(others, set().union(*(block.bound | block.used for block in roots)))
    return [block for block in others if block in kept or block in roots]


def _is_docstring(block: Block) -> bool:
    first = block.statements[0] if block.statements else None
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )


def _header(text: str) -> str:
    """Return the docstring, as the student may have changed it."""
    blocks = _read(text)
    if blocks and _is_docstring(blocks[0]):
        return blocks[0].text
    return DOCSTRING.format(today=date.today().strftime("%d %B %Y").lstrip("0"))


# ---------------------------------------------------------------------- the text


def _write(header: str, blocks: Iterable[Block]) -> str:
    imports = [block for block in blocks if block.module is not None]
    rest = [block for block in blocks if block.module is None]
    sections: list[tuple[str, list[Block]]] = []
    placed: list[Block] = []
    bound = set().union(*(block.bound for block in rest))
    for topic in TOPICS:
        section: list[Block] = []
        for name in (name for name, each in EXERCISES.items() if each.topic == topic):
            if name in bound:
                needs = [block for block in reach(rest, [name]) if block not in placed]
                needs.sort(key=lambda block: name in block.bound)  # helpers first
                section += needs
                placed += needs
        sections.append((f"# Lesson {label_of(topic)}: {topic.replace('_', ' ')}", section))
    sections.append((OWN, [block for block in rest if block not in placed]))
    parts = [f"{title}\n\n{_spaced(section)}" for title, section in sections if section]
    return "\n\n".join([header, *_imports(imports), "\n\n\n".join(parts)]) + "\n"


def _spaced(blocks: list[Block]) -> str:
    """Join texts with two blank lines, but for one line after another."""
    text = blocks[0].text
    for before, block in pairwise(blocks):
        short = "\n" not in before.text + block.text
        text += ("\n" if short else "\n\n\n") + block.text
    return text


def _imports(blocks: list[Block]) -> list[str]:
    """Merge and sort imports: Python's own, others, and the course's in a section of their own."""
    groups: dict[int, set[str]] = {}
    for block in blocks:
        root = block.module.partition(".")[0]
        place = 3 if root == "n2n_lib" else 1 if root in sys.stdlib_module_names else 2
        groups.setdefault(0 if root == "__future__" else place, set()).add(block.plain)
    parts = []
    for place, texts in sorted(groups.items()):
        parts.append(_merged(texts))
        if place == 3:
            names = sorted({name for text in texts for name in Block(text).bound})
            without = [" = ".join([*names[i : i + 4], "object"]) for i in range(0, len(names), 4)]
            inside, instead = (
                textwrap.indent(t, "    ") for t in (parts.pop(), "\n".join(without))
            )
            parts.append(f"{LIBRARY}\ntry:\n{inside}\nexcept ImportError:\n{instead}")
    return parts


def _merged(texts: Iterable[str]) -> str:
    """Import all names of a module in one statement, but for those that get another name."""
    names: dict[str, list[str]] = {}
    lines = []
    for text in texts:
        module, _, name = text.removeprefix("from ").partition(" import ")
        if text.startswith("from ") and " as " not in name:
            names.setdefault(module, []).append(name)
        else:
            lines.append(text)
    for module, each in names.items():
        each.sort(key=_as_sorted)
        line = f"from {module} import {', '.join(each)}"
        if len(line) > WIDTH:
            line = f"from {module} import (\n    " + ",\n    ".join(each) + ",\n)"
        lines.append(line)
    lines.sort(key=lambda line: (line.startswith("from "), line.split()[1], " as " in line, line))
    return "\n".join(lines)


def _as_sorted(name: str) -> tuple[int, str]:
    """Sort CONSTANTS before Classes before functions, as import sorters do."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2), name

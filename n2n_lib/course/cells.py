"""Read the code cells of a notebook as IPython does: magics and questions become Python."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from functools import lru_cache

LARGEST = 100_000
"""Characters of a cell that is read; what people type is a hundredth of it."""

MOST_MAGICS = 50
"""Lines of a cell that only IPython understands; it reads the whole cell again for each."""

MAGIC = re.compile(r"(?m)^([ \t]*)[%!?].*$|^[ \t]*[\w.]+\?\??[ \t]*$")
"""A line that only IPython understands."""

TIMED = re.compile(r"(?m)^([ \t]*)%(?:time|prun)[ \t]+(?!-)(?=\S)")
"""What IPython measures, it runs as if it stood there alone."""

HERE = re.compile(r"%%(?:time|capture|prun)\b")
"""Magics whose cell is run in the namespace of the notebook; others hand it elsewhere."""


@dataclass(frozen=True)
class Cell:
    """A code cell.

    Attributes
    ----------
    text : str
        As Python, every line where it was.
    statements : tuple of ast.stmt
        None of a cell that Python cannot run.
    error : str
        Why it cannot, with the line; else empty.
    """

    text: str
    statements: tuple[ast.stmt, ...] = ()
    error: str = ""


@lru_cache(maxsize=1024)  # a notebook asks for its cells again and again
def read_cell(source: str) -> Cell:
    """Read a cell. No cell can raise: what cannot be read has an error and no statements.

    Parameters
    ----------
    source : str
        As the notebook holds it.
    """
    if len(source) > LARGEST:
        return Cell(source, error=f"it has more than {LARGEST} characters")
    cell = _parsed(source)
    for translated in (as_python, _without_magics):
        if cell.error:
            other = _parsed(translated(source))
            cell = cell if other.error else other
    return cell


def _without_magics(source: str) -> str:
    return MAGIC.sub(r"\1pass", source)


def as_python(source: str) -> str:
    """Return a cell as IPython hands it to Python, every line where it was."""
    from IPython.core.inputtransformer2 import TransformerManager  # most cells can do without

    above, body = _without_blank_lines(source)
    if body.startswith("%%"):
        first, _, rest = body.partition("\n")
        if not HERE.match(first):
            return ""
        more, body = _without_blank_lines(rest)
        above += "\n" + more
    body = TIMED.sub(r"\1", body)
    if len(MAGIC.findall(body)) > MOST_MAGICS:
        return above + _without_magics(body)
    try:
        return above + TransformerManager().transform_cell(body)
    except Exception:  # IPython leaves such a cell to Python, which says what is wrong
        return source


def _without_blank_lines(source: str) -> tuple[str, str]:
    """Return the blank lines at the beginning, which IPython takes away, and the rest."""
    return re.fullmatch(r"((?:[ \t]*\n)*)(.*)", source, re.DOTALL).groups()


def _parsed(text: str) -> Cell:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the student's strings
            tree = ast.parse(text)
            compile(text, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except SyntaxError as error:
        lines = text.splitlines()
        line = lines[error.lineno - 1].strip() if 0 < (error.lineno or 0) <= len(lines) else ""
        return Cell(text, error=f"line {error.lineno}: `{line[:60]}` is no Python: {error.msg}")
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:  # a null byte, ...
        return Cell(text, error=f"Python cannot read it: {type(error).__name__}")
    return Cell(text, tuple(tree.body))


def lines_of(text: str, statement: ast.stmt) -> tuple[int, str]:
    """Return the number of the first line of a statement, and its lines as they stand there.

    Decorators and the comments right above belong to it, other statements on its lines do not.
    """
    lines = text.split("\n")
    decorators = getattr(statement, "decorator_list", [])
    first = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
    start, end = lines[first - 1].encode(), lines[statement.end_lineno - 1].encode()
    before = b"" if decorators else start[: statement.col_offset]
    after = end[statement.end_col_offset :].strip().lstrip(b";").strip()
    if before.strip() or (after and not after.startswith(b"#")):
        return first, ast.get_source_segment(text, statement)
    last = first
    while first > 1 and lines[first - 2].startswith("#"):
        first -= 1
    return first, "\n".join(lines[first - 1 : last - 1] + lines[last - 1 : statement.end_lineno])

"""Read and write tables as spreadsheets do: CSV with any separator, in any common encoding."""

from __future__ import annotations

import csv
import io
import math
import re
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from n2n_lib.support.files import write_atomically

LARGEST = 16 * 2**20
"""Bytes of a table that is read, at most."""

_SEPARATORS = ",;\t"

_START = r"""((?:^|;)[\s"]*)"""

_SIGNS = r"[=+\-@＝＋－﹣﹢﹦＠﹫]"

_FORMULA = re.compile(rf"{_START}(?={_SIGNS})")
"""Where a spreadsheet that separates at ``,`` or at ``;`` could see the beginning of a formula."""


@dataclass(frozen=True)
class Sheet:
    """A table that was read.

    Attributes
    ----------
    path : Path
        The file.
    header : tuple of str
        Names of the columns, without spaces around them.
    rows : tuple of (int, tuple of str)
        Number of the line in which a row ends, and its cells, as many as the header has.
    """

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]

    @property
    def names(self) -> str:
        """The columns, for a message."""
        return textwrap.shorten(visible(", ".join(self.header)), 200, placeholder=" ...")

    def records(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield the line and the cells by column of each row; of equal columns the first counts."""
        for line, cells in self.rows:
            yield line, dict(reversed(list(zip(self.header, cells, strict=True))))


def read_sheet(path: str | Path) -> Sheet:
    """Read a CSV file.

    The separator is ``,``, ``;`` or a tab, the encoding UTF-8 or UTF-16 (with or without byte
    order mark) or cp1252, whatever fits. Empty rows are left out.

    Raises
    ------
    ValueError
        If the file cannot be read, is no text, has no header, or a row has too many cells.
    """
    path = Path(path)
    text = _decoded(path)
    first, _, rest = text.partition("\n")
    separator = ""
    if match := re.fullmatch(r"sep=(.)\s*", first.strip("\ufeff"), re.IGNORECASE):  # of Excel
        separator, text = match[1], rest
    lead = text.lstrip("\r\n").partition("\n")[0]
    separator = separator or max(_SEPARATORS, key=lambda each: len(_cells(lead, each)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((reader.line_num, tuple(cell.strip() for cell in cells)))
    except csv.Error as error:
        raise ValueError(
            f"expected a CSV file, got {path}: {error} on line {reader.line_num}"
        ) from None
    if not rows:
        raise ValueError(f"expected a CSV file with a first row of names, got {path}: empty")
    header = rows[0][1]
    while header and not header[-1]:
        header = header[:-1]
    return Sheet(path, header, tuple(_fitted(path, header, *row) for row in rows[1:]))


def write_sheet(
    path: str | Path, header: Sequence[str], rows: Sequence[Sequence[str]], *, mark: bool = True
) -> Path:
    """Write a CSV file, whole or not at all; every cell is quoted.

    Parameters
    ----------
    path : path-like
        The file.
    header, rows : sequences of str
        The cells; texts from outside go through `inert` first.
    mark : bool
        Whether the file begins with a byte order mark, by which Excel knows UTF-8.
    """
    content = sheet_bytes(header, rows, mark=mark)
    return write_atomically(path, lambda file: file.write(content))


def sheet_bytes(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, mark: bool = True
) -> bytes:
    """Return what `write_sheet` writes."""
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    return text.getvalue().encode("utf-8-sig" if mark else "utf-8", errors="replace")


@lru_cache(maxsize=10_000)
def inert(text: str) -> str:
    """Make a text visible in a table, and keep a spreadsheet from taking it for a formula."""
    return _FORMULA.sub(r"\1'", visible(text))


def plain(text: str) -> str:
    """Return the text of which `inert` made another."""
    return re.sub(rf"{_START}'(?={_SIGNS})", r"\1", text)


@lru_cache(maxsize=10_000)
def visible(text: str) -> str:
    """Write a text on one line, with what cannot be seen, or turns text around, as an escape."""
    return "".join(_visible(character) for character in text).strip()


def number(text: str) -> float:
    """Read a number, also one with a decimal comma or a typographic minus.

    Raises
    ------
    ValueError
        If it is none, or not finite.
    """
    plain = text.strip().lstrip("'").replace("\N{MINUS SIGN}", "-").replace(",", ".")
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", plain, re.ASCII) or not math.isfinite(
        value := float(plain)
    ):
        raise ValueError(f"expected a number, got {text!r}")
    return value


def shown(value: float) -> str:
    """Write points so that nobody sees how computers add: ``2.5``, ``-3``."""
    return f"{round(value, 4) + 0:.10g}"


def _visible(character: str) -> str:
    if character in "\t\n\v\f\r\x85\u2028\u2029":
        return " "
    kind = unicodedata.category(character)
    joins = character in "\u200c\u200d"  # stand in names of several languages
    if kind in ("Cc", "Cs", "Cn", "Co") or (kind == "Cf" and not joins):
        return character.encode("unicode_escape", "backslashreplace").decode("ascii")
    return character


def _decoded(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise ValueError(f"expected a CSV file, got {path}: {error.strerror}") from None
    if len(content) > LARGEST:
        raise ValueError(f"expected a CSV file of at most {LARGEST >> 20} MB, got {path}")
    if content.startswith(b"PK\x03\x04"):
        raise ValueError(f"expected a CSV file, got {path}: a spreadsheet, to be saved as CSV")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif content[1:2] == b"\0":
        encodings = ["utf-16-le"]
    elif content[:1] == b"\0":
        encodings = ["utf-16-be"]
    else:
        encodings = ["utf-8-sig", "cp1252", "latin-1"]
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text.replace("\r\n", "\n").replace("\r", "\n")
    raise ValueError(f"expected a CSV file, got {path}: not text")


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []


def _fitted(
    path: Path, header: Sequence[str], line: int, cells: tuple[str, ...]
) -> tuple[int, tuple[str, ...]]:
    """Give a row as many cells as the header has."""
    width = len(header)
    if any(cells[width:]):
        raise ValueError(
            f"expected rows of {width} cells in {path}, got {len(cells)} on line {line}"
        )
    return line, (*cells[:width], *[""] * (width - len(cells)))

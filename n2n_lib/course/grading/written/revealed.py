"""Text as HTML in which everything can be seen, so that what one reads is what was run."""

from __future__ import annotations

import unicodedata

from markupsafe import Markup, escape

_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
"""Characters that Unicode takes for letters, marks or symbols, and that nobody can see."""

_JOINS = frozenset("\u200c\u200d\ufe0f")
"""Stand in names of several languages, and in emoji."""


def reveal(text: str) -> Markup:
    """Return prose as HTML, with what cannot be seen or turns text around as escapes."""
    return _html(text, keep=_JOINS)


def reveal_code(source: str) -> list[Markup]:
    """Return the lines of some code as HTML, with whatever cannot be seen as escapes."""
    return [_html(line, keep=frozenset()) for line in source.removesuffix("\n").split("\n")]


def _html(text: str, keep: frozenset[str]) -> Markup:
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return escape(text)
    return Markup("").join(
        Markup("<mark>{}</mark>").format(_escape(character))
        if character not in keep and _is_hidden(character)
        else character  # escaped by join
        for character in text
    )


def _is_hidden(character: str) -> bool:
    if character in " \n\t":
        return False
    return (
        unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs")
        or character in _BLANK
        or "\ufe00" <= character <= "\ufe0f"
        or "\U000e0100" <= character <= "\U000e01ef"
    )


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")

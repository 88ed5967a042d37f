"""Texts from outside, fit to be shown."""

from __future__ import annotations

import textwrap


def plain(text: str) -> str:
    """Make a text from outside fit for a line of a table: short, on one line, printable."""
    short = textwrap.shorten(text[:1000], 100, placeholder=" ...")
    return "".join(c if c.isprintable() else "?" for c in short)

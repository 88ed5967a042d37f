"""Small words of the sentences that checks say."""

from __future__ import annotations

from collections.abc import Sequence


def listed(texts: Sequence[str]) -> str:
    """Join texts as in a sentence: “a”, “a and b”, “a, b and c”."""
    return " and ".join(filter(None, (", ".join(texts[:-1]), *texts[-1:])))


def with_article(word: str) -> str:
    """Put “a” or “an” before a word."""
    return f"{'an' if word[0] in 'aeiouAEIOU' else 'a'} {word}"

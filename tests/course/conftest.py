"""The order of the tests of checks."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests of one exercise follow each other.

    What its known wrong answers make of the cases is computed once then: it is kept for a few
    exercises at a time, see `n2n_lib.course.check.known`. Tests of none come first.
    """
    places = [n for n, item in enumerate(items) if item.path.name == "test_check.py"]
    names = {id(items[n]): _name_of(items[n]) for n in places}
    order = {name: number for number, name in enumerate(dict.fromkeys(["", *names.values()]))}
    ours = sorted((items[n] for n in places), key=lambda item: order[names[id(item)]])
    for n, item in zip(places, ours, strict=True):
        items[n] = item


def _name_of(item: pytest.Item) -> str:
    """Return the name of the exercise that a test is about, nothing if of none."""
    case = getattr(item, "callspec", None)
    return case.params.get("name", "") if case else ""

"""What the tests of the course share."""

from __future__ import annotations

from functools import cache

import pytest

from n2n_lib.course.check import known


@pytest.fixture(scope="session", autouse=True)
def all_mistakes_are_remembered():
    """Keep what known mistakes make of the cases: a class does one lesson, these tests all.

    Yields the function that keeps only some, as students have it.
    """
    some = known._known
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known, "_known", cache(some.__wrapped__))
        yield some

"""What an argument may be, and what is said about one that it may not be."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
import pytest

from n2n_lib.support.arguments import check_integer, check_number


@pytest.mark.parametrize("value", [True, 1.0, "1", None, np.float64(1), [1]])
def test_what_is_no_integer(value: object) -> None:
    message = f"expected count to be an integer, got {value!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        check_integer("count", value)


@pytest.mark.parametrize(
    "value, bounds, message",
    [
        (0, {"minimum": 1}, "expected count of at least 1, got 0"),
        (9, {"maximum": 8}, "expected count of at most 8, got 9"),
        (-1, {"minimum": 0, "maximum": 8}, "expected count from 0 to 8, got -1"),
        (9, {"minimum": 0, "maximum": 8}, "expected count from 0 to 8, got 9"),
    ],
)
def test_an_integer_out_of_bounds(value: int, bounds: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        check_integer("count", value, **bounds)


def test_an_integer_within_its_bounds() -> None:
    for value in (-(10**30), 0, 3):
        check_integer("count", value)
    for value in (0, 4, 8):
        check_integer("count", value, 0, 8)


@pytest.mark.parametrize("value", [True, np.True_, "1", None, 1j, [1.0]])
def test_what_is_no_number(value: object) -> None:
    message = f"expected share to be a number, got {value!r}"
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        check_number("share", value)


@pytest.mark.parametrize(
    "bounds, wrong, words",
    [
        ({}, [], "a finite share"),
        ({"minimum": 0}, [-0.1], "a finite share of at least 0"),
        ({"above": 0}, [0, -1], "a finite share > 0"),
        ({"maximum": 1}, [1.1], "share of at most 1"),
        ({"below": 1}, [1, 2.5], "share below 1"),
        ({"minimum": 0, "maximum": 1}, [-0.1, 1.1], "share from 0 to 1"),
        ({"minimum": 0, "below": 1}, [-0.1, 1], "share from 0 to below 1"),
        ({"above": 0, "maximum": 1}, [0, 1.1], "share from above 0 to 1"),
        ({"above": 0, "below": 1}, [0, 1], "share from above 0 to below 1"),
    ],
)
def test_a_number_out_of_bounds(bounds: dict, wrong: list, words: str) -> None:
    for value in [*wrong, math.nan, math.inf, -math.inf]:
        with pytest.raises(ValueError, match=f"^expected {words}, got {value}$"):
            check_number("share", value, **bounds)
    for value in (0.5, np.float32(0.5), Fraction(1, 2)):
        assert check_number("share", value, **bounds) == 0.5


def test_bounds_that_a_number_may_reach() -> None:
    assert check_number("share", 0, 0, 1) == 0 and check_number("share", 1.0, 0, 1) == 1


def test_numbers_come_back_as_pythons_own() -> None:
    assert type(check_number("lr", 2)) is int and type(check_number("lr", 2.0)) is float
    for number in (np.float32(2), np.float64(2), Fraction(2)):
        assert type(check_number("lr", number)) is float


def test_an_integer_that_no_float_holds() -> None:
    with pytest.raises(ValueError, match=f"^expected a finite lr > 0, got {10**400}$"):
        check_number("lr", 10**400, above=0)

"""Checks of arguments that many functions share."""

from __future__ import annotations

import math


def check_integer(name: str, value: int, minimum: int | None = None) -> None:
    """Raise unless an argument is an integer, and at least `minimum`.

    Parameters
    ----------
    name : str
        What the caller calls it; part of the message.
    value : int
        The argument. True and False are no integers here.
    minimum : int, optional
        Smallest allowed value.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is too small.

    Examples
    --------
    >>> check_integer("batch_size", 0, 1)
    Traceback (most recent call last):
    ValueError: expected batch_size of at least 1, got 0
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected {name} to be an integer, got {value!r}")
    if minimum is not None and value < minimum:
        raise ValueError(f"expected {name} of at least {minimum}, got {value}")


def check_number(name: str, value: float, above: float = -math.inf) -> None:
    """Raise unless an argument is a finite number, and larger than `above`.

    Parameters
    ----------
    name : str
        What the caller calls it; part of the message.
    value : float
        The argument. True and False are no numbers here.
    above : float
        What it must be larger than.

    Raises
    ------
    TypeError
        If it is not a number.
    ValueError
        If it is not finite, or too small.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"expected {name} to be a number, got {value!r}")
    if not above < value < math.inf:
        bound = "" if above == -math.inf else f" > {above:g}"
        raise ValueError(f"expected a finite {name}{bound}, got {value}")

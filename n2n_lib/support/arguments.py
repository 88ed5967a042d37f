"""Checks of arguments: one place for what is wrong with a number, and how that is said."""

from __future__ import annotations

import math
from numbers import Real


def check_integer(
    name: str, value: int, minimum: int | None = None, maximum: int | None = None
) -> None:
    """Raise unless an argument is an integer within its bounds, both of which it may reach.

    ``True`` and ``False`` are refused, though Python counts them among the integers: whoever
    passes one has mixed up two arguments.

    Parameters
    ----------
    name : str
        What the argument is called; the message names it.
    value : int
        The argument.
    minimum, maximum : int, optional
        Its bounds.

    Raises
    ------
    TypeError
        If it is not an integer.
    ValueError
        If it is out of bounds.

    Examples
    --------
    >>> check_integer("batch_size", 0, minimum=1)
    Traceback (most recent call last):
    ValueError: expected batch_size of at least 1, got 0
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected {name} to be an integer, got {value!r}")
    if not _within(value, minimum, maximum):
        raise ValueError(f"expected {name}{_describe(minimum, maximum)}, got {value}")


def check_number(
    name: str,
    value: float,
    minimum: float | None = None,
    maximum: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Return an argument as an ``int`` or ``float``; raise unless it is finite and in bounds.

    Parameters
    ----------
    name : str
        What the argument is called; the message names it.
    value : float
        The argument: an integer, a float or one of NumPy's; not a bool.
    minimum, maximum : float, optional
        Bounds that it may reach.
    above, below : float, optional
        Bounds that it may not reach, in place of `minimum` and `maximum`.

    Returns
    -------
    int or float
        The argument. NumPy's numbers become Python's, which a saved file may hold.

    Raises
    ------
    TypeError
        If it is not a number.
    ValueError
        If it is not finite or out of bounds.

    Examples
    --------
    >>> check_number("decay", 1.0, minimum=0, below=1)
    Traceback (most recent call last):
    ValueError: expected decay from 0 to below 1, got 1.0
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"expected {name} to be a number, got {value!r}")
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an integer that no float holds
        finite = False
    if not (finite and _within(value, minimum, maximum, above, below)):
        kind = "a finite " if maximum is None and below is None else ""
        bounds = _describe(minimum, maximum, above, below)
        raise ValueError(f"expected {kind}{name}{bounds}, got {value}")
    return int(value) if isinstance(value, int) else float(value)  # np.float64 is a float, too


def _within(value, minimum=None, maximum=None, above=None, below=None) -> bool:
    return (
        (minimum is None or value >= minimum)
        and (maximum is None or value <= maximum)
        and (above is None or value > above)
        and (below is None or value < below)
    )


def _describe(minimum=None, maximum=None, above=None, below=None) -> str:
    """Say in words where a number may lie, with a space before: `` of at least 1``."""
    low = minimum if above is None else above
    high = maximum if below is None else f"below {below}"
    if low is None:
        return "" if high is None else f" of at most {high}" if below is None else f" {high}"
    if high is None:
        return f" of at least {low}" if above is None else f" > {low}"
    return f" from {low} to {high}" if above is None else f" from above {low} to {high}"

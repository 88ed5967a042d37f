"""What a student predicted beside what it is."""

from __future__ import annotations

from collections.abc import Sequence

NONE_WRITTEN = "(No prediction was written down.)"

Guess = float | str | Sequence[str] | None


def predicted(guess: Guess, truth: float | str | Sequence[str], unit: str = "") -> None:
    """Print a prediction beside the result, and by how much it is off.

    Parameters
    ----------
    guess : number, str, list of str, or None
        What the student wrote down before; None where nothing was.
    truth : number, str or list of str
        The result: a number, one of some choices, or an order. A number is shown with the digits
        that it has: round it before.
    unit : str
        Of a number.

    Raises
    ------
    TypeError
        If the prediction is of another kind than the result.

    Examples
    --------
    >>> predicted(22, 24.98, "dB")
    You predicted 22 dB, and it is 24.98 dB: 2.98 dB too low.
    >>> predicted("b", "a")
    You predicted b, and it is a.
    >>> predicted(None, 24.98, "dB")
    It is 24.98 dB. (No prediction was written down.)
    """
    if guess is None or guess is Ellipsis:
        print(f"It is {_told(truth, unit)}. {NONE_WRITTEN}")
        return
    if _is_number(truth) != _is_number(guess):
        kind = "a number" if _is_number(truth) else f"such as {_told(truth)}"
        raise TypeError(f"expected a prediction that is {kind}, got {guess!r}")
    if not _is_number(truth):
        same = _told(guess).strip("().").casefold() == _told(truth).strip("().").casefold()
        print(
            f"You predicted {_told(guess)}, and {'so it is' if same else f'it is {_told(truth)}'}."
        )
        return
    off = float(guess) - float(truth)
    gap = _told(float(f"{abs(off):.4g}"), "" if unit.startswith("times") else unit)
    way = f"{gap} too {'high' if off > 0 else 'low'}"
    print(
        f"You predicted {_told(guess, unit)}, and it is {_told(truth, unit)}"
        + (f": {way}." if off else ", exactly.")
    )


def _is_number(value: object) -> bool:
    return not isinstance(value, str) and hasattr(value, "__float__")


def _told(value: object, unit: str = "") -> str:
    if _is_number(value):
        value = float(value)
        text = f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"
        return f"{text} {unit}".rstrip()
    return value if isinstance(value, str) else ", ".join(map(str, value))

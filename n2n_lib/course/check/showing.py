"""Show the numbers of a case: in a message in few, and whole where a student asks for it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Exercise, tensors_in
from n2n_lib.course.check.outcome import call

FEW = 12
"""Numbers of a tensor that a message shows."""

LONGEST = 260
"""Characters of what was given, in a message."""

DIGITS = 4
"""Of a number, unless two that differ would look the same."""


def size_of(case: Case) -> int:
    """Count the numbers that a case gives."""
    return sum(tensor.numel() for _, tensor in tensors_in(case.arguments))


def differing(exercise: Exercise, expected: Any, got: Any) -> tuple[str, str]:
    """Show two values that differ, with so many digits that it is seen.

    Of large tensors it is the first number that is wrong.
    """
    if not (isinstance(expected, Tensor) and isinstance(got, Tensor)):
        return apart(expected, got)
    if expected.shape != got.shape:
        return f"of shape {tuple(expected.shape)}", f"{tuple(got.shape)}"
    if exercise.close(expected, got):
        return f"of {expected.dtype}", f"{got.dtype}"
    if expected.numel() <= FEW:
        return _apart(expected.flatten().tolist(), got.flatten().tolist(), _shaped(expected.shape))
    where = tuple(exercise.wrong(expected, got).nonzero()[0].tolist())
    one, other = apart(expected[where].item(), got[where].item())
    return f"{one} at [{', '.join(map(str, where))}]", other


def apart(one: Any, other: Any) -> tuple[str, str]:
    """Write two numbers with the digits that tell them apart."""
    return _apart([one], [other], lambda texts: texts[0])


def _apart(ones: list, others: list, put: Callable[[list[str]], str]) -> tuple[str, str]:
    """Write two lists of numbers with the digits that tell them apart."""
    for digits in range(DIGITS, 18):
        texts = [[number(value, digits) for value in values] for values in (ones, others)]
        pairs = zip(ones, others, *texts, strict=True)
        if all(a == b or text != other for a, b, text, other in pairs):
            break
    return put(texts[0]), put(texts[1])


def number(value: Any, digits: int = DIGITS) -> str:
    """Write one number."""
    if isinstance(value, float):
        return f"{value + 0:.{digits}g}"
    return str(value)


def _shaped(shape: torch.Size) -> Callable[[list[str]], str]:
    """Return what puts so many numbers into brackets."""

    def put(texts: list[str]) -> str:
        parts = texts
        for size in reversed(shape):
            if size == 0:
                return "[]"
            parts = [f"[{', '.join(parts[at : at + size])}]" for at in range(0, len(parts), size)]
        return parts[0]

    return put


def in_full(case: Case) -> str:
    """Show the arguments of a case: small tensors whole, of large ones the shape."""
    few = {name: _argument(name, value, FEW) for name, value in case.arguments.items()}
    texts = [text for text in few.values() if text]
    if len(", ".join(texts)) > LONGEST:
        texts = [_argument(name, value, 0) for name, value in case.arguments.items()]
    return ", ".join(text for text in texts if text)


def _argument(name: str, value: Any, most: int) -> str:
    if isinstance(value, Tensor):
        if value.numel() > most:
            return f"{name} of shape {tuple(value.shape)}"
        return (
            f"{name} = {_shaped(value.shape)([number(each) for each in value.flatten().tolist()])}"
        )
    if isinstance(value, (int, float)):
        return f"{name} = {number(value)}"
    if isinstance(value, str):
        return f"{name} = {value!r}"
    if isinstance(value, (tuple, list)):
        if all(isinstance(each, (int, float)) for each in value):
            return f"{name} = {value}"
        return f"{name}, a {type(value).__name__} of {len(value)}"
    return f"{name}, a {type(value).__name__}"


class CaseShown:
    """A case of a check, to look at and to work with; what `check.case` returns.

    Attributes
    ----------
    name : str
        What is special about it.
    arguments : dict
        What is given, by the names in the docstring; a copy.
    expected : tuple
        What should come out.
    """

    def __init__(self, exercise: Exercise, index: int) -> None:
        self._exercise, self._case = exercise, exercise.cases[index]
        self.name = self._case.name
        self.arguments = copy.deepcopy(self._case.arguments)
        self.expected = exercise.expected[index]

    def got(self, answer: Callable[..., Any]) -> tuple:
        """Return what an answer makes of it, in the order of `expected`; it may raise."""
        with torch.no_grad():
            outcome = call(self._exercise, self._case, self._exercise.calls(answer), watch=False)
        if outcome.error is not None:
            raise outcome.error
        return outcome.got

    def __repr__(self) -> str:
        lines = [f"{self._exercise.name}, the case “{self.name}”"]
        for name, value in self.arguments.items():
            lines.append(f"{name}: {_whole(value)}")
        for place, value in enumerate(self.expected):
            name = self._exercise.name_of(place, len(self.expected))
            lines.append(f"expected {name}: {_whole(value)}")
        return "\n".join(lines)


def _whole(value: Any) -> str:
    if isinstance(value, Tensor):
        shown = value.detach().float() if value.is_floating_point() else value
        lines = repr(shown).removeprefix("tensor(").removesuffix(")").splitlines()
        indent = " " * len("tensor(")
        text = "\n".join("    " + line.removeprefix(indent) for line in lines)
        return f"shape {tuple(value.shape)}, {str(value.dtype).removeprefix('torch.')}\n{text}"
    if isinstance(value, (tuple, list)) and any(True for _ in tensors_in(value)):
        return f"{type(value).__name__} of {len(value)}\n" + "\n".join(
            f"    {label or 'value'}: {_whole(tensor)}" for label, tensor in tensors_in(value)
        )
    return repr(value)


def show_case(exercise: Exercise, which: int | str) -> CaseShown:
    """Find a case of an exercise by its number or its name.

    Raises
    ------
    ValueError
        If there is no such case.
    """
    names = [each.name for each in exercise.cases]
    index = names.index(which) if which in names else which
    if not isinstance(index, int) or not 0 <= index < len(names):
        listed = ", ".join(f"{number} “{each}”" for number, each in enumerate(names))
        raise ValueError(f"expected a case of {exercise.name}: {listed}; got {which!r}")
    return CaseShown(exercise, index)

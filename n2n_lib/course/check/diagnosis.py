"""Say in words what is wrong with a student's answer.

The first explanation that fits is given: a known mistake, then an exception, a wrong type, shape or
dtype, a factor, another order of the numbers, and at last where they are wrong.
"""

from __future__ import annotations

import itertools
import math
import textwrap
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import n2n_lib
from n2n_lib.course.check.exercise import Case, Exercise
from n2n_lib.course.check.known import known_mistake
from n2n_lib.course.check.outcome import Outcome
from n2n_lib.course.check.table import WIDTH, cut, describe

ERRORS = (
    (
        "Boolean value of Tensor",
        "`if` wants one truth value, and a tensor has many: use torch.where, or multiply by the "
        "mask.",
    ),
    ("must be Tensor, not", "That function is for tensors: numbers have `math`, as in math.sqrt."),
    ("converted to Python scalars", "`math` is for one number: tensors have torch.exp and so on."),
    ("NoneType", "A value is None that should not be: does a step before return nothing?"),
)
"""What PyTorch and Python say, and what it means, for every exercise."""

_ARGUMENTS = (
    "Count the arguments: the first of a method is `self`, which Python passes by itself; the "
    "others are those of the docstring."
)

CLASS_ERRORS = (
    ("takes no arguments", "Is there an `__init__`, with two underscores on either side?"),
    ("required positional argument", _ARGUMENTS),
    ("positional argument but", _ARGUMENTS),
    ("positional arguments but", _ARGUMENTS),
    ("does not define", "The class has no such method: look at its name and its indentation."),
    (
        "NameError",
        "If this is an argument of another method, that one has to keep it, `self.name = name`, "
        "to be read as `self.name`.",
    ),
)
"""What Python says of a class, and what it means."""

UNSET = (
    "It is read before it is set: `__init__` keeps its arguments, `self.name = name`, and "
    "`forward` what `backward` needs."
)
UNDEFINED = "The class has nothing of this name: look at its spelling and its indentation."
"""Of an attribute that is missing: the class itself asks for it, or the check."""

_ORDER = (
    "holds the right numbers in another order: look at view, reshape and the order of dimensions "
    "before them."
)


class Diagnosis:
    """What a student's answer made of every case, and why it is not right."""

    def __init__(self, exercise: Exercise, outcomes: list[Outcome]) -> None:
        self.exercise, self.outcomes = exercise, outcomes
        self.wrong = [outcome for outcome in outcomes if not outcome.right]

    def explain(self) -> str:
        """Return the first explanation that fits, in one or two sentences."""
        changed = next((outcome.changed[0] for outcome in self.outcomes if outcome.changed), None)
        if known := known_mistake(self.exercise, self.outcomes, effects=True):
            return known
        if not self.wrong:
            return self._diagnose_changed(changed)
        known = known_mistake(self.exercise, self.outcomes)
        known = known or known_mistake(self.exercise, self.outcomes, everywhere=False)
        if known:
            return f"{known} It also changed its input: {changed}." if changed else known
        text = (
            self._diagnose_error()
            or self._diagnose_type()
            or self._diagnose_shape()
            or self._diagnose_dtype()
            or self._diagnose_not_finite()
            or self._diagnose_factor()
            or self._diagnose_order()
            or self._diagnose_place()
            or self._diagnose_sign()
            or self._diagnose_cases()
        )
        return f"{text} It also changed its input, {changed}: mend that first." if changed else text

    def _diagnose_changed(self, what: str) -> str:
        """Explain right numbers at the price of the input."""
        message = f"The numbers are right, but your {self.exercise.kind} changed its input: {what} "
        if what.startswith("the list"):
            return message + (
                "is not as it was. Whoever gave it to you still needs it: go through it without "
                "writing into it."
            )
        if self.exercise.in_place:
            return message + f"is not as it was. Write into the {self._judged('and')} alone."
        return message + (
            "is not as it was. Work in a new tensor or a clone(), without `*=`, `[...] =` or "
            "methods that end in an underscore, or put the old values back."
        )

    def _diagnose_error(self) -> str | None:
        """Say which case, with which arguments, raised what."""
        first = next((outcome for outcome in self.outcomes if outcome.error is not None), None)
        if first is None:
            return None
        text = (str(first.error).strip().splitlines() or [""])[0]
        error = type(first.error).__name__ + (f": {textwrap.shorten(text, 160)}" if text else "")
        message = f"The case “{first.case.name}” with {_arguments(first.case)} raised {error}"
        message = message.rstrip(".") + "."
        if line := _line(first.error, self.exercise):
            message += f" The line is `{line}`."
        if right := [outcome.case.name for outcome in self.outcomes if outcome.right]:
            message += f" It is right on {_list(right)}."
        of_classes = ()
        if self.exercise.kind == "class":
            missing = f"'{self.exercise.name}' object has no attribute"
            of_classes = ((missing, UNSET if line else UNDEFINED), *CLASS_ERRORS)
        for part, sentence in (*self.exercise.errors, *of_classes, *ERRORS):
            if part in f"{type(first.error).__name__}: {first.error}":
                return f"{message} {sentence}"
        return message

    def _diagnose_type(self) -> str | None:
        """Explain None, a wrong number of values, and a wrong type."""
        asked = ", ".join(self.exercise.returns)
        for outcome in self.wrong:
            case = "" if outcome is self.wrong[0] else f" in the case “{outcome.case.name}”"
            if outcome.returned is None and not self.exercise.in_place and not self.exercise.use:
                return (
                    f"Your function returned nothing (None){case}. Does it end in `return {asked}`?"
                )
            if len(outcome.got) != len(outcome.expected):
                end = "" if self.exercise.use else f" End with `return {asked}`."
                return (
                    f"Expected {len(self.exercise.returns)} values, {asked}, got "
                    f"{describe(outcome.returned)}{case}.{end}"
                )
            for index, expected, got in outcome.wrong_values("wrong type"):
                kind = _kind(expected)
                if got is None:
                    method = "method" if self.exercise.kind == "class" else "function"
                    return (
                        f"{_upper(self._which(index))} is nothing (None){case}. Does the {method} "
                        "that computes it end in a `return`?"
                    )
                message = (
                    f"Wrong type: {self._which(index)} should be {_article(kind)}, got "
                    f"{_article(_kind(got))}{case}."
                )
                if kind == "int" and isinstance(got, float):
                    return message + " Divide with `//`, which rounds down, instead of `/`."
                if kind != "tensor" and isinstance(got, Tensor):
                    return message + " Turn it into a Python number with `.item()`, or use `math`."
                return message
        return None

    def _diagnose_shape(self) -> str | None:
        """Explain a wrong shape."""
        for outcome in self.outcomes:
            for index, expected, got in outcome.wrong_values("wrong shape"):
                message = (
                    f"Wrong shape: in the case “{outcome.case.name}” {self._which(index)} should "
                    f"be {tuple(expected.shape)}, got {tuple(got.shape)}."
                )
                right = [other.case.name for other in self.outcomes if other.right]
                tail = f" It is right on {_list(right)}: what is different here?" if right else ""
                return message + (self._explain_shape(expected, got) or tail)
        return None

    def _explain_shape(self, expected: Tensor, got: Tensor) -> str | None:
        """Tell what would turn one shape into the other."""
        if order := self._permutation(expected, got):
            if got.dim() == 2:
                return " It is transposed: the numbers are right, rows and columns are swapped."
            return f" The numbers are right, the dimensions are transposed: try permute{order}."
        if got.dim() == 0:
            return " It is a single number: one sum or mean too many."
        if got.shape == expected.shape[1:] and self.exercise.axes[:1] == ("image",):
            return (
                " The batch is missing, the first dimension: does a sum, a mean or an index take "
                "it away? Every image has a result of its own."
            )
        if got.dim() == expected.dim() + 1 and got.shape[1:] == expected.shape:
            if self.exercise.axes[:1] != ("image",) and self.exercise.close(expected, got.sum(0)):
                return " It has one result for each image: sum over the batch, the first dimension."
            return " It has one dimension too many in front."
        if got.numel() == expected.numel():
            if not self.exercise.close(expected.flatten(), got.flatten()):
                return (
                    " The number of values is right; the dimensions are not where they should be."
                )
            if got.dim() == expected.dim():
                return " The numbers are right, but the sizes are not: compute them again."
            return " The numbers are right; only the shape is missing, so end with a reshape."
        if got.dim() == expected.dim():
            short = [d for d in range(got.dim()) if got.shape[d] == expected.shape[d] - 1]
            others = [d for d in range(got.dim()) if got.shape[d] != expected.shape[d]]
            if short == others:
                missing = " and ".join(f"one {self._axis(d)}" for d in short)
                return f" That is {missing} too few: is a + 1 missing, or a loop one short?"
        return None

    def _axis(self, dim: int) -> str:
        axes = self.exercise.axes
        return axes[dim] if dim < len(axes) else f"place along dimension {dim}"

    def _diagnose_dtype(self) -> str | None:
        for outcome in self.wrong:
            for _, expected, got in outcome.wrong_values("wrong dtype", "wrong numbers"):
                if got.dtype == expected.dtype:
                    continue
                if not torch.allclose(got.float(), expected.float(), rtol=1e-5, atol=1e-6):
                    continue
                return (
                    f"The numbers are right, but the dtype should be {expected.dtype}, that of the "
                    f"input, got {got.dtype}. Make new tensors with `torch.zeros_like(...)` or "
                    "`dtype=x.dtype`."
                )
        return None

    def _diagnose_not_finite(self) -> str | None:
        for outcome in self.wrong:
            for _, expected, got in outcome.wrong_values("not finite"):
                kind = "not a number (nan)" if got.isnan().any() else "infinite"
                where = tuple((~got.isfinite()).nonzero()[0].tolist())
                there = "".join(
                    f", the first where {name} is {value[where].item():.4g}"
                    for name, value in outcome.case.arguments.items()
                    if self.exercise.elementwise and value.shape == expected.shape
                )
                return (
                    f"Some results are {kind} in the case “{outcome.case.name}”{there}. Look for "
                    "an exp of a large number, a division by zero, or a tensor from torch.empty "
                    "never filled."
                )
        return None

    def _diagnose_factor(self) -> str | None:
        """Explain a sign or a factor, the same in every case or one of the sizes of the case."""
        found: dict[str, list[tuple[Case, float]]] = {}
        for outcome in self.wrong:
            for index, expected, got in outcome.wrong_values():
                factor = self._factor(expected, got)
                if factor is None:
                    return None
                found.setdefault(self._which(index), []).append((outcome.case, factor))
        texts = [_explain_factor(factors) for factors in found.values()]
        if None in texts or not texts:
            return None
        return " ".join(f"{_upper(which)} {text}" for which, text in zip(found, texts, strict=True))

    def _factor(self, expected: Any, got: Any) -> float | None:
        """Return the number f with ``got = f expected``, or None."""
        if isinstance(expected, int):  # of small whole numbers any quotient may be chance
            return None
        if not isinstance(expected, Tensor):
            return got / expected if expected else None
        if not got.is_floating_point() or not got.isfinite().all():
            return None
        a, b = expected.double(), got.double()
        square = (a * a).sum().item()
        if square == 0:
            return None
        factor = (a * b).sum().item() / square
        return factor if self.exercise.close(b.to(expected.dtype), a * factor) else None

    def _diagnose_order(self) -> str | None:
        """Explain the right numbers in the wrong places."""
        explained: list[str] = []
        for outcome in self.wrong:
            for index, expected, got in outcome.wrong_values():
                text = isinstance(expected, Tensor) and self._explain_order(expected, got)
                if not text:
                    return None
                explained.append(f"{_upper(self._which(index))} {text}")
        if len(set(explained)) == 1:
            return explained[0]
        return f"{_upper(self._which(index))} {_ORDER}"

    def _explain_order(self, expected: Tensor, got: Tensor) -> str | None:
        if order := self._permutation(expected, got):
            if got.dim() == 2:
                return "is transposed: rows and columns are swapped."
            return f"has its dimensions transposed: try permute{order}."
        last = tuple(range(max(0, expected.dim() - 2), expected.dim()))
        for dims in [last, *((d,) for d in last)]:
            if self.exercise.close(expected, got.flip(dims)):
                which = _list(dims)
                return f"is flipped: the numbers are right, but dimension {which} runs backwards."
        if self.exercise.close(expected.flatten().sort().values, got.flatten().sort().values):
            return _ORDER
        return None

    def _permutation(self, expected: Tensor, got: Tensor) -> tuple[int, ...] | None:
        """Return the order of dimensions that makes `got` right, if there is one."""
        if expected.dim() != got.dim() or not 2 <= got.dim() <= 5:
            return None
        for order in itertools.permutations(range(got.dim())):
            moved = got.permute(order)
            if order != tuple(range(got.dim())) and moved.shape == expected.shape:
                if self.exercise.close(expected, moved):
                    return order
        return None

    def _diagnose_place(self) -> str | None:
        """Explain numbers that are wrong only at the beginning or only at the end."""
        masks: dict[str, list[Tensor]] = {}
        for outcome in self.wrong:
            for index, expected, got in outcome.wrong_values():
                if not isinstance(expected, Tensor):
                    return None
                mask = self.exercise.wrong(expected, got)
                masks.setdefault(self._which(index), []).append(mask)
        (which, found), *more = masks.items()
        if more or self.exercise.in_place:
            return None
        flat = [mask.flatten() for mask in found]
        views = [("value", flat)]
        for dim in range(min(mask.dim() for mask in found)):
            views.append((self._axis(dim), [mask.movedim(dim, 0) for mask in found]))
        for axis, view in views:
            if max(map(len, view)) > 1:
                message = f"of {which} is wrong: does a loop or a slice"
                if not any(mask[:-1].any() for mask in view):
                    return f"Only the last {axis} {message} end too early?"
                if not any(mask[1:].any() for mask in view):
                    return f"Only the first {axis} {message} start too late?"
        return None

    def _diagnose_sign(self) -> str | None:
        """Explain numbers that are wrong only where an argument is zero, negative or positive."""
        tests = {"zero": lambda a: a == 0, "negative": lambda a: a < 0, "positive": lambda a: a > 0}
        for name, (kind, test) in itertools.product(
            self.exercise.cases[0].arguments, tests.items()
        ):
            for outcome in self.wrong:
                argument = outcome.case.arguments[name]
                _, expected, got = next(outcome.wrong_values())
                if not isinstance(argument, Tensor) or argument.shape != expected.shape:
                    break
                if (self.exercise.wrong(expected, got) & ~test(argument)).any():
                    break
            else:
                return f"It is wrong only where {name} is {kind}: look at what should happen there."
        return None

    def _diagnose_cases(self) -> str:
        """Say which cases are right and which are wrong."""
        right = [outcome.case.name for outcome in self.outcomes if outcome.right]
        always_right = [
            name
            for index, name in enumerate(self.exercise.returns)
            if len(self.exercise.returns) > 1
            and all(outcome.verdicts[index] == "right" for outcome in self.outcomes)
        ]
        also = f" ({' and '.join(always_right)} is right.)" if always_right else ""
        if len(right) >= len(self.wrong):
            names = _list([outcome.case.name for outcome in self.wrong])
            return f"It is wrong on {names} only: look at what is special there.{also}"
        first = self.wrong[0].case
        by_hand = f"“{first.name}”, with {_arguments(first)}, by hand and compare one value."
        if right:
            return f"It is right on {_list(right)} only. Work {by_hand}{also}"
        return f"The numbers differ in every case.{also} Work the first, {by_hand}"

    def _which(self, index: int) -> str:
        if self.exercise.in_place:
            return f"the {self._judged('or')}"
        return self.exercise.returns[index] if len(self.exercise.returns) > 1 else "the result"

    def _judged(self, word: str) -> str:
        """Name what a function that works in place changes: “parameter and the velocity”."""
        return f" {word} the ".join(self.exercise.returns)


def _line(error: Exception, exercise: Exercise) -> str:
    """Return the line of the student's code that raised, if Python can read it.

    What stands for an answer in another process gives its exceptions a `student_line`.
    """
    if hasattr(error, "student_line"):
        return cut(error.student_line, WIDTH)
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is that of `call`
    if exercise.use:  # leads to the student's code, perhaps through the library's
        above = (exercise.use.__code__.co_filename, str(Path(n2n_lib.__file__).parent))
        frames = [*itertools.dropwhile(lambda frame: frame.filename.startswith(above), frames)]
    if not frames:
        return ""
    own = [frame for frame in frames if frame.filename == frames[0].filename]
    return cut(own[-1].line or "", WIDTH)


def _arguments(case: Case) -> str:
    """Describe the arguments of a case: shapes and small values."""
    parts = []
    for name, value in case.arguments.items():
        if isinstance(value, Tensor):
            parts.append(f"{name} {tuple(value.shape)}")
        elif isinstance(value, list):
            parts.append(f"{name}, a list of {len(value)}")
        elif isinstance(value, (int, float, tuple)):
            parts.append(f"{name} {value}")
    return ", ".join(parts)


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return "complex tensor" if value.is_complex() else "tensor"
    return type(value).__name__


def _article(word: str) -> str:
    return word if word == "NoneType" else ("an " if word[0] in "aeiou" else "a ") + word


def _explain_factor(found: list[tuple[Case, float]]) -> str | None:
    first = found[0][1]
    if all(math.isclose(factor, -1, rel_tol=1e-6) for _, factor in found):
        return "has the wrong sign everywhere: a minus too many or too few."
    if all(math.isclose(factor, 0, abs_tol=1e-12) for _, factor in found):
        return "is zero everywhere: is it computed at all, or rounded down by `//`?"
    for name, extra in itertools.product(found[0][0].sizes, (1, -1, 2, 0.5, -2, -0.5)):
        also = "" if extra == 1 else f", and multiplied by {extra:g} besides"
        sizes = [(factor, case.sizes[name]) for case, factor in found]
        if all(math.isclose(factor, extra / size, rel_tol=1e-6) for factor, size in sizes):
            return (
                f"is divided by {name}{also}: a mean where a sum belongs, or a division too many."
            )
        if all(math.isclose(factor, extra * size, rel_tol=1e-6) for factor, size in sizes):
            return (
                f"is multiplied by {name}{also}: a sum where a mean belongs, or a division too few."
            )
    if len(found) > 1 and all(math.isclose(factor, first, rel_tol=1e-6) for _, factor in found):
        return f"is off by a constant factor of {first:.4g} wherever it is wrong."
    return None


def _upper(which: str) -> str:
    """Begin a sentence with a word, but leave a name of code as it is."""
    return "T" + which[1:] if which.startswith("the ") else which


def _list(names: Sequence) -> str:
    """Join names as in a sentence."""
    names = [f"“{name}”" if isinstance(name, str) else str(name) for name in names]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]

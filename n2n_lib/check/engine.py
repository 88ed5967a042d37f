"""Compare a student's function with a reference and say in words what is wrong.

An `Exercise` holds cases, a reference and *known mistakes*: wrong functions, each with the sentence
that a teacher would say. `run` calls the student's function on every case. If it is not right, the
first explanation that fits is given: a known mistake, then an exception, a wrong type or shape, a
constant factor, another order of the numbers, and at last what the failing cases have in common.
"""

from __future__ import annotations

import copy
import itertools
import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}
"""Largest relative error that counts as equal."""

WIDTH = 96  # of what is shown, in characters


class CheckFailed(AssertionError):
    """A student's answer is not right yet; the message says what to look at."""

    def _render_traceback_(self) -> list[str]:
        """Tell Jupyter to show the message alone: the traceback would be of this library."""
        lines = str(self).splitlines()
        return [part for line in lines for part in textwrap.wrap(line, WIDTH) or [""]]


@dataclass(frozen=True)
class Case:
    """One call of the function.

    Attributes
    ----------
    name : str
        What is special about it.
    arguments : dict
        Arguments in the order of the signature. Every call gets a deep copy.
    sizes : dict
        Numbers that a wrong factor may come from, with their description.
    """

    name: str
    arguments: dict[str, Any]
    sizes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Exercise:
    """What is asked of the student, and how to judge it.

    Attributes
    ----------
    name, lesson, title, hint
        For people; the name is that of the student's function.
    returns : tuple of str
        Names of what is returned; one name means one value, more a tuple.
    cases : sequence of Case
        Simple ones first.
    reference : callable
        The right answer, from the arguments of a case.
    mistakes : sequence of (str, callable)
        Sentence and the function that makes this mistake. The first that fits is given.
    errors : sequence of (str, str)
        Part of the message of an exception, and a sentence that explains it.
    in_place : callable, optional
        For a function that returns nothing: the tensors to judge, from its arguments.
    may_change : tuple of str
        Arguments that it may, or must, change.
    elementwise : bool
        Whether the relative error of each value counts, and not that of the largest.
    """

    name: str
    lesson: int
    title: str
    hint: str
    returns: tuple[str, ...]
    cases: Sequence[Case]
    reference: Callable[..., Any]
    mistakes: Sequence[tuple[str, Callable[..., Any]]]
    errors: Sequence[tuple[str, str]] = ()
    in_place: Callable[..., tuple[Tensor, ...]] | None = None
    may_change: tuple[str, ...] = ()
    elementwise: bool = False


@dataclass
class Outcome:
    """What one case asked for and what came back."""

    case: Case
    expected: tuple
    got: tuple = ()
    returned: Any = None
    error: Exception | None = None
    changed: list[str] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)  # one for each expected value

    @property
    def right(self) -> bool:
        """Whether every value is right; `changed` is judged apart."""
        return self.error is None and all(verdict == "right" for verdict in self.verdicts)

    def pairs(self) -> Iterator[tuple[Any, Any]]:
        """Yield (expected, got) for every value."""
        return zip(self.expected, self.got, strict=True)


_failures: dict[str, int] = {}  # how often a check has failed since it was last right


def run(exercise: Exercise, function: Callable[..., Any]) -> None:
    """Judge `function`: print one line if it is right, else a table, and raise.

    Raises
    ------
    CheckFailed
        If an answer is not right; the message is the diagnosis, from the second failure on with
        the hint.
    TypeError
        If `function` is not a function.
    """
    name = exercise.name
    if not callable(function):
        raise TypeError(
            f"expected the function {name} itself, as in check.{name}({name}), "
            f"got {type(function).__name__}"
        )
    with torch.no_grad():
        outcomes = [_judge(exercise, case, function) for case in exercise.cases]
        if any(_not_written(outcome.error) for outcome in outcomes):
            raise CheckFailed(f"{name}: not written yet. Hint: {exercise.hint}")
        if all(outcome.right and not outcome.changed for outcome in outcomes):
            _failures.pop(name, None)
            print(f"{name}: right, {len(outcomes)} cases.")
            return
        print(_table(exercise, outcomes))
        message = f"{name}: {diagnose(exercise, outcomes)}"
    _failures[name] = _failures.get(name, 0) + 1
    if _failures[name] > 1:
        message += f"\nHint: {exercise.hint}"
    raise CheckFailed(message) from None


# ------------------------------------------------------------------------------ one case


def _judge(exercise: Exercise, case: Case, function: Callable[..., Any]) -> Outcome:
    """Call the student's function on a copy of the arguments and compare."""
    outcome = Outcome(case, _expected(exercise, case))
    arguments = copy.deepcopy(case.arguments)
    lists = {name: list(value) for name, value in arguments.items() if isinstance(value, list)}
    try:
        outcome.returned = function(*arguments.values())
    except Exception as error:  # whatever a student's function may raise
        outcome.error = error
        outcome.verdicts = ["raised"] * len(outcome.expected)
        return outcome
    outcome.changed = list(_changed(exercise, case, arguments, lists))
    if exercise.in_place:
        outcome.got = exercise.in_place(*(arguments | lists).values())
    elif len(exercise.returns) > 1 and isinstance(outcome.returned, (tuple, list)):
        outcome.got = tuple(outcome.returned)
    else:
        outcome.got = (outcome.returned,)
    outcome.got = tuple(v.detach() if isinstance(v, Tensor) else v for v in outcome.got)
    if len(outcome.got) != len(outcome.expected):
        outcome.verdicts = [f"{len(exercise.returns)} values expected"] * len(outcome.expected)
    else:
        outcome.verdicts = [_verdict(exercise, *pair) for pair in outcome.pairs()]
    return outcome


def _expected(exercise: Exercise, case: Case) -> tuple:
    """Call the reference in float64, then round to the dtype that was asked for."""
    dtypes = {value.dtype for _, value in _tensors(case.arguments)}
    dtype = dtypes.pop() if dtypes else torch.float64
    answer = _as_tuple(exercise.reference(*_to_double(copy.deepcopy(case.arguments)).values()))
    return tuple(value.to(dtype) if isinstance(value, Tensor) else value for value in answer)


def _to_double(arguments: dict[str, Any]) -> dict[str, Any]:
    return {k: v.double() if isinstance(v, Tensor) else v for k, v in arguments.items()}


def _as_tuple(answer: Any) -> tuple:
    return answer if isinstance(answer, tuple) else (answer,)


def _tensors(value: Any, label: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor in the arguments with a name for it."""
    if isinstance(value, Tensor):
        yield label, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _tensors(item, name)
    elif isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], Tensor):
        yield f"parameter in {label}", value[0]
        yield f"gradient in {label}", value[1]
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            yield from _tensors(item, f"{label}[{index}]")


def _changed(
    exercise: Exercise, case: Case, arguments: dict[str, Any], lists: dict[str, list]
) -> Iterator[str]:
    """Name the arguments that the function changed and should not have."""
    for name, before in lists.items():
        after = arguments[name]
        if len(after) != len(before) or any(a is not b for a, b in zip(after, before, strict=True)):
            yield f"the list {name}"
    pristine, used = _tensors(case.arguments), _tensors(arguments | lists)
    for (label, before), (_, after) in zip(pristine, used, strict=True):
        rounding = 1e-12 if before.dtype == torch.float64 else 1e-6  # x + h - 2h + h is not x
        same = before.shape == after.shape and torch.allclose(after, before, rounding, rounding)
        if not same and label.split(" ")[0] not in exercise.may_change:
            zero = " (now all zero)" if not after.any() else ""
            yield ("the " if " in " in label else "") + label + zero


def _verdict(exercise: Exercise, expected: Any, got: Any) -> str:
    """Judge one value in a few words for the table."""
    if not isinstance(expected, Tensor):
        kinds = (int,) if isinstance(expected, int) else (int, float)
        if isinstance(got, bool) or not isinstance(got, kinds):
            return "wrong type"
        return "right" if _close(exercise, expected, got) else "wrong number"
    if not isinstance(got, Tensor):
        return "wrong type"
    if got.shape != expected.shape:
        return "wrong shape"
    if not _close(exercise, expected, got):
        return "wrong numbers" if got.isfinite().all() else "not finite"
    return "right" if got.dtype == expected.dtype else "wrong dtype"


def _close(exercise: Exercise, expected: Any, got: Any) -> bool:
    """Compare two values of one shape; not-a-number equals itself, for the known mistakes."""
    if not isinstance(expected, Tensor):
        return math.isclose(expected, got, rel_tol=TOLERANCE[torch.float64])
    tolerance = TOLERANCE[expected.dtype]
    a, b = expected.double(), got.double()
    if exercise.elementwise:
        return torch.allclose(b, a, rtol=tolerance, atol=0, equal_nan=True)
    finite = a[a.isfinite()].abs()
    scale = finite.max().item() if finite.numel() else 1.0
    return torch.allclose(b, a, rtol=0, atol=tolerance * (scale or 1.0), equal_nan=True)


def _not_written(error: Exception | None) -> bool:
    """Whether the exercise is still empty; PyTorch raises the same error for a missing kernel."""
    text = str(error)
    kernel = "implemented for" in text or "Could not run" in text
    return isinstance(error, NotImplementedError) and not kernel


# ------------------------------------------------------------------------------ the table


def _table(exercise: Exercise, outcomes: list[Outcome]) -> str:
    """Draw one row for each value of each case."""
    rows = [("case", "expected", "got", "verdict")]
    for outcome in outcomes:
        names = exercise.returns
        if exercise.in_place:
            names = tuple(f"{names[0]} {i}" for i in range(len(outcome.expected)))
        for index, verdict in enumerate(outcome.verdicts):
            label = outcome.case.name
            if len(outcome.verdicts) > 1:
                label += f": {names[index]}"
            expected = outcome.expected[index]
            if outcome.error is not None:
                texts = (_describe(expected), type(outcome.error).__name__)
            elif len(outcome.got) != len(outcome.expected):
                texts = (_describe(expected), _describe(outcome.returned))
            else:
                texts = _compare(exercise, expected, outcome.got[index], verdict)
            if verdict == "right" and outcome.changed:
                verdict = "right, but " + ", ".join(outcome.changed) + " changed"
            rows.append((label, *texts, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = []
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, row[3]]))
    return "\n".join(lines)


def _compare(exercise: Exercise, expected: Any, got: Any, verdict: str) -> tuple[str, str]:
    """Describe both sides of a row: shapes, or the first number that differs."""
    if verdict not in ("wrong numbers", "not finite"):
        if verdict == "wrong dtype":
            return str(expected.dtype), str(got.dtype)
        return _describe(expected), _describe(got)
    where = _first_difference(exercise, expected, got)
    place = "[" + ", ".join(map(str, where)) + "]"
    return f"{expected[where].item():.4g} at {place}", f"{got[where].item():.4g}"


def _first_difference(exercise: Exercise, expected: Tensor, got: Tensor) -> tuple[int, ...]:
    """Return the place of the first value that is wrong."""
    a, b = expected.double(), got.double()
    scale = a.abs() if exercise.elementwise else a.abs().max().clamp(min=1e-300)
    wrong = ~((b - a).abs() <= TOLERANCE[expected.dtype] * scale)  # not: also for not-a-number
    return tuple(wrong.nonzero()[0].tolist())


def _describe(value: Any) -> str:
    """Describe a value in few characters: the shape of a tensor, the value of a number."""
    if isinstance(value, Tensor):
        return f"shape {tuple(value.shape)}"
    if isinstance(value, (bool, int)) or value is None:
        return str(value)
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__} of {len(value)}"
    return type(value).__name__


# ------------------------------------------------------------------------------ the diagnosis


def diagnose(exercise: Exercise, outcomes: list[Outcome]) -> str:
    """Return the first explanation that fits, in one or two sentences."""
    if all(outcome.right for outcome in outcomes):
        return _diagnose_changed(outcomes)
    wrong = [outcome for outcome in outcomes if not outcome.right]
    return (
        _diagnose_known(exercise, outcomes)
        or _diagnose_error(exercise, outcomes)
        or _diagnose_type(exercise, wrong)
        or _diagnose_shape(exercise, outcomes)
        or _diagnose_dtype(wrong)
        or _diagnose_not_finite(wrong)
        or _diagnose_factor(exercise, wrong)
        or _diagnose_order(exercise, wrong)
        or _diagnose_cases(exercise, outcomes)
    )


def _diagnose_changed(outcomes: list[Outcome]) -> str:
    outcome = next(outcome for outcome in outcomes if outcome.changed)
    what = outcome.changed[0]
    if what.startswith("the list"):
        return (
            f"The result is right, but your function changed its input: {what} is not as it was. "
            "Whoever gave it to you still needs it; go through it without writing into it."
        )
    return (
        f"The numbers are right, but your function changed its input: {what} is not as it was. "
        "Write into a new tensor or a clone(), and leave out operations in place such as "
        "`*=`, `[...] =` or methods that end in an underscore."
    )


def _diagnose_known(exercise: Exercise, outcomes: list[Outcome]) -> str | None:
    """Return the sentence of the known mistake that gives the same as the student's function."""
    for sentence, mistake in exercise.mistakes:
        if _same_as(exercise, outcomes, mistake):
            changed = next((what for outcome in outcomes for what in outcome.changed), None)
            return sentence + (f" It also changed its input: {changed}." if changed else "")
    return None


def _same_as(exercise: Exercise, outcomes: list[Outcome], mistake: Callable[..., Any]) -> bool:
    """Whether a wrong function agrees on every case, and both are wrong on at least one."""
    seen = False
    for outcome in outcomes:
        try:
            theirs = _as_tuple(mistake(*copy.deepcopy(outcome.case.arguments).values()))
        except (RuntimeError, IndexError, ValueError):  # shapes that do not fit
            theirs = None
        if theirs is None or outcome.error is not None:
            if (theirs is None) != (outcome.error is not None):
                return False
            continue
        if not _same_values(exercise, theirs, outcome.got):
            return False
        seen = seen or not outcome.right
    return seen


def _same_values(exercise: Exercise, theirs: tuple, got: tuple) -> bool:
    if len(theirs) != len(got):
        return False
    for a, b in zip(theirs, got, strict=True):
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            a = a if a.is_floating_point() else a.double()
            if a.shape != b.shape or not _close(exercise, a, b):
                return False
        elif isinstance(a, (int, float)) and isinstance(b, (int, float)):
            if not _close(exercise, a, b):
                return False
        else:
            return False
    return True


def _diagnose_error(exercise: Exercise, outcomes: list[Outcome]) -> str | None:
    """Say which case, with which arguments, raised what."""
    raised = [outcome for outcome in outcomes if outcome.error is not None]
    if not raised:
        return None
    first = raised[0]
    text = (str(first.error).strip().splitlines() or [""])[0]
    kind = type(first.error).__name__
    message = f"The case “{first.case.name}” with {_arguments(first.case)} raised {kind}"
    message += f": {textwrap.shorten(text, 160)}." if text else "."
    message = message.replace("..", ".")
    right = [outcome.case.name for outcome in outcomes if outcome.right]
    if right:
        message += f" It is right on {_list(right)}."
    for part, sentence in exercise.errors:
        if part in text:
            return f"{message} {sentence}"
    return message


def _arguments(case: Case) -> str:
    """Describe the arguments of a case: shapes and small values."""
    parts = []
    for name, value in case.arguments.items():
        if isinstance(value, Tensor):
            parts.append(f"{name} {tuple(value.shape)}")
        elif isinstance(value, (int, float)) or (
            isinstance(value, tuple) and all(isinstance(item, int) for item in value)
        ):
            parts.append(f"{name} {tuple(value) if isinstance(value, tuple) else value}")
        elif isinstance(value, list):
            parts.append(f"{name}, a list of {len(value)}")
    return ", ".join(parts)


def _diagnose_type(exercise: Exercise, wrong: list[Outcome]) -> str | None:
    """Explain None, a wrong number of values, and a wrong type."""
    first = wrong[0]
    many = len(exercise.returns) > 1
    asked = f"({', '.join(exercise.returns)})" if many else exercise.returns[0]
    if first.returned is None and not exercise.in_place:
        return f"Your function returned nothing (None). Does it end in `return {asked}`?"
    if many and len(first.got) != len(exercise.returns):
        return (
            f"Expected {len(exercise.returns)} values, {asked}, got {_describe(first.returned)}. "
            f"End with `return {', '.join(exercise.returns)}`."
        )
    for index, (expected, got) in enumerate(first.pairs()):
        if first.verdicts[index] != "wrong type":
            continue
        which = exercise.returns[index]
        kind = "tensor" if isinstance(expected, Tensor) else type(expected).__name__
        message = f"Wrong type: {which} should be {_article(kind)}, got {_article(_kind(got))}."
        if got is None:
            return message
        if kind == "int" and isinstance(got, float):
            return message + " Divide with `//`, which rounds down, instead of `/`."
        if kind != "tensor" and isinstance(got, Tensor):
            return message + " Turn it into a Python number with `.item()`, or use `math`."
        return message
    return None


def _kind(value: Any) -> str:
    return "tensor" if isinstance(value, Tensor) else type(value).__name__


def _article(word: str) -> str:
    return word if word == "NoneType" else ("an " if word[0] in "aeiou" else "a ") + word


def _diagnose_shape(exercise: Exercise, outcomes: list[Outcome]) -> str | None:
    """Explain a wrong shape."""
    for outcome in outcomes:
        for index, verdict in enumerate(outcome.verdicts):
            if verdict != "wrong shape":
                continue
            expected, got = outcome.expected[index], outcome.got[index]
            message = (
                f"Wrong shape: in the case “{outcome.case.name}” {_which(exercise, index)} should "
                f"be {tuple(expected.shape)}, got {tuple(got.shape)}."
            )
            right = [other.case.name for other in outcomes if other.right]
            tail = f" It is right on {_list(right)}: what is different here?" if right else ""
            return message + (_explain_shape(exercise, expected, got) or tail)
    return None


def _explain_shape(exercise: Exercise, expected: Tensor, got: Tensor) -> str | None:
    """Tell what would turn one shape into the other."""
    if order := _permutation(exercise, expected, got):
        if got.dim() == 2:
            return " It is transposed: the numbers are right, rows and columns are swapped."
        return f" The numbers are right, the dimensions are transposed: try permute{order}."
    if got.numel() == expected.numel():
        if _close(exercise, expected.flatten(), got.flatten()):
            return " The numbers are right; only the shape is missing, so end with a reshape."
        return " The number of values is right; the dimensions are not where they should be."
    if got.dim() == expected.dim() + 1 and got.shape[1:] == expected.shape:
        if _close(exercise, expected, got.sum(0)):
            return " It has one result for each image: sum over the batch, the first dimension."
        return " It has one dimension too many in front: what should have been summed?"
    if got.dim() == 0:
        return " It is a single number: one sum or mean too many."
    return None


def _diagnose_dtype(wrong: list[Outcome]) -> str | None:
    for outcome in wrong:
        for (expected, got), verdict in zip(outcome.pairs(), outcome.verdicts, strict=True):
            if verdict == "wrong dtype":
                return (
                    f"The numbers are right, but the dtype should be {expected.dtype}, that of "
                    f"the input, got {got.dtype}. Make new tensors with `torch.zeros_like(...)` "
                    "or `dtype=x.dtype`."
                )
            rounded = isinstance(got, Tensor) and got.is_floating_point()
            if rounded and verdict == "wrong numbers" and got.dtype != expected.dtype:
                coarse = expected.float()
                if torch.allclose(coarse, got.float(), rtol=1e-5, atol=1e-6):
                    return (
                        f"The numbers are right to few digits only: they are {got.dtype}, and "
                        f"the dtype should be {expected.dtype}, that of the input. Make new "
                        "tensors with `torch.zeros_like(...)` or `dtype=x.dtype`."
                    )
    return None


def _diagnose_not_finite(wrong: list[Outcome]) -> str | None:
    for outcome in wrong:
        if "not finite" in outcome.verdicts:
            got = outcome.got[outcome.verdicts.index("not finite")]
            kind = "not a number (nan)" if got.isnan().any() else "infinite"
            return (
                f"Some results are {kind} in the case “{outcome.case.name}”. Look for an exp of a "
                "large number, a division by zero, or a tensor from torch.empty never filled."
            )
    return None


def _diagnose_factor(exercise: Exercise, wrong: list[Outcome]) -> str | None:
    """Explain a sign or a factor, the same in every case or one of the sizes of the case."""
    found: list[tuple[Case, float]] = []
    index = None
    for outcome in wrong:
        for i, (expected, got) in enumerate(outcome.pairs()):
            if outcome.verdicts[i] == "right":
                continue
            factor = _factor(exercise, expected, got)
            if factor is None or index not in (None, i) and not exercise.in_place:
                return None
            index = i
            found.append((outcome.case, factor))
    which = _which(exercise, index).capitalize()
    first = found[0][1]
    if all(math.isclose(factor, -1, rel_tol=1e-6) for _, factor in found):
        return f"{which} has the wrong sign everywhere: a minus too many or too few."
    if all(math.isclose(factor, 0, abs_tol=1e-12) for _, factor in found):
        return f"{which} is zero everywhere: is anything written into it?"
    if all(math.isclose(factor, first, rel_tol=1e-6) for _, factor in found) and len(found) > 1:
        return f"{which} is off by a constant factor of {first:.4g} in every case."
    for name, extra in itertools.product(found[0][0].sizes, (1, -1, 2, 0.5, -2, -0.5)):
        also = "" if extra == 1 else f", and by {extra:g} besides"
        sizes = [(factor, case.sizes[name]) for case, factor in found]
        if all(math.isclose(factor, extra / size, rel_tol=1e-6) for factor, size in sizes):
            return (
                f"{which} is divided by {name}{also}: a mean where a sum belongs, or a division "
                "too many."
            )
        if all(math.isclose(factor, extra * size, rel_tol=1e-6) for factor, size in sizes):
            return (
                f"{which} is multiplied by {name}{also}: a sum where a mean belongs, or a "
                "division too few."
            )
    return None


def _factor(exercise: Exercise, expected: Any, got: Any) -> float | None:
    """Return the number f with ``got = f expected``, or None."""
    if not isinstance(expected, Tensor):
        return got / expected if expected and isinstance(got, (int, float)) else None
    if not got.is_floating_point() or not got.isfinite().all():
        return None
    a, b = expected.double(), got.double()
    square = (a * a).sum().item()
    if square == 0:
        return None
    factor = (a * b).sum().item() / square
    return factor if _close(exercise, b.to(expected.dtype), (a * factor)) else None


def _diagnose_order(exercise: Exercise, wrong: list[Outcome]) -> str | None:
    """Explain the right numbers in the wrong places."""
    explained: list[str] = []
    for outcome in wrong:
        for i, (expected, got) in enumerate(outcome.pairs()):
            if outcome.verdicts[i] == "right":
                continue
            if not isinstance(expected, Tensor):
                return None
            text = _explain_order(exercise, expected, got)
            if text is None:
                return None
            explained.append(f"{_which(exercise, i).capitalize()} {text}")
    return explained[0]


def _explain_order(exercise: Exercise, expected: Tensor, got: Tensor) -> str | None:
    if order := _permutation(exercise, expected, got):
        if got.dim() == 2:
            return "is transposed: rows and columns are swapped."
        return f"has its dimensions transposed: try permute{order}."
    last = tuple(range(max(0, expected.dim() - 2), expected.dim()))
    for dims in [last, *((d,) for d in last)]:
        if _close(exercise, expected, got.flip(dims)):
            return f"is flipped: the numbers are right, but dimension {_list(dims)} runs backwards."
    if _close(exercise, expected.flatten().sort().values, got.flatten().sort().values):
        return (
            "holds the right numbers in another order: look at view, reshape and the order of "
            "dimensions before them."
        )
    return None


def _permutation(exercise: Exercise, expected: Tensor, got: Tensor) -> tuple[int, ...] | None:
    """Return the order of dimensions that makes `got` right, if there is one."""
    if expected.dim() != got.dim() or not 2 <= got.dim() <= 5:
        return None
    for order in itertools.permutations(range(got.dim())):
        moved = got.permute(order)
        if order != tuple(range(got.dim())) and moved.shape == expected.shape:
            if _close(exercise, expected, moved):
                return order
    return None


def _diagnose_cases(exercise: Exercise, outcomes: list[Outcome]) -> str:
    """Say which cases are right and which are wrong."""
    right = [outcome.case.name for outcome in outcomes if outcome.right]
    wrong = [outcome.case.name for outcome in outcomes if not outcome.right]
    always_right = [
        name
        for index, name in enumerate(exercise.returns)
        if len(exercise.returns) > 1
        and all(outcome.verdicts[index] == "right" for outcome in outcomes)
    ]
    also = f" ({_list(always_right)} is right.)" if always_right else ""
    if right:
        return (
            f"It is right on {_list(right)}, and wrong on {_list(wrong)}: "
            f"look at what is special there.{also}"
        )
    return (
        f"The numbers differ in every case.{also} Work the first, “{wrong[0]}”, with "
        f"{_arguments(outcomes[0].case)}, by hand and compare one value."
    )


def _which(exercise: Exercise, index: int) -> str:
    return exercise.returns[index] if len(exercise.returns) > 1 else "the result"


def _list(names: Sequence) -> str:
    """Join names as in a sentence."""
    names = [f"“{name}”" if isinstance(name, str) else str(name) for name in names]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


# ------------------------------------------------------------------------------ numbers for cases


def values(shape: Sequence[int], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random values of both signs, none closer to zero than 0.1, so that no mistake can hide."""
    source = torch.Generator().manual_seed(seed)
    drawn = torch.randn(tuple(shape), generator=source, dtype=torch.float64)
    return (drawn + 0.1 * torch.where(drawn < 0, -1.0, 1.0)).to(dtype)

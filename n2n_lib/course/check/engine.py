"""Compare a student's function with a reference and say in words what is wrong.

An `Exercise` holds cases, a reference and *known mistakes*: wrong functions, each with the sentence
that a teacher would say. `run` calls the student's function on every case. If it is not right, the
first explanation that fits is given: a known mistake, then an exception, a wrong type, shape or
dtype, a factor, another order of the numbers, and at last where they are wrong.
"""

from __future__ import annotations

import copy
import itertools
import math
import textwrap
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from n2n_lib.course.check import record

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}
"""Largest relative error that counts as equal."""

WIDTH = 96  # of a line of the message, in characters
COLUMNS = (36, 26, 20)  # of the table, at most; the verdict comes after them

# What PyTorch and Python say, and what it means, for every exercise.
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
        Names of what is returned; one name means one value, more a tuple. Of a function that works
        in place: names of what is judged, which have equal shares of the tensors.
    cases : sequence of Case
        Simple ones first.
    reference : callable
        The right answer, from the arguments of a case.
    mistakes : sequence of (str, callable)
        Sentence and the function that makes this mistake, with the same results and the same
        changes of its arguments. The first that fits is given.
    errors : sequence of (str, str)
        Part of an exception's name and message, and a sentence that explains it.
    axes : tuple of str
        What the dimensions of the result count, as ``("image", "channel", "row", "column")``.
    in_place : callable, optional
        For a function that returns nothing: the tensors to judge, from its arguments.
    may_change : str or tuple of str
        Arguments that it may, or must, change: the beginnings of their names.
    elementwise : bool
        Whether the relative error of each value counts, and not that of the largest.
    library : callable, optional
        The function that a lesson goes on with, for want of the student's, where `reference` is
        too slow for that, or fits the cases alone.
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
    axes: tuple[str, ...] = ()
    in_place: Callable[..., tuple[Tensor, ...]] | None = None
    may_change: str | tuple[str, ...] = "nothing"
    elementwise: bool = False
    library: Callable[..., Any] | None = None


@dataclass
class Outcome:
    """What a function made of one case."""

    case: Case
    returned: Any = None
    got: tuple = ()  # the values to judge
    error: Exception | None = None
    after: list[Tensor] = field(default_factory=list)  # the tensors among the arguments
    changed: list[str] = field(default_factory=list)  # arguments that had to stay as they were
    expected: tuple = ()
    verdicts: list[str] = field(default_factory=list)  # one for each expected value

    @property
    def right(self) -> bool:
        """Whether every value is right; `changed` is judged apart."""
        return self.error is None and all(verdict == "right" for verdict in self.verdicts)

    def wrong_values(self, *verdicts: str) -> Iterator[tuple[int, Any, Any]]:
        """Yield (index, expected, got) of what is not right, or has one of the verdicts."""
        if self.error is None and len(self.got) == len(self.expected):
            for index, verdict in enumerate(self.verdicts):
                if verdict in verdicts or (not verdicts and verdict != "right"):
                    yield index, self.expected[index], self.got[index]


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
    if _is_the_librarys(function):
        raise CheckFailed(f"{name}: this is the library's function. Run the cell with yours first.")
    verdict = judge(exercise, function)
    if verdict.right:
        _failures.pop(name, None)
        print(verdict.message)
        record.note(name, right=True)
        return
    message = verdict.message
    if verdict.table:  # an exercise that is still empty has none
        print(verdict.table)
        record.note(name, right=False)
        _failures[name] = _failures.get(name, 0) + 1
        if _failures[name] > 1:
            message += f"\nHint: {exercise.hint}"
    raise CheckFailed(message) from None


@dataclass(frozen=True)
class Verdict:
    """What a check finds: right or not, a message, and of a wrong answer the table of cases."""

    right: bool
    message: str
    table: str = ""


def judge(exercise: Exercise, function: Callable[..., Any]) -> Verdict:
    """Call `function` on every case, and say whether it is right and if not, why.

    Raises
    ------
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
            return Verdict(False, f"{name}: not written yet. Hint: {exercise.hint}")
        if all(outcome.right and not outcome.changed for outcome in outcomes):
            return Verdict(True, f"{name}: right, {len(outcomes)} cases.")
        message = f"{name}: {diagnose(exercise, outcomes)}"
        return Verdict(False, message, _table(exercise, outcomes))


# ------------------------------------------------------------------------------ going on


@dataclass(frozen=True)
class LibraryVersion:
    """A function that does what an exercise asks for, with the arguments of the student's."""

    exercise: Exercise

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Return what the student's function should return, or do what it should do in place."""
        exercise = self.exercise
        given = dict(zip(exercise.cases[0].arguments, arguments, strict=False)) | named
        values = [given[name] for name in exercise.cases[0].arguments]
        if exercise.library is not None:
            return exercise.library(*values)
        answer = exercise.reference(*values)
        if exercise.in_place is None:
            return answer
        answers = answer if isinstance(answer, tuple) else (answer,)
        for tensor, value in zip(exercise.in_place(*values), answers, strict=True):
            tensor.copy_(value)
        return None


def right_or_library(exercise: Exercise, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` if it passes its check, or else print one line and return our version."""
    if not isinstance(function, LibraryVersion):
        if judge(exercise, function).right:
            return function
        function = LibraryVersion(exercise)
    print(f"{exercise.name}: the library's version, until yours is right.")
    return function


def _is_the_librarys(function: Any) -> bool:
    """Whether a student's function was replaced since, by `right_or_library` or by an import."""
    place = getattr(function, "__module__", None) or ""
    imported = place.startswith("n2n_lib.") and not place.startswith("n2n_lib.course.check.")
    return imported or isinstance(function, LibraryVersion)


# ------------------------------------------------------------------------------ one case


def _judge(exercise: Exercise, case: Case, function: Callable[..., Any]) -> Outcome:
    """Call the student's function and compare."""
    outcome = _call(exercise, case, function)
    outcome.expected = expected = _expected(exercise, case)
    if outcome.error is not None:
        outcome.verdicts = ["raised"] * len(expected)
    elif len(outcome.got) != len(expected):
        outcome.verdicts = ["wrong count"] * len(expected)
    else:
        pairs = zip(expected, outcome.got, strict=True)
        outcome.verdicts = [_verdict(exercise, *pair) for pair in pairs]
    return outcome


def _call(exercise: Exercise, case: Case, function: Callable[..., Any]) -> Outcome:
    """Call a function on a copy of the arguments; keep what it returned, raised and changed."""
    outcome = Outcome(case)
    arguments = copy.deepcopy(case.arguments)
    lists = {name: list(value) for name, value in arguments.items() if isinstance(value, list)}
    try:
        outcome.returned = function(*arguments.values())
    except Exception as error:  # whatever a student's function may raise
        outcome.error = error
        return outcome
    for name, before in lists.items():
        if list(map(id, arguments[name])) != list(map(id, before)):
            outcome.changed.append(f"the list {name}")
    arguments |= lists  # the tensors that were in the list when the call began
    for (label, before), (_, after) in zip(
        tensors_in(case.arguments), tensors_in(arguments), strict=True
    ):
        outcome.after.append(after)
        if not label.startswith(exercise.may_change) and not _untouched(before, after):
            outcome.changed.append(("the " if " in " in label else "") + label)
    if exercise.in_place:
        outcome.got = exercise.in_place(*arguments.values())
    elif len(exercise.returns) > 1 and isinstance(outcome.returned, (tuple, list)):
        outcome.got = tuple(outcome.returned)
    else:
        outcome.got = (outcome.returned,)
    outcome.got = tuple(v.detach() if isinstance(v, Tensor) else v for v in outcome.got)
    return outcome


def _untouched(before: Tensor, after: Tensor) -> bool:
    rounding = 1e-12 if before.dtype == torch.float64 else 1e-6  # x + h - 2h + h is not x
    return before.shape == after.shape and torch.allclose(after, before, rounding, rounding)


def _expected(exercise: Exercise, case: Case) -> tuple:
    """Call the reference in float64, then round to the dtype that was asked for."""
    dtypes = {value.dtype for _, value in tensors_in(case.arguments)}
    dtype = dtypes.pop() if dtypes else torch.float64
    arguments = copy.deepcopy(case.arguments)
    answer = exercise.reference(
        *(v.double() if isinstance(v, Tensor) else v for v in arguments.values())
    )
    answer = answer if isinstance(answer, tuple) else (answer,)
    return tuple(value.to(dtype) if isinstance(value, Tensor) else value for value in answer)


def tensors_in(value: Any, label: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor in the arguments with a name for it."""
    if isinstance(value, Tensor):
        yield label, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from tensors_in(item, name)
    elif isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], Tensor):
        yield f"parameter in {label}", value[0]
        yield f"gradient in {label}", value[1]
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            yield from tensors_in(item, f"{label}[{index}]")


def _verdict(exercise: Exercise, expected: Any, got: Any) -> str:
    """Judge one value in a few words for the table."""
    if not isinstance(expected, Tensor):
        kinds = (int,) if isinstance(expected, int) else (int, float)
        if isinstance(got, bool) or not isinstance(got, kinds):
            return "wrong type"
        return "right" if _close(exercise, expected, got) else "wrong number"
    if not isinstance(got, Tensor) or got.is_complex():
        return "wrong type"
    if got.shape != expected.shape:
        return "wrong shape"
    if not _close(exercise, expected, got):
        return "wrong numbers" if got.isfinite().all() else "not finite"
    return "right" if got.dtype == expected.dtype else "wrong dtype"


def _close(exercise: Exercise, expected: Any, got: Any, tolerance: float | None = None) -> bool:
    """Compare two values of one shape; not-a-number equals itself, for the known mistakes."""
    if not isinstance(expected, Tensor):
        return math.isclose(expected, got, rel_tol=TOLERANCE[torch.float64])
    return not _wrong(exercise, expected, got, tolerance).any()


def _wrong(
    exercise: Exercise, expected: Tensor, got: Tensor, tolerance: float | None = None
) -> Tensor:
    """Say of every value whether it is wrong."""
    tolerance = tolerance or TOLERANCE[expected.dtype]
    a, b = expected.double(), got.double()
    if exercise.elementwise:
        return ~torch.isclose(b, a, rtol=tolerance, atol=0, equal_nan=True)
    finite = a[a.isfinite()].abs()
    scale = finite.max().item() if finite.numel() else 1.0
    return ~torch.isclose(b, a, rtol=0, atol=tolerance * (scale or 1.0), equal_nan=True)


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
        for index, (expected, verdict) in enumerate(
            zip(outcome.expected, outcome.verdicts, strict=True)
        ):
            label = outcome.case.name
            if exercise.in_place and len(outcome.expected) > 1:
                share = len(outcome.expected) // len(exercise.returns)
                label += f": {exercise.returns[index // share]} {index % share}"
            elif len(exercise.returns) > 1:
                label += f": {exercise.returns[index]}"
            texts = (_describe(expected), _describe(outcome.returned))
            if outcome.error is not None:
                texts = (_describe(expected), type(outcome.error).__name__)
            elif verdict != "wrong count":
                texts = _compare(exercise, expected, outcome.got[index], verdict)
            if verdict == "right" and outcome.changed:
                verdict = "input changed"
            rows.append((label, *texts, verdict))
    rows = [(*map(_cut, row[:3], COLUMNS), row[3]) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _compare(exercise: Exercise, expected: Any, got: Any, verdict: str) -> tuple[str, str]:
    """Describe both sides of a row: shapes, or the first number that differs."""
    if verdict == "wrong dtype":
        return str(expected.dtype), str(got.dtype)
    if verdict not in ("wrong numbers", "not finite"):
        return _describe(expected), _describe(got)
    where = tuple(_wrong(exercise, expected, got).nonzero()[0].tolist())
    place = "[" + ", ".join(map(str, where)) + "]"
    return f"{expected[where].item():.4g} at {place}", f"{got[where].item():.4g}"


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
    changed = next((outcome.changed[0] for outcome in outcomes if outcome.changed), None)
    wrong = [outcome for outcome in outcomes if not outcome.right]
    if known := _diagnose_known(exercise, outcomes, effects=True):
        return known
    if not wrong:
        return _diagnose_changed(exercise, changed)
    known = _diagnose_known(exercise, outcomes)
    known = known or _diagnose_known(exercise, outcomes, everywhere=False)
    if known:
        return f"{known} It also changed its input: {changed}." if changed else known
    text = (
        _diagnose_error(exercise, outcomes)
        or _diagnose_type(exercise, wrong)
        or _diagnose_shape(exercise, outcomes)
        or _diagnose_dtype(wrong)
        or _diagnose_not_finite(exercise, wrong)
        or _diagnose_factor(exercise, wrong)
        or _diagnose_order(exercise, wrong)
        or _diagnose_place(exercise, wrong)
        or _diagnose_sign(exercise, wrong)
        or _diagnose_cases(exercise, outcomes)
    )
    return f"{text} It also changed its input, {changed}: mend that first." if changed else text


def _diagnose_known(
    exercise: Exercise, outcomes: list[Outcome], effects: bool = False, everywhere: bool = True
) -> str | None:
    """Return the sentence of the known mistake that does the same as the student's function.

    With `effects` it must also leave the same in its arguments; without, only mistakes that change
    nothing count. If not `everywhere`, it is enough that two wrong answers are the same, and that
    the student's function raises or returns a wrong shape wherever else the two differ.
    """
    for sentence, mistake in exercise.mistakes:
        if _fits(exercise, outcomes, mistake, effects, everywhere):
            return sentence
    return None


def _fits(
    exercise: Exercise,
    outcomes: list[Outcome],
    mistake: Callable[..., Any],
    effects: bool,
    everywhere: bool,
) -> bool:
    """Whether a mistake agrees with the student's function."""
    shown = 0
    for outcome in outcomes:
        theirs = _call(exercise, outcome.case, mistake)
        if theirs.changed and not effects:
            return False
        if theirs.error is not None and outcome.error is not None:
            continue
        same = theirs.error is None and _same(exercise, theirs.got, outcome.got)
        if effects:
            same = same and theirs.changed == outcome.changed
            same = same and _same(exercise, theirs.after, outcome.after)
        if same:
            shown += bool(theirs.changed) or not _same(exercise, theirs.got, outcome.expected)
        elif everywhere or not _excused(exercise, outcome, theirs):
            return False
    return shown >= (1 if everywhere else 2)


def _excused(exercise: Exercise, outcome: Outcome, theirs: Outcome) -> bool:
    """Whether a mistake may differ from the student's function in a case that this one spoils."""
    if "wrong shape" in outcome.verdicts:
        return not _same(exercise, theirs.got, outcome.expected)
    return outcome.error is not None


def _same(exercise: Exercise, ones: Sequence, others: Sequence) -> bool:
    """Whether values have the same shapes and are equal up to the coarser of their dtypes."""
    if len(ones) != len(others):
        return False
    for a, b in zip(ones, others, strict=True):
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            tolerance = max(TOLERANCE.get(value.dtype, 0) for value in (a, b)) or 1e-9
            if a.shape != b.shape or not _close(exercise, a, b, tolerance):
                return False
        elif not all(isinstance(value, (int, float)) for value in (a, b)):
            return False
        elif not _close(exercise, a, b):
            return False
    return True


def _diagnose_changed(exercise: Exercise, what: str) -> str:
    """Explain right numbers at the price of the input."""
    message = f"The numbers are right, but your function changed its input: {what} "
    if what.startswith("the list"):
        return message + (
            "is not as it was. Whoever gave it to you still needs it: go through it without "
            "writing into it."
        )
    if exercise.in_place:
        return message + f"is not as it was. Write into the {_judged(exercise, 'and')} alone."
    return message + (
        "is not as it was. Work in a new tensor or a clone(), without `*=`, `[...] =` or methods "
        "that end in an underscore, or put the old values back."
    )


def _diagnose_error(exercise: Exercise, outcomes: list[Outcome]) -> str | None:
    """Say which case, with which arguments, raised what."""
    first = next((outcome for outcome in outcomes if outcome.error is not None), None)
    if first is None:
        return None
    text = (str(first.error).strip().splitlines() or [""])[0]
    error = type(first.error).__name__ + (f": {textwrap.shorten(text, 160)}" if text else "")
    message = f"The case “{first.case.name}” with {_arguments(first.case)} raised {error}"
    message = message.rstrip(".") + "."
    if line := _line(first.error):
        message += f" The line is `{line}`."
    if right := [outcome.case.name for outcome in outcomes if outcome.right]:
        message += f" It is right on {_list(right)}."
    for part, sentence in (*exercise.errors, *ERRORS):
        if part in f"{type(first.error).__name__}: {first.error}":
            return f"{message} {sentence}"
    return message


def _line(error: Exception) -> str:
    """Return the line of the student's function that raised, if Python can read it.

    A function that stands for one in another process gives its exceptions a `student_line`.
    """
    if hasattr(error, "student_line"):
        return _cut(error.student_line, WIDTH)
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is of this file
    own = [frame for frame in frames if frame.filename == frames[0].filename]
    return _cut(own[-1].line or "", WIDTH) if own else ""


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


def _diagnose_type(exercise: Exercise, wrong: list[Outcome]) -> str | None:
    """Explain None, a wrong number of values, and a wrong type."""
    asked = ", ".join(exercise.returns)
    for outcome in wrong:
        case = "" if outcome is wrong[0] else f" in the case “{outcome.case.name}”"
        if outcome.returned is None and not exercise.in_place:
            return f"Your function returned nothing (None){case}. Does it end in `return {asked}`?"
        if len(outcome.got) != len(outcome.expected):
            return (
                f"Expected {len(exercise.returns)} values, {asked}, got "
                f"{_describe(outcome.returned)}{case}. End with `return {asked}`."
            )
        for index, expected, got in outcome.wrong_values("wrong type"):
            kind = _kind(expected)
            message = (
                f"Wrong type: {_which(exercise, index)} should be {_article(kind)}, got "
                f"{_article(_kind(got))}{case}."
            )
            if kind == "int" and isinstance(got, float):
                return message + " Divide with `//`, which rounds down, instead of `/`."
            if kind != "tensor" and isinstance(got, Tensor):
                return message + " Turn it into a Python number with `.item()`, or use `math`."
            return message
    return None


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return "complex tensor" if value.is_complex() else "tensor"
    return type(value).__name__


def _article(word: str) -> str:
    return word if word == "NoneType" else ("an " if word[0] in "aeiou" else "a ") + word


def _diagnose_shape(exercise: Exercise, outcomes: list[Outcome]) -> str | None:
    """Explain a wrong shape."""
    for outcome in outcomes:
        for index, expected, got in outcome.wrong_values("wrong shape"):
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
    if got.dim() == 0:
        return " It is a single number: one sum or mean too many."
    if got.shape == expected.shape[1:] and exercise.axes[:1] == ("image",):
        return (
            " The batch is missing, the first dimension: does a sum, a mean or an index take it "
            "away? Every image has a result of its own."
        )
    if got.dim() == expected.dim() + 1 and got.shape[1:] == expected.shape:
        if exercise.axes[:1] != ("image",) and _close(exercise, expected, got.sum(0)):
            return " It has one result for each image: sum over the batch, the first dimension."
        return " It has one dimension too many in front."
    if got.numel() == expected.numel():
        if not _close(exercise, expected.flatten(), got.flatten()):
            return " The number of values is right; the dimensions are not where they should be."
        if got.dim() == expected.dim():
            return " The numbers are right, but the sizes are not: compute them again."
        return " The numbers are right; only the shape is missing, so end with a reshape."
    if got.dim() == expected.dim():
        short = [d for d in range(got.dim()) if got.shape[d] == expected.shape[d] - 1]
        others = [d for d in range(got.dim()) if got.shape[d] != expected.shape[d]]
        if short == others:
            missing = " and ".join(f"one {_axis(exercise, d)}" for d in short)
            return f" That is {missing} too few: is a + 1 missing, or a loop one short?"
    return None


def _axis(exercise: Exercise, dim: int) -> str:
    return exercise.axes[dim] if dim < len(exercise.axes) else f"place along dimension {dim}"


def _diagnose_dtype(wrong: list[Outcome]) -> str | None:
    for outcome in wrong:
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


def _diagnose_not_finite(exercise: Exercise, wrong: list[Outcome]) -> str | None:
    for outcome in wrong:
        for _, expected, got in outcome.wrong_values("not finite"):
            kind = "not a number (nan)" if got.isnan().any() else "infinite"
            where = tuple((~got.isfinite()).nonzero()[0].tolist())
            there = "".join(
                f", the first where {name} is {value[where].item():.4g}"
                for name, value in outcome.case.arguments.items()
                if exercise.elementwise and value.shape == expected.shape
            )
            return (
                f"Some results are {kind} in the case “{outcome.case.name}”{there}. Look for an "
                "exp of a large number, a division by zero, or a tensor from torch.empty never "
                "filled."
            )
    return None


def _diagnose_factor(exercise: Exercise, wrong: list[Outcome]) -> str | None:
    """Explain a sign or a factor, the same in every case or one of the sizes of the case."""
    found: dict[str, list[tuple[Case, float]]] = {}
    for outcome in wrong:
        for index, expected, got in outcome.wrong_values():
            factor = _factor(exercise, expected, got)
            if factor is None:
                return None
            found.setdefault(_which(exercise, index), []).append((outcome.case, factor))
    texts = [_explain_factor(factors) for factors in found.values()]
    if None in texts or not texts:
        return None
    return " ".join(f"{_upper(which)} {text}" for which, text in zip(found, texts, strict=True))


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


def _factor(exercise: Exercise, expected: Any, got: Any) -> float | None:
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
    return factor if _close(exercise, b.to(expected.dtype), a * factor) else None


_ORDER = (
    "holds the right numbers in another order: look at view, reshape and the order of dimensions "
    "before them."
)


def _diagnose_order(exercise: Exercise, wrong: list[Outcome]) -> str | None:
    """Explain the right numbers in the wrong places."""
    explained: list[str] = []
    for outcome in wrong:
        for index, expected, got in outcome.wrong_values():
            text = isinstance(expected, Tensor) and _explain_order(exercise, expected, got)
            if not text:
                return None
            explained.append(f"{_upper(_which(exercise, index))} {text}")
    if len(set(explained)) == 1:
        return explained[0]
    return f"{_upper(_which(exercise, index))} {_ORDER}"


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
        return _ORDER
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


def _diagnose_place(exercise: Exercise, wrong: list[Outcome]) -> str | None:
    """Explain numbers that are wrong only at the beginning or only at the end."""
    masks: dict[str, list[Tensor]] = {}
    for outcome in wrong:
        for index, expected, got in outcome.wrong_values():
            if not isinstance(expected, Tensor):
                return None
            mask = _wrong(exercise, expected, got)
            masks.setdefault(_which(exercise, index), []).append(mask)
    (which, found), *more = masks.items()
    if more or exercise.in_place:
        return None
    flat = [mask.flatten() for mask in found]
    views = [("value", flat)]
    for dim in range(min(mask.dim() for mask in found)):
        views.append((_axis(exercise, dim), [mask.movedim(dim, 0) for mask in found]))
    for axis, view in views:
        if max(map(len, view)) > 1:
            message = f"of {which} is wrong: does a loop or a slice"
            if not any(mask[:-1].any() for mask in view):
                return f"Only the last {axis} {message} end too early?"
            if not any(mask[1:].any() for mask in view):
                return f"Only the first {axis} {message} start too late?"
    return None


def _diagnose_sign(exercise: Exercise, wrong: list[Outcome]) -> str | None:
    """Explain numbers that are wrong only where an argument is zero, negative or positive."""
    tests = {"zero": lambda a: a == 0, "negative": lambda a: a < 0, "positive": lambda a: a > 0}
    for name, (kind, test) in itertools.product(exercise.cases[0].arguments, tests.items()):
        for outcome in wrong:
            argument = outcome.case.arguments[name]
            _, expected, got = next(outcome.wrong_values())
            if not isinstance(argument, Tensor) or argument.shape != expected.shape:
                break
            if (_wrong(exercise, expected, got) & ~test(argument)).any():
                break
        else:
            return f"It is wrong only where {name} is {kind}: look at what should happen there."
    return None


def _diagnose_cases(exercise: Exercise, outcomes: list[Outcome]) -> str:
    """Say which cases are right and which are wrong."""
    right = [outcome.case.name for outcome in outcomes if outcome.right]
    wrong = [outcome for outcome in outcomes if not outcome.right]
    always_right = [
        name
        for index, name in enumerate(exercise.returns)
        if len(exercise.returns) > 1
        and all(outcome.verdicts[index] == "right" for outcome in outcomes)
    ]
    also = f" ({' and '.join(always_right)} is right.)" if always_right else ""
    if len(right) >= len(wrong):
        names = _list([outcome.case.name for outcome in wrong])
        return f"It is wrong on {names} only: look at what is special there.{also}"
    if right:
        return (
            f"It is right on {_list(right)} only. Work “{wrong[0].case.name}”, with "
            f"{_arguments(wrong[0].case)}, by hand and compare one value.{also}"
        )
    return (
        f"The numbers differ in every case.{also} Work the first, “{wrong[0].case.name}”, with "
        f"{_arguments(wrong[0].case)}, by hand and compare one value."
    )


def _which(exercise: Exercise, index: int) -> str:
    if exercise.in_place:
        return f"the {_judged(exercise, 'or')}"
    return exercise.returns[index] if len(exercise.returns) > 1 else "the result"


def _judged(exercise: Exercise, word: str) -> str:
    """Name what a function that works in place changes: “parameter”, “parameter and velocity”."""
    return f" {word} the ".join(exercise.returns)


def _upper(which: str) -> str:
    """Begin a sentence with a word, but leave a name of code as it is."""
    return "T" + which[1:] if which.startswith("the ") else which


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

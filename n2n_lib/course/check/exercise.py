"""What is asked of a student: an exercise, its cases, and the mistakes that people make."""

from __future__ import annotations

import ast
import copy
import inspect
import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from n2n_lib.course.check.watch import Seen, Watch
from n2n_lib.framework.module import Module

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}
"""Largest relative error that counts as equal."""


@dataclass(frozen=True)
class Case:
    """One use of the answer: one call of a function, or what `Exercise.use` does with it.

    Attributes
    ----------
    name : str
        What is special about it.
    arguments : dict
        Arguments in the order of the signature, that of `Exercise.use` if there is one, after its
        ``answer``. They may be modules. Every call gets a deep copy.
    sizes : dict
        Numbers that a wrong factor may come from, with their description.
    """

    name: str
    arguments: dict[str, Any]
    sizes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Edit:
    """A wrong answer that is a right one with parts replaced; made by `but`."""

    changes: tuple[tuple[str, str], ...]
    of: str | None

    def applied_to(self, solution: str) -> str:
        """Return the wrong answer.

        Raises
        ------
        ValueError
            If a part is not there to be replaced.
        """
        text = self.of or solution
        for part, other in self.changes:
            if part not in text:
                raise ValueError(f"expected {part!r} in the text to edit, got {text!r}")
            text = text.replace(part, other)
        return text


def but(*changes: tuple[str, str], of: str | None = None) -> Edit:
    """Describe a wrong answer: the solution, but with parts of it replaced.

    Parameters
    ----------
    *changes : (str, str)
        A part, all of whose occurrences are replaced, and what comes in its place, one change
        after the other.
    of : str, optional
        Another right answer to start from. Default: the solution of the exercise.
    """
    return Edit(changes, of)


Answer = str | Edit
"""What a student might write: the lines of a function, or of a class, below its docstring."""


class Mistake:
    """A mistake that is known, and what a teacher would say to it.

    Parameters
    ----------
    sentence : str
        What the answer does, then what to look at.
    *answers : Answer
        Answers with this mistake. A student's answer has made it if it does the same as one of
        them, with the same results and the same changes of its arguments.
    likely : str
        What is wrong, in a few words, if it is one of the likeliest mistakes: the guide for
        instructors shows them.
    """

    def __init__(self, sentence: str, *answers: Answer, likely: str = "") -> None:
        self.sentence, self.answers, self.likely = sentence, answers, likely


@dataclass(eq=False, repr=False)
class Exercise:
    """What is asked of the student, and how to judge it.

    Attributes
    ----------
    solution : callable
        The right answer, a function or a class, which has the name of the student's.
    topic, title
        For people; the topic is that of the lesson, see `n2n_lib.course.lessons`.
    returns : tuple of str
        Names of what is returned; one name means one value, more a tuple. Of a function that works
        in place: names of what is judged, which have equal shares of the tensors. With `use`: names
        of what that returns.
    cases : sequence of Case
        Simple ones first.
    hints : (str, str, str)
        What helps on, one after the other: a nudge, the formula in words, the line of code.
    errors : sequence of (str, str)
        Part of an exception's name and message, and a sentence that explains it.
    axes : tuple of str
        What the dimensions of the result count, as ``("image", "channel", "row", "column")``.
    in_place : callable, optional
        For a function that returns nothing: the tensors to judge, from its arguments.
    use : callable, optional
        How an answer is used on the arguments of a case, ``use(answer, *arguments)``; what it
        returns is judged. Default: ``answer(*arguments)``. A class needs one, see `registry`. It is
        a function of a module, and no lambda, since the grader sends its name to the worker.
    may_change : str or tuple of str
        Arguments that it may, or must, change: the beginnings of their names.
    elementwise : bool
        Whether the relative error of each value counts, and not that of the largest.
    view_of : str
        Argument whose memory the result has to share. Default: none.
    loops : bool
        Whether there may be loops in the answer.
    searched : bool
        Whether small edits of the solution are tried on a wrong answer that nobody foresaw, see
        `edits`; not where a case takes long.
    mistakes : sequence of Mistake
    failures : int
        How often the check has failed since it was last right.
    asked : int
        How many of the hints have been asked for, see `check.hint`.
    """

    solution: Callable[..., Any]
    topic: str
    title: str
    hints: tuple[str, str, str]
    returns: tuple[str, ...]
    cases: Sequence[Case]
    errors: Sequence[tuple[str, str]] = ()
    axes: tuple[str, ...] = ()
    in_place: Callable[..., tuple[Tensor, ...]] | None = None
    use: Callable[..., Any] | None = None
    may_change: str | tuple[str, ...] = "nothing"
    elementwise: bool = False
    view_of: str = ""
    loops: bool = True
    searched: bool = True
    mistakes: Sequence[Mistake] = ()
    failures: int = 0
    asked: int = 0

    def __post_init__(self) -> None:
        self.name: str = self.solution.__name__
        if isinstance(self.hints, str) or len(self.hints) != 3 or not all(self.hints):
            raise ValueError(f"{self.name}: expected three hints, got {self.hints!r}")
        self.__doc__ = self.solution.__doc__
        self.kind: str = "class" if isinstance(self.solution, type) else "function"
        self._seen: dict[str, Seen] = {}  # of the solution, by the names of cases

    def __repr__(self) -> str:
        """Give no hint away to whoever looks at a check."""
        return f"<check of {self.name}>"

    def is_one(self, answer: Any) -> bool:
        """Whether an answer is of the kind that is asked for, a class or a function."""
        return isinstance(answer, type) if self.kind == "class" else callable(answer)

    # -------------------------------------------------------------------- what is right

    @cached_property
    def expected(self) -> list[tuple]:
        """What should come out of each case."""
        return [self._expected(case) for case in self.cases]

    @property
    def allowed(self) -> list[str]:
        """Ready-made functions that the solution uses, so that everybody may."""
        assert self.expected  # comes about while they are noted
        return sorted({name for seen in self._seen.values() for name in seen.used})

    def needs_single(self, case: Case) -> bool:
        """Whether the solution works in float32 on the way, although all it is given is float64."""
        return self._seen[case.name].single

    def _expected(self, case: Case) -> tuple:
        """Call the solution in float64, then round to the dtype that was asked for; no -0."""
        tensors = [value for _, value in tensors_in(case.arguments)]
        dtypes = {value.dtype for value in tensors if value.is_floating_point()}
        if len(dtypes) > 1:
            raise ValueError(
                f"{self.name}: expected tensors of one dtype in the case “{case.name}”, "
                f"got {' and '.join(sorted(map(str, dtypes)))}"
            )
        (dtype,) = dtypes or (torch.float64,)
        arguments = copy.deepcopy(case.arguments)
        values = [_in_float64(value) for value in arguments.values()]
        with Watch(exercise=self, of_solution=True) as watch:
            answer = self.calls(self.solution)(*values)
        self._seen[case.name] = watch.seen
        if self.in_place:
            answer = self.in_place(*values)
        answer = answer if isinstance(answer, tuple) else (answer,)
        return tuple(
            value.to(dtype) + 0 if isinstance(value, Tensor) else value for value in answer
        )

    def name_of(self, index: int, count: int) -> str:
        """Return the name of one of `count` values that are judged; names have equal shares."""
        return self.returns[index * len(self.returns) // count]

    def calls(self, answer: Callable[..., Any]) -> Callable[..., Any]:
        """Turn an answer into a function of the arguments of a case."""
        return partial(self.use, answer) if self.use else answer

    def wrong(self, expected: Tensor, got: Tensor, tolerance: float | None = None) -> Tensor:
        """Say of every value whether it is wrong; not-a-number equals itself."""
        tolerance = tolerance or TOLERANCE[expected.dtype]
        a, b = expected.double(), got.double()
        if self.elementwise:
            return ~torch.isclose(b, a, rtol=tolerance, atol=0, equal_nan=True)
        finite = a[a.isfinite()].abs()
        scale = finite.max().item() if finite.numel() else 1.0
        return ~torch.isclose(b, a, rtol=0, atol=tolerance * (scale or 1.0), equal_nan=True)

    def close(self, expected: Any, got: Any, tolerance: float | None = None) -> bool:
        """Compare two values, numbers or tensors of one shape."""
        if not isinstance(expected, Tensor):
            return math.isclose(expected, got, rel_tol=TOLERANCE[torch.float64])
        if expected.numel() and not self.elementwise:  # as `wrong` does, in less time
            a, b = expected.double(), got.double()
            farthest = (b - a).abs_().max().item()
            if math.isfinite(farthest):  # so all values are
                scale = a.abs().max().item()
                return farthest <= (tolerance or TOLERANCE[expected.dtype]) * (scale or 1.0)
        return not self.wrong(expected, got, tolerance).any()

    def same(self, ones: Sequence, others: Sequence) -> bool:
        """Whether values have the same shapes and are equal up to the coarser of their dtypes."""
        if len(ones) != len(others):
            return False
        for a, b in zip(ones, others, strict=True):
            if isinstance(a, Tensor) and isinstance(b, Tensor):
                tolerance = max(TOLERANCE.get(value.dtype, 0) for value in (a, b)) or 1e-9
                if a.is_complex() or b.is_complex():
                    return False
                if a.shape != b.shape or not self.close(a, b, tolerance):
                    return False
            elif not all(isinstance(value, (int, float)) for value in (a, b)):
                return False
            elif not self.close(a, b):
                return False
        return True

    # -------------------------------------------------------------------- what is wrong

    def text_of(self, answer: Answer) -> str:
        """Return the lines of an answer."""
        text = answer if isinstance(answer, str) else answer.applied_to(self._lines)
        return textwrap.dedent(text).strip("\n")

    def function_of(self, answer: Answer) -> Callable[..., Any]:
        """Compile an answer to the function, or the class, that a student would have written."""
        return self.compiled(f"{self._source[0]}\n{textwrap.indent(self.text_of(answer), '    ')}")

    def compiled(self, source: str) -> Callable[..., Any]:
        """Run the definition of an answer where the solution was defined, and return it."""
        names = {"math": math, "torch": torch, **vars(inspect.getmodule(self.solution))}
        exec(source, names)
        return names[self.name]

    @property
    def source(self) -> str:
        """The text of the solution."""
        return textwrap.dedent(inspect.getsource(self.solution))

    @property
    def _lines(self) -> str:
        return self._source[1]

    @cached_property
    def _source(self) -> tuple[str, str]:
        """The first line of the solution, with its signature or bases, and what follows the doc."""
        source = self.source
        (definition,) = ast.parse(source).body
        below = source.splitlines(keepends=True)[definition.body[0].end_lineno :]
        definition.decorator_list, definition.body = [], [ast.Pass()]
        return ast.unparse(definition).rpartition("\n")[0], textwrap.dedent("".join(below))


EXERCISES: dict[str, Exercise] = {}
"""Every exercise by its name, in the order of the lessons once all are made."""


def _in_float64(value: Any) -> Any:
    """Turn tensors into float64, also those in a list, a tuple or a module; indices stay."""
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, (list, tuple)):
        return type(value)(_in_float64(item) for item in value)
    if isinstance(value, Module):
        for name, held in vars(value).items():
            setattr(value, name, _in_float64(held))
    return value


def values(shape: Sequence[int], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random values of both signs, none closer to zero than 0.1, so that no mistake can hide."""
    source = torch.Generator().manual_seed(seed)
    drawn = torch.randn(tuple(shape), generator=source, dtype=torch.float64)
    return (drawn + 0.1 * torch.where(drawn < 0, -1.0, 1.0)).to(dtype)


def row_of_floats(numbers: Iterable[float], like: Tensor) -> Tensor:
    """Put numbers that an answer returned into a tensor, to be judged as one.

    Parameters
    ----------
    numbers : iterable of float
    like : Tensor
        Of the dtype to judge them in.

    Raises
    ------
    TypeError
        If there is anything but floats among them.
    """
    row = list(numbers)
    if others := [type(each).__name__ for each in row if not isinstance(each, float)]:
        raise TypeError(f"expected a list of floats, got {others[0]} in it")
    return like.new_tensor(row)


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

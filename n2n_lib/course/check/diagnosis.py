"""Say in words what is wrong with a student's answer.

`Diagnosis.explain` asks one question after the other, and the first that has an answer gives the
sentence. Each is answered only if it is true of every case that fails, and nothing that is right
speaks against it:

1. Does it use ready-made functions?
2. Does it do what a known mistake does (`known`), with its results and its changes of the input?
3. Did it raise, or return a wrong type or number of values?
4. Are the numbers right, and something else wrong: what became of the input, their shape, dtype,
   sign, a factor, their order?
5. Does it do what a small edit of the solution does (`edits`)?
6. Is there one shape, one place, one sign of an argument, where all that is wrong is?

Where nothing fits, the smallest case that fails is shown, with what was given, expected and got.
"""

from __future__ import annotations

import itertools
import math
import textwrap
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import n2n_lib
from n2n_lib.course.check.edits import same_edits
from n2n_lib.course.check.exercise import Case, Exercise
from n2n_lib.course.check.known import known_mistakes
from n2n_lib.course.check.outcome import Outcome
from n2n_lib.course.check.showing import differing, in_full, size_of
from n2n_lib.course.check.table import WIDTH, cut, describe
from n2n_lib.course.check.watch import is_students
from n2n_lib.course.check.words import listed, with_article

ERRORS = (
    (
        "Boolean value of Tensor with more than one",
        "Python's `if`, `and`, `min` and `max` want one truth value, and a tensor has many: use "
        "torch.where or torch.minimum, or multiply by the mask.",
    ),
    ("NoneType", "A value is None that should not be: does a step before return nothing?"),
    ("must be tuple of ints", "Sizes are whole numbers: divide them with `//`."),
    ("name 'math' is not defined", "Write `import math` above the answer, in the same cell."),
    (
        "does not require grad",
        "Autograd is off in this course, so a tensor has no backward: that of the loss, or of the "
        "module, computes the gradients.",
    ),
    (
        "could not infer output dtype",
        "Whole numbers and truth values have no mean: turn them into other numbers before, "
        "`.to(x.dtype)`.",
    ),
    *(
        (
            f"must be Tensor, not {kind}",
            "That function is for tensors: numbers have `math`, as in math.sqrt.",
        )
        for kind in ("int", "float")
    ),
    (
        "bitwise_xor",
        "`^` is no power, but compares bits: write `** 2`, or square().",
    ),
    (
        "builtin_function_or_method",
        "A method is named there and not called: it needs parentheses, as in x.numel().",
    ),
    (
        "cannot be converted to Scalar",
        "One number is wanted there, as by `.item()`, and this tensor has several.",
    ),
    (
        "converted to Python scalars",
        "One number is wanted there, by `math`, `float` or `torch.tensor`, and this tensor has "
        "several: tensors have torch.exp and so on.",
    ),
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
        "UnboundLocalError",
        "Without `self.` a name belongs to one call of one method: what the module keeps is "
        "`self.name`.",
    ),
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

_CASTS = {torch.float32: ".float()", torch.float64: ".double()", torch.float16: ".half()"}
"""What makes a tensor of this dtype out of any other."""

_CAUSES = (
    "a division by zero (0 / 0 is nan), the deviation of a single value, an exp of a large number, "
    "numbers that grow from step to step, or a tensor from torch.empty that is never filled."
)
"""Of results that are nan or infinite."""

_ORDER = (
    "holds the right numbers in another order: look at view, reshape and the order of dimensions "
    "before them."
)


@dataclass(frozen=True)
class Explanation:
    """What is said to an answer that is not right.

    Attributes
    ----------
    kind : str
        Which question was answered: ``"known"``, ``"factor"``, ``"shown"`` and so on, by the names
        of the methods of `Diagnosis`; or ``"changed"``, or ``"forbidden"``.
    text : str
        One to four sentences.
    """

    kind: str
    text: str


class Diagnosis:
    """What a student's answer made of every case, and why it is not right."""

    def __init__(self, exercise: Exercise, outcomes: list[Outcome]) -> None:
        self.exercise, self.outcomes = exercise, outcomes
        self.wrong = [outcome for outcome in outcomes if not outcome.right]
        self.right = [outcome for outcome in outcomes if outcome.right]

    def explain(self) -> Explanation:
        """Return the first explanation that fits."""
        changed = next((outcome.changed[0] for outcome in self.outcomes if outcome.changed), None)
        if text := self._ready_made():
            return Explanation("forbidden", text)
        if known := known_mistakes(self.exercise, self.outcomes, effects=True):
            return Explanation("known", _either(known))
        if not self.wrong:
            if text := self._by_wrong_means():
                return Explanation("forbidden", text)
            return Explanation("changed", self._changed(changed))
        kind, text = next(
            (question.__name__.strip("_"), text)
            for question in self._questions()
            if (text := question())
        )
        if changed:
            text += f" It also changed its input, {changed}: mend that first."
        return Explanation(kind, text)

    def _questions(self) -> Iterator[Callable[[], str | None]]:
        yield self._known
        yield self._known_elsewhere
        yield self._error
        yield self._type
        yield self._transposed
        yield self._reshaped
        yield self._dtype
        yield self._factor
        yield self._order
        yield self._edit
        yield self._shuffled
        yield self._shape
        yield self._not_finite
        yield self._place
        yield self._sign_of_argument
        yield self._shown

    # ------------------------------------------------------------ right numbers, wrong means

    def _ready_made(self) -> str | None:
        """Explain that functions were called which do the exercise's work."""
        used = dict.fromkeys(name for outcome in self.outcomes for name in outcome.seen.used)
        if not used:
            return None
        start = "Your" if self.wrong else "The numbers are right, but your"
        return (
            f"{start} {self.exercise.kind} uses {_names_of(list(used))}. That is "
            "ready-made: this course builds it from tensor operations, `unfold` and `fold`, so "
            "write it with these."
        )

    def _by_wrong_means(self) -> str | None:
        """Explain right numbers that came about as the exercise does not allow."""
        if any(outcome.seen.copied for outcome in self.outcomes):
            return (
                "The numbers are right, but they are a copy: the result has to be a view, which "
                f"shares the memory of {self.exercise.view_of}. Does `contiguous`, `clone`, "
                "`reshape` or an index copy them?"
            )
        if any(outcome.seen.moved for outcome in self.outcomes):
            return (
                "The numbers are right, but a tensor that was given lies elsewhere in memory now, "
                "perhaps where another one is. Write into it, with `add_`, `copy_` or `[...] =`, "
                "and leave `.data =` alone."
            )
        if not self.exercise.loops and any(outcome.seen.loops for outcome in self.outcomes):
            return (
                "The numbers are right, but there is a loop in it. The exercise asks for tensor "
                "operations that do all at once."
            )
        return None

    def _changed(self, what: str) -> str:
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

    # ------------------------------------------------------------ mistakes that are known

    def _known(self) -> str | None:
        return _either(known_mistakes(self.exercise, self.outcomes))

    def _known_elsewhere(self) -> str | None:
        """Explain a known mistake in an answer that raises, or is no number, elsewhere besides."""
        known = known_mistakes(self.exercise, self.outcomes, everywhere=False)
        if not known:
            return None
        raised = next((outcome for outcome in self.wrong if outcome.error is not None), None)
        if raised is not None:
            return f"{_either(known)} And {self._raised(raised)}"
        if any("wrong shape" in outcome.verdicts for outcome in self.wrong):
            return f"{_either(known)} And look at the shapes: one of them is wrong besides."
        spoilt = next(each for each in self.wrong if any(each.wrong_values("not finite")))
        return f"{_either(known)} And look again: {self._says_not_finite(spoilt)}"

    def _edit(self) -> str | None:
        """Explain what does the same as a right answer with one small edit, or two such."""
        edits = same_edits(self.exercise, self.outcomes)
        if not edits:
            return None
        edits = [each for each in edits if "dimension -" not in each] or edits  # said once
        if all(outcome.error is not None for outcome in self.outcomes):
            if len(edits) > 2:  # one exception has many causes
                return None
            return f"A right one raises the same, in every case, {' or '.join(edits[:2])}."
        return (
            f"Your {self.exercise.kind} gives, in every case, what a right one would give "
            f"{' or '.join(edits[:2])}."
        )

    # ------------------------------------------------------------ exceptions and types

    def _error(self) -> str | None:
        """Say which case, with which arguments, raised what, and what it means."""
        first = next((outcome for outcome in self.outcomes if outcome.error is not None), None)
        if first is None:
            return None
        message = _upper(self._raised(first)) + self._but_right()
        sentence = self._meaning(first)
        if not sentence and _is_in_answer(first.error):  # an edit raises in the answer, too
            sentence = self._edit()
        return f"{message} {sentence}" if sentence else message

    def _raised(self, outcome: Outcome) -> str:
        error = outcome.error
        text = (str(error).strip().splitlines() or [""])[0]
        what = type(error).__name__ + (f": {textwrap.shorten(text, 160)}" if text else "")
        given = _arguments(outcome.case)
        message = f"the case “{outcome.case.name}”{given and ' with ' + given} raised {what}"
        message = message.rstrip(".") + "."
        line = _line(error, self.exercise)
        return f"{message} The line is `{line}`." if line else message

    def _meaning(self, outcome: Outcome) -> str:
        """Say what an exception means, if that is known."""
        of_classes = ()
        if self.exercise.kind == "class":
            missing = f"'{self.exercise.name}' object has no attribute"
            line = _line(outcome.error, self.exercise)
            of_classes = ((missing, UNSET if line else UNDEFINED), *CLASS_ERRORS)
        said = f"{type(outcome.error).__name__}: {outcome.error}"
        if f"{self.exercise.name}." not in said:  # Python names the method that was called
            of_classes = tuple(each for each in of_classes if each[1] is not _ARGUMENTS)
        for part, sentence in (*self.exercise.errors, *of_classes, *ERRORS):
            if part in said:
                return sentence
        return ""

    def _type(self) -> str | None:
        """Explain None, a wrong number of values, and a wrong type."""
        for outcome in self.wrong:
            case = "" if outcome is self.outcomes[0] else f" in the case “{outcome.case.name}”"
            if outcome.returned is None and not self.exercise.in_place and not self.exercise.use:
                return self._nothing()
            if len(outcome.got) != len(outcome.expected):
                asked = ", ".join(self.exercise.returns)
                end = "" if self.exercise.use else f" End with `return {asked}`."
                return (
                    f"Expected {len(self.exercise.returns)} values, {asked}, got "
                    f"{describe(outcome.returned)}{case}.{end}"
                )
            for index, expected, got in outcome.wrong_values("wrong type"):
                return self._wrong_type(index, expected, got, case)
        return None

    def _nothing(self) -> str:
        """Explain a function that returns None."""
        empty = [outcome for outcome in self.wrong if outcome.returned is None]
        if len(empty) == len(self.outcomes):
            return "Your function returned nothing (None): does it end in a `return`?"
        where = f"{_cases(empty[:3])}{' and others' if len(empty) > 3 else ''}"
        return (
            f"Your function returned nothing (None) in {where}: is there a way through it on which "
            "no `return` is reached, past a loop or an `if`?"
        )

    def _wrong_type(self, index: int, expected: Any, got: Any, case: str) -> str:
        kind = _kind(expected)
        if got is None:
            method = "method" if self.exercise.kind == "class" else "function"
            return (
                f"{_upper(self._which(index))} is nothing (None){case}. Does the {method} "
                "that computes it end in a `return`?"
            )
        message = (
            f"Wrong type: {self._which(index)} should be {with_article(kind)}, got "
            f"{with_article(_kind(got))}{case}."
        )
        if kind == "int" and isinstance(got, float):
            return f"{message} A whole number stays one with `//`, where `/` makes a float of it."
        if kind != "tensor" and isinstance(got, Tensor):
            return message + " Turn it into a Python number with `.item()`, or use `math`."
        if kind == "tensor" and isinstance(got, (int, float)):
            return message + " It stays one without `.item()`, `int`, `float` and `math`."
        if kind == "tensor" and isinstance(got, (list, tuple)):
            maker = "stack" if all(isinstance(value, Tensor) for value in got) else "tensor"
            return message + f" `torch.{maker}` makes a tensor of it."
        return message

    # ------------------------------------------------------------ right numbers, wrong form

    def _transposed(self) -> str | None:
        """Explain dimensions that are only in another order."""
        return self._of_shapes(self._explain_transposed)

    def _reshaped(self) -> str | None:
        """Explain a shape that is wrong although all the numbers are there."""
        return self._of_shapes(self._explain_reshaped)

    def _shape(self) -> str | None:
        """Explain any other wrong shape."""
        return self._of_shapes(self._explain_shape, bare=True)

    def _of_shapes(
        self, explain: Callable[[Tensor, Tensor], str], *, bare: bool = False
    ) -> str | None:
        """Explain wrong shapes, if one explanation is true of every case that fails.

        If not, and `bare`, the first of them is only named.
        """
        found = [
            (outcome, *value)
            for outcome in self.wrong
            for value in outcome.wrong_values("wrong shape")
        ]
        if not found:
            return None
        outcome, index, expected, got = found[0]
        texts = {explain(expected, got) for _, _, expected, got in found}
        all_fail_so = {id(outcome) for outcome, *_ in found} == {id(each) for each in self.wrong}
        text = texts.pop() if len(texts) == 1 and all_fail_so else ""
        if not text and not bare:
            return None
        message = (
            f"Wrong shape: in the case “{outcome.case.name}” {self._which(index)} should be "
            f"{tuple(expected.shape)}, got {tuple(got.shape)}."
        )
        if text:
            return f"{message} {text}"
        return f"{message}{self._but_right()} Given was {_arguments(outcome.case)}."

    def _explain_transposed(self, expected: Tensor, got: Tensor) -> str:
        order = self._permutation(expected, got)
        if not order:
            return ""
        if got.dim() == 2:
            return "It is transposed: the numbers are right, rows and columns are swapped."
        return f"The numbers are right, the dimensions are transposed: try permute{order}."

    def _explain_reshaped(self, expected: Tensor, got: Tensor) -> str:
        if got.numel() != expected.numel():
            return ""
        if not self.exercise.close(expected.flatten(), got.flatten()):
            return ""
        if got.dim() == expected.dim():
            return "The numbers are right, but the sizes are not: compute them again."
        return "The numbers are right; only the shape is missing, so end with a reshape."

    def _explain_shape(self, expected: Tensor, got: Tensor) -> str:
        """Tell what would turn one shape into the other."""
        if got.dim() == 0:
            return (
                "It is a single number: one sum or mean too many, or one value where several are "
                "asked for."
            )
        if got.shape == expected.shape[1:] and self.exercise.axes[:1] == ("image",):
            return (
                "The batch is missing, the first dimension: does a sum, a mean or an index take "
                "it away? Every image has a result of its own."
            )
        if got.dim() == expected.dim() + 1 and got.shape[1:] == expected.shape:
            if self.exercise.axes[:1] != ("image",) and self.exercise.close(expected, got.sum(0)):
                return "It has one result for each image: sum over the batch, the first dimension."
            return "It has one dimension too many in front."
        if got.dim() == expected.dim():
            short = [d for d in range(got.dim()) if got.shape[d] == expected.shape[d] - 1]
            others = [d for d in range(got.dim()) if got.shape[d] != expected.shape[d]]
            if short == others and self._begins_alike(expected, got):
                missing = listed([f"one {self._axis(d)}" for d in short])
                return f"That is {missing} too few: is a + 1 missing, or a loop one short?"
        return ""

    def _begins_alike(self, expected: Tensor, got: Tensor) -> bool:
        """Whether a smaller tensor holds the first numbers of a larger one."""
        part = expected[tuple(slice(size) for size in got.shape)]
        return self.exercise.close(part, got)

    def _axis(self, dim: int) -> str:
        axes = self.exercise.axes
        return axes[dim] if dim < len(axes) else f"place along dimension {dim}"

    def _dtype(self) -> str | None:
        """Explain right numbers of another dtype."""
        found = [value for outcome in self.wrong for value in outcome.wrong_values()]
        for _, expected, got in found:
            if not isinstance(expected, Tensor) or expected.shape != got.shape:
                return None
            if got.dtype == expected.dtype:
                return None
            if not self.exercise.close(expected.float(), got.float()):
                return None
        if not found or any(outcome.error is not None for outcome in self.wrong):
            return None
        pairs = dict.fromkeys((expected.dtype, got.dtype) for _, expected, got in found)
        told = [f"{expected}, that of the input, got {got}" for expected, got in pairs]
        casts = " or ".join(f"`{_CASTS[got]}`" for _, got in pairs if got in _CASTS)
        without = f"Leave any {casts} out, make" if casts else "Make"
        given = self.exercise.cases[0].arguments.items()
        like = next((name for name, value in given if isinstance(value, Tensor)), "x")
        return (
            f"The numbers are right, but the dtype should be {', and elsewhere '.join(told)}. "
            f"{without} new tensors with `torch.zeros_like(...)` or `dtype={like}.dtype`, and turn "
            f"others with `.to({like}.dtype)`."
        )

    def _factor(self) -> str | None:
        """Explain a sign or a factor, the same in every case or one of the sizes of the case."""
        found: dict[str, list[tuple[Case, float]]] = {}
        for outcome in self.wrong:
            for index, expected, got in outcome.wrong_values():
                factor = self._quotient(expected, got)
                if factor is None:
                    return None
                found.setdefault(self._which(index), []).append((outcome.case, factor))
        texts = [
            _explain_factor(factors, self._right_ones(which)) for which, factors in found.items()
        ]
        if None in texts or not texts:
            return None
        return " ".join(f"{_upper(which)} {text}" for which, text in zip(found, texts, strict=True))

    def _right_ones(self, which: str) -> list[tuple[Case, float]]:
        """Return the cases where a value is right, and not zero, with the factor 1."""
        return [
            (outcome.case, 1.0)
            for outcome in self.outcomes
            for index, (expected, verdict) in enumerate(
                zip(outcome.expected, outcome.verdicts, strict=True)
            )
            if verdict == "right" and self._which(index) == which
            if (expected != 0 if not isinstance(expected, Tensor) else expected.any())
        ]

    def _quotient(self, expected: Any, got: Any) -> float | None:
        """Return the number f with ``got = f expected``, or None."""
        if isinstance(expected, int):  # of small whole numbers any quotient may be chance
            return None
        if not isinstance(expected, Tensor):
            return got / expected if expected else None
        if expected.shape != got.shape or not got.is_floating_point() or not got.isfinite().all():
            return None
        a, b = expected.double(), got.double()
        square = (a * a).sum().item()
        if square == 0:
            return None
        factor = (a * b).sum().item() / square
        return factor if self.exercise.close(b.to(expected.dtype), a * factor) else None

    def _order(self) -> str | None:
        """Explain the right numbers in the wrong places."""
        return self._of_values(self._explain_order)

    def _shuffled(self) -> str | None:
        """Explain numbers that are all there, in no order that has a name."""
        return self._of_values(self._explain_shuffled)

    def _of_values(self, explain: Callable[[Tensor, Tensor], str | None]) -> str | None:
        """Explain all that is wrong, if of each returned value one thing is true in every case."""
        explained: dict[str, set[str | None]] = {}
        for outcome in self.wrong:
            for index, expected, got in outcome.wrong_values():
                fits = isinstance(expected, Tensor) and expected.shape == got.shape
                fits = fits and not self.exercise.close(expected, got)  # else it is the dtype
                text = explain(expected, got) if fits else None
                explained.setdefault(self._which(index), set()).add(text)
        if not explained or any(None in texts or len(texts) > 1 for texts in explained.values()):
            return None
        texts = [f"{_upper(which)} {text}" for which, (text,) in explained.items()]
        return " ".join(texts) + self._but_right()

    def _but_right(self) -> str:
        if not self.right:
            return ""
        return f" It is right on {_cases(self.right)}."

    def _explain_order(self, expected: Tensor, got: Tensor) -> str | None:
        if order := self._permutation(expected, got):
            if got.dim() == 2:
                return "is transposed: rows and columns are swapped."
            return f"has its dimensions transposed: try permute{order}."
        last = tuple(range(max(0, expected.dim() - 2), expected.dim()))
        for dims in [last, *((d,) for d in last)]:
            if self.exercise.close(expected, got.flip(dims)):
                which = listed([str(dim) for dim in dims])
                return f"is flipped: the numbers are right, but dimension {which} runs backwards."
        return None

    def _explain_shuffled(self, expected: Tensor, got: Tensor) -> str | None:
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

    # ------------------------------------------------------------ where it is wrong

    def _not_finite(self) -> str | None:
        """Explain results that are nan or infinite wherever they are wrong."""
        if not all(any(outcome.wrong_values("not finite")) for outcome in self.wrong):
            return None
        text = self._says_not_finite(self.wrong[0])
        return text[0].upper() + text[1:] + self._but_right()

    def _says_not_finite(self, outcome: Outcome) -> str:
        """Say which results of a case are nan or infinite, and what makes them so."""
        index, expected, got = next(outcome.wrong_values("not finite"))
        wrong = self.exercise.wrong(expected, got)
        spoilt = wrong & ~got.isfinite()
        which, several = self._which(index), got.numel() > 1
        what = f"{which} is" if not several else f"some values of {which} are"
        kind = "not a number (nan)" if got.isnan().any() else "infinite"
        where = tuple(spoilt.nonzero()[0].tolist())
        there = "".join(
            f", the first where {name} is {value[where].item():.4g}"
            for name, value in outcome.case.arguments.items()
            if self.exercise.elementwise
            and isinstance(value, Tensor)
            and value.shape == expected.shape
        )
        if not there and len(where) > 1:
            axes = (f"{self._axis(dim)} {place}" for dim, place in enumerate(where))
            there = f", the first at {', '.join(axes)}"
        if several and not spoilt.all() and not (wrong & ~spoilt).any():
            there += "; all others are right"
        return f"{what} {kind} in the case “{outcome.case.name}”{there}. That comes of {_CAUSES}"

    def _place(self) -> str | None:
        """Explain numbers that are wrong only at the beginning or only at the end."""
        masks: dict[str, list[Tensor]] = {}
        for outcome in self.wrong:
            for index, expected, got in outcome.wrong_values():
                if not isinstance(expected, Tensor) or expected.shape != got.shape:
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
                    return f"Only the last {axis} {message} end too early?{self._but_right()}"
                if not any(mask[1:].any() for mask in view):
                    return f"Only the first {axis} {message} start too late?{self._but_right()}"
        return None

    def _sign_of_argument(self) -> str | None:
        """Explain numbers that are wrong only where an argument is zero, negative or positive."""
        tests = {"zero": lambda a: a == 0, "negative": lambda a: a < 0, "positive": lambda a: a > 0}
        arguments = self.exercise.cases[0].arguments
        for name, (kind, test) in itertools.product(arguments, tests.items()):
            found = list(self._wrong_and_meant(name, test))
            if len(found) < len(self.wrong):
                continue
            if any(test(outcome.case.arguments[name]).any() for outcome in self.right):
                continue
            wrong, meant = (torch.cat(parts) for parts in zip(*found, strict=True))
            if wrong.any() and not (wrong & ~meant).any() and not (meant & ~wrong).any():
                if not meant.all():
                    return (
                        f"It is wrong where {name} is {kind}, and only there: look at what should "
                        f"happen then.{self._but_right()}"
                    )
        return None

    def _wrong_and_meant(
        self, name: str, test: Callable[[Tensor], Tensor]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield, of every case that fails, what is wrong and where an argument passes a test."""
        for outcome in self.wrong:
            argument = outcome.case.arguments[name]
            (_, expected, got), *more = outcome.wrong_values()
            if more or not isinstance(argument, Tensor) or not isinstance(got, Tensor):
                return
            if not argument.shape == expected.shape == got.shape:
                return
            yield self.exercise.wrong(expected, got).flatten(), test(argument).flatten()

    # ------------------------------------------------------------ nothing fits

    def _shown(self) -> str:
        """Show the smallest case that fails: what was given, what was expected and what it got."""
        outcome = min(self.wrong, key=lambda each: size_of(each.case))
        index, expected, got = next(outcome.wrong_values())
        number = self.exercise.cases.index(outcome.case)
        count = len(outcome.expected)
        which = self.exercise.name_of(index, count) if count > 1 else "the result"
        text = f"In the case “{outcome.case.name}” {which} should be "
        text += "{}, got {}.".format(*differing(self.exercise, expected, got))
        if "not finite" in outcome.verdicts:
            text += f" Where a result is no number, that comes of {_CAUSES}"
        if given := in_full(outcome.case):
            text += f" Given was {given}."
        text += self._but_right()
        if fine := self._always_right():
            text += f" {_upper(listed(fine))} {'is' if len(fine) == 1 else 'are'} right."
        return f'{text} Look closer with `check.case("{self.exercise.name}", {number})`.'

    def _always_right(self) -> list[str]:
        """Return the names of those values that are right in every case."""
        wrong = {
            self.exercise.name_of(place, len(outcome.verdicts))
            for outcome in self.outcomes
            for place, verdict in enumerate(outcome.verdicts)
            if verdict != "right"
        }
        return [name for name in self.exercise.returns if name not in wrong]

    def _which(self, index: int) -> str:
        if self.exercise.in_place:
            return f"the {self._judged('or')}"
        count = len(self.exercise.returns)
        return self.exercise.name_of(index, count) if count > 1 else "the result"

    def _judged(self, word: str) -> str:
        """Name what a function that works in place changes: “parameter and the velocity”."""
        return f" {word} the ".join(self.exercise.returns)


def _line(error: Exception, exercise: Exercise) -> str:
    """Return the line of the student's code that raised, if Python can read it.

    What stands for an answer in another process gives its exceptions a `student_line`.
    """
    if hasattr(error, "student_line"):
        return cut(error.student_line, WIDTH)
    above = [str(Path(n2n_lib.__file__).parent)]  # the check, and perhaps a layer that it goes by
    if exercise.use:
        above.append(exercise.use.__code__.co_filename)
    frames = traceback.extract_tb(error.__traceback__)
    frames = [*itertools.dropwhile(lambda frame: frame.filename.startswith(tuple(above)), frames)]
    if not frames:
        return ""
    own = [frame for frame in frames if frame.filename == frames[0].filename]
    return cut(own[-1].line or "", WIDTH)


def _is_in_answer(error: Exception) -> bool:
    """Whether an exception comes out of the student's code, not of what the check does later."""
    if hasattr(error, "student_line"):
        return bool(error.student_line)
    return any(is_students(frame.f_code) for frame, _ in traceback.walk_tb(error.__traceback__))


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


def _explain_factor(wrong: list[tuple[Case, float]], right: list[tuple[Case, float]]) -> str | None:
    """Explain a factor that is true of the cases that fail, and not untrue of those that do not."""
    first, found = wrong[0][1], [*wrong, *right]
    if all(math.isclose(factor, -1, rel_tol=1e-6) for _, factor in found):
        return "has the wrong sign everywhere: a minus too many or too few."
    if all(math.isclose(factor, 0, abs_tol=1e-12) for _, factor in found):
        return "is zero everywhere: is it computed at all, or rounded down by `//`?"
    sizes_of = found[0][0].sizes if len(found) > 1 else ()  # in one case it may be chance
    for name, extra in itertools.product(sizes_of, (1, -1, 2, 0.5, -2, -0.5)):
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
    if len(wrong) > 1 and all(math.isclose(factor, first, rel_tol=1e-6) for _, factor in wrong):
        return f"is off by a constant factor of {first:.4g} wherever it is wrong."
    return None


def _either(sentences: list[str]) -> str | None:
    """Give one sentence, or two that fit equally well."""
    if len(sentences) < 2:
        return sentences[0] if sentences else None
    return f"More than one mistake does this. Either: {sentences[0]} Or: {sentences[1]}"


def _names_of(names: list[str]) -> str:
    """Name functions as people know them."""
    known = {"torch.nn.modules": "torch.nn", "torch._functorch": "torch.func"}
    known |= {"torch._tensor.backward": "autograd", "torch.autograd": "autograd"}
    shown = []
    for name in names:
        text = next((new for old, new in known.items() if name.startswith(old)), name)
        module, _, function = name.partition(":")
        if function:
            own = function.removesuffix(".__init__").rpartition(".")[2]
            text = f"{module.rpartition('.')[2] if own.startswith('_') else own} of n2n_lib"
        shown.append(f"`{text}`")
    return listed(list(dict.fromkeys(shown)))


def _upper(which: str) -> str:
    """Begin a sentence with a word, but leave a name of code as it is."""
    return "T" + which[1:] if which.startswith("the ") else which


def _cases(outcomes: Sequence[Outcome]) -> str:
    """Name the cases of some outcomes."""
    return listed([f"“{outcome.case.name}”" for outcome in outcomes])

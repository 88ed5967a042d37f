"""Exercises on automatic differentiation."""

from __future__ import annotations

import math  # noqa: F401 (wrong answers may use it)
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise
from n2n_lib.framework.tape import Variable

# --------------------------------------------------------------------------------------- play_back

Entries = list[tuple[int, tuple[int, ...], tuple[float, ...]]]


def _list_case(name: str, count: int, entries: Entries) -> Case:
    return Case(name, {"entries": entries, "count": count}, {"the number of values": count})


@exercise(
    topic="autograd",
    title="A list of operations, played backwards",
    hints=(
        "What does an input keep that has received something from another operation already? It is "
        "the chain rule, from the last operation to the first.",
        "The derivative of the last value for itself is 1, all others begin at 0. For each entry, "
        "from the last to the first: every input receives, in addition, its slope times the "
        "gradient of the result.",
        "`for result, inputs, slopes in reversed(entries):`, and in it `grads[index] += slope * "
        "grads[result]` for each `index, slope in zip(inputs, slopes)`; at first `grads[-1] = "
        "1.0`.",
    ),
    returns=("gradients",),
    cases=(
        _list_case("one operation", 2, [(1, (0,), (3.0,))]),
        _list_case("two in a row", 3, [(1, (0,), (3.0,)), (2, (1,), (0.5,))]),
        _list_case("x y + x", 4, [(2, (0, 1), (3.0, 2.0)), (3, (2, 0), (1.0, 1.0))]),
        _list_case("x x", 2, [(1, (0, 0), (2.5, 2.5))]),
        _list_case(
            "two ways that meet",
            5,
            [
                (1, (0,), (2.0,)),
                (2, (0,), (-3.0,)),
                (3, (1, 2), (4.0, 0.5)),
                (4, (3, 1), (2.0, 7.0)),
            ],
        ),
        _list_case(
            "a value that nothing needs",
            4,
            [(1, (0,), (2.0,)), (2, (0,), (5.0,)), (3, (1,), (1.5,))],
        ),
    ),
    axes=("value",),
)
def play_back(entries: Entries, count: int) -> Tensor:
    """Check ``play_back(entries, count) -> gradients``."""
    grads = torch.zeros(count, dtype=torch.float64)
    grads[-1] = 1.0
    for result, inputs, slopes in reversed(entries):
        for index, slope in zip(inputs, slopes, strict=True):
            grads[index] += slope * grads[result]
    return grads


play_back.mistakes = (
    Mistake(
        "What a value has received is overwritten when it is used a second time: gradients of "
        "several uses add up.",
        but(("+=", "=")),
        likely="overwritten",
    ),
    Mistake(
        "All inputs of an entry are added to at once, where one that stands there twice, as in x "
        "x, is written once: add them one after the other.",
        but(
            (
                "    for index, slope in zip(inputs, slopes, strict=True):\n"
                "        grads[index] += slope * grads[result]",
                "    grads[list(inputs)] += torch.tensor(slopes).double() * grads[result]",
            )
        ),
    ),
    Mistake(
        "The list is walked from its beginning, where the gradients of the results are still zero: "
        "which entry knows its gradient at the start?",
        but(("reversed(entries)", "entries")),
        likely="forwards",
    ),
    Mistake(
        "Every gradient is zero. The walk needs something to hand on: what is the derivative of "
        "the last value for itself?",
        but(("grads[-1] = 1.0", "pass")),
        likely="no beginning",
    ),
    Mistake(
        "The gradients are handed on without the slopes: each path multiplies the derivatives "
        "along it.",
        but(("slope * ", "")),
        likely="without slopes",
    ),
    Mistake(
        "Every value begins with 1 instead of 0: only the last one is its own derivative.",
        but(("torch.zeros", "torch.ones")),
        likely="ones everywhere",
    ),
    Mistake(
        "The 1 stands at the first value: the last one is differentiated.",
        but(("grads[-1]", "grads[0]")),
    ),
    Mistake(
        "Only the first input of each entry receives something.",
        but(("zip(inputs, slopes, strict=True)", "zip(inputs[:1], slopes[:1])")),
    ),
    Mistake(
        "The slopes of an entry go to the wrong inputs: the first belongs to the first.",
        but(("zip(inputs, slopes,", "zip(inputs, slopes[::-1],")),
    ),
    Mistake(
        "The slope is added to the gradient of the result: along a path derivatives are "
        "multiplied.",
        but(("slope * grads", "slope + grads")),
    ),
    Mistake(
        "No input receives anything: an entry reads the gradient of its result, grads[result], and "
        "adds to those of its inputs, grads[index].",
        but(("grads[index] += slope * grads[result]", "grads[result] += slope * grads[index]")),
    ),
)


# ------------------------------------------------------------------------------------------ sum_to


def _shapes_case(
    name: str, full: tuple[int, ...], shape: tuple[int, ...], dtype: torch.dtype = torch.float64
) -> Case:
    return Case(name, {"grad": values(full, 81, dtype), "shape": shape})


@exercise(
    topic="autograd",
    title="The backward of broadcasting",
    hints=(
        "What does a value receive that is read many times? Broadcasting copies it along some "
        "dimensions: find those that were not there, and those that had size 1.",
        "Shapes are lined up at the last dimension. Sum over the dimensions in front until there "
        "are len(shape), then over each with size 1 in shape, which stays as a dimension of size "
        "1.",
        "`while grad.dim() > len(shape): grad = grad.sum(0)`, then `grad = grad.sum(dimension, "
        "keepdim=True)` for each `dimension, size in enumerate(shape)` with `size == 1`.",
    ),
    returns=("gradient",),
    cases=(
        _shapes_case("a row", (4, 3), (3,)),
        _shapes_case("a column", (4, 3), (4, 1)),
        _shapes_case("nothing repeated", (2, 3), (2, 3)),
        _shapes_case("a bias of channels", (2, 3, 4, 5), (3, 1, 1)),
        _shapes_case("a size of 1 that stayed", (3, 1), (3, 1)),
        _shapes_case("one number", (2, 3), ()),
        _shapes_case("two in front", (3, 4, 3), (3,)),  # one of which has the size that stays
        _shapes_case("float32", (5, 2), (1, 2), torch.float32),
    ),
    errors=(
        (
            "is invalid for input of size",
            "The shape has not as many values as are there: sum over the dimensions that were "
            "repeated, and over no others, before it. (A sum over an empty list of dimensions is "
            "one over all.)",
        ),
    ),
)
def sum_to(grad: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Check ``sum_to(grad, shape)``."""
    while grad.dim() > len(shape):
        grad = grad.sum(0)
    for dimension, size in enumerate(shape):
        if size == 1:
            grad = grad.sum(dimension, keepdim=True)
    return grad


sum_to.mistakes = (
    Mistake(
        "The dimensions in front are summed, those of size 1 are not: they were repeated as well.",
        "while grad.dim() > len(shape):\n    grad = grad.sum(0)\nreturn grad",
        likely="only those in front",
    ),
    Mistake(
        "The dimensions of size 1 are gone: the gradient keeps them, with size 1.",
        "while grad.dim() > len(shape):\n    grad = grad.sum(0)\n"
        "return grad.sum([d for d, s in enumerate(shape) if s == 1]) if 1 in shape else grad",
        but((", keepdim=True", "")),
        likely="dimensions lost",
    ),
    Mistake(
        "The copies are averaged: a value that is read several times receives the sum.",
        but((".sum(", ".mean(")),
        likely="a mean",
    ),
    Mistake(
        "The last dimensions are summed away: shapes are lined up at the last, so what is missing "
        "was put in front.",
        but(("grad.sum(0)", "grad.sum(-1)")),
        likely="the last ones",
    ),
    Mistake(
        "A sum over an empty tuple of dimensions is the sum over all of them: what if nothing was "
        "put in front?",
        but(
            (
                "while grad.dim() > len(shape):\n    grad = grad.sum(0)",
                "grad = grad.sum(tuple(range(grad.dim() - len(shape))))",
            )
        ),
        "return grad.sum(tuple(range(grad.dim() - len(shape))))",
        likely="an empty tuple",
    ),
    Mistake(
        "Only the first copy is kept: all of them have a gradient, and they are added.",
        but(
            ("grad.sum(0)", "grad[0]"),
            ("grad.sum(dimension, keepdim=True)", "grad.narrow(dimension, 0, 1)"),
        ),
    ),
    Mistake(
        "One dimension in front is summed away, and there may be several.",
        but(("while", "if")),
    ),
    Mistake(
        "Every entry holds the sum over everything: sum over the repeated dimensions alone.",
        "return grad.sum().expand(shape).clone()",
    ),
    Mistake(
        "The entries are cut to the right number and put into the shape: nothing was added.",
        "return grad.flatten()[: math.prod(shape)].reshape(shape)",
    ),
    Mistake(
        "The first dimension is summed even where nothing was put in front.",
        "grad = grad.sum(0, keepdim=grad.dim() == len(shape))\n"
        "while grad.dim() > len(shape):\n    grad = grad.sum(0)\n"
        "for dimension, size in enumerate(shape):\n    if size == 1:\n"
        "        grad = grad.sum(dimension, keepdim=True)\nreturn grad",
    ),
)


# -------------------------------------------------------------------------------------------- Tape

Program = Callable[[Variable, Variable], Variable]


def _product(x: Variable, y: Variable) -> Variable:
    return x * y


def _used_twice(x: Variable, y: Variable) -> Variable:
    return x * y + x


def _doubled(x: Variable, y: Variable) -> Variable:
    return x + x


def _matrices(x: Variable, y: Variable) -> Variable:
    return x @ y


def _branches(x: Variable, y: Variable) -> Variable:
    product = x * y
    return product * x + (x + y)


def _dead_end(x: Variable, y: Variable) -> Variable:
    output = x * x
    y * y  # computed, and needed by nothing
    return output


def _longer(x: Variable, y: Variable) -> Variable:
    return x * y * x + y


def _program_case(name: str, program: Program, dtype: torch.dtype = torch.float64) -> Case:
    x, y, grad = (values((2, 2), 90 + place, dtype) for place in range(3))
    return Case(name, {"program": program, "x": x, "y": y, "grad": grad})


def _value_and_gradients(answer: type, program: Program, x: Tensor, y: Tensor, grad: Tensor) -> Any:
    """Run a program on a tape of this class, and play it back."""
    tape = answer()
    first, second = Variable(x, tape), Variable(y, tape)
    output = program(first, second)
    tape.backward(output, grad)
    grads = (variable.grad for variable in (first, second))
    received = (torch.zeros_like(grad) if g is None else g for g in grads)
    return (output.value, len(tape.entries), *received)


@exercise(
    topic="autograd",
    title="A tape",
    hints=(
        "What stands for “has received nothing”, and may a tensor be changed in place if it is "
        "handed to two inputs? It is play_back again, with tensors in place of numbers.",
        "record makes a Variable on this tape, notes (output, inputs, backward) and returns it. "
        "backward sets the gradient of the output; then, from the last entry to the first, one "
        "whose output has a gradient adds to those of its inputs.",
        "`self.entries.append((output, inputs, backward))`; and for each entry whose `result.grad` "
        "is not None, in the loop over inputs and shares, `variable.grad = share if variable.grad "
        "is None else variable.grad + share`.",
    ),
    returns=("value", "number of entries", "gradient of x", "gradient of y"),
    cases=(
        _program_case("x * y", _product),
        _program_case("x * y + x", _used_twice),
        _program_case("x + x", _doubled),
        _program_case("x @ y", _matrices),
        _program_case("two ways that meet", _branches),
        _program_case("a dead end", _dead_end),
        _program_case("float32", _longer, torch.float32),
    ),
    use=_value_and_gradients,
    errors=(
        (
            "'NoneType' object has no attribute",
            "The program goes on with what record returns: does it end in `return output`?",
        ),
        (
            "NoneType",
            "The gradient of a result is None where nothing needed it: pass over such an entry. "
            "(Or does record return nothing?)",
        ),
    ),
)
class Tape:
    """Check ``Tape()``, with ``entries``, ``record`` and ``backward``."""

    def __init__(self) -> None:
        self.entries = []

    def record(self, value: Tensor, inputs: tuple[Variable, ...], backward: Callable) -> Variable:
        """Note an operation, and return the variable of its result."""
        output = Variable(value, self)
        self.entries.append((output, inputs, backward))
        return output

    def backward(self, output: Variable, grad: Tensor) -> None:
        """Fill ``grad`` of every variable that `output` depends on."""
        output.grad = grad
        for result, inputs, backward in reversed(self.entries):
            if result.grad is None:
                continue
            for variable, share in zip(inputs, backward(result.grad), strict=True):
                variable.grad = share if variable.grad is None else variable.grad + share


_ADD = "variable.grad = share if variable.grad is None else variable.grad + share"

Tape.mistakes = (
    Mistake(
        "What a variable has received is overwritten when it is used a second time: the gradients "
        "of all its uses add up.",
        but((_ADD, "variable.grad = share")),
        likely="overwritten",
    ),
    Mistake(
        "The tape is played from its beginning, where no result has a gradient yet.",
        but(("reversed(self.entries)", "self.entries")),
        likely="forwards",
    ),
    Mistake(
        "No entry hands anything on, since none has a result with a gradient. Set that of the "
        "output, and note in each entry the very Variable that record returns, not its value.",
        but(("output.grad = grad", "pass")),
        likely="no beginning",
    ),
    Mistake(
        "A gradient is changed in place. The backward of a sum hands the same tensor to both its "
        "inputs, so what is added for one of them is added for the other, too.",
        but(
            (
                _ADD,
                "if variable.grad is None:\n"
                "                variable.grad = share\n"
                "            else:\n"
                "                variable.grad += share",
            )
        ),
        likely="in place",
    ),
    Mistake(
        "Nothing is noted: record has to put the operation into entries.",
        but(("self.entries.append((output, inputs, backward))", "pass")),
        likely="nothing noted",
    ),
    Mistake(
        "The entries are used up by backward: they should still be there afterwards.",
        but(
            (
                "for result, inputs, backward in reversed(self.entries):",
                "while self.entries:\n        result, inputs, backward = self.entries.pop()",
            )
        ),
    ),
    Mistake(
        "Each entry is written down twice, so its gradient is handed on twice.",
        but(
            (
                "self.entries.append((output, inputs, backward))",
                "self.entries += 2 * [(output, inputs, backward)]",
            )
        ),
    ),
    Mistake(
        "Only the first input of each entry receives something.",
        but(
            (
                "zip(inputs, backward(result.grad), strict=True)",
                "zip(inputs[:1], backward(result.grad))",
            )
        ),
    ),
    Mistake(
        "Each entry is asked with the gradient of the output of the whole program: it wants that "
        "of its own result.",
        but(("backward(result.grad)", "backward(output.grad)")),
    ),
    Mistake(
        "The walk ends at the first entry whose result has no gradient: the others may have one.",
        but(("continue", "break")),
    ),
)

"""Exercises on activations."""

from __future__ import annotations

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise
from n2n_lib.framework import activations
from n2n_lib.framework.module import Module

# ------------------------------------------------------------------------------------ relu_forward


def _number_case(
    name: str, shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64
) -> Case:
    return Case(name, {"x": values(shape, seed, dtype)})


@exercise(
    topic="activations",
    title="ReLU",
    hints=(
        "Of x and 0, which one does ReLU return? Tensors can be limited from below.",
        "The result is the larger one of x and 0, number by number, in a tensor of its own.",
        "A tensor has the method `clamp`, which takes a `min`.",
    ),
    returns=("output",),
    cases=(
        Case("numbers to read", {"x": torch.tensor([-2.0, 0.0, 0.5, 3.0], dtype=torch.float64)}),
        _number_case("one image", (1, 2, 3, 3), 31),
        _number_case("batch", (3, 2, 4, 2), 32),
        _number_case("float32", (2, 3, 2, 2), 33, torch.float32),
    ),
)
def relu_forward(x: Tensor) -> Tensor:
    """Check ``relu_forward(x) -> output``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``x`` of any shape and returns ``max(x, 0)`` of that shape and
        dtype, and leaves ``x`` as it was.
    """
    return x.clamp(min=0)


relu_forward.mistakes = (
    Mistake(
        "It returns the slope, 1 or 0, and not the value: where x is positive, ReLU returns x.",
        "return (x > 0).to(x.dtype)",
        likely="slope only",
    ),
    Mistake(
        "It keeps the negative numbers and replaces the positive ones by 0: it is the other way "
        "round.",
        "return x.clamp(max=0)",
        likely="wrong way round",
    ),
    Mistake(
        "This is the absolute value: a negative number becomes 0, and keeps nothing of its size.",
        "return x.abs()",
        likely="absolute value",
    ),
    Mistake(
        "The result is right, but your function changed its input: a method whose name ends in an "
        "underscore writes into x, and so does `x[...] = 0`. Whoever gave x to you still needs it.",
        "return x.clamp_(min=0)",
        """
        x[x < 0] = 0
        return x
        """,
        likely="in place",
    ),
    Mistake(
        "It returns the positive numbers alone, in a row: the others become 0, each in its place.",
        "return x[x > 0]",
        likely="selected",
    ),
    Mistake(
        "This is LeakyReLU, which keeps a little of a negative number: ReLU returns 0 there.",
        *(f"return torch.where(x > 0, x, {slope} * x)" for slope in (0.01, 0.1, 0.2)),
    ),
    Mistake(
        "The numbers are cut off at 1 as well: ReLU has no upper limit.",
        "return x.clamp(0, 1)",
    ),
    Mistake("It returns x as it came: a negative number becomes 0.", "return x"),
    Mistake(
        "The sign is lost: this is ReLU of -x, which keeps what is negative.",
        "return (-x).clamp(min=0)",
    ),
    Mistake(
        "`max` of a tensor is its largest number, one for all: ReLU compares each number with 0.",
        "return x.max().clamp(min=0)",
    ),
)


# -------------------------------------------------------------------------------------- fit_curve


def _curve_case(name: str, points: int, bends: int, dtype: torch.dtype = torch.float64) -> Case:
    x = torch.linspace(-1, 2, points, dtype=torch.float64)
    places = torch.linspace(-0.8, 1.5, bends, dtype=torch.float64)
    arguments = {"x": x, "target": torch.sin(3 * x) + 0.5 * x, "bends": places}
    return Case(name, {label: value.to(dtype) for label, value in arguments.items()})


@exercise(
    topic="activations",
    title="A curve from ReLUs",
    hints=(
        "A sum of ReLUs with unknown factors is linear in these factors. Which matrix has to be"
        " multiplied by them, and what did the lesson on photographs do with such a matrix?",
        "Column k is ReLU(x - bends[k]) at the n points, and one more column is ones: (n, K + "
        "1). Least squares gives the weights, and the matrix times them is the fit.",
        "`(x[:, None] - bends).clamp(min=0)` has K columns, `torch.cat([..., ones], dim=1)` "
        "adds the last; `torch.linalg.lstsq(columns, target[:, None]).solution` is (K + 1, 1).",
    ),
    returns=("fit",),
    cases=(
        _curve_case("three bends", 9, 3),
        _curve_case("five bends", 21, 5),
        _curve_case("one bend, float32", 9, 1, torch.float32),
    ),
    errors=(
        (
            "must match the size",
            "x[:, None] is (n, 1) and bends is (K,): their difference is (n, K).",
        ),
        (
            "at least 2 dimensions",
            "lstsq wants a matrix on both sides: target[:, None] is (n, 1).",
        ),
        (
            "must be greater or equal to 2",
            "lstsq wants a matrix on both sides: target[:, None] is (n, 1).",
        ),
        (
            "return_types.linalg_lstsq",
            "lstsq returns several things: the weights are its `.solution`.",
        ),
        (
            "expected m1 and m2 to have the same dtype",
            "All parts need the dtype of x: torch.ones_like(x) has it, torch.ones(n) has not.",
        ),
    ),
)
def fit_curve(x: Tensor, target: Tensor, bends: Tensor) -> Tensor:
    """Check ``fit_curve(x, target, bends) -> fit``.

    Parameters
    ----------
    function : callable
        The student's, which takes points ``x`` and ``target`` ``(n,)`` and places ``bends``
        ``(K,)``, and returns the values at the points, ``(n,)``, of the sum ``b + sum_k w_k
        ReLU(x - bends[k])`` that is closest to the target in squared error.
    """
    features = (x[:, None] - bends).clamp(min=0)
    columns = torch.cat([features, torch.ones_like(x)[:, None]], dim=1)
    weights = torch.linalg.lstsq(columns, target[:, None]).solution
    return (columns @ weights)[:, 0]


_ONES = "torch.ones_like(x)[:, None]"

fit_curve.mistakes = (
    Mistake(
        "The constant is missing: without a column of ones every sum is 0 at the first bend.",
        but((f"torch.cat([features, {_ONES}], dim=1)", "features")),
        likely="no constant",
    ),
    Mistake(
        "The features have no bend: x - c alone is a straight line, and so is every sum of such "
        "lines. Take ReLU of it.",
        but((".clamp(min=0)", "")),
        likely="no ReLU",
    ),
    Mistake(
        "The features are those of ReLU(c - x), which are zero to the right of their place: "
        "subtract bends from x.",
        but(("x[:, None] - bends", "bends - x[:, None]")),
        likely="wrong sign",
    ),
    Mistake(
        "The places are added to x, so the bends are at -c: ReLU(x - c) bends at c.",
        but(("- bends", "+ bends")),
    ),
    Mistake(
        "It is ReLU of x minus c, and not ReLU(x) minus c: subtract first, then clamp.",
        but(("(x[:, None] - bends).clamp(min=0)", "x[:, None].clamp(min=0) - bends")),
    ),
    Mistake(
        "The features are 1 or 0: these sums are steps. Keep x - c where it is positive.",
        but((".clamp(min=0)", ".gt(0).to(x.dtype)")),
        likely="steps",
    ),
    Mistake(
        "It returns the weights: multiply the columns with them for the values at the points.",
        but(("return (columns @ weights)[:, 0]", "return weights[:, 0]")),
        likely="weights",
    ),
    Mistake(
        "It returns what is left, target minus the fit.",
        but(("return (columns @ weights)[:, 0]", "return target - (columns @ weights)[:, 0]")),
    ),
    Mistake(
        "The result has a dimension too many: take column 0 of (n, 1).",
        but(("(columns @ weights)[:, 0]", "columns @ weights")),
        likely="(n, 1)",
    ),
    Mistake(
        "It returns the target as it came: the fit only comes close to it.",
        "return target",
    ),
    Mistake(
        "ReLU is taken of the whole sum at the end: the sum itself is the fit.",
        but(("[:, 0]", "[:, 0].clamp(min=0)")),
    ),
)


# ----------------------------------------------------------------------------------- relu_backward


def _relu_case(name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Case:
    output = values(shape, 15, dtype).clamp(min=0)  # about half of it is zero
    return Case(name, {"grad_output": values(shape, 16, dtype), "output": output})


@exercise(
    topic="activations",
    title="Backward of ReLU",
    hints=(
        "Where is ReLU constant, and where is it a line of slope 1? Can you tell from the "
        "output alone?",
        "The slope is 1 where the output is positive, and 0 elsewhere, also at exactly zero. "
        "The gradient of the input is grad_output times the slope, number by number.",
        "`output > 0` is true and false, which multiply like 1 and 0.",
    ),
    returns=("grad_input",),
    cases=(
        _relu_case("vector", (6,)),
        _relu_case("one image", (1, 2, 3, 3)),
        _relu_case("batch", (3, 2, 4, 2)),
        _relu_case("float32", (2, 3, 2, 2), torch.float32),
    ),
)
def relu_backward(grad_output: Tensor, output: Tensor) -> Tensor:
    """Check ``relu_backward(grad_output, output) -> grad_input``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``grad_output`` and ``output``, what ReLU returned, of one
        shape, and returns the gradient of the input, of that shape.
    """
    return grad_output * (output > 0)


relu_backward.mistakes = (
    Mistake(
        "The slope is 1 at zero too, so the whole gradient comes through. The output is 0 where "
        "ReLU was off: use `output > 0`, not `>= 0`.",
        "return grad_output * (output >= 0)",
        likely="at zero too",
    ),
    Mistake(
        "The result is zero everywhere. Does the condition look for negative values (`output < "
        "0`)? The output of ReLU has none: use `output > 0`.",
        "return grad_output * (output < 0)",
        likely="below zero",
    ),
    Mistake(
        "The condition is the wrong way round: the gradient passes where the output is positive, "
        "and stops where it is zero.",
        "return grad_output * (output <= 0)",
        likely="wrong way round",
    ),
    Mistake(
        "It returns the mask only, the slope, and forgot grad_output: multiply by it.",
        "return (output > 0).double()",
        likely="mask only",
    ),
    Mistake(
        "It looks at the sign of grad_output instead of that of output.",
        "return grad_output * (grad_output > 0)",
        likely="sign of the gradient",
    ),
    Mistake(
        "This is the backward of LeakyReLU: where the output is zero, the slope of ReLU is 0, "
        "and nothing of the gradient passes.",
        *(
            f"return torch.where(output > 0, grad_output, {slope} * grad_output)"
            for slope in (0.01, 0.1, 0.2)
        ),
    ),
    Mistake(
        "It returns only the values that pass, in a row: multiply by the mask instead of "
        "selecting with it, and the others become 0.",
        "return grad_output[output > 0]",
    ),
    Mistake(
        "It multiplies by the output instead of the slope, which is 1 where the output is "
        "positive, whatever its value.",
        "return grad_output * output",
    ),
    Mistake(
        "It returns the output of the forward and forgot grad_output.",
        "return output",
    ),
    Mistake(
        "The sign is wrong: the slope of ReLU is 1 or 0, never -1.",
        "return -grad_output * (output > 0)",
    ),
    Mistake(
        "Negative gradients are lost: both tests are made, and the one of grad_output is too many.",
        "return grad_output.clamp(min=0) * (output > 0)",
    ),
)


# --------------------------------------------------------------------------------- sigmoid_forward


# At -712 exp(712) overflows in float64, and the result 6e-310 can still be held. So there a
# sigmoid that overflows on its way is wrong: it gives exactly 0. (Where the processor is set to
# flush such small numbers to zero, no way of writing it could be right.)
_DEEP = [-712.0] if torch.exp(torch.full((16,), -712.0, dtype=torch.float64)).min() > 0 else []


def _sigmoid_case(name: str, numbers: list[float], dtype: torch.dtype = torch.float64) -> Case:
    return Case(name, {"x": torch.tensor(numbers, dtype=dtype)})


_LIMITS = (*range(5, 101), 200, 250, 300, 400, 500, 600, 700, 708, 709)


_CLAMPED = (
    "The values are clamped before the exponential, so that all large negative x give the same "
    "number. It does not overflow, but it is wrong: sigmoid(-30) is 9.4e-14. Take the exponential "
    "of -|x|."
)


@exercise(
    topic="activations",
    title="A sigmoid that never overflows",
    hints=(
        "Which number makes exp overflow, a large or a very negative one? Multiply numerator "
        "and denominator by exp(x): which form is good for which sign?",
        "For x >= 0 it is 1 / (1 + exp(-x)), for x < 0 the same number written as exp(x) / (1 +"
        " exp(x)). In one: exp(min(x, 0)) / (1 + exp(-|x|)), where exp never sees a positive "
        "number.",
        "The denominator is `1 + torch.exp(-x.abs())`, and `x.clamp(max=0)` is min(x, 0).",
    ),
    returns=("output",),
    elementwise=True,
    cases=(
        _sigmoid_case("near zero", [0.0, 0.5, -0.5, 2.0, -2.0]),
        Case("batch of images", {"x": values((2, 3, 2, 2), 17)}),
        _sigmoid_case("medium", [6.0, -6.0, 15.0, -15.0]),
        _sigmoid_case("plus and minus 30", [30.0, -30.0, 25.0, -25.0]),
        _sigmoid_case("very large", [1e4, 800.0, 100.0, 1.0]),
        _sigmoid_case("very negative", [-1e4, *_DEEP, -600.0, -100.0, -1.0]),
        _sigmoid_case("float32", [1e4, -1e4, 80.0, -80.0, 1.5, -1.5], torch.float32),
    ),
    errors=(
        (
            "math range error",
            "math.exp overflows: give it negative numbers only, -|x|.",
        ),
        (
            "Boolean value of Tensor",
            "Python's `if`, `min` and `max` want one truth value, and x has many: torch.where "
            "takes one of two results for every value.",
        ),
    ),
)
def sigmoid_forward(x: Tensor) -> Tensor:
    """Check ``sigmoid_forward(x) -> output``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``x`` of any shape and returns ``1 / (1 + exp(-x))`` of that
        shape and dtype, exact to 9 digits in float64 and finite, also at 10 000 and -10 000.
    """
    return torch.exp(x.clamp(max=0)) / (1 + torch.exp(-x.abs()))


sigmoid_forward.mistakes = (
    Mistake(
        "exp(-x) overflows to infinity for a large negative x, and the result is exactly 0 where "
        "it should be small. Take the exponential of negative numbers only.",
        "return 1 / (1 + torch.exp(-x))",
        likely="naive",
    ),
    Mistake(
        "exp(x) overflows to infinity for a large positive x, and infinity divided by infinity "
        "is not a number. Take the exponential of negative numbers only.",
        "return torch.exp(x) / (1 + torch.exp(x))",
        likely="the other way",
    ),
    Mistake(
        "For a negative x it subtracts two nearly equal numbers, as 1 - 1 / (1 + exp(x)) does, and "
        "loses its digits: look at x = -30.",
        "return 1 - 1 / (1 + torch.exp(x))",
        "one = 1 / (1 + torch.exp(-x.abs())); return torch.where(x < 0, 1 - one, one)",
    ),
    Mistake(
        "Each way is taken for the sign for which it overflows: 1 / (1 + exp(-x)) is safe for "
        "x >= 0, and exp(x) / (1 + exp(x)) for x < 0.",
        "return torch.where(x < 0, 1 / (1 + torch.exp(-x)), torch.exp(x) / (1 + torch.exp(x)))",
    ),
    Mistake(
        "Parentheses are missing around the denominator: in `a / 1 + b` only the 1 divides.",
        "return 1 / 1 + torch.exp(-x)",
        "return torch.exp(x.clamp(max=0)) / 1 + torch.exp(-x.abs())",
    ),
    Mistake(
        "The sign of x is wrong: this is sigmoid(-x), which falls where it should rise.",
        "return 1 / (1 + torch.exp(x))",
        but(("x.clamp(max=0)", "-x.clamp(min=0)")),
        likely="wrong sign",
    ),
    Mistake(
        "(1 + tanh(x / 2)) / 2 is the same function, but for a large negative x it subtracts two "
        "nearly equal numbers and loses its digits: look at x = -30.",
        "return (torch.tanh(x / 2) + 1) / 2",
    ),
    Mistake(
        _CLAMPED,
        *(f"return 1 / (1 + torch.exp(-x.clamp(-{limit}, {limit})))" for limit in _LIMITS),
        likely="clamped",
    ),
    Mistake(
        "This is tanh, which goes from -1 to 1: the sigmoid goes from 0 to 1.",
        "return torch.tanh(x)",
        likely="tanh",
    ),
    Mistake(
        "exp is missing in the numerator: the smaller one of x and 0 is only its exponent.",
        "return x.clamp(max=0) / (1 + torch.exp(-x.abs()))",
    ),
    Mistake(
        "x = 0 is forgotten, where the sigmoid is 0.5: one of the two conditions has to hold "
        "there, x >= 0 and x < 0.",
        "return (x > 0) * (1 / (1 + torch.exp(-x.abs()))) + (x < 0) * (torch.exp(-x.abs()) / (1 "
        "+ torch.exp(-x.abs())))",
    ),
    Mistake(
        "One formula is taken for the whole tensor, and it overflows for some of the values: "
        "choose for every value by itself.",
        """
        if (x >= 0).all():
            return 1 / (1 + torch.exp(-x))
        return torch.exp(x) / (1 + torch.exp(x))
        """,
    ),
    Mistake(
        "For x >= 0 this is sigmoid(-x): there the numerator is 1, and the denominator 1 + "
        "exp(-x), which is 1 + exp(-|x|) for both signs.",
        "return torch.exp(-x.abs()) / (1 + torch.exp(-x.abs()))",
        "return torch.exp(x.clamp(max=0)) / (1 + torch.exp(x))",
    ),
    Mistake(
        "The sign of x is lost: 1 / (1 + exp(-|x|)) is right for x >= 0 only. For a negative x "
        "the numerator is exp(x).",
        "return 1 / (1 + torch.exp(-x.abs()))",
    ),
)


# -------------------------------------------------------------------------------- sigmoid_backward


def _sigmoid_backward_case(
    name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float64
) -> Case:
    output = sigmoid_forward.solution(values(shape, 18)).to(dtype)
    return Case(name, {"grad_output": values(shape, 19, dtype), "output": output})


@exercise(
    topic="activations",
    title="Backward of the sigmoid",
    hints=(
        "The slope of the sigmoid can be written with its output alone. What is 1 - y, if y is "
        "the output?",
        "With the output y the slope is y (1 - y). The gradient of the input is grad_output "
        "times the slope, number by number.",
        "The slope is `output * (1 - output)`.",
    ),
    returns=("grad_input",),
    cases=(
        _sigmoid_backward_case("vector", (5,)),
        _sigmoid_backward_case("one image", (1, 2, 3, 3)),
        _sigmoid_backward_case("batch", (3, 2, 2, 4)),
        _sigmoid_backward_case("float32", (2, 3, 2, 2), torch.float32),
    ),
)
def sigmoid_backward(grad_output: Tensor, output: Tensor) -> Tensor:
    """Check ``sigmoid_backward(grad_output, output) -> grad_input``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``grad_output`` and ``output``, what the sigmoid returned, of
        one shape, and returns the gradient of the input, of that shape.
    """
    return grad_output * output * (1 - output)


sigmoid_backward.mistakes = (
    Mistake(
        "A sign inside the slope is wrong: y * (1 + y) grows, and the slope is y * (1 - y).",
        "return grad_output * output * (1 + output)",
    ),
    Mistake(
        "It returns the slope only and forgot grad_output: multiply by it.",
        "return output * (1 - output)",
        likely="slope only",
    ),
    Mistake(
        "The factor y is missing: the slope is y * (1 - y).",
        "return grad_output * (1 - output)",
        likely="y missing",
    ),
    Mistake(
        "The factor (1 - y) is missing: the slope is y * (1 - y).",
        "return grad_output * output",
        likely="1 - y missing",
    ),
    Mistake(
        "It applies the sigmoid a second time. The argument `output` is already the result of "
        "the forward, y, and not x.",
        """
        y = torch.sigmoid(output)
        return grad_output * y * (1 - y)
        """,
        likely="sigmoid again",
    ),
    Mistake(
        "The sign is wrong: the sigmoid rises, so its slope y * (1 - y) is positive.",
        "return grad_output * output * (output - 1)",
        likely="wrong sign",
    ),
    Mistake(
        "This is 1 - y * y, the slope of tanh: that of the sigmoid is y * (1 - y).",
        "return grad_output * (1 - output**2)",
    ),
    Mistake(
        "Parentheses are missing: grad_output multiplies the first term of a difference alone. The "
        "slope is a product of y and (1 - y).",
        "return grad_output * output * 1 - output",
        "return grad_output * output - output**2",
    ),
    Mistake(
        "The slope is added to grad_output: the chain rule multiplies by it.",
        "return grad_output + output * (1 - output)",
    ),
    Mistake(
        "It divides by the slope: the chain rule multiplies by it.",
        "return grad_output / (output * (1 - output))",
    ),
    Mistake(
        "The slope y * (1 - y) is squared: it comes in once.",
        "return grad_output * (output * (1 - output)) ** 2",
    ),
    Mistake(
        "The slope is divided by grad_output: the chain rule multiplies the two.",
        "return output * (1 - output) / grad_output",
    ),
    Mistake(
        "Here (1 - grad_output) stands where (1 - y) belongs.",
        "return output * (1 - grad_output)",
    ),
)


# -------------------------------------------------------------------------------------------- ELU


def _elu_case(
    name: str, shape: tuple[int, ...], alpha: float, dtype: torch.dtype = torch.float64
) -> Case:
    x, grad_output = values(shape, 34, dtype), values(shape, 35, dtype)
    return Case(name, {"alpha": alpha, "x": x, "grad_output": grad_output})


def use_activation(
    answer: type[Module], alpha: float | None, x: Tensor, grad_output: Tensor
) -> tuple[Tensor, Tensor]:
    """Make a module, run it forwards and backwards, and another one between the two."""
    module, other = (answer() if alpha is None else answer(alpha) for _ in range(2))
    module.forward(2 * x)  # the last forward counts
    output = module.forward(x)
    kept = output.clone()
    other.forward(1 - x)
    return kept, module.backward(grad_output)


@exercise(
    topic="activations",
    title="A module of one's own: ELU",
    hints=(
        "What is the slope of alpha (exp(x) - 1), and how can it be read off the output, so "
        "that only the output has to be kept?",
        "forward: x where it is positive, elsewhere alpha * (exp(x) - 1). backward: grad_output"
        " where the output is positive, elsewhere grad_output * (output + alpha). exp must not "
        "see large numbers.",
        "`torch.where(x > 0, x, self.alpha * torch.expm1(x.clamp(max=0)))`, kept in "
        "`self.output`; in backward `torch.where(self.output > 0, grad_output, ...)`.",
    ),
    returns=("output", "grad_input"),
    use=use_activation,
    elementwise=True,
    cases=(
        _elu_case("vector", (6,), 1.0),
        _elu_case("alpha 0.5", (2, 3, 2, 2), 0.5),
        _elu_case("alpha left out", (4, 3), None),
        Case(
            "close to zero",
            {
                "alpha": 2.0,
                "x": torch.tensor([-1e-9, -1e-12, 1e-9, -0.5], dtype=torch.float64),
                "grad_output": values((4,), 36),
            },
        ),
        Case(
            "a large number",
            {
                "alpha": 1.5,
                "x": torch.tensor([1e4, -1e4, 800.0, -0.5], dtype=torch.float64),
                "grad_output": values((4,), 37),
            },
        ),
        _elu_case("batch, float32", (3, 2, 4, 2), 0.25, torch.float32),
    ),
    errors=(
        ("'NoneType' object has no attribute 'clone'", "Does forward end in a `return`?"),
        (
            "Boolean value of Tensor",
            "Python's `if`, `min` and `max` want one truth value, and x has many: torch.where "
            "takes one of two results for every value.",
        ),
    ),
)
class ELU(Module):
    """Check ``ELU(alpha)``, a module with ``forward(x)`` and ``backward(grad_output)``.

    Parameters
    ----------
    function : type
        The student's class, with ``alpha=1.0`` by default. Its ``forward`` returns ``x`` where
        it is positive and ``alpha (exp(x) - 1)`` elsewhere, exact also close to zero; its
        ``backward`` returns the gradient of the ``x`` of the last forward. Two modules of the
        class know nothing of each other.
    """

    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def forward(self, x):
        """Return ELU of every number."""
        below = self.alpha * torch.expm1(x.clamp(max=0))
        self.output = torch.where(x > 0, x, below)
        return self.output

    def backward(self, grad_output):
        """Return the gradient of the input."""
        below = grad_output * (self.output + self.alpha)
        return torch.where(self.output > 0, grad_output, below)


ELU.mistakes = (
    Mistake(
        "alpha is missing in forward: below zero the value is alpha * (exp(x) - 1).",
        but(("self.alpha * torch.expm1", "torch.expm1")),
        likely="no alpha in forward",
    ),
    Mistake(
        "backward uses what the first forward kept: it belongs to the last one, so keep the output "
        "anew in every forward.",
        but(
            ("self.output = torch.where", "output = torch.where"),
            (
                "return self.output",
                "self.output = getattr(self, 'output', output); return output",
            ),
        ),
    ),
    Mistake(
        "exp(x) - 1 loses its digits close to zero, where the two are nearly equal: torch.expm1(x) "
        "computes the difference in one go.",
        but(("torch.expm1(x.clamp(max=0))", "(torch.exp(x.clamp(max=0)) - 1)")),
        but(("torch.expm1(x.clamp(max=0))", "(torch.exp(x) - 1)")),
        likely="exp(x) - 1",
    ),
    Mistake(
        "The 1 is not subtracted: below zero the value is alpha * (exp(x) - 1), so that the curve "
        "goes through zero.",
        but(("torch.expm1(x.clamp(max=0))", "torch.exp(x.clamp(max=0))")),
    ),
    Mistake(
        "alpha multiplies exp(x) alone: below zero the value is alpha * (exp(x) - 1), with "
        "parentheses.",
        but(("torch.expm1(x.clamp(max=0))", "torch.exp(x.clamp(max=0)) - 1")),
        likely="no parentheses",
    ),
    Mistake(
        "The slope below zero is alpha * exp(x), which is output + alpha: alpha is not added.",
        but(("(self.output + self.alpha)", "self.output")),
        likely="alpha not added",
    ),
    Mistake(
        "The slope below zero is output + alpha: you add 1, which is right for alpha = 1 alone.",
        but(("(self.output + self.alpha)", "(self.output + 1)")),
        likely="output + 1",
    ),
    Mistake(
        "The slope below zero is alpha * exp(x), and this takes the exponential of the output: it "
        "is no x. Written with the output the slope is output + alpha.",
        but(("(self.output + self.alpha)", "self.alpha * torch.exp(self.output)")),
        likely="exp of the output",
    ),
    Mistake(
        "The slope is multiplied with alpha once more: it is output + alpha.",
        but(("(self.output + self.alpha)", "self.alpha * (self.output + self.alpha)")),
    ),
    Mistake(
        "backward returns the slope alone and forgot grad_output: multiply by it.",
        but(
            ("grad_output * (self.output", "(self.output"),
            ("grad_output, below", "torch.ones_like(below), below"),
        ),
        likely="slope alone",
    ),
    Mistake(
        "backward passes nothing where the output is negative: that is ReLU. ELU has the slope "
        "output + alpha there.",
        but(("grad_output * (self.output + self.alpha)", "torch.zeros_like(grad_output)")),
    ),
    Mistake(
        "backward looks at the sign of grad_output instead of that of the output.",
        but(("where(self.output > 0", "where(grad_output > 0")),
    ),
    Mistake(
        "backward uses what another module of the class was given: keep the output in `self`, not "
        "in the class, of which there is one for all.",
        but(("self.output", "ELU.output")),
        likely="kept in the class",
    ),
    Mistake(
        "alpha is not kept: whatever it is, the module uses 1.",
        but(("self.alpha = alpha", "self.alpha = 1.0")),
    ),
    Mistake(
        "alpha has another default: ELU() means alpha = 1.",
        but(("alpha=1.0", "alpha=0.01")),
    ),
    Mistake(
        "Below zero the value is alpha * x, a straight line: that is LeakyReLU.",
        but(("torch.expm1(x.clamp(max=0))", "x.clamp(max=0)")),
    ),
)


# --------------------------------------------------------------------------------- surviving_part


def _surviving_case(name: str, activation: Module, *shapes: tuple[int, ...]) -> Case:
    inputs = [values(shape, 38 + index) for index, shape in enumerate(shapes)]
    return Case(name, {"activation": activation, "inputs": inputs})


@exercise(
    topic="activations",
    title="What the slopes predict of a gradient",
    hints=(
        "A module tells its slopes if you ask its backward in the right way. Which grad_output "
        "leaves nothing but the slope?",
        "For each input: forward, then backward of ones gives the slopes. Take the root of the "
        "mean of their squares, and multiply these numbers over the layers, from 1 on.",
        "`slope = activation.backward(torch.ones_like(x))` after `activation.forward(x)`, then "
        "`part *= slope.square().mean().sqrt().item()`.",
    ),
    returns=("part",),
    cases=(
        _surviving_case("one layer of ReLU", activations.ReLU(), (4, 3)),
        _surviving_case("two layers of LeakyReLU", activations.LeakyReLU(0.3), (6,), (6,)),
        _surviving_case("three sigmoids", activations.Sigmoid(), (2, 3), (2, 3), (4,)),
        _surviving_case("two ELUs", activations.ELU(), (2, 4), (2, 4)),
        _surviving_case("no layer", activations.ReLU()),
    ),
    errors=(
        (
            "needs a forward",
            "backward belongs to the last forward: call activation.forward(x) before it.",
        ),
        (
            "backward() missing 1 required positional argument",
            "backward wants the gradient of the output: torch.ones_like(x).",
        ),
        (
            "forward() missing 1 required positional argument",
            "activation is a module already, such as ReLU(): call activation.forward(x).",
        ),
    ),
)
def surviving_part(activation: Module, inputs: list[Tensor]) -> float:
    """Check ``surviving_part(activation, inputs) -> part``.

    Parameters
    ----------
    function : callable
        The student's, which takes a module and a list of what it is given in layer 1, 2 ..., and
        returns the product over the layers of the root mean square of its slopes, a float.
    """
    part = 1.0
    for x in inputs:
        activation.forward(x)
        slope = activation.backward(torch.ones_like(x))
        part *= slope.square().mean().sqrt().item()
    return part


surviving_part.mistakes = (
    Mistake(
        "It takes the mean of the slopes: of their squares, and then the root.",
        but((".square().mean().sqrt()", ".mean()")),
        likely="mean",
    ),
    Mistake(
        "The root is missing: this is the product of the mean squares.",
        but((".sqrt()", "")),
        likely="no root",
    ),
    Mistake(
        "The squares are added up and not averaged: with more numbers in a layer the part grows.",
        but((".mean()", ".sum()")),
        but(("slope.square().mean().sqrt()", "slope.norm()")),
        likely="sum",
    ),
    Mistake(
        "It takes the largest slope of a layer: most numbers have a smaller one.",
        but((".square().mean().sqrt()", ".max()")),
    ),
    Mistake(
        "The layers are added up: a chain multiplies.",
        but(("part *=", "part +=")),
        but(("part = 1.0", "part = 0.0"), ("part *=", "part +=")),
    ),
    Mistake(
        "It begins with 0, and every product with 0 is 0.",
        but(("part = 1.0", "part = 0.0")),
    ),
    Mistake(
        "This is the part of the first layer alone: is `return` inside the loop?",
        but(("part *= ", "return ")),
        likely="return inside the loop",
    ),
    Mistake(
        "This is the part of the last layer alone: multiply over the layers.",
        but(("part *=", "part =")),
    ),
    Mistake(
        "It measures what forward returns: the slope is what backward makes of a gradient of ones.",
        but(("slope = activation.backward(torch.ones_like(x))", "slope = activation.forward(x)")),
        likely="values instead of slopes",
    ),
    Mistake(
        "backward is given x: a gradient of ones returns the slope itself.",
        but(("torch.ones_like(x)", "x")),
    ),
    Mistake(
        "It takes the standard deviation of the slopes, which is 0 where all are equal: take the "
        "root of their mean square.",
        but((".square().mean().sqrt()", ".std()")),
        but((".square().mean().sqrt()", ".std(unbiased=False)")),
    ),
)

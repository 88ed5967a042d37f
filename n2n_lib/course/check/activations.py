"""Exercises on activations."""

from __future__ import annotations

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise

# ----------------------------------------------------------------------------------- relu_backward


def _relu_case(name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Case:
    output = values(shape, 15, dtype).clamp(min=0)  # about half of it is zero
    return Case(name, {"grad_output": values(shape, 16, dtype), "output": output})


@exercise(
    topic="activations",
    title="Backward of ReLU",
    hint=(
        "Where the output is positive the slope is 1, and elsewhere it is 0, also at exactly "
        "zero. The gradient of the input is grad_output times the slope."
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


# At -712 exp(712) overflows in float64, and the result 5e-310 can still be held. So there a
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
    hint=(
        "For x >= 0 use 1 / (1 + exp(-x)), for x < 0 the same number written as "
        "exp(x) / (1 + exp(x)); then exp never sees a large positive number. torch.where takes "
        "one or the other."
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
            "`if` wants one truth value, and x has many: torch.where takes one formula or the "
            "other for every value by itself.",
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
        "exp(x) overflows to infinity for a large x, and 1 - 1 / (1 + exp(x)) loses its digits "
        "for a negative one. Take the exponential of negative numbers only.",
        "return 1 - 1 / (1 + torch.exp(x))",
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
        "choose for every value by itself, with torch.where.",
        """
        if (x >= 0).all():
            return 1 / (1 + torch.exp(-x))
        return torch.exp(x) / (1 + torch.exp(x))
        """,
    ),
    Mistake(
        "This is exp(-|x|) in the numerator for both signs: for x >= 0 the numerator is 1.",
        "return torch.exp(-x.abs()) / (1 + torch.exp(-x.abs()))",
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
    hint=(
        "The slope of the sigmoid, written with its output y, is y (1 - y). The gradient of the "
        "input is grad_output times the slope."
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
        "Parentheses are missing: `grad_output * y - y` or `y * 1 - y` subtracts too late. The "
        "slope is a product of y and (1 - y).",
        "return grad_output * output * 1 - output",
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

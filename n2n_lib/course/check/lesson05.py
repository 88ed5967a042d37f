"""Exercises of lesson 05, activations."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from n2n_lib.course.check.engine import Case, Exercise, run, values

# ------------------------------------------------------------------------------ relu_backward


def _relu_case(name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Case:
    output = values(shape, 15, dtype).clamp(min=0)  # about half of it is zero
    return Case(name, {"grad_output": values(shape, 16, dtype), "output": output})


def _relu_backward(g: Tensor, output: Tensor) -> Tensor:
    grad = [a if y > 0 else 0.0 for a, y in zip(g.flatten(), output.flatten(), strict=True)]
    return torch.tensor(grad, dtype=g.dtype).reshape(g.shape)


RELU_BACKWARD = Exercise(
    name="relu_backward",
    lesson=5,
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
    reference=_relu_backward,
    mistakes=(
        (
            "The slope is 1 at zero too, so the whole gradient comes through. The output is 0 "
            "where ReLU was off: use `output > 0`, not `>= 0`.",
            lambda g, y: g * (y >= 0),
        ),
        (
            "The result is zero everywhere. Does the condition look for negative values "
            "(`output < 0`)? The output of ReLU has none: use `output > 0`.",
            lambda g, y: g * (y < 0),
        ),
        (
            "The condition is the wrong way round: the gradient passes where the output is "
            "positive, and stops where it is zero.",
            lambda g, y: g * (y <= 0),
        ),
        (
            "It returns the mask only, the slope, and forgot grad_output: multiply by it.",
            lambda g, y: (y > 0).double(),
        ),
        (
            "It looks at the sign of grad_output instead of that of output.",
            lambda g, y: g * (g > 0),
        ),
        *(
            (
                "This is the backward of LeakyReLU: where the output is zero, the slope of ReLU is "
                "0, and nothing of the gradient passes.",
                lambda g, y, slope=slope: torch.where(y > 0, g, slope * g),
            )
            for slope in (0.01, 0.1, 0.2)
        ),
        (
            "It returns only the values that pass, in a row: multiply by the mask instead of "
            "selecting with it, and the others become 0.",
            lambda g, y: g[y > 0],
        ),
        (
            "It multiplies by the output instead of the slope, which is 1 where the output is "
            "positive, whatever its value.",
            lambda g, y: g * y,
        ),
        (
            "It returns the output of the forward and forgot grad_output.",
            lambda g, y: y,
        ),
        (
            "The sign is wrong: the slope of ReLU is 1 or 0, never -1.",
            lambda g, y: -g * (y > 0),
        ),
        (
            "Negative gradients are lost: both tests are made, and the one of grad_output is too "
            "many.",
            lambda g, y: g.clamp(min=0) * (y > 0),
        ),
    ),
)


def relu_backward(function: Callable) -> None:
    """Check ``relu_backward(grad_output, output) -> grad_input``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``grad_output`` and ``output``, what ReLU returned, of one
        shape, and returns the gradient of the input, of that shape.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(RELU_BACKWARD, function)


# ------------------------------------------------------------------------------ sigmoid_forward

# At -712 exp(712) overflows in float64, and the result 5e-310 can still be held. So there a
# sigmoid that overflows on its way is wrong: it gives exactly 0. (Where the processor is set to
# flush such small numbers to zero, no way of writing it could be right.)
_DEEP = [-712.0] if torch.exp(torch.full((16,), -712.0, dtype=torch.float64)).min() > 0 else []


def _sigmoid_case(name: str, numbers: list[float], dtype: torch.dtype = torch.float64) -> Case:
    return Case(name, {"x": torch.tensor(numbers, dtype=dtype)})


def _sigmoid(x: Tensor) -> Tensor:
    """One number at a time with ``math.exp``, of negative numbers only."""
    found = []
    for value in x.flatten().tolist():
        small = math.exp(-abs(value))
        found.append(1 / (1 + small) if value >= 0 else small / (1 + small))
    return torch.tensor(found, dtype=torch.float64).reshape(x.shape)


def _clamped(x: Tensor, limit: float) -> Tensor:
    return 1 / (1 + torch.exp(-x.clamp(-limit, limit)))


_LIMITS = (*range(5, 101), 200, 250, 300, 400, 500, 600, 700, 708, 709)
_CLAMPED = (
    "The values are clamped before the exponential, so that all large negative x give the same "
    "number. It does not overflow, but it is wrong: sigmoid(-30) is 9.4e-14. Take the exponential "
    "of -|x|."
)

SIGMOID_FORWARD = Exercise(
    name="sigmoid_forward",
    lesson=5,
    title="A sigmoid that never overflows",
    hint=(
        "For x >= 0 use 1 / (1 + exp(-x)), for x < 0 the same number written as "
        "exp(x) / (1 + exp(x)); then exp never sees a large positive number. torch.where takes "
        "one or the other."
    ),
    returns=("output",),
    cases=(
        _sigmoid_case("near zero", [0.0, 0.5, -0.5, 2.0, -2.0]),
        Case("batch of images", {"x": values((2, 3, 2, 2), 17)}),
        _sigmoid_case("medium", [6.0, -6.0, 15.0, -15.0]),
        _sigmoid_case("plus and minus 30", [30.0, -30.0, 25.0, -25.0]),
        _sigmoid_case("very large", [1e4, 800.0, 100.0, 1.0]),
        _sigmoid_case("very negative", [-1e4, *_DEEP, -600.0, -100.0, -1.0]),
        _sigmoid_case("float32", [1e4, -1e4, 80.0, -80.0, 1.5, -1.5], torch.float32),
    ),
    reference=_sigmoid,
    mistakes=(
        (
            "exp(-x) overflows to infinity for a large negative x, and the result is exactly 0 "
            "where it should be small. Take the exponential of negative numbers only.",
            lambda x: 1 / (1 + torch.exp(-x)),
        ),
        (
            "exp(x) overflows to infinity for a large positive x, and infinity divided by "
            "infinity is not a number. Take the exponential of negative numbers only.",
            lambda x: torch.exp(x) / (1 + torch.exp(x)),
        ),
        (
            "exp(x) overflows to infinity for a large x, and 1 - 1 / (1 + exp(x)) loses its "
            "digits for a negative one. Take the exponential of negative numbers only.",
            lambda x: 1 - 1 / (1 + torch.exp(x)),
        ),
        (
            "The sign of x is wrong: this is sigmoid(-x), which falls where it should rise.",
            lambda x: 1 / (1 + torch.exp(x)),
        ),
        (
            "The sign of x is wrong: this is sigmoid(-x), which falls where it should rise.",
            lambda x: _sigmoid(-x).to(x.dtype),
        ),
        (
            "(1 + tanh(x / 2)) / 2 is the same function, but for a large negative x it subtracts "
            "two nearly equal numbers and loses its digits: look at x = -30.",
            lambda x: (1 + torch.tanh(x / 2)) / 2,
        ),
        *((_CLAMPED, lambda x, m=limit: _clamped(x, m)) for limit in _LIMITS),
        (
            "This is tanh, which goes from -1 to 1: the sigmoid goes from 0 to 1.",
            torch.tanh,
        ),
        (
            "exp is missing in the numerator: the smaller one of x and 0 is only its exponent.",
            lambda x: x.clamp(max=0) / (1 + torch.exp(-x.abs())),
        ),
        (
            "x = 0 is forgotten, where the sigmoid is 0.5: one of the two conditions has to hold "
            "there, x >= 0 and x < 0.",
            lambda x: torch.where(x == 0, 0, _sigmoid(x).to(x.dtype)),
        ),
        (
            "One formula is taken for the whole tensor, and it overflows for some of the values: "
            "choose for every value by itself, with torch.where.",
            lambda x: (
                1 / (1 + torch.exp(-x)) if (x >= 0).all() else torch.exp(x) / (1 + torch.exp(x))
            ),
        ),
        (
            "This is exp(-|x|) in the numerator for both signs: for x >= 0 the numerator is 1.",
            lambda x: torch.exp(-x.abs()) / (1 + torch.exp(-x.abs())),
        ),
        (
            "The sign of x is lost: 1 / (1 + exp(-|x|)) is right for x >= 0 only. For a negative "
            "x the numerator is exp(x).",
            lambda x: 1 / (1 + torch.exp(-x.abs())),
        ),
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
    elementwise=True,
)


def sigmoid_forward(function: Callable) -> None:
    """Check ``sigmoid_forward(x) -> output``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``x`` of any shape and returns ``1 / (1 + exp(-x))`` of that
        shape and dtype, exact to 9 digits in float64 and finite, also at 10 000 and -10 000.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(SIGMOID_FORWARD, function)


# ------------------------------------------------------------------------------ sigmoid_backward


def _sigmoid_backward_case(
    name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float64
) -> Case:
    output = _sigmoid(values(shape, 18)).to(dtype)
    return Case(name, {"grad_output": values(shape, 19, dtype), "output": output})


def _sigmoid_backward(g: Tensor, output: Tensor) -> Tensor:
    """Differentiate by x through ``x = log(y / (1 - y))``, whose slope is ``1/y + 1/(1 - y)``."""
    grad = [
        a / (1 / y + 1 / (1 - y))
        for a, y in zip(g.flatten().tolist(), output.flatten().tolist(), strict=True)
    ]
    return torch.tensor(grad, dtype=g.dtype).reshape(g.shape)


SIGMOID_BACKWARD = Exercise(
    name="sigmoid_backward",
    lesson=5,
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
    reference=_sigmoid_backward,
    mistakes=(
        (
            "A sign inside the slope is wrong: y * (1 + y) grows, and the slope is y * (1 - y).",
            lambda g, y: g * y * (1 + y),
        ),
        (
            "It returns the slope only and forgot grad_output: multiply by it.",
            lambda g, y: y * (1 - y),
        ),
        (
            "The factor y is missing: the slope is y * (1 - y).",
            lambda g, y: g * (1 - y),
        ),
        (
            "The factor (1 - y) is missing: the slope is y * (1 - y).",
            lambda g, y: g * y,
        ),
        (
            "It applies the sigmoid a second time. The argument `output` is already the result of "
            "the forward, y, and not x.",
            lambda g, y: g * torch.sigmoid(y) * (1 - torch.sigmoid(y)),
        ),
        (
            "The sign is wrong: the sigmoid rises, so its slope y * (1 - y) is positive.",
            lambda g, y: g * y * (y - 1),
        ),
        (
            "This is 1 - y * y, the slope of tanh: that of the sigmoid is y * (1 - y).",
            lambda g, y: g * (1 - y * y),
        ),
        (
            "Parentheses are missing: `grad_output * y - y` or `y * 1 - y` subtracts too late. "
            "The slope is a product of y and (1 - y).",
            lambda g, y: g * y * 1 - y,
        ),
        (
            "The slope is added to grad_output: the chain rule multiplies by it.",
            lambda g, y: g + y * (1 - y),
        ),
        (
            "It divides by the slope: the chain rule multiplies by it.",
            lambda g, y: g / (y * (1 - y)),
        ),
        (
            "The slope y * (1 - y) is squared: it comes in once.",
            lambda g, y: g * (y * (1 - y)) ** 2,
        ),
        (
            "The slope is divided by grad_output: the chain rule multiplies the two.",
            lambda g, y: y * (1 - y) / g,
        ),
        (
            "Here (1 - grad_output) stands where (1 - y) belongs.",
            lambda g, y: y * (1 - g),
        ),
    ),
)


def sigmoid_backward(function: Callable) -> None:
    """Check ``sigmoid_backward(grad_output, output) -> grad_input``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``grad_output`` and ``output``, what the sigmoid returned, of
        one shape, and returns the gradient of the input, of that shape.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(SIGMOID_BACKWARD, function)

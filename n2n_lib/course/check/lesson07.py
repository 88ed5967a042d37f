"""Exercises of lesson 07, initial weights and stochastic gradient descent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from n2n_lib.course.check.engine import Case, Exercise, run, values

Pairs = list[tuple[Tensor, Tensor]]

# ------------------------------------------------------------------------------ sgd_step


def _sgd_case(name: str, lr: float, *shapes: tuple[int, ...], dtype=torch.float64) -> Case:
    params = [
        (values(shape, 40 + 2 * index, dtype), values(shape, 41 + 2 * index, dtype))
        for index, shape in enumerate(shapes)
    ]
    return Case(name, {"params": params, "lr": lr})


def _step(params: Pairs, lr: float) -> tuple[Tensor, ...]:
    """Return what the parameters should be, one number at a time."""
    after = []
    for parameter, grad in params:
        numbers = zip(parameter.flatten().tolist(), grad.flatten().tolist(), strict=True)
        moved = torch.tensor([p - lr * g for p, g in numbers], dtype=parameter.dtype)
        after.append(moved.reshape(parameter.shape))
    return tuple(after)


def _each(rule: Callable[[Tensor, Tensor, float], Tensor]) -> Callable[[Pairs, float], None]:
    """Make a wrong step of a rule for what one parameter should become."""
    return lambda params, lr: _write(params, [rule(p, g, lr) for p, g in params])


def _write(params: Pairs, after: Iterable[Tensor]) -> None:
    for (parameter, _), value in zip(params, after, strict=True):
        parameter.copy_(value)


def _with_gradients(
    params: Pairs, lr: float, zero_before: bool = False, zero_after: bool = False, scale: float = 1
) -> None:
    """Take the step, and change the gradients too."""
    for parameter, grad in params:
        grad.mul_(0 if zero_before else 1)
        parameter.sub_(lr * grad)
        grad.mul_(0 if zero_after else scale)


SGD_STEP = Exercise(
    name="sgd_step",
    lesson=7,
    title="One step of gradient descent",
    hint=(
        "For each pair take `parameter -= lr * gradient`: `-=` writes into the tensor that the "
        "network uses, while `parameter = parameter - ...` only gives a new tensor the old name."
    ),
    returns=("parameter",),
    cases=(
        _sgd_case("one number", 0.5, (1,)),
        _sgd_case("weight and bias", 0.1, (4, 3, 2, 2), (4,)),
        _sgd_case("three parameters", 2.0, (2, 3), (3,), (5, 1)),
        _sgd_case("float32", 0.25, (2, 2), (2,), dtype=torch.float32),
    ),
    reference=_step,
    mistakes=(
        (
            "The two of a pair are swapped: each is (parameter, gradient), and your step changed "
            "the gradient.",
            lambda params, lr: _write([(g, p) for p, g in params], [g - lr * p for p, g in params]),
        ),
        (
            "The parameters are right, but the gradients are zero now. Leave them: zero_grad is a "
            "step of its own.",
            lambda params, lr: _with_gradients(params, lr, zero_after=True),
        ),
        (
            "The gradients are set to zero before the step, so nothing is left to step along.",
            lambda params, lr: _with_gradients(params, lr, zero_before=True),
        ),
        (
            "The parameters are right, but your function changed the gradient: it is multiplied by "
            "lr. Compute lr * gradient as a new tensor.",
            lambda params, lr: _with_gradients(params, lr, scale=lr),
        ),
        (
            "The gradient is averaged over each parameter: every value has a slope of its own, so "
            "do not take the mean of the gradient.",
            _each(lambda p, g, lr: p - lr * g.mean()),
        ),
        (
            "It goes uphill: the step is taken along the gradient (plus sign), and should go "
            "against it.",
            _each(lambda p, g, lr: p + lr * g),
        ),
        (
            "The parameters did not change. `parameter = parameter - ...` makes a new tensor and "
            "leaves the one of the network alone; write in place, with `-=` or sub_.",
            _each(lambda p, g, lr: p),
        ),
        (
            "It forgot lr: the step is lr * gradient.",
            _each(lambda p, g, lr: p - g),
        ),
        (
            "It goes uphill and forgot lr: the step is lr * gradient, taken away from the "
            "parameter.",
            _each(lambda p, g, lr: p + g),
        ),
        (
            "The learning rate is divided by the first size of each parameter: the gradient is "
            "that of a mean already, so use lr as it is.",
            _each(lambda p, g, lr: p - lr / len(p) * g),
        ),
        (
            "The learning rate is divided by the number of values in each parameter: use lr as it "
            "is.",
            _each(lambda p, g, lr: p - lr / p.numel() * g),
        ),
        (
            "The learning rate is divided by the number of parameters: use lr as it is.",
            lambda params, lr: _write(params, _step(params, lr / len(params))),
        ),
        (
            "Only the first parameter is updated: go through all pairs (is `return` inside the "
            "loop?).",
            lambda params, lr: _write(params[:1], _step(params[:1], lr)),
        ),
        (
            "Only the last parameter is updated: is the step inside the loop?",
            lambda params, lr: _write(params[-1:], _step(params[-1:], lr)),
        ),
        (
            "The parameters are replaced by the step: subtract it from what they were.",
            _each(lambda p, g, lr: -lr * g),
        ),
        (
            "The parameters are replaced by lr * gradient: subtract it from what they were.",
            _each(lambda p, g, lr: lr * g),
        ),
        (
            "Only the sign of the gradient is used: the step is lr * gradient.",
            _each(lambda p, g, lr: p - lr * g.sign()),
        ),
        (
            "lr counts twice: the step is lr * gradient.",
            _each(lambda p, g, lr: p - lr * lr * g),
        ),
        (
            "It divides by lr: the step is lr * gradient.",
            _each(lambda p, g, lr: p - g / lr),
        ),
        (
            "The parameter is multiplied in: the step is parameter - lr * gradient, not "
            "parameter * (1 - lr * gradient).",
            _each(lambda p, g, lr: p * (1 - lr * g)),
        ),
        (
            "lr is multiplied with the parameter too: only the gradient is scaled, "
            "parameter - lr * gradient.",
            _each(lambda p, g, lr: lr * (p - g)),
        ),
        (
            "The parameter is subtracted from the step, so its sign is turned.",
            _each(lambda p, g, lr: lr * g - p),
        ),
    ),
    errors=(
        (
            "NoneType",
            "Autograd is off, so parameter.grad is None. The gradient is the second of each pair.",
        ),
        (
            "has no attribute 'grad'",
            "The gradient is the second of each pair: `for parameter, grad in params`.",
        ),
        (
            "'tuple'",
            "params is a list of pairs: `for parameter, grad in params` takes each apart.",
        ),
    ),
    in_place=lambda params, lr: tuple(parameter for parameter, _ in params),
    may_change="parameter",
)


def sgd_step(function: Callable) -> None:
    """Check ``sgd_step(params, lr) -> None``.

    Parameters
    ----------
    function : callable
        The student's, which takes a list of pairs ``(parameter, gradient)`` of equal shape and the
        learning rate, and moves every parameter in place. Gradients stay as they are.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(SGD_STEP, function)


# ------------------------------------------------------------------------------ xavier_std


def _xavier_case(name: str, *shape: int) -> Case:
    return Case(name, {"shape": shape})


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (fan in, fan out)."""
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def _xavier(shape: tuple[int, ...]) -> float:
    """Count the connections: a one for each number of a weight of this shape."""
    weight = torch.ones(shape, dtype=torch.float64)
    fan_in, fan_out = weight[0].sum().item(), weight[:, 0].sum().item()
    return (2 / (fan_in + fan_out)) ** 0.5


XAVIER_STD = Exercise(
    name="xavier_std",
    lesson=7,
    title="Standard deviation of Xavier's initial weights",
    hint=(
        "fan_in = in * kH * kW, fan_out = out * kH * kW, and the variance is "
        "2 / (fan_in + fan_out); the standard deviation is its square root."
    ),
    returns=("std",),
    cases=(
        _xavier_case("one pixel window", 3, 5, 1, 1),
        _xavier_case("the report's first layer", 32, 3, 2, 2),
        _xavier_case("window not square", 4, 6, 2, 3),
        _xavier_case("more in than out", 3, 32, 3, 3),
    ),
    reference=_xavier,
    mistakes=(
        (
            "This is the variance: the standard deviation is its square root.",
            lambda s: 2 / sum(_fans(s)),
        ),
        (
            "It uses fan_in only, sqrt(1 / fan_in): Xavier takes both, 2 / (fan_in + fan_out).",
            lambda s: math.sqrt(1 / _fans(s)[0]),
        ),
        (
            "It uses fan_in only, sqrt(2 / fan_in), which is He's rule: Xavier takes both, "
            "2 / (fan_in + fan_out).",
            lambda s: math.sqrt(2 / _fans(s)[0]),
        ),
        (
            "It uses fan_out only, sqrt(1 / fan_out): Xavier takes both, 2 / (fan_in + fan_out).",
            lambda s: math.sqrt(1 / _fans(s)[1]),
        ),
        (
            "It uses fan_out only, sqrt(2 / fan_out): Xavier takes both, 2 / (fan_in + fan_out).",
            lambda s: math.sqrt(2 / _fans(s)[1]),
        ),
        (
            "It forgot the window: each input channel feeds an output with kH * kW pixels, so "
            "fan_in and fan_out are both multiplied by kH * kW.",
            lambda s: math.sqrt(2 / (s[0] + s[1])),
        ),
        (
            "The window counts for the inputs alone: fan_out is multiplied by kH * kW too.",
            lambda s: math.sqrt(2 / (_fans(s)[0] + s[0])),
        ),
        (
            "The window counts for the outputs alone: fan_in is multiplied by kH * kW too.",
            lambda s: math.sqrt(2 / (_fans(s)[1] + s[1])),
        ),
        (
            "Only the height of the window counts: multiply by kH * kW.",
            lambda s: math.sqrt(2 / (s[2] * (s[0] + s[1]))),
        ),
        (
            "Only the width of the window counts: multiply by kH * kW.",
            lambda s: math.sqrt(2 / (s[3] * (s[0] + s[1]))),
        ),
        (
            "This is the bound of Xavier's uniform distribution, sqrt(6 / (fan_in + fan_out)): "
            "for the standard deviation the number on top is 2.",
            lambda s: math.sqrt(6 / sum(_fans(s))),
        ),
        (
            "The factor 2 is missing: the variance is one over the mean of fan_in and fan_out, "
            "which is 2 / (fan_in + fan_out).",
            lambda s: math.sqrt(1 / sum(_fans(s))),
        ),
        (
            "`** 1 / 2` takes the power 1 and then divides by 2: write `** 0.5` or math.sqrt.",
            lambda s: 1 / sum(_fans(s)),
        ),
        (
            "Put parentheses around (fan_in + fan_out): 2 is divided by the sum, not by fan_in "
            "alone.",
            lambda s: math.sqrt(2 / _fans(s)[0] + _fans(s)[1]),
        ),
        (
            "The fans are multiplied: it is their sum, fan_in + fan_out, and not their product.",
            lambda s: math.sqrt(2 / math.prod(_fans(s))),
        ),
        (
            "`//` rounds the fraction down to zero: divide with `/`.",
            lambda s: 0.0,
        ),
        (
            "The root is upside down: the more connections, the smaller the weights, so the fans "
            "stand below the line.",
            lambda s: math.sqrt(sum(_fans(s)) / 2),
        ),
        (
            "The root is taken of the sum of fans alone: the 2 belongs under it too.",
            lambda s: 2 / math.sqrt(sum(_fans(s))),
        ),
    ),
)


def xavier_std(function: Callable) -> None:
    """Check ``xavier_std(shape) -> float``.

    Parameters
    ----------
    function : callable
        The student's, which takes the shape ``(out, in, kH, kW)`` of a convolution's weight, a
        tuple, and returns the standard deviation of its initial values, a float.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(XAVIER_STD, function)

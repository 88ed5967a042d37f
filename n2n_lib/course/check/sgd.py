"""Exercises on initial weights and stochastic gradient descent."""

from __future__ import annotations

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise

# -------------------------------------------------------------------------------------- xavier_std


def _xavier_case(name: str, *shape: int) -> Case:
    return Case(name, {"shape": shape})


@exercise(
    topic="sgd",
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
)
def xavier_std(shape: tuple[int, int, int, int]) -> float:
    """Check ``xavier_std(shape) -> float``.

    Parameters
    ----------
    function : callable
        The student's, which takes the shape ``(out, in, kH, kW)`` of a convolution's weight, a
        tuple, and returns the standard deviation of its initial values, a float.
    """
    out_channels, in_channels, height, width = shape
    fan_in = in_channels * height * width
    fan_out = out_channels * height * width
    return (2 / (fan_in + fan_out)) ** 0.5


FANS = "fan_in, fan_out = shape[1] * shape[2] * shape[3], shape[0] * shape[2] * shape[3]\n"
"""How wrong answers begin."""

xavier_std.mistakes = (
    Mistake(
        "This is the variance: the standard deviation is its square root.",
        FANS + "return 2 / (fan_in + fan_out)",
        likely="variance",
    ),
    Mistake(
        "It uses fan_in only, sqrt(1 / fan_in): Xavier takes both, 2 / (fan_in + fan_out).",
        FANS + "return math.sqrt(1 / fan_in)",
        likely="fan_in only",
    ),
    Mistake(
        "It uses fan_in only, sqrt(2 / fan_in), which is He's rule: Xavier takes both, 2 / "
        "(fan_in + fan_out).",
        FANS + "return math.sqrt(2 / fan_in)",
        likely="He",
    ),
    Mistake(
        "It uses fan_out only, sqrt(1 / fan_out): Xavier takes both, 2 / (fan_in + fan_out).",
        FANS + "return math.sqrt(1 / fan_out)",
        likely="fan_out only",
    ),
    Mistake(
        "It uses fan_out only, sqrt(2 / fan_out): Xavier takes both, 2 / (fan_in + fan_out).",
        FANS + "return math.sqrt(2 / fan_out)",
    ),
    Mistake(
        "It forgot the window: each input channel feeds an output with kH * kW pixels, so fan_in "
        "and fan_out are both multiplied by kH * kW.",
        "return math.sqrt(2 / (shape[0] + shape[1]))",
        likely="no window",
    ),
    Mistake(
        "The window counts for the inputs alone: fan_out is multiplied by kH * kW too.",
        FANS + "return math.sqrt(2 / (fan_in + shape[0]))",
    ),
    Mistake(
        "The window counts for the outputs alone: fan_in is multiplied by kH * kW too.",
        FANS + "return math.sqrt(2 / (shape[1] + fan_out))",
    ),
    Mistake(
        "Only the height of the window counts: multiply by kH * kW.",
        "return math.sqrt(2 / (shape[2] * (shape[0] + shape[1])))",
    ),
    Mistake(
        "Only the width of the window counts: multiply by kH * kW.",
        "return math.sqrt(2 / (shape[3] * (shape[0] + shape[1])))",
    ),
    Mistake(
        "This is the bound of Xavier's uniform distribution, sqrt(6 / (fan_in + fan_out)): for "
        "the standard deviation the number on top is 2.",
        FANS + "return math.sqrt(6 / (fan_in + fan_out))",
    ),
    Mistake(
        "The factor 2 is missing: the variance is one over the mean of fan_in and fan_out, which "
        "is 2 / (fan_in + fan_out).",
        FANS + "return math.sqrt(1 / (fan_in + fan_out))",
    ),
    Mistake(
        "`** 1 / 2` takes the power 1 and then divides by 2: write `** 0.5` or math.sqrt.",
        FANS + "return (2 / (fan_in + fan_out)) ** 1 / 2",
    ),
    Mistake(
        "Put parentheses around (fan_in + fan_out): 2 is divided by the sum, not by fan_in alone.",
        FANS + "return math.sqrt(2 / fan_in + fan_out)",
    ),
    Mistake(
        "The fans are multiplied: it is their sum, fan_in + fan_out, and not their product.",
        FANS + "return math.sqrt(2 / (fan_in * fan_out))",
    ),
    Mistake(
        "`//` rounds the fraction down to zero: divide with `/`.",
        FANS + "return math.sqrt(2 // (fan_in + fan_out))",
    ),
    Mistake(
        "The root is upside down: the more connections, the smaller the weights, so the fans "
        "stand below the line.",
        FANS + "return math.sqrt((fan_in + fan_out) / 2)",
    ),
    Mistake(
        "The root is taken of the sum of fans alone: the 2 belongs under it too.",
        FANS + "return 2 / math.sqrt(fan_in + fan_out)",
    ),
)


# ---------------------------------------------------------------------------------------- sgd_step


Pairs = list[tuple[Tensor, Tensor]]


def _sgd_case(name: str, lr: float, *shapes: tuple[int, ...], dtype=torch.float64) -> Case:
    params = [
        (values(shape, 40 + 2 * index, dtype), values(shape, 41 + 2 * index, dtype))
        for index, shape in enumerate(shapes)
    ]
    return Case(name, {"params": params, "lr": lr})


@exercise(
    topic="sgd",
    title="One step of gradient descent",
    hint=(
        "For each pair take `parameter -= lr * gradient`: `-=` writes into the tensor that the "
        "network uses, while `parameter = parameter - ...` only gives a new tensor the old name."
    ),
    returns=("parameter",),
    in_place=lambda params, lr: tuple(parameter for parameter, _ in params),
    may_change="parameter",
    cases=(
        _sgd_case("one number", 0.5, (1,)),
        _sgd_case("weight and bias", 0.1, (4, 3, 2, 2), (4,)),
        _sgd_case("three parameters", 2.0, (2, 3), (3,), (5, 1)),
        _sgd_case("float32", 0.25, (2, 2), (2,), dtype=torch.float32),
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
)
def sgd_step(params: Pairs, lr: float) -> None:
    """Check ``sgd_step(params, lr) -> None``.

    Parameters
    ----------
    function : callable
        The student's, which takes a list of pairs ``(parameter, gradient)`` of equal shape and the
        learning rate, and moves every parameter in place. Gradients stay as they are.
    """
    for parameter, grad in params:
        parameter.sub_(lr * grad)


sgd_step.mistakes = (
    Mistake(
        "The two of a pair are swapped: each is (parameter, gradient), and your step changed the "
        "gradient.",
        but(("for parameter, grad", "for grad, parameter")),
    ),
    Mistake(
        "The parameters are right, but the gradients are zero now. Leave them: zero_grad is a "
        "step of its own.",
        but(("(lr * grad)", "(lr * grad)\n    grad.zero_()")),
    ),
    Mistake(
        "The gradients are set to zero before the step, so nothing is left to step along.",
        but(("lr * grad", "lr * grad.zero_()")),
    ),
    Mistake(
        "The parameters are right, but your function changed the gradient: it is multiplied by "
        "lr. Compute lr * gradient as a new tensor.",
        but(("lr * grad", "grad.mul_(lr)")),
    ),
    Mistake(
        "The gradient is averaged over each parameter: every value has a slope of its own, so do "
        "not take the mean of the gradient.",
        but(("grad)", "grad.mean())")),
    ),
    Mistake(
        "It goes uphill: the step is taken along the gradient (plus sign), and should go against "
        "it.",
        but(("sub_", "add_")),
        likely="plus",
    ),
    Mistake(
        "The parameters did not change. `parameter = parameter - ...` makes a new tensor and "
        "leaves the one of the network alone; write in place, with `-=` or sub_.",
        but(("parameter.sub_(lr * grad)", "parameter = parameter - lr * grad")),
        likely="not in place",
    ),
    Mistake(
        "It forgot lr: the step is lr * gradient.",
        but(("lr * ", "")),
        likely="lr forgotten",
    ),
    Mistake(
        "It goes uphill and forgot lr: the step is lr * gradient, taken away from the parameter.",
        but(("sub_(lr * ", "add_(")),
        likely="uphill without lr",
    ),
    Mistake(
        "The learning rate is divided by the first size of each parameter: the gradient is that "
        "of a mean already, so use lr as it is.",
        but(("grad)", "grad / len(parameter))")),
    ),
    Mistake(
        "The learning rate is divided by the number of values in each parameter: use lr as it is.",
        but(("lr * grad", "lr / parameter.numel() * grad")),
    ),
    Mistake(
        "The learning rate is divided by the number of parameters: use lr as it is.",
        but(("lr * grad", "lr / len(params) * grad")),
    ),
    Mistake(
        "Only the first parameter is updated: go through all pairs (is `return` inside the loop?).",
        but(("(lr * grad)", "(lr * grad)\n    return")),
        likely="return inside the loop",
    ),
    Mistake(
        "Only the last parameter is updated: is the step inside the loop?",
        but(("    parameter.sub_", "    pass\nparameter.sub_")),
    ),
    Mistake(
        "The parameters are replaced by the step: subtract it from what they were.",
        but(("sub_(lr", "copy_(-lr")),
    ),
    Mistake(
        "The parameters are replaced by lr * gradient: subtract it from what they were.",
        but(("sub_", "copy_")),
    ),
    Mistake(
        "Only the sign of the gradient is used: the step is lr * gradient.",
        but(("grad)", "grad.sign())")),
    ),
    Mistake(
        "lr counts twice: the step is lr * gradient.",
        but(("lr * ", "lr * lr * ")),
    ),
    Mistake(
        "It divides by lr: the step is lr * gradient.",
        but(("lr * grad", "grad / lr")),
    ),
    Mistake(
        "The parameter is multiplied in: the step is parameter - lr * gradient, not parameter * "
        "(1 - lr * gradient).",
        but(("sub_(lr * grad)", "mul_(1 - lr * grad)")),
    ),
    Mistake(
        "lr is multiplied with the parameter too: only the gradient is scaled, parameter - lr * "
        "gradient.",
        but(("sub_(lr * grad)", "sub_(grad).mul_(lr)")),
    ),
    Mistake(
        "The parameter is subtracted from the step, so its sign is turned.",
        but(("sub_(lr * grad)", "copy_(lr * grad - parameter)")),
    ),
)

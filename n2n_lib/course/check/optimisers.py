"""Exercises on optimisers with a memory and He's initial weights."""

from __future__ import annotations

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise

# ----------------------------------------------------------------------------------- momentum_step


Pairs = list[tuple[Tensor, Tensor]]


def _pairs(shapes: tuple[tuple[int, ...], ...], dtype: torch.dtype) -> Pairs:
    return [
        (values(shape, 60 + 2 * index, dtype), values(shape, 61 + 2 * index, dtype))
        for index, shape in enumerate(shapes)
    ]


def _memory(shapes: tuple[tuple[int, ...], ...], dtype: torch.dtype, seed: int) -> list[Tensor]:
    return [values(shape, seed + index, dtype) for index, shape in enumerate(shapes)]


ONLY_FIRST = "Only the first parameter is updated: go through all pairs (is `return` in the loop?)."


ONLY_LAST = "Only the last parameter is updated: is the step inside the loop?"


ERRORS = (
    (
        "NoneType",
        "Autograd is off, so parameter.grad is None. The gradient is the second of each pair.",
    ),
    (
        "has no attribute 'grad'",
        "The gradient is the second of each pair: `for (parameter, grad), v in zip(params, ...)`.",
    ),
    (
        "too many values to unpack",
        "zip gives a pair and its memory: take them apart as `(parameter, grad), kept`, with the "
        "parentheses.",
    ),
    (
        "for ^",
        "In Python `^` is no power: write `**`.",
    ),
    (
        "'list'",
        "Each memory is a list with one tensor for each parameter: go through both with zip.",
    ),
    (
        "'tuple'",
        "params is a list of pairs: `(parameter, grad)` takes each apart.",
    ),
)


def _momentum_case(
    name: str, lr: float, momentum: float, *shapes: tuple[int, ...], dtype=torch.float64
) -> Case:
    arguments = {"params": _pairs(shapes, dtype), "velocities": _memory(shapes, dtype, 80)}
    return Case(name, arguments | {"lr": lr, "momentum": momentum})


@exercise(
    topic="optimisers",
    title="One step with momentum",
    hint=(
        "Two lines for each parameter, both in place: `velocity.mul_(momentum).add_(grad)`, then "
        "`parameter.sub_(lr * velocity)`. `zip(params, velocities)` goes through both lists."
    ),
    returns=("parameter", "velocity"),
    in_place=lambda params, velocities, lr, momentum: (*(p for p, _ in params), *velocities),
    may_change=("parameter", "velocities"),
    cases=(
        _momentum_case("one number", 0.5, 0.9, (1,)),
        _momentum_case("weight and bias", 0.1, 0.8, (4, 3, 2, 2), (4,)),
        _momentum_case("three parameters", 2.0, 0.5, (2, 3), (3,), (5, 1)),
        _momentum_case("float32", 0.25, 0.7, (2, 2), (2,), dtype=torch.float32),
    ),
    errors=ERRORS,
)
def momentum_step(params: Pairs, velocities: list[Tensor], lr: float, momentum: float) -> None:
    """Check ``momentum_step(params, velocities, lr, momentum) -> None``.

    Parameters
    ----------
    function : callable
        The student's, which takes a list of pairs ``(parameter, gradient)``, a list with one
        velocity of equal shape for each, the learning rate and the share of the velocity that
        stays. It changes velocities and parameters in place, and no gradient.
    """
    for (parameter, grad), velocity in zip(params, velocities, strict=True):
        velocity.mul_(momentum).add_(grad)
        parameter.sub_(lr * velocity)


momentum_step.mistakes = (
    Mistake(
        "The velocities are right, but the parameters did not change: write in place, with sub_.",
        but(("parameter.sub_(lr * velocity)", "parameter = parameter - lr * velocity")),
        likely="parameter not in place",
    ),
    Mistake(
        "The parameters are right, but the velocities did not change, so the next step knows "
        "nothing of this one. Write into them, with mul_ and add_.",
        but(("velocity.mul_(momentum).add_(grad)", "velocity = momentum * velocity + grad")),
        likely="velocity not in place",
    ),
    Mistake(
        "Neither parameters nor velocities changed. `velocity = ...` gives a new tensor the old "
        "name; methods that end in _ write in place.",
        "return [p - lr * (momentum * v + g) for (p, g), v in zip(params, velocities)]",
        likely="nothing in place",
    ),
    Mistake(
        "It goes uphill: take lr * velocity away from the parameter, with a minus.",
        but((".sub_", ".add_")),
        likely="uphill",
    ),
    Mistake(
        "The gradient enters the velocity with a minus, and the step has a plus: the way is "
        "right, but our velocity is momentum * velocity + grad, as PyTorch's is.",
        but(("add_(grad)", "sub_(grad)"), ("parameter.sub_", "parameter.add_")),
    ),
    Mistake(
        "The gradient enters the velocity with a minus: it is momentum * velocity + grad.",
        but(("add_(grad)", "sub_(grad)")),
    ),
    Mistake(
        "The step follows the gradient, and the velocity is not used: parameter -= lr * velocity.",
        but(("parameter.sub_(lr * velocity)", "parameter.sub_(lr * grad)")),
        likely="step along the gradient",
    ),
    Mistake(
        "The step follows the old velocity: update the velocity first, then the parameter.",
        but(
            ("velocity.mul_(momentum).add_(grad)", "pass"),
            (
                "parameter.sub_(lr * velocity)",
                "parameter.sub_(lr * velocity)\n    velocity.mul_(momentum).add_(grad)",
            ),
        ),
    ),
    Mistake(
        "This is Nesterov's step, lr * (grad + momentum * velocity): here the step is lr * "
        "velocity.",
        but(("lr * velocity", "lr * (grad + momentum * velocity)")),
    ),
    Mistake(
        "The velocity loses nothing: it forgot momentum, the share of the old velocity that stays.",
        but((".mul_(momentum)", "")),
    ),
    Mistake(
        "momentum multiplies the gradient too: it is momentum * velocity + grad, not momentum * "
        "(velocity + grad).",
        but(("velocity.mul_(momentum).add_(grad)", "velocity.add_(grad).mul_(momentum)")),
    ),
    Mistake(
        "momentum multiplies the gradient in place of the velocity: it is momentum * velocity + "
        "grad.",
        but(("velocity.mul_(momentum).add_(grad)", "velocity.add_(momentum * grad)")),
    ),
    Mistake(
        "The gradient is multiplied by 1 - momentum: that is a mean, as in Adam. Here the "
        "gradient enters whole.",
        but(("add_(grad)", "add_((1 - momentum) * grad)")),
    ),
    Mistake(
        "The old velocity is gone: the new one is the gradient alone. Add momentum * velocity.",
        but(("velocity.mul_(momentum).add_(grad)", "velocity.copy_(grad)")),
    ),
    Mistake(
        "lr is inside the velocity, momentum * velocity + lr * grad. While lr stays the same "
        "that is the same path, but PyTorch multiplies by lr in the step.",
        but(("add_(grad)", "add_(lr * grad)"), ("lr * velocity", "velocity")),
    ),
    Mistake(
        "lr counts twice: once in the velocity and once in the step. It belongs in the step.",
        but(("add_(grad)", "add_(lr * grad)")),
    ),
    Mistake(
        "It forgot lr: the step is lr * velocity.",
        but(("lr * velocity", "velocity")),
    ),
    Mistake(
        "The step is momentum * velocity + grad once more: the velocity is updated already, so "
        "the step is lr * velocity.",
        but(("lr * velocity", "lr * momentum * (velocity + grad)")),
    ),
    Mistake(
        "The parameters and velocities are right, but the gradients changed as well: they hold "
        "the velocity now. Write into the velocity, not into the gradient.",
        but(("add_(grad)", "add_(grad)\n    grad.copy_(velocity)")),
    ),
    Mistake(
        "The velocity was added to the gradient, and the velocities stayed as they were. Write "
        "into the velocity, with mul_ and add_.",
        but(
            ("velocity.mul_(momentum).add_(grad)", "grad.add_(momentum * velocity)"),
            ("lr * velocity", "lr * grad"),
        ),
    ),
    Mistake(
        ONLY_FIRST,
        but(("(lr * velocity)", "(lr * velocity)\n    return")),
    ),
    Mistake(
        ONLY_LAST,
        but(("zip(params, velocities, strict=True)", "zip(params[-1:], velocities[-1:])")),
    ),
)


# ------------------------------------------------------------------------------------ adagrad_step


def _adagrad_case(
    name: str,
    lr: float,
    eps: float,
    *shapes: tuple[int, ...],
    dtype=torch.float64,
    first: bool = False,
) -> Case:
    params = _pairs(shapes, dtype)
    sums = [memory.square() for memory in _memory(shapes, dtype, 90)]
    if first:  # nothing summed yet, and one number without a slope
        sums = [torch.zeros_like(total) for total in sums]
        params[0][1].view(-1)[0] = 0
    return Case(name, {"params": params, "sums": sums, "lr": lr, "eps": eps})


@exercise(
    topic="optimisers",
    title="One step of AdaGrad",
    hint=(
        "First `total.add_(grad ** 2)` for the sum of this parameter, then take "
        "`lr * grad / (total.sqrt() + eps)` away from it, both in place."
    ),
    returns=("parameter", "sum"),
    in_place=lambda params, sums, lr, eps: (*(p for p, _ in params), *sums),
    may_change=("parameter", "sums"),
    cases=(
        _adagrad_case("one number", 0.5, 0.01, (1,)),
        _adagrad_case("weight and bias", 0.1, 0.2, (4, 3, 2, 2), (4,)),
        _adagrad_case("three parameters", 2.0, 0.1, (2, 3), (3,), (5, 1)),
        _adagrad_case("first step, slope 0", 0.3, 0.1, (3, 2), (2,), first=True),
        _adagrad_case("float32", 0.25, 0.1, (2, 2), (2,), dtype=torch.float32),
    ),
    errors=ERRORS,
)
def adagrad_step(params: Pairs, sums: list[Tensor], lr: float, eps: float) -> None:
    """Check ``adagrad_step(params, sums, lr, eps) -> None``.

    Parameters
    ----------
    function : callable
        The student's, which takes a list of pairs ``(parameter, gradient)``, a list with one sum
        of squares of equal shape for each, the learning rate and the number that is added to the
        root. It changes sums and parameters in place, and no gradient.
    """
    for (parameter, grad), total in zip(params, sums, strict=True):
        total.add_(grad**2)
        parameter.sub_(lr * grad / (total.sqrt() + eps))


adagrad_step.mistakes = (
    Mistake(
        "The sums are right, but the parameters did not change: write in place, with sub_.",
        but(("parameter.sub_(", "parameter = parameter - (")),
    ),
    Mistake(
        "The parameters are right, but the sums did not change, so the next step knows nothing "
        "of this one. Write into them, with add_.",
        but(("total.add_(grad**2)", "total = total + grad**2")),
    ),
    Mistake(
        "Neither parameters nor sums changed. `total = ...` gives a new tensor the old name; "
        "methods that end in _ write in place.",
        but(
            ("total.add_(grad**2)", "total = total + grad**2"),
            ("parameter.sub_(", "parameter = parameter - ("),
        ),
    ),
    Mistake(
        "It goes uphill: take the step away from the parameter, with a minus.",
        but((".sub_", ".add_")),
        likely="uphill",
    ),
    Mistake(
        "The gradient is added to the sum as it is: add its square, grad ** 2.",
        but(("grad**2", "grad")),
        likely="no square",
    ),
    Mistake(
        "The absolute value of the gradient is added to the sum: add its square, grad ** 2.",
        but(("grad**2", "grad.abs()")),
        likely="absolute value",
    ),
    Mistake(
        "The root is missing: divide by sqrt(sum) + eps.",
        but(("total.sqrt()", "total")),
        likely="no root",
    ),
    Mistake(
        "eps is under the root: it is sqrt(sum) + eps, not sqrt(sum + eps).",
        but(("total.sqrt() + eps", "(total + eps).sqrt()")),
        likely="eps under the root",
    ),
    Mistake(
        "eps is forgotten: without it a slope that has always been 0 gives 0 / 0.",
        but((" + eps", "")),
    ),
    Mistake(
        "Put parentheses around sqrt(sum) + eps: the gradient is divided by both together.",
        but(("(total.sqrt() + eps)", "total.sqrt() + eps")),
    ),
    Mistake(
        "Put parentheses around sqrt(sum) + eps, and mind the sign: eps is added to the parameter.",
        but(("/ (total.sqrt() + eps))", "/ total.sqrt()).add_(eps)")),
    ),
    Mistake(
        "The step divides by the old sum: add the square first, then step.",
        """
        for (parameter, grad), total in zip(params, sums):
            parameter.sub_(lr * grad / (total.sqrt() + eps))
            total.add_(grad**2)
        """,
    ),
    Mistake(
        "The sum is replaced by the square of this gradient: add it to what was there.",
        but((".add_(", ".copy_(")),
    ),
    Mistake(
        "One number is added for the whole parameter, the sum of all squares: every value has a "
        "sum of its own.",
        but(("grad**2", "(grad**2).sum()")),
    ),
    Mistake(
        "One number is added for the whole parameter, the mean of all squares: every value has a "
        "sum of its own.",
        but(("grad**2", "(grad**2).mean()")),
    ),
    Mistake(
        "It forgot lr: the step is lr * grad / (sqrt(sum) + eps).",
        but(("lr * ", "")),
    ),
    Mistake(
        "The gradient is missing on top: the step is lr * grad / (sqrt(sum) + eps).",
        but(("lr * grad", "lr")),
    ),
    Mistake(
        "The square of the gradient is on top: the step is lr * grad / (sqrt(sum) + eps).",
        but(("lr * grad", "lr * grad**2")),
    ),
    Mistake(
        "It multiplies by the root: divide by it, so that large gradients make small steps.",
        but(("grad / (", "grad * (")),
    ),
    Mistake(
        "lr enters the sum: add grad ** 2 alone.",
        but(("add_(grad**2)", "add_(lr * grad**2)")),
    ),
    Mistake(
        "The gradient was squared in place, so the step uses its square: write grad ** 2, which "
        "is a new tensor.",
        but(("grad**2", "grad.pow_(2)")),
    ),
    Mistake(
        ONLY_FIRST,
        but(("sqrt() + eps))", "sqrt() + eps))\n    return")),
    ),
    Mistake(
        ONLY_LAST,
        but(("zip(params, sums, strict=True)", "zip(params[-1:], sums[-1:])")),
    ),
)


# --------------------------------------------------------------------------------------- adam_step


def _adam_case(
    name: str,
    t: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    *shapes: tuple[int, ...],
    dtype=torch.float64,
) -> Case:
    means, roots = _memory(shapes, dtype, 100), _memory(shapes, dtype, 110)
    if t == 1:
        means, roots = ([torch.zeros_like(m) for m in kept] for kept in (means, roots))
    arguments = {"params": _pairs(shapes, dtype), "means": means}
    arguments["squares"] = [root.square() for root in roots]
    return Case(name, arguments | {"t": t, "lr": lr, "betas": betas, "eps": eps})


@exercise(
    topic="optimisers",
    title="One step of Adam",
    hint=(
        "Update both means in place: `mean.mul_(beta1).add_((1 - beta1) * grad)`, and the same for "
        "`square` with grad ** 2. Then divide copies of them by `1 - beta ** t`, and step."
    ),
    returns=("parameter", "mean", "mean square"),
    in_place=lambda params, means, squares, *_: (*(p for p, _ in params), *means, *squares),
    may_change=("parameter", "means", "squares"),
    cases=(
        _adam_case("first step", 1, 0.5, (0.9, 0.99), 0.01, (3,)),
        _adam_case("weight and bias", 3, 0.1, (0.8, 0.95), 0.2, (4, 3, 2, 2), (4,)),
        _adam_case("three parameters", 7, 2.0, (0.5, 0.9), 0.1, (2, 3), (3,), (5, 1)),
        _adam_case("float32", 2, 0.25, (0.7, 0.9), 0.1, (2, 2), (2,), dtype=torch.float32),
    ),
    errors=ERRORS,
)
def adam_step(
    params: Pairs,
    means: list[Tensor],
    squares: list[Tensor],
    t: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
) -> None:
    """Check ``adam_step(params, means, squares, t, lr, betas, eps) -> None``.

    Parameters
    ----------
    function : callable
        The student's, which takes a list of pairs ``(parameter, gradient)``; lists with a mean
        gradient and a mean square for each, of equal shape; the number of the step, from 1; the
        learning rate; the two shares that stay, a pair; and the number that is added to the root.
        It changes means, mean squares and parameters in place, and no gradient.
    """
    beta1, beta2 = betas
    for (parameter, grad), mean, square in zip(params, means, squares, strict=True):
        mean.mul_(beta1).add_((1 - beta1) * grad)
        square.mul_(beta2).add_((1 - beta2) * grad**2)
        root = (square / (1 - beta2**t)).sqrt() + eps
        parameter.sub_(lr * mean / (1 - beta1**t) / root)


adam_step.mistakes = (
    Mistake(
        "Both means are right, but the parameters did not change: write in place, with sub_.",
        but(("parameter.sub_(", "parameter = parameter - (")),
    ),
    Mistake(
        "The parameters are right, but the means did not change, so the next step knows nothing "
        "of this one. Write into them, with mul_ and add_.",
        but(
            ("mean.mul_(beta1).add_((1", "mean = beta1 * mean + ((1"),
            ("square.mul_(beta2).add_((1", "square = beta2 * square + ((1"),
        ),
    ),
    Mistake(
        "Nothing changed. `mean = ...` gives a new tensor the old name; methods that end in _ "
        "write in place.",
        but(
            ("mean.mul_(beta1).add_((1", "mean = beta1 * mean + ((1"),
            ("square.mul_(beta2).add_((1", "square = beta2 * square + ((1"),
            ("parameter.sub_(", "parameter = parameter - ("),
        ),
    ),
    Mistake(
        "The step is right, but the corrected means were kept: the next step would correct them "
        "again. Divide by 1 - beta ** t in a new tensor.",
        but(
            ("    root =", "    mean /= 1 - beta1**t\n    square /= 1 - beta2**t\n    root ="),
            (" / (1 - beta1**t)", ""),
            ("(square / (1 - beta2**t))", "square"),
        ),
        likely="corrected in place",
    ),
    Mistake(
        "The bias correction is missing: divide the mean by 1 - beta1 ** t and the mean square "
        "by 1 - beta2 ** t before you use them.",
        but((" / (1 - beta1**t)", ""), ("(square / (1 - beta2**t))", "square")),
        likely="no correction",
    ),
    Mistake(
        "The mean square is not corrected: divide it by 1 - beta2 ** t, too.",
        but(("(square / (1 - beta2**t))", "square")),
        likely="square not corrected",
    ),
    Mistake(
        "The mean is not corrected: divide it by 1 - beta1 ** t, too.",
        but((" / (1 - beta1**t)", "")),
        likely="mean not corrected",
    ),
    Mistake(
        "The corrections are swapped: the mean goes with beta1, the mean square with beta2.",
        but(("beta1**t", "beta0**t"), ("beta2**t", "beta1**t"), ("beta0**t", "beta2**t")),
    ),
    Mistake(
        "The correction is 1 - beta * t: it should be the power, 1 - beta ** t.",
        but(("beta1**t", "beta1 * t"), ("beta2**t", "beta2 * t")),
    ),
    Mistake(
        "The correction is 1 - beta, without t: it fits the first step only. It should be 1 - "
        "beta ** t.",
        but(("beta1**t", "beta1"), ("beta2**t", "beta2")),
    ),
    Mistake(
        "The correction counts one step too many: t is 1 in the first step, so it is 1 - beta ** "
        "t, not ** (t + 1).",
        but(("beta1**t", "beta1**(t + 1)"), ("beta2**t", "beta2**(t + 1)")),
    ),
    Mistake(
        "The correction counts one step too few: t is 1 in the first step already, so it is 1 - "
        "beta ** t, not ** (t - 1).",
        but(("beta1**t", "beta1**(t - 1)"), ("beta2**t", "beta2**(t - 1)")),
    ),
    Mistake(
        "It multiplies by the corrections: divide by them.",
        but(("square / (1", "square * (1"), ("mean / (1", "mean * (1")),
    ),
    Mistake(
        "The correction of the mean square is outside the root: it is sqrt(square / (1 - beta2 "
        "** t)).",
        but(("(square / (1 - beta2**t)).sqrt()", "square.sqrt() / (1 - beta2**t)")),
    ),
    Mistake(
        "The factor 1 - beta is missing where the gradient enters: a mean is beta * old + (1 - "
        "beta) * new.",
        but(("(1 - beta1) * grad", "grad"), ("(1 - beta2) * grad**2", "grad**2")),
    ),
    Mistake(
        "beta and 1 - beta are swapped: beta is the share of the old mean that stays.",
        but(
            ("(beta1).add_((1 - beta1)", "(1 - beta1).add_(beta1"),
            ("(beta2).add_((1 - beta2)", "(1 - beta2).add_(beta2"),
        ),
    ),
    Mistake(
        "The two betas are swapped: beta1 is for the mean, beta2 for the mean square.",
        but(("beta1, beta2 =", "beta2, beta1 =")),
    ),
    Mistake(
        "The gradient enters the mean square as it is: its square belongs there.",
        but(("grad**2", "grad")),
    ),
    Mistake(
        "The mean square is taken of the mean: it should be of the gradient, grad ** 2.",
        but(("grad**2", "mean**2")),
    ),
    Mistake(
        "The root is missing: divide by sqrt(mean square) + eps.",
        but((".sqrt()", "")),
    ),
    Mistake(
        "eps is under the root: it is sqrt(...) + eps.",
        but((".sqrt() + eps", ".add(eps).sqrt()")),
    ),
    Mistake(
        "eps is forgotten: add it to the root.",
        but((" + eps", "")),
    ),
    Mistake(
        "The gradient is on top: it is its corrected mean that you divide by the root.",
        but(("lr * mean / (1 - beta1**t)", "lr * grad")),
    ),
    Mistake(
        "The step uses the old means: update both first.",
        """
        beta1, beta2 = betas
        for (parameter, grad), mean, square in zip(params, means, squares):
            root = (square / (1 - beta2**t)).sqrt() + eps
            parameter.sub_(lr * mean / (1 - beta1**t) / root)
            mean.mul_(beta1).add_((1 - beta1) * grad)
            square.mul_(beta2).add_((1 - beta2) * grad**2)
        """,
    ),
    Mistake(
        "It goes uphill: take the step away from the parameter, with a minus.",
        but(("parameter.sub_", "parameter.add_")),
        likely="uphill",
    ),
    Mistake(
        "It forgot lr: the step is lr * mean / (sqrt(square) + eps), both corrected.",
        but(("lr * mean", "mean")),
    ),
    Mistake(
        "The parameters and means are right, but the gradients are squared now: write grad ** 2, "
        "which is a new tensor.",
        but(("grad**2", "grad.pow_(2)")),
    ),
    Mistake(
        ONLY_FIRST,
        but(("/ root)", "/ root)\n    return")),
    ),
    Mistake(
        ONLY_LAST,
        but(
            (
                "zip(params, means, squares, strict=True)",
                "zip(params[-1:], means[-1:], squares[-1:])",
            )
        ),
    ),
)


# ------------------------------------------------------------------------------------------ he_std


def _he_case(name: str, *shape: int, negative_slope: float = 0.0) -> Case:
    return Case(name, {"shape": shape, "negative_slope": negative_slope})


@exercise(
    topic="optimisers",
    title="Standard deviation of He's initial weights",
    hint=(
        "The activation keeps the share (1 + a**2) / 2 of the mean square, so fan_in * variance * "
        "(1 + a**2) / 2 must be 1. Solve for the variance, then take its square root."
    ),
    returns=("std",),
    cases=(
        _he_case("one pixel window", 3, 5, 1, 1),
        _he_case("the report's first layer", 32, 3, 2, 2),
        _he_case("window not square", 4, 6, 2, 3),
        _he_case("slope of a tenth", 8, 16, 3, 3, negative_slope=0.1),
        _he_case("slope of a half", 3, 32, 3, 2, negative_slope=0.5),
    ),
)
def he_std(shape: tuple[int, int, int, int], negative_slope: float) -> float:
    """Check ``he_std(shape, negative_slope) -> float``.

    Parameters
    ----------
    function : callable
        The student's, which takes the shape ``(out, in, kH, kW)`` of a convolution's weight, a
        tuple, and the slope below zero of the activation that follows, a float. It returns the
        standard deviation of the initial values, a float.
    """
    _, in_channels, height, width = shape
    fan_in = in_channels * height * width
    return (2 / ((1 + negative_slope**2) * fan_in)) ** 0.5


FANS = "fan_in, fan_out = shape[1] * shape[2] * shape[3], shape[0] * shape[2] * shape[3]\n"
"""How wrong answers begin."""

he_std.mistakes = (
    Mistake(
        "This is the variance: the standard deviation is its square root.",
        FANS + "return 2 / ((1 + negative_slope**2) * fan_in)",
        likely="variance",
    ),
    Mistake(
        "It uses fan_out, out * kH * kW: He's rule for the values takes fan_in, in * kH * kW.",
        FANS + "return math.sqrt(2 / ((1 + negative_slope**2) * fan_out))",
        likely="fan_out",
    ),
    Mistake(
        "This is Xavier's rule, 2 / (fan_in + fan_out): He's takes fan_in alone.",
        FANS + "return math.sqrt(2 / (fan_in + fan_out))",
        likely="Xavier",
    ),
    Mistake(
        "It takes fan_in + fan_out as Xavier does: He's rule takes fan_in alone.",
        FANS + "return math.sqrt(2 / ((1 + negative_slope**2) * (fan_in + fan_out)))",
    ),
    Mistake(
        "It forgot the window: fan_in is in * kH * kW.",
        FANS + "return math.sqrt(2 / ((1 + negative_slope**2) * shape[1]))",
    ),
    Mistake(
        "Only the height of the window counts: fan_in is in * kH * kW.",
        "return math.sqrt(2 / ((1 + negative_slope**2) * shape[1] * shape[2]))",
    ),
    Mistake(
        "Only the width of the window counts: fan_in is in * kH * kW.",
        "return math.sqrt(2 / ((1 + negative_slope**2) * shape[1] * shape[3]))",
    ),
    Mistake(
        "The output channels count too: one output value sees in * kH * kW values.",
        "return math.sqrt(2 / ((1 + negative_slope**2) * math.prod(shape)))",
    ),
    Mistake(
        "It makes up for no activation: sqrt(1 / fan_in) keeps the mean square without one. "
        "Divide by the share (1 + a**2) / 2 that is left of it.",
        FANS + "return math.sqrt(1 / fan_in)",
        likely="no activation",
    ),
    Mistake(
        "The factor 2 is missing: the share that is left is (1 + a**2) / 2.",
        FANS + "return math.sqrt(1 / ((1 + negative_slope**2) * fan_in))",
    ),
    Mistake(
        "The slope is ignored: sqrt(2 / fan_in) is for ReLU, where a = 0.",
        FANS + "return math.sqrt(2 / fan_in)",
        likely="slope ignored",
    ),
    Mistake(
        "The slope is not squared: values below zero are multiplied by a, their squares by a**2.",
        FANS + "return math.sqrt(2 / ((1 + negative_slope) * fan_in))",
    ),
    Mistake(
        "The square is around 1 + a: it should be 1 + a**2.",
        FANS + "return math.sqrt(2 / ((1 + negative_slope) ** 2 * fan_in))",
    ),
    Mistake(
        "It is 1 - a**2: a slope lets more through, so it should be 1 + a**2.",
        FANS + "return math.sqrt(2 / ((1 - negative_slope**2) * fan_in))",
    ),
    Mistake(
        "It multiplies by 1 + a**2: the more the activation lets through, the smaller the "
        "weights, so divide by it.",
        FANS + "return math.sqrt(2 * (1 + negative_slope**2) / fan_in)",
    ),
    Mistake(
        "Put parentheses around (1 + a**2): 2 / (1 + a**2), not 2 / 1 + a**2.",
        FANS + "return math.sqrt((2 / 1 + negative_slope**2) / fan_in)",
    ),
    Mistake(
        "Put parentheses around all that 2 is divided by: 2 / ((1 + a**2) * fan_in).",
        FANS + "return math.sqrt(2 / (1 + negative_slope**2) * fan_in)",
    ),
    Mistake(
        "This is the bound of the uniform distribution, sqrt(6 / ...): for the standard "
        "deviation the number on top is 2.",
        FANS + "return math.sqrt(6 / ((1 + negative_slope**2) * fan_in))",
    ),
    Mistake(
        "`** 1 / 2` takes the power 1 and then divides by 2: write `** 0.5` or math.sqrt.",
        FANS + "return (2 / ((1 + negative_slope**2) * fan_in)) ** 1 / 2",
    ),
    Mistake(
        "`//` rounds the fraction down to zero: divide with `/`.",
        FANS + "return math.sqrt(2 // ((1 + negative_slope**2) * fan_in))",
    ),
    Mistake(
        "The root is upside down: it is sqrt(2 / ((1 + a**2) * fan_in)).",
        FANS + "return math.sqrt((1 + negative_slope**2) * fan_in / 2)",
    ),
    Mistake(
        "The 2 is outside the root: it is sqrt(2 / ((1 + a**2) * fan_in)).",
        FANS + "return 2 / math.sqrt((1 + negative_slope**2) * fan_in)",
    ),
)

"""Exercises of lesson 10, optimisers with a memory and He's initial weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from n2n_lib.course.check.engine import Case, Exercise, run, values

Pairs = list[tuple[Tensor, Tensor]]

# ------------------------------------------------------------------- steps with a memory


def _pairs(shapes: tuple[tuple[int, ...], ...], dtype: torch.dtype) -> Pairs:
    return [
        (values(shape, 60 + 2 * index, dtype), values(shape, 61 + 2 * index, dtype))
        for index, shape in enumerate(shapes)
    ]


def _memory(shapes: tuple[tuple[int, ...], ...], dtype: torch.dtype, seed: int) -> list[Tensor]:
    return [values(shape, seed + index, dtype) for index, shape in enumerate(shapes)]


def _number_by_number(
    rule: Callable[..., tuple[float, ...]], params: Pairs, *memories: list[Tensor]
) -> tuple[Tensor, ...]:
    """Return what parameters and memories should be, from a rule for plain numbers."""
    after: list[list[Tensor]] = [[] for _ in range(1 + len(memories))]
    for (parameter, grad), *kept in zip(params, *memories, strict=True):
        flat = [tensor.flatten().tolist() for tensor in (parameter, grad, *kept)]
        moved = [rule(*numbers) for numbers in zip(*flat, strict=True)]
        for part, column in zip(after, zip(*moved, strict=True), strict=True):
            part.append(torch.tensor(column, dtype=parameter.dtype).reshape(parameter.shape))
    return tuple(tensor for part in after for tensor in part)


def _each(
    rule: Callable[..., tuple[Tensor, ...]], memories: int = 1, rows: slice = slice(None)
) -> Callable[..., None]:
    """Make a wrong step of a rule for what one parameter and its memories should become."""

    def step(params: Pairs, *rest: Any) -> None:
        kept, settings = rest[:memories], rest[memories:]
        together = list(zip(params, *kept, strict=True))
        for (parameter, grad), *memory in together[rows]:
            after = rule(parameter, grad, *memory, *settings)
            for tensor, value in zip((parameter, *memory), after, strict=True):
                tensor.copy_(value)

    return step


def _with_gradient(rule: Callable[..., tuple[Tensor, ...]], memories: int = 1) -> Callable:
    """Make a wrong step of a rule that says what becomes of the gradient too, at the end."""

    def step(params: Pairs, *rest: Any) -> None:
        kept, settings = rest[:memories], rest[memories:]
        for (parameter, grad), *memory in zip(params, *kept, strict=True):
            after = rule(parameter, grad, *memory, *settings)
            for tensor, value in zip((parameter, *memory, grad), after, strict=True):
                tensor.copy_(value)

    return step


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

# ------------------------------------------------------------------------------ momentum_step


def _momentum_case(
    name: str, lr: float, momentum: float, *shapes: tuple[int, ...], dtype=torch.float64
) -> Case:
    arguments = {"params": _pairs(shapes, dtype), "velocities": _memory(shapes, dtype, 80)}
    return Case(name, arguments | {"lr": lr, "momentum": momentum})


def _velocity(v: Tensor, g: Tensor, mu: float) -> Tensor:
    return mu * v + g


MOMENTUM_STEP = Exercise(
    name="momentum_step",
    lesson=10,
    title="One step with momentum",
    hint=(
        "Two lines for each parameter, both in place: `velocity.mul_(momentum).add_(grad)`, then "
        "`parameter.sub_(lr * velocity)`. `zip(params, velocities)` goes through both lists."
    ),
    returns=("parameter", "velocity"),
    cases=(
        _momentum_case("one number", 0.5, 0.9, (1,)),
        _momentum_case("weight and bias", 0.1, 0.8, (4, 3, 2, 2), (4,)),
        _momentum_case("three parameters", 2.0, 0.5, (2, 3), (3,), (5, 1)),
        _momentum_case("float32", 0.25, 0.7, (2, 2), (2,), dtype=torch.float32),
    ),
    reference=lambda params, velocities, lr, momentum: _number_by_number(
        lambda p, g, v: (p - lr * (momentum * v + g), momentum * v + g), params, velocities
    ),
    mistakes=(
        (
            "The velocities are right, but the parameters did not change: write in place, with "
            "sub_.",
            _each(lambda p, g, v, lr, mu: (p, _velocity(v, g, mu))),
        ),
        (
            "The parameters are right, but the velocities did not change, so the next step knows "
            "nothing of this one. Write into them, with mul_ and add_.",
            _each(lambda p, g, v, lr, mu: (p - lr * _velocity(v, g, mu), v)),
        ),
        (
            "Neither parameters nor velocities changed. `velocity = ...` gives a new tensor the "
            "old name; methods that end in _ write in place.",
            _each(lambda p, g, v, lr, mu: (p, v)),
        ),
        (
            "It goes uphill: take lr * velocity away from the parameter, with a minus.",
            _each(lambda p, g, v, lr, mu: (p + lr * _velocity(v, g, mu), _velocity(v, g, mu))),
        ),
        (
            "The gradient enters the velocity with a minus, and the step has a plus: the way is "
            "right, but our velocity is momentum * velocity + grad, as PyTorch's is.",
            _each(lambda p, g, v, lr, mu: (p + lr * (mu * v - g), mu * v - g)),
        ),
        (
            "The gradient enters the velocity with a minus: it is momentum * velocity + grad.",
            _each(lambda p, g, v, lr, mu: (p - lr * (mu * v - g), mu * v - g)),
        ),
        (
            "The step follows the gradient, and the velocity is not used: parameter -= lr * "
            "velocity.",
            _each(lambda p, g, v, lr, mu: (p - lr * g, _velocity(v, g, mu))),
        ),
        (
            "The step follows the old velocity: update the velocity first, then the parameter.",
            _each(lambda p, g, v, lr, mu: (p - lr * v, _velocity(v, g, mu))),
        ),
        (
            "This is Nesterov's step, lr * (grad + momentum * velocity): here the step is lr * "
            "velocity.",
            _each(
                lambda p, g, v, lr, mu: (
                    p - lr * (g + mu * _velocity(v, g, mu)),
                    _velocity(v, g, mu),
                )
            ),
        ),
        (
            "The velocity loses nothing: it forgot momentum, the share of the old velocity that "
            "stays.",
            _each(lambda p, g, v, lr, mu: (p - lr * (v + g), v + g)),
        ),
        (
            "momentum multiplies the gradient too: it is momentum * velocity + grad, not momentum "
            "* (velocity + grad).",
            _each(lambda p, g, v, lr, mu: (p - lr * mu * (v + g), mu * (v + g))),
        ),
        (
            "momentum multiplies the gradient in place of the velocity: it is momentum * velocity "
            "+ grad.",
            _each(lambda p, g, v, lr, mu: (p - lr * (v + mu * g), v + mu * g)),
        ),
        (
            "The gradient is multiplied by 1 - momentum: that is a mean, as in Adam. Here the "
            "gradient enters whole.",
            _each(
                lambda p, g, v, lr, mu: (
                    p - lr * (mu * v + (1 - mu) * g),
                    mu * v + (1 - mu) * g,
                )
            ),
        ),
        (
            "The old velocity is gone: the new one is the gradient alone. Add momentum * velocity.",
            _each(lambda p, g, v, lr, mu: (p - lr * g, g)),
        ),
        (
            "lr is inside the velocity, momentum * velocity + lr * grad. While lr stays the same "
            "that is the same path, but PyTorch multiplies by lr in the step.",
            _each(lambda p, g, v, lr, mu: (p - (mu * v + lr * g), mu * v + lr * g)),
        ),
        (
            "lr counts twice: once in the velocity and once in the step. It belongs in the step.",
            _each(lambda p, g, v, lr, mu: (p - lr * (mu * v + lr * g), mu * v + lr * g)),
        ),
        (
            "It forgot lr: the step is lr * velocity.",
            _each(lambda p, g, v, lr, mu: (p - _velocity(v, g, mu), _velocity(v, g, mu))),
        ),
        (
            "The step is momentum * velocity + grad once more: the velocity is updated already, so "
            "the step is lr * velocity.",
            _each(
                lambda p, g, v, lr, mu: (
                    p - lr * (mu * _velocity(v, g, mu) + mu * g),
                    _velocity(v, g, mu),
                )
            ),
        ),
        (
            "The parameters and velocities are right, but the gradients changed as well: they hold "
            "the velocity now. Write into the velocity, not into the gradient.",
            _with_gradient(
                lambda p, g, v, lr, mu: (
                    p - lr * _velocity(v, g, mu),
                    _velocity(v, g, mu),
                    _velocity(v, g, mu),
                )
            ),
        ),
        (
            "The velocity was added to the gradient, and the velocities stayed as they were. "
            "Write into the velocity, with mul_ and add_.",
            _with_gradient(
                lambda p, g, v, lr, mu: (p - lr * _velocity(v, g, mu), v, _velocity(v, g, mu))
            ),
        ),
        (
            ONLY_FIRST,
            _each(
                lambda p, g, v, lr, mu: (p - lr * _velocity(v, g, mu), _velocity(v, g, mu)),
                rows=slice(0, 1),
            ),
        ),
        (
            ONLY_LAST,
            _each(
                lambda p, g, v, lr, mu: (p - lr * _velocity(v, g, mu), _velocity(v, g, mu)),
                rows=slice(-1, None),
            ),
        ),
    ),
    errors=ERRORS,
    in_place=lambda params, velocities, lr, momentum: (*(p for p, _ in params), *velocities),
    may_change=("parameter", "velocities"),
)


def momentum_step(function: Callable) -> None:
    """Check ``momentum_step(params, velocities, lr, momentum) -> None``.

    Parameters
    ----------
    function : callable
        The student's, which takes a list of pairs ``(parameter, gradient)``, a list with one
        velocity of equal shape for each, the learning rate and the share of the velocity that
        stays. It changes velocities and parameters in place, and no gradient.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(MOMENTUM_STEP, function)


# ------------------------------------------------------------------------------ adagrad_step


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


def _adagrad(p: float, g: float, s: float, lr: float, eps: float) -> tuple[float, float]:
    total = s + g * g
    return p - lr * g / (math.sqrt(total) + eps), total


ADAGRAD_STEP = Exercise(
    name="adagrad_step",
    lesson=10,
    title="One step of AdaGrad",
    hint=(
        "First `total.add_(grad ** 2)` for the sum of this parameter, then take "
        "`lr * grad / (total.sqrt() + eps)` away from it, both in place."
    ),
    returns=("parameter", "sum"),
    cases=(
        _adagrad_case("one number", 0.5, 0.01, (1,)),
        _adagrad_case("weight and bias", 0.1, 0.2, (4, 3, 2, 2), (4,)),
        _adagrad_case("three parameters", 2.0, 0.1, (2, 3), (3,), (5, 1)),
        _adagrad_case("first step, slope 0", 0.3, 0.1, (3, 2), (2,), first=True),
        _adagrad_case("float32", 0.25, 0.1, (2, 2), (2,), dtype=torch.float32),
    ),
    reference=lambda params, sums, lr, eps: _number_by_number(
        lambda p, g, s: _adagrad(p, g, s, lr, eps), params, sums
    ),
    mistakes=(
        (
            "The sums are right, but the parameters did not change: write in place, with sub_.",
            _each(lambda p, g, s, lr, eps: (p, s + g**2)),
        ),
        (
            "The parameters are right, but the sums did not change, so the next step knows "
            "nothing of this one. Write into them, with add_.",
            _each(lambda p, g, s, lr, eps: (p - lr * g / ((s + g**2).sqrt() + eps), s)),
        ),
        (
            "Neither parameters nor sums changed. `total = ...` gives a new tensor the old name; "
            "methods that end in _ write in place.",
            _each(lambda p, g, s, lr, eps: (p, s)),
        ),
        (
            "It goes uphill: take the step away from the parameter, with a minus.",
            _each(lambda p, g, s, lr, eps: (p + lr * g / ((s + g**2).sqrt() + eps), s + g**2)),
        ),
        (
            "The gradient is added to the sum as it is: add its square, grad ** 2.",
            _each(lambda p, g, s, lr, eps: (p - lr * g / ((s + g).sqrt() + eps), s + g)),
        ),
        (
            "The absolute value of the gradient is added to the sum: add its square, grad ** 2.",
            _each(
                lambda p, g, s, lr, eps: (p - lr * g / ((s + g.abs()).sqrt() + eps), s + g.abs())
            ),
        ),
        (
            "The root is missing: divide by sqrt(sum) + eps.",
            _each(lambda p, g, s, lr, eps: (p - lr * g / (s + g**2 + eps), s + g**2)),
        ),
        (
            "eps is under the root: it is sqrt(sum) + eps, not sqrt(sum + eps).",
            _each(lambda p, g, s, lr, eps: (p - lr * g / (s + g**2 + eps).sqrt(), s + g**2)),
        ),
        (
            "eps is forgotten: without it a slope that has always been 0 gives 0 / 0.",
            _each(lambda p, g, s, lr, eps: (p - lr * g / (s + g**2).sqrt(), s + g**2)),
        ),
        (
            "Put parentheses around sqrt(sum) + eps: the gradient is divided by both together.",
            _each(lambda p, g, s, lr, eps: (p - (lr * g / (s + g**2).sqrt() + eps), s + g**2)),
        ),
        (
            "Put parentheses around sqrt(sum) + eps, and mind the sign: eps is added to the "
            "parameter.",
            _each(lambda p, g, s, lr, eps: (p - lr * g / (s + g**2).sqrt() + eps, s + g**2)),
        ),
        (
            "The step divides by the old sum: add the square first, then step.",
            _each(lambda p, g, s, lr, eps: (p - lr * g / (s.sqrt() + eps), s + g**2)),
        ),
        (
            "The sum is replaced by the square of this gradient: add it to what was there.",
            _each(lambda p, g, s, lr, eps: (p - lr * g / (g.abs() + eps), g**2)),
        ),
        (
            "One number is added for the whole parameter, the sum of all squares: every value has "
            "a sum of its own.",
            _each(
                lambda p, g, s, lr, eps: (
                    p - lr * g / ((s + (g**2).sum()).sqrt() + eps),
                    s + (g**2).sum(),
                )
            ),
        ),
        (
            "One number is added for the whole parameter, the mean of all squares: every value has "
            "a sum of its own.",
            _each(
                lambda p, g, s, lr, eps: (
                    p - lr * g / ((s + (g**2).mean()).sqrt() + eps),
                    s + (g**2).mean(),
                )
            ),
        ),
        (
            "It forgot lr: the step is lr * grad / (sqrt(sum) + eps).",
            _each(lambda p, g, s, lr, eps: (p - g / ((s + g**2).sqrt() + eps), s + g**2)),
        ),
        (
            "The gradient is missing on top: the step is lr * grad / (sqrt(sum) + eps).",
            _each(lambda p, g, s, lr, eps: (p - lr / ((s + g**2).sqrt() + eps), s + g**2)),
        ),
        (
            "The square of the gradient is on top: the step is lr * grad / (sqrt(sum) + eps).",
            _each(lambda p, g, s, lr, eps: (p - lr * g**2 / ((s + g**2).sqrt() + eps), s + g**2)),
        ),
        (
            "It multiplies by the root: divide by it, so that large gradients make small steps.",
            _each(lambda p, g, s, lr, eps: (p - lr * g * ((s + g**2).sqrt() + eps), s + g**2)),
        ),
        (
            "lr enters the sum: add grad ** 2 alone.",
            _each(
                lambda p, g, s, lr, eps: (
                    p - lr * g / ((s + lr * g**2).sqrt() + eps),
                    s + lr * g**2,
                )
            ),
        ),
        (
            "The gradient was squared in place, so the step uses its square: write grad ** 2, "
            "which is a new tensor.",
            _with_gradient(
                lambda p, g, s, lr, eps: (
                    p - lr * g**2 / ((s + g**2).sqrt() + eps),
                    s + g**2,
                    g**2,
                )
            ),
        ),
        (
            ONLY_FIRST,
            _each(
                lambda p, g, s, lr, eps: (p - lr * g / ((s + g**2).sqrt() + eps), s + g**2),
                rows=slice(0, 1),
            ),
        ),
        (
            ONLY_LAST,
            _each(
                lambda p, g, s, lr, eps: (p - lr * g / ((s + g**2).sqrt() + eps), s + g**2),
                rows=slice(-1, None),
            ),
        ),
    ),
    errors=ERRORS,
    in_place=lambda params, sums, lr, eps: (*(p for p, _ in params), *sums),
    may_change=("parameter", "sums"),
)


def adagrad_step(function: Callable) -> None:
    """Check ``adagrad_step(params, sums, lr, eps) -> None``.

    Parameters
    ----------
    function : callable
        The student's, which takes a list of pairs ``(parameter, gradient)``, a list with one sum
        of squares of equal shape for each, the learning rate and the number that is added to the
        root. It changes sums and parameters in place, and no gradient.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(ADAGRAD_STEP, function)


# ------------------------------------------------------------------------------ adam_step


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


def _adam(
    params: Pairs, means: list[Tensor], squares: list[Tensor], t: int, lr: float, betas, eps: float
) -> tuple[Tensor, ...]:
    b1, b2 = betas

    def rule(p: float, g: float, m: float, v: float) -> tuple[float, float, float]:
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        return p - lr * (m / (1 - b1**t)) / (math.sqrt(v / (1 - b2**t)) + eps), m, v

    return _number_by_number(rule, params, means, squares)


def _moments(g: Tensor, m: Tensor, v: Tensor, betas) -> tuple[Tensor, Tensor]:
    b1, b2 = betas
    return b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2


def _adam_but(
    step: Callable[..., Tensor] | None = None,
    moments: Callable[..., tuple[Tensor, Tensor]] = _moments,
    rows: slice = slice(None),
) -> Callable[..., None]:
    """Make a wrong Adam: another step, of (m, v, corrections, eps, g), or other moments."""

    def usual(m, v, c1, c2, eps, g, **_):
        return m / c1 / ((v / c2).sqrt() + eps)

    def rule(p, g, m, v, t, lr, betas, eps):
        old_m, old_v = m, v
        m, v = moments(g, m, v, betas)
        more = {"old_m": old_m, "old_v": old_v, "t": t, "betas": betas}
        change = (step or usual)(m, v, 1 - betas[0] ** t, 1 - betas[1] ** t, eps, g, **more)
        return p - lr * change, m, v

    return _each(rule, memories=2, rows=rows)


def _corrected_means(p, g, m, v, t, lr, betas, eps) -> tuple[Tensor, ...]:
    """Take the right step, but keep the corrected means."""
    m, v = _moments(g, m, v, betas)
    m, v = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
    return p - lr * m / (v.sqrt() + eps), m, v


def _same_step(p, g, m, v, t, lr, betas, eps) -> Tensor:
    return _corrected_means(p, g, m, v, t, lr, betas, eps)[0]


ADAM_STEP = Exercise(
    name="adam_step",
    lesson=10,
    title="One step of Adam",
    hint=(
        "Update both means in place: `mean.mul_(beta1).add_((1 - beta1) * grad)`, and the same for "
        "`square` with grad ** 2. Then divide copies of them by `1 - beta ** t`, and step."
    ),
    returns=("parameter", "mean", "mean square"),
    cases=(
        _adam_case("first step", 1, 0.5, (0.9, 0.99), 0.01, (3,)),
        _adam_case("weight and bias", 3, 0.1, (0.8, 0.95), 0.2, (4, 3, 2, 2), (4,)),
        _adam_case("three parameters", 7, 2.0, (0.5, 0.9), 0.1, (2, 3), (3,), (5, 1)),
        _adam_case("float32", 2, 0.25, (0.7, 0.9), 0.1, (2, 2), (2,), dtype=torch.float32),
    ),
    reference=_adam,
    mistakes=(
        (
            "Both means are right, but the parameters did not change: write in place, with sub_.",
            _each(lambda p, g, m, v, t, lr, betas, eps: (p, *_moments(g, m, v, betas)), 2),
        ),
        (
            "The parameters are right, but the means did not change, so the next step knows "
            "nothing of this one. Write into them, with mul_ and add_.",
            _each(lambda p, g, m, v, *rest: (_same_step(p, g, m, v, *rest), m, v), 2),
        ),
        (
            "Nothing changed. `mean = ...` gives a new tensor the old name; methods that end in _ "
            "write in place.",
            _each(lambda p, g, m, v, *rest: (p, m, v), 2),
        ),
        (
            "The step is right, but the corrected means were kept: the next step would correct "
            "them again. Divide by 1 - beta ** t in a new tensor.",
            _each(_corrected_means, 2),
        ),
        (
            "The bias correction is missing: divide the mean by 1 - beta1 ** t and the mean square "
            "by 1 - beta2 ** t before you use them.",
            _adam_but(lambda m, v, c1, c2, eps, g, **_: m / (v.sqrt() + eps)),
        ),
        (
            "The mean square is not corrected: divide it by 1 - beta2 ** t, too.",
            _adam_but(lambda m, v, c1, c2, eps, g, **_: m / c1 / (v.sqrt() + eps)),
        ),
        (
            "The mean is not corrected: divide it by 1 - beta1 ** t, too.",
            _adam_but(lambda m, v, c1, c2, eps, g, **_: m / ((v / c2).sqrt() + eps)),
        ),
        (
            "The corrections are swapped: the mean goes with beta1, the mean square with beta2.",
            _adam_but(lambda m, v, c1, c2, eps, g, **_: m / c2 / ((v / c1).sqrt() + eps)),
        ),
        (
            "The correction is 1 - beta * t: it should be the power, 1 - beta ** t.",
            _adam_but(
                lambda m, v, c1, c2, eps, g, t, betas, **_: (
                    m / (1 - betas[0] * t) / ((v / (1 - betas[1] * t)).sqrt() + eps)
                )
            ),
        ),
        (
            "The correction is 1 - beta, without t: it fits the first step only. It should be "
            "1 - beta ** t.",
            _adam_but(
                lambda m, v, c1, c2, eps, g, betas, **_: (
                    m / (1 - betas[0]) / ((v / (1 - betas[1])).sqrt() + eps)
                )
            ),
        ),
        (
            "The correction counts one step too many: t is 1 in the first step, so it is "
            "1 - beta ** t, not ** (t + 1).",
            _adam_but(
                lambda m, v, c1, c2, eps, g, t, betas, **_: (
                    m / (1 - betas[0] ** (t + 1)) / ((v / (1 - betas[1] ** (t + 1))).sqrt() + eps)
                )
            ),
        ),
        (
            "The correction counts one step too few: t is 1 in the first step already, so it is "
            "1 - beta ** t, not ** (t - 1).",
            _adam_but(
                lambda m, v, c1, c2, eps, g, t, betas, **_: (
                    m / (1 - betas[0] ** (t - 1)) / ((v / (1 - betas[1] ** (t - 1))).sqrt() + eps)
                )
            ),
        ),
        (
            "It multiplies by the corrections: divide by them.",
            _adam_but(lambda m, v, c1, c2, eps, g, **_: m * c1 / ((v * c2).sqrt() + eps)),
        ),
        (
            "The correction of the mean square is outside the root: it is sqrt(square / (1 - beta2 "
            "** t)).",
            _adam_but(lambda m, v, c1, c2, eps, g, **_: m / c1 / (v.sqrt() / c2 + eps)),
        ),
        (
            "The factor 1 - beta is missing where the gradient enters: a mean is beta * old + "
            "(1 - beta) * new.",
            _adam_but(moments=lambda g, m, v, b: (b[0] * m + g, b[1] * v + g**2)),
        ),
        (
            "beta and 1 - beta are swapped: beta is the share of the old mean that stays.",
            _adam_but(
                moments=lambda g, m, v, b: (
                    (1 - b[0]) * m + b[0] * g,
                    (1 - b[1]) * v + b[1] * g**2,
                )
            ),
        ),
        (
            "The two betas are swapped: beta1 is for the mean, beta2 for the mean square.",
            _adam_but(
                lambda m, v, c1, c2, eps, g, **_: m / c2 / ((v / c1).sqrt() + eps),
                lambda g, m, v, b: _moments(g, m, v, b[::-1]),
            ),
        ),
        (
            "The gradient enters the mean square as it is: its square belongs there.",
            _adam_but(
                moments=lambda g, m, v, b: (_moments(g, m, v, b)[0], b[1] * v + (1 - b[1]) * g)
            ),
        ),
        (
            "The mean square is taken of the mean: it should be of the gradient, grad ** 2.",
            _adam_but(
                moments=lambda g, m, v, b: (
                    _moments(g, m, v, b)[0],
                    b[1] * v + (1 - b[1]) * _moments(g, m, v, b)[0] ** 2,
                )
            ),
        ),
        (
            "The root is missing: divide by sqrt(mean square) + eps.",
            _adam_but(lambda m, v, c1, c2, eps, g, **_: m / c1 / (v / c2 + eps)),
        ),
        (
            "eps is under the root: it is sqrt(...) + eps.",
            _adam_but(lambda m, v, c1, c2, eps, g, **_: m / c1 / (v / c2 + eps).sqrt()),
        ),
        (
            "eps is forgotten: add it to the root.",
            _adam_but(lambda m, v, c1, c2, eps, g, **_: m / c1 / (v / c2).sqrt()),
        ),
        (
            "The gradient is on top: it is its corrected mean that you divide by the root.",
            _adam_but(lambda m, v, c1, c2, eps, g, **_: g / ((v / c2).sqrt() + eps)),
        ),
        (
            "The step uses the old means: update both first.",
            _adam_but(
                lambda m, v, c1, c2, eps, g, old_m, old_v, **_: (
                    old_m / c1 / ((old_v / c2).sqrt() + eps)
                )
            ),
        ),
        (
            "It goes uphill: take the step away from the parameter, with a minus.",
            _adam_but(lambda m, v, c1, c2, eps, g, **_: -m / c1 / ((v / c2).sqrt() + eps)),
        ),
        (
            "It forgot lr: the step is lr * mean / (sqrt(square) + eps), both corrected.",
            _each(
                lambda p, g, m, v, t, lr, betas, eps: (
                    _same_step(p, g, m, v, t, 1.0, betas, eps),
                    *_moments(g, m, v, betas),
                ),
                2,
            ),
        ),
        (
            "The parameters and means are right, but the gradients are squared now: write grad ** "
            "2, which is a new tensor.",
            _with_gradient(
                lambda p, g, m, v, t, lr, betas, eps: (
                    _same_step(p, g, m, v, t, lr, betas, eps),
                    *_moments(g, m, v, betas),
                    g**2,
                ),
                2,
            ),
        ),
        (ONLY_FIRST, _adam_but(rows=slice(0, 1))),
        (ONLY_LAST, _adam_but(rows=slice(-1, None))),
    ),
    errors=ERRORS,
    in_place=lambda params, means, squares, *_: (*(p for p, _ in params), *means, *squares),
    may_change=("parameter", "means", "squares"),
)


def adam_step(function: Callable) -> None:
    """Check ``adam_step(params, means, squares, t, lr, betas, eps) -> None``.

    Parameters
    ----------
    function : callable
        The student's, which takes a list of pairs ``(parameter, gradient)``; lists with a mean
        gradient and a mean square for each, of equal shape; the number of the step, from 1; the
        learning rate; the two shares that stay, a pair; and the number that is added to the root.
        It changes means, mean squares and parameters in place, and no gradient.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(ADAM_STEP, function)


# ------------------------------------------------------------------------------ he_std


def _he_case(name: str, *shape: int, negative_slope: float = 0.0) -> Case:
    return Case(name, {"shape": shape, "negative_slope": negative_slope})


def _fan(shape: tuple[int, ...]) -> int:
    """Return fan in."""
    return math.prod(shape[1:])


def _he(shape: tuple[int, ...], negative_slope: float) -> float:
    """Count the connections, and average the square of a leaky ReLU over the values -1 and 1."""
    fan_in = torch.ones(shape, dtype=torch.float64)[0].sum().item()
    kept = (1 + (negative_slope * -1.0) ** 2) / 2
    return (1 / (fan_in * kept)) ** 0.5


HE_STD = Exercise(
    name="he_std",
    lesson=10,
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
    reference=_he,
    mistakes=(
        (
            "This is the variance: the standard deviation is its square root.",
            lambda s, a: 2 / ((1 + a * a) * _fan(s)),
        ),
        (
            "It uses fan_out, out * kH * kW: He's rule for the values takes fan_in, in * kH * kW.",
            lambda s, a: math.sqrt(2 / ((1 + a * a) * s[0] * math.prod(s[2:]))),
        ),
        (
            "This is Xavier's rule, 2 / (fan_in + fan_out): He's takes fan_in alone.",
            lambda s, a: math.sqrt(2 / ((s[0] + s[1]) * math.prod(s[2:]))),
        ),
        (
            "It takes fan_in + fan_out as Xavier does: He's rule takes fan_in alone.",
            lambda s, a: math.sqrt(2 / ((1 + a * a) * (s[0] + s[1]) * math.prod(s[2:]))),
        ),
        (
            "It forgot the window: fan_in is in * kH * kW.",
            lambda s, a: math.sqrt(2 / ((1 + a * a) * s[1])),
        ),
        (
            "Only the height of the window counts: fan_in is in * kH * kW.",
            lambda s, a: math.sqrt(2 / ((1 + a * a) * s[1] * s[2])),
        ),
        (
            "Only the width of the window counts: fan_in is in * kH * kW.",
            lambda s, a: math.sqrt(2 / ((1 + a * a) * s[1] * s[3])),
        ),
        (
            "The output channels count too: one output value sees in * kH * kW values.",
            lambda s, a: math.sqrt(2 / ((1 + a * a) * math.prod(s))),
        ),
        (
            "It makes up for no activation: sqrt(1 / fan_in) keeps the mean square without one. "
            "Divide by the share (1 + a**2) / 2 that is left of it.",
            lambda s, a: math.sqrt(1 / _fan(s)),
        ),
        (
            "The factor 2 is missing: the share that is left is (1 + a**2) / 2.",
            lambda s, a: math.sqrt(1 / ((1 + a * a) * _fan(s))),
        ),
        (
            "The slope is ignored: sqrt(2 / fan_in) is for ReLU, where a = 0.",
            lambda s, a: math.sqrt(2 / _fan(s)),
        ),
        (
            "The slope is not squared: values below zero are multiplied by a, their squares by "
            "a**2.",
            lambda s, a: math.sqrt(2 / ((1 + a) * _fan(s))),
        ),
        (
            "The square is around 1 + a: it should be 1 + a**2.",
            lambda s, a: math.sqrt(2 / ((1 + a) ** 2 * _fan(s))),
        ),
        (
            "It is 1 - a**2: a slope lets more through, so it should be 1 + a**2.",
            lambda s, a: math.sqrt(2 / ((1 - a * a) * _fan(s))),
        ),
        (
            "It multiplies by 1 + a**2: the more the activation lets through, the smaller the "
            "weights, so divide by it.",
            lambda s, a: math.sqrt(2 * (1 + a * a) / _fan(s)),
        ),
        (
            "Put parentheses around (1 + a**2): 2 / (1 + a**2), not 2 / 1 + a**2.",
            lambda s, a: math.sqrt((2 / 1 + a * a) / _fan(s)),
        ),
        (
            "Put parentheses around all that 2 is divided by: 2 / ((1 + a**2) * fan_in).",
            lambda s, a: math.sqrt(2 / (1 + a * a) * _fan(s)),
        ),
        (
            "This is the bound of the uniform distribution, sqrt(6 / ...): for the standard "
            "deviation the number on top is 2.",
            lambda s, a: math.sqrt(6 / ((1 + a * a) * _fan(s))),
        ),
        (
            "`** 1 / 2` takes the power 1 and then divides by 2: write `** 0.5` or math.sqrt.",
            lambda s, a: 1 / ((1 + a * a) * _fan(s)),
        ),
        (
            "`//` rounds the fraction down to zero: divide with `/`.",
            lambda s, a: 0.0,
        ),
        (
            "The root is upside down: it is sqrt(2 / ((1 + a**2) * fan_in)).",
            lambda s, a: math.sqrt((1 + a * a) * _fan(s) / 2),
        ),
        (
            "The 2 is outside the root: it is sqrt(2 / ((1 + a**2) * fan_in)).",
            lambda s, a: 2 / math.sqrt((1 + a * a) * _fan(s)),
        ),
    ),
)


def he_std(function: Callable) -> None:
    """Check ``he_std(shape, negative_slope) -> float``.

    Parameters
    ----------
    function : callable
        The student's, which takes the shape ``(out, in, kH, kW)`` of a convolution's weight, a
        tuple, and the slope below zero of the activation that follows, a float. It returns the
        standard deviation of the initial values, a float.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(HE_STD, function)

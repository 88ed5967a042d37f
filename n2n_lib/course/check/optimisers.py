"""Exercises on optimisers with a memory, schedules, and a mean of the weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise
from n2n_lib.framework.module import Module

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
        "Something is None where a tensor should be. (parameter.grad always is, since autograd is "
        "off: the gradient is the second of each pair.)",
    ),
    (
        "has no attribute 'grad'",
        "The gradient is the second of each pair: `for (parameter, grad), v in zip(params, ...)`.",
    ),
    (
        "values to unpack",
        "A loop over zip(params, ...) gives a pair and what is kept for it: take them apart as "
        "`(parameter, grad), kept`, with the parentheses.",
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


PAIRS = "param() lists pairs (parameter, gradient): take each apart, `for p, _ in network.param()`."


def _momentum_case(
    name: str,
    lr: float,
    momentum: float,
    *shapes: tuple[int, ...],
    dtype: torch.dtype = torch.float64,
    moving: bool = True,
) -> Case:
    """Make a case with velocities, or with zeros as before the first step."""
    velocities = _memory(shapes, dtype, 80)
    if not moving:
        velocities = [torch.zeros_like(velocity) for velocity in velocities]
    arguments = {"params": _pairs(shapes, dtype), "velocities": velocities}
    return Case(name, arguments | {"lr": lr, "momentum": momentum})


@exercise(
    topic="optimisers",
    title="One step with momentum",
    hints=(
        "The gradient pushes the velocity, and the velocity moves the parameter: which of the two "
        "changes first? Both must be changed where they are, as in the step of “SGD”.",
        "For each parameter p with gradient g and velocity v: v becomes momentum * v + g, then p "
        "becomes p - lr * v, with the new v. Write into the tensors that are in the lists.",
        "`for (parameter, grad), velocity in zip(params, velocities):`, and in it "
        "`velocity.mul_(momentum).add_(grad)`, then `parameter.sub_(...)`.",
    ),
    returns=("parameter", "velocity"),
    in_place=lambda params, velocities, lr, momentum: (*(p for p, _ in params), *velocities),
    may_change=("parameter", "velocities"),
    cases=(
        _momentum_case("one number", 0.5, 0.9, (1,)),
        _momentum_case("weight and bias", 0.1, 0.8, (4, 3, 2, 2), (4,)),
        _momentum_case("three parameters", 2.0, 0.5, (2, 3), (3,), ()),
        _momentum_case("the first step", 0.2, 0.9, (3, 2), (2,), moving=False),
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
        "lr and the minus are inside the velocity, as some books have it. While lr stays the same "
        "that is the same path, but our velocity is momentum * velocity + grad, and the parameter "
        "loses lr * velocity.",
        but(("add_(grad)", "sub_(lr * grad)"), ("sub_(lr * velocity)", "add_(velocity)")),
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


# ----------------------------------------------------------------------------------- best_momentum


def _valley_case(name: str, smallest: float, largest: float) -> Case:
    return Case(name, {"smallest": smallest, "largest": largest})


@exercise(
    topic="optimisers",
    title="Learning rate and momentum for a valley",
    hints=(
        "Where on the floor should the smallest and the largest curvature lie, so that none is "
        "slower? On the floor every curvature is as fast as every other.",
        "At the two ends: lr * smallest = (1 - r)^2 and lr * largest = (1 + r)^2, where r is the "
        "root of the momentum. Take roots on both sides: the sum of the two equations gives lr, "
        "and their quotient r.",
        "`root = (steep - flat) / (steep + flat)`, where `flat, steep = smallest**0.5, "
        "largest**0.5`; the momentum is `root**2`, and the root of lr is `2 / (flat + steep)`.",
    ),
    returns=("lr", "momentum"),
    cases=(
        _valley_case("as steep as flat", 4.0, 4.0),
        _valley_case("the valley of the lesson", 1.0, 25.0),
        _valley_case("flatter than 1", 0.25, 4.0),
        _valley_case("roots that are not whole", 2.0, 300.0),
    ),
)
def best_momentum(smallest: float, largest: float) -> tuple[float, float]:
    """Check ``best_momentum(smallest, largest) -> (lr, momentum)``.

    Parameters
    ----------
    function : callable
        The student's, which takes the smallest and the largest curvature, two floats, and returns
        the learning rate and the momentum with which the slowest direction is as fast as can be.
    """
    flat, steep = smallest**0.5, largest**0.5
    lr = (2 / (flat + steep)) ** 2
    return lr, ((steep - flat) / (steep + flat)) ** 2


best_momentum.mistakes = (
    Mistake(
        "Both numbers are right, in the other order: the learning rate comes first.",
        but(
            ("return lr, ((steep - flat) / (steep + flat)) ** 2", "mu = lr"),
            ("mu = lr", "return ((steep - flat) / (steep + flat)) ** 2, lr"),
        ),
        likely="order",
    ),
    Mistake(
        "The learning rate is right, but in place of the momentum this is its root: the floor is "
        "as high as the root, and the momentum is the square.",
        but((" / (steep + flat)) ** 2", " / (steep + flat))")),
        likely="momentum not squared",
    ),
    Mistake(
        "The momentum is right, and the learning rate is that of plain SGD, 2 / (smallest + "
        "largest): with momentum the floor is wider, and so is the step.",
        but(("(2 / (flat + steep)) ** 2", "2 / (smallest + largest)")),
        likely="rate of SGD",
    ),
    Mistake(
        "The momentum is right, but in place of the learning rate this is its root: square it.",
        but(("(2 / (flat + steep)) ** 2", "2 / (flat + steep)")),
        likely="rate not squared",
    ),
    Mistake(
        "The curvatures stand where their roots should: (1 - root) ** 2 = lr * smallest becomes "
        "simple when you take the root of both sides.",
        but(("flat, steep = smallest**0.5, largest**0.5", "flat, steep = smallest, largest")),
        likely="curvatures without roots",
    ),
    Mistake(
        "Both numbers are those of plain SGD, 2 / (smallest + largest) and the factor that this "
        "leaves. Look at the ends of the floor instead.",
        "return 2 / (smallest + largest), (largest - smallest) / (largest + smallest)",
        "return 2 / (smallest + largest), ((largest - smallest) / (largest + smallest)) ** 2",
    ),
    Mistake(
        "Both numbers are the roots of what is asked for: square both.",
        "flat, steep = smallest**0.5, largest**0.5\n"
        "return 2 / (flat + steep), (steep - flat) / (steep + flat)",
    ),
    Mistake(
        "The momentum is right, but of the learning rate only the 2 is squared: the sum of the "
        "roots below it belongs inside the square, too.",
        but(("(2 / (flat + steep)) ** 2", "4 / (flat + steep)")),
    ),
    Mistake(
        "The learning rate puts the lower end of the floor on the largest curvature. It belongs "
        "on the smallest: the floor reaches up from there.",
        but(
            (
                "(2 / (flat + steep)) ** 2",
                "(1 - (steep - flat) / (steep + flat)) ** 2 / largest",
            )
        ),
    ),
    Mistake(
        "The learning rate puts the upper end of the floor on the smallest curvature. It belongs "
        "on the largest, or the steep direction flies off.",
        but(
            (
                "(2 / (flat + steep)) ** 2",
                "(1 + (steep - flat) / (steep + flat)) ** 2 / smallest",
            )
        ),
    ),
    Mistake(
        "The learning rate is the limit 2 (1 + momentum) / largest, at which nothing converges: "
        "the end of the floor is at (1 + root) ** 2 / largest.",
        """
        mu = ((largest**0.5 - smallest**0.5) / (largest**0.5 + smallest**0.5)) ** 2
        return 2 * (1 + mu) / largest, mu
        """,
    ),
    Mistake(
        "The momentum is the usual 0.9, whatever the valley: find the one whose floor reaches "
        "from the smallest curvature to the largest and no further.",
        but(("return lr, ((steep - flat) / (steep + flat)) ** 2", "return lr, 0.9")),
    ),
    Mistake(
        "The momentum is 1 minus what it should be: where both curvatures are equal, the floor "
        "may be as narrow as a point, and the momentum is 0.",
        but(("return lr, (", "return lr, 1 - (")),
    ),
    Mistake(
        "The learning rate is 4 / (smallest + largest): the square of a sum of roots is not the "
        "sum of the curvatures.",
        but(("(2 / (flat + steep)) ** 2", "4 / (smallest + largest)")),
    ),
)


# ----------------------------------------------------------------------------------- nesterov_step


@exercise(
    topic="optimisers",
    title="One step of Nesterov",
    hints=(
        "By what does the place ahead move from one step to the next? The parameter is this place; "
        "the velocity changes as with plain momentum.",
        "Write the place ahead as the place minus lr * momentum * v, before the step and after it, "
        "and subtract: what remains is that it moves by -lr * (g + momentum * v), with the new "
        "velocity v.",
        "`velocity.mul_(momentum).add_(grad)` as before, then `parameter.sub_(lr * (grad + "
        "momentum * velocity))`.",
    ),
    returns=("parameter", "velocity"),
    in_place=lambda params, velocities, lr, momentum: (*(p for p, _ in params), *velocities),
    may_change=("parameter", "velocities"),
    cases=(
        _momentum_case("one number", 0.5, 0.9, (1,)),
        _momentum_case("weight and bias", 0.1, 0.8, (4, 3, 2, 2), (4,)),
        _momentum_case("three parameters", 2.0, 0.5, (2, 3), (3,), ()),
        _momentum_case("the first step", 0.2, 0.9, (3, 2), (2,), moving=False),
        _momentum_case("float32", 0.25, 0.7, (2, 2), (2,), dtype=torch.float32),
    ),
    errors=ERRORS,
)
def nesterov_step(params: Pairs, velocities: list[Tensor], lr: float, momentum: float) -> None:
    """Check ``nesterov_step(params, velocities, lr, momentum) -> None``.

    Parameters
    ----------
    function : callable
        The student's, which takes what `momentum_step` takes. The parameters are places ahead, and
        so are the places at which the gradients were taken. It changes velocities and parameters
        in place, and no gradient.
    """
    for (parameter, grad), velocity in zip(params, velocities, strict=True):
        velocity.mul_(momentum).add_(grad)
        parameter.sub_(lr * (grad + momentum * velocity))


nesterov_step.mistakes = (
    Mistake(
        "The velocities are right, but the parameters did not change: write in place, with sub_.",
        but(("parameter.sub_(", "parameter = parameter - (")),
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
        but(
            ("velocity.mul_(momentum).add_(grad)", "velocity = momentum * velocity + grad"),
            ("parameter.sub_(", "parameter = parameter - ("),
        ),
    ),
    Mistake(
        "This is the heavy ball: the parameter moves by the velocity. (It does also if the "
        "gradient is joined to the share of the *old* velocity, for that sum is the new one.) The "
        "place ahead moves by the gradient and a share of the new velocity.",
        but(("grad + momentum * velocity", "velocity")),
        but(
            ("velocity.mul_(momentum).add_(grad)", "pass"),
            (
                "parameter.sub_(lr * (grad + momentum * velocity))",
                "parameter.sub_(lr * (grad + momentum * velocity))\n"
                "    velocity.mul_(momentum).add_(grad)",
            ),
        ),
        likely="heavy ball",
    ),
    Mistake(
        "Gradient and velocity have exchanged their places in the step: the gradient enters whole, "
        "and of the velocity the share that stays.",
        but(("grad + momentum * velocity", "velocity + momentum * grad")),
        likely="exchanged",
    ),
    Mistake(
        "The velocity enters the step whole: of it only the share momentum is decided already.",
        but(("grad + momentum * velocity", "grad + velocity")),
    ),
    Mistake(
        "The parameter is moved ahead by the old velocity, and then along the new one. It is the "
        "place ahead already: one move takes it to the next, lr * (grad + momentum * velocity).",
        """
        for (parameter, grad), velocity in zip(params, velocities):
            parameter.sub_(lr * momentum * velocity)
            velocity.mul_(momentum).add_(grad)
            parameter.sub_(lr * velocity)
        """,
    ),
    Mistake(
        "This is the way from the place to the new place ahead, lr * (1 + momentum) * velocity. "
        "The parameter is the place ahead: put in phi + lr * mu * v for theta, and see what "
        "cancels.",
        but(("grad + momentum * velocity", "velocity + momentum * velocity")),
    ),
    Mistake(
        "momentum multiplies the gradient as well: in the step the gradient enters whole.",
        but(("(grad + momentum * velocity)", "momentum * (grad + velocity)")),
    ),
    Mistake(
        "The parameter moves by the share of the velocity alone: the gradient is missing.",
        but(("grad + momentum * velocity", "momentum * velocity")),
    ),
    Mistake(
        "It goes uphill: take the step away from the parameter, with a minus.",
        but((".sub_", ".add_")),
        likely="uphill",
    ),
    Mistake(
        "It forgot lr: it multiplies both parts of the step.",
        but(("lr * (grad", "(grad")),
    ),
    Mistake(
        "lr multiplies the gradient alone: it multiplies both parts of the step.",
        but(("lr * (grad + momentum * velocity)", "lr * grad + momentum * velocity")),
    ),
    Mistake(
        "The velocity loses nothing: it forgot momentum, the share of the old velocity that stays.",
        but((".mul_(momentum)", "")),
    ),
    Mistake(
        "The old velocity is gone: the new one is the gradient alone. Keep the share momentum.",
        but(("velocity.mul_(momentum).add_(grad)", "velocity.copy_(grad)")),
    ),
    Mistake(
        "The gradient is multiplied by 1 - momentum where it enters the velocity: that is a mean, "
        "as in Adam. Here it enters whole.",
        but(("add_(grad)", "add_((1 - momentum) * grad)")),
    ),
    Mistake(
        "The gradient enters the velocity with a minus: it is momentum * velocity + grad.",
        but(("add_(grad)", "sub_(grad)")),
    ),
    Mistake(
        "The parameters and velocities are right, but the gradients changed as well: what the "
        "parameter moves by was added up in the gradient. Use a new tensor for it.",
        but(
            (
                "parameter.sub_(lr * (grad + momentum * velocity))",
                "grad.add_(momentum * velocity)\n    parameter.sub_(lr * grad)",
            )
        ),
    ),
    Mistake(
        ONLY_FIRST,
        but(("momentum * velocity))", "momentum * velocity))\n    return")),
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
    hints=(
        "Does the slope of this step count already, and is eps added inside the root or behind it? "
        "The text above the exercise says both.",
        "For each parameter p with gradient g and sum s, value by value: s becomes s + g^2, then p "
        "becomes p - lr * g / (sqrt(s) + eps), with the new s.",
        "`for (parameter, grad), total in zip(params, sums):`, and in it `total.add_(grad**2)`, "
        "then `parameter.sub_(lr * grad / (total.sqrt() + eps))`.",
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
    hints=(
        "Two running means begin at zero, so they are too small at first. By which factor in step "
        "t? Correct what the step uses, not what is kept.",
        "m becomes beta1 m + (1 - beta1) g, and u becomes beta2 u + (1 - beta2) g^2, in place. The "
        "step uses m / (1 - beta1^t) and u / (1 - beta2^t): lr times the first over (the root of "
        "the second, plus eps).",
        "`mean.mul_(beta1).add_((1 - beta1) * grad)`, the same for `square`, and `root = (square / "
        "(1 - beta2**t)).sqrt() + eps`; the parameter moves by `lr * mean / (1 - beta1**t) / "
        "root`.",
    ),
    returns=("parameter", "mean", "mean square"),
    in_place=lambda params, means, squares, *_: (*(p for p, _ in params), *means, *squares),
    may_change=("parameter", "means", "squares"),
    cases=(
        _adam_case("first step", 1, 0.5, (0.9, 0.99), 0.01, (3,)),
        _adam_case("weight and bias", 3, 0.1, (0.8, 0.95), 0.2, (4, 3, 2, 2), (4,)),
        _adam_case("three parameters", 7, 2.0, (0.5, 0.9), 0.1, (2, 3), (3,), ()),
        _adam_case("float32", 2, 0.25, (0.7, 0.9), 0.1, (2, 2), (2,), dtype=torch.float32),
    ),
    errors=(
        (
            "'tuple'",
            "A tuple is used like a number or a tensor. Each of params is a pair, (parameter, "
            "grad), and betas is a pair as well.",
        ),
        *ERRORS,
    ),
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
        "The power is taken of 1 - beta: it is 1 - beta ** t, where only beta has the power.",
        but(("(1 - beta1**t)", "(1 - beta1) ** t"), ("(1 - beta2**t)", "(1 - beta2) ** t")),
    ),
    Mistake(
        "eps is added to the root before this is corrected, as in the shorter form of the paper: "
        "here the mean square is corrected first, then comes the root, then eps.",
        but(
            (
                "(square / (1 - beta2**t)).sqrt() + eps",
                "(square.sqrt() + eps) / (1 - beta2**t) ** 0.5",
            )
        ),
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


# ----------------------------------------------------------------------------------- AdamOptimiser


class _Numbers(Module):
    """A weight and a bias that are there to be changed."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.weight_grad = weight, 0.5 * weight  # of an earlier training
        self.bias, self.bias_grad = bias, 0.5 * bias


def _three_steps(answer, network, lr, betas, eps, grads):
    """Take a step for each list of gradients, all but the first with half the rate."""
    optimiser = answer(network, lr, betas, eps)
    for new in grads:
        for (_, grad), value in zip(network.param(), new, strict=True):
            grad.copy_(value)
        optimiser.step()
        optimiser.lr = lr / 2
    after = network.param()
    gradients = torch.cat([grad.flatten() for _, grad in after])
    return *(parameter.clone() for parameter, _ in after), gradients


def _optimiser_case(
    name: str, shape: tuple[int, ...], steps: int, lr: float, dtype: torch.dtype = torch.float64
) -> Case:
    shapes = (shape, shape[:1])
    arguments = {
        "network": _Numbers(*(values(s, 160 + i, dtype) for i, s in enumerate(shapes))),
        "lr": lr,
        "betas": (0.8, 0.95),
        "eps": 0.1,
        "grads": [
            [values(s, 170 + 2 * k + i, dtype) for i, s in enumerate(shapes)] for k in range(steps)
        ],
    }
    return Case(name, arguments)


adam_step = adam_step.solution  # from here on what a student calls


@exercise(
    topic="optimisers",
    title="An optimiser that remembers",
    hints=(
        "What does adam_step take that must still be there in the next step, and which values has "
        "it before the first? adam_step does the work; it only cannot remember.",
        "__init__ keeps the settings, makes for each parameter a mean and a mean square of zeros "
        "of its shape, and sets the count of steps to 0. step adds 1 to the count and calls "
        "adam_step with all seven arguments, lr as it is now.",
        "`self.means = [torch.zeros_like(p) for p, _ in network.param()]`, and in step `self.t += "
        "1`, then `adam_step(self.network.param(), self.means, self.squares, self.t, self.lr, "
        "self.betas, self.eps)`.",
    ),
    returns=("weight", "bias", "both gradients afterwards"),
    cases=(
        _optimiser_case("one step", (1,), 1, 0.5),
        _optimiser_case("two steps", (2,), 2, 0.5),
        _optimiser_case("three steps", (4, 3, 2, 2), 3, 0.1),
        _optimiser_case("float32", (2, 2), 3, 0.25, torch.float32),
    ),
    use=_three_steps,
    may_change="network",
    errors=(
        (
            "positional argument",
            "The class takes network, lr, betas and eps, step nothing, and adam_step seven "
            "arguments: pairs, means, mean squares, number of the step, lr, betas, eps.",
        ),
        ("must be Tensor, not tuple", PAIRS),
    ),
)
class AdamOptimiser:
    """Check ``AdamOptimiser(network, lr, betas, eps)``, an optimiser with a method ``step``.

    Parameters
    ----------
    function : type
        The student's class. ``step()`` moves every parameter of the pairs ``network.param()`` as
        `adam_step` does; the attribute ``lr`` may be changed between steps.
    """

    def __init__(self, network, lr, betas=(0.9, 0.999), eps=1e-8):
        self.network, self.lr, self.betas, self.eps = network, lr, betas, eps
        self.means = [torch.zeros_like(p) for p, _ in network.param()]
        self.squares = [torch.zeros_like(p) for p, _ in network.param()]
        self.t = 0

    def zero_grad(self):
        """Set the gradients of the network to zero."""
        self.network.zero_grad()

    def step(self):
        """Move every parameter."""
        self.t += 1
        pairs = self.network.param()
        adam_step(pairs, self.means, self.squares, self.t, self.lr, self.betas, self.eps)


AdamOptimiser.mistakes = (
    Mistake(
        "The first step has the number 0, so that the correction divides by 1 - beta ** 0 = 0. "
        "Count before the step, so that the first one is number 1.",
        but(("self.t += 1", "pass")),
        but(("self.t += 1", "pass"), ("self.eps)", "self.eps)\n    self.t += 1")),
        likely="first step is number 0",
    ),
    Mistake(
        "The first step has the number 2: the count starts at 0, and is 1 in the first step.",
        but(("self.t = 0", "self.t = 1")),
        likely="first step is number 2",
    ),
    Mistake(
        "Every step has the number 1: the count must go on from step to step.",
        but(("self.t += 1", "self.t = 1")),
    ),
    Mistake(
        "The memory begins anew in every step. Make both lists once, in `__init__`, and let "
        "adam_step write into them.",
        but(
            (
                "pairs = self.network.param()",
                "pairs = self.network.param()\n"
                "    self.means = [torch.zeros_like(p) for p, _ in pairs]\n"
                "    self.squares = [torch.zeros_like(p) for p, _ in pairs]",
            )
        ),
        likely="memory made in each step",
    ),
    Mistake(
        "Means and mean squares are the same tensors, so each spoils the other: make two lists.",
        but(
            (
                "self.squares = [torch.zeros_like(p) for p, _ in network.param()]",
                "self.squares = self.means",
            )
        ),
        likely="one memory for both",
    ),
    Mistake(
        "The memory does not begin at 0, which is what the correction of both means assumes.",
        but(("zeros_like", "ones_like")),
        but(
            ("[torch.zeros_like(p) for p, _", "[g.clone() for _, g"),
            ("squares = [g.clone() for", "squares = [g**2 for"),
        ),
    ),
    Mistake(
        "The learning rate is read once: in later steps it should be the present `self.lr`, which "
        "a schedule may have changed.",
        but(
            ("self.t = 0", "self.t, self.first = 0, lr"),
            ("self.t, self.lr,", "self.t, self.first,"),
        ),
        likely="lr read once",
    ),
    Mistake(
        "step clears the gradients as well: whoever calls it may still want them, and has "
        "zero_grad for it.",
        but(("self.eps)", "self.eps)\n    self.network.zero_grad()")),
    ),
    Mistake(
        "The betas that were given are not used: it takes 0.9 and 0.999 whatever they are.",
        but(("self.betas, self.eps)", "(0.9, 0.999), self.eps)")),
    ),
    Mistake(
        "The eps that was given is not used.",
        but(("self.betas, self.eps)", "self.betas, 1e-8)")),
    ),
    Mistake(
        "The two betas are exchanged.",
        but(("self.betas, self.eps)", "self.betas[::-1], self.eps)")),
    ),
    Mistake(
        "Only the first parameter moves: hand all pairs to adam_step.",
        but(("(pairs, self.means, self.squares,", "(pairs[:1], self.means[:1], self.squares[:1],")),
    ),
    Mistake(
        "Each call of `step` takes two steps.",
        but(
            (
                "adam_step(pairs, self.means",
                "for _ in range(2):\n        adam_step(pairs, self.means",
            )
        ),
    ),
)


# ----------------------------------------------------------------------------------- warmup_cosine


def _schedule_case(name: str, step: int, steps: int, warmup: int) -> Case:
    return Case(name, {"step": step, "steps": steps, "warmup": warmup})


@exercise(
    topic="optimisers",
    title="A rate that rises and falls",
    hints=(
        "Which share has step 0, which should not be wasted, and at which step would the cosine "
        "reach 0? Two formulas meet at 1, in step number warmup.",
        "For step < warmup the straight line (step + 1) / (warmup + 1). Later the done part of the "
        "way down, (step - warmup) / (steps - warmup), from 0 to 1; the share is (1 + cos(pi * "
        "done)) / 2.",
        "`if step < warmup: return (step + 1) / (warmup + 1)`, else `(1 + math.cos(math.pi * "
        "done)) / 2`, where `done` is as in the formula.",
    ),
    returns=("share",),
    cases=(
        _schedule_case("no warm-up, first step", 0, 8, 0),
        _schedule_case("no warm-up, half way", 4, 8, 0),
        _schedule_case("first step of the warm-up", 0, 100, 4),
        _schedule_case("last step of the warm-up", 3, 100, 4),
        _schedule_case("the top", 4, 100, 4),
        _schedule_case("half way down", 20, 30, 10),
        _schedule_case("last step", 99, 100, 20),
    ),
)
def warmup_cosine(step: int, steps: int, warmup: int) -> float:
    """Check ``warmup_cosine(step, steps, warmup) -> share``.

    Parameters
    ----------
    function : callable
        The student's, which takes the number of the step, from 0, that of all steps, and that of
        the rising ones. It returns the share of the learning rate for this step, a float.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / (steps - warmup)
    return (1 + math.cos(math.pi * done)) / 2


warmup_cosine.mistakes = (
    Mistake(
        "The rise begins at 0, so that the first step is lost: in step 0 it should be "
        "1 / (warmup + 1), one part of warmup + 1 already.",
        but(("(step + 1) / (warmup + 1)", "step / warmup")),
        likely="rise from 0",
    ),
    Mistake(
        "The rise is at 1 one step too early: in step `warmup` it should be 1, and in the one "
        "before warmup / (warmup + 1).",
        but(("(step + 1) / (warmup + 1)", "(step + 1) / warmup")),
        likely="rise too steep",
    ),
    Mistake(
        "The rise is one step late: step is 0 in the first step, which has one part of "
        "warmup + 1 already.",
        but(("(step + 1) / (warmup + 1)", "step / (warmup + 1)")),
    ),
    Mistake(
        "The fall counts from step 0, so it does not begin at 1: count from the end of the "
        "warm-up, in the numerator and in the denominator.",
        but(("(step - warmup) / (steps - warmup)", "step / steps")),
        likely="fall counted from 0",
    ),
    Mistake(
        "The fall begins in the right place and takes too long: from `warmup` on there are "
        "steps - warmup steps.",
        but(("(step - warmup) / (steps - warmup)", "(step - warmup) / steps")),
        likely="fall too slow",
    ),
    Mistake(
        "The fall is right, but the rise is missing: the first `warmup` steps need a case of "
        "their own.",
        but(("if step < warmup:\n    return (step + 1) / (warmup + 1)\n", "")),
    ),
    Mistake(
        "The fall rises: the cosine goes from 1 to -1, so 1 + cos goes from 2 to 0, and 1 - cos "
        "the other way.",
        but(("1 + math.cos", "1 - math.cos")),
        likely="fall rises",
    ),
    Mistake(
        "The fall is twice as high as it should be: 1 + cos goes from 2 to 0, so take a half.",
        but((" * done)) / 2", " * done))")),
    ),
    Mistake(
        "This is a whole wave, which is back at 1 in the end: half of it, from 0 to pi, falls.",
        but(("math.pi * done", "2 * math.pi * done")),
    ),
    Mistake(
        "Without the 1 the fall ends below zero: the cosine goes from 1 to -1.",
        but(("(1 + math.cos(math.pi * done)) / 2", "math.cos(math.pi * done)")),
    ),
    Mistake(
        "This is a quarter of the cosine, which falls in a corner at the end: half of it, from 0 "
        "to pi, is flat at both ends.",
        but(("(1 + math.cos(math.pi * done)) / 2", "math.cos(math.pi * done / 2)")),
    ),
    Mistake(
        "math.cos counts in radians: half a wave is pi.",
        but(("math.pi * done", "180 * done")),
    ),
    Mistake(
        "pi is missing: half a wave of the cosine ends at pi, and yours at 1.",
        but(("math.pi * done", "done")),
    ),
    Mistake(
        "The fall is a straight line: along half a cosine it is flat at both ends.",
        but(("(1 + math.cos(math.pi * done)) / 2", "1 - done")),
    ),
    Mistake(
        "The fall ends one step early, at zero: a last step with a rate of 0 is lost.",
        but(("(steps - warmup)", "(steps - warmup - 1)")),
    ),
)


# ---------------------------------------------------------------------------------------- averaged


def _mean_case(name: str, t: int, decay: float, *shape: int, dtype=torch.float64) -> Case:
    arguments = {"mean": values(shape, 120, dtype), "weight": values(shape, 121, dtype)}
    return Case(name, arguments | {"t": t, "decay": decay})


@exercise(
    topic="optimisers",
    title="A running mean of the weights",
    hints=(
        "Which of the two shares is the smaller one early, and which in the end? At first the mean "
        "should follow the weights quickly, later slowly.",
        "The share that stays is b = min(decay, (1 + t) / (10 + t)); the new mean is b times the "
        "old one plus (1 - b) times the weight, a new tensor.",
        "`beta = min(decay, (1 + t) / (10 + t))`, then `beta * mean + (1 - beta) * weight`, which "
        "changes neither.",
    ),
    returns=("mean",),
    cases=(
        _mean_case("first update", 0, 0.99, 1),
        _mean_case("sixth update", 5, 0.99, 2, 3),
        _mean_case("long after", 2000, 0.9, 4, 3, 2, 2),
        _mean_case("float32", 30, 0.5, 4, dtype=torch.float32),
    ),
)
def averaged(mean: Tensor, weight: Tensor, t: int, decay: float) -> Tensor:
    """Check ``averaged(mean, weight, t, decay) -> mean``.

    Parameters
    ----------
    function : callable
        The student's, which takes the mean so far and a weight, two tensors of one shape, the
        number of the update, from 0, and the largest share of the mean that stays. It returns the
        new mean and changes nothing.
    """
    beta = min(decay, (1 + t) / (10 + t))
    return beta * mean + (1 - beta) * weight


averaged.mistakes = (
    Mistake(
        "The share that stays is `decay` from the first update on, so the random start stays for "
        "long: take (1 + t) / (10 + t) as long as that is smaller.",
        but(("min(decay, (1 + t) / (10 + t))", "decay")),
        likely="decay alone",
    ),
    Mistake(
        "The share that stays grows without a limit, so in the end nothing new enters: it should "
        "never be above `decay`.",
        but(("min(decay, (1 + t) / (10 + t))", "(1 + t) / (10 + t)")),
        likely="no limit",
    ),
    Mistake(
        "It takes the larger of the two shares: the smaller one forgets the start.",
        but(("min(", "max(")),
        likely="larger share",
    ),
    Mistake(
        "The two shares are multiplied: the smaller one of them stays, min(decay, ...).",
        but(("min(decay, (1 + t) / (10 + t))", "decay * (1 + t) / (10 + t)")),
    ),
    Mistake(
        "The shares are exchanged: beta is what stays of the mean, 1 - beta what enters anew.",
        but(("beta * mean + (1 - beta) * weight", "(1 - beta) * mean + beta * weight")),
        likely="shares exchanged",
    ),
    Mistake(
        "The weight enters whole, as the gradient does into a velocity: for a mean the two shares "
        "must add up to 1.",
        but(("(1 - beta) * weight", "weight")),
        likely="shares do not add up to 1",
    ),
    Mistake(
        "The numbers are right, but your function wrote into the mean that it was given: give "
        "back a new tensor.",
        but(
            (
                "return beta * mean + (1 - beta) * weight",
                "return mean.mul_(beta).add_((1 - beta) * weight)",
            )
        ),
    ),
    Mistake(
        "It counts from 1: t is 0 in the first update, so its share is 1 / 10.",
        but(("(1 + t) / (10 + t)", "t / (9 + t)")),
    ),
    Mistake(
        "It counts one update too many: t is 0 in the first one, so its share is 1 / 10.",
        but(("(1 + t) / (10 + t)", "(2 + t) / (11 + t)")),
    ),
    Mistake(
        "This is the mean over all weights since the start, which never forgets: old ones should "
        "count less and less.",
        "return (t * mean + weight) / (t + 1)",
    ),
    Mistake(
        "The mean stays as it was: the share 1 - beta of the weight is missing.",
        but(("return beta * mean + (1 - beta) * weight", "return mean.clone()")),
    ),
    Mistake(
        "This is the weight itself: of the mean the share beta stays.",
        but(("return beta * mean + (1 - beta) * weight", "return weight.clone()")),
    ),
)

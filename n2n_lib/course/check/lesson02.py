"""Exercises of lesson 02, gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from n2n_lib.course.check.engine import Case, Exercise, run, values

# ------------------------------------------------------------------------------ linear_backward


def _linear_case(name: str, n: int, i: int, o: int, dtype: torch.dtype = torch.float64) -> Case:
    arguments = {
        "grad_output": values((n, o), 1, dtype),
        "x": values((n, i), 2, dtype),
        "weight": values((o, i), 3, dtype),
    }
    return Case(name, arguments, {"the batch size N": n, "the inputs I": i, "the outputs O": o})


def _linear_reference(grad_output: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Follow every path from a value to the outputs, one product at a time."""
    grad_x, grad_weight = torch.zeros_like(x), torch.zeros_like(weight)
    for n in range(x.shape[0]):
        for o in range(weight.shape[0]):
            for i in range(weight.shape[1]):
                grad_x[n, i] += grad_output[n, o] * weight[o, i]
                grad_weight[o, i] += grad_output[n, o] * x[n, i]
    return grad_x, grad_weight


LINEAR_BACKWARD = Exercise(
    name="linear_backward",
    lesson=2,
    title="Both gradients of a linear map",
    hint=(
        "y[n, o] = sum over i of x[n, i] weight[o, i]. grad_x[n, i] sums over o, "
        "grad_weight[o, i] sums over n; both are one matrix product with grad_output."
    ),
    returns=("grad_x", "grad_weight"),
    cases=(
        _linear_case("one vector", 1, 3, 2),
        _linear_case("batch of 3", 3, 2, 4),
        _linear_case("square weight", 2, 3, 3),
        _linear_case("float32", 4, 3, 2, torch.float32),
    ),
    reference=_linear_reference,
    mistakes=(
        (
            "The two gradients are swapped: return grad_x first, then grad_weight.",
            lambda g, x, w: (g.T @ x, g @ w),
        ),
        (
            "grad_weight is transposed: it should be (O, I) like the weight, so grad_output.T "
            "comes first in the product with x.",
            lambda g, x, w: (g @ w, x.T @ g),
        ),
        (
            "grad_x uses the transposed weight, as the forward does. Backward goes the other way: "
            "sum over the outputs o, so multiply grad_output by weight as it is.",
            lambda g, x, w: (g @ w.T, g.T @ x),
        ),
        (
            "grad_weight is a mean over the batch where a sum belongs: every image pulls at the "
            "weight, so add their gradients and do not divide by N.",
            lambda g, x, w: (g @ w, g.T @ x / len(x)),
        ),
        (
            "grad_weight has one matrix for each image: it forgot to sum over the batch.",
            lambda g, x, w: (g @ w, g[:, :, None] * x[:, None, :]),
        ),
        (
            "grad_weight forgets grad_output: every row is the sum of x alone.",
            lambda g, x, w: (g @ w, x.sum(0).expand_as(w)),
        ),
        (
            "grad_x forgets grad_output: multiply it with the weight (chain rule).",
            lambda g, x, w: (w.sum(0).expand_as(x), g.T @ x),
        ),
        (
            "Both gradients are divided by the batch size N. grad_weight is a sum over the batch, "
            "and grad_x has a row of its own for every image: nothing is divided.",
            lambda g, x, w: (g @ w / len(x), g.T @ x / len(x)),
        ),
        (
            "grad_x is a mean over the outputs where a sum belongs: x reaches the loss through "
            "every output, so add and do not divide by O.",
            lambda g, x, w: (g @ w / len(w), g.T @ x),
        ),
        (
            "These are the slopes of y alone: it forgot grad_output. The chain rule multiplies "
            "each with it and sums.",
            lambda g, x, w: (w, x),
        ),
        (
            "A product overwrites the one before it: grad_x sums over the outputs, grad_weight "
            "over the batch, so add with `+=`.",
            lambda g, x, w: (g[:, -1:] * w[-1], g[-1][:, None] * x[-1]),
        ),
        (
            "In grad_x the outputs overwrite each other: it sums over them, so add with `+=`.",
            lambda g, x, w: (g[:, -1:] * w[-1], g.T @ x),
        ),
        (
            "In grad_weight the images overwrite each other: it sums over them, so add with `+=`.",
            lambda g, x, w: (g @ w, g[-1][:, None] * x[-1]),
        ),
        (
            "grad_weight is right but for the last image, which is left out: is a loop one short?",
            lambda g, x, w: (g @ w, g[:-1].T @ x[:-1]),
        ),
        (
            "grad_weight sees the first image only: sum over the batch.",
            lambda g, x, w: (g @ w, g[0][:, None] * x[0]),
        ),
        (
            "Both gradients have the wrong sign: there is no minus in the gradient; it comes in "
            "with the step of gradient descent.",
            lambda g, x, w: (-(g @ w), -(g.T @ x)),
        ),
    ),
    errors=(
        (
            "shapes cannot be multiplied",
            "Write the shapes under the product: (N, O) by (O, I) for grad_x, (O, N) by (N, I) "
            "for grad_weight.",
        ),
        ("mat1 and mat2", "Write the shapes under the product: the inner two must be equal."),
    ),
)


def linear_backward(function: Callable) -> None:
    """Check ``linear_backward(grad_output, x, weight) -> (grad_x, grad_weight)``.

    The forward is ``y = x @ weight.T``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``grad_output`` ``(N, O)``, ``x`` ``(N, I)`` and ``weight``
        ``(O, I)`` and returns the gradients of the loss: ``grad_x`` ``(N, I)`` and ``grad_weight``
        ``(O, I)``.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(LINEAR_BACKWARD, function)


# ------------------------------------------------------------------------------ numerical_gradient


@dataclass
class _Cubic:
    """The scalar ``(sum of a (z + 1))^3 / 3`` of a tensor z.

    Its central differences depend on the step, and each slope on all entries.

    It may be called with a tensor, or without an argument: then it reads `x`, so that both ways of
    writing the exercise work.
    """

    x: Tensor
    coefficients: Tensor

    def __call__(self, x: Tensor | None = None) -> Tensor:
        z = self.x if x is None else x
        return (self.coefficients * (z + 1)).sum() ** 3 / 3


def _numerical_case(name: str, shape: tuple[int, ...], step: float) -> Case:
    x = values(shape, 4)
    function = _Cubic(x, values(shape, 5))
    return Case(name, {"function": function, "x": x, "step": step}, {})


def _differences(
    function: _Cubic, x: Tensor, above: float, below: float, width: float, each: bool = True
) -> Tensor:
    """Return ``(f(x + above e_i) - f(x + below e_i)) / width`` for every entry i."""
    gradient = torch.zeros_like(x)
    for i in range(x.numel()):
        one = torch.zeros_like(x)
        one.view(-1)[i] = 1.0
        if not each:
            one.fill_(1.0)
        difference = function(x + above * one) - function(x + below * one)
        gradient.view(-1)[i] = difference / width
    return gradient


def _not_restored(function: _Cubic, x: Tensor, end: float, step: float) -> Tensor:
    """Central differences that leave every entry of x at ``x + end``, for the following ones."""
    gradient = torch.zeros_like(x)
    for i in range(x.numel()):
        above, below = x.clone(), x.clone()
        above.view(-1)[i] += step
        below.view(-1)[i] -= step
        gradient.view(-1)[i] = (function(above) - function(below)) / (2 * step)
        x.view(-1)[i] += end
    return gradient


def _by_row(function: _Cubic, x: Tensor, step: float) -> Tensor:
    """Central differences that move all of ``x[i]`` at once."""
    gradient = torch.zeros_like(x)
    for i in range(len(x)):
        rows = torch.zeros_like(x)
        rows[i] = step
        gradient[i] = (function(x + rows) - function(x - rows)) / (2 * step)
    return gradient


NUMERICAL_GRADIENT = Exercise(
    name="numerical_gradient",
    lesson=2,
    title="Central differences",
    hint=(
        "For each entry: remember it, set it to value + step and call the function, set it to "
        "value - step and call it again, put the value back. The slope is the difference divided "
        "by 2 * step."
    ),
    returns=("gradient",),
    cases=(
        _numerical_case("one value", (1,), 0.1),
        _numerical_case("vector", (3,), 0.01),
        _numerical_case("matrix", (2, 3), 0.1),
        _numerical_case("four dimensions", (2, 1, 2, 2), 0.001),
    ),
    reference=lambda f, x, h: _differences(f, x, h, -h, 2 * h),
    mistakes=(
        (
            "This is the forward difference (f(x + h) - f(x)) / h. Central differences look to "
            "both sides, (f(x + h) - f(x - h)) / (2h), and their error is far smaller.",
            lambda f, x, h: _differences(f, x, h, 0, h),
        ),
        (
            "This is the backward difference (f(x) - f(x - h)) / h. Central differences look to "
            "both sides: (f(x + h) - f(x - h)) / (2h).",
            lambda f, x, h: _differences(f, x, 0, -h, h),
        ),
        (
            "It is divided by step, and should be divided by 2 * step: from x - h to x + h there "
            "are two steps.",
            lambda f, x, h: _differences(f, x, h, -h, h),
        ),
        (
            "The difference is not divided by 2 * step: a slope is rise over run.",
            lambda f, x, h: _differences(f, x, h, -h, 1),
        ),
        (
            "Only the value below is divided: put parentheses around (above - below).",
            lambda f, x, h: (
                _differences(f, x, h, 0, 1) + f(x) - (f(x) - _differences(f, x, 0, -h, 1)) / (2 * h)
            ),
        ),
        (
            "The value below is f(x) and not f(x - step), since the entry went down from x + step "
            "by one step only: set it to x - step. (If you keep its old value, do so with .item(): "
            "`flat[k]` alone is a view, which changes along.)",
            lambda f, x, h: _differences(f, x, h, 0, 2 * h),
        ),
        (
            "The slopes are all zero. function() reads x itself: is it a copy of x that you move? "
            "(Or is nothing written into the gradient?)",
            lambda f, x, h: torch.zeros_like(x),
        ),
        (
            "A whole row is moved at the same time: x[k] is a row of a matrix. x.view(-1) lists "
            "the single entries.",
            _by_row,
        ),
        (
            "It is multiplied by step / 2: `/ 2 * step` divides by 2 and then multiplies. Put "
            "parentheses around (2 * step).",
            lambda f, x, h: _differences(f, x, h, -h, 2 / h),
        ),
        (
            "The sign is wrong: subtract the value below from the value above.",
            lambda f, x, h: _differences(f, x, -h, h, 2 * h),
        ),
        (
            "All entries are moved at the same time. Move one entry, and leave the others: each "
            "has a derivative of its own.",
            lambda f, x, h: _differences(f, x, h, -h, 2 * h, each=False),
        ),
        (
            "Each entry stays at x - step: x is not restored before the next entry is moved.",
            lambda f, x, h: _not_restored(f, x, -h, h),
        ),
        (
            "Each entry stays at x + step: x is not restored before the next entry is moved.",
            lambda f, x, h: _not_restored(f, x, h, h),
        ),
    ),
    errors=(
        (
            "IndexError",
            "x may have any number of dimensions: x.view(-1) or itertools.product reach them all.",
        ),
    ),
)


def numerical_gradient(function: Callable) -> None:
    """Check ``numerical_gradient(function, x, step) -> gradient``.

    Parameters
    ----------
    function : callable
        The student's, which takes a scalar function, a float64 tensor ``x`` of any shape and a
        step, and returns the central differences, of the shape of ``x``. The scalar function may
        be called as ``function()``, when it reads ``x``, or as ``function(other)``. ``x`` must be
        as it was afterwards.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(NUMERICAL_GRADIENT, function)

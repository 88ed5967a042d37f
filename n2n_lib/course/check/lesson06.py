"""Exercises of lesson 06, loss and Sequential."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from n2n_lib.course.check.engine import Case, Exercise, run, values
from n2n_lib.framework.module import Module

# ------------------------------------------------------------------------------ mse_backward


def _mse_case(name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Case:
    arguments = {"output": values(shape, 20, dtype), "target": values(shape, 21, dtype)}
    sizes = {
        "the batch size N": shape[0],
        "the number of all values M": math.prod(shape),
        "the number of values of one image": math.prod(shape[1:]),
    }
    return Case(name, arguments, sizes)


def _mse_backward(output: Tensor, target: Tensor) -> Tensor:
    """Differentiate the loss by each value: a square is a parabola, so differences are exact."""
    grad, count = torch.zeros_like(output), output.numel()
    for i in range(count):
        y, t = output.flatten()[i].item(), target.flatten()[i].item()
        above, below = (y + 0.5 - t) ** 2, (y - 0.5 - t) ** 2
        grad.view(-1)[i] = (above - below) / count
    return grad


MSE_BACKWARD = Exercise(
    name="mse_backward",
    lesson=6,
    title="Gradient of the mean squared error",
    hint=(
        "L is the mean of (output - target)^2 over all M = N C H W values. The derivative of a "
        "square brings a factor 2, and the mean divides by M, the number of all values."
    ),
    returns=("grad_output",),
    axes=("image", "channel", "row", "column"),
    cases=(
        _mse_case("one value", (1, 1, 1, 1)),
        _mse_case("one image", (1, 3, 2, 2)),
        _mse_case("batch of 4", (4, 2, 3, 2)),
        _mse_case("float32", (3, 3, 2, 4), torch.float32),
    ),
    reference=_mse_backward,
    mistakes=(
        (
            "The factor 2 is missing: it comes from the derivative of the square.",
            lambda y, t: (y - t) / y.numel(),
        ),
        (
            "It is divided by the batch size N only: the mean is over all N C H W values, "
            "output.numel().",
            lambda y, t: 2 * (y - t) / len(y),
        ),
        (
            "It is divided by the batch size N only, and the factor 2 is missing: the mean is "
            "over all N C H W values, and the derivative of a square brings a 2.",
            lambda y, t: (y - t) / len(y),
        ),
        (
            "The sign is wrong: the gradient is positive where the output is too large, so it is "
            "output - target.",
            lambda y, t: 2 * (t - y) / y.numel(),
        ),
        (
            "The sign is wrong, and the factor 2 is missing: the gradient is positive where the "
            "output is too large, and the derivative of a square brings a 2.",
            lambda y, t: (t - y) / y.numel(),
        ),
        (
            "Parentheses are missing: 2 / M multiplies the difference (output - target), and not "
            "the output alone.",
            lambda y, t: 2 / y.numel() * y - t,
        ),
        (
            "`2 // M` rounds down to zero: divide with `/`.",
            lambda y, t: 2 // y.numel() * (y - t),
        ),
        (
            "It is summed over the batch: the gradient has one number for each value of output, so "
            "every image keeps its own.",
            lambda y, t: 2 / y.numel() * (y - t).sum(0),
        ),
        (
            "It is the gradient of the sum of squares: a mean divides by the number of all "
            "values, output.numel().",
            lambda y, t: 2 * (y - t),
        ),
        (
            "It is the difference alone: the factor 2 is missing, and so is the division by the "
            "number of all values, which the mean brings.",
            lambda y, t: y - t,
        ),
        (
            "The square is not differentiated: the derivative of (y - t)^2 is 2 (y - t).",
            lambda y, t: (y - t) ** 2 / y.numel(),
        ),
        (
            "The square is not differentiated: a factor 2 stands in front of (y - t)^2. The "
            "derivative of (y - t)^2 is 2 (y - t).",
            lambda y, t: 2 * (y - t) ** 2 / y.numel(),
        ),
        (
            "It returns the loss itself, one number. Its gradient has one number for each value "
            "of output.",
            lambda y, t: ((y - t) ** 2).mean(),
        ),
        (
            "It takes the mean of all differences, one number. The gradient has one number for "
            "each value of output; only divide by how many there are.",
            lambda y, t: (2 * (y - t)).mean(),
        ),
        (
            "It is divided by the number of pixels H W only: the mean is over all N C H W values.",
            lambda y, t: 2 * (y - t) / math.prod(y.shape[2:]),
        ),
        (
            "It is divided by the values of one image C H W only: the mean is over the batch too, "
            "all N C H W values.",
            lambda y, t: 2 * (y - t) / math.prod(y.shape[1:]),
        ),
        (
            "This is the gradient of the absolute error: its sign alone. The squared error has "
            "2 (output - target).",
            lambda y, t: (y - t).sign() / y.numel(),
        ),
    ),
)


def mse_backward(function: Callable) -> None:
    """Check ``mse_backward(output, target) -> grad_output``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``output`` and ``target`` ``(N, C, H, W)`` and returns the
        gradient of the loss, the mean of ``(output - target)^2`` over all values, by ``output``,
        of its shape.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(MSE_BACKWARD, function)


# ------------------------------------------------------------------------------ sequential_backward


class _Matrix(Module):
    """Multiply every row by a matrix ``(I, O)``: a small module whose order in a chain matters."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def forward(self, input: Tensor) -> Tensor:
        return input @ self.matrix

    def backward(self, grad_output: Tensor) -> Tensor:
        return grad_output @ self.matrix.T


def _chain_case(name: str, *widths: int, dtype: torch.dtype = torch.float64) -> Case:
    """A chain that has run forwards: the first width is that of the input."""
    shapes = zip(widths[:-1], widths[1:], strict=True)
    modules = [_Matrix(values(shape, 22 + index, dtype)) for index, shape in enumerate(shapes)]
    return Case(name, {"modules": modules, "grad_output": values((2, widths[-1]), 30, dtype)})


def _chain_reference(modules: list[Module], grad_output: Tensor) -> Tensor:
    """Multiply the matrices of the chain first, and the gradient with all of them at once."""
    if not modules:
        return grad_output
    return grad_output @ functools.reduce(torch.matmul, [m.matrix.double() for m in modules]).T


def _backwards(modules: list[Module], grad: Tensor) -> Tensor:
    for module in reversed(modules):
        grad = module.backward(grad)
    return grad


def _through(modules: list[Module], value: Tensor, way: str) -> Tensor:
    for module in modules:
        value = getattr(module, way)(value)
    return value


def _reverse_the_list(modules: list[Module], grad: Tensor) -> Tensor:
    modules.reverse()
    return _through(modules, grad, "backward")


def _empty_the_list(modules: list[Module], grad: Tensor) -> Tensor:
    while modules:
        grad = modules.pop().backward(grad)
    return grad


SEQUENTIAL_BACKWARD = Exercise(
    name="sequential_backward",
    lesson=6,
    title="A chain of modules, run backwards",
    hint=(
        "Start with grad_output at the last module. What a module's backward returns is the "
        "grad_output of the module before it: loop over reversed(modules)."
    ),
    returns=("grad_input",),
    cases=(
        _chain_case("one module", 3, 3),
        _chain_case("four modules", 3, 3, 3, 3, 3),
        _chain_case("shapes that change, float32", 2, 4, 3, 5, dtype=torch.float32),
        _chain_case("no module", 3),
    ),
    reference=_chain_reference,
    mistakes=(
        (
            "The chain runs in forward order: the chain rule starts at the last module, so loop "
            "over reversed(modules).",
            lambda m, g: _through(m, g, "backward"),
        ),
        (
            "This is the result of the first module alone. Every module gets the grad_output of "
            "the whole chain: hand on what the module after it has returned.",
            lambda m, g: m[0].backward(g) if m else g,
        ),
        (
            "This is the result of the last module alone: is `return` inside the loop? (Or every "
            "module gets the grad_output of the whole chain: hand on what the one after it has "
            "returned.)",
            lambda m, g: m[-1].backward(g) if m else g,
        ),
        (
            "It calls forward where backward belongs.",
            lambda m, g: _through(m, g, "forward"),
        ),
        (
            "It calls forward where backward belongs.",
            lambda m, g: _through(list(reversed(m)), g, "forward"),
        ),
        (
            "The first module is left out: the gradient of the input is what comes out of its "
            "backward.",
            lambda m, g: _backwards(m[1:], g),
        ),
        (
            "The last module is left out: grad_output belongs to its output, so it comes first.",
            lambda m, g: _backwards(m[:-1], g),
        ),
        (
            "It returns grad_output as it came: keep what each backward returns.",
            lambda m, g: g,
        ),
        (
            "It adds up what the modules return. The gradient goes through them one after the "
            "other: each works on the result of the module after it.",
            lambda m, g: sum(module.backward(g) for module in m),
        ),
        (
            "The result is right, but your function changed its input: the list modules now runs "
            "backwards, and the next forward would too. Go through reversed(modules) instead of "
            "modules.reverse().",
            _reverse_the_list,
        ),
        (
            "The result is right, but your function changed its input: the list modules is empty "
            "now, and so is the network. Go through reversed(modules) instead of taking modules "
            "out.",
            _empty_the_list,
        ),
    ),
    errors=(
        (
            "shapes cannot be multiplied",
            "A gradient reached a module that did not make it: go from the last module to the "
            "first, and give each what the one after it returned.",
        ),
        (
            "IndexError",
            "The last module is modules[len(modules) - 1], and there may be none at all: "
            "`for module in reversed(modules)` needs no index.",
        ),
        (
            "UnboundLocalError",
            "With no module the loop does not run: then the result is grad_output.",
        ),
        (
            "missing 1 required positional argument",
            "Give it the gradient of its output, grad_output at first.",
        ),
        (
            "object is not callable",
            "Call module.backward(...) on each module of the list.",
        ),
    ),
)


def sequential_backward(function: Callable) -> None:
    """Check ``sequential_backward(modules, grad_output) -> grad_input``.

    Parameters
    ----------
    function : callable
        The student's, which takes a list of modules, each with ``backward(grad_output)``, and the
        gradient of the output of the last, and returns the gradient of the input of the first. The
        list must be as it was afterwards.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(SEQUENTIAL_BACKWARD, function)

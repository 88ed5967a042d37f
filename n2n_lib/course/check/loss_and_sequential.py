"""Exercises on loss and Sequential."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise
from n2n_lib.framework.module import Module

# ------------------------------------------------------------------------------------ mse_backward


def _mse_case(name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Case:
    arguments = {"output": values(shape, 20, dtype), "target": values(shape, 21, dtype)}
    sizes = {
        "the batch size N": shape[0],
        "the number of all values M": math.prod(shape),
        "the number of values of one image": math.prod(shape[1:]),
    }
    return Case(name, arguments, sizes)


@exercise(
    topic="loss_and_sequential",
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
)
def mse_backward(output: Tensor, target: Tensor) -> Tensor:
    """Check ``mse_backward(output, target) -> grad_output``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``output`` and ``target`` ``(N, C, H, W)`` and returns the
        gradient of the loss, the mean of ``(output - target)^2`` over all values, by ``output``,
        of its shape.
    """
    return 2 / output.numel() * (output - target)


mse_backward.mistakes = (
    Mistake(
        "The factor 2 is missing: it comes from the derivative of the square.",
        "return (output - target) / output.numel()",
        likely="no 2",
    ),
    Mistake(
        "It is divided by the batch size N only: the mean is over all N C H W values, "
        "output.numel().",
        "return 2 * (output - target) / len(output)",
        likely="batch only",
    ),
    Mistake(
        "It is divided by the batch size N only, and the factor 2 is missing: the mean is over "
        "all N C H W values, and the derivative of a square brings a 2.",
        "return (output - target) / output.shape[0]",
        likely="batch only, no 2",
    ),
    Mistake(
        "The sign is wrong: the gradient is positive where the output is too large, so it is "
        "output - target.",
        "return 2 * (target - output) / output.numel()",
    ),
    Mistake(
        "The sign is wrong, and the factor 2 is missing: the gradient is positive where the "
        "output is too large, and the derivative of a square brings a 2.",
        "return (target - output) / output.numel()",
    ),
    Mistake(
        "Parentheses are missing: 2 / M multiplies the difference (output - target), and not the "
        "output alone.",
        "return 2 / output.numel() * output - target",
    ),
    Mistake(
        "`2 // M` rounds down to zero: divide with `/`.",
        "return 2 // output.numel() * (output - target)",
    ),
    Mistake(
        "It is summed over the batch: the gradient has one number for each value of output, so "
        "every image keeps its own.",
        "return (2 / output.numel() * (output - target)).sum(0)",
    ),
    Mistake(
        "It is the gradient of the sum of squares: a mean divides by the number of all values, "
        "output.numel().",
        "return 2 * (output - target)",
        likely="not divided",
    ),
    Mistake(
        "It is the difference alone: the factor 2 is missing, and so is the division by the "
        "number of all values, which the mean brings.",
        "return output - target",
        likely="difference alone",
    ),
    Mistake(
        "The square is not differentiated: the derivative of (y - t)^2 is 2 (y - t).",
        "return (output - target) ** 2 / output.numel()",
    ),
    Mistake(
        "The square is not differentiated: a factor 2 stands in front of (y - t)^2. The "
        "derivative of (y - t)^2 is 2 (y - t).",
        "return 2 * (output - target) ** 2 / output.numel()",
    ),
    Mistake(
        "It returns the loss itself, one number. Its gradient has one number for each value of "
        "output.",
        "return ((output - target) ** 2).mean()",
    ),
    Mistake(
        "It takes the mean of all differences, one number. The gradient has one number for each "
        "value of output; only divide by how many there are.",
        "return 2 * (output - target).mean()",
    ),
    Mistake(
        "It is divided by the number of pixels H W only: the mean is over all N C H W values.",
        "return 2 * (output - target) / (output.shape[2] * output.shape[3])",
    ),
    Mistake(
        "It is divided by the values of one image C H W only: the mean is over the batch too, "
        "all N C H W values.",
        "return 2 * (output - target) / output[0].numel()",
    ),
    Mistake(
        "This is the gradient of the absolute error: its sign alone. The squared error has 2 "
        "(output - target).",
        "return (output - target).sign() / output.numel()",
    ),
)


# ----------------------------------------------------------------------------- sequential_backward


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


@exercise(
    topic="loss_and_sequential",
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
def sequential_backward(modules: list[Module], grad_output: Tensor) -> Tensor:
    """Check ``sequential_backward(modules, grad_output) -> grad_input``.

    Parameters
    ----------
    function : callable
        The student's, which takes a list of modules, each with ``backward(grad_output)``, and the
        gradient of the output of the last, and returns the gradient of the input of the first. The
        list must be as it was afterwards.
    """
    for module in reversed(modules):
        grad_output = module.backward(grad_output)
    return grad_output


sequential_backward.mistakes = (
    Mistake(
        "The chain runs in forward order: the chain rule starts at the last module, so loop over "
        "reversed(modules).",
        but(("reversed(modules)", "modules")),
        likely="forward order",
    ),
    Mistake(
        "This is the result of the first module alone. Every module gets the grad_output of the "
        "whole chain: hand on what the module after it has returned.",
        but(
            ("for module", "grad = grad_output\nfor module"),
            ("    grad_output = ", "    grad = "),
            ("return grad_output", "return grad"),
        ),
        likely="not handed on",
    ),
    Mistake(
        "This is the result of the last module alone: is `return` inside the loop? (Or every "
        "module gets the grad_output of the whole chain: hand on what the one after it has "
        "returned.)",
        but(("grad_output = module", "return module")),
        likely="return inside the loop",
    ),
    Mistake(
        "It calls forward where backward belongs.",
        but(("reversed(modules)", "modules"), ("module.backward", "module")),
        but(("module.backward", "module")),
        likely="forward called",
    ),
    Mistake(
        "The first module is left out: the gradient of the input is what comes out of its "
        "backward.",
        but(("reversed(modules)", "reversed(modules[1:])")),
        likely="first left out",
    ),
    Mistake(
        "The last module is left out: grad_output belongs to its output, so it comes first.",
        but(("reversed(modules)", "reversed(modules[:-1])")),
    ),
    Mistake(
        "It returns grad_output as it came: keep what each backward returns.",
        "return grad_output",
    ),
    Mistake(
        "It adds up what the modules return. The gradient goes through them one after the other: "
        "each works on the result of the module after it.",
        """
        total = 0
        for module in reversed(modules):
            total = total + module.backward(grad_output)
        return total
        """,
    ),
    Mistake(
        "The result is right, but your function changed its input: the list modules now runs "
        "backwards, and the next forward would too. Go through reversed(modules) instead of "
        "modules.reverse().",
        """
        modules.reverse()
        for module in modules:
            grad_output = module.backward(grad_output)
        return grad_output
        """,
    ),
    Mistake(
        "The result is right, but your function changed its input: the list modules is empty "
        "now, and so is the network. Go through reversed(modules) instead of taking modules out.",
        """
        while modules:
            grad_output = modules.pop().backward(grad_output)
        return grad_output
        """,
    ),
)

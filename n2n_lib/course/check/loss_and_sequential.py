"""Exercises on loss and Sequential."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise
from n2n_lib.framework.activations import ReLU, Sigmoid
from n2n_lib.framework.containers import Sequential as Chain
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.gradcheck import numerical_gradient
from n2n_lib.framework.module import Module
from n2n_lib.framework.upsampling import Upsampling


def _mse_case(
    name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float64, *, equal: int = 0
) -> Case:
    """Make a case where the first few values of the output are their targets."""
    arguments = {"output": values(shape, 20, dtype), "target": values(shape, 21, dtype)}
    arguments["target"].view(-1)[:equal] = arguments["output"].view(-1)[:equal]
    sizes = {
        "the batch size N": shape[0],
        "the number of all values M": math.prod(shape),
        "the number of values of one image": math.prod(shape[1:]),
    }
    return Case(name, arguments, sizes)


_MSE_CASES = (
    _mse_case("one value", (1, 1, 1, 1)),
    _mse_case("one image", (1, 3, 2, 2)),
    _mse_case("batch of 4", (4, 2, 3, 2)),
    _mse_case("some targets are met", (2, 1, 3, 2), equal=3),
    _mse_case("rows of numbers", (3, 5)),
    _mse_case("float32", (3, 3, 2, 4), torch.float32),
)


# ------------------------------------------------------------------------------------- mse_forward


@exercise(
    topic="loss_and_sequential",
    title="The mean squared error",
    hints=(
        "The name says it backwards: mean, squared, error. Start at its end.",
        "Take the difference of output and target, square every value of it, and take the mean "
        "of all values: one number, whatever the shape.",
        "`(output - target).square()` has all the squares; one more method makes one number of "
        "them.",
    ),
    returns=("loss",),
    cases=_MSE_CASES,
)
def mse_forward(output: Tensor, target: Tensor) -> Tensor:
    """Check ``mse_forward(output, target) -> loss``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``output`` and ``target`` ``(N, C, H, W)`` and returns the mean
        of ``(output - target)^2`` over all values, a tensor without dimensions.
    """
    return (output - target).square().mean()


mse_forward.mistakes = (
    Mistake(
        "It is the sum of the squares: divide by the number of all values, output.numel(), or take "
        "the mean.",
        "return (output - target).square().sum()",
        likely="sum",
    ),
    Mistake(
        "It is divided by the batch size N only: the mean is over all N C H W values.",
        "return (output - target).square().sum() / len(output)",
        likely="batch only",
    ),
    Mistake(
        "It is the mean of the differences, in which too large and too small cancel: square each "
        "before the mean.",
        "return (output - target).mean()",
        likely="no square",
    ),
    Mistake(
        "It squares the mean of the differences, in which too large and too small cancel: square "
        "each before the mean.",
        "return (output - target).mean() ** 2",
        likely="squared too late",
    ),
    Mistake(
        "Only the target is squared: a power binds more tightly than a minus, so the difference "
        "needs parentheses.",
        "return (output - target**2).mean()",
    ),
    Mistake(
        "This is the norm, the root of the sum of the squares: square it, and divide by the number "
        "of all values.",
        "return (output - target).norm()",
        "return (output - target).norm() / output.numel()",
    ),
    Mistake(
        "This is the mean absolute error: take the square of each difference.",
        "return (output - target).abs().mean()",
    ),
    Mistake(
        "This is the root of the mean squared error: the loss is the mean itself.",
        "return (output - target).square().mean().sqrt()",
        "return (output - target).norm() / output.numel() ** 0.5",
    ),
    Mistake(
        "This is half of the mean squared error: some books have the factor 1/2, our formula has "
        "none.",
        "return 0.5 * (output - target).square().mean()",
    ),
    Mistake(
        "It has one loss for each image: the mean is over the batch too.",
        "return (output - target).square().mean((1, 2, 3))",
        likely="one for each image",
    ),
    Mistake(
        "It returns the squares: their mean is still to be taken.",
        "return (output - target).square()",
        likely="no mean",
    ),
    Mistake(
        "It takes the difference of the squares: square the difference.",
        "return (output.square() - target.square()).mean()",
    ),
)


# ------------------------------------------------------------------------------------ mse_backward


@exercise(
    topic="loss_and_sequential",
    title="Gradient of the mean squared error",
    hints=(
        "In which term of the mean does one value of the output stand? Differentiate that term "
        "alone.",
        "L is the sum of (output - target)^2 over all M values, divided by M. The square brings"
        " a factor 2, and M is the number of all values, of every dimension.",
        "M is `output.numel()`, and the difference is `output - target`: what factor stands "
        "before it.",
    ),
    returns=("grad_output",),
    axes=("image", "channel", "row", "column"),
    cases=_MSE_CASES,
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

_REVERSED = (
    "`.reverse()` turns the list itself round, and returns nothing: go through reversed(...) of it."
)


class _Matrix(Module):
    """Multiply every row by a matrix ``(I, O)``: a small module whose order in a chain matters.

    It has been run forwards once, and refuses a second backward, in which a module with parameters
    would add to their gradients again, and to have its gradients cleared.
    """

    def __init__(self, matrix: Tensor) -> None:
        self.matrix, self.ran = matrix, True

    def forward(self, input: Tensor) -> Tensor:
        return input @ self.matrix

    def backward(self, grad_output: Tensor) -> Tensor:
        if not self.ran:
            raise RuntimeError("this module has been run backwards already")
        self.ran = False
        return grad_output @ self.matrix.T

    def zero_grad(self) -> None:
        raise RuntimeError("what is in these gradients is still needed")


def _chain_case(
    name: str, *widths: int, dtype: torch.dtype = torch.float64, grad: float = 1.0
) -> Case:
    """A chain that has run forwards: the first width is that of the input."""
    shapes = zip(widths[:-1], widths[1:], strict=True)
    modules = [_Matrix(values(shape, 22 + index, dtype)) for index, shape in enumerate(shapes)]
    return Case(
        name, {"modules": modules, "grad_output": grad * values((2, widths[-1]), 30, dtype)}
    )


@exercise(
    topic="loss_and_sequential",
    title="A chain of modules, run backwards",
    hints=(
        "Which module gets the gradient that you are given, the first or the last? And who gets"
        " what it returns?",
        "Start with grad_output at the last module. What its backward returns is the "
        "grad_output of the module before it, and so on to the first.",
        "`for module in reversed(modules):` and in it `grad_output = ...`, so that with no "
        "module grad_output is left as it is.",
    ),
    returns=("grad_input",),
    cases=(
        _chain_case("one module", 3, 3),
        _chain_case("four modules", 3, 3, 3, 3, 3),
        _chain_case("shapes that change, float32", 2, 4, 3, 5, dtype=torch.float32),
        _chain_case("no module", 3),
        _chain_case("a gradient of zeros", 2, 4, 3, grad=0.0),
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
        ("'NoneType' object is not iterable", _REVERSED),
        (
            "is still needed",
            "Backward adds to the gradients of the parameters: who clears them is the optimiser, "
            "once a step, and not the chain.",
        ),
        (
            "has been run backwards already",
            "A second backward would add to the gradients of its parameters again: call each "
            "module.backward once, and keep what it returns.",
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


# -------------------------------------------------------------------------------------- Sequential


class _Mixing(Module):
    """Multiply every row by a matrix ``(I, O)`` that is a parameter, and add a bias if asked.

    Gradients do not begin at zero: backward has to add to them.
    """

    def __init__(self, matrix: Tensor, bias: Tensor | None = None) -> None:
        self.matrix, self.matrix_grad = matrix, matrix / 4
        if bias is not None:
            self.bias, self.bias_grad = bias, bias / 4

    def forward(self, input: Tensor) -> Tensor:
        self._saved = input
        output = input @ self.matrix
        return output + self.bias if hasattr(self, "bias") else output

    def backward(self, grad_output: Tensor) -> Tensor:
        self.matrix_grad += self._take_saved().T @ grad_output
        if hasattr(self, "bias"):
            self.bias_grad += grad_output.sum(0)
        return grad_output @ self.matrix.T


def _mixing(*shape: int, seed: int, bias: bool = False, dtype: torch.dtype) -> _Mixing:
    return _Mixing(values(shape, seed, dtype), values(shape[1:], seed + 1, dtype) if bias else None)


def _container_case(name: str, *widths: int, dtype: torch.dtype = torch.float64) -> Case:
    """A chain of matrices, every second one with a bias."""
    shapes = list(zip(widths[:-1], widths[1:], strict=True))
    modules = [
        _mixing(*shape, seed=50 + 2 * index, bias=index % 2 == 0, dtype=dtype)
        for index, shape in enumerate(shapes)
    ]
    x, grad_output = values((2, widths[0]), 70, dtype), values((2, widths[-1]), 71, dtype)
    return Case(name, {"modules": modules, "x": x, "grad_output": grad_output})


def use_chain(
    answer: type, modules: list[Module], x: Tensor, grad_output: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Run a chain forwards and backwards, take a step with what its `param` lists, run again."""
    chain = answer(*modules)
    output = chain.forward(x)
    grad_input = chain.backward(grad_output)
    pairs = chain.param()
    if not isinstance(pairs, (list, tuple)):
        raise TypeError(f"param returned no list, but {type(pairs).__name__}")
    grads = torch.cat([grad.flatten() for _, grad in pairs]) if pairs else x.new_zeros(0)
    for parameter, grad in pairs:
        parameter.sub_(0.125 * grad)
    return output, grad_input, grads, chain.forward(x)


@exercise(
    topic="loss_and_sequential",
    title="A chain that is a module itself",
    hints=(
        "The chain knows nothing of its parts but their three methods. Which of the three runs "
        "through them from the end?",
        "forward gives each module what the one before returned; backward does so from the last "
        "on, with gradients; param is one list, the lists of all modules joined in order.",
        "forward has `x = module.forward(x)` in a loop over `self.layers`, backward the same over "
        "`reversed(self.layers)`, and param `pairs += module.param()`.",
    ),
    returns=("output", "grad_input", "gradients of param", "output after a step"),
    use=use_chain,
    cases=(
        _container_case("one module", 2, 2),
        _container_case("three modules", 3, 3, 3, 3),
        _container_case("shapes that change, float32", 2, 4, 3, 5, dtype=torch.float32),
        _container_case("no module", 3),
    ),
    errors=(
        (
            "not enough values to unpack",
            "param returns one list of pairs (parameter, gradient): add the lists of the modules, "
            "instead of putting them into another list.",
        ),
        (
            "too many values to unpack",
            "param returns one list of pairs (parameter, gradient): add the lists of the modules, "
            "instead of putting them into another list.",
        ),
        (
            "has no attribute 'flatten'",
            "param returns one list of pairs (parameter, gradient): add the lists of the modules, "
            "instead of putting them into another list.",
        ),
        (
            "shapes cannot be multiplied",
            "A tensor reached a module that it does not fit: forward runs from the first module to "
            "the last, backward from the last to the first.",
        ),
        (
            "object has no attribute 'weight'",
            "A chain knows nothing of the names in its modules: ask each of them for its param().",
        ),
        ("RecursionError", "It calls itself without end: ask the modules, module.param()."),
        (
            "param returned no list",
            "param returns one list of pairs (parameter, gradient): does it collect them, and end "
            "in a `return` of the list?",
        ),
        ("'NoneType' object is not iterable", _REVERSED),
        (
            "takes 1 positional argument",
            "The modules come one by one, Sequential(conv, relu): `def __init__(self, *modules)`.",
        ),
    ),
)
class Sequential(Module):
    """Check ``Sequential(modules)``, a module with ``forward``, ``backward`` and ``param``.

    Parameters
    ----------
    function : type
        The student's class, made from any number of modules, ``Sequential(conv, relu)``. Its
        ``forward(x)`` runs them in order, ``backward(grad_output)`` in the opposite order, and
        ``param()`` returns the pairs ``(parameter, gradient)`` of all of them in order, the
        tensors themselves and no copies.
    """

    def __init__(self, *modules):
        self.layers = list(modules)

    def forward(self, x):
        """Run the chain from its first module to its last."""
        for module in self.layers:
            x = module.forward(x)
        return x

    def backward(self, grad_output):
        """Run the chain rule from the last module to the first."""
        for module in reversed(self.layers):
            grad_output = module.backward(grad_output)
        return grad_output

    def param(self):
        """Return the parameters and gradients of all modules."""
        pairs = []
        for module in self.layers:
            pairs += module.param()
        return pairs


Sequential.mistakes = (
    Mistake(
        "backward runs in the order of forward: it begins at the last module, so loop over "
        "reversed(self.layers).",
        but(("reversed(self.layers)", "self.layers")),
        likely="backward in forward order",
    ),
    Mistake(
        "forward gives every module the input of the whole chain: hand on what the module before "
        "has returned.",
        but(("x = module.forward(x)", "y = module.forward(x)"), ("return x", "return y")),
        likely="forward not handed on",
    ),
    Mistake(
        "backward gives every module the grad_output of the whole chain: hand on what the module "
        "after it has returned.",
        but(
            ("grad_output = module.backward(grad_output)", "grad = module.backward(grad_output)"),
            ("return grad_output", "return grad if self.layers else grad_output"),
        ),
    ),
    Mistake(
        "forward runs from the last module to the first: it is backward that does.",
        but(
            (
                "for module in self.layers:\n        x =",
                "for module in self.layers[::-1]:\n        x =",
            )
        ),
    ),
    Mistake(
        "param lists nothing: whoever trains or saves the chain finds no parameter. Add the lists "
        "of all modules.",
        but(("return pairs", "return []")),
        likely="param empty",
    ),
    Mistake(
        "param lists the last module alone: is the list replaced in every round of the loop?",
        but(("pairs += module", "pairs = module")),
    ),
    Mistake(
        "param lists the first module alone: is `return` inside the loop?",
        but(("    return pairs", "        return pairs\n    return pairs")),
        likely="return inside the loop",
    ),
    Mistake(
        "param lists the modules in the opposite order: gradients and parameters come in the order "
        "of the chain.",
        but(("self.layers:\n        pairs", "self.layers[::-1]:\n        pairs")),
    ),
    Mistake(
        "param returns copies: an optimiser that writes into them does not train the chain. List "
        "the tensors of the modules themselves.",
        but(("return pairs", "return [(p.clone(), g.clone()) for p, g in pairs]")),
        likely="copies",
    ),
    Mistake(
        "param lists the gradient first: each pair is (parameter, gradient).",
        but(("return pairs", "return [(g, p) for p, g in pairs]")),
    ),
    Mistake(
        "backward calls forward: it asks each module for its backward.",
        but(("module.backward(grad_output)", "module.forward(grad_output)")),
    ),
    Mistake(
        "The first module is left out: a chain keeps all that it is given.",
        but(("list(modules)", "list(modules[1:])")),
    ),
    Mistake(
        "backward leaves the gradients of the parameters twice as large: does it run every module "
        "two times?",
        but(
            (
                "    grad_output = module",
                "    module.backward(grad_output)\n        grad_output = module",
            )
        ),
    ),
)


# ---------------------------------------------------------------------- gradient_ratios, find_bugs


class _Layer(Module):
    """The right one of a family: ``sigmoid(x W^T + b)`` of rows, ``W`` is ``(O, I)``."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight, self.weight_grad = weight, torch.zeros_like(weight)
        self.bias, self.bias_grad = bias, torch.zeros_like(bias)

    def forward(self, input: Tensor) -> Tensor:
        output = torch.sigmoid(input @ self.weight.T + self.bias)
        self._saved = input, output
        return output

    def backward(self, grad_output: Tensor) -> Tensor:
        x, y = self._take_saved()
        grad = grad_output * self.slope(y)
        self.weight_grad += self.grad_weight(grad, x)
        self.bias_grad += self.grad_bias(grad)
        return self.grad_input(grad)

    def slope(self, y: Tensor) -> Tensor:
        return y * (1 - y)

    def grad_weight(self, grad: Tensor, x: Tensor) -> Tensor:
        return grad.T @ x

    def grad_bias(self, grad: Tensor) -> Tensor:
        return grad.sum(0)

    def grad_input(self, grad: Tensor) -> Tensor:
        return grad @ self.weight


class _First(_Layer):
    def grad_weight(self, grad: Tensor, x: Tensor) -> Tensor:
        return x.T @ grad


class _Second(_Layer):
    def grad_bias(self, grad: Tensor) -> Tensor:
        return grad.mean(0)


class _Third(_Layer):
    def slope(self, y: Tensor) -> Tensor:
        return super().slope(torch.sigmoid(y))


class _Twice(_Layer):
    def grad_weight(self, grad: Tensor, x: Tensor) -> Tensor:
        return 2 * (grad.T @ x)


class _Minus(_Layer):
    def grad_input(self, grad: Tensor) -> Tensor:
        return -(grad @ self.weight)


class _LastRow(_Layer):
    def grad_bias(self, grad: Tensor) -> Tensor:
        return grad[-1]


SUSPECTS = {
    1: "the gradient of the input is computed with the transposed weight",
    2: "the gradient of the bias is a mean over the batch instead of a sum",
    3: "the gradient of the weight is twice as large as it should be",
    4: "the gradient of the weight is transposed",
    5: "the slope of the sigmoid is taken at the wrong number",
    6: "every gradient is divided by the batch size",
    7: "the sign of the input's gradient is wrong",
    8: "the gradient of the bias is that of the last row of the batch alone",
}
"""What may be wrong with a layer ``sigmoid(x W^T + b)``."""


def broken_modules() -> dict[str, Module]:
    """Return three layers ``sigmoid(x W^T + b)``, each with one mistake in its backward.

    Returns
    -------
    dict of str to Module
        ``"A"``, ``"B"`` and ``"C"``, which take rows ``(N, 3)`` and return as many. Their
        parameters are ``weight`` ``(3, 3)`` and ``bias`` ``(3,)``, in float64.
    """
    kinds = {"A": _First, "B": _Second, "C": _Third}
    return {
        name: kind(values((3, 3), 80 + index), values((3,), 84 + index))
        for index, (name, kind) in enumerate(kinds.items())
    }


def use_ratios(answer: Callable, module: Module, x: Tensor, grad_output: Tensor) -> Tensor:
    """Return all ratios in a row, to four digits: finite differences have no more than eight."""
    ratios = answer(module, x, grad_output)
    return torch.cat([ratio.flatten() for ratio in ratios]).mul(1e4).round() / 1e4


def _ratio_case(name: str, module: Module, rows: int, used: bool = False) -> Case:
    if used:  # by an earlier backward, whose gradients nobody has cleared
        for seed, (_, grad) in enumerate(module.param(), start=90):
            grad += values(grad.shape, seed)
    x, grad_output = values((rows, 3), 92), values((rows, 3), 93)
    return Case(name, {"module": module, "x": x, "grad_output": grad_output})


def _layer(kind: type[_Layer], seed: int) -> _Layer:
    return kind(values((3, 3), seed), values((3,), seed + 1))


@exercise(
    topic="loss_and_sequential",
    title="A gradient check that tells how wrong",
    hints=(
        "Both gradients are of one number, the sum of grad_output times the output. What must "
        "be cleared before backward, so that ours is of this number alone?",
        "zero_grad, forward, backward: its result and the gradients of param() are ours, in "
        "this order. Then, for x and for each parameter, the numerical gradient of that one "
        "number; divide ours by it.",
        "`numerical_gradient(lambda: (module.forward(x) * grad_output).sum(), entries)` nudges "
        "the tensor `entries`: once `x`, then each `p` of `for p, _ in module.param()`.",
    ),
    returns=("ratios",),
    use=use_ratios,
    cases=(
        _ratio_case("a layer that is right", _layer(_Layer, 94), 2),
        _ratio_case("a weight's gradient twice as large", _layer(_Twice, 96), 4),
        _ratio_case("the sign of the input's gradient wrong", _layer(_Minus, 100), 2),
        _ratio_case("the bias's gradient of one row alone", _layer(_LastRow, 102), 3),
        _ratio_case("gradients left from before", _layer(_Layer, 98), 3, used=True),
        _ratio_case("no parameter", Sigmoid(), 2),
    ),
    errors=(
        (
            "tensors must be two",
            "numerical_gradient takes the function first and then the tensor that it nudges.",
        ),
        (
            "takes 0 positional arguments",
            "numerical_gradient calls a function without arguments: `lambda: ...`.",
        ),
        (
            "a Tensor with",
            "numerical_gradient wants one number: multiply the output with grad_output and sum.",
        ),
        (
            "object has no attribute 'flatten'",
            "Return one list of tensors: the ratios of the input, then those of each parameter.",
        ),
    ),
)
def gradient_ratios(module: Module, x: Tensor, grad_output: Tensor) -> list[Tensor]:
    """Check ``gradient_ratios(module, x, grad_output) -> ratios``.

    Parameters
    ----------
    function : callable
        The student's, which takes a module, its input and a gradient of its output, and returns a
        list of tensors: of the input and then of every parameter in the order of ``param()``, the
        gradient of one ``backward`` divided by that of finite differences, entry by entry.
    """
    module.zero_grad()
    module.forward(x)
    ours = [module.backward(grad_output)] + [grad for _, grad in module.param()]
    ratios = []
    for entries, grad in zip([x] + [p for p, _ in module.param()], ours, strict=True):
        numeric = numerical_gradient(lambda: (module.forward(x) * grad_output).sum(), entries)
        ratios.append(grad / numeric)
    return ratios


gradient_ratios.mistakes = (
    Mistake(
        "The ratio is upside down: divide the gradient of backward by that of finite differences.",
        but(("grad / numeric", "numeric / grad")),
        likely="upside down",
    ),
    Mistake(
        "The gradients from before are still in: call zero_grad before backward, which adds.",
        but(("module.zero_grad()\n", "")),
        likely="no zero_grad",
    ),
    Mistake(
        "The input is missing: backward returns its gradient, which comes first in the list.",
        but(("return ratios", "return ratios[1:] or [x[:0]]")),
        likely="no input",
    ),
    Mistake(
        "The parameters are missing: their gradients are the second of each pair in param().",
        but(("return ratios", "return ratios[:1]")),
        likely="no parameters",
    ),
    Mistake(
        "It is the difference, which depends on how large the gradient is: divide.",
        but(("grad / numeric", "grad - numeric")),
        likely="difference",
    ),
    Mistake(
        "The numerical gradient is that of the sum of the outputs: multiply them with grad_output "
        "first, since backward starts from it.",
        but((" * grad_output", "")),
        likely="no grad_output",
    ),
    Mistake(
        "The sign of the ratio is lost: a wrong sign is one of the things to be seen.",
        but(("grad / numeric", "(grad / numeric).abs()")),
        but(("grad / numeric", "grad.abs() / numeric.abs()")),
    ),
    Mistake(
        "It is one number for a whole tensor, such as the mean of its ratios: of one wrong among "
        "many entries it would tell little.",
        but(("grad / numeric", "(grad / numeric).mean()")),
        likely="mean",
    ),
    Mistake(
        "backward runs twice, so every gradient of a parameter is there twice.",
        but(("ours = ", "module.backward(grad_output)\nours = ")),
    ),
    Mistake(
        "The input comes last: first the input, then the parameters.",
        but(("return ratios", "return ratios[1:] + ratios[:1]")),
    ),
    Mistake(
        "backward gets a gradient of ones: it starts from grad_output, as the other side does.",
        but(("module.backward(grad_output)", "module.backward(torch.ones_like(grad_output))")),
    ),
    Mistake(
        "grad_output is not used: both sides are the gradient of the sum of the outputs, which is "
        "one question among many, and not the one that was asked.",
        but(
            ("module.backward(grad_output)", "module.backward(torch.ones_like(grad_output))"),
            (" * grad_output", ""),
        ),
    ),
)


RIGHT = 1
WRONG, NO_DICT, FEW, MANY, SMALL, TEXT, UNKNOWN, REPEATED, NO_NUMBERS = range(0, -9, -1)


def use_verdicts(answer: Callable, asked: str) -> int:
    """Say whether three verdicts have the right form, or whether all are right; never which."""
    verdicts = answer()
    form = _form_of(verdicts)
    if asked == "form" or form != RIGHT:
        return form
    return RIGHT if _code(verdicts) == _code(find_bugs.solution()) else WRONG


def _form_of(verdicts: Any) -> int:
    if not isinstance(verdicts, dict):
        return NO_DICT
    if set(verdicts) == {"a", "b", "c"}:
        return SMALL
    if set(verdicts) != {"A", "B", "C"}:
        return MANY if set(verdicts) > {"A", "B", "C"} else FEW
    chosen = list(verdicts.values())
    if all(isinstance(number, str) for number in chosen):
        return TEXT
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in chosen):
        return NO_NUMBERS
    if not set(chosen) <= set(SUSPECTS):
        return UNKNOWN
    return REPEATED if len(set(chosen)) < 3 else RIGHT


def _code(verdicts: dict[str, int]) -> list[int]:
    return [verdicts[name] for name in "ABC"]


@exercise(
    topic="loss_and_sequential",
    title="Three planted bugs",
    hints=(
        "Which of the gradients still have ratios of 1 only? That rules out every suspect that "
        "would have touched them.",
        "The same number in all entries is a factor: 2, or one over the number of rows. Another"
        " number in every entry speaks of a wrong order of the entries, or of a factor that "
        "differs from entry to entry.",
        "For each module print `gradient_ratios(...)`, and go through the suspects; the answer "
        'has the form `{"A": ..., "B": ..., "C": ...}`, with three different numbers.',
    ),
    returns=("result",),
    use=use_verdicts,
    cases=(
        Case("a suspect for each of A, B, C", {"asked": "form"}),
        Case("all three suspects are right", {"asked": "content"}),
    ),
)
def find_bugs() -> dict[str, int]:
    """Check ``find_bugs() -> verdicts``.

    Parameters
    ----------
    function : callable
        The student's, which returns for each of the modules ``"A"``, ``"B"`` and ``"C"`` the
        number of the suspect: a dictionary.
    """
    return {"A": 4, "B": 2, "C": 5}


find_bugs.mistakes = (
    Mistake(
        "At least one of the three is not right. Print the ratios of each module for the input, "
        "the weight and the bias, and ask of every suspect what they would be.",
        'return {"A": 1, "B": 2, "C": 3}',
        'return {"A": 5, "B": 2, "C": 4}',
        'return {"A": 4, "B": 2, "C": 6}',
        likely="a wrong suspect",
    ),
    Mistake(
        'A dictionary is expected, as in {"A": 1, "B": 2, "C": 3}.',
        "return [4, 2, 5]",
        "return None",
        likely="no dictionary",
    ),
    Mistake("A module is missing: name a suspect for A, B and C.", 'return {"A": 4, "B": 2}'),
    Mistake(
        "There are more names than modules: they are A, B and C.",
        'return {"A": 4, "B": 2, "C": 5, "D": 6}',
    ),
    Mistake("The modules have capital letters, A, B and C.", 'return {"a": 4, "b": 2, "c": 5}'),
    Mistake(
        "Name the suspects by their numbers, and not by their text.",
        'return {"A": "four", "B": "two", "C": "five"}',
        likely="texts for numbers",
    ),
    Mistake(
        "The suspects have the numbers 1 to 8.",
        'return {"A": 4, "B": 0, "C": 9}',
        likely="an unknown number",
    ),
    Mistake(
        "A suspect is named twice: the three modules have three different mistakes.",
        'return {"A": 4, "B": 2, "C": 2}',
        likely="one suspect twice",
    ),
    Mistake(
        "One suspect for each module: a whole number, no list and no fraction.",
        'return {"A": [4, 5], "B": 2, "C": 5}',
        'return {"A": 4.5, "B": 2, "C": 5}',
    ),
)


# ------------------------------------------------------------------------------------ hidden_values


class _Forgetful(Module):
    """A wrapper as the report's base class has it: it lists nothing, unless a class says more."""

    def __init__(self, inner: Module) -> None:
        self.inner = inner

    def param(self) -> list[tuple[Tensor, Tensor]]:
        return []


class _OwnOnly(Module):
    """A module with a parameter of its own that forgets those of what it wraps."""

    def __init__(self, inner: Module) -> None:
        self.inner = inner
        self.scale, self.scale_grad = torch.ones(2), torch.zeros(2)
        self.shown = torch.ones(7)  # a tensor, but no parameter: it has no gradient

    def param(self) -> list[tuple[Tensor, Tensor]]:
        return [(self.scale, self.scale_grad)]


def _hidden_case(name: str, module: Module) -> Case:
    return Case(name, {"module": module})


@exercise(
    topic="loss_and_sequential",
    title="Parameters that nobody lists",
    hints=(
        "How do you know a parameter by its name, when param() does not list it? And how do you"
        " know that two tensors are the same one?",
        "Collect the ids of the listed parameters. Walk through all parts of the module and "
        "their attributes: one whose name also exists with _grad at its end is a parameter. "
        "Count the values of those not listed.",
        "`listed = {id(p) for p, _ in module.param()}`; then `for part in module.modules():` "
        'and in it `for name, value in vars(part).items():` with `name + "_grad" in '
        "vars(part)`.",
    ),
    returns=("count",),
    cases=(
        _hidden_case("nothing hidden", Conv2d(2, 3, 2)),
        _hidden_case("a wrapper that lists nothing", _Forgetful(Conv2d(2, 3, 2))),
        _hidden_case("a wrapper that lists its own", _OwnOnly(Conv2d(1, 2, 3))),
        _hidden_case(
            "far below, in a list",
            _Forgetful(Chain(Conv2d(1, 1, 2), ReLU(), _Forgetful(Upsampling(1, 2, 3)))),
        ),
        _hidden_case(
            "one layer of a chain", Chain(Conv2d(3, 2, 2), _Forgetful(Upsampling(2, 3, 1)))
        ),
    ),
)
def hidden_values(module: Module) -> int:
    """Check ``hidden_values(module) -> count``.

    Parameters
    ----------
    function : callable
        The student's, which takes a module and returns how many values there are in those
        parameters, in it or in any module below, that its ``param()`` does not list, an int.
    """
    listed = {id(parameter) for parameter, _ in module.param()}
    count = 0
    for part in module.modules():
        for name, value in vars(part).items():
            if name + "_grad" in vars(part) and id(value) not in listed:
                count += value.numel()
    return count


hidden_values.mistakes = (
    Mistake(
        "It counts the tensors: count the values in them, numel().",
        but(("value.numel()", "1")),
        likely="tensors counted",
    ),
    Mistake(
        "It counts the listed ones as well: only those that param() does not show are hidden.",
        but((" and id(value) not in listed", "")),
        likely="all counted",
    ),
    Mistake(
        "It counts the listed ones instead of the hidden ones.",
        but(("not in listed", "in listed")),
    ),
    Mistake(
        "It finds nothing below the module: go through module.modules(), and compare with what the "
        "param() of the whole module lists, not with that of each part.",
        but(("module.modules()", "[module]")),
        but(
            ("listed = {id(parameter) for parameter, _ in module.param()}\n", ""),
            (
                "    for name, value",
                "    listed = {id(parameter) for parameter, _ in part.param()}\n"
                "    for name, value",
            ),
        ),
        likely="module alone",
    ),
    Mistake(
        "It looks one level down: module.modules() yields what is below that, too.",
        but(("module.modules()", "[module, *module.children()]")),
    ),
    Mistake(
        "Every gradient is counted beside its parameter: `name` is the parameter's, and the one "
        "with `_grad` at its end is not.",
        but(("count += value.numel()", "count += 2 * value.numel()")),
        likely="gradients too",
    ),
    Mistake(
        "A tensor without a gradient is counted: only what has a partner with `_grad` is a "
        "parameter.",
        but(
            (
                'if name + "_grad" in vars(part)',
                "if isinstance(value, torch.Tensor) and not name.endswith('_grad')",
            )
        ),
        likely="no partner asked for",
    ),
    Mistake(
        "It returns inside the loop: count all of them first.",
        but(("    count += value.numel()", "    return value.numel()")),
        likely="return inside the loop",
    ),
    Mistake(
        "It is the number of listed values less that of the hidden ones: return the hidden ones "
        "alone.",
        but(("return count", "return sum(p.numel() for p, _ in module.param()) - count")),
    ),
)

"""Exercises on gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise
from n2n_lib.framework.module import Module


def _linear_case(name: str, n: int, i: int, o: int, dtype: torch.dtype = torch.float64) -> Case:
    arguments = {
        "grad_output": values((n, o), 1, dtype),
        "x": values((n, i), 2, dtype),
        "weight": values((o, i), 3, dtype),
    }
    return Case(name, arguments, {"the batch size N": n, "the inputs I": i, "the outputs O": o})


# ---------------------------------------------------------------------------- linear_backward_loops


@exercise(
    topic="gradients",
    title="Three gradients of a linear map, index by index",
    hints=(
        "Write down one number, y[n, o], as a sum. Which entries of x, of weight and of bias "
        "does it contain, and with what factor?",
        "y[n, o] is bias[o] plus the sum over i of x[n, i] * weight[o, i]. So each n, o, i adds"
        " grad_output[n, o] times the other factor to two gradients; the bias has no i.",
        "Innermost: `grad_x[n, i] += grad_output[n, o] * weight[o, i]`. The gradient of the weight "
        "has the same first factor and another second one; that of the bias has the first alone.",
    ),
    returns=("grad_x", "grad_weight", "grad_bias"),
    cases=(
        _linear_case("one vector", 1, 3, 2),
        _linear_case("batch of 3", 3, 2, 4),
        _linear_case("square weight", 2, 3, 3),
        _linear_case("float32", 4, 3, 2, torch.float32),
    ),
    errors=(
        (
            "out of bounds",
            "Which index runs how far? x is (N, I), weight is (O, I), grad_output is (N, O).",
        ),
    ),
)
def linear_backward_loops(
    grad_output: Tensor, x: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Check ``linear_backward_loops(grad_output, x, weight) -> (grad_x, grad_weight, grad_bias)``.

    The forward is ``y = x @ weight.T + bias``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``grad_output`` ``(N, O)``, ``x`` ``(N, I)`` and ``weight``
        ``(O, I)`` and returns the gradients of the loss: ``grad_x`` ``(N, I)``, ``grad_weight``
        ``(O, I)`` and ``grad_bias`` ``(O,)``.
    """
    grad_x, grad_weight = torch.zeros_like(x), torch.zeros_like(weight)
    grad_bias = torch.zeros_like(weight[:, 0])
    for n in range(x.shape[0]):
        for o in range(weight.shape[0]):
            grad_bias[o] += grad_output[n, o]
            for i in range(x.shape[1]):
                grad_x[n, i] += grad_output[n, o] * weight[o, i]
                grad_weight[o, i] += grad_output[n, o] * x[n, i]
    return grad_x, grad_weight, grad_bias


linear_backward_loops.mistakes = (
    Mistake(
        "The gradient of the bias is added once for every input: y[n, o] holds bias[o] once, so "
        "add it outside the loop over i.",
        but(
            ("        grad_bias[o] += grad_output[n, o]\n", ""),
            (
                "grad_x[n, i] +=",
                "grad_bias[o] += grad_output[n, o]\n            grad_x[n, i] +=",
            ),
        ),
        likely="bias once for every input",
    ),
    Mistake(
        "Each product overwrites the one before it: a gradient is a sum, so add with `+=`.",
        but(("+=", "=")),
        likely="overwritten",
    ),
    Mistake(
        "grad_x is overwritten by each output: x[n, i] reaches all of them, so add with `+=`.",
        but(("grad_x[n, i] +=", "grad_x[n, i] =")),
    ),
    Mistake(
        "grad_weight is overwritten by each example: the weight serves all of them, so add with "
        "`+=`.",
        but(("grad_weight[o, i] +=", "grad_weight[o, i] =")),
    ),
    Mistake(
        "grad_bias is overwritten by each example: the bias serves all of them, so add with `+=`.",
        but(("grad_bias[o] +=", "grad_bias[o] =")),
    ),
    Mistake(
        "The factors are swapped: x[n, i] has the factor weight[o, i] in y[n, o], and the other "
        "way round.",
        """
        grad_x, grad_weight = torch.zeros_like(x), torch.zeros_like(weight)
        for n in range(x.shape[0]):
            for o in range(weight.shape[0]):
                for i in range(x.shape[1]):
                    grad_x[n, i] += grad_output[n, o] * x[n, i]
                    grad_weight[o, i] += grad_output[n, o] * weight[o, i]
        return grad_x, grad_weight, grad_output.sum(0)
        """,
        likely="factors swapped",
    ),
    Mistake(
        "The gradients of weight and bias are means over the batch where sums belong: nothing is "
        "divided by N here.",
        but(
            (
                "return grad_x, grad_weight, grad_bias",
                "N = len(x)\nreturn grad_x, grad_weight / N, grad_bias / N",
            )
        ),
        likely="means over the batch",
    ),
    Mistake(
        "It forgot grad_output: these are the slopes of y, and the chain rule multiplies each "
        "with the gradient of its output.",
        but(("grad_output[n, o] * ", ""), ("+= grad_output[n, o]", "+= 1")),
        likely="grad_output forgotten",
    ),
    Mistake(
        "It forgot grad_output in the gradient of the weight: this adds up the inputs. Each counts "
        "times the gradient of its output.",
        but(("grad_weight[o, i] += grad_output[n, o] * x", "grad_weight[o, i] += x")),
    ),
    Mistake(
        "grad_bias counts the inputs, and should have a number for each output, (O,).",
        """
        grad_x, grad_weight = torch.zeros_like(x), torch.zeros_like(weight)
        grad_bias = torch.zeros_like(x[0])
        for n in range(x.shape[0]):
            for o in range(weight.shape[0]):
                for i in range(x.shape[1]):
                    grad_x[n, i] += grad_output[n, o] * weight[o, i]
                    grad_weight[o, i] += grad_output[n, o] * x[n, i]
                    grad_bias[i] += grad_output[n, o]
        return grad_x, grad_weight, grad_bias
        """,
    ),
    Mistake(
        "It forgot grad_output in the bias: this counts the examples. Add the gradient of each.",
        but(("grad_bias[o] += grad_output[n, o]", "grad_bias[o] += 1")),
    ),
    Mistake(
        "grad_bias stays at zero: y[n, o] holds bias[o] with the factor 1.",
        but(("        grad_bias[o] += grad_output[n, o]\n", "")),
    ),
    Mistake(
        "The last example is left out: does the loop over n end one too early?",
        but(("range(x.shape[0])", "range(x.shape[0] - 1)")),
    ),
    Mistake(
        "All three have the wrong sign: there is no minus in a gradient; it comes in with the "
        "step of gradient descent.",
        but(("return grad_x, grad_weight, grad_bias", "return -grad_x, -grad_weight, -grad_bias")),
    ),
)


# --------------------------------------------------------------------------------- linear_backward


@exercise(
    topic="gradients",
    title="Both gradients of a linear map",
    hints=(
        "A gradient has the shape of its tensor. Write the shapes of grad_output, x and weight "
        "side by side: which products have the shapes that you need?",
        "grad_x[n, i] is the sum over o of grad_output[n, o] * weight[o, i], and grad_weight[o,"
        " i] the sum over n of grad_output[n, o] * x[n, i]: two matrix products.",
        "`grad_output @ weight` is (N, I). In the other product n must be the inner index, so "
        "one factor is `grad_output.T`.",
    ),
    returns=("grad_x", "grad_weight"),
    cases=(
        _linear_case("one vector", 1, 3, 2),
        _linear_case("batch of 3", 3, 2, 4),
        _linear_case("square weight", 2, 3, 3),
        _linear_case("float32", 4, 3, 2, torch.float32),
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
def linear_backward(grad_output: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Check ``linear_backward(grad_output, x, weight) -> (grad_x, grad_weight)``.

    The forward is ``y = x @ weight.T``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``grad_output`` ``(N, O)``, ``x`` ``(N, I)`` and ``weight``
        ``(O, I)`` and returns the gradients of the loss: ``grad_x`` ``(N, I)`` and ``grad_weight``
        ``(O, I)``.
    """
    grad_x = grad_output @ weight
    grad_weight = grad_output.T @ x
    return grad_x, grad_weight


linear_backward.mistakes = (
    Mistake(
        "The two gradients are swapped: return grad_x first, then grad_weight.",
        "return grad_output.T @ x, grad_output @ weight",
        likely="swapped",
    ),
    Mistake(
        "grad_weight is transposed: it should be (O, I) like the weight, so grad_output.T comes "
        "first in the product with x.",
        "return grad_output @ weight, x.T @ grad_output",
        likely="weight gradient transposed",
    ),
    Mistake(
        "grad_x uses the transposed weight, as the forward does. Backward goes the other way: "
        "sum over the outputs o, so multiply grad_output by weight as it is.",
        "return grad_output @ weight.T, grad_output.T @ x",
        likely="weight transposed as in forward",
    ),
    Mistake(
        "grad_weight is a mean over the batch where a sum belongs: every image pulls at the "
        "weight, so add their gradients and do not divide by N.",
        "return grad_output @ weight, grad_output.T @ x / len(x)",
        likely="mean over the batch",
    ),
    Mistake(
        "grad_weight has one matrix for each image: it forgot to sum over the batch.",
        "return grad_output @ weight, grad_output[:, :, None] * x[:, None]",
    ),
    Mistake(
        "grad_weight forgets grad_output: every row is the sum of x alone.",
        "return grad_output @ weight, x.sum(0).expand_as(weight)",
    ),
    Mistake(
        "grad_x forgets grad_output: multiply it with the weight (chain rule).",
        "return weight.sum(0).expand_as(x), grad_output.T @ x",
    ),
    Mistake(
        "Both gradients are divided by the batch size N. grad_weight is a sum over the batch, "
        "and grad_x has a row of its own for every image: nothing is divided.",
        "return grad_output @ weight / len(x), grad_output.T @ x / len(x)",
        likely="both means over the batch",
    ),
    Mistake(
        "grad_x is a mean over the outputs where a sum belongs: x reaches the loss through every "
        "output, so add and do not divide by O.",
        "return grad_output @ weight / len(weight), grad_output.T @ x",
    ),
    Mistake(
        "These are the slopes of y alone: it forgot grad_output. The chain rule multiplies each "
        "with it and sums.",
        "return weight, x",
    ),
    Mistake(
        "A product overwrites the one before it: grad_x sums over the outputs, grad_weight over "
        "the batch, so add with `+=`.",
        """
        grad_x, grad_weight = torch.zeros_like(x), torch.zeros_like(weight)
        for n in range(x.shape[0]):
            for o in range(weight.shape[0]):
                grad_x[n] = grad_output[n, o] * weight[o]
                grad_weight[o] = grad_output[n, o] * x[n]
        return grad_x, grad_weight
        """,
    ),
    Mistake(
        "In grad_x the outputs overwrite each other: it sums over them, so add with `+=`.",
        "return grad_output[:, -1:] * weight[-1], grad_output.T @ x",
    ),
    Mistake(
        "In grad_weight the images overwrite each other: it sums over them, so add with `+=`.",
        "return grad_output @ weight, grad_output[-1][:, None] * x[-1]",
    ),
    Mistake(
        "grad_weight is right but for the last image, which is left out: is a loop one short?",
        """
        grad_weight = torch.zeros_like(weight)
        for n in range(len(x) - 1):
            grad_weight += grad_output[n][:, None] * x[n]
        return grad_output @ weight, grad_weight
        """,
    ),
    Mistake(
        "grad_weight sees the first image only: sum over the batch.",
        "return grad_output @ weight, grad_output[0][:, None] * x[0]",
    ),
    Mistake(
        "Both gradients have the wrong sign: there is no minus in the gradient; it comes in with "
        "the step of gradient descent.",
        "return -grad_output @ weight, -grad_output.T @ x",
    ),
)


# ------------------------------------------------------------------------------------------ Linear


def forward_and_two_backwards(
    module: Module, x: Tensor, grad_output_for: Callable[[Tensor], Tensor]
) -> tuple:
    """Run a module as a training does that calls ``backward`` twice before a step.

    Whoever trains it may have asked for its parameters once, before the first forward: what is
    added to the gradients later, and what a step does to the parameters, has to be seen on either
    side.
    """
    held = module.param()
    output = module.forward(x)
    grad_output = grad_output_for(output)
    first = module.backward(grad_output)
    first = first.clone() if isinstance(first, Tensor) else first
    module.forward(-x)  # another input, so what is remembered of the first must go
    module.backward(2 * grad_output)
    (_, grad_weight), (_, grad_bias) = module.param()
    held_gradients = torch.cat([gradient.flatten() for _, gradient in held])
    for parameter, _ in held:
        parameter += 1
    return output, first, grad_weight, grad_bias, held_gradients, module.forward(x)


def _use_of_linear(
    answer: Callable[..., Module], weight: Tensor, bias: Tensor, x: Tensor, grad_output: Tensor
) -> tuple:
    """Run a `Linear`; its parameters are its own, so that a step may change them."""
    module = answer(weight.clone(), bias.clone())
    return forward_and_two_backwards(module, x, lambda output: grad_output)


RETURNS = ("output", "grad_x", "weight_grad", "bias_grad", "held_gradients", "later_output")
"""What `forward_and_two_backwards` returns."""


def _module_case(name: str, n: int, i: int, o: int, dtype: torch.dtype = torch.float64) -> Case:
    arguments = {
        "weight": values((o, i), 3, dtype),
        "bias": values((o,), 15, dtype),
        "x": values((n, i), 2, dtype),
        "grad_output": values((n, o), 1, dtype),
    }
    return Case(name, arguments, {"the batch size N": n, "the inputs I": i, "the outputs O": o})


@exercise(
    topic="gradients",
    title="A module: the linear map with its gradients",
    hints=(
        "What must backward know that only forward has seen? And what becomes of a gradient if "
        "backward runs twice before a step?",
        "forward keeps x. backward adds to the gradients that `__init__` has made, and returns "
        "that of x, as in linear_backward. param lists two pairs.",
        "In backward: `self.weight_grad += grad_output.T @ self.x`, the bias likewise with "
        "`grad_output.sum(0)`; param returns `[(self.weight, self.weight_grad), ...]`.",
    ),
    returns=RETURNS,
    use=_use_of_linear,
    cases=(
        _module_case("one vector", 1, 3, 2),
        _module_case("batch of 3", 3, 2, 4),
        _module_case("square weight", 2, 3, 3),
        _module_case("float32", 4, 3, 2, torch.float32),
    ),
    errors=(
        (
            "shapes cannot be multiplied",
            "Write the shapes under the product. forward: x (N, I) times the transposed weight "
            "(I, O). backward: (N, O) times (O, I), and (O, N) times (N, I).",
        ),
        (
            "to unpack",
            "param returns a list of pairs, (parameter, gradient): first of the weight, then of "
            "the bias.",
        ),
    ),
)
class Linear(Module):
    """Check ``Linear(weight, bias)``, a module with ``forward``, ``backward`` and ``param``.

    Parameters
    ----------
    function : type
        The student's class. ``forward(x)`` takes ``(N, I)`` and returns ``(N, O)``;
        ``backward(grad_output)`` takes ``(N, O)``, adds to ``weight_grad`` and ``bias_grad`` and
        returns the gradient of the last input; ``param()`` lists ``(parameter, gradient)``.
    """

    def __init__(self, weight, bias):
        self.weight, self.weight_grad = weight, torch.zeros_like(weight)
        self.bias, self.bias_grad = bias, torch.zeros_like(bias)

    def forward(self, x):
        """Return ``x weight^T + bias``."""
        self.x = x  # (N, I), the gradient of the weight will ask for it
        return x @ self.weight.T + self.bias  # (N, O)

    def backward(self, grad_output):
        """Add to both gradients, return that of the input."""
        self.weight_grad += grad_output.T @ self.x
        self.bias_grad += grad_output.sum(0)
        return grad_output @ self.weight  # (N, I)

    def param(self):
        """List the parameters with their gradients."""
        return [(self.weight, self.weight_grad), (self.bias, self.bias_grad)]


OVERWRITTEN = Mistake(
    "The second backward overwrites the gradients of the first: they accumulate, so add with `+=`.",
    but(("_grad += ", "_grad = ")),
    but(("    self.weight_grad +=", "    self.zero_grad()\n    self.weight_grad +=")),
    likely="overwritten",
)
NOT_IN_PLACE = Mistake(
    "The gradients are right, but not in the tensors that param listed before: add in place, "
    "with `+=`, since `total = total + new` makes another tensor, as a copy is one.",
    but(
        ("weight_grad += ", "weight_grad = self.weight_grad + "),
        ("bias_grad += ", "bias_grad = self.bias_grad + "),
    ),
    but(("weight_grad += ", "weight_grad = self.weight_grad + ")),
    but(("bias_grad += ", "bias_grad = self.bias_grad + ")),
)
"""What the authors of `Linear` and of `UpsampleConv` may both do."""

Linear.mistakes = (
    OVERWRITTEN,
    NOT_IN_PLACE,
    Mistake(
        "param lists copies: whoever trains the module changes these, and the module stays as it "
        "is. List its own tensors.",
        but(("[(self.weight,", "[(self.weight.clone(),"), (" (self.bias,", " (self.bias.clone(),")),
        but(
            (
                "[(self.weight, self.weight_grad), (self.bias, self.bias_grad)]",
                "[\n"
                "        (self.weight.clone(), self.weight_grad.clone()),\n"
                "        (self.bias.clone(), self.bias_grad.clone()),\n"
                "    ]",
            )
        ),
    ),
    Mistake(
        "param pairs the weight with the bias: each pair is a parameter and its gradient.",
        but(
            (
                "[(self.weight, self.weight_grad), (self.bias, self.bias_grad)]",
                "[(self.weight, self.bias), (self.weight_grad, self.bias_grad)]",
            )
        ),
    ),
    Mistake(
        "The gradient of the weight is overwritten by the second backward, and that of the bias "
        "is not: add to both with `+=`.",
        but(("weight_grad += ", "weight_grad = ")),
    ),
    Mistake(
        "The gradient of the bias is overwritten by the second backward, and that of the weight "
        "is not: add to both with `+=`.",
        but(("bias_grad += ", "bias_grad = ")),
    ),
    Mistake(
        "The gradients are means over the batch where sums belong: do not divide by N.",
        but(("@ self.x", "@ self.x / len(self.x)"), ("sum(0)", "mean(0)")),
        likely="means over the batch",
    ),
    Mistake(
        "The gradient of the bias is a mean over the batch where a sum belongs.",
        but(("sum(0)", "mean(0)")),
    ),
    Mistake(
        "forward leaves the bias out: every row of the output gets it.",
        but((" + self.bias  #", "  #")),
        likely="bias left out of forward",
    ),
    Mistake(
        "forward keeps the first input for good: the second backward must use the input of the "
        "second forward.",
        but(("self.x = x", "self.x = getattr(self, 'x', x)")),
    ),
    Mistake(
        "The gradients stay at zero: does backward write into the tensors that param lists? "
        "`total = total + new` makes another tensor, and `+=` does not.",
        but(
            (
                "bias, torch.zeros_like(bias)",
                "bias, torch.zeros_like(bias)\n"
                "    self.pairs = [(weight, self.weight_grad), (bias, self.bias_grad)]",
            ),
            ("_grad += ", "_grad = "),
            (
                "return [(self.weight, self.weight_grad), (self.bias, self.bias_grad)]",
                "return self.pairs",
            ),
        ),
        likely="gradients replaced",
    ),
    Mistake(
        "param lists the bias first: the order is weight, bias.",
        but(
            (
                "[(self.weight, self.weight_grad), (self.bias, self.bias_grad)]",
                "[(self.bias, self.bias_grad), (self.weight, self.weight_grad)]",
            ),
        ),
        likely="bias listed first",
    ),
    Mistake(
        "param lists (gradient, parameter): the parameter comes first in each pair.",
        but(
            (
                "[(self.weight, self.weight_grad), (self.bias, self.bias_grad)]",
                "[(self.weight_grad, self.weight), (self.bias_grad, self.bias)]",
            ),
        ),
    ),
    Mistake(
        "backward forgets grad_output in the gradient of the weight: it is the sum of the inputs "
        "alone.",
        but(("grad_output.T @ self.x", "self.x.sum(0).expand_as(self.weight)")),
    ),
    Mistake(
        "The gradient of the bias is summed over the outputs too, and every output has a bias of "
        "its own: sum over the batch alone.",
        but(("grad_output.sum(0)", "grad_output.sum()")),
    ),
    Mistake(
        "backward leaves the gradient of the bias at zero: y holds the bias with the factor 1.",
        but(("self.bias_grad += grad_output.sum(0)", "pass")),
    ),
)


# ------------------------------------------------------------------------------ numerical_gradient


@dataclass
class _Cubic:
    """The scalar ``(sum of a (z + 1))^3 / 3`` of a tensor z.

    Its central differences depend on the step, and each slope on all entries.

    It takes nothing and reads `x`.
    """

    x: Tensor
    coefficients: Tensor

    def __call__(self) -> Tensor:
        return (self.coefficients * (self.x + 1)).sum() ** 3 / 3


def _numerical_case(name: str, shape: tuple[int, ...], step: float) -> Case:
    x = values(shape, 4)
    function = _Cubic(x, values(shape, 5))
    return Case(name, {"function": function, "x": x, "step": step}, {})


@exercise(
    topic="gradients",
    title="Central differences",
    hints=(
        "What does the function return if one entry of x is a little larger, and if it is a "
        "little smaller? Leave x behind as you found it.",
        "For each entry: remember it, set it to value + step and call, set it to value - step "
        "and call, put the value back. The slope is the difference of the two over 2 * step.",
        "`flat = x.view(-1)` lists the entries without a copy: `flat[k] = before + step`, then "
        "`above = function().item()`; at the end of the round `flat[k] = before`.",
    ),
    returns=("gradient",),
    cases=(
        _numerical_case("one value, no dimension", (), 0.1),
        _numerical_case("vector", (3,), 0.01),
        _numerical_case("matrix", (2, 3), 0.1),
        _numerical_case("four dimensions", (2, 1, 2, 2), 0.001),
    ),
    errors=(
        (
            "IndexError",
            "x may have any number of dimensions: x.view(-1) or itertools.product reach them all.",
        ),
        (
            "positional argument",
            "`function` takes nothing: it reads x itself, so move an entry of x, and call "
            "function().",
        ),
    ),
)
def numerical_gradient(function: Callable[[], Tensor], x: Tensor, step: float) -> Tensor:
    """Check ``numerical_gradient(function, x, step) -> gradient``.

    Parameters
    ----------
    function : callable
        The student's, which takes a scalar function, a float64 tensor ``x`` of any shape and a
        step, and returns the central differences, of the shape of ``x``. The scalar function takes
        nothing and reads ``x``, which must be as it was afterwards.
    """
    flat, gradient = x.view(-1), torch.zeros_like(x)
    for k in range(flat.numel()):
        before = flat[k].item()
        flat[k] = before + step
        above = function().item()
        flat[k] = before - step
        below = function().item()
        flat[k] = before
        gradient.view(-1)[k] = (above - below) / (2 * step)
    return gradient


numerical_gradient.mistakes = (
    Mistake(
        "This is the forward difference (f(x + h) - f(x)) / h. Central differences look to both "
        "sides, (f(x + h) - f(x - h)) / (2h), and their error is far smaller.",
        but(("before - step", "before"), ("(2 * step)", "step")),
        likely="forward difference",
    ),
    Mistake(
        "This is the backward difference (f(x) - f(x - h)) / h. Central differences look to both "
        "sides: (f(x + h) - f(x - h)) / (2h).",
        but(("flat[k] = before + step", "pass"), ("(2 * step)", "step")),
        likely="backward difference",
    ),
    Mistake(
        "It is divided by step, and should be divided by 2 * step: from x - h to x + h there are "
        "two steps.",
        but(("(2 * step)", "step")),
        likely="divided by one step",
    ),
    Mistake(
        "The difference is not divided by 2 * step: a slope is rise over run.",
        but((" / (2 * step)", "")),
        likely="not divided",
    ),
    Mistake(
        "Only the value below is divided: put parentheses around (above - below).",
        but(("(above - below)", "above - below")),
    ),
    Mistake(
        "The value below is f(x) and not f(x - step), since the entry went down from x + step by "
        "one step only: set it to x - step. (If you keep its old value, do so with .item(): "
        "`flat[k]` alone is a view, which changes along.)",
        but(("flat[k].item()", "flat[k]")),
    ),
    Mistake(
        "The slopes are all zero. function() reads x itself: is it a copy of x that you move? "
        "(Or is nothing written into the gradient?)",
        but(("x.view(-1), ", "x.clone().view(-1), ")),
    ),
    Mistake(
        "A whole row is moved at the same time: x[k] is a row of a matrix. x.view(-1) lists the "
        "single entries.",
        """
        gradient = torch.zeros_like(x)
        for k in range(len(x)):
            before = x[k].clone()
            x[k] = before + step
            above = function().item()
            x[k] = before - step
            gradient[k] = (above - function().item()) / (2 * step)
            x[k] = before
        return gradient
        """,
    ),
    Mistake(
        "It is multiplied by step / 2: `/ 2 * step` divides by 2 and then multiplies. Put "
        "parentheses around (2 * step).",
        but(("(2 * step)", "2 * step")),
        likely="parentheses forgotten",
    ),
    Mistake(
        "The sign is wrong: subtract the value below from the value above.",
        but(("above - below", "below - above")),
    ),
    Mistake(
        "All entries are moved at the same time. Move one entry, and leave the others: each has "
        "a derivative of its own.",
        """
        old = x.clone()
        x += step
        above = function().item()
        x -= 2 * step
        below = function().item()
        x.copy_(old)
        return torch.full_like(x, (above - below) / (2 * step))
        """,
    ),
    Mistake(
        "Each entry stays at x - step: x is not restored before the next entry is moved.",
        but(("flat[k] = before\n", "pass\n")),
    ),
    Mistake(
        "Each entry stays at x + step: x is not restored before the next entry is moved.",
        but(("flat[k] = before\n", "flat[k] = before + step\n")),
    ),
)

"""Exercises on gradients: what is made of those of `gradients`."""

from __future__ import annotations

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise
from n2n_lib.framework.gradcheck import numerical_gradient
from n2n_lib.framework.module import Module

# ---------------------------------------------------------------------------------- gradient_check


class _Parabola(Module):
    """``y = (x weight^T + bias)^2``, a square, whose gradients can be planted wrong.

    Of a square, central differences are exact but for rounding. The gradients are not zero at the
    start, as they are not after a step of training.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor, factors: tuple[float, ...], turned: bool
    ) -> None:
        self.weight, self.weight_grad = weight, torch.ones_like(weight)
        self.bias, self.bias_grad = bias, torch.ones_like(bias)
        self.factors, self.turned = factors, turned

    def forward(self, x: Tensor) -> Tensor:
        self._saved = x, x @ self.weight.T + self.bias
        return self._saved[1] ** 2

    def backward(self, grad_output: Tensor) -> Tensor:
        x, sums = self._take_saved()
        of_x, of_weight, of_bias = self.factors
        grad = 2 * sums * (grad_output.flip(1) if self.turned else grad_output)
        self.weight_grad += of_weight * grad.T @ x
        self.bias_grad += of_bias * grad.sum(0)
        return of_x * grad @ self.weight


class _Square(Module):
    """``y = x^2``, without a parameter, whose gradient is planted wrong."""

    def forward(self, x: Tensor) -> Tensor:
        self._saved = x
        return x**2

    def backward(self, grad_output: Tensor) -> Tensor:
        return 3 * self._take_saved() * grad_output


def _planted(name: str, n: int, i: int, o: int, *factors: float, turned: bool = False) -> Case:
    module = _Parabola(values((o, i), 16), values((o,), 17), factors, turned)
    arguments = {
        "module": module,
        "x": values((n, i), 18),
        "v": values((n, o), 19),
        "step": 0.001,
    }
    return Case(name, arguments)


@exercise(
    topic="gradients",
    title="A gradient check of any module",
    hints=(
        "The function to differentiate is one number, sum(v * output). Which two ways do you "
        "have to its gradient, and what may still be in the module's gradients from before?",
        "zero_grad, forward, backward(v). List x and the parameters, and their gradients in the"
        " same order. For each pair: the length of the difference from the numerical gradient, "
        "over the length of the numerical one.",
        "`found = numerical_gradient(lambda: (module.forward(x) * v).sum(), tensor, step)`, "
        "then `(gradient - found).norm() / found.norm()`; `torch.stack(errors)` ends it.",
    ),
    returns=("errors",),
    cases=(
        _planted("gradient of the input doubled", 2, 3, 2, 2.0, 1.0, 1.0),
        _planted("weight: a mean over 4", 4, 3, 2, 1.0, 0.25, 1.0),
        _planted("bias with the wrong sign", 3, 2, 4, 1.0, 1.0, -1.0),
        _planted("all three wrong", 2, 2, 2, 0.5, 3.0, 0.1),
        _planted("outputs in reverse order", 3, 2, 3, 1.0, 1.0, 1.0, turned=True),
        Case(
            "no parameter",
            {"module": _Square(), "x": values((2, 3), 18), "v": values((2, 3), 19), "step": 0.001},
        ),
    ),
    errors=(
        (
            "needs a forward",
            "Call module.forward(x) before module.backward(v).",
        ),
        (
            "expected Tensor as element",
            "torch.stack wants tensors: leave out .item().",
        ),
        (
            "greater or equal to the number of dimensions",
            "Finite differences want a function with one value: multiply the output with v, and "
            "sum.",
        ),
        (
            "converted to Scalar",
            "Finite differences want a function with one value: multiply the output with v, and "
            "sum.",
        ),
        (
            "object is not callable",
            "numerical_gradient calls its function again and again: hand it one, as in "
            "`lambda: ...`, and not one value of it.",
        ),
    ),
    may_change="module",
)
def gradient_check(module: Module, x: Tensor, v: Tensor, step: float) -> Tensor:
    """Check ``gradient_check(module, x, v, step) -> errors``.

    Parameters
    ----------
    function : callable
        The student's, which takes a module, an input ``x``, ``v`` of the shape of the output and
        the step of the central differences. It returns the relative errors of the gradients of
        ``sum(v * module.forward(x))`` in one tensor: first that of the input, then those of the
        parameters in the order of ``param()``.
    """
    module.zero_grad()
    module.forward(x)
    gradients = [module.backward(v), *(gradient for _, gradient in module.param())]
    tensors = [x, *(parameter for parameter, _ in module.param())]
    errors = []
    for tensor, gradient in zip(tensors, gradients, strict=True):
        found = numerical_gradient(lambda: (module.forward(x) * v).sum(), tensor, step)
        errors.append((gradient - found).norm() / found.norm())
    return torch.stack(errors)


gradient_check.mistakes = (
    Mistake(
        "These errors are absolute: divide each by the length of the numerical gradient, so that "
        "1 means as large as the gradient itself.",
        but((" / found.norm()", "")),
        likely="absolute errors",
    ),
    Mistake(
        "It divides by the length of the gradient that is under test. If that one is wrong, the "
        "ratio is of no use: divide by the length of the numerical one.",
        but(("/ found.norm()", "/ gradient.norm()")),
        likely="divided by the gradient under test",
    ),
    Mistake(
        "The gradients of the parameters hold what was in them before: set them to zero first.",
        but(("module.zero_grad()\n", "")),
        likely="gradients not set to zero",
    ),
    Mistake(
        "backward comes after the finite differences, so the module remembers their last forward, "
        "with a nudged parameter: run forward and backward first.",
        """
        module.zero_grad()
        tensors = [x, *(parameter for parameter, _ in module.param())]
        found = [
            numerical_gradient(lambda: (module.forward(x) * v).sum(), tensor, step)
            for tensor in tensors
        ]
        gradients = [module.backward(v), *(gradient for _, gradient in module.param())]
        return torch.stack(
            [(one - other).norm() / other.norm() for one, other in zip(gradients, found)]
        )
        """,
        likely="backward after the finite differences",
    ),
    Mistake(
        "The numerical side forgets v: multiply the output with it before you sum.",
        but(("(module.forward(x) * v).sum()", "module.forward(x).sum()")),
        likely="v forgotten in the sum",
    ),
    Mistake(
        "backward gets ones where it should get v, the gradient of the sum with respect to the "
        "output.",
        but(("backward(v)", "backward(torch.ones_like(v))")),
        likely="backward of ones",
    ),
    Mistake(
        "v is missing on both sides: with ones in its place some wrong gradients stay hidden.",
        but(
            ("(module.forward(x) * v)", "module.forward(x)"),
            ("backward(v)", "backward(torch.ones_like(v))"),
        ),
    ),
    Mistake(
        "The numerical side takes a mean where a sum belongs: v is the gradient of the sum.",
        but(("* v).sum()", "* v).mean()")),
    ),
    Mistake(
        "It adds up the entries before it compares, so that errors of two signs cancel: take the "
        "length, .norm(), of the difference.",
        but(
            (
                "(gradient - found).norm() / found.norm()",
                "(gradient - found).sum().abs() / found.sum().abs()",
            )
        ),
    ),
    Mistake(
        "It compares lengths alone, and a wrong sign does not change a length: take the length of "
        "the difference.",
        but(("(gradient - found).norm()", "(gradient.norm() - found.norm()).abs()")),
    ),
    Mistake(
        "These are squares of the relative errors: .norm() already takes the root.",
        but(
            (
                "(gradient - found).norm() / found.norm()",
                "((gradient - found).norm() / found.norm()) ** 2",
            )
        ),
    ),
    Mistake(
        "It divides entry by entry, where a small entry counts as much as a large one: divide the "
        "length of the difference by the length of the numerical gradient.",
        but(("(gradient - found).norm() / found.norm()", "((gradient - found) / found).norm()")),
    ),
    Mistake(
        "It compares the largest entries alone: take the length, .norm(), of all.",
        but(
            (
                "(gradient - found).norm() / found.norm()",
                "(gradient - found).abs().max() / found.abs().max()",
            )
        ),
    ),
    Mistake(
        "Parameters and gradients are exchanged: param lists pairs (parameter, gradient).",
        but(
            ("(gradient for _, gradient in", "(gradient for gradient, _ in"),
            ("(parameter for parameter, _ in", "(parameter for _, parameter in"),
        ),
    ),
    Mistake(
        "There is the error of x alone: those of the parameters follow, as param lists them.",
        but(("torch.stack(errors)", "torch.stack(errors[:1])")),
    ),
    Mistake(
        "The error of the input stands at the end: it comes first, then the parameters.",
        but(("torch.stack(errors)", "torch.stack(errors[1:] + errors[:1])")),
    ),
    Mistake(
        "The input is missing: its gradient is what backward returns.",
        but(("zip(tensors, gradients, strict=True)", "[*zip(tensors, gradients)][1:]")),
    ),
)


# ----------------------------------------------------------------------------- two_layers_backward


def _two_layers_case(
    name: str, n: int, i: int, h: int, o: int, dtype: torch.dtype = torch.float64
) -> Case:
    arguments = {
        "grad_output": values((n, o), 20, dtype),
        "x": values((n, i), 21, dtype),
        "first": values((h, i), 22, dtype),
        "second": values((o, h), 23, dtype),
    }
    return Case(name, arguments, {"the batch size N": n})


@exercise(
    topic="gradients",
    title="The chain rule through two linear maps and a square",
    hints=(
        "Three steps lead from x to y: a map, a square, a map. Walk them back one at a time; "
        "what does each step need from forward?",
        "z = x first^T is (N, H). The second map gives the gradients of second and of the "
        "square; the square's slope is 2 z, entry by entry; the first map gives those of first "
        "and of x.",
        "`grad_z = 2 * z * (grad_output @ second)`; then `grad_z` is for the first map what "
        "`grad_output` is for the second.",
    ),
    returns=("grad_x", "grad_first", "grad_second"),
    cases=(
        _two_layers_case("one vector", 1, 2, 3, 2),
        _two_layers_case("batch of 3", 3, 2, 4, 3),
        _two_layers_case("all sizes equal", 2, 2, 2, 2),
        _two_layers_case("float32", 2, 4, 3, 2, torch.float32),
    ),
    errors=(
        (
            "shapes cannot be multiplied",
            "Write the shapes under the product: z is (N, H), first (H, I), second (O, H).",
        ),
        (
            "must match the size of tensor",
            "Two shapes do not fit: the gradient of z has the shape of z, (N, H).",
        ),
    ),
)
def two_layers_backward(
    grad_output: Tensor, x: Tensor, first: Tensor, second: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Check ``two_layers_backward(grad_output, x, first, second)``.

    The forward is ``y = (x @ first.T) ** 2 @ second.T``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``grad_output`` ``(N, O)``, ``x`` ``(N, I)``, ``first``
        ``(H, I)`` and ``second`` ``(O, H)``, and returns the gradients of the loss for the last
        three, each of the shape of its tensor.
    """
    z = x @ first.T  # (N, H)
    grad_second = grad_output.T @ z**2  # (O, H)
    grad_square = grad_output @ second  # (N, H)
    grad_z = 2 * z * grad_square  # (N, H)
    grad_first = grad_z.T @ x  # (H, I)
    grad_x = grad_z @ first  # (N, I)
    return grad_x, grad_first, grad_second


two_layers_backward.mistakes = (
    Mistake(
        "The square is skipped on the way back: its slope at z is 2 z, so the gradient of z is "
        "2 z times that of the square.",
        but(("2 * z * grad_square", "grad_square")),
        likely="square skipped",
    ),
    Mistake(
        "The 2 of the square's slope is missing.",
        but(("2 * z", "z")),
        likely="2 forgotten",
    ),
    Mistake(
        "The slope of the square is taken as 2 everywhere, and it is 2 z.",
        but(("2 * z", "2")),
    ),
    Mistake(
        "grad_second meets z, and the second map never saw z: its input is the square of z.",
        but(("z**2", "z")),
        likely="second map fed with z",
    ),
    Mistake(
        "The gradient of z is multiplied by the square of z, and the slope of z * z is 2 z.",
        but(("2 * z * grad", "z**2 * grad")),
    ),
    Mistake(
        "The gradient of z is multiplied by 2 q: the slope is 2 z, with the z from before the "
        "square. (`square_` and `**=` write into z.)",
        but(("2 * z * grad", "2 * z**2 * grad")),
    ),
    Mistake(
        "The gradient is squared on the way back: it is multiplied by the slope of the square, "
        "2 z.",
        but(("2 * z * grad_square", "grad_square**2")),
    ),
    Mistake(
        "The three stand in the order of the way back: return grad_x first, then grad_first, then "
        "grad_second.",
        but(("return grad_x, grad_first, grad_second", "return grad_second, grad_first, grad_x")),
    ),
    Mistake(
        "grad_first is transposed: it has the shape of first, (H, I).",
        but(("grad_z.T @ x", "x.T @ grad_z")),
    ),
    Mistake(
        "grad_first and grad_second are swapped: after grad_x comes that of the first map.",
        but(("return grad_x, grad_first, grad_second", "return grad_x, grad_second, grad_first")),
        likely="swapped",
    ),
    Mistake(
        "grad_first and grad_second are transposed: a gradient has the shape of its tensor.",
        but(
            (
                "return grad_x, grad_first, grad_second",
                "return grad_x, grad_first.T, grad_second.T",
            )
        ),
        likely="transposed",
    ),
    Mistake(
        "The gradients of the two weights are means over the batch where sums belong: nothing is "
        "divided by N.",
        but(
            (
                "return grad_x, grad_first, grad_second",
                "return grad_x, grad_first / len(x), grad_second / len(x)",
            )
        ),
    ),
    Mistake(
        "grad_first is computed from the gradient of the square: go through the square first, "
        "then through the first map.",
        but(("grad_z.T", "grad_square.T")),
    ),
    Mistake(
        "grad_x is computed from the gradient of the square: go through the square first, then "
        "through the first map.",
        but(("grad_z @ first", "grad_square @ first")),
    ),
    Mistake(
        "All three have the wrong sign: there is no minus in a gradient; it comes in with the "
        "step of gradient descent.",
        but(
            ("return grad_x, grad_first, grad_second", "return -grad_x, -grad_first, -grad_second")
        ),
    ),
)


# ----------------------------------------------------------------------------------------- descend


def _descend_case(
    name: str, n: int, i: int, o: int, steps: int, dtype: torch.dtype = torch.float64
) -> Case:
    arguments = {
        "x": values((n, i), 24, dtype),
        "t": values((n, o), 25, dtype),
        "weight": values((o, i), 26, dtype),
        "bias": values((o,), 27, dtype),
        "rate": 0.25,
        "steps": steps,
    }
    sizes = {"the batch size N": n, "the outputs O": o, "all values of the output": n * o}
    return Case(name, arguments, sizes)


@exercise(
    topic="gradients",
    title="Gradient descent for a linear map",
    hints=(
        "All pieces are there: the forward map, the gradient of a mean of squares, and the "
        "gradients of weight and bias. What has to be computed anew in each step?",
        "The error is x weight^T + bias - t, its gradient is 2 / (N O) times it, and weight and"
        " bias get theirs as in linear_backward. Take rate times each away, from copies of what"
        " you were given.",
        "`weight, bias = weight.clone(), bias.clone()` before the loop; in it `grad = 2 * error"
        " / error.numel()`, then `weight -= rate * grad.T @ x` and ...",
    ),
    returns=("weight", "bias"),
    cases=(
        _descend_case("one step", 2, 3, 1, 1),
        _descend_case("one step, two outputs", 3, 2, 2, 1),
        _descend_case("three steps", 4, 2, 3, 3),
        _descend_case("five steps, float32", 3, 3, 2, 5, torch.float32),
    ),
    errors=(
        (
            "shapes cannot be multiplied",
            "Write the shapes under the product: x is (N, I), the transposed weight (I, O), the "
            "error (N, O).",
        ),
        (
            "match the broadcast shape",
            "A gradient has the shape of its tensor: that of the weight is (O, I), and that of the "
            "bias (O,).",
        ),
    ),
)
def descend(
    x: Tensor, t: Tensor, weight: Tensor, bias: Tensor, rate: float, steps: int
) -> tuple[Tensor, Tensor]:
    """Check ``descend(x, t, weight, bias, rate, steps) -> (weight, bias)``.

    Parameters
    ----------
    function : callable
        The student's, which takes inputs ``x`` ``(N, I)``, targets ``t`` ``(N, O)``, the weight
        ``(O, I)`` and the bias ``(O,)`` to start from, the rate and the number of steps. It
        returns weight and bias after that many steps against the gradient of the mean squared
        error, and leaves those that it was given as they were.
    """
    weight, bias = weight.clone(), bias.clone()
    for _ in range(steps):
        error = x @ weight.T + bias - t  # (N, O)
        grad = 2 * error / error.numel()  # (N, O)
        weight -= rate * grad.T @ x
        bias -= rate * grad.sum(0)
    return weight, bias


descend.mistakes = (
    Mistake(
        "It walks uphill: the gradient points to where the loss rises, so subtract.",
        but(("weight -=", "weight +="), ("bias -=", "bias +=")),
        likely="uphill",
    ),
    Mistake(
        "The 2 of the square is missing: the gradient is 2 error / M.",
        but(("2 * error", "error")),
        likely="2 forgotten",
    ),
    Mistake(
        "The gradient is not divided: the loss is a mean over all values of the output.",
        but((" / error.numel()", "")),
        likely="not divided",
    ),
    Mistake(
        "It divides by the number of examples: the mean runs over all values, and every example "
        "has O of them.",
        but(("error.numel()", "len(error)")),
        likely="divided by N",
    ),
    Mistake(
        "The step of the bias sees the weight that has moved already: take both gradients from one "
        "error, and move weight and bias then.",
        but(
            (
                "    bias -= rate * grad.sum(0)",
                "    bias -= rate * (2 * (x @ weight.T + bias - t) / error.numel()).sum(0)",
            )
        ),
        likely="bias moved by a new error",
    ),
    Mistake(
        "The bias does not move: its gradient is the sum over the batch.",
        but(("    bias -= rate * grad.sum(0)\n", "")),
        likely="bias left where it is",
    ),
    Mistake(
        "The gradient of the bias is summed over the outputs, too, and each output has a bias of "
        "its own: sum over the batch alone.",
        but(("grad.sum(0)", "grad.sum()")),
    ),
    Mistake(
        "Both gradients are divided by N besides: the mean is already in the gradient of the loss.",
        but(("grad.T @ x", "grad.T @ x / len(x)"), ("grad.sum(0)", "grad.mean(0)")),
    ),
    Mistake(
        "The gradients of earlier steps stay in the sum: set them to zero before each step.",
        """
        weight, bias = weight.clone(), bias.clone()
        weight_grad, bias_grad = torch.zeros_like(weight), torch.zeros_like(bias)
        for _ in range(steps):
            error = x @ weight.T + bias - t
            grad = 2 * error / error.numel()
            weight_grad += grad.T @ x
            bias_grad += grad.sum(0)
            weight -= rate * weight_grad
            bias -= rate * bias_grad
        return weight, bias
        """,
    ),
    Mistake(
        "The gradient of the bias is a mean where a sum belongs: the mean is already in the "
        "gradient of the loss.",
        but(("grad.sum(0)", "grad.mean(0)")),
    ),
    Mistake(
        "The error has no bias in it: the output is x times the weight plus the bias.",
        but((" + bias - t", " - t")),
    ),
    Mistake(
        "The error is computed once, before the steps, and it changes with each: put it into the "
        "loop.",
        """
        weight, bias = weight.clone(), bias.clone()
        error = x @ weight.T + bias - t
        for _ in range(steps):
            grad = 2 * error / error.numel()
            weight -= rate * grad.T @ x
            bias -= rate * grad.sum(0)
        return weight, bias
        """,
    ),
    Mistake(
        "It takes one step, whatever `steps` is: does the return stand inside the loop, or does "
        "each step begin at the weight that was given?",
        but(("range(steps)", "range(1)")),
    ),
    Mistake(
        "It takes one step too many.",
        but(("range(steps)", "range(steps + 1)")),
    ),
    Mistake(
        "The rate is missing: a step is rate times the gradient.",
        but(("rate * ", "")),
    ),
    Mistake(
        "The numbers are right, and weight and bias that were given are changed too: `-=` writes "
        "into them. Work on clones.",
        but(("weight, bias = weight.clone(), bias.clone()\n", "")),
    ),
)

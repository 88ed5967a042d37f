"""Exercises of the milestone: what the student has written becomes a network, and is trained.

The solutions compute with the solutions of earlier exercises, under the names that these have in
the lesson, and with nothing else of the library.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import unfold  # noqa: TID251 (a function, not a module)

from n2n_lib.course.check import activations, convolution, loss_and_sequential, sgd
from n2n_lib.course.check.exercise import Case, Mistake, but, row_of_floats, values
from n2n_lib.course.check.registry import exercise
from n2n_lib.framework.module import Module

xavier_std = sgd.xavier_std.solution
conv2d_forward = convolution.conv2d_forward.solution
conv2d_weight_grad = convolution.conv2d_weight_grad.solution
conv2d_bias_grad = convolution.conv2d_bias_grad.solution
conv2d_input_grad = convolution.conv2d_input_grad.solution
relu_forward = activations.relu_forward.solution
relu_backward = activations.relu_backward.solution
mse_forward = loss_and_sequential.mse_forward.solution
mse_backward = loss_and_sequential.mse_backward.solution
sgd_step = sgd.sgd_step.solution

# -------------------------------------------------------------------------------------------- Conv


def _conv_case(
    name: str, x: tuple[int, int, int, int], outputs: int, dtype: torch.dtype = torch.float64
) -> Case:
    arguments = {
        "x": values(x, 80, dtype),
        "weight": values((outputs, x[1], 3, 3), 81, dtype),
        "bias": values((outputs,), 82, dtype),
        "grad_output": values((x[0], outputs, *x[2:]), 83, dtype),
    }
    return Case(name, arguments, {"the batch size N": x[0]})


def _use_conv(answer: Any, x: Tensor, weight: Tensor, bias: Tensor, grad_output: Tensor) -> tuple:
    """Make one, look at how it begins, give it other parameters and run it, backwards twice."""
    conv = answer(weight.shape[1], weight.shape[0], torch.Generator().manual_seed(84))
    start = [conv.weight.to(x.dtype), conv.bias.to(x.dtype)]
    start.append(torch.cat([conv.weight_grad.flatten(), conv.bias_grad.flatten()]).to(x.dtype))
    conv.weight, conv.bias = weight.clone(), bias.clone()
    conv.weight_grad, conv.bias_grad = -weight, 2 * bias  # no zeros: gradients are added to them
    output = conv.forward(x)
    first = conv.backward(grad_output)
    conv.forward(x.flip(-1))
    conv.backward(grad_output)
    (_, weight_grad), (_, bias_grad) = conv.param()
    return *start, output, first, weight_grad, bias_grad


@exercise(
    topic="milestone",
    title="A convolution that learns",
    hints=(
        "What does backward need that only forward has seen, and what must happen to the gradients "
        "of a module that runs twice? All that it computes is a function of yours, from "
        "“Convolution”.",
        "forward keeps the windows (N, 9 C, H W) of x and its height and width. backward adds to "
        "both gradients, that of the weight from these windows, and returns the gradient of x.",
        "`self.windows, self.size = unfold(x, 3, padding=1), x.shape[2:]` in forward, and "
        "`self.weight_grad += conv2d_weight_grad(grad_output, self.windows, self.weight.shape)` in "
        "backward, which returns `conv2d_input_grad(grad_output, self.weight, self.size, 1, 1)`.",
    ),
    returns=(
        "weight at first",
        "bias at first",
        "both gradients at first",
        "output",
        "grad_input",
        "weight_grad",
        "bias_grad",
    ),
    cases=(
        _conv_case("one image, 2 channels in, 1 out", (1, 2, 4, 3), 1),
        _conv_case("2 images, 3 channels in, 2 out", (2, 3, 5, 4), 2),
        _conv_case("2 channels in, 4 out, float32", (3, 2, 3, 6), 4, torch.float32),
    ),
    use=_use_conv,
    errors=(
        (
            "has no attribute 'weight",
            "__init__ makes self.weight, self.bias, self.weight_grad and self.bias_grad.",
        ),
        (
            "has no attribute 'bias",
            "__init__ makes self.weight, self.bias, self.weight_grad and self.bias_grad.",
        ),
        (
            "'Conv' object has no attribute",
            "What backward needs, forward has to keep in an attribute: `self.windows = ...`.",
        ),
        (
            "values to unpack",
            "param returns a list of two pairs: [(weight, weight_grad), (bias, bias_grad)].",
        ),
    ),
)
class Conv:
    """Check ``Conv(in_channels, out_channels, generator)``: a 3 x 3 convolution with padding 1.

    Parameters
    ----------
    answer : type
        The student's, which has ``forward(x)``, ``backward(grad_output)``, which adds to the
        gradients of the parameters, ``param()``, and the attributes ``weight``
        ``(out_channels, in_channels, 3, 3)``, Xavier's normal, ``bias``, zero, ``weight_grad`` and
        ``bias_grad``.
    """

    def __init__(self, in_channels: int, out_channels: int, generator: torch.Generator) -> None:
        shape = (out_channels, in_channels, 3, 3)
        self.weight = xavier_std(shape) * torch.randn(shape, generator=generator)
        self.bias = torch.zeros(out_channels)
        self.weight_grad, self.bias_grad = torch.zeros(shape), torch.zeros(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, and keep what backward needs."""
        self.windows, self.size = unfold(x, 3, padding=1), x.shape[2:]
        return conv2d_forward(x, self.weight, self.bias, 1, 1)

    def backward(self, grad_output: Tensor) -> Tensor:
        """Add to the gradients of weight and bias, and return that of the input."""
        self.weight_grad += conv2d_weight_grad(grad_output, self.windows, self.weight.shape)
        self.bias_grad += conv2d_bias_grad(grad_output)
        return conv2d_input_grad(grad_output, self.weight, self.size, 1, 1)

    def param(self) -> list[tuple[Tensor, Tensor]]:
        """Return weight and bias, each with its gradient."""
        return [(self.weight, self.weight_grad), (self.bias, self.bias_grad)]


Conv.mistakes = (
    Mistake(
        "A second backward overwrites the gradients of the first: add to them, with `+=`.",
        but(("_grad += ", "_grad = ")),
        likely="overwritten",
    ),
    Mistake(
        "A second backward overwrites the gradient of the weight: add to it, with `+=`.",
        but(("weight_grad += ", "weight_grad = ")),
        likely="weight_grad overwritten",
    ),
    Mistake(
        "A second backward overwrites the gradient of the bias: add to it, with `+=`.",
        but(("bias_grad += ", "bias_grad = ")),
    ),
    Mistake(
        "The bias gets no gradient. It is added at every place of every image, so its gradient "
        "is conv2d_bias_grad(grad_output).",
        but(("self.bias_grad += conv2d_bias_grad(grad_output)", "pass")),
        likely="bias forgotten",
    ),
    Mistake(
        "The gradient of the bias is a mean: the bias is added at every place of every image, so "
        "all their gradients are summed.",
        but(("conv2d_bias_grad(grad_output)", "grad_output.mean((0, 2, 3))")),
        likely="mean for the bias",
    ),
    Mistake(
        "The gradient of the bias is summed over the whole of grad_output: each output channel "
        "has a bias of its own, so the channels stay apart: use conv2d_bias_grad.",
        but(("conv2d_bias_grad(grad_output)", "grad_output.sum()")),
        likely="one sum for the bias",
    ),
    Mistake(
        "The weight begins with a standard deviation of 1: multiply what torch.randn draws by "
        "xavier_std(shape).",
        but(("xavier_std(shape) * ", "")),
    ),
    Mistake(
        "The weight begins at the variance of Xavier's rule, and xavier_std is the standard "
        "deviation already: do not square it.",
        but(("xavier_std(shape) * ", "xavier_std(shape) ** 2 * ")),
    ),
    Mistake(
        "The weight is drawn from a uniform distribution: torch.randn draws from the normal one.",
        but(("torch.randn(", "torch.rand(")),
    ),
    Mistake(
        "All weights begin at zero. Then every channel computes the same, and stays equal to the "
        "others for ever: draw them at random (lesson 08).",
        but(("xavier_std(shape) * torch.randn(shape, generator=generator)", "torch.zeros(shape)")),
    ),
    Mistake(
        "The first two of the weight's sizes are swapped: it is (out_channels, in_channels, 3, 3).",
        but(("(out_channels, in_channels, 3, 3)", "(in_channels, out_channels, 3, 3)")),
    ),
    Mistake(
        "The bias begins at random numbers: let it begin at zero.",
        but(("torch.zeros(out_channels)\n", "torch.randn(out_channels, generator=generator)\n")),
    ),
    Mistake(
        "The gradients do not begin at zero, and what backward finds there it adds to.",
        but(("torch.zeros(shape), torch.zeros", "torch.ones(shape), torch.ones")),
        but(("torch.zeros(shape), torch.zeros(out_channels)", "1 * self.weight, 1 * self.bias")),
    ),
    Mistake(
        "The weight is not drawn from the generator that it was given, so nobody can repeat it: "
        "torch.randn(shape, generator=generator).",
        but(("shape, generator=generator", "shape, generator=torch.Generator().manual_seed(0)")),
    ),
)


# -------------------------------------------------------------------------------------------- ReLU


def _use_relu(answer: Any, x: Tensor, grad_output: Tensor) -> tuple:
    relu = answer()
    output = relu.forward(x)
    grad_input = relu.backward(grad_output)
    return output, grad_input, len(relu.param())


def _relu_case(name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Case:
    arguments = {"x": values(shape, 85, dtype), "grad_output": values(shape, 86, dtype)}
    arguments["x"].flatten()[0] = 0.0
    return Case(name, arguments)


@exercise(
    topic="milestone",
    title="A ReLU that remembers",
    hints=(
        "Which tensor does the backward function need beside grad_output, and who has it? Both "
        "functions are those of “Activations”.",
        "forward returns max(0, x) for each value and keeps its output. backward lets the gradient "
        "through where this output is above 0, and makes it 0 elsewhere. Nothing is learned, so "
        "param lists no pair.",
        "`self.output = relu_forward(x)` in forward, `return relu_backward(grad_output, "
        "self.output)` in backward, and `return []` in param.",
    ),
    returns=("output", "grad_input", "number of parameters"),
    cases=(
        _relu_case("one row", (1, 1, 1, 5)),
        _relu_case("a matrix", (3, 2)),
        _relu_case("2 images, 3 channels", (2, 3, 4, 4)),
        _relu_case("float32", (1, 2, 3, 4), torch.float32),
    ),
    use=_use_relu,
    errors=(
        (
            "'ReLU' object has no attribute",
            "What backward needs, forward has to keep in an attribute: `self.output = ...`.",
        ),
        ("'NoneType' has no len", "param returns a list, an empty one here: `return []`."),
    ),
)
class ReLU:
    """Check ``ReLU()``: the larger one of 0 and the value, for each value.

    Parameters
    ----------
    answer : type
        The student's, which has ``forward(x)``, ``backward(grad_output)`` and ``param()``.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the larger one of 0 and the value, and keep it."""
        self.output = relu_forward(x)
        return self.output

    def backward(self, grad_output: Tensor) -> Tensor:
        """Let the gradient pass where the output is positive."""
        return relu_backward(grad_output, self.output)

    def param(self) -> list[tuple[Tensor, Tensor]]:
        """Return no parameters."""
        return []


ReLU.mistakes = (
    Mistake(
        "The arguments of relu_backward are swapped: the gradient comes first, then the output.",
        but(("grad_output, self.output", "self.output, grad_output")),
        likely="swapped arguments",
    ),
    Mistake(
        "backward hands grad_output on as it came: where the output is 0, the gradient is 0 too.",
        but(("return relu_backward(grad_output, self.output)", "return grad_output")),
        likely="handed on as it came",
    ),
    Mistake(
        "backward computes a forward: the ReLU of the gradient. What matters is the sign of the "
        "input, not that of the gradient.",
        but(("relu_backward(grad_output, self.output)", "grad_output.clamp(min=0)")),
        likely="ReLU of the gradient",
    ),
    Mistake(
        "The result is right, but your ReLU changed its input: clamp_ works in place, and in "
        "x + f(x) the input is still needed. Use clamp.",
        but(("relu_forward(x)", "x.clamp_(min=0)")),
        likely="in place",
    ),
    Mistake(
        "It keeps the smaller one of 0 and the value: clamp(min=0), not clamp(max=0).",
        but(("relu_forward(x)", "x.clamp(max=0)")),
    ),
    Mistake(
        "It cuts values off at 1 as well: a ReLU has no upper end.",
        but(("relu_forward(x)", "x.clamp(0, 1)")),
    ),
    Mistake(
        "It returns the absolute value: a negative value becomes 0.",
        but(("relu_forward(x)", "x.abs()")),
    ),
    Mistake(
        "It lets the negative values pass, a little smaller: that is a leaky ReLU.",
        but(("relu_forward(x)", "torch.where(x > 0, x, 0.01 * x)")),
        but(("relu_forward(x)", "torch.where(x > 0, x, 0.1 * x)")),
    ),
    Mistake(
        "forward returns 1 where the value is positive, which is the slope: return the value.",
        but(("relu_forward(x)", "(x > 0) * torch.ones_like(x)")),
        likely="slope returned",
    ),
    Mistake(
        "forward hands its input on: return the larger one of 0 and the value.",
        but(("relu_forward(x)", "x + 0")),
    ),
)


# ------------------------------------------------------------------------------------------- Chain


class _Plain(Module):
    """A module as the lesson's own are: it has forward, backward and param, and nothing else.

    An answer that calls it, or asks it for `zero_grad`, would fail on the student's own modules.
    """

    def __call__(self, *inputs: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__!r} object is not callable")

    def zero_grad(self) -> None:
        raise AttributeError(f"{type(self).__name__!r} object has no attribute 'zero_grad'")


class _Stretch(_Plain):
    """Multiply with a matrix, whose gradient is kept: a small module whose order matters.

    The gradient does not begin at zero: backward has to add to it.
    """

    def __init__(self, matrix: Tensor) -> None:
        self.matrix, self.matrix_grad = matrix, 0.5 * matrix.flip(0)

    def forward(self, input: Tensor) -> Tensor:
        self.kept = input
        return input @ self.matrix

    def backward(self, grad_output: Tensor) -> Tensor:
        self.matrix_grad += self.kept.T @ grad_output
        return grad_output @ self.matrix.T


class _Shifted(_Stretch):
    """Multiply with a matrix, then add a row: a module with two parameters."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__(matrix)
        self.bias, self.bias_grad = matrix[0] / 2, matrix[0] / 3

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) + self.bias

    def backward(self, grad_output: Tensor) -> Tensor:
        self.bias_grad += grad_output.sum(0)
        return super().backward(grad_output)


class _Turned(_Plain):
    """Reverse the columns: a module with nothing to learn."""

    def forward(self, input: Tensor) -> Tensor:
        return input.flip(1)

    def backward(self, grad_output: Tensor) -> Tensor:
        return grad_output.flip(1)


def _chain_case(
    name: str, *widths: int, dtype: torch.dtype = torch.float64, mixed: bool = False
) -> Case:
    """A chain of matrices; a mixed one has modules with two parameters, and one with none."""
    kind = _Shifted if mixed else _Stretch
    shapes = enumerate(zip(widths[:-1], widths[1:], strict=True))
    modules = [kind(values(shape, 90 + index, dtype)) for index, shape in shapes]
    arguments = {
        "modules": [modules[0], _Turned(), *modules[1:]] if mixed else modules,
        "x": values((2, widths[0]), 87, dtype),
        "grad_output": values((2, widths[-1]), 88, dtype),
    }
    return Case(name, arguments)


def _use_chain(answer: Any, modules: list[Module], x: Tensor, grad_output: Tensor) -> tuple:
    chain = answer(*modules)
    output = chain.forward(x)
    grad_input = chain.backward(grad_output)
    return output, grad_input, *_joined(chain.param(), x)


def _joined(pairs: list[tuple[Tensor, Tensor]], like: Tensor) -> tuple[int, Tensor]:
    """Return how many pairs there are, and all their values in a row, behind a zero."""
    values_of = [tensor.flatten() for pair in pairs for tensor in pair]
    return len(pairs), torch.cat([like.new_zeros(1), *values_of])


@exercise(
    topic="milestone",
    title="A chain",
    hints=(
        "In which order does a gradient meet the modules, and whose parameters does a chain have? "
        "“Loss and Sequential” has run such a list already.",
        "forward hands each output to the next module, from the first to the last; backward does "
        "the same with the gradient, from the last to the first. param is one list: the pairs of "
        "the first module, then those of the second, and so on.",
        "`for module in reversed(self.modules): grad_output = module.backward(grad_output)`, and "
        "`[pair for module in self.modules for pair in module.param()]`.",
    ),
    returns=("output", "grad_input", "number of pairs", "what param returns, joined"),
    cases=(
        _chain_case("one module", 3, 3),
        _chain_case("three modules", 3, 3, 3, 3),
        _chain_case("sizes that change, float32", 2, 4, 3, dtype=torch.float32),
        _chain_case("modules with two parameters and with none", 2, 3, 4, mixed=True),
        _chain_case("no module", 2),
    ),
    use=_use_chain,
    errors=(
        (
            "shapes cannot be multiplied",
            "A module got what another one should have: forward goes from the first to the last, "
            "backward from the last to the first.",
        ),
        (
            "__init__()",
            "A chain is made as Chain(first, second, third): `def __init__(self, *modules)`.",
        ),
        (
            "object has no attribute 'kept'",
            "backward runs a module whose forward never ran: does forward go through all modules, "
            "or is there a `return` inside its loop?",
        ),
        (
            "'tuple' object has no attribute 'flatten'",
            "param returns a list of lists: join them, so that the optimiser finds pairs.",
        ),
        (
            "'_Stretch' object is not iterable",
            "A chain is made as Chain(first, second, third): `def __init__(self, *modules)`, with "
            "the star, makes a tuple of them.",
        ),
        (
            "object is not callable",
            "Modules of yours cannot be called: they are run with module.forward(...), and "
            "backwards with module.backward(...).",
        ),
        (
            "object has no attribute 'weight'",
            "A chain knows nothing of the names in its modules: ask each of them for its param().",
        ),
        (
            "has no len",
            "param returns a list of pairs: collect them, and return them at the end.",
        ),
        (
            "object is not reversible",
            "Keep the modules in a list: `self.modules = list(modules)`.",
        ),
    ),
)
class Chain:
    """Check ``Chain(modules)``, with any number of modules as arguments: one after the other.

    Parameters
    ----------
    answer : type
        The student's, which has ``forward(x)``, ``backward(grad_output)`` and ``param()``, all
        pairs of all modules in order.
    """

    def __init__(self, *modules: Any) -> None:
        self.modules = modules

    def forward(self, x: Tensor) -> Tensor:
        """Run the modules from the first to the last."""
        for module in self.modules:
            x = module.forward(x)
        return x

    def backward(self, grad_output: Tensor) -> Tensor:
        """Run them backwards from the last to the first."""
        for module in reversed(self.modules):
            grad_output = module.backward(grad_output)
        return grad_output

    def param(self) -> list[tuple[Tensor, Tensor]]:
        """Return the pairs of all modules, in order."""
        return [pair for module in self.modules for pair in module.param()]


Chain.mistakes = (
    Mistake(
        "backward runs in forward order: the chain rule starts at the last module, so loop over "
        "reversed(self.modules).",
        but(("reversed(self.modules)", "self.modules")),
        likely="forward order",
    ),
    Mistake(
        "Every module is given the input of the chain: hand on what the module before it returned.",
        but(
            (
                "for module in self.modules:\n        x =",
                "y = x\n    for module in self.modules:\n        y =",
            ),
            ("return x", "return y"),
        ),
        likely="input not handed on",
    ),
    Mistake(
        "backward returns inside its loop, so only the last module runs.",
        but(("grad_output = module.backward", "return module.backward")),
        likely="return inside the loop",
    ),
    Mistake(
        "param forgets the parameters of the modules. Such a chain runs, and never learns.",
        but(("[pair for module in self.modules for pair in module.param()]", "[]")),
        likely="forgetful",
    ),
    Mistake(
        "param returns the parameters of the first module alone.",
        but(
            (
                "return [pair for module in self.modules for pair in module.param()]",
                "return self.modules[0].param() if self.modules else []",
            )
        ),
    ),
    Mistake(
        "param lists the modules from the last to the first: keep the order of the chain.",
        but(("[pair for module in self.modules", "[pair for module in reversed(self.modules)")),
    ),
    Mistake(
        "Every module gets the grad_output of the whole chain: hand on what the module after it "
        "has returned.",
        but(("        grad_output = module", "        module")),
        but(
            (
                "for module in reversed(self.modules):\n        grad_output = ",
                "g = grad_output\n    for module in reversed(self.modules):\n        g = ",
            ),
            ("return grad_output", "return g"),
        ),
        likely="same gradient for all",
    ),
    Mistake(
        "The first module never runs backwards, so the parameters in it get no gradient.",
        but(("reversed(self.modules)", "reversed(self.modules[1:])")),
    ),
    Mistake(
        "The last module never runs backwards: grad_output belongs to its output, so it comes "
        "first.",
        but(("reversed(self.modules)", "reversed(self.modules[:-1])")),
    ),
    Mistake(
        "param returns every pair twice, so each step would be taken twice.",
        but(("in module.param()]", "in 2 * module.param()]")),
    ),
    Mistake(
        "backward computes the forward of each module: call module.backward.",
        but(("module.backward(", "module.forward(")),
    ),
)


# ---------------------------------------------------------------------------------------- Residual


def _use_residual(answer: Any, f: Module, x: Tensor, grad_output: Tensor) -> tuple:
    residual = answer(f)
    output = residual.forward(x)
    grad_input = residual.backward(grad_output)
    return output, grad_input, *_joined(residual.param(), x)


def _residual_case(name: str, rows: int, width: int, dtype: torch.dtype = torch.float64) -> Case:
    arguments = {
        "f": _Stretch(values((width, width), 97, dtype)),
        "x": values((rows, width), 98, dtype),
        "grad_output": values((rows, width), 99, dtype),
    }
    return Case(name, arguments)


@exercise(
    topic="milestone",
    title="The residual sum",
    hints=(
        "On how many ways does x reach the output? “Gradients” says what becomes of the gradient "
        "of a value that is used more than once.",
        "With y = x + f(x) the gradient of x is dL/dy, for the direct way, plus what f makes of "
        "dL/dy on its way back. Only f has something to learn.",
        "`return x + self.f.forward(x)`, then `return grad_output + self.f.backward(grad_output)`, "
        "and `return self.f.param()`.",
    ),
    returns=("output", "grad_input", "number of pairs", "what param returns, joined"),
    cases=(
        _residual_case("one value", 1, 1),
        _residual_case("two rows of three", 2, 3),
        _residual_case("three rows of two, float32", 3, 2, torch.float32),
    ),
    use=_use_residual,
    errors=(
        (
            "'NoneType' object is not iterable",
            "param returns a list, that of f: `return self.f.param()`.",
        ),
        (
            "'method' object is not iterable",
            "param is called: `return self.f.param()`, with parentheses.",
        ),
        (
            "object is not callable",
            "f is run with self.f.forward(...), and backwards with self.f.backward(...).",
        ),
    ),
)
class Residual:
    """Check ``Residual(f)``: the sum of the input and of what a module makes of it.

    Parameters
    ----------
    answer : type
        The student's, which has ``forward(x)``, ``backward(grad_output)`` and ``param()``.
    """

    def __init__(self, f: Any) -> None:
        self.f = f

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x + f(x)``."""
        return x + self.f.forward(x)

    def backward(self, grad_output: Tensor) -> Tensor:
        """Add the gradients of both ways."""
        return grad_output + self.f.backward(grad_output)

    def param(self) -> list[tuple[Tensor, Tensor]]:
        """Return the parameters of f."""
        return self.f.param()


Residual.mistakes = (
    Mistake(
        "The way past f is missing backwards: x reached the output on two ways, so grad_output "
        "is added to what f.backward returns.",
        but(("grad_output + self.f.backward", "self.f.backward")),
        likely="one way only",
    ),
    Mistake(
        "f never runs backwards, so its parameters get no gradient, and x only one of its two: "
        "the way through f has to be gone back as well.",
        but((" + self.f.backward(grad_output)", "")),
        likely="past f only",
    ),
    Mistake(
        "The sum is missing: the output is x + f(x).",
        but(("x + self.f.forward(x)", "self.f.forward(x)")),
        likely="no sum",
    ),
    Mistake(
        "This is a difference: the output is x + f(x).",
        but(("x + self.f.forward(x)", "x - self.f.forward(x)")),
    ),
    Mistake(
        "The result is right, but your sum changed its input: `x += ...` writes into x. Whoever "
        "gave it to you still needs it, and so does f for its backward: return x + ....",
        but(("return x + self.f.forward(x)", "x += self.f.forward(x)\n    return x")),
        likely="in place",
    ),
    Mistake(
        "The result is right, but backward changed grad_output: `+=` writes into it. Return "
        "grad_output + ... instead.",
        but(
            (
                "return grad_output + self.f.backward(grad_output)",
                "grad_output += self.f.backward(grad_output)\n    return grad_output",
            )
        ),
    ),
    Mistake(
        "The derivative of the direct way is 1, and 1 times dL/dy is grad_output: add this to what "
        "f.backward returns, and not the 1.",
        but(("grad_output + self.f.backward", "1 + self.f.backward")),
    ),
    Mistake(
        "grad_output comes in twice: what f.backward returns is multiplied by it already, so the "
        "two gradients are added.",
        but(
            (
                "grad_output + self.f.backward(grad_output)",
                "grad_output * (1 + self.f.backward(grad_output))",
            )
        ),
    ),
    Mistake(
        "The two gradients are multiplied: the derivative of a sum is a sum, and x + f(x) is one.",
        but(("grad_output + self.f.backward", "grad_output * self.f.backward")),
    ),
    Mistake(
        "param forgets the parameters of f, so the optimiser never sees them: hand "
        "on what f says it has.",
        but(("return self.f.param()", "return []")),
        likely="forgetful",
    ),
    Mistake(
        "The output is the double of f(x), or x counts twice: it is x + f(x).",
        but(("x + self.f.forward(x)", "2 * self.f.forward(x)")),
        but(("x + self.f.forward(x)", "2 * x + self.f.forward(x)")),
    ),
    Mistake(
        "f runs backwards twice for each forward, so the gradients of its parameters are twice as "
        "large: call self.f.backward once.",
        but(
            (
                "return grad_output + self.f.backward(grad_output)",
                "self.f.backward(grad_output)\n"
                "    return grad_output + self.f.backward(grad_output)",
            )
        ),
    ),
)


# ----------------------------------------------------------------------------------- small_network

Conv, ReLU, Chain, Residual = (
    e.solution for e in (Conv, ReLU, Chain, Residual)
)  # as in the lesson


def _use_network(answer: Any, width: int, x: Tensor, grad_output: Tensor) -> tuple:
    """Make one, in the dtype of x, and run it forwards and backwards."""
    network = answer(width, torch.Generator().manual_seed(100))
    for pair in network.param():
        for tensor in pair:
            tensor.data = tensor.to(x.dtype)
    output, grad_input = network.forward(x), network.backward(grad_output)
    count = sum(parameter.numel() for parameter, _ in network.param())
    return output, grad_input, torch.cat([grad.flatten() for _, grad in network.param()]), count


def _network_case(name: str, width: int, *rest: int, dtype: torch.dtype = torch.float64) -> Case:
    """A width, and pictures; `rest` is N, H and W."""
    shape = (rest[0], 3, *rest[1:])
    arguments = {"x": values(shape, 101, dtype), "grad_output": values(shape, 102, dtype)}
    return Case(name, {"width": width, **arguments})


@exercise(
    topic="milestone",
    title="The network",
    hints=(
        "How many channels go into each of the three convolutions, and how many come out? The "
        "picture has 3, and so has the result. Mind the order in which the weights are drawn.",
        "The convolutions have 3 to width, width to width and width to 3 channels, and are made in "
        "this order. A ReLU follows the first and the second, none the third, whose weight is "
        "scaled by 0.1. The residual sum goes around the whole chain.",
        "`last = Conv(width, 3, generator)`, made after the two others, then `last.weight *= 0.1` "
        "and `return Residual(Chain(first, ReLU(), second, ReLU(), last))`.",
    ),
    returns=("output", "grad_input", "gradients of param", "number of parameters"),
    axes=("image", "channel", "row", "column"),
    cases=(
        _network_case("width 2", 2, 1, 4, 3),
        _network_case("width 5, float32", 5, 2, 5, 4, dtype=torch.float32),
    ),
    use=_use_network,
    errors=(
        (
            "missing 1 required positional argument: 'self'",
            "A class stands where a module belongs: make one of it, `ReLU()`, with parentheses.",
        ),
        (
            "'list' object has no attribute",
            "A chain takes its modules one by one, Chain(first, second, third), and no list.",
        ),
        (
            "'NoneType' object has no attribute",
            "Does small_network end in a `return` of the network?",
        ),
        (
            "Expected size for first two dimensions",
            "The channels of two convolutions do not fit: 3 to width, width to width, width to 3.",
        ),
    ),
)
def small_network(width: int, generator: torch.Generator) -> Residual:
    """Check ``small_network(width, generator) -> network``.

    Parameters
    ----------
    function : callable
        The student's, which makes three convolutions, 3 to `width`, `width` to `width` and `width`
        to 3 channels, in this order, multiplies the weight of the last by 0.1, and returns the sum
        ``x + f(x)`` around their chain with a ReLU after the first and after the second.
    """
    first, second = Conv(3, width, generator), Conv(width, width, generator)
    last = Conv(width, 3, generator)
    last.weight *= 0.1
    return Residual(Chain(first, ReLU(), second, ReLU(), last))


small_network.mistakes = (
    Mistake(
        "The sum is missing: put Residual around the chain, so that the network returns x + f(x).",
        but(
            (
                "Residual(Chain(first, ReLU(), second, ReLU(), last))",
                "Chain(first, ReLU(), second, ReLU(), last)",
            )
        ),
        likely="no sum",
    ),
    Mistake(
        "The weight of the last convolution is as large as Xavier's rule makes it: multiply it by "
        "0.1, so that the network begins close to y = x.",
        but(("last.weight *= 0.1\n", "")),
        likely="no factor 0.1",
    ),
    Mistake(
        "The ReLUs are missing. Without them three convolutions are one large convolution, a "
        "linear filter.",
        but(("first, ReLU(), second, ReLU(), last", "first, second, last")),
        likely="no ReLU",
    ),
    Mistake(
        "A ReLU follows the last convolution. Then f can only make pixels brighter, and noise is "
        "on both sides of the clean value.",
        but(("ReLU(), last)", "ReLU(), last, ReLU())")),
        likely="a third ReLU",
    ),
    Mistake(
        "The second ReLU is missing: one after the first convolution, one after the second.",
        but(("second, ReLU(), last", "second, last")),
        likely="one ReLU only",
    ),
    Mistake(
        "The first ReLU is missing: one after the first convolution, one after the second.",
        but(("first, ReLU(), second", "first, second")),
    ),
    Mistake(
        "The convolution in the middle is missing: there are three.",
        but(("ReLU(), second, ReLU()", "ReLU()")),
    ),
    Mistake(
        "The last convolution is made before the others, so it gets their random numbers: make "
        "the three in the order in which the picture meets them.",
        but(
            (
                "first, second = Conv(3, width, generator), Conv(width, width, generator)\n",
                "last = Conv(width, 3, generator)\n",
            ),
            (
                "last = Conv(width, 3, generator)\nlast = Conv(width, 3, generator)\n",
                "last = Conv(width, 3, generator)\n"
                "first, second = Conv(3, width, generator), Conv(width, width, generator)\n",
            ),
        ),
    ),
    Mistake(
        "The factor 0.1 is at the first convolution: it belongs to the last one.",
        but(("last.weight *=", "first.weight *=")),
    ),
    Mistake(
        "The width is 16 whatever is asked for: use `width`.",
        but(
            ("Conv(3, width, ", "Conv(3, 16, "),
            ("Conv(width, width, ", "Conv(16, 16, "),
            ("Conv(width, 3, ", "Conv(16, 3, "),
        ),
    ),
    Mistake(
        "The sum stands inside the chain, around the second convolution alone: it goes around "
        "the whole, from the noisy picture to the output.",
        but(
            (
                "Residual(Chain(first, ReLU(), second, ReLU(), last))",
                "Chain(first, ReLU(), Residual(second), ReLU(), last)",
            )
        ),
    ),
    Mistake(
        "One ReLU stands in two places. It remembers its last forward alone, so backward uses that "
        "of the second place in both: make two of them.",
        but(
            ("last = Conv", "relu, last = ReLU(), Conv"),
            ("first, ReLU(), second, ReLU()", "first, relu, second, relu"),
        ),
        likely="one ReLU in two places",
    ),
)


# ---------------------------------------------------------------------------------- train_denoiser


def _use_train(
    answer: Any, network: Module, x: Tensor, t: Tensor, batch: int, rates: list[float]
) -> tuple:
    """Train a small module, and return the losses and what has become of its two parameters."""
    losses = answer(network, x, t, batch, rates, torch.Generator().manual_seed(110))
    return row_of_floats(losses, x), torch.cat([p.flatten() for p, _ in network.param()])


def _train_case(
    name: str,
    count: int,
    batch: int,
    *rates: float,
    dtype: torch.dtype = torch.float64,
    once: bool = False,
) -> Case:
    """So many pairs, and a step for each rate; `once`: rates without a length and an index."""
    arguments = {
        "network": _Shifted(0.4 * values((3, 3), 111, dtype)),
        "x": values((count, 3), 112, dtype),
        "t": values((count, 3), 113, dtype),
        "batch": batch,
        "rates": iter(rates) if once else list(rates),
    }
    return Case(name, arguments, {"the number of pairs": count, "the batch size": batch})


@exercise(
    topic="milestone",
    title="The loop",
    hints=(
        "What is left in the gradients from the step before, and of which weights is the loss that "
        "you note? Each step is that of “SGD”.",
        "For each rate: draw batch rows, run forward on these rows of x, note the loss against the "
        "same rows of t, set every gradient to zero, run backward from the gradient of the loss, "
        "and move the parameters.",
        "`output = network.forward(x[rows])`, `losses.append(mse_forward(output, "
        "t[rows]).item())`, `network.backward(mse_backward(output, t[rows]))`, "
        "`sgd_step(network.param(), rate)`; `grad.zero_()` comes in between.",
    ),
    returns=("losses", "parameters afterwards"),
    cases=(
        _train_case("one step, one pair", 1, 1, 0.3),
        _train_case("one step of 4", 8, 4, 0.5),
        _train_case("five steps, the rate falls", 8, 4, 0.5, 0.4, 0.3, 0.2, 0.1),
        _train_case("two steps, float32", 5, 2, 0.2, 0.1, dtype=torch.float32),
        _train_case("rates that come one by one", 6, 3, 0.3, 0.2, 0.1, once=True),
        _train_case("no step", 5, 2),
    ),
    use=_use_train,
    errors=(
        (
            "'NoneType' object is not iterable",
            "train_denoiser returns the losses, a list with one number for each step.",
        ),
        ("expected a list of floats", "`.item()` makes a number of the tensor that a loss is."),
        (
            "'float' object is not iterable",
            "A single number is no list: train_denoiser returns one loss for each step, all in a "
            "list.",
        ),
        (
            "has no attribute 'zero_grad'",
            "Modules of yours have no zero_grad: set every gradient that param lists to zero, with "
            "grad.zero_().",
        ),
        (
            "_iterator'",
            "rates may be anything that `for` can go through: `for rate in rates`, without a "
            "length or an index.",
        ),
        (
            "object is not callable",
            "Modules of yours are run with network.forward(...), and backwards with "
            "network.backward(...).",
        ),
    ),
)
def train_denoiser(
    network: Any,
    x: Tensor,
    t: Tensor,
    batch: int,
    rates: Iterable[float],
    generator: torch.Generator,
) -> list[float]:
    """Check ``train_denoiser(network, x, t, batch, rates, generator) -> losses``.

    Parameters
    ----------
    function : callable
        The student's, which takes a step of gradient descent for each of the `rates`: on rows of
        `x` and `t` that it draws with ``torch.randint(len(x), (batch,), generator=generator)``. It
        returns the loss of each step, before the step, and leaves the network trained.
    """
    losses = []
    for rate in rates:
        rows = torch.randint(len(x), (batch,), generator=generator)
        output = network.forward(x[rows])
        losses.append(mse_forward(output, t[rows]).item())
        for _, grad in network.param():
            grad.zero_()
        network.backward(mse_backward(output, t[rows]))
        sgd_step(network.param(), rate)
    return losses


train_denoiser.mistakes = (
    Mistake(
        "The gradients are never set to zero, so each step uses the sum of all gradients so far "
        "(lesson 08).",
        but(("grad.zero_()", "pass")),
        likely="no zero_grad",
    ),
    Mistake(
        "The gradients are cleared once, before the first step, so each later step uses the sum of "
        "those before it: clear them in every step.",
        but(
            ("    for _, grad in network.param():\n        grad.zero_()\n", ""),
            ("losses = []\n", "losses = []\nfor _, grad in network.param():\n    grad.zero_()\n"),
        ),
    ),
    Mistake(
        "Only the gradient of the first parameter is cleared: go through all pairs.",
        but(
            (
                "for _, grad in network.param():\n        grad.zero_()",
                "network.param()[0][1].zero_()",
            )
        ),
    ),
    Mistake(
        "Other rows are drawn than asked for: torch.randint(len(x), (batch,), "
        "generator=generator), once in every step.",
        but(
            (
                "torch.randint(len(x), (batch,), generator=generator)",
                "torch.randperm(len(x), generator=generator)[:batch]",
            )
        ),
        but(("torch.randint(len(x)", "torch.randint(batch")),
    ),
    Mistake(
        "The gradients are cleared after each step, so the first one uses what was in them before: "
        "clear them before backward.",
        but(
            ("    for _, grad in network.param():\n        grad.zero_()\n", ""),
            (
                "    sgd_step(network.param(), rate)",
                "    sgd_step(network.param(), rate)\n"
                "    for _, grad in network.param():\n        grad.zero_()",
            ),
        ),
    ),
    Mistake(
        "Nothing is learned, because every step is taken along gradients of zero: clear them, then "
        "run backward, then sgd_step. (Or is there no step at all?)",
        but(("sgd_step(network.param(), rate)", "pass")),
        but(
            ("    network.backward(mse_backward(output, t[rows]))\n", ""),
            (
                "sgd_step(network.param(), rate)",
                "sgd_step(network.param(), rate)\n"
                "    network.backward(mse_backward(output, t[rows]))",
            ),
        ),
        but(
            ("    for _, grad in network.param():\n        grad.zero_()\n", ""),
            (
                "    sgd_step",
                "    for _, grad in network.param():\n        grad.zero_()\n    sgd_step",
            ),
        ),
        likely="nothing learned",
    ),
    Mistake(
        "The target is the input itself, so the network learns to copy its noise: t[rows] is the "
        "target.",
        but(("t[rows]", "x[rows]")),
        likely="the input as target",
    ),
    Mistake(
        "Input and target are swapped: x[rows] goes in, t[rows] is the target.",
        but(
            ("forward(x[rows])", "forward(t[rows])"),
            ("mse_forward(output, t[rows])", "mse_forward(output, x[rows])"),
            ("(output, t[rows])", "(output, x[rows])"),
        ),
    ),
    Mistake(
        "Every step sees the same rows: draw them inside the loop.",
        but(
            ("    rows = torch.randint(len(x), (batch,), generator=generator)\n", ""),
            ("for rate", "rows = torch.randint(len(x), (batch,), generator=generator)\nfor rate"),
        ),
        likely="the same rows",
    ),
    Mistake(
        "Input and target are drawn apart, so they show two different scenes: draw the rows once "
        "in a step, and use them for both.",
        but(
            (
                "    output = network",
                "    others = torch.randint(len(x), (batch,), generator=generator)\n"
                "    output = network",
            ),
            ("t[rows]", "t[others]"),
        ),
        likely="pairs torn apart",
    ),
    Mistake(
        "Every step uses all pairs: draw `batch` rows.",
        but(("x[rows]", "x"), ("t[rows]", "t")),
    ),
    Mistake(
        "Every step has the first rate: use the one of the loop.",
        but(
            ("losses = []", "losses, rates = [], list(rates)"),
            ("network.param(), rate)", "network.param(), rates[0])"),
        ),
    ),
    Mistake(
        "The losses are sums: the loss is the mean over all values.",
        but(("mse_forward(output, t[rows])", "(output - t[rows]).square().sum()")),
    ),
    Mistake(
        "The losses are not squared, or their root is taken: the loss is the mean of the squares.",
        but(("mse_forward(output, t[rows])", "(output - t[rows]).abs().mean()")),
        but(("mse_forward(output, t[rows])", "mse_forward(output, t[rows]).sqrt()")),
    ),
    Mistake(
        "The losses are those after the step: take the loss of the output that backward starts "
        "from.",
        but(
            ("    losses.append(mse_forward(output, t[rows]).item())\n", ""),
            (
                "sgd_step(network.param(), rate)",
                "sgd_step(network.param(), rate)\n"
                "    losses.append(mse_forward(network.forward(x[rows]), t[rows]).item())",
            ),
        ),
    ),
)


# ---------------------------------------------------------------------------------------- clean_up


AT_ONCE = 100
"""Images that `clean_up` may hand to the network at one time."""


class _Contrast(_Plain):
    """Make dark values darker and bright ones brighter, beyond 0 and 1, of few images at once."""

    def forward(self, input: Tensor) -> Tensor:
        if len(input) > AT_ONCE:
            raise MemoryError(f"{len(input)} images at once")
        return 1.6 * input - 0.3


class _ContrastOfBytes(_Contrast):
    """The same, in the case whose images the answer gets as uint8."""


def _clean_up_case(name: str, *shape: int, dtype: torch.dtype = torch.float64) -> Case:
    images = 40 * values(shape, 120, dtype) + 128
    return Case(name, {"network": _Contrast(), "images": images.clamp(0, 255)})


def _bytes_case(name: str, *shape: int) -> Case:
    images = _clean_up_case(name, *shape, dtype=torch.float32).arguments["images"].round()
    return Case(name, {"network": _ContrastOfBytes(), "images": images})


def _use_clean_up(answer: Any, network: Module, images: Tensor) -> Tensor:
    """Clean images up; of those that are given as uint8, any floats may come back."""
    if not isinstance(network, _ContrastOfBytes):
        return answer(network, images)
    cleaned = answer(network, images.byte())
    return cleaned.to(images.dtype) if cleaned.is_floating_point() else cleaned


@exercise(
    topic="milestone",
    title="From pictures to pictures",
    hints=(
        "Why should the network not get all images at once, and what may its results be that a "
        "picture may not? Think of the scale on which it works.",
        "Divide by 255, run parts of at most 100 images one after the other, join the results "
        "along the first dimension, limit them to 0-1, and multiply by 255.",
        "`parts = [network.forward(part / 255) for part in images.split(100)]`, then "
        "`torch.cat(parts).clamp(0, 1)`, which is still on the scale 0-1.",
    ),
    returns=("images",),
    axes=("image", "channel", "row", "column"),
    cases=(
        _clean_up_case("one image", 1, 3, 4, 5),
        _clean_up_case("three images", 3, 3, 2, 2),
        _clean_up_case("250 images, float32", 250, 3, 2, 2, dtype=torch.float32),
        _bytes_case("images of uint8", 2, 3, 3, 2),
    ),
    use=_use_clean_up,
    errors=(
        (
            "MemoryError",
            "The windows of all images at once take too much memory: hand the network 100 images "
            "at a time, as images.split(100) cuts them.",
        ),
        (
            "object is not callable",
            "Modules of yours are run with network.forward(...).",
        ),
    ),
)
def clean_up(network: Any, images: Tensor) -> Tensor:
    """Check ``clean_up(network, images) -> images``.

    Parameters
    ----------
    function : callable
        The student's, which takes a network that works with values 0-1 and images ``(N, 3, H, W)``
        with values 0-255, ``uint8`` or floating point, hands them over in parts of at most 100, and
        returns what the network makes of them, floating point, within 0-255.
    """
    parts = [network.forward(part / 255) for part in images.split(100)]
    return 255 * torch.cat(parts).clamp(0, 1)


clean_up.mistakes = (
    Mistake(
        "The network is given values of 0 to 255: it works with 0 to 1, so divide by 255.",
        but(("part / 255", "part")),
        likely="not divided",
    ),
    Mistake(
        "The result is 0 to 1: multiply by 255.",
        but(("255 * torch", "torch")),
        likely="not multiplied",
    ),
    Mistake(
        "The network runs on the scale 0-255: it works with 0 to 1, so divide by 255 before it, "
        "and multiply by 255 after it.",
        but(
            ("part / 255", "part"),
            ("255 * torch.cat(parts).clamp(0, 1)", "torch.cat(parts).clamp(0, 255)"),
        ),
    ),
    Mistake(
        "Values below 0 and above 255 are left in: clamp them.",
        but((".clamp(0, 1)", "")),
        likely="not clamped",
    ),
    Mistake(
        "Values above 255 are left in: where the values are 0 to 1, clamp to 0 and 1.",
        but(("clamp(0, 1)", "clamp(0, 255)")),
        but(("clamp(0, 1)", "clamp(min=0)")),
        likely="clamped below only",
    ),
    Mistake(
        "The clamp to 0 and 1 comes after the multiplication by 255: almost every value becomes 1.",
        but(("255 * torch.cat(parts).clamp(0, 1)", "(255 * torch.cat(parts)).clamp(0, 1)")),
    ),
    Mistake(
        "The result of uint8 images is made of whole numbers again: return floats. What is made "
        "like images has their dtype.",
        """
        cleaned = torch.empty_like(images)
        for start in range(0, len(images), 100):
            part = network.forward(images[start : start + 100] / 255)
            cleaned[start : start + 100] = 255 * part.clamp(0, 1)
        return cleaned
        """,
        but(
            (
                "255 * torch.cat(parts).clamp(0, 1)",
                "(255 * torch.cat(parts).clamp(0, 1)).to(images)",
            )
        ),
    ),
    Mistake(
        "The result is cut to whole numbers: keep the fractions, they are part of the estimate.",
        but(("255 * torch.cat(parts).clamp(0, 1)", "(255 * torch.cat(parts).clamp(0, 1)).floor()")),
        but(("255 * torch.cat(parts).clamp(0, 1)", "(255 * torch.cat(parts).clamp(0, 1)).byte()")),
    ),
    Mistake(
        "The result is rounded: keep the fractions, they are part of the estimate.",
        but(("255 * torch.cat(parts).clamp(0, 1)", "(255 * torch.cat(parts).clamp(0, 1)).round()")),
    ),
    Mistake(
        "Only the last part is returned: join all parts with torch.cat.",
        but(("torch.cat(parts)", "parts[-1]")),
        likely="last part only",
    ),
    Mistake(
        "Only the first part is returned: join all parts with torch.cat.",
        but(("torch.cat(parts)", "parts[0]")),
    ),
    Mistake(
        "Only one end is clamped: no value may be above 255, and none below 0.",
        but(("clamp(0, 1)", "clamp(max=1)")),
    ),
)

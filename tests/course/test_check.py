"""The answer checks of the exercises: right answers pass, wrong ones are told what is wrong."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import linecache
import math
import pickle
import re
import statistics
from collections.abc import Callable

import nbformat
import pytest
import torch
from answers import LESSONS, PLACES, SOLUTION, ByTorch, judge, student, untouched
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from torch.nn import functional

from n2n_lib.course import check
from n2n_lib.course.check import EXERCISES, CheckFailed
from n2n_lib.course.check.convolution import LOOPS, SCATTER
from n2n_lib.course.check.exercise import Answer, Case, Edit, but, tensors_in, values
from n2n_lib.course.check.judge import TO_WRITE, judge_calls
from n2n_lib.course.check.loss_and_sequential import broken_modules, use_verdicts
from n2n_lib.course.check.sgd import FANS
from n2n_lib.course.lessons import TOPICS, number_of, stem_of
from n2n_lib.framework.module import Module

NAMES = list(EXERCISES)
IN_PLACE = [name for name in NAMES if EXERCISES[name].in_place]
FUNCTIONS = [name for name in NAMES if not EXERCISES[name].use]  # of the arguments of a case
RETURNING = [name for name in FUNCTIONS if name not in IN_PLACE]

every_exercise = pytest.mark.parametrize("name", NAMES)
every_function = pytest.mark.parametrize("name", FUNCTIONS)
every_returning_exercise = pytest.mark.parametrize("name", RETURNING)
every_exercise_in_place = pytest.mark.parametrize("name", IN_PLACE)


@pytest.fixture(autouse=True)
def nothing_has_failed_yet():
    for exercise in EXERCISES.values():
        exercise.failures = 0


# ------------------------------------------------------------------------------ wrong answers

MISTAKES = [
    pytest.param(name, mistake, id=f"{name}: {mistake.sentence[:60]}")
    for name, exercise in EXERCISES.items()
    for mistake in exercise.mistakes
]


@pytest.mark.parametrize("name, mistake", MISTAKES)
def test_a_known_mistake_gets_its_sentence(name: str, mistake, capsys):
    """Also: none hides behind another, and a student can write each in the lesson's cell."""
    for answer in mistake.answers:
        message = judge(name, student(name, answer))
        assert message.partition("\nHint: ")[0] == f"{name}: {mistake.sentence}"
        check_table(name, capsys.readouterr().out)
    check_message(name, f"{name}: {mistake.sentence}")


@every_exercise
def test_every_exercise_knows_many_mistakes_and_each_once(name: str):
    sentences = [mistake.sentence for mistake in EXERCISES[name].mistakes]
    assert len(set(sentences)) == len(sentences) >= 9
    assert all(mistake.answers for mistake in EXERCISES[name].mistakes)


# What gets a more general explanation, or one of a mistake that does not quite the same:
# (what is wrong, the student's answer, words that the message must contain ...).
FURTHER: dict[str, list[tuple]] = {
    "build_network": [
        (
            "a layer of PyTorch",
            "class Theirs(Residual):\n"
            "    def forward(self, x):\n"
            "        torch.conv2d(x, torch.zeros(3, 3, 1, 1))\n"
            "        return super().forward(x)\n"
            "source = torch.Generator().manual_seed(seed)\n"
            "first = Conv2d(3, 8, 3, padding=1, generator=source)\n"
            "last = Conv2d(8, 3, 3, padding=1, generator=source)\n"
            "return Theirs(Sequential(first, ReLU(), last))",
            "uses `torch's convolution`",
            "ready-made",
        ),
    ],
    "train_network": [
        (
            "cleared after each step, which is right, and a rate that is not",
            but(
                ("    optimiser.zero_grad()\n", ""),
                ("optimiser.step()", "optimiser.step()\n    optimiser.zero_grad()"),
                ("2e-3", "1e-6"),
            ),
            "is the learning rate too small",
        ),
        (
            "an optimiser of PyTorch",
            but(
                (
                    "criterion, optimiser =",
                    "torch.optim.SGD([p for p, _ in network.param()], 0.1)\ncriterion, optimiser =",
                )
            ),
            "uses `torch.optim",
            "ready-made",
        ),
        (
            "a tenth of the rate",
            but(("2e-3", "2e-4")),
            "is the learning rate too small",
        ),
    ],
    "best_constant": [
        (
            "no broadcasting",
            but(
                (
                    "guesses[:, None] - readings).square().mean(dim=1)",
                    "guesses - readings).square()",
                )
            ),
            "raised RuntimeError",
            "guesses[:, None]",
        ),
        ("errors only", but((", best, lift", "")), "Expected 3 values", "best"),
        (
            "a list of errors",
            but(("return errors", "return list(errors)")),
            "errors should be a tensor, got a list",
            "`torch.stack` makes a tensor of it.",
        ),
        (
            "a list of numbers",
            but(("return errors", "return errors.tolist()")),
            "`torch.tensor` makes a tensor of it.",
        ),
        (
            "numbers",
            but(("readings.mean()", "readings.mean().item()")),
            "best should be a tensor, got a float",
            "It stays one without `.item()`",
        ),
    ],
    "psnr": [
        ("a float", but((".log10()).mean()", ".log10()).mean().item()")), "should be a tensor"),
    ],
    "mean_of_second_copies": [
        (
            "one distance for all",
            but((".flatten(1).sum(1)", ".sum()")),
            "raised IndexError",
            "keep a distance for each of the M",
        ),
        (
            "distances as indices",
            but(("distances.argsort()", "distances.sort().values")),
            "raised IndexError",
            "argsort",
        ),
        (
            "changes the patch",
            but(
                ("distances =", "patch -= 1\ndistances ="),
                ("(first - patch)", "(first - patch - 1)"),
            ),
            "numbers are right",
            "changed its input: patch",
        ),
    ],
    "design_matrix": [
        (
            "a slice that ends at the height",
            but(("u : u + height, v : v + width", "u:height, v:width")),
            "raised RuntimeError",
            "has H rows wherever u begins",
        ),
        (
            "always one pixel of frame",
            but(("(size // 2,) * 4", "(1,) * 4")),
            "It is right on",
            "if the frame is size // 2 wide",
        ),
        ("mirrored", but(("replicate", "reflect")), "with mode='replicate'"),
        (
            "float64 always",
            but(("height, width = x", "x = x.double()\nheight, width = x")),
            "should be torch.float32",
        ),
    ],
    "fit_filter": [
        (
            "arguments of solve exchanged",
            "return torch.linalg.solve(A.T @ t, A.T @ A)",
            "the matrix comes first",
        ),
        ("not square", "return torch.linalg.solve(A, t)", "raised RuntimeError", "multiply both"),
        ("three times too large", "return 3 * torch.linalg.solve(A.T @ A, A.T @ t)", "factor of 3"),
    ],
    "linear_backward": [
        (
            "a factor 3",
            "return grad_output @ weight, 3 * grad_output.T @ x",
            "grad_weight is off by a constant factor of 3",
        ),
        ("one value only", "return grad_output @ weight", "Expected 2 values", "grad_weight"),
        (
            "changes grad_output",
            """
            grad_output.mul_(2)
            return grad_output @ weight / 2, grad_output.T @ x / 2
            """,
            "changed its input: grad_output",
        ),
    ],
    "numerical_gradient": [
        (
            "the function given a copy",
            but(("above = function().item()", "above = function(x).item()")),
            "raised TypeError",
            "`function` takes nothing",
        ),
        (
            "goes down one step only",
            but(
                ("= before + step", "+= step"),
                ("= before - step", "-= step"),
                ("flat[k] = before\n", "pass\n"),
            ),
            "f(x)",
            "x - step",
        ),
        (
            "last entry left out",
            but(("flat.numel()", "flat.numel() - 1")),
            "what a right one would give with a loop that leaves out the last step",
        ),
        (
            "flat result",
            but(("return gradient", "return gradient.view(-1)")),
            "numbers are right",
            "shape is missing",
            "reshape",
        ),
        (
            "float32 result",
            but(("torch.zeros_like(x)", "torch.zeros(x.shape)")),
            "torch.float32",
            "should be torch.float64",
            "zeros_like",
        ),
        (
            "x left changed at the end",
            but(("return gradient", "x += step\nreturn gradient")),
            "changed its input: x",
        ),
    ],
    "pixel_sample": [
        (
            "sizes divided",
            but(("height // k, width // k", "height / k, width / k")),
            "raised TypeError",
            "divide them with `//`",
        ),
        (
            "the whole choice",
            but(("block.flatten(1)[:, choice[i, j]]", "block[:, choice // k, choice % k]")),
            "raised RuntimeError",
            "that of block (i, j) is wanted here",
        ),
    ],
    "descend": [
        (
            "the product the other way round",
            but(("grad.T @ x", "x.T @ grad")),
            "A gradient has the shape of its tensor",
        ),
    ],
    "Linear": [
        (
            "weight not transposed in forward",
            but(("self.weight.T", "self.weight")),
            "x (N, I) times the transposed weight",
        ),
        (
            "bias summed over the outputs",
            but(("grad_output.sum(0)", "grad_output.sum(1)")),
            "what a right one would give with dimension 1 in place of 0 in `sum`.",
        ),
        (
            "gradients without self",
            but(("self.weight_grad +=", "weight_grad +=")),
            "raised UnboundLocalError",
            "what the module keeps is `self.name`",
        ),
        (
            "nothing returned by backward",
            but(("return grad_output @ self.weight", "grad_output @ self.weight")),
            "grad_x is nothing (None)",
            "end in a `return`",
        ),
    ],
    "gradient_check": [
        ("list", but(("torch.stack(errors)", "errors")), "should be a tensor, got a list"),
        (
            "no forward",
            but(("module.forward(x)\n", "pass\n")),
            "Call module.forward(x) before module.backward(v).",
        ),
        ("the largest alone", but(("torch.stack(errors)", "max(errors)")), "one sum or mean"),
        ("the first alone", but(("torch.stack(errors)", "errors[0]")), "several are asked for"),
        (
            "a function of many values",
            but(("(module.forward(x) * v).sum()", "module.forward(x) * v")),
            "raised RuntimeError",
            "want a function with one value",
        ),
        (
            "a value for a function",
            but(("lambda: (module", "(module")),
            "'Tensor' object is not callable",
            "`lambda: ...`",
        ),
    ],
    "adjoint_gap": [
        (
            "a product of vectors",
            "return torch.dot(forward(x), y) - torch.dot(x, transposed(y))",
            "multiply entry by entry",
        ),
        (
            "matrix products",
            "return forward(x) @ y - x @ transposed(y)",
            "“windows of pictures, half of fold”",
            "multiply entry by entry",
        ),
        ("a number", "return 0.5", "should be a tensor, got a float"),
    ],
    "conv2d_loops": [
        (
            "row and column exchanged",
            but(("x[n, c, row, column]", "x[n, c, column, row]")),
            "raised IndexError",
            "x [n, c, row, column]",
        ),
        (
            "outside not skipped",
            but(("0 <= row < H and 0 <= column < W", "True")),
            "raised IndexError",
            "add only where 0 <= row < H",
        ),
        ("float32 result", but((", dtype=x.dtype", "")), "should be torch.float64"),
    ],
    "UpsampleConv": [
        (
            "windows of the small picture",
            but(
                ("self.large = upsample_forward", "self.x = x\n    self.large = upsample_forward"),
                ("unfold(self.large", "unfold(self.x"),
            ),
            "raised RuntimeError",
            "does unfold cut the same one",
        ),
        (
            "stride and padding exchanged",
            but(("self.bias, 1, self.padding", "self.bias, self.padding, 1")),
            "Look at the order: conv2d_forward(x, weight, bias, stride, padding)",
        ),
        (
            "other names of the gradients",
            but(("self.weight_grad", "self.grad_weight"), ("self.bias_grad", "self.grad_bias")),
            "raised ValueError",
            "give them these names",
        ),
        (
            "the convolution left out of backward",
            but(
                (
                    "conv2d_input_grad(grad_output, self.weight, size, 1, self.padding)",
                    "grad_output",
                )
            ),
            "upsample_backward wants the gradient of the large picture",
        ),
        (
            "nothing returned by backward",
            but(("return upsample_backward", "upsample_backward")),
            "grad_x is nothing (None)",
        ),
        (
            "size of the output",
            but(
                (
                    "size = self.weight.shape[2:], self.large",
                    "size = self.weight.shape[2:], grad_output",
                )
            ),
            "conv2d_input_grad needs its size",
        ),
    ],
    "stamp_row": [
        (
            "size of a convolution",
            but(("(len(x) - 1) * stride + k", "(len(x) - k) // stride + 1")),
            "It ends where the last stamp ends",
        ),
        (
            "row too short",
            but(("(len(x) - 1) * stride + k", "len(x) * stride")),
            "It ends where the last stamp ends",
        ),
    ],
    "output_size": [
        (
            "true division",
            "return (size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1",
            "should be an int, got a float",
            "`//`",
        ),
        (
            "printed",
            "print((size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)",
            "returned nothing (None)",
            "end in a `return`",
        ),
    ],
    "conv2d_forward": [
        (
            "height and width of the window exchanged",
            but(
                ("unfold(x, kernel", "unfold(x, (kernel[1], kernel[0])"),
                ("unflatten(2, (rows, -1))", "reshape(len(x), len(weight), rows, -1)"),
            ),
            "takes the window as (kH, kW)",
        ),
        (
            "padding forgotten in unfold only",
            but((", padding=padding", "")),
            "unflatten",
            "H' is (H + 2 * padding - kH) // stride + 1",
        ),
        (
            "kernel transposed",
            but(("weight[o])", "weight[o].transpose(1, 2))"), of=LOOPS),
            "Rows and columns of the kernel are swapped",
        ),
        ("bias added to the last dimension", but(("bias[:, None]", "bias")), "bias", "(O, 1)"),
        (
            "last place left out",
            but(("// stride + 1", "// stride"), of=LOOPS),
            "row",
            "column",
            "too few",
            "+ 1",
        ),
        (
            "loops one short",
            but(("range(columns)", "range(columns - 1)"), of=LOOPS),
            "last column",
            "loop",
        ),
        (
            "places not given rows and columns",
            but((".unflatten(2, (rows, -1))", "")),
            "numbers are right",
            "reshape",
        ),
        (
            "square windows only",
            but(("kernel = weight.shape[2:]", "kernel = weight.shape[2], weight.shape[2]")),
            "“window not square”",
            "raised RuntimeError",
            "weight (2, 3, 2, 3)",
        ),
        (
            "square windows only, in loops",
            but(
                ("outputs, channels, k_h, k_w", "outputs, channels, k_h, _"),
                ("k_w", "k_h"),
                of=LOOPS,
            ),
            "“window not square”",
            "raised",
        ),
        (
            "float32 result",
            but(("columns, dtype=x.dtype", "columns"), of=LOOPS),
            "torch.float32",
            "should be torch.float64",
        ),
    ],
    "conv2d_weight_grad": [
        (
            "windows not transposed",
            "return (grad_output.flatten(2) @ windows).sum(0).view(weight_shape)",
            "raised RuntimeError",
            "transpose the windows",
        ),
        (
            "summed over the outputs",
            "return (grad_output.flatten(2) @ windows.transpose(1, 2)).sum(1).view(weight_shape)",
            "raised RuntimeError",
            "over the batch N",
        ),
    ],
    "conv2d_input_grad": [
        (
            "places not flattened",
            but(("grad_output.flatten(2)", "grad_output")),
            "And grad_output flattened?",
        ),
        (
            "the mean where windows overlap, 0 / 0 where there is none",
            """
            def spread(windows):
                return fold(windows, size, weight.shape[2:], stride=stride, padding=padding)
            windows = weight.flatten(1).T @ grad_output.flatten(2)
            return spread(windows) / spread(torch.ones_like(windows))
            """,
            "it takes their mean where a sum belongs",
            "not a number (nan) in the case “stride 2, with a rest”",
            "the first at image 0, channel 0, row 0, column 6",
            "0 / 0 is nan",
        ),
        (
            "right but for 0 / 0 where there is no window",
            """
            def spread(windows):
                return fold(windows, size, weight.shape[2:], stride=stride, padding=padding)
            windows = weight.flatten(1).T @ grad_output.flatten(2)
            count = spread(torch.ones_like(windows))
            return spread(windows) / count * count
            """,
            "Some values of the result are not a number (nan)",
            "row 0, column 6; all others are right.",
            "It is right on “one channel, one image”",
        ),
        (
            "padding forgotten in fold",
            but((", padding=padding", "")),
            "“padding 1, float32”",
            "raised RuntimeError",
            "compare all four",
        ),
        (
            "stride forgotten in fold",
            but((" stride=stride,", "")),
            "“stride 2, with a rest”",
            "raised RuntimeError",
            "the stride",
        ),
        (
            "weight not transposed",
            but(("weight.flatten(1).T", "weight.flatten(1)")),
            "raised RuntimeError",
            "Is the weight transposed?",
        ),
        (
            "convolved with more padding, kernel not flipped",
            """
            more = (weight.shape[2] - 1 - padding, weight.shape[3] - 1 - padding)
            windows = unfold(grad_output, weight.shape[2:], padding=more)
            return (weight.transpose(0, 1).flatten(1) @ windows).unflatten(2, (size[0], -1))
            """,
            "kernel is flipped",
            "padding kH - 1",
        ),
        (
            "float32 result",
            but(("grad_output.new_zeros", "torch.zeros"), of=SCATTER),
            "torch.float32",
            "should be torch.float64",
        ),
        (
            "changes grad_output",
            but(
                (
                    "grad = grad_output.flatten(2)",
                    "grad_output *= 2\ngrad = grad_output.flatten(2) / 2",
                )
            ),
            "changed its input: grad_output",
        ),
    ],
    "upsample_forward": [
        (
            "a view",
            "n, c, h, w = x.shape\nreturn x.view(n, c, scale * h, scale * w)",
            "raised RuntimeError",
            "they have to be copied",
        ),
        (
            "expanded",
            "n, c, h, w = x.shape\nreturn x.expand(n, c, scale * h, scale * w)",
            "expand repeats what has the size 1",
        ),
        (
            "the place in a block for the place of the block",
            """
            n, c, h, w = x.shape
            output = x.new_zeros(n, c, scale * h, scale * w)
            for i in range(scale * h):
                for j in range(scale * w):
                    output[:, :, i, j] = x[:, :, i % scale, j % scale]
            return output
            """,
            "raised IndexError",
            "Which of its rows is row i of y a copy of?",
        ),
        (
            "float32 result",
            """
            n, c, h, w = x.shape
            output = torch.zeros(n, c, scale * h, scale * w)
            for i in range(scale * h):
                for j in range(scale * w):
                    output[:, :, i, j] = x[:, :, i // scale, j // scale]
            return output
            """,
            "torch.float32",
            "should be torch.float64",
        ),
        (
            "remainder instead of quotient",
            """
            n, c, h, w = x.shape
            output = x.new_zeros(n, c, scale * h, scale * w)
            for i in range(scale * h):
                for j in range(scale * w):
                    output[:, :, i, j] = x[:, :, i % h, j % w]
            return output
            """,
            "tiled",
        ),
    ],
    "upsample_backward": [
        (
            "one sum after the other",
            but((".sum((3, 5))", ".sum(3).sum(5)")),
            "raised IndexError",
            "those behind it count one less",
        ),
        (
            "float32 result",
            """
            n, c, h, w = grad_output.shape
            grad = torch.zeros(n, c, h // scale, w // scale)
            for i in range(h):
                for j in range(w):
                    grad[:, :, i // scale, j // scale] += grad_output[:, :, i, j]
            return grad
            """,
            "torch.float32",
            "should be torch.float64",
        ),
    ],
    "relu_backward": [
        ("mask only, bool", "return output > 0", "mask", "forgot grad_output"),
        ("relu again", "return torch.relu(grad_output)", "sign of grad_output"),
        (
            "changes grad_output",
            """
            grad_output[output <= 0] = 0
            return grad_output
            """,
            "numbers are right",
            "changed its input: grad_output",
        ),
        (
            "changes output",
            """
            output[output > 0] = 1
            return grad_output * output
            """,
            "numbers are right",
            "changed its input: output",
        ),
        (
            "if of a tensor",
            """
            if output > 0:
                return grad_output
            return 0 * grad_output
            """,
            "raised RuntimeError",
            "torch.where",
        ),
        ("no return", "grad_output * (output > 0)", "returned nothing (None)", "end in a `return`"),
    ],
    "sigmoid_forward": [
        (
            "clamped in place",
            "return torch.exp(x.clamp_(max=0)) / (1 + torch.exp(-x.abs()))",
            "where x is positive",
            "changed its input, x",
            "first",
        ),
        (
            "float32 result",
            """
            output = torch.zeros(x.shape)
            positive = x >= 0
            output[positive] = (1 / (1 + torch.exp(-x[positive]))).float()
            output[~positive] = (torch.exp(x[~positive]) / (1 + torch.exp(x[~positive]))).float()
            return output
            """,
            "torch.float32",
            "should be torch.float64",
        ),
        ("math.exp", "return 1 / (1 + math.exp(-x))", "raised", "torch.exp"),
    ],
    "sigmoid_backward": [
        (
            "formula of x",
            "return grad_output * torch.exp(-output) / (1 + torch.exp(-output)) ** 2",
            "sigmoid a second time",
            "not x",
        ),
        (
            "changes output",
            """
            output *= 1 - output
            return grad_output * output
            """,
            "numbers are right",
            "changed its input: output",
        ),
        ("assigned only", "grad_input = grad_output * output * (1 - output)", "returned nothing"),
    ],
    "mse_backward": [
        ("not called", but(("numel()", "numel")), "it needs parentheses"),
        (
            "changes output",
            """
            output -= target
            return 2 / output.numel() * output
            """,
            "numbers are right",
            "changed its input: output",
        ),
    ],
    "sequential_backward": [
        (
            "result dropped",
            """
            for module in reversed(modules):
                module.backward(grad_output)
            return grad_output
            """,
            "returns grad_output as it came",
        ),
        (
            "run backwards twice",
            """
            for module in reversed(modules):
                module.backward(grad_output)
                grad_output = module.backward(grad_output)
            return grad_output
            """,
            "gradients of its parameters again",
        ),
        (
            "all gradients in a list",
            """
            grads = [grad_output]
            for module in reversed(modules):
                grads.append(module.backward(grads[-1]))
            return grads
            """,
            "should be a tensor, got a list",
        ),
        (
            "index too large",
            """
            for i in range(len(modules), 0, -1):
                grad_output = modules[i].backward(grad_output)
            return grad_output
            """,
            "raised IndexError",
            "a list of 1",
            "len(modules) - 1",
        ),
        (
            "starts at the last without looking",
            """
            grad = modules[-1].backward(grad_output)
            for module in reversed(modules[:-1]):
                grad = module.backward(grad)
            return grad
            """,
            "“no module”",
            "grad_output",
        ),
        (
            "turned round in place",
            """
            for module in modules.reverse():
                grad_output = module.backward(grad_output)
            return grad_output
            """,
            "raised TypeError",
            "go through reversed(...)",
        ),
        (
            "called with no argument",
            """
            for module in reversed(modules):
                grad_output = module.backward()
            return grad_output
            """,
            "raised TypeError",
            "grad_output",
        ),
    ],
    "xavier_std": [
        (
            "a tensor",
            FANS + "return torch.tensor(2 / (fan_in + fan_out)).sqrt()",
            "should be a float, got a tensor",
            ".item()",
        ),
        (
            "torch.sqrt of a number",
            FANS + "return torch.sqrt(2 / (fan_in + fan_out))",
            "raised TypeError",
            "math.sqrt",
        ),
    ],
    "sgd_step": [
        (
            "new list returned",
            "return [(parameter - lr * grad, grad) for parameter, grad in params]",
            "parameters did not change",
            "in place",
        ),
        (
            "list written",
            """
            for i, (parameter, grad) in enumerate(params):
                params[i] = (parameter - lr * grad, grad)
            """,
            "parameters did not change",
            "list params",
            "in place",
        ),
        (
            "a slice",
            but(("parameter.sub_(lr * grad)", "parameter[:] = parameter - lr * grad")),
            "raised IndexError",
            "no dimension",
        ),
        ("a dictionary", but(("in params", "in params.items()")), "takes each apart"),
        (
            "the attribute of autograd",
            """
            for parameter, _ in params:
                parameter -= lr * parameter.grad
            """,
            "raised TypeError",
            "second",
            "pair",
        ),
    ],
    "train": [
        (
            "the backward of autograd",
            but(("criterion.backward()", "loss.backward()")),
            "raised RuntimeError",
            "Autograd is off",
        ),
        (
            "two backwards",
            but(("criterion.backward()", "network.backward(criterion.backward())")),
            "no other backward",
        ),
    ],
    "surviving_part": [
        (
            "made once more",
            but(("activation.forward(x)", "activation().forward(x)")),
            "is a module already",
        ),
        ("no gradient", but(("backward(torch.ones_like(x))", "backward()")), "torch.ones_like(x)"),
    ],
    "ELU": [("no return", but(("return self.output\n", "pass\n")), "Does forward end in")],
    "fit_curve": [
        ("all that lstsq returns", but((".solution", "")), "its `.solution`"),
    ],
    "mse_forward": [
        ("a hat", "return ((output - target) ^ 2).mean()", "`^` is no power"),
        (
            "a layer of the library",
            "from n2n_lib import MSELoss\nreturn MSELoss()(output, target)",
            "`losses of n2n_lib`",
        ),
    ],
    "Sequential": [
        (
            "a generator",
            but(("return pairs", "return iter(pairs)")),
            "no list",
            "end in a `return`",
        ),
        ("no return", but(("return pairs", "pass")), "no list, but NoneType"),
        (
            "the names of a layer",
            but(("pairs += module.param()", "pairs.append((module.weight, module.weight_grad))")),
            "ask each of them",
        ),
        ("itself", but(("return pairs", "return self.param()")), "calls itself"),
        (
            "turned round in place",
            but(("reversed(self.layers)", "self.layers.reverse()")),
            "go through reversed(...)",
        ),
    ],
    "hidden_values": [
        ("not called", but(("module.modules()", "module.modules")), "“nothing hidden” raised"),
    ],
    "transposed_size": [
        ("a float", but(("2 * padding", "padding / 0.5")), "should be an int"),
    ],
    "conv_transpose2d_forward": [
        (
            "padding forgotten in fold",
            but((", padding=padding", "")),
            "raised RuntimeError",
            "fold counts the places",
        ),
        (
            "stride forgotten in fold",
            but((" stride=stride,", "")),
            "raised RuntimeError",
            "fold counts the places",
        ),
        ("weight not transposed", but((".T @", " @")), "Is the weight transposed?"),
    ],
    "conv_transpose2d_input_grad": [
        ("padding forgotten in unfold", but((", padding=padding", "")), "grad_output", "padding"),
        (
            "weight transposed",
            but(("weight.flatten(1)", "weight.flatten(1).T")),
            "raised RuntimeError",
            "the weight first",
        ),
    ],
    "conv_transpose2d_weight_grad": [
        (
            "padding forgotten",
            but((", padding=padding", "")),
            "raised RuntimeError",
            "the stride and the padding of forward",
        ),
        (
            "stride forgotten",
            but((" stride=stride,", "")),
            "raised RuntimeError",
            "the stride and the padding of forward",
        ),
        (
            "windows not transposed",
            but((".transpose(1, 2)", "")),
            "raised RuntimeError",
            "transpose the windows",
        ),
    ],
    "momentum_step": [
        (
            "velocities written into the list",
            """
            for i, (parameter, grad) in enumerate(params):
                velocities[i] = momentum * velocities[i] + grad
                parameter -= lr * velocities[i]
            """,
            "velocities did not change",
            "the list velocities",
        ),
        (
            "the attribute of autograd",
            but(("add_(grad)", "add_(parameter.grad)")),
            "raised TypeError",
            "second of each pair",
        ),
        (
            "no parentheses",
            but(("(parameter, grad), velocity", "parameter, grad, velocity")),
            "raised ValueError",
        ),
        (
            "the whole list",
            but(("velocity.mul_(momentum).add_(grad)", "velocities.mul_(momentum).add_(grad)")),
            "raised AttributeError",
            "zip",
        ),
    ],
    "adagrad_step": [
        (
            "math.sqrt",
            but(("total.sqrt()", "__import__('math').sqrt(total)")),
            "raised",
            "One number is wanted there",
        ),
    ],
    "adam_step": [
        ("hat", but(("beta1**t", "beta1 ^ t")), "raised TypeError", "no power"),
    ],
    "nesterov_step": [
        (
            "velocities written into the list",
            """
            for i, (parameter, grad) in enumerate(params):
                velocities[i] = momentum * velocities[i] + grad
                parameter -= lr * (grad + momentum * velocities[i])
            """,
            "velocities did not change",
            "the list velocities",
        ),
    ],
    "warmup_cosine": [
        (
            "torch.cos of a float",
            but(("math.cos(math.pi * done)", "torch.cos(math.pi * done)")),
            "raised TypeError",
        ),
    ],
    "autocorrelation": [
        (
            "minus lag",
            but(("d[: len(d) - lag]", "d[:-lag]")),
            "raised RuntimeError",
            "At lag 0",
        ),
    ],
    "ScaledResidual": [
        (
            "a list in a list",
            but(("return self.f.param()", "return [self.f.param()]")),
            "with no list around it",
        ),
        (
            "param not called",
            but(("return self.f.param()", "return self.f.param")),
            "called with parentheses",
        ),
        (
            "f never runs forwards",
            but(("x + self.share * self.f(x)", "x + self.share * x")),
            "raised TypeError",
            "f ran backwards before it ran forwards",
        ),
        (
            "share not kept",
            but((" = f, share", " = f, self.share")),
            "raised AttributeError",
        ),
        (
            "the parameters without their gradients",
            but(("return self.f.param()", "return [p for p, _ in self.f.param()]")),
            "raised",
        ),
    ],
    "he_std": [
        (
            "a tensor",
            FANS + "return torch.tensor(2 / ((1 + negative_slope**2) * fan_in)).sqrt()",
            "should be a float, got a tensor",
            ".item()",
        ),
    ],
    "windows": [
        ("a copy", but(("one))", "one)).contiguous()")), "numbers are right", "are a copy"),
        (
            "dilated",
            but(("pixel, line, pixel, one", "pixel, stride * line, stride * pixel, one")),
            "raised RuntimeError",
            "beyond the end of x",
        ),
        ("five steps", but((", one))", "))")), "raised RuntimeError", "six entries"),
    ],
    "shift_and_add": [
        (
            "slice without stride in its end",
            but(("stride * height : stride", "height : stride")),
            "raised RuntimeError",
            "different sizes",
        ),
    ],
    "phase_kernels": [
        ("no dtype", but((", dtype=weight.dtype", "")), "Two dtypes meet"),
    ],
    "concat_backward": [
        (
            "in the middle",
            but(
                (
                    "grad_output[:, :channels], grad_output[:, channels:]",
                    "grad_output.chunk(2, 1)",
                )
            ),
            "not in the middle",
            "grad_output[:, channels:]",
        ),
        ("nothing is split", "return f.backward(grad_output)", "no others"),
    ],
    "Concat": [
        (
            "in the middle",
            but(
                ("[:, : self.channels]", "[:, : grad_output.shape[1] // 2]"),
                ("[:, self.channels :]", "[:, grad_output.shape[1] // 2 :]"),
            ),
            "more channels in the branch",
            "not in the middle",
        ),
        ("no pairs", but(("return self.f.param()", "return []")), "one pair here"),
        ("beside each other in a row", but(("dim=1", "dim=3")), "output"),
    ],
    "unet_level": [
        (
            "always a Concat",
            but(("if deeper is not None:", "if True:")),
            "At the bottom deeper is None",
        ),
        ("a list", but(("return Sequential(layers)", "return layers")), "return Sequential"),
        ("channels", but(("Conv2d(2 * wide, wide, 3", "Conv2d(wide, wide, 3")), "Go down the list"),
    ],
    "receptive_field": [
        ("float", but(("return size", "return float(size)")), "should be an int"),
    ],
    "self_ensemble": [],
    "recorrupt": [
        ("one value", "return noisy + alpha * noise", "2"),
    ],
    "noise_level": [
        ("pairs", but((".values", "")), "values are wanted"),
        (
            "variance",
            but(("middle / (2 * 0.6745)", "(middle / (2 * 0.6745)) ** 2")),
            "the result should be [0.4192], got [",
        ),
        (
            "standard deviation of another difference",
            but(
                ("both.abs().flatten(1).median(dim=1).values", "both.flatten(1).var(dim=1)"),
                ("(2 * 0.6745)", "4"),
            ),
            "got [nan]. Where a result is no number, that comes of",
            "the deviation of a single value",
        ),
    ],
    "clean_up": [
        ("called", but(("network.forward(", "network(")), "run with network.forward"),
        (
            "another dtype",
            but(("part / 255", "part.float() / 255")),
            "should be torch.float64, that of the input, got torch.float32",
            "Leave any `.float()` out",
            "dtype=images.dtype",
        ),
    ],
    "choose_rate": [
        (
            "nan counts as the lowest",
            but(("min(loss for loss in losses if not math.isnan(loss))", "min(losses)")),
            "begins with nan",
        ),
        (
            "nan counts as the lowest, and no rate is left for min and max",
            but(
                ("min(loss for loss in losses if not math.isnan(loss))", "min(losses)"),
                ("floor[0] * floor[-1]", "min(floor) * max(floor)"),
            ),
            "begins with nan",
        ),
    ],
    "adapt": [
        ("one number", but(("return losses", "return sum(losses)")), "expected a list with a loss"),
        (
            "backward of the loss",
            but(("criterion.backward()", "loss.backward()")),
            "Autograd is off",
        ),
        ("not called", but(("draw()", "draw")), "draw"),
        ("backward first", but(("loss = criterion(network(first), second)", "loss = 0")), "loss"),
    ],
    "Chain": [
        (
            "one pair for each module",
            but(
                (
                    "[pair for module in self.modules for pair in module.param()]",
                    "[pair for module in self.modules for pair in module.param()[:1]]",
                )
            ),
            "with two parameters and with none",
        ),
        ("no star", but(("self.modules = modules", "self.modules = modules[0]")), "with the star"),
        ("called", but(("module.forward(x)", "module(x)")), "cannot be called", "module.forward"),
        (
            "the names of a layer",
            but(("for pair in module.param()]", "for pair in [(module.weight, module.bias)]]")),
            "ask each of them",
        ),
        (
            "a generator",
            but(
                (
                    "return [pair for module in self.modules for pair in module.param()]",
                    "return (pair for module in self.modules for pair in module.param())",
                )
            ),
            "a list of pairs",
        ),
    ],
    "Conv": [
        (
            "no gradients at first",
            but(("self.weight_grad, self.bias_grad = ", "unused = ")),
            "__init__ makes",
        ),
    ],
    "small_network": [
        ("a class", but(("first, ReLU()", "first, ReLU")), "make one of it"),
        (
            "a list",
            but(
                (
                    "Chain(first, ReLU(), second, ReLU(), last)",
                    "Chain([first, ReLU(), second, ReLU(), last])",
                )
            ),
            "one by one",
        ),
        ("no return", but(("return Residual", "Residual")), "end in a `return`"),
    ],
    "Residual": [
        ("called", but(("self.f.forward(x)", "self.f(x)")), "run with self.f.forward"),
        ("param not called", but(("self.f.param()", "self.f.param")), "with parentheses"),
        ("param returns nothing", but(("return self.f.param()", "pass")), "a list, that of f"),
    ],
    "train_denoiser": [
        (
            "an index",
            but(
                ("for rate in rates:", "for step in range(len(rates)):"),
                ("network.param(), rate)", "network.param(), rates[step])"),
            ),
            "anything that `for` can go through",
        ),
        ("called", but(("network.forward(", "network(")), "run with network.forward"),
        (
            "the library's zero_grad",
            but(("for _, grad in network.param():\n        grad.zero_()", "network.zero_grad()")),
            "have no zero_grad",
        ),
    ],
    "mean_psnr": [
        ("parts of 4", but(("split(batch)", "split(4)")), "`batch` images at a time"),
        (
            "the mean of bytes",
            but(
                ("(denoise(x) / 255).clamp(0, 1)", "denoise(x).clamp(0, 255)"),
                ("(output - target / 255).square().mean", "(output - target).square().mean"),
                ("1 / errors", "255**2 / errors"),
            ),
            "Got: Byte",
            "divide by 255 first",
        ),
    ],
    "gain": [
        (
            "the settings of one lesson",
            but(("for key in one if key", "for key in ('network', 'optimiser', 'seed') if key")),
            "differ from lesson to lesson",
        ),
        ("quotes", but(("one[factor]", "one['factor']")), "without quotes"),
        (
            "psnr taken out",
            but(('other["psnr"] - one["psnr"]', 'other.pop("psnr") - one.pop("psnr")')),
            "the runs were changed",
            "still needs them as they were",
        ),
        ("the mean alone", but(("0.0), len(gains)", "0.0)")), "Return two values"),
        (
            "nothing without a pair",
            but(("return (sum", "if gains: return (sum")),
            "Without a fair pair return 0.0 and 0",
        ),
        (
            "the best gain, with the words of the case",
            but(("sum(gains) / len(gains)", "max(gains)")),
            "factor = 'optimiser', before = 'sgd', after = 'adam'",
        ),
    ],
    "AdamOptimiser": [
        (
            "zeros like a pair",
            but(("for p, _ in network", "for p in network")),
            "must be Tensor, not tuple",
            "for p, _ in network.param()",
        ),
    ],
    "count_parameters": [
        (
            "compared by value",
            """
            seen = []
            for parameter, _ in network.param():
                if parameter not in seen:
                    seen.append(parameter)
            return sum(parameter.numel() for parameter in seen)
            """,
            "The case “a convolution” raised RuntimeError",
            "compare the values of two tensors",
        ),
    ],
    "score": [
        ("a number", but((".mean()", ".mean().item()")), "got a float", "without `.item()`"),
    ],
    "paired_gain": [
        (
            "truth values",
            but((".to(gains.dtype)", "")),
            "Whole numbers and truth values have no mean",
        ),
        (
            "a quotient of whole numbers",
            but(("(gains > 0).to(gains.dtype).mean()", "(gains > 0).sum() / len(gains)")),
            "got torch.float32",
            "`.to(ones.dtype)`",
        ),
    ],
    "to_mosaic": [
        (
            "whole planes",
            but(("image[0, 0::2, 0::2]", "image[0]"), ("image[2, 1::2, 1::2]", "image[2]")),
            "the same slice on both",
        ),
        (
            "channels last",
            but(
                ("image[1].", "image[..., 1]."),
                ("image[0, 0::2, 0::2]", "image[0::2, 0::2, 0]"),
                ("image[2, 1::2, 1::2]", "image[1::2, 1::2, 2]"),
            ),
            "the colour is the first of its three indices",
        ),
    ],
    "interpolate_green": [
        (
            "no batch",
            but(("pad(raw[None, None]", "pad(raw"), (")[0, 0]", ")")),
            "give it raw[None, None]",
        ),
    ],
    "level_by_brightness": [
        (
            "a list",
            but(("torch.stack(levels)", "levels")),
            "got a list",
            "`torch.stack` makes a tensor",
        ),
    ],
    "sum_to": [("only a view", "return grad.view(shape)", "has not as many values")],
    "Tape": [
        ("nothing recorded", but(("return output", "pass")), "does it end in `return output`?"),
        (
            "a dead end",
            but(("if result.grad is None:\n            continue\n        ", "")),
            "pass over such an entry",
        ),
    ],
    "frame_patches": [
        (
            "the second number of a slice is its size",
            but(("row : row + size, column : column + size", "row:size, column:size")),
            "A slice ends at row + size",
        ),
        (
            "three channels",
            but(
                ("first = frame1[:,", "first = frame1[[0, 1, 2],"),
                ("second = frame2[:,", "second = frame2[[0, 1, 2],"),
            ),
            "two patches of one channel",
        ),
    ],
    "mean_gradient": [
        ("stacked", "return torch.stack(grads)", "Wrong shape"),
        (
            "in place",
            """
            grads[0] *= counts[0] / sum(counts)
            for grad, count in zip(grads[1:], counts[1:]):
                grads[0] += count / sum(counts) * grad
            return grads[0]
            """,
            "grads",
        ),
    ],
    "ring_seconds": [
        ("a string", "return 'long'", "Wrong type"),
    ],
}


@pytest.mark.parametrize(
    "name, answer, words",
    [
        pytest.param(name, answer, words, id=f"{name}: {what}")
        for name, answers in FURTHER.items()
        for what, answer, *words in answers
    ],
)
def test_a_wrong_answer_is_explained(name: str, answer: Answer, words: list[str], capsys):
    message = judge(name, student(name, answer))
    missing = [part for part in words if part not in message]
    assert not missing, message
    check_message(name, message)
    check_table(name, capsys.readouterr().out)


def test_arguments_that_a_function_lacks_are_not_taken_for_those_of_a_method():
    message = judge("Conv", student("Conv", but(("self.bias, 1, 1)", "self.bias)"))))
    assert message.endswith("missing 2 required positional arguments: 'stride' and 'padding'.")


def check_message(name: str, message: str) -> None:
    """It is one line of whole sentences, and not too long."""
    assert re.fullmatch(rf"{name}: [^\n]+[.?)]", message)
    assert "  " not in message and not re.search(r"(?<!\.)\.\.(?!\.)", message)
    assert len(message) < 800


VERDICTS = {
    "right",
    "raised",
    "input changed",
    "not finite",
    "wrong count",
    "wrong dtype",
    "wrong number",
    "wrong numbers",
    "wrong shape",
    "wrong type",
    "not allowed",
}


def check_table(name: str, printed: str) -> None:
    """Whatever the student's function printed before it, the table is whole and not too wide."""
    lines = printed.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("case "))
    header, *rows = lines[start:]
    assert header.split() == ["case", "expected", "got", "verdict"]
    verdicts = [row[header.index("verdict") :] for row in rows]
    assert len(verdicts) >= len(EXERCISES[name].cases)
    assert set(verdicts) <= VERDICTS and set(verdicts) != {"right"}
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("name", sorted({"conv2d_forward", "sgd_step"}))
def test_an_edit_of_what_is_not_there_is_refused(name: str):
    with pytest.raises(ValueError, match="expected 'not in it' in the text to edit, got"):
        EXERCISES[name].function_of(but(("not in it", "")))


# ------------------------------------------------------------------------------ the lessons


def test_every_exercise_is_in_the_lesson_of_its_topic_and_every_check_has_an_exercise():
    for name, exercise in EXERCISES.items():
        assert PLACES[name].lesson.stem == stem_of(exercise.topic)
        assert getattr(check, name) is exercise and exercise.name == name
        assert exercise.title and "\n" not in exercise.title and len(exercise.title) <= 60
        assert len(set(exercise.hints)) == 3, name
        assert all(h.endswith((".", "?")) and len(h) <= 320 for h in exercise.hints), name
    assert set(PLACES) == set(EXERCISES)
    others = {"CheckFailed", "EXERCISES", "answers", "case", "go_on_with", "hint"}
    others |= {"mine", "predicted", "progress", "save_numbers", *check.HAND_INS}
    assert set(check.__all__) == others | set(EXERCISES)


def test_every_lesson_is_in_the_table_of_topics():
    assert [path.stem for path in LESSONS] == [stem_of(topic) for topic in TOPICS]
    with pytest.raises(ValueError):
        number_of("cooking")


def test_every_solution_of_a_lesson_is_checked():
    solutions = sum(
        bool(SOLUTION.search(cell.source))  # a class may have one in each method
        for path in LESSONS
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code"
    )
    assert solutions == len(PLACES) + len(check.HAND_INS) >= 15


@every_exercise
def test_the_lesson_asks_for_the_arguments_of_the_cases(name: str):
    exercise = EXERCISES[name]
    arguments = parameters(exercise.solution)
    assert parameters(student(name)) == arguments
    for method in vars(exercise.solution) if exercise.kind == "class" else ():
        if not method.startswith("_"):
            ours, theirs = getattr(exercise.solution, method), getattr(student(name), method)
            assert not callable(ours) or parameters(theirs) == parameters(ours)
    for case in exercise.cases:
        assert list(case.arguments) == (parameters(exercise.use)[1:] if exercise.use else arguments)


def parameters(function: Callable) -> list[str]:
    return list(inspect.signature(function).parameters)


@every_exercise
def test_the_grader_can_send_how_an_answer_is_used(name: str):
    exercise = EXERCISES[name]
    assert pickle.loads(pickle.dumps(exercise.use)) is exercise.use
    assert exercise.use or exercise.kind == "function"


@every_exercise
def test_a_check_says_what_it_wants(name: str):
    """It is what ``check.NAME?`` shows."""
    call = f"Check ``{name}({', '.join(parameters(EXERCISES[name].solution))})"
    assert inspect.getdoc(getattr(check, name)).startswith(call)
    assert repr(getattr(check, name)) == f"<check of {name}>"


def is_right(name: str, function: Callable, capsys) -> None:
    assert getattr(check, name)(function) is None
    first, *others = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"{function.__name__}: right, \d+ cases\.", first)
    if others:  # made by this test, so it has no source that could be kept
        assert others[0].startswith(f"{name}: right, but it cannot be collected")


@every_exercise
def test_the_solution_of_the_lesson_is_right(name: str, capsys):
    is_right(name, student(name), capsys)


@pytest.mark.parametrize(
    "name, answer",
    {
        (name, answer.of)
        for name, exercise in EXERCISES.items()
        for mistake in exercise.mistakes
        for answer in mistake.answers
        if isinstance(answer, Edit) and answer.of
    },
)
def test_what_a_mistake_is_an_edit_of_is_right(name: str, answer: str, capsys):
    is_right(name, student(name, answer), capsys)


@pytest.mark.parametrize("optimiser", ["Adam(network, 1e-3)", "SGD(network, 0.3)"])
def test_a_network_may_be_trained_with_another_rate(optimiser: str, capsys):
    body = (
        "from n2n_lib import SGD\n"
        f"criterion, optimiser = MSELoss(network), {optimiser}\n"
        "source, losses = torch.Generator().manual_seed(seed), []\n"
        "for step in range(steps):\n"
        "    rows = torch.randint(len(noisy1), (8,), generator=source)\n"
        "    losses.append(float(criterion(network(noisy1[rows]), noisy2[rows])))\n"
        "    optimiser.zero_grad()\n"
        "    criterion.backward()\n"
        "    optimiser.step()\n"
        "return losses"
    )
    if "Adam" in optimiser:  # the usual rate, falling along a cosine
        falls = "    optimiser.lr = 1e-3 * (1 + math.cos(math.pi * step / steps)) / 2\n"
        body = body.replace("    optimiser.zero", falls + "    optimiser.zero")
    is_right("train_network", student("train_network", body), capsys)


@every_exercise
def test_what_is_not_written_yet_is_no_reason_for_a_hint(name: str, capsys):
    for _ in range(3):
        message = judge(name, untouched(name))
        assert message == f"{name}: not written yet. {TO_WRITE.format(name=name)}"
        assert "Hint" not in message and f'check.hint("{name}")' in message
    assert capsys.readouterr().out == ""


def missing_kernel(x):
    return x > torch.ones(2, 2, dtype=torch.bool) @ torch.ones(2, 2, dtype=torch.bool)


def missing_method(x):
    return Module().forward(x)


def missing_part(x):
    def of_the_sign(x):
        if x.min() < 0:
            raise NotImplementedError("negative numbers")
        return x

    return of_the_sign(x)


def again(x):
    try:
        return missing_kernel(x)
    except NotImplementedError:
        raise


@pytest.mark.parametrize("answer", [missing_kernel, missing_method, missing_part, again])
def test_what_is_missing_elsewhere_is_no_missing_answer(answer: Callable):
    message = judge("sigmoid_forward", lambda x: answer(x))
    assert "raised NotImplementedError" in message and "not written yet" not in message


def empty(*arguments):
    """Answer another exercise, which is still empty."""
    raise NotImplementedError  # your code, in place of this line


def half_written(x):
    if x.min() < 0:
        raise NotImplementedError("negative numbers")
    return student("sigmoid_forward")(x)


@pytest.mark.parametrize("answer", [empty, half_written, lambda x: 1 - empty(x)])
def test_an_answer_that_stops_at_the_line_of_an_empty_one_is_not_written(answer: Callable):
    assert "not written yet" in judge("sigmoid_forward", answer)


@every_exercise
def test_hints_come_from_the_second_failure_on_until_it_is_right(name: str, capsys):
    def first_mistake(name: str) -> Callable:
        return student(name, EXERCISES[name].mistakes[0].answers[0])

    wrong = first_mistake(name)
    hints = [f"\nHint: {hint}" for hint in EXERCISES[name].hints]
    first = judge(name, wrong)
    assert "Hint" not in first
    for hint in [*hints, hints[-1]]:
        assert judge(name, wrong) == first + hint
    other = "xavier_std" if name != "xavier_std" else "mse_backward"
    assert "Hint" not in judge(other, first_mistake(other))
    getattr(check, name)(student(name))
    assert judge(name, wrong) == first
    assert judge(name, wrong) == first + hints[0]


@pytest.fixture
def two_hints_left(monkeypatch) -> None:
    monkeypatch.setattr(EXERCISES["psnr"], "hints", ("One?", "Two.", "`three`."))
    monkeypatch.setattr(EXERCISES["psnr"], "asked", 0)


@pytest.mark.usefixtures("two_hints_left")
def test_a_hint_is_given_to_whoever_asks_the_next_at_each_call(capsys):
    def psnr(output, target): ...

    for asked in ("psnr", check.psnr, psnr, check.go_on_with(psnr)):
        check.hint(asked)
    check.hint("psnr", 2)
    check.hint("psnr")
    shown = [line for line in capsys.readouterr().out.splitlines() if "hint" in line]
    texts = ["1 of 3: One?", "2 of 3: Two.", *["3 of 3: `three`."] * 2]
    texts += ["2 of 3: Two.", "3 of 3: `three`."]
    assert shown == [f"psnr, hint {text}" for text in texts]


@pytest.mark.usefixtures("two_hints_left")
@pytest.mark.parametrize(
    "arguments, words",
    [
        (("relu_foward",), "'relu_foward'; is relu_forward meant?"),
        ((3,), "got 3$"),
        (("psnr", 0), "psnr: expected a hint from 1 to 3, got 0"),
        (("psnr", 4), "psnr: expected a hint from 1 to 3, got 4"),
    ],
)
def test_a_hint_that_there_is_not_is_refused(arguments: tuple, words: str):
    with pytest.raises(ValueError, match=words):
        check.hint(*arguments)


@every_exercise
@pytest.mark.parametrize("value", [None, 3, torch.zeros(2)], ids=["None", "int", "tensor"])
def test_anything_but_a_function_is_refused(name: str, value):
    kind = type(value).__name__
    wanted = f"expected the {EXERCISES[name].kind} {name} itself"
    message = rf"{wanted}, as in check.{name}\({name}\), got {kind}$"
    with pytest.raises(TypeError, match=message):
        getattr(check, name)(value)


# ------------------------------------------------------------------------------ what torch says


def pulled_back(forward: Callable, leaves: tuple[Tensor, ...], grad_output: Tensor):
    """Return the gradients of the leaves by autograd, one alone or a tuple."""
    with torch.enable_grad():
        leaves = tuple(leaf.clone().requires_grad_() for leaf in leaves)
        grads = torch.autograd.grad(forward(*leaves), leaves, grad_output)
    return grads if len(grads) > 1 else grads[0]


def differences(function, x, step):
    """Central differences of a function that reads x, from copies of x."""
    gradient, before = torch.zeros_like(x), x.clone()
    for place in itertools.product(*map(range, x.shape)):
        one = torch.zeros_like(x)
        one[place] = step
        above = function_at(function, x, before + one)
        gradient[place] = (above - function_at(function, x, before - one)) / (2 * step)
    x.copy_(before)
    return gradient


def function_at(function, x, other):
    x.copy_(other)
    return function()


def reach(layers):
    """Count the pixels that one output of a chain of convolutions depends on."""

    def chain(x):
        for kernel, stride in layers:
            x = functional.conv1d(x, torch.ones(1, 1, kernel), stride=stride)
        return x[..., 0]

    return int(pulled_back(chain, (torch.zeros(1, 1, 64),), torch.ones(1, 1)).count_nonzero())


def mean_of_views(denoise, noisy):
    """Turn by transposing and mirroring, each of which undoes itself."""
    total = torch.zeros_like(noisy)
    for transposed, dims in itertools.product((False, True), ((), (-2,), (-1,), (-2, -1))):
        image = noisy.transpose(-1, -2) if transposed else noisy
        result = denoise(image.flip(dims)).flip(dims)
        total += result.transpose(-1, -2) if transposed else result
    return total / 8


def cut_by_unfold(x, kernel, stride):
    windows = functional.unfold(x.permute(0, 3, 1, 2), kernel, stride=stride)
    rows = (x.shape[1] - kernel) // stride + 1
    windows = windows.unflatten(1, (-1, kernel, kernel)).unflatten(4, (rows, -1))
    return windows.permute(0, 4, 5, 2, 3, 1)


def add_by_fold(products, stride):
    n, h, w, k, _, o = products.shape
    columns = products.permute(0, 5, 3, 4, 1, 2).reshape(n, o * k * k, h * w)
    size = ((h - 1) * stride + k, (w - 1) * stride + k)
    return functional.fold(columns, size, k, stride=stride).permute(0, 2, 3, 1)


def kernels_by_probing(weight):
    """Send each small pixel by itself through the layer as it is."""
    outputs, channels = weight.shape[:2]
    kernels = weight.new_zeros(2, 2, outputs, channels, 2, 2)
    for c, a, b in itertools.product(range(channels), range(-1, 2), range(-1, 2)):
        x = weight.new_zeros(1, channels, 3, 3)
        x[0, c, 1 + a, 1 + b] = 1
        big = functional.interpolate(x, scale_factor=2)
        y = functional.conv2d(big, weight, padding=1)[0]  # (O, 6, 6)
        for p, q in itertools.product(range(2), range(2)):
            if 0 <= a + 1 - p < 2 and 0 <= b + 1 - q < 2:
                kernels[p, q, :, c, a + 1 - p, b + 1 - q] = y[:, 2 + p, 2 + q]
    return kernels


def rate_by_torch(step, steps, warmup):
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    parts = [
        torch.optim.lr_scheduler.LinearLR(optimiser, 1 / (warmup + 1), total_iters=warmup),
        torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps - warmup),
    ]
    schedule = torch.optim.lr_scheduler.SequentialLR(optimiser, parts, milestones=[warmup])
    for _ in range(step):
        optimiser.step()
        schedule.step()
    return optimiser.param_groups[0]["lr"]


def ends_of_the_floor(smallest, largest):
    """Solve root(lr a) = 1 - root(mu) and 1 + root(mu), which is linear in both roots."""
    roots = torch.tensor([[smallest, 1], [largest, 1]], dtype=torch.float64).sqrt()
    lr, mu = torch.linalg.solve(
        roots * torch.tensor([1, 1, 1, -1]).view(2, 2), torch.ones(2, 1).double()
    )
    return lr.item() ** 2, mu.item() ** 2


def correlate(d, lags):
    d = d - d.mean()
    r = functional.conv1d(functional.pad(d, (0, lags - 1))[None, None], d[None, None]).flatten()
    return r / r[0]


def steps_of_adam(network, lr, betas, eps, grads):
    params = [parameter.clone() for parameter, _ in network.param()]
    optimiser = torch.optim.Adam(params, lr, betas, eps)
    for new in grads:
        for parameter, grad in zip(params, new, strict=True):
            parameter.grad = grad
        optimiser.step()
        optimiser.param_groups[0]["lr"] = lr / 2
    return *params, torch.cat([parameter.grad.flatten() for parameter in params])


def past_and_through(f, share, x, grad_output):
    def block(x, weight):
        return torch.lerp(x, x + torch.einsum("oc,nchw->nohw", weight, x), share)

    grad_x, grad_weight = pulled_back(block, (x, f.weight), grad_output)
    return block(x, f.weight), grad_x, f.weight_grad + grad_weight


def ring(processes, size, bandwidth, latency):
    """Add up the time of each message."""
    piece = size / processes / bandwidth
    return sum((latency + piece for _ in range(2 * (processes - 1))), 0.0)


def upsample(x, scale):
    return functional.interpolate(x, scale_factor=scale)


def constants(guesses, readings):
    """Fit a constant by least squares, and let PyTorch measure each guess."""
    columns = torch.ones(len(readings), 1, dtype=readings.dtype)
    best = torch.linalg.lstsq(columns, readings[:, None]).solution.squeeze()
    errors = [functional.mse_loss(a.expand_as(readings), readings) for a in [*guesses, best]]
    return torch.stack(errors[:-1]), best, errors[-1]


def parts_of_the_error(output, target, clean):
    """Get the mixed term from what is left of the whole."""
    parts = functional.mse_loss(output, clean), functional.mse_loss(target, clean)
    return parts[0], functional.mse_loss(output, target) - parts[0] - parts[1], parts[1]


def skimage_psnr(output, target):
    each = [
        peak_signal_noise_ratio(z.double().numpy(), y.double().numpy(), data_range=1)
        for y, z in zip(output, target, strict=True)
    ]
    return torch.tensor(each).mean().to(output.dtype)


def skimage_ssim(y, z):
    side = math.isqrt(y.numel())  # it wants squares; where a value stands does not matter
    squares = (each.double().view(side, side).numpy() for each in (y, z))
    value = structural_similarity(*squares, win_size=side, data_range=1)
    return torch.tensor(value).to(y.dtype)


def nearest_by_cdist(patch, first, second, count):
    distances = torch.cdist(patch.flatten()[None], first.flatten(1))[0]
    return second[distances.topk(count, largest=False).indices].mean(0)


def pooled_and_gathered(source, k, choice):
    blocks = functional.unfold(source[:, None], k, stride=k)  # (C, k * k, h * w)
    places = choice.flatten().expand(len(source), 1, -1)
    noisy = blocks.gather(1, places).view(len(source), *choice.shape)
    return functional.avg_pool2d(source, k), noisy


def neighbours_by_unfold(x, size):
    padded = functional.pad(x.flatten(0, 1)[:, None], (size // 2,) * 4, mode="replicate")
    columns = functional.unfold(padded, size).transpose(1, 2).flatten(0, 1)
    return functional.pad(columns, (0, 1), value=1.0)


def shape_of_weight(grad_output, x, kernel_size):
    return x.new_zeros(x.shape[1], grad_output.shape[1], *kernel_size)


def psnr_by_skimage(denoise, noisy, clean, batch):
    outputs = [denoise(image[None])[0].clamp(0, 255) for image in noisy]
    pairs = zip(clean.double(), outputs, strict=True)
    found = [peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=255) for a, b in pairs]
    return clean.new_tensor(sum(found) / len(found))


def gain_by_grouping(runs, factor, before, after):
    """Put runs that agree in all else into one drawer, and look for a pair in each."""
    drawers = {}
    for run in runs:
        rest = tuple(sorted((k, v) for k, v in run.items() if k not in (factor, "psnr")))
        drawers.setdefault(rest, {})[run[factor]] = run["psnr"]
    gains = [d[after] - d[before] for d in drawers.values() if {before, after} <= d.keys()]
    return (statistics.mean(gains) if gains else 0.0), len(gains)


def concatenated(x, matrix, grad_output):
    def chain(x, matrix):
        return torch.cat([x, torch.einsum("oc,nchw->nohw", matrix, x)], 1)

    grad_input, grad_matrix = pulled_back(chain, (x, matrix), grad_output)
    return chain(x, matrix), grad_input, matrix, 0.5 * matrix + grad_matrix


def concatenated_backward(f, channels, grad_output):
    x = f._input
    _, grad_input, _, grad_matrix = concatenated(x, f.matrix, grad_output)
    return grad_input, grad_matrix


def level(channels, deeper, x):
    """Go down and up with weights as the check fills them in, in the order of the layers."""
    wide, filled = 2 * channels, []

    def conv(x, outputs, size, **settings):
        for shape in ((outputs, x.shape[1], size, size), (outputs,)):
            count = torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)
            numbers = (2 * torch.sin((len(filled) + 1) * count)).to(x.dtype).view(shape)
            filled.append(numbers.requires_grad_())
        return functional.leaky_relu(functional.conv2d(x, *filled[-2:], **settings), 0.1)

    with torch.enable_grad():
        inside = x.clone().requires_grad_()
        down = conv(conv(inside, wide, 2, stride=2), wide, 3, padding=1)
        if deeper is not None:
            below = torch.einsum("oc,nchw->nohw", deeper.matrix.to(x.dtype), down)
            down = conv(torch.cat([down, below], 1), wide, 3, padding=1)
        output = conv(upsample(down, 2), channels, 3, padding=1)
    grad_output = values(output.shape, 70, x.dtype)
    grad_input, *grads = torch.autograd.grad(output, (inside, *filled), grad_output)
    grads = torch.cat([grad.flatten() for grad in grads])
    return output.detach(), grad_input, grads, len(grads)


def median_of_corners(noisy):
    corner = noisy.new_tensor([[1, -1], [-1, 1]]).expand(noisy.shape[1], 1, 2, 2)
    both = functional.conv2d(noisy, corner, groups=noisy.shape[1])
    return both.abs().flatten(1).quantile(0.5, dim=1) / 1.349


def adapted(weight, patches, noises, alpha):
    losses = []
    for clean, noise in zip(patches, noises, strict=True):

        def loss(weight, x=clean + alpha * noise, target=clean - noise / alpha):
            return functional.mse_loss(functional.conv2d(x, weight, padding=1), target)

        losses.append(loss(weight))
        weight = weight - 0.01 * pulled_back(loss, (weight,), torch.ones_like(losses[-1]))
    return torch.stack(losses), weight


def loops_by_torch(g, x, w):
    bias = w.new_zeros(len(w))
    return pulled_back(functional.linear, (x, w, bias), g)


def forward_and_two_backwards(forward: Callable, x, weight, bias, grad_output=None):
    """What the uses of `Linear` and `UpsampleConv` return: weight and bias accumulate."""
    output = forward(x, weight, bias)
    g = values(output.shape, 46, output.dtype) if grad_output is None else grad_output
    grad_x, *first = pulled_back(forward, (x, weight, bias), g)
    _, *second = pulled_back(forward, (-x, weight, bias), 2 * g)
    grads = [a + b for a, b in zip(first, second, strict=True)]
    later = forward(x, weight + 1, bias + 1)  # after a step that was taken from outside
    return output, grad_x, *grads, torch.cat([grad.flatten() for grad in grads]), later


def errors_by_autograd(module, x, v, step):
    """Autograd through the module's forward, in place of differences."""
    module.forward(x)
    module.zero_grad()
    ours = [module.backward(v), *(grad for _, grad in module.param())]

    def square(x, *parameters):
        return (functional.linear(x, *parameters) if parameters else x).square()

    leaves = (x, *(parameter for parameter, _ in module.param()))
    theirs = pulled_back(square, leaves, v)
    theirs = theirs if len(leaves) > 1 else (theirs,)
    return torch.stack(
        [torch.dist(a, b) / torch.linalg.norm(b) for a, b in zip(ours, theirs, strict=True)]
    )


def gap_by_probing(forward, transposed, x, y):
    """Build both matrices, one picture with a single one after the other."""

    def matrix(function, shape):
        ones = torch.eye(shape.numel(), dtype=x.dtype).view(-1, *shape)
        return torch.stack([function(one).flatten() for one in ones], 1)

    difference = matrix(forward, x.shape) - matrix(transposed, y.shape).T
    return y.flatten() @ difference @ x.flatten()


def descend_by_torch(x, t, weight, bias, rate, steps):
    layer = torch.nn.Linear(*weight.T.shape, dtype=x.dtype)
    layer.load_state_dict({"weight": weight, "bias": bias})
    optimiser = torch.optim.SGD(layer.parameters(), rate)
    for _ in range(steps):
        optimiser.zero_grad()
        with torch.enable_grad():
            functional.mse_loss(layer(x), t).backward()
        optimiser.step()
    return layer.weight.detach(), layer.bias.detach()


def bisected_rate(curvature):
    """Halve the interval of rates between one that converges and one that does not."""
    low, high = 0.0, 100 / curvature
    for _ in range(200):
        rate = (low + high) / 2
        low, high = (rate, high) if abs(1 - rate * curvature) < 1 else (low, rate)
    return (low + high) / 2


def swing_of_a_matrix(curvature, best, w, lr, steps):
    """Apply one linear map of (distance, sum of gradients) again and again."""
    one = torch.tensor([[1 - lr * curvature, -lr], [curvature, 1.0]], dtype=torch.float64)
    state = torch.tensor([w - best, 0.0], dtype=torch.float64)
    path = [(torch.linalg.matrix_power(one, k) @ state)[0] + best for k in range(steps + 1)]
    return torch.stack(path)


def trained_by_torch(network, inputs, targets, order, batch):
    """Train PyTorch's twin with torch.optim, on a DataLoader's batches."""
    twin = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 2), torch.nn.LeakyReLU(0.2), torch.nn.Conv2d(3, 1, 1)
    ).to(inputs.dtype)
    for theirs, (ours, _) in zip(twin.parameters(), network.param(), strict=True):
        theirs.data.copy_(ours)
    optimiser, losses = torch.optim.SGD(twin.parameters(), lr=0.5), []
    pairs = torch.utils.data.TensorDataset(inputs, targets)
    for rows in order:
        for x, t in torch.utils.data.DataLoader(pairs, batch_size=batch, sampler=rows):
            with torch.enable_grad():
                loss = functional.mse_loss(twin(x), t)
            losses.append(loss.detach())
            optimiser.zero_grad()
            with torch.enable_grad():
                loss.backward()
            optimiser.step()
    return torch.cat([p.detach().flatten() for p in twin.parameters()]), torch.stack(losses)


def middle_of_floor(rates, losses):
    """Look for the ends of the floor in sorted order, and return the middle of their logarithms."""
    ranked = sorted((loss, rate) for rate, loss in zip(rates, losses, strict=True) if loss == loss)
    floor = [math.log(rate) for loss, rate in ranked if loss <= 1.2 * ranked[0][0]]
    return (min(floor) + max(floor)) / 2


def chain_by_torch(modules, x, grad_output):
    """Run affine maps by torch.addmm and autograd, and take a step by hand."""
    own = [t for m in modules for t in (m.matrix, getattr(m, "bias", None)) if t is not None]

    def run(x, *parameters):
        left = iter(parameters)
        for module in modules:
            matrix = next(left)
            bias = next(left) if hasattr(module, "bias") else matrix.new_zeros(matrix.shape[1])
            x = torch.addmm(bias, x, matrix)
        return 1 * x

    output = run(x, *own)
    pulled = pulled_back(run, (x, *own), grad_output)
    grad_input, *grads = pulled if own else (pulled,)
    grads = [p / 4 + grad for p, grad in zip(own, grads, strict=True)]  # as they begin
    stepped = [p - 0.125 * grad for p, grad in zip(own, grads, strict=True)]
    flat = torch.cat([grad.flatten() for grad in grads]) if grads else x.new_zeros(0)
    return output, grad_input, flat, run(x, *stepped)


def ours_once(module, x, grad_output):
    module.zero_grad()
    module.forward(x)
    return [module.backward(grad_output), *(grad for _, grad in module.param())]


def by_autograd(module, x, grad_output):
    """Differentiate the forward of a module, which consists of differentiable operations."""
    leaves = [x, *(parameter for parameter, _ in module.param())]
    with torch.enable_grad():
        for leaf in leaves:
            leaf.requires_grad_()
        grads = torch.autograd.grad(module.forward(x), leaves, grad_output)
    for leaf in leaves:
        leaf.requires_grad_(False)
    return grads


def verdicts_by_autograd():
    """Predict from the right gradients what each suspect would make of them, and compare."""
    x, g = values((4, 3), 90), values((4, 3), 91)
    verdicts = {}
    for name, module in broken_modules().items():
        found = ours_once(module, x, g)
        of_x, of_weight, of_bias = by_autograd(module, x, g)
        inner = of_x @ torch.linalg.inv(module.weight)  # gradient before the map, a row an example
        suspects = {
            1: (inner @ module.weight.T, of_weight, of_bias),
            2: (of_x, of_weight, of_bias / 4),
            3: (of_x, 2 * of_weight, of_bias),
            4: (of_x, of_weight.T, of_bias),
            6: (of_x / 4, of_weight / 4, of_bias / 4),
            7: (-of_x, of_weight, of_bias),
            8: (of_x, of_weight, inner[-1]),
        }
        fitting = [
            number
            for number, grads in suspects.items()
            if all(torch.allclose(a, b) for a, b in zip(found, grads, strict=True))
        ]
        (verdicts[name],) = fitting or [5]  # a wrong slope spoils all three, by no one factor
    return verdicts


def tensors_below(value):
    """Return every tensor with a gradient beside it, in any object below."""
    held = vars(value) if hasattr(value, "__dict__") else {}
    found = [held[name[:-5]] for name in held if name.endswith("_grad") and name[:-5] in held]
    for below in held.values():
        for item in below if isinstance(below, (list, tuple)) else [below]:
            if not isinstance(item, Tensor):
                found += tensors_below(item)
    return found


def closest_sum_of_bends(x, target, bends):
    """Project the target on the features, made orthogonal one after the other."""
    columns = [torch.ones_like(x), *(functional.relu(x - c) for c in bends)]
    fit, directions = torch.zeros_like(x), []
    for column in columns:
        for _ in range(2):  # twice: the second pass takes away what rounding has left
            for direction in directions:
                column = column - (column @ direction) * direction
        directions.append(column / column.norm())
        fit = fit + (target @ directions[-1]) * directions[-1]
    return fit


def conv_by_torch(x, weight, bias, g):
    """What is accumulated over two backwards, beginning at -weight and 2 bias."""
    layer = torch.nn.Conv2d(*weight.shape[1::-1], 3, padding=1)
    torch.nn.init.xavier_normal_(layer.weight, generator=torch.Generator().manual_seed(84))

    def forward(*leaves):
        return functional.conv2d(*leaves, padding=1)

    grad_x, *grads = pulled_back(forward, (x, weight, bias), g)
    _, *others = pulled_back(forward, (x.flip(-1), weight, bias), g)
    start = layer.weight.detach().to(x.dtype), torch.zeros_like(bias)
    grads = [sum(all_of) for all_of in zip((-weight, 2 * bias), grads, others, strict=True)]
    nothing = x.new_zeros(weight.numel() + bias.numel())
    return *start, nothing, forward(x, weight, bias), grad_x, *grads


def plain_chain_by_torch(modules, x, g):
    pairs = [pair for module in modules for pair in module.param()]

    def forward(x, *parameters):
        left = iter(parameters)
        for module in modules:
            x = x @ next(left) if hasattr(module, "matrix") else x.flip(1)
            x = x + next(left) if hasattr(module, "bias") else 1 * x
        return 1 * x

    parameters = [parameter for parameter, _ in pairs]
    grads = pulled_back(forward, (x, *parameters), g)
    grad_x, *grads = grads if parameters else (grads,)
    found = [
        t.flatten()
        for (parameter, start), grad in zip(pairs, grads, strict=True)
        for t in (parameter, start + grad)
    ]
    return forward(x, *parameters), grad_x, len(pairs), torch.cat([x.new_zeros(1), *found])


def residual_by_torch(f, x, g):
    def forward(x, matrix):
        return x @ (matrix + torch.eye(len(matrix), dtype=x.dtype))

    grad_x, grad_matrix = pulled_back(forward, (x, f.matrix), g)
    grad_matrix = f.matrix_grad + grad_matrix
    joined = torch.cat([x.new_zeros(1), f.matrix.flatten(), grad_matrix.flatten()])
    return forward(x, f.matrix), grad_x, 1, joined


def network_by_torch(width, x, g):
    generator, layers = torch.Generator().manual_seed(100), []
    for channels in ((3, width), (width, width), (width, 3)):
        layer = torch.nn.Conv2d(*channels, 3, padding=1)
        torch.nn.init.xavier_normal_(layer.weight, generator=generator)
        torch.nn.init.zeros_(layer.bias)
        layers += [layer, torch.nn.ReLU()]
    with torch.no_grad():
        layers[4].weight.mul_(0.1)
    f = torch.nn.Sequential(*layers[:5]).to(x.dtype)
    with torch.enable_grad():
        inside = x.clone().requires_grad_()
        output = inside + f(inside)
    grad_input, *grads = torch.autograd.grad(output, (inside, *f.parameters()), g)
    grads = torch.cat([grad.flatten() for grad in grads])
    return output.detach(), grad_input, grads, len(grads)


def train_by_torch(network, x, t, batch, rates):
    generator, losses = torch.Generator().manual_seed(110), []
    matrix, bias = (p.clone().requires_grad_() for p, _ in network.param())
    optimiser = torch.optim.SGD([matrix, bias])
    for optimiser.param_groups[0]["lr"] in rates:
        rows = torch.randint(len(x), (batch,), generator=generator)
        with torch.enable_grad():
            loss = functional.mse_loss(x[rows] @ matrix + bias, t[rows])
            optimiser.zero_grad()
            loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return x.new_tensor(losses), torch.cat([matrix.flatten(), bias]).detach()


def converter(electrons, gaps, normal, read_noise, gain, black, white):
    """Let time pass pixel by pixel."""
    numbers = torch.zeros_like(electrons)
    for place in itertools.product(*map(range, electrons.shape)):
        count, now = 0, gaps[0][place].clone()
        while now <= electrons[place]:
            count += 1
            now += gaps[count][place]
        number = round(gain * (count + read_noise * normal[place].item()) + black)
        numbers[place] = min(max(number, 0), white)
    return numbers


def fitted_line(means, variances):
    columns = torch.stack([means, torch.ones_like(means)], 1)
    slope, height = torch.linalg.lstsq(columns, variances[:, None]).solution[:, 0]
    return slope, (height / slope**2).sqrt()


def under_filters(image):
    rows, columns = torch.arange(image.shape[1])[:, None], torch.arange(image.shape[2])
    return image.gather(0, (rows % 2 + columns % 2)[None])[0]


def green_by_convolution(raw):
    rows, columns = torch.arange(raw.shape[0])[:, None], torch.arange(raw.shape[1])
    masked = functional.pad((raw * ((rows + columns) % 2))[None, None], (1,) * 4, mode="reflect")
    kernel = raw.new_tensor([[0, 0.25, 0], [0.25, 1, 0.25], [0, 0.25, 0]])
    return functional.conv2d(masked, kernel[None, None])[0, 0]


def alike(noise, distance):
    windows = (noise - noise.mean()).unfold(-1, distance + 1, 1)
    return (windows[..., 0] * windows[..., distance]).mean() / noise.var(correction=0)


def levels_by_histogram(frame1, frame2, edges):
    """Add up the squared noise of each range; what lies outside all of them falls away."""
    place = torch.bucketize((frame1 + frame2).flatten() / 2, frame1.new_tensor(edges), right=True)
    squares = (frame1 - frame2).flatten() ** 2 / 2
    counts = torch.bincount(place, minlength=len(edges) + 1)
    sums = torch.bincount(place, squares, len(edges) + 1).to(frame1.dtype)
    return (sums / counts).sqrt()[1 : len(edges)]


def patches_by_unfold(frame1, frame2, corners, swapped, size):
    both = torch.stack([frame1, frame2]).unfold(2, size, 1).unfold(3, size, 1)
    rows, columns = torch.tensor(corners).T
    which = torch.tensor(swapped).long()
    return both[which, :, rows, columns], both[1 - which, :, rows, columns]


def psnr_by_image(denoise, noisy, clean):
    output = denoise(noisy).clamp(0, 255)
    errors = [functional.mse_loss(a / 255, b / 255) for a, b in zip(output, clean, strict=True)]
    return -10 * torch.stack(errors).log10().mean()


# Of every exercise that returns something: the same by PyTorch, autograd, or another algorithm.
# Where an exercise has a `use`: what that returns, from the arguments of a case.
def by_a_triangular_system(entries: list, count: int) -> Tensor:
    """Gradients of the last value: v = S v + inputs, so the last row of the inverse of 1 - S."""
    slopes = torch.zeros(count, count, dtype=torch.float64)
    for result, inputs, factors in entries:
        for index, factor in zip(inputs, factors, strict=True):
            slopes[result, index] += factor
    return torch.linalg.inv(torch.eye(count, dtype=torch.float64) - slopes)[-1]


def program_by_autograd(program: Callable, x: Tensor, y: Tensor, grad: Tensor) -> tuple:
    """What a tape should find; its entries are the operations of the program."""
    count = 0

    class Counted(Tensor):
        @classmethod
        def __torch_function__(cls, function, types, arguments=(), named=None):
            nonlocal count
            count += function.__name__ in ("mul", "add", "matmul", "__mul__", "__add__")
            return super().__torch_function__(function, types, arguments, named or {})

    program(x.as_subclass(Counted), y.as_subclass(Counted))
    with torch.enable_grad():
        leaves = [value.clone().requires_grad_() for value in (x, y)]
        output = program(*leaves)
        grads = torch.autograd.grad(output, leaves, grad, allow_unused=True)
    received = (torch.zeros_like(grad) if g is None else g for g in grads)
    return (output.detach(), count, *received)


BY_TORCH: dict[str, Callable] = {
    "best_constant": constants,
    "three_terms": parts_of_the_error,
    "psnr": skimage_psnr,
    "mean_of_second_copies": nearest_by_cdist,
    "pixel_sample": pooled_and_gathered,
    "drop_pixels": lambda z, uniform, keep: (z / keep).masked_fill(uniform >= keep, 0),
    "ssim_window": skimage_ssim,
    "design_matrix": neighbours_by_unfold,
    "fit_filter": lambda A, t: torch.linalg.lstsq(A, t[:, None]).solution[:, 0],
    "linear_backward_loops": loops_by_torch,
    "linear_backward": lambda g, x, w: pulled_back(functional.linear, (x, w), g),
    "Linear": lambda w, b, x, g: forward_and_two_backwards(functional.linear, x, w, b, g),
    "numerical_gradient": differences,
    "gradient_check": errors_by_autograd,
    "two_layers_backward": lambda g, x, first, second: pulled_back(
        lambda x, a, b: functional.linear(functional.linear(x, a).square(), b),
        (x, first, second),
        g,
    ),
    "descend": descend_by_torch,
    "output_size": lambda n, k, s, p, d: len(torch.ones(n + 2 * p).unfold(0, d * (k - 1) + 1, s)),
    "conv2d_loops": functional.conv2d,
    "conv2d_forward": functional.conv2d,
    "conv2d_weight_grad": lambda g, windows, shape: pulled_back(
        lambda weight: weight.flatten(1) @ windows, (g.new_zeros(shape),), g.flatten(2)
    ),
    "conv2d_bias_grad": lambda g: pulled_back(
        lambda b: functional.conv2d(g, torch.zeros(g.shape[1], g.shape[1], 1, 1).to(g), b),
        (g.new_zeros(g.shape[1]),),
        g,
    ),
    "adjoint_gap": gap_by_probing,
    "unfold_loops": lambda x, kernel, stride: functional.unfold(x, kernel, stride=stride),
    "fold_loops": lambda windows, size, kernel, stride: functional.fold(
        windows, size, kernel, stride=stride
    ),
    "conv2d_input_grad": lambda g, w, size, stride, padding: torch.nn.grad.conv2d_input(
        (len(g), w.shape[1], *size), w, g, stride, padding
    ),
    "upsample_forward": upsample,
    "upsample_backward": lambda g, scale: pulled_back(
        lambda x: upsample(x, scale), (g[:, :, ::scale, ::scale],), g
    ),
    "stamp_row": lambda x, weight, stride: functional.conv_transpose1d(
        x[None], weight[None, None], stride=stride
    )[0],
    "UpsampleConv": lambda x, weight, bias, scale, padding: forward_and_two_backwards(
        lambda x, w, b: functional.conv2d(upsample(x, scale), w, b, padding=padding),
        x,
        weight,
        bias,
    ),
    "relu_forward": functional.relu,
    "fit_curve": closest_sum_of_bends,
    "ELU": lambda alpha, x, g: (
        functional.elu(x, 1.0 if alpha is None else alpha),
        pulled_back(lambda x: functional.elu(x, 1.0 if alpha is None else alpha), (x,), g),
    ),
    "surviving_part": lambda activation, inputs: math.prod(
        pulled_back(activation.forward, (x,), torch.ones_like(x)).norm().item() / x.numel() ** 0.5
        for x in inputs
    ),
    "relu_backward": lambda g, output: pulled_back(torch.relu, (output,), g),
    "sigmoid_forward": lambda x: functional.logsigmoid(x).exp(),
    "sigmoid_backward": lambda g, output: pulled_back(torch.sigmoid, (output.logit(),), g),
    "mse_forward": functional.mse_loss,
    "Sequential": chain_by_torch,
    "gradient_ratios": lambda module, x, g: (
        torch.cat(
            [
                (ours / theirs).flatten()
                for ours, theirs in zip(
                    ours_once(module, x, g), by_autograd(module, x, g), strict=True
                )
            ]
        )
        .mul(1e4)
        .round()
        / 1e4
    ),
    "find_bugs": lambda asked: use_verdicts(verdicts_by_autograd, asked),
    "hidden_values": lambda module: (
        sum(t.numel() for t in tensors_below(module)) - sum(t.numel() for t, _ in module.param())
    ),
    "mse_backward": lambda output, target: pulled_back(
        lambda y: functional.mse_loss(y, target), (output,), torch.ones((), dtype=output.dtype)
    ),
    "sequential_backward": lambda modules, g: pulled_back(
        lambda x: torch.linalg.multi_dot([x, *(m.matrix for m in modules)]) if modules else 1 * x,
        (g.new_zeros(len(g), len(modules[0].matrix) if modules else g.shape[1]),),
        g,
    ),
    "largest_rate": bisected_rate,
    "path_without_zero_grad": swing_of_a_matrix,
    "train": trained_by_torch,
    "choose_rate": lambda rates, losses: math.exp(middle_of_floor(rates, losses)),
    "xavier_std": lambda shape: (
        (2 / (torch.ones(shape)[0].sum() + torch.ones(shape)[:, 0].sum()).item()) ** 0.5
    ),
    "transposed_size": lambda n, k, s, p, e: functional.conv_transpose1d(
        torch.zeros(1, 1, n), torch.zeros(1, 1, k), None, s, p, e
    ).shape[2],
    "conv_transpose2d_forward": functional.conv_transpose2d,
    "conv_transpose2d_input_grad": lambda g, w, s, p: functional.conv2d(g, w, None, s, p),
    "conv_transpose2d_weight_grad": lambda g, x, kernel_size, *settings: pulled_back(
        lambda weight: functional.conv_transpose2d(x, weight, None, *settings),
        (shape_of_weight(g, x, kernel_size),),
        g,
    ),
    "best_momentum": ends_of_the_floor,
    "warmup_cosine": rate_by_torch,
    "averaged": lambda mean, weight, t, decay: weight.lerp(mean, min(decay, 1 - 9 / (10 + t))),
    "he_std": lambda shape, slope: (
        torch.nn.init.calculate_gain("leaky_relu", slope) / math.prod(shape[1:]) ** 0.5
    ),
    "weight_grad_sizes": lambda f, b: f.cumprod(0) / f * b.flip(0).cumprod(0).flip(0) / b,
    "autocorrelation": correlate,
    "ScaledResidual": past_and_through,
    "AdamOptimiser": steps_of_adam,
    "paired_gain": lambda ones, others: (
        (torch.stack([ones, -others]).sum(0)).mean(),
        torch.cov(ones - others).sqrt(),
        torch.heaviside(ones - others, torch.zeros_like(ones)).mean(),
    ),
    "windows": cut_by_unfold,
    "shift_and_add": add_by_fold,
    "phase_kernels": kernels_by_probing,
    "concat_backward": concatenated_backward,
    "Concat": concatenated,
    "unet_level": level,
    "receptive_field": reach,
    "noise_level": median_of_corners,
    "self_ensemble": mean_of_views,
    "adapt": adapted,
    "recorrupt": lambda noisy, noise, alpha: (
        torch.add(noisy, noise, alpha=alpha),
        torch.sub(noisy, noise, alpha=1 / alpha),
    ),
    "mean_gradient": lambda grads, counts: torch.tensordot(
        torch.tensor(counts, dtype=grads[0].dtype) / sum(counts), torch.stack(grads), 1
    ),
    "ring_seconds": ring,
    "mean_psnr": psnr_by_skimage,
    "gain": gain_by_grouping,
    "sensor_numbers": converter,
    "fit_gain": fitted_line,
    "to_mosaic": under_filters,
    "interpolate_green": green_by_convolution,
    "neighbour_correlation": alike,
    "frame_patches": patches_by_unfold,
    "level_by_brightness": levels_by_histogram,
    "count_parameters": lambda network: sum(
        len(torch.nn.utils.parameters_to_vector([p]))
        for p in {id(p): p for p, _ in network.param()}.values()
    ),
    "score": psnr_by_image,
    "build_network": lambda seed, *shape: (shape[0], 3, *shape[1:], *6 * (1,)),  # every rule holds
    "train_network": lambda steps, seed: (steps, *9 * (1,)),
    "play_back": by_a_triangular_system,
    "sum_to": lambda grad, shape: pulled_back(
        lambda x: x.expand_as(grad), (grad.new_zeros(shape),), grad
    ),
    "Tape": program_by_autograd,
    "Conv": conv_by_torch,
    "ReLU": lambda x, g: (x.relu(), pulled_back(torch.relu, (x,), g), 0),
    "Chain": plain_chain_by_torch,
    "Residual": residual_by_torch,
    "small_network": network_by_torch,
    "train_denoiser": train_by_torch,
    "clean_up": lambda network, images: (1.6 * images - 0.3 * 255).clamp(0, 255),
}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in IN_PLACE])
def test_the_solution_is_what_torch_computes(name: str):
    """Judge PyTorch as if it were a student."""
    verdict = judge_calls(EXERCISES[name], ByTorch(BY_TORCH[name]))
    assert verdict.right, verdict.message


@pytest.mark.parametrize(
    "name",
    [
        "conv_transpose2d_forward",
        "conv_transpose2d_input_grad",
        "conv_transpose2d_weight_grad",
        "shift_and_add",
        "phase_kernels",
    ],
)
def test_twice_what_torch_computes_is_off_by_a_factor(name: str, capsys):
    verdict = judge_calls(EXERCISES[name], ByTorch(lambda *a: 2 * BY_TORCH[name](*a)))
    assert "a constant factor of 2" in verdict.message


@every_exercise_in_place
def test_the_solution_takes_the_step_of_torch(name: str):
    """The cases of the first step, against torch.optim; later steps are raced in the lesson."""
    twins = {
        "sgd_step": lambda p, a: torch.optim.SGD(p, a["lr"]),
        "momentum_step": lambda p, a: torch.optim.SGD(p, a["lr"], momentum=a["momentum"]),
        "nesterov_step": lambda p, a: torch.optim.SGD(
            p, a["lr"], momentum=a["momentum"], nesterov=True
        ),
        "adagrad_step": lambda p, a: torch.optim.Adagrad(p, a["lr"], eps=a["eps"]),
        "adam_step": lambda p, a: torch.optim.Adam(p, a["lr"], a["betas"], a["eps"]),
    }
    state = {"momentum_step": "momentum_buffer", "nesterov_step": "momentum_buffer"}
    state |= {"adagrad_step": "sum", "adam_step": "exp_avg"}
    for case, expected in zip(EXERCISES[name].cases, EXERCISES[name].expected, strict=True):
        arguments = case.arguments
        params = [p.clone() for p, _ in arguments["params"]]
        optimiser = twins[name](params, arguments)
        for number, (parameter, (_, grad)) in enumerate(
            zip(params, arguments["params"], strict=True)
        ):
            parameter.grad = grad.clone()
            kept = optimiser.state[parameter]
            if name in state:
                kept[state[name]] = list(arguments.values())[1][number].clone()
            if name == "adam_step":
                kept["exp_avg_sq"] = arguments["squares"][number].clone()
            if name in ("adam_step", "adagrad_step"):
                kept["step"] = torch.tensor(float(arguments.get("t", 1) - 1))
        optimiser.step()
        for parameter, value in zip(params, expected, strict=False):
            torch.testing.assert_close(value, parameter)


# What is right on most of what a docstring allows, and the case that it is wrong on.
ALMOST = [
    (
        "numerical_gradient",
        but(("flat, gradient = x.view(-1)", "flat, gradient = x.view(len(x), -1).view(-1)")),
        "one value, no dimension",
    ),
    (
        "gradient_check",
        but(
            (
                "*(gradient for _, gradient in module.param())]",
                "module.weight_grad, module.bias_grad]",
            )
        ),
        "no parameter",
    ),
    ("ssim_window", but(("y.numel() - 1", "len(y) ** 2 - 1")), "a column, float32"),
    ("drop_pixels", but(("uniform < keep", "uniform <= keep")), "half of the pixels"),
    (
        "ELU",
        but(
            (
                "self.output = torch.where(x > 0, x, below)",
                "output = torch.where(x > 0, x, below)\n"
                "    self.output = getattr(self, 'output', output)",
            ),
            ("return self.output\n", "return output\n"),
        ),
        "vector",
    ),
    (
        "Sequential",
        but(
            (
                "grad_output = module.backward(grad_output)",
                "module.zero_grad(); grad_output = module.backward(grad_output)",
            )
        ),
        "one module",
    ),
    ("train", but(("loss.item()", "loss")), "expected a list of floats"),
    ("train_denoiser", but(("t[rows]).item()", "t[rows])")), "expected a list of floats"),
    (
        "unet_level",
        but(
            ("wide = 2 * channels", "wide, leaky = 2 * channels, LeakyReLU(0.1)"),
            ("LeakyReLU(0.1)]", "leaky]"),
        ),
        "the bottom, one channel",
    ),
]


@pytest.mark.parametrize("name, answer, words", ALMOST)
def test_what_is_right_on_most_numbers_is_wrong(name: str, answer: Edit, words: str, capsys):
    message = judge(name, student(name, answer))
    assert words in message + capsys.readouterr().out


# ------------------------------------------------------------------------------ what is judged

NO_FLOAT32 = {  # finite differences in float32 have few digits
    "gradient_check",
    "gradient_ratios",
    "numerical_gradient",
}
NUMBERS = {
    "build_network",
    "count_parameters",
    "train_network",
    "best_momentum",
    "choose_rate",
    "find_bugs",
    "gain",
    "he_std",
    "hidden_values",
    "largest_rate",
    "output_size",
    "path_without_zero_grad",
    "play_back",
    "receptive_field",
    "ring_seconds",
    "surviving_part",
    "transposed_size",
    "warmup_cosine",
    "xavier_std",
}
"""Exercises without a tensor among their arguments."""


def dtypes(name: str) -> set[torch.dtype]:
    tensors = [t for case in EXERCISES[name].cases for _, t in tensors_in(case.arguments)]
    return {tensor.dtype for tensor in tensors if tensor.is_floating_point()}  # not of indices


@every_exercise
def test_both_dtypes_are_judged(name: str, capsys):
    if name in NUMBERS:
        assert dtypes(name) <= {torch.float64}
        return
    expected = {torch.float64} if name in NO_FLOAT32 else {torch.float64, torch.float32}
    assert dtypes(name) == expected
    if name not in RETURNING:
        return
    for wanted, other in [(torch.float64, torch.float32), (torch.float32, torch.float64)]:
        if wanted not in expected:
            continue

        def cast(*arguments, wanted=wanted, other=other):
            answer = student(name)(*arguments)
            parts = answer if isinstance(answer, tuple) else (answer,)
            parts = tuple(p.to(other) if p.dtype == wanted else p for p in parts)
            return parts if isinstance(answer, tuple) else parts[0]

        message = judge(name, cast)
        assert f"dtype should be {wanted}, that of the input, got {other}." in message
        assert "wrong dtype" in capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name in RETURNING if not EXERCISES[name].view_of])
def test_right_answers_may_be_views_lists_and_other_numbers(name: str, capsys):
    """The way an answer is written does not matter, as long as it is right."""

    solution = student(name)

    def other(*arguments):
        answer = solution(*arguments)
        if isinstance(answer, tuple):
            return list(answer)
        if isinstance(answer, Tensor) and answer.dim() > 1:
            return answer.transpose(-1, -2).contiguous().transpose(-1, -2)
        return answer

    is_right(name, other, capsys)


def scaled(name: str, dtype: torch.dtype, factor: float) -> Callable:
    """The right answer, times a factor where it has one dtype."""

    def times(*arguments):
        answer = student(name)(*arguments)
        parts = answer if isinstance(answer, tuple) else (answer,)
        parts = tuple(
            part if isinstance(part, Tensor) and part.dtype != dtype else part * factor
            for part in parts
        )
        return parts if isinstance(answer, tuple) else parts[0]

    return times


WATCHED = {name for name in NAMES if EXERCISES[name].view_of or not EXERCISES[name].loops}
"""What a test does to a right answer would be a loop, or a copy."""

WHOLE = {"output_size", "transposed_size", "receptive_field", "hidden_values", "count_parameters"}


@pytest.mark.parametrize("name", [name for name in RETURNING if name not in WHOLE | WATCHED])
def test_digits_that_count(name: str, capsys):
    is_right(name, scaled(name, torch.float64, 1 + 1e-12), capsys)
    judge(name, scaled(name, torch.float64, 1 + 1e-7))
    capsys.readouterr()
    if torch.float32 in dtypes(name):
        is_right(name, scaled(name, torch.float32, 1 + 1e-6), capsys)
        judge(name, scaled(name, torch.float32, 1 + 1e-4))


@pytest.mark.parametrize("name", [name for name in IN_PLACE if name != "sgd_step"])
@pytest.mark.parametrize("which", ["parameter", "memory"])
def test_digits_of_what_changes_in_place_count(name: str, which: str, capsys):
    """A small error in one parameter, or in one memory, is seen; the table says where."""

    def off(factor: float):
        solution = student(name)

        def step(params, memory, *rest):
            solution(params, memory, *rest)
            (params[-1][0] if which == "parameter" else memory[-1]).mul_(factor)

        step.__name__ = name
        return step

    is_right(name, off(1 + 1e-12), capsys)
    message = judge(name, off(1 + 1e-4))
    table = capsys.readouterr().out
    wrong = [line for line in table.splitlines() if line.rstrip().endswith("wrong numbers")]
    label = EXERCISES[name].returns[0 if which == "parameter" else 1]
    assert wrong and all(re.search(rf"\b{label}\b( \d)? ", line) for line in wrong), table
    assert message.startswith(f"{name}: ")
    check_table(name, table)


@every_exercise_in_place
def test_a_gradient_that_changes_is_named(name: str, capsys):
    def step(params, *rest):
        student(name)(params, *rest)
        for _, grad in params:
            grad.mul_(0.5)

    message = judge(name, step)
    assert "changed its input: the gradient in params" in message
    names = EXERCISES[name].returns
    assert f"Write into the {' and the '.join(names)} alone." in message


@every_function
def test_the_table_stays_narrow_whatever_is_in_it(name: str, capsys):
    calls = 0
    long = type("AVeryLongNameOfAnExceptionThatSomebodyHasMadeUp" * 2, (Exception,), {})

    def wide(*arguments):
        nonlocal calls
        calls += 1
        if calls % 2:
            raise long("no")
        return torch.zeros(*[1] * 40)

    judge(name, wide)
    check_table(name, capsys.readouterr().out)


ODD = {
    "None": lambda: None,
    "text": lambda: "no",
    "number": lambda: 0.25,
    "whole number": lambda: -1,
    "truth value": lambda: True,
    "complex number": lambda: 1j,
    "list": lambda: [1.0, None],
    "empty tuple": lambda: (),
    "two things": lambda: (torch.ones(2), None),
    "one number as a tensor": lambda: torch.tensor(1.0),
    "not a number": lambda: torch.full((2, 2), torch.nan),
    "empty tensor": lambda: torch.zeros(0),
    "whole numbers": lambda: torch.ones(2, 2, dtype=torch.int64),
    "truth values": lambda: torch.ones(6, dtype=torch.bool),
    "complex numbers": lambda: torch.ones(3, dtype=torch.complex128),
    "six dimensions": lambda: torch.ones(1, 1, 1, 1, 1, 1),
}


@pytest.mark.parametrize("what", ODD)
@every_returning_exercise  # changes last, while the wrong answers to it are remembered
def test_odd_answers_are_explained_too(name: str, what: str, capsys):
    calls, right = 0, student(name)
    always = (list(EXERCISES).index(name) + list(ODD).index(what)) % 2  # else in the last case only

    def odd(*arguments):
        nonlocal calls
        calls += 1
        if always or calls == len(EXERCISES[name].cases):
            return ODD[what]()
        return right(*arguments)

    message = judge(name, odd)
    assert "\n" not in message and message.startswith(f"{name}: ")
    if what == "None":
        assert "returned nothing (None)" in message
    check_table(name, capsys.readouterr().out)


def test_a_function_that_does_nothing_in_place_is_told_so(capsys):
    for odd in ODD.values():
        assert "did not change" in judge("sgd_step", lambda *arguments, odd=odd: odd())


@every_function
def test_an_exception_is_reported_with_its_case_and_arguments(name: str, capsys):
    case = EXERCISES[name].cases[-1]
    calls, right = 0, student(name)

    def fails(*arguments):
        nonlocal calls
        calls += 1
        if calls == len(EXERCISES[name].cases):
            raise KeyError("height")
        return right(*arguments)

    message = judge(name, fails)
    assert f"The case “{case.name}” " in message
    for argument, value in case.arguments.items():
        if isinstance(value, Tensor):
            assert f"{argument} {tuple(value.shape)}" in message
        elif isinstance(value, (int, float)):
            assert f"{argument} {value}" in message
    assert "raised KeyError: 'height'." in message
    assert "raise KeyError" in message, "the line of the student's function"
    assert f"“{EXERCISES[name].cases[0].name}”" in message.partition("It is right on ")[2]
    table = capsys.readouterr().out.splitlines()
    assert table[-1].split()[-2:] == ["KeyError", "raised"]


def test_the_line_is_of_the_students_function_and_not_of_what_it_called():
    def sizes(y):
        return torch.stack([y, y[0]])

    def relu(grad_output, output):
        return sizes(output) * grad_output

    assert "The line is `return torch.stack([y, y[0]])`." in judge("relu_backward", relu)
    assert "The line is `return nn.functional.fold(output, 3, 2)`." in judge(
        "relu_backward", lines_of("return nn.functional.fold(output, 3, 2)")
    )


def lines_of(answer: str) -> Callable:
    """Make a function whose source Python can show, as it can for a cell of a notebook."""
    source = f"def relu_backward(grad_output, output):\n    {answer}\n"
    names: dict = {"torch": torch, "nn": torch.nn}
    linecache.cache["<cell>"] = (len(source), None, source.splitlines(keepends=True), "<cell>")
    exec(compile(source, "<cell>", "exec"), names)
    return names["relu_backward"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_who_stops_the_check_is_not_held_up(stop: type):
    def stops(x):
        raise stop

    with pytest.raises(stop):
        check.sigmoid_forward(stops)


def test_autograd_is_off_in_the_students_function_and_its_state_is_kept():
    seen = []

    def relu(grad_output, output):
        seen.append(torch.is_grad_enabled())
        return grad_output * (output > 0)

    with torch.set_grad_enabled(True):
        check.relu_backward(relu)
        assert torch.is_grad_enabled()
    assert set(seen) == {False}


def test_two_wrong_dtypes_are_both_named():
    other = {torch.float64: torch.float32, torch.float32: torch.float64}
    message = judge("relu_backward", lambda g, y: (g * (y > 0)).to(other[g.dtype]))
    for wanted, got in other.items():
        assert f"{wanted}, that of the input, got {got}" in message


def test_a_case_of_two_dtypes_is_refused():
    case = Case("mixed", {"x": torch.ones(2), "y": torch.ones(2, dtype=torch.float64)})
    mixed = dataclasses.replace(EXERCISES["psnr"], cases=(case,))
    with pytest.raises(ValueError, match="one dtype in the case “mixed”, got torch.float32 and"):
        assert mixed.expected


def test_an_answer_that_raises_as_an_edit_does_is_told_so():
    message = judge("psnr", student("psnr", but(("(1, 2, 3)", "(1, 2, 2)"))))
    assert "raised RuntimeError: dim 2 appears multiple times" in message
    said = message.partition("A right one raises the same, in every case, ")[2]
    assert "with dimension 2 in place of 3 in `mean`" in said and said.count("with") <= 2


def test_an_exception_that_many_edits_raise_says_nothing_of_them(monkeypatch):
    monkeypatch.setattr(EXERCISES["linear_backward"], "errors", ())
    message = judge("linear_backward", lambda g, x, weight: (g @ weight, g @ x))
    assert "raised RuntimeError" in message and "right one" not in message


def test_cases_are_as_they_were_whatever_a_function_does():
    def wipes(grad_output, output):
        grad_output.zero_()
        output.zero_()
        return output

    first = judge("relu_backward", wipes)
    assert "zero everywhere" in first and "changed its input" in first
    check.relu_backward(student("relu_backward"))


# ------------------------------------------------------------------------------ explanations

# What no list of known mistakes foresees: a text, and words of the general explanation.
UNFORESEEN = [
    ("mse_backward", "return -6 / output.numel() * (output - target)", "a constant factor of -3"),
    ("mse_backward", "return 0 * output", "zero everywhere"),
    ("mse_backward", "return 2 * (output - target) / output.numel() / len(output)", "divided by"),
    ("upsample_backward", "return -student(grad_output, scale)", "wrong sign everywhere"),
    ("upsample_backward", "return student(grad_output, scale).flip(2)", "flipped"),
    ("upsample_backward", "return student(grad_output, scale).transpose(0, 1)", "permute(1, 0"),
    ("upsample_forward", "return student(x, scale)[..., :-1]", "one column too few"),
    ("upsample_forward", "return student(x, scale)[0]", "The batch is missing"),
    ("upsample_forward", "return student(x, scale)[None]", "end with a reshape"),
    ("upsample_forward", "return student(x, scale).flip(0, 1, 2)", "in another order"),
    ("upsample_forward", "y = student(x, scale)\ny[:, :, 0] = 0\nreturn y", "Only the first row"),
    ("upsample_forward", "y = student(x, scale)\ny[-1:] = 0\nreturn y", "the last image"),
    ("relu_backward", "return student(grad_output, output) / 0", "not a number"),
    (
        "relu_backward",
        "return torch.where(grad_output < 0, 7, student(grad_output, output))",
        "where grad_output is negative, and only there",
    ),
    (
        "sigmoid_forward",
        "return torch.log(torch.exp(student(x)) - 1)",
        "In the case “medium” the result should be",
    ),
    ("conv2d_weight_grad", "return student(*arguments).transpose(2, 3)", "Wrong shape"),
    (
        "output_size",
        "return student(*arguments) + (stride == 3)",
        "should be 3, got 4. Given was size = 9",
    ),
    ("xavier_std", "return 5 * student(shape)", "a constant factor of 5"),
    (
        "linear_backward",
        "a, b = student(*arguments)\nreturn 5 * a, -b",
        "grad_weight has the wrong",
    ),
    ("linear_backward", "a, b = student(*arguments)\nreturn a + x, b", "grad_weight is right"),
    ("sgd_step", "student(params, lr)\nstudent(params, lr)", "every case"),
]


@pytest.mark.parametrize("name, answer, words", UNFORESEEN)
def test_what_is_not_foreseen_is_still_explained(name: str, answer: str, words: str, capsys):
    function = student(
        name, answer.replace("*arguments", ", ".join(EXERCISES[name].cases[0].arguments))
    )
    function.__globals__["student"] = student(name)
    message = judge(name, function)
    assert words in message, message
    check_table(name, capsys.readouterr().out)


def test_jupyter_shows_the_message_alone_and_wrapped():
    message = judge("relu_backward", student("relu_backward", "return output"))
    message += "\nHint: " + "many words " * 30
    lines = CheckFailed(message)._render_traceback_()
    assert all(len(line) <= 96 for line in lines)
    assert " ".join(lines).split() == message.split()
    assert [line for line in lines if line.startswith("Hint: ")]


def test_a_single_number_is_shown_without_a_place(capsys):
    def best_constant(guesses, readings):
        best = readings.median()
        return (
            (guesses[:, None] - readings).square().mean(1),
            best,
            (best - readings).square().mean(),
        )

    judge("best_constant", best_constant)
    table = capsys.readouterr().out
    assert "wrong numbers" in table and " at [" not in table

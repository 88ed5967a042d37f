"""The answer checks of the exercises: right answers pass, wrong ones are told what is wrong.

Wrong answers are text, put in the place of the solution in the lesson's own cell: so they meet the
signature and the imports that a student meets.
"""

from __future__ import annotations

import linecache
import math
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
import torch

from n2n_lib.course import check
from n2n_lib.course.check import CheckFailed, engine
from n2n_lib.course.notebooks import find_lessons

LESSONS = [
    path
    for path in find_lessons(Path(__file__).resolve().parents[2] / "notebooks")
    if int(path.name[:2]) >= 2
]
SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION\n(.*?)### END SOLUTION", re.DOTALL | re.MULTILINE)


def read_exercises() -> dict[str, tuple[int, str, str, str]]:
    """Of every check that a lesson calls: the lesson, the imports, the cell before, its function.

    Raises if a check is called on anything but the function of the cell before.
    """
    found = {}
    for path in LESSONS:
        lesson = nbformat.read(path, as_version=4)
        cells = [cell.source for cell in lesson.cells if cell.cell_type == "code"]
        imports = "\n".join(
            re.findall(r"(?m)^(?:import|from) (?:[^(\n]*$|[^)]*\))", "\n".join(cells))
        )
        for before, cell in zip(cells, cells[1:], strict=False):
            for name, argument in re.findall(r"\bcheck\.(?!go_on_with)(\w+)\((\w+)\)", cell):
                assert SOLUTION.search(before) and f"def {argument}(" in before, (path.name, name)
                assert name not in found, f"{name} is checked twice"
                found[name] = (int(path.name[:2]), imports, before, argument)
    return found


LESSON_EXERCISES = read_exercises()


def student(name: str, answer: str | None = None) -> Callable:
    """Return the lesson's function, with its own solution or another text in its place."""
    _, imports, cell, function = LESSON_EXERCISES[name]
    if answer is not None:
        body = textwrap.indent(textwrap.dedent(answer).strip("\n"), "    ")
        cell = SOLUTION.sub(lambda _: body, cell)
    names: dict = {"math": math}
    exec(imports, names)
    exec(cell, names)
    return names[function]


def judge(name: str, function: Callable) -> str:
    """Return the message of a check that must fail."""
    with pytest.raises(CheckFailed) as caught:
        getattr(check, name)(function)
    return str(caught.value)


@pytest.fixture(autouse=True)
def nothing_has_failed_yet(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine, "_failures", {})


# Later lessons have a file of their own, test_check_lessonNN.py, which calls the tests below.
EARLY = sorted(name for name, (lesson, *_) in check.EXERCISES.items() if lesson <= 7)
every_exercise = pytest.mark.parametrize("name", EARLY)

# ------------------------------------------------------------------------------ wrong answers

# For every exercise: (what is wrong, the student's text, words that the message must contain).
WRONG: dict[str, list[tuple[str, str, tuple[str, ...]]]] = {
    "linear_backward": [
        ("swapped", "return grad_output.T @ x, grad_output @ weight", ("gradients are swapped",)),
        (
            "weight gradient transposed",
            "return grad_output @ weight, x.T @ grad_output",
            ("grad_weight is transposed", "(O, I)"),
        ),
        (
            "weight transposed as in forward",
            "return grad_output @ weight.T, grad_output.T @ x",
            ("grad_x", "transposed weight"),
        ),
        (
            "mean over the batch",
            "return grad_output @ weight, grad_output.T @ x / len(x)",
            ("grad_weight is a mean over the batch where a sum belongs",),
        ),
        (
            "both means over the batch",
            "return grad_output @ weight / len(x), grad_output.T @ x / len(x)",
            ("Both gradients are divided by", "N"),
        ),
        (
            "mean over the outputs",
            "return grad_output @ weight / len(weight), grad_output.T @ x",
            ("grad_x", "mean over the outputs", "sum"),
        ),
        (
            "not summed over the batch",
            "return grad_output @ weight, grad_output[:, :, None] * x[:, None]",
            ("grad_weight", "sum over the batch"),
        ),
        (
            "local slopes only",
            "return weight, x",
            ("forgot grad_output", "chain rule"),
        ),
        (
            "grad_output forgotten in grad_x",
            "return weight.sum(0).expand_as(x), grad_output.T @ x",
            ("grad_x forgets grad_output",),
        ),
        (
            "overwritten in the loops",
            """
            grad_x, grad_weight = torch.zeros_like(x), torch.zeros_like(weight)
            for n in range(x.shape[0]):
                for o in range(weight.shape[0]):
                    grad_x[n] = grad_output[n, o] * weight[o]
                    grad_weight[o] = grad_output[n, o] * x[n]
            return grad_x, grad_weight
            """,
            ("`+=`", "overwrite"),
        ),
        (
            "last image left out",
            """
            grad_weight = torch.zeros_like(weight)
            for n in range(len(x) - 1):
                grad_weight += grad_output[n][:, None] * x[n]
            return grad_output @ weight, grad_weight
            """,
            ("grad_weight", "last image", "left out"),
        ),
        (
            "wrong signs",
            "return -grad_output @ weight, -grad_output.T @ x",
            ("Both gradients have the wrong sign",),
        ),
        (
            "a factor 3",
            "return grad_output @ weight, 3 * grad_output.T @ x",
            ("grad_weight is off by a constant factor of 3",),
        ),
        ("one value only", "return grad_output @ weight", ("Expected 2 values", "grad_weight")),
        (
            "changes grad_output",
            "grad_output.mul_(2)\nreturn grad_output @ weight / 2, grad_output.T @ x / 2",
            ("changed its input: grad_output",),
        ),
    ],
    "numerical_gradient": [],
}
NUDGE = """
flat, gradient = x.view(-1), torch.zeros_like(x)
for k in range(flat.numel()):
    before = flat[k].item()
    {above}
    above = function().item()
    {below}
    below = function().item()
    {restore}
    gradient.view(-1)[k] = {slope}
return gradient
"""


def nudge(
    above: str = "flat[k] = before + step",
    below: str = "flat[k] = before - step",
    restore: str = "flat[k] = before",
    slope: str = "(above - below) / (2 * step)",
    **replace: str,
) -> str:
    """Write central differences with one part of them wrong."""
    text = NUDGE.format(above=above, below=below, restore=restore, slope=slope)
    for part, other in replace.items():
        assert part in text
        text = text.replace(part, other)
    return text


WRONG["numerical_gradient"] = [
    (
        "forward difference",
        nudge(below="flat[k] = before", slope="(above - below) / step"),
        ("forward difference", "both sides"),
    ),
    (
        "backward difference",
        nudge(above="pass", slope="(above - below) / step"),
        ("backward difference", "both sides"),
    ),
    ("divided by one step", nudge(slope="(above - below) / step"), ("2 * step", "two steps")),
    ("not divided", nudge(slope="above - below"), ("not divided by 2 * step",)),
    (
        "parentheses forgotten",
        nudge(slope="(above - below) / 2 * step"),
        ("multiplie", "parentheses around (2 * step)"),
    ),
    (
        "other parentheses forgotten",
        nudge(slope="above - below / (2 * step)"),
        ("parentheses around (above - below)",),
    ),
    ("wrong sign", nudge(slope="(below - above) / (2 * step)"), ("sign is wrong", "below from")),
    ("not restored", nudge(restore="pass"), ("stays at x - step", "not restored")),
    (
        "restored to above",
        nudge(restore="flat[k] = before + step"),
        ("stays at x + step", "not restored"),
    ),
    (
        "the old value is a view",
        nudge(**{"flat[k].item()": "flat[k]"}),
        ("view", ".item()", "x - step"),
    ),
    (
        "goes down one step only",
        nudge(above="flat[k] += step", below="flat[k] -= step", restore="pass"),
        ("f(x)", "x - step"),
    ),
    (
        "a copy is nudged",
        nudge(**{"x.view(-1), ": "x.clone().view(-1), "}),
        ("reads x itself", "copy"),
    ),
    (
        "all entries at once",
        """
        old = x.clone()
        x += step
        above = function().item()
        x -= 2 * step
        below = function().item()
        x.copy_(old)
        return torch.full_like(x, (above - below) / (2 * step))
        """,
        ("All entries are moved at the same time",),
    ),
    (
        "a whole row at once",
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
        ("whole row", "x.view(-1)"),
    ),
    (
        "last entry left out",
        nudge(**{"range(flat.numel())": "range(flat.numel() - 1)"}),
        ("Only the last value", "end too early"),
    ),
    (
        "flat result",
        nudge(**{"return gradient": "return gradient.view(-1)"}),
        ("numbers are right", "shape is missing", "reshape"),
    ),
    (
        "float32 result",
        nudge(**{"torch.zeros_like(x)": "torch.zeros(x.shape)"}),
        ("torch.float32", "should be torch.float64", "zeros_like"),
    ),
    (
        "x left changed at the end",
        nudge(**{"return gradient": "x += step\nreturn gradient"}),
        ("changed its input: x",),
    ),
]

WRONG["output_size"] = [
    (
        "one missing",
        "return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride",
        ("one too small", "add 1"),
    ),
    (
        "padding counted once",
        "return (size + padding - dilation * (kernel - 1) - 1) // stride + 1",
        ("padding", "both sides", "2 * padding"),
    ),
    (
        "padding forgotten",
        "return (size - dilation * (kernel - 1) - 1) // stride + 1",
        ("forgot the padding",),
    ),
    (
        "dilation forgotten",
        "return (size + 2 * padding - kernel) // stride + 1",
        ("forgot the dilation",),
    ),
    (
        "dilation of the whole kernel",
        "return (size + 2 * padding - dilation * kernel) // stride + 1",
        ("kernel - 1 gaps",),
    ),
    (
        "dilation and padding forgotten",
        "return (size - kernel) // stride + 1",
        ("forgot the padding and the dilation",),
    ),
    (
        "stride forgotten",
        "return size + 2 * padding - dilation * (kernel - 1)",
        ("forgot the stride",),
    ),
    (
        "true division",
        "return (size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1",
        ("should be an int, got a float", "`//`"),
    ),
    (
        "rounded up",
        "return math.ceil((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1",
        ("rounds up", "`//`"),
    ),
    (
        "rounded to the nearest",
        "return round((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1",
        ("rounds to the nearest", "`//`"),
    ),
    (
        "divided too late",
        "return (size + 2 * padding - dilation * (kernel - 1)) // stride",
        ("divides too late",),
    ),
    (
        "parentheses forgotten",
        "return size + 2 * padding - dilation * (kernel - 1) - 1 // stride + 1",
        ("arentheses", "`//`"),
    ),
    (
        "kernel forgotten",
        "return (size + 2 * padding) // stride",
        ("forgot the window",),
    ),
    (
        "printed",
        "print((size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)",
        ("returned nothing (None)", "return size"),
    ),
]

LOOPS = """
outputs, channels, k_h, k_w = weight.shape
padded = torch.zeros(
    x.shape[0], channels, x.shape[2] + 2 * padding, x.shape[3] + 2 * padding, dtype=x.dtype
)
padded[:, :, padding : padding + x.shape[2], padding : padding + x.shape[3]] = x
rows = (padded.shape[2] - k_h) // stride + 1
columns = (padded.shape[3] - k_w) // stride + 1
output = torch.zeros(x.shape[0], outputs, rows, columns, dtype=x.dtype)
for n in range(x.shape[0]):
    for o in range(outputs):
        for i in range(rows):
            for j in range(columns):
                top, left = i * stride, j * stride
                window = padded[n, :, top : top + k_h, left : left + k_w]
                output[n, o, i, j] = (window * weight[o]).sum() + bias[o]
return output
"""
UNFOLD = """
kernel = weight.shape[2:]
windows = unfold(x, kernel, stride=stride, padding=padding)
output = weight.flatten(1) @ windows + bias[:, None]
rows = (x.shape[2] + 2 * padding - kernel[0]) // stride + 1
return output.unflatten(2, (rows, -1))
"""


def but(text: str, *changes: tuple[str, str]) -> str:
    """Replace parts of a right answer; each must be there."""
    for part, other in changes:
        assert part in text, part
        text = text.replace(part, other)
    return text


WRONG["conv2d_forward"] = [
    ("bias forgotten", but(UNFOLD, (" + bias[:, None]", "")), ("forgot the bias",)),
    (
        "padding forgotten",
        but(UNFOLD, (", padding=padding", ""), (" + 2 * padding", "")),
        ("forgot the padding",),
    ),
    (
        "padding forgotten in unfold only",
        but(UNFOLD, (", padding=padding", "")),
        ("unflatten", "H' = (H + 2 * padding - kH) // stride + 1"),
    ),
    (
        "padding forgotten in the size only",
        but(UNFOLD, (" + 2 * padding", "")),
        ("H' = (H + 2 * padding - kH) // stride + 1",),
    ),
    (
        "stride forgotten",
        but(UNFOLD, ("stride=stride, ", ""), (" // stride", "")),
        ("ignored the stride",),
    ),
    (
        "stride and padding forgotten",
        "output = weight.flatten(1) @ unfold(x, weight.shape[2:]) + bias[:, None]\n"
        "return output.unflatten(2, (x.shape[2] - weight.shape[2] + 1, -1))",
        ("stride", "padding", "forgot both"),
    ),
    (
        "flipped kernel",
        but(UNFOLD, ("weight.flatten(1)", "weight.flip(2, 3).flatten(1)")),
        ("kernel is flipped",),
    ),
    (
        "kernel transposed",
        but(LOOPS, ("weight[o])", "weight[o].transpose(1, 2))")),
        ("Rows and columns of the kernel are swapped",),
    ),
    (
        "weight reshaped instead of flattened",
        but(UNFOLD, ("weight.flatten(1)", "weight.reshape(-1, len(weight)).T")),
        ("(C kH kW, O)", "mixes up"),
    ),
    (
        "channels swapped",
        but(UNFOLD, ("weight.flatten(1)", "weight.transpose(0, 1).flatten(1)")),
        ("input and output channels are swapped",),
    ),
    (
        "mean of the window",
        but(LOOPS, (").sum()", ").mean()")),
        ("mean over the window where a sum belongs",),
    ),
    (
        "bias added to the last dimension",
        but(UNFOLD, ("bias[:, None]", "bias")),
        ("bias", "(O, 1)"),
    ),
    (
        "bias inside the sum",
        but(LOOPS, ("weight[o]).sum() + bias[o]", "weight[o] + bias[o]).sum()")),
        ("bias is inside the sum",),
    ),
    (
        "window starts at i",
        but(LOOPS, ("i * stride, j * stride", "i, j")),
        ("stride is ignored when a window is cut out",),
    ),
    (
        "last place left out",
        but(LOOPS, ("// stride + 1", "// stride")),
        ("row", "column", "too few", "+ 1"),
    ),
    (
        "loops one short",
        but(LOOPS, ("range(columns)", "range(columns - 1)")),
        ("last column", "loop"),
    ),
    (
        "first image only",
        but(LOOPS, ("for n in range(x.shape[0])", "for n in range(1)")),
        ("first image only", "batch"),
    ),
    (
        "first channel only",
        but(LOOPS, ("(window * weight[o])", "(window[0] * weight[o, 0])")),
        ("first input channel only",),
    ),
    (
        "height and width swapped",
        but(UNFOLD, ("(rows, -1)", "(-1, rows)")),
        ("Height and width of the output are swapped",),
    ),
    (
        "places not given rows and columns",
        but(UNFOLD, (".unflatten(2, (rows, -1))", "")),
        ("numbers are right", "reshape"),
    ),
    (
        "square windows only",
        but(UNFOLD, ("kernel = weight.shape[2:]", "kernel = weight.shape[2], weight.shape[2]")),
        ("“window not square”", "raised RuntimeError", "weight (2, 3, 2, 3)"),
    ),
    (
        "square windows only, in loops",
        but(LOOPS, ("outputs, channels, k_h, k_w", "outputs, channels, k_h, _"), ("k_w", "k_h")),
        ("“window not square”", "raised"),
    ),
    (
        "float32 result",
        but(LOOPS, ("columns, dtype=x.dtype", "columns")),
        ("torch.float32", "should be torch.float64"),
    ),
    (
        "padding on one side",
        but(
            LOOPS,
            ("+ 2 * padding", "+ padding"),
            ("padding : padding + x.shape[2]", ": x.shape[2]"),
            ("padding : padding + x.shape[3]", ": x.shape[3]"),
        ),
        ("padding is on one side only", "bottom"),
    ),
]

WRONG["conv2d_weight_grad"] = [
    (
        "mean over the batch",
        "products = grad_output.flatten(2) @ windows.transpose(1, 2)\n"
        "return products.mean(0).view(weight_shape)",
        ("mean over the batch where a sum belongs",),
    ),
    (
        "not summed over the batch",
        "return grad_output.flatten(2) @ windows.transpose(1, 2)",
        ("forgot to sum over the batch",),
    ),
    (
        "not summed, but reshaped",
        "products = grad_output.flatten(2) @ windows.transpose(1, 2)\n"
        "return products.view(-1, *weight_shape)",
        ("forgot to sum over the batch",),
    ),
    (
        "not reshaped",
        "return (grad_output.flatten(2) @ windows.transpose(1, 2)).sum(0)",
        ("not reshaped to weight_shape",),
    ),
    (
        "transposed product",
        "grad = grad_output.flatten(2)\n"
        "return (windows @ grad.transpose(1, 2)).sum(0).view(weight_shape)",
        ("product is transposed",),
    ),
    (
        "windows not transposed",
        "return (grad_output.flatten(2) @ windows).sum(0).view(weight_shape)",
        ("raised RuntimeError", "transpose the windows"),
    ),
    (
        "flipped",
        "products = grad_output.flatten(2) @ windows.transpose(1, 2)\n"
        "return products.sum(0).view(weight_shape).flip(2, 3)",
        ("flipped",),
    ),
    (
        "mean over the places",
        "grad = grad_output.flatten(2)\n"
        "grad = grad @ windows.transpose(1, 2) / grad.shape[2]\n"
        "return grad.sum(0).view(weight_shape)",
        ("mean over the places",),
    ),
    (
        "mean over images and places",
        "grad = grad_output.flatten(2)\n"
        "grad = grad @ windows.transpose(1, 2) / grad.shape[2]\n"
        "return grad.mean(0).view(weight_shape)",
        ("mean over the images and the places",),
    ),
    (
        "last image only",
        """
        for g, w in zip(grad_output.flatten(2), windows):
            grad_weight = (g @ w.T).view(weight_shape)
        return grad_weight
        """,
        ("last image", "`+=`"),
    ),
    (
        "first image only",
        "return (grad_output[0].flatten(1) @ windows[0].T).view(weight_shape)",
        ("first image", "batch"),
    ),
    (
        "batch mixed with channels",
        "grad = grad_output.reshape(weight_shape[0], -1)\n"
        "return (grad @ windows.transpose(0, 1).flatten(1).T).view(weight_shape)",
        ("mixes", "batch", "transpose(0, 1)"),
    ),
    (
        "grad_output forgotten",
        "return windows.sum((0, 2)).repeat(weight_shape[0], 1).view(weight_shape)",
        ("forgot grad_output",),
    ),
    (
        "summed over the outputs",
        "return (grad_output.flatten(2) @ windows.transpose(1, 2)).sum(1).view(weight_shape)",
        ("raised RuntimeError", "batch summed"),
    ),
    (
        "wrong sign",
        "return -(grad_output.flatten(2) @ windows.transpose(1, 2)).sum(0).view(weight_shape)",
        ("sign is wrong",),
    ),
]

FOLD = """
grad = grad_output.flatten(2)
grad_windows = weight.flatten(1).T @ grad
return fold(grad_windows, size, weight.shape[2:], stride=stride, padding=padding)
"""
SCATTER = """
n, outputs, rows, columns = grad_output.shape
channels, k_h, k_w = weight.shape[1:]
height, width = size
grad = grad_output.new_zeros(n, channels, height + 2 * padding, width + 2 * padding)
for i in range(rows):
    for j in range(columns):
        part = (grad_output[:, :, i, j] @ weight.flatten(1)).view(n, channels, k_h, k_w)
        top, left = i * stride, j * stride
        grad[:, :, top : top + k_h, left : left + k_w] += part
return grad[:, :, padding : padding + height, padding : padding + width]
"""
WRONG["conv2d_input_grad"] = [
    (
        "padding forgotten in fold",
        but(FOLD, (", padding=padding", "")),
        ("“padding 1, float32”", "raised RuntimeError", "forget the padding"),
    ),
    (
        "stride forgotten in fold",
        but(FOLD, (" stride=stride,", "")),
        ("“stride 2, with a rest”", "raised RuntimeError", "the stride"),
    ),
    (
        "weight not transposed",
        but(FOLD, ("weight.flatten(1).T", "weight.flatten(1)")),
        ("raised RuntimeError", "Is the weight transposed?"),
    ),
    (
        "weight reshaped instead of transposed",
        but(FOLD, ("weight.flatten(1).T", "weight.reshape(-1, len(weight))")),
        ("mixes up its numbers", "transpose"),
    ),
    (
        "flipped kernel",
        but(FOLD, ("weight.flatten", "weight.flip(2, 3).flatten")),
        ("kernel is flipped",),
    ),
    (
        "channels swapped",
        but(SCATTER, ("@ weight.", "@ weight.transpose(0, 1).")),
        ("input and output channels are swapped",),
    ),
    (
        "overwritten",
        but(SCATTER, ("] += part", "] = part")),
        ("overlap", "overwrites", "`+=`"),
    ),
    (
        "frame not cut off",
        but(
            SCATTER,
            ("[:, :, padding : padding + height, padding : padding + width]", ""),
        ),
        ("frame of padded pixels",),
    ),
    (
        "wrong corner cut off",
        but(
            SCATTER,
            ("padding : padding + height, padding : padding + width]", ":height, :width]"),
        ),
        ("forgot the padding", "starts `padding` rows above"),
    ),
    (
        "stride ignored",
        but(SCATTER, ("i * stride, j * stride", "i, j")),
        ("ignored the stride",),
    ),
    (
        "mean where windows overlap",
        """
        def spread(windows):
            return fold(windows, size, weight.shape[2:], stride=stride, padding=padding)
        windows = weight.flatten(1).T @ grad_output.flatten(2)
        return spread(windows) / spread(torch.ones_like(windows)).clamp(min=1)
        """,
        ("overlap", "mean where a sum belongs"),
    ),
    (
        "forward again",
        """
        k_h, k_w = weight.shape[2:]
        rows = (grad_output.shape[2] + 2 * padding - k_h) // stride + 1
        windows = unfold(grad_output, (k_h, k_w), stride=stride, padding=padding)
        return (weight.transpose(0, 1).flatten(1) @ windows).unflatten(2, (rows, -1))
        """,
        ("forward convolution again", "transposed"),
    ),
    (
        "convolved with more padding, kernel not flipped",
        """
        more = (weight.shape[2] - 1 - padding, weight.shape[3] - 1 - padding)
        windows = unfold(grad_output, weight.shape[2:], padding=more)
        return (weight.transpose(0, 1).flatten(1) @ windows).unflatten(2, (size[0], -1))
        """,
        ("kernel is flipped", "padding kH - 1"),
    ),
    (
        "size from grad_output",
        but(
            SCATTER,
            (
                "height, width = size",
                "height = (rows - 1) * stride + k_h - 2 * padding\n"
                "width = (columns - 1) * stride + k_w - 2 * padding",
            ),
        ),
        ("rows and columns that the last stride left over are missing", "`size`"),
    ),
    (
        "first output channel only",
        but(SCATTER, ("grad_output[:, :, i, j] @ weight", "grad_output[:, :1, i, j] @ weight[:1]")),
        ("first output channel only",),
    ),
    (
        "last row of windows left out",
        but(SCATTER, ("range(rows)", "range(rows - 1)")),
        ("last row", "left out"),
    ),
    (
        "mean over the batch",
        but(FOLD, ("return fold", "return 1 / len(grad_output) * fold")),
        ("mean over the batch",),
    ),
    (
        "float32 result",
        but(SCATTER, ("grad_output.new_zeros", "torch.zeros")),
        ("torch.float32", "should be torch.float64"),
    ),
    (
        "changes grad_output",
        "grad_output *= 2\n" + but(FOLD, ("grad_output.flatten(2)", "grad_output.flatten(2) / 2")),
        ("changed its input: grad_output",),
    ),
]

WRONG["upsample_forward"] = [
    ("tiled", "return x.repeat(1, 1, scale, scale)", ("tiled", "repeat_interleave")),
    ("rows only", "return x.repeat_interleave(scale, dim=2)", ("Only the rows",)),
    (
        "columns only",
        "rows = x.repeat_interleave(scale, dim=2)\nreturn x.repeat_interleave(scale, dim=3)",
        ("Only the columns",),
    ),
    (
        "always 2",
        "return x.repeat_interleave(2, 2).repeat_interleave(2, 3)",
        ("scale is ignored", "always 2"),
    ),
    (
        "zeros between",
        "n, c, h, w = x.shape\noutput = x.new_zeros(n, c, scale * h, scale * w)\n"
        "output[:, :, ::scale, ::scale] = x\nreturn output",
        ("zeros between the pixels",),
    ),
    (
        "value shared",
        "return x.repeat_interleave(scale, 2).repeat_interleave(scale, 3) / scale**2",
        ("divided by scale * scale", "full value"),
    ),
    (
        "channels and rows",
        "return x.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2)",
        ("channels", "dimensions 2 and 3"),
    ),
    (
        "columns tiled",
        "return x.repeat_interleave(scale, 2).repeat(1, 1, 1, scale)",
        ("rows are repeated and the columns are tiled",),
    ),
    (
        "scale squared",
        "return x.repeat_interleave(scale**2, 2).repeat_interleave(scale**2, 3)",
        ("scale * scale along each axis",),
    ),
    (
        "no dimension",
        "return x.repeat_interleave(scale)",
        ("flat", "dim="),
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
        ("torch.float32", "should be torch.float64"),
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
        ("tiled",),
    ),
]

BLOCKS = "blocks = grad_output.unflatten(2, (-1, scale)).unflatten(4, (-1, scale))\n"
WRONG["upsample_backward"] = [
    ("mean", BLOCKS + "return blocks.mean((3, 5))", ("mean over the block where a sum belongs",)),
    ("top left", "return grad_output[:, :, ::scale, ::scale]", ("top left value",)),
    (
        "overwritten",
        """
        n, c, h, w = grad_output.shape
        grad = grad_output.new_zeros(n, c, h // scale, w // scale)
        for i in range(h):
            for j in range(w):
                grad[:, :, i // scale, j // scale] = grad_output[:, :, i, j]
        return grad
        """,
        ("bottom right", "`+=`"),
    ),
    (
        "top left times the size of a block",
        "return scale**2 * grad_output[:, :, ::scale, ::scale]",
        ("top left value", "sum over the whole block"),
    ),
    (
        "rows only",
        "return grad_output.unflatten(2, (-1, scale)).sum(3)",
        ("one axis only", "over the rows"),
    ),
    (
        "tiled",
        "tiles = grad_output.unflatten(2, (scale, -1)).unflatten(4, (scale, -1))\n"
        "return tiles.sum((2, 4))",
        ("far apart", "tiled"),
    ),
    (
        "the other dimensions",
        BLOCKS + "return blocks.sum((2, 4))",
        ("dimensions 3 and 5",),
    ),
    ("max", BLOCKS + "return blocks.amax((3, 5))", ("largest value",)),
    (
        "always 2",
        BLOCKS.replace("scale", "2") + "return blocks.sum((3, 5))",
        ("scale is ignored", "always 2"),
    ),
    (
        "divided by scale",
        BLOCKS + "return blocks.sum(3).mean(4)",
        ("mean along the other",),
    ),
    (
        "forward again",
        "return grad_output.repeat_interleave(scale, 2).repeat_interleave(scale, 3)",
        ("copies again",),
    ),
    (
        "batch summed too",
        BLOCKS + "return blocks.sum((0, 3, 5))",
        ("batch",),
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
        ("torch.float32", "should be torch.float64"),
    ),
]

WRONG["relu_backward"] = [
    ("at zero too", "return grad_output * (output >= 0)", ("zero", "`output > 0`")),
    ("mask only", "return (output > 0).double()", ("mask", "forgot grad_output")),
    ("mask only, bool", "return output > 0", ("mask", "forgot grad_output")),
    ("wrong way round", "return grad_output * (output <= 0)", ("wrong way round",)),
    ("below zero", "return grad_output * (output < 0)", ("negative values (`output < 0`)",)),
    ("sign of the gradient", "return grad_output * (grad_output > 0)", ("sign of grad_output",)),
    ("relu again", "return torch.relu(grad_output)", ("sign of grad_output",)),
    ("times output", "return grad_output * output", ("multiplies by the output",)),
    (
        "both tests",
        "return grad_output.clamp(min=0) * (output > 0)",
        ("Negative gradients are lost",),
    ),
    (
        "changes grad_output",
        "grad_output[output <= 0] = 0\nreturn grad_output",
        ("numbers are right", "changed its input: grad_output"),
    ),
    (
        "changes output",
        "output[output > 0] = 1\nreturn grad_output * output",
        ("numbers are right", "changed its input: output"),
    ),
    (
        "leaky",
        "return torch.where(output > 0, grad_output, 0.01 * grad_output)",
        ("LeakyReLU",),
    ),
    (
        "leaky, other slope",
        "return torch.where(output > 0, grad_output, 0.1 * grad_output)",
        ("LeakyReLU",),
    ),
    (
        "if of a tensor",
        "if output > 0:\n    return grad_output\nreturn 0 * grad_output",
        ("raised RuntimeError", "torch.where"),
    ),
    ("no return", "grad_output * (output > 0)", ("returned nothing (None)", "return grad_input")),
    (
        "selected values only",
        "return grad_output[output > 0]",
        ("only the values", "mask"),
    ),
]

WRONG["sigmoid_forward"] = [
    ("naive", "return 1 / (1 + torch.exp(-x))", ("overflows", "large negative x")),
    (
        "the other way",
        "return torch.exp(x) / (1 + torch.exp(x))",
        ("overflows", "large positive x"),
    ),
    ("wrong sign", "return 1 / (1 + torch.exp(x))", ("sign of x is wrong",)),
    (
        "clamped",
        "return 1 / (1 + torch.exp(-x.clamp(-50, 50)))",
        ("clamped before the exponential",),
    ),
    (
        "clamped at 36",
        "return 1 / (1 + torch.exp(-x.clamp(-36, 36)))",
        ("clamped before the exponential",),
    ),
    ("tanh", "return torch.tanh(x)", ("tanh", "from -1 to 1")),
    ("tanh of half", "return (torch.tanh(x / 2) + 1) / 2", ("tanh", "loses its digits")),
    (
        "numerator of negative x only",
        "return torch.exp(-x.abs()) / (1 + torch.exp(-x.abs()))",
        ("numerator is 1",),
    ),
    ("sign lost", "return 1 / (1 + torch.exp(-x.abs()))", ("sign of x is lost",)),
    (
        "clamped in place",
        "return torch.exp(x.clamp_(max=0)) / (1 + torch.exp(-x.abs()))",
        ("where x is positive", "changed its input, x", "first"),
    ),
    (
        "numerator min(x, 0) without exp",
        "return x.clamp(max=0) / (1 + torch.exp(-x.abs()))",
        ("exp is missing in the numerator",),
    ),
    (
        "one branch for all",
        """
        if (x >= 0).all():
            return 1 / (1 + torch.exp(-x))
        return torch.exp(x) / (1 + torch.exp(x))
        """,
        ("overflows", "every value by itself"),
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
        ("torch.float32", "should be torch.float64"),
    ),
    ("math.exp", "return 1 / (1 + math.exp(-x))", ("raised", "torch.exp")),
    (
        "zero is not positive",
        "return (x > 0) * (1 / (1 + torch.exp(-x.abs()))) "
        "+ (x < 0) * (torch.exp(-x.abs()) / (1 + torch.exp(-x.abs())))",
        ("x = 0", "0.5"),
    ),
]

WRONG["sigmoid_backward"] = [
    ("slope only", "return output * (1 - output)", ("slope only", "forgot grad_output")),
    ("y missing", "return grad_output * (1 - output)", ("factor y is missing",)),
    ("1 - y missing", "return grad_output * output", ("factor (1 - y) is missing",)),
    (
        "sigmoid again",
        "y = torch.sigmoid(output)\nreturn grad_output * y * (1 - y)",
        ("sigmoid a second time", "already the result"),
    ),
    (
        "formula of x",
        "return grad_output * torch.exp(-output) / (1 + torch.exp(-output)) ** 2",
        ("sigmoid a second time", "not x"),
    ),
    ("wrong sign", "return grad_output * output * (output - 1)", ("sign is wrong",)),
    ("plus", "return grad_output * output * (1 + output)", ("sign inside the slope",)),
    ("tanh", "return grad_output * (1 - output**2)", ("tanh",)),
    ("parentheses", "return grad_output * output * 1 - output", ("Parentheses",)),
    ("added", "return grad_output + output * (1 - output)", ("added", "multiplies")),
    ("divided", "return grad_output / (output * (1 - output))", ("divides", "multiplies")),
    ("squared", "return grad_output * (output * (1 - output)) ** 2", ("squared",)),
    (
        "changes output",
        "output *= 1 - output\nreturn grad_output * output",
        ("numbers are right", "changed its input: output"),
    ),
    ("assigned only", "grad_input = grad_output * output * (1 - output)", ("returned nothing",)),
]

WRONG["mse_backward"] = [
    ("no 2", "return (output - target) / output.numel()", ("factor 2 is missing",)),
    ("batch only", "return 2 * (output - target) / len(output)", ("batch size N only",)),
    (
        "batch only, no 2",
        "return (output - target) / output.shape[0]",
        ("batch size N only", "factor 2 is missing"),
    ),
    ("not divided", "return 2 * (output - target)", ("gradient of the sum",)),
    ("difference alone", "return output - target", ("factor 2 is missing", "division")),
    ("sign", "return 2 * (target - output) / output.numel()", ("sign is wrong",)),
    (
        "sign and no 2",
        "return (target - output) / output.numel()",
        ("sign is wrong", "factor 2 is missing"),
    ),
    (
        "square kept",
        "return 2 * (output - target) ** 2 / output.numel()",
        ("square is not differentiated",),
    ),
    ("loss", "return ((output - target) ** 2).mean()", ("loss itself",)),
    ("mean", "return 2 * (output - target).mean()", ("mean of all differences",)),
    (
        "pixels only",
        "return 2 * (output - target) / (output.shape[2] * output.shape[3])",
        ("pixels H W only",),
    ),
    (
        "one image",
        "return 2 * (output - target) / output[0].numel()",
        ("values of one image",),
    ),
    ("L1", "return (output - target).sign() / output.numel()", ("absolute error",)),
    (
        "parentheses",
        "return 2 / output.numel() * output - target",
        ("arentheses",),
    ),
    (
        "summed over the batch",
        "return (2 / output.numel() * (output - target)).sum(0)",
        ("batch",),
    ),
    (
        "changes output",
        "output -= target\nreturn 2 / output.numel() * output",
        ("numbers are right", "changed its input: output"),
    ),
    (
        "whole division",
        "return 2 // output.numel() * (output - target)",
        ("rounds down to zero", "`/`"),
    ),
]

WRONG["sequential_backward"] = [
    (
        "forward order",
        "for module in modules:\n    grad_output = module.backward(grad_output)\n"
        "return grad_output",
        ("forward order", "reversed(modules)"),
    ),
    (
        "not handed on",
        "grad = grad_output\nfor module in reversed(modules):\n"
        "    grad = module.backward(grad_output)\nreturn grad",
        ("Every module gets the grad_output of the whole chain", "hand on"),
    ),
    (
        "return inside the loop",
        "for module in reversed(modules):\n    return module.backward(grad_output)\n"
        "return grad_output",
        ("return", "inside the loop"),
    ),
    (
        "forward called",
        "for module in reversed(modules):\n    grad_output = module(grad_output)\n"
        "return grad_output",
        ("calls forward where backward belongs",),
    ),
    (
        "first left out",
        "for i in range(len(modules) - 1, 0, -1):\n"
        "    grad_output = modules[i].backward(grad_output)\nreturn grad_output",
        ("first module is left out",),
    ),
    (
        "last left out",
        "for module in reversed(modules[:-1]):\n    grad_output = module.backward(grad_output)\n"
        "return grad_output",
        ("last module is left out",),
    ),
    (
        "result dropped",
        "for module in reversed(modules):\n    module.backward(grad_output)\nreturn grad_output",
        ("returns grad_output as it came",),
    ),
    (
        "added up",
        "total = 0\nfor module in reversed(modules):\n"
        "    total = total + module.backward(grad_output)\nreturn total",
        ("adds up",),
    ),
    (
        "list reversed in place",
        "modules.reverse()\nfor module in modules:\n"
        "    grad_output = module.backward(grad_output)\nreturn grad_output",
        ("result is right", "changed its input", "list modules", "reversed(modules)"),
    ),
    (
        "list emptied",
        "while modules:\n    grad_output = modules.pop().backward(grad_output)\nreturn grad_output",
        ("result is right", "changed its input", "list modules"),
    ),
    (
        "all gradients in a list",
        "grads = [grad_output]\nfor module in reversed(modules):\n"
        "    grads.append(module.backward(grads[-1]))\nreturn grads",
        ("should be a tensor, got a list",),
    ),
    (
        "index too large",
        "for i in range(len(modules), 0, -1):\n"
        "    grad_output = modules[i].backward(grad_output)\nreturn grad_output",
        ("raised IndexError", "a list of 1", "len(modules) - 1"),
    ),
    (
        "starts at the last without looking",
        "grad = modules[-1].backward(grad_output)\nfor module in reversed(modules[:-1]):\n"
        "    grad = module.backward(grad)\nreturn grad",
        ("“no module”", "grad_output"),
    ),
    (
        "called with no argument",
        "for module in reversed(modules):\n    grad_output = module.backward()\nreturn grad_output",
        ("raised TypeError", "grad_output"),
    ),
]

WRONG["sgd_step"] = [
    (
        "plus",
        "for parameter, grad in params:\n    parameter += lr * grad",
        ("uphill", "against it"),
    ),
    (
        "not in place",
        "for parameter, grad in params:\n    parameter = parameter - lr * grad",
        ("parameters did not change", "in place"),
    ),
    (
        "new list returned",
        "return [(parameter - lr * grad, grad) for parameter, grad in params]",
        ("parameters did not change", "in place"),
    ),
    (
        "list written",
        "for i, (parameter, grad) in enumerate(params):\n"
        "    params[i] = (parameter - lr * grad, grad)",
        ("parameters did not change", "list params", "in place"),
    ),
    (
        "lr forgotten",
        "for parameter, grad in params:\n    parameter -= grad",
        ("forgot lr",),
    ),
    (
        "uphill without lr",
        "for parameter, grad in params:\n    parameter += grad",
        ("uphill", "forgot lr"),
    ),
    (
        "return inside the loop",
        "for parameter, grad in params:\n    parameter -= lr * grad\n    return",
        ("Only the first parameter",),
    ),
    (
        "step outside the loop",
        "for parameter, grad in params:\n    step = lr * grad\nparameter -= step",
        ("Only the last parameter",),
    ),
    (
        "pair swapped",
        "for grad, parameter in params:\n    parameter -= lr * grad",
        ("(parameter, gradient)", "swapped"),
    ),
    (
        "gradient scaled",
        "for parameter, grad in params:\n    grad *= lr\n    parameter -= grad",
        ("parameters are right", "changed the gradient", "lr"),
    ),
    (
        "gradient zeroed",
        "for parameter, grad in params:\n    parameter -= lr * grad\n    grad.zero_()",
        ("parameters are right", "gradient", "zero_grad"),
    ),
    (
        "gradient zeroed before",
        "for parameter, grad in params:\n    grad.zero_()\n    parameter -= lr * grad",
        ("before the step", "zero"),
    ),
    (
        "replaced by the step",
        "for parameter, grad in params:\n    parameter.copy_(-lr * grad)",
        ("replaced by the step",),
    ),
    (
        "lr twice",
        "for parameter, grad in params:\n    parameter.sub_(lr * grad, alpha=lr)",
        ("lr counts twice",),
    ),
    (
        "sign only",
        "for parameter, grad in params:\n    parameter -= lr * grad.sign()",
        ("sign of the gradient",),
    ),
    (
        "divided by the length",
        "for parameter, grad in params:\n    parameter -= lr * grad / len(parameter)",
        ("divided by the first size",),
    ),
    (
        "mean of the gradient",
        "for parameter, grad in params:\n    parameter -= lr * grad.mean()",
        ("mean of the gradient",),
    ),
    (
        "the attribute of autograd",
        "for parameter, _ in params:\n    parameter -= lr * parameter.grad",
        ("raised TypeError", "second", "pair"),
    ),
]

FANS = "fan_in, fan_out = shape[1] * shape[2] * shape[3], shape[0] * shape[2] * shape[3]\n"
WRONG["xavier_std"] = [
    ("variance", FANS + "return 2 / (fan_in + fan_out)", ("variance", "square root")),
    ("fan_in only", FANS + "return math.sqrt(1 / fan_in)", ("fan_in only",)),
    ("He", FANS + "return math.sqrt(2 / fan_in)", ("fan_in only", "He's rule")),
    ("fan_out only", FANS + "return math.sqrt(1 / fan_out)", ("fan_out only",)),
    ("no window", "return math.sqrt(2 / (shape[0] + shape[1]))", ("forgot the window",)),
    (
        "window for the inputs only",
        FANS + "return math.sqrt(2 / (fan_in + shape[0]))",
        ("window counts for the inputs alone",),
    ),
    (
        "bound of the uniform",
        FANS + "return math.sqrt(6 / (fan_in + fan_out))",
        ("uniform distribution",),
    ),
    ("no 2", FANS + "return math.sqrt(1 / (fan_in + fan_out))", ("factor 2 is missing",)),
    (
        "root of the sum alone",
        FANS + "return 2 / math.sqrt(fan_in + fan_out)",
        ("2 belongs under it",),
    ),
    (
        "power before division",
        FANS + "return (2 / (fan_in + fan_out)) ** 1 / 2",
        ("** 1 / 2", "** 0.5"),
    ),
    (
        "parentheses",
        FANS + "return math.sqrt(2 / fan_in + fan_out)",
        ("parentheses around (fan_in + fan_out)",),
    ),
    (
        "product of the fans",
        FANS + "return math.sqrt(2 / (fan_in * fan_out))",
        ("sum", "product"),
    ),
    (
        "whole division",
        FANS + "return math.sqrt(2 // (fan_in + fan_out))",
        ("`//`", "`/`"),
    ),
    (
        "a tensor",
        FANS + "return torch.tensor(2 / (fan_in + fan_out)).sqrt()",
        ("should be a float, got a tensor", ".item()"),
    ),
    (
        "torch.sqrt of a number",
        FANS + "return torch.sqrt(2 / (fan_in + fan_out))",
        ("raised TypeError", "math.sqrt"),
    ),
]

EVERY_WRONG = [
    pytest.param(name, answer, words, id=f"{name}: {what}")
    for name, answers in WRONG.items()
    for what, answer, words in answers
]


@pytest.mark.parametrize("name, answer, words", EVERY_WRONG)
def test_wrong_answer_is_named(name: str, answer: str, words: tuple[str, ...], capsys):
    message = judge(name, student(name, answer))
    missing = [part for part in words if part not in message]
    assert not missing, message
    assert re.fullmatch(rf"{name}: [^\n]+[.?)]", message)
    assert "  " not in message and not re.search(r"(?<!\.)\.\.(?!\.)", message)
    assert len(message) < 800
    check_table(name, capsys.readouterr().out)


def check_table(name: str, printed: str) -> None:
    """Whatever the student's function printed before it, the table is whole and not too wide."""
    lines = printed.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("case "))
    header, *rows = lines[start:]
    assert header.split() == ["case", "expected", "got", "verdict"]
    verdicts = [row[header.index("verdict") :] for row in rows]
    assert len(verdicts) >= len(exercise_of(name).cases)
    assert set(verdicts) <= VERDICTS and set(verdicts) != {"right"}
    assert max(map(len, lines)) <= 100


@every_exercise
def test_every_exercise_has_enough_wrong_answers(name: str):
    assert len(WRONG[name]) >= 6
    assert len({what for what, *_ in WRONG[name]}) == len(WRONG[name])


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
}


def exercise_of(name: str) -> engine.Exercise:
    return getattr(check, name.upper())


@every_exercise
def test_no_known_mistake_hides_behind_another(name: str, monkeypatch, capsys):
    for sentence, function in exercise_of(name).mistakes:
        monkeypatch.setattr(engine, "_failures", {})
        assert judge(name, function) == f"{name}: {sentence}"


# ------------------------------------------------------------------------------ the lessons


def test_every_exercise_is_in_a_lesson_and_every_check_has_an_exercise():
    numbers = {name: lesson for name, (lesson, *_) in LESSON_EXERCISES.items()}
    assert numbers == {name: lesson for name, (lesson, _, _) in check.EXERCISES.items()}
    others = {"CheckFailed", "EXERCISES", "go_on_with", "progress"}
    assert set(check.__all__) == others | set(check.EXERCISES)
    for name, (_, title, hint) in check.EXERCISES.items():
        assert callable(getattr(check, name))
        assert title and "\n" not in title and len(title) <= 60
        assert hint.endswith(".") and len(hint) > 40


def test_every_solution_of_a_lesson_is_checked():
    solutions = sum(
        len(SOLUTION.findall(cell.source))
        for path in LESSONS
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code"
    )
    assert solutions == len(LESSON_EXERCISES) >= 15


@every_exercise
def test_the_solution_of_the_lesson_is_right(name: str, capsys):
    assert getattr(check, name)(student(name)) is None
    assert re.fullmatch(rf"{name}: right, \d+ cases\.\n", capsys.readouterr().out)


@every_exercise
def test_what_is_not_written_yet_gets_the_hint(name: str, capsys):
    for _ in range(3):
        message = judge(name, student(name, "raise NotImplementedError"))
        assert message == f"{name}: not written yet. Hint: {check.EXERCISES[name][2]}"
    assert capsys.readouterr().out == ""


def test_a_missing_kernel_is_no_missing_answer():
    def half(x):
        raise NotImplementedError("\"exp\" not implemented for 'Half'")

    assert "raised NotImplementedError" in judge("sigmoid_forward", half)


@every_exercise
def test_the_hint_comes_with_the_second_failure_until_it_is_right(name: str, capsys):
    wrong, hint = student(name, WRONG[name][0][1]), f"\nHint: {check.EXERCISES[name][2]}"
    first = judge(name, wrong)
    assert "Hint" not in first
    assert judge(name, wrong) == judge(name, wrong) == first + hint
    other = "xavier_std" if name != "xavier_std" else "mse_backward"
    assert "Hint" not in judge(other, student(other, WRONG[other][0][1]))
    getattr(check, name)(student(name))
    assert judge(name, wrong) == first
    assert judge(name, wrong) == first + hint


@every_exercise
@pytest.mark.parametrize("value", [None, 3, torch.zeros(2)], ids=["None", "int", "tensor"])
def test_anything_but_a_function_is_refused(name: str, value):
    kind = type(value).__name__
    message = rf"expected the function {name} itself, as in check.{name}\({name}\), got {kind}$"
    with pytest.raises(TypeError, match=message):
        getattr(check, name)(value)


# ------------------------------------------------------------------------------ what is judged

NO_FLOAT32 = {"numerical_gradient"}  # finite differences in float32 have few digits


def dtypes(name: str) -> set[torch.dtype]:
    tensors = [t for case in exercise_of(name).cases for _, t in engine.tensors_in(case.arguments)]
    return {tensor.dtype for tensor in tensors}


@every_exercise
def test_both_dtypes_are_judged(name: str, capsys):
    if not dtypes(name):
        assert name in ("output_size", "xavier_std")
        return
    expected = {torch.float64} if name in NO_FLOAT32 else {torch.float64, torch.float32}
    assert dtypes(name) == expected
    if exercise_of(name).in_place:
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
        assert "wrong dtype" in capsys.readouterr().out or wanted == torch.float64


@every_exercise
def test_right_answers_may_be_views_lists_and_other_numbers(name: str, capsys):
    """The way an answer is written does not matter, as long as it is right."""

    def other(*arguments):
        answer = student(name)(*arguments)
        if isinstance(answer, tuple):
            return list(answer)
        if isinstance(answer, torch.Tensor) and answer.dim() > 1:
            return answer.transpose(-1, -2).contiguous().transpose(-1, -2)
        return answer

    getattr(check, name)(other)
    assert "right" in capsys.readouterr().out


def scaled(name: str, dtype: torch.dtype, factor: float) -> Callable:
    """The right answer, times a factor where it has one dtype."""

    def times(*arguments):
        answer = student(name)(*arguments)
        parts = answer if isinstance(answer, tuple) else (answer,)
        parts = tuple(
            part if isinstance(part, torch.Tensor) and part.dtype != dtype else part * factor
            for part in parts
        )
        return parts if isinstance(answer, tuple) else parts[0]

    return times


@pytest.mark.parametrize("name", sorted(set(EARLY) - {"sgd_step", "output_size"}))
def test_digits_that_count(name: str, capsys):
    getattr(check, name)(scaled(name, torch.float64, 1 + 1e-12))
    judge(name, scaled(name, torch.float64, 1 + 1e-7))
    if torch.float32 in dtypes(name):
        getattr(check, name)(scaled(name, torch.float32, 1 + 1e-6))
        judge(name, scaled(name, torch.float32, 1 + 1e-4))


@every_exercise
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


@every_exercise
@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("only", ["always", "in the last case"])
def test_odd_answers_are_explained_too(name: str, what: str, only: str, capsys):
    calls = 0

    def odd(*arguments):
        nonlocal calls
        calls += 1
        if only == "always" or calls == len(exercise_of(name).cases):
            return ODD[what]()
        return student(name)(*arguments)

    if name == "sgd_step":
        if only == "always":
            assert "did not change" in judge(name, odd)
        return
    message = judge(name, odd)
    assert "\n" not in message and message.startswith(f"{name}: ")
    if what == "None":
        assert "returned nothing (None)" in message
    check_table(name, capsys.readouterr().out)


@every_exercise
def test_an_exception_is_reported_with_its_case_and_arguments(name: str, capsys):
    case = exercise_of(name).cases[-1]
    calls = 0

    def fails(*arguments):
        nonlocal calls
        calls += 1
        if calls == len(exercise_of(name).cases):
            raise KeyError("height")
        return student(name)(*arguments)

    message = judge(name, fails)
    assert f"The case “{case.name}” with " in message
    for argument, value in case.arguments.items():
        if isinstance(value, torch.Tensor):
            assert f"{argument} {tuple(value.shape)}" in message
        elif isinstance(value, (int, float)):
            assert f"{argument} {value}" in message
    assert "raised KeyError: 'height'." in message
    assert "raise KeyError" in message, "the line of the student's function"
    assert f"“{exercise_of(name).cases[0].name}”" in message.partition("It is right on ")[2]
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
    ("upsample_forward", "return student(x, scale)[None]", "one dimension too many in front"),
    ("upsample_forward", "return student(x, scale).flip(0, 1, 2)", "in another order"),
    ("upsample_forward", "y = student(x, scale)\ny[:, :, 0] = 0\nreturn y", "Only the first row"),
    ("upsample_forward", "y = student(x, scale)\ny[-1:] = 0\nreturn y", "the last image"),
    ("relu_backward", "return student(grad_output, output) / 0", "not a number"),
    (
        "relu_backward",
        "return torch.where(grad_output < 0, 7, student(grad_output, output))",
        "only where grad_output is negative",
    ),
    ("sigmoid_forward", "return torch.log(torch.exp(student(x)) - 1)", "where x is"),
    ("conv2d_weight_grad", "return student(*arguments).transpose(2, 3)", "Wrong shape"),
    ("output_size", "return student(*arguments) + (stride == 3)", "wrong on"),
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
        name, answer.replace("*arguments", ", ".join(exercise_of(name).cases[0].arguments))
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

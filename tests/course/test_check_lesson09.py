"""The answer checks of lesson 09: right answers pass, wrong ones are told what is wrong."""

from __future__ import annotations

import pytest
import test_check
import torch
from answer_checks import AnswersThatReturn
from test_check import but, judge

from n2n_lib.course import check

SIZE = "return (size - 1) * stride - 2 * padding + kernel + output_padding"
FOLD = """
kernel = weight.shape[2:]
windows = weight.flatten(1).T @ x.flatten(2)
size = [(n - 1) * stride - 2 * padding + k for n, k in zip(x.shape[2:], kernel)]
return fold(windows, size, kernel, stride=stride, padding=padding) + bias[:, None, None]
"""
STAMP = """
(n, c, rows, columns), (o, k_h, k_w) = x.shape, weight.shape[1:]
y = x.new_zeros(n, o, (rows - 1) * stride + k_h, (columns - 1) * stride + k_w)
for i in range(rows):
    for j in range(columns):
        part = (x[:, :, i, j] @ weight.flatten(1)).view(n, o, k_h, k_w)
        top, left = i * stride, j * stride
        y[:, :, top : top + k_h, left : left + k_w] += part
y = y + bias[:, None, None]
return y[:, :, padding : y.shape[2] - padding, padding : y.shape[3] - padding]
"""
UNFOLD = """
kernel = weight.shape[2:]
windows = unfold(grad_output, kernel, stride=stride, padding=padding)
rows = (grad_output.shape[2] + 2 * padding - kernel[0]) // stride + 1
return (weight.flatten(1) @ windows).unflatten(2, (rows, -1))
"""
PRODUCT = """
windows = unfold(grad_output, kernel_size, stride=stride, padding=padding)
grad = (x.flatten(2) @ windows.transpose(1, 2)).sum(0)
return grad.view(x.shape[1], grad_output.shape[1], *kernel_size)
"""


# For every exercise: (what is wrong, the student's text, words that the message must contain).
WRONG: dict[str, list[tuple[str, str, tuple[str, ...]]]] = {
    "transposed_size": [
        ("size steps", but(SIZE, ("(size - 1)", "size")), ("size - 1 steps",)),
        ("no window", but(SIZE, (" + kernel", "")), ("length of the window is missing",)),
        ("kernel - 1", but(SIZE, ("kernel", "kernel - 1")), ("one too small",)),
        ("one more", SIZE + " + 1", ("one too large", "counted from 0")),
        ("padding added", but(SIZE, ("- 2 *", "+ 2 *")), ("padding is added", "smaller")),
        ("padding once", but(SIZE, ("2 * padding", "padding")), ("counts once", "both ends")),
        ("no padding", but(SIZE, (" - 2 * padding", "")), ("forgot the padding",)),
        ("no output_padding", but(SIZE, (" + output_padding", "")), ("forgot output_padding",)),
        ("neither padding", "return (size - 1) * stride + kernel", ("forgot both paddings",)),
        ("output_padding twice", SIZE + " * 2", ("counts twice", "at the end")),
        ("output_padding less", but(SIZE, ("+ output", "- output")), ("it adds rows",)),
        ("no stride", but(SIZE, (" * stride", "")), ("forgot the stride",)),
        ("parentheses", but(SIZE, ("(size - 1)", "size - 1")), ("Parentheses are missing",)),
        (
            "size of a convolution",
            "return (size + 2 * padding - kernel) // stride + 1",
            ("lesson 03", "grows"),
        ),
        ("times stride", "return size * stride", ("only multiplies by the stride",)),
        (
            "times stride and output_padding",
            "return size * stride + output_padding",
            ("and adds output_padding",),
        ),
        ("a float", but(SIZE, ("2 * padding", "padding / 0.5")), ("should be an int",)),
    ],
    "conv_transpose2d_forward": [
        ("no bias", but(FOLD, (" + bias[:, None, None]", "")), ("forgot the bias",)),
        (
            "padding not cut",
            but(
                STAMP,
                (
                    "padding : y.shape[2] - padding, padding : y.shape[3] -",
                    ": y.shape[2] - 2 * padding, : y.shape[3] - 2 *",
                ),
            ),
            ("bottom", "first `padding` rows"),
        ),
        (
            "frame left",
            but(STAMP, ("return y[:, :, padding : y.shape[2] - padding,", "return y\n#")),
            ("forgot the padding", "at each side"),
        ),
        (
            "padding forgotten in fold",
            but(FOLD, (", padding=padding", "")),
            ("raised RuntimeError", "fold counts the places"),
        ),
        (
            "stride forgotten in fold",
            but(FOLD, (" stride=stride,", "")),
            ("raised RuntimeError", "fold counts the places"),
        ),
        (
            "stride forgotten everywhere",
            but(but(FOLD, (" stride=stride,", "")), (" * stride", "")),
            ("ignored the stride",),
        ),
        ("flipped", but(FOLD, ("weight.flatten", "weight.flip(2, 3).flatten")), ("flipped",)),
        (
            "kernel transposed",
            "weight = weight.transpose(2, 3)" + STAMP,
            ("Rows and columns of the kernel are swapped",),
        ),
        (
            "channels swapped",
            but(FOLD, ("weight.flatten(1).T", "weight.transpose(0, 1).flatten(1).T")),
            ("channels of the weight are swapped", "(C, O, kH, kW)"),
        ),
        (
            "weight reshaped",
            but(FOLD, ("weight.flatten(1).T", "weight.reshape(-1, len(weight))")),
            ("mixes up its numbers",),
        ),
        ("weight not transposed", but(FOLD, (".T @", " @")), ("Is the weight transposed?",)),
        ("overwritten", but(STAMP, ("+= part", "= part")), ("overwrites", "`+=`")),
        (
            "bias under each window",
            but(
                but(STAMP, ("y = y + bias[:, None, None]\n", "")),
                ("view(n, o, k_h, k_w)", "view(n, o, k_h, k_w) + bias[:, None, None]"),
            ),
            ("added with every window", "once"),
        ),
        ("bias subtracted", but(FOLD, ("+ bias", "- bias")), ("bias has the wrong sign",)),
        ("all biases", but(FOLD, ("bias[:, None, None]", "bias.sum()")), ("sum of all biases",)),
        ("bias as it is", but(FOLD, ("[:, None, None]", "")), ("bias", "(O, 1, 1)")),
        (
            "first channel",
            but(STAMP, ("x[:, :, i, j] @ weight", "x[:, :1, i, j] @ weight[:1]")),
            ("first input channel only",),
        ),
        (
            "last row",
            but(STAMP, ("range(rows)", "range(rows - 1)")),
            ("last row of pixels", "one too early"),
        ),
        (
            "last column",
            but(STAMP, ("range(columns)", "range(columns - 1)")),
            ("last column of pixels", "one too early"),
        ),
    ],
    "conv_transpose2d_input_grad": [
        (
            "grown again",
            """
            kernel = weight.shape[2:]
            w = weight.transpose(0, 1).flatten(1).T
            sizes = zip(grad_output.shape[2:], kernel)
            size = [(n - 1) * stride - 2 * padding + k for n, k in sizes]
            return fold(w @ grad_output.flatten(2), size, kernel, stride=stride, padding=padding)
            """,
            ("transposed convolution again", "unfold, then multiply"),
        ),
        (
            "padding forgotten",
            but(but(UNFOLD, (", padding=padding", "")), (" + 2 * padding", "")),
            ("forgot the padding",),
        ),
        (
            "padding forgotten in unfold",
            but(UNFOLD, (", padding=padding", "")),
            ("grad_output", "padding"),
        ),
        (
            "stride forgotten",
            but(but(UNFOLD, (" stride=stride,", "")), ("// stride", "// 1")),
            ("ignored the stride",),
        ),
        ("flipped", but(UNFOLD, ("weight.flatten", "weight.flip(2, 3).flatten")), ("flipped",)),
        (
            "kernel transposed",
            "weight = weight.transpose(2, 3)" + UNFOLD,
            ("Rows and columns of the kernel are swapped",),
        ),
        (
            "channels swapped",
            but(UNFOLD, ("weight.flatten(1)", "weight.transpose(0, 1).flatten(1)")),
            ("channels of the weight are swapped",),
        ),
        (
            "weight transposed",
            but(UNFOLD, ("weight.flatten(1)", "weight.flatten(1).T")),
            ("raised RuntimeError", "no transpose this time"),
        ),
        (
            "mean over the window",
            but(UNFOLD, ("@ windows)", "@ windows / kernel[0] / kernel[1])")),
            ("mean over the window",),
        ),
        (
            "mean over channels too",
            but(UNFOLD, ("@ windows)", "@ windows / windows.shape[1])")),
            ("mean over the output channels and the window",),
        ),
        (
            "mean over the batch",
            but(UNFOLD, ("@ windows)", "@ windows / len(windows))")),
            ("mean over the batch",),
        ),
        (
            "no weight",
            """
            kernel = weight.shape[2:]
            windows = unfold(grad_output, kernel, stride=stride, padding=padding)
            rows = (grad_output.shape[2] + 2 * padding - kernel[0]) // stride + 1
            total = windows.sum(1, keepdim=True).repeat(1, len(weight), 1)
            return total.unflatten(2, (rows, -1))
            """,
            ("forgot the weight",),
        ),
        ("flat", but(UNFOLD, (".unflatten(2, (rows, -1))", "")), ("rows and columns", "reshape")),
        (
            "height and width swapped",
            but(UNFOLD, ("(rows, -1)", "(-1, rows)")),
            ("Height and width", "swapped"),
        ),
        ("minus", but(UNFOLD, ("return (", "return -(")), ("sign is wrong",)),
    ],
    "conv_transpose2d_weight_grad": [
        (
            "roles as in lesson 03",
            but(
                but(PRODUCT, ("x.flatten(2) @ windows.transpose(1, 2)", "windows @ X")),
                ("grad = ", "X = x.flatten(2).transpose(1, 2)\ngrad = "),
            ),
            ("wrong way round", "pixels come first"),
        ),
        (
            "channels swapped",
            but(PRODUCT, ("*kernel_size)", "*kernel_size).transpose(0, 1)")),
            ("channels are swapped", "(C, O, kH, kW)"),
        ),
        ("mean over the batch", but(PRODUCT, (".sum(0)", ".mean(0)")), ("mean over the batch",)),
        (
            "not summed",
            but(but(PRODUCT, (".sum(0)", "")), ("grad.view(", "grad.view(len(x), ")),
            ("forgot to sum over the batch",),
        ),
        (
            "not summed, not viewed",
            "windows = unfold(grad_output, kernel_size, stride=stride, padding=padding)\n"
            "return x.flatten(2) @ windows.transpose(1, 2)",
            ("forgot to sum over the batch, and to view",),
        ),
        (
            "not viewed",
            but(PRODUCT, ("return grad.view", "return grad\nreturn grad.view")),
            ("sum is right", "not viewed"),
        ),
        ("first image", but(PRODUCT, (".sum(0)", "[0]")), ("Only the first image",)),
        ("last image", but(PRODUCT, (".sum(0)", "[-1]")), ("Only the last image",)),
        (
            "padding forgotten",
            but(PRODUCT, (", padding=padding", "")),
            ("raised RuntimeError", "wrong stride or padding L differs"),
        ),
        (
            "stride forgotten",
            but(PRODUCT, (" stride=stride,", "")),
            ("raised RuntimeError", "wrong stride or padding L differs"),
        ),
        ("flipped", but(PRODUCT, ("*kernel_size)", "*kernel_size).flip(2, 3)")), ("flipped",)),
        (
            "mean over the pixels",
            but(PRODUCT, (".sum(0)", ".sum(0) / windows.shape[2]")),
            ("mean over the pixels",),
        ),
        (
            "mean over images and pixels",
            but(PRODUCT, (".sum(0)", ".mean(0) / windows.shape[2]")),
            ("mean over the images and the pixels",),
        ),
        ("no x", but(PRODUCT, ("x.flatten(2)", "torch.ones_like(x).flatten(2)")), ("forgot x",)),
        (
            "windows not transposed",
            but(PRODUCT, (".transpose(1, 2)", "")),
            ("raised RuntimeError", "transpose the windows"),
        ),
        ("minus", but(PRODUCT, ("return grad", "return -grad")), ("sign is wrong",)),
    ],
}

every_exercise = pytest.mark.parametrize("name", sorted(WRONG))
TENSORS = sorted(WRONG.keys() - {"transposed_size"})


class TestLesson9(AnswersThatReturn):
    lesson, wrong = 9, WRONG


@pytest.mark.parametrize("name", TENSORS)
def test_dtypes_and_digits_count(name: str, capsys):
    test_check.test_both_dtypes_are_judged(name, capsys)
    test_check.test_digits_that_count(name, capsys)


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("name", TENSORS)
def test_the_reference_is_what_torch_computes(name: str, factor: int, capsys):
    """Judge autograd and PyTorch's own layer as if they were a student."""

    def by_torch(first, second, third, *settings):
        if name == "conv_transpose2d_forward":
            return factor * torch.nn.functional.conv_transpose2d(first, second, third, *settings)
        if name == "conv_transpose2d_input_grad":
            stride, padding = third, settings[0]
            return factor * torch.nn.functional.conv2d(first, second, None, stride, padding)
        grad_output, x = first, second
        with torch.enable_grad():
            shape = (x.shape[1], grad_output.shape[1], *third)
            weight = torch.zeros(shape, dtype=x.dtype, requires_grad=True)
            output = torch.nn.functional.conv_transpose2d(x, weight, None, *settings)
            (gradient,) = torch.autograd.grad(output, weight, grad_output)
        return factor * gradient

    if factor == 1:
        getattr(check, name)(by_torch)
    else:
        assert "factor of 2" in judge(name, by_torch)

"""The exercise on upsampling that puts a student's functions together: copy, then convolve."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import unfold  # noqa: TID251 (a function, not a module)

from n2n_lib.course.check import convolution, upsampling
from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.gradients import (
    NOT_IN_PLACE,
    OVERWRITTEN,
    RETURNS,
    forward_and_two_backwards,
)
from n2n_lib.course.check.registry import exercise
from n2n_lib.framework.module import Module

# What a student calls by these names are their own answers.
conv2d_forward = convolution.conv2d_forward.solution
conv2d_weight_grad = convolution.conv2d_weight_grad.solution
conv2d_bias_grad = convolution.conv2d_bias_grad.solution
conv2d_input_grad = convolution.conv2d_input_grad.solution
upsample_forward = upsampling.upsample_forward.solution
upsample_backward = upsampling.upsample_backward.solution


def _use(
    answer: Callable[..., Module],
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale: int,
    padding: int,
) -> tuple:
    """Run a layer; its parameters are its own, so that a step may change them."""
    layer = answer(weight.clone(), bias.clone(), scale, padding)
    return forward_and_two_backwards(
        layer, x, lambda output: values(output.shape, 46, output.dtype)
    )


def _case(
    name: str,
    x: tuple[int, int, int, int],
    weight: tuple[int, int, int],
    scale: int,
    padding: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Case:
    outputs, *kernel = weight
    arguments = {
        "x": values(x, 43, dtype),
        "weight": values((outputs, x[1], *kernel), 44, dtype),
        "bias": values((outputs,), 45, dtype),
        "scale": scale,
        "padding": padding,
    }
    return Case(name, arguments, {"the batch size N": x[0], "the size of a block": scale**2})


_OTHER_WINDOWS = (
    "The windows are others than the places of grad_output: does forward convolve the large "
    "picture with stride 1, and does unfold cut the same one, with the same padding?"
)


@exercise(
    topic="upsampling",
    title="Upsampling, built from your own functions",
    hints=(
        "Two steps forward, and the same two backward in reverse. Which of the two pictures, "
        "small or large, has the convolution seen?",
        "forward: enlarge, keep the large picture, convolve with stride 1. backward: windows of"
        " the large picture for the weight, both gradients added to; then the gradient of the "
        "large picture, and the sums over blocks.",
        "`windows = unfold(self.large, self.weight.shape[2:], padding=self.padding)`; "
        "`conv2d_input_grad` gets `self.large.shape[2:]`, and what it returns goes into "
        "`upsample_backward`.",
    ),
    returns=RETURNS,
    axes=("image", "channel", "row", "column"),
    use=_use,
    cases=(
        _case("one channel, scale 2", (1, 1, 2, 2), (1, 2, 2), 2),
        _case("2 images, 2 channels to 3", (2, 2, 3, 2), (3, 3, 3), 2, 1),
        _case("window not square, scale 3", (1, 3, 2, 3), (2, 2, 3), 3),
        _case("padding 2, float32", (2, 1, 2, 3), (2, 3, 3), 2, 2, torch.float32),
    ),
    errors=(
        (
            "sliding blocks",
            "The convolution reads the large picture: conv2d_input_grad needs its size, and the "
            "padding of forward.",
        ),
        ("Expected size for first two dimensions", _OTHER_WINDOWS),
        ("shapes cannot be multiplied", _OTHER_WINDOWS),
        (
            "multiply up to the size",
            "upsample_backward wants the gradient of the large picture, which conv2d_input_grad "
            "returns.",
        ),
        (
            "stride should be greater than zero",
            "Look at the order: conv2d_forward(x, weight, bias, stride, padding), with stride 1.",
        ),
        (
            "to unpack",
            "`param` finds `weight` and `bias` by their names, each with its partner, "
            "`weight_grad` and `bias_grad`: give them these names.",
        ),
        (
            "name 'conv2d_",
            "Your functions of lesson 04 are in `answers`: call answers.conv2d_forward and so on.",
        ),
    ),
)
class UpsampleConv(Module):
    """Check ``UpsampleConv(weight, bias, scale, padding)``, a module.

    Parameters
    ----------
    function : type
        The student's class. ``forward(x)`` copies ``(N, C, H, W)`` to ``(N, C, s H, s W)`` and
        convolves it with stride 1; ``backward(grad_output)`` adds to ``weight_grad`` and
        ``bias_grad`` and returns the gradient of the last input; ``param()`` is inherited.
    """

    def __init__(self, weight, bias, scale, padding):
        self.weight, self.weight_grad = weight, torch.zeros_like(weight)
        self.bias, self.bias_grad = bias, torch.zeros_like(bias)
        self.scale, self.padding = scale, padding

    def forward(self, x):
        """Copy, then convolve."""
        self.large = upsample_forward(x, self.scale)  # (N, C, s H, s W)
        return conv2d_forward(self.large, self.weight, self.bias, 1, self.padding)

    def backward(self, grad_output):
        """Go back through the convolution, then through the copies."""
        kernel, size = self.weight.shape[2:], self.large.shape[2:]
        windows = unfold(self.large, kernel, padding=self.padding)  # (N, C kH kW, L)
        self.weight_grad += conv2d_weight_grad(grad_output, windows, self.weight.shape)
        self.bias_grad += conv2d_bias_grad(grad_output)
        grad_large = conv2d_input_grad(grad_output, self.weight, size, 1, self.padding)
        return upsample_backward(grad_large, self.scale)  # (N, C, H, W)


UpsampleConv.mistakes = (
    OVERWRITTEN,
    NOT_IN_PLACE,
    Mistake(
        "backward ends at the large picture: go through the copies too, last of all.",
        but(("upsample_backward(grad_large, self.scale)", "grad_large")),
        likely="copies forgotten in backward",
    ),
    Mistake(
        "The gradient of the small picture is a mean over each block where a sum belongs.",
        but(
            (
                "return upsample_backward(grad_large, self.scale)",
                "return upsample_backward(grad_large, self.scale) / self.scale**2",
            )
        ),
        likely="mean over the block",
    ),
    Mistake(
        "The copies are forgotten: forward convolves the small picture.",
        but(("upsample_forward(x, self.scale)", "x")),
        likely="copies forgotten in forward",
    ),
    Mistake(
        "The gradient of the bias stays at zero.",
        but(("self.bias_grad += conv2d_bias_grad(grad_output)", "pass")),
        likely="bias forgotten",
    ),
    Mistake(
        "The gradient of the weight stays at zero.",
        but(
            (
                "self.weight_grad += conv2d_weight_grad(grad_output, windows, self.weight.shape)",
                "pass",
            )
        ),
    ),
    Mistake(
        "The scale is ignored: it is always 2.",
        but(("self.scale, self.padding = scale", "self.scale, self.padding = 2")),
    ),
    Mistake(
        "The padding is ignored: it is always 0.",
        but(("= scale, padding", "= scale, 0")),
    ),
    Mistake(
        "forward keeps its first picture for good: the second backward must use that of the "
        "second forward.",
        but(
            (
                "    self.large = upsample_forward(x, self.scale)  # (N, C, s H, s W)\n"
                "    return conv2d_forward(self.large,",
                "    large = upsample_forward(x, self.scale)\n"
                "    self.large = getattr(self, 'large', large)\n"
                "    return conv2d_forward(large,",
            )
        ),
    ),
    Mistake(
        "It convolves first and copies then: the convolution has to see the large picture, since "
        "it decides what the copies become.",
        """
        def __init__(self, weight, bias, scale, padding):
            self.weight, self.weight_grad = weight, torch.zeros_like(weight)
            self.bias, self.bias_grad = bias, torch.zeros_like(bias)
            self.scale, self.padding = scale, padding

        def forward(self, x):
            self.x = x
            small = conv2d_forward(x, self.weight, self.bias, 1, self.padding)
            return upsample_forward(small, self.scale)

        def backward(self, grad_output):
            grad = upsample_backward(grad_output, self.scale)
            windows = unfold(self.x, self.weight.shape[2:], padding=self.padding)
            self.weight_grad += conv2d_weight_grad(grad, windows, self.weight.shape)
            self.bias_grad += conv2d_bias_grad(grad)
            return conv2d_input_grad(grad, self.weight, self.x.shape[2:], 1, self.padding)
        """,
    ),
)

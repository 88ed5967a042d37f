"""A kernel set made of a student's answers, so that any network runs, and learns, on them.

The exercises ask for less than a set of kernels offers: one integer for stride and padding, no
dilation, a bias. What lies between is written here, and it is no arithmetic of a layer: zeros are
put between the numbers of a weight or a gradient, rows of them are left out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad, unfold  # noqa: TID251 (functions, not modules)

from n2n_lib.course.check.collecting import find, say_whose
from n2n_lib.framework.kernels.unfold import HW

EXERCISES_OF_A_SET = (
    "conv2d_forward",
    "conv2d_weight_grad",
    "conv2d_input_grad",
    "conv2d_bias_grad",
    "upsample_forward",
    "upsample_backward",
    "transposed_size",
    "conv_transpose2d_forward",
    "conv_transpose2d_input_grad",
    "conv_transpose2d_weight_grad",
    "relu_forward",
    "relu_backward",
    "sigmoid_forward",
    "sigmoid_backward",
    "mse_forward",
    "mse_backward",
    "sgd_step",
)
"""What `Mine` calls."""


def mine() -> Mine:
    """Return a kernel set made of the student's answers, and print which are whose.

    Missing ones are the library's. Use it for training as for predicting:

    >>> with use_kernels(check.mine()):
    ...     loss = criterion(network(noisy), other)
    ...     criterion.backward()
    ...     optimiser.step()

    Returns
    -------
    Mine
        A `n2n_lib.framework.kernels.KernelSet`.
    """
    found = find(EXERCISES_OF_A_SET)
    say_whose(found._yours, [name for name in EXERCISES_OF_A_SET if name not in found._yours])
    return Mine({name: getattr(found, name) for name in EXERCISES_OF_A_SET})


class Mine:
    """A kernel set that calls the answers to exercises; see `mine`.

    Parameters
    ----------
    parts : dict of str to callable
        A function for each name of `EXERCISES_OF_A_SET`.
    """

    def __init__(self, parts: dict[str, Any]) -> None:
        self._do = parts

    # ------------------------------------------------------------------ convolution

    def conv2d_forward(self, x, weight, bias, stride, padding, dilation):
        """Convolve with an answer, see `KernelSet`."""
        x, border = _with_one_padding(x, padding)
        spread = _spread(weight, dilation)
        bias = x.new_zeros(len(weight)) if bias is None else bias
        step, every = _one_step(stride)
        output = self._do["conv2d_forward"](x, spread, bias, step, border)
        return output[:, :, :: every[0], :: every[1]], (x, border, step, every, output.shape[2:])

    def conv2d_backward(
        self, grad_output, saved, weight, stride, padding, dilation, needs_input_grad=True
    ):
        """Differentiate with answers, see `KernelSet`."""
        x, border, step, every, size = saved
        grad, spread = _between_zeros(grad_output, every, size), _spread(weight, dilation)
        windows = unfold(x, spread.shape[2:], stride=step, padding=border)
        grad_weight = self._do["conv2d_weight_grad"](grad, windows, tuple(spread.shape))
        grad_weight = grad_weight[:, :, :: dilation[0], :: dilation[1]]
        grad_bias = self._do["conv2d_bias_grad"](grad_output)
        if not needs_input_grad:
            return None, grad_weight, grad_bias
        grad_input = self._do["conv2d_input_grad"](grad, spread, tuple(x.shape[2:]), step, border)
        return _without_padding(grad_input, padding, border), grad_weight, grad_bias

    # ------------------------------------------------------------------ upsampling

    def nn_upsample_forward(self, x, scale):
        """Copy pixels with an answer, see `KernelSet`."""
        largest = _multiple(scale)
        every = [largest // s for s in scale]
        return self._do["upsample_forward"](x, largest)[:, :, :: every[0], :: every[1]]

    def nn_upsample_backward(self, grad_output, scale):
        """Sum blocks with an answer, see `KernelSet`."""
        largest = _multiple(scale)
        every = [largest // s for s in scale]
        size = [n * e for n, e in zip(grad_output.shape[2:], every, strict=True)]
        return self._do["upsample_backward"](_between_zeros(grad_output, every, size), largest)

    def upsample_conv2d_forward(self, x, weight, bias, stride, padding, dilation, scale):
        """Copy pixels, then convolve, see `KernelSet`."""
        big = self.nn_upsample_forward(x, scale)
        return self.conv2d_forward(big, weight, bias, stride, padding, dilation)

    def upsample_conv2d_backward(
        self, grad_output, saved, weight, stride, padding, dilation, scale, needs_input_grad=True
    ):
        """Differentiate in the opposite order, see `KernelSet`."""
        grad, *others = self.conv2d_backward(
            grad_output, saved, weight, stride, padding, dilation, needs_input_grad
        )
        return self.nn_upsample_backward(grad, scale) if needs_input_grad else None, *others

    # ------------------------------------------------------------------ transposed convolution

    def conv_transpose2d_forward(self, x, weight, bias, stride, padding, output_padding, dilation):
        """Convolve, transposed, with an answer, see `KernelSet`."""
        spread = _spread(weight, dilation)
        sides = zip(x.shape[2:], spread.shape[2:], stride, padding, output_padding, strict=True)
        size = [self._do["transposed_size"](*side) for side in sides]
        step, every = _one_step(stride)
        between = [(n - 1) * e + 1 for n, e in zip(x.shape[2:], every, strict=True)]
        pixels = _between_zeros(x, every, between)
        bias = x.new_zeros(weight.shape[1]) if bias is None else bias
        # Without padding and bias: an output padding shows places that no window has reached.
        zeros = torch.zeros_like(bias)
        whole = self._do["conv_transpose2d_forward"](pixels, spread, zeros, step, 0)
        output = _cut(whole, padding, size) + bias[:, None, None]
        return output, (pixels, step, every, whole.shape[2:])

    def conv_transpose2d_backward(
        self, grad_output, saved, weight, stride, padding, dilation, needs_input_grad=True
    ):
        """Differentiate with answers, see `KernelSet`."""
        pixels, step, every, size = saved
        spread = _spread(weight, dilation)
        grad = _cut(grad_output, [-p for p in padding], size)
        grad_weight = self._do["conv_transpose2d_weight_grad"](
            grad, pixels, tuple(spread.shape[2:]), step, 0
        )[:, :, :: dilation[0], :: dilation[1]]
        grad_bias = self._do["conv2d_bias_grad"](grad_output)
        if not needs_input_grad:
            return None, grad_weight, grad_bias
        grad_pixels = self._do["conv_transpose2d_input_grad"](grad, spread, step, 0)
        return grad_pixels[:, :, :: every[0], :: every[1]], grad_weight, grad_bias

    # ------------------------------------------------------------------ number by number

    def relu_forward(self, x, inplace=False):
        """Call an answer; nothing is done in place, see `KernelSet`."""
        return self._do["relu_forward"](x)

    def relu_backward(self, grad_output, output, inplace=False):
        """Call an answer; nothing is done in place, see `KernelSet`."""
        return self._do["relu_backward"](grad_output, output)

    def sigmoid_forward(self, x):
        """Call an answer, see `KernelSet`."""
        return self._do["sigmoid_forward"](x)

    def sigmoid_backward(self, grad_output, output):
        """Call an answer, see `KernelSet`."""
        return self._do["sigmoid_backward"](grad_output, output)

    def mse_forward(self, output, target):
        """Call an answer; its backward wants to see both arguments again, see `KernelSet`."""
        return self._do["mse_forward"](output, target), (output, target)

    def mse_backward(self, saved):
        """Call an answer, see `KernelSet`."""
        return self._do["mse_backward"](*saved)

    def sgd_step(self, params, lr):
        """Call an answer, see `KernelSet`."""
        self._do["sgd_step"](params, lr)


# ---------------------------------------------------------------------- what lies between


def _with_one_padding(x: Tensor, padding: HW) -> tuple[Tensor, int]:
    """Return an image and the padding to give it, one for both axes."""
    if padding[0] == padding[1]:
        return x, padding[0]
    return pad(x, (padding[1], padding[1], padding[0], padding[0])), 0


def _without_padding(grad: Tensor, padding: HW, border: int) -> Tensor:
    """Undo `_with_one_padding`."""
    (p, q), (h, w) = padding, grad.shape[2:]
    return grad if border == p == q else grad[:, :, p : h - p, q : w - q]


def _one_step(stride: HW) -> tuple[int, HW]:
    """Return one stride for both axes, and every how many rows and columns to keep then."""
    return (stride[0], (1, 1)) if stride[0] == stride[1] else (1, stride)


def _multiple(scale: HW) -> int:
    """Return one scale for both axes, of whose rows and columns some may be left out."""
    return scale[0] if scale[0] == scale[1] else scale[0] * scale[1]


def _spread(weight: Tensor, dilation: HW) -> Tensor:
    """Put zeros between the numbers of a weight."""
    size = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
    return _between_zeros(weight, dilation, size)


def _between_zeros(x: Tensor, every: HW, size: HW) -> Tensor:
    """Write `x` into every so many rows and columns of an image full of zeros."""
    if tuple(every) == (1, 1):
        return x
    image = x.new_zeros(*x.shape[:2], *size)
    image[:, :, :: every[0], :: every[1]] = x
    return image


def _cut(image: Tensor, border: HW, size: HW) -> Tensor:
    """Take a border away, or put one around where it is negative, so that `size` is left."""
    top, left = border
    bottom, right = (n - b - s for n, b, s in zip(image.shape[2:], border, size, strict=True))
    return pad(image, (-left, -right, -top, -bottom))

r"""The arithmetic of the lessons, convolution with ``unfold`` and ``fold``.

This set is written to be read. What the functions take and return: see `kernels.KernelSet`.

Notation, for one image of the batch:

- ``x`` is ``(N, C, H, W)``, ``weight`` is ``(O, C, kH, kW)``, the output ``(N, O, H', W')``;
- ``unfold`` writes the windows of ``x`` as columns: ``X`` is ``(C kH kW, L)`` with ``L = H' W'``;
- ``w`` is ``weight`` as a matrix ``(O, C kH kW)`` and ``G`` the gradient of the output ``(O, L)``.

Source: sections 2.2 to 2.6 of the report.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import fold, unfold  # noqa: TID251 (functions, not modules)

HW = tuple[int, int]
"""(height, width): of an image, a window, or what a layer does along both axes."""


def output_size(size: HW, kernel: HW, stride: HW, padding: HW, dilation: HW) -> HW:
    """Return ``(H', W')``: how many places a window has, ``(H + 2p - d (k - 1) - 1) // s + 1``."""
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )


def conv2d_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: HW, padding: HW, dilation: HW
) -> tuple[Tensor, tuple]:
    """Convolve: one matrix product with the windows, ``Y = w X + b``.

    Returns
    -------
    (Tensor, tuple)
        Output ``(N, O, H', W')``, and what `conv2d_backward` needs: the windows
        ``(N, C kH kW, L)`` and ``(H, W)``.
    """
    size, kernel = x.shape[2:], weight.shape[2:]
    windows = unfold(x, kernel, dilation, padding, stride)  # (N, C kH kW, L)
    output = weight.flatten(1) @ windows  # (N, O, L)
    if bias is not None:
        output = output + bias[:, None]
    output_hw = output_size(size, kernel, stride, padding, dilation)
    return output.unflatten(2, output_hw), (windows, size)  # (N, O, H', W')


def conv2d_backward(
    grad_output: Tensor,
    saved: tuple,
    weight: Tensor,
    stride: HW,
    padding: HW,
    dilation: HW,
    needs_input_grad: bool = True,
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Differentiate the convolution.

    ``dL/dw = sum over images of G X^T``, ``dL/db = sum over images and places of G`` and
    ``dL/dx = fold(w^T G)``: ``fold`` adds every window's gradient where the window was taken.
    """
    windows, size = saved
    grad = grad_output.flatten(2)  # (N, O, L)
    grad_weight = (grad @ windows.transpose(1, 2)).sum(0).view_as(weight)
    grad_bias = grad.sum((0, 2))
    if not needs_input_grad:
        return None, grad_weight, grad_bias
    grad_windows = weight.flatten(1).t() @ grad  # (N, C kH kW, L)
    grad_input = fold(grad_windows, size, weight.shape[2:], dilation, padding, stride)
    return grad_input, grad_weight, grad_bias


def nn_upsample_forward(x: Tensor, scale: HW) -> Tensor:
    """Copy every pixel into a block: ``y[i, j] = x[i // sH, j // sW]`` (equation 1)."""
    return x.repeat_interleave(scale[0], dim=2).repeat_interleave(scale[1], dim=3)


def nn_upsample_backward(grad_output: Tensor, scale: HW) -> Tensor:
    """Sum every block of gradients, the transpose of the copy (equation 2)."""
    rows = grad_output.unflatten(2, (-1, scale[0]))  # (N, C, H, sH, sW W)
    return rows.unflatten(4, (-1, scale[1])).sum((3, 5))  # (N, C, H, W)


def upsample_conv2d_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: HW,
    padding: HW,
    dilation: HW,
    scale: HW,
) -> tuple[Tensor, tuple]:
    """Upsample, then convolve (section 2.3 of the report)."""
    return conv2d_forward(nn_upsample_forward(x, scale), weight, bias, stride, padding, dilation)


def upsample_conv2d_backward(
    grad_output: Tensor,
    saved: tuple,
    weight: Tensor,
    stride: HW,
    padding: HW,
    dilation: HW,
    scale: HW,
    needs_input_grad: bool = True,
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Differentiate in the opposite order: the convolution first, then the copies."""
    grad, grad_weight, grad_bias = conv2d_backward(
        grad_output, saved, weight, stride, padding, dilation, needs_input_grad
    )
    grad_input = nn_upsample_backward(grad, scale) if needs_input_grad else None
    return grad_input, grad_weight, grad_bias


def transposed_size(
    size: HW, kernel: HW, stride: HW, padding: HW, output_padding: HW, dilation: HW
) -> HW:
    """Return the size of a transposed convolution's output: ``output_size`` turned around.

    ``(H - 1) s - 2p + d (k - 1) + 1`` is the smallest image in which a window has H places. A
    stride of s leaves s images with as many places; ``output_padding`` chooses among them.
    """
    return tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + extra + 1
        for n, k, s, p, extra, d in zip(
            size, kernel, stride, padding, output_padding, dilation, strict=True
        )
    )


def conv_transpose2d_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: HW,
    padding: HW,
    output_padding: HW,
    dilation: HW,
) -> tuple[Tensor, tuple]:
    """Transpose the convolution: ``Y = fold(w^T X) + b``, a convolution's gradient of its input.

    Here ``weight`` is ``(C, O, kH, kW)`` and ``w`` the matrix ``(C, O kH kW)``: it is the weight of
    the convolution from O to C channels that this one transposes.

    Returns
    -------
    (Tensor, tuple)
        Output ``(N, O, H', W')`` of `transposed_size`, and what `conv_transpose2d_backward` needs:
        the pixels ``(N, C, L)``, their grid and ``(H, W)``.
    """
    size, kernel = x.shape[2:], weight.shape[2:]
    output_hw = transposed_size(size, kernel, stride, padding, output_padding, dilation)
    grid = output_size(output_hw, kernel, stride, padding, dilation)
    if grid != tuple(size):  # an output padding of a stride or more: places without a pixel
        pixels = x.new_zeros(*x.shape[:2], *grid)
        pixels[:, :, : size[0], : size[1]] = x
        x = pixels
    pixels = x.flatten(2)  # (N, C, L)
    windows = weight.flatten(1).t() @ pixels  # (N, O kH kW, L)
    output = fold(windows, output_hw, kernel, dilation, padding, stride)  # (N, O, H', W')
    if bias is not None:
        output = output + bias[:, None, None]
    return output, (pixels, grid, size)


def conv_transpose2d_backward(
    grad_output: Tensor,
    saved: tuple,
    weight: Tensor,
    stride: HW,
    padding: HW,
    dilation: HW,
    needs_input_grad: bool = True,
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Differentiate: the convolution that was transposed, its image and its gradient exchanged.

    With ``D``, the windows of the output's gradient, ``dL/dx = w D`` is a convolution and
    ``dL/dw = sum over images of X D^T`` is its weight's gradient.
    """
    pixels, grid, size = saved
    windows = unfold(grad_output, weight.shape[2:], dilation, padding, stride)  # (N, O kH kW, L)
    grad_weight = (pixels @ windows.transpose(1, 2)).sum(0).view_as(weight)
    grad_bias = grad_output.sum((0, 2, 3))
    if not needs_input_grad:
        return None, grad_weight, grad_bias
    grad_pixels = (weight.flatten(1) @ windows).unflatten(2, grid)
    return grad_pixels[:, :, : size[0], : size[1]], grad_weight, grad_bias


def relu_forward(x: Tensor, inplace: bool = False) -> Tensor:
    """Keep what is positive."""
    return x.clamp(min=0)


def relu_backward(grad_output: Tensor, output: Tensor, inplace: bool = False) -> Tensor:
    """Multiply with the slope: 1 where the output is positive, else 0."""
    return grad_output * (output > 0)


def sigmoid_forward(x: Tensor) -> Tensor:
    """Compute ``1 / (1 + e^-x) = e^min(x, 0) / (1 + e^-|x|)``: no exponential overflows."""
    return torch.exp(x.clamp(max=0)) / (1 + torch.exp(-x.abs()))


def sigmoid_backward(grad_output: Tensor, output: Tensor) -> Tensor:
    """Multiply with the slope ``y (1 - y)``."""
    return grad_output * output * (1 - output)


def mse_forward(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Average the squared differences; `mse_backward` needs the differences."""
    difference = output - target
    return difference.square().mean(), difference


def mse_backward(saved: Tensor) -> Tensor:
    """Differentiate the mean of M squares: ``2 / M`` times every difference."""
    return saved * (2 / saved.numel())


def sgd_step(params: list[tuple[Tensor, Tensor]], lr: float) -> None:
    """Step against the gradient."""
    for parameter, grad in params:
        parameter.sub_(lr * grad)

"""Two-dimensional convolution (lesson 03; section 2.2 of the report)."""

from __future__ import annotations

import torch
from torch import Tensor

from n2n_lib import init, kernels
from n2n_lib.module import Module, as_batch, as_pair


class Conv2d(Module):
    r"""Slide a window over the image and take a weighted sum at every place.

    .. math::

        y_{n,o,i,j} = b_o + \sum_{c,u,v} w_{o,c,u,v}\;
        x_{n,\,c,\;i s_H + u d_H - p_H,\;j s_W + v d_W - p_W}

    with :math:`x = 0` outside the image.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    kernel_size, stride, padding, dilation : int or (int, int)
        As in ``torch.nn.Conv2d``; a pair means (height, width).
    bias : bool
        Whether to add a learned constant per output channel.
    generator : torch.Generator, optional
        Source of the initial weights; default is PyTorch's global one.

    Attributes
    ----------
    weight, weight_grad : Tensor
        ``(out_channels, in_channels, kH, kW)``. Initialised with Xavier's normal distribution.
    bias, bias_grad : Tensor or None
        ``(out_channels,)``. Initialised with the standard deviation of the weight.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a positive integer (padding: not negative) or a pair of them.

    Notes
    -----
    Section 2.2 of the report. The arithmetic is in ``n2n_lib.kernels``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        bias: bool = True,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        as_pair((in_channels, out_channels), "in_channels and out_channels", 1)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = as_pair(kernel_size, "kernel_size", 1)
        self.stride = as_pair(stride, "stride", 1)
        self.padding = as_pair(padding, "padding", 0)
        self.dilation = as_pair(dilation, "dilation", 1)
        self.weight = torch.empty(out_channels, in_channels, *self.kernel_size)
        init.xavier_normal_(self.weight, generator=generator)
        self.weight_grad = torch.zeros_like(self.weight)
        self.bias = self.bias_grad = None
        if bias:
            std = init.xavier_std(self.weight)
            self.bias = torch.empty(out_channels).normal_(0.0, std, generator=generator)
            self.bias_grad = torch.zeros_like(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve.

        Parameters
        ----------
        input : Tensor
            ``(N, in_channels, H, W)`` or ``(in_channels, H, W)``.

        Returns
        -------
        Tensor
            ``(N, out_channels, H', W')`` or ``(out_channels, H', W')`` with
            ``H' = (H + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1``.

        Raises
        ------
        TypeError, ValueError
            If the input is not a floating-point image batch with ``in_channels`` channels, or the
            window is larger than the padded image.
        """
        x = as_batch(input, self, self.in_channels, self.weight.dtype)
        check_window_fits(self, x.shape[2:])
        kernel_set = kernels.active()
        output, saved = kernel_set.conv2d_forward(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation
        )
        output = output if input.dim() == 4 else output[0]
        self._saved = kernel_set, saved, output.shape
        return output

    def backward(self, grad_output: Tensor) -> Tensor | None:
        """Add to ``weight_grad`` and ``bias_grad`` and return the gradient of the input.

        Parameters
        ----------
        grad_output : Tensor
            Gradient of the loss with respect to the output, of the output's shape.
        """
        kernel_set, saved, shape = self._take_saved()
        self._check_grad(grad_output, shape)
        grad_input, grad_weight, grad_bias = kernel_set.conv2d_backward(
            as_batch(grad_output, self, dtype=self.weight.dtype),
            saved,
            self.weight,
            self.stride,
            self.padding,
            self.dilation,
            self.needs_input_grad,
        )
        self._accumulate(grad_weight, grad_bias)
        if grad_input is None or grad_output.dim() == 4:
            return grad_input
        return grad_input[0]

    def _accumulate(self, grad_weight: Tensor, grad_bias: Tensor) -> None:
        self.weight_grad += grad_weight
        if self.bias_grad is not None:
            self.bias_grad += grad_bias

    def extra_repr(self) -> str:
        """Describe the arguments."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        for name, default in (("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1))):
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text if self.bias is not None else text + ", bias=False"


def check_window_fits(conv: Conv2d, size: tuple[int, int]) -> None:
    """Raise ValueError if the window of `conv` is larger than the padded image ``(H, W)``."""
    padded = tuple(n + 2 * p for n, p in zip(size, conv.padding, strict=True))
    window = tuple(d * (k - 1) + 1 for k, d in zip(conv.kernel_size, conv.dilation, strict=True))
    if window[0] > padded[0] or window[1] > padded[1]:
        raise ValueError(
            f"expected a window of at most the padded image {padded}, got {window} "
            f"(kernel_size={conv.kernel_size}, dilation={conv.dilation})"
        )

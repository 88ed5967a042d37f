"""Two-dimensional convolution (section 2.2 of the report)."""

from __future__ import annotations

import torch
from torch import Tensor

from n2n_lib.framework import init, kernels
from n2n_lib.framework.kernels import KernelSet
from n2n_lib.framework.module import Module, as_batch, as_pair


class KernelLayer(Module):
    """A layer whose arithmetic is a kernel: what `Conv2d` and the layers like it share.

    A layer calls its kernel in ``forward`` and ends with `_finish`; `_kernel_backward` calls the
    kernel's other half.
    """

    def _finish(self, input: Tensor, kernel_set: KernelSet, result: tuple) -> Tensor:
        """Remember what backward needs; one image comes back as one image."""
        output, saved = result
        output = output if input.dim() == 4 else output[0]
        self._saved = kernel_set, saved, output.shape
        return output

    def backward(self, grad_output: Tensor) -> Tensor | None:
        """Add to the gradients of weight and bias and return the gradient of the input.

        Parameters
        ----------
        grad_output : Tensor
            Gradient of the loss with respect to the output, of the output's shape.
        """
        kernel_set, saved, shape = self._take_saved()
        self._check_grad(grad_output, shape)
        owner = self._owner()
        grad = as_batch(grad_output, self, dtype=owner.weight.dtype)
        grad_input, grad_weight, grad_bias = self._kernel_backward(kernel_set, grad, saved)
        # Autograd may watch the input, but gets no hold of what lasts from step to step.
        owner.weight_grad += grad_weight.detach()
        if owner.bias_grad is not None:
            owner.bias_grad += grad_bias.detach()
        if grad_input is None or grad_output.dim() == 4:
            return grad_input
        return grad_input[0]

    def _kernel_backward(self, kernel_set: KernelSet, grad: Tensor, saved: object) -> tuple:
        """Return the gradients of input, weight and bias."""
        raise NotImplementedError(f"{type(self).__name__} does not define _kernel_backward")

    def _owner(self) -> Module:
        """Return the layer whose parameters they are."""
        return self

    def _make_parameters(
        self, shape: tuple[int, ...], channels: int | None, generator: torch.Generator | None
    ) -> None:
        """Draw a weight of this shape and, unless `channels` is None, so many biases."""
        self.weight = torch.empty(*shape)
        init.xavier_normal_(self.weight, generator=generator)
        self.weight_grad = torch.zeros_like(self.weight)
        self.bias = self.bias_grad = None
        if channels is not None:
            std = init.xavier_std(self.weight)
            self.bias = torch.empty(channels).normal_(0.0, std, generator=generator)
            self.bias_grad = torch.zeros_like(self.bias)

    def _describe(self, **defaults: int) -> str:
        """Describe the arguments, those that have their default left out."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        for name, default in defaults.items():
            if getattr(self, name) != (default, default):
                text += f", {name}={getattr(self, name)}"
        return text if self.bias is not None else text + ", bias=False"


class Conv2d(KernelLayer):
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
    Section 2.2 of the report. The arithmetic is in ``n2n_lib.framework.kernels``.

    Examples
    --------
    >>> conv = Conv2d(3, 32, kernel_size=2, stride=2)
    >>> y = conv(torch.rand(100, 3, 32, 32))
    >>> y.shape
    torch.Size([100, 32, 16, 16])
    >>> conv.backward(torch.ones_like(y)).shape  # and conv.weight_grad, conv.bias_grad are filled
    torch.Size([100, 3, 32, 32])
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
        shape = (out_channels, in_channels, *self.kernel_size)
        self._make_parameters(shape, out_channels if bias else None, generator)

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
        geometry = (self.stride, self.padding, self.dilation)
        result = kernel_set.conv2d_forward(x, self.weight, self.bias, *geometry)
        return self._finish(input, kernel_set, result)

    def _kernel_backward(self, kernel_set: KernelSet, grad: Tensor, saved: object) -> tuple:
        geometry = (self.stride, self.padding, self.dilation)
        return kernel_set.conv2d_backward(
            grad, saved, self.weight, *geometry, self.needs_input_grad
        )

    def extra_repr(self) -> str:
        """Describe the arguments."""
        return self._describe(stride=1, padding=0, dilation=1)


def check_window_fits(conv: Conv2d, size: tuple[int, int]) -> None:
    """Raise ValueError if the window of `conv` is larger than the padded image ``(H, W)``."""
    (height, width), (ph, pw), (dh, dw) = size, conv.padding, conv.dilation
    padded = height + 2 * ph, width + 2 * pw
    window = dh * (conv.kernel_size[0] - 1) + 1, dw * (conv.kernel_size[1] - 1) + 1
    if window[0] > padded[0] or window[1] > padded[1]:
        raise ValueError(
            f"expected a window of at most the padded image {padded}, got {window} "
            f"(kernel_size={conv.kernel_size}, dilation={conv.dilation})"
        )

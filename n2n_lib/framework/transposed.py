"""Transposed convolution (section 4 of the report)."""

from __future__ import annotations

import torch
from torch import Tensor

from n2n_lib.framework import kernels
from n2n_lib.framework.conv import KernelLayer
from n2n_lib.framework.kernels import KernelSet
from n2n_lib.framework.kernels.unfold import transposed_size
from n2n_lib.framework.module import as_batch, as_pair


class ConvTranspose2d(KernelLayer):
    r"""Put a window, multiplied with the pixel, around every pixel, and add what overlaps.

    .. math::

        y_{n,o,\;i s_H + u d_H - p_H,\;j s_W + v d_W - p_W} \mathrel{+}=
        x_{n,c,i,j}\, w_{c,o,u,v} \qquad \text{for all } c, i, j, u, v

    from :math:`y = b_o`; what lands outside the image is dropped. It is the adjoint of the
    convolution with the same weight, from ``out_channels`` to ``in_channels``:
    :math:`\langle \mathrm{conv}(y), x \rangle = \langle y, \mathrm{conv}^T(x) \rangle`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output.
    kernel_size, stride, padding, dilation : int or (int, int)
        Those of the convolution; a pair means (height, width). A larger stride makes the output
        larger, a larger padding makes it smaller.
    output_padding : int or (int, int)
        Rows and columns more at the bottom and the right; smaller than the stride or the dilation.
    bias : bool
        Whether to add a learned constant per output channel.
    generator : torch.Generator, optional
        Source of the initial weights; default is PyTorch's global one.

    Attributes
    ----------
    weight, weight_grad : Tensor
        ``(in_channels, out_channels, kH, kW)``. Initialised with Xavier's normal distribution.
    bias, bias_grad : Tensor or None
        ``(out_channels,)``. Initialised with the standard deviation of the weight.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a positive integer (paddings: not negative) or a pair of them, or
        `output_padding` is too large.

    Notes
    -----
    The report's section 4 names it as the next step. Arguments, names and sizes are those of
    ``torch.nn.ConvTranspose2d``. The arithmetic is in ``framework.kernels``: forward is what
    `Conv2d` does to return the gradient of its input, backward is a convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        output_padding: int | tuple[int, int] = 0,
        bias: bool = True,
        dilation: int | tuple[int, int] = 1,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        as_pair((in_channels, out_channels), "in_channels and out_channels", 1)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = as_pair(kernel_size, "kernel_size", 1)
        self.stride = as_pair(stride, "stride", 1)
        self.padding = as_pair(padding, "padding", 0)
        self.output_padding = as_pair(output_padding, "output_padding", 0)
        self.dilation = as_pair(dilation, "dilation", 1)
        for extra, *limits in zip(self.output_padding, self.stride, self.dilation, strict=True):
            if extra >= max(limits):
                raise ValueError(
                    "expected output_padding smaller than stride or dilation, got "
                    f"output_padding={self.output_padding}, stride={self.stride}, "
                    f"dilation={self.dilation}"
                )
        shape = (in_channels, out_channels, *self.kernel_size)
        self._make_parameters(shape, out_channels if bias else None, generator)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve, transposed.

        Parameters
        ----------
        input : Tensor
            ``(N, in_channels, H, W)`` or ``(in_channels, H, W)``.

        Returns
        -------
        Tensor
            ``(N, out_channels, H', W')`` or ``(out_channels, H', W')`` with ``H' = (H - 1) stride
            - 2 padding + dilation (kernel_size - 1) + output_padding + 1``.

        Raises
        ------
        TypeError, ValueError
            If the input is not a floating-point image batch with ``in_channels`` channels, or the
            padding leaves nothing of the output.
        """
        x = as_batch(input, self, self.in_channels, self.weight.dtype)
        geometry = (self.stride, self.padding, self.output_padding, self.dilation)
        size = transposed_size(x.shape[2:], self.kernel_size, *geometry)
        if min(size) < 1:
            raise ValueError(
                f"expected an image that the padding {self.padding} leaves an output of, got "
                f"{tuple(x.shape[2:])}, whose output would be {size}"
            )
        kernel_set = kernels.active()
        result = kernel_set.conv_transpose2d_forward(x, self.weight, self.bias, *geometry)
        return self._finish(input, kernel_set, result)

    def _kernel_backward(self, kernel_set: KernelSet, grad: Tensor, saved: object) -> tuple:
        geometry = (self.stride, self.padding, self.dilation)
        return kernel_set.conv_transpose2d_backward(
            grad, saved, self.weight, *geometry, self.needs_input_grad
        )

    def extra_repr(self) -> str:
        """Describe the arguments."""
        return self._describe(stride=1, padding=0, output_padding=0, dilation=1)

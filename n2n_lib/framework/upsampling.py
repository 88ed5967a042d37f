"""Nearest-neighbour upsampling (section 2.3 of the report)."""

from __future__ import annotations

import torch
from torch import Tensor

from n2n_lib.framework import kernels
from n2n_lib.framework.conv import Conv2d, KernelLayer, check_window_fits
from n2n_lib.framework.kernels import KernelSet
from n2n_lib.framework.module import Module, as_batch, as_pair


class NNUpsampling(Module):
    r"""Copy every pixel into a block of ``scale_factor`` by ``scale_factor`` pixels.

    .. math:: y_{n,c,i,j} = x_{n,\,c,\,\lfloor i/s_H \rfloor,\,\lfloor j/s_W \rfloor}

    Parameters
    ----------
    scale_factor : int or (int, int)
        How many times larger the output is; a pair means (height, width).

    Raises
    ------
    TypeError, ValueError
        If `scale_factor` is not a positive integer or a pair of them.

    Notes
    -----
    Equations 1 (forward) and 2 (backward) of the report.

    Examples
    --------
    >>> NNUpsampling(2)(torch.tensor([[[1.0, 2.0]]]))
    tensor([[[1., 1., 2., 2.],
             [1., 1., 2., 2.]]])
    """

    def __init__(self, scale_factor: int | tuple[int, int] = 2) -> None:
        self.scale_factor = as_pair(scale_factor, "scale_factor", 1)

    def forward(self, input: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, C, s H, s W)``; one image ``(C, H, W)`` stays 3-D."""
        kernel_set = kernels.active()
        output = kernel_set.nn_upsample_forward(as_batch(input, self), self.scale_factor)
        output = output if input.dim() == 4 else output[0]
        self._saved = kernel_set, output.shape
        return output

    def backward(self, grad_output: Tensor) -> Tensor:
        """Sum the gradient over every block: ``(N, C, s H, s W)`` to ``(N, C, H, W)``."""
        kernel_set, shape = self._take_saved()
        self._check_grad(grad_output, shape)
        grad = as_batch(grad_output, self)
        grad_input = kernel_set.nn_upsample_backward(grad, self.scale_factor)
        return grad_input if grad_output.dim() == 4 else grad_input[0]

    def extra_repr(self) -> str:
        """Describe the arguments."""
        return f"scale_factor={self.scale_factor}"


class Upsampling(KernelLayer):
    """Nearest-neighbour upsampling followed by a convolution, the report's ``TransposeConv2d``.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, bias, generator
        Those of the convolution, see `Conv2d`.
    scale_factor : int or (int, int)
        That of the upsampling, see `NNUpsampling`.

    Attributes
    ----------
    conv : Conv2d
        The convolution; its ``weight`` and ``bias`` are the only parameters.

    Notes
    -----
    Section 2.3 of the report. The two steps are one kernel call, so that a kernel set may merge
    them.

    Examples
    --------
    >>> Upsampling(64, 32, kernel_size=3, padding=1)(torch.rand(100, 64, 8, 8)).shape
    torch.Size([100, 32, 16, 16])
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
        scale_factor: int | tuple[int, int] = 2,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        self.scale_factor = as_pair(scale_factor, "scale_factor", 1)
        self.conv = Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            bias,
            generator=generator,
        )

    def forward(self, input: Tensor) -> Tensor:
        """Upsample and convolve.

        Parameters
        ----------
        input : Tensor
            ``(N, in_channels, H, W)`` or ``(in_channels, H, W)``.

        Returns
        -------
        Tensor
            What ``Conv2d`` makes of the upsampled image ``(N, in_channels, s H, s W)``.
        """
        conv, scale = self.conv, self.scale_factor
        x = as_batch(input, self, conv.in_channels, conv.weight.dtype)
        check_window_fits(conv, (scale[0] * x.shape[2], scale[1] * x.shape[3]))
        kernel_set = kernels.active()
        geometry = (conv.stride, conv.padding, conv.dilation, scale)
        result = kernel_set.upsample_conv2d_forward(x, conv.weight, conv.bias, *geometry)
        return self._finish(input, kernel_set, result)

    def _kernel_backward(self, kernel_set: KernelSet, grad: Tensor, saved: object) -> tuple:
        conv = self.conv
        geometry = (conv.stride, conv.padding, conv.dilation, self.scale_factor)
        return kernel_set.upsample_conv2d_backward(
            grad, saved, conv.weight, *geometry, self.needs_input_grad
        )

    def _owner(self) -> Conv2d:
        return self.conv

    def extra_repr(self) -> str:
        """Describe the arguments."""
        return f"{self.conv.extra_repr()}, scale_factor={self.scale_factor}"


NearestUpsampling = NNUpsampling
TransposeConv2d = Upsampling

"""Activation functions (section 2.4 of the report)."""

from __future__ import annotations

import torch
from torch import Tensor

from n2n_lib.framework import kernels
from n2n_lib.framework.module import Module
from n2n_lib.support.arguments import check_number


def _check_floating(x: Tensor, module: Module) -> None:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        got = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{type(module).__name__} expected a floating-point tensor, got {got}")
    if x.numel() == 0:
        raise ValueError(
            f"{type(module).__name__} expected a non-empty input, got shape {tuple(x.shape)}"
        )


class ReLU(Module):
    """Keep what is positive: ``y = max(x, 0)``, with slope 0 at ``x = 0`` as in PyTorch.

    Parameters
    ----------
    inplace : bool
        Overwrite the input in `forward` and the gradient in `backward` instead of allocating new
        tensors, where the kernel set can. Use it where nobody else reads them, as inside a network.

    Notes
    -----
    Section 2.4 of the report; Glorot, Bordes and Bengio (2011), its reference [4].
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Return ``max(input, 0)``, of the shape of `input`."""
        _check_floating(input, self)
        kernel_set = kernels.active()
        output = kernel_set.relu_forward(input, self.inplace)
        self._saved = kernel_set, output
        return output

    def backward(self, grad_output: Tensor) -> Tensor:
        """Multiply with the slope: 1 where the output is positive, else 0."""
        kernel_set, output = self._take_saved()
        self._check_grad(grad_output, output.shape)
        return kernel_set.relu_backward(grad_output, output, self.inplace)

    def extra_repr(self) -> str:
        """Describe the arguments."""
        return "inplace=True" if self.inplace else ""


class LeakyReLU(Module):
    """Let a little of the negative side through: ``y = x`` if ``x > 0`` else ``negative_slope x``.

    Parameters
    ----------
    negative_slope : float
        Slope for ``x <= 0``.

    Raises
    ------
    TypeError, ValueError
        If `negative_slope` is not a finite number.

    Notes
    -----
    Maas, Hannun and Ng (2013), the report's reference [6].
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = check_number("negative_slope", negative_slope)

    def forward(self, input: Tensor) -> Tensor:
        """Return the activation, of the shape of `input`."""
        _check_floating(input, self)
        # Multiplying with 1 and the negative slope is faster than choosing between two results.
        if 0 <= self.negative_slope <= 1:
            self._saved = input.sign().clamp_(min=self.negative_slope)
        else:
            positive = (input > 0).to(input.dtype)
            self._saved = positive + self.negative_slope * (1 - positive)
        return input * self._saved

    def backward(self, grad_output: Tensor) -> Tensor:
        """Multiply the gradient with the slope, 1 or `negative_slope`."""
        slope = self._take_saved()
        self._check_grad(grad_output, slope.shape)
        return grad_output * slope

    def extra_repr(self) -> str:
        """Describe the arguments."""
        return f"negative_slope={self.negative_slope}"


class ELU(Module):
    """Bend smoothly to ``-alpha``: ``y = x`` if ``x > 0`` else ``alpha (exp(x) - 1)``.

    Parameters
    ----------
    alpha : float
        The value approached for ``x`` towards minus infinity, with its sign turned.

    Raises
    ------
    TypeError, ValueError
        If `alpha` is not a finite positive number.

    Notes
    -----
    Clevert, Unterthiner and Hochreiter (2015), the report's reference [9].
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = check_number("alpha", alpha, above=0)

    def forward(self, input: Tensor) -> Tensor:
        """Return the activation, of the shape of `input`."""
        _check_floating(input, self)
        below = self.alpha * torch.expm1(input.clamp(max=0))  # clamp: exp of a large x overflows
        self._saved = torch.where(input > 0, input, below)
        return self._saved

    def backward(self, grad_output: Tensor) -> Tensor:
        """Multiply with the slope: 1 for ``x > 0``, else ``alpha exp(x) = y + alpha``."""
        y = self._take_saved()
        self._check_grad(grad_output, y.shape)
        return grad_output * torch.where(y > 0, torch.ones_like(y), y + self.alpha)

    def extra_repr(self) -> str:
        """Describe the arguments."""
        return f"alpha={self.alpha}"


class Sigmoid(Module):
    r"""Squeeze any number into (0, 1): :math:`\sigma(x) = 1 / (1 + e^{-x})`.

    Notes
    -----
    Section 2.4 of the report. For a large negative x, :math:`e^{-x}` overflows. So we use
    :math:`\sigma(x) = e^{\min(x, 0)} / (1 + e^{-|x|})`, which is the same number and takes the
    exponential of negative numbers only. The slope is :math:`\sigma(x)\,(1 - \sigma(x))`.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the activation, of the shape of `input`."""
        _check_floating(input, self)
        kernel_set = kernels.active()
        output = kernel_set.sigmoid_forward(input)
        self._saved = kernel_set, output
        return output

    def backward(self, grad_output: Tensor) -> Tensor:
        """Multiply the gradient with ``y (1 - y)``."""
        kernel_set, output = self._take_saved()
        self._check_grad(grad_output, output.shape)
        return kernel_set.sigmoid_backward(grad_output, output)

"""Random initial weights (lesson 07; section 2.2 of the report)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def fan_in_and_fan_out(weight: Tensor) -> tuple[int, int]:
    """Count how many inputs feed one output and how many outputs one input feeds.

    Parameters
    ----------
    weight : Tensor
        ``(out, in, ...)`` with at least two dimensions; for a convolution ``(out, in, kH, kW)``.

    Returns
    -------
    (int, int)
        ``in * kH * kW`` and ``out * kH * kW``: PyTorch's definition.

    Raises
    ------
    ValueError
        If `weight` has fewer than two dimensions.
    """
    if weight.dim() < 2:
        raise ValueError(f"expected a weight of two or more dimensions, got {tuple(weight.shape)}")
    window = math.prod(weight.shape[2:])
    return weight.shape[1] * window, weight.shape[0] * window


def xavier_std(weight: Tensor, gain: float = 1.0) -> float:
    r"""Return the standard deviation of Xavier's initialisation.

    .. math:: \sigma = \text{gain} \sqrt{2 / (\text{fan}_{in} + \text{fan}_{out})}

    Notes
    -----
    Glorot and Bengio (2010), equation 12, the report's reference [11]: halfway between keeping the
    variance of the activations (1 / fan_in) and that of the gradients (1 / fan_out).
    """
    return gain * math.sqrt(2.0 / sum(fan_in_and_fan_out(weight)))


def xavier_normal_(
    weight: Tensor, gain: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """Fill `weight` in place from a normal distribution of mean 0 and deviation `xavier_std`."""
    with torch.no_grad():
        return weight.normal_(0.0, xavier_std(weight, gain), generator=generator)

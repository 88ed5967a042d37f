"""Random initial weights (section 2.2 of the report)."""

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


def xavier_uniform_(
    weight: Tensor, gain: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    r"""Fill `weight` in place, evenly between :math:`\pm\sqrt{3}` times `xavier_std`.

    A uniform distribution between -a and a has the standard deviation :math:`a / \sqrt{3}`.
    """
    bound = math.sqrt(3.0) * xavier_std(weight, gain)
    with torch.no_grad():
        return weight.uniform_(-bound, bound, generator=generator)


def he_std(weight: Tensor, negative_slope: float = 0.0, mode: str = "fan_in") -> float:
    r"""Return the standard deviation of He's initialisation, made for networks of ReLUs.

    .. math:: \sigma = \sqrt{\frac{2}{(1 + a^2)\,\text{fan}}}

    A ReLU halves the mean square of what goes through it; a leaky one of slope a leaves the share
    :math:`(1 + a^2) / 2` of it. Weights of this size make up for that.

    Parameters
    ----------
    weight : Tensor
        ``(out, in, ...)`` with at least two dimensions.
    negative_slope : float
        The slope a of the activation that follows: 0 for `ReLU`.
    mode : {"fan_in", "fan_out"}
        Whether to keep the size of the activations or that of the gradients.

    Raises
    ------
    ValueError
        If `weight` has fewer than two dimensions, or there is no such mode.

    Notes
    -----
    He, Zhang, Ren and Sun (2015), Delving deep into rectifiers, equations 10, 14 and 15; the
    report's reference [7]. PyTorch calls it Kaiming initialisation.
    """
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"expected the mode fan_in or fan_out, got {mode!r}")
    fan = fan_in_and_fan_out(weight)[mode == "fan_out"]
    return math.sqrt(2.0 / (1 + negative_slope**2)) / math.sqrt(fan)


def he_normal_(
    weight: Tensor,
    negative_slope: float = 0.0,
    mode: str = "fan_in",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill `weight` in place from a normal distribution of mean 0 and deviation `he_std`."""
    with torch.no_grad():
        return weight.normal_(0.0, he_std(weight, negative_slope, mode), generator=generator)


def he_uniform_(
    weight: Tensor,
    negative_slope: float = 0.0,
    mode: str = "fan_in",
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Fill `weight` in place, evenly between :math:`\pm\sqrt{3}` times `he_std`."""
    bound = math.sqrt(3.0) * he_std(weight, negative_slope, mode)
    with torch.no_grad():
        return weight.uniform_(-bound, bound, generator=generator)

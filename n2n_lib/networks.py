"""The networks that a saved model can name (lesson 08; section 3 of the report)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from n2n_lib.activations import ReLU, Sigmoid
from n2n_lib.containers import Sequential
from n2n_lib.conv import Conv2d
from n2n_lib.upsampling import Upsampling


def report_network(*, generator: torch.Generator | None = None) -> Sequential:
    """Build the network of the report: two convolutions down, two upsamplings up.

    Parameters
    ----------
    generator : torch.Generator, optional
        Source of the initial weights; default is PyTorch's global one.

    Returns
    -------
    Sequential
        Maps ``(N, 3, H, W)`` in 0-1 to the same shape and range; H and W multiples of 4. A side
        of 32 becomes 16, 8, (upsampled 16,) 17, (upsampled 34,) 32. 17 763 parameters.

    Notes
    -----
    Section 3 of the report.
    """
    return Sequential(
        Conv2d(3, 32, kernel_size=2, stride=2, generator=generator),
        ReLU(inplace=True),
        Conv2d(32, 64, kernel_size=2, stride=2, generator=generator),
        ReLU(inplace=True),
        Upsampling(64, 32, kernel_size=2, padding=1, generator=generator),
        ReLU(inplace=True),
        Upsampling(32, 3, kernel_size=3, padding=0, generator=generator),
        Sigmoid(),
    )


def report_3x3_network(*, generator: torch.Generator | None = None) -> Sequential:
    """Build the report's network with a better decoder: both windows 3 x 3, padded by 1.

    Parameters
    ----------
    generator : torch.Generator, optional
        Source of the initial weights; default is PyTorch's global one.

    Returns
    -------
    Sequential
        Maps ``(N, 3, H, W)`` in 0-1 to the same shape and range; H and W multiples of 4. A side
        of 32 becomes 16, 8, 16, 32. 28 003 parameters.
    """
    return Sequential(
        Conv2d(3, 32, kernel_size=2, stride=2, generator=generator),
        ReLU(inplace=True),
        Conv2d(32, 64, kernel_size=2, stride=2, generator=generator),
        ReLU(inplace=True),
        Upsampling(64, 32, kernel_size=3, padding=1, generator=generator),
        ReLU(inplace=True),
        Upsampling(32, 3, kernel_size=3, padding=1, generator=generator),
        Sigmoid(),
    )


def conv_stack(*, generator: torch.Generator | None = None) -> Sequential:
    """Build a stack of 3 x 3 convolutions with 32, 64, 96, 64, 32 channels, to measure speed.

    Parameters
    ----------
    generator : torch.Generator, optional
        Source of the initial weights; default is PyTorch's global one.

    Returns
    -------
    Sequential
        Maps ``(N, 3, H, W)`` to the same shape, any H and W: the load of a U-Net at its finest
        scale.
    """
    layers, widths = [], (3, 32, 64, 96, 64, 32, 3)
    for before, after in zip(widths, widths[1:], strict=False):
        layers += [Conv2d(before, after, 3, padding=1, generator=generator), ReLU(inplace=True)]
    return Sequential(layers[:-1])


@dataclass(frozen=True)
class Network:
    """How to build a network and what it asks of its input.

    Attributes
    ----------
    build : callable
        Returns the network; takes ``generator`` and the network's own arguments.
    multiple : int
        Height and width must be multiples of this.
    halo : int
        An output pixel depends on input pixels at most this far away; a multiple of `multiple`.
    """

    build: Callable[..., Sequential]
    multiple: int
    halo: int


NETWORKS: dict[str, Network] = {
    "report": Network(report_network, multiple=4, halo=12),
    "report-3x3": Network(report_3x3_network, multiple=4, halo=12),
}


def find_network(name: str) -> Network:
    """Return the entry of `NETWORKS`.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if name not in NETWORKS:
        raise ValueError(f"expected a network out of {', '.join(NETWORKS)}, got {name!r}")
    return NETWORKS[name]

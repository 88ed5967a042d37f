"""The networks that a saved model can name (lessons 10 and 13; section 3 of the report)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from n2n_lib.framework import init
from n2n_lib.framework.activations import LeakyReLU, ReLU, Sigmoid
from n2n_lib.framework.containers import Concat, Residual, Sequential
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.module import Module, as_pair
from n2n_lib.framework.transposed import ConvTranspose2d
from n2n_lib.framework.upsampling import Upsampling


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


def report_transposed_network(
    *, kernel_size: int = 4, generator: torch.Generator | None = None
) -> Sequential:
    """Build the report's network with a decoder of transposed convolutions, as in its Figure 1 (c).

    Parameters
    ----------
    kernel_size : int
        Window of both transposed convolutions, 2 or more; their stride is 2. With 4 the windows
        overlap evenly, with 3 unevenly, with 2 not at all: then every block of 4 x 4 pixels is
        denoised by itself.
    generator : torch.Generator, optional
        Source of the initial weights; default is PyTorch's global one.

    Returns
    -------
    Sequential
        Maps ``(N, 3, H, W)`` in 0-1 to the same shape and range; H and W multiples of 4. A side
        of 32 becomes 16, 8, 16, 32. 17 283 parameters with 2, 28 003 with 3, 43 011 with 4.

    Raises
    ------
    TypeError, ValueError
        If `kernel_size` is not an integer of at least 2.
    """
    as_pair((kernel_size, kernel_size), "kernel_size", 2)
    padding = (kernel_size - 1) // 2
    window = {
        "kernel_size": kernel_size,
        "stride": 2,
        "padding": padding,
        "output_padding": 2 * padding + 2 - kernel_size,  # so that the side is doubled
        "generator": generator,
    }
    return Sequential(
        Conv2d(3, 32, kernel_size=2, stride=2, generator=generator),
        ReLU(inplace=True),
        Conv2d(32, 64, kernel_size=2, stride=2, generator=generator),
        ReLU(inplace=True),
        ConvTranspose2d(64, 32, **window),
        ReLU(inplace=True),
        ConvTranspose2d(32, 3, **window),
        Sigmoid(),
    )


def strided_network(*, width: int = 64, generator: torch.Generator | None = None) -> Sequential:
    """Build the report's network with windows that overlap, and more channels.

    The report's encoder cuts the image into blocks of 4 x 4 that never see each other. Here each
    window of 4 x 4 and stride 2 reaches into its neighbours, going down as well as going up. What
    has to pass through the middle is as narrow as in the report: no path leads around it.

    Parameters
    ----------
    width : int
        Channels at half size; twice as many at a quarter.
    generator : torch.Generator, optional
        Source of the initial weights; default is PyTorch's global one.

    Returns
    -------
    Sequential
        Maps ``(N, 3, H, W)`` in 0-1 to the same shape and range; H and W multiples of 4. A side
        of 32 becomes 16, 8, 16, 32. 268 547 parameters as it is built by default. Weights start
        from `init.he_normal_`, biases at 0.

    Raises
    ------
    TypeError, ValueError
        If `width` is not a positive integer.
    """
    as_pair((width, width), "width", 1)
    window = {"kernel_size": 4, "stride": 2, "padding": 1, "generator": generator}
    network = Sequential(
        Conv2d(3, width, **window),
        ReLU(inplace=True),
        Conv2d(width, 2 * width, **window),
        ReLU(inplace=True),
        ConvTranspose2d(2 * width, width, **window),
        ReLU(inplace=True),
        ConvTranspose2d(width, 3, **window),
        Sigmoid(),
    )
    _start_from_he(network, 0.0, generator)
    return network


def unet(
    *,
    width: int = 32,
    depth: int = 2,
    convs: int = 1,
    slope: float = 0.1,
    generator: torch.Generator | None = None,
) -> Residual:
    """Build a U-Net that predicts the noise: nested chains with a skip connection at every scale.

    ::

        x ── 3x3 ── 3x3 ──┬───────────────────────────────┬─ cat ── 3x3 ── 3x3 ── (+ x)
                          └─ 2x2/2 ── 3x3 ── ... ── up ───┘

    Every scale down halves the image and doubles the channels; ``...`` is the next one, between a
    `Concat` and the convolution that joins its halves. Without activations after it, the last
    convolution is free to predict noise of both signs.

    Parameters
    ----------
    width : int
        Channels at full size.
    depth : int
        How often the image is halved.
    convs : int
        Convolutions of 3 x 3 at each scale on the way down, beside the one that opens it.
    slope : float
        Negative slope of the leaky ReLUs; with 0 they are plain ones.
    generator : torch.Generator, optional
        Source of the initial weights; default is PyTorch's global one.

    Returns
    -------
    Residual
        Maps ``(N, 3, H, W)`` in 0-1 to the same shape; H and W multiples of ``2**depth``. The
        output may leave 0-1 by as much as the noise does. 421 187 parameters as it is built by
        default. Weights start from `init.he_normal_`, those of the last convolution a tenth of
        that, so that the network starts near the identity; biases start at 0.

    Raises
    ------
    TypeError, ValueError
        If `width`, `depth` or `convs` is not a positive integer (convs: not negative), `depth` is
        more than 8 or `convs` more than 16, or `slope` is not finite.

    Notes
    -----
    Ronneberger, Fischer and Brox (2015), U-Net; Zhang et al. (2017), Beyond a Gaussian denoiser,
    for the prediction of the noise; Lehtinen et al. (2018), Noise2Noise, for both together.
    """
    as_pair((width, depth), "width and depth", 1)
    as_pair((convs, convs), "convs", 0)
    if depth > 8 or convs > 16:  # such numbers come from damaged files
        raise ValueError(f"expected depth up to 8 and convs up to 16, got {depth} and {convs}")

    def conv(before: int, after: int, size: int = 3, stride: int = 1) -> list[Module]:
        padding = size // 2 if stride == 1 else 0
        return [Conv2d(before, after, size, stride, padding, generator=generator), activation()]

    def activation() -> Module:
        return LeakyReLU(slope) if slope else ReLU(inplace=True)

    def below(channels: int, depth: int) -> Sequential:
        inner = 2 * channels
        layers = conv(channels, inner, size=2, stride=2)
        for _ in range(convs):
            layers += conv(inner, inner)
        if depth > 1:
            layers += [Concat(below(inner, depth - 1)), *conv(2 * inner, inner)]
        up = Upsampling(inner, channels, 3, padding=1, generator=generator)
        return Sequential(layers + [up, activation()])

    layers = conv(3, width)
    for _ in range(convs):
        layers += conv(width, width)
    layers += [Concat(below(width, depth)), *conv(2 * width, width)]
    last = Conv2d(width, 3, 3, padding=1, generator=generator)
    network = Residual(Sequential(layers + [last]))
    _start_from_he(network, slope, generator)
    last.weight.mul_(0.1)
    return network


def _start_from_he(network: Module, slope: float, generator: torch.Generator | None) -> None:
    """Draw the weights of all convolutions anew, by He's rule; biases start at 0."""
    for module in network.modules():
        if isinstance(module, (Conv2d, ConvTranspose2d)):
            init.he_normal_(module.weight, slope, generator=generator)
            module.bias.zero_()


def unet_sizes(*, depth: int = 2, convs: int = 1, **others) -> tuple[int, int]:
    """Return what a U-Net asks of its input: see `NetworkSpec.sizes`.

    From one scale to the next, r pixels of the small image are 2r of the large one, and 2 more for
    the convolution after the upsampling and for the place of a pixel within its 2 x 2 block.
    """
    reach = 0
    for scale in range(depth):
        reach = 2 * (convs + reach + (scale > 0)) + 2  # the (scale > 0): the joining convolution
    reach += convs + 3
    multiple = 2**depth
    return multiple, -(-reach // multiple) * multiple


def conv_stack(
    *, inner: tuple[int, ...] = (32, 64, 96, 64, 32), generator: torch.Generator | None = None
) -> Sequential:
    """Build a stack of 3 x 3 convolutions, to measure speed.

    Parameters
    ----------
    inner : tuple of int
        Channels between the first convolution and the last.
    generator : torch.Generator, optional
        Source of the initial weights; default is PyTorch's global one.

    Returns
    -------
    Sequential
        Maps ``(N, 3, H, W)`` to the same shape, any H and W: as it is built by default, the load of
        a U-Net at its finest scale.
    """
    layers, widths = [], (3, *inner, 3)
    for before, after in zip(widths, widths[1:], strict=False):
        layers += [Conv2d(before, after, 3, padding=1, generator=generator), ReLU(inplace=True)]
    return Sequential(layers[:-1])


@dataclass(frozen=True)
class NetworkSpec:
    """How to build a network and what it asks of its input.

    Attributes
    ----------
    build : callable
        Returns the network; takes ``generator`` and the network's own arguments.
    multiple : int
        Height and width must be multiples of this.
    halo : int
        An output pixel depends on input pixels at most this far away; a multiple of `multiple`.
    sizes_of : callable, optional
        Where the network's own arguments decide on both: takes them, returns the two. `multiple`
        and `halo` are then those of the network that is built without arguments.
    """

    build: Callable[..., Module]
    multiple: int
    halo: int
    sizes_of: Callable[..., tuple[int, int]] | None = None

    def sizes(self, **arguments) -> tuple[int, int]:
        """Return `multiple` and `halo` of the network that `arguments` build."""
        if self.sizes_of is None:
            return self.multiple, self.halo
        return self.sizes_of(**arguments)


CUSTOM = "custom"
"""Stands for a network of one's own where the name of one is asked for."""

NETWORKS: dict[str, NetworkSpec] = {
    "report": NetworkSpec(report_network, multiple=4, halo=12),
    "report-3x3": NetworkSpec(report_3x3_network, multiple=4, halo=12),
    "report-transposed": NetworkSpec(report_transposed_network, multiple=4, halo=12),
    "strided": NetworkSpec(strided_network, multiple=4, halo=12),
    "unet": NetworkSpec(unet, *unet_sizes(), sizes_of=unet_sizes),
}


def find_network(name: str) -> NetworkSpec:
    """Return the entry of `NETWORKS`.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if name not in NETWORKS:
        raise ValueError(f"expected a network out of {', '.join(NETWORKS)}, got {name!r}")
    return NETWORKS[name]

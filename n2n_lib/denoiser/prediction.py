"""Denoising images of any size: range, padding, tiles, the ensemble (lesson 10)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad  # noqa: TID251 (a function, not a module)

from n2n_lib.denoiser.images import check_images, to_unit, warn_of_unit
from n2n_lib.denoiser.networks import CUSTOM, find_network
from n2n_lib.framework.module import Module
from n2n_lib.support.arguments import check_number
from n2n_lib.support.threads import Chooser

TILE = 512
"""Side of the tiles in which a large image is worked through, in pixels."""

MANY, TRIED = 2 * TILE * TILE, 128
"""Pixels that have to come together before it is tried how many threads are best, and the side of
the piece it is tried on. What is less takes one thread."""


def _turn(image: Tensor, quarters: int, mirrored: bool) -> Tensor:
    turned = torch.rot90(image, quarters, (2, 3))
    return turned.flip(3) if mirrored else turned


def _turn_back(image: Tensor, quarters: int, mirrored: bool) -> Tensor:
    return torch.rot90(image.flip(3) if mirrored else image, -quarters, (2, 3))


_SYMMETRIES = [
    (
        partial(_turn, quarters=quarters, mirrored=mirrored),
        partial(_turn_back, quarters=quarters, mirrored=mirrored),
    )
    for mirrored in (False, True)
    for quarters in range(4)
]


class Denoiser:
    """A network together with what it takes to denoise images 0-255 of any size with it.

    Parameters, attributes and errors are those of `n2n_lib.Model`, which adds training and files.

    Attributes
    ----------
    network_name : str
        Name of the network out of ``networks.NETWORKS``, or ``networks.CUSTOM``.
    arguments : dict
        What the named network was built with.
    multiple : int
        Height and width of the network's input must be multiples of this.
    chooser : Chooser
        Decides how many threads `predict` computes on; after it, its text says what and why.
    halo : int or None
        How far an output pixel looks; None if nobody knows: then there are no tiles.
    """

    def __init__(self, network: str | Module = "report", *, seed: int = 0, **arguments) -> None:
        if isinstance(network, Module):
            if arguments:
                raise TypeError(f"expected no arguments beside a module, got {sorted(arguments)}")
            self._hold(network, CUSTOM, {})
        elif isinstance(network, str):
            generator = torch.Generator().manual_seed(seed)
            built = find_network(network).build(**arguments, generator=generator)
            self._hold(built, network, arguments)
        else:
            got = type(network).__name__
            raise TypeError(f"expected the name of a network or a Module, got {got}")
        self.sigma: float | None = None

    def _hold(self, network: Module, name: str, arguments: dict) -> None:
        """Take over a network that was built by this name with these arguments."""
        own = name == CUSTOM
        self.multiple, self.halo = (1, None) if own else find_network(name).sizes(**arguments)
        self.network, self.network_name, self.arguments = network, name, dict(arguments)
        self.chooser, self._pixels = Chooser(), 0

    @property
    def example(self) -> Tensor:
        """A tensor of the network's device and dtype."""
        pairs = self.network.param()
        return pairs[0][0] if pairs else torch.empty(0)

    def predict(
        self,
        test_input: Tensor,
        *,
        sigma: float | None = None,
        ensemble: bool = False,
        strength: float = 1.0,
    ) -> Tensor:
        """Denoise images.

        Parameters
        ----------
        test_input : Tensor
            ``(N, 3, H, W)`` or ``(3, H, W)``, 0-255, ``uint8`` or floating point. Noise may push
            values outside 0-255. Not changed.
        sigma : float, optional
            Standard deviation of gaussian noise in the images, in grey levels of 255. A network
            that was trained at one level (the attribute ``sigma``) is then shown the images on the
            scale on which their noise has that level, so that it serves other levels too. Without
            it the images are shown as they are. Other networks do without it.
        ensemble : bool
            Denoise all eight turned and mirrored versions of each image and take the mean of what
            comes out, turned back: a little better, eight times as slow.
        strength : float
            From 0 to 2. Below 1, so much of what would be taken away is: 0.7 leaves three tenths of
            the noise, which looks more natural to many. Beyond 1, what the network finds when it is
            shown its own output goes too, in part; 2 is cleaned twice.

        Returns
        -------
        Tensor
            Denoised images of the same shape and dtype, within 0-255.

        Raises
        ------
        TypeError, ValueError
            If the input is not such a tensor, is empty or holds a value that is not finite,
            `sigma` is not a finite positive number, `strength` is not from 0 to 2, or the network's
            output is not finite.

        Notes
        -----
        Large images are worked through in tiles of `TILE` pixels, with a border that makes them
        equal to the whole, so that memory does not grow with the image, on as many threads as pay;
        inside ``support.threads.threads(count)`` on that number. The ensemble is that of
        Timofte, Rothe and Van Gool (2016), Seven ways to improve example-based super resolution.
        """
        images = check_images(test_input, "test_input")
        warn_of_unit(images, "test_input")
        batch = images if images.dim() == 4 else images.unsqueeze(0)
        if sigma is not None:
            check_number("sigma", sigma, above=0)
        check_number("strength", strength, 0, 2)
        scale = 1.0 if sigma is None or self.sigma is None else self.sigma / sigma
        output = torch.empty(batch.shape, dtype=batch.dtype, device=batch.device)
        self._pixels += batch[:, 0].numel()
        single = "small pictures" if self._pixels < MANY else ""
        if self.example.device.type != "cpu":
            single = "another device computes"
        with torch.no_grad(), self.chooser.at_work(single):
            halo = self.halo if self.halo is None or strength <= 1 else 2 * self.halo
            per_chunk = max(1, TILE * TILE // (batch.shape[2] * batch.shape[3]))
            for start in range(0, len(batch), per_chunk):
                chunk = slice(start, start + per_chunk)
                for tile, inner, source in _tiles(*batch.shape[2:], halo):
                    noisy = to_unit(batch[chunk][..., source[0], source[1]]).to(self.example)
                    if self.chooser.due():
                        self._choose_threads(noisy)
                    pixels = noisy[:, 0].numel() * (8 if ensemble else 1)
                    with self.chooser.timed(pixels):
                        result = self._denoised(noisy, scale, ensemble)
                    if strength > 1:
                        with self.chooser.timed(pixels):
                            twice = self._denoised(result, scale, ensemble)
                        result = result.lerp(twice, strength - 1)
                    elif strength < 1:
                        result = noisy.lerp(result, strength)
                    result = result[..., inner[0], inner[1]].clamp(0, 1) * 255
                    if not output.is_floating_point():
                        result = result.round()
                    output[chunk][..., tile[0], tile[1]] = result.to(output)
        return output if images.dim() == 4 else output[0]

    def _choose_threads(self, unit: Tensor) -> None:
        """Try how many threads are best on a piece of what comes next."""
        piece = unit[: max(1, TRIED * TRIED // unit[0, 0].numel()), :, :TRIED, :TRIED]
        self.chooser.choose(lambda: self.forward(piece), piece[:, 0].numel())

    def _denoised(self, unit: Tensor, scale: float, ensemble: bool) -> Tensor:
        """Denoise images 0-1 at once, shown on another scale."""
        ways = _SYMMETRIES if ensemble else _SYMMETRIES[:1]
        shown = unit * scale
        result = sum(back(self.forward(turn(shown))) for turn, back in ways) / (len(ways) * scale)
        _check_finite(result)
        return result

    def forward(self, unit: Tensor) -> Tensor:
        """Run the network on images 0-1 ``(N, 3, H, W)`` of any size.

        They grow to the multiple that the network needs, and what comes out is cut back.

        Raises
        ------
        ValueError
            If the network does not keep the shape of its input.
        """
        height, width = unit.shape[2:]
        padded = pad_to_multiple(unit, self.multiple)
        with self.network.prediction_mode():
            output = self.network(padded)
        if output.shape != padded.shape:
            raise ValueError(
                "expected a network that keeps the shape of its input, got "
                f"{tuple(output.shape)} for {tuple(padded.shape)}"
            )
        return output[:, :, :height, :width]

    def to(self, device_or_dtype: torch.device | str | torch.dtype) -> Denoiser:
        """Move the network to a device or convert it to a floating-point dtype."""
        self.network.to(device_or_dtype)
        return self

    def __repr__(self) -> str:
        count = sum(parameter.numel() for parameter, _ in self.network.param())
        return f"{type(self).__name__}({self.network_name!r}, {count} parameters)"


def pad_to_multiple(unit: Tensor, multiple: int) -> Tensor:
    """Grow height and width to the next multiple by reflection.

    Where an image is too small for that, its last row and column are repeated.

    Parameters
    ----------
    unit : Tensor
        ``(N, C, H, W)``.
    multiple : int
        What height and width shall be multiples of.

    Returns
    -------
    Tensor
        Larger at the bottom and on the right; `unit` itself where it fits already.
    """
    bottom, right = (-n % multiple for n in unit.shape[2:])
    if not (bottom or right):
        return unit
    mirrors = bottom < unit.shape[2] and right < unit.shape[3]
    return pad(unit, (0, right, 0, bottom), mode="reflect" if mirrors else "replicate")


def _tiles(height: int, width: int, halo: int | None) -> Iterator[tuple]:
    """Yield (place in the image, place in the tile's output, the tile's source) as slices.

    A tile carries a border of `halo` pixels more than it keeps, so that it computes what the whole
    image would have given.
    """
    if halo is None or max(height, width) <= TILE:
        yield ((slice(0, height), slice(0, width)),) * 3
        return
    axes = []
    for size in (height, width):
        cuts = []
        for start in range(0, size, TILE):
            stop = min(start + TILE, size)
            low, high = max(start - halo, 0), min(stop + halo, size)
            cuts.append((slice(start, stop), slice(start - low, stop - low), slice(low, high)))
        axes.append(cuts)
    for row in axes[0]:
        for column in axes[1]:
            yield tuple(zip(row, column, strict=True))


def _check_finite(output: Tensor) -> None:
    """Raise unless all that a network computed are numbers: no clamp would tell."""
    if not torch.isfinite(output).all():
        bad = output[~torch.isfinite(output)][0].item()
        raise ValueError(
            f"expected a network that computes finite values, got {bad}{range_of(output.dtype)}"
        )


def range_of(dtype: torch.dtype) -> str:
    """Name a dtype and its largest number where it is a likely reason for an overflow."""
    largest = torch.finfo(dtype).max
    if largest > 1e6:
        return ""
    name = str(dtype).removeprefix("torch.")
    return f"; {name} ends at {largest:.0f}, float32 and bfloat16 do not"

"""Noise2Noise pairs and clean patches, drawn from photographs (lessons 01 and 02)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from n2n_lib.denoiser.camera import Cameras
from n2n_lib.denoiser.images import described
from n2n_lib.denoiser.noise import Gaussian, PixelSampling, make_noise
from n2n_lib.denoiser.photographs import SPLITS, listed, photographs
from n2n_lib.support.arguments import check_integer, check_number
from n2n_lib.support.threads import threads

BLOCKS = (4, 13)
"""Smallest and largest side, in source pixels, of a block under pixel sampling."""

SCALES = (1.0, 8.0)
"""Smallest and largest number of source pixels to one pixel of a patch, under any other noise."""

_CHUNK = 128  # thumbnails computed at once: intermediate results stay small and in the cache


class Pairs(NamedTuple):
    """Noise2Noise data: two noisy copies of each image, and the image itself.

    Attributes
    ----------
    noisy1, noisy2 : Tensor
        ``(N, 3, S, S)``, 0-255. uint8 under pixel sampling; otherwise float32 and *not* clipped,
        so that values below 0 and above 255 occur; but a camera's are whole numbers within 0-255.
    clean : Tensor or None
        float32 ``(N, 3, S, S)``, 0-255; None if it was not asked for. Training needs none.
    """

    noisy1: Tensor
    noisy2: Tensor
    clean: Tensor | None


Images = Mapping[str, Tensor] | Iterable[Tensor]
"""Photographs to draw from: uint8 ``(3, H, W)``, by name or in a row."""


@dataclass(frozen=True)
class Task:
    """Which pairs to draw out of photographs: the one place for noise, size, scale and jitter.

    The default task is *pixel sampling*: draw a photograph, a block of k x k source pixels with k
    from 4 to 13 as the photograph allows, a place, and flips. The clean thumbnail is the mean of
    each block; a noisy one takes one randomly chosen source pixel of each block, all channels
    together; two independent draws make a pair. The expectation of a noisy pixel is the clean one.

    Any other noise is added to area-averaged patches as `sample_patches` draws them. For "camera"
    they are drawn larger, since a camera may halve its pictures: see `camera.Cameras.pairs`.

    Attributes
    ----------
    noise : str or callable
        A name in `noise.NOISES`, or a zero-mean model ``noise(clean, generator)`` on floats 0-1.
    size : int
        Height and width S of a thumbnail.
    sigma : float or (float, float)
        For ``noise="gaussian"``: its standard deviation in grey levels of 255, or a range out of
        which each pair draws the one that both its copies have.
    scale : (float, float)
        For all noise but "pixels": as in `sample_patches`.
    jitter : float
        For all noise but "pixels": how much the colours of the clean patches vary, from 0 (not at
        all) to 1, as in `jitter_colours`.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a number or a name is out of range.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> Task(noise="gaussian").draw(5, photographs("train"), generator).noisy1.shape
    torch.Size([5, 3, 32, 32])
    """

    noise: str | Callable[[Tensor, torch.Generator], Tensor] = "pixels"
    size: int = 32
    sigma: float | tuple[float, float] = 25.0
    scale: tuple[float, float] = SCALES
    jitter: float = 0.0

    def __post_init__(self) -> None:
        check_integer("size", self.size, 1)
        _check_scale(self.scale)
        if not isinstance(self.noise, str) and not callable(self.noise):
            got = type(self.noise).__name__
            raise TypeError(f"expected a noise name or model, got {got}")
        samples_pixels = isinstance(self.noise_model, PixelSampling)
        check_number("jitter", self.jitter, 0, 1)
        if self.jitter and samples_pixels:
            raise ValueError(f"expected jitter 0 for pixel sampling, got {self.jitter}")

    @property
    def noise_model(self) -> Callable[[Tensor, torch.Generator], Tensor]:
        """The model of the noise."""
        return make_noise(self.noise, self.sigma) if isinstance(self.noise, str) else self.noise

    @property
    def level(self) -> float | None:
        """The one level of gaussian noise in grey levels of 255, if there is one."""
        model = self.noise_model
        return model.sigma if isinstance(model, Gaussian) and not model.varies else None

    def check_images(self, images: Images) -> list[Tensor]:
        """Return photographs in a row, on the CPU.

        Raises
        ------
        TypeError, ValueError
            If one is no photograph, or too small for this task.
        """
        pixels = isinstance(self.noise_model, PixelSampling)
        smallest = BLOCKS[0] if pixels else self.scale[0]
        return _sources(images, math.ceil(smallest * self._side))

    @property
    def _side(self) -> int:
        """Height and width of the patches that a pair is made of."""
        return Cameras.side(self.size) if isinstance(self.noise_model, Cameras) else self.size

    @threads(1)
    def draw(
        self, count: int, images: Images, generator: torch.Generator, *, with_clean: bool = True
    ) -> Pairs:
        """Draw Noise2Noise pairs.

        Parameters
        ----------
        count : int
            Number of pairs, N.
        images : mapping or iterable of Tensor
            Photographs to draw from.
        generator : torch.Generator
            Source of all randomness: the same seed gives the same bytes.
        with_clean : bool
            False leaves the clean images out (``clean`` is None), so that training provably never
            sees one. The noisy images are the same, byte for byte, either way.

        Returns
        -------
        Pairs
            ``noisy1``, ``noisy2``, ``clean``, each ``(N, 3, S, S)`` in 0-255.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described, or an image is too small for blocks of 4 x 4 (pixel
            sampling) or for the smallest scale (other noise).
        """
        check_integer("count", count, 1)
        _check_generator(generator)
        sources, noise = self.check_images(images), self.noise_model
        if isinstance(noise, PixelSampling):
            return _sample_pixel_pairs(count, sources, self.size, with_clean, generator)
        clean = sample_patches(
            count, images=sources, size=self._side, scale=self.scale, generator=generator
        )
        if self.jitter:
            clean = jitter_colours(clean, self.jitter, generator)
        if isinstance(noise, Cameras):
            drawn = noise.pairs(clean / 255, self.size, generator)
            noisy1, noisy2, clean = (255 * pictures for pictures in drawn)
            return Pairs(noisy1, noisy2, clean if with_clean else None)
        noisy1, noisy2 = torch.empty_like(clean), torch.empty_like(clean)
        levels = noise.levels(clean, generator) if isinstance(noise, Gaussian) else None
        for noisy in (noisy1, noisy2):
            for start in range(0, count, _CHUNK):
                part = slice(start, start + _CHUNK)
                told = () if levels is None else (levels[part],)
                noisy[part] = 255 * noise(clean[part] / 255, generator, *told)
        return Pairs(noisy1, noisy2, clean if with_clean else None)


def sample_pairs(
    count: int,
    *,
    images: Images | None = None,
    split: str = "train",
    noise: str | Callable[[Tensor, torch.Generator], Tensor] = "pixels",
    size: int = 32,
    sigma: float | tuple[float, float] = 25.0,
    scale: tuple[float, float] = SCALES,
    jitter: float = 0.0,
    with_clean: bool = True,
    generator: torch.Generator,
) -> Pairs:
    """Draw Noise2Noise pairs of thumbnails from photographs: ``Task(...).draw(...)`` in one call.

    Parameters
    ----------
    count, with_clean, generator
        As in `Task.draw`.
    images : mapping or iterable of Tensor, optional
        Source photographs, uint8 ``(3, H, W)``. The default is the photographs of `split`.
    split : {"train", "validation"}
        Which photographs to draw from when `images` is not given.
    noise, size, sigma, scale, jitter
        As in `Task`.

    Returns
    -------
    Pairs
        ``noisy1``, ``noisy2``, ``clean``, each ``(N, 3, S, S)`` in 0-255.

    Raises
    ------
    TypeError, ValueError
        As `Task` and `Task.draw`, or if the split is unknown.

    Notes
    -----
    50 000 pairs of 32 x 32 take about 150 MB for each uint8 tensor and 600 MB for each float32
    one. Thumbnails drawn from a handful of photographs overlap heavily.

    Examples
    --------
    >>> sample_pairs(2, generator=torch.Generator().manual_seed(0)).noisy1.shape
    torch.Size([2, 3, 32, 32])
    """
    task = Task(noise, size, sigma, scale, jitter)
    check_integer("count", count, 1)
    images = _photographs(split) if images is None else images
    return task.draw(count, images, generator, with_clean=with_clean)


@threads(1)
def sample_patches(
    count: int,
    *,
    images: Images | None = None,
    split: str = "train",
    size: int = 64,
    scale: tuple[float, float] = SCALES,
    generator: torch.Generator,
) -> Tensor:
    """Draw clean patches: crops of photographs, shrunk by averaging over areas.

    A crop at full resolution is far smoother than a thumbnail of the same size, so patches are
    shrunk by a factor drawn log-uniformly from `scale`, as far as the photograph allows. Each is
    flipped, or not, in both directions.

    Parameters
    ----------
    count : int
        Number of patches, N.
    images : mapping or iterable of Tensor, optional
        Source photographs, uint8 ``(3, H, W)``. The default is the photographs of `split`.
    split : {"train", "validation"}
        Which photographs to draw from when `images` is not given.
    size : int
        Height and width S of a patch.
    scale : (float, float)
        Smallest and largest number of source pixels to one pixel of the patch, each way, at
        least 1. ``(1.0, 1.0)`` cuts plain crops.
    generator : torch.Generator
        Source of all randomness: the same seed gives the same bytes.

    Returns
    -------
    Tensor
        float32 ``(N, 3, S, S)``, 0-255.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a number or a name is out of range, or an image is smaller than ``scale[0] * size``.
    """
    check_integer("count", count, 1)
    check_integer("size", size, 1)
    _check_generator(generator)
    smallest, largest = _check_scale(scale)
    images = _photographs(split) if images is None else images
    sources = _sources(images, math.ceil(smallest * size))

    which = _draw_integers(len(sources), count, generator)
    limits = torch.tensor([min(s.shape[1:]) / size for s in sources], dtype=torch.float64)
    limit = limits.clamp(max=largest)[which]
    # exp(uniform between log(smallest) and log(limit)): every doubling is equally likely.
    step = smallest * (limit / smallest) ** _draw_uniform(count, generator)
    rows, cols = _draw_edges(sources, which, step.clamp(max=limit), size, generator)

    patches = torch.empty(count, 3, size, size)
    for source, chosen in _grouped(sources, which):
        integral = _integral(source)
        for part in chosen.split(_CHUNK):
            patches[part] = _block_means(integral, rows[part], cols[part])
    return patches


def jitter_colours(patches: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    r"""Vary brightness, contrast and saturation, so that few photographs look like more.

    .. math::

        p_1 = b\, p, \qquad p_2 = m + c\, (p_1 - m), \qquad p_3 = g + s\, (p_2 - g)

    where m is the mean of the whole patch and g, at each pixel, the mean of its three colours. Each
    patch draws its own factors b, c and s, uniformly from 1 - strength to 1 + strength.

    Parameters
    ----------
    patches : Tensor
        Clean patches ``(N, 3, H, W)``, floating point, 0-255. Not changed.
    strength : float
        From 0 (the patches as they are) to 1.
    generator : torch.Generator
        Source of all randomness.

    Returns
    -------
    Tensor
        The same shape, clamped to 0-255 as a camera would.

    Raises
    ------
    TypeError, ValueError
        If `strength` is not a number from 0 to 1.

    Notes
    -----
    The operations of torchvision's ``ColorJitter``, without the turn of the hue.
    """
    check_number("strength", strength, 0, 1)
    draws = torch.rand(3, len(patches), 1, 1, 1, generator=generator).to(patches)
    brightness, contrast, saturation = 1 + strength * (2 * draws - 1)
    patches = patches * brightness
    patches = torch.lerp(patches.mean((1, 2, 3), keepdim=True), patches, contrast)
    patches = torch.lerp(patches.mean(1, keepdim=True), patches, saturation)
    return patches.clamp(0, 255)


def _sample_pixel_pairs(
    count: int,
    sources: list[Tensor],
    size: int,
    with_clean: bool,
    generator: torch.Generator,
) -> Pairs:
    """Pixel sampling, for `sample_pairs`: one vectorised pass for each photograph."""
    which = _draw_integers(len(sources), count, generator)
    largest = torch.tensor([min(BLOCKS[1], min(s.shape[1:]) // size) for s in sources])[which]
    block = BLOCKS[0] + _draw_integers(largest - BLOCKS[0] + 1, count, generator)
    rows, cols = _draw_edges(sources, which, block.double(), size, generator)

    noisy1, noisy2 = torch.empty(2, count, 3, size, size, dtype=torch.uint8)
    clean = torch.empty(count, 3, size, size) if with_clean else None
    for source, chosen in _grouped(sources, which):
        pixels = source.permute(1, 2, 0).reshape(-1, 3).contiguous()  # (H * W, RGB)
        integral = _integral(source) if with_clean else None
        for part in chosen.split(_CHUNK):
            for noisy in (noisy1, noisy2):
                index = _random_pixel_of_block(
                    rows[part], cols[part], block[part], source.shape[2], generator
                )
                noisy[part] = pixels[index].permute(0, 3, 1, 2)
            if with_clean:
                clean[part] = _block_means(integral, rows[part], cols[part])
    return Pairs(noisy1, noisy2, clean)


def _draw_edges(
    sources: list[Tensor], which: Tensor, step: Tensor, size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw where each thumbnail lies: the edges of its rows and of its columns in the source.

    Row i of thumbnail n covers the source from ``rows[n, i]`` to ``rows[n, i + 1]``, which is
    `step` further on. A flipped thumbnail starts at the far end and walks back: its step is
    negative. The near end is a whole number of pixels.

    Parameters
    ----------
    sources : list of Tensor
        Photographs, ``(3, H, W)``.
    which : Tensor
        Photograph of each thumbnail, int64 ``(N,)``.
    step : Tensor
        Source pixels to one thumbnail pixel, float64 ``(N,)``.

    Returns
    -------
    tuple of Tensor
        ``rows`` and ``cols``, float64 ``(N, size + 1)``.
    """
    edges = []
    for axis in (1, 2):
        length = torch.tensor([source.shape[axis] for source in sources])[which]
        extent = step * size
        # A photograph that just allows this step may exceed its own length by a rounding error.
        places = (length - extent).floor().clamp(min=0).long() + 1
        near = _draw_integers(places, len(which), generator).double()
        flipped = _draw_uniform(len(which), generator) < 0.5
        start = torch.where(flipped, near + extent, near)
        stride = torch.where(flipped, -step, step)
        steps = torch.arange(size + 1, dtype=torch.float64)
        walk = start[:, None] + stride[:, None] * steps
        edges.append(torch.minimum(walk.clamp(min=0), length[:, None].double()))
    return edges[0], edges[1]


def _random_pixel_of_block(
    rows: Tensor, cols: Tensor, block: Tensor, width: int, generator: torch.Generator
) -> Tensor:
    """Choose one source pixel of every block of every thumbnail.

    Blocks are given by their edges, as `_draw_edges` makes them. The pixel in row r and column c
    of a photograph is entry ``r * width + c`` of its flat list of pixels: that is what comes back,
    ``(n, S, S)``.
    """
    n, size = len(rows), rows.shape[1] - 1
    # Rows and columns of the near corners; the far edge of a flipped block comes first.
    top = torch.minimum(rows[:, :-1], rows[:, 1:]).int()[:, :, None]  # (n, S, 1)
    left = torch.minimum(cols[:, :-1], cols[:, 1:]).int()[:, None, :]  # (n, 1, S)
    k = block[:, None, None].float()
    row = top + (torch.rand(n, size, size, generator=generator) * k).int()  # 0 to k - 1 further
    col = left + (torch.rand(n, size, size, generator=generator) * k).int()
    return row.long() * width + col


def _integral(source: Tensor) -> Tensor:
    """Sums over all rectangles with a corner at the origin, float64 ``(H + 1, W + 1, 3)``.

    Entry ``[r, c]`` is the sum of the pixels above row r and left of column c; sums of 8-bit
    integers are exact in float64. The sum over any rectangle then takes four entries.
    """
    sums = source.permute(1, 2, 0).double().cumsum(0).cumsum(1)
    return torch.constant_pad_nd(sums, (0, 0, 1, 0, 1, 0))


def _block_means(integral: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """Average a photograph over blocks: float32 ``(n, 3, S, S)``.

    Parameters
    ----------
    integral : Tensor
        From `_integral`, ``(H + 1, W + 1, 3)``.
    rows, cols : Tensor
        Edges of the blocks, ``(n, S + 1)``, as `_draw_edges` makes them; fractions of a pixel
        count by their area.
    """
    corner = _integral_at(integral, rows, cols)  # (n, S + 1, S + 1, 3)
    total = corner[:, 1:, 1:] - corner[:, 1:, :-1] - corner[:, :-1, 1:] + corner[:, :-1, :-1]
    # Walking backwards turns the sign of the sum and of the step alike, so it cancels.
    area = rows.diff(dim=1)[:, :, None] * cols.diff(dim=1)[:, None, :]
    # Differences of large fractional sums carry a rounding error, which must not leave 0-255.
    return (total / area[..., None]).clamp(0, 255).float().permute(0, 3, 1, 2)


def _integral_at(integral: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """Evaluate the integral image at every crossing of `rows` and `cols`, fractions included.

    A pixel is one constant value over its square, so between whole numbers the integral is
    bilinear, and bilinear interpolation of it is exact.
    """
    height, width, _ = integral.shape
    table = integral.reshape(height * width, 3)

    def entry(row: Tensor, col: Tensor) -> Tensor:
        row, col = row.clamp(max=height - 1).long(), col.clamp(max=width - 1).long()
        return table[row[:, :, None] * width + col[:, None, :]]

    row, col = rows.floor(), cols.floor()
    y, x = (rows - row)[:, :, None, None], (cols - col)[:, None, :, None]
    if not (y.any() or x.any()):
        return entry(row, col)  # whole numbers: nothing to interpolate
    above = torch.lerp(entry(row, col), entry(row, col + 1), x)
    below = torch.lerp(entry(row + 1, col), entry(row + 1, col + 1), x)
    return torch.lerp(above, below, y)


def _grouped(sources: list[Tensor], which: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
    """Yield each photograph that was drawn, and the numbers of the thumbnails drawn from it."""
    for number, source in enumerate(sources):
        chosen = (which == number).nonzero().squeeze(1)
        if len(chosen):
            yield source, chosen


def _draw_uniform(count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, dtype=torch.float64, generator=generator)


def _draw_integers(below: int | Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Uniform integers from 0 up to, not including, `below`: int64 ``(count,)``."""
    return (_draw_uniform(count, generator) * below).long()


# --------------------------------------------------------------------------------------------------
# Checks


def _photographs(split: str) -> dict[str, Tensor]:
    if split not in SPLITS:
        raise ValueError(f"expected a split among {listed(SPLITS)}, got {split!r}")
    return photographs(split)


def _sources(images: Images, minimum: int) -> list[Tensor]:
    """The photographs to draw from, each at least `minimum` pixels high and wide."""
    if isinstance(images, Tensor) or not isinstance(images, (Mapping, Iterable)):
        raise TypeError(f"expected images as a dict or a list, got {type(images).__name__}")
    named = dict(images) if isinstance(images, Mapping) else dict(enumerate(images))
    if not named:
        raise ValueError("expected at least one image, got none")
    for name, image in named.items():
        if not isinstance(image, Tensor) or image.dtype != torch.uint8:
            raise TypeError(f"expected image {name!r} to be uint8, got {described(image)}")
        if image.ndim != 3 or image.shape[0] != 3:
            raise ValueError(
                f"expected image {name!r} of shape (3, H, W), got {tuple(image.shape)}"
            )
        if min(image.shape[1:]) < minimum:
            height, width = image.shape[1:]
            raise ValueError(
                f"expected image {name!r} of at least {minimum} x {minimum} pixels, "
                f"got {height} x {width}"
            )
    return [image.cpu() for image in named.values()]


def _check_generator(generator: torch.Generator) -> None:
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"expected a torch.Generator, got {type(generator).__name__}")


def _check_scale(scale: tuple[float, float]) -> tuple[float, float]:
    try:
        smallest, largest = (float(value) for value in scale)
    except (TypeError, ValueError):
        raise ValueError(f"expected scale as two numbers, got {scale!r}") from None
    if not (1 <= smallest <= largest < math.inf):
        raise ValueError(f"expected a scale with 1 <= smallest <= largest, got {scale!r}")
    return smallest, largest

r"""A camera in numbers: how the noise of a photograph comes about, and why it is not white.

Light arrives as photons, which a pixel counts (shot noise), and the electronics add their own
(read noise). One colour a pixel is interpolated to three, white balance and colours are stretched,
a tone curve bends the scale, and JPEG quantises. `Camera` walks this way back, from a finished
photograph to the raw mosaic behind it, adds the noise there, and develops the result::

    photograph ── inverse tone, colours, white balance ── mosaic ── photons, electronics
    finished ── JPEG ── size, sharpness ── tone, colours ── demosaicing ── white balance ──┘

Two exposures of one scene, developed alike, are a Noise2Noise pair. Its mean is not quite the
picture without noise: `Camera.bias` measures what clipping, tone curve and JPEG add.

Every step is a function of images ``(..., C, H, W)``, floating point, that leaves its input as it
is. Unless said otherwise values are 0-1: black to white, or no light to a saturated sensor.

References
----------
Foi, Trimeche, Katkovnik and Egiazarian (2008), Practical Poissonian-Gaussian noise modeling and
fitting for single-image raw-data: the noise of `capture`. Brooks, Mildenhall, Xue, Chen, Sharlet
and Barron (2019), Unprocessing images for learned raw denoising: the way back from a photograph.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from n2n_lib.support.arguments import check_integer, check_number

PATTERNS = ("RGGB", "GRBG", "GBRG", "BGGR")
"""The colours of the upper left 2 x 2 pixels of a mosaic, row by row."""

DEMOSAICINGS = ("bilinear", "gradient")
"""Names of the two ways to interpolate: see `demosaic`."""

SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")
"""Chroma of a JPEG: at full size, at half the width, at half the width and height."""

HIGHLIGHT = 0.9
"""Grey above which a pixel of a photograph is taken for more and more saturated in the sensor."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness (ITU-R BT.601, as in JPEG)."""

_CHROMA = ((-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))

# A sensor's colours overlap, so a camera has to pull them apart. The rows add up to 1: grey stays.
_VIVID = ((1.8, -0.6, -0.2), (-0.25, 1.6, -0.35), (0.05, -0.55, 1.5))


# --------------------------------------------------------------------------------------------------
# Tone


def srgb_decode(image: Tensor) -> Tensor:
    """Return the amount of light, 0-1, that sRGB values 0-1 stand for (IEC 61966-2-1)."""
    bent = ((image.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(image <= 0.04045, image / 12.92, bent)


def srgb_encode(light: Tensor) -> Tensor:
    """Return the sRGB values, 0-1, for an amount of light 0-1: the inverse of `srgb_decode`."""
    bent = 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(light <= 0.0031308, 12.92 * light, bent)


def tone_curve(image: Tensor, contrast: float) -> Tensor:
    r"""Steepen the middle tones by an S-shaped curve.

    .. math::

        y = (1 - c)\, x + c\, (3x^2 - 2x^3)

    Parameters
    ----------
    image : Tensor
        Values 0-1, after sRGB.
    contrast : float
        The share c of the curve, from 0 (a straight line) to 1 (level at both ends).

    Returns
    -------
    Tensor
        Values 0-1.

    Notes
    -----
    Brooks et al. (2019) take the smooth step, c = 1, for the tone curve of every camera.
    """
    return (1 - contrast) * image + contrast * (3 - 2 * image) * image**2


def inverse_tone_curve(image: Tensor, contrast: float) -> Tensor:
    r"""Undo `tone_curve`: the middle one of the cubic's three roots.

    With :math:`x = \tfrac12 + r \sin\theta` and :math:`r^2 = (2 + c) / 3c` the curve is
    :math:`y - \tfrac12 = k \sin 3\theta`, :math:`k = r (2 + c) / 6`.

    Parameters
    ----------
    image : Tensor
        Values 0-1.
    contrast : float
        As in `tone_curve`.

    Returns
    -------
    Tensor
        Values 0-1.
    """
    if contrast == 0:
        return image.clone()
    radius = math.sqrt((2 + contrast) / (3 * contrast))
    height = radius * (2 + contrast) / 6
    angle = ((image - 0.5) / height).clamp(-1, 1).asin() / 3
    return (0.5 + radius * angle.sin()).clamp(0, 1)


# --------------------------------------------------------------------------------------------------
# Colour


def colour_matrix(vividness: float) -> Tensor:
    """Return the 3 x 3 matrix from the colours of a sensor to those of sRGB, float64.

    Parameters
    ----------
    vividness : float
        0 for a sensor that sees sRGB as it is, 1 for a usual one, whose colours overlap; up to 1.2.

    Returns
    -------
    Tensor
        Rows add up to 1. The inverse has no negative entry, so that every colour of sRGB is one
        that the sensor can see.
    """
    return torch.lerp(torch.eye(3, dtype=torch.float64), _tensor(_VIVID), vividness)


def mix_colours(image: Tensor, matrix: Tensor) -> Tensor:
    """Multiply the colour of every pixel ``(..., 3, H, W)`` by a matrix ``(C, 3)``."""
    return torch.einsum("ij,...jhw->...ihw", matrix.to(image), image)


def white_balance(image: Tensor, red: float, blue: float) -> Tensor:
    """Multiply red and blue ``(..., 3, H, W)`` by their gains and clip at 1.

    Clipping keeps white white: a saturated pixel says 1 in every colour, whatever the gains.
    """
    return (image * _gains(image, red, blue)).clamp(max=1)


def inverse_white_balance(image: Tensor, red: float, blue: float) -> Tensor:
    r"""Undo `white_balance`, and let white be a saturated sensor.

    .. math::

        y = \frac{x}{g} + m \Bigl(1 - \frac1g\Bigr) x, \qquad
        m = \max\Bigl(0, \frac{\bar x - t}{1 - t}\Bigr)^2

    where g is the gain of the colour, :math:`\bar x` the mean of the pixel's three and t is
    `HIGHLIGHT`. Division alone would make a blown-out sky a measured one, with the noise of red and
    blue in it, where a real one has none.

    Parameters
    ----------
    image : Tensor
        ``(..., 3, H, W)``, 0-1, linear.
    red, blue : float
        Gains, at least 1.

    Returns
    -------
    Tensor
        0-1, what the sensor saw. `white_balance` leads back exactly wherever the mean is at most t.

    Notes
    -----
    After Brooks et al. (2019), section 3.3.
    """
    inverse = 1 / _gains(image, red, blue)
    grey = image.mean(-3, keepdim=True)
    blown = ((grey - HIGHLIGHT) / (1 - HIGHLIGHT)).clamp(0, 1) ** 2
    return image * (inverse + blown * (1 - inverse))


def _gains(image: Tensor, red: float, blue: float) -> Tensor:
    return image.new_tensor([red, 1.0, blue]).view(3, 1, 1)


# --------------------------------------------------------------------------------------------------
# Mosaic


def colour_masks(pattern: str, height: int, width: int) -> Tensor:
    """Return which pixels of a mosaic see red, green and blue, bool ``(3, H, W)``.

    Raises
    ------
    ValueError
        If `pattern` is not one of `PATTERNS`.
    """
    _check_among("pattern", pattern, PATTERNS)
    masks = torch.zeros(3, height, width, dtype=torch.bool)
    for place, colour in enumerate(pattern):
        masks["RGB".index(colour), place // 2 :: 2, place % 2 :: 2] = True
    return masks


def mosaic(image: Tensor, pattern: str = "RGGB") -> Tensor:
    """Keep one colour a pixel (Bayer 1976).

    Parameters
    ----------
    image : Tensor
        ``(..., 3, H, W)``.
    pattern : str
        One of `PATTERNS`.

    Returns
    -------
    Tensor
        ``(..., 1, H, W)``.
    """
    masks = colour_masks(pattern, *image.shape[-2:]).to(image.device)
    return (image * masks).sum(-3, keepdim=True)


def demosaic(raw: Tensor, pattern: str = "RGGB", method: str = "bilinear") -> Tensor:
    """Interpolate the two colours that each pixel of a mosaic lacks.

    Parameters
    ----------
    raw : Tensor
        ``(..., 1, H, W)``, at least 2 x 2 pixels.
    pattern : str
        One of `PATTERNS`.
    method : str
        "bilinear" takes the mean of the nearest two or four pixels that have the colour, which
        makes the noise of neighbours equal in part. "gradient" adds a share of the second
        difference of the colour that the pixel does have, since edges are common to all colours:
        sharper, noisier, and the noise of the colours becomes equal in part.

    Returns
    -------
    Tensor
        ``(..., 3, H, W)``. What was measured stays. A mosaic in which every colour is linear in
        row and column comes out exactly, two pixels away from the border; there, it is mirrored.

    Raises
    ------
    ValueError
        If a name is unknown or the mosaic is smaller.

    Notes
    -----
    "gradient" is Malvar, He and Cutler (2004), High-quality linear interpolation for demosaicing
    of Bayer-patterned color images.
    """
    _check_among("method", method, DEMOSAICINGS)
    if raw.ndim < 3 or raw.shape[-3] != 1 or min(raw.shape[-2:]) < 2:
        raise ValueError(
            f"expected a mosaic (..., 1, H, W) of at least 2 x 2 pixels, got {tuple(raw.shape)}"
        )
    masks = colour_masks(pattern, *raw.shape[-2:]).to(raw.device)
    if method == "bilinear":
        planes = raw * masks
        cross = convolve(planes[..., 1:2, :, :], _CROSS)
        red, blue = (convolve(planes[..., c : c + 1, :, :], _SQUARE) for c in (0, 2))
        return torch.cat([red, cross, blue], -3)
    green = torch.where(masks[1], raw, convolve(raw, _GREEN))
    along, opposite = convolve(raw, _ALONG), convolve(raw, _OPPOSITE)
    across = convolve(raw, _transposed(_ALONG))
    colours = []
    for here, there in ((masks[0], masks[2]), (masks[2], masks[0])):
        in_row = here.any(-1, keepdim=True)  # (H, 1): rows that have this colour
        at_green = torch.where(in_row, along, across)
        colours.append(torch.where(here, raw, torch.where(there, opposite, at_green)))
    return torch.cat([colours[0], green, colours[1]], -3)


_Kernel = Sequence[Sequence[float]]


def _eighths(*rows: Sequence[float]) -> _Kernel:
    return [[value / 8 for value in row] for row in rows]


def _transposed(kernel: _Kernel) -> _Kernel:
    return list(zip(*kernel, strict=True))


# Bilinear, on a plane that is 0 where the colour was not measured.
_CROSS = _eighths((0, 2, 0), (2, 8, 2), (0, 2, 0))
_SQUARE = _eighths((2, 4, 2), (4, 8, 4), (2, 4, 2))
# Malvar, He and Cutler, figure 2: on the mosaic itself. Green where red or blue was measured; red
# at a green pixel between two reds in its row (transposed: in its column); red at a blue pixel.
_GREEN = _eighths(
    (0, 0, -1, 0, 0), (0, 0, 2, 0, 0), (-1, 2, 4, 2, -1), (0, 0, 2, 0, 0), (0, 0, -1, 0, 0)
)
_ALONG = _eighths(
    (0, 0, 0.5, 0, 0), (0, -1, 0, -1, 0), (-1, 4, 5, 4, -1), (0, -1, 0, -1, 0), (0, 0, 0.5, 0, 0)
)
_OPPOSITE = _eighths(
    (0, 0, -1.5, 0, 0),
    (0, 2, 0, 2, 0),
    (-1.5, 0, 6, 0, -1.5),
    (0, 2, 0, 2, 0),
    (0, 0, -1.5, 0, 0),
)


# --------------------------------------------------------------------------------------------------
# Filters and size


def convolve(image: Tensor, kernel: _Kernel) -> Tensor:
    """Correlate every channel with a small kernel of odd sides, one slice for each entry.

    The border is mirrored about its outermost pixels, so that a mosaic goes on in its pattern.
    """
    up, left = len(kernel) // 2, len(kernel[0]) // 2
    height, width = image.shape[-2:]
    rows, cols = _mirrored(height, up, up), _mirrored(width, left, left)
    padded = image[..., rows.to(image.device), :][..., cols.to(image.device)]
    output = torch.zeros_like(image)
    for i, row in enumerate(kernel):
        for j, weight in enumerate(row):
            if weight:
                output += weight * padded[..., i : i + height, j : j + width]
    return output


def blur(image: Tensor, width: float) -> Tensor:
    """Blur every channel by a Gaussian with a standard deviation of `width` pixels; 0 is none."""
    if width == 0:
        return image.clone()
    reach = math.ceil(3 * width)
    bell = [math.exp(-0.5 * (i / width) ** 2) for i in range(-reach, reach + 1)]
    bell = [value / sum(bell) for value in bell]
    return convolve(convolve(image, [bell]), [[value] for value in bell])


def sharpen(image: Tensor, amount: float, width: float = 1.0) -> Tensor:
    """Add `amount` times what a blur of the brightness takes away (unsharp mask); 0 is none."""
    luma = mix_colours(image, _tensor([LUMA]))
    return image + amount * (luma - blur(luma, width))


def smooth_noise(noise: Tensor, luma: float, chroma: float) -> Tensor:
    """Blur noise as the denoising inside a camera does: colour more than brightness.

    What remains of the brightness is grain, soft and coarse like that of film; what remains of the
    colours are blotches. It acts on the noise alone, ``(..., 3, H, W)`` around 0, as if the camera
    knew every edge: a blur of the whole picture would blur the scene too.

    Parameters
    ----------
    noise : Tensor
        Developed exposure less its noise-free twin.
    luma, chroma : float
        Standard deviations of the two blurs in pixels; 0 is none.

    Returns
    -------
    Tensor
        The same shape.
    """
    forward = _tensor([LUMA, *_CHROMA])
    parts = mix_colours(noise, forward)
    smooth = torch.cat([blur(parts[..., :1, :, :], luma), blur(parts[..., 1:, :, :], chroma)], -3)
    return mix_colours(smooth, torch.linalg.inv(forward))


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Resize every channel with a triangular window as wide as a target pixel, or a source one.

    Both directions are a product with a matrix, ``R_h image R_w^T``, whose rows add up to 1.
    """
    rows = _resizing(image.shape[-2], height).to(image)
    cols = _resizing(image.shape[-1], width).to(image)
    return rows @ image @ cols.T


def _resizing(old: int, new: int) -> Tensor:
    step = old / new
    centres = (torch.arange(new, dtype=torch.float64) + 0.5)[:, None] * step
    places = torch.arange(old, dtype=torch.float64) + 0.5
    weights = (1 - (places - centres).abs() / max(step, 1.0)).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)


def _mirrored(size: int, before: int, after: int) -> Tensor:
    """Indices from -before to size + after - 1, mirrored about 0 and about size - 1."""
    index = torch.arange(-before, size + after)
    period = max(2 * (size - 1), 1)
    index = index % period
    return torch.minimum(index, period - index) if size > 1 else torch.zeros_like(index)


# --------------------------------------------------------------------------------------------------
# Files


def jpeg(
    image: Tensor, quality: int, subsampling: str = "4:2:0", grid: tuple[int, int] = (0, 0)
) -> Tensor:
    """Save as JPEG and read again, by Pillow.

    Parameters
    ----------
    image : Tensor
        ``(..., C, H, W)`` of one channel or three, 0-1; rounded to 8 bits first.
    quality : int
        1-100, the scale of the Independent JPEG Group.
    subsampling : str
        One of `SUBSAMPLINGS`.
    grid : (int, int)
        Row and column, 0-7, of the block of 8 x 8 in which the picture starts: one that was cut
        out of another does not start at a corner. Beyond its border the picture is mirrored.

    Returns
    -------
    Tensor
        The same shape; multiples of 1/255.

    Raises
    ------
    ValueError
        If there is another number of channels, or `subsampling` is unknown.
    """
    _check_among("subsampling", subsampling, SUBSAMPLINGS)
    *batch, channels, height, width = image.shape
    if channels not in (1, 3):
        raise ValueError(f"expected images of 1 channel or 3, got {channels}")
    rows, cols = _mirrored(height, grid[0], 0), _mirrored(width, grid[1], 0)
    padded = image[..., rows.to(image.device), :][..., cols.to(image.device)]
    pixels = (padded.clamp(0, 1) * 255).round().to("cpu", torch.uint8)
    pixels = pixels.reshape(-1, *pixels.shape[-3:]).permute(0, 2, 3, 1).numpy()
    output = np.empty_like(pixels)
    for picture, result in zip(pixels, output, strict=True):
        file = io.BytesIO()
        Image.fromarray(picture.squeeze(2) if channels == 1 else picture).save(
            file, "JPEG", quality=quality, subsampling=SUBSAMPLINGS.index(subsampling)
        )
        result[:] = np.asarray(Image.open(file)).reshape(result.shape)
    saved = torch.from_numpy(output).permute(0, 3, 1, 2)[..., grid[0] :, grid[1] :]
    return saved.reshape(*batch, channels, height, width).to(image) / 255


# --------------------------------------------------------------------------------------------------
# The camera


@dataclass(frozen=True)
class Camera:
    r"""A camera, its settings for one picture, and how it develops.

    Attributes
    ----------
    iso : float
        Sensitivity, ISO 12232. Doubling it halves the light that makes white.
    full_well : float
        Electrons that saturate a pixel at ISO 100: some 5 000 in a telephone, 30 000 to 90 000 in a
        large camera.
    read_noise : float
        Standard deviation of what the electronics add, in electrons at the pixel, at this ISO.
    bits : int
        Of the converter: 10 to 14. A pixel says a whole number below ``2**bits``.
    black_level : int
        The number for no light. 0 cuts the negative half of the noise off.
    pattern : str
        One of `PATTERNS`.
    red_gain, blue_gain : float
        White balance; green has 1.
    demosaicing : str
        One of `DEMOSAICINGS`.
    follows_edges : bool
        Whether the interpolation is taken to know the scene, so that it comes out as it went in
        and only its noise is interpolated. The two plain ways of `demosaic` fringe every edge of
        a photograph as sharp as one that was reduced; a camera has a softer picture before it, and
        ways that follow edges.
    vividness : float
        As in `colour_matrix`.
    contrast : float
        As in `tone_curve`.
    lens_blur : float
        Standard deviation, in pixels of the sensor, of the spot that lens and anti-aliasing filter
        make of a point: 0.5 to 1.5 in most pictures at full size.
    luma_blur, chroma_blur : float
        As in `smooth_noise`, in pixels.
    sharpening : float
        As in `sharpen`.
    scale : float
        Side of the finished picture over that of the sensor's.
    grey : bool
        Whether the picture is finished in black and white, three equal channels.
    quality : int or None
        Of the JPEG; None keeps 8 bits a value without loss.
    subsampling : str
        One of `SUBSAMPLINGS`.
    grid : (int, int)
        As in `jpeg`.

    Raises
    ------
    TypeError, ValueError
        If a value is not as described.

    Notes
    -----
    What one pixel adds differently in every exposure is all here. Left out are its own constant
    deviation, rows that share their noise, hot pixels, and what a lens bends or darkens.

    Examples
    --------
    >>> camera = draw_camera(torch.Generator().manual_seed(1))
    >>> clean = torch.full((3, 64, 64), 0.5)
    >>> noisy1, noisy2, developed = camera.pair(clean, torch.Generator().manual_seed(2))
    """

    iso: float = 1600.0
    full_well: float = 40_000.0
    read_noise: float = 3.0
    bits: int = 14
    black_level: int = 512
    pattern: str = "RGGB"
    red_gain: float = 2.0
    blue_gain: float = 1.6
    demosaicing: str = "bilinear"
    follows_edges: bool = True
    vividness: float = 0.7
    contrast: float = 0.3
    lens_blur: float = 0.0
    luma_blur: float = 0.0
    chroma_blur: float = 0.0
    sharpening: float = 0.0
    scale: float = 1.0
    grey: bool = False
    quality: int | None = 95
    subsampling: str = "4:2:0"
    grid: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        for name in ("iso", "full_well", "scale"):
            check_number(name, getattr(self, name), above=0)
        check_number("red_gain", self.red_gain, 1)
        check_number("blue_gain", self.blue_gain, 1)
        for name in ("read_noise", "lens_blur", "luma_blur", "chroma_blur", "sharpening"):
            check_number(name, getattr(self, name), 0)
        check_number("vividness", self.vividness, 0, 1.2)
        check_number("contrast", self.contrast, 0, 1)
        check_integer("bits", self.bits, 1, 24)
        check_integer("black_level", self.black_level, 0, 2**self.bits - 2)
        if self.quality is not None:
            check_integer("quality", self.quality, 1, 100)
        _check_among("pattern", self.pattern, PATTERNS)
        _check_among("demosaicing", self.demosaicing, DEMOSAICINGS)
        _check_among("subsampling", self.subsampling, SUBSAMPLINGS)
        if not isinstance(self.grid, tuple) or len(self.grid) != 2:
            raise TypeError(f"expected grid as two integers, got {self.grid!r}")
        for offset in self.grid:
            check_integer("grid", offset, 0, 7)

    @property
    def white(self) -> float:
        """Electrons that saturate a pixel at this ISO."""
        return self.full_well * 100 / self.iso

    def variance(self, signal: Tensor | float) -> Tensor | float:
        r"""Return the variance of the noise in the mosaic, at a signal from 0 to 1.

        .. math::

            \operatorname{Var}(y) = \frac{x}{w} + \frac{r^2}{w^2} + \frac{q^2}{12}

        with w the electrons of `white`, r the read noise, and q one step of the converter.

        Notes
        -----
        Foi et al. (2008), equation 2, with the rounding added. Clipping is not in it.
        """
        step = 1 / (2**self.bits - 1 - self.black_level)
        return signal / self.white + (self.read_noise / self.white) ** 2 + step**2 / 12

    def sense(self, clean: Tensor) -> Tensor:
        """Return the mosaic that the sensor would have seen of a photograph, without noise.

        Parameters
        ----------
        clean : Tensor
            ``(3, H, W)`` or ``(N, 3, H, W)``, floating point, 0-1, at least 2 x 2 pixels.

        Returns
        -------
        Tensor
            ``(..., 1, H, W)``, 0-1: the share of `white`.

        Raises
        ------
        TypeError, ValueError
            If `clean` is not such a tensor.
        """
        return self._mosaic(self.focus(clean))

    def focus(self, clean: Tensor) -> Tensor:
        """Return the scene as lens and anti-aliasing filter throw it onto the sensor.

        Blurred is the light that sRGB values stand for; the camera's own contrast is not undone.

        Parameters
        ----------
        clean : Tensor
            As in `sense`.

        Returns
        -------
        Tensor
            The same shape, 0-1; `clean` itself where `lens_blur` is 0.
        """
        _check_photograph(clean)
        if not self.lens_blur:
            return clean
        return srgb_encode(blur(srgb_decode(clean), self.lens_blur).clamp(0, 1))

    def _mosaic(self, scene: Tensor) -> Tensor:
        light = srgb_decode(inverse_tone_curve(scene, self.contrast))
        seen = mix_colours(light, torch.linalg.inv(colour_matrix(self.vividness)))
        seen = inverse_white_balance(seen, self.red_gain, self.blue_gain)
        return mosaic(seen, self.pattern).clamp(0, 1)

    def capture(self, raw: Tensor, generator: torch.Generator) -> Tensor:
        """Count photons, add the noise of the electronics, convert to whole numbers, and clip.

        Parameters
        ----------
        raw : Tensor
            ``(..., 1, H, W)``, 0-1, from `sense`.
        generator : torch.Generator
            Source of all randomness.

        Returns
        -------
        Tensor
            The same shape, less the black level and divided by white: up to 1, and below 0 by as
            much as the black level allows.
        """
        electrons = torch.poisson(raw * self.white, generator=generator)
        electrons += self.read_noise * torch.randn(
            raw.shape, generator=generator, dtype=raw.dtype, device=raw.device
        )
        largest = 2**self.bits - 1
        span = largest - self.black_level
        numbers = (electrons * (span / self.white) + self.black_level).round().clamp(0, largest)
        return (numbers - self.black_level) / span

    def develop(self, raw: Tensor) -> Tensor:
        """Turn a mosaic into colours: white balance, demosaicing, colour matrix, tone.

        Parameters
        ----------
        raw : Tensor
            ``(..., 1, H, W)``, from `sense` or `capture`.

        Returns
        -------
        Tensor
            ``(..., 3, H, W)``, 0-1.
        """
        gains = _gains(raw, self.red_gain, self.blue_gain).expand(3, *raw.shape[-2:])
        balanced = (raw * mosaic(gains, self.pattern)).clamp(max=1)
        colours = demosaic(balanced, self.pattern, self.demosaicing)
        light = mix_colours(colours, colour_matrix(self.vividness)).clamp(0, 1)
        return tone_curve(srgb_encode(light), self.contrast)

    def finish(self, image: Tensor, *, saved: bool = True) -> Tensor:
        """Sharpen, resize, make grey if asked to, and save to a file of 8 bits.

        Parameters
        ----------
        image : Tensor
            ``(..., 3, H, W)``, 0-1, from `develop`.
        saved : bool
            False leaves out what the file does to it: 8 bits and JPEG.

        Returns
        -------
        Tensor
            ``(..., 3, h, w)``, 0-1, with h and w those of the input times `scale`, rounded.
        """
        if self.sharpening:
            image = sharpen(image, self.sharpening)
        if self.scale != 1:
            height, width = (max(1, round(self.scale * side)) for side in image.shape[-2:])
            image = resize(image, height, width)
        if self.grey:
            image = mix_colours(image, _tensor([LUMA]))
        image = image.clamp(0, 1)
        if saved and self.quality is None:
            image = (image * 255).round() / 255
        elif saved:
            image = jpeg(image, self.quality, self.subsampling, self.grid)
        return image.expand(*image.shape[:-3], 3, *image.shape[-2:]).contiguous()

    def expose(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Photograph a scene, and finish the picture.

        Parameters
        ----------
        clean : Tensor
            As in `sense`: stands for the scene.
        generator : torch.Generator
            Source of all randomness: the same seed gives the same bytes.

        Returns
        -------
        Tensor
            ``(..., 3, h, w)``, 0-1, noisy; the dtype of `clean`.
        """
        scene = self.focus(clean)
        return self._finished(scene, self._mosaic(scene), generator)

    def pair(self, clean: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Photograph a scene twice: a Noise2Noise pair, and what it would be without noise.

        Parameters
        ----------
        clean, generator
            As in `expose`.

        Returns
        -------
        tuple of Tensor
            Two noisy pictures and `noise_free`, to measure by.
        """
        scene = self.focus(clean)
        raw = self._mosaic(scene)
        first, second = (self._finished(scene, raw, generator) for _ in range(2))
        return first, second, self.finish(self._developed(scene, raw))

    def noise_free(self, clean: Tensor, *, saved: bool = True) -> Tensor:
        """Develop a scene without noise.

        Parameters
        ----------
        clean : Tensor
            As in `sense`.
        saved : bool
            As in `finish`. The mean of many noisy JPEGs is nearer to the JPEG of the picture where
            chroma is subsampled or the noise small, nearer to the picture before it was saved
            where noise carries details across the steps of the quantisation.

        Returns
        -------
        Tensor
            ``(..., 3, h, w)``, 0-1.
        """
        scene = self.focus(clean)
        return self.finish(self._developed(scene, self._mosaic(scene)), saved=saved)

    def bias(
        self, clean: Tensor, copies: int, generator: torch.Generator, *, saved: bool = True
    ) -> Tensor:
        """Return the mean of many exposures less `noise_free`: what Noise2Noise cannot know.

        Clipping at black lifts shadows, clipping at white lowers highlights, a tone curve lowers
        what it bends down (middle tones), and JPEG drops details that noise does not carry across
        a step.

        Parameters
        ----------
        clean, generator
            As in `expose`.
        copies : int
            Number of exposures. The result has their noise divided by its square root.
        saved : bool
            As in `noise_free`.

        Returns
        -------
        Tensor
            ``(..., 3, h, w)``, on the scale 0-1.

        Raises
        ------
        TypeError, ValueError
            If `copies` is not a positive integer.
        """
        check_integer("copies", copies, 1)
        total = sum(self.expose(clean, generator).double() for _ in range(copies))
        return (total / copies - self.noise_free(clean, saved=saved)).to(clean.dtype)

    def _developed(self, scene: Tensor, raw: Tensor) -> Tensor:
        """Return the scene in focus, whose mosaic without noise is `raw`, as it is developed."""
        return scene if self.follows_edges else self.develop(raw)

    def _finished(self, scene: Tensor, raw: Tensor, generator: torch.Generator) -> Tensor:
        """One exposure of the scene in focus, whose mosaic without noise is `raw`."""
        noise = self.develop(self.capture(raw, generator)) - self.develop(raw)
        if self.luma_blur or self.chroma_blur:
            noise = smooth_noise(noise, self.luma_blur, self.chroma_blur)
        return self.finish(self._developed(scene, raw) + noise)


def draw_camera(
    generator: torch.Generator, *, iso: float | None = None, grey: bool = False
) -> Camera:
    """Draw a camera and its settings from the range of those that people have.

    Parameters
    ----------
    generator : torch.Generator
        Source of all randomness.
    iso : float, optional
        The sensitivity; the default draws it log-uniformly from 100 to 25 600, or to where white
        is 60 electrons: small sensors do not go as far. Given one, only sensors that do are drawn.
    grey : bool
        As in `Camera`.

    Returns
    -------
    Camera
        Full well 4 000 to 100 000 electrons; read noise 1 to 3.5 electrons before the amplifier,
        and behind it 1/13 000 (a quiet converter) to 1/2 000 of what saturates it. One in five is
        without JPEG, the others have quality 60 to 98; three in five are resized, half have their
        brightness smoothed and two thirds their colours. Four in five follow edges, and as many
        have a lens that blurs, by up to 1.6 pixels.

    Notes
    -----
    The figures span published measurements, for example full well 68 000 and read noise 33
    electrons at ISO 100, 3 at ISO 3 200 for a Canon 5D Mark III, and 49 000, 3 and 2.5 for a Nikon
    D800. Read noise falls with ISO, since the part behind the amplifier is divided by it.
    """

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=generator, dtype=torch.float64).item()

    def log_uniform(low: float, high: float) -> float:
        return math.exp(uniform(math.log(low), math.log(high)))

    def integer(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator))

    def choice(options: Sequence):
        return options[integer(0, len(options) - 1)]

    full_well = log_uniform(4_000 if iso is None else min(max(4_000, 0.6 * iso), 100_000), 100_000)
    drawn = log_uniform(100, min(25_600, full_well * 100 / 60))
    iso = drawn if iso is None else iso
    before, behind = log_uniform(1, 3.5), full_well / log_uniform(2_000, 13_000)
    return Camera(
        iso=iso,
        full_well=full_well,
        read_noise=math.hypot(before, behind * 100 / iso),
        bits=choice((10, 12, 12, 14)),
        black_level=choice((0, 64, 64, 128)),
        pattern=choice(PATTERNS),
        red_gain=log_uniform(1.2, 2.6),
        blue_gain=log_uniform(1.2, 2.6),
        demosaicing=choice(DEMOSAICINGS),
        follows_edges=uniform(0, 1) < 0.8,
        vividness=uniform(0.3, 1.1),
        contrast=uniform(0, 0.7),
        lens_blur=max(0.0, uniform(-0.4, 1.6)),
        luma_blur=max(0.0, uniform(-1.2, 1.2)),
        chroma_blur=max(0.0, uniform(-1.5, 3)),
        sharpening=max(0.0, uniform(-0.6, 1)),
        scale=min(1.0, uniform(SMALLEST, 1.33)),
        grey=grey,
        quality=choice((None, *[integer(60, 98) for _ in range(4)])),
        subsampling=choice(SUBSAMPLINGS),
        grid=(integer(0, 7), integer(0, 7)),
    )


SMALLEST = 0.5
"""Smallest `Camera.scale` that `draw_camera` draws."""

MARGIN = 4
"""Pixels next to a border, finished, that `Cameras.pairs` cuts off: there, borders are mirrored."""


class Cameras:
    """The noise of all sorts of cameras: every few images are taken by one of their own.

    Parameters
    ----------
    together : int
        How many images in a row one camera takes.

    Raises
    ------
    TypeError, ValueError
        If `together` is not a positive integer.

    Notes
    -----
    One camera in eight is set to black and white. Other than the models in `noise`, this one is
    not zero-mean by definition: `Camera.bias` says by how little it is not.
    """

    def __init__(self, together: int = 4) -> None:
        check_integer("together", together, 1)
        self.together = together

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Return one exposure of each image at its own size: see `exposed`."""
        return self.exposed(clean, generator)[0]

    def exposed(self, clean: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Photograph scenes, and say what the pictures would be without noise.

        Parameters
        ----------
        clean : Tensor
            ``(3, H, W)`` or ``(N, 3, H, W)``, floating point, 0-1.
        generator : torch.Generator
            Source of all randomness, the cameras included.

        Returns
        -------
        tuple of Tensor
            Noisy and noise-free pictures, of the shape of `clean`.
        """
        _check_photograph(clean)
        scenes = clean if clean.ndim == 4 else clean[None]
        noisy, without = torch.empty_like(scenes), torch.empty_like(scenes)
        for rows in _in_parts(len(scenes), self.together):
            camera = replace(_any_camera(generator), scale=1.0)
            noisy[rows] = camera.expose(scenes[rows], generator)
            without[rows] = camera.noise_free(scenes[rows])
        return noisy.view_as(clean), without.view_as(clean)

    @staticmethod
    def side(size: int) -> int:
        """Return how many pixels a side of a scene needs, for `pairs` of this size."""
        return math.ceil((size + 2 * MARGIN) / SMALLEST)

    def pairs(
        self, clean: Tensor, size: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Photograph scenes twice, by cameras of all scales, and cut out the middle.

        Parameters
        ----------
        clean : Tensor
            ``(N, 3, H, W)``, floating point, 0-1; H and W at least `side`.
        size : int
            Height and width S of the pairs.
        generator : torch.Generator
            Source of all randomness, the cameras included.

        Returns
        -------
        tuple of Tensor
            Two noisy pictures and the noise-free one, each ``(N, 3, S, S)``.
        """
        _check_photograph(clean)
        drawn = clean.new_empty(3, len(clean), 3, size, size)
        for rows in _in_parts(len(clean), self.together):
            camera = _any_camera(generator)
            side = math.ceil((size + 2 * MARGIN) / camera.scale)
            taken = camera.pair(clean[rows, :, :side, :side], generator)
            for pictures, picture in zip(drawn, taken, strict=True):
                pictures[rows] = picture[..., MARGIN : MARGIN + size, MARGIN : MARGIN + size]
        return tuple(drawn)

    def __repr__(self) -> str:
        return f"Cameras(together={self.together})"


def _any_camera(generator: torch.Generator) -> Camera:
    return draw_camera(generator, grey=bool(torch.rand((), generator=generator) < 1 / 8))


def _in_parts(count: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, count, size)]


# --------------------------------------------------------------------------------------------------
# Checks


def _tensor(values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _check_photograph(clean: Tensor) -> None:
    if not isinstance(clean, Tensor):
        raise TypeError(f"expected a photograph as a tensor, got {type(clean).__name__}")
    if not clean.is_floating_point():
        raise TypeError(f"expected a floating-point photograph in 0-1, got {clean.dtype}")
    if clean.ndim not in (3, 4) or clean.shape[-3] != 3 or min(clean.shape[-2:]) < 2:
        raise ValueError(
            "expected a photograph (3, H, W) or (N, 3, H, W) of at least 2 x 2 pixels, "
            f"got shape {tuple(clean.shape)}"
        )
    if not ((clean >= 0) & (clean <= 1)).all():
        raise ValueError("expected a photograph with values 0-1, got others or NaN")


def _check_among(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"expected {name} among {', '.join(known)}, got {value!r}")

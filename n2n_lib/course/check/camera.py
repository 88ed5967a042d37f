"""Exercises on a real camera: its noise, its mosaic, and a training on two frames."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad  # noqa: TID251 (a function, not a module)

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise


def _uniform(shape: tuple[int, ...], seed: int) -> Tensor:
    """Values between 0 and 1, float64."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---------------------------------------------------------------------------------- sensor_numbers


def _sensor_case(
    name: str,
    shape: tuple[int, int],
    light: float,
    settings: tuple[float, float, int, int],
    dtype: torch.dtype = torch.float64,
) -> Case:
    read_noise, gain, black, white = settings
    arguments = {
        "electrons": (light * (0.2 + _uniform(shape, 150))).to(dtype),
        "gaps": -_uniform((int(4 * light) + 12, *shape), 151).log().to(dtype),
        "normal": values(shape, 152, dtype),
        "read_noise": read_noise,
        "gain": gain,
        "black": black,
        "white": white,
    }
    return Case(name, arguments)


@exercise(
    topic="camera",
    title="What a sensor says",
    hints=(
        "When does the k-th electron arrive, if gaps are the times between them? Then follow the "
        "signal, and ask of each part whether it is counted in electrons or in numbers.",
        "The moments of arrival are sums of gaps along the first dimension; count those that are "
        "at most `electrons`, (H, W). Add read_noise * normal, multiply by gain, add black, round, "
        "and limit to 0 and white, in this order.",
        "`photons = (gaps.cumsum(0) <= electrons).sum(0)`, then `(gain * (photons + read_noise * "
        "normal) + black).round().clamp(0, white)`.",
    ),
    returns=("numbers",),
    axes=("row", "column"),
    cases=(
        _sensor_case("some light", (2, 3), 20.0, (2.0, 1.5, 16, 1023)),
        _sensor_case("little light, low black level", (4, 5), 2.0, (3.0, 2.0, 2, 255)),
        _sensor_case("so much light that it clips", (3, 4), 60.0, (1.5, 3.0, 8, 150)),
        _sensor_case("float32", (3, 2), 15.0, (2.5, 0.7, 10, 255), torch.float32),
    ),
)
def sensor_numbers(
    electrons: Tensor,
    gaps: Tensor,
    normal: Tensor,
    read_noise: float,
    gain: float,
    black: float,
    white: float,
) -> Tensor:
    """Check ``sensor_numbers(electrons, gaps, normal, read_noise, gain, black, white)``.

    Parameters
    ----------
    function : callable
        The student's, which takes the mean number of electrons ``(H, W)``, exponential waiting
        times ``(K, H, W)`` and normal numbers ``(H, W)``, and returns the numbers of the
        converter: whole ones between 0 and `white`.
    """
    photons = (gaps.cumsum(0) <= electrons).sum(0)  # (H, W)
    signal = photons + read_noise * normal
    return (gain * signal + black).round().clamp(0, white)


sensor_numbers.mistakes = (
    Mistake(
        "Nothing is rounded: a converter says whole numbers.",
        but((".round()", "")),
        likely="not rounded",
    ),
    Mistake(
        "Nothing is clipped: a converter says no number below 0 and none above white.",
        but((".clamp(0, white)", "")),
        likely="not clipped",
    ),
    Mistake(
        "It clips at 0 and not at white: a saturated pixel says white.",
        but((".clamp(0, white)", ".clamp(min=0)")),
    ),
    Mistake(
        "It clips at white and not at 0: the converter knows no negative numbers.",
        but((".clamp(0, white)", ".clamp(max=white)")),
    ),
    Mistake(
        "The signal is clipped at 0 before the black level is added. The black level is there so "
        "that noise below 0 survives: add first, clip after.",
        but(("(gain * signal + black)", "(gain * signal.clamp(min=0) + black)")),
        but(
            (
                "(gain * signal + black).round().clamp(0, white)",
                "(gain * signal).round().clamp(0, white) + black",
            )
        ),
        likely="clipped before the black level",
    ),
    Mistake(
        "The black level is missing: add it before you round and clip.",
        but((" + black", "")),
        likely="no black level",
    ),
    Mistake(
        "The black level is multiplied by the gain: it is counted in numbers, not in electrons.",
        but(("gain * signal + black", "gain * (signal + black)")),
    ),
    Mistake(
        "The read noise is not multiplied by the gain: it is counted in electrons, so add it to "
        "them.",
        but(
            ("photons + read_noise * normal", "photons"),
            ("gain * signal", "gain * signal + read_noise * normal"),
        ),
        likely="read noise behind the gain",
    ),
    Mistake(
        "There is no read noise: add read_noise * normal to the electrons.",
        but((" + read_noise * normal", " + 0 * normal")),
    ),
    Mistake(
        "The read noise is squared: read_noise is a standard deviation, which multiplies a normal "
        "number as it is.",
        but(("read_noise * normal", "read_noise**2 * normal")),
    ),
    Mistake(
        "There is no photon noise: the expected number of electrons is used as if each pixel "
        "caught it exactly. Count arrivals instead.",
        but(("(gaps.cumsum(0) <= electrons).sum(0)", "electrons")),
        likely="no photon noise",
    ),
    Mistake(
        "Waiting times are compared with the exposure one by one. An electron arrives after the "
        "sum of all the waiting times up to its own: cumsum.",
        but(("gaps.cumsum(0)", "gaps")),
        likely="gaps not added up",
    ),
    Mistake(
        "It counts one electron too many, the first that arrives after the end of the exposure.",
        but(("<= electrons).sum(0)", "<= electrons).sum(0) + 1")),
    ),
    Mistake(
        "It counts the electrons that arrive after the end of the exposure: count those before it.",
        but(("<= electrons", "> electrons")),
    ),
    Mistake(
        "It rounds down: round to the nearest whole number.",
        but((".round()", ".floor()")),
    ),
)

# ---------------------------------------------------------------------------------------- fit_gain


def _fit_case(
    name: str, count: int, gain: float, read_noise: float, dtype: torch.dtype = torch.float64
) -> Case:
    means = 10 + 300 * _uniform((count,), 153)
    variances = gain * means + (gain * read_noise) ** 2 + _uniform((count,), 154)
    return Case(name, {"means": means.to(dtype), "variances": variances.to(dtype)})


@exercise(
    topic="camera",
    title="A straight line through the variances",
    hints=(
        "What is left of the noise where there is no light? The variance grows along a straight "
        "line with the mean, and both its slope and its height have a meaning.",
        "slope = sum of (m - mean of m) * v over the sum of (m - mean of m)^2, and this is the "
        "gain. The line goes through both means; its height at m = 0 is gain^2 * read_noise^2.",
        "`centred = means - means.mean()`, `gain = (centred * variances).sum() / "
        "centred.square().sum()`, and `at_zero = variances.mean() - gain * means.mean()`; the read "
        "noise is `at_zero.sqrt() / gain`.",
    ),
    returns=("gain", "read_noise"),
    cases=(
        _fit_case("5 patches", 5, 1.5, 6.0),
        _fit_case("9 patches, small gain", 9, 0.4, 20.0),
        _fit_case("float32", 6, 3.0, 4.0, torch.float32),
    ),
)
def fit_gain(means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """Check ``fit_gain(means, variances) -> gain, read_noise``.

    Parameters
    ----------
    function : callable
        The student's, which takes the means of some even patches, less the black level, and their
        variances, ``(P,)`` each, and returns the gain and the read noise in electrons, two tensors
        of shape ``()``.
    """
    centred = means - means.mean()
    gain = (centred * variances).sum() / centred.square().sum()
    at_zero = variances.mean() - gain * means.mean()  # gain^2 read_noise^2
    return gain, at_zero.sqrt() / gain


fit_gain.mistakes = (
    Mistake(
        "The read noise is still in numbers of the converter: divide by the gain for electrons.",
        but(("at_zero.sqrt() / gain", "at_zero.sqrt()")),
        likely="read noise not in electrons",
    ),
    Mistake(
        "The read noise is a variance: take the square root of what the line has at 0.",
        but(("at_zero.sqrt() / gain", "at_zero / gain**2")),
        likely="no square root",
    ),
    Mistake(
        "The height at 0 is divided by the gain inside the square root: it is gain**2 * "
        "read_noise**2, so take the root first, or divide by gain**2.",
        but(("at_zero.sqrt() / gain", "(at_zero / gain).sqrt()")),
    ),
    Mistake(
        "The two results are exchanged: the gain comes first.",
        but(("return gain, at_zero.sqrt() / gain", "return at_zero.sqrt() / gain, gain")),
    ),
    Mistake(
        "The gain is the root of the slope: it is the slope itself.",
        but(("return gain,", "return gain.sqrt(),")),
    ),
    Mistake(
        "The line is forced through 0. The read noise is what lifts it: subtract the mean of the "
        "means first.",
        but(("centred = means - means.mean()", "centred = means")),
        likely="line through 0",
    ),
    Mistake(
        "The gain is the mean of the variances over the mean of the means, the slope of a line "
        "from 0 and not of the points.",
        but(
            (
                "(centred * variances).sum() / centred.square().sum()",
                "variances.mean() / means.mean() + 1e-6",
            )
        ),
    ),
    Mistake(
        "The axes are exchanged: this is the slope of means over variances.",
        but(("centred.square().sum()", "(variances - variances.mean()).square().sum()")),
        likely="axes exchanged",
    ),
    Mistake(
        "The gain is upside down: variance over mean, not mean over variance.",
        but(
            (
                "(centred * variances).sum() / centred.square().sum()",
                "centred.square().sum() / (centred * variances).sum()",
            ),
            ("at_zero = variances.mean() - gain", "at_zero = variances.mean() - (1 / gain)"),
        ),
    ),
    Mistake(
        "The read noise comes from the mean variance. Go down along the line to a mean of 0: "
        "subtract gain * means.mean().",
        but((" - gain * means.mean()", "")),
        likely="not taken down to 0",
    ),
    Mistake(
        "The read noise comes from the first patch, which is not black: use the line at 0.",
        but(("variances.mean() - gain * means.mean()", "variances[0]")),
    ),
    Mistake(
        "The line goes through the first and the last point only: use all of them.",
        but(
            (
                "(centred * variances).sum() / centred.square().sum()",
                "(variances[-1] - variances[0]) / (means[-1] - means[0])",
            )
        ),
    ),
    Mistake(
        "It fits standard deviations: it is the variance that grows along a straight line.",
        but(
            ("centred = ", "variances = variances.sqrt()\ncentred = "),
        ),
    ),
)

# --------------------------------------------------------------------------------------- to_mosaic


def _mosaic_case(name: str, height: int, width: int, dtype: torch.dtype = torch.float64) -> Case:
    return Case(name, {"image": values((3, height, width), 155, dtype)})


@exercise(
    topic="camera",
    title="One colour a pixel",
    hints=(
        "Which colour has most places, and which rows and columns have the two others? Draw the "
        "first four pixels: R G above G B.",
        "Begin with a copy of the green plane. Red is at even rows and even columns, blue at odd "
        "rows and odd columns; take the same places of the plane of that colour.",
        "`raw = image[1].clone()`, then `raw[0::2, 0::2] = image[0, 0::2, 0::2]`, and one more "
        "line for blue.",
    ),
    returns=("raw",),
    axes=("row", "column"),
    cases=(
        _mosaic_case("4 x 4", 4, 4),
        _mosaic_case("not square", 2, 6),
        _mosaic_case("odd sides", 5, 3),
        _mosaic_case("float32", 4, 2, torch.float32),
    ),
    errors=(
        (
            "must match the existing size",
            "The two sides of `=` have different shapes: take the same slice on both, image[c, "
            "rows, columns] on the right, since each pixel sees the scene at its own place.",
        ),
        ("out of bounds", "image is (3, H, W): the colour is the first of its three indices."),
    ),
)
def to_mosaic(image: Tensor) -> Tensor:
    """Check ``to_mosaic(image) -> raw``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``(3, H, W)`` and returns the mosaic RGGB, ``(H, W)``.
    """
    raw = image[1].clone()
    raw[0::2, 0::2] = image[0, 0::2, 0::2]
    raw[1::2, 1::2] = image[2, 1::2, 1::2]
    return raw


to_mosaic.mistakes = (
    Mistake(
        "It writes into the green plane of the image itself: image[1] is a view, so take a clone "
        "of it.",
        but((".clone()", "")),
        likely="a view",
    ),
    Mistake(
        "Red and blue are exchanged: the pixel at the top left, row 0 and column 0, sees red.",
        but(("image[0, ", "image[3, "), ("image[2, ", "image[0, "), ("image[3, ", "image[2, ")),
        likely="red and blue exchanged",
    ),
    Mistake(
        "The pattern is GRBG: red belongs into even columns of even rows, blue into odd columns of "
        "odd rows.",
        but(("0::2, 0::2]", "0::2, 9::2]"), ("1::2, 1::2]", "1::2, 0::2]"), ("9::2", "1::2")),
        likely="GRBG",
    ),
    Mistake(
        "The pattern is GBRG: red belongs into even rows, blue into odd rows.",
        but(("0::2, 0::2]", "9::2, 0::2]"), ("1::2, 1::2]", "0::2, 1::2]"), ("9::2", "1::2")),
    ),
    Mistake(
        "Every pixel is green: red and blue are missing.",
        "return image[1].clone()",
    ),
    Mistake(
        "Blue is missing: odd rows and odd columns see blue.",
        but(("raw[1::2, 1::2] = image[2, 1::2, 1::2]\n", "")),
    ),
    Mistake(
        "Every pixel has the mean of the three colours, as in a grey picture. A pixel of the "
        "sensor sees one colour only.",
        "return image.mean(0)",
    ),
    Mistake(
        "The colours of a block come from its pixel at the top left. Each pixel of the sensor sees "
        "the scene at its own place: take the same slice on both sides.",
        """
        raw = image[1].clone()
        raw[0::2, 0::2] = image[0, 0::2, 0::2]
        raw[0::2, 1::2] = image[1, 0::2, 0::2][:, : raw.shape[1] // 2]
        raw[1::2, 0::2] = image[1, 0::2, 0::2][: raw.shape[0] // 2]
        raw[1::2, 1::2] = image[2, 0::2, 0::2][: raw.shape[0] // 2, : raw.shape[1] // 2]
        return raw
        """,
        likely="top left of each block",
    ),
    Mistake(
        "Half of the greens are missing: in each block of 2 x 2 the two pixels that are neither "
        "red nor blue see green.",
        "raw = torch.zeros_like(image[0])\n"
        "for c, i, j in ((0, 0, 0), (1, 0, 1), (2, 1, 1)):\n"
        "    raw[i::2, j::2] = image[c, i::2, j::2]\n"
        "return raw",
        "raw = torch.zeros_like(image[0])\n"
        "for c, i, j in ((0, 0, 0), (1, 1, 0), (2, 1, 1)):\n"
        "    raw[i::2, j::2] = image[c, i::2, j::2]\n"
        "return raw",
    ),
    Mistake(
        "Whole rows have one colour: red is measured in every second column of the even rows.",
        "raw = image[0].clone()\nraw[1::2] = image[2, 1::2]\nreturn raw",
    ),
    Mistake(
        "There are still three planes, with zeros where a colour was not measured. Add them up to "
        "one plane (H, W).",
        """
        planes = torch.zeros_like(image)
        planes[0, 0::2, 0::2] = image[0, 0::2, 0::2]
        planes[1, 0::2, 1::2] = image[1, 0::2, 1::2]
        planes[1, 1::2, 0::2] = image[1, 1::2, 0::2]
        planes[2, 1::2, 1::2] = image[2, 1::2, 1::2]
        return planes
        """,
        likely="three planes",
    ),
)

# ------------------------------------------------------------------------------- interpolate_green


def _green_case(name: str, height: int, width: int, dtype: torch.dtype = torch.float64) -> Case:
    return Case(name, {"raw": values((height, width), 156, dtype)})


@exercise(
    topic="camera",
    title="The green that was not measured",
    hints=(
        "Could you get the left neighbours of all pixels in one slice? A pixel at the border has "
        "none, and mirroring gives it one.",
        "Mirror one pixel on each side, (H + 2, W + 2). Four slices of it, (H, W) each, are the "
        "neighbours above, below, left and right; where row + column is even take their mean, "
        "elsewhere raw.",
        '`padded = pad(raw[None, None], (1, 1, 1, 1), mode="reflect")[0, 0]`, `above = padded[:-2, '
        "1:-1]`, ..., and `torch.where((rows + columns) % 2 == 1, raw, around)` with `rows = "
        "torch.arange(raw.shape[0])[:, None]`.",
    ),
    returns=("green",),
    axes=("row", "column"),
    cases=(
        _green_case("4 x 4", 4, 4),
        _green_case("not square", 3, 6),
        _green_case("2 x 2: border only", 2, 2),
        _green_case("float32", 5, 4, torch.float32),
    ),
    errors=(
        (
            "Padding size",
            "pad mirrors tensors (N, C, H, W): give it raw[None, None], and take [0, 0] of what it "
            "returns.",
        ),
    ),
)
def interpolate_green(raw: Tensor) -> Tensor:
    """Check ``interpolate_green(raw) -> green``.

    Parameters
    ----------
    function : callable
        The student's, which takes a mosaic RGGB ``(H, W)`` and returns the green plane ``(H, W)``:
        as measured where row + column is odd, elsewhere the mean of the four neighbours, the
        picture being mirrored about its outermost pixels.
    """
    padded = pad(raw[None, None], (1, 1, 1, 1), mode="reflect")[0, 0]  # (H + 2, W + 2)
    above, below = padded[:-2, 1:-1], padded[2:, 1:-1]
    left, right = padded[1:-1, :-2], padded[1:-1, 2:]
    around = (above + below + left + right) / 4
    rows, columns = torch.arange(raw.shape[0])[:, None], torch.arange(raw.shape[1])
    return torch.where((rows + columns) % 2 == 1, raw, around)


interpolate_green.mistakes = (
    Mistake(
        "Green is taken where red and blue were measured, and interpolated where it was measured: "
        "green sits where row + column is odd.",
        but(("== 1", "== 0")),
        likely="the wrong half of the pixels",
    ),
    Mistake(
        "What was measured is lost: where row + column is odd, keep raw as it is.",
        but(("torch.where((rows + columns) % 2 == 1, raw, around)", "around")),
    ),
    Mistake(
        "Beyond the border it sees zeros, which makes the border dark: mirror the picture there, "
        "mode='reflect'.",
        but((', mode="reflect"', "")),
        likely="zeros beyond the border",
    ),
    Mistake(
        "Beyond the border it repeats the outermost pixel, which is red or blue where green is "
        "wanted: mirror about that pixel, mode='reflect'.",
        but(('"reflect"', '"replicate"')),
        likely="border repeated",
    ),
    Mistake(
        "It is the sum of the four neighbours: divide by 4.",
        but((" / 4", "")),
        likely="a sum",
    ),
    Mistake(
        "The sum of four neighbours is divided by 2: divide by 4.",
        but((" / 4", " / 2")),
    ),
    Mistake(
        "It takes the neighbours to the left and right only: those above and below are green too.",
        but(("(above + below + left + right) / 4", "(left + right) / 2")),
        likely="left and right only",
    ),
    Mistake(
        "It takes the neighbours above and below only: those to the left and right are green too.",
        but(("(above + below + left + right) / 4", "(above + below) / 2")),
    ),
    Mistake(
        "It takes the neighbours at the corners, which are red or blue: green are those above, "
        "below, left and right.",
        but(
            ("padded[:-2, 1:-1], padded[2:, 1:-1]", "padded[:-2, :-2], padded[2:, 2:]"),
            ("padded[1:-1, :-2], padded[1:-1, 2:]", "padded[2:, :-2], padded[:-2, 2:]"),
        ),
    ),
    Mistake(
        "Only where red was measured is the green filled in: it is missing where blue was, in odd "
        "rows and odd columns, too.",
        but(("(rows + columns) % 2 == 1", "(rows % 2 == 1) | (columns % 2 == 1)")),
    ),
    Mistake(
        "The pixel itself is in the mean, and that one is red or blue: take its four neighbours "
        "only.",
        but(("(above + below + left + right) / 4", "(above + below + left + right + raw) / 5")),
        likely="the pixel itself in the mean",
    ),
    Mistake(
        "It copies one neighbour: take the mean of all four.",
        but(("(above + below + left + right) / 4", "left")),
    ),
    Mistake(
        "Missing greens are left at zero: fill them with the mean of their neighbours.",
        but(("(above + below + left + right) / 4", "torch.zeros_like(raw)")),
    ),
)

# --------------------------------------------------------------------------- neighbour_correlation


def _correlation_case(
    name: str, shape: tuple[int, ...], distance: int, dtype: torch.dtype = torch.float64
) -> Case:
    noise = values(shape, 157)
    noise = noise + 0.8 * noise.roll(1, -1) + 0.3  # neighbours in a row alike, mean not 0
    return Case(name, {"noise": noise.to(dtype), "distance": distance})


@exercise(
    topic="camera",
    title="How alike neighbours are",
    hints=(
        "Lay the picture over itself, moved by `distance` columns. How wide is what overlaps? A "
        "pixel and itself, at distance 0, must be correlated by 1.",
        "With the mean of everything subtracted: the columns 0 to W - distance - 1 times the "
        "columns distance to W - 1. The mean of this product, over the mean square of all values.",
        "`left = noise[..., : noise.shape[-1] - distance]`, `right = noise[..., distance:]`, then "
        "`(left * right).mean() / noise.square().mean()`, all of `noise - noise.mean()`.",
    ),
    returns=("correlation",),
    errors=(
        (
            "tensor a (0)",
            "One of the two pieces is empty. A slice [: -0], at distance 0, is: count from the "
            "front, [: width - distance].",
        ),
    ),
    cases=(
        _correlation_case("distance 1", (3, 5, 8), 1),
        _correlation_case("distance 3, one plane", (4, 9), 3),
        _correlation_case("distance 0: a pixel and itself", (2, 4, 6), 0),
        _correlation_case("a batch of pictures", (2, 3, 4, 5), 2),
        _correlation_case("as far apart as can be", (3, 4), 3),
        _correlation_case("float32", (3, 6, 7), 2, torch.float32),
    ),
)
def neighbour_correlation(noise: Tensor, distance: int) -> Tensor:
    """Check ``neighbour_correlation(noise, distance) -> correlation``.

    Parameters
    ----------
    function : callable
        The student's, which takes noise ``(..., H, W)`` and how far apart two pixels of a row are,
        and returns a tensor of shape ``()``: the mean product of the two, their common mean
        subtracted, over the mean square of all.
    """
    noise = noise - noise.mean()
    left = noise[..., : noise.shape[-1] - distance]
    right = noise[..., distance:]
    return (left * right).mean() / noise.square().mean()


neighbour_correlation.mistakes = (
    Mistake(
        "The mean is not subtracted, so an even brightness counts as correlation.",
        but(("noise = noise - noise.mean()\n", "")),
        likely="mean not subtracted",
    ),
    Mistake(
        "It is the covariance: divide by the mean square of the noise.",
        but((" / noise.square().mean()", "")),
        likely="not divided",
    ),
    Mistake(
        "It is divided by the standard deviation: the mean square is its square.",
        but(("noise.square().mean()", "noise.square().mean().sqrt()")),
    ),
    Mistake(
        "It compares pixels of different rows: a row runs along the last dimension.",
        but(
            ("[..., : noise.shape[-1] - distance]", "[..., : noise.shape[-2] - distance, :]"),
            ("[..., distance:]", "[..., distance:, :]"),
        ),
        likely="along the columns",
    ),
    Mistake(
        "It goes around the border: the last pixels of a row have no partner to their right.",
        "noise = noise - noise.mean()\n"
        "return (noise * noise.roll(distance, -1)).mean() / noise.square().mean()",
        likely="around the border",
    ),
    Mistake(
        "The sum of the products is divided by the sum of all squares: there are fewer products "
        "than squares, so take a mean of each.",
        but(
            (
                "(left * right).mean() / noise.square().mean()",
                "(left * right).sum() / noise.square().sum()",
            )
        ),
        likely="sums instead of means",
    ),
    Mistake(
        "It is divided by the variance with n - 1: the formula has the mean of all squares.",
        but(("noise.square().mean()", "noise.var()")),
    ),
    Mistake(
        "It is divided by the root mean squares of the two pieces: the formula has the mean square "
        "of all pixels below.",
        but(
            (
                "noise.square().mean()",
                "(left.square().mean() * right.square().mean()).sqrt()",
            )
        ),
    ),
    Mistake(
        "Each row has lost a mean of its own: subtract the mean over everything, once.",
        but(("noise - noise.mean()", "noise - noise.mean(-1, keepdim=True)")),
    ),
    Mistake(
        "The distance is ignored: it is always 1.",
        but(("distance:]", "1:]"), (" - distance]", " - 1]")),
    ),
    Mistake(
        "It is one pixel too far.",
        but(("distance:]", "distance + 1 :]"), (" - distance]", " - distance - 1]")),
    ),
    Mistake(
        "It is squared: a correlation has a sign.",
        but(
            (
                "return (left * right).mean() / noise.square().mean()",
                "return ((left * right).mean() / noise.square().mean()) ** 2",
            )
        ),
    ),
    Mistake(
        "It is the mean absolute product, which is above 0 for white noise too: keep the signs.",
        but(("(left * right)", "(left * right).abs()")),
    ),
)

# ----------------------------------------------------------------------------------- frame_patches


def _frames_case(
    name: str,
    corners: list[tuple[int, int]],
    swapped: list[bool],
    size: int,
    dtype: torch.dtype = torch.float64,
    channels: int = 3,
) -> Case:
    frame1, frame2 = values((2, channels, 9, 8), 158, dtype).unbind()
    arguments = {
        "frame1": frame1,
        "frame2": frame2,
        "corners": corners,
        "swapped": swapped,
        "size": size,
    }
    return Case(name, arguments, {"the number of patches": len(corners)})


@exercise(
    topic="camera",
    title="Patches of two frames, in both directions",
    hints=(
        "When do the two frames change their roles? They differ in their noise alone, so input and "
        "target must show the same place.",
        "For each corner (row, column) take all channels, rows row to row + size - 1 and columns "
        "column to column + size - 1 of both frames. If it is swapped, exchange the two pieces. "
        "Stack the inputs, and the targets, to (N, C, size, size).",
        "`first = frame1[:, row : row + size, column : column + size]`, the same of `frame2`, `if "
        "swap: first, second = second, first`, and `torch.stack(inputs), torch.stack(targets)` "
        "after the loop.",
    ),
    returns=("inputs", "targets"),
    axes=("patch", "channel", "row", "column"),
    cases=(
        _frames_case("one patch", [(2, 1)], [False], 4),
        _frames_case("one patch, swapped", [(1, 3)], [True], 3),
        _frames_case("two patches of one channel", [(2, 0), (1, 5)], [False, True], 3, channels=1),
        _frames_case("three patches", [(0, 0), (5, 4), (3, 1)], [True, False, True], 4),
        _frames_case("float32", [(4, 2), (0, 3)], [False, True], 5, torch.float32),
    ),
    errors=(
        (
            "equal size",
            "The pieces differ in size. A slice ends at row + size, not at size; and the channels "
            "come first, [:, rows, columns].",
        ),
    ),
)
def frame_patches(
    frame1: Tensor,
    frame2: Tensor,
    corners: list[tuple[int, int]],
    swapped: list[bool],
    size: int,
) -> tuple[Tensor, Tensor]:
    """Check ``frame_patches(frame1, frame2, corners, swapped, size) -> inputs, targets``.

    Parameters
    ----------
    function : callable
        The student's, which takes two frames ``(C, H, W)``, the corner at the top left of each
        patch, and for each whether the second frame is its input; and returns inputs and targets,
        ``(N, C, size, size)`` each.
    """
    inputs, targets = [], []
    for (row, column), swap in zip(corners, swapped, strict=True):
        first = frame1[:, row : row + size, column : column + size]
        second = frame2[:, row : row + size, column : column + size]
        if swap:
            first, second = second, first
        inputs.append(first)
        targets.append(second)
    return torch.stack(inputs), torch.stack(targets)  # (N, C, size, size)


frame_patches.mistakes = (
    Mistake(
        "Nothing is ever swapped: where `swapped` says so, the second frame is the input.",
        but(("if swap:", "if False:")),
        likely="never swapped",
    ),
    Mistake(
        "Everything is swapped the wrong way round: without a swap the input comes from frame1.",
        but(("if swap:", "if not swap:")),
        likely="swapped the wrong way round",
    ),
    Mistake(
        "Every patch is swapped: look at its entry of `swapped`.",
        but(("if swap:", "if True:")),
    ),
    Mistake(
        "A swapped patch has the same piece as input and as target, so that the network would "
        "learn to do nothing: exchange both at once, or keep one aside.",
        but(("first, second = second, first", "first = second")),
        but(("first, second = second, first", "second = first")),
        likely="input and target the same",
    ),
    Mistake(
        "Every patch is there twice, in both directions: there are N of them, and `swapped` says "
        "which direction each one has.",
        """
        ones, others = (
            [frame[:, row : row + size, column : column + size] for row, column in corners]
            for frame in (frame1, frame2)
        )
        return torch.stack(ones + others), torch.stack(others + ones)
        """,
    ),
    Mistake(
        "The frames stay exchanged after the first patch that is swapped: exchange the two pieces, "
        "or two names of this patch, and leave frame1 and frame2 as they are.",
        but(
            ("    if swap:\n        first, second = second, first\n", ""),
            (
                "    first = frame1[",
                "    if swap:\n        frame1, frame2 = frame2, frame1\n    first = frame1[",
            ),
        ),
    ),
    Mistake(
        "Both pieces come from frame1. Their noise is the same, so the network would learn to do "
        "nothing.",
        but(("second = frame2", "second = frame1")),
        likely="one frame only",
    ),
    Mistake(
        "Rows and columns are exchanged: a corner is (row, column), and an image (C, H, W).",
        but(("for (row, column),", "for (column, row),")),
        likely="rows and columns exchanged",
    ),
    Mistake(
        "The corner is taken for the centre of the patch: it is at its top left.",
        but(
            (
                "first = frame1[",
                "row, column = max(row - size // 2, 0), max(column - size // 2, 0)\n    "
                "first = frame1[",
            )
        ),
    ),
    Mistake(
        "Input and target are not the same piece of the scene: rows and columns of the second "
        "piece are exchanged.",
        but(
            (
                "second = frame2[:, row : row + size, column : column + size]",
                "second = frame2[:, column : column + size, row : row + size]",
            )
        ),
    ),
    Mistake(
        "All patches come from the first corner: each has its own.",
        but(("    first = frame1[", "    row, column = corners[0]\n    first = frame1[")),
    ),
    Mistake(
        "The patches lie next to each other in one long picture: torch.stack gives them a "
        "dimension of their own.",
        but(("torch.stack", "torch.cat")),
        likely="cat for stack",
    ),
    Mistake(
        "The patches are one pixel too small: a slice ends before its second number.",
        but(("+ size", "+ size - 1")),
    ),
)

# ------------------------------------------------------------------------------ level_by_brightness


def _levels_case(
    name: str, shape: tuple[int, ...], edges: list[float], dtype: torch.dtype = torch.float64
) -> Case:
    scene = _uniform(shape, 170)
    frame1, frame2 = (scene + 0.2 * (0.2 + scene) * values(shape, seed) for seed in (171, 172))
    arguments = {"frame1": frame1.to(dtype), "frame2": frame2.to(dtype), "edges": edges}
    return Case(name, arguments)


def _on_edges_case(name: str) -> Case:
    """Brightness in steps of an eighth, so that it equals every edge somewhere."""
    brightness = torch.arange(9, dtype=torch.float64).view(1, 3, 3) / 8
    difference = torch.arange(2.0, 11.0, dtype=torch.float64).view(1, 3, 3) / 64
    arguments = {"frame1": brightness + difference, "frame2": brightness - difference}
    return Case(name, {**arguments, "edges": [0.25, 0.5, 1.0]})


@exercise(
    topic="camera",
    title="The noise of two frames, without the truth",
    hints=(
        "What drops out if you subtract one frame from the other, and how much noisier is the "
        "difference than one frame? The truth is in neither.",
        "The brightness is the mean of the two frames. For the values with low <= brightness < "
        "high, the mean square of frame1 - frame2 is twice the variance of one frame: halve it, "
        "and take the root. One number for each of the B ranges.",
        "`inside = (brightness >= low) & (brightness < high)`, then "
        "`(difference[inside].square().mean() / 2).sqrt()`, for `low, high in zip(edges[:-1], "
        "edges[1:])`; `torch.stack` makes (B,).",
    ),
    returns=("levels",),
    axes=("brightness",),
    cases=(
        _levels_case("one range", (3, 6, 8), [-1.0, 2.0]),
        _levels_case("three ranges", (3, 12, 10), [0.0, 0.3, 0.6, 1.0]),
        _on_edges_case("values on the edges"),
        _levels_case("float32", (3, 9, 9), [0.1, 0.5, 0.9], torch.float32),
    ),
)
def level_by_brightness(frame1: Tensor, frame2: Tensor, edges: list[float]) -> Tensor:
    """Check ``level_by_brightness(frame1, frame2, edges) -> levels``.

    Parameters
    ----------
    function : callable
        The student's, which takes two frames of one scene ``(C, H, W)`` and B + 1 ascending edges
        of brightness, and returns the standard deviation of the noise of *one* frame in each of
        the B ranges, ``(B,)``.
    """
    brightness, difference = (frame1 + frame2) / 2, frame1 - frame2
    levels = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        inside = (brightness >= low) & (brightness < high)
        levels.append((difference[inside].square().mean() / 2).sqrt())
    return torch.stack(levels)  # (B,)


level_by_brightness.mistakes = (
    Mistake(
        "It is the noise of the difference, which has twice the variance of one frame: divide the "
        "mean square by 2.",
        but((".mean() / 2)", ".mean())")),
        likely="not halved",
    ),
    Mistake(
        "The standard deviation of the difference is halved: it is the variance that is twice as "
        "large, so halve before the root.",
        but(
            (
                "(difference[inside].square().mean() / 2).sqrt()",
                "difference[inside].square().mean().sqrt() / 2",
            )
        ),
        likely="halved after the root",
    ),
    Mistake(
        "It is the variance: take the square root.",
        but((".mean() / 2).sqrt()", ".mean() / 2)")),
        likely="no root",
    ),
    Mistake(
        "Pixels are sorted by the first frame alone, whose noise then decides where it is counted: "
        "use the mean of both.",
        but(("(frame1 + frame2) / 2,", "frame1,")),
        likely="sorted by one frame",
    ),
    Mistake(
        "std takes the mean of the differences away and divides by n - 1. The mean of the noise is "
        "0 without that: take the mean square, halve it, and take the root.",
        but(
            ("(difference[inside].square().mean() / 2).sqrt()", "difference[inside].std() / 2**0.5")
        ),
        likely="std",
    ),
    Mistake(
        "std takes the mean of the differences away, and is halved: take the mean square, halve "
        "that, and take the root.",
        but(("(difference[inside].square().mean() / 2).sqrt()", "difference[inside].std() / 2")),
    ),
    Mistake(
        "Pixels are sorted by the mean of their colours: each value of each channel has a "
        "brightness of its own.",
        but(("(frame1 + frame2) / 2,", "((frame1 + frame2) / 2).mean(0).expand_as(frame1),")),
    ),
    Mistake(
        "Pixels are sorted by the sum of the frames: the mean is half of it.",
        but(("(frame1 + frame2) / 2,", "frame1 + frame2,")),
    ),
    Mistake(
        "It measures the mean of the two frames, so the scene is in it: subtract them.",
        but(("difference[inside]", "brightness[inside]")),
    ),
    Mistake(
        "It is the mean absolute difference: square, take the mean, and the root at the end.",
        but(("(difference[inside].square().mean() / 2).sqrt()", "difference[inside].abs().mean()")),
    ),
    Mistake(
        "Each range goes down to black: a pixel counts from the lower edge on.",
        but(("(brightness >= low) & (brightness < high)", "brightness < high")),
        likely="no lower edge",
    ),
    Mistake(
        "Each range goes up to white: a pixel counts below the upper edge.",
        but(("(brightness >= low) & (brightness < high)", "brightness >= low")),
    ),
    Mistake(
        "A value that equals the upper edge is counted: it belongs to the next range, brightness < "
        "high.",
        but(("< high", "<= high")),
    ),
    Mistake(
        "A value that equals the lower edge is left out: it belongs to the range, low <= "
        "brightness.",
        but((">= low", "> low")),
    ),
    Mistake(
        "A value on an edge belongs to the range above it, and not to the one below: low <= "
        "brightness < high.",
        but((">= low", "> low"), ("< high", "<= high")),
    ),
    Mistake(
        "It is divided by the number of all pixels, not of those in the range: take the mean of "
        "difference[inside].",
        but(("difference[inside].square().mean()", "(difference * inside).square().mean()")),
        likely="over all pixels",
    ),
    Mistake(
        "The ranges come out in reversed order, from bright to dark.",
        but(("torch.stack(levels)", "torch.stack(levels[::-1])")),
    ),
)

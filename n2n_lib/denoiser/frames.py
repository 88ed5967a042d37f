"""Your own frames: several noisy images of one scene, made ready to train on.

Two exposures of one scene are what Noise2Noise asks for. `open_scenes` reads them at any depth,
`prepare` aligns them, makes them equally bright and masks what moved. `estimate` says what a
denoiser gains on them, without any clean image.
"""

from __future__ import annotations

import io
import logging
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
import torch
from PIL import Image
from skimage import filters, morphology, registration
from torch import Tensor

from n2n_lib.denoiser.images import IMAGE_FORMATS, find_images, load_image, save_image
from n2n_lib.support import files

ROOM = 2 << 30
"""Bytes that the frames of all scenes may take, as float32."""

SMALLEST = 32
"""Height and width, in pixels, that the frames of a scene must have in common."""

FARTHEST = 4
"""Frames may be shifted by one part in so many of the picture."""

ALIKE = 7.0
"""Standard deviations of chance that the common detail of two frames must stand out by.

Crops of unrelated photographs reach 6.
"""

MOVED = 6.0
"""Standard deviations of the smoothed noise by which a moving part differs."""

LEAST_STILL = 0.2
"""Share of the picture in which no frame may have moved."""

FIXED = {True: 0.2, False: 0.5}
"""Correlation of the noise of frames from which on it is said: of shifted ones, and of others.

Without a shift fine detail of the scene counts as well: 0.3 for a sharp photograph whose noise is
2 grey levels.
"""

SAME = 0.95
"""Correlation of the noise of two frames from which on they are one exposure."""

HELD_BLOCK = 32
"""Side of the blocks, in pixels, that are held out of a training on two frames."""

MASK_SMOOTHING = 1.5
"""Pixels over which differences are smoothed before they are compared with the noise."""

_BINS = 12  # of brightness, in each of which the noise has a level of its own

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else it writes to stderr


@dataclass(frozen=True)
class Scene:
    """Frames of one scene that differ in nothing but their noise, where they are valid.

    Attributes
    ----------
    name : str
        Of the folder or the file.
    frames : sequence of Tensor
        float32 ``(C, H, W)`` with one channel or three, aligned, all as bright as the first one;
        0-255, noisy values may lie outside.
    valid : Tensor
        bool ``(n, H, W)``: False where something moved in that frame.
    shifts : sequence of (int, int)
        Rows and columns by which each frame was moved in order to fit the first one.
    gains, offsets : sequence of Tensor
        By channel: a frame as it was is ``gain * frame + offset``.
    level : float
        Standard deviation of the noise of a frame, in units of `frames`.
    low, high : float
        What became 0 and 255.
    dtype : numpy.dtype
        Of the files.
    remarks : tuple of str
        What the owner of the frames should know.
    """

    name: str
    frames: Sequence[Tensor]
    valid: Tensor
    shifts: Sequence[tuple[int, int]]
    gains: Sequence[Tensor]
    offsets: Sequence[Tensor]
    level: float
    low: float
    high: float
    dtype: np.dtype
    remarks: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        """The scene in one line."""
        size = " x ".join(str(side) for side in self.valid.shape[1:])
        noise = self.level * (self.high - self.low) / 255
        farthest = max(max(map(abs, shift)) for shift in self.shifts)
        moved = 1 - self.valid.float().mean().item()
        return (
            f"{self.name}: {len(self.frames)} frames, {size} pixels in common, shifts of up to "
            f"{farthest}; noise of {noise:.3g} in values from {self.low:.4g} to {self.high:.4g}; "
            f"{moved:.1%} moved"
        )

    @property
    def training(self) -> int:
        """How many frames, the first ones, are trained on: of three or more, the last is not."""
        return max(2, len(self.frames) - 1)

    @property
    def held_out(self) -> Tensor:
        """Which pixels are not trained on, bool ``(H, W)``: with two frames every fourth block.

        The blocks lie on slanted lines, so that each row and column has some in it.
        """
        height, width = self.frames[0].shape[1:]
        if len(self.frames) > 2:
            return torch.zeros(height, width, dtype=torch.bool)
        side = max(4, min(HELD_BLOCK, height // 4, width // 4))
        rows, columns = torch.arange(height) // side, torch.arange(width) // side
        return (rows[:, None] + 2 * columns) % 4 == 0

    def mean(self, count: int | None = None) -> Tensor:
        """Return the mean of the first frames where nothing moved, and else the first of them."""
        return mean_where(self.frames[:count], self.valid[:count])[0]

    def save(self, image: Tensor, path: Path) -> Path:
        """Write an image of this scene in the depth of its files.

        Parameters
        ----------
        image : Tensor
            ``(C, H, W)`` or ``(3, H, W)``, in the units of `frames`.
        path : Path
            Where to, without a suffix: 8 bits become a PNG, all else a TIFF.

        Returns
        -------
        Path
            The file.
        """
        if self.dtype == np.uint8:
            path = path.with_name(path.name + ".png")
            save_image(image.expand(3, -1, -1), path)
            return path
        path = path.with_name(path.name + ".tif")
        colours = image.mean(0) if len(self.frames[0]) == 1 else image.permute(1, 2, 0)
        values = colours.double().numpy() / 255 * (self.high - self.low) + self.low
        if self.dtype.kind in "ui":
            limits = np.iinfo(self.dtype)
            values = values.round().clip(limits.min, limits.max)
        kind, content = "minisblack" if values.ndim == 2 else "rgb", io.BytesIO()
        tifffile.imwrite(content, values.astype(self.dtype), photometric=kind)
        files.write_atomically(path, lambda file: file.write(content.getbuffer()))
        return path


def mean_where(frames: Sequence[Tensor], valid: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of frames over their valid values, and where there was one.

    Parameters
    ----------
    frames : sequence of Tensor
        ``(C, H, W)`` each.
    valid : Tensor
        bool ``(n, H, W)``.

    Returns
    -------
    (Tensor, Tensor)
        ``(C, H, W)``, which is the first frame where none is valid, and bool ``(H, W)``.
    """
    total, count = torch.zeros_like(frames[0]), valid.sum(0)
    for frame, here in zip(frames, valid, strict=True):
        total += frame * here
    return torch.where(count > 0, total / count.clamp(min=1), frames[0]), count > 0


# --------------------------------------------------------------------------------------------------
# Files


def open_scenes(path: str | Path) -> list[Scene]:
    """Read all scenes of a folder or a stack, and make each ready to train on.

    Parameters
    ----------
    path : path-like
        A folder of images, which are the frames of one scene; a folder of such folders; or a TIFF
        file of several pages, which are the frames. Such a file in a folder is a scene of its own.

    Returns
    -------
    list of Scene

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    ValueError
        If a scene has one frame only, a file cannot be read, or `prepare` refuses.
    """
    found = _find_scenes(Path(path))
    scenes = []
    for name, frames in found.items():
        images, named, remarks = _read(name, frames, ROOM // len(found))
        scenes.append(prepare(name, images, named, remarks))
    return scenes


Frame = tuple[str, Callable[[], np.ndarray]]
"""Name of a frame, and what reads it: (H, W) or (H, W, 3)."""


def _find_scenes(path: Path) -> dict[str, list[Frame]]:
    """List the frames of every scene; of the images, no more than headers are read."""
    if not path.exists():
        raise FileNotFoundError(f"expected a folder of frames or a TIFF stack, got nothing: {path}")
    if path.is_file():
        return {path.stem: _frames_of(path)}
    folders = [path]
    if not _has_images(path):
        inside = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
        folders = [folder for folder in inside if _has_images(folder)] or [path]
    scenes: dict[str, list[Frame]] = {}
    for folder in folders:
        for file in find_images(folder):
            frames, name = _frames_of(file), folder.resolve().name
            if len(frames) > 1:
                name = f"{name} {file.stem}"
            scenes.setdefault(name, []).extend(frames)
    return scenes


def _has_images(folder: Path) -> bool:
    try:
        return bool(find_images(folder))
    except ValueError:
        return False


def _frames_of(path: Path) -> list[Frame]:
    """Return the pages of a TIFF file, or the one image of any other."""
    pages = _count_pages(path) if path.suffix.lower() in (".tif", ".tiff") else None
    if pages is None:
        return [(str(path), partial(_read_image, path))]
    name = "{}, page {}" if pages > 1 else "{}"
    return [(name.format(path, page + 1), partial(_read_page, path, page)) for page in range(pages)]


def _count_pages(path: Path) -> int | None:
    """Return how many pages tifffile can read of a file; None if Pillow may know better."""
    try:
        with tifffile.TiffFile(path) as stack:
            first = stack.pages[0]
            plain = first.photometric in (
                tifffile.PHOTOMETRIC.MINISBLACK,
                tifffile.PHOTOMETRIC.RGB,
            )
            if not plain or first.samplesperpixel not in (1, 3):
                return None
            if first.compression not in (1, 8, 32946, 32773):  # what needs no other package
                if len(stack.pages) > 1:
                    raise ValueError(
                        "expected a TIFF stack without compression or with Deflate, "
                        f"got {first.compression.name}: {path}"
                    )
                return None
            if (size := math.prod(first.shape[:2])) > Image.MAX_IMAGE_PIXELS:
                raise ValueError(
                    f"expected pages of at most {Image.MAX_IMAGE_PIXELS} pixels, got {size}: {path}"
                )
            # ImageJ writes one page and says that more follow.
            return len(stack.pages) if len(stack.pages) > 1 else len(_as_pages(stack))
    except ValueError:
        raise
    except Exception:  # whatever it is, load_image has words for it
        return None


def _as_pages(stack: tifffile.TiffFile) -> Sequence:
    """Return what there is to be read, page by page."""
    if len(stack.pages) > 1 or len(stack.series) != 1 or not stack.is_imagej:
        return stack.pages
    shape = stack.series[0].shape
    if shape == stack.pages[0].shape:
        return stack.pages
    return tifffile.memmap(stack.filehandle.path, mode="r").reshape(-1, *stack.pages[0].shape)


def _read_page(path: Path, page: int) -> np.ndarray:
    try:
        with tifffile.TiffFile(path) as stack:
            one = _as_pages(stack)[page]
            values = np.array(one) if isinstance(one, np.ndarray) else one.asarray()
            separate = stack.pages[0].planarconfig == 2 and values.ndim == 3
    except Exception as error:  # a damaged file fails in many ways
        raise ValueError(
            f"expected a TIFF image, got a damaged one: {path}, page {page + 1} "
            f"({files.brief(error)})"
        ) from None
    return values.transpose(1, 2, 0) if separate else values


def _read_image(path: Path) -> np.ndarray:
    """Read an image as `load_image` does, but greys of 16 bits whole."""
    image = load_image(path).permute(1, 2, 0).numpy()
    with Image.open(path, formats=IMAGE_FORMATS) as opened:
        if opened.mode.startswith("I"):
            deep = np.array(opened)
            return deep.astype(np.uint16) if 0 <= deep.min() <= deep.max() < 2**16 else deep
    return image


def _read(
    name: str, frames: Sequence[Frame], room: int
) -> tuple[list[np.ndarray], list[str], tuple[str, ...]]:
    """Read the frames of a scene, as many as there is room for."""
    if len(frames) == 1:
        raise ValueError(
            f"expected two or more frames of a scene, got one: {frames[0][0]} "
            "(to clean one image alone: n2n denoise --adapt 600)"
        )
    first = frames[0][1]()
    fits = room // (4 * first.size)
    if fits < 2:
        raise ValueError(
            f"expected frames that fit twice into {room >> 20} MB, got {4 * first.size >> 20} MB "
            f"for each: {frames[0][0]}; cut them into parts, or take fewer scenes"
        )
    remarks = ()
    if fits < len(frames):
        remarks = (f"only the first {fits} of {len(frames)} frames: more do not fit into memory",)
        frames = frames[:fits]
    return [first, *(read() for _, read in frames[1:])], [named for named, _ in frames], remarks


# --------------------------------------------------------------------------------------------------
# From images to a scene


def prepare(
    name: str,
    images: Sequence[np.ndarray],
    names: Sequence[str] | None = None,
    remarks: tuple[str, ...] = (),
) -> Scene:
    """Align frames, make them equally bright, and mask what moved.

    Parameters
    ----------
    name : str
        Of the scene.
    images : sequence of numpy.ndarray
        Two or more frames, ``(H, W)`` or ``(H, W, 3)``, of one size and dtype: uint8, or any other
        numbers, whose least and greatest value then become 0 and 255.
    names : sequence of str, optional
        What to call each frame in a message.
    remarks : tuple of str
        What is to be said already.

    Returns
    -------
    Scene

    Raises
    ------
    ValueError
        If the frames differ in size, hold other than finite numbers, are twice the same, show
        different scenes, or are shifted by more than a quarter of the picture.
    """
    names = names or [f"frame {number + 1}" for number in range(len(images))]
    _check(images, names)
    dtype = images[0].dtype
    low, high = 0.0, 255.0
    if dtype != np.uint8:
        low = float(min(i.min() for i in images))
        high = float(max(i.max() for i in images))
        if low == high:
            raise ValueError(f"expected frames with a picture, got {low:g} everywhere: {names[0]}")
    frames = [_as_frame(image, low, high) for image in images]
    if all(len(frame) == 3 and (frame == frame[:1]).all() for frame in frames):
        frames = [frame[:1] for frame in frames]
    shifts = [(0, 0)]
    for frame, told in zip(frames[1:], names[1:], strict=True):
        shifts.append(_checked_shift(frames[0], frame, names[0], told))
    fixed = max(noise_correlation(frames[0], frame) for frame in frames[1:])
    frames = crop(frames, shifts)
    if min(frames[0].shape[1:]) < SMALLEST:
        got = " x ".join(str(n) for n in frames[0].shape[1:])
        raise ValueError(
            f"expected frames of {name} that share {SMALLEST} x {SMALLEST} pixels, got {got}"
        )
    same = max(noise_correlation(frames[0], frame) for frame in frames[1:])
    fits = [fit_brightness(frames[0], frame) for frame in frames]
    frames = [
        (frame - offset[:, None, None]) / gain[:, None, None]
        for frame, (gain, offset) in zip(frames, fits, strict=True)
    ]
    valid = still_parts(frames)
    if valid.all(0).float().mean() < LEAST_STILL:
        raise ValueError(
            f"expected frames of {name} of which {LEAST_STILL:.0%} shows the same, got less: "
            "too much moves"
        )
    level = math.sqrt(noise_variance(frames)[valid.all(0)].mean().item())
    if level == 0 or same > SAME:
        raise ValueError(
            f"expected frames of {name} with noise of their own, got the noise of {names[0]} again"
        )
    remarks += _remarks(valid, fixed, any(shift != (0, 0) for shift in shifts))
    return Scene(
        name,
        frames,
        valid,
        shifts,
        [gain for gain, _ in fits],
        [offset for _, offset in fits],
        level,
        low,
        high,
        dtype,
        remarks,
    )


def _check(images: Sequence[np.ndarray], names: Sequence[str]) -> None:
    """Raise ValueError unless these are frames that can be compared, each another one."""
    seen: dict[int, int] = {}
    for number, (image, told) in enumerate(zip(images, names, strict=True)):
        if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
            raise ValueError(f"expected one channel or three, got shape {image.shape}: {told}")
        if image.dtype.kind not in "uif":
            raise ValueError(f"expected numbers, got {image.dtype}: {told}")
        for what in ("shape", "dtype"):
            first, this = getattr(images[0], what), getattr(image, what)
            if first != this:
                raise ValueError(
                    f"expected frames of one size and depth, got {_words(first)} in {names[0]} "
                    f"and {_words(this)} in {told}"
                )
        if not np.isfinite(image).all():
            bad = image[~np.isfinite(image)][0]
            raise ValueError(f"expected finite values, got {bad}: {told}")
        twin = seen.setdefault(zlib.crc32(np.ascontiguousarray(image)), number)
        if twin != number and np.array_equal(images[twin], image):
            raise ValueError(
                f"expected frames with noise of their own, got the same picture twice: "
                f"{names[twin]} and {told}"
            )


def _words(shape_or_dtype: tuple[int, ...] | np.dtype) -> str:
    if isinstance(shape_or_dtype, tuple):
        return " x ".join(str(n) for n in shape_or_dtype)
    return str(shape_or_dtype)


def _as_frame(image: np.ndarray, low: float, high: float) -> Tensor:
    """Bring values to 0-255: float32 ``(C, H, W)``."""
    values = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    if (low, high) == (0.0, 255.0):
        return torch.from_numpy(values.astype(np.float32))
    scaled = (values.astype(np.float64) - low) * (255 / (high - low))
    return torch.from_numpy(scaled.astype(np.float32))


def _remarks(valid: Tensor, fixed: float, shifted: bool) -> tuple[str, ...]:
    """Say what stands in the way of good results."""
    remarks = ()
    if (lost := 1 - valid.float().mean().item()) > 0.25:
        remarks += (
            f"{lost:.0%} of the picture moves or differs by more than noise, and is not trained on",
        )
    if fixed > FIXED[shifted]:
        why = "" if shifted else ", unless the scene is full of detail as fine as its noise"
        remarks += (
            f"the noise of two frames agrees by {fixed:.0%} (0% is right): a pattern of the sensor "
            f"or of the file format, which no training on these frames removes{why}",
        )
    return remarks


# --------------------------------------------------------------------------------------------------
# Shifts


def find_shift(reference: Tensor, frame: Tensor) -> tuple[tuple[int, int], float]:
    """Find by how much a frame must be moved in order to lie on another one.

    Parameters
    ----------
    reference, frame : Tensor
        ``(C, H, W)``, of one size.

    Returns
    -------
    ((int, int), float)
        Rows and columns, and how far the correlation of their details stands out of chance, in
        standard deviations.

    Notes
    -----
    scikit-image's phase correlation of details (a band of frequencies, which noise and uneven
    light leave alone), without its whitening, which drowns in noise. It takes the picture for
    periodic, so the estimate, rounded, is then improved among its neighbours by the correlation of
    what overlaps. Whole pixels only: to interpolate would mix the noise of neighbours.
    """
    details = [_details(image) for image in (reference, frame)]
    estimate, _, _ = registration.phase_cross_correlation(
        *details, upsample_factor=10, normalization=None
    )
    row, column = (round(float(value)) for value in estimate)
    tried = {
        (y, x): _agreement(*details, (y, x))
        for y in range(row - 3, row + 4)
        for x in range(column - 3, column + 4)
        if 2 * abs(y) < details[0].shape[0] and 2 * abs(x) < details[0].shape[1]
    }
    if not tried:
        return (row, column), 0.0
    best = max(tried, key=tried.get)
    return best, tried[best]


def _details(image: Tensor) -> np.ndarray:
    grey = image.mean(0).numpy()
    return filters.gaussian(grey, 1) - filters.gaussian(grey, 4)


_DETAIL_AREA = 4 * math.pi  # pixels that one independent value of `_details` stands for


def _agreement(first: np.ndarray, second: np.ndarray, shift: tuple[int, int]) -> float:
    """Correlate what overlaps, in standard deviations of chance."""
    here, there = overlap(first.shape, shift)
    one, other = first[here] - first[here].mean(), second[there] - second[there].mean()
    norm = math.sqrt(float((one * one).sum()) * float((other * other).sum()))
    return float((one * other).sum()) / norm * math.sqrt(one.size / _DETAIL_AREA) if norm else 0.0


def overlap(
    size: tuple[int, int], shift: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where a reference and a frame to be moved by `shift` overlap, in each of them."""
    here = tuple(slice(max(0, d), n + min(0, d)) for n, d in zip(size, shift, strict=True))
    there = tuple(slice(max(0, -d), n + min(0, -d)) for n, d in zip(size, shift, strict=True))
    return here, there


def _checked_shift(reference: Tensor, frame: Tensor, name: str, told: str) -> tuple[int, int]:
    """Return the shift between two frames; raise ValueError if there is none to believe."""
    shift, sure = find_shift(reference, frame)
    if sure < ALIKE:
        if _smoothness(reference - frame) > 0.3:  # noise alone is rough
            raise ValueError(
                f"expected frames of one scene, got {told}, which shows other things than {name}; "
                "several scenes go into a subfolder each"
            )
        return 0, 0
    limits = [n // FARTHEST for n in frame.shape[1:]]
    if any(abs(d) > limit for d, limit in zip(shift, limits, strict=True)):
        raise ValueError(
            f"expected frames shifted by at most a quarter of the picture, {limits[0]} rows and "
            f"{limits[1]} columns, got {shift[0]} and {shift[1]} between {name} and {told}"
        )
    return shift


def _smoothness(difference: Tensor) -> float:
    """Correlation of values four pixels apart."""
    centred = difference - difference.mean((1, 2), keepdim=True)
    product = (centred[:, :, 4:] * centred[:, :, :-4]).mean()
    return (product / centred.square().mean().clamp(min=1e-12)).item()


def crop(frames: Sequence[Tensor], shifts: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Move frames by whole pixels, and cut all to what they share.

    Parameters
    ----------
    frames : sequence of Tensor
        ``(C, H, W)`` of one size.
    shifts : sequence of (int, int)
        Rows and columns by which to move each.

    Returns
    -------
    list of Tensor
        Views of equal size, perhaps an empty one.
    """
    parts = []
    for axis in (0, 1):
        moves, size = [shift[axis] for shift in shifts], frames[0].shape[1 + axis]
        start, stop = max(moves), size + min(moves)
        parts.append([slice(start - move, max(start, stop) - move) for move in moves])
    return [frame[:, rows, columns] for frame, rows, columns in zip(frames, *parts, strict=True)]


# --------------------------------------------------------------------------------------------------
# Brightness


def fit_brightness(reference: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
    r"""Fit gain and offset of each channel: frame :math:`\approx g` reference :math:`+ o`.

    Parameters
    ----------
    reference, frame : Tensor
        ``(C, H, W)``, aligned.

    Returns
    -------
    (Tensor, Tensor)
        ``(C,)`` each. The gain is 1 where the picture is too even, or the difference too small, to
        tell.

    Notes
    -----
    Means of blocks of 8 x 8 pixels, whose noise is an eighth, and the line that is closest to them
    in both directions (orthogonal regression): least squares would make the gain too small, since
    the reference is noisy too. Blocks off the line by more than four standard deviations, by their
    median, are left out, five times: parts that moved do not count.
    """
    pairs = zip(_block_means(reference), _block_means(frame), strict=True)
    gains, offsets = torch.tensor([_fit_line(one, other) for one, other in pairs]).unbind(1)
    return gains, offsets


def _fit_line(one: Tensor, other: Tensor) -> tuple[float, float]:
    """Return slope and height of the line through most of the points."""
    level = other.median() - one.median()
    gain = (_deviations(other).median() / _deviations(one).median().clamp(min=1e-9)).item()
    for _ in range(5):
        off = _deviations(other - gain * one)
        kept = off <= 4 * 1.4826 * off.median() + 1e-6
        x, y = one[kept], other[kept]
        dx, dy = x - x.mean(), y - y.mean()
        xx, yy, xy = ((p * q).mean().item() for p, q in ((dx, dx), (dy, dy), (dx, dy)))
        if xy <= 0.7 * math.sqrt(xx * yy):  # too even to tell
            return 1.0, level.item()
        gain = (yy - xx + math.hypot(yy - xx, 2 * xy)) / (2 * xy)
    scatter = (y - gain * x).std().item()
    if abs(gain - 1) < 3 * scatter / math.sqrt(xx * len(x)):
        gain = 1.0
    return gain, (y.mean() - gain * x.mean()).item()


def _deviations(values: Tensor) -> Tensor:
    return (values - values.median()).abs()


def _block_means(image: Tensor) -> Tensor:
    """Means of blocks of 8 x 8, float64 ``(C, blocks)``; what is left over at the ends is not."""
    height, width = (n // 8 for n in image.shape[1:])
    blocks = image[:, : 8 * height, : 8 * width].double()
    return blocks.unflatten(2, (width, 8)).unflatten(1, (height, 8)).mean((2, 4)).flatten(1)


# --------------------------------------------------------------------------------------------------
# What moved, and the noise


def still_parts(frames: Sequence[Tensor]) -> Tensor:
    """Find where each frame shows what most of them show.

    Parameters
    ----------
    frames : sequence of Tensor
        ``(C, H, W)``, aligned and equally bright.

    Returns
    -------
    Tensor
        bool ``(n, H, W)``.

    Notes
    -----
    A pixel has moved where the difference to the median of all frames, smoothed, is beyond `MOVED`
    times its own standard deviation at this brightness (a median again, so that what moved does
    not count), and beyond what an edge changes by within half a pixel: shifts are whole numbers.
    Two frames have but one difference, so both lose the pixel.
    """
    median = _median(frames)
    smooth = np.stack([filters.gaussian(channel, MASK_SMOOTHING) for channel in median.numpy()])
    slopes = np.hypot(np.gradient(smooth, axis=1), np.gradient(smooth, axis=2))
    edges = np.quantile(smooth, np.linspace(0, 1, _BINS + 1)[1:-1])
    bins = np.digitize(smooth, edges)
    valid, disk = [], morphology.disk(2)
    for frame in frames:
        rest = (frame - median).numpy()
        rest = np.stack([filters.gaussian(channel, MASK_SMOOTHING) for channel in rest])
        rest = np.abs(rest)
        spread = np.array([_spread(rest[bins == number]) for number in range(_BINS)])
        moved = (rest > MOVED * spread[bins] + 0.7 * slopes).any(0)
        valid.append(torch.from_numpy(~morphology.dilation(moved, disk)))
    return torch.stack(valid)


def _spread(values: np.ndarray) -> float:
    """Standard deviation of normal numbers by the median of their absolute values."""
    return 1.4826 * float(np.median(values)) if values.size else 0.0


def _median(frames: Sequence[Tensor]) -> Tensor:
    """Median of frames, some rows at a time: a copy of all of them has no room."""
    rows = range(0, frames[0].shape[1], 64)
    parts = [np.median([frame[:, row : row + 64].numpy() for frame in frames], 0) for row in rows]
    return torch.from_numpy(np.concatenate(parts, 1).astype(np.float32))


def noise_variance(frames: Sequence[Tensor]) -> Tensor:
    """Variance of the noise of a frame at every pixel, mean over channels: float64 ``(H, W)``."""
    mean = sum(frame.double() for frame in frames) / len(frames)
    total = sum((frame - mean).square().mean(0) for frame in frames)
    return total / (len(frames) - 1)


def noise_correlation(first: Tensor, second: Tensor) -> float:
    """Correlate the noise of two frames, as far as it can be told from what they show.

    Parameters
    ----------
    first, second : Tensor
        ``(C, H, W)``, of one size.

    Returns
    -------
    float
        -1 to 1; about 0 where the noise is independent. Detail of the scene adds to it: none where
        the frames are shifted against each other, little otherwise.

    Notes
    -----
    Noise is taken to be what a second difference in both directions leaves (Immerkær 1996), in the
    most even quarter of the picture.
    """
    rest = [_second_differences(frame.double()) for frame in (first, second)]
    bends = _second_differences(_smooth(first + second)).abs().mean(0)
    rough = filters.gaussian(bends.numpy(), 3)
    even = torch.from_numpy(rough <= np.quantile(rough, 0.25))
    one, other = (values[:, even] for values in rest)
    norm = (one.square().mean() * other.square().mean()).sqrt().item()
    return (one * other).mean().item() / norm if norm else 1.0


def _smooth(image: Tensor) -> Tensor:
    return torch.from_numpy(np.stack([filters.gaussian(c, 2) for c in image.numpy()]))


def _second_differences(image: Tensor) -> Tensor:
    return image.diff(n=2, dim=1).diff(n=2, dim=2)


# --------------------------------------------------------------------------------------------------
# What a denoiser gains


class Estimate(NamedTuple):
    """How much closer to the clean picture an image is than one noisy frame.

    Attributes
    ----------
    gain : float
        In decibels.
    spread : float
        Standard error of it.
    """

    gain: float
    spread: float


ONE, MEAN = "one noisy frame", "mean of the frames"
ONE_CLEANED, MEAN_CLEANED = "one frame, cleaned", "mean of the frames, cleaned"


BASIS = (
    "gain over one noisy frame ± its standard error, measured without a clean image on a frame "
    "(with two frames: every fourth block of pixels) that was not trained on. It rests on noise of "
    "mean zero that is independent between frames; what all frames share counts as picture."
)
"""What `estimate` rests on, in words fit for printing."""


def estimate(scene: Scene, clean: Callable[[Tensor, int], Tensor]) -> dict[str, Estimate]:
    r"""Estimate what a denoiser gains on a scene, without a clean image.

    Let x be the clean picture and :math:`b = x + n` a frame whose noise is independent of an image
    y. Then

    .. math:: E|y - b|^2 = E|y - x|^2 + \operatorname{Var}(n),

    so the error of y is its distance to b less the variance of b's noise, and that variance is
    known from frames alone: two of them differ by :math:`E|a - b|^2 = \operatorname{Var}(n_a) +
    \operatorname{Var}(n_b)`.

    - With three frames or more, b is the last one, which the network was not trained on and y not
      made of.
    - With two, y is made of a; the pixels are those of `Scene.held_out`, which no training
      target held, so that the network cannot know b's noise there. Both orders are averaged, for
      then the variances need not be equal. The mean of both frames cannot be judged after
      cleaning, since no frame is left to compare with.

    Parameters
    ----------
    scene : Scene
        The frames.
    clean : callable
        Takes a mean of frames ``(C, H, W)`` and the number of them, and returns it denoised.

    Returns
    -------
    dict of str to Estimate
        For one noisy frame, the mean of those trained on, one frame cleaned and that mean cleaned.

    Notes
    -----
    It rests on noise that is independent between frames and has mean zero. What all frames share
    (a pattern of the sensor, values clipped at black and white) counts as picture here. The
    standard error is that of a ratio of sums over blocks of 16 x 16 pixels.
    """
    count, here = scene.training, scene.valid.all(0)
    frames, mean = scene.frames[:count], mean_where(scene.frames[:count], scene.valid[:count])[0]
    noise = noise_variance(frames)
    if len(scene.frames) == 2:
        here = here & scene.held_out
        one, other = frames
        cleaned = (_squared(clean(one, 1), other) + _squared(clean(other, 1), one)) / 2 - noise
        errors = {ONE: noise, MEAN: noise / 2, ONE_CLEANED: cleaned}
    else:
        last = scene.frames[-1]
        variance = sum(_squared(frame, last) for frame in frames) / count - noise
        some = frames[:2]
        cleaned = sum(_squared(clean(frame, 1), last) for frame in some) / len(some) - variance
        errors = {
            ONE: noise,
            MEAN: _squared(mean, last) - variance,
            ONE_CLEANED: cleaned,
            MEAN_CLEANED: _squared(clean(mean, count), last) - variance,
        }
    return {name: _estimate(error, noise, here) for name, error in errors.items()}


def mean_estimates(scenes: Sequence[dict[str, Estimate]]) -> dict[str, Estimate]:
    """Average estimates over the scenes that have them."""
    means = {}
    for name in (ONE, MEAN, ONE_CLEANED, MEAN_CLEANED):
        own = [scene[name] for scene in scenes if name in scene]
        if own:
            gain = sum(each.gain for each in own) / len(own)
            means[name] = Estimate(gain, math.hypot(*(each.spread for each in own)) / len(own))
    return means


def rounded(estimates: dict[str, Estimate]) -> dict[str, dict[str, float]]:
    """Return estimates as they are written down."""
    return {
        name: {"gain": round(each.gain, 3), "spread": round(each.spread, 3)}
        for name, each in estimates.items()
    }


def _squared(image: Tensor, frame: Tensor) -> Tensor:
    return (image.double() - frame).square().mean(0)


def _estimate(error: Tensor, noise: Tensor, here: Tensor) -> Estimate:
    """Compare two mean errors; one below its own uncertainty counts as large as that."""
    errors, noises = _sums(error * here), _sums(noise * here)
    whole = noises.sum().clamp(min=1e-12)
    ratio = errors.sum() / whole
    spread = (errors - ratio * noises).square().sum().sqrt() / whole
    ratio = max(ratio, spread, torch.tensor(1e-12)).item()
    return Estimate(-10 * math.log10(ratio), 10 / math.log(10) * spread.item() / ratio)


def _sums(values: Tensor) -> Tensor:
    """Sums over blocks of 16 x 16."""
    height, width = (-n % 16 for n in values.shape)
    padded = torch.constant_pad_nd(values, (0, width, 0, height))
    return padded.unflatten(1, (-1, 16)).unflatten(0, (-1, 16)).sum((1, 3))

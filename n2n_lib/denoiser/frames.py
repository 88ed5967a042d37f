"""Your own frames: several noisy images of one scene, made ready to train on.

Two exposures of one scene are what Noise2Noise asks for. `open_scenes` reads them at any depth,
`prepare` aligns them, makes them equally bright and masks what moved.
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

import numpy as np
import tifffile
import torch
from PIL import Image
from torch import Tensor

from n2n_lib.denoiser.alignment import (
    crop,
    find_shift,
    fit_brightness,
    mean_where,
    noise_correlation,
    noise_variance,
    smoothness,
    still_parts,
)
from n2n_lib.denoiser.image_files import Kept, read_image
from n2n_lib.denoiser.images import find_images, load_image, save_image
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

PLAIN = (1, 8, 32946, 32773)
"""Compressions of TIFF that need no other package: none, Deflate under two names, PackBits."""

ALONE = "to clean one image alone: n2n denoise --adapt 600"
"""What to do with a single frame."""

LEAST_STILL = 0.2
"""Share of the picture in which no frame may have moved."""

FIXED = {True: 0.2, False: 0.5}
"""Correlation of the noise of frames from which on it is said: of shifted ones, and of others.

Without a shift fine detail of the scene counts as well: 0.3 for a sharp photograph whose noise is
2 grey levels.
"""

SAME, ROUNDING = 0.95, 0.5
"""Correlation of the noise of two frames from which on they are one exposure, if they differ by a
noise of no more than so many of 255 levels. The fine detail of a sharp scene can have 0.99.
"""

HELD_BLOCK = 32
"""Side of the blocks, in pixels, that are held out of a training on two frames."""

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
        images, named, remarks = _read(frames, ROOM // len(found))
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
    """Return how many pages tifffile reads of a file; None of one image that Pillow may read."""
    try:
        with tifffile.TiffFile(path) as stack:
            first, pages = stack.pages[0], len(_as_pages(stack))
            kind, channels = first.photometric.name, first.samplesperpixel
            compression, size = first.compression, math.prod(first.shape[:2])
    except Exception:  # whatever it is, load_image has words for it
        return None
    if kind not in ("MINISBLACK", "RGB") or channels not in (1, 3) or compression not in PLAIN:
        if pages == 1:
            return None
        raise ValueError(
            "expected a TIFF stack of one channel or three, without compression or with Deflate, "
            f"got {channels} of {kind} with {compression.name}: {path}"
        )
    if size > Image.MAX_IMAGE_PIXELS:
        raise ValueError(
            f"expected pages of at most {Image.MAX_IMAGE_PIXELS} pixels, got {size}: {path}"
        )
    return pages


def _as_pages(stack: tifffile.TiffFile) -> Sequence:
    """Return what there is to be read, page by page; ImageJ may write one page for all."""
    if len(stack.pages) > 1 or len(stack.series) != 1 or not stack.is_imagej:
        return stack.pages
    shape = stack.series[0].shape
    if shape == stack.pages[0].shape:
        return stack.pages
    return tifffile.memmap(stack.filehandle.path, mode="r").reshape(-1, *stack.pages[0].shape)


def _perhaps_frames(path: Path) -> str:
    """Say what makes three or four frames one image: tifffile takes them for colours by itself."""
    try:
        with tifffile.TiffFile(path) as stack:
            planes, separate = stack.pages[0].samplesperpixel, stack.pages[0].planarconfig == 2
    except Exception:  # no TIFF file
        return ""
    if planes < 2 or not separate:
        return ""
    return (
        f"its {planes} planes are marked as the colours of one image; if they are frames, write "
        'them as pages: tifffile.imwrite(path, frames, photometric="minisblack")'
    )


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
    """Read an image as it is stored; transparency is laid over white, in 8 bits."""
    image, kept = read_image(path)
    if kept.alpha is not None:
        image, kept = load_image(path), Kept()
    values = image.permute(1, 2, 0).numpy()
    values = values[..., 0] if kept.grey else values
    if kept.dtype == "uint8":
        return values
    stored = values.astype(np.float64) * ((kept.white - kept.black) / 255) + kept.black
    kind = np.dtype(kept.dtype)
    return (stored.round() if kind.kind in "ui" else stored).astype(kind)


def _read(
    frames: Sequence[Frame], room: int
) -> tuple[list[np.ndarray], list[str], tuple[str, ...]]:
    """Read the frames of a scene, as many as there is room for."""
    first = frames[0][1]()
    if len(frames) == 1:
        raise ValueError(
            f"expected two or more frames of a scene, got one: {frames[0][0]} "
            f"({_perhaps_frames(Path(frames[0][0])) or ALONE})"
        )
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
    same_gain, no_offset = torch.ones(len(frames[0])), torch.zeros(len(frames[0]))
    fits = [(same_gain, no_offset)]
    fits += [fit_brightness(frames[0], frame) for frame in frames[1:]]
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
    if level == 0 or (same > SAME and level < ROUNDING):
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


def _checked_shift(reference: Tensor, frame: Tensor, name: str, told: str) -> tuple[int, int]:
    """Return the shift between two frames; raise ValueError if there is none to believe."""
    shift, sure = find_shift(reference, frame)
    if sure < ALIKE:
        if smoothness(reference - frame) > 0.3:  # noise alone is rough
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

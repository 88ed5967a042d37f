"""Several noisy images of one scene, made ready to train on.

`prepare` aligns them, makes them equally bright and masks what moved.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
import torch
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
from n2n_lib.denoiser.estimate import level_to_tell
from n2n_lib.denoiser.images import save_image
from n2n_lib.support import files

SMALLEST = 32
"""Height and width, in pixels, that the frames of a scene must have in common."""

FARTHEST = 4
"""Frames may be shifted by one part in so many of the picture."""

ALIKE = 7.0
"""Standard deviations of chance that the common detail of two frames must stand out by.

Crops of unrelated photographs reach 6.
"""

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
    def told(self) -> float:
        """The level that a network is told: one channel is shown it as three that are equal."""
        return level_to_tell(self.level, 0.0 if len(self.frames[0]) == 3 else 1.0)

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

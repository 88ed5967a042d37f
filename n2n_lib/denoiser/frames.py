"""Files of your own frames: several noisy images of one scene, at any depth.

Two exposures of one scene are what Noise2Noise asks for. What is read here, `scene.prepare` makes
ready to train on.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from n2n_lib.denoiser.image_files import Kept, read_image
from n2n_lib.denoiser.images import find_images, load_image
from n2n_lib.denoiser.scene import Scene, prepare
from n2n_lib.support import files

ROOM = 2 << 30
"""Bytes that the frames of all scenes may take, as float32."""

PLAIN = (1, 8, 32946, 32773)
"""Compressions of TIFF that need no other package: none, Deflate under two names, PackBits."""

ALONE = "to clean one image alone: n2n denoise --adapt 600"
"""What to do with a single frame."""

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else it writes to stderr


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

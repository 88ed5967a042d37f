"""Pixels of more than 8 bits in files: Pillow reads and writes those of grey images alone."""

from __future__ import annotations

import logging
import os
import struct
import sys
import zlib
from collections.abc import Iterator
from itertools import accumulate
from typing import BinaryIO

import numpy as np
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else it writes to stderr

STRIP = 1 << 20
"""Bytes of pixels that are compressed together in a TIFF file, about."""


class UnknownLayoutError(Exception):
    """An image file of a kind that is not read; the message says what was expected, and got."""


# --------------------------------------------------------------------------------------------------
# Reading


_OTHER_BYTE = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}


def deep_layout(image: Image.Image) -> str | None:
    """Return how Pillow unpacks colours of 16 bits that it would cut to 8, or else None.

    It cannot do so, and ``"planes"`` is returned, where a TIFF holds one channel after the other.
    """
    if image.format not in ("PNG", "TIFF") or not image.tile:
        return None
    if image.format == "TIFF" and image.tag_v2.get(284) == 2 and image.tag_v2.get(258, (8,))[0] > 8:
        return "planes"
    args = image.tile[0][3]
    layout = args if isinstance(args, str) else args[0]
    name, _, depth = layout.partition(";")
    deep = name in ("LA", "RGB", "RGBX", "RGBA", "RGBa") and depth[:2] == "16"
    return layout if deep else None


def read_deep(image: Image.Image, again: Image.Image, layout: str) -> np.ndarray:
    """Read colours of 16 bits through Pillow's decoders.

    Of two bytes, Pillow keeps the one that is the higher in the order of bytes which it is told.
    So it is told both orders, one after the other, and hands out either byte.

    Parameters
    ----------
    image, again : PIL.Image.Image
        The file, opened twice and not loaded yet. The first is loaded afterwards.
    layout : str
        From `deep_layout`.

    Returns
    -------
    ndarray
        uint16 ``(H, W, C)``, C being 2 (grey and alpha), 3 or 4.
    """
    if layout.startswith("LA"):  # two values of two bytes are four of one
        return _loaded(image, "RGBA", "RGBA").view(">u2").astype(np.uint16)
    layout = layout.replace("a", "A")  # `straight` divides by alpha, with all 16 bits
    mode = "RGBA" if "A" in layout else "RGB"
    values = _loaded(image, mode, layout).astype(np.uint16)
    values <<= 8
    values |= _loaded(again, mode, layout[:-1] + _OTHER_BYTE[layout[-1]])
    again.close()  # and frees its memory
    return values


def _loaded(image: Image.Image, mode: str, layout: str) -> np.ndarray:
    tiles = []
    for tile in image.tile:
        args = layout if isinstance(tile[3], str) else (layout, *tile[3][1:])
        make = getattr(tile, "_make", tuple)  # named only since Pillow 11
        tiles.append(make([*tile[:3], args]))
    image.tile, image._mode = tiles, mode
    image.load()
    return np.asarray(image)


def straight(values: np.ndarray) -> np.ndarray:
    """Divide colours by the alpha that they were multiplied with; alpha is the last channel."""
    whole = values.dtype.kind in "ui"
    largest = np.iinfo(values.dtype).max if whole else 1.0
    alpha = values[..., -1:].astype(np.float64) / largest
    colours = values[..., :-1] / np.where(alpha > 0, alpha, 1)
    colours = colours.clip(0, largest).round() if whole else colours
    return np.concatenate([colours.astype(values.dtype), values[..., -1:]], axis=2)


COMPRESSIONS = (1, 8, 32946)
"""Of TIFF: none, and two names for ZIP."""


def read_tiff(path: str | os.PathLike, most_pixels: int) -> tuple[np.ndarray, dict, int]:
    """Read the first page of a TIFF file that Pillow does not know: floats, 32 bits, planes.

    Returns
    -------
    ndarray, dict, int
        Numbers of any type ``(H, W, C)``, alpha last where there is one and not multiplied into
        the colours, black being the lowest; the values of the tags by number; how many pages the
        file has.

    Raises
    ------
    UnknownLayoutError
        If it is of a kind that is not read.
    Exception
        Of any kind, if the file is damaged.
    """
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        colour = {0: 1, 1: 1, 2: 3}.get(page.photometric)
        extra = [int(kind) for kind in page.extrasamples]
        if (
            colour is None
            or page.samplesperpixel - len(extra) != colour
            or extra
            not in (
                [],
                [1],
                [2],
            )
        ):
            raise UnknownLayoutError(
                "expected a TIFF of one grey channel or three of colour, and perhaps alpha, got "
                f"{page.samplesperpixel} channels"
            )
        if page.imagedepth != 1 or page.dtype is None or page.dtype.kind not in "uif":
            raise UnknownLayoutError("expected a TIFF of flat images of numbers")
        if page.compression not in COMPRESSIONS:
            raise UnknownLayoutError(
                "expected this kind of TIFF without compression or with ZIP, got "
                f"{page.compression.name}"
            )
        area = page.imagewidth * page.imagelength
        stored = max(area, page.tilewidth * page.tilelength if page.is_tiled else 0)
        if stored > most_pixels:
            raise UnknownLayoutError(f"expected an image of at most {most_pixels} pixels, got more")
        size = stored * page.samplesperpixel * page.dtype.itemsize
        if page.compression != 1:
            _check_segments(file, page, size)
        elif size > file.filehandle.size:
            raise ValueError("the file is shorter than its pixels")
        values = page.asarray(maxworkers=1).reshape(page.shape)
        if page.planarconfig == 2 and page.samplesperpixel > 1:
            values = np.moveaxis(values, 0, -1)
        values = values.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        if page.photometric == 0:
            colours = values[..., :colour]
            values[..., :colour] = top_of(colours) - colours
        tags = {tag.code: tag.value for tag in page.tags}
        return straight(values) if extra == [1] else values, tags, len(file.pages)


WHITES = (1, 255, 1023, 4095, 65535)
"""What white may be in a file of more than 8 bits; cameras and microscopes fill 10 or 12."""


def top_of(values: np.ndarray) -> float:
    """Guess which value is white: the least of `WHITES` that none is above, or the highest.

    Floats that are far below such a value, and all with values below zero, have a scale of their
    own, on which the highest is white.
    """
    highest, whole = float(values.max()), values.dtype.kind in "ui"
    if values.min() < 0:
        return highest
    for white in WHITES:
        if highest <= white:
            if whole:
                return min(white, np.iinfo(values.dtype).max)
            return white if 16 * highest > white else highest
    return highest


def _check_segments(file: tifffile.TiffFile, page: tifffile.TiffPage, most: int) -> None:
    """Raise if a compressed part unpacks to more than all pixels take: tifffile has no limit."""
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.filehandle.seek(offset)
        unpacker = zlib.decompressobj()
        unpacker.decompress(file.filehandle.read(count), most)
        if unpacker.unconsumed_tail:
            raise ValueError("a part unpacks to more than the whole")


# --------------------------------------------------------------------------------------------------
# Writing


def write_png(
    values: np.ndarray,
    file: BinaryIO,
    icc_profile: bytes | None = None,
    exif: bytes | None = None,
    dpi: tuple[float, float] | None = None,
) -> None:
    """Write values of 16 bits ``(H, W, C)`` as PNG: grey or colours, each perhaps with alpha."""
    height, width, channels = values.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    file.write(b"\x89PNG\r\n\x1a\n")
    _chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
    if icc_profile:
        _chunk(file, b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile))
    if exif:
        _chunk(file, b"eXIf", exif.removeprefix(b"Exif\0\0"))
    if dpi:
        _chunk(file, b"pHYs", struct.pack(">IIB", *(round(n / 0.0254) for n in dpi), 1))
    packer = zlib.compressobj(4)
    for rows in _bands(values):
        stored = np.ascontiguousarray(rows.astype(">u2")).view(np.uint8).reshape(len(rows), -1)
        lines = np.empty((len(rows), stored.shape[1] + 1), np.uint8)
        lines[:, 0] = 1  # each byte less the one of the pixel before
        lines[:, 1:] = stored
        lines[:, 1 + 2 * channels :] -= stored[:, : -2 * channels]
        if packed := packer.compress(lines.tobytes()):
            _chunk(file, b"IDAT", packed)
    _chunk(file, b"IDAT", packer.flush())
    _chunk(file, b"IEND", b"")


def _chunk(file: BinaryIO, kind: bytes, content: bytes) -> None:
    check = zlib.crc32(content, zlib.crc32(kind))
    file.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check))


def _bands(values: np.ndarray) -> Iterator[np.ndarray]:
    """Cut into groups of rows of about `STRIP` bytes."""
    rows = max(1, STRIP // max(1, values[0].nbytes))
    for start in range(0, len(values), rows):
        yield values[start : start + rows]


def write_tiff(
    values: np.ndarray,
    file: BinaryIO,
    icc_profile: bytes | None = None,
    exif: bytes | None = None,
    dpi: tuple[float, float] | None = None,
) -> None:
    """Write numbers of any type ``(H, W, C)`` as TIFF: grey or colours, each perhaps with alpha."""
    height, width, channels = values.shape
    packed = []
    for rows in _bands(values):
        stored = rows.astype(values.dtype.newbyteorder("<"))
        if values.dtype.kind != "f":  # integers: each less the one before
            stored[:, 1:] = rows[:, 1:] - rows[:, :-1]
        packed.append(zlib.compress(stored.tobytes(), 4))
    sizes = [len(part) for part in packed]
    tags = ImageFileDirectory_v2(b"II*\0\x08\0\0\0")
    if exif:
        found = Image.Exif()
        found.load(exif)
        for tag, value in found.items():
            tags[tag] = found.get_ifd(tag) if tag in SUB_FOLDERS else value
    tags[256], tags[257] = width, height
    tags[258] = (values.dtype.itemsize * 8,) * channels
    tags[259] = 8  # ZIP
    tags[262] = 2 if channels > 2 else 1
    tags[273] = tuple(accumulate([0, *sizes[:-1]]))  # Pillow adds where the first begins
    tags[277] = channels
    tags[278] = len(next(_bands(values)))
    tags[279] = tuple(sizes)
    if dpi:
        tags[282], tags[283], tags[296] = *dpi, 2
    if values.dtype.kind != "f":
        tags[317] = 2
    if channels in (2, 4):
        tags[338] = 2  # alpha that the colours are not multiplied with
    tags[339] = ({"u": 1, "i": 2, "f": 3}[values.dtype.kind],) * channels
    if icc_profile:
        tags.tagtype[34675] = 7  # bytes
        tags[34675] = icc_profile
    tags.save(file)
    for part in packed:
        file.write(part)


SUB_FOLDERS = (0x8769, 0x8825)
"""Tags of EXIF that lead to folders of tags of their own: of the exposure, and of the place."""

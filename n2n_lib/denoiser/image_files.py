"""Image files, read so that a result of the same kind can be written: `read_image`, `write_image`.

Between the two, colours are three channels of 0-255, uint8 for files of 8 bits and else float32.
What else is in a file waits in a `Kept`.
"""

from __future__ import annotations

import io
import logging
import mmap
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError
from torch import Tensor

from n2n_lib.denoiser import deep_files
from n2n_lib.denoiser.deep_files import UnknownLayoutError
from n2n_lib.support import files

IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM")
"""What Pillow may try: other formats start programs (EPS) or are rarely looked after."""

RAW_SUFFIXES = (
    ".3fr .arw .cr2 .cr3 .crw .dng .erf .iiq .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw "
    ".rw2 .rwl .sr2 .srf .srw .x3f"
).split()
"""Raw files of cameras. Many are TIFF files, too, in which Pillow would find the small preview."""

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else it may write to stderr by itself


@dataclass(frozen=True)
class Kept:
    """What an image file holds beside its colours, and how it holds them.

    Attributes
    ----------
    suffix : str
        Of a file that can hold a result of the same kind: the format's own, or ``.png``, ``.tif``.
    grey : bool
        Whether the file has one channel of colour.
    dtype : str
        Type of the stored numbers: ``uint8``, ``uint16``, ``float32`` and the like.
    black, white : float
        Stored numbers that stand for 0 and 255.
    alpha : ndarray or None
        Transparency ``(H, W)``, as stored.
    profile : bytes or None
        Colour profile (ICC), such as Display P3.
    exif : bytes or None
        What the camera noted, without orientation: the pixels are the right way up.
    dpi : (float, float) or None
        Pixels to the inch, across and down.
    remarks : tuple of str
        What was left out or changed, in words.
    """

    suffix: str = ".png"
    grey: bool = False
    dtype: str = "uint8"
    black: float = 0.0
    white: float = 255.0
    alpha: np.ndarray | None = field(default=None, compare=False)
    profile: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    remarks: tuple[str, ...] = ()

    @property
    def opaque(self) -> float:
        """The stored number that stands for no transparency."""
        kind = np.dtype(self.dtype)
        return 1.0 if kind.kind == "f" else float(np.iinfo(kind).max)


# --------------------------------------------------------------------------------------------------
# Reading


def read_image(path: str | os.PathLike) -> tuple[Tensor, Kept]:
    """Read the first image of a file, the right way up.

    Parameters
    ----------
    path : str or path-like
        A PNG, JPEG, BMP, TIFF, WebP, GIF or PPM file, whatever its suffix, or a camera's raw file,
        which the package rawpy develops.

    Returns
    -------
    Tensor, Kept
        Colours ``(3, H, W)``, 0-255: uint8 for 8 bits, else float32. A grey image has three equal
        channels. And what `write_image` puts back.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not an image in one of these formats, is damaged, is of a kind that is not read
        (CMYK without a profile, several channels that are no colours), holds values that are not
        finite, or has more pixels than Pillow holds for safe (``PIL.Image.MAX_IMAGE_PIXELS``).
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"expected an image file, got no such file: {path}")
    if not path.is_file():  # a folder, or a pipe or device that may have no end
        raise ValueError(f"expected an image file, got no regular file: {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _read_raw(path) if path.suffix.lower() in RAW_SUFFIXES else _read(path)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ValueError(
            f"expected an image of at most {Image.MAX_IMAGE_PIXELS} pixels, got more: {path}"
        ) from error
    except PermissionError:
        raise
    except UnknownLayoutError as error:
        raise ValueError(f"{error}: {path}") from error
    except Exception as error:  # decoders fail on damaged files in many ways
        formats = ", ".join(IMAGE_FORMATS)
        raise ValueError(
            f"expected an image, got an unreadable file: {path} (what can be read: {formats})"
        ) from error


@dataclass
class _Found:
    """What was found in a file, on the way to a `Kept`."""

    values: np.ndarray  # (H, W, C), alpha last where C is 2 or 4
    format: str
    remarks: list[str]
    profile: bytes | None = None
    exif: Image.Exif | None = None
    dpi: object = None
    turn: int = 1  # orientation (EXIF) that is still to be applied
    sideways: bool = False  # whether Pillow has made columns of the rows


def _read(path: Path) -> tuple[Tensor, Kept]:
    # No paths: Pillow maps those into memory, where it garbles a TIFF that is to be turned.
    with path.open("rb") as file, path.open("rb") as other:
        try:
            image = Image.open(file, formats=IMAGE_FORMATS)
        except UnidentifiedImageError:
            file.seek(0)
            if file.read(4) not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                raise
            return _sorted_out(_in_odd_tiff(path))
        with image, _quiet_libtiff(image.format):
            layout = deep_files.deep_layout(image)
            if layout == "planes":
                return _sorted_out(_in_odd_tiff(path))
            again = Image.open(other, formats=IMAGE_FORMATS) if layout else None
            return _sorted_out(_in_known(image, again, layout))


def _in_known(image: Image.Image, again: Image.Image | None, layout: str | None) -> _Found:
    """Take what is in a file that Pillow knows; `layout` is that of colours of 16 bits."""
    tiff, remarks = image.format == "TIFF", _first_of(getattr(image, "n_frames", 1))
    sideways = tiff and image.tag_v2.get(ExifTags.Base.Orientation, 1) >= 5
    key = image.info.get("transparency")
    if layout:
        values = deep_files.read_deep(image, again, layout)
        if layout.startswith("RGBa"):
            values = deep_files.straight(values)
    elif image.mode[0] in "IF":
        values, key = _numbers(image), key if isinstance(key, int) else None
    else:
        values, key = _bytes(image, remarks), None
    values = np.atleast_3d(values)
    if key is not None:  # the one colour that is transparent
        alpha = np.where((values == np.array(key)).all(2, keepdims=True), 0, 65535)
        values = np.concatenate([values, alpha.astype(values.dtype)], axis=2)
    exif, info = image.getexif(), image.info
    turn = 1 if tiff else exif.get(ExifTags.Base.Orientation, 1)  # Pillow turns a TIFF itself
    profile = None if image.mode in ("CMYK", "LAB") else info.get("icc_profile")
    return _Found(values, image.format, remarks, profile, exif, info.get("dpi"), turn, sideways)


def _first_of(pages: int) -> list[str]:
    return [f"the first of {pages} pages"] if pages > 1 else []


def _numbers(image: Image.Image) -> np.ndarray:
    """Return grey values of more than 8 bits in the type in which the file holds them."""
    values = np.array(image)
    if image.format != "TIFF":
        return values if image.mode == "F" else values.astype(np.uint16)
    tags = image.tag_v2
    kind = {1: "u", 2: "i", 3: "f"}[tags.get(ExifTags.Base.SampleFormat, (1,))[0]]
    size = 2 if tags.get(ExifTags.Base.BitsPerSample, (16,))[0] <= 16 else 4
    if kind + str(size) == "u4":
        values = values.view(np.uint32)  # Pillow has signed ones alone
    values = values.astype(f"{kind}{size}", copy=False)
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:  # Pillow sees to 8 bits alone
        values = (deep_files.top_of(values) - values).astype(values.dtype)
    return values


def _bytes(image: Image.Image, remarks: list[str]) -> np.ndarray:
    """Return values of 8 bits, grey or RGB, with alpha where there is transparency."""
    mode = image.mode
    if image.format == "PPM" and mode == "RGB" and isinstance(image.tile[0][3], tuple):
        if image.tile[0][3][1] > 255:  # the number that is white
            remarks.append("reduced to 8 bits")
    clear = "A" in mode or "a" in mode or "transparency" in image.info
    if mode == "1":
        remarks.append("one bit became eight")
    if mode in ("P", "PA"):
        remarks.append("its palette became full colour")
    if mode in ("CMYK", "LAB"):
        return np.asarray(_by_profile(image, remarks))
    if mode in ("1", "L", "LA", "La"):
        return np.asarray(image.convert("LA" if clear else "L"))
    if mode in ("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr"):
        values = np.asarray(image.convert("RGBA" if clear else "RGB"))
        if mode[0] == "P" and (values[..., :2] == values[..., 1:3]).all():
            return values[..., 2:]  # a palette of greys
        return values
    raise UnknownLayoutError(f"expected grey, colours, a palette or CMYK, got {mode}")


def _by_profile(image: Image.Image, remarks: list[str]) -> Image.Image:
    """Convert CMYK, or L*a*b*, to sRGB."""
    profile = image.info.get("icc_profile")
    if not profile:
        raise UnknownLayoutError(
            f"expected {image.mode} with a colour profile that says how it looks, got none"
        )
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except ImageCms.PyCMSError as error:
        raise UnknownLayoutError(
            f"expected a colour profile for {image.mode}, got one that does not work"
        ) from error
    remarks.append(f"{image.mode} became sRGB by its profile")
    return converted


def _in_odd_tiff(path: Path) -> _Found:
    """Read a TIFF file that Pillow does not know."""
    values, tags, pages = deep_files.read_tiff(path, Image.MAX_IMAGE_PIXELS)
    found = _Found(values, "TIFF", _first_of(pages), profile=tags.get(34675), exif=_noted(path))
    found.turn = int(tags.get(ExifTags.Base.Orientation, 1))
    unit = {2: 1.0, 3: 2.54}.get(tags.get(ExifTags.Base.ResolutionUnit, 2))
    if unit and 282 in tags and 283 in tags:
        found.dpi = tuple(unit * number / count for number, count in (tags[282], tags[283]))
    return found


def _noted(path: Path) -> Image.Exif:
    """Return the EXIF of a file that begins as a TIFF file does, or an empty one."""
    exif = Image.Exif()
    try:
        with path.open("rb") as file:
            exif.load_from_fp(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except Exception:  # BigTIFF, and whatever else a raw file may be
        return Image.Exif()
    return exif


def _read_raw(path: Path) -> tuple[Tensor, Kept]:
    """Develop a camera's raw file: its own white balance, as bright as it was exposed, sRGB."""
    try:
        import rawpy
    except ImportError:
        raise UnknownLayoutError(
            "expected the package rawpy for a camera's raw file, got none (pip install "
            "'n2n-lib[raw]')"
        ) from None
    with rawpy.imread(str(path)) as raw:
        if raw.sizes.raw_height * raw.sizes.raw_width > Image.MAX_IMAGE_PIXELS:
            raise Image.DecompressionBombError
        values = raw.postprocess(
            use_camera_wb=True, no_auto_bright=True, output_bps=16, gamma=(2.4, 12.92)
        )
    return _sorted_out(_Found(values, "TIFF", ["developed, written as TIFF"], exif=_noted(path)))


def _sorted_out(found: _Found) -> tuple[Tensor, Kept]:
    """Part the colours from what is kept."""
    values, remarks = found.values, found.remarks
    if not values.size:
        raise UnknownLayoutError("expected an image with pixels, got none")
    turn = found.turn if found.turn in range(1, 9) else 1
    if turn in (2, 3, 7, 8):
        values = values[:, ::-1]
    if turn in (3, 4, 6, 7):
        values = values[::-1]
    if turn >= 5:
        values = values.swapaxes(0, 1)
    sideways = found.sideways or turn >= 5
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise UnknownLayoutError("expected an image of finite values, got NaN or infinity")
    channels = values.shape[2]
    grey, clear = channels < 3, channels in (2, 4)
    colours, alpha = (values[..., :-1], values[..., -1]) if clear else (values, None)
    if values.dtype == np.uint8:
        black, white = 0.0, 255.0
        image = torch.from_numpy(np.ascontiguousarray(colours.transpose(2, 0, 1)))
    else:
        black = min(0.0, float(colours.min()))
        white = float(deep_files.top_of(colours))
        white = white if white > black else black + 1
        image = torch.empty((colours.shape[2], *colours.shape[:2]))
        for rows in bands(len(colours)):
            part = (colours[rows].astype(np.float64) - black) * (255 / (white - black))
            image[:, rows] = torch.from_numpy(part.transpose(2, 0, 1))
        if values.dtype.kind == "f" or white != np.iinfo(values.dtype).max:
            remarks.append(f"values from {black:.7g} to {white:.7g} taken for black to white")
    if found.profile and found.profile[16:20] != (b"GRAY" if grey else b"RGB "):
        found.profile = None
        remarks.append("its colour profile left out")
    name, kind = FORMATS.get(found.format), str(values.dtype)
    if name is None or not _holds(name, kind, clear):
        name = ".png" if kind in ("uint8", "uint16") else ".tif"
        remarks.append(f"written as {_WRITTEN[name][0]}")
    return image.expand(3, -1, -1), Kept(
        suffix=name,
        grey=grey,
        dtype=kind,
        black=black,
        white=white,
        alpha=None if alpha is None else np.ascontiguousarray(alpha),
        profile=found.profile or None,
        exif=_exif(found.exif, sideways, remarks),
        dpi=_dpi(found.dpi, sideways),
        remarks=tuple(remarks),
    )


def bands(height: int) -> Iterator[slice]:
    """Cut an image into bands of rows, so that what is computed takes little memory."""
    return (slice(start, start + 256) for start in range(0, height, 256))


_NOTES = (
    *("ImageDescription", "Make", "Model", "Software", "DateTime", "Artist", "Copyright"),
    *("XPTitle", "XPComment", "XPAuthor", "XPKeywords", "XPSubject"),
)
"""Tags of EXIF that are kept beside its two folders. Others tell how the old pixels are stored."""


_COUNTS = ("ImageJ=", '{"shape"')
"""Descriptions that programs write for themselves: how many pages, of which size."""


def _exif(exif: Image.Exif | None, sideways: bool, remarks: list[str]) -> bytes | None:
    """Write what a camera noted anew: without orientation and without the small picture."""
    kept = Image.Exif()
    try:
        for tag in (getattr(ExifTags.Base, name) for name in _NOTES):
            if exif and tag in exif and not str(exif[tag]).startswith(_COUNTS):
                kept[tag] = exif[tag]
        for folder in deep_files.SUB_FOLDERS:
            tags = dict(exif.get_ifd(folder)) if exif else {}
            tags.pop(ExifTags.IFD.Interop, None)
            across, down = ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight
            if sideways and across in tags and down in tags:
                tags[across], tags[down] = tags[down], tags[across]
            if tags:
                kept[folder] = tags
        return kept.tobytes() if len(kept) else None
    except Exception:  # of what is damaged, Pillow's reader or writer makes errors of any kind
        remarks.append("its EXIF left out, which is damaged")
        return None


def _dpi(dpi: object, sideways: bool) -> tuple[float, float] | None:
    try:
        across, down = (float(number) for number in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if not (0 < across < 1e6 and 0 < down < 1e6):
        return None
    return (down, across) if sideways else (across, down)


@contextmanager
def _quiet_libtiff(image_format: str | None) -> Iterator[None]:
    """Keep what libtiff has to say of a damaged file off stderr, to which it writes by itself."""
    if image_format != "TIFF":
        yield
        return
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


# --------------------------------------------------------------------------------------------------
# Writing


_JPEG = ("JPEG", {"quality": 95, "subsampling": 0})
_WRITTEN: dict[str, tuple[str, dict]] = {
    ".png": ("PNG", {}),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".bmp": ("BMP", {}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
    ".webp": ("WEBP", {"lossless": True}),
    ".ppm": ("PPM", {}),
}
"""Format and options by suffix."""

FORMATS = {name: suffix for suffix, (name, _) in reversed(_WRITTEN.items()) if name != "JPEG"}
"""The suffix for each format, as Pillow names it, in which the result of such a file is written.

Not JPEG: saved as one again, a clean picture would lose a part of what was won.
"""


def _holds(suffix: str, dtype: str, alpha: bool) -> bool:
    """Whether files of a kind hold numbers of a type, and transparency."""
    if suffix in (".tif", ".tiff"):
        return True
    if suffix == ".png":
        return dtype in ("uint8", "uint16")
    return dtype == "uint8" and not (alpha and suffix != ".webp")


def check_suffix(path: Path, kept: Kept) -> None:
    """Raise ValueError unless the suffix of a path is one that can be written."""
    suffix = path.suffix.lower()
    if suffix not in _WRITTEN:
        raise ValueError(f"expected a path ending in {', '.join(_WRITTEN)}, got {path}")
    if not _holds(suffix, kept.dtype, kept.alpha is not None):
        held = kept.dtype + (" with alpha" if kept.alpha is not None else "")
        raise ValueError(f"expected a path ending in {kept.suffix} for {held}, got {path}")


def write_image(image: Tensor, path: Path, kept: Kept) -> None:
    """Write colours ``(3, H, W)``, 0-255, uint8 or float, with what was kept of another file.

    The suffix of the path says in which format, see `check_suffix`.
    """
    values = _stored(image, kept)
    extras = {"icc_profile": kept.profile, "exif": kept.exif, "dpi": kept.dpi}
    extras = {name: value for name, value in extras.items() if value}
    name, options = _WRITTEN[path.suffix.lower()]
    deep = {"TIFF": deep_files.write_tiff, "PNG": deep_files.write_png}.get(name)
    if deep and (name == "TIFF" or values.dtype != np.uint8):
        files.write_atomically(path, lambda file: deep(values, file, **extras))
    else:
        picture = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
        options = {"format": name, **options, **extras}
        files.write_atomically(path, lambda file: picture.save(file, **options))


def _stored(image: Tensor, kept: Kept) -> np.ndarray:
    """Return the numbers ``(H, W, C)`` that a file holds, alpha last."""
    _, height, width = image.shape
    colours = 1 if kept.grey else 3
    values = np.empty((height, width, colours + (kept.alpha is not None)), kept.dtype)
    for rows in bands(height):
        part = image[:, rows].detach().cpu().float().clamp(0, 255).double()
        part = part.mean(0, keepdim=True) if kept.grey else part
        part = part * ((kept.white - kept.black) / 255) + kept.black
        if values.dtype.kind != "f":
            part = part.round()
        values[rows, :, :colours] = part.permute(1, 2, 0).numpy().astype(kept.dtype)
    if kept.alpha is not None:
        values[..., -1] = kept.alpha
    return values

"""Images and pairs of images in files, and the two ranges of values.

Files hold 0-255, and so do the images that people hand in: RGB, ``(3, H, W)`` for one and
``(N, 3, H, W)`` for several, uint8 or float32. Inside, the library computes with floats 0-1:
`to_unit` leads there and `to_uint8` leads back.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from n2n_lib.denoiser.image_files import Kept, bands, check_suffix, read_image, write_image
from n2n_lib.support import files

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif")
"""What `load_images` takes for an image. Of an animation, the first frame counts."""


def load_pairs(path: str | os.PathLike) -> tuple[Tensor, Tensor]:
    """Load a file of image pairs in the format of the report's course.

    ``train_data.pkl`` holds ``(noisy1, noisy2)`` and ``val_data.pkl`` holds ``(noisy, clean)``,
    each written by ``torch.save((first, second), path)``.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    tuple of Tensor
        Two uint8 tensors ``(N, 3, H, W)`` of equal shape, on the CPU.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is cut short, or holds anything but two such tensors. Only tensors are read
        (``weights_only=True``): code hidden in a file is refused, never run.
    """
    expected = "torch.save((a, b)) of two uint8 tensors (N, 3, H, W) of equal shape"
    content = files.load(path, expected)
    if not (isinstance(content, tuple) and len(content) == 2):
        raise ValueError(f"{path}: expected {expected}, got {described(content)}")
    first, second = content
    if not (_is_image_batch(first) and _is_image_batch(second) and first.shape == second.shape):
        got = f"{described(first)} and {described(second)}"
        raise ValueError(f"{path}: expected {expected}, got {got}")
    return first, second


def _is_image_batch(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.device.type == "cpu"
        and value.layout == torch.strided
        and value.dtype == torch.uint8
        and value.ndim == 4
        and value.shape[1] == 3
        and value.numel() > 0
    )


def load_images(folder: str | os.PathLike) -> dict[str, Tensor]:
    """Load every image of a folder, not of its sub-folders; files named ``.*`` are left out.

    Parameters
    ----------
    folder : str or path-like
        Where the images are. Which files count is up to their suffix, see `IMAGE_SUFFIXES`.

    Returns
    -------
    dict of str to Tensor
        uint8 ``(3, H, W)`` by file name, sorted by name.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it holds no image, or one that cannot be read, which the message names.
    """
    return {path.name: load_image(path) for path in find_images(folder)}


def find_images(folder: str | os.PathLike) -> list[Path]:
    """List the images of a folder, sorted by name, as `load_images` does; nothing is opened.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it holds no image.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"expected a folder of images, got no such folder: {folder}")
    if not folder.is_dir():
        raise ValueError(f"expected a folder of images, got a file: {folder}")
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    )
    if not paths:
        suffixes = ", ".join(IMAGE_SUFFIXES)
        raise ValueError(f"expected images ({suffixes}) in the folder, got none: {folder}")
    return paths


def load_image(path: str | os.PathLike) -> Tensor:
    """Load one image as 8-bit RGB, the right way up.

    Grey and palette images become RGB, more bits are scaled to 8, transparency is laid over white,
    the orientation that a camera recorded (EXIF) is applied. `image_files.read_image` keeps what
    this leaves out.

    Parameters
    ----------
    path : str or path-like
        A PNG, JPEG, BMP, TIFF, WebP, GIF or PPM file, whatever its suffix.

    Returns
    -------
    Tensor
        uint8 ``(3, H, W)``, 0-255.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        See `image_files.read_image`.
    """
    image, kept = read_image(path)
    if image.dtype == torch.uint8 and kept.alpha is None:
        return image.contiguous()
    loaded = torch.empty(image.shape, dtype=torch.uint8)
    for rows in bands(image.shape[1]):
        part = to_unit(image[:, rows])
        if kept.alpha is not None:
            alpha = torch.from_numpy(kept.alpha[rows].astype(np.float32))
            part = 1 + (part - 1) * (alpha / kept.opaque).clamp(0, 1)
        loaded[:, rows] = to_uint8(part)
    return loaded


def save_image(image: Tensor, path: str | os.PathLike, *, kept: Kept | None = None) -> None:
    """Save one image; the suffix of the path says in which format.

    The file appears whole or not at all: it is written beside its place and then moved there.

    Parameters
    ----------
    image : Tensor
        ``(3, H, W)``, 0-255, uint8 or float. Floats are rounded, and clamped to 0-255.
    path : str or path-like
        Where to, ending in one of `IMAGE_SUFFIXES` but ``.gif``. JPEG loses detail; a file that
        is there already is replaced.
    kept : Kept, optional
        What another file held, from `image_files.read_image`, so that this one gets it too: depth,
        grey or colour, alpha, colour profile, EXIF, resolution. Default: RGB of 8 bits.

    Raises
    ------
    TypeError
        If `image` is not a uint8 or floating-point tensor.
    ValueError
        If its shape is not ``(3, H, W)``, a value is NaN, or the suffix is another, or of a format
        that does not hold what was kept.
    """
    path, kept = Path(path), kept or Kept()
    if not isinstance(image, Tensor):
        raise TypeError(f"expected an image as a tensor, got {type(image).__name__}")
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise TypeError(f"expected an image of dtype uint8 or float, got {image.dtype}")
    if image.ndim != 3 or image.shape[0] != 3 or image.numel() == 0:
        raise ValueError(f"expected an image of shape (3, H, W), got {tuple(image.shape)}")
    if image.is_floating_point() and image.isnan().any():
        raise ValueError("expected an image in 0-255, got NaN")
    if kept.alpha is not None and kept.alpha.shape != tuple(image.shape[1:]):
        raise ValueError(
            f"expected alpha of the size of the image, got {kept.alpha.shape} for "
            f"{tuple(image.shape[1:])}"
        )
    check_suffix(path, kept)
    write_image(image, path, kept)


# --------------------------------------------------------------------------------------------------
# Ranges


def to_unit(images: Tensor) -> Tensor:
    """Bring images from 0-255 to 0-1.

    Parameters
    ----------
    images : Tensor
        Any shape, 0-255, uint8 or float. Noisy floats may lie outside and stay outside.

    Returns
    -------
    Tensor
        float32, the same shape, divided by 255.

    Raises
    ------
    TypeError
        If `images` is not a tensor, or of another dtype.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"expected images as a tensor, got {type(images).__name__}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise TypeError(f"expected images of dtype uint8 or float, got {images.dtype}")
    return images.float() / 255


def to_uint8(unit: Tensor) -> Tensor:
    """Bring images from 0-1 to 0-255: clamp, scale, round to the nearest integer.

    Parameters
    ----------
    unit : Tensor
        Any shape, floating point; what lies outside 0-1 is clamped.

    Returns
    -------
    Tensor
        uint8, the same shape. Inverse of `to_unit` for uint8 images.

    Raises
    ------
    TypeError
        If `unit` is not a floating-point tensor.
    ValueError
        If a value is NaN.
    """
    if not isinstance(unit, Tensor):
        raise TypeError(f"expected images as a tensor, got {type(unit).__name__}")
    if not unit.is_floating_point():
        raise TypeError(f"expected images in 0-1 of a float dtype, got {unit.dtype}")
    if unit.isnan().any():
        raise ValueError("expected images in 0-1, got NaN")
    return (unit.float().clamp(0, 1) * 255).round().to(torch.uint8)


def described(value: object) -> str:
    """A value in a few words, for an error message."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__} of {len(value)}"
    return type(value).__name__


# --------------------------------------------------------------------------------------------------
# Checks


def check_images(images: Tensor, name: str) -> Tensor:
    """Raise unless an argument holds images 0-255 that a network can denoise.

    Parameters
    ----------
    images : Tensor
        ``(N, 3, H, W)`` or ``(3, H, W)``, uint8 or floating point, not empty, all values finite.
    name : str
        What the caller calls it; part of the message.

    Returns
    -------
    Tensor
        `images`.

    Raises
    ------
    TypeError, ValueError
        If it is something else.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"expected {name} to be a tensor, got {type(images).__name__}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise TypeError(f"expected {name} of dtype uint8 or floating point, got {images.dtype}")
    if images.dim() not in (3, 4) or images.shape[-3] != 3:
        raise ValueError(
            f"expected {name} of shape (N, 3, H, W) or (3, H, W), got {tuple(images.shape)}"
        )
    if images.numel() == 0:
        raise ValueError(f"expected {name} to hold an image, got shape {tuple(images.shape)}")
    if images.is_floating_point() and not torch.isfinite(images).all():
        bad = images[~torch.isfinite(images)][0].item()
        raise ValueError(f"expected {name} with finite values, got {bad}")
    return images


def warn_of_unit(images: Tensor, name: str) -> None:
    """Warn of floats that look like images 0-1 where 0-255 are expected: nearly black pictures."""
    if images.is_floating_point() and 0 < images.max() <= 1:
        warnings.warn(
            f"expected {name} in 0-255, got values up to {images.max().item():.3g}, which is "
            "nearly black; images in 0-1 are multiplied by 255 first",
            stacklevel=3,
        )


def check_pairs(first: Tensor, second: Tensor, first_name: str, second_name: str) -> None:
    """Raise TypeError or ValueError unless both are batches of images and of one shape."""
    for images, name in ((first, first_name), (second, second_name)):
        if check_images(images, name).dim() != 4:
            raise ValueError(f"expected {name} of shape (N, 3, H, W), got {tuple(images.shape)}")
    if first.shape != second.shape:
        raise ValueError(
            f"expected {first_name} and {second_name} of one shape, "
            f"got {tuple(first.shape)} and {tuple(second.shape)}"
        )


def check_noisy_pairs(first: Tensor, second: Tensor, first_name: str, second_name: str) -> None:
    """Raise as `check_pairs`, and where both are the same images: there is no second noise."""
    check_pairs(first, second, first_name, second_name)
    if torch.equal(first, second):
        raise ValueError(
            f"expected {second_name} with noise of its own, got the images of {first_name}"
        )

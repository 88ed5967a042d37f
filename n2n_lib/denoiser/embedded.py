"""What an image file holds beside the 8-bit RGB pixels that `images.load_image` takes from it."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass

from PIL import Image

from n2n_lib.denoiser.images import IMAGE_FORMATS

WHITE = 65535
"""The value that counts as white in a file of more than 8 bits."""


@dataclass(frozen=True)
class Embedded:
    """What else is in an image file.

    Attributes
    ----------
    profile : bytes or None
        The colour profile (ICC), such as Display P3, if the loaded pixels are still meant in it.
    remarks : tuple of str
        What was left out or changed when the pixels were loaded, in words.
    """

    profile: bytes | None = None
    remarks: tuple[str, ...] = ()


def read_embedded(path: str | os.PathLike) -> Embedded:
    """Look into a file that `images.load_image` can read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            colour = image.mode in ("RGB", "RGBA", "RGBX", "P", "PA")
            profile = image.info.get("icc_profile") if colour else None
            return Embedded(profile or None, tuple(_remarks(image)))


def _remarks(image: Image.Image) -> list[str]:
    """Say what of an image its 8-bit RGB version lacks."""
    remarks = []
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        remarks.append("transparency laid over white")
    pages = getattr(image, "n_frames", 1)
    if pages > 1:
        remarks.append(f"the first of {pages} pages")
    if image.mode.startswith("I"):
        brightest = image.getextrema()[1]
        remarks.append("reduced to 8 bits")
        if brightest < WHITE / 8:
            remarks.append(f"dark: its brightest value is {brightest:.0f}, white is {WHITE}")
        elif brightest > WHITE:
            remarks.append(f"values above {WHITE} cut to white")
    if image.info.get("icc_profile") and image.mode not in ("RGB", "RGBA", "RGBX", "P", "PA"):
        remarks.append("its colour profile left out")
    return remarks

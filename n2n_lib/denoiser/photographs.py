"""The photographs that installed packages carry, so that nothing is downloaded (lesson 02)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SPLITS = ("train", "validation")


@dataclass(frozen=True)
class Photograph:
    """One of the photographs that installed packages carry, so that nothing is downloaded.

    Attributes
    ----------
    name : str
        Key for `photograph`.
    split : str
        "train" or "validation". A validation photograph is never trained on, not even in part.
    package : str
        The package whose wheel holds the file.
    title, credit, licence : str
        What it shows, who made it, and under which terms, as its package states them.
    """

    name: str
    split: str
    package: str
    title: str
    credit: str
    licence: str

    def load(self) -> Tensor:
        """Read the photograph from its package: uint8 ``(3, H, W)``, RGB."""
        with Image.open(_file(self)) as image:
            pixels = np.array(image.convert("RGB"))
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


_FOLDERS = {
    "scikit-image": ("skimage", "data"),
    "scikit-learn": ("sklearn", "datasets/images"),
    "matplotlib": ("matplotlib", "mpl-data/sample_data"),
}
"""Where packages keep their photographs: the name to import, which is not imported, a folder."""


def _file(photo: Photograph) -> Path:
    """Find the file of a photograph.

    The packages have functions that read them, but to load scikit-learn for that takes three
    quarters of the time that PyTorch takes.
    """
    package, folder = _FOLDERS[photo.package]
    found = find_spec(package)
    if found is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    # Of the motorcycle only the left image: the right one is the same scene.
    stem = "motorcycle_left" if photo.name == "motorcycle" else photo.name
    folder = Path(found.origin).parent / folder
    for path in (folder / f"{stem}.png", folder / f"{stem}.jpg"):
        if path.exists():
            return path
    raise FileNotFoundError(
        f"expected {photo.package} with its photographs, got none of {stem!r} in {folder}"
    )


PHOTOGRAPHS: tuple[Photograph, ...] = (
    Photograph(
        name="astronaut",
        split="train",
        package="scikit-image",
        title="Portrait of the astronaut Eileen Collins",
        credit="NASA, Great Images database",
        licence="Public domain; no known copyright restrictions",
    ),
    Photograph(
        name="chelsea",
        split="train",
        package="scikit-image",
        title="Chelsea the cat",
        credit="Stefan van der Walt",
        licence="CC0",
    ),
    Photograph(
        name="rocket",
        split="train",
        package="scikit-image",
        title="Launch of DSCOVR on a Falcon 9 from Cape Canaveral",
        credit="SpaceX",
        licence="Public domain, released by SpaceX",
    ),
    Photograph(
        name="motorcycle",
        split="train",
        package="scikit-image",
        title="Motorcycle, left image of a stereo pair of the Middlebury 2014 benchmark",
        credit=(
            "N. Nesic, P. Westling, X. Wang, Y. Kitajima, G. Krathwohl and D. Scharstein, "
            "Middlebury College (GCPR 2014); down-sampled by scikit-image"
        ),
        licence="No licence stated; published for stereo research, distributed in scikit-image",
    ),
    Photograph(
        name="grace_hopper",
        split="train",
        package="matplotlib",
        title="Portrait of Grace Hopper in the uniform of the United States Navy",
        credit="United States Navy, through Wikimedia Commons (File:Grace_Hopper.jpg)",
        licence="Public domain",
    ),
    Photograph(
        name="flower",
        split="train",
        package="scikit-learn",
        title="A flower",
        credit=(
            "Flickr user vultilion (photograph 6056698931), after the source link in scikit-learn; "
            "the attribution line there names danielbuechele"
        ),
        licence="CC BY 2.0",
    ),
    Photograph(
        name="coffee",
        split="validation",
        package="scikit-image",
        title="A cup of coffee",
        credit="Rachel Michetti, courtesy of Pikolo Espresso Bar",
        licence="CC0",
    ),
    Photograph(
        name="china",
        split="validation",
        package="scikit-learn",
        title="A building in China",
        credit="Flickr user danielbuechele (photograph 6061409035)",
        licence="CC BY 2.0",
    ),
)
"""The eight photographs of this library, with their credits: six to train, two to validate."""


def photograph(name: str) -> Tensor:
    """Load one of `PHOTOGRAPHS` by name.

    Parameters
    ----------
    name : str
        For example "astronaut".

    Returns
    -------
    Tensor
        uint8 ``(3, H, W)``, 0-255, RGB.

    Raises
    ------
    ValueError
        If no photograph has that name.
    """
    for photo in PHOTOGRAPHS:
        if photo.name == name:
            return photo.load()
    raise ValueError(
        f"expected a photograph among {listed(p.name for p in PHOTOGRAPHS)}, got {name!r}"
    )


def photographs(split: str | None = None) -> dict[str, Tensor]:
    """Load the photographs of one split, or all of them.

    Parameters
    ----------
    split : {"train", "validation", None}
        None means both.

    Returns
    -------
    dict of str to Tensor
        uint8 ``(3, H, W)`` by name, in the order of `PHOTOGRAPHS`.

    Raises
    ------
    ValueError
        If the split is unknown.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"expected a split among {listed(SPLITS)} or None, got {split!r}")
    return {photo.name: photo.load() for photo in PHOTOGRAPHS if split in (None, photo.split)}


def listed(names: Iterable[str]) -> str:
    """Names in quotes, for an error message."""
    return ", ".join(repr(name) for name in names)

"""What commands work on: models, photographs, pairs of noisy and clean images."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor

from n2n_lib.cli.options import Noise, UsageError
from n2n_lib.denoiser.images import load_images, load_pairs, to_unit
from n2n_lib.denoiser.model import Model
from n2n_lib.denoiser.noise import make_noise, pixel_sampling
from n2n_lib.denoiser.photographs import photographs
from n2n_lib.denoiser.sampling import sample_pairs

VALIDATION_COUNT = 1000
"""Thumbnails of the two validation photographs that a table is computed on."""

VALIDATION_SEED = 1_000_003
"""Seed of those thumbnails, the same whatever the training seed is."""


def validation_count(task: dict) -> int:
    """Return how many images of this size hold as many pixels as the thumbnails of the tables."""
    return max(1, VALIDATION_COUNT * 32 * 32 // task["size"] ** 2)


def validation_images(
    path: Path | None, task: dict, path_is_validation: bool = False
) -> tuple[Tensor, Tensor]:
    """Return noisy and clean images: the course's, or thumbnails of photographs.

    When training, `path` is training data, and only a ``val_data.pkl`` beside it is looked for.
    """
    found = course_file(path, "val_data.pkl", any_name=path_is_validation)
    if found is not None:
        return load_pairs(found)
    images = load_images(path) if path is not None and path_is_validation else None
    generator = torch.Generator().manual_seed(VALIDATION_SEED)
    drawn = sample_pairs(
        validation_count(task), images=images, split="validation", **task, generator=generator
    )
    return drawn.noisy1, drawn.clean


def course_file(path: Path | None, name: str, any_name: bool) -> Path | None:
    """Return the file of pairs that `path` is, or that lies in the folder or beside the file.

    Parameters
    ----------
    path : Path or None
        A folder, or a .pkl file.
    name : str
        Name of the file that is wanted: ``train_data.pkl`` or ``val_data.pkl``.
    any_name : bool
        Whether a .pkl file that has neither of these names is taken for the wanted one.
    """
    if path is None:
        return None
    if path.is_dir():
        return path / name if (path / name).is_file() else None
    if path.suffix != ".pkl":
        raise UsageError(f"expected a folder or a .pkl file, got {path}")
    if path.name == name or (any_name and path.name not in ("train_data.pkl", "val_data.pkl")):
        return path
    sibling = path.with_name(name)
    return sibling if sibling.is_file() else None


def clean_photographs(path: Path | None) -> dict[str, Tensor]:
    """Return clean photographs by name: those of a folder, or the two for validation."""
    if path is None:
        return photographs("validation")
    if not path.is_dir():
        raise UsageError(f"expected a folder of photographs with --against, got {path}")
    return load_images(path)


def check_blocks(image: Tensor, name: object, noise: Noise | None, block: int) -> None:
    """Raise unless an image has room for a block, where blocks are sampled."""
    size = tuple(image.shape[1:])
    if noise is Noise.pixels and min(size) < block:
        raise UsageError(f"expected {name} to have {block} or more pixels a side, got {size}")


def noisy_and_clean(
    image: Tensor, noise: Noise, level: float | None, block: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Take an image for a clean one, 0-255, and return a noisy version and what it hides.

    Pixel sampling shrinks the image twice: by one random pixel of every block, and by the mean of
    every block.
    """
    if noise is not Noise.pixels:
        model = make_noise(noise.value) if level is None else make_noise(noise.value, level)
        return model(to_unit(image), generator) * 255, image
    height, width = (n // block for n in image.shape[1:])
    crop = image[:, : height * block, : width * block]
    noisy = pixel_sampling(crop, block, generator)
    clean = crop.float().unflatten(2, (width, block)).unflatten(1, (height, block)).mean((2, 4))
    return noisy, clean


def load_model(name: str | None, noise: Noise) -> Model:
    """Load the model that was asked for, or else the shipped one that fits the noise."""
    model = Model()
    model.load_pretrained_model(name or ("bestmodel" if noise is Noise.pixels else "unet"))
    return model


def adapted_model(model: Model, noisy: Tensor, level: float | None, steps: int) -> Model:
    """A copy of the model that was adapted to an image, or the model itself with 0 steps."""
    if not steps:
        return model
    adapted = deepcopy(model)
    adapted.adapt(noisy, level, steps)
    return adapted

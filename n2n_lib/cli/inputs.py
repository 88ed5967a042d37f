"""What commands work on: models, photographs, pairs of noisy and clean images."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor

from n2n_lib.cli.options import Noise, UsageError
from n2n_lib.denoiser.camera import Cameras
from n2n_lib.denoiser.classical import estimate_sigma
from n2n_lib.denoiser.estimate import NoiseMeasure, level_to_tell
from n2n_lib.denoiser.images import load_images, to_unit
from n2n_lib.denoiser.model import Model
from n2n_lib.denoiser.noise import make_noise, pixel_sampling
from n2n_lib.denoiser.photographs import photographs


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
    every block. A camera sharpens and saves both. Other noise leaves a grey image grey.
    """
    if noise is Noise.camera:
        pictures = Cameras().exposed(to_unit(image), generator)
        return tuple(255 * picture for picture in pictures)
    if noise is not Noise.pixels:
        model = make_noise(noise.value) if level is None else make_noise(noise.value, level)
        channels = image[:1] if is_grey(image) else image
        noisy = model(to_unit(channels), generator) * 255
        return noisy.expand(3, -1, -1), image
    height, width = (n // block for n in image.shape[1:])
    crop = image[:, : height * block, : width * block]
    noisy = pixel_sampling(crop, block, generator)
    clean = crop.float().unflatten(2, (width, block)).unflatten(1, (height, block)).mean((2, 4))
    return noisy, clean


def is_grey(image: Tensor) -> bool:
    """Whether the three channels of an image are equal, as those of grey files are."""
    return torch.equal(image[0], image[1]) and torch.equal(image[0], image[2])


SHARED = 0.3
"""Correlation of the noise of two colours from which on they share it: by chance it is 0.2."""


def predicted(
    model: Model,
    noisy: Tensor,
    *,
    sigma: float | None = None,
    shared: float = 0.0,
    ensemble: bool = False,
    strength: float = 1.0,
) -> Tensor:
    """Denoise one image; a grey one, which shows the network three equal channels, stays grey.

    What of the correlation `shared` of the noise of two colours is below `SHARED` counts as 0; in a
    grey image it is 1.
    """
    grey = is_grey(noisy)
    shared = 1.0 if grey else shared if shared > SHARED else 0.0
    level = None if sigma is None else level_to_tell(sigma, shared)
    options = {"sigma": level, "ensemble": ensemble, "strength": strength}
    if not grey:
        return model.predict(noisy, **options)
    return model.predict(noisy.float(), **options).mean(0, keepdim=True).expand(3, -1, -1)


def measured_level(noisy: Tensor, measure: NoiseMeasure) -> float:
    """Return the level of an image's noise in grey levels of 255, as a network should be told it.

    Where no place is even, the finest details are taken for noise.
    """
    level = measure.sigma if measure.blocks else estimate_sigma(to_unit(noisy))
    return max(1.0, level)  # less than one is rounding


def load_model(name: str | None, noise: Noise) -> Model:
    """Load the model that was asked for, or else the shipped one that fits the noise."""
    fitting = {Noise.pixels: "bestmodel", Noise.camera: "unet-camera"}
    return Model.load(name or fitting.get(noise, "unet"))


def adapted_model(model: Model, noisy: Tensor, level: float | None, steps: int) -> Model:
    """A copy of the model that was adapted to an image, or the model itself with 0 steps."""
    if not steps:
        return model
    adapted = deepcopy(model)
    adapted.adapt(noisy, level, steps)
    return adapted

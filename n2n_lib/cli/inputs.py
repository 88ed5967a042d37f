"""What commands work on: models, photographs, pairs of noisy and clean images."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor

from n2n_lib.cli.options import Noise, UsageError
from n2n_lib.denoiser.camera import Cameras
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


def predicted(
    model: Model, noisy: Tensor, *, sigma: float | None = None, ensemble: bool = False
) -> Tensor:
    """Denoise one image; a grey one, which shows the network three equal channels, stays grey."""
    if not is_grey(noisy):
        return model.predict(noisy, sigma=sigma, ensemble=ensemble)
    cleaned = model.predict(noisy.float(), sigma=sigma, ensemble=ensemble)
    return cleaned.mean(0, keepdim=True).expand(3, -1, -1)


def load_model(name: str | None, noise: Noise) -> Model:
    """Load the model that was asked for, or else the shipped one that fits the noise."""
    return Model.load(name or ("bestmodel" if noise is Noise.pixels else "unet"))


def adapted_model(model: Model, noisy: Tensor, level: float | None, steps: int) -> Model:
    """A copy of the model that was adapted to an image, or the model itself with 0 steps."""
    if not steps:
        return model
    adapted = deepcopy(model)
    adapted.adapt(noisy, level, steps)
    return adapted

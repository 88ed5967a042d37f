"""Where the images of a run come from: photographs, the course's files, the user's folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from n2n_lib.denoiser.frames import open_scenes
from n2n_lib.denoiser.images import load_images, load_pairs
from n2n_lib.denoiser.photographs import photographs
from n2n_lib.denoiser.sampling import Task
from n2n_lib.denoiser.scene import Scene

TRAINING_FILE, VALIDATION_FILE = "train_data.pkl", "val_data.pkl"
"""Names of the course's files."""

VALIDATION_COUNT = 1000
"""Thumbnails of the two validation photographs that a table is computed on."""

VALIDATION_SEED = 1_000_003
"""Seed of those thumbnails, the same whatever the training seed is."""

HELD_OUT_SEED = 1_000_004
"""Seed of the noisy pairs of the validation photographs that choose the best weights of a run."""


@dataclass(frozen=True)
class Source:
    """Images that are read once, when the source is opened.

    Attributes
    ----------
    images : mapping of str to Tensor
        Clean photographs to draw from, uint8 ``(3, H, W)``, by name; empty where there are `pairs`.
    pairs : (Tensor, Tensor) or None
        Images of a file of the course, uint8 ``(N, 3, H, W)``: two noisy versions of each scene to
        train on, or noisy and clean ones to validate with.
    description : str
        What was read: "6 photographs", or the file.
    validation : Source or None
        Of a source to train on: what to validate with.
    scenes : tuple of Scene
        Noisy frames of the user's own, which need neither photographs nor pairs.

    Examples
    --------
    >>> Source.open().description
    '6 photographs'
    """

    images: Mapping[str, Tensor]
    pairs: tuple[Tensor, Tensor] | None
    description: str
    validation: Source | None = None
    scenes: tuple[Scene, ...] = ()

    @classmethod
    def open_frames(cls, path: Path) -> Source:
        """Read frames of one scene or of many; arguments and errors are of `frames.open_scenes`."""
        scenes = tuple(open_scenes(path))
        count = sum(len(scene.frames) for scene in scenes)
        many = "one scene" if len(scenes) == 1 else f"{len(scenes)} scenes"
        return cls({}, None, f"{count} frames of {many}", scenes=scenes)

    @classmethod
    def open(cls, path: Path | None = None) -> Source:
        """Read images to train on, and those to validate with.

        Parameters
        ----------
        path : Path, optional
            ``train_data.pkl`` of the course or another file like it; a folder with that file; or a
            folder of photographs. The default is the six photographs of the packages. Validation
            images are in ``val_data.pkl`` at the same place; without it, the two photographs of
            the packages serve.

        Raises
        ------
        FileNotFoundError
            If there is nothing at `path`.
        ValueError
            If it is something else, or cannot be read.
        """
        source = cls._read(path, _course_file(path, TRAINING_FILE, any_name=True), "train")
        found = _course_file(path, VALIDATION_FILE, any_name=False)
        return replace(source, validation=cls._read(None, found, "validation"))

    @classmethod
    def open_validation(cls, path: Path | None = None) -> Source:
        """Read images to validate with.

        Parameters
        ----------
        path : Path, optional
            ``val_data.pkl`` of the course or another file like it; a folder with that file; or a
            folder of photographs. The default is the two photographs of the packages.

        Raises
        ------
        FileNotFoundError, ValueError
            As `open`.
        """
        found = _course_file(path, VALIDATION_FILE, any_name=True)
        return cls._read(path, found, "validation")

    @classmethod
    def _read(cls, folder: Path | None, file: Path | None, split: str) -> Source:
        """Read a file of pairs; without one, a folder; without that, photographs of a split."""
        if file is not None:
            return cls({}, load_pairs(file), str(file))
        images = photographs(split) if folder is None else load_images(folder)
        return cls(images, None, f"{len(images)} photographs")

    def training_pairs(self, task: Task, count: int, seed: int) -> tuple[Tensor, Tensor]:
        """Return two noisy batches of `count` scenes, or of all that a file has.

        No clean image is made.
        """
        if self.pairs is not None:
            first, second = self.pairs
            return first[:count], second[:count]
        drawn = task.draw(count, self.images, _generator(seed), with_clean=False)
        return drawn.noisy1, drawn.noisy2

    def validation_images(self, task: Task) -> tuple[Tensor, Tensor]:
        """Return noisy and clean images: those of the file, or drawn and always the same."""
        if self.pairs is not None:
            return self.pairs
        drawn = task.draw(validation_count(task), self.images, _generator(VALIDATION_SEED))
        return drawn.noisy1, drawn.clean

    def held_out_pairs(self, task: Task) -> tuple[Tensor, Tensor]:
        """Return two noisy batches of the packages' validation photographs. No clean one is made.

        Of a source whose images are not these photographs, they are read now.
        """
        images = self.images or photographs("validation")
        generator = _generator(HELD_OUT_SEED)
        drawn = task.draw(validation_count(task), images, generator, with_clean=False)
        return drawn.noisy1, drawn.noisy2


def validation_count(task: Task) -> int:
    """Return how many images of this size hold as many pixels as the thumbnails of the tables."""
    return max(1, VALIDATION_COUNT * 32 * 32 // task.size**2)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _course_file(path: Path | None, name: str, any_name: bool) -> Path | None:
    """Return the file of pairs that `path` is, or that lies in the folder or beside the file.

    Parameters
    ----------
    path : Path or None
        A folder, or a .pkl file.
    name : str
        Name of the file that is wanted: `TRAINING_FILE` or `VALIDATION_FILE`.
    any_name : bool
        Whether a .pkl file that has neither of these names is taken for the wanted one.
    """
    if path is None:
        return None
    if path.is_dir():
        return path / name if (path / name).is_file() else None
    if path.suffix != ".pkl":
        if not path.exists():
            raise FileNotFoundError(f"expected a folder or a .pkl file, got no such file: {path}")
        raise ValueError(f"expected a folder or a .pkl file, got {path}")
    if path.name == name or (any_name and path.name not in (TRAINING_FILE, VALIDATION_FILE)):
        return path
    sibling = path.with_name(name)
    return sibling if sibling.is_file() else None

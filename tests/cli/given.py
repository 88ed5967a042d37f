"""What the commands are given in these tests, and what to compare their results with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from reference import generator
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import n2n_lib
from n2n_lib.denoiser.model import Model
from n2n_lib.denoiser.source import VALIDATION_SEED

COUNT = 12  # validation thumbnails


KEYS = set(
    "psnr_noisy psnr_denoised psnr_definition ssim_noisy ssim_denoised seconds pairs epochs seed"
    " baselines".split()
)

ROWS = ["do nothing", "median", "tv", "wavelet", "nlm", "26 numbers", "our network"]


def load(path: Path | str) -> Model:
    """The model in a file, or a shipped one."""
    model = Model()
    model.load_pretrained_model(path)
    return model


def pixels(path: Path) -> torch.Tensor:
    """What is in an image file, by Pillow."""
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def parameters(path: Path) -> list[torch.Tensor]:
    return torch.load(path, weights_only=True)["parameters"]


def noisy_pairs(count: int, size: int = 16, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """uint8 pairs as in the course's files: flat colours with noise."""
    source = generator(seed)
    clean = 50 + 150 * torch.rand(count, 3, 1, 1, generator=source)
    noise = 25 * torch.randn(2, count, 3, size, size, generator=source)
    first, second = (clean + noise).round().clamp(0, 255).byte()
    return first, second


def course_folder(folder: Path, count: int = 40) -> Path:
    """``train_data.pkl`` and ``val_data.pkl`` as the report's course gives them."""
    folder.mkdir(exist_ok=True)
    torch.save(noisy_pairs(count), folder / "train_data.pkl")
    noisy, _ = noisy_pairs(8, seed=1)
    colour = 50 + 150 * torch.rand(8, 3, 1, 1, generator=generator(1))
    torch.save((noisy, colour.expand(8, 3, 16, 16).round().byte()), folder / "val_data.pkl")
    return folder


def photo(path: Path, width: int = 500, height: int = 371) -> Path:
    image = n2n_lib.photograph("coffee")[:, :height, :width]
    assert image.shape == (3, height, width)
    n2n_lib.save_image(image, path)
    return path


def validation() -> tuple[torch.Tensor, torch.Tensor]:
    source = generator(VALIDATION_SEED)
    drawn = n2n_lib.sample_pairs(COUNT, split="validation", generator=source)
    return drawn.noisy1, drawn.clean


def quality(output: torch.Tensor, clean: torch.Tensor) -> tuple[float, float]:
    """PSNR, mean over images, and SSIM, by scikit-image."""
    values = [
        (
            peak_signal_noise_ratio(b, a, data_range=255),
            structural_similarity(a, b, data_range=255, channel_axis=0),
        )
        for a, b in zip(output.double().numpy(), clean.double().numpy(), strict=True)
    ]
    psnr, ssim = np.mean(values, axis=0)
    return float(psnr), float(ssim)

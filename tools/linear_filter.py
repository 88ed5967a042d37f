"""Measure the rows *do nothing* and *26 numbers* of the tables in docs/results.md.

``python -m tools.linear_filter`` prints them as Markdown, one line after the other, from the same
images, noise and seeds that ``n2n train`` and ``n2n evaluate`` measured the other rows on. With a
folder that holds bus.jpg and zidane.jpg (of the package ultralytics) beside hubble_deep_field.jpg
and ihc.png (of scikit-image), the table of these four too.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from n2n_lib import load_images, photographs, sample_pairs, to_unit
from n2n_lib.denoiser import linear
from n2n_lib.denoiser.evaluation import Score, evaluate, evaluate_photographs
from n2n_lib.denoiser.noise import Gaussian

THUMBNAILS, THUMBNAILS_SEED = 1000, 1_000_003
"""How many validation thumbnails ``n2n train`` compares on, and their seed."""

BENCHMARK_SEED = 1
"""Seed of those that ``n2n bench --full-runs`` compares on."""

LEVELS = 15, 25, 50
"""Standard deviations of Gaussian noise, in grey levels of 255."""


def seeded(seed: int) -> torch.Generator:
    """Return a generator that begins at a seed."""
    return torch.Generator().manual_seed(seed)


def thumbnails(drawn: int, **options: object) -> list[Score]:
    """Measure doing nothing and the filter on validation thumbnails of a seed."""
    pairs = sample_pairs(THUMBNAILS, split="validation", generator=seeded(drawn))
    return evaluate(pairs.noisy1, pairs.clean, linear.row(linear.fitted(**options)), classical=())


def written(rows: list[Score]) -> list[list[str]]:
    """Write name, PSNR, SSIM and seconds."""
    return [[row.name, f"{row.psnr:.2f}", f"{row.ssim:.3f}", f"{row.seconds:.2f}"] for row in rows]


def targets(seed: int) -> list[str]:
    """Compare noisy targets with clean ones: seed, PSNR of the filter with both, difference."""
    noisy, clean = (
        thumbnails(THUMBNAILS_SEED, clean_targets=clean, seed=seed)[-1].psnr
        for clean in (False, True)
    )
    return [str(seed), f"{noisy:.2f}", f"{clean:.2f}", f"{clean - noisy:.2f}"]


def whole(images: Mapping[str, Tensor], level: float) -> list[list[str]]:
    """Measure both on whole photographs with Gaussian noise: rows of image, name, PSNR, SSIM."""
    noise = Gaussian(level)
    pairs = {
        name: (255 * noise(to_unit(image), seeded(zlib.crc32(name.encode()))), image)
        for name, image in images.items()
    }
    ways = linear.row(linear.fitted(noise="gaussian", sigma=level, **linear.FULL_SIZE))
    return [
        [row.image, row.name, f"{row.psnr:.2f}", f"{row.ssim:.3f}"]
        for row in evaluate_photographs(pairs, ways)
    ]


def show(title: str, rows: list[list[str]]) -> None:
    """Print rows under a title."""
    print(f"\n{title}\n")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    """Print the rows of every table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", help="the four untouched pictures")
    folder = parser.parse_args().folder
    torch.set_grad_enabled(False)
    rows = thumbnails(THUMBNAILS_SEED)
    show("Thumbnails, pixel sampling: PSNR, SSIM, seconds", written(rows))
    for level in LEVELS:
        show(f"Photographs, Gaussian, {level}: PSNR, SSIM", whole(photographs("validation"), level))
    if folder is not None:
        show("Untouched pictures, Gaussian, 25: PSNR, SSIM", whole(load_images(folder), 25))
    show("Seed, noisy targets, clean targets, difference", [targets(seed) for seed in range(3)])
    rows = thumbnails(BENCHMARK_SEED)
    show("The benchmark's thumbnails: PSNR, SSIM, seconds", written(rows))


if __name__ == "__main__":
    main()

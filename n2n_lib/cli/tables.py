"""Tables of denoisers, for people and, as JSON, for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from n2n_lib.cli.options import Noise
from n2n_lib.denoiser.evaluation import DO_NOTHING, OURS, Score
from n2n_lib.denoiser.metrics import PSNR_DEFINITIONS


def print_thumbnails(console: Console, scores: Sequence[Score], caption: str) -> None:
    """Print both definitions of PSNR, SSIM and time, one line a denoiser."""
    table = Table(caption=f"{caption}; PSNR: {PSNR_DEFINITIONS['mean']}; pooled: of all errors")
    table.add_column("denoiser")
    for heading in ("PSNR dB", "pooled dB", "SSIM", "seconds"):
        table.add_column(heading, justify="right")
    for score in scores:
        table.add_row(
            score.name,
            f"{score.psnr:.2f}",
            f"{score.psnr_pooled:.2f}",
            f"{score.ssim:.3f}",
            "" if score.name == DO_NOTHING else f"{score.seconds:.2f}",
            style="bold" if score.name == OURS else None,
        )
    console.print(table)


def print_frames(console: Console, gains: Mapping[str, Mapping[str, float]], basis: str) -> None:
    """Print what was gained on the user's own frames, how sure that is, and what it rests on."""
    table = Table()
    table.add_column("picture")
    table.add_column("gain in dB", justify="right")
    for name, each in gains.items():
        style = "bold" if name.endswith("cleaned") else None
        table.add_row(name, f"{each['gain']:.2f} ± {each['spread']:.2f}", style=style)
    console.print(table)
    console.print(basis)


def _means(scores: Sequence[Score]) -> dict[str, dict[str, float]]:
    """Return each denoiser's means over photographs, and its time for a megapixel."""
    means = {}
    for name in dict.fromkeys(score.name for score in scores):
        own = [score for score in scores if score.name == name]
        means[name] = {
            "psnr": sum(score.psnr for score in own) / len(own),
            "ssim": sum(score.ssim for score in own) / len(own),
            "seconds_per_megapixel": sum(score.seconds for score in own)
            / sum(score.megapixels for score in own),
        }
    return means


def photograph_results(
    scores: Sequence[Score], noise: Noise, level: float | None, seed: int
) -> dict:
    """Lay the table of photographs out for machines."""
    images: dict[str, dict] = {}
    for score in scores:
        rows = images.setdefault(score.image, {})
        rows[score.name] = score.rounded("psnr", "ssim", "seconds")
    means = {
        name: {key: round(value, 4) for key, value in mean.items()}
        for name, mean in _means(scores).items()
    }
    return {"noise": noise.value, "sigma": level, "seed": seed, "images": images, "means": means}


def print_photographs(console: Console, scores: Sequence[Score], caption: str) -> None:
    """Print PSNR and SSIM of each photograph and their means, one line a denoiser."""
    images = list(dict.fromkeys(score.image for score in scores))
    table = Table(caption=f"{caption}; PSNR in dB / SSIM, of whole photographs")
    table.add_column("denoiser")
    for heading in (*images, "mean", "s per megapixel"):
        table.add_column(heading, justify="right")
    for name, mean in _means(scores).items():
        own = {score.image: score for score in scores if score.name == name}
        seconds = "" if name == DO_NOTHING else f"{mean['seconds_per_megapixel']:.2f}"
        table.add_row(
            name,
            *(f"{own[image].psnr:.2f} / {own[image].ssim:.3f}" for image in images),
            f"{mean['psnr']:.2f} / {mean['ssim']:.3f}",
            seconds,
            style="bold" if name == OURS else None,
        )
    console.print(table)

"""Tables of denoisers, for people and, as JSON, for machines."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from n2n_lib.cli.options import Noise
from n2n_lib.denoiser.evaluation import DO_NOTHING, PhotographRow, Row
from n2n_lib.denoiser.metrics import PSNR_DEFINITIONS

OURS = "our network"


def level_text(noise: Noise, sigma: float) -> str:
    """Name the level of the noise in a caption, where it has one."""
    return f", sigma {sigma:g}" if noise is Noise.gaussian else ""


def thumbnail_results(rows: Sequence[Row]) -> dict:
    """Lay the table out for machines."""
    by_name = {row.name: row for row in rows}
    nothing, ours = by_name[DO_NOTHING], by_name[OURS]
    return {
        "psnr_noisy": round(nothing.psnr, 4),
        "psnr_denoised": round(ours.psnr, 4),
        "psnr_definition": PSNR_DEFINITIONS["mean"],
        "psnr_pooled_noisy": round(nothing.psnr_pooled, 4),
        "psnr_pooled_denoised": round(ours.psnr_pooled, 4),
        "ssim_noisy": round(nothing.ssim, 4),
        "ssim_denoised": round(ours.ssim, 4),
        "baselines": {
            row.name: {
                "psnr": round(row.psnr, 4),
                "psnr_pooled": round(row.psnr_pooled, 4),
                "ssim": round(row.ssim, 4),
                "seconds": round(row.seconds, 3),
            }
            for row in rows
            if row.name not in (DO_NOTHING, OURS)
        },
    }


def print_thumbnails(console: Console, rows: Sequence[Row], caption: str) -> None:
    """Print both definitions of PSNR, SSIM and time, one line a denoiser."""
    table = Table(caption=f"{caption}; PSNR: {PSNR_DEFINITIONS['mean']}; pooled: of all errors")
    table.add_column("denoiser")
    for heading in ("PSNR dB", "pooled dB", "SSIM", "seconds"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row.name,
            f"{row.psnr:.2f}",
            f"{row.psnr_pooled:.2f}",
            f"{row.ssim:.3f}",
            "" if row.name == DO_NOTHING else f"{row.seconds:.2f}",
            style="bold" if row.name == OURS else None,
        )
    console.print(table)


def _means(rows: Sequence[PhotographRow]) -> dict[str, dict[str, float]]:
    """Return each denoiser's means over photographs, and its time for a megapixel."""
    means = {}
    for name in dict.fromkeys(row.name for row in rows):
        own = [row for row in rows if row.name == name]
        means[name] = {
            "psnr": sum(row.psnr for row in own) / len(own),
            "ssim": sum(row.ssim for row in own) / len(own),
            "seconds_per_megapixel": sum(r.seconds for r in own) / sum(r.megapixels for r in own),
        }
    return means


def photograph_results(
    rows: Sequence[PhotographRow], noise: Noise, sigma: float, seed: int
) -> dict:
    """Lay the table of photographs out for machines."""
    images: dict[str, dict] = {}
    for row in rows:
        images.setdefault(row.image, {})[row.name] = {
            "psnr": round(row.psnr, 4),
            "ssim": round(row.ssim, 4),
            "seconds": round(row.seconds, 3),
        }
    means = {
        name: {key: round(value, 4) for key, value in mean.items()}
        for name, mean in _means(rows).items()
    }
    level = sigma if noise is Noise.gaussian else None
    return {"noise": noise.value, "sigma": level, "seed": seed, "images": images, "means": means}


def print_photographs(console: Console, rows: Sequence[PhotographRow], caption: str) -> None:
    """Print PSNR and SSIM of each photograph and their means, one line a denoiser."""
    images = list(dict.fromkeys(row.image for row in rows))
    table = Table(caption=f"{caption}; PSNR in dB / SSIM, of whole photographs")
    table.add_column("denoiser")
    for heading in (*images, "mean", "s per megapixel"):
        table.add_column(heading, justify="right")
    for name, mean in _means(rows).items():
        own = {row.image: row for row in rows if row.name == name}
        seconds = "" if name == DO_NOTHING else f"{mean['seconds_per_megapixel']:.2f}"
        table.add_row(
            name,
            *(f"{own[image].psnr:.2f} / {own[image].ssim:.3f}" for image in images),
            f"{mean['psnr']:.2f} / {mean['ssim']:.3f}",
            seconds,
            style="bold" if name == OURS else None,
        )
    console.print(table)

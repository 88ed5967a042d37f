"""``n2n evaluate``: measure a model."""

from __future__ import annotations

import json
import zlib
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from n2n_lib.cli.inputs import (
    VALIDATION_SEED,
    adapted_model,
    check_blocks,
    clean_photographs,
    known_sigma,
    load_model,
    noisy_and_clean,
    validation_images,
)
from n2n_lib.cli.options import (
    MODEL_HELP,
    AdaptOption,
    BlockOption,
    EnsembleOption,
    JsonOption,
    Noise,
    SigmaOption,
    UsageError,
    check_adapt,
    check_at_least,
    check_seed,
)
from n2n_lib.cli.tables import (
    OURS,
    level_text,
    photograph_results,
    print_photographs,
    print_thumbnails,
    thumbnail_results,
)
from n2n_lib.denoiser import evaluation, plots
from n2n_lib.denoiser.classical import ALL_METHODS
from n2n_lib.denoiser.model import Model
from n2n_lib.denoiser.noise import make_noise
from n2n_lib.support import files
from n2n_lib.support.memory import keep_freed


def evaluate(
    model: Annotated[
        str | None,
        typer.Option(help=MODEL_HELP, show_default="bestmodel; unet with gaussian noise"),
    ] = None,
    data_path: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="val_data.pkl of the course, a folder with it, or a folder of clean photographs.",
            show_default="two photographs that come with the packages",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Denoise whole photographs instead of thumbnails, and compare with these "
            f"methods: {', '.join(ALL_METHODS)}.",
            show_default="thumbnails",
        ),
    ] = None,
    noise: Annotated[
        Noise | None,
        typer.Option(help="Noise to add.", show_default="pixels; gaussian with --against"),
    ] = None,
    sigma: SigmaOption = 25.0,
    block: BlockOption = 6,
    ensemble: EnsembleOption = False,
    adapt: AdaptOption = 0,
    seed: Annotated[int, typer.Option(help="With --against: seed of the noise.")] = 0,
    figure: Annotated[
        Path | None,
        typer.Option(help="With --against: draw crops side by side to this file."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a model beside doing nothing and classical methods.

    Thumbnails by default; with --against whole photographs, each with noise of a seed of its own,
    so that a photograph gets the same noise whatever else is in the folder.
    """
    noise = noise or (Noise.pixels if against is None else Noise.gaussian)
    make_noise(noise.value, sigma)
    check_at_least(block, "--block", 1)
    check_seed(seed)
    check_adapt(adapt, noise)
    if against is None:
        if figure is not None:
            raise UsageError("expected --against with --figure, got none")
        if adapt:
            raise UsageError("expected --against with --adapt, got none")
        denoiser = load_model(model, noise)
        _evaluate_thumbnails(denoiser, data_path, noise, sigma, ensemble, as_json)
        return
    methods = [name.strip() for name in against.split(",")]
    for name in methods:
        if name not in ALL_METHODS:
            known = ", ".join(ALL_METHODS)
            raise UsageError(f"expected --against to name methods out of {known}, got {name!r}")
    if figure is not None:
        files.check_writable(figure.absolute().parent)
    photographs = clean_photographs(data_path)
    for name, image in photographs.items():
        check_blocks(image, name, noise, block)
    denoiser = load_model(model, noise)
    pairs = {}
    for name, image in photographs.items():
        generator = torch.Generator().manual_seed(seed ^ zlib.crc32(name.encode()))
        pairs[name] = noisy_and_clean(image, noise, sigma, block, generator)
    console = Console(stderr=as_json)
    level = known_sigma(noise, sigma)
    ways = {OURS: partial(denoiser.predict, sigma=level, ensemble=ensemble)}
    if adapt:
        ways[f"{OURS}, adapted"] = lambda image: adapted_model(
            denoiser, image, level, adapt
        ).predict(image, sigma=level, ensemble=ensemble)
    keep_freed()
    rows = []
    for row in evaluation.evaluate_photographs(pairs, ways, against=methods, sigma=level):
        rows.append(row)
        if not as_json:
            console.print(f"{row.image}: {row.name} {row.psnr:.2f} dB", style="dim")
    print_photographs(console, rows, f"{noise.value} noise" + level_text(noise, sigma))
    if figure is not None:
        plots.save_figure(plots.show_crops(rows, pairs), figure)
    if as_json:
        print(json.dumps(photograph_results(rows, noise, sigma, seed)))


def _evaluate_thumbnails(
    denoiser: Model, path: Path | None, noise: Noise, sigma: float, ensemble: bool, as_json: bool
) -> None:
    """Measure a model on thumbnails and print the table."""
    task = {"noise": noise.value, "sigma": sigma, "size": 32}
    noisy, clean = validation_images(path, task, path_is_validation=True)
    level = known_sigma(noise, sigma)
    ways = {OURS: partial(denoiser.predict, sigma=level, ensemble=ensemble)}
    rows = evaluation.evaluate(noisy, clean, ways, sigma=level)
    print_thumbnails(Console(stderr=as_json), rows, f"{len(noisy)} images")
    if as_json:
        ours = rows[-1]
        extra = {
            "seconds": round(ours.seconds, 3),
            "pairs": 0,
            "epochs": 0,
            "seed": VALIDATION_SEED,
        }
        print(json.dumps(thumbnail_results(rows) | extra))

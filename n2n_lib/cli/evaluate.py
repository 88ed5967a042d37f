"""``n2n evaluate``: measure a model."""

from __future__ import annotations

import json
import zlib
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from n2n_lib.cli.options import (
    MODEL_HELP,
    AdaptOption,
    BlockOption,
    EnsembleOption,
    JsonOption,
    Noise,
    SigmaOption,
    ThreadsOption,
    UsageError,
    check_adapt,
    check_at_least,
    check_seed,
    names_in,
    noise_level,
    use_threads,
)

METHODS = names_in("denoiser.classical", "METHODS") + names_in("denoiser.classical", "ALL_METHODS")
"""What whole photographs can be compared with."""


def evaluate(
    context: typer.Context,
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
            f"methods: {', '.join(METHODS)}.",
            show_default="thumbnails",
        ),
    ] = None,
    noise: Annotated[
        Noise | None,
        typer.Option(help="Noise to add.", show_default="pixels; gaussian with --against"),
    ] = None,
    sigma: SigmaOption = None,
    block: BlockOption = 6,
    ensemble: EnsembleOption = False,
    adapt: AdaptOption = 0,
    seed: Annotated[int, typer.Option(help="With --against: seed of the noise.")] = 0,
    figure: Annotated[
        Path | None,
        typer.Option(help="With --against: draw crops side by side to this file."),
    ] = None,
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare a model with doing nothing and with classical methods.

    Thumbnails by default; with --against whole photographs, each with noise of a seed of its own,
    so that a photograph gets the same noise whatever else is in the folder.
    """
    noise = noise or (Noise.pixels if against is None else Noise.gaussian)
    level = noise_level(noise, sigma)
    check_at_least(block, "--block", 1)
    check_seed(seed)
    check_adapt(adapt, noise)
    use_threads(context, threads)
    if against is not None:
        _compare_on_photographs(
            model, data_path, against, noise, level, block, ensemble, adapt, seed, figure, as_json
        )
        return
    if figure is not None:
        raise UsageError("expected --against with --figure, got none")
    if adapt:
        raise UsageError("expected --against with --adapt, got none")
    _compare_on_thumbnails(model, data_path, noise, level, ensemble, as_json)


def _compare_on_thumbnails(
    model: str | None,
    path: Path | None,
    noise: Noise,
    level: float | None,
    ensemble: bool,
    as_json: bool,
) -> None:
    """Measure a model on thumbnails and print the table."""
    from n2n_lib.cli.console import make_console
    from n2n_lib.cli.inputs import load_model
    from n2n_lib.cli.tables import print_thumbnails
    from n2n_lib.denoiser import evaluation, linear
    from n2n_lib.denoiser.sampling import Task
    from n2n_lib.denoiser.source import VALIDATION_SEED, Source

    denoiser = load_model(model, noise)
    task = Task(noise.value) if level is None else Task(noise.value, sigma=level)
    noisy, clean = Source.open_validation(path).validation_images(task)
    ways = linear.row(linear.fitted(**vars(task)))
    ways[evaluation.OURS] = partial(denoiser.predict, sigma=level, ensemble=ensemble)
    scores = evaluation.evaluate(noisy, clean, ways, sigma=level)
    console = make_console(stderr=as_json)
    print_thumbnails(console, scores, f"{len(noisy)} images")
    console.print(str(denoiser.chooser))
    if as_json:
        seconds = round(scores[-1].seconds, 3)
        extra = {"seconds": seconds, "pairs": 0, "epochs": 0, "seed": VALIDATION_SEED}
        print(json.dumps(evaluation.summary(scores) | extra))


def _compare_on_photographs(
    model: str | None,
    path: Path | None,
    against: str,
    noise: Noise,
    level: float | None,
    block: int,
    ensemble: bool,
    adapt: int,
    seed: int,
    figure: Path | None,
    as_json: bool,
) -> None:
    """Measure a model and other methods on whole photographs, and print the table."""
    import torch

    from n2n_lib.cli import inputs
    from n2n_lib.cli.console import make_console
    from n2n_lib.cli.tables import photograph_results, print_photographs
    from n2n_lib.denoiser import linear, plots
    from n2n_lib.denoiser.evaluation import OURS, evaluate_photographs
    from n2n_lib.support import files
    from n2n_lib.support.memory import keep_freed

    methods = [name.strip() for name in against.split(",")]
    for name in methods:
        if name not in METHODS:
            known = ", ".join(METHODS)
            raise UsageError(f"expected --against to name methods out of {known}, got {name!r}")
    if figure is not None:
        files.check_writable(figure.absolute().parent)
    photographs = inputs.clean_photographs(path)
    for name, image in photographs.items():
        inputs.check_blocks(image, name, noise, block)
    denoiser = inputs.load_model(model, noise)
    pairs = {}
    for name, image in photographs.items():
        generator = torch.Generator().manual_seed(seed ^ zlib.crc32(name.encode()))
        pairs[name] = inputs.noisy_and_clean(image, noise, level, block, generator)
    at_level = {} if level is None else {"sigma": level}
    ways = linear.row(linear.fitted(noise=noise.value, **at_level, **linear.FULL_SIZE))
    ways[OURS] = partial(denoiser.predict, sigma=level, ensemble=ensemble)
    if adapt:
        ways[f"{OURS}, adapted"] = lambda image: inputs.adapted_model(
            denoiser, image, level, adapt
        ).predict(image, sigma=level, ensemble=ensemble)
    keep_freed()
    console, scores = make_console(stderr=as_json), []
    for score in evaluate_photographs(pairs, ways, against=methods, sigma=level):
        scores.append(score)
        if not as_json:
            console.print(f"{score.image}: {score.name} {score.psnr:.2f} dB", style="dim")
    told = "" if level is None else f", sigma {level:g}"
    print_photographs(console, scores, f"{noise.value} noise{told}")
    console.print(str(denoiser.chooser))
    if figure is not None:
        plots.save_figure(plots.show_crops(scores, pairs), figure)
    if as_json:
        print(json.dumps(photograph_results(scores, noise, level, seed)))

"""``n2n denoise``: clean images."""

from __future__ import annotations

import sys
import unicodedata
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from n2n_lib.cli.options import (
    MODEL_HELP,
    AdaptOption,
    BlockOption,
    EnsembleOption,
    Noise,
    SeedOption,
    ThreadsOption,
    UsageError,
    check_adapt,
    check_at_least,
    check_seed,
    noise_level,
    use_threads,
)

HELD = 1 << 28
"""Bytes of decoded images that wait for their turn; what is beyond is decoded once more."""


def denoise(
    context: typer.Context,
    images: Annotated[
        list[Path], typer.Argument(help="Image files of any size, or folders of them.")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help=MODEL_HELP,
            show_default="unet-camera where neighbouring pixels share their noise, as in pictures "
            "of a camera, and else unet; unet with --sigma or --adapt; bestmodel, unet-camera with "
            "--noise pixels, camera",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("denoised"),
    noise: Annotated[
        Noise | None,
        typer.Option(
            help="Take the images for clean ones and add this noise first; the titles then tell "
            "the PSNR.",
            show_default="none: the images are noisy already",
        ),
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation of the gaussian noise in the images, in grey levels of 255.",
            show_default="25 with --noise gaussian, else measured in each image",
        ),
    ] = None,
    strength: Annotated[
        float,
        typer.Option(
            help="How much to take away, from 0 to 2: 0.7 leaves three tenths of the noise, 2 "
            "cleans twice."
        ),
    ] = 1.0,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Also write NAME-noise.png: how strong the noise is by brightness, and how alike "
            "neighbouring pixels are.",
        ),
    ] = False,
    block: BlockOption = 6,
    ensemble: EnsembleOption = False,
    adapt: AdaptOption = 0,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
) -> None:
    """Clean images and draw each one beside its noisy version.

    Writes NAME-denoised, a file of the same kind (but PNG for JPEG, which would lose again), and
    NAME-comparison.png for every image.
    """
    import torch

    from n2n_lib.cli.inputs import (
        adapted_model,
        check_blocks,
        load_model,
        measured_level,
        noisy_and_clean,
        predicted,
    )
    from n2n_lib.denoiser import image_files, plots
    from n2n_lib.denoiser.estimate import measure_noise
    from n2n_lib.denoiser.images import find_images, save_image
    from n2n_lib.denoiser.texture import taken_away, within_noise
    from n2n_lib.support import files
    from n2n_lib.support.memory import keep_freed

    check_at_least(block, "--block", 1)
    check_seed(seed)
    use_threads(context, threads)
    found = [file for path in images for file in (find_images(path) if path.is_dir() else [path])]
    paths = list(dict.fromkeys(found))  # a file that was named twice is cleaned once
    check_names(paths)
    level = noise_level(noise or Noise.gaussian, sigma)
    check_adapt(adapt, noise or Noise.gaussian)
    if not 0 <= strength <= 2:
        raise UsageError(f"expected --strength from 0 to 2, got {strength}")
    own_choice = model is None and noise is None and sigma is None and not adapt
    network = cache(lambda name: load_model(name, noise or Noise.gaussian))
    if not own_choice:
        network(model)  # which may not exist
    decoded, targets, held = {}, {}, 0
    for path in paths:  # read every one before the first is written
        image, kept = image_files.read_image(path)
        check_blocks(image, path, noise, block)
        endings = [f"denoised{kept.suffix}", "comparison.png"] + ["noise.png"] * explain
        targets[path] = [out / f"{path.stem}-{ending}" for ending in endings]
        held += image.nbytes
        if held <= HELD:
            decoded[path] = image, kept
        del image, kept
    check_targets(targets)
    files.make_writable(out)
    keep_freed()
    generator = torch.Generator().manual_seed(seed)
    for path in paths:
        image, kept = decoded.pop(path, None) or image_files.read_image(path)
        noisy, clean = image, None
        if noise is not None:
            noisy, clean = noisy_and_clean(image, noise, level, block, generator)
        measure = measure_noise(noisy)
        denoiser = network(measure.network if own_choice else model)
        knows_levels = denoiser.sigma is not None
        if noise is None and sigma is None and (knows_levels or adapt):
            level = measured_level(noisy, measure)
        adapted = adapted_model(denoiser, noisy, level, adapt)
        shared = measure.channels if noise is None else 0.0  # what is added here is not shared
        cleaned = predicted(
            adapted, noisy, sigma=level, shared=shared, ensemble=ensemble, strength=strength
        )
        if own_choice:
            cleaned = within_noise(noisy, cleaned, measure)
        if noise is Noise.pixels:  # the image has shrunk
            kept = replace(kept, alpha=None, dpi=None)
        save_image(cleaned, targets[path][0], kept=kept)
        shown = plots.show_images([noisy, cleaned], ["before", "after"], height=4.0)
        if clean is not None:
            shown = plots.show_denoising(noisy, cleaned, clean, height=4.0)
        plots.save_figure(shown, targets[path][1])
        if explain:
            plots.save_figure(plots.show_noise(measure), targets[path][2])
        told = [f"noise of {level:.1f} grey levels"] if level and knows_levels else []
        if own_choice:
            told = [f"{measure}: {measure.network}"]
            expected = measure.sigma / 2 if strength >= 1 and measure.sigma >= 1 else 0.0
            if taken_away(noisy, cleaned) < expected:
                told.append("less than half of that was taken away")
        told += kept.remarks
        print(f"{path} -> {targets[path][0]}" + (f" ({'; '.join(told)})" if told else ""))
    if paths:
        print(adapted.chooser, file=sys.stderr)


def check_names(paths: list[Path]) -> None:
    """Raise if two images would write one file, also where a file system minds no capitals."""
    seen: dict[str, Path] = {}
    for path in paths:
        other = seen.setdefault(unicodedata.normalize("NFC", path.stem).casefold(), path)
        if other is not path:
            raise UsageError(
                f"expected images of different names, got {other} and {path}, which would both "
                f"become {path.stem}-denoised"
            )


def check_targets(targets: dict[Path, list[Path]]) -> None:
    """Raise if what is written for an image would replace an image that is read."""
    sources = {path.resolve() for path in targets}
    for path, written in targets.items():
        for target in written:
            if target.resolve() in sources:
                raise UsageError(f"expected --out where no image is lost, got {target} for {path}")

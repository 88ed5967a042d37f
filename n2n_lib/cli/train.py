"""``n2n train``: train a network on noisy pairs."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from n2n_lib.cli.options import (
    JsonOption,
    Noise,
    NoiseOption,
    QuietOption,
    SeedOption,
    SigmaRangeOption,
    ThreadsOption,
    UsageError,
    check_at_least,
    check_below_one,
    check_jitter,
    check_positive,
    check_seed,
    find_device,
    names_in,
    noise_level,
    read_number,
    read_number_or_range,
    read_range,
    use_threads,
)

if TYPE_CHECKING:
    from n2n_lib.denoiser.model import Model

DTYPES = ("float32", "float64", "bfloat16", "float16")
"""Precisions, by PyTorch's names."""

OPTIMISERS = names_in("framework.optim", "OPTIMISERS")
SCHEDULES = names_in("framework.schedules", "SCHEDULES")
NETWORKS = names_in("denoiser.networks", "NETWORKS")

FRAMES = {
    "steps": 600,
    "batch": 4,
    "patch": 64,
    "optimiser": "adam",
    "schedule": "warmup-cosine",
    "ema": 0.99,
}
"""What other options are with --frames, unless they are given: some minutes on one core."""

FRAMES_EPOCH = 100
"""Steps to an epoch with --frames."""

PHOTOGRAPHS_ONLY = "pairs epochs noise sigma scale jitter clean_targets data_path".split()
"""Options that mean nothing with --frames."""


def train(
    context: typer.Context,
    pairs: Annotated[int, typer.Option(help="Noisy pairs drawn from photographs.")] = 50_000,
    epochs: Annotated[int, typer.Option(help="How often each pair is seen.")] = 8,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Draw fresh pairs while training, for this many steps, in place of --pairs and "
            "--epochs; an epoch is then 500 steps.",
            show_default="train on --pairs for --epochs",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Pairs per step.")] = 16,
    optimiser: Annotated[str, typer.Option(help=f"One of {', '.join(OPTIMISERS)}.")] = "sgd",
    lr: Annotated[
        float | None,
        typer.Option(
            help="Highest learning rate.",
            show_default="4 for sgd, 0.04 with --start, see docs/using.md",
        ),
    ] = None,
    schedule: Annotated[
        str,
        typer.Option(help=f"How the learning rate changes: {', '.join(SCHEDULES)}."),
    ] = "cosine",
    ema: Annotated[
        float,
        typer.Option(
            help="Share of the running mean of the weights that each step keeps, such as 0.999; "
            "0: no mean."
        ),
    ] = 0.0,
    network: Annotated[
        str,
        typer.Option(help=f"Network to train: {', '.join(NETWORKS)}."),
    ] = "report",
    network_options: Annotated[
        str,
        typer.Option(
            "--network-options",
            help="Arguments of the network's constructor, such as width=48,depth=3.",
            show_default="none",
        ),
    ] = "",
    start: Annotated[
        str | None,
        typer.Option(
            help="Start from the weights of a saved model, whose network is then trained further.",
            show_default="random weights",
        ),
    ] = None,
    noise: NoiseOption = Noise.pixels,
    sigma: SigmaRangeOption = None,
    patch: Annotated[int, typer.Option(help="Height and width of the training images.")] = 32,
    scale: Annotated[
        str,
        typer.Option(
            help="For all noise but pixels: by how much photographs are shrunk before patches are "
            "cut, a range."
        ),
    ] = "1-8",
    jitter: Annotated[
        float,
        typer.Option(
            help="For all noise but pixels: vary brightness, contrast and saturation of the "
            "training images by as much as this, 0 to 1."
        ),
    ] = 0.0,
    clean_targets: Annotated[
        bool,
        typer.Option(
            "--clean-targets",
            help="With --steps: train towards clean images, which Noise2Noise does without; for "
            "comparison.",
        ),
    ] = False,
    weight_floor: Annotated[
        float,
        typer.Option(
            help="Weigh pairs by the inverse variance of their noise, to which the square of so "
            "many grey levels is added: where noise differs, so that the strongest does not "
            "decide alone. 3 suits cameras.",
            show_default="0: all pairs count alike",
        ),
    ] = 0.0,
    data_path: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="train_data.pkl of the course, a folder with it (and val_data.pkl), or a folder "
            "of photographs.",
            show_default="six photographs that come with the packages",
        ),
    ] = None,
    frames: Annotated[
        Path | None,
        typer.Option(
            help="Train on your own noisy frames of one scene and clean them: a folder of images, "
            "a folder of such folders, or a TIFF stack. From the weights of unet or unet-camera, "
            "whichever cleans these frames better, unless --start or --network tell; "
            f"--steps {FRAMES['steps']}, --batch {FRAMES['batch']}, --patch "
            f"{FRAMES['patch']}, --optimiser {FRAMES['optimiser']}, --schedule "
            f"{FRAMES['schedule']}, --ema {FRAMES['ema']}; an epoch is {FRAMES_EPOCH} steps.",
            show_default="train on photographs",
        ),
    ] = None,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    device: Annotated[
        str,
        typer.Option(help="Where to compute: auto (a GPU if there is one), cpu, cuda or mps."),
    ] = "cpu",
    dtype: Annotated[
        str, typer.Option(help=f"Precision of weights and images: {', '.join(DTYPES)}.")
    ] = "float32",
    out: Annotated[Path, typer.Option(help="Folder for everything that is written.")] = Path("out"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted run of the same settings.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a network on noisy pairs; write the model, its curves and a picture.

    Writes model.pth, checkpoint.pth (after every epoch), curves.png, denoised.png and
    results.json into the folder given with --out. With --frames, no curves, but of every scene
    the first frame cleaned, the mean of all frames, and that mean cleaned.

    With many processes: torchrun --nproc-per-node 2 -m n2n_lib train ... shares every batch among
    them; the weights are those of one process. Only the first one prints and writes.
    """
    import torch  # noqa: F401 (first: a package that looks for it would make nothing of a Ctrl-C)

    from n2n_lib.cli.console import make_console
    from n2n_lib.cli.tables import print_frames, print_thumbnails
    from n2n_lib.denoiser import experiment
    from n2n_lib.denoiser.gains import BASIS
    from n2n_lib.denoiser.recipe import Recipe
    from n2n_lib.denoiser.sampling import Task
    from n2n_lib.denoiser.source import Source
    from n2n_lib.framework.distributed import processes

    if frames is not None:
        given = _given(context)
        steps, batch, patch, optimiser, schedule, ema = (
            context.params[name] if name in given else value for name, value in FRAMES.items()
        )
        # Which of these it will be, the frames decide once they are read.
        choosing = start is None and "network" not in given
        start = experiment.STARTS[0] if choosing else start
    counts = {"--pairs": pairs, "--epochs": epochs, "--batch": batch, "--patch": patch}
    for name, value in (counts | ({} if steps is None else {"--steps": steps})).items():
        check_at_least(value, name, 1)
    if clean_targets and steps is None:
        raise UsageError("expected --steps with --clean-targets, got none")
    check_seed(seed)
    check_below_one(ema, "--ema")
    check_jitter(jitter, noise)
    use_threads(context, threads)
    level = noise_level(noise, None if sigma is None else read_number_or_range(sigma, "--sigma"))
    task = Task(noise.value, patch, level or 25.0, read_range(scale, "--scale"), jitter)
    rate = _learning_rate(lr, optimiser, network, start)
    recipe = Recipe(
        num_pairs=pairs,
        num_epochs=epochs,
        num_steps=steps,
        epoch_steps=Recipe.epoch_steps if frames is None else FRAMES_EPOCH,
        batch_size=batch,
        lr=rate,
        optimiser=optimiser,
        schedule=schedule,
        ema=ema,
        seed=seed,
        clean_targets=clean_targets,
        weight_floor=weight_floor,
        threads=threads,
    )
    device = find_device(device)
    model = _new_model(network, network_options, seed, start, dtype).to(device)
    with processes(device) as group:
        console = make_console(stderr=as_json, quiet=not group.leads)
        watched = {"resume": resume, "progress": not quiet, "say": console.print}
        watched["notes"] = notes = {"start": start}
        if frames is not None:
            source = Source.open_frames(frames)
            if choosing:
                notes["start"] = experiment.best_start(source.scenes, say=console.print)
                model = _new_model(network, network_options, seed, notes["start"], dtype).to(device)
            results = experiment.run_on_frames(model, source, patch, recipe, out, **watched)
        else:
            source = Source.open(data_path)
            if steps is not None and source.pairs is not None:
                raise UsageError(
                    f"expected a folder of photographs with --steps, got pairs in {data_path}"
                )
            done = experiment.run(model, source, task, recipe, out, **watched)
            results = done and done.results
    if results is None:  # not the process that prints
        return
    if frames is not None:
        print_frames(console, results["gains"], BASIS)
        console.print(f"Wrote model.pth, cleaned frames, denoised.png and results.json to {out}.")
    else:
        print_thumbnails(console, done.scores, f"{done.images} validation images")
        console.print(f"Wrote model.pth, curves.png, denoised.png and results.json to {out}.")
    if as_json:
        print(json.dumps(results))


def _given(context: typer.Context) -> set[str]:
    """Return which options were given; raise UsageError for one that --frames leaves no use for."""
    given = {
        parameter.name: parameter.opts[0]
        for parameter in context.command.params
        if context.get_parameter_source(parameter.name).name == "COMMANDLINE"
    }
    for name in PHOTOGRAPHS_ONLY:
        if name in given:
            raise UsageError(f"expected no {given[name]} with --frames, got both")
    return set(given)


def _learning_rate(lr: float | None, optimiser: str, network: str, start: str | None) -> float:
    """Return the highest learning rate; where none is given, one that suits the training."""
    from n2n_lib.denoiser.rates import default_rate

    suitable = default_rate(optimiser, network, trained=start is not None)
    lr = suitable if lr is None else lr
    check_positive(lr, "--lr")
    return lr


def _new_model(network: str, options: str, seed: int, start: str | None, dtype: str) -> Model:
    """Build a network, or load the one to start from; `options` are such as "width=48,depth=3"."""
    import torch

    from n2n_lib.denoiser.model import Model
    from n2n_lib.denoiser.networks import find_network
    from n2n_lib.support import files

    if dtype not in DTYPES:
        raise UsageError(f"expected --dtype to be one of {', '.join(DTYPES)}, got {dtype}")
    known = inspect.signature(find_network(network).build).parameters.keys() - {"generator"}
    arguments = {}
    for part in filter(None, options.split(",")):
        name, _, value = part.partition("=")
        if name not in known:
            allowed = ", ".join(sorted(known)) or "none"
            raise UsageError(
                f"expected --network-options of {network} out of {allowed}, got {part!r}"
            )
        number = read_number(value, f"{name} of --network-options")
        arguments[name] = int(number) if number.is_integer() else number
    try:
        model = Model(network, seed=seed, **arguments)
    except (TypeError, RuntimeError) as error:  # RuntimeError: more memory than there is
        raise UsageError(f"--network-options: {files.brief(error)}") from None
    if start is not None:
        model.load_pretrained_model(start)
    return model.to(getattr(torch, dtype))

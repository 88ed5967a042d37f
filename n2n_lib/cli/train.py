"""``n2n train``: train a network on noisy pairs."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    from torch import Tensor

    from n2n_lib.denoiser.evaluation import Score
    from n2n_lib.denoiser.model import Model
    from n2n_lib.denoiser.stream import PairStream
    from n2n_lib.framework.distributed import Group

HELD_OUT_SEED = 1_000_004
"""Seed of the noisy pairs of the validation photographs that choose the best weights of a run."""


LEARNING_RATES = {"sgd": 4.0, "momentum": 0.4, "nesterov": 0.4, "adagrad": 1e-2, "adam": 1e-3}
"""Highest learning rate where none is given, for the report's network."""


DTYPES = ("float32", "float64", "bfloat16", "float16")
"""Precisions, by PyTorch's names."""

OPTIMISERS = names_in("framework.optim", "OPTIMISERS")
SCHEDULES = names_in("framework.schedules", "SCHEDULES")
NETWORKS = names_in("denoiser.networks", "NETWORKS")


def train(
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
        typer.Option(help="Highest learning rate.", show_default="4 for sgd, see docs/using.md"),
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
    data_path: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="train_data.pkl of the course, a folder with it (and val_data.pkl), or a folder "
            "of photographs.",
            show_default="six photographs that come with the packages",
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
    results.json into the folder given with --out.

    With many processes: torchrun --nproc-per-node 2 -m n2n_lib train ... shares every batch among
    them; the weights are those of one process. Only the first one prints and writes.
    """
    import torch

    from n2n_lib.cli.console import make_console
    from n2n_lib.cli.inputs import validation_images
    from n2n_lib.cli.tables import OURS, print_thumbnails, thumbnail_results
    from n2n_lib.denoiser.evaluation import evaluate
    from n2n_lib.denoiser.model import check_training_pairs
    from n2n_lib.framework.distributed import processes
    from n2n_lib.framework.optim import find_optimiser
    from n2n_lib.framework.schedules import find_schedule
    from n2n_lib.support import files

    for value, name in (
        (pairs, "--pairs"),
        (epochs, "--epochs"),
        (batch, "--batch"),
        (patch, "--patch"),
        (1 if steps is None else steps, "--steps"),
    ):
        check_at_least(value, name, 1)
    if clean_targets and steps is None:
        raise UsageError("expected --steps with --clean-targets, got none")
    check_seed(seed)
    find_optimiser(optimiser)
    find_schedule(schedule)
    lr = LEARNING_RATES[optimiser] if lr is None else lr
    check_positive(lr, "--lr")
    check_below_one(ema, "--ema")
    level = noise_level(noise, None if sigma is None else read_number_or_range(sigma, "--sigma"))
    scales = read_range(scale, "--scale")
    check_jitter(jitter, noise)
    device = find_device(device)
    if dtype not in DTYPES:
        raise UsageError(f"expected --dtype to be one of {', '.join(DTYPES)}, got {dtype}")
    model = _new_model(network, network_options, seed)
    if start is not None:
        model.load_pretrained_model(start)
    model.to(getattr(torch, dtype)).to(device)
    use_threads(threads)
    with processes(device) as group:
        console = make_console(stderr=as_json, quiet=not group.leads)
        started = time.perf_counter()
        task = {"noise": noise.value, "sigma": level or 25.0, "size": patch, "scale": scales}
        training = task | {"jitter": jitter}
        if steps is None:
            noisy1, noisy2, source = _training_pairs(data_path, pairs, training, seed)
            check_training_pairs(noisy1, noisy2)
            held_out = None
        else:
            stream = _stream(data_path, batch, training, clean_targets, seed)
            held_out = _held_out_pairs(task)
        noisy, clean = validation_images(data_path, task)
        files.make_writable(out)
        checkpoint = out / "checkpoint.pth"
        if checkpoint.exists() and not resume:
            console.print(f"Starting anew; {checkpoint} of an earlier run will be replaced.")
        common = {
            "lr": lr,
            "optimiser": optimiser,
            "schedule": schedule,
            "ema": ema,
            "val_input": noisy,
            "val_target": clean,
            "held_out": held_out,
            "checkpoint": checkpoint,
            "resume": resume,
            "progress": not quiet,
        }
        with _weights_kept(model, group, out):
            if steps is None:
                console.print(
                    f"{len(noisy1)} noisy pairs from {source}, {torch.get_num_threads()} threads."
                )
                model.train(noisy1, noisy2, epochs, batch_size=batch, seed=seed, **common)
                count = len(noisy1)
            else:
                console.print(f"Fresh pairs for {steps} steps, {torch.get_num_threads()} threads.")
                model.train_stream(stream, steps, **common)
                count = batch * len(model.history.losses)
        if not group.leads:
            return
        trained = sum(model.history.seconds)
        one_level = None if isinstance(level, tuple) else level
        model.sigma = one_level or model.sigma
        model.save_model(out / "model.pth")

        console.print(
            f"Trained in {trained:.0f} s. Comparing on {len(noisy)} validation images ..."
        )
        rows = evaluate(noisy, clean, {OURS: model.predict}, sigma=one_level)
        _draw_training(model, rows, noisy, clean, out)
        results = thumbnail_results(rows) | {
            "seconds": round(trained, 3),
            "seconds_total": round(time.perf_counter() - started, 3),
            "pairs": count,
            "epochs": model.history.epochs,
            "network": model.network_name,
            "network_options": model.arguments,
            "start": start,
            "batch": batch,
            "optimiser": optimiser,
            "schedule": schedule,
            "ema": ema,
            "lr": lr,
            "jitter": jitter,
            "clean_targets": clean_targets,
            "seed": seed,
            **task,
            "sigma": level,
        }
        files.write_atomically(
            out / "results.json", lambda file: file.write(json.dumps(results, indent=2).encode())
        )
        print_thumbnails(console, rows, f"{len(noisy)} validation images")
        console.print(f"Wrote model.pth, curves.png, denoised.png and results.json to {out}.")
        if as_json:
            print(json.dumps(results))


@contextmanager
def _weights_kept(model: Model, group: Group, out: Path) -> Iterator[None]:
    """Save what a diverging run had reached before, and say where it is."""
    from n2n_lib.denoiser.model import DivergedError

    try:
        yield
    except DivergedError as error:
        if not (group.leads and model.history.epochs):
            raise
        path = model.save_model(out / "model.pth")
        raise DivergedError(f"{error}; the weights before it are in {path}") from None


def _draw_training(
    model: Model, rows: Sequence[Score], noisy: Tensor, clean: Tensor, out: Path
) -> None:
    """Draw the loss and the PSNR beside those of `rows`, and some denoised images."""
    from n2n_lib.cli.tables import OURS
    from n2n_lib.denoiser import plots

    levels = {row.name: row.psnr for row in rows if row.name != OURS}
    history, few = model.history, slice(0, min(6, len(noisy)))
    plots.save_figure(
        plots.show_training(history.losses, history.val_psnr, levels), out / "curves.png"
    )
    plots.save_figure(
        plots.show_denoising(noisy[few], model.predict(noisy[few]), clean[few], across=True),
        out / "denoised.png",
    )


def _training_pairs(
    path: Path | None, count: int, task: dict, seed: int
) -> tuple[Tensor, Tensor, str]:
    """Return two noisy batches and where they come from. No clean image is made."""
    import torch

    from n2n_lib.cli.inputs import course_file
    from n2n_lib.denoiser.images import load_images, load_pairs
    from n2n_lib.denoiser.photographs import photographs
    from n2n_lib.denoiser.sampling import sample_pairs

    found = course_file(path, "train_data.pkl", any_name=True)
    if found is not None:
        first, second = load_pairs(found)
        return first[:count], second[:count], str(found)
    images = None if path is None else load_images(path)
    generator = torch.Generator().manual_seed(seed)
    drawn = sample_pairs(count, images=images, **task, generator=generator, with_clean=False)
    number = len(images) if images is not None else len(photographs("train"))
    return drawn.noisy1, drawn.noisy2, f"{number} photographs"


def _stream(
    path: Path | None, batch: int, task: dict, clean_targets: bool, seed: int
) -> PairStream:
    """Return an endless stream of pairs from photographs."""
    from n2n_lib.cli.inputs import course_file
    from n2n_lib.denoiser.images import load_images
    from n2n_lib.denoiser.stream import PairStream

    if course_file(path, "train_data.pkl", any_name=True) is not None:
        raise UsageError(f"expected a folder of photographs with --steps, got pairs in {path}")
    images = None if path is None else load_images(path)
    return PairStream(batch, images=images, **task, clean_targets=clean_targets, seed=seed)


def _held_out_pairs(task: dict) -> tuple[Tensor, Tensor]:
    """Return noisy pairs of the validation photographs. No clean image is made."""
    import torch

    from n2n_lib.cli.inputs import validation_count
    from n2n_lib.denoiser.sampling import sample_pairs

    generator = torch.Generator().manual_seed(HELD_OUT_SEED)
    count = validation_count(task)
    drawn = sample_pairs(count, split="validation", **task, generator=generator, with_clean=False)
    return drawn.noisy1, drawn.noisy2


def _new_model(network: str, options: str, seed: int) -> Model:
    """Build a network; `options` are such as "width=48,depth=3"."""
    from n2n_lib.denoiser.model import Model
    from n2n_lib.denoiser.networks import find_network
    from n2n_lib.support import files

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
        return Model(network, seed=seed, **arguments)
    except (TypeError, RuntimeError) as error:  # RuntimeError: more memory than there is
        raise UsageError(f"--network-options: {files.brief(error)}") from None

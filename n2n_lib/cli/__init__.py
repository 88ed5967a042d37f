"""The command line ``n2n``: train, denoise, evaluate; keep lessons fresh, hand out, grade."""

from __future__ import annotations

import inspect
import json
import os
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor

from n2n_lib.course import doctor as self_test
from n2n_lib.course.edition import Report, make_edition
from n2n_lib.course.grading.judge import has_bubblewrap
from n2n_lib.course.grading.run import Grade, Limits, grade
from n2n_lib.course.notebooks import execute, find_lessons
from n2n_lib.denoiser import bench as benchmark
from n2n_lib.denoiser import data, plots
from n2n_lib.denoiser.classical import ALL_METHODS, estimate_sigma
from n2n_lib.denoiser.evaluation import (
    DO_NOTHING,
    PhotographRow,
    Row,
    evaluate,
    evaluate_photographs,
)
from n2n_lib.denoiser.metrics import PSNR_DEFINITIONS
from n2n_lib.denoiser.model import PRETRAINED, DivergedError, Model, check_training_pairs
from n2n_lib.denoiser.networks import NETWORKS, find_network
from n2n_lib.denoiser.noise import make_noise, pixel_sampling
from n2n_lib.denoiser.stream import PairStream
from n2n_lib.framework.distributed import Group, processes
from n2n_lib.framework.optim import OPTIMISERS, SCHEDULES, find_optimiser, find_schedule
from n2n_lib.support import files
from n2n_lib.support.memory import keep_freed

app = typer.Typer(
    name="n2n",
    help="A denoiser that learns from noisy images only, in a framework built by hand.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

VALIDATION_COUNT = 1000
"""Thumbnails of the two validation photographs that a table is computed on."""

VALIDATION_SEED = 1_000_003
"""Seed of those thumbnails, the same whatever the training seed is."""

HELD_OUT_SEED = 1_000_004
"""Seed of the noisy pairs of the validation photographs that choose the best weights of a run."""

OURS = "our network"

LEARNING_RATES = {"sgd": 4.0, "momentum": 0.4, "nesterov": 0.4, "adagrad": 1e-2, "adam": 1e-3}
"""Highest learning rate where none is given, for the report's network."""


DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
"""Precisions by name."""


class Noise(str, Enum):
    """The noise models by name."""

    pixels = "pixels"
    gaussian = "gaussian"
    poisson = "poisson"
    bernoulli = "bernoulli"


class UsageError(ValueError):
    """What the user asked for cannot be done."""


NoiseOption = Annotated[Noise, typer.Option(help="Noise of the training and validation images.")]
SigmaOption = Annotated[
    float, typer.Option(help="Standard deviation of gaussian noise, in grey levels of 255.")
]
SigmaRangeOption = Annotated[
    str,
    typer.Option(
        help="Standard deviation of gaussian noise, in grey levels of 255: one number, or a range "
        "such as 5-50 out of which every pair draws its own."
    ),
]
SeedOption = Annotated[int, typer.Option(help="Seed of data, weights and order.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object as the last line of the output.")
]
ThreadsOption = Annotated[
    int | None, typer.Option(help="Threads.", show_default="PyTorch's choice")
]
BlockOption = Annotated[
    int, typer.Option(help="With --noise pixels: the image shrinks by this factor.")
]
EnsembleOption = Annotated[
    bool,
    typer.Option(
        "--ensemble",
        help="Average over the eight turned and mirrored versions of an image: a little better, "
        "eight times as slow.",
    ),
]
AdaptOption = Annotated[
    int,
    typer.Option(
        help="With gaussian noise: train a copy of the network for so many steps on each noisy "
        "image itself, before it cleans that image. Clearly better, and takes minutes; try 600.",
        show_default="0: as the model is",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
MODEL_HELP = f"A saved model, or one that is shipped: {', '.join(PRETRAINED)}."


@app.command()
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
        typer.Option(help="Highest learning rate.", show_default="4 for sgd, see the README"),
    ] = None,
    schedule: Annotated[
        str, typer.Option(help=f"How the learning rate changes: {', '.join(SCHEDULES)}.")
    ] = "cosine",
    ema: Annotated[
        float,
        typer.Option(
            help="Share of the running mean of the weights that each step keeps, such as 0.999; "
            "0: no mean."
        ),
    ] = 0.0,
    network: Annotated[
        str, typer.Option(help=f"Network to train: {', '.join(NETWORKS)}.")
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
    sigma: SigmaRangeOption = "25",
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
    for value, name in (
        (pairs, "--pairs"),
        (epochs, "--epochs"),
        (batch, "--batch"),
        (patch, "--patch"),
        (1 if steps is None else steps, "--steps"),
    ):
        _check_at_least(value, name, 1)
    if clean_targets and steps is None:
        raise UsageError("expected --steps with --clean-targets, got none")
    _check_seed(seed)
    find_optimiser(optimiser)
    find_schedule(schedule)
    lr = LEARNING_RATES[optimiser] if lr is None else lr
    _check_positive(lr, "--lr")
    _check_below_one(ema, "--ema")
    level, scales = _number_or_range(sigma, "--sigma"), _range(scale, "--scale")
    make_noise(noise.value, level)
    _check_jitter(jitter, noise)
    device = _device(device)
    if dtype not in DTYPES:
        raise UsageError(f"expected --dtype to be one of {', '.join(DTYPES)}, got {dtype}")
    model = _new_model(network, network_options, seed)
    if start is not None:
        model.load_pretrained_model(start)
    model.to(DTYPES[dtype]).to(device)
    _use_threads(threads)
    with processes(device) as group:
        console = Console(stderr=as_json, quiet=not group.leads)
        started = time.perf_counter()
        task = {"noise": noise.value, "sigma": level, "size": patch, "scale": scales}
        training = task | {"jitter": jitter}
        if steps is None:
            noisy1, noisy2, source = _training_pairs(data_path, pairs, training, seed)
            check_training_pairs(noisy1, noisy2)
            held_out = None
        else:
            stream = _stream(data_path, batch, training, clean_targets, seed)
            held_out = _held_out_pairs(task)
        noisy, clean = _validation_images(data_path, task)
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
        if noise is Noise.gaussian and not isinstance(level, tuple):
            model.sigma = level
        model.save_model(out / "model.pth")

        console.print(
            f"Trained in {trained:.0f} s. Comparing on {len(noisy)} validation images ..."
        )
        rows = evaluate(noisy, clean, {OURS: model.predict}, sigma=_known_sigma(noise, level))
        _draw_training(model, rows, noisy, clean, out)
        results = _results(rows) | {
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
        }
        files.write_atomically(
            out / "results.json", lambda file: file.write(json.dumps(results, indent=2).encode())
        )
        _print_table(console, rows, f"{len(noisy)} validation images")
        console.print(f"Wrote model.pth, curves.png, denoised.png and results.json to {out}.")
        if as_json:
            print(json.dumps(results))


@contextmanager
def _weights_kept(model: Model, group: Group, out: Path) -> Iterator[None]:
    """Save what a diverging run had reached before, and say where it is."""
    try:
        yield
    except DivergedError as error:
        if not (group.leads and model.history.epochs):
            raise
        path = model.save_model(out / "model.pth")
        raise DivergedError(f"{error}; the weights before it are in {path}") from None


def _draw_training(
    model: Model, rows: Sequence[Row], noisy: Tensor, clean: Tensor, out: Path
) -> None:
    """Draw the loss and the PSNR beside those of `rows`, and some denoised images."""
    levels = {row.name: row.psnr for row in rows if row.name != OURS}
    history, few = model.history, slice(0, min(6, len(noisy)))
    _save_figure(plots.show_training(history.losses, history.val_psnr, levels), out / "curves.png")
    _save_figure(
        plots.show_denoising(noisy[few], model.predict(noisy[few]), clean[few], across=True),
        out / "denoised.png",
    )


@app.command()
def denoise(
    images: Annotated[list[Path], typer.Argument(help="Image files of any size.")],
    model: Annotated[
        str | None,
        typer.Option(help=MODEL_HELP, show_default="unet; bestmodel with --noise pixels"),
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
            show_default="25 with --noise, else estimated from each image",
        ),
    ] = None,
    block: BlockOption = 6,
    ensemble: EnsembleOption = False,
    adapt: AdaptOption = 0,
    seed: SeedOption = 0,
) -> None:
    """Clean images and draw each one beside its noisy version.

    Writes NAME-denoised.png and NAME-comparison.png for every image.
    """
    _check_at_least(block, "--block", 1)
    _check_seed(seed)
    names = [path.stem for path in images]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"expected images of different names, got {name!r} twice")
    if noise is not None and sigma is None:
        sigma = 25.0
    if sigma is not None:
        make_noise("gaussian" if noise is None else noise.value, sigma)
    _check_adapt(adapt, noise or Noise.gaussian)
    denoiser = _load_model(model, noise or Noise.gaussian)
    for path in images:  # read every one before the first is written
        _check_blocks(data.load_image(path), path, noise, block)
    files.make_writable(out)
    keep_freed()
    generator = torch.Generator().manual_seed(seed)
    for path in images:
        image = data.load_image(path)
        noisy, clean = image, None
        if noise is not None:
            noisy, clean = _noisy_and_clean(image, noise, sigma, block, generator)
        level = sigma
        if level is None:  # less than one grey level is rounding
            level = max(1.0, estimate_sigma(data.to_unit(noisy)))
        adapted = _adapted(denoiser, noisy, level, adapt)
        cleaned = adapted.predict(noisy, sigma=level, ensemble=ensemble)
        target = out / f"{path.stem}-denoised.png"
        data.save_image(cleaned, target)
        shown = plots.show_images([noisy, cleaned], ["before", "after"], height=4.0)
        if clean is not None:
            shown = plots.show_denoising(noisy, cleaned, clean, height=4.0)
        _save_figure(shown, out / f"{path.stem}-comparison.png")
        told = f" (noise of {level:.1f} grey levels)" if denoiser.sigma is not None else ""
        print(f"{path} -> {target}{told}")


@app.command("evaluate")
def evaluate_command(
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
    _check_at_least(block, "--block", 1)
    _check_seed(seed)
    _check_adapt(adapt, noise)
    if against is None:
        if figure is not None:
            raise UsageError("expected --against with --figure, got none")
        if adapt:
            raise UsageError("expected --against with --adapt, got none")
        denoiser = _load_model(model, noise)
        _evaluate_thumbnails(denoiser, data_path, noise, sigma, ensemble, as_json)
        return
    methods = [name.strip() for name in against.split(",")]
    for name in methods:
        if name not in ALL_METHODS:
            known = ", ".join(ALL_METHODS)
            raise UsageError(f"expected --against to name methods out of {known}, got {name!r}")
    if figure is not None:
        files.check_writable(figure.absolute().parent)
    photographs = _photographs(data_path)
    for name, image in photographs.items():
        _check_blocks(image, name, noise, block)
    denoiser = _load_model(model, noise)
    pairs = {}
    for name, image in photographs.items():
        generator = torch.Generator().manual_seed(seed ^ zlib.crc32(name.encode()))
        pairs[name] = _noisy_and_clean(image, noise, sigma, block, generator)
    console = Console(stderr=as_json)
    level = _known_sigma(noise, sigma)
    ways = {OURS: partial(denoiser.predict, sigma=level, ensemble=ensemble)}
    if adapt:
        ways[f"{OURS}, adapted"] = lambda image: _adapted(denoiser, image, level, adapt).predict(
            image, sigma=level, ensemble=ensemble
        )
    keep_freed()
    rows = []
    for row in evaluate_photographs(pairs, ways, against=methods, sigma=level):
        rows.append(row)
        if not as_json:
            console.print(f"{row.image}: {row.name} {row.psnr:.2f} dB", style="dim")
    _print_photographs(console, rows, f"{noise.value} noise" + _level(noise, sigma))
    if figure is not None:
        _save_figure(plots.show_crops(rows, pairs), figure)
    if as_json:
        print(json.dumps(_photograph_results(rows, noise, sigma, seed)))


def _evaluate_thumbnails(
    denoiser: Model, path: Path | None, noise: Noise, sigma: float, ensemble: bool, as_json: bool
) -> None:
    """Measure a model on thumbnails and print the table."""
    task = {"noise": noise.value, "sigma": sigma, "size": 32}
    noisy, clean = _validation_images(path, task, path_is_validation=True)
    level = _known_sigma(noise, sigma)
    ways = {OURS: partial(denoiser.predict, sigma=level, ensemble=ensemble)}
    rows = evaluate(noisy, clean, ways, sigma=level)
    _print_table(Console(stderr=as_json), rows, f"{len(noisy)} images")
    if as_json:
        ours = rows[-1]
        extra = {
            "seconds": round(ours.seconds, 3),
            "pairs": 0,
            "epochs": 0,
            "seed": VALIDATION_SEED,
        }
        print(json.dumps(_results(rows) | extra))


@app.command()
def notebooks(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Lessons to run.", show_default="all")
    ] = None,
    timeout: Annotated[int, typer.Option(help="Seconds that one cell may take.")] = 600,
) -> None:
    """Re-execute the lessons and save them with fresh outputs."""
    _check_at_least(timeout, "--timeout", 1)
    execute(paths or find_lessons(), timeout=timeout)


@app.command("grade")
def grade_command(
    submissions: Annotated[
        Path,
        typer.Argument(
            help="A folder with a folder or zip file for each student, or that of one student."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The CSV file of points to write.")],
    source: Annotated[
        Path | None,
        typer.Option(help="Folder of the instructor's lessons.", show_default="notebooks"),
    ] = None,
    feedback: Annotated[
        Path | None, typer.Option(help="Write an HTML page for each student to this folder.")
    ] = None,
    timeout: Annotated[int, typer.Option(help="Seconds that one answer may take.")] = 60,
    memory: Annotated[int, typer.Option(help="MB that one answer may use (Linux).")] = 2048,
    jobs: Annotated[int, typer.Option(help="Students that are graded at a time.")] = 2,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Grade what students handed in; the same command goes on after an interruption."""
    _check_at_least(timeout, "--timeout", 1)
    _check_at_least(memory, "--memory", 1)
    _check_at_least(jobs, "--jobs", 1)
    console = Console(stderr=json_output)
    limits = Limits(timeout, memory, closed=has_bubblewrap())
    if limits.closed:
        console.print("Answers run in bubblewrap: without network, all files read-only.")
    else:
        console.print(
            "Answers run without bubblewrap (bwrap): only Python keeps them off network and files."
        )
    grades = grade(
        submissions,
        out,
        source=source,
        feedback=feedback,
        limits=limits,
        jobs=jobs,
        progress=not quiet,
    )
    _print_grades(console, grades, out)
    if json_output:
        students = {each.student: {"total": each.total, "remarks": each.remarks} for each in grades}
        print(
            json.dumps(
                {"out": str(out), "maximum": grades[0].maximum, "closed_in": limits.closed}
                | {"students": students}
            )
        )


def _print_grades(console: Console, grades: Sequence[Grade], out: Path) -> None:
    table = Table(caption=f"of {grades[0].maximum:g} points; written to {out}")
    table.add_column("student")
    table.add_column("points", justify="right")
    table.add_column("remarks", justify="right")
    for each in grades:
        table.add_row(Text(each.student), f"{each.total:g}", str(len(each.remarks) or ""))
    console.print(table)


@app.command()
def student(
    folder: Annotated[
        Path, typer.Argument(metavar="DEST", help="Folder of the edition; made if missing.")
    ],
    source: Annotated[
        Path | None,
        typer.Option(help="Folder of the instructor's lessons.", show_default="notebooks"),
    ] = None,
    library: Annotated[
        bool,
        typer.Option(
            "--library",
            help="Write n2n_lib, too, and what it is installed with: the folder can then be handed "
            "out by itself.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the lessons without their solutions, for students; or update such a folder.

    What a student has worked in is never overwritten. If it has a newer version, this is written
    beside it: 03_convolution.new.ipynb beside 03_convolution.ipynb. To get a lesson afresh, rename
    or delete the file.
    """
    report = make_edition(folder, source, library=library)
    _print_edition(Console(stderr=as_json), report, folder)
    if as_json:
        print(json.dumps(asdict(report)))


def _print_edition(console: Console, report: Report, folder: Path) -> None:
    """Say what became of each file, in one line for each kind of outcome."""
    console.print(f"Student edition in {folder}:", highlight=False)
    lines = {
        "written": report.written,
        "updated": report.updated,
        "up to date": report.unchanged,
        "yours, kept": report.kept,
        "newer, beside yours": list(report.beside.values()),
    }
    table = Table.grid(padding=(0, 2))
    for outcome, names in lines.items():
        if names:
            shown = ", ".join(names) if len(names) <= 15 else f"{len(names)} files"
            table.add_row(outcome, shown)
    console.print(table)


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Check this computer for the lessons, and say how to mend what is wrong."""
    raise typer.Exit(self_test.run(as_json))


@app.command()
def bench(
    seconds: Annotated[float, typer.Option(help="Time for each case, about.")] = 20.0,
    cases: Annotated[
        str, typer.Option(help="Measure only the cases whose name holds this text.")
    ] = "",
    compiled: Annotated[
        bool, typer.Option("--compile/--no-compile", help="Measure torch.compile too.")
    ] = True,
    memory: Annotated[
        bool, typer.Option("--memory/--no-memory", help="Measure peak memory too (Linux).")
    ] = True,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Write all figures to this file.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw a bar chart to this file.")] = None,
    full_runs: Annotated[
        bool,
        typer.Option(
            "--full-runs",
            help="Time whole trainings instead, 50 000 pairs x 8 epochs at batch 4 and 16, beside "
            "the same in torch.nn: some minutes.",
        ),
    ] = False,
    threads: ThreadsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Measure our speed beside PyTorch's: the rows of a case take turns, medians of many.

    Each case has a process of its own, so that none finds the memory as another one left it.
    """
    _check_positive(seconds, "--seconds")
    chosen = tuple(case for case in benchmark.CASES if cases in case.name)
    if not chosen:
        names = ", ".join(repr(case.name) for case in benchmark.CASES)
        raise UsageError(f"expected --cases to be part of a name out of {names}, got {cases!r}")
    _use_threads(threads)
    console, limits = Console(), benchmark.machine()
    console.print(
        f"{limits['processor']}, {limits['threads']} threads, torch {limits['torch']}: products "
        f"{limits['gigaflops']:.0f} Gflop/s (torch.mm {limits['gigaflops_mm']:.0f}), copies "
        f"{limits['gigabytes_per_second']:.0f} GB/s"
    )
    if full_runs:
        _bench_full_runs(console)
        return
    results = []
    for result in benchmark.run(
        chosen, limits, compiled=compiled, memory=memory, seconds=seconds, progress=not quiet
    ):
        results.append(result)
        _print_bench(console, result)
    if json_path is not None:
        content = {"machine": limits, "results": [asdict(result) for result in results]}
        files.write_atomically(
            json_path, lambda file: file.write(json.dumps(content, indent=2).encode())
        )
    if plot is not None:
        speeds = {r.case: {row: r.ratio(row) for row in r.milliseconds} for r in results}
        _save_figure(plots.show_speeds(speeds, reference="PyTorch's fastest"), plot)


def _bench_full_runs(console: Console) -> None:
    """Train with our modules and with PyTorch's in turn, and print a line after each."""
    for batch_size, lr in benchmark.FULL_RUNS:
        for row in (benchmark.OURS, benchmark.CHANNELS_LAST):
            run = benchmark.full_run(row, batch_size, lr)
            console.print(
                f"batch {batch_size}, {row}: {run.seconds / 60:.2f} minutes, "
                f"{run.psnr:.2f} dB (do nothing {run.psnr_noisy:.2f}; mean over images)"
            )


def _print_bench(console: Console, result: benchmark.Result) -> None:
    table = Table(title=result.case, title_justify="left")
    for heading in ("", "ms", "quartiles", "x best PyTorch", "MB", "x floor"):
        table.add_column(heading, justify="left" if heading == "" else "right")
    for row, median in result.milliseconds.items():
        low, high = result.spread[row]
        table.add_row(
            row,
            f"{median:.2f}",
            f"{low:.2f}-{high:.2f}",
            f"{result.ratio(row):.2f}",
            f"{result.megabytes[row]:.0f}" if row in result.megabytes else "",
            f"{median / result.floor:.1f}",
            style="bold" if row == benchmark.OURS else None,
        )
    table.caption = (
        f"floor {result.floor:.2f} ms: {result.multiplications / 1e9:.2f} G multiplications, "
        f"{result.bytes / 1e6:.0f} MB"
    )
    console.print(table)


# ---------------------------------------------------------------------- data


def _training_pairs(
    path: Path | None, count: int, task: dict, seed: int
) -> tuple[Tensor, Tensor, str]:
    """Return two noisy batches and where they come from. No clean image is made."""
    found = _course_file(path, "train_data.pkl", any_name=True)
    if found is not None:
        first, second = data.load_pairs(found)
        return first[:count], second[:count], str(found)
    images = None if path is None else data.load_images(path)
    generator = torch.Generator().manual_seed(seed)
    drawn = data.sample_pairs(count, images=images, **task, generator=generator, with_clean=False)
    number = len(images) if images is not None else len(data.photographs("train"))
    return drawn.noisy1, drawn.noisy2, f"{number} photographs"


def _stream(
    path: Path | None, batch: int, task: dict, clean_targets: bool, seed: int
) -> PairStream:
    """Return an endless stream of pairs from photographs."""
    if _course_file(path, "train_data.pkl", any_name=True) is not None:
        raise UsageError(f"expected a folder of photographs with --steps, got pairs in {path}")
    images = None if path is None else data.load_images(path)
    return PairStream(batch, images=images, **task, clean_targets=clean_targets, seed=seed)


def _held_out_pairs(task: dict) -> tuple[Tensor, Tensor]:
    """Return noisy pairs of the validation photographs. No clean image is made."""
    generator = torch.Generator().manual_seed(HELD_OUT_SEED)
    count = _validation_count(task)
    drawn = data.sample_pairs(
        count, split="validation", **task, generator=generator, with_clean=False
    )
    return drawn.noisy1, drawn.noisy2


def _validation_count(task: dict) -> int:
    """Return how many images of this size hold as many pixels as the thumbnails of the tables."""
    return max(1, VALIDATION_COUNT * 32 * 32 // task["size"] ** 2)


def _validation_images(
    path: Path | None, task: dict, path_is_validation: bool = False
) -> tuple[Tensor, Tensor]:
    """Return noisy and clean images: the course's, or thumbnails of photographs.

    When training, `path` is training data, and only a ``val_data.pkl`` beside it is looked for.
    """
    found = _course_file(path, "val_data.pkl", any_name=path_is_validation)
    if found is not None:
        return data.load_pairs(found)
    images = data.load_images(path) if path is not None and path_is_validation else None
    generator = torch.Generator().manual_seed(VALIDATION_SEED)
    drawn = data.sample_pairs(
        _validation_count(task), images=images, split="validation", **task, generator=generator
    )
    return drawn.noisy1, drawn.clean


def _course_file(path: Path | None, name: str, any_name: bool) -> Path | None:
    """Return the file of pairs that `path` is, or that lies in the folder or beside the file.

    Parameters
    ----------
    path : Path or None
        A folder, or a .pkl file.
    name : str
        Name of the file that is wanted: ``train_data.pkl`` or ``val_data.pkl``.
    any_name : bool
        Whether a .pkl file that has neither of these names is taken for the wanted one.
    """
    if path is None:
        return None
    if path.is_dir():
        return path / name if (path / name).is_file() else None
    if path.suffix != ".pkl":
        raise UsageError(f"expected a folder or a .pkl file, got {path}")
    if path.name == name or (any_name and path.name not in ("train_data.pkl", "val_data.pkl")):
        return path
    sibling = path.with_name(name)
    return sibling if sibling.is_file() else None


def _known_sigma(noise: Noise, sigma: float | tuple[float, float]) -> float | None:
    """Return the noise level that classical methods may be told."""
    return sigma if noise is Noise.gaussian and not isinstance(sigma, tuple) else None


def _photographs(path: Path | None) -> dict[str, Tensor]:
    """Return clean photographs by name: those of a folder, or the two for validation."""
    if path is None:
        return data.photographs("validation")
    if not path.is_dir():
        raise UsageError(f"expected a folder of photographs with --against, got {path}")
    return data.load_images(path)


def _check_blocks(image: Tensor, name: object, noise: Noise | None, block: int) -> None:
    """Raise unless an image has room for a block, where blocks are sampled."""
    size = tuple(image.shape[1:])
    if noise is Noise.pixels and min(size) < block:
        raise UsageError(f"expected {name} to have {block} or more pixels a side, got {size}")


def _noisy_and_clean(
    image: Tensor, noise: Noise, sigma: float, block: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Take an image for a clean one, 0-255, and return a noisy version and what it hides.

    Pixel sampling shrinks the image twice: by one random pixel of every block, and by the mean of
    every block.
    """
    if noise is not Noise.pixels:
        noisy = make_noise(noise.value, sigma)(data.to_unit(image), generator) * 255
        return noisy, image
    height, width = (n // block for n in image.shape[1:])
    crop = image[:, : height * block, : width * block]
    noisy = pixel_sampling(crop, block, generator)
    clean = crop.float().unflatten(2, (width, block)).unflatten(1, (height, block)).mean((2, 4))
    return noisy, clean


# ---------------------------------------------------------------------- output


def _load_model(name: str | None, noise: Noise) -> Model:
    """Load the model that was asked for, or else the shipped one that fits the noise."""
    model = Model()
    model.load_pretrained_model(name or ("bestmodel" if noise is Noise.pixels else "unet"))
    return model


def _check_jitter(jitter: float, noise: Noise) -> None:
    if not 0 <= jitter <= 1:
        raise UsageError(f"expected --jitter from 0 to 1, got {jitter}")
    if jitter and noise is Noise.pixels:
        raise UsageError(f"expected --jitter 0 with --noise pixels, got {jitter}")


def _check_adapt(steps: int, noise: Noise) -> None:
    _check_at_least(steps, "--adapt", 0)
    if steps and noise is not Noise.gaussian:
        raise UsageError(f"expected --noise gaussian with --adapt, got {noise.value}")


def _adapted(model: Model, noisy: Tensor, sigma: float, steps: int) -> Model:
    """A copy of the model that was adapted to an image, or the model itself with 0 steps."""
    if not steps:
        return model
    adapted = deepcopy(model)
    adapted.adapt(noisy, sigma, steps)
    return adapted


def _level(noise: Noise, sigma: float) -> str:
    return f", sigma {sigma:g}" if noise is Noise.gaussian else ""


def _results(rows: Sequence[Row]) -> dict:
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


def _print_table(console: Console, rows: Sequence[Row], caption: str) -> None:
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


def _photograph_results(
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


def _print_photographs(console: Console, rows: Sequence[PhotographRow], caption: str) -> None:
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


def _save_figure(figure: Figure, path: Path) -> None:
    files.write_atomically(path, lambda file: figure.savefig(file, format="png"))


def _check_at_least(value: int, name: str, minimum: int) -> None:
    if value < minimum:
        raise UsageError(f"expected {name} of at least {minimum}, got {value}")


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**63:
        raise UsageError(f"expected --seed from 0 to 2**63 - 1, got {seed}")


def _check_positive(value: float, name: str) -> None:
    if not 0 < value < float("inf"):
        raise UsageError(f"expected {name} to be a positive number, got {value}")


def _check_below_one(value: float, name: str) -> None:
    if not 0 <= value < 1:
        raise UsageError(f"expected {name} from 0 to below 1, got {value}")


def _use_threads(threads: int | None) -> None:
    if threads is not None:
        _check_at_least(threads, "--threads", 1)
        torch.set_num_threads(threads)


def _device(name: str) -> str:
    """Return the device of this process: with CUDA and many processes, each has a GPU of its own.

    Raises
    ------
    UsageError
        If there is no such device here.
    """
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if present[kind])
    if name not in present:
        raise UsageError(f"expected --device to be auto, cpu, cuda or mps, got {name}")
    if not present[name]:
        raise UsageError(f"expected a device that this machine has, got --device {name}")
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if name == "cuda" else name


def _number_or_range(text: str, name: str) -> float | tuple[float, float]:
    """Read "25" as a number and "5-50" as a pair."""
    try:
        return float(text)
    except ValueError:
        return _range(text, name) if "-" in text else _number(text, name)


def _range(text: str, name: str) -> tuple[float, float]:
    """Read "5-50" as a pair."""
    try:
        low, high = map(float, text.split("-"))
    except ValueError:
        raise UsageError(f"expected {name} to be a range such as 1-8, got {text!r}") from None
    return low, high


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"expected {name} to be a number, got {text!r}") from None


def _new_model(network: str, options: str, seed: int) -> Model:
    """Build a network; `options` are such as "width=48,depth=3"."""
    known = inspect.signature(find_network(network).build).parameters.keys() - {"generator"}
    arguments = {}
    for part in filter(None, options.split(",")):
        name, _, value = part.partition("=")
        if name not in known:
            allowed = ", ".join(sorted(known)) or "none"
            raise UsageError(
                f"expected --network-options of {network} out of {allowed}, got {part!r}"
            )
        number = _number(value, f"{name} of --network-options")
        arguments[name] = int(number) if number.is_integer() else number
    try:
        return Model(network, seed=seed, **arguments)
    except (TypeError, RuntimeError) as error:  # RuntimeError: more memory than there is
        raise UsageError(f"--network-options: {files.brief(error)}") from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake ends in one line and exit code 2."""
    stopped = "n2n: stopped; a training goes on with --resume, grading with the same command"
    try:
        status = app(arguments, standalone_mode=False) or 0
        if status == 130:  # how the command line reports Ctrl-C
            print(stopped, file=sys.stderr)
        sys.exit(status)
    except (ValueError, OSError, DivergedError) as error:
        print(f"n2n: {error}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        print(stopped, file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise  # not the command line's own complaint about its arguments, but a bug
        message = error.format_message()
        if message:  # without a command there is none: the help has been shown instead
            print(f"n2n: {message}{_given(error, arguments)}", file=sys.stderr)
        sys.exit(2)


def _given(error: Exception, arguments: Sequence[str] | None) -> str:
    """Name the value that the command line could not read, which the message leaves out."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for option in getattr(getattr(error, "param", None), "opts", ()):
        for place, word in enumerate(words):
            if word == option and place + 1 < len(words):
                return f", got {words[place + 1]!r}"
            if word.startswith(option + "="):
                return f", got {word[len(option) + 1 :]!r}"
    return ""

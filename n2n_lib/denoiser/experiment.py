"""A whole training with all that belongs to it: what ``n2n train`` does.

A `Source` says where images come from, a `Task` what is drawn from them, a `Recipe` how to train.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from torch import Tensor

from n2n_lib.denoiser import linear, plots
from n2n_lib.denoiser.evaluation import OURS, Score, evaluate, summary
from n2n_lib.denoiser.gains import (
    ONE_CLEANED,
    Estimate,
    estimate_gains,
    mean_estimates,
    rounded,
)
from n2n_lib.denoiser.images import to_unit
from n2n_lib.denoiser.metrics import psnr
from n2n_lib.denoiser.model import Model
from n2n_lib.denoiser.recipe import Recipe
from n2n_lib.denoiser.sampling import Task
from n2n_lib.denoiser.scene import Scene
from n2n_lib.denoiser.source import Source
from n2n_lib.denoiser.stream import FramesStream, PairStream
from n2n_lib.denoiser.training import Batches, DivergedError, Watch
from n2n_lib.framework.distributed import current
from n2n_lib.support import files

CHECKPOINT, MODEL, RESULTS = "checkpoint.pth", "model.pth", "results.json"
CURVES, PICTURE = "curves.png", "denoised.png"


WORSE = 0.05
"""Decibels that a training may lose before it is said: less is chance."""


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes
    ----------
    scores : list of Score
        Doing nothing, classical methods, the network, on the validation images.
    images : int
        Number of validation images.
    results : dict
        All that is worth keeping, as `RESULTS` holds it.
    """

    scores: list[Score]
    images: int
    results: dict


def run(
    model: Model,
    source: Source,
    task: Task,
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = print,
    notes: Mapping[str, object] | None = None,
) -> Outcome | None:
    """Train a network on pairs from a source; measure it; write the model, curves and a picture.

    Parameters
    ----------
    model : Model
        The network, with its initial weights.
    source : Source
        Where images come from, see `Source.open`.
    task : Task
        What is drawn from them. Validation images have no jitter.
    recipe : Recipe
        How to train. With ``num_steps`` on fresh pairs; then the weights with the smallest error
        on held-out noisy pairs are kept.
    out : Path
        Folder to write to, made if it is missing: the model, a checkpoint after every epoch, the
        loss and PSNR over time, some denoised images, and results as JSON.
    resume : bool
        Go on from the checkpoint there, if there is one.
    progress : bool
        Whether to show a progress bar.
    say : callable
        Takes what is to be told, a line at a time.
    notes : mapping, optional
        More to write into the results.

    Returns
    -------
    Outcome or None
        None in all processes but the first, where many train together.

    Raises
    ------
    TypeError, ValueError
        If the images do not suit the task, or an old checkpoint the recipe.
    DivergedError
        If the training diverged. What it had reached before is saved.
    """
    started, group, plain = time.perf_counter(), current(), replace(task, jitter=0.0)
    batches = _batches(source, task, recipe)
    held_out = None if recipe.num_steps is None else source.validation.held_out_pairs(plain)
    noisy, clean = source.validation.validation_images(plain)
    ways = _linear_filter(source, plain, recipe) | {OURS: model.predict}
    _make_room(out, resume, say)
    if recipe.num_steps is None:
        say(f"{batches.count} noisy pairs from {source.description}.")
    else:
        say(f"Fresh pairs for {recipe.num_steps} steps.")
    before = _quality(model, noisy, clean) if model.pretrained and group.leads else None
    watch = Watch((noisy, clean), held_out, out / CHECKPOINT, resume, progress, say=say)
    with _weights_kept(model, out / MODEL):
        history = model.fit(batches, recipe, watch)
    if not group.leads:
        return None
    model.sigma = task.level  # none where it varies, or is no Gaussian's
    model.save_model(out / MODEL)
    trained = sum(history.seconds)
    say(f"Trained in {trained:.0f} s. Comparing on {len(noisy)} validation images ...")
    scores = evaluate(noisy, clean, ways, sigma=task.level)
    if before is not None and (after := _quality(model, noisy, clean)) < before - WORSE:
        say(
            f"The start was better: {before:.2f} dB, now {after:.2f} dB on validation images. "
            f"Try a lower --lr than {recipe.lr:g}."
        )
    _draw(model, scores, noisy, clean, out)
    results = summary(scores) | _settings(model, recipe, notes, started)
    results |= {
        "pairs": batches.count or results["pairs"],
        "clean_targets": recipe.clean_targets,
        **vars(task),
        "sigma": task.sigma if task.noise == "gaussian" else None,
    }
    _write(results, out)
    return Outcome(scores, len(noisy), results)


def run_on_frames(
    model: Model,
    source: Source,
    size: int,
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = print,
    notes: Mapping[str, object] | None = None,
) -> dict | None:
    """Train a network on the user's own frames; clean these, and estimate what it gained.

    Parameters
    ----------
    model : Model
        The network, with its initial weights.
    source : Source
        The frames, see `Source.open_frames`.
    size : int
        Height and width of the patches to train on.
    recipe : Recipe
        How to train, with ``num_steps``.
    out : Path
        Folder to write to, made if it is missing: the model, a checkpoint after every epoch, of
        each scene the first frame cleaned, the mean of all frames and that mean cleaned, a figure
        of them, and results as JSON.
    resume, progress, say, notes
        As in `run`.

    Returns
    -------
    dict or None
        All that is worth keeping, as `RESULTS` holds it: ``gains`` are the estimates of
        `gains.estimate_gains`, mean over scenes, and ``scenes`` tells the rest of each. None in all
        processes but the first.

    Raises
    ------
    TypeError, ValueError
        If the recipe has no ``num_steps``, or an old checkpoint another one.
    DivergedError
        As in `run`.
    """
    started, group, scenes = time.perf_counter(), current(), source.scenes
    # A new network learns one level and is shown others on its scale; a blind one stays blind.
    if not (model.pretrained or model.sigma):
        model.sigma = sum(scene.told for scene in scenes) / len(scenes)
    stream = FramesStream(scenes, model.sigma, recipe.batch_size, size=size, seed=recipe.seed)
    batches = Batches.of_stream(stream, recipe)
    _make_room(out, resume, say)
    for scene in scenes:
        say(scene.description)
        for remark in scene.remarks:
            say(f"Warning: {scene.name}: {remark}.")
    say(f"Patches of {source.description} for {recipe.num_steps} steps.")
    before = _gains(model, scenes) if model.pretrained and group.leads else None
    with _weights_kept(model, out / MODEL):
        model.fit(batches, recipe, Watch(None, None, out / CHECKPOINT, resume, progress, say=say))
    if not group.leads:
        return None
    model.save_model(out / MODEL)
    gains = _gains(model, scenes)
    was, now = (mean_estimates(each)[ONE_CLEANED].gain for each in (before or gains, gains))
    if now < was - WORSE:
        say(
            f"The start was better: {was:.2f} dB, now {now:.2f} dB gained on one frame. "
            f"Try a lower --lr than {recipe.lr:g}."
        )
    names = files.file_names([scene.name for scene in scenes])
    written = [_clean(model, scene, out / names[scene.name]) for scene in scenes]
    shown = [[_middle(image) for image in images.values()] for images in written[:6]]
    titles = [list(written[0])] + [[""] * len(written[0])] * (len(shown) - 1)
    plots.save_figure(plots.show_images(shown, titles, height=3.0), out / PICTURE)
    results = {
        "gains": rounded(mean_estimates(gains)),
        "scenes": {
            scene.name: {
                "frames": len(scene.frames),
                "size": list(scene.valid.shape[1:]),
                "noise": round(scene.level, 4),
                "shifts": scene.shifts,
                "brightness": [
                    [round(value, 4) for value in gain.tolist()] for gain in scene.gains
                ],
                "still": round(scene.valid.float().mean().item(), 4),
                "gains": rounded(own),
                "warnings": scene.remarks,
            }
            for scene, own in zip(scenes, gains, strict=True)
        },
    }
    sigma = None if model.sigma is None else round(model.sigma, 4)
    results |= _settings(model, recipe, notes, started) | {"sigma": sigma}
    _write(results, out)
    return results


STARTS = ("unet", "unet-camera")
"""Shipped networks that a training on frames may start from."""


def best_start(scenes: Sequence[Scene], *, say: Callable[[str], None] = print) -> str:
    """Find out which of `STARTS` cleans frames best as it comes: a training starts well there.

    Parameters
    ----------
    scenes : sequence of Scene
        The frames, see `Source.open_frames`.
    say : callable
        Takes what was found, in one line.

    Returns
    -------
    str
        The one with the largest gain on one frame, as `gains.estimate_gains` measures it without
        a clean picture, mean over scenes.
    """
    found = {}
    for name in STARTS:
        found[name] = mean_estimates(_gains(Model.load(name), scenes))[ONE_CLEANED].gain
    best = max(found, key=found.get)
    told = ", ".join(f"{name} gains {gain:.1f} dB" for name, gain in found.items())
    say(f"As they come, on one frame: {told}. Starting from {best}.")
    return best


def _gains(model: Model, scenes: Sequence[Scene]) -> list[dict[str, Estimate]]:
    return [estimate_gains(scene, partial(_predict, model, scene)) for scene in scenes]


def _predict(model: Model, scene: Scene, image: Tensor, count: int) -> Tensor:
    """Denoise a mean of frames; one channel is shown as three and comes back as their mean."""
    cleaned = model.predict(image.expand(3, -1, -1), sigma=scene.told / math.sqrt(count))
    return cleaned if len(image) == 3 else cleaned.mean(0, keepdim=True)


def _middle(image: Tensor, size: int = 256) -> Tensor:
    """Cut out the middle, where noise can be seen."""
    top, left = (max(0, side - size) // 2 for side in image.shape[1:])
    return image[:, top : top + size, left : left + size]


def _clean(model: Model, scene: Scene, path: Path) -> dict[str, Tensor]:
    """Clean the first frame and the mean of all, write them and the mean; return what was made."""
    first, count, mean = scene.frames[0], len(scene.frames), scene.mean()
    images = {
        "frame-denoised": _predict(model, scene, first, 1),
        "mean": mean,
        "mean-denoised": _predict(model, scene, mean, count),
    }
    for name, image in images.items():
        scene.save(image, path.with_name(f"{path.name}-{name}"))
    return {"frame": first} | images


def _make_room(out: Path, resume: bool, say: Callable[[str], None]) -> None:
    """Make the folder to write to, and say what will be lost there."""
    files.make_writable(out)
    if (out / CHECKPOINT).exists() and not resume:
        say(f"Starting anew; {out / CHECKPOINT} of an earlier run will be replaced.")


def _settings(
    model: Model, recipe: Recipe, notes: Mapping[str, object] | None, started: float
) -> dict:
    """Tell how a network was trained, and how long it took."""
    history = model.history
    return {
        "seconds": round(sum(history.seconds), 3),
        "seconds_total": round(time.perf_counter() - started, 3),
        "pairs": recipe.batch_size * len(history.losses),
        "epochs": history.epochs,
        "network": model.network_name,
        "network_options": model.arguments,
        **(notes or {}),
        "batch": recipe.batch_size,
        "optimiser": recipe.optimiser,
        "schedule": recipe.schedule,
        "ema": recipe.ema,
        "lr": recipe.lr,
        "seed": recipe.seed,
        "threads": history.threads[0][1] if history.threads else None,  # of an old checkpoint
        "threads_later": history.threads[1:],
    }


def _write(results: dict, out: Path) -> None:
    content = json.dumps(results, indent=2, default=str).encode()  # a noise may be an object
    files.write_atomically(out / RESULTS, lambda file: file.write(content))


def _quality(model: Model, noisy: Tensor, clean: Tensor) -> float:
    """Return the PSNR on a few validation images, to tell whether a training was worth it."""
    few = slice(0, 100)
    return psnr(model.predict(noisy[few]).float(), clean[few].float(), peak=255)


def _batches(source: Source, task: Task, recipe: Recipe) -> Batches:
    """Return what the recipe asks for: pairs that are drawn before, or fresh ones."""
    if recipe.num_steps is None:
        noisy1, noisy2 = source.training_pairs(task, recipe.num_pairs, recipe.seed)
        return Batches.of_pairs(noisy1, noisy2, recipe)
    if source.pairs is not None:
        raise ValueError(f"expected photographs to draw fresh pairs from, got {source.description}")
    stream = PairStream(
        recipe.batch_size,
        images=source.images,
        clean_targets=recipe.clean_targets,
        seed=recipe.seed,
        **vars(task),
    )
    return Batches.of_stream(stream, recipe)


def _linear_filter(source: Source, task: Task, recipe: Recipe) -> dict:
    """Return the row of the filter that a few of the noisy pairs determine, if they do."""
    noisy1, noisy2 = source.training_pairs(task, linear.PAIRS, recipe.seed)
    try:
        return linear.row(linear.fit(to_unit(noisy1), to_unit(noisy2)))
    except ValueError:  # images too few or too even
        return {}


@contextmanager
def _weights_kept(model: Model, path: Path) -> Iterator[None]:
    """Save what a diverging run had reached before, and say where it is."""
    try:
        yield
    except DivergedError as error:
        if not (current().leads and model.history.epochs):
            raise
        model.save_model(path)
        raise DivergedError(f"{error}; the weights before it are in {path}") from None


def _draw(model: Model, scores: list[Score], noisy: Tensor, clean: Tensor, out: Path) -> None:
    """Draw the loss and the PSNR beside those of other methods, and some denoised images."""
    levels = {score.name: score.psnr for score in scores if score.name != OURS}
    history, few = model.history, slice(0, min(6, len(noisy)))
    curves = plots.show_training(history.losses, history.val_psnr, levels)
    plots.save_figure(curves, out / CURVES)
    denoised = model.predict(noisy[few])
    picture = plots.show_denoising(noisy[few], denoised, clean[few], across=True)
    plots.save_figure(picture, out / PICTURE)

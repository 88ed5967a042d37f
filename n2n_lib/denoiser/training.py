"""The training loop: batches in, better weights out (lesson 10; section 3 of the report).

`Training` is the one loop behind ``Model.train``, ``Model.train_stream``, ``Model.adapt`` and
``n2n train``. A `Recipe` says how to train, `Batches` on what, and a `Watch` what else happens
meanwhile: validation, checkpoints, a progress bar.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from n2n_lib.denoiser.checkpoint import Run, read_checkpoint
from n2n_lib.denoiser.images import check_noisy_pairs, check_pairs, to_unit, warn_of_unit
from n2n_lib.denoiser.metrics import psnr
from n2n_lib.denoiser.prediction import Denoiser, pad_to_multiple, range_of
from n2n_lib.denoiser.recipe import History, Recipe
from n2n_lib.denoiser.stream import BatchStream
from n2n_lib.framework.distributed import GradientMean, current, neighbours
from n2n_lib.framework.losses import MSELoss
from n2n_lib.framework.optim import WeightAverage, find_optimiser
from n2n_lib.framework.schedules import find_schedule
from n2n_lib.support import files
from n2n_lib.support.arguments import check_integer
from n2n_lib.support.memory import keep_freed
from n2n_lib.support.threads import Chooser, threads

CHANNELS_LAST = torch.channels_last
"""The layout of batches in training: what the fast kernels read and write."""

RISEN = 10.0
"""By how much the loss of a run may rise before it counts as diverged."""

SMALL_STEP = 10**9
"""Pixels of a batch times parameters of the network, up to which a step takes one thread.

So small a step lasts a few milliseconds, in hundreds of operations. Sharing each among threads
saves little (batch 16 of the report's network: 5.5 s where one thread takes 6.3), not enough to try
it, and the weights are those of one thread on every machine.
"""

ImagePair = tuple[Tensor, Tensor]
"""Two batches of images of one shape."""


class DivergedError(RuntimeError):
    """The loss is no longer a number, or rises without bound; the last epoch's weights are kept."""


@dataclass
class Batches:
    """What to train on, batch by batch, in which order.

    Attributes
    ----------
    first : callable
        Takes the number of a step and yields the batches from it on, without end, as two tensors
        ``(B, 3, H, W)``, 0-255, and perhaps a third that says which pixels count, see
        ``BatchStream.batches``. It must be a generator: it is closed at the end.
    epoch_steps : int
        Batches to an epoch.
    settings : dict
        What decides on the batches; a checkpoint with other ones belongs to another run.
    pixels : int
        Pixels of a batch.
    count : int or None
        Number of pairs; None where they are drawn without end.
    generator : torch.Generator
        Source of the order, whose state a checkpoint keeps.
    """

    first: Callable[[int], Iterator[tuple[Tensor, ...]]]
    epoch_steps: int
    settings: dict
    pixels: int
    count: int | None = None
    generator: torch.Generator = field(default_factory=torch.Generator)

    @classmethod
    def of_pairs(cls, noisy1: Tensor, noisy2: Tensor, recipe: Recipe) -> Batches:
        """Return every pair once an epoch, in an order that is drawn anew for each.

        Raises
        ------
        TypeError, ValueError
            If they are not two noisy versions of the same scenes.
        """
        check_noisy_pairs(noisy1, noisy2, "train_input", "train_target")
        warn_of_unit(noisy1, "train_input")
        generator = torch.Generator().manual_seed(recipe.seed)

        def batches(first: int) -> Iterator[ImagePair]:
            # The generator stands where the epoch of step `first` begins.
            while True:
                order = torch.randperm(len(noisy1), generator=generator)
                for rows in order.split(recipe.batch_size):
                    yield noisy1[rows], noisy2[rows]

        settings = {
            "num_epochs": recipe.num_epochs,
            "batch_size": recipe.batch_size,
            "seed": recipe.seed,
            "data": _fingerprint(noisy1, noisy2),
        }
        count, pixels = len(noisy1), recipe.batch_size * noisy1[0, 0].numel()
        return cls(batches, recipe.steps_per_epoch(count), settings, pixels, count, generator)

    @classmethod
    def of_stream(cls, stream: BatchStream, recipe: Recipe) -> Batches:
        """Return the batches of a stream; raise TypeError if it is none."""
        if not isinstance(stream, BatchStream):
            raise TypeError(f"expected stream to be a BatchStream, got {type(stream).__name__}")
        check_integer("num_steps", recipe.num_steps, 1)
        steps = recipe.steps_per_epoch()
        settings = {
            "num_steps": recipe.num_steps,
            "epoch_steps": steps,
            "data": stream.description,
        }
        return cls(stream.batches, steps, settings, stream.batch_size * stream.size**2)


@dataclass(frozen=True)
class Watch:
    """What happens beside the training itself.

    Attributes
    ----------
    validation : (Tensor, Tensor) or None
        Noisy and clean images to report a PSNR on after every epoch.
    held_out : (Tensor, Tensor) or None
        Two noisy versions of scenes that are not trained on; they choose the weights.
    checkpoint : path-like or None
        File that is written after every epoch.
    resume : bool
        Continue from `checkpoint`, if it exists.
    progress : bool
        Whether to show a progress bar.
    on_epoch : callable or None
        Called with the model after every epoch.
    say : callable or None
        Takes what is to be told about the threads, a line at a time.

    Raises
    ------
    TypeError, ValueError
        If the images are not as described, or the checkpoint cannot be written.
    """

    validation: ImagePair | None = None
    held_out: ImagePair | None = None
    checkpoint: str | os.PathLike | None = None
    resume: bool = False
    progress: bool = True
    on_epoch: Callable[[Denoiser], None] | None = None
    say: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        if self.validation is not None:
            names, given = ("val_input", "val_target"), [x is not None for x in self.validation]
            if not all(given):
                raise ValueError(f"expected {' and '.join(names)} together, got only one of them")
            check_pairs(*self.validation, *names)
        if self.held_out is not None:
            if not isinstance(self.held_out, (tuple, list)) or len(self.held_out) != 2:
                got = type(self.held_out).__name__
                raise TypeError(f"expected held_out to be a pair of tensors, got {got}")
            check_noisy_pairs(*self.held_out, "held_out[0]", "held_out[1]")
        if self.checkpoint is not None:
            files.check_writable(Path(self.checkpoint).absolute().parent)


class Training:
    """One training, from its first step or a checkpoint to its last.

    Parameters
    ----------
    model : Denoiser
        What to train. Nothing about it is changed before `run`, unless a checkpoint is resumed or
        other processes take part: then it has the weights of that checkpoint, or theirs.
    batches : Batches
        On what.
    recipe : Recipe
        How.
    watch : Watch
        What else happens.

    Attributes
    ----------
    history : History
        What happened so far.

    Raises
    ------
    TypeError, ValueError
        If the recipe's numbers do not suit the network, or the checkpoint is damaged or belongs to
        another run. The model stays as it was.
    """

    def __init__(self, model: Denoiser, batches: Batches, recipe: Recipe, watch: Watch) -> None:
        self.model, self.batches, self.recipe, self.watch = model, batches, recipe, watch
        network, example = model.network, model.example
        self._run = Run(
            network,
            find_optimiser(recipe.optimiser)(network, recipe.lr),
            WeightAverage(network, recipe.ema) if recipe.ema else None,
            batches.generator,
        )
        if recipe.lr > torch.finfo(example.dtype).max:
            raise ValueError(f"expected a learning rate within {example.dtype}, got {recipe.lr}")
        self._settings = batches.settings | {
            "network": model.network_name,
            "arguments": model.arguments,
            "dtype": str(example.dtype),
            "lr": recipe.lr,
            "optimiser": recipe.optimiser,
            "schedule": recipe.schedule,
            "ema": recipe.ema,
            "held_out": None if watch.held_out is None else _fingerprint(*watch.held_out),
        }
        if recipe.weight_floor:  # older checkpoints do not know it
            self._settings["weight_floor"] = recipe.weight_floor
        self._group, self._chooser = current(), Chooser()
        path = watch.checkpoint
        if self._group.leads and watch.resume and path is not None and Path(path).exists():
            settings, steps = self._settings, batches.epoch_steps
            self._run.go_on_from(read_checkpoint(path, self._run, settings, steps))
        if self._group.size > 1:  # all start where the first process stands
            self._run.go_on_from(self._group.tell_all(self._run.state(self._settings)))

    @property
    def history(self) -> History:
        """What happened so far."""
        return self._run.history

    def run(self) -> History:
        """Train to the end; the network then has the best, the mean or the last weights.

        Raises
        ------
        DivergedError
            If the loss is no longer a number, or rises without bound.
        """
        keep_freed()
        epochs, run, network = self.recipe.epochs, self._run, self.model.network
        self._gradients = GradientMean(network, self._group)
        self._bar = tqdm(
            desc="training",
            unit="step",
            total=self.batches.epoch_steps * epochs,
            initial=len(self.history.losses),
            disable=not (self.watch.progress and self._group.leads),
            mininterval=0.5,
        )
        batches = self.batches.first(len(self.history.losses))
        try:
            with self._on_threads(), self._bar, torch.no_grad(), network.training_mode():
                with self._gradients.watching():
                    while self.history.epochs < epochs:
                        self._train_epoch(batches)
                        if self._group.leads:
                            self._end_epoch()
                    self._show()
        finally:
            batches.close()  # a stream's thread ends here
        run.best = self._group.tell_all(run.best)
        if run.best is not None:
            network.set_params(run.best)
        elif run.average is not None:
            network.set_params(run.average.values)
        return self.history

    @contextmanager
    def _on_threads(self) -> Iterator[None]:
        """Compute on as many threads as the recipe says, or else as pay; see ``Recipe.threads``."""
        told = nullcontext() if self.recipe.threads is None else threads(self.recipe.threads)
        parameters = sum(parameter.numel() for parameter, _ in self.model.network.param())
        single = "small batches" if self.batches.pixels * parameters <= SMALL_STEP else ""
        if self.model.example.device.type != "cpu":
            single = "another device computes"
        before = self.history.threads[-1][1] if self.history.threads else None
        with told, self._chooser.at_work(single, neighbours(), before):
            yield

    def _choose_threads(self, criterion: MSELoss, batch: tuple[Tensor, ...]) -> None:
        """Try how many threads are best on the next step, all but the change of the weights.

        So the weights depend on the numbers that are chosen, not on those that were tried.
        """
        with torch.random.fork_rng(devices=[]):  # a network may draw random numbers
            self._chooser.choose(lambda: self._differentiate(criterion, *batch))

    def _note_threads(self, step: int) -> None:
        """Keep from which step on there is another number of threads, and tell of it."""
        noted, count = self.history.threads, self._chooser.count
        if noted and noted[-1][1] == count:
            return
        noted.append([step, count])
        if self.watch.say is not None and self._group.leads:
            self._bar.clear()
            self.watch.say(f"{self._chooser}" + (f" from step {step + 1} on" if step else ""))

    def _train_epoch(self, batches: Iterator[tuple[Tensor, ...]]) -> None:
        """Take the steps of an epoch; put the old weights back if it diverges."""
        started, run, network = time.perf_counter(), self._run, self.model.network
        before = [parameter.clone() for parameter, _ in network.param()]
        criterion, rates = MSELoss(network), self._rates()
        losses, added_up = torch.zeros(len(rates), device=self.model.example.device), 0
        for step, run.rule.lr in enumerate(rates):
            batch = next(batches)
            if self._chooser.due():
                self._choose_threads(criterion, batch)
            with self._chooser.timed():
                losses[step] = self._step(criterion, *batch)
            self._note_threads(len(self.history.losses) + step)
            self._bar.update()
            last = step == len(rates) - 1
            if step % 50 == 49 or last:
                self._group.add_up(losses[added_up : step + 1])
                added_up = step + 1
                self._show(losses[step].item())
                if problem := self._problem(losses[: step + 1], last):
                    network.set_params(before)
                    raise DivergedError(
                        f"{problem} in epoch {self.history.epochs + 1}: expected a learning rate "
                        f"small enough to train with, got {rates[0]:g}; try a tenth of it, or the "
                        f"schedule warmup-cosine{range_of(self.model.example.dtype)}"
                    )
        self.history.losses += losses.tolist()
        self.history.seconds.append(time.perf_counter() - started)

    def _rates(self) -> list[float]:
        """The learning rate of each step of the next epoch."""
        first, steps = len(self.history.losses), self.batches.epoch_steps
        rate_of, total = find_schedule(self.recipe.schedule), steps * self.recipe.epochs
        return [rate_of(self.recipe.lr, first + step, total) for step in range(steps)]

    def _step(
        self, criterion: MSELoss, noisy: Tensor, target: Tensor, counts: Tensor | None = None
    ) -> Tensor | float:
        """Take one step on our share of a batch; return our share of the loss."""
        run = self._run
        loss = self._differentiate(criterion, noisy, target, counts)
        run.rule.step()
        if run.average is not None:
            run.average.update()
        return loss

    def _differentiate(
        self, criterion: MSELoss, noisy: Tensor, target: Tensor, counts: Tensor | None = None
    ) -> Tensor | float:
        """Compute our share of the loss of a batch, and all gradients; return the loss."""
        run, network, loss = self._run, self.model.network, 0.0
        rows = self._group.share(len(noisy))
        weight = (rows.stop - rows.start) / len(noisy)
        run.rule.zero_grad()
        with self._gradients.step(weight):
            if weight:
                x, y = self._as_input(noisy[rows]), self._as_input(target[rows])
                loss = weight * criterion(network(x), y, self._weights(x, y, counts, rows))
                criterion.backward()
        return loss

    def _weights(self, x: Tensor, y: Tensor, counts: Tensor | None, rows: slice) -> Tensor | None:
        """Return what each pair counts, if the recipe weighs them, and each pixel, if some do not.

        Output and target are both multiplied by 0 where a pixel does not count: no loss and no
        gradient comes from there.
        """
        floor, copies = self.recipe.weight_floor, 1 if self.recipe.clean_targets else 2
        weights = pair_weights(x, y, floor, copies) if floor else None
        if counts is None:
            return weights
        pixels = self._as_input(counts[rows])
        return pixels if weights is None else weights * pixels

    def _as_input(self, images: Tensor) -> Tensor:
        """Bring images 0-255 to what the network takes, in the layout of the fast kernels."""
        unit = to_unit(images).to(self.model.example, memory_format=CHANNELS_LAST)
        return pad_to_multiple(unit, self.model.multiple)

    def _problem(self, losses: Tensor, last: bool) -> str | None:
        """Say what is wrong with the losses of an epoch so far, or the weights after the last."""
        broken = losses[~torch.isfinite(losses)]
        if len(broken):
            return f"the loss became {broken[0].item()}"
        first = self.history.losses[0] if self.history.losses else losses[0].item()
        recent = losses[-50:].median().item()  # a few bad batches do not count
        if recent > RISEN * max(first, 1.0):  # images 0-1 differ by no more than 1
            return f"the loss rose from {first:.3g} to {recent:.3g}"
        finite = (torch.isfinite(parameter).all() for parameter, _ in self.model.network.param())
        return "a weight broke" if last and not all(finite) else None

    def _end_epoch(self) -> None:
        """Validate, write a checkpoint, and tell whoever wants to know."""
        with self._averaged():
            self._validate()
        if self.watch.checkpoint is not None:
            files.save(self._run.state(self._settings), self.watch.checkpoint)
        if self.watch.on_epoch is not None:
            with self._averaged():
                self.watch.on_epoch(self.model)

    def _averaged(self) -> AbstractContextManager:
        """Let the network have the mean of its weights inside a ``with`` block."""
        average = self._run.average
        return nullcontext() if average is None else average.applied()

    def _validate(self) -> None:
        """Measure the present weights; keep those that do best on held-out noisy pairs."""
        history, validation, held_out = self.history, self.watch.validation, self.watch.held_out
        if validation is not None:
            denoised = to_unit(self.model.predict(validation[0]))
            history.val_psnr.append(psnr(denoised, to_unit(validation[1])))
        if held_out is not None:
            noisy, target = (to_unit(images.float()) for images in held_out)
            denoised = to_unit(self.model.predict(held_out[0].float()))
            floor = self.recipe.weight_floor
            weights = pair_weights(noisy, target, floor) if floor else None
            history.held_out.append(MSELoss()(denoised, target, weights).item())
            if history.held_out[-1] == min(history.held_out):
                parameters = self.model.network.param()
                self._run.best = [parameter.clone() for parameter, _ in parameters]

    def _show(self, loss: float | None = None) -> None:
        """Write the loss and the validation PSNR behind the progress bar."""
        if loss is None:
            loss = self.history.losses[-1]
        text = f"loss {loss:.5f}"
        if self.history.val_psnr:
            text += f", validation {self.history.val_psnr[-1]:.2f} dB"
        self._bar.set_postfix_str(text, refresh=False)


def pair_weights(noisy1: Tensor, noisy2: Tensor, floor: float, copies: int = 2) -> Tensor:
    r"""Return what the squared error of each Noise2Noise pair should count.

    .. math::

        w = \frac{4 s^2}{\hat\sigma^2 + s^2}, \qquad
        \hat\sigma^2 = \frac{1}{kM} \sum_{m=1}^{M} (x_m - t_m)^2

    The difference of k = 2 copies with equal noise has twice its variance, so no clean image is
    needed to know it. Where noise is strong the error that remains is large too; by its own size
    it would count a hundred times as much as that of a picture with a tenth of the noise.

    Parameters
    ----------
    noisy1, noisy2 : Tensor
        Both copies, x and t, ``(N, C, H, W)``, 0-1; M = C H W.
    floor : float
        The s, in grey levels of 255, above 0: below it, less noise is no reason for more weight.
    copies : int
        The k: how many of the two are noisy, 1 where the second is a clean image.

    Returns
    -------
    Tensor
        ``(N, 1, 1, 1)``, up to 4, and 2 where the noise is as strong as the floor.
    """
    square = (floor / 255) ** 2
    variance = (noisy1 - noisy2).square().mean((1, 2, 3), keepdim=True) / copies
    return 4 * square / (variance + square)


def _fingerprint(*tensors: Tensor) -> str:
    """Return sizes and a checksum, to tell whether a resumed run sees the same data."""
    checksum = 0
    for tensor in tensors:
        content = tensor.cpu().contiguous().view(torch.uint8)
        checksum = zlib.crc32(content.numpy(), checksum)
    sizes = " x ".join(str(size) for size in tensors[0].shape)
    return f"{sizes}, {tensors[0].dtype}, checksum {checksum:08x}"

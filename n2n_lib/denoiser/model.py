"""The denoiser as a user sees it: images in, images out (lesson 08; section 3 of the report)."""

from __future__ import annotations

import math
import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad  # noqa: TID251 (a function, not a module)
from tqdm.auto import tqdm

from n2n_lib.denoiser.images import to_unit
from n2n_lib.denoiser.metrics import mse, psnr
from n2n_lib.denoiser.networks import Network, find_network
from n2n_lib.denoiser.stream import BatchStream, RecorruptedStream
from n2n_lib.framework.distributed import GradientMean, Group, current
from n2n_lib.framework.losses import MSELoss
from n2n_lib.framework.module import Module
from n2n_lib.framework.optim import Optimiser, WeightAverage, find_optimiser
from n2n_lib.framework.schedules import find_schedule
from n2n_lib.support import files
from n2n_lib.support.memory import keep_freed

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the trained models that come with the library."""

TILE = 512
"""Side of the tiles in which `Model.predict` works through a large image, in pixels."""

CHANNELS_LAST = torch.channels_last
"""The layout of batches in training: what the fast kernels read and write."""

RISEN = 10.0
"""By how much the loss of a run may rise before it counts as diverged."""

_FORMAT = "n2n model 1"
_CHECKPOINT = "n2n checkpoint 3"

Pair = tuple[Tensor, Tensor]
"""Two batches of images of one shape."""


PRETRAINED = ("bestmodel", "report", "unet", "unet-pixels")
"""Names of the trained models that come with the library."""


def _turn(image: Tensor, quarters: int, mirrored: bool) -> Tensor:
    turned = torch.rot90(image, quarters, (2, 3))
    return turned.flip(3) if mirrored else turned


def _turn_back(image: Tensor, quarters: int, mirrored: bool) -> Tensor:
    return torch.rot90(image.flip(3) if mirrored else image, -quarters, (2, 3))


_SYMMETRIES = [
    (
        partial(_turn, quarters=quarters, mirrored=mirrored),
        partial(_turn_back, quarters=quarters, mirrored=mirrored),
    )
    for mirrored in (False, True)
    for quarters in range(4)
]


class DivergedError(RuntimeError):
    """The loss is no longer a number, or rises without bound; the last epoch's weights are kept."""


@dataclass
class History:
    """What happened during training.

    Attributes
    ----------
    losses : list of float
        Mean squared error of every step, values 0-1.
    val_psnr : list of float
        Validation PSNR in dB after every epoch (mean over images, peak 1), if there was any.
    seconds : list of float
        Time of every epoch, without validation.
    held_out : list of float
        Mean squared error on held-out noisy pairs after every epoch, values 0-1, if there were any.
    """

    losses: list[float] = field(default_factory=list)
    val_psnr: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    held_out: list[float] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.seconds)


@dataclass
class _Plan:
    """Which batches to train on, in which order, and how many."""

    batches: Callable[[int], Iterator[Pair]]  # from a step on, without end
    generator: torch.Generator  # of their order
    epochs: int
    epoch_steps: int
    settings: dict  # a checkpoint with other ones belongs to another run


@dataclass
class _Run:
    """What changes during training beside the weights and the history."""

    rule: Optimiser
    average: WeightAverage | None
    best: list[Tensor] | None = None  # weights with the smallest error on held-out pairs

    def averaged(self) -> AbstractContextManager:
        """Let the network have the mean of its weights inside a ``with`` block."""
        return nullcontext() if self.average is None else self.average.applied()


class Model:
    """A denoising network that is trained on pairs of noisy images.

    Images go in and come out as 0-255, ``uint8`` or floating point, ``(N, 3, H, W)`` or
    ``(3, H, W)``, of any height and width.

    Parameters
    ----------
    network : str or Module
        A name out of ``networks.NETWORKS``, or a network of your own that maps images 0-1
        to images 0-1 of the same size.
    seed : int
        Seed of the initial weights of a named network.
    **arguments
        Arguments of the named network's constructor.

    Attributes
    ----------
    network : Module
        The network itself.
    history : History
        What happened during the last training.
    sigma : float or None
        The one level of gaussian noise, in grey levels of 255, that the network was trained at, if
        there was one: see `predict`. Saved and loaded with the weights.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If `network` is neither a name nor a module.

    Examples
    --------
    >>> model = Model()
    >>> model.load_pretrained_model()
    >>> clean = model.predict(noisy)  # doctest: +SKIP
    """

    def __init__(self, network: str | Module = "report", *, seed: int = 0, **arguments) -> None:
        if isinstance(network, Module):
            if arguments:
                raise TypeError(f"expected no arguments beside a module, got {sorted(arguments)}")
            self.network_name, self.arguments = "custom", {}
            self.network, self._multiple, self._halo = network, 1, None
        elif isinstance(network, str):
            self._adopt(network, arguments, torch.Generator().manual_seed(seed))
        else:
            got = type(network).__name__
            raise TypeError(f"expected the name of a network or a Module, got {got}")
        self.history = History()
        self.sigma: float | None = None

    def _adopt(self, name: str, arguments: dict, generator: torch.Generator | None = None) -> None:
        entry: Network = find_network(name)
        self.network = entry.build(**arguments, generator=generator)
        self.network_name, self.arguments = name, dict(arguments)
        self._multiple, self._halo = entry.sizes(**arguments)

    # ------------------------------------------------------------------ predicting

    def predict(
        self, test_input: Tensor, *, sigma: float | None = None, ensemble: bool = False
    ) -> Tensor:
        """Denoise images.

        Parameters
        ----------
        test_input : Tensor
            ``(N, 3, H, W)`` or ``(3, H, W)``, 0-255, ``uint8`` or floating point. Noise may push
            values outside 0-255. Not changed.
        sigma : float, optional
            Standard deviation of gaussian noise in the images, in grey levels of 255. A network
            that was trained at one level (the attribute ``sigma``) is then shown the images on the
            scale on which their noise has that level, so that it serves other levels too. Without
            it the images are shown as they are. Other networks do without it.
        ensemble : bool
            Denoise all eight turned and mirrored versions of each image and take the mean of what
            comes out, turned back: a little better, eight times as slow.

        Returns
        -------
        Tensor
            Denoised images of the same shape and dtype, within 0-255.

        Raises
        ------
        TypeError, ValueError
            If the input is not such a tensor, is empty or holds a value that is not finite,
            `sigma` is not a finite positive number, or the network's output is not finite.

        Notes
        -----
        Large images are worked through in tiles of `TILE` pixels, with a border that makes them
        equal to the whole, so that memory does not grow with the image. The ensemble is that of
        Timofte, Rothe and Van Gool (2016), Seven ways to improve example-based super resolution.
        """
        images = _check_images(test_input, "test_input")
        batch = images if images.dim() == 4 else images.unsqueeze(0)
        ways = _SYMMETRIES if ensemble else _SYMMETRIES[:1]
        if sigma is not None:
            _check_level(sigma)
        scale = 1.0 if sigma is None or self.sigma is None else self.sigma / sigma
        output = torch.empty(batch.shape, dtype=batch.dtype, device=batch.device)
        with torch.no_grad():
            per_chunk = max(1, TILE * TILE // (batch.shape[2] * batch.shape[3]))
            for start in range(0, len(batch), per_chunk):
                chunk = slice(start, start + per_chunk)
                for tile, inner, source in self._tiles(*batch.shape[2:]):
                    noisy = to_unit(batch[chunk][..., source[0], source[1]]).to(self._like())
                    noisy = noisy * scale
                    outputs = (back(self._forward(turn(noisy))) for turn, back in ways)
                    result = sum(outputs) / (len(ways) * scale)
                    _check_finite(result)
                    result = result[..., inner[0], inner[1]].clamp(0, 1) * 255
                    if not output.is_floating_point():
                        result = result.round()
                    output[chunk][..., tile[0], tile[1]] = result.to(output)
        return output if images.dim() == 4 else output[0]

    def _tiles(self, height: int, width: int):
        """Yield (place in the image, place in the tile's output, the tile's source) as slices.

        A tile carries a border of ``halo`` pixels more than it keeps, so that it computes what the
        whole image would have given.
        """
        if self._halo is None or max(height, width) <= TILE:
            yield ((slice(0, height), slice(0, width)),) * 3
            return
        axes = []
        for size in (height, width):
            cuts = []
            for start in range(0, size, TILE):
                stop = min(start + TILE, size)
                low, high = max(start - self._halo, 0), min(stop + self._halo, size)
                cuts.append((slice(start, stop), slice(start - low, stop - low), slice(low, high)))
            axes.append(cuts)
        for row in axes[0]:
            for column in axes[1]:
                yield tuple(zip(row, column, strict=True))

    def _forward(self, unit: Tensor) -> Tensor:
        """Run the network on images 0-1 of any size: pad to the multiple it needs, crop back."""
        height, width = unit.shape[2:]
        padded = self._pad(unit)
        with self.network.prediction_mode():
            output = self.network(padded)
        if output.shape != padded.shape:
            raise ValueError(
                "expected a network that keeps the shape of its input, got "
                f"{tuple(output.shape)} for {tuple(padded.shape)}"
            )
        return output[:, :, :height, :width]

    def _pad(self, unit: Tensor) -> Tensor:
        """Grow height and width to the next multiple by reflection.

        Where an image is too small for that, its last row and column are repeated.
        """
        bottom, right = (-n % self._multiple for n in unit.shape[2:])
        if not (bottom or right):
            return unit
        mirrors = bottom < unit.shape[2] and right < unit.shape[3]
        return pad(unit, (0, right, 0, bottom), mode="reflect" if mirrors else "replicate")

    def _like(self) -> Tensor:
        """Return a tensor of the network's device and dtype."""
        pairs = self.network.param()
        return pairs[0][0] if pairs else torch.empty(0)

    # ------------------------------------------------------------------ training

    def train(
        self,
        train_input: Tensor,
        train_target: Tensor,
        num_epochs: int = 8,
        *,
        batch_size: int = 16,
        lr: float = 4.0,
        optimiser: str = "sgd",
        schedule: str = "cosine",
        ema: float = 0.0,
        val_input: Tensor | None = None,
        val_target: Tensor | None = None,
        held_out: Pair | None = None,
        seed: int = 0,
        checkpoint: str | os.PathLike | None = None,
        resume: bool = False,
        progress: bool = True,
        on_epoch: Callable[[Model], None] | None = None,
    ) -> History:
        """Train on pairs of noisy images, batch by batch; no clean image is needed.

        Parameters
        ----------
        train_input, train_target : Tensor
            ``(N, 3, H, W)``, 0-255, ``uint8`` or floating point: two independent noisy versions of
            the same N scenes.
        num_epochs : int
            How often every pair is seen.
        batch_size : int
            Pairs per step; the last batch of an epoch may be smaller.
        lr : float
            Highest learning rate. The default suits plain SGD; Adam wants about 1e-3.
        optimiser : str
            A name out of ``optim.OPTIMISERS``.
        schedule : str
            A name out of ``schedules.SCHEDULES``: how the learning rate changes over the run.
        ema : float
            Share of the running mean of the weights that stays from one step to the next, see
            ``optim.WeightAverage``; the mean is what is validated and returned. 0: no mean.
        val_input, val_target : Tensor, optional
            Noisy and clean images to report a PSNR on after every epoch. They only inform: no
            decision depends on them.
        held_out : (Tensor, Tensor), optional
            Two noisy versions of scenes that are not trained on. After every epoch the squared
            error between the denoised first and the second is taken, and the weights with the
            smallest one are returned. It takes no clean image to stop early.
        seed : int
            Seed of the order of the pairs.
        checkpoint : path-like, optional
            File that is written, atomically, after every epoch.
        resume : bool
            Continue from `checkpoint`, if it exists, to the very weights that a run without the
            interruption would have given.
        progress : bool
            Whether to show a progress bar.
        on_epoch : callable, optional
            Called with this model after every epoch.

        Returns
        -------
        History
            Also kept as ``model.history``.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described, if target and input are the same images (there is
            no second noise to learn from), or if the checkpoint belongs to another run.
        DivergedError
            If the loss is no longer a number, or if most of the last 50 losses are more than
            `RISEN` times as large as the first one, and as any error between two images can be.
            The weights are those of the last finished epoch.

        Notes
        -----
        Lehtinen et al. (2018), Noise2Noise: with zero-mean noise, the noisy target moves the
        minimum of the mean squared error no further than the finite number of pairs does.
        """
        check_training_pairs(train_input, train_target)
        _check_count(num_epochs, "num_epochs")
        _check_count(batch_size, "batch_size")
        generator = torch.Generator().manual_seed(seed)

        def batches(first: int) -> Iterator[Pair]:
            # The generator stands where the epoch of step `first` begins.
            while True:
                for rows in torch.randperm(len(train_input), generator=generator).split(batch_size):
                    yield train_input[rows], train_target[rows]

        plan = _Plan(
            batches=batches,
            generator=generator,
            epochs=num_epochs,
            epoch_steps=math.ceil(len(train_input) / batch_size),
            settings={
                "num_epochs": num_epochs,
                "batch_size": batch_size,
                "seed": seed,
                "data": _fingerprint(train_input, train_target),
            },
        )
        return self._fit(
            plan,
            lr=lr,
            optimiser=optimiser,
            schedule=schedule,
            ema=ema,
            validation=_pair_or_none(val_input, val_target, "val_input", "val_target"),
            held_out=held_out,
            checkpoint=checkpoint,
            resume=resume,
            progress=progress,
            on_epoch=on_epoch,
        )

    def train_stream(
        self,
        stream: BatchStream,
        num_steps: int,
        *,
        lr: float = 1e-3,
        optimiser: str = "adam",
        schedule: str = "warmup-cosine",
        ema: float = 0.999,
        epoch_steps: int = 500,
        val_input: Tensor | None = None,
        val_target: Tensor | None = None,
        held_out: Pair | None = None,
        checkpoint: str | os.PathLike | None = None,
        resume: bool = False,
        progress: bool = True,
        on_epoch: Callable[[Model], None] | None = None,
    ) -> History:
        """Train on pairs that are drawn while the network learns, none of them twice.

        Parameters
        ----------
        stream : BatchStream
            Source of the batches, for example a `PairStream`.
        num_steps : int
            Number of steps, which is rounded up to whole epochs.
        epoch_steps : int
            What counts as an epoch: after so many steps the network is validated and a checkpoint
            written.
        lr, optimiser, schedule, ema, val_input, val_target, held_out, checkpoint, resume, progress
            As in `train`.
        on_epoch : callable, optional
            As in `train`.

        Returns
        -------
        History
            Also kept as ``model.history``.

        Raises
        ------
        TypeError, ValueError, DivergedError
            As `train`.
        """
        if not isinstance(stream, BatchStream):
            raise TypeError(f"expected stream to be a BatchStream, got {type(stream).__name__}")
        _check_count(num_steps, "num_steps")
        _check_count(epoch_steps, "epoch_steps")
        epoch_steps = min(epoch_steps, num_steps)
        plan = _Plan(
            batches=stream.batches,
            generator=torch.Generator(),
            epochs=math.ceil(num_steps / epoch_steps),
            epoch_steps=epoch_steps,
            settings={
                "num_steps": num_steps,
                "epoch_steps": epoch_steps,
                "data": stream.description,
            },
        )
        return self._fit(
            plan,
            lr=lr,
            optimiser=optimiser,
            schedule=schedule,
            ema=ema,
            validation=_pair_or_none(val_input, val_target, "val_input", "val_target"),
            held_out=held_out,
            checkpoint=checkpoint,
            resume=resume,
            progress=progress,
            on_epoch=on_epoch,
        )

    def adapt(
        self,
        noisy: Tensor,
        sigma: float,
        num_steps: int = 600,
        *,
        lr: float = 3e-4,
        alpha: float = 0.5,
        batch_size: int = 8,
        patch: int = 64,
        seed: int = 0,
        progress: bool = True,
    ) -> History:
        """Go on training on one noisy image, in order to denoise that image better.

        The image is its own training set: patches of it are split into pairs of independent noise,
        see `noise.recorrupt`. Afterwards the network knows what this image is made of, and
        `predict` leaves more of it; on other images it may do worse, so adapt a copy.

        Parameters
        ----------
        noisy : Tensor
            ``(3, H, W)``, 0-255, ``uint8`` or floating point. Not changed.
        sigma : float
            Standard deviation of its gaussian noise, in grey levels of 255.
        num_steps : int
            Number of steps, of Adam with the schedule warmup-cosine and a running mean of
            the weights.
        lr : float
            Highest learning rate.
        alpha : float
            As in `noise.recorrupt`.
        batch_size, patch : int
            Patches per step, and the side of each in pixels.
        seed : int
            Seed of patches and noise.
        progress : bool
            Whether to show a progress bar.

        Returns
        -------
        History
            Also kept as ``model.history``.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described. The network stays as it was.
        DivergedError
            As in `train`.

        Notes
        -----
        Recorrupting makes the noise of the network's input ``sqrt(1 + alpha**2)`` times as strong.
        A network that was trained at one level (the attribute ``sigma``) is shown the patches on
        the scale on which it has that level, as in `predict`.
        """
        if _check_images(noisy, "noisy").dim() != 3:
            raise ValueError(f"expected noisy of shape (3, H, W), got {tuple(noisy.shape)}")
        _check_level(sigma)
        _check_level(alpha, "alpha")
        _check_count(patch, "patch")
        scale = 1.0 if self.sigma is None else self.sigma / (sigma * math.sqrt(1 + alpha**2))
        stream = RecorruptedStream(
            noisy.detach().cpu().float() * scale,
            sigma * scale,
            batch_size,
            size=patch,
            alpha=alpha,
            seed=seed,
        )
        return self.train_stream(
            stream,
            num_steps,
            lr=lr,
            optimiser="adam",
            schedule="warmup-cosine",
            ema=0.99,
            epoch_steps=num_steps,
            progress=progress,
        )

    def _fit(
        self,
        plan: _Plan,
        *,
        lr: float,
        optimiser: str,
        schedule: str,
        ema: float,
        validation: Pair | None,
        held_out: Pair | None,
        checkpoint: str | os.PathLike | None,
        resume: bool,
        progress: bool,
        on_epoch: Callable[[Model], None] | None,
    ) -> History:
        """Train by a plan: what `train` and `train_stream` share."""
        if validation is not None:
            _check_pairs(*validation, "val_input", "val_target")
        if held_out is not None:
            if not isinstance(held_out, (tuple, list)) or len(held_out) != 2:
                got = type(held_out).__name__
                raise TypeError(f"expected held_out to be a pair of tensors, got {got}")
            _check_noisy_pairs(*held_out, "held_out[0]", "held_out[1]")
        rate_of = find_schedule(schedule)
        run = _Run(
            rule=find_optimiser(optimiser)(self.network, lr),
            average=WeightAverage(self.network, ema) if ema else None,
        )
        if lr > torch.finfo(self._like().dtype).max:
            raise ValueError(f"expected a learning rate within {self._like().dtype}, got {lr}")
        if checkpoint is not None:
            files.check_writable(Path(checkpoint).absolute().parent)
        settings = plan.settings | {
            "network": self.network_name,
            "arguments": self.arguments,
            "dtype": str(self._like().dtype),
            "lr": lr,
            "optimiser": optimiser,
            "schedule": schedule,
            "ema": ema,
            "held_out": None if held_out is None else _fingerprint(*held_out),
        }
        history, group = History(), current()
        if group.leads and resume and checkpoint is not None and Path(checkpoint).exists():
            history = self._restore(checkpoint, settings, plan, run)
        self.history, total = history, plan.epoch_steps * plan.epochs
        if group.size > 1:  # all start where the first process stands
            state = group.tell_all(self._state(settings, plan, run))
            history = self.history = self._go_on_from(state, plan, run)
        bar = tqdm(
            desc="training",
            unit="step",
            total=total,
            initial=len(history.losses),
            disable=not (progress and group.leads),
            mininterval=0.5,
        )
        keep_freed()
        gradients = GradientMean(self.network, group)
        batches = plan.batches(len(history.losses))
        try:
            with bar, torch.no_grad(), self.network.training_mode(), gradients.watching():
                while history.epochs < plan.epochs:
                    first = len(history.losses)
                    rates = [rate_of(lr, first + i, total) for i in range(plan.epoch_steps)]
                    self._train_epoch(batches, rates, run, bar, group, gradients)
                    if not group.leads:
                        continue
                    with run.averaged():
                        self._validate(validation, held_out, run)
                    if checkpoint is not None:
                        files.save(self._state(settings, plan, run), checkpoint)
                    if on_epoch is not None:
                        with run.averaged():
                            on_epoch(self)
                self._show(bar)
        finally:
            batches.close()  # a stream's thread ends here
        run.best = group.tell_all(run.best)
        if run.best is not None:
            self.network.set_params(run.best)
        elif run.average is not None:
            self.network.set_params(run.average.values)
        return history

    def _train_epoch(
        self,
        batches: Iterator[Pair],
        rates: Sequence[float],
        run: _Run,
        bar: tqdm,
        group: Group,
        gradients: GradientMean,
    ) -> None:
        """Take one step per learning rate; put the old weights back if it diverges."""
        started, like = time.perf_counter(), self._like()
        before = [parameter.clone() for parameter, _ in self.network.param()]
        criterion, optimiser = MSELoss(self.network), run.rule
        losses, added_up = torch.zeros(len(rates), device=like.device), 0
        for step, optimiser.lr in enumerate(rates):
            noisy, target = next(batches)
            rows = group.share(len(noisy))
            weight = (rows.stop - rows.start) / len(noisy)
            optimiser.zero_grad()
            with gradients.step(weight):
                if weight:
                    x = self._pad(to_unit(noisy[rows]).to(like, memory_format=CHANNELS_LAST))
                    y = self._pad(to_unit(target[rows]).to(like, memory_format=CHANNELS_LAST))
                    losses[step] = weight * criterion(self.network(x), y)
                    criterion.backward()
            optimiser.step()
            if run.average is not None:
                run.average.update()
            bar.update()
            last = step == len(rates) - 1
            if step % 50 == 49 or last:
                group.add_up(losses[added_up : step + 1])
                added_up = step + 1
                self._show(bar, losses[step].item())
                if problem := self._problem(losses[: step + 1], last):
                    self.network.set_params(before)
                    raise DivergedError(
                        f"{problem} in epoch {self.history.epochs + 1}: expected a learning rate "
                        f"small enough to train with, got {rates[0]:g}; try a tenth of it, or the "
                        f"schedule warmup-cosine{_range_of(like.dtype)}"
                    )
        self.history.losses += losses.tolist()
        self.history.seconds.append(time.perf_counter() - started)

    def _validate(self, validation: Pair | None, held_out: Pair | None, run: _Run) -> None:
        """Measure the present weights; keep those that do best on held-out noisy pairs."""
        history = self.history
        if validation is not None:
            denoised = to_unit(self.predict(validation[0]))
            history.val_psnr.append(psnr(denoised, to_unit(validation[1])))
        if held_out is not None:
            denoised = to_unit(self.predict(held_out[0].float()))
            history.held_out.append(mse(denoised, to_unit(held_out[1])))
            if history.held_out[-1] == min(history.held_out):
                run.best = [parameter.clone() for parameter, _ in self.network.param()]

    def _problem(self, losses: Tensor, last: bool) -> str | None:
        """Say what is wrong with the losses of an epoch so far, or the weights after the last."""
        broken = losses[~torch.isfinite(losses)]
        if len(broken):
            return f"the loss became {broken[0].item()}"
        first = self.history.losses[0] if self.history.losses else losses[0].item()
        recent = losses[-50:].median().item()  # a few bad batches do not count
        if recent > RISEN * max(first, 1.0):  # images 0-1 differ by no more than 1
            return f"the loss rose from {first:.3g} to {recent:.3g}"
        finite = (torch.isfinite(parameter).all() for parameter, _ in self.network.param())
        return "a weight broke" if last and not all(finite) else None

    def _show(self, bar: tqdm, loss: float | None = None) -> None:
        """Write the loss and the validation PSNR behind the progress bar."""
        if loss is None:
            loss = self.history.losses[-1]
        text = f"loss {loss:.5f}"
        if self.history.val_psnr:
            text += f", validation {self.history.val_psnr[-1]:.2f} dB"
        bar.set_postfix_str(text, refresh=False)

    def _state(self, settings: dict, plan: _Plan, run: _Run) -> dict:
        """Return all that a run needs in order to go on from here: what a checkpoint holds."""
        return {
            "format": _CHECKPOINT,
            "settings": settings,
            "parameters": [parameter for parameter, _ in self.network.param()],
            "optimiser": run.rule.state_dict(),
            "average": None if run.average is None else run.average.state_dict(),
            "best": run.best,
            "generator": plan.generator.get_state(),
            "history": asdict(self.history),
        }

    def _go_on_from(self, state: dict, plan: _Plan, run: _Run) -> History:
        """Go on from a state."""
        run.rule.load_state_dict(state["optimiser"])
        for remembered in state["optimiser"]["memory"].values():
            _check_parameters(remembered)
        if run.average is not None:
            run.average.load_state_dict(state["average"])
            _check_parameters(run.average.values)
        self.network.set_params(state["parameters"])
        plan.generator.set_state(state["generator"])
        run.best = state["best"]
        return History(**state["history"])

    def _restore(self, path, settings: dict, plan: _Plan, run: _Run) -> History:
        """Take weights, optimiser, generator and history from a checkpoint; all or nothing."""
        content = files.load(path, "a checkpoint of n2n")
        if not isinstance(content, dict) or content.get("format") != _CHECKPOINT:
            raise ValueError(f"{path}: expected a checkpoint of n2n, got another kind of file")
        try:
            for name, value in settings.items():
                if content["settings"][name] != value:
                    raise _OtherRun(
                        f"{path}: expected a checkpoint of a run with {name} = {value}, "
                        f"got {files.brief(content['settings'][name])}"
                    )
            history, parameters = History(**content["history"]), content["parameters"]
            _check_history(history, plan.epoch_steps)
            _check_parameters(parameters)
            best, held_out = content["best"], settings["held_out"] is not None
            if len(history.held_out) != held_out * history.epochs:
                raise ValueError("expected an error on held-out pairs for each epoch, if any")
            if (best is not None) != held_out:
                raise ValueError("expected best weights if there are held-out pairs")
            if held_out:
                _check_parameters(best)
                if [p.shape for p in best] != [p.shape for p in parameters]:
                    raise ValueError("expected best weights of the shapes of the parameters")
            torch.Generator().set_state(content["generator"])
            return self._go_on_from(content, plan, run)
        except _OtherRun:
            raise
        except Exception as error:  # a damaged file fails in many ways, all to say the same
            raise ValueError(
                f"{path}: expected a whole checkpoint of n2n, got a damaged one "
                f"({files.brief(error)})"
            ) from None

    # ------------------------------------------------------------------ files

    def save_model(self, path: str | os.PathLike) -> Path:
        """Write the weights and the name and arguments of the network, atomically.

        Parameters
        ----------
        path : path-like
            Any name; ``.pth`` is customary. The folder must exist.

        Returns
        -------
        Path
            `path`.

        Raises
        ------
        OSError
            If the file cannot be written. An older file stays as it was.
        """
        return files.save(
            {
                "format": _FORMAT,
                "network": self.network_name,
                "arguments": self.arguments,
                "sigma": self.sigma,
                "parameters": [parameter.cpu() for parameter, _ in self.network.param()],
            },
            path,
        )

    def load_pretrained_model(self, path: str | os.PathLike | None = None) -> None:
        """Become the network that a file holds.

        Parameters
        ----------
        path : path-like, optional
            A file of `save_model`, or a name out of `PRETRAINED` for a model that comes with the
            library; default is "bestmodel". If the file holds a network of your own (not one of
            ``NETWORKS``), build the `Model` around that network first.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is not ours, is damaged, or names a network that is not known. The model
            stays as it was.
        """
        name = "bestmodel" if path is None else path
        path = WEIGHTS / f"{name}.pth" if name in PRETRAINED else Path(path)
        expected = "a model saved by n2n"
        content = files.load(path, expected)
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError(f"{path}: expected {expected}, got another kind of file")
        name, arguments = content.get("network"), content.get("arguments")
        parameters = content.get("parameters")
        if name == "custom" and self.network_name != "custom":
            raise ValueError(
                f"{path}: expected a network out of networks.NETWORKS, got one of your own; "
                "load it into a Model built around that network"
            )
        sigma = content.get("sigma")  # models of the first release have none
        try:
            if sigma is not None:
                _check_level(sigma)
            _check_parameters(parameters)
            if name != "custom":
                _check_shapes(parameters, name, arguments)
            loaded = self if name == "custom" else Model(name, **arguments)
            loaded.network.set_params(parameters)  # checks the shapes before it copies
        except Exception as error:  # a damaged file fails in many ways, all to say the same
            raise ValueError(
                f"{path}: expected {expected}, got a damaged one: {files.brief(error)}"
            ) from None
        if parameters:
            loaded.network.to(parameters[0].dtype)
            loaded.network.set_params(parameters)
        loaded.sigma = sigma
        if loaded is not self:
            device = self._like().device
            vars(self).update(vars(loaded))
            self.network.to(device)

    def to(self, device_or_dtype: torch.device | str | torch.dtype) -> Model:
        """Move the network to a device or convert it to a floating-point dtype."""
        self.network.to(device_or_dtype)
        return self

    def __repr__(self) -> str:
        count = sum(parameter.numel() for parameter, _ in self.network.param())
        return f"Model({self.network_name!r}, {count} parameters)"


def check_training_pairs(train_input: Tensor, train_target: Tensor) -> None:
    """Raise TypeError or ValueError unless both are noisy images of one shape, with other noise."""
    _check_noisy_pairs(train_input, train_target, "train_input", "train_target")


def _check_images(images: Tensor, name: str) -> Tensor:
    """Raise unless `images` are non-empty, finite, 3-channel, ``uint8`` or floating point."""
    if not isinstance(images, Tensor):
        raise TypeError(f"expected {name} to be a tensor, got {type(images).__name__}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise TypeError(f"expected {name} of dtype uint8 or floating point, got {images.dtype}")
    if images.dim() not in (3, 4) or images.shape[-3] != 3:
        raise ValueError(
            f"expected {name} of shape (N, 3, H, W) or (3, H, W), got {tuple(images.shape)}"
        )
    if images.numel() == 0:
        raise ValueError(f"expected {name} to hold an image, got shape {tuple(images.shape)}")
    if images.is_floating_point() and not torch.isfinite(images).all():
        bad = images[~torch.isfinite(images)][0].item()
        raise ValueError(f"expected {name} with finite values, got {bad}")
    return images


def _check_finite(output: Tensor) -> None:
    """Raise unless all that a network computed are numbers: no clamp would tell."""
    if not torch.isfinite(output).all():
        bad = output[~torch.isfinite(output)][0].item()
        raise ValueError(
            f"expected a network that computes finite values, got {bad}{_range_of(output.dtype)}"
        )


def _range_of(dtype: torch.dtype) -> str:
    """Name the dtype where it is a likely reason for an overflow."""
    largest = torch.finfo(dtype).max
    if largest > 1e6:
        return ""
    name = str(dtype).removeprefix("torch.")
    return f"; {name} ends at {largest:.0f}, float32 and bfloat16 do not"


def _check_pairs(first: Tensor, second: Tensor, first_name: str, second_name: str) -> None:
    """Raise unless both are batches of images and of one shape."""
    for images, name in ((first, first_name), (second, second_name)):
        if _check_images(images, name).dim() != 4:
            raise ValueError(f"expected {name} of shape (N, 3, H, W), got {tuple(images.shape)}")
    if first.shape != second.shape:
        raise ValueError(
            f"expected {first_name} and {second_name} of one shape, "
            f"got {tuple(first.shape)} and {tuple(second.shape)}"
        )


def _check_noisy_pairs(first: Tensor, second: Tensor, first_name: str, second_name: str) -> None:
    """Raise unless both are batches of images and of one shape, but not the same images."""
    _check_pairs(first, second, first_name, second_name)
    if torch.equal(first, second):
        raise ValueError(
            f"expected {second_name} with noise of its own, got the images of {first_name}"
        )


def _pair_or_none(first, second, first_name: str, second_name: str) -> Pair | None:
    if (first is None) != (second is None):
        raise ValueError(f"expected {first_name} and {second_name} together, got only one of them")
    return None if first is None else (first, second)


def _check_level(value: float, name: str = "sigma") -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"expected {name} to be a number, got {value!r}")
    if not 0 < value < math.inf:
        raise ValueError(f"expected a finite {name} > 0, got {value}")


def _check_count(value: int, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected {name} to be an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"expected {name} of at least 1, got {value}")


class _OtherRun(ValueError):
    """The checkpoint is whole, but of a run with other settings."""


def _check_history(history: History, steps: int) -> None:
    """Raise unless `history` holds whole epochs of `steps` steps, all numbers."""
    for values in (history.losses, history.val_psnr, history.seconds, history.held_out):
        if not isinstance(values, list) or not all(isinstance(v, float) for v in values):
            raise TypeError("expected lists of numbers in the history")
    if not all(map(math.isfinite, history.losses + history.seconds + history.held_out)):
        raise ValueError("expected finite numbers in the history")
    if len(history.losses) != steps * history.epochs:
        raise ValueError(f"expected {steps} losses for each epoch in the history")
    if max(len(history.val_psnr), len(history.held_out)) > history.epochs:
        raise ValueError("expected at most one validation for each epoch in the history")


def _check_parameters(parameters) -> None:
    """Raise unless `parameters` are plain finite floating-point tensors of one dtype."""
    if not isinstance(parameters, list) or not all(isinstance(p, Tensor) for p in parameters):
        raise TypeError("expected a list of parameter tensors")
    known = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    if len({p.dtype for p in parameters}) > 1 or not all(p.dtype in known for p in parameters):
        raise TypeError("expected parameters of one floating-point dtype")
    if not all(p.layout == torch.strided and p.device.type == "cpu" for p in parameters):
        raise TypeError("expected dense parameters")
    if not all(torch.isfinite(p).all() for p in parameters):
        raise ValueError("expected finite parameters")


def _check_shapes(parameters: Sequence[Tensor], name: str, arguments: dict) -> None:
    """Raise unless the parameters fit the network, which takes no memory to find out."""
    with torch.device("meta"):
        network = find_network(name).build(**arguments)
    expected = [tuple(parameter.shape) for parameter, _ in network.param()]
    got = [tuple(parameter.shape) for parameter in parameters]
    for index, (one, other) in enumerate(zip(expected, got, strict=False)):
        if one != other:
            raise ValueError(f"expected shape {one} for parameter {index}, got {other}")
    if len(expected) != len(got):
        raise ValueError(f"expected {len(expected)} parameter tensors, got {len(got)}")


def _fingerprint(*tensors: Tensor) -> str:
    """Return sizes and a checksum, to tell whether a resumed run sees the same data."""
    checksum = 0
    for tensor in tensors:
        checksum = zlib.crc32(tensor.contiguous().view(torch.uint8).numpy(), checksum)
    sizes = " x ".join(str(size) for size in tensors[0].shape)
    return f"{sizes}, {tensors[0].dtype}, checksum {checksum:08x}"

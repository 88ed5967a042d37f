"""The denoiser as a user sees it: images in, images out (lesson 10; section 3 of the report).

What stands behind it: `prediction` (any size), `saving` (files) and `training` (the loop).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable

from torch import Tensor

from n2n_lib.denoiser.checkpoint import PRETRAINED, WEIGHTS
from n2n_lib.denoiser.images import check_images
from n2n_lib.denoiser.rates import default_rate
from n2n_lib.denoiser.recipe import History, Recipe
from n2n_lib.denoiser.saving import SavableDenoiser
from n2n_lib.denoiser.stream import BatchStream, RecorruptedStream
from n2n_lib.denoiser.training import (
    Batches,
    DivergedError,
    ImagePair,
    Training,
    Watch,
)
from n2n_lib.support.arguments import check_integer, check_number

__all__ = [
    "PRETRAINED",
    "WEIGHTS",
    "DivergedError",
    "History",
    "Model",
]


class Model(SavableDenoiser):
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
    pretrained : bool
        Whether the weights come from a file.
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

    def fit(self, batches: Batches, recipe: Recipe, watch: Watch | None = None) -> History:
        """Train by a recipe: what all ways to train come to.

        Parameters
        ----------
        batches : Batches
            What to train on.
        recipe : Recipe
            How, and for how long.
        watch : Watch, optional
            Validation, checkpoints, progress; by default nothing but a progress bar.

        Returns
        -------
        History
            Also kept as ``model.history``.

        Raises
        ------
        TypeError, ValueError, DivergedError
            As `train`.
        """
        training = Training(self, batches, recipe, watch or Watch())
        self.history = training.history
        return training.run()

    def train(
        self,
        train_input: Tensor,
        train_target: Tensor,
        num_epochs: int = 8,
        *,
        batch_size: int = 16,
        lr: float | None = None,
        optimiser: str = "sgd",
        schedule: str = "cosine",
        ema: float = 0.0,
        val_input: Tensor | None = None,
        val_target: Tensor | None = None,
        held_out: ImagePair | None = None,
        seed: int = 0,
        checkpoint: str | os.PathLike | None = None,
        resume: bool = False,
        progress: bool = True,
        on_epoch: Callable[[Model], None] | None = None,
        threads: int | None = None,
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
        lr : float, optional
            Highest learning rate. By default one that suits the optimiser, the network, and
            whether its weights were loaded, see `rates.default_rate`: 4 with SGD for the report's
            network, 0.04 for weights that were trained before.
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
        threads : int, optional
            Threads to compute on; afterwards PyTorch has as many as before. By default small
            batches take one (`training.SMALL_STEP`) and others as many as pay, up to PyTorch's
            number, as is tried at the start and again while it runs. ``history.threads`` tells
            which. Weights of other numbers differ in their last digits.

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
        if lr is None:
            lr = default_rate(optimiser, self.network_name, trained=self.pretrained)
        recipe = Recipe(
            num_epochs=num_epochs,
            batch_size=batch_size,
            lr=lr,
            optimiser=optimiser,
            schedule=schedule,
            ema=ema,
            seed=seed,
            threads=threads,
        )
        validation = _pair_or_none(val_input, val_target)
        watch = Watch(validation, held_out, checkpoint, resume, progress, on_epoch)
        return self.fit(Batches.of_pairs(train_input, train_target, recipe), recipe, watch)

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
        held_out: ImagePair | None = None,
        checkpoint: str | os.PathLike | None = None,
        resume: bool = False,
        progress: bool = True,
        on_epoch: Callable[[Model], None] | None = None,
        threads: int | None = None,
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
        on_epoch, threads
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
        recipe = Recipe(
            num_steps=num_steps,
            epoch_steps=epoch_steps,
            lr=lr,
            optimiser=optimiser,
            schedule=schedule,
            ema=ema,
            threads=threads,
        )
        validation = _pair_or_none(val_input, val_target)
        watch = Watch(validation, held_out, checkpoint, resume, progress, on_epoch)
        return self.fit(Batches.of_stream(stream, recipe), recipe, watch)

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
        threads: int | None = None,
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
        progress, threads
            As in `train`.

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
        if check_images(noisy, "noisy").dim() != 3:
            raise ValueError(f"expected noisy of shape (3, H, W), got {tuple(noisy.shape)}")
        check_number("sigma", sigma, above=0)
        check_number("alpha", alpha, above=0)
        check_integer("patch", patch, 1)
        scale = 1.0 if self.sigma is None else self.sigma / (sigma * math.sqrt(1 + alpha**2))
        stream = RecorruptedStream(
            noisy.detach().cpu().float() * scale,
            sigma * scale,
            batch_size,
            size=patch,
            alpha=alpha,
            seed=seed,
        )
        recipe = Recipe(
            num_steps=num_steps,
            epoch_steps=num_steps,
            lr=lr,
            optimiser="adam",
            schedule="warmup-cosine",
            ema=0.99,
            threads=threads,
        )
        return self.fit(Batches.of_stream(stream, recipe), recipe, Watch(progress=progress))


def _pair_or_none(first: Tensor | None, second: Tensor | None) -> ImagePair | None:
    return None if first is None and second is None else (first, second)

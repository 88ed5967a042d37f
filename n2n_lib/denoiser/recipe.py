"""How to train, and what happened: the two things that every training has to tell."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from n2n_lib.framework.optim import find_optimiser
from n2n_lib.framework.schedules import find_schedule
from n2n_lib.support.arguments import check_integer, check_number


@dataclass(frozen=True)
class Recipe:
    """How to train and for how long: all that decides on the weights beside network and images.

    Attributes
    ----------
    num_pairs : int
        Pairs that are drawn before the training, where they are not given.
    num_epochs : int
        How often every pair is seen.
    num_steps : int or None
        Draw fresh pairs for so many steps, rounded up to whole epochs, in place of `num_pairs` and
        `num_epochs`.
    epoch_steps : int
        With `num_steps`: what counts as an epoch. After each the network is validated and a
        checkpoint written.
    batch_size : int
        Pairs to a step.
    lr : float
        Highest learning rate. The default suits plain SGD; Adam wants about 1e-3.
    optimiser : str
        A name out of ``optim.OPTIMISERS``.
    schedule : str
        A name out of ``schedules.SCHEDULES``: how the learning rate changes over the run.
    ema : float
        Share of the running mean of the weights that stays from one step to the next, see
        ``optim.WeightAverage``; the mean is what is validated and returned. 0: no mean.
    seed : int
        Seed of pairs and of their order.
    clean_targets : bool
        With `num_steps`: train towards clean images, which Noise2Noise does without.
    weight_floor : float
        Weigh the squared error of each pair by the inverse of the variance of its noise, to which
        the square of so many grey levels of 255 is added, see ``training.pair_weights``: else pairs
        with much noise decide alone, where noise differs. 0: all pairs count alike.
    threads : int or None
        Threads to compute on. None: one where the batches are small, see ``training.SMALL_STEP``,
        and else as many as pay while it runs, see ``support.threads``; `History` tells which.

    Raises
    ------
    TypeError, ValueError
        If a number is not a positive integer, or a name unknown. Learning rate and mean are
        validated by the optimiser and the mean themselves.

    Examples
    --------
    >>> Recipe(num_steps=7, epoch_steps=5).epochs
    2
    """

    num_pairs: int = 50_000
    num_epochs: int = 8
    num_steps: int | None = None
    epoch_steps: int = 500
    batch_size: int = 16
    lr: float = 4.0
    optimiser: str = "sgd"
    schedule: str = "cosine"
    ema: float = 0.0
    seed: int = 0
    clean_targets: bool = False
    weight_floor: float = 0.0
    threads: int | None = None

    def __post_init__(self) -> None:
        counts = ["num_pairs", "batch_size"]
        counts += ["num_epochs"] if self.num_steps is None else ["num_steps", "epoch_steps"]
        counts += [] if self.threads is None else ["threads"]
        for name in counts:
            check_integer(name, getattr(self, name), 1)
        check_number("weight_floor", self.weight_floor, 0)
        if self.clean_targets and self.num_steps is None:
            raise ValueError("expected num_steps with clean_targets, got none")
        find_optimiser(self.optimiser)
        find_schedule(self.schedule)

    @property
    def epochs(self) -> int:
        """Number of epochs."""
        if self.num_steps is None:
            return self.num_epochs
        return math.ceil(self.num_steps / self.steps_per_epoch())

    def steps_per_epoch(self, pairs: int | None = None) -> int:
        """Return how many steps an epoch has; on fresh pairs, their number does not matter."""
        if self.num_steps is None:
            return math.ceil(pairs / self.batch_size)
        return min(self.epoch_steps, self.num_steps)


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
    threads : list of [int, int]
        A step, counted from 0, and how many threads were computed on from it on: one entry, where
        the number never changed. Sums of other parts differ in their last digits.
    """

    losses: list[float] = field(default_factory=list)
    val_psnr: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    held_out: list[float] = field(default_factory=list)
    threads: list[list[int]] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.seconds)

"""Learning rates that change over time.

A schedule is a function of the highest rate, the number of the step, from 0, and the number of all
steps; it returns the rate of this step:

>>> for step in range(4):
...     optimiser.lr = cosine(0.1, step, total=4)  # 0.1, 0.0854, 0.05, 0.0146
...     # forward, loss, backward
...     optimiser.step()
"""

from __future__ import annotations

import math
from collections.abc import Callable

from n2n_lib.support.arguments import check_integer


def constant(lr: float, step: int, total: int) -> float:
    """Return `lr`, whatever the step.

    Parameters
    ----------
    lr : float
        The rate.
    step, total : int
        Number of the step, from 0, and of all steps.
    """
    return lr


def step_decay(
    lr: float, step: int, total: int, *, step_size: int | None = None, gamma: float = 0.1
) -> float:
    r"""Return the learning rate of a step when it falls by a factor every `step_size` steps.

    .. math:: \text{lr}\, \gamma^{\lfloor \text{step} / \text{step\_size} \rfloor}

    Parameters
    ----------
    lr : float
        Rate of step 0.
    step, total : int
        Number of the step, from 0, and of all steps.
    step_size : int, optional
        Steps between two falls; default is a third of `total`, rounded up.
    gamma : float
        The factor.

    Raises
    ------
    TypeError, ValueError
        If `step_size` is not a positive integer.

    Notes
    -----
    ``torch.optim.lr_scheduler.StepLR``.
    """
    step_size = max(1, -(-total // 3)) if step_size is None else step_size
    check_integer("step_size", step_size, minimum=1)
    return lr * gamma ** (step // step_size)


def cosine(lr: float, step: int, total: int) -> float:
    r"""Return the learning rate of a step when it falls from `lr` to 0 along half a cosine.

    .. math:: \tfrac{1}{2}\,\text{lr}\,(1 + \cos(\pi\,\text{step} / \text{total}))

    Parameters
    ----------
    lr : float
        Rate of step 0.
    step, total : int
        Number of the step, from 0, and of all steps.

    Notes
    -----
    Loshchilov and Hutter (2017), SGDR, equation 5 without restarts.
    """
    return 0.5 * lr * (1 + math.cos(math.pi * step / total))


def warmup_cosine(
    lr: float, step: int, total: int, *, warmup: int | None = None, start_factor: float = 0.01
) -> float:
    r"""Return the learning rate of a step when it first rises to `lr`, then falls along a cosine.

    .. math::

        \text{lr}\, \bigl(f + (1 - f)\, \text{step} / w\bigr) \quad \text{for step} < w,
        \quad\text{then}\quad
        \tfrac{1}{2}\,\text{lr}\, \Bigl(1 + \cos \pi \frac{\text{step} - w}{\text{total} - w}\Bigr)

    Parameters
    ----------
    lr : float
        Rate of step `warmup`, the highest.
    step, total : int
        Number of the step, from 0, and of all steps.
    warmup : int, optional
        Number w of rising steps; default is a twentieth of `total`, rounded down.
    start_factor : float
        The share f of `lr` that step 0 takes.

    Raises
    ------
    ValueError
        If `warmup` is not between 0 and below `total`.

    Notes
    -----
    ``LinearLR``, then ``CosineAnnealingLR`` of ``torch.optim.lr_scheduler``. Adam's first steps
    divide by means of few gradients; small ones do no harm.
    """
    warmup = total // 20 if warmup is None else warmup
    if not 0 <= warmup < total:
        raise ValueError(f"expected warmup from 0 to below the {total} steps, got {warmup}")
    if step < warmup:
        return lr * (start_factor + (1 - start_factor) * step / warmup)
    return cosine(lr, step - warmup, total - warmup)


SCHEDULES: dict[str, Callable[[float, int, int], float]] = {
    "constant": constant,
    "step": step_decay,
    "cosine": cosine,
    "warmup-cosine": warmup_cosine,
}
"""The schedules that training knows by name: functions of rate, step and number of steps."""


def find_schedule(name: str) -> Callable[[float, int, int], float]:
    """Return the entry of `SCHEDULES`.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if name not in SCHEDULES:
        raise ValueError(f"expected a schedule out of {', '.join(SCHEDULES)}, got {name!r}")
    return SCHEDULES[name]

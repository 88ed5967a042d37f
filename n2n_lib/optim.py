"""Optimisers linked to a network (lesson 07; section 2.6 of the report)."""

from __future__ import annotations

import math

import torch

from n2n_lib.module import Module


class SGD:
    r"""Stochastic gradient descent: :math:`\theta \leftarrow \theta - \text{lr}\, g`.

    Parameters
    ----------
    model : Module
        The network whose parameters are trained.
    lr : float
        Learning rate; may be changed between steps (``optimiser.lr = ...``).

    Raises
    ------
    TypeError, ValueError
        If `lr` is not a finite positive number that fits into float32.

    Notes
    -----
    Section 2.6 of the report.
    """

    def __init__(self, model: Module, lr: float) -> None:
        if isinstance(lr, bool) or not isinstance(lr, (int, float)):
            raise TypeError(f"expected the learning rate to be a number, got {lr!r}")
        if not 0 < lr <= torch.finfo(torch.float32).max:
            raise ValueError(f"expected a positive finite learning rate, got {lr}")
        self.model, self.lr = model, lr

    def zero_grad(self) -> None:
        """Set the gradients of the network to zero."""
        self.model.zero_grad()

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter against its gradient."""
        for parameter, grad in self.model.param():
            parameter.add_(grad, alpha=-self.lr)

    def __repr__(self) -> str:
        return f"SGD(lr={self.lr})"


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

"""The highest learning rate of a training where nobody names one."""

from __future__ import annotations

from n2n_lib.framework.optim import find_optimiser

RATES = {"sgd": 4.0, "momentum": 0.4, "nesterov": 0.4, "adagrad": 1e-2, "adam": 1e-3}
"""By optimiser, for the report's network and random weights."""

STEEP = {"unet": 0.025}
"""Networks without a last sigmoid diverge at the rates of the report's: their share of `RATES`."""

TRAINED = {"sgd": 0.01, "momentum": 0.01, "nesterov": 0.01, "adagrad": 0.1, "adam": 0.1}
"""Share of `RATES` from weights that were trained before, which large steps would undo.

One epoch of 3 000 pairs moves a trained ``strided`` network by -2.0 dB at the rate of random
weights for SGD, by -0.1 dB at a tenth, and not at all at a hundredth; for a U-Net a tenth is still
too much.
"""


def default_rate(optimiser: str, network: str = "report", *, trained: bool = False) -> float:
    """Return a learning rate that suits an optimiser, a network and the weights it starts from.

    Parameters
    ----------
    optimiser : str
        A name out of ``optim.OPTIMISERS``.
    network : str
        A name out of ``networks.NETWORKS``; any other counts as the report's.
    trained : bool
        Whether the weights were trained before.

    Raises
    ------
    ValueError
        If there is no such optimiser.
    """
    find_optimiser(optimiser)
    if trained:
        return RATES[optimiser] * TRAINED[optimiser]
    gradient_descent = optimiser in ("sgd", "momentum", "nesterov")
    return RATES[optimiser] * (STEEP.get(network, 1.0) if gradient_descent else 1.0)

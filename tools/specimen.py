"""Train the network that the capstone's specimen hands in, and keep its numbers.

``python -m tools.specimen`` builds the skeleton of the lesson, trains it on noisy pairs as a
student would, and writes ``capstone.bin`` beside it. It takes a minute or two.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from tqdm import trange

from n2n_lib import sample_pairs, to_unit
from n2n_lib.course.check import EXERCISES, save_numbers
from n2n_lib.course.check.hand_in import FILE
from n2n_lib.framework.losses import MSELoss
from n2n_lib.framework.module import Module
from n2n_lib.framework.optim import Adam

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"

PAIRS, BATCH, RATE = 3000, 8, 4e-3
"""As in the lesson, but for the rate, which is twice as high."""


def trained(seed: int, steps: int) -> Module:
    """Build the lesson's network and train it, in both directions, along half a cosine."""
    source = torch.Generator().manual_seed(0)
    pairs = sample_pairs(PAIRS, generator=source, with_clean=False)
    noisy1, noisy2 = to_unit(pairs.noisy1), to_unit(pairs.noisy2)
    network = EXERCISES["build_network"].solution(seed)
    criterion, optimiser = MSELoss(network), Adam(network, RATE)
    source = torch.Generator().manual_seed(seed)
    for step in trange(steps):
        rows = torch.randint(PAIRS, (BATCH,), generator=source)
        x, t = noisy1[rows], noisy2[rows]
        if torch.rand((), generator=source) < 0.5:
            x, t = t, x
        optimiser.lr = RATE * (1 + math.cos(math.pi * step / steps)) / 2
        criterion(network(x), t)
        optimiser.zero_grad()
        criterion.backward()
        optimiser.step()
    return network


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=5000)
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    network = trained(arguments.seed, arguments.steps)
    count = save_numbers(network, str(NOTEBOOKS / FILE))
    print(f"{count} numbers written to {NOTEBOOKS / FILE}")


if __name__ == "__main__":
    main()

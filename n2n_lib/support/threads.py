"""How many threads PyTorch computes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let PyTorch compute on so many threads and then on as many as before.

    Where the work is thousands of small operations, one is best: sharing each among threads saves
    little, and when other programs keep the cores busy the threads wait for each other ten times
    as long as they work.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

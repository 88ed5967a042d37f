"""How many threads PyTorch computes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute on one thread and then on as many as before.

    Sampling is thousands of small operations. Sharing each among threads saves nothing, and when
    other programs keep the cores busy the threads wait for each other ten times as long as they
    work.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

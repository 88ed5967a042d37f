"""Exercises of lesson 13, one network on many processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from n2n_lib.course.check.engine import Case, Exercise, run, values

# ------------------------------------------------------------------------------ mean_gradient


def _gradients_case(
    name: str, counts: Sequence[int], shape: tuple[int, ...], dtype: torch.dtype = torch.float64
) -> Case:
    grads = [values(shape, 70 + rank, dtype) for rank in range(len(counts))]
    sizes = {"the batch": sum(counts), "the number of processes": len(counts)}
    return Case(name, {"grads": grads, "counts": list(counts)}, sizes)


def _weighted(grads: list[Tensor], counts: list[int]) -> Tensor:
    total = sum(counts)
    return sum(count / total * grad for grad, count in zip(grads, counts, strict=True))


def _combined(weigh: Callable[[list[int], int], float]) -> Callable[..., Tensor]:
    """Make a wrong answer: the sum of the gradients times a weight of (counts, rank)."""
    return lambda grads, counts: sum(weigh(counts, rank) * g for rank, g in enumerate(grads))


MEAN_GRADIENT = Exercise(
    name="mean_gradient",
    lesson=13,
    title="The gradient of a batch from those of its shares",
    hint="The batch has sum(counts) pairs. Ask of each gradient which part of them it stands for.",
    returns=("gradient",),
    cases=(
        _gradients_case("one process", [4], (2, 3)),
        _gradients_case("equal shares", [2, 2], (2, 3)),
        _gradients_case("unequal shares", [2, 3], (2, 3)),
        _gradients_case("three processes", [3, 2, 2], (4,)),
        _gradients_case("a share of nothing", [1, 0, 1], (3, 1)),
        _gradients_case("float32", [1, 4], (2, 2), torch.float32),
    ),
    reference=_weighted,
    mistakes=(
        (
            "That is the mean of the means: right where all shares are equal, and only there. "
            "Weight each gradient with its part of the batch.",
            _combined(lambda counts, rank: 1 / len(counts)),
        ),
        (
            "The gradients are added up, each in full: together they should weigh 1.",
            _combined(lambda counts, rank: 1),
        ),
        (
            "Each gradient is multiplied by its count: now divide by the size of the whole batch.",
            _combined(lambda counts, rank: counts[rank]),
        ),
        (
            "The weights are upside down: a large share has a small weight.",
            _combined(lambda counts, rank: counts[rank] and sum(counts) / counts[rank]),
        ),
        (
            "The counts are divided by the largest of them: divide by their sum, so that the "
            "weights add up to 1.",
            _combined(lambda counts, rank: counts[rank] / max(counts)),
        ),
        (
            "It is divided by the size of the batch, but the counts are missing: each gradient is "
            "a mean over its own share already.",
            _combined(lambda counts, rank: 1 / sum(counts)),
        ),
        (
            "It is the weighted mean divided by the number of processes once more.",
            _combined(lambda counts, rank: counts[rank] / sum(counts) / len(counts)),
        ),
        (
            "The counts and the gradients do not belong together: the first gradient has the last "
            "count.",
            lambda grads, counts: _weighted(grads, counts[::-1]),
        ),
        (
            "Only the first process has a say.",
            lambda grads, counts: 1 * grads[0],
        ),
        (
            "Only the last process has a say: does a loop overwrite what it should add to?",
            lambda grads, counts: counts[-1] / sum(counts) * grads[-1],
        ),
    ),
)


def mean_gradient(function: Callable[[list[Tensor], list[int]], Tensor]) -> None:
    """Check ``mean_gradient(grads, counts)``."""
    run(MEAN_GRADIENT, function)


# ------------------------------------------------------------------------------ ring_seconds


def _ring_case(name: str, processes: int, size: float, bandwidth: float, latency: float) -> Case:
    arguments = {"processes": processes, "size": size, "bandwidth": bandwidth, "latency": latency}
    return Case(name, arguments)


RING_SECONDS = Exercise(
    name="ring_seconds",
    lesson=13,
    title="How long an all-reduce takes",
    hint="Count the messages of one process. Each takes the latency, and its bytes over bandwidth.",
    returns=("seconds",),
    cases=(
        _ring_case("two processes", 2, 8e6, 1e6, 0.25),
        _ring_case("five processes", 5, 3e6, 2e6, 0.5),
        _ring_case("no latency", 4, 6e6, 1e6, 0.0),
        _ring_case("one process", 1, 8e6, 1e6, 0.25),
    ),
    reference=lambda p, size, bandwidth, latency: 2.0 * (p - 1) * (latency + size / p / bandwidth),
    mistakes=(
        (
            "Half of the messages are missing: a piece goes around once to collect, and once more "
            "to hand out.",
            lambda p, size, bandwidth, latency: (p - 1.0) * (latency + size / p / bandwidth),
        ),
        (
            "One message too many in each round: with P processes in a ring, P - 1 steps bring a "
            "piece to all of them.",
            lambda p, size, bandwidth, latency: 2.0 * p * (latency + size / p / bandwidth),
        ),
        (
            "Every message carries the whole tensor: it is cut into as many pieces as there are "
            "processes.",
            lambda p, size, bandwidth, latency: 2.0 * (p - 1) * (latency + size / bandwidth),
        ),
        (
            "The latency is paid once only: every message has it.",
            lambda p, size, bandwidth, latency: latency + 2.0 * (p - 1) * size / p / bandwidth,
        ),
        (
            "The latency is missing.",
            lambda p, size, bandwidth, latency: 2.0 * (p - 1) * size / p / bandwidth,
        ),
        (
            "The bytes are multiplied by the bandwidth: bytes over bytes per second are seconds.",
            lambda p, size, bandwidth, latency: 2.0 * (p - 1) * (latency + size / p * bandwidth),
        ),
        (
            "The latency is divided among the processes: each message has it in full.",
            lambda p, size, bandwidth, latency: 2.0 * (p - 1) * (latency + size / bandwidth) / p,
        ),
        (
            "A piece has size / (P - 1) bytes: it is cut for P processes, the one that holds it "
            "among them.",
            lambda p, size, bandwidth, latency: (
                2.0 * (p - 1) * (latency + size / max(1, p - 1) / bandwidth)
            ),
        ),
        (
            "Only the bytes are counted twice: every message has a latency, on both rounds.",
            lambda p, size, bandwidth, latency: (
                (p - 1) * latency + 2.0 * (p - 1) * size / p / bandwidth
            ),
        ),
    ),
)


def ring_seconds(function: Callable[[int, float, float, float], float]) -> None:
    """Check ``ring_seconds(processes, size, bandwidth, latency)``."""
    run(RING_SECONDS, function)

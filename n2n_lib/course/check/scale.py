"""Exercises on one network on many processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise

# ----------------------------------------------------------------------------------- mean_gradient


def _gradients_case(
    name: str, counts: Sequence[int], shape: tuple[int, ...], dtype: torch.dtype = torch.float64
) -> Case:
    grads = [values(shape, 70 + rank, dtype) for rank in range(len(counts))]
    sizes = {"the batch": sum(counts), "the number of processes": len(counts)}
    return Case(name, {"grads": grads, "counts": list(counts)}, sizes)


@exercise(
    topic="scale",
    title="The gradient of a batch from those of its shares",
    hints=(
        "Would the plain mean of the gradients be right if one share were much smaller than the "
        "others? Each gradient is a mean over its own share.",
        "A mean over n_p pairs times n_p is a sum; the sums of all shares, added and divided by "
        "the number of all pairs, are the mean of the batch. So the gradient of share p has the "
        "weight n_p / (n_1 + ... + n_P).",
        "`sum(count / total * grad for grad, count in zip(grads, counts))`, where `total = "
        "sum(counts)`.",
    ),
    returns=("gradient",),
    cases=(
        _gradients_case("one process", [4], (2, 3)),
        _gradients_case("equal shares", [2, 2], (2, 3)),
        _gradients_case("unequal shares", [2, 3], (2, 3)),
        _gradients_case("three processes", [3, 2, 2], (4,)),
        _gradients_case("a share of nothing", [1, 0, 1], (3, 1)),
        _gradients_case("float32", [1, 4], (2, 2), torch.float32),
    ),
)
def mean_gradient(grads: list[Tensor], counts: list[int]) -> Tensor:
    """Check ``mean_gradient(grads, counts)``."""
    total = 0
    for grad, count in zip(grads, counts, strict=True):
        total = total + count / sum(counts) * grad
    return total


mean_gradient.mistakes = (
    Mistake(
        "That is the mean of the means: right where all shares are equal, and only there. Weight "
        "each gradient with its part of the batch.",
        "return sum(grads) / len(grads)",
        likely="mean of means",
    ),
    Mistake(
        "The gradients are added up, each in full: together they should weigh 1.",
        "return sum(grads)",
        likely="a sum",
    ),
    Mistake(
        "Each gradient is multiplied by its count: now divide by the size of the whole batch.",
        but((" / sum(counts)", "")),
        likely="not divided",
    ),
    Mistake(
        "The weights are upside down: a large share has a small weight.",
        but(("count / sum(counts)", "(count and sum(counts) / count)")),
        likely="upside down",
    ),
    Mistake(
        "The counts are divided by the largest of them: divide by their sum, so that the weights "
        "add up to 1.",
        but(("sum(counts)", "max(counts)")),
        likely="by the largest",
    ),
    Mistake(
        "It is divided by the size of the batch, but the counts are missing: each gradient is a "
        "mean over its own share already.",
        but(("count / sum", "1 / sum")),
    ),
    Mistake(
        "It is the weighted mean divided by the number of processes once more.",
        but(("return total", "return total / len(grads)")),
    ),
    Mistake(
        "The counts and the gradients do not belong together: the first gradient has the last "
        "count.",
        but(("zip(grads, counts,", "zip(grads, reversed(counts),")),
    ),
    Mistake(
        "Only the first process has a say.",
        "return grads[0].clone()",
    ),
    Mistake(
        "Only the last process has a say: does a loop overwrite what it should add to?",
        but(("total + count", "count")),
    ),
)


# ------------------------------------------------------------------------------------ ring_seconds


def _ring_case(name: str, processes: int, size: float, bandwidth: float, latency: float) -> Case:
    arguments = {"processes": processes, "size": size, "bandwidth": bandwidth, "latency": latency}
    return Case(name, arguments)


@exercise(
    topic="scale",
    title="How long an all-reduce takes",
    hints=(
        "How many rounds pass until every piece is summed, and how many more until every process "
        "has every sum? There are as many pieces as processes.",
        "Each process sends 2 (P - 1) messages, one after the other, of size / P bytes. A message "
        "takes the latency and its bytes over the bandwidth.",
        "`messages = 2 * (processes - 1)`, each of `latency + size / processes / bandwidth` "
        "seconds.",
    ),
    returns=("seconds",),
    cases=(
        _ring_case("two processes", 2, 8e6, 1e6, 0.25),
        _ring_case("five processes", 5, 3e6, 2e6, 0.5),
        _ring_case("no latency", 4, 6e6, 1e6, 0.0),
        _ring_case("one process", 1, 8e6, 1e6, 0.25),
    ),
)
def ring_seconds(processes: int, size: float, bandwidth: float, latency: float) -> float:
    """Check ``ring_seconds(processes, size, bandwidth, latency)``."""
    messages = 2.0 * (processes - 1)
    return messages * (latency + size / processes / bandwidth)


ring_seconds.mistakes = (
    Mistake(
        "Half of the messages are missing: a piece goes around once to collect, and once more to "
        "hand out.",
        but(("2.0 * ", "")),
        likely="once around",
    ),
    Mistake(
        "One message too many in each round: with P processes in a ring, P - 1 steps bring a "
        "piece to all of them.",
        but(("(processes - 1)", "processes")),
        likely="one too many",
    ),
    Mistake(
        "Every message carries the whole tensor: it is cut into as many pieces as there are "
        "processes.",
        but(("size / processes", "size")),
        likely="whole tensor",
    ),
    Mistake(
        "The latency is paid once only: every message has it.",
        "return latency + 2 * (processes - 1) * size / processes / bandwidth",
        likely="latency once",
    ),
    Mistake(
        "The latency is missing.",
        but(("latency + ", "")),
        likely="no latency",
    ),
    Mistake(
        "The bytes are multiplied by the bandwidth: bytes over bytes per second are seconds.",
        but(("/ bandwidth", "* bandwidth")),
    ),
    Mistake(
        "The latency is divided among the processes: each message has it in full.",
        but(
            (
                "latency + size / processes / bandwidth",
                "latency / processes + size / processes / bandwidth",
            )
        ),
    ),
    Mistake(
        "A piece has size / (P - 1) bytes: it is cut for P processes, the one that holds it "
        "among them.",
        but(("size / processes", "size / max(1, processes - 1)")),
    ),
    Mistake(
        "Only the bytes are counted twice: every message has a latency, on both rounds.",
        but(("2.0 * ", ""), ("size /", "2 * size /")),
    ),
)

"""Training: the report's network and the same network in torch.nn walk the same path."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from reference import (
    copy_values,
    every_kernel_set,
    generator,
    relative_error,
    torch_report_network,
)
from torch import Tensor, nn

from n2n_lib.denoiser.networks import report_network
from n2n_lib.framework.containers import Sequential
from n2n_lib.framework.kernels import use_kernels
from n2n_lib.framework.losses import MSELoss
from n2n_lib.framework.optim import SGD
from n2n_lib.framework.torch_twin import torch_twin

STEPS, BATCH, RATE, SIZE = 200, 16, 1.0, 32


@cache
def batches() -> list[tuple[Tensor, Tensor]]:
    """Pairs of noisy copies of random smooth images, the input centred on zero.

    With a brighter input or more contrast this learning rate is at the edge of stability: there
    torch.nn in float32 strays by more than 1e-3 from torch.nn in float64, and nothing could be
    concluded. With these images it stays within 1e-4, which a test below makes sure of.
    """
    source, pairs = generator(1), []
    for _ in range(8):
        coarse = 0.25 + 0.5 * torch.rand(BATCH, 3, 4, 4, generator=source)
        clean = nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bicubic")
        noise = 0.1 * torch.randn(2, *clean.shape, generator=source)
        pairs.append((clean + noise[0] - 0.5, clean + noise[1]))
    return pairs


def initial_network(dtype: torch.dtype = torch.float32) -> Sequential:
    return report_network(generator=generator(0)).to(dtype)


def train_torch(network: nn.Module, steps: int = STEPS) -> tuple[list[float], list[Tensor]]:
    criterion = nn.MSELoss()
    optimiser = torch.optim.SGD(network.parameters(), lr=RATE)
    dtype, losses = next(network.parameters()).dtype, []
    with torch.enable_grad():
        for step in range(steps):
            noisy, target = (x.to(dtype) for x in batches()[step % len(batches())])
            loss = criterion(network(noisy), target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    return losses, [p.detach() for p in network.parameters()]


@cache
def reference(
    dtype: torch.dtype = torch.float32, steps: int = STEPS
) -> tuple[list[float], list[Tensor]]:
    """The losses and final weights of plain torch.nn classes; computed once."""
    return train_torch(copy_values(initial_network(dtype), torch_report_network()), steps)


def assert_trains_like_torch(kernel_set: str, dtype: torch.dtype, steps: int, tolerance: float):
    network = initial_network(dtype)
    criterion, optimiser = MSELoss(network), SGD(network, RATE)
    losses, weights = reference(dtype, steps)
    network.needs_input_grad = False  # as in training
    with use_kernels(kernel_set):
        for step in range(steps):
            noisy, target = (x.to(dtype) for x in batches()[step % len(batches())])
            loss = criterion(network(noisy), target)
            optimiser.zero_grad()
            criterion.backward()
            optimiser.step()
            error = abs(loss.item() - losses[step]) / losses[step]
            assert error < tolerance, f"step {step}: {loss.item()} in place of {losses[step]}"
    for (value, _), weight in zip(network.param(), weights, strict=True):
        assert relative_error(value, weight) < tolerance


@every_kernel_set
def test_training_equals_torch(kernel_set: str) -> None:
    assert_trains_like_torch(kernel_set, torch.float32, STEPS, 1e-3)


@every_kernel_set
def test_training_in_float64_equals_torch_closely(kernel_set: str) -> None:
    """No rounding to hide behind: the two programs compute the same thing."""
    assert_trains_like_torch(kernel_set, torch.float64, 30, 1e-9)


def test_the_comparison_is_well_conditioned() -> None:
    single, double = reference()[0], reference(torch.float64, 30)[0]
    assert single[: len(double)] == pytest.approx(double, rel=1e-4)


def test_the_reference_learns() -> None:
    """Otherwise two networks that stand still would count as equal."""
    losses, weights = reference()
    assert sum(losses[-8:]) < 0.5 * sum(losses[:8])
    for (value, _), weight in zip(initial_network().param(), weights, strict=True):
        assert relative_error(weight, value) > 1e-2


def test_torch_twin_trains_like_the_reference() -> None:
    """Our reference network is written out in the tests; `torch_twin` must build the same one."""
    losses, weights = train_torch(torch_twin(initial_network()))
    assert losses == pytest.approx(reference()[0], rel=1e-6)
    for value, weight in zip(weights, reference()[1], strict=True):
        assert relative_error(value, weight) < 1e-5

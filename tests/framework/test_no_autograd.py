"""The rule of the house that no linter sees: training calls no autograd and no torch.nn."""

from __future__ import annotations

import pytest
import torch
from reference import every_kernel_set, generator, random_values
from torch import nn

from n2n_lib.framework.activations import ELU, LeakyReLU, ReLU, Sigmoid
from n2n_lib.framework.containers import Sequential
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.kernels import use_kernels
from n2n_lib.framework.losses import MSELoss
from n2n_lib.framework.optim import SGD
from n2n_lib.framework.upsampling import NNUpsampling, Upsampling


@every_kernel_set
def test_training_calls_no_autograd(kernel_set: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What source text cannot tell: whose `backward` is called. Also with autograd left on."""

    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("autograd was used")

    monkeypatch.setattr(torch.Tensor, "backward", refuse)
    monkeypatch.setattr(torch.Tensor, "requires_grad_", refuse)
    monkeypatch.setattr(torch.autograd, "backward", refuse)
    monkeypatch.setattr(torch.autograd, "grad", refuse)
    monkeypatch.setattr(nn.Module, "__init__", refuse)
    source = generator(0)
    network = Sequential(
        Conv2d(3, 4, 2, stride=2, generator=source),
        ReLU(inplace=True),
        LeakyReLU(),
        NNUpsampling(),
        ELU(),
        Upsampling(4, 3, 3, padding=1, scale_factor=1, generator=source),
        Sigmoid(),
    )
    criterion, optimiser = MSELoss(network), SGD(network, lr=0.5)
    x, target = random_values((2, 3, 8, 8), 1), random_values((2, 3, 8, 8), 2)
    losses = []
    with torch.set_grad_enabled(True), use_kernels(kernel_set):
        for _ in range(5):
            output = network(x)
            loss = criterion(output, target)
            optimiser.zero_grad()
            grad_input = criterion.backward()
            optimiser.step()
            losses.append(loss.item())
            tensors = [output, loss, grad_input, *(t for pair in network.param() for t in pair)]
            assert not any(tensor.requires_grad for tensor in tensors)
    assert losses[-1] < losses[0]

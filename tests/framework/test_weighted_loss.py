"""Weights of the mean squared error, against autograd."""

from __future__ import annotations

import pytest
import torch

from n2n_lib import MSELoss
from n2n_lib.framework.kernels import use_kernels


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("kernels", ["unfold", "fast"])
@pytest.mark.parametrize("shape", [(3, 1, 1, 1), (3, 2, 4, 5), (4, 5), ()])
def test_loss_and_gradient_against_autograd(kernels, shape):
    output, target = drawn(3, 2, 4, 5, seed=1), drawn(3, 2, 4, 5, seed=2)
    weight = drawn(*shape, seed=3).square()
    with use_kernels(kernels):
        criterion = MSELoss()
        loss = criterion(output, target, weight)
        gradient = criterion.backward()
    with torch.enable_grad():
        leaf = output.clone().requires_grad_()
        expected = (weight * (leaf - target).square()).mean()
        expected.backward()
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(gradient, leaf.grad)


def test_weights_of_one_change_nothing():
    output, target = drawn(2, 3, seed=1), drawn(2, 3, seed=2)
    plain, weighted = MSELoss(), MSELoss()
    assert torch.equal(plain(output, target), weighted(output, target, torch.ones_like(output)))
    assert torch.equal(plain.backward(), weighted.backward())


@pytest.mark.parametrize(
    "weight, error, message",
    [
        (2.0, TypeError, "a weight of torch.float64, got float"),
        (torch.ones(3), TypeError, "a weight of torch.float64, got torch.float32"),
        (torch.ones(4).double(), ValueError, r"that fits to \(2, 3\), got \(4,\)"),
        (torch.ones(1, 2, 3).double(), ValueError, r"that fits to \(2, 3\), got \(1, 2, 3\)"),
        (-torch.ones(3).double(), ValueError, "weights of 0 or more"),
        (torch.full((3,), torch.nan).double(), ValueError, "weights of 0 or more"),
    ],
)
def test_bad_weights(weight, error, message):
    with pytest.raises(error, match=message):
        MSELoss()(drawn(2, 3), drawn(2, 3, seed=1), weight)

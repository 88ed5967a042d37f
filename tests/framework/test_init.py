"""Initial weights: what torch.nn.init draws, with the deviations that are documented."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from reference import generator
from torch import nn

from n2n_lib.framework import init
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.transposed import ConvTranspose2d

DRAWS = {
    f"Xavier {kind}, {gain}": (
        partial(getattr(init, f"xavier_{kind}_"), gain=gain),
        partial(getattr(nn.init, f"xavier_{kind}_"), gain=gain),
    )
    for kind in ("normal", "uniform")
    for gain in (1.0, 0.5)
} | {
    f"He {kind}, {slope}, {mode}": (
        partial(getattr(init, f"he_{kind}_"), negative_slope=slope, mode=mode),
        partial(
            getattr(nn.init, f"kaiming_{kind}_"), a=slope, mode=mode, nonlinearity="leaky_relu"
        ),
    )
    for kind in ("normal", "uniform")
    for slope in (0.0, 0.1, 1.0)
    for mode in ("fan_in", "fan_out")
}
every_shape = pytest.mark.parametrize(
    "shape", [(4, 3), (32, 3, 2, 2), (64, 32, 3, 5), (2, 7, 3), (1, 1, 1, 1)], ids=str
)


@every_shape
@pytest.mark.parametrize("draw, torch_draw", DRAWS.values(), ids=DRAWS)
def test_draws_what_torch_draws(draw: Callable, torch_draw: Callable, shape: tuple) -> None:
    ours, theirs = torch.empty(shape), torch.empty(shape)
    assert draw(ours, generator=generator(7)) is ours
    torch_draw(theirs, generator=generator(7))
    assert torch.equal(ours, theirs)


@every_shape
def test_fans_equal_torch(shape: tuple) -> None:
    weight = torch.empty(shape)
    assert init.fan_in_and_fan_out(weight) == nn.init._calculate_fan_in_and_fan_out(weight)


@pytest.mark.parametrize(
    "draw, fans", [(init.he_uniform_, 32), (init.xavier_uniform_, 32 + 96)], ids=["He", "Xavier"]
)
def test_uniform_draws_have_the_documented_deviation(draw: Callable, fans: int) -> None:
    """Five standard errors around mean, deviation and the bounds."""
    weight = draw(torch.empty(96, 32, 5, 5).double(), generator=generator(0))
    expected = math.sqrt(2 / (fans * 25))
    n, bound = weight.numel(), math.sqrt(3) * expected
    assert abs(weight.mean().item()) < 5 * expected / math.sqrt(n)
    # The variance of z**2 is 4/5 where z is uniform of variance 1.
    assert abs(weight.square().mean().item() / expected**2 - 1) < 5 * math.sqrt(0.8 / n)
    assert 0.999 * bound < weight.abs().max() <= bound


def test_xavier_normal_has_the_documented_distribution() -> None:
    """Five standard errors around mean, deviation and kurtosis of a normal distribution."""
    weight = init.xavier_normal_(torch.empty(96, 32, 5, 5).double(), generator=generator(0))
    n, expected = weight.numel(), math.sqrt(2 / ((96 + 32) * 25))
    assert abs(weight.mean().item()) < 5 * expected / math.sqrt(n)
    assert abs(weight.std().item() / expected - 1) < 5 / math.sqrt(2 * n)
    kurtosis = (weight / expected).pow(4).mean().item()
    assert abs(kurtosis - 3) < 5 * math.sqrt(96 / n)  # variance of z**4 is 96


@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_he_keeps_the_mean_square_through_leaky_relus(slope: float) -> None:
    """Through ten layers, where Xavier's would leave (1 + slope**2)**10 / 2**10 of it."""
    x = torch.randn(200, 1000, generator=generator(0), dtype=torch.float64)
    for seed in range(1, 11):
        weight = init.he_normal_(torch.empty(1000, 1000).double(), slope, generator=generator(seed))
        y = x @ weight.t()
        x = torch.where(y > 0, y, slope * y)
    assert 0.7 < x.square().mean() < 1.4


@pytest.mark.parametrize("layer, channels", [(Conv2d, (2, 8000)), (ConvTranspose2d, (8000, 2))])
def test_layers_start_from_xavier_and_their_biases_from_the_same_deviation(
    layer: type, channels: tuple
) -> None:
    module, expected = layer(*channels, 1, generator=generator(0)), math.sqrt(2 / (2 + 8000))
    for values in (module.weight, module.bias):
        n = values.numel()
        if n > 2:  # a transposed convolution has two biases here, too few to tell
            assert abs(values.mean().item()) < 5 * expected / math.sqrt(n)
            assert abs(values.std().item() / expected - 1) < 5 / math.sqrt(2 * n)
    assert not module.weight_grad.any() and not module.bias_grad.any()
    assert layer(1, 1, 1, bias=False).bias is None
    weight = torch.empty_like(layer(3, 5, (2, 4)).weight)
    nn.init.xavier_normal_(weight, generator=generator(7))
    assert torch.equal(layer(3, 5, (2, 4), generator=generator(7)).weight, weight)


def test_refused_initialisations() -> None:
    with pytest.raises(ValueError, match="expected the mode fan_in or fan_out, got 'fan_avg'"):
        init.he_std(torch.empty(2, 2), mode="fan_avg")
    fill = (init.he_normal_, init.he_uniform_, init.xavier_normal_, init.xavier_uniform_)
    for draw in (init.fan_in_and_fan_out, *fill):
        weight = torch.ones(5)
        with pytest.raises(ValueError, match=r"expected a weight of two or more .*, got \(5,\)"):
            draw(weight)
        assert torch.equal(weight, torch.ones(5))

"""Convolutions that multiply or copy less, against PyTorch's layers and their autograd.

``winograd`` takes half of the plain sum's products, ``doubling`` a quarter of those of upsampling
and convolving; ``shifted`` copies no windows. The sizes of tests are small, so they are switched on
here by lowering their limits.
"""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import LAYOUTS, generator, with_layout
from torch import Tensor
from torch.nn.functional import conv2d, interpolate

from n2n_lib.framework.kernels import doubling, fast, shifted, windows, winograd

ONE, TWO = (1, 1), (2, 2)
every_way = pytest.mark.parametrize(
    "way", [winograd, doubling, shifted], ids=["winograd", "doubling", "shifted"]
)


def random(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=dtype)


def torch_output(way: ModuleType, x: Tensor, weight: Tensor, bias: Tensor, padding) -> Tensor:
    x = interpolate(x, scale_factor=2) if way is doubling else x
    return conv2d(x, weight, bias, padding=padding)


def by_torch(way: ModuleType, x, weight, bias, grad, padding=ONE) -> list[Tensor]:
    """Output, and gradients of input, weight and bias, by autograd."""
    with torch.enable_grad():
        leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
        output = torch_output(way, *leaves, padding)
        return [output.detach(), *torch.autograd.grad(output, leaves, grad)]


def ours(way: ModuleType, x, weight, bias, grad, padding=ONE, needs_input_grad=True) -> list:
    name, geometry = "conv2d", (ONE, padding, ONE)
    if way is doubling:
        name, geometry = "upsample_conv2d", (*geometry, TWO)
    assert way.applies(weight.shape, *geometry)
    output, saved = getattr(fast, f"{name}_forward")(x, weight, bias, *geometry)
    backward = getattr(fast, f"{name}_backward")
    return [output, *backward(grad, saved, weight, *geometry, needs_input_grad)]


@every_way
@given(data=st.data())
def test_equals_torch_for_every_shape(way: ModuleType, data: st.DataObject) -> None:
    """In float64: images of one pixel, many parts of a batch, every memory layout of both sides."""
    draw = data.draw
    kernel, padding = (3, 3), ONE
    if way is doubling:
        kernel = draw(st.sampled_from([(2, 2), (3, 3)]))
    if way is winograd:
        kernel = 3, draw(st.integers(1, 4))
        padding = draw(st.integers(0, 2)), draw(st.integers(0, kernel[1] - 1))
    if way is shifted:
        padding = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        kernel = 2 * padding[0] + 1, 2 * padding[1] + 1
    height, width = (
        draw(st.integers(max(1, k - 2 * p), 9)) for k, p in zip(kernel, padding, strict=True)
    )
    count, channels, out = (draw(st.integers(1, 4)) for _ in range(3))
    layouts = st.sampled_from(LAYOUTS)
    x = with_layout(random(count, channels, height, width, seed=1), draw(layouts))
    weight, bias = random(out, channels, *kernel, seed=2), random(out, seed=3)
    shape = torch_output(way, x, weight, bias, padding).shape
    grad = with_layout(random(*shape, seed=4), draw(layouts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(way, "FEWEST" if way is shifted else "CHANNELS", 1)
        patch.setattr(windows, "PART_BYTES", draw(st.sampled_from([64, 1000, 1 << 23])))
        patch.setattr(shifted, "PIECE", draw(st.sampled_from([1, 2, 50, 1 << 15])))
        found = ours(way, x, weight, bias, grad, padding)
    for value, expected in zip(found, by_torch(way, x, weight, bias, grad, padding), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10)


@every_way
@pytest.mark.parametrize("with_bias", [True, False])
def test_what_is_not_needed_is_not_computed(way: ModuleType, with_bias: bool) -> None:
    x, weight = random(2, 16, 5, 4, seed=0), random(24, 16, 3, 3, seed=1)
    bias = random(24, seed=3) if with_bias else None
    zero = torch.zeros(24, dtype=x.dtype)
    plain_bias = zero if bias is None else bias
    grad = random(*torch_output(way, x, weight, plain_bias, ONE).shape, seed=2)
    output, no_grad, *others = ours(way, x, weight, bias, grad, needs_input_grad=False)
    assert no_grad is None
    expected = by_torch(way, x, weight, plain_bias, grad)
    for value, theirs in zip([output, *others], [expected[0], *expected[2:]], strict=True):
        torch.testing.assert_close(value, theirs)


@every_way
def test_rounding_in_float32_stays_near_that_of_the_plain_sum(way: ModuleType) -> None:
    """At most five times the error of PyTorch's layers, both against float64."""
    side = (34, 40) if way is doubling else (17, 20)
    channels = 16 if way is shifted else 48
    shapes = (2, channels, 17, 20), (32, channels, 3, 3), (32,), (2, 32, *side)
    single = [random(*shape, seed=seed, dtype=torch.float32) for seed, shape in enumerate(shapes)]
    truth = by_torch(way, *(t.double() for t in single))
    found, plain = ours(way, *single), by_torch(way, *single)
    for value, theirs, expected in zip(found, plain, truth, strict=True):
        error, plain_error = ((t.double() - expected).norm() for t in (value, theirs))
        assert error < 5 * plain_error


@pytest.mark.parametrize(
    "way, shape, geometry",
    [
        (winograd, (32, 32, 3, 3), ((2, 1), ONE, ONE)),
        (winograd, (32, 32, 3, 3), (ONE, ONE, (1, 2))),
        (winograd, (32, 32, 2, 3), (ONE, ONE, ONE)),
        (winograd, (32, 32, 3, 3), (ONE, (3, 1), ONE)),
        (winograd, (32, 3, 3, 3), (ONE, ONE, ONE)),
        (shifted, (16, 16, 3, 3), (TWO, ONE, ONE)),
        (shifted, (16, 16, 3, 3), (ONE, ONE, TWO)),
        (shifted, (16, 16, 3, 3), (ONE, (1, 0), ONE)),
        (shifted, (16, 16, 1, 3), (ONE, (0, 1), ONE)),
        (shifted, (16, 16, 2, 3), (ONE, ONE, ONE)),
        (shifted, (16, 3, 3, 3), (ONE, ONE, ONE)),
        (shifted, (32, 32, 3, 3), (ONE, ONE, ONE)),
        (doubling, (32, 32, 3, 3), (TWO, ONE, ONE, TWO)),
        (doubling, (32, 32, 3, 3), (ONE, ONE, (1, 2), TWO)),
        (doubling, (32, 32, 3, 3), (ONE, (0, 1), ONE, TWO)),
        (doubling, (32, 32, 3, 2), (ONE, ONE, ONE, TWO)),
        (doubling, (32, 32, 2, 2), (ONE, (0, 0), ONE, TWO)),
        (doubling, (32, 32, 3, 3), (ONE, ONE, ONE, (2, 3))),
        (doubling, (3, 32, 3, 3), (ONE, ONE, ONE, TWO)),
        (doubling, (32, 3, 3, 3), (ONE, ONE, ONE, TWO)),
    ],
)
def test_where_it_does_not_apply(way: ModuleType, shape: tuple, geometry: tuple) -> None:
    assert not way.applies(shape, *geometry)


@given(rows=st.integers(1, 400), columns=st.integers(1, 200))
def test_transposed_is_the_transpose(rows: int, columns: int) -> None:
    matrix = torch.randn(rows, columns, generator=generator(0))
    turned = winograd.transposed(matrix)
    assert torch.equal(turned, matrix.t()) and turned.is_contiguous()

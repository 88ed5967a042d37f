"""Doubling and convolving in nine products a pixel, against PyTorch's layers and autograd."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import generator
from torch import Tensor
from torch.nn.functional import conv2d, interpolate

from n2n_lib.framework.kernels import doubling, fast, windows

ONE, TWO = (1, 1), (2, 2)
SETTINGS = ONE, ONE, ONE, TWO


def random(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=dtype)


def by_torch(x: Tensor, weight: Tensor, bias: Tensor, grad: Tensor) -> list[Tensor]:
    """Output, and gradients of input, weight and bias, by autograd."""
    with torch.enable_grad():
        leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
        output = conv2d(interpolate(leaves[0], scale_factor=2), *leaves[1:], padding=1)
        return [output.detach(), *torch.autograd.grad(output, leaves, grad)]


def ours(x: Tensor, weight: Tensor, bias: Tensor, grad: Tensor) -> list[Tensor]:
    output, saved = fast.upsample_conv2d_forward(x, weight, bias, *SETTINGS)
    return [output, *fast.upsample_conv2d_backward(grad, saved, weight, *SETTINGS)]


@given(data=st.data())
def test_equals_torch_for_every_shape(data: st.DataObject) -> None:
    """In float64, also images of one pixel, many parts, and both memory layouts of both sides."""
    draw = data.draw
    height, width = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    count, channels, out = (draw(st.integers(1, 4)) for _ in range(3))
    layouts = st.sampled_from([torch.contiguous_format, torch.channels_last])
    x = random(count, channels, height, width, seed=1).contiguous(memory_format=draw(layouts))
    weight, bias = random(out, channels, 3, 3, seed=2), random(out, seed=3)
    grad = random(count, out, 2 * height, 2 * width, seed=4)
    grad = grad.contiguous(memory_format=draw(layouts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doubling, "CHANNELS", 1)
        patch.setattr(windows, "PART_BYTES", draw(st.sampled_from([64, 1000, 1 << 23])))
        assert doubling.applies(weight.shape, *SETTINGS)
        found = ours(x, weight, bias, grad)
    for value, expected in zip(found, by_torch(x, weight, bias, grad), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("with_bias", [True, False])
def test_what_is_not_needed_is_not_computed(with_bias: bool) -> None:
    x, weight, grad = (
        random(*s, seed=i) for i, s in enumerate([(2, 16, 5, 4), (24, 16, 3, 3), (2, 24, 10, 8)])
    )
    bias = random(24, seed=3) if with_bias else None
    output, saved = fast.upsample_conv2d_forward(x, weight, bias, *SETTINGS)
    zero = torch.zeros(24, dtype=x.dtype)
    expected = by_torch(x, weight, zero if bias is None else bias, grad)
    torch.testing.assert_close(output, expected[0])
    no_grad, *others = fast.upsample_conv2d_backward(
        grad, saved, weight, *SETTINGS, needs_input_grad=False
    )
    assert no_grad is None
    for value, theirs in zip(others, expected[2:], strict=True):
        torch.testing.assert_close(value, theirs)


def test_rounding_in_float32_stays_near_that_of_the_plain_sum() -> None:
    """At most five times the error of PyTorch's layers, both against float64."""
    shapes = (2, 48, 17, 20), (32, 48, 3, 3), (32,), (2, 32, 34, 40)
    single = [random(*shape, seed=seed, dtype=torch.float32) for seed, shape in enumerate(shapes)]
    assert doubling.applies(single[1].shape, *SETTINGS)
    truth = by_torch(*(t.double() for t in single))
    for value, plain, expected in zip(ours(*single), by_torch(*single), truth, strict=True):
        error, plain_error = ((t.double() - expected).norm() for t in (value, plain))
        assert error < 5 * plain_error


@pytest.mark.parametrize(
    "shape, stride, padding, dilation, scale",
    [
        ((32, 32, 3, 3), TWO, ONE, ONE, TWO),
        ((32, 32, 3, 3), ONE, ONE, (1, 2), TWO),
        ((32, 32, 3, 3), ONE, (0, 1), ONE, TWO),
        ((32, 32, 3, 2), ONE, ONE, ONE, TWO),
        ((32, 32, 3, 3), ONE, ONE, ONE, (2, 3)),
        ((3, 32, 3, 3), ONE, ONE, ONE, TWO),
        ((32, 3, 3, 3), ONE, ONE, ONE, TWO),
    ],
)
def test_where_it_does_not_apply(shape, stride, padding, dilation, scale) -> None:
    assert not doubling.applies(shape, stride, padding, dilation, scale)

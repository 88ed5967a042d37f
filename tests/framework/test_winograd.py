"""Convolution in two thirds of the multiplications, against PyTorch's own and its autograd."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import generator
from torch import Tensor
from torch.nn.functional import conv2d

from n2n_lib.framework.kernels import fast, windows, winograd

ONE = (1, 1)


def random(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=dtype)


def by_torch(x: Tensor, weight: Tensor, bias: Tensor, padding, grad: Tensor) -> list[Tensor]:
    """Output, and gradients of input, weight and bias, by autograd."""
    with torch.enable_grad():
        leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
        output = conv2d(*leaves, padding=padding)
        return [output.detach(), *torch.autograd.grad(output, leaves, grad)]


def ours(x: Tensor, weight: Tensor, bias: Tensor, padding, grad: Tensor) -> list[Tensor]:
    output, saved = fast.conv2d_forward(x, weight, bias, ONE, padding, ONE)
    return [output, *fast.conv2d_backward(grad, saved, weight, ONE, padding, ONE)]


@given(data=st.data())
def test_equals_torch_for_every_shape(data: st.DataObject) -> None:
    """In float64, also where a batch is worked through in many parts, on both memory layouts."""
    draw = data.draw
    kernel_width = draw(st.integers(1, 4))
    padding = draw(st.integers(0, 2)), draw(st.integers(0, kernel_width - 1))
    height = draw(st.integers(max(1, 3 - 2 * padding[0]), 9))
    width = draw(st.integers(max(1, kernel_width - 2 * padding[1]), 9))
    count, channels, out = (draw(st.integers(1, 3)) for _ in range(3))
    layout = draw(st.sampled_from([torch.contiguous_format, torch.channels_last]))
    x = random(count, channels, height, width, seed=1).contiguous(memory_format=layout)
    weight, bias = random(out, channels, 3, kernel_width, seed=2), random(out, seed=3)
    grad = random(*conv2d(x, weight, padding=padding).shape, seed=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "CHANNELS", 1)
        patch.setattr(windows, "PART_BYTES", draw(st.sampled_from([64, 1000, 1 << 23])))
        assert winograd.applies(weight.shape, ONE, padding, ONE)
        found = ours(x, weight, bias, padding, grad)
    for value, expected in zip(found, by_torch(x, weight, bias, padding, grad), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10)


def test_rounding_in_float32_stays_near_that_of_the_plain_sum() -> None:
    """At most five times the error of PyTorch's convolution, both against float64."""
    exact = [
        random(2, 48, 17, 20, seed=1),
        random(32, 48, 3, 3, seed=2),
        random(32, seed=3),
        ONE,
        random(2, 32, 17, 20, seed=4),
    ]
    single = [t.float() if isinstance(t, Tensor) else t for t in exact]
    assert winograd.applies(exact[1].shape, ONE, ONE, ONE)
    truth = by_torch(*[t.double() if isinstance(t, Tensor) else t for t in single])
    for value, plain, expected in zip(ours(*single), by_torch(*single), truth, strict=True):
        error, plain_error = ((t.double() - expected).norm() for t in (value, plain))
        assert error < 5 * plain_error


@pytest.mark.parametrize(
    "shape, stride, padding, dilation",
    [
        ((32, 32, 3, 3), (2, 1), ONE, ONE),
        ((32, 32, 3, 3), ONE, ONE, (1, 2)),
        ((32, 32, 2, 3), ONE, ONE, ONE),
        ((32, 32, 3, 3), ONE, (3, 1), ONE),
        ((32, 3, 3, 3), ONE, ONE, ONE),
    ],
)
def test_where_it_does_not_apply(shape, stride, padding, dilation) -> None:
    assert not winograd.applies(shape, stride, padding, dilation)

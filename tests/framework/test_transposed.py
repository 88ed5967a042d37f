"""ConvTranspose2d against torch.nn, finite differences and its adjoint, on every kernel set."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from reference import (
    FLOAT32,
    Case,
    cases,
    copy_values,
    every_kernel_set,
    generator,
    random_values,
    reach,
    relative_error,
    through_ours,
    through_torch,
)
from torch import nn

from n2n_lib.denoiser.networks import find_network, report_transposed_network
from n2n_lib.framework.activations import ReLU, Sigmoid
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.kernels import use_kernels
from n2n_lib.framework.torch_twin import torch_twin
from n2n_lib.framework.transposed import ConvTranspose2d


@every_kernel_set
@settings(max_examples=60)
@given(case=cases(ConvTranspose2d))
def test_is_the_adjoint_of_the_convolution(kernel_set: str, case: Case) -> None:
    """<conv y, x> = <y, convT x> with one weight, for any two images of fitting size."""
    arguments = case.arguments | {"bias": False}
    transposed = ConvTranspose2d(**arguments, generator=generator(case.seed)).to(torch.float64)
    arguments["in_channels"], arguments["out_channels"] = (
        arguments["out_channels"],
        arguments["in_channels"],
    )
    del arguments["output_padding"]
    conv = Conv2d(**arguments).to(torch.float64)
    conv.set_params([transposed.weight])  # (in, out, kH, kW) of the one is (out, in, ...) here
    x = case.input(torch.float64)
    with use_kernels(kernel_set):
        right = transposed(x)
        y = random_values(tuple(right.shape), case.seed + 3, torch.float64)
        left = conv(y)[..., : x.shape[-2], : x.shape[-1]]  # output_padding may leave room for more
    assert abs((left * x).sum().item() - (y * right).sum().item()) < 1e-10


@every_kernel_set
def test_equals_the_sum_that_it_documents(kernel_set: str) -> None:
    """The formula of the docstring, one loop per index."""
    (s_h, s_w), (p_h, p_w), (d_h, d_w) = (2, 1), (1, 2), (1, 2)
    module = ConvTranspose2d(
        2, 3, (3, 2), (s_h, s_w), (p_h, p_w), (1, 0), True, (d_h, d_w), generator=generator(0)
    ).to(torch.float64)
    x = random_values((2, 2, 3, 5), 1, torch.float64)
    with use_kernels(kernel_set):
        output = module(x)
    expected = module.bias[:, None, None].expand(output.shape).clone()
    indices = (*x.shape, *module.weight.shape[1:])
    for n, c, i, j, o, u, v in torch.cartesian_prod(*map(torch.arange, indices)).tolist():
        row, column = i * s_h + u * d_h - p_h, j * s_w + v * d_w - p_w
        if 0 <= row < output.shape[2] and 0 <= column < output.shape[3]:
            expected[n, o, row, column] += x[n, c, i, j] * module.weight[c, o, u, v]
    assert output.shape == (2, 3, 6, 3)
    assert relative_error(output, expected) < 1e-14


@every_kernel_set
def test_is_the_input_gradient_of_the_convolution(kernel_set: str) -> None:
    conv = Conv2d(3, 4, 3, 2, 1, bias=False, generator=generator(0))
    transposed = ConvTranspose2d(4, 3, 3, 2, 1, output_padding=1, bias=False)
    transposed.set_params([conv.weight])
    image = random_values((2, 3, 8, 10), 1)
    with use_kernels(kernel_set):
        v = random_values(tuple(conv(image).shape), 2)
        assert relative_error(transposed(v), conv.backward(v)) < FLOAT32


# --------------------------------------------------------------------------------- bad input

GOOD = {"in_channels": 3, "out_channels": 4, "kernel_size": 2}


@pytest.mark.parametrize(
    "value, error", [(-1, ValueError), (0.5, TypeError), (1, ValueError), ((0, 1), ValueError)]
)
def test_a_refused_output_padding_draws_no_random_numbers(value, error) -> None:
    source = generator(0)
    before = source.get_state()
    with pytest.raises(error, match="^expected .*output_padding.* got") as caught:
        ConvTranspose2d(**GOOD, output_padding=value, generator=source)
    assert "\n" not in str(caught.value)
    assert torch.equal(source.get_state(), before)


def test_output_padding_below_the_stride_or_the_dilation_is_allowed_as_in_torch() -> None:
    for stride, dilation, extra in itertools.product((1, 2, 3), (1, 2, 3), (0, 1, 2, 3)):
        arguments = {"stride": stride, "dilation": dilation, "output_padding": extra}
        if extra < max(stride, dilation):
            x = random_values((1, 3, 2, 2), 1)
            expected = nn.ConvTranspose2d(**GOOD, **arguments)(x)
            assert ConvTranspose2d(**GOOD, **arguments)(x).shape == expected.shape
        else:
            with pytest.raises(ValueError, match="output_padding smaller than stride or dilation"):
                ConvTranspose2d(**GOOD, **arguments)


@every_kernel_set
def test_a_padding_that_leaves_nothing(kernel_set: str) -> None:
    module = ConvTranspose2d(3, 4, 2, padding=2)
    with use_kernels(kernel_set), pytest.raises(ValueError, match=r"got \(2, 5\), .*\(-1, 2\)"):
        module(torch.ones(1, 3, 2, 5))
    with pytest.raises(RuntimeError, match="needs a forward"):
        module.backward(torch.ones(1, 4, 1, 1))


# ---------------------------------------------------------------------------- report, Figure 1 (c)


def torch_report_transposed(kernel: int, padding: int, output_padding: int) -> nn.Sequential:
    geometry = {"stride": 2, "padding": padding, "output_padding": output_padding}
    return nn.Sequential(
        nn.Conv2d(3, 32, 2, stride=2),
        nn.ReLU(),
        nn.Conv2d(32, 64, 2, stride=2),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 32, kernel, **geometry),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 3, kernel, **geometry),
        nn.Sigmoid(),
    )


@every_kernel_set
@pytest.mark.parametrize(
    "kernel, padding, output_padding, count",
    [(2, 0, 0, 17_283), (3, 1, 1, 28_003), (4, 1, 0, 43_011)],
)
def test_report_transposed_network_equals_torch(
    kernel_set: str, kernel: int, padding: int, output_padding: int, count: int
) -> None:
    network = report_transposed_network(kernel_size=kernel, generator=generator(0))
    reference = torch_report_transposed(kernel, padding, output_padding)
    copy_values(network, reference)
    x, v = random_values((2, 3, 8, 12), 1), random_values((2, 3, 8, 12), 2)
    with use_kernels(kernel_set):
        result = through_ours(network, x.clone(), v.clone())
    result.assert_equals(through_torch(reference, x, v), FLOAT32)
    assert torch.equal(torch_twin(network)(x), reference(x))
    assert sum(value.numel() for value, _ in network.param()) == count
    documented = report_transposed_network.__doc__
    assert f"{count:,}".replace(",", " ") in documented


@pytest.mark.parametrize("kernel", [2, 3, 4, 5])
def test_halo_of_the_report_transposed_network(kernel: int) -> None:
    entry = find_network("report-transposed")
    network = entry.build(kernel_size=kernel, generator=generator(0))
    layers = [torch_twin(m) for m in network if not isinstance(m, (ReLU, Sigmoid))]
    linear = nn.Sequential(*layers).double()
    multiple, halo = entry.sizes(kernel_size=kernel)
    assert (multiple, halo) == (entry.multiple, entry.halo) and halo % multiple == 0
    assert 0 < reach(linear, multiple, 52) <= halo


@pytest.mark.parametrize("value, error", [(1, ValueError), (2.0, TypeError), (None, TypeError)])
def test_kernel_size_of_the_report_transposed_network(value: object, error: type) -> None:
    with pytest.raises(error, match="expected kernel_size"):
        report_transposed_network(kernel_size=value)

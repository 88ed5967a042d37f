"""ConvTranspose2d against torch.nn, finite differences and its adjoint, on every kernel set."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import (
    FLOAT32,
    LAYOUTS,
    as_pair,
    assert_equals_finite_differences,
    assert_same,
    copy_values,
    every_kernel_set,
    generator,
    one_or_two,
    random_values,
    relative_error,
    state,
    through_ours,
    through_torch,
    with_layout,
)
from torch import Tensor, nn

from n2n_lib.denoiser.networks import find_network, report_transposed_network
from n2n_lib.framework.activations import ReLU, Sigmoid
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.gradcheck import gradcheck
from n2n_lib.framework.kernels import use_kernels
from n2n_lib.framework.torch_twin import torch_twin
from n2n_lib.framework.transposed import ConvTranspose2d


@dataclass(frozen=True)
class Case:
    """A transposed convolution and the image that goes in."""

    arguments: dict
    batch: int | None  # None: one image without a batch dimension
    size: tuple[int, int]
    layout: str
    grad_layout: str
    seed: int

    def ours(self) -> ConvTranspose2d:
        return ConvTranspose2d(**self.arguments, generator=generator(self.seed))

    def theirs(self) -> nn.ConvTranspose2d:
        return nn.ConvTranspose2d(**self.arguments)

    def input(self, dtype: torch.dtype = torch.float32) -> Tensor:
        shape = (self.arguments["in_channels"], *self.size)
        shape = shape if self.batch is None else (self.batch, *shape)
        return with_layout(random_values(shape, self.seed + 1, dtype), self.layout)

    def grad_for(self, output: Tensor) -> Tensor:
        v = random_values(tuple(output.shape), self.seed + 2, output.dtype)
        return with_layout(v, self.grad_layout)


def output_side(n: int, k: int, s: int, p: int, extra: int, d: int) -> int:
    return (n - 1) * s - 2 * p + d * (k - 1) + extra + 1


@st.composite
def cases(draw: st.DrawFn, channels: int = 4, extra: int = 4) -> Case:
    """Draw any geometry that PyTorch allows, also an output padding of a stride or more."""
    kernel, stride, dilation = (draw(one_or_two(1, n)) for n in (4, 3, 4))
    padding = draw(one_or_two(0, 3))
    limits = [max(pair) for pair in zip(as_pair(stride), as_pair(dilation), strict=True)]
    output_padding = tuple(draw(st.integers(0, limit - 1)) for limit in limits)
    geometry = list(
        zip(*map(as_pair, (kernel, stride, padding, output_padding, dilation)), strict=True)
    )
    smallest = [
        next(n for n in range(1, 99) if output_side(n, *numbers) > 0) for numbers in geometry
    ]
    return Case(
        arguments={
            "in_channels": draw(st.integers(1, channels)),
            "out_channels": draw(st.integers(1, channels)),
            "kernel_size": kernel,
            "stride": stride,
            "padding": padding,
            "output_padding": output_padding,
            "dilation": dilation,
            "bias": draw(st.booleans()),
        },
        batch=draw(st.none() | st.integers(1, 3)),
        size=tuple(n + draw(st.integers(0, extra)) for n in smallest),
        layout=draw(st.sampled_from(LAYOUTS)),
        grad_layout=draw(st.sampled_from(LAYOUTS)),
        seed=draw(st.integers(0, 1000)),
    )


@every_kernel_set
@settings(max_examples=60)
@given(case=cases())
def test_equals_torch(kernel_set: str, case: Case) -> None:
    x = case.input()
    with use_kernels(kernel_set):
        module = case.ours()
        v = case.grad_for(module(x))
        x_before, v_before = x.clone(), v.clone()
        ours = through_ours(module, x, v)
    reference = copy_values(module, case.theirs())
    ours.assert_equals(through_torch(reference, x, v), FLOAT32)
    assert torch.equal(x, x_before), "forward or backward changed the input"
    assert torch.equal(v, v_before), "backward changed grad_output"
    assert torch.equal(torch_twin(module)(x), reference(x))


@every_kernel_set
@settings(max_examples=20)
@given(case=cases(channels=2, extra=2))
def test_equals_finite_differences(kernel_set: str, case: Case) -> None:
    with use_kernels(kernel_set):
        module, x = case.ours().to(torch.float64), case.input(torch.float64).contiguous()
        assert_equals_finite_differences(module, x, case.seed)


@every_kernel_set
@settings(max_examples=60)
@given(case=cases())
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
@pytest.mark.parametrize(
    "geometry",
    [
        {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1},
        {"kernel_size": 2, "stride": 2},
        {"kernel_size": (4, 1), "stride": (2, 1), "padding": (1, 0), "bias": False},
        {"kernel_size": 2, "output_padding": 2, "dilation": 3},
    ],
    ids=str,
)
def test_three_ways(kernel_set: str, geometry: dict) -> None:
    module = ConvTranspose2d(3, 2, **geometry, generator=generator(0))
    x = random_values((2, 3, 3, 4), 1)
    with use_kernels(kernel_set):
        report = gradcheck(module, x, torch_module=nn.ConvTranspose2d(3, 2, **geometry))
    assert report.ok, str(report)
    assert {"finite differences", "autograd", "torch.nn"} == set(report.rows[0][2])


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


@every_kernel_set
def test_the_smallest_images_equal_torch(kernel_set: str) -> None:
    for k, s, batch, height, width in itertools.product(
        (1, 2, 3), (1, 2, 3), (None, 2), *[(1, 2)] * 2
    ):
        module = ConvTranspose2d(2, 3, k, s, generator=generator(0))
        shape = (2, height, width) if batch is None else (batch, 2, height, width)
        x = random_values(shape, 1)
        with use_kernels(kernel_set):
            v = random_values(tuple(module(x).shape), 2)
            ours = through_ours(module, x, v)
        reference = copy_values(module, nn.ConvTranspose2d(2, 3, k, s))
        ours.assert_equals(through_torch(reference, x, v), FLOAT32)


@every_kernel_set
@pytest.mark.parametrize("arguments", [(64, 32, 2, 2), (32, 3, 4, 2, 1), (24, 16, 3, 2, 1, 1)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_common_layers_equal_torch(kernel_set: str, arguments: tuple, layout: str) -> None:
    module = ConvTranspose2d(*arguments, generator=generator(0))
    x = with_layout(random_values((3, arguments[0], 8, 12), 1), layout)
    with use_kernels(kernel_set):
        v = with_layout(random_values(tuple(module(x).shape), 2), layout)
        ours = through_ours(module, x, v)
    reference = copy_values(module, nn.ConvTranspose2d(*arguments))
    ours.assert_equals(through_torch(reference, x, v), FLOAT32)


def test_starts_like_conv2d_with_xavier() -> None:
    module = ConvTranspose2d(8000, 2, 1, generator=generator(0))
    for values in (module.weight, module.bias):
        n, expected = values.numel(), math.sqrt(2 / (2 + 8000))
        if n > 2:
            assert abs(values.mean().item()) < 5 * expected / math.sqrt(n)
            assert abs(values.std().item() / expected - 1) < 5 / math.sqrt(2 * n)
    weight = nn.init.xavier_normal_(torch.empty(3, 5, 2, 4), generator=generator(7))
    assert torch.equal(ConvTranspose2d(3, 5, (2, 4), generator=generator(7)).weight, weight)
    assert not module.weight_grad.any() and not module.bias_grad.any()
    assert ConvTranspose2d(1, 1, 1, bias=False).bias is None


# --------------------------------------------------------------------------------- bad input

GOOD = {"in_channels": 3, "out_channels": 4, "kernel_size": 2}


@pytest.mark.parametrize(
    "name, value, error",
    [
        ("in_channels", 0, ValueError),
        ("out_channels", 1.5, TypeError),
        ("kernel_size", 0, ValueError),
        ("kernel_size", (1, 2, 3), TypeError),
        ("stride", 0, ValueError),
        ("stride", "2", TypeError),
        ("padding", -1, ValueError),
        ("padding", True, TypeError),
        ("output_padding", -1, ValueError),
        ("output_padding", 0.5, TypeError),
        ("output_padding", 1, ValueError),
        ("output_padding", (0, 1), ValueError),
        ("dilation", 0, ValueError),
        ("dilation", None, TypeError),
    ],
)
def test_refused_arguments_name_themselves_and_draw_nothing(name, value, error) -> None:
    source = generator(0)
    before = source.get_state()
    with pytest.raises(error, match=f"^expected .*{name}.* got") as caught:
        ConvTranspose2d(**GOOD | {name: value}, generator=source)
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
@pytest.mark.parametrize(
    "x, error, message",
    [
        (None, TypeError, "expected a tensor, got NoneType"),
        (torch.ones(1, 3, 4, 4).long(), TypeError, "expected a floating-point tensor"),
        (torch.ones(1, 3, 4, 4).double(), TypeError, r"float32.* got torch\.float64"),
        (torch.ones(3, 4), ValueError, r"\(N, C, H, W\) or \(C, H, W\), got shape \(3, 4\)"),
        (torch.ones(1, 4, 4, 4), ValueError, r"expected 3 channels, got 4 in \(1, 4, 4, 4\)"),
        (torch.ones(0, 3, 4, 4), ValueError, "non-empty input"),
    ],
)
def test_refused_input_changes_nothing(kernel_set: str, x, error, message) -> None:
    module = ConvTranspose2d(**GOOD, generator=generator(0))
    with use_kernels(kernel_set):
        v = random_values(tuple(module(random_values((2, 3, 4, 4), 1)).shape), 2)
        before = state(module)
        with pytest.raises(error, match=f"^ConvTranspose2d expected.*|{message}") as caught:
            module(x)
        assert caught.match(message)
        assert_same(before, state(module))
        assert module.backward(v).shape == (2, 3, 4, 4)  # the forward before is still there


@every_kernel_set
def test_a_padding_that_leaves_nothing(kernel_set: str) -> None:
    module = ConvTranspose2d(3, 4, 2, padding=2)
    with use_kernels(kernel_set), pytest.raises(ValueError, match=r"got \(2, 5\), .*\(-1, 2\)"):
        module(torch.ones(1, 3, 2, 5))
    with pytest.raises(RuntimeError, match="needs a forward"):
        module.backward(torch.ones(1, 4, 1, 1))


@every_kernel_set
@pytest.mark.parametrize("shape", [(1, 4, 8, 10), (4, 8, 10), (2, 4, 10, 8), (2, 5, 8, 10)])
def test_grad_output_of_another_shape(kernel_set: str, shape: tuple) -> None:
    module = ConvTranspose2d(3, 4, 2, 2, generator=generator(0))
    with use_kernels(kernel_set):
        module(random_values((2, 3, 4, 5), 1))
        before = state(module)
        with pytest.raises(ValueError, match=r"expected a gradient of shape \(2, 4, 8, 10\), got"):
            module.backward(torch.ones(shape))
    assert_same(before, state(module))


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
    for row in range(24, 24 + multiple):  # every phase of the strides
        with torch.enable_grad():
            x = random_values((1, 3, 52, 52), 1, torch.float64).requires_grad_()
            (gradient,) = torch.autograd.grad(linear(x)[0, :, row, row].sum(), x)
        seen = gradient[0].abs().sum(0).nonzero()
        assert 0 < (seen - row).abs().max().item() <= halo


@pytest.mark.parametrize("value, error", [(1, ValueError), (2.0, TypeError), (None, TypeError)])
def test_kernel_size_of_the_report_transposed_network(value: object, error: type) -> None:
    with pytest.raises(error, match="expected kernel_size"):
        report_transposed_network(kernel_size=value)

"""Every module against torch.nn, autograd and finite differences, on every kernel set."""

from __future__ import annotations

import inspect
import itertools
import math
import re
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import (
    FLOAT32,
    LAYOUTS,
    TRAINABLE,
    Case,
    Result,
    assert_equals_finite_differences,
    assert_same,
    cases,
    copy_values,
    every_kernel_set,
    finite_differences,
    generator,
    random_values,
    reach,
    relative_error,
    small_chain,
    state,
    through_ours,
    through_torch,
    torch_layer,
    torch_report_network,
    torch_upsampling,
    with_layout,
)
from torch import Tensor, nn

from n2n_lib.denoiser.networks import NETWORKS, find_network, report_network, unet
from n2n_lib.framework.activations import ELU, LeakyReLU, ReLU, Sigmoid
from n2n_lib.framework.containers import Concat, Residual, Sequential
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.kernels import (
    DEFAULT,
    FUNCTIONS,
    KERNELS,
    KernelSet,
    active,
    use_kernels,
)
from n2n_lib.framework.losses import MSE, L1Loss, MSELoss
from n2n_lib.framework.module import Module
from n2n_lib.framework.optim import SGD
from n2n_lib.framework.torch_twin import copy_params, torch_twin
from n2n_lib.framework.transposed import ConvTranspose2d
from n2n_lib.framework.upsampling import (
    NearestUpsampling,
    NNUpsampling,
    TransposeConv2d,
    Upsampling,
)

TRAINABLE = TRAINABLE | {
    "ConvTranspose2d": lambda seed: ConvTranspose2d(3, 4, 3, 2, 1, 1, generator=generator(seed)),
    "ConvTranspose2d without bias": lambda seed: ConvTranspose2d(
        3, 4, 2, bias=False, dilation=2, generator=generator(seed)
    ),
    "Residual": lambda seed: Residual(Conv2d(3, 3, 3, 1, 1, generator=generator(seed))),
    "Concat": lambda seed: Concat(Sequential(Conv2d(3, 2, 1, generator=generator(seed)), ELU())),
    "U-Net": lambda seed: lively_unet(seed),
}
every_trainable = pytest.mark.parametrize("build", TRAINABLE.values(), ids=TRAINABLE.keys())


def lively_unet(seed: int) -> Module:
    """A U-Net without zeros among its parameters, in which no two seeds agree."""
    network = unet(width=2, depth=2, generator=generator(seed))
    for number, (value, _) in enumerate(network.param()):
        value.copy_(0.3 * random_values(tuple(value.shape), 100 * seed + number))
    return network


# ----------------------------------------------------------------- convolution and upsampling


def check_against_torch(module: Module, reference: nn.Module, case: Case) -> None:
    x = case.input()
    v = case.grad_for(module(x))
    x_before, v_before = x.clone(), v.clone()
    copy_values(module, reference)
    ours = through_ours(module, x, v)
    ours.assert_equals(through_torch(reference, x, v), FLOAT32)
    assert torch.equal(x, x_before), "forward or backward changed the input"
    assert torch.equal(v, v_before), "backward changed grad_output"
    assert torch.equal(torch_twin(module)(x if x.dim() == 4 else x[None]), reference(x_batch(x)))


def x_batch(x: Tensor) -> Tensor:
    return x if x.dim() == 4 else x.unsqueeze(0)


every_layer = pytest.mark.parametrize("layer", [Conv2d, Upsampling, ConvTranspose2d])


@every_kernel_set
@every_layer
@settings(max_examples=60)
@given(data=st.data())
def test_layer_equals_torch(kernel_set: str, layer: type, data: st.DataObject) -> None:
    case = data.draw(cases(layer))
    with use_kernels(kernel_set):
        check_against_torch(case.ours(), case.theirs(), case)


@every_kernel_set
@every_layer
@settings(max_examples=15)
@given(data=st.data())
def test_layer_equals_finite_differences(kernel_set: str, layer: type, data: st.DataObject) -> None:
    case = data.draw(cases(layer, channels=2, extra=2))
    with use_kernels(kernel_set):
        module, x = case.ours().to(torch.float64), case.input(torch.float64).contiguous()
        assert_equals_finite_differences(module, x, case.seed)


# The geometries of the report's networks, at the channel numbers where fast paths switch on.
COMMON_LAYERS = {
    "3 to 32, k2 s2": (Conv2d, (3, 32, 2, 2), 16),
    "32 to 64, k2 s2": (Conv2d, (32, 64, 2, 2), 16),
    "up 64 to 32, k2 p1": (Upsampling, (64, 32, 2, 1, 1), 8),
    "up 32 to 3, k3": (Upsampling, (32, 3, 3), 17),
    "3x3, p1": (Conv2d, (16, 16, 3, 1, 1), 12),
    "3x3, p1, sums last": (Conv2d, (16, 3, 3, 1, 1), 12),
    "3x3, p1, one axis each": (Conv2d, (8, 9, 3, 1, 1), 12),
    "3x2, sums last": (Conv2d, (8, 1, (3, 2)), 12),
    "3x3, p1 d2, sums last": (Conv2d, (8, 1, 3, 1, 1, 2), 12),
    "3x3, p1 d2, one axis each": (Conv2d, (8, 9, 3, 1, 1, 2), 12),
    "1x1": (Conv2d, (16, 8, 1), 12),
    "up 3x3, p1": (Upsampling, (16, 8, 3, 1, 1), 9),
    "transposed k2 s2": (ConvTranspose2d, (64, 32, 2, 2), 8),
    "transposed k4 s2 p1": (ConvTranspose2d, (32, 3, 4, 2, 1), 8),
    "transposed k3 s2 p1": (ConvTranspose2d, (24, 16, 3, 2, 1, 1), 8),
}
SMALL_LAYERS = COMMON_LAYERS | {
    f"transposed k{k} s{s}, 2 to 3": (ConvTranspose2d, (2, 3, k, s), 1)
    for k, s in itertools.product((1, 2, 3), repeat=2)
}


@every_kernel_set
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("layer, arguments, size", COMMON_LAYERS.values(), ids=COMMON_LAYERS)
def test_common_layers_equal_torch(
    kernel_set: str, layer: type, arguments: tuple, size: int, layout: str
) -> None:
    module = layer(*arguments, generator=generator(0))
    reference = copy_values(module, torch_layer(layer, *arguments))
    x = with_layout(random_values((4, arguments[0], size, size + 4), 1), layout)
    with use_kernels(kernel_set):
        v = with_layout(random_values(tuple(module(x).shape), 2), layout)
        ours = through_ours(module, x, v)
    ours.assert_equals(through_torch(reference, x, v), FLOAT32)


@every_kernel_set
@pytest.mark.parametrize("layer, arguments, size", SMALL_LAYERS.values(), ids=SMALL_LAYERS)
def test_the_smallest_images_equal_torch(
    kernel_set: str, layer: type, arguments: tuple, size: int
) -> None:
    """Every size from 1 to 4 that leaves an output: one row, one column, one pixel."""
    module = layer(*arguments, generator=generator(0))
    reference = copy_values(module, torch_layer(layer, *arguments))
    for batch, height, width in itertools.product((None, 1, 2), range(1, 5), range(1, 5)):
        image = (arguments[0], height, width)
        x = random_values(image if batch is None else (batch, *image), 1)
        try:
            shape = tuple(reference(x_batch(x)).shape)
        except RuntimeError:  # nothing is left; test_layers_input.py is about that
            continue
        v = random_values(shape[1:] if batch is None else shape, 2)
        with use_kernels(kernel_set):
            ours = through_ours(module, x, v)
        ours.assert_equals(through_torch(reference, x, v), FLOAT32)


@every_kernel_set
def test_conv2d_equals_the_sum_it_documents(kernel_set: str) -> None:
    """The formula of the docstring, one loop per index."""
    (s_h, s_w), (p_h, p_w), (d_h, d_w) = (2, 1), (1, 2), (1, 2)
    conv = Conv2d(2, 3, (3, 2), (s_h, s_w), (p_h, p_w), (d_h, d_w), generator=generator(0))
    conv.to(torch.float64)
    x = random_values((2, 2, 5, 4), 1, torch.float64)
    with use_kernels(kernel_set):
        output = conv(x)
    expected = torch.zeros_like(output)
    for n, o, i, j in torch.cartesian_prod(*map(torch.arange, output.shape)).tolist():
        total = conv.bias[o].item()
        for c, u, v in torch.cartesian_prod(*map(torch.arange, conv.weight.shape[1:])).tolist():
            row, column = i * s_h + u * d_h - p_h, j * s_w + v * d_w - p_w
            if 0 <= row < 5 and 0 <= column < 4:
                total += (conv.weight[o, c, u, v] * x[n, c, row, column]).item()
        expected[n, o, i, j] = total
    assert output.shape == (2, 3, 3, 6)
    assert relative_error(output, expected) < 1e-14


scales = st.tuples(st.integers(1, 4), st.integers(1, 4))
sizes = st.tuples(st.integers(1, 6), st.integers(1, 6))


@every_kernel_set
@given(
    scale=scales,
    size=sizes,
    batch=st.none() | st.integers(1, 3),
    layout=st.sampled_from(LAYOUTS),
    seed=st.integers(0, 1000),
)
def test_nearest_upsampling_equals_torch(
    kernel_set: str, scale: tuple, size: tuple, batch: int | None, layout: str, seed: int
) -> None:
    module = NNUpsampling(scale)
    shape = (3, *size) if batch is None else (batch, 3, *size)
    x = with_layout(random_values(shape, seed), layout)
    v = random_values((*shape[:-2], size[0] * scale[0], size[1] * scale[1]), seed + 1)
    v = with_layout(v, layout)
    x_before, v_before = x.clone(), v.clone()
    with use_kernels(kernel_set):
        ours = through_ours(module, x, v)
    ours.assert_equals(through_torch(torch_upsampling(scale), x, v), FLOAT32)
    assert torch.equal(ours.output, through_torch(torch_upsampling(scale), x, v).output)
    assert torch.equal(torch_twin(module)(x_batch(x)), torch_upsampling(scale)(x_batch(x)))
    assert torch.equal(x, x_before) and torch.equal(v, v_before)


@every_kernel_set
@settings(max_examples=10)
@given(scale=scales, size=sizes, seed=st.integers(0, 1000))
def test_nearest_upsampling_equals_finite_differences(
    kernel_set: str, scale: tuple, size: tuple, seed: int
) -> None:
    x = random_values((2, 1, *size), seed, torch.float64)
    with use_kernels(kernel_set):
        assert_equals_finite_differences(NNUpsampling(scale), x, seed)


@every_kernel_set
def test_equations_1_and_2_of_the_report(kernel_set: str) -> None:
    small = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    large = torch.tensor(
        [[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0], [3.0, 3.0, 4.0, 4.0], [3.0, 3.0, 4.0, 4.0]]]
    )
    module = NNUpsampling()
    with use_kernels(kernel_set):
        assert torch.equal(module(small), large)
        assert torch.equal(module.backward(large), torch.tensor([[[4.0, 8.0], [12.0, 16.0]]]))


# ------------------------------------------------------------------------------- activations

POINTWISE: dict[str, tuple[Callable[[], Module], Callable[[], nn.Module]]] = {
    "ReLU": (ReLU, nn.ReLU),
    "ReLU(inplace=True)": (lambda: ReLU(inplace=True), lambda: nn.ReLU(inplace=True)),
    "LeakyReLU()": (LeakyReLU, nn.LeakyReLU),
    "LeakyReLU(0.3)": (lambda: LeakyReLU(0.3), lambda: nn.LeakyReLU(0.3)),
    "LeakyReLU(-0.5)": (lambda: LeakyReLU(-0.5), lambda: nn.LeakyReLU(-0.5)),
    "LeakyReLU(1.5)": (lambda: LeakyReLU(1.5), lambda: nn.LeakyReLU(1.5)),
    "LeakyReLU(0)": (lambda: LeakyReLU(0.0), lambda: nn.LeakyReLU(0.0)),
    "ELU()": (ELU, nn.ELU),
    "ELU(0.4)": (lambda: ELU(0.4), lambda: nn.ELU(0.4)),
    "Sigmoid": (Sigmoid, nn.Sigmoid),
}
every_activation = pytest.mark.parametrize("build, torch_build", POINTWISE.values(), ids=POINTWISE)
image_shapes = st.lists(st.integers(1, 5), min_size=3, max_size=4).map(tuple)


@every_activation
@given(shape=image_shapes, layout=st.sampled_from(LAYOUTS), seed=st.integers(0, 1000))
def test_activation_equals_torch(
    build: Callable, torch_build: Callable, shape: tuple, layout: str, seed: int
) -> None:
    x = with_layout(2 * random_values(shape, seed), layout)
    v = with_layout(random_values(shape, seed + 1), layout)
    expected = through_torch(torch_build(), x, v)
    through_twin = through_torch(torch_twin(build()), x, v)
    through_ours(build(), x.clone(), v.clone()).assert_equals(expected, FLOAT32)
    through_twin.assert_equals(expected, 1e-12)


@every_activation
@settings(max_examples=10)
@given(shape=image_shapes, seed=st.integers(0, 1000))
def test_activation_equals_finite_differences(
    build: Callable, torch_build: Callable, shape: tuple, seed: int
) -> None:
    assert_equals_finite_differences(build(), random_values(shape, seed, torch.float64), seed)


@every_activation
def test_activation_at_zero_and_far_out_equals_torch(build: Callable, torch_build: Callable):
    """The kink and both ends: the slope at 0 is PyTorch's."""
    x = torch.tensor([0.0, -0.0, 1e-30, -1e-30, 50.0, -50.0, 1e4, -1e4, math.inf, -math.inf])
    x, v = x.view(1, 1, 2, 5), random_values((1, 1, 2, 5), 1)
    ours = through_ours(build(), x.clone(), v.clone())
    expected = through_torch(torch_build(), x, v)
    # equal_nan: LeakyReLU(0) of minus infinity is 0 * inf in both.
    close = partial(torch.testing.assert_close, rtol=1e-6, equal_nan=True)
    close(ours.output, expected.output, atol=1e-7)
    # One rounding error of 1 may remain, since the slopes are read off the output.
    close(ours.grad_input, expected.grad_input, atol=2e-7)


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.1, 0.2, 0.3, 0.7, 5.5, -0.3, 1e8])
def test_leaky_relu_passes_what_is_positive_exactly(slope: float) -> None:
    """``y = x`` and slope 1 to the last digit, whatever the other side does."""
    x, v = random_values((1, 2, 16, 16), 0).abs(), random_values((1, 2, 16, 16), 1)
    module = LeakyReLU(slope)
    assert torch.equal(module(x), x)
    assert torch.equal(module.backward(v), v)


def test_relu_blocks_the_gradient_at_zero() -> None:
    for module in (ReLU(), ReLU(inplace=True)):
        module(torch.tensor([[[0.0, -0.0, -1.0, 1.0]]]))
        gradient = module.backward(torch.full((1, 1, 4), 7.0))
        assert gradient.tolist() == [[[0.0, 0.0, 0.0, 7.0]]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sigmoid_is_finite_everywhere(dtype: torch.dtype) -> None:
    module = Sigmoid()
    x = torch.tensor([-math.inf, -1e4, -100.0, 0.0, 100.0, 1e4, math.inf], dtype=dtype)
    output = module(x)
    assert output.dtype == dtype and output.isfinite().all()
    assert output[[0, 1]].tolist() == [0.0, 0.0] and output[[5, 6]].tolist() == [1.0, 1.0]
    assert output[3] == 0.5 and output[2] > 0  # exp(-100) is small, not zero
    gradient = module.backward(torch.ones_like(x))
    assert gradient.isfinite().all()
    assert gradient[[0, 1, 5, 6]].tolist() == [0.0] * 4 and gradient[3] == 0.25


def test_sigmoid_keeps_its_precision_in_the_tail() -> None:
    x = torch.tensor([-80.0, -30.0, -5.0, 5.0, 30.0], dtype=torch.float32)
    expected = torch.tensor([1 / (1 + math.exp(-value)) for value in x.tolist()])
    assert ((Sigmoid()(x) - expected).abs() / expected < 1e-6).all()


def test_relu_inplace_overwrites_and_the_others_do_not() -> None:
    x, v = random_values((1, 2, 3, 3), 0), random_values((1, 2, 3, 3), 1)
    for build, _ in POINTWISE.values():
        module, x_used, v_used = build(), x.clone(), v.clone()
        output = module(x_used)
        gradient = module.backward(v_used)
        if getattr(module, "inplace", False):
            assert output.data_ptr() == x_used.data_ptr()
            assert gradient.data_ptr() == v_used.data_ptr()
            assert torch.equal(x_used, x.clamp(min=0))
        else:
            output.zero_(), gradient.zero_()  # results must not share memory with arguments
            assert torch.equal(x_used, x) and torch.equal(v_used, v)


@every_kernel_set
@pytest.mark.parametrize(
    "build",
    [
        lambda: NNUpsampling(1),
        lambda: NNUpsampling(2),
        lambda: Conv2d(2, 2, 1, generator=generator(0)),
        lambda: Upsampling(2, 2, 1, scale_factor=1, generator=generator(0)),
        lambda: ConvTranspose2d(2, 2, 1, generator=generator(0)),
    ],
    ids=["NNUpsampling(1)", "NNUpsampling(2)", "Conv2d 1x1", "Upsampling 1x1", "transposed 1x1"],
)
def test_results_do_not_share_memory_with_arguments(kernel_set: str, build: Callable) -> None:
    """A ReLU(inplace=True) behind the module must not reach what the caller holds."""
    x = random_values((2, 2, 4, 4), 0)
    with use_kernels(kernel_set):
        module = build()
        output = module(x)
        v = random_values(tuple(output.shape), 1)
        x_before, v_before = x.clone(), v.clone()
        output.zero_()
        module.backward(v).zero_()
    assert torch.equal(x, x_before) and torch.equal(v, v_before)


# -------------------------------------------------------------------------------------- loss


LOSSES = {"MSELoss": (MSELoss, nn.MSELoss), "L1Loss": (L1Loss, nn.L1Loss)}
every_loss = pytest.mark.parametrize("build, torch_build", LOSSES.values(), ids=LOSSES)


@every_loss
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple), seed=st.integers(0, 99)
)
def test_loss_equals_torch(build: type, torch_build: type, shape: tuple, seed: int) -> None:
    output, target = random_values(shape, seed), random_values(shape, seed + 1000)
    criterion = build()
    loss = criterion(output, target)
    with torch.enable_grad():
        leaf = output.clone().requires_grad_()
        expected = torch_build()(leaf, target)
        (gradient,) = torch.autograd.grad(expected, leaf)
    assert loss.shape == () and loss.dtype == torch.float32
    assert relative_error(loss, expected.detach()) < FLOAT32
    assert relative_error(criterion.backward(), gradient) < FLOAT32
    assert torch.equal(output, random_values(shape, seed))


@every_loss
def test_loss_equals_finite_differences(build: type, torch_build: type) -> None:
    output = random_values((2, 3, 4, 2), 0, torch.float64)
    target = random_values((2, 3, 4, 2), 1, torch.float64)
    criterion = build()
    expected = finite_differences(lambda: criterion(output, target), output)
    criterion(output, target)
    assert relative_error(criterion.backward(), expected) < 1e-6


def test_l1_has_no_slope_where_output_and_target_are_equal() -> None:
    criterion, target = L1Loss(), torch.tensor([0.5, 0.5, 0.5, 0.5])
    output = torch.tensor([0.5, 0.75, 0.25, 0.5])
    assert criterion(output, target) == 0.125
    assert criterion.backward().tolist() == [0.0, 0.25, -0.25, 0.0]


@every_loss
@every_kernel_set
def test_loss_fills_the_gradients_of_its_network(
    kernel_set: str, build: type, torch_build: type
) -> None:
    network = report_network(generator=generator(0))
    reference = copy_values(network, torch_report_network())
    x, target = random_values((3, 3, 8, 12), 1), random_values((3, 3, 8, 12), 2)
    with torch.enable_grad():
        leaf = x.clone().requires_grad_()
        expected = torch_build()(reference(leaf), target)
        gradients = torch.autograd.grad(expected, [leaf, *reference.parameters()])
    criterion = build(network)
    with use_kernels(kernel_set):
        loss = criterion(network(x), target)
        grad_input = criterion.backward()
    assert relative_error(loss, expected.detach()) < FLOAT32
    ours = [grad_input, *(grad for _, grad in network.param())]
    for gradient, wanted in zip(ours, gradients, strict=True):
        assert relative_error(gradient, wanted) < FLOAT32
    assert criterion.param() == [], "the parameters belong to the network"


# -------------------------------------------------------------------------------- Sequential


@st.composite
def chains(draw: st.DrawFn) -> tuple[Sequential, nn.Sequential, int]:
    """Draw one to five modules and build the same chain of torch.nn classes beside it."""
    seed = draw(st.integers(0, 1000))
    source, first = generator(seed), draw(st.integers(1, 3))
    ours, theirs, channels = [], [], first
    for kind in draw(st.lists(st.sampled_from(["conv", "up", "nn", *POINTWISE]), max_size=5)):
        out, k = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        if kind == "conv":
            stride = draw(st.integers(1, 2))
            ours.append(Conv2d(channels, out, k, stride, 1, generator=source))
            theirs.append(nn.Conv2d(channels, out, k, stride, 1))
            channels = out
        elif kind == "up":
            ours.append(Upsampling(channels, out, k, padding=1, bias=k > 1, generator=source))
            conv = nn.Conv2d(channels, out, k, padding=1, bias=k > 1)
            theirs.append(nn.Sequential(torch_upsampling((2, 2)), conv))
            channels = out
        elif kind == "nn":
            ours.append(NNUpsampling((1, 2)))
            theirs.append(torch_upsampling((1, 2)))
        else:
            build, torch_build = POINTWISE[kind]
            ours.append(build())
            # Autograd refuses to overwrite what the module before it saved; we need not.
            theirs.append(nn.ReLU() if kind == "ReLU(inplace=True)" else torch_build())
    return Sequential(ours), nn.Sequential(*theirs), first


@every_kernel_set
@given(chain=chains(), three=st.booleans(), seed=st.integers(0, 1000))
def test_sequential_equals_torch(kernel_set: str, chain: tuple, three: bool, seed: int) -> None:
    ours, theirs, channels = chain
    copy_values(ours, theirs)
    x = random_values((channels, 5, 4) if three else (2, channels, 5, 4), seed)
    with use_kernels(kernel_set):
        v = random_values(tuple(ours(x.clone()).shape), seed + 1)
        result = through_ours(ours, x.clone(), v.clone())
    expected = through_torch(theirs, x, v)
    result.assert_equals(expected, FLOAT32)
    twin = torch_twin(ours)
    assert torch.equal(twin(x_batch(x).clone()), theirs(x_batch(x)))
    if not any(getattr(module, "inplace", False) for module in ours):
        through_torch(twin, x, v).assert_equals(expected, 1e-12)


@every_kernel_set
@settings(max_examples=8)
@given(chain=chains(), seed=st.integers(0, 1000))
def test_sequential_equals_finite_differences(kernel_set: str, chain: tuple, seed: int) -> None:
    ours, _, channels = chain
    x = random_values((1, channels, 3, 2), seed, torch.float64)
    with use_kernels(kernel_set):
        assert_equals_finite_differences(ours.to(torch.float64), x, seed)


def test_sequential_is_a_list_of_its_modules() -> None:
    modules = [ReLU(), Sigmoid(), LeakyReLU()]
    for chain in (Sequential(*modules), Sequential(modules), Sequential(tuple(modules))):
        assert len(chain) == 3 and list(chain) == modules and chain[-1] is modules[-1]
    one = Sequential(ReLU())
    assert len(one) == 1


def test_sequential_forms_compute_the_same() -> None:
    listed, starred = small_chain(3), small_chain(3)
    again = Sequential(list(starred))
    x = random_values((2, 3, 8, 8), 0)
    assert torch.equal(listed(x), again(x))
    assert len(listed.params()) == len(listed.param()) > 0
    pairs = zip(listed.params(), listed.param(), strict=True)
    assert all(a is c and b is d for (a, b), (c, d) in pairs)


def test_empty_sequential_is_the_identity() -> None:
    x = random_values((1, 2, 3, 3), 0)
    chain = Sequential()
    assert torch.equal(chain(x), x) and torch.equal(chain.backward(x), x)
    assert chain.param() == [] and chain.needs_input_grad is True


# ------------------------------------------------------------------------- report's network


@every_kernel_set
@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (3, 3, 8, 12), (3, 16, 4)])
def test_report_network_equals_torch(kernel_set: str, shape: tuple) -> None:
    network = report_network(generator=generator(0))
    reference = copy_values(network, torch_report_network())
    x, v = random_values(shape, 1), random_values(shape, 2)
    with use_kernels(kernel_set):
        result = through_ours(network, x.clone(), v.clone())
    result.assert_equals(through_torch(reference, x, v), FLOAT32)
    if x.dim() == 4:
        assert torch.equal(torch_twin(network)(x), reference(x))


@every_kernel_set
def test_report_network_equals_finite_differences(kernel_set: str) -> None:
    """All of a small input and a random sample of each parameter's entries."""
    network = report_network(generator=generator(0)).to(torch.float64)
    x = random_values((1, 3, 4, 4), 1, torch.float64)
    v = random_values((1, 3, 4, 4), 2, torch.float64)

    def scalar() -> Tensor:
        return (network(x.clone()) * v).sum()

    with use_kernels(kernel_set):
        ours = through_ours(network, x.clone(), v.clone())
        assert relative_error(ours.grad_input, finite_differences(scalar, x)) < 1e-6
        source = generator(3)
        for (value, _), gradient in zip(network.param(), ours.grad_params, strict=True):
            entries = torch.randperm(value.numel(), generator=source)[:40].tolist()
            expected = finite_differences(scalar, value, entries)
            assert relative_error(gradient.flatten()[entries], expected) < 1e-6


def test_report_network_is_the_one_of_section_3() -> None:
    network, reference = report_network(generator=generator(0)), torch_report_network()
    count = sum(value.numel() for value, _ in network.param())
    assert count == sum(p.numel() for p in reference.parameters())
    assert NETWORKS["report"].build is report_network is find_network("report").build
    sizes, x = [], random_values((1, 3, 32, 32), 1)
    for layer in network:
        x = layer(x)
        sizes.append(x.shape[-1])
    assert sizes == [16, 16, 8, 8, 17, 17, 32, 32]
    assert x.min() >= 0 and x.max() <= 1


def test_report_network_documents_its_number_of_parameters() -> None:
    documented = re.search(r"(\d[\d\s]*\d) parameters", inspect.getdoc(report_network))
    count = sum(p.numel() for p in torch_report_network().parameters())
    assert int(re.sub(r"\s", "", documented[1])) == count


def test_halo_covers_everything_that_an_output_pixel_sees() -> None:
    entry = find_network("report")
    reference = copy_values(entry.build(generator=generator(0)), torch_report_network())
    reference = nn.Sequential(*(m for m in reference if not isinstance(m, nn.ReLU))).double()
    assert entry.halo % entry.multiple == 0
    assert 0 < reach(reference, entry.multiple, 52) <= entry.halo


# --------------------------------------------------------------------------------- contract


@every_kernel_set
@every_trainable
def test_gradients_accumulate_until_zero_grad(kernel_set: str, build: Callable) -> None:
    module, x = build(0), random_values((2, 3, 8, 8), 1)
    with use_kernels(kernel_set):
        v = random_values(tuple(module(x.clone()).shape), 2)
        once = through_ours(module, x.clone(), v.clone()).grad_params
        assert all(grad.abs().sum() > 0 for grad in once)
        tensors = [grad for _, grad in module.param()]
        module(x.clone())
        module.backward(v.clone())
        for grad, first in zip(tensors, once, strict=True):
            assert relative_error(grad, 2 * first) < 1e-6
        module.zero_grad()
    assert all(not grad.any() for grad in tensors)
    assert all(grad is kept for (_, grad), kept in zip(module.param(), tensors, strict=True))


@every_kernel_set
@pytest.mark.parametrize("name", ["Conv2d", "Upsampling", "Sequential", "ConvTranspose2d", "U-Net"])
def test_gradients_of_two_batches_add_up(kernel_set: str, name: str) -> None:
    """Half batches one after the other give the gradients of the whole batch, as in torch.nn."""
    module, x = TRAINABLE[name](0), random_values((4, 3, 8, 8), 1)
    with use_kernels(kernel_set):
        v = random_values(tuple(module(x).shape), 2)
        whole = through_ours(module, x, v)
        module.zero_grad()
        halves = []
        for part in (slice(0, 2), slice(2, 4)):
            module(x[part])
            halves.append(module.backward(v[part]))
    parts = Result(whole.output, torch.cat(halves), [grad for _, grad in module.param()])
    parts.assert_equals(whole, FLOAT32)


@every_trainable
def test_set_params_makes_two_modules_equal(build: Callable) -> None:
    source, target = build(1), build(2)
    x = random_values((2, 3, 8, 8), 3)
    assert not torch.equal(source(x.clone()), target(x.clone()))
    gradients = [random_values(tuple(grad.shape), 4) for _, grad in target.param()]
    for (_, grad), value in zip(target.param(), gradients, strict=True):
        grad.copy_(value)
    kept = [value for value, _ in target.param()]

    target.set_params(value for value, _ in source.param())

    assert torch.equal(source(x.clone()), target(x.clone()))
    assert all(value is old for (value, _), old in zip(target.param(), kept, strict=True))
    assert_same(gradients, [grad for _, grad in target.param()])
    expected = target(x.clone()).clone()
    for value, _ in source.param():
        value.zero_()
    assert torch.equal(target(x.clone()), expected), "set_params must copy"


@pytest.mark.parametrize("build", [b for b, _ in POINTWISE.values()], ids=POINTWISE)
def test_modules_without_parameters(build: Callable) -> None:
    module = build()
    assert module.param() == []
    module.set_params([])
    module.zero_grad()
    with pytest.raises(ValueError, match="expected 0 parameter tensors, got 1"):
        module.set_params([torch.zeros(1)])


def test_upsampling_holds_exactly_the_parameters_of_its_convolution() -> None:
    module = Upsampling(2, 3, 2, generator=generator(0))
    assert len(module.param()) == 2
    for (value, grad), name in zip(module.param(), ("weight", "bias"), strict=True):
        assert value is getattr(module.conv, name)
        assert grad is getattr(module.conv, name + "_grad")
    module.set_params([torch.full((3, 2, 2, 2), 2.0), torch.full((3,), 3.0)])
    assert (module.conv.weight == 2).all() and (module.conv.bias == 3).all()


@every_trainable
def test_params_are_pairs_of_one_shape_and_dtype(build: Callable) -> None:
    for dtype in (torch.float32, torch.float64):
        module = build(0).to(dtype)
        assert len(module.param()) > 0
        for value, grad in module.param():
            assert value.shape == grad.shape and value.dtype == grad.dtype == dtype
            assert not value.requires_grad and not grad.requires_grad


@every_kernel_set
@every_trainable
def test_to_float64(kernel_set: str, build: Callable) -> None:
    module, x = build(0), random_values((2, 3, 8, 8), 1)
    with use_kernels(kernel_set):
        v = random_values(tuple(module(x.clone()).shape), 2)
        single = through_ours(module, x.clone(), v.clone())
        accumulated = [grad.clone() for _, grad in module.param()]
        assert module.to(torch.float64) is module
        with pytest.raises(RuntimeError, match="forward"):
            module.backward(v.double())  # what forward remembered was float32
        assert_same([g.double() for g in accumulated], [grad for _, grad in module.param()])
        double = through_ours(module, x.double(), v.double())
    assert double.output.dtype == double.grad_input.dtype == torch.float64
    assert relative_error(single.output, double.output) < FLOAT32
    for low, high in zip(single.grad_params, double.grad_params, strict=True):
        assert relative_error(low, high) < FLOAT32


@every_trainable
def test_to_refuses_integers_and_changes_nothing(build: Callable) -> None:
    module, x = build(0), random_values((2, 3, 8, 8), 1)
    v = random_values(tuple(module(x.clone()).shape), 2)
    expected = through_ours(module, x.clone(), v.clone())
    module.zero_grad()
    with pytest.raises(TypeError, match=r"expected a floating-point dtype, got torch\.int64"):
        module.to(torch.int64)
    grad_input = module.backward(v.clone())  # still remembers its forward
    assert torch.equal(grad_input, expected.grad_input)
    assert_same(expected.grad_params, [grad for _, grad in module.param()])
    assert module.to("cpu") is module


@every_kernel_set
@every_trainable
def test_needs_input_grad_false_gives_the_same_parameter_gradients(
    kernel_set: str, build: Callable
) -> None:
    module, x = build(0), random_values((2, 3, 8, 8), 1)
    with use_kernels(kernel_set):
        v = random_values(tuple(module(x.clone()).shape), 2)
        expected = through_ours(module, x.clone(), v.clone())
        assert module.needs_input_grad is True and expected.grad_input is not None
        module.needs_input_grad = False
        result = through_ours(module, x.clone(), v.clone())
        assert result.grad_input is None
        assert_same(expected.grad_params, result.grad_params)
        module.needs_input_grad = True
        again = through_ours(module, x.clone(), v.clone())
    assert torch.equal(again.grad_input, expected.grad_input)


def test_needs_input_grad_of_a_sequential_is_that_of_its_first_module() -> None:
    network = small_chain()
    network.needs_input_grad = False
    assert [layer.needs_input_grad for layer in network] == [False, True, True, True]
    assert network.needs_input_grad is False and small_chain().needs_input_grad is True


BEFORE_FORWARD = {
    "Conv2d": lambda: Conv2d(3, 4, 2),
    "Upsampling": lambda: Upsampling(3, 4, 2),
    "ConvTranspose2d": lambda: ConvTranspose2d(3, 4, 2),
    "NNUpsampling": NNUpsampling,
    "ReLU": ReLU,
    "LeakyReLU": LeakyReLU,
    "ELU": ELU,
    "Sigmoid": Sigmoid,
    "Sequential": lambda: Sequential(Conv2d(3, 4, 2), ReLU()),
    "Residual": lambda: Residual(Conv2d(3, 3, 1)),
    "Concat": lambda: Concat(ReLU()),
}


@pytest.mark.parametrize("build", BEFORE_FORWARD.values(), ids=BEFORE_FORWARD)
def test_backward_before_forward_raises(build: Callable) -> None:
    module = build()
    before = state(module)
    with pytest.raises(RuntimeError, match=r"^\w+\.backward needs a forward before it$"):
        module.backward(torch.ones(1, 4, 4, 4))
    assert_same(before, state(module))


def test_loss_backward_before_forward_raises() -> None:
    with pytest.raises(RuntimeError, match=r"^MSELoss\.backward needs a forward before it$"):
        MSELoss(ReLU()).backward()


def test_a_module_must_define_forward_and_backward() -> None:
    class Nothing(Module):
        pass

    with pytest.raises(NotImplementedError, match="Nothing does not define forward"):
        Nothing()(torch.ones(1))
    with pytest.raises(NotImplementedError, match="Nothing does not define backward"):
        Nothing().backward(torch.ones(1))


def test_children_are_found_alone_in_lists_and_in_tuples() -> None:
    class Wrapper(Module):
        def __init__(self) -> None:
            self.first = Conv2d(1, 1, 1, generator=generator(0))
            self.weight = torch.ones(2)
            self.weight_grad = torch.zeros(2)
            self.constant = torch.ones(5)  # no partner: not a parameter
            self.several = [ReLU(), Upsampling(1, 1, 1, generator=generator(1))]
            self.fixed = (Conv2d(1, 1, 1, bias=False, generator=generator(2)), "text")

    module = Wrapper()
    assert list(module.children()) == [module.first, *module.several, module.fixed[0]]
    found = [value for value, _ in module.param()]
    inner = module.several[1].conv
    first, last = module.first, module.fixed[0]
    expected = [module.weight, first.weight, first.bias, inner.weight, inner.bias, last.weight]
    assert len(found) == len(expected)
    assert all(a is b for a, b in zip(found, expected, strict=True))
    assert list(module.modules())[0] is module and inner in list(module.modules())


def test_aliases_are_the_names_of_the_report_and_its_course() -> None:
    assert TransposeConv2d is Upsampling
    assert NearestUpsampling is NNUpsampling
    assert MSE is MSELoss


REPRS = [
    Conv2d(3, 32, 2),
    Conv2d(3, 32, (2, 3), stride=2, padding=(1, 0), dilation=3, bias=False),
    Upsampling(4, 5, 2, padding=1, scale_factor=(2, 3)),
    ConvTranspose2d(3, 32, 2),
    ConvTranspose2d(3, 4, (2, 3), 2, (1, 0), 1, bias=False, dilation=(1, 2)),
    NNUpsampling((2, 3)),
    ReLU(),
    ReLU(inplace=True),
    LeakyReLU(0.2),
    ELU(0.5),
    Sigmoid(),
    MSELoss(),
    L1Loss(),
    Sequential(),
]


@pytest.mark.parametrize("module", REPRS, ids=repr)
def test_repr_is_the_call_that_builds_the_module(module: Module) -> None:
    rebuilt = eval(repr(module))  # noqa: S307
    assert type(rebuilt) is type(module) and repr(rebuilt) == repr(module)

    def settings_of(value: Module) -> dict:
        kept = {k: v for k, v in vars(value).items() if not isinstance(v, (Tensor, Module))}
        return kept | {"parameters": [tuple(p.shape) for p, _ in value.param()]}

    assert settings_of(rebuilt) == settings_of(module)


def test_repr_of_a_network_reads_like_pytorchs() -> None:
    ours = Sequential(Sigmoid(), Sequential(ReLU(inplace=True), ELU(0.5)), LeakyReLU(0.1))
    theirs = nn.Sequential(
        nn.Sigmoid(), nn.Sequential(nn.ReLU(inplace=True), nn.ELU(0.5)), nn.LeakyReLU(0.1)
    )
    assert repr(ours) == repr(theirs)
    assert repr(MSELoss(ours)) == "MSELoss(Sequential)"
    assert repr(SGD(ours, 0.5)) == "SGD(lr=0.5)"


# -------------------------------------------------------------------------------- kernel sets


def test_every_kernel_set_offers_the_functions_of_the_protocol() -> None:
    assert active() is KERNELS[DEFAULT] and "unfold" in KERNELS
    assert len(FUNCTIONS) == 15
    for name in FUNCTIONS:
        documented = list(inspect.signature(getattr(KernelSet, name)).parameters)[1:]
        for kernel_set in KERNELS.values():
            assert list(inspect.signature(getattr(kernel_set, name)).parameters) == documented


def test_use_kernels_swaps_and_restores() -> None:
    before = active()
    for name, kernel_set in KERNELS.items():
        for chosen in (name, kernel_set):
            with use_kernels(chosen) as inside:
                assert active() is inside is kernel_set
                with use_kernels("unfold"):
                    assert active() is KERNELS["unfold"]
                assert active() is kernel_set
            with pytest.raises(KeyError), use_kernels(chosen):
                raise KeyError
            assert active() is before


@pytest.mark.parametrize(
    "kernels, error, message",
    [
        ("mkl", ValueError, "expected a kernel set out of .*unfold.*, got 'mkl'"),
        (None, TypeError, "got a NoneType without conv2d_forward, .*sgd_step$"),
        (
            SimpleNamespace(**dict.fromkeys(FUNCTIONS[1:], max), conv2d_forward=None),
            TypeError,
            "expected a kernel set with 15 functions, .* without conv2d_forward$",
        ),
    ],
    ids=["no such name", "nothing", "one is missing"],
)
def test_refused_kernel_sets(kernels: object, error: type, message: str) -> None:
    before = active()
    with pytest.raises(error, match=message), use_kernels(kernels):
        pass
    assert active() is before


@pytest.mark.parametrize(
    "build",
    [
        lambda: Conv2d(2, 3, 2, generator=generator(0)),
        lambda: Upsampling(2, 3, 2, generator=generator(0)),
        NNUpsampling,
        lambda: ConvTranspose2d(2, 3, 2, generator=generator(0)),
        ReLU,
        Sigmoid,
    ],
    ids=["Conv2d", "Upsampling", "NNUpsampling", "ConvTranspose2d", "ReLU", "Sigmoid"],
)
def test_backward_uses_the_kernel_set_of_its_forward(build: Callable) -> None:
    """Of one's own set, which counts the calls and hands them to the report's."""
    calls = []

    def spy_on(name: str) -> Callable:
        def call(*arguments):
            calls.append(name.rpartition("_")[2])
            return getattr(KERNELS["unfold"], name)(*arguments)

        return call

    spy = SimpleNamespace(**{name: spy_on(name) for name in FUNCTIONS})
    module, x = build(), random_values((1, 2, 4, 4), 1)

    with use_kernels(spy):
        output = module(x)
    assert calls == ["forward"]
    module.backward(torch.ones_like(output))
    assert calls == ["forward", "backward"]

    output = module(x)
    with use_kernels(spy):
        module.backward(torch.ones_like(output))
    assert calls == ["forward", "backward"], "this forward had not used the spy"


def test_a_whole_training_step_is_arithmetic_of_the_set() -> None:
    """Of one's own set, which is called for all of it; the loss goes back on the set it came by."""
    calls = []

    def spy_on(name: str) -> Callable:
        def call(*arguments):
            calls.append(name)
            return getattr(KERNELS["unfold"], name)(*arguments)

        return call

    spy = SimpleNamespace(**{name: spy_on(name) for name in FUNCTIONS})
    network = Sequential(Conv2d(3, 2, 1), ReLU(inplace=True), Upsampling(2, 3, 1), Sigmoid())
    criterion, optimiser = MSELoss(network), SGD(network, lr=0.1)
    x = random_values((1, 3, 4, 4), 1, torch.float32)
    with use_kernels(spy):
        criterion(network(x), torch.zeros(1, 3, 8, 8))
    criterion.backward()
    optimiser.step()
    layers = ["conv2d", "relu", "upsample_conv2d", "sigmoid", "mse"]
    assert calls == [f"{name}_forward" for name in layers] + [
        f"{name}_backward" for name in layers[::-1]
    ]
    with use_kernels(spy):
        optimiser.step()
    assert calls[-1] == "sgd_step"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_sets_compute_number_by_number_what_torch_does(dtype: torch.dtype) -> None:
    """Also where an exponential overflows, and on so many numbers that they come in pieces."""
    x = 3 * random_values((5, 3, 200, 200), 1, dtype)
    x[0, 0, 0, :4] = torch.tensor([0.0, 1e4, -1e4, -80.0])
    grad, target = random_values(x.shape, 2, dtype), random_values(x.shape, 3, dtype)
    theirs = x.clone().requires_grad_()
    with torch.enable_grad():
        relu, sigmoid = theirs.relu(), theirs.sigmoid()
        loss = nn.functional.mse_loss(theirs, target)
        relu_grad, sigmoid_grad = (torch.autograd.grad(y, theirs, grad)[0] for y in (relu, sigmoid))
        (loss_grad,) = torch.autograd.grad(loss, theirs)
    for kernel_set in KERNELS.values():
        ours = kernel_set.relu_forward(x)
        assert torch.equal(ours, relu) and torch.equal(
            kernel_set.relu_backward(grad, ours), relu_grad
        )
        ours = kernel_set.sigmoid_forward(x)
        torch.testing.assert_close(ours, sigmoid.detach())
        torch.testing.assert_close(kernel_set.sigmoid_backward(grad, ours), sigmoid_grad)
        ours, saved = kernel_set.mse_forward(x, target)
        torch.testing.assert_close(ours, loss.detach())
        torch.testing.assert_close(kernel_set.mse_backward(saved), loss_grad)
        pairs = [(x.clone(), grad), (target.clone(), grad)]
        assert kernel_set.sgd_step(pairs, 0.5) is None
        torch.testing.assert_close(pairs[0][0], x - 0.5 * grad)
        torch.testing.assert_close(pairs[1][0], target - 0.5 * grad)


@every_kernel_set
@pytest.mark.parametrize("other", list(KERNELS))
@pytest.mark.parametrize(
    "name", ["Conv2d", "Upsampling", "ConvTranspose2d", "report's network", "U-Net"]
)
def test_swapping_between_forward_and_backward_changes_nothing(
    kernel_set: str, other: str, name: str
) -> None:
    module, x = TRAINABLE[name](0), random_values((2, 3, 8, 8), 1)
    with use_kernels(kernel_set):
        v = random_values(tuple(module(x.clone()).shape), 2)
        expected = through_ours(module, x.clone(), v.clone())
        module.zero_grad()
        module(x.clone())
    with use_kernels(other):
        grad_input = module.backward(v.clone())
    assert torch.equal(grad_input, expected.grad_input)
    assert_same(expected.grad_params, [grad for _, grad in module.param()])


@every_trainable
def test_a_generator_decides_the_weights_and_the_global_one_is_left_alone(build: Callable):
    before = torch.get_rng_state()
    first, second, other = build(5), build(5), build(6)
    assert torch.equal(torch.get_rng_state(), before)
    assert_same(state(first), state(second))
    pairs = zip(first.param(), other.param(), strict=True)
    assert not any(torch.equal(a, b) for (a, _), (b, _) in pairs)


# ---------------------------------------------------------------------------------- torch_twin


@every_trainable
def test_twin_copies_weights_and_dtype(build: Callable) -> None:
    module = build(0).to(torch.float64)
    twin = torch_twin(module)
    pairs = zip(twin.parameters(), module.param(), strict=True)
    for theirs, (ours, _) in pairs:
        assert theirs.dtype == torch.float64 and torch.equal(theirs, ours)
        assert theirs.data_ptr() != ours.data_ptr() and theirs.requires_grad
        ours.zero_()
        assert theirs.abs().sum() > 0


def test_twin_refuses_what_it_does_not_know() -> None:
    class Unknown(Module):
        pass

    with pytest.raises(TypeError, match=r"expected .* torch\.nn, got Unknown\(\)"):
        torch_twin(Sequential(ReLU(), Unknown()))
    conv, other = Conv2d(1, 2, 3), nn.Conv2d(1, 2, 2)
    before = [p.clone() for p in other.parameters()]
    with pytest.raises(ValueError, match=r"expected .*\(2, 1, 3, 3\).*, got .*\(2, 1, 2, 2\)"):
        copy_params(conv, other)
    assert_same(before, list(other.parameters()))


# ------------------------------------------------------------------ modes


@pytest.mark.parametrize("kernel_set", list(KERNELS))
def test_training_mode_saves_memory_and_changes_no_gradient(kernel_set: str) -> None:
    network = report_network(generator=torch.Generator().manual_seed(0))
    x, grad = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    with use_kernels(kernel_set):
        network(x)
        network.backward(grad)
        expected = [g.clone() for _, g in network.param()]
        network.zero_grad()
        with network.training_mode():
            network(x)
            assert network.backward(grad) is None
            assert all(module._saved is None for module in network.modules())
            with pytest.raises(RuntimeError, match="needs a forward before it"):
                network.backward(grad)
        for (_, got), want in zip(network.param(), expected, strict=True):
            assert torch.equal(got, want)
        network(x)
        assert network.backward(grad) is not None and network.backward(grad) is not None


def test_training_mode_looks_the_parameters_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network = report_network()
    expected = [(id(p), id(g)) for p, g in network.param()]
    with network.training_mode():
        monkeypatch.setattr(Conv2d, "param", lambda self: pytest.fail("looked up again"))
        assert [(id(p), id(g)) for p, g in network.param()] == expected
        network.param().clear()  # a list of the caller's own
        network.zero_grad()
        assert len(network.param()) == len(expected)
        assert "_pairs" not in network.__getstate__()
    with pytest.raises(pytest.fail.Exception, match="looked up again"):
        network.param()


def test_training_mode_goes_on_after_a_change_of_dtype() -> None:
    network = report_network()
    with network.training_mode():
        network.to(torch.float64)
        assert all(p.dtype == g.dtype == torch.float64 for p, g in network.param())


def test_prediction_mode_remembers_nothing() -> None:
    network = report_network(generator=torch.Generator().manual_seed(0))
    x = torch.rand(2, 3, 8, 8)
    expected = network(x)
    with network.prediction_mode():
        assert torch.equal(network(x), expected)
        assert all(module._saved is None for module in network.modules())
        with pytest.raises(RuntimeError, match="needs a forward before it"):
            network.backward(x)
    network(x)
    assert network.backward(x) is not None


def test_modes_end_with_their_context_also_after_an_error() -> None:
    network = report_network()
    with pytest.raises(KeyError), network.training_mode():
        raise KeyError
    assert network.needs_input_grad and all(module.keeps_saved for module in network.modules())
    assert network._pairs is None

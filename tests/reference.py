"""Independent answers that the tests compare the library with.

Everything here is built from plain ``torch.nn`` classes, autograd and loops; of the library only
the register of kernel sets and, to set up a comparison, the modules under test are imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from n2n_lib.denoiser.networks import report_network
from n2n_lib.framework.activations import ReLU, Sigmoid
from n2n_lib.framework.containers import Sequential
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.kernels import KERNELS
from n2n_lib.framework.module import Module
from n2n_lib.framework.transposed import ConvTranspose2d
from n2n_lib.framework.upsampling import Upsampling

FLOAT32, FINITE_DIFFERENCES = 1e-5, 1e-6  # largest relative errors that count as equal

every_kernel_set = pytest.mark.parametrize("kernel_set", list(KERNELS))

LAYOUTS = ("contiguous", "channels last", "sliced", "transposed")


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_image(height: int, width: int, seed: int = 0) -> Tensor:
    """An image (3, height, width) of random bytes."""
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator(seed))


def random_values(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Values of both signs, none closer to zero than 0.1: no zero hides a wrong gradient, and
    no finite difference steps over a kink at zero."""
    values = torch.randn(shape, generator=generator(seed), dtype=torch.float64)
    return (values + values.sign() * 0.1).to(dtype)


def with_layout(x: Tensor, layout: str) -> Tensor:
    """Return the values of `x`, ``(..., C, H, W)``, in another arrangement of memory."""
    if layout == "contiguous":
        return x.contiguous()
    if layout == "channels last":
        return x.movedim(-3, -1).contiguous().movedim(-1, -3)
    if layout == "transposed":
        return x.transpose(-1, -2).contiguous().transpose(-1, -2)
    assert layout == "sliced"
    frame = torch.full((*x.shape[:-2], 2 * x.shape[-2] + 1, 2 * x.shape[-1] + 1), math.nan)
    window = frame.to(x.dtype)[..., 1::2, 1::2]
    return window.copy_(x)


def relative_error(value: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of what is expected, in float64."""
    assert value.shape == expected.shape, f"shape {tuple(value.shape)} != {tuple(expected.shape)}"
    difference = torch.linalg.vector_norm(value.double() - expected.double()).item()
    scale = torch.linalg.vector_norm(expected.double()).item()
    return difference / scale if scale > 0 else difference


def reach(network: nn.Module, multiple: int, side: int) -> int:
    """How far away the furthest input lies that an output pixel in the middle of an image sees.

    Asked of every phase of the strides. The input is positive, so that nothing cancels where the
    weights of a float64 network are.
    """
    start, furthest = side // 2 // multiple * multiple, 0
    for row in range(start, start + multiple):
        with torch.enable_grad():
            x = random_values((1, 3, side, side), 1, torch.float64).abs().requires_grad_()
            (gradient,) = torch.autograd.grad(network(x)[0, :, row, row].sum(), x)
        seen = gradient[0].abs().sum(0).nonzero()
        furthest = max(furthest, (seen - row).abs().max().item())
    return furthest


@dataclass
class Result:
    """Output, gradient of the input, gradients of the parameters."""

    output: Tensor
    grad_input: Tensor | None
    grad_params: list[Tensor]

    def assert_equals(self, expected: Result, tolerance: float) -> None:
        assert len(self.grad_params) == len(expected.grad_params)
        pairs = {
            "output": (self.output, expected.output),
            "gradient of the input": (self.grad_input, expected.grad_input),
        }
        for i, pair in enumerate(zip(self.grad_params, expected.grad_params, strict=True)):
            pairs[f"gradient of parameter {i}"] = pair
        for name, (value, reference) in pairs.items():
            assert value.dtype == reference.dtype, f"{name} has dtype {value.dtype}"
            error = relative_error(value, reference)
            assert error < tolerance, f"{name}: relative error {error:.1e}"


def through_ours(module: Module, x: Tensor, grad_output: Tensor) -> Result:
    """Forward and backward through one of the library's modules, from gradients of zero."""
    module.zero_grad()
    output = module(x).clone()
    grad_input = module.backward(grad_output)
    return Result(output, grad_input, [grad.clone() for _, grad in module.param()])


def through_torch(reference: nn.Module, x: Tensor, grad_output: Tensor) -> Result:
    """The same with autograd. One image ``(C, H, W)`` goes through as a batch of one."""
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        batch = leaf.unsqueeze(0) if leaf.dim() == 3 else leaf.clone()  # clone: for inplace
        output = reference(batch.clone())
        output = output[0] if leaf.dim() == 3 else output
        parameters = list(reference.parameters())
        grads = torch.autograd.grad(output, [leaf, *parameters], grad_output)
    return Result(output.detach(), grads[0], list(grads[1:]))


def copy_values(module: Module, reference: nn.Module) -> nn.Module:
    """Give a reference the parameter values of `module`, in order and in its dtype."""
    ours, theirs = [value for value, _ in module.param()], list(reference.parameters())
    assert [tuple(p.shape) for p in ours] == [tuple(p.shape) for p in theirs]
    if ours:
        reference.to(ours[0].dtype)
    with torch.no_grad():
        for target, source in zip(theirs, ours, strict=True):
            target.copy_(source)
    return reference


def torch_upsampling(scale: tuple[int, int]) -> nn.Upsample:
    return nn.Upsample(scale_factor=(float(scale[0]), float(scale[1])), mode="nearest")


def torch_report_network() -> nn.Sequential:
    """Section 3 of the report, in plain ``torch.nn`` classes."""
    return nn.Sequential(
        nn.Conv2d(3, 32, kernel_size=2, stride=2),
        nn.ReLU(),
        nn.Conv2d(32, 64, kernel_size=2, stride=2),
        nn.ReLU(),
        nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(64, 32, kernel_size=2, padding=1)),
        nn.ReLU(),
        nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(32, 3, kernel_size=3)),
        nn.Sigmoid(),
    )


def finite_differences(
    function: Callable[[], Tensor], x: Tensor, entries: list[int] | None = None, step: float = 1e-6
) -> Tensor:
    """Central differences of a scalar function by the flat `entries` of `x` (default: all)."""
    assert x.dtype == torch.float64 and x.is_contiguous()
    flat, found = x.view(-1), []
    for i in range(x.numel()) if entries is None else entries:
        before = flat[i].item()
        flat[i] = before + step
        above = function()
        flat[i] = before - step
        below = function()
        flat[i] = before
        found.append((above - below).item() / (2 * step))
    result = torch.tensor(found, dtype=torch.float64)
    return result.view_as(x) if entries is None else result


def assert_equals_finite_differences(module: Module, x: Tensor, seed: int) -> None:
    """Check every entry of every gradient of a float64 module."""
    v = random_values(tuple(module(x.clone()).shape), seed, torch.float64)
    ours = through_ours(module, x.clone(), v.clone())

    def scalar() -> Tensor:
        return (module(x.clone()) * v).sum()

    variables = {"input": x} | {f"parameter {i}": p for i, (p, _) in enumerate(module.param())}
    gradients = [ours.grad_input, *ours.grad_params]
    for (name, variable), gradient in zip(variables.items(), gradients, strict=True):
        error = relative_error(gradient, finite_differences(scalar, variable))
        assert error < FINITE_DIFFERENCES, f"gradient of {name}: relative error {error:.1e}"


def as_pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def torch_layer(layer: type, *arguments, scale_factor=2, **named) -> nn.Module:
    """What PyTorch has for `Conv2d`, `Upsampling` and `ConvTranspose2d`."""
    if layer is ConvTranspose2d:
        return nn.ConvTranspose2d(*arguments, **named)
    conv = nn.Conv2d(*arguments, **named)
    if layer is Conv2d:
        return conv
    return nn.Sequential(torch_upsampling(as_pair(scale_factor)), conv)


@dataclass(frozen=True)
class Case:
    """One layer with a window, and the image that goes in."""

    layer: type
    arguments: dict
    batch: int | None  # None: one image without a batch dimension
    size: tuple[int, int]
    layout: str
    grad_layout: str
    seed: int

    def ours(self) -> Module:
        return self.layer(**self.arguments, generator=generator(self.seed))

    def theirs(self) -> nn.Module:
        return torch_layer(self.layer, **self.arguments)

    def input(self, dtype: torch.dtype = torch.float32) -> Tensor:
        shape = (self.arguments["in_channels"], *self.size)
        shape = shape if self.batch is None else (self.batch, *shape)
        return with_layout(random_values(shape, self.seed + 1, dtype), self.layout)

    def grad_for(self, output: Tensor) -> Tensor:
        v = random_values(tuple(output.shape), self.seed + 2, output.dtype)
        return with_layout(v, self.grad_layout)


def one_or_two(low: int, high: int) -> st.SearchStrategy:
    """An integer or a (height, width) pair of them."""
    number = st.integers(low, high)
    return st.tuples(number, number) | number


@st.composite
def cases(draw: st.DrawFn, layer: type, channels: int = 4, extra: int = 4) -> Case:
    """Draw any geometry that PyTorch allows and an image that leaves an output."""
    transposed = layer is ConvTranspose2d
    kernel, stride = draw(one_or_two(1, 4)), draw(one_or_two(1, 3))
    dilation, padding = draw(one_or_two(1, 3 + transposed)), draw(one_or_two(0, 2 + transposed))
    arguments = {
        "in_channels": draw(st.integers(1, channels)),
        "out_channels": draw(st.integers(1, channels)),
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "bias": draw(st.booleans()),
    }
    pairs = [as_pair(value) for value in (kernel, stride, padding, dilation)]
    if transposed:  # also an output padding of a stride or more
        limits = [max(s, d) for s, d in zip(pairs[1], pairs[3], strict=True)]
        extras = tuple(draw(st.integers(0, limit - 1)) for limit in limits)
        arguments["output_padding"] = extras
        smallest = [  # (n - 1) s - 2 p + d (k - 1) + extra + 1 must be positive
            max(1, 1 + math.ceil((2 * p - d * (k - 1) - more) / s))
            for k, s, p, d, more in zip(*pairs, extras, strict=True)
        ]
    else:
        scale = 1
        if layer is Upsampling:
            scale = arguments["scale_factor"] = draw(one_or_two(1, 3))
        smallest = [  # the window must fit into the padded image
            max(1, math.ceil((d * (k - 1) + 1 - 2 * p) / up))
            for k, _, p, d, up in zip(*pairs, as_pair(scale), strict=True)
        ]
    return Case(
        layer,
        arguments,
        batch=draw(st.none() | st.integers(1, 3)),
        size=tuple(n + draw(st.integers(0, extra)) for n in smallest),
        layout=draw(st.sampled_from(LAYOUTS)),
        grad_layout=draw(st.sampled_from(LAYOUTS)),
        seed=draw(st.integers(0, 1000)),
    )


def small_chain(seed: int = 0) -> Sequential:
    """A small network that holds a module with parameters at every depth; takes 3 channels."""
    source = generator(seed)
    return Sequential(
        Conv2d(3, 4, 2, stride=2, generator=source),
        ReLU(),
        Sequential(Upsampling(4, 5, 3, padding=1, generator=source), Sigmoid()),
        Conv2d(5, 2, (1, 2), generator=source),
    )


# Modules with parameters: each takes a seed and accepts a (2, 3, 8, 8) batch.
TRAINABLE: dict[str, Callable[[int], Module]] = {
    "Conv2d": lambda seed: Conv2d(3, 4, (3, 2), 2, 1, generator=generator(seed)),
    "Conv2d without bias": lambda seed: Conv2d(3, 4, 3, bias=False, generator=generator(seed)),
    "Upsampling": lambda seed: Upsampling(3, 4, 2, padding=1, generator=generator(seed)),
    "Sequential": small_chain,
    "report's network": lambda seed: report_network(generator=generator(seed)),
}
every_trainable = pytest.mark.parametrize("build", TRAINABLE.values(), ids=TRAINABLE.keys())


def state(module: Module) -> list[Tensor]:
    """Copies of every parameter and gradient."""
    return [tensor.clone() for pair in module.param() for tensor in pair]


def assert_same(before: list[Tensor], after: list[Tensor]) -> None:
    assert len(before) == len(after)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))

"""Residual, Concat and the U-Net made of them: against torch.nn, and what they leave alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import (
    FLOAT32,
    assert_equals_finite_differences,
    assert_same,
    copy_values,
    every_kernel_set,
    generator,
    random_values,
    reach,
    relative_error,
    state,
    through_ours,
    through_torch,
)
from torch import Tensor, nn

from n2n_lib.denoiser.model import Model
from n2n_lib.denoiser.networks import NETWORKS, NetworkSpec, find_network, unet
from n2n_lib.framework.activations import ELU, LeakyReLU, ReLU, Sigmoid
from n2n_lib.framework.containers import Concat, Residual, Sequential
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.gradcheck import gradcheck
from n2n_lib.framework.kernels import use_kernels
from n2n_lib.framework.losses import MSELoss
from n2n_lib.framework.module import Module
from n2n_lib.framework.optim import Adam
from n2n_lib.framework.torch_twin import torch_twin
from n2n_lib.framework.transposed import ConvTranspose2d
from n2n_lib.framework.upsampling import Upsampling


class TorchResidual(nn.Module):
    def __init__(self, f: nn.Module) -> None:
        super().__init__()
        self.f = f

    def forward(self, x: Tensor) -> Tensor:
        return x + self.f(x)


class TorchConcat(TorchResidual):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.f(x)], dim=1)


# ----------------------------------------------------------------------------- any nesting

ACTIVATIONS = {
    "ReLU": (ReLU, nn.ReLU),
    # In place ours are; PyTorch's would destroy what its own sums and autograd need.
    "ReLU(inplace=True)": (lambda: ReLU(inplace=True), nn.ReLU),
    "LeakyReLU": (lambda: LeakyReLU(0.1), lambda: nn.LeakyReLU(0.1)),
    "ELU": (ELU, nn.ELU),
    "Sigmoid": (Sigmoid, nn.Sigmoid),
}
KINDS = ["conv", "pointwise", "down and up", "residual", "concat", "chain"]


@st.composite
def layers(draw: st.DrawFn, channels: int, depth: int, seed: int) -> tuple[list, list, int]:
    """Draw modules and the same of torch.nn; all keep height and width if these are even."""
    ours, theirs = [], []
    kinds = st.sampled_from(KINDS if depth else KINDS[:3])
    for number, kind in enumerate(draw(st.lists(kinds, max_size=3))):
        source = generator(seed + 10 * depth + number)
        if kind == "pointwise":
            build, torch_build = ACTIVATIONS[draw(st.sampled_from(sorted(ACTIVATIONS)))]
            ours.append(build())
            theirs.append(torch_build())
        elif kind == "conv":
            out = draw(st.integers(1, 3))
            ours.append(Conv2d(channels, out, 3, 1, 1, generator=source))
            theirs.append(nn.Conv2d(channels, out, 3, 1, 1))
            channels = out
        elif kind == "down and up":
            ours.append(Conv2d(channels, 2, 2, 2, generator=source))
            ours.append(ConvTranspose2d(2, channels, 2, 2, generator=source))
            theirs += [nn.Conv2d(channels, 2, 2, 2), nn.ConvTranspose2d(2, channels, 2, 2)]
        else:
            inner, torch_inner, out = draw(layers(channels, depth - 1, seed + 100 * number))
            if kind == "residual" and out != channels:
                inner.append(Conv2d(out, channels, 1, generator=source))
                torch_inner.append(nn.Conv2d(out, channels, 1))
            one = len(inner) == 1 and draw(st.booleans())
            f = inner[0] if one else Sequential(inner)
            torch_f = nn.Sequential(*torch_inner)
            if kind == "residual":
                ours.append(Residual(f))
                theirs.append(TorchResidual(torch_f))
            elif kind == "concat":
                ours.append(Concat(f))
                theirs.append(TorchConcat(torch_f))
                channels += out
            else:
                ours.append(f)
                theirs.append(torch_f)
                channels = out
    return ours, theirs, channels


@st.composite
def branches(draw: st.DrawFn) -> tuple[Module, nn.Module, int, int]:
    """Draw a Residual or a Concat, its counterpart, its number of channels and a seed."""
    seed, channels = draw(st.integers(0, 1000)), draw(st.integers(1, 3))
    ours, theirs, out = draw(layers(channels, 2, seed))
    if draw(st.booleans()):
        return Concat(Sequential(ours)), TorchConcat(nn.Sequential(*theirs)), channels, seed
    if out != channels:
        ours.append(Conv2d(out, channels, 1, generator=generator(seed)))
        theirs.append(nn.Conv2d(out, channels, 1))
    return Residual(Sequential(ours)), TorchResidual(nn.Sequential(*theirs)), channels, seed


@every_kernel_set
@settings(max_examples=80)
@given(branch=branches(), three=st.booleans())
def test_any_nesting_equals_torch(kernel_set: str, branch: tuple, three: bool) -> None:
    """In float64: a bias gradient may be a sum that cancels, where float32 keeps few digits."""
    ours, theirs, channels, seed = branch
    copy_values(ours.to(torch.float64), theirs)
    shape = (channels, 4, 6) if three else (2, channels, 4, 6)
    x = random_values(shape, seed + 1, torch.float64)
    x_before = x.clone()
    with use_kernels(kernel_set):
        v = random_values(tuple(ours(x).shape), seed + 2, torch.float64)
        v_before = v.clone()
        result = through_ours(ours, x, v)
    result.assert_equals(through_torch(theirs, x, v), 1e-10)
    assert torch.equal(x, x_before), "forward or backward changed the input"
    assert torch.equal(v, v_before), "backward changed grad_output"
    batch = x[None] if three else x
    assert relative_error(torch_twin(ours)(batch), theirs(batch)) < 1e-10


def conv(before: int, after: int, size: int = 3) -> Conv2d:
    return Conv2d(before, after, size, padding=size // 2, generator=generator(before + after))


BUILD: dict[str, Callable[[], Module]] = {
    "Residual": lambda: Residual(Sequential(conv(2, 3), Sigmoid(), conv(3, 2, 1))),
    "Concat": lambda: Concat(Sequential(Sigmoid(), conv(2, 3))),
    "Residual of Concat": lambda: Residual(Sequential(Concat(conv(2, 1)), ELU(), conv(3, 2))),
    "Concat of Concat": lambda: Concat(Sequential(conv(2, 2), Concat(conv(2, 1)))),
    "in place": lambda: Concat(Sequential(ReLU(inplace=True), conv(2, 2), ReLU(inplace=True))),
}


def twin_of(module: Module) -> nn.Module:
    """The reference for `BUILD`: our branches become the classes of this file."""
    if isinstance(module, Sequential):
        return nn.Sequential(*map(twin_of, module))
    if isinstance(module, (Residual, Concat)):
        return (TorchResidual if isinstance(module, Residual) else TorchConcat)(twin_of(module.f))
    return nn.ReLU() if isinstance(module, ReLU) else torch_twin(module)


@every_kernel_set
@pytest.mark.parametrize("name", BUILD)
def test_three_ways(kernel_set: str, name: str) -> None:
    module = BUILD[name]()
    x = random_values((2, 2, 4, 3), 1)
    with use_kernels(kernel_set):
        report = gradcheck(module, x, torch_module=twin_of(module))
        assert_equals_finite_differences(module.to(torch.float64), x.double(), 2)
    assert report.ok, str(report)
    assert len(report.rows) == 1 + len(module.param()) and len(report.rows[0][2]) == 3


@pytest.mark.parametrize("build", [Residual, Concat])
@pytest.mark.parametrize(
    "f",
    [
        lambda: ReLU(inplace=True),
        lambda: Sequential(ReLU(inplace=True)),
        lambda: Sequential(Sequential(), Sequential(Sequential(), ReLU(inplace=True)), ELU()),
        lambda: Sequential(ELU(), ReLU(inplace=True), Sequential()),
        lambda: Sequential(ELU(), ReLU(inplace=True), ELU()),
        lambda: Residual(ReLU(inplace=True)),
        lambda: Sequential(Concat(ReLU(inplace=True)), ELU(), conv(6, 3, 1)),
    ],
)
def test_modules_in_place_overwrite_neither_the_way_past_nor_the_arguments(build, f) -> None:
    module = build(f())
    x = random_values((2, 3, 4, 4), 1)
    x_before = x.clone()
    output = module(x)
    past = output[:, :3] if build is Concat else output - f()(x.clone())
    assert (past - x_before).abs().max() < 1e-6
    v = random_values(tuple(output.shape), 2)
    v_before = v.clone()
    grad = module.backward(v)
    assert torch.equal(x, x_before) and torch.equal(v, v_before)
    output.zero_(), grad.zero_()
    assert torch.equal(x, x_before) and torch.equal(v, v_before), "results share memory"


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda one: Sequential(one, Sigmoid(), one), "the same Conv2d in places 0 and 2"),
        (lambda one: Sequential([Sigmoid(), one, one]), "the same Conv2d in places 1 and 2"),
        (lambda one: Sequential(Residual(one), ELU(), Sequential(one)), "in places 0 and 2"),
    ],
    ids=["itself", "in a list", "inside of others"],
)
def test_a_module_in_two_places_is_refused(build: Callable, message: str) -> None:
    """The second forward would overwrite what the first one needs, and the gradient be wrong."""
    with pytest.raises(ValueError, match=f"{message}: the second would overwrite"):
        build(conv(2, 2, 1))


def test_a_branch_copies_only_what_would_be_overwritten(monkeypatch) -> None:
    """A copy at every branch would cost time for nothing."""
    copies = []
    clone = Tensor.clone
    monkeypatch.setattr(Tensor, "clone", lambda x, **k: copies.append(1) or clone(x, **k))
    one, other = conv(2, 2, 1), conv(2, 2, 1)
    x = random_values((1, 2, 4, 4), 1)
    for f, expected in (
        (Sequential(one, ReLU(inplace=True), other), 0),
        (Sequential(ReLU(inplace=True), one), 1),
        (Sequential(one, ReLU(inplace=True)), 1),
        (ReLU(inplace=True), 2),
    ):
        module = Residual(f)
        with use_kernels("unfold"):
            copies.clear()
            module.backward(module(x))
        assert len(copies) == expected


def test_an_empty_chain_is_the_identity_in_a_branch() -> None:
    x, v = random_values((1, 2, 3, 3), 0), random_values((1, 4, 3, 3), 1)
    module = Residual(Sequential())
    assert torch.equal(module(x), 2 * x) and torch.equal(module.backward(x), 2 * x)
    module = Concat(Sequential())
    assert torch.equal(module(x), torch.cat([x, x], 1))
    assert torch.equal(module.backward(v), v[:, :2] + v[:, 2:])


# --------------------------------------------------------------------------------- contract


@pytest.mark.parametrize("build", [Residual, Concat])
def test_parameters_are_those_of_f(build: type) -> None:
    conv = Conv2d(2, 2, 1, generator=generator(0))
    module = build(Sequential(ReLU(), conv))
    assert [id(p) for p, _ in module.param()] == [id(conv.weight), id(conv.bias)]
    assert list(module.children()) == [module.f]
    module.set_params([torch.ones(2, 2, 1, 1), torch.zeros(2)])
    x = random_values((1, 2, 3, 3), 1)
    summed = x.clamp(min=0).sum(1, keepdim=True).expand_as(x)
    expected = x + summed if build is Residual else torch.cat([x, summed], 1)
    assert relative_error(module(x), expected) < 1e-6
    conv.weight_grad.fill_(1)
    module.zero_grad()
    assert not conv.weight_grad.any()
    assert module.to(torch.float64) is module and conv.weight.dtype == torch.float64
    assert copy.deepcopy(module).f is not module.f


@pytest.mark.parametrize("build", [Residual, Concat])
def test_an_input_gradient_that_nobody_needs_is_not_computed(build: type) -> None:
    first = Conv2d(2, 2, 1, generator=generator(0))
    module = build(Sequential(Residual(Sequential(first)), ReLU()))
    network = Sequential(module, Concat(Sigmoid()))
    network.needs_input_grad = False
    assert first.needs_input_grad is False
    assert network.needs_input_grad is module.needs_input_grad is False
    x = random_values((1, 2, 3, 3), 1)
    v = random_values(tuple(network(x).shape), 2)
    assert network.backward(v) is None
    found = [grad.clone() for _, grad in network.param()]
    network.needs_input_grad = True
    assert first.needs_input_grad is True
    expected = through_ours(network, x, v)
    assert expected.grad_input is not None
    assert_same(found, expected.grad_params)


@pytest.mark.parametrize("build, reference", [(Residual, "Residual"), (Concat, "Concat")])
def test_repr_reads_like_pytorchs(build: type, reference: str) -> None:
    ours = Sequential(build(Sequential(ReLU(), build(ELU(0.5)))), Sigmoid())
    torch_class = type(reference, (TorchResidual,), {})
    theirs = nn.Sequential(
        torch_class(nn.Sequential(nn.ReLU(), torch_class(nn.ELU(0.5)))), nn.Sigmoid()
    )
    assert repr(ours) == repr(theirs)


# --------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("build", [Residual, Concat])
@pytest.mark.parametrize("bad", [None, "ReLU", ReLU, nn.ReLU(), [ReLU()]])
def test_takes_one_module(build: type, bad: object) -> None:
    message = f"^{build.__name__} expected a Module, got {type(bad).__name__}$"
    with pytest.raises(TypeError, match=message):
        build(bad)


def test_a_branch_of_another_size_is_refused() -> None:
    """Also one that would broadcast, and be added to the wrong pixels."""
    x = random_values((2, 3, 4, 4), 1)
    one = Conv2d(3, 1, 1, generator=generator(0))
    small = Conv2d(3, 3, 3, generator=generator(0))
    for f, got in ((one, r"\(2, 1, 4, 4\)"), (small, r"\(2, 3, 2, 2\)")):
        with pytest.raises(ValueError, match=rf"Residual expected .* \(2, 3, 4, 4\), got {got}"):
            Residual(f)(x)
    for f in (small, Upsampling(3, 3, 3, padding=1, generator=generator(0))):
        with pytest.raises(ValueError, match=r"Concat expected .* of \(2, 3, 4, 4\), got \(2, 3"):
            Concat(f)(x)
    assert Concat(one)(x).shape == (2, 4, 4, 4)


# ------------------------------------------------------------------------------------- U-Net


def torch_unet(width: int, depth: int, convs: int, slope: float) -> nn.Module:
    """The docstring's picture in plain torch.nn classes, written from the outside in."""

    def conv(before: int, after: int) -> list[nn.Module]:
        return [nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(slope)]

    def scale(channels: int, depth: int) -> nn.Module:
        inner = 2 * channels
        layers = [nn.Conv2d(channels, inner, 2, stride=2), nn.LeakyReLU(slope)]
        layers += [layer for _ in range(convs) for layer in conv(inner, inner)]
        if depth > 1:
            layers += [TorchConcat(scale(inner, depth - 1)), *conv(2 * inner, inner)]
        layers += [nn.Upsample(scale_factor=2), *conv(inner, channels)]
        return nn.Sequential(*layers)

    layers = conv(3, width) + [layer for _ in range(convs) for layer in conv(width, width)]
    layers += [TorchConcat(scale(width, depth)), *conv(2 * width, width)]
    return TorchResidual(nn.Sequential(*layers, nn.Conv2d(width, 3, 3, padding=1)))


UNETS = [(4, 1, 1, 0.1), (3, 2, 1, 0.2), (2, 3, 1, 0.0), (2, 2, 0, 0.01), (2, 1, 2, 0.1)]


@every_kernel_set
@pytest.mark.parametrize("width, depth, convs, slope", UNETS)
def test_unet_equals_torch(kernel_set, width, depth, convs, slope) -> None:
    network = unet(width=width, depth=depth, convs=convs, slope=slope, generator=generator(0))
    reference = copy_values(network, torch_unet(width, depth, convs, slope))
    x, v = random_values((2, 3, 8, 16), 1), random_values((2, 3, 8, 16), 2)
    with use_kernels(kernel_set):
        result = through_ours(network, x, v)
    result.assert_equals(through_torch(reference, x, v), FLOAT32)
    through_torch(torch_twin(network), x, v).assert_equals(through_torch(reference, x, v), 1e-6)


@every_kernel_set
def test_unet_three_ways(kernel_set: str) -> None:
    network = unet(width=1, depth=2, generator=generator(0))
    for seed, (value, _) in enumerate(network.param()):  # no gradient is small, no bias zero
        value.copy_(0.3 * random_values(tuple(value.shape), seed))
    x, reference = random_values((1, 3, 4, 4), 1), torch_unet(1, 2, 1, 0.1)
    with use_kernels(kernel_set):
        report = gradcheck(network, x, torch_module=reference)
    assert report.ok, str(report)


def test_unet_documents_its_number_of_parameters() -> None:
    count = sum(p.numel() for p in torch_unet(32, 2, 1, 0.1).parameters())
    assert f"{count:,} parameters".replace(",", " ") in " ".join(unet.__doc__.split())
    assert sum(value.numel() for value, _ in unet().param()) == count


def test_unet_starts_near_the_identity_with_the_weights_of_he() -> None:
    network = unet(generator=generator(0))
    x = torch.rand(2, 3, 32, 32, generator=generator(1))
    noise = network(x) - x
    assert 0 < noise.square().mean().sqrt() < 0.2
    convs = [module for module in network.modules() if isinstance(module, Conv2d)]
    for conv in convs:
        fan_in, n = conv.weight[0].numel(), conv.weight.numel()
        expected = (2 / (1 + 0.1**2) / fan_in) ** 0.5
        expected *= 0.1 if conv is convs[-1] else 1
        assert abs(conv.weight.std().item() / expected - 1) < 5 / (2 * n) ** 0.5
        assert not conv.bias.any()
    assert convs[-1].out_channels == 3


def test_a_generator_decides_the_weights_of_a_unet() -> None:
    before = torch.get_rng_state()
    first, second, other = (unet(width=2, generator=generator(seed)) for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    assert_same(state(first), state(second))
    assert not torch.equal(first.param()[0][0], other.param()[0][0])


@pytest.mark.parametrize("depth, convs", [(1, 1), (2, 1), (3, 1), (2, 0), (1, 2), (2, 2)])
def test_halo_of_a_unet_is_the_reach_of_its_pixels(depth: int, convs: int) -> None:
    """Neither less than what an output pixel sees nor a multiple more."""
    entry = find_network("unet")
    multiple, halo = entry.sizes(width=2, depth=depth, convs=convs)
    assert multiple == 2**depth and halo % multiple == 0
    reference = torch_unet(2, depth, convs, 0.1).double()
    with torch.no_grad():
        for parameter in reference.parameters():  # nothing cancels
            parameter.abs_()
    assert halo - multiple < reach(reference, multiple, 2 * halo + 2 * multiple) <= halo


def test_sizes_of_the_networks() -> None:
    for name, entry in NETWORKS.items():
        assert entry.sizes() == (entry.multiple, entry.halo), name
        network, m = entry.build(generator=generator(0)), entry.multiple
        x = torch.rand(1, 3, 3 * m, 2 * m, generator=generator(1))
        assert network(x).shape == x.shape
    assert NetworkSpec(unet, 2, 6).sizes(depth=7) == (2, 6), "without sizes_of they are fixed"
    assert find_network("unet").sizes(depth=3, slope=0.0)[0] == 8


@pytest.mark.parametrize(
    "arguments, error",
    [
        ({"width": 0}, ValueError),
        ({"width": 2.5}, TypeError),
        ({"depth": 0}, ValueError),
        ({"depth": "2"}, TypeError),
        ({"convs": -1}, ValueError),
        ({"convs": True}, TypeError),
        ({"slope": float("nan")}, ValueError),
    ],
    ids=str,
)
def test_unet_refuses(arguments: dict, error: type) -> None:
    with pytest.raises(error, match=f"^expected .*{next(iter(arguments))}"):
        unet(**arguments)


def test_an_image_that_cannot_be_halved_is_refused() -> None:
    for side in (5, 6):
        with pytest.raises(ValueError, match="Concat expected a module that keeps"):
            unet(width=2, depth=2, generator=generator(0))(torch.rand(1, 3, 8, side))


@every_kernel_set
def test_a_unet_learns(kernel_set: str) -> None:
    """Images of one colour each: an easy task, on which the loss must fall to a fraction."""
    network = unet(width=8, depth=2, generator=generator(0))
    network.needs_input_grad = False
    criterion, optimiser = MSELoss(network), Adam(network, 3e-3)
    clean = torch.rand(4, 3, 1, 1, generator=generator(1)).expand(4, 3, 16, 16)
    noisy = clean + 0.2 * torch.randn(4, 3, 16, 16, generator=generator(2))
    losses = []
    with use_kernels(kernel_set):
        for _ in range(100):
            losses.append(criterion(network(noisy), clean.contiguous()).item())
            optimiser.zero_grad()
            assert criterion.backward() is None
            optimiser.step()
    assert losses[-1] < 0.2 * losses[0]


# --------------------------------------------------------------- saved, loaded and predicted

SAVED = [
    ("unet", {"width": 3}),
    ("unet", {"width": 2, "convs": 0, "slope": 0.0}),
    ("report-transposed", {}),
    ("report-transposed", {"kernel_size": 3}),
    ("report-transposed", {"kernel_size": 4}),
]


@pytest.mark.parametrize("name, arguments", SAVED, ids=str)
def test_saved_loaded_and_predicted_is_predicted(name: str, arguments: dict, tmp_path: Path):
    model = Model(name, seed=1, **arguments)
    for value, _ in model.network.param():  # biases too
        value.add_(0.1 * random_values(tuple(value.shape), 2))
    loaded = Model(seed=2)
    for shape in ((2, 3, 12, 9), (3, 21, 16)):
        image = torch.randint(0, 256, shape, generator=generator(3), dtype=torch.uint8)
        expected = model.predict(image)
        model.save_model(tmp_path / "model.pth")
        loaded.load_pretrained_model(tmp_path / "model.pth")
        assert (loaded.network_name, loaded.arguments) == (name, arguments)
        assert torch.equal(loaded.predict(image), expected)
        assert_same(state(loaded.network)[::2], state(model.network)[::2])


@pytest.mark.parametrize("build", [Residual, Concat])
def test_a_network_of_ones_own_with_branches_is_saved_whole(build: type, tmp_path: Path) -> None:
    def network(seed: int) -> Module:
        source = generator(seed)
        f = build(Conv2d(3, 3, 3, padding=1, generator=source))
        return Sequential(f, ConvTranspose2d(3 if build is Residual else 6, 3, 1, generator=source))

    saved, loaded = Model(network(1)), Model(network(2))
    saved.save_model(tmp_path / "model.pth")
    image = torch.randint(0, 256, (3, 8, 8), generator=generator(3), dtype=torch.uint8)
    assert not torch.equal(loaded.predict(image), saved.predict(image))
    loaded.load_pretrained_model(tmp_path / "model.pth")
    assert torch.equal(loaded.predict(image), saved.predict(image))

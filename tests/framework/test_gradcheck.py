"""The gradient check finds wrong gradients, passes right ones and leaves no trace."""

from __future__ import annotations

import math

import pytest
import torch
from reference import (
    assert_same,
    every_kernel_set,
    generator,
    random_values,
    small_chain,
    state,
    torch_layer,
)
from torch import Tensor, nn

from n2n_lib.denoiser.networks import report_network
from n2n_lib.framework.activations import ELU, LeakyReLU, ReLU, Sigmoid
from n2n_lib.framework.containers import Sequential
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.gradcheck import TOLERANCE, gradcheck, numerical_gradient, relative_error
from n2n_lib.framework.kernels import use_kernels
from n2n_lib.framework.losses import MSELoss
from n2n_lib.framework.module import Module
from n2n_lib.framework.transposed import ConvTranspose2d
from n2n_lib.framework.upsampling import NNUpsampling, Upsampling

# -------------------------------------------------------------- modules with one mistake each


class Mix(Module):
    """Mix the channels of every pixel: ``y = W x + b``, with the right gradients."""

    def __init__(self, channels: int = 3) -> None:
        source = generator(0)
        self.weight = torch.randn(channels, channels, generator=source)
        self.weight_grad = torch.zeros_like(self.weight)
        self.bias = torch.randn(channels, generator=source)
        self.bias_grad = torch.zeros_like(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        self._saved = x
        return torch.einsum("oc,nchw->nohw", self.weight, x) + self.bias[:, None, None]

    def backward(self, grad: Tensor) -> Tensor:
        self.weight_grad += self.weight_gradient(grad)
        self.bias_grad += self.bias_gradient(grad)
        return self.input_gradient(grad)

    def weight_gradient(self, grad: Tensor) -> Tensor:
        return torch.einsum("nohw,nchw->oc", grad, self._saved)

    def bias_gradient(self, grad: Tensor) -> Tensor:
        return grad.sum((0, 2, 3))

    def input_gradient(self, grad: Tensor) -> Tensor:
        return torch.einsum("oc,nohw->nchw", self.weight, grad)


class WrongSign(Mix):
    def input_gradient(self, grad: Tensor) -> Tensor:
        return -super().input_gradient(grad)


class FactorTwo(Mix):
    def weight_gradient(self, grad: Tensor) -> Tensor:
        return 2 * super().weight_gradient(grad)


class TransposedWeightGradient(Mix):
    def weight_gradient(self, grad: Tensor) -> Tensor:
        return super().weight_gradient(grad).t()


class MissingBiasGradient(Mix):
    def bias_gradient(self, grad: Tensor) -> Tensor:
        return torch.zeros_like(self.bias)


class MeanInPlaceOfSum(Mix):
    def bias_gradient(self, grad: Tensor) -> Tensor:
        return grad.mean((0, 2, 3))


class OnlyTheFirstImage(Mix):
    def weight_gradient(self, grad: Tensor) -> Tensor:
        return torch.einsum("ohw,chw->oc", grad[0], self._saved[0])


class ForgotTheWeight(Mix):
    def input_gradient(self, grad: Tensor) -> Tensor:
        return grad


class SlightlyWrong(Mix):
    def input_gradient(self, grad: Tensor) -> Tensor:
        return super().input_gradient(grad) * (1 + 1e-5)


class NotANumber(Mix):
    def bias_gradient(self, grad: Tensor) -> Tensor:
        return torch.full_like(self.bias, math.nan)


BROKEN = [
    (WrongSign, "input"),
    (FactorTwo, "weight"),
    (TransposedWeightGradient, "weight"),
    (MissingBiasGradient, "bias"),
    (MeanInPlaceOfSum, "bias"),
    (OnlyTheFirstImage, "weight"),
    (ForgotTheWeight, "input"),
    (SlightlyWrong, "input"),
    (NotANumber, "bias"),
]


def torch_mix() -> nn.Module:
    """The same function as `Mix`, with parameters of the same shapes."""

    class TorchMix(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3, 3))
            self.bias = nn.Parameter(torch.zeros(3))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.conv2d(x, self.weight[:, :, None, None], self.bias)

    return TorchMix()


def verdicts(module: Module, x: Tensor, torch_module: nn.Module | None) -> dict[str, set[bool]]:
    report = gradcheck(module, x, torch_module=torch_module)
    limits = TOLERANCE
    found = {name: {e < limits[m] for m, e in errors.items()} for name, _, errors in report.rows}
    assert report.ok is all(verdict == {True} for verdict in found.values())
    return found


@pytest.mark.parametrize("torch_module", [None, torch_mix()], ids=["alone", "with torch.nn"])
def test_right_gradients_pass(torch_module: nn.Module | None) -> None:
    found = verdicts(Mix(), random_values((2, 3, 3, 2), 0), torch_module)
    assert found == {"input": {True}, "weight": {True}, "bias": {True}}


@pytest.mark.parametrize("torch_module", [None, torch_mix()], ids=["alone", "with torch.nn"])
@pytest.mark.parametrize("broken, where", BROKEN, ids=[cls.__name__ for cls, _ in BROKEN])
def test_one_wrong_gradient_is_found_by_every_answer(
    broken: type, where: str, torch_module: nn.Module | None
) -> None:
    found = verdicts(broken(), random_values((2, 3, 3, 2), 0), torch_module)
    expected = {"input": {True}, "weight": {True}, "bias": {True}} | {where: {False}}
    assert found == expected


def test_the_report_can_be_read() -> None:
    report = gradcheck(FactorTwo(), random_values((2, 3, 3, 2), 0), torch_module=torch_mix())
    header, *rows = str(report).splitlines()
    assert [header.count(m) for m in ("finite differences", "autograd", "torch.nn")] == [1, 1, 1]
    assert [row.split()[0] for row in rows] == ["input", "weight", "bias"]
    assert [row.count("WRONG") for row in rows] == [0, 3, 0]
    assert [row.count("ok") for row in rows] == [3, 0, 3]
    assert "(2, 3, 3, 2)" in rows[0] and "(3, 3)" in rows[1] and "(3,)" in rows[2]
    right = gradcheck(Mix(), random_values((2, 3, 3, 2), 0))
    assert "WRONG" not in str(right) and "torch.nn" not in str(right)
    assert not any(line.endswith(" ") for line in str(right).splitlines())


def test_a_gradient_of_the_wrong_shape_does_not_pass() -> None:
    """The right numbers in another shape would break the chain at the next module."""

    class Flattened(Mix):
        def input_gradient(self, grad: Tensor) -> Tensor:
            return super().input_gradient(grad).flatten(1)

    try:
        passed = gradcheck(Flattened(), random_values((2, 3, 3, 2), 0)).ok
    except ValueError as error:
        assert "(2, 3, 3, 2)" in str(error) and "(2, 18)" in str(error)
    else:
        assert not passed


def test_a_wrong_activation_is_found() -> None:
    class NoSlope(Sigmoid):
        def backward(self, grad_output: Tensor) -> Tensor:
            return grad_output * self._take_saved()[1]

    class EverythingThrough(ReLU):
        def backward(self, grad_output: Tensor) -> Tensor:
            return grad_output

    for module in (NoSlope(), EverythingThrough()):
        assert not gradcheck(module, random_values((2, 2, 3, 3), 0)).ok


def test_a_different_function_in_torch_is_found() -> None:
    x = random_values((2, 3, 3, 2), 0)
    report = gradcheck(LeakyReLU(0.1), x, torch_module=nn.LeakyReLU(0.2))
    assert not report.ok
    ((_, _, errors),) = report.rows
    assert errors["torch.nn"] > 0.01 > errors["finite differences"]


def test_a_wrong_order_in_a_chain_is_found() -> None:
    class Backwards(Sequential):
        def backward(self, grad_output: Tensor) -> Tensor:
            for module in self.layers:
                grad_output = module.backward(grad_output)
            return grad_output

    modules = [Mix(), Sigmoid(), Mix()]
    x = random_values((2, 3, 2, 2), 0)
    assert gradcheck(Sequential(modules), x).ok
    assert not gradcheck(Backwards(*modules), x).ok


def test_losses_are_checked_through_a_backward_without_arguments() -> None:
    class FactorOne(MSELoss):
        def backward(self) -> Tensor:
            return super().backward() / 2

    output, target = random_values((2, 3, 2, 2), 0), random_values((2, 3, 2, 2), 1)
    assert gradcheck(MSELoss(), output, target, torch_module=nn.MSELoss()).ok
    assert not gradcheck(FactorOne(), output, target).ok


def test_a_gradient_for_each_input_is_asked_for() -> None:
    class Product(Module):
        def __init__(self, forgets: bool) -> None:
            self.forgets = forgets
            self.scale, self.scale_grad = torch.ones(1), torch.zeros(1)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            self._saved = x, y
            return self.scale * x * y

        def backward(self, grad: Tensor) -> Tensor | tuple[Tensor, Tensor]:
            x, y = self._saved
            self.scale_grad += (grad * x * y).sum()
            of_x, of_y = self.scale * grad * y, self.scale * grad * x
            return of_x if self.forgets else (of_x, of_y)

    inputs = random_values((2, 3), 0), random_values((2, 3), 1)
    assert gradcheck(Product(False), *inputs).ok
    with pytest.raises(ValueError, match="Product.backward to return 2 gradients, .* got 1"):
        gradcheck(Product(True), *inputs)


# ------------------------------------------------------------------------------- real modules


def with_torchs(layer: type, *arguments, **named) -> tuple:
    """Functions that build a layer from 2 to 3 channels, ours and PyTorch's."""
    return (
        lambda: layer(2, 3, *arguments, **named, generator=generator(0)),
        lambda: torch_layer(layer, 2, 3, *arguments, **named),
    )


RIGHT = {
    "Conv2d": with_torchs(Conv2d, (2, 3), (2, 1), 1, (1, 2)),
    "Conv2d without bias": with_torchs(Conv2d, 2, bias=False),
    "Upsampling": with_torchs(Upsampling, 2, padding=1),
    "transposed": with_torchs(ConvTranspose2d, 3, 2, padding=1, output_padding=1),
    "transposed k2 s2": with_torchs(ConvTranspose2d, 2, 2),
    "transposed, pairs": with_torchs(ConvTranspose2d, (4, 1), (2, 1), (1, 0), bias=False),
    "transposed, dilated": with_torchs(ConvTranspose2d, 2, output_padding=2, dilation=3),
    "NNUpsampling": (lambda: NNUpsampling(3), lambda: nn.Upsample(scale_factor=3)),
    "ReLU(inplace=True)": (lambda: ReLU(inplace=True), nn.ReLU),
    "ELU": (lambda: ELU(0.5), lambda: nn.ELU(0.5)),
    "Sigmoid": (Sigmoid, nn.Sigmoid),
}


@every_kernel_set
@pytest.mark.parametrize("build, torch_build", RIGHT.values(), ids=RIGHT)
def test_the_modules_of_the_library_pass(kernel_set: str, build, torch_build) -> None:
    with use_kernels(kernel_set):
        report = gradcheck(build(), random_values((2, 2, 3, 4), 0), torch_module=torch_build())
    assert report.ok, f"\n{report}"
    assert all(set(errors) == set(TOLERANCE) for *_, errors in report.rows)


def test_rows_are_named_after_the_parameters() -> None:
    def names(module: Module) -> list[str]:
        return [name for name, *_ in gradcheck(module, random_values((1, 3, 4, 4), 0)).rows]

    assert names(Conv2d(3, 2, 2, generator=generator(0))) == ["input", "weight", "bias"]
    assert names(Upsampling(3, 2, 2, generator=generator(0))) == ["input", "weight", "bias"]
    chain = Sequential(ReLU(), Conv2d(3, 2, 2, generator=generator(0)), Sigmoid())
    assert names(chain) == ["input", "1.weight", "1.bias"]


# ------------------------------------------------------------------------ nothing is left behind


def test_gradcheck_changes_neither_module_nor_input() -> None:
    module, x = small_chain(), random_values((1, 3, 4, 4), 1)
    for _, grad in module.param():
        grad.copy_(random_values(tuple(grad.shape), 2))
    before, x_before = state(module), x.clone()
    global_state = torch.get_rng_state()
    assert gradcheck(module, x).ok
    after = state(module)
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(before, after, strict=True))
    assert not any(tensor.requires_grad for pair in module.param() for tensor in pair)
    assert torch.equal(x, x_before) and not x.requires_grad
    assert torch.equal(torch.get_rng_state(), global_state)
    assert not torch.is_grad_enabled()
    with pytest.raises(RuntimeError, match="forward"):
        module.backward(torch.ones(1, 2, 4, 3))  # the module itself never ran


def test_gradcheck_leaves_the_torch_module_alone() -> None:
    theirs = nn.Conv2d(2, 3, 2)
    before = [p.clone() for p in theirs.parameters()]
    ours = Conv2d(2, 3, 2, generator=generator(0))
    assert gradcheck(ours, random_values((1, 2, 3, 3), 1), torch_module=theirs).ok
    after = list(theirs.parameters())
    assert_same(before, after)
    assert all(p.dtype == torch.float32 for p in after)
    assert all(p.grad is None for p in after)


@every_kernel_set
@pytest.mark.parametrize("name", ["Conv2d", "Upsampling", "NNUpsampling"])
def test_gradcheck_works_on_a_module_that_has_been_used(kernel_set: str, name: str) -> None:
    module, x = RIGHT[name][0](), random_values((1, 2, 4, 4), 0)
    with use_kernels(kernel_set):
        output = module(x)
        assert gradcheck(module, x).ok
        module.backward(torch.ones_like(output))  # and what it remembered is still there


def test_gradcheck_of_a_first_layer_checks_its_parameters() -> None:
    """`needs_input_grad = False` is how a network in training looks."""
    module = Conv2d(2, 3, 2, generator=generator(0))
    module.needs_input_grad = False
    report = gradcheck(module, random_values((1, 2, 3, 3), 1))
    assert report.ok and [name for name, *_ in report.rows][-2:] == ["weight", "bias"]


def test_gradcheck_is_reproducible_and_takes_a_generator() -> None:
    x = random_values((2, 3, 2, 2), 0)
    first, second = gradcheck(FactorTwo(), x), gradcheck(FactorTwo(), x)
    assert first.rows == second.rows
    source = generator(5)
    before = source.get_state()
    assert gradcheck(Mix(), x, generator=source).ok
    assert not torch.equal(source.get_state(), before)


def test_gradcheck_refuses_a_torch_module_of_other_shapes() -> None:
    ours, x = Conv2d(2, 3, 2, generator=generator(0)), random_values((1, 2, 4, 4), 1)
    with pytest.raises(ValueError, match=r"expected .*\(3, 2, 2, 2\).*, got .*\(3, 2, 3, 3\)"):
        gradcheck(ours, x, torch_module=nn.Conv2d(2, 3, 3))
    with pytest.raises(ValueError, match=r"expected .*\(1, 3, 3, 3\), got \(1, 3, 2, 2\)"):
        gradcheck(ours, x, torch_module=nn.Conv2d(2, 3, 2, stride=2))


# -------------------------------------------------------------------------- finite differences


@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 1, 3, 2)], ids=str)
def test_numerical_gradient_of_a_polynomial(shape: tuple) -> None:
    """a x**3 + b x**2 + c x has the gradient 3 a x**2 + 2 b x + c."""
    x, a, b, c = (random_values(shape, seed, torch.float64) for seed in range(4))
    found = numerical_gradient(lambda: (a * x**3 + b * x**2 + c * x).sum(), x)
    expected = 3 * a * x**2 + 2 * b * x + c
    assert found.shape == x.shape
    assert ((found - expected).norm() / expected.norm()).item() < 1e-8


def test_numerical_gradient_is_central() -> None:
    """Of x**3 the central difference is 3 x**2 + h**2 exactly; a one-sided one is 3 x h off."""
    x = random_values((5,), 0, torch.float64)
    found = numerical_gradient(lambda: (x**3).sum(), x, step=1e-2)
    assert ((found - (3 * x**2 + 1e-4)).abs() < 1e-11).all()


def test_numerical_gradient_of_a_single_number() -> None:
    x = torch.tensor(3.0, dtype=torch.float64)
    found = numerical_gradient(lambda: x**2, x)
    assert found.shape == () and abs(found.item() - 6) < 1e-8


def test_numerical_gradient_restores_the_variable_exactly() -> None:
    x = random_values((3, 4), 0, torch.float64).t()  # not contiguous
    before = x.clone()
    found = numerical_gradient(lambda: x.square().sum(), x)
    assert torch.equal(x, before)
    assert ((found - 2 * x).norm() / x.norm()).item() < 1e-8


def test_numerical_gradient_restores_the_variable_after_an_error() -> None:
    x = random_values((3,), 0, torch.float64)
    before = x.clone()

    def fails() -> Tensor:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        numerical_gradient(fails, x)
    assert torch.equal(x, before)


def test_numerical_gradient_finds_a_mistake_in_a_whole_network() -> None:
    """The check of checks: one weight of the report's network, by hand."""
    network = report_network(generator=generator(0)).to(torch.float64)
    x = random_values((1, 3, 4, 4), 1, torch.float64)
    bias, grad = network[0].bias, network[0].bias_grad
    expected = numerical_gradient(lambda: network(x).sum(), bias)
    network.backward(torch.ones_like(network(x)))
    assert ((grad - expected).norm() / expected.norm()).item() < 1e-6


def test_relative_error() -> None:
    a, b = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 4.0])
    assert relative_error(b, a) == pytest.approx(3 / 5)
    assert relative_error(a, a) == 0.0
    assert relative_error(a, torch.zeros(2)) == pytest.approx(5.0)
    assert relative_error(torch.tensor([math.nan, 1.0]), a) == math.inf
    assert relative_error(a, torch.tensor([math.nan, 1.0])) == math.inf
    assert relative_error(torch.tensor([math.inf, 1.0]), a) == math.inf
    close = torch.tensor([1.0], dtype=torch.float64)
    assert relative_error(close + 1e-12, close) == pytest.approx(1e-12, rel=1e-3)

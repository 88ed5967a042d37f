"""Everything runs on the device and in the dtype of its parameters.

PyTorch's ``meta`` device holds shapes without numbers: an operation that mixes in a tensor of the
CPU raises there, as it would on a GPU.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import n2n_lib
from n2n_lib.denoiser.model import Model
from n2n_lib.denoiser.networks import NETWORKS, conv_stack
from n2n_lib.framework.activations import ELU, LeakyReLU, ReLU, Sigmoid
from n2n_lib.framework.containers import Concat, Residual, Sequential
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.kernels import KERNELS, use_kernels
from n2n_lib.framework.losses import L1Loss, MSELoss
from n2n_lib.framework.module import Module
from n2n_lib.framework.optim import OPTIMISERS, WeightAverage, find_optimiser
from n2n_lib.framework.transposed import ConvTranspose2d
from n2n_lib.framework.upsampling import NNUpsampling, Upsampling

MODULES: dict[str, Callable[[], Module]] = {
    "Conv2d": lambda: Conv2d(3, 5, 3, padding=1, stride=2),
    "Conv2d, Winograd": lambda: Sequential(Conv2d(3, 16, 1), Conv2d(16, 16, 3)),
    "Conv2d, dilated": lambda: Conv2d(3, 5, 3, dilation=2, bias=False),
    "Upsampling": lambda: Upsampling(3, 4, 3, padding=1),
    "Upsampling, strided": lambda: Upsampling(3, 4, 3, stride=2),
    "ConvTranspose2d": lambda: ConvTranspose2d(3, 4, 3, stride=2, output_padding=1),
    "NNUpsampling": lambda: NNUpsampling(2),
    "ReLU": ReLU,
    "LeakyReLU": LeakyReLU,
    "LeakyReLU, steep": lambda: LeakyReLU(2.0),
    "ELU": ELU,
    "Sigmoid": Sigmoid,
    "Residual": lambda: Residual(Conv2d(3, 3, 3, padding=1)),
    "Concat": lambda: Concat(Sequential(Conv2d(3, 3, 1), ReLU(inplace=True))),
}
WHOLE = {"stack": conv_stack} | {name: network.build for name, network in NETWORKS.items()}

HERE = {"cuda": torch.cuda.is_available(), "mps": torch.mps.is_available()}


def step(module: Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """One forward and backward; returns the output and the gradient of the input."""
    output = module(x)
    return output, module.backward(torch.ones_like(output))


@pytest.mark.parametrize("kernel_set", list(KERNELS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", MODULES | WHOLE)
def test_forward_and_backward_stay_on_the_device(
    name: str, dtype: torch.dtype, kernel_set: str
) -> None:
    module = (MODULES | WHOLE)[name]().to(dtype).to("meta")
    x = torch.rand(2, 3, 16, 16, dtype=dtype, device="meta")
    with use_kernels(kernel_set):
        output, grad = step(module, x)
    for tensor in (output, grad, *(t for pair in module.param() for t in pair)):
        assert tensor.device.type == "meta" and tensor.dtype == dtype
    assert grad.shape == x.shape


@pytest.mark.parametrize("loss", [MSELoss, L1Loss])
@pytest.mark.parametrize("rule", OPTIMISERS)
def test_a_training_step_stays_on_the_device(rule: str, loss: type) -> None:
    network = NETWORKS["unet"].build(width=4, depth=1).to("meta")
    criterion, optimiser = loss(network), find_optimiser(rule)(network, 0.1)
    average = WeightAverage(network, 0.9)
    x = torch.rand(2, 3, 16, 16, device="meta")
    for _ in range(2):
        value = criterion(network(x), x)
        optimiser.zero_grad()
        criterion.backward()
        optimiser.step()
        average.update()
    held = [kept for tensors in optimiser.state_dict()["memory"].values() for kept in tensors]
    for tensor in (value, *held, *average.values):
        assert tensor.device.type == "meta"


def test_a_tensor_of_the_cpu_among_those_of_meta_raises() -> None:
    """What the tests above rely on."""
    layer = Conv2d(3, 5, 3).to("meta")
    layer.bias = torch.zeros(5)
    with pytest.raises((RuntimeError, NotImplementedError)):
        layer(torch.rand(2, 3, 16, 16, device="meta"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", MODULES)
def test_other_dtypes_compute_the_same_to_their_precision(name: str, dtype: torch.dtype) -> None:
    """Layer by layer: in a whole network, rounding turns the slope of some ReLU over."""
    torch.manual_seed(0)
    module, x = MODULES[name](), torch.rand(2, 3, 16, 16)
    expected = [t.clone() for t in step(module, x)]
    got = step(module.to(dtype), x.to(dtype))
    rounding = 1e-6 if dtype == torch.float64 else 10 * torch.finfo(dtype).eps
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.dtype == dtype
        assert (ours.double() - theirs).norm() <= rounding * theirs.norm()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_trains_and_predicts_in_another_dtype(dtype: torch.dtype) -> None:
    noisy = 255 * torch.rand(2, 8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    model = Model("report", seed=0).to(dtype)
    model.train(*noisy, 1, batch_size=4, lr=0.1, progress=False)
    assert all(parameter.dtype == dtype for parameter, _ in model.network.param())
    assert torch.isfinite(model.predict(noisy[0]).float()).all()


@pytest.mark.parametrize("device", HERE)
def test_a_model_trains_and_predicts_on_a_gpu(device: str) -> None:
    if not HERE[device]:
        pytest.skip(f"no {device} here")
    noisy = 255 * torch.rand(2, 8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    settings = {"batch_size": 4, "lr": 0.1, "progress": False}
    models = {kind: Model("unet", seed=0, width=4, depth=1).to(kind) for kind in ("cpu", device)}
    for model in models.values():
        model.train(*noisy, 1, **settings)
    denoised = [model.predict(noisy[0]).cpu().float() for model in models.values()]
    torch.testing.assert_close(*denoised, rtol=0, atol=0.5)


TRAINING = (
    "module conv upsampling transposed activations losses containers optim distributed "
    "kernels/fast kernels/unfold kernels/windows kernels/winograd kernels/product "
    "kernels/doubling kernels/shifted"
).split()


@pytest.mark.parametrize("name", TRAINING)
def test_nothing_in_training_asks_for_the_cpu_or_for_numpy(name: str) -> None:
    source = Path(n2n_lib.__file__).parent / "framework" / f"{name}.py"
    calls = [
        node.func.attr
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    assert not {"cpu", "numpy", "tolist"} & set(calls)

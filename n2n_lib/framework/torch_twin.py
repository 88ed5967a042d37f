"""The same network in ``torch.nn`` with the same weights: what we measure ourselves against.

One of the two files that use autograd and ``torch.nn`` (the other is ``gradcheck.py``).
"""

from __future__ import annotations

import torch
from torch import nn

from n2n_lib.framework.activations import ELU, LeakyReLU, ReLU, Sigmoid
from n2n_lib.framework.containers import Concat, Residual, Sequential, overwrites
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.module import Module
from n2n_lib.framework.transposed import ConvTranspose2d
from n2n_lib.framework.upsampling import NNUpsampling, Upsampling


def torch_twin(module: Module) -> nn.Module:
    """Build the ``torch.nn`` module that computes the same function.

    Parameters
    ----------
    module : Module
        One of this library's modules.

    Returns
    -------
    torch.nn.Module
        With copies of the weights, in the same dtype, on the same device. Where there is upsampling
        it takes batches alone.

    Raises
    ------
    TypeError
        If there is no counterpart.
    """
    twin = _build(module)
    copy_params(module, twin)
    return twin


@torch.no_grad()
def copy_params(module: Module, twin: nn.Module) -> None:
    """Copy the parameters of `module` into `twin`, in order; dtype and device follow `module`.

    Raises
    ------
    ValueError
        If numbers or shapes of the parameters differ.
    """
    theirs, ours = list(twin.parameters()), [value for value, _ in module.param()]
    if [p.shape for p in theirs] != [p.shape for p in ours]:
        raise ValueError(
            f"expected a twin with parameters of shapes {[tuple(p.shape) for p in ours]}, "
            f"got {[tuple(p.shape) for p in theirs]}"
        )
    if ours:
        twin.to(device=ours[0].device, dtype=ours[0].dtype)
    for target, source in zip(twin.parameters(), ours, strict=True):
        target.copy_(source)


class _Residual(nn.Module):
    def __init__(self, f: Module) -> None:
        super().__init__()
        self.f = _build(f)
        self.copies = overwrites(f, first=True)

    def branch(self, x: torch.Tensor) -> torch.Tensor:
        return self.f(x.clone() if self.copies else x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.branch(x)


class _Concat(_Residual):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.branch(x)], dim=-3)


def _build(module: Module) -> nn.Module:
    match module:
        case Sequential():
            return nn.Sequential(*(_build(layer) for layer in module))
        case Conv2d():
            return nn.Conv2d(
                module.in_channels,
                module.out_channels,
                module.kernel_size,
                module.stride,
                module.padding,
                module.dilation,
                bias=module.bias is not None,
            )
        case ConvTranspose2d():
            return nn.ConvTranspose2d(
                module.in_channels,
                module.out_channels,
                module.kernel_size,
                module.stride,
                module.padding,
                module.output_padding,
                bias=module.bias is not None,
                dilation=module.dilation,
            )
        case Residual():
            return _Residual(module.f)
        case Concat():
            return _Concat(module.f)
        case Upsampling():
            return nn.Sequential(
                nn.Upsample(scale_factor=tuple(map(float, module.scale_factor))),
                _build(module.conv),
            )
        case NNUpsampling():
            return nn.Upsample(scale_factor=tuple(map(float, module.scale_factor)))
        case ReLU():
            return nn.ReLU(inplace=module.inplace)
        case LeakyReLU():
            return nn.LeakyReLU(module.negative_slope)
        case ELU():
            return nn.ELU(module.alpha)
        case Sigmoid():
            return nn.Sigmoid()
    raise TypeError(f"expected a module with a counterpart in torch.nn, got {module!r}")

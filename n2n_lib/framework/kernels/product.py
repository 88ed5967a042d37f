"""The matrix product of the fast kernels: the quicker of PyTorch's two.

PyTorch brings two libraries with a matrix product for CPUs. ``torch.mm`` goes to a BLAS, which on
x86 is Intel's MKL. oneDNN has another one, the product inside PyTorch's linear layers, reachable as
an operator of its own. On AMD's processors MKL leaves the widest vector instructions unused, and
oneDNN is up to twice as fast on large matrices; the lesson on speed measures it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from n2n_lib.support.threads import mind_the_time


def _find_onednn():
    """Return oneDNN's operator, or None where this build of PyTorch has none."""
    try:
        return torch.ops.mkldnn._linear_pointwise.default if torch._C._has_mkldnn else None
    except (AttributeError, RuntimeError):
        return None


_onednn = _find_onednn()

SMALL = 6 << 20
"""Multiplications below which oneDNN saves nothing inside a training step."""


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply rows with rows: ``a @ b.T``, plus `bias` on every row.

    Parameters
    ----------
    a : Tensor
        ``(M, K)``; rows one after the other in memory.
    b : Tensor
        ``(N, K)``; may be a transposed view.
    bias : Tensor, optional
        ``(N,)``.

    Returns
    -------
    Tensor
        ``(M, N)``, contiguous.
    """
    mind_the_time()
    large = a.numel() * len(b) >= SMALL
    if large and _onednn is not None and a.dtype is torch.float32 and a.device.type == "cpu":
        return _onednn(a, b, bias, "none", [], "")
    return torch.mm(a, b.t()) if bias is None else torch.addmm(bias, a, b.t())

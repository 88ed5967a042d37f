"""The product of the fast kernels is a product, whichever library computes it."""

from __future__ import annotations

import pytest
import torch
from reference import generator

from n2n_lib.framework.kernels import product as module
from n2n_lib.framework.kernels.product import product


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("turned", [True, False], ids=["turned", "in order"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("small", [0, 1 << 60], ids=["onednn where it is", "without onednn"])
def test_rows_by_rows(
    small: int, dtype: torch.dtype, turned: bool, bias: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "SMALL", small)  # where oneDNN begins
    source = generator(1)
    a, b, c = (
        torch.randn(*shape, dtype=torch.float64, generator=source)
        for shape in ((70, 33), (41, 33), (41,))
    )
    expected = torch.einsum("mk,nk->mn", a, b) + (c if bias else 0)
    a, b, c = a.to(dtype), b.to(dtype), c.to(dtype)
    if turned:
        b = b.t().contiguous().t()
    result = product(a, b, c if bias else None)
    assert result.dtype is dtype and result.is_contiguous()
    torch.testing.assert_close(result.double(), expected, rtol=0, atol=1e-4)
    if dtype is torch.float64:
        torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)

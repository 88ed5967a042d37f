"""Windows and tall products of the fast kernels, on both sides of the sizes where they change ways.

The sizes of tests are small, so the ways for large arrays are chosen here by lowering the limits.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import generator
from torch.nn.functional import pad, unfold

from n2n_lib.framework.kernels import windows
from n2n_lib.framework.kernels.unfold import output_size


@given(data=st.data())
def test_windows_are_those_of_unfold(data: st.DataObject) -> None:
    """Windows of any geometry, in many parts, copied at once or line by line."""
    draw = data.draw

    def pair(low: int, high: int) -> tuple[int, int]:
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    kernel, stride, padding, dilation = pair(1, 4), pair(1, 3), pair(0, 2), pair(1, 2)
    reach = [(k - 1) * d + 1 - 2 * p for k, d, p in zip(kernel, dilation, padding, strict=True)]
    size = tuple(max(1, r) + draw(st.integers(0, 5)) for r in reach)
    count, channels = pair(1, 3)
    x = torch.randn(count, channels, *size, generator=generator(1))
    grid = output_size(size, kernel, stride, padding, dilation)
    at = windows.Geometry(size, grid, kernel, stride, padding, dilation)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "LARGE", draw(st.sampled_from([0, 1 << 17])))
        patch.setattr(windows, "PART_BYTES", draw(st.sampled_from([64, 1000, 1 << 23])))
        parts = windows.split_batch(count, grid[0], grid[1] * kernel[0] * kernel[1] * channels)
        rows = [part.clone() for part in windows.windows(windows.as_rows(x), at, parts)]
    columns = unfold(pad(x, (padding[1],) * 2 + (padding[0],) * 2), kernel, dilation, 0, stride)
    expected = columns.view(count, channels, kernel[0] * kernel[1], -1).permute(0, 3, 2, 1)
    assert torch.equal(torch.cat(rows), expected.reshape(count * grid[0] * grid[1], -1))


@given(rows=st.integers(1, 300), a=st.integers(1, 40), b=st.integers(1, 40))
def test_correlate_is_a_product(rows: int, a: int, b: int) -> None:
    left, right = (torch.randn(rows, n, generator=generator(n)) for n in (a, b))
    found = windows.correlate(left, right)
    exact = left.double().t() @ right.double()
    torch.testing.assert_close(found.double(), exact, rtol=1e-4, atol=1e-4)

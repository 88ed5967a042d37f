"""What a worker and its judge say to each other."""

from __future__ import annotations

import json

import pytest
import torch

from n2n_lib.course.grading.wire import decode, encode


@pytest.mark.parametrize(
    "value",
    [None, True, 3, 0.1, float("inf"), (1, [2.5, None]), torch.zeros(0, 3), torch.tensor(2.5)]
    + [torch.arange(6).view(2, 3).T, torch.ones(2, dtype=torch.bool), torch.ones(1).bfloat16()],
)
def test_values_come_back(value: object):
    back = decode(json.loads(json.dumps(encode(value))))
    if isinstance(value, torch.Tensor):
        assert back.dtype == value.dtype
        assert torch.equal(back, value)
    else:
        assert back == value
        assert type(back) is type(value)


def test_other_types_come_back_as_a_name():
    assert type(decode(encode(torch.zeros(2).numpy()))).__name__ == "ndarray"


@pytest.mark.parametrize(
    "sent",
    [{}, "text", [1], {"dtype": "float64"}, {"dtype": "object", "shape": [1], "bytes": "AAAA"}]
    + [{"dtype": "uint8", "shape": shape, "bytes": "AAAA"} for shape in ([4], [-3, -1], [3.0], 3)],
)
def test_nonsense_is_no_value(sent: object):
    with pytest.raises(ValueError):
        decode(sent)

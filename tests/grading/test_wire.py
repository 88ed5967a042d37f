"""What a worker and its judge say to each other."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import commands
import frames
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from n2n_lib.course.grading.judging.wire import (
    LARGEST,
    UNSET,
    decode,
    encode,
    pack,
    raised,
    receive,
    send,
    unpack,
)


def through(value: object) -> object:
    """Send a value."""
    return decode(unpack(pack({"returned": encode(value)})).returned)


@pytest.mark.parametrize(
    "value",
    [None, True, 3, -(2**63) + 1, 0.1, float("inf"), (1, [2.5, None]), [], torch.zeros(0, 3)]
    + [torch.arange(6).view(2, 3).T, torch.ones(2, dtype=torch.bool), torch.ones(1).bfloat16()]
    + [torch.tensor(2.5), torch.ones(1, 1, 1, 1, 1, 1, 1, 2), torch.full((2,), float("nan"))],
)
def test_values_come_back(value: object):
    back = through(value)
    if isinstance(value, torch.Tensor):
        assert back.dtype == value.dtype
        assert torch.equal(back.nan_to_num(), value.nan_to_num()) and back.shape == value.shape
    else:
        assert back == value
        assert type(back) is type(value)


class Liar(float):
    """A number that is equal to every other."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None


def test_a_subclass_comes_back_as_what_it_is_of():
    assert type(through(Liar(2.5))) is float
    back = through([Liar(1), torch.nn.Parameter(torch.ones(2))])
    assert [type(each) for each in back] == [float, torch.Tensor]


@pytest.mark.parametrize("value", [2**63, torch.zeros(2).numpy(), "text", {}, torch.ones])
def test_other_types_come_back_as_a_name(value: object):
    assert type(through(value)).__name__ == type(value).__name__


@pytest.mark.parametrize("value", [torch.zeros(LARGEST), [0] * 1001, [torch.zeros(400, 400)]])
def test_a_result_that_is_too_large_is_said_where_it_is_made(value: object):
    with pytest.raises(ValueError, match="the result is too large"):
        encode(value)


def test_an_exception_comes_back_whatever_its_text():
    error = NotImplementedError("\udc80 \x1b[31m " + "x" * 10**6)
    back = unpack(pack({"error": raised(error, "x = '\ud800'", empty=True)})).error
    assert back.name == "NotImplementedError" and back.empty
    assert back.text.startswith("? \x1b") and len(back.text) == 2000
    assert back.line == "x = '?'"


def test_a_frame_comes_through_in_whatever_pieces():
    class Slow(io.BytesIO):
        def read(self, size: int) -> bytes:
            return super().read(min(size, 3))

    content = bytes(range(100))
    stream = Slow()
    send(stream, content)
    assert receive(Slow(stream.getvalue()), 100) == content
    assert receive(Slow(stream.getvalue()[:-1])) is None
    with pytest.raises(ValueError, match="expected a frame of at most 99 bytes, got 100"):
        receive(Slow(stream.getvalue()), 99)


@pytest.fixture(scope="module")
def read() -> dict[str, dict]:
    """What became of every hostile frame."""
    if sys.platform != "linux":
        pytest.skip("needs limits of memory")
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("frames.py")],
        env=commands.environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", [*frames.STREAMS[:2], *frames.FRAMES])
def test_a_hostile_frame_is_refused(read, name: str):
    assert read[name]["outcome"] == "refused"
    assert read[name]["mb"] < 64


@pytest.mark.parametrize("name", [frames.STREAMS[2], *frames.HARMLESS])
def test_an_odd_frame_is_read(read, name: str):
    assert read[name]["outcome"] not in ("refused", "died")
    assert read[name]["mb"] < 64


SMALL = [content for content in frames.FRAMES.values() if len(content) < 1000]


@given(st.binary(max_size=200) | st.sampled_from(SMALL), st.data())
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_value_or_refused(content: bytes, data: st.DataObject):
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(0, 3)) if content else 0):
        changed[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        answer = unpack(bytes(changed))
        values = [decode(value) for value in answer.after]
        values += [] if answer.returned is UNSET else [decode(answer.returned)]
    except ValueError:
        return
    assert sum(v.numel() for v in values if isinstance(v, torch.Tensor)) <= len(changed)

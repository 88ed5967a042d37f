"""What a worker and its judge say to each other: frames of MessagePack, decoded by their types.

Nothing that comes from a worker is ever unpickled, and no size that it names is believed: lengths
are held against bounds and against the bytes that are there before anything is made of them. A
value is a number, a tensor written out as bytes, a list or tuple of values, or the name of a type
that no exercise asks for.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, BinaryIO

import msgspec
import torch
from msgspec import UNSET, Meta, Struct, UnsetType
from torch import Tensor

from n2n_lib.course.grading.text import plain

LARGEST = 2**20
"""Bytes of a frame, at most: the largest of a right answer has 25 thousand."""

DEEPEST = 8
"""Lists within lists, at most."""

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
        *(torch.complex128, torch.complex64),
    )
}

Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Size = Annotated[int, Meta(ge=0, le=LARGEST)]


class Numbers(Struct, tag="tensor"):
    """A tensor: its dtype, its shape, and its numbers as bytes."""

    dtype: str
    shape: Annotated[list[Size], Meta(max_length=8)]
    content: bytes


class Items(Struct, tag="items"):
    """A list, or a tuple."""

    values: Annotated[list[Value], Meta(max_length=1000)]
    is_tuple: bool


class Other(Struct, tag="other"):
    """What is no value: the name of its type."""

    name: str


Value = None | bool | Integer | float | Numbers | Items | Other


class Raised(Struct):
    """An exception: its type's name, its text, the student's line, whether nothing was written."""

    name: str
    text: str
    line: str
    empty: bool


Name = Annotated[str, Meta(max_length=200)]


class Noticed(Struct):
    """What was seen while an answer ran, `watch.Seen`."""

    used: Annotated[list[Name], Meta(max_length=100)]
    single: bool
    loops: bool
    copied: bool
    moved: bool


class Answer(Struct):
    """All that a worker can say; each frame holds some of it."""

    ready: bool | UnsetType = UNSET
    is_class: bool | UnsetType = msgspec.field(default=UNSET, name="class")
    is_function: bool | UnsetType = msgspec.field(default=UNSET, name="function")
    is_library: bool | UnsetType = msgspec.field(default=UNSET, name="library")
    undefined: bool | UnsetType = UNSET
    error: Raised | UnsetType = UNSET
    ended: Integer | UnsetType = UNSET
    returned: Value | UnsetType = UNSET
    after: list[Numbers] = []
    changed: list[bool] = []
    seen: Noticed | UnsetType = UNSET


def send(stream: BinaryIO, content: bytes) -> None:
    """Write one frame to an unbuffered stream: eight bytes of length, then the content."""
    frame = memoryview(len(content).to_bytes(8, "big") + content)
    while frame:
        frame = frame[stream.write(frame) :]


def receive(stream: BinaryIO, largest: int | None = None) -> bytes | None:
    """Read one frame from an unbuffered stream, or None where the stream ends.

    Raises
    ------
    ValueError
        If the frame is larger than `largest` bytes.
    """
    length = int.from_bytes(_read(stream, 8) or b"", "big")
    if largest is not None and length > largest:
        raise ValueError(f"expected a frame of at most {largest} bytes, got {length}")
    return _read(stream, length) if length else None


def _read(stream: BinaryIO, count: int) -> bytes | None:
    content = bytearray()
    while len(content) < count:
        piece = stream.read(min(count - len(content), LARGEST))
        if not piece:
            return None
        content += piece
    return bytes(content)


def pack(said: dict[str, Any]) -> bytes:
    """Write an `Answer`, given as a dict of its fields."""
    return msgspec.msgpack.encode(said)


_ANSWERS = msgspec.msgpack.Decoder(Answer)


def unpack(frame: bytes) -> Answer:
    """Read what `pack` wrote.

    Raises
    ------
    ValueError
        If anything is not of its type, or not within its bounds.
    """
    try:
        return _ANSWERS.decode(frame)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise ValueError(f"expected an answer, got {type(error).__name__}") from None


def encode(value: Any) -> Value:
    """Turn a value into what can be sent.

    Raises
    ------
    ValueError
        If it is larger than any answer can be.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Tensor) and value.dtype in DTYPES.values():
        if value.numel() * value.element_size() > LARGEST // 2:
            raise ValueError(f"the result is too large: shape {tuple(value.shape)}"[:200])
        plain = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        content = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
        return Numbers(str(value.dtype).removeprefix("torch."), list(value.shape), content)
    if isinstance(value, (tuple, list)):
        if len(value) > 1000:
            raise ValueError(f"the result is too large: {len(value)} items")
        return Items([encode(item) for item in value], isinstance(value, tuple))
    return Other(_sendable(type(value).__name__))


def raised(error: BaseException, line: str, *, empty: bool) -> Raised:
    """Describe an exception that went through a line of the student's code.

    It is `empty` where it says that an exercise is still empty.
    """
    name, text = type(error).__name__, str(error)
    return Raised(*map(_sendable, (name, text, line)), empty)


def _sendable(text: str) -> str:
    return text[:2000].encode(errors="replace").decode()


def decode(value: Value) -> Any:
    """Turn what `encode` made into a value again.

    Raises
    ------
    ValueError
        If `encode` does not make such a thing.
    """
    return _decode(value, DEEPEST)


def _decode(value: Value, depth: int) -> Any:
    if isinstance(value, Numbers):
        return _tensor(value)
    if isinstance(value, Items):
        if depth == 0:
            raise ValueError(f"expected at most {DEEPEST} lists within each other, got more")
        items = [_decode(item, depth - 1) for item in value.values]
        return tuple(items) if value.is_tuple else items
    return type(plain(value.name), (), {})() if isinstance(value, Other) else value


def _tensor(value: Numbers) -> Tensor:
    dtype, shape, content = DTYPES.get(value.dtype), value.shape, value.content
    if dtype is None:
        raise ValueError(f"expected a dtype of {', '.join(DTYPES)}, got {value.dtype[:20]!r}")
    if math.prod(max(size, 1) for size in shape) > LARGEST:  # a size of 0 makes no other one right
        raise ValueError(f"expected at most {LARGEST} numbers, got shape {shape}")
    if len(content) != dtype.itemsize * math.prod(shape):
        raise ValueError(f"expected {shape} values of {dtype}, got {len(content)} bytes")
    if not content:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(content), dtype=dtype).reshape(shape)

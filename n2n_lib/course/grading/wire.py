"""What a worker and its judge say to each other: frames of bytes, and values as plain JSON.

Nothing that comes from a worker is ever unpickled. A value is a number, a tensor written out as
bytes, a list or tuple of values, or the name of a type that no exercise asks for.
"""

from __future__ import annotations

import base64
import math
import textwrap
from typing import Any, BinaryIO

import torch
from torch import Tensor

LARGEST = 64 * 2**20
"""Bytes of a frame, at most: the answers of the exercises take a few thousand."""

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
        *(torch.complex128, torch.complex64),
    )
}


def send(stream: BinaryIO, content: bytes) -> None:
    """Write one frame to an unbuffered stream: eight bytes of length, then the content."""
    frame = memoryview(len(content).to_bytes(8, "big") + content)
    while frame:
        frame = frame[stream.write(frame) :]


def receive(stream: BinaryIO) -> bytes | None:
    """Read one frame from an unbuffered stream, or None where the stream ends.

    Raises
    ------
    ValueError
        If the frame is larger than `LARGEST`.
    """
    length = int.from_bytes(_read(stream, 8) or b"", "big")
    if length > LARGEST:
        raise ValueError(f"expected a frame of at most {LARGEST} bytes, got {length}")
    return _read(stream, length) if length else None


def _read(stream: BinaryIO, count: int) -> bytes | None:
    content = bytearray()
    while len(content) < count:
        piece = stream.read(count - len(content))
        if not piece:
            return None
        content += piece
    return bytes(content)


def encode(value: Any) -> Any:
    """Turn a value into what JSON can hold."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Tensor):
        plain = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        content = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
        return {
            "dtype": str(value.dtype).removeprefix("torch."),
            "shape": list(value.shape),
            "bytes": base64.b64encode(content).decode(),
        }
    if isinstance(value, (tuple, list)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [encode(item) for item in value]}
    return {"type": type(value).__name__}


def decode(value: Any) -> Any:
    """Turn what `encode` made into a value again.

    Raises
    ------
    ValueError
        If `encode` does not make such a thing.
    """
    try:
        return _decode(value)
    except (KeyError, TypeError, RuntimeError, OverflowError, RecursionError) as error:
        raise ValueError(f"expected an encoded value, got {type(error).__name__}") from None


def _decode(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if "tuple" in value:
        return tuple(map(_decode, value["tuple"]))
    if "list" in value:
        return list(map(_decode, value["list"]))
    if "type" in value:
        return type(value["type"][:80], (), {})()
    shape, dtype = value["shape"], DTYPES[value["dtype"]]
    content = bytearray(base64.b64decode(value["bytes"], validate=True))
    if min(shape, default=1) < 0 or len(content) != dtype.itemsize * math.prod(shape):
        raise ValueError(f"expected {shape} values of {dtype}, got {len(content)} bytes")
    if not content:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(content, dtype=dtype).reshape(shape)


def plain(text: str) -> str:
    """Make a text from outside fit for a line of a table: short, on one line, printable."""
    short = textwrap.shorten(text, 100, placeholder=" ...")
    return "".join(c if c.isprintable() else "?" for c in short)

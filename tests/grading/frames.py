"""Frames that a hostile worker may send, and what reading each costs: ``python frames.py``.

Every frame is read by a process of its own, forked from one that has loaded all it needs. It may
take a gigabyte and ten seconds. A line of JSON for each: what came of it, and the megabytes that
it took.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator

import msgspec
import psutil

from n2n_lib.course.grading.judging.wire import LARGEST, decode, receive, unpack

SECONDS, MEGABYTES = 10, 1024

pack = msgspec.msgpack.encode
MANY = b"\xdd\xff\xff\xff\xff"
"""A list that claims to have four billion items."""


def with_(field: str, content: bytes) -> bytes:
    """An answer with one field, of whatever bytes."""
    return b"\x81" + pack(field) + content


def tensor(shape: object, dtype: object = "uint8", content: object = b"") -> bytes:
    value = {"type": "tensor", "dtype": dtype, "shape": shape, "content": content}
    return with_("returned", pack(value))


def nested(depth: int) -> bytes:
    value = b"\xc0"
    layer = pack({"type": "items", "is_tuple": False, "values": None})[:-1] + b"\x91"
    return with_("returned", layer * depth + value)


digits = ("9" * 4200 + ",") * 4000

FRAMES: dict[str, bytes] = {
    "numbers of 4200 digits, as JSON": b'{"returned": {"shape": [%b1]}}' % digits.encode(),
    "sizes of 64 bits": tensor([2**63] * 8),
    "four thousand sizes": tensor([2**40] * 4000),
    "many sizes": tensor([1] * (LARGEST - 100)),
    "sizes whose product is huge": tensor([LARGEST] * 8),
    "huge and empty": tensor([0] + [LARGEST] * 7),
    "more numbers than bytes": tensor([1000, 1000], content=b"x"),
    "a size below zero": tensor([-1, -1], content=b"x"),
    "true for a size": tensor([True], content=b"x"),
    "a size that is no integer": tensor([1.0], content=b"x"),
    "a text for the shape": tensor("1"),
    "an unknown dtype": tensor([1], dtype="object", content=b"x" * 8),
    "a list for the dtype": tensor([1], dtype=[["float64"]]),
    "text for bytes": tensor([1], content="x"),
    "empty maps": b"\xdc\xff\xff" + b"\x80" * (LARGEST - 3),
    "empty maps as values": with_("after", b"\xdd" + (10**6).to_bytes(4, "big") + b"\x80" * 10**6),
    "a list of four billion": with_("after", MANY),
    "four billion unknown things": with_("unknown", MANY + b"\x90" * 10**6),
    "a map of four billion": b"\xdf\xff\xff\xff\xff" + b"\xa1a\x90" * 300_000,
    "a text of four billion": with_("error", b"\x81" + pack("text") + b"\xdb\xff\xff\xff\xff"),
    "bytes of four billion": with_("returned", b"\xc6\xff\xff\xff\xff"),
    "lists in the text of an error": with_(
        "error", pack({"name": "E", "text": [[[]]] * 100_000, "line": "", "empty": False})
    ),
    "lists a million deep": with_("unknown", b"\x91" * 10**6),
    "values ten thousand deep": nested(10_000),
    "values a hundred deep": nested(100),
    "an integer of 64 bits": with_("returned", pack(2**64 - 1)),
    "an extension": with_("returned", pack(msgspec.msgpack.Ext(1, b"x" * 1000))),
    "a date": with_("returned", b"\xd6\xff\x00\x00\x00\x00"),
    "text that is no UTF-8": with_("error", b"\x81" + pack("name") + b"\xa2\xff\xff"),
    "an exit code of no system": with_("ended", pack(2**63)),
    "more after the end": pack({}) + b"\x90",
    "nothing of it": os.urandom(LARGEST),
}
"""All of these must be refused."""

HARMLESS: dict[str, bytes] = {
    "a name of a megabyte": with_(
        "returned", pack({"type": "other", "name": "\0\x1b" * (LARGEST // 2 - 100)})
    ),
    "many small lists": with_(
        "returned",
        pack(
            {
                "type": "items",
                "is_tuple": True,
                "values": [{"type": "items", "is_tuple": False, "values": [None] * 900}] * 900,
            }
        ),
    ),
    "a tensor of a megabyte": tensor([LARGEST - 100], content=b"x" * (LARGEST - 100)),
    "the smallest integer": with_("returned", pack(-(2**63))),
    "not a number": with_("returned", pack(float("nan"))),
}
"""These are values, if odd ones."""


def stream(name: str) -> Iterator[bytes]:
    """What is written for a frame: its length, then its content."""
    if name == "a length of 64 bits":
        yield b"\xff" * 8
    elif name == "64 MB of empty objects":
        yield (64 * 2**20).to_bytes(8, "big")
        for _ in range(64):
            yield b"{}" * 2**19
    elif name == "a frame that ends early":
        yield LARGEST.to_bytes(8, "big") + b"\x81"
    else:
        content = (FRAMES | HARMLESS)[name]
        yield len(content).to_bytes(8, "big") + content


STREAMS = ("a length of 64 bits", "64 MB of empty objects", "a frame that ends early")


def read(name: str) -> dict:
    """Read a frame in a process of its own."""
    frames, results = os.pipe(), os.pipe()
    if (writer := os.fork()) == 0:
        os.close(frames[0])
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        for piece in stream(name):
            with os.fdopen(os.dup(frames[1]), "wb") as file:
                file.write(piece)
        os._exit(0)
    os.close(frames[1])
    if (reader := os.fork()) == 0:
        signal.alarm(SECONDS)  # kills, even if Python holds its lock
        taken = psutil.Process().memory_info()
        most = taken.vms + MEGABYTES * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        began = time.perf_counter()
        try:
            with os.fdopen(frames[0], "rb", buffering=0) as file:
                frame = receive(file, LARGEST)
            value = decode(unpack(frame).returned) if frame else None
            outcome = type(value).__name__
        except ValueError:
            outcome = "refused"
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - taken.rss
        said = {"outcome": outcome, "mb": round(peak / 1e6, 1), "s": round(seconds, 3)}
        os.write(results[1], json.dumps(said).encode())
        os._exit(0)
    os.close(frames[0])
    os.close(results[1])
    with os.fdopen(results[0], "rb") as file:
        said = json.loads(file.read() or "{}")
    os.waitpid(reader, 0)
    os.waitpid(writer, 0)
    return {"name": name, "outcome": "died"} | said


if __name__ == "__main__":
    for each in sys.argv[1:] or [*STREAMS, *FRAMES, *HARMLESS]:
        print(json.dumps(read(each)), flush=True)

"""Give every loader damaged and hostile files, and require one clear error or a sound result.

``python -m tools.fuzz`` changes valid files in many ways and hands each to the function of the
library that reads such files. A finding is

- code that ran (it would make a folder, the canary),
- a hang, a crash, or more memory than `MEMORY`,
- another exception than those the loader documents, or one whose message is no clear line,
- a model that is not as it was after its load was refused, or a result that is not sound.

Every input follows from the seed, the loader's name and its own number, so that
``--first N --inputs 1 --keep FOLDER`` makes one again. Needs Linux: a process of its own, with
limits, reads the files, and another one goes on where it dies. A loader is one entry of `LOADERS`.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import faulthandler
import io
import json
import os
import pickle
import random
import shutil
import signal
import struct
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import numpy as np
import tifffile
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from n2n_lib import cli
from n2n_lib.course import notebooks as lessons
from n2n_lib.course.grading.handed_in.layouts import HandedIn, find_class
from n2n_lib.course.grading.handed_in.submissions import read_submission
from n2n_lib.denoiser import images as image_files
from n2n_lib.denoiser.model import DivergedError, Model
from n2n_lib.denoiser.stream import PairStream

MEMORY = 2 * 2**30
"""Bytes that a loader may take. An image may have 89 million pixels, which take a half of it."""

SECONDS = 10.0
"""What a loader may take for one file."""

CANARY = "canary"
"""Name of the folder that hostile code would make in the current one."""

Change = Callable[[random.Random, Sequence[bytes]], bytes]
"""Makes one input out of the valid files."""


# --------------------------------------------------------------------------------------------------
# Any file


def mangle(rnd: random.Random, whole: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Change bytes blindly, in one to four places."""
    changed = bytearray(whole)
    for _ in range(rnd.randint(1, 4)):
        rnd.choice([_flip, _overwrite, _truncate, _cut, _repeat, _splice])(
            rnd, changed, others or [whole]
        )
    return bytes(changed)


def _flip(rnd: random.Random, changed: bytearray, others: Sequence[bytes]) -> None:
    for _ in range(rnd.choice([1, 1, 2, 8])):
        if changed:
            changed[rnd.randrange(len(changed))] ^= 1 << rnd.randrange(8)


def _overwrite(rnd: random.Random, changed: bytearray, others: Sequence[bytes]) -> None:
    """Put an extreme number somewhere, such as the size of a terabyte."""
    number = rnd.choice([0, 1, 127, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1])
    size, order = rnd.choice([1, 2, 4, 8]), rnd.choice(["little", "big"])
    place = rnd.randrange(len(changed) + 1)
    changed[place : place + size] = (number % 256**size).to_bytes(size, order)


def _truncate(rnd: random.Random, changed: bytearray, others: Sequence[bytes]) -> None:
    del changed[rnd.randrange(len(changed) + 1) :]


def _cut(rnd: random.Random, changed: bytearray, others: Sequence[bytes]) -> None:
    start = rnd.randrange(len(changed) + 1)
    del changed[start : start + rnd.choice([1, 4, 16, 256])]


def _repeat(rnd: random.Random, changed: bytearray, others: Sequence[bytes]) -> None:
    start = rnd.randrange(len(changed) + 1)
    changed[start:start] = changed[start : start + rnd.choice([1, 4, 64])] * rnd.choice([1, 2, 50])


def _splice(rnd: random.Random, changed: bytearray, others: Sequence[bytes]) -> None:
    other = rnd.choice(others)
    start, place = rnd.randrange(len(other) + 1), rnd.randrange(len(changed) + 1)
    changed[place : place + rnd.choice([0, 64, 10**6])] = other[start : start + 256]


def mangled(rnd: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Return one of the valid files with bytes changed blindly."""
    return mangle(rnd, rnd.choice(seeds), seeds)


def swapped(rnd: random.Random, content: object, value: Callable[[random.Random], object]):
    """Replace, remove or repeat one part, anywhere, of nested lists, tuples and dicts."""
    if not isinstance(content, (dict, list, tuple)) or not content or rnd.random() < 0.15:
        return value(rnd)
    keys = list(content) if isinstance(content, dict) else list(range(len(content)))
    key = rnd.choice(keys)
    changed = dict(content) if isinstance(content, dict) else list(content)
    action = rnd.random()
    if action < 0.1:
        del changed[key]
    elif action < 0.15 and isinstance(changed, list):
        changed.insert(key, changed[key])
    else:
        changed[key] = swapped(rnd, content[key], value)
    return tuple(changed) if isinstance(content, tuple) else changed


def nested(depth: int, inside: object = 0) -> list:
    for _ in range(depth):
        inside = [inside]
    return inside


# --------------------------------------------------------------------------------------------------
# Files of torch.save


def saved(content: object, *, old: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not old)
    return buffer.getvalue()


def parts_of(whole: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        return [(info.filename, file.read(info)) for info in file.infolist()]


def archive(parts: Sequence[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Write an archive; a name may be there twice."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as file:
        warnings.simplefilter("ignore")
        for name, content in parts:
            file.writestr(zipfile.ZipInfo(name), content, compression)
    return buffer.getvalue()


def around(pickled: bytes, records: Sequence[bytes] = (b"abcd",)) -> bytes:
    """Put a pickle where torch.load looks for it, with some numbers beside it."""
    named = [(f"archive/data/{key}", record) for key, record in enumerate(records)]
    return archive(
        [("archive/data.pkl", pickled), ("archive/byteorder", b"little")]
        + named
        + [("archive/version", b"3\n")]
    )


def rearranged(rnd: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Take an archive apart, change its parts, and write it with the right checksums."""
    parts = parts_of(rnd.choice([seed for seed in seeds if seed.startswith(b"PK")]))
    one, other = rnd.randrange(len(parts)), rnd.randrange(len(parts))
    action = rnd.choice("mangle mangle mangle drop twice swap rename compress bomb".split())
    (name, content), (other_name, other_content) = parts[one], parts[other]
    if action == "mangle":
        if rnd.random() < 0.7:
            one = next(i for i, (part, _) in enumerate(parts) if part.endswith("data.pkl"))
        parts[one] = parts[one][0], mangle(rnd, parts[one][1])
    elif action == "drop":
        del parts[one]
    elif action == "twice":
        parts.insert(other, (name, mangle(rnd, content)))
    elif action == "swap":
        parts[one], parts[other] = (name, other_content), (other_name, content)
    elif action == "rename":
        parts[one] = rnd.choice(["", "archive/data.pkl", "../x", "archive/data/0", "/x"]), content
    elif action == "bomb":
        parts[one] = name, bytes(rnd.choice([10**6, 3 * 10**7]))
    deflated = action in ("compress", "bomb")
    return archive(parts, zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED)


def other_value(rnd: random.Random) -> object:
    """Return something that a file of tensors may hold, and that is seldom expected."""
    ones = torch.ones(rnd.choice([(), (0,), (3,), (2, 3), (2, 3, 4, 4), (1, 3, 1, 1)]))
    return rnd.choice(
        [
            lambda: rnd.choice([None, True, 0, -1, 1, 2, 10**6, 2**31, 2**63, 10**30, -(2**70)]),
            lambda: rnd.choice([0.0, -1.0, 0.5, 1e300, float("nan"), float("inf")]),
            lambda: rnd.choice(["", "report", "unet", "custom", "\ud800", "x\ny" * 5000]),
            lambda: rnd.choice(
                [[], {}, (), [[]], {"a": 1}, {(1, 2): 3}, set(), b"x", bytearray(3)]
            ),
            lambda: nested(rnd.choice([3, 90, 400])),
            lambda: ones.to(
                rnd.choice([torch.uint8, torch.int64, torch.float16, torch.float64, torch.bool])
            ),
            lambda: ones.to(rnd.choice([torch.complex64, torch.bfloat16, torch.int8])),
            lambda: ones * rnd.choice([float("nan"), float("inf"), 1e38, -1.0]),
            lambda: torch.ones(1).expand(rnd.choice([5, 10**6, 10**13])),
            lambda: torch.zeros(1, dtype=torch.uint8).expand(2, 3, 4, 4),
            lambda: ones.to_sparse() if ones.dim() else ones,
            lambda: ones.to("meta"),
            lambda: torch.nn.Parameter(ones),
            lambda: torch.quantize_per_tensor(ones, 0.1, 0, torch.qint8),
        ]
    )()


def rewritten(rnd: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Read a file, exchange one to three values in it, and write it well."""
    content = torch.load(io.BytesIO(rnd.choice(seeds)), weights_only=True)
    for _ in range(rnd.randint(1, 3)):
        content = swapped(rnd, content, other_value)
    return saved(content, old=rnd.random() < 0.1)


class Call:
    """What a pickle makes of it is the result of a call."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.called = function, arguments

    def __reduce__(self):
        return self.called


def doubled(times: int, start: bytes, double: bytes) -> bytes:
    """Return a pickle in which every step holds the one before it twice, from memory."""
    steps = (b"q%c" % n + b"h%c" % n + double for n in range(times))
    return b"\x80\x02" + start + b"".join(steps)


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def claiming(count: int, size: int, stride: int = 1, storage: str = "FloatStorage") -> bytes:
    """Return the pickle of a tensor out of a storage that claims `count` numbers."""

    def number(value: int) -> bytes:
        return b"\x8a\x08" + struct.pack("<q", value)

    described = b"(" + text("storage") + b"ctorch\n" + storage.encode() + b"\n"
    described += text("0") + text("cpu") + number(count) + b"tQ"
    sizes = number(0) + number(size) + b"\x85" + number(stride) + b"\x85"
    hooks = b"\x89ccollections\nOrderedDict\n)R"
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + described + sizes + hooks + b"tR"


ENDLESS_KEY = b"\x80\x02}" + doubled(60, b")\x85", b"\x86")[2:] + b"K\x01s."
"""A pickle of 400 bytes with a key of 2**60 tuples."""

HOSTILE: dict[str, Callable[[], bytes]] = {
    "code": lambda: saved({"format": "n2n model 1", "x": Call(os.mkdir, CANARY)}),
    "code in the old format": lambda: saved([Call(os.mkdir, CANARY)], old=True),
    "code in a plain pickle": lambda: pickle.dumps(Call(os.mkdir, CANARY)),
    "code by eval": lambda: saved(Call(eval, f"__import__('os').mkdir('{CANARY}')")),
    "code by a new protocol": lambda: around(pickle.dumps(Call(os.mkdir, CANARY), protocol=4)),
    "ten gigabytes of zeros": lambda: saved(Call(bytearray, 10**10)),
    "a storage larger than its part": lambda: around(claiming(10**9, 10**9) + b"."),
    "a tensor larger than its storage": lambda: around(claiming(1, 10**13, stride=0) + b"."),
    "a terabyte in the old format": lambda: old_format(claiming(10**12, 1) + b"."),
    "a key that takes for ever to hash": lambda: around(ENDLESS_KEY),
    "such a key under a name in capitals": lambda: archive(
        [
            (name.replace("data.pkl", "DATA.PKL"), part)
            for name, part in parts_of(around(ENDLESS_KEY))
        ]
    ),
    "a key too deep for the stack": lambda: around(b"\x80\x02})" + b"\x85" * 10**6 + b"K\x01s."),
    "a key too deep to print": lambda: around(b"\x80\x02})" + b"\x85" * 10**4 + b"K\x01s."),
    "a list that takes for ever to print": lambda: around(
        b"\x80\x02}" + text("format") + doubled(60, b"]", b"\x86")[2:] + b"s."
    ),
    "a list that holds itself": lambda: around(b"\x80\x02]q\x00h\x00a."),
    "text that doubles": lambda: around(
        b"\x80\x02"
        + b"c_codecs\nencode\n" * 40
        + text("ab")
        + (text("utf-16") + b"\x86R") * 40
        + b"."
    ),
    "lists without end": lambda: around(b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b"."),
    "a memory of a far number": lambda: around(b"\x80\x02]r\xff\xff\xff\x7f."),
    "text longer than the file": lambda: around(b"\x80\x02X\xff\xff\xff\x7fab."),
    "a compressed archive": lambda: archive(
        [(name, part + bytes(3 * 10**7)) for name, part in parts_of(saved([torch.zeros(3)]))],
        zipfile.ZIP_DEFLATED,
    ),
    "a module of PyTorch": lambda: saved(torch.nn.Linear(2, 2)),
}
"""Files that somebody made in order to harm, each by name."""


def old_format(content: bytes) -> bytes:
    """Put a pickle where PyTorch before 1.6 had it."""
    whole = io.BytesIO(saved([], old=True))
    front = b"".join(pickle.dumps(pickle.load(whole), protocol=2) for _ in range(3))
    return front + content.replace(b"tQ", b"NtQ") + pickle.dumps(["0"], protocol=2) + bytes(100)


def hostile(rnd: random.Random, seeds: Sequence[bytes]) -> bytes:
    whole = HOSTILE[rnd.choice(list(HOSTILE))]()
    return whole if rnd.random() < 0.5 else mangle(rnd, whole, seeds)


TENSOR_CHANGES: tuple[Change, ...] = (
    *(mangled,) * 4,
    *(rearranged,) * 8,
    *(rewritten,) * 8,
    hostile,
)
"""What makes inputs of files of torch.save, each as often as it stands here."""


# --------------------------------------------------------------------------------------------------
# Images


def images() -> list[bytes]:
    """Return small pictures of all modes and formats that people have."""
    pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    picture, turned = Image.fromarray(pixels), Image.Exif()
    turned[0x0112] = 6
    deep = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
    made = [(deep, "PNG", {}), (deep, "TIFF", {}), (picture, "JPEG", {"exif": turned})]
    made += [(picture.convert(mode), "PNG", {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")]
    made += [(picture.convert(mode), "TIFF", {}) for mode in ("1", "LAB", "RGBA")]
    made += [(picture, "TIFF", {"compression": f"tiff_{name}"}) for name in ("lzw", "deflate")]
    made += [(picture, name, {}) for name in ("BMP", "WEBP", "GIF", "PPM", "TIFF", "JPEG")]
    made += [(picture, "WEBP", {"lossless": True}), (picture.convert("P"), "BMP", {})]
    made += [(picture, "GIF", {"save_all": True, "append_images": [picture.rotate(90)]})]
    written = []
    for image, name, options in made:
        buffer = io.BytesIO()
        image.save(buffer, name, **options)
        written.append(buffer.getvalue())
    for colours, packed in (("float32", None), ("float32", "zlib"), ("uint16", "zlib")):
        buffer = io.BytesIO()
        values = pixels.astype(colours)
        tifffile.imwrite(buffer, values, photometric="rgb", compression=packed)
        written.append(buffer.getvalue())
    deep = struct.pack(">18H", *range(18))
    written.append(png(2, 3, chunk(b"IDAT", zlib.compress(_lines(deep, 3))), depth=16, colour=2))
    return written


def _lines(pixels: bytes, height: int) -> bytes:
    """Put the filter that changes nothing before every row of a PNG file."""
    width = len(pixels) // height
    return b"".join(b"\0" + pixels[n * width : (n + 1) * width] for n in range(height))


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file with the right checksum."""
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")


def _zeros(count: int) -> bytes:
    squeezer = zlib.compressobj(9)
    pieces = [squeezer.compress(bytes(10**6)) for _ in range(count // 10**6)]
    return b"".join([*pieces, squeezer.compress(bytes(count % 10**6)), squeezer.flush()])


HOSTILE_IMAGES: dict[str, Callable[[], bytes]] = {
    "a header of 2**31 pixels a side": lambda: png(2**31 - 1, 2**31 - 1),
    "a bomb of 400 million pixels": lambda: png(20000, 20000, chunk(b"IDAT", _zeros(10**7))),
    "80 million pixels of one byte": lambda: png(9000, 9000, chunk(b"IDAT", b"\x78")),
    "a bomb in a comment": lambda: png(
        2, 2, chunk(b"zTXt", b"a\0\0" + _zeros(2 * 10**8)), chunk(b"IDAT", _zeros(6))
    ),
    "a bomb in a colour profile": lambda: png(
        2, 2, chunk(b"iCCP", b"a\0\0" + _zeros(2 * 10**8)), chunk(b"IDAT", _zeros(6))
    ),
    "a program for Ghostscript": lambda: (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
        b"(%pipe%mkdir canary) (w) file closefile\nshowpage\n%%EOF\n"
    ),
    "a drawing": lambda: b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
    "a TIFF file of a terabyte": lambda: (
        b"II*\0\x08\0\0\0\x05\0"
        + b"".join(
            struct.pack("<HHII", tag, 4, 1, value)
            for tag, value in ((256, 9000), (257, 9000), (273, 8), (278, 9000), (279, 2**32 - 1))
        )
        + bytes(4)
    ),
}


def hostile_image(rnd: random.Random, seeds: Sequence[bytes]) -> bytes:
    whole = HOSTILE_IMAGES[rnd.choice(list(HOSTILE_IMAGES))]()
    return whole if rnd.random() < 0.5 else mangle(rnd, whole, seeds)


def png_with_other_numbers(rnd: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Return a PNG file whose header and chunks do not fit each other, all checksums right."""
    side = [0, 1, 7, 9, 5000, 2**31 - 1]
    pixels = zlib.compress(rnd.randbytes(rnd.choice([0, 1, 100, 300])))
    chunks = [chunk(b"IDAT", pixels), chunk(b"tRNS", rnd.randbytes(rnd.choice([1, 2, 6])))]
    chunks += [
        chunk(b"PLTE", rnd.randbytes(rnd.choice([0, 3, 7]))),
        chunk(b"eXIf", rnd.randbytes(30)),
    ]
    chunks += [chunk(bytes(rnd.choices(b"acDFTLdAIHRg", k=4)), rnd.randbytes(rnd.choice([0, 26])))]
    return png(
        rnd.choice(side),
        rnd.choice(side),
        *rnd.choices(chunks, k=3),
        depth=rnd.choice([0, 1, 2, 4, 8, 16, 255]),
        colour=rnd.choice([0, 2, 3, 4, 6, 1, 255]),
    )


IMAGE_CHANGES: tuple[Change, ...] = (
    *(mangled,) * 60,
    *(png_with_other_numbers,) * 8,
    hostile_image,
)


# --------------------------------------------------------------------------------------------------
# Notebooks


def notebooks() -> list[bytes]:
    cells = [
        new_markdown_cell("# A lesson\n\nwith *words*", id="a"),
        new_code_cell("print(1)", id="b", outputs=[new_output("stream", text="1\n")]),
        new_code_cell("1 + 1", id="c", execution_count=2, metadata={"tags": ["x"]}),
        new_code_cell("", id="d", outputs=[new_output("execute_result", {"text/plain": "2"})]),
    ]
    one = new_notebook(cells=cells, metadata=lessons.METADATA)
    return [nbformat.writes(one).encode(), nbformat.writes(new_notebook(cells=cells[:1])).encode()]


def other_json(rnd: random.Random) -> object:
    return rnd.choice(
        [
            None, True, 0, -1, 4, 5, 3, 1.5, 10**400, float("nan"), "", "code", "b", "\ud800",
            "x" * 10**5, [], {}, [1], {"a": []}, ["a\n", "b"], {"cell_type": "code"}, nested(50),
            nested(800), {"nbformat": 4}, {"tags": "x"}, "é\0\x1b[31m",
        ]
    )  # fmt: skip


def rewritten_notebook(rnd: random.Random, seeds: Sequence[bytes]) -> bytes:
    content = json.loads(rnd.choice(seeds))
    for _ in range(rnd.randint(1, 3)):
        content = swapped(rnd, content, other_json)
    return json.dumps(content, ensure_ascii=rnd.random() < 0.8).encode("utf-8", "surrogatepass")


HOSTILE_NOTEBOOKS: dict[str, Callable[[], bytes]] = {
    "lists without end": lambda: b'{"cells": ' + b"[" * 10**6,
    "a number without end": lambda: b'{"nbformat": ' + b"9" * 10**6 + b"}",
    "half a character": lambda: notebooks()[0].replace(b"print(1)", b"print('\\ud800')"),
    "another encoding": lambda: notebooks()[0].decode().encode("utf-16"),
    "not a dict": lambda: b"[]",
}


def hostile_notebook(rnd: random.Random, seeds: Sequence[bytes]) -> bytes:
    whole = HOSTILE_NOTEBOOKS[rnd.choice(list(HOSTILE_NOTEBOOKS))]()
    return whole if rnd.random() < 0.5 else mangle(rnd, whole, seeds)


NOTEBOOK_CHANGES: tuple[Change, ...] = (
    *(mangled,) * 8,
    *(rewritten_notebook,) * 10,
    hostile_notebook,
)


# --------------------------------------------------------------------------------------------------
# The loaders


class Unsound(Exception):
    """A loader took a file, and made something of it that it must not."""


def require(condition: object, what: str) -> None:
    if not condition:
        raise Unsound(what)


@dataclass(frozen=True)
class Loader:
    """One function that reads files.

    Attributes
    ----------
    suffixes : tuple of str
        Names that its files end with.
    seeds : callable
        Returns valid files.
    changes : tuple of callable
        What makes inputs of them, each as often as the others.
    prepare : callable
        Returns the function that reads a path and requires the result to be sound.
    errors : tuple of type
        The exceptions that it documents.
    """

    suffixes: tuple[str, ...]
    seeds: Callable[[], list[bytes]]
    changes: tuple[Change, ...]
    prepare: Callable[[], Callable[[Path], None]]
    errors: tuple[type[Exception], ...] = (ValueError, OSError)


def fingerprint(model: Model) -> object:
    """Return all that a load may change of a model, in a form to compare."""
    parameters = [(p.dtype, p.shape, p.flatten().tolist()) for p, _ in model.network.param()]
    kept = {k: v for k, v in vars(model).items() if k not in ("network", "history", "chooser")}
    return parameters, copy.deepcopy(kept), repr(model.network)


def require_unchanged_if_refused(model: Model, load: Callable[[], object]) -> None:
    before = fingerprint(model)
    try:
        load()
    except DivergedError:
        return  # weights that are well formed, and too large to train on
    except Exception:
        require(fingerprint(model) == before, "a refused load changed the model")
        raise


def small_model() -> Model:
    return Model("unet", width=1, depth=1, convs=0)


SMALL = {"optimiser": "adam", "lr": 1e-3, "ema": 0.9, "progress": False}


def pairs(side: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.Generator().manual_seed(0)
    return tuple(torch.randint(0, 256, (2, 2, 3, side, side), generator=drawn).to(torch.uint8))


def models() -> list[bytes]:
    def written(model: Model) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            return model.save_model(Path(folder, "model.pth")).read_bytes()

    leveled = Model("report-transposed", kernel_size=2)
    leveled.sigma = 25.0
    half = small_model().to(torch.float16)
    return [written(model) for model in (small_model(), small_model(), half, leveled)]


def prepare_model() -> Callable[[Path], None]:
    noisy = pairs(8)[0][:1]

    def load(path: Path) -> None:
        model = small_model()
        require_unchanged_if_refused(model, lambda: model.load_pretrained_model(path))
        with contextlib.suppress(ValueError):  # weights may be too large to compute with
            require(model.to(torch.float32).predict(noisy).shape == noisy.shape, "another shape")

    return load


def train_on_pairs(model: Model, checkpoint: Path, resume: bool, epochs: int = 2) -> None:
    held_out = tuple(images.flip(0) for images in pairs())
    model.train(
        *pairs(), epochs, batch_size=2, held_out=held_out, checkpoint=checkpoint, resume=resume,
        on_epoch=None if resume else stop_after_the_first, **SMALL,
    )  # fmt: skip


class Stopped(Exception):
    """The run has gone far enough for a checkpoint."""


def stop_after_the_first(model: Model) -> None:
    raise Stopped


def checkpoints(train: Callable) -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "checkpoint.pth")
        with contextlib.suppress(Stopped):
            train(small_model(), path, resume=False)
        first = path.read_bytes()
        train(small_model(), path, resume=True)
        return [first, path.read_bytes()]


def stream() -> PairStream:
    image = torch.randint(0, 256, (3, 9, 9), generator=torch.Generator().manual_seed(0))
    return PairStream(
        256, images=[image.to(torch.uint8)], noise="gaussian", size=4, scale=(1.0, 2.0)
    )


def train_on_a_stream(model: Model, checkpoint: Path, resume: bool) -> None:
    model.train_stream(
        stream(), 2, epoch_steps=1, checkpoint=checkpoint, resume=resume,
        on_epoch=None if resume else stop_after_the_first, **SMALL,
    )  # fmt: skip


def prepare_resume(train: Callable) -> Callable[[], Callable[[Path], None]]:
    def prepare() -> Callable[[Path], None]:
        def load(path: Path) -> None:
            model = small_model()
            require_unchanged_if_refused(model, lambda: train(model, path, resume=True))
            finite = all(torch.isfinite(p).all() for p, _ in model.network.param())
            require(finite, "weights that are no numbers")

        return load

    return prepare


def pair_files() -> list[bytes]:
    return [saved(pairs()), saved(pairs(8)), saved(pairs(), old=True)]


def prepare_pairs() -> Callable[[Path], None]:
    def load(path: Path) -> None:
        both = image_files.load_pairs(path)
        for batch in both:
            require(batch.dtype == torch.uint8 and batch.dim() == 4, "no images")
            require(batch.numel() < 10**6 and batch.sum() >= 0, "more images than were written")

    return load


def require_image(image: torch.Tensor) -> None:
    sound = image.dtype == torch.uint8 and image.dim() == 3 and len(image) == 3
    require(sound and 0 < image.numel() <= 3 * Image.MAX_IMAGE_PIXELS, "no image")


def prepare_image() -> Callable[[Path], None]:
    return lambda path: require_image(image_files.load_image(path))


def prepare_images() -> Callable[[Path], None]:
    def load(path: Path) -> None:
        for image in image_files.load_images(path.parent).values():
            require_image(image)

    return load


def prepare_notebook() -> Callable[[Path], None]:
    def load(path: Path) -> None:
        lesson = lessons.read_lesson(path)
        lessons.normalise(lesson)
        nbformat.validate(lesson)
        nbformat.writes(lesson).encode("utf-8")

    return load


def submissions() -> list[bytes]:
    """Zip files of two notebooks, as students hand them in."""
    made = []
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", compression) as archive:
            for number, content in enumerate(notebooks()):
                archive.writestr(f"work/0{number}_lesson.ipynb", content)
        made.append(buffer.getvalue())
    return made


def other_submission(rnd: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Put a changed notebook under a name of any kind into a whole zip file."""
    names = ("00_lesson.ipynb", "../00_lesson.ipynb", "/00_lesson.ipynb", "a/00_lesson.ipynb", "x")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        for _ in range(rnd.randint(1, 3)):
            archive.writestr(rnd.choice(names), rnd.choice(NOTEBOOK_CHANGES)(rnd, notebooks()))
    return buffer.getvalue()


def nested_submission(rnd: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Put archives into archives, zip and tar files by turns, each perhaps damaged."""
    content = rnd.choice(NOTEBOOK_CHANGES)(rnd, notebooks())
    name = rnd.choice(("00_lesson.ipynb", "01_lesson.ipynb.txt", "../00_lesson.ipynb"))
    for _ in range(rnd.randint(1, 5)):
        buffer = io.BytesIO()
        kind = rnd.choice(("zip", "tar", "tar.gz"))
        if kind == "zip":
            with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(name, content)
        else:
            with tarfile.open(fileobj=buffer, mode="w" if kind == "tar" else "w:gz") as archive:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                info.type = rnd.choice([tarfile.REGTYPE] * 8 + [tarfile.LNKTYPE, tarfile.FIFOTYPE])
                archive.addfile(info, io.BytesIO(content))
        content, name = buffer.getvalue(), f"a/{rnd.randrange(3)}.{kind}"
        if rnd.random() < 0.3:
            content = mangle(rnd, content)
    return content


def prepare_submission() -> Callable[[Path], None]:
    def load(path: Path) -> None:
        names = ["00_lesson", "01_lesson"]
        submission = read_submission(HandedIn(path.stem, (path,)), names)
        require(set(submission.notebooks) <= set(names), "cells of a lesson that nobody asked for")
        require(all(remark.isprintable() for remark in submission.remarks), "a remark of bytes")
        if submission.remarks:
            raise ValueError("; ".join(submission.remarks))

    return load


NAMES_OF_CLASSES = (
    "ann/00_lesson.ipynb",
    "Ann Adams_4711_assignsubmission_file_/00_lesson.ipynb",
    "adamsann_4711_9876_00_lesson.ipynb",
    "Ann Adams - 00_lesson.ipynb",
    "1-2 - Ann Adams - Nov 1, 2026 1000 AM - 00_lesson.ipynb",
    "Adams, Ann(ann)/Submission attachment(s)/00_lesson.ipynb",
    "submitted/ann/lessons/00_lesson.ipynb",
    "00_lesson.ipynb",
    "\\ann\\00_lesson.ipynb",
    "a/../../b",
    "/",
    "ann.zip",
    ".hidden",
)
"""Paths in the downloads of classes, and some that are in none."""


def classes() -> list[bytes]:
    """Downloads of classes of two, by each of the platforms."""
    made = []
    for name in NAMES_OF_CLASSES[:7]:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for other in (name, name.replace("nn", "bb").replace("4711", "4712")):
                archive.writestr(other, notebooks()[0])
        made.append(buffer.getvalue())
    return made


def other_class(rnd: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Mix the names of several platforms, each perhaps changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        for _ in range(rnd.randint(1, 8)):
            name = rnd.choice(NAMES_OF_CLASSES)
            if rnd.random() < 0.5:
                name = mangle(rnd, name.encode()).decode("cp437")
            archive.writestr(name.replace("\0", "0") or "a", rnd.choice([*seeds, b"{}"]))
    return buffer.getvalue()


def prepare_class() -> Callable[[Path], None]:
    def load(path: Path) -> None:
        found = find_class(path, ["00_lesson"])
        names = [student.name for student in found.students]
        require(len(set(names)) == len(names) > 0, "students of one name")
        require(all(name.isprintable() for name in [*names, *found.unknown]), "a name of bytes")
        for student in found.students:
            remarks = read_submission(student, ["00_lesson"]).remarks
            require(all(remark.isprintable() for remark in remarks), "a remark of bytes")

    return load


def run_command(*arguments: object) -> None:
    """Run the command line here; a mistake must end with code 2 and one line on stderr."""
    with contextlib.redirect_stdout(io.StringIO()), _stderr_to(Path("stderr")):
        try:
            cli.main([str(argument) for argument in arguments])
        except SystemExit as stopped:
            code = stopped.code
    lines = Path("stderr").read_text(encoding="utf-8").splitlines()
    if code:
        require(code == 2 and len(lines) == 1 and lines[0].startswith("n2n: "), f"{code}, {lines}")
        raise ValueError(lines[0])


@contextlib.contextmanager
def _stderr_to(path: Path) -> Iterator[None]:
    """Write to a file all that Python and libraries in C write to stderr."""
    kept = os.dup(2)
    try:
        with path.open("w", encoding="utf-8") as file, contextlib.redirect_stderr(file):
            os.dup2(file.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def prepare_denoise() -> Callable[[Path], None]:
    """Return ``n2n denoise`` with the model or the image from the path, and the other one good."""
    good = Path("good")
    good.mkdir(exist_ok=True)
    small_model().save_model(good / "model.pth")
    (good / "image.png").write_bytes(images()[0])

    def load(path: Path) -> None:
        image, model = good / "image.png", good / "model.pth"
        if path.suffix == ".pth":
            model = path
        else:
            image = path
        run_command("denoise", image, "--model", model, "--sigma", 25, "--out", "denoised")

    return load


def small_changes(rnd: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Change a model or an image, but to no image that would take minutes to denoise."""
    return rnd.choice([mangled, mangled, rearranged])(rnd, seeds)


SUFFIXES = image_files.IMAGE_SUFFIXES
LOADERS: dict[str, Loader] = {
    "model": Loader((".pth",), models, TENSOR_CHANGES, prepare_model),
    "checkpoint": Loader(
        (".pth",),
        lambda: checkpoints(train_on_pairs),
        TENSOR_CHANGES,
        prepare_resume(train_on_pairs),
    ),
    "stream-checkpoint": Loader(
        (".pth",),
        lambda: checkpoints(train_on_a_stream)[1:],
        TENSOR_CHANGES,
        prepare_resume(train_on_a_stream),
    ),
    "pairs": Loader((".pkl",), pair_files, TENSOR_CHANGES, prepare_pairs),
    "image": Loader(SUFFIXES, images, IMAGE_CHANGES, prepare_image),
    "images": Loader(SUFFIXES, images, IMAGE_CHANGES, prepare_images),
    "notebook": Loader((".ipynb",), notebooks, NOTEBOOK_CHANGES, prepare_notebook),
    "submission": Loader(
        (".zip", ".tar.gz"),
        submissions,
        (mangled, mangled, other_submission, nested_submission),
        prepare_submission,
    ),
    "class": Loader((".zip",), classes, (mangled, other_class, other_class), prepare_class),
    "denoise": Loader(
        (".pth", ".png"), lambda: models() + images(), (small_changes,), prepare_denoise
    ),
}
"""Every loader of the library by name."""


# --------------------------------------------------------------------------------------------------
# Running


@dataclass
class Report:
    """What became of the inputs of one loader."""

    loader: str
    counts: Counter = field(default_factory=Counter)  # of "refused", "taken", "finding"
    findings: list[tuple[int, str]] = field(default_factory=list)  # number of the input, what
    slowest: float = 0.0  # seconds

    @property
    def tried(self) -> int:
        return sum(self.counts.values())

    def __str__(self) -> str:
        told = ", ".join(f"{self.counts[kind]} {kind}" for kind in ("refused", "taken"))
        return (
            f"{self.loader}: {self.tried} inputs, {told}, {len(self.findings)} findings, "
            f"slowest {self.slowest:.2f} s"
        )


SPECIAL: dict[str, Callable[[Path], None]] = {
    "nothing": lambda path: None,
    "an empty file": Path.touch,
    "a folder": Path.mkdir,
    "a pipe": lambda path: os.mkfifo(path),
    "a link to itself": lambda path: path.symlink_to(path),
    "a device without end": lambda path: path.symlink_to("/dev/zero"),
}
"""What stands in the place of a file."""


def place(loader: Loader, seeds: Sequence[bytes], rnd: random.Random, folder: Path) -> Path:
    """Write one input into an empty folder; one in a hundred is no regular file."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    path = folder / f"input{rnd.choice(loader.suffixes)}"
    if rnd.random() < 0.01:
        SPECIAL[rnd.choice(list(SPECIAL))](path)
    else:
        path.write_bytes(rnd.choice(loader.changes)(rnd, seeds))
    return path


def judge(loader: Loader, load: Callable[[Path], None], path: Path) -> tuple[str, str]:
    """Read one input; return "refused", "taken" or "finding", and what was found."""
    try:
        load(path)
    except Unsound as error:
        outcome = "finding", f"unsound: {error}"
    except loader.errors as error:
        message = str(error)
        clear = message and "\n" not in message and len(message) < 2000
        outcome = ("refused", "") if clear else ("finding", f"message {message[:300]!r}")
    except BaseException as error:
        outcome = "finding", f"{type(error).__name__}: {str(error)[:300]}"
    else:
        outcome = "taken", ""
    if Path(CANARY).exists():
        Path(CANARY).rmdir()
        return "finding", "code was run"
    return outcome


def _work(name: str, numbers: range, seed: int, folder: Path, keep: Path | None, pipe: int) -> None:
    """Read inputs under limits and write a line before and after each."""
    import resource  # Windows has none

    faulthandler.disable()  # a crash is told by the process that waits for this one
    os.chdir(folder)
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    warnings.simplefilter("ignore")
    loader = LOADERS[name]
    seeds, load = loader.seeds(), loader.prepare()
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = taken + MEMORY if hard == resource.RLIM_INFINITY else min(taken + MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # a hang ends the process, also one in C
    for number in numbers:
        path = place(loader, seeds, random.Random(f"{seed} {name} {number}"), Path("input"))
        os.write(pipe, f"{json.dumps([number])}\n".encode())
        start = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        outcome = judge(loader, load, path)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if keep is not None and outcome[0] == "finding":
            _copy_files(Path("input"), keep / f"{name}-{seed}-{number}")
        line = json.dumps([number, *outcome, time.perf_counter() - start])
        os.write(pipe, f"{line}\n".encode())


def _outcomes(
    name: str, numbers: range, seed: int, folder: Path, keep: Path | None
) -> Iterator[list]:
    """Yield the lines of one process of `_work`."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        status = 1
        try:
            os.close(reading)
            _work(name, numbers, seed, folder, keep, writing)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    try:
        with open(reading, encoding="utf-8") as lines:
            yield from map(json.loads, lines)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def run(
    name: str,
    count: int,
    *,
    seed: int = 0,
    first: int = 0,
    seconds: float = float("inf"),
    keep: Path | None = None,
) -> Report:
    """Try inputs number `first` to ``first + count - 1`` of a loader.

    Parameters
    ----------
    name : str
        A name out of `LOADERS`.
    count, first : int
        How many inputs, and the number of the first.
    seed : int
        Seed of all of them.
    seconds : float
        Stop after so long.
    keep : Path, optional
        Folder to which the inputs of findings are copied.
    """
    report, deadline = Report(name), time.monotonic() + seconds
    next_number, end = first, first + count
    keep = None if keep is None else keep.absolute()
    with tempfile.TemporaryDirectory() as folder:

        def note(number: int, kind: str, what: str, took: float) -> None:
            report.counts[kind] += 1
            report.slowest = max(report.slowest, took)
            if kind == "finding":
                report.findings.append((number, what))

        while next_number < end and time.monotonic() < deadline:
            begun = None
            numbers = range(next_number, end)
            for line in _outcomes(name, numbers, seed, Path(folder), keep):
                if len(line) == 1:
                    begun = line[0]
                else:
                    note(*line)
                    begun, next_number = None, line[0] + 1
                    if time.monotonic() > deadline:
                        break
            if begun is not None:
                note(begun, "finding", "the process died: a hang, a crash, or no memory", SECONDS)
                if keep is not None:
                    _copy_files(Path(folder, "input"), keep / f"{name}-{seed}-{begun}")
                next_number = begun + 1
            elif next_number < end and time.monotonic() < deadline:
                raise RuntimeError(f"{name}: expected the inputs to be made, got a failure")
    return report


def _copy_files(source: Path, target: Path) -> None:
    """Copy what is a regular file: a pipe has no end."""
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.is_file() and not path.is_symlink():
            shutil.copy(path, target)


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the loaders of the command line's choice; return 1 if there is a finding."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("loader", nargs="*", help=f"out of {', '.join(LOADERS)}; default all")
    parser.add_argument("--inputs", type=int, default=1000, help="for each loader")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="for each loader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--keep", type=Path, help="folder for the inputs of findings")
    options = parser.parse_args(arguments)
    names = options.loader or list(LOADERS)
    for name in names:
        if name not in LOADERS:
            parser.error(f"expected loaders out of {', '.join(LOADERS)}, got {name!r}")
    found = 0
    for name in names:
        report = run(
            name, options.inputs, seed=options.seed, first=options.first,
            seconds=options.seconds, keep=options.keep,
        )  # fmt: skip
        found += len(report.findings)
        print(report, flush=True)
        for number, what in report.findings:
            print(f"  input {number}: {what}", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

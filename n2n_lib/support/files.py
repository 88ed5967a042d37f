"""Writing files whole or not at all, names for files, and safe loading of untrusted files."""

from __future__ import annotations

import hashlib
import io
import os
import pickletools
import re
import tempfile
import unicodedata
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

LITTER_AGE = 600
"""Seconds after which an unfinished file that nobody writes to belongs to a process that died."""


def write_atomically(path: str | os.PathLike, write: Callable[[BinaryIO], None]) -> Path:
    """Write a file through a temporary neighbour, so that `path` is never half written.

    Parameters
    ----------
    path : path-like
        Where the file shall stand; its folder must exist.
    write : callable
        Gets the open temporary file and fills it.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    OSError
        If the folder does not exist or cannot be written to, or the disk is full; it names the
        file. An older file stays as it was.

    Notes
    -----
    A process that is killed while it writes leaves its temporary neighbour behind. The next write
    of the same file removes what is older than `LITTER_AGE`.
    """
    path = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(".part", f".{path.name}.", path.parent)
    except OSError as error:
        error.filename = str(path)  # not the neighbour, of which nobody has heard
        raise
    try:
        with os.fdopen(handle, "wb") as file:
            _remove_litter(path, now=os.fstat(file.fileno()).st_mtime)
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files that only their owner reads
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None and error.errno is not None:
            error.filename = str(path)  # a full disk does not say which file it has no room for
        raise
    return path


def _remove_litter(path: Path, now: float) -> None:
    """Remove the temporary neighbours of a file that dead processes left; `now` in seconds."""
    for name in os.listdir(path.parent):  # quicker than paths, where a class has thousands of pages
        if name.startswith(f".{path.name}.") and name.endswith(".part"):
            neighbour = path.with_name(name)
            try:
                if now - neighbour.stat().st_mtime > LITTER_AGE:
                    neighbour.unlink()
            except OSError:  # somebody else removed it, or may and we may not
                continue


def check_writable(folder: str | os.PathLike) -> None:
    """Raise ValueError unless a file can be written into the folder, which must exist."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"expected a folder that can be written to, got {folder}: {error.strerror}"
        ) from None


def make_writable(folder: str | os.PathLike) -> None:
    """Create a folder, if it is missing; raise ValueError unless a file can be written into it."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"expected a folder that can be written to, got {folder}: {error.strerror}"
        ) from None
    check_writable(folder)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def save(content: Any, path: str | os.PathLike) -> Path:
    """Save tensors and plain values, NumPy's among them, with ``torch.save``, atomically."""
    buffer = io.BytesIO()  # torch.save turns the error of a full disk into one that says nothing
    torch.save(_plain(content), buffer)
    return write_atomically(path, lambda file: file.write(buffer.getbuffer()))


def _plain(content: Any) -> Any:
    """Turn NumPy's numbers, which `load` would refuse, into Python's own."""
    if isinstance(content, np.generic):
        return content.item()
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return type(content)(map(_plain, content))
    return content


def load(path: str | os.PathLike, expected: str) -> Any:
    """Read a file of tensors and plain values; code in it is never run.

    Parameters
    ----------
    path : path-like
        A file written by ``torch.save``.
    expected : str
        What the caller hopes to find, for the error message: ``"a model saved by n2n"``.

    Returns
    -------
    Any
        Numbers, strings, None, dense tensors on the CPU, and lists, tuples and dicts of these. No
        tensor is larger than the part of the file that holds it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file cannot be read as tensors and plain values: cut short, changed, foreign or
        malicious.

    Notes
    -----
    ``weights_only=True`` keeps out code. It does not keep out a small file that unpacks to a large
    one, calls for gigabytes of zeros, or nests itself without end; the checks before it do.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected {expected}, found no such file")
    if path.is_dir():
        raise ValueError(f"{path}: expected {expected}, got a folder")
    if not path.is_file():  # a pipe or a device may have no end
        raise ValueError(f"{path}: expected {expected}, got no regular file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with path.open("rb") as file:
                _check_archive(file) if file.read(4) == _ZIP else _check_old_format(file)
                file.seek(0)  # the very file that was checked, whatever the path names by now
                content = torch.load(file, map_location="cpu", weights_only=True)
            _check_tensors(content)
    except PermissionError:
        raise
    except Exception as error:  # torch raises nearly every kind of exception on broken files
        raise ValueError(
            f"{path}: expected {expected}, got a file that does not hold tensors and plain values "
            f"({_reason(error)})"
        ) from None
    return content


_NOT_IN_NAMES = set('<>:"/\\|?*')

_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com\d|lpt\d)(\.|$)", re.IGNORECASE)
"""Names that Windows keeps for itself, whatever ending they have."""

_LONGEST_NAME = 100
"""Bytes, at most; of 255 that most file systems allow, some take more than half themselves."""


def file_names(texts: Collection[str], taken: Collection[str] = ()) -> dict[str, str]:
    """Give each text a name for its file: readable, unique, and possible on every system.

    A text that can be a name is its own. Where something had to be replaced or cut, or where two
    names would be the same to a file system that does not mind the case, a digest of the text
    keeps them apart.

    Parameters
    ----------
    texts : collection of str
        Whatever they hold: slashes, control characters, thousands of characters.
    taken : collection of str
        Names that none may get.

    Returns
    -------
    dict of str to str
        The names by their texts, without endings.
    """
    short = {text: _possible(text) for text in texts}
    count = Counter(name.casefold() for name in short.values())
    count.update(name.casefold() for name in taken)
    return {
        text: name
        if name == unicodedata.normalize("NFC", text) and count[name.casefold()] == 1
        else f"{name}-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:8]}"
        for text, name in short.items()
    }


def _possible(text: str) -> str:
    """Replace and cut what no file name may hold."""
    kept = [
        c if c.isprintable() and c not in _NOT_IN_NAMES else "_"
        for c in unicodedata.normalize("NFC", text[: 2 * _LONGEST_NAME])
    ]
    name = "".join(kept).encode()[:_LONGEST_NAME].decode(errors="ignore").rstrip(". ")
    return f"_{name}" if not name or name[0] in ". " or _DEVICES.match(name) else name


def brief(value: Any) -> str:
    """Return the first line of what a value prints, of at most 200 characters, fit to be shown."""
    line = next(iter(str(value).splitlines()), "")
    shown = "".join(c if c.isprintable() else "?" for c in line[:200])
    return shown if len(line) <= 200 else shown[:197] + "..."


# --------------------------------------------------------------------------------------------------
# What ``torch.load(weights_only=True)`` leaves to its caller

_ZIP = b"PK\x03\x04"

_GLOBALS = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_tensor_v2|"
    r"torch (Bool|Byte|Char|BFloat16|Half|Short|Float|Int|Double|Long)Storage"
)
"""All that a file may ask to be called or named. PyTorch allows more: ``bytearray(10**10)``."""

_MOST_TUPLES = 30_000
"""Tuples in a pickle, at most: a tensor takes five. A key of 150 000, one in the other, overflows
the stack of 8 MB on which Python computes its hash."""


class _Refused(Exception):
    """The file is well formed, but asks for what no file of ours needs."""


def _check_archive(file: BinaryIO) -> None:
    """Raise unless a file of ``torch.save`` is whole and unpacks to no more than its own size."""
    size = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len({member.filename for member in members}) < len(members):
            raise _Refused("a part of it is there twice")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise _Refused("it is compressed")
        if sum(member.file_size for member in members) > size:
            raise _Refused("it claims more than it holds")
        if broken := archive.testzip():
            raise _Refused(f"the checksum of {broken!r} is wrong")
        for member in members:
            if member.filename.lower().endswith(".pkl"):  # PyTorch does not mind the case
                _check_pickle(io.BytesIO(archive.read(member)))


def _check_old_format(file: BinaryIO) -> None:
    """Raise unless the five pickles at the front of a file of PyTorch before 1.6 are harmless."""
    file.seek(0)
    for _ in range(5):  # magic number, version, machine, content, storages
        _check_pickle(file)


def _check_pickle(file: BinaryIO) -> None:
    """Raise if a pickle could take up all memory, all time or all of the stack.

    Names and strings may be used again. Lists, tuples and dicts may not: a few bytes could nest
    them to a size that no computer walks through.
    """
    memory: dict[int, object] = {}
    last, tuples = None, 0
    for opcode, value, _ in pickletools.genops(file):
        if opcode.name == "GLOBAL" and not _GLOBALS.fullmatch(value):
            raise _Refused(f"it names {value}"[:100])
        if opcode.name in ("BINPUT", "LONG_BINPUT"):
            memory[value] = last
            continue
        if opcode.name in ("BINGET", "LONG_BINGET"):
            value = memory[value]
            if not isinstance(value, str):
                raise _Refused("it holds something twice")
        tuples += opcode.name.startswith("TUPLE")
        if tuples > _MOST_TUPLES:
            raise _Refused(f"it has more than {_MOST_TUPLES} tuples")
        last = value


def _check_tensors(content: Any) -> None:
    """Raise if a tensor somewhere in `content` has more numbers than its storage.

    What is nested without end cannot be walked through, which is an error, too.
    """
    if isinstance(content, Tensor):
        if content.numel() * content.element_size() > content.untyped_storage().nbytes():
            raise _Refused(f"a tensor of shape {tuple(content.shape)} repeats what it holds")
    elif isinstance(content, dict):
        _check_tensors(tuple(content.items()))
    elif isinstance(content, (list, tuple)):
        for item in content:
            _check_tensors(item)


def _reason(error: Exception) -> str:
    return brief(error) if isinstance(error, _Refused) else type(error).__name__

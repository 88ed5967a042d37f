"""Writing files whole or not at all, and reading files that may lie."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch


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
        If the folder does not exist or cannot be written to. An older file stays as it was.
    """
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files that only their owner reads
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def check_writable(folder: str | os.PathLike) -> None:
    """Raise ValueError unless a file can be written into the folder, which must exist."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"expected a folder that can be written to, got {folder}: {error.strerror}"
        ) from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def save(content: Any, path: str | os.PathLike) -> Path:
    """Save tensors and plain values with ``torch.save``, atomically."""
    return write_atomically(path, lambda file: torch.save(content, file))


def load(path: str | os.PathLike, expected: str) -> Any:
    """Read a file of tensors and plain values; code in it is never run.

    Parameters
    ----------
    path : path-like
        A file written by ``torch.save``.
    expected : str
        What the caller hopes to find, for the error message: ``"a model saved by n2n"``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file cannot be read as tensors and plain values: cut short, foreign or malicious.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected {expected}, found no such file")
    if path.is_dir():
        raise ValueError(f"{path}: expected {expected}, got a folder")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError:
        raise
    except Exception as error:  # torch raises nearly every kind of exception on broken files
        raise ValueError(
            f"{path}: expected {expected}, got a file that does not hold tensors and plain values "
            f"({type(error).__name__})"
        ) from None

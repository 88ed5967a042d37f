"""Tell glibc to keep freed memory for reuse."""

from __future__ import annotations

import ctypes
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of the settings in glibc's malloc.h
_LARGE = (1 << 30, 1 << 25)  # 1 GB; 32 MB is the most that older versions take


@cache
def keep_freed() -> bool:
    """Let this process keep the memory that it frees, for the next tensors of the same size.

    A training step allocates what the step before it has freed. By default glibc, the C library of
    most Linux systems, gives large blocks back to the system, which hands them out again page by
    page, filled with zeros: for the U-Net that is a fifth of the time of a step. Afterwards the
    process stays as large as it was at its largest.

    Returns
    -------
    bool
        False where the C library is another one, and nothing was changed.

    Notes
    -----
    ``man 3 mallopt``.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    at_once = any(mallopt(_MMAP_THRESHOLD, size) for size in _LARGE)
    return bool(at_once and mallopt(_TRIM_THRESHOLD, _LARGE[0]))

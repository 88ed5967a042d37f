"""Files that an answer may open, kept by the kernel's Landlock (Linux 5.13 or newer).

It works for anybody and needs no program: a process says which folders it may read beneath, and has
nothing else from then on. See ``man 7 landlock``.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable

WRITE, READ, LIST, TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
RIGHTS = (0, 13, 14, 15, 15, 16)
"""How many rights on files a version of Landlock knows, the newest last."""

DEVICES = ("/dev/zero", "/dev/urandom", "/dev/random")


def read_only(folders: Iterable[str]) -> bool:
    """Let this process, for good, open nothing but what lies in some folders, and that to read.

    ``/dev/null`` can be written to as well. TCP, abstract sockets, and signals to processes that
    are not its own children end too, where the kernel is new enough.

    Returns
    -------
    bool
        Whether it holds: not on other systems, nor where the kernel has no Landlock.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    create, add, restrict = 444, 445, 446  # numbers of the calls, on every machine
    version = libc.syscall(create, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    rights = (1 << RIGHTS[min(version, len(RIGHTS) - 1)]) - 1
    words = (rights, *((3,) if version >= 4 else ()), *((3,) if version >= 6 else ()))
    handled = struct.pack(f"={len(words)}Q", *words)  # files, TCP, what is no child's
    rules = libc.syscall(create, handled, ctypes.c_size_t(len(handled)), 0)
    if rules < 0:
        return False
    try:
        for path in (*folders, *DEVICES):
            _allow(libc, add, rules, path, READ | LIST)
        _allow(libc, add, rules, os.devnull, (READ | WRITE | TRUNCATE) & rights)
        libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
        return libc.syscall(restrict, rules, 0) == 0
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, add: int, rules: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # there is no such place here, so nothing to allow
        return
    if not os.path.isdir(path):
        rights &= ~LIST
    libc.syscall(add, rules, 1, struct.pack("=Qi", rights, place), 0)  # beneath a path
    os.close(place)

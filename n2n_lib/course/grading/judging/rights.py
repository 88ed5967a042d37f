"""What the process that runs students' code gives up before it runs any."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from contextlib import suppress

from n2n_lib.course.grading.judging.calls import refuse_calls
from n2n_lib.course.grading.judging.paths import read_only

NOBODY = 65534


def give_up_rights() -> None:
    """Stop being root: become a user who owns nothing, for good.

    As any other user than root it does nothing. Root stays root where that user could not read the
    files of the interpreter, which later imports need: without a fence, under a home of root's.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return
    with suppress(PermissionError):  # a fence takes this right away, and with it all groups
        os.setgroups([])
    os.setegid(NOBODY)  # first, or what root's group may not read would count
    os.seteuid(NOBODY)
    readable = os.access(os.__file__, os.R_OK, effective_ids=True) and os.access(
        __file__, os.R_OK, effective_ids=True
    )
    os.seteuid(0)
    os.setegid(0)
    if readable:
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS


def close_in(readable: Iterable[str]) -> None:
    """Let the kernel refuse to this process, for good, what no answer needs (Linux).

    It holds without bubblewrap as well; where the kernel is too old for a part, that part is left
    out, and `fence.try_to_break_out` finds it open.

    Parameters
    ----------
    readable : iterable of str
        Folders, see `paths.read_only`.
    """
    read_only(readable)
    refuse_calls()


def hide_memory() -> None:
    """Keep other processes of this user from reading the memory of this one (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE

"""Whether Ctrl-C was pressed, also where a package made another exception of it.

This file imports the standard library alone: it is there before any package is loaded.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPED = 130
"""The exit code after Ctrl-C."""

ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that end a process; the second, not on Windows, is that of a terminal that was closed."""

_noted: list[int] = []


def note() -> None:
    """Remember every Ctrl-C from now on, which raises KeyboardInterrupt as before."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else somebody ignores it
        signal.signal(signal.SIGINT, _note)


def _note(number: int, frame: FrameType | None) -> None:
    _noted.append(number)
    signal.default_int_handler(number, frame)


def caused(error: BaseException) -> bool:
    """Tell whether an exception comes of a Ctrl-C.

    A package that is interrupted while it is loaded may catch that and try again, and then fail
    with whatever it likes. So each exception counts that ends the loading of a module after Ctrl-C;
    later ones have reasons of their own.
    """
    if isinstance(error, KeyboardInterrupt):
        return True
    if not _noted:
        return False
    if isinstance(error, ImportError):
        return True
    entry = error.__traceback__
    while entry is not None:
        code = entry.tb_frame.f_code
        if code.co_name == "<module>" or code.co_filename.startswith("<frozen importlib"):
            return True  # a module is being loaded, or looked for
        entry = entry.tb_next
    return False


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Keep Ctrl-C from the processes and threads that are started: it is this process that stops.

    They inherit which signals are blocked, and the processes those that the threads start.
    """
    if os.name == "nt":
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # it would unblock the signals again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def handled(
    handler: Callable[[int, FrameType | None], object], numbers: Iterable[int] = ENDING
) -> Iterator[None]:
    """Let a function handle signals, for as long as a block lasts."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, other in before.items():
            signal.signal(number, other)


@contextmanager
def put_off() -> Iterator[None]:
    """Let SIGTERM and SIGHUP wait until a block has ended, where this process handles them itself.

    Whatever their handler raises would else come in the middle of the start of a process, which
    then reads half of what it is told, and prints its traceback.
    """
    if threading.current_thread() is not threading.main_thread():  # handlers run in that one alone
        yield
        return
    came: list[int] = []
    own = [number for number in ENDING if callable(signal.getsignal(number))]
    try:
        with handled(lambda number, frame: came.append(number), own):
            yield
    finally:
        for number in came:
            signal.raise_signal(number)

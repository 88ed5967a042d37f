"""Stop a student's answer that takes too long.

Signals would do so in the main thread of Linux and macOS alone; kernels also run cells in other
threads, and on Windows. So a second thread watches, and has Python raise `TooSlow` in the first.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from functools import partial
from typing import Any

SECONDS = 10.0
"""So long may all cases of a check take together; a right answer takes a second or two."""

AGAIN = 0.2
"""Seconds until an answer that goes on is stopped once more."""

_raise_in = ctypes.pythonapi["PyThreadState_SetAsyncExc"]


class TooSlow(BaseException):
    """The time is over. It is no `Exception`, which an answer might well catch."""


class limited:  # noqa: N801 (it is used like a function)
    """Raise `stop` in the body of a ``with`` block that takes too long, never after it.

    A call of C code, as a product of two large matrices, is stopped when it returns. What swallows
    the exception gets it again at once, outside of the ``try`` that did.

    Parameters
    ----------
    seconds : float, optional
        How long the block may take. Default: `SECONDS`.

    Attributes
    ----------
    stop : type
        The class of what is raised: a `TooSlow` of this block alone, since blocks may be nested.
    started : float
        When the block was entered, by `time.monotonic`.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds, self.started = SECONDS if seconds is None else seconds, 0.0
        self.stop: Any = type("TooSlow", (TooSlow,), {})
        self._watching = False

    def __enter__(self) -> limited:
        self.started = time.monotonic()
        self._thread = threading.get_ident()
        # Whoever swallows it lets go of it in doing so. Raised by C code, the next one comes after
        # the handler, and not already in a `__del__` that were written in Python.
        again = partial(_raise_in, ctypes.c_ulong(self._thread), ctypes.py_object(self.stop))
        self.stop.__del__ = staticmethod(again)
        self._inside = threading.Lock()
        self._inside.acquire()
        self._watching = True
        try:
            threading.Thread(target=self._watch, name="time limit", daemon=True).start()
        except RuntimeError:  # a Python without threads, as in a browser
            self._watching = False
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the watch; it does no harm to do so twice.

        Where the exception comes at the very end of the block, it may keep ``__exit__`` from doing
        this, so whoever catches it does it again.
        """
        while True:
            try:
                return self._close()
            except TooSlow:  # sent at the last moment
                pass

    def _close(self) -> None:
        # No lock is held here, which an exception might leave locked.
        if "__del__" in vars(self.stop):
            del self.stop.__del__
        while self._watching:
            if self._inside.locked():
                self._inside.release()
            time.sleep(0.0005)
        if self.started:
            _raise_in(ctypes.c_ulong(self._thread), None)  # takes back one that is on its way
            self.started = 0.0

    def _watch(self) -> None:
        try:
            wait = self.seconds
            while not self._inside.acquire(timeout=wait):
                wait = AGAIN
                frame = sys._current_frames().get(self._thread)
                if frame is not None and frame.f_code.co_filename != _HERE:
                    _raise_in(ctypes.c_ulong(self._thread), ctypes.py_object(self.stop))
        finally:
            self._watching = False


_HERE = limited.close.__code__.co_filename

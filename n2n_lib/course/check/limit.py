"""Stop a student's answer that takes too long.

Signals would do so in the main thread of Linux and macOS alone; kernels also run cells in other
threads, and on Windows. So a second thread keeps the time, and has Python raise `TooSlow` in the
first.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

SECONDS = 10.0
"""So long may an answer run in all cases of a check; a right one takes a second or two."""

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
    counts : callable, optional
        Says of a frame of Python whether it is of the code that is timed: only while one is running
        does time count, and only then is it stopped. Default: all of the block.

    Attributes
    ----------
    stop : type
        The class of what is raised: a `TooSlow` of this block alone, since blocks may be nested.
    spent : float
        Seconds that have counted.
    """

    def __init__(
        self, seconds: float | None = None, counts: Callable[[FrameType], bool] | None = None
    ) -> None:
        self.seconds = SECONDS if seconds is None else seconds
        self.counts, self.spent = counts, 0.0
        self._thread = 0
        self._below: FrameType | None = None
        self.stop: Any = type("TooSlow", (TooSlow,), {})
        self._timing = self._sent = False

    def __enter__(self) -> limited:
        self._thread, self._below = threading.get_ident(), sys._getframe(1)
        # Whoever swallows it lets go of it in doing so. Raised by C code, the next one comes after
        # the handler, and not already in a `__del__` that were written in Python.
        again = partial(_raise_in, ctypes.c_ulong(self._thread), ctypes.py_object(self.stop))
        self.stop.__del__ = staticmethod(again)
        self._inside = threading.Lock()
        self._inside.acquire()
        self._timing = True
        try:
            threading.Thread(target=self._time, name="time limit", daemon=True).start()
        except RuntimeError:  # a Python without threads, as in a browser
            self._timing = False
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End it; it does no harm to do so twice.

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
        while self._timing:
            if self._inside.locked():
                self._inside.release()
            time.sleep(0.0005)
        if self._sent:
            self._sent = False
            self._let_the_last_come()
        self._thread, self._below = 0, None

    def _let_the_last_come(self) -> None:
        """Catch an exception that may be on its way.

        It could be taken back (``SetAsyncExc(thread, NULL)``), but Python 3.11 would go on looking
        for it, and a profiler then stops it in the first function that is called.
        """
        try:
            _raise_in(ctypes.c_ulong(self._thread), ctypes.py_object(self.stop))
            while True:
                time.sleep(0)
        except TooSlow:
            pass

    def _time(self) -> None:
        try:
            before, wait = time.monotonic(), min(AGAIN, self.seconds)
            while not self._inside.acquire(timeout=wait):
                now = time.monotonic()
                if self._is_running():
                    self.spent += now - before
                    if self.spent >= self.seconds:
                        self._sent = True
                        _raise_in(ctypes.c_ulong(self._thread), ctypes.py_object(self.stop))
                left = self.seconds - self.spent
                before, wait = now, min(AGAIN, left) if left > 0 else AGAIN
        finally:
            self._timing = False

    def _is_running(self) -> bool:
        """Whether the thread is in the code that is timed.

        What is imported on the way takes its time, and would be left half imported.
        """
        frame = sys._current_frames().get(self._thread)
        if frame is None or frame.f_code.co_filename == _HERE:
            return False
        while frame is not None and frame is not self._below:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                return False
            if self.counts and self.counts(frame):
                return True
            frame = frame.f_back
        return not self.counts


_HERE = limited.close.__code__.co_filename

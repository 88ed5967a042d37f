"""How many threads PyTorch computes on: as many as pay, and no more.

A network computes in hundreds of small operations, and every one ends when the slowest of its
threads does. On a quiet machine two threads take little more than half the time of one. Where
other programs keep the processors busy, each operation waits for a thread that has to wait its
turn: then two take many times as long as one. So what is best is measured, at the start and now
and then again, by a `Chooser`.

The number matters for more than speed: it decides in how many parts a sum is added up, and so on
its last digits. Whoever wants the same digits again takes a fixed number, with `threads`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch

from n2n_lib.support import cores

TAKE, KEEP = 1.2, 1.05
"""How many times as fast more threads must be, in order to be taken, and to be kept."""

WAIT = 1e-4
"""Seconds that an operation may wait for its threads, on average, before a machine counts as busy.
On a quiet one it is a tenth of that, on a busy one a hundred times as much."""

PROBE = 0.02
"""Seconds that it takes to find out: long enough that the system lets another program run."""

RUNS, LONG = 5, 0.05
"""How often a number of threads is tried: up to so many times, or so many seconds, but twice."""

LATE = 1.5
"""Work that takes so many times as long as on one thread will not become faster by waiting."""

REST, SOON = 100, 10
"""How many times as long as a trial the work has to go on, before the next one; and where the
present number has just proved wrong, twice as long after each time."""

BUSY = "the machine is busy"
LITTLE = "more would save little"
SET = "as PyTorch is set"


class Span(NamedTuple):
    """The numbers of threads to choose from, and what keeps the largest from being larger."""

    least: int
    most: int
    why: str


_span: ContextVar[Span | None] = ContextVar("span", default=None)

_chooser: ContextVar[Chooser | None] = ContextVar("chooser", default=None)


def span() -> Span:
    """Return what there is to choose from.

    From one thread to as many as PyTorch has been given, by ``OMP_NUM_THREADS`` or
    ``torch.set_num_threads``, and not more than there are processors for this process. Inside
    `threads` there is nothing to choose.
    """
    inside = _span.get()
    if inside is not None:
        return inside
    asked, usable = torch.get_num_threads(), cores.usable()
    if asked < usable.count:
        return Span(1, asked, SET)
    return Span(1, usable.count, usable.why)


@contextmanager
def _within(numbers: Span, count: int) -> Iterator[None]:
    """Compute on `count` threads inside, where there are these numbers to choose from."""
    before, token = torch.get_num_threads(), _span.set(numbers)
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _span.reset(token)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let PyTorch compute on exactly so many threads, and afterwards on as many as before."""
    with _within(Span(count, count, "as told"), count):
        yield


@contextmanager
def sparingly() -> Iterator[None]:
    """Let PyTorch compute on one thread, except where a `Chooser` finds that more of them pay."""
    with _within(span(), 1):
        yield


def waiting(count: int) -> float:
    """Return how long an operation waits for its threads where `count` share it, in seconds.

    A mean over operations so short that they take hardly any time themselves.
    """
    values, before = torch.zeros(count << 15), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = min(_each(values, PROBE / 10))
        torch.set_num_threads(count)
        values.add_(1)  # the threads are made here
        shared = _each(values, PROBE)
    finally:
        torch.set_num_threads(before)
    return sum(shared) / len(shared) - alone


def _each(values: torch.Tensor, seconds: float) -> list[float]:
    """Return how long each of many short operations takes."""
    times, now = [], time.perf_counter()
    end = now + seconds
    while now < end:
        values.add_(1)
        began, now = now, time.perf_counter()
        times.append(now - began)
    return times


def mind_the_time() -> None:
    """Go on with fewer threads, if what is computed here has long been overdue.

    To be called now and then by whatever takes long. Where nothing is chosen it does nothing.
    """
    chooser = _chooser.get()
    if chooser is not None and chooser.clock() > chooser.deadline:
        chooser.give_way()


class Chooser:
    """Chooses how many threads some work that is repeated takes, and chooses again.

    More threads are tried where short operations do not wait for each other, and taken where a
    piece of the work is then faster by `TAKE`. A piece that is long overdue goes on with the least
    number at once. All of this takes a hundredth of the time.

    Parameters
    ----------
    clock : callable
        Returns seconds.
    waits : callable
        As `waiting`.

    Attributes
    ----------
    count : int
        The present number; 0 before there was any work.
    why : str
        Why it is not larger.
    deadline : float
        When the present piece of work is overdue, by the clock.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        waits: Callable[[int], float] = waiting,
    ) -> None:
        self.clock, self._waits = clock, waits
        self.count, self.why, self.deadline = 0, "", math.inf
        self._numbers = [1]
        self._least_seconds = math.inf  # of a piece of size 1, on the least number of threads
        self._spent = self._cost = 0.0  # on work since the last trial, and on that trial
        self._rest, self._limit = REST, ""
        self._overdue, self._gave_way = 0, False  # how often it gave way, and since the last trial

    def __str__(self) -> str:
        """Say what was chosen: ``threads: 1 of 2 (the machine is busy)``."""
        told = f" ({self.why})" if self.why else ""
        return f"threads: {self.count} of {cores.present()}{told}"

    @contextmanager
    def at_work(
        self, single: str = "", processes: int | None = None, start: int | None = None
    ) -> Iterator[Chooser]:
        """Compute on the chosen number of threads inside a ``with`` block.

        Parameters
        ----------
        single : str
            Why one thread is best, if that is known without trying.
        processes : int, optional
            How many processes of this machine share the work. They take equal numbers, untried.
        start : int, optional
            Begin with this number.
        """
        numbers = span()
        self._numbers, self.why = _numbers(*numbers[:2]), numbers.why
        if len(self._numbers) > 1 and single:
            self._numbers, self.why = [1], single
        elif len(self._numbers) > 1 and processes is not None:
            share = min(numbers.most, max(1, cores.usable().count // processes))
            self._numbers = [share]
            if share < numbers.most:
                self.why = f"{processes} processes share the processors"
        self._limit = self.why
        present = self.count if start is None else start
        present = present if present in self._numbers else self._numbers[0]
        token = _chooser.set(self)
        try:
            with _within(numbers, present):
                self._use(present)
                yield self
        finally:
            self.deadline = math.inf
            _chooser.reset(token)

    def due(self) -> bool:
        """Return whether it is time to try how many threads are best."""
        return len(self._numbers) > 1 and self._spent >= self._rest * self._cost

    def choose(self, work: Callable[[], object], size: float = 1.0) -> None:
        """Try how many threads are best.

        Parameters
        ----------
        work : callable
            A piece of the work; what it returns is not used.
        size : float
            Of this piece, in the unit of `timed`.
        """
        if not self._gave_way:
            self._overdue = 0
        began, present = self.clock(), self.count
        best, seconds, self.why = self._numbers[0], None, self._limit
        for count in self._numbers[1:]:
            if self._waits(count) > WAIT:
                self.why = BUSY
                break
            if seconds is None:
                seconds = self._time(best, work, size)
                self._least_seconds = seconds / size
            tried = self._time(count, work, size)
            if seconds < tried * (KEEP if count <= present else TAKE):
                self.why = LITTLE if tried < LATE * seconds else BUSY
                break
            best, seconds = count, tried
        self._use(best)
        self._cost, self._spent = self.clock() - began, 0.0
        self._rest, self._gave_way = REST, False

    @contextmanager
    def timed(self, size: float = 1.0) -> Iterator[None]:
        """Do a piece of the work inside a ``with`` block; how large it is, `size` tells."""
        began = self.clock()
        self._expect(began, size)
        try:
            yield
        finally:
            self.deadline = math.inf
            self._spent += self.clock() - began

    def give_way(self) -> None:
        """Go on with the least number of threads, and try again soon."""
        self._use(self._numbers[0])
        self.why, self.deadline = BUSY, math.inf
        self._rest = min(REST, SOON << self._overdue)
        self._overdue, self._gave_way = self._overdue + 1, True

    def _use(self, count: int) -> None:
        torch.set_num_threads(count)
        _span.set(Span(count, count, self.why))  # for what the work itself repeats
        self.count = count

    def _expect(self, now: float, size: float) -> None:
        """Set the deadline of a piece of work that begins now."""
        more = self.count > self._numbers[0]
        self.deadline = now + LATE * size * self._least_seconds if more else math.inf

    def _time(self, count: int, work: Callable[[], object], size: float) -> float:
        """Return how long a piece of the work takes; the first time, libraries prepare theirs."""
        self._use(count)
        times: list[float] = []
        while len(times) < 2 or (len(times) < RUNS and sum(times) < LONG):
            began = self.clock()
            self._expect(began, size)
            work()
            self.deadline = math.inf
            times.append(self.clock() - began)
            if self.count != count:  # overdue
                return math.inf
        return min(times)


def _numbers(least: int, most: int) -> list[int]:
    """Return the numbers to try: doubled from one to the next, and `most`."""
    numbers = [least]
    while 2 * numbers[-1] < most:
        numbers.append(2 * numbers[-1])
    return numbers + [most] if most > least else numbers

"""Signals that wait until what must not be interrupted has ended."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator

import pytest

from n2n_lib.support import interrupts

SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


@pytest.fixture(params=SIGNALS)
def ending(request) -> Iterator[int]:
    """A signal whose handler ends the process, as that of ``n2n grade`` does."""
    number = request.param
    before = signal.signal(number, lambda number, frame: sys.exit(128 + number))
    yield number
    signal.signal(number, before)


def test_a_signal_comes_when_the_block_has_ended(ending: int):
    done = []
    with pytest.raises(SystemExit) as end, interrupts.put_off():
        signal.raise_signal(ending)
        done.append(1)
    assert (done, end.value.code) == ([1], 128 + ending)
    with pytest.raises(SystemExit):  # and as before from then on
        signal.raise_signal(ending)


def test_a_failure_in_the_block_gives_way_to_the_signal(ending: int):
    with pytest.raises(SystemExit), interrupts.put_off():
        signal.raise_signal(ending)
        raise ValueError("no")


def test_without_a_signal_nothing_happens(ending: int):
    handler = signal.getsignal(ending)
    with interrupts.put_off():
        pass
    assert signal.getsignal(ending) is handler


def test_in_another_thread_it_does_no_harm():
    failed = []

    def work() -> None:
        try:
            with interrupts.put_off():
                pass
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failed

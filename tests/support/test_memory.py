"""Freed memory stays with the process, where the C library can be told so."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from n2n_lib.support.memory import keep_freed

RESIDENT = """
import sys
from pathlib import Path

import torch

from n2n_lib.support.memory import keep_freed


def resident():
    (line,) = (l for l in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in l)
    return int(line.split()[1]) // 1024


if sys.argv[1] == "keep":
    assert keep_freed()
before = resident()
blocks = [torch.ones(30 << 18) for _ in range(6)]  # of 30 MB, larger than what was freed before
del blocks
print(resident() - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc")
def test_what_is_freed_stays_with_the_process():
    kept, given_back = (
        int(subprocess.check_output([sys.executable, "-c", RESIDENT, word], text=True))
        for word in ("keep", "give back")
    )
    assert kept > 150 and given_back < 60  # megabytes of 180


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    for error in (AttributeError, OSError, TypeError):

        def fail(name, error=error):
            raise error("no such library")

        monkeypatch.setattr(ctypes, "CDLL", fail)
        assert keep_freed.__wrapped__() is False


def test_an_older_glibc_takes_a_smaller_threshold(monkeypatch: pytest.MonkeyPatch):
    told = []

    class Library:
        @staticmethod
        def mallopt(name: int, value: int) -> int:
            told.append((name, value))
            return int(name == -1 or value <= 1 << 25)

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library)
    assert keep_freed.__wrapped__() is True
    assert told == [(-3, 1 << 30), (-3, 1 << 25), (-1, 1 << 30)]

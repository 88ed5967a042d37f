"""Busy programs: they keep processors busy, and none outlives what it was started for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from commands import environment

from n2n_lib.support import busy as busy_file
from n2n_lib.support.busy import busy


def within(seconds: float, happens: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not (happened := happens()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return happened


def running(pids: Iterable[int]) -> set[int]:
    """Those of some processes that have not ended."""
    found = set()
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            found |= {pid} if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE else set()
    return found


def test_they_compute_and_end_with_the_block():
    with busy(2) as pids:
        assert len(set(pids)) == 2 and running(pids) == set(pids)
        programs = [psutil.Process(pid) for pid in pids]
        before = [sum(program.cpu_times()[:2]) for program in programs]
        for program, start in zip(programs, before, strict=True):
            assert within(60, lambda p=program, s=start: sum(p.cpu_times()[:2]) > s + 0.05)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_none_is_no_process():
    with busy(0) as pids:
        assert pids == []


def test_an_error_ends_them():
    with pytest.raises(ZeroDivisionError), busy(1) as pids:
        raise ZeroDivisionError
    assert not psutil.pid_exists(pids[0])


def test_one_that_does_not_begin_ends_the_others(monkeypatch):
    started, start = [], subprocess.Popen

    def second_fails(command: list[str], **options):
        started.append(start([*command[:-1], "" if started else command[-1]], **options))
        return started[-1]

    monkeypatch.setattr(busy_file.subprocess, "Popen", second_fails)
    with pytest.raises(ChildProcessError, match="expected 2 busy programs, got one that ended"):
        with busy(2):
            raise AssertionError("it began")
    assert len(started) == 2 and not any(psutil.pid_exists(program.pid) for program in started)


WAITS = """
import time
from n2n_lib.support.busy import busy
try:
    with busy(2) as pids:
        print(*pids, flush=True)
        time.sleep(600)
except KeyboardInterrupt:
    print("interrupted")
"""


def waiting(tmp_path: Path) -> tuple[subprocess.Popen, list[int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS],
        env=environment(),
        cwd=tmp_path,
        start_new_session=True,  # a terminal, too, sends Ctrl-C to a whole group of processes
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    return process, [int(pid) for pid in process.stdout.readline().split()]


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_ctrl_c_ends_them_in_silence(tmp_path: Path):
    process, pids = waiting(tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60) == ("interrupted\n", "")
    assert len(pids) == 2 and not any(psutil.pid_exists(pid) for pid in pids)


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_they_do_not_outlive_a_process_that_is_killed(tmp_path: Path):
    process, pids = waiting(tmp_path)
    assert running(pids) == set(pids)
    process.kill()
    process.communicate(timeout=60)
    assert within(60, lambda: not running(pids))

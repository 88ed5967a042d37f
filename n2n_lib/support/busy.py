"""Programs that keep processors busy, to measure what that does to another one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from n2n_lib.support import interrupts

PROGRAM = """
import os, sys, threading

def end():
    sys.stdin.buffer.read()  # nothing is ever written: this ends when the other end is closed
    os._exit(0)

threading.Thread(target=end, daemon=True).start()
print(flush=True)
while True:
    pass
"""
"""Counts as busy from the line that it prints; ends with the process that started it."""


@contextmanager
def busy(count: int) -> Iterator[list[int]]:
    """Let so many busy programs run beside what is inside a ``with`` block.

    They end with the block, whatever ends it. Should this process be killed, the system closes
    its pipes, and they end by themselves.

    Parameters
    ----------
    count : int
        Programs, each of which takes all that it gets of one processor.

    Yields
    ------
    list of int
        Their process numbers.

    Raises
    ------
    ChildProcessError
        If one of them does not begin.
    """
    with ExitStack() as ends:
        programs = []
        with interrupts.kept_from_children():
            for _ in range(count):
                program = subprocess.Popen(
                    [sys.executable, "-I", "-c", PROGRAM],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
                ends.enter_context(program)  # closes its pipes
                ends.callback(program.wait)
                ends.callback(program.kill)
                programs.append(program)
        if not all(program.stdout.readline() for program in programs):
            raise ChildProcessError(f"expected {count} busy programs, got one that ended at once")
        yield [program.pid for program in programs]

"""The command line as the tests call it."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from n2n_lib import cli

ROOT = Path(__file__).resolve().parents[1]


class Run(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


def run(*arguments: object) -> Run:
    """Run the command line in this process. What is no user's mistake comes through."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    wide = mock.patch.dict(os.environ, COLUMNS="200")  # whatever terminal the tests run in
    with wide, redirect_stdout(out), redirect_stderr(err):
        try:
            cli.main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code or 0
    return Run(code, out.getvalue(), err.getvalue())


def well(*arguments: object) -> Run:
    """Run a command that must succeed."""
    done = run(*arguments)
    assert done.code == 0, done.err
    return done


def assert_one_line(done: Run, *fragments: str) -> None:
    """A command must have failed with one line that holds these texts, in this order."""
    assert done.code == 2
    lines = done.err.strip().splitlines()
    assert len(lines) == 1, f"{len(lines)} lines: {done.err}"
    assert "Traceback" not in done.err
    position = 0
    for fragment in fragments:
        assert fragment in lines[0][position:], f"no {fragment!r} in {lines[0]!r}"
        position = lines[0].index(fragment, position)


def command(*arguments: object) -> list[str]:
    """The words that run the command line in a process of its own."""
    return [sys.executable, "-m", "n2n_lib", *map(str, arguments)]


def hear_ctrl_c() -> None:
    """Let a process be ended by SIGINT, also where those below it ignore it (``preexec_fn``).

    A shell starts what runs in the background so, and what is started there inherits it.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def environment(**more: str) -> dict[str, str]:
    """One thread, so that sums are added up in the same order in every process."""
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | more


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, with the content of files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }

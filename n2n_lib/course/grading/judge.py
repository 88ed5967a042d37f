"""Judge one answer: the check runs here, the student's code in a worker."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import Any

import matplotlib
import psutil

from n2n_lib.course.check.exercise import Exercise, tensors_in
from n2n_lib.course.check.judge import Verdict, judge_calls, librarys
from n2n_lib.course.grading.grades import Piece
from n2n_lib.course.grading.wire import decode, plain, receive, send
from n2n_lib.course.grading.worker import FORKS

BUBBLEWRAP = [
    *("bwrap", "--unshare-all", "--die-with-parent", "--new-session"),
    *("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
]
"""No network, no other process to be seen, no file that can be changed."""

NONSENSE = "its process sent something that is no answer"

KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT")
"""What a worker sees of the environment: nothing that may hold a password."""


class NoAnswer(BaseException):
    """The worker gave no answer that can be judged; the message says why.

    No Exception, which a check would take for one that the student's function raised.
    """


def has_bubblewrap() -> bool:
    """Whether workers can be closed in by the kernel here."""
    if shutil.which("bwrap") is None:
        return False
    return subprocess.run([*BUBBLEWRAP, "true"], capture_output=True).returncode == 0


class NotDefined(NoAnswer):
    """The code that was run does not define what is asked for; with other cells it might."""


class Worker:
    """A process for the answers of one student; it is started when one is needed.

    Parameters
    ----------
    seconds : float
        That one exercise may take, from its definitions to the last case.
    megabytes : int
        Of memory that an answer may use (Linux).
    closed : bool
        Whether to close the process in with bubblewrap.
    """

    def __init__(self, seconds: float, megabytes: int, *, closed: bool) -> None:
        self.seconds, self.megabytes, self.closed = seconds, megabytes, closed
        self._process: subprocess.Popen | None = None
        self._late = False

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def judge(
        self, exercise: Exercise, pieces: Sequence[Piece], name: str, *, forgiving: bool = False
    ) -> Verdict:
        """Judge the function or class `name` that some pieces of code define.

        Parameters
        ----------
        exercise : Exercise
            What is asked.
        pieces : sequence of Piece
            Run in their order.
        name : str
            Of the function or class.
        forgiving : bool
            Whether an exception ends its cell alone, and not the answer.

        Raises
        ------
        NoAnswer
            If it cannot be judged: it is not defined, does not end, takes its process down, ...
        """
        self._start()
        timer = Timer(self.seconds, self._stop_late)
        timer.start()
        reusable = False
        try:
            verdict = self._judge(exercise, pieces, name, forgiving)
            reusable = FORKS
            return verdict
        except NotDefined:
            reusable = FORKS
            raise
        finally:
            timer.cancel()
            timer.join()
            if self._late or not reusable:  # or nothing is known of the state of the process
                self.stop()

    def interrupt(self) -> None:
        """Kill the process from another thread; `judge` raises NoAnswer."""
        if (process := self._process) is not None:
            _kill(process)

    def stop(self) -> None:
        """End the process and all that it has started."""
        process, self._process = self._process, None
        if process is not None:
            _kill(process)
            process.stdin.close()
            process.stdout.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        self._late = False
        if self._process is not None:
            return
        self._folder = tempfile.mkdtemp(prefix="n2n-grade-")
        command = [sys.executable, "-m", "n2n_lib.course.grading.worker"]
        self._process = subprocess.Popen(
            [*BUBBLEWRAP, "--chdir", self._folder, *command] if self.closed else command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd=self._folder,
            env=_environment(self._folder),
            start_new_session=True,
        )
        if not receive(self._process.stdout):  # it is said once PyTorch is loaded
            self.stop()
            raise OSError(f"expected a process for answers to start, got none from {command}")

    def _stop_late(self) -> None:
        self._late = True
        self.interrupt()

    def _judge(
        self, exercise: Exercise, pieces: Sequence[Piece], name: str, forgiving: bool
    ) -> Verdict:
        request = {
            "pieces": [(piece.cell, piece.line, piece.source) for piece in pieces],
            "function": name,
            "forgiving": forgiving,
            "exercise": exercise.name,
            "use": exercise.use,  # pickled, that is by its name
            "megabytes": self.megabytes,
        }
        answer = self._ask(request, "ready", "undefined", "error")
        if missing := self._missing(exercise, name, answer):
            self._end()
            raise NotDefined(missing)
        if answer.get("library") is True:
            self._end()
            return Verdict(False, librarys(exercise))
        try:
            verdict = judge_calls(exercise, self._call)
        except Exception as error:  # a result that nobody has thought of
            raise NoAnswer(f"the check itself raised {type(error).__name__}") from error
        self._end()
        return verdict

    def _missing(self, exercise: Exercise, name: str, answer: dict) -> str:
        """Say why there is nothing to judge, if so."""
        if "undefined" in answer:
            return f"{name} is not defined in any cell above its check"
        if "error" in answer:
            error = _error(answer["error"])
            what = plain(f"{type(error).__name__}: {error}")
            return f"the cells that {name} needs raised {what}"
        return "" if answer.get(exercise.kind) is True else f"{name} is not a {exercise.kind}"

    def _end(self) -> None:
        """Let the process be ready for another answer."""
        if FORKS:
            self._ask(None, "ended")

    def _call(self, *arguments: Any) -> Any:
        """Stand for the student's answer: the same result, exception and changed arguments."""
        values = list(arguments)
        answer = self._ask(values, "returned", "error")
        if "error" in answer:
            raise _error(answer["error"])
        try:
            tensors = [tensor for _, tensor in tensors_in(values)]
            for tensor, after in zip(tensors, answer["after"], strict=True):
                tensor.data = decode(after)
            for value, changed in zip(values, answer["changed"], strict=True):
                if changed:
                    value.append(None)  # the list is no longer what it was
            return decode(answer["returned"])
        except (ValueError, KeyError, TypeError, RuntimeError, AttributeError):
            raise NoAnswer(NONSENSE) from None

    def _ask(self, question: Any, *kinds: str) -> dict:
        """Send a question; return the answer, which must be of one of the kinds."""
        answer: Any = None
        try:
            send(self._process.stdin, pickle.dumps(question))
        except OSError:  # it has died, and may have said how
            pass
        try:
            answer = json.loads(receive(self._process.stdout) or "null")
        except (OSError, ValueError, RecursionError):
            answer = NONSENSE
        if isinstance(answer, dict) and any(kind in answer for kind in kinds):
            return answer
        raise NoAnswer(self._why(answer))

    def _why(self, answer: Any) -> str:
        """Say why there is no answer that can be judged."""
        if self._late:
            return f"did not finish within {self.seconds:g} s"
        if answer is None:
            return "its process died"
        code = answer.get("ended") if isinstance(answer, dict) else None
        if not isinstance(code, int):
            return NONSENSE
        if code >= 0:
            return f"its code ended Python, exit code {code}"
        known = {each.value: each.name for each in signal.Signals}
        return f"its process was ended by {known.get(-code, f'signal {-code}')}"


@dataclass(frozen=True)
class Limits:
    """What an answer may take: seconds and megabytes, closed in by bubblewrap or not."""

    seconds: float = 60
    megabytes: int = 2048
    closed: bool = field(default_factory=has_bubblewrap)

    def worker(self) -> Worker:
        """Return a worker with these limits."""
        return Worker(self.seconds, self.megabytes, closed=self.closed)


def _environment(folder: str) -> dict[str, str]:
    """Return the environment of a worker: a home of its own, one thread, this library."""
    library = str(Path(__file__).resolve().parents[3])
    paths = [library, *filter(None, [os.environ.get("PYTHONPATH")])]
    single = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {
        **{name: os.environ[name] for name in KEPT if name in os.environ},
        **dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"), folder),
        **dict.fromkeys(single, "1"),
        "MPLCONFIGDIR": matplotlib.get_cachedir(),  # else every worker would look for fonts
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(paths),
    }


def _kill(process: subprocess.Popen) -> None:
    with suppress(psutil.Error):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
    process.kill()
    process.wait()


def _error(said: dict) -> Exception:
    """Make an exception that looks like the one of the student's code."""
    try:
        base = NotImplementedError if said["empty"] else Exception
        error = type(said["name"][:80], (base,), {})(str(said["text"])[:2000])
        error.student_line = str(said["line"])
        return error
    except (ValueError, KeyError, TypeError):
        raise NoAnswer(NONSENSE) from None

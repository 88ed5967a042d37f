"""Judge one answer: the check runs here, the student's code in a worker."""

from __future__ import annotations

import math
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Timer
from typing import Any

import psutil

from n2n_lib.course.check.exercise import Exercise, tensors_in
from n2n_lib.course.check.hand_in import HandIn
from n2n_lib.course.check.judge import Verdict, judge_calls, librarys
from n2n_lib.course.check.outcome import Elsewhere
from n2n_lib.course.check.watch import Seen
from n2n_lib.course.grading.grades import Piece
from n2n_lib.course.grading.judging.fence import (
    HOME,
    command,
    environment,
    readable,
    why_no_bubblewrap,
)
from n2n_lib.course.grading.judging.wire import (
    LARGEST,
    UNSET,
    Answer,
    Noticed,
    Raised,
    decode,
    receive,
    send,
    unpack,
)
from n2n_lib.course.grading.judging.worker import FORKS
from n2n_lib.course.grading.text import plain

NONSENSE = "its process sent something that is no answer"

LARGEST_CODE = 200_000
"""Characters that are run for one answer, at most; a whole lesson has up to 60 000."""


class NoAnswer(BaseException):
    """The worker gave no answer that can be judged; the message says why.

    No Exception, which a check would take for one that the student's function raised.
    """


class NotDefined(NoAnswer):
    """The code that was run does not define what is asked for; with other cells it might."""


class _Answer(Elsewhere):
    """Stands for a student's answer, which runs in a worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def __call__(self, *arguments: Any) -> Any:
        self.seen = Seen()
        returned, self.seen = self._worker.call(*arguments)
        return returned


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
        self._late, self._allowed, self._end_of_all = False, seconds, math.inf

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def allow(self, seconds: float) -> None:
        """Begin the time that all further answers may take together."""
        self._end_of_all = time.monotonic() + seconds

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
        if (left := self._end_of_all - time.monotonic()) <= 0:
            raise NoAnswer("not graded, the time for one student was used up")
        if (size := sum(len(piece.source) for piece in pieces)) > LARGEST_CODE:
            raise NoAnswer(f"needs {size} characters of code, more than {LARGEST_CODE}")
        self._start()
        self._allowed = min(self.seconds, left)
        timer = Timer(self._allowed, self._stop_late)
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

    def stop(self) -> None:
        """End the process and all that it has started."""
        process, self._process = self._process, None
        if process is not None:
            _kill(process)
            process.stdin.close()
            process.stdout.close()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        self._late = False
        if self._process is not None:
            return
        # Behind the fence there is a folder already; so nothing is left if all this is killed.
        self._folder = None if self.closed else tempfile.mkdtemp(prefix="n2n-grade-")
        if self._folder:
            os.chmod(self._folder, 0o755)  # a worker of root's is another user; nothing is in there
        words = [sys.executable, "-m", "n2n_lib.course.grading.judging.worker"]
        self._process = subprocess.Popen(
            command(words, closed=self.closed),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd=self._folder,
            env=environment(self._folder or HOME),
            start_new_session=True,
        )
        if not receive(self._process.stdout):  # it is said once PyTorch is loaded
            self.stop()
            raise OSError(f"expected a process for answers to start, got none from {words}")

    def _stop_late(self) -> None:
        self._late = True
        _kill(self._process)

    def _judge(
        self, exercise: Exercise, pieces: Sequence[Piece], name: str, forgiving: bool
    ) -> Verdict:
        request = {
            "pieces": [(piece.cell, piece.line, piece.source) for piece in pieces],
            "function": name,
            "forgiving": forgiving,
            "exercise": exercise.name,
            "use": exercise.use,  # pickled, that is by its name
            "allowed": exercise.allowed,
            "megabytes": self.megabytes,
            "seconds": self.seconds,
            "closed": self.closed,
            "readable": readable(),
            "pictures": not isinstance(exercise, HandIn),
        }
        answer = self._ask(request, "ready", "undefined", "error")
        if missing := self._missing(exercise, name, answer):
            self._end()
            raise NotDefined(missing)
        if answer.is_library is True:
            self._end()
            return Verdict(False, librarys(exercise))
        try:
            if isinstance(exercise, HandIn):
                verdict = exercise.verdict(_Answer(self))
            else:
                verdict = judge_calls(exercise, _Answer(self))
        except Exception as error:  # a result that nobody has thought of
            raise NoAnswer(f"the check itself raised {type(error).__name__}") from error
        self._end()
        return verdict

    def _missing(self, exercise: Exercise, name: str, answer: Answer) -> str:
        """Say why there is nothing to judge, if so."""
        if answer.undefined is not UNSET:
            return f"{name} is not defined in any cell above its check"
        if answer.error is not UNSET:
            error = _error(answer.error)
            what = plain(f"{type(error).__name__}: {error}")
            return f"the cells that {name} needs raised {what}"
        kind = answer.is_class if exercise.kind == "class" else answer.is_function
        return "" if kind is True else f"{name} is not a {exercise.kind}"

    def _end(self) -> None:
        """Let the process be ready for another answer."""
        if FORKS:
            self._ask(None, "ended")

    def call(self, *arguments: Any) -> tuple[Any, Seen]:
        """Stand for the student's answer: the same result, exception and changed arguments.

        Returns
        -------
        tuple
            The result, and what was seen meanwhile.
        """
        values = list(arguments)
        answer = self._ask(values, "returned", "error")
        if answer.error is not UNSET:
            raise _error(answer.error)
        try:
            tensors = [tensor for _, tensor in tensors_in(values)]
            for tensor, after in zip(tensors, answer.after, strict=True):
                tensor.data = decode(after)
            for value, changed in zip(values, answer.changed, strict=True):
                if changed:
                    value.append(None)  # the list is no longer what it was
            seen = Seen() if answer.seen is UNSET else _seen(answer.seen)
            return decode(answer.returned), seen
        except (ValueError, TypeError, RuntimeError, AttributeError):
            raise NoAnswer(NONSENSE) from None

    def _ask(self, question: Any, *kinds: str) -> Answer:
        """Send a question; return the answer, which must be of one of the kinds."""
        with suppress(OSError):  # it has died, and may have said how
            send(self._process.stdin, pickle.dumps(question))
        try:
            frame = receive(self._process.stdout, LARGEST)
            answer = unpack(frame) if frame else None
        except (OSError, ValueError):
            answer = Answer()
        if answer and any(getattr(answer, kind) is not UNSET for kind in kinds):
            return answer
        raise NoAnswer(self._why(answer))

    def _why(self, answer: Answer | None) -> str:
        """Say why there is no answer that can be judged."""
        if self._late:
            return f"did not finish within {self._allowed:.3g} s"
        if answer is None:
            return "its process died"
        if (code := answer.ended) is UNSET:
            return NONSENSE
        if code >= 0:
            return f"its code ended Python, exit code {code}"
        known = {each.value: each.name for each in signal.Signals}
        return f"its process was ended by {known.get(-code, f'signal {-code}')}"


@dataclass(frozen=True)
class Limits:
    """What an answer may take, and all answers of a student.

    Attributes
    ----------
    seconds : float
        For one answer.
    megabytes : int
        For one answer (Linux).
    closed : bool
        Whether it is closed in by bubblewrap.
    student_seconds : float
        For all answers of a student; those that are not reached get no result.
    """

    seconds: float = 60
    megabytes: int = 2048
    closed: bool = field(default_factory=lambda: not why_no_bubblewrap())
    student_seconds: float = 600

    def worker(self) -> Worker:
        """Return a worker with these limits."""
        return Worker(self.seconds, self.megabytes, closed=self.closed)


def kill_tree(pid: int) -> None:
    """Kill a process and all that it has started."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in [*process.children(recursive=True), process]:
            with suppress(psutil.Error):
                each.kill()


def _kill(process: subprocess.Popen) -> None:
    kill_tree(process.pid)
    process.wait()


def _seen(said: Noticed) -> Seen:
    used = tuple(map(plain, said.used))
    return Seen(used, said.single, said.loops, said.copied, said.moved)


def _error(said: Raised) -> Exception:
    """Make an exception that looks like the one of the student's code."""
    base = NotImplementedError if said.empty else Exception
    error = type(plain(said.name), (base,), {})(said.text[:2000])
    error.student_line = said.line[:2000]
    return error

"""Judges in processes of their own: whatever a submission does to one, the run goes on.

All that parses what a student handed in happens there: reading zip files and notebooks, the
analysis of code, and the comparison of what an answer sends. A judge has limits of memory and
time; one that dies or hangs costs its student the points, and nobody else anything.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, TimeoutError, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import psutil
from pebble import ProcessExpired, ProcessPool

from n2n_lib.course.check.hand_in import Hidden
from n2n_lib.course.grading.grades import Grade, Mark
from n2n_lib.course.grading.handed_in.layouts import HandedIn
from n2n_lib.course.grading.handed_in.submissions import read_submission
from n2n_lib.course.grading.judging.journal import from_line, to_line
from n2n_lib.course.grading.judging.judge import Limits, kill_tree
from n2n_lib.course.grading.judging.leftovers import remove_leftovers, temporary_folder
from n2n_lib.course.grading.judging.marking import grade_submission
from n2n_lib.course.grading.judging.rights import hide_memory
from n2n_lib.course.grading.tasks import Assignment, measures, read_assignments
from n2n_lib.support import interrupts

MEMORY = 2**30
"""Bytes that a judge may take beyond what it has at its start (Linux)."""

MARGIN = 60
"""Seconds that a judge may take longer than the answers of its student."""

DIED = (ProcessExpired, BrokenProcessPool)

_assignments: list[Assignment]  # of a judge's process
_limits: Limits
_at_start: int


class Judges:
    """Processes that grade students; a context manager, which ends them however it is left.

    Parameters
    ----------
    source, lessons
        See `tasks.read_assignments`, which is called in every process: what is asked does not
        travel.
    limits : Limits
        For each answer and each student.
    jobs : int
        How many students are graded at a time.
    hidden : Hidden, optional
        See `tasks.read_assignments`.
    """

    def __init__(
        self,
        source: str | os.PathLike | None,
        lessons: Sequence[str],
        limits: Limits,
        jobs: int,
        hidden: Hidden | None = None,
    ) -> None:
        self._asked = source, tuple(lessons), limits, hidden
        self._seconds, self._jobs = limits.student_seconds + MARGIN, jobs
        self._tasks = [task for each in read_assignments(source, lessons) for task in each.tasks]

    def __enter__(self) -> Judges:
        self._others = multiprocessing.active_children()
        remove_leftovers()
        self._folder = temporary_folder()
        os.chmod(self._folder.name, 0o711)  # a worker of root's is another user, and passes through
        self._pool = ProcessPool(
            self._jobs,
            initializer=_begin,
            initargs=(*self._asked, self._folder.name),
            context=multiprocessing.get_context("spawn"),
        )
        return self

    def __exit__(self, *exception: object) -> None:
        """End all judges and their workers now, also those that do not listen to signals."""
        self._pool.stop()  # first, so that no other begins in place of those that are killed
        for process in multiprocessing.active_children():
            if process not in self._others:
                kill_tree(process.pid)
        self._pool.join()
        self._folder.cleanup()

    def grade(
        self, students: Sequence[HandedIn], known: Mapping[str, str] | None = None
    ) -> Iterator[tuple[HandedIn, Grade | None]]:
        """Yield grades as they are ready, None for a student whose digest is the known one.

        A student whose judge died is graded again by one that has not seen another student:
        the cause may have been the one before.

        Parameters
        ----------
        students : sequence of HandedIn
            See `layouts.find_class`.
        known : mapping of str to str
            Digests of what is graded already, by the students' names.
        """
        again = []
        for student, done in self._each(students, known or {}):
            if isinstance(done, DIED):
                again.append(student)
            else:
                yield student, self._failed(student, done)
        for student in again:
            source, lessons, limits, hidden = self._asked
            with Judges(source, lessons, limits, 1, hidden) as fresh:
                ((_, done),) = fresh._each([student], {})
            yield student, self._failed(student, done)

    def _each(
        self, students: Sequence[HandedIn], known: Mapping[str, str]
    ) -> Iterator[tuple[HandedIn, Grade | Exception | None]]:
        """Yield what becomes of each student: a grade, None if nothing is new, or a failure."""
        with interrupts.kept_from_children(), interrupts.put_off():  # the first ones start here
            futures: dict[Future, HandedIn] = {
                self._pool.schedule(
                    _grade, (student, known.get(student.name)), timeout=self._seconds
                ): student
                for student in students
            }
        for future in as_completed(futures):
            yield futures[future], _result(future)

    def _failed(self, student: HandedIn, done: Grade | Exception | None) -> Grade | None:
        """Make a grade without points of an exception."""
        if not isinstance(done, Exception):
            return done
        if isinstance(done, TimeoutError):
            why = f"its judge did not finish within {self._seconds:g} s"
        elif isinstance(done, DIED):
            why = "its judge died"
        else:
            why = f"its judge raised {type(done).__name__}"
        marks = {task.column: Mark(0, task.points, "no result", task.title) for task in self._tasks}
        return Grade(student.name, "", marks, [f"could not be graded: {why}"], student.ids)


def _result(future: Future) -> Grade | Exception | None:
    try:
        path = future.result()
        if path is None:
            return None
        line = path.read_text(encoding="ascii")
        path.unlink()
        return from_line(line)
    except Exception as error:
        return error


# ------------------------------------------------------------------------ in the judge's process


def _begin(
    source: str | os.PathLike | None,
    lessons: Sequence[str],
    limits: Limits,
    hidden: Hidden | None,
    folder: str,
) -> None:
    """Prepare a judge: what is asked, where workers may write, and its own limits."""
    global _assignments, _limits, _at_start
    _assignments, _limits = read_assignments(source, lessons, hidden), limits
    for each in measures(_assignments):
        each.draw()  # now, so that it counts as taken at the start
    tempfile.tempdir = folder  # removed by the parent, also if this process is killed
    if sys.platform == "linux":
        import resource

        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: die with the parent
        hide_memory()
        _at_start = _taken()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)  # left as it is, for the workers
        resource.setrlimit(resource.RLIMIT_AS, (_at_start + MEMORY, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _taken() -> int:
    return psutil.Process().memory_info().vms


def _grade(student: HandedIn, known: str | None) -> Path | None:
    """Grade a student into a file; None if what was handed in has the known digest.

    The file keeps what goes through the pipe so short that no judge can die halfway.
    """
    if sys.platform == "linux" and _taken() - _at_start > MEMORY // 4:
        os._exit(1)  # too much was left behind by others: a fresh judge takes this student
    submission = read_submission(student, _assignments)
    if submission.digest == known:
        return None
    with _limits.worker() as worker:
        worker.allow(_limits.student_seconds)
        done = grade_submission(submission, _assignments, worker)
    handle, path = tempfile.mkstemp()
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(to_line(done))
    return Path(path)

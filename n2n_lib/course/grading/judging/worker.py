"""The process that runs students' code: ``python -m n2n_lib.course.grading.judging.worker``.

It reads requests on its standard input and answers on its standard output, see `wire`. For every
exercise it forks, so that each begins fresh, but without loading PyTorch again; where there is no
safe fork it serves one exercise and ends. All that a student's code can reach is the way to
give a wrong answer: the verdict is found by `judge`, in another process.
"""

from __future__ import annotations

import codeop
import ctypes
import linecache
import math
import os
import pickle
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Any, BinaryIO

import matplotlib
import psutil
import torch

from n2n_lib.course.check import EXERCISES, HAND_INS  # all are loaded once, before the forks
from n2n_lib.course.check.exercise import Exercise, tensors_in
from n2n_lib.course.check.hand_in import HandIn
from n2n_lib.course.check.judge import is_the_librarys, not_written, our_version
from n2n_lib.course.check.outcome import watched
from n2n_lib.course.grading.judging.rights import close_in, give_up_rights, hide_memory
from n2n_lib.course.grading.judging.wire import (
    Noticed,
    Raised,
    encode,
    pack,
    raised,
    receive,
    send,
)
from n2n_lib.denoiser.images import IMAGE_SUFFIXES

FILES = 200
"""Files and pipes that an answer may have open: each pipe takes memory that is not its own."""

FORKS = sys.platform == "linux"  # on macOS a fork after PyTorch is loaded may hang

FORBIDDEN = frozenset(
    (
        *("os.system", "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn"),
        *("subprocess.Popen", "pty.spawn", "os.startfile", "os.startfile/2", "webbrowser.open"),
        *("os.kill", "os.killpg", "signal.pthread_kill", "os.remove", "os.rename", "os.rmdir"),
        *("os.mkdir", "os.truncate", "os.link", "os.symlink", "os.chmod", "os.chown", "os.utime"),
        *("os.chflags", "os.lockf", "os.setxattr", "os.removexattr", "shutil.rmtree"),
        *("shutil.copyfile", "shutil.move", "shutil.make_archive", "shutil.unpack_archive"),
        *("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"),
        *("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"),
        *("sqlite3.connect", "resource.setrlimit", "resource.prlimit", "syslog.openlog"),
        *("winreg.CreateKey", "winreg.SetValue", "winreg.DeleteKey", "winreg.DeleteValue"),
    )
)
"""Audit events of Python that end in an exception while a student's code runs."""

FORBIDDEN_OUTSIDE = frozenset(("ctypes.dlopen", "ctypes.dlsym", "ctypes.dlsym/handle"))
"""More of them, where no fence is around it; some packages need them when they are imported."""


def main() -> None:
    """Serve requests until the input ends."""
    requests, answers = _take_over_the_streams()
    torch.set_num_threads(1)
    _settle_matplotlib()
    give_up_rights()
    hide_memory()  # afterwards: it is undone by becoming another user
    _tie_to_parent(also_orphans=True)  # afterwards: another user has to be tied anew
    _say(answers, {"ready": True})
    while (request := receive(requests)) is not None:
        if not FORKS:
            _serve(request, requests, answers)
            return
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            _kill_children()
            _say(answers, {"ended": os.waitstatus_to_exitcode(status)})
        else:
            _tie_to_parent()
            _serve(request, requests, answers)
            os._exit(0)


def _take_over_the_streams() -> tuple[BinaryIO, BinaryIO]:
    """Keep both ends of the pipe apart; whatever else is printed or read goes nowhere."""
    streams = os.fdopen(os.dup(0), "rb", buffering=0), os.fdopen(os.dup(1), "wb", buffering=0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    return streams


def _settle_matplotlib() -> None:
    """Let Matplotlib do with folders it cannot write to; it refuses to be imported otherwise."""
    folder = os.environ["MPLCONFIGDIR"]
    matplotlib.get_cachedir = matplotlib.get_configdir = lambda: folder


def _tie_to_parent(also_orphans: bool = False) -> None:
    """Let this process die with its parent, and adopt what its children leave behind (Linux)."""
    if sys.platform == "linux":
        control = ctypes.CDLL(None).prctl
        control(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
        if also_orphans:
            control(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def _kill_children() -> None:
    """Kill whatever an answer has started and left behind."""
    while children := psutil.Process().children(recursive=True):
        for child in children:
            with suppress(psutil.Error):
                child.kill()
        with suppress(ChildProcessError):
            os.waitpid(-1, 0)


def _serve(request: bytes, requests: BinaryIO, answers: BinaryIO) -> None:
    """Define what is asked for, a function or class, then use it until no more cases come."""
    asked = pickle.loads(request)
    _limit(asked["megabytes"], asked["seconds"])
    close_in([*asked["readable"], os.getcwd()])
    sys.addaudithook(_refusal(asked["closed"], asked["pictures"]))
    pieces, name = asked["pieces"], asked["function"]
    namespace = _namespace()
    error = _run(pieces, namespace, asked["forgiving"])
    function = namespace.get(name)
    if error and (function is None or not asked["forgiving"]):
        _say(answers, {"error": _describe(error, pieces)})
        receive(requests)
        return
    if function is None:
        _say(answers, {"undefined": True})
        receive(requests)
        return
    exercise = (EXERCISES | HAND_INS).get(asked["exercise"])
    ours = isinstance(exercise, Exercise) and is_the_librarys(exercise, function)
    kinds = {"class": isinstance(function, type), "function": callable(function), "library": ours}
    _say(answers, {"ready": True} | kinds)
    if asked["use"]:
        function = partial(asked["use"], function)
    watch = _watched(exercise, asked["allowed"]) if exercise else _unwatched
    while (arguments := pickle.loads(receive(requests) or pickle.dumps(None))) is not None:
        _say(answers, _call(partial(watch, function), arguments, pieces))


def _namespace() -> dict[str, Any]:
    """Return the names that a notebook begins with; those of IPython do nothing here."""
    os.environ["MPLBACKEND"] = "Agg"
    tempfile.tempdir = os.getcwd()  # else it would be looked for by writing files
    torch.compile = _uncompiled
    mine = sys.modules["mine"] = ModuleType("mine", "What lies beside the student's notebooks.")
    vars(mine).update({name: our_version(exercise) for name, exercise in EXERCISES.items()})
    shell = _Shell()
    return {"__name__": "__main__", "get_ipython": lambda: shell, "display": shell.display}


class _Shell:
    """Stands for IPython: whatever it is asked to do, it does nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments, **named: None


def _uncompiled(model: Any = None, **options: Any) -> Any:
    """Stand for `torch.compile`, which needs a compiler: return what should be compiled."""
    return (lambda function: function) if model is None else model


def _run(pieces: list, namespace: dict[str, Any], forgiving: bool) -> BaseException | None:
    """Run pieces of code in their order; return the first exception.

    It ends the run. Where `forgiving` it ends its cell alone, as in a notebook that is run through.
    """
    compiler = codeop.Compile()  # it remembers the __future__ of earlier cells, as a notebook does
    first, failed = None, None
    for number, (cell, line, source) in enumerate(pieces):
        if cell == failed:
            continue
        try:
            lines = "\n" * (line - 1) + source + "\n"
            linecache.cache[_file(number)] = len(lines), None, lines.splitlines(True), ""
            exec(compiler(lines, _file(number), "exec"), namespace)
        except BaseException as error:  # SystemExit too
            if not forgiving:
                return error
            first, failed = first or error, cell
    return first


def _limit(megabytes: int, seconds: float) -> None:
    """Allow so much memory beyond what is taken, no further processes, and no byte in any file."""
    if os.name == "nt":
        return
    import resource

    cpu = 2 * math.ceil(seconds) + 5  # the judge ends it before; this is for a judge that died
    limits = {resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0, resource.RLIMIT_CPU: cpu}
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        limits |= {resource.RLIMIT_AS: taken + megabytes * 2**20, resource.RLIMIT_NPROC: 0}
        limits |= {resource.RLIMIT_MSGQUEUE: 0, resource.RLIMIT_NOFILE: FILES}
    for limit, most in limits.items():
        resource.setrlimit(limit, (most, most))


def _refusal(closed: bool, pictures: bool) -> Callable[[str, tuple], None]:
    """Return a hook that refuses what no answer needs: network, processes, changes of files.

    Without `pictures` it refuses to open any, too: a network that is measured could find in them
    what it should make.

    It keeps all that it uses to itself, so that an answer which changes ``os.O_CREAT`` or a builtin
    changes nothing about it.
    """
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    forbidden = FORBIDDEN if closed else FORBIDDEN | FORBIDDEN_OUTSIDE
    nowhere, error, suffixes = os.devnull, PermissionError, IMAGE_SUFFIXES

    def forbid(event: str, arguments: tuple) -> None:
        if event in forbidden or (
            event == "open" and arguments[0] != nowhere and arguments[2] & writing
        ):
            raise error(f"not allowed while graded: {event}")
        if event == "open" and not pictures and str(arguments[0]).lower().endswith(suffixes):
            raise error("not allowed while graded: to open a picture")
        if event == "object.__setattr__" and arguments[0] is forbid:
            raise error("not allowed while graded")

    return forbid


def _watched(exercise: Exercise | HandIn, allowed: list[str]) -> Callable[..., tuple[Any, Noticed]]:
    """Return what calls an answer and notices how it comes about, as in class."""
    names = list(exercise.cases[0].arguments)

    def watch(function: Any, *arguments: Any) -> tuple[Any, Noticed]:
        given = dict(zip(names, arguments, strict=True))
        returned, seen = watched(exercise, allowed, function, given)
        used = [name[:200] for name in seen.used[:100]]
        return returned, Noticed(used, seen.single, seen.loops, seen.copied, seen.moved)

    return watch


def _unwatched(function: Any, *arguments: Any) -> tuple[Any, Noticed]:
    return function(*arguments), Noticed([], False, False, False, False)


def _call(function: Any, arguments: list, pieces: list) -> dict:
    """Call the student's function, or what uses it; report what it returned, raised and changed."""
    tensors = [tensor for _, tensor in tensors_in(arguments)]
    lists = [list(value) if isinstance(value, list) else [] for value in arguments]
    try:
        with torch.no_grad():
            result, seen = function(*arguments)
            returned = encode(result)
            after = [encode(tensor) for tensor in tensors]
    except BaseException as error:
        return {"error": _describe(error, pieces)}
    pairs = zip(lists, arguments, strict=True)
    changed = [
        isinstance(now, list) and list(map(id, now)) != list(map(id, before))
        for before, now in pairs
    ]
    return {"returned": returned, "after": after, "changed": changed, "seen": seen}


def _describe(error: BaseException, pieces: list) -> Raised:
    """Describe an exception, with the last line of the student's code that it went through."""
    line, trace = "", error.__traceback__
    while trace is not None:
        file, number = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        for piece, (_, first, source) in enumerate(pieces):
            if file == _file(piece):
                line = "".join(source.splitlines()[number - first :][:1]).strip()
        trace = trace.tb_next
    return raised(error, line, empty=not_written(error))


def _file(piece: int) -> str:
    return f"<piece {piece}>"


def _say(answers: BinaryIO, content: dict) -> None:
    send(answers, pack(content))


if __name__ == "__main__":
    main()

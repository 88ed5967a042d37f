"""Close the process in that runs students' code, and find out by trying whether that holds.

On Linux bubblewrap (``bwrap``) builds a system of its own for it: the programs of the computer, the
interpreter and this library, all read-only, and nothing else. No home, no temporary folder, no
socket, no pipe of the host has a name there, so none can be opened; there is no network and no
other process. What runs there has no rights, and belongs to a user who owns nothing, also when
root grades. `try_to_break_out` lets a process inside try the ways out before anything is graded.

Without bubblewrap the limits of memory and time hold, and Python refuses what no answer needs. That
stops an accident. Somebody who knows Python well gets past it, with the rights of whoever grades.
"""

from __future__ import annotations

import json
import os
import shutil
import site
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import matplotlib

LIBRARY = Path(__file__).resolve().parents[2]
"""The folder of the package ``n2n_lib``."""

HOME = "/tmp"
"""The folder that an answer is in, behind the fence; nothing can be written there."""

NOBODY = 65534
"""The user and group that answers run as, where the process that grades can choose."""

SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
)
"""Folders of programs and their libraries: files of packages, which anybody may read."""

SETTINGS = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts", "/etc/localtime")
"""What programs need of /etc: where libraries and fonts are, and the time zone."""

KEPT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT")
"""What a worker sees of the environment: nothing that may hold a password."""

SECONDS = 30
"""That the attempts to break out may take."""


class FenceError(ValueError):
    """Answers cannot be closed in as was asked for."""


@dataclass(frozen=True)
class Fence:
    """What keeps answers in, and what is known of it.

    Attributes
    ----------
    closed : bool
        Whether bubblewrap closes them in.
    tried : int
        Number of ways out that were tried.
    open : tuple of str
        Those that were found.
    why : str
        Why there is none, if there is none.
    """

    closed: bool
    tried: int = 0
    open: tuple[str, ...] = ()
    why: str = ""

    def __str__(self) -> str:
        """Say in a line what holds."""
        if self.open:
            return f"Answers are NOT closed in: they can {', '.join(self.open)}."
        if self.closed:
            return (
                "Answers are closed in by bubblewrap: no network, no rights, none of your files. "
                f"{self.tried} ways out were tried, none is open."
            )
        return (
            f"Answers are NOT closed in ({self.why}): one that means harm can read and change your "
            "files. Grade under an account that has nothing to lose."
        )


def raise_fence(wanted: str = "auto") -> Fence:
    """Find out what closes answers in here.

    Parameters
    ----------
    wanted : str
        ``auto``: bubblewrap if it works, else nothing, but not as root; ``required``: bubblewrap,
        and no way out of those that are tried; ``none``: nothing.

    Raises
    ------
    FenceError
        If there is less than what is wanted, or a way out.
    """
    if wanted == "none":
        return Fence(False, why="as asked for")
    if why := why_no_bubblewrap():
        fence = Fence(False, why=why)
    else:
        tried, found = try_to_break_out()
        fence = Fence(True, tried, found)
    if fence.open:
        raise FenceError(f"expected a fence around answers that holds, but {fence}")
    if wanted == "required" and not fence.closed:
        raise FenceError(f"expected a fence around answers, got none: {why}")
    if not fence.closed and _is_root():
        raise FenceError(
            f"expected a fence around answers when root grades, got none: {why}; grade as another "
            "user, or allow it by --fence none"
        )
    return fence


@lru_cache(maxsize=1)
def why_no_bubblewrap() -> str:
    """Return why bubblewrap cannot close a process in here; nothing if it can."""
    if sys.platform != "linux":
        return "bubblewrap is there on Linux only"
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed: apt install bubblewrap"
    done = subprocess.run(
        command([sys.executable, "-I", "-c", "print(7)"], closed=True),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(HOME),
    )
    if done.stdout.strip() == b"7":
        return ""
    said = (done.stderr.decode(errors="replace").strip().splitlines() or ["it says nothing"])[-1]
    if "ermission" in said or "not permitted" in said:
        said += "; the kernel or AppArmor forbids user namespaces"
    return f"bubblewrap does not work here: {said[:200]}"


# ------------------------------------------------------------------------------ the command


def command(words: Sequence[str], *, closed: bool) -> list[str]:
    """Return the command that runs `words`, an interpreter and its arguments.

    Parameters
    ----------
    words : sequence of str
        The first is `sys.executable`.
    closed : bool
        Whether bubblewrap closes it in.
    """
    if not closed:
        return list(words)
    return [*_bubblewrap(), "--chdir", HOME, "--", *words]


def _bubblewrap() -> Iterator[str]:
    """Yield the words of bubblewrap: what is seen in there, and what may be done."""
    yield from ("bwrap", "--die-with-parent", "--new-session", "--hostname", "grading")
    yield from ("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts")
    yield "--unshare-cgroup-try"
    if _is_root():
        # A root in a namespace of its own would still be root for files and limits outside. So it
        # stays what it is until the interpreter is loaded, with the one right to become nobody.
        yield from ("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")
    else:
        yield from ("--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY))
        yield from ("--cap-drop", "ALL", "--disable-userns")
    for place in SYSTEM:
        if os.path.islink(place):
            yield from ("--symlink", os.readlink(place), place)
        elif os.path.isdir(place):
            yield from ("--ro-bind", place, place)
    for place in SETTINGS:
        yield from ("--ro-bind-try", os.path.realpath(place), place)
    for source, place in visible():
        for folder in reversed(Path(place).parents[:-1]):
            yield from ("--dir", str(folder))  # which nobody else could look into otherwise
        yield from ("--ro-bind", source, place)
    yield from _links_to_interpreter()
    yield from ("--proc", "/proc", "--dev", "/dev", "--dir", HOME)
    # No file may be made either, since millions of empty ones would fill the memory.
    yield from ("--remount-ro", "/dev", "--remount-ro", "/")


def visible() -> list[tuple[str, str]]:
    """Return what an answer sees beside the system: real paths, and where they are seen.

    The interpreter with its packages, this library without what lies around it, the folders of
    ``PYTHONPATH``, and Matplotlib's list of fonts.
    """
    folders = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix]
    folders += [path for path in sys.path if path and _is_packages(path)]
    folders += _paths("PYTHONPATH") + _paths("LD_LIBRARY_PATH")
    around = {LIBRARY.parent, *LIBRARY.parent.parents, Path.home(), Path.home().resolve()}
    wanted = [Path(f) for f in folders if f and Path(f).resolve() not in around]
    wanted += [LIBRARY, Path(matplotlib.get_cachedir())]
    seen = {str(place.resolve()): str(place.resolve()) for place in wanted if place.is_dir()}
    pairs = list(seen.items())
    pairs += [(str(p.resolve()), str(p)) for p in wanted if p.is_dir() and str(p) not in seen]
    inside = [Path(place) for place in SYSTEM]
    return sorted(
        {pair for pair in pairs if not any(top in Path(pair[1]).parents for top in inside)},
        key=lambda pair: pair[1],  # a folder before what lies in it
    )


def _is_packages(path: str) -> bool:
    """Whether a folder of `sys.path` holds installed packages."""
    own = [*site.getsitepackages(), site.getusersitepackages()]
    return any(Path(path) == Path(each) for each in own)


def _paths(variable: str) -> list[str]:
    return [path for path in os.environ.get(variable, "").split(os.pathsep) if path]


def _links_to_interpreter() -> Iterator[str]:
    """Yield the links between `sys.executable` and the file that it is, where they are not seen."""
    path = Path(sys.executable)
    shown = [Path(place) for _, place in visible()] + [Path(place) for place in SYSTEM]
    for _ in range(20):  # so many links in a chain are none of a system that works
        if not path.is_symlink():
            return
        target = os.readlink(path)
        if not any(top in path.parents for top in shown):
            yield from ("--symlink", target, str(path))
        path = Path(os.path.normpath(path.parent / target))


def environment(folder: str) -> dict[str, str]:
    """Return the environment of a worker: a home of its own, one thread, this library."""
    single = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    paths = [str(LIBRARY.parent), *_paths("PYTHONPATH")]
    return {
        **{name: os.environ[name] for name in KEPT if name in os.environ},
        **dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"), folder),
        **dict.fromkeys(("USER", "LOGNAME", "USERNAME"), "student"),
        **dict.fromkeys(single, "1"),
        "PATH": os.environ.get("PATH", os.defpath),  # Windows finds libraries by it
        "MPLCONFIGDIR": matplotlib.get_cachedir(),  # else every worker would look for fonts
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(paths),
    }


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


# ------------------------------------------------------------------------------ trying it


def try_to_break_out() -> tuple[int, tuple[str, ...]]:
    """Let a process behind the fence try to get out.

    Returns
    -------
    (int, tuple of str)
        How many ways were tried, and those that were found open, as ``read a file``.

    Raises
    ------
    FenceError
        If the process did not answer.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="n2n-fence-")))
        folder.chmod(0o755)
        file, pipe, path = folder / "file", folder / "pipe", folder / "socket"
        file.write_text("outside")
        file.chmod(0o666)
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        stack.callback(os.close, reader)
        abstract = f"n2n-fence-{os.getpid()}"
        places = ((socket.AF_UNIX, str(path)), (socket.AF_UNIX, f"\0{abstract}"))
        for family, place in (*places, (socket.AF_INET, ("127.0.0.1", 0))):
            listener = stack.enter_context(closing(socket.socket(family)))
            listener.bind(place)
            listener.listen()
            port = listener.getsockname()[1] if family == socket.AF_INET else 0
        facts = {
            "file": str(file),
            "pipe": str(pipe),
            "socket": str(path),
            "abstract": abstract,
            "port": port,
            "home": str(Path.home()),
            "parent": os.getpid(),
        }
        words = [sys.executable, "-m", "n2n_lib.course.grading.probe", json.dumps(facts)]
        with suppress(subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
            done = subprocess.run(
                command(words, closed=True),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment(HOME),
                timeout=SECONDS,
            )
            said = json.loads(done.stdout)
            found = {str(way) for way in said["open"]}
            if file.read_text() != "outside":
                found.add("change a file")
            return int(said["tried"]), tuple(sorted(found))
    raise FenceError("expected the process that tries the fence to answer, got nothing from it")

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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import matplotlib

from n2n_lib.course.grading.text import plain

LIBRARY = Path(__file__).resolve().parents[3]
"""The folder of the package ``n2n_lib``."""

HOME = "/tmp"
"""The folder that an answer is in, behind the fence; nothing can be written there."""

NOBODY = 65534
"""The user and group that answers run as, where the process that grades can choose."""

PROGRAMS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "share")

SYSTEM = (
    *(f"/usr/{part}" for part in PROGRAMS),
    *(f"/usr/local/{part}" for part in PROGRAMS),
    *(f"/{part}" for part in PROGRAMS[:-1]),
    "/nix/store",
    "/gnu/store",
)
"""Folders of programs and their libraries: files of packages, which anybody may read.

Not all of /usr: images of Docker have people's work in /usr/src.
"""

SETTINGS = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts", "/etc/localtime")
"""What programs need of /etc: where libraries and fonts are, and the time zone."""

PARTS = ("bin", "lib", "lib64", "share", "pyvenv.cfg")
"""What lies under the prefix of an interpreter, or of an environment, that it needs."""

KEPT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT")
"""What a worker sees of the environment: nothing that may hold a password."""

SECONDS = 30
"""That the attempts to break out may take."""


CURE = (
    "the kernel forbids user namespaces: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
)
"""What to say where only root may make a namespace, as on Ubuntu since 23.10."""


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
        if self.closed and not self.open:
            return (
                "Answers are closed in by bubblewrap: no network, no rights, none of your files. "
                f"{self.tried} ways out were tried, none is open."
            )
        can = f": they can {', '.join(self.open)}" if self.open else ""
        if self.closed:
            return f"Answers are NOT closed in{can}."
        if not can and self.tried:
            return (
                f"Answers are closed in by filters of the kernel alone ({self.why}): they can open "
                "none of your files, run no program and use no network, but learn which files and "
                f"processes there are. {self.tried} ways out were tried, none is open."
            )
        return (
            f"Answers are NOT closed in ({self.why}){can}. One that means harm can read and change "
            "your files. Grade under an account that has nothing to lose."
        )


def raise_fence(wanted: str = "auto") -> Fence:
    """Find out what closes answers in here.

    Parameters
    ----------
    wanted : str
        ``auto``: bubblewrap if it works, else filters of the kernel, but not as root; ``required``:
        bubblewrap; ``none``: no bubblewrap. With bubblewrap, no way out may be found.

    Raises
    ------
    FenceError
        If there is less than what is wanted, or a way out.
    """
    why = "as asked for" if wanted == "none" else why_no_bubblewrap()
    if why and wanted == "required":
        raise FenceError(f"expected a fence around answers, got none: {why}")
    if why and wanted == "auto" and _is_root():
        raise FenceError(
            f"expected a fence around answers when root grades, got none: {why}; grade as another "
            "user, or allow it by --fence none"
        )
    if sys.platform != "linux":
        return Fence(False, why=why)
    fence = Fence(not why, *try_to_break_out(closed=not why), why)
    if fence.closed and fence.open:
        raise FenceError(f"expected a fence around answers that holds, but {fence}")
    return fence


@lru_cache(maxsize=1)
def why_no_bubblewrap() -> str:
    """Return why bubblewrap cannot close a process in here; nothing if it can."""
    if sys.platform != "linux":
        return "bubblewrap is there on Linux only"
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed: apt install bubblewrap"
    try:
        done = subprocess.run(
            command([sys.executable, "-I", "-c", "print(7)"], closed=True),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment(HOME),
            timeout=SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap does not work here: {type(error).__name__}"
    if done.stdout.strip() == b"7":
        return ""
    said = (done.stderr.decode(errors="replace").strip().splitlines() or ["it says nothing"])[-1]
    said = plain(said)
    if "ermission" in said or "not permitted" in said:
        said += f"; {CURE}"
    return f"bubblewrap does not work here: {said}"


@lru_cache(maxsize=1)
def _options() -> str:
    """Return what bubblewrap says about its own options."""
    with suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(
            ["bwrap", "--help"], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS
        ).stdout.decode(errors="replace")
    return ""


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
        yield from ("--cap-drop", "ALL")
        if "--disable-userns" in _options():  # since bubblewrap 0.8
            yield "--disable-userns"
    yield from ("--dir", "/usr", "--dir", "/usr/local")  # as below: for nobody
    for place in SYSTEM:
        if os.path.islink(place):
            yield from ("--symlink", os.readlink(place), place)
        elif os.path.isdir(place):
            yield from ("--ro-bind", place, place)
    yield from ("--dir", "/etc")  # which nobody else could look into otherwise
    for place in SETTINGS:
        yield from ("--ro-bind-try", os.path.realpath(place), place)
    for source, place in visible():
        for folder in reversed(Path(place).parents[:-1]):
            yield from ("--dir", str(folder))
        yield from ("--ro-bind-try", source, place)  # it may have gone since it was found
    shown = [*SYSTEM, *(place for _, place in visible())]
    for link in _links_to_interpreter():
        if link.is_symlink() and not _shown(link, shown):
            yield from ("--symlink", os.readlink(link), str(link))
    yield from ("--proc", "/proc", "--dev", "/dev", "--dir", HOME)
    # No file may be made either, since millions of empty ones would fill the memory.
    yield from ("--remount-ro", "/dev", "--remount-ro", "/")


@lru_cache(maxsize=1)
def visible() -> tuple[tuple[str, str], ...]:
    """Return what an answer sees beside the system: real paths, and where they are seen.

    Of the interpreter, and of the environment it is in, the programs, packages and data; folders of
    installed packages; this library without what lies around it; Matplotlib's list of fonts. A
    folder of ``PYTHONPATH`` counts only if packages were installed into it: others are somebody's
    work.
    """
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    prefixes |= {str(link.parent.parent) for link in _links_to_interpreter() if _is_prefix(link)}
    wanted = [Path(prefix, part) for prefix in prefixes for part in PARTS]
    wanted += [*map(Path, _packages()), LIBRARY, *fonts()]
    wanted += [path for path in map(Path, _paths("LD_LIBRARY_PATH")) if _is_libraries(path)]
    wanted += Path("/usr/local").glob("cuda*/lib*")  # which a PyTorch of the system is linked to
    seen = [place for place in wanted if place.exists() and not _shown(place, SYSTEM)]
    real = {(str(place.resolve()), str(place.resolve())) for place in seen}
    named = {(str(place.resolve()), os.path.abspath(place)) for place in seen}
    return tuple(sorted(real | named, key=lambda pair: pair[1]))  # a folder before what is in it


def readable() -> list[str]:
    """Return the places that an answer may read, if it sees more: see `paths.read_only`."""
    return [*SYSTEM, *SETTINGS, *(place for _, place in visible())]


def fonts() -> list[Path]:
    """Return Matplotlib's lists of fonts, which every worker would make anew otherwise."""
    return sorted(Path(matplotlib.get_cachedir()).glob("fontlist-*.json"))


def _packages() -> list[str]:
    """Return the folders of installed packages that `sys.path` names."""
    known = [*site.getsitepackages(), site.getusersitepackages()]
    known += [path for path in _paths("PYTHONPATH") if any(Path(path).glob("*.dist-info"))]
    places = set(map(os.path.abspath, known))
    return [path for path in map(os.path.abspath, filter(None, sys.path)) if path in places]


def _is_libraries(folder: Path) -> bool:
    """Whether a folder of ``LD_LIBRARY_PATH`` is one of libraries, as /opt/cuda/lib64."""
    named = any(name.startswith("lib") for name in (folder.name, folder.parent.name))
    return named and any(folder.glob("*.so*"))


def _is_prefix(interpreter: Path) -> bool:
    """Whether an interpreter lies in the ``bin`` of an installation of Python."""
    library = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return any((interpreter.parent.parent / lib / library).is_dir() for lib in ("lib", "lib64"))


def _shown(place: Path, folders: Iterable[str]) -> bool:
    """Whether a place lies in one of some folders, or is one."""
    return any(Path(folder) in (place, *place.parents) for folder in folders)


def _paths(variable: str) -> list[str]:
    return [path for path in os.environ.get(variable, "").split(os.pathsep) if path]


def _links_to_interpreter() -> list[Path]:
    """Return the links from `sys.executable` to the file that it is, and the file."""
    path, chain = Path(sys.executable), []
    for _ in range(20):  # so many links in a chain are none of a system that works
        chain.append(path)
        if not path.is_symlink():
            break
        path = Path(os.path.normpath(path.parent / os.readlink(path)))
    return chain


def environment(folder: str) -> dict[str, str]:
    """Return the environment of a worker: a home of its own, one thread, this library."""
    single = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    paths = [str(LIBRARY.parent), *_packages()]  # those of a user's own are not found otherwise
    return {
        **{name: os.environ[name] for name in KEPT if name in os.environ},
        **dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"), folder),
        **dict.fromkeys(("USER", "LOGNAME", "USERNAME"), "student"),
        **dict.fromkeys(single, "1"),
        "PATH": os.environ.get("PATH", os.defpath),  # Windows finds libraries by it
        "MPLCONFIGDIR": matplotlib.get_cachedir(),  # else every worker would look for fonts
        "MATPLOTLIBRC": matplotlib.get_data_path(),  # nobody's own settings
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(paths),
    }


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


# ------------------------------------------------------------------------------ trying it


def try_to_break_out(*, closed: bool) -> tuple[int, tuple[str, ...]]:
    """Let a process that is closed in as answers are try to get out.

    Parameters
    ----------
    closed : bool
        Whether bubblewrap closes it in.

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
            "closed": closed,
            "readable": readable(),
        }
        words = [sys.executable, "-m", "n2n_lib.course.grading.judging.probe", json.dumps(facts)]
        with suppress(subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
            done = subprocess.run(
                command(words, closed=closed),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=None if closed else folder,
                env=environment(HOME if closed else str(folder)),
                timeout=SECONDS,
            )
            said = json.loads(done.stdout)
            found = {str(way) for way in said["open"]}
            if file.read_text() != "outside":
                found.add("change a file")
            return int(said["tried"]), tuple(sorted(found))
    raise FenceError("expected the process that tries the fence to answer, got nothing from it")

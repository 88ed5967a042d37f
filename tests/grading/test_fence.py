"""What closes answers in, whether it holds, and what is said about it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from handing_in import NOTEBOOKS, N

from n2n_lib.course.grading.grades import Piece
from n2n_lib.course.grading.judging import fence, leftovers
from n2n_lib.course.grading.judging.calls import CALLS, MACHINES
from n2n_lib.course.grading.judging.fence import Fence, FenceError, raise_fence, why_no_bubblewrap
from n2n_lib.course.grading.judging.judge import Worker
from n2n_lib.course.grading.tasks import read_assignments
from tools.attacks import together
from tools.hostile import HONEST

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="bubblewrap is there on Linux only")
needs_bubblewrap = pytest.mark.skipif(bool(why_no_bubblewrap()), reason=why_no_bubblewrap())

QUICK = [
    *("read", "read-libc", "read-mapped", "read-openat2", "read-root-of-parent", "list-home"),
    *("write-libc", "write-openat2", "mknod", "torch-save", "torch-from-file", "unlink-libc"),
    *("32-bit-call", "x32-call", "environment", "unix-socket-libc", "abstract-socket-libc"),
    *("tcp-libc", "fifo-libc", "execute-libc", "trace-parent", "patch-the-parent", "mount"),
    *("user-namespace", "keys", "io-uring", "host-of-the-machine", "memory-that-stays"),
    *("forged-right", "changed-check"),
]
"""Attacks that end by themselves."""


@pytest.fixture(autouse=True)
def forget():
    """Nothing that was found out about one computer counts for the next."""
    caches = why_no_bubblewrap, fence._options, fence.visible
    for each in caches:
        each.cache_clear()
    yield
    for each in caches:
        each.cache_clear()


@pytest.fixture
def bwrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a program in the place of bubblewrap."""

    def put(script: str) -> None:
        folder = tmp_path / "programs"
        folder.mkdir()
        (folder / "bwrap").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "bwrap").chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    return put


def as_root(monkeypatch: pytest.MonkeyPatch, root: bool) -> None:
    monkeypatch.setattr(fence, "_is_root", lambda: root)


# What is said where bubblewrap is missing or does not work


FORBIDDEN = 'echo "bwrap: setting up uid map: Permission denied" >&2; exit 1'


def test_a_kernel_that_forbids_namespaces_is_told_with_the_cure(bwrap):
    bwrap(FORBIDDEN)
    why = why_no_bubblewrap()
    assert "setting up uid map: Permission denied; " in why
    assert "sysctl kernel.apparmor_restrict_unprivileged_userns=0" in why
    assert "\n" not in why


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 0", "it says nothing"),
        ("exec sleep 60", "TimeoutExpired"),
        ('printf "a\\033[31mb" >&2; exit 1', "a?[31mb"),
    ],
)
def test_a_bubblewrap_that_does_not_run_the_program(bwrap, monkeypatch, script: str, said: str):
    monkeypatch.setattr(fence, "SECONDS", 0.5)
    bwrap(script)
    assert why_no_bubblewrap() == f"bubblewrap does not work here: {said}"


def test_no_bubblewrap(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert why_no_bubblewrap() == "bubblewrap is not installed: apt install bubblewrap"


@pytest.mark.parametrize("root", [False, True])
@pytest.mark.parametrize("wanted", ["auto", "required", "none"])
def test_what_is_wanted_and_not_there(bwrap, monkeypatch, wanted: str, root: bool):
    """Root must say so to grade without; everybody gets what was asked for, or a refusal."""
    bwrap(FORBIDDEN)
    as_root(monkeypatch, root)
    monkeypatch.setattr(fence, "try_to_break_out", lambda *, closed: (3, ()))
    if wanted == "required" or (wanted == "auto" and root):
        with pytest.raises(FenceError, match="Permission denied.*sysctl"):
            raise_fence(wanted)
    else:
        there = raise_fence(wanted)
        assert not there.closed
        assert str(there).startswith("Answers are closed in by filters of the kernel alone (")


@pytest.mark.parametrize("wanted", ["auto", "required"])
def test_a_bubblewrap_that_closes_nothing_in_is_found_out(bwrap, monkeypatch, wanted: str):
    """It runs the program as it is; processes are seen, though the kernel still refuses much."""
    bwrap('while [ "$1" != "--" ]; do shift; done; shift; exec "$@"')
    assert why_no_bubblewrap() == ""
    with pytest.raises(FenceError, match="NOT closed in: they can .*see other processes"):
        raise_fence(wanted)


def test_a_probe_that_does_not_answer(bwrap):
    bwrap(
        'case "$*" in *probe*) exit 0;; esac\nwhile [ "$1" != "--" ]; do shift; done; shift; "$@"'
    )
    with pytest.raises(FenceError, match="tries the fence to answer"):
        raise_fence()


def test_what_is_open_is_said():
    assert (
        str(Fence(True, 9, ("read a file",))) == "Answers are NOT closed in: they can read a file."
    )
    said = str(Fence(False, 9, ("read a file", "mount"), "as asked for"))
    assert said.startswith("Answers are NOT closed in (as asked for): they can read a file, mount.")
    assert "NOT closed in (on Windows). One that" in str(Fence(False, why="on Windows"))


def test_an_option_that_an_old_bubblewrap_lacks_is_left_out(bwrap, monkeypatch):
    as_root(monkeypatch, False)
    bwrap("echo usage: --unshare-user")
    assert "--disable-userns" not in fence.command(["python"], closed=True)
    fence._options.cache_clear()
    monkeypatch.setattr(fence, "_options", lambda: "--disable-userns")
    assert "--disable-userns" in fence.command(["python"], closed=True)


# What is seen


def seen() -> list[Path]:
    fence.visible.cache_clear()
    return [Path(place) for _, place in fence.visible()]


def covers(place: Path) -> bool:
    return any(each in (place, *place.parents) for each in seen())


def test_a_folder_of_work_is_not_seen_and_one_of_packages_is(monkeypatch, tmp_path: Path):
    work, packages = tmp_path / "my work", tmp_path / "pack äges"
    work.mkdir()
    (packages / "torch-2.dist-info").mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", f"{work}:{packages}")
    monkeypatch.setattr(sys, "path", [*sys.path, str(work), str(packages)])
    assert covers(packages) and not covers(work)
    assert str(work) not in fence.environment("/tmp")["PYTHONPATH"]
    assert str(packages) in fence.environment("/tmp")["PYTHONPATH"]


def test_of_an_environment_in_a_home_only_its_parts_are_seen(monkeypatch, tmp_path: Path):
    for part in ("bin", "lib", "submissions"):
        (tmp_path / part).mkdir()
    (tmp_path / "pyvenv.cfg").touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert covers(tmp_path / "lib") and covers(tmp_path / "pyvenv.cfg")
    assert not covers(tmp_path / "submissions") and not covers(tmp_path)


def test_libraries_are_seen_and_a_folder_with_one_is_not(monkeypatch, tmp_path: Path):
    for name in ("cuda/lib64", "work"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "some.so.1").touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{tmp_path / 'cuda/lib64'}:{tmp_path / 'work'}")
    assert covers(tmp_path / "cuda/lib64") and not covers(tmp_path / "work")


@pytest.mark.parametrize("place", ["/usr/src/app/class", "/usr/local/src/class", "/usr/class"])
def test_work_beside_the_programs_of_the_system_is_not_seen(place: str):
    """Images of Docker have it in /usr/src."""
    allowed = [Path(each) for each in fence.readable()]
    assert not [each for each in allowed if each in (Path(place), *Path(place).parents)]
    assert Path("/usr/lib") in allowed


def test_settings_of_matplotlib_are_not_seen(monkeypatch, tmp_path: Path):
    (tmp_path / "fontlist-v1.json").touch()
    (tmp_path / "secret").touch()
    monkeypatch.setattr(fence.matplotlib, "get_cachedir", lambda: str(tmp_path))
    assert covers(tmp_path / "fontlist-v1.json") and not covers(tmp_path / "secret")


# Whether it holds


def test_the_kernel_holds_without_bubblewrap():
    """Where it is new enough; what it cannot keep is told, see `Fence`."""
    tried, found = fence.try_to_break_out(closed=False)
    if os.uname().machine in MACHINES:
        assert not {"use the network", "start a process", "use keys", "send signals"} & set(found)
        assert not {"use memory of others", "lock a file", "change flags of a file"} & set(found)
        assert "let the kernel send signals" not in found
    assert tried == 26


@needs_bubblewrap
def test_bubblewrap_holds():
    assert fence.try_to_break_out(closed=True) == (26, ())
    assert raise_fence("required").closed


@needs_bubblewrap
@pytest.mark.parametrize("folder", ["packages", "libraries", "fonts"])
def test_what_has_gone_since_it_was_found_does_not_stop_a_fence(monkeypatch, tmp_path, folder: str):
    """A long run outlives a temporary folder, or a list of fonts of an older Matplotlib."""
    place = tmp_path / "lib" / folder
    (place / "some.dist-info").mkdir(parents=True)
    (place / "some.so").touch()
    (place / "fontlist-v1.json").touch()
    if folder == "packages":
        monkeypatch.setenv("PYTHONPATH", str(place))
        monkeypatch.setattr(sys, "path", [*sys.path, str(place)])
    elif folder == "libraries":
        monkeypatch.setenv("LD_LIBRARY_PATH", str(place))
    else:
        monkeypatch.setattr(fence.matplotlib, "get_cachedir", lambda: str(place))
    assert any(str(place) in path for path in fence.readable())
    shutil.rmtree(place)
    words = fence.command([sys.executable, "-I", "-c", "print(7)"], closed=True)
    done = subprocess.run(words, env=fence.environment(fence.HOME), capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("7\n", "")


def test_calls_have_the_numbers_of_this_machine():
    """As its C library knows them, by the names in its header."""
    column = MACHINES.get(os.uname().machine)
    if column is None:
        pytest.skip("a machine without a filter")
    source = "#include <sys/syscall.h>\n" + "\n".join(f"{name} __NR_{name}" for name in CALLS)
    try:
        done = subprocess.run(
            ["cc", "-E", "-P", "-"], input=source, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a C compiler")
    lines = [line.split() for line in done.stdout.splitlines()]
    known = {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdigit()}
    known = {name: number for name, number in known.items() if name in CALLS}
    assert len(known) > 60
    assert known == {name: CALLS[name][column[0]] for name in known}


OBJECTS_OF_OTHERS = """
import ctypes, json, os, struct
from n2n_lib.course.grading.judging.calls import refuse_calls

libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
room = ctypes.create_string_buffer(512)
made = libc.shmget(0, 4096, 0o1600), libc.msgget(0, 0o1600), libc.semget(0, 1, 0o1600)
name = f"n2n-test-{os.getpid()}".encode()
posix = libc.mq_open("/".encode() + name, 0o102, 0o600, None)
tries = {
    "attach": lambda: libc.shmat(made[0], None, 0) != ctypes.c_void_p(-1).value,
    "send": lambda: libc.msgsnd(made[1], struct.pack("l8s", 1, b"x"), 8, 0o4000) >= 0,
    "receive": lambda: libc.msgrcv(made[1], room, 8, 0, 0o4000) >= 0,
    "count": lambda: libc.semop(made[2], struct.pack("=HhH", 0, 1, 0o4000), 1) >= 0,
    "set": lambda: libc.semctl(made[2], 0, 16, 5) >= 0,
    "remove a queue with a name": lambda: libc.mq_unlink("/".encode() + name) >= 0,
    "remove memory": lambda: libc.shmctl(made[0], 0, None) >= 0,
    "remove a queue": lambda: libc.msgctl(made[1], 0, None) >= 0,
    "remove a semaphore": lambda: libc.semctl(made[2], 0, 0, None) >= 0,
}
if not (child := os.fork()):
    refuses = refuse_calls()
    print(json.dumps([refuses, [each for each, attempt in tries.items() if attempt()]]), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(json.dumps([min(*made, posix) >= 0, [each for each, attempt in tries.items() if attempt()]]))
"""
"""Tries what there is already, behind the filter and then, as proof that it is there, without."""


def test_the_kernel_keeps_answers_from_what_other_programs_have_made():
    if os.uname().machine not in MACHINES:
        pytest.skip("a machine without a filter")
    words = [sys.executable, "-c", OBJECTS_OF_OTHERS]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    behind, without = map(json.loads, done.stdout.splitlines())
    assert behind == [True, []]
    assert without[0] and len(without[1]) == 9


@needs_bubblewrap
def test_attacks_get_nothing():
    """Neither out nor points; the rest of them is tried by ``make attacks``."""
    assert together(QUICK, closed=True) == ({}, [])


def test_attacks_get_nothing_where_there_is_no_bubblewrap():
    if fence.try_to_break_out(closed=False)[1]:
        pytest.skip("a kernel without Landlock")
    assert together(QUICK, closed=False) == ({}, [])


@needs_bubblewrap
def test_a_right_answer_gets_its_points_inside(tmp_path: Path):
    """With a picture left in it, for which Matplotlib is imported."""
    body = (
        "import matplotlib.pyplot as plt\nplt.imshow([[1]])\nopen('/dev/null', 'w')\n" + HONEST[0]
    )
    (assignment,) = read_assignments(NOTEBOOKS, [N])
    task = next(task for task in assignment.tasks if task.column.endswith("upsample-forward"))
    answer = f"def upsample_forward(x, scale):\n{textwrap.indent(body, '    ')}\n"
    with Worker(60, 2048, closed=True) as worker:
        piece = Piece("exercise", 1, 1, answer)
        assert worker.judge(task.exercise, [piece], task.function).right


# What is left


def test_folders_of_killed_runs_are_removed(monkeypatch, tmp_path: Path):
    """Old ones of processes that are gone, and no other."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert not psutil.pid_exists(gone.pid)
    old, new = f"n2n-grade-{gone.pid}-old", f"n2n-grade-{gone.pid}-new"
    used, other = f"n2n-grade-{os.getpid()}-x", "n2n-grade-own notes"
    for name in (old, new, used, other):
        (tmp_path / name / "folder").mkdir(parents=True)
        if name != new:
            os.utime(tmp_path / name, (time.time() - 2 * leftovers.OLD,) * 2)
    (tmp_path / f"n2n-grade-{gone.pid}-link").symlink_to(tmp_path / other)
    leftovers.remove_leftovers()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {new, used, other, f"n2n-grade-{gone.pid}-link"}
    assert (tmp_path / other / "folder").exists()

"""Try to get out from behind the fence: ``python -m n2n_lib.course.grading.judging.probe FACTS``.

`fence` starts it where answers run, with the places outside that it may try. What it prints are the
ways that it found open. It loads no PyTorch, so that it takes no time to speak of.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
from collections.abc import Callable

from n2n_lib.course.grading.judging.calls import CALLS
from n2n_lib.course.grading.judging.rights import close_in, give_up_rights, hide_memory


def attempts(facts: dict) -> dict[str, Callable[[], object]]:
    """Return what is tried, by what it would mean if it works: without an error, and truly."""
    libc, room = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(512)

    def connects(family: int, place: str | tuple) -> Callable[[], object]:
        def connect() -> bool:
            with socket.socket(family) as outside:
                outside.settimeout(2)
                outside.connect(place)
            return True

        return connect

    def has_rights() -> bool:
        header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        known = libc.capget(header, sets) == 0
        held = any(sets[i] for i in (0, 1, 3, 4))  # those to inherit help nobody
        new = libc.prctl(39, 0, 0, 0, 0) != 1  # PR_GET_NO_NEW_PRIVS
        return os.geteuid() == 0 or held or new or not known

    def write(path: str) -> bool:
        with open(path, "a") as file:
            return file.write("x") > 0

    def remounts() -> bool:
        return libc.mount(None, b"/", None, 32 | 4096, None) == 0  # MS_REMOUNT | MS_BIND

    def sees_others() -> bool:
        if not facts["closed"]:  # then it is known, and said
            return False
        return os.path.exists(f"/proc/{facts['parent']}") or len(_processes()) > 9

    def pipes() -> bool:
        return os.write(os.open(facts["pipe"], os.O_WRONLY | os.O_NONBLOCK), b"x") > 0

    def forks() -> bool:
        if child := os.fork():
            os.waitpid(child, 0)
            return True
        os._exit(0)

    def calls(number: dict[str, int], *arguments: object) -> bool:
        return libc.syscall(number[os.uname().machine], *arguments) >= 0

    def handles(call: Callable[..., int], *arguments: object) -> bool:
        with open(os.__file__) as file:  # one that it may read
            return call(file.fileno(), *arguments) >= 0

    def by_name(name: str) -> dict[str, int]:
        return dict(zip(("x86_64", "aarch64"), CALLS[name], strict=True))

    return {
        "read a file": lambda: open(facts["file"]).read(),
        "change a file": lambda: write(facts["file"]),
        "make a file in your home": lambda: write(os.path.join(facts["home"], ".n2n-fence")),
        "make a file": lambda: write("/tmp/n2n-fence"),
        "change a setting of the kernel": lambda: write("/proc/sys/kernel/core_pattern"),
        "talk to a socket": connects(socket.AF_UNIX, facts["socket"]),
        "talk to an abstract socket": connects(socket.AF_UNIX, "\0" + facts["abstract"]),
        "use the network": connects(socket.AF_INET, ("127.0.0.1", facts["port"])),
        "write to a pipe": pipes,
        "see other processes": sees_others,
        "use rights": has_rights,
        "become root": lambda: libc.setuid(0) == 0,
        "mount": remounts,
        "change its root": lambda: libc.chroot(b"/proc/1/root") == 0,
        "make a namespace": lambda: libc.unshare(0x10000000) == 0,  # CLONE_NEWUSER
        "start a process": forks,
        "send signals": lambda: libc.kill(facts["parent"], 0) == 0,
        "trace a process": lambda: libc.ptrace(16, facts["parent"], 0, 0) == 0,  # PTRACE_ATTACH
        "talk to the host of a virtual machine": lambda: socket.socket(40, 1),  # AF_VSOCK
        "use keys": lambda: calls(by_name("keyctl"), 0, -3, 0),  # the session's keyring
        "take memory that stays": lambda: libc.shmget(0, 4096, 0o1600) >= 0,
        "use memory of others": lambda: libc.shmctl(0, 14, room) >= 0,  # SHM_INFO
        "lock a file": lambda: handles(libc.flock, 1 | 4),  # LOCK_SH | LOCK_NB
        "change flags of a file": lambda: handles(libc.ioctl, 0x80086601, room),  # or read them
        "let the kernel send signals": lambda: handles(libc.fcntl, 8, facts["parent"]),  # F_SETOWN
        "use io_uring": lambda: calls(
            by_name("io_uring_setup"), 1, ctypes.create_string_buffer(120)
        ),
    }


def _processes() -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdigit()]


def main() -> None:
    """Try everything, and print how many ways were tried and which are open."""
    facts = json.loads(sys.argv[1])
    give_up_rights()
    tried = attempts(facts)
    hide_memory()
    close_in(facts["readable"])
    found = []
    for way, attempt in tried.items():
        try:
            if attempt():
                found.append(way)
        except (OSError, ValueError, KeyError):
            continue
    print(json.dumps({"tried": len(tried), "open": found}))


if __name__ == "__main__":
    main()

"""System calls that an answer needs for nothing, refused by the kernel (Linux).

A filter of seccomp (`man 2 seccomp`) sees the number of each call, and its arguments as plain
numbers. It holds for every way to make the call: Python, ctypes, machine code. No process can take
it off. What is refused has one of two ends: to reach out of the process (sockets, other processes,
programs, keys, shared memory), or to change files and mounts by their names. What a call may open
is not told by numbers: that is for `paths`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

# By name: the numbers on x86-64 and on AArch64 (asm/unistd_64.h, asm-generic/unistd.h); None where
# there is no such call.
CALLS: dict[str, tuple[int | None, int]] = {
    # Talk to others. What there is already, and socketpair, can be used.
    "socket": (41, 198),
    "bind": (49, 200),
    "connect": (42, 203),
    # Start others. RLIMIT_NPROC refuses it as well, but not to root.
    "fork": (57, None),
    "vfork": (58, None),
    "clone": (56, 220),
    "execve": (59, 221),
    "execveat": (322, 281),
    # Act on others.
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # Keys of the session, which the process inherits.
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "process_mrelease": (448, 448),
    # Memory that outlives the process, or is not counted as its own. What others have made of it is
    # found by small numbers that anybody can guess.
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "semctl": (66, 191),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    # A second way to make calls, past this filter; and calls with a long record of holes.
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "userfaultfd": (323, 282),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    # Namespaces, mounts, handles.
    "unshare": (272, 97),
    "setns": (308, 268),
    "chroot": (161, 51),
    "pivot_root": (155, 41),
    "mount": (165, 40),
    "umount2": (166, 39),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # The computer as a whole; only root could.
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "syslog": (103, 116),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "iopl": (172, None),
    "ioperm": (173, None),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    # Locks, for which others would wait: a file that is only read can be locked, too.
    "flock": (73, 32),
    # Files, by name.
    "creat": (85, None),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "rmdir": (84, None),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "link": (86, None),
    "linkat": (265, 37),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "truncate": (76, 45),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "fanotify_init": (300, 262),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "inotify_add_watch": (254, 27),
}
"""Calls that end in "operation not permitted"."""

COMMANDS: dict[str, tuple[tuple[int, int], tuple[int, ...]]] = {
    # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_GETPIPE_SZ. Others lock, take
    # a lease, make pipes larger, or let the kernel send a signal to any process of the user.
    "fcntl": ((72, 25), (0, 1, 2, 3, 4, 1030, 1032)),
    # TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, TCGETS2. Others change flags of a
    # file that is only read, or devices.
    "ioctl": ((16, 29), (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451, 0x802C542A)),
}
"""Calls that do many things: their numbers, and the commands, their second argument, that work."""

MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column of `CALLS`, and how the kernel names the machine (AUDIT_ARCH)."""

LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # instructions of BPF
NUMBER, MACHINE, FIRST_ARGUMENT, SECOND_ARGUMENT = (
    0,
    4,
    16,
    24,
)  # where they lie in struct seccomp_data
ALLOW, REFUSE = 0x7FFF0000, 0x00050000


def refuse_calls() -> bool:
    """Let the kernel refuse to this process, for good, `CALLS`, and all but some `COMMANDS`.

    Returns
    -------
    bool
        Whether it does. Not on other systems and machines, nor by a kernel without seccomp.
    """
    if sys.platform != "linux" or platform.machine() not in MACHINES or sys.maxsize < 2**32:
        return False
    instructions = [struct.pack("=HBBI", *each) for each in _program(os.getpid())]
    room = ctypes.create_string_buffer(b"".join(instructions))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("first", ctypes.c_void_p))

    program = Program(len(instructions), ctypes.addressof(room))
    control = ctypes.CDLL(None).prctl
    control(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS, without which only root may filter
    return control(22, 2, ctypes.byref(program), 0, 0) == 0  # PR_SET_SECCOMP, by a filter


def _program(pid: int) -> list[tuple[int, int, int, int]]:
    """Return the filter: code, how far to jump if so and if not, operand."""
    column, machine = MACHINES[platform.machine()]
    denied = REFUSE | errno.EPERM
    program = [
        (LOAD, 0, 0, MACHINE),
        (EQUAL, 1, 0, machine),  # else its 32-bit calls, with other numbers
        (RETURN, 0, 0, denied),
        (LOAD, 0, 0, NUMBER),
    ]
    if machine == MACHINES["x86_64"][1]:
        program += [(AT_LEAST, 0, 1, 0x40000000), (RETURN, 0, 0, denied)]  # x32, the same
    for numbers in CALLS.values():
        if (number := numbers[column]) is not None:
            program += [(EQUAL, 0, 1, number), (RETURN, 0, 0, denied)]
    # The C library falls back to the older call, whose flags a filter could see.
    program += [(EQUAL, 0, 1, 435), (RETURN, 0, 0, REFUSE | errno.ENOSYS)]  # clone3
    # A process may end itself by a signal, and ask for its own limits.
    for numbers, own in (((234, 131), pid), ((302, 261), 0)):  # tgkill, prlimit64
        program += [(EQUAL, 0, 3, numbers[column]), (LOAD, 0, 0, FIRST_ARGUMENT)]
        program += [(EQUAL, 1, 0, own), (RETURN, 0, 0, denied), (LOAD, 0, 0, NUMBER)]
    for numbers, allowed in COMMANDS.values():
        program += [(EQUAL, 0, 2 * len(allowed) + 2, numbers[column])]
        program += [(LOAD, 0, 0, SECOND_ARGUMENT)]
        for command in allowed:
            program += [(EQUAL, 0, 1, command), (RETURN, 0, 0, ALLOW)]
        program += [(RETURN, 0, 0, denied)]
    return [*program, (RETURN, 0, 0, ALLOW)]

"""How many processors this process may use: affinity, and the quota of a container.

Like the self-test, which asks it, this file imports the standard library alone and is written for
Python 3.8.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import NamedTuple

CGROUP = "/sys/fs/cgroup"
"""Where Linux shows its control groups, version 2 or 1."""

MEMBER = "/proc/self/cgroup"
"""Where it says which of them this process belongs to."""


def present() -> int:
    """Return how many processors the machine has."""
    return os.cpu_count() or 1


def affinity() -> int:
    """Return how many processors this process may run on; all of them where no system tells."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # Windows, macOS
        return present()


def quota(root: str = CGROUP, member: str = MEMBER) -> float | None:
    """Return how many processors' time this process may take, None where that is not limited.

    A class server often limits the time and leaves all processors in sight. A group shares the
    limits of those that it is part of, so the smallest on the way up counts.

    Parameters
    ----------
    root : str
        Folder of the control groups.
    member : str
        File that names the groups of this process. In a container its names may be those of the
        machine outside; then the group at the root is the container's own.
    """
    limits = [math.inf]
    for files, group in _groups(root, member):
        while True:
            limits += _limits(files, group)
            if not group.strip("/"):
                break
            group = os.path.dirname(group.rstrip("/"))
    return None if min(limits) == math.inf else min(limits)


def _groups(root: str, member: str) -> Iterator[tuple[str, str]]:
    """Yield (folder of a hierarchy that may limit processors, our group in it)."""
    groups = {"": "/", "cpu": "/"}  # where the file says nothing, the root may
    for line in _read(member).splitlines():
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0":
            groups[""] = group
        elif "cpu" in controllers.split(","):
            groups["cpu"] = group
    yield root, groups[""]
    yield os.path.join(root, "cpu"), groups["cpu"]


def _limits(files: str, group: str) -> Iterator[float]:
    """Yield the limit that one group sets, if it sets one."""
    folder = os.path.join(files, group.strip("/"))
    words = _read(os.path.join(folder, "cpu.max")).split()
    if not words:
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        words = [_read(os.path.join(folder, name)).strip() for name in names]
    try:
        time, period = map(int, words)
        if time > 0 and period > 0:  # -1: no limit
            yield time / period
    except ValueError:  # "max": no limit
        return


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except (OSError, ValueError):
        return ""


class Cores(NamedTuple):
    """How many processors there are for this process.

    Attributes
    ----------
    count : int
        From 1. Parts of a processor do not count: a thread on half of one would hold up the rest.
    why : str
        What keeps it from using all that the machine has; empty if nothing does.
    """

    count: int
    why: str


def usable(root: str = CGROUP, member: str = MEMBER) -> Cores:
    """Return how many processors this process may use, and why not more. Parameters of `quota`."""
    count, limit = affinity(), quota(root, member)
    if limit is not None and limit < count:
        whole = max(1, int(limit))
        return Cores(whole, f"a quota of {limit:g} processor{'s' if limit > 1 else ''}")
    told = f"this process may run on {count} processor{'s' if count > 1 else ''}"
    return Cores(count, told if count < present() else "")

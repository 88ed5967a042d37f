"""How many processors a process may use, as affinity and control groups tell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from n2n_lib.support import cores


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


V1 = ("cpu/{}cpu.cfs_quota_us", "cpu/{}cpu.cfs_period_us")

QUOTAS = {
    "version 2": ({"cpu.max": "150000 100000\n"}, "0::/\n", 1.5),
    "version 2, no limit": ({"cpu.max": "max 100000\n"}, "0::/\n", None),
    "version 2, another period": ({"cpu.max": "400000 200000\n"}, "0::/\n", 2.0),
    "version 2, our own group": (
        {"cpu.max": "max 100000\n", "user.slice/a/cpu.max": "100000 100000\n"},
        "0::/user.slice/a\n",
        1.0,
    ),
    "version 2, the group that ours is part of": (
        {"user.slice/cpu.max": "50000 100000\n", "user.slice/a/cpu.max": "300000 100000\n"},
        "0::/user.slice/a\n",
        0.5,
    ),
    "version 2, a name from outside the container": (
        {"cpu.max": "200000 100000\n"},
        "0::/docker/0123abc\n",
        2.0,
    ),
    "version 1": (
        {V1[0].format(""): "50000\n", V1[1].format(""): "100000\n"},
        "3:cpuset:/\n1:cpu,cpuacct:/\n0::/\n",
        0.5,
    ),
    "version 1, no limit": (
        {V1[0].format(""): "-1\n", V1[1].format(""): "100000\n"},
        "1:cpu:/\n",
        None,
    ),
    "version 1, our own group": (
        {
            V1[0].format(""): "-1\n",
            V1[1].format(""): "100000\n",
            V1[0].format("job/"): "300000\n",
            V1[1].format("job/"): "100000\n",
        },
        "2:memory:/other\n1:cpuacct,cpu:/job\n",
        3.0,
    ),
    "no file of groups": ({"cpu.max": "100000 100000\n"}, None, 1.0),
    "an odd file": ({"cpu.max": "odd\n"}, "odd\n", None),
    "a period of zero": ({"cpu.max": "1 0\n"}, "0::/\n", None),
    "nothing": ({}, None, None),
}


@pytest.mark.parametrize("files, member, quota", QUOTAS.values(), ids=QUOTAS)
def test_quota(files: dict[str, str], member: str | None, quota: float | None, tmp_path: Path):
    write(tmp_path / "cgroup", files)
    if member is not None:
        (tmp_path / "member").write_text(member)
    assert cores.quota(str(tmp_path / "cgroup"), str(tmp_path / "member")) == quota


@pytest.mark.parametrize(
    "limit, processors, count, why",
    [
        (None, 4, 4, ""),
        (None, 1, 1, "this process may run on 1 processor"),
        (None, 3, 3, "this process may run on 3 processors"),
        (1.0, 4, 1, "a quota of 1 processor"),
        (0.25, 4, 1, "a quota of 0.25 processor"),
        (2.5, 4, 2, "a quota of 2.5 processors"),
        (9.0, 4, 4, ""),
        (2.0, 1, 1, "this process may run on 1 processor"),
    ],
)
def test_usable(
    limit: float | None, processors: int, count: int, why: str, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(processors)), raising=False)
    if limit is not None:
        write(tmp_path, {"cpu.max": f"{int(100000 * limit)} 100000\n"})
    assert cores.usable(str(tmp_path), str(tmp_path / "nowhere")) == (count, why)


def test_where_no_system_tells(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # Windows, macOS
    assert cores.usable("nowhere", "nowhere") == (8, "")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores.usable("nowhere", "nowhere") == (1, "")

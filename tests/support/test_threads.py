"""How many threads: every rule on a clock of its own, so that no machine is too slow for it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import torch

from n2n_lib.framework.kernels.product import product
from n2n_lib.support import cores, threads
from n2n_lib.support.threads import BUSY, LATE, LITTLE, REST, SOON, Chooser, Span


class Machine:
    """A machine with a clock that goes as fast as its work."""

    def __init__(self, most: int = 2, quiet: bool = True, **seconds: float) -> None:
        self.now, self.most, self.quiet = 0.0, most, quiet
        self.seconds = {1: 1.0, 2: 0.6, 4: 0.4, 8: 0.3} | {
            int(name[1:]): value for name, value in seconds.items()
        }
        self.probed: list[int] = []
        self.chooser = Chooser(lambda: self.now, self.waits)

    def waits(self, count: int) -> float:
        self.probed.append(count)
        self.now += 0.02
        return 1e-5 if self.quiet else 1e-2

    def work(self, size: float = 1.0) -> None:
        """A hundred small operations."""
        for _ in range(100):
            self.now += size * self.seconds[torch.get_num_threads()] / 100
            threads.mind_the_time()

    def choose(self) -> int:
        self.chooser.choose(self.work)
        assert torch.get_num_threads() == self.chooser.count
        return self.chooser.count

    def step(self) -> None:
        with self.chooser.timed():
            self.work()

    def until_due(self) -> int:
        """Work until it is time to choose again; return how many steps that took."""
        for count in range(10_000):
            if self.chooser.due():
                return count
            self.step()
        raise AssertionError("never due")

    def at_work(self, **options):
        return self.chooser.at_work(**options)


@pytest.fixture
def machine(monkeypatch) -> Iterator[Machine]:
    """A machine of two processors."""
    yield from in_work(Machine(), monkeypatch)


def in_work(machine: Machine, monkeypatch) -> Iterator[Machine]:
    monkeypatch.setattr(threads, "span", lambda: Span(1, machine.most, ""))
    before = torch.get_num_threads()
    with machine.at_work():
        yield machine
    assert torch.get_num_threads() == before


@pytest.fixture
def large(monkeypatch) -> Iterator[Machine]:
    """A machine of eight processors."""
    yield from in_work(Machine(most=8), monkeypatch)


def told(machine: Machine, monkeypatch) -> str:
    monkeypatch.setattr(os, "cpu_count", lambda: machine.most)
    return str(machine.chooser)


def test_more_threads_are_taken_where_they_pay(machine, monkeypatch):
    assert machine.chooser.due() and torch.get_num_threads() == 1
    assert machine.choose() == 2
    assert told(machine, monkeypatch) == "threads: 2 of 2"


def test_one_thread_where_the_machine_is_busy(machine, monkeypatch):
    machine.quiet = False
    began = machine.now
    assert machine.choose() == 1
    assert told(machine, monkeypatch) == f"threads: 1 of 2 ({BUSY})"
    assert machine.now - began == pytest.approx(0.02)  # no piece of work was tried for it


@pytest.mark.parametrize(
    "present, seconds, count",
    [(1, 0.86, 1), (1, 0.8, 2), (2, 0.9, 2), (2, 0.97, 1), (1, 1.1, 1)],
)
def test_more_to_be_taken_than_to_be_kept(machine, present: int, seconds: float, count: int):
    if present == 2:
        assert machine.choose() == 2
    machine.seconds[2] = seconds
    assert machine.choose() == count
    assert machine.chooser.why == ("" if count == 2 else LITTLE)


def test_what_takes_longer_on_more_threads_is_given_up_early(machine):
    machine.seconds[2] = 50.0  # though short operations did not wait
    assert machine.choose() == 1
    assert machine.chooser.why == BUSY
    assert machine.now < 6  # 2 on one thread, then LATE on two, and the rest on one again


def test_the_first_run_prepares(machine):
    first = [5.0]

    def work() -> None:
        machine.now += first.pop() if first else 0.0
        machine.work()

    machine.chooser.choose(work)
    assert machine.chooser.count == 2
    machine.seconds[2] = 0.9  # 1.11 times as fast: too little, had the first run not been left out
    first.append(5.0)
    machine.chooser.count = 1
    machine.chooser.choose(work)
    assert machine.chooser.count == 1


def test_short_work_is_tried_more_often(machine):
    runs = []

    def work(seconds: float) -> None:
        runs.append(torch.get_num_threads())
        machine.now += seconds

    machine.chooser.choose(lambda: work(0.001))
    assert runs == [1] * threads.RUNS + [2] * threads.RUNS
    runs.clear()
    machine.chooser.choose(lambda: work(0.02))
    assert runs == [1] * 3 + [2] * 3


def test_numbers_are_doubled_while_it_pays(large):
    assert large.choose() == 8
    assert large.probed == [2, 4, 8]
    large.seconds[4] = 0.59  # hardly faster than two: then eight are not tried
    assert large.choose() == 2
    assert large.probed[3:] == [2, 4]


@pytest.mark.parametrize(
    "most, numbers", [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_numbers(most: int, numbers: list[int]):
    assert threads._numbers(1, most) == numbers


def test_trials_take_a_hundredth_of_the_time(machine):
    assert machine.choose() == 2
    cost = machine.now
    assert machine.until_due() == pytest.approx(REST * cost / 0.6, abs=1)
    machine.quiet = False  # a trial ends with the probe
    assert machine.choose() == 1
    assert machine.until_due() == pytest.approx(REST * 0.02, abs=1)


def test_a_machine_becomes_quiet(machine):
    machine.quiet = False
    assert machine.choose() == 1
    machine.quiet = True
    machine.until_due()
    assert machine.choose() == 2


def test_a_machine_becomes_busy_in_the_middle_of_a_step(machine):
    assert machine.choose() == 2
    machine.step()
    machine.seconds[2] = 50.0
    began = machine.now
    machine.step()
    assert machine.chooser.count == torch.get_num_threads() == 1
    assert machine.chooser.why == BUSY
    # At LATE seconds it was overdue, after at most one operation more the rest took one thread.
    assert machine.now - began < LATE + 0.5 + 1.0
    machine.step()  # at rest
    assert machine.chooser.count == 1


def test_it_does_not_flap(machine):
    """Where two threads are fast in a trial and slow in the work, trials become rare."""
    waits = []
    for _ in range(6):
        machine.seconds[2] = 0.6
        began = machine.now
        assert machine.choose() == 2
        cost = machine.now - began
        machine.seconds[2] = 50.0
        machine.step()
        assert machine.chooser.count == 1
        began = machine.now
        machine.until_due()
        waits.append((machine.now - began) / cost)
    expected = [SOON, 2 * SOON, 4 * SOON, 8 * SOON, REST, REST]
    assert waits == pytest.approx(expected, rel=0.2)
    machine.seconds[2] = 0.6
    assert machine.choose() == 2
    machine.until_due()  # a whole rest without trouble
    assert machine.choose() == 2
    machine.seconds[2] = 50.0
    machine.step()
    assert machine.chooser._rest == SOON


def test_the_size_of_a_piece_counts(machine):
    machine.chooser.choose(lambda: machine.work(0.1), 0.1)
    assert machine.chooser.count == 2
    with machine.chooser.timed(5.0):
        machine.work(5.0)  # 3 seconds: overdue were a piece of 1
    assert machine.chooser.count == 2


def test_nothing_is_overdue_on_the_least_number(machine):
    machine.quiet = False
    assert machine.choose() == 1
    machine.seconds[1] = 100.0
    machine.step()
    assert machine.chooser._rest == REST


def test_the_product_of_the_fast_kernels_minds_the_time(machine):
    assert machine.choose() == 2
    with machine.chooser.timed():
        machine.now += 10
        product(torch.ones(2, 3), torch.ones(2, 3))
        assert torch.get_num_threads() == 1


def test_one_thread_without_trial(monkeypatch):
    monkeypatch.setattr(threads, "span", lambda: Span(1, 4, ""))
    chooser = Chooser()
    with chooser.at_work("small batches"):
        assert chooser.count == torch.get_num_threads() == 1 and not chooser.due()
    assert "1 of" in str(chooser) and "(small batches)" in str(chooser)


@pytest.mark.parametrize("processes, most, count", [(2, 4, 2), (3, 4, 1), (9, 4, 1), (1, 4, 4)])
def test_processes_share_the_processors(monkeypatch, processes: int, most: int, count: int):
    monkeypatch.setattr(threads, "span", lambda: Span(1, most, ""))
    monkeypatch.setattr(cores, "usable", lambda: cores.Cores(4, ""))
    chooser = Chooser()
    with chooser.at_work(processes=processes):
        assert chooser.count == torch.get_num_threads() == count and not chooser.due()
    assert chooser.why == (f"{processes} processes share the processors" if count < most else "")


def test_processes_get_no_more_than_pytorch_was_given(monkeypatch):
    monkeypatch.setattr(threads, "span", lambda: Span(1, 2, threads.SET))
    monkeypatch.setattr(cores, "usable", lambda: cores.Cores(16, ""))
    chooser = Chooser()
    with chooser.at_work(processes=2):
        assert chooser.count == 2 and chooser.why == threads.SET


def test_a_resumed_run_begins_where_it_was(monkeypatch):
    monkeypatch.setattr(threads, "span", lambda: Span(1, 4, ""))
    for start, count in ((2, 2), (3, 1), (None, 1)):
        chooser = Chooser()
        with chooser.at_work(start=start):
            assert chooser.count == torch.get_num_threads() == count


@pytest.mark.parametrize(
    "asked, usable, expected",
    [
        (2, cores.Cores(2, ""), Span(1, 2, "")),
        (1, cores.Cores(2, ""), Span(1, 1, threads.SET)),
        (4, cores.Cores(1, "a quota of 1 processor"), Span(1, 1, "a quota of 1 processor")),
        (2, cores.Cores(1, "why"), Span(1, 1, "why")),
        (3, cores.Cores(8, ""), Span(1, 3, threads.SET)),
    ],
)
def test_what_there_is_to_choose_from(monkeypatch, asked: int, usable: cores.Cores, expected: Span):
    monkeypatch.setattr(torch, "get_num_threads", lambda: asked)
    monkeypatch.setattr(cores, "usable", lambda: usable)
    assert threads.span() == expected


def test_a_fixed_number_leaves_nothing_to_choose():
    before, chooser = torch.get_num_threads(), Chooser(waits=lambda count: 1 / 0)
    with threads.threads(3):
        assert torch.get_num_threads() == 3
        with chooser.at_work("small batches", processes=2, start=1):
            assert torch.get_num_threads() == chooser.count == 3 and not chooser.due()
            assert chooser.why == "as told"
    assert torch.get_num_threads() == before


def test_one_thread_but_where_something_is_chosen(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(cores, "usable", lambda: cores.Cores(before, ""))
    with threads.sparingly():
        assert torch.get_num_threads() == 1
        assert threads.span() == Span(1, before, "")
    assert torch.get_num_threads() == before


def test_work_inside_the_work_takes_as_many(machine, monkeypatch):
    assert machine.choose() == 2
    monkeypatch.undo()  # the real span
    inner = Chooser(waits=lambda count: 1 / 0)
    with inner.at_work():
        assert inner.count == torch.get_num_threads() == 2 and not inner.due()
    assert torch.get_num_threads() == 2
    with machine.chooser.timed():  # also after the machine became busy
        machine.now += 10
        threads.mind_the_time()
    with inner.at_work():
        assert inner.count == torch.get_num_threads() == 1


def test_other_threads_of_the_program_choose_for_themselves():
    seen = []
    with threads.threads(1):
        other = threading.Thread(target=lambda: seen.append(threads._span.get()))
        other.start()
        other.join()
    assert seen == [None]


def test_waiting_is_measured():
    before = torch.get_num_threads()
    assert threads.waiting(2) > -1e-3
    assert torch.get_num_threads() == before


PRINT = """
from n2n_lib.support.threads import span
print(*span()[:2])
"""


def test_what_the_user_set_is_the_most():
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    shown = subprocess.run([sys.executable, "-c", PRINT], env=env, capture_output=True, text=True)
    assert shown.stdout.split() == ["1", "1"], shown.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_affinity_to_one_processor():
    code = f"import os; os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}}){PRINT}"
    env = os.environ | {"OMP_NUM_THREADS": "4"}
    shown = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert shown.stdout.split() == ["1", "1"], shown.stderr


QUOTAS = {
    "version 2": ({"cpu.max": "100000 100000\n"}, "0::/\n"),
    "version 2, part of a processor": ({"cpu.max": "150000 100000\n"}, "0::/\n"),
    "version 2, our own group": (
        {"cpu.max": "max 100000\n", "job/cpu.max": "100000 100000\n"},
        "0::/job\n",
    ),
    "version 1": (
        {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"},
        "1:cpu,cpuacct:/\n0::/\n",
    ),
}


@pytest.fixture(params=QUOTAS.values(), ids=QUOTAS)
def quota_of_one(request, tmp_path, monkeypatch) -> None:
    """A machine that shows eight processors, of which a container may use one at a time."""
    files, member = request.param
    for name, text in files.items():
        (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / name).write_text(text)
    (tmp_path / "member").write_text(member)
    places = (str(tmp_path / "cgroup"), str(tmp_path / "member"))
    for function in (cores.quota, cores.usable):
        monkeypatch.setattr(function, "__defaults__", places)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)  # PyTorch takes what it sees


def test_a_quota_of_one_processor_is_one_thread(quota_of_one, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    why = cores.usable().why
    assert why.startswith("a quota of 1")
    assert threads.span() == Span(1, 1, why)
    chooser = Chooser(waits=lambda count: 1 / 0)  # nothing is tried
    with chooser.at_work():
        assert not chooser.due()
        assert str(chooser) == f"threads: 1 of 8 ({why})"
    assert asked[:2] == [1, 1] and asked[-1] == 8  # and afterwards as before


def test_whoever_gives_a_number_gets_it_under_a_quota_too(quota_of_one, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    with threads.threads(4):
        assert asked == [4] and threads.span() == Span(4, 4, "as told")


def test_one_processor_in_sight_of_eight(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {5}, raising=False)
    monkeypatch.setattr(cores, "quota", lambda *places: None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert threads.span() == Span(1, 1, "this process may run on 1 processor")

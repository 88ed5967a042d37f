"""Judges that are attacked, killed, frozen and stopped."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import commands
import frames
import psutil
import pytest
from handing_in import PLAIN, UPSAMPLING, N, hand_in, notebook, packed, points_of

from n2n_lib.course.grading.grades import Grade
from n2n_lib.course.grading.handed_in.layouts import HandedIn
from n2n_lib.course.grading.judging.judges import MEMORY, Judges
from n2n_lib.course.grading.tasks import read_assignments

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
HANG = "while True: pass"


def forge(name: str) -> str:
    """A body that writes a frame of its own to everything that can be written to."""
    whole = b"".join(frames.stream(name))[: 2**21]
    packed_whole = base64.b64encode(zlib.compress(whole)).decode()
    return (
        "import base64, os, zlib\n"
        f"frame = zlib.decompress(base64.b64decode({packed_whole!r}))\n"
        "for number in range(3, 20):\n"
        "    try:\n"
        "        left = frame\n"
        "        while left: left = left[os.write(number, left):]\n"
        "    except OSError: pass"
    )


def handed_in(folder: Path, name: str, answers: dict[str, str] | None = None) -> HandedIn:
    return HandedIn(name, (hand_in(folder / name, (UPSAMPLING, notebook(UPSAMPLING, answers))),))


def graded_by(judges: Judges, *students: HandedIn) -> dict[str, Grade]:
    return {student.name: done for student, done in judges.grade(students)}


def results(done: Grade) -> dict[str, str]:
    return {column.split("/")[1]: mark.result for column, mark in done.marks.items()}


ATTACKS = {
    "upsample-forward": "four billion unknown things",
    "upsample-backward": "64 MB of empty objects",
    "upsample-conv": "lists in the text of an error",
    "stamp-row": "numbers of 4200 digits, as JSON",
}


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judges]:
    """One judge, of one lesson."""
    source = hand_in(tmp_path_factory.mktemp("source") / "x", (UPSAMPLING, notebook(UPSAMPLING)))
    with Judges(source, (), replace(PLAIN, seconds=20, student_seconds=60), jobs=1) as started:
        yield started


def test_forged_frames_give_nothing_and_cost_the_judge_nothing(judges: Judges, tmp_path: Path):
    """Before and after, other students are graded by the same judge."""
    forger = handed_in(tmp_path, "forger", {name: forge(ATTACKS[name]) for name in ATTACKS})
    ann, bob = handed_in(tmp_path, "ann"), handed_in(tmp_path, "bob")
    (before,) = graded_by(judges, ann).values()
    at_start = {p.pid: p.memory_info().rss for p in judges_below(os.getpid())}
    (forged,) = graded_by(judges, forger).values()
    (after,) = graded_by(judges, bob).values()
    assert before.total == after.total == before.maximum == points_of(UPSAMPLING)
    assert (forged.total, after.remarks) == (0, [])
    assert set(results(forged).values()) == {"no result"}
    if sys.platform == "linux":
        (judge,) = judges_below(os.getpid())
        assert judge.memory_info().rss - at_start[judge.pid] < MEMORY


def judges_below(pid: int) -> list[psutil.Process]:
    """The judges of a process: those of its children that the start of processes has begun."""
    found = []
    for each in psutil.Process(pid).children():
        with suppress(psutil.Error):
            found += [each] if "spawn_main" in " ".join(each.cmdline()) else []
    return found


def test_a_student_has_a_limit_and_keeps_what_was_reached(tmp_path: Path, source: Path):
    slow = handed_in(tmp_path, "slow", {"upsample-backward": HANG, "upsample-conv": HANG})
    with Judges(source, (), replace(PLAIN, seconds=60, student_seconds=6), jobs=1) as judges:
        (done,) = graded_by(judges, slow).values()
    assert results(done) == {
        "upsample-forward": "right",
        "upsample-backward": "no result",
        "upsample-conv": "no result",
        "stamp-row": "no result",
    }
    assert done.total == 1
    last = done.marks[f"{N}/stamp-row"].remarks
    assert last == ["not graded, the time for one student was used up"]


@linux_only
def test_a_judge_that_dies_costs_one_student(judges: Judges, tmp_path: Path):
    """It is killed whenever it grades the one in the middle, who hangs."""
    students = [handed_in(tmp_path, "ann"), handed_in(tmp_path, "bob", {"stamp-row": HANG})]
    students.append(handed_in(tmp_path, "carl"))
    killed, over = [], threading.Event()

    def kill() -> None:
        while not over.wait(0.2):
            for judge in filter(at_work, judges_below(os.getpid())):
                killed.append(judge.pid)
                judge.kill()

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        done = graded_by(judges, *students)
    finally:
        over.set()
        thread.join()
    assert done["bob"].unread == ["could not be graded: its judge died"]
    assert done["bob"].total == 0 and set(results(done["bob"]).values()) == {"no result"}
    assert done["ann"].total == done["carl"].total == points_of(UPSAMPLING)
    assert len(set(killed)) == 2


def at_work(judge: psutil.Process) -> bool:
    try:
        return any(busy(worker) for worker in judge.children(recursive=True))
    except psutil.Error:
        return False


def busy(process: psutil.Process) -> bool:
    """Whether an answer runs in a process, for longer than the right ones do.

    That is a fork of a worker; the worker itself is busy as well while it loads PyTorch.
    """
    try:
        words, parent = process.cmdline(), process.parent()
        is_fork = "worker" in " ".join(words) and parent is not None and parent.cmdline() == words
        return is_fork and process.cpu_times().user > 1
    except psutil.Error:
        return False


@linux_only
def test_a_judge_that_hangs_costs_one_student(source: Path, tmp_path: Path, monkeypatch):
    """It is stopped in the middle, as by code that holds Python's lock for ever.

    Once it is, the clock that the time of a judge is measured by is put forward.
    """
    monkeypatch.setattr("n2n_lib.course.grading.judging.judges.MARGIN", 5)
    ahead = []
    clock = SimpleNamespace(time=lambda: time.time() + sum(ahead), sleep=time.sleep)
    monkeypatch.setattr("pebble.pool.process.time", clock)

    def freeze() -> None:
        wait_for(freeze_a_judge)
        ahead.append(35)

    students = [handed_in(tmp_path, "ann", {"stamp-row": HANG}), handed_in(tmp_path, "bob")]
    with Judges(source, (), replace(PLAIN, seconds=60, student_seconds=30), jobs=1) as judges:
        stopped = threading.Thread(target=freeze)
        stopped.start()
        done = graded_by(judges, *students)
        stopped.join()
    assert done["ann"].unread == ["could not be graded: its judge did not finish within 35 s"]
    assert done["bob"].total == points_of(UPSAMPLING)


def freeze_a_judge() -> bool:
    """Stop the judge whose worker is at work."""
    for judge in filter(at_work, judges_below(os.getpid())):
        judge.suspend()
        return True
    return False


def wait_for(what: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_what_cannot_be_read_costs_one_student(judges: Judges, tmp_path: Path):
    """Nested and long sources, notebooks and zip files that are none."""
    deep = notebook(UPSAMPLING)
    deep["cells"].insert(0, {**deep["cells"][0], "cell_type": "code", "source": "(" * 10**5})
    long = notebook(UPSAMPLING, {"stamp-row": "pass\n" * 10**5})
    students = [
        HandedIn("deep", (hand_in(tmp_path / "deep", (UPSAMPLING, deep)),)),
        HandedIn("long", (hand_in(tmp_path / "long", (UPSAMPLING, long)),)),
        HandedIn("gone", (tmp_path / "gone",)),
        HandedIn("zip", (packed(tmp_path / "zip.zip", (f"{UPSAMPLING}.ipynb", b"[" * 10**6)),)),
        handed_in(tmp_path, "ann"),
    ]
    done = graded_by(judges, *students)
    assert list(sorted(done)) == ["ann", "deep", "gone", "long", "zip"]
    assert done["ann"].total == points_of(UPSAMPLING)
    assert done["gone"].total == done["zip"].total == 0 and done["gone"].unread
    (remark,) = done["long"].marks[f"{N}/stamp-row"].remarks
    assert remark.endswith("it has more than 100000 characters")


# ------------------------------------------------------------------------------- stopping a run


UNCHECKED = """
from n2n_lib.course.grading import run
run._check_solutions = lambda *_: None
from n2n_lib.__main__ import main
main()
"""
"""The command, which comes to its class at once."""


@pytest.fixture
def run(request: pytest.FixtureRequest, tmp_path: Path, source: Path) -> Iterator[subprocess.Popen]:
    """The command at work on two students who hang, with so many judges."""
    for name in ("ann", "bob"):
        handed_in(tmp_path / "class", name, {"upsample-backward": HANG})
    (tmp_path / "temporary").mkdir()
    words = commands.command()
    if request.node.callspec.params.get("moment") != "solutions":
        words = [sys.executable, "-c", UNCHECKED]
    call = ["grade", tmp_path / "class", "--out", tmp_path / "grades.csv", "--source", source]
    call += ["-q", "--timeout", 600, "--jobs", request.param]
    process = subprocess.Popen(
        [*words, *map(str, call)],
        env=commands.environment(TMPDIR=str(tmp_path / "temporary")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=commands.hear_ctrl_c if os.name == "posix" else None,
    )
    yield process
    process.kill()
    process.communicate()


def tree_of(run: subprocess.Popen) -> list[psutil.Process]:
    return psutil.Process(run.pid).children(recursive=True)


@linux_only
@pytest.mark.parametrize("moment", ["solutions", "class", "frozen"])
@pytest.mark.parametrize(
    "number, run",
    [(signal.SIGINT, 1), (signal.SIGTERM, 2)],
    ids=["SIGINT", "SIGTERM"],
    indirect=["run"],
)
def test_a_run_can_be_stopped_at_any_moment(run, tmp_path: Path, moment: str, number: int):
    """A terminal sends SIGINT to all processes; SIGTERM reaches one, which ends all judges."""
    if moment == "solutions":
        wait_for(lambda: bool(judges_below(run.pid)))
    else:
        wait_for(lambda: any(map(busy, tree_of(run))))
    below = tree_of(run)
    if moment == "frozen":
        for judge in judges_below(run.pid):
            judge.suspend()
    began = time.monotonic()
    if number == signal.SIGINT:
        os.killpg(run.pid, number)
    else:
        run.send_signal(number)
    _, said = run.communicate(timeout=60)
    print(f"{moment} {number.name}: {time.monotonic() - began:.2f} s")
    assert run.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert "Traceback" not in said
    wait_for(lambda: not any(alive(each) for each in below), seconds=10)
    assert list((tmp_path / "temporary").iterdir()) == []
    assert not (tmp_path / "grades.csv").exists()
    if moment != "solutions":
        lines = (tmp_path / "grades.csv.journal").read_text().splitlines()
        assert len(lines[0]) == 64 and all(json.loads(line) for line in lines[1:])


@linux_only
@pytest.mark.parametrize("run", [2], indirect=True)
def test_nothing_goes_on_after_a_run_that_was_killed(run):
    wait_for(lambda: any(map(busy, tree_of(run))))
    below = tree_of(run)
    run.kill()
    wait_for(lambda: not any(alive(each) for each in below), seconds=10)


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def test_the_lessons_have_the_exercises_of_the_attacks(source: Path):
    (assignment,) = read_assignments(source)
    assert [task.cell for task in assignment.tasks] == list(ATTACKS)

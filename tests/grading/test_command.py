"""The command, its mistakes, and runs that were stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import commands
import pytest
from filelock import FileLock
from handing_in import ONE, PLAIN, STUB, UPSAMPLING, N, hand_in, notebook, points_of

from n2n_lib.course.grading import run
from n2n_lib.course.grading.run import grade
from n2n_lib.course.grading.written.outputs import Outputs


@pytest.mark.skipif(os.name == "nt", reason="needs SIGINT for another process")
def test_a_run_that_was_stopped_goes_on(tmp_path: Path, source: Path, monkeypatch):
    """What is done is not done again, and a submission that has changed is."""
    students, journal = tmp_path / "students", tmp_path / "grades.csv.journal"
    for name, body in (("ann", STUB), ("bob", "while True: pass")):
        hand_in(students / name, (UPSAMPLING, notebook(UPSAMPLING, rest=body)))
    call = ["grade", students, "--out", tmp_path / "grades.csv", "--jobs", 1]
    call += ["--source", source, "--json", "-q"]
    with subprocess.Popen(
        commands.command(*call),
        env=commands.environment(),
        preexec_fn=commands.hear_ctrl_c,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while len(journal.read_text().splitlines() if journal.exists() else ()) < 2:
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped; the same command goes on" in said
    assert not (tmp_path / "grades.csv").exists()

    monkeypatch.setattr(run, "_check_solutions", lambda *_: None)  # they were, by the first run
    key, line = journal.read_text().splitlines()
    known = json.loads(line)
    assert known["student"] == "ann"
    known["marks"][f"{N}/stamp-row"]["points"] = 0.5  # as no check gives them
    journal.write_text(f"{key}\n{json.dumps(known)}\n")
    (students / "bob" / f"{UPSAMPLING}.ipynb").write_bytes(ONE)
    assert totals(commands.run(*call)) == {"ann": 0.5, "bob": points_of(UPSAMPLING)}
    (students / "ann" / f"{UPSAMPLING}.ipynb").write_bytes(ONE)
    assert totals(commands.run(*call)) == dict.fromkeys(["ann", "bob"], points_of(UPSAMPLING))


@pytest.mark.skipif(os.name == "nt", reason="needs names that Windows does not have")
def test_names_that_no_terminal_should_show(tmp_path: Path, source: Path, monkeypatch):
    monkeypatch.setattr(run, "_check_solutions", lambda *_: None)  # which have no name to show
    names = ["x" * 240, "a\x1b[31mb", "a\nb", "[red]", "CON", "\udc80", "a,b;'\"c"]
    for name in names:
        hand_in(tmp_path / "class" / name, (UPSAMPLING, notebook(UPSAMPLING, rest=STUB)))
    done = commands.run(
        *("grade", tmp_path / "class", "--out", tmp_path / "grades.csv", "--source", source),
        *("--jobs", 1, "-q"),
    )
    assert done.code == 0
    assert f"{len(names)} students recognised" in done.out
    assert "\x1b[31m" not in done.out and "a?[31mb" in done.out and "[red]" in done.out
    lines = (tmp_path / "grades.csv.journal").read_text(encoding="ascii").splitlines()
    students = {json.loads(line)["student"] for line in lines[1:]}
    assert len(students) == len(names) and all(each.isprintable() for each in students)


def totals(done: commands.Run) -> dict[str, float]:
    """Return the points of each student, of a run that ended well."""
    assert done.code == 0
    result = json.loads(done.out.splitlines()[-1])
    return {name: each["total"] for name, each in result["students"].items()}


def test_solutions_that_are_wrong_stop_everything(tmp_path: Path):
    wrong = notebook(UPSAMPLING, {"upsample-forward": STUB})
    source = hand_in(tmp_path / "lessons", (UPSAMPLING, wrong))
    hand_in(tmp_path / "class" / "ann", (UPSAMPLING, notebook(UPSAMPLING)))
    with pytest.raises(ValueError, match=f"got {N}/upsample-forward.* wrong"):
        grade(
            tmp_path / "class",
            Outputs(tmp_path / "grades.csv"),
            source=source,
            limits=PLAIN,
            jobs=1,
        )
    assert not (tmp_path / "grades.csv").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere"], "expected a folder of submissions or a zip file, got nowhere"),
        (["class", "--source", "nowhere"], "expected a folder of lessons, got nowhere"),
        (["class", "--source", "class"], "expected a folder of lessons with exercises, got class"),
        (["class", "--timeout", "0"], "expected --timeout of at least 1, got 0"),
        (["class", "--jobs", "0"], "expected --jobs of at least 1, got 0"),
        (["class", "--memory", "none"], "got 'none'"),
    ],
)
def test_a_wrong_call_ends_in_one_line(
    tmp_path: Path, monkeypatch, arguments: list[str], message: str
):
    monkeypatch.chdir(tmp_path)
    hand_in(tmp_path / "class" / "ann", (UPSAMPLING, {}))
    code, _, err = commands.run("grade", *arguments, "--out", "grades.csv")
    assert code == 2 and message in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["class"]


def test_two_runs_do_not_mix(tmp_path: Path, source: Path):
    hand_in(tmp_path / "class" / "ann", (UPSAMPLING, {}))
    with (
        FileLock(tmp_path / ".grades.csv.lock"),
        pytest.raises(ValueError, match="expected no other run to write to"),
    ):
        grade(tmp_path / "class", Outputs(tmp_path / "grades.csv"), source=source, limits=PLAIN)

"""The command, its mistakes, and runs that were stopped."""

from __future__ import annotations

import json
from pathlib import Path

import commands
import pytest
from filelock import FileLock
from handing_in import ONE, PLAIN, STUB, UPSAMPLING, N, hand_in, notebook, points_of

from n2n_lib.course.grading import run
from n2n_lib.course.grading.outputs import Outputs
from n2n_lib.course.grading.run import grade


def test_a_run_that_was_stopped_goes_on(tmp_path: Path, source: Path, monkeypatch):
    """What is done is not done again, and a submission that has changed is."""
    students, begun = tmp_path / "students", []
    for name in ("ann", "bob"):
        hand_in(students / name, (UPSAMPLING, notebook(UPSAMPLING, rest=STUB)))
    original = run.grade_submission

    def watched(submission, *arguments):
        begun.append(submission.student)
        if submission.student == "bob" and begun.count("bob") == 1:
            raise KeyboardInterrupt
        return original(submission, *arguments)

    monkeypatch.setattr(run, "grade_submission", watched)
    call = ["grade", students, "--out", tmp_path / "grades.csv", "--jobs", 1]
    call += ["--source", source, "--json", "-q"]
    stopped = commands.run(*call)
    assert stopped.code == 130
    assert "grading with the same command" in stopped.err
    assert not (tmp_path / "grades.csv").exists()
    assert totals(commands.run(*call)) == {"ann": 0, "bob": 0}
    assert begun == ["lessons", "ann", "bob", "lessons", "bob"]
    (students / "ann" / f"{UPSAMPLING}.ipynb").write_bytes(ONE)
    assert totals(commands.run(*call)) == {"ann": points_of(UPSAMPLING), "bob": 0}
    assert begun[5:] == ["lessons", "ann"]


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
        grade(tmp_path / "class", Outputs(tmp_path / "grades.csv"), source=source, limits=PLAIN)
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

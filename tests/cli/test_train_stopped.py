"""``n2n train`` that is stopped, goes on, or diverges."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import assert_one_line, command, environment, hear_ctrl_c, run, tree, well
from given import (
    course_folder,
    parameters,
)
from reference import assert_same

from n2n_lib.framework.schedules import SCHEDULES


def test_resume_with_other_settings(tmp_path):
    options = ("--pairs", 8, "--epochs", 2, "--out", tmp_path, "--quiet", "--resume")
    well("train", *options)
    before = tree(tmp_path)
    for change, name, value in [
        (("--lr", 1), "lr", "1.0"),
        (("--batch", 3), "batch_size", "3"),
        (("--epochs", 3), "num_epochs", "3"),
        (("--seed", 7), "seed", "7"),
        (("--pairs", 9), "data", ""),
        (("--noise", "gaussian"), "data", ""),
    ]:
        done = run("train", *options, *change)
        assert_one_line(done, "checkpoint.pth", "expected", name, value)
        assert tree(tmp_path) == before


@pytest.mark.parametrize("content", [b"", b"hello", None], ids=["empty", "text", "a model"])
def test_resume_from_a_damaged_checkpoint(content: bytes | None, model_file, tmp_path):
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(model_file.read_bytes() if content is None else content)
    before = tree(tmp_path)
    done = run("train", "--pairs", 8, "--epochs", 1, "--out", tmp_path, "--quiet", "--resume")
    assert_one_line(done, "checkpoint.pth", "expected", "checkpoint of n2n")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("lr", ["1e20", "1e300"])
def test_a_learning_rate_that_diverges(lr: str, tmp_path):
    done = run("train", "--pairs", 40, "--epochs", 2, "--lr", lr, "--out", tmp_path, "--quiet")
    assert_one_line(done, "expected", "learning rate")
    assert (tmp_path / "model.pth").exists() is ("weights before it are in" in done.err)


def test_the_last_good_weights_of_a_diverging_run_are_written(tmp_path, monkeypatch):
    monkeypatch.setitem(SCHEDULES, "late", lambda lr, step, total: lr if step < 40 else 1e30)
    data_folder = course_folder(tmp_path / "data", count=40)
    options = ("--data", data_folder, "--batch", 1, "--schedule", "late", "--quiet")
    done = run("train", *options, "--epochs", 3, "--out", tmp_path / "out")
    model_path = tmp_path / "out" / "model.pth"
    assert_one_line(done, "in epoch 2", f"the weights before it are in {model_path}")
    assert_same(parameters(tmp_path / "out" / "checkpoint.pth"), parameters(model_path))
    done = run("train", *options, "--epochs", 3, "--lr", 1e30, "--out", tmp_path / "first")
    assert_one_line(done, "in epoch 1")
    assert not (tmp_path / "first" / "model.pth").exists()


EPOCHS = 6


def stop_in_the_middle(arguments: tuple, out: Path, stop: Callable) -> tuple[int, str]:
    """Start training, stop it after its first epochs and before its last; code and stderr."""
    options = {} if os.name == "nt" else {"preexec_fn": hear_ctrl_c}
    process = subprocess.Popen(
        command("train", *arguments),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    try:
        deadline = time.monotonic() + 60
        while not (out / "checkpoint.pth").exists():
            assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
            time.sleep(0.01)
        time.sleep(0.05)
        stop(process)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert not (out / "model.pth").exists(), "the run ended before it could be stopped"
    assert torch.load(out / "checkpoint.pth", weights_only=True)["history"]["seconds"]
    return process.returncode, err


@pytest.fixture(scope="module")
def long_run(tmp_path_factory) -> tuple[tuple, Path]:
    """The arguments of a run of some seconds, and the model that it gives when left alone."""
    folder = course_folder(tmp_path_factory.mktemp("long") / "data", count=1500)
    arguments = ("--data", folder, "--epochs", EPOCHS, "--batch", 4, "--lr", 1, "--quiet")
    out, threads = folder.parent / "whole", torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            done = run("train", *arguments, "--out", out)
    finally:
        torch.set_num_threads(threads)
    assert done.code == 0, done.err
    return arguments, out / "model.pth"


def test_a_killed_run_goes_on_to_the_same_weights(long_run, tmp_path):
    arguments, whole = long_run
    arguments = (*arguments, "--out", tmp_path)
    code, _ = stop_in_the_middle(arguments, tmp_path, subprocess.Popen.kill)  # SIGKILL
    assert code != 0
    finished = len(torch.load(tmp_path / "checkpoint.pth", weights_only=True)["history"]["seconds"])
    assert 1 <= finished < EPOCHS
    subprocess.run(
        command("train", *arguments, "--resume"),
        env=environment(),
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert_same(parameters(whole), parameters(tmp_path / "model.pth"))


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to a whole console")
def test_ctrl_c_says_how_to_go_on(long_run, tmp_path):
    arguments, whole = long_run
    arguments = (*arguments, "--out", tmp_path)
    code, err = stop_in_the_middle(
        arguments, tmp_path, lambda process: process.send_signal(signal.SIGINT)
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        well("train", *arguments, "--resume")
    finally:
        torch.set_num_threads(threads)
    assert_same(parameters(whole), parameters(tmp_path / "model.pth"))
    assert code == 130
    assert "Traceback" not in err
    assert "--resume" in err.strip().splitlines()[-1]

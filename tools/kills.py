"""Kill running commands at random moments, and require that nothing is half written or lost.

``python -m tools.kills`` starts a command in a process of its own, kills it (SIGKILL) after a
random time, looks at the files, and starts it again, until it comes to its end. It requires that

- every file is whole or absent, whenever one looks,
- what was finished once stays finished: no epoch, no save and no notebook is lost,
- in the end there is what a run without kills gives, bit for bit,
- what a killed process leaves behind is gone after a later run, once it is old.

Needs a system with fork, so that a process starts with the library loaded. A command is one entry
of `COMMANDS`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partialmethod
from pathlib import Path
from unittest import mock

import nbformat
import torch
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image

from n2n_lib import cli
from n2n_lib.course.grading import run as grading
from n2n_lib.course.lessons import stem_of
from n2n_lib.course.notebooks import execute, find_lessons
from n2n_lib.denoiser import images, source
from n2n_lib.denoiser.model import Model
from n2n_lib.support import files


class Lost(Exception):
    """A file is not whole, or something that was finished is not there any more."""


@dataclass(frozen=True)
class Command:
    """Something that writes files and may be killed.

    Attributes
    ----------
    start : callable
        Gets an empty folder and puts there what the command needs.
    run : callable
        Gets the folder and runs the command to its end; a second call goes on.
    progress : callable
        Gets the folder and returns how much is finished, a number that must never fall.
    result : callable
        Gets the folder of a run that came to its end and returns what must be the same.
    """

    start: Callable[[Path], None]
    run: Callable[[Path], None]
    progress: Callable[[Path], int]
    result: Callable[[Path], object]


@dataclass
class Report:
    """What became of one command."""

    command: str
    kills: int = 0  # while it ran
    ends: int = 0  # runs that were killed, then came to their end
    litter: int = 0  # files that kills left behind

    def __str__(self) -> str:
        return (
            f"{self.command}: {self.kills} kills, then {self.ends} runs to the end as without any; "
            f"{self.litter} unfinished files left behind and removed"
        )


# --------------------------------------------------------------------------------------------------
# The commands


def _pictures(count: int, side: int, seed: int) -> torch.Tensor:
    drawn = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), generator=drawn).to(torch.uint8)


def put_pairs(folder: Path) -> None:
    (folder / "data").mkdir()
    for name, seed in (("train_data.pkl", 0), ("val_data.pkl", 2)):
        pair = _pictures(12, 16, seed), _pictures(12, 16, seed + 1)
        files.save(pair, folder / "data" / name)


def _put_photographs(folder: Path) -> None:
    (folder / "data").mkdir()
    for seed in range(2):
        images.save_image(_pictures(1, 96, seed)[0], folder / "data" / f"{seed}.png")


SHORT_EPOCHS = partialmethod(Model.train_stream, epoch_steps=20)
"""`Model.train_stream` with a checkpoint every 20 steps in place of 500."""


def _call(folder: Path, *arguments: object) -> None:
    """Run the command line with few images and short epochs; raise unless it ends well."""
    words = [*arguments, "--data", folder / "data", "--out", folder / "out", "--quiet"]
    try:
        with (
            mock.patch.object(source, "VALIDATION_COUNT", 4),
            mock.patch.object(Model, "train_stream", SHORT_EPOCHS),
        ):
            cli.main([str(word) for word in words])
    except SystemExit as end:
        if end.code:
            raise


def _train(*options: object) -> Command:
    return Command(
        start=_put_photographs if "--steps" in options else put_pairs,
        run=lambda folder: _call(folder, "train", *options, "--resume"),
        progress=_epochs,
        result=lambda folder: values(folder / "out" / "model.pth"),
    )


def _epochs(folder: Path) -> int:
    """Return the number of finished epochs, and one more if the model is there."""
    checkpoint, model = folder / "out" / "checkpoint.pth", folder / "out" / "model.pth"
    if not checkpoint.exists():
        return 0
    history = files.load(checkpoint, "a checkpoint")["history"]
    return len(history["seconds"]) + model.exists()


def values(path: Path) -> list:
    model = Model()
    model.load_pretrained_model(path)
    return [parameter.tolist() for parameter, _ in model.network.param()]


SAVES = 60


def _save(folder: Path) -> None:
    """Save models, one over the other, and write down the number of each that is finished."""
    with open(folder / "finished", "ab", buffering=0) as finished:
        for number in range(min(_saved(folder) + 1, SAVES), SAVES + 1):
            model = Model("unet", seed=number, width=8)
            model.sigma = float(number)
            model.save_model(folder / "model.pth")
            finished.write(b".")


def _saved(folder: Path) -> int:
    """Return the number of the model that is there, which must not be older than the last one."""
    log = folder / "finished"
    written = min(len(log.read_bytes()), SAVES) if log.exists() else 0
    if not (folder / "model.pth").exists():
        if written:
            raise Lost(f"expected model {written}, found none")
        return 0
    model = Model()
    model.load_pretrained_model(folder / "model.pth")
    number = int(model.sigma)
    drawn = Model("unet", seed=number, width=8).network.param()
    pairs = zip(model.network.param(), drawn, strict=True)
    if not all(torch.equal(one, other) for (one, _), (other, _) in pairs):
        raise Lost(f"expected the weights of model {number}, got others")
    if number < written:
        raise Lost(f"expected model {written} or a later one, got {number}")
    return number


def _put_notebooks(folder: Path) -> None:
    for name, code in (("01_one", "print(1 + 1)"), ("02_two", "print(2 * 3)")):
        cells = [new_code_cell(code, id="a"), new_code_cell("'x' * 20000", id="b")]
        nbformat.write(new_notebook(cells=cells), folder / f"{name}.ipynb")


def _run_notebooks(folder: Path) -> None:
    left = [path for path in sorted(folder.glob("*.ipynb")) if not _has_run(path)]
    if left:
        execute(left, progress=False)


def _has_run(path: Path) -> bool:
    cells = nbformat.read(path, as_version=4).cells
    return all(cell.outputs for cell in cells)


def _edition(folder: Path) -> dict[str, str]:
    """Return the lessons of the student edition, and what its manifest says of them."""
    lessons = sorted((folder / "lessons").glob("*.ipynb"))
    return {path.name: path.read_text(encoding="utf-8") for path in lessons}


GRADED = f"{stem_of('upsampling')}.ipynb"


def _put_submissions(folder: Path) -> None:
    """Make three students who handed in one lesson, solved."""
    whole = find_lessons()[0].with_name(GRADED).read_bytes()
    for place in ("source", "in/ada", "in/bob", "in/cai"):
        (folder / place).mkdir(parents=True)
        (folder / place / GRADED).write_bytes(whole)


def _grade(folder: Path) -> None:
    words = ["grade", folder / "in", "--out", folder / "grades.csv", "--source", folder / "source"]
    # The lessons' own solutions would take a quarter of the time, and write nothing.
    with mock.patch.object(grading, "_check_solutions", lambda *_: None):
        cli.main([str(word) for word in [*words, "--jobs", 1, "--quiet"]])


def _graded(folder: Path) -> int:
    """Return how many lines the results have, which are there whole or not at all."""
    path = folder / "grades.csv"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if len(lines) not in (0, 4):
        raise Lost(f"expected a line for each of three students, got {lines}")
    return len(lines)


def _ends_well(run: Callable[[Path], None]) -> Callable[[Path], None]:
    """Let a verb of the command line return where it would leave Python."""

    def command(folder: Path) -> None:
        try:
            run(folder)
        except SystemExit as end:
            if end.code:
                raise

    return command


COMMANDS: dict[str, Command] = {
    "train": _train("--epochs", 25, "--batch", 4, "--lr", 1),
    "train --steps": _train(
        "--steps", 200, "--batch", 2, "--patch", 8, "--optimiser", "adam", "--ema", 0.9,
        "--noise", "gaussian", "--scale", "1-2",
    ),
    "save": Command(lambda folder: None, _save, _saved, _saved),
    "notebooks": Command(
        _put_notebooks,
        _run_notebooks,
        progress=lambda folder: sum(map(_has_run, folder.glob("*.ipynb"))),
        result=lambda folder: [path.read_bytes() for path in sorted(folder.glob("*.ipynb"))],
    ),
    "student": Command(
        lambda folder: None,
        _ends_well(lambda folder: cli.main(["student", str(folder / "lessons")])),
        progress=lambda folder: len(_edition(folder)),
        result=_edition,
    ),
    "grade": Command(
        _put_submissions,
        _ends_well(_grade),
        progress=_graded,
        result=lambda folder: (folder / "grades.csv").read_text(encoding="utf-8"),
    ),
}  # fmt: skip
"""Every command by name."""


# --------------------------------------------------------------------------------------------------
# Killing


def start(command: Command, folder: Path) -> int:
    """Run a command in a process of its own and return its number; its status is 0 or 1."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        torch.set_num_threads(1)
        with open(folder / "said", "a", encoding="utf-8") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        with torch.no_grad():
            command.run(folder)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def run_to_the_end(command: Command, folder: Path) -> float:
    """Run a command without a kill and return the seconds it took."""
    begun = time.monotonic()
    _, status = os.waitpid(start(command, folder), 0)
    if status:
        raise Lost(f"expected it to end well, got {(folder / 'said').read_text()[-2000:]}")
    return time.monotonic() - begun


def run_and_kill(command: Command, folder: Path, after: float) -> bool:
    """Kill a command after some seconds; return whether it still ran."""
    process = start(command, folder)
    time.sleep(after)
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    if status not in (0, signal.SIGKILL):
        raise Lost(f"expected it to run, got {(folder / 'said').read_text()[-2000:]}")
    return os.WIFSIGNALED(status)


def require_whole(folder: Path) -> None:
    """Raise unless every file can be read to its end; hidden ones are nobody's."""
    for path in sorted(folder.rglob("*")):
        if path.name.startswith("."):
            continue
        try:
            if path.suffix in (".pth", ".pkl"):
                files.load(path, "a whole file")
            elif path.suffix == ".png":
                with Image.open(path) as image:
                    image.load()
            elif path.suffix in (".json", ".ipynb"):
                json.loads(path.read_text(encoding="utf-8"))
        except Exception as error:
            raise Lost(f"expected {path.name} to be whole, got {error}") from error


def litter(folder: Path) -> list[Path]:
    return list(folder.rglob(".*.part"))


def torment(name: str, kills: int, seed: int = 0, *, seconds: float = float("inf")) -> Report:
    """Kill a command again and again, and let it come to its end after every one to four kills.

    Parameters
    ----------
    name : str
        A name out of `COMMANDS`.
    kills : int
        How often, or a few times more.
    seed : int
        Seed of the moments.
    seconds : float
        Come to an end after so long.

    Raises
    ------
    Lost
        If anything is not as it must be.
    """
    command, rnd, report = COMMANDS[name], random.Random(f"{seed} {name}"), Report(name)
    deadline = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as root:
        expected = _result_here(command, Path(root, "undisturbed"))
        timed = Path(root, "timed")
        timed.mkdir()
        command.start(timed)
        whole_run = run_to_the_end(command, timed)
        while report.kills < kills and time.monotonic() < deadline:
            folder = Path(root, f"run-{report.ends}")
            folder.mkdir()
            command.start(folder)
            finished = 0
            for _ in range(rnd.randint(1, 4)):
                report.kills += run_and_kill(command, folder, rnd.uniform(0, whole_run))
                require_whole(folder)
                before, finished = finished, command.progress(folder)
                if finished < before:
                    raise Lost(f"expected {before} or more to be finished, got {finished}")
            report.litter += _end(command, folder, expected)
            report.ends += 1
    return report


def _result_here(command: Command, folder: Path) -> object:
    """Run a command in this process, which later ones are copies of: they need not import much."""
    folder.mkdir()
    command.start(folder)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
            command.run(folder)
    finally:
        torch.set_num_threads(threads)
    return command.result(folder)


def _end(command: Command, folder: Path, expected: object) -> int:
    """Let a command come to its end and compare; return how much litter there was."""
    left = litter(folder)
    for path in left:
        old = path.stat().st_mtime - 2 * files.LITTER_AGE
        os.utime(path, (old, old))
    before = {path: path.stat().st_ino for path in folder.rglob("*")}
    run_to_the_end(command, folder)
    require_whole(folder)
    if command.result(folder) != expected:
        raise Lost(f"{folder}: expected what a run without kills gives, got something else")
    for path in litter(folder):
        whole = path.with_name(path.name[1:].rsplit(".", 2)[0])
        if whole.exists() and whole.stat().st_ino != before.get(whole):
            raise Lost(f"expected old litter to be removed, found {path.name}")
    return len(left)


def main(arguments: Sequence[str] | None = None) -> int:
    """Torment the commands of the command line's choice; return 1 if anything was lost."""
    parser = argparse.ArgumentParser(prog="kills", description=__doc__.split("\n")[0])
    parser.add_argument("command", nargs="*", help=f"out of {', '.join(COMMANDS)}; default all")
    parser.add_argument("--kills", type=int, default=50, help="for each command")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="for each command")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    for name in options.command:
        if name not in COMMANDS:
            parser.error(f"expected commands out of {', '.join(COMMANDS)}, got {name!r}")
    lost = 0
    for name in options.command or COMMANDS:
        try:
            report = torment(name, options.kills, options.seed, seconds=options.seconds)
            print(report, flush=True)
        except Lost as error:
            lost += 1
            print(f"{name}: LOST: {error}", flush=True)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())

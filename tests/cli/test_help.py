"""Help, starting, and the commands that are tested elsewhere."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from contextlib import nullcontext

import nbformat
import psutil
import pytest
import torch
import typer
from commands import Run, assert_one_line, command, environment, run, well
from nbformat.v4 import new_code_cell, new_notebook

from n2n_lib import cli
from n2n_lib.cli import options
from n2n_lib.denoiser import bench as benchmark
from n2n_lib.support import busy, cores

OPTIONS = {
    "train": "--pairs --epochs --steps --batch --optimiser --lr --schedule --ema --network"
    " --network-options --noise --sigma --patch --scale --jitter --clean-targets --data --frames"
    " --seed --threads --device --dtype --out --resume --json --quiet",
    "denoise": "--model --out --noise --sigma --block --ensemble --adapt --seed --threads",
    "evaluate": "--model --data --against --noise --sigma --block --ensemble --adapt --seed"
    " --figure --threads --json",
    "notebooks": "--timeout",
    "student": "DEST --source --library --install-from --json",
    "lab": "FOLDER --instructor --no-browser",
    "doctor": "--json",
    "bench": "--seconds --cases --json --plot --threads --busy",
    "grade": "--out --source --feedback --timeout --memory --jobs --json --quiet",
}
HEAVY = ("torch", "numpy", "matplotlib", "skimage", "sklearn", "PIL", "nbformat", "jupyter_client")


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("verb", OPTIONS)
def test_help_of_every_verb(verb: str, flag: str):
    done = well(verb, flag)
    assert all(option in done.out for option in OPTIONS[verb].split())
    assert done.err == ""


def test_help_lists_the_verbs():
    done = well("--help")
    assert all(verb in done.out for verb in OPTIONS)


def test_no_verb_shows_the_help():
    done = run()
    assert done.code in (0, 2)
    assert all(verb in done.out + done.err for verb in OPTIONS)
    assert not done.err.startswith("n2n:") and "Traceback" not in done.err


@pytest.mark.parametrize(
    ("verb", "module", "table"),
    [
        ("train", "framework.optim", "OPTIMISERS"),
        ("train", "framework.schedules", "SCHEDULES"),
        ("train", "denoiser.networks", "NETWORKS"),
        ("train", "denoiser.noise", "NOISES"),
        ("denoise", "denoiser.noise", "NOISES"),
        ("denoise", "denoiser.checkpoint", "PRETRAINED"),
        ("evaluate", "denoiser.classical", "ALL_METHODS"),
    ],
)
def test_help_names_what_there_is(verb: str, module: str, table: str):
    names = list(getattr(importlib.import_module(f"n2n_lib.{module}"), table))
    words = re.findall(r"[\w-]+", well(verb, "--help").out)
    assert any(words[i : i + len(names)] == names for i in range(len(words)))


def python(code: str, *arguments: object, **more: str) -> subprocess.CompletedProcess:
    """Run the command line after some lines of Python."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("verb", ["", *OPTIONS])
def test_help_waits_for_no_heavy_package(verb: str):
    code = (
        "import sys; from n2n_lib.__main__ import main\n"
        "try: main()\n"
        f"finally: print(set({HEAVY!r}) & sys.modules.keys())"
    )
    done = python(code, *filter(None, [verb]), "--help")
    assert done.stdout.splitlines()[-1] == "set()"


STOP = """
import sys
class Stop:
    def find_spec(self, name, *rest):
        if name == {!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Stop())
from n2n_lib.__main__ import main
main()
"""


@pytest.mark.parametrize("package", ["typer", "n2n_lib.cli.train", "torch", "skimage"])
def test_ctrl_c_while_packages_are_loaded_is_one_line(package: str, tmp_path):
    done = python(STOP.format(package), "train", "--out", tmp_path / "out")
    assert done.returncode == 130
    assert done.stderr.startswith("n2n: stopped") and len(done.stderr.splitlines()) == 1
    assert done.stdout == "" and list(tmp_path.iterdir()) == []


TRY_AGAIN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored where tests run
class Again:
    def find_spec(self, name, *rest):
        if name == "torch":
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                raise {error} from None
sys.meta_path.insert(0, Again())
from n2n_lib.__main__ import main
main()
"""


@pytest.mark.parametrize("error", ["ImportError('once')", "ValueError('1')", "RuntimeError('1')"])
def test_ctrl_c_that_a_package_made_another_error_of(error: str, tmp_path):
    """As NumPy and PyTorch do while they are loaded."""
    done = python(TRY_AGAIN.format(error=error), "train", "--out", tmp_path / "out")
    assert done.returncode == 130
    assert done.stderr.startswith("n2n: stopped") and len(done.stderr.splitlines()) == 1


LATER = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from n2n_lib.cli import student
from n2n_lib.course import edition
def fail(*arguments, **options):
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        {}
edition.make_edition = fail
from n2n_lib.__main__ import main
main()
"""


def test_ctrl_c_hides_no_mistake_and_no_bug_that_comes_after_it(tmp_path):
    done = python(LATER.format("raise ValueError('a mistake')"), "student", tmp_path / "out")
    assert done.returncode == 2 and done.stderr == "n2n: a mistake\n"
    done = python(LATER.format("raise AssertionError('a bug')"), "student", tmp_path / "out")
    assert done.returncode == 1 and "AssertionError: a bug" in done.stderr


@pytest.mark.parametrize(
    "verb, said",
    [
        ("train", "n2n: stopped; the same command with --resume goes on"),
        ("grade", "n2n: stopped; the same command goes on"),
        ("student", "n2n: stopped\n"),
        ("denoise", "n2n: stopped\n"),
        ("doctor", "n2n: stopped\n"),
    ],
)
def test_a_stopped_command_says_how_it_goes_on_if_it_does(verb: str, said: str, tmp_path):
    words = {
        "grade": [tmp_path, "--out", tmp_path / "a.csv"],
        "denoise": ["a.png"],
        "student": [tmp_path / "s"],
    }
    package = {"grade": "psutil", "student": "nbformat", "doctor": "argparse"}.get(verb, "torch")
    done = python(STOP.format(package), verb, *words.get(verb, []))
    assert done.returncode == 130
    assert done.stderr.startswith(said) and len(done.stderr.splitlines()) == 1


def test_python_m_n2n_lib(tmp_path):
    """The exit code and the one line reach whoever calls the program."""
    done = subprocess.run(
        command("train", "--lr", "-1", "--out", tmp_path / "out"),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert_one_line(Run(done.returncode, done.stdout, done.stderr), "expected", "--lr", "-1")
    assert done.stdout == "" and list(tmp_path.iterdir()) == []


def test_notebooks_are_executed_in_place(tmp_path):
    path = tmp_path / "01_sum.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("6 * 7")]), path)
    well("notebooks", path, "--timeout", 60)
    (cell,) = nbformat.read(path, as_version=4).cells
    assert cell.execution_count == 1
    assert cell.outputs[0].data["text/plain"] == "42"


LIMITS = "processor threads torch gigaflops gigaflops_mm gigabytes_per_second".split()


def test_full_runs_print_a_line_for_each_row(monkeypatch):
    def short(row, batch_size, lr):
        return benchmark.FullRun(row, batch_size, 90.0, 23.45, 20.97)

    monkeypatch.setattr(benchmark, "full_run", short)
    monkeypatch.setattr(benchmark, "machine", lambda: dict.fromkeys(LIMITS, 1.0))
    lines = [line for line in well("bench", "--full-runs").out.splitlines() if "minutes" in line]
    assert len(lines) == 4
    assert all("1.50 minutes, 23.45 dB" in line for line in lines)


def busy_programs() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if busy.PROGRAM in child.cmdline()]


def test_a_bench_beside_busy_programs(monkeypatch, tmp_path):
    seen = []

    def measured(cases, limits, **options):
        seen.extend(busy_programs())
        assert len(seen) == 2 and all(program.is_running() for program in seen)
        yield from ()

    monkeypatch.setattr(benchmark, "machine", lambda: dict.fromkeys(LIMITS, 1.0))
    monkeypatch.setattr(benchmark, "run", measured)
    done = well("bench", "--busy", 2, "--json", tmp_path / "bench.json")
    assert "beside 2 busy programs" in done.out
    assert json.loads((tmp_path / "bench.json").read_text())["machine"]["busy"] == 2
    assert seen and not any(program.is_running() for program in seen)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError("no"), ZeroDivisionError])
def test_busy_programs_end_whatever_happens(monkeypatch, error):
    seen = []

    def fails(cases, limits, **options):
        seen.extend(busy_programs())
        raise error

    monkeypatch.setattr(benchmark, "machine", lambda: dict.fromkeys(LIMITS, 1.0))
    monkeypatch.setattr(benchmark, "run", fails)
    with pytest.raises(ZeroDivisionError) if error is ZeroDivisionError else nullcontext():
        assert run("bench", "--busy", 1).code in (2, 130)
    assert len(seen) == 1 and not seen[0].is_running()


@pytest.mark.parametrize("processors, most", [(1, 4), (2, 8), (32, 128)])
def test_as_many_threads_as_processors_can_be_expected_to_run(monkeypatch, processors, most):
    monkeypatch.setattr(cores, "present", lambda: processors)
    with typer.Context(typer.main.get_command(cli.app)) as context:
        options.use_threads(context, most)
        assert torch.get_num_threads() == most
        with pytest.raises(options.UsageError, match=f"at most {most}, 4 for .*, got {most + 1}"):
            options.use_threads(context, most + 1)

"""The self-test ``n2n doctor``: what the lessons need, what is there, and how to mend the rest.

It must run where packages are missing or broken, and say so on a Python that is too old. So this
file imports the standard library alone and is written for Python 3.8, `n2n_lib` loads nothing by
itself, and whatever could fail, hang or crash is a *probe*, a Python process of its own.
"""

from __future__ import annotations

import argparse
import ast
import importlib.metadata
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import Any

from n2n_lib.support import cores

OK, WARNING, FAULT = "ok", "warning", "fault"

DISTRIBUTION = "n2n-lib"

IMPORT_NAMES = {
    "ipython": "IPython",
    "jupyter-client": "jupyter_client",
    "jupyter-core": "jupyter_core",
    "pillow": "PIL",
    "PyWavelets": "pywt",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
}
"""Where a package is imported under another name than it is installed under."""

CONDA_NAMES = {
    "jupyter-client": "jupyter_client",
    "jupyter-core": "jupyter_core",
    "matplotlib": "matplotlib-base",
    "PyWavelets": "pywavelets",
    "torch": "pytorch-cpu",
}
"""Where conda-forge has another name than PyPI."""

PACKAGE_FIRST = "mend the packages above first"

GO_HOME = "go to a folder of your own with cd, and start from there"

IPYKERNEL = "6.29"
"""Oldest version of the kernel that will do; jupyterlab brings it along."""

TIME_LIMIT = 180
"""Seconds that one probe may take: a first import on a slow disk takes tens of them."""

LOOKS = 20
"""How often, meanwhile, it is looked for something that the probe has printed."""

MEMORY_NEEDED, DISK_NEEDED = 2.5, 1.0
"""Gigabytes that should be free: of memory the lesson on training takes 2.0 at its peak."""

TOO_LITTLE = 0.2
"""Share of these below which nothing works any more."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes
    ----------
    name : str
        What was looked at.
    status : str
        ``"ok"``, ``"warning"`` or ``"fault"``.
    found : str
        What is there.
    mend : str
        What to do about it, if possible a command; empty if all is well.
    """

    name: str
    status: str
    found: str
    mend: str = ""


def main(arguments: Sequence[str]) -> int:
    """Run the command with what follows ``n2n doctor``, and return its exit code."""
    parser = argparse.ArgumentParser("n2n doctor", description=run.__doc__.splitlines()[0])
    parser.add_argument(
        "--json",
        action="store_true",
        help="Print one JSON object as the last line of the output.",
    )
    parser.add_argument("--probe", choices=PROBES, nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.probe:
        answers: dict[str, Any] = {}
        print(json.dumps(answers), flush=True)
        for name in options.probe:
            answers[name] = PROBES[name]()
            print(json.dumps(answers), flush=True)
        return 0
    try:
        return run(options.json)
    except KeyboardInterrupt:
        return 130


def run(as_json: bool = False) -> int:
    """Check this computer for the lessons, and say how to mend what is wrong.

    Parameters
    ----------
    as_json : bool
        Whether to print one JSON object as the last line: ``checks``, a list of the fields of
        `Finding`, and the numbers of ``faults`` and ``warnings``.

    Returns
    -------
    int
        1 if there is a fault, else 0. Warnings alone are no fault.
    """
    findings = []
    for finding in check():
        findings.append(finding)
        print(f"{finding.status:<8} {finding.name:<21} {finding.found}", flush=True)
        if finding.mend:
            print(f"{'':<8} mend: {finding.mend}", flush=True)
    faults, warnings = (sum(f.status == status for f in findings) for status in (FAULT, WARNING))
    print(f"{len(findings)} checks: faults {faults}, warnings {warnings}")
    if as_json:
        checks = [asdict(finding) for finding in findings]
        print(json.dumps({"faults": faults, "warnings": warnings, "checks": checks}))
    return 1 if faults else 0


def check() -> Iterator[Finding]:
    """Yield the findings one after the other, as soon as each is there."""
    try:
        project = importlib.metadata.metadata(DISTRIBUTION)
        requirements = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        yield check_python(">=3.10")
        yield Finding(DISTRIBUTION, FAULT, "not installed", _pip_install("-e", _folder()))
        return
    yield check_python(project["Requires-Python"])
    try:
        os.getcwd()
    except FileNotFoundError:  # in there no program works, and each says something else
        yield Finding("current folder", FAULT, "it has been removed", GO_HOME)
        return
    packages = dict(filter(None, map(name_and_bound, requirements)))
    checks: list[Callable[[], Finding]] = [
        *(partial(check_package, *each, tuple(packages)) for each in packages.items()),
        check_threads,
        check_memory,
        check_disk,
        check_current_folder,
        check_temporary_folder,
        partial(check_folders_of, "Jupyter", "jupyter-core", "JUPYTER_RUNTIME_DIR"),
        partial(check_folders_of, "matplotlib", "matplotlib", "MPLCONFIGDIR"),
        check_kernel,
        partial(check_probe, "gradient", "torch"),
        partial(check_probe, "figure", "matplotlib"),
        check_weights,
        check_lessons,
    ]
    # Probes spend their time reading from the disk: two at a time. Findings come in their order.
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield from pool.map(lambda one: one(), checks)


# ------------------------------------------------------------------------------ probes


def probe(name: str) -> tuple[Any, str]:
    """Return what a function of `PROBES` returns in another process, or None and the error."""
    answers, error, late = _probed(TOGETHER) if name in TOGETHER else ({}, "", "")
    if name not in answers and name != late:
        answers, error, _ = _probed((name,))
    return (answers[name], "") if name in answers else (None, error)


def import_error(name: str, among: tuple[str, ...]) -> str:
    """Return why a package cannot be imported, or nothing if it can, as all others, too."""
    done, error, late = _imported(among)
    if not error or name in done:
        return ""
    return error if name == late else _imported((name,))[1]


# Where all is well, one process loads torch for all of them. It says too little where one of them
# fails or crashes: then each has a process of its own. Which one hangs, it does say.


def _once(function: Callable[[tuple[str, ...]], Any]) -> Callable[[tuple[str, ...]], Any]:
    """Let only one of several threads do what they all wait for."""
    lock, cached = Lock(), lru_cache(maxsize=None)(function)

    def waiting(names: tuple[str, ...]) -> Any:
        if len(names) == 1:
            return function(names)
        with lock:
            return cached(names)

    return waiting


@_once
def _probed(names: tuple[str, ...]) -> tuple[dict[str, Any], str, str]:
    """Return what was found out, the error, and the name that there was no answer for."""
    answers, error = run_python(["-m", "n2n_lib", "doctor", "--probe", *names])
    return answers or {}, error, _late(names, answers)


@_once
def _imported(names: tuple[str, ...]) -> tuple[Sequence[str], str, str]:
    """Return what was imported, the error, and the name of what did not end to be."""
    modules = [IMPORT_NAMES.get(name, name) for name in names]
    done, error = run_python(["-c", IMPORTING, *modules])
    return names[: len(done or ())], error, _late(names, done)


def _late(names: tuple[str, ...], done: Sized | None) -> str:
    """Return the one that a process hung at, which does them in turn and says what is done."""
    return "" if done is None or len(done) == len(names) else names[len(done)]


IMPORTING = """
import importlib, json, sys
done = []
print(json.dumps(done), flush=True)
for name in sys.argv[1:]:
    importlib.import_module(name)
    done.append(name)
    print(json.dumps(done), flush=True)
"""


def run_python(arguments: Sequence[str]) -> tuple[Any, str]:
    """Run Python, and return its last line, which is JSON; if it failed, None and the error.

    If it prints nothing more for so long as `TIME_LIMIT`, its last line until then, and the error.
    """
    try:
        with subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as process:
            stdout, stderr, error = _listen(process)
    except OSError as problem:
        return None, str(problem)
    if not error and process.returncode:
        return None, _error_of(stderr) or f"crashed, exit code {process.returncode}"
    try:
        return json.loads(stdout.splitlines()[-1]), error
    except (IndexError, ValueError):
        return None, error or "ended without an answer"


def _listen(process: subprocess.Popen) -> tuple[str, str, str]:
    """Return what a process prints, and an error if it had to be ended; no silence is endless."""
    heard, silent = None, 0
    try:
        while silent < LOOKS:
            try:
                return (*process.communicate(timeout=TIME_LIMIT / LOOKS), "")
            except subprocess.TimeoutExpired as waited:  # with all bytes so far; None on Windows
                silent, heard = silent + 1 if waited.output == heard else 0, waited.output
    finally:
        process.kill()  # of one that has ended, nothing is left to kill
    return (heard or b"").decode(errors="replace"), "", f"no answer within {TIME_LIMIT} s"


def _error_of(stderr: str) -> str:
    """Return the line that names the last exception; its message may go on for many lines."""
    after = stderr.rpartition("Traceback (most recent call last):\n")[2]
    return next((line for line in after.splitlines() if line and not line.startswith(" ")), "")


def _count_threads() -> int:
    import torch

    return torch.get_num_threads()


def _measure_memory() -> float:
    """Return the gigabytes that are free."""
    import psutil

    return psutil.virtual_memory().available / 1e9


def _find_jupyter_folders() -> list[str]:
    from jupyter_core.paths import jupyter_runtime_dir

    return [jupyter_runtime_dir()]


def _find_matplotlib_folders() -> list[str]:
    import matplotlib

    return [matplotlib.get_configdir(), matplotlib.get_cachedir()]


def _ask_kernel() -> dict[str, str]:
    """Start the kernel that lessons ask for, and let it add and say which Python it is."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(startup_timeout=60, kernel_name="python3")
    try:
        reply = client.execute_interactive(
            "",
            user_expressions={"sum": "1 + 1", "prefix": "__import__('sys').prefix"},
            timeout=60,
            store_history=False,
        )
        answers = reply["content"]["user_expressions"]
        return {name: answer["data"]["text/plain"] for name, answer in answers.items()}
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def compare_gradients() -> str:
    """Compare the three gradients of a convolution with finite differences."""
    import torch

    from n2n_lib.framework.conv import Conv2d
    from n2n_lib.framework.gradcheck import gradcheck

    generator = torch.Generator().manual_seed(0)
    module = Conv2d(2, 3, 3, stride=2, padding=1, generator=generator).to(torch.float64)
    x = torch.randn(2, 2, 5, 5, generator=generator, dtype=torch.float64)
    report = gradcheck(module, x, generator=generator)
    if not report.ok:
        raise ArithmeticError("a gradient of Conv2d is wrong")
    worst = max(errors["finite differences"] for _, _, errors in report.rows)
    return f"Conv2d agrees with finite differences, relative error {worst:.0e}"


def _draw_figure() -> str:
    """Draw a line into a PNG in memory."""
    from io import BytesIO

    from matplotlib.figure import Figure

    figure, file = Figure(), BytesIO()
    figure.subplots().plot([1, 3, 2])
    figure.savefig(file, format="png")
    return f"a PNG of {len(file.getvalue()) // 1000} kB"


def _load_weights() -> str:
    from n2n_lib.denoiser.model import PRETRAINED, Model

    for name in PRETRAINED:
        Model().load_pretrained_model(name)
    return ", ".join(PRETRAINED)


def _find_lessons() -> str:
    from n2n_lib.course.lessons import EDITION
    from n2n_lib.course.notebooks import PACKAGE, find_lessons

    if Path(PACKAGE.parent, EDITION).is_file():  # handed out with the library, and needs no others
        return f"the student edition in {PACKAGE.parent}"
    lessons = find_lessons()
    return f"{len(lessons)} in {lessons[0].parent}"


TOGETHER = ("threads", "jupyter", "matplotlib", "gradient", "figure", "weights", "lessons")
"""What one process finds out, if nothing is wrong."""

PROBES: dict[str, Callable[[], Any]] = {
    "threads": _count_threads,
    "memory": _measure_memory,
    "jupyter": _find_jupyter_folders,
    "matplotlib": _find_matplotlib_folders,
    "kernel": _ask_kernel,
    "gradient": compare_gradients,
    "figure": _draw_figure,
    "weights": _load_weights,
    "lessons": _find_lessons,
}


# ------------------------------------------------------------------------------ checks


def check_python(bound: str) -> Finding:
    """Compare this Python with the project's bound, ``">=3.10"``."""
    found = f"{platform.python_version()}, {sys.executable}"
    if reaches(platform.python_version(), bound[2:]):
        return Finding("Python", OK, found)
    mend = f"install Python {bound[2:]} or newer, and set up the environment with it again"
    return Finding("Python", FAULT, f"{found}; needed: {bound}", mend)


def check_package(name: str, bound: str, among: tuple[str, ...]) -> Finding:
    """Look for a package, its version, and whether it can be imported, together with others."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, FAULT, f"missing; needed: >={bound}", install_command(name, bound))
    if not reaches(version, bound):
        return Finding(name, FAULT, f"{version}; needed: >={bound}", install_command(name, bound))
    if error := import_error(name, among):
        return Finding(
            name,
            FAULT,
            f"{version}, but the import fails: {error}",
            install_command(name, bound, again=True),
        )
    return Finding(name, OK, version)


def check_threads() -> Finding:
    """Compare the threads of PyTorch with the processors that there are for it."""
    threads, error = probe("threads")
    if error:
        return Finding("threads", FAULT, error, remedy(error, "torch"))
    # A container or a class server may give a program fewer processors than there are.
    usable, quota = cores.usable(), cores.quota()
    found = f"torch uses {threads}, processors {cores.affinity()}"
    if quota is not None:
        found += f", of which a quota lets it use {quota:g}"
    if threads > usable.count:
        mend = f"set the environment variable OMP_NUM_THREADS to {usable.count}, and start again"
        return Finding("threads", WARNING, f"{found}: too many are slow", mend)
    return Finding("threads", OK, found)


def check_memory() -> Finding:
    """Look at the memory that is free; where psutil is missing this is only a warning."""
    free, error = probe("memory")
    if error:
        return Finding("memory", WARNING, f"unknown: {error}", remedy(error, "psutil"))
    return _enough("memory", free, MEMORY_NEEDED, "close other programs and other notebooks")


def check_disk() -> Finding:
    """Look at the room on the disk of the current folder."""
    free = shutil.disk_usage(".").free / 1e9
    return _enough("disk", free, DISK_NEEDED, "make room on the disk of the current folder")


def _enough(name: str, free: float, needed: float, mend: str) -> Finding:
    """Judge gigabytes that are free."""
    found = f"{free:.1f} GB free"
    if free >= needed:
        return Finding(name, OK, found)
    status = WARNING if free >= TOO_LITTLE * needed else FAULT
    return Finding(name, status, f"{found}; better: {needed:g} GB", mend)


def check_current_folder() -> Finding:
    """Write into the current folder, as the lessons do."""
    return _writable("current folder", os.getcwd(), GO_HOME)


def check_temporary_folder() -> Finding:
    """Write into the folder for temporary files, if there is one."""
    name = "temporary folder"
    mend = "set the environment variable TMPDIR to a folder that you may write to"
    try:
        return _writable(name, tempfile.gettempdir(), mend)
    except FileNotFoundError as error:  # none of those that Python tries can be written to
        return Finding(name, FAULT, str(error), mend)


def check_folders_of(owner: str, package: str, variable: str) -> Finding:
    """Write into the folders that a program keeps for itself, and that a variable can move."""
    name = f"{owner}'s folder"
    folders, error = probe(owner.lower())
    if error:
        return Finding(name, FAULT, error, remedy(error, package))
    mend = f"set the environment variable {variable} to a folder that you may write to"
    # Where its own folder cannot be written to, matplotlib makes one for this process alone.
    stray = [f for f in folders if Path(f).name.startswith("matplotlib-")]
    if stray:
        return Finding(
            name, FAULT, f"cannot be written to; {stray[0]} stands in, every time anew", mend
        )
    findings = [_writable(name, folder, mend) for folder in folders]
    return next((finding for finding in findings if finding.status != OK), findings[0])


def _writable(name: str, folder: str, mend: str) -> Finding:
    """Write a file into the folder, which is made if it is not there."""
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"n2n")
    except OSError as error:
        return Finding(name, FAULT, f"{folder} cannot be written to: {error.strerror}", mend)
    return Finding(name, OK, folder)


def check_kernel() -> Finding:
    """Let Jupyter start a kernel, which must be this very Python."""
    answers, error = probe("kernel")
    name = "Jupyter kernel"
    if error:
        return Finding(name, FAULT, f"python3 does not start: {error}", _mend_kernel(error))
    if answers["sum"] != "2":
        found = f"python3 says that 1 + 1 is {answers['sum']}"
        return Finding(name, FAULT, found, install_command("ipykernel", IPYKERNEL, again=True))
    prefix = ast.literal_eval(answers["prefix"])
    if not os.path.samefile(prefix, sys.prefix):
        found = f"python3 runs the Python of {prefix}, not of {sys.prefix}"
        return Finding(name, FAULT, found, "jupyter kernelspec remove python3")
    return Finding(name, OK, "python3 starts and says that 1 + 1 is 2")


def _mend_kernel(error: str) -> str:
    try:
        importlib.metadata.version("ipykernel")
    except importlib.metadata.PackageNotFoundError:
        return install_command("ipykernel", IPYKERNEL)
    if "NoSuchKernel" in error:  # the package is there, and its entry in Jupyter's list is not
        return _python_command("ipykernel", "install", "--sys-prefix")
    return install_command("ipykernel", IPYKERNEL, again=True)


def check_probe(name: str, package: str) -> Finding:
    """Run the probe of this name; if it fails, the package is to blame."""
    found, error = probe(name)
    if error:
        return Finding(name, FAULT, error, remedy(error, package))
    return Finding(name, OK, found)


def check_weights() -> Finding:
    """Load the models that come along."""
    found, error = probe("weights")
    if not error:
        return Finding("shipped weights", OK, found)
    mend = _restore("n2n_lib/denoiser/weights")
    if error.startswith("ModuleNotFoundError"):
        mend = PACKAGE_FIRST
    return Finding("shipped weights", FAULT, error, mend)


def check_lessons() -> Finding:
    """Find the lessons that ``n2n student`` and ``n2n lab`` write from."""
    found, error = probe("lessons")
    if not error:
        return Finding("lessons", OK, found)
    mend = PACKAGE_FIRST if error.startswith("ModuleNotFoundError") else _restore("notebooks")
    return Finding("lessons", FAULT, error, mend)


def _restore(name: str) -> str:
    """Return the command that brings back a part of the project."""
    if Path(_folder(), ".git").exists():
        return _quote("git", "-C", _folder(), "checkout", "--", name)
    return "install n2n_lib again, from where you got it, with pip's option --force-reinstall"


# ------------------------------------------------------------------------------ versions


def name_and_bound(requirement: str) -> tuple[str, str] | None:
    """Split ``"torch>=2.10"``, the only form that pyproject.toml has; None for an extra's."""
    found = re.fullmatch(r"([\w.-]+) *>=([\w.]+)", requirement)
    return (found[1], found[2]) if found else None


def lowest_version(name: str) -> str:
    """Return the lowest version that the project, as it was installed, asks for, or 0."""
    requirements = importlib.metadata.requires(DISTRIBUTION) or []
    return dict(filter(None, map(name_and_bound, requirements))).get(name, "0")


def reaches(version: str, bound: str) -> bool:
    """Compare releases; the package ``packaging`` might be the one that is missing."""

    def release(text: str) -> list[int]:
        numbers = [int(n) for n in re.match(r"[\d.]*", text)[0].split(".") if n]
        return numbers + [0] * (4 - len(numbers))

    return release(version) >= release(bound)


# ------------------------------------------------------------------------------ how to mend


def remedy(error: str, package: str) -> str:
    """Say how to mend the package that made a probe fail."""
    if error.startswith("ModuleNotFoundError"):
        return PACKAGE_FIRST
    return install_command(package, lowest_version(package), again=True)


def install_command(name: str, bound: str, *, again: bool = False) -> str:
    """Return the command that installs a package of at least this version, `again` anew."""
    anew = ["--force-reinstall"] if again else []
    if Path(sys.prefix, "conda-meta").is_dir():
        package = f"{CONDA_NAMES.get(name, name)}>={bound}"
        return _quote("conda", "install", "-c", "conda-forge", *anew, package)
    return _pip_install(*anew, f"{name}>={bound}")


def _pip_install(*arguments: str) -> str:
    """Return the command that installs; where the project's folder is there, in tested versions."""
    constraints = Path(_folder(), "constraints.txt")
    fixed = ["-c", str(constraints)] if constraints.is_file() else []
    return _python_command("pip", "install", *fixed, *arguments)


def _python_command(*arguments: str) -> str:
    """Return a command that runs a module with this very Python, to be copied into a terminal."""
    python = shutil.which("python")
    is_this = python is not None and os.path.samefile(python, sys.executable)
    # A venv's python is a link to the system's: the same file, but other packages.
    is_this = is_this and Path(python).parent == Path(sys.executable).parent
    return _quote("python" if is_this else sys.executable, "-m", *arguments)


def _quote(*words: str) -> str:
    """Join words as the shell of this system reads them."""
    if os.name != "nt":
        return shlex.join(words)
    return " ".join(f'"{word}"' if re.search(r"[\s<>&|^]", word) else word for word in words)


def _folder() -> str:
    """Return the folder of the project, from which it is installed."""
    return str(Path(__file__).resolve().parents[2])

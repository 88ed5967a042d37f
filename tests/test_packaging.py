"""What surrounds the library agrees with it and with itself: packages, versions, commands."""

from __future__ import annotations

import ast
import contextlib
import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from typer.testing import CliRunner

from n2n_lib.cli import app
from n2n_lib.course import doctor
from tools import fuzz, kills

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

TARGETS = (
    "setup train test student student-zip lab lab-instructor notebooks html book book-student"
    " book-check weights bench mutants fuzz attacks kills lint help clean"
).split()

CONDA_NAMES = {canonicalize_name(name): other for name, other in doctor.CONDA_NAMES.items()}

NOT_ON_CONDA_FORGE = {"bm3d"}

LEFT_OUT = {"book", "raw"}
"""Extras that environment.yml leaves out: what a target of make installs, and for raw files."""

PACKAGES = {module: canonicalize_name(name) for name, module in doctor.IMPORT_NAMES.items()} | {
    "yaml": "pyyaml",
    "tomli": "pytest",  # comes with pytest where Python has no tomllib yet
}
"""Where a package is installed under another name than it is imported under."""


def requirements(lines: list[str]) -> dict[str, Requirement]:
    return {canonicalize_name(r.name): r for r in map(Requirement, lines)}


def constraints() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


REQUIRED = requirements(PROJECT["project"]["dependencies"])
EXTRAS = {
    name: requirements(lines) for name, lines in PROJECT["project"]["optional-dependencies"].items()
}
DIRECT = REQUIRED | {name: r for extra in EXTRAS.values() for name, r in extra.items()}
PYTHONS = ["3.10.0", "3.11.4", "3.11.9", "3.12.0", "3.13.0", "3.14.0"]


def pins(python: str) -> dict[str, str]:
    """Return the versions that constraints.txt fixes for a version of Python."""
    return {
        canonicalize_name(r.name): next(iter(r.specifier)).version
        for r in constraints()
        if r.marker is None or r.marker.evaluate({"python_full_version": python})
    }


# ---------------------------------------------------------------------- the three lists


@pytest.mark.parametrize("name", DIRECT)
def test_dependencies_have_a_lower_bound_only(name: str):
    assert [part.operator for part in DIRECT[name].specifier] == [">="]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", DIRECT)
def test_constraints_satisfy_the_lower_bounds(name: str, python: str):
    assert name in pins(python)
    assert DIRECT[name].specifier.contains(pins(python)[name])


@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_are_exact_and_say_one_thing(python: str):
    for pin in constraints():
        assert [part.operator for part in pin.specifier] == ["=="], pin
        assert "+" not in str(pin.specifier) and "*" not in str(pin.specifier), pin
        assert not pin.extras and not pin.url, pin
    names = [
        canonicalize_name(r.name)
        for r in constraints()
        if r.marker is None or r.marker.evaluate({"python_full_version": python})
    ]
    assert len(names) == len(set(names))


def test_constraints_are_complete():
    """Whatever the installed packages ask for, here and now, is fixed as well."""
    fixed = pins(".".join(map(str, sys.version_info[:3])))
    waiting, seen = list(DIRECT), set()
    while waiting:
        name = waiting.pop()
        if name in seen or re.match(r"(nvidia|cuda|triton)\b", name):  # torch fixes these itself
            continue
        seen.add(name)
        assert name in fixed
        try:
            package = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # an extra that is not installed
        if package.version.partition("+")[0] != fixed[name]:
            continue  # another version (conda's) may ask for other packages
        environment = default_environment() | {"extra": ""}
        for needed in map(Requirement, package.requires or []):
            if needed.marker is None or needed.marker.evaluate(environment):
                waiting.append(canonicalize_name(needed.name))
    assert len(seen) > len(DIRECT)


def conda_requirements() -> dict[str, SpecifierSet]:
    """Return what environment.yml asks for, conda's part and pip's."""
    *conda, last = ENVIRONMENT["dependencies"]
    lines = conda + [line for line in last["pip"] if not line.startswith("-")]
    parts = [line.partition(" ") for line in lines]
    return {name: SpecifierSet(bounds.replace(" ", "")) for name, _, bounds in parts}


def test_environment_holds_every_dependency_with_the_same_bound_and_nothing_else():
    extras = [names for extra, names in EXTRAS.items() if extra not in LEFT_OUT]
    needed = REQUIRED | {name: r for names in extras for name, r in names.items()}
    expected = {CONDA_NAMES.get(name, name): r.specifier for name, r in needed.items()}
    expected["python"] = SpecifierSet(PROJECT["project"]["requires-python"])
    expected["pip"] = SpecifierSet()
    assert conda_requirements() == expected


def test_environment_takes_all_but_this_package_from_conda_forge():
    assert ENVIRONMENT["channels"] == ["conda-forge", "nodefaults"]
    assert ENVIRONMENT["name"] == "n2n"
    from_pip = ENVIRONMENT["dependencies"][-1]["pip"]
    assert from_pip[-1] == "-e ."
    assert {line.partition(" ")[0] for line in from_pip[:-1]} == NOT_ON_CONDA_FORGE


@pytest.mark.parametrize(
    "name",
    ["pyproject.toml", "constraints.txt", "environment.yml", "Makefile", ".ci/run"]
    + [".github/workflows/ci.yml", "docs/gitlab-ci.yml"],
)
def test_nobody_is_told_where_to_download_from(name: str):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"index-url|find-links|trusted-host|https?://", text)


def imported(path: Path) -> Iterator[str]:
    """Yield the packages that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (item.name.partition(".")[0] for item in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]


@pytest.mark.parametrize(
    "folder, allowed",
    [
        ("n2n_lib", REQUIRED | EXTRAS["bench"] | EXTRAS["raw"]),
        ("docs/book", REQUIRED | EXTRAS["book"]),
        ("tests", DIRECT),
    ],
    ids=["n2n_lib", "book", "tests"],
)
def test_whatever_is_imported_is_declared(folder: str, allowed: dict[str, Requirement]):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    book = {path.stem for path in (ROOT / "docs" / "book").glob("*.py")}
    own = {"n2n_lib", "tests", "tools"} | {path.stem for path in files if folder == "tests"} | book
    for path in files:
        foreign = set(imported(path)) - own - sys.stdlib_module_names - {"tomllib"}
        names = {canonicalize_name(PACKAGES.get(name, name)) for name in foreign}
        assert names <= allowed.keys(), path


# ---------------------------------------------------------------------- the package


def test_the_command_and_the_data_of_the_package():
    assert PROJECT["project"]["name"] == "n2n-lib"
    assert PROJECT["project"]["scripts"] == {"n2n": "n2n_lib.__main__:main"}
    assert PROJECT["tool"]["setuptools"]["package-data"] == {
        "n2n_lib": ["denoiser/weights/*.pth", "course/grading/written/*.html"]
    }


def test_every_folder_of_code_is_a_package():
    """A folder without __init__.py would work here, and be missing once installed."""
    for path in (ROOT / "n2n_lib").rglob("*.py"):
        assert (path.parent / "__init__.py").is_file(), path


def test_licence():
    assert PROJECT["project"]["license"] == "MIT"
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("MIT License\n")
    assert "Permission is hereby granted, free of charge" in " ".join(text.split())


def test_readme_is_there_for_the_package():
    assert (ROOT / PROJECT["project"]["readme"]).is_file()


def test_security_tells_of_every_loader_and_command_that_is_tried():
    text = (ROOT / "docs" / "SECURITY.md").read_text(encoding="utf-8")
    assert "docs/SECURITY.md" in (ROOT / "README.md").read_text(encoding="utf-8")
    for name in [*fuzz.LOADERS, *kills.COMMANDS]:
        assert re.search(rf"^\| `{name}` \|.*\d", text, flags=re.MULTILINE), name
    assert set(re.findall(r"`make ([a-z]+)`", text)) <= set(TARGETS)
    for name in re.findall(r"tests/\w+\.py", text):
        assert (ROOT / name).is_file()


# ---------------------------------------------------------------------- make

with_make = pytest.mark.skipif(
    shutil.which("make") is None or os.name == "nt", reason="needs make and a POSIX shell"
)


def make(
    *arguments: str, folder: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run make as from a fresh terminal, also when these tests were started by make."""
    own = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=own | variables,
        text=True,
        capture_output=True,
        timeout=60,
    )


def declared_targets() -> list[str]:
    return re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE)


def test_targets():
    assert set(declared_targets()) == set(TARGETS)
    assert declared_targets()[0] == "help"  # what a bare make does
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE.replace("\\\n", " "), flags=re.MULTILINE)
    assert phony and set(phony[1].split()) == set(TARGETS)


@with_make
def test_the_commands_that_train_the_shipped_networks_know_their_options(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    recipe = make("-n", "weights").stdout.replace("\\\n", " ")
    commands = [line for line in recipe.splitlines() if "n2n train" in line]
    assert len(commands) == 5
    shown = CliRunner().invoke(app, ["train", "--help"]).output
    for command in commands:
        for option in re.findall(r"--[a-z-]+", command):
            assert re.search(rf"{option}\b", shown), option


@with_make
def test_help_is_one_line_per_target():
    shown = make()
    assert shown.returncode == 0
    assert sorted(line.split()[1] for line in shown.stdout.splitlines()) == sorted(TARGETS)
    assert all(len(line.split()) > 3 for line in shown.stdout.splitlines())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the Makefile and a Python that only writes down what it is told."""
    folder = tmp_path / "a project"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    tool = folder / "tool"
    tool.write_text(
        "#!/bin/sh\n"
        'name=$(basename "$0")\n'
        'echo "$name $*" >> calls\n'
        'if [ "$2" = venv ]; then\n'
        "    mkdir -p .venv/bin\n"
        "    for made in python n2n ruff lint-imports codespell jupyter; do\n"
        '        cp "$0" .venv/bin/$made\n'
        "    done\n"
        "fi\n"
        'case "$FAIL" in ?*) case "$name $*" in *"$FAIL"*) exit 1;; esac;; esac\n'
        'case "$SLOW" in ?*) case "$name $*" in *"$SLOW"*) exec sleep 60;; esac;; esac\n'
    )
    tool.chmod(0o755)
    return folder


def calls(project: Path) -> list[str]:
    """Return what was called since the last time one asked."""
    log = project / "calls"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


VENV = "tool -m venv --clear .venv"
INSTALL = "python -m pip install --quiet -c constraints.txt -e .[test,bench,grading]"


@with_make
def test_setup_is_done_once_and_again_when_the_versions_change(project: Path):
    assert make("setup", "PYTHON=./tool", folder=project).returncode == 0
    assert calls(project) == [VENV, INSTALL]
    assert make("train", "PYTHON=./tool", folder=project).returncode == 0
    assert calls(project) == ["n2n train"]
    stamp = (project / ".venv/.complete").stat().st_mtime
    os.utime(project / "constraints.txt", (stamp + 10, stamp + 10))
    assert make("train", "PYTHON=./tool", folder=project).returncode == 0
    assert calls(project) == [VENV.replace("--clear ", ""), INSTALL, "n2n train"]


@with_make
@pytest.mark.parametrize("step", ["venv", "pip"])
def test_a_setup_that_failed_is_done_again(project: Path, step: str):
    failed = make("train", "PYTHON=./tool", folder=project, FAIL=f"-m {step}")
    assert failed.returncode != 0
    assert not any("n2n" in call for call in calls(project))
    assert not (project / ".venv/.complete").exists()
    assert make("train", "PYTHON=./tool", folder=project).returncode == 0
    assert calls(project) == [VENV, INSTALL, "n2n train"]


@with_make
@pytest.mark.parametrize(
    "target, call",
    [
        ("train", "n2n train --pairs 1000"),
        ("notebooks", "n2n notebooks --pairs 1000"),
        ("bench", "n2n bench --pairs 1000"),
        ("student", "n2n student student --pairs 1000"),
        ("student-zip", "n2n student n2n-lessons.zip --pairs 1000"),
        ("lab", "n2n lab student"),
        ("lab-instructor", "n2n lab --instructor"),
        ("mutants", "python -m tools.mutations --pairs 1000"),
        ("fuzz", "python -m tools.fuzz --pairs 1000"),
        ("kills", "python -m tools.kills --pairs 1000"),
        ("html", "jupyter nbconvert --to html --output-dir build/html notebooks/*.ipynb"),
    ],
)
def test_what_a_target_calls(project: Path, target: str, call: str):
    arguments = (target, "PYTHON=./tool", "ARGS=--pairs 1000")
    assert make(*arguments, folder=project).returncode == 0
    assert calls(project) == [VENV, INSTALL, call]
    assert make(*arguments, folder=project, FAIL=call).returncode != 0


UNIT_TESTS = "python -m pytest tests"
PARTS = [
    f"{UNIT_TESTS} --ignore=tests/course --ignore=tests/cli",
    f"{UNIT_TESTS}/course",
    f"{UNIT_TESTS}/cli",
]
NBVAL = (
    "python -m pytest --nbval --nbval-current-env --nbval-cell-timeout=1200 "
    "--nbval-sanitize-with notebooks/nbval_sanitize.cfg notebooks"
)
STYLE = ["ruff check .", "ruff format --check .", "lint-imports ", "codespell "]


@with_make
@pytest.mark.parametrize(
    "target, steps",
    [("test", [*PARTS, *(f"{NBVAL}/0{n}_x.ipynb" for n in (1, 2, 3))]), ("lint", STYLE)],
    ids=["test", "lint"],
)
def test_every_step_runs_and_each_can_fail(project: Path, target: str, steps: list[str]):
    (project / "notebooks").mkdir()
    for n in (1, 2, 3):
        (project / "notebooks" / f"0{n}_x.ipynb").touch()
    assert make(target, "PYTHON=./tool", folder=project).returncode == 0
    made = calls(project)
    assert made[:2] == [VENV, INSTALL] and sorted(made[2:]) == sorted(steps)  # some side by side
    for step in steps:
        assert make(target, folder=project, FAIL=step.strip()).returncode != 0
        assert sorted(calls(project)) == sorted(steps)


def alive(group: int) -> list[list[str]]:
    """Return what the living processes of a group were called with."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.cmdline())
    return found


@with_make
@pytest.mark.parametrize("slow", ["-m pytest", "--nbval"], ids=["unit tests", "lessons alone"])
def test_ctrl_c_ends_the_unit_tests_and_the_lessons(project: Path, slow: str):
    (project / "notebooks").mkdir()
    for n in (1, 2, 3):
        (project / "notebooks" / f"0{n}_x.ipynb").touch()
    make("setup", "PYTHON=./tool", folder=project)
    calls(project)
    own = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    running = subprocess.Popen(
        ["make", "test"],
        cwd=project,
        env=own | {"SLOW": slow, "TMPDIR": str(project)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 60
        log = project / "calls"
        while not log.exists() or len(log.read_text().splitlines()) < 3 + 3 * (slow == "--nbval"):
            assert running.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.2)  # until the last of them is asleep
        os.killpg(running.pid, signal.SIGINT)
        assert running.wait(timeout=20) != 0
        deadline = time.monotonic() + 20
        while left := alive(running.pid):
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    assert len(calls(project)) == 3 + 3 * (slow == "--nbval")
    assert not list(project.glob("tmp.*"))


BOOK_INSTALL = INSTALL.replace("test,bench,grading", "book")
BOOK = ["python docs/book/make_book.py"]
STUDENT = ["python docs/book/make_book.py --student"]
SITE_TESTS = ["python -m pytest tests/book_site.py"]


@with_make
@pytest.mark.parametrize(
    "target, steps",
    [("book", BOOK), ("book-student", STUDENT), ("book-check", BOOK + STUDENT + SITE_TESTS)],
)
def test_the_book_installs_what_it_needs_once(project: Path, target: str, steps: list[str]):
    assert make(target, "PYTHON=./tool", folder=project).returncode == 0
    assert calls(project) == [VENV, INSTALL, BOOK_INSTALL, *steps]
    assert make(target, folder=project).returncode == 0
    assert calls(project) == steps
    for step in steps:
        assert make(target, folder=project, FAIL=step).returncode != 0
        calls(project)


@with_make
def test_clean_leaves_what_people_made(project: Path):
    for name in ("n2n_lib/__pycache__/x", "tests/x", "notebooks/.ipynb_checkpoints/x", "out/x"):
        (project / name).parent.mkdir(parents=True)
        (project / name).touch()
    make("setup", "PYTHON=./tool", folder=project)
    assert make("clean", folder=project).returncode == 0
    left = {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()}
    assert {"tests/x", "out/x", "Makefile"} <= left
    assert not any("cache" in name or "checkpoint" in name or ".venv" in name for name in left)


# ---------------------------------------------------------------------- continuous integration


def commands(script: str) -> list[str]:
    return [line.strip() for line in script.splitlines() if not line.lstrip().startswith("#")]


def test_ci_script_lints_and_tests():
    path = ROOT / ".ci" / "run"
    script = commands(path.read_text(encoding="utf-8"))
    assert path.read_bytes().startswith(b"#!/usr/bin/env bash\n")
    assert script[0] == "set -euo pipefail"
    assert "make lint" in script
    assert any(line.startswith("make test") for line in script)
    if os.name != "nt":
        assert os.access(path, os.X_OK)


@with_make
@pytest.mark.parametrize("fail", ["", "ruff check", "-m pytest tests", "--nbval"])
def test_ci_script_fails_with_any_step(project: Path, fail: str):
    (project / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", project / ".ci")
    make("setup", "PYTHON=./tool", folder=project)
    result = subprocess.run(
        [project / ".ci" / "run"], env=os.environ | {"FAIL": fail}, capture_output=True, timeout=60
    )
    assert (result.returncode != 0) == bool(fail)


def test_workflow_runs_the_same_commands_on_three_systems():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["test"]
    systems = {entry["os"].partition("-")[0] for entry in job["strategy"]["matrix"]["include"]}
    assert systems == {"ubuntu", "macos", "windows"}
    assert {str(entry["python"]) for entry in job["strategy"]["matrix"]["include"]} >= {"3.10"}
    scripts = [" ".join(step["run"].split()) for step in job["steps"] if "run" in step]
    assert ".ci/run" in scripts
    everything = " ".join(scripts)
    for call in (INSTALL.removeprefix("python -m pip install --quiet "), UNIT_TESTS, NBVAL, *STYLE):
        assert call.strip() in everything.replace('"', "")


def test_workflow_checks_the_book_and_publishes_it_from_main_only():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    check, publish = workflow["jobs"]["book"], workflow["jobs"]["publish"]
    assert "make book-check" in [step.get("run") for step in check["steps"]]
    assert publish["if"] == "github.ref == 'refs/heads/main'"
    assert set(publish["needs"]) == {"test", "book"}
    assert publish["permissions"] == {"pages": "write", "id-token": "write"}

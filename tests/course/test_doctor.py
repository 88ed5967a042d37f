"""The self-test, in whole and in broken environments, each a Python of its own."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from test_packaging import REQUIRED, ROOT, pins
from typer.testing import CliRunner

from n2n_lib import cli
from n2n_lib.course import doctor, notebooks
from n2n_lib.course.doctor import FAULT, OK, WARNING, Finding
from n2n_lib.course.lessons import EDITION
from n2n_lib.framework import conv
from n2n_lib.support import cores

LIBRARIES = [Path(p) for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]


@dataclass
class Diagnosis:
    """What the command printed, and its exit code."""

    code: int
    lines: list[str]
    findings: dict[str, Finding]
    faults: int
    warnings: int
    early: bool  # whether the first line came before the work was done


def diagnose(python: Path | str, folder: Path, **variables: str) -> Diagnosis:
    """Run the command as from a terminal in the folder."""
    with open(folder / "errors", "w+") as errors:
        process = subprocess.Popen(
            [python, "-m", "n2n_lib", "doctor", "--json"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        first = process.stdout.readline()
        early = process.poll() is None
        *lines, last = [first.rstrip("\n"), *process.stdout.read().splitlines()]
        code = process.wait(timeout=600)
        errors.seek(0)
        assert errors.read() == ""
    result = json.loads(last)
    findings = {entry["name"]: Finding(**entry) for entry in result["checks"]}
    return Diagnosis(code, lines, findings, result["faults"], result["warnings"], early)


# ---------------------------------------------------------------------- a whole environment


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Diagnosis:
    return diagnose(sys.executable, tmp_path_factory.mktemp("whole"))


def test_nothing_is_wrong_where_these_tests_run(whole: Diagnosis):
    faults = [finding for finding in whole.findings.values() if finding.status == FAULT]
    assert (faults, whole.faults, whole.code) == ([], 0, 0)


def test_there_is_something_to_read_from_the_beginning(whole: Diagnosis):
    assert whole.early


def test_what_is_looked_at(whole: Diagnosis):
    requires = [Requirement(line) for line in importlib.metadata.requires("n2n-lib")]
    packages = [r.name for r in requires if r.marker is None]
    assert {"torch", "typer", "nbval"} <= set(packages)
    rest = "threads, memory, disk, current folder, temporary folder, Jupyter's folder, "
    rest += "matplotlib's folder, Jupyter kernel, gradient, figure, shipped weights, lessons"
    assert list(whole.findings) == ["Python", *packages, *rest.split(", ")]
    assert whole.findings["torch"].found == importlib.metadata.version("torch")
    assert "1 + 1 is 2" in whole.findings["Jupyter kernel"].found


def test_one_line_for_each_check_and_one_that_sums_up(whole: Diagnosis):
    lines = [line for line in whole.lines if not line.startswith(" ")]
    *checks, last = lines
    for line, finding in zip(checks, whole.findings.values(), strict=True):
        assert line.split() == f"{finding.status} {finding.name} {finding.found}".split()
    count = len(whole.findings)
    assert last == f"{count} checks: faults {whole.faults}, warnings {whole.warnings}"


# ---------------------------------------------------------------------- broken environments

needs_links = pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")


def environment(folder: Path, without: tuple[str, ...]) -> tuple[Path, Path]:
    """Make an environment with links to the packages of this one, but for some distributions.

    Returns its Python and its folder of packages.
    """
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    left_out = set()
    for name in without:
        for file in importlib.metadata.files(name):
            left_out.add(file.parts[0])
    for entry in (entry for library in LIBRARIES for entry in library.iterdir()):
        link = packages / entry.name
        if entry.name not in left_out and entry.suffix != ".pth" and not link.exists():
            link.symlink_to(entry)
    return folder / "bin" / "python", packages


def replace(link: Path, name: str, text: str) -> None:
    """Put a folder with one file into the place of a link."""
    link.unlink()
    link.mkdir()
    (link / name).write_text(text)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Diagnosis:
    """No torch, an old rich, packages that fail and crash, no kernel, folders that are files."""
    folder = tmp_path_factory.mktemp("broken")
    python, packages = environment(folder / "env", without=("torch", "ipykernel"))
    (metadata,) = packages.glob("rich-*.dist-info")
    replace(metadata, "METADATA", "Metadata-Version: 2.1\nName: rich\nVersion: 9.13.0\n")
    replace(packages / "nbval", "__init__.py", "import os\nos._exit(3)\n")
    replace(packages / "nbclient", "__init__.py", "raise OSError('no such library: libodd')\n")
    (folder / "file").touch()
    below = str(folder / "file" / "below")
    return diagnose(python, folder, MPLCONFIGDIR=below, JUPYTER_RUNTIME_DIR=below, HOME=below)


@needs_links
@pytest.mark.parametrize(
    "name, found, mend",
    [
        (
            "torch",
            r"missing; needed: >=2\.\d",
            r"python -m pip install -c .*constraints\.txt 'torch>=2\.\d+'",
        ),
        (
            "rich",
            r"9\.13\.0; needed: >=13\.7",
            r"python -m pip install -c .*constraints\.txt 'rich>=13\.7'",
        ),
        (
            "nbclient",
            r"\d, but the import fails: OSError: no such library: libodd",
            r"python -m pip install -c .*constraints\.txt --force-reinstall 'nbclient>=0\.10'",
        ),
        (
            "nbval",
            r"\d, but the import fails: crashed, exit code 3",
            r"python -m pip install -c .*constraints\.txt --force-reinstall 'nbval>=0\.11'",
        ),
        ("Jupyter's folder", r"file/below cannot be written to", r"variable JUPYTER_RUNTIME_DIR"),
        ("matplotlib's folder", r"cannot be written to", r"variable MPLCONFIGDIR"),
        (
            "Jupyter kernel",
            r"python3 does not start: .*No such kernel",
            r"python -m pip install -c .* 'ipykernel>=6",
        ),
        ("gradient", "No module named 'torch'", "mend the packages above first"),
        ("shipped weights", "No module named 'torch'", "mend the packages above first"),
    ],
)
def test_every_fault_is_named_with_its_mend(broken: Diagnosis, name: str, found: str, mend: str):
    finding = broken.findings[name]
    assert finding.status == FAULT
    assert re.search(found, finding.found), finding.found
    assert re.search(mend, finding.mend), finding.mend
    place = next(i for i, line in enumerate(broken.lines) if line.split()[1:2] == name.split()[:1])
    assert any(line.strip() == f"mend: {finding.mend}" for line in broken.lines[place:])


@needs_links
def test_faults_give_an_exit_code_and_spare_the_rest(broken: Diagnosis):
    assert broken.code == 1
    assert broken.faults == sum(f.status == FAULT for f in broken.findings.values()) >= 9
    for name in ("Python", "numpy", "matplotlib", "typer", "figure", "disk", "current folder"):
        assert broken.findings[name].status == OK, broken.findings[name]


@needs_links
def test_the_command_line_and_the_plots_may_be_missing_too(tmp_path: Path):
    python, _ = environment(tmp_path / "env", ("typer", "matplotlib", "packaging", "torch"))
    diagnosis = diagnose(python, tmp_path)
    for name in ("typer", "matplotlib", "torch"):
        assert diagnosis.findings[name].found.startswith("missing")
    assert diagnosis.findings["figure"].mend == "mend the packages above first"
    assert diagnosis.findings["Jupyter's folder"].status == OK
    kernel = diagnosis.findings["Jupyter kernel"]  # which cannot start without packaging
    assert kernel.status == FAULT and "--force-reinstall 'ipykernel>=" in kernel.mend


@needs_links
def test_an_environment_without_the_course(tmp_path: Path):
    python, packages = environment(tmp_path / "env", ())
    for link in packages.glob("n2n_lib-*"):
        link.unlink()
    alone = tmp_path / "alone"  # the root may hold what an installation left there
    alone.mkdir()
    (alone / "n2n_lib").symlink_to(ROOT / "n2n_lib")
    finding = diagnose(python, tmp_path, PYTHONPATH=str(alone)).findings["n2n-lib"]
    assert (finding.status, finding.found) == (FAULT, "not installed")
    assert finding.mend.endswith(f"-m pip install -c {ROOT / 'constraints.txt'} -e {ROOT}")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder nobody can write to")
def test_a_folder_that_not_even_root_can_write_to(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir("/proc")
    finding = doctor.check_current_folder()
    assert finding.status == FAULT
    assert finding.found.startswith("/proc cannot be written to")
    assert "cd" in finding.mend


@pytest.mark.skipif(os.name == "nt", reason="there, a folder that is in use stays")
def test_a_folder_that_was_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    python, finding = doctor.check()
    assert (finding.name, finding.status) == ("current folder", FAULT)
    assert finding.found == "it has been removed" and "cd" in finding.mend


def test_no_temporary_folder(monkeypatch: pytest.MonkeyPatch):
    def fail() -> str:
        raise FileNotFoundError("No usable temporary directory found in ['/nowhere']")

    monkeypatch.setattr(tempfile, "gettempdir", fail)
    finding = doctor.check_temporary_folder()
    assert finding.status == FAULT and "/nowhere" in finding.found and "TMPDIR" in finding.mend


# ---------------------------------------------------------------------- what is judged how


def answers(monkeypatch: pytest.MonkeyPatch, answer: object, error: str = "") -> None:
    """Let every probe give this answer."""
    monkeypatch.setattr(doctor, "probe", lambda name: (answer, error))


def test_threads(monkeypatch: pytest.MonkeyPatch):
    answers(monkeypatch, 1)
    assert doctor.check_threads().status == OK
    answers(monkeypatch, 10_000)
    finding = doctor.check_threads()
    assert finding.status == WARNING and "OMP_NUM_THREADS" in finding.mend


@pytest.mark.parametrize(
    "quota, status, told",
    [
        (None, OK, "processors 4"),
        (1.5, WARNING, "a quota lets it use 1.5"),
        (0.5, WARNING, "a quota lets it use 0.5"),
        (2.0, OK, "a quota lets it use 2"),
    ],
)
def test_a_quota_of_processors(quota: float | None, status: str, told: str, monkeypatch):
    monkeypatch.setattr(cores, "quota", lambda *files: quota)
    monkeypatch.setattr(cores, "affinity", lambda: 4)
    answers(monkeypatch, 2)
    finding = doctor.check_threads()
    assert finding.status == status and told in finding.found
    assert ("quota" in finding.found) == (quota is not None)
    if status == WARNING:
        assert "OMP_NUM_THREADS to 1," in finding.mend


def test_lessons_are_missed_and_a_folder_handed_out_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "probe", lambda name: (doctor.PROBES[name](), ""))
    assert doctor.check_lessons().status == OK
    package = tmp_path / "n2n_lib"
    monkeypatch.setattr(notebooks, "PACKAGE", package)
    monkeypatch.setattr(notebooks, "BESIDE_PACKAGE", tmp_path / "nowhere")
    with pytest.raises(ValueError, match="expected lessons in the folder notebooks"):
        doctor.check_lessons()
    (tmp_path / EDITION).touch()
    assert doctor.check_lessons().found == f"the student edition in {tmp_path}"
    answers(monkeypatch, None, "ValueError: expected lessons")
    missing = doctor.check_lessons()
    assert missing.status == FAULT and missing.mend


@pytest.mark.parametrize("free, status", [(5, OK), (2.5, OK), (2.4, WARNING), (0.3, FAULT)])
def test_memory(free: float, status: str, monkeypatch: pytest.MonkeyPatch):
    answers(monkeypatch, free)
    finding = doctor.check_memory()
    assert (finding.status, bool(finding.mend)) == (status, status != OK)
    assert f"{free:.1f} GB" in finding.found


def test_the_memory_may_be_unknown(monkeypatch: pytest.MonkeyPatch):
    answers(monkeypatch, None, "ModuleNotFoundError: No module named 'psutil'")
    assert doctor.check_memory().status == WARNING


def test_what_an_older_installation_did_not_ask_for_can_be_mended_too():
    assert "odd-package>=0" in doctor.remedy("OSError", "odd-package")
    assert f"torch>={doctor.lowest_version('torch')}" in doctor.remedy("OSError", "torch")


@pytest.mark.parametrize("free, status", [(1, OK), (0.5, WARNING), (0.1, FAULT)])
def test_disk(free: float, status: str, monkeypatch: pytest.MonkeyPatch):
    usage = shutil.disk_usage(".")._replace(free=int(free * 1e9))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert doctor.check_disk().status == status


def test_a_kernel_of_another_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    answers(monkeypatch, {"sum": "2", "prefix": repr(str(tmp_path))})
    finding = doctor.check_kernel()
    assert finding.status == FAULT and str(tmp_path) in finding.found
    assert finding.mend == "jupyter kernelspec remove python3"
    answers(monkeypatch, {"sum": "3", "prefix": repr(sys.prefix)})
    assert "1 + 1 is 3" in doctor.check_kernel().found


@pytest.mark.parametrize(
    "error, mend",
    [
        ("NoSuchKernel: python3", "-m ipykernel install --sys-prefix"),
        ("RuntimeError: Kernel died", "--force-reinstall 'ipykernel>="),
    ],
)
def test_a_kernel_that_is_installed_and_does_not_start(
    error: str, mend: str, monkeypatch: pytest.MonkeyPatch
):
    answers(monkeypatch, None, error)
    assert mend.replace("'", "") in doctor.check_kernel().mend.replace("'", "").replace('"', "")


def test_a_wrong_gradient_is_a_fault(monkeypatch: pytest.MonkeyPatch):
    right = conv.Conv2d.backward
    assert "finite differences" in doctor.compare_gradients()
    monkeypatch.setattr(conv.Conv2d, "backward", lambda self, grad: 1.001 * right(self, grad))
    with pytest.raises(ArithmeticError, match="is wrong"):
        doctor.compare_gradients()


def test_a_probe_that_does_not_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "TIME_LIMIT", 0.5)
    assert doctor.run_python(["-c", "import time; time.sleep(60)"]) == (
        None,
        "no answer within 0.5 s",
    )


@pytest.mark.parametrize(
    "heard, said",
    [
        ([None] * 3, ("", "no answer within 180 s")),
        ([b"1\n"] * 4, ("1\n", "no answer within 180 s")),
        (
            [None, None, b"1\n", b"1\n", b"1\n", b"1\n2\n", b"1\n2\n", "1\n2\n3\n"],
            ("1\n2\n3\n", ""),
        ),
    ],
)
def test_silence_has_an_end_and_work_that_goes_on_has_none(heard: list, said: tuple, monkeypatch):
    killed = []

    class Process:
        def communicate(self, timeout: float) -> tuple[str, str]:
            if isinstance(text := heard.pop(0), str):
                return text, ""
            raise subprocess.TimeoutExpired("python", timeout, text)

        def kill(self) -> None:
            killed.append(self)

    monkeypatch.setattr(doctor, "LOOKS", 3)
    out, _, error = doctor._listen(Process())
    assert (out, error) == said and not heard and len(killed) == 1


def test_what_hangs_is_waited_for_once(monkeypatch: pytest.MonkeyPatch):
    asked, silence = [], "no answer within 180 s"

    def run_python(words: list[str]) -> tuple[object, str]:
        asked.append(names := [word for word in words if len(word) == 1])
        done = {"a": 1} if "--probe" in words else ["a"]
        return (done, silence) if len(names) > 1 else ({names[0]: 2}, "")

    monkeypatch.setattr(doctor, "run_python", run_python)
    monkeypatch.setattr(doctor, "TOGETHER", ("a", "b", "c"))
    found = [doctor.probe(name) for name in ("a", "b", "c", "d")]
    assert found == [(1, ""), (None, silence), (2, ""), (2, "")]
    assert [doctor.import_error(name, ("a", "b", "c")) for name in "abc"] == ["", silence, ""]
    assert asked == [["a", "b", "c"], ["c"], ["d"], ["a", "b", "c"], ["c"]]


@pytest.mark.parametrize(
    "code, error",
    [
        ("raise ImportError('first\\n\\nsecond')", "ImportError: first"),
        ("import warnings; warnings.warn('odd'); 1 / 0", "ZeroDivisionError: division by zero"),
        ("try:\n    1 / 0\nexcept ArithmeticError:\n    raise OSError(3)", "OSError: 3"),
        ("raise SystemExit(4)", "crashed, exit code 4"),
        ("print('no JSON')", "ended without an answer"),
        ("pass", "ended without an answer"),
    ],
)
def test_what_a_probe_says_when_it_fails(code: str, error: str):
    assert doctor.run_python(["-c", code]) == (None, error)


def test_a_python_that_is_too_old_can_read_the_self_test():
    for name in ("__init__", "__main__", "support/__init__", "support/moved", "course/__init__"):
        source = (ROOT / "n2n_lib" / f"{name}.py").read_text(encoding="utf-8")
        ast.parse(source, feature_version=(3, 8))
    ast.parse(Path(doctor.__file__).read_text(encoding="utf-8"), feature_version=(3, 8))


@pytest.mark.parametrize("version", ["3.8", "3.9"])
def test_a_python_that_is_too_old_is_a_fault(version: str, tmp_path: Path):
    """Where such a Python is at hand."""
    command = [f"python{version}", "-c", "print(1)"]
    if shutil.which(command[0]) is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip(f"needs Python {version}")
    finding = diagnose(command[0], tmp_path).findings["Python"]
    assert finding.status == FAULT and finding.mend.startswith("install Python 3.10 or newer")


@pytest.mark.parametrize("conda", [False, True])
def test_mends_fit_the_kind_of_environment(
    conda: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if conda:
        (tmp_path / "conda-meta").mkdir()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    mend = doctor.install_command("torch", "2.6")
    assert ("conda install -c conda-forge" in mend, "pip install" in mend) == (conda, not conda)
    assert ("pytorch-cpu>=2.6" in mend) == conda
    assert "--force-reinstall" in doctor.install_command("torch", "2.6", again=True)


# ---------------------------------------------------------------------- names and versions


def test_every_requirement_is_understood():
    for name, requirement in REQUIRED.items():
        found, bound = doctor.name_and_bound(str(requirement))
        assert found == requirement.name, name
        assert str(requirement.specifier) == f">={bound}"
    assert doctor.name_and_bound('pytest>=8.2; extra == "test"') is None


def test_versions_are_compared_as_packaging_does():
    fixed = pins("3.12.0")
    for name, requirement in REQUIRED.items():
        bound = str(requirement.specifier).removeprefix(">=")
        for version in (fixed[name], bound, bound + ".0", "0.1", "2.6.0+cpu", "13", "999.1"):
            expected = Version(version) >= Version(bound)
            assert doctor.reaches(version, bound) == expected, (name, version)


# ---------------------------------------------------------------------- the command


def test_nothing_heavy_is_imported():
    code = (
        "import sys; sys.argv = ['n2n', 'doctor']; import n2n_lib.__main__; "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert set(shown.stdout.split()).isdisjoint({"torch", "numpy", "matplotlib", "typer", "rich"})
    assert "n2n_lib" in shown.stdout


def test_options(capsys):
    with pytest.raises(SystemExit) as ended:
        doctor.main(["--help"])
    assert ended.value.code == 0 and "--json" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        doctor.main(["--jason"])
    assert ended.value.code == 2 and "--jason" in capsys.readouterr().err


@pytest.mark.parametrize("status, code", [(OK, 0), (WARNING, 0), (FAULT, 1)])
def test_exit_code_of_the_verb(status: str, code: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "check", lambda: iter([Finding("disk", status, "full", "tidy up")]))
    done = CliRunner().invoke(cli.app, ["doctor", "--json"])
    assert done.exit_code == code
    assert json.loads(done.output.splitlines()[-1])["faults"] == code
    assert "mend: tidy up" in done.output

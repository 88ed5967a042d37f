"""Attack the grader: hand in answers and files that try to get out, freeze, fill, or lie.

``python -m tools.attacks`` prepares a folder with secrets, listeners and a class. Every attack of
`hostile` is a student of it, and honest students sit in between. The class is graded by the command
``n2n grade``, as a class is, in a process that is watched. Then it looks what the attacks got:

- **escaped**: a secret stands on a page, a file has changed, a listener was called, or a process is
  left;
- **forged**: points for what is no right answer;
- **filled**: a process of the judge took more than `MEMORY`; what an answer takes in its own
  process is limited by ``--memory``;
- **stopped**: the command did not end well, or an honest student lost points.

Linux. ``--user nobody`` grades as another user (as root alone), ``--fence none`` without
bubblewrap, where only Python keeps an answer in: what gets out then is told, and is no failure
unless ``--strict`` says so.
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import psutil

from n2n_lib.course.edition import student_version
from n2n_lib.course.grading.grades import Piece
from n2n_lib.course.grading.judging.fence import raise_fence
from n2n_lib.course.grading.judging.judge import NoAnswer, Worker
from n2n_lib.course.grading.tasks import read_assignments
from n2n_lib.course.lessons import stem_of
from n2n_lib.course.notebooks import find_lessons
from tools.hostile import ANSWERS, CELLS, HONEST, MARKERS, PREFACE, REACHING

MEMORY = 10**9
"""Bytes that a process of the judge may take beyond what an idle one takes."""

SECONDS = 5
"""For an answer."""

TOO_MUCH = ("kill-all-libc", "fork-bomb", "fork-and-stay", "fork-and-stay-libc", "fill-tmp")
"""Attacks that nobody wants to see work."""

PLAIN_PROCESS = """
import json, os, signal, sys, time, torch
for program, said in json.load(open(sys.argv[1])):
    if not (middle := os.fork()):  # the parent of the attack, which may come to harm
        if os.fork():
            os.wait()
            os._exit(0)
        os.dup2(os.open(said, os.O_WRONLY), 2)
        exec(program, {"__name__": "__main__"})
        os._exit(0)
    for _ in range(40):
        time.sleep(0.1)
        if os.waitpid(middle, os.WNOHANG)[0]:
            break
    else:
        os.kill(middle, signal.SIGKILL)
        os.wait()
"""
"""Runs attacks, with nothing around them."""

LESSON, EXERCISE = stem_of("upsampling"), "upsample-forward"
ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Report:
    """What the attacks got."""

    attacks: int = 0
    escaped: dict[str, list[str]] = field(default_factory=dict)
    forged: list[str] = field(default_factory=list)
    filled: int = 0
    stopped: str = ""
    seconds: float = 0
    first_line: str = ""

    @property
    def clean(self) -> bool:
        """Whether no attack got anything."""
        return not (self.escaped or self.forged or self.stopped or self.filled > MEMORY)


class Listeners:
    """A socket with a path, an abstract one, a port and a pipe; what is said to them is kept."""

    def __init__(self, folder: Path) -> None:
        self.heard: list[str] = []
        self.path, self.fifo = str(folder / "socket"), str(folder / "fifo")
        self.abstract = folder.name
        self._sockets = [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)]
        self._sockets.append(socket.socket())
        for each, address in zip(
            self._sockets, (self.path, "\0" + self.abstract, ("127.0.0.1", 0)), strict=True
        ):
            each.bind(address)
            each.listen(64)
            threading.Thread(target=self._accept, args=(each,), daemon=True).start()
        self.port = self._sockets[2].getsockname()[1]
        os.chmod(self.path, 0o777)
        os.mkfifo(self.fifo)
        os.chmod(self.fifo, 0o666)
        self._pipe = os.open(self.fifo, os.O_RDONLY | os.O_NONBLOCK)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            connection.settimeout(5)
            try:
                self.heard.append(connection.recv(200).decode(errors="replace"))
            except OSError:
                self.heard.append("")

    def close(self) -> list[str]:
        """Return what was heard."""
        time.sleep(0.5)
        try:
            if heard := os.read(self._pipe, 10_000):
                self.heard.append(heard.decode(errors="replace"))
        except BlockingIOError:
            pass
        for each in self._sockets:
            each.close()
        os.close(self._pipe)
        return self.heard


class Host:
    """The folder of a grading account, and a class that attacks it."""

    def __init__(
        self, folder: Path, names: Sequence[str], owner: str | None, honest: int = 20
    ) -> None:
        self.folder, self.names = folder, names
        self.listeners = Listeners(folder)
        for name in names:
            home = folder / "homes" / name
            home.mkdir(parents=True)
            (home / "secret").write_text(self.secret(name))
            (home / "precious").write_text("precious")
        for number, name in enumerate(names):
            self._hand_in(name, *self.attack(name))
            if number % honest == 0:
                self._hand_in(f"honest {number}", HONEST[number // honest % len(HONEST)], "")
        if owner:
            user = pwd.getpwnam(owner)
            for place, _, files in os.walk(folder):
                for each in [place, *(os.path.join(place, file) for file in files)]:
                    os.chown(each, user.pw_uid, user.pw_gid)
        self.before = {name: self._state(name) for name in names}

    @staticmethod
    def secret(name: str) -> str:
        """Return what only the file of this attack holds."""
        return f"SECRET-OF-{name.upper()}-73"

    def attack(self, name: str) -> tuple[str, str]:
        """Return the body of the function, and the cell in front of it."""
        home = self.folder / "homes" / name
        where = self.listeners
        facts = (str(home), where.path, where.fifo, where.abstract, where.port, name)
        preface = PREFACE.format(facts=facts) + "\nINSIDE = os.getppid() == 1 or os.getpid() < 50\n"
        if name in CELLS:
            return "return x", preface + CELLS[name]
        return ANSWERS[name], preface

    def _hand_in(self, student: str, body: str, cell: str) -> None:
        lesson = json.loads(nbformat.writes(student_version(_lesson())))
        cells = lesson["cells"]
        each = next(each for each in cells if each["id"] == EXERCISE)
        lines = "\n".join(f"    {line}" for line in body.splitlines())
        each["source"] = f"def upsample_forward(x, scale):\n{lines}\n"
        if cell:
            own = {"cell_type": "code", "id": "own", "metadata": {}, "outputs": []}
            cells.insert(cells.index(each), own | {"execution_count": None, "source": cell})
            if student in CELLS:  # else its own names would not be needed
                each["source"] += "\nupsample_forward.y = globals().get('y')\n"
        folder = self.folder / "class" / student
        folder.mkdir(parents=True)
        (folder / f"{LESSON}.ipynb").write_text(json.dumps(lesson), encoding="utf-8")

    def _state(self, name: str) -> dict[str, tuple]:
        home, found = self.folder / "homes" / name, {}
        for path in sorted(home.rglob("*")) + [home] * home.exists():
            about = path.lstat()
            text = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            found[str(path.relative_to(home))] = (about.st_mode, text)
        if (home / "precious").exists():
            found["time"] = ((home / "precious").stat().st_mtime,)
        return found

    def escaped(self, texts: Sequence[str]) -> dict[str, list[str]]:
        """Return what each attack got, of those that got something.

        Parameters
        ----------
        texts : sequence of str
            Pages of feedback, and whatever else was written.
        """
        found: dict[str, list[str]] = {}
        heard = self.listeners.close()
        for name in self.names:
            own = [text for text in texts if re.search(rf"<h1>{name}[^-\w]", text)]
            got = []
            if any(self.secret(name) in text for text in texts):
                got.append("read a file")
            if self._state(name) != self.before[name]:
                got.append("changed files")
            if any(name in text for text in heard):
                got.append("was heard")
            for marker in MARKERS:
                if any(f"ValueError: {marker}" in text for text in own):
                    got.append(marker.lower())
            if got:
                found[name] = got
        if unknown := [text for text in heard if not any(name in text for name in self.names)]:
            found["(unknown)"] = [f"{len(unknown)} calls without a name"]
        return found


def _lesson() -> Path:
    return next(path for path in find_lessons(ROOT / "notebooks") if path.stem == LESSON)


def attack(
    names: list[str], fence: str, user: str | None, jobs: int = 2, honest: int = 20
) -> Report:
    """Let a class attack, and say what it got.

    Parameters
    ----------
    names : list of str
        Keys of `ANSWERS` and `CELLS`.
    fence : str
        Option of ``n2n grade``.
    user : str or None
        Who grades, if somebody else (root only).
    jobs : int
        Option of ``n2n grade``.
    honest : int
        Of so many students, one more is honest.
    """
    report = Report(len(names))
    with tempfile.TemporaryDirectory(prefix="n2n-attacks-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        host = Host(folder, names, user, honest)
        own = {process.pid for process in psutil.process_iter()}
        command = [sys.executable, "-m", "n2n_lib", "grade", str(folder / "class")]
        command += ["--out", str(folder / "grades.csv"), "--feedback", str(folder / "pages")]
        command += ["--source", str(ROOT / "notebooks"), "--lessons", LESSON[:2], "--quiet"]
        command += ["--timeout", str(SECONDS), "--jobs", str(jobs), "--fence", fence]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "N2N_TEST_PASSWORD": "PASSWORD-1"}
        begun = time.perf_counter()
        with open(folder / "output", "w+", encoding="utf-8") as output:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment | {"HOME": str(folder)},
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                user=user,
                group=pwd.getpwnam(user).pw_gid if user else None,
                extra_groups=[] if user else None,
            )
            report.filled = _watch(process, limit=60 + 12 * SECONDS * len(names) / jobs)
            report.seconds = time.perf_counter() - begun
            output.seek(0)
            said = output.read()
        report.first_line = next(iter(said.splitlines()), "")
        if process.returncode != 0 or not (folder / "grades.csv").exists():
            report.stopped = f"exit code {process.returncode}: {said[-2000:]}"
            return report
        pages = (folder / "pages").glob("*.html")
        texts = [(folder / "grades.csv").read_text(encoding="utf-8-sig")]
        texts += [page.read_text(encoding="utf-8", errors="replace") for page in pages]
        report.escaped = host.escaped(texts)
        if left := [p for p in _since(own) if _is_ours(p, folder)]:
            report.escaped["(left)"] = [f"{len(left)} processes"]
        _points(folder, report)
    return report


def together(names: Sequence[str], *, closed: bool) -> tuple[dict[str, list[str]], list[str]]:
    """Let one process try attacks one after the other, as the answers of one student.

    That takes seconds, where a class takes minutes. Who grades is this process.

    Returns
    -------
    (dict, list of str)
        What those got that got something, and those that were taken for right.
    """
    with tempfile.TemporaryDirectory(prefix="n2n-attacks-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        host, texts, forged = Host(folder, names, None), [], []
        (assignment,) = read_assignments(ROOT / "notebooks", [LESSON[:2]])
        task = next(task for task in assignment.tasks if task.column.endswith(EXERCISE))
        with Worker(SECONDS, 2048, closed=closed) as worker:
            for name in names:
                body, cell = host.attack(name)
                lines = "\n".join(f"    {line}" for line in body.splitlines())
                answer = f"def {task.function}(x, scale):\n{lines}\n"
                pieces = [Piece("own", 1, 1, cell), Piece("own", 2, 1, answer)]
                try:
                    verdict = worker.judge(task.exercise, pieces, task.function)
                    said = verdict.message
                    forged += [name] if verdict.right else []
                except NoAnswer as error:
                    said = str(error)
                texts.append(f"<h1>{name}</h1>{said}")
        return host.escaped(texts), forged


def without_effect(names: Sequence[str]) -> list[str]:
    """Let attacks try what they can in a plain process of nobody's; return those that got nothing.

    They test nothing, at least here. Needs root.
    """
    with tempfile.TemporaryDirectory(prefix="n2n-attacks-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        host, texts = Host(folder, list(names), "nobody"), []
        programs = []
        for name in names:
            body, preface = host.attack(name)
            lines = "\n".join(f"    {line}" for line in body.splitlines())
            call = f"def f(x, scale):\n{lines}\nf(torch.ones(2, 2), 2)\n"
            programs.append((f"{preface}\n{call}", str(folder / f"said-{name}")))
        (folder / "programs").write_text(json.dumps(programs))
        for _, said in programs:
            Path(said).touch()
            os.chmod(said, 0o666)
        subprocess.run(
            [sys.executable, "-c", PLAIN_PROCESS, str(folder / "programs")],
            cwd=folder,
            env={"PYTHONPATH": str(ROOT), "HOME": "/", "N2N_TEST_PASSWORD": "PASSWORD-1"},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user="nobody",
            group=pwd.getpwnam("nobody").pw_gid,
            extra_groups=[],
            check=True,
        )
        for name, (_, said) in zip(names, programs, strict=True):
            texts.append(f"<h1>{name}<{Path(said).read_text(errors='replace')}")
        got = host.escaped(texts)
    return [name for name in names if name not in got]


def _watch(process: subprocess.Popen, limit: float) -> int:
    """Wait for the command to end; return the most memory that one process of the judge took."""
    most, end = 0, time.monotonic() + limit
    while process.poll() is None:
        if time.monotonic() > end:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
            break
        for each in _tree(process.pid):
            try:
                words = each.cmdline()
                if not any("worker" in word or "bwrap" in word for word in words):
                    most = max(most, each.memory_info().rss)
            except psutil.Error:
                continue
        time.sleep(0.2)
    return most


def _tree(pid: int) -> list[psutil.Process]:
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.Error:
        return []


def _since(before: set[int]) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if process.pid not in before]


def _is_ours(process: psutil.Process, folder: Path) -> bool:
    try:
        words = [*process.cmdline(), *process.environ().values()]
    except psutil.Error:
        return False
    return any(str(folder) in word for word in words) or (
        any("grading" in word for word in words) and any(str(ROOT) in word for word in words)
    )


def _points(folder: Path, report: Report) -> None:
    """Look who got points."""
    import csv

    with open(folder / "grades.csv", encoding="utf-8-sig", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    column = f"{LESSON[:2]}/{EXERCISE}"
    for student, row in rows.items():
        points = float(row[column])
        if student.startswith("honest") and points == 0:
            report.stopped = f"{student} got no points: {row['remarks']}"
        if not student.startswith("honest") and points:
            report.forged.append(student)
    if missing := set(report_names(folder)) - rows.keys():
        report.stopped = f"no row for {', '.join(sorted(missing))}"


def report_names(folder: Path) -> list[str]:
    """Return the names of those who handed in."""
    return [path.name for path in (folder / "class").iterdir()]


def main(arguments: list[str] | None = None) -> int:
    """Run the attacks from the command line; return 1 if one got something."""
    parser = argparse.ArgumentParser(prog="tools.attacks", description=__doc__.split("\n")[0])
    known = [*ANSWERS, *CELLS]
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names, or parts of names")
    parser.add_argument("--fence", choices=("auto", "required", "none"), default="required")
    parser.add_argument("--user", help="grade as this user (root only)")
    parser.add_argument("--strict", action="store_true", help="fail without a fence, too")
    parser.add_argument("--together", action="store_true", help="as one student, in one process")
    parser.add_argument("--bare", action="store_true", help="say which attacks get nothing at all")
    parser.add_argument("--jobs", type=int, default=2, help="students at a time")
    parser.add_argument("--reaching", action="store_true", help="not those that freeze or lie")
    given = parser.parse_args(arguments)
    names = [n for n in known if not given.only or any(part in n for part in given.only)]
    if given.reaching:
        names = [name for name in names if name in REACHING]
    if given.together:
        begun = time.perf_counter()
        around = raise_fence(given.fence)
        escaped, forged = together(names, closed=around.closed)
        print(
            f"{len(names)} attacks by one student in {time.perf_counter() - begun:.0f} s: {around}"
        )
        print(
            f"escaped: {len(escaped)} {escaped or ''}\nforged points: {len(forged)} {forged or ''}"
        )
        return 1 if escaped or forged else 0
    if given.bare:
        names = [name for name in names if name in REACHING and name not in TOO_MUCH]
        print(f"{len(names)} attacks in a plain process; nothing got:", *without_effect(names))
        return 0
    report = attack(names, given.fence, given.user, given.jobs)
    print(f"{report.attacks} attacks in {report.seconds:.0f} s; the first line said:")
    print(f"  {report.first_line}")
    print(f"escaped: {len(report.escaped)}")
    for name, got in report.escaped.items():
        print(f"  {name}: {', '.join(got)}")
    print(f"forged points: {len(report.forged)} {' '.join(report.forged)}")
    print(f"largest process of the judge: {report.filled / 2**20:.0f} MB")
    print(f"stopped: {report.stopped or 'no'}")
    return 0 if report.clean or (given.fence == "none" and not given.strict) else 1


if __name__ == "__main__":
    sys.exit(main())

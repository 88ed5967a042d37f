"""What students hand in, for the tests of grading: lessons with other answers in them."""

from __future__ import annotations

import json
import re
import textwrap
import zipfile
from pathlib import Path

from n2n_lib.course.grading.handed_in import submissions
from n2n_lib.course.grading.handed_in.layouts import HandedIn
from n2n_lib.course.grading.handed_in.submissions import Submission
from n2n_lib.course.grading.judging.judge import Limits
from n2n_lib.course.lessons import stem_of
from n2n_lib.course.notebooks import find_lessons

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SOLUTION = re.compile(r"( *)### BEGIN SOLUTION.*?### END SOLUTION", re.DOTALL)
UPSAMPLING, ACTIVATIONS = stem_of("upsampling"), stem_of("activations")
N = UPSAMPLING[:2]
PLAIN = Limits(seconds=15, closed=False)
"""Without a fence; time enough for the slowest check on a busy machine."""

REST = {f"{N}/upsample-conv": 5, f"{N}/stamp-row": 2}
"""Points of the two exercises of the lesson that most submissions below answer."""


def notebook(lesson: str, answers: dict[str, str] | None = None, rest: str | None = None) -> dict:
    """Return a lesson with bodies of functions by the id of the exercise's cell.

    Parameters
    ----------
    rest : str, optional
        Body of all other exercises. Default: the solution.
    """
    content = json.loads((NOTEBOOKS / f"{lesson}.ipynb").read_text(encoding="utf-8"))
    for cell in content["cells"]:
        body = (answers or {}).get(cell["id"], rest)
        if body is not None and "exercise" in cell["metadata"].get("tags", ()):
            source = "".join(cell["source"])  # in a class each method has a region
            cell["source"] = SOLUTION.sub(lambda m, new=body: textwrap.indent(new, m[1]), source)
    return content


def hand_in(folder: Path, *contents: tuple[str, dict]) -> Path:
    folder.mkdir(parents=True)
    for lesson, content in contents:
        (folder / f"{lesson}.ipynb").write_text(json.dumps(content), encoding="utf-8")
    return folder


def cell_of(content: dict, name: str) -> dict:
    return next(cell for cell in content["cells"] if cell["id"] == name)


def code_cell(source: str) -> dict:
    return {"cell_type": "code", "id": "mine", "metadata": {}, "source": source, "outputs": []}


def exercises_of(lesson: str) -> set[str]:
    """Return the ids of a lesson's exercises."""
    content = json.loads((NOTEBOOKS / f"{lesson}.ipynb").read_text(encoding="utf-8"))
    return {c["id"] for c in content["cells"] if "exercise" in c["metadata"].get("tags", ())}


STUB = "raise NotImplementedError"
LESSONS = [path.stem for path in find_lessons(NOTEBOOKS)]


def read(path: Path, lessons: list[str]) -> Submission:
    """Read what lies at a path as the submission of one student."""
    return submissions.read_submission(HandedIn(path.stem, (path,)), lessons)


def points(done) -> dict[str, float]:
    return {column: mark.points for column, mark in done.marks.items() if mark.points}


def points_of(lesson: str) -> int:
    """Return what all exercises of a lesson are worth."""
    text = (NOTEBOOKS / f"{lesson}.ipynb").read_text(encoding="utf-8")
    return sum(map(int, re.findall(r'"points": (\d+)', text)))


ONE = json.dumps(notebook(UPSAMPLING)).encode()


def packed(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


HOSTILE = {
    "linear-backward": ("while True: pass", "did not finish within 15 s"),
    "output-size": ("import os; os.abort()", "ended by SIGABRT"),
    "conv2d-forward": ("import ctypes; ctypes.string_at(0)", "ended by SIGSEGV"),
    "conv2d-input-grad": (
        "import os\nfor _ in range(100): print('x' * 10**6)\nos._exit(3)",
        "ended Python, exit code 3",
    ),
    "upsample-forward": ("raise SystemExit", "raised SystemExit"),
    "relu-backward": (
        "import ctypes, time\n"
        "if ctypes.CDLL(None).fork() == 0:\n"
        "    ctypes.CDLL(None).setsid()\n"
        "    time.sleep(1000)",
        "wrong",
    ),
    "sigmoid-forward": ("open('big', 'wb').write(b'x' * 10**9)", "graded: open"),
    "mse-backward": ("return torch.zeros(10**9)", "allocate memory"),
    "xavier-exercise": (
        "import socket\nsocket.create_connection(('127.0.0.1', 9), 1)",
        "graded: socket",
    ),
    "transposed-size": (
        "import os\nfor fd in range(3, 9):\n"
        "    try: os.write(fd, b'right' * 20)\n    except OSError: pass",
        "no answer",
    ),
    "momentum-exercise": ("raise ValueError('<script>alert(1)</script>')", "raised ValueError"),
}
"""Bodies of functions, and a part of what is said about them on Linux."""

HIT = [lesson for lesson in LESSONS if HOSTILE.keys() & exercises_of(lesson)]
"""The lessons that they are answers to."""

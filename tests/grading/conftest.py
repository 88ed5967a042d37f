"""A class that is graded once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from handing_in import (
    HIT,
    HOSTILE,
    LESSONS,
    NOTEBOOKS,
    PLAIN,
    STUB,
    UPSAMPLING,
    cell_of,
    code_cell,
    hand_in,
    notebook,
)

from n2n_lib.course.grading.grades import Grade
from n2n_lib.course.grading.handed_in.layouts import HandedIn
from n2n_lib.course.grading.judging.judges import Judges
from n2n_lib.course.grading.run import grade
from n2n_lib.course.grading.written.outputs import Outputs


def tampered() -> dict:
    """A wrong and a missing answer, and whatever might hide it."""
    content = notebook(UPSAMPLING, {"upsample-forward": "print('right')\nreturn x"})
    forge = (
        "class check:\n    upsample_forward = print\nimport n2n_lib.course.check.judge as judge\n"
    )
    forge += "judge.judge = judge.run = lambda *_: judge.Verdict(True, 'right')"
    content["cells"].insert(0, code_cell(forge))
    cell_of(content, "upsample-forward-check")["metadata"]["nbgrader"]["points"] = 100
    cell_of(content, "upsample-forward")["metadata"] = {}
    content["cells"].remove(cell_of(content, "upsample-backward"))
    cell_of(content, "upsample-backward-check")["source"] = "print('right')"
    return content


def added() -> dict:
    """A right answer that uses cells of the student's own, and no check left."""
    content = notebook(UPSAMPLING, {"upsample-forward": "%time\nreturn twice(x, scale)"})
    cell = cell_of(content, "upsample-forward")
    cell["source"] = cell["source"].replace("    %time\n", "") + "\n%time 1"
    helper = "import numpy as np\ndef twice(x, scale):\n"
    helper += "    return torch.from_numpy(np.kron(x.numpy(), np.ones((scale, scale)))).to(x)"
    content["cells"].insert(content["cells"].index(cell), code_cell(helper))
    cell["id"], cell["metadata"] = "another", {}
    content["cells"].remove(cell_of(content, "upsample-forward-check"))
    return content


@pytest.fixture(scope="session")
def graded_class(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, Grade], Grade]:
    """Grade a class once: folder of the results, grades by student, that of the solutions."""
    folder = tmp_path_factory.mktemp("class")
    bodies = {name: body for name, (body, _) in HOSTILE.items()}
    students = folder / "handed in"
    hand_in(students / "stubs", *((lesson, notebook(lesson, rest=STUB)) for lesson in LESSONS))
    hand_in(students / "hostile", *((lesson, notebook(lesson, bodies)) for lesson in HIT))
    half = notebook(UPSAMPLING, {"upsample-forward": "return x"})
    hand_in(students / "half" / "in a folder", (UPSAMPLING, half))
    hand_in(students / "=tampered", (UPSAMPLING, tampered()))
    hand_in(students / "added", (UPSAMPLING, added()))
    # Not below the folder of the tests, where no other user may look: root's answers are another's.
    real = Path(tempfile.mkdtemp())
    real.chmod(0o755)
    (folder / "temporary").symlink_to(real)
    found: dict[str, Grade] = {}
    by_judges = Judges.grade

    def kept(judges: Judges, *handed_in: Any) -> Iterator[tuple[HandedIn, Grade | None]]:
        for student, done in by_judges(judges, *handed_in):
            found[student.name] = done
            yield student, done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(real))
        patch.setattr(Judges, "grade", kept)
        grades = grade(
            students,
            Outputs(folder / "grades.csv", feedback=folder / "pages"),
            source=NOTEBOOKS,
            limits=PLAIN,
            progress=False,
        )
    return folder, {done.student: done for done in grades}, found[NOTEBOOKS.name]


@pytest.fixture
def graded(graded_class: tuple[Path, dict[str, Grade], Grade]) -> tuple[Path, dict[str, Grade]]:
    """A class, graded once: folder of the results, grades by student."""
    return graded_class[:2]


@pytest.fixture
def solutions(graded_class: tuple[Path, dict[str, Grade], Grade]) -> Grade:
    """What the lessons' own solutions get, which are graded as a student's before the class."""
    return graded_class[2]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with one lesson."""
    return hand_in(tmp_path / "lessons", (UPSAMPLING, notebook(UPSAMPLING)))

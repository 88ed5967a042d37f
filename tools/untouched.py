"""Run the student edition as a student gets it, without a single answer, from top to bottom.

``python -m tools.untouched`` makes the edition in a temporary folder and runs all its lessons, or
those whose numbers it is given (``python -m tools.untouched 03 11``). Only exercises and checks may
stop, each check must say that the answer is missing, and every other cell must show a picture where
the instructor's edition shows one. The exit code is 1 if a lesson does not keep to this.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from n2n_lib.course.edition import make_edition
from n2n_lib.course.notebooks import LessonError, find_lessons, read_lesson, run_lesson

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def complaints(path: Path, timeout: int = 600) -> list[str]:
    """Run one lesson of a student edition, and say what is not as it should be.

    Parameters
    ----------
    path : Path
        The lesson; it is not changed.
    timeout : int
        Seconds that one cell may take.
    """
    lesson = read_lesson(path)
    try:
        run_lesson(lesson, path, timeout)
    except LessonError as error:
        return [str(error)]
    found, pictures = [], cells_with_pictures(nbformat.read(NOTEBOOKS / path.name, as_version=4))
    pictures.add("progress")
    for cell in (cell for cell in lesson.cells if cell.cell_type == "code"):
        errors = [output for output in cell.outputs if output.output_type == "error"]
        kinds = {"check", "exercise"} & set(cell.metadata.get("tags", []))
        if not kinds and errors:
            found.append(f"{cell.id} stopped: {errors[0].ename}: {errors[0].evalue}")
        # The stub itself stops a check that begins with the student's own gradient check.
        said = [e.ename == "NotImplementedError" or "not written yet" in e.evalue for e in errors]
        if "check" in kinds and not any(said):
            found.append(f"{cell.id} did not say that the answer is missing")
    lost = pictures - cells_with_pictures(lesson)
    return found + [f"{name} showed no picture" for name in sorted(lost)]


def cells_with_pictures(lesson: nbformat.NotebookNode) -> set[str]:
    """Return the ids of the cells that show a picture, those for instructors alone left out."""
    return {
        cell.id
        for cell in lesson.cells
        if "instructor" not in cell.metadata.get("tags", [])
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    }


def main() -> int:
    """Run the lessons that the command line names; 1 if there is something to complain of."""
    parser = argparse.ArgumentParser(prog="python -m tools.untouched", description=__doc__)
    parser.add_argument("numbers", nargs="*", help="two digits each; all lessons if left out")
    numbers = parser.parse_args().numbers
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        make_edition(folder, NOTEBOOKS)
        for path in find_lessons(folder):
            if numbers and path.name[:2] not in numbers:
                continue
            start = time.perf_counter()
            found = complaints(path)
            bad += bool(found)
            verdict = "\n  ".join(found) or "runs to its end without an answer"
            print(f"{path.stem}, {time.perf_counter() - start:.0f} s: {verdict}", flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())

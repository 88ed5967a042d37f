"""Type the solutions into a student edition and run its lessons, so that ``mine.py`` arises.

``python -m tools.solved EDITION`` does what a student would who solves every exercise, and
``--half`` every other one. EDITION must be untouched, as ``n2n student`` makes it. Numbers such as
``04 E1`` choose the lessons. The exit code is 1 if a check of a solved exercise fails.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from n2n_lib.course.check.record import MINE
from n2n_lib.course.edition import BEGIN, END
from n2n_lib.course.notebooks import find_lessons, run_lesson

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def solve(path: Path, every: int = 1, timeout: int = 600) -> list[str]:
    """Solve a lesson of a student edition, run it and save it.

    Parameters
    ----------
    path : Path
        The lesson; the instructor's of the same name holds the solutions.
    every : int
        Solve one exercise out of so many, the first of them.
    timeout : int
        Seconds that one cell may take.

    Returns
    -------
    list of str
        What went wrong: checks that failed of solved exercises.
    """
    lesson = nbformat.read(path, as_version=4)
    solutions = {cell.id: cell.source for cell in nbformat.read(NOTEBOOKS / path.name, 4).cells}
    checks = dict(_exercises(lesson))
    solved = list(checks)[::every]
    for cell in lesson.cells:
        if cell.id in solved:
            lines = solutions[cell.id].splitlines(keepends=True)
            cell.source = "".join(line for line in lines if line.strip() not in (BEGIN, END))
    run_lesson(lesson, path, timeout)
    nbformat.write(lesson, path)
    failed = {
        cell.id: output.evalue
        for cell in lesson.cells
        for output in cell.get("outputs", [])
        if output.output_type == "error"
    }
    return [f"{checks[name]}: {failed[checks[name]]}" for name in solved if checks[name] in failed]


def _exercises(lesson: NotebookNode) -> Iterator[tuple[str, str]]:
    """Yield the ids of each exercise's cell and of its check."""
    exercise = None
    for cell in lesson.cells:
        if "exercise" in cell.metadata.get("tags", []):
            exercise = cell.id
        elif exercise and "check" in cell.metadata.get("tags", []):
            yield exercise, cell.id
            exercise = None


def main() -> int:
    """Solve the lessons that the command line names; 1 if a solution is not right."""
    parser = argparse.ArgumentParser(prog="python -m tools.solved", description=__doc__)
    parser.add_argument("edition", type=Path)
    parser.add_argument("numbers", nargs="*", help="as in 04 E1; all lessons if left out")
    parser.add_argument("--half", action="store_true", help="solve every other exercise")
    arguments = parser.parse_args()
    wrong = []
    for path in find_lessons(arguments.edition):
        if not arguments.numbers or path.name[:2] in arguments.numbers:
            wrong += [f"{path.stem}, {each}" for each in solve(path, 1 + arguments.half)]
            print(path.stem, flush=True)
    print("\n".join(wrong) or arguments.edition / MINE)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

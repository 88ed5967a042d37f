"""Read the lessons of the instructor: what is asked, by which check, for how many points."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from n2n_lib.course import check, marks
from n2n_lib.course.check.exercise import Exercise
from n2n_lib.course.check.hand_in import HandIn, Hidden
from n2n_lib.course.marks import REGION
from n2n_lib.course.needed import needed
from n2n_lib.course.notebooks import LessonError, find_lessons


@dataclass(frozen=True)
class Task:
    """An exercise in a lesson, worth some points.

    Attributes
    ----------
    column : str
        Lesson and cell, ``03/conv2d-forward``.
    cell, check_cell : str
        Ids of the exercise's cell and of the cell with the check.
    title : str
        Of the exercise.
    function : str
        Name of the student's function or class.
    exercise : Exercise or HandIn
        What the check judges by.
    points : float
        For a right answer.
    before : tuple of str
        The lesson's code cells before it, without exercises and checks.
    check_source : str
        The cell with the check.
    check_metadata : dict
        What nbgrader knows of it.
    solutions : tuple of str
        The lesson's cells of this exercise and of those before it.
    stub : str
        The exercise's cell without its solution.
    """

    column: str
    cell: str
    check_cell: str
    title: str
    function: str
    exercise: Exercise | HandIn
    points: float
    before: tuple[str, ...]
    check_source: str
    check_metadata: dict
    solutions: tuple[str, ...] = ()
    stub: str = ""


@dataclass(frozen=True)
class Assignment:
    """What is asked in one lesson.

    Attributes
    ----------
    path : Path
        The instructor's notebook.
    tasks : tuple of Task
        In their order.
    """

    path: Path
    tasks: tuple[Task, ...]

    @property
    def name(self) -> str:
        """``NN_name``."""
        return self.path.stem


def read_assignments(
    folder: str | os.PathLike | None = None,
    lessons: Sequence[str] = (),
    hidden: Hidden | None = None,
) -> list[Assignment]:
    """Read what the lessons of a folder ask, those that have exercises.

    Parameters
    ----------
    folder : path-like, optional
        Default: see `n2n_lib.course.notebooks.find_lessons`.
    lessons : sequence of str
        Numbers of the lessons that count, as ``03``. Default: all.
    hidden : Hidden, optional
        Thumbnails for what is measured. Default: those of the class.

    Raises
    ------
    LessonError
        If a lesson cannot be read, or a check is not followed as it should be.
    ValueError
        If there is no such folder, or no lesson with exercises in it.
    """
    assignments = [_read(path, hidden) for path in find_lessons(folder)]
    assignments = [assignment for assignment in assignments if assignment.tasks]
    if not assignments:
        raise ValueError(f"expected a folder of lessons with exercises, got {folder}")
    known = [assignment.name.partition("_")[0] for assignment in assignments]
    if unknown := [lesson for lesson in lessons if lesson not in known]:
        raise ValueError(f"expected lessons of {', '.join(known)}, got {', '.join(unknown)}")
    chosen = zip(known, assignments, strict=True)
    return [assignment for number, assignment in chosen if not lessons or number in lessons]


def _read(path: Path, hidden: Hidden | None) -> Assignment:
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        marks.complete(cells)
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        kinds = [set(cell["metadata"].get("tags", ())) for cell in code]
        tasks, before, solutions, exercise = [], [], [], None
        for cell, tags in zip(code, kinds, strict=True):
            if "exercise" in tags:
                exercise = cell
                solutions.append(source_of(cell))
            elif "check" in tags:
                tasks.append(_task(path.stem, exercise, cell, before, solutions, hidden))
            elif "instructor" not in tags:  # which no student has
                before.append(source_of(cell))
    except marks.MarksError as error:
        raise LessonError(f"{path}, {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LessonError(
            f"{path}: expected a lesson of the instructor's edition, got "
            f"{type(error).__name__}: {error}"
        ) from None
    return Assignment(path, tuple(tasks))


def _task(
    lesson: str,
    exercise: dict | None,
    cell: dict,
    before: Sequence[str],
    solutions: Sequence[str],
    hidden: Hidden | None,
) -> Task:
    """Read a check cell, whose last statement is ``check.NAME(FUNCTION)``."""
    source = source_of(cell)
    statement = ast.parse(source).body[-1]
    name, function = statement.value.func.attr, statement.value.args[0].id
    if exercise is None or statement.value.func.value.id != "check":
        raise ValueError(f"expected an exercise, then check.NAME(FUNCTION), got {source!r}")
    asked = (check.EXERCISES | check.HAND_INS).get(name)
    if asked is None:
        raise ValueError(f"expected an exercise in n2n_lib/course/check, found none named {name}")
    if needed(before, function):
        raise ValueError(f"expected {function} to be left to the student, it is defined before")
    return Task(
        column=f"{lesson[:2]}/{exercise['id']}",
        cell=exercise["id"],
        check_cell=cell["id"],
        title=asked.title,
        function=function,
        exercise=replace(asked, hidden=hidden) if isinstance(asked, HandIn) else asked,
        points=cell["metadata"]["nbgrader"]["points"],
        before=tuple(before),
        check_source=source,
        check_metadata=cell["metadata"]["nbgrader"],
        solutions=tuple(solutions),
        stub=REGION.sub(r"\1raise NotImplementedError", source_of(exercise)),
    )


def measures(assignments: Sequence[Assignment]) -> list[HandIn]:
    """Return the exercises in which a network is measured."""
    asked = [task.exercise for assignment in assignments for task in assignment.tasks]
    return [each for each in asked if isinstance(each, HandIn)]


def source_of(cell: dict) -> str:
    """Return the source of a cell, which a file may hold as a list of lines."""
    return "".join(cell["source"])

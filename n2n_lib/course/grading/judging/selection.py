"""Put together what is run for an answer: the statements that the graded function needs.

A piece holds the lines as they stand in the cell. The worker runs the pieces and nothing else, and
the page shows them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from n2n_lib.course.cells import lines_of, read_cell
from n2n_lib.course.grading.grades import Piece
from n2n_lib.course.grading.judging.remarks import remarks_on
from n2n_lib.course.grading.tasks import Task
from n2n_lib.course.needed import known, names_of, reached

MOST = 1_000_000
"""Characters of all cells of a notebook that are read; a lesson has 60 000."""


@dataclass
class Answer:
    """What a student hands in for one exercise.

    Attributes
    ----------
    pieces : list of Piece
        The statements that the function needs: the lesson's own before the exercise, and the
        student's up to the check.
    remarks : list of str
        What was done to the check, and what somebody should look at.
    broken : list of str
        Of the student's cells that Python cannot run: where and why; those of the exercise first.
    """

    pieces: list[Piece]
    remarks: list[str]
    broken: list[str] = field(default_factory=list)


@dataclass
class Code:
    """The code cells that count for an exercise, those of the instructor's lesson first.

    Attributes
    ----------
    task : Task
        The exercise.
    sources : list of str
        Of the cells.
    origins : list of str
        Of the cells, see `Piece`.
    above : int
        How many of the cells are above the check.
    remarks : list of str
        On the check.
    """

    task: Task
    sources: list[str]
    origins: list[str]
    above: int
    remarks: list[str]

    def select(self, *, below: bool = False) -> Answer:
        """Select what the graded function needs.

        Parameters
        ----------
        below : bool
            Whether cells below the check count as well.
        """
        sources = self.sources if below else self.sources[: self.above]
        found = reached(sources, {self.task.function}, self._is_none_of_the_answer)
        return self._answer((number, statement) for number, _, statement in found)

    def all_above(self) -> Answer:
        """Select all of the student's cells above the check, and what they need of the lesson's.

        The lesson's own trainings and pictures are left out.
        """
        own = [n for n in range(self.above) if self.origins[n] != "lesson"]
        uses = [used for number in own for _, _, used, _ in known(self.sources[number], True)]
        names = {self.task.function}.union(*uses)
        needs = reached(self.sources[: self.above], names, self._is_none_of_the_answer)
        chosen = {(number, place): statement for number, place, statement in needs}
        for number in own:
            for place, statement in enumerate(read_cell(self.sources[number]).statements):
                if not self._is_none_of_the_answer(number, statement):
                    chosen[number, place] = statement
        return self._answer((place[0], chosen[place]) for place in sorted(chosen))

    def _answer(self, statements: Iterable[tuple[int, ast.stmt]]) -> Answer:
        pieces = [
            Piece(
                self.origins[number],
                number,
                *self._lines(number, statement),
                place=self._place(number) if self.origins[number] != "lesson" else None,
            )
            for number, statement in statements
        ]
        remarks = [*self.remarks, *self._rebound(), *remarks_on(self.task, pieces)]
        return Answer(pieces, remarks, self._broken())

    def _lines(self, number: int, statement: ast.stmt) -> tuple[int, str]:
        """Return the number of the first line of a statement, and its lines."""
        cell = read_cell(self.sources[number])
        if isinstance(statement, (ast.Import, ast.ImportFrom)) and statement not in cell.statements:
            return statement.lineno, ast.unparse(statement)  # of some of its names
        return lines_of(cell.text, statement)

    def _is_none_of_the_answer(self, number: int, statement: ast.stmt) -> bool:
        """Whether it checks an answer, ``check.relu(relu)``, or is how the lesson goes on below."""
        if number >= self.above and self.task.function in names_of(statement)[0]:
            if isinstance(statement, (ast.Import, ast.ImportFrom)) or _hands_on(statement):
                return True
        call = getattr(statement, "value", None)
        return (
            isinstance(statement, ast.Expr)
            and isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and isinstance(call.func.value, ast.Name)
            and call.func.value.id == "check"
        )

    def where(self, number: int, line: int) -> str:
        """Name a line of a student's cell as the student counts."""
        return f"cell {self._place(number)}, line {line}"

    def _place(self, number: int) -> int:
        """Return the number of a student's cell as the student counts: code cells, from 1."""
        return number - len(self.task.before) + 1

    def _rebound(self) -> list[str]:
        """Say where the graded name is bound or changed, unless that is the exercise's cell alone.

        The cells of the lesson are not looked at, since they leave it to the student.
        """
        name, places = self.task.function, []
        for number in range(len(self.task.before), self.above):
            for statement, bound, _, touched in known(self.sources[number], True):
                if self.origins[number] == "lesson" or name not in bound | touched:
                    continue
                if not self._is_none_of_the_answer(number, statement):
                    places.append((number, statement.lineno))
        listed = "; ".join(self.where(*place) for place in places)
        if len(places) > 1:
            return [f"{name} is defined or changed {len(places)} times: {listed}"]
        if places and self.origins[places[0][0]] != "exercise":
            return [f"{name} is not defined in the cell of the exercise: {listed}"]
        return []

    def _broken(self) -> list[str]:
        """Say which of the student's cells Python cannot run."""
        found = []
        for number in range(len(self.task.before), self.above):
            source = self.sources[number]
            if error := read_cell(source).error:
                mine = self.origins[number] == "exercise" or self.task.function in source
                count = number - len(self.task.before) + 1
                found.append((not mine, f"cell {count}, {error}"))
        return [text for _, text in sorted(found, key=lambda each: each[0])]


def read_code(task: Task, cells: Sequence[dict]) -> Code:
    """Find out which cells of a notebook count for an exercise.

    Parameters
    ----------
    task : Task
        The exercise.
    cells : sequence of dict
        The code cells of the student's notebook, see `Submission`.
    """
    remarks, place = [], _check_place(task, cells)
    if place is None:
        remarks.append("the check was deleted; the instructor's was used")
        exercise = _place(cells, task.cell)
        place = len(cells) if exercise is None else exercise + 1
    elif _plain(cells[place]["source"]) != _plain(task.check_source):
        remarks.append("the check differs from the instructor's, which was used")
    elif any(cells[place]["nbgrader"].get(k) != v for k, v in task.check_metadata.items()):
        remarks.append("the check is of another release; the instructor's was used")
    given = {source.strip() for source in task.before}
    above = {cell["source"].strip() for cell in cells[:place]}
    lesson = ["" if source.strip() in above else source for source in task.before]  # not twice
    sources = [*lesson, *_within_limit([cell["source"] for cell in cells], remarks)]
    origins = ["lesson"] * len(task.before) + [_origin(task, cell, given) for cell in cells]
    return Code(task, sources, origins, len(task.before) + place, remarks)


def select(task: Task, cells: Sequence[dict]) -> Answer:
    """Select what a student's answer to an exercise needs."""
    return read_code(task, cells).select()


def _origin(task: Task, cell: dict, given: set[str]) -> str:
    if cell["source"].strip() in given:
        return "lesson"
    if task.cell in (cell["id"], cell["nbgrader"].get("grade_id")):
        return "exercise"
    defines = re.compile(rf"^\s*(?:def|class)\s+{task.function}\b", re.MULTILINE)
    return "exercise" if defines.search(cell["source"]) else "yours"


def _within_limit(sources: list[str], remarks: list[str]) -> list[str]:
    """Empty the cells after so many characters."""
    kept, left = [], MOST
    for number, source in enumerate(sources, 1):
        left -= len(source)
        if left < 0 and source:
            remarks.append(
                f"cell {number} and below: more than {MOST} characters of code, not read"
            )
            return kept + [""] * (len(sources) - len(kept))
        kept.append(source)
    return kept


def _plain(source: str) -> str:
    """Return a source without comments and formatting."""
    try:
        return "\n".join(map(ast.unparse, read_cell(source).statements)) or source.strip()
    except RecursionError:
        return source.strip()


def _hands_on(statement: ast.stmt) -> bool:
    """Whether a statement is like ``f = check.go_on_with(f)``."""
    return any(
        isinstance(node, ast.Attribute) and node.attr in ("go_on_with", "answers")
        for node in ast.walk(statement)
    )


def _check_place(task: Task, cells: Sequence[dict]) -> int | None:
    """Return where the check is; some programs keep neither ids nor metadata, but the source."""
    if (place := _place(cells, task.check_cell)) is not None:
        return place
    same = [i for i, c in enumerate(cells) if c["source"].strip() == task.check_source.strip()]
    return same[-1] if same else None


def _place(cells: Sequence[dict], name: str) -> int | None:
    """Return where the cell of that id is, the last one if it was copied."""
    found = [i for i, c in enumerate(cells) if name in (c["id"], c["nbgrader"].get("grade_id"))]
    return found[-1] if found else None

"""What grading finds: a mark for every answer, a grade for every student. Plain values, no work."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Piece:
    """Some lines of code that an answer needs, as they were run.

    Attributes
    ----------
    origin : str
        ``exercise``, the cell of the exercise; ``yours``, another cell of the student's;
        ``lesson``, a cell of the instructor's lesson.
    cell : int
        Number of the code cell, those of the lesson first.
    line : int
        Of the cell, where the lines begin; the first is 1.
    source : str
        The lines.
    place : int, optional
        Number of the cell in the student's own notebook, as they count: the first code cell is 1.
    """

    origin: str
    cell: int
    line: int
    source: str
    place: int | None = None


@dataclass
class Mark:
    """What one answer is worth.

    Attributes
    ----------
    points, maximum : float
        What was reached, and what could be.
    result : str
        ``right``, ``partly``, ``wrong``, ``not written``, ``no result`` or ``missing``.
    title : str
        Of the exercise.
    message, table : str
        What the check says.
    pieces : list of Piece
        The code that was run, in its order.
    remarks : list of str
        What was done to the check, why there is no result, and what somebody should look at.
    comment : str
        Of the instructor.
    graded : float, optional
        The points before the instructor changed them; None if they are as graded.
    unsure : bool
        Whether an answer without points may have failed only where it was graded, or has the right
        numbers by means that are not allowed.
    """

    points: float
    maximum: float
    result: str
    title: str = ""
    message: str = ""
    table: str = ""
    pieces: list[Piece] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    comment: str = ""
    graded: float | None = None
    unsure: bool = False

    @property
    def doubtful(self) -> bool:
        """Whether somebody should look at it, and has not: no points, though perhaps deserved."""
        return self.points == 0 and self.unsure and self.graded is None


@dataclass
class Grade:
    """What a student gets.

    Attributes
    ----------
    student : str
        Name; no two of a class have the same.
    digest : str
        Of what was handed in, see `Submission`.
    marks : dict of str to Mark
        By exercise, ``03/conv2d-forward``.
    unread : list of str
        What could not be read, and why.
    ids : dict of str to str
        What else is known of the student, as ``{"canvas": "123", "email": "ann@x.edu"}``.
    handed_in : bool
        False for a student who is on the roster alone.
    adjustment : float
        Points that the instructor adds to the total; a penalty is negative.
    comment : str
        Of the instructor, on the whole.
    """

    student: str
    digest: str
    marks: dict[str, Mark]
    unread: list[str] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)
    handed_in: bool = True
    adjustment: float = 0
    comment: str = ""

    @property
    def remarks(self) -> list[str]:
        """All that an instructor should know beside the points."""
        found = list(self.unread)
        for column, mark in self.marks.items():
            found += [f"{column}: {remark}" for remark in mark.remarks]
            if mark.result in ("wrong", "not written"):
                found.append(f"{column}: {mark.result}")
        return found

    @property
    def notes(self) -> list[str]:
        """The remarks without the results, for a page that shows these in a table."""
        marks = self.marks.items()
        return self.unread + [f"{column}: {each}" for column, m in marks for each in m.remarks]

    @property
    def total(self) -> float:
        """Sum of the points with the instructor's adjustment, at least 0."""
        return max(0, sum(mark.points for mark in self.marks.values()) + self.adjustment)

    @property
    def maximum(self) -> float:
        """Sum of what could be reached."""
        return sum(mark.maximum for mark in self.marks.values())

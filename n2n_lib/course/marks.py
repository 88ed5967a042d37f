"""What marks the cells that are graded: lines around a solution, and what nbgrader knows.

An instructor tags a cell with ``exercise`` or ``check`` and says how many points it is worth, if
not `POINTS`. All else that nbgrader wants to read follows from the tag and the cell's id.
"""

from __future__ import annotations

import math
import re

from n2n_lib.support.files import brief

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"

REGION = re.compile(rf"^([ \t]*){BEGIN}[ \t]*\n.*?^[ \t]*{END}[ \t]*$", re.DOTALL | re.MULTILINE)

TAGS = ("exercise", "check")

POINTS = 1
"""What an exercise is worth if its check does not say so."""


class MarksError(ValueError):
    """A cell is not marked as an exercise or a check should be."""


def complete(cells: list[dict]) -> None:
    """Fill in what the metadata of exercises and checks lack.

    Parameters
    ----------
    cells : list of dict
        Of a notebook, each with an id.

    Raises
    ------
    MarksError
        If a cell is both, or its points are no number; it names the cell and the value.
    """
    for cell in cells:
        kinds = [tag for tag in TAGS if tag in cell["metadata"].get("tags", ())]
        if len(kinds) > 1:
            raise MarksError(f"cell {cell['id']}: expected the tag exercise or check, got both")
        if kinds:
            given = cell["metadata"].get("nbgrader", {})
            cell["metadata"]["nbgrader"] = metadata_of(cell["id"], kinds[0]) | given
        if "check" in kinds:
            _check_points(cell)


def metadata_of(name: str, kind: str) -> dict:
    """Return nbgrader's metadata of an exercise or a check, by the cell's id."""
    is_check = kind == "check"
    metadata = {
        "grade": is_check,
        "grade_id": name,
        "locked": is_check,
        "schema_version": 3,
        "solution": not is_check,
        "task": False,
    }
    return metadata | ({"points": POINTS} if is_check else {})


def _check_points(cell: dict) -> None:
    points = cell["metadata"]["nbgrader"]["points"]
    number = isinstance(points, int | float) and not isinstance(points, bool)
    if not (number and 0 <= points < math.inf):
        raise MarksError(
            f"cell {cell['id']}: expected points as a number, 0 or more, got {brief(repr(points))}"
        )

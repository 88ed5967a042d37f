"""What a check does where nbgrader grades a notebook: there its points stand in its output.

nbgrader runs the notebook anew, without the outputs that it was handed in with. Then it looks
through what the cell of each check shows: the first error, or text on stderr, means no points; the
first value is taken for the number of points; a cell with neither has all. So what an answer shows
by itself is taken away, and cannot stand for the verdict.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from n2n_lib.course.check.notebook_state import kernel

STEP = "NBGRADER_EXECUTION"
"""The variable by which nbgrader says what it runs a notebook for."""

SEED = "N2N_CAPSTONE_SEED"
"""The variable that holds the instructor's seed, as ``n2n grade`` is given it by an option."""


def is_on() -> bool:
    """Whether nbgrader runs this notebook to grade it."""
    return os.environ.get(STEP) == "autograde" and kernel() is not None


def take_away_output() -> None:
    """Take away all that the running cell has shown so far, where nbgrader grades."""
    if is_on():
        kernel().display_pub.clear_output()


@contextmanager
def unseen() -> Iterator[None]:
    """Show nothing of what happens in a ``with`` block, where nbgrader grades."""
    if not is_on():
        yield
        return
    from IPython.utils.capture import capture_output

    with capture_output():
        yield


@dataclass(frozen=True)
class Points:
    """A number of points as nbgrader reads it, whatever the notebook has set for other numbers."""

    number: float

    def __repr__(self) -> str:
        """Return the number alone."""
        return f"{self.number:g}"


def give(points: float) -> None:
    """Show points as the value of the running cell, whatever the notebook has set to be shown."""
    kernel().displayhook(Points(points))


def points_for(name: str) -> float:
    """Return the points that the notebook offers for a check, which nbgrader has made sure of.

    Raises
    ------
    LookupError
        If no notebook in this folder has the check.
    """
    for path in sorted(Path.cwd().glob("*.ipynb")):
        for cell in _cells(path):
            known = cell["metadata"].get("nbgrader", {})
            if known.get("grade") and f"check.{name}(" in "".join(cell["source"]):
                return float(known["points"])
    raise LookupError(f"expected a notebook with check.{name} in {Path.cwd()}, found none")


def handed_in_cells() -> list[dict] | None:
    """Return the cells of the notebooks here as they were handed in, outputs included.

    They lie in nbgrader's folder ``submitted``, beside ``autograded``. None if that is elsewhere.
    """
    here = Path.cwd()
    for place, part in reversed(list(enumerate(here.parts))):
        folder = Path(*here.parts[:place], "submitted", *here.parts[place + 1 :])
        if part == "autograded" and folder.is_dir():
            known = [folder / path.name for path in sorted(here.glob("*.ipynb"))]
            return [cell for path in known if path.is_file() for cell in _cells(path)]
    return None


def _cells(path: Path) -> list[dict]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return notebook.get("cells", [])  # none in format 3

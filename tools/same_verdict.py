"""Compare the verdict in class with that of ``n2n grade``, over all answers that are known.

``python -m tools.same_verdict`` takes the solution of every exercise, the empty cell, and every
known mistake, each as the text of the lesson's cell. In class the cell is run after the lesson's
imports, and the check judges the function; the grader selects what the answer needs, runs it in
another process, and judges what comes back. ``--every 20`` takes one pair out of 20. The exit code
is 1 if a verdict or a message differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "course"))

from answers import PLACES, answered, emptied, student, untouched  # noqa: E402

from n2n_lib.course import check  # noqa: E402
from n2n_lib.course.check.judge import judge  # noqa: E402
from n2n_lib.course.grading.judging.attempts import judge_answer  # noqa: E402
from n2n_lib.course.grading.judging.judge import Limits, Worker  # noqa: E402
from n2n_lib.course.grading.tasks import Task, read_assignments  # noqa: E402


@dataclass(frozen=True)
class Pair:
    """An answer, in the words of an exercise and of a cell; no answer means the lesson's own."""

    task: Task
    what: str
    answer: object = None

    @property
    def cell(self) -> str:
        """The exercise's cell with this answer in it."""
        cell = PLACES[self.task.exercise.name].cell
        if self.what == "empty":
            return emptied(cell)
        if self.answer is None:
            return cell
        return answered(cell, check.EXERCISES[self.task.exercise.name].text_of(self.answer))

    def in_class(self) -> tuple[bool, str]:
        """Return whether the check in the notebook finds it right, and what it says."""
        name = self.task.exercise.name
        verdict = judge(
            self.task.exercise,
            untouched(name) if self.what == "empty" else student(name, self.answer),
        )
        return verdict.right, verdict.message

    def graded(self, worker: Worker, earlier: list[str]) -> tuple[bool, str]:
        """Return the same of the grader, for a notebook with the solutions of earlier exercises.

        A known mistake gets what it gets in class: all imports, and the answers of all exercises.
        """
        task = self.task if self.answer is None else self._with_more_given()
        sources = [*task.before, *earlier, self.cell]
        cells = [{"id": None, "nbgrader": {}, "source": source, "output": ""} for source in sources]
        cells[-1]["id"] = self.task.cell
        cells.append(
            {
                "id": self.task.check_cell,
                "nbgrader": self.task.check_metadata,
                "source": self.task.check_source,
                "output": "",
            }
        )
        attempt = judge_answer(worker, task, cells)
        if attempt.verdict is None:
            return False, f"no result: {attempt.reason}"
        return attempt.verdict.right, attempt.verdict.message

    def _with_more_given(self) -> Task:
        name = self.task.exercise.name
        others = "\n".join(
            f"{other} = answers.{other}" for other in check.EXERCISES if other != name
        )
        answers = f"import math\nfrom n2n_lib import check\nanswers = check.answers()\n{others}"
        future = "from __future__ import annotations"  # the text of some has names in these alone
        given = (future, answers, PLACES[name].imports)  # the lesson's own names win
        return replace(self.task, before=(*self.task.before, *given))


def all_pairs() -> Iterator[Pair]:
    """Yield every known answer to every exercise of the lessons."""
    for assignment in read_assignments(ROOT / "notebooks"):
        for task in assignment.tasks:
            if task.exercise.name in check.HAND_INS:
                continue  # measured on other pictures than in class
            yield Pair(task, "solution")
            yield Pair(task, "empty")
            for number, mistake in enumerate(task.exercise.mistakes):
                for version, answer in enumerate(mistake.answers):
                    yield Pair(task, f"mistake {number}.{version}", answer)


def differences(pairs: list[Pair], progress: bool = True) -> list[str]:
    """Return where the two verdicts on answers differ, and how."""
    found = []
    with Limits(closed=False).worker() as worker:
        for pair in tqdm(pairs, disable=not progress):
            earlier = list(pair.task.solutions[:-1])
            in_class, graded = pair.in_class(), pair.graded(worker, earlier)
            if in_class != graded:
                found.append(f"{pair.task.column}, {pair.what}:\n  {in_class}\n  {graded}")
    return found


def main() -> int:
    """Compare, print the differences and their number."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="one pair out of so many")
    pairs = list(all_pairs())[:: parser.parse_args().every]
    found = differences(pairs)
    print("\n".join(found))
    print(f"{len(pairs)} pairs compared, {len(pairs) - len(found)} equal, {len(found)} different")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

"""Count what the course asks of a student: lines to write, exercises, objectives.

``python -m tools.written`` prints a line for each lesson. A line counts if it stands in a solution
and holds code. Each objective of a lesson ends with an arrow and what tests it: exercises of the
lesson by their names, or questions at its end by their numbers. ``--objectives`` lists them all.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, field
from pathlib import Path

from n2n_lib.course.edition import BEGIN, END
from n2n_lib.course.notebooks import find_lessons, read_lesson

GOALS = "**You will be able to**"

TESTED_BY = re.compile(r" → (?P<names>[^→]+?)[;.]?$")

SOLUTION = re.compile(rf"(?ms)^[ \t]*{BEGIN}\n(.*?)^[ \t]*{END}")


@dataclass
class Asked:
    """What one lesson asks.

    Attributes
    ----------
    lesson : Path
        The notebook.
    lines : int
        Lines of code in its solutions.
    exercises : list of str
        Names of what its checks judge.
    objectives : dict of str to list of str
        Each objective with what tests it: names of exercises, or ``question 3`` at its end.
    questions : int
        Number of questions at the end of the lesson.
    """

    lesson: Path
    lines: int = 0
    exercises: list[str] = field(default_factory=list)
    objectives: dict[str, list[str]] = field(default_factory=dict)
    questions: int = 0


def asked(lesson: Path) -> Asked:
    """Read a lesson of the instructor's edition."""
    result, at_the_end = Asked(lesson), False
    for cell in read_lesson(lesson).cells:
        if cell.cell_type == "code":
            if "check" in cell.metadata.get("tags", []):
                result.exercises += re.findall(r"check\.(\w+)\(", cell.source)
            solutions = "\n".join(SOLUTION.findall(cell.source)).splitlines()
            result.lines += sum(bool(re.match(r"\s*[^#\s]", line)) for line in solutions)
            continue
        if title := re.match(r"## (.*)", cell.source):
            at_the_end = title[1] == "Exercises"
        if at_the_end:
            asked_for = re.sub(r"(?s)<details>.*?</details>", "", cell.source)
            result.questions += len(re.findall(r"(?m)^(?:\*\*)?\d+\.", asked_for))
        if GOALS in cell.source:
            for bullet in re.findall(r"(?m)^- (.*(?:\n  .*)*)", cell.source):
                text = re.sub(r"\s+", " ", bullet)
                found = TESTED_BY.search(text)
                names = re.split(r", | and ", found["names"]) if found else []
                result.objectives[TESTED_BY.sub("", text)] = [name.strip("`") for name in names]
    return result


def untested(lesson: Asked) -> list[str]:
    """Return the objectives that nothing tests, or something that the lesson does not have."""
    numbers = range(1, lesson.questions + 1)
    known = {f"{kind} {number}" for number in numbers for kind in ("question", "exercise")}
    known |= set(lesson.exercises)
    return [text for text, by in lesson.objectives.items() if not by or set(by) - known]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objectives", action="store_true", help="list what tests each objective")
    arguments = parser.parse_args()
    lessons = [asked(path) for path in find_lessons()]
    print(f"{'lesson':28} {'lines':>5}  exercises  objectives  questions")
    for each in lessons:
        counts = (len(each.exercises), len(each.objectives), each.questions)
        print("{:28} {:5}  {:9}  {:10}  {:9}".format(each.lesson.stem, each.lines, *counts))
        for text, by in each.objectives.items() if arguments.objectives else ():
            print(f"    {text}: {', '.join(by) or 'nothing'}")
    print(
        "{:28} {:5}  {:9}  {:10}  {:9}".format(
            "all",
            sum(each.lines for each in lessons),
            sum(len(each.exercises) for each in lessons),
            sum(len(each.objectives) for each in lessons),
            sum(each.questions for each in lessons),
        )
    )


if __name__ == "__main__":
    main()

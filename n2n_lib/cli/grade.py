"""``n2n grade``: grade what students handed in."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from n2n_lib.cli.options import JsonOption, QuietOption, check_at_least
from n2n_lib.support import interrupts

if TYPE_CHECKING:
    from rich.console import Console

    from n2n_lib.course.grading.grades import Grade
    from n2n_lib.course.grading.handed_in.layouts import Found
    from n2n_lib.course.grading.written.outputs import Outputs


class Fence(str, Enum):
    """Whether answers are closed in by bubblewrap."""

    auto = "auto"
    required = "required"
    none = "none"


def grade(
    submissions: Annotated[
        Path,
        typer.Argument(
            help="A folder with a folder or zip file for each student, or that of one student."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The CSV file of points to write.")],
    source: Annotated[
        Path | None,
        typer.Option(help="Folder of the instructor's lessons.", show_default="notebooks"),
    ] = None,
    lessons: Annotated[
        str | None,
        typer.Option(help="Numbers of the lessons that count, as 03,04.", show_default="all"),
    ] = None,
    feedback: Annotated[
        Path | None,
        typer.Option(help="Write an HTML page for each student, and one of the class, here."),
    ] = None,
    roster: Annotated[
        Path | None,
        typer.Option(help="CSV file of all students: id, e-mail, name. Who is missing gets a row."),
    ] = None,
    overrides: Annotated[
        Path | None,
        typer.Option(
            help="CSV file of your corrections, comments and penalties.",
            show_default="OUT with .overrides.csv, if it is there",
        ),
    ] = None,
    moodle: Annotated[
        Path | None, typer.Option(help="Write a CSV file that Moodle's gradebook imports.")
    ] = None,
    canvas: Annotated[
        Path | None, typer.Option(help="Write a CSV file that Canvas's gradebook imports.")
    ] = None,
    fence: Annotated[
        Fence,
        typer.Option(
            help="Whether answers must be closed in by bubblewrap: where it works, or else not at "
            "all, or never."
        ),
    ] = Fence.auto,
    timeout: Annotated[int, typer.Option(help="Seconds that one answer may take.")] = 60,
    student_timeout: Annotated[
        int, typer.Option(help="Seconds that all answers of one student may take.")
    ] = 600,
    memory: Annotated[int, typer.Option(help="MB that one answer may use (Linux).")] = 2048,
    jobs: Annotated[int, typer.Option(help="Students that are graded at a time.")] = 2,
    capstone_seed: Annotated[
        int | None,
        typer.Option(
            help="Seed of the hidden thumbnails on which networks of the capstone are measured.",
            show_default="that of the last run to OUT, else a random one",
        ),
    ] = None,
    capstone_pictures: Annotated[
        Path | None,
        typer.Option(
            help="Folder of your own photographs to draw them from.",
            show_default="the photographs of the course for validation",
        ),
    ] = None,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Grade what students handed in; the same command goes on after an interruption."""
    from n2n_lib.cli.console import make_console
    from n2n_lib.course.grading import run
    from n2n_lib.course.grading.judging.fence import raise_fence
    from n2n_lib.course.grading.judging.judge import Limits
    from n2n_lib.course.grading.written.outputs import Outputs
    from n2n_lib.course.grading.written.summary import summary

    check_at_least(timeout, "--timeout", 1)
    check_at_least(student_timeout, "--student-timeout", 1)
    check_at_least(memory, "--memory", 1)
    check_at_least(jobs, "--jobs", 1)
    if capstone_seed is not None:
        check_at_least(capstone_seed, "--capstone-seed", 0)
    console = make_console(stderr=json_output)
    found: list[Found] = []

    def report(what: Found) -> None:
        found.append(what)
        _print_found(console, what)

    outputs = Outputs(out, feedback, roster, overrides, moodle, canvas)
    with interrupts.handled(_end):  # which cleans up
        around = raise_fence(fence.value)
        limits = Limits(timeout, memory, around.closed, student_timeout)
        if around.closed:
            console.print(str(around), highlight=False)
        else:
            make_console(stderr=True).print(str(around), style="yellow", highlight=False)
        grades = run.grade(
            submissions,
            outputs,
            source=source,
            lessons=[each.strip() for each in lessons.split(",")] if lessons else (),
            limits=limits,
            jobs=jobs,
            capstone_seed=capstone_seed,
            capstone_pictures=capstone_pictures,
            progress=not quiet,
            report=report,
        )
    _print_grades(console, grades, outputs)
    if json_output:
        print(
            json.dumps(
                {
                    "out": str(out),
                    "maximum": grades[0].maximum,
                    "closed_in": limits.closed,
                    "fence": str(around),
                }
                | {"layout": found[0].layout, "unknown": found[0].unknown}
                | summary(grades, outputs)
            )
        )


def _end(number: int, frame: object) -> None:
    sys.exit(128 + number)


def _print_found(console: Console, found: Found) -> None:
    """Say how many students were recognised, how, and what belongs to none of them."""
    from n2n_lib.course.grading.text import plain

    students = f"{len(found.students)} student{'s' * (len(found.students) != 1)}"
    console.print(f"{students} recognised{f': {found.layout}' if found.layout else ''}.")
    for each in found.unknown:
        console.print(f"Not recognised: {plain(each)}")


def _print_grades(console: Console, grades: Sequence[Grade], outputs: Outputs) -> None:
    from rich.table import Table

    from n2n_lib.course.grading.written.sheets import shown, visible
    from n2n_lib.course.grading.written.summary import summary_lines

    table = Table(caption=f"of {shown(grades[0].maximum)} points; written to {outputs.out}")
    table.add_column("student")
    table.add_column("points", justify="right")
    table.add_column("remarks", justify="right")
    for each in grades:
        table.add_row(visible(each.student), shown(each.total), str(len(each.remarks) or ""))
    console.print(table)
    for line in summary_lines(grades, outputs):
        console.print(line, highlight=False)

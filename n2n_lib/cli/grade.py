"""``n2n grade``: grade what students handed in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from n2n_lib.cli.options import JsonOption, QuietOption, check_at_least

if TYPE_CHECKING:
    from rich.console import Console

    from n2n_lib.course.grading.grades import Grade
    from n2n_lib.course.grading.outputs import Outputs


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
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Grade what students handed in; the same command goes on after an interruption."""
    from n2n_lib.cli.console import make_console
    from n2n_lib.course.grading import run
    from n2n_lib.course.grading.judge import has_bubblewrap
    from n2n_lib.course.grading.outputs import Outputs
    from n2n_lib.course.grading.summary import summary

    check_at_least(timeout, "--timeout", 1)
    check_at_least(student_timeout, "--student-timeout", 1)
    check_at_least(memory, "--memory", 1)
    check_at_least(jobs, "--jobs", 1)
    console = make_console(stderr=json_output)
    limits = run.Limits(timeout, memory, closed=has_bubblewrap())
    if limits.closed:
        console.print("Answers run in bubblewrap: without network, all files read-only.")
    else:
        console.print(
            "Answers run without bubblewrap (bwrap): only Python keeps them off network and files."
        )
    outputs = Outputs(out, feedback, roster, overrides, moodle, canvas)
    grades = run.grade(
        submissions,
        outputs,
        source=source,
        lessons=[each.strip() for each in lessons.split(",")] if lessons else (),
        limits=limits,
        jobs=jobs,
        progress=not quiet,
    )
    _print_grades(console, grades, outputs)
    if json_output:
        print(
            json.dumps(
                {"out": str(out), "maximum": grades[0].maximum, "closed_in": limits.closed}
                | summary(grades, outputs)
            )
        )


def _print_grades(console: Console, grades: Sequence[Grade], outputs: Outputs) -> None:
    from rich.table import Table

    from n2n_lib.course.grading.sheets import shown, visible
    from n2n_lib.course.grading.summary import summary_lines

    table = Table(caption=f"of {shown(grades[0].maximum)} points; written to {outputs.out}")
    table.add_column("student")
    table.add_column("points", justify="right")
    table.add_column("remarks", justify="right")
    for each in grades:
        table.add_row(visible(each.student), shown(each.total), str(len(each.remarks) or ""))
    console.print(table)
    for line in summary_lines(grades, outputs):
        console.print(line, highlight=False)

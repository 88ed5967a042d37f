"""``n2n notebooks``: run the lessons and save them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from n2n_lib.cli.options import check_at_least


def notebooks(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Lessons to run.", show_default="all")
    ] = None,
    timeout: Annotated[int, typer.Option(help="Seconds that one cell may take.")] = 600,
) -> None:
    """Re-execute the lessons and save them with fresh outputs.

    Without a clone of the project, the lessons of the installed package are copied to the folder
    notebooks first.
    """
    from n2n_lib.course.notebooks import execute, own_lessons

    check_at_least(timeout, "--timeout", 1)
    execute(paths or own_lessons(), timeout=timeout)

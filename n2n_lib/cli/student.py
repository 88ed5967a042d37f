"""``n2n student``: write the lessons as students get them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from n2n_lib.cli.options import JsonOption

if TYPE_CHECKING:
    from rich.console import Console

    from n2n_lib.course.edition import Changes


def student(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DEST",
            help="Folder of the edition, made if missing; or a file NAME.zip to hand out, always "
            "written afresh and with the library.",
        ),
    ],
    source: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the instructor's lessons, or of a student edition as it was handed "
            "out.",
            show_default="notebooks, else the edition in the current folder",
        ),
    ] = None,
    library: Annotated[
        bool,
        typer.Option(
            "--library",
            help="Write n2n_lib, too, and what it is installed with: the folder can then be handed "
            "out by itself.",
        ),
    ] = False,
    install_from: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Begin each lesson with a cell that installs the library where it is missing, as "
            "in Colab: a wheel (it is put beside the lessons), or an address that pip takes.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the lessons without their solutions, for students; or update such a folder.

    What a student has worked in is never overwritten. If it has a newer version, this is written
    beside it: 04_convolution.new.ipynb beside 04_convolution.ipynb. To get a lesson afresh, rename
    or delete the file.

    Who has no clone unpacks a newer edition beside the folder with their work, and calls there:
    python -m n2n_lib student ../FOLDER
    """
    from n2n_lib.cli.console import make_console
    from n2n_lib.course.edition import make_edition, pack_edition

    if folder.suffix.lower() == ".zip" and not folder.is_dir():
        changes = pack_edition(folder, source, install_from=install_from)
    else:
        changes = make_edition(folder, source, library=library, install_from=install_from)
    _print_edition(make_console(stderr=as_json), changes, folder)
    if as_json:
        print(json.dumps(asdict(changes)))


def _print_edition(console: Console, changes: Changes, folder: Path) -> None:
    """Say what became of each file, in one line for each kind of outcome."""
    from rich.table import Table

    console.print(f"Student edition in {folder}:", highlight=False)
    lines = {
        "written": changes.written,
        "updated": changes.updated,
        "up to date": changes.unchanged,
        "yours, kept": changes.kept,
        "newer, beside yours": list(changes.beside.values()),
        "removed, out of date": changes.removed,
    }
    table = Table.grid(padding=(0, 2))
    for outcome, names in lines.items():
        if names:
            shown = ", ".join(names) if len(names) <= 15 else f"{len(names)} files"
            table.add_row(outcome, shown)
    for name, files in changes.succeeded.items():
        table.add_row("yours, kept", f"{name}; your answers are in {' and '.join(files)} as well")
    console.print(table)

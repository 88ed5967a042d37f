"""``n2n lab``: open the lessons in JupyterLab."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from n2n_lib.cli.options import UsageError
from n2n_lib.support import interrupts

NEWS = "@jupyterlab/apputils-extension:announcements"
"""The part of JupyterLab that asks at its first start whether to fetch news and updates."""

GRADING = "@jupyter/nbgrader"
"""The menu and the tools that nbgrader adds, which are of no use to a student."""


def lab(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]",
            help="Folder of the lessons; made if missing.",
            show_default="this one if it is an edition, else lessons",
        ),
    ] = None,
    instructor: Annotated[
        bool, typer.Option("--instructor", help="Open the lessons with their solutions.")
    ] = False,
    browser: Annotated[
        bool, typer.Option(help="Open a browser; without, JupyterLab prints an address.")
    ] = True,
) -> None:
    """Open the lessons in JupyterLab, for you to fill in.

    Where there are none, a student edition is written first; one that is there is opened as it is.
    With --instructor and without a clone of the project, the solutions are copied to the folder
    notebooks.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise UsageError(
            "JupyterLab is not installed in the Python of this command: "
            f"{sys.executable} -m pip install jupyterlab"
        )
    if instructor:
        folder = _with_solutions(folder)
    else:
        folder = _edition(folder)
    typer.echo(f"JupyterLab on {folder.resolve()}; Ctrl-C twice ends it")
    options = [] if browser else ["--no-browser"]
    words = [sys.executable, "-m", "jupyterlab", str(folder.resolve()), *options]
    without = [NEWS] if instructor else [NEWS, GRADING]
    with tempfile.TemporaryDirectory(prefix="n2n-lab-", ignore_cleanup_errors=True) as name:
        own = Path(name)
        code = _run(words, os.environ | _moved_folders(own) | _switched_off(without, own))
    stopped = (-signal.SIGINT, -signal.SIGTERM, interrupts.STOPPED)  # perhaps before it listened
    if code and code not in stopped:
        raise UsageError(
            f"JupyterLab ended with exit code {code}; what it said stands above, and n2n doctor "
            "looks for the reason"
        )


def _moved_folders(instead: Path) -> dict[str, str]:
    """Return the variables that move what Jupyter, IPython and Matplotlib keep to a folder.

    That is what they cannot write to where it is: in a home that is read-only, or missing.
    """
    from jupyter_core import paths

    from n2n_lib.support.files import make_writable

    home, moved = Path.home(), {}
    folders = [
        ("JUPYTER_RUNTIME_DIR", paths.jupyter_runtime_dir()),
        ("JUPYTER_DATA_DIR", paths.jupyter_data_dir()),
        ("JUPYTER_CONFIG_DIR", paths.jupyter_config_dir()),
        ("IPYTHONDIR", os.environ.get("IPYTHONDIR") or home / ".ipython"),
        *(("MPLCONFIGDIR", folder) for folder in _folders_of_matplotlib(home)),
    ]
    for variable, folder in folders:
        try:
            make_writable(folder)
        except ValueError:
            if not moved:
                typer.echo(
                    f"{folder} cannot be written to: settings and history last until it ends, in "
                    f"{instead}"
                )
            moved[variable] = str(instead / variable.lower())
    return moved


def _folders_of_matplotlib(home: Path) -> list[Path]:
    """Return where it keeps settings and a list of fonts; to ask it would make it look, and speak.

    Where it may not write, it makes a folder for each kernel, and says so in every lesson.
    """
    if given := os.environ.get("MPLCONFIGDIR"):
        return [Path(given)]
    if os.name == "nt":  # where it has a choice that it should make itself
        return []
    if sys.platform == "darwin":
        return [home / ".matplotlib"]
    places = (("XDG_CONFIG_HOME", ".config"), ("XDG_CACHE_HOME", ".cache"))
    return [Path(os.environ.get(name) or home / usual, "matplotlib") for name, usual in places]


def _switched_off(plugins: list[str], own: Path) -> dict[str, str]:
    """Return the variable that has JupyterLab leave plugins out; their user's settings stay."""
    folder = own / "settings"
    (folder / "labconfig").mkdir(parents=True)
    (folder / "labconfig" / "page_config.json").write_text(
        json.dumps({"disabledExtensions": dict.fromkeys(plugins, True)}), encoding="utf-8"
    )
    given = os.environ.get("JUPYTER_CONFIG_PATH")
    return {"JUPYTER_CONFIG_PATH": os.pathsep.join([str(folder), *([given] if given else [])])}


def _run(words: list[str], env: dict[str, str]) -> int:
    """Run a program to its end. Ctrl-C is for the program, which gets it, too, and asks back.

    What would end this process alone (SIGTERM, a terminal that was closed) ends the program.
    """
    with subprocess.Popen(words, env=env) as program:
        with interrupts.handled(lambda *_: program.terminate()):
            while True:
                try:
                    return program.wait()
                except KeyboardInterrupt:
                    continue


def _with_solutions(folder: Path | None) -> Path:
    from n2n_lib.course.notebooks import own_lessons

    if folder is not None:
        raise UsageError(f"expected --instructor or a folder, got both (folder {folder})")
    return own_lessons()[0].parent


def _edition(folder: Path | None) -> Path:
    """Return the folder of a student edition, which is made where there is none."""
    from n2n_lib.course.lessons import EDITION
    from n2n_lib.course.notebooks import PACKAGE

    if folder is None:  # the second is a folder that was handed out with the library in it
        present = (place for place in (Path(), PACKAGE.parent) if (place / EDITION).is_file())
        folder = next(present, Path("lessons"))
    if not (folder / EDITION).is_file():
        from n2n_lib.course.edition import make_edition

        make_edition(folder)
        typer.echo(f"Student edition written to {folder}")
    return folder

"""Run the lessons anew and save them, so that the same code gives the same file."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING

from tqdm import tqdm

from n2n_lib.course import marks
from n2n_lib.course.lessons import EDITION, NAMES
from n2n_lib.support.files import brief, make_writable, write_atomically

if TYPE_CHECKING:  # Jupyter takes a second to load, and who only looks for lessons needs none of it
    from nbclient import NotebookClient
    from nbformat import NotebookNode

METADATA = {
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}
"""What every saved lesson says about itself; no version, so that no machine shows."""

VIEW_STATE = {
    "ExecuteTime",
    "collapsed",
    "execution",
    "jp-MarkdownHeadingCollapsed",
    "scrolled",
    "trusted",
}
"""Metadata of a cell that tells how somebody looked at it, or when it ran."""

WIDGET = "application/vnd.jupyter.widget-view+json"
"""An output that points to a live widget by a random name; its text stands beside it."""

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""The terminal colours in a traceback of IPython."""


PACKAGE = Path(__file__).resolve().parents[1]

BESIDE_PACKAGE = PACKAGE.parent / "notebooks"
"""The lessons of a clone."""

INSTALLED = PACKAGE / "project" / "notebooks"
"""The lessons in an installed package, where ``setup.py`` puts them; a clone has no such folder."""


class LessonError(ValueError):
    """A lesson cannot be read or run, or shows what it must not; its file is as it was."""


def find_lessons(folder: str | os.PathLike | None = None) -> list[Path]:
    """Return the lessons of a folder, ``NN_name.ipynb`` and ``EN_name.ipynb``, in their order.

    Parameters
    ----------
    folder : path-like, optional
        Default: the first of these that holds lessons with their solutions:

        1. ``notebooks`` beside the package: a clone, or an editable install of one;
        2. ``notebooks`` in the current folder: lessons of one's own, see `own_lessons`;
        3. the lessons inside an installed package, `INSTALLED`.

    Raises
    ------
    ValueError
        If there is no such folder.
    """
    if folder is not None:
        if not Path(folder).is_dir():
            raise ValueError(f"expected a folder of lessons, got {folder}")
        return _lessons_in(Path(folder))
    for place in (BESIDE_PACKAGE, Path("notebooks"), INSTALLED):
        if not (place / EDITION).is_file() and (lessons := _lessons_in(place)):
            return lessons
    raise ValueError("expected lessons in the folder notebooks, found none: install n2n_lib anew")


def _lessons_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.ipynb") if NAMES.fullmatch(path.stem))


def own_lessons() -> list[Path]:
    """Return lessons that may be changed: where there are only the installed ones, copies of them.

    The copies, and what lies beside the lessons, go to ``notebooks`` in the current folder; no
    file that is there already is touched.
    """
    lessons = find_lessons()
    if lessons[0].parent != INSTALLED:
        return lessons
    folder = Path("notebooks")
    make_writable(folder)
    for path in sorted(INSTALLED.iterdir()):
        if path.is_file() and not (folder / path.name).exists():
            content = path.read_bytes()
            write_atomically(folder / path.name, lambda file, content=content: file.write(content))
    return find_lessons(folder)


def execute(
    paths: Sequence[str | os.PathLike], timeout: int = 600, *, progress: bool = True
) -> None:
    """Run every cell of every notebook in a fresh kernel, in order, and save the outputs.

    The kernel is the Python that runs this function and works in the notebook's folder, without
    the user's own settings of IPython and matplotlib. Running twice gives the same bytes as long
    as the cells print the same. A notebook is written whole or not at all, and only if it

    - ran to its end without an exception,
    - wrote nothing to stderr,
    - shows no absolute path of this machine.

    Those that came before a failing one have been saved already.

    Parameters
    ----------
    paths : sequence of path-like
        The notebooks.
    timeout : int
        Seconds that one cell may take.
    progress : bool
        Whether to show a progress bar on stderr.

    Raises
    ------
    LessonError
        If a notebook is not fit to be saved; the message names it and the cell.
    ValueError
        If there is nothing to do, or `timeout` is not positive.
    KeyboardInterrupt
        If the run is interrupted; the notebook that was running stays as it was.
    """
    paths = [Path(path) for path in paths]
    if not paths:
        raise ValueError("expected one or more notebooks, got none")
    if not timeout > 0:
        raise ValueError(f"expected a positive timeout in seconds, got {timeout}")
    for path in paths:  # a wrong name shows before minutes are spent on the others
        read_lesson(path)
    with tqdm(paths, unit="lesson", disable=not progress) as bar:
        for path in bar:
            bar.set_description(path.stem)
            lesson = read_lesson(path)
            run_lesson(lesson, path, timeout)
            check_outputs(lesson, path)
            normalise(lesson)
            _save(lesson, path)


def read_lesson(path: Path) -> NotebookNode:
    """Read a notebook of format 4, give every cell a lasting id, and leave out old outputs.

    Exercises and checks get the metadata that nbgrader reads, see `n2n_lib.course.marks`.

    Raises
    ------
    LessonError
        If it cannot be read; the message names it.
    """
    import nbformat

    if not path.is_file():
        raise LessonError(f"expected a notebook, found no file {path}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["nbformat"] != 4:
            raise LessonError(
                f"{path}: expected notebook format 4, got {brief(content['nbformat'])}"
            )
        content["nbformat_minor"] = max(content["nbformat_minor"], 5)  # 4.5 brought cell ids
        _complete_ids(content["cells"])
        marks.complete(content["cells"])
        lesson = nbformat.from_dict(content)
        nbformat.validate(lesson)
        text = json.dumps(content, ensure_ascii=False)
        text.encode("utf-8")  # JSON may escape halves of characters, which no file can hold
        lesson = nbformat.reads(text, as_version=4)
    except LessonError:
        raise
    except marks.MarksError as error:
        raise LessonError(f"{path}, {error}") from None
    except Exception as error:  # a broken file can fail in each of these steps, in many ways
        raise LessonError(
            f"{path}: expected a Jupyter notebook, got {type(error).__name__}: {brief(error)}"
        ) from None
    for cell in _code_cells(lesson):
        cell.outputs = []
        cell.execution_count = None
    return lesson


def _complete_ids(cells: list[dict]) -> None:
    """Keep the ids of cells; give those that lack one, or repeat one, an id by their place."""
    present = {cell.get("id") for cell in cells}
    seen = set()
    for index, cell in enumerate(cells):
        if not cell.get("id") or cell["id"] in seen:
            cell["id"] = f"cell-{index:03d}"
            while cell["id"] in present:
                cell["id"] += "-new"
            present.add(cell["id"])
        seen.add(cell["id"])


def run_lesson(lesson: NotebookNode, path: Path, timeout: int) -> None:
    """Execute the cells in place; `path` says where. Parameters and errors as in `execute`."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    started: list[NotebookNode] = []
    with tempfile.TemporaryDirectory() as ipython_folder:
        client = NotebookClient(
            lesson,
            # No folders of kernels: this leaves the one that runs our own Python.
            km=AsyncKernelManager(
                kernel_name="python3",
                kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
                connection_file=str(Path(ipython_folder, "kernel.json")),
            ),
            timeout=timeout,
            extra_arguments=["--log-level=ERROR"],  # what a kernel says of its own transport
            record_timing=False,
            store_widget_state=False,
            resources={"metadata": {"path": str(path.parent)}},
            on_cell_execute=lambda cell, cell_index: started.append(cell),
        )
        try:
            _execute(client, _environment(ipython_folder))
        except CellExecutionError as error:
            if error.ename == "KeyboardInterrupt":
                raise KeyboardInterrupt from None
            problem = f"expected no exception, got {error.ename}: {error.evalue}"
            details = "\n" + COLOURS.sub("", error.traceback)
        except CellTimeoutError:
            problem, details = f"expected it to take at most {timeout} s, got no end", ""
        except DeadKernelError:
            problem, details = "expected the kernel to live on, got its death", ""
        else:
            problem = None
    if problem:
        name = _name(path, lesson, started[-1]) if started else path.name
        raise LessonError(f"{name}: {problem}{details}")

    for cell in _code_cells(lesson):
        cell.outputs = _merge_streams(cell.outputs)


def _execute(client: NotebookClient, env: dict[str, str]) -> None:
    """Execute the cells, and end the kernel; Ctrl-C ends both in their order.

    In the main thread nbclient would listen for Ctrl-C itself, and close the sockets of the kernel
    while it still speaks through them.
    """
    running: Queue[tuple[asyncio.AbstractEventLoop, asyncio.Task]] = Queue()
    manager = client.km

    async def work() -> None:
        running.put((asyncio.get_running_loop(), asyncio.current_task()))
        try:
            await client.async_execute(cleanup_kc=True, env=env)
        finally:
            if manager.has_kernel:  # it was stopped too early
                await manager.shutdown_kernel(now=True)

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(lambda: asyncio.run(work()))
        try:
            while not ended.done():  # a signal that another thread receives does not end a wait
                wait([ended], timeout=0.5)
        except KeyboardInterrupt:
            client.shutdown_kernel = "immediate"  # asked to end, it would print what it was at
            loop, task = running.get()
            while not ended.done():  # again: while a kernel starts, jupyter_client may lose one
                with contextlib.suppress(RuntimeError):  # it has just ended by itself
                    if not manager.shutting_down:
                        loop.call_soon_threadsafe(task.cancel)
                wait([ended], timeout=0.5)
            raise
    ended.result()


def _merge_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join neighbouring pieces of a stream: where a long print is cut depends on the clock."""
    merged: list[NotebookNode] = []
    for output in outputs:
        last = merged[-1] if merged else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged


def _environment(ipython_folder: str) -> dict[str, str]:
    """Return the environment of a kernel, without what one user has set and another has not."""
    import matplotlib  # which has something to say where its folder cannot be written to

    personal = re.compile(r"TQDM_.*|PYTHONWARNINGS|COLUMNS|LINES|NO_COLOR|FORCE_COLOR|CLICOLOR.*")
    shared = {name: value for name, value in os.environ.items() if not personal.fullmatch(name)}
    return shared | {
        "IPYTHONDIR": ipython_folder,  # empty: no startup files, no profile
        "MATPLOTLIBRC": str(Path(matplotlib.get_data_path(), "matplotlibrc")),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else the debugger warns when a kernel starts
    }


def check_outputs(lesson: NotebookNode, path: Path) -> None:
    """Refuse a lesson that ran, but not as a lesson should.

    Raises
    ------
    LessonError
        If a cell was not run in its turn, shows an exception or a path of this machine, or wrote
        to stderr; the message names the cell.
    """
    machine = _machine_paths(path)
    for number, cell in enumerate(_code_cells(lesson), start=1):
        name = _name(path, lesson, cell)
        if cell.execution_count != number:
            raise LessonError(
                f"{name}: expected to be run as number {number}, got {cell.execution_count} "
                "(is the cell empty, or tagged to be skipped?)"
            )
        if _error_of(cell):
            raise LessonError(
                f"{name}: expected no exception, got {_error_of(cell)}; catch it in the cell"
            )
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                raise LessonError(f"{name}: expected nothing on stderr, got {output.text.strip()}")
            for text in _texts(output):
                if found := machine.search(text):
                    raise LessonError(
                        f"{name}: expected no absolute path of this machine, got {found[0]!r}"
                    )


def _machine_paths(path: Path) -> re.Pattern[str]:
    """Match the folders whose names differ from machine to machine, and what is in them."""
    folders = {
        Path.home(),
        Path(tempfile.gettempdir()),
        Path(sys.prefix),
        Path(__file__).resolve().parents[2],
        path.resolve().parent,
    }
    names = set()
    for folder in folders | {folder.resolve() for folder in folders}:
        if folder == Path(folder.anchor):
            continue  # some containers have / as home, which would forbid every slash
        names |= {str(folder), folder.as_posix(), str(folder).replace("\\", "\\\\")}
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    return re.compile(
        r"(?<![\w.~-])(?:" + "|".join(map(re.escape, longest_first)) + r")(?![\w.-])[^\s'\"<>]*"
    )


def normalise(lesson: NotebookNode) -> None:
    """Leave nothing in the notebook that tells when, where or by whom it was run."""
    import nbformat

    lesson.metadata = nbformat.from_dict(METADATA)
    for cell in lesson.cells:
        for key in VIEW_STATE & set(cell.metadata):
            del cell.metadata[key]
    for cell in _code_cells(lesson):
        for output in cell.outputs:
            if "data" in output:
                output.data.pop(WIDGET, None)
        cell.outputs = [output for output in cell.outputs if output.get("data", True)]


def _save(lesson: NotebookNode, path: Path) -> None:
    import nbformat

    nbformat.validate(lesson)
    text = nbformat.writes(lesson).rstrip("\n") + "\n"
    write_atomically(path, lambda file: file.write(text.encode("utf-8")))


def _code_cells(lesson: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in lesson.cells if cell.cell_type == "code"]


def _error_of(cell: NotebookNode) -> str | None:
    """Return the exception that a cell shows."""
    errors = (output for output in cell.outputs if output.output_type == "error")
    return next((f"{output.ename}: {output.evalue}" for output in errors), None)


def _texts(output: NotebookNode) -> Iterator[str]:
    """Yield everything in an output that a reader could read; pictures in base64 are left out."""
    if output.output_type == "stream":
        yield output.text
    for kind, content in output.get("data", {}).items():
        if kind != WIDGET and not re.fullmatch(r"image/(?!svg).*|.*/pdf", kind):
            yield content if isinstance(content, str) else json.dumps(content)


def _name(path: Path, lesson: NotebookNode, cell: NotebookNode) -> str:
    """Name a cell for people: by the number in its brackets and its first line."""
    number = next(n for n, other in enumerate(_code_cells(lesson), start=1) if other is cell)
    first = next((line.strip() for line in cell.source.splitlines() if line.strip()), "empty")
    return f"{path.name}, code cell [{number}] ({first})"

"""Find what somebody should look at in an answer: ready-made functions and ways around the task.

It reads names, and so finds what is written openly; an answer may hide what it does. What the
lesson's own solution uses is never remarked.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from n2n_lib.course.cells import read_cell
from n2n_lib.course.grading.grades import Piece
from n2n_lib.course.grading.tasks import Task

MOST = 8
"""Remarks on one answer."""

ALLOWED = re.compile(
    r"torch\.nn\.functional(\.(pad|fold|unfold|one_hot))?"
    r"|torch\.nn"  # alone, on the way to these
    r"|n2n_lib(\.course)?(\.check(\.(answers|go_on_with|mine|progress)(\..*)?)?)?"
    r"|n2n_lib(\.framework(\.module)?)?\.Module"  # what lessons derive their classes from
)
"""Names that every lesson uses."""

READY_MADE = re.compile(
    r"torch\.(nn|optim|ops|autograd|func|jit|hub|_\w+)\b"
    r"|torch\.(\w*conv\w*|\w*_pool\w*|\w+_norm|vmap|enable_grad|set_grad_enabled|inference_mode)\b"
    r"|torch\.special\.expit"
    r"|(numpy|np)\.(convolve|correlate|gradient)\b"
    r"|(scipy|skimage|cv2|sklearn|torchvision|tensorflow|jax|keras|kornia|pywt|bm3d)\b"
    r"|n2n_lib\b"
)
"""Functions that do what exercises ask for, or differentiate it."""

WAYS_AROUND = re.compile(
    r"(sys\.(modules|_\w+|settrace|setprofile)|importlib|gc|inspect|ctypes|subprocess|os|socket"
    r"|builtins|pickle|marshal|runpy|threading|multiprocessing|shutil|urllib|requests)\b"
)
"""Modules that no answer needs."""

BUILTINS = {"eval", "exec", "compile", "open", "__import__", "globals", "breakpoint"}
"""Built-in functions that no answer needs."""

ATTRIBUTES = {
    *("solution", "EXERCISES", "requires_grad", "requires_grad_", "grad_fn", "autograd"),
    *("__globals__", "__builtins__", "__subclasses__", "__code__", "__closure__"),
    *("f_globals", "f_locals", "f_back", "gi_frame", "tb_frame"),
}
"""Attributes that no answer needs, whatever they belong to."""

NAMESAKES = {"relu", "leaky_relu", "elu", "sigmoid", "tanh"}
"""Functions of tensors that are asked for in the exercise of that name."""


def remarks_on(task: Task, pieces: Sequence[Piece]) -> list[str]:
    """Name the lines of an answer that somebody should look at.

    Parameters
    ----------
    task : Task
        The exercise.
    pieces : sequence of Piece
        The code of the answer. The lesson's own is not remarked.

    Returns
    -------
    list of str
        Short sentences, each with cell and line as the student counts.
    """
    allowed = _used_by_solutions(task.before, task.solutions)
    lasts = {name.rpartition(".")[2] for name in allowed if name.startswith("n2n_lib")}
    trees = [(piece, read_cell(piece.source).statements) for piece in pieces]
    modules = _imported([statement for _, statements in trees for statement in statements])
    remarks: dict[str, str] = {}
    for piece, statements in trees:
        if piece.origin == "lesson":
            continue
        for line, name in _names(statements, modules):
            last = name.rpartition(".")[2]
            if name in allowed or (name.startswith("n2n_lib") and last in lasts):
                continue
            if what := _look_at(name, task):
                where = f"cell {piece.cell - len(task.before) + 1}, line {piece.line + line - 1}"
                remarks.setdefault(what, f"{where}: {what}")
    return list(remarks.values())[:MOST]


@lru_cache(maxsize=256)
def _used_by_solutions(before: tuple[str, ...], solutions: tuple[str, ...]) -> set[str]:
    """Return the full names that the lesson's own cells of exercises use."""
    given = [each for source in before + solutions for each in read_cell(source).statements]
    own = [each for source in solutions for each in read_cell(source).statements]
    return {name for _, name in _names(own, _imported(given))}


def _look_at(name: str, task: Task) -> str:
    """Say what there is to look at in a name, in a few words, if anything."""
    first, _, rest = name.partition(".")
    last = name.rpartition(".")[2]
    if name == "torch.compile":
        return "torch.compile does nothing where answers are graded"
    if ALLOWED.fullmatch(name):
        return ""
    called = last.removesuffix("()").removesuffix("_")
    is_namesake = called in NAMESAKES and called in task.exercise.name.lower()
    if is_namesake and (name.startswith("torch.") or last.endswith("()")):
        return f"uses {called}, which is asked for"
    if READY_MADE.match(name) or WAYS_AROUND.match(name):
        return f"uses {name}"
    if (rest and last in ATTRIBUTES) or (not rest and first in {*BUILTINS, "EXERCISES"}):
        return f"uses {last}"
    return ""


def _imported(statements: Sequence[ast.stmt]) -> dict[str, str]:
    """Return what the names of imports stand for, in full."""
    found = {}
    for statement in statements:
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    first = alias.name.partition(".")[0]
                    found[alias.asname or first] = alias.name if alias.asname else first
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    found[alias.asname or alias.name] = f"{node.module or ''}.{alias.name}"
    return found


def _names(statements: Sequence[ast.stmt], modules: dict[str, str]) -> Iterator[tuple[int, str]]:
    """Yield the line and the full name of all that is used: ``F.pad`` as what it was imported.

    What has no name before its dots begins with one, as ``.backward``; the call of a method without
    arguments ends in brackets.
    """
    for statement in statements:
        inner: set[int] = set()  # parts of a longer name
        for node in ast.walk(statement):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                for name in _imported([node]).values():
                    yield node.lineno, name
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if not node.args and not node.keywords:
                    yield node.lineno, f".{node.func.attr}()"
            elif isinstance(node, ast.keyword) and node.arg:
                yield node.lineno, f".{node.arg}"
            elif isinstance(node, (ast.Attribute, ast.Name)) and id(node) not in inner:
                parts, place = [], node
                while isinstance(place, ast.Attribute):
                    parts.append(place.attr)
                    place = place.value
                    inner.add(id(place))
                first = modules.get(place.id, place.id) if isinstance(place, ast.Name) else ""
                yield node.lineno, ".".join([first, *reversed(parts)])

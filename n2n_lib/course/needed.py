"""Find the statements of a notebook that a definition needs, and leave out all others.

The rule: the last definition of the name counts, then the last definitions of the global names
that it uses, of the names that those use, and so on. A statement belongs to a name if it binds it,
stores into it (``name.x = 1``, ``name[0] = 1``) or calls one of its methods (``name.append(1)``).
Trainings, tables and pictures of a lesson are needed by no answer, and so are not run.
"""

from __future__ import annotations

import ast
import copy
import re
import symtable
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import lru_cache

MAGIC = re.compile(r"(?m)^(\s*)[%!].*$")
"""A line that only IPython understands."""

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

SIMPLE = (*DEFINITIONS, ast.Assign, ast.AnnAssign, ast.ImportFrom)
"""Statements after which nothing is left of what a name was before; ``import a.b`` adds to a."""


def needed(
    cells: Sequence[str],
    name: str,
    given: Collection[str] = (),
    skip: Callable[[ast.stmt], bool] = lambda statement: False,
    late: set[str] | None = None,
) -> list[tuple[int, ast.stmt]]:
    """Return the statements that `name` needs, in order, each with the number of its cell.

    Parameters
    ----------
    cells : sequence of str
        Sources of code cells in their order. A cell that is not Python is left out, since no
        notebook can run it; its magic lines (``%time``, ``!ls``) are.
    name : str
        Of the function or class.
    given : collection of str
        Names whose definitions are not looked for.
    skip : callable
        Says of which statements to take no notice.
    late : set of str, optional
        Gets the names that functions and classes use once they are called, whose definitions may
        come later than theirs. Default: such names are looked for before them, as all others.
    """
    wanted, found = {name}, []
    for number in reversed(range(len(cells))):
        for statement, bound, used, touched in reversed(_known(cells[number])):
            if skip(statement) or (not wanted & (bound | touched) and "*" not in bound):
                continue
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                statement = copy.copy(statement)
                statement.names = [a for a in statement.names if _bound_by(a) in {"*", *wanted}]
                bound = {_bound_by(alias) for alias in statement.names}
            if isinstance(statement, SIMPLE):
                wanted -= bound
            if late is not None and isinstance(statement, DEFINITIONS):
                at_once = _used_at_once(statement)
                late |= used - at_once
                used = used & at_once
            wanted |= used - set(given)
            found.append((number, statement))
    return found[::-1]


def _used_at_once(statement: ast.stmt) -> set[str]:
    """Return the names that a definition uses when it is run: decorators, bases, defaults."""
    parts = [*statement.decorator_list, *getattr(statement, "bases", [])]
    if arguments := getattr(statement, "args", None):
        parts += [*arguments.defaults, *filter(None, arguments.kw_defaults)]
    return {node.id for part in parts for node in ast.walk(part) if isinstance(node, ast.Name)}


@lru_cache(maxsize=4096)  # a notebook asks for its cells again and again
def _known(source: str) -> list[tuple[ast.stmt, set[str], set[str], set[str]]]:
    """Return the statements of a cell with the names that each binds, uses and changes."""
    return [(s, *names_of(s), touched_by(s)) for s in parse(source)]


def parse(source: str) -> list[ast.stmt]:
    """Return the statements of a cell; none of one that is not Python."""
    for text in (source, MAGIC.sub(r"\1pass", source)):
        try:
            return ast.parse(text).body
        except (SyntaxError, ValueError):  # a null byte is a ValueError
            continue
    return []


def names_of(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """Return the global names that a statement binds, and those that it uses."""
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {_bound_by(alias) for alias in statement.names}, set()
    table = symtable.symtable(ast.unparse(statement), "cell", "exec")
    bound = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    used = {
        symbol.get_name()
        for scope in _scopes(table)
        for symbol in scope.get_symbols()
        if symbol.is_referenced() and (scope is table or symbol.is_global())
    }
    return bound, used


def _scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _scopes(child)


def _bound_by(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def touched_by(statement: ast.stmt) -> set[str]:
    """Return the names whose objects a statement stores into, or whose methods it calls."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        places = [statement.value.func]
    else:
        targets = getattr(statement, "targets", [getattr(statement, "target", None)])
        places = [place for target in targets for place in getattr(target, "elts", [target])]
    names = set()
    for place in places:
        inner = place
        while isinstance(inner, (ast.Attribute, ast.Subscript)):
            inner = inner.value
        if inner is not place and isinstance(inner, ast.Name):
            names.add(inner.id)
    return names

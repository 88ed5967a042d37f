"""Find the statements of a notebook that a definition needs, and leave out all others.

The rule: the last definition of the name counts, then the last definitions of the global names
that it uses, of the names that those use, and so on. A statement belongs to a name if it binds it,
stores into it (``name.x = 1``, ``name[0] = 1``) or calls one of its methods (``name.append(1)``).
Trainings, tables and pictures of a lesson are needed by no answer, and so are not run.
"""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Callable, Collection, Iterator, Sequence

MAGIC = re.compile(r"(?m)^(\s*)[%!].*$")
"""A line that only IPython understands."""

SIMPLE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
"""Statements after which nothing is left of what a name was before; ``import a.b`` adds to a."""


def needed(
    cells: Sequence[str],
    name: str,
    given: Collection[str] = (),
    skip: Callable[[ast.stmt], bool] = lambda statement: False,
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
    """
    wanted, found = {name}, []
    for number in reversed(range(len(cells))):
        for statement in reversed(parse(cells[number])):
            if skip(statement):
                continue
            bound, used = names_of(statement)
            if not wanted & (bound | touched_by(statement)) and "*" not in bound:
                continue
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                statement.names = [a for a in statement.names if _bound_by(a) in {"*", *wanted}]
            if isinstance(statement, SIMPLE):
                wanted -= bound
            wanted |= used - set(given)
            found.append((number, statement))
    return found[::-1]


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

"""Find the statements of a notebook that a definition needs, and leave out all others.

The rule: the last definition of the name counts, then the last definitions of the global names
that it uses, of the names that those use, and so on. A statement belongs to a name if it binds it,
stores into it (``name.x = 1``, ``name[0] = 1``) or calls one of its methods (``name.append(1)``).
Trainings, tables and pictures of a lesson are needed by no answer, and so are not run.

What cannot be told from the text, such as a function that fills a table when it is called, is not
found: whoever must not miss it runs the whole cells.
"""

from __future__ import annotations

import ast
import copy
import symtable
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import lru_cache

from n2n_lib.course.cells import read_cell

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

SIMPLE = (*DEFINITIONS, ast.Assign, ast.AnnAssign, ast.ImportFrom)
"""Statements after which nothing is left of what a name was before; ``import a.b`` adds to a."""


CHANGING = {
    *("append", "extend", "insert", "pop", "popleft", "appendleft", "remove", "clear", "sort"),
    *("add", "discard", "update", "setdefault", "popitem", "reverse", "register"),
}
"""Methods that change an object, though their result may be used."""


SHOWING = {"predicted", "hint", "case", "progress", "save_numbers"}
"""What ``check.`` does that changes nothing, so that no answer needs it."""


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
        notebook can run it.
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
    found = _walk(cells, {name}, lambda _, s: skip(s), set(given), late, generous=False)
    return [(number, statement) for number, _, statement in found]


def reached(
    cells: Sequence[str],
    names: Iterable[str],
    skip: Callable[[int, ast.stmt], bool] = lambda number, statement: False,
) -> list[tuple[int, int, ast.stmt]]:
    """Return all that names may need once all cells have been run; rather too much than too little.

    In contrast to `needed`, what a function uses when it is called may be defined below it, and
    what loops, conditions and ``with`` blocks change counts as well.

    Parameters
    ----------
    cells : sequence of str
        Sources of code cells in their order.
    names : iterable of str
        Of what is wanted.
    skip : callable
        Says of which statements of which cell to take no notice.

    Returns
    -------
    list of (int, int, ast.stmt)
        Number of the cell, number of the statement in it, and the statement, in their order; an
        import has only the names that are needed.
    """
    names, kept = set(names), set()
    while True:
        late: set[str] = set()
        found = _walk(cells, names | kept, skip, set(), late, kept, generous=True)
        if late <= kept:
            return found
        kept |= late  # all their definitions are: a function may be called between two


def _walk(
    cells: Sequence[str],
    names: set[str],
    skip: Callable[[int, ast.stmt], bool],
    given: set[str],
    late: set[str] | None,
    kept: Collection[str] = (),
    *,
    generous: bool,
) -> list[tuple[int, int, ast.stmt]]:
    """Go through the statements from the last to the first, and keep what is wanted."""
    wanted, found = set(names), []
    cells_known = [known(cell, generous) for cell in cells]
    modules = _modules(statement for cell in cells_known for statement, *_ in cell)
    for number in reversed(range(len(cells))):
        for place, (statement, bound, used, touched) in reversed(
            list(enumerate(cells_known[number]))
        ):
            if not isinstance(statement, ast.Expr):  # of these, torch.manual_seed(0) alone counts
                touched = touched - modules
            if not (wanted | {"*"}) & (bound | touched) or skip(number, statement):
                continue
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                statement, bound = _narrowed(statement, wanted)
            if isinstance(statement, SIMPLE):
                wanted -= bound - set(kept)
            if late is not None:
                used = _without_late(statement, used, late)
            wanted |= used - given
            found.append((number, place, statement))
    return found[::-1]


def _modules(statements: Iterable[ast.stmt]) -> set[str]:
    imports = [statement for statement in statements if isinstance(statement, ast.Import)]
    return {_bound_by(alias) for statement in imports for alias in statement.names}


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _narrowed(
    statement: ast.Import | ast.ImportFrom, wanted: set[str]
) -> tuple[ast.stmt, set[str]]:
    """Return an import of the names that are wanted alone, and these."""
    if _is_future(statement):
        return statement, set()
    names = [alias for alias in statement.names if _bound_by(alias) in {"*", *wanted}]
    if len(names) < len(statement.names):
        statement = copy.copy(statement)
        statement.names = names
    return statement, {_bound_by(alias) for alias in names}


def _without_late(statement: ast.stmt, used: set[str], late: set[str]) -> set[str]:
    """Return what a statement uses when it is run; add to `late` what is used by calls of it."""
    if isinstance(statement, DEFINITIONS):
        at_once = _used_at_once(statement)
        late |= used - at_once
        return used & at_once
    inside = [node for node in ast.walk(statement) if isinstance(node, (*DEFINITIONS, ast.Lambda))]
    late |= used & {n.id for each in inside for n in ast.walk(each) if isinstance(n, ast.Name)}
    return used


def _used_at_once(statement: ast.stmt) -> set[str]:
    """Return the names that a definition uses when it is run: decorators, bases, defaults."""
    parts = [*statement.decorator_list, *getattr(statement, "bases", [])]
    if arguments := getattr(statement, "args", None):
        parts += [*arguments.defaults, *filter(None, arguments.kw_defaults)]
    return {node.id for part in parts for node in ast.walk(part) if isinstance(node, ast.Name)}


@lru_cache(maxsize=1024)  # a notebook asks for its cells again and again
def known(
    source: str, generous: bool = True
) -> list[tuple[ast.stmt, set[str], set[str], set[str]]]:
    """Return the statements of a cell with the names that each binds, uses and changes.

    Parameters
    ----------
    source : str
        Of the cell.
    generous : bool
        Whether what happens inside of blocks counts as a change, see `reached`.
    """
    found = []
    for statement in parse(source):
        bound, used = names_of(statement)
        touched = touched_by(statement)
        if generous:
            hidden, asked = _in_text(statement)
            used = (used - _bound_first(statement)) | asked
            touched = touched | changed_by(statement) | hidden
            if _is_future(statement):  # it changes what is below
                touched = {"*"}
        found.append((statement, bound, used, touched))
    return found


def _bound_first(statement: ast.stmt) -> set[str]:
    """Return the names that a loop or ``with`` binds before it uses them."""
    places = {ast.For: ("target", "iter"), ast.withitem: ("optional_vars", "context_expr")}
    bound: set[str] = set()
    before: set[str] = set()
    for node in ast.walk(statement):
        for kind, (target, source) in places.items():
            if isinstance(node, kind) and getattr(node, target):
                bound |= _all_names(getattr(node, target))
                before |= _all_names(getattr(node, source))
    return bound - before


def _all_names(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def parse(source: str) -> list[ast.stmt]:
    """Return the statements of a cell; none of one that is not Python."""
    return list(read_cell(source).statements)


def names_of(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """Return the global names that a statement binds, and those that it uses."""
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {_bound_by(alias) for alias in statement.names}, set()
    try:
        table = symtable.symtable(ast.unparse(statement), "cell", "exec")
    except (RecursionError, MemoryError, SyntaxError):  # too deep, or with an await
        return _names_in(statement)
    bound = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    used = {
        symbol.get_name()
        for scope in _scopes(table)
        for symbol in scope.get_symbols()
        if (symbol.is_referenced() and (scope is table or symbol.is_global()))
        or (symbol.is_assigned() and symbol.is_declared_global())  # calls += 1
    }
    return bound, used


def _names_in(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """Do so without a look at the scopes: too many names."""
    names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
    bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    bound |= {node.name for node in ast.walk(statement) if isinstance(node, DEFINITIONS)}
    return bound, {node.id for node in names}


def _in_text(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """Return what ``globals()["x"] = ...`` and ``exec("...")`` bind and use; ``*`` if unknown."""
    bound: set[str] = set()
    used: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            if _calls(node.value, "globals", "vars", "locals"):
                text = node.slice.value if isinstance(node.slice, ast.Constant) else "*"
                bound.add(str(text))
        elif _calls(node, "exec") and isinstance(statement, ast.Expr):
            text = node.args[0].value if isinstance(node.args[0], ast.Constant) else ""
            inside = parse(text) if isinstance(text, str) else []
            bound.update(["*"] if not inside else [], *(names_of(each)[0] for each in inside))
            used.update(*(names_of(each)[1] for each in inside))
        elif _calls(node, "update") and isinstance(node.func, ast.Attribute):
            if _calls(node.func.value, "globals", "vars", "locals"):
                bound.add("*")
    return bound, used


def _calls(node: ast.AST, *names: str) -> bool:
    """Whether this is the call of a function, or method, of such a name, with its arguments."""
    if not isinstance(node, ast.Call):
        return False
    called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
    called = called.id if isinstance(called, ast.Name) else called
    return called in names and (called != "exec" or bool(node.args))


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
            shows = inner.id == "check" and isinstance(place, ast.Attribute)
            if not (shows and place.attr in SHOWING):
                names.add(inner.id)
    return names


def changed_by(statement: ast.stmt) -> set[str]:
    """Return the names whose objects a statement may change, also in blocks inside of it."""
    names, waiting = set(touched_by(statement)), [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue  # that is not run yet
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, (ast.Attribute, ast.Subscript)):
            if not isinstance(node.ctx, ast.Load):
                names.add(_root_of(node))
        elif isinstance(node, ast.stmt):
            names |= touched_by(node)
        elif isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            if name in CHANGING or (name.endswith("_") and not name.endswith("__")):
                names.add(_root_of(node.func))
                names.update(map(_root_of, node.args[:1]))  # nn.init.zeros_(x), heap.append(x)
            elif _calls(node, "setattr", "delattr"):
                names.update(map(_root_of, node.args[:1]))
    return names - {""}


def _root_of(place: ast.expr) -> str:
    """Return the name before all dots and brackets, empty if there is none."""
    while isinstance(place, (ast.Attribute, ast.Subscript, ast.Call)):
        place = place.func if isinstance(place, ast.Call) else place.value
    return place.id if isinstance(place, ast.Name) else ""

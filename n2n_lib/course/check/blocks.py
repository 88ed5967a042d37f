"""The text of answers, as blocks that can be put into one file without getting in each other's way.

A block is a statement of the top level with the comments above it, and an import of one name is a
block too. An answer *reaches* its own block, those of the names that it uses, and so on.
"""

from __future__ import annotations

import ast
import hashlib
import re
import symtable
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from n2n_lib.course.needed import DEFINITIONS, names_of, touched_by

GUARD = r"except ImportError:(\n    [\w =]+ = object)+"
"""What follows imports that a file can do without."""


class _Read:
    """What there is to know of a text."""

    def __init__(self, text: str) -> None:
        self.statements = ast.parse(text).body

    @cached_property
    def names(self) -> tuple[set[str], set[str]]:
        """The names that it binds, and the global ones that it uses."""
        pairs = [names_of(statement) for statement in self.statements]
        return set().union(*(bound for bound, _ in pairs)), set().union(*(u for _, u in pairs))

    @cached_property
    def touched(self) -> set[str]:
        return set().union(*(touched_by(statement) for statement in self.statements))

    @cached_property
    def module(self) -> str | None:
        first = self.statements[0] if self.statements else None
        if isinstance(first, ast.ImportFrom):
            return "." * first.level + (first.module or "")
        return first.names[0].name if isinstance(first, ast.Import) else None

    @cached_property
    def plain(self) -> str:
        return "\n".join(map(ast.unparse, self.statements))


_read = lru_cache(maxsize=1024)(_Read)  # a file is read after each change, which is of few blocks


@dataclass(frozen=True)
class Block:
    """A statement of the top level.

    Attributes
    ----------
    text : str
        Its lines, with the comments above it; comments alone make a block that binds nothing.
    line : int
        Where the statement begins in the file that it was read from, 0 if in none.
    """

    text: str
    line: int = 0

    @property
    def statements(self) -> list[ast.stmt]:
        """The statement, none of comments alone, several where one line holds more."""
        return _read(self.text).statements

    @property
    def bound(self) -> set[str]:
        """Names that it binds."""
        return _read(self.text).names[0]

    @property
    def touched(self) -> set[str]:
        """Names whose objects it changes."""
        return _read(self.text).touched

    @property
    def used(self) -> set[str]:
        """Global names that it uses."""
        return _read(self.text).names[1]

    @property
    def module(self) -> str | None:
        """The module of an import, else None."""
        return _read(self.text).module

    @property
    def is_definition(self) -> bool:
        """Whether it defines functions or classes and does nothing else."""
        return all(isinstance(statement, DEFINITIONS) for statement in self.statements)

    @property
    def is_assignment(self) -> bool:
        """Whether it assigns values and does nothing else."""
        return all(isinstance(s, (ast.Assign, ast.AnnAssign)) for s in self.statements)

    def is_librarys(self, name: str) -> bool:
        """Whether it imports a name, as what it is, from the library.

        The library offers some under two modules.
        """
        return (self.module or "").startswith("n2n_lib") and self.plain.endswith(f" import {name}")

    @property
    def stands_in(self) -> bool:
        """Whether it is the library's answer, which another one needs as long as there is none."""
        return "# The library's, until mine is right" in self.text

    @property
    def plain(self) -> str:
        """The text without comments and formatting, which says whether two blocks are the same."""
        return _read(self.text).plain


def stand_in(name: str) -> Block:
    """Return what stands for an answer that another one needs and that is not there."""
    return Block(
        f"def {name}(*arguments, **named):  # The library's, until mine is right\n"
        "    from n2n_lib.course import check\n\n"
        f'    return check.EXERCISES["{name}"].solution(*arguments, **named)'
    )


class Collision(Exception):
    """A name cannot be changed, because it means two things."""


def read(source: str, is_heading: Callable[[str], bool] = lambda line: False) -> list[Block]:
    """Take a source apart: imports into one block a name, all else into statements.

    Parameters
    ----------
    source : str
    is_heading : callable
        Says which comments to leave out.

    Raises
    ------
    SyntaxError
        If it is not Python.
    """
    lines, blocks, end = source.splitlines(), [], 0
    for first, last, group in _by_lines(ast.parse(source).body):
        between = [line for line in lines[end : first - 1] if not is_heading(line)]
        above = "\n".join(between).strip("\n").splitlines()
        end = last
        if imports := _imports_in(group):
            blocks += [Block("\n".join(above))] * any(above)
            blocks += [Block(text, first) for each in imports for text in imports_of(each)]
        else:
            blocks.append(Block("\n".join([*above, *lines[first - 1 : last]]), first - len(above)))
    below = "\n".join(line for line in lines[end:] if not is_heading(line)).strip("\n")
    return blocks + [Block(below)] * bool(below)


def _imports_in(group: list[ast.stmt]) -> list[ast.stmt]:
    """Return the imports, if there is nothing else; they may be tried, as `mine_file` does."""
    if len(group) == 1 and isinstance(group[0], ast.Try):
        handlers = [ast.unparse(handler) for handler in group[0].handlers]
        if len(handlers) == 1 and re.fullmatch(GUARD, handlers[0]):
            group = group[0].body
    return group if all(isinstance(s, (ast.Import, ast.ImportFrom)) for s in group) else []


def _by_lines(statements: Iterable[ast.stmt]) -> list[tuple[int, int, list[ast.stmt]]]:
    """Return first line, last line and statements; those that share a line go together."""
    groups: list[tuple[int, int, list[ast.stmt]]] = []
    for statement in statements:
        decorators = getattr(statement, "decorator_list", [])
        first = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
        if groups and first <= groups[-1][1]:
            first, _, group = groups.pop()
            groups.append((first, statement.end_lineno, [*group, statement]))
        else:
            groups.append((first, statement.end_lineno, [statement]))
    return groups


def imports_of(statement: ast.Import | ast.ImportFrom) -> list[str]:
    """Return one statement for each name of an import."""
    texts = []
    for alias in statement.names:
        single = ast.Import([alias])
        if isinstance(statement, ast.ImportFrom):
            single = ast.ImportFrom(statement.module, [alias], statement.level)
        texts.append(ast.unparse(single))
    return texts


def reach(blocks: Iterable[Block], names: Collection[str]) -> list[Block]:
    """Return the blocks that names need, in their order."""
    blocks, wanted = list(blocks), set(names)
    modules = set().union(*(block.bound for block in blocks if block.module is not None))
    left = {index: block.bound | block.touched - modules for index, block in enumerate(blocks)}
    while new := [index for index, makes in left.items() if not wanted.isdisjoint(makes)]:
        for index in new:
            del left[index]
            wanted |= blocks[index].used
    return [block for index, block in enumerate(blocks) if index not in left]


def fingerprint(blocks: Iterable[Block]) -> str:
    """Return a hash of what blocks do, whatever their order, comments and formatting."""
    return hashlib.sha256("\n".join(sorted(b.plain for b in blocks)).encode()).hexdigest()


# ---------------------------------------------------------------------- changing names


def renamed(block: Block, old: str, new: str) -> Block:
    """Return a block that calls something by another name.

    Raises
    ------
    Collision
        If the name means something else inside of a function.
    """
    if old not in block.bound | block.used | block.touched:
        return block
    if block.module is not None:
        statement = ast.parse(block.text).body[0]
        statement.names[0].asname = new
        return Block(ast.unparse(statement))
    _check_is_global(block, old)
    places = []
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.Name) and node.id == old:
            places.append((node.lineno, node.col_offset, node.end_col_offset, new))
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == old:
            line = block.text.splitlines()[node.lineno - 1]
            start = re.compile(rf"(?:def|class)\s+(?={old}\b)").search(line, 0).end()
            first = len(line[:start].encode())
            places.append((node.lineno, first, first + len(old.encode()), new))
    return Block(_replace(block.text, places))


def without_namespace(block: Block, namespace: str) -> tuple[Block, set[str]]:
    """Return a block with ``x`` for ``namespace.x``, and the names that it asked for so.

    Raises
    ------
    Collision
        If the namespace is used in another way, or one of the names means something else.
    """
    if namespace not in block.used:
        return block, set()
    _check_is_global(block, namespace)
    places, asked = [], set()
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == namespace and node.lineno == node.end_lineno:
                places.append((node.lineno, node.col_offset, node.end_col_offset, node.attr))
                asked.add(node.attr)
    result = Block(_replace(block.text, places))
    for name in asked:
        _check_is_global(result, name)
    if namespace in result.used:
        raise Collision(namespace)
    return result, asked


def _check_is_global(block: Block, name: str) -> None:
    def local(table: symtable.SymbolTable) -> bool:
        here = table.get_type() == "function" and name in table.get_identifiers()
        if here and not table.lookup(name).is_global():
            return True
        return any(map(local, table.get_children()))

    if local(symtable.symtable(block.text, "block", "exec")):
        raise Collision(name)


def _replace(text: str, places: Iterable[tuple[int, int, int, str]]) -> str:
    """Put texts in the places (line, first byte, last byte)."""
    lines = [line.encode() for line in text.splitlines()]
    for number, start, end, new in sorted(places, reverse=True):
        line = lines[number - 1]
        lines[number - 1] = line[:start] + new.encode() + line[end:]
    return b"\n".join(lines).decode()

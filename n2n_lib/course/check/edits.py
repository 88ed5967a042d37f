"""Small edits of a right answer: what a slip of the pen makes of it.

A student's answer that does in every case what such an edit does has made this slip, or one that
cannot be told from it by the cases. So what is said of it is true, although nobody foresaw it.
"""

from __future__ import annotations

import ast
import copy
import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from n2n_lib.course.check.exercise import Exercise
from n2n_lib.course.check.known import REMEMBERED, Wrong, is_same, is_wrong
from n2n_lib.course.check.outcome import Outcome
from n2n_lib.course.check.words import listed

MOST = 400
"""Edits of one answer."""

SECONDS = 1.0
"""So long are edits tried on one answer; those that were come first at the next check."""

DIMENSIONS = {
    *("sum", "mean", "flatten", "unflatten", "transpose", "permute", "flip", "unsqueeze"),
    *("squeeze", "cat", "stack", "amax", "amin", "argmax", "softmax", "movedim", "cumsum"),
    *("repeat_interleave", "chunk", "split", "select", "narrow", "std", "var", "median", "roll"),
    *("unfold", "size", "norm", "prod", "any", "all", "swapaxes", "diff", "tensordot"),
}
"""Functions whose whole numbers are dimensions."""

PLUMBING = {
    "list",
    "zip",
    "range",
    "len",
    "tuple",
    "enumerate",
    "isinstance",
    "float",
    "int",
    "super",
}
"""Functions that others do without: what is said of them would say nothing of another answer."""

INSTEAD = {"sum": "mean", "mean": "sum", "max": "min", "min": "max", "amax": "amin"} | {
    "zeros_like": "ones_like", "ones": "zeros", "sin": "cos", "ceil": "floor", "floor": "ceil"
}  # fmt: skip
"""Functions that are mistaken for others."""

SIGNS = {
    ast.Add: ("plus", ast.Sub, "minus"),
    ast.Sub: ("minus", ast.Add, "plus"),
    ast.Mult: ("a product", ast.Div, "a division"),
    ast.Div: ("a division", ast.Mult, "a product"),
    ast.FloorDiv: ("`//`", ast.Div, "`/`"),
    ast.MatMult: ("`@`", ast.Mult, "`*`"),
}
OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.MatMult: "@"} | {
    ast.FloorDiv: "//", ast.Pow: "**", ast.Mod: "%"
}  # fmt: skip
COMPARED = {
    ast.Lt: (ast.LtE, "<", "<="),
    ast.LtE: (ast.Lt, "<=", "<"),
    ast.Gt: (ast.GtE, ">", ">="),
    ast.GtE: (ast.Gt, ">=", ">"),
    ast.Eq: (ast.NotEq, "==", "!="),
}


@dataclass(frozen=True)
class SmallEdit:
    """A right answer with one slip.

    Attributes
    ----------
    kind : str
        Of the slip, in one word.
    says : str
        What comes after “what a right one would give”; empty where that can be understood only by
        who sees the solution.
    source : str
        The whole function, or class.
    """

    kind: str
    says: str
    source: str


Change = tuple[str, str, Callable[[ast.AST], ast.AST | None]]
"""Kind, words, and what makes another node of a copy of this one; None deletes a statement."""


def edits_of(source: str) -> Iterator[SmallEdit]:
    """Yield small edits of a function or class, each another text.

    There are none of what holds a ``while``, since an edit of it might never end.

    Parameters
    ----------
    source : str
        Of a right answer; decorators and docstrings are left out.
    """
    tree = _without_words(ast.parse(source))
    if any(isinstance(node, ast.While) for node in ast.walk(tree)):
        return
    seen = {ast.unparse(tree)}
    for place, changes in _places(tree):
        for kind, says, change in changes:
            text = _changed(tree, place, change)
            if text is not None and text not in seen:
                seen.add(text)
                yield SmallEdit(kind, says, text)
            if len(seen) > MOST:
                return


def same_edits(exercise: Exercise, outcomes: list[Outcome]) -> list[str]:
    """Return what is said of the edits that do the same as a student's answer, each once.

    Parameters
    ----------
    exercise : Exercise
    outcomes : list of Outcome
        What the student's answer made of each case. If it raised in each, so do these edits, with
        the same messages.
    """
    found, end = [], time.monotonic() + SECONDS
    try:
        for wrong in _tried(exercise) if exercise.searched else ():
            if _fits(exercise, outcomes, wrong):
                found.append(wrong.says)
            if time.monotonic() > end:
                break
    except BaseException:  # an interrupt ends what makes them
        _tried.cache_clear()
        raise
    return list(dict.fromkeys(found))


class _Tried:
    """The edits of a solution that can be spoken of, made when they are asked for, and kept."""

    def __init__(self, exercise: Exercise) -> None:
        self._made: list[Wrong] = []
        self._others = (
            Wrong(exercise, functools.partial(exercise.compiled, edit.source), edit.says)
            for edit in edits_of(exercise.source)
            if edit.says
        )

    def __iter__(self) -> Iterator[Wrong]:
        yield from self._made
        for wrong in self._others:
            self._made.append(wrong)
            yield wrong


_tried = functools.lru_cache(maxsize=REMEMBERED)(_Tried)


def _fits(exercise: Exercise, outcomes: list[Outcome], wrong: Wrong) -> bool:
    """Whether an edit does the same as a student's answer in every case, and wrong in one."""
    raises = all(outcome.error is not None for outcome in outcomes)
    shown = raises
    for index, outcome in enumerate(outcomes):
        theirs = wrong[index]
        if theirs.error is not None and outcome.error is not None:
            if type(theirs.error).__name__ != type(outcome.error).__name__:
                return False
            if raises and str(theirs.error) != str(outcome.error):
                return False
        elif is_same(exercise, outcome, theirs, effects=True):
            shown = shown or is_wrong(exercise, outcome, theirs)
        else:
            return False
    return shown


# ------------------------------------------------------------------------------ making them


def _without_words(tree: ast.Module) -> ast.Module:
    """Leave out decorators and docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            node.decorator_list = []
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
    return tree


def _places(tree: ast.Module) -> Iterator[tuple[int, list[Change]]]:
    """Yield the number of a node, as `ast.walk` counts, and what may be changed there."""
    inside: dict[int, ast.FunctionDef] = {}
    is_axis: set[int] = set()
    around: dict[int, str] = {}  # of a number: the function, or the arguments, that it stands by
    for number, node in enumerate(ast.walk(tree)):
        function = inside.get(id(node))
        within = node if isinstance(node, ast.FunctionDef) else function
        for child in ast.iter_child_nodes(node):
            inside[id(child)] = within
        if isinstance(node, ast.Call):
            around.update((id(each), f"`{_name_of(node)}`") for each in node.args)
            around.update((id(each.value), f"`{_name_of(node)}`") for each in node.keywords)
        if isinstance(node, ast.BinOp) and within is not None:
            near = _near(node, _arguments(within))
            around.update((id(each), near) for each in (node.left, node.right))
        if isinstance(node, (ast.Tuple, ast.UnaryOp)):
            around.update((id(each), around.get(id(node), "")) for each in ast.walk(node))
        if isinstance(node, ast.Call) and _name_of(node) in DIMENSIONS:
            is_axis.update(id(each) for each in ast.walk(node) if isinstance(each, ast.Constant))
        if function is None and not isinstance(node, ast.FunctionDef):
            continue
        arguments = _arguments(within)
        of_number = {"is_axis": id(node) in is_axis, "around": around.get(id(node), "")}
        yield number, list(_changes(node, arguments, of_number))


def _changed(tree: ast.Module, place: int, change: Callable) -> str | None:
    """Return the text with one node changed, None where that makes no function."""
    tree = copy.deepcopy(tree)
    node = next(node for number, node in enumerate(ast.walk(tree)) if number == place)
    try:
        other = change(node)
        if other is not node:
            _Replaced(node, other).visit(tree)
        text = ast.unparse(ast.fix_missing_locations(tree))
        ast.parse(text)
    except (SyntaxError, ValueError, IndexError, TypeError, AttributeError):
        return None
    return text


class _Replaced(ast.NodeTransformer):
    def __init__(self, node: ast.AST, other: ast.AST | None) -> None:
        self._node, self._other = node, other

    def visit(self, node: ast.AST) -> Any:
        if node is self._node:
            return self._other if self._other is not None else ast.Pass()
        return super().visit(node)


def _arguments(function: ast.FunctionDef) -> list[str]:
    return [each.arg for each in function.args.args if each.arg != "self"]


def _changes(node: ast.AST, arguments: list[str], of_number: dict[str, Any]) -> Iterator[Change]:
    kinds = {
        ast.FunctionDef: _of_function,
        ast.BinOp: _of_operation,
        ast.UnaryOp: _of_sign,
        ast.Constant: functools.partial(_of_number, **of_number),
        ast.Tuple: _of_tuple,
        ast.Compare: _of_comparison,
        ast.Call: _of_call,
        ast.AugAssign: _of_update,
        ast.Assign: _of_statement,
        ast.Expr: _of_statement,
        ast.Name: _of_name,
        ast.Attribute: _of_attribute,
        ast.Subscript: _of_index,
        ast.Slice: _of_slice,
        ast.Return: _of_return,
        ast.For: _of_loop,
    }
    if make := kinds.get(type(node)):
        yield from make(node, arguments)


def _of_function(node: ast.FunctionDef, arguments: list[str]) -> Iterator[Change]:
    """Exchange two arguments everywhere."""
    used = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    names = [name for name in arguments if name in used]
    for index, one in enumerate(names):
        for other in names[index + 1 :]:

            def exchange(function: ast.AST, one: str = one, other: str = other) -> ast.AST:
                for each in ast.walk(function):
                    if isinstance(each, ast.Name) and each.id in (one, other):
                        each.id = other if each.id == one else one
                return function

            yield "exchanged", f"with `{one}` and `{other}` exchanged", exchange


def _of_operation(node: ast.BinOp, arguments: list[str]) -> Iterator[Change]:
    near = _near(node, arguments)
    sign = OPERATORS.get(type(node.op), "")
    if type(node.op) in SIGNS:
        old, other, new = SIGNS[type(node.op)]
        yield "sign", f"with {new} in place of {old}{near}", lambda n: _set(n, op=other())
    if isinstance(node.op, (ast.Sub, ast.Div, ast.FloorDiv, ast.MatMult, ast.Pow)):
        yield (
            "exchanged",
            f"with the two sides of `{sign}` exchanged{near}",
            lambda n: _set(n, left=n.right, right=n.left),
        )
    what = {ast.Add: "term", ast.Sub: "term", ast.Mult: "factor", ast.MatMult: "factor"}
    what |= {ast.Div: "division", ast.FloorDiv: "division", ast.Pow: "power", ast.Mod: "`%`"}
    word = what.get(type(node.op))
    if word in ("term", "factor"):
        for part, kept in ((node.left, "right"), (node.right, "left")):
            says = f"without the {word} {_short(part, arguments)}"
            if not _short(part, arguments):
                says = f"without one of the {word}s{_near(part, arguments) or near}"
            yield "missing", says, lambda n, kept=kept: getattr(n, kept)
    elif word == "division" and (by := _short(node.right, arguments)):
        yield "missing", f"without the division by {by}", lambda n: n.left
    elif word:
        yield "missing", f"without a {word}{near}", lambda n: n.left


def _of_sign(node: ast.UnaryOp, arguments: list[str]) -> Iterator[Change]:
    if isinstance(node.op, ast.USub) and not isinstance(node.operand, ast.Constant):
        yield "sign", f"without a minus{_near(node, arguments)}", lambda n: n.operand
    if isinstance(node.op, (ast.Invert, ast.Not)):
        yield "condition", "with the opposite condition", lambda n: n.operand


def _of_number(
    node: ast.Constant, arguments: list[str], is_axis: bool, around: str
) -> Iterator[Change]:
    value = node.value
    if isinstance(value, bool):
        yield "number", "", lambda n: _set(n, value=not value)
    elif isinstance(value, int) and is_axis:
        for other in range(-2, 4):
            if other != value and (value > 3 or (other < 0) <= (value <= 0)):
                yield (
                    "dimension",
                    f"with dimension {other} in place of {value} in {around}",
                    lambda n, other=other: _set(n, value=other),
                )
    elif isinstance(value, (int, float)):
        where = around if around.startswith(", where") or not around else f" in {around}"
        others = (value - 1, value + 1, 2 * value, value / 2 if value % 2 else value // 2)
        for other in dict.fromkeys(others):
            if other != value and (isinstance(value, int) or value in (1.0, 0.5, 2.0)):
                yield (
                    "number",
                    f"with {other:g} in place of {value:g}{where}" if where else "",
                    lambda n, other=other: _set(n, value=other),
                )


def _of_tuple(node: ast.Tuple, arguments: list[str]) -> Iterator[Change]:
    for index in range(len(node.elts) - 1):

        def exchange(n: ast.AST, index: int = index) -> ast.AST:
            n.elts[index], n.elts[index + 1] = n.elts[index + 1], n.elts[index]
            return n

        both = _both(node.elts[index : index + 2], arguments)
        yield "exchanged", f"with {both} exchanged" if both else "", exchange
    if len(node.elts) > 1 and isinstance(node.ctx, ast.Load):
        for index, each in enumerate(node.elts):

            def drop(n: ast.AST, index: int = index) -> ast.AST:
                del n.elts[index]
                return n

            what = _short(each, arguments)
            yield "missing", f"without {what} in a tuple" if what else "", drop


def _of_comparison(node: ast.Compare, arguments: list[str]) -> Iterator[Change]:
    for index, operator in enumerate(node.ops):
        if type(operator) in COMPARED:
            other, old, new = COMPARED[type(operator)]

            def change(n: ast.AST, index: int = index, other: type = other) -> ast.AST:
                n.ops[index] = other()
                return n

            yield "condition", f"with `{new}` in place of `{old}`{_near(node, arguments)}", change
    if len(node.ops) == 1:
        turned = {ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE}
        if other := turned.get(type(node.ops[0])):
            yield (
                "condition",
                f"with a comparison turned round{_near(node, arguments)}",
                lambda n: _set(n, ops=[other()]),
            )


def _of_call(node: ast.Call, arguments: list[str]) -> Iterator[Change]:
    name = _name_of(node)
    if not name:
        return
    without = f"without `{name}`" if name not in PLUMBING else ""
    for index, keyword in enumerate(node.keywords):
        if keyword.arg in (None, "strict", "dtype"):
            continue

        def drop(n: ast.AST, index: int = index) -> ast.AST:
            del n.keywords[index]
            return n

        yield "argument", f"without `{keyword.arg}=` in `{name}`", drop
    if node.args:
        last = _short(node.args[-1], arguments)
        says = f"without {last} in `{name}`" if last and name not in PLUMBING else ""
        yield "argument", says, lambda n: _set(n, args=n.args[:-1])
    if len(node.args) > 1:
        yield (
            "exchanged",
            f"with the first two arguments of `{name}` exchanged" if name not in PLUMBING else "",
            lambda n: _set(n, args=[n.args[1], n.args[0], *n.args[2:]]),
        )
    if name in INSTEAD:
        other = INSTEAD[name]

        def rename(n: ast.AST) -> ast.AST:
            setattr(n.func, "attr" if isinstance(n.func, ast.Attribute) else "id", other)
            return n

        yield "function", f"with `{other}` in place of `{name}`", rename
    if isinstance(node.func, ast.Attribute) and name.endswith("_") and not name.startswith("_"):

        def plain(n: ast.AST) -> ast.AST:
            n.func.attr = name.rstrip("_")
            return n

        yield "in place", f"with `{name.rstrip('_')}` in place of `{name}`", plain
    if isinstance(node.func, ast.Attribute) and not _is_module(node.func.value):
        yield "missing", without, lambda n: n.func.value
    elif node.args:
        yield "missing", without, lambda n: n.args[0]


def _of_update(node: ast.AugAssign, arguments: list[str]) -> Iterator[Change]:
    sign = OPERATORS.get(type(node.op), "")
    where = _target(node.target, arguments)
    yield (
        "overwritten",
        f"with `=` in place of `{sign}=`{where}",
        lambda n: ast.Assign([n.target], n.value),
    )
    if type(node.op) in SIGNS:
        _, other, _ = SIGNS[type(node.op)]
        new = OPERATORS[other]
        yield (
            "sign",
            f"with `{new}=` in place of `{sign}=`{where}",
            lambda n: _set(n, op=other()),
        )
    yield "step", f"without a `{sign}=`{where}", lambda n: None


def _of_statement(node: ast.Assign | ast.Expr, arguments: list[str]) -> Iterator[Change]:
    if isinstance(node, ast.Expr):
        name = _name_of(node.value) if isinstance(node.value, ast.Call) else ""
        says = f"without the step that calls `{name}`" if name else ""
        yield "step", says, lambda n: None
        yield (
            "step",
            says and f"with the step that calls `{name}` done twice",
            lambda n: ast.If(ast.Constant(True), [n, copy.deepcopy(n)], []),
        )
    elif isinstance(node.targets[0], (ast.Subscript, ast.Attribute)):
        where = _target(node.targets[0], arguments)
        yield "step", f"without an assignment{where}" if where else "", lambda n: None
        yield (
            "overwritten",
            f"with `+=` in place of `=`{where}" if where else "",
            lambda n: ast.AugAssign(n.targets[0], ast.Add(), n.value),
        )


def _of_name(node: ast.Name, arguments: list[str]) -> Iterator[Change]:
    if node.id in arguments and isinstance(node.ctx, ast.Load):
        for other in arguments:
            if other != node.id:
                yield (
                    "name",
                    f"with `{other}` where `{node.id}` belongs",
                    lambda n, other=other: _set(n, id=other),
                )


def _of_attribute(node: ast.Attribute, arguments: list[str]) -> Iterator[Change]:
    if node.attr in ("T", "mT"):
        yield "missing", "without transposing", lambda n: n.value


def _of_index(node: ast.Subscript, arguments: list[str]) -> Iterator[Change]:
    """Leave out a new dimension: ``x[:, None]`` becomes ``x[:]``."""

    def is_new(part: ast.expr) -> bool:
        return isinstance(part, ast.Constant) and part.value is None

    def drop(n: ast.AST) -> ast.AST:
        kept = [part for part in _parts(n) if not is_new(part)]
        if not kept:
            return n.value
        return _set(n, slice=ast.Tuple(kept, ast.Load()) if len(kept) > 1 else kept[0])

    if any(map(is_new, _parts(node))):
        yield "dimension", f"without the new dimension{_near(node, arguments)}", drop


def _parts(node: ast.Subscript) -> list[ast.expr]:
    return node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]


def _of_slice(node: ast.Slice, arguments: list[str]) -> Iterator[Change]:
    if node.lower is not None:
        yield "slice", "", lambda n: _set(n, lower=None)
    if node.upper is not None:
        yield "slice", "", lambda n: _set(n, upper=None)
    if node.step is not None:
        yield "slice", "", lambda n: _set(n, step=None)


def _of_return(node: ast.Return, arguments: list[str]) -> Iterator[Change]:
    if node.value is not None and not isinstance(node.value, (ast.Tuple, ast.Constant)):
        yield (
            "sign",
            "with the opposite sign at the end",
            lambda n: _set(n, value=ast.UnaryOp(ast.USub(), n.value)),
        )
        yield "return", "without a `return`", lambda n: _set(n, value=None)


def _of_loop(node: ast.For, arguments: list[str]) -> Iterator[Change]:
    yield (
        "loop",
        "with a loop that leaves out the last step",
        lambda n: _set(n, iter=_cut(n.iter, None, ast.Constant(-1))),
    )
    yield (
        "loop",
        "with a loop that leaves out the first step",
        lambda n: _set(n, iter=_cut(n.iter, ast.Constant(1), None)),
    )
    yield (
        "loop",
        "with a loop that stops after its first step",
        lambda n: _set(n, iter=_cut(n.iter, None, ast.Constant(1))),
    )
    if _name_of(node.iter) != "reversed":
        yield (
            "loop",
            "with a loop that runs backwards",
            lambda n: _set(n, iter=_cut(n.iter, None, None, ast.Constant(-1))),
        )


def _cut(
    sequence: ast.expr, lower: ast.expr | None, upper: ast.expr | None, step: ast.expr | None = None
) -> ast.expr:
    listed = ast.Call(ast.Name("list", ast.Load()), [sequence], [])
    return ast.Subscript(listed, ast.Slice(lower, upper, step), ast.Load())


# ------------------------------------------------------------------------------ words


def _set(node: ast.AST, **fields: Any) -> ast.AST:
    for name, value in fields.items():
        setattr(node, name, value)
    return node


def _name_of(node: ast.AST) -> str:
    """Return the name of the function that is called, without what stands before its dot."""
    if not isinstance(node, ast.Call):
        return ""
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _is_module(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("torch", "math", "F")


def _short(node: ast.expr, arguments: list[str]) -> str:
    """Show a part that holds nothing but arguments and numbers; of others nothing."""
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    text = ast.unparse(node)
    return "" if names - {*arguments, "self", "torch", "math"} or len(text) > 30 else f"`{text}`"


def _both(parts: list[ast.expr], arguments: list[str]) -> str:
    one, other = (_short(part, arguments) for part in parts)
    return f"{one} and {other}" if one and other else ""


def _near(node: ast.AST, arguments: list[str]) -> str:
    """Say which arguments a part has to do with."""
    names = [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]
    near = [f"`{name}`" for name in dict.fromkeys(names) if name in arguments]
    return f", where {listed(near)} {'is' if len(near) == 1 else 'are'}" if near else ""


def _target(node: ast.expr, arguments: list[str]) -> str:
    if isinstance(node, ast.Attribute):
        return f" for `{ast.unparse(node)}`"
    names = [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]
    return f" for `{names[0]}`" if names and names[0] in arguments else ""

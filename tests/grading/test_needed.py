"""The statements that an answer needs, and no others."""

from __future__ import annotations

import ast

import pytest

from n2n_lib.course.needed import needed, reached


@pytest.mark.parametrize(
    "cells, kept",
    [
        (["def f(): return 1", "train()", "def f(): return 2"], ["def f(): return 2"]),
        (["import a, b", "def f(): return b.c"], ["import b", "def f(): return b.c"]),
        (["x = slow()", "def f(x): return x"], ["def f(x): return x"]),
        (["x = 1", "y = x", "def f(): return y"], ["x = 1", "y = x", "def f(): return y"]),
        (["x = []", "x.append(1)", "f = lambda: x"], ["x = []", "x.append(1)", "f = lambda: x"]),
        (["c = {}", "c['k'] = 1", "def f(): g()"], ["def f(): g()"]),
        (["x = 1", "if x: y = 2", "def f(): y"], ["x = 1", "if x: y = 2", "def f(): y"]),
        (["from a import *", "def f(): pass"], ["from a import *", "def f(): pass"]),
        (
            ["import a, b", "x = 1", "class B: y = b", "class f(B):\n    def g(self): return x"],
            ["import b", "x = 1", "class B: y = b", "class f(B):\n    def g(self): return x"],
        ),
        (["%time x", "x = (", "!ls\ndef f(): pass\nf()"], ["def f(): pass"]),
    ],
)
def test_what_a_function_needs(cells: list[str], kept: list[str]):
    found = needed(cells, "f")
    assert [ast.unparse(node) for _, node in found] == [ast.unparse(ast.parse(k)) for k in kept]


def kept(cells: list[str]) -> list[str]:
    return [ast.unparse(statement) for *_, statement in reached(cells, {"f"})]


@pytest.mark.parametrize(
    "cells",
    [
        ["x = []", "for i in range(3):\n    x.append(i)", "def f():\n    return x"],
        ["x = []", "if 1:\n    with a:\n        x[0] = 1", "def f():\n    return x"],
        ["x = []", "[x.append(i) for i in range(3)]", "def f():\n    return x"],
        ["x = []", "y = x.pop()", "def f():\n    return x"],
        ["x = ones()", "init.zeros_(x)", "def f():\n    return x"],
        ["x = 0", "def f():\n    global x\n    x += 1"],
        ["def f():\n    return g()", "def g():\n    pass"],
        ["f = lambda: g()", "g = 1"],
        [
            "import a",
            "def g():\n    return a.b",
            "x = g()",
            "import a",
            "def f():\n    return (x, g)",
        ],
        ["class f:\n    pass", "setattr(f, 'x', 1)", "f.y = 2"],
        ["globals()['x'] = 1", "def f():\n    return x"],
        ["exec('x = y')", "def f():\n    return x"],
        ["y = 1", "exec('x = y')", "def f():\n    return x"],
        ["x = 1", "del x", "def f():\n    return x"],
        ["from __future__ import annotations", "def f():\n    pass"],
    ],
)
def test_what_may_be_needed_is_all_there(cells: list[str]):
    assert kept(cells) == cells


@pytest.mark.parametrize(
    "cells",
    [
        ["for i in range(3):\n    train(i)", "def f():\n    return 1"],
        ["i = slow()", "x = []\nfor i in y:\n    x.append(i)", "def f():\n    return x"],
        ["import t", "for i in y:\n    t.seed(i)\n    train()", "def f():\n    return t.ones(1)"],
        ["x = ones()", "y = x.mean()", "def f():\n    return x"],
        ["x = 1", "def g():\n    x.append(1)", "def f():\n    return x"],
        ["from n import check", "check.predicted(guess, 1)", "def f():\n    return check.case"],
    ],
)
def test_what_is_not_needed_is_left_out(cells: list[str]):
    assert len(kept(cells)) < sum(len(ast.parse(cell).body) for cell in cells)


@pytest.mark.parametrize("terms", [700, 20_000])
def test_what_is_too_deep_to_analyse_costs_nothing_else(terms: int):
    long = f"x = {' + '.join(['1'] * terms)}"
    assert kept([long, "def f():\n    return 1"]) == ["def f():\n    return 1"]


def test_a_deep_sum_is_there_where_it_is_needed():
    found = reached([f"x = {' + '.join(['y'] * 700)}", "y = 1", "def f():\n    return x"], {"f"})
    assert [number for number, *_ in found] == [0, 2]

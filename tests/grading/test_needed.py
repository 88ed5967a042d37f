"""The statements that an answer needs, and no others."""

from __future__ import annotations

import ast

import pytest

from n2n_lib.course.needed import needed


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

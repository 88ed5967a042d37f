"""The rules of the house, read off the source: no torch.nn, no autograd, imports go one way."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from reference import every_kernel_set, generator, random_values
from torch import nn

import n2n_lib.kernels
from n2n_lib.activations import ELU, LeakyReLU, ReLU, Sigmoid
from n2n_lib.containers import Sequential
from n2n_lib.conv import Conv2d
from n2n_lib.kernels import use_kernels
from n2n_lib.losses import MSELoss
from n2n_lib.optim import SGD
from n2n_lib.upsampling import NNUpsampling, Upsampling

PACKAGE = Path(n2n_lib.kernels.__file__).parents[1]
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}

# The files that compare the library with torch.nn.
COMPARE = {"gradcheck.py", "torch_twin.py", "bench.py"}
# Functions, not modules, of torch.nn.functional that a file may use.
ALLOWED = {
    "kernels/unfold.py": {"fold", "unfold"},
    "model.py": {"pad"},
    "data.py": {"pad"},
    "check/lesson09.py": {"pad"},
}
AUTOGRAD = {
    "autograd",
    "enable_grad",
    "requires_grad",
    "requires_grad_",
    "retain_grad",
    "set_grad_enabled",
    "grad_fn",
}


# ------------------------------------------------------------------------ torch.nn and autograd


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of an attribute chain, or an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        front = dotted(node.value)
        return f"{front}.{node.attr}" if front else ""
    return ""


def forbidden(source: str, allowed: set[str] = frozenset()) -> list[str]:
    """List every use of torch.nn (but for `allowed` functions) and of autograd in a source."""
    found, functional = [], "torch.nn.functional"
    tree = ast.parse(source)
    aliases = {"torch"} | {
        name.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for name in node.names
        if name.name == "torch" and name.asname
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{name.name}" for name in node.names]
        elif isinstance(node, ast.Attribute):
            first, _, rest = dotted(node).partition(".")
            names = [f"torch.{rest}"] if first in aliases and rest else []
            if node.attr in AUTOGRAD:
                found.append(f"line {node.lineno}: {node.attr}")
        elif isinstance(node, ast.keyword) and node.arg == "requires_grad":
            found.append(f"line {node.value.lineno}: requires_grad")
        elif isinstance(node, ast.Constant) and node.value in ("torch.nn", "torch.autograd"):
            found.append(f"line {node.lineno}: {node.value}")  # importlib.import_module
        for name in names:
            if name in {f"{functional}.{function}" for function in allowed}:
                continue
            if allowed and isinstance(node, ast.Attribute) and name in ("torch.nn", functional):
                continue  # the front part of torch.nn.functional.pad, judged as a whole
            parts = name.split(".")
            if parts[0] == "torch" and (
                parts[1:2] == ["nn"] or parts[1:2] == ["func"] or AUTOGRAD & set(parts[1:])
            ):
                found.append(f"line {node.lineno}: {name}")
    return sorted(set(found))


@pytest.mark.parametrize("name", sorted(FILES.keys() - COMPARE))
def test_no_torch_nn_and_no_autograd(name: str) -> None:
    found = forbidden(FILES[name].read_text(encoding="utf-8"), ALLOWED.get(name, set()))
    assert not found, f"n2n_lib/{name} uses {'; '.join(found)}"


@pytest.mark.parametrize(
    "source",
    [
        "import torch.nn",
        "import torch.nn as layers",
        "import torch.nn.functional as F",
        "from torch import nn",
        "from torch import Tensor, nn as layers",
        "from torch.nn import Conv2d",
        "from torch.nn.functional import conv2d",
        "import torch\nclass A(torch.nn.Module): pass",
        "import torch as t\ny = t.nn.functional.relu(x)",
        "import torch.autograd",
        "from torch import autograd",
        "from torch.autograd import grad",
        "from torch import enable_grad",
        "from torch.func import grad",
        "import torch\nwith torch.enable_grad(): pass",
        "import torch\ntorch.set_grad_enabled(True)",
        "import torch\ng = torch.autograd.grad(y, x)",
        "x.requires_grad_()",
        "x.requires_grad = True",
        "import torch\nx = torch.ones(1, requires_grad=True)",
        "import importlib\nnn = importlib.import_module('torch.nn')",
    ],
)
def test_the_rule_finds(source: str) -> None:
    assert forbidden(source)
    assert forbidden(source, {"pad"}), "an allowed function allows nothing else"


@pytest.mark.parametrize(
    "source",
    [
        "from torch.nn.functional import pad",
        "import torch\ny = torch.nn.functional.pad(x, (1, 1))",
        "import torch\nwith torch.no_grad(): pass",
        "import torch\nfrom torch import Tensor\ny = module.backward(x)\nmodule.weight_grad += 1",
    ],
)
def test_the_rule_lets_through(source: str) -> None:
    assert not forbidden(source, {"pad"})
    assert bool(forbidden(source)) is ("pad" in source)


@every_kernel_set
def test_training_calls_no_autograd(kernel_set: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What source text cannot tell: whose `backward` is called. Also with autograd left on."""

    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("autograd was used")

    monkeypatch.setattr(torch.Tensor, "backward", refuse)
    monkeypatch.setattr(torch.Tensor, "requires_grad_", refuse)
    monkeypatch.setattr(torch.autograd, "backward", refuse)
    monkeypatch.setattr(torch.autograd, "grad", refuse)
    monkeypatch.setattr(nn.Module, "__init__", refuse)
    source = generator(0)
    network = Sequential(
        Conv2d(3, 4, 2, stride=2, generator=source),
        ReLU(inplace=True),
        LeakyReLU(),
        NNUpsampling(),
        ELU(),
        Upsampling(4, 3, 3, padding=1, scale_factor=1, generator=source),
        Sigmoid(),
    )
    criterion, optimiser = MSELoss(network), SGD(network, lr=0.5)
    x, target = random_values((2, 3, 8, 8), 1), random_values((2, 3, 8, 8), 2)
    losses = []
    with torch.set_grad_enabled(True), use_kernels(kernel_set):
        for _ in range(5):
            output = network(x)
            loss = criterion(output, target)
            optimiser.zero_grad()
            grad_input = criterion.backward()
            optimiser.step()
            losses.append(loss.item())
            tensors = [output, loss, grad_input, *(t for pair in network.param() for t in pair)]
            assert not any(tensor.requires_grad for tensor in tensors)
    assert losses[-1] < losses[0]


# ------------------------------------------------------------------------------ one direction

# The lesson that derives each file (section 2 of the design). 0: the ground that all stand on:
# the arithmetic under the layers, how a file is written, and what becomes of freed memory.
LESSON = {
    "kernels": 0,
    "files": 0,
    "memory": 0,
    "data": 1,
    "noise": 1,
    "metrics": 1,
    "module": 2,
    "gradcheck": 2,
    "conv": 3,
    "upsampling": 4,
    "activations": 5,
    "losses": 6,
    "containers": 6,
    "init": 7,
    "optim": 7,
    "model": 8,
    "networks": 8,
    "torch_twin": 8,
    "transposed": 9,
    "stream": 12,
    "distributed": 13,
}
# A convolution has initial weights from lesson 03 on; lesson 07 derives their deviation. The list
# of networks that lesson 08 opens goes on growing, and with it that of their counterparts. The
# model of lesson 08 can train on a stream of fresh pairs, as lesson 12 makes it, and with other
# processes, as lesson 13 does.
AHEAD = {
    ("conv", "init"),
    ("networks", "transposed"),
    ("torch_twin", "transposed"),
    ("model", "stream"),
    ("model", "distributed"),
}


def imported(source: str, name: str, package: Path = PACKAGE) -> Iterator[str]:
    """Yield the parts of the package that file `name` imports: ``conv``, ``kernels``, or
    ``__init__`` for a name that is not a file."""

    def part(dotted_name: str) -> str:
        first = dotted_name.split(".")[0]
        is_file = (package / f"{first}.py").exists() or (package / first).is_dir()
        return first if first and is_file else "__init__"

    folder = ["n2n_lib", *Path(name).parent.parts]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "n2n_lib":
                    yield part(alias.name.partition(".")[2])
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".") if node.module else []
            if node.level:
                module = folder[: len(folder) + 1 - node.level] + module
            if module[:1] != ["n2n_lib"]:
                continue
            if len(module) > 1:
                yield part(module[1])
            else:
                yield from (part(alias.name) for alias in node.names)


def own_part(name: str) -> str:
    return name.split("/")[0].removesuffix(".py")


def imports_of(name: str) -> set[str]:
    return set(imported(FILES[name].read_text(encoding="utf-8"), name))


@pytest.mark.parametrize("name", [n for n in FILES if own_part(n) in LESSON])
def test_no_file_imports_a_file_of_a_later_lesson(name: str) -> None:
    """A file that no lesson derives (plots, cli, ...) is a leaf: nothing below may import it."""
    part = own_part(name)
    for other in imports_of(name) - {part}:
        assert other in LESSON, f"n2n_lib/{name} imports {other}, which is no file of a lesson"
        if (part, other) not in AHEAD:
            assert LESSON[other] <= LESSON[part], (
                f"n2n_lib/{name} (lesson {LESSON[part]}) imports {other} (lesson {LESSON[other]})"
            )


@pytest.mark.parametrize("name", [n for n in FILES if LESSON.get(own_part(n)) == 0])
def test_the_ground_imports_nothing_of_the_package(name: str) -> None:
    assert imports_of(name) <= {own_part(name)}


def test_imports_have_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for name in FILES:
        part = own_part(name)
        if part != "__init__":
            graph.setdefault(part, set()).update(imports_of(name) - {part})
    done: set[str] = set()

    def visit(part: str, path: tuple[str, ...]) -> None:
        assert part not in path, " -> ".join((*path, part))
        if part not in done:
            for other in sorted(graph.get(part, ())):
                visit(other, (*path, part))
            done.add(part)

    for part in graph:
        visit(part, ())
    assert {"conv", "module", "kernels", "networks"} <= done


def test_the_reader_of_imports_understands_every_form() -> None:
    source = """
import n2n_lib.model
from n2n_lib import conv, use_kernels
from n2n_lib.kernels.fast import product
from . import init
from .optim import SGD
import torch
from torch import module
def f():
    from n2n_lib import metrics as m
"""
    found = list(imported(source, "conv.py"))
    assert found == ["model", "conv", "__init__", "kernels", "init", "optim", "metrics"]
    assert list(imported("from . import unfold", "kernels/fast.py")) == ["kernels"]
    assert list(imported("from .. import conv", "kernels/fast.py")) == ["conv"]
    assert list(imported("from ..conv import Conv2d", "kernels/fast.py")) == ["conv"]


def test_the_tables_of_this_file_are_about_files_that_exist() -> None:
    parts = {own_part(name) for name in FILES}
    assert LESSON.keys() <= parts
    assert ALLOWED.keys() <= FILES.keys()
    assert "init" in imports_of("conv.py")

"""Break the library or a lesson in many small ways, and require that the lessons notice each.

``python -m tools.mutations`` copies the project to a temporary folder. There it changes one line
at a time, runs the lesson that derives this line under nbval, as ``make test`` does, and expects a
failure that names the lesson. A change that no lesson notices is a hole in the lessons: the exit
code is then 1. The changes themselves are in `MUTATIONS`, at the end.

Two more runs make sure that a failure means what it seems to mean: a probe that the kernels of the
copy import the library of the copy, and a run of the unchanged lessons, as far as the failing
cells, which must pass.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook, new_output

from n2n_lib.course.lessons import stem_of

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("n2n_lib", "notebooks", "Makefile", "pyproject.toml")
BUILT = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")


class MutationError(RuntimeError):
    """A run says nothing about the lessons: a pattern does not fit, or the copy does not work."""


@dataclass(frozen=True)
class Mutation:
    """One change of one file, and the lesson that has to notice it."""

    file: str
    old: str
    new: str
    lesson: str  # the file's name without .ipynb


@dataclass(frozen=True)
class Result:
    """The first cell that failed, or None if the mutation survived."""

    mutation: Mutation
    cell: int | None  # as in the brackets of JupyterLab, counted from 1

    def __str__(self) -> str:
        change = f"{self.mutation.old.strip()!r} -> {self.mutation.new.strip()!r}"
        if self.cell is None:
            return f"SURVIVED {self.mutation.file}: {change} | {self.mutation.lesson} passed"
        return (
            f"noticed  {self.mutation.file}: {change} | "
            f"{self.mutation.lesson} failed in code cell [{self.cell}]"
        )


class Copy:
    """A copy of a project that may be broken: sources and lessons, without anything built.

    Parameters
    ----------
    folder : Path
        An empty folder.
    source : Path
        The project.
    """

    def __init__(self, folder: Path, source: Path = ROOT) -> None:
        self.folder = folder.resolve()
        for name in NEEDED:
            if (source / name).is_dir():
                shutil.copytree(source / name, self.folder / name, ignore=BUILT)
            elif (source / name).is_file():
                shutil.copyfile(source / name, self.folder / name)
        makefile = (self.folder / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
        flags = re.search(r"^NBVAL := (.+)$", makefile, flags=re.MULTILINE)
        if flags is None:
            raise MutationError("expected the flags of nbval in the Makefile, found no NBVAL")
        self.flags = flags[1].split()

    def nbval(self, lesson: str) -> int | None:
        """Run one lesson until its first failing cell, and return that cell's number or None."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--color=no", "--tb=no"]
        command += ["-p", "no:cacheprovider", *self.flags, f"notebooks/{lesson}.ipynb"]
        environment = os.environ | {
            "PYTHONPATH": str(self.folder),  # before the installed library
            "PYTHONDONTWRITEBYTECODE": "1",  # a stale .pyc would hide a mutation
        }
        run = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=1800
        )
        failed = re.search(
            rf"^FAILED notebooks/{re.escape(lesson)}\.ipynb::Cell (\d+)", run.stdout, re.MULTILINE
        )
        if run.returncode == 0:
            return None
        if run.returncode != 1 or failed is None:
            raise MutationError(
                f"expected nbval to pass or to name a cell of {lesson}, got exit code "
                f"{run.returncode}:\n{run.stdout[-2000:]}{run.stderr[-2000:]}"
            )
        return int(failed[1]) + 1

    def check_library(self) -> None:
        """Require that a kernel imports this copy's library and no installed one."""
        file = self.folder / "n2n_lib" / "__init__.py"
        shown = [new_output("stream", text=f"{file}\n")]
        cell = new_code_cell("import n2n_lib\nprint(n2n_lib.__file__)", outputs=shown)
        cell.execution_count = 1
        self._with_notebook("00_probe", [cell], f"expected the kernel to import {file}")

    def check_unchanged(self, lesson: str, cells: int) -> None:
        """Require that the first `cells` code cells of a lesson pass as they are."""
        path = self.folder / "notebooks" / f"{lesson}.ipynb"
        every = nbformat.read(path, as_version=4).cells
        first = [cell for cell in every if cell.cell_type == "code"][:cells]
        self._with_notebook(
            f"{lesson}_start", first, f"expected the unchanged lesson {lesson} to pass"
        )

    def _with_notebook(self, name: str, cells: list, expectation: str) -> None:
        path = self.folder / "notebooks" / f"{name}.ipynb"
        nbformat.write(new_notebook(cells=cells), path)
        failing = self.nbval(name)
        path.unlink()
        if failing is not None:
            raise MutationError(f"{expectation}, got a failure in code cell [{failing}]")

    def check_pattern(self, mutation: Mutation) -> None:
        """Require that the file has the text to be changed once, and the lesson is there."""
        path = self.folder / mutation.file
        found = path.read_text(encoding="utf-8").count(mutation.old) if path.is_file() else 0
        if found != 1:
            raise MutationError(
                f"{mutation.file}: expected {mutation.old!r} exactly once, found it {found} times"
            )
        if not (self.folder / "notebooks" / f"{mutation.lesson}.ipynb").is_file():
            raise MutationError(f"expected the lesson {mutation.lesson}, found no such notebook")

    def apply(self, mutation: Mutation) -> Result:
        """Change the file, run the lesson, and change the file back."""
        self.check_pattern(mutation)
        path = self.folder / mutation.file
        before = path.read_bytes()
        path.write_bytes(before.replace(mutation.old.encode(), mutation.new.encode()))
        try:
            return Result(mutation, self.nbval(mutation.lesson))
        finally:
            path.write_bytes(before)


def run(copy: Copy, mutations: Sequence[Mutation]) -> list[Result]:
    """Apply mutations one after the other, and print a line for each as it is known.

    Raises
    ------
    MutationError
        Before anything is run, if a mutation does not fit its file; later, if the copy does not
        run its own library, or an unchanged lesson fails.
    """
    for mutation in mutations:
        copy.check_pattern(mutation)
    copy.check_library()
    results, deepest = [], {}
    for mutation in mutations:
        result = copy.apply(mutation)
        print(result, flush=True)
        results.append(result)
        if result.cell is not None:
            deepest[mutation.lesson] = max(result.cell, deepest.get(mutation.lesson, 0))
    for lesson, cells in sorted(deepest.items()):
        copy.check_unchanged(lesson, cells)
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the mutations of the command line's choice; return 1 if one survives, 2 if one fails."""
    parser = argparse.ArgumentParser(prog="mutations", description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="run those whose file or lesson contains this")
    only = parser.parse_args(arguments).only
    chosen = [each for each in MUTATIONS if only in each.file or only in each.lesson]
    if not chosen:
        parser.error(f"expected a part of the name of a file or lesson in the list, got {only!r}")
    start = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder:
            results = run(Copy(Path(folder)), chosen)
    except MutationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    survived = sum(result.cell is None for result in results)
    print(f"{len(results) - survived} of {len(results)} mutations noticed, ", end="")
    print(f"unchanged lessons pass, {time.monotonic() - start:.0f} s")
    return 1 if survived else 0


def output(text: str) -> str:
    """Return how a notebook's file holds a line of text."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def notebook(topic: str) -> str:
    """Return the file of the lesson on a topic."""
    return f"notebooks/{stem_of(topic)}.ipynb"


F, D = "n2n_lib/framework/", "n2n_lib/denoiser/"

CHANGES = [
    # A sign.
    (
        F + "conv.py",
        "owner.weight_grad += grad_weight",
        "owner.weight_grad -= grad_weight",
        "convolution",
    ),
    (F + "conv.py", "owner.bias_grad += grad_bias", "owner.bias_grad -= grad_bias", "convolution"),
    (F + "kernels/fast.py", "grads, alpha=-lr)", "grads, alpha=lr)", "sgd"),
    (F + "activations.py", "y + self.alpha)", "y - self.alpha)", "activations"),
    (F + "kernels/fast.py", "value=-1).mul_(grad", "value=1).mul_(grad", "activations"),
    # A factor.
    (
        F + "kernels/unfold.py",
        "(2 / saved.numel())",
        "(1 / saved.numel())",
        "loss_and_sequential",
    ),
    (F + "init.py", "math.sqrt(2.0 / sum", "math.sqrt(1.0 / sum", "sgd"),
    # A planted bug that is none.
    (
        "n2n_lib/course/check/loss_and_sequential.py",
        "return grad.mean(0)",
        "return grad.sum(0)",
        "loss_and_sequential",
    ),
    (F + "gradcheck.py", "/ (2 * step)", "/ step", "gradients"),
    (F + "activations.py", "clamp_(min=self.negative_slope)", "clamp_(min=0.0)", "activations"),
    # An index.
    (F + "upsampling.py", "scale[0] * x.shape[2]", "scale[0] * x.shape[0]", "upsampling"),
    (
        F + "kernels/unfold.py",
        "rows.unflatten(4, (-1, scale[1]))",
        "rows.unflatten(4, (-1, scale[0]))",
        "upsampling",
    ),
    (
        F + "kernels/fast.py",
        "(-1, scale[0])).unflatten(3, (-1, scale[1]))",
        "(-1, scale[1])).unflatten(3, (-1, scale[0]))",
        "upsampling",
    ),
    # An order.
    (F + "containers.py", "in reversed(self.layers)", "in self.layers", "loss_and_sequential"),
    (F + "containers.py", "if first != position", "if first > position", "loss_and_sequential"),
    # The second half: transposed convolution, optimisers, kernels, skip connections, processes.
    (
        F + "kernels/fast.py",
        "reshape(kh, kw, out, channels).permute(3, 2, 0, 1)",
        "reshape(kw, kh, out, channels).permute(3, 2, 1, 0)",
        "transposed_convolution",
    ),
    (
        F + "kernels/unfold.py",
        "(k - 1) + extra + 1",
        "(k - 1) - extra + 1",
        "transposed_convolution",
    ),
    (F + "optim.py", "div_(correction)", "div_(1.0)", "optimisers"),
    (F + "optim.py", "total.addcmul_(grad, grad)", "total.add_(grad)", "optimisers"),
    (F + "optim.py", "alpha=self.momentum) if", "alpha=1.0) if", "optimisers"),
    (F + "schedules.py", "lr, step - warmup, total", "lr, step, total", "optimisers"),
    (F + "optim.py", "/ (10 + self.steps)", "/ (9 + self.steps)", "optimisers"),
    (F + "init.py", "math.sqrt(2.0 / (1", "math.sqrt(1.0 / (1", "depth"),
    (F + "kernels/fast.py", "(place < s)", "(place <= s)", "speed"),
    (F + "kernels/winograd.py", "(-1 / 6, 1 / 6, -1 / 6)", "(1 / 6, -1 / 6, -1 / 6)", "speed"),
    (
        F + "kernels/shifted.py",
        "rows = _every(frame, first + u * width, count",
        "rows = _every(frame, first + u, count",
        "speed",
    ),
    (F + "kernels/doubling.py", "(whole, behind, out=odd)", "(whole, before, out=odd)", "speed"),
    (
        F + "kernels/doubling.py",
        "before.narrow(axis, size - 1, 1))",
        "before.narrow(axis, 0, 1))",
        "speed",
    ),
    (F + "containers.py", "else past + through", "else past - through", "unet"),
    (F + "containers.py", "else grad_output + through", "else through", "unet"),
    (
        "n2n_lib/denoiser/noise.py",
        "noisy - noise / alpha",
        "noisy + noise / alpha",
        "one_noisy_picture",
    ),
    (
        "n2n_lib/denoiser/prediction.py",
        "_SYMMETRIES if ensemble",
        "_SYMMETRIES[:2] if ensemble",
        "one_noisy_picture",
    ),
    (F + "distributed.py", "+ 1) // self.size", "+ 1) // self.size - 1", "scale"),
    (F + "distributed.py", "+ 2 * (processes - 1)", "+ (processes - 1)", "scale"),
    # Pairs, noise and measures.
    (D + "metrics.py", "10 * torch.log10(", "20 * torch.log10(", "two_noisy_copies"),
    (
        D + "sampling.py",
        "corner[:, 1:, 1:] - corner[:, 1:, :-1]",
        "corner[:, 1:, 1:] + corner[:, 1:, :-1]",
        "two_noisy_copies",
    ),
    (D + "noise.py", "choice.expand(*batch", "choice.flip(-2).expand(*batch", "photographs"),
    (D + "noise.py", "clean * mask / self.keep", "clean * mask * self.keep", "photographs"),
    (D + "metrics.py", "10 * math.log10(", "20 * math.log10(", "photographs"),
    (D + "metrics.py", "data_range=peak", "data_range=2 * peak", "photographs"),
    # The student's own answers, made into a kernel set.
    (
        "n2n_lib/course/check/kernel_set.py",
        "padding, border), grad_weight, grad_bias",
        "padding, border), -grad_weight, grad_bias",
        "convolution",
    ),
    (
        "n2n_lib/course/check/kernel_set.py",
        'return self._do["upsample_forward"](x, largest)',
        'return self._do["upsample_forward"](x.flip(3), largest)',
        "upsampling",
    ),
    (F + "containers.py", "return input + branch", "return branch", "milestone"),
    (F + "tape.py", "else variable.grad + share", "else share", "autograd"),
    (
        "n2n_lib/denoiser/metrics.py",
        "return 10 * torch.log10(peak**2 / _squared",
        "return 20 * torch.log10(peak**2 / _squared",
        "training",
    ),
    (
        D + "camera.py",
        "_CROSS = _eighths((0, 2, 0), (2,",
        "_CROSS = _eighths((0, 2, 0), (1,",
        "camera",
    ),
    (D + "metrics.py", "return 10 * torch.log10", "return 9 * torch.log10", "capstone"),
    # A stored output, in the notebook itself.
    (
        f"notebooks/{stem_of('two_noisy_copies')}.ipynb",
        output("a = 4:  squared error 16.4"),
        "a = 4:  16.5",
        "two_noisy_copies",
    ),
    (
        f"notebooks/{stem_of('unet')}.ipynb",
        output("26771 parameters; the report's"),
        output("26770 parameters; the report's"),
        "unet",
    ),
    (
        f"notebooks/{stem_of('one_noisy_picture')}.ipynb",
        output("variances 779 and 3131"),
        output("variances 779 and 1231"),
        "one_noisy_picture",
    ),
    (
        f"notebooks/{stem_of('upsampling')}.ipynb",
        output("[12., 16.]"),
        output("[12., 17.]"),
        "upsampling",
    ),
]
"""A file, its text, what to write in place of it, and the topic of the lesson that notices."""

MUTATIONS = [Mutation(file, old, new, stem_of(topic)) for file, old, new, topic in CHANGES]


if __name__ == "__main__":
    sys.exit(main())

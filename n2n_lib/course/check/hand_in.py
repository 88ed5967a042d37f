"""What a capstone hands in: a small network, which is measured and not compared.

The student's function makes the network of their own code around numbers that they have trained,
and the check sees what it makes of noisy thumbnails. In class these are drawn from a seed that
everybody knows. Grading draws others, from a seed of the instructor's. The clean pictures stay with
the judge: the process that runs the student's code sees noisy ones alone, and can open no
photograph.

The numbers lie in the file `FILE` beside the lesson, four bytes each. The check writes them into
its own output, so that the notebook is all that is handed in. Where nbgrader grades it, the check
takes them from there, and shows the points.
"""

from __future__ import annotations

import ast
import base64
import binascii
import hashlib
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from n2n_lib.course.check import autograded
from n2n_lib.course.check.capstone import MOST_PARAMETERS, derivative_is_right
from n2n_lib.course.check.exercise import Case
from n2n_lib.course.check.held import look_into, written_in
from n2n_lib.course.check.judge import TO_WRITE, CheckFailed, Verdict
from n2n_lib.course.check.notebook_state import executed, kernel_namespace
from n2n_lib.course.check.outcome import Elsewhere, watched
from n2n_lib.course.check.watch import Seen
from n2n_lib.course.needed import reached
from n2n_lib.denoiser.metrics import psnr
from n2n_lib.support.files import write_atomically

FILE = "capstone.bin"
"""Beside the lesson: the numbers of the student's network, float32, four bytes each."""

MIME = "application/x-n2n-numbers"
"""Under this name the output of the check holds the numbers, in base64."""

LONGEST = 200_000
"""Characters of such an output that are read."""

COUNT = 300
"""Thumbnails to measure on."""

BATCH = 25
"""Thumbnails of one call: twice as many bytes fit into a frame of the grader's."""

PUBLIC_SEED = 2
"""Of the thumbnails in class: `development` of the lesson."""


# ------------------------------------------------------------------------------ what is measured on


@dataclass(frozen=True)
class Thumbnails:
    """Pictures to measure a network on, and what its rivals make of them.

    Attributes
    ----------
    noisy, clean : Tensor
        ``(N, 3, H, W)``, float32, 0-1.
    nothing, mark : float
        PSNR of the noisy ones as they are, and of the filter with 26 numbers.
    """

    noisy: Tensor
    clean: Tensor
    nothing: float
    mark: float


@dataclass(frozen=True)
class Hidden:
    """Where the thumbnails of grading come from.

    Attributes
    ----------
    seed : int
        The instructor's.
    folder : str, optional
        With photographs of the instructor's own. Default: those of the course for validation.
    """

    seed: int
    folder: str = ""

    def draw(self) -> Thumbnails:
        """Draw the thumbnails; the same ones again are known.

        Raises
        ------
        ValueError
            If the folder has no photographs, or too small ones.
        """
        # Mixed, so that no small number gives the thumbnails that everybody knows.
        mixed = hashlib.sha256(f"capstone {self.seed}".encode()).digest()
        return _draw(int.from_bytes(mixed[:4], "big"), self.folder)


@lru_cache(maxsize=2)
def _draw(seed: int, folder: str) -> Thumbnails:
    # Here, since a check that draws none should not load photographs and plots.
    from n2n_lib.denoiser import linear
    from n2n_lib.denoiser.images import load_images
    from n2n_lib.denoiser.sampling import sample_pairs

    images = list(load_images(folder).values()) if folder else None
    generator = torch.Generator().manual_seed(seed)
    pairs = sample_pairs(COUNT, images=images, split="validation", generator=generator)
    noisy, clean = (each.float() / 255 for each in (pairs.noisy1, pairs.clean))
    nothing, mark = psnr(noisy, clean), psnr(linear.fitted()(noisy), clean)
    return Thumbnails(noisy, clean, nothing, mark)


# ----------------------------------------------------------------------- in the student's process


def run_network(
    answer: Callable[[Tensor], Any], numbers: Tensor, noisy: Tensor, look: bool
) -> Tensor | tuple[int, int, int]:
    """Make the network, and let it denoise; or look at it closely.

    Returns
    -------
    Tensor or (int, int, int)
        The denoised images; or how many numbers the network holds, whether its gradients are right,
        and whether it holds a layer of the library or of PyTorch, 1 if so.
    """
    network = answer(numbers)
    if not look:
        return network.forward(noisy)
    held, ready_made = look_into(network, numbers)
    try:
        right = derivative_is_right(network, noisy[:1, :, :8, :12].clone())
    except Exception:  # it has no backward that runs; what it holds is worth saying even so
        right = False
    return held, int(right), int(ready_made)


# ---------------------------------------------------------------------------------- in the judge's


def numbers_of(cell: dict) -> str:
    """Return the numbers in the output of a notebook's cell, in base64; nothing if none are."""
    try:
        found = [each["data"][MIME] for each in cell["outputs"][:5] if MIME in each.get("data", ())]
        text = "".join(found[-1]) if found else ""
    except (KeyError, TypeError, AttributeError):
        return ""
    return "".join(text.split()) if len(text) <= LONGEST else ""


def last_numbers(found: Sequence[str]) -> str:
    """Return what a notebook hands in, of what its cells have of numbers: the last."""
    return next(filter(None, reversed(found)), "")


def numbers_from(text: str) -> Tensor | None:
    """Read the numbers of an output; None if there are none, or they cannot be read.

    Whoever reads them believes nothing that they say of themselves: their count is that of bytes.
    """
    try:
        content = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    return numbers_in(content)


def numbers_in(content: bytes) -> Tensor | None:
    """Read numbers of four bytes each; None if that is not what they are."""
    if not content or len(content) % 4:
        return None
    numbers = torch.from_numpy(np.frombuffer(content, "<f4").astype(np.float32))
    return numbers if bool(numbers.isfinite().all()) else None


@dataclass(frozen=True, eq=False)
class HandIn:
    """The check of a network that is handed in; called with the student's function, it measures it.

    It has what `watch` and the grader ask of an exercise.

    Attributes
    ----------
    solution : callable
        What it is named after.
    title, topic, name
        As of an exercise.
    hidden : Hidden, optional
        Where the thumbnails come from. Default: those that everybody knows.
    numbers : Tensor, optional
        What was handed in.
    in_code : int
        How many numbers stand in the code beside them.
    """

    solution: Callable[..., Any]
    title: str
    topic: str = "capstone"
    hidden: Hidden | None = None
    numbers: Tensor | None = None
    in_code: int = 0

    own_code = True  # for `watch`: nothing of the library but what the student has answered
    kind = "function"
    use = staticmethod(run_network)
    allowed = mistakes = ()
    view_of = ""

    @property
    def name(self) -> str:
        """That of the student's function."""
        return self.solution.__name__

    @cached_property
    def cases(self) -> list[Case]:
        """One, for the names of the arguments."""
        empty = torch.empty(0)
        return [Case("the network", {"numbers": empty, "noisy": empty, "look": False})]

    def of(self, numbers: str) -> HandIn:
        """Return the check of what a student handed in, in base64, as an output holds it."""
        return replace(self, numbers=numbers_from(numbers))

    def with_code(self, sources: Iterable[str]) -> HandIn:
        """Return the check of an answer that runs this code of the student's."""
        return replace(self, in_code=written_in(sources))

    def draw(self) -> Thumbnails:
        """Return the thumbnails to measure on."""
        return self.hidden.draw() if self.hidden else _draw(PUBLIC_SEED, "")

    # -------------------------------------------------------------------------- the verdict

    def verdict(self, function: Callable[..., Any]) -> Verdict:
        """Measure a function of numbers, noisy images, and whether to look closely.

        It is an `Elsewhere`, or `run_network` with the student's answer.
        """
        if self.numbers is None:
            return self._refused(
                f"there are no numbers in the notebook. With {FILE} beside the lesson run "
                f"check.{self.name}({self.name}), then save the notebook."
            )
        if len(self.numbers) + self.in_code > MOST_PARAMETERS:
            code = f" and {self.in_code} more in the code" if self.in_code else ""
            return self._refused(
                f"{len(self.numbers)} numbers were handed in{code}: at most {MOST_PARAMETERS}."
            )
        pictures, outputs, used = self.draw(), [], {}
        try:
            with torch.no_grad():
                looked, seen = self._call(function, pictures.noisy[:1], True)
                used |= dict.fromkeys(seen.used)
                for noisy in pictures.noisy.split(BATCH):
                    output, seen = self._call(function, noisy, False)
                    used |= dict.fromkeys(seen.used)
                    outputs.append(_fit(output, noisy))
        except NotImplementedError:
            return Verdict(False, f"{self.name}: not written yet. {TO_WRITE.split(';')[0]}.")
        except Exception as error:  # whatever a student's code may raise
            said = f"{type(error).__name__}: {error}"[:300]
            if "is invalid for input of size" in said:
                said += f". Are the {len(self.numbers)} numbers those of this design?"
            return Verdict(False, f"{self.name}: the network raised {said}", table=said)
        return self._measured(pictures, torch.cat(outputs), looked, list(used))

    def _call(self, function: Callable[..., Any], noisy: Tensor, look: bool) -> tuple[Any, Seen]:
        """Call the answer with copies; return what came back, and what was seen meanwhile."""
        arguments = {"numbers": self.numbers.clone(), "noisy": noisy.clone(), "look": look}
        if isinstance(function, Elsewhere):
            return function(*arguments.values()), function.seen
        return watched(self, self.allowed, function, arguments)

    def _measured(
        self, pictures: Thumbnails, output: Tensor, looked: Any, used: list[str]
    ) -> Verdict:
        """Turn what came back into a share of the points."""
        if not _is_look(looked):
            return self._refused("looking into the network did not give three numbers.")
        held, right, ready_made = looked
        count = max(held, len(self.numbers)) + self.in_code
        if not bool(output.isfinite().all()):
            return self._refused("the output is not finite.")
        reached = psnr(output.clamp(0, 1), pictures.clean)
        where = f"{len(output)} {'hidden ' if self.hidden else ''}thumbnails"
        said = (
            f"{reached:.2f} dB on {where}; doing nothing {pictures.nothing:.2f} dB, 26 numbers "
            f"{pictures.mark:.2f} dB; {count} of {MOST_PARAMETERS} parameters."
        )
        if count > MOST_PARAMETERS:
            return self._refused(f"the network holds more numbers than it may. {said}")
        share = share_of(reached, pictures)
        if share == 0:
            return self._refused(
                "no better than doing nothing. If the network that was saved is better, its "
                "numbers are not in their places here: write them in, in the order of param(). "
                f"{said}"
            )
        if used or ready_made:
            what = ", ".join(used[:3]) or "a ready-made layer"
            return self._refused(
                f"the numbers are right, but it uses {what}, and your own code is asked for. {said}"
            )
        if not right:
            return self._refused(f"the gradients of its backward are wrong. {said}")
        return Verdict(True, f"{self.name}: {said}", share=share)

    def _refused(self, why: str) -> Verdict:
        forbidden = "forbidden" if why.startswith("the numbers are right") else "refused"
        return Verdict(False, f"{self.name}: {why}", kind=forbidden, share=0.0)

    # -------------------------------------------------------------------------- in class

    def __call__(self, answer: Callable[[Tensor], Any]) -> None:
        """Measure a student's network on the thumbnails of the class, and keep its numbers.

        Raises
        ------
        CheckFailed
            If the numbers are missing, the network breaks a rule, or does no good.
        TypeError
            If it is not a function.
        """
        if not callable(answer):
            raise TypeError(
                f"expected the function {self.name} itself, as in check.{self.name}({self.name}), "
                f"got {type(answer).__name__}"
            )
        if autograded.is_on():
            self._with_what_was_handed_in()._give_points(answer)
            return
        content = _beside_the_lesson()
        if (numbers := numbers_in(content)) is None:
            raise CheckFailed(
                f"{self.name}: expected {FILE} beside the lesson, with four bytes for each number, "
                f"got {len(content)} bytes. check.save_numbers(network) writes it."
            )
        print(replace(self, numbers=numbers)._passed(answer).message)
        _keep(content, len(numbers))

    def _passed(self, answer: Callable[[Tensor], Any]) -> Verdict:
        """Measure a network, and raise unless it is worth something."""
        verdict = self.verdict(partial(run_network, answer))
        if not verdict.right:
            raise CheckFailed(verdict.message) from None
        return verdict

    # -------------------------------------------------------------------------- by nbgrader

    def _with_what_was_handed_in(self) -> HandIn:
        """Return the check of what ``n2n grade`` would judge, on the thumbnails of its seed."""
        cells = autograded.handed_in_cells()
        if cells is None:  # nbgrader's folders have other names
            numbers = numbers_in(_beside_the_lesson())
        else:
            numbers = numbers_from(last_numbers([numbers_of(cell) for cell in cells]))
        seed = os.environ.get(autograded.SEED, "")
        if seed and not seed.isdecimal():
            raise ValueError(f"expected {autograded.SEED} of at least 0, got {seed!r}")
        space = kernel_namespace() or {}
        code = [ast.unparse(each) for _, _, each in reached(executed(space), {self.name})]
        hidden = Hidden(int(seed)) if seed else None
        return replace(self, numbers=numbers, hidden=hidden).with_code(code)

    def _give_points(self, answer: Callable[[Tensor], Any]) -> None:
        points = autograded.points_for(self.name)
        try:
            verdict = self._passed(answer)
        finally:
            autograded.take_away_output()
        print(verdict.message)
        autograded.give(points_of(verdict.share, points))


def share_of(reached: float, pictures: Thumbnails) -> float:
    """Return what share of the points a PSNR is worth.

    None up to that of doing nothing, all from that of the 26 numbers on, and in between as far as
    it has come from one to the other.
    """
    if not math.isfinite(reached):
        return 0.0
    part = (reached - pictures.nothing) / (pictures.mark - pictures.nothing)
    return min(1.0, max(0.0, part))


def points_of(share: float, points: float) -> float:
    """Return what a share of some points is, in half points, rounded down."""
    return math.floor(2 * share * points) / 2


def save_numbers(network: Any, file: str = FILE) -> int:
    """Write the parameters of a network beside the lesson, each once, in the order of ``param``.

    Returns
    -------
    int
        How many numbers there are.
    """
    once = {id(parameter): parameter for parameter, _ in network.param()}
    flat = torch.cat([parameter.flatten() for parameter in once.values()]).float().numpy()
    write_atomically(Path(file), lambda target: target.write(flat.astype("<f4").tobytes()))
    return len(flat)


def _beside_the_lesson() -> bytes:
    path = Path(FILE)
    return path.read_bytes() if path.is_file() else b""


def _fit(output: Any, noisy: Tensor) -> Tensor:
    if not isinstance(output, Tensor) or output.shape != noisy.shape:
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"expected an output of shape {tuple(noisy.shape)}, got {got}")
    return output.float()


def _is_look(looked: Any) -> bool:
    return (
        isinstance(looked, tuple)
        and len(looked) == 3
        and all(isinstance(each, int) and each >= 0 for each in looked)
    )


def _keep(content: bytes, count: int) -> None:
    """Put the numbers into the output of the cell that runs, where there is a notebook."""
    from IPython import get_ipython
    from IPython.display import publish_display_data

    if get_ipython() is not None:
        said = f"{count} numbers are in this notebook now: save it, and hand it in."
        publish_display_data({MIME: base64.b64encode(content).decode(), "text/plain": said})


def trained_network(numbers: Tensor) -> Any:
    """Check ``trained_network(numbers) -> network``, which is handed in and measured.

    Parameters
    ----------
    function : callable
        The student's, which takes the numbers of `FILE`, ``(P,)``, float32, and returns a network
        of their own code with ``forward``, ``backward`` and ``param``, for images ``(N, 3, H, W)``
        in 0-1.
    """
    raise NotImplementedError


HAND_INS = {"trained_network": HandIn(trained_network, "A network handed in, and measured")}
"""What is measured, by the names of the checks."""

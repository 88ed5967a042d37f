"""Options that several commands share, and the checks of what they are given."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
from enum import Enum
from functools import cache
from typing import Annotated

import typer

from n2n_lib.support import cores

MOST_THREADS = 4
"""Threads for each processor of the machine, at most: enough for the digits of a larger one."""


class UsageError(ValueError):
    """What the user asked for cannot be done."""


@cache
def names_in(module: str, table: str) -> tuple[str, ...]:
    """List the names in a table of a module without importing it.

    The help of a command names networks, optimisers, methods. To import the tables takes PyTorch
    and scikit-image, some seconds; to read them takes none.

    Parameters
    ----------
    module : str
        Name of the module below ``n2n_lib``.
    table : str
        What it assigns: a dict whose keys are texts, a tuple of texts, or an expression with them.

    Examples
    --------
    >>> names_in("framework.schedules", "SCHEDULES")
    ('constant', 'step', 'cosine', 'warmup-cosine')
    """
    found = importlib.util.find_spec(f"n2n_lib.{module}")
    source = found.loader.get_source(found.name)
    # This statement alone, up to the next line that begins at the margin: files are long.
    lines = re.search(rf"^{table}\b[^=\n]*=.*?(?=^[^\s)\]}}]|\Z)", source, re.DOTALL | re.MULTILINE)
    if lines is None:
        raise LookupError(f"expected n2n_lib.{module} to assign {table}")
    parts = [
        part.keys if isinstance(part, ast.Dict) else part.elts
        for part in ast.walk(ast.parse(lines[0]).body[0].value)
        if isinstance(part, (ast.Dict, ast.Tuple))
    ]
    return tuple(key.value for part in parts for key in part)


Noise = Enum("Noise", [(name, name) for name in names_in("denoiser.noise", "NOISES")], type=str)
"""The noise models by name."""

NoiseOption = Annotated[Noise, typer.Option(help="Noise of the training and validation images.")]
SigmaOption = Annotated[
    float | None,
    typer.Option(
        help="Standard deviation of gaussian noise, in grey levels of 255.",
        show_default="25 with gaussian noise",
    ),
]
SigmaRangeOption = Annotated[
    str | None,
    typer.Option(
        help="Standard deviation of gaussian noise, in grey levels of 255: one number, or a range "
        "such as 5-50 out of which every pair draws its own.",
        show_default="25 with gaussian noise",
    ),
]
SeedOption = Annotated[int, typer.Option(help="Seed of data, weights and order.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object as the last line of the output.")
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        help="Compute on so many threads, for the same digits each time.",
        show_default="as many as pay; for bench as many as there are processors",
    ),
]
BlockOption = Annotated[
    int, typer.Option(help="With --noise pixels: the image shrinks by this factor.")
]
EnsembleOption = Annotated[
    bool,
    typer.Option(
        "--ensemble",
        help="Average over the eight turned and mirrored versions of an image: a little better, "
        "eight times as slow.",
    ),
]
AdaptOption = Annotated[
    int,
    typer.Option(
        help="With gaussian noise: train a copy of the network for so many steps on each noisy "
        "image itself, before it cleans that image. Clearly better, and takes minutes; try 600.",
        show_default="0: as the model is",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
PRETRAINED = names_in("denoiser.checkpoint", "PRETRAINED")
MODEL_HELP = f"A saved model, or one that is shipped: {', '.join(PRETRAINED)}."


def noise_level(
    noise: Noise, sigma: float | tuple[float, float] | None
) -> float | tuple[float, float] | None:
    """Return the level of the noise in grey levels of 255, or None where it has none.

    Only gaussian noise has one: 25 unless --sigma tells.

    Raises
    ------
    ValueError
        If `sigma` is no level, or the noise has none.
    """
    if sigma is None:
        return 25.0 if noise is Noise.gaussian else None
    from n2n_lib.denoiser.noise import Gaussian

    Gaussian(sigma)  # which knows what a level is
    if noise is not Noise.gaussian:
        raise UsageError(f"expected --noise gaussian with --sigma, got --noise {noise.value}")
    return sigma


def check_jitter(jitter: float, noise: Noise) -> None:
    """Raise unless the jitter is from 0 to 1, and 0 where the noise comes with the photograph."""
    if not 0 <= jitter <= 1:
        raise UsageError(f"expected --jitter from 0 to 1, got {jitter}")
    if jitter and noise is Noise.pixels:
        raise UsageError(f"expected --jitter 0 with --noise pixels, got {jitter}")


def check_adapt(steps: int, noise: Noise) -> None:
    """Raise unless a network can be adapted to images with this noise."""
    check_at_least(steps, "--adapt", 0)
    if steps and noise is not Noise.gaussian:
        raise UsageError(f"expected --noise gaussian with --adapt, got {noise.value}")


def check_at_least(value: int, name: str, minimum: int) -> None:
    """Raise unless an option has this value or more."""
    if value < minimum:
        raise UsageError(f"expected {name} of at least {minimum}, got {value}")


def check_seed(seed: int) -> None:
    """Raise unless PyTorch takes the seed."""
    if not 0 <= seed < 2**63:
        raise UsageError(f"expected --seed from 0 to 2**63 - 1, got {seed}")


def check_positive(value: float, name: str) -> None:
    """Raise unless an option is a number above 0."""
    if not 0 < value < float("inf"):
        raise UsageError(f"expected {name} to be a positive number, got {value}")


def check_below_one(value: float, name: str) -> None:
    """Raise unless an option is a share: from 0 to below 1."""
    if not 0 <= value < 1:
        raise UsageError(f"expected {name} from 0 to below 1, got {value}")


def use_threads(context: typer.Context, number: int | None) -> None:
    """Compute on so many threads until the command ends, or on as many as are found to pay."""
    if number is not None:
        check_at_least(number, "--threads", 1)
        if number > (most := MOST_THREADS * cores.present()):
            raise UsageError(
                f"expected --threads of at most {most}, {MOST_THREADS} for each processor of this "
                f"machine, got {number}"
            )
    from n2n_lib.support.threads import sparingly, threads

    context.with_resource(sparingly() if number is None else threads(number))


def find_device(name: str) -> str:
    """Return the device of this process: with CUDA and many processes, each has a GPU of its own.

    Raises
    ------
    UsageError
        If there is no such device here.
    """
    import torch

    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if present[kind])
    if name not in present:
        raise UsageError(f"expected --device to be auto, cpu, cuda or mps, got {name}")
    if not present[name]:
        raise UsageError(f"expected a device that this machine has, got --device {name}")
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if name == "cuda" else name


def read_number_or_range(text: str, name: str) -> float | tuple[float, float]:
    """Read "25" as a number and "5-50" as a pair."""
    try:
        return float(text)
    except ValueError:
        return read_range(text, name) if "-" in text else read_number(text, name)


def read_range(text: str, name: str) -> tuple[float, float]:
    """Read "5-50" as a pair."""
    try:
        low, high = map(float, text.split("-"))
    except ValueError:
        raise UsageError(f"expected {name} to be a range such as 1-8, got {text!r}") from None
    return low, high


def read_number(text: str, name: str) -> float:
    """Read "25"."""
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"expected {name} to be a number, got {text!r}") from None

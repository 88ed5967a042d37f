"""Exercises on the full run: how well a network does, and what a comparison of two runs shows."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise

# --------------------------------------------------------------------------------------- mean_psnr


class _Brighter:
    """Stand in for a denoiser, of so many images at once: values beyond 0 and 255 occur."""

    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(self, images: Tensor) -> Tensor:
        if len(images) > self.most:
            raise MemoryError(f"{len(images)} images at once")
        return 1.5 * images - 20


class _Unchanged(_Brighter):
    """Stand in for doing nothing: images of bytes, which it is given, remain bytes."""

    def __call__(self, images: Tensor) -> Tensor:
        super().__call__(images)
        return images


def _psnr_case(name: str, count: int, batch: int, dtype: torch.dtype = torch.float64) -> Case:
    clean = (90 * values((count, 3, 3, 2), 130, dtype) + 128).clamp(0, 255)
    noise = (
        20 * values((count, 3, 3, 2), 131, dtype) / (1 + torch.arange(count)[:, None, None, None])
    )
    arguments = {"denoise": _Brighter(batch), "noisy": clean + noise.to(dtype), "clean": clean}
    return Case(
        name, arguments | {"batch": batch}, {"the number of images": count, "the batch size": batch}
    )


def _bytes_case(name: str, count: int, batch: int) -> Case:
    case = _psnr_case(name, count, batch, torch.float32)
    pictures = {key: case.arguments[key].clamp(0, 255).round() for key in ("noisy", "clean")}
    return replace(case, arguments=case.arguments | {"denoise": _Unchanged(batch)} | pictures)


def _use_psnr(
    answer: Callable[..., float], denoise: Callable, noisy: Tensor, clean: Tensor, batch: int
) -> Tensor:
    """Return a tensor, so that as many digits count as its dtype has."""
    if isinstance(denoise, _Unchanged):
        found = answer(denoise, noisy.byte(), clean.byte(), batch)
    else:
        found = answer(denoise, noisy, clean, batch)
    return torch.as_tensor(found, dtype=clean.dtype)


@exercise(
    topic="training",
    title="The mean PSNR, batch by batch",
    hints=(
        "Is the mean of the means of all parts the mean of all images? Think of the last part. "
        "“Photographs, noise, measures” has the PSNR of one image.",
        "For each part: denoise, divide by 255, limit to 0-1, and take the mean square of the "
        "error over channels, rows and columns, (n,). Each image has 10 log10(1 / error); the "
        "result is the sum over all N images, over N.",
        "`for x, target in zip(noisy.split(batch), clean.split(batch)):`, then `errors = (output - "
        "target / 255).square().mean((1, 2, 3))` and `found += (10 * torch.log10(1 / "
        "errors)).tolist()`.",
    ),
    returns=("psnr",),
    cases=(
        _psnr_case("one image", 1, 1),
        _psnr_case("one batch of 4", 4, 4),
        _psnr_case("batches of 3, the last one smaller", 7, 3),
        _psnr_case("batches of 2, float32", 5, 2, torch.float32),
        _bytes_case("images of uint8, and nothing done", 3, 2),
    ),
    use=_use_psnr,
    errors=(
        (
            "MemoryError",
            "That many images at once take too much memory: hand over `batch` images at a time, as "
            "noisy.split(batch) cuts them.",
        ),
        (
            "Got: Byte",
            "Images may be of uint8, whose difference and mean are no numbers to count with: "
            "divide by 255 first, which makes floats of them.",
        ),
        (
            "object is not callable",
            "denoise is a function of images 0-255: denoise(part).",
        ),
        (
            "shape mismatch",
            "Two shapes do not fit. The two lists of parts belong together: "
            "zip(noisy.split(batch), clean.split(batch)).",
        ),
    ),
)
def mean_psnr(
    denoise: Callable[[Tensor], Tensor], noisy: Tensor, clean: Tensor, batch: int
) -> float:
    """Check ``mean_psnr(denoise, noisy, clean, batch) -> float``.

    Parameters
    ----------
    function : callable
        The student's, which takes a denoiser, a function of images 0-255, noisy and clean images
        ``(N, 3, H, W)``, 0-255, and how many images the denoiser gets at a time. It returns the
        mean over all images of each image's PSNR in dB, peak 1, of outputs clamped to 0-1.
    """
    found = []
    for x, target in zip(noisy.split(batch), clean.split(batch), strict=True):
        output = (denoise(x) / 255).clamp(0, 1)  # (batch, 3, H, W)
        errors = (output - target / 255).square().mean((1, 2, 3))  # (batch,)
        found += (10 * torch.log10(1 / errors)).tolist()
    return sum(found) / len(found)


mean_psnr.mistakes = (
    Mistake(
        "It is the mean over the batches of each batch's mean, so the images of a smaller last "
        "batch count more: collect one number for each image, and divide by their count.",
        but(
            (
                "found += (10 * torch.log10(1 / errors)).tolist()",
                "found.append((10 * torch.log10(1 / errors)).mean().item())",
            )
        ),
        likely="mean of the batches' means",
    ),
    Mistake(
        "The squared error is averaged over a whole batch before the logarithm: each image has a "
        "PSNR of its own, so average over (1, 2, 3) alone.",
        but(("mean((1, 2, 3))", "mean()[None]")),
        likely="pooled in each batch",
    ),
    Mistake(
        "The squared error is pooled over all images before the logarithm. That is the other "
        "definition, the pooled PSNR; asked for is the mean of each image's.",
        but(
            ("found += (10 * torch.log10(1 / errors)).tolist()", "found += errors.tolist()"),
            ("return sum(found) / len(found)", "return -10 * math.log10(sum(found) / len(found))"),
        ),
        likely="pooled",
    ),
    Mistake(
        "The output is not clamped: what is below 0 or above 255 is shown as 0 or 255.",
        but((".clamp(0, 1)", "")),
        likely="not clamped",
    ),
    Mistake(
        "Output and clean picture are 0 to 255, and the peak is 1: divide both by 255.",
        but(
            ("(denoise(x) / 255).clamp(0, 1)", "denoise(x).clamp(0, 255)"),
            ("target / 255", "target"),
        ),
        likely="not divided by 255",
    ),
    Mistake(
        "The clean picture is not divided by 255.",
        but(("target / 255", "target")),
    ),
    Mistake(
        "The sign is turned: a small error makes a large PSNR, so it is log10(1 / error).",
        but(("1 / errors", "errors")),
    ),
    Mistake(
        "The factor is 10, because the error is squared already: 20 belongs to the root of it.",
        but(("10 * torch", "20 * torch")),
        likely="factor 20",
    ),
    Mistake(
        "This is the natural logarithm: decibels take log10.",
        but(("log10", "log")),
    ),
    Mistake(
        "Nothing is denoised: the PSNR is that of the noisy pictures.",
        but(("denoise(x)", "x")),
        likely="not denoised",
    ),
    Mistake(
        "Only the last batch counts: is the list made inside the loop?",
        but(("found = []\n", ""), ("    output =", "    found = []\n    output =")),
    ),
    Mistake(
        "Each colour has a PSNR of its own: the error of an image is averaged over its colours "
        "too, (1, 2, 3).",
        but(("mean((1, 2, 3))", "mean((2, 3)).flatten()")),
    ),
    Mistake(
        "A last batch that is smaller than the others is left out: all images count.",
        but(
            ("noisy.split", "noisy[: len(noisy) // batch * batch].split"),
            ("clean.split", "clean[: len(clean) // batch * batch].split"),
        ),
    ),
    Mistake(
        "It is the sum over the images: divide by their number.",
        but(("sum(found) / len(found)", "sum(found)")),
    ),
    Mistake(
        "Images may be of uint8, where a negative difference becomes a large number: divide by 255 "
        "before you subtract, which makes floats of them.",
        but(
            ("(denoise(x) / 255).clamp(0, 1)", "denoise(x).clamp(0, 255)"),
            ("(output - target / 255)", "((output - target) / 255)"),
        ),
    ),
)


# -------------------------------------------------------------------------------------------- gain


Run = dict[str, Any]


def _run(network: str, optimiser: str, seed: int, psnr: float) -> Run:
    return {"network": network, "optimiser": optimiser, "seed": seed, "psnr": psnr}


_RUNS = [
    _run("a", "sgd", 0, 22.0),
    _run("a", "adam", 0, 23.5),
    _run("b", "adam", 0, 25.25),
    _run("b", "adam", 1, 25.0),
    _run("b", "sgd", 1, 24.625),
    _run("c", "sgd", 0, 20.0),
    _run("a", "adam", 1, 23.0),
    _run("a", "rmsprop", 0, 30.0),
]


_OTHER_RUNS = [
    {"width": 16, "flips": True, "psnr": 24.0},
    {"width": 32, "flips": True, "psnr": 24.5},
    {"width": 16, "flips": False, "psnr": 23.0},
    {"width": 64, "flips": False, "psnr": 23.25},
]
"""Runs of another lesson, with other settings."""


def _gain_case(name: str, runs: list[Run], factor: str, before: Any, after: Any) -> Case:
    arguments = {"runs": runs, "factor": factor, "before": before, "after": after}
    return Case(name, arguments)


def _use_gain(
    answer: Callable[..., tuple], runs: list[Run], factor: str, before: Any, after: Any
) -> tuple[float, int]:
    """Take both as plain numbers: a mean of tensors is as good. The runs stay as they were."""
    kept = copy.deepcopy(runs)
    mean, pairs = answer(runs, factor, before, after)
    if runs != kept:
        raise ValueError("the runs were changed")
    return float(mean), int(pairs)


@exercise(
    topic="training",
    title="What a comparison shows",
    hints=(
        "Which keys of two runs must agree, and which one may not be compared at all? A change is "
        "worth what it does while all else stays as it was.",
        "Go through all ordered pairs (one, other) of runs. It counts if factor is before in one, "
        "after in the other, and every other key except psnr is equal. The gain is the psnr of the "
        "other less that of the one; average, if there is any.",
        '`same = all(one[key] == other[key] for key in one if key not in (factor, "psnr"))`, and '
        "at the end `return (sum(gains) / len(gains) if gains else 0.0), len(gains)`.",
    ),
    returns=("mean gain", "number of fair pairs"),
    cases=(
        _gain_case("one fair pair", _RUNS[:3], "optimiser", "sgd", "adam"),
        _gain_case("no fair pair", _RUNS[:1] + _RUNS[3:4], "network", "a", "b"),
        _gain_case("two optimisers, two fair pairs", _RUNS, "optimiser", "sgd", "adam"),
        _gain_case("two networks, two fair pairs", _RUNS, "network", "a", "b"),
        _gain_case("the other way round", _RUNS, "network", "b", "a"),
        _gain_case("seeds", _RUNS, "seed", 0, 1),
        _gain_case("other settings", _OTHER_RUNS, "flips", False, True),
    ),
    use=_use_gain,
    errors=(
        (
            "ZeroDivisionError",
            "Without a fair pair there is nothing to average: return 0.0 and 0.",
        ),
        (
            "NaN",
            "Without a fair pair there is nothing to average: return 0.0 and 0.",
        ),
        (
            "the runs were changed",
            "Whoever gave you the runs still needs them as they were: read them, and change none.",
        ),
        (
            "StatisticsError",
            "Without a fair pair there is nothing to average: return 0.0 and 0.",
        ),
        (
            "cannot unpack non-iterable NoneType",
            "Is there a way through it on which no `return` is reached? Without a fair pair return "
            "0.0 and 0.",
        ),
        ("cannot unpack non-iterable", "Return two values, the mean gain and the number of pairs."),
        (
            "KeyError: 'factor'",
            "factor holds the name of a setting: write one[factor], without quotes.",
        ),
        (
            "KeyError: 'psnr'",
            "Is 'psnr' taken out of a run, as by `pop` or `del`? The next pair still needs it.",
        ),
        (
            "KeyError",
            "A run has the keys of its settings, which differ from lesson to lesson, and 'psnr'.",
        ),
    ),
)
def gain(runs: list[Run], factor: str, before: Any, after: Any) -> tuple[float, int]:
    """Check ``gain(runs, factor, before, after) -> (float, int)``.

    Parameters
    ----------
    function : callable
        The student's, which takes runs, dictionaries of their settings and their ``"psnr"``, the
        name of a setting and two of its values. It returns the mean of the gains in dB over all
        fair pairs, and their number. A pair is fair if it differs in this setting alone, which is
        `before` in the one and `after` in the other.
    """
    gains = []
    for one in runs:
        for other in runs:
            same = all(one[key] == other[key] for key in one if key not in (factor, "psnr"))
            if one[factor] == before and other[factor] == after and same:
                gains.append(other["psnr"] - one["psnr"])
    return (sum(gains) / len(gains) if gains else 0.0), len(gains)


gain.mistakes = (
    Mistake(
        "Pairs that differ in something else as well are counted: their difference cannot be "
        "blamed on one of the two. All other settings have to be equal.",
        but((" and same", "")),
        likely="unfair pairs",
    ),
    Mistake(
        "The sign is turned: a gain is the PSNR of the run with `after`, minus that of the run "
        "with `before`.",
        but(('other["psnr"] - one["psnr"]', 'one["psnr"] - other["psnr"]')),
        likely="sign",
    ),
    Mistake(
        "The gains are added up: asked for is their mean.",
        but(("sum(gains) / len(gains)", "sum(gains)")),
        likely="sum",
    ),
    Mistake(
        "Only the first fair pair counts: go on through all of them.",
        but(("return (sum(gains) / len(gains) if gains", "return (gains[0] if gains")),
        likely="the first pair only",
    ),
    Mistake(
        "A pair counts in both directions, so the gains cancel: the one has `before`, the other "
        "`after`.",
        but(
            (
                "one[factor] == before and other[factor] == after",
                "{one[factor], other[factor]} == {before, after}",
            )
        ),
    ),
    Mistake(
        "It is enough there that one other setting is equal: all of them have to be.",
        but(("same = all(", "same = any(")),
    ),
    Mistake(
        "Only pairs whose run with `before` stands first in the list are found: try every run as "
        "the one with every run as the other.",
        but(
            ("for one in runs:", "for place, one in enumerate(runs):"),
            ("for other in runs:", "for other in runs[place:]:"),
        ),
    ),
    Mistake(
        "The two results are exchanged: the mean comes first, then the number of pairs.",
        but(
            (
                "(sum(gains) / len(gains) if gains else 0.0), len(gains)",
                "len(gains), (sum(gains) / len(gains) if gains else 0.0)",
            )
        ),
    ),
    Mistake(
        "The number of runs is returned, not that of the fair pairs.",
        but(("0.0), len(gains)", "0.0), len(runs)")),
    ),
    Mistake(
        "`after` is not compared: any other value of the setting is taken for it.",
        but((" and other[factor] == after", " and other[factor] != before")),
    ),
    Mistake(
        "`before` is not compared: any other value of the setting is taken for it.",
        but(("one[factor] == before", "one[factor] != after")),
    ),
    Mistake(
        "The best run with `after` is compared with the best run with `before`, whatever else "
        "differs in them: compare fair pairs.",
        """
        first = max((run["psnr"] for run in runs if run[factor] == before), default=0.0)
        second = max((run["psnr"] for run in runs if run[factor] == after), default=0.0)
        return second - first, 1
        """,
        likely="the best of each",
    ),
    Mistake(
        "The means over all runs with `before` and with `after` are compared, whatever else "
        "differs in them: compare fair pairs.",
        """
        first = [run["psnr"] for run in runs if run[factor] == before]
        second = [run["psnr"] for run in runs if run[factor] == after]
        return sum(second) / len(second) - sum(first) / len(first), min(len(first), len(second))
        """,
        """
        first = [run["psnr"] for run in runs if run[factor] == before]
        second = [run["psnr"] for run in runs if run[factor] == after]
        if not first or not second:
            return 0.0, 0
        return sum(second) / len(second) - sum(first) / len(first), len(first)
        """,
        likely="means of all",
    ),
    Mistake(
        "No pair is ever fair: the setting itself and the PSNR differ, so leave both out when you "
        "compare the others.",
        but(('key not in (factor, "psnr")', "key != factor")),
        but(('key not in (factor, "psnr")', 'key != "psnr"')),
        likely="never fair",
    ),
)

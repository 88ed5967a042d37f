"""Exercises on the mean, on noisy targets, and on PSNR."""

from __future__ import annotations

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise

# ----------------------------------------------------------------------------------- best_constant


def _constant_case(name: str, k: int, r: int, dtype: torch.dtype = torch.float64) -> Case:
    arguments = {"guesses": values((k,), 1, dtype), "readings": values((r,), 2, dtype)}
    return Case(name, arguments, {"the readings R": r, "the guesses K": k})


@exercise(
    topic="two_noisy_copies",
    title="The squared error of a constant, and where it is smallest",
    hints=(
        "Draw the squared error over the constant: it is a parabola. What is its slope at the "
        "lowest point, and is that point one of the guesses? Answer with the readings alone.",
        "errors[k] is the mean over r of (guesses[k] - readings[r]) ** 2. best is where the "
        "derivative, 2 * mean of (a - readings[r]), is zero, and lift is the squared error of "
        "that constant.",
        "`guesses[:, None] - readings` is (K, R); its square has its mean over `dim=1`. best "
        "needs one method of `readings`, and lift is `(readings - best).square()...`.",
    ),
    returns=("errors", "best", "lift"),
    cases=(
        _constant_case("five readings", 3, 5),
        _constant_case("two readings", 3, 2),
        _constant_case("one guess", 1, 4),
        _constant_case("float32", 4, 3, torch.float32),
    ),
    errors=(
        (
            "must match the size",
            "Guesses and readings have different numbers: go through the guesses one by one, or "
            "write guesses[:, None], which is (K, 1), so that the difference becomes (K, R).",
        ),
    ),
    axes=("guess",),
)
def best_constant(guesses: Tensor, readings: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Check ``best_constant(guesses, readings) -> (errors, best, lift)``.

    Parameters
    ----------
    function : callable
        The student's, which takes ``guesses`` ``(K,)`` and ``readings`` ``(R,)``. It returns the
        mean squared error of each guess ``(K,)``, the constant that has the smallest of all ``()``,
        and the squared error of that one ``()``.
    """
    errors = (guesses[:, None] - readings).square().mean(dim=1)
    best = readings.mean()
    lift = (readings - best).square().mean()
    return errors, best, lift


best_constant.mistakes = (
    Mistake(
        "The errors are sums over the readings where means belong: divide by R.",
        but((".mean(dim=1)", ".sum(dim=1)")),
        likely="sum over the readings",
    ),
    Mistake(
        "best is the median of the readings, which makes the absolute error smallest. Where is the "
        "derivative of the squared error zero?",
        but(("readings.mean()", "readings.median()")),
        but(
            ("readings.mean()", "readings.median()"),
            ("(readings - best)", "(readings - readings.mean())"),
        ),
        likely="the median",
    ),
    Mistake(
        "lift is divided by R - 1, as `var` does unless it is told otherwise. It is a mean over "
        "all R readings here.",
        but(("(readings - best).square().mean()", "readings.var()")),
        likely="`var`, which divides by R - 1",
    ),
    Mistake(
        "lift is a root: it should be the mean squared error of the best constant as it is.",
        but(
            (
                "lift = (readings - best).square().mean()",
                "lift = (readings - best).norm() / len(readings) ** 0.5",
            )
        ),
        but(("(readings - best).square().mean()", "readings.std()")),
    ),
    Mistake(
        "The errors are mean absolute errors: square the differences.",
        but((".square().mean(dim=1)", ".abs().mean(dim=1)")),
        but(
            (".square().mean(dim=1)", ".abs().mean(dim=1)"),
            ("best).square()", "best).abs()"),
        ),
        likely="absolute errors",
    ),
    Mistake(
        "The differences are not squared, so those above and those below cancel.",
        but((".square().mean(dim=1)", ".mean(dim=1)")),
    ),
    Mistake(
        "best is only the best of the guesses. Find the constant that no number beats: its formula "
        "has the readings alone in it.",
        but(("readings.mean()", "guesses[errors.argmin()]")),
        but(
            ("readings.mean()", "guesses[errors.argmin()]"),
            ("(readings - best).square().mean()", "errors.min()"),
        ),
        likely="the best of the guesses",
    ),
    Mistake(
        "lift is the smallest error of the guesses. It belongs to the best constant, which is "
        "seldom one of them.",
        but(("(readings - best).square().mean()", "errors.min()")),
    ),
    Mistake(
        "The errors count the readings: the mean runs over the guesses. There should be one error "
        "for each guess, a mean over the readings.",
        but(("mean(dim=1)", "mean(dim=0)")),
    ),
    Mistake(
        "The errors are one number, a mean over guesses and readings: average over the readings "
        "only, so that each guess keeps its own.",
        but(("mean(dim=1)", "mean()")),
    ),
    Mistake(
        "Each error is the squared distance from the mean of the readings. That leaves out how far "
        "they scatter: square first, average then.",
        but(
            (
                "(guesses[:, None] - readings).square().mean(dim=1)",
                "(guesses - readings.mean()).square()",
            )
        ),
    ),
    Mistake(
        "lift is the mean square of the readings: subtract the best constant before squaring.",
        but(("(readings - best).square().mean()", "readings.square().mean()")),
    ),
    Mistake(
        "The errors are roots of the mean squared errors: leave the root out.",
        but((".mean(dim=1)", ".mean(dim=1).sqrt()")),
    ),
    Mistake(
        "errors is the error of the last guess alone: each round of a loop overwrites the one "
        "before it. Keep one for each guess.",
        but(("errors = (guesses[:, None]", "errors = (guesses[-1]"), ("mean(dim=1)", "mean()")),
    ),
    Mistake(
        "lift is a sum over the readings where a mean belongs.",
        but(("(readings - best).square().mean()", "(readings - best).square().sum()")),
    ),
    Mistake(
        "lift is zero: it is not the slope at the best constant but the squared error there.",
        but(("(readings - best).square().mean()", "0 * best")),
    ),
)


# ------------------------------------------------------------------------------------- three_terms


def _terms_case(name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> Case:
    names = ("output", "target", "clean")
    arguments = {key: values(shape, seed, dtype) for seed, key in enumerate(names, start=3)}
    count = arguments["clean"].numel()
    return Case(name, arguments, {"the number of values": count})


@exercise(
    topic="two_noisy_copies",
    title="The three terms of the error against a noisy target",
    hints=(
        "Output and target differ for two reasons: the output is not the clean image, and the "
        "target is noisy. Name the two differences before you square.",
        "With the error d = output - clean and the noise e = target - clean, output - target is"
        " d - e. Its square is d * d - 2 * d * e + e * e; take the mean of each of the three, "
        "with its factor and its sign.",
        "`error, noise = output - clean, target - clean`, and then the middle one is `-2 * "
        "(error * noise).mean()`.",
    ),
    returns=("clean_error", "middle", "noise_power"),
    cases=(
        _terms_case("two values", (1, 1, 1, 2)),
        _terms_case("one colour", (2, 1, 2, 3)),
        _terms_case("three colours", (2, 3, 4, 4)),
        _terms_case("float32", (1, 3, 2, 2), torch.float32),
    ),
)
def three_terms(output: Tensor, target: Tensor, clean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Check ``three_terms(output, target, clean) -> (clean_error, middle, noise_power)``.

    Parameters
    ----------
    function : callable
        The student's, which takes the output of a denoiser, its noisy target and the clean images,
        ``(N, C, H, W)`` each. It returns three numbers ``()`` that add up to the mean squared error
        of output and target: the error against the clean images, the mixed term, and the power of
        the target's noise.
    """
    error, noise = output - clean, target - clean
    middle = -2 * (error * noise).mean()
    return error.square().mean(), middle, noise.square().mean()


three_terms.mistakes = (
    Mistake(
        "middle has the wrong sign: output - target is the error minus the noise, with the noise "
        "target - clean. So the mixed term of its square is negative.",
        but(("-2 *", "2 *")),
        but(("target - clean", "clean - target")),
        likely="sign of the mixed term",
    ),
    Mistake(
        "middle lacks the factor 2 of the mixed term in (d - e) squared.",
        but(("-2 * (", "-(")),
        likely="factor 2 forgotten",
    ),
    Mistake(
        "middle is a product of two means. It is the mean of the products: multiply value by "
        "value, average then.",
        but(("(error * noise).mean()", "error.mean() * noise.mean()")),
        likely="product of means",
    ),
    Mistake(
        "middle is zero. It is zero in expectation, under the assumptions; for these numbers it is "
        "what it is, so compute it.",
        but(("-2 * (error * noise).mean()", "0 * error.mean()")),
        likely="zero, since the theorem says so",
    ),
    Mistake(
        "clean_error is measured against the noisy target: that is the sum of all three terms. "
        "Compare the output with the clean images.",
        but(("return error.square()", "return (output - target).square()")),
        likely="error against the target",
    ),
    Mistake(
        "middle multiplies the noise with the output. It is the error, output - clean, that "
        "belongs there.",
        but(("error * noise", "output * noise")),
    ),
    Mistake(
        "middle multiplies the error with the target. It is the noise, target - clean, that "
        "belongs there.",
        but(("error * noise", "error * target")),
    ),
    Mistake(
        "The noise is taken against the output: it is target - clean, whatever the denoiser does.",
        but(("target - clean", "target - output")),
    ),
    Mistake(
        "The three are sums over all values where means belong.",
        but((".mean()", ".sum()")),
    ),
    Mistake(
        "noise_power is a variance about the mean of this noise: it is the plain mean of its "
        "square.",
        but(("noise.square().mean()", "noise.var()")),
        but(("noise.square().mean()", "(noise - noise.mean()).square().mean()")),
    ),
    Mistake(
        "clean_error and noise_power are means of absolute values: square instead.",
        but((".square()", ".abs()")),
    ),
    Mistake(
        "Each is a mean for every image: average over the images too, so that three numbers stay.",
        but((".mean()", ".mean(dim=(1, 2, 3))")),
    ),
    Mistake(
        "The terms still have a value for every pixel: take the mean of each.",
        but((".mean()", "")),
    ),
    Mistake(
        "clean_error and noise_power are squares of means: square value by value, average then.",
        but((".square().mean()", ".mean().square()")),
    ),
    Mistake(
        "The errors are not squared: without a square what is above and what is below cancels.",
        but((".square()", "")),
    ),
    Mistake(
        "clean_error and noise_power are swapped: the error of the output comes first.",
        "error, noise = output - clean, target - clean\n"
        "return noise.square().mean(), -2 * (error * noise).mean(), error.square().mean()",
    ),
)


# -------------------------------------------------------------------------------------------- psnr


def _psnr_case(
    name: str, shape: tuple[int, ...], off: tuple[float, ...], dtype: torch.dtype = torch.float64
) -> Case:
    target = values(shape, 6).sigmoid()
    scale = torch.tensor(off, dtype=torch.float64).view(-1, 1, 1, 1)
    arguments = {
        "output": (target + scale * values(shape, 7)).to(dtype),
        "target": target.to(dtype),
    }
    n, c, h, w = shape
    return Case(name, arguments, {"the images N": n, "the values of an image": c * h * w})


@exercise(
    topic="two_noisy_copies",
    title="PSNR, as a mean over images",
    hints=(
        "What comes first, the logarithm or the mean over the images? The docstring"
        " says it: each image has a PSNR of its own.",
        "First one mean squared error for each image, a mean over its C * H * W values. Then "
        "-10 * log10 of each. At last the mean over the images.",
        "`(output - target).square().mean(dim=(1, 2, 3))` has one error for each image; a "
        "tensor has the method `log10()`.",
    ),
    returns=("psnr",),
    cases=(
        _psnr_case("one image", (1, 3, 2, 2), (0.1,)),
        _psnr_case("a good and a bad image", (2, 1, 3, 2), (0.02, 0.5)),
        _psnr_case("three images, not square", (3, 3, 2, 4), (0.1, 0.05, 0.2)),
        _psnr_case("float32", (2, 3, 4, 4), (0.3, 0.03), torch.float32),
    ),
)
def psnr(output: Tensor, target: Tensor) -> Tensor:
    """Check ``psnr(output, target) -> psnr``.

    Parameters
    ----------
    function : callable
        The student's, which takes two batches of images ``(N, C, H, W)`` with values 0-1 and
        returns the mean over the images ``()`` of each image's PSNR in dB.
    """
    errors = (output - target).square().mean(dim=(1, 2, 3))
    return (-10 * errors.log10()).mean()


psnr.mistakes = (
    Mistake(
        "This is the pooled PSNR: one mean squared error over all images, then its logarithm. Take "
        "the logarithm of each image's error first, and average over the images then.",
        but(("mean(dim=(1, 2, 3))", "mean()")),
        likely="pooled over the images",
    ),
    Mistake(
        "The sign is wrong: the logarithm of an error below 1 is negative, and the minus makes it "
        "positive, so that better is larger.",
        but(("-10 *", "10 *")),
        likely="sign",
    ),
    Mistake(
        "The logarithm has the base e: decibels take the one of base 10, log10.",
        but(("log10", "log")),
        likely="natural logarithm",
    ),
    Mistake(
        "It is 20 times the logarithm. The factor 20 goes with a root; with the mean squared error "
        "it is 10.",
        but(("-10", "-20")),
        likely="factor 20",
    ),
    Mistake(
        "The logarithm is of the root of the error: use the mean squared error as it is.",
        but(("errors.log10()", "errors.sqrt().log10()")),
    ),
    Mistake(
        "There is one PSNR for each image: average them.",
        but((".log10()).mean()", ".log10())")),
    ),
    Mistake(
        "White is taken for 255. Values lie between 0 and 1 here, so the peak is 1.",
        but(("(-10 * errors.log10())", "(10 * (255**2 / errors).log10())")),
        likely="white at 255",
    ),
    Mistake(
        "The last image alone counts: does each round of a loop start anew? Add up the decibels of "
        "all images.",
        but(("(-10 * errors.log10()).mean()", "-10 * errors[-1].log10() / len(errors)")),
        but(("(-10 * errors.log10()).mean()", "-10 * errors[-1].log10()")),
    ),
    Mistake(
        "The squared errors are summed: each image needs their mean over its values.",
        but((".mean(dim=(1, 2, 3))", ".sum(dim=(1, 2, 3))")),
    ),
    Mistake(
        "Each colour has a PSNR of its own here, and their mean is taken. An image has one error, "
        "over all its colours.",
        but(("(1, 2, 3)", "(2, 3)")),
    ),
    Mistake(
        "The logarithm is taken of every single value: average the squared errors of an image "
        "first.",
        but((".mean(dim=(1, 2, 3))", "")),
    ),
    Mistake(
        "The logarithm has the base 2: decibels take the one of base 10, log10.",
        but(("log10", "log2")),
    ),
    Mistake(
        "The factor 10 is missing: a decibel is a tenth of a bel.",
        but(("-10 * errors", "-errors")),
    ),
    Mistake(
        "The mean is taken before the square, so errors of both signs cancel: square first.",
        but((".square().mean(dim=(1, 2, 3))", ".mean(dim=(1, 2, 3)).square()")),
    ),
    Mistake(
        "The error is a mean of absolute differences: square them.",
        but((".square()", ".abs()")),
    ),
)


# ------------------------------------------------------------------------- mean_of_second_copies


def _copies_case(
    name: str, m: int, c: int, side: int, count: int, dtype: torch.dtype = torch.float64
) -> Case:
    arguments = {
        "patch": values((c, side, side), 8, dtype),
        "first": values((m, c, side, side), 9, dtype),
        "second": values((m, c, side, side), 10, dtype),
        "count": count,
    }
    return Case(name, arguments, {"the patches M": m, "count": count})


@exercise(
    topic="two_noisy_copies",
    title="The mean of the second copies of like patches",
    hints=(
        "Which copies may choose the patches, and which may be averaged? If the same noise does"
        " both, the choice follows the noise.",
        "The squared distance of patch from each first copy is a sum over C * s * s values: M "
        "distances. Take the indices of the count smallest, and average the second copies that "
        "stand there.",
        "`(first - patch).square().flatten(1).sum(1)` has M distances; `argsort()` lists their "
        "indices from the smallest on, and `second[...]` takes a tensor of indices.",
    ),
    returns=("mean",),
    cases=(
        _copies_case("the nearest of four", 4, 1, 2, 1),
        _copies_case("three of eight", 8, 3, 3, 3),
        _copies_case("five of nine", 9, 1, 3, 5),
        _copies_case("all, float32", 4, 3, 2, 4, torch.float32),
    ),
    errors=(
        (
            "used as indices",
            "An index is a whole number: argsort gives the places of the patches, sort the "
            "distances.",
        ),
        (
            "0-dim tensor",
            "The distance is one number for all patches: add up the values of each patch, and keep "
            "a distance for each of the M.",
        ),
    ),
    axes=("channel", "row", "column"),
)
def mean_of_second_copies(patch: Tensor, first: Tensor, second: Tensor, count: int) -> Tensor:
    """Check ``mean_of_second_copies(patch, first, second, count) -> mean``.

    Parameters
    ----------
    function : callable
        The student's, which takes a noisy ``patch`` ``(C, s, s)`` and two noisy copies of ``M``
        other patches, ``first`` and ``second`` ``(M, C, s, s)``. It finds the ``count`` of them
        whose first copies have the smallest squared distance from ``patch``, and returns the mean
        of their second copies ``(C, s, s)``.
    """
    distances = (first - patch).square().flatten(1).sum(1)
    nearest = distances.argsort()[:count]
    return second[nearest].mean(0)


mean_of_second_copies.mistakes = (
    Mistake(
        "These are the first copies, averaged. They were chosen to look like the patch, noise and "
        "all; take the second copies of the same patches.",
        but(("second[nearest]", "first[nearest]")),
        likely="mean of the first copies",
    ),
    Mistake(
        "The patches that are least alike are averaged: the small distances are wanted.",
        but(("argsort()", "argsort(descending=True)")),
        likely="the farthest",
    ),
    Mistake(
        "All second copies are averaged: choose the nearest `count` first.",
        but(("second[nearest]", "second")),
        likely="all patches",
    ),
    Mistake(
        "Only the nearest patch is taken: average the second copies of the nearest `count`.",
        but(("second[nearest].mean(0)", "second[distances.argmin()]")),
    ),
    Mistake(
        "The second copies are compared with the patch. Compare the first ones: the second must "
        "have no say in who is chosen, or their noise is chosen along with them.",
        but(("(first - patch)", "(second - patch)")),
        likely="chosen by the second copies",
    ),
    Mistake(
        "The second copies are added up: divide by `count`.",
        but((".mean(0)", ".sum(0)")),
    ),
    Mistake(
        "Everything is averaged into one number: average over the patches alone, dimension 0.",
        but((".mean(0)", ".mean()")),
    ),
    Mistake(
        "The differences are not squared, so brighter and darker values cancel in the distance.",
        but((".square()", "")),
        likely="no square in the distance",
    ),
    Mistake(
        "The distance adds up absolute differences: square them.",
        but((".square()", ".abs()")),
    ),
    Mistake(
        "The first `count` patches are taken as they come, unsorted: choose by the distance.",
        but(("second[nearest]", "second[:count]")),
    ),
    Mistake(
        "The nearest patch is left out. The patch that is asked for is not among the others: begin "
        "at the first place.",
        but(("[:count]", "[1 : count + 1]")),
        but(("[:count]", "[1:count]")),
    ),
    Mistake(
        "This is the median of the second copies. Under squared error it is the mean that counts.",
        but((".mean(0)", ".median(0).values")),
    ),
    Mistake(
        "The patches are compared by their mean brightness alone: compare value by value, and add "
        "up the squares.",
        but((".square().flatten(1).sum(1)", ".flatten(1).mean(1).square()")),
        but(
            (
                "(first - patch).square().flatten(1).sum(1)",
                "(first.flatten(1).mean(1) - patch.mean()).abs()",
            )
        ),
    ),
    Mistake(
        "The nearest `count` lack one: a slice [:n] ends before n by itself.",
        but(("[:count]", "[: max(count - 1, 1)]")),
    ),
)

"""Exercises on one noisy picture: how strong its noise is, and what it teaches a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.losses import MSELoss
from n2n_lib.framework.module import Module
from n2n_lib.framework.optim import SGD

# ------------------------------------------------------------------------------------- noise_level


def _noise_case(name: str, *shape: int, dtype: torch.dtype = torch.float64) -> Case:
    return Case(name, {"noisy": values(shape, 70, dtype)})


@exercise(
    topic="one_noisy_picture",
    title="How strong white noise is",
    hints=(
        "What is left of a smooth picture if you take differences of neighbours in a row, and then "
        "in a column? Four values of noise meet in each of them.",
        "d is the difference of neighbouring columns, then of neighbouring rows: (N, C, H - 1, W - "
        "1), of deviation 2 sigma. The median of |d| over each image is 0.6745 times that.",
        "`across = noisy[..., 1:] - noisy[..., :-1]`, the same for rows, and "
        "`both.abs().flatten(1).median(dim=1).values / (2 * 0.6745)`, where `both` has both "
        "differences.",
    ),
    returns=("sigma",),
    axes=("image",),
    cases=(
        _noise_case("one image, four pixels", 1, 1, 2, 2),
        _noise_case("one channel", 1, 1, 4, 6),
        _noise_case("two images", 2, 3, 6, 4),
        _noise_case("four images, float32", 4, 1, 4, 8, dtype=torch.float32),
    ),
    errors=(
        (
            "must match the size",
            "Two shapes do not fit. Neighbours are one place apart, so there is one difference "
            "less than there are values: x[..., 1:] - x[..., :-1].",
        ),
        (
            "return_types",
            "median(dim=1) returns two tensors, .values and .indices: the values are wanted.",
        ),
        (
            "non-zero size",
            "Nothing is left to take a median of. Two rows and two columns have one double "
            "difference: subtract once along each of the two dimensions.",
        ),
    ),
)
def noise_level(noisy: Tensor) -> Tensor:
    """Check ``noise_level(noisy) -> sigma``.

    Parameters
    ----------
    function : callable
        The student's, which takes pictures ``(N, C, H, W)`` with white noise and returns the
        standard deviation of the noise in each, ``(N,)``.
    """
    across = noisy[..., 1:] - noisy[..., :-1]
    both = across[..., 1:, :] - across[..., :-1, :]
    middle = both.abs().flatten(1).median(dim=1).values
    return middle / (2 * 0.6745)


noise_level.mistakes = (
    Mistake(
        "Half of the absolute values of a Gaussian lie below 0.6745 of its deviation: divide the "
        "median by 0.6745, too.",
        but(("(2 * 0.6745)", "2")),
        likely="no 0.6745",
    ),
    Mistake(
        "The double difference has a deviation of 2 sigma, since it holds four values of noise: "
        "divide by 2, too.",
        but(("(2 * 0.6745)", "0.6745")),
        likely="no factor 2",
    ),
    Mistake(
        "The deviation of the double difference is the root of 4 sigma^2, which is 2 sigma, not "
        "sqrt(2) sigma: four values of noise are in it, not two.",
        but(("(2 * 0.6745)", "(2**0.5 * 0.6745)")),
        likely="sqrt(2)",
    ),
    Mistake(
        "4 is the factor of the variance. That of the deviation is its root, 2.",
        but(("(2 * 0.6745)", "(4 * 0.6745)")),
    ),
    Mistake(
        "The median is multiplied by 0.6745: it is 0.6745 times the deviation, so divide.",
        but(("/ (2 * 0.6745)", "/ 2 * 0.6745")),
    ),
    Mistake(
        "The median of the differences is near 0, whatever the noise: take absolute values first.",
        but(("both.abs()", "both")),
        likely="no abs",
    ),
    Mistake(
        "It is the mean of the absolute values. A few edges move a mean as far as they like; the "
        "median does not see how large they are.",
        but((".median(dim=1).values", ".mean(dim=1)")),
        likely="mean",
    ),
    Mistake(
        "It is the standard deviation of the differences. It squares what an edge contributes; the "
        "median does not see how large it is.",
        but(
            (
                "both.abs().flatten(1).median(dim=1).values",
                "both.square().flatten(1).mean(dim=1).sqrt()",
            ),
            ("(2 * 0.6745)", "2"),
        ),
    ),
    Mistake(
        "It is the standard deviation of the differences, by `std`. It squares what an edge "
        "contributes, while the median does not see how large it is; and of a single difference, "
        "which is all that four pixels have, `std` is not a number (nan).",
        *(
            but(
                ("both.abs().flatten(1).median(dim=1).values", f"{of}.flatten(1).std(dim=1)"),
                ("(2 * 0.6745)", factor),
            )
            for of in ("both", "both.abs()")
            for factor in ("2", "(2 * 0.6745)")
        ),
        likely="std",
    ),
    Mistake(
        "Only neighbours in a row are compared. The difference of two such differences, one below "
        "the other, cancels a slope of the picture as well.",
        but(
            ("across[..., 1:, :] - across[..., :-1, :]", "across"),
            ("(2 * 0.6745)", "(2**0.5 * 0.6745)"),
        ),
        likely="rows only",
    ),
    Mistake(
        "Only neighbours in a row are compared, and two values of noise are taken for four. Take "
        "the difference of two such differences, one below the other.",
        but(("across[..., 1:, :] - across[..., :-1, :]", "across")),
    ),
    Mistake(
        "Only neighbours in a column are compared. The difference of two such differences, one "
        "beside the other, cancels a slope of the picture as well.",
        but(
            ("across = noisy[..., 1:] - noisy[..., :-1]", "across = noisy"),
            ("(2 * 0.6745)", "(2**0.5 * 0.6745)"),
        ),
    ),
    Mistake(
        "Two differences that lie one below the other are added. Subtract them: their sum keeps "
        "twice the slope of the picture.",
        but(("across[..., 1:, :] - ", "across[..., 1:, :] + ")),
    ),
    Mistake(
        "It is one number for all images: each has noise of its own, so take the median over "
        "everything but the first dimension, flatten(1).",
        but((".flatten(1).median(dim=1).values", ".median().expand(len(noisy))")),
        but((".flatten(1).median(dim=1).values", ".median()")),
        likely="one for all",
    ),
    Mistake(
        "Each channel has a median of its own, of which the mean is taken: all channels and places "
        "of an image count alike, so take one median of all, flatten(1).",
        but((".flatten(1).median(dim=1).values", ".flatten(2).median(dim=2).values.mean(1)")),
    ),
    Mistake(
        "The last column is compared with the first one, as torch.roll goes round: there are only "
        "W - 1 pairs of neighbours in a row.",
        but(
            ("noisy[..., 1:] - noisy[..., :-1]", "noisy.roll(-1, -1) - noisy"),
            ("across[..., 1:, :] - across[..., :-1, :]", "across.roll(-1, -2) - across"),
        ),
    ),
)


# ----------------------------------------------------------------------------------- self_ensemble


class _Lopsided(Module):
    """Stand in for a denoiser: what it makes of a turned picture is not the turned result."""

    def forward(self, input: Tensor) -> Tensor:
        below, beside = input.roll(1, -2), input.roll((1, 1), (-2, -1))
        return 0.5 * input + 0.3 * below * beside + 0.2 * below.abs()


def _ensemble_case(name: str, *shape: int, dtype: torch.dtype = torch.float64) -> Case:
    return Case(name, {"denoise": _Lopsided(), "noisy": values(shape, 62, dtype)})


@exercise(
    topic="one_noisy_picture",
    title="The mean over eight views of a picture",
    hints=(
        "In which order must a turn and a mirror be undone? There are four quarter turns, each as "
        "it is and mirrored, and a picture that is not square changes its shape.",
        "For each of 0 to 3 quarter turns, mirrored or not: turn, mirror, denoise, mirror back, "
        "turn back by as many quarters the other way. Return the mean of the eight results.",
        "`turned = torch.rot90(noisy, quarters, (-2, -1))`; one result is "
        "`torch.rot90(denoise(turned), -quarters, (-2, -1))`, and with a mirror "
        "`denoise(turned.flip(-1)).flip(-1)` is turned back instead.",
    ),
    returns=("denoised",),
    axes=("image", "channel", "row", "column"),
    cases=(
        _ensemble_case("one channel", 1, 1, 3, 3),
        _ensemble_case("square", 1, 3, 4, 4),
        _ensemble_case("two images, not square", 2, 3, 3, 5),
        _ensemble_case("float32", 2, 3, 4, 6, dtype=torch.float32),
    ),
    errors=(
        (
            "must match the size",
            "Two shapes do not fit. A picture that is not square changes its shape when it is "
            "turned by 90 degrees: turn each view from `noisy` as it came, and its result back by "
            "as much before you add it.",
        ),
        (
            "equal size",
            "The results differ in shape. A picture that is not square changes its shape when it "
            "is turned by 90 degrees: turn each view from `noisy` as it came, and its result back "
            "by as much before you stack it.",
        ),
        (
            "'_Lopsided' object is not subscriptable",
            "denoise is a function: call it, denoise(picture).",
        ),
        (
            "rotation dims",
            "torch.rot90(image, quarters, (-2, -1)) turns rows and columns, the last two "
            "dimensions.",
        ),
    ),
)
def self_ensemble(denoise: Callable[[Tensor], Tensor], noisy: Tensor) -> Tensor:
    """Check ``self_ensemble(denoise, noisy) -> denoised``.

    Parameters
    ----------
    function : callable
        The student's, which takes a function of images and images ``(N, C, H, W)`` and returns the
        mean of its results on the eight turned and mirrored views, each turned back.
    """
    results = []
    for quarters in range(4):
        for mirrored in (False, True):
            view = torch.rot90(noisy, quarters, (-2, -1))
            view = view.flip(-1) if mirrored else view
            result = denoise(view)
            result = result.flip(-1) if mirrored else result
            results.append(torch.rot90(result, -quarters, (-2, -1)))
    return sum(results) / 8


self_ensemble.mistakes = (
    Mistake(
        "This is the picture denoised once, as it is. It should be the mean over eight views. "
        "(Or are the views turned back before they are denoised?)",
        "return denoise(noisy)",
        likely="once",
    ),
    Mistake(
        "The sum of the eight results is not divided by 8.",
        but((" / 8", "")),
        likely="a sum",
    ),
    Mistake(
        "It is divided by 4, but there are 8 results.",
        but(("/ 8", "/ 4")),
        likely="by four",
    ),
    Mistake(
        "The mirrored views are missing: these are the 4 quarter turns only.",
        but(("(False, True)", "(False,)"), ("/ 8", "/ 4")),
        likely="turns only",
    ),
    Mistake(
        "These are the 4 mirrored views only: take the 4 that are not mirrored, too.",
        but(("(False, True)", "(True,)"), ("/ 8", "/ 4")),
        likely="mirrored only",
    ),
    Mistake(
        "The turns by 90 degrees are missing: these are the 4 mirrorings, left-right and up-down.",
        but(("range(4)", "(0, 2)"), ("/ 8", "/ 4")),
    ),
    Mistake(
        "Only one quarter turn is taken beside the upright picture: there are 4 turns, range(4).",
        but(("range(4)", "(0, 1)"), ("/ 8", "/ 4")),
    ),
    Mistake(
        "The last quarter turn is left out: there are 4, range(4).",
        but(("range(4)", "range(3)"), ("/ 8", "/ 6")),
    ),
    Mistake(
        "The picture that is not turned is left out: it counts as well, so the turns are range(4).",
        but(("range(4)", "range(1, 4)"), ("/ 8", "/ 6")),
    ),
    Mistake(
        "Rows and columns are never turned, so the picture upright and mirrored is all that the "
        "mean holds. (torch.rot90 turns other dimensions unless it is given (-2, -1).)",
        but(("range(4)", "(0,)"), ("/ 8", "/ 2")),
        but((", (-2, -1))", ")")),
    ),
    Mistake(
        "The results are not turned back before they are averaged, so the mean mixes pixels of "
        "different places.",
        but(
            ("        result = result.flip(-1) if mirrored else result\n", ""),
            ("torch.rot90(result, -quarters, (-2, -1))", "result"),
        ),
    ),
    Mistake(
        "The results are turned back and then mirrored back. Undo the last step first: whoever "
        "turned and then mirrored must mirror and then turn back.",
        but(
            ("        result = result.flip(-1) if mirrored else result\n", ""),
            (
                "torch.rot90(result, -quarters, (-2, -1))",
                "torch.rot90(result, -quarters, (-2, -1)).flip([-1] if mirrored else [])",
            ),
        ),
    ),
    Mistake(
        "The results are turned on in the same direction: back means -quarters.",
        but(("-quarters", "quarters")),
    ),
    Mistake(
        "The mirrored results are not mirrored back.",
        but(("        result = result.flip(-1) if mirrored else result\n", "")),
    ),
    Mistake(
        "The results are mirrored back, but not turned back.",
        but(("torch.rot90(result, -quarters, (-2, -1))", "result")),
    ),
    Mistake(
        "Nothing is denoised: turning there and back alone gives the noisy picture.",
        but(("denoise(view)", "view")),
    ),
    Mistake(
        "The eight views are averaged, and then denoised. Denoise each, and average what comes "
        "out.",
        but(
            (
                "        result = denoise(view)\n"
                "        result = result.flip(-1) if mirrored else result\n",
                "",
            ),
            ("torch.rot90(result, -quarters, (-2, -1))", "view"),
            ("sum(results) / 8", "denoise(sum(results) / 8)"),
        ),
    ),
    Mistake(
        "It takes the median of the eight results: the mean is asked for.",
        but(("sum(results) / 8", "torch.stack(results).median(0).values")),
    ),
    Mistake(
        "It takes the maximum of the eight results: the mean is asked for.",
        but(("sum(results) / 8", "torch.stack(results).amax(0)")),
    ),
    Mistake(
        "It returns the eight results: take their mean, over the first dimension.",
        but(
            (
                "for quarters in range(4):\n    for mirrored in (False, True):",
                "for mirrored in (False, True):\n    for quarters in range(4):",
            ),
            ("sum(results) / 8", "torch.stack(results)"),
        ),
        but(("sum(results) / 8", "torch.stack(results)")),
    ),
)


# --------------------------------------------------------------------------------------- recorrupt


def _recorrupt_case(
    name: str, alpha: float, *shape: int, dtype: torch.dtype = torch.float64
) -> Case:
    noisy, noise = values(shape, 63, dtype), values(shape, 64, dtype)
    return Case(name, {"noisy": noisy, "noise": noise, "alpha": alpha})


@exercise(
    topic="one_noisy_picture",
    title="Two copies of independent noise out of one",
    hints=(
        "For which pair of factors do the new noise and that of the picture cancel in the product "
        "of the two errors? Both copies get the same new noise.",
        "The errors are e + a r and e + b r; with equal variances and E[e r] = 0 the mean product "
        "is (1 + a b) sigma^2. It is 0 for b = -1 / a. The first copy has a = alpha.",
        "`noisy + alpha * noise` is the first copy; the second is `noisy - ...`, with the factor "
        "that makes the product 0.",
    ),
    returns=("first", "second"),
    axes=("image", "channel", "row", "column"),
    cases=(
        _recorrupt_case("one value, alpha 0.5", 0.5, 1, 1, 1, 1),
        _recorrupt_case("alpha 1", 1.0, 1, 1, 2, 3),
        _recorrupt_case("two images, alpha 2", 2.0, 2, 3, 3, 2),
        _recorrupt_case("alpha 0.25", 0.25, 2, 3, 4, 4),
        _recorrupt_case("float32", 0.5, 1, 3, 4, 5, dtype=torch.float32),
    ),
    errors=(
        (
            "unsupported operand",
            "noisy and noise are tensors and alpha is a number: use +, -, * and /.",
        ),
    ),
)
def recorrupt(noisy: Tensor, noise: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Check ``recorrupt(noisy, noise, alpha) -> (first, second)``.

    Parameters
    ----------
    function : callable
        The student's, which takes noisy pictures ``(N, C, H, W)``, as much new noise of the same
        strength, and ``alpha``, and returns two noisy copies with independent noise.
    """
    first = noisy + alpha * noise
    second = noisy - noise / alpha
    return first, second


recorrupt.mistakes = (
    Mistake(
        "The numbers are right, but your function wrote into noisy: `+=` changes the picture "
        "itself, which is needed again. A sum written with `+` is a new tensor.",
        """
        second = noisy - noise / alpha
        noisy += alpha * noise
        return noisy, second
        """,
    ),
    Mistake(
        "Both copies get the noise with the same sign: then their noises grow together, and are "
        "not independent. The second one gets minus.",
        but(("noisy - noise", "noisy + noise")),
        likely="same sign",
    ),
    Mistake(
        "The signs are exchanged: plus in the first copy, minus in the second. (Yours are "
        "independent too, but the text asks for the others.)",
        but(("noisy + alpha", "noisy - alpha"), ("noisy - noise", "noisy + noise")),
        likely="signs exchanged",
    ),
    Mistake(
        "The two copies are returned in the wrong order: the first one has alpha times the noise.",
        but(("first, second\n", "second, first\n")),
        likely="order",
    ),
    Mistake(
        "The second copy gets alpha times the noise: its covariance with the first is then (1 - "
        "alpha^2) sigma^2. Divide by alpha there.",
        but(("noise / alpha", "noise * alpha")),
        likely="times in both",
    ),
    Mistake(
        "The second copy gets 1 - alpha times the noise: its covariance with the first is then "
        "(1 - alpha (1 - alpha)) sigma^2, which is not 0. Which factor makes it 0?",
        but(("noise / alpha", "(1 - alpha) * noise")),
    ),
    Mistake(
        "Both copies get the noise divided by alpha: the first one gets alpha times it.",
        but(("alpha * noise", "noise / alpha")),
        likely="divided in both",
    ),
    Mistake(
        "alpha and 1 / alpha are exchanged: the first copy gets alpha times the noise.",
        but(("alpha * noise", "(noise / alpha)"), ("- noise / alpha", "- alpha * noise")),
    ),
    Mistake(
        "The second copy is the noisy picture as it came: its noise is in the first one too. "
        "Subtract noise / alpha from it.",
        "return noisy + alpha * noise, noisy",
    ),
    Mistake(
        "The first copy is the noisy picture as it came: its noise is in the second one too. Add "
        "alpha times the noise to it.",
        "return noisy, noisy - noise / alpha",
    ),
    Mistake(
        "alpha is ignored: it shares the new noise out between the two copies.",
        "return noisy + noise, noisy - noise",
    ),
    Mistake(
        "alpha is ignored in the first copy.",
        but(("alpha * noise", "noise")),
    ),
    Mistake(
        "alpha is ignored in the second copy.",
        but(("noise / alpha", "noise")),
    ),
    Mistake(
        "alpha is squared in both copies. The variances hold squares, the noise does not.",
        but(("alpha * noise", "alpha**2 * noise"), ("/ alpha", "/ alpha**2")),
    ),
    Mistake(
        "alpha is squared in the second copy. The variances hold squares, the noise does not.",
        but(("/ alpha", "/ alpha**2")),
    ),
    Mistake(
        "The second copy is made from the first: make both from the noisy picture.",
        but(("noisy - noise", "first - noise")),
    ),
    Mistake(
        "This is the noise alone: add it to the picture.",
        "return alpha * noise, -noise / alpha",
    ),
    Mistake(
        "The second copy has the picture with its sign turned: it is the picture minus the noise "
        "divided by alpha.",
        but(("noisy - noise / alpha", "noise / alpha - noisy")),
    ),
    Mistake(
        "alpha multiplies the picture too: only the noise is weighted.",
        "return alpha * (noisy + noise), (noisy - noise) / alpha",
    ),
    Mistake(
        "The weights are 1 - alpha and alpha. Both copies keep the whole picture, which is what "
        "they have in common.",
        "return (1 - alpha) * noisy + alpha * noise, alpha * noisy - (1 - alpha) * noise",
    ),
)


# ------------------------------------------------------------------------------------------- adapt


class _Drawn:
    """Hand out patches and noise, one pair a call."""

    def __init__(self, patches: Tensor, noises: Tensor) -> None:
        self.patches, self.noises, self.calls = patches, noises, 0

    def __call__(self) -> tuple[Tensor, Tensor]:
        place = self.calls % len(self.patches)
        self.calls += 1
        return self.patches[place].clone(), self.noises[place].clone()


def _use_adapt(answer: Any, weight: Tensor, patches: Tensor, noises: Tensor, alpha: float) -> tuple:
    """Let a convolution without bias take a step for each of the patches that are drawn."""
    size = weight.shape[-1]
    network = Conv2d(weight.shape[1], weight.shape[0], size, padding=size // 2, bias=False)
    network = network.to(weight.dtype)
    network.set_params([weight])
    for _, grad in network.param():
        grad.copy_(weight / 2)  # what a training before has left there
    criterion, optimiser = MSELoss(network), SGD(network, 0.01)
    draw = _Drawn(patches, noises)
    losses = answer(network, criterion, optimiser, draw, len(patches), alpha)
    if isinstance(losses, float):
        raise TypeError("expected a list with a loss for each step, got a float")
    if isinstance(losses, list):
        losses = torch.tensor([float(loss) for loss in losses], dtype=weight.dtype)
    return losses, network.weight


def _adapt_case(
    name: str, alpha: float, steps: int, *shape: int, dtype: torch.dtype = torch.float64
) -> Case:
    arguments = {
        "weight": values((shape[1], shape[1], 3, 3), 71, dtype) / 4,
        "patches": values((steps, *shape), 72, dtype),
        "noises": values((steps, *shape), 73, dtype) / 2,
        "alpha": alpha,
    }
    return Case(name, arguments)


@exercise(
    topic="one_noisy_picture",
    title="A network learns from one noisy picture",
    hints=(
        "What is new in every step, and which copy is the input? recorrupt makes a pair; “Loss and "
        "Sequential” and “SGD” say how to train on one.",
        "In each step draw patches and noise. The input is patches + alpha * noise, the target "
        "patches - noise / alpha. Loss, gradients to zero, backward, step; note the loss as a "
        "float.",
        "`patches, noise = draw()` in the loop, then `loss = criterion(network(patches + alpha * "
        "noise), ...)`, `optimiser.zero_grad()`, `criterion.backward()`, `optimiser.step()` and "
        "`losses.append(float(loss))`.",
    ),
    returns=("losses", "weight"),
    cases=(
        _adapt_case("one step", 1.0, 1, 1, 1, 3, 3),
        _adapt_case("two steps, alpha 0.5", 0.5, 2, 1, 2, 4, 3),
        _adapt_case("three steps, two patches each", 0.8, 3, 2, 3, 4, 4),
        _adapt_case("float32", 0.5, 2, 2, 2, 4, 4, dtype=torch.float32),
    ),
    use=_use_adapt,
    errors=(
        ("unpack", "draw() returns two tensors: `patches, noise = draw()`."),
        (
            "'_Drawn' object is not subscriptable",
            "draw is a function: every step calls it, `patches, noise = draw()`.",
        ),
        (
            "backward needs a forward before it",
            "criterion.backward() needs a loss of this step: call criterion(output, target) first.",
        ),
    ),
)
def adapt(
    network: Module,
    criterion: MSELoss,
    optimiser: SGD,
    draw: Callable[[], tuple[Tensor, Tensor]],
    steps: int,
    alpha: float,
) -> list[float]:
    """Check ``adapt(network, criterion, optimiser, draw, steps, alpha) -> losses``.

    Parameters
    ----------
    function : callable
        The student's, which trains the network on recorrupted patches of one noisy picture:
        ``draw()`` returns patches ``(N, C, H, W)`` and as much new noise of the strength of theirs.
        It returns the loss of every step in a list.
    """
    losses = []
    for _ in range(steps):
        patches, noise = draw()
        first, second = patches + alpha * noise, patches - noise / alpha
        loss = criterion(network(first), second)
        optimiser.zero_grad()
        criterion.backward()
        optimiser.step()
        losses.append(float(loss))
    return losses


adapt.mistakes = (
    Mistake(
        "Gradients pile up from step to step: nothing clears those of the step before.",
        but(("    optimiser.zero_grad()\n", "")),
        likely="no zero_grad",
    ),
    Mistake(
        "The network does not move: the gradients are there, and nobody takes a step along them.",
        but(("    optimiser.step()\n", "")),
        but(("    criterion.backward()\n", "")),
        but(
            (
                "optimiser.zero_grad()\n    criterion.backward()",
                "criterion.backward()\n    optimiser.zero_grad()",
            )
        ),
        likely="nothing learned",
    ),
    Mistake(
        "The gradients are cleared after each step, so the first one uses what was in them before: "
        "clear them before backward.",
        but(
            ("    optimiser.zero_grad()\n", ""),
            ("optimiser.step()\n", "optimiser.step()\n    optimiser.zero_grad()\n"),
        ),
    ),
    Mistake(
        "The same patches and noise serve in every step: call draw() inside the loop, so that the "
        "network never meets a pair twice.",
        but(
            ("    patches, noise = draw()\n", ""),
            ("losses = []\n", "losses = []\npatches, noise = draw()\n"),
        ),
        likely="drawn once",
    ),
    Mistake(
        "It draws twice in each step, patches from one draw and noise from the other: call draw() "
        "once, it returns both.",
        but(("patches, noise = draw()", "patches, noise = draw()[0], draw()[1]")),
    ),
    Mistake(
        "The weights are right, but the losses are those after the step: keep the loss of which "
        "the gradients were taken.",
        but(("float(loss)", "float(criterion(network(first), second))")),
    ),
    Mistake(
        "The step is taken before the backward of its loss: it uses the gradients of the step "
        "before.",
        but(
            (
                "    optimiser.zero_grad()\n    criterion.backward()\n    optimiser.step()\n",
                "    optimiser.step()\n    optimiser.zero_grad()\n    criterion.backward()\n",
            )
        ),
    ),
    Mistake(
        "Input and target are exchanged: the input is the copy with alpha times the noise, which "
        "is the less noisy one for an alpha below 1.",
        but(("network(first), second", "network(second), first")),
        likely="exchanged",
    ),
    Mistake(
        "The input is its own target, so the network learns to leave everything as it is: the "
        "target is the other copy.",
        but(("network(first), second", "network(first), first")),
        likely="one copy twice",
    ),
    Mistake(
        "The network is shown the patches as they are, whose noise is in the target as well: it "
        "learns to keep that. Show it the first copy.",
        but(("network(first)", "network(patches)")),
    ),
    Mistake(
        "The target is the patch as it is, whose noise is in the input as well: the network learns "
        "to keep that. Take the second copy.",
        but((", second)", ", patches)")),
        likely="noisy patch as target",
    ),
    Mistake(
        "Both copies get the noise with the same sign: then their noises are not independent. "
        "Subtract it in the second.",
        but(("patches - noise", "patches + noise")),
    ),
    Mistake(
        "The second copy gets alpha times the noise: divide by alpha there.",
        but(("noise / alpha", "noise * alpha")),
    ),
    Mistake(
        "The network is trained to bring out the new noise: the target is a picture, patches - "
        "noise / alpha.",
        but((", second)", ", noise)")),
    ),
    Mistake(
        "It takes one step only: is `return` inside the loop?",
        but(("return losses", "    return losses")),
        likely="one step",
    ),
    Mistake(
        "It takes a step too many: there are `steps` of them.",
        but(("range(steps)", "range(steps + 1)")),
    ),
    Mistake(
        "It takes a step too few: there are `steps` of them.",
        but(("range(steps)", "range(steps - 1)")),
    ),
    Mistake(
        "Every step begins the list anew, so only the last loss is in it: make the list before the "
        "loop.",
        but(("    patches, noise = draw()", "    losses = []\n    patches, noise = draw()")),
    ),
)

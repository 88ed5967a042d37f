"""Exercises of the capstone: the rules of a project, whichever network a student builds.

`count_parameters` and `score` have one right answer. Of `build_network` and `train_network`
only the rules are judged, each as a number: 1 if it holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Mistake, but
from n2n_lib.course.check.registry import exercise
from n2n_lib.framework.activations import ReLU
from n2n_lib.framework.containers import Residual, Sequential
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.losses import MSELoss
from n2n_lib.framework.module import Module
from n2n_lib.framework.optim import Adam

MOST_PARAMETERS = 5000
"""The size that a network of the capstone may have."""

FEW_STEPS = 8
"""So many show whether a training depends on its seed."""


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _parameters(network: Any) -> list[Tensor]:
    return [parameter for parameter, _ in network.param()]


def _equal(ones: list[Tensor], others: list[Tensor]) -> bool:
    return len(ones) == len(others) and all(map(torch.equal, ones, others))


# --------------------------------------------------------------------------------- count_parameters


class _Parts(Module):
    """A module with the parameters that it is given."""

    def __init__(self, *shapes: tuple[int, ...], twice: bool = False) -> None:
        self.weights = [torch.ones(shape, dtype=torch.float64) for shape in shapes]
        if twice:
            self.weights.append(self.weights[0])

    def param(self) -> list[tuple[Tensor, Tensor]]:
        return [(weight, torch.zeros(3, 7, dtype=torch.float64)) for weight in self.weights]


def _count_case(name: str, *shapes: tuple[int, ...], twice: bool = False) -> Case:
    return Case(name, {"network": _Parts(*shapes, twice=twice)})


@exercise(
    topic="capstone",
    title="How many numbers are learned",
    hints=(
        "How do you notice that two entries are one tensor, and not two that are equal? param "
        "lists pairs, of which one member is learned.",
        "A tensor has numel() numbers. Make a table from the identity of each parameter to its "
        "number of values, so that one that comes twice has one place, and add up.",
        "`sizes = {id(parameter): parameter.numel() for parameter, _ in network.param()}`, of "
        "which the values are added up.",
    ),
    returns=("count",),
    cases=(
        _count_case("a convolution", (4, 3, 3, 3), (4,)),
        _count_case("three layers", (2, 3, 3, 3), (2,), (2, 2, 1, 5), (2,), (3, 2, 3, 3), (3,)),
        _count_case("no parameters"),
        _count_case("a weight in two places", (3, 3), (5,), twice=True),
    ),
    errors=(
        *(
            (
                part,
                "`in` and `==` compare the values of two tensors, entry by entry. Whether they are "
                "one tensor is told by `is`, or by id(...).",
            )
            for part in ("must match the size", "Boolean value of Tensor")
        ),
        (
            "non-empty list",
            "A network without parameters has nothing to put together: add up numel() instead. "
            "(And a tensor that is listed twice counts once.)",
        ),
    ),
)
def count_parameters(network: Module) -> int:
    """Check ``count_parameters(network) -> count``.

    Parameters
    ----------
    function : callable
        The student's, which takes a module and returns how many numbers it learns; a tensor that
        is listed twice counts once.
    """
    sizes = {id(parameter): parameter.numel() for parameter, _ in network.param()}
    return sum(sizes.values())


count_parameters.mistakes = (
    Mistake(
        "A tensor that stands in two places counts twice. It is learned once: remember its id.",
        "return sum(parameter.numel() for parameter, _ in network.param())",
        likely="shared weights twice",
    ),
    Mistake(
        "It counts tensors, not the numbers in them: add numel().",
        "return len(network.param())",
        likely="tensors",
    ),
    Mistake(
        "It counts tensors, each once, and not the numbers in them: add numel().",
        but(("parameter.numel()", "1")),
    ),
    Mistake(
        "It counts the gradients in place of the parameters: the parameter comes first in a pair.",
        but(("parameter.numel()", "g.numel()"), ("parameter, _ in", "parameter, g in")),
    ),
    Mistake(
        "Parameters and gradients are counted together: gradients are not learned.",
        "return sum(p.numel() + g.numel() for p, g in network.param())",
        likely="gradients too",
    ),
    Mistake(
        "It counts the entries of the first dimension only: len(tensor) is its first size.",
        but(("parameter.numel()", "len(parameter)")),
        "return sum(len(parameter) for parameter, _ in network.param())",
        likely="len",
    ),
    Mistake(
        "It counts dimensions, not entries: numel().",
        but(("parameter.numel()", "parameter.dim()")),
    ),
    Mistake(
        "Biases are left out: they are learned as well.",
        "sizes = {id(p): p.numel() for p, _ in network.param() if p.dim() > 1}\n"
        "return sum(sizes.values())",
        likely="no biases",
    ),
    Mistake(
        "It adds up the parameters themselves, not how many they are, and some are not 1.",
        "return int(sum(2 * p.sum() for p, _ in network.param()))",
    ),
    Mistake(
        "Two tensors of one size count as one: a dict from id to numel tells them apart.",
        "return sum({parameter.numel() for parameter, _ in network.param()})",
        likely="equal sizes",
    ),
    Mistake(
        "It stops after the first parameter: add up all.",
        "return next((p.numel() for p, _ in network.param()), 0)",
    ),
)

# ------------------------------------------------------------------------------------------- score


class _Brighter:
    """A denoiser that is none: it adds to every value, and leaves the range."""

    def __init__(self, amount: float) -> None:
        self.amount = amount

    def __call__(self, images: Tensor) -> Tensor:
        return images + self.amount


def _psnr_case(name: str, count: int, amount: float, dtype: torch.dtype = torch.float64) -> Case:
    draws = torch.rand(2, count, 3, 4, 5, generator=_seeded(160), dtype=torch.float64)
    strengths = torch.linspace(10, 60, count, dtype=torch.float64)[:, None, None, None]
    clean = 255 * draws[0]
    noisy = (clean + strengths * (draws[1] - 0.4)).clamp(0, 255)
    arguments = {
        "denoise": _Brighter(amount),
        "noisy": noisy.to(dtype),
        "clean": clean.to(dtype),
    }
    return Case(name, arguments, {"the number of images": count})


@exercise(
    topic="capstone",
    title="The mean over images of each image's PSNR",
    hints=(
        "Is the mean of the PSNRs the PSNR of the mean error? It is the measure of “Training: the "
        "full run”, with a peak of 255.",
        "Limit what denoise returns to 0-255. The mean square of the error over channels, rows and "
        "columns is (N,); each error gives 10 log10(255^2 / error), and the mean of these is "
        "returned.",
        "`errors = (output - clean).square().mean((1, 2, 3))`, where `output = "
        "denoise(noisy).clamp(0, 255)`, then `(10 * torch.log10(255**2 / errors)).mean()`.",
    ),
    returns=("decibels",),
    cases=(
        _psnr_case("one image", 1, 3.0),
        _psnr_case("four images, different noise", 4, -8.0),
        _psnr_case("an output far out of range", 3, 90.0),
        _psnr_case("float32", 2, 5.0, torch.float32),
    ),
)
def score(denoise: Callable[[Tensor], Tensor], noisy: Tensor, clean: Tensor) -> Tensor:
    """Check ``score(denoise, noisy, clean) -> decibels``.

    Parameters
    ----------
    function : callable
        The student's, which takes a function of images, and noisy and clean images
        ``(N, 3, H, W)``, 0-255; and returns a tensor of shape ``()``.
    """
    output = denoise(noisy).clamp(0, 255)
    errors = (output - clean).square().mean((1, 2, 3))  # (N,)
    return (10 * torch.log10(255**2 / errors)).mean()


score.mistakes = (
    Mistake(
        "The output is not clipped to 0-255: it has to be shown on a screen.",
        but((".clamp(0, 255)", "")),
        likely="not clipped",
    ),
    Mistake(
        "It is the PSNR of the pooled error: take the PSNR of each image first, and then the mean.",
        but((".mean((1, 2, 3))", ".mean()")),
        likely="pooled",
    ),
    Mistake(
        "The peak is taken for 1: these images are 0-255.",
        but(("255**2 / errors", "1 / errors")),
        likely="peak 1",
    ),
    Mistake(
        "The output is limited to 0-1, and the peak is 1: these images are 0-255.",
        but((".clamp(0, 255)", ".clamp(0, 1)"), ("255**2 / errors", "1 / errors")),
    ),
    Mistake(
        "The mean runs over the images first, so every place has an error: it is the image that "
        "has one, a mean over channels, rows and columns.",
        but((".mean((1, 2, 3))", ".mean(0)")),
    ),
    Mistake(
        "The peak is the brightest value of each picture: it is 255 for all.",
        but(("255**2 / errors", "clean.amax((1, 2, 3)) ** 2 / errors")),
    ),
    Mistake(
        "The peak is not squared: the error is.",
        but(("255**2 / errors", "255 / errors")),
    ),
    Mistake(
        "It is the natural logarithm: decibels want log10.",
        but(("log10", "log")),
        likely="natural logarithm",
    ),
    Mistake(
        "It is twice as much: 20 log10 is for the root of the mean squared error, 10 log10 for the "
        "mean squared error.",
        but(("(10 *", "(20 *")),
    ),
    Mistake(
        "It is the PSNR of the noisy images: call denoise.",
        but(("denoise(noisy)", "noisy")),
        likely="denoise not called",
    ),
    Mistake(
        "The clean images went through denoise: give it the noisy ones.",
        but(("denoise(noisy)", "denoise(clean)")),
    ),
    Mistake(
        "The sign is wrong: the error belongs below.",
        but(("255**2 / errors", "errors / 255**2")),
    ),
    Mistake(
        "It is the sum over the images: take the mean.",
        but((" / errors)).mean()", " / errors)).sum()")),
    ),
    Mistake(
        "Each channel has a PSNR of its own: the error of an image is the mean over its channels "
        "too.",
        but((".mean((1, 2, 3))", ".mean((2, 3))")),
    ),
    Mistake(
        "The error is absolute, not squared.",
        but((".square()", ".abs()")),
    ),
    Mistake(
        "The error of each image is added up over its pixels: take the mean.",
        but((".mean((1, 2, 3))", ".sum((1, 2, 3))")),
    ),
)

# ------------------------------------------------------------------------------------ build_network


def derivative_is_right(network: Any, x: Tensor) -> bool:
    """Compare backward with central differences, for the input and for all parameters at once.

    Along the signs of the gradients the loss grows by the sum of their sizes, which is far above
    the rounding of float32.
    """
    weights = torch.randn(network.forward(x).shape, generator=_seeded(161))
    for _, grad in network.param():
        grad.zero_()
    grad_input = network.backward(weights.clone())
    return all(
        _grows_as_promised(network, x, weights, pairs)
        for pairs in ([(x, grad_input.clone())], network.param())
    )


def _grows_as_promised(
    network: Any, x: Tensor, weights: Tensor, pairs: list[tuple[Tensor, Tensor]]
) -> bool:
    promised = sum(float(grad.abs().sum()) for _, grad in pairs)
    steps = [1e-4 * grad.sign() for _, grad in pairs]
    sums = []
    for direction in (1, -1):
        for (value, _), step in zip(pairs, steps, strict=True):
            value += direction * step
        sums.append(float((network.forward(x).double() * weights).sum()))
        for (value, _), step in zip(pairs, steps, strict=True):
            value -= direction * step
    found = (sums[0] - sums[1]) / 2e-4
    return promised > 0 and abs(found - promised) < 0.05 * promised


def _adds_up(network: Any, x: Tensor) -> bool:
    """Whether a second backward adds to the gradients of the first."""
    for _, grad in network.param():
        grad.zero_()
    once = []
    for _ in range(2):
        output = network.forward(x)
        network.backward(torch.ones_like(output))
        once.append([grad.clone() for _, grad in network.param()])
    return all(torch.allclose(b, 2 * a, rtol=1e-3, atol=1e-4) for a, b in zip(*once, strict=True))


def _rules_of_build(
    answer: Callable[[int], Any], seed: int, images: int, height: int, width: int
) -> tuple[int, ...]:
    """Build networks, run them, and say of each rule whether it holds."""
    x = torch.rand(images, 3, height, width, generator=_seeded(162))
    network, again, other = answer(seed), answer(seed), answer(seed + 1)
    start = [parameter.clone() for parameter in _parameters(network)]
    same = _equal(start, _parameters(again))
    differs = not _equal(start, _parameters(other))
    count = sum({id(p): p.numel() for p in _parameters(network)}.values())
    output = network.forward(x.clone())
    right = derivative_is_right(network, x.clone())
    adds = _adds_up(network, x.clone())
    return (
        *map(int, output.shape),
        int(bool(output.isfinite().all()) and -1 <= output.min() <= output.max() <= 2),
        int(0 < count <= MOST_PARAMETERS),
        int(same),
        int(differs),
        int(right),
        int(adds),
    )


def _build_case(name: str, seed: int, images: int, height: int, width: int) -> Case:
    return Case(name, {"seed": seed, "images": images, "height": height, "width": width})


@exercise(
    topic="capstone",
    title="A network of your own",
    hints=(
        "How many parameters has the network of the milestone, and what could the rest of the 5000 "
        "be spent on? Width, depth and a coarser level compete for them: count before you train.",
        "A 3 x 3 convolution has (9 C + 1) O parameters. All layers draw from one generator with "
        "this seed, in a fixed order; between two convolutions stands an activation, and around "
        "the whole the input is added.",
        "`source = torch.Generator().manual_seed(seed)`, then for example `Conv2d(3, width, 3, "
        "padding=1, generator=source)`, ..., `last.weight *= 0.1`, and `Residual(Sequential(first, "
        "ReLU(), ..., last))`.",
    ),
    returns=(
        "images",
        "channels",
        "height",
        "width",
        "output in -1 to 2",
        "1 to 5000 parameters",
        "same seed, same weights",
        "other seed, other weights",
        "gradients right",
        "gradients add up",
    ),
    cases=(
        _build_case("a batch of thumbnails", 0, 2, 16, 16),
        _build_case("one picture, not square", 5, 1, 8, 12),
    ),
    use=_rules_of_build,
    errors=(
        (
            "attribute 'param'",
            "What is returned needs the three methods of “Gradients”: forward, backward and param, "
            "which lists pairs (parameter, gradient). A network of torch.nn has no param.",
        ),
        (
            "must match the size",
            "A sum needs an output as large as the picture: pad every convolution by half of its "
            "window.",
        ),
        (
            "must be torch.Generator, not int",
            "A seed is no generator yet: torch.Generator().manual_seed(seed) makes one of it.",
        ),
    ),
)
def build_network(seed: int) -> Module:
    """Check ``build_network(seed) -> network``.

    Parameters
    ----------
    function : callable
        The student's, which takes an integer and returns a module with ``forward``, ``backward``
        and ``param``, for images ``(N, 3, H, W)`` in 0-1.
    """
    source, width = torch.Generator().manual_seed(seed), 15
    first = Conv2d(3, width, 3, padding=1, generator=source)
    second = Conv2d(width, width, 3, padding=1, generator=source)
    third = Conv2d(width, width, 3, padding=1, generator=source)
    last = Conv2d(width, 3, 3, padding=1, generator=source)
    last.weight *= 0.1  # begin near y = x
    last.bias.zero_()
    return Residual(Sequential(first, ReLU(), second, ReLU(), third, ReLU(), last))


build_network.mistakes = (
    Mistake(
        "It has more than 5000 parameters: count those of each layer, weights and biases.",
        but(("seed), 15", "seed), 24")),
        likely="too large",
    ),
    Mistake(
        "The seed is ignored, so that no two runs agree: give every layer the same generator.",
        but((", generator=source", "")),
        likely="seed ignored",
    ),
    Mistake(
        "Every seed gives the same network, so that three seeds would be one: make the generator "
        "from the argument.",
        but(("manual_seed(seed)", "manual_seed(0)")),
        likely="one seed for all",
    ),
    Mistake(
        "The output does not have the three channels of a picture.",
        but(("Conv2d(width, 3, 3", "Conv2d(width, 1, 3"), ("return Residual(", "return (")),
    ),
    Mistake(
        "The output is smaller than the picture: pad every convolution by half of its window.",
        but((", padding=1", ""), ("return Residual(", "return (")),
        but((", padding=1", ""), ("return Residual(", "return ("), (" third, ReLU(),", "")),
        likely="no padding",
    ),
    Mistake(
        "The output is nothing like a picture in 0-1: begin near y = x, with small last weights.",
        but(("*= 0.1", "*= 100")),
        likely="a wild start",
    ),
    Mistake(
        "It has no parameters: param must list those of every layer.",
        "class Nothing(Module):\n"
        "    def forward(self, x):\n"
        "        return 1 * x\n"
        "    def backward(self, grad_output):\n"
        "        return 1 * grad_output\n"
        "    def param(self):\n"
        "        return []\n"
        "return Nothing()",
    ),
    Mistake(
        "The gradients are wrong: check backward against finite differences, module by module.",
        "class Sum(Residual):\n"
        "    def backward(self, grad_output):\n"
        "        return self.f.backward(grad_output)\n"
        "source = torch.Generator().manual_seed(seed)\n"
        "first = Conv2d(3, 8, 3, padding=1, generator=source)\n"
        "return Sum(Sequential(first, ReLU(), Conv2d(8, 3, 3, padding=1, generator=source)))",
        likely="a wrong backward",
    ),
    Mistake(
        "A second backward overwrites the gradients of the first: they have to add up, +=.",
        "class Fresh(Residual):\n"
        "    def backward(self, grad_output):\n"
        "        for _, grad in self.param():\n"
        "            grad.zero_()\n"
        "        return super().backward(grad_output)\n"
        "source = torch.Generator().manual_seed(seed)\n"
        "first = Conv2d(3, 8, 3, padding=1, generator=source)\n"
        "return Fresh(Sequential(first, ReLU(), Conv2d(8, 3, 3, padding=1, generator=source)))",
    ),
)

# ------------------------------------------------------------------------------------ train_network


class _Tiny(Residual):
    """A small network that notes whether its gradients were cleared between two steps.

    Not before each backward: a step may add up the gradients of several small batches.
    """

    def __init__(self) -> None:
        source = _seeded(163)
        first = Conv2d(3, 6, 3, padding=1, generator=source)
        last = Conv2d(6, 3, 3, padding=1, generator=source)
        last.weight *= 0.1
        super().__init__(Sequential(first, ReLU(), last))
        self.runs, self.cleared = 0, False

    def backward(self, grad_output: Tensor) -> Tensor:
        self.cleared |= self.runs > 0 and not any(bool(grad.any()) for _, grad in self.param())
        self.runs += 1
        return super().backward(grad_output)


def _loss_of(network: Any, x: Tensor, t: Tensor) -> float:
    return float((network.forward(x) - t).square().mean())


def _rules_of_train(answer: Callable[..., Any], steps: int, seed: int) -> tuple[int, ...]:
    """Train small networks on even pictures with strong noise, and say which rules hold."""
    draw = _seeded(164)
    even = 0.2 + 0.6 * torch.rand(24, 3, 1, 1, generator=draw)
    noisy1, noisy2 = (even + 0.25 * torch.randn(24, 3, 8, 8, generator=draw) for _ in range(2))
    before = [noisy1.clone(), noisy2.clone()]
    networks = [_Tiny() for _ in range(5)]
    start = _loss_of(networks[0], noisy1, noisy2)
    losses = answer(networks[0], noisy1, noisy2, steps, seed)
    for network, other_seed in zip(networks[1:4], (seed, seed, seed + 1), strict=True):
        answer(network, noisy1, noisy2, FEW_STEPS, other_seed)
    answer(networks[4], noisy1, noisy2.flip(0), FEW_STEPS, seed)
    untouched = _equal([noisy1, noisy2], before)
    end = _loss_of(networks[0], *before)
    numbers = isinstance(losses, list) and all(isinstance(loss, float) for loss in losses)
    finite = numbers and all(map(math.isfinite, losses))
    weights = [_parameters(network) for network in networks]
    return (
        len(losses) if isinstance(losses, (list, tuple)) else -1,
        int(finite),
        int(finite and len(losses) > 0 and 0.5 * start < losses[0] < 2 * start),
        int(not _equal(weights[0], _parameters(_Tiny()))),
        int(networks[0].cleared or networks[0].runs < 2),
        int(not _equal(weights[1], weights[4])),
        -1 if not end <= 1.1 * start else int(end < 0.94 * start),
        int(_equal(weights[1], weights[2])),
        int(not _equal(weights[1], weights[3])),
        int(untouched),
    )


@exercise(
    topic="capstone",
    title="Its training, on noisy pairs alone",
    hints=(
        "What must be drawn from the seed, and how should the last steps differ from the first? "
        "The loop is that of the milestone, and “Optimisers” has something better than plain "
        "descent.",
        "One generator with this seed draws the rows of each step. A step: loss as a float, "
        "learning rate for this step, gradients to zero, backward, step. Let the rate fall to 0, "
        "for instance along half a cosine.",
        "`rows = torch.randint(len(noisy1), (8,), generator=source)`, "
        "`losses.append(float(criterion(network(x), t)))`, `optimiser.zero_grad()`, "
        "`criterion.backward()`, `optimiser.step()`, where `x, t = noisy1[rows], noisy2[rows]`.",
    ),
    returns=(
        "number of losses",
        "losses are finite floats",
        "first loss: mean squared error",
        "parameters move",
        "gradients are cleared",
        "the second copy matters",
        "loss falls",
        "same seed, same result",
        "other seed, other result",
        "pictures untouched",
    ),
    cases=(
        Case("40 steps", {"steps": 40, "seed": 0}),
        Case("50 steps, another seed", {"steps": 50, "seed": 4}),
    ),
    use=_rules_of_train,
    searched=False,  # each edit would train networks
)
def train_network(
    network: Module, noisy1: Tensor, noisy2: Tensor, steps: int, seed: int
) -> list[float]:
    """Check ``train_network(network, noisy1, noisy2, steps, seed) -> losses``.

    Parameters
    ----------
    function : callable
        The student's, which takes a network, two noisy copies of the same images ``(M, 3, H, W)``
        in 0-1, and two integers; trains the network in place and returns the loss of each step, a
        list of floats.
    """
    criterion, optimiser = MSELoss(network), Adam(network, 2e-3)
    source, losses = torch.Generator().manual_seed(seed), []
    for step in range(steps):
        rows = torch.randint(len(noisy1), (8,), generator=source)
        x, t = noisy1[rows], noisy2[rows]
        if torch.rand((), generator=source) < 0.5:
            x, t = t, x  # both directions
        losses.append(float(criterion(network(x), t)))
        optimiser.lr = 2e-3 * (1 + math.cos(math.pi * step / steps)) / 2
        optimiser.zero_grad()
        criterion.backward()
        optimiser.step()
    return losses


train_network.mistakes = (
    Mistake(
        "No step is taken: the parameters are as they were.",
        but(("    optimiser.step()\n", "")),
        likely="no step",
    ),
    Mistake(
        "Gradients pile up from step to step: nothing clears those of the step before.",
        but(("    optimiser.zero_grad()\n", "")),
        likely="no zero_grad",
    ),
    Mistake(
        "The loss rises: the step goes along the gradient, it has to go against it.",
        but(("optimiser.lr = 2e-3", "optimiser.lr = -2e-3")),
        likely="uphill",
    ),
    Mistake(
        "The loss hardly falls in so few steps: is the learning rate too small, or does it fall to "
        "0 too early? A rate of 2e-3 suits Adam here, and one of about 1 plain descent. If yours "
        "is of this size, is the gradient that of this step?",
        but(("2e-3", "1e-6")),
        but(("(1 + math.cos(math.pi * step / steps)) / 2", "0.1**step")),
        likely="too small a rate",
    ),
    Mistake(
        "The second copy makes no difference, and the loss against it does not fall: the target is "
        "the other noisy copy of the same picture, not the input itself.",
        but(("noisy1[rows], noisy2[rows]", "noisy1[rows], noisy1[rows]")),
        likely="its own target",
    ),
    Mistake(
        "It returns no list of losses: append the loss of each step, and return the list.",
        but(("return losses", "return losses[-1]")),
        but(("return losses", "return None")),
        likely="no list",
    ),
    Mistake(
        "There is one loss too few: each step has one, measured before it.",
        but(("return losses", "return losses[1:]")),
    ),
    Mistake(
        "There are twice as many losses as steps were asked for: the budget counts steps.",
        but(("for step in range(steps)", "for step in range(2 * steps)")),
    ),
    Mistake(
        "The losses are tensors: float(loss) keeps the number only.",
        but(
            (
                "losses.append(float(criterion(network(x), t)))",
                "losses.append(torch.tensor(float(criterion(network(x), t))))",
            )
        ),
        likely="tensors",
    ),
    Mistake(
        "The first loss is not a mean squared error on the scale 0-1: a sum, or another scale?",
        but(("float(criterion(network(x), t))", "x.numel() * float(criterion(network(x), t))")),
        likely="a sum",
    ),
    Mistake(
        "The pictures are in 0-1 already: divided by 255 once more they are nearly black, and so "
        "the loss is far too small.",
        but(("noisy1[rows], noisy2[rows]", "noisy1[rows] / 255, noisy2[rows] / 255")),
    ),
    Mistake(
        "The seed is ignored, so that no two runs agree: draw the batches from a generator of "
        "your own.",
        but(("torch.Generator().manual_seed(seed)", "None")),
        likely="seed ignored",
    ),
    Mistake(
        "Every seed gives the same run, so that three seeds would be one: make the generator from "
        "the argument.",
        but(("manual_seed(seed)", "manual_seed(0)")),
        likely="one seed for all",
    ),
    Mistake(
        "It writes into the pictures: whoever gave them to you still needs them.",
        but(("criterion, optimiser =", "noisy1.clamp_(0, 1)\ncriterion, optimiser =")),
    ),
)

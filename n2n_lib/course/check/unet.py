"""Exercises on skip connections and the U-Net."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise
from n2n_lib.framework.module import Module

# --------------------------------------------------------------------------------- concat_backward


class _Mix(Module):
    """Mix the channels of every pixel by a matrix ``(C', C)``."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def forward(self, input: Tensor) -> Tensor:
        return torch.einsum("oc,nchw->nohw", self.matrix.to(input.dtype), input)

    def backward(self, grad_output: Tensor) -> Tensor:
        return torch.einsum("oc,nohw->nchw", self.matrix.to(grad_output.dtype), grad_output)


def _concat_case(
    name: str, past: int, branch: int, *rest: int, dtype: torch.dtype = torch.float64
) -> Case:
    """A branch from `past` channels to `branch` ones; `rest` is N, H and W."""
    shape = (rest[0], past + branch, *rest[1:])
    arguments = {
        "f": _Mix(values((branch, past), 60, dtype)),
        "channels": past,
        "grad_output": values(shape, 61, dtype),
    }
    return Case(name, arguments)


@exercise(
    topic="unet",
    title="A skip connection, run backwards",
    hint=(
        "The first `channels` channels of grad_output belong to the input itself, the others to "
        "the output of f. Send the others through f.backward, and add both."
    ),
    returns=("grad_input",),
    axes=("image", "channel", "row", "column"),
    cases=(
        _concat_case("one pixel", 2, 2, 1, 1, 1),
        _concat_case("two images", 3, 3, 2, 2, 3),
        _concat_case("more channels in the branch", 2, 5, 2, 3, 2),
        _concat_case("fewer channels in the branch", 4, 1, 1, 2, 2),
        _concat_case("float32", 4, 4, 3, 2, 2, dtype=torch.float32),
    ),
    errors=(
        (
            "einsum",
            "f got a gradient that is not of its output: give it the channels from `channels` on, "
            "grad_output[:, channels:], and no others. (The cut is not in the middle: f may make "
            "more or fewer channels than it gets.)",
        ),
        (
            "must match the size",
            "The two ways have different shapes: is the cut along dimension 1, after `channels` "
            "channels, and does the second part go through f.backward?",
        ),
        (
            "split_with_sizes",
            "The sizes of a split must add up to all channels: [channels, the rest], along "
            "dimension 1.",
        ),
        (
            "split expects",
            "The sizes of a split must add up to all channels: [channels, the rest], along "
            "dimension 1.",
        ),
        (
            "unpack",
            "`split(channels, 1)` cuts pieces of equal size. Give it both sizes, "
            "[channels, grad_output.shape[1] - channels].",
        ),
        (
            "missing 1 required positional argument",
            "Give f.backward the gradient of its output.",
        ),
        (
            "object is not subscriptable",
            "f is a module and channels a number: grad_output is what you cut.",
        ),
    ),
)
def concat_backward(f: Module, channels: int, grad_output: Tensor) -> Tensor:
    """Check ``concat_backward(f, channels, grad_output) -> grad_input``.

    Parameters
    ----------
    function : callable
        The student's, which takes a module ``f`` that has run forwards, the number of channels of
        its input, and the gradient ``(N, channels + C', H, W)`` of ``torch.cat([x, f(x)], dim=1)``,
        and returns the gradient of ``x``.
    """
    past, branch = grad_output[:, :channels], grad_output[:, channels:]
    return past + f.backward(branch)


concat_backward.mistakes = (
    Mistake(
        "The numbers are right, but your function wrote into grad_output: its first channels are "
        "a view, so `+=` changes them. A sum written with `+` is a new tensor.",
        but(("return past + f.backward(branch)", "past += f.backward(branch)\nreturn past")),
    ),
    Mistake(
        "The two parts are exchanged: forward puts the input first, so the first `channels` "
        "channels of grad_output belong to the input, the others to f.",
        but(
            ("past, branch", "cut = grad_output.shape[1] - channels\nbranch, past"),
            (":channels", ":cut"),
            ("channels:", "cut:"),
        ),
    ),
    Mistake(
        "This is the way past f alone: the input also went through f, and that way has a "
        "gradient too. Add f.backward of the other channels.",
        "return grad_output[:, :channels]",
        likely="past only",
    ),
    Mistake(
        "This is the way through f alone: the input also went past it, straight into the output. "
        "Add the first channels of grad_output.",
        "return f.backward(grad_output[:, channels:])",
        likely="through f only",
    ),
    Mistake(
        "The two ways are averaged: a value that is used twice gets the sum of both gradients.",
        but(("past + f.backward(branch)", "(past + f.backward(branch)) / 2")),
        likely="averaged",
    ),
    Mistake(
        "The two ways are subtracted: a value that is used twice gets the sum of both gradients.",
        but(("past +", "past -")),
        likely="subtracted",
    ),
    Mistake(
        "The two ways are subtracted, the wrong way round too: a value that is used twice gets "
        "the sum of both gradients.",
        but(("past + f.backward(branch)", "f.backward(branch) - past")),
    ),
    Mistake(
        "The two ways are multiplied: a value that is used twice gets the sum of both gradients.",
        but(("past +", "past *")),
        likely="multiplied",
    ),
    Mistake(
        "The two ways are put beside each other. Forward concatenates; backward adds, since both "
        "are gradients of the same input.",
        but(("past + f.backward(branch)", "torch.cat([past, f.backward(branch)], 1)")),
    ),
    Mistake(
        "The first channels went through f. f made the other ones: it gets their gradient.",
        but(("backward(branch)", "backward(past)")),
    ),
    Mistake(
        "The gradient of f's part is added without going through f: call f.backward on it.",
        but(("f.backward(branch)", "branch")),
    ),
    Mistake(
        "Both parts are those of f: the way past f has the first channels of grad_output as they "
        "are.",
        but(("return past", "return branch")),
    ),
    Mistake(
        "It calls forward where backward belongs.",
        but(("f.backward", "f.forward")),
    ),
    Mistake(
        "The way past f is counted twice.",
        but(("past +", "2 * past +")),
    ),
    Mistake(
        "The way through f is counted twice.",
        but(("f.backward", "2 * f.backward")),
    ),
    Mistake(
        "Every other channel goes to f. torch.cat puts all channels of the input first, and then "
        "all of f: cut once, after `channels` channels.",
        but((":channels]", "::2]"), ("channels:]", "1::2]")),
    ),
    Mistake(
        "It is summed over the batch: every image keeps its own gradient.",
        but(("past + f.backward(branch)", "(past + f.backward(branch)).sum(0, keepdim=True)")),
    ),
    Mistake(
        "This is grad_output as it came: split it first.",
        "return grad_output",
    ),
)


# --------------------------------------------------------------------------------- receptive_field


def _field_case(name: str, *layers: tuple[int, int]) -> Case:
    return Case(name, {"layers": list(layers)})


@exercise(
    topic="unet",
    title="How far a chain of convolutions sees",
    hint=(
        "Keep two numbers: the size of the window, at first 1, and the distance in the picture "
        "between two neighbouring places, at first 1. A layer adds (k - 1) * distance to the size; "
        "after it the distance is multiplied with its stride."
    ),
    returns=("size",),
    cases=(
        _field_case("one convolution", (3, 1)),
        _field_case("two convolutions", (3, 1), (5, 1)),
        _field_case("the report's encoder", (2, 2), (2, 2)),
        _field_case("stride at the end", (3, 1), (3, 3)),
        _field_case("stride in the middle", (3, 1), (4, 2), (3, 1)),
        _field_case("down the U-Net", (3, 1), (3, 1), (2, 2), (3, 1), (2, 2), (3, 1)),
        _field_case("no layer"),
    ),
    errors=(
        ("unpack", "Each layer is a pair: `for kernel, stride in layers`."),
        (
            "IndexError",
            "There may be no layer at all: `for kernel, stride in layers` needs no index. Then "
            "the answer is 1.",
        ),
        (
            "UnboundLocalError",
            "With no layer the loop does not run: set the size to 1 and the distance to 1 before "
            "it.",
        ),
    ),
)
def receptive_field(layers: list[tuple[int, int]]) -> int:
    """Check ``receptive_field(layers) -> int``.

    Parameters
    ----------
    function : callable
        The student's, which takes a list of pairs ``(kernel_size, stride)`` in the order of
        forward and returns how many pixels along one side of the picture one output value depends
        on. 1 if there is no layer.
    """
    size, distance = 1, 1
    for kernel_size, stride in layers:
        size += (kernel_size - 1) * distance
        distance *= stride
    return size


receptive_field.mistakes = (
    Mistake(
        "The strides are ignored: after a layer of stride s two neighbouring places are s times "
        "as far apart in the picture, so later windows reach further.",
        but(("    distance *= stride\n", "")),
        likely="strides ignored",
    ),
    Mistake(
        "The stride of a layer counts too early: its own window still lies on the places before "
        "it. First add (k - 1) * distance, then multiply the distance with s.",
        but(
            (
                "    size += (kernel_size - 1) * distance\n    distance *= stride",
                "    distance *= stride\n    size += (kernel_size - 1) * distance",
            )
        ),
        likely="stride too early",
    ),
    Mistake(
        "Only the stride of the layer before counts: the distance is the product of all strides "
        "so far.",
        but(("distance *= stride", "distance = stride")),
        likely="last stride only",
    ),
    Mistake(
        "The strides are added up: the distance is their product.",
        but(("distance *= stride", "distance += stride")),
        likely="strides added",
    ),
    Mistake(
        "The distance grows by s - 1 at each layer: it is multiplied with s.",
        but(("*= stride", "+= stride - 1")),
    ),
    Mistake(
        "It starts with 0: a network without layers sees one pixel, so the size starts with 1.",
        but(("size, distance = 1, 1", "size, distance = 0, 1")),
        likely="starts with 0",
    ),
    Mistake(
        "A window of k adds k - 1 steps to the size, not k: the first of its places was there "
        "already.",
        but(("(kernel_size - 1)", "kernel_size")),
    ),
    Mistake(
        "The sizes of the windows are added up. A window of k adds k - 1 steps, each as long as "
        "the distance between two places, to a size that starts with 1.",
        "return sum(kernel for kernel, _ in layers)",
    ),
    Mistake(
        "The windows are multiplied: k places of k places overlap, so each layer adds (k - 1) * "
        "distance.",
        "return math.prod(kernel for kernel, _ in layers)",
    ),
    Mistake(
        "This is the product of the strides, the distance between two places at the end. The "
        "question is how many pixels one place sees.",
        "return math.prod(stride for _, stride in layers)",
    ),
    Mistake(
        "It is the reach to one side, without the pixel in the middle.",
        but(("return size", "return (size - 1) // 2")),
    ),
    Mistake(
        "The layers are taken in the wrong order: the distance grows from the picture towards "
        "the last layer. (Or start at the last layer, and use size = (size - 1) * s + k.)",
        but(("in layers", "in reversed(layers)")),
    ),
    Mistake(
        "n neighbouring places lie n - 1 strides apart, not n: look at what is multiplied by the "
        "stride.",
        """
        size = 1
        for kernel_size, stride in reversed(layers):
            size = size * stride + kernel_size
        return size
        """,
    ),
    Mistake(
        "Half of a window is added, k // 2: it reaches to both sides, (k - 1) * distance.",
        but(("(kernel_size - 1)", "(kernel_size // 2)")),
    ),
    Mistake(
        "The last layer is left out.",
        but(("in layers", "in layers[:-1]")),
    ),
    Mistake(
        "The first layer is left out.",
        but(("in layers", "in layers[1:]")),
    ),
    Mistake(
        "This is the last layer alone: is the start inside the loop?",
        but(("in layers", "in layers[-1:]")),
    ),
    Mistake(
        "This is the first layer alone: is `return` inside the loop?",
        but(("in layers", "in layers[:1]")),
    ),
    Mistake(
        "kernel and stride are swapped: each pair is (kernel_size, stride).",
        but(("kernel_size, stride in", "stride, kernel_size in")),
    ),
    Mistake(
        "It is squared: the number of pixels along one side is asked for.",
        but(("return size", "return size**2")),
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
    topic="unet",
    title="The mean over eight views of a picture",
    hint=(
        "For each of 4 quarter turns, mirrored or not: turn the picture, mirror it, denoise it, "
        "mirror it back, turn it back. Undo the last step first. The answer is the mean of the 8 "
        "results."
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
            "A picture that is not square changes its shape when it is turned by 90 degrees. Turn "
            "the result back before you add it.",
        ),
        (
            "equal size",
            "A picture that is not square changes its shape when it is turned by 90 degrees. Turn "
            "the result back before you stack it.",
        ),
        (
            "object is not subscriptable",
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
        "The picture upright and mirrored, and nothing else: the quarter turns are missing.",
        but(("range(4)", "(0,)"), ("/ 8", "/ 2")),
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
    topic="unet",
    title="Two copies of independent noise out of one",
    hint=(
        "The first copy is the picture plus alpha times the noise, the second one is the picture "
        "minus the noise divided by alpha. Both are new tensors."
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

"""Exercises of lesson 12, skip connections and the U-Net."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from n2n_lib.course.check.engine import Case, Exercise, run, values
from n2n_lib.framework.module import Module

# ------------------------------------------------------------------------------ concat_backward


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


def _concat_backward(f: Module, channels: int, grad_output: Tensor) -> Tensor:
    """Write the whole layer as one matrix, identity above that of the branch, and transpose it."""
    identity = torch.eye(channels, dtype=torch.float64)
    whole = torch.cat([identity, f.matrix.double()])  # (C + C', C)
    return torch.einsum("oc,nohw->nchw", whole, grad_output)


def _halves(channels: int, grad: Tensor) -> tuple[Tensor, Tensor]:
    return grad[:, :channels], grad[:, channels:]


def _joined(rule: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Module, int, Tensor], Tensor]:
    """Make a wrong answer out of the gradient past the branch and the one through it."""

    def answer(f: Module, channels: int, grad: Tensor) -> Tensor:
        past, branch = _halves(channels, grad)
        return rule(past, f.backward(branch))

    return answer


def _exchanged(f: Module, channels: int, grad: Tensor) -> Tensor:
    cut = grad.shape[1] - channels
    branch, past = grad[:, :cut], grad[:, cut:]
    return past + f.backward(branch)


def _into_the_gradient(f: Module, channels: int, grad: Tensor) -> Tensor:
    past, branch = _halves(channels, grad)
    past += f.backward(branch)
    return past


def _interleaved(f: Module, channels: int, grad: Tensor) -> Tensor:
    past, branch = grad[:, ::2], grad[:, 1::2]
    return past + f.backward(branch)


CONCAT_BACKWARD = Exercise(
    name="concat_backward",
    lesson=12,
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
    reference=_concat_backward,
    library=lambda f, channels, grad: grad[:, :channels] + f.backward(grad[:, channels:]),
    mistakes=(
        (
            "The numbers are right, but your function wrote into grad_output: its first channels "
            "are a view, so `+=` changes them. A sum written with `+` is a new tensor.",
            _into_the_gradient,
        ),
        (
            "The two parts are exchanged: forward puts the input first, so the first `channels` "
            "channels of grad_output belong to the input, the others to f.",
            _exchanged,
        ),
        (
            "This is the way past f alone: the input also went through f, and that way has a "
            "gradient too. Add f.backward of the other channels.",
            lambda f, c, g: g[:, :c],
        ),
        (
            "This is the way through f alone: the input also went past it, straight into the "
            "output. Add the first channels of grad_output.",
            lambda f, c, g: f.backward(g[:, c:]),
        ),
        (
            "The two ways are averaged: a value that is used twice gets the sum of both gradients.",
            _joined(lambda past, through: (past + through) / 2),
        ),
        (
            "The two ways are subtracted: a value that is used twice gets the sum of both "
            "gradients.",
            _joined(lambda past, through: past - through),
        ),
        (
            "The two ways are subtracted, the wrong way round too: a value that is used twice gets "
            "the sum of both gradients.",
            _joined(lambda past, through: through - past),
        ),
        (
            "The two ways are multiplied: a value that is used twice gets the sum of both "
            "gradients.",
            _joined(lambda past, through: past * through),
        ),
        (
            "The two ways are put beside each other. Forward concatenates; backward adds, since "
            "both are gradients of the same input.",
            _joined(lambda past, through: torch.cat([past, through], 1)),
        ),
        (
            "The first channels went through f. f made the other ones: it gets their gradient.",
            lambda f, c, g: g[:, :c] + f.backward(g[:, :c]),
        ),
        (
            "The gradient of f's part is added without going through f: call f.backward on it.",
            lambda f, c, g: g[:, :c] + g[:, c:],
        ),
        (
            "Both parts are those of f: the way past f has the first channels of grad_output as "
            "they are.",
            lambda f, c, g: g[:, c:] + f.backward(g[:, c:]),
        ),
        (
            "It calls forward where backward belongs.",
            lambda f, c, g: g[:, :c] + f.forward(g[:, c:]),
        ),
        (
            "The way past f is counted twice.",
            _joined(lambda past, through: 2 * past + through),
        ),
        (
            "The way through f is counted twice.",
            _joined(lambda past, through: past + 2 * through),
        ),
        (
            "Every other channel goes to f. torch.cat puts all channels of the input first, and "
            "then all of f: cut once, after `channels` channels.",
            _interleaved,
        ),
        (
            "It is summed over the batch: every image keeps its own gradient.",
            _joined(lambda past, through: (past + through).sum(0, keepdim=True)),
        ),
        (
            "This is grad_output as it came: split it first.",
            lambda f, c, g: g,
        ),
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


def concat_backward(function: Callable) -> None:
    """Check ``concat_backward(f, channels, grad_output) -> grad_input``.

    Parameters
    ----------
    function : callable
        The student's, which takes a module ``f`` that has run forwards, the number of channels of
        its input, and the gradient ``(N, channels + C', H, W)`` of ``torch.cat([x, f(x)], dim=1)``,
        and returns the gradient of ``x``.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(CONCAT_BACKWARD, function)


# ------------------------------------------------------------------------------ receptive_field

Layers = list[tuple[int, int]]


def _field_case(name: str, *layers: tuple[int, int]) -> Case:
    return Case(name, {"layers": list(layers)})


def _receptive_field(layers: Layers) -> int:
    """Go backwards from one output place: n neighbours need (n - 1) s + k places before them."""
    places = 1
    for kernel, stride in reversed(layers):
        places = (places - 1) * stride + kernel
    return places


def _grow(
    layers: Layers,
    start: int = 1,
    step: Callable[[int, int, int], int] = lambda k, s, jump: (k - 1) * jump,
    jump: Callable[[int, int], int] = lambda jump, s: jump * s,
    early: bool = False,
) -> int:
    """Go forwards with one part of it wrong."""
    size, distance = start, 1
    for k, s in layers:
        if early:
            distance = jump(distance, s)
        size += step(k, s, distance)
        if not early:
            distance = jump(distance, s)
    return size


def _go_back(layers: Iterable[tuple[int, int]], start: int = 1, missing: int = 1) -> int:
    places = start
    for kernel, stride in layers:
        places = (places - missing) * stride + kernel
    return places


RECEPTIVE_FIELD = Exercise(
    name="receptive_field",
    lesson=12,
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
    reference=_receptive_field,
    mistakes=(
        (
            "The strides are ignored: after a layer of stride s two neighbouring places are s "
            "times as far apart in the picture, so later windows reach further.",
            lambda layers: _grow(layers, jump=lambda jump, s: jump),
        ),
        (
            "The stride of a layer counts too early: its own window still lies on the places "
            "before it. First add (k - 1) * distance, then multiply the distance with s.",
            lambda layers: _grow(layers, early=True),
        ),
        (
            "Only the stride of the layer before counts: the distance is the product of all "
            "strides so far.",
            lambda layers: _grow(layers, jump=lambda jump, s: s),
        ),
        (
            "The strides are added up: the distance is their product.",
            lambda layers: _grow(layers, jump=lambda jump, s: jump + s),
        ),
        (
            "The distance grows by s - 1 at each layer: it is multiplied with s.",
            lambda layers: _grow(layers, jump=lambda jump, s: jump + s - 1),
        ),
        (
            "It starts with 0: a network without layers sees one pixel, so the size starts with 1.",
            lambda layers: _grow(layers, start=0),
        ),
        (
            "A window of k adds k - 1 steps to the size, not k: the first of its places was "
            "there already.",
            lambda layers: _grow(layers, step=lambda k, s, jump: k * jump),
        ),
        (
            "The sizes of the windows are added up. A window of k adds k - 1 steps, each as long "
            "as the distance between two places, to a size that starts with 1.",
            lambda layers: sum(k for k, _ in layers),
        ),
        (
            "The windows are multiplied: k places of k places overlap, so each layer adds "
            "(k - 1) * distance.",
            lambda layers: math.prod(k for k, _ in layers),
        ),
        (
            "This is the product of the strides, the distance between two places at the end. The "
            "question is how many pixels one place sees.",
            lambda layers: math.prod(s for _, s in layers),
        ),
        (
            "It is the reach to one side, without the pixel in the middle.",
            lambda layers: (_grow(layers) - 1) // 2,
        ),
        (
            "The layers are taken in the wrong order: the distance grows from the picture towards "
            "the last layer. (Or start at the last layer, and use size = (size - 1) * s + k.)",
            lambda layers: _grow(list(reversed(layers))),
        ),
        (
            "n neighbouring places lie n - 1 strides apart, not n: look at what is multiplied by "
            "the stride.",
            lambda layers: _go_back(reversed(layers), missing=0),
        ),
        (
            "Half of a window is added, k // 2: it reaches to both sides, (k - 1) * distance.",
            lambda layers: _grow(layers, step=lambda k, s, jump: k // 2 * jump),
        ),
        (
            "The last layer is left out.",
            lambda layers: _grow(layers[:-1]),
        ),
        (
            "The first layer is left out.",
            lambda layers: _grow(layers[1:]),
        ),
        (
            "This is the last layer alone: is the start inside the loop?",
            lambda layers: _grow(layers[-1:]),
        ),
        (
            "This is the first layer alone: is `return` inside the loop?",
            lambda layers: _grow(layers[:1]),
        ),
        (
            "kernel and stride are swapped: each pair is (kernel_size, stride).",
            lambda layers: _grow([(s, k) for k, s in layers]),
        ),
        (
            "It is squared: the number of pixels along one side is asked for.",
            lambda layers: _grow(layers) ** 2,
        ),
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


def receptive_field(function: Callable) -> None:
    """Check ``receptive_field(layers) -> int``.

    Parameters
    ----------
    function : callable
        The student's, which takes a list of pairs ``(kernel_size, stride)`` in the order of
        forward and returns how many pixels along one side of the picture one output value depends
        on. 1 if there is no layer.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(RECEPTIVE_FIELD, function)


# ------------------------------------------------------------------------------ self_ensemble


class _Lopsided(Module):
    """Stand in for a denoiser: what it makes of a turned picture is not the turned result."""

    def forward(self, input: Tensor) -> Tensor:
        below, beside = input.roll(1, -2), input.roll((1, 1), (-2, -1))
        return 0.5 * input + 0.3 * below * beside + 0.2 * below.abs()


def _ensemble_case(name: str, *shape: int, dtype: torch.dtype = torch.float64) -> Case:
    return Case(name, {"denoise": _Lopsided(), "noisy": values(shape, 62, dtype)})


def _self_ensemble(denoise: Callable[[Tensor], Tensor], noisy: Tensor) -> Tensor:
    """Turn by transposing and mirroring, each of which undoes itself."""
    total = torch.zeros_like(noisy)
    for transposed in (False, True):
        for dims in ((), (-2,), (-1,), (-2, -1)):
            image = noisy.transpose(-1, -2) if transposed else noisy
            result = denoise(image.flip(dims)).flip(dims)
            total += result.transpose(-1, -2) if transposed else result
    return total / 8


def _mean(
    noisy: Tensor,
    there: Callable[[Tensor, int, bool], Tensor],
    back: Callable[[Tensor, int, bool], Tensor],
    denoise: Callable[[Tensor], Tensor],
    mirrors: Iterable[bool] = (False, True),
    turns: Iterable[int] = range(4),
) -> Tensor:
    ways = [(quarters, mirrored) for mirrored in mirrors for quarters in turns]
    return sum(back(denoise(there(noisy, *way)), *way) for way in ways) / len(ways)


def _turn(image: Tensor, quarters: int, mirrored: bool) -> Tensor:
    turned = torch.rot90(image, quarters, (-2, -1))
    return turned.flip(-1) if mirrored else turned


def _back(image: Tensor, quarters: int, mirrored: bool) -> Tensor:
    return torch.rot90(image.flip(-1) if mirrored else image, -quarters, (-2, -1))


def _stay(image: Tensor, quarters: int, mirrored: bool) -> Tensor:
    return image


def _back_in_the_wrong_order(image: Tensor, quarters: int, mirrored: bool) -> Tensor:
    turned = torch.rot90(image, -quarters, (-2, -1))
    return turned.flip(-1) if mirrored else turned


def _turned_on(image: Tensor, quarters: int, mirrored: bool) -> Tensor:
    return torch.rot90(image.flip(-1) if mirrored else image, quarters, (-2, -1))


def _not_mirrored_back(image: Tensor, quarters: int, mirrored: bool) -> Tensor:
    return torch.rot90(image, -quarters, (-2, -1))


def _not_turned_back(image: Tensor, quarters: int, mirrored: bool) -> Tensor:
    return image.flip(-1) if mirrored else image


def _all_results(denoise: Callable[[Tensor], Tensor], noisy: Tensor) -> Tensor:
    ways = [(quarters, mirrored) for mirrored in (False, True) for quarters in range(4)]
    return torch.stack([_back(denoise(_turn(noisy, *way)), *way) for way in ways])


SELF_ENSEMBLE = Exercise(
    name="self_ensemble",
    lesson=12,
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
    reference=_self_ensemble,
    mistakes=(
        (
            "This is the picture denoised once, as it is. It should be the mean over eight views. "
            "(Or are the views turned back before they are denoised?)",
            lambda d, x: d(x),
        ),
        (
            "The sum of the eight results is not divided by 8.",
            lambda d, x: 8 * _self_ensemble(d, x),
        ),
        (
            "It is divided by 4, but there are 8 results.",
            lambda d, x: 2 * _self_ensemble(d, x),
        ),
        (
            "The mirrored views are missing: these are the 4 quarter turns only.",
            lambda d, x: _mean(x, _turn, _back, d, mirrors=(False,)),
        ),
        (
            "These are the 4 mirrored views only: take the 4 that are not mirrored, too.",
            lambda d, x: _mean(x, _turn, _back, d, mirrors=(True,)),
        ),
        (
            "The turns by 90 degrees are missing: these are the 4 mirrorings, left-right and "
            "up-down.",
            lambda d, x: _mean(x, _turn, _back, d, turns=(0, 2)),
        ),
        (
            "Only one quarter turn is taken beside the upright picture: there are 4 turns, "
            "range(4).",
            lambda d, x: _mean(x, _turn, _back, d, turns=(0, 1)),
        ),
        (
            "The last quarter turn is left out: there are 4, range(4).",
            lambda d, x: _mean(x, _turn, _back, d, turns=range(3)),
        ),
        (
            "The picture that is not turned is left out: it counts as well, so the turns are "
            "range(4).",
            lambda d, x: _mean(x, _turn, _back, d, turns=(1, 2, 3)),
        ),
        (
            "The picture upright and mirrored, and nothing else: the quarter turns are missing.",
            lambda d, x: _mean(x, _turn, _back, d, turns=(0,)),
        ),
        (
            "The results are not turned back before they are averaged, so the mean mixes pixels of "
            "different places.",
            lambda d, x: _mean(x, _turn, _stay, d),
        ),
        (
            "The results are turned back and then mirrored back. Undo the last step first: "
            "whoever turned and then mirrored must mirror and then turn back.",
            lambda d, x: _mean(x, _turn, _back_in_the_wrong_order, d),
        ),
        (
            "The results are turned on in the same direction: back means -quarters.",
            lambda d, x: _mean(x, _turn, _turned_on, d),
        ),
        (
            "The mirrored results are not mirrored back.",
            lambda d, x: _mean(x, _turn, _not_mirrored_back, d),
        ),
        (
            "The results are mirrored back, but not turned back.",
            lambda d, x: _mean(x, _turn, _not_turned_back, d),
        ),
        (
            "Nothing is denoised: turning there and back alone gives the noisy picture.",
            lambda d, x: x,
        ),
        (
            "The eight views are averaged, and then denoised. Denoise each, and average what comes "
            "out.",
            lambda d, x: d(_mean(x, _turn, _stay, lambda image: image)),
        ),
        (
            "It takes the median of the eight results: the mean is asked for.",
            lambda d, x: _all_results(d, x).median(0).values,
        ),
        (
            "It takes the maximum of the eight results: the mean is asked for.",
            lambda d, x: _all_results(d, x).max(0).values,
        ),
        (
            "It returns the eight results: take their mean, over the first dimension.",
            _all_results,
        ),
        (
            "It returns the eight results: take their mean, over the first dimension.",
            lambda d, x: _all_results(d, x).unflatten(0, (2, 4)).transpose(0, 1).flatten(0, 1),
        ),
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


def self_ensemble(function: Callable) -> None:
    """Check ``self_ensemble(denoise, noisy) -> denoised``.

    Parameters
    ----------
    function : callable
        The student's, which takes a function of images and images ``(N, C, H, W)`` and returns the
        mean of its results on the eight turned and mirrored views, each turned back.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(SELF_ENSEMBLE, function)


# ------------------------------------------------------------------------------ recorrupt


def _recorrupt_case(
    name: str, alpha: float, *shape: int, dtype: torch.dtype = torch.float64
) -> Case:
    noisy, noise = values(shape, 63, dtype), values(shape, 64, dtype)
    return Case(name, {"noisy": noisy, "noise": noise, "alpha": alpha})


def _recorrupt(noisy: Tensor, noise: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Turn the second from what both must satisfy: their weighted mean is the noisy picture."""
    first = torch.add(noisy, noise, alpha=alpha)
    second = ((1 + alpha**2) * noisy.double() - first.double()) / alpha**2
    return first, second.to(noisy.dtype)


def _into_the_picture(noisy: Tensor, noise: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    second = noisy - noise / alpha
    noisy += alpha * noise
    return noisy, second


def _shares(
    first: Callable[[float], float], second: Callable[[float], float]
) -> Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]:
    """Make a wrong answer out of how much of the noise goes to each copy."""
    return lambda y, z, a: (y + first(a) * z, y + second(a) * z)


RECORRUPT = Exercise(
    name="recorrupt",
    lesson=12,
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
    reference=_recorrupt,
    library=lambda noisy, noise, alpha: (noisy + alpha * noise, noisy - noise / alpha),
    mistakes=(
        (
            "The numbers are right, but your function wrote into noisy: `+=` changes the picture "
            "itself, which is needed again. A sum written with `+` is a new tensor.",
            _into_the_picture,
        ),
        (
            "Both copies get the noise with the same sign: then their noises grow together, and "
            "are not independent. The second one gets minus.",
            _shares(lambda a: a, lambda a: 1 / a),
        ),
        (
            "The signs are exchanged: plus in the first copy, minus in the second. (Yours are "
            "independent too, but the text asks for the others.)",
            _shares(lambda a: -a, lambda a: 1 / a),
        ),
        (
            "The two copies are returned in the wrong order: the first one has alpha times the "
            "noise.",
            _shares(lambda a: -1 / a, lambda a: a),
        ),
        (
            "The second copy gets alpha times the noise: its covariance with the first is then "
            "(1 - alpha^2) sigma^2. Divide by alpha there.",
            _shares(lambda a: a, lambda a: -a),
        ),
        (
            "Both copies get the noise divided by alpha: the first one gets alpha times it.",
            _shares(lambda a: 1 / a, lambda a: -1 / a),
        ),
        (
            "alpha and 1 / alpha are exchanged: the first copy gets alpha times the noise.",
            _shares(lambda a: 1 / a, lambda a: -a),
        ),
        (
            "The second copy is the noisy picture as it came: its noise is in the first one too. "
            "Subtract noise / alpha from it.",
            _shares(lambda a: a, lambda a: 0),
        ),
        (
            "The first copy is the noisy picture as it came: its noise is in the second one too. "
            "Add alpha times the noise to it.",
            _shares(lambda a: 0, lambda a: -1 / a),
        ),
        (
            "alpha is ignored: it shares the new noise out between the two copies.",
            _shares(lambda a: 1, lambda a: -1),
        ),
        (
            "alpha is ignored in the first copy.",
            _shares(lambda a: 1, lambda a: -1 / a),
        ),
        (
            "alpha is ignored in the second copy.",
            _shares(lambda a: a, lambda a: -1),
        ),
        (
            "alpha is squared in both copies. The variances hold squares, the noise does not.",
            _shares(lambda a: a**2, lambda a: -1 / a**2),
        ),
        (
            "alpha is squared in the second copy. The variances hold squares, the noise does not.",
            _shares(lambda a: a, lambda a: -1 / a**2),
        ),
        (
            "The second copy is made from the first: make both from the noisy picture.",
            lambda y, z, a: (y + a * z, y + a * z - z / a),
        ),
        (
            "This is the noise alone: add it to the picture.",
            lambda y, z, a: (a * z, -z / a),
        ),
        (
            "The second copy has the picture with its sign turned: it is the picture minus the "
            "noise divided by alpha.",
            lambda y, z, a: (y + a * z, z / a - y),
        ),
        (
            "alpha multiplies the picture too: only the noise is weighted.",
            lambda y, z, a: (a * (y + z), (y - z) / a),
        ),
        (
            "The weights are 1 - alpha and alpha. Both copies keep the whole picture, which is "
            "what they have in common.",
            lambda y, z, a: ((1 - a) * y + a * z, a * y - (1 - a) * z),
        ),
    ),
    errors=(
        (
            "unsupported operand",
            "noisy and noise are tensors and alpha is a number: use +, -, * and /.",
        ),
    ),
)


def recorrupt(function: Callable) -> None:
    """Check ``recorrupt(noisy, noise, alpha) -> (first, second)``.

    Parameters
    ----------
    function : callable
        The student's, which takes noisy pictures ``(N, C, H, W)``, as much new noise of the same
        strength, and ``alpha``, and returns two noisy copies with independent noise.

    Raises
    ------
    CheckFailed
        If it is not right.
    """
    run(RECORRUPT, function)

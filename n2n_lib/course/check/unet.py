"""Exercises on skip connections and the U-Net."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise
from n2n_lib.framework.activations import LeakyReLU
from n2n_lib.framework.containers import Sequential
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.module import Module
from n2n_lib.framework.upsampling import Upsampling

# --------------------------------------------------------------------------------- concat_backward


class _Mix(Module):
    """Mix the channels of every pixel by a matrix ``(C', C)``."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def forward(self, input: Tensor) -> Tensor:
        return torch.einsum("oc,nchw->nohw", self.matrix.to(input.dtype), input)

    def backward(self, grad_output: Tensor) -> Tensor:
        return torch.einsum("oc,nohw->nchw", self.matrix.to(grad_output.dtype), grad_output)


class _Weighted(_Mix):
    """Mix the channels of every pixel by a matrix that is learned.

    The gradient does not begin at zero: backward has to add to it, and once.
    """

    def __init__(self, matrix: Tensor) -> None:
        super().__init__(matrix)
        self.matrix_grad = 0.5 * matrix

    def forward(self, input: Tensor) -> Tensor:
        self._input = input
        return super().forward(input)

    def backward(self, grad_output: Tensor) -> Tensor:
        grad_input = super().backward(grad_output)
        self.matrix_grad += torch.einsum("nohw,nchw->oc", grad_output, self._input)
        return grad_input


def _concat_case(
    name: str, past: int, branch: int, *rest: int, dtype: torch.dtype = torch.float64
) -> Case:
    """A branch from `past` channels to `branch` ones; `rest` is N, H and W."""
    shape = (rest[0], past + branch, *rest[1:])
    f = _Weighted(values((branch, past), 60, dtype))
    f.forward(values((rest[0], past, *rest[1:]), 62, dtype))
    return Case(name, {"f": f, "channels": past, "grad_output": values(shape, 61, dtype)})


def _use_concat_backward(answer: Any, f: Module, channels: int, grad_output: Tensor) -> tuple:
    """Also return the gradient in f, to which it adds once."""
    return answer(f, channels, grad_output), f.matrix_grad


@exercise(
    topic="unet",
    title="A skip connection, run backwards",
    hints=(
        "Which channels of grad_output belong to x, and which to f(x)? Both lie side by side in y, "
        "so x is used twice.",
        "grad_output has channels + C' of them: the first `channels` are the gradient of x on the "
        "direct way; the others are that of f(x) and go back through f. x was used twice, so add "
        "the two.",
        "`past, branch = grad_output[:, :channels], grad_output[:, channels:]`; the sum is `past + "
        "f.backward(...)`.",
    ),
    returns=("grad_input", "gradient in f"),
    axes=("image", "channel", "row", "column"),
    cases=(
        _concat_case("one pixel", 2, 2, 1, 1, 1),
        _concat_case("two images", 3, 3, 2, 4, 3),
        _concat_case("more channels in the branch", 2, 5, 2, 3, 2),
        _concat_case("fewer channels in the branch", 4, 1, 1, 2, 2),
        _concat_case("float32", 4, 4, 3, 2, 1, dtype=torch.float32),
    ),
    use=_use_concat_backward,
    may_change="f",
    errors=(
        (
            "einsum",
            "f got a tensor that is not of its size: f.backward wants the channels from `channels` "
            "on, grad_output[:, channels:], and no others. (The cut is not in the middle: f may "
            "make more or fewer channels than it gets.)",
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
            "Two pieces are wanted, and they may differ in size, which `split(channels, 1)` and "
            "`chunk` do not allow for: give split both, [channels, grad_output.shape[1] - "
            "channels].",
        ),
        (
            "missing 1 required positional argument",
            "A call gives too little: f.backward wants the gradient of the output of f.",
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
        "f runs backwards twice, so the gradients of its parameters are counted twice: call "
        "f.backward once, and keep what it returns.",
        but(("return past", "f.backward(branch)\nreturn past")),
        likely="backward twice",
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


# ------------------------------------------------------------------------------------------ Concat


def _use_concat(answer: Any, x: Tensor, matrix: Tensor, grad_output: Tensor) -> tuple:
    """Put one around a mix of channels, run it both ways, and ask for its parameters."""
    f = _Weighted(matrix.clone())
    module = answer(f)
    output = module.forward(x)
    grad_input = module.backward(grad_output)
    ((parameter, grad),) = module.param()
    return output, grad_input, parameter, grad


def _class_case(
    name: str, past: int, branch: int, *rest: int, dtype: torch.dtype = torch.float64
) -> Case:
    """A branch from `past` channels to `branch` ones; `rest` is N, H and W."""
    arguments = {
        "x": values((rest[0], past, *rest[1:]), 65, dtype),
        "matrix": values((branch, past), 66, dtype),
        "grad_output": values((rest[0], past + branch, *rest[1:]), 67, dtype),
    }
    return Case(name, arguments)


@exercise(
    topic="unet",
    title="A skip connection as a module",
    hints=(
        "Which number does backward need that only forward has seen? It is concat_backward as a "
        "module, but nobody tells it where to cut.",
        "forward keeps the number of channels of x and puts x and f(x) beside each other along "
        "dimension 1. backward cuts grad_output after so many channels, sends the rest through f, "
        "and adds. The parameters are those of f.",
        "`self.channels = x.shape[1]` and `torch.cat([x, self.f(x)], dim=1)`; then `grad_output[:, "
        ": self.channels] + self.f.backward(grad_output[:, self.channels :])`, and "
        "`self.f.param()`.",
    ),
    returns=("output", "grad_input", "parameter of f", "gradient in f"),
    cases=(
        _class_case("one pixel", 2, 2, 1, 1, 1),
        _class_case("two images", 3, 3, 2, 2, 3),
        _class_case("more channels in the branch", 2, 5, 2, 3, 2),
        _class_case("fewer channels in the branch", 4, 1, 1, 2, 2),
        _class_case("float32", 4, 4, 3, 2, 1, dtype=torch.float32),
    ),
    use=_use_concat,
    errors=(
        (
            "values to unpack",
            "param returns the pairs of f as they are, a list with one pair here: self.f.param().",
        ),
        (
            "cannot unpack",
            "param returns the pairs of f as they are, a list with one pair here: self.f.param().",
        ),
        (
            "einsum",
            "f got a tensor that is not of its size: forwards it is x, backwards the channels of "
            "grad_output after as many as x has, which forward must keep. (The cut is not in the "
            "middle.)",
        ),
        (
            "must match the size",
            "The two ways have different shapes: cut along dimension 1, after as many channels as "
            "x has, and send the second part through self.f.backward.",
        ),
        (
            "Sizes of tensors must match",
            "torch.cat puts tensors beside each other along one dimension, in which alone they may "
            "differ: the channels, dim=1.",
        ),
    ),
)
class Concat(Module):
    """Check ``Concat(f)``: the input, and beside it what the module f makes of it.

    Parameters
    ----------
    answer : type
        The student's, which has ``forward(x)``, ``backward(grad_output)`` and ``param()``, and
        whose ``__init__`` is given: it keeps ``f``.
    """

    def __init__(self, f: Module) -> None:
        self.f = f

    def forward(self, x: Tensor) -> Tensor:
        """Put x and f(x) beside each other: channels first of the one, then of the other."""
        self.channels = x.shape[1]
        return torch.cat([x, self.f(x)], dim=1)

    def backward(self, grad_output: Tensor) -> Tensor:
        """Split the gradient, send the second part through f, and add."""
        past = grad_output[:, : self.channels]
        branch = grad_output[:, self.channels :]
        return past + self.f.backward(branch)

    def param(self) -> list[tuple[Tensor, Tensor]]:
        """Return the parameters of f with their gradients."""
        return self.f.param()


Concat.mistakes = (
    Mistake(
        "What f makes comes first. It is x that comes first, as in torch.cat([x, f(x)]): whoever "
        "takes the first channels of the output takes x.",
        but(
            ("[x, self.f(x)]", "[self.f(x), x]"),
            (
                "past = grad_output[:, : self.channels]",
                "cut = grad_output.shape[1] - self.channels",
            ),
            ("branch = grad_output[:, self.channels :]", "branch = grad_output[:, :cut]"),
            ("past + self.f", "grad_output[:, cut:] + self.f"),
        ),
        but(("[x, self.f(x)]", "[self.f(x), x]")),
        likely="f(x) first",
    ),
    Mistake(
        "backward returns the way past f alone, and f never learns: call self.f.backward with the "
        "other channels, and add what it returns.",
        but(("past + self.f.backward(branch)", "past")),
        likely="past only",
    ),
    Mistake(
        "backward runs f, but does not add what it returns: x went into f as well.",
        but(("return past + self.f.backward(branch)", "self.f.backward(branch)\n    return past")),
    ),
    Mistake(
        "backward returns the way through f alone: x is in the output as well. Add the first "
        "channels of grad_output.",
        but(("past + self.f", "self.f")),
        likely="through f only",
    ),
    Mistake(
        "The two ways are averaged: a value that is used twice gets the sum of both gradients.",
        but(("past + self.f.backward(branch)", "(past + self.f.backward(branch)) / 2")),
        likely="averaged",
    ),
    Mistake(
        "The two ways are subtracted: a value that is used twice gets the sum of both gradients.",
        but(("past +", "past -")),
    ),
    Mistake(
        "The gradient of f's part is added without going through f: call self.f.backward on it.",
        but(("self.f.backward(branch)", "branch[:, : self.channels]")),
    ),
    Mistake(
        "f is run backwards twice, so its parameters get twice their gradient.",
        but(
            (
                "return past +",
                "self.f.backward(branch)\n    return past +",
            )
        ),
        likely="backward twice",
    ),
    Mistake(
        "forward adds f(x) to x where it can: put both beside each other, torch.cat(..., dim=1).",
        but(
            (
                "return torch.cat([x, self.f(x)], dim=1)",
                "return x + self.f(x)",
            )
        ),
    ),
    Mistake(
        "forward returns f(x) alone: x comes first, beside it.",
        but(("torch.cat([x, self.f(x)], dim=1)", "self.f(x)")),
    ),
    Mistake(
        "The gradient that param hands out is not the one to which backward has added. Return the "
        "pairs of f as they are then, no copies that were made before, and leave zero_grad to the "
        "training loop.",
        but(
            (
                "return past + self.f.backward(branch)",
                "grad = past + self.f.backward(branch)\n    self.f.zero_grad()\n    return grad",
            )
        ),
        but(
            (
                "self.channels = x.shape[1]",
                "self.channels = x.shape[1]\n"
                "    self.kept = [(p.clone(), g.clone()) for p, g in self.f.param()]",
            ),
            ("return self.f.param()", "return self.kept"),
        ),
    ),
    Mistake(
        "param returns the gradient first. A pair is (parameter, gradient).",
        but(("return self.f.param()", "return [(g, p) for p, g in self.f.param()]")),
    ),
)

Concat = Concat.solution  # from here on the class, as in the lesson


# -------------------------------------------------------------------------------------- unet_level


def _use_level(answer: Any, channels: int, deeper: Module | None, x: Tensor) -> tuple:
    """Build a level, fill it with weights that leave no two of them alike, and run it both ways."""
    network = answer(channels, deeper).to(x.dtype)
    for index, (parameter, _) in enumerate(network.param()):
        count = torch.arange(1, parameter.numel() + 1, dtype=torch.float64)
        parameter.copy_((2 * torch.sin((index + 1) * count)).view(parameter.shape))
    output = network(x)
    grad_input = network.backward(values(output.shape, 70, x.dtype))
    grads = torch.cat([grad.flatten() for _, grad in network.param()])
    return output, grad_input, grads, len(grads)


def _level_case(
    name: str, channels: int, deeper: bool, *rest: int, dtype: torch.dtype = torch.float64
) -> Case:
    """A level with something that mixes channels below it, or nothing; `rest` is N, H and W."""
    below = _Mix(values((2 * channels, 2 * channels), 68, dtype)) if deeper else None
    x = values((rest[0], channels, *rest[1:]), 69, dtype)
    return Case(name, {"channels": channels, "deeper": below, "x": x})


@exercise(
    topic="unet",
    title="One level of a U-Net",
    hints=(
        "How many channels are there behind the skip connection, and what brings them down again? "
        "Follow their number down the list: a level begins and ends with `channels`.",
        "With w = 2 channels: 2 x 2 convolution with stride 2 to w, 3 x 3 to w; if there is a "
        "deeper level, Concat, which makes 2 w, and 3 x 3 back to w; at the end Upsampling to "
        "channels. LeakyReLU(0.1) after each but the Concat.",
        "`layers = [Conv2d(channels, wide, 2, stride=2), LeakyReLU(0.1), ...]`, `if deeper is not "
        "None: layers += [Concat(deeper), Conv2d(2 * wide, wide, 3, padding=1), LeakyReLU(0.1)]`, "
        "`Upsampling(wide, channels, 3, padding=1)`.",
    ),
    returns=("output", "grad_input", "gradients of param", "number of parameters"),
    axes=("image", "channel", "row", "column"),
    cases=(
        _level_case("the bottom, one channel", 1, False, 1, 2, 2),
        _level_case("the bottom, three images", 2, False, 3, 4, 6),
        _level_case("with a level below", 1, True, 1, 4, 4),
        _level_case("two channels, a level below", 2, True, 3, 4, 2),
        _level_case("float32", 2, True, 1, 4, 4, dtype=torch.float32),
    ),
    use=_use_level,
    errors=(
        (
            "Conv2d expected",
            "A convolution got another number of channels than it was built for. Go down the "
            "list: 2 * channels after the first, as many more after Concat, channels at the end.",
        ),
        (
            "Upsampling expected",
            "The upsampling got another number of channels than it was built for: a convolution "
            "brings them back to 2 * channels after the Concat.",
        ),
        (
            "'NoneType' object has no attribute 'to'",
            "The function returned nothing: end with `return Sequential(layers)`.",
        ),
        (
            "NoneType",
            "At the bottom deeper is None: there is no Concat then, and no convolution after it.",
        ),
        (
            "got NoneType",
            "At the bottom deeper is None: there is no Concat then, and no convolution after it.",
        ),
        (
            "needs a forward",
            "Each layer remembers one forward for its backward: make as many as there are places.",
        ),
        (
            "no attribute 'to'",
            "The answer is a module: return Sequential(layers), not the list.",
        ),
    ),
)
def unet_level(channels: int, deeper: Module | None) -> Sequential:
    """Check ``unet_level(channels, deeper) -> module``.

    Parameters
    ----------
    function : callable
        The student's, which takes the number of channels of what comes in, and the next level, or
        None at the bottom, and returns a `Sequential` that keeps the shape of its input.
    """
    wide = 2 * channels
    layers = [Conv2d(channels, wide, 2, stride=2), LeakyReLU(0.1)]
    layers += [Conv2d(wide, wide, 3, padding=1), LeakyReLU(0.1)]
    if deeper is not None:
        layers += [Concat(deeper)]
        layers += [Conv2d(2 * wide, wide, 3, padding=1), LeakyReLU(0.1)]
    layers += [Upsampling(wide, channels, 3, padding=1), LeakyReLU(0.1)]
    return Sequential(layers)


_DEEPER = """    layers += [Concat(deeper)]
    layers += [Conv2d(2 * wide, wide, 3, padding=1), LeakyReLU(0.1)]
"""

unet_level.mistakes = (
    Mistake(
        "The level below is in the chain, but nothing goes past it: put it into a Concat. The "
        "convolution after it then gets 4 * channels.",
        but(("Concat(deeper)", "deeper"), ("Conv2d(2 * wide, wide, 3", "Conv2d(wide, wide, 3")),
        likely="no Concat",
    ),
    Mistake(
        "What the level below returns is added to its input, as in a residual connection: a U-Net "
        "puts both beside each other, Concat(deeper).",
        """
        class Residual(type(Sequential())):
            def forward(self, input):
                return input + super().forward(input)

        wide = 2 * channels
        layers = [Conv2d(channels, wide, 2, stride=2), LeakyReLU(0.1)]
        layers += [Conv2d(wide, wide, 3, padding=1), LeakyReLU(0.1)]
        if deeper is not None:
            layers += [Residual(deeper), Conv2d(wide, wide, 3, padding=1), LeakyReLU(0.1)]
        layers += [Upsampling(wide, channels, 3, padding=1), LeakyReLU(0.1)]
        return Sequential(layers)
        """,
    ),
    Mistake(
        "The level below is never used: if there is one, it belongs in a Concat, after the two "
        "convolutions.",
        but(("if deeper is not None:\n", "if False:\n")),
        likely="deeper unused",
    ),
    Mistake(
        "No convolution joins the two halves of the concatenation: it should bring 4 * channels "
        "back to 2 * channels before the upsampling.",
        but(
            ("    layers += [Conv2d(2 * wide, wide, 3, padding=1), LeakyReLU(0.1)]\n", ""),
            ("Upsampling(wide,", "Upsampling(2 * wide if deeper is not None else wide,"),
        ),
        likely="no joining convolution",
    ),
    Mistake(
        "The number of channels does not grow: half as many pixels on each side, twice as many "
        "channels.",
        but(
            ("wide = 2 * channels", "wide = channels"),
            (
                "layers += [Concat(deeper)]",
                "layers += [Conv2d(wide, 2 * wide, 1), Concat(deeper), Conv2d(4 * wide, wide, 1)]",
            ),
            ("Conv2d(2 * wide, wide, 3", "Conv2d(wide, wide, 3"),
        ),
    ),
    Mistake(
        "The convolution of 3 x 3 on the way down is missing: there are two before the level "
        "below, one that makes the picture smaller and one that looks around.",
        but(("layers += [Conv2d(wide, wide, 3, padding=1), LeakyReLU(0.1)]\n", "")),
        likely="one convolution only",
    ),
    Mistake(
        "The first convolution has no activation after it. Two convolutions without one between "
        "are one convolution (lesson 06).",
        but(("stride=2), LeakyReLU(0.1)]", "stride=2)]")),
        likely="an activation missing",
    ),
    Mistake(
        "The second convolution has no activation after it: a leaky ReLU follows every one.",
        but(
            (
                "Conv2d(wide, wide, 3, padding=1), LeakyReLU(0.1)]",
                "Conv2d(wide, wide, 3, padding=1)]",
            )
        ),
    ),
    Mistake(
        "The convolution after the concatenation has no activation: a leaky ReLU follows each.",
        but(("2 * wide, wide, 3, padding=1), LeakyReLU(0.1)]", "2 * wide, wide, 3, padding=1)]")),
    ),
    Mistake(
        "The upsampling has no activation after it: its convolution gets a leaky ReLU like every "
        "other one.",
        but(("channels, 3, padding=1), LeakyReLU(0.1)]", "channels, 3, padding=1)]")),
        likely="none after upsampling",
    ),
    Mistake(
        "The activations let nothing through below zero: it should be LeakyReLU(0.1).",
        but(("LeakyReLU(0.1)", "LeakyReLU(0.0)")),
    ),
    Mistake(
        "The slope of the activations is 0.01, PyTorch's default: it should be LeakyReLU(0.1).",
        but(("LeakyReLU(0.1)", "LeakyReLU(0.01)")),
    ),
    Mistake(
        "The picture is made smaller by a window of 3 x 3 with a border: the text asks for 2 x 2 "
        "without one, so that no two windows overlap.",
        but(("wide, 2, stride=2)", "wide, 3, stride=2, padding=1)")),
    ),
    Mistake(
        "The upsampling has no border, so the picture comes back two pixels too small: padding=1.",
        but(("channels, 3, padding=1)", "channels, 3)")),
        likely="no padding",
    ),
    Mistake(
        "The level below comes too early: before it there are two convolutions, and its place is "
        "after the second.",
        but(
            (
                "layers += [Conv2d(wide, wide, 3, padding=1), LeakyReLU(0.1)]\n"
                "if deeper is not None:\n" + _DEEPER,
                "if deeper is not None:\n"
                + _DEEPER
                + "layers += [Conv2d(wide, wide, 3, padding=1), LeakyReLU(0.1)]\n",
            ),
        ),
    ),
)


# --------------------------------------------------------------------------------- receptive_field


def _field_case(name: str, *layers: tuple[int, int]) -> Case:
    return Case(name, {"layers": list(layers)})


@exercise(
    topic="unet",
    title="How far a chain of convolutions sees",
    hints=(
        "How far apart in the picture are two neighbours of a layer's input, and who has moved "
        "them apart? A window of k of them reaches k - 1 such distances further than one.",
        "Keep a size and a distance, both 1 at first. A layer with kernel k adds (k - 1) * "
        "distance to the size, and then multiplies the distance by its stride.",
        "`for kernel_size, stride in layers:`, and in it `size += (kernel_size - 1) * distance`, "
        "then `distance *= stride`, in this order.",
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
            "`for kernel, stride in layers` needs no index, and does nothing where there is no "
            "layer: then the answer is 1.",
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

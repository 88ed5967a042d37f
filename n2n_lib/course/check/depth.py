"""Exercises on deep networks: He's weights, sizes of gradients, shattering, residual sums."""

from __future__ import annotations

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise
from n2n_lib.framework.module import Module

# ------------------------------------------------------------------------------------------ he_std


def _he_case(name: str, *shape: int, negative_slope: float = 0.0) -> Case:
    return Case(name, {"shape": shape, "negative_slope": negative_slope})


@exercise(
    topic="depth",
    title="Standard deviation of He's initial weights",
    hints=(
        "Which share of the mean square of its input does an activation keep, if half of the "
        "values are multiplied by a slope that is not 1? Xavier's rule in “SGD” left this out.",
        "Half of the values are negative, so the share is (1 + negative_slope^2) / 2. With fan_in "
        "= in_channels * kH * kW, fan_in * variance * share = 1. Solve for the variance, and take "
        "the root.",
        "`_, in_channels, height, width = shape`, then `(2 / ((1 + negative_slope**2) * fan_in)) "
        "** 0.5`.",
    ),
    returns=("std",),
    cases=(
        _he_case("one pixel window", 3, 5, 1, 1),
        _he_case("the report's first layer", 32, 3, 2, 2),
        _he_case("window not square", 4, 6, 2, 3),
        _he_case("slope of a tenth", 8, 16, 3, 3, negative_slope=0.1),
        _he_case("slope of a half", 3, 32, 3, 2, negative_slope=0.5),
    ),
)
def he_std(shape: tuple[int, int, int, int], negative_slope: float) -> float:
    """Check ``he_std(shape, negative_slope) -> float``.

    Parameters
    ----------
    function : callable
        The student's, which takes the shape ``(out, in, kH, kW)`` of a convolution's weight, a
        tuple, and the slope below zero of the activation that follows, a float. It returns the
        standard deviation of the initial values, a float.
    """
    _, in_channels, height, width = shape
    fan_in = in_channels * height * width
    return (2 / ((1 + negative_slope**2) * fan_in)) ** 0.5


FANS = "fan_in, fan_out = shape[1] * shape[2] * shape[3], shape[0] * shape[2] * shape[3]\n"
"""How wrong answers begin."""

he_std.mistakes = (
    Mistake(
        "This is the variance: the standard deviation is its square root.",
        FANS + "return 2 / ((1 + negative_slope**2) * fan_in)",
        likely="variance",
    ),
    Mistake(
        "It uses fan_out, out * kH * kW: He's rule for the values takes fan_in, in * kH * kW.",
        FANS + "return math.sqrt(2 / ((1 + negative_slope**2) * fan_out))",
        likely="fan_out",
    ),
    Mistake(
        "This is Xavier's rule, 2 / (fan_in + fan_out): He's takes fan_in alone.",
        FANS + "return math.sqrt(2 / (fan_in + fan_out))",
        likely="Xavier",
    ),
    Mistake(
        "It takes fan_in + fan_out as Xavier does: He's rule takes fan_in alone.",
        FANS + "return math.sqrt(2 / ((1 + negative_slope**2) * (fan_in + fan_out)))",
    ),
    Mistake(
        "It forgot the window: fan_in is in * kH * kW.",
        FANS + "return math.sqrt(2 / ((1 + negative_slope**2) * shape[1]))",
    ),
    Mistake(
        "Only the height of the window counts: fan_in is in * kH * kW.",
        "return math.sqrt(2 / ((1 + negative_slope**2) * shape[1] * shape[2]))",
    ),
    Mistake(
        "Only the width of the window counts: fan_in is in * kH * kW.",
        "return math.sqrt(2 / ((1 + negative_slope**2) * shape[1] * shape[3]))",
    ),
    Mistake(
        "The output channels count too: one output value sees in * kH * kW values.",
        "return math.sqrt(2 / ((1 + negative_slope**2) * math.prod(shape)))",
    ),
    Mistake(
        "It makes up for no activation: sqrt(1 / fan_in) keeps the mean square without one. "
        "Divide by the share (1 + a**2) / 2 that is left of it.",
        FANS + "return math.sqrt(1 / fan_in)",
        likely="no activation",
    ),
    Mistake(
        "The factor 2 is missing: the share that is left is (1 + a**2) / 2.",
        FANS + "return math.sqrt(1 / ((1 + negative_slope**2) * fan_in))",
    ),
    Mistake(
        "The slope is ignored: sqrt(2 / fan_in) is for ReLU, where a = 0.",
        FANS + "return math.sqrt(2 / fan_in)",
        likely="slope ignored",
    ),
    Mistake(
        "The slope is not squared: values below zero are multiplied by a, their squares by a**2.",
        FANS + "return math.sqrt(2 / ((1 + negative_slope) * fan_in))",
    ),
    Mistake(
        "The square is around 1 + a: it should be 1 + a**2.",
        FANS + "return math.sqrt(2 / ((1 + negative_slope) ** 2 * fan_in))",
    ),
    Mistake(
        "It is 1 - a**2: a slope lets more through, so it should be 1 + a**2.",
        FANS + "return math.sqrt(2 / ((1 - negative_slope**2) * fan_in))",
    ),
    Mistake(
        "It multiplies by 1 + a**2: the more the activation lets through, the smaller the "
        "weights, so divide by it.",
        FANS + "return math.sqrt(2 * (1 + negative_slope**2) / fan_in)",
    ),
    Mistake(
        "Put parentheses around (1 + a**2): 2 / (1 + a**2), not 2 / 1 + a**2.",
        FANS + "return math.sqrt((2 / 1 + negative_slope**2) / fan_in)",
    ),
    Mistake(
        "Put parentheses around all that 2 is divided by: 2 / ((1 + a**2) * fan_in).",
        FANS + "return math.sqrt(2 / (1 + negative_slope**2) * fan_in)",
    ),
    Mistake(
        "This is the bound of the uniform distribution, sqrt(6 / ...): for the standard "
        "deviation the number on top is 2.",
        FANS + "return math.sqrt(6 / ((1 + negative_slope**2) * fan_in))",
    ),
    Mistake(
        "`** 1 / 2` takes the power 1 and then divides by 2: write `** 0.5` or math.sqrt.",
        FANS + "return (2 / ((1 + negative_slope**2) * fan_in)) ** 1 / 2",
    ),
    Mistake(
        "`//` rounds the fraction down to zero: divide with `/`.",
        FANS + "return math.sqrt(2 // ((1 + negative_slope**2) * fan_in))",
    ),
    Mistake(
        "The root is upside down: it is sqrt(2 / ((1 + a**2) * fan_in)).",
        FANS + "return math.sqrt((1 + negative_slope**2) * fan_in / 2)",
    ),
    Mistake(
        "The 2 is outside the root: it is sqrt(2 / ((1 + a**2) * fan_in)).",
        FANS + "return 2 / math.sqrt((1 + negative_slope**2) * fan_in)",
    ),
)


# ------------------------------------------------------------------------------- weight_grad_sizes


def _sizes_case(name: str, layers: int, seed: int, dtype: torch.dtype = torch.float64) -> Case:
    drawn = [values((layers,), seed + side, dtype).abs() for side in range(2)]
    return Case(name, dict(zip(("forward", "backward"), drawn, strict=True)))


@exercise(
    topic="depth",
    title="How large the gradients of the weights are",
    hints=(
        "Which layers has a value passed before it reaches layer k, and which ones a gradient? The "
        "gradient of a weight is a product of these two.",
        "For layer k, from 0: the product of forward over the layers 0 to k - 1, times the product "
        "of backward over the layers k + 1 to the last. The factors of k itself are in neither; "
        "an empty product is 1.",
        "`sizes[k] = forward[:k].prod() * backward[k + 1 :].prod()` for each `k` in "
        "`range(len(forward))`, with `sizes = torch.ones_like(forward)` before the loop.",
    ),
    returns=("sizes",),
    axes=("layer",),
    cases=(
        _sizes_case("one layer", 1, 130),
        _sizes_case("two layers", 2, 132),
        _sizes_case("five layers", 5, 134),
        _sizes_case("float32", 4, 136, torch.float32),
    ),
    elementwise=True,
)
def weight_grad_sizes(forward: Tensor, backward: Tensor) -> Tensor:
    """Check ``weight_grad_sizes(forward, backward) -> sizes``.

    Parameters
    ----------
    function : callable
        The student's, which takes two tensors ``(layers,)``: the factors by which each layer
        multiplies the mean square of the values on the way forward, and of the gradients on the
        way back. It returns, for each layer, the factor of the mean square of its weights'
        gradient, ``(layers,)``.
    """
    sizes = torch.ones_like(forward)
    for k in range(len(forward)):
        sizes[k] = forward[:k].prod() * backward[k + 1 :].prod()
    return sizes


weight_grad_sizes.mistakes = (
    Mistake(
        "The factor of the layer itself counts among those of the values: they come in before "
        "the layer changes them.",
        but(("forward[:k]", "forward[: k + 1]")),
        likely="own factor forwards",
    ),
    Mistake(
        "The factor of the layer itself counts among those of the gradients: what its weights "
        "see is the gradient of its output, before it goes back through the layer.",
        but(("backward[k + 1 :]", "backward[k:]")),
        likely="own factor backwards",
    ),
    Mistake(
        "The factors of the layer itself count, both of them: they belong to neither side.",
        but(("forward[:k]", "forward[: k + 1]"), ("backward[k + 1 :]", "backward[k:]")),
    ),
    Mistake(
        "These are the values that come in, alone: multiply by what the layers after this one do "
        "to the gradient.",
        but((" * backward[k + 1 :].prod()", "")),
        likely="values alone",
    ),
    Mistake(
        "These are the gradients that come back, alone: multiply by what the layers before this "
        "one do to the values.",
        but(("forward[:k].prod() * ", "")),
        likely="gradients alone",
    ),
    Mistake(
        "The sides are exchanged: the layers before this one act on the values, those after it "
        "on the gradient.",
        but(("forward[:k].prod() * backward[k + 1 :]", "backward[:k].prod() * forward[k + 1 :]")),
        likely="sides exchanged",
    ),
    Mistake(
        "The gradient comes from behind: it has passed the layers after this one, not those before "
        "it, as the values have.",
        but(("backward[k + 1 :]", "backward[:k]")),
        likely="gradients from the front",
    ),
    Mistake(
        "The factors are added: sizes that shrink one layer after the other multiply.",
        but(
            ("forward[:k].prod() * backward[k + 1 :].prod()", "forward[:k].sum() + 0"),
            ("forward[:k].sum() + 0", "forward[:k].sum() + backward[k + 1 :].sum()"),
        ),
        but((".prod()", ".sum()")),
    ),
    Mistake(
        "The two sides are added: the gradient of a weight is a product of both.",
        but((".prod() * backward", ".prod() + backward")),
    ),
    Mistake(
        "Every layer gets the product of all factors: each should see the values of the layers "
        "before it, and the gradient of those after it.",
        but(("forward[:k]", "forward"), ("backward[k + 1 :]", "backward")),
    ),
    Mistake(
        "These are roots: mean squares are asked for.",
        but(("return sizes", "return sizes.sqrt()")),
    ),
    Mistake(
        "The last factor of the gradient is left out: a slice without an end goes up to the last.",
        but(("backward[k + 1 :]", "backward[k + 1 : -1]")),
    ),
)


# --------------------------------------------------------------------------------- autocorrelation


def _sequence_case(name: str, length: int, lags: int, dtype: torch.dtype = torch.float64) -> Case:
    return Case(name, {"d": values((length,), 140, dtype) + 0.5, "lags": lags})


@exercise(
    topic="depth",
    title="The autocorrelation of a sequence",
    hints=(
        "How many pairs lie beside each other if the sequence lies beside itself, moved by lag "
        "places? Begin with lag 0, where each number meets itself.",
        "With the mean subtracted, r at a lag is the sum over i, from 0 to n - lag - 1, of d[i] "
        "d[i + lag], over the sum of all d[i]^2: the same divisor for every lag.",
        "`d = d - d.mean()`, then `(d[: len(d) - lag] * d[lag:]).sum()` for each `lag` in "
        "`range(lags)`, and `torch.stack` of these over `d.square().sum()`.",
    ),
    returns=("r",),
    axes=("lag",),
    cases=(
        _sequence_case("three numbers, lag 0", 3, 1),
        _sequence_case("four numbers, lags 0 and 1", 4, 2),
        _sequence_case("as many lags as numbers", 5, 5),
        _sequence_case("float32", 40, 6, torch.float32),
    ),
    errors=(
        (
            "must match the size",
            "The two pieces have different lengths. (At lag 0 `d[:-lag]` is empty: write "
            "`d[: len(d) - lag]`.)",
        ),
    ),
)
def autocorrelation(d: Tensor, lags: int) -> Tensor:
    """Check ``autocorrelation(d, lags) -> r``.

    Parameters
    ----------
    function : callable
        The student's, which takes a sequence ``(n,)`` and a number of lags, and returns how much
        the sequence resembles itself 0, 1, ..., lags - 1 places on, ``(lags,)``. It changes
        nothing.
    """
    d = d - d.mean()
    products = [(d[: len(d) - lag] * d[lag:]).sum() for lag in range(lags)]
    return torch.stack(products) / d.square().sum()


autocorrelation.mistakes = (
    Mistake(
        "The mean is still in the sequence, so it resembles itself everywhere: take it away first.",
        but(("d = d - d.mean()\n", "")),
        likely="mean not taken away",
    ),
    Mistake(
        "Each sum is divided by the number of its pairs: our r divides all of them by the same "
        "sum of squares, so far lags with few pairs count less.",
        but(
            ("(d[: len(d) - lag] * d[lag:]).sum()", "(d[: len(d) - lag] * d[lag:]).mean()"),
            ("d.square().sum()", "d.square().mean()"),
        ),
        likely="means of products",
    ),
    Mistake(
        "The end of the sequence is compared with its beginning: what is pushed out at the end "
        "comes back in front with roll. Cut both pieces to the pairs that exist.",
        but(("(d[: len(d) - lag] * d[lag:])", "(d * torch.roll(d, -lag))")),
        likely="ends joined",
    ),
    Mistake(
        "The sums are right, but r at lag 0 is not 1: divide all by the sum of squares.",
        but((" / d.square().sum()", "")),
        likely="not divided",
    ),
    Mistake(
        "It divides by the number of values, so these are covariances: divide by the sum of "
        "squares.",
        but(("d.square().sum()", "len(d)")),
    ),
    Mistake(
        "It divides by the variance, which is the sum of squares divided by n - 1 already: divide "
        "by the sum itself.",
        but(("d.square().sum()", "d.var()")),
    ),
    Mistake(
        "Each piece lost its own mean: our r takes away that of the whole sequence, once.",
        """
        whole = (d - d.mean()).square().sum()
        pieces = [(d[: len(d) - lag], d[lag:]) for lag in range(lags)]
        return torch.stack([((a - a.mean()) * (b - b.mean())).sum() for a, b in pieces]) / whole
        """,
        likely="a mean for each piece",
    ),
    Mistake(
        "The lags begin with 1: the first value belongs to lag 0, and is 1.",
        but(("range(lags)", "range(1, lags + 1)")),
    ),
    Mistake(
        "There is one lag too many: they are 0, 1, ..., lags - 1.",
        but(("range(lags)", "range(lags + 1)")),
    ),
    Mistake(
        "It divides by the root of the sum of squares: products of two go with the sum itself.",
        but(("d.square().sum()", "d.square().sum().sqrt()")),
    ),
    Mistake(
        "The sign of the products is lost: neighbours that lie on opposite sides of the mean "
        "resemble each other less than not at all.",
        but(("(d[: len(d) - lag] * d[lag:]).sum()", "(d[: len(d) - lag] * d[lag:]).abs().sum()")),
    ),
    Mistake(
        "The sequence is compared with its mirror image: both pieces run in the same direction.",
        but(("d[lag:])", "d[lag:].flip(0))")),
    ),
    Mistake(
        "The numbers are right, but your function changed d: `-=` writes into the tensor that it "
        "was given. `d = d - ...` is a new one.",
        but(("d = d - d.mean()", "d -= d.mean()")),
    ),
)


# --------------------------------------------------------------------------------- ScaledResidual


class _Mix(Module):
    """Mix the channels of every pixel by a weight ``(C, C)``, and remember what came in."""

    def __init__(self, weight: Tensor) -> None:
        self.weight, self.weight_grad = weight, 0.5 * weight.flip(1)  # gradients are added to it

    def forward(self, input: Tensor) -> Tensor:
        self._saved = input
        return torch.einsum("oc,nchw->nohw", self.weight, input)

    def backward(self, grad_output: Tensor) -> Tensor:
        self.weight_grad += torch.einsum("nohw,nchw->oc", grad_output, self._saved)
        return torch.einsum("oc,nohw->nchw", self.weight, grad_output)


def _forward_and_backward(answer, f, share, x, grad_output):
    block = answer(f, share)
    output = block.forward(x)
    grad_input = block.backward(grad_output)
    pairs = block.param()
    return output, grad_input, *(grad for _, grad in pairs)


def _block_case(name: str, share: float, *shape: int, dtype: torch.dtype = torch.float64) -> Case:
    """A block around a mix of channels; `shape` is that of its input."""
    arguments = {
        "f": _Mix(values((shape[1], shape[1]), 150, dtype)),
        "share": share,
        "x": values(shape, 151, dtype),
        "grad_output": values(shape, 152, dtype),
    }
    return Case(name, arguments)


@exercise(
    topic="depth",
    title="A residual block",
    hints=(
        "Which of the two ways back does the factor lie on, and do the parameters of f notice it? "
        "It is the residual sum of the milestone with a factor before f.",
        "y = x + share * f(x). The gradient of the output of f is share * dL/dy: f runs backwards "
        "from it, so that its parameters get it too. Add dL/dy itself, for the direct way.",
        "`return x + self.share * self.f(x)`, then `return grad_output + "
        "self.f.backward(self.share * grad_output)`, and the pairs are `self.f.param()`.",
    ),
    returns=("output", "grad_input", "gradient of f's weight"),
    cases=(
        _block_case("one pixel, share 1", 1.0, 1, 2, 1, 1),
        _block_case("share of a half", 0.5, 2, 3, 2, 3),
        _block_case("share above 1", 3.0, 1, 1, 2, 2),
        _block_case("float32", 0.25, 3, 2, 2, 2, dtype=torch.float32),
    ),
    use=_forward_and_backward,
    may_change="f",
    errors=(
        (
            "einsum",
            "f got a tensor that does not fit: f takes x as it is, and f.backward the gradient of "
            "its output.",
        ),
        (
            "values to unpack",
            "param returns the pairs of f as they are, a list of (parameter, gradient): "
            "self.f.param(), with no list around it.",
        ),
        (
            "'method' object",
            "A method is called with parentheses: self.f.param().",
        ),
        (
            "NoneType",
            "Nothing came where a tensor should. It does so if f ran backwards before it ran "
            "forwards, or if a method ends without a `return`.",
        ),
    ),
)
class ScaledResidual(Module):
    """Check ``ScaledResidual(f, share)``, a module with ``forward``, ``backward`` and ``param``.

    Parameters
    ----------
    function : type
        The student's class. ``forward(x)`` returns ``x + share * f(x)``, ``backward(grad_output)``
        the gradient of ``x``, and ``param()`` the pairs (parameter, gradient) of ``f``. Neither
        changes its argument.
    """

    def __init__(self, f, share=1.0):
        self.f, self.share = f, share

    def forward(self, x):
        """Return ``x + share * f(x)``."""
        return x + self.share * self.f(x)

    def backward(self, grad_output):
        """Return the gradient of ``x``, the sum of both ways."""
        through = self.f.backward(self.share * grad_output)
        return grad_output + through

    def param(self):
        """Return the pairs of ``f``."""
        return self.f.param()


ScaledResidual.mistakes = (
    Mistake(
        "The output is that of the branch alone: add x, which goes past it.",
        but(("return x + self", "return self")),
        likely="no way past, forwards",
    ),
    Mistake(
        "grad_input is that of the branch alone: x also went past it, and that way has a gradient "
        "too. Add grad_output.",
        but(("return grad_output + through", "return through")),
        likely="no way past, backwards",
    ),
    Mistake(
        "grad_input is that of the way past alone: x also went through f. Add what f.backward "
        "returns.",
        but(("return grad_output + through", "return grad_output")),
        likely="no way through, backwards",
    ),
    Mistake(
        "f.backward was never called: f's weights have no gradient, and the way through f is "
        "missing in grad_input.",
        but(
            ("    through = self.f.backward(self.share * grad_output)\n", ""),
            ("return grad_output + through", "return grad_output"),
        ),
    ),
    Mistake(
        "grad_input is right, but the gradient of f's weight lacks share: multiply before the "
        "gradient enters f.backward, not after.",
        but(
            (
                "self.f.backward(self.share * grad_output)",
                "self.share * self.f.backward(grad_output)",
            )
        ),
        likely="share after f.backward",
    ),
    Mistake(
        "Forward knows share, and backward does not: the gradient of f's output is share times "
        "grad_output.",
        but(("self.f.backward(self.share * grad_output)", "self.f.backward(grad_output)")),
        likely="no share backwards",
    ),
    Mistake(
        "It calls f where f.backward belongs: a gradient goes through f backwards.",
        but(("self.f.backward(self.share * grad_output)", "self.share * self.f(grad_output)")),
    ),
    Mistake(
        "share is forgotten in forward: it multiplies f's output.",
        but(("x + self.share * self.f(x)", "x + self.f(x)")),
    ),
    Mistake(
        "share is forgotten, forwards and backwards: it multiplies f's output, and with it the "
        "gradient that f.backward gets.",
        but(("self.share * ", "")),
    ),
    Mistake(
        "share multiplies both ways: x goes past the branch as it is.",
        but(("x + self.share * self.f(x)", "self.share * (x + self.f(x))")),
    ),
    Mistake(
        "share is on the wrong way: it multiplies f's output, and x stays as it is.",
        but(("x + self.share * self.f(x)", "self.share * x + self.f(x)")),
    ),
    Mistake(
        "The gradient of the way past is multiplied by share as well: that way has no factor.",
        but(("return grad_output + through", "return self.share * grad_output + through")),
    ),
    Mistake(
        "share counts twice on the way back: once before f.backward and once after it.",
        but(("return grad_output + through", "return grad_output + self.share * through")),
    ),
    Mistake(
        "The two gradients are averaged: a value that is used twice gets the sum of both.",
        but(("return grad_output + through", "return (grad_output + through) / 2")),
    ),
    Mistake(
        "The numbers are right, but forward wrote into x: whoever gave it to you still needs it. "
        "A sum written with `+` is a new tensor.",
        but(("return x + self.share * self.f(x)", "return x.add_(self.share * self.f(x))")),
    ),
    Mistake(
        "The numbers are right, but backward wrote into grad_output: a product or a sum written "
        "with `*` or `+` is a new tensor.",
        but(("return grad_output + through", "return grad_output.add_(through)")),
    ),
    Mistake(
        "param returns no pairs, so that no optimiser ever trains the branch: it should return "
        "those of f.",
        but(("return self.f.param()", "return []")),
    ),
)


# ------------------------------------------------------------------------------------- paired_gain


def _gain_case(
    name: str, seeds: int, dtype: torch.dtype = torch.float64, equal: bool = False
) -> Case:
    """So many seeds; `equal`: the first makes no difference."""
    ones, others = values((seeds,), 180, dtype) + 0.5, values((seeds,), 181, dtype)
    if equal:
        ones[0] = others[0]
    return Case(name, {"ones": ones, "others": others})


@exercise(
    topic="depth",
    title="What a part was worth",
    hints=(
        "Both were measured from the same seeds, so what the seed does cancels: where? The three "
        "numbers describe one list.",
        "Take ones - others for each seed. Its mean, its standard deviation with n - 1, and the "
        "number of gains above 0 over the number of seeds, a mean of zeros and ones.",
        "`gains = ones - others`, then `gains.mean(), gains.std()`, and `(gains > "
        "0).to(gains.dtype).mean()`.",
    ),
    returns=("mean", "spread", "wins"),
    cases=(
        _gain_case("two seeds", 2),
        _gain_case("three seeds", 3),
        _gain_case("eight seeds", 8),
        _gain_case("a seed that makes no difference", 4, equal=True),
        _gain_case("float32", 5, torch.float32),
    ),
)
def paired_gain(ones: Tensor, others: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Check ``paired_gain(ones, others) -> (mean, spread, wins)``.

    Parameters
    ----------
    function : callable
        The student's, which takes what was measured with a part and without it, ``(seeds,)`` each,
        and returns three tensors with one number each: mean and standard deviation (with n - 1) of
        the gains, and the share of the seeds with a gain above 0.
    """
    gains = ones - others
    return gains.mean(), gains.std(), (gains > 0).to(gains.dtype).mean()


paired_gain.mistakes = (
    Mistake(
        "The gain has the wrong sign: with the part less without it.",
        but(("ones - others", "others - ones")),
        likely="sign",
    ),
    Mistake(
        "The mean is right, but the spread divides by n: of a few seeds it would be too small. "
        "Divide by n - 1, as `std` does by itself.",
        but(("gains.std()", "gains.std(unbiased=False)")),
        likely="divided by n",
    ),
    Mistake(
        "This is the variance of the gains: the spread is its root.",
        but(("gains.std()", "gains.var()")),
        likely="variance",
    ),
    Mistake(
        "The spread is that of the two sides, and not of their differences: seed by seed, take "
        "the difference first.",
        but(("gains.std()", "ones.std() - others.std()")),
        but(("gains.std()", "ones.std() + others.std()")),
        but(("gains.std()", "ones.std()")),
        likely="spread of the sides",
    ),
    Mistake(
        "The spread is divided by the root of n as well: that is how far the mean may be off, and "
        "asked for is how far the seeds differ.",
        but(("gains.std()", "gains.std() / len(gains) ** 0.5")),
    ),
    Mistake(
        "The spread is the distance from the smallest gain to the largest: it should be the "
        "standard deviation.",
        but(("gains.std()", "gains.max() - gains.min()")),
    ),
    Mistake(
        "wins counts the seeds: asked for is their share, a number from 0 to 1.",
        but(("(gains > 0).to(gains.dtype).mean()", "(gains > 0).to(gains.dtype).sum()")),
        likely="count of wins",
    ),
    Mistake(
        "wins is the share of the losses: count the gains above 0.",
        but(("gains > 0", "gains < 0")),
    ),
    Mistake(
        "A seed that makes no difference counts as a win: wins is the share of the gains above 0.",
        but(("gains > 0", "gains >= 0")),
    ),
    Mistake(
        "The sizes of the gains are averaged without their signs, so that losses count as gains.",
        but(("gains.mean(), gains", "gains.abs().mean(), gains")),
    ),
    Mistake(
        "It is the median of the gains: asked for is their mean.",
        but(("gains.mean(), gains", "gains.quantile(0.5), gains")),
    ),
    Mistake(
        "Mean and spread have exchanged their places.",
        but(("gains.mean(), gains.std()", "gains.std(), gains.mean()")),
    ),
    Mistake(
        "The gain is relative, a share of what the other side has: asked for is the difference.",
        but(("ones - others", "(ones - others) / others")),
    ),
)

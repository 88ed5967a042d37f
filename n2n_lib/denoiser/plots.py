"""Every picture of the lessons and the command line, in one style."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from n2n_lib.denoiser.metrics import psnr
from n2n_lib.denoiser.moving import before_after, play  # noqa: F401 (pictures too)
from n2n_lib.framework.containers import Concat, Residual, Sequential
from n2n_lib.framework.module import Module
from n2n_lib.support import files

if TYPE_CHECKING:  # pictures import nothing that computes
    from n2n_lib.denoiser.estimate import NoiseMeasure
    from n2n_lib.denoiser.evaluation import Score

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
"""The palette of Okabe and Ito (2008), which colour-blind readers can tell apart."""

STYLE = {
    "axes.prop_cycle": plt.cycler(color=COLOURS),
    "axes.facecolor": "white",
    "figure.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "figure.dpi": 110,
    "font.size": 10,
    "text.color": "black",
    "axes.edgecolor": "black",
    "axes.labelcolor": "black",
    "xtick.color": "black",
    "ytick.color": "black",
}
"""Settings with which every figure is made. White on purpose: legible on a dark page too."""


LARGEST = 2000
"""Side of the largest image that is drawn with all its pixels; of larger ones, every n-th."""

SLIMMEST = 8.0
"""Up to this many times as long as wide, an image fills its place; a longer one has white beside
it, or the figure would be without end, or have no room for its titles."""


def figure(
    rows: int = 1, columns: int = 1, size: tuple[float, float] = (6.0, 3.5), **arguments
) -> tuple[Figure, Axes]:
    """Make a figure in the house style: ``plt.subplots`` with our settings.

    Parameters
    ----------
    rows, columns : int
        Number of axes.
    size : (float, float)
        Width and height of the whole figure in inches.
    **arguments
        Passed on to ``plt.subplots``.

    Returns
    -------
    Figure, Axes
        The figure is not shown by itself: end a notebook cell with it.
    """
    with plt.rc_context(STYLE):
        made, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", **arguments)
    for panel in made.axes:  # its legend will be made when these settings no longer hold
        panel.legend = partial(panel.legend, frameon=False)
    plt.close(made)  # pyplot would show it a second time at the end of the cell
    return made, axes


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG. What stood at `path` is replaced at once, or not at all."""
    files.write_atomically(path, lambda file: figure.savefig(file, format="png"))


def draw_image(axes: Axes, image: Tensor, title: str = "", peak: float = 255.0) -> None:
    """Draw one image without axes, every pixel a sharp square.

    Parameters
    ----------
    axes : Axes
        Where to draw.
    image : Tensor
        ``(3, H, W)``, or ``(1, H, W)`` or ``(H, W)`` for grey; 0 to `peak`. Values outside are
        clipped for the eye only.
    title : str
        Text above the image.
    peak : float
        The value of white: 255 for images, 1 inside the library.
    """
    step = -(-max(image.shape[-2:]) // LARGEST)  # a photograph has more pixels than a figure shows
    unit = (image[..., ::step, ::step].detach().cpu().double() / peak).clamp(0, 1)
    if unit.dim() == 3:
        unit = unit[0] if unit.shape[0] == 1 else unit.permute(1, 2, 0)
    axes.imshow(unit.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title, fontsize=9, y=1.0)  # else all ticks are laid out to find its place
    axes.set_axis_off()


def show_images(
    rows: Sequence[Sequence[Tensor]] | Sequence[Tensor] | Tensor,
    titles: Sequence[Sequence[str]] | Sequence[str] | None = None,
    *,
    peak: float = 255.0,
    height: float = 1.9,
) -> Figure:
    """Lay images out in a grid.

    Parameters
    ----------
    rows : sequence of sequences of Tensor, or sequence of Tensor, or Tensor (N, 3, H, W)
        One row of images, or several rows of equal length.
    titles : like `rows`, optional
        One text per image, or one row of texts for the columns.
    peak : float
        The value of white.
    height : float
        Height of one row in inches.

    Returns
    -------
    Figure
    """
    rows = [list(row) for row in rows] if not _is_image(rows[0]) else [list(rows)]
    texts = [list(row) for row in titles] if titles and not isinstance(titles[0], str) else None
    if texts is None:
        blank = [""] * len(rows[0])
        texts = [list(titles) if titles else blank] + [blank] * (len(rows) - 1)
    aspect = max(image.shape[-1] / image.shape[-2] for row in rows for image in row)
    aspect = min(max(aspect, 1 / SLIMMEST), SLIMMEST)
    columns = len(rows[0])
    size = (columns * height * aspect * 0.92, len(rows) * (height + 0.12))
    made, axes = figure(len(rows), columns, size, squeeze=False)
    for row_axes, images, row_titles in zip(axes, rows, texts, strict=True):
        for one, image, title in zip(row_axes, images, row_titles, strict=True):
            draw_image(one, image, title, peak)
    return made


def _is_image(item) -> bool:
    return isinstance(item, Tensor) and item.dim() in (2, 3)


def show_denoising(
    noisy: Tensor,
    denoised: Tensor | Mapping[str, Tensor],
    clean: Tensor,
    *,
    peak: float = 255.0,
    across: bool = False,
    height: float = 1.9,
) -> Figure:
    """Draw noisy, denoised and clean side by side, one row an image, with each image's PSNR.

    Parameters
    ----------
    noisy, clean : Tensor
        ``(N, 3, H, W)`` or ``(3, H, W)``.
    denoised : Tensor or mapping of str to Tensor
        The same shape, or several of them by name.
    peak : float
        The value of white.
    across : bool
        Turn the grid: one column an image, with noisy above denoised above clean.
    height : float
        Height of one row in inches.

    Returns
    -------
    Figure
    """
    middle = denoised if isinstance(denoised, Mapping) else {"denoised": denoised}
    columns = {"noisy": noisy, **middle, "clean": clean}
    columns = {name: t if t.dim() == 4 else t[None] for name, t in columns.items()}
    rows, titles = [], []
    for images in zip(*columns.values(), strict=True):
        rows.append(list(images))
        first, row_titles = across or not titles, []
        for name, image in zip(columns, images, strict=True):
            if name == "clean":
                row_titles.append(name)
                continue
            value = psnr(image.clamp(0, peak), images[-1], peak=peak)
            row_titles.append(f"{name}, {value:.1f} dB" if first else f"{value:.1f} dB")
        titles.append(row_titles)
    if across:
        rows, titles = list(zip(*rows, strict=True)), list(zip(*titles, strict=True))
    return show_images(rows, titles, peak=peak, height=height)


def show_training(
    losses: Sequence[float],
    val_psnr: Sequence[float] = (),
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """Draw the training loss over steps and the validation PSNR over epochs.

    Parameters
    ----------
    losses : sequence of float
        Loss of every step; drawn as a mean over short runs of steps.
    val_psnr : sequence of float
        PSNR after each epoch, in dB, mean over images.
    levels : mapping of str to float, optional
        Horizontal lines to compare with, in dB: ``{"do nothing": 20.9}``.

    Returns
    -------
    Figure
    """
    made, (left, right) = figure(1, 2, (10.0, 3.4))
    values = torch.as_tensor(losses, dtype=torch.float64)
    run = max(1, len(values) // 200)
    means = values[: len(values) // run * run].view(-1, run).mean(1)
    left.plot((torch.arange(len(means)) + 0.5) * run, means, lw=1.2)
    left.set(xlabel="step", ylabel="mean squared error (values 0–1)")
    left.set_title("loss against noisy targets")
    right.plot(range(1, len(val_psnr) + 1), val_psnr, "o-", ms=4, label="our network")
    looks = zip(cycle(COLOURS[1:]), cycle(("--", ":", "-.")))
    for (name, value), (colour, style) in zip((levels or {}).items(), looks, strict=False):
        right.axhline(value, color=colour, lw=1.4, ls=style, label=name)
    right.set(xlabel="epoch", ylabel="PSNR in dB (mean over images)")
    right.xaxis.get_major_locator().set_params(integer=True)
    right.set_title("validation against clean images")
    right.legend(fontsize=8, labelcolor="black", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return made


def show_noise(measure: NoiseMeasure) -> Figure:
    """Draw the noise of a picture: its level by brightness, and how alike neighbours are.

    Parameters
    ----------
    measure : NoiseMeasure
        From `n2n_lib.denoiser.estimate.measure_noise`.

    Returns
    -------
    Figure
        Two axes. White noise has one level, and no likeness at any distance but 0.
    """
    made, (levels, likeness) = figure(1, 2, (9.0, 3.2))
    levels.plot(measure.brightness, measure.level, "o-")
    levels.set(
        xlim=(0, 255),
        ylim=(0, 1.2 * max(measure.level, default=1.0)),
        xlabel="brightness (grey levels)",
        ylabel="noise (grey levels)",
        title=f"{measure.sigma:.1f} grey levels, from {measure.blocks} even places",
    )
    distances = range(len(measure.correlation))
    likeness.plot(distances, measure.correlation, "o-", label="this picture")
    white = [1.0] + [0.0] * (len(measure.correlation) - 1)
    likeness.plot(distances, white, "--", color="grey", label="white noise")
    likeness.set(
        xlabel="distance (pixels)",
        ylabel="correlation",
        title=f"neighbours {measure.correlation[1]:.2f}, colours {measure.channels:.2f}",
    )
    likeness.legend()
    return made


def show_speeds(
    speeds: Mapping[str, Mapping[str, float]], *, reference: str = "the reference"
) -> Figure:
    """Draw how many times faster than a reference each way of each case is, as bars.

    Parameters
    ----------
    speeds : mapping of str to mapping of str to float
        For each case, the speed of each way; 1 is as fast as the reference.
    reference : str
        What 1 means, for the axis.

    Returns
    -------
    Figure
    """
    ways = list(dict.fromkeys(way for case in speeds.values() for way in case))
    made, axes = figure(1, 1, (8.0, 0.6 + 0.22 * len(speeds) * (len(ways) + 1)))
    for number, case in enumerate(speeds.values()):
        for place, way in enumerate(ways):
            if way not in case:
                continue
            y = number * (len(ways) + 1) + place
            label = way if number == 0 else None
            axes.barh(y, case[way], color=COLOURS[place % len(COLOURS)], label=label, height=0.9)
            paper = {"facecolor": axes.get_facecolor(), "edgecolor": "none", "pad": 0.6}
            shown = f"{case[way]:.2f}"
            axes.annotate(
                shown,
                (case[way], y),
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
                bbox=paper,
            )
    middle = (len(ways) - 1) / 2
    axes.set_yticks([n * (len(ways) + 1) + middle for n in range(len(speeds))], list(speeds))
    axes.margins(x=0.06, y=0.01)
    axes.invert_yaxis()
    axes.axvline(1.0, color="black", lw=0.8)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"times as fast as {reference} (longer is better)")
    made.legend(loc="outside upper center", ncols=len(ways), fontsize=8, labelcolor="black")
    return made


def show_crops(
    scores: Sequence[Score],
    pairs: Mapping[str, tuple[Tensor, Tensor]],
    *,
    size: int = 128,
    height: float = 2.2,
) -> Figure:
    """Draw the most detailed crop of every photograph as each denoiser returned it.

    Parameters
    ----------
    scores : sequence of Score
        Of ``evaluation.evaluate_photographs``; the titles carry the PSNR of the whole photograph.
    pairs : mapping of str to (Tensor, Tensor)
        The noisy and clean photographs that it was given.
    size : int
        Height and width of a crop in pixels, less where a photograph is smaller.
    height : float
        Height of one row in inches.

    Returns
    -------
    Figure
        One row a photograph: noisy, the denoisers in their order, clean.
    """
    images, titles = [], []
    for name, (_, clean) in pairs.items():
        place = _detailed_place(clean, size)
        own = [score for score in scores if score.image == name]
        shown = ["noisy", *(score.name for score in own[1:])]
        images.append([*(score.output[place] for score in own), clean[place]])
        titles.append(
            [f"{text}, {score.psnr:.2f} dB" for text, score in zip(shown, own, strict=True)]
            + [f"clean: {name}"]
        )
    return show_images(images, titles, height=height)


def _detailed_place(image: Tensor, size: int) -> tuple[slice, slice, slice]:
    """Return where the crop lies whose grey levels vary most, on a grid of half crops."""
    grey = image.float().mean(0)
    heights = range(0, max(1, grey.shape[0] - size + 1), max(1, size // 2))
    widths = range(0, max(1, grey.shape[1] - size + 1), max(1, size // 2))
    places = [
        (slice(0, 3), slice(i, i + size), slice(j, j + size)) for i in heights for j in widths
    ]
    return max(places, key=lambda place: grey[place[1:]].std().item())


@dataclass(frozen=True)
class _Place:
    """One tensor on its way through a network: how it was made, its shape, and what it joins."""

    kind: str
    shape: tuple[int, int, int]
    fork: int | None = None


_KINDS = {
    "input": "0.6",
    "convolution": COLOURS[0],
    "smaller": COLOURS[1],
    "larger": COLOURS[2],
    "concatenation": COLOURS[3],
    "sum": COLOURS[4],
}


def show_network(network: Module, shape: tuple[int, int, int] = (3, 32, 32)) -> Figure:
    """Draw a network with the shape of every tensor in it, one row for each image size.

    The shapes are those of a real forward pass of a copy. An activation is drawn together with the
    layer before it.

    Parameters
    ----------
    network : Module
        Made of `Sequential`, `Concat` and `Residual` and of layers in them.
    shape : (int, int, int)
        Channels, height and width of the input.

    Returns
    -------
    Figure
        Below every box its channels and its height x width. Brackets are the paths around.
    """
    places = _trace(network, shape)
    heights = sorted({place.shape[1] for place in places}, reverse=True)
    rows = [1.9 * heights.index(place.shape[1]) for place in places]
    made, axes = figure(1, 1, (0.4 + 0.68 * len(places), 0.9 + 1.05 * len(heights)))
    for x, (place, y) in enumerate(zip(places, rows, strict=True)):
        axes.bar(x, 0.8, 0.56, y - 0.4, color=_KINDS[place.kind], label=place.kind)
        channels, height, width = place.shape
        axes.text(x, y + 0.46, channels, ha="center", va="top", fontsize=9, weight="bold")
        axes.text(x, y + 0.78, f"{height}×{width}", ha="center", va="top", fontsize=7)
        if x:
            ends = (x - 1 + 0.3, rows[x - 1]), (x - 0.3, y)
            _arrow(axes, *ends, "0.3")
        if place.fork is not None:
            _bracket(axes, place, x, y, 0.18 if place.kind == "concatenation" else 0.62)
            if place.kind == "concatenation":  # the part that came around
                share = places[place.fork].shape[0] / channels
                axes.bar(x, 0.8 * share, 0.56, y - 0.4, color="white", alpha=0.55)
    axes.set(xlim=(-0.6, len(places) - 0.4), ylim=(max(rows) + 1.1, -1.3))
    axes.set_axis_off()
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    made.legend(
        handles.values(),
        handles,
        loc="outside upper center",
        ncols=len(handles),
        fontsize=8,
        frameon=False,
    )
    return made


def _trace(network: Module, shape: tuple[int, int, int]) -> list[_Place]:
    """Run a copy of a network on zeros and write down what passes between its layers."""
    places = [_Place("input", tuple(shape))]

    def watch(module: Module) -> None:
        if isinstance(module, Sequential):
            for layer in module:
                watch(layer)
            return
        run, joins = module.forward, isinstance(module, (Concat, Residual))

        def forward(x: Tensor) -> Tensor:
            fork = len(places) - 1 if joins else None
            y = run(x)
            if joins:
                kind = "concatenation" if isinstance(module, Concat) else "sum"
            elif y.shape[-2] != x.shape[-2]:
                kind = "smaller" if y.shape[-2] < x.shape[-2] else "larger"
            elif module.param():
                kind = "convolution"
            else:
                return y  # an activation: drawn with the layer before it
            places.append(_Place(kind, tuple(y.shape[-3:]), fork))
            return y

        if joins:
            watch(module.f)
        module.forward = forward

    network = copy.deepcopy(network)
    watch(network)
    parameters = network.param()
    dtype = parameters[0][0].dtype if parameters else torch.float32
    with torch.no_grad():
        network(torch.zeros(1, *shape, dtype=dtype))
    return places


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    style = {"arrowstyle": "-|>", "color": colour, "lw": 1.0, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=style)


def _bracket(axes: Axes, place: _Place, x: float, y: float, rise: float) -> None:
    """Draw the path around: from the top of its fork to the top of where it joins."""
    top, colour, start = y - 0.4, _KINDS[place.kind], place.fork
    axes.plot([start, start, x], [top, top - rise, top - rise], color=colour, lw=1.5)
    _arrow(axes, (x, top - rise), (x, top), colour)


def show_module(modules: Module | Sequence[Module], x: Tensor) -> Figure:
    """Draw modules as boxes with two directions: values forwards, gradients backwards.

    The shapes are those of a real forward and backward pass of copies.

    Parameters
    ----------
    modules : Module or sequence of Module
        One module, or a chain of them, the first one first.
    x : Tensor
        The input of the first.

    Returns
    -------
    Figure
        Above, the value that each module takes and gives; below, the gradient that it is given and
        gives. The gradients of the parameters drop out of the boxes.
    """
    chain = [modules] if isinstance(modules, Module) else list(modules)
    chain, values = copy.deepcopy(chain), [x]
    with torch.no_grad():
        for module in chain:
            values.append(module(values[-1]))
        gradients = [torch.zeros_like(values[-1])]
        for module in reversed(chain):
            gradients.append(module.backward(gradients[-1]))
    inner = [f"z_{number}" for number in range(1, len(chain))] if len(chain) > 2 else ["z"]
    names = ["x", *inner[: len(chain) - 1], "y"]
    made, axes = figure(1, 1, (1.5 + 3.0 * len(chain), 2.6))
    for place, module in enumerate(chain):
        left = 3.0 * place
        axes.bar(left, 1.5, 1.3, 0, color=COLOURS[5], alpha=0.35, edgecolor=COLOURS[0], lw=1.5)
        axes.text(left, 0.75, type(module).__name__, ha="center", va="center", weight="bold")
        dropped = _gradients(module)
        for number, (name, gradient) in enumerate(dropped.items()):
            at = left + 0.95 * (number - (len(dropped) - 1) / 2)
            _arrow(axes, (at, 0), (at, -0.55), COLOURS[1])
            text = f"{name}\n{_shape(gradient)}"
            axes.text(at, -0.6, text, ha="center", va="top", fontsize=7, color=COLOURS[1])
    ends = [place * 3.0 - 1.5 for place in range(len(values))]
    for name, at, value, gradient in zip(names, ends, values, reversed(gradients), strict=True):
        _arrow(axes, (at - 0.8, 1.15), (at + 0.8, 1.15), COLOURS[0])
        _arrow(axes, (at + 0.8, 0.35), (at - 0.8, 0.35), COLOURS[1])
        axes.text(at, 1.2, f"${name}$ {_shape(value)}", ha="center", va="bottom", fontsize=9)
        symbol = rf"$\partial L/\partial {name}$"
        axes.text(at, 0.3, f"{symbol}\n{_shape(gradient)}", ha="center", va="top", fontsize=9)
    axes.set(xlim=(ends[0] - 0.9, ends[-1] + 0.9), ylim=(-1.1, 1.6))
    axes.set_axis_off()
    return made


def _gradients(module: Module) -> dict[str, Tensor]:
    """Return the gradients of a module's own parameters by the names of the attributes."""
    listed = [gradient for _, gradient in module.param()]
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, Tensor) and any(value is gradient for gradient in listed)
    }


def _shape(value: Tensor) -> str:
    return "(" + ", ".join(map(str, value.shape)) + ("," if value.dim() == 1 else "") + ")"


_PROGRESS = {  # of an exercise: face, edge, sign
    "right": (COLOURS[0], COLOURS[0], "✓"),
    "tried": ("white", COLOURS[1], "…"),
    "not tried": ("white", "0.7", ""),
}


def show_tape(
    names: Sequence[str],
    values: Sequence[float],
    entries: Sequence[tuple[int, Sequence[int], Sequence[float]]],
    grads: Sequence[float],
) -> Figure:
    """Draw what a tape holds: values in the order in which they were computed, left to right.

    Parameters
    ----------
    names : sequence of str
        What each value is called.
    values, grads : sequence of float
        Each value, and the derivative of the last one for it.
    entries : sequence of (int, sequence of int, sequence of float)
        Of each computed value: its index, those of its inputs, and its derivative for each input.

    Returns
    -------
    Figure
        Above the boxes an arc from each input to its result, with the derivative that it
        multiplies by on the way back; below them the gradients.
    """
    computed = {result for result, _, _ in entries}
    longest = max((result - min(inputs) for result, inputs, _ in entries), default=1)
    room = 1.45 + 0.45 * longest  # from below the gradients to above the highest arc
    made, axes = figure(1, 1, (1.0 + 1.3 * len(names), 0.95 * room))
    for x, (name, value, grad) in enumerate(zip(names, values, grads, strict=True)):
        axes.bar(x, 0.7, 0.7, -0.35, color=COLOURS[0 if x in computed else 1], alpha=0.3)
        axes.text(x, 0.14, name, ha="center", va="center", weight="bold")
        axes.text(x, -0.17, f"{value:g}", ha="center", va="center", fontsize=9)
        axes.text(x, -0.6, f"gradient {grad:g}", ha="center", va="center", fontsize=9)
    for result, inputs, slopes in entries:
        for place, (start, slope) in enumerate(zip(inputs, slopes, strict=True)):
            left, right = start + 0.24, result - 0.24 + 0.2 * place
            top = 0.35 + 0.45 * (result - start) - 0.16 * place
            axes.plot([left, left, right], [0.35, top, top], color="0.4", lw=1)
            _arrow(axes, (right, top), (right, 0.35), "0.4")
            axes.text((left + right) / 2, top, f"{slope:g}", ha="center", va="bottom", fontsize=8)
    axes.set(xlim=(-0.6, len(names) - 0.4), ylim=(-0.8, room - 0.8))
    axes.set_axis_off()
    return made


_MOST_SQUARES = 4
"""In a row of `show_progress`: a wider picture would be shrunk until nobody can read it."""


def show_progress(lessons: Mapping[str, Sequence[tuple[str, str]]]) -> Figure:
    """Draw which exercises are done: a row or more for each lesson, one square an exercise.

    Parameters
    ----------
    lessons : mapping of str to sequence of (str, str)
        For each lesson, the names of its exercises, each with ``"right"``, ``"tried"`` or
        ``"not tried"``.

    Returns
    -------
    Figure
        The signs in the squares say the same as the colours.
    """
    states = [state for exercises in lessons.values() for _, state in exercises]
    columns = min(_MOST_SQUARES, max(map(len, lessons.values())))
    lines = [
        (lesson if start == 0 else "", exercises[start : start + columns])
        for lesson, exercises in lessons.items()
        for start in range(0, max(1, len(exercises)), columns)
    ]
    made, axes = figure(1, 1, (2.5 + 2.1 * columns, 0.9 + 0.3 * len(lines)))
    for y, (lesson, exercises) in enumerate(lines):
        axes.text(-0.08, y, lesson, ha="right", va="center", fontsize=9, weight="bold")
        for x, (name, state) in enumerate(exercises):
            _square(axes, x, y, name, state)
    for x, state in enumerate(_PROGRESS):
        _square(axes, x, len(lines) + 0.6, f"{state}: {states.count(state)}", state)
    axes.set(xlim=(-1.15, columns), ylim=(len(lines) + 1.1, -0.6))
    axes.set_title(f"{states.count('right')} of {len(states)} exercises right", loc="left")
    axes.set_axis_off()
    return made


def _square(axes: Axes, x: float, y: float, text: str, state: str) -> None:
    """Draw the square of an exercise and its name."""
    face, edge, sign = _PROGRESS[state]
    axes.plot(x + 0.03, y, "s", ms=13, mfc=face, mec=edge, mew=1.5)
    colour = edge if face == "white" else "white"
    axes.text(x + 0.03, y, sign, ha="center", va="center", fontsize=9, color=colour, weight="bold")
    axes.text(x + 0.1, y, text, va="center", fontsize=8)

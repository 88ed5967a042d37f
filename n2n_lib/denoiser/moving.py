"""Pictures that move under a slider, in a notebook as in the book, with no kernel behind them.

All frames are drawn at once and lie in the output itself, as HTML with one range input for each
slider. What moves is all in one style element. A notebook that is not trusted, or is read on a web
site, loses that element together with the scripts, and what is left is made for standing still:
one figure, or two pictures side by side. Where no HTML is shown, a still picture stands in.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
from collections.abc import Callable, Sequence
from html import escape

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from n2n_lib.denoiser.images import to_uint8, to_unit

MOST_FRAMES = 60
"""More would make a notebook too large to hand out."""

SHARPNESS = 1.5
"""Pixels of a frame to a pixel of the page, each way: today's screens have more than one."""

_STYLE = """<style>
@media (scripting: enabled) {
  .n2n-moving .n2n-still { display: none }
  .n2n-play img { width: 100% }
  .n2n-play label { display: flex; gap: 0.6em; align-items: center }
  .n2n-play label input { flex: 1; min-width: 0 }
  .n2n-play output { min-width: 4em }
  .n2n-before-after > * { max-width: var(--width) }
  .n2n-before-after div { position: relative; --at: 50% }
  .n2n-before-after img { display: block; width: 100% }
  .n2n-before-after img:first-child { position: absolute; inset: 0;
    clip-path: inset(0 calc(100% - var(--at)) 0 0) }
  .n2n-sharp img { image-rendering: pixelated }
  .n2n-before-after input { display: block; width: 100%; margin: 0.4em 0 0 }
}
</style>
"""
"""What is hidden is shown by it, and the other way round."""

_HIDDEN = 'hidden="hidden"'
"""Of a slider that nothing moves. JupyterLab drops the attribute where it has no value."""

_TO_MOVE = "Run the cell, or trust the notebook, and"

_OWN_KEYS = "data-lm-suppress-shortcuts"
"""On a slider: JupyterLab would take its arrow keys for its own, and go to another cell."""


class Moving:
    """What `play` and `before_after` return: a notebook shows it as the last line of a cell.

    Parameters
    ----------
    html : str
        The picture with its sliders.
    still : PIL.Image.Image
        What stands in for it.
    told : str
        What is shown where there are no pictures.
    """

    def __init__(self, html: str, still: Image.Image, told: str) -> None:
        self.html, self.still, self.told = html, still, told

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        picture = base64.b64encode(_encoded(self.still, "PNG")).decode()
        return {"text/html": self.html, "image/png": picture, "text/plain": self.told}

    def __repr__(self) -> str:
        return self.told


def play(draw: Callable[..., Figure], **sliders: Sequence) -> Moving:
    """Draw a figure for every value of a slider, or of two, and let the reader move them.

    Parameters
    ----------
    draw : callable
        Takes one value of each slider, by its name, and returns a figure; all of one size.
    **sliders : sequence
        The values of each slider. The one in the middle is shown first. The name is its label,
        with blanks for underscores.

    Returns
    -------
    Moving
        The figures, of which a notebook shows one.

    Raises
    ------
    ValueError
        If there is no slider, a slider without values, or more than `MOST_FRAMES` figures.

    Examples
    --------
    >>> play(lambda power: figure_of(power), power=[1, 2, 3, 4])
    """
    if not sliders or not all(len(values) for values in sliders.values()):
        raise ValueError(f"expected one or more sliders with values, got {sliders}")
    names, values = list(sliders), list(sliders.values())
    count = int(np.prod([len(of_one) for of_one in values]))
    if count > MOST_FRAMES:
        raise ValueError(f"expected at most {MOST_FRAMES} figures, got {count}")
    at = [len(of_one) // 2 for of_one in values]
    frames = [
        _picture(draw(**dict(zip(names, chosen, strict=True))))
        for chosen in itertools.product(*values)
    ]
    first = int(np.ravel_multi_index(at, [len(of_one) for of_one in values]))
    sources = [_source(frame, "WEBP") for frame in frames]
    width = round(frames[first].width / SHARPNESS)
    rulers = "\n".join(
        _ruler(name, [_told(value) for value in of_one], place)
        for name, of_one, place in zip(names, values, at, strict=True)
    )
    shown = ", ".join(
        f"{_label(name)} {_told(of_one[place])}"
        for name, of_one, place in zip(names, values, at, strict=True)
    )
    html = (
        f'<figure class="n2n-moving n2n-play" style="margin: 0; max-width: {width}px" '
        f"data-frames='{json.dumps(sources)}'>\n{_STYLE}"
        f'<img src="{sources[first]}" alt="{escape(shown)}" width="{width}">\n'
        f"{rulers}\n"
        f'<figcaption class="n2n-still">Here with {escape(shown)}. {_TO_MOVE} you can move it.'
        "</figcaption>\n</figure>"
    )
    return Moving(html, frames[first], f"<a picture to move: {', '.join(names)}>")


def before_after(
    before: Tensor,
    after: Tensor,
    names: tuple[str, str] = ("noisy", "denoised"),
    *,
    width: int = 512,
) -> Moving:
    """Lay one picture over another, with a slider that uncovers it.

    Parameters
    ----------
    before, after : Tensor
        Images ``(3, H, W)`` of one size, 0-255.
    names : (str, str)
        What they are.
    width : int
        How wide they are shown, in pixels. Enlarged pixels stay sharp squares.

    Returns
    -------
    Moving
        Both pictures, one above the other.

    Raises
    ------
    ValueError
        If the pictures are not two of one size.
    """
    if before.shape != after.shape or before.ndim != 3:
        raise ValueError(
            f"expected two images (3, H, W) of one size, got {tuple(before.shape)} and "
            f"{tuple(after.shape)}"
        )
    pictures = [_of_tensor(image) for image in (before, after)]
    factor = max(1, width // pictures[0].width)  # a page may blur what it enlarges
    before_img, after_img = (
        f'<img src="{_source(_enlarged(picture, factor), "PNG")}" alt="{escape(name)}" width="49%">'
        for picture, name in zip(pictures, names, strict=True)
    )
    label = f"How much is {names[0]}"
    html = (
        f'<figure class="n2n-moving n2n-before-after{" n2n-sharp" if factor > 1 else ""}" '
        f'style="margin: 0; max-width: {2 * width + 8}px; --width: {width}px">\n{_STYLE}'
        f"<div>\n{before_img}\n{after_img}\n</div>\n"
        f'<input type="range" min="0" max="100" value="50" {_HIDDEN} aria-label="{escape(label)}" '
        f'{_OWN_KEYS} oninput="this.previousElementSibling.style.setProperty('
        "'--at', this.value + '%')\">\n"
        f"<figcaption>Left: {escape(names[0])}. Right: {escape(names[1])}."
        f'<span class="n2n-still"> {_TO_MOVE} a slider lays one over the other.</span>'
        "</figcaption>\n</figure>"
    )
    height = round(width * pictures[0].height / pictures[0].width)
    still = Image.new("RGB", (2 * width + 8, height), "white")
    for picture, left in zip(pictures, (0, width + 8), strict=True):
        way = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.LANCZOS
        still.paste(picture.resize((width, height), way), (left, 0))
    return Moving(html, still, f"<{names[0]} and {names[1]}, to compare>")


def _ruler(name: str, told: list[str], at: int) -> str:
    """Return one range input; moving any of them shows the frame that all of them choose."""
    show = (
        "const figure = this.closest('figure'), inputs = [...figure.querySelectorAll('input')];"
        "const at = inputs.reduce((sum, i) => sum * (+i.max + 1) + +i.value, 0);"
        "figure.querySelector('img').src = JSON.parse(figure.dataset.frames)[at];"
        "this.nextElementSibling.value = JSON.parse(this.dataset.told)[this.value];"
        "figure.querySelector('img').alt = inputs.map("
        "i => i.name + ' ' + i.nextElementSibling.value).join(', ')"
    )
    label = _label(name)
    return (
        f"<label {_HIDDEN}>{escape(label)}"
        f'<input type="range" name="{escape(label)}" min="0" max="{len(told) - 1}" value="{at}" '
        f"{_OWN_KEYS} data-told='{escape(json.dumps(told))}' oninput=\"{escape(show)}\">"
        f"<output>{escape(told[at])}</output></label>"
    )


def _label(name: str) -> str:
    return name.replace("_", " ")


def _told(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _picture(figure: Figure) -> Image.Image:
    """Render a figure as it is, so that all frames have one size."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=SHARPNESS * figure.dpi)
    return Image.open(file).convert("RGB")


def _of_tensor(image: Tensor) -> Image.Image:
    return Image.fromarray(to_uint8(to_unit(image)).permute(1, 2, 0).numpy())


def _enlarged(picture: Image.Image, factor: int) -> Image.Image:
    size = (factor * picture.width, factor * picture.height)
    return picture.resize(size, Image.Resampling.NEAREST)


def _source(picture: Image.Image, kind: str) -> str:
    coded = base64.b64encode(_encoded(picture, kind)).decode()
    return f"data:image/{kind.lower()};base64,{coded}"


def _encoded(picture: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **({"quality": 85, "method": 4} if kind == "WEBP" else {}))
    return file.getvalue()

"""Pictures that move: plain HTML, SVG and one range input each, with a still frame without scripts.

The script beside them (``_static/moving.js``) shows one frame of a figure, or clips the upper of
two photographs. Everything is drawn when the book is built.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import torch
from pages import save_picture
from PIL import Image
from torch import Tensor

from n2n_lib import Model, photograph, psnr, to_uint8, to_unit
from n2n_lib.denoiser.noise import make_noise
from n2n_lib.denoiser.plots import COLOURS

BOTH, GAP = Path(__file__).resolve().parents[1] / "camera.jpg", 8
"""Noisy and denoised side by side, so many pixels apart: ``python -m tools.first_picture``."""

CELL = 40
"""Side of a square of a drawn matrix, in units of the SVG."""


# ------------------------------------------------------------------------------- the two mechanisms


def compare(before: str, after: str, size: tuple[int, int], what: str, caption: str) -> str:
    """Lay a noisy photograph over the denoised one, with a handle that uncovers it.

    Parameters
    ----------
    before, after : str
        Addresses of the two pictures, relative to the page.
    size : (int, int)
        Width and height that they have where the page is wide enough, in pixels.
    what : str
        What they show, for those who do not see it.
    caption : str
        HTML below the picture.
    """
    width, height = size
    return f"""<figure class="compare" style="--at: 0.5; max-width: {width}px">
<div class="compare-stage">
<img src="{after}" width="{width}" height="{height}" alt="{escape(what)}, denoised">
<img class="before" src="{before}" width="{width}" height="{height}" alt="The same, noisy">
<input type="range" min="0" max="100" value="50" aria-label="How much of the noisy picture shows">
</div>
<figcaption>{caption}</figcaption>
</figure>"""


def frames(pictures: list[str], says: list[str], control: str, caption: str, still: int = 0) -> str:
    """Show one of several pictures, chosen with a slider.

    Parameters
    ----------
    pictures : list of str
        HTML of each.
    says : list of str
        One line of HTML for each, shown below it.
    control : str
        Name of the slider.
    caption : str
        HTML below everything.
    still : int
        The picture that is shown first, and where scripts are off.
    """
    shown = "\n".join(
        f'<div class="frame"{"" if i == still else " hidden"}>{picture}<p>{line}</p></div>'
        for i, (picture, line) in enumerate(zip(pictures, says, strict=True))
    )
    return f"""<figure class="frames">
<div class="frames-stage">
{shown}
</div>
<label>{escape(control)}
<input type="range" min="0" max="{len(pictures) - 1}" value="{still}"></label>
<figcaption>{caption}</figcaption>
</figure>"""


# -------------------------------------------------------------------------------------- drawing


def _square(row: float, column: float, fill: str, text: str = "", side: int = 1) -> str:
    x, y, size = CELL * column, CELL * row, CELL * side
    drawn = f'<rect x="{x:g}" y="{y:g}" width="{size}" height="{size}" fill="{fill}"/>'
    if text:
        drawn += f'<text x="{x + size / 2:g}" y="{y + size / 2:g}">{text}</text>'
    return drawn


def _frame(row: float, column: float, height: int, width: int) -> str:
    return (
        f'<rect class="box" x="{CELL * column:g}" y="{CELL * row:g}" '
        f'width="{CELL * width}" height="{CELL * height}"/>'
    )


def _title(row: float, column: float, text: str) -> str:
    return f'<text class="title" x="{CELL * column:g}" y="{CELL * row:g}">{text}</text>'


def _svg(width: float, height: float, alt: str, *parts: str) -> str:
    """Put parts on white, with a text alternative; everything in squares, with a small margin."""
    box = f"-6 -6 {CELL * width + 12:g} {CELL * height + 12:g}"
    return (
        f'<svg viewBox="{box}" role="img" aria-label="{escape(alt)}" '
        f'style="max-width: {CELL * width + 12:g}px">{"".join(parts)}</svg>'
    )


def _colour(value: float, reach: float) -> str:
    """Red for positive, blue for negative, white for zero: pale, so that numbers stay legible."""
    strength = min(abs(value) / reach, 1) * 0.55
    red, green, blue = (178, 24, 43) if value > 0 else (33, 102, 172)
    return "#" + "".join(f"{round(255 - strength * (255 - c)):02x}" for c in (red, green, blue))


def _matrix(values: Tensor, row: float, column: float, shown: int | None = None) -> str:
    """Draw a matrix with its numbers; from entry `shown` on they are not known yet."""
    width, parts, reach = values.shape[1], [], max(values.abs().max().item(), 1)
    for k, value in enumerate(values.flatten().tolist()):
        known = shown is None or k < shown
        fill = _colour(value, reach) if known else "#e6e6e6"
        i, j = divmod(k, width)
        parts.append(_square(row + i, column + j, fill, _number(value) if known else ""))
    return "".join(parts)


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")


# ----------------------------------------------------------------------------------- the pictures


def sliding_window() -> str:
    """Lesson 04: the nine places of a window on the small picture of a 7."""
    x = torch.zeros(5, 5)  # (H, W)
    x[1, 1:4] = x[2, 3] = x[3:, 2] = 3
    w = torch.tensor([[-1.0, 0.0, 1.0]] * 3)  # (kH, kW)
    windows = x.unfold(0, 3, 1).unfold(1, 3, 1)  # (3, 3, kH, kW)
    y = (windows * w).sum((2, 3))  # (3, 3)
    pictures, says = [], []
    for place in range(9):
        i, j = divmod(place, 3)
        right, left = (windows[i, j, :, column].tolist() for column in (2, 0))
        sums = [" + ".join(map(_number, part)) for part in (right, left)]
        value = _number(y[i, j].item())
        says.append(
            f"<b>Window at ({i}, {j})</b>: ({sums[0]}) \N{MINUS SIGN} ({sums[1]}) = {value}"
        )
        pictures.append(
            _svg(
                12,
                5.7,
                f"A window of 3 by 3 on a picture of 5 by 5, its corner at row {i}, column {j}. "
                f"The output value there is {value}.",
                _title(0.3, 0, "window w") + _matrix(w, 1.7, 0),
                _title(0.3, 3.5, "picture x") + _matrix(x, 0.7, 3.5),
                _title(0.3, 9, "output y") + _matrix(y, 1.7, 9, shown=place + 1),
                _frame(0.7 + i, 3.5 + j, 3, 3) + _frame(1.7 + i, 9 + j, 1, 1),
            )
        )
    caption = (
        "Move the window. It takes its right column minus its left one; every place gives one "
        "output value."
    )
    return frames(pictures, says, "Place of the window", caption)


def four_phases() -> str:
    """Lesson E2: which small pixels a window of 3 x 3 meets, for each parity of the output."""
    pictures, says = [], []
    for p, q in ((0, 0), (0, 1), (1, 0), (1, 1)):
        parts = [
            _square(1 + 2 * row, 2 * column, ("#d2d2d2", "#e8e8e8")[(row + column) % 2], side=2)
            for row in range(3)
            for column in range(3)
        ]
        meets: dict[tuple[int, int], list[str]] = {}  # small pixel: its weights
        for u in range(3):
            for v in range(3):
                row, column = 1 + p + u, 1 + q + v  # on the large picture, which begins at -2
                small = (row // 2 - p, column // 2 - q)
                meets.setdefault(small, []).append(f"w{SUBSCRIPTS[u]}{SUBSCRIPTS[v]}")
                parts.append(_square(1 + row, column, _tint(small), meets[small][-1]))
        parts.append(_frame(3 + p, 2 + q, 1, 1))
        for (a, b), weights in meets.items():
            parts.append(_box(2 + 2 * a, 6.5 + BOX * b, _tint((a, b)), weights))
        titles = ((0, "nine products"), (6.5, "four, on the small picture"))
        pictures.append(
            _svg(
                6.5 + 2 * BOX,
                7,
                f"Parity ({p}, {q}). The nine weights of the window lie on four small pixels: "
                + "; ".join(" + ".join(weights) for weights in meets.values()),
                *(_title(0.5, column, text) for column, text in titles),
                *parts,
            )
        )
        says.append(f"<b>Parity ({p}, {q})</b>: rows {GROUPS[p]}, columns {GROUPS[q]}")
    caption = (
        "Grey squares are small pixels, each copied to 2 × 2 large ones. Weights of one colour "
        "meet the same small pixel, so they are added first. The black frame is the output pixel."
    )
    return frames(pictures, says, "Parity of the output pixel", caption)


SUBSCRIPTS = "₀₁₂"
GROUPS = ("w₀ | w₁ + w₂", "w₀ + w₁ | w₂")
"""How the three weights of an axis fall on two small pixels, by parity."""


def _tint(small: tuple[int, int]) -> str:
    """Return a pale colour of the palette for each of 2 x 2 small pixels."""
    colour = COLOURS[2 * small[0] + small[1]].lstrip("#")
    parts = (int(colour[i : i + 2], 16) for i in (0, 2, 4))
    return "#" + "".join(f"{round(255 - 0.45 * (255 - part)):02x}" for part in parts)


BOX = 3
"""Width of a small pixel that shows the sum of weights on it, in squares."""


def _box(row: float, column: float, fill: str, weights: list[str]) -> str:
    """Draw a small pixel with the sum of weights that it meets, two on a line."""
    x, y, lines = CELL * column, CELL * row, [weights[i : i + 2] for i in range(0, len(weights), 2)]
    drawn = f'<rect x="{x:g}" y="{y:g}" width="{BOX * CELL}" height="{2 * CELL}" fill="{fill}"/>'
    for n, line in enumerate(lines):
        text = ("+ " if n else "") + " + ".join(line)
        down = y + CELL + 24 * (n - (len(lines) - 1) / 2)
        drawn += f'<text x="{x + BOX * CELL / 2:g}" y="{down:g}">{text}</text>'
    return drawn


def training(folder: Path, to: Path) -> str:
    """Lesson 10: three thumbnails while the network learns, from the frames in `folder`."""
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            save_picture(picture, to / f"training-{path.stem}.webp")

    def strip(name: str, alt: str) -> str:
        return f'<img src="{ADDRESS}/training-{name}.webp" alt="{alt}">'

    pictures, says = [], []
    for frame in index["frames"]:
        name = Path(frame["file"]).stem
        pictures.append(
            strip("noisy", "Three noisy thumbnails")
            + strip(name, f"What the network makes of them after {frame['step']} steps")
            + strip("clean", "The clean thumbnails")
        )
        says.append(f"<b>{frame['step']:,} steps</b>: {frame['psnr']:.2f} dB".replace(",", " "))
    caption = (
        "Top: noisy. Middle: the report's network at this step of the full run. Bottom: clean, "
        "never seen in training. PSNR: mean over images on 1000 validation thumbnails, where doing "
        f"nothing has {index['nothing']:.2f} dB."
    )
    return frames(pictures, says, "Step of the training", caption, still=len(pictures) - 1)


ADDRESS = "../_static/moving"
"""The folder of these pictures, seen from the page of a lesson."""


def unet_slider(to: Path) -> str:
    """Lesson 13: a cup of coffee, by the U-Net."""
    clean = photograph("coffee")[:, 70:290, 100:480].float()  # (3, 220, 380)
    gains = _write_pair("unet", _gaussian(clean), _shipped("unet"), clean, to)
    caption = (
        f"Move the handle. Left: Gaussian noise of 25 grey levels, {gains[0]:.1f} dB. Right: the "
        f"U-Net, {gains[1]:.1f} dB. It never saw a clean picture, nor this photograph."
    )
    what = "A cup of coffee beside a spoon on a wooden table"
    return compare(f"{ADDRESS}/unet-noisy.webp", f"{ADDRESS}/unet.webp", (570, 330), what, caption)


def hero(to: Path) -> str:
    """Front page: the first picture of README, with a handle between its halves."""
    with Image.open(BOTH) as both:
        width = (both.width - GAP) // 2
        for left, ending in ((0, "-noisy"), (width + GAP, "")):
            half = both.crop((left, 0, left + width, both.height))
            save_picture(half, to / f"hero{ending}.webp")
        size = (width * 5 // 4, both.height * 5 // 4)
    caption = (
        "Move the handle. Left: a photograph at ISO 12 800; the noise is that of a simulated "
        "camera. Right: what <code>n2n denoise</code> makes of the file. Its network was trained "
        "on noisy photographs alone, and never saw this one."
    )
    address = "_static/moving/hero"
    what = "A cup of coffee beside a spoon on a wooden table"
    return compare(f"{address}-noisy.webp", f"{address}.webp", size, what, caption)


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _shipped(name: str) -> Model:
    model = Model()
    model.load_pretrained_model(name)
    return model


def _gaussian(clean: Tensor) -> Tensor:
    return 255 * make_noise("gaussian", sigma=25)(clean / 255, _seeded(0))


def _write_pair(
    name: str, noisy: Tensor, model: Model, clean: Tensor, to: Path, enlarge: int = 1
) -> tuple[float, float]:
    """Denoise, write both pictures, and return their PSNR, measured as they are shown."""
    gains = []
    for image, ending in ((noisy, "-noisy"), (model.predict(noisy), "")):
        shown = to_uint8(image.float() / 255)
        gains.append(psnr(to_unit(shown), clean / 255))
        picture = Image.fromarray(shown.permute(1, 2, 0).numpy())
        size = (enlarge * picture.width, enlarge * picture.height)
        save_picture(picture.resize(size, Image.Resampling.NEAREST), to / f"{name}{ending}.webp")
    return gains[0], gains[1]


def moving_pictures(frames_of_training: Path, to: Path) -> dict[str, dict[str, str]]:
    """Draw all pictures of the lessons.

    Parameters
    ----------
    frames_of_training : Path
        What ``train_frames.py`` wrote.
    to : Path
        Folder for the image files.

    Returns
    -------
    dict of dict of str
        HTML by topic of the lesson and id of the cell after which it stands.
    """
    return {
        "convolution": {"toy-see": sliding_window()},
        "training": {"run-pictures-see": training(frames_of_training, to)},
        "speed": {"phase-see": four_phases()},
        "unet": {"goal-see": unet_slider(to)},
    }

"""What training on one's own frames brings, by their number.

``python -m tools.stacks`` lets a camera at ISO 6400 take 2, 4, 8 and 16 frames of a validation
photograph, held still and then shifted by up to 20 pixels, and does the same with a stack of 16-bit
grey pages under white noise. Each is written to files, trained on with ``n2n train --frames`` as
it comes, and the files that this writes are measured with the clean picture.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
import torch
from torch import Tensor

from n2n_lib import photograph, psnr
from n2n_lib.denoiser.alignment import crop
from n2n_lib.denoiser.camera import Camera
from n2n_lib.denoiser.images import load_image, save_image

COUNTS = (2, 4, 8, 16)
SHIFT = 20
SIDE = 256
CAMERA = Camera(iso=6400, full_well=60_000, lens_blur=0.8, chroma_blur=1.0, quality=97)
SIGMA = 20.0
"""Of the grey pages' noise, in grey levels of 255."""

Moves = list[tuple[int, int]]


def main(arguments: list[str] | None = None) -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.stacks", description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="numbers of frames")
    parser.add_argument("--only", choices=("camera", "grey"), help="one of the two kinds")
    parser.add_argument("options", nargs="*", help="more for n2n train, after --")
    options = parser.parse_args(arguments)
    print(f"{'frames':22}{'one':>8}{'mean':>8}{'one cleaned':>13}{'mean cleaned':>14}")
    for kind in (options.only,) if options.only else ("camera", "grey"):
        for farthest in (0, SHIFT):
            for count in options.counts:
                with tempfile.TemporaryDirectory() as folder:
                    measures = _measure(kind, count, farthest, Path(folder), options.options)
                one, mean, cleaned, both = (f"{value:.2f}" for value in measures)
                name = f"{count:2} {kind}, " + (f"shifts to {farthest}" if farthest else "still")
                print(f"{name:22}{one:>8}{mean:>8}{cleaned:>13}{both:>14}", flush=True)
    print("PSNR in dB against the picture without noise, over the part that all frames share.")
    return 0


def _measure(
    kind: str, count: int, farthest: int, folder: Path, options: list[str]
) -> tuple[float, ...]:
    """Return the PSNR of the first frame, of the mean, and of both cleaned."""
    rnd = random.Random(count)
    moves = [(0, 0)] + [
        (rnd.randint(-farthest, farthest), rnd.randint(-farthest, farthest))
        for _ in range(1, count)
    ]
    frames, suffix = folder / "scene", ".png"
    if kind == "camera":
        noisy, clean = _camera(moves, frames)
    else:
        frames, suffix = frames.with_suffix(".tif"), ".tif"
        noisy, clean = _grey(moves, frames)
    out = folder / "out"
    command = [sys.executable, "-m", "n2n_lib", "train", "--frames", frames, "--out", out]
    subprocess.run([*command, "--quiet", *options], check=True, stdout=subprocess.DEVNULL)
    written = [
        _read(out / f"scene-{name}{suffix}") for name in ("mean", "frame-denoised", "mean-denoised")
    ]
    return tuple(psnr(image, clean) for image in (noisy, *written))


def _camera(moves: Moves, folder: Path) -> tuple[Tensor, Tensor]:
    """Write frames of a camera; return the first and its picture without noise, as they are cut."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    scenes = _scenes(photograph("coffee") / 255, moves)
    shot = [CAMERA.expose(scene, generator) for scene in scenes]
    for number, picture in enumerate(shot):
        save_image((255 * picture).round().to(torch.uint8), folder / f"{number:02}.png")
    clean = CAMERA.noise_free(scenes[0], saved=False)
    return _cut(shot[0], moves), _cut(clean, moves)


def _grey(moves: Moves, path: Path) -> tuple[Tensor, Tensor]:
    """Write a stack of 16-bit grey pages; return as `_camera`."""
    generator = torch.Generator().manual_seed(0)
    scenes = _scenes(photograph("coffee").float().mean(0, keepdim=True) / 255, moves)
    # Room on both sides, so that nothing is cut off.
    pages = [
        (8000 + 48000 * (scene + SIGMA / 255 * torch.randn(scene.shape, generator=generator)))
        .round()
        .clamp(0, 65535)
        for scene in scenes
    ]
    stack = np.stack([page[0].numpy().astype(np.uint16) for page in pages])
    tifffile.imwrite(path, stack, photometric="minisblack")  # else four are RGBA
    first, clean = ((page / 65535) for page in (pages[0], 8000 + 48000 * scenes[0]))
    return _cut(first, moves), _cut(clean, moves)


def _scenes(picture: Tensor, moves: Moves) -> list[Tensor]:
    top, left = 60, 150
    return [picture[:, top + y : top + y + SIDE, left + x : left + x + SIDE] for y, x in moves]


def _cut(image: Tensor, moves: Moves) -> Tensor:
    return crop([image] * len(moves), moves)[0]


def _read(path: Path) -> Tensor:
    if path.suffix == ".tif":
        image = tifffile.imread(path)
        image = image if image.ndim == 2 else image[0]
        return torch.from_numpy(image.astype(np.float32))[None] / 65535
    return load_image(path).float() / 255


if __name__ == "__main__":
    sys.exit(main())

"""How well photographs with the noise of cameras are cleaned, by sensitivity.

``python -m tools.cameras`` draws cameras at five ISO levels, lets each take parts of the two
validation photographs, halved, which no network was trained on, and prints a table for every level:
doing nothing, non-local means and BM3D, `unet` with the level that `measure_noise` finds, and the
network for cameras, as `n2n denoise` uses it. The rivals that have to be told a level also get
the best of several, chosen with the clean picture in hand.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d  # noqa: TID251 (a function, not a module)

from n2n_lib import Model, photograph, psnr
from n2n_lib.denoiser import classical, linear
from n2n_lib.denoiser.camera import draw_camera
from n2n_lib.denoiser.estimate import measure_noise
from n2n_lib.denoiser.metrics import ssim
from n2n_lib.denoiser.texture import within_noise

ISO = (100, 400, 1600, 6400, 25600)
SIZE = 192
SHARES = (0.7, 1.0, 1.4)
"""The levels that are tried, as shares of the standard deviation of the noise that is there."""

Picture = tuple[Tensor, Tensor]
Way = Callable[[Tensor, float], Tensor]


def main(arguments: list[str] | None = None) -> int:
    """Print the tables; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.cameras", description=__doc__)
    parser.add_argument("--model", default="unet-camera", help="the network for cameras")
    parser.add_argument("--each", type=int, default=3, help="cameras to each level and photograph")
    parser.add_argument("--quick", action="store_true", help="leave out what is slow: BM3D")
    options = parser.parse_args(arguments)
    torch.set_grad_enabled(False)
    ways = _ways(Model.load(options.model), options.quick)
    print(f"{'':24}" + "".join(f"{f'ISO {iso}':>16}" for iso in ISO) + f"{'s':>8}")
    rows = {name: [] for name in ways}
    seconds = dict.fromkeys(ways, 0.0)
    for iso in ISO:
        pictures = _pictures(iso, options.each)
        for name, (way, told) in ways.items():
            started = time.perf_counter()
            outputs = [_best(way, told, *picture) for picture in pictures]
            seconds[name] += (time.perf_counter() - started) / (1 if told is None else len(SHARES))
            clean = torch.stack([clean for _, clean in pictures])
            rows[name].append(
                (psnr(torch.stack(outputs), clean), ssim(torch.stack(outputs), clean))
            )
    for name, measures in rows.items():
        cells = "".join(f"{f'{level:.2f} dB {likeness:.3f}':>16}" for level, likeness in measures)
        print(f"{name:24}{cells}{seconds[name]:8.1f}")
    print(
        f"PSNR: mean over {len(pictures)} pictures of {SIZE} x {SIZE} a level; SSIM; seconds of all"
    )
    return 0


def _ways(camera: Model, quick: bool) -> dict[str, tuple[Way, bool | None]]:
    """Return ways to clean a picture 0-1 at a level, and whether they are told the best one."""
    unet = Model.load("unet")

    def by(model: Model, noisy: Tensor, sigma: float) -> Tensor:
        return model.predict(255 * noisy, sigma=sigma) / 255

    def measured(noisy: Tensor, _: float) -> Tensor:
        return by(unet, noisy, max(measure_noise(255 * noisy).sigma, 0.5))

    def cleaned(noisy: Tensor, _: float) -> Tensor:
        noisy = 255 * noisy
        return within_noise(noisy, camera.predict(noisy), measure_noise(noisy)) / 255

    few = linear.fitted(noise="camera", **linear.FULL_SIZE)
    ways = {
        "do nothing": (lambda noisy, _: noisy, None),
        linear.NAME: (lambda noisy, _: few(noisy[None])[0], None),
        "nlm, best level": (classical.nlm, True),
        "bm3d, best level": (classical.bm3d, True),
        "unet, measured level": (measured, None),
        "unet, best level": (partial(by, unet), True),
        "unet-camera": (cleaned, None),
    }
    if quick:
        del ways["bm3d, best level"]
    return ways


def _pictures(iso: int, each: int) -> list[Picture]:
    """Let cameras of one sensitivity take parts of the validation photographs."""
    found = []
    for number in range(each):
        for name in ("coffee", "china"):
            generator = torch.Generator().manual_seed(1000 * iso + number)
            camera = replace(draw_camera(generator, iso=iso), scale=1.0)
            scene = avg_pool2d(photograph(name) / 255, 2)  # without noise of its own
            top, left = (
                int(torch.randint(side - SIZE + 1, (), generator=generator))
                for side in scene.shape[1:]
            )
            scene = scene[:, top : top + SIZE, left : left + SIZE]
            noisy, _, clean = camera.pair(scene, generator)
            found.append((noisy, clean))
    return found


def _best(way: Way, told: bool | None, noisy: Tensor, clean: Tensor) -> Tensor:
    """Clean a picture; where a level has to be told, by the best of some."""
    there = 255 * (noisy - clean).std().item()
    levels = [there] if told is None else [share * there for share in SHARES]
    return max((way(noisy, level) for level in levels), key=lambda output: psnr(output, clean))


if __name__ == "__main__":
    sys.exit(main())

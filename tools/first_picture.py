"""Make the first picture of README and book: ``python -m tools.first_picture``.

A photograph that no network was trained on, as a camera at high sensitivity would take it, and what
``n2n denoise`` makes of the file, side by side.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from n2n_lib import photograph
from n2n_lib.denoiser.camera import Camera

TARGET = Path(__file__).resolve().parents[1] / "docs" / "camera.jpg"
CAMERA = Camera(
    iso=12_800, full_well=30_000, lens_blur=0.6, chroma_blur=1.2, quality=95, subsampling="4:2:2"
)
"""A camera of middling size at a sensitivity that a dim café asks for."""

PART = (slice(10, 390), slice(85, 545))
"""Rows and columns of the photograph that are shown."""

GAP = 8


def main() -> int:
    """Write the picture; return the exit status."""
    scene = photograph("coffee") / 255
    taken = CAMERA.expose(scene, torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "noisy.png")
        Image.fromarray((255 * taken).round().byte().permute(1, 2, 0).numpy()).save(path)
        command = [sys.executable, "-m", "n2n_lib", "denoise", path, "--out", folder]
        subprocess.run(command, check=True)
        before, after = (
            np.asarray(Image.open(each))[PART] for each in (path, path.with_stem("noisy-denoised"))
        )
    gap = np.full((len(before), GAP, 3), 255, np.uint8)
    Image.fromarray(np.hstack([before, gap, after])).save(TARGET, quality=92, subsampling=0)
    return 0


if __name__ == "__main__":
    sys.exit(main())

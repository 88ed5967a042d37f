"""Write the frames of lesson 10: what the report's network makes of three thumbnails as it learns.

``python docs/book/train_frames.py`` trains as lesson 10 does (about a minute) and stores the frames
in ``docs/book/training``. The book's build shows them and trains nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from n2n_lib import SGD, Model, MSELoss, psnr, sample_pairs, save_image, to_unit
from n2n_lib.framework.schedules import cosine

FOLDER = Path(__file__).resolve().parent / "training"
STEPS = (0, 50, 400, 3125, 12_500, 25_000)
BATCH, LR = 16, 4.0
SHOWN = (17, 5, 13)
ENLARGE = 5
"""Screen pixels that one pixel of a thumbnail becomes; a browser would blur fewer."""


def strip(images: Tensor) -> Tensor:
    """Lay thumbnails side by side, each pixel a square. ``(N, 3, H, W)`` to ``(3, H', W')``."""
    large = images.repeat_interleave(ENLARGE, 2).repeat_interleave(ENLARGE, 3)
    gap = torch.full((*large.shape[:3], ENLARGE), 255.0)
    return torch.cat([part for image in zip(large, gap, strict=True) for part in image], dim=2)


def main() -> None:
    """Train, and stop at a few steps to draw."""
    torch.set_grad_enabled(False)
    train = sample_pairs(50_000, with_clean=False, generator=torch.Generator().manual_seed(0))
    val = sample_pairs(1000, split="validation", generator=torch.Generator().manual_seed(1_000_003))
    model, shown = Model("report", seed=0), list(SHOWN)
    criterion, optimiser = MSELoss(model.network), SGD(model.network, LR)
    order, said = torch.Generator().manual_seed(0), []
    rows: list[Tensor] = []
    FOLDER.mkdir(exist_ok=True)
    for step in range(STEPS[-1] + 1):
        if step in STEPS:
            found = psnr(to_unit(model.predict(val.noisy1)), to_unit(val.clean))
            said.append({"step": step, "psnr": round(found, 2), "file": f"step-{step:05d}.png"})
            save_image(strip(model.predict(val.noisy1[shown])), FOLDER / said[-1]["file"])
            print(f"step {step}: {found:.2f} dB", flush=True)
        if not rows:
            rows = list(torch.randperm(len(train.noisy1), generator=order).split(BATCH))
        batch = rows.pop()
        optimiser.lr = cosine(LR, step, STEPS[-1])
        criterion(model.network(to_unit(train.noisy1[batch])), to_unit(train.noisy2[batch]))
        optimiser.zero_grad()
        criterion.backward()
        optimiser.step()
    for name, images in (("noisy", val.noisy1), ("clean", val.clean)):
        save_image(strip(images[shown].float()), FOLDER / f"{name}.png")
    nothing = round(psnr(to_unit(val.noisy1), to_unit(val.clean)), 2)
    index = {"nothing": nothing, "frames": said}
    (FOLDER / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Gather the photographs that the shipped networks for photographs are trained on.

``python -m tools.wider FOLDER`` writes them as PNG files: the six training photographs of the
packages, and those below out of the Debian packages lomiri-wallpapers-16.04,
lomiri-wallpapers-20.04 and mate-backgrounds (docs/credits.md names who made them). These come as
JPEGs straight from cameras; reduced, they are clean.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image

from n2n_lib.denoiser.images import save_image
from n2n_lib.denoiser.photographs import photographs

BACKGROUNDS = Path("/usr/share/backgrounds")

REDUCED = {
    "Bridge_by_Sander_Klootwijk": 3,
    "Dragonfly_by_Bolly": 4,
    "Kleiber_by_Lukas_Baubkus": 4,
    "Picture_0B_by_freespace": 2,
    "Picture_1A_by_freespace": 2,
    "Wine_by_Jakkub_Mede": 3,
    "aitzgorri_by_Aitzol_Berasategi": 2,
    "free_by_Peter_Nerlich": 3,
    "friends_by_Aitzol_Berasategi": 2,
    "greentock_by_Peter_Nerlich": 3,
    "life_by_Aitzol_Berasategi": 2,
    "picosdeeuropa_by_Aitzol_Berasategi": 2,
    "seeding_by_Clements_Engelhardt": 4,
    "sunset_by_Aitzol_Berasategi": 3,
    "mate/nature/Aqua": 2,
    "mate/nature/Blinds": 2,
    "mate/nature/Dune": 2,
    "mate/nature/FreshFlower": 2,
    "mate/nature/Garden": 2,
    "mate/nature/GreenMeadow": 2,
    "mate/nature/LadyBird": 2,
    "mate/nature/RainDrops": 2,
    "mate/nature/Storm": 2,
    "mate/nature/TwoWings": 2,
    "mate/nature/Wood": 3,
    "mate/nature/YellowFlower": 2,
}
"""By how much each photograph is reduced, a side."""


def main(arguments: list[str] | None = None) -> int:
    """Write the photographs; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.wider", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the photographs go")
    folder = parser.parse_args(arguments).folder
    missing = [name for name in REDUCED if not (BACKGROUNDS / f"{name}.jpg").is_file()]
    if missing:
        print(
            f"expected {BACKGROUNDS / missing[0]}.jpg and {len(missing) - 1} more: apt-get install "
            "lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 mate-backgrounds",
            file=sys.stderr,
        )
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in photographs("train").items():
        save_image(image, folder / f"{name}.png")
    for name, factor in REDUCED.items():
        with Image.open(BACKGROUNDS / f"{name}.jpg") as image:
            reduced = image.convert("RGB").reduce(factor)
        reduced.save(folder / f"{Path(name).name.split('_by_')[0]}.png")
    print(f"{len(list(folder.glob('*.png')))} photographs in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What files hold beside RGB pixels is kept or said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from n2n_lib.denoiser.embedded import Embedded, read_embedded
from n2n_lib.denoiser.images import load_image, save_image

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def grey(brightest: int, dtype: type = np.uint16) -> Image.Image:
    return Image.fromarray(np.linspace(0, brightest, 64).reshape(8, 8).astype(dtype))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_a_colour_profile_comes_back(suffix: str, tmp_path: Path):
    Image.new("RGB", (8, 8)).save(tmp_path / f"a{suffix}", icc_profile=PROFILE)
    embedded = read_embedded(tmp_path / f"a{suffix}")
    assert embedded == Embedded(PROFILE)
    for name in (f"b{suffix}", "c.bmp"):
        save_image(load_image(tmp_path / f"a{suffix}"), tmp_path / name, profile=PROFILE)
    with Image.open(tmp_path / f"b{suffix}") as image:
        assert image.info["icc_profile"] == PROFILE


def test_a_profile_of_other_channels_is_left_out(tmp_path: Path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png", icc_profile=PROFILE)
    assert read_embedded(tmp_path / "a.png") == Embedded(None, ("its colour profile left out",))


@pytest.mark.parametrize(
    "image, more, remarks",
    [
        (Image.new("RGB", (8, 8)), {}, ()),
        (Image.new("L", (8, 8)), {}, ()),
        (Image.new("RGBA", (8, 8)), {}, ("transparency laid over white",)),
        (Image.new("P", (8, 8)), {"transparency": 0}, ("transparency laid over white",)),
        (grey(65535), {}, ("reduced to 8 bits",)),
        (
            grey(4095),
            {},
            ("reduced to 8 bits", "dark: its brightest value is 4095, white is 65535"),
        ),
    ],
    ids=["rgb", "grey", "rgba", "palette", "16 bits", "12 bits in 16"],
)
def test_what_is_changed_is_said(image, more, remarks, tmp_path: Path):
    image.save(tmp_path / "a.png", **more)
    assert read_embedded(tmp_path / "a.png").remarks == remarks


def test_further_pages_and_large_integers_are_said(tmp_path: Path):
    page = Image.new("RGB", (8, 8))
    page.save(tmp_path / "pages.tif", save_all=True, append_images=[page, page])
    assert read_embedded(tmp_path / "pages.tif").remarks == ("the first of 3 pages",)
    grey(1_000_000, np.int32).save(tmp_path / "int32.tif")
    remarks = read_embedded(tmp_path / "int32.tif").remarks
    assert remarks == ("reduced to 8 bits", "values above 65535 cut to white")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_that_counts_from_white_is_no_negative(dtype: type, tmp_path: Path):
    white = np.iinfo(dtype).max
    stored = np.full((8, 8), white, dtype)  # black, where white is zero
    # Pillow writes 8-bit values as they should look, and 16-bit ones as they are stored.
    image = Image.fromarray(stored if dtype == np.uint16 else white - stored)
    image.save(tmp_path / "a.tif", tiffinfo={262: 0})
    assert torch.equal(load_image(tmp_path / "a.tif"), torch.zeros(3, 8, 8, dtype=torch.uint8))

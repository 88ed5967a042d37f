"""Images and pairs in files, and ranges of values."""

from __future__ import annotations

import math
import os
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from reference import random_image

from n2n_lib.denoiser.images import (
    load_image,
    load_images,
    load_pairs,
    save_image,
    to_uint8,
    to_unit,
)
from n2n_lib.denoiser.metrics import psnr
from n2n_lib.denoiser.photographs import photograph


def test_load_pairs(tmp_path):
    a, b = (random_image(8, 16, seed)[None].repeat(4, 1, 1, 1) for seed in (0, 1))
    for name, legacy in (("new.pkl", True), ("old.pkl", False)):
        torch.save((a, b), tmp_path / name, _use_new_zipfile_serialization=legacy)
        first, second = load_pairs(str(tmp_path / name))
        assert torch.equal(first, a) and torch.equal(second, b)


def test_load_pairs_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.pkl: expected .*found no such file"):
        load_pairs(tmp_path / "none.pkl")


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_load_pairs_never_runs_code(tmp_path):
    trace = tmp_path / "code-was-run"
    with open(tmp_path / "plain.pkl", "wb") as file:
        pickle.dump(Malicious(trace), file)
    torch.save((Malicious(trace), torch.zeros(1)), tmp_path / "torch.pkl")
    for name in ("plain.pkl", "torch.pkl"):
        with pytest.raises(ValueError, match=f"{name}: expected .*uint8 tensors.*does not hold"):
            load_pairs(tmp_path / name)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Malicious(trace)))
    assert trace.exists()  # it would have: the test has teeth


def test_load_pairs_damaged(tmp_path):
    path = tmp_path / "pairs.pkl"
    pair = random_image(8, 8)[None], random_image(8, 8)[None]
    torch.save(pair, path)
    whole = path.read_bytes()
    for part in (b"", b"hello", whole[:100], whole[: len(whole) // 2], whole[:-10]):
        path.write_bytes(part)
        with pytest.raises(ValueError, match=r"pairs.pkl: expected .*uint8 tensors"):
            load_pairs(path)
    with pytest.raises(ValueError, match="uint8 tensors"):
        load_pairs(tmp_path)  # a folder


IMAGES = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (IMAGES, r"got uint8 \(2, 3, 8, 8\)"),
        ((IMAGES,), "got tuple of 1"),
        ((IMAGES, IMAGES[:], IMAGES[:]), "got tuple of 3"),
        ({"a": IMAGES, "b": IMAGES[:]}, "got dict"),
        ((IMAGES, IMAGES[:1]), r"got uint8 \(2, 3, 8, 8\) and uint8 \(1, 3, 8, 8\)"),
        ((IMAGES.float(), IMAGES.float()), "got float32"),
        ((IMAGES[0], IMAGES[0]), r"got uint8 \(3, 8, 8\)"),
        ((IMAGES[:, :1], IMAGES[:, :1]), r"got uint8 \(2, 1, 8, 8\)"),
        ((IMAGES[:0], IMAGES[:0]), r"got uint8 \(0, 3, 8, 8\)"),
        ((IMAGES, "x"), r"and str"),
    ],
)
def test_load_pairs_other_content(tmp_path, content, message):
    path = tmp_path / "other.pkl"
    torch.save(content, path)
    with pytest.raises(ValueError, match=f"other.pkl: expected .*of two uint8 tensors.*{message}"):
        load_pairs(path)


# Image files


def picture(height=9, width=14, seed=0) -> np.ndarray:
    return random_image(height, width, seed).permute(1, 2, 0).numpy()


def loaded(path) -> np.ndarray:
    image = load_image(path)
    assert image.dtype == torch.uint8 and image.shape[0] == 3 and image.is_contiguous()
    return image.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".webp", ".PNG"])
def test_save_and_load_lossless(tmp_path, suffix):
    image = random_image(9, 14)
    path = tmp_path / f"picture{suffix}"
    save_image(image, path)
    assert torch.equal(load_image(path), image)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]  # no temporary file left


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_save_and_load_jpeg(tmp_path, suffix):
    image = photograph("coffee")[:, :64, :64]
    save_image(image, tmp_path / f"picture{suffix}")
    again = load_image(tmp_path / f"picture{suffix}")
    assert psnr(again, image, peak=255) > 30


def test_save_rounds_and_clamps(tmp_path):
    values = torch.tensor([-3.0, 0.4, 0.6, 127.5001, 254.6, 300.0])
    save_image(values.expand(3, 2, 6), tmp_path / "x.png")
    assert loaded(tmp_path / "x.png")[0, :, 0].tolist() == [0, 0, 1, 128, 255, 255]


def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.png"
    save_image(random_image(4, 4), path)
    before = path.read_bytes()

    def fails_halfway(self, file, **options):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fails_halfway)
    with pytest.raises(OSError, match="disk full"):
        save_image(random_image(4, 4, 1), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


@pytest.mark.parametrize(
    ("image", "name", "error", "message"),
    [
        (IMAGES[0], "x.gif", ValueError, "ending in .png, .*got .*x.gif"),
        (IMAGES[0], "x", ValueError, "ending in"),
        (IMAGES, "x.png", ValueError, r"got \(2, 3, 8, 8\)"),
        (IMAGES[0, :1], "x.png", ValueError, r"got \(1, 8, 8\)"),
        (IMAGES[0].long(), "x.png", TypeError, "int64"),
        (IMAGES[0].float() * math.nan, "x.png", ValueError, "NaN"),
        (np.zeros((3, 8, 8)), "x.png", TypeError, "ndarray"),
    ],
)
def test_save_refuses(tmp_path, image, name, error, message):
    with pytest.raises(error, match=message):
        save_image(image, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_load_grey(tmp_path):
    grey = picture()[:, :, 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert np.array_equal(loaded(tmp_path / "grey.png"), np.stack([grey] * 3, axis=2))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_load_16_bit_grey(tmp_path, suffix):
    grey = np.array([[0, 128, 129, 257 * 100, 65535]], dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / f"deep.{suffix}")
    assert loaded(tmp_path / f"deep.{suffix}")[0, :, 1].tolist() == [0, 0, 1, 100, 255]


def test_load_alpha_over_white(tmp_path):
    rgba = np.zeros((1, 3, 4), dtype=np.uint8)
    rgba[0, :, 0] = 200
    rgba[0, :, 3] = 255, 0, 51  # opaque, transparent, 20 %
    Image.fromarray(rgba).save(tmp_path / "alpha.png")
    assert loaded(tmp_path / "alpha.png")[0].tolist() == [
        [200, 0, 0],
        [255, 255, 255],
        [244, 204, 204],
    ]
    la = np.array([[[50, 255], [50, 0]]], dtype=np.uint8)
    Image.fromarray(la, mode="LA").save(tmp_path / "la.png")
    assert loaded(tmp_path / "la.png")[0].tolist() == [[50] * 3, [255] * 3]


def test_load_palette(tmp_path):
    palette = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8), mode="P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    palette.save(tmp_path / "p.png")
    assert loaded(tmp_path / "p.png")[0].tolist() == [[10, 20, 30], [40, 50, 60], [70, 80, 90]]
    palette.save(tmp_path / "t.png", transparency=1)
    assert loaded(tmp_path / "t.png")[0].tolist() == [[10, 20, 30], [255] * 3, [70, 80, 90]]


def test_load_bilevel(tmp_path):
    Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert("1").save(tmp_path / "1.png")
    assert loaded(tmp_path / "1.png")[0].tolist() == [[0] * 3, [255] * 3]


def test_load_first_frame_of_gif(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert loaded(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]


def test_load_applies_orientation(tmp_path):
    pixels = picture(4, 6)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(loaded(tmp_path / "turned.png"), np.rot90(pixels, k=-1))


def test_load_floats(tmp_path):
    grey = np.array([[0, 0.25, 1]], dtype=np.float32)
    Image.fromarray(grey).save(tmp_path / "f.tif")
    assert loaded(tmp_path / "f.tif")[0, :, 1].tolist() == [0, 64, 255]


@pytest.mark.parametrize("share", [1.5, 3])  # Pillow warns above its limit and fails above twice
def test_decompression_bomb(tmp_path, monkeypatch, share):
    Image.fromarray(picture(10, 10)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(100 / share))
    with pytest.raises(ValueError, match=r"image of at most .* pixels, got more: .*bomb.png"):
        load_image(tmp_path / "bomb.png")


def test_load_images_in_order(tmp_path):
    for name in ("b.png", "a.JPG", "c.webp"):
        Image.fromarray(picture()).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "._b.png").write_text("what a Mac leaves on a USB stick")
    (tmp_path / "folder.png").mkdir()
    images = load_images(tmp_path)
    assert list(images) == ["a.JPG", "b.png", "c.webp"]
    assert all(image.shape == (3, 9, 14) for image in images.values())


def test_load_images_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such folder.*none"):
        load_images(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"no such file.*none.png"):
        load_image(tmp_path / "none.png")
    with pytest.raises(ValueError, match=r"\.png, \.jpg.*got none: .*" + tmp_path.name):
        load_images(tmp_path)
    path = tmp_path / "good.png"
    Image.fromarray(picture(50, 50)).save(path)
    with pytest.raises(ValueError, match=r"got a file.*good.png"):
        load_images(path)
    whole = path.read_bytes()
    for bad in (
        whole[: len(whole) // 2],
        b"",
        b"not an image",
        whole[:40] + bytes(60) + whole[100:],
    ):
        (tmp_path / "poor.png").write_bytes(bad)
        with pytest.raises(ValueError, match=r"expected an image, got an unreadable.*poor.png"):
            load_images(tmp_path)


# Ranges


def test_unit_and_back():
    levels = torch.arange(256, dtype=torch.uint8)
    unit = to_unit(levels)
    assert unit.dtype == torch.float32 and unit[0] == 0 and unit[255] == 1
    assert torch.equal(to_uint8(unit), levels)
    assert torch.equal(to_uint8(unit.double()), levels)
    torch.testing.assert_close(to_unit(torch.tensor([-51.0, 306.0])), torch.tensor([-0.2, 1.2]))
    assert to_uint8(torch.tensor([-0.2, 1.2, math.inf])).tolist() == [0, 255, 255]


def test_range_errors():
    with pytest.raises(TypeError, match="int64"):
        to_unit(torch.zeros(3, dtype=torch.long))
    with pytest.raises(TypeError, match="ndarray"):
        to_unit(np.zeros(3))
    with pytest.raises(TypeError, match="uint8"):
        to_uint8(torch.zeros(3, dtype=torch.uint8))
    with pytest.raises(TypeError, match="list"):
        to_uint8([0.5])
    with pytest.raises(ValueError, match="NaN"):
        to_uint8(torch.tensor([math.nan]))

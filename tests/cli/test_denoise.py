"""``n2n denoise``: what becomes of images."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
import tifffile
import torch
from commands import assert_one_line, command, environment, run, tree, well
from given import (
    load,
    photo,
    pixels,
)
from PIL import Image
from reference import generator

import n2n_lib
from n2n_lib.denoiser import image_files, plots
from n2n_lib.denoiser.camera import Cameras, blur
from n2n_lib.denoiser.model import PRETRAINED, WEIGHTS, Model
from n2n_lib.denoiser.noise import Bernoulli, Gaussian, Poisson


def test_denoise_a_photograph(model_file, tmp_path):
    source, out = photo(tmp_path / "photo.png"), tmp_path / "out"
    done = well("denoise", source, "--model", model_file, "--out", out)
    assert {path.name for path in out.iterdir()} == {"photo-denoised.png", "photo-comparison.png"}
    assert str(out / "photo-denoised.png") in done.out
    with Image.open(out / "photo-denoised.png") as image:
        assert image.size == (500, 371) and image.mode == "RGB"
        pixels = np.array(image)
    model = load(model_file)
    expected = model.predict(n2n_lib.load_image(source))
    assert np.array_equal(pixels, expected.permute(1, 2, 0).numpy())
    comparison = np.array(Image.open(out / "photo-comparison.png").convert("RGB"))
    assert comparison.shape[1] > 1.5 * comparison.shape[0]  # side by side


@pytest.mark.parametrize(
    ("name", "mode", "size"),
    [("grey.jpg", "L", (37, 21)), ("alpha.png", "RGBA", (5, 9)), ("palette.gif", "P", (16, 16))]
    + [("one.bmp", "RGB", (1, 1)), ("large.tif", "RGB", (530, 40)), ("web.webp", "RGB", (33, 2))]
    + [("tall.png", "RGB", (1, 100)), ("wide.png", "RGB", (100, 1))],
)
def test_denoise_any_format_and_size(name: str, mode: str, size: tuple, model_file, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(tmp_path / name)
    well("denoise", tmp_path / name, "--model", model_file, "--out", tmp_path / "out")
    name, _, suffix = name.partition(".")
    suffix = suffix.replace("gif", "png").replace("jpg", "png")
    with Image.open(tmp_path / "out" / f"{name}-denoised.{suffix}") as image:
        assert image.size == size and image.mode == ("RGB" if mode == "P" else mode)


def test_denoise_several(model_file, tmp_path):
    sources = [photo(tmp_path / "a.png", 40, 30), photo(tmp_path / "b.png", 20, 50)]
    well("denoise", *sources, "--model", model_file, "--out", tmp_path / "out")
    names = {"a-denoised.png", "a-comparison.png", "b-denoised.png", "b-comparison.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names


def figures(monkeypatch) -> list[tuple]:
    """Keep the arguments of every noisy / denoised / clean figure."""
    kept, draw = [], plots.show_denoising

    def spy(*images, **options):
        kept.append(images)
        return draw(*images, **options)

    monkeypatch.setattr(plots, "show_denoising", spy)
    return kept


@pytest.mark.parametrize(
    ("noise", "model"),
    [
        (("--noise", "gaussian", "--sigma", 50), Gaussian(50.0)),
        (("--noise", "poisson"), Poisson()),
        (("--noise", "bernoulli"), Bernoulli()),
    ],
    ids=["gaussian", "poisson", "bernoulli"],
)
def test_denoise_with_noise_added_first(noise: tuple, model, model_file, tmp_path, monkeypatch):
    source, kept = photo(tmp_path / "photo.png", 120, 90), figures(monkeypatch)
    options = ("--model", model_file, *noise, "--seed", 3)
    well("denoise", source, *options, "--out", tmp_path / "a")
    well("denoise", source, *options, "--out", tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert Image.open(tmp_path / "a" / "photo-denoised.png").size == (120, 90)
    noisy, cleaned, clean = kept[0]
    assert torch.equal(clean, n2n_lib.load_image(source))
    expected = model(n2n_lib.load_image(source).float() / 255, generator(3)) * 255
    assert torch.allclose(noisy, expected, atol=1e-3)
    assert noisy.min() < 0 or noisy.max() > 255  # the network sees what was not clipped
    well("denoise", source, *options[:-1], 4, "--out", tmp_path / "c")
    assert tree(tmp_path / "a") != tree(tmp_path / "c")


@pytest.mark.parametrize(("block", "size"), [(6, (83, 61)), (1, (500, 371)), (100, (5, 3))])
def test_denoise_under_pixel_sampling(block, size, model_file, tmp_path, monkeypatch):
    source, kept = photo(tmp_path / "photo.png"), figures(monkeypatch)
    options = ("--model", model_file, "--noise", "pixels", "--block", block)
    well("denoise", source, *options, "--out", tmp_path / "out")
    assert Image.open(tmp_path / "out" / "photo-denoised.png").size == size
    noisy, _, clean = kept[0]
    width, height = size
    blocks = n2n_lib.load_image(source)[:, : height * block, : width * block].double()
    blocks = blocks.reshape(3, height, block, width, block).permute(0, 1, 3, 2, 4).flatten(3)
    assert torch.allclose(clean.double(), blocks.mean(3), atol=1e-2)
    assert (noisy[..., None] == blocks).any(3).all()  # each is a pixel of its block
    well("denoise", source, *options, "--seed", 1, "--out", tmp_path / "other")
    assert torch.equal(kept[1][2], clean)
    assert torch.equal(kept[1][0], noisy) == (block == 1)  # which one is left to chance


def test_denoise_estimates_the_level_or_is_told(tmp_path, monkeypatch):
    told = []

    def predict(self, images, *, sigma=None, ensemble=False, strength=1.0):
        told.append(sigma)
        return images

    monkeypatch.setattr(Model, "predict", predict)
    clean = n2n_lib.photograph("coffee")[:, :200, :300]
    noisy = 255 * Gaussian(30)(clean.float() / 255, generator(3))
    n2n_lib.save_image(noisy, tmp_path / "noisy.png")
    n2n_lib.save_image(torch.full((3, 64, 64), 99.0), tmp_path / "flat.png")
    one = ("denoise", tmp_path / "noisy.png", "--out", tmp_path / "out")
    assert "grey levels, white: unet)" in well(*one, tmp_path / "flat.png").out
    assert abs(told[0] - 30) < 3
    assert told[1] == pytest.approx(3**0.5)  # never zero; grey, so that the channels share it
    assert "(noise of 12.0 grey levels)" in well(*one, "--sigma", 12).out
    assert "(noise of 25.0 grey levels)" in well(*one, "--noise", "gaussian").out
    assert told[2:] == [12.0, 25.0]


def test_denoise_chooses_the_network_by_the_noise(tmp_path, monkeypatch):
    chosen = []

    def predict(self, images, **options):
        chosen.append((self.network_name, self.sigma, options["strength"]))
        return images

    monkeypatch.setattr(Model, "predict", predict)
    clean = n2n_lib.photograph("coffee")[:, :200, :300]
    noisy, _ = Cameras().exposed(clean / 255, generator(1))
    n2n_lib.save_image(255 * noisy, tmp_path / "shot.png")
    one = ("denoise", tmp_path / "shot.png", "--out", tmp_path / "out")
    assert "of a camera: unet-camera)" in well(*one, "--explain", "--strength", 0.7).out
    assert (tmp_path / "out" / "shot-noise.png").is_file()
    assert "grey levels)" in well(*one, "--sigma", 12).out
    assert "grey levels)" in well(*one, "--model", "unet").out
    well(*one, "--model", "unet-camera")
    unet = ("unet", 25.0, 1.0)
    assert chosen == [("unet", None, 0.7), unet, unet, ("unet", None, 1.0)]


def test_a_network_is_told_more_where_the_colours_share_their_noise(tmp_path, monkeypatch):
    told = []

    def predict(self, images, *, sigma=None, ensemble=False, strength=1.0):
        told.append(sigma)
        return images

    monkeypatch.setattr(Model, "predict", predict)
    clean = n2n_lib.photograph("coffee")[:, :200, :300].float()
    own, common = (12 * torch.randn(n, 200, 300, generator=generator(n)) for n in (3, 1))
    for name, noise in {"own": own, "common": common, "both": own + common}.items():
        n2n_lib.save_image(clean + noise, tmp_path / f"{name}.png")
    sources = [tmp_path / f"{name}.png" for name in ("own", "common", "both")]
    options = ("--sigma", 12, "--out", tmp_path / "out")
    well("denoise", *sources, *options)
    assert told == [12.0, pytest.approx(12 * 3**0.5, rel=0.05), pytest.approx(12 * 2**0.5, rel=0.1)]
    well("denoise", sources[1], *options, "--noise", "gaussian")  # added, each colour its own
    assert told[3] == 12.0


def cleaned_and_told(noisy: torch.Tensor, folder) -> tuple[torch.Tensor, str]:
    """What ``n2n denoise`` makes of an image, and says of it."""
    folder.mkdir()
    n2n_lib.save_image(noisy, folder / "a.png")
    done = well("denoise", folder / "a.png", "--out", folder)
    return pixels(folder / "a-denoised.png"), done.out


def test_noise_of_one_colour_is_taken_away_and_what_has_none_stays(tmp_path):
    clean = n2n_lib.photograph("coffee")[:, :240, :320].float()
    common = torch.randn(1, 240, 320, generator=generator(1))
    result, told = cleaned_and_told(clean + 15 * common, tmp_path / "common")
    before, after = (
        n2n_lib.psnr(a.float(), clean, peak=255) for a in (clean + 15 * common, result)
    )
    assert after > before + 6 and "half" not in told  # 4.3 if the network is not told of it
    drawing = torch.full((3, 160, 160), 250.0)
    drawing[:, 20:140:3, 30:70] = 20.0  # thin lines, sharp on even paper
    result, told = cleaned_and_told(drawing, tmp_path / "drawing")
    assert torch.equal(result.float(), drawing) and "noise of 0.0 grey levels" in told


def test_it_is_said_where_most_of_the_noise_is_left(tmp_path):
    """The grain of film, which is neither white nor that of a sensor."""
    clean = n2n_lib.photograph("coffee")[:, :240, :320].float()
    grain = blur(torch.randn(1, 240, 320, generator=generator(1)), 0.8)
    noisy = clean + 15 * grain / grain.std()
    told = cleaned_and_told(noisy, tmp_path / "film")[1]
    assert "of a camera: unet-camera; less than half of that was taken away)" in told
    told = well("denoise", tmp_path / "film" / "a.png", "--strength", 0.3, "--out", tmp_path).out
    assert "half" not in told  # as asked for


def test_a_file_that_is_named_twice_is_cleaned_once(model_file, two_photographs, tmp_path):
    twice = (two_photographs / "a.png", two_photographs)
    done = well("denoise", *twice, "--model", model_file, "--out", tmp_path / "out")
    assert [line.split(" -> ")[0] for line in done.out.splitlines()] == [
        str(two_photographs / name) for name in ("a.png", "b.png")
    ]


@pytest.mark.parametrize("strength", [-0.5, 2.5])
def test_denoise_refuses_another_strength(strength, two_photographs, tmp_path):
    options = ("--strength", strength, "--out", tmp_path / "out")
    done = run("denoise", two_photographs / "a.png", *options)
    assert_one_line(done, "--strength from 0 to 2", str(strength))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("noise", ["pixels", "poisson", "bernoulli"])
def test_only_gaussian_noise_has_a_level(noise: str, two_photographs, tmp_path, monkeypatch):
    told, predict = [], Model.predict

    def spy(self, images, **options):
        told.append(options["sigma"])
        return predict(self, images, **options)

    monkeypatch.setattr(Model, "predict", spy)
    options = ("--model", "unet", "--noise", noise, "--block", 2)
    out = ("--out", tmp_path / "out")
    assert "grey levels" not in well("denoise", two_photographs / "a.png", *options, *out).out
    well("evaluate", *options, "--data", two_photographs, "--against", "median")
    assert told == [None, None, None]


def test_denoise_adapts_a_copy_to_each_image(model_file, two_photographs, tmp_path):
    options = ("--model", model_file, "--sigma", 20, "--adapt", 3, "--out", tmp_path / "out")
    well("denoise", two_photographs / "a.png", two_photographs / "b.png", *options)
    for name in ("a", "b"):
        image = n2n_lib.load_image(two_photographs / f"{name}.png")
        model = load(model_file)
        model.adapt(image, 20.0, 3, progress=False)
        result = pixels(tmp_path / "out" / f"{name}-denoised.png")
        assert torch.equal(result, model.predict(image, sigma=20.0))


@pytest.mark.parametrize("name", PRETRAINED)
def test_a_shipped_model_by_name(name: str, two_photographs, tmp_path):
    if not (WEIGHTS / f"{name}.pth").exists():
        pytest.skip(f"{name}.pth is not shipped yet")
    source = two_photographs / "b.png"
    well("denoise", source, "--model", name, "--sigma", 25, "--out", tmp_path / "out")
    model = load(name)
    result = pixels(tmp_path / "out" / "b-denoised.png")
    assert torch.equal(result, model.predict(n2n_lib.load_image(source), sigma=25.0))


@pytest.mark.parametrize("room", [1 << 30, 0], ids=["once", "no room to keep them"])
def test_a_folder_is_denoised_and_each_image_decoded_once(
    room: int, model_file, two_photographs, tmp_path, monkeypatch
):
    decoded, read_image = [], image_files.read_image

    def spy(path):
        decoded.append(path.name)
        return read_image(path)

    monkeypatch.setattr(image_files, "read_image", spy)
    monkeypatch.setattr("n2n_lib.cli.denoise.HELD", room)
    (two_photographs / "notes.txt").write_text("no image")
    more = photo(tmp_path / "c.png", 20, 10)
    out = tmp_path / "out"
    well("denoise", two_photographs, more, "--model", model_file, "--out", out)
    assert {p.name for p in out.glob("*-denoised.png")} == {f"{n}-denoised.png" for n in "abc"}
    names = ["a.png", "b.png", "c.png"]
    assert decoded == (names if room else names * 2)
    assert torch.equal(
        pixels(out / "c-denoised.png"), load(model_file).predict(n2n_lib.load_image(more))
    )


def test_names_that_the_terminal_cannot_show_stop_nothing(model_file, tmp_path):
    """A Windows console, or output sent to a file there."""
    names = ["雪é", "b", "IMG [edited]"]
    sources = [photo(tmp_path / f"{name}.png", 9, 8) for name in names]
    out = tmp_path / "run[/x]"
    done = subprocess.run(
        command("denoise", *sources, "--model", model_file, "--out", out),
        env=environment(PYTHONIOENCODING="cp1252"),
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0
    (told,) = done.stderr.decode("cp1252").splitlines()
    assert told.startswith("threads: 1 of ")
    lines = done.stdout.decode("cp1252").splitlines()
    assert [line.split(" -> ")[0] for line in lines] == [
        str(path).replace("雪", "?") for path in sources
    ]
    assert {path.name for path in out.glob("*-denoised.png")} == {
        f"{name}-denoised.png" for name in names
    }


@pytest.mark.parametrize(("other", "options"), [("a-comparison", ()), ("a-noise", ("--explain",))])
def test_no_figure_replaces_an_image_that_is_read(other, options, model_file, tmp_path):
    sources = [photo(tmp_path / f"{name}.png", 20, 10) for name in ("a", other)]
    before = tree(tmp_path)
    done = run("denoise", *sources, "--model", model_file, "--out", tmp_path, *options)
    assert_one_line(done, "expected --out where no image is lost", f"{other}.png")
    assert tree(tmp_path) == before


def test_a_folder_that_stands_in_the_way_of_a_result(model_file, tmp_path):
    (tmp_path / "out" / "photo-denoised.png").mkdir(parents=True)
    source = photo(tmp_path / "photo.png", 20, 10)
    done = run("denoise", source, "--model", model_file, "--out", tmp_path / "out")
    assert_one_line(done, "photo-denoised.png")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["photo-denoised.png"]


def test_sixteen_bits_grey_alpha_and_profile_go_through_the_network(model_file, tmp_path):
    """The real thing: what the network makes of values between two bytes is in the file."""
    grey = (65535 * np.random.default_rng(0).random((40, 50))).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    colour = n2n_lib.photograph("coffee")[:, :40, :50].double() * 257 - 99
    colour = colour.clamp(0).numpy().transpose(1, 2, 0).astype(np.uint16)
    tifffile.imwrite(tmp_path / "colour.tif", colour, photometric="rgb", iccprofile=b"p" * 200)
    alpha = np.arange(2000, dtype=np.uint8).reshape(40, 50)
    both = np.dstack([colour // 257, alpha]).astype(np.uint8)
    Image.fromarray(both).save(tmp_path / "alpha.png")
    sources = [tmp_path / name for name in ("grey.png", "colour.tif", "alpha.png")]
    done = well("denoise", *sources, "--model", model_file, "--out", tmp_path / "out")
    model = load(model_file)

    def seen(values: np.ndarray, white: int) -> torch.Tensor:
        image = torch.from_numpy(np.atleast_3d(values).astype(np.float32)).permute(2, 0, 1)
        return model.predict(image.expand(3, -1, -1) * 255 / white).permute(1, 2, 0)

    with Image.open(tmp_path / "out" / "grey-denoised.png") as image:
        result = np.array(image)
    expected = seen(grey, 65535).mean(2) * 257
    assert result.dtype == np.uint16 and np.abs(result - expected.numpy()).max() <= 1
    assert len(np.unique(result % 257)) > 100  # no multiples of what a byte is
    result = tifffile.imread(tmp_path / "out" / "colour-denoised.tif")
    assert result.dtype == np.uint16
    assert np.abs(result - seen(colour, 65535).numpy() * 257).max() <= 1
    with Image.open(tmp_path / "out" / "alpha-denoised.png") as image:
        result = np.array(image)
    assert np.array_equal(result[..., 3], alpha)
    assert np.abs(result[..., :3] - seen(both[..., :3], 255).numpy()).max() <= 0.51
    assert "colour-denoised.tif (its colour profile left out)" in done.out


@pytest.mark.parametrize("noise", ["gaussian", "poisson", "bernoulli", "pixels"])
def test_a_grey_picture_has_grey_noise_and_no_tint(noise: str, tmp_path, monkeypatch):
    kept, alpha = figures(monkeypatch), np.full((40, 50), 9, np.uint8)
    grey = n2n_lib.photograph("coffee")[1, :40, :50].numpy()
    Image.fromarray(np.dstack([grey] * 3 + [alpha])).save(tmp_path / "a.png")  # grey in RGB
    options = ("--model", "unet", "--noise", noise, "--block", 2, "--out", tmp_path / "out")
    well("denoise", tmp_path / "a.png", *options)
    noisy, cleaned, clean = kept[0]
    for image in (noisy, cleaned, clean):
        assert torch.equal(image[0], image[1]) and torch.equal(image[0], image[2])
    with Image.open(tmp_path / "out" / "a-denoised.png") as image:
        shrunk = noise == "pixels"
        assert (image.size, image.mode) == (((25, 20), "RGB") if shrunk else ((50, 40), "RGBA"))


@pytest.mark.parametrize("names", [("A.png", "a.jpg"), ("\u00e9.png", "e\u0301.jpg")])
def test_names_that_some_file_systems_take_for_one(names: tuple, model_file, tmp_path):
    sources = []
    for number, name in enumerate(names):
        (tmp_path / str(number)).mkdir()
        sources.append(photo(tmp_path / str(number) / name, 9, 8))
    done = run("denoise", *sources, "--model", model_file, "--out", tmp_path / "out")
    assert_one_line(done, "different names")
    assert not (tmp_path / "out").exists()

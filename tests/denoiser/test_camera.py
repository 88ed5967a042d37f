"""The camera: every step against something independent, its noise against the formula."""

from __future__ import annotations

import dataclasses
import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import correlate, gaussian_filter
from scipy.stats import norm, poisson
from skimage.color import rgb2lab

from n2n_lib.denoiser import camera as cameras
from n2n_lib.denoiser.camera import Camera, draw_camera
from n2n_lib.denoiser.photographs import photograph

PLAIN = Camera(
    red_gain=1.0, blue_gain=1.0, vividness=0.0, contrast=0.0, quality=None, follows_edges=False
)
"""A camera that changes no colour and keeps every value."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def values(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=seeded(seed), dtype=torch.float64)


def ramps(height: int = 14, width: int = 13) -> torch.Tensor:
    """Three colours, each linear in row and column in its own way: (3, H, W)."""
    row = torch.arange(height, dtype=torch.float64)[:, None]
    col = torch.arange(width, dtype=torch.float64)
    slopes = ((0.1, 0.01, 0.02), (0.5, -0.02, 0.01), (0.3, 0.005, -0.015))
    return torch.stack([start + down * row + right * col for start, down, right in slopes])


def srgb_to_light(values: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, written down once more."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def light_to_srgb(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def by_scipy(image: torch.Tensor, kernel) -> torch.Tensor:
    """Every channel of (C, H, W), mirrored at the border as the camera does it."""
    planes = [correlate(plane, np.asarray(kernel), mode="mirror") for plane in image.numpy()]
    return torch.from_numpy(np.stack(planes))


# Tone and colour


def test_srgb_against_scikit_image():
    """The luminance that scikit-image finds in sRGB greys, by way of L*a*b*."""
    grey = torch.linspace(0, 1, 101, dtype=torch.float64)
    lightness = rgb2lab(np.repeat(grey.numpy()[None, :, None], 3, axis=2))[0, :, 0]
    bright = ((lightness + 16) / 116) ** 3
    expected = np.where(lightness > 8, bright, lightness * 27 / 24389)
    np.testing.assert_allclose(cameras.srgb_decode(grey), expected, atol=2e-5)


def test_srgb_there_and_back():
    grey = torch.linspace(0, 1, 1001, dtype=torch.float64)
    torch.testing.assert_close(cameras.srgb_encode(cameras.srgb_decode(grey)), grey)
    assert cameras.srgb_encode(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([0, 1])


@pytest.mark.parametrize("contrast", [0.0, 1e-3, 0.3, 0.7, 1.0])
def test_tone_curve_and_its_inverse(contrast):
    x = torch.linspace(0, 1, 1001, dtype=torch.float64)
    y = cameras.tone_curve(x, contrast)
    np.testing.assert_allclose(y, np.polyval([-2 * contrast, 3 * contrast, 1 - contrast, 0], x))
    torch.testing.assert_close(cameras.inverse_tone_curve(y, contrast), x, rtol=0, atol=1e-7)
    assert (y.diff() > 0).all() and y[0] == 0 and y[-1] == pytest.approx(1)
    if contrast:
        assert y[250] < x[250] and y[750] > x[750]


@pytest.mark.parametrize("vividness", [0.0, 0.5, 1.2])
def test_colour_matrix_keeps_grey_and_can_be_undone(vividness):
    matrix = cameras.colour_matrix(vividness)
    torch.testing.assert_close(matrix.sum(1), torch.ones(3, dtype=torch.float64))
    inverse = torch.linalg.inv(matrix)
    assert (inverse >= -1e-12).all()
    image = values(2, 3, 5, 4)
    there = cameras.mix_colours(image, inverse)
    assert ((there >= 0) & (there <= 1)).all()
    torch.testing.assert_close(cameras.mix_colours(there, matrix), image)
    np.testing.assert_allclose(there[0, :, 2, 3], inverse.numpy() @ image[0, :, 2, 3].numpy())


def test_white_balance_there_and_back():
    image = values(3, 20, 20) * 0.9  # no pixel's mean above HIGHLIGHT
    seen = cameras.inverse_white_balance(image, 2.0, 1.6)
    torch.testing.assert_close(seen[0], image[0] / 2)
    torch.testing.assert_close(seen[1], image[1])
    torch.testing.assert_close(seen[2], image[2] / 1.6)
    torch.testing.assert_close(cameras.white_balance(seen, 2.0, 1.6), image)


def test_white_is_a_saturated_sensor():
    greys = torch.linspace(0, 1, 201, dtype=torch.float64).expand(3, 1, 201)
    seen = cameras.inverse_white_balance(greys, 2.5, 1.8)
    assert seen[:, 0, -1].tolist() == [1, 1, 1]
    assert (seen.diff(dim=-1) > 0).all() and seen.max() <= 1
    back = cameras.white_balance(seen, 2.5, 1.8)
    assert (back - greys).min() > -1e-12 and back.max() <= 1
    assert torch.equal(cameras.white_balance(torch.ones(3, 2, 2), 2.5, 1.8), torch.ones(3, 2, 2))


# Mosaic


@pytest.mark.parametrize("pattern", cameras.PATTERNS)
def test_mosaic_follows_its_pattern(pattern):
    image = values(3, 5, 6)
    raw = cameras.mosaic(image, pattern)
    assert raw.shape == (1, 5, 6)
    for row in range(5):
        for col in range(6):
            colour = "RGB".index(pattern[2 * (row % 2) + col % 2])
            assert raw[0, row, col] == image[colour, row, col]


@pytest.mark.parametrize("method", cameras.DEMOSAICINGS)
@pytest.mark.parametrize("pattern", cameras.PATTERNS)
def test_demosaicing_is_exact_on_constants_and_ramps(method, pattern):
    constant = torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)[:, None, None].expand(3, 7, 6)
    back = cameras.demosaic(cameras.mosaic(constant, pattern), pattern, method)
    torch.testing.assert_close(back, constant.clone())  # at the border as well
    image = ramps()
    back = cameras.demosaic(cameras.mosaic(image, pattern), pattern, method)
    torch.testing.assert_close(back[:, 2:-2, 2:-2], image[:, 2:-2, 2:-2])


@pytest.mark.parametrize("method", cameras.DEMOSAICINGS)
def test_demosaicing_keeps_what_was_measured(method):
    raw = values(2, 1, 8, 9)
    back = cameras.demosaic(raw, "GBRG", method)
    torch.testing.assert_close(cameras.mosaic(back, "GBRG"), raw)


def test_bilinear_takes_the_mean_of_its_neighbours():
    raw = values(1, 6, 6)
    red, green, blue = cameras.demosaic(raw)
    r = raw[0]
    assert green[2, 2] == pytest.approx(((r[1, 2] + r[3, 2] + r[2, 1] + r[2, 3]) / 4).item())
    assert blue[2, 2] == pytest.approx(((r[1, 1] + r[1, 3] + r[3, 1] + r[3, 3]) / 4).item())
    assert red[2, 3] == pytest.approx(((r[2, 2] + r[2, 4]) / 2).item())
    assert red[3, 2] == pytest.approx(((r[2, 2] + r[4, 2]) / 2).item())


def test_gradient_follows_an_edge_that_all_colours_share():
    """The paper's point: a grey edge comes out sharper than by plain interpolation."""
    edge = torch.zeros(3, 16, 16, dtype=torch.float64)
    edge[:, :, 8:] = 1
    errors = {
        method: (cameras.demosaic(cameras.mosaic(edge), method=method) - edge).square().mean()
        for method in cameras.DEMOSAICINGS
    }
    assert errors["gradient"] < 0.5 * errors["bilinear"]


def test_bad_mosaics():
    with pytest.raises(ValueError, match="pattern among RGGB"):
        cameras.mosaic(values(3, 4, 4), "RGBG")
    with pytest.raises(ValueError, match="method among bilinear"):
        cameras.demosaic(values(1, 4, 4), method="cubic")
    for shape in ((3, 4, 4), (1, 1, 4), (4, 4)):
        with pytest.raises(ValueError, match=r"mosaic \(..., 1, H, W\)"):
            cameras.demosaic(values(*shape))


# Filters, size, file


def test_convolve_against_scipy():
    image, kernel = values(2, 7, 6), values(3, 5, seed=1).tolist()
    torch.testing.assert_close(cameras.convolve(image, kernel), by_scipy(image, kernel))
    narrow = values(1, 1, 2)  # mirrored several times
    torch.testing.assert_close(cameras.convolve(narrow, kernel), by_scipy(narrow, kernel))


def test_blur_and_sharpening_against_scipy():
    image = values(3, 20, 17)
    planes = [gaussian_filter(p, 1.3, mode="mirror", radius=4) for p in image.numpy()]
    expected = torch.from_numpy(np.stack(planes))
    torch.testing.assert_close(cameras.blur(image, 1.3), expected)
    luma = np.tensordot(cameras.LUMA, image.numpy(), 1)
    detail = luma - gaussian_filter(luma, 1.0, mode="mirror", radius=3)
    torch.testing.assert_close(cameras.sharpen(image, 0.7), image + 0.7 * torch.from_numpy(detail))
    for same in (cameras.blur(image, 0), cameras.sharpen(image, 0)):
        torch.testing.assert_close(same, image)


def test_smoothing_noise_spares_brightness_where_it_is_told_to():
    noise = torch.randn(3, 200, 200, generator=seeded(), dtype=torch.float64)
    torch.testing.assert_close(cameras.smooth_noise(noise, 0, 0), noise, rtol=0, atol=1e-6)
    smooth = cameras.smooth_noise(noise, 0, 2.0)
    luma = torch.tensor(cameras.LUMA, dtype=torch.float64)[:, None, None]
    torch.testing.assert_close((smooth * luma).sum(0), (noise * luma).sum(0), rtol=0, atol=1e-6)
    # White noise under a Gaussian of width s keeps 1 / (4 pi s^2) of its variance.
    difference = [(image[2] - image.mul(luma).sum(0)).var() for image in (smooth, noise)]
    assert difference[0] / difference[1] == pytest.approx(1 / (16 * math.pi), rel=0.1)
    grey = cameras.smooth_noise(noise, 2.0, 0).mul(luma).sum(0).var()
    assert grey / noise.mul(luma).sum(0).var() == pytest.approx(1 / (16 * math.pi), rel=0.1)


@pytest.mark.parametrize("size", [(20, 31), (9, 50), (40, 60), (33, 47)])
def test_resizing_against_pillow(size):
    image = values(1, 33, 47).float()
    expected = Image.fromarray(image[0].numpy(), "F").resize(
        (size[1], size[0]), Image.Resampling.BILINEAR
    )
    got = cameras.resize(image, *size)
    np.testing.assert_allclose(got[0], np.asarray(expected), atol=2e-6)


@pytest.mark.parametrize("subsampling", cameras.SUBSAMPLINGS)
@pytest.mark.parametrize("quality", [60, 95])
def test_jpeg_is_pillows(quality, subsampling):
    image = photograph("coffee")[:, 100:141, 200:253]
    file = io.BytesIO()
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    picture.save(file, "JPEG", quality=quality, subsampling=subsampling)
    expected = np.asarray(Image.open(file))
    got = cameras.jpeg(image[None].float() / 255, quality, subsampling) * 255
    np.testing.assert_array_equal(got[0].permute(1, 2, 0).numpy().round(), expected)
    np.testing.assert_allclose(got.numpy(), got.numpy().round(), atol=1e-4)


def test_jpeg_of_a_cut_out_picture():
    """The blocks of a picture that starts at row 3 and column 5 of one are where they were."""
    whole = photograph("coffee")[:, 96:160, 200:264].float() / 255
    cut = cameras.jpeg(whole[:, 3:, 5:], 70, "4:4:4", grid=(3, 5))
    expected = cameras.jpeg(whole, 70, "4:4:4")
    torch.testing.assert_close(cut[:, 5:, 3:], expected[:, 8:, 8:])
    assert not torch.allclose(
        cameras.jpeg(whole[:, 3:, 5:], 70, "4:4:4")[:, 5:, 3:], cut[:, 5:, 3:]
    )


def test_jpeg_of_one_channel():
    image = values(2, 1, 20, 20)
    got = cameras.jpeg(image, 90)
    assert got.shape == image.shape and got.dtype == image.dtype
    assert (got - image).abs().mean() < 0.05
    with pytest.raises(ValueError, match="1 channel or 3, got 2"):
        cameras.jpeg(values(2, 8, 8), 90)
    with pytest.raises(ValueError, match="subsampling among 4:4:4"):
        cameras.jpeg(image, 90, "4:1:1")


# The noise


@pytest.mark.parametrize(
    "camera",
    [
        Camera(iso=100, full_well=80_000, read_noise=8),
        Camera(iso=6400, full_well=40_000, read_noise=2.5),
        Camera(iso=3200, full_well=5_000, read_noise=1.5, bits=10, black_level=64),
    ],
    ids=["large", "usual", "small"],
)
def test_noise_of_the_sensor_has_mean_and_variance_of_the_formula(camera):
    signal = torch.tensor([0.05, 0.2, 0.5, 0.8], dtype=torch.float64)[:, None, None, None]
    noise = camera.capture(signal.expand(4, 1, 300, 300), seeded()) - signal
    # Written anew, in electrons: shot noise, read noise, and the rounding of the converter.
    white = camera.full_well / (camera.iso / 100)
    step = white / (2**camera.bits - 1 - camera.black_level)
    electrons = signal.flatten() * white + camera.read_noise**2 + step**2 / 12
    torch.testing.assert_close(noise.var((1, 2, 3)), electrons / white**2, rtol=0.025, atol=0)
    torch.testing.assert_close(
        torch.as_tensor(camera.variance(signal.flatten())), electrons / white**2, rtol=1e-9, atol=0
    )
    error = (electrons / white**2 / 300**2).sqrt()
    assert (noise.mean((1, 2, 3)).abs() < 4 * error).all()


def test_few_electrons_have_the_distribution_of_photons_and_electronics():
    camera = Camera(iso=25_600, full_well=10_000, read_noise=1.0, bits=14, black_level=1000)
    white = camera.white
    assert white == pytest.approx(39.0625)
    got = camera.capture(torch.full((1, 300, 300), 0.1, dtype=torch.float64), seeded()) * white
    counts = np.arange(60)
    for bound in (0.5, 2.5, 4.5, 8.5):
        expected = (poisson.pmf(counts, 0.1 * white) * norm.cdf(bound - counts)).sum()
        assert (got < bound).double().mean().item() == pytest.approx(expected, abs=0.006)


def test_black_level_decides_what_becomes_of_the_negative_half():
    dark = torch.zeros(1, 200, 200)
    lifted = Camera(read_noise=10, black_level=512).capture(dark, seeded())
    cut = Camera(read_noise=10, black_level=0).capture(dark, seeded())
    assert (lifted < 0).float().mean() == pytest.approx(0.5, abs=0.02)
    assert cut.min() == 0 and (cut == 0).float().mean() == pytest.approx(0.5, abs=0.03)
    sigma = 10 / Camera().white
    assert cut.mean() == pytest.approx(sigma / math.sqrt(2 * math.pi), rel=0.05)
    bright = Camera(read_noise=10).capture(torch.ones(1, 200, 200), seeded())
    assert bright.max() == 1


def test_noise_of_neighbours_is_correlated_as_interpolation_makes_it():
    """Bilinear: green at a red pixel is the mean of four, so it shares a quarter with each."""
    camera = dataclasses.replace(PLAIN, iso=1600)
    flat = torch.full((3, 400, 400), 0.5)
    light = cameras.srgb_decode(flat)
    raw = camera.capture(cameras.mosaic(light), seeded()).double()
    noise = cameras.demosaic(raw)[1]
    noise = noise - noise.mean()
    measured, filled = noise[0::2, 1::2], noise[0::2, 0::2]
    assert filled.var() / measured.var() == pytest.approx(1 / 4, rel=0.05)
    shared = (measured * filled).mean() / (measured.std() * filled.std())
    assert shared == pytest.approx(0.25 / math.sqrt(0.25), abs=0.02)


# The whole camera


@pytest.mark.parametrize("pattern", ["RGGB", "GBRG"])
def test_there_and_back_without_noise_is_the_photograph(pattern):
    """Every pixel keeps the colour that it measured; smooth pictures come back whole."""
    camera = Camera(pattern=pattern, vividness=0.0, quality=None, follows_edges=False)
    image = photograph("coffee")[:, :64, :64].double() / 255
    assert image.max() < 0.9
    developed = camera.develop(camera.sense(image))
    torch.testing.assert_close(
        cameras.mosaic(developed, pattern), cameras.mosaic(image, pattern), rtol=0, atol=1e-5
    )
    colour = torch.tensor([0.8, 0.3, 0.2], dtype=torch.float64)[:, None, None].expand(3, 8, 8)
    vivid = dataclasses.replace(camera, vividness=1.0)
    torch.testing.assert_close(
        vivid.noise_free(colour, saved=False), colour.clone(), rtol=0, atol=1e-5
    )


def test_following_edges_leaves_the_scene_as_it_is():
    image = photograph("coffee")[:, :64, :96].float() / 255
    assert torch.equal(Camera().noise_free(image, saved=False), image)
    assert not torch.allclose(PLAIN.noise_free(image, saved=False), image, atol=0.02)


@pytest.mark.parametrize("follows_edges", [True, False])
def test_the_lens_blurs_the_light_of_the_scene(follows_edges):
    """By SciPy's blur of what IEC 61966-2-1 calls light; everything then sees the same scene."""
    scene, width = values(3, 30, 28), 0.9
    light = np.stack([gaussian_filter(srgb_to_light(plane), width, mode="mirror", radius=3)
                      for plane in scene.numpy()])  # fmt: skip
    soft = torch.from_numpy(light_to_srgb(light))
    sharp = dataclasses.replace(PLAIN, follows_edges=follows_edges)
    blurred = dataclasses.replace(sharp, lens_blur=width)
    torch.testing.assert_close(blurred.focus(scene), soft, rtol=0, atol=1e-6)
    assert sharp.focus(scene) is scene
    for taken, expected in (
        (blurred.sense(scene), sharp.sense(soft)),
        (blurred.noise_free(scene), sharp.noise_free(soft)),
        (blurred.expose(scene, seeded()), sharp.expose(soft, seeded())),
        (torch.stack(blurred.pair(scene, seeded())), torch.stack(sharp.pair(soft, seeded()))),
    ):
        # One grey level and one photon may fall to the other side of a rounding.
        assert ((taken - expected).abs() > 1e-5).double().mean() < 0.002


def test_a_pair_is_two_independent_exposures():
    camera = Camera(iso=6400, quality=None)
    image = photograph("coffee")[:, 100:228, 100:228].float() / 255
    one, two, free = camera.pair(image, seeded())
    generator = seeded()
    assert torch.equal(one, camera.expose(image, generator))
    assert torch.equal(two, camera.expose(image, generator))
    assert torch.equal(free, camera.noise_free(image))
    noise = torch.stack([(noisy - free).flatten() for noisy in (one, two)])
    assert abs(torch.corrcoef(noise)[0, 1]) < 0.02
    assert noise.std(dim=1).min() > 0.01


@pytest.mark.parametrize("seed", range(6))
def test_drawn_cameras_develop_alike_and_keep_shape_and_input(seed):
    camera = draw_camera(seeded(seed))
    image = photograph("coffee")[:, 100:161, 100:173].float() / 255
    batch = torch.stack([image, image.flip(2)])
    before = batch.clone()
    one, two, free = camera.pair(batch, seeded(1))
    assert torch.equal(batch, before)
    sides = tuple(round(camera.scale * side) for side in (61, 73))
    for result in (one, two, free):
        assert result.shape == (2, 3, *sides) and result.dtype == torch.float32
        assert ((result >= 0) & (result <= 1)).all()
    again = camera.pair(batch, seeded(1))
    assert all(torch.equal(a, b) for a, b in zip((one, two, free), again, strict=True))
    assert not torch.equal(one, two)
    assert camera.expose(image, seeded(1)).shape == (3, *sides)


def test_threads_change_nothing():
    camera, image = draw_camera(seeded(3)), values(3, 64, 64).float()
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(camera.expose(image, seeded()))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*results)


@pytest.mark.parametrize("quality", [None, 80])
def test_grey_stays_grey(quality):
    camera = Camera(iso=6400, grey=True, quality=quality, chroma_blur=1.0, sharpening=0.5)
    image = photograph("coffee")[:1, :64, :64].float().expand(3, -1, -1) / 255
    for result in camera.pair(image, seeded()):
        assert torch.equal(result[0], result[1]) and torch.equal(result[0], result[2])
    colour = dataclasses.replace(camera, grey=False).expose(image, seeded())
    assert (colour[0] - colour[2]).abs().mean() > 0.01


def test_more_sensitivity_more_noise():
    image = photograph("coffee")[:, 100:164, 100:164].float() / 255
    errors = []
    for iso in (100, 400, 1600, 6400, 25_600):
        noisy, _, free = Camera(iso=iso, full_well=40_000).pair(image, seeded())
        errors.append((noisy - free).square().mean().item())
    assert all(more > less for less, more in zip(errors, errors[1:], strict=False))


# Bias


def expected_grey(camera: Camera, grey: float) -> float:
    """Mean of the finished value of a pixel that measures `grey`, summed over its electrons."""
    light = ((grey + 0.055) / 1.055) ** 2.4 if grey > 0.04045 else grey / 12.92
    counts = np.arange(int(camera.white * light * 2 + 200))
    electronics = np.linspace(-5, 5, 801)
    weights = norm.pdf(electronics) / norm.pdf(electronics).sum()
    signal = (counts[:, None] + camera.read_noise * electronics) / camera.white
    signal = np.clip(signal, 0, 1)
    finished = np.where(
        signal <= 0.0031308, 12.92 * signal, 1.055 * signal.clip(0.0031308) ** (1 / 2.4) - 0.055
    )
    return float(poisson.pmf(counts, camera.white * light) @ (finished @ weights))


@pytest.mark.parametrize("grey", [0.0, 0.15, 0.4, 0.98])
def test_bias_of_clipping_and_tone_is_what_the_distribution_says(grey):
    camera = dataclasses.replace(PLAIN, iso=6400, full_well=10_000, read_noise=4.0)
    flat = torch.full((3, 64, 64), grey)
    bias = camera.bias(flat, 40, seeded(), saved=False)
    measured = cameras.mosaic(bias)  # pixels that interpolation leaves as they are
    expected = expected_grey(camera, grey) - grey
    assert measured.mean().item() == pytest.approx(expected, abs=6e-4)
    assert abs(expected) > 2e-3


def test_bias_lifts_shadows_and_lowers_middle_tones():
    camera = Camera(iso=12_800, quality=None)
    bias = [
        camera.bias(torch.full((3, 32, 32), grey), 100, seeded()).mean().item()
        for grey in (0.0, 0.3, 1.0)
    ]
    assert bias[0] > 0.01 and bias[1] < -0.002 and bias[2] < 0.001


@pytest.mark.parametrize(
    ("camera", "nearer"),
    [
        (Camera(iso=400, quality=75), "saved"),
        (Camera(iso=3200, quality=75, subsampling="4:2:0"), "saved"),
        (Camera(iso=3200, quality=95, subsampling="4:4:4"), "unsaved"),
    ],
    ids=["little noise", "subsampled", "noise across the steps"],
)
def test_what_the_mean_of_jpegs_is_near_to(camera, nearer):
    image = photograph("china")[:, 100:164, 200:264].float() / 255
    errors = {
        name: camera.bias(image, 40, seeded(), saved=name == "saved").square().mean().item()
        for name in ("saved", "unsaved")
    }
    assert min(errors, key=errors.get) == nearer


# Drawing and refusing


def test_drawn_cameras_span_the_range():
    generator = seeded()
    drawn = [draw_camera(generator) for _ in range(600)]
    iso = torch.tensor([camera.iso for camera in drawn])
    assert 100 <= iso.min() < 130 and 15_000 < iso.max() <= 25_600
    assert min(camera.white for camera in drawn) >= 59.9
    assert {camera.pattern for camera in drawn} == set(cameras.PATTERNS)
    assert {camera.demosaicing for camera in drawn} == set(cameras.DEMOSAICINGS)
    assert {camera.subsampling for camera in drawn} == set(cameras.SUBSAMPLINGS)
    qualities = [camera.quality for camera in drawn if camera.quality is not None]
    assert len(qualities) / 600 == pytest.approx(0.8, abs=0.05)
    assert min(qualities) < 63 and max(qualities) > 95
    assert 0.5 <= min(camera.scale for camera in drawn) < max(camera.scale for camera in drawn) == 1
    spots = torch.tensor([camera.lens_blur for camera in drawn])
    assert (spots == 0).double().mean().item() == pytest.approx(0.2, abs=0.05)
    assert 1.55 < spots.max() <= 1.6
    assert not any(camera.grey for camera in drawn) and draw_camera(generator, grey=True).grey
    assert draw_camera(seeded(5)) == draw_camera(seeded(5)) != draw_camera(seeded(6))
    assert draw_camera(generator, iso=25_600).white >= 59.9


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"iso": 0}, ValueError, "finite iso > 0, got 0"),
        ({"iso": math.nan}, ValueError, "iso"),
        ({"iso": "100"}, TypeError, "iso to be a number, got '100'"),
        ({"read_noise": -1}, ValueError, "read_noise"),
        ({"lens_blur": -0.5}, ValueError, "lens_blur"),
        ({"red_gain": 0.5}, ValueError, "red_gain"),
        ({"vividness": 2}, ValueError, "vividness"),
        ({"contrast": 1.5}, ValueError, "contrast"),
        ({"bits": 0}, ValueError, "bits from 1 to 24"),
        ({"bits": 12.0}, TypeError, "bits to be an integer, got 12.0"),
        ({"bits": 8, "black_level": 255}, ValueError, "black_level from 0 to 254"),
        ({"quality": 101}, ValueError, "quality from 1 to 100"),
        ({"pattern": "XTRANS"}, ValueError, "pattern among"),
        ({"demosaicing": "best"}, ValueError, "demosaicing among"),
        ({"subsampling": "none"}, ValueError, "subsampling among"),
        ({"grid": 3}, TypeError, "grid as two integers"),
        ({"grid": (0, 8)}, ValueError, "grid from 0 to 7"),
    ],
)
def test_bad_cameras(options, error, message):
    with pytest.raises(error, match=message):
        Camera(**options)


@pytest.mark.parametrize(
    ("clean", "error", "message"),
    [
        ([0.5], TypeError, "photograph as a tensor, got list"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), TypeError, "floating-point photograph"),
        (torch.zeros(1, 8, 8), ValueError, r"got shape \(1, 8, 8\)"),
        (torch.zeros(3, 1, 8), ValueError, "at least 2 x 2"),
        (torch.full((3, 8, 8), 1.1), ValueError, "values 0-1"),
        (torch.full((3, 8, 8), math.nan), ValueError, "values 0-1, got others or NaN"),
    ],
)
def test_bad_photographs(clean, error, message):
    for method in (Camera().expose, Camera().pair):
        with pytest.raises(error, match=message):
            method(clean, seeded())
    with pytest.raises(ValueError, match="copies of at least 1, got 0"):
        Camera().bias(torch.zeros(3, 4, 4), 0, seeded())


# All sorts of cameras


@pytest.mark.parametrize("count", [1, 4, 6])
def test_pairs_are_of_one_size_and_share_their_scene(count):
    clean = values(count, 3, cameras.Cameras.side(32), cameras.Cameras.side(32))
    first, second, without = cameras.Cameras().pairs(clean, 32, seeded(1))
    assert first.shape == second.shape == without.shape == (count, 3, 32, 32)
    assert not torch.equal(first, second)
    again = cameras.Cameras().pairs(clean, 32, seeded(1))
    assert all(torch.equal(a, b) for a, b in zip((first, second, without), again, strict=True))


def test_the_largest_scene_is_just_large_enough():
    for seed in range(40):
        camera = draw_camera(seeded(seed))
        side = math.ceil((32 + 2 * cameras.MARGIN) / camera.scale)
        assert camera.scale >= cameras.SMALLEST and side <= cameras.Cameras.side(32)
        assert round(camera.scale * side) >= 32 + 2 * cameras.MARGIN


def test_exposures_keep_the_size_and_tell_what_they_would_be_without_noise():
    clean = photograph("coffee")[:, :60, :70] / 255
    noisy, without = cameras.Cameras().exposed(clean, seeded(3))
    assert noisy.shape == without.shape == clean.shape
    assert torch.equal(cameras.Cameras()(clean, seeded(3)), noisy)
    batch, _ = cameras.Cameras(together=1).exposed(clean.expand(2, -1, -1, -1), seeded(3))
    assert torch.equal(batch[0], noisy) and not torch.equal(batch[1], noisy)


def test_as_many_images_as_asked_share_a_camera(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        cameras, "draw_camera", lambda *a, **k: drawn.append(1) or Camera(quality=None)
    )
    cameras.Cameras(together=3)(values(7, 3, 8, 8), seeded())
    assert len(drawn) == 3


def test_bad_groups_and_scenes():
    with pytest.raises(ValueError, match="together"):
        cameras.Cameras(0)
    with pytest.raises(ValueError, match="values 0-1"):
        cameras.Cameras()(torch.full((3, 8, 8), 2.0), seeded())

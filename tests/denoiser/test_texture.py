"""`within_noise` takes away the noise and leaves the texture."""

import torch

from n2n_lib import Model, photograph, psnr
from n2n_lib.denoiser import camera, texture
from n2n_lib.denoiser.estimate import NoiseMeasure, measure_noise
from n2n_lib.denoiser.texture import taken_away, within_noise

UNKNOWN = NoiseMeasure(0.0, (), (), (1.0, 0.0), 0.0, 0)


def noise(like, sigma, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return sigma * torch.randn(like.shape, generator=generator)


def told(sigma):
    return NoiseMeasure(sigma, (0.0, 255.0), (sigma, sigma), (1.0, 0.4), 0.5, 99)


def test_noise_alone_is_all_taken_away():
    clean = photograph("coffee").float()
    noisy = clean + noise(clean, 4)
    for measure in (told(4.0), UNKNOWN):
        assert torch.equal(within_noise(noisy, clean, measure), clean)


def test_texture_is_given_back_where_it_was_and_nowhere_else():
    even = torch.full((3, 128, 128), 100.0)
    rough = even + 20 * (torch.arange(128) % 2 * 2.0 - 1)  # stripes, one pixel wide
    clean = torch.cat([even, rough], 2)
    noisy = clean + noise(clean, 4)
    flattened = torch.full_like(clean, 100.0)  # the stripes are gone
    result = within_noise(noisy, flattened, told(4.0))
    left, right = slice(0, 112), slice(144, 256)  # without what lies between
    torch.testing.assert_close(result[..., left], flattened[..., left], rtol=0, atol=1.0)
    share = 2 * 4**2 / (4**2 + 20**2)
    expected = noisy.lerp(flattened, share)[..., right]
    torch.testing.assert_close(result[..., right], expected, rtol=0, atol=1.0)


def test_without_a_measure_it_rests_on_what_is_taken_away_elsewhere():
    clean = photograph("coffee").float()
    noisy = clean + noise(clean, 4)
    smooth = clean.clone()
    smooth[..., 200:328, 200:328] = camera.blur(clean, 3.0)[..., 200:328, 200:328]
    spoilt = (slice(None), slice(216, 312), slice(216, 312))
    result = within_noise(noisy, smooth, UNKNOWN)
    assert psnr(result[spoilt], clean[spoilt], peak=255) > psnr(
        smooth[spoilt], clean[spoilt], peak=255
    )
    assert torch.equal(result[..., :180, :], smooth[..., :180, :])


def test_a_sharp_picture_with_hardly_any_noise_is_hardly_harmed():
    model = Model.load("unet-camera")
    clean = photograph("china")[:, 200:392, 300:492].float()
    noisy = clean + camera.blur(noise(clean, 4), 0.6)
    cleaned = model.predict(noisy)
    before, after, kept = (
        psnr(image, clean, peak=255)
        for image in (noisy, cleaned, within_noise(noisy, cleaned, measure_noise(noisy)))
    )
    assert after < before - 5  # roof tiles are taken for noise
    assert kept > before - 1


def test_shape_type_and_what_is_given_stay_as_they_are():
    clean = photograph("coffee")[:, :101, :75]
    noisy = (clean.float() + noise(clean, 3)).round().clamp(0, 255)
    smooth = camera.blur(clean.float(), 3.0).round()
    originals = noisy.clone(), smooth.clone()
    as_float = within_noise(noisy, smooth, told(3.0))
    as_byte = within_noise(noisy.byte(), smooth.byte(), told(3.0))
    assert (as_float.dtype, as_byte.dtype) == (torch.float32, torch.uint8)
    assert as_float.shape == as_byte.shape == clean.shape
    torch.testing.assert_close(as_byte.float(), as_float, rtol=0, atol=0.5)
    assert torch.equal(noisy, originals[0])
    assert torch.equal(smooth, originals[1])
    tiny = noisy[:, :5, :60]
    assert within_noise(tiny, tiny, told(3.0)) is tiny


def test_strips_change_nothing(monkeypatch):
    clean = photograph("coffee")[:, :101, :75].float()
    noisy, smooth = clean + noise(clean, 3), camera.blur(clean, 3.0)
    whole = within_noise(noisy, smooth, told(3.0))
    monkeypatch.setattr(texture, "ROWS", 16)
    torch.testing.assert_close(within_noise(noisy, smooth, told(3.0)), whole, rtol=0, atol=1e-4)


def test_how_much_was_taken_away():
    clean = torch.full((3, 700, 60), 100.0)
    noisy = clean + noise(clean, 4)
    assert abs(taken_away(noisy, clean) - float((noisy - clean).square().mean().sqrt())) < 1e-4
    assert taken_away(clean.byte(), clean.byte() + 3) == 3.0

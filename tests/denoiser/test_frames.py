"""Frames of one scene: read, aligned, equally bright, masked, trained on, and what is gained."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from reference import assert_same
from skimage import data, filters
from torch import Tensor

from n2n_lib.denoiser import alignment, frames, gains
from n2n_lib.denoiser import stream as stream_module
from n2n_lib.denoiser.alignment import fit_brightness, noise_correlation, still_parts
from n2n_lib.denoiser.frames import open_scenes, prepare
from n2n_lib.denoiser.gains import (
    MEAN,
    MEAN_CLEANED,
    ONE,
    ONE_CLEANED,
    Estimate,
    estimate_gains,
    mean_estimates,
)
from n2n_lib.denoiser.model import Model
from n2n_lib.denoiser.photographs import photograph
from n2n_lib.denoiser.recipe import Recipe
from n2n_lib.denoiser.scene import SAME
from n2n_lib.denoiser.stream import FramesStream
from n2n_lib.denoiser.training import Batches, Watch


def photo(name: str = "coffee", top: int = 60, left: int = 150, side: int = 128) -> np.ndarray:
    """A crop of a photograph, float (side, side, 3), 0-255."""
    return getattr(data, name)()[top : top + side, left : left + side, :3].astype(float)


def noise(shape: tuple[int, ...], sigma: float = 25.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, sigma, shape)


def copies(clean: np.ndarray, count: int, sigma: float = 25.0) -> list[np.ndarray]:
    """Noisy copies, floats that nothing clips."""
    return [clean + noise(clean.shape, sigma, seed) for seed in range(count)]


def as_tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.atleast_3d(image).transpose(2, 0, 1).astype(np.float32))


def bytes_of(image: np.ndarray) -> np.ndarray:
    return image.round().clip(0, 255).astype(np.uint8)


# --------------------------------------------------------------------------------------------------
# Shifts


@pytest.mark.parametrize("name", ["coffee", "astronaut", "chelsea"])
@pytest.mark.parametrize("sigma", [5, 25])
def test_shifts_are_found_to_the_pixel(name: str, sigma: float):
    moves = [(0, 0), (20, -20), (-20, 13), (1, 0), (0, -7), (17, 20)]
    shot = [
        photo(name, 60 + y, 150 + x, 192) + noise((192, 192, 3), sigma, seed)
        for seed, (y, x) in enumerate(moves)
    ]
    assert list(prepare(name, shot).shifts) == moves


def test_frames_are_cut_to_what_they_share():
    """Every value of every frame is where the scene has it."""
    rows, columns = np.mgrid[:40, :50]
    scene = torch.from_numpy(100.0 * rows + columns)
    moves = [(0, 0), (3, -2), (-4, 5)]
    shot = [scene[10 + y : 30 + y, 10 + x : 35 + x][None] for y, x in moves]
    cut = alignment.crop(shot, moves)
    assert {tuple(part.shape) for part in cut} == {(1, 20 - 3 - 4, 25 - 2 - 5)}
    for part in cut[1:]:
        assert_same([part], [cut[0]])


def test_a_shift_beyond_a_quarter_is_refused():
    shot = [photo("coffee", 60 + y, 150, 128) + noise((128, 128, 3), 5, y) for y in (0, 45)]
    with pytest.raises(ValueError, match="a quarter.*32 rows.*got 45 and 0 between a and b"):
        prepare("coffee", shot, ["a", "b"])


def test_frames_too_small_are_refused():
    with pytest.raises(ValueError, match="32 x 32 pixels, got 20 x 20"):
        prepare("small", copies(photo(side=20), 2, 5))


@pytest.mark.parametrize("other", ["astronaut", "chelsea"])
def test_another_scene_is_refused(other: str):
    shot = [photo() + noise((128, 128, 3)), photo(other) + noise((128, 128, 3), seed=1)]
    with pytest.raises(ValueError, match="expected frames of one scene, got b, which.*than a"):
        prepare("two", shot, ["a", "b"])


def test_frames_without_any_detail_are_not_shifted():
    scene = prepare("flat", [noise((64, 64), 5, seed) for seed in range(3)])
    assert list(scene.shifts) == [(0, 0)] * 3


# --------------------------------------------------------------------------------------------------
# Brightness, moving parts


def test_gain_and_offset_are_found():
    gain, offset = np.array([0.8, 0.9, 1.1]), np.array([10, -5, 3])
    shot = copies(photo(), 2)
    found = fit_brightness(as_tensor(shot[0]), as_tensor(shot[1] * gain + offset))
    assert found[0].numpy() == pytest.approx(gain, abs=0.01)
    assert found[1].numpy() == pytest.approx(offset, abs=1.5)


def test_what_moved_does_not_change_the_brightness():
    shot = copies(photo(), 2)
    shot[1] = 0.6 * shot[1] + 20
    shot[1][:50, :50] = 250
    found = fit_brightness(as_tensor(shot[0]), as_tensor(shot[1]))
    assert found[0].numpy() == pytest.approx([0.6] * 3, abs=0.015)


def test_equal_brightness_stays_equal():
    shot = copies(photo(), 2)
    gain, offset = fit_brightness(*map(as_tensor, shot))
    assert gain.tolist() == [1, 1, 1] and offset.tolist() == [0, 0, 0]


def test_the_mask_covers_a_moved_square_and_little_else():
    shot = [as_tensor(image) for image in copies(photo(), 3)]
    square = (slice(40, 70), slice(60, 90))
    shot[1][:, square[0], square[1]] += 150
    moved = ~still_parts(shot)
    assert moved[1][square].all()
    assert not moved[1][square[0], 95:].any() and not moved[1][square[0], :55].any()
    assert moved.sum() < 1.6 * 30 * 30
    assert not (moved[0] | moved[2]).any()


def test_noise_that_grows_with_brightness_is_no_motion():
    clean = photo()
    shot = [as_tensor(clean + noise(clean.shape, 1, s) * clean**0.5 * 3) for s in range(3)]
    assert still_parts(shot).float().mean() > 0.999


def test_of_two_frames_both_lose_what_moved():
    shot = [as_tensor(image) for image in copies(photo(), 2)]
    shot[1][:, 40:70, 60:90] += 150
    valid = still_parts(shot)
    assert not valid[:, 40:70, 60:90].any()
    assert torch.equal(valid[0], valid[1])


def test_the_mean_of_frames_has_no_ghosts():
    shot = copies(photo(), 3, 5)
    shot[2][40:70, 60:90] += 150
    scene = prepare("ghost", shot)
    truth = as_tensor((photo() - scene.low) * 255 / (scene.high - scene.low))
    assert (scene.mean() - truth).abs()[:, 40:70, 60:90].mean() < 5


# --------------------------------------------------------------------------------------------------
# Bad frames


def test_the_same_picture_twice_is_refused():
    shot = [bytes_of(image) for image in copies(photo(), 2)]
    with pytest.raises(ValueError, match="the same picture twice: a and c"):
        prepare("twice", [*shot, shot[0].copy()], ["a", "b", "c"])


def test_one_exposure_cut_twice_is_refused():
    whole = photo(side=160) + noise((160, 160, 3))
    with pytest.raises(ValueError, match="noise of their own"):
        prepare("cut", [whole[:140, :140], whole[8:148, 5:145]])


def test_fine_detail_is_not_taken_for_one_exposure():
    """A sharp scene, of which smooth noise leaves more than itself: it is said, and no more."""
    clean = photograph("china")[:, 100:260, 150:310].permute(1, 2, 0).numpy()
    shot = [
        clean + filters.gaussian(noise(clean.shape, 28, k), 0.8, channel_axis=2) for k in (1, 2)
    ]
    assert noise_correlation(*map(as_tensor, shot)) > SAME
    scene = prepare("sharp", [bytes_of(image) for image in shot])
    assert 8 < scene.level < 12
    assert any("unless the scene is full of detail" in remark for remark in scene.remarks)


@pytest.mark.parametrize("shift", [0, 9])
def test_a_fixed_pattern_is_said(shift: int):
    """Half of the variance is the sensor's own pattern, the same in every frame."""
    pattern = noise((128, 128, 3), 40, 99)
    shot = [
        photo(top=60 + k * shift) + noise((128, 128, 3), 20 if shift == 0 else 40, k) + pattern
        for k in range(2)
    ]
    scene = prepare("pattern", shot)
    assert list(scene.shifts) == [(0, 0), (shift, 0)]
    assert any("agrees by" in remark for remark in scene.remarks)


@pytest.mark.parametrize("sigma", [5, 25])
def test_independent_noise_is_not_suspected(sigma: float):
    shot = copies(photo(), 3, sigma)
    assert prepare("sound", shot).remarks == ()
    assert (
        abs(noise_correlation(as_tensor(noise((64, 64))), as_tensor(noise((64, 64), 5, 7)))) < 0.1
    )


def test_frames_of_other_sizes_are_refused():
    with pytest.raises(ValueError, match="got 128 x 128 x 3 in a and 128 x 127 x 3 in b"):
        prepare("sizes", [photo(), photo()[:, :127]], ["a", "b"])


def test_frames_of_other_depths_are_refused():
    with pytest.raises(ValueError, match="got uint8 in a and float64 in b"):
        prepare("depths", [bytes_of(photo()), photo()], ["a", "b"])


def test_values_that_are_no_numbers_are_refused():
    shot = copies(photo(), 2)
    shot[1][3, 4, 1] = np.nan
    with pytest.raises(ValueError, match="finite values, got nan: b"):
        prepare("nan", shot, ["a", "b"])


def test_a_scene_where_everything_moves_is_refused():
    shot = copies(photo(), 6, 10)
    for number, image in enumerate(shot):
        image[22 * number : 22 * (number + 1)] += 60
    with pytest.raises(ValueError, match="expected frames of street of which 20%.*too much moves"):
        prepare("street", shot)


# --------------------------------------------------------------------------------------------------
# Files


def test_images_of_a_folder_are_a_scene(tmp_path):
    shot = [bytes_of(image) for image in copies(photo(side=64), 3)]
    for number, image in enumerate(shot):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").write_text("two exposures")
    (scene,) = open_scenes(tmp_path)
    assert scene.name == tmp_path.name and len(scene.frames) == 3
    assert scene.dtype == np.uint8 and (scene.low, scene.high) == (0, 255)
    assert_same([scene.frames[0]], [as_tensor(shot[0])])


def test_grey_images_have_one_channel(tmp_path):
    for number, image in enumerate(copies(photo(side=64), 2)):
        Image.fromarray(bytes_of(image.mean(2))).save(tmp_path / f"{number}.png")
    (scene,) = open_scenes(tmp_path)
    assert scene.frames[0].shape == (1, 64, 64)


def test_subfolders_are_scenes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number, image in enumerate(copies(photo(side=64), 2)):
            Image.fromarray(bytes_of(image)).save(tmp_path / name / f"{number}.png")
    (tmp_path / "empty").mkdir()
    assert [scene.name for scene in open_scenes(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("dtype", "colours", "options"),
    [
        (np.uint16, 1, {}),
        (np.uint16, 1, {"imagej": True}),
        (np.uint16, 3, {}),
        (np.float32, 1, {}),
        (np.uint8, 3, {"compression": "zlib"}),
    ],
)
def test_a_stack_is_read_and_written_in_its_own_depth(tmp_path, dtype, colours, options):
    shot = np.stack([image[..., :colours].squeeze() for image in copies(photo(side=64), 5, 10)])
    shot = shot * 12 + 500 if dtype == np.uint16 else shot
    shot = shot.clip(0, 255 if dtype == np.uint8 else None).astype(dtype)
    kind = {} if "imagej" in options else {"photometric": "rgb" if colours == 3 else "minisblack"}
    tifffile.imwrite(tmp_path / "stack.tif", shot, **kind, **options)
    (scene,) = open_scenes(tmp_path / "stack.tif")
    assert scene.name == "stack" and len(scene.frames) == 5
    assert scene.frames[0].shape == (colours, 64, 64) and scene.dtype == dtype
    path = scene.save(scene.frames[0], tmp_path / "back")
    if dtype == np.uint8:
        assert path.suffix == ".png"
        assert (np.array(Image.open(path)) == shot[0]).all()
    else:
        back = tifffile.imread(path)
        assert back.dtype == dtype and back.shape == shot[0].shape
        largest = 0 if dtype == np.uint16 else 1e-3
        assert np.abs(back.astype(float) - shot[0]).max() <= largest


def test_sixteen_bits_in_png_files_are_kept(tmp_path):
    shot = [(image.mean(2) * 100 + 1000).astype(np.uint16) for image in copies(photo(side=64), 2)]
    for number, image in enumerate(shot):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    (scene,) = open_scenes(tmp_path)
    assert scene.dtype == np.uint16
    assert (scene.low, scene.high) == (min(map(np.min, shot)), max(map(np.max, shot)))


def test_one_frame_is_refused_with_another_way(tmp_path):
    Image.fromarray(bytes_of(photo(side=64))).save(tmp_path / "alone.png")
    for path in (tmp_path, tmp_path / "alone.png"):
        with pytest.raises(ValueError, match=r"two or more.*alone\.png.*n2n denoise --adapt"):
            open_scenes(path)


def test_files_that_are_no_images_are_refused(tmp_path):
    Image.fromarray(bytes_of(photo(side=64))).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("hello")
    with pytest.raises(ValueError, match=r"expected an image.*b\.png"):
        open_scenes(tmp_path)
    with pytest.raises(FileNotFoundError, match="nothing.*nowhere"):
        open_scenes(tmp_path / "nowhere")


def test_a_stack_of_pages_that_are_not_read_is_refused(tmp_path):
    """Four channels a page, which one image may have, and transparency is then laid over white."""
    stack = np.stack([bytes_of(image) for image in copies(photo(side=64), 2)])
    stack = np.concatenate([stack, np.full((2, 64, 64, 1), 255, np.uint8)], 3)
    tifffile.imwrite(tmp_path / "rgba.tif", stack, photometric="rgb", extrasamples=["unassalpha"])
    with pytest.raises(ValueError, match=r"one channel or three.*got 4 of RGB.*rgba\.tif"):
        open_scenes(tmp_path / "rgba.tif")


@pytest.mark.parametrize("count", [3, 4])
def test_frames_that_tifffile_marks_as_colours_are_explained(tmp_path, count):
    """It does so by itself with three or four frames, and an instrument's script may not know."""
    frames = np.stack([bytes_of(image)[..., 0] for image in copies(photo(side=64), count)])
    with pytest.warns(DeprecationWarning, match="photometric"):
        tifffile.imwrite(tmp_path / "cells.tif", frames)
    with pytest.raises(ValueError, match=rf"cells\.tif \(its {count} planes.*minisblack"):
        open_scenes(tmp_path / "cells.tif")


def test_a_file_that_is_no_tiff_is_refused(tmp_path):
    (tmp_path / "stack.tif").write_text("hello")
    with pytest.raises(ValueError, match=r"expected an image, got.*stack\.tif"):
        open_scenes(tmp_path / "stack.tif")


def test_a_stack_that_is_cut_short_is_refused(tmp_path):
    path = tmp_path / "stack.tif"
    shot = np.stack(copies(photo(side=64)[..., 0], 4)).astype(np.float32)
    tifffile.imwrite(path, shot, photometric="minisblack", metadata=None)
    path.write_bytes(path.read_bytes()[:-9000])
    with pytest.raises(ValueError, match=r"expected .*stack\.tif"):
        open_scenes(path)


def test_no_more_frames_than_there_is_room_for(tmp_path, monkeypatch):
    tifffile.imwrite(
        tmp_path / "stack.tif",
        np.stack([bytes_of(image) for image in copies(photo(side=64), 5)]),
        photometric="rgb",
    )
    monkeypatch.setattr(frames, "ROOM", 3 * 4 * 64 * 64 * 3)
    (scene,) = open_scenes(tmp_path / "stack.tif")
    assert len(scene.frames) == 3 and "first 3 of 5" in scene.remarks[0]
    monkeypatch.setattr(frames, "ROOM", 4 * 64 * 64 * 3)
    with pytest.raises(ValueError, match=r"fit twice.*stack\.tif, page 1"):
        open_scenes(tmp_path / "stack.tif")


# --------------------------------------------------------------------------------------------------
# Pairs and training


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(stream_module, "CHUNK", 24)


def test_pairs_are_two_frames_at_the_same_place(small_chunks):
    """Input and target are the scene once each, with noise that is not the same."""
    scene = prepare("scene", copies(photo(), 3, 5))
    stream = FramesStream([scene], scene.level, 24, size=16)
    noisy, target, counts = next(stream.batches(ahead=0))
    assert noisy.shape == target.shape == (24, 3, 16, 16) and counts.shape == (24, 1, 16, 16)
    assert (noisy - target).std() == pytest.approx(scene.level * 2**0.5, rel=0.03)
    assert counts.float().mean() > 250  # the last of three frames is held out, but no place


def test_one_channel_is_told_louder_and_shown_fainter(small_chunks):
    """Of three equal channels the network's mean is as noisy as each of them."""
    grey = prepare("scene", [frame[..., 0] for frame in copies(photo(), 2, 10)])
    assert grey.told == pytest.approx(3**0.5 * grey.level)
    noisy, target, _ = next(FramesStream([grey], 50.0, 24, size=16).batches(ahead=0))
    assert (noisy - target).std() == pytest.approx(50 * (2 / 3) ** 0.5, rel=0.05)


def test_the_noise_is_shown_at_the_level_of_the_network(small_chunks):
    scene = prepare("scene", copies(photo(), 2, 10))
    noisy, target, _ = next(FramesStream([scene], 50.0, 24, size=16).batches(ahead=0))
    assert (noisy - target).std() == pytest.approx(50 * 2**0.5, rel=0.05)


def test_frames_that_are_held_out_are_never_seen(small_chunks):
    shot = copies(photo(), 3)
    first = FramesStream([prepare("scene", shot)], 25.0, 24, size=16)
    scene = prepare("scene", shot)
    scene.frames[2].fill_(77)
    second = FramesStream([scene], 25.0, 24, size=16)
    assert_same(list(next(first.batches(ahead=0))), list(next(second.batches(ahead=0))))
    assert first.description != second.description


def test_held_out_pixels_and_moving_parts_do_not_count(small_chunks):
    scene = prepare("scene", copies(photo(), 2))
    assert scene.held_out.float().mean() == pytest.approx(0.25)
    scene.valid[:, :64] = False
    wanted = (~scene.held_out & scene.valid[0]).float().mean().item()
    batches = FramesStream([scene], 25.0, 24, size=128).batches(ahead=0)
    _, _, counts = next(batches)
    assert set(counts.unique().tolist()) == {0, 255}
    assert counts.float().mean() / 255 == pytest.approx(wanted)


def test_pixels_that_do_not_count_change_no_weight():
    """Whatever a target says there, the same weights come out, bit by bit."""
    scene = prepare("scene", copies(photo(side=64), 2))
    x, y = scene.frames[0][None, :, :32, :32], scene.frames[1][None, :, :32, :32]
    counts = torch.full((1, 1, 32, 32), 255, dtype=torch.uint8)
    counts[..., 10:20, 5:25] = 0

    def trained(target: Tensor, counts: Tensor) -> list[Tensor]:
        def batches(first: int):
            while True:
                yield x, target, counts

        model = Model("report", seed=1)
        recipe = Recipe(num_steps=3, epoch_steps=3, batch_size=1, lr=0.5)
        model.fit(Batches(batches, 3, {"data": ""}, 1024), recipe, Watch(progress=False))
        return [parameter for parameter, _ in model.network.param()]

    other = y.clone()
    other[..., 10:20, 5:25] = 1000
    once = trained(y, counts)
    assert_same(trained(other, counts), once)
    everything = torch.full_like(counts, 255)
    pairs = zip(trained(other, everything), once, strict=True)
    assert any(not torch.equal(one, two) for one, two in pairs)


# --------------------------------------------------------------------------------------------------
# What is gained


def blurred(image: Tensor, count: int) -> Tensor:
    """A denoiser that knows nothing of the frames."""
    width = 1.0 if count == 1 else 0.6
    return torch.from_numpy(
        np.stack([filters.gaussian(channel, width) for channel in image.numpy()])
    )


def true_gain(scene: frames.Scene, image: Tensor, clean: np.ndarray, where: Tensor) -> float:
    truth = as_tensor((clean - scene.low) * 255 / (scene.high - scene.low))
    error = (image - truth).square().mean(0)[where].mean()
    first = (scene.frames[0] - truth).square().mean(0)[where].mean()
    return 10 * torch.log10(first / error).item()


@pytest.mark.parametrize(("count", "sigma"), [(2, 10), (2, 30), (3, 30), (6, 10)])
def test_the_estimate_is_the_true_gain(count: int, sigma: float):
    clean = data.coffee()[..., :3].astype(float)
    scene = prepare("coffee", copies(clean, count, sigma))
    everywhere = torch.ones_like(scene.held_out)
    where = scene.held_out if count == 2 else everywhere
    found = estimate_gains(scene, blurred)
    one = true_gain(scene, blurred(scene.frames[0], 1), clean, where)
    assert found[ONE_CLEANED].gain == pytest.approx(one, abs=0.2)
    whole = true_gain(scene, blurred(scene.frames[0], 1), clean, everywhere)
    assert abs(found[ONE_CLEANED].gain - whole) < 3 * found[ONE_CLEANED].spread < 1.5
    assert found[ONE].gain == pytest.approx(0, abs=1e-6)
    mean = scene.mean(scene.training)
    assert found[MEAN].gain == pytest.approx(true_gain(scene, mean, clean, everywhere), abs=0.2)
    if count > 2:
        both = true_gain(scene, blurred(mean, scene.training), clean, where)
        assert found[MEAN_CLEANED].gain == pytest.approx(both, abs=0.2)
    else:
        assert MEAN_CLEANED not in found


def test_a_network_that_knows_a_frame_by_heart_gains_nothing_by_it():
    """It answers with the other frame wherever it was trained on."""
    scene = prepare("scene", copies(photo(side=192), 2))

    def learnt(image: Tensor, count: int) -> Tensor:
        other = scene.frames[1] if torch.equal(image, scene.frames[0]) else scene.frames[0]
        return torch.where(scene.held_out, blurred(image, count), other)

    honest, fooled = (estimate_gains(scene, way)[ONE_CLEANED] for way in (blurred, learnt))
    assert fooled == honest


def test_an_error_below_its_uncertainty_is_finite():
    scene = prepare("scene", copies(photo(side=64), 3))
    truth = as_tensor((photo(side=64) - scene.low) * 255 / (scene.high - scene.low))
    found = estimate_gains(scene, lambda image, count: truth)
    assert 10 < found[ONE_CLEANED].gain < 60


def test_estimates_of_scenes_are_averaged():
    scenes = [{ONE: Estimate(0, 0), MEAN: Estimate(3, 0.3)}, {MEAN: Estimate(5, 0.4)}]
    mean = mean_estimates(scenes)
    assert mean[MEAN] == pytest.approx((4, 0.25)) and mean[ONE] == (0, 0)
    assert gains.rounded(mean)[MEAN] == {"gain": 4, "spread": 0.25}

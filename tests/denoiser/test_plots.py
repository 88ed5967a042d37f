"""Figures: what they show, on a white background, without a trace in pyplot."""

from __future__ import annotations

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from reference import generator
from torch import Tensor

from n2n_lib.denoiser import plots
from n2n_lib.denoiser.evaluation import evaluate_photographs
from n2n_lib.denoiser.networks import report_network, unet
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.module import Module


@pytest.fixture(autouse=True)
def pyplot_is_left_alone():
    """No figure stays open in pyplot and no setting changes, whatever a test draws."""
    plt.close("all")
    settings = dict(plt.rcParams)
    yield
    assert plt.get_fignums() == []
    assert dict(plt.rcParams) == settings


def batch(count: int = 2, height: int = 8, width: int = 10, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, height, width, generator=generator(seed)) * 255


def rendered(figure: Figure) -> np.ndarray:
    """The pixels of the figure as it is saved, ``(H, W, RGBA)``."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    file.seek(0)
    return np.array(Image.open(file).convert("RGBA"))


def drawn(axes) -> np.ndarray:
    (image,) = axes.get_images()
    return np.asarray(image.get_array())


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes]


def every_figure() -> dict[str, Figure]:
    a, b, c = batch(seed=1), batch(seed=2), batch(seed=3)
    return {
        "figure": plots.figure()[0],
        "images": plots.show_images(a, ["one", "two"]),
        "denoising": plots.show_denoising(a, b, c),
        "training": plots.show_training([0.3, 0.2, 0.1], [20.0, 21.0], {"do nothing": 19.0}),
    }


# ---------------------------------------------------------------------- style


@pytest.mark.parametrize("style", ["default", "dark_background"])
@pytest.mark.parametrize("name", ["figure", "images", "denoising", "training"])
def test_the_background_is_white_and_opaque(name: str, style: str):
    with plt.style.context(style):
        pixels = rendered(every_figure()[name])
    edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    assert all((edge == 255).all() for edge in edges)


def luminance(colour) -> float:
    red, green, blue, _ = plt.matplotlib.colors.to_rgba(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("style", ["default", "dark_background"])
@pytest.mark.parametrize("name", ["figure", "images", "denoising", "training"])
def test_text_and_axes_are_dark_on_white(name: str, style: str):
    """Whoever prefers light text on black must be able to read our white figures too."""
    with plt.style.context(style):
        figure = every_figure()[name]
        figure.canvas.draw()
        colours = {}
        for axes in figure.axes:
            texts = [axes.title]
            if axes.axison:
                texts += [axes.xaxis.label, axes.yaxis.label]
                texts += axes.get_xticklabels() + axes.get_yticklabels()
                colours |= {f"{n} spine": s.get_edgecolor() for n, s in axes.spines.items()}
            if axes.get_legend():
                texts += axes.get_legend().get_texts()
            colours |= {t.get_text(): t.get_color() for t in texts if t.get_text()}
    assert len(colours) >= 2
    pale = {text: colour for text, colour in colours.items() if luminance(colour) > 0.5}
    assert not pale


@pytest.mark.parametrize("name", ["figure", "images", "denoising", "training"])
def test_nothing_stays_open_in_pyplot(name: str):
    """Also checked after every test of this file by the fixture above."""
    assert isinstance(every_figure()[name], Figure)
    assert plt.get_fignums() == []


def test_figure_lays_out_axes():
    figure, axes = plots.figure(2, 3, (5.0, 4.0))
    assert axes.shape == (2, 3) and len(figure.axes) == 6
    assert tuple(figure.get_size_inches()) == (5.0, 4.0)
    figure, axes = plots.figure(1, 2, sharey=True)
    assert axes[0].get_shared_y_axes().joined(*axes)


def test_a_legend_has_no_frame_whenever_it_is_made():
    _, axes = plots.figure(1, 2)
    for panel in axes:
        panel.plot([0, 1], label="a line")
        assert not panel.legend(loc="upper left").get_frame_on()
    assert axes[0].legend(frameon=True).get_frame_on()  # for whoever asks for one


def test_the_palette_is_distinct():
    colours = {tuple(plt.matplotlib.colors.to_rgb(colour)) for colour in plots.COLOURS}
    assert len(colours) == len(plots.COLOURS) >= 7


# ---------------------------------------------------------------------- images


def test_an_image_is_drawn_as_it_is():
    figure, axes = plots.figure()
    image = batch(1)[0]
    plots.draw_image(axes, image, "a title")
    assert np.allclose(drawn(axes), image.permute(1, 2, 0).numpy() / 255, atol=1e-6)
    assert axes.get_images()[0].get_interpolation() == "nearest"
    assert axes.get_title() == "a title" and not axes.axison


@pytest.mark.parametrize("shape", [(1, 4, 5), (4, 5)])
def test_a_grey_image(shape: tuple):
    figure, axes = plots.figure()
    image = torch.rand(shape, generator=generator(0))
    plots.draw_image(axes, image, peak=1.0)
    assert np.allclose(drawn(axes), image.reshape(4, 5).numpy())
    assert axes.get_images()[0].get_cmap().name in ("gray", "grey")
    assert axes.get_images()[0].get_clim() == (0, 1)  # not stretched to its darkest and brightest


def test_values_outside_are_clipped_for_the_eye_only():
    figure, axes = plots.figure()
    image = torch.tensor([-50.0, 0.0, 255.0, 400.0]).expand(3, 1, 4)
    plots.draw_image(axes, image)
    assert drawn(axes)[0, :, 0].tolist() == [0, 0, 1, 1]
    assert image[0, 0].tolist() == [-50, 0, 255, 400]


def test_uint8_and_tensors_with_gradients():
    image = batch(1)[0].round()
    with torch.enable_grad():
        leaf = image.clone().requires_grad_()
    for variant in (image.to(torch.uint8), image.double(), leaf):
        figure, axes = plots.figure()
        plots.draw_image(axes, variant)
        assert np.allclose(drawn(axes), image.permute(1, 2, 0).numpy() / 255, atol=1e-6)


def test_a_grid_of_images():
    a, b = batch(3, seed=1), batch(3, seed=2)
    figure = plots.show_images([a, b], ["x", "y", "z"])
    assert titles(figure) == ["x", "y", "z", "", "", ""]
    for axes, image in zip(figure.axes, [*a, *b], strict=True):
        assert np.allclose(drawn(axes), image.permute(1, 2, 0).numpy() / 255, atol=1e-6)
    figure = plots.show_images([list(a), list(b)], [["p", "q", "r"], ["s", "t", "u"]])
    assert titles(figure) == ["p", "q", "r", "s", "t", "u"]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_one_row_of_images(count: int):
    for rows in (batch(count), list(batch(count))):
        figure = plots.show_images(rows)
        assert len(figure.axes) == count and titles(figure) == [""] * count


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (371, 500), (64, 8), (8, 64)], ids=lambda n: str(n)
)
def test_the_figure_has_room_for_the_shape_of_its_images(height: int, width: int):
    """Neither distorted, nor shrunk to a stamp in the middle of white."""
    figure = plots.show_images([torch.zeros(3, height, width)] * 2, height=2.0)
    dark = (rendered(figure)[:, :, :3] == 0).all(-1)
    rows, columns = dark[:, : dark.shape[1] // 2].nonzero()  # of the left image
    image_height, image_width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert image_width / image_height == pytest.approx(width / height, rel=0.02)
    assert image_height > 0.5 * dark.shape[0]
    assert dark.mean() > 0.3


# ---------------------------------------------------------------------- noisy, denoised, clean


def decibels(image: Tensor, clean: Tensor) -> str:
    error = np.square(np.clip(image.double().numpy(), 0, 255) - clean.double().numpy()).mean()
    return f"{10 * np.log10(255**2 / error):.1f} dB"


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_denoising_titles_carry_each_images_psnr(dtype: torch.dtype):
    clean = batch(3, seed=1)
    noise = torch.randn(clean.shape, generator=generator(5))
    noise *= torch.tensor([10.0, 30.0, 90.0]).view(3, 1, 1, 1)
    noisy, denoised = clean + noise, clean + noise / 2
    if dtype == torch.uint8:
        noisy, denoised, clean = (
            t.round().clamp(0, 255).to(dtype) for t in (noisy, denoised, clean)
        )
    figure = plots.show_denoising(noisy, denoised, clean)
    assert len(figure.axes) == 9
    for i in range(3):
        row = titles(figure)[3 * i : 3 * i + 3]
        assert row[0].endswith(decibels(noisy[i], clean[i]))
        assert row[1].endswith(decibels(denoised[i], clean[i]))
        assert row[2] == "clean"
    assert titles(figure)[0].startswith("noisy") and titles(figure)[1].startswith("denoised")
    for i, images in enumerate((noisy, denoised, clean)):
        expected = images[2].permute(1, 2, 0).double().numpy().clip(0, 255) / 255
        assert np.allclose(drawn(figure.axes[6 + i]), expected, atol=1e-6)


def test_denoising_of_one_image_and_of_one_3d_image():
    noisy, denoised, clean = batch(1, seed=1), batch(1, seed=2), batch(1, seed=3)
    four = plots.show_denoising(noisy, denoised, clean)
    three = plots.show_denoising(noisy[0], denoised[0], clean[0])
    expected = [
        f"noisy, {decibels(noisy, clean)}",
        f"denoised, {decibels(denoised, clean)}",
        "clean",
    ]
    assert titles(four) == titles(three) == expected


def test_several_denoisers_by_name():
    noisy, clean = batch(2, seed=1), batch(2, seed=3)
    results = {"ours": batch(2, seed=4), "median": batch(2, seed=5)}
    figure = plots.show_denoising(noisy, results, clean)
    assert len(figure.axes) == 8
    assert titles(figure)[1] == f"ours, {decibels(results['ours'][0], clean[0])}"
    assert titles(figure)[2] == f"median, {decibels(results['median'][0], clean[0])}"


def test_a_turned_grid_has_one_column_an_image():
    noisy, denoised, clean = batch(2, seed=1), batch(2, seed=2), batch(2, seed=3)
    figure = plots.show_denoising(noisy, denoised, clean, across=True)
    assert titles(figure) == [
        *(f"noisy, {decibels(noisy[i], clean[i])}" for i in range(2)),
        *(f"denoised, {decibels(denoised[i], clean[i])}" for i in range(2)),
        *("clean", "clean"),
    ]
    for axes, image in zip(figure.axes, [*noisy, *denoised, *clean], strict=True):
        assert np.allclose(drawn(axes), image.permute(1, 2, 0).numpy() / 255, atol=1e-6)


def test_the_height_of_a_row():
    images = [batch(2, seed=seed) for seed in (1, 2, 3)]
    low, high = (plots.show_denoising(*images, height=h).get_size_inches() for h in (2.0, 4.0))
    assert high[1] == pytest.approx(2 * low[1], rel=0.1) and 8 <= high[1] <= 9


def test_images_on_the_scale_of_the_library():
    noisy, denoised, clean = batch(1, seed=1), batch(1, seed=2), batch(1, seed=3)
    unit = plots.show_denoising(noisy / 255, denoised / 255, clean / 255, peak=1.0)
    assert titles(unit) == titles(plots.show_denoising(noisy, denoised, clean))


def test_a_perfect_result_is_no_error():
    clean = batch(1)
    assert "inf" in titles(plots.show_denoising(clean + 9, clean, clean))[1]


def test_long_titles_are_not_cut_off():
    figure = plots.show_denoising(batch(2, seed=1), batch(2, seed=2), batch(2, seed=3))
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    for axes in figure.axes:
        box = axes.title.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height


# ---------------------------------------------------------------------- curves


def test_training_curves_show_the_numbers():
    losses = [0.4, 0.3, 0.2]
    levels = {"do nothing": 19.5, "tv": 22.5}
    figure = plots.show_training(losses, [20.0, 21.5], levels)
    left, right = figure.axes
    assert left.lines[0].get_ydata() == pytest.approx(losses)
    assert list(right.lines[0].get_xdata()) == [1, 2]
    assert list(right.lines[0].get_ydata()) == [20.0, 21.5]
    assert [float(line.get_ydata()[0]) for line in right.lines[1:]] == [19.5, 22.5]
    names = [text.get_text() for text in right.get_legend().get_texts()]
    assert names == ["our network", "do nothing", "tv"]
    assert len({line.get_linestyle() for line in right.lines}) == 3  # told apart without colours
    assert "dB" in right.get_ylabel() and "mean over images" in right.get_ylabel()
    assert all(
        axes.get_xlabel() and axes.get_ylabel() and axes.get_title() for axes in (left, right)
    )


def test_many_steps_are_averaged_in_short_runs():
    losses = np.linspace(1.0, 0.1, 1001)
    line = plots.show_training(list(losses)).axes[0].lines[0]
    steps, means = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    assert 100 <= len(means) <= 400
    assert np.allclose(means, np.interp(steps, np.arange(1001) + 0.5, losses), atol=1e-3)


@pytest.mark.parametrize("count", [1, 2, 199, 200, 201, 399, 401])
def test_every_number_of_steps(count: int):
    line = plots.show_training([0.5] * count).axes[0].lines[0]
    assert len(line.get_ydata()) >= min(count, 200)
    assert np.allclose(np.asarray(line.get_ydata()), 0.5)


def test_one_epoch_and_no_validation():
    for val_psnr in ([], [20.0]):
        pixels = rendered(plots.show_training([0.3], val_psnr))
        assert (pixels[0] == 255).all()


def test_epochs_are_whole_numbers():
    figure = plots.show_training([0.1] * 4, [20.0, 21.0], {"do nothing": 19.0})
    figure.canvas.draw()
    ticks = figure.axes[1].get_xticks()
    assert np.array_equal(ticks, np.round(ticks))


def test_no_comparison_is_left_out():
    """However many levels there are, each has a line."""
    levels = {f"method {i}": 20.0 + i for i in range(9)}
    names = plots.show_training([0.1], [20.0], levels).axes[1].get_legend().get_texts()
    assert [text.get_text() for text in names] == ["our network", *levels]


# ---------------------------------------------------------------------- speeds


def test_bars_are_as_long_as_the_speeds():
    speeds = {"small": {"ours": 1.5, "torch": 1.0}, "large": {"torch": 0.8}}
    figure = plots.show_speeds(speeds, reference="the fastest")
    (axes,) = figure.axes
    assert sorted(bar.get_width() for bar in axes.patches) == [0.8, 1.0, 1.5]
    assert [text.get_text().strip() for text in axes.texts] == ["1.50", "1.00", "0.80"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["small", "large"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ours", "torch"]
    assert "the fastest" in axes.get_xlabel()
    assert (rendered(figure)[0] == 255).all()


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def test_a_network_is_drawn_with_the_shapes_of_its_tensors():
    network = unet(width=4, depth=1, convs=0, generator=generator(0))
    before = [parameter.clone() for parameter, _ in network.param()]
    drawn = plots.show_network(network, (3, 8, 12))
    # input, opening, down, up, concatenation, joining, last, sum
    assert labels(drawn)[::2] == ["3", "4", "8", "4", "8", "4", "3", "3"]
    assert labels(drawn)[1::2] == ["8×12"] * 2 + ["4×6"] + ["8×12"] * 5
    assert "forward" not in vars(network) and "forward" not in vars(network.f[0])
    assert all(map(torch.equal, before, (parameter for parameter, _ in network.param())))
    assert rendered(drawn).std() > 0


def test_a_chain_without_branches_is_drawn_too():
    drawn = plots.show_network(report_network(generator=generator(0)).to(torch.float64))
    assert labels(drawn)[1::2] == ["32×32", "16×16", "8×8", "17×17", "32×32"]


class Twice(Module):
    def forward(self, x):
        return 2 * x

    def backward(self, grad_output):
        return 2 * grad_output


def test_a_module_is_drawn_with_both_directions():
    module = Conv2d(2, 3, kernel_size=2, generator=generator(0))
    drawn = plots.show_module(module, torch.ones(1, 2, 5, 4))
    assert labels(drawn) == [
        "Conv2d",
        "weight_grad\n(3, 2, 2, 2)",
        "bias_grad\n(3,)",
        "$x$ (1, 2, 5, 4)",
        "$\\partial L/\\partial x$\n(1, 2, 5, 4)",
        "$y$ (1, 3, 4, 3)",
        "$\\partial L/\\partial y$\n(1, 3, 4, 3)",
    ]
    assert module._saved is None, "a copy has run"
    assert rendered(drawn).std() > 0


@pytest.mark.parametrize(
    "length, names", [(1, ["x", "y"]), (2, ["x", "z", "y"]), (3, ["x", "z_1", "z_2", "y"])]
)
def test_a_chain_of_modules_is_drawn_box_by_box(length: int, names: list[str]):
    drawn = plots.show_module([Twice()] * length, torch.ones(2, 3))
    assert labels(drawn)[:length] == ["Twice"] * length
    assert labels(drawn)[length::2] == [f"${name}$ (2, 3)" for name in names]


# ---------------------------------------------------------------------- crops of photographs


def test_crops_show_the_most_detailed_place_of_each_photograph():
    """Flat but for one square on the grid of half crops, and one photograph below the size."""
    large, small = torch.full((3, 80, 120), 90.0), batch(1, 20, 30, seed=4)[0]
    large[:, 32:64, 48:80] = batch(1, 32, 32, seed=5)[0]
    pairs = {name: (clean + 300, clean) for name, clean in (("x", large), ("y", small))}
    rows = list(evaluate_photographs(pairs, {"half": lambda image: image / 2}))
    made = plots.show_crops(rows, pairs, size=32)
    values = [f"{row.psnr:.2f} dB" for row in rows]
    assert titles(made) == [
        *(f"noisy, {values[0]}", f"half, {values[1]}", "clean: x"),
        *(f"noisy, {values[2]}", f"half, {values[3]}", "clean: y"),
    ]
    place = slice(None), slice(32, 64), slice(48, 80)
    crops = [row.output[place] for row in rows[:2]] + [large[place]]
    crops += [row.output for row in rows[2:]] + [small]
    for axes, crop in zip(made.axes, crops, strict=True):
        assert np.allclose(drawn(axes), crop.permute(1, 2, 0).numpy() / 255, atol=1e-5)


def test_large_images_are_thinned(monkeypatch):
    monkeypatch.setattr(plots, "LARGEST", 10)
    image = torch.rand(3, 25, 14) * 255
    made = plots.show_images([image])
    (drawn,) = made.axes[0].get_images()
    assert drawn.get_array().shape == (9, 5, 3)
    expected = image[:, ::3, ::3].permute(1, 2, 0).double() / 255
    assert np.allclose(drawn.get_array(), expected)


@pytest.mark.parametrize("entries", [[(2, (0, 1), (3.0, 2.0))], [(2, (0, 1), (1.0, 1.0))] * 2, []])
def test_a_tape_leaves_no_empty_strip_above_its_arcs(entries: list):
    """However long the tape is: only what lies above the arcs counts."""
    names = ["x", "y", "p", "q", "r", "s", "z"]
    (axes,) = plots.show_tape(names, [1.0] * 7, entries, [1.0] * 7).axes
    highest = max([0.35, *(line.get_ydata().max() for line in axes.lines)])
    assert highest < axes.get_ylim()[1] < highest + 0.8

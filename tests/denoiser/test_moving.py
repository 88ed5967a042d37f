"""Pictures under a slider: every frame is there; HTML, picture and text mean the same."""

from __future__ import annotations

import base64
import io
import json
import re
from html import unescape

import numpy as np
import pytest
import torch
from PIL import Image

from n2n_lib.denoiser import plots


def drawing(seen: list):
    def draw(**values):
        seen.append(values)
        figure, axes = plots.figure(size=(2, 1))
        axes.set_title(str(values))
        return figure

    return draw


def decoded(source: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))))


def test_a_frame_for_each_combination_in_the_order_that_the_script_counts():
    seen = []
    moving = plots.play(drawing(seen), lr=[0.1, 0.2, 0.5], steps=[1, 2])
    assert seen == [{"lr": a, "steps": b} for a in (0.1, 0.2, 0.5) for b in (1, 2)]
    frames = json.loads(re.search("data-frames='(.*?)'", moving.html).group(1))
    assert len(frames) == len(set(frames)) == 6
    inputs = re.findall(r'name="(\w+)" min="0" max="(\d)" value="(\d)"', moving.html)
    assert inputs == [("lr", "2", "1"), ("steps", "1", "1")]
    shown = re.search('<img src="(.*?)"', moving.html).group(1)
    assert shown == frames[1 * 2 + 1]
    told = [json.loads(unescape(text)) for text in re.findall("data-told='(.*?)'", moving.html)]
    assert told == [["0.1", "0.2", "0.5"], ["1", "2"]]
    assert decoded(shown).shape == (round(110 * 1.5), round(220 * 1.5), 3)


def test_what_a_notebook_gets():
    bundle = plots.play(drawing([]), h=[1, 2])._repr_mimebundle_()
    assert set(bundle) == {"text/html", "image/png", "text/plain"}
    assert bundle["text/plain"] == "<a picture to move: h>"
    assert decoded("," + bundle["image/png"]).shape == (165, 330, 3)
    assert "<script" not in bundle["text/html"] and " id=" not in bundle["text/html"]


def test_every_slider_keeps_its_arrow_keys_from_jupyterlab():
    image = torch.zeros(3, 4, 4)
    for moving in (plots.play(drawing([]), a=[1, 2], b=[3]), plots.before_after(image, image)):
        sliders = re.findall(r"<input [^>]*>", re.sub("=>", "", unescape(moving.html)))
        assert sliders and all(" data-lm-suppress-shortcuts " in slider for slider in sliders)


def test_names_cannot_break_the_page():
    image = torch.zeros(3, 4, 4)
    moving = plots.before_after(image, image, ('"><script>', "b'"))
    assert "<script" not in moving.html and "&lt;script&gt;" in moving.html


def test_before_and_after_keep_every_pixel():
    before, after = torch.randint(0, 256, (2, 3, 5, 7), dtype=torch.uint8)
    moving = plots.before_after(before, after, width=70)
    left, right = (decoded(source) for source in re.findall('<img src="(.*?)"', moving.html))
    assert left.shape == right.shape == (50, 70, 3)  # enlarged here: a page may blur
    still = np.array(moving.still)
    assert still.shape == (50, 148, 3)
    assert np.array_equal(still[:, :70], left) and np.array_equal(still[:, 78:], right)
    for shown, image in ((left, before), (right, after)):
        expected = image.repeat_interleave(10, 1).repeat_interleave(10, 2).permute(1, 2, 0)
        assert np.array_equal(shown, expected.numpy())


def test_a_photograph_is_not_enlarged():
    image = torch.randint(0, 256, (3, 40, 60), dtype=torch.uint8)
    moving = plots.before_after(image, image, width=90)
    assert decoded(re.search('<img src="(.*?)"', moving.html)[1]).shape == (40, 60, 3)
    assert "n2n-sharp" not in moving.html.replace(".n2n-sharp", "")


def test_without_style_and_script_nothing_is_left_that_does_not_work():
    """As JupyterLab shows a notebook that it does not trust, and as web sites do."""
    image = torch.zeros(3, 4, 4)
    for moving in (plots.play(drawing([]), of_a=[1, 2], b=[3]), plots.before_after(image, image)):
        html = re.sub(r"<style>.*?</style>", "", moving.html, flags=re.S)
        html = re.sub(r""" (style|on\w+|data-[\w-]+)=("[^"]*"|'[^']*')""", "", html)
        html = re.sub(r'<label hidden="hidden">.*?</label>', "", html)
        html = re.sub(r'<input [^>]*hidden="hidden"[^>]*>', "", html)
        assert "<input" not in html and "<output" not in html
        told = " ".join(re.sub(r"<[^>]*>", " ", html).split())
        assert "Run the cell, or trust the notebook" in told
        pictures = re.findall(r"<img [^>]*>", html)
        widths = {1: ["220"], 2: ["49%", "49%"]}[len(pictures)]
        assert [re.search(r'width="(.*?)"', each)[1] for each in pictures] == widths
    assert told.startswith("Left: noisy. Right: denoised.")


@pytest.mark.parametrize(
    "sliders, message",
    [
        ({}, "one or more sliders"),
        ({"a": []}, "one or more sliders"),
        ({"a": range(8), "b": range(8)}, "at most 60 figures, got 64"),
    ],
)
def test_sliders_that_cannot_be_shown(sliders, message):
    seen = []
    with pytest.raises(ValueError, match=message):
        plots.play(drawing(seen), **sliders)
    assert not seen


def test_two_pictures_of_one_size():
    with pytest.raises(ValueError, match=r"got \(3, 4, 4\) and \(3, 4, 5\)"):
        plots.before_after(torch.zeros(3, 4, 4), torch.zeros(3, 4, 5))

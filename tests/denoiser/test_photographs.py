"""The photographs that installed packages carry."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from n2n_lib.denoiser import photographs as photographs_module
from n2n_lib.denoiser.photographs import PHOTOGRAPHS, photograph, photographs

SIZES = {
    "astronaut": (512, 512),
    "chelsea": (300, 451),
    "rocket": (427, 640),
    "motorcycle": (500, 741),
    "grace_hopper": (600, 512),
    "flower": (427, 640),
    "coffee": (400, 600),
    "china": (427, 640),
}


def test_photographs_and_their_split():
    images = photographs()
    assert {name: tuple(image.shape[1:]) for name, image in images.items()} == SIZES
    for image in images.values():
        assert image.dtype == torch.uint8 and image.shape[0] == 3 and image.is_contiguous()
        assert image.float().std() > 30  # a picture, not a blank
        # Colour, and so not a grey image three times over.
        assert (image[0].float() - image[2].float()).abs().mean() > 5
    assert list(photographs("validation")) == ["coffee", "china"]
    train = list(photographs("train"))
    assert train == [name for name in SIZES if name not in ("coffee", "china")]


def test_photographs_are_the_files_of_the_packages():
    from matplotlib.cbook import get_sample_data
    from skimage import data as skimage_data
    from sklearn.datasets import load_sample_image

    left, right, _ = skimage_data.stereo_motorcycle()
    with get_sample_data("grace_hopper.jpg") as file, Image.open(file) as image:
        read = {"motorcycle": left, "grace_hopper": np.array(image)}
    for photo in PHOTOGRAPHS:
        if photo.package == "scikit-learn":
            read[photo.name] = load_sample_image(f"{photo.name}.jpg")
        elif photo.name not in read:
            read[photo.name] = getattr(skimage_data, photo.name)()
    for name, image in photographs().items():
        assert np.array_equal(image.permute(1, 2, 0).numpy(), read[name]), name
    assert not np.array_equal(left, right)


def test_a_package_without_its_photographs_is_one_clear_error(tmp_path: Path, monkeypatch):
    (tmp_path / "sklearn").mkdir()
    (tmp_path / "sklearn" / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "sklearn", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FileNotFoundError, match="expected scikit-learn with .* none of 'china' in"):
        photograph("china")
    monkeypatch.setattr(photographs_module, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="No module named 'sklearn'"):
        photograph("china")


def test_photographs_need_no_network():
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise AssertionError('network')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "from n2n_lib import photographs\n"
        "print(len(photographs()))\n"
    )
    assert hasattr(socket.socket, "connect")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("8\n", "")


def test_every_photograph_is_credited():
    for photo in PHOTOGRAPHS:
        assert all((photo.title, photo.credit, photo.licence)), photo.name
        assert photo.package in ("scikit-image", "scikit-learn", "matplotlib")
    with pytest.raises(AttributeError):
        PHOTOGRAPHS[0].split = "validation"


def test_unknown_names():
    with pytest.raises(ValueError, match=r"'astronaut', 'chelsea'.* got 'lena'"):
        photograph("lena")
    with pytest.raises(ValueError, match="'train', 'validation' or None, got 'test'"):
        photographs("test")

"""The photographs that installed packages carry."""

from __future__ import annotations

import socket
import subprocess
import sys

import numpy as np
import pytest
import torch

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
    from skimage import data as skimage_data
    from sklearn.datasets import load_sample_image

    left, right, _ = skimage_data.stereo_motorcycle()
    motorcycle = photograph("motorcycle").permute(1, 2, 0).numpy()
    assert np.array_equal(motorcycle, left) and not np.array_equal(motorcycle, right)
    coffee = photograph("coffee").permute(1, 2, 0).numpy()
    assert np.array_equal(coffee, skimage_data.coffee())
    china = photograph("china").permute(1, 2, 0).numpy()
    assert np.array_equal(china, load_sample_image("china.jpg"))


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

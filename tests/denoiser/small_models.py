"""Small models, easy tasks and short trainings that the tests of the denoiser share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from reference import generator
from torch import Tensor

from n2n_lib.denoiser.model import Model
from n2n_lib.denoiser.sampling import sample_pairs
from n2n_lib.denoiser.stream import PairStream
from n2n_lib.framework.conv import Conv2d

FLOAT32_ERROR = 1e-4  # on the scale 0-1


def images(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Random images 0-255."""
    values = torch.rand(shape, generator=generator(seed)) * 255
    return values.round().to(dtype) if dtype == torch.uint8 else values.to(dtype)


def pairs(count: int = 40, height: int = 8, width: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    """An easy task: images of one colour each, and two copies with noise of deviation 30."""
    source = generator(7)
    clean = 40 + 170 * torch.rand(count, 3, 1, 1, generator=source)
    clean = clean.expand(count, 3, height, width).contiguous()
    noise = 30 * torch.randn(2, count, 3, height, width, generator=source)
    return clean + noise[0], clean + noise[1], clean


def lively(seed: int = 0, network: str = "report") -> Model:
    """A network with weights large enough that every pixel depends on its surroundings.

    Fresh weights of a Xavier network give an almost even grey, on which few mistakes would show.
    Those of the U-Net, which are He's, are large enough.
    """
    model = Model(network, seed=seed)
    scale = 1.0 if network == "unet" else 2.5
    model.network.set_params([scale * parameter for parameter, _ in model.network.param()])
    return model


def weights(model: Model) -> list[Tensor]:
    return [parameter.clone() for parameter, _ in model.network.param()]


def are_finite(tensors: list[Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


def pixel_psnr(image: Tensor, clean: Tensor) -> float:
    """PSNR of 0-255 images, mean over images, in NumPy."""
    error = np.square((image.double() - clean.double()).numpy()).mean((1, 2, 3))
    return float(np.mean(10 * np.log10(255**2 / error)))


def assert_refuses(
    call: Callable, error: type[Exception] | tuple[type[Exception], ...], *fragments: str
) -> None:
    """The call raises this error, in one line that holds "expected" and then every fragment."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    position = 0
    for fragment in ("expected", *fragments):
        assert fragment in message[position:], f"no {fragment!r} in {message!r}"
        position = message.index(fragment, position)


def rising(dtype: torch.dtype = torch.float32) -> Model:
    """A network that nothing keeps within 0-1."""
    return Model("unet", width=2, depth=1, convs=0).to(dtype)


A, B, C = pairs(6)


class Stopped(BaseException):
    """As Ctrl-C: no ordinary exception."""


DATA = pairs(22)


def truncated(whole: bytes, length: float) -> bytes:
    return whole[: length if isinstance(length, int) else int(length * len(whole))]


def photo(seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8, generator=generator(seed))


def stream(batch_size: int = 4, **options) -> PairStream:
    options = {"images": [photo()], "size": 8, "noise": "gaussian", "seed": 2} | options
    return PairStream(batch_size, **options)


def few_at_once(monkeypatch) -> None:
    monkeypatch.setattr("n2n_lib.denoiser.stream.CHUNK", 16)


def filter_model(seed: int = 1) -> Model:
    return Model(Conv2d(3, 3, 3, padding=1, generator=generator(seed)))


HELD_OUT = tuple(sample_pairs(3, images=[photo(1)], size=8, generator=generator(5))[:2])


STEPS = 20


def run_stream(
    path: Path | None = None, *, stop: int | None = None, resume: bool = True, **changes
) -> Model:
    """Train on a stream in four epochs, from other initial weights when `path` is given."""
    options = {"optimiser": "adam", "lr": 1e-2, "ema": 0.9, "epoch_steps": 5, "held_out": HELD_OUT}
    options |= changes
    model = options.pop("model", None) or filter_model()

    def after_epoch(model: Model) -> None:
        if model.history.epochs == stop:
            raise Stopped

    try:
        model.train_stream(
            options.pop("stream", None) or stream(),
            options.pop("num_steps", STEPS),
            checkpoint=path,
            resume=resume,
            progress=False,
            on_epoch=after_epoch,
            **options,
        )
    except Stopped:
        assert stop is not None
    assert not [t for t in threading.enumerate() if t.name == "n2n-pairs"]
    return model

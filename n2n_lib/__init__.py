"""n2n: a deep-learning framework built by hand, and the denoiser that it trains.

Every module of the framework has an explicit ``forward`` and ``backward``; nothing uses autograd
or ``torch.nn``. The lessons in ``notebooks/`` derive each file of ``n2n_lib/framework``.

What stands in `PUBLIC` can be imported from here, ``from n2n_lib import Conv2d, Model``, and is
loaded when it is first asked for, so that ``import n2n_lib`` takes no time of its own.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from n2n_lib.support import moved

__version__ = "0.1.0"

PUBLIC = {
    "framework.activations": "ELU LeakyReLU ReLU Sigmoid",
    "framework.containers": "Concat Residual Sequential",
    "framework.conv": "Conv2d",
    "framework.gradcheck": "gradcheck",
    "framework.kernels": "use_kernels",
    "framework.losses": "MSE L1Loss MSELoss",
    "framework.module": "Module",
    "framework.optim": "SGD AdaGrad Adam",
    "framework.torch_twin": "torch_twin",
    "framework.transposed": "ConvTranspose2d",
    "framework.upsampling": "NNUpsampling NearestUpsampling TransposeConv2d Upsampling",
    "denoiser.images": "load_image load_images load_pairs save_image to_uint8 to_unit",
    "denoiser.metrics": "psnr ssim",
    "denoiser.model": "Model",
    "denoiser.networks": "report_network unet",
    "denoiser.photographs": "PHOTOGRAPHS photograph photographs",
    "denoiser.sampling": "sample_pairs sample_patches",
}
"""Names of the public face, by the file that defines them."""

MODULES = {"check": "course.check", "plots": "denoiser.plots"}
"""Modules of the public face."""

_FILES = {name: file for file, names in PUBLIC.items() for name in names.split()}

__all__ = sorted(_FILES)

moved.install(sys.modules[__name__])


def __getattr__(name: str) -> Any:
    """Load a public name from its file (PEP 562)."""
    if name in MODULES:
        return importlib.import_module(f"n2n_lib.{MODULES[name]}")
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"n2n_lib.{_FILES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_FILES, *MODULES])

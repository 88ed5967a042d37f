"""n2n: a deep-learning framework built by hand, and the denoiser that it trains.

Every module of the framework has an explicit ``forward`` and ``backward``; nothing uses autograd
or ``torch.nn``. The lessons in ``notebooks/`` derive each file of this library.
"""

from n2n_lib.doctor import is_called as _doctor_is_called

if not _doctor_is_called():  # the self-test runs even where packages are missing or broken
    from n2n_lib.activations import ELU, LeakyReLU, ReLU, Sigmoid
    from n2n_lib.containers import Concat, Residual, Sequential
    from n2n_lib.conv import Conv2d
    from n2n_lib.data import (
        PHOTOGRAPHS,
        load_image,
        load_images,
        load_pairs,
        photograph,
        photographs,
        sample_pairs,
        sample_patches,
        save_image,
        to_uint8,
        to_unit,
    )
    from n2n_lib.gradcheck import gradcheck
    from n2n_lib.kernels import use_kernels
    from n2n_lib.losses import MSE, L1Loss, MSELoss
    from n2n_lib.metrics import psnr, ssim
    from n2n_lib.model import Model
    from n2n_lib.module import Module
    from n2n_lib.networks import report_network, unet
    from n2n_lib.optim import SGD, AdaGrad, Adam
    from n2n_lib.torch_twin import torch_twin
    from n2n_lib.transposed import ConvTranspose2d
    from n2n_lib.upsampling import NearestUpsampling, NNUpsampling, TransposeConv2d, Upsampling

__version__ = "0.1.0"

__all__ = [
    "ELU",
    "MSE",
    "PHOTOGRAPHS",
    "SGD",
    "AdaGrad",
    "Adam",
    "Concat",
    "Conv2d",
    "ConvTranspose2d",
    "L1Loss",
    "LeakyReLU",
    "MSELoss",
    "Model",
    "Module",
    "NNUpsampling",
    "NearestUpsampling",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "TransposeConv2d",
    "Upsampling",
    "gradcheck",
    "load_image",
    "load_images",
    "load_pairs",
    "photograph",
    "photographs",
    "psnr",
    "report_network",
    "sample_pairs",
    "sample_patches",
    "save_image",
    "ssim",
    "to_uint8",
    "to_unit",
    "torch_twin",
    "unet",
    "use_kernels",
]

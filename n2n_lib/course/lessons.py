"""The order of the lessons: the one place where a topic has a number."""

from __future__ import annotations

import re

LESSONS = (
    "two_noisy_copies",
    "photographs",
    "gradients",
    "convolution",
    "upsampling",
    "activations",
    "loss_and_sequential",
    "sgd",
    "milestone",
    "training",
    "optimisers",
    "depth",
    "unet",
    "one_noisy_picture",
    "camera",
    "capstone",
)
"""What each lesson is about, first lesson first: a notebook's name without its number."""

ELECTIVES = ("transposed_convolution", "speed", "scale", "autograd")
"""Lessons that stand beside the others, and may be left out: E1, E2 ..."""

TOPICS = LESSONS + ELECTIVES

NAMES = re.compile(r"(?P<label>[0-9]{2}|E[0-9])_(?P<topic>\w+)")
"""How the notebook of a lesson is called, without its ending; sorting them gives their order."""

EDITION = ".edition.json"
"""What ``n2n student`` writes beside its lessons; only where it lies is progress kept."""

SUCCESSORS = {
    "01_noise2noise": ("two_noisy_copies", "photographs"),
    "02_gradients": ("gradients",),
    "03_convolution": ("convolution",),
    "04_upsampling": ("upsampling",),
    "05_activations": ("activations",),
    "06_loss_and_sequential": ("loss_and_sequential",),
    "07_sgd": ("sgd",),
    "08_training": ("training",),
    "09_transposed_convolution": ("transposed_convolution",),
    "10_optimisers": ("optimisers", "depth"),
    "11_speed": ("speed",),
    "12_unet": ("unet", "one_noisy_picture"),
    "13_scale": ("scale",),
}
"""Names of notebooks in earlier editions, and the topics that they are about today."""

FIRST_LESSON = {
    "denoiser.images": "two_noisy_copies",
    "denoiser.photographs": "two_noisy_copies",
    "denoiser.sampling": "two_noisy_copies",
    "denoiser.metrics": "two_noisy_copies",
    "denoiser.noise": "photographs",
    "denoiser.classical": "photographs",
    "denoiser.evaluation": "photographs",
    "denoiser.linear": "photographs",
    "ssim": "photographs",
    "framework.module": "gradients",
    "framework.gradcheck": "gradients",
    "framework.conv": "convolution",
    "framework.kernels": "convolution",  # the choice of kernels
    "framework.kernels.unfold": "convolution",  # the report's, which the lessons derive
    "framework.upsampling": "upsampling",
    "framework.activations": "activations",
    "framework.losses": "loss_and_sequential",
    "framework.containers": "loss_and_sequential",
    "framework.init": "sgd",
    "framework.optim": "sgd",
    "framework.schedules": "sgd",
    "denoiser.model": "training",
    "denoiser.networks": "training",
    "framework.torch_twin": "training",
    "framework.transposed": "transposed_convolution",
    "framework.kernels.doubling": "speed",
    "framework.kernels.fast": "speed",
    "framework.kernels.product": "speed",
    "framework.kernels.shifted": "speed",
    "framework.kernels.windows": "speed",
    "framework.kernels.winograd": "speed",
    "denoiser.stream": "unet",
    "denoiser.camera": "camera",
    "framework.distributed": "scale",
    # In the file of an earlier lesson, and derived in a later one:
    "AdaGrad": "optimisers",
    "Adam": "optimisers",
    "he_std": "depth",
    "he_normal_": "depth",
    "he_uniform_": "depth",
    "WeightAverage": "optimisers",
    "Residual": "milestone",
    "Concat": "unet",
    "unet": "unet",
    "recorrupt": "one_noisy_picture",
    "RecorruptedStream": "one_noisy_picture",
    "adapt": "one_noisy_picture",
}
"""The lesson from which on a file or a name of the library may be used; others, from the first."""


def number_of(topic: str) -> int:
    """Return the place of a lesson in the order of all, ``1`` for the first, electives last.

    Raises
    ------
    ValueError
        If there is no such lesson.
    """
    return TOPICS.index(topic) + 1


def label_of(topic: str) -> str:
    """Return what people call a lesson by: ``04``, or ``E1`` for the first of the electives.

    Raises
    ------
    ValueError
        If there is no such lesson.
    """
    number = number_of(topic)
    return f"{number:02}" if topic in LESSONS else f"E{number - len(LESSONS)}"


def stem_of(topic: str) -> str:
    """Return the name of the notebook on a topic, without its ending: ``04_convolution``."""
    return f"{label_of(topic)}_{topic}"

"""The order of the lessons: the one place where a topic has a number."""

from __future__ import annotations

TOPICS = (
    "noise2noise",
    "gradients",
    "convolution",
    "upsampling",
    "activations",
    "loss_and_sequential",
    "sgd",
    "training",
    "transposed_convolution",
    "optimisers",
    "speed",
    "unet",
    "scale",
)
"""What each lesson is about, first lesson first: a notebook's name without its number."""


def number_of(topic: str) -> int:
    """Return the number of the lesson on a topic, ``1`` for the first.

    Raises
    ------
    ValueError
        If there is no such lesson.
    """
    return TOPICS.index(topic) + 1


def stem_of(topic: str) -> str:
    """Return the name of the notebook on a topic, without its ending: ``01_noise2noise``."""
    return f"{number_of(topic):02}_{topic}"

"""The linear filter with 26 numbers: the mark that a network has to beat (lessons 02 and 10).

Each value of the output is a weighted sum of the 5 x 5 noisy values around it, plus a constant, the
same for every place and for each of the three colours. Unlike the methods of ``classical.py`` it
learns, from two noisy copies of some photographs. Unlike a network it is at once the best of its
kind: 26 equations have one solution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad  # noqa: TID251 (a function, not a module)

from n2n_lib.denoiser.classical import check_images
from n2n_lib.denoiser.images import to_unit
from n2n_lib.denoiser.sampling import sample_pairs

SIDE = 5
"""Height and width of the window."""

NAME = "26 numbers"
"""Its row in a table."""

PAIRS = 300
"""Noisy pairs that it is fitted to, as in lesson 02; more change nothing."""

FULL_SIZE = {"size": 64, "scale": (1.0, 4.0)}
"""Patches to fit it to for whole photographs, those that ``unet`` learned from."""

_CHUNK = 64  # images whose windows exist at one time: 40 MB for thumbnails


@dataclass(frozen=True)
class LinearFilter:
    """A window of weights, shared by the colours, and a constant; call it with images.

    Attributes
    ----------
    weight : Tensor
        ``(5, 5)``, float64.
    bias : float
        The constant, on the 0-1 scale.
    """

    weight: Tensor
    bias: float

    def __call__(self, images: Tensor) -> Tensor:
        """Filter one image or several; beyond the border the last pixel is repeated.

        Parameters
        ----------
        images : Tensor
            ``(3, H, W)`` or ``(N, 3, H, W)``, floating point, 0-1, of any size.

        Returns
        -------
        Tensor
            Denoised images, same shape and dtype, within 0-1.

        Raises
        ------
        TypeError
            If `images` is not a floating-point tensor.
        ValueError
            If the shape is another, or a value is not finite.
        """
        check_images(images)
        output = torch.full_like(images, self.bias)
        weights = self.weight.flatten().tolist()
        for weight, shifted in zip(weights, _shifted(images), strict=True):
            output.add_(shifted, alpha=weight)
        return output.clamp_(0, 1)


def fit(noisy1: Tensor, noisy2: Tensor) -> LinearFilter:
    r"""Find the filter that makes most of `noisy1` for a noisy target, by least squares.

    With a row of :math:`A` for every value of `noisy1`, the 25 values around it and a 1, and
    :math:`t` the values of `noisy2`, the squared error :math:`\lVert A\theta - t\rVert^2` is
    smallest where

    .. math::

        A^\top\! A\,\theta = A^\top t

    Parameters
    ----------
    noisy1, noisy2 : Tensor
        Two noisy copies of the same images, ``(N, 3, H, W)``, floating point, 0-1, not clipped.
        With clean images in the place of `noisy2` the filter comes out the same but for chance.

    Returns
    -------
    LinearFilter
        The 26 numbers.

    Raises
    ------
    TypeError
        If an argument is not a floating-point tensor.
    ValueError
        If the shapes are others, a value is not finite, or the images determine no filter, as flat
        ones do not.

    Examples
    --------
    >>> pairs = sample_pairs(PAIRS, generator=torch.Generator().manual_seed(0))
    >>> denoise = fit(to_unit(pairs.noisy1), to_unit(pairs.noisy2))
    >>> denoised = denoise(to_unit(noisy))  # of thumbnails: 4 dB more
    """
    for images in (noisy1, noisy2):
        check_images(images)
    if noisy1.shape != noisy2.shape:
        raise ValueError(
            f"expected two copies of one shape, got {tuple(noisy1.shape)} and {tuple(noisy2.shape)}"
        )
    size = SIDE * SIDE + 1
    square = torch.zeros(size, size, dtype=torch.float64)  # A^T A
    product = torch.zeros(size, dtype=torch.float64)  # A^T t
    for x, t in zip(noisy1.split(_CHUNK), noisy2.split(_CHUNK), strict=True):
        columns = [*_shifted(x.double()), torch.ones_like(x, dtype=torch.float64)]
        rows = torch.stack([column.flatten() for column in columns])  # (26, N C H W): A^T
        square += rows @ rows.T
        product += rows @ t.double().flatten()
    if torch.linalg.matrix_rank(square, hermitian=True) < size:
        raise ValueError("expected images that determine a filter, got too few or too even ones")
    theta = torch.linalg.solve(square, product)
    return LinearFilter(theta[:-1].view(SIDE, SIDE), theta[-1].item())


def fitted(*, clean_targets: bool = False, seed: int = 0, **task: Any) -> LinearFilter:
    """Fit the filter to pairs that are drawn for it: the row of a table under some noise.

    Parameters
    ----------
    clean_targets : bool
        Whether the targets are the clean images, for comparison.
    seed : int
        Seed of the pairs.
    **task
        Noise, size, scale and photographs as `sample_pairs` takes them; by default pixel sampling
        of the training photographs.

    Examples
    --------
    >>> denoise = fitted(noise="gaussian", sigma=25, size=64, scale=(1, 4))
    """
    pairs = sample_pairs(PAIRS, **task, generator=torch.Generator().manual_seed(seed))
    target = pairs.clean if clean_targets else pairs.noisy2
    return fit(to_unit(pairs.noisy1), to_unit(target))


def row(denoise: LinearFilter) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return a filter as a row of a table: its name, and a function of images 0-255.

    Examples
    --------
    >>> scores = evaluate(noisy, clean, row(fitted()) | {"our network": model.predict})
    """
    return {NAME: lambda images: 255 * denoise(to_unit(images))}


def _shifted(images: Tensor) -> list[Tensor]:
    """Return the input moved to each place of the window: 25 pictures of its size."""
    height, width = images.shape[-2:]
    padded = pad(images, (SIDE // 2,) * 4, mode="replicate")
    return [padded[..., u : u + height, v : v + width] for u in range(SIDE) for v in range(SIDE)]

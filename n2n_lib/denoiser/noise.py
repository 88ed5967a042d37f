"""Zero-mean noise: the only kind that Noise2Noise can remove (lesson 02).

Every model in this file leaves the clean image unchanged *on average*, ``E[noise(x)] = x``. A
network trained by squared error towards noisy targets therefore learns the same function as one
trained towards clean targets (Lehtinen et al. 2018, *Noise2Noise: Learning image restoration
without clean data*, section 2). Clipping the noisy values to 0-1 would break that, so nothing here
clips. The noise of cameras, which has a name among `NOISES` and a file of its own, is clipped, bent
and saved as a camera does it: `camera.Camera.bias` measures what that costs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from n2n_lib.denoiser.camera import Cameras
from n2n_lib.support.arguments import check_integer, check_number


class Gaussian:
    """Additive white Gaussian noise, independent for every value.

    Parameters
    ----------
    sigma : float or (float, float)
        Standard deviation in grey levels of 255; 25 is the literature's usual figure. A pair means
        a range: each image gets a standard deviation of its own, drawn uniformly.

    Raises
    ------
    TypeError, ValueError
        If `sigma` is not a finite number above 0, or not two of them in ascending order.
    """

    def __init__(self, sigma: float | tuple[float, float] = 25.0) -> None:
        if isinstance(sigma, (tuple, list)):
            if len(sigma) != 2:
                raise ValueError(f"expected sigma as one number or two, got {sigma!r}")
            low, high = (_positive("sigma", value) for value in sigma)
            if low > high:
                raise ValueError(f"expected a range of sigma in ascending order, got {sigma!r}")
            self.sigma = (low, high)
        else:
            self.sigma = _positive("sigma", sigma)

    @property
    def varies(self) -> bool:
        """Whether each image gets a standard deviation of its own."""
        return isinstance(self.sigma, tuple)

    def levels(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Return the standard deviation for each image, on the 0-1 scale.

        Parameters
        ----------
        clean : Tensor
            Images ``(..., C, H, W)``.
        generator : torch.Generator
            Source of the randomness; not used unless `varies`.

        Returns
        -------
        Tensor
            ``(..., 1, 1, 1)``, of the dtype and on the device of `clean`.
        """
        shape = (*clean.shape[:-3], 1, 1, 1)
        if not self.varies:
            return clean.new_full(shape, self.sigma / 255)
        low, high = self.sigma
        return (low + (high - low) * _like(torch.rand, clean, shape, generator)) / 255

    def __call__(
        self, clean: Tensor, generator: torch.Generator, levels: Tensor | None = None
    ) -> Tensor:
        """Return ``clean + (sigma / 255) * standard normal``, not clipped.

        Parameters
        ----------
        clean : Tensor
            Images ``(..., C, H, W)``, floating point, values 0-1.
        generator : torch.Generator
            Source of all randomness.
        levels : Tensor, optional
            From `levels`, so that two copies of an image are equally noisy; the default draws anew.

        Returns
        -------
        Tensor
            Noisy images of the same shape and dtype.
        """
        _check_clean(clean)
        if levels is None:
            levels = self.levels(clean, generator)
        return clean + levels * _like(torch.randn, clean, clean.shape, generator)

    def __repr__(self) -> str:
        sigma = "({:g}, {:g})".format(*self.sigma) if self.varies else f"{self.sigma:g}"
        return f"Gaussian(sigma={sigma})"


class Poisson:
    """Shot noise: the number of photons that a pixel happens to catch.

    Parameters
    ----------
    peak : float
        Expected number of photons at white (value 1). The variance of the noise is ``x / peak``,
        so bright pixels are the noisier ones, and fewer photons mean more noise.

    Raises
    ------
    TypeError, ValueError
        If `peak` is not a finite number above 0.
    """

    def __init__(self, peak: float = 30.0) -> None:
        self.peak = _positive("peak", peak)

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Return ``Poisson(clean * peak) / peak``, not clipped.

        Parameters
        ----------
        clean : Tensor
            Images ``(..., C, H, W)``, floating point, values 0-1.
        generator : torch.Generator
            Source of all randomness.

        Returns
        -------
        Tensor
            Noisy images of the same shape and dtype, multiples of ``1 / peak``.

        Raises
        ------
        ValueError
            If a value is negative or NaN: no pixel expects fewer than 0 photons.
        """
        _check_clean(clean)
        if not (clean >= 0).all():
            raise ValueError(f"expected clean values >= 0 for Poisson noise, got {clean.min():g}")
        return torch.poisson(clean * self.peak, generator=generator) / self.peak

    def __repr__(self) -> str:
        return f"Poisson(peak={self.peak:g})"


class Bernoulli:
    """Dropped pixels: each is kept with a probability, or is black in every channel.

    What is kept is divided by that probability, so that the mean stays that of the clean image.

    Parameters
    ----------
    keep : float
        Probability that a pixel is kept, above 0 and at most 1.

    Raises
    ------
    TypeError, ValueError
        If `keep` is not a number in (0, 1].
    """

    def __init__(self, keep: float = 0.5) -> None:
        self.keep = _positive("keep", keep)
        if self.keep > 1:
            raise ValueError(f"expected keep in (0, 1], got {keep}")

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Return ``clean * mask / keep``, one mask per pixel shared by its channels, not clipped.

        Parameters
        ----------
        clean : Tensor
            Images ``(..., C, H, W)``, floating point, values 0-1.
        generator : torch.Generator
            Source of all randomness.

        Returns
        -------
        Tensor
            Noisy images of the same shape and dtype.
        """
        _check_clean(clean)
        one_channel = (*clean.shape[:-3], 1, *clean.shape[-2:])
        mask = _like(torch.rand, clean, one_channel, generator) < self.keep
        return clean * mask / self.keep

    def __repr__(self) -> str:
        return f"Bernoulli(keep={self.keep:g})"


class PixelSampling:
    """The name of the default task: one random source pixel stands for each block of them.

    This is a camera, or a path tracer, with one sample per pixel. It is *not* a function of the
    clean image: the noisy value is drawn from the source pixels whose mean is the clean one, and
    the mean alone does not know them. So this object only selects the task in
    `n2n_lib.denoiser.sampling.sample_pairs`; `pixel_sampling` does the work on a crop of a
    photograph.
    """

    def __call__(self, clean: Tensor, generator: torch.Generator) -> Tensor:
        """Refuse: the clean image does not hold the pixels that this noise samples."""
        raise TypeError(
            "expected the source photograph, which pixel_sampling(crop, block, generator) and "
            "sample_pairs(noise='pixels') take, got a clean image"
        )

    def __repr__(self) -> str:
        return "PixelSampling()"


def pixel_sampling(crop: Tensor, block: int, generator: torch.Generator) -> Tensor:
    """Shrink an image by taking one randomly chosen source pixel of each block.

    Each noisy pixel is a true sample of its block, all channels together, so its expectation is
    the mean of the block: the noise is zero-mean, stays in the range of the source, and is strong
    where the source is textured and weak where it is smooth.

    Parameters
    ----------
    crop : Tensor
        Source ``(..., C, block * h, block * w)`` of any dtype and range.
    block : int
        Side of a block in source pixels, at least 1.
    generator : torch.Generator
        Source of all randomness.

    Returns
    -------
    Tensor
        ``(..., C, h, w)``, same dtype; every pixel is one of the source's.

    Raises
    ------
    TypeError
        If `block` is not an integer.
    ValueError
        If `block` is below 1 or does not divide the height and the width of `crop`.
    """
    check_integer("block", block, 1)
    if crop.ndim < 3 or 0 in crop.shape or crop.shape[-2] % block or crop.shape[-1] % block:
        raise ValueError(
            f"expected a crop (..., C, H, W) with H and W multiples of {block}, "
            f"got {tuple(crop.shape)}"
        )
    *batch, channels, height, width = crop.shape
    h, w = height // block, width // block
    blocks = crop.reshape(*batch, channels, h, block, w, block)
    blocks = blocks.transpose(-3, -2).flatten(-2)  # (..., C, h, w, block * block)
    choice = torch.randint(
        block * block, (*batch, 1, h, w, 1), generator=generator, device=crop.device
    )
    # The same choice in every channel: a sample is a pixel with its colour.
    return blocks.gather(-1, choice.expand(*batch, channels, h, w, 1)).squeeze(-1)


def recorrupt(
    noisy: Tensor, sigma: float, generator: torch.Generator, alpha: float = 0.5
) -> tuple[Tensor, Tensor]:
    r"""Split images with gaussian noise into pairs whose noise is independent.

    .. math::

        x' = x + \alpha r, \qquad t = x - r / \alpha, \qquad r \sim \mathcal{N}(0, \sigma^2)

    With :math:`x = z + e` the covariance of the two noises, value by value, is
    :math:`\operatorname{Var}(e) - \operatorname{Var}(r) = \sigma^2 - \sigma^2 = 0`, and what is
    jointly gaussian and uncorrelated is independent. The two are a Noise2Noise pair that took one
    noisy image.

    Parameters
    ----------
    noisy : Tensor
        Images ``(..., C, H, W)``, floating point, on the 0-1 scale, not clipped.
    sigma : float
        Standard deviation of the noise in them, in grey levels of 255.
    generator : torch.Generator
        Source of all randomness.
    alpha : float
        How the noise is shared out. The variance of the first is ``1 + alpha**2`` times what it
        was, that of the second ``1 + 1 / alpha**2`` times.

    Returns
    -------
    tuple of Tensor
        Both of the shape and dtype of `noisy`. The first has less noise with an `alpha` below 1:
        it is the network's input, the second the target.

    Raises
    ------
    TypeError, ValueError
        If `noisy` is not such a tensor, or `sigma` or `alpha` is not a finite number above 0.

    Notes
    -----
    Pang, Zheng, Quan and Ji (2021), Recorrupted-to-Recorrupted: unsupervised deep learning for
    image denoising.
    """
    _check_clean(noisy)
    alpha = _positive("alpha", alpha)
    noise = _positive("sigma", sigma) / 255 * _like(torch.randn, noisy, noisy.shape, generator)
    return noisy + alpha * noise, noisy - noise / alpha


NOISES: dict[str, type] = {
    "pixels": PixelSampling,
    "gaussian": Gaussian,
    "poisson": Poisson,
    "bernoulli": Bernoulli,
    "camera": Cameras,
}
"""The noise models by name. All but "pixels" are functions of the clean image, and all but "camera"
have mean zero by definition."""


def make_noise(
    name: str, sigma: float | tuple[float, float] = 25.0
) -> Callable[[Tensor, torch.Generator], Tensor]:
    """Build the noise model called `name`.

    Parameters
    ----------
    name : {"pixels", "gaussian", "poisson", "bernoulli", "camera"}
        A key of `NOISES`.
    sigma : float or (float, float)
        Standard deviation of "gaussian" in grey levels of 255, or a range of it. The other models
        do not use it, but a senseless value is an error for them too.

    Returns
    -------
    PixelSampling, Gaussian, Poisson, Bernoulli or Cameras
        A callable ``noise(clean, generator)``; "pixels" is special, see `PixelSampling`.

    Raises
    ------
    TypeError, ValueError
        If the name is unknown or `sigma` is not what `Gaussian` takes.
    """
    if name not in NOISES:
        known = ", ".join(repr(known) for known in NOISES)
        raise ValueError(f"expected a noise among {known}, got {name!r}")
    gaussian = Gaussian(sigma)
    return gaussian if name == "gaussian" else NOISES[name]()


def _positive(name: str, value: float) -> float:
    return float(check_number(name, value, above=0))


def _check_clean(clean: Tensor) -> None:
    if not isinstance(clean, Tensor):
        raise TypeError(f"expected clean images as a tensor, got {type(clean).__name__}")
    if not clean.is_floating_point():
        raise TypeError(f"expected floating-point images in 0-1, got {clean.dtype}")
    if clean.ndim < 3:
        raise ValueError(f"expected images (..., C, H, W), got shape {tuple(clean.shape)}")


def _like(draw: Callable, clean: Tensor, shape: tuple, generator: torch.Generator) -> Tensor:
    """Random values of the dtype and on the device of `clean`."""
    return draw(shape, generator=generator, dtype=clean.dtype, device=clean.device)

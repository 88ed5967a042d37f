"""Training pairs without end: fresh patches and fresh noise while the network trains (lesson 13).

Six photographs are few. A network that sees the same 50 000 noisy pairs in every epoch begins to
learn them by heart; one that never sees a pair twice cannot.
"""

from __future__ import annotations

import itertools
import queue
import threading
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from n2n_lib.denoiser.alignment import mean_where
from n2n_lib.denoiser.camera import Cameras
from n2n_lib.denoiser.images import to_unit
from n2n_lib.denoiser.noise import recorrupt
from n2n_lib.denoiser.photographs import photographs
from n2n_lib.denoiser.sampling import SCALES, Task
from n2n_lib.denoiser.scene import Scene
from n2n_lib.support.arguments import check_integer, check_number
from n2n_lib.support.threads import threads

CHUNK = 512
"""Pairs drawn at once, about: every draw prepares the photographs anew, which takes a while."""


class BatchStream(ABC):
    """An endless, seeded stream of batches.

    Batch number i depends on the seed and on i alone, so that an interrupted run goes on with the
    very batches it would have seen. A background thread draws ahead while the network trains.

    Parameters
    ----------
    batch_size : int
        Pairs to a batch.
    seed : int
        Seed of all randomness, 0 to 2**63 - 1.

    Attributes
    ----------
    size : int
        Height and width of the images.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """

    size: int

    def __init__(self, batch_size: int, seed: int) -> None:
        check_integer("batch_size", batch_size, 1)
        check_integer("seed", seed)
        if not 0 <= seed < 2**63:
            raise ValueError(f"expected seed from 0 to 2**63 - 1, got {seed}")
        self.batch_size, self.seed = batch_size, seed

    @property
    @abstractmethod
    def description(self) -> str:
        """What the pairs are drawn from and how, in one line: equal streams, equal lines."""

    @abstractmethod
    def _draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Draw `count` pairs at once."""

    def batches(self, first: int = 0, *, ahead: int = 2) -> Iterator[tuple[Tensor, ...]]:
        """Yield ``(noisy, target)`` from batch number `first` on, without end.

        Parameters
        ----------
        first : int
            Number of the first batch.
        ahead : int
            How many chunks of about `CHUNK` pairs the background thread may be ahead; with 0 there
            is no thread.

        Yields
        ------
        (Tensor, Tensor)
            Two batches ``(B, 3, S, S)``, 0-255: noisy images and as noisy or clean targets. Where
            not every pixel counts, a third one, uint8 ``(B, 1, S, S)``: 255 where it does, else 0.

        Notes
        -----
        The thread ends when the iterator is closed or forgotten. An error in it is raised here.
        """
        per_chunk = max(1, CHUNK // self.batch_size)
        chunk, skip = divmod(first, per_chunk)
        draw = (self._chunk(number, per_chunk) for number in itertools.count(chunk))
        for batches in _in_background(draw, ahead) if ahead else draw:
            yield from batches[skip:]
            skip = 0

    @threads(1)
    def _chunk(self, number: int, per_chunk: int) -> list[tuple[Tensor, ...]]:
        """Draw the batches of one chunk.

        On one thread: else the background thread starts helpers of its own, and from then on those
        of the training sleep between their tasks, since there are more threads than cores.
        """
        generator = torch.Generator().manual_seed(_mixed(self.seed, number))
        drawn = self._draw(per_chunk * self.batch_size, generator)
        return list(zip(*(images.split(self.batch_size) for images in drawn), strict=True))


class PairStream(BatchStream):
    """Noise2Noise batches out of photographs, without end and seeded.

    Parameters
    ----------
    batch_size, seed : int
        As in `BatchStream`.
    clean_targets : bool
        Give the clean image for a target instead of a second noisy one: what Noise2Noise does
        without, for comparison.
    augment : bool
        Transpose patches and permute their colour channels at random, besides the flips that
        every patch undergoes. A camera's colours differ in their noise and keep their order.
    images, noise, size, sigma, scale, jitter
        As in `n2n_lib.denoiser.sampling.sample_pairs`, which draws the pairs.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> stream = PairStream(batch_size=16, size=64, noise="gaussian")
    >>> noisy, target = next(stream.batches())
    >>> noisy.shape
    torch.Size([16, 3, 64, 64])
    """

    def __init__(
        self,
        batch_size: int = 16,
        *,
        images: Mapping[str, Tensor] | Iterable[Tensor] | None = None,
        noise: str | Callable[[Tensor, torch.Generator], Tensor] = "pixels",
        size: int = 32,
        sigma: float | tuple[float, float] = 25.0,
        scale: tuple[float, float] = SCALES,
        jitter: float = 0.0,
        clean_targets: bool = False,
        augment: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, seed)
        self.task = Task(noise, size, sigma, scale, jitter)
        self.size, self.clean_targets, self.augment = size, clean_targets, augment
        self._images = self.task.check_images(photographs("train") if images is None else images)
        # A noise that cannot be added raises now, not in the thread.
        self.task.draw(1, self._images, torch.Generator(), with_clean=clean_targets)

    @property
    def description(self) -> str:
        """What the pairs are drawn from and how, in one line: equal streams, equal lines."""
        checksum = 0
        for image in self._images:
            checksum = zlib.crc32(str(tuple(image.shape)).encode(), checksum)
            checksum = zlib.crc32(image.contiguous().numpy(), checksum)
        options = vars(self.task) | {
            "with_clean": self.clean_targets,
            "batch": self.batch_size,
            "seed": self.seed,
            "augment": self.augment,
        }
        told = ", ".join(f"{name} {value}" for name, value in options.items())
        return f"{len(self._images)} images of checksum {checksum:08x}, {told}"

    def _draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        drawn = self.task.draw(count, self._images, generator, with_clean=self.clean_targets)
        noisy, target = drawn.noisy1, drawn.clean if self.clean_targets else drawn.noisy2
        if not self.augment:
            return noisy, target
        if not isinstance(self.task.noise_model, Cameras):  # whose colours have their own noise
            noisy, target = _permuted(noisy, target, generator)
        return _transposed(noisy, target, generator)


class RecorruptedStream(BatchStream):
    """Noise2Noise batches out of a single noisy image, which has to serve for both sides.

    Patches are cut out of the image, turned and mirrored at random, and split into two of
    independent noise by `n2n_lib.denoiser.noise.recorrupt`.

    Parameters
    ----------
    image : Tensor
        Noisy image ``(3, H, W)``, 0-255, uint8 or floating point.
    sigma : float
        Standard deviation of its gaussian noise, in grey levels of 255.
    batch_size, seed : int
        As in `BatchStream`.
    size : int
        Height and width S of a patch; a smaller image is taken as it is wide or high.
    alpha : float
        As in `n2n_lib.denoiser.noise.recorrupt`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Notes
    -----
    Pang, Zheng, Quan and Ji (2021), Recorrupted-to-Recorrupted: unsupervised deep learning for
    image denoising.

    Examples
    --------
    >>> stream = RecorruptedStream(torch.full((3, 80, 80), 99.0), sigma=25.0, batch_size=16)
    >>> noisier, noisy = next(stream.batches())
    >>> noisier.shape
    torch.Size([16, 3, 64, 64])
    """

    def __init__(
        self,
        image: Tensor,
        sigma: float,
        batch_size: int = 8,
        *,
        size: int = 64,
        alpha: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, seed)
        check_integer("size", size, 1)
        unit = to_unit(image)
        if unit.dim() != 3 or unit.shape[0] != 3 or unit.numel() == 0:
            raise ValueError(f"expected an image of shape (3, H, W), got {tuple(unit.shape)}")
        if not torch.isfinite(unit).all():
            bad = unit[~torch.isfinite(unit)][0].item()
            raise ValueError(f"expected an image with finite values, got {bad}")
        recorrupt(unit, sigma, torch.Generator(), alpha)  # raises, if need be
        self._unit, self.sigma, self.alpha = unit, sigma, alpha
        self.size = min(size, *unit.shape[1:])

    @property
    def description(self) -> str:
        """What the pairs are drawn from and how, in one line: equal streams, equal lines."""
        checksum = zlib.crc32(self._unit.contiguous().numpy())
        return (
            f"image {tuple(self._unit.shape)} of checksum {checksum:08x}, size {self.size}, "
            f"sigma {self.sigma}, alpha {self.alpha}, batch {self.batch_size}, seed {self.seed}"
        )

    def _draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        patches = torch.empty(count, 3, self.size, self.size)
        corners = [
            torch.randint(side - self.size + 1, (count,), generator=generator).tolist()
            for side in self._unit.shape[1:]
        ]
        turns = torch.randint(8, (count,), generator=generator).tolist()
        for patch, top, left, turn in zip(patches, *corners, turns, strict=True):
            cut = self._unit[:, top : top + self.size, left : left + self.size]
            patch.copy_(_turned(cut, turn))
        noisier, noisy = recorrupt(patches, self.sigma, generator, self.alpha)
        return 255 * noisier, 255 * noisy


class FramesStream(BatchStream):
    """Noise2Noise batches out of frames of one scene or of many.

    Patches are cut out of the frames that are trained on, at the same place, turned and mirrored
    at random. One frame is the input; the target is the mean of all others: by the squared error
    that is the same as each of them in turn, with less noise. Every frame takes either part.

    Parameters
    ----------
    scenes : sequence of Scene
        What to draw from, each as often as it has pixels.
    sigma : float or None
        The network is shown each scene on the scale on which a frame's noise has this standard
        deviation, in grey levels of 255; None: as it is.
    batch_size, seed : int
        As in `BatchStream`.
    size : int
        Height and width S of a patch; the scenes may be smaller.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Notes
    -----
    A third tensor says which pixels count: not those where something moved, in the input or in all
    that makes the target, and not those that `Scene.held_out` keeps for the estimate.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        sigma: float | None,
        batch_size: int = 8,
        *,
        size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, seed)
        check_integer("size", size, 1)
        if sigma is not None:
            check_number("sigma", sigma, above=0)
        self._scenes, self.sigma = scenes, sigma
        self._trained = [~scene.held_out for scene in scenes]
        sides = [side for scene in scenes for side in scene.frames[0].shape[1:]]
        self.size = min(size, *sides)

    @property
    def description(self) -> str:
        """What the pairs are drawn from and how, in one line: equal streams, equal lines."""
        checksum = 0
        for scene in self._scenes:
            for image in (*scene.frames, scene.valid):
                checksum = zlib.crc32(image.contiguous().numpy(), checksum)
        return (
            f"{len(self._scenes)} scenes of checksum {checksum:08x}, size {self.size}, "
            f"sigma {self.sigma}, batch {self.batch_size}, seed {self.seed}"
        )

    def _draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        noisy, target = torch.empty(2, count, 3, self.size, self.size)
        counts = torch.empty(count, 1, self.size, self.size, dtype=torch.uint8)
        areas = torch.tensor([float(scene.valid[0].numel()) for scene in self._scenes])
        which = torch.multinomial(areas, count, replacement=True, generator=generator).tolist()
        draws = torch.rand(count, 4, generator=generator, dtype=torch.float64).tolist()
        for row, (number, (frame, top, left, turn)) in enumerate(zip(which, draws, strict=True)):
            scene, turn = self._scenes[number], int(8 * turn)
            rows, columns = (
                slice(start := int(place * (side - self.size + 1)), start + self.size)
                for place, side in zip((top, left), scene.valid.shape[1:], strict=True)
            )
            frames = [image[:, rows, columns] for image in scene.frames[: scene.training]]
            valid = scene.valid[: scene.training, rows, columns]
            chosen = int(frame * len(frames))
            others = [k for k in range(len(frames)) if k != chosen]
            mean, known = mean_where([frames[k] for k in others], valid[others])
            known &= valid[chosen] & self._trained[number][rows, columns]
            scale = 1.0 if self.sigma is None else self.sigma / scene.told
            for made, image in ((noisy, frames[chosen] * scale), (target, mean * scale)):
                made[row] = _turned(image, turn)
            counts[row] = 255 * _turned(known[None], turn)
        return noisy, target, counts


def _turned(image: Tensor, turn: int) -> Tensor:
    """Turn an image by so many quarters, and mirror it from 4 on."""
    turned = torch.rot90(image, turn % 4, (1, 2))
    return turned.flip(2) if turn >= 4 else turned


def _permuted(noisy: Tensor, target: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Give each pair an order of colours of its own."""
    orders = torch.rand(len(noisy), 3, generator=generator).argsort(1)  # (N, 3)
    rows = torch.arange(len(noisy))[:, None]
    return noisy[rows, orders], target[rows, orders]


def _transposed(noisy: Tensor, target: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Transpose half of the pairs."""
    turned = torch.rand(len(noisy), generator=generator) < 0.5
    for images in (noisy, target):
        images[turned] = images[turned].transpose(2, 3)
    return noisy, target


def _mixed(seed: int, number: int) -> int:
    """Return a seed that differs for every chunk of every stream (the mixing of SplitMix64)."""
    mask = 2**64 - 1
    z = (seed + (number + 1) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return (z ^ (z >> 31)) >> 1


def _in_background(items: Iterator, ahead: int) -> Iterator:
    """Yield the items of an endless iterator, which a thread computes up to `ahead` in advance."""
    ready: queue.Queue = queue.Queue(maxsize=ahead)
    stopped = threading.Event()

    def hand_over(result) -> None:
        while not stopped.is_set():
            try:
                ready.put(result, timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                hand_over((item, None))
                if stopped.is_set():
                    return
        except BaseException as error:  # the consumer raises it
            hand_over((None, error))

    thread = threading.Thread(target=work, name="n2n-pairs", daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            yield item
    finally:
        stopped.set()
        thread.join()

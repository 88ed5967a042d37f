r"""Data-parallel training: many processes, one network.

Every process holds the whole network and takes its share of each batch. A loss is a mean over the
batch, so its gradient is the mean of the shares' gradients, weighted with their sizes:

.. math:: g = \sum_{r=0}^{P-1} \frac{n_r}{N}\, g_r, \qquad N = \sum_r n_r

(the plain mean of the :math:`g_r` is right only where all shares are equal). With the same start
and the same gradient, all processes take the same step and hold the same weights for ever.

Start it with ``torchrun --nproc-per-node P -m n2n_lib train ...``. The processes talk through
``torch.distributed``: gloo on CPUs, nccl on CUDA.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from n2n_lib.framework.module import Module

BUCKET_BYTES = 1 << 20
"""Gradients travel in buckets of about this size: few messages, the first of them early."""


class ProcessLostError(ConnectionError):
    """Another process of the training has ended, or cannot be reached."""


class Group:
    """The processes that train together: this one's number, and what they tell each other.

    Attributes
    ----------
    rank, size : int
        Number of this process, from 0, and how many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def leads(self) -> bool:
        """Whether this process is the one that prints and writes."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return which of `count` images are ours: neighbours, in shares that differ by one.

        With fewer images than processes some get none.
        """
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def add_up(self, tensor: Tensor) -> None:
        """Replace a tensor by the sum over all processes."""
        if self.size > 1:
            with _report_lost_process():
                dist.all_reduce(tensor)

    def tell_all(self, content: object) -> object:
        """Return what process 0 passes in; the others pass in anything."""
        if self.size == 1:
            return content
        box = [content]
        with _report_lost_process():
            dist.broadcast_object_list(box, src=0)
        return box[0]


def current() -> Group:
    """Return the processes that `processes` joined; a process on its own is a group of one."""
    if dist.is_available() and dist.is_initialized():
        return Group(dist.get_rank(), dist.get_world_size())
    return Group()


def neighbours() -> int | None:
    """Return how many processes of this training are on this machine; None where it is alone."""
    size = current().size
    return None if size == 1 else int(os.environ.get("LOCAL_WORLD_SIZE", size))


@contextmanager
def processes(device: str = "cpu", patience: float = 1800.0) -> Iterator[Group]:
    """Join the processes that ``torchrun`` started, for as long as the context lasts.

    Without ``torchrun`` this process stays alone, and nothing is opened.

    Parameters
    ----------
    device : str
        Where the network is: "cuda" takes nccl, all else gloo.
    patience : float
        Seconds to wait for an answer of a process that still lives. One that ended is noticed at
        once.

    Raises
    ------
    ProcessLostError
        If the others cannot be reached.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Group()
        return
    with _report_lost_process():
        backend = "nccl" if device.startswith("cuda") else "gloo"
        dist.init_process_group(backend, timeout=timedelta(seconds=patience))
    try:
        yield current()
    finally:
        dist.destroy_process_group()


@contextmanager
def _report_lost_process() -> Iterator[None]:
    """Turn what ``torch.distributed`` says when a process is gone into one sentence."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise ProcessLostError(
            f"expected all processes of the training to live on, but lost one ({reason}); "
            "start again with --resume, with any number of processes"
        ) from error


class _Bucket:
    """Some gradients that travel together."""

    def __init__(self, grads: Sequence[Tensor]) -> None:
        self.grads = grads
        self.flat = grads[0].new_empty(sum(grad.numel() for grad in grads))
        self.pieces = [
            piece.view(grad.shape)
            for piece, grad in zip(
                self.flat.split([grad.numel() for grad in grads]), grads, strict=True
            )
        ]
        self.work: dist.Work | None = None

    def send(self, weight: float) -> None:
        """Begin to add up our gradients, times our share of the batch, with those of the others."""
        for piece, grad in zip(self.pieces, self.grads, strict=True):
            torch.mul(grad, weight, out=piece)
        self.work = dist.all_reduce(self.flat, async_op=True)

    def receive(self) -> None:
        """Wait for the sum and put it where the gradients are."""
        self.work.wait()
        self.work = None
        torch._foreach_copy_(self.grads, self.pieces)


class GradientMean:
    """Replace the gradients of a network by their mean over all processes, during its backward.

    As soon as the modules of a bucket have run backwards, its gradients are on their way, while the
    modules before them still compute.

    Parameters
    ----------
    network : Module
        The network. Each module must run backwards once a step.
    group : Group
        The processes. In a group of one, nothing happens.

    Examples
    --------
    >>> with processes() as group, GradientMean(network, group).watching() as mean:
    ...     share = group.share(len(batch))
    ...     criterion(network(batch[share]), targets[share])
    ...     with mean.step(weight=len(batch[share]) / len(batch)):
    ...         criterion.backward()  # afterwards the gradients are those of the whole batch
    """

    def __init__(self, network: Module, group: Group) -> None:
        self._network, self._group = network, group
        grads = [grad for _, grad in network.param()] if group.size > 1 else []
        self._buckets = _fill_buckets(grads[::-1])  # in the order of backward
        self._place = {
            id(grad): number for number, bucket in enumerate(self._buckets) for grad in bucket.grads
        }
        self._start(1.0)

    def _start(self, weight: float) -> None:
        self._weight, self._sent = weight, 0
        self._missing = [{id(grad) for grad in bucket.grads} for bucket in self._buckets]
        self._done: set[int] = set()

    @contextmanager
    def watching(self) -> Iterator[GradientMean]:
        """Notice every backward of the network's modules, for as long as the context lasts."""
        modules = {id(module): module for module in self._network.modules()}.values()
        if self._group.size > 1:
            for module in modules:
                module.backward = self._watched(module, module.backward)
        try:
            yield self
        finally:
            for module in modules:
                vars(module).pop("backward", None)

    def _watched(self, module: Module, backward: Callable) -> Callable:
        grads = [grad for _, grad in module.param()]

        def watched(*grad_outputs: Tensor) -> Tensor | None:
            result = backward(*grad_outputs)
            if id(module) in self._done:
                raise RuntimeError(
                    f"expected each module to run backwards once a step, {type(module).__name__} "
                    "did so twice: two processes cannot share the work of such a network"
                )
            self._done.add(id(module))
            for grad in grads:
                self._missing[self._place[id(grad)]].discard(id(grad))
            while self._sent < len(self._buckets) and not self._missing[self._sent]:
                self._send()
            return result

        return watched

    def _send(self) -> None:
        with _report_lost_process():
            self._buckets[self._sent].send(self._weight)
        self._sent += 1

    @contextmanager
    def step(self, weight: float) -> Iterator[None]:
        """Run the backward in this context; after it the gradients are those of the whole batch.

        Parameters
        ----------
        weight : float
            Our share of the batch, 0-1. With 0, gradients of zero are sent.
        """
        if self._group.size == 1:
            yield
            return
        self._start(weight)
        yield
        while self._sent < len(self._buckets):  # all processes send the same buckets
            self._send()
        with _report_lost_process():
            for bucket in self._buckets:
                bucket.receive()


def _fill_buckets(grads: Sequence[Tensor]) -> list[_Bucket]:
    """Put neighbours together until a bucket is full; one dtype and device each."""
    groups: list[list[Tensor]] = []
    size = BUCKET_BYTES
    for grad in grads:
        alike = groups and (grad.dtype, grad.device) == (groups[-1][0].dtype, groups[-1][0].device)
        if size >= BUCKET_BYTES or not alike:
            groups.append([])
            size = 0
        groups[-1].append(grad)
        size += grad.numel() * grad.element_size()
    return [_Bucket(group) for group in groups]


def step_seconds(
    processes: int, *, compute: float, size: float, bandwidth: float, latency: float
) -> float:
    r"""Predict how long a training step takes on many processes.

    .. math:: T(P) = \frac{c}{P} + 2 (P - 1) \left(\alpha + \frac{b}{P \beta}\right)

    for an all-reduce in a ring that does not overlap with the computation.

    Parameters
    ----------
    processes : int
        P, from 1.
    compute : float
        Seconds c that one process computes for the whole batch.
    size : float
        Bytes b of all gradients.
    bandwidth : float
        Bytes per second between two processes.
    latency : float
        Seconds of each message beside its bytes.

    Returns
    -------
    float
        Seconds.

    Raises
    ------
    ValueError
        If a number is negative, or `processes` or `bandwidth` is not positive.

    Notes
    -----
    Patarasuk and Yuan (2009), Bandwidth optimal all-reduce algorithms for clusters of workstations,
    section 3.
    """
    if processes < 1 or bandwidth <= 0 or min(compute, size, latency) < 0:
        raise ValueError(
            "expected one process or more, a positive bandwidth and no negative number, got "
            f"processes={processes}, compute={compute}, size={size}, bandwidth={bandwidth}, "
            f"latency={latency}"
        )
    return compute / processes + 2 * (processes - 1) * (latency + size / processes / bandwidth)

"""How fast are we? Our kernels compared with PyTorch's, measured in turn."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import platform
import shutil
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from n2n_lib.denoiser.images import to_unit
from n2n_lib.denoiser.metrics import psnr
from n2n_lib.denoiser.model import Model
from n2n_lib.denoiser.networks import conv_stack, report_3x3_network, report_network
from n2n_lib.denoiser.sampling import Pairs, sample_pairs
from n2n_lib.framework.containers import Sequential
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.kernels import use_kernels
from n2n_lib.framework.kernels.product import product
from n2n_lib.framework.losses import MSELoss
from n2n_lib.framework.optim import SGD
from n2n_lib.framework.schedules import cosine
from n2n_lib.framework.torch_twin import torch_twin
from n2n_lib.framework.upsampling import Upsampling
from n2n_lib.support import interrupts
from n2n_lib.support.memory import keep_freed

GRACE = 5
"""Seconds for a process to tidy up when Ctrl-C ends it."""

OURS = "n2n fast"
UNFOLD = "n2n unfold"
PLAIN = "torch.nn"
CHANNELS_LAST = "torch.nn channels-last"
COMPILED = "torch.compile"
ROWS = (OURS, UNFOLD, PLAIN, CHANNELS_LAST, COMPILED)
PYTORCH = (PLAIN, CHANNELS_LAST, COMPILED)


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    Attributes
    ----------
    name : str
        What it is.
    build : callable
        Makes the network.
    batch, size : int
        The input is ``(batch, 3, size, size)``.
    training : bool
        A whole training step (forward, loss, backward, update), or a prediction.
    """

    name: str
    build: Callable[[], Sequential]
    batch: int
    size: int
    training: bool = True


CASES: tuple[Case, ...] = (
    Case("report's network, batch 4", report_network, 4, 32),
    Case("report's network, batch 16", report_network, 16, 32),
    Case("report's network, batch 100", report_network, 100, 32),
    Case("3x3 decoder, batch 4", report_3x3_network, 4, 32),
    Case("3x3 decoder, batch 16", report_3x3_network, 16, 32),
    Case("3x3 decoder, batch 100", report_3x3_network, 100, 32),
    Case("3x3 decoder, batch 500", report_3x3_network, 500, 32),
    Case("3x3 stack 16/16, batch 8", partial(conv_stack, inner=(16, 16)), 8, 32),
    Case("3x3 stack 32/64/96, batch 16", conv_stack, 16, 64),
    Case("report's network, predict 512x512", report_network, 1, 512, training=False),
    Case("3x3 stack 32/64/96, predict 512x512", conv_stack, 1, 512, training=False),
)


@dataclass
class Result:
    """What was measured in one case.

    Attributes
    ----------
    case : str
        Name of the case.
    milliseconds : dict of str to float
        Median time of each row.
    spread : dict of str to (float, float)
        Quartiles of the times of each row, in milliseconds.
    megabytes : dict of str to float
        Peak memory beyond what data, weights and libraries take, of each row; where the operating
        system tells.
    multiplications, bytes : float
        What the step needs at least: scalar multiplications, and numbers moved between layers.
    floor : float
        Milliseconds that they take at this machine's own rates.
    """

    case: str
    milliseconds: dict[str, float] = field(default_factory=dict)
    spread: dict[str, tuple[float, float]] = field(default_factory=dict)
    megabytes: dict[str, float] = field(default_factory=dict)
    multiplications: float = 0.0
    bytes: float = 0.0
    floor: float = 0.0

    @property
    def best_pytorch(self) -> float:
        """Milliseconds of PyTorch's fastest row."""
        return min(self.milliseconds[row] for row in PYTORCH if row in self.milliseconds)

    def ratio(self, row: str) -> float:
        """Return how many times faster a row is than PyTorch's fastest."""
        return self.best_pytorch / self.milliseconds[row]


def machine() -> dict[str, str | int | float]:
    """Describe what the figures depend on, and measure the limits of this machine.

    Returns
    -------
    dict
        Versions, threads, ``gigaflops`` of a large matrix product by `product` and by
        ``torch.mm``, and ``gigabytes_per_second`` of a large copy (read plus written).
    """
    a, b = torch.rand(1500, 1500), torch.rand(1500, 1500)
    source = torch.rand(16 << 20)
    target = torch.empty_like(source)
    times = _interleaved(
        {
            "product": lambda: product(a, b),
            "mm": lambda: torch.mm(a, b),
            "copy": lambda: target.copy_(source),
        },
        rounds=15,
    )
    rates = {name: statistics.median(values) for name, values in times.items()}
    return {
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gigaflops": 2 * 1500**3 / rates["product"] / 1e9,
        "gigaflops_mm": 2 * 1500**3 / rates["mm"] / 1e9,
        "gigabytes_per_second": 2 * source.nbytes / rates["copy"] / 1e9,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


# ---------------------------------------------------------------------- the rows


def make_row(row: str, case: Case) -> Callable[[], object]:
    """Build the network of a case in one way and return the function to time.

    Every row has the same weights and the same data; each gets its data in the layout it likes.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(case.batch, 3, case.size, case.size, generator=generator)
    y = torch.rand(case.batch, 3, case.size, case.size, generator=generator)
    network = case.build()
    if row not in (PLAIN, UNFOLD):
        x = x.contiguous(memory_format=torch.channels_last)
        y = y.contiguous(memory_format=torch.channels_last)
    if row in (OURS, UNFOLD):
        return _our_row(network, x, y, case.training, "fast" if row == OURS else "unfold")
    twin = torch_twin(network)
    if row != PLAIN:
        twin = twin.to(memory_format=torch.channels_last)
    if row == COMPILED:
        torch._dynamo.reset()
        twin = torch.compile(twin)
    return _torch_row(twin, x, y, case.training)


def _our_row(network: Sequential, x: Tensor, y: Tensor, training: bool, kernel_set: str):
    criterion, optimiser = MSELoss(network), SGD(network, lr=1e-3)
    mode = ExitStack()
    mode.enter_context(network.training_mode() if training else network.prediction_mode())

    def step() -> None:
        with torch.no_grad(), use_kernels(kernel_set):
            if not training:
                network(x)
                return
            criterion(network(x), y)
            optimiser.zero_grad()
            criterion.backward()
            optimiser.step()

    step.mode = mode  # lasts as long as the row does
    return step


def _torch_row(twin: nn.Module, x: Tensor, y: Tensor, training: bool):
    criterion, optimiser = nn.MSELoss(), torch.optim.SGD(twin.parameters(), lr=1e-3)

    def step() -> None:
        if not training:
            with torch.no_grad():
                twin(x)
            return
        with torch.enable_grad():
            loss = criterion(twin(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    return step


def can_compile() -> bool:
    """Return whether ``torch.compile`` finds a C++ compiler."""
    return any(shutil.which(name) for name in ("g++", "clang++", "cl"))


# ---------------------------------------------------------------------- measuring


def _interleaved(
    functions: dict[str, Callable[[], object]], rounds: int, seconds: float = float("inf")
) -> dict[str, list[float]]:
    """Time the functions in turn, round after round, after two warm-up calls each.

    A turn is one call that does not count and up to five that do, within about 0.1 s: as in
    training, a step finds the caches as the step before it left them, not as another row did.
    Stops after `rounds`, or after `seconds` if there were five. A function that takes more than ten
    times as long as the fastest joins every fourth round only.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
        function()
    started = time.perf_counter()
    for number in range(rounds):
        for name, function in functions.items():
            fastest = min((t for values in times.values() for t in values), default=0.0)
            slow = times[name] and min(times[name]) > 10 * fastest
            if slow and number % 4:
                continue
            function()
            turn = time.perf_counter()
            for _ in range(5):
                begin = time.perf_counter()
                function()
                end = time.perf_counter()
                times[name].append(end - begin)
                if end - turn > 0.1:
                    break
        if number >= 4 and time.perf_counter() - started > seconds:
            break
    return times


def measure(
    case: Case, rows: tuple[str, ...], limits: dict, *, rounds: int = 200, seconds: float = 20.0
) -> Result:
    """Measure the rows of one case in turn, and compute the floor.

    Parameters
    ----------
    case : Case
        What to run.
    rows : tuple of str
        Names out of `ROWS`.
    limits : dict
        Of `machine`.
    rounds : int
        Turns of each row, at most.
    seconds : float
        Time for the case, about.

    Returns
    -------
    Result
        Without memory, see `peak_memory`.
    """
    keep_freed()  # as in training; else each row depends on what the others have freed
    times = _interleaved({row: make_row(row, case) for row in rows}, rounds, seconds)
    result = Result(case.name)
    for row, values in times.items():
        result.milliseconds[row] = statistics.median(values) * 1e3
        low, _, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
        result.spread[row] = low * 1e3, high * 1e3
    result.multiplications, result.bytes = work(case)
    seconds_of_products = 2 * result.multiplications / (limits["gigaflops"] * 1e9)
    seconds_of_copies = result.bytes / (limits["gigabytes_per_second"] * 1e9)
    result.floor = (seconds_of_products + seconds_of_copies) * 1e3
    return result


def work(case: Case) -> tuple[float, float]:
    """Count what a step cannot do without.

    Returns
    -------
    (float, float)
        Scalar multiplications of the matrix products, with upsampling counted the cheap way of
        ``kernels.fast``, and bytes: in the forward every layer reads its input and writes its
        output; in the backward it reads its input and the gradient of its output and writes that
        of its input. Activations are counted as free.
    """
    shape, multiplications, numbers, first = (3, case.size, case.size), 0.0, 0.0, True
    for layer in case.build():
        if not isinstance(layer, (Conv2d, Upsampling)):
            continue
        with torch.no_grad():
            after = tuple(layer(torch.zeros(1, *shape)).shape[1:])
        conv = layer.conv if isinstance(layer, Upsampling) else layer
        if isinstance(layer, Upsampling):
            taps = [k + s - 1 for k, s in zip(conv.kernel_size, layer.scale_factor, strict=True)]
            places = shape[1] * shape[2]
        else:
            taps, places = conv.kernel_size, after[1] * after[2]
        products = places * taps[0] * taps[1] * conv.in_channels * conv.out_channels
        before_numbers = shape[0] * shape[1] * shape[2]
        after_numbers = after[0] * after[1] * after[2]
        passes = 1 if not case.training else 2 if first else 3
        multiplications += passes * products
        numbers += before_numbers + after_numbers
        if case.training:
            numbers += before_numbers + after_numbers + (0 if first else before_numbers)
        shape, first = after, False
    return case.batch * multiplications, 4.0 * case.batch * numbers


def peak_memory(row: str, case: Case) -> float | None:
    """Return the peak memory of a step in megabytes beyond data, weights and libraries.

    Measured in a process of its own through the peak of its resident memory, which includes what
    libraries take behind PyTorch's back. None where there is no Linux with glibc.
    """
    if not Path("/proc/self/clear_refs").exists() or not hasattr(ctypes.CDLL(None), "malloc_trim"):
        return None
    try:
        return _apart(partial(_peak_memory, row, case), case.name)
    except ChildProcessError:
        return None


def _apart(work: Callable[[], object], name: str) -> object:
    """Return what `work` returns in a new process, with as many threads as this one.

    There no earlier case has left its holes in the heap.

    Raises
    ------
    ChildProcessError
        If the process ends before it has an answer: it was killed, or `work` raised.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, torch.get_num_threads(), work))
    with interrupts.kept_from_children():
        process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        raise ChildProcessError(
            f"expected a measurement of {name!r}, got none: its process ended with exit code "
            f"{process.exitcode} (below 0: killed by that signal, 9 for want of memory)"
        ) from None
    except KeyboardInterrupt:
        process.terminate()
        process.join(GRACE)
        process.kill()
        raise
    finally:
        process.join()


def _answer(sender: Connection, threads: int, work: Callable[[], object]) -> None:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # tidied up
    torch.set_num_threads(threads)
    sender.send(work())


def _peak_memory(row: str, case: Case) -> float:
    """Return how far the peak of the resident memory rises above its start in two steps.

    Two steps of the same shapes come first: libraries compile what they need and take their
    buffers. What those steps left free in the heap goes back to the system.
    """

    def resident(field_name: str) -> float:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field_name + ":"):
                return float(line.split()[1]) / 1024
        raise OSError(f"no {field_name} in /proc/self/status")

    keep_freed()
    step = make_row(row, case)
    step()
    step()
    del step
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    step = make_row(row, case)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    step()
    step()
    return resident("VmHWM") - before


def run(
    cases: tuple[Case, ...],
    limits: dict,
    *,
    compiled: bool = True,
    memory: bool = True,
    seconds: float = 20.0,
    progress: bool = True,
) -> Iterator[Result]:
    """Measure all cases, one result after the other, each in a process of its own.

    Parameters
    ----------
    cases : tuple of Case
        What to measure.
    limits : dict
        Of `machine`.
    compiled : bool
        Whether to measure ``torch.compile`` too, where a compiler is present.
    memory : bool
        Whether to measure memory too.
    seconds : float
        Time for each case, about.
    progress : bool
        Whether to show a progress bar.

    Raises
    ------
    ChildProcessError
        If the process of a case dies.
    """
    rows = ROWS if compiled and can_compile() else ROWS[:-1]
    with tqdm(cases, disable=not progress, unit="case") as bar:
        for case in bar:
            bar.set_description(case.name)
            result = _apart(partial(measure, case, rows, limits, seconds=seconds), case.name)
            if memory:
                for row in ROWS[:-1]:
                    megabytes = peak_memory(row, case)
                    if megabytes is not None:
                        result.megabytes[row] = megabytes
            yield result


# ---------------------------------------------------------------------- the full run

FULL_RUNS = ((4, 2.0), (16, 4.0))
"""Batch size and learning rate of the full runs: the report's batch, and the default."""


@dataclass(frozen=True)
class FullRun:
    """What a whole training came to.

    Attributes
    ----------
    row : str
        Who trained.
    batch_size : int
        Pairs to a step.
    seconds : float
        Time of all epochs, without validation.
    psnr, psnr_noisy : float
        In dB, mean over the validation thumbnails: of the trained network, and of doing nothing.
    """

    row: str
    batch_size: int
    seconds: float
    psnr: float
    psnr_noisy: float


def full_run(
    row: str, batch_size: int, lr: float, *, pairs: int = 50_000, epochs: int = 8
) -> FullRun:
    """Train the report's network as ``n2n train`` does, ours or its twin in ``torch.nn``.

    Parameters
    ----------
    row : str
        `OURS` or `CHANNELS_LAST`. Both start from the same weights and see the same pairs in the
        same order, at the same learning rates.
    batch_size : int
        Pairs to a step.
    lr : float
        First learning rate; falls to 0 along half a cosine.
    pairs, epochs : int
        Noisy pairs, and how often each is seen.
    """
    drawn = sample_pairs(pairs, with_clean=False, generator=torch.Generator().manual_seed(0))
    held = sample_pairs(1000, split="validation", generator=torch.Generator().manual_seed(1))
    model = Model("report", seed=0)
    if row == OURS:
        noisy = drawn.noisy1, drawn.noisy2
        options = {"batch_size": batch_size, "lr": lr, "seed": 0, "progress": False}
        options["threads"] = torch.get_num_threads()  # as many as the twin has
        seconds = sum(model.train(*noisy, epochs, **options).seconds)
        denoised = to_unit(model.predict(held.noisy1))
    else:
        twin = torch_twin(model.network).to(memory_format=torch.channels_last)
        seconds = _train_twin(twin, drawn, batch_size, lr, epochs)
        with torch.no_grad():
            denoised = twin(to_unit(held.noisy1))
    clean = to_unit(held.clean)
    nothing = psnr(to_unit(held.noisy1), clean)
    return FullRun(row, batch_size, seconds, psnr(denoised, clean), nothing)


def _train_twin(twin: nn.Module, pairs: Pairs, batch_size: int, lr: float, epochs: int) -> float:
    """Do what ``Model.train`` does with the means of PyTorch; return the seconds."""
    criterion, optimiser = nn.MSELoss(), torch.optim.SGD(twin.parameters(), lr=lr)
    generator, step = torch.Generator().manual_seed(0), 0
    total = epochs * -(-len(pairs.noisy1) // batch_size)
    started = time.perf_counter()
    with torch.enable_grad():
        for _ in range(epochs):
            order = torch.randperm(len(pairs.noisy1), generator=generator)
            for rows in order.split(batch_size):
                optimiser.param_groups[0]["lr"] = cosine(lr, step, total)
                x, y = (
                    to_unit(noisy[rows]).contiguous(memory_format=torch.channels_last)
                    for noisy in pairs[:2]
                )
                loss = criterion(twin(x), y)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                step += 1
    return time.perf_counter() - started

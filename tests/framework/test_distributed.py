"""Many processes give the weights of one, and one that is lost is noticed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from hypothesis import given
from hypothesis import strategies as st

from n2n_lib.denoiser.model import Model
from n2n_lib.framework import distributed
from n2n_lib.framework.distributed import GradientMean, Group, ProcessLostError, step_seconds
from n2n_lib.framework.kernels import KERNELS, use_kernels

RULES = ("sgd", "momentum", "adam")
COUNTS = {"even": 12, "uneven": 13}  # pairs; in batches of 4, so that one of 1 is left


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(rank: int, size: int, port: int) -> dict[str, str]:
    """What torchrun tells a process."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }


def trained(rule: str, count: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """Train a small U-Net, with branches, and return its weights."""
    generator = torch.Generator().manual_seed(1)
    noisy = 255 * torch.rand(2, count, 3, 16, 16, generator=generator)
    model = Model("unet", seed=0, width=4, depth=1).to(dtype)
    settings = {"batch_size": 4, "lr": 0.01, "optimiser": rule, "ema": 0.9, "progress": False}
    model.train(noisy[0], noisy[1], 3, **settings)
    return [parameter.clone() for parameter, _ in model.network.param()]


def work(rank: int, size: int, port: int, folder: Path) -> None:
    """Be one of the processes: train in every way, and leave the weights in a file."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    os.environ.update(environment(rank, size, port))
    with distributed.processes() as group:
        assert (group.rank, group.size) == (rank, size)
        weights = {
            (rule, name, str(dtype)): trained(rule, count, dtype)
            for rule in RULES
            for name, count in COUNTS.items()
            for dtype in (torch.float64, torch.float32)
        }
        again = trained("adam", COUNTS["uneven"], torch.float32)
        assert all(map(torch.equal, again, weights["adam", "uneven", str(torch.float32)]))
    torch.save(weights, folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """The weights of three processes that trained together, one dictionary each."""
    folder, size = tmp_path_factory.mktemp("together"), 3
    mp.spawn(work, (size, free_port(), folder), nprocs=size)
    return [torch.load(folder / f"{rank}.pt") for rank in range(size)]


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=["float64", "float32"]
)
def test_three_processes_give_the_weights_of_one(
    rule: str, name: str, dtype: torch.dtype, tolerance: float, together: list[dict]
) -> None:
    alone = trained(rule, COUNTS[name], dtype)
    for weights in together:
        for got, expected in zip(weights[rule, name, str(dtype)], alone, strict=True):
            assert (got - expected).abs().max() <= tolerance
            assert got.dtype == dtype


def test_all_processes_hold_the_same_bits(together: list[dict]) -> None:
    first, *others = together
    for weights in others:
        for key, tensors in weights.items():
            assert all(map(torch.equal, tensors, first[key]))


@pytest.mark.parametrize("kernel_set", list(KERNELS))
def test_the_same_seed_gives_the_same_bits(kernel_set: str) -> None:
    with use_kernels(kernel_set):
        first, second = (trained("adam", COUNTS["uneven"], torch.float32) for _ in range(2))
    assert all(map(torch.equal, first, second))


@given(count=st.integers(0, 50), size=st.integers(1, 9))
def test_shares_cover_a_batch_once_and_differ_by_one(count: int, size: int) -> None:
    shares = [range(count)[Group(rank, size).share(count)] for rank in range(size)]
    assert [row for share in shares for row in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_process_on_its_own_changes_nothing() -> None:
    group = distributed.current()
    numbers = torch.tensor([1.0, 2.0])
    group.add_up(numbers)
    assert (group.rank, group.size, group.leads) == (0, 1, True)
    assert numbers.tolist() == [1.0, 2.0] and group.tell_all("this") == "this"
    network = Model("report", seed=0).network
    gradients = GradientMean(network, group)
    with gradients.watching(), gradients.step(1.0):
        assert not any("backward" in vars(module) for module in network.modules())


class Recorder:
    """Stands in for the network between processes: notes when a message leaves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[str] = []
        monkeypatch.setattr(distributed.dist, "all_reduce", self.all_reduce)

    def all_reduce(self, tensor: torch.Tensor, async_op: bool = False) -> Recorder:
        self.events.append("sent")
        return self

    def wait(self) -> None:
        self.events.append("waited")


def test_gradients_leave_while_backward_still_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    monkeypatch.setattr(distributed, "BUCKET_BYTES", 1024)
    network = Model("report", seed=0).network
    gradients = GradientMean(network, Group(0, 2))
    first, backward = network[0], network[0].backward
    first.backward = lambda grad: (recorder.events.append("first layer"), backward(grad))[1]
    x = torch.rand(2, 3, 8, 8)
    with gradients.watching(), gradients.step(0.5):
        network(x)
        network.backward(x)
    assert recorder.events.index("sent") < recorder.events.index("first layer")
    assert recorder.events.index("first layer") < recorder.events.index("waited")
    assert recorder.events.count("sent") == recorder.events.count("waited") > 1


def test_shares_are_weighted_and_the_modules_are_left_as_they_were(monkeypatch) -> None:
    Recorder(monkeypatch)
    network = Model("report", seed=0).network
    x = torch.rand(2, 3, 8, 8)
    network(x)
    network.backward(x)
    expected = [0.25 * grad for _, grad in network.param()]
    network.zero_grad()
    gradients = GradientMean(network, Group(0, 2))
    with gradients.watching(), gradients.step(0.25):
        network(x)
        network.backward(x)
    for (_, got), wanted in zip(network.param(), expected, strict=True):
        torch.testing.assert_close(got, wanted)
    assert not any("backward" in vars(module) for module in network.modules())


def test_a_module_that_runs_backwards_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Recorder(monkeypatch)
    network = Model("report", seed=0).network
    gradients = GradientMean(network, Group(0, 2))
    x = torch.rand(2, 3, 8, 8)
    with (
        pytest.raises(RuntimeError, match="once a step, Sigmoid did so twice"),
        gradients.watching(),
        gradients.step(0.5),
    ):
        network(x)
        network.backward(x)
        network.backward(x)


def test_a_lost_process_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(tensor: torch.Tensor, async_op: bool = False) -> None:
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(distributed.dist, "all_reduce", broken)
    with pytest.raises(ProcessLostError, match="closed by peer.*--resume"):
        Group(0, 2).add_up(torch.zeros(1))


# ------------------------------------------------------------------ the command line


def start(out: Path, *more: str, **variables: str) -> subprocess.Popen:
    """Start one process of `n2n train`."""
    command = [sys.executable, "-m", "n2n_lib", "train", "--steps", "4000", "--batch", "4"]
    return subprocess.Popen(
        [*command, "--optimiser", "adam", "--out", str(out), "--quiet", *more],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_others_stop_when_one_is_killed_and_the_run_goes_on_alone(tmp_path: Path) -> None:
    port, checkpoint = free_port(), tmp_path / "checkpoint.pth"
    group = [start(tmp_path, **environment(rank, 2, port)) for rank in range(2)]
    try:
        for _ in range(600):
            if checkpoint.exists():
                break
            time.sleep(0.1)
        group[1].send_signal(signal.SIGKILL)
        _, errors = group[0].communicate(timeout=30)
    finally:
        for process in group:
            process.kill()
            process.wait()
    assert group[0].returncode == 2
    last = errors.strip().splitlines()[-1]
    assert last.startswith("n2n: expected all processes of the training to live on, but lost one")
    done = len(torch.load(checkpoint, weights_only=True)["history"]["losses"])
    assert 0 < done < 4000 and done % 500 == 0

    process = start(tmp_path, "--resume")
    try:
        for _ in range(600):  # until the next epoch is on disk; the rest is no news
            if len(torch.load(checkpoint, weights_only=True)["history"]["losses"]) > done:
                break
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    assert len(torch.load(checkpoint, weights_only=True)["history"]["losses"]) > done


# ------------------------------------------------------------------ the cost model


@given(size=st.integers(1, 8), compute=st.floats(0, 10), pieces=st.integers(1, 10**6).map(float))
def test_the_cost_model_counts_the_messages_of_a_ring(
    size: int, compute: float, pieces: float
) -> None:
    """Play the ring: in each round every process hands one piece to its neighbour."""
    held = [{rank: {owner} for rank in range(size)} for owner in range(size)]
    rounds = 0
    while any(len(held[owner][piece]) < size for owner in range(size) for piece in range(size)):
        moved = [(owner, (owner - rounds) % size) for owner in range(size)]
        carried = [(owner, piece, set(held[owner][piece])) for owner, piece in moved]
        for owner, piece, content in carried:
            held[(owner + 1) % size][piece] |= content
        rounds += 1
    seconds = compute / size + rounds * (0.5 + pieces / size / 100)
    got = step_seconds(size, compute=compute, size=pieces, bandwidth=100, latency=0.5)
    assert got == pytest.approx(seconds)


@pytest.mark.parametrize("wrong", [{"bandwidth": 0}, {"compute": -1}, {"latency": -1}])
def test_the_cost_model_refuses_numbers_without_sense(wrong: dict) -> None:
    numbers = {"compute": 1, "size": 1, "bandwidth": 1, "latency": 1} | wrong
    with pytest.raises(ValueError, match="positive bandwidth"):
        step_seconds(2, **numbers)
    with pytest.raises(ValueError, match="one process or more"):
        step_seconds(0, compute=1, size=1, bandwidth=1, latency=1)

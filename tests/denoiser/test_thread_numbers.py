"""Threads in training and prediction: which number is chosen; a fixed one fixes all bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from reference import assert_same
from small_models import filter_model, images, pairs, weights

from n2n_lib.denoiser import prediction, training
from n2n_lib.denoiser.model import Model
from n2n_lib.denoiser.networks import NETWORKS
from n2n_lib.framework import distributed
from n2n_lib.framework.kernels import use_kernels
from n2n_lib.framework.module import Module
from n2n_lib.support import threads
from n2n_lib.support.threads import BUSY, LITTLE, Chooser, Span

KERNELS = ("fast", "unfold")


@pytest.fixture(autouse=True)
def two_processors(monkeypatch):
    monkeypatch.setattr(threads, "span", lambda: threads._span.get() or Span(1, 2, ""))


@pytest.fixture
def large_steps(monkeypatch):
    monkeypatch.setattr(training, "SMALL_STEP", 0)


class Machine:
    """Steps take as long as this says, by a clock of its own; nothing is read off the real one."""

    def __init__(self, monkeypatch, seconds: dict[int, float], waits: float = 0.0) -> None:
        self.now, self.seconds, self.probes = 0.0, seconds, 0
        self.waits, self.runs = waits, []
        for module in (training, prediction):
            monkeypatch.setattr(module, "Chooser", lambda: Chooser(lambda: self.now, self.probe))

    def probe(self, count: int) -> float:
        self.probes += 1
        self.now += 0.02
        return self.waits

    def watched(self, model: Model) -> Model:
        """Let every forward of a network take its time."""
        forward = model.network.forward

        def timed(*inputs):
            self.runs.append(torch.get_num_threads())
            self.now += self.seconds[torch.get_num_threads()]
            threads.mind_the_time()
            return forward(*inputs)

        model.network.forward = timed
        model.chooser = prediction.Chooser()
        return model


def train(model: Model, **options) -> list[list[int]]:
    noisy1, noisy2, _ = pairs(40)
    options = {"batch_size": 4, "lr": 0.1, "progress": False} | options
    return model.train(noisy1, noisy2, 2, **options).threads


def test_small_batches_take_one_thread_without_trial(monkeypatch):
    machine = Machine(monkeypatch, {1: 1.0, 2: 0.1})
    model = machine.watched(filter_model())
    assert train(model) == [[0, 1]]
    assert machine.runs == [1] * 20 and not machine.probes


def test_large_batches_take_what_pays(monkeypatch, large_steps):
    machine = Machine(monkeypatch, {1: 1.0, 2: 0.6})
    assert train(machine.watched(filter_model())) == [[0, 2]]
    assert machine.runs == [1, 1, 2, 2] + [2] * 20


def test_a_busy_machine_costs_no_step(monkeypatch, large_steps):
    machine = Machine(monkeypatch, {1: 1.0, 2: 60.0}, waits=0.01)
    assert train(machine.watched(filter_model())) == [[0, 1]]
    assert machine.runs == [1] * 20


def test_the_number_changes_in_the_middle(monkeypatch, large_steps):
    machine = Machine(monkeypatch, {1: 1.0, 2: 0.6})
    model, told = machine.watched(filter_model()), []

    def after_epoch(model: Model) -> None:
        machine.seconds[2], machine.waits = 60.0, 0.01

    noisy1, noisy2, _ = pairs(40)
    recipe = training.Recipe(num_epochs=2, batch_size=4, lr=0.1)
    watch = training.Watch(progress=False, on_epoch=after_epoch, say=told.append)
    history = model.fit(training.Batches.of_pairs(noisy1, noisy2, recipe), recipe, watch)
    assert history.threads == [[0, 2], [10, 1]]  # in that step itself
    assert machine.runs == [1, 1, 2, 2] + [2] * 11 + [1] * 9
    assert told[0].startswith("threads: 2 of ") and told[1].endswith(f"({BUSY}) from step 11 on")


def test_trials_leave_no_trace_in_the_weights(monkeypatch, large_steps):
    """A run that tried two threads and took one has the weights of one; a random network too."""

    class Jittery(Module):
        def __init__(self, inner: Module) -> None:
            self.inner = inner

        def forward(self, x):
            return self.inner(x) + 0.01 * torch.rand(1)

        def backward(self, grad_output):
            return self.inner.backward(grad_output)

        def param(self):
            return self.inner.param()

    for waits in (0.0, 0.01):
        torch.manual_seed(0)
        fixed = Model(Jittery(filter_model().network))
        assert train(fixed, threads=1) == [[0, 1]]
        machine = Machine(monkeypatch, {1: 1.0, 2: 0.99}, waits)
        torch.manual_seed(0)
        chosen = machine.watched(Model(Jittery(filter_model().network)))
        assert train(chosen, optimiser="sgd") == [[0, 1]]
        assert (2 in machine.runs) == (not waits)
        assert_same(weights(fixed), weights(chosen))


def test_a_resumed_run_goes_on_with_its_number(monkeypatch, large_steps, tmp_path):
    path = tmp_path / "checkpoint.pth"
    machine = Machine(monkeypatch, {1: 1.0, 2: 0.6})
    assert train(machine.watched(filter_model()), checkpoint=path) == [[0, 2]]
    content = torch.load(path, weights_only=True)
    assert content["history"]["threads"] == [[0, 2]]
    del content["history"]["threads"]  # of an older version
    torch.save(content, path)
    assert train(filter_model(), checkpoint=path, resume=True) == []
    machine = Machine(monkeypatch, {1: 1.0, 2: 0.9})  # enough to be kept, not to be taken
    assert train(machine.watched(filter_model())) == [[0, 1]]

    class Stopped(BaseException):
        pass

    def stop(model: Model) -> None:
        raise Stopped

    machine = Machine(monkeypatch, {1: 1.0, 2: 0.6})
    with pytest.raises(Stopped):
        train(machine.watched(filter_model()), checkpoint=path, on_epoch=stop)
    machine.seconds[2] = 0.9
    model = machine.watched(filter_model())
    assert train(model, checkpoint=path, resume=True) == [[0, 2]]


def test_processes_that_train_together_try_nothing(monkeypatch, large_steps):
    monkeypatch.setattr(training, "neighbours", lambda: 2)
    machine = Machine(monkeypatch, {1: 1.0, 2: 0.1})
    assert train(machine.watched(filter_model())) == [[0, 1]]
    assert machine.runs == [1] * 20 and not machine.probes


def test_neighbours(monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert distributed.neighbours() is None  # what the variable says is of another program
    monkeypatch.setattr(distributed, "current", lambda: distributed.Group(0, 4))
    assert distributed.neighbours() == 2
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    assert distributed.neighbours() == 4


# ---------------------------------------------------------------------- prediction


@pytest.fixture
def many(monkeypatch) -> Iterator[None]:
    monkeypatch.setattr(prediction, "MANY", 100)
    monkeypatch.setattr(prediction, "TILE", 16)
    monkeypatch.setattr(prediction, "TRIED", 8)


def test_small_pictures_take_one_thread_without_trial(monkeypatch):
    machine = Machine(monkeypatch, {1: 1.0, 2: 0.1})
    model = machine.watched(Model("unet", width=4, depth=1))
    model.predict(images(3, 64, 64))
    assert machine.runs == [1] and not machine.probes
    assert "(small pictures)" in str(model.chooser)


def test_pictures_take_what_pays(monkeypatch, many):
    machine = Machine(monkeypatch, {1: 1.0, 2: 0.6})
    model = machine.watched(Model("unet", width=4, depth=1))
    model.predict(images(3, 40, 40))
    assert machine.runs == [1, 1, 2, 2] + [2] * 9
    model.predict(images(3, 40, 40))  # what was found holds
    assert machine.runs[13:] == [2] * 9


@pytest.mark.parametrize("waits, why, trial", [(0.01, BUSY, []), (0.0, LITTLE, [1, 1, 2, 2])])
def test_pictures_take_one_thread_where_more_do_not_pay(
    monkeypatch, many, waits: float, why: str, trial: list
):
    machine = Machine(monkeypatch, {1: 1.0, 2: 1.1}, waits)
    model = machine.watched(Model("unet", width=4, depth=1))
    model.predict(images(3, 40, 40))
    assert machine.runs == trial + [1] * 9
    assert model.chooser.why == why


def test_a_piece_is_tried_of_thumbnails_and_of_tiles(monkeypatch, many):
    tried = []
    model = Model("report")
    model.chooser = Chooser(waits=lambda count: 0.0)
    forward = model.forward

    def watch(unit):
        tried.append(tuple(unit.shape))
        return forward(unit)

    monkeypatch.setattr(model, "forward", watch)
    model.predict(images(40, 3, 4, 4))
    assert set(tried) == {(4, 3, 4, 4), (16, 3, 4, 4), (8, 3, 4, 4)}  # tried; chunks; the rest


def test_many_small_pictures_are_many(monkeypatch):
    monkeypatch.setattr(prediction, "MANY", 3 * 64 * 64)
    machine = Machine(monkeypatch, {1: 1.0, 2: 0.6})
    model = machine.watched(Model("unet", width=4, depth=1))
    for _ in range(3):
        assert model.chooser.count < 2
        model.predict(images(3, 64, 64))
    assert model.chooser.count == 2


# ---------------------------------------------------------------------- bit for bit


# Large enough that PyTorch shares the work, and few steps: beside other programs two threads wait.


def small(network: str) -> Model:
    return Model(network, seed=1, **({"width": 16, "depth": 1} if network == "unet" else {}))


def bits_of_training(kernel_set: str, count: int, network: str) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    noisy1, noisy2 = 255 * torch.rand(2, 12, 3, 32, 32, generator=generator)
    model = small(network)
    options = {"batch_size": 6, "optimiser": "adam", "lr": 1e-3, "progress": False}
    with use_kernels(kernel_set):
        history = model.train(noisy1, noisy2, 1, threads=count, **options)
    assert history.threads == [[0, count]]
    return [*weights(model), torch.tensor(history.losses)]


@pytest.mark.parametrize("network", ["report", "unet"])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("kernel_set", KERNELS)
def test_a_fixed_number_fixes_every_bit_of_a_training(kernel_set: str, count: int, network: str):
    first = bits_of_training(kernel_set, count, network)
    assert_same(first, bits_of_training(kernel_set, count, network))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("kernel_set", KERNELS)
def test_pictures_do_not_depend_on_the_number(kernel_set: str, network: str):
    """Forward, threads share the rows of a product, and each sum stays with one of them."""
    model, picture = small(network), images(3, 70, 90)

    def predicted(count: int) -> torch.Tensor:
        with threads.threads(count), use_kernels(kernel_set):
            return model.predict(picture)

    assert_same([predicted(1)], [predicted(2)])


def test_the_command_computes_on_what_it_is_told(monkeypatch, tmp_path):
    from commands import well

    from n2n_lib.denoiser.images import save_image

    save_image(images(3, 40, 40, dtype=torch.uint8), tmp_path / "picture.png")
    seen: list[int] = []
    forward: Callable = Model.forward

    def watch(model: Model, unit: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return forward(model, unit)

    monkeypatch.setattr(Model, "forward", watch)
    before = torch.get_num_threads()
    for number in (2, 1):
        options = ("--out", tmp_path / "out", "--sigma", 25, "--threads", number)
        done = well("denoise", tmp_path / "picture.png", *options)
        assert set(seen) == {number}, seen
        assert f"threads: {number} of " in done.err
        seen.clear()
    assert torch.get_num_threads() == before

"""Training: the steps that are taken, divergence, fresh pairs, one noisy image."""

from __future__ import annotations

import math
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from reference import assert_same, copy_values, generator, state, torch_report_network
from small_models import (
    DATA,
    STEPS,
    A,
    B,
    C,
    are_finite,
    assert_refuses,
    few_at_once,
    filter_model,
    pairs,
    photo,
    pixel_psnr,
    rising,
    run_stream,
    stream,
    weights,
)
from torch import Tensor, nn

from n2n_lib.denoiser.images import to_unit
from n2n_lib.denoiser.metrics import psnr
from n2n_lib.denoiser.model import DivergedError, Model
from n2n_lib.denoiser.photographs import photograph
from n2n_lib.denoiser.recipe import Recipe
from n2n_lib.denoiser.sampling import sample_pairs
from n2n_lib.denoiser.stream import PairStream
from n2n_lib.denoiser.training import Batches, Watch, pair_weights
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.module import Module
from n2n_lib.framework.schedules import SCHEDULES


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_training_on_noisy_pairs_alone_denoises(dtype: torch.dtype):
    noisy1, noisy2, clean = pairs(240)
    if dtype == torch.uint8:
        noisy1, noisy2 = (t.round().clamp(0, 255).to(dtype) for t in (noisy1, noisy2))
    model = Model()
    history = model.train(noisy1[40:], noisy2[40:], 8, batch_size=8, progress=False)
    assert history is model.history
    assert np.mean(history.losses[-25:]) < 0.6 * np.mean(history.losses[:5])
    held_out, truth = noisy1[:40], clean[:40]
    nothing = pixel_psnr(held_out.float().clamp(0, 255), truth)
    assert pixel_psnr(model.predict(held_out).float(), truth) > nothing + 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_training_takes_the_steps_that_torch_takes(dtype: torch.dtype):
    """Full batches, so that their order does not matter: autograd, torch.optim, a cosine."""
    noisy1, noisy2, _ = pairs(12)
    model, epochs, lr = Model(seed=5).to(dtype), 6, 1.5
    twin = copy_values(model.network, torch_report_network())
    history = model.train(noisy1, noisy2, epochs, batch_size=12, lr=lr, progress=False)
    x, y = noisy1.to(dtype) / 255, noisy2.to(dtype) / 255
    optimiser, losses = torch.optim.SGD(twin.parameters(), lr=lr), []
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=epochs)
    with torch.enable_grad():
        for _ in range(epochs):
            loss = nn.functional.mse_loss(twin(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
    assert history.losses == pytest.approx(losses, rel=1e-5)
    assert losses[-1] < losses[0]
    for ours, theirs in zip(weights(model), twin.parameters(), strict=True):
        assert ours.dtype == dtype
        assert torch.allclose(ours, theirs.detach(), rtol=1e-3, atol=1e-5)


class Diary(Module):
    """Multiply by a weight, and write down which images came in: by their first value."""

    def __init__(self) -> None:
        self.weight, self.weight_grad = torch.ones(1), torch.zeros(1)
        self.seen: list[list[int]] = []

    def forward(self, input: Tensor) -> Tensor:
        self._saved = input
        self.seen.append((input[:, 0, 0, 0] * 255).round().int().tolist())
        return self.weight * input

    def backward(self, grad_output: Tensor) -> Tensor:
        self.weight_grad += (grad_output * self._saved).sum()
        return self.weight * grad_output


def numbered(count: int) -> tuple[Tensor, Tensor]:
    """Image i is i everywhere, from 2, since ones may be meant as 0-1; its target is 3 i."""
    first = torch.arange(2, count + 2).float().view(-1, 1, 1, 1).expand(count, 3, 2, 2)
    return first, 3 * first


def diary(seed: int = 0, count: int = 10, batch: int = 4, epochs: int = 2) -> Diary:
    network = Diary()
    model = Model(network)
    history = model.train(
        *numbered(count), epochs, batch_size=batch, lr=1e-12, seed=seed, progress=False
    )
    for images_of_step, loss in zip(network.seen, history.losses, strict=True):
        # Each image has its own target: the loss is the mean of (3 i - i)^2 over the batch.
        expected = np.mean([(2 * i / 255) ** 2 for i in images_of_step])
        assert loss == pytest.approx(expected, rel=1e-5)
    return network


def test_every_pair_is_seen_once_an_epoch_in_a_new_order():
    seen = diary().seen
    assert [len(batch) for batch in seen] == [4, 4, 2] * 2  # the last batch is smaller
    first, second = sum(seen[:3], []), sum(seen[3:], [])
    assert sorted(first) == sorted(second) == list(range(2, 12))
    assert first != sorted(first) and first != second


def test_the_seed_decides_the_order():
    assert diary(seed=1).seen == diary(seed=1).seen
    assert diary(seed=1).seen != diary(seed=2).seen


@pytest.mark.parametrize(
    ("count", "batch", "sizes"),
    [(1, 16, [1]), (3, 16, [3]), (4, 1, [1, 1, 1, 1]), (5, 4, [4, 1]), (8, 4, [4, 4])],
)
def test_sizes_of_batches(count: int, batch: int, sizes: list[int]):
    assert [len(b) for b in diary(count=count, batch=batch, epochs=1).seen] == sizes


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 7), (8, 6), (32, 33)])
def test_training_on_any_size(height: int, width: int):
    noisy1, noisy2, _ = pairs(6, height, width)
    model = Model()
    before = weights(model)
    losses = model.train(noisy1, noisy2, 10, batch_size=6, lr=1.0, progress=False).losses
    assert losses[-1] < losses[0]
    assert not torch.equal(before[0], weights(model)[0])
    assert model.predict(noisy1).shape == noisy1.shape


def test_same_seed_same_weights():
    noisy1, noisy2, _ = pairs(20)

    def trained(seed: int, **options) -> list[Tensor]:
        model = Model(seed=1)
        model.train(noisy1, noisy2, 2, batch_size=3, seed=seed, progress=False, **options)
        return weights(model)

    state = torch.get_rng_state()
    first = trained(0)
    assert torch.equal(torch.get_rng_state(), state), "the global generator was used"
    torch.manual_seed(99)
    assert_same(first, trained(0))
    assert not torch.equal(first[0], trained(1)[0])
    val = pairs(5)
    assert_same(first, trained(0, val_input=val[0], val_target=val[2]))  # they only inform


def test_history():
    noisy1, noisy2, clean = pairs(10)
    model, psnrs = Model(), []

    def after_epoch(current: Model) -> None:
        assert current is model and current.history.epochs == len(psnrs) + 1
        psnrs.append(pixel_psnr(model.predict(noisy2), clean))

    history = model.train(
        noisy1,
        noisy2,
        3,
        batch_size=4,
        val_input=noisy2,
        val_target=clean,
        progress=False,
        on_epoch=after_epoch,
    )
    assert history.epochs == 3 and len(history.losses) == 9
    assert history.val_psnr == pytest.approx(psnrs, abs=1e-4)
    assert len(history.seconds) == 3 and all(s > 0 for s in history.seconds)
    again = model.train(noisy1, noisy2, 1, batch_size=5, progress=False)
    assert (again.epochs, len(again.losses), again.val_psnr) == (1, 2, [])
    assert model.history is again and history.epochs == 3


def test_training_changes_no_data():
    data = [t.round().clamp(0, 255).to(torch.uint8) for t in pairs(8, 5, 6)]
    before = [t.clone() for t in data]
    Model().train(*data[:2], 1, val_input=data[0], val_target=data[2], progress=False)
    assert_same(before, data)


def test_progress_shows_loss_and_validation(capsys):
    noisy1, noisy2, clean = pairs(8)
    options = {"val_input": noisy1, "val_target": clean}
    Model().train(noisy1, noisy2, 2, progress=False, **options)
    assert capsys.readouterr() == ("", "")
    history = Model().train(noisy1, noisy2, 2, **options)
    output = capsys.readouterr()
    assert output.out == ""
    assert f"loss {history.losses[-1]:.5f}" in output.err
    assert f"{history.val_psnr[-1]:.2f} dB" in output.err


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("network", ["report", "custom"])
def test_needs_input_grad_is_put_back(wanted: bool, network: str):
    noisy1, noisy2, _ = pairs(4)
    model = Model("report" if network == "report" else Conv2d(3, 3, 1, generator=generator(0)))
    model.network.needs_input_grad = wanted

    def fail(model: Model) -> None:
        raise KeyboardInterrupt

    model.train(noisy1, noisy2, 1, progress=False)
    assert model.network.needs_input_grad is wanted
    with pytest.raises(KeyboardInterrupt):
        model.train(noisy1, noisy2, 1, progress=False, on_epoch=fail)
    assert model.network.needs_input_grad is wanted


# ---------------------------------------------------------------------- divergence


@pytest.mark.parametrize("lr", [1e20, 1e38])
def test_divergence_leaves_the_weights_of_the_last_finished_epoch(lr: float, tmp_path: Path):
    noisy1, noisy2, _ = pairs(8)
    model, after, path = Model(), [], tmp_path / "checkpoint.pth"
    with pytest.raises(
        DivergedError, match=r"loss became nan in epoch 2: expected .*learning rate"
    ):
        model.train(
            noisy1,
            noisy2,
            3,
            batch_size=8,
            lr=lr,
            progress=False,
            checkpoint=path,
            on_epoch=lambda model: after.append(weights(model)),
        )
    assert len(after) == 1 and are_finite(after[0])
    assert_same(after[0], weights(model))
    assert model.history.epochs == 1
    assert are_finite(torch.load(path, weights_only=True)["parameters"])


def test_divergence_in_the_first_epoch_leaves_the_initial_weights(tmp_path: Path):
    noisy1, noisy2, _ = pairs(40)
    model = Model(Conv2d(3, 3, 3, padding=1, generator=generator(0)))
    before = weights(model)
    with pytest.raises(DivergedError, match="in epoch 1: expected .*got 1e.?06"):
        model.train(
            noisy1, noisy2, 2, batch_size=1, lr=1e6, progress=False, checkpoint=tmp_path / "c.pth"
        )
    assert_same(before, weights(model))
    assert model.history.losses == [] and model.history.epochs == 0
    assert list(tmp_path.iterdir()) == []
    assert torch.isfinite(model.predict(noisy1)).all()


@pytest.mark.parametrize("epochs", [1, 2])
def test_divergence_in_the_last_step_of_an_epoch(epochs: int, tmp_path: Path):
    """The loss before that step is still a number; the weights after it are not."""
    noisy1, noisy2, _ = pairs(4)
    model, path = Model(Conv2d(3, 3, 1, generator=generator(0))), tmp_path / "checkpoint.pth"
    before = weights(model)
    with pytest.raises(DivergedError):
        model.train(
            100 * noisy1, noisy2, epochs, batch_size=4, lr=3e38, progress=False, checkpoint=path
        )
    assert_same(before, weights(model))
    assert not path.exists() or are_finite(torch.load(path, weights_only=True)["parameters"])


def test_a_loss_that_rises_without_bound_stops(tmp_path: Path):
    """Adam's steps are as long as the rate, so the loss grows and stays a number for long."""
    noisy1, noisy2, _ = pairs(60)
    model, after = rising(), []
    options = {"batch_size": 1, "progress": False, "optimiser": "adam", "schedule": "step"}
    model.train(noisy1, noisy2, 1, lr=1e-4, **options)
    before = weights(model)
    told = r"the loss rose from 0\.\d+ to \S+ in epoch 1: expected .*rate.* got 3; try a tenth"
    with pytest.raises(DivergedError, match=told):
        model.train(noisy1, noisy2, 9, lr=3.0, on_epoch=after.append, **options)
    assert_same(before, weights(model))
    assert after == [] and model.history.losses == []


def test_a_loss_that_rises_late_leaves_the_last_good_weights(tmp_path: Path, monkeypatch):
    noisy1, noisy2, _ = pairs(60)
    model, after, path = rising(), [], tmp_path / "checkpoint.pth"
    monkeypatch.setitem(SCHEDULES, "late", lambda lr, step, total: lr if step < 60 else 3e4 * lr)
    with pytest.raises(DivergedError, match=r"the loss rose from \S+ to \S+ in epoch 2"):
        model.train(
            noisy1, noisy2, 9, batch_size=1, lr=1e-4, optimiser="adam", schedule="late",
            progress=False, checkpoint=path, on_epoch=lambda model: after.append(weights(model)),
        )  # fmt: skip
    assert len(after) == 1 and model.history.epochs == 1
    assert_same(after[0], weights(model))
    assert_same(after[0], torch.load(path, weights_only=True)["parameters"])


def test_a_bad_start_and_loud_noise_do_not_count_as_divergence():
    """A first loss of hundreds that falls, and images whose noise alone is more than 1."""
    noisy1, noisy2, _ = pairs(60)
    model = rising()
    model.network.set_params([20 * parameter for parameter, _ in model.network.param()])
    losses = model.train(noisy1, noisy2, 2, lr=1e-2, optimiser="adam", progress=False).losses
    assert losses[0] > 10 and losses[-1] < losses[0]
    loud = 1e4 * torch.randn(2, *noisy1.shape, generator=generator(0))
    losses = rising().train(*loud, 2, lr=1e-4, optimiser="adam", progress=False).losses
    assert losses[0] > 100


@pytest.mark.parametrize(("dtype", "named"), [(torch.float16, True), (torch.float32, False)])
def test_an_overflow_of_half_precision_is_named(dtype: torch.dtype, named: bool):
    noisy1, noisy2, _ = pairs(20)
    with pytest.raises(DivergedError, match="in epoch 1: expected .*learning rate") as error:
        rising(dtype).train(noisy1, noisy2, 2, lr=1e4, progress=False, batch_size=1)
    assert ("float16 ends at 65504, float32 and bfloat16 do not" in str(error.value)) is named


def test_a_learning_rate_beyond_half_precision():
    noisy1, noisy2, _ = pairs(4)
    with pytest.raises(ValueError, match=r"learning rate within torch.float16, got 1000000\.0"):
        rising(torch.float16).train(noisy1, noisy2, 1, lr=1e6, progress=False)


def test_a_learning_rate_beyond_float32():
    """Finite as a Python number, infinite for the weights."""
    noisy1, noisy2, _ = pairs(4)
    model = Model()
    before = weights(model)
    with pytest.raises((DivergedError, ValueError), match="expected .*got 1e.?300"):
        model.train(noisy1, noisy2, 1, lr=1e300, progress=False)
    assert_same(before, weights(model))


BAD_TRAINING = {
    "shapes": (dict(train_target=B[:5]), ValueError, "(6, 3, 8, 8) and (5, 3, 8, 8)"),
    "heights": (dict(train_input=A[:, :, :4]), ValueError, "(6, 3, 4, 8) and (6, 3, 8, 8)"),
    "one image": (dict(train_input=A[0], train_target=B[0]), ValueError, "got (3, 8, 8)"),
    "channels": (dict(train_input=A[:, :1], train_target=B[:, :1]), ValueError, "got (6, 1, 8, 8)"),
    "empty": (dict(train_input=A[:0], train_target=B[:0]), ValueError, "got shape (0, 3, 8, 8)"),
    "NaN input": (dict(train_input=A.clone().fill_(math.nan)), ValueError, "got nan"),
    "NaN target": (dict(train_target=B + math.nan), ValueError, "train_target", "got nan"),
    "inf target": (dict(train_target=B + math.inf), ValueError, "train_target", "got inf"),
    "integers": (dict(train_input=A.long()), TypeError, "train_input", "int64"),
    "list": (dict(train_target=B.tolist()), TypeError, "train_target", "list"),
    "same images": (dict(train_target=A), ValueError, "noise of its own", "train_input"),
    "equal images": (dict(train_target=A.clone()), ValueError, "noise of its own", "train_input"),
    "equal, other dtype": (
        dict(train_input=A.round().clamp(0, 255).byte(), train_target=A.round().clamp(0, 255)),
        ValueError,
        "noise of its own",
    ),
    "0 epochs": (dict(num_epochs=0), ValueError, "num_epochs", "got 0"),
    "-1 epochs": (dict(num_epochs=-1), ValueError, "num_epochs", "got -1"),
    "1.5 epochs": (dict(num_epochs=1.5), TypeError, "num_epochs", "got 1.5"),
    "True epochs": (dict(num_epochs=True), TypeError, "num_epochs", "got True"),
    "batch 0": (dict(batch_size=0), ValueError, "batch_size", "got 0"),
    "batch of text": (dict(batch_size="16"), TypeError, "batch_size", "got '16'"),
    "0 threads": (dict(threads=0), ValueError, "threads", "got 0"),
    "lr 0": (dict(lr=0), ValueError, "learning rate", "got 0"),
    "lr -1": (dict(lr=-1.0), ValueError, "learning rate", "got -1.0"),
    "lr NaN": (dict(lr=math.nan), ValueError, "learning rate", "got nan"),
    "lr inf": (dict(lr=math.inf), ValueError, "learning rate", "got inf"),
    "lr of text": (dict(lr="2"), TypeError, "learning rate", "2"),
    "only val_input": (dict(val_input=A), ValueError, "val_input and val_target together"),
    "only val_target": (dict(val_target=A), ValueError, "val_input and val_target together"),
    "val shapes": (dict(val_input=A, val_target=C[:5]), ValueError, "val_input", "(5, 3, 8, 8)"),
    "val NaN": (dict(val_input=A * math.nan, val_target=C), ValueError, "val_input", "got nan"),
    "val empty": (dict(val_input=A[:0], val_target=C[:0]), ValueError, "val_input", "(0, 3, 8, 8)"),
}


@pytest.mark.parametrize("case", BAD_TRAINING.values(), ids=BAD_TRAINING.keys())
def test_train_refuses_before_anything_is_changed(case: tuple, tmp_path: Path):
    changes, error, *fragments = case
    model = Model()
    model.train(A, B, 1, progress=False)
    before, history, called = state(model.network), model.history, []
    arguments = dict(train_input=A, train_target=B, num_epochs=1, progress=False) | changes
    assert_refuses(
        lambda: model.train(
            **arguments, checkpoint=tmp_path / "checkpoint.pth", on_epoch=called.append
        ),
        error,
        *fragments,
    )
    assert_same(before, state(model.network))
    assert model.history is history and not called and not list(tmp_path.iterdir())
    assert model.network.needs_input_grad


@pytest.mark.parametrize("where", ["missing/c.pth", "file/c.pth"])
def test_a_checkpoint_that_cannot_be_written_is_refused_before_training(tmp_path: Path, where: str):
    (tmp_path / "file").write_bytes(b"")
    model = Model()
    before = weights(model)
    with pytest.raises((OSError, ValueError)):
        model.train(A, B, 1, progress=False, checkpoint=tmp_path / where)
    assert_same(before, weights(model))


def test_the_mean_of_the_weights_equals_one_worked_out_step_by_step(monkeypatch):
    """Constant rates, so that a run of k steps is the beginning of a longer one."""
    few_at_once(monkeypatch)
    options = {"schedule": "constant", "held_out": None, "epoch_steps": 1}
    mean = [parameter.double() for parameter in weights(filter_model())]
    for step in range(STEPS):
        present = weights(run_stream(num_steps=step + 1, ema=0.0, **options))
        decay = min(0.9, (1 + step) / (10 + step))
        pairs = zip(mean, present, strict=True)
        mean = [decay * old + (1 - decay) * new.double() for old, new in pairs]
    averaged = weights(run_stream(ema=0.9, **options))
    for ours, expected in zip(averaged, mean, strict=True):
        assert torch.allclose(ours.double(), expected, rtol=0, atol=1e-6)
    assert not torch.allclose(averaged[0], present[0], rtol=0, atol=1e-4)


def test_train_returns_the_mean_that_it_validates():
    noisy1, noisy2, clean = DATA
    seen, model = [], filter_model()
    history = model.train(
        *(noisy1, noisy2, 3),
        **{"batch_size": 4, "lr": 0.1, "ema": 0.9, "val_input": noisy1, "val_target": clean},
        progress=False,
        on_epoch=lambda model: seen.append(pixel_psnr(model.predict(noisy1), clean)),
    )
    assert history.val_psnr == pytest.approx(seen, abs=1e-4)
    assert pixel_psnr(model.predict(noisy1), clean) == pytest.approx(seen[-1], abs=1e-4)
    plain = filter_model()
    losses = plain.train(noisy1, noisy2, 3, batch_size=4, lr=0.1, progress=False).losses
    assert losses == history.losses  # the mean does not touch the training itself
    assert not torch.equal(weights(plain)[0], weights(model)[0])


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_the_weights_with_the_smallest_held_out_error_are_returned(ema: float):
    """The targets grow brighter with every epoch; the held-out ones are those of the second."""
    noisy1, noisy2, _ = pairs(6)
    seen, model = [], filter_model()

    class Brighter(PairStream):
        def batches(self, first: int = 0):
            for number in range(first, 10**6):
                yield noisy1, noisy2 * (0.4 + 0.2 * (number // 40))

    options = {"optimiser": "adam", "lr": 3e-2, "schedule": "constant", "epoch_steps": 40}
    history = model.train_stream(
        Brighter(4, images=[photo()], size=8),
        200,
        **options,
        ema=ema,
        held_out=(noisy1, noisy2 * 0.6),
        progress=False,
        on_epoch=lambda model: seen.append(weights(model)),
    )
    best = int(np.argmin(history.held_out))
    assert len(history.held_out) == len(seen) == 5 and 0 < best < 4
    assert_same(seen[best], weights(model))
    for kept, error in zip(seen, history.held_out, strict=True):
        model.network.set_params(kept)
        squares = np.square((model.predict(noisy1) - noisy2 * 0.6).double().numpy() / 255)
        assert error == pytest.approx(squares.mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("steps", "per_epoch", "epochs"), [(7, 5, 2), (5, 5, 1), (3, 5, 1), (1, 1, 1), (11, 5, 3)]
)
def test_steps_are_rounded_up_to_whole_epochs(steps: int, per_epoch: int, epochs: int, monkeypatch):
    few_at_once(monkeypatch)
    model = run_stream(num_steps=steps, epoch_steps=per_epoch)
    assert model.history.epochs == len(model.history.held_out) == epochs
    assert len(model.history.losses) == epochs * min(per_epoch, steps)


def test_no_thread_survives_a_divergence(monkeypatch):
    few_at_once(monkeypatch)
    model = filter_model()
    with pytest.raises(DivergedError):
        model.train_stream(stream(), 200, optimiser="sgd", lr=1e6, epoch_steps=100, progress=False)
    assert not [t for t in threading.enumerate() if t.name == "n2n-pairs"]


BAD_STREAMS = {
    "stream": ({"stream": "photographs"}, TypeError, "stream to be a BatchStream", "got str"),
    "0 steps": ({"num_steps": -1}, ValueError, "num_steps", "got -1"),
    "steps of text": ({"num_steps": "7"}, TypeError, "num_steps", "got '7'"),
    "epoch_steps": ({"epoch_steps": 0}, ValueError, "epoch_steps", "got 0"),
    "ema 1": ({"ema": 1.0}, ValueError, "decay", "got 1.0"),
    "ema -0.1": ({"ema": -0.1}, ValueError, "decay", "got -0.1"),
    "ema NaN": ({"ema": math.nan}, ValueError, "decay", "got nan"),
    "lr": ({"lr": -1.0}, ValueError, "learning rate", "got -1.0"),
    "optimiser": ({"optimiser": "lion"}, ValueError, "optimiser", "got 'lion'"),
    "schedule": ({"schedule": "noam"}, ValueError, "schedule", "got 'noam'"),
    "held_out a tensor": ({"held_out": A}, TypeError, "held_out to be a pair", "got Tensor"),
    "held_out of three": ({"held_out": (A, B, C)}, TypeError, "held_out to be a pair"),
    "held_out of one": ({"held_out": (A, A)}, ValueError, "held_out[1] with noise of its own"),
    "held_out shapes": ({"held_out": (A, B[:2])}, ValueError, "held_out[0]", "(2, 3, 8, 8)"),
    "only val_input": ({"val_input": A}, ValueError, "val_input and val_target together"),
}


@pytest.mark.parametrize("case", BAD_STREAMS.values(), ids=BAD_STREAMS.keys())
def test_train_stream_refuses_before_anything_is_changed(case: tuple, tmp_path: Path):
    changes, error, *fragments = case
    model = filter_model()
    before, history = weights(model), model.history
    path = tmp_path / "checkpoint.pth"
    assert_refuses(lambda: run_stream(path, model=model, **changes), error, *fragments)
    assert_same(before, weights(model))
    assert model.history is history and list(tmp_path.iterdir()) == []


def noisy_photo(sigma: float = 25.0) -> tuple[Tensor, Tensor]:
    """A piece of the coffee, and with noise that is not clipped."""
    clean = photograph("coffee")[:, 60:140, 200:300].float()
    noise = torch.randn(clean.shape, generator=generator(4))
    return clean + sigma * noise, clean


def test_a_network_learns_to_denoise_from_a_single_noisy_image():
    noisy, clean = noisy_photo()
    model = Model("unet", width=8, depth=1)
    before = psnr(to_unit(model.predict(noisy, sigma=25)), to_unit(clean))
    history = model.adapt(noisy, 25, 40, lr=2e-3, patch=32, progress=False)
    after = psnr(to_unit(model.predict(noisy, sigma=25)), to_unit(clean))
    assert after > before + 1
    assert history is model.history and len(history.losses) == 40 and history.epochs == 1


def test_adapting_repeats_itself_and_leaves_the_image_alone():
    noisy, _ = noisy_photo()
    kept, models = noisy.clone(), [filter_model() for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        model.adapt(noisy, 25, 3, seed=seed, patch=16, progress=False)
    assert torch.equal(noisy, kept)
    assert_same(weights(models[0]), weights(models[1]))
    assert not torch.equal(weights(models[0])[0], weights(models[2])[0])


class Copyist(Module):
    """Give the input back; note it, and the target that the gradient of the loss tells."""

    def __init__(self) -> None:
        self.inputs, self.targets = [], []

    def forward(self, input: Tensor) -> Tensor:
        self.inputs.append(input.clone())
        return input

    def backward(self, grad_output: Tensor) -> Tensor:
        # The loss is the mean of (input - target)^2, so its gradient is 2 (input - target) / n.
        self.targets.append(self.inputs[-1] - grad_output * grad_output.numel() / 2)
        return grad_output


@pytest.mark.parametrize("sigma", [10.0, 40.0])
@pytest.mark.parametrize("level", [None, 25.0])
def test_adapting_shows_the_network_the_noise_that_it_was_trained_at(sigma, level):
    model = Model(Copyist())
    model.sigma = level
    flat = 100 + sigma * torch.randn(3, 200, 200, generator=generator(0))
    model.adapt(flat, sigma, 40, alpha=0.75, progress=False)
    inputs, targets = 255 * torch.cat(model.network.inputs), 255 * torch.cat(model.network.targets)
    expected = sigma * math.sqrt(1 + 0.75**2) if level is None else level
    assert inputs.std() == pytest.approx(expected, rel=0.01)
    assert inputs.mean() / targets.mean() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "error", "fragments"),
    [
        ({"noisy": "photo.png"}, TypeError, ("noisy to be a tensor", "got str")),
        ({"noisy": torch.zeros(1, 3, 9, 9)}, ValueError, ("(3, H, W)", "got (1, 3, 9, 9)")),
        ({"noisy": torch.full((3, 9, 9), math.inf)}, ValueError, ("finite values", "got inf")),
        ({"sigma": 0}, ValueError, ("sigma > 0", "got 0")),
        ({"sigma": None}, TypeError, ("sigma to be a number", "got None")),
        ({"alpha": -1.0}, ValueError, ("alpha > 0", "got -1.0")),
        ({"num_steps": 0}, ValueError, ("num_steps", "got 0")),
        ({"batch_size": 0}, ValueError, ("batch_size", "got 0")),
        ({"patch": 0}, ValueError, ("patch", "got 0")),
        ({"lr": math.nan}, ValueError, ("learning rate", "got nan")),
    ],
)
def test_adapt_refuses_before_anything_is_changed(changes: dict, error, fragments: tuple):
    model = filter_model()
    before, history = weights(model), model.history
    arguments = {"noisy": torch.zeros(3, 9, 9), "sigma": 25, "progress": False} | changes
    assert_refuses(lambda: model.adapt(**arguments), error, *fragments)
    assert_same(before, weights(model))
    assert model.history is history


# ---------------------------------------------------------------------- pairs of other noise


def test_weights_follow_from_two_noisy_copies_alone():
    sigma = torch.tensor([2.0, 3.0, 30.0]).view(3, 1, 1, 1) / 255
    clean, *noise = torch.randn(3, 3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    first, second = (clean + sigma * e for e in noise)
    expected = 4 * 9 / (torch.tensor([4.0, 9.0, 900.0]) + 9)
    found = pair_weights(first, second, 3.0)
    torch.testing.assert_close(found.flatten(), expected, rtol=0.05, atol=0)
    towards_clean = pair_weights(first, clean, 3.0, copies=1)
    torch.testing.assert_close(towards_clean.flatten(), expected, rtol=0.05, atol=0)


def test_a_training_weighs_its_pairs():
    """One step of SGD: the weights of the network follow the weighted gradient, by autograd."""
    pairs = sample_pairs(4, noise="camera", size=16, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    network = Conv2d(3, 3, 3, padding=1)
    start = [parameter.clone() for parameter, _ in network.param()]
    recipe = Recipe(num_epochs=1, batch_size=4, lr=0.5, schedule="constant", weight_floor=3.0)
    model = Model(network)
    model.fit(Batches.of_pairs(pairs.noisy1, pairs.noisy2, recipe), recipe, Watch(progress=False))
    x, t = pairs.noisy1 / 255, pairs.noisy2 / 255
    with torch.enable_grad():
        weight, bias = (value.clone().requires_grad_() for value in start)
        output = torch.nn.functional.conv2d(x, weight, bias, padding=1)
        square = (3 / 255) ** 2
        factor = 4 * square / ((x - t).square().mean((1, 2, 3), keepdim=True) / 2 + square)
        (factor * (output - t).square()).mean().backward()
    for (parameter, _), before, leaf in zip(network.param(), start, (weight, bias), strict=True):
        torch.testing.assert_close(parameter, before - 0.5 * leaf.grad, rtol=1e-4, atol=1e-6)

"""Learning rates over time against torch.optim.lr_scheduler."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from n2n_lib.framework.schedules import (
    SCHEDULES,
    constant,
    cosine,
    find_schedule,
    step_decay,
    warmup_cosine,
)


def torch_rates(build: Callable, lr: float, steps: int) -> list[float]:
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=lr)
    schedule, rates = build(optimiser), []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    return rates


def torch_warmup_cosine(total: int, warmup: int, factor: float) -> Callable:
    def build(optimiser):
        cosine = lr_scheduler.CosineAnnealingLR(optimiser, T_max=total - warmup)
        if warmup == 0:
            return cosine
        rise = lr_scheduler.LinearLR(optimiser, start_factor=factor, total_iters=warmup)
        return lr_scheduler.SequentialLR(optimiser, [rise, cosine], milestones=[warmup])

    return build


@given(total=st.integers(1, 60), lr=st.floats(1e-4, 10))
@settings(max_examples=20)
def test_constant_and_cosine_equal_torch(total: int, lr: float) -> None:
    expected = torch_rates(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=total), lr, total + 1)
    assert [cosine(lr, step, total) for step in range(total + 1)] == pytest.approx(
        expected, abs=1e-9 * lr
    )
    expected = torch_rates(lambda o: lr_scheduler.ConstantLR(o, factor=1.0), lr, total)
    assert [constant(lr, step, total) for step in range(total)] == expected


@given(
    total=st.integers(1, 60),
    step_size=st.integers(1, 40),
    gamma=st.floats(0.1, 1.0),
    lr=st.floats(1e-4, 10),
)
@settings(max_examples=20)
def test_step_decay_equals_torch(total: int, step_size: int, gamma: float, lr: float) -> None:
    expected = torch_rates(lambda o: lr_scheduler.StepLR(o, step_size, gamma), lr, total)
    rates = [step_decay(lr, step, total, step_size=step_size, gamma=gamma) for step in range(total)]
    assert rates == pytest.approx(expected, rel=1e-9)


@given(
    total=st.integers(2, 60),
    share=st.floats(0, 0.99),
    factor=st.floats(0.001, 1.0),
    lr=st.floats(1e-4, 10),
)
@settings(max_examples=30)
@pytest.mark.filterwarnings("ignore:The epoch parameter")
def test_warmup_cosine_equals_torch(total: int, share: float, factor: float, lr: float) -> None:
    warmup = int(share * total)
    expected = torch_rates(torch_warmup_cosine(total, warmup, factor), lr, total)
    rates = [
        warmup_cosine(lr, step, total, warmup=warmup, start_factor=factor) for step in range(total)
    ]
    assert rates == pytest.approx(expected, abs=1e-9 * lr)


@pytest.mark.parametrize("total", [1, 2, 3, 7, 100, 1000])
def test_schedules_by_name_need_no_more_than_rate_step_and_total(total: int) -> None:
    assert set(SCHEDULES) == {"constant", "step", "cosine", "warmup-cosine"}
    for name, schedule in SCHEDULES.items():
        assert find_schedule(name) is schedule
        rates = [schedule(2.0, step, total) for step in range(total)]
        assert all(0 < rate <= 2.0 for rate in rates) and max(rates) == 2.0
    third = -(-total // 3)
    assert step_decay(2.0, third - 1, total) == 2.0
    assert step_decay(2.0, third, total) == pytest.approx(0.2)
    assert warmup_cosine(2.0, total // 20, total) == 2.0
    with pytest.raises(ValueError, match="expected a schedule out of constant, .*, got 'linear'"):
        find_schedule("linear")


def test_refused_schedule_arguments() -> None:
    for warmup in (-1, 10, 11):
        with pytest.raises(ValueError, match=f"expected warmup .* 10 steps, got {warmup}"):
            warmup_cosine(1.0, 0, 10, warmup=warmup)
    for step_size in (0, -3):
        with pytest.raises(ValueError, match=f"expected step_size of at least 1, got {step_size}"):
            step_decay(1.0, 0, 10, step_size=step_size)

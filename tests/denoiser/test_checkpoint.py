"""What comes out of files of models and trainings is validated before anything is changed."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
import torch
from reference import assert_same, generator, small_chain, state

from n2n_lib.denoiser.checkpoint import check_average_state, check_optimiser_state
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.optim import Adam, WeightAverage


def through_a_file(content: dict) -> dict:
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def stepped(seed: int = 0) -> Adam:
    """An optimiser after one step."""
    optimiser = Adam(small_chain(seed), 0.01)
    for _, grad in optimiser.model.param():
        grad.copy_(torch.randn(grad.shape, generator=generator(seed)))
    optimiser.step()
    return optimiser


def changed(path: str, value: object) -> Callable[[dict], object]:
    """Return a function that replaces one entry of a state."""

    def change(state: dict) -> dict:
        *front, last = path.split("/")
        entry = state
        for name in front:
            entry = entry[int(name)] if isinstance(entry, list) else entry[name]
        entry[int(last) if isinstance(entry, list) else last] = value
        return state

    return change


OTHER_OPTIMISERS = [
    (lambda state: None, ValueError, "got NoneType"),
    (lambda state: {}, ValueError, r"expected a state with .*, got \[\]"),
    (lambda state: state | {"more": 1}, ValueError, "got .*'more'"),
    (changed("optimiser", "SGD"), ValueError, "expected the state of Adam, got that of SGD"),
    (changed("settings", {"lr": 0.1}), ValueError, "expected the settings lr, betas"),
    (changed("settings", None), ValueError, "expected the settings"),
    (changed("settings/lr", -1.0), ValueError, "a finite learning rate > 0, got -1.0"),
    (changed("settings/betas", (0.9, 1.5)), ValueError, "expected betas"),
    (changed("steps", -1), ValueError, "number of steps .*got -1"),
    (changed("steps", 1.5), TypeError, r"number of steps .*got 1\.5"),
    (changed("steps", True), TypeError, "number of steps .*got True"),
    (changed("memory", []), ValueError, "expected a memory of mean, mean square, got list"),
    (changed("memory", {}), ValueError, r"expected a memory of mean, mean square, got \[\]"),
    (changed("memory/mean", None), TypeError, "expected a list of parameter tensors"),
    (changed("memory/mean/0", [1.0]), TypeError, "expected a list of parameter tensors"),
    (changed("memory/mean square", []), ValueError, r"expected \d parameter tensors, got 0"),
    (changed("memory/mean/1", torch.ones(7)), ValueError, r"for parameter 1, got \(7,\)"),
    (changed("memory/mean/1", torch.ones(1) / 0), ValueError, "finite"),
]


@pytest.mark.parametrize("change, error, message", OTHER_OPTIMISERS)
def test_the_state_of_an_optimiser(change: Callable, error: type, message: str) -> None:
    rule, good = stepped(2), stepped().state_dict()
    before, weights = through_a_file(rule.state_dict()), state(rule.model)
    check_optimiser_state(through_a_file(good), rule)
    with pytest.raises(error, match=message) as caught:
        check_optimiser_state(change(good), rule)
    assert str(caught.value).startswith("expected") and "\n" not in str(caught.value)
    after = rule.state_dict()
    assert after["settings"] == before["settings"] and after["steps"] == before["steps"]
    for name, tensors in before["memory"].items():
        assert_same(tensors, after["memory"][name])
    assert_same(weights, state(rule.model))


def test_the_state_of_an_optimiser_of_another_network() -> None:
    with pytest.raises(ValueError, match=r"expected shape \S+ .*for parameter 0"):
        check_optimiser_state(stepped().state_dict(), Adam(Conv2d(1, 1, 1), 0.1))


OTHER_MEANS = [
    (lambda state: None, ValueError, "got NoneType"),
    (lambda state: {}, ValueError, r"expected a state with steps and values, got \[\]"),
    (lambda state: state | {"more": 1}, ValueError, r"got \['more', 'steps', 'values'\]"),
    (changed("steps", -1), ValueError, "number of steps .*got -1"),
    (changed("steps", 1.5), TypeError, r"number of steps .*got 1\.5"),
    (changed("steps", True), TypeError, "number of steps .*got True"),
    (changed("values", None), TypeError, "expected a list of parameter tensors"),
    (changed("values", ["a", "b"]), TypeError, "expected a list of parameter tensors"),
    (changed("values", []), ValueError, r"expected \d parameter tensors, got 0"),
    (changed("values/1", torch.ones(7)), ValueError, r"for parameter 1, got \(7,\)"),
]


@pytest.mark.parametrize("change, error, message", OTHER_MEANS)
def test_the_state_of_a_mean(change: Callable, error: type, message: str) -> None:
    good = WeightAverage(small_chain(3), 0.9).state_dict()
    check_average_state(through_a_file(good), small_chain())
    with pytest.raises(error, match=message):
        check_average_state(change(good), small_chain())

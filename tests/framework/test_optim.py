"""Optimisers against torch.optim, step for step; interrupted against not."""

from __future__ import annotations

import inspect
import io
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import assert_same, random_values, relative_error, small_chain, state
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from n2n_lib.framework.activations import ReLU
from n2n_lib.framework.containers import Sequential
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.losses import L1Loss, MSELoss
from n2n_lib.framework.optim import (
    OPTIMISERS,
    SGD,
    AdaGrad,
    Adam,
    Optimiser,
    WeightAverage,
    find_optimiser,
)
from n2n_lib.framework.schedules import cosine

# ------------------------------------------------------------------------------- torch.optim

RULES: dict[str, tuple[type, type, dict]] = {
    "SGD": (SGD, torch.optim.SGD, {"lr": 0.3}),
    "SGD, weight decay": (SGD, torch.optim.SGD, {"lr": 0.3, "weight_decay": 0.05}),
    "momentum": (SGD, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "momentum, dampening": (
        SGD,
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.01},
    ),
    "Nesterov": (SGD, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "Nesterov, weight decay": (
        SGD,
        torch.optim.SGD,
        {"lr": 0.05, "momentum": 0.7, "nesterov": True, "weight_decay": 0.1},
    ),
    "AdaGrad": (AdaGrad, torch.optim.Adagrad, {}),
    "AdaGrad, all": (
        AdaGrad,
        torch.optim.Adagrad,
        {
            "lr": 0.1,
            "lr_decay": 0.02,
            "weight_decay": 0.1,
            "initial_accumulator_value": 0.5,
            "eps": 1e-3,
        },
    ),
    "Adam": (Adam, torch.optim.Adam, {}),
    "Adam, all": (
        Adam,
        torch.optim.Adam,
        {"lr": 0.01, "betas": (0.5, 0.95), "eps": 1e-3, "weight_decay": 0.1},
    ),
    "Adam, no memory": (Adam, torch.optim.Adam, {"lr": 0.01, "betas": (0.0, 0.0)}),
}
every_rule = pytest.mark.parametrize("ours, theirs, arguments", RULES.values(), ids=RULES)


def fill(network: Sequential, step: int) -> list[Tensor]:
    """Write random gradients, now and then zeros, into the network and return them."""
    gradients = []
    for number, (_, grad) in enumerate(network.param()):
        values = random_values(tuple(grad.shape), 100 * step + number, grad.dtype)
        values *= 0.0 if step % 7 == 3 else 10.0 ** (step % 4 - 2)
        gradients.append(grad.copy_(values).clone())
    return gradients


@every_rule
@pytest.mark.parametrize("changing", [False, True], ids=["one rate", "changing rates"])
def test_100_steps_equal_torch(ours, theirs, arguments: dict, changing: bool) -> None:
    network = small_chain().to(torch.float64)
    twins = [value.clone() for value, _ in network.param()]
    arguments = {"lr": 0.01} | arguments
    optimiser, reference = ours(network, **arguments), theirs(twins, **arguments)
    for step in range(100):
        if changing:
            optimiser.lr = reference.param_groups[0]["lr"] = cosine(0.2, step, 100)
        gradients = fill(network, step)
        for twin, gradient in zip(twins, gradients, strict=True):
            twin.grad = gradient.clone()
        optimiser.step()
        reference.step()
        for (value, grad), twin, kept in zip(network.param(), twins, gradients, strict=True):
            assert relative_error(value, twin) < 1e-6, f"step {step}"
            assert torch.equal(grad, kept), "a step leaves the gradients"
    for (value, _), twin in zip(network.param(), twins, strict=True):
        assert relative_error(value, twin) < 1e-11  # in fact far closer


@every_rule
def test_a_training_equals_torch(ours, theirs, arguments: dict) -> None:
    """Gradients from the network, by ours and by autograd, in float64."""
    network = small_chain(1).to(torch.float64)
    twin = nn.Sequential(
        nn.Conv2d(3, 4, 2, stride=2),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(4, 5, 3, padding=1),
        nn.Sigmoid(),
        nn.Conv2d(5, 2, (1, 2)),
    ).double()
    for parameter, (value, _) in zip(twin.parameters(), network.param(), strict=True):
        parameter.copy_(value)
    arguments = {"lr": 0.01} | arguments
    optimiser, reference = ours(network, **arguments), theirs(twin.parameters(), **arguments)
    criterion = MSELoss(network)
    x, target = (random_values(shape, 2, torch.float64) for shape in ((2, 3, 4, 6), (2, 2, 4, 5)))
    for _ in range(100):
        criterion(network(x), target)
        optimiser.zero_grad()
        criterion.backward()
        optimiser.step()
        reference.zero_grad()
        with torch.enable_grad():
            nn.MSELoss()(twin(x), target).backward()
        reference.step()
    for (value, _), parameter in zip(network.param(), twin.parameters(), strict=True):
        assert relative_error(value, parameter.detach()) < 1e-6


@every_rule
def test_arguments_have_torchs_names_order_and_defaults(ours, theirs, arguments: dict) -> None:
    mine = list(inspect.signature(ours).parameters.values())[1:]
    others = inspect.signature(theirs).parameters
    order = [name for name in others if name in {p.name for p in mine}]
    assert [p.name for p in mine] == order
    for parameter in mine:
        if parameter.default is not inspect.Parameter.empty:
            assert parameter.default == others[parameter.name].default


def test_plain_sgd_takes_the_step_it_always_took() -> None:
    network = small_chain()
    gradients, before = fill(network, 1), state(network)[::2]
    SGD(network, 0.25).step()
    for (value, _), old, grad in zip(network.param(), before, gradients, strict=True):
        assert torch.equal(value, old.add(grad, alpha=-0.25))


def test_each_rule_in_one_number() -> None:
    """By hand: the first two steps at gradient 1, then 3."""
    expected = {
        SGD: [1 - 0.1, 1 - 0.1 - 0.1 * (0.9 + 3)],
        AdaGrad: [1 - 0.1, 1 - 0.1 - 0.1 * 3 / math.sqrt(10)],
        Adam: [1 - 0.1, 1 - 0.1 - 0.1 * (0.39 / 0.19) / math.sqrt(0.009999 / 0.001999)],
    }
    for rule, values in expected.items():
        conv = Conv2d(1, 1, 1, bias=False).to(torch.float64)
        conv.weight.fill_(1.0)
        optimiser = rule(conv, 0.1, **({"momentum": 0.9} if rule is SGD else {}))
        for gradient, value in zip((1.0, 3.0), values, strict=True):
            conv.weight_grad.fill_(gradient)
            optimiser.step()
            assert conv.weight.item() == pytest.approx(value, rel=1e-6)


def test_weight_decay_shrinks_where_there_is_no_gradient() -> None:
    for rule in (SGD, AdaGrad, Adam):
        network = small_chain()
        before = state(network)[::2]
        rule(network, 1e-3, weight_decay=0.1).step()
        for (value, _), old in zip(network.param(), before, strict=True):
            assert value.norm() < old.norm()


@every_rule
def test_zero_grad_and_the_link_to_the_network(ours, theirs, arguments: dict) -> None:
    network = small_chain()
    fill(network, 1)
    optimiser = ours(network, **{"lr": 0.01} | arguments)
    assert optimiser.model is network and isinstance(optimiser, Optimiser)
    optimiser.zero_grad()
    assert all(not grad.any() for _, grad in network.param())


@every_rule
def test_a_network_that_moves_to_float64(ours, theirs, arguments: dict) -> None:
    network = small_chain()
    optimiser = ours(network, **{"lr": 0.01} | arguments)
    fill(network, 1)
    optimiser.step()
    network.to(torch.float64)
    fill(network, 2)
    optimiser.step()
    assert all(value.dtype == torch.float64 for value, _ in network.param())
    kept = [tensor for tensors in optimiser.state_dict()["memory"].values() for tensor in tensors]
    assert all(tensor.dtype == torch.float64 for tensor in kept)


def test_a_network_without_parameters() -> None:
    for build in OPTIMISERS.values():
        optimiser = build(ReLU(), 0.1)
        optimiser.step()
        optimiser.load_state_dict(optimiser.state_dict())


# ------------------------------------------------------------------------- stop and go on


def through_a_file(content: dict) -> dict:
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@every_rule
@settings(max_examples=6)
@given(stop=st.integers(0, 12), rate=st.floats(0.001, 0.1))
def test_an_interrupted_run_ends_the_same(ours, theirs, arguments, stop: int, rate: float) -> None:
    def steps(optimiser: Optimiser, first: int, last: int) -> None:
        for step in range(first, last):
            optimiser.lr = cosine(rate, step, 12)
            fill(optimiser.model, step)
            optimiser.step()

    whole = ours(small_chain(), **{"lr": rate} | arguments)
    steps(whole, 0, 12)
    first = ours(small_chain(), **{"lr": rate} | arguments)
    steps(first, 0, stop)
    saved = through_a_file({"weights": state(first.model)[::2], "optimiser": first.state_dict()})
    second = ours(small_chain(9), lr=1.0)  # other weights, other settings
    second.model.set_params(saved["weights"])
    second.load_state_dict(saved["optimiser"])
    assert repr(second) == repr(first)
    steps(second, stop, 12)
    assert_same(state(whole.model)[::2], state(second.model)[::2])


@every_rule
def test_a_state_is_a_copy(ours, theirs, arguments: dict) -> None:
    optimiser = ours(small_chain(), **{"lr": 0.01} | arguments)
    fill(optimiser.model, 1)
    optimiser.step()
    taken = optimiser.state_dict()
    kept = through_a_file(taken)
    other = ours(small_chain(), lr=0.5)
    other.load_state_dict(taken)
    fill(optimiser.model, 2), fill(other.model, 3)
    optimiser.step(), other.step()
    assert taken.keys() == kept.keys() and taken["settings"] == kept["settings"]
    assert taken["steps"] == kept["steps"]
    for name, tensors in kept["memory"].items():
        assert_same(tensors, taken["memory"][name])


def test_a_state_of_another_rule_is_refused_and_changes_nothing() -> None:
    optimiser = Adam(small_chain(), 0.25)
    with pytest.raises(ValueError, match="expected the state of Adam, got that of SGD"):
        optimiser.load_state_dict(SGD(small_chain(), 0.5).state_dict())
    assert optimiser.lr == 0.25


# ------------------------------------------------------------------------ mean of the weights


def changing(network: Sequential, step: int) -> list[Tensor]:
    """Write other weights into the network and return them."""
    values = []
    for number, (value, _) in enumerate(network.param()):
        drawn = random_values(tuple(value.shape), 1000 * step + number, value.dtype)
        values.append(value.copy_(drawn).clone())
    return values


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.9, 0.99])
def test_the_mean_is_a_weighted_sum_of_all_weights(decay: float) -> None:
    """The recursion unrolled: every share is (1 - beta) times the betas of all later steps."""
    network = small_chain().to(torch.float64)
    history = [[value.clone() for value, _ in network.param()]]
    average, steps = WeightAverage(network, decay), 40
    for step in range(steps):
        history.append(changing(network, step))
        average.update()
    betas = [min(decay, (1 + t) / (10 + t)) for t in range(steps)]
    shares = [math.prod(betas)]
    shares += [(1 - betas[t]) * math.prod(betas[t + 1 :]) for t in range(steps)]
    assert sum(shares) == pytest.approx(1)
    for number, mean in enumerate(average.values):
        expected = sum(w * values[number] for w, values in zip(shares, history, strict=True))
        assert relative_error(mean, expected) < 1e-12
    assert average.steps == steps


@pytest.mark.parametrize("decay", [0.9, 0.999])
def test_the_mean_equals_torchs_once_it_has_warmed_up(decay: float) -> None:
    """PyTorch's mean has one decay for all steps: it gets that of our step, each time."""
    network = small_chain().to(torch.float64)
    twin = nn.ParameterList([value.clone() for value, _ in network.param()])
    theirs = AveragedModel(twin, multi_avg_fn=get_ema_multi_avg_fn(0.0))
    theirs.update_parameters(twin)  # the first update copies
    average = WeightAverage(network, decay)
    warm = 0
    for step in range(120):
        theirs.multi_avg_fn = get_ema_multi_avg_fn(min(decay, (1 + step) / (10 + step)))
        warm += (1 + step) / (10 + step) >= decay
        for parameter, value in zip(twin, changing(network, step), strict=True):
            parameter.data.copy_(value)
        average.update()
        theirs.update_parameters(twin)
        for mean, expected in zip(average.values, theirs.module, strict=True):
            assert relative_error(mean, expected.detach()) < 1e-12, f"step {step}"
    assert (warm > 0) == (decay == 0.9)


def test_an_average_leaves_the_training_alone() -> None:
    network, alone = small_chain(), small_chain()
    optimiser, other = Adam(network, 0.01), Adam(alone, 0.01)
    average = WeightAverage(network, 0.9)
    for step in range(10):
        fill(network, step), fill(alone, step)
        optimiser.step(), other.step()
        average.update()
        with average.applied():
            pass
    assert_same(state(network), state(alone))


def test_the_mean_is_lent_and_given_back() -> None:
    network = small_chain()
    average = WeightAverage(network, 0.5)
    for step in range(5):
        changing(network, step)
        average.update()
    present, mean = state(network)[::2], [value.clone() for value in average.values]
    assert not any(torch.equal(a, b) for a, b in zip(present, mean, strict=True))
    with average.applied():
        assert_same(state(network)[::2], mean)
    assert_same(state(network)[::2], present)
    with pytest.raises(KeyError, match="stop"), average.applied():
        assert_same(state(network)[::2], mean)
        raise KeyError("stop")
    assert_same(state(network)[::2], present)
    assert_same(average.values, mean)


def test_an_average_goes_on_from_its_state() -> None:
    whole, first = small_chain(), small_chain()
    uncut, before = WeightAverage(whole, 0.95), WeightAverage(first, 0.95)
    for step in range(20):
        changing(whole, step)
        uncut.update()
    for step in range(7):
        changing(first, step)
        before.update()
    taken = before.state_dict()
    saved = through_a_file(taken)
    second = small_chain(9)
    after = WeightAverage(second, 0.95)
    after.load_state_dict(saved)
    for step in range(7, 20):
        changing(second, step)
        after.update()
    assert after.steps == uncut.steps == 20
    assert_same(uncut.values, after.values)
    changing(first, 99)
    before.update()
    assert taken["steps"] == saved["steps"] == 7
    assert_same(taken["values"], saved["values"])  # a copy


@pytest.mark.parametrize(
    "decay, error",
    [
        (1.0, ValueError),
        (1.5, ValueError),
        (-0.1, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        (True, TypeError),
        ("0.9", TypeError),
        (None, TypeError),
    ],
)
def test_refused_decays(decay: object, error: type) -> None:
    with pytest.raises(error, match=f"expected decay .*got {re.escape(repr(decay))}"):
        WeightAverage(small_chain(), decay)


def test_the_mean_follows_its_network_to_another_dtype() -> None:
    network = Conv2d(1, 1, 1)
    average = WeightAverage(network, 0.5)
    average.update()
    network.to(torch.float64)
    average.update()
    assert {mean.dtype for mean in average.values} == {torch.float64}


# --------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("rule", [SGD, AdaGrad, Adam])
@pytest.mark.parametrize(
    "value, error",
    [
        (0, ValueError),
        (-1.0, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        (1e39, ValueError),
        (True, TypeError),
        ("0.1", TypeError),
        (None, TypeError),
    ],
)
def test_refused_learning_rates(rule: type, value: object, error: type) -> None:
    with pytest.raises(error, match=f"expected .*learning rate.* got {re.escape(repr(value))}"):
        rule(ReLU(), value)


@pytest.mark.parametrize(
    "rule, name",
    [
        *((SGD, name) for name in ("momentum", "weight_decay")),
        *((AdaGrad, n) for n in ("lr_decay", "weight_decay", "initial_accumulator_value", "eps")),
        *((Adam, name) for name in ("eps", "weight_decay")),
    ],
)
@pytest.mark.parametrize(
    "value, error",
    [
        (-0.1, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        (True, TypeError),
        ("0.1", TypeError),
        (None, TypeError),
    ],
)
def test_refused_arguments(rule: type, name: str, value: object, error: type) -> None:
    with pytest.raises(error, match=f"expected (a finite )?{name} .*got {value!r}"):
        rule(ReLU(), 0.1, **{name: value})


@pytest.mark.parametrize(
    "betas, error",
    [
        (0.9, TypeError),
        ((0.9,), TypeError),
        ((0.9, "x"), TypeError),
        ((0.9, 1.0), ValueError),
        ((-0.1, 0.9), ValueError),
        ((math.nan, 0.9), ValueError),
    ],
    ids=str,
)
def test_refused_betas(betas: object, error: type) -> None:
    with pytest.raises(error, match="expected betas"):
        Adam(ReLU(), 0.1, betas=betas)


@pytest.mark.parametrize("arguments", [{}, {"momentum": 0.9, "dampening": 0.1}])
def test_nesterov_needs_momentum_without_dampening_as_in_torch(arguments: dict) -> None:
    with pytest.raises(ValueError, match="expected momentum and no dampening with nesterov, got"):
        SGD(ReLU(), 0.1, nesterov=True, **arguments)
    with pytest.raises(ValueError):
        torch.optim.SGD([torch.zeros(1)], 0.1, nesterov=True, **arguments)


def test_repr() -> None:
    assert repr(SGD(ReLU(), 0.5)) == "SGD(lr=0.5)"
    nesterov = SGD(ReLU(), 0.5, momentum=0.9, nesterov=True)
    assert repr(nesterov) == "SGD(lr=0.5, momentum=0.9, nesterov=True)"
    assert repr(Adam(ReLU())) == "Adam(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0)"
    assert repr(AdaGrad(ReLU())).startswith("AdaGrad(lr=0.01, lr_decay=0.0, ")


def test_optimisers_by_name() -> None:
    assert set(OPTIMISERS) == {"sgd", "momentum", "nesterov", "adagrad", "adam"}
    for name, build in OPTIMISERS.items():
        assert find_optimiser(name) is build
        assert build(ReLU(), 0.25).lr == 0.25
    nesterov = find_optimiser("nesterov")(ReLU(), 0.1)
    assert type(nesterov) is SGD and nesterov.nesterov and nesterov.momentum == 0.9
    with pytest.raises(ValueError, match="expected an optimiser out of sgd, .*, got 'lion'"):
        find_optimiser("lion")


def test_an_optimiser_must_define_step() -> None:
    with pytest.raises(NotImplementedError, match="Optimiser does not define step"):
        Optimiser(ReLU(), 0.1).step()


@pytest.mark.parametrize("rule", [SGD, AdaGrad, Adam])
def test_parameters_are_no_network(rule: type):
    network = Sequential(Conv2d(1, 1, 1))
    for value in (network.param(), iter(network.param()), "sgd", torch.zeros(1), None):
        with pytest.raises(TypeError, match=f"{rule.__name__} expected the network itself, .* got"):
            rule(value, 0.1)


@pytest.mark.parametrize("loss", [MSELoss, L1Loss])
def test_a_loss_is_linked_to_a_network_or_to_none(loss: type):
    assert loss().model is None
    for value in ("sum", []):
        with pytest.raises(TypeError, match=f"{loss.__name__} expected the network itself"):
            loss(value)
    with pytest.raises(TypeError, match="reduction"):
        loss(reduction="sum")

"""The tape compared with autograd, and with containers whose backward was written by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from n2n_lib import Conv2d, MSELoss, ReLU, Sequential
from n2n_lib.framework.containers import Concat, Residual
from n2n_lib.framework.tape import Tape, Variable, cat, sum_to


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradients(function: Callable, *values: Tensor) -> tuple[Tensor, list[Tensor | None]]:
    """Return the value of a function of variables and the gradients by our tape."""
    tape = Tape()
    variables = [tape.variable(value) for value in values]
    output = function(*variables)
    tape.backward(output)
    return output.value, [variable.grad for variable in variables]


def by_autograd(function: Callable, *values: Tensor) -> tuple[Tensor, list[Tensor | None]]:
    """Do the same with PyTorch's."""
    with torch.enable_grad():
        leaves = [value.clone().requires_grad_() for value in values]
        output = function(*leaves)
        grads = torch.autograd.grad(output, leaves, allow_unused=True)
    return output.detach(), list(grads)


FUNCTIONS = {
    "used twice": (lambda x: (x * x + x).mean(), [(3, 4)]),
    "a difference of products": (lambda x, y: (x * y - y * y).mean(), [(2, 3), (2, 3)]),
    "a bias, broadcast": (lambda x, b: (x * b + b).mean(), [(4, 3), (3,)]),
    "a scale with ones": (lambda x, s: (x * s - s).mean(), [(2, 3, 4), (3, 1)]),
    "both broadcast": (lambda a, b: (a + b).mean(), [(3, 1), (1, 4)]),
    "two products": (lambda a, b, c: ((a @ b) @ c).mean(), [(2, 3), (3, 4), (4, 1)]),
    "a power in a loop": (lambda x: _power(x, 5).mean(), [(3,)]),
    "not all is used": (lambda x, y: (x + x).mean(), [(2,), (3,)]),
}


def _power(x: Variable, exponent: int) -> Variable:
    result = x
    for _ in range(exponent - 1):
        result = result * x
    return result


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_are_those_of_autograd(name: str):
    function, shapes = FUNCTIONS[name]
    values = [normal(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    ours, theirs = gradients(function, *values), by_autograd(function, *values)
    assert_close(ours[0], theirs[0])
    assert len(ours[1]) == len(theirs[1])
    for mine, other in zip(ours[1], theirs[1], strict=True):
        assert (mine is None) == (other is None)
        if mine is not None:
            assert_close(mine, other)


@given(st.data())
def test_a_sum_over_what_was_broadcast_is_its_transpose(data: st.DataObject):
    full = data.draw(st.lists(st.integers(1, 3), max_size=4))
    kept = full[data.draw(st.integers(0, len(full))) :]
    shape = [1 if data.draw(st.booleans()) else size for size in kept]
    x, g = normal(*shape, seed=1), normal(*full, seed=2)
    assert sum_to(g, shape).shape == x.shape
    assert_close((x.expand(full) * g).sum(), (x * sum_to(g, shape)).sum())


def network() -> Sequential:
    generator = torch.Generator().manual_seed(0)
    make = [Conv2d(3, 4, 3, padding=1, generator=generator), ReLU()]
    make += [Conv2d(4, 3, 3, padding=1, generator=generator)]
    return Sequential(*make).to(torch.float64)


def test_a_sum_around_a_network_needs_no_container():
    inner, x, target = network(), normal(2, 3, 5, 6), normal(2, 3, 5, 6, seed=1)
    residual = Residual(inner)
    criterion = MSELoss(residual)
    loss = criterion(residual(x), target)
    grad_input = criterion.backward()
    by_hand = [grad.clone() for _, grad in inner.param()]
    inner.zero_grad()

    tape = Tape()
    start = tape.variable(x)
    error = start + tape.apply(inner, start) - tape.variable(target)
    output = (error * error).mean()
    tape.backward(output)
    assert_close(output.value, loss)
    assert_close(start.grad, grad_input)
    for (_, grad), expected in zip(inner.param(), by_hand, strict=True):
        assert_close(grad, expected)


def test_a_concatenation_needs_no_container():
    inner, x, grad = network(), normal(2, 3, 4, 4), normal(2, 6, 4, 4, seed=3)
    container = Concat(inner)
    expected, grad_input = container(x), container.backward(grad)
    tape = Tape()
    start = tape.variable(x)
    output = cat([start, tape.apply(inner, start)])
    tape.backward(output, grad)
    assert_close(output.value, expected)
    assert_close(start.grad, grad_input)


def test_a_module_may_stand_in_two_places():
    """Its gradient is the sum over both, as PyTorch has it; the module's own state is kept."""
    conv = Conv2d(2, 2, 3, padding=1, generator=torch.Generator().manual_seed(1)).to(torch.float64)
    theirs = nn.Conv2d(2, 2, 3, padding=1, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight.copy_(conv.weight)
        theirs.bias.copy_(conv.bias)
    x = normal(1, 2, 5, 5)
    tape = Tape()
    start = tape.variable(x)
    once = tape.apply(conv, start)
    output = (tape.apply(conv, once) * once).mean()
    tape.backward(output)
    with torch.enable_grad():
        leaf = x.clone().requires_grad_()
        first = theirs(leaf)
        (theirs(first) * first).mean().backward()
    assert_close(start.grad, leaf.grad)
    assert_close(conv.weight_grad, theirs.weight.grad)
    assert_close(conv.bias_grad, theirs.bias.grad)


def test_what_the_output_does_not_need_is_not_run_backwards():
    tape = Tape()
    x = tape.variable(torch.tensor(2.0))
    tape.record(x.value, (x,), lambda g: pytest.fail("was asked for its gradient"))
    y = x * x
    tape.backward(y)
    assert x.grad == 4
    tape.backward(y)  # a second time gives the same, and not twice as much
    assert x.grad == 4


@pytest.mark.parametrize("grad", [None, torch.ones(3, 2)])
def test_what_cannot_be_differentiated_is_refused(grad: Tensor | None):
    tape = Tape()
    output = tape.variable(torch.ones(2, 3)) + tape.variable(torch.ones(3))
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        tape.backward(output, grad)

"""Automatic differentiation: a tape that remembers what ran, and plays it backwards.

A container such as ``Sequential`` or ``Residual`` knows one way to wire modules, and has a
``backward`` written for it. A `Tape` needs none: whatever runs is noted in the order in which it
runs, so the network may be any Python code, and a value may be used as often as one likes.

Source: R. E. Wengert, "A simple automatic derivative evaluation program", Communications of the
ACM 7(8), 1964, which recorded the operations of a program on a list.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from n2n_lib.framework.module import Module


@dataclass(eq=False)
class Variable:
    """A tensor on a tape.

    Attributes
    ----------
    value : Tensor
        The tensor; nobody may write into it, since a backward may want to see it again.
    tape : Tape
        The tape that notes what is computed with it.
    grad : Tensor or None
        After `Tape.backward`: the derivative of the output for every entry of `value`, in its
        shape. None where the output does not depend on it.
    """

    value: Tensor
    tape: Tape = field(repr=False)
    grad: Tensor | None = None

    def __add__(self, other: Variable) -> Variable:
        """Return the sum; a dimension of size 1 is read as often as needed (broadcasting)."""
        a, b = self.value, other.value
        return self.tape.record(
            a + b, (self, other), lambda g: (sum_to(g, a.shape), sum_to(g, b.shape))
        )

    def __sub__(self, other: Variable) -> Variable:
        """Return the difference, with broadcasting."""
        a, b = self.value, other.value
        return self.tape.record(
            a - b, (self, other), lambda g: (sum_to(g, a.shape), sum_to(-g, b.shape))
        )

    def __mul__(self, other: Variable) -> Variable:
        """Return the product entry by entry, with broadcasting."""
        a, b = self.value, other.value
        return self.tape.record(
            a * b, (self, other), lambda g: (sum_to(g * b, a.shape), sum_to(g * a, b.shape))
        )

    def __matmul__(self, other: Variable) -> Variable:
        """Return the product of two matrices, ``(I, K)`` and ``(K, J)``."""
        a, b = self.value, other.value
        return self.tape.record(a @ b, (self, other), lambda g: (g @ b.t(), a.t() @ g))

    def mean(self) -> Variable:
        """Return the mean over all entries, a tensor of no dimensions."""
        a = self.value
        return self.tape.record(a.mean(), (self,), lambda g: ((g / a.numel()).expand(a.shape),))


Backward = Callable[[Tensor], Sequence[Tensor]]
"""From the gradient of an output to the gradients of its inputs, in their order."""


class Tape:
    """What was computed, in the order in which it was.

    Attributes
    ----------
    entries : list of (Variable, tuple of Variable, Backward)
        Each output with its inputs and the function that takes its gradient back to theirs.

    Examples
    --------
    >>> tape = Tape()
    >>> x = tape.variable(torch.tensor(3.0))
    >>> y = x * x + x
    >>> tape.backward(y)
    >>> x.grad
    tensor(7.)
    """

    def __init__(self) -> None:
        self.entries: list[tuple[Variable, tuple[Variable, ...], Backward]] = []

    def variable(self, value: Tensor) -> Variable:
        """Return a variable that nothing on the tape has computed: an input, or a parameter."""
        return Variable(value, self)

    def record(self, value: Tensor, inputs: tuple[Variable, ...], backward: Backward) -> Variable:
        """Note that `value` was computed from `inputs`, and return its variable."""
        output = Variable(value, self)
        self.entries.append((output, inputs, backward))
        return output

    def apply(self, module: Module, *inputs: Variable) -> Variable:
        """Run a module, and note it.

        What runs is a copy that shares the parameters and their gradients with `module`, and keeps
        to itself what its backward needs. So a module may stand in a network more than once, and
        its parameters get the sum of the gradients of all its places.

        Parameters
        ----------
        module : Module
            Any but a loss, whose ``backward`` takes no gradient. It must not work in place
            (``ReLU(inplace=True)`` does), since it would overwrite a value on the tape.
        *inputs : Variable
            What its ``forward`` takes.
        """
        shared = {id(tensor): tensor for pair in module.param() for tensor in pair}
        module = copy.deepcopy(module, shared)
        value = module(*(variable.value for variable in inputs))
        return self.record(value, inputs, lambda g: _as_tuple(module.backward(g)))

    def backward(self, output: Variable, grad: Tensor | None = None) -> None:
        """Play the tape backwards from `output`: fill ``grad`` of every variable it depends on.

        Parameters
        ----------
        output : Variable
            What is differentiated.
        grad : Tensor, optional
            Gradient of the loss for `output`, in its shape. Default: `output` is the loss itself,
            one number, whose gradient is 1.

        Raises
        ------
        ValueError
            If there is no `grad` and `output` holds more than one number, or `grad` has another
            shape.
        """
        if grad is None and output.value.numel() != 1:
            raise ValueError(
                "expected a loss of one number, or a gradient to begin with, got an output of "
                f"shape {tuple(output.value.shape)}"
            )
        grad = torch.ones_like(output.value) if grad is None else grad
        if grad.shape != output.value.shape:
            raise ValueError(
                f"expected a gradient of shape {tuple(output.value.shape)}, got {tuple(grad.shape)}"
            )
        for result, inputs, _ in self.entries:
            for variable in (result, *inputs):
                variable.grad = None
        output.grad = grad
        for result, inputs, backward in reversed(self.entries):
            if result.grad is None:  # the output does not depend on it
                continue
            for variable, share in zip(inputs, backward(result.grad), strict=True):
                variable.grad = share if variable.grad is None else variable.grad + share


def cat(variables: Sequence[Variable]) -> Variable:
    """Put variables ``(N, C1, H, W)``, ``(N, C2, H, W)`` ... side by side along their channels."""
    channels = [variable.value.shape[1] for variable in variables]
    value = torch.cat([variable.value for variable in variables], dim=1)
    return variables[0].tape.record(value, tuple(variables), lambda g: g.split(channels, dim=1))


def sum_to(grad: Tensor, shape: Sequence[int]) -> Tensor:
    """Sum a gradient to the shape that broadcasting has enlarged: its transpose.

    Parameters
    ----------
    grad : Tensor
        Gradient of the result.
    shape : sequence of int
        Shape of the operand, which broadcasts to that of `grad`.
    """
    for _ in range(grad.dim() - len(shape)):
        grad = grad.sum(0)  # a dimension that was put in front
    for dimension, size in enumerate(shape):
        if size == 1:
            grad = grad.sum(dimension, keepdim=True)
    return grad


def _as_tuple(grads: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return grads if isinstance(grads, tuple) else (grads,)

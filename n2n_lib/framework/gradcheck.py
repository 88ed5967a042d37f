"""Is this gradient right? Three independent answers.

A gradient is compared with finite differences, with autograd through our own ``forward`` and,
where PyTorch has the same layer, with autograd through ``torch.nn``. One of the two files that use
autograd (the other is ``torch_twin.py``).
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from n2n_lib.framework.kernels import use_kernels
from n2n_lib.framework.module import Module

TOLERANCE = {"finite differences": 1e-6, "autograd": 1e-10, "torch.nn": 1e-10}
"""Largest relative error that counts as equal, in float64, for each of the three answers."""


def relative_error(value: Tensor, reference: Tensor) -> float:
    r"""Return :math:`\lVert a - b \rVert / \lVert b \rVert`, in float64.

    If the reference is zero, the norm of the value itself. Another shape or not-a-number counts as
    infinite.
    """
    if value.shape != reference.shape:
        return float("inf")
    value, reference = value.double().flatten(), reference.double().flatten()
    scale = reference.norm().item()
    error = (value - reference).norm().item() / (scale if scale > 0 else 1.0)
    return error if error == error else float("inf")


@torch.no_grad()
def numerical_gradient(function: Callable[[], Tensor], x: Tensor, step: float = 1e-6) -> Tensor:
    r"""Differentiate a scalar by central differences, one entry of `x` after the other.

    .. math:: \frac{\partial f}{\partial x_i} \approx \frac{f(x + h e_i) - f(x - h e_i)}{2h}

    Parameters
    ----------
    function : callable
        Takes nothing, reads `x`, returns a tensor with one value.
    x : Tensor
        Changed in place during the call and restored exactly; use float64.
    step : float
        The step ``h``. In float64 the error is smallest near 1e-6 to 1e-5, as the lesson on
        gradients measures.

    Returns
    -------
    Tensor
        Of the shape of `x`.
    """
    gradient = torch.zeros_like(x)
    for where in itertools.product(*(range(n) for n in x.shape)):
        before = x[where].item()
        try:
            x[where] = before + step
            above = function().item()
            x[where] = before - step
            below = function().item()
        finally:
            x[where] = before
        gradient[where] = (above - below) / (2 * step)
    return gradient


@dataclass
class GradientReport:
    """The outcome of `gradcheck`: one row per gradient, one column per independent answer."""

    rows: list[tuple[str, tuple[int, ...], dict[str, float]]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every gradient agrees with every answer."""
        return all(
            error < TOLERANCE[method]
            for _, _, errors in self.rows
            for method, error in errors.items()
        )

    def __str__(self) -> str:
        methods = list(self.rows[0][2])
        lines = [f"{'gradient of':<14}{'shape':<18}" + "".join(f"{m:<20}" for m in methods)]
        for name, shape, errors in self.rows:
            cells = ""
            for method, error in errors.items():
                limit = TOLERANCE[method]
                verdict = f"ok  (< {limit:.0e})" if error < limit else f"WRONG ({error:.0e})"
                cells += f"{verdict:<20}"
            lines.append(f"{name:<14}{str(shape):<18}" + cells)
        return "\n".join(line.rstrip() for line in lines)


def gradcheck(
    module: Module,
    *inputs: Tensor,
    torch_module: nn.Module | None = None,
    generator: torch.Generator | None = None,
) -> GradientReport:
    r"""Check every gradient of a module three ways.

    The output is multiplied with a random tensor :math:`v` and summed, which makes a scalar
    :math:`s = \langle v, f(x; \theta) \rangle` whose gradients are exactly what ``backward(v)``
    must return and accumulate.

    Parameters
    ----------
    module : Module
        What to check. A copy in float64 is used; the module itself is not changed.
    *inputs : Tensor
        Inputs of ``forward``. Random and non-zero, so that a wrong gradient cannot hide, and small:
        finite differences run the module twice per entry.
    torch_module : torch.nn.Module, optional
        PyTorch's version. Gets a copy of the parameters, in order.
    generator : torch.Generator, optional
        Source of :math:`v`; by default a fresh one with seed 0.

    Returns
    -------
    GradientReport
        Relative errors; ``print`` it, or assert ``.ok``.

    Raises
    ------
    ValueError
        If ``backward`` does not return a gradient for each input, or the shapes of the parameters
        or of the output of `torch_module` differ from ours.

    Examples
    --------
    >>> theirs = nn.Conv2d(2, 3, 2)
    >>> report = gradcheck(Conv2d(2, 3, 2), torch.randn(1, 2, 4, 3), torch_module=theirs)
    >>> print(report)
    gradient of   shape             finite differences  autograd            torch.nn
    input         (1, 2, 4, 3)      ok  (< 1e-06)       ok  (< 1e-10)       ok  (< 1e-10)
    weight        (3, 2, 2, 2)      ok  (< 1e-06)       ok  (< 1e-10)       ok  (< 1e-10)
    bias          (3,)              ok  (< 1e-06)       ok  (< 1e-10)       ok  (< 1e-10)
    """
    generator = generator or torch.Generator().manual_seed(0)
    module = copy.deepcopy(module).to(torch.float64)
    for part in module.modules():
        part.needs_input_grad = True
    inputs = [x.detach().to(torch.float64).clone() for x in inputs]
    parameters = [value for value, _ in module.param()]

    with torch.no_grad():
        output = module(*(x.clone() for x in inputs))
        module.zero_grad()
        if output.dim() == 0:  # a loss: backward takes nothing, returns the gradient of inputs[0]
            v = torch.ones_like(output)
            grad_inputs, checked = module.backward(), inputs[:1]
        else:
            v = torch.randn(output.shape, generator=generator, dtype=torch.float64)
            grad_inputs, checked = module.backward(v.clone()), inputs
    grad_inputs = grad_inputs if isinstance(grad_inputs, (tuple, list)) else [grad_inputs]
    if len(grad_inputs) != len(checked):
        raise ValueError(
            f"expected {type(module).__name__}.backward to return {len(checked)} gradients, one "
            f"for each input, got {len(grad_inputs)}"
        )
    ours = [*grad_inputs, *(grad for _, grad in module.param())]
    variables = [*checked, *parameters]

    def scalar() -> Tensor:
        return (module(*(x.clone() for x in inputs)) * v).sum()

    answers = {
        "finite differences": [numerical_gradient(scalar, x) for x in variables],
        "autograd": _through_autograd(scalar, variables),
    }
    if torch_module is not None:
        answers["torch.nn"] = _through_torch(torch_module, inputs, len(checked), parameters, v)

    names = ["input"] if len(checked) == 1 else [f"input {i}" for i in range(len(checked))]
    report = GradientReport()
    for i, name in enumerate(names + _parameter_names(module, len(parameters))):
        errors = {method: relative_error(ours[i], found[i]) for method, found in answers.items()}
        report.rows.append((name, tuple(ours[i].shape), errors))
    return report


def _parameter_names(module: Module, count: int) -> list[str]:
    """Name the parameters after their attributes, in the order of `param`: ``weight``, ``2.bias``.

    A module with a ``param`` of its own may list them differently; then they are only numbered.
    """

    def walk(module: Module, prefix: str) -> list[str]:
        own = [
            prefix + name
            for name, value in vars(module).items()
            if isinstance(value, Tensor) and isinstance(vars(module).get(name + "_grad"), Tensor)
        ]
        children = list(module.children())
        for index, child in enumerate(children):
            own += walk(child, f"{prefix}{index}." if len(children) > 1 else prefix)
        return own

    names = walk(module, "")
    return names if len(names) == count else [f"parameter {i}" for i in range(count)]


def _through_autograd(scalar: Callable[[], Tensor], variables: list[Tensor]) -> list[Tensor]:
    """Differentiate our own forward; the unfold kernels consist of differentiable operations."""
    with torch.enable_grad(), use_kernels("unfold"):
        for variable in variables:
            variable.requires_grad_()
        found = torch.autograd.grad(scalar(), variables)
    for variable in variables:
        variable.requires_grad_(False)
    return list(found)


def _through_torch(
    torch_module: nn.Module, inputs: list[Tensor], checked: int, parameters: list[Tensor], v: Tensor
) -> list[Tensor]:
    """Copy the parameters into a twin of `torch_module` and let autograd differentiate it."""
    twin = copy.deepcopy(torch_module).to(torch.float64)
    theirs = list(twin.parameters())
    if [p.shape for p in theirs] != [p.shape for p in parameters]:
        raise ValueError(
            f"expected torch parameters of shapes {[tuple(p.shape) for p in parameters]}, "
            f"got {[tuple(p.shape) for p in theirs]}"
        )
    with torch.no_grad():
        for target, source in zip(theirs, parameters, strict=True):
            target.copy_(source)
    with torch.enable_grad():
        leaves = [x.clone().requires_grad_() for x in inputs]
        output = twin(*(x.clone() for x in leaves))
        if output.shape != v.shape:
            raise ValueError(f"expected output shape {tuple(v.shape)}, got {tuple(output.shape)}")
        return list(torch.autograd.grad((output * v).sum(), leaves[:checked] + theirs))

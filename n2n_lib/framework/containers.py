"""Networks built from modules (section 2.7 of the report)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from n2n_lib.framework.module import Module, as_batch


class Sequential(Module):
    """A chain of modules: the output of each is the input of the next.

    Parameters
    ----------
    *modules : Module
        The modules in order, or one list of them as in the report.

    Raises
    ------
    TypeError
        If an item is not a `Module`.
    ValueError
        If a module stands in two places: the second would overwrite what the first remembers for
        its ``backward``.

    Notes
    -----
    Section 2.7 of the report.

    Examples
    --------
    >>> network = Sequential(Conv2d(3, 8, 2, stride=2), ReLU(), Upsampling(8, 3, 3, padding=1))
    >>> network(torch.rand(4, 3, 32, 32)).shape
    torch.Size([4, 3, 32, 32])
    """

    def __init__(self, *modules: Module | list[Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], (list, tuple)):
            modules = tuple(modules[0])
        places: dict[int, int] = {}
        for position, module in enumerate(modules):
            if not isinstance(module, Module):
                got = type(module).__name__
                raise TypeError(f"Sequential expected a Module at place {position}, got {got}")
            for part in module.modules():
                first = places.setdefault(id(part), position)
                if first != position:
                    raise ValueError(
                        f"Sequential expected every module in one place, got the same "
                        f"{type(part).__name__} in places {first} and {position}: the second would "
                        "overwrite what the first remembers for its backward"
                    )
        self.layers = list(modules)

    def forward(self, input: Tensor) -> Tensor:
        """Run the chain from its first module to its last."""
        for module in self.layers:
            input = module(input)
        return input

    def backward(self, grad_output: Tensor) -> Tensor | None:
        """Run the chain rule from the last module to the first."""
        for module in reversed(self.layers):
            grad_output = module.backward(grad_output)
        return grad_output

    def params(self) -> list[tuple[Tensor, Tensor]]:
        """Return `param`: the report's name for it."""
        return self.param()

    @property
    def needs_input_grad(self) -> bool:
        """Whether `backward` must return the gradient of the input: asked of the first module."""
        return self.layers[0].needs_input_grad if self.layers else True

    @needs_input_grad.setter
    def needs_input_grad(self, needed: bool) -> None:
        if self.layers:
            self.layers[0].needs_input_grad = needed

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int) -> Module:
        return self.layers[index]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)

    def __repr__(self) -> str:
        lines = [f"  ({i}): " + repr(m).replace("\n", "\n  ") for i, m in enumerate(self.layers)]
        return "Sequential(\n" + "\n".join(lines) + "\n)" if lines else "Sequential()"


class _Branch(Module):
    """What `Residual` and `Concat` share: a module `f` that the input goes past as well."""

    def __init__(self, f: Module) -> None:
        if not isinstance(f, Module):
            raise TypeError(f"{type(self).__name__} expected a Module, got {type(f).__name__}")
        self.f = f

    def _through(self, x: Tensor) -> Tensor:
        """Return ``f(x)`` without changing `x`, also where `f` works in place."""
        return self.f(x.clone() if overwrites(self.f, first=True) else x)

    def _back_through(self, grad: Tensor) -> Tensor | None:
        """Return the gradient of the input of `f` without changing `grad`."""
        return self.f.backward(grad.clone() if overwrites(self.f, first=False) else grad)

    @property
    def needs_input_grad(self) -> bool:
        """Whether `backward` must return the gradient of the input: asked of `f`."""
        return self.f.needs_input_grad

    @needs_input_grad.setter
    def needs_input_grad(self, needed: bool) -> None:
        self.f.needs_input_grad = needed

    def __repr__(self) -> str:
        return f"{type(self).__name__}(\n  (f): " + repr(self.f).replace("\n", "\n  ") + "\n)"


class Residual(_Branch):
    r"""Add to the input what a module makes of it: ``y = x + f(x)``.

    The module learns the difference between output and input. Backward, the gradient takes both
    ways: :math:`\partial L / \partial x = g + J_f^T g`.

    Parameters
    ----------
    f : Module
        Must keep the shape of its input.

    Raises
    ------
    TypeError
        If `f` is not a `Module`.

    Notes
    -----
    He, Zhang, Ren and Sun (2016), Deep residual learning for image recognition, equation 1.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return ``input + f(input)``, of the shape of `input`.

        Parameters
        ----------
        input : Tensor
            ``(N, C, H, W)`` or ``(C, H, W)``.

        Raises
        ------
        TypeError, ValueError
            If the input is not such a tensor, or `f` does not keep its shape.
        """
        as_batch(input, self)
        branch = self._through(input)
        if branch.shape != input.shape:
            raise ValueError(
                f"Residual expected a module that keeps the shape {tuple(input.shape)}, got "
                f"{tuple(branch.shape)}"
            )
        self._saved = input.shape
        return input + branch

    def backward(self, grad_output: Tensor) -> Tensor | None:
        """Run `f` backwards and add `grad_output` to the gradient that it returns."""
        self._check_grad(grad_output, self._take_saved())
        through = self._back_through(grad_output)
        return None if through is None else grad_output + through


class Concat(_Branch):
    """Put what a module makes of the input beside the input: ``torch.cat([x, f(x)], dim=1)``.

    The skip connection of a U-Net: whatever comes next sees the input in full detail, and what a
    coarser scale made of it. Backward, the gradient is split; the input gets the sum of both ways.

    Parameters
    ----------
    f : Module
        Must keep height and width of its input; the number of channels may change.

    Raises
    ------
    TypeError
        If `f` is not a `Module`.

    Notes
    -----
    Ronneberger, Fischer and Brox (2015), U-Net, section 2.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the channels of `input`, then those of ``f(input)``.

        Parameters
        ----------
        input : Tensor
            ``(N, C, H, W)`` or ``(C, H, W)``.

        Returns
        -------
        Tensor
            ``(N, C + C', H, W)`` or ``(C + C', H, W)`` where `f` returns C' channels.

        Raises
        ------
        TypeError, ValueError
            If the input is not such a tensor, or `f` does not keep the other dimensions.
        """
        as_batch(input, self)
        branch = self._through(input)
        around = input.shape[:-3] + input.shape[-2:]
        if branch.dim() != input.dim() or branch.shape[:-3] + branch.shape[-2:] != around:
            raise ValueError(
                "Concat expected a module that keeps batch, height and width of "
                f"{tuple(input.shape)}, got {tuple(branch.shape)}"
            )
        output = torch.cat([input, branch], dim=-3)
        self._saved = input.shape[-3], output.shape
        return output

    def backward(self, grad_output: Tensor) -> Tensor | None:
        """Split the gradient, run `f` backwards on its part and add the two."""
        channels, shape = self._take_saved()
        self._check_grad(grad_output, shape)
        past, branch = grad_output.split([channels, shape[-3] - channels], dim=-3)
        through = self._back_through(branch)
        return None if through is None else past + through


def overwrites(module: Module, first: bool) -> bool:
    """Tell whether a module writes into its input (`first`) or else into its `grad_output`.

    Modules that work in place do both. In a chain the first one meets the input and the last one
    the gradient; an empty chain hands both on, and a branch takes care by itself.
    """
    if isinstance(module, _Branch):
        return False
    if not isinstance(module, Sequential):
        return any(getattr(part, "inplace", False) for part in module.modules())
    for layer in module if first else reversed(module.layers):
        if not (isinstance(layer, Sequential) and _is_identity(layer)):
            return overwrites(layer, first)
    return False


def _is_identity(chain: Sequential) -> bool:
    return all(isinstance(layer, Sequential) and _is_identity(layer) for layer in chain)

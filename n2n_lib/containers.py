"""Networks built from modules (lesson 06; section 2.7 of the report)."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from n2n_lib.module import Module


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

    Notes
    -----
    Section 2.7 of the report.
    """

    def __init__(self, *modules: Module | list[Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], (list, tuple)):
            modules = tuple(modules[0])
        for position, module in enumerate(modules):
            if not isinstance(module, Module):
                got = type(module).__name__
                raise TypeError(f"Sequential expected a Module at place {position}, got {got}")
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

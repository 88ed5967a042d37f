"""An exercise that asks for a class, for the tests, where the grader's worker can import it."""

from __future__ import annotations

from functools import partial

import torch

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import Check
from n2n_lib.framework.module import Module


def forward_and_backward(answer, x, s, grad_output):
    module = answer(len(s))
    module.s, module.s_grad = s, torch.zeros_like(s)
    output = module.forward(x)
    module.backward(grad_output)
    grad_input = module.backward(grad_output)
    return output, grad_input, module.s_grad


def case(name: str, count: int, seed: int, dtype: torch.dtype = torch.float64) -> Case:
    shapes = {"x": (3, count), "s": (count,), "grad_output": (3, count)}
    drawn = {n: values(shape, seed + i, dtype) for i, (n, shape) in enumerate(shapes.items())}
    return Case(name, drawn)


@partial(
    Check,  # and not `exercise`, which would add it to those of the lessons
    topic="activations",
    title="A scale",
    hints=("What does backward need of forward?", "Keep x, and multiply.", "`self.x = x`."),
    returns=("output", "grad_input", "s_grad"),
    cases=(case("one column", 1, 1), case("float32", 4, 5, torch.float32)),
    use=forward_and_backward,
)
class Scale(Module):
    """Check ``Scale(count)``, a module with ``forward(x)`` and ``backward(grad_output)``."""

    def __init__(self, count):
        self.s, self.s_grad = torch.ones(count), torch.zeros(count)

    def forward(self, x):
        self.x = x
        return self.s * x

    def backward(self, grad_output):
        self.s_grad += (grad_output * self.x).sum(0)
        return self.s * grad_output


Scale.mistakes = (
    Mistake("The second backward overwrites s_grad. Gradients accumulate.", but(("+=", "="))),
    Mistake("grad_input leaves out the scale.", but(("return self.s * grad", "return grad"))),
    Mistake(
        "Nothing is learned.",
        """
        def __init__(self, count):
            super().__init__()

        def forward(self, x):
            return self.s * x

        def backward(self, grad_output):
            return self.s * grad_output
        """,
    ),
)

CELL = '''\
class Scale(Module):
    """One factor for each column."""

    def __init__(self, count):
        self.s, self.s_grad = torch.ones(count), torch.zeros(count)

    def forward(self, x):  # (N, C)
        ### BEGIN SOLUTION
        self.x = x
        return self.s * x
        ### END SOLUTION

    def backward(self, grad_output):
        ### BEGIN SOLUTION
        self.s_grad += (grad_output * self.x).sum(0)
        return self.s * grad_output
        ### END SOLUTION
'''
"""The exercise in a lesson."""

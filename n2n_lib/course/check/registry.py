"""How an exercise is written: the decorator of its solution, which makes it a check.

An exercise is written once, as its solution:

    @exercise(topic="activations", title="...", hints=(...), returns=("grad_input",), cases=(...))
    def relu_backward(grad_output, output):
        '''Check ``relu_backward(grad_output, output) -> grad_input``. ...'''
        return grad_output * (output > 0)

    relu_backward.mistakes = (
        Mistake("The slope is 1 at zero too. ...", but((">", ">="))),
    )

From then on ``relu_backward`` is the check, an `Exercise`: called with a student's function, it
judges it. The solution gives the expected values, the version that a lesson goes on with, and the
text that most mistakes are edits of.

A class is asked for in the same way. How it is used on the arguments of a case is said once, by a
function of the module, `use`; what this returns is judged:

    def forward_and_backward(answer, x, weight, grad_output):
        module = answer(*weight.shape)  # the class: the solution, the student's or a wrong one
        module.weight, module.weight_grad = weight, torch.zeros_like(weight)
        output = module.forward(x)
        module.backward(grad_output)
        grad_input = module.backward(grad_output)  # twice: gradients of parameters accumulate
        return output, grad_input, module.weight_grad

    @exercise(
        topic="gradients",
        title="...",
        hints=("...", "...", "..."),
        returns=("output", "grad_input", "grad_weight"),
        cases=(Case("...", {"x": ..., "weight": ..., "grad_output": ...}),),
        use=forward_and_backward,
    )
    class Linear(Module):
        '''Check ``Linear(outputs, inputs)``, a module with ``forward(x)`` and ... '''

        def __init__(self, outputs, inputs): ...

        def forward(self, x): ...

        def backward(self, grad_output): ...

    Linear.mistakes = (
        Mistake("The second backward overwrites the gradient. ...", but(("_grad +=", "_grad ="))),
    )

The text of a mistake is the body of the class below its docstring. The arguments reach `use` in
float64 when the solution gives the expected values, so tensors that ``__init__`` makes are best
replaced by arguments, as above. What a later call may overwrite has to be cloned by `use`. In the
lesson one cell holds the class, with a region
``### BEGIN SOLUTION`` ... ``### END SOLUTION`` inside each method that the student writes; bases
are imported in an earlier cell. `use` serves also a function that needs something around it: one
that returns a network, say, which `use` runs on a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from n2n_lib.course.check.autograded import unseen
from n2n_lib.course.check.collecting import collect
from n2n_lib.course.check.exercise import EXERCISES, Exercise
from n2n_lib.course.check.judge import run


class Check(Exercise):
    """An exercise that judges the function, or the class, that it is called with."""

    def __call__(self, answer: Callable[..., Any]) -> None:
        """Judge a student's answer: print one line if it is right, else a table, and raise.

        Raises
        ------
        CheckFailed
            If it is not right.
        TypeError
            If it is not a function, or not a class where one is asked for.
        """
        run(self, answer)
        with unseen():  # the answer runs once more
            collect(self, answer)


def exercise(**about: Any) -> Callable[[Callable[..., Any]], Check]:
    """Make an exercise of the solution below, a function or class; for arguments see `Exercise`."""

    def register(solution: Callable[..., Any]) -> Check:
        if solution.__name__ in EXERCISES:
            raise ValueError(f"there is an exercise {solution.__name__} already; take another name")
        made = EXERCISES[solution.__name__] = Check(solution, **about)
        return made

    return register

"""How an exercise is written: the decorator of its solution, which makes it a check.

An exercise is written once, as its solution:

    @exercise(topic="activations", title="...", hint="...", returns=("grad_input",), cases=(...))
    def relu_backward(grad_output, output):
        '''Check ``relu_backward(grad_output, output) -> grad_input``. ...'''
        return grad_output * (output > 0)

    relu_backward.mistakes = (
        Mistake("The slope is 1 at zero too. ...", but((">", ">="))),
    )

From then on ``relu_backward`` is the check, an `Exercise`: called with a student's function, it
judges it. The solution gives the expected values, the version that a lesson goes on with, and the
text that most mistakes are edits of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from n2n_lib.course.check.collecting import collect
from n2n_lib.course.check.exercise import EXERCISES, Exercise
from n2n_lib.course.check.judge import run


class Check(Exercise):
    """An exercise that judges the function that it is called with."""

    def __call__(self, function: Callable[..., Any]) -> None:
        """Judge a student's function: print one line if it is right, else a table, and raise.

        Raises
        ------
        CheckFailed
            If it is not right.
        TypeError
            If it is not a function.
        """
        run(self, function)
        collect(self, function)


def exercise(**about: Any) -> Callable[[Callable[..., Any]], Check]:
    """Make an exercise of the function below, its solution; for the arguments see `Exercise`."""

    def register(solution: Callable[..., Any]) -> Check:
        made = EXERCISES[solution.__name__] = Check(solution, **about)
        return made

    return register

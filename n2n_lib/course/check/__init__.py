"""The answer checks: a lesson calls ``check.NAME(student_function)``.

A check is silent but for one line if the function is right. If not, it prints a table of the cases
and raises `CheckFailed`, which says in words what to look at; from the second failure on it adds a
hint.

Two more calls stand in the lessons. ``NAME = check.go_on_with(NAME)`` lets the following cells run
before an answer is right, and ``check.progress()`` draws what is right so far.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from n2n_lib.course.check import record
from n2n_lib.course.check.engine import CheckFailed, Exercise, right_or_library
from n2n_lib.course.check.lesson02 import (
    LINEAR_BACKWARD,
    NUMERICAL_GRADIENT,
    linear_backward,
    numerical_gradient,
)
from n2n_lib.course.check.lesson03 import (
    CONV2D_FORWARD,
    CONV2D_INPUT_GRAD,
    CONV2D_WEIGHT_GRAD,
    OUTPUT_SIZE,
    conv2d_forward,
    conv2d_input_grad,
    conv2d_weight_grad,
    output_size,
)
from n2n_lib.course.check.lesson04 import (
    UPSAMPLE_BACKWARD,
    UPSAMPLE_FORWARD,
    upsample_backward,
    upsample_forward,
)
from n2n_lib.course.check.lesson05 import (
    RELU_BACKWARD,
    SIGMOID_BACKWARD,
    SIGMOID_FORWARD,
    relu_backward,
    sigmoid_backward,
    sigmoid_forward,
)
from n2n_lib.course.check.lesson06 import (
    MSE_BACKWARD,
    SEQUENTIAL_BACKWARD,
    mse_backward,
    sequential_backward,
)
from n2n_lib.course.check.lesson07 import SGD_STEP, XAVIER_STD, sgd_step, xavier_std
from n2n_lib.course.check.lesson09 import (
    CONV_TRANSPOSE2D_FORWARD,
    CONV_TRANSPOSE2D_INPUT_GRAD,
    CONV_TRANSPOSE2D_WEIGHT_GRAD,
    TRANSPOSED_SIZE,
    conv_transpose2d_forward,
    conv_transpose2d_input_grad,
    conv_transpose2d_weight_grad,
    transposed_size,
)
from n2n_lib.course.check.lesson10 import (
    ADAGRAD_STEP,
    ADAM_STEP,
    HE_STD,
    MOMENTUM_STEP,
    adagrad_step,
    adam_step,
    he_std,
    momentum_step,
)
from n2n_lib.course.check.lesson11 import (
    PHASE_KERNELS,
    SHIFT_AND_ADD,
    WINDOWS,
    phase_kernels,
    shift_and_add,
    windows,
)
from n2n_lib.course.check.lesson12 import (
    CONCAT_BACKWARD,
    RECEPTIVE_FIELD,
    RECORRUPT,
    SELF_ENSEMBLE,
    concat_backward,
    receptive_field,
    recorrupt,
    self_ensemble,
)
from n2n_lib.course.check.lesson13 import MEAN_GRADIENT, RING_SECONDS, mean_gradient, ring_seconds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise
    for exercise in (
        LINEAR_BACKWARD,
        NUMERICAL_GRADIENT,
        OUTPUT_SIZE,
        CONV2D_FORWARD,
        CONV2D_WEIGHT_GRAD,
        CONV2D_INPUT_GRAD,
        UPSAMPLE_FORWARD,
        UPSAMPLE_BACKWARD,
        RELU_BACKWARD,
        SIGMOID_FORWARD,
        SIGMOID_BACKWARD,
        MSE_BACKWARD,
        SEQUENTIAL_BACKWARD,
        XAVIER_STD,
        SGD_STEP,
        TRANSPOSED_SIZE,
        CONV_TRANSPOSE2D_FORWARD,
        CONV_TRANSPOSE2D_INPUT_GRAD,
        CONV_TRANSPOSE2D_WEIGHT_GRAD,
        MOMENTUM_STEP,
        ADAGRAD_STEP,
        ADAM_STEP,
        HE_STD,
        CONCAT_BACKWARD,
        RECEPTIVE_FIELD,
        SELF_ENSEMBLE,
        RECORRUPT,
        WINDOWS,
        SHIFT_AND_ADD,
        PHASE_KERNELS,
        MEAN_GRADIENT,
        RING_SECONDS,
    )
}

EXERCISES: dict[str, tuple[int, str, str]] = {
    name: (exercise.lesson, exercise.title, exercise.hint) for name, exercise in _EXERCISES.items()
}
"""Of every exercise: the number of its lesson, a title of one line, and the hint."""

__all__ = [
    "EXERCISES",
    "CheckFailed",
    "adagrad_step",
    "adam_step",
    "concat_backward",
    "conv2d_forward",
    "conv2d_input_grad",
    "conv2d_weight_grad",
    "conv_transpose2d_forward",
    "conv_transpose2d_input_grad",
    "conv_transpose2d_weight_grad",
    "go_on_with",
    "he_std",
    "linear_backward",
    "mean_gradient",
    "momentum_step",
    "mse_backward",
    "numerical_gradient",
    "output_size",
    "phase_kernels",
    "progress",
    "receptive_field",
    "recorrupt",
    "relu_backward",
    "ring_seconds",
    "self_ensemble",
    "sequential_backward",
    "sgd_step",
    "shift_and_add",
    "sigmoid_backward",
    "sigmoid_forward",
    "transposed_size",
    "upsample_backward",
    "upsample_forward",
    "windows",
    "xavier_std",
]


def go_on_with(function: Callable[..., Any], exercise: str | None = None) -> Callable[..., Any]:
    """Return the student's function if it is right, else the library's version of it.

    A lesson says ``conv2d_forward = check.go_on_with(conv2d_forward)`` before other cells call the
    function, so that they run whether or not the exercise has been done.

    Parameters
    ----------
    function : callable
        The student's.
    exercise : str, optional
        Name of the exercise, where the function has another.

    Returns
    -------
    callable
        `function` itself, silently; or the library's version, and a line that says so.

    Raises
    ------
    ValueError
        If there is no such exercise.
    """
    name = exercise or getattr(function, "__name__", "")
    if name not in _EXERCISES:
        raise ValueError(f"expected the function of an exercise, got {name or function!r}")
    return right_or_library(_EXERCISES[name], function)


def progress() -> Figure:
    """Draw which exercises are right, which were tried, and which are still to do.

    In a student edition (``n2n student``) the answers of all lessons count, whenever they were
    given; elsewhere only those since the kernel started.

    Returns
    -------
    Figure
        One row a lesson, one square an exercise.
    """
    from n2n_lib import plots  # takes long, and a cache that can be written to: no check needs it

    entries, titles = record.read(), record.lesson_titles()
    rows: dict[str, list[tuple[str, str]]] = {}
    for name, exercise in _EXERCISES.items():
        title = titles.get(exercise.lesson, f"lesson {exercise.lesson:02}")
        rows.setdefault(title, []).append((name, record.state(entries.get(name))))
    return plots.show_progress(dict(sorted(rows.items())))

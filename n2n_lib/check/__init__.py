"""The answer checks: a lesson calls ``check.NAME(student_function)``.

A check is silent but for one line if the function is right. If not, it prints a table of the cases
and raises `CheckFailed`, which says in words what to look at; from the second failure on it adds a
hint.
"""

from __future__ import annotations

from n2n_lib.check.engine import CheckFailed
from n2n_lib.check.lesson02 import (
    LINEAR_BACKWARD,
    NUMERICAL_GRADIENT,
    linear_backward,
    numerical_gradient,
)
from n2n_lib.check.lesson03 import (
    CONV2D_FORWARD,
    CONV2D_INPUT_GRAD,
    CONV2D_WEIGHT_GRAD,
    OUTPUT_SIZE,
    conv2d_forward,
    conv2d_input_grad,
    conv2d_weight_grad,
    output_size,
)
from n2n_lib.check.lesson04 import (
    UPSAMPLE_BACKWARD,
    UPSAMPLE_FORWARD,
    upsample_backward,
    upsample_forward,
)
from n2n_lib.check.lesson05 import (
    RELU_BACKWARD,
    SIGMOID_BACKWARD,
    SIGMOID_FORWARD,
    relu_backward,
    sigmoid_backward,
    sigmoid_forward,
)
from n2n_lib.check.lesson06 import (
    MSE_BACKWARD,
    SEQUENTIAL_BACKWARD,
    mse_backward,
    sequential_backward,
)
from n2n_lib.check.lesson07 import SGD_STEP, XAVIER_STD, sgd_step, xavier_std
from n2n_lib.check.lesson09 import (
    CONV_TRANSPOSE2D_FORWARD,
    CONV_TRANSPOSE2D_INPUT_GRAD,
    CONV_TRANSPOSE2D_WEIGHT_GRAD,
    TRANSPOSED_SIZE,
    conv_transpose2d_forward,
    conv_transpose2d_input_grad,
    conv_transpose2d_weight_grad,
    transposed_size,
)
from n2n_lib.check.lesson10 import (
    ADAGRAD_STEP,
    ADAM_STEP,
    HE_STD,
    MOMENTUM_STEP,
    adagrad_step,
    adam_step,
    he_std,
    momentum_step,
)
from n2n_lib.check.lesson11 import (
    PHASE_KERNELS,
    SHIFT_AND_ADD,
    WINDOWS,
    phase_kernels,
    shift_and_add,
    windows,
)
from n2n_lib.check.lesson12 import (
    CONCAT_BACKWARD,
    RECEPTIVE_FIELD,
    SELF_ENSEMBLE,
    concat_backward,
    receptive_field,
    self_ensemble,
)

EXERCISES: dict[str, tuple[int, str, str]] = {
    exercise.name: (exercise.lesson, exercise.title, exercise.hint)
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
        SGD_STEP,
        XAVIER_STD,
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
        WINDOWS,
        SHIFT_AND_ADD,
        PHASE_KERNELS,
    )
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
    "he_std",
    "linear_backward",
    "momentum_step",
    "mse_backward",
    "numerical_gradient",
    "output_size",
    "phase_kernels",
    "receptive_field",
    "relu_backward",
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

"""The answer checks of lesson 10: right answers pass, wrong ones are told what is wrong."""

from __future__ import annotations

import re

import pytest
import test_check
import torch
from answer_checks import AnswerChecks
from test_check import but, check_table, exercise_of, judge, scaled, student

from n2n_lib.course import check

# For every exercise: (what is wrong, the student's text, words that the message must contain).
WRONG: dict[str, list[tuple[str, str, tuple[str, ...]]]] = {}

MOMENTUM = """
for (parameter, grad), velocity in zip(params, velocities):
    velocity.mul_(momentum).add_(grad)
    parameter.sub_(lr * velocity)
"""
UPDATE, STEP = "velocity.mul_(momentum).add_(grad)", "parameter.sub_(lr * velocity)"

WRONG["momentum_step"] = [
    ("uphill", but(MOMENTUM, (".sub_", ".add_")), ("uphill", "minus")),
    (
        "parameter not in place",
        but(MOMENTUM, (STEP, "parameter = parameter - lr * velocity")),
        ("velocities are right", "parameters did not change"),
    ),
    (
        "velocity not in place",
        but(MOMENTUM, (UPDATE, "velocity = momentum * velocity + grad")),
        ("parameters are right", "velocities did not change"),
    ),
    (
        "velocities written into the list",
        """
        for i, (parameter, grad) in enumerate(params):
            velocities[i] = momentum * velocities[i] + grad
            parameter -= lr * velocities[i]
        """,
        ("velocities did not change", "the list velocities"),
    ),
    (
        "nothing in place",
        "return [p - lr * (momentum * v + g) for (p, g), v in zip(params, velocities)]",
        ("Neither parameters nor velocities changed",),
    ),
    (
        "step along the gradient",
        but(MOMENTUM, (STEP, "parameter.sub_(lr * grad)")),
        ("velocity is not used",),
    ),
    (
        "step first",
        but(MOMENTUM, (UPDATE, "pass"), (STEP, f"{STEP}\n    {UPDATE}")),
        ("old velocity", "first"),
    ),
    (
        "Nesterov",
        but(MOMENTUM, ("lr * velocity", "lr * (grad + momentum * velocity)")),
        ("Nesterov",),
    ),
    ("momentum forgotten", but(MOMENTUM, (".mul_(momentum)", "")), ("forgot momentum",)),
    (
        "momentum times both",
        but(MOMENTUM, (UPDATE, "velocity.add_(grad).mul_(momentum)")),
        ("multiplies the gradient too",),
    ),
    (
        "momentum times the gradient",
        but(MOMENTUM, (UPDATE, "velocity.add_(momentum * grad)")),
        ("in place of the velocity",),
    ),
    (
        "a mean",
        but(MOMENTUM, ("add_(grad)", "add_((1 - momentum) * grad)")),
        ("1 - momentum", "Adam"),
    ),
    ("overwritten", but(MOMENTUM, (UPDATE, "velocity.copy_(grad)")), ("old velocity is gone",)),
    (
        "lr in the velocity",
        but(MOMENTUM, ("add_(grad)", "add_(lr * grad)"), ("lr * velocity", "velocity")),
        ("lr is inside the velocity", "PyTorch"),
    ),
    ("lr twice", but(MOMENTUM, ("add_(grad)", "add_(lr * grad)")), ("lr counts twice",)),
    ("lr forgotten", but(MOMENTUM, ("lr * velocity", "velocity")), ("forgot lr",)),
    (
        "minus in the velocity",
        but(MOMENTUM, ("add_(grad)", "sub_(grad)"), ("parameter.sub_", "parameter.add_")),
        ("way is right", "PyTorch"),
    ),
    (
        "the gradient takes it",
        but(MOMENTUM, (UPDATE, "grad.add_(momentum * velocity)"), ("lr * velocity", "lr * grad")),
        ("added to the gradient", "Write into the velocity"),
    ),
    ("return in the loop", MOMENTUM + "    return\n", ("Only the first parameter",)),
    (
        "the attribute of autograd",
        but(MOMENTUM, ("add_(grad)", "add_(parameter.grad)")),
        ("raised TypeError", "second of each pair"),
    ),
    (
        "no parentheses",
        but(MOMENTUM, ("(parameter, grad), velocity", "parameter, grad, velocity")),
        ("raised ValueError",),
    ),
    (
        "the whole list",
        but(MOMENTUM, (UPDATE, "velocities.mul_(momentum).add_(grad)")),
        ("raised AttributeError", "zip"),
    ),
]

ADAGRAD = """
for (parameter, grad), total in zip(params, sums):
    total.add_(grad**2)
    parameter.sub_(lr * grad / (total.sqrt() + eps))
"""
WRONG["adagrad_step"] = [
    ("uphill", but(ADAGRAD, (".sub_", ".add_")), ("uphill",)),
    ("no square", but(ADAGRAD, ("grad**2", "grad")), ("as it is", "square")),
    ("absolute value", but(ADAGRAD, ("grad**2", "grad.abs()")), ("absolute value",)),
    ("no root", but(ADAGRAD, ("total.sqrt()", "total")), ("root is missing",)),
    (
        "eps under the root",
        but(ADAGRAD, ("total.sqrt() + eps", "(total + eps).sqrt()")),
        ("under",),
    ),
    ("no eps", but(ADAGRAD, (" + eps", "")), ("eps is forgotten",)),
    (
        "parentheses",
        but(ADAGRAD, ("(total.sqrt() + eps)", "total.sqrt() + eps")),
        ("arentheses around sqrt(sum) + eps",),
    ),
    (
        "step first",
        """
        for (parameter, grad), total in zip(params, sums):
            parameter.sub_(lr * grad / (total.sqrt() + eps))
            total.add_(grad**2)
        """,
        ("old sum",),
    ),
    ("overwritten", but(ADAGRAD, (".add_(", ".copy_(")), ("replaced by the square",)),
    ("one sum for all", but(ADAGRAD, ("grad**2", "(grad**2).sum()")), ("sum of all squares",)),
    ("one mean for all", but(ADAGRAD, ("grad**2", "(grad**2).mean()")), ("mean of all squares",)),
    ("lr forgotten", but(ADAGRAD, ("lr * ", "")), ("forgot lr",)),
    ("no gradient", but(ADAGRAD, ("lr * grad", "lr")), ("gradient is missing on top",)),
    ("multiplied", but(ADAGRAD, ("grad / (", "grad * (")), ("multiplies by the root",)),
    (
        "sum not in place",
        but(ADAGRAD, ("total.add_(grad**2)", "total = total + grad**2")),
        ("parameters are right", "sums did not change"),
    ),
    (
        "parameter not in place",
        but(ADAGRAD, ("parameter.sub_(", "parameter = parameter - (")),
        ("sums are right", "parameters did not change"),
    ),
    (
        "gradient squared in place",
        but(ADAGRAD, ("grad**2", "grad.pow_(2)")),
        ("squared in place", "new tensor"),
    ),
    (
        "math.sqrt",
        but(ADAGRAD, ("total.sqrt()", "__import__('math').sqrt(total)")),
        ("raised", "`math` is for one number"),
    ),
]

ADAM = """
beta1, beta2 = betas
for (parameter, grad), mean, square in zip(params, means, squares):
    mean.mul_(beta1).add_((1 - beta1) * grad)
    square.mul_(beta2).add_((1 - beta2) * grad**2)
    root = (square / (1 - beta2**t)).sqrt() + eps
    parameter.sub_(lr * mean / (1 - beta1**t) / root)
"""
NO_1, NO_2 = (" / (1 - beta1**t)", ""), ("(square / (1 - beta2**t))", "square")
WRONG["adam_step"] = [
    ("uphill", but(ADAM, ("parameter.sub_", "parameter.add_")), ("uphill",)),
    ("no correction", but(ADAM, NO_1, NO_2), ("bias correction is missing",)),
    ("mean not corrected", but(ADAM, NO_1), ("mean is not corrected",)),
    ("square not corrected", but(ADAM, NO_2), ("mean square is not corrected",)),
    (
        "corrected in place",
        but(
            ADAM,
            ("    root =", "    mean /= 1 - beta1**t\n    square /= 1 - beta2**t\n    root ="),
            NO_1,
            NO_2,
        ),
        ("corrected means were kept",),
    ),
    (
        "betas swapped in the correction",
        but(ADAM, ("beta1**t", "beta0**t"), ("beta2**t", "beta1**t"), ("beta0**t", "beta2**t")),
        ("corrections are swapped",),
    ),
    ("betas swapped", but(ADAM, ("beta1, beta2 =", "beta2, beta1 =")), ("two betas are swapped",)),
    ("product", but(ADAM, ("beta1**t", "beta1 * t"), ("beta2**t", "beta2 * t")), ("power",)),
    ("t left out", but(ADAM, ("beta1**t", "beta1"), ("beta2**t", "beta2")), ("without t",)),
    (
        "t one too large",
        but(ADAM, ("beta1**t", "beta1**(t + 1)"), ("beta2**t", "beta2**(t + 1)")),
        ("one step too many",),
    ),
    (
        "t one too small",
        but(ADAM, ("beta1**t", "beta1**(t - 1)"), ("beta2**t", "beta2**(t - 1)")),
        ("one step too few",),
    ),
    (
        "sums",
        but(ADAM, ("(1 - beta1) * grad", "grad"), ("(1 - beta2) * grad**2", "grad**2")),
        ("1 - beta is missing",),
    ),
    ("no square", but(ADAM, ("grad**2", "grad")), ("its square belongs there",)),
    ("square of the mean", but(ADAM, ("grad**2", "mean**2")), ("taken of the mean",)),
    ("no root", but(ADAM, (".sqrt()", "")), ("root is missing",)),
    ("eps under the root", but(ADAM, (".sqrt() + eps", ".add(eps).sqrt()")), ("eps is under",)),
    ("no eps", but(ADAM, (" + eps", "")), ("eps is forgotten",)),
    (
        "correction outside the root",
        but(ADAM, ("(square / (1 - beta2**t)).sqrt()", "square.sqrt() / (1 - beta2**t)")),
        ("outside the root",),
    ),
    ("lr forgotten", but(ADAM, ("lr * mean", "mean")), ("forgot lr",)),
    (
        "gradient on top",
        but(ADAM, ("lr * mean / (1 - beta1**t)", "lr * grad")),
        ("gradient is on top",),
    ),
    (
        "means not in place",
        but(
            ADAM,
            ("mean.mul_(beta1).add_((1", "mean = beta1 * mean + ((1"),
            ("square.mul_(beta2).add_((1", "square = beta2 * square + ((1"),
        ),
        ("parameters are right", "means did not change"),
    ),
    ("hat", but(ADAM, ("beta1**t", "beta1 ^ t")), ("raised TypeError", "no power")),
]

WRONG["he_std"] = [
    ("variance", "return 2 / ((1 + negative_slope**2) * fan_in)", ("variance", "square root")),
    ("Xavier", "return math.sqrt(2 / (fan_in + fan_out))", ("Xavier's rule",)),
    ("fan_out", "return math.sqrt(2 / ((1 + negative_slope**2) * fan_out))", ("fan_out",)),
    ("slope ignored", "return math.sqrt(2 / fan_in)", ("slope is ignored",)),
    ("no activation", "return math.sqrt(1 / fan_in)", ("no activation",)),
    ("no 2", "return math.sqrt(1 / ((1 + negative_slope**2) * fan_in))", ("factor 2 is missing",)),
    (
        "no square",
        "return math.sqrt(2 / ((1 + negative_slope) * fan_in))",
        ("slope is not squared",),
    ),
    (
        "square around",
        "return math.sqrt(2 / ((1 + negative_slope) ** 2 * fan_in))",
        ("square is around",),
    ),
    ("minus", "return math.sqrt(2 / ((1 - negative_slope**2) * fan_in))", ("1 - a**2",)),
    ("times", "return math.sqrt(2 * (1 + negative_slope**2) / fan_in)", ("multiplies by",)),
    (
        "parentheses",
        "return math.sqrt(2 / (1 + negative_slope**2) * fan_in)",
        ("arentheses around all",),
    ),
    (
        "no window",
        "return math.sqrt(2 / ((1 + negative_slope**2) * shape[1]))",
        ("forgot the window",),
    ),
    (
        "uniform",
        "return math.sqrt(6 / ((1 + negative_slope**2) * fan_in))",
        ("uniform distribution",),
    ),
    ("power", "return (2 / ((1 + negative_slope**2) * fan_in)) ** 1 / 2", ("** 0.5",)),
    ("whole", "return math.sqrt(2 // ((1 + negative_slope**2) * fan_in))", ("`//`",)),
    (
        "a tensor",
        "return torch.tensor(2 / ((1 + negative_slope**2) * fan_in)).sqrt()",
        ("should be a float, got a tensor", ".item()"),
    ),
]
FANS = "fan_in, fan_out = shape[1] * shape[2] * shape[3], shape[0] * shape[2] * shape[3]\n"
WRONG["he_std"] = [(what, FANS + text, words) for what, text, words in WRONG["he_std"]]

every_exercise = pytest.mark.parametrize("name", sorted(WRONG))
IN_PLACE = sorted(WRONG.keys() - {"he_std"})


class TestLesson10(AnswerChecks):
    lesson, wrong = 10, WRONG


def test_both_dtypes_are_judged():
    for name in IN_PLACE:
        assert test_check.dtypes(name) == {torch.float64, torch.float32}


def test_digits_that_count(capsys):
    check.he_std(scaled("he_std", torch.float64, 1 + 1e-12))
    judge("he_std", scaled("he_std", torch.float64, 1 + 1e-7))


@pytest.mark.parametrize("name", IN_PLACE)
@pytest.mark.parametrize("which", ["parameter", "memory"])
def test_digits_of_what_changes_in_place_count(name: str, which: str, capsys):
    """A small error in one parameter, or in one memory, is seen; the table says where."""

    def off(factor: float):
        def step(params, memory, *rest):
            student(name)(params, memory, *rest)
            (params[-1][0] if which == "parameter" else memory[-1]).mul_(factor)

        return step

    getattr(check, name)(off(1 + 1e-12))
    assert not capsys.readouterr().out.startswith("case ")
    message = judge(name, off(1 + 1e-4))
    label = exercise_of(name).returns[0 if which == "parameter" else 1]
    table = capsys.readouterr().out
    wrong = [line for line in table.splitlines() if line.rstrip().endswith("wrong numbers")]
    assert wrong and all(re.search(rf"\b{label}\b( \d)? ", line) for line in wrong), table
    assert message.startswith(f"{name}: ")
    check_table(name, table)


@pytest.mark.parametrize("name", IN_PLACE)
def test_a_gradient_that_changes_is_named(name: str, capsys):
    def step(params, *rest):
        student(name)(params, *rest)
        for _, grad in params:
            grad.zero_()

    message = judge(name, step)
    assert "changed its input: the gradient in params" in message
    names = exercise_of(name).returns
    assert f"Write into the {' and the '.join(names)} alone." in message


@pytest.mark.parametrize("name", IN_PLACE)
def test_the_reference_takes_the_step_of_torch(name: str):
    """The cases of the first step, against torch.optim; later steps are raced in the lesson."""
    exercise = exercise_of(name)
    twins = {
        "momentum_step": lambda p, a: torch.optim.SGD(p, a["lr"], momentum=a["momentum"]),
        "adagrad_step": lambda p, a: torch.optim.Adagrad(p, a["lr"], eps=a["eps"]),
        "adam_step": lambda p, a: torch.optim.Adam(p, a["lr"], a["betas"], a["eps"]),
    }
    state = {"momentum_step": "momentum_buffer", "adagrad_step": "sum", "adam_step": "exp_avg"}
    for case in exercise.cases:
        arguments = case.arguments
        params = [p.clone() for p, _ in arguments["params"]]
        optimiser = twins[name](params, arguments)
        for number, (parameter, (_, grad)) in enumerate(
            zip(params, arguments["params"], strict=True)
        ):
            parameter.grad = grad.clone()
            kept = optimiser.state[parameter]
            kept[state[name]] = list(arguments.values())[1][number].clone()
            if name == "adam_step":
                kept["exp_avg_sq"] = arguments["squares"][number].clone()
            if name != "momentum_step":
                kept["step"] = torch.tensor(float(arguments.get("t", 1) - 1))
        optimiser.step()
        expected = exercise.reference(*arguments.values())
        for parameter, value in zip(params, expected, strict=False):
            torch.testing.assert_close(value, parameter)

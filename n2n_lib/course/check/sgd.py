"""Exercises on initial weights and stochastic gradient descent."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from n2n_lib.course.check.exercise import Case, Mistake, but, row_of_floats, values
from n2n_lib.course.check.registry import exercise
from n2n_lib.framework.activations import LeakyReLU
from n2n_lib.framework.containers import Sequential
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.losses import MSELoss
from n2n_lib.framework.module import Module
from n2n_lib.framework.optim import SGD

# -------------------------------------------------------------------------------------- xavier_std


def _xavier_case(name: str, *shape: int) -> Case:
    return Case(name, {"shape": shape})


@exercise(
    topic="sgd",
    title="Standard deviation of Xavier's initial weights",
    hints=(
        "How many values does one output see, and how many outputs does one input reach? The "
        "variance is made from these two numbers.",
        "fan_in = in_channels * kH * kW, fan_out = out_channels * kH * kW, and the variance is "
        "2 / (fan_in + fan_out). The standard deviation is its root.",
        "`out_channels, in_channels, height, width = shape`, and a root is `** 0.5`.",
    ),
    returns=("std",),
    cases=(
        _xavier_case("one pixel window", 3, 5, 1, 1),
        _xavier_case("the report's first layer", 32, 3, 2, 2),
        _xavier_case("window not square", 4, 6, 2, 3),
        _xavier_case("more in than out", 3, 32, 3, 3),
    ),
)
def xavier_std(shape: tuple[int, int, int, int]) -> float:
    """Check ``xavier_std(shape) -> float``.

    Parameters
    ----------
    function : callable
        The student's, which takes the shape ``(out, in, kH, kW)`` of a convolution's weight, a
        tuple, and returns the standard deviation of its initial values, a float.
    """
    out_channels, in_channels, height, width = shape
    fan_in = in_channels * height * width
    fan_out = out_channels * height * width
    return (2 / (fan_in + fan_out)) ** 0.5


FANS = "fan_in, fan_out = shape[1] * shape[2] * shape[3], shape[0] * shape[2] * shape[3]\n"
"""How wrong answers begin."""

xavier_std.mistakes = (
    Mistake(
        "This is the variance: the standard deviation is its square root.",
        FANS + "return 2 / (fan_in + fan_out)",
        likely="variance",
    ),
    Mistake(
        "It uses fan_in only, sqrt(1 / fan_in): Xavier takes both, 2 / (fan_in + fan_out).",
        FANS + "return math.sqrt(1 / fan_in)",
        likely="fan_in only",
    ),
    Mistake(
        "It uses fan_in only, sqrt(2 / fan_in), which is He's rule: Xavier takes both, 2 / "
        "(fan_in + fan_out).",
        FANS + "return math.sqrt(2 / fan_in)",
        likely="He",
    ),
    Mistake(
        "It uses fan_out only, sqrt(1 / fan_out): Xavier takes both, 2 / (fan_in + fan_out).",
        FANS + "return math.sqrt(1 / fan_out)",
        likely="fan_out only",
    ),
    Mistake(
        "It uses fan_out only, sqrt(2 / fan_out): Xavier takes both, 2 / (fan_in + fan_out).",
        FANS + "return math.sqrt(2 / fan_out)",
    ),
    Mistake(
        "It forgot the window: each input channel feeds an output with kH * kW pixels, so fan_in "
        "and fan_out are both multiplied by kH * kW.",
        "return math.sqrt(2 / (shape[0] + shape[1]))",
        likely="no window",
    ),
    Mistake(
        "The window counts for the inputs alone: fan_out is multiplied by kH * kW too.",
        FANS + "return math.sqrt(2 / (fan_in + shape[0]))",
    ),
    Mistake(
        "The window counts for the outputs alone: fan_in is multiplied by kH * kW too.",
        FANS + "return math.sqrt(2 / (shape[1] + fan_out))",
    ),
    Mistake(
        "Only the height of the window counts: multiply by kH * kW.",
        "return math.sqrt(2 / (shape[2] * (shape[0] + shape[1])))",
    ),
    Mistake(
        "Only the width of the window counts: multiply by kH * kW.",
        "return math.sqrt(2 / (shape[3] * (shape[0] + shape[1])))",
    ),
    Mistake(
        "This is the bound of Xavier's uniform distribution, sqrt(6 / (fan_in + fan_out)): for "
        "the standard deviation the number on top is 2.",
        FANS + "return math.sqrt(6 / (fan_in + fan_out))",
    ),
    Mistake(
        "The factor 2 is missing: the variance is one over the mean of fan_in and fan_out, which "
        "is 2 / (fan_in + fan_out).",
        FANS + "return math.sqrt(1 / (fan_in + fan_out))",
    ),
    Mistake(
        "`** 1 / 2` takes the power 1 and then divides by 2: write `** 0.5` or math.sqrt.",
        FANS + "return (2 / (fan_in + fan_out)) ** 1 / 2",
    ),
    Mistake(
        "Put parentheses around (fan_in + fan_out): 2 is divided by the sum, not by fan_in alone.",
        FANS + "return math.sqrt(2 / fan_in + fan_out)",
    ),
    Mistake(
        "The fans are multiplied: it is their sum, fan_in + fan_out, and not their product.",
        FANS + "return math.sqrt(2 / (fan_in * fan_out))",
    ),
    Mistake(
        "`//` rounds the fraction down to zero: divide with `/`.",
        FANS + "return math.sqrt(2 // (fan_in + fan_out))",
    ),
    Mistake(
        "The root is upside down: the more connections, the smaller the weights, so the fans "
        "stand below the line.",
        FANS + "return math.sqrt((fan_in + fan_out) / 2)",
    ),
    Mistake(
        "It is 2 / sqrt(fan_in + fan_out), too large by the root of 2. Under the root stands one "
        "over the mean of both fans, which is 2 / (fan_in + fan_out).",
        FANS + "return 2 / math.sqrt(fan_in + fan_out)",
        FANS + "return math.sqrt(2 / ((fan_in + fan_out) / 2))",
    ),
)


# ---------------------------------------------------------------------------------------- sgd_step


Pairs = list[tuple[Tensor, Tensor]]


def _sgd_case(name: str, lr: float, *shapes: tuple[int, ...], dtype=torch.float64) -> Case:
    params = [
        (values(shape, 40 + 2 * index, dtype), values(shape, 41 + 2 * index, dtype))
        for index, shape in enumerate(shapes)
    ]
    return Case(name, {"params": params, "lr": lr})


@exercise(
    topic="sgd",
    title="One step of gradient descent",
    hints=(
        "The network holds the tensors. Does your step write into these, or does it make others?",
        "Each parameter loses lr times its gradient, in place: the value in the tensor changes,"
        " and the tensor stays the same one. The gradient stays as it is.",
        "`for parameter, grad in params:` and in it a method with `_` at its end, as "
        "`parameter.sub_(...)`.",
    ),
    returns=("parameter",),
    in_place=lambda params, lr: tuple(parameter for parameter, _ in params),
    may_change="parameter",
    cases=(
        _sgd_case("one number", 0.5, (1,)),
        _sgd_case("weight and bias", 0.1, (4, 3, 2, 2), (4,)),
        _sgd_case("three parameters", 2.0, (2, 3), (3,), (5, 1)),
        _sgd_case("a parameter without dimensions", 0.3, (), (2,)),
        _sgd_case("float32", 0.25, (2, 2), (2,), dtype=torch.float32),
    ),
    errors=(
        (
            "NoneType",
            "Autograd is off, so parameter.grad is None. The gradient is the second of each pair.",
        ),
        (
            "has no attribute 'grad'",
            "The gradient is the second of each pair: `for parameter, grad in params`.",
        ),
        *(
            (part, "params is a list of pairs: `for parameter, grad in params` takes each apart.")
            for part in ("'tuple'", "values to unpack", "no attribute 'items'")
        ),
        (
            "0-dim tensor",
            "A parameter may have no dimension, and then `[:]` has nothing to slice: write "
            "`[...] =`, or use copy_.",
        ),
    ),
)
def sgd_step(params: Pairs, lr: float) -> None:
    """Check ``sgd_step(params, lr) -> None``.

    Parameters
    ----------
    function : callable
        The student's, which takes a list of pairs ``(parameter, gradient)`` of equal shape and the
        learning rate, and moves every parameter in place. Gradients stay as they are.
    """
    for parameter, grad in params:
        parameter.sub_(lr * grad)


sgd_step.mistakes = (
    Mistake(
        "The two of a pair are swapped: each is (parameter, gradient), and your step changed the "
        "gradient.",
        but(("for parameter, grad", "for grad, parameter")),
    ),
    Mistake(
        "The parameters are right, but the gradients are zero now. Leave them: zero_grad is a "
        "step of its own.",
        but(("(lr * grad)", "(lr * grad)\n    grad.zero_()")),
    ),
    Mistake(
        "The gradients are set to zero before the step, so nothing is left to step along.",
        but(("lr * grad", "lr * grad.zero_()")),
    ),
    Mistake(
        "The parameters are right, but your function changed the gradient: it is multiplied by "
        "lr. Compute lr * gradient as a new tensor.",
        but(("lr * grad", "grad.mul_(lr)")),
    ),
    Mistake(
        "The gradient is averaged over each parameter: every value has a slope of its own, so do "
        "not take the mean of the gradient.",
        but(("grad)", "grad.mean())")),
    ),
    Mistake(
        "It goes uphill: the step is taken along the gradient (plus sign), and should go against "
        "it.",
        but(("sub_", "add_")),
        likely="plus",
    ),
    Mistake(
        "The parameters did not change. `parameter = parameter - ...` makes a new tensor and "
        "leaves the one of the network alone; write in place, with `-=` or sub_.",
        but(("parameter.sub_(lr * grad)", "parameter = parameter - lr * grad")),
        likely="not in place",
    ),
    Mistake(
        "It forgot lr: the step is lr * gradient.",
        but(("lr * ", "")),
        likely="lr forgotten",
    ),
    Mistake(
        "It goes uphill and forgot lr: the step is lr * gradient, taken away from the parameter.",
        but(("sub_(lr * ", "add_(")),
        likely="uphill without lr",
    ),
    Mistake(
        "The learning rate is divided by the first size of each parameter: the gradient is that "
        "of a mean already, so use lr as it is.",
        but(("grad)", "grad / len(parameter))")),
    ),
    Mistake(
        "The learning rate is divided by the number of values in each parameter: use lr as it is.",
        but(("lr * grad", "lr / parameter.numel() * grad")),
    ),
    Mistake(
        "The learning rate is divided by the number of parameters: use lr as it is.",
        but(("lr * grad", "lr / len(params) * grad")),
    ),
    Mistake(
        "Only the first parameter is updated: go through all pairs (is `return` inside the loop?).",
        but(("(lr * grad)", "(lr * grad)\n    return")),
        likely="return inside the loop",
    ),
    Mistake(
        "Only the last parameter is updated: is the step inside the loop?",
        but(("    parameter.sub_", "    pass\nparameter.sub_")),
    ),
    Mistake(
        "The parameters are replaced by the step: subtract it from what they were.",
        but(("sub_(lr", "copy_(-lr")),
    ),
    Mistake(
        "The parameters are replaced by lr * gradient: subtract it from what they were.",
        but(("sub_", "copy_")),
    ),
    Mistake(
        "Only the sign of the gradient is used: the step is lr * gradient.",
        but(("grad)", "grad.sign())")),
    ),
    Mistake(
        "lr counts twice: the step is lr * gradient.",
        but(("lr * ", "lr * lr * ")),
    ),
    Mistake(
        "It divides by lr: the step is lr * gradient.",
        but(("lr * grad", "grad / lr")),
    ),
    Mistake(
        "The parameter is multiplied in: the step is parameter - lr * gradient, not parameter * "
        "(1 - lr * gradient).",
        but(("sub_(lr * grad)", "mul_(1 - lr * grad)")),
    ),
    Mistake(
        "lr is multiplied with the parameter too: only the gradient is scaled, parameter - lr * "
        "gradient.",
        but(("sub_(lr * grad)", "sub_(grad).mul_(lr)")),
    ),
    Mistake(
        "The parameter is subtracted from the step, so its sign is turned.",
        but(("sub_(lr * grad)", "copy_(lr * grad - parameter)")),
    ),
)


# ------------------------------------------------------------------------------------ largest_rate


@exercise(
    topic="sgd",
    title="The learning rate from which on a parabola diverges",
    hints=(
        "By what factor does one step multiply the distance from the best weight? It may be "
        "negative.",
        "The factor is 1 - lr * a. The distance shrinks while its absolute value is below 1; "
        "with lr growing it reaches -1 at last.",
        "Solve `1 - lr * curvature == -1` for `lr`.",
    ),
    returns=("rate",),
    cases=(
        Case("curvature 5", {"curvature": 5.0}),
        Case("a flat parabola", {"curvature": 0.125}),
        Case("a steep one", {"curvature": 3000.0}),
    ),
)
def largest_rate(curvature: float) -> float:
    """Check ``largest_rate(curvature) -> rate``.

    Parameters
    ----------
    function : callable
        The student's, which takes the curvature ``a`` of ``L(w) = a/2 (w - best)^2`` and returns
        the learning rate below which steps of gradient descent converge.
    """
    return 2 / curvature


largest_rate.mistakes = (
    Mistake(
        "At 1 / a the step lands in the minimum at once. It may be longer than that, to the other "
        "side, and still come closer.",
        "return 1 / curvature",
        likely="1 / a",
    ),
    Mistake(
        "It is upside down: the steeper the parabola, the shorter the steps have to be.",
        "return curvature / 2",
        likely="upside down",
    ),
    Mistake(
        "A steep parabola would allow long steps: it is the other way round. Divide by the "
        "curvature.",
        "return 2 * curvature",
        likely="2 a",
    ),
    Mistake(
        "At half of 1 / a the distance is halved in each step, on the same side: the rate may be "
        "larger.",
        "return 1 / (2 * curvature)",
        "return 0.5 / curvature",
    ),
    Mistake(
        "At 4 / a the factor is -3: each step triples the distance.",
        "return 4 / curvature",
    ),
    Mistake("The curvature is squared: 1 - lr * a has it once.", "return 2 / curvature**2"),
    Mistake("There is no root in 1 - lr * a.", "return 2 / curvature**0.5"),
    Mistake(
        "The rate is negative: such steps go uphill.",
        "return -2 / curvature",
        likely="negative",
    ),
    Mistake("`//` rounds down: divide with `/`.", "return 2 // curvature"),
    Mistake(
        "It is the factor of a step with lr = 1, and no rate: for which lr is the factor -1?",
        "return 1 - curvature",
        likely="a factor",
    ),
)


# -------------------------------------------------------------------------- path_without_zero_grad


def use_path(
    answer: Callable, curvature: float, best: float, w: float, lr: float, steps: int
) -> Tensor:
    """Return a list of numbers as a tensor."""
    path = [float(place) for place in answer(curvature, best, w, lr, steps)]
    return torch.tensor(path, dtype=torch.float64)


def _path_case(name: str, curvature: float, best: float, w: float, lr: float, steps: int) -> Case:
    arguments = {"curvature": curvature, "best": best, "w": w, "lr": lr, "steps": steps}
    return Case(name, arguments)


@exercise(
    topic="sgd",
    title="What a loop without zero_grad does",
    hints=(
        "What is in the gradient in the second step, if nobody has cleared it after the first?",
        "Keep the sum of all gradients, 0 at first. In each step add curvature * (w - best) of "
        "the present w to it, then take lr times the sum away from w. The path begins with the "
        "first w.",
        "In the loop: `total += curvature * (w - best)`, then `w -= lr * total`, and "
        "`path.append(w)`; before it `path, total = [w], 0.0`.",
    ),
    returns=("path",),
    use=use_path,
    cases=(
        _path_case("one step", 5.0, 2.0, 0.0, 0.125, 1),
        _path_case("three steps", 5.0, 2.0, 0.0, 0.125, 3),
        _path_case("from the right", 0.5, -1.0, 3.0, 0.25, 6),
        _path_case("no step", 1.0, 2.0, 0.5, 0.5, 0),
    ),
    errors=(
        ("'float' object is not iterable", "Return the whole path, a list of steps + 1 numbers."),
        ("'NoneType' object is not iterable", "Does it end in a `return` of the path?"),
    ),
)
def path_without_zero_grad(
    curvature: float, best: float, w: float, lr: float, steps: int
) -> list[float]:
    """Check ``path_without_zero_grad(curvature, best, w, lr, steps) -> path``.

    Parameters
    ----------
    function : callable
        The student's, which returns where the weight has been, ``steps + 1`` numbers from ``w``
        on, when every step takes the sum of all gradients of ``curvature/2 (w - best)^2`` so far.
    """
    path, total = [w], 0.0
    for _ in range(steps):
        total += curvature * (w - best)
        w -= lr * total
        path.append(w)
    return path


path_without_zero_grad.mistakes = (
    Mistake(
        "This is gradient descent as it should be, with zero_grad: without it the gradients of all "
        "earlier steps are in the sum.",
        but(("total += ", "total = ")),
        likely="with zero_grad",
    ),
    Mistake("It goes uphill: subtract lr times the sum.", but(("w -= ", "w += ")), likely="uphill"),
    Mistake(
        "The start is missing: the path begins with w, before the first step.",
        but(("[w]", "[]")),
        likely="no start",
    ),
    Mistake(
        "The gradient of the first place is used in every step: compute it where w is now.",
        but(
            ("path, total = [w], 0.0", "path, total, first = [w], 0.0, w"),
            ("(w - best)", "(first - best)"),
        ),
    ),
    Mistake(
        "The sum is one gradient late: add the new gradient first, then step.",
        but(
            ("    total += curvature * (w - best)\n", "    new = curvature * (w - best)\n"),
            ("    path.append(w)", "    total += new\n    path.append(w)"),
        ),
        likely="one late",
    ),
    Mistake(
        "lr counts twice, in the sum and in the step.",
        but(("total += curvature", "total += lr * curvature")),
    ),
    Mistake(
        "The curvature is missing in the gradient: it is curvature * (w - best).",
        but(("curvature * (w - best)", "(w - best)")),
    ),
    Mistake(
        "The best weight is missing in the gradient: it is curvature * (w - best).",
        but(("(w - best)", "w")),
    ),
    Mistake(
        "One step is missing, or one too many: with the start the path has steps + 1 numbers.",
        but(("range(steps)", "range(steps - 1)")),
        but(("range(steps)", "range(steps + 1)")),
    ),
    Mistake(
        "The gradient has a factor 2: L = a/2 (w - best)^2 has the gradient a (w - best).",
        but(("total += ", "total += 2 * ")),
        likely="factor 2",
    ),
    Mistake(
        "The sum is halved: that is the mean of the gradients, or momentum. Nothing is taken away "
        "from it without zero_grad.",
        but(("total += curvature", "total = total / 2 + curvature")),
    ),
)


# ------------------------------------------------------------------------------------------- train


def use_train(
    answer: Callable,
    network: Module,
    inputs: Tensor,
    targets: Tensor,
    order: list[list[int]],
    batch: int,
) -> tuple[Tensor, Tensor]:
    """Train a network, and return its parameters in a row and the losses."""
    rows = torch.tensor(order)
    criterion, optimiser = MSELoss(network), SGD(network, lr=0.5)
    losses = answer(network, criterion, optimiser, inputs, targets, batch, len(order), rows)
    parameters = torch.cat([parameter.flatten() for parameter, _ in network.param()])
    return parameters, row_of_floats(losses, inputs)


def _train_case(
    name: str, pairs: int, batch: int, epochs: int, dtype: torch.dtype = torch.float64
) -> Case:
    source = torch.Generator().manual_seed(43)
    network = Sequential(
        Conv2d(2, 3, 2, generator=source), LeakyReLU(0.2), Conv2d(3, 1, 1, generator=source)
    ).to(dtype)
    arguments = {
        "network": network,
        "inputs": values((pairs, 2, 3, 3), 44, dtype),
        "targets": values((pairs, 1, 2, 2), 45, dtype),
        "order": [torch.randperm(pairs, generator=source).tolist() for _ in range(epochs)],
        "batch": batch,
    }
    return Case(name, arguments)


@exercise(
    topic="sgd",
    title="The training loop",
    hints=(
        "Backward adds to gradients, and a step uses them. What must happen in each step before"
        " backward, and what after it?",
        "A loop over the epochs, and in it one over the batches of rows in order[epoch]. In "
        "each: the loss of these rows, clear the gradients, backward, step, and keep the loss "
        "as a float.",
        "`order[epoch].split(batch)` gives the rows of one step after the other, and the loss of "
        "such `rows` is `criterion(network(inputs[rows]), ...)`, a tensor, whose number is "
        "`.item()`.",
    ),
    returns=("trained parameters", "losses"),
    use=use_train,
    cases=(
        _train_case("one step", 2, 2, 1),
        _train_case("one epoch, three batches", 6, 2, 1),
        _train_case("three epochs, with a rest", 5, 2, 3),
        _train_case("float32", 4, 2, 2, torch.float32),
    ),
    errors=(
        ("'NoneType' object is not iterable", "Return the list of losses at the end."),
        ("'float' object is not iterable", "Return the losses of all steps, a list."),
        ("iteration over a 0-d tensor", "Return the losses of all steps, a list."),
        ("expected a list of floats", "`loss.item()` makes a number of a tensor."),
        (
            "does not require grad",
            "Autograd is off, so the loss knows nothing of the network: criterion.backward() does.",
        ),
        (
            "expected a gradient of shape",
            "criterion.backward() runs the network backwards by itself, and that of the last "
            "forward: run network(inputs[rows]) on the rows alone, and no other backward.",
        ),
        (
            "positional argument",
            "criterion takes the network's output and the target, network takes the inputs, and "
            "zero_grad, backward and step take nothing.",
        ),
    ),
)
def train(
    network: Module,
    criterion: Module,
    optimiser: SGD,
    inputs: Tensor,
    targets: Tensor,
    batch: int,
    epochs: int,
    order: Tensor,
) -> list[float]:
    """Check ``train(network, criterion, optimiser, inputs, targets, batch, epochs, order)``.

    Parameters
    ----------
    function : callable
        The student's, which takes a step for each batch of each epoch, with the rows in
        ``order[epoch]``, and returns the list of the losses before each step.
    """
    losses = []
    for epoch in range(epochs):
        for rows in order[epoch].split(batch):
            loss = criterion(network(inputs[rows]), targets[rows])
            losses.append(loss.item())
            optimiser.zero_grad()
            criterion.backward()
            optimiser.step()
    return losses


train.mistakes = (
    Mistake(
        "zero_grad is missing: from the second step on the old gradients are still in the sum.",
        but(("        optimiser.zero_grad()\n", "")),
        likely="no zero_grad",
    ),
    Mistake(
        "zero_grad is called once an epoch: inside an epoch the old gradients are still in the "
        "sum. It belongs in the loop over the batches.",
        but(
            ("        optimiser.zero_grad()\n", ""),
            ("    for rows in", "    optimiser.zero_grad()\n    for rows in"),
        ),
        likely="zero_grad once an epoch",
    ),
    Mistake(
        "Nothing was trained: each step needs backward and then step, with no zero_grad between.",
        but(
            ("        optimiser.zero_grad()\n", ""),
            ("criterion.backward()\n", "criterion.backward()\n        optimiser.zero_grad()\n"),
        ),
        but(("        criterion.backward()\n", "")),
        but(("    optimiser.step()", "    pass")),
        likely="cleared before the step",
    ),
    Mistake(
        "There is one step an epoch, after the last batch: it belongs in the loop over the "
        "batches. Look at its indentation.",
        but(("        optimiser.step()", "    optimiser.step()")),
    ),
    Mistake(
        "The step comes before backward, so it uses the gradients of the batch before.",
        """
        losses = []
        for epoch in range(epochs):
            for rows in order[epoch].split(batch):
                losses.append(criterion(network(inputs[rows]), targets[rows]).item())
                optimiser.step()
                optimiser.zero_grad()
                criterion.backward()
        return losses
        """,
        likely="step before backward",
    ),
    Mistake(
        "The order is ignored: epoch after epoch the batches come as they lie in memory. Take the "
        "rows in order[epoch].",
        but(("order[epoch].split", "torch.arange(len(inputs)).split")),
        likely="order ignored",
    ),
    Mistake(
        "The targets do not belong to the inputs: both are taken with the same rows.",
        but(("targets[rows]", "targets[: len(rows)]")),
        likely="targets not shuffled",
    ),
    Mistake(
        "Every epoch has the order of the first: take order[epoch].",
        but(("order[epoch]", "order[0]")),
    ),
    Mistake(
        "Only the first epoch is trained: is `return` inside the loop?",
        but(("return losses", "    return losses")),
        but(("range(epochs)", "range(1)")),
        likely="one epoch",
    ),
    Mistake(
        "The last batch of an epoch is left out where it is smaller than the others: train on all "
        "pairs.",
        but(
            (
                "order[epoch].split(batch)",
                "order[epoch][: len(inputs) // batch * batch].split(batch)",
            )
        ),
    ),
    Mistake(
        "There is one step an epoch, on all pairs at once: split the order into batches.",
        but((".split(batch)", ".split(len(inputs))")),
        likely="no batches",
    ),
    Mistake(
        "The network is right, but only the last loss is returned: collect those of all steps.",
        but(("return losses", "return losses[-1:]")),
    ),
    Mistake(
        "The network is right, but the losses are those after each step: keep the one that "
        "criterion returned before it.",
        but(
            ("losses.append(loss.item())", "pass"),
            (
                "optimiser.step()",
                "optimiser.step()\n        "
                "losses.append(criterion(network(inputs[rows]), targets[rows]).item())",
            ),
        ),
    ),
)


# ------------------------------------------------------------------------------------- choose_rate


def _sweep_case(name: str, rates: list[float], losses: list[float]) -> Case:
    return Case(name, {"rates": rates, "losses": losses})


@exercise(
    topic="sgd",
    title="A learning rate out of a sweep",
    hints=(
        "Which losses are good enough to belong to the floor? And where is the middle between "
        "0.1 and 10 on a logarithmic axis?",
        "The floor is all rates whose loss is at most 1.2 times the lowest that is not nan. The"
        " middle of its first and its last rate in logarithms is the root of their product.",
        "`floor = [rate for rate, loss in zip(rates, losses) if loss <= 1.2 * lowest]`, and the"
        " middle of a and b is `(a * b) ** 0.5`; `math.isnan` finds the nan.",
    ),
    returns=("rate",),
    cases=(
        _sweep_case("one rate on the floor", [0.1, 1.0, 10.0], [3.0, 1.0, 2.0]),
        _sweep_case(
            "four on the floor",
            [0.5, 1.0, 2.5, 4.0, 8.0, 32.0],
            [1.35, 1.15, 1.03, 1.0, 1.15, 1.9],
        ),
        _sweep_case(
            "one without a loss, two that diverged",
            [0.001, 0.01, 0.1, 1.0, 4.0],
            [math.nan, 0.5, 0.42, math.nan, math.inf],
        ),
        _sweep_case("the lowest at the edge", [1.0, 3.0, 9.0, 27.0], [2.0, 1.19, 1.0, 7.0]),
        _sweep_case(
            "small losses, three on the floor",
            [0.1, 0.3, 1.0, 2.0, 4.0],
            [0.057, 0.023, 0.0265, 0.027, 0.045],
        ),
    ),
    errors=tuple(
        (
            part,
            "No rate is on the floor. Of a list that begins with nan the lowest is nan to `min`, "
            "and no loss is at most nan: leave every nan out first; `math.isnan` finds it.",
        )
        for part in ("IndexError", "empty")
    ),
)
def choose_rate(rates: list[float], losses: list[float]) -> float:
    """Check ``choose_rate(rates, losses) -> rate``.

    Parameters
    ----------
    function : callable
        The student's, which takes rates in ascending order and the loss that each ended with, nan
        where there is none, and returns the middle, on a logarithmic axis, between the smallest and
        the largest rate whose loss is at most 1.2 times the lowest.
    """
    lowest = min(loss for loss in losses if not math.isnan(loss))
    floor = [rate for rate, loss in zip(rates, losses, strict=True) if loss <= 1.2 * lowest]
    return (floor[0] * floor[-1]) ** 0.5


choose_rate.mistakes = (
    Mistake(
        "It is the rate of the lowest loss, which may stand at the edge of the floor: take the "
        "middle of the floor.",
        "return rates[losses.index(min(loss for loss in losses if not math.isnan(loss)))]",
        likely="lowest loss",
    ),
    Mistake(
        "It is the middle of the floor on a linear axis: on a logarithmic one the middle of a and "
        "b is the root of a * b.",
        but(("(floor[0] * floor[-1]) ** 0.5", "(floor[0] + floor[-1]) / 2")),
        likely="linear middle",
    ),
    Mistake(
        "It is the largest rate of the floor: next to it begins the right wall of the valley.",
        but(("(floor[0] * floor[-1]) ** 0.5", "floor[-1]")),
        likely="largest of the floor",
    ),
    Mistake(
        "It is the smallest rate of the floor: take the middle.",
        but(("(floor[0] * floor[-1]) ** 0.5", "floor[0]")),
        likely="smallest of the floor",
    ),
    Mistake(
        "It takes the middle of all rates, good or bad: keep those of the floor.",
        "return (rates[0] * rates[-1]) ** 0.5",
        likely="all rates",
    ),
    Mistake(
        "The floor is too narrow: a loss up to 1.2 times the lowest belongs to it.",
        but(("1.2 * lowest", "1.05 * lowest")),
        but(("1.2 * lowest", "1.1 * lowest")),
    ),
    Mistake(
        "The floor is too wide: only a loss up to 1.2 times the lowest belongs to it.",
        but(("1.2 * lowest", "2 * lowest")),
        but(("1.2 * lowest", "1.5 * lowest")),
    ),
    Mistake(
        "0.2 is added to the lowest loss: the floor goes up to 1.2 times the lowest.",
        but(("1.2 * lowest", "lowest + 0.2")),
    ),
    Mistake(
        "It is the middle one of the rates on the floor, which leans to where more were tried: "
        "take the middle of the two ends.",
        but(("(floor[0] * floor[-1]) ** 0.5", "floor[len(floor) // 2]")),
        but(
            (
                "(floor[0] * floor[-1]) ** 0.5",
                "(floor[(len(floor) - 1) // 2] + floor[len(floor) // 2]) / 2",
            )
        ),
    ),
    Mistake(
        "`** 1 / 2` takes the power 1 and then divides by 2: write `** 0.5` or math.sqrt.",
        but(("** 0.5", "** 1 / 2")),
    ),
    Mistake(
        "The root is taken of the last rate alone: put parentheses around the product.",
        but(("(floor[0] * floor[-1])", "floor[0] * floor[-1]")),
    ),
    Mistake(
        "The root is missing: the product of two rates is no rate.",
        but(("(floor[0] * floor[-1]) ** 0.5", "floor[0] * floor[-1]")),
    ),
    Mistake(
        "It returns the lowest loss: return a rate.",
        but(("return (floor[0] * floor[-1]) ** 0.5", "return lowest")),
    ),
    Mistake(
        "It takes the geometric mean of all rates of the floor, which leans to where more rates "
        "were tried: take that of its two ends.",
        but(("(floor[0] * floor[-1]) ** 0.5", "math.prod(floor) ** (1 / len(floor))")),
    ),
)

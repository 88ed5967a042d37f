"""Optimisers linked to a network; how their learning rate changes is in ``schedules``.

An optimiser holds what its rule remembers of earlier steps: nothing for plain SGD, a running mean
of the gradients for momentum, sums or means of their squares for AdaGrad and Adam. `state_dict`
gives it away and `load_state_dict` takes it back, so that training can stop and go on.

Source: section 2.6 of the report. Every rule is that of ``torch.optim``, with its argument names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from n2n_lib.framework import kernels
from n2n_lib.framework.module import Module, check_network
from n2n_lib.framework.schedules import constant, cosine  # noqa: F401 (older editions look here)
from n2n_lib.support.arguments import check_number


class Optimiser:
    """What all optimisers share: the link to the network, its gradients, and what is remembered.

    Parameters
    ----------
    model : Module
        The network whose parameters are trained.
    lr : float
        Learning rate; may be changed between steps (``optimiser.lr = ...``).

    Attributes
    ----------
    steps : int
        Number of steps taken, for the rules that count them; plain SGD leaves it at 0.

    Raises
    ------
    TypeError, ValueError
        If `model` is no network (`param()` is a list of tensors), or `lr` is not a finite positive
        number that fits into float32.
    """

    _settings: tuple[str, ...] = ("lr",)
    """Names of the constructor's arguments after `model`, which are attributes too."""

    memories: tuple[str, ...] = ()
    """Names under which the rule remembers tensors, once it has counted a step."""

    def __init__(self, model: Module, lr: float) -> None:
        check_network(model, type(self).__name__, "param")
        self.model, self.lr = model, check_number("learning rate", lr, above=0)
        if lr > torch.finfo(torch.float32).max:
            raise ValueError(f"expected a learning rate within torch.float32, got {lr}")
        self.steps = 0
        self._memory: dict[str, list[Tensor]] = {}

    def zero_grad(self) -> None:
        """Set the gradients of the network to zero."""
        self.model.zero_grad()

    def step(self) -> None:
        """Change every parameter by the rule of the optimiser."""
        raise NotImplementedError(f"{type(self).__name__} does not define step")

    def _remembered(self, name: str, start: float = 0.0) -> list[Tensor]:
        """Return one tensor for each parameter, which `step` updates; at first full of `start`."""
        parameters = [parameter for parameter, _ in self.model.param()]
        if name not in self._memory:
            self._memory[name] = [torch.full_like(parameter, start) for parameter in parameters]
        elif parameters:  # the network may have moved to another device or dtype
            self._memory[name] = [kept.to(parameters[0]) for kept in self._memory[name]]
        return self._memory[name]

    def state_dict(self) -> dict:
        """Return a copy of the settings and of all that the rule remembers.

        Returns
        -------
        dict
            Strings, numbers and tensors, fit for ``torch.save`` and to be read with
            ``weights_only=True``.
        """
        memory = {
            name: [kept.clone() for kept in tensors] for name, tensors in self._memory.items()
        }
        settings = {name: getattr(self, name) for name in self._settings}
        name = type(self).__name__
        return {"optimiser": name, "settings": settings, "steps": self.steps, "memory": memory}

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        """Go on where the optimiser of a `state_dict` stood, bit for bit.

        Parameters
        ----------
        state : dict
            From `state_dict` of an optimiser of this class, linked to such a network as ours. Its
            settings, the learning rate among them, replace our own.

        Raises
        ------
        ValueError
            If it is that of another optimiser. Nothing else is validated: who reads a state from
            a file does that first.
        """
        if state["optimiser"] != type(self).__name__:
            raise ValueError(
                f"expected the state of {type(self).__name__}, got that of {state['optimiser']}"
            )
        parameters = [parameter for parameter, _ in self.model.param()]
        self._memory = {
            name: [torch.empty_like(p).copy_(m) for p, m in zip(parameters, kept, strict=True)]
            for name, kept in state["memory"].items()
        }
        vars(self).update(state["settings"])
        self.steps = state["steps"]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(lr={self.lr}{self._extra_repr()})"

    def _extra_repr(self) -> str:
        names = self._settings[1:]
        return "".join(f", {name}={getattr(self, name)}" for name in names)


class SGD(Optimiser):
    r"""Stochastic gradient descent: :math:`\theta \leftarrow \theta - \text{lr}\, g`.

    With momentum :math:`\mu` the step follows a decaying sum of the gradients, as a heavy ball
    does, instead of the last one:

    .. math::

        v \leftarrow \mu v + g, \qquad
        \theta \leftarrow \theta - \text{lr}\, v \quad\text{or, after Nesterov,}\quad
        \theta \leftarrow \theta - \text{lr}\, (g + \mu v)

    Parameters
    ----------
    model : Module
        The network whose parameters are trained.
    lr : float
        Learning rate; may be changed between steps (``optimiser.lr = ...``).
    momentum : float
        The share :math:`\mu` of the velocity that stays from one step to the next.
    dampening : float
        The gradient enters the velocity times ``1 - dampening``, but for the first one.
    weight_decay : float
        Adds this times the parameter to its gradient, which draws every parameter towards zero.
    nesterov : bool
        Whether to use Nesterov's momentum.

    Raises
    ------
    TypeError, ValueError
        If `lr` is not a finite positive number that fits into float32, another number is not
        finite, `momentum` or `weight_decay` is negative, or `nesterov` comes without momentum or
        with dampening.

    Notes
    -----
    Section 2.6 of the report. Momentum: Sutskever, Martens, Dahl and Hinton (2013), its reference
    [1].
    """

    _settings = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
    memories = ("velocity",)

    def __init__(
        self,
        model: Module,
        lr: float,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(model, lr)
        self.momentum = check_number("momentum", momentum, minimum=0)
        self.dampening = check_number("dampening", dampening)
        self.weight_decay = check_number("weight_decay", weight_decay, minimum=0)
        self.nesterov = bool(nesterov)
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError(
                "expected momentum and no dampening with nesterov, got "
                f"momentum={momentum}, dampening={dampening}"
            )

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter against its gradient, or along its velocity."""
        pairs = self.model.param()
        if not pairs:
            return
        if self.weight_decay:
            pairs = [(p, _decayed(p, grad, self.weight_decay)) for p, grad in pairs]
        if not self.momentum:
            kernels.active().sgd_step(pairs, self.lr)
            return
        share = 1 - self.dampening if self.steps else 1.0
        for (parameter, grad), velocity in zip(pairs, self._remembered("velocity"), strict=True):
            velocity.mul_(self.momentum).add_(grad, alpha=share)
            step = grad.add(velocity, alpha=self.momentum) if self.nesterov else velocity
            parameter.add_(step, alpha=-self.lr)
        self.steps += 1

    def _extra_repr(self) -> str:
        names = self._settings[1:]  # plain SGD has but a learning rate
        return "".join(f", {name}={value}" for name in names if (value := getattr(self, name)))


class AdaGrad(Optimiser):
    r"""Adaptive gradients: every number has a step of its own, smaller where gradients were large.

    .. math::

        s \leftarrow s + g^2, \qquad
        \theta \leftarrow \theta - \text{lr}\, \frac{g}{\sqrt{s} + \varepsilon}

    Parameters
    ----------
    model : Module
        The network whose parameters are trained.
    lr : float
        Learning rate; may be changed between steps.
    lr_decay : float
        Divides the learning rate by ``1 + lr_decay * steps``.
    weight_decay : float
        Adds this times the parameter to its gradient.
    initial_accumulator_value : float
        Start of the sums :math:`s`.
    eps : float
        The :math:`\varepsilon` that keeps the first steps finite.

    Raises
    ------
    TypeError, ValueError
        If `lr` is not a finite positive number, or another one is negative or not finite.

    Notes
    -----
    Duchi, Hazan and Singer (2011), Adaptive subgradient methods, with the diagonal matrix of their
    section 1.1; with momentum: Zou et al. (2019), the report's reference [2].
    """

    _settings = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")
    memories = ("sum of squares",)

    def __init__(
        self,
        model: Module,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(model, lr)
        self.lr_decay = check_number("lr_decay", lr_decay, minimum=0)
        self.weight_decay = check_number("weight_decay", weight_decay, minimum=0)
        self.initial_accumulator_value = check_number(
            "initial_accumulator_value", initial_accumulator_value, minimum=0
        )
        self.eps = check_number("eps", eps, minimum=0)

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter against its gradient over the root of the sum of squares."""
        rate = self.lr / (1 + self.steps * self.lr_decay)
        sums = self._remembered("sum of squares", self.initial_accumulator_value)
        for (parameter, grad), total in zip(self.model.param(), sums, strict=True):
            grad = _decayed(parameter, grad, self.weight_decay)
            total.addcmul_(grad, grad)
            parameter.addcdiv_(grad, total.sqrt().add_(self.eps), value=-rate)
        self.steps += 1


class Adam(Optimiser):
    r"""Adaptive moments: a running mean of the gradients over the root of that of their squares.

    .. math::

        m \leftarrow \beta_1 m + (1 - \beta_1)\, g, \quad
        v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2, \quad
        \theta \leftarrow \theta - \text{lr}\,
        \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \varepsilon}

    The divisions by :math:`1 - \beta^t` in step t make up for the start of both means at zero.

    Parameters
    ----------
    model : Module
        The network whose parameters are trained.
    lr : float
        Learning rate: about how far each number moves in one step. May be changed between steps.
    betas : (float, float)
        The shares :math:`\beta_1, \beta_2` of the means that stay from one step to the next.
    eps : float
        The :math:`\varepsilon` that keeps the step finite where all gradients were zero.
    weight_decay : float
        Adds this times the parameter to its gradient.

    Raises
    ------
    TypeError, ValueError
        If `lr` is not a finite positive number, `betas` are not two numbers from 0 to below 1, or
        another one is negative or not finite.

    Notes
    -----
    Kingma and Ba (2015), algorithm 1; the report's reference [3].
    """

    _settings = ("lr", "betas", "eps", "weight_decay")
    memories = ("mean", "mean square")

    def __init__(
        self,
        model: Module,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(model, lr)
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise TypeError(f"expected betas to be a pair of numbers, got {betas!r}")
        self.betas = tuple(check_number("betas", beta, minimum=0, below=1) for beta in betas)
        self.eps = check_number("eps", eps, minimum=0)
        self.weight_decay = check_number("weight_decay", weight_decay, minimum=0)

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter against the mean gradient over the root mean square."""
        self.steps += 1
        beta1, beta2 = self.betas
        rate, correction = self.lr / (1 - beta1**self.steps), math.sqrt(1 - beta2**self.steps)
        means, squares = self._remembered("mean"), self._remembered("mean square")
        for (parameter, grad), m, v in zip(self.model.param(), means, squares, strict=True):
            grad = _decayed(parameter, grad, self.weight_decay)
            m.lerp_(grad, 1 - beta1)
            v.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            parameter.addcdiv_(m, v.sqrt().div_(correction).add_(self.eps), value=-rate)


class WeightAverage:
    r"""A running mean of a network's parameters, steadier than those of the last step.

    Every step of training is pushed about by the noise of its batch. Averaging over many steps
    removes most of that from the weights, at no cost to the training itself:

    .. math::

        \bar\theta \leftarrow \beta_t \bar\theta + (1 - \beta_t)\, \theta, \qquad
        \beta_t = \min\Bigl(\text{decay}, \frac{1 + t}{10 + t}\Bigr)

    where the smaller :math:`\beta_t` of the first steps t lets go of the random start.

    Parameters
    ----------
    model : Module
        The network whose parameters are averaged.
    decay : float
        The share of the mean that stays, from 0 to below 1: 0.999 averages over some 1000 steps.

    Attributes
    ----------
    values : list of Tensor
        The mean of every parameter, in the order of ``model.param()``.
    steps : int
        Number of updates.

    Raises
    ------
    TypeError, ValueError
        If `decay` is not a number from 0 to below 1.

    Notes
    -----
    Polyak and Juditsky (1992) for the mean over steps; exponential means as in Adam's section 7.2.
    """

    def __init__(self, model: Module, decay: float = 0.999) -> None:
        self.decay = check_number("decay", decay, minimum=0, below=1)
        self.model, self.steps = model, 0
        self.values = [parameter.clone() for parameter, _ in model.param()]

    @torch.no_grad()
    def update(self) -> None:
        """Let the present parameters enter the mean."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        parameters = [parameter for parameter, _ in self.model.param()]
        # The network may have moved to another device or dtype.
        self.values = [m.to(p) for m, p in zip(self.values, parameters, strict=True)]
        for mean, parameter in zip(self.values, parameters, strict=True):
            mean.lerp_(parameter, 1 - decay)
        self.steps += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the network have the mean for its parameters inside a ``with`` block."""
        present = [parameter.clone() for parameter, _ in self.model.param()]
        self.model.set_params(self.values)
        try:
            yield
        finally:
            self.model.set_params(present)

    def state_dict(self) -> dict:
        """Return a copy of the mean and the number of updates, fit for ``torch.save``."""
        return {"steps": self.steps, "values": [mean.clone() for mean in self.values]}

    @torch.no_grad()
    def load_state_dict(self, state: dict) -> None:
        """Go on where another average stood, of a network with parameters of the same shapes.

        Nothing is validated: who reads a state from a file does that first.
        """
        for mean, value in zip(self.values, state["values"], strict=True):
            mean.copy_(value)
        self.steps = state["steps"]


def _decayed(parameter: Tensor, grad: Tensor, weight_decay: float) -> Tensor:
    return grad.add(parameter, alpha=weight_decay) if weight_decay else grad


OPTIMISERS: dict[str, Callable[[Module, float], Optimiser]] = {
    "sgd": SGD,
    "momentum": partial(SGD, momentum=0.9),
    "nesterov": partial(SGD, momentum=0.9, nesterov=True),
    "adagrad": AdaGrad,
    "adam": Adam,
}
"""The optimisers that training knows by name; each takes the network and the learning rate."""


def find_optimiser(name: str) -> Callable[[Module, float], Optimiser]:
    """Return the entry of `OPTIMISERS`.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if name not in OPTIMISERS:
        raise ValueError(f"expected an optimiser out of {', '.join(OPTIMISERS)}, got {name!r}")
    return OPTIMISERS[name]

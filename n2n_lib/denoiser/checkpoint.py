"""Files of models and of unfinished trainings: writing them, and validating what is read.

Files come from anywhere. They are read without running code (`support.files`), and all that they
hold is checked here before anything is changed, so that the teaching code can trust its arguments.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from n2n_lib.denoiser.networks import CUSTOM, find_network
from n2n_lib.denoiser.recipe import History
from n2n_lib.framework.module import Module
from n2n_lib.framework.optim import Optimiser, WeightAverage
from n2n_lib.support import files
from n2n_lib.support.arguments import check_integer, check_number

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the trained models that come with the library."""

PRETRAINED = ("bestmodel", "report", "unet", "unet-camera", "unet-pixels")
"""Names of the trained models that come with the library."""

_MODEL = "n2n model 1"
_CHECKPOINT = "n2n checkpoint 3"


# --------------------------------------------------------------------------------------------------
# Models


@dataclass(frozen=True)
class SavedModel:
    """What a file of a model holds.

    Attributes
    ----------
    network : str
        Name of the network out of ``networks.NETWORKS``, or ``networks.CUSTOM``.
    arguments : dict
        Arguments of its constructor.
    sigma : float or None
        The one level of gaussian noise that it was trained at, if there was one.
    parameters : list of Tensor
        Its weights, in the order of ``Module.param``.
    """

    network: str
    arguments: dict
    sigma: float | None
    parameters: list[Tensor]

    def write(self, path: str | os.PathLike) -> Path:
        """Write the file, whole or not at all; raise OSError if it cannot be written."""
        parameters = [parameter.cpu() for parameter in self.parameters]
        return files.save({"format": _MODEL} | vars(self) | {"parameters": parameters}, path)


def find_model(path: str | os.PathLike | None) -> Path:
    """Return the file of a shipped model by its name; "bestmodel" for None; else `path` itself."""
    name = "bestmodel" if path is None else path
    return WEIGHTS / f"{name}.pth" if name in PRETRAINED else Path(path)


def read_model(
    path: str | os.PathLike | None, own: Module | None = None
) -> tuple[SavedModel, Module]:
    """Read a model, and build its network once, with the weights of the file.

    Parameters
    ----------
    path : path-like, optional
        A file, or a name out of `PRETRAINED`; default is "bestmodel".
    own : Module, optional
        Network that takes the weights of a file whose network has no name. It changes only if
        nothing is wrong with the file.

    Returns
    -------
    (SavedModel, Module)
        What the file says, and the network: a new one, on the CPU, or `own`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not ours, is damaged, names a network that is not known, or holds a network
        without a name and `own` is None.
    """
    path = find_model(path)
    expected = "a model saved by n2n"
    content = files.load(path, expected)
    if not isinstance(content, dict) or content.get("format") != _MODEL:
        raise ValueError(f"{path}: expected {expected}, got another kind of file")
    if content.get("network") == CUSTOM and own is None:
        raise ValueError(
            f"{path}: expected a network out of networks.NETWORKS, got one of your own; "
            "load it into a Model built around that network"
        )
    try:
        # Models of the first release have no sigma.
        saved = SavedModel(
            *(content.get(key) for key in ("network", "arguments", "sigma", "parameters"))
        )
        if saved.sigma is not None:
            check_number("sigma", saved.sigma, above=0)
        check_parameters(saved.parameters)
        if saved.network == CUSTOM:
            network = own
            check_shapes(saved.parameters, network)
        else:
            network = _build(saved)
    except Exception as error:  # a damaged file fails in many ways, all to say the same
        raise ValueError(
            f"{path}: expected {expected}, got a damaged one: {files.brief(error)}"
        ) from None
    if saved.parameters:
        network.to(saved.parameters[0].dtype)
        network.set_params(saved.parameters)
    return saved, network


class _Unfilled(TorchFunctionMode):
    """Fill no tensor: one without memory holds no numbers, and PyTorch loads a compiler for it."""

    def __torch_function__(self, function, types, arguments=(), options=None):
        if function in (Tensor.normal_, Tensor.uniform_):
            return arguments[0]
        if function is torch.zeros_like:
            return torch.empty(arguments[0].shape)
        return function(*arguments, **(options or {}))


def _build(saved: SavedModel) -> Module:
    """Build the network that a file names, without weights of its own.

    On the meta device it takes no memory to find out whether the weights fit, however large a
    network a damaged file asks for. Only then do its tensors get memory.
    """
    with torch.device("meta"), _Unfilled():
        network = find_network(saved.network).build(**saved.arguments)
    check_shapes(saved.parameters, network)
    for module in network.modules():
        for name, value in list(vars(module).items()):
            grad = getattr(module, f"{name}_grad", None)
            if isinstance(value, Tensor) and grad is not None:
                setattr(module, name, torch.empty(value.shape))
                setattr(module, f"{name}_grad", torch.zeros(grad.shape))
    return network


# --------------------------------------------------------------------------------------------------
# Unfinished trainings


@dataclass
class Run:
    """All that changes while a network is trained: what a checkpoint holds.

    Attributes
    ----------
    network : Module
        The network, with the weights of the last step.
    rule : Optimiser
        The optimiser that is linked to it.
    average : WeightAverage or None
        The running mean of the weights, if one is kept.
    generator : torch.Generator
        Source of the order of the pairs.
    history : History
        What happened so far.
    best : list of Tensor or None
        The weights with the smallest error on held-out pairs.
    """

    network: Module
    rule: Optimiser
    average: WeightAverage | None
    generator: torch.Generator
    history: History = field(default_factory=History)
    best: list[Tensor] | None = None

    def state(self, settings: dict) -> dict:
        """Return all that the run needs in order to go on from here.

        Parameters
        ----------
        settings : dict
            What decides on the weights: a run with others cannot go on from here.
        """
        return {
            "format": _CHECKPOINT,
            "settings": settings,
            "parameters": [parameter for parameter, _ in self.network.param()],
            "optimiser": self.rule.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "best": self.best,
            "generator": self.generator.get_state(),
            "history": asdict(self.history),
        }

    def go_on_from(self, state: dict) -> None:
        """Go on from a state that `state` or `read_checkpoint` returned."""
        self.rule.load_state_dict(state["optimiser"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.network.set_params(state["parameters"])
        self.generator.set_state(state["generator"])
        self.best = state["best"]
        self.history = History(**state["history"])


class _OtherRun(ValueError):
    """The checkpoint is whole, but of a run with other settings."""


def read_checkpoint(path: str | os.PathLike, run: Run, settings: dict, epoch_steps: int) -> dict:
    """Read a state that `run` can go on from. Nothing is changed.

    Parameters
    ----------
    path : path-like
        The file.
    run : Run
        The run that is about to begin.
    settings : dict
        Its settings; those of the file must be equal.
    epoch_steps : int
        Steps to an epoch.

    Returns
    -------
    dict
        As `Run.state` returned it, every part of it checked.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no checkpoint, is damaged, or belongs to another run.
    """
    state = files.load(path, "a checkpoint of n2n")
    if not isinstance(state, dict) or state.get("format") != _CHECKPOINT:
        raise ValueError(f"{path}: expected a checkpoint of n2n, got another kind of file")
    try:
        for name, value in settings.items():
            if state["settings"][name] != value:
                raise _OtherRun(
                    f"{path}: expected a checkpoint of a run with {name} = {value}, "
                    f"got {files.brief(state['settings'][name])}"
                )
        _check_state(state, run, epoch_steps, holds_out=settings["held_out"] is not None)
    except _OtherRun:
        raise
    except Exception as error:  # a damaged file fails in many ways, all to say the same
        raise ValueError(
            f"{path}: expected a whole checkpoint of n2n, got a damaged one ({files.brief(error)})"
        ) from None
    return state


# --------------------------------------------------------------------------------------------------
# Checks


def _check_state(state: dict, run: Run, epoch_steps: int, holds_out: bool) -> None:
    """Raise unless `run` can go on from every part of a state."""
    history = History(**state["history"])
    check_history(history, epoch_steps)
    check_weights(state["parameters"], run.network)
    if len(history.held_out) != holds_out * history.epochs:
        raise ValueError("expected an error on held-out pairs for each epoch, if any")
    if (state["best"] is not None) != holds_out:
        raise ValueError("expected best weights if there are held-out pairs")
    if holds_out:
        check_weights(state["best"], run.network)
    check_optimiser_state(state["optimiser"], run.rule)
    if run.average is not None:
        check_average_state(state["average"], run.network)
    torch.Generator().set_state(state["generator"])


def check_history(history: History, epoch_steps: int) -> None:
    """Raise unless `history` holds whole epochs of `epoch_steps` steps, all numbers."""
    for values in (history.losses, history.val_psnr, history.seconds, history.held_out):
        if not isinstance(values, list) or not all(isinstance(v, float) for v in values):
            raise TypeError("expected lists of numbers in the history")
    if not all(map(math.isfinite, history.losses + history.seconds + history.held_out)):
        raise ValueError("expected finite numbers in the history")
    if len(history.losses) != epoch_steps * history.epochs:
        raise ValueError(f"expected {epoch_steps} losses for each epoch in the history")
    for step, count in history.threads:
        check_integer("the step of a number of threads", step, 0, len(history.losses))
        check_integer("the number of threads", count, 1)
    if max(len(history.val_psnr), len(history.held_out)) > history.epochs:
        raise ValueError("expected at most one validation for each epoch in the history")


def check_optimiser_state(state: object, rule: Optimiser) -> None:
    """Raise TypeError or ValueError unless `state` is one that `rule` can go on from.

    Parameters
    ----------
    state : object
        What ought to be the ``state_dict`` of an optimiser of the same class, linked to such a
        network as that of `rule`.
    rule : Optimiser
        The optimiser. Nothing about it is changed.
    """
    fields = {"optimiser", "settings", "steps", "memory"}
    if not isinstance(state, dict) or state.keys() != fields:
        raise ValueError(f"expected a state with {sorted(fields)}, got {_keys(state)}")
    who = type(rule).__name__
    if state["optimiser"] != who:
        raise ValueError(f"expected the state of {who}, got that of {state['optimiser']}")
    expected = rule.state_dict()["settings"].keys()
    settings, memory = state["settings"], state["memory"]
    if not isinstance(settings, dict) or settings.keys() != expected:
        raise ValueError(f"expected the settings {', '.join(expected)}, got {settings!r}")
    type(rule)(rule.model, **settings)  # checks their values
    check_integer("the number of steps", state["steps"], 0)
    needed = rule.memories if state["steps"] else ()
    if not isinstance(memory, dict) or not memory.keys() >= set(needed):
        raise ValueError(f"expected a memory of {', '.join(rule.memories)}, got {_keys(memory)}")
    for tensors in memory.values():
        check_weights(tensors, rule.model)


def check_average_state(state: object, network: Module) -> None:
    """Raise TypeError or ValueError unless `state` is that of a mean of the network's weights."""
    if not isinstance(state, dict) or state.keys() != {"steps", "values"}:
        raise ValueError(f"expected a state with steps and values, got {_keys(state)}")
    check_integer("the number of steps", state["steps"], 0)
    check_weights(state["values"], network)


def check_weights(tensors: object, network: Module) -> None:
    """Raise TypeError or ValueError unless there is one sound tensor for each parameter."""
    check_parameters(tensors)
    check_shapes(tensors, network)


def check_parameters(parameters: object) -> None:
    """Raise unless `parameters` are plain finite floating-point tensors of one dtype."""
    if not isinstance(parameters, list) or not all(isinstance(p, Tensor) for p in parameters):
        raise TypeError("expected a list of parameter tensors")
    known = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    if len({p.dtype for p in parameters}) > 1 or not all(p.dtype in known for p in parameters):
        raise TypeError("expected parameters of one floating-point dtype")
    if not all(p.layout == torch.strided and p.device.type == "cpu" for p in parameters):
        raise TypeError("expected dense parameters")
    if not all(torch.isfinite(p).all() for p in parameters):
        raise ValueError("expected finite parameters")


def check_shapes(parameters: Sequence[Tensor], network: Module) -> None:
    """Raise ValueError unless the parameters have the shapes of the network's."""
    expected = [tuple(parameter.shape) for parameter, _ in network.param()]
    got = [tuple(parameter.shape) for parameter in parameters]
    for index, (one, other) in enumerate(zip(expected, got, strict=False)):
        if one != other:
            raise ValueError(f"expected shape {one} for parameter {index}, got {other}")
    if len(expected) != len(got):
        raise ValueError(f"expected {len(expected)} parameter tensors, got {len(got)}")


def _keys(value: object) -> object:
    return sorted(map(str, value)) if isinstance(value, dict) else type(value).__name__

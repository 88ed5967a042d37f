"""The contract that every piece of the framework keeps (section 2.1 of the report)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor


class Module:
    """A function of tensors that knows its own derivative.

    A module computes ``forward``, and ``backward`` multiplies a gradient of the output with the
    module's Jacobian (a vector-Jacobian product), so that a chain of modules can be differentiated
    from its end to its beginning. Modules with parameters keep a gradient beside each one.

    A *parameter* is a tensor attribute ``name`` that has a partner ``name_grad``. Modules stored as
    attributes, alone or in a list, are children, and their parameters belong to the parent too. The
    methods below find both by walking the attributes, so that a wrapper cannot forget the
    parameters of what it wraps.

    Notes
    -----
    Section 2.1 of the report. Nothing here uses autograd.

    A module remembers its last ``forward`` only. So it may stand in a network once: a second place
    would overwrite what the first one needs for its ``backward``, and `Sequential` refuses it.

    Examples
    --------
    A scale that is learned: ``y = s x``, so ``ds = sum(g x)`` and ``dx = s g``.

    >>> class Scale(Module):
    ...     def __init__(self):
    ...         self.s, self.s_grad = torch.ones(1), torch.zeros(1)
    ...
    ...     def forward(self, x):
    ...         self._saved = x
    ...         return self.s * x
    ...
    ...     def backward(self, grad_output):
    ...         self.s_grad += (grad_output * self._saved).sum()
    ...         return self.s * grad_output
    """

    needs_input_grad: bool = True
    """False tells the first layer of a network that nobody wants the gradient of its input;
    ``backward`` may then return None and save that work."""

    needs_backward: bool = True
    """False: ``forward`` is called for its result alone."""

    keeps_saved: bool = True
    """Whether ``backward`` may follow a second time without a new ``forward``. False: it forgets
    what ``forward`` remembered as soon as it is used, and gives back the memory."""

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute the output of the module and remember what ``backward`` needs."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def backward(self, *grad_outputs: Tensor) -> Tensor | None:
        """Accumulate the gradients of the parameters and return the gradient of the input.

        Parameters
        ----------
        *grad_outputs : Tensor
            Gradient of the loss with respect to the output of the last ``forward``; same shape.

        Returns
        -------
        Tensor
            Gradient of the loss with respect to the input of the last ``forward``; same shape.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define backward")

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Call `forward`; forget what it remembered where no `backward` will ask for it."""
        output = self.forward(*inputs)
        if not self.needs_backward:
            self._saved = None
        return output

    def children(self) -> Iterator[Module]:
        """Yield the modules stored in this one, in the order in which they were assigned."""
        for value in vars(self).values():
            if isinstance(value, Module):
                yield value
            elif isinstance(value, (list, tuple)):
                yield from (item for item in value if isinstance(item, Module))

    def modules(self) -> Iterator[Module]:
        """Yield this module and every module below it, depth first."""
        yield self
        for child in self.children():
            yield from child.modules()

    def param(self) -> list[tuple[Tensor, Tensor]]:
        """Return the parameters and their gradients.

        Returns
        -------
        list of (Tensor, Tensor)
            Pairs ``(parameter, gradient)`` of equal shape: this module's own, then those of its
            children. They are the module's tensors, not copies: an optimiser that writes into
            them trains the module.
        """
        if self._pairs is not None:
            return list(self._pairs)
        own, below = [], []
        attributes = vars(self)
        for name, value in attributes.items():
            if isinstance(value, Tensor):
                grad = attributes.get(name + "_grad")
                if grad is not None:
                    own.append((value, grad))
            elif isinstance(value, Module):
                below += value.param()
            elif isinstance(value, (list, tuple)):
                for item in value:
                    if isinstance(item, Module):
                        below += item.param()
        return own + below

    def zero_grad(self) -> None:
        """Set every gradient to zero; until then gradients accumulate over calls of `backward`."""
        grads = [grad for _, grad in self.param()]
        if grads:
            torch._foreach_zero_(grads)  # all in one call

    def set_params(self, params: Iterable[Tensor]) -> None:
        """Copy new values into the parameters.

        Parameters
        ----------
        params : iterable of Tensor
            One tensor for each pair of `param`, in the same order and of the same shape.

        Raises
        ------
        TypeError
            If an item is not a tensor.
        ValueError
            If the number of tensors or a shape does not fit. Nothing is changed then.
        """
        new, old = list(params), [parameter for parameter, _ in self.param()]
        if len(new) != len(old):
            raise ValueError(f"expected {len(old)} parameter tensors, got {len(new)}")
        for index, (value, parameter) in enumerate(zip(new, old, strict=True)):
            if not isinstance(value, Tensor):
                got = type(value).__name__
                raise TypeError(f"expected a tensor for parameter {index}, got {got}")
            if value.shape != parameter.shape:
                expected, got = tuple(parameter.shape), tuple(value.shape)
                raise ValueError(f"expected shape {expected} for parameter {index}, got {got}")
        copies = [value.detach().clone() for value in new]  # some may be our own parameters
        with torch.no_grad():
            for value, parameter in zip(copies, old, strict=True):
                parameter.copy_(value)

    def to(self, device_or_dtype: torch.device | str | torch.dtype) -> Module:
        """Move parameters and gradients to a device or convert them to a floating-point dtype.

        Parameters
        ----------
        device_or_dtype : torch.device, str or torch.dtype
            For example ``"cpu"``, ``"cuda"`` or ``torch.float64``.

        Returns
        -------
        Module
            This module.

        Raises
        ------
        TypeError
            If the dtype is not a floating-point type.
        """
        if isinstance(device_or_dtype, torch.dtype) and not device_or_dtype.is_floating_point:
            raise TypeError(f"expected a floating-point dtype, got {device_or_dtype}")
        for module in self.modules():
            module._pairs = None
            module._saved = None  # what backward needs belongs to the old device or dtype
            for name, value in list(vars(module).items()):
                if isinstance(value, Tensor):
                    setattr(module, name, value.to(device_or_dtype))
        return self

    @contextmanager
    def training_mode(self) -> Iterator[None]:
        """Save work and memory that training does not need, as long as the context lasts.

        Nobody wants the gradient of the network's input then (`needs_input_grad`), and every
        ``forward`` has one ``backward`` (`keeps_saved`), as in PyTorch without ``retain_graph``.
        What `param` returns is looked up once: modules and parameters may change their values, but
        none may be exchanged for another.
        """
        wanted, self.needs_input_grad = self.needs_input_grad, False
        try:
            with self._all_with(keeps_saved=False):
                self._pairs = self.param()
                yield
        finally:
            self.needs_input_grad, self._pairs = wanted, None

    def prediction_mode(self) -> AbstractContextManager[None]:
        """Remember nothing for a backward, as long as the context lasts: it takes less memory."""
        return self._all_with(needs_backward=False)

    @contextmanager
    def _all_with(self, **flags: bool) -> Iterator[None]:
        """Set attributes of this module and of all below it, and put the old ones back."""
        modules = list(self.modules())
        before = [{name: getattr(module, name) for name in flags} for module in modules]
        for module in modules:
            vars(module).update(flags)
        try:
            yield
        finally:
            for module, old in zip(modules, before, strict=True):
                vars(module).update(old)

    _saved: object = None
    _pairs: list[tuple[Tensor, Tensor]] | None = None

    def _take_saved(self):
        """Return what `forward` remembered; raise if there was no forward."""
        if self._saved is None:
            raise RuntimeError(f"{type(self).__name__}.backward needs a forward before it")
        return self._saved

    def _check_grad(self, grad_output: Tensor, shape: torch.Size) -> None:
        """Raise unless `grad_output` is a tensor of the shape that `forward` returned.

        What `forward` remembered is in use from here on: let go of it, unless it is to be kept.
        """
        who = type(self).__name__
        if not isinstance(grad_output, Tensor):
            raise TypeError(f"{who}.backward expected a tensor, got {type(grad_output).__name__}")
        if grad_output.shape != shape:
            expected, got = tuple(shape), tuple(grad_output.shape)
            raise ValueError(f"{who}.backward expected a gradient of shape {expected}, got {got}")
        if not self.keeps_saved:
            self._saved = None

    def __getstate__(self) -> dict:
        """Leave out of a copy what `forward` remembered: the copy has not run yet."""
        return {
            name: value for name, value in vars(self).items() if name not in ("_saved", "_pairs")
        }

    def extra_repr(self) -> str:
        """Describe the arguments inside the parentheses of ``repr``."""
        return ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


def check_network(model: object, owner: str, method: str) -> None:
    """Raise TypeError unless a loss or an optimiser is linked to a network, which has this method.

    ``torch.optim`` wants parameters and ``torch.nn`` no link; here both want the network itself.
    """
    if not callable(getattr(model, method, None)):
        raise TypeError(
            f"{owner} expected the network itself, as in {owner}(network), "
            f"got {type(model).__name__}"
        )


def as_batch(
    x: Tensor, module: Module, channels: int | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    """Check the input of a layer and view it as a batch of images.

    Parameters
    ----------
    x : Tensor
        ``(N, C, H, W)``, or one image ``(C, H, W)``; floating point.
    module : Module
        The layer that asks; its name opens the error message.
    channels : int, optional
        The number of channels that the layer expects.
    dtype : torch.dtype, optional
        The dtype of the layer's parameters.

    Returns
    -------
    Tensor
        ``(N, C, H, W)``; a view, never a copy.

    Raises
    ------
    TypeError
        If `x` is not a floating-point tensor, or of another dtype than the parameters.
    ValueError
        If the number of dimensions or channels is wrong or a dimension is empty.
    """
    who = type(module).__name__
    if not isinstance(x, Tensor):
        raise TypeError(f"{who} expected a tensor, got {type(x).__name__}")
    if not x.is_floating_point():
        raise TypeError(f"{who} expected a floating-point tensor, got {x.dtype}")
    if dtype is not None and x.dtype != dtype:
        raise TypeError(f"{who} expected {dtype}, the dtype of its parameters, got {x.dtype}")
    if x.dim() not in (3, 4):
        raise ValueError(f"{who} expected (N, C, H, W) or (C, H, W), got shape {tuple(x.shape)}")
    if x.numel() == 0:
        raise ValueError(f"{who} expected a non-empty input, got shape {tuple(x.shape)}")
    if channels is not None and x.shape[-3] != channels:
        raise ValueError(
            f"{who} expected {channels} channels, got {x.shape[-3]} in {tuple(x.shape)}"
        )
    return x if x.dim() == 4 else x.unsqueeze(0)


def as_pair(value: int | tuple[int, int], name: str, minimum: int) -> tuple[int, int]:
    """Return ``(height, width)`` from one integer or a pair, as in ``kernel_size=3``.

    Parameters
    ----------
    value : int or (int, int)
        One number for both axes, or one for each.
    name : str
        What the argument is called; the message names it.
    minimum : int
        Smallest number that is allowed.

    Raises
    ------
    TypeError
        If `value` is neither an integer nor a pair of integers.
    ValueError
        If an entry is smaller than `minimum`.
    """
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or any(isinstance(v, bool) or not isinstance(v, int) for v in pair):
        raise TypeError(f"expected {name} to be an integer or a pair of integers, got {value!r}")
    if min(pair) < minimum:
        raise ValueError(f"expected {name} of at least {minimum}, got {value!r}")
    return pair

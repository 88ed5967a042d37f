"""The arithmetic of a training step, in interchangeable sets.

Every set offers the functions of `KernelSet`, so that one network with one set of weights runs on
any of them, and is trained. ``kernels.unfold`` is the report's: ``unfold``, one product, ``fold``.
``kernels.fast`` is the default. A student's own answers are a third, see
`n2n_lib.course.check.mine`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from torch import Tensor

from n2n_lib.framework.kernels import fast, unfold
from n2n_lib.framework.kernels.unfold import HW


class KernelSet(Protocol):
    """What a set of kernels must offer: a module, or any object with these functions.

    They are pure functions of tensors but for `sgd_step`, and for what ``inplace`` allows. A
    ``forward`` that returns two values returns its output and *saved*: whatever its own
    ``backward`` wants to see again. Nobody else looks into it.

    Shapes, here and below: images are ``(N, C, H, W)``, outputs ``(N, O, H', W')``, a bias is
    ``(O,)`` or None. ``stride``, ``padding``, ``output_padding``, ``dilation`` and ``scale`` are
    pairs (height, width). A ``backward`` gets the gradient of the output, in the output's shape,
    and returns the gradients of the input, the weight and the bias, each in the shape of what it
    belongs to; that of the input may be None where ``needs_input_grad`` is False. Arguments are
    checked by the layers, before they call.
    """

    def conv2d_forward(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, stride: HW, padding: HW, dilation: HW
    ) -> tuple[Tensor, Any]:
        """Convolve with a ``weight`` of shape ``(O, C, kH, kW)``, as `framework.conv.Conv2d`."""

    def conv2d_backward(
        self,
        grad_output: Tensor,
        saved: Any,
        weight: Tensor,
        stride: HW,
        padding: HW,
        dilation: HW,
        needs_input_grad: bool = True,
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Differentiate `conv2d_forward`."""

    def nn_upsample_forward(self, x: Tensor, scale: HW) -> Tensor:
        """Copy every pixel into a block: ``(N, C, sH H, sW W)``."""

    def nn_upsample_backward(self, grad_output: Tensor, scale: HW) -> Tensor:
        """Sum every block of gradients: ``(N, C, sH H, sW W)`` to ``(N, C, H, W)``."""

    def upsample_conv2d_forward(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: HW,
        padding: HW,
        dilation: HW,
        scale: HW,
    ) -> tuple[Tensor, Any]:
        """Upsample by ``scale``, then convolve: both steps in one, so that they may be merged."""

    def upsample_conv2d_backward(
        self,
        grad_output: Tensor,
        saved: Any,
        weight: Tensor,
        stride: HW,
        padding: HW,
        dilation: HW,
        scale: HW,
        needs_input_grad: bool = True,
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Differentiate `upsample_conv2d_forward`."""

    def conv_transpose2d_forward(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: HW,
        padding: HW,
        output_padding: HW,
        dilation: HW,
    ) -> tuple[Tensor, Any]:
        """Convolve, transposed, with a ``weight`` of shape ``(C, O, kH, kW)``."""

    def conv_transpose2d_backward(
        self,
        grad_output: Tensor,
        saved: Any,
        weight: Tensor,
        stride: HW,
        padding: HW,
        dilation: HW,
        needs_input_grad: bool = True,
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Differentiate `conv_transpose2d_forward`."""

    def relu_forward(self, x: Tensor, inplace: bool = False) -> Tensor:
        """Keep what is positive; with ``inplace``, `x` may be overwritten."""

    def relu_backward(self, grad_output: Tensor, output: Tensor, inplace: bool = False) -> Tensor:
        """Differentiate `relu_forward`; with ``inplace``, `grad_output` may be overwritten."""

    def sigmoid_forward(self, x: Tensor) -> Tensor:
        """Squeeze every number into (0, 1), also where ``exp(-x)`` overflows."""

    def sigmoid_backward(self, grad_output: Tensor, output: Tensor) -> Tensor:
        """Differentiate `sigmoid_forward`."""

    def mse_forward(self, output: Tensor, target: Tensor) -> tuple[Tensor, Any]:
        """Average the squared differences over all values: a tensor with one value."""

    def mse_backward(self, saved: Any) -> Tensor:
        """Differentiate `mse_forward` with respect to ``output``."""

    def sgd_step(self, params: list[tuple[Tensor, Tensor]], lr: float) -> None:
        """Move every parameter of the pairs (parameter, gradient) against its gradient, in place.

        The list is not empty.
        """


FUNCTIONS = tuple(
    name for name in vars(KernelSet) if name.endswith(("_forward", "_backward", "_step"))
)
"""Names of the functions of a set."""

KERNELS: dict[str, KernelSet] = {"fast": fast, "unfold": unfold}
DEFAULT = "fast"

_active: ContextVar[KernelSet] = ContextVar("n2n_kernels", default=KERNELS[DEFAULT])


def active() -> KernelSet:
    """Return the kernel set that a forward would use now."""
    return _active.get()


@contextmanager
def use_kernels(kernels: str | KernelSet) -> Iterator[KernelSet]:
    """Run the forwards and the steps inside a ``with`` block on another kernel set.

    Parameters
    ----------
    kernels : str or KernelSet
        A key of `KERNELS`, or a set of one's own: an object with the functions of `KernelSet`.

    Raises
    ------
    ValueError
        If there is no set of that name.
    TypeError
        If it lacks functions; they are named.

    Notes
    -----
    A ``backward`` always uses the set of its own ``forward``, wherever it is called.

    Examples
    --------
    >>> with use_kernels("unfold"):  # the arithmetic that the lessons derive
    ...     output = network(images)
    """
    token = _active.set(_find(kernels))
    try:
        yield _active.get()
    finally:
        _active.reset(token)


def _find(kernels: str | KernelSet) -> KernelSet:
    if isinstance(kernels, str):
        if kernels not in KERNELS:
            raise ValueError(f"expected a kernel set out of {', '.join(KERNELS)}, got {kernels!r}")
        return KERNELS[kernels]
    missing = [name for name in FUNCTIONS if not callable(getattr(kernels, name, None))]
    if missing:
        raise TypeError(
            f"expected a kernel set with {len(FUNCTIONS)} functions, got a "
            f"{type(kernels).__name__} without {', '.join(missing)}"
        )
    return kernels

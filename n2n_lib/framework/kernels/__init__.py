"""The arithmetic under the layers, in interchangeable sets (lesson 11).

``kernels.unfold`` is the report's: ``unfold``, one matrix product, ``fold``. ``kernels.fast``, the
default, computes the same several times faster. Every set offers the same eight `FUNCTIONS`, so
that one network with one set of weights runs on any of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from n2n_lib.framework.kernels import fast, unfold

FUNCTIONS = (
    "conv2d_forward",
    "conv2d_backward",
    "nn_upsample_forward",
    "nn_upsample_backward",
    "upsample_conv2d_forward",
    "upsample_conv2d_backward",
    "conv_transpose2d_forward",
    "conv_transpose2d_backward",
)
"""The functions of a kernel set; ``kernels.unfold`` documents what each takes and returns.

All are pure. What a convolution's forward returns beside its output is for its own backward alone:
each set keeps what it likes there.
"""

KernelSet = Any
"""A module or another object with these functions."""

KERNELS: dict[str, KernelSet] = {"fast": fast, "unfold": unfold}
DEFAULT = "fast"

_active: ContextVar[KernelSet] = ContextVar("n2n_kernels", default=KERNELS[DEFAULT])


def active() -> KernelSet:
    """Return the kernel set that a forward would use now."""
    return _active.get()


@contextmanager
def use_kernels(kernels: str | KernelSet) -> Iterator[KernelSet]:
    """Run the forwards inside a ``with`` block on another kernel set.

    Parameters
    ----------
    kernels : str or KernelSet
        A key of `KERNELS`, or a set of your own.

    Raises
    ------
    ValueError
        If there is no set of that name.
    TypeError
        If a set of your own lacks one of the `FUNCTIONS`.

    Notes
    -----
    A ``backward`` always uses the set of its own ``forward``, wherever it is called.

    Examples
    --------
    >>> with use_kernels("unfold"):  # doctest: +SKIP
    ...     output = network(x)
    """
    if isinstance(kernels, str):
        if kernels not in KERNELS:
            raise ValueError(f"expected a kernel set out of {', '.join(KERNELS)}, got {kernels!r}")
        kernels = KERNELS[kernels]
    missing = [name for name in FUNCTIONS if not callable(getattr(kernels, name, None))]
    if missing:
        raise TypeError(
            f"expected a kernel set with {', '.join(FUNCTIONS)}, got one without "
            f"{', '.join(missing)}"
        )
    token = _active.set(kernels)
    try:
        yield kernels
    finally:
        _active.reset(token)

"""The arithmetic under the layers, in interchangeable sets (lesson 11).

``kernels.unfold`` is the report's: ``unfold``, one matrix product, ``fold``. Every set offers the
same eight functions, so that one network with one set of weights runs on any of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType

from n2n_lib.framework.kernels import fast, unfold

KERNELS: dict[str, ModuleType] = {"fast": fast, "unfold": unfold}
DEFAULT = "fast"

_active: ContextVar[ModuleType] = ContextVar("n2n_kernels", default=KERNELS[DEFAULT])


def active() -> ModuleType:
    """Return the kernel set that a forward would use now."""
    return _active.get()


@contextmanager
def use_kernels(name: str) -> Iterator[ModuleType]:
    """Run the forwards inside a ``with`` block on another kernel set.

    Parameters
    ----------
    name : str
        A key of `KERNELS`.

    Raises
    ------
    ValueError
        If there is no such set.

    Notes
    -----
    A ``backward`` always uses the set of its own ``forward``, wherever it is called.
    """
    if name not in KERNELS:
        raise ValueError(f"expected a kernel set out of {', '.join(KERNELS)}, got {name!r}")
    token = _active.set(KERNELS[name])
    try:
        yield KERNELS[name]
    finally:
        _active.reset(token)

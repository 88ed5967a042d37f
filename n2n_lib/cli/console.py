"""Where commands print what people read."""

from __future__ import annotations

from rich.console import Console


def make_console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """Return a console that prints names of files as they are: brackets in them are no markup."""
    return Console(stderr=stderr, quiet=quiet, markup=False, emoji=False)

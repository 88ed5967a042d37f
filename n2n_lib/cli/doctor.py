"""``n2n doctor`` as the help lists it; ``n2n_lib.__main__`` runs it without any package."""

from __future__ import annotations

import typer

from n2n_lib.cli.options import JsonOption


def doctor(as_json: JsonOption = False) -> None:
    """Check this computer for the lessons, and say how to fix what is wrong."""
    from n2n_lib.course import doctor as self_test

    raise typer.Exit(self_test.run(as_json))

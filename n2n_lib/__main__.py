"""The command ``n2n``, also ``python -m n2n_lib``."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

STOPPED = 130
"""The exit code after Ctrl-C."""


def main() -> None:
    """Run the self-test, which needs no package, or else the command line."""
    with contextlib.suppress(AttributeError):  # a name that the encoding lacks stops nothing
        sys.stdout.reconfigure(errors="replace")
    try:
        if sys.argv[1:2] == ["doctor"]:
            from n2n_lib.course import doctor

            sys.exit(doctor.main(sys.argv[2:]))
        from n2n_lib import cli  # with all the packages that may be missing

        cli.main()
    except KeyboardInterrupt:  # before the command line could catch it
        print("n2n: stopped", file=sys.stderr)
        _stop()
    except SystemExit as end:
        if end.code == STOPPED:
            _stop()
        raise


def _stop() -> NoReturn:
    """End at once: all is tidied up, and unloading PyTorch would take seconds of a busy machine."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(STOPPED)


if __name__ == "__main__":
    main()

"""The command ``n2n``, also ``python -m n2n_lib``."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

from n2n_lib.support import interrupts
from n2n_lib.support.interrupts import STOPPED


def main() -> None:
    """Run the self-test, which needs no package, or else the command line."""
    interrupts.note()
    with contextlib.suppress(AttributeError):  # a name that the encoding lacks stops nothing
        sys.stdout.reconfigure(errors="replace")
    try:
        if sys.argv[1:2] == ["doctor"]:
            from n2n_lib.course import doctor

            status = doctor.main(sys.argv[2:])
            if status == STOPPED:
                raise KeyboardInterrupt
            sys.exit(status)
        from n2n_lib import cli  # with all the packages that may be missing

        cli.main()
    except SystemExit as end:
        if end.code == STOPPED:
            _stop()
        raise
    except BaseException as error:
        if not interrupts.caused(error):
            raise
        print("n2n: stopped", file=sys.stderr)
        _stop()


def _stop() -> NoReturn:
    """End at once: all is tidied up, and unloading PyTorch would take seconds of a busy machine."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(STOPPED)


if __name__ == "__main__":
    main()

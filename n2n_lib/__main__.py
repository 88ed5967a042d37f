"""The command ``n2n``, also ``python -m n2n_lib``."""

from __future__ import annotations

import contextlib
import sys


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
        sys.exit(130)


if __name__ == "__main__":
    main()

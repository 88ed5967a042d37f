"""Run the command line with ``python -m n2n_lib``."""

from n2n_lib.cli import main

if __name__ == "__main__":
    main()

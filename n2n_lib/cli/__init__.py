"""The command line ``n2n``: train, denoise, evaluate; keep lessons fresh, hand out, grade.

One file a command; `options` and `tables` are what they share.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from n2n_lib.cli import bench, denoise, doctor, evaluate, grade, lab, notebooks, student, train

app = typer.Typer(
    name="n2n",
    help="A denoiser that learns from noisy images only, in a framework built by hand.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(train.train)
app.command()(denoise.denoise)
app.command()(evaluate.evaluate)
app.command()(notebooks.notebooks)
app.command()(grade.grade)
app.command()(student.student)
app.command()(lab.lab)
app.command()(doctor.doctor)
app.command()(bench.bench)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake ends in one line and exit code 2."""
    stopped = "n2n: stopped; a training goes on with --resume, grading with the same command"
    try:
        status = app(arguments, standalone_mode=False) or 0
        if status == 130:  # how the command line reports Ctrl-C
            print(stopped, file=sys.stderr)
        sys.exit(status)
    except (ValueError, OSError) as error:
        print(f"n2n: {error}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        print(stopped, file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if hasattr(error, "format_message"):  # the command line's own, about its arguments
            message = error.format_message()
            if message:  # without a command there is none: the help has been shown instead
                print(f"n2n: {message}{_given(error, arguments)}", file=sys.stderr)
            sys.exit(2)
        from n2n_lib.denoiser.training import DivergedError

        if not isinstance(error, DivergedError):
            raise  # a bug
        print(f"n2n: {error}", file=sys.stderr)
        sys.exit(2)


def _given(error: Exception, arguments: Sequence[str] | None) -> str:
    """Name the value that the command line could not read, which the message leaves out."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for option in getattr(getattr(error, "param", None), "opts", ()):
        for place, word in enumerate(words):
            if word == option and place + 1 < len(words):
                return f", got {words[place + 1]!r}"
            if word.startswith(option + "="):
                return f", got {word[len(option) + 1 :]!r}"
    return ""

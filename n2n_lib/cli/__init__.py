"""The command line ``n2n``: train, denoise, evaluate; keep lessons fresh, hand out, grade.

One file a command; `options` and `tables` are what they share.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from n2n_lib.cli import bench, denoise, doctor, evaluate, grade, lab, notebooks, student, train
from n2n_lib.support import interrupts
from n2n_lib.support.interrupts import STOPPED

GO_ON = {
    "train": "; the same command with --resume goes on after its last finished epoch",
    "grade": "; the same command goes on",
    "notebooks": "; lessons that ran to their end are saved",
}
"""What to say of commands that were stopped, where the next call does not begin anew."""

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
    try:
        status = app(arguments, standalone_mode=False) or 0
    except (KeyboardInterrupt, typer.Abort):
        status = STOPPED
    except Exception as error:
        status = STOPPED if interrupts.caused(error) else _report(error, arguments)
    if status == STOPPED:  # so the command line, too, reports Ctrl-C
        print(f"n2n: stopped{_how_to_go_on(arguments)}", file=sys.stderr)
    sys.exit(status)


def _report(error: Exception, arguments: Sequence[str] | None) -> int:
    """Print a user's mistake, and return the exit code; raise what is none."""
    if isinstance(error, (ValueError, OSError)):
        message = str(error)
    elif hasattr(error, "format_message"):  # the command line's own, about its arguments
        message = error.format_message()
        if not message:  # without a command there is none: the help has been shown instead
            return 2
        message += _given(error, arguments)
    else:
        from n2n_lib.denoiser.training import DivergedError

        if not isinstance(error, DivergedError):
            raise error  # a bug
        message = str(error)
    print(f"n2n: {message}", file=sys.stderr)
    return 2


def _how_to_go_on(arguments: Sequence[str] | None) -> str:
    words = sys.argv[1:] if arguments is None else arguments
    return GO_ON.get(words[0], "") if words else ""


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

"""The answer checks: a lesson calls ``check.NAME(student_function)``.

A check is silent but for one line if the function is right. If not, it prints a table of the cases
and raises `CheckFailed`, which says in words what to look at; from the second failure on it adds a
hint, each time a plainer one. ``check.hint("NAME")`` shows the hints to whoever asks.

More calls stand in the lessons. ``NAME = check.go_on_with(NAME)`` lets the following cells run
before an answer is right, and ``check.progress()`` draws what is right so far. Right answers are
collected: ``check.answers()`` gives them back, and ``check.mine()`` makes a kernel set of them.
``check.predicted(guess, truth)`` puts a prediction beside the result. The capstone's network is
kept by ``check.save_numbers(network)``, and measured by ``check.trained_network``.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from n2n_lib.course.check import (  # noqa: F401 (the file of a topic registers its exercises)
    activations,
    autograd,
    camera,
    capstone,
    convolution,
    depth,
    gradients,
    gradients_used,
    hand_in,
    loss_and_sequential,
    milestone,
    one_noisy_picture,
    optimisers,
    photographs,
    record,
    scale,
    sgd,
    speed,
    training,
    transposed_convolution,
    two_noisy_copies,
    unet,
    upsample_conv,
    upsampling,
)
from n2n_lib.course.check.collecting import answers
from n2n_lib.course.check.exercise import EXERCISES, Exercise
from n2n_lib.course.check.hand_in import HAND_INS, save_numbers
from n2n_lib.course.check.judge import CheckFailed, LibraryVersion, right_or_library
from n2n_lib.course.check.kernel_set import mine
from n2n_lib.course.check.notebook_state import listen_to_kernel
from n2n_lib.course.check.prediction import predicted
from n2n_lib.course.check.showing import CaseShown, show_case
from n2n_lib.course.check.table import WIDTH
from n2n_lib.course.lessons import label_of, number_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_in_order = sorted(EXERCISES.items(), key=lambda item: number_of(item[1].topic))
EXERCISES.clear()  # from here on they stand in the order of the lessons
EXERCISES.update(_in_order)

globals().update(EXERCISES | HAND_INS)  # check.NAME

listen_to_kernel(CheckFailed)

__all__ = ["EXERCISES", "CheckFailed", "answers", "case", "go_on_with", "hint", "mine"]
__all__ += ["predicted", "progress", "save_numbers", *EXERCISES, *HAND_INS]


def case(exercise: str | Callable[..., Any], which: int | str = 0) -> CaseShown:
    """Look closely at a case of an exercise: what is given, and what should come out.

    Parameters
    ----------
    exercise : str or callable
        Its name, the student's function or class, or the check ``check.NAME``.
    which : int or str
        Number of the case, from 0, or its name in the table that the check prints.

    Returns
    -------
    CaseShown
        With `arguments`, `expected`, and ``got(answer)`` to try an answer on it.

    Raises
    ------
    ValueError
        If there is no such exercise, or no such case.

    Examples
    --------
    >>> case("output_size", "stride 2, with a rest").expected
    (3,)
    """
    return show_case(_exercise_of(exercise), which)


def _exercise_of(what: Any) -> Exercise:
    """Find an exercise by its name, the student's answer, or the check."""
    about = getattr(what, "exercise", what)  # the library's version says what it stands for
    name = about.name if isinstance(about, Exercise) else getattr(about, "__name__", about)
    if isinstance(name, str) and name in HAND_INS:
        raise ValueError(f"{name} is measured and not compared: it has no hints and no cases")
    if not isinstance(name, str) or name not in EXERCISES:
        near = get_close_matches(str(name), EXERCISES, 1)
        meant = f"; is {near[0]} meant?" if near else ""
        raise ValueError(f"expected the name of an exercise, got {name!r}{meant}")
    return EXERCISES[name]


def go_on_with(function: Callable[..., Any], exercise: str | None = None) -> Callable[..., Any]:
    """Return the student's function or class if it is right, else the library's version of it.

    A lesson says ``conv2d_forward = check.go_on_with(conv2d_forward)`` before other cells call the
    function, so that they run whether or not the exercise has been done.

    Parameters
    ----------
    function : callable
        The student's.
    exercise : str, optional
        Name of the exercise, where the answer has another.

    Returns
    -------
    callable
        `function` itself, silently; or the library's version, and a line that says so.

    Raises
    ------
    ValueError
        If there is no such exercise.
    """
    if isinstance(function, LibraryVersion):  # the cell is run a second time
        exercise = function.exercise.name
    name = exercise or getattr(function, "__name__", "")
    if name not in EXERCISES:
        raise ValueError(f"expected the function of an exercise, got {name or function!r}")
    return right_or_library(EXERCISES[name], function)


def hint(exercise: str | Callable[..., Any], step: int | None = None) -> None:
    """Print a hint for an exercise: a nudge, then the formula, then the decisive line of code.

    Parameters
    ----------
    exercise : str or callable
        Its name, the student's function or class, or the check ``check.NAME``.
    step : int, optional
        Which hint, from 1 on. Default: the one after the last that was asked for; once all were,
        the last again.

    Raises
    ------
    ValueError
        If there is no such exercise, or no such hint.
    """
    found = _exercise_of(exercise)
    count = len(found.hints)
    if step is None:
        step = min(found.asked + 1, count)
    if step not in range(1, count + 1):
        raise ValueError(f"{found.name}: expected a hint from 1 to {count}, got {step!r}")
    found.asked = step
    text = f"{found.name}, hint {step} of {count}: {found.hints[step - 1]}"
    print(textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False))


def progress() -> Figure:
    """Draw which exercises are right, which were tried, and which are still to do.

    In a student edition (``n2n student``) the answers of all lessons count, whenever they were
    given; elsewhere only those since the kernel started.

    Returns
    -------
    Figure
        One row a lesson, one square an exercise.
    """
    from n2n_lib import plots  # takes long, and a cache that can be written to: no check needs it

    entries, titles = record.read(), record.lesson_titles()
    rows: dict[str, list[tuple[str, str]]] = {}
    for name, exercise in EXERCISES.items():
        title = titles.get(exercise.topic, f"lesson {label_of(exercise.topic)}")
        rows.setdefault(title, []).append((name, record.state(entries.get(name))))
    return plots.show_progress(dict(sorted(rows.items())))

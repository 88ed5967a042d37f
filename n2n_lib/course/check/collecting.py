"""Collect a student's right answers, and give them back where they can be trusted.

In a student edition they are in ``mine.py`` beside the notebooks, elsewhere in the memory of this
kernel. What was right is remembered by two fingerprints, of the cells that it came from and of what
stands in ``mine.py``: an answer whose text has changed is checked again before it is used.
"""

from __future__ import annotations

import ast
import linecache
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from n2n_lib.course.check import record
from n2n_lib.course.check.blocks import Block, Collision, fingerprint, reach
from n2n_lib.course.check.exercise import EXERCISES, Exercise
from n2n_lib.course.check.judge import Verdict, is_the_librarys, judge_in_time, our_version
from n2n_lib.course.check.mine_file import blocks_of, with_answer
from n2n_lib.course.check.notebook_state import kernel_namespace
from n2n_lib.course.check.source import LOADED, Answers, NotCollectable, needs_of
from n2n_lib.course.check.table import WIDTH

SHORT = 5
"""So many names are worth a list, if all of them are the library's."""


def collect(exercise: Exercise, answer: Callable[..., Any]) -> None:
    """Keep the source of an answer that is right; print one line if that cannot be done.

    Parameters
    ----------
    exercise : Exercise
    answer : callable
        The student's, which has just passed the check.
    """
    name = exercise.name
    if EXERCISES.get(name) is not exercise:
        return  # it is none of the lessons'
    try:
        needs = needs_of(name, answer)
        _verify(exercise, with_answer(record.read_mine(), name, needs))
        with record.forgiving(), record.changing() as entries:
            before = record.read_mine()  # another notebook may have written since
            text = with_answer(before, name, needs)
            record.write_mine(text, keep=_was_edited(before, name, entries))
            mark = {"cells": fingerprint(needs), "file": _mark_in(text, name), "used": True}
            record.set_mark(entries, name, mark)
    except NotCollectable as error:
        _say(f"{name}: right, but it cannot be collected: {error}.")
    except Collision as error:
        _say(
            f"{name}: right, but it cannot be collected: another answer has a different `{error}`. "
            "Give yours another name."
        )
    except RecursionError:
        _say(f"{name}: right, but it cannot be collected: an expression of it is too long.")
    except SyntaxError as error:
        _say(
            f"{name}: right, but it cannot be collected: {error.msg}. Correct it or delete the "
            "file, then run the check again."
        )


def _verify(exercise: Exercise, text: str) -> None:
    """Raise unless an answer is right that is made of a text alone."""
    found, errors = _load(text, [exercise.name])
    error = errors.get(exercise.name)
    if error is None:
        verdict = judge_in_time(exercise, found[exercise.name])
        if verdict.right:
            return
        raise NotCollectable(
            "its source alone is not right: does it use what a later cell changed?"
        )
    missing = f"`{error.name}`" if isinstance(error, NameError) else str(error)
    raise NotCollectable(f"its source alone does not run: {type(error).__name__}, {missing}")


def _was_edited(text: str, name: str, entries: dict[str, Any]) -> bool:
    """Whether a student has changed an answer in ``mine.py`` by hand."""
    known = record.mark_of(entries, name).get("file")
    there = any(name in block.bound for block in blocks_of(text))
    return there and known is not None and _mark_in(text, name) != known


def _mark_in(text: str, name: str) -> str:
    """Return the fingerprint of an answer in the text of ``mine.py``."""
    return fingerprint(reach(blocks_of(text), [name]))


def _load(text: str, names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Exception]]:
    """Make answers out of a text: those that work, and why the others do not."""
    blocks = blocks_of(text)
    needs = {name: reach(blocks, [name]) for name in names}
    wanted = [block for block in blocks if any(block in each for each in needs.values())]
    space: dict[str, Any] = {"__name__": LOADED}
    place = str(record.mine_path() or f"<{record.MINE}>")
    linecache.cache[place] = (len(text), None, text.splitlines(keepends=True), place)
    broken: dict[Block, Exception] = {}
    for block in wanted:
        try:
            tree = ast.increment_lineno(ast.parse(block.text), max(block.line, 1) - 1)
            exec(compile(tree, place, "exec"), space)
        except Exception as error:  # whatever a student's text may raise
            broken[block] = error
    errors = {name: broken[block] for name in names for block in needs[name] if block in broken}
    return {name: space[name] for name in names if name in space and name not in errors}, errors


# ---------------------------------------------------------------------- giving back


def answers(*names: str) -> Answers:
    """Return the answers to exercises: the student's where they are right, else the library's.

    Print which are whose.

    Parameters
    ----------
    *names : str
        Of the exercises that are wanted. Default: all.

    Returns
    -------
    Answers
        A namespace: ``answers().conv2d_forward(x, weight, bias, stride, padding)``.

    Raises
    ------
    ValueError
        If there is no such exercise.
    """
    if unknown := [name for name in names if name not in EXERCISES]:
        raise ValueError(f"expected names of exercises, got {', '.join(unknown)}")
    result = find(names or tuple(EXERCISES))
    say_whose(result._yours, [name for name in names or EXERCISES if name not in result._yours])
    return result


def find(names: Sequence[str]) -> Answers:
    """Return answers without a word of whose they are; see `answers`."""
    live = {name: value for name in names if (value := _live(name)) is not None}
    yours = {name: value for name, value in live.items() if _is_right(name, value)}
    stored = _stored([name for name in names if name not in yours])
    for name in list(stored):
        if name in live and _written(name, live[name]):
            _say(
                f"{name}: yours has changed since it was right and is now wrong: the library's "
                "version runs."
            )
            record.retire(name)
            del stored[name]
    yours |= stored
    others = {
        name: our_version(e) for name, e in EXERCISES.items() if name in names and name not in yours
    }
    return Answers({name: yours[name] for name in names if name in yours}, others)


def say_whose(yours: Sequence[str], others: Sequence[str]) -> None:
    """Print whose answers are in use."""
    if not yours and len(others) > SHORT:
        _say("None of them is yours yet: the library's solutions run.")
        return
    parts = [f"Yours: {', '.join(yours)}."] * bool(yours)
    parts += [f"The library's: {', '.join(others)}."] * bool(others)
    _say(" ".join(parts))


def _live(name: str) -> Any:
    """Return the answer that the running notebook defines, None if it defines none."""
    space = kernel_namespace() or {}
    value = space.get(name)
    ours = isinstance(value, type) or hasattr(value, "__code__")
    return value if ours and value.__module__ == space.get("__name__") else None


def _is_right(name: str, answer: Any) -> bool:
    """Whether an answer of the running notebook is as it was when it was right, or right now."""
    mark = record.mark_of(record.read(), name)
    try:
        present = fingerprint(needs_of(name, answer))
    except NotCollectable:
        return _judge(name, answer).right
    if mark.get("used") and present == mark.get("cells"):
        return True
    if not _judge(name, answer).right:
        return False
    collect(EXERCISES[name], answer)
    return True


def _written(name: str, answer: Any) -> bool:
    """Whether a wrong answer is more than the cell that a student has been given."""
    return _judge(name, answer).written


def _judge(name: str, answer: Any) -> Verdict:
    try:
        return judge_in_time(EXERCISES[name], answer)
    except TypeError:  # a class for a function, or the other way round
        return Verdict(False, "")


def _stored(names: Sequence[str]) -> dict[str, Any]:
    """Return the answers that were collected and are right."""
    entries = record.read()
    try:
        text = record.read_mine()
    except SyntaxError as error:
        _say(f"{error.msg}, so nothing in it is used.")
        return {}
    blocks = blocks_of(text)
    own = [block for block in blocks if not block.stands_in]
    there = [name for name in names if any(name in block.bound for block in own)]
    found, errors = _load(text, there)
    for name, error in errors.items():
        _say(f"{name}: not used, {record.MINE} raises {type(error).__name__}: {error}")
    right = {}
    for name, value in found.items():
        if is_the_librarys(EXERCISES[name], value):
            continue  # another answer imports it under this name
        mark, now = record.mark_of(entries, name), _mark_in(text, name)
        if mark.get("file") == now:
            if mark.get("used"):
                right[name] = value
        elif _judge(name, value).right:
            right[name] = value
            with record.forgiving(), record.changing() as changed:
                record.set_mark(changed, name, {**mark, "file": now, "used": True})
        else:
            _say(f"{name}: what {record.MINE} has for it by now is wrong, so it is not used.")
    return right


def _say(text: str) -> None:
    print(textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False))

"""Count what the checks say to wrong answers: ``python -m tools.told [NAME ...]``.

The wrong answers to an exercise are its known mistakes, all small edits of its solution and some
pairs of edits. Each verdict is held against what the answer really does, by means of its own:

- *accepted*: it passes, but on other numbers it is not what the solution is;
- *false*: the sentence says what is not so of some case that fails;
- *shown*: no cause is named; the smallest case is shown, with what was expected and got;
- *vague*: not even that;
- *unsteady*: it gives something else at every call (least squares without a single solution do), so
  that nothing said of one call can be held against another.

Right answers are the solutions of the lessons, what known mistakes are edits of, and edits that
change nothing: *refused* counts those that do not pass. The exit code is 1 if anything was
accepted, refused or told falsely.
"""

from __future__ import annotations

import argparse
import copy
import random
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from n2n_lib.course.check import EXERCISES
from n2n_lib.course.check.edits import edits_of
from n2n_lib.course.check.exercise import Case, Exercise, but, tensors_in
from n2n_lib.course.check.judge import Verdict, judge
from n2n_lib.course.check.outcome import Outcome, call

PAIRS = 30
"""Of edits, for each exercise."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="exercises (default: all)")
    parser.add_argument("--most", type=int, default=1000, help="edits of each, at most")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="pairs of edits, of each")
    parser.add_argument("-v", action="store_true", help="print every verdict that counts against")
    options = parser.parse_args()
    total: Counter[str] = Counter()
    print(f"{'exercise':30}{HEAD}")
    times = []
    for name in options.names or EXERCISES:
        counts: Counter[str] = Counter()
        for what, text, found, seconds in told(EXERCISES[name], options.most, options.pairs):
            counts[what] += 1
            times.append(seconds)
            if options.v and what in ("accepted", "refused", "false", "vague"):
                print(f"--- {what}: {found.kind} {found.message}\n{text}\n")
        total += counts
        print(f"{name:30}{row(counts)}", flush=True)
    print(f"{'all':30}{row(total)}")
    print(f"median {statistics.median(times):.3f} s, slowest {max(times):.2f} s")
    sys.exit(bool(total["accepted"] + total["refused"] + total["false"]))


RAISES = "A right one raises the same, in every case,"
"""What is said of an edit that raises what an answer raises."""

KINDS = (
    "right",
    "refused",
    "accepted",
    "false",
    "named",
    "located",
    "raised",
    "shown",
    "vague",
    "unsteady",
)
HEAD = "".join(f"{kind:>9}" for kind in KINDS)


def row(counts: Counter[str]) -> str:
    return "".join(f"{counts[kind]:9}" for kind in KINDS)


# ------------------------------------------------------------------------------ verdicts


def told(
    exercise: Exercise, most: int = 1000, pairs: int = PAIRS, *, known: bool = True
) -> Iterator[tuple[str, str, Verdict, float]]:
    """Judge answers to an exercise; yield what became of each, its text, verdict and seconds.

    The `known` mistakes may be left out.
    """
    others = list(_other_cases(exercise))
    for text, function in _answers(exercise, most, pairs, known):
        start = time.perf_counter()
        verdict = judge(exercise, function)
        seconds = time.perf_counter() - start
        with torch.no_grad():
            yield _what(exercise, function, verdict, others), text, verdict, seconds


def _answers(
    exercise: Exercise, most: int, pairs: int, known: bool
) -> Iterator[tuple[str, Callable]]:
    drawn = random.Random(exercise.name)
    yield "the solution", exercise.function_of(but())
    for mistake in exercise.mistakes if known else ():
        for answer in mistake.answers:
            if getattr(answer, "of", None):
                yield "the solution in other words", exercise.function_of(answer.of)
            yield exercise.text_of(answer), exercise.function_of(answer)
    if not exercise.searched:
        return
    edits = list(edits_of(exercise.source))
    drawn.shuffle(edits)
    texts = [edit.source for edit in edits[:most]]
    for edit in edits[:pairs]:
        twice = list(edits_of(edit.source))
        texts += [drawn.choice(twice).source] if twice else []
    for text in texts:
        try:
            yield text, exercise.compiled(text)
        except Exception:  # not even defined: its cell would have failed
            continue


def _other_cases(exercise: Exercise) -> Iterator[Case]:
    """Yield the cases with other numbers of the same size and sign, where that makes sense."""
    source = torch.Generator().manual_seed(5)
    for case in exercise.cases:
        arguments = copy.deepcopy(case.arguments)
        tensors = [tensor for _, tensor in tensors_in(arguments) if tensor.is_floating_point()]
        for tensor in tensors:
            tensor *= 0.7 + 0.6 * torch.rand(tensor.shape, generator=source, dtype=tensor.dtype)
        if tensors:
            yield Case(case.name, arguments)


def _what(exercise: Exercise, function: Callable, verdict: Verdict, others: list[Case]) -> str:
    outcomes = [
        call(exercise, case, exercise.calls(function), watch=False) for case in exercise.cases
    ]
    for outcome, expected in zip(outcomes, exercise.expected, strict=True):
        outcome.expected = expected
    wrong = [each for each in outcomes if each.error is not None or _is_off(exercise, each)]
    changed = any(outcome.changed for outcome in outcomes)
    if verdict.right:
        return "accepted" if _differs(exercise, function, others) else "right"
    if not wrong and not changed and verdict.kind != "forbidden":
        return "refused"
    if not _is_true(exercise, verdict, outcomes, wrong):
        return "false" if _is_steady(exercise, function, outcomes) else "unsteady"
    return {
        **dict.fromkeys(("known", "known_elsewhere", "edit", "changed", "ready_made"), "named"),
        **dict.fromkeys(("forbidden", "type", "dtype"), "named"),
        "error": "raised",
        "shown": "shown",
        "shape": "shown" if "Given was" in verdict.message else "located",
    }.get(verdict.kind, "located")


def _is_steady(exercise: Exercise, function: Callable, outcomes: list[Outcome]) -> bool:
    """Whether an answer gives the same again."""
    again = [call(exercise, each.case, exercise.calls(function), watch=False) for each in outcomes]
    return all(
        first.error is not None or second.error is not None or exercise.same(first.got, second.got)
        for first, second in zip(outcomes, again, strict=True)
    )


def _is_off(exercise: Exercise, outcome: Outcome) -> bool:
    return not exercise.same(outcome.expected, outcome.got) or any(
        _kind(e) != _kind(g) for e, g in zip(outcome.expected, outcome.got, strict=False)
    )


def _kind(value: Any) -> Any:
    return value.dtype if isinstance(value, Tensor) else type(value)


def _differs(exercise: Exercise, function: Callable, cases: list[Case]) -> bool:
    """Whether an answer does not do the same as the solution on other numbers."""
    for case in cases:
        ours = call(exercise, case, exercise.calls(exercise.solution), watch=False)
        theirs = call(exercise, case, exercise.calls(function), watch=False)
        if ours.error is None and not any(_is_odd(value) for value in ours.got):
            if theirs.error is not None or not exercise.same(ours.got, theirs.got):
                return True
    return False


def _is_odd(value: Any) -> bool:
    return isinstance(value, Tensor) and not value.isfinite().all()


# ------------------------------------------------------------------------------ truth


def _is_true(
    exercise: Exercise, verdict: Verdict, outcomes: list[Outcome], wrong: list[Outcome]
) -> bool:
    """Whether a sentence says what is so, by its kind; those without a claim of their own are."""
    text = verdict.message
    judges = {
        "known": lambda: _does_what(_mistakes_in(exercise, text), exercise, outcomes, 1),
        "known_elsewhere": lambda: _does_what(_mistakes_in(exercise, text), exercise, wrong, 2),
        "edit": lambda: _does_what(_edits_in(exercise, text), exercise, outcomes, 1),
        "error": lambda: (
            any(
                outcome.error is not None
                and f"“{outcome.case.name}”" in text
                and type(outcome.error).__name__ in text
                for outcome in wrong
            )
            and (RAISES not in text or _raises_what(_edits_in(exercise, text), exercise, outcomes))
        ),
        "factor": lambda: _is_factor(exercise, text, wrong),
        "transposed": lambda: all(_is_moved(exercise, text, *pair) for pair in _pairs(wrong)),
        "order": lambda: all(_is_moved(exercise, text, *pair) for pair in _pairs(wrong)),
        "reshaped": lambda: all(
            e.numel() == g.numel() and exercise.close(e.flatten(), g.flatten())
            for e, g in _pairs(wrong)
        ),
        "dtype": lambda: all(
            e.dtype != g.dtype and torch.allclose(e.float(), g.float(), 1e-4, 1e-5)
            for e, g in _pairs(wrong)
        ),
        "shape": lambda: _is_shape(text, wrong),
        "place": lambda: _is_place(exercise, text, wrong),
        "sign_of_argument": lambda: _is_sign(exercise, text, wrong),
    }
    return judges.get(verdict.kind, lambda: True)()


def _pairs(wrong: list[Outcome]) -> Iterator[tuple[Any, Any]]:
    """Yield (expected, got) of all that is wrong."""
    for outcome in wrong:
        for expected, got in zip(outcome.expected, outcome.got, strict=False):
            if not outcome.exercise.same([expected], [got]) or _kind(expected) != _kind(got):
                yield expected, got


def _mistakes_in(exercise: Exercise, text: str) -> list[Callable]:
    return [
        exercise.function_of(answer)
        for mistake in exercise.mistakes
        if mistake.sentence in text
        for answer in mistake.answers
    ]


def _edits_in(exercise: Exercise, text: str) -> list[Callable]:
    start = f"(?:what a right one would give|{RAISES})"
    said = re.search(rf"{start} (.*)\.$", text.partition(" It also")[0])
    parts = said[1].split(" or with") if said else []
    found = [e for e in edits_of(exercise.source) if e.says and any(e.says in p for p in parts)]
    return [exercise.compiled(edit.source) for edit in found]


def _does_what(
    known: list[Callable], exercise: Exercise, outcomes: list[Outcome], least: int
) -> bool:
    """Whether one of some answers gives the same in every case where neither raises."""
    for function in known:
        same = 0
        for outcome in outcomes:
            theirs = call(exercise, outcome.case, exercise.calls(function), watch=False)
            if theirs.error is not None or outcome.error is not None:
                continue
            if exercise.same(theirs.got, outcome.got) or least > 1:
                same += exercise.same(theirs.got, outcome.got)
            else:
                break
        else:
            if same >= least or all(outcome.error is not None for outcome in outcomes):
                return True
    return False


def _raises_what(edits: list[Callable], exercise: Exercise, outcomes: list[Outcome]) -> bool:
    """Whether one of some edits raises the same in every case."""

    def said(outcome: Outcome) -> tuple[str, str]:
        return type(outcome.error).__name__, str(outcome.error)

    return any(
        all(
            said(call(exercise, each.case, exercise.calls(function), watch=False)) == said(each)
            for each in outcomes
        )
        for function in edits
    )


def _is_factor(exercise: Exercise, text: str, wrong: list[Outcome]) -> bool:
    """Whether everything that is wrong is a multiple of what it should be."""
    for outcome in wrong:
        for expected, got in _pairs([outcome]):
            if not isinstance(expected, Tensor):
                continue
            where = expected.abs() > 1e-3 * expected.abs().max()
            ratio = (got.double() / expected.double())[where]
            if ratio.numel() and (ratio - ratio.mean()).abs().max() > 1e-3 * ratio.mean().abs():
                return bool((got == 0).all())
            if text.count("everywhere") and "wrong sign" in text and len(exercise.returns) == 1:
                if (ratio + 1).abs().max() > 1e-3:
                    return False
            constant = re.search(r"constant factor of (-?[\d.e+-]+)", text)
            if constant and len(exercise.returns) == 1:
                factor = float(constant[1].rstrip("."))
                if (ratio - factor).abs().max() > 2e-3 * abs(factor):
                    return False
    return True


def _is_moved(exercise: Exercise, text: str, expected: Tensor, got: Tensor) -> bool:
    return expected.numel() == got.numel() and exercise.close(
        expected.flatten().sort().values, got.flatten().sort().values
    )


def _is_shape(text: str, wrong: list[Outcome]) -> bool:
    pairs = [(e, g) for e, g in _pairs(wrong) if isinstance(g, Tensor)]
    if "single number" in text:
        return all(g.dim() == 0 for _, g in pairs)
    if "too few" in text:
        return all(
            all(b in (a, a - 1) for a, b in zip(e.shape, g.shape, strict=True)) for e, g in pairs
        )
    if "batch is missing" in text:
        return all(g.shape == e.shape[1:] for e, g in pairs)
    if "too many in front" in text:
        return all(g.shape[1:] == e.shape for e, g in pairs)
    return any(e.shape != g.shape for e, g in pairs)


def _is_place(exercise: Exercise, text: str, wrong: list[Outcome]) -> bool:
    """Whether all that is wrong is in the first, or last, place along some dimension."""
    at = -1 if "Only the last" in text else 0
    for dim in (None, *range(max(e.dim() for e, _ in _pairs(wrong)))):
        masks = [exercise.wrong(e, g) for e, g in _pairs(wrong)]
        lines = [
            m.flatten() if dim is None else m.movedim(dim, 0) for m in masks if m.dim() > (dim or 0)
        ]
        rest = [line[:-1] if at else line[1:] for line in lines]
        if len(lines) == len(masks) and not any(part.any() for part in rest):
            return True
    return False


def _is_sign(exercise: Exercise, text: str, wrong: list[Outcome]) -> bool:
    said = re.search(r"wrong where (\w+) is (zero|negative|positive)", text)
    tests = {"zero": lambda a: a == 0, "negative": lambda a: a < 0, "positive": lambda a: a > 0}
    return all(
        torch.equal(
            exercise.wrong(outcome.expected[0], outcome.got[0]),
            tests[said[2]](outcome.case.arguments[said[1]]),
        )
        for outcome in wrong
    )


if __name__ == "__main__":
    main()

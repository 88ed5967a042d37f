"""What a check sees of an answer while it runs, and what it says to answers nobody foresaw."""

from __future__ import annotations

import cProfile
import functools
import math
import random
import sys
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from answers import judge, student
from torch.nn import functional

from n2n_lib import check
from n2n_lib.course.check import EXERCISES, edits, known
from n2n_lib.course.check.edits import edits_of
from n2n_lib.course.check.judge import Verdict, our_version
from n2n_lib.course.check.judge import judge as verdict_on
from n2n_lib.course.check.watch import Watch
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.kernels import fast
from tools.told import told

alias = functional.conv2d


def by_functional(x, weight, bias, stride, padding):
    return functional.conv2d(x, weight, bias, stride, padding)


def by_alias(x, weight, bias, stride, padding):
    return functools.partial(alias, x, weight)(bias, stride, padding)


def by_operator(x, weight, bias, stride, padding):
    return torch.ops.aten.conv2d(x, weight, bias, (stride, stride), (padding, padding))


def by_getattr(x, weight, bias, stride, padding):
    return getattr(torch, "conv" + "2d")(x, weight, bias, stride, padding)


def by_module(x, weight, bias, stride, padding):
    outputs, channels, *kernel = weight.shape
    layer = torch.nn.Conv2d(channels, outputs, kernel, stride, padding)
    layer.weight.data, layer.bias.data = weight, bias
    return layer(x)


def by_library(x, weight, bias, stride, padding):
    outputs, channels, *kernel = weight.shape
    layer = Conv2d(channels, outputs, tuple(kernel), stride, padding).to(x.dtype)
    layer.weight, layer.bias = weight, bias
    return layer(x)


def by_solution(x, weight, bias, stride, padding):
    return our_version(EXERCISES["conv2d_forward"])(x, weight, bias, stride, padding)


@pytest.mark.parametrize(
    "answer",
    [by_functional, by_alias, by_operator, by_getattr, by_module, by_library, by_solution],
)
def test_ready_made_functions_are_seen_by_whatever_name(answer: Callable):
    verdict = verdict_on(EXERCISES["conv2d_forward"], answer)
    assert not verdict.right and verdict.kind == "forbidden"
    assert "numbers are right" in verdict.message and "ready-made" in verdict.message


def relu_by_autograd(grad_output, output):
    with torch.enable_grad():
        x = output.clone().requires_grad_()
        x.relu().backward(grad_output)
    return x.grad


def relu_by_grad(grad_output, output):
    with torch.enable_grad():
        x = output.clone().requires_grad_()
        return torch.autograd.grad(x.relu(), x, grad_output)[0]


def relu_by_vjp(grad_output, output):
    return torch.func.vjp(torch.relu, output)[1](grad_output)[0]


@pytest.mark.parametrize("answer", [relu_by_autograd, relu_by_grad, relu_by_vjp])
def test_autograd_is_seen(answer: Callable):
    verdict = verdict_on(EXERCISES["relu_backward"], answer)
    assert not verdict.right and "ready-made" in verdict.message


def test_what_is_asked_for_is_seen_and_elsewhere_allowed():
    assert "`torch's sigmoid`" in judge("sigmoid_forward", torch.sigmoid)
    check.ELU(student("ELU", None))
    check.relu_forward(lambda x: x.clamp(min=0))


def test_other_ways_are_right():
    def by_einsum(x, weight, bias, stride, padding):
        height = (x.shape[2] + 2 * padding - weight.shape[2]) // stride + 1
        windows = functional.unfold(x, weight.shape[2:], stride=stride, padding=padding)
        windows = windows.unflatten(1, weight.shape[1:])
        y = torch.einsum("ocuv,ncuvl->nol", weight, windows) + bias[:, None]
        return y.unflatten(2, (height, -1))

    def by_numpy(x, weight, bias, stride, padding):
        rows = int(np.floor((x.shape[2] + 2 * padding - weight.shape[2]) / stride)) + 1
        windows = functional.unfold(x, weight.shape[2:], stride=stride, padding=padding)
        return (weight.flatten(1) @ windows + bias.view(-1, 1)).unflatten(2, (rows, -1))

    for answer in (by_einsum, by_numpy):
        assert verdict_on(EXERCISES["conv2d_forward"], answer).right


def test_answers_to_other_exercises_may_be_used():
    size = our_version(EXERCISES["output_size"])

    def loops(x, weight, bias, stride, padding, dilation):
        assert size(x.shape[2], weight.shape[2], stride, padding, dilation) > 0
        return student("conv2d_loops")(x, weight, bias, stride, padding, dilation)

    assert verdict_on(EXERCISES["conv2d_loops"], loops).right


def test_float32_on_the_way_is_right_to_its_digits():
    def single(x, weight, bias, stride, padding):
        y = student("conv2d_forward")(x.float(), weight.float(), bias.float(), stride, padding)
        return y.to(x.dtype)

    verdict = verdict_on(EXERCISES["conv2d_forward"], single)
    assert verdict.right and "To seven digits" in verdict.message

    def rounded(x, weight, bias, stride, padding):  # without a tensor of float32
        y = student("conv2d_forward")(x, weight, bias, stride, padding)
        return (y * 1e6).round() / 1e6

    assert not verdict_on(EXERCISES["conv2d_forward"], rounded).right


def test_a_tensor_that_moves_is_not_changed_in_place():
    def moves(params, lr):
        for parameter, gradient in params:
            parameter.data = parameter - lr * gradient

    verdict = verdict_on(EXERCISES["sgd_step"], moves)
    assert not verdict.right and "lies elsewhere in memory" in verdict.message


def test_a_loop_is_seen_where_none_is_wanted():
    def loops(grad_output, scale):
        return sum(
            grad_output[:, :, i::scale, j::scale] for i in range(scale) for j in range(scale)
        )

    verdict = verdict_on(EXERCISES["upsample_backward"], loops)
    assert not verdict.right and "there is a loop in it" in verdict.message


def test_a_watch_leaves_nothing_behind_and_a_profiler_in_peace():
    seen = set()

    def profile(frame, event, argument):
        seen.add(frame.f_code)

    for before in (None, profile):
        sys.setprofile(before)
        try:
            with Watch() as watch:
                torch.ones(2).sum()
                by_loop()
            assert sys.getprofile() is before
        finally:
            sys.setprofile(None)
        assert watch.seen.loops
    assert by_loop.__code__ in seen


def by_loop():
    for number in range(2):
        assert number < 2


def test_a_profiler_in_c_is_paused():
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        with Watch() as watch:
            by_loop()
        math.comb(4, 2)
    finally:
        profiler.disable()
    assert watch.seen.loops
    assert any("comb" in str(entry.code) for entry in profiler.getstats())


def test_of_the_library_what_is_derived_later_is_seen():
    def by_kernel(x, weight, bias, stride, padding):
        return fast.conv2d_forward(x, weight, bias, stride, padding)

    if hasattr(fast, "conv2d_forward"):
        assert not verdict_on(EXERCISES["conv2d_forward"], by_kernel).right


# ------------------------------------------------------------------------------ sentences


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", EXERCISES)
def test_no_sentence_says_what_is_not_so(name: str):
    """A few of the edits that ``python -m tools.told`` makes, each exercise its own."""
    counts: Counter[str] = Counter()
    for what, text, verdict, _ in told(EXERCISES[name], most=3, pairs=1, known=False):
        counts[what] += 1
        assert what not in ("accepted", "refused", "false"), (what, verdict, text)
    assert counts["right"] > 0


def test_two_sentences_that_fit_are_both_given():
    verdict = verdict_on(
        EXERCISES["sequential_backward"], lambda modules, g: modules[0].backward(g)
    )
    assert verdict.message


def test_what_fits_nothing_is_shown_with_its_numbers():
    def odd(x, weight, bias, stride, padding):
        return student("conv2d_forward")(x, weight, bias, stride, padding) ** 3 + 0.1

    verdict = verdict_on(EXERCISES["conv2d_forward"], odd)
    assert verdict.kind == "shown"
    case = EXERCISES["conv2d_forward"].cases[0]
    shown = check.case("conv2d_forward", 0)
    assert f"“{case.name}”" in verdict.message
    assert 'check.case("conv2d_forward", 0)' in verdict.message
    for value in (shown.expected[0][0, 0, 0, 0], shown.got(odd)[0][0, 0, 0, 0]):
        assert f"{value:.4g}" in verdict.message


def test_numbers_that_look_alike_get_more_digits():
    verdict = verdict_on(
        EXERCISES["xavier_std"], lambda shape: 1.0000001 * student("xavier_std")(shape)
    )
    assert not verdict.right
    row = next(line for line in verdict.table.splitlines() if "wrong number" in line)
    assert len(set(row.split()[-4:-2])) == 2


def test_a_case_can_be_looked_at_closely():
    shown = check.case(check.output_size, "padding 2")
    assert shown.arguments == {"size": 6, "kernel": 3, "stride": 1, "padding": 2, "dilation": 1}
    assert shown.expected == (8,) and "padding: 2" in repr(shown)
    assert shown.got(student("output_size")) == (8,)
    assert "shape (1, 1, 4, 4), float64" in repr(check.case("conv2d_forward"))
    with pytest.raises(ValueError, match="conv2d_forward meant"):
        check.case("conv2d_foward")
    with pytest.raises(ValueError, match="expected a case of output_size: 0 “plain”"):
        check.case("output_size", 17)
    shown.arguments["size"] = 7  # a copy: the check is as it was
    assert verdict_on(EXERCISES["output_size"], student("output_size")).right


def test_edits_are_other_texts_that_python_reads():
    drawn = random.Random(0)
    for name in drawn.sample(sorted(EXERCISES), 12):
        texts = [edit.source for edit in edits_of(EXERCISES[name].source)]
        assert len(texts) == len(set(texts))
        for text in drawn.sample(texts, min(5, len(texts))):
            compile(text, name, "exec")


def test_the_search_for_an_edit_ends_and_goes_on_at_the_next_check(monkeypatch):
    def odd(x, weight, bias, stride, padding):
        return student("conv2d_forward")(x, weight, bias, stride, padding) ** 3 + 0.1

    exercise, counts = EXERCISES["conv2d_forward"], []
    edits._tried.cache_clear()
    monkeypatch.setattr(edits, "SECONDS", 0.0)
    for _ in range(3):
        assert verdict_on(exercise, odd).kind == "shown"
        counts.append(len(edits._tried(exercise)._made))
    assert counts == [1, 1, 1], "the first is remembered, and takes no time"
    monkeypatch.setattr(edits, "SECONDS", 60.0)
    assert verdict_on(exercise, odd).kind == "shown"
    assert len(edits._tried(exercise)._made) > 50


def test_wrong_answers_of_a_few_exercises_are_remembered(all_mistakes_are_remembered):
    for exercise in list(EXERCISES.values())[:20]:
        all_mistakes_are_remembered(exercise)
        edits._tried(exercise)
    for remembered in (all_mistakes_are_remembered, edits._tried):
        assert remembered.cache_info().currsize == known.REMEMBERED < 20


def test_many_right_values_share_a_row(capsys):
    def first_only(params, lr):
        parameter, gradient = params[0]
        parameter -= lr * gradient

    verdict = verdict_on(EXERCISES["momentum_step"], lambda *arguments: None)
    assert isinstance(verdict, Verdict) and "values" not in verdict.table
    table = verdict_on(EXERCISES["sgd_step"], first_only).table
    assert "wrong numbers" in table and max(map(len, table.splitlines())) <= 100


def test_a_message_begins_with_the_students_name(capsys):
    def mine(shape):
        return student("xavier_std")(shape)

    check.xavier_std(mine)
    assert capsys.readouterr().out.startswith("mine: right, ")
    with pytest.raises(check.CheckFailed, match="^wrong: "):
        check.xavier_std(wrong)


def wrong(shape):
    return 0.5


@pytest.mark.parametrize("name", ["conv2d_forward", "sigmoid_forward"])  # which is elementwise
@pytest.mark.parametrize("odd", [0.0, 1e-300, 1e308, -1e308, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("off", [0.0, 1e-12, 1e-7, 1.0, math.inf, math.nan])
def test_the_short_way_to_compare_finds_what_the_long_one_finds(name: str, odd: float, off: float):
    expected = torch.tensor([0.5, -2.0, odd], dtype=torch.float64)
    for got in (expected + off, expected * (1 + off), expected.clone(), expected.flip(0)):
        exercise = EXERCISES[name]
        assert exercise.close(expected, got) == (not exercise.wrong(expected, got).any())

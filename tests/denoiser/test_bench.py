"""Our speed: what is measured, in processes of their own, and what a step needs at least."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from commands import ROOT

from n2n_lib.denoiser import bench
from n2n_lib.denoiser.bench import CHANNELS_LAST, OURS, PLAIN, UNFOLD, Case, Result, measure, work
from n2n_lib.denoiser.networks import report_network
from n2n_lib.framework.activations import ReLU
from n2n_lib.framework.containers import Sequential
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.upsampling import Upsampling

LIMITS = {"gigaflops": 2.0, "gigabytes_per_second": 4.0}
SIDE = 8


def small_network() -> Sequential:
    return Sequential(Conv2d(3, 4, 2, stride=2), ReLU(), Upsampling(4, 3, 3, padding=1))


@pytest.mark.parametrize("training", [True, False], ids=["training", "prediction"])
def test_what_a_step_needs_at_least(training: bool):
    """Counted by hand: two tensor passes a layer in the forward, the gradients in the backward."""
    multiplications, size = work(Case("small", small_network, 2, SIDE, training=training))
    whole, half = SIDE * SIDE, SIDE * SIDE // 4
    first = half * (2 * 2) * 3 * 4
    second = half * (4 * 4) * 4 * 3  # 4 x 4 taps make all four pixels that a pixel becomes
    moved_first, moved_second = 3 * whole + 4 * half, 4 * half + 3 * whole
    if training:  # the first layer needs no gradient of its input
        assert multiplications == 2 * (2 * first + 3 * second)
        assert size == 4 * 2 * (2 * moved_first + 2 * moved_second + 4 * half)
    else:
        assert multiplications == 2 * (first + second)
        assert size == 4 * 2 * (moved_first + moved_second)


@pytest.mark.parametrize("training", [True, False], ids=["training", "prediction"])
def test_every_row_is_measured(training: bool):
    case, rows = Case("small", small_network, 2, SIDE, training=training), bench.ROWS[:-1]
    result = measure(case, rows, LIMITS, rounds=5)
    assert result.case == "small" and tuple(result.milliseconds) == rows
    for row in rows:
        low, high = result.spread[row]
        assert 0 < low <= result.milliseconds[row] <= high
        assert result.ratio(row) == result.best_pytorch / result.milliseconds[row]
    assert result.best_pytorch == min(
        result.milliseconds[PLAIN], result.milliseconds[CHANNELS_LAST]
    )
    multiplications, size = work(case)
    assert (result.multiplications, result.bytes) == (multiplications, size)
    # A multiplication brings an addition: 2 Gflop/s are 1e9 of them.
    assert result.floor == pytest.approx(1e3 * (multiplications / 1e9 + size / 4e9))


def test_a_time_limit_ends_the_rounds():
    case = Case("small", small_network, 1, SIDE, training=False)
    result = measure(case, (OURS, PLAIN), LIMITS, rounds=10**9, seconds=0.01)
    assert result.milliseconds.keys() == {OURS, PLAIN}


def test_a_case_has_a_process_of_its_own():
    case = Case("report's network", report_network, 1, 32, training=False)
    (result,) = bench.run(
        (case,), LIMITS, compiled=False, memory=False, seconds=0.01, progress=False
    )
    assert isinstance(result, Result) and result.case == case.name
    assert set(result.milliseconds) == {OURS, UNFOLD, PLAIN, CHANNELS_LAST}
    assert result.megabytes == {}


def test_a_process_that_dies_is_one_clear_error():
    case = Case("a network that kills", partial(os._exit, 3), 1, 32)
    message = "expected a measurement of 'a network that kills', got none.* exit code 3"
    with pytest.raises(ChildProcessError, match=message):
        list(bench.run((case,), LIMITS, compiled=False, memory=False, progress=False))
    assert bench.peak_memory(OURS, case) is None


def test_a_full_run_and_its_twin_in_pytorch_end_alike():
    runs = [bench.full_run(row, 16, 4.0, pairs=320, epochs=2) for row in (OURS, CHANNELS_LAST)]
    assert runs[0].psnr_noisy == runs[1].psnr_noisy
    assert abs(runs[0].psnr - runs[1].psnr) < 0.05
    assert all(run.seconds > 0 for run in runs)


APART = """
from functools import partial
from n2n_lib.denoiser.bench import _apart
if __name__ == "__main__":
    open("begins", "w").close()
    work = partial(exec, "import time; open('works', 'w').close(); time.sleep(60)")
    try:
        _apart(work, "slow")
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
@pytest.mark.parametrize("moment", ["begins", "works"])
def test_an_interrupted_measurement_ends_in_silence(moment: str, tmp_path: Path):
    (tmp_path / "apart.py").write_text(APART)
    process = subprocess.Popen(
        [sys.executable, "apart.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,  # a terminal, too, sends Ctrl-C to a whole group of processes
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / moment).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    started = time.monotonic()
    assert process.communicate(timeout=30) == ("interrupted\n", "")
    assert time.monotonic() - started < 10

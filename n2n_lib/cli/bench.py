"""``n2n bench``: measure our speed."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from n2n_lib.cli.options import (
    QuietOption,
    ThreadsOption,
    UsageError,
    check_at_least,
    check_positive,
    use_threads,
)

if TYPE_CHECKING:
    from rich.console import Console

    from n2n_lib.denoiser.bench import Result


def bench(
    context: typer.Context,
    seconds: Annotated[float, typer.Option(help="Time for each case, about.")] = 20.0,
    cases: Annotated[
        str, typer.Option(help="Measure only the cases whose name holds this text.")
    ] = "",
    compiled: Annotated[
        bool, typer.Option("--compile/--no-compile", help="Measure torch.compile too.")
    ] = True,
    memory: Annotated[
        bool, typer.Option("--memory/--no-memory", help="Measure peak memory too (Linux).")
    ] = True,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Write all figures to this file.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw a bar chart to this file.")] = None,
    full_runs: Annotated[
        bool,
        typer.Option(
            "--full-runs",
            help="Time whole trainings instead, 50 000 pairs x 8 epochs at batch 4 and 16, and "
            "the same in torch.nn: some minutes.",
        ),
    ] = False,
    threads: ThreadsOption = None,
    busy: Annotated[
        int,
        typer.Option(
            help="Let so many other programs keep processors busy meanwhile, for ours and "
            "PyTorch's alike.",
        ),
    ] = 0,
    quiet: QuietOption = False,
) -> None:
    """Compare our speed with PyTorch's: the rows of a case take turns, medians of many.

    Each case has a process of its own, so that none finds the memory as another one left it.
    """
    from n2n_lib.cli.console import make_console
    from n2n_lib.denoiser import bench as benchmark
    from n2n_lib.denoiser import plots
    from n2n_lib.support import files
    from n2n_lib.support.busy import busy as busy_programs
    from n2n_lib.support.threads import span

    check_positive(seconds, "--seconds")
    check_at_least(busy, "--busy", 0)
    chosen = tuple(case for case in benchmark.CASES if cases in case.name)
    if not chosen:
        names = ", ".join(repr(case.name) for case in benchmark.CASES)
        raise UsageError(f"expected --cases to be part of a name out of {names}, got {cases!r}")
    for path in filter(None, (json_path, plot)):
        files.check_writable(path.absolute().parent)
    use_threads(context, span().most if threads is None else threads)
    console, limits = make_console(), benchmark.machine() | {"busy": busy}
    console.print(
        f"{limits['processor']}, {limits['threads']} threads, torch {limits['torch']}: products "
        f"{limits['gigaflops']:.0f} Gflop/s (torch.mm {limits['gigaflops_mm']:.0f}), copies "
        f"{limits['gigabytes_per_second']:.0f} GB/s"
    )
    context.with_resource(busy_programs(busy))  # not beside the limits, which are the machine's own
    if busy:
        console.print(f"beside {busy} busy program{'s' if busy > 1 else ''}")
    if full_runs:
        _bench_full_runs(console)
        return
    results = []
    for result in benchmark.run(
        chosen, limits, compiled=compiled, memory=memory, seconds=seconds, progress=not quiet
    ):
        results.append(result)
        _print_bench(console, result)
    if json_path is not None:
        content = {"machine": limits, "results": [asdict(result) for result in results]}
        files.write_atomically(
            json_path, lambda file: file.write(json.dumps(content, indent=2).encode())
        )
    if plot is not None:
        speeds = {r.case: {row: r.ratio(row) for row in r.milliseconds} for r in results}
        plots.save_figure(plots.show_speeds(speeds, reference="PyTorch's fastest"), plot)


def _bench_full_runs(console: Console) -> None:
    """Train with our modules and with PyTorch's in turn, and print a line after each."""
    from n2n_lib.denoiser import bench as benchmark

    for batch_size, lr in benchmark.FULL_RUNS:
        for row in (benchmark.OURS, benchmark.CHANNELS_LAST):
            run = benchmark.full_run(row, batch_size, lr)
            console.print(
                f"batch {batch_size}, {row}: {run.seconds / 60:.2f} minutes, "
                f"{run.psnr:.2f} dB (do nothing {run.psnr_noisy:.2f}; mean over images)"
            )


def _print_bench(console: Console, result: Result) -> None:
    from rich.table import Table

    from n2n_lib.denoiser.bench import OURS

    table = Table(title=result.case, title_justify="left")
    for heading in ("", "ms", "quartiles", "x best PyTorch", "MB", "x floor"):
        table.add_column(heading, justify="left" if heading == "" else "right")
    for row, median in result.milliseconds.items():
        low, high = result.spread[row]
        table.add_row(
            row,
            f"{median:.2f}",
            f"{low:.2f}-{high:.2f}",
            f"{result.ratio(row):.2f}",
            f"{result.megabytes[row]:.0f}" if row in result.megabytes else "",
            f"{median / result.floor:.1f}",
            style="bold" if row == OURS else None,
        )
    table.caption = (
        f"floor {result.floor:.2f} ms: {result.multiplications / 1e9:.2f} G multiplications, "
        f"{result.bytes / 1e6:.0f} MB"
    )
    console.print(table)

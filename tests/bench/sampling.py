"""What looking at less costs: --sample and --duty beside looking at every exit."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tests.bench.harness import TIFBPF, Role, Row, Run, Side, bench, running
from tests.bench.probe import ns_a_run, shown
from tests.bench.workloads import Loop

_BY = ("--by", "syscall,comm,pid")
_SAMPLES = (1, 10, 100, 1000)
_DUTIES = (50, 10)
_CALLS = 1_000_000
_LONG = 8_000_000
"""Calls that take a second or more: several windows."""


def _options(kept: tuple[str, ...]) -> dict[str, list[str]]:
    samples = {f"--sample {one_in}": ["--sample", str(one_in), *kept] for one_in in _SAMPLES if one_in > 1}
    duties = {f"--duty {pct}": ["--duty", str(pct), "--interval", "0.2", *kept] for pct in _DUTIES}
    return {"every exit": [*kept], **samples, **duties}


def _beside(command: list[str], loop: Loop, calls: int) -> float:
    with running(command, "tifbpf: recording"):
        return loop.ns("fast", calls)


def _rows(run: Run, name: str, kept: tuple[str, ...]) -> Iterator[Row]:
    loop = Loop(run.directory)
    recording = str(run.directory / "bench.tif.parquet")
    commands = {
        setting: [TIFBPF, "record", "--force", "-o", recording, *options]
        for setting, options in _options(kept).items()
    }
    yield run.row(
        f"BPF time per exit, {name}",
        "ns",
        [
            Side(
                setting,
                Role.OURS,
                shown(command),
                partial(lambda it: ns_a_run(running(it, "tifbpf: recording"), loop, "fast"), command),
            )
            for setting, command in commands.items()
            if "--duty" not in command
        ],
        notes=("with the two clock readings by which the kernel takes it",),
    )
    yield run.row(
        f"a getppid call beside the recorder, {name}",
        "ns",
        [
            Side("not recording", Role.FLOOR, "", lambda: loop.ns("fast", _CALLS)),
            *(
                Side(
                    setting,
                    Role.OURS,
                    shown(command),
                    partial(_beside, command, loop, _LONG if "--duty" in command else _CALLS),
                )
                for setting, command in commands.items()
            ),
        ],
    )


@bench("sampling", "Looking at less")
def sampling(run: Run) -> Iterator[Row]:
    """The hook remains whatever the sample; the detached part of the time costs nothing."""
    yield from _rows(run, "words only", ())
    yield from _rows(run, "by syscall, comm and pid", _BY)

"""The process that records: `python -m tifbpf.recorder JOB`, what `tifbpf record` turns itself into.

The command line's libraries (typer, pydantic) would stay in its memory for as long as it records, which may
be weeks: 15 MB. So the command parses, and then executes this with the job as JSON.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from tifbpf.conditions.model import Condition
from tifbpf.errors import run_and_exit
from tifbpf.recorder.options import Options

if TYPE_CHECKING:
    from tifbpf.recorder.tally import Tally
    from tifbpf.recording.metadata import Metadata


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to record, into what, and for how long: the arguments of `tifbpf.recorder.record.record`."""

    options: Options
    output: Path
    force: bool
    duration_ns: int | None
    command: tuple[str, ...]
    only_command: bool
    conditions: tuple[Condition, ...] = ()
    """What the recording must not hold."""
    fail_fast: bool = False
    """End it once it does."""
    quiet: bool = False
    """Say nothing but errors, and what was not to be there."""
    verbose: bool = False
    """Say also what the recording rests on."""

    def execute(self) -> NoReturn:
        """Become the process that does it."""
        sys.stdout.flush()
        sys.stderr.flush()
        job = msgspec.json.encode(self, enc_hook=str).decode()
        os.execv(sys.executable, [sys.executable, "-m", "tifbpf.recorder", job])  # noqa: S606 (no shell)


def _path(kind: type, value: str) -> Path:
    return Path(value)


def main(job: Job) -> int:
    """Do `job`; return the exit code."""
    from tifbpf.conditions.text import exit_code, lines
    from tifbpf.recorder.basis import lines as basis
    from tifbpf.recorder.guard import Guard
    from tifbpf.recorder.record import record

    guard = Guard(job.conditions, fast=job.fail_fast) if job.conditions else None
    terminal = sys.stderr.isatty()
    clear = "\r\x1b[K" if terminal else ""

    def say(text: str, end: str = "\n") -> None:
        try:
            print(f"{clear}tifbpf: {text}", end=end, file=sys.stderr, flush=True)
        except BrokenPipeError:
            # Whoever read this has gone; the recording is still wanted.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())

    def attached(metadata: Metadata) -> None:
        for line in basis(metadata):
            say(line)

    def dropped(standing: str) -> None:
        if job.verbose:
            say(standing)

    def begun() -> None:
        if not job.quiet:
            say("recording")

    def progress(tally: Tally) -> None:
        if terminal and not job.quiet:
            say(str(tally), end="")

    ending, tally = record(
        job.options,
        output=job.output,
        force=job.force,
        duration_ns=job.duration_ns,
        command=job.command,
        only_command=job.only_command,
        guard=guard,
        on_attached=attached if job.verbose else None,
        on_dropped=dropped,
        on_begin=begun,
        on_progress=progress,
        on_step=say,
    )
    cut = "" if ending.complete else f" (cut short by {ending.reason})"
    if not job.quiet or cut or tally.lost:
        say(f"recorded {tally} ({tally.causes}){cut}; read it with: tifbpf report {job.output}")
    verdicts = guard.verdicts if guard else ()
    for verdict in verdicts:
        if job.quiet and not exit_code((verdict,)):
            continue
        for line in lines(verdict):
            say(line)
    return exit_code(verdicts) or ending.exit_code


if __name__ == "__main__":
    run_and_exit(lambda: main(msgspec.json.decode(sys.argv[1], type=Job, dec_hook=_path)))

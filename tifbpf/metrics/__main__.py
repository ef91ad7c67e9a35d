"""The process that exports: `python -m tifbpf.metrics JOB`, what `tifbpf export` turns itself into.

As `tifbpf.recorder.__main__`: the command line's libraries are not to stay in memory for weeks.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import msgspec

from tifbpf.errors import run_and_exit
from tifbpf.recorder.options import Options


class Listen(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Answer Prometheus there."""

    host: str
    port: int


class Write(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Write a file for node_exporter."""

    path: Path


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to count, and how to show it."""

    options: Options
    target: Listen | Write
    max_series: int
    quiet: bool = False
    """Say nothing but errors."""

    def execute(self) -> NoReturn:
        """Become the process that does it."""
        sys.stdout.flush()
        sys.stderr.flush()
        job = msgspec.json.encode(self, enc_hook=str).decode()
        os.execv(sys.executable, [sys.executable, "-m", "tifbpf.metrics", job])  # noqa: S606 (no shell)


def _path(kind: type, value: str) -> Path:
    return Path(value)


def main(job: Job) -> int:
    """Do `job`; return the exit code."""
    from tifbpf.metrics import export

    def say(text: str) -> None:
        if not job.quiet:
            print(f"tifbpf: {text}", file=sys.stderr, flush=True)

    match job.target:
        case Listen(host=host, port=port):
            return export.serve(job.options, host=host, port=port, max_series=job.max_series, say=say)
        case Write(path=path):
            return export.write(job.options, path=path, max_series=job.max_series, say=say)


if __name__ == "__main__":
    run_and_exit(lambda: main(msgspec.json.decode(sys.argv[1], type=Job, dec_hook=_path)))

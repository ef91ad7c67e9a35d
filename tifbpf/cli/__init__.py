"""The command line: one module a command, no logic."""

from __future__ import annotations

import sys

from tifbpf.errors import run_and_exit


def main() -> None:
    """Run `tifbpf` on sys.argv and exit with one of `tifbpf.errors.ExitCode`."""
    from tifbpf.cli.app import run

    run_and_exit(lambda: run(sys.argv[1:]))

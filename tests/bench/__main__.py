"""`make bench`: figures, none of them a test: python -m tests.bench [--rounds N] [-o FILE] [BENCH…]."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import tempfile
from pathlib import Path

import msgspec

from tests.bench import machine
from tests.bench.harness import BENCHES, Run, say
from tests.bench.results import Results
from tests.bench.table import table

ROUNDS = 15
_MODULES = ("probe", "slowdown", "instructions", "start", "memory", "size", "sampling", "reports")
"""Which have benches, in the order of the table."""


def main() -> int:
    """Run what was asked for; write a table, and JSON beside it, after each bench."""
    for module in _MODULES:
        importlib.import_module(f"tests.bench.{module}")
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("benches", nargs="*", choices=[*BENCHES, []], default=[], metavar="BENCH")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each bench; {ROUNDS}")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.md", help="table here, JSON beside it")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("this needs root: it records")
    # Whoever installs a package has its modules compiled.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # What was started ends with us, however we are told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    command = " ".join(["python -m tests.bench", *sys.argv[1:]])
    results = Results(
        machine=machine.this(),
        command=command,
        rounds=arguments.rounds,
        titles={name: each.title for name, each in BENCHES.items()},
    )
    print(f"{results.machine}. {arguments.rounds} rounds.")
    try:
        for name in arguments.benches or BENCHES:
            with tempfile.TemporaryDirectory(prefix="tifbpf-bench-") as directory:
                results.rows[name] = list(BENCHES[name].run(Run(arguments.rounds, Path(directory))))
            say("")
            print("\n" + table(BENCHES[name].title, results.rows[name]), flush=True)
            if arguments.output:
                _write(results, arguments.output)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _write(results: Results, output: Path) -> None:
    groups = [table(BENCHES[name].title, rows) for name, rows in results.rows.items()]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("\n\n".join([f"{results.machine}. `{results.command}`", *groups]) + "\n")
    output.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(results)))


if __name__ == "__main__":
    sys.exit(main())

"""The figures in docs/benchmarks.md: python -m tests.bench.page [FILE.json…] puts in those of `make bench`.

Of several runs, the last that has a bench counts.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from tests.bench.harness import Role, Row
from tests.bench.results import Results
from tests.bench.table import figure, table

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "bench.json"
PAGE = ROOT / "docs" / "benchmarks.md"
_BEGIN, _END = "<!-- figures: python -m tests.bench.page -->", "<!-- end of figures -->"


def update(page: str, runs: Sequence[Results]) -> str:
    """Return the page with these figures in the place of those that it has."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n\n{_figures(runs)}\n\n{_END}{after}"


def _figures(runs: Sequence[Results]) -> str:
    # What follows the version is the machine's own.
    machine = re.sub(r"(Linux \d+\.\d+\.\d+)[^\s;]*", r"\1", str(runs[-1].machine))
    commands = "\n".join(f"    {run.command}" for run in runs)
    rows = {name: rows for run in runs for name, rows in run.rows.items()}
    ordered = {name: rows[name] for name in runs[-1].titles if name in rows}
    groups = [table(runs[-1].titles[name], each) for name, each in ordered.items()]
    goals = _goals([row for each in ordered.values() for row in each if row.goal])
    return "\n\n".join([f"{machine}.\n\n{commands}", goals, *groups])


def _goals(rows: Sequence[Row]) -> str:
    lines = ["| goal | for | ours | |", "|---|---|---|---|"]
    for row in rows:
        became = {True: "met", False: "**not met**", None: "not known"}[row.met]
        lines.append(f"| {row.goal} | {row.what} | {'; '.join(_ours(row))} | {became} |")
    return "\n".join(lines)


def _ours(row: Row) -> Iterator[str]:
    for side in row.of(Role.OURS):
        yield f"{figure(side.spread.median)} {row.unit}"


def main() -> None:
    """Write the page."""
    paths = [Path(name) for name in sys.argv[1:]] or [RESULTS]
    runs = [msgspec.json.decode(path.read_bytes(), type=Results) for path in paths]
    PAGE.write_text(update(PAGE.read_text(), runs))


if __name__ == "__main__":
    main()

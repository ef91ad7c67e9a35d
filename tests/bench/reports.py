"""Reports: of an everyday recording, and of a fleet's."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench import fleet_of
from tests.bench.harness import PYTHON, TIFBPF, Goal, MissingError, Role, Row, Run, Side, bench, say, seconds
from tests.bench.workloads import EVERYDAY_ROWS, everyday

HOSTS = 1_000
SAMPLED_HOSTS = 50
"""Of which pandas reads everything; all of them would not fit into memory."""
_CLASS = "context, path, tier, word, syscall_work"
_DIMENSIONS = ("syscall, abi", "comm", "pid", "cpu")
_SUMS = "sum(count), sum(ns)"


def _statements(files: Sequence[Path]) -> list[str]:
    """Return what sums the columns of a report, as somebody would write it who knows DuckDB and no tifbpf."""
    rows = f"read_parquet({[str(path) for path in files]})"
    step = "epoch_ns(time) // 5000000000"
    exits = [
        f"({_CLASS})",
        *(f"(context, path, {names})" for names in _DIMENSIONS),
        f"(context, path, {step})",
    ]
    slow = [
        f"(context, word, syscall_work, {', '.join(_DIMENSIONS)})",
        f"(context, word, syscall_work, {step})",
    ]
    columns = f"{_CLASS}, {', '.join(_DIMENSIONS)}, {step}, {_SUMS}"
    of_slow = f"context, word, syscall_work, {', '.join(_DIMENSIONS)}, {step}, {_SUMS}"
    return [
        f"SELECT {columns} FROM {rows} GROUP BY GROUPING SETS ({', '.join(exits)})",
        f"SELECT {of_slow} FROM {rows} WHERE path = 'slow' GROUP BY GROUPING SETS ({', '.join(slow)})",
    ]


def _comparing(files: Sequence[Path]) -> list[str]:
    """Return the same for a comparison: each side by interval as well."""
    half = len(files) // 2
    statements = []
    for side in (files[:half], files[half:]):
        rows = f"read_parquet({[str(path) for path in side]}, filename = true)"
        exits = ["(filename, time, context, path)", *(f"(context, path, {names})" for names in _DIMENSIONS)]
        columns = f"filename, time, context, path, {', '.join(_DIMENSIONS)}, {_SUMS}"
        statements.append(f"SELECT {columns} FROM {rows} GROUP BY GROUPING SETS ({', '.join(exits)})")
        slow = "filename, time, context, word, syscall_work"
        statements.append(f"SELECT {slow}, {_SUMS} FROM {rows} WHERE path = 'slow' GROUP BY {slow}")
        statements += [
            # The ten commonest values by interval.
            f"SELECT filename, time, context, path, {names}, {_SUMS} FROM {rows} WHERE ({names}) IN (SELECT "
            f"({names}) FROM {rows} WHERE path = 'slow' GROUP BY {names} ORDER BY sum(count) DESC LIMIT 10) "
            f"GROUP BY filename, time, context, path, {names}"
            for names in _DIMENSIONS
        ]
    return statements


_DUCKDB = """
import duckdb, json, sys
connection = duckdb.connect(config={"memory_limit": "600MB"})
for statement in json.load(open(sys.argv[1])):
    connection.sql(statement).to_arrow_table()
"""
_PANDAS = """
import json, sys
import pandas as pd
keys = ["context", "path", "tier", "word", "syscall_work"]
frame = pd.concat(map(pd.read_parquet, json.load(open(sys.argv[1]))))
frame.groupby(keys, dropna=False, observed=True)["count"].sum()
for dimension in (["syscall", "abi"], ["comm"], ["pid"], ["cpu"]):
    frame.groupby([*keys, *dimension], dropna=False, observed=True)["count"].sum()
frame.groupby([*keys, "time"], dropna=False, observed=True)["count"].sum()
"""


class _Used(NamedTuple):
    seconds: float
    megabytes: float


def _used(command: Sequence[str]) -> _Used:
    """Return the time from start to end, and the most memory that was resident, in MB (10^6 bytes)."""
    began = os.times().elapsed
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise MissingError(errors.read().decode(errors="replace").strip().rpartition("\n")[2])
    return _Used(os.times().elapsed - began, used.ru_maxrss * 1024 / 1e6)


@bench("report", "Report of an everyday recording")
def report(run: Run) -> Iterator[Row]:
    """Of 100,000 rows, beside what the library alone takes to be imported."""
    table, about = fleet_of.everyday(everyday(run.directory), EVERYDAY_ROWS)
    (path,) = fleet_of.write(run.directory / "everyday", table, about, 1)
    yield run.row(
        f"report of {len(table):,} rows",
        "s",
        [
            Side(
                "import pandas",
                Role.FLOOR,
                "python -c 'import pandas'",
                lambda: seconds([PYTHON, "-c", "import pandas"]),
            ),
            Side(
                "tifbpf report",
                Role.OURS,
                "tifbpf report FILE",
                lambda: seconds([TIFBPF, "report", str(path)]),
            ),
        ],
        Goal("at most 1.5 times import pandas", lambda it: it["tifbpf report"] <= 1.5 * it["import pandas"]),
    )


@bench("fleet", "Report and comparison of a fleet's recordings")
def fleet(run: Run) -> Iterator[Row]:
    """Of 100 million rows in 1,000 files, beside the plain statements that sum the same columns."""
    table, about = fleet_of.everyday(everyday(run.directory), EVERYDAY_ROWS)
    say(f"writing {HOSTS} recordings")
    files = fleet_of.write(run.directory / "fleet", table, about, HOSTS)
    names = [str(path) for path in files]
    half = len(names) // 2
    statements = {}
    for name, made in (("report", _statements(files)), ("diff", _comparing(files))):
        statements[name] = run.directory / f"{name}.json"
        statements[name].write_text(json.dumps(made))
    few = run.directory / "few.json"
    few.write_text(json.dumps(names[:SAMPLED_HOSTS]))
    rows = f"{len(table) * HOSTS:,} rows in {HOSTS:,} files"
    memory: dict[str, list[float]] = {}

    def measured(name: str, command: Sequence[str], times: float = 1) -> Callable[[], float]:
        def measure() -> float:
            used = _used(command)
            memory.setdefault(name, []).append(used.megabytes)
            return used.seconds * times

        return measure

    sides = [f"--{'before' if place < half else 'after'}={name}" for place, name in enumerate(names)]
    for what, ours in (
        ("report", [TIFBPF, "report", *names]),
        ("diff", [TIFBPF, "diff", *sides]),
    ):
        pandas = [
            Side(
                f"pandas, {SAMPLED_HOSTS} of the files, times {HOSTS // SAMPLED_HOSTS}",
                Role.PEER,
                "pandas.read_parquet of all columns, and groupby().sum() by the keys of the report",
                measured("pandas", [PYTHON, "-c", _PANDAS, str(few)], HOSTS / SAMPLED_HOSTS),
            )
        ]
        ours_name = f"tifbpf {what}"
        yield run.row(
            f"{what} of {rows}",
            "s",
            [
                Side(
                    "DuckDB",
                    Role.FLOOR,
                    f"the plain statements that sum the columns of a {what} (tests/bench/reports.py)",
                    measured(f"DuckDB {what}", [PYTHON, "-c", _DUCKDB, str(statements[what])]),
                ),
                Side(ours_name, Role.OURS, f"{ours_name} FILE...", measured(ours_name, ours)),
                *(pandas if what == "report" else []),
            ],
            Goal(
                "at most 1.3 times the floor",
                lambda it, ours_name=ours_name: it[ours_name] <= 1.3 * it["DuckDB"],  # type: ignore[misc]
            ),
            rounds=min(run.rounds, 3),
        )
        most = max(memory[ours_name])
        yield run.row(
            f"memory of that {what}, at most",
            "MB",
            [Side(ours_name, Role.OURS, f"{ours_name} FILE...", lambda most=most: most)],  # type: ignore[misc]
            Goal("below 1,000 MB", lambda it, ours_name=ours_name: it[ours_name] < 1000),  # type: ignore[misc]
            rounds=1,
        )

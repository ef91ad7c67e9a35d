"""What is written to disk of the same exits."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tests.bench import fleet_of
from tests.bench.harness import Goal, Role, Row, Run, Side, bench, need
from tests.bench.workloads import EVERYDAY_ROWS, EVERYDAY_SECONDS, everyday

_MOST = 20
"""Bytes a row."""
_CSV = "pyarrow.csv.write_csv of its rows, all columns"
_PERF = ["perf", "record", "-q", "-a", "-e", "raw_syscalls:sys_exit", "-o"]


def _csv(table: pa.Table, path: Path, codec: str | None = None) -> int:
    """Write rows as text; return the bytes."""
    # Text has no dictionaries.
    plain = [
        pa.field(field.name, field.type.value_type if pa.types.is_dictionary(field.type) else field.type)
        for field in table.schema
    ]
    with pa.output_stream(path, compression=codec) as stream:
        pyarrow.csv.write_csv(table.replace_schema_metadata(None).cast(pa.schema(plain)), stream)
    return path.stat().st_size


def _sides(path: Path, directory: Path, rows: int = 1) -> list[Side]:
    """Return the sides that hold the rows of a recording; values are bytes by `rows`."""
    table = pq.ParquetFile(path).read()
    return [
        Side("tifbpf", Role.OURS, "its size, of the file as it is", lambda: path.stat().st_size / rows),
        Side("CSV", Role.PEER, _CSV, lambda: _csv(table, directory / "rows.csv") / rows),
        Side(
            "CSV, zstd",
            Role.PEER,
            f"{_CSV}, compressed",
            lambda: _csv(table, directory / "rows.csv.zst", "zstd") / rows,
        ),
    ]


def _small(it: Mapping[str, float]) -> bool:
    return it["tifbpf"] <= _MOST


@bench("size", "What a recording takes on disk")
def size(run: Run) -> Iterator[Row]:
    """Of rows, and of the same seconds of exits beside perf.data."""
    events = run.directory / "perf.data"
    has_perf = shutil.which("perf") is not None
    recording = everyday(run.directory, under=[*_PERF, str(events), "--"] if has_perf else [])
    rows = pq.ParquetFile(recording).metadata.num_rows
    table, about = fleet_of.everyday(recording, EVERYDAY_ROWS)
    (longer,) = fleet_of.write(run.directory / "longer", table, about, 1)
    goal = Goal(f"at most {_MOST} bytes a row", _small)
    for path, many in ((recording, rows), (longer, len(table))):
        yield run.row(
            f"a recording of {many:,} rows, all dimensions",
            "bytes a row",
            _sides(path, run.directory, many),
            goal,
            rounds=1,
        )

    def perf() -> float:
        need("perf")
        return events.stat().st_size

    yield run.row(
        f"the same {EVERYDAY_SECONDS} s of exits, recorded at once by both",
        "bytes",
        [
            *_sides(recording, run.directory),
            Side("perf.data", Role.PEER, " ".join([*_PERF, "FILE"]), perf),
        ],
        notes=("perf.data has every exit of a call by itself, with its time, and not the words",),
        rounds=1,
    )

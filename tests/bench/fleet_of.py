"""A fleet's recordings, made of one real one: other hosts, other days' worth of intervals, the same exits."""

from __future__ import annotations

import uuid
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tifbpf.recording import parquet
from tifbpf.recording.metadata import FOOTER_KEY, Metadata, Totals, decode, encode
from tifbpf.recording.paths import ExitPath
from tifbpf.recording.schema import SCHEMA


def everyday(path: Path, rows: int) -> tuple[pa.Table, Metadata]:
    """Return the rows of a recording, the first of them or all several times, and its metadata."""
    file = pq.ParquetFile(path)
    table = file.read()
    about = decode(file.metadata.metadata[FOOTER_KEY])
    times = -(-rows // len(table))
    step = about.duration_ns + about.interval_ns
    place = table.column_names.index("time")
    began = table["time"].cast(pa.int64())
    later = [
        table.set_column(place, table.field(place), pc.add(began, turn * step).cast(table.field(place).type))
        for turn in range(times)
    ]
    table = pa.concat_tables(later).unify_dictionaries().combine_chunks().cast(SCHEMA)[:rows]
    of_all = pc.equal(table["path"].cast(pa.string()), ExitPath.ALL.value)
    counted, every = (pc.sum(part["count"]).as_py() or 0 for part in (table.filter(of_all), table))
    recorded = every - counted
    totals = Totals(seen=recorded, recorded=recorded, counted=counted)
    return table, msgspec.structs.replace(about, duration_ns=step * times, totals=totals)


def write(directory: Path, table: pa.Table, about: Metadata, hosts: int) -> list[Path]:
    """Write such a recording for each of so many hosts."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(hosts):
        host = msgspec.structs.replace(about.host, name=f"host{number:04}")
        one = msgspec.structs.replace(about, id=str(uuid.uuid4()), host=host)
        path = directory / f"host{number:04}.tif.parquet"
        with path.open("wb") as stream:
            parquet.write(stream, [table], SCHEMA, encode(one))
        paths.append(path)
    return paths

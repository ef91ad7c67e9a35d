"""A fleet's recordings, made of one real one: other hosts, other days' worth of intervals, the same exits."""

from __future__ import annotations

import uuid
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tifbpf.recording import parquet
from tifbpf.recording.metadata import FOOTER_KEY, Losses, Metadata, decode, encode
from tifbpf.recording.schema import SCHEMA


def lengthened(path: Path, rows: int) -> tuple[pa.Table, Metadata]:
    """Return the rows of a recording, repeated until there are `rows`, and its metadata."""
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
    totals = about.totals
    lost = msgspec.structs.asdict(totals.losses)
    losses = Losses(**{cause: count * times for cause, count in lost.items()})
    about = msgspec.structs.replace(
        about,
        duration_ns=step * times,
        totals=msgspec.structs.replace(
            totals,
            seen=totals.seen * times,
            recorded=totals.recorded * times,
            counted=totals.counted * times,
            uncounted=totals.uncounted * times,
            losses=losses,
        ),
    )
    return pa.concat_tables(later).unify_dictionaries().combine_chunks().cast(SCHEMA), about


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

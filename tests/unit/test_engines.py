"""One expression, whoever evaluates it: the sums are those that pandas makes of all rows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tifbpf
from tests.unit.recordings import SECOND_NS, START_NS, loaded, row, write
from tifbpf.engines import local
from tifbpf.engines.local import LocalEngine
from tifbpf.engines.model import EngineError
from tifbpf.engines.query import Query
from tifbpf.engines.source import Kind, Source
from tifbpf.errors import InputDamagedError
from tifbpf.recording.metadata import Totals
from tifbpf.recording.schema import SCHEMA

KEYS = (("recording", "context", "path"), ("word", "comm"), ("group", "step"), ())
QUERY = Query(keys=KEYS, step_ns=2 * SECOND_NS)


def rows(seed: int) -> list[dict[str, object]]:
    return [
        row(
            (number * seed) % 3,
            number + seed,
            time=START_NS + number % 9 * SECOND_NS,
            comm=f"t{number % 5}" if number % 4 else None,
        )
        for number in range(400)
    ]


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    paths = [write(tmp_path / f"{seed}.tif.parquet", rows(seed)) for seed in (1, 2, 5)]
    return [
        Source(path=str(path), kind=Kind(2, False), recording=place, group=min(place, 1))
        for place, path in enumerate(paths)
    ]


def expected(sources: list[Source], keys: tuple[str, ...]) -> dict[tuple[object, ...], int]:
    frames = []
    for source in sources:
        frame = pq.read_table(source.path).to_pandas()
        frame["recording"], frame["group"] = source.recording, source.group
        nanoseconds = frame["time"].astype("int64")
        frame["step"] = nanoseconds // QUERY.step_ns * QUERY.step_ns
        frames.append(frame.astype({"comm": object, "context": object, "path": object}))
    whole = pd.concat(frames)
    if not keys:
        return {(): int(whole["count"].sum())}
    sums = whole.groupby(list(keys), dropna=False)["count"].sum()
    return {
        tuple(None if pd.isna(value) else value for value in index): int(count)
        for index, count in zip(pd.MultiIndex.from_frame(sums.index.to_frame()), sums, strict=True)
    }


def counts(table: pa.Table, keys: tuple[str, ...]) -> dict[tuple[object, ...], int]:
    return {tuple(line[key] for key in keys): line["count"] for line in table.to_pylist()}


@pytest.mark.parametrize("keys", KEYS)
def test_the_sums_are_those_of_all_rows(sources: list[Source], keys: tuple[str, ...]) -> None:
    assert counts(LocalEngine().sums(sources, QUERY)[keys], keys) == expected(sources, keys)


def test_sums_of_parts_add_up_to_the_sums_of_all(sources: list[Source]) -> None:
    engine = LocalEngine()
    whole = engine.sums(sources, QUERY)
    parts = [engine.partial(sources[:1], QUERY), engine.partial(sources[1:], QUERY)]
    added = local.split(QUERY, engine.combined(parts, QUERY))
    assert all(added[keys].equals(whole[keys]) for keys in KEYS)


def test_rows_in_memory_add_up_like_those_in_files(sources: list[Source]) -> None:
    held = [
        Source(
            path="-", kind=one.kind, recording=one.recording, group=one.group, table=pq.read_table(one.path)
        )
        for one in sources
    ]
    engine = LocalEngine()
    mixed = engine.sums([*held[:2], sources[2]], QUERY)
    whole = engine.sums(sources, QUERY)
    assert all(mixed[keys].equals(whole[keys]) for keys in KEYS)


def test_slow_exits_alone(sources: list[Source]) -> None:
    query = Query(keys=(("path",),), slow_only=True)
    (line,) = LocalEngine().sums(sources, query)[("path",)].to_pylist()
    assert (line["path"], line["count"]) == ("slow", expected(sources, ("path",))[("slow",)])


def test_the_columns_of_schema_1_are_enough(tmp_path: Path) -> None:
    path = tmp_path / "a.tif.parquet"
    whole = pq.read_table(write(path, rows(1)))
    pq.write_table(whole.drop_columns(["latency_log2", "ns_max"]), path)
    query = Query(keys=(("latency_log2",),), measures=("count", "ns_max"))
    source = Source(path=str(path), kind=Kind(1, False), recording=0)
    (line,) = LocalEngine().sums([source], query)[("latency_log2",)].to_pylist()
    assert line == {"latency_log2": None, "count": sum(whole["count"].to_pylist()), "ns_max": None}


def test_columns_have_their_types_beside_schema_1(tmp_path: Path) -> None:
    old, new = (write(tmp_path / f"{name}.tif.parquet", rows(1)) for name in "ab")
    pq.write_table(pq.read_table(old).drop_columns(["latency_log2", "ns_max"]), old)
    query = Query(keys=(("latency_log2",),), measures=("ns_max",))
    found = LocalEngine().sums(
        [
            Source(path=old, kind=Kind(1, False), recording=0),
            Source(path=new, kind=Kind(2, False), recording=1),
        ],
        query,
    )[("latency_log2",)]
    assert found.schema.types == [SCHEMA.field(name).type for name in found.column_names]


@pytest.mark.parametrize("name", ["a[b]*?", "it's", "{a,b}", "a\\b"])
def test_a_name_is_no_pattern_and_no_statement(tmp_path: Path, name: str) -> None:
    for decoy in ("ab.tif.parquet", "axx.tif.parquet", "its.tif.parquet"):
        write(tmp_path / decoy, [row(0, 1_000_000)])
    path = write(tmp_path / f"{name}.tif.parquet", [row(0, 7)])
    source = Source(path=str(path), kind=Kind(2, False), recording=0)
    assert LocalEngine().sums([source], Query(keys=((),)))[()]["count"].to_pylist() == [7]


def test_what_does_not_fit_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif.parquet", [row(0, 2**63), row(2, 2**63)])
    with pytest.raises(EngineError):
        LocalEngine().sums([Source(path=str(path), kind=Kind(2, False), recording=0)], Query(keys=((),)))


def test_a_recording_that_adds_up_to_too_much_is_damaged(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.tif.parquet", [row(0, 2**63), row(2, 2**63)], totals=Totals(seen=1, recorded=1)
    )
    with pytest.raises(InputDamagedError, match="is damaged"):
        loaded([path])


def test_the_footer_s_statistics_are_no_evidence(tmp_path: Path) -> None:
    """DuckDB would leave out what they exclude."""
    path = write(tmp_path / "a.tif.parquet", [row(0, 3, comm="a"), row(2, 4, comm="a")], dimensions=("comm",))
    assert tifbpf.read(path).by("comm")["slow"].tolist() == [4]
    head, footer = path.read_bytes().split(b"PAR1")[1].rsplit(b"(\x04slow\x18\x04fast", 1)
    path.write_bytes(b"PAR1" + head + b"(\x04fast\x18\x04fast" + footer + b"PAR1")
    assert tifbpf.read(path).by("comm")["slow"].tolist() == [4]

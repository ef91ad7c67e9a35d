"""What is asked of rows: sums by one or more keys, as data, and as the SQL that every engine evaluates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

STEP = "step"
"""The key that is the start of a step of `Query.step_ns`, ns since the epoch."""
TIME = "time"
"""The key that is the start of an interval, ns since the epoch."""
RECORDING = "recording"
"""The key that is the number of the recording."""
GROUP = "group"
"""The key that is the number of the recordings that are alike (`tifbpf.engines.source.Source.group`)."""

Keys = tuple[str, ...]


class Measure(NamedTuple):
    """What is summed: of rows, and of such sums."""

    of_rows: str
    of_sums: str


def _added(expression: str, name: str) -> Measure:
    # DuckDB adds 64 bits up to 128; the cast refuses a sum that no longer fits.
    return Measure(f"sum({expression})::UBIGINT", f"sum({name})::UBIGINT")


MEASURES = {
    "count": _added('"count"', "count"),
    "looked_at": _added("looked_at", "looked_at"),
    "ns": _added("ns", "ns"),
    "ns_max": Measure("max(ns_max)", "max(ns_max)"),
    "ns_max_least": Measure("min(ns_max)", "min(ns_max_least)"),
    "rows": _added("1", "rows"),
    "rows_with_ns": Measure("count(ns)::UBIGINT", "sum(rows_with_ns)::UBIGINT"),
    "rows_with_ns_max": Measure("count(ns_max)::UBIGINT", "sum(rows_with_ns_max)::UBIGINT"),
    "variance": Measure('sum("count"::DOUBLE * (one_in - 1.0))', "sum(variance)"),
    "spread": Measure('sum("count"::DOUBLE * (one_in::DOUBLE * every - 1.0))', "sum(spread)"),
    "interval_ns": Measure("max(interval_ns)", "max(interval_ns)"),
}
"""By name. `count` is what exits stand for, `looked_at` those that were really looked at; ns is null where no
row has one, and complete where `rows_with_ns` is `rows`; variance is that of `count` where one exit in N was
looked at, spread what it were for parts of the time as well (`tifbpf.analysis.estimates`);
interval_ns is the length of an interval, for keys
that have its recording and time."""


class Among(msgspec.Struct, frozen=True):
    """Some values of columns."""

    columns: tuple[str, ...]
    values: tuple[tuple[int | str | None, ...], ...]
    """One of each column."""

    def sql(self) -> str:
        """Return the condition."""
        alike = (
            " AND ".join(
                f'"{column}" IS NOT DISTINCT FROM {_literal(value)}'
                for column, value in zip(self.columns, values, strict=True)
            )
            for values in self.values
        )
        return " OR ".join(f"({one})" for one in alike) or "false"


def _literal(value: int | str | None) -> str:
    if value is None:
        return "NULL"
    return f"{value:d}" if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Sums by several keys, made in one pass over the rows."""

    keys: tuple[Keys, ...]
    """Of one or more columns of `tifbpf.recording.schema.SCHEMA`, RECORDING, GROUP, TIME and STEP."""
    measures: tuple[str, ...] = ("count", "ns", "rows", "rows_with_ns")
    """Names of `MEASURES`."""
    slow_only: bool = False
    """Leave out rows whose path is not `slow`."""
    among: Among | None = None
    """Leave out rows whose values are not among these."""
    step_ns: int | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """All keys, each once, in the order in which they are returned."""
        return tuple(dict.fromkeys(column for keys in self.keys for column in keys))

    def place(self, keys: Sequence[str]) -> int:
        """Return the number by which the sums of one of `keys` are known in the column SET."""
        # GROUPING_ID has a bit for each column, the first the highest, which is set where it is no key.
        return int("".join("0" if column in keys else "1" for column in self.columns), 2)


SET = "grouping_set"
"""The column that tells by which of its keys a line of the answer was summed."""


def of_rows(query: Query, relation: str) -> str:
    """Return the SQL for rows of `relation`, which has the columns of `tifbpf.engines.source`."""
    conditions = ["\"path\" = 'slow'"] if query.slow_only else []
    if query.among is not None:
        conditions.append(f"({query.among.sql()})")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    measures = [f'{MEASURES[name].of_rows} AS "{name}"' for name in query.measures]
    return _summed(query, f"{relation}{where}", measures, [_key(column, query) for column in query.columns])


def of_sums(query: Query, relation: str) -> str:
    """Return the SQL that adds up what engines answered, all lines of them as one `relation`."""
    keys = [f'"{column}"' for column in query.columns]
    measures = [f'{MEASURES[name].of_sums} AS "{name}"' for name in query.measures]
    columns = ", ".join([SET, *keys])
    return f"SELECT {columns}, {', '.join(measures)} FROM {relation} GROUP BY {columns}"


def _key(column: str, query: Query) -> str:
    if column != STEP:
        return f'"{column}"'
    if query.step_ns is None:
        raise ValueError("a step without a length")
    return f'"time" // {query.step_ns:d} * {query.step_ns:d}'


def _summed(query: Query, rows: str, measures: Sequence[str], keys: Sequence[str]) -> str:
    named = [f'{key} AS "{column}"' for key, column in zip(keys, query.columns, strict=True)]
    by_name = dict(zip(query.columns, keys, strict=True))
    sets = ", ".join(f"({', '.join(by_name[column] for column in some)})" for some in query.keys)
    told = f"grouping_id({', '.join(keys)})" if keys else "0"
    return (
        f"SELECT {told}::BIGINT AS {SET}, {', '.join([*named, *measures])} FROM {rows} "
        f"GROUP BY GROUPING SETS ({sets})"
    )

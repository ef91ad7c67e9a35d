"""The rows that are summed: files and tables, with the columns that every kind of recording comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from tifbpf.recording.metadata import EXACT_SCHEMA, Metadata
from tifbpf.recording.schema import SCHEMA, SINCE

if TYPE_CHECKING:
    import pyarrow as pa

    from tifbpf.recording.remote import Location


class Kind(msgspec.Struct, frozen=True):
    """What sets the columns of one file apart from another's."""

    schema: int
    sampled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file of a recording."""

    path: Location
    kind: Kind
    recording: int
    """The number of its recording."""
    group: int = 0
    """The number of the recordings whose exits may be added up before anybody decodes them: the least of
    their numbers."""
    table: pa.Table | None = None
    """Its rows as they are in the file, where they have been read already."""


def kind_of(metadata: Metadata) -> Kind:
    """Return what the columns of such a recording are."""
    return Kind(min(metadata.schema, EXACT_SCHEMA), metadata.sampling is not None)


_TYPES = {"int8": "TINYINT", "uint64": "UBIGINT"}
"""SQL's names of the types that later columns have; of another, a union with files that have them would not
be of theirs."""
_PLAIN = tuple(name for name in SCHEMA.names if name not in ("time", "interval_ns", "count", "ns"))


def columns(kind: Kind) -> dict[str, str]:
    """Return the SQL of each column that queries know: those of SCHEMA, time as ns, and `looked_at`.

    Where not every exit was looked at, `count`, `ns` and `interval_ns` are what they stand for.
    """
    found = {
        name: f'"{name}"'
        if SINCE.get(name, 1) <= kind.schema
        else f"NULL::{_TYPES[str(SCHEMA.field(name).type)]}"
        for name in _PLAIN
    }
    found["time"] = 'epoch_ns("time")'
    if not kind.sampled:
        return found | {
            "interval_ns": "interval_ns",
            "count": '"count"',
            "ns": "ns",
            "looked_at": '"count"',
            "one_in": "1::UINTEGER",
            "every": "1::UINTEGER",
        }
    weight = "(one_in::UBIGINT * every::UBIGINT)"
    return found | {
        "interval_ns": "interval_ns * every::BIGINT",
        "count": f"sampled * {weight}",
        "ns": f"ns * {weight}",
        "looked_at": "sampled",
        "one_in": "one_in",
        "every": "every",
    }

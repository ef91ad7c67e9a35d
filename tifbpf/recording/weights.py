"""Recordings that did not look at every exit: what is in their files, and what it stands for.

A file counts the exits that were looked at, under a name of its own (`tifbpf.recording.schema.SAMPLED`), and
says in each row what one of them stands for. Once read, `count` is what all of them stand for, as in every
other recording: whatever adds up counts adds up estimates of all exits, and never a sample to a whole.
"""

from __future__ import annotations

import pyarrow as pa

from tifbpf.recording.columns import constant
from tifbpf.recording.metadata import Metadata
from tifbpf.recording.schema import COUNT, SAMPLED, SAMPLED_SCHEMA, SCHEMA, WEIGHTS

_SCALED = ("ns",)
"""Sums over the exits of a row, beside their count."""


def schema_for(metadata: Metadata) -> pa.Schema:
    """Return the columns of the file of such a recording."""
    return SCHEMA if metadata.sampling is None else SAMPLED_SCHEMA


def with_weights(table: pa.Table, metadata: Metadata, every: int) -> pa.Table:
    """Return rows for the file, with what each exit stands for where not every one was looked at.

    Args:
        table: with the columns of `SCHEMA`.
        metadata: of the recording.
        every: how many times its own length the rows' interval stands for.
    """
    if metadata.sampling is None:
        return table
    weights = [
        constant(value, field.type, len(table))
        for value, field in zip((metadata.sampling.one_in, every), WEIGHTS, strict=True)
    ]
    return pa.table([*table.columns, *weights], schema=SAMPLED_SCHEMA)


def scaled(table: pa.Table) -> pa.Table:
    """Return a sampled file's rows with `count`, `ns` and `interval_ns` as what they stand for.

    Args:
        table: with the columns of `SAMPLED_SCHEMA`.

    Returns:
        The columns of `SCHEMA`, and beside them `sampled`, `one_in` and `every` as they were.
    """
    # 9 MB, which a recorder does without.
    import pyarrow.compute as pc

    one_in, every = (table[name].cast(pa.uint64()) for name in WEIGHTS.names)
    weight = pc.multiply_checked(one_in, every)
    columns = {field.name: table[SAMPLED if field.name == COUNT else field.name] for field in SCHEMA}
    for name in (COUNT, *_SCALED):
        columns[name] = pc.multiply_checked(columns[name], weight)
    columns["interval_ns"] = pc.multiply_checked(columns["interval_ns"], every.cast(pa.int64()))
    whole = pa.table(list(columns.values()), schema=SCHEMA)
    for name in (SAMPLED, *WEIGHTS.names):
        whole = whole.append_column(SAMPLED_SCHEMA.field(name), table[name])
    return whole


def looked_at(table: pa.Table) -> pa.Table:
    """Return rows, of a file or read, whose `count` is the exits that were really looked at."""
    if SAMPLED not in table.column_names:
        return table
    kept = table.drop_columns([name for name in (COUNT,) if name in table.column_names])
    return kept.rename_columns([COUNT if name == SAMPLED else name for name in kept.column_names])


def weighted(table: pa.Table) -> pa.Table:
    """Return rows of any recording with the columns of `scaled`; of exact ones each stands for 1."""
    if SAMPLED in table.column_names:
        return table
    table = table.append_column(SAMPLED_SCHEMA.field(SAMPLED), table[COUNT])
    for field in WEIGHTS:
        table = table.append_column(field, constant(1, field.type, len(table)))
    return table

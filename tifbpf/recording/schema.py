"""The columns of a recording.

One row is one class of exits in one interval; recordings merge by adding rows. A dimension that was not
asked for (`--by`) is null in every row.
"""

from __future__ import annotations

import pyarrow as pa

DIMENSIONS = ("syscall", "comm", "pid", "cgroup", "cpu")
"""What `--by` takes, in the order of the columns."""

_NAMES = pa.dictionary(pa.int32(), pa.string())

SCHEMA = pa.schema(
    [
        # The interval's start, UTC, and its length.
        pa.field("time", pa.timestamp("ns", tz="UTC"), nullable=False),
        pa.field("interval_ns", pa.int64(), nullable=False),
        # syscall, interrupt or exception.
        pa.field("context", _NAMES, nullable=False),
        # The system call's number in the table of its ABI (x86-64, i386 or x32; null where `syscall` is);
        # -1 where the kernel forgot it: rt_sigreturn, and a call skipped by seccomp or a tracer.
        pa.field("syscall", pa.int32()),
        pa.field("abi", _NAMES),
        # The thread's name, the process (the kernel's tgid, in the recorder's pid namespace), the path of the
        # cgroup in the unified hierarchy, the CPU.
        pa.field("comm", _NAMES),
        pa.field("pid", pa.int32()),
        pa.field("cgroup", _NAMES),
        pa.field("cpu", pa.int32()),
        # thread_info.flags, and thread_info.syscall_work (null on kernels without it), as the exit saw them,
        # without the bit that our own tracepoint set. Both null where path is `all`.
        pa.field("word", pa.uint64()),
        pa.field("syscall_work", pa.uint64()),
        # fast, slow or all (paths.py); which tiers made it slow, joined by "+" (null where path is not slow,
        # and where the bits were gone when the route looked).
        pa.field("path", _NAMES, nullable=False),
        pa.field("tier", _NAMES),
        # floor(log2(ns)) of the time that each of the row's exits spent in the slowpath, 0 for 0 ns; part of
        # the class. Null, as are ns and ns_max, in a row of exits whose time was not measured.
        pa.field("latency_log2", pa.int8()),
        # Exits; their time in the slowpath together, and the longest of them.
        pa.field("count", pa.uint64(), nullable=False),
        pa.field("ns", pa.uint64()),
        pa.field("ns_max", pa.uint64()),
    ]
)

COUNT = "count"
SAMPLED = "sampled"
"""What `count` is called in the file of a recording that did not look at every exit, so that nobody adds up
by mistake what has to be scaled first."""

WEIGHTS = pa.schema(
    [
        # How many exits each that was looked at stands for, by --sample; 1: every exit was.
        pa.field("one_in", pa.uint32(), nullable=False),
        # How many times its own length the interval stands for, by --duty and --max-overhead.
        pa.field("every", pa.uint32(), nullable=False),
    ]
)
"""The columns that such a recording has besides; an exit stands for `one_in * every`."""

SAMPLED_SCHEMA = pa.schema(
    [*(field.with_name(SAMPLED) if field.name == COUNT else field for field in SCHEMA), *WEIGHTS]
)
"""The columns of such a recording (schema 3)."""

SINCE = {"latency_log2": 2, "ns_max": 2}
"""The schema with which a column came; the others were always there."""


def columns_of(version: int, *, sampled: bool) -> pa.Schema:
    """Return the columns of recordings with that schema version, which looked at every exit or did not."""
    if sampled:
        return SAMPLED_SCHEMA
    fields = [field for field in SCHEMA if SINCE.get(field.name, 1) <= version]
    if version < 2:
        # There was no row without a word: nothing but a route counted all exits.
        fields = [field.with_nullable(False) if field.name == "word" else field for field in fields]
    return pa.schema(fields)


def upgraded(table: pa.Table) -> pa.Table:
    """Return the rows of any version of exact recordings with the columns of `SCHEMA`.

    Those that it lacks are null.
    """
    missing = pa.nulls(len(table))
    columns = [
        table[field.name] if field.name in table.column_names else missing.cast(field.type)
        for field in SCHEMA
    ]
    return pa.table(columns, schema=SCHEMA)

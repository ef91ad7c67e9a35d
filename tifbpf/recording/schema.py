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
        # The thread's name, the process (the kernel's tgid, in the initial pid namespace), the path of the
        # cgroup in the unified hierarchy, the CPU.
        pa.field("comm", _NAMES),
        pa.field("pid", pa.int32()),
        pa.field("cgroup", _NAMES),
        pa.field("cpu", pa.int32()),
        # thread_info.flags, and thread_info.syscall_work (null on kernels without it), as the exit saw them,
        # without the bit that our own tracepoint set.
        pa.field("word", pa.uint64(), nullable=False),
        pa.field("syscall_work", pa.uint64()),
        # fast or slow; which tiers made it slow, joined by "+" (null for a fast exit).
        pa.field("path", _NAMES, nullable=False),
        pa.field("tier", _NAMES),
        # Exits, and their time in the slowpath together (null where the route cannot measure it).
        pa.field("count", pa.uint64(), nullable=False),
        pa.field("ns", pa.uint64()),
    ]
)

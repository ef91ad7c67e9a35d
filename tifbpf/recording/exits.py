"""A class of exits, as the recorder hands it on. Whoever only counts needs no Parquet library for it."""

from __future__ import annotations

import msgspec

from tifbpf.layouts.model import Context


class ExitClass(msgspec.Struct, frozen=True, kw_only=True):
    """One row without what the writer adds (time, interval, path, tier)."""

    context: Context
    word: int | None
    """None: these are all exits of the class, fast and slow, of a context whose route sees slow ones only."""
    syscall_work: int | None
    """None where the kernel has no such word, and where `word` is None."""
    count: int
    syscall: int | None = None
    abi: str | None = None
    comm: str | None = None
    pid: int | None = None
    cgroup: str | None = None
    cpu: int | None = None
    latency_log2: int | None = None
    """floor(log2(ns)) of the time that each of them spent in the slowpath, 0 for 0 ns; None where it was not
    measured, and then `ns` and `ns_max` are None too."""
    ns: int | None = None
    """Together."""
    ns_max: int | None = None
    """The longest."""

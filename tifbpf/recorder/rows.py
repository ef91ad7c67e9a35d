"""From the programs' classes to the recording's rows: contexts, ABIs, names."""

from __future__ import annotations

from collections import defaultdict

from tifbpf.layouts.model import Context
from tifbpf.recorder.abi import ABIS, CONTEXTS, UNMEASURED, AbiNumber, ContextNumber, thread_name
from tifbpf.recorder.cgroups import CgroupNames
from tifbpf.recorder.drain import CpuClass, Interval, Tally
from tifbpf.recorder.instrument import Words
from tifbpf.recording.exits import ExitClass


class RowMaker:
    """Makes rows for one recording."""

    def __init__(self, *, cgroups: bool, syscall_work: bool, ours: Words) -> None:
        """Make rows.

        Args:
            cgroups: resolve cgroup ids.
            syscall_work: whether the kernel has that word.
            ours: the bits that our own hooks set, which are no exit's own.
        """
        self._cgroups = CgroupNames() if cgroups else None
        self._syscall_work = syscall_work
        self._ours = ours

    def rows(self, interval: Interval) -> list[ExitClass]:
        """Return the interval's classes; those that differ in our own bits only are one."""
        classes: defaultdict[CpuClass, Tally] = defaultdict(Tally)
        for class_, tally in interval.classes.items():
            key = class_.key._replace(
                word=class_.key.word & ~self._ours.tif,
                syscall_work=class_.key.syscall_work & ~self._ours.syscall_work,
            )
            classes[CpuClass(key, class_.cpu)].add(tally.count, tally.ns, tally.ns_max)
        names: dict[int, str] = {}
        if self._cgroups is not None:
            names = self._cgroups.names({class_.key.cgroup or 0 for class_ in classes})
        return [self._row(class_, tally, names) for class_, tally in classes.items()]

    def _row(self, class_: CpuClass, tally: Tally, cgroups: dict[int, str]) -> ExitClass:
        key = class_.key
        measured = key.latency_log2 != UNMEASURED
        context = CONTEXTS[ContextNumber(key.context)]
        called = context is Context.SYSCALL
        return ExitClass(
            context=context,
            word=None if key.all else key.word,
            syscall_work=key.syscall_work if self._syscall_work and not key.all else None,
            count=tally.count,
            syscall=key.syscall if called else None,
            abi=ABIS[AbiNumber(key.abi)] if called and key.abi is not None else None,
            comm=None if key.comm is None else thread_name(key.comm),
            pid=key.pid,
            cgroup=None if key.cgroup is None else cgroups[key.cgroup],
            cpu=class_.cpu,
            latency_log2=key.latency_log2 if measured else None,
            ns=tally.ns if measured else None,
            ns_max=tally.ns_max if measured else None,
        )

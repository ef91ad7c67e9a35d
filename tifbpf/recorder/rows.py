"""From the programs' classes to the recording's rows: contexts, ABIs, names."""

from __future__ import annotations

from collections import Counter

from tifbpf.recorder.abi import ABIS, CONTEXTS, AbiNumber, ContextNumber
from tifbpf.recorder.cgroups import CgroupNames
from tifbpf.recorder.drain import CpuClass, Interval
from tifbpf.recorder.instrument import Words
from tifbpf.recording.writer import ExitClass


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
        classes: Counter[CpuClass] = Counter()
        for class_, count in interval.classes.items():
            key = class_.key._replace(
                word=class_.key.word & ~self._ours.tif,
                syscall_work=class_.key.syscall_work & ~self._ours.syscall_work,
            )
            classes[CpuClass(key, class_.cpu)] += count
        names: dict[int, str] = {}
        if self._cgroups is not None:
            names = self._cgroups.names({class_.key.cgroup or 0 for class_ in classes})
        return [self._row(class_, count, names) for class_, count in classes.items()]

    def _row(self, class_: CpuClass, count: int, cgroups: dict[int, str]) -> ExitClass:
        key = class_.key
        return ExitClass(
            context=CONTEXTS[ContextNumber(key.context)],
            word=key.word,
            syscall_work=key.syscall_work if self._syscall_work else None,
            count=count,
            syscall=key.syscall,
            abi=None if key.abi is None else ABIS[AbiNumber(key.abi)],
            comm=None if key.comm is None else _text(key.comm),
            pid=key.pid,
            cgroup=None if key.cgroup is None else cgroups[key.cgroup],
            cpu=class_.cpu,
        )


def _text(comm: bytes) -> str:
    return comm.split(b"\0", 1)[0].decode(errors="backslashreplace")

"""From the programs' classes to the recording's rows: contexts, ABIs, names."""

from __future__ import annotations

from collections.abc import Sequence

from tifbpf.recorder.abi import ABIS, CONTEXTS, UNMEASURED, ContextNumber, thread_name
from tifbpf.recorder.cgroups import CgroupNames
from tifbpf.recorder.drain import Interval
from tifbpf.recorder.instrument import Words
from tifbpf.recording.exits import ExitClasses, Names, Numbers, numbered

_CONTEXTS = [str(CONTEXTS[number]) for number in sorted(CONTEXTS)]
_ABIS = [str(ABIS[number]) for number in sorted(ABIS)]
_NO_CALL = bytes(number != ContextNumber.SYSCALL for number in range(256))
_NO_TIME = bytes(number == UNMEASURED for number in range(256))
"""Translations of a column of bytes to which rows miss something."""
_ITS_BUCKET = bytes(number % UNMEASURED for number in range(256))
"""Of a column of buckets to one whose missing ones fit into a signed byte, too."""


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

    def rows(self, interval: Interval) -> ExitClasses:
        """Return the interval's classes; those that differed in our own bits only are the same."""
        classes = interval.classes
        key = classes.key
        contexts = bytes(key.context)
        wordless = _where(bytes(key.all))
        no_call = _where(contexts.translate(_NO_CALL))
        buckets = bytes(key.latency_log2)
        unmeasured = _where(buckets.translate(_NO_TIME))
        return ExitClasses(
            len(classes.count),
            context=Names(key.context, _CONTEXTS),
            word=Numbers(_without(key.word, self._ours.tif), wordless),
            syscall_work=Numbers(_without(key.syscall_work, self._ours.syscall_work), wordless)
            if self._syscall_work
            else None,
            count=Numbers(classes.count),
            syscall=None if key.syscall is None else Numbers(key.syscall, no_call),
            abi=None if key.abi is None else Names(key.abi, _ABIS, no_call),
            comm=None if key.comm is None else _names(key.comm),
            pid=None if key.pid is None else Numbers(key.pid),
            cgroup=None if key.cgroup is None else self._cgroup(key.cgroup),
            cpu=None if classes.cpu is None else Numbers(classes.cpu),
            latency_log2=None if classes.ns is None else Numbers(buckets.translate(_ITS_BUCKET), unmeasured),
            ns=None if classes.ns is None else Numbers(classes.ns, unmeasured),
            ns_max=None if classes.ns_max is None else Numbers(classes.ns_max, unmeasured),
        )

    def _cgroup(self, numbers: Sequence[int]) -> Names:
        assert self._cgroups is not None  # noqa: S101 (the dimension was asked for)
        codes, ids = numbered(numbers)
        names = self._cgroups.names(set(ids))
        return Names(codes, [names[number] for number in ids])


def _where(missing: bytes) -> bytes | None:
    return missing if any(missing) else None


def _without(words: Sequence[int], bits: int) -> Sequence[int]:
    return list(map((~bits).__and__, words)) if bits else words


def _names(comms: Sequence[bytes]) -> Names:
    codes, different = numbered(comms)
    return Names(codes, list(map(thread_name, different)))

"""The classes of one interval, column by column.

A host may have ten thousand of them every second: going through them one by one takes a hundred milliseconds,
columns that C goes through take a few.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import compress

import msgspec

from tifbpf.recorder.abi import KeyCodec, KeyColumns

_COUNT, _NS_MAX = 0, 2
"""Members of struct class_value."""


class Classes(msgspec.Struct, frozen=True):
    """Keys, and what each comes to; a class may be there more than once, which adds up."""

    key: KeyColumns
    cpu: Sequence[int] | None
    """None where CPUs were added up."""
    count: Sequence[int]
    ns: Sequence[int] | None = None
    """In the slowpath together; None where nobody measured."""
    ns_max: Sequence[int] | None = None

    @property
    def counted(self) -> int:
        """The exits that were counted as all exits of their context, fast and slow."""
        return sum(compress(self.count, self.key.all))

    @property
    def recorded(self) -> int:
        """The others."""
        return sum(self.count) - self.counted


def of_map(keys: bytearray, values: bytearray, codec: KeyCodec, *, cpus: int, by_cpu: bool) -> Classes:
    """Return what a per-CPU map held.

    Args:
        keys: the keys, one behind the other.
        values: of each key one value for each CPU, of whole words.
        codec: of the keys.
        cpus: how many CPUs there are values for.
        by_cpu: keep CPUs apart.
    """
    columns = codec.columns(keys)
    rows = range(len(columns.word))
    words = memoryview(values).cast("Q")
    stride = len(words) // len(rows) if rows else cpus
    members = [
        [words[at::stride] for at in range(member, stride, stride // cpus)]
        for member in range(stride // cpus)
    ]
    if by_cpu:
        kept = [list(compress(rows, counts)) for counts in members[_COUNT]]
        totals = [
            array("Q", (column[row] for column, of_cpu in zip(each, kept, strict=True) for row in of_cpu))
            for each in members
        ]
        which = array("i", (cpu for cpu, of_cpu in enumerate(kept) for _ in of_cpu))
        return Classes(columns.at([row for of_cpu in kept for row in of_cpu]), which, *totals)
    totals = [
        array("Q", map(max if member == _NS_MAX else sum, zip(*each, strict=True)))
        for member, each in enumerate(members)
    ]
    return Classes(columns, None, *totals)

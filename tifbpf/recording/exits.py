"""Classes of exits, as the recorder hands them on. Whoever only counts needs no Parquet library for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import repeat
from typing import Self, TypeVar

import msgspec

from tifbpf.layouts.model import Context

_H = TypeVar("_H", bound=Hashable)


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


class Numbers(msgspec.Struct, frozen=True):
    """A column of numbers."""

    values: Sequence[int]
    missing: bytes | None = None
    """1 for each row that has none, 0 for the others; None: all have one."""

    def __iter__(self) -> Iterator[int | None]:
        return _with_missing(self.values, self.missing)

    @classmethod
    def of(cls, values: Sequence[int | None]) -> Self:
        """Return the column of these."""
        missing = bytes(value is None for value in values)
        return cls([value or 0 for value in values], missing if any(missing) else None)


class Names(msgspec.Struct, frozen=True):
    """A column of names."""

    codes: Sequence[int]
    """Where in `names` each row's is."""
    names: Sequence[str]
    missing: bytes | None = None
    """As of `Numbers`."""

    def __iter__(self) -> Iterator[str | None]:
        return _with_missing(map(self.names.__getitem__, self.codes), self.missing)

    @classmethod
    def of(cls, values: Sequence[str | None]) -> Self:
        """Return the column of these."""
        codes, names = numbered(value or "" for value in values)
        missing = bytes(value is None for value in values)
        return cls(codes, names, missing if any(missing) else None)


_T = TypeVar("_T", int, str)


def _with_missing(values: Iterable[_T], missing: bytes | None) -> Iterator[_T | None]:
    if missing is None:
        return iter(values)
    return (None if absent else value for value, absent in zip(values, missing, strict=True))


class _Numbering(dict[_H, int]):
    def __missing__(self, key: _H) -> int:
        number = self[key] = len(self)
        return number


def numbered(values: Iterable[_H]) -> tuple[list[int], list[_H]]:
    """Return for each value its number among the different ones, and these, in the order of appearance."""
    numbers = _Numbering[_H]()
    codes = list(map(numbers.__getitem__, values))
    return codes, list(numbers)


Words = tuple[Context, int | None, int | None]
"""A context, and both words as an exit from it saw them."""


class ExitClasses:
    """Rows as columns; to go through it makes an `ExitClass` of each row.

    The same class may be there more than once: rows add up.
    """

    def __init__(self, length: int, **columns: Numbers | Names | None) -> None:
        """Take the columns of `ExitClass` by their names, each of that length; None: nothing but None."""
        self._length = length
        self._columns = {name: columns.get(name) for name in ExitClass.__struct_fields__}

    @classmethod
    def of(cls, rows: Iterable[ExitClass]) -> Self:
        """Return the columns of rows."""
        rows = list(rows)
        columns: dict[str, Numbers | Names | None] = {}
        for name in ExitClass.__struct_fields__:
            values = [getattr(row, name) for row in rows]
            given = next((value for value in values if value is not None), None)
            if given is not None:
                columns[name] = Names.of(values) if isinstance(given, str) else Numbers.of(values)
        return cls(len(rows), **columns)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[ExitClass]:
        names = list(self._columns)
        for values in zip(*map(self._values, names), strict=True):
            given = dict(zip(names, values, strict=True))
            yield ExitClass(**{**given, "context": Context(given["context"])})

    def column(self, name: str) -> Numbers | Names | None:
        """Return one of the columns of `ExitClass`."""
        return self._columns[name]

    def _values(self, name: str) -> Iterable[int | str | None]:
        column = self._columns[name]
        return repeat(None, self._length) if column is None else column

    @cached_property
    def words(self) -> tuple[list[int], list[Words]]:
        """For each row the number of its words, and the different ones: many rows have few of them."""
        codes, words = numbered(zip(*map(self._values, ("context", "word", "syscall_work")), strict=True))
        return codes, [(Context(context), word, work) for context, word, work in words]

    @cached_property
    def counts(self) -> Counter[Words]:
        """Exits by their words."""
        codes, words = self.words
        sums = [0] * len(words)
        column = self._columns["count"]
        for code, count in zip(codes, column.values if isinstance(column, Numbers) else (), strict=True):
            sums[code] += count
        return Counter(dict(zip(words, sums, strict=True)))

"""The symbol table that a kernel carries for itself, read from its image (scripts/kallsyms.c writes it).

It names the functions of a stripped image, such as every vmlinuz of a distribution. The arrays have no
header. Each is found by what it must hold, and what does not add up is not taken for a table:
* the token table has the decimal digits as tokens of their own, one after the other; the token index, behind
  it, is where the 256 tokens begin;
* before it are the number of symbols, the names, and the markers, which are where every 256th name begins;
* the addresses are before the number of symbols up to 6.3 and behind the token index since 6.4; absolute up
  to 4.5, then relative to a base, which is beside them, and since 7.0 each to its own place. By them, `_text`
  must be where the text begins.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DIGITS = b"".join(b"%d\0" % digit for digit in range(10))
_TOKENS = 256
_LONGEST_TOKEN = 128
_PADDING = 8
_EVERY = 256
"""Names to a marker."""
_FEWEST = 1 << 12
_MOST_TABLES, _MOST_NUMBERS = 16, 1 << 12
"""How many digits and how many possible numbers of symbols are looked at: kernels have 3 and 330, and a file
could be made to have millions."""
_SHORTEST, _LONGEST = 6, 40
"""What a name takes on average, in bytes, cannot be outside."""


class Symbol(msgspec.Struct, frozen=True):
    """One symbol."""

    address: int
    name: str


def decode(data: bytes, address: int, text: int) -> tuple[Symbol, ...]:
    """Return the symbols of the table in `data`, by address; () if there is none.

    Args:
        data: the section that holds the table.
        address: where `data` is in memory.
        text: where `_text` is.
    """
    for found in itertools.islice(re.finditer(rb"\0(?=" + _DIGITS + rb")", data), _MOST_TABLES):
        if symbols := _at(data, found.end(), address, text):
            return tuple(sorted(symbols, key=lambda symbol: symbol.address))
    return ()


def _at(data: bytes, digits: int, address: int, text: int) -> tuple[Symbol, ...]:
    """Return the symbols, if what has its digits at `digits` is the token table."""
    table = _token_table(data, digits)
    if table is None:
        return ()
    for number, width in itertools.islice(_numbers(data, table.start), _MOST_NUMBERS):
        names = _names(data, number, width, table)
        if not names:
            continue
        for addresses in _addresses(data, number, table.behind, len(names), address):
            if (text, "_text") in zip(addresses, names, strict=True):
                return tuple(map(Symbol, addresses, names))
    return ()


class _TokenTable(NamedTuple):
    """The tokens and where they and their index are."""

    tokens: list[bytes]
    start: int
    behind: int
    """Behind the index."""


def _token_table(data: bytes, digits: int) -> _TokenTable | None:
    second = digits
    for _ in range(ord("0") - 1):
        second = data.rfind(b"\0", 0, second - 1) + 1
    # No zero need be before the first token. Where it begins is aligned, and the index tells it.
    for start in range((second - 1) // 4 * 4, max(second - _LONGEST_TOKEN, 0), -4):
        tokens = data[start : start + (1 << 16)].split(b"\0", _TOKENS)[:_TOKENS]
        begins = list(itertools.accumulate((len(token) + 1 for token in tokens[:-1]), initial=0))
        if len(tokens) != _TOKENS or begins[-1] >= 1 << 16:
            return None
        index = struct.pack(f"<{_TOKENS}H", *begins)
        end = start + begins[-1] + len(tokens[-1]) + 1
        found = data.find(index, end, end + len(index) + _PADDING)
        if found >= 0:
            return _TokenTable(tokens, start, found + len(index))
    return None


def _numbers(data: bytes, end: int) -> Iterator[tuple[int, int]]:
    """Yield where the number of symbols may be, and its width: 8 bytes, or 4 since 7.0.

    The nearest to `end` comes first.
    """
    import numpy as np

    for width in (8, 4):
        values = np.frombuffer(data, f"<u{width}", end // width)
        distance = end - np.arange(len(values)) * width
        plausible = (values >= _FEWEST) & (values <= distance // _SHORTEST) & (values >= distance // _LONGEST)
        for index in np.flatnonzero(plausible)[::-1]:
            yield int(index) * width, width


def _names(data: bytes, number: int, width: int, table: _TokenTable) -> list[str]:
    """Return the names behind the number of symbols at `number`; [] if that is none."""
    count = int.from_bytes(data[number : number + width], "little")
    start = number + width
    # Reading from a wrong start soon falls into step with the names; the markers show that it was wrong.
    some = list(itertools.islice(_entries(data, start, count), 2 * _EVERY + 1))
    # 6.2 and 6.3 have three bytes a symbol, their order by name, between the markers and the tokens.
    from_here = max(start, table.start - 8 * (count // _EVERY + 2) - 3 * count)
    if not any(data.find(markers, from_here, table.start) >= 0 for markers in _markers(some)):
        return []
    entries = list(_entries(data, start, count))
    behind = _aligned(entries[-1].stop, width)
    if len(entries) < count or not any(data.startswith(markers, behind) for markers in _markers(entries)):
        return []
    names = (b"".join([table.tokens[byte] for byte in data[entry.begin : entry.stop]]) for entry in entries)
    # The first letter is the type, as nm(1) has it.
    return [name[1:].decode("ascii", "replace") for name in names]


class _Entry(NamedTuple):
    """One compressed name."""

    offset: int
    """From the first name."""
    begin: int
    stop: int


def _entries(data: bytes, start: int, count: int) -> Iterator[_Entry]:
    position = start
    for _ in range(count):
        if position + 2 > len(data):
            return
        # Since 6.1 a length over 127 takes two bytes, by ULEB128. Before, there was none.
        offset, length = position - start, data[position]
        position += 1
        if length & 0x80:
            length = length & 0x7F | data[position] << 7
            position += 1
        yield _Entry(offset, position, position + length)
        position += length


def _markers(entries: Sequence[_Entry]) -> Iterator[bytes]:
    """Yield the markers of these names as they may be written: since 4.20 as ints, before as longs."""
    offsets = [entry.offset for entry in entries[::_EVERY]]
    for letter in ("I", "Q"):
        yield struct.pack(f"<{len(offsets)}{letter}", *offsets)


def _addresses(data: bytes, number: int, behind: int, count: int, address: int) -> Iterator[list[int]]:
    """Yield what the addresses may be."""
    import numpy as np

    def numbers(kind: str, start: int) -> NDArray[np.int64] | None:
        if start < 0 or start + count * np.dtype(kind).itemsize > len(data):
            return None
        return np.frombuffer(data, kind, count, start).astype("i8")

    start = _aligned(behind, 4)
    if (relative := numbers("<i4", start)) is not None:
        places = np.arange(start, start + 4 * count, 4, dtype="i8")
        yield _from(address, relative + places)
    size = _aligned(4 * count, 8)
    last = _aligned(behind, 8)
    for first, base_at in ((last, last + size), (number - 8 - size, number - 8)):
        unsigned, signed = numbers("<u4", first), numbers("<i4", first)
        if unsigned is None or signed is None or base_at + 8 > len(data):
            continue
        (base,) = struct.unpack_from("<Q", data, base_at)
        yield _from(base, unsigned)
        # KALLSYMS_ABSOLUTE_PERCPU, up to 6.14: what is not negative is an address, or a per-CPU offset.
        yield [offset if offset >= 0 else base - 1 - offset for offset in signed.tolist()]
    if (start := number - 8 * count) >= 0:
        yield np.frombuffer(data, "<u8", count, start).tolist()


def _from(base: int, offsets: NDArray[np.int64]) -> list[int]:
    return [base + offset for offset in offsets.tolist()]


def _aligned(position: int, to: int) -> int:
    return -(-position // to) * to

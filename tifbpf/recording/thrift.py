"""Thrift's compact protocol (thrift-compact-protocol.md), as far as Parquet needs it.

Of bytes that somebody chose: whatever they are, reading ends, and takes no more memory than they do.
"""

from __future__ import annotations

from collections.abc import Iterator

STOP, TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(13)
"""Types."""
NUMBERS = frozenset({I16, I32, I64})
_DEEPEST = 16
"""Parquet's own structs nest seven deep."""
_LONG = 15
"""The length of a list that did not fit into its first byte."""


class ThriftError(ValueError):
    """Bytes that are nothing in this protocol, or of another type than they should be."""


class Compact:
    """Reads values one after the other."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        """Begin at `position`."""
        self.data = data
        self.position = position

    def fields(self) -> Iterator[tuple[int, int]]:
        """Yield number and type of each field of a struct; the caller reads or skips its value at once.

        Raises:
            ThriftError: it ends beyond the data.
        """
        field = 0
        while True:
            head = self._byte()
            if head == STOP:
                return
            if head >> 4:
                field += head >> 4
            else:
                field = self.number()
            yield field, head & 0xF

    def items(self, kind: int) -> Iterator[int]:
        """Yield the type of each item of a list, whose own type is `kind`; the caller reads or skips it."""
        if kind != LIST:
            raise ThriftError(f"a list is of type {kind}")
        head = self._byte()
        for _ in range(self._varint() if head >> 4 == _LONG else head >> 4):
            yield head & 0xF

    def number(self) -> int:
        """Return a signed number."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def binary(self) -> bytes:
        """Return text or bytes."""
        size = self._varint()
        self.position += size
        if self.position > len(self.data):
            raise ThriftError("a text ends beyond the data")
        return self.data[self.position - size : self.position]

    def skip(self, kind: int, depth: int = 0) -> None:
        """Pass by a value."""
        if depth > _DEEPEST:
            raise ThriftError("it nests too deep")
        match kind:
            case 1 | 2:  # TRUE, FALSE: the type is the value
                pass
            case 3:
                self.position += 1
            case 4 | 5 | 6:
                self._varint()
            case 7:
                self.position += 8
            case 8:
                self.binary()
            case 9:
                for item in self.items(kind):
                    # In a list, unlike in a struct, a truth value has a byte of its own.
                    self.skip(BYTE if item in (TRUE, FALSE) else item, depth + 1)
                    if self.position > len(self.data):
                        break
            case 12:
                for _, inner in self.fields():
                    self.skip(inner, depth + 1)
            case _:
                # Sets and maps are nowhere in Parquet.
                raise ThriftError(f"it has a field of type {kind}")
        if self.position > len(self.data):
            raise ThriftError("it ends beyond the data")

    def _byte(self) -> int:
        if self.position >= len(self.data):
            raise ThriftError("it ends beyond the data")
        self.position += 1
        return self.data[self.position - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise ThriftError("a number has no end")

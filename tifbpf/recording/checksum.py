"""The checksum over all of a recording's file, beside those of its pages.

Parquet has checksums for the data of pages. A bit that flips in the header of one, in the footer or in what
the footer keeps for us would change what is read, and nothing would be found: so the footer also has the
CRC-32 of the whole file, under a key of its own. It is of the file as it is with zeros for the checksum's own
eight digits, and finds every bit that flipped; somebody who means to change a file can make it right again.
"""

from __future__ import annotations

import zlib
from typing import BinaryIO

from tifbpf.recording.bounds import read_footer

KEY = b"tifbpf.crc32"
_DIGITS = 8
UNKNOWN = b"0" * _DIGITS
_ENTRY = b"\x18%c%s\x18%c" % (len(KEY), KEY, _DIGITS)
"""How the entry begins: Thrift's compact protocol, `KeyValue` of parquet.thrift. Our JSON cannot hold it, as
control characters are escapes there, and whatever else could comes earlier."""
_END = 8
"""The footer's length and the magic number, behind it."""
_AT_ONCE = 1 << 20


class ChecksumError(ValueError):
    """The file is not what was written."""


class Summing:
    """A stream for a Parquet writer, which knows the checksum of what was written, and where it has to be."""

    def __init__(self, stream: BinaryIO) -> None:
        """Write to `stream`."""
        self._stream = stream
        self._start = stream.tell()
        self._size = 0
        self._crc = 0
        self._last: list[bytes] | None = None
        self.closed = False
        """What Arrow asks of a stream."""

    def write(self, data: bytes) -> int:
        """Write on."""
        self._stream.write(data)
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        if self._last is not None:
            self._last.append(bytes(data))
        return len(data)

    def tell(self) -> int:
        """Return how much was written."""
        return self._size

    def flush(self) -> None:
        """Bring it to the operating system."""
        self._stream.flush()

    def close(self) -> None:
        """Stay open: whoever gave the stream closes it."""

    def expect(self) -> None:
        """Look for where the checksum has to be, from here on."""
        self._last = []

    def seal(self) -> None:
        """Put it there, once everything is written.

        Raises:
            OSError: it cannot be written.
        """
        last = b"".join(self._last or ())
        place = last.rindex(_ENTRY + UNKNOWN) + len(_ENTRY)
        self._stream.seek(self._start + self._size - len(last) + place)
        self._stream.write(_digits(self._crc))
        self._stream.seek(self._start + self._size)


def verify(stream: BinaryIO) -> bool:
    """Check a file against the checksum that its footer has.

    Args:
        stream: of a Parquet file with a magic number at its end; is left somewhere.

    Returns:
        Whether there is one; recordings of tifbpf 0.1.0 and before have none.

    Raises:
        ChecksumError: there is, and the file is another.
        ExcessError: the footer claims to be longer than it can be.
        OSError: it cannot be read.
    """
    footer, size = read_footer(stream)
    found = footer.rfind(_ENTRY)
    if found < 0:
        return False
    place = size - _END - len(footer) + found + len(_ENTRY)
    stream.seek(0)
    crc = _sum(stream, place, 0)
    wanted = stream.read(_DIGITS)
    crc = _sum(stream, size - place - _DIGITS, zlib.crc32(UNKNOWN, crc))
    if wanted != _digits(crc):
        raise ChecksumError("it does not match its checksum")
    return True


def _digits(crc: int) -> bytes:
    return b"%08x" % crc


def _sum(stream: BinaryIO, size: int, crc: int) -> int:
    while size > 0 and (data := stream.read(min(size, _AT_ONCE))):
        crc = zlib.crc32(data, crc)
        size -= len(data)
    return crc

"""What an engine does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from tifbpf.engines.query import Keys, Query
from tifbpf.engines.source import Source

if TYPE_CHECKING:
    import pyarrow as pa

    from tifbpf.recording.reader import Part
    from tifbpf.recording.remote import Location


class EngineError(Exception):
    """Rows could not be summed: a file is damaged or gone, or their sum does not fit. One line."""


class Engine(Protocol):
    """Somebody who sums."""

    @property
    def name(self) -> str:
        """What `--engine` calls it."""

    def parts(self, paths: Sequence[Location]) -> list[Part]:
        """Return what the recordings at `paths` say about themselves, in their order.

        Raises:
            TifbpfError: as `tifbpf.recording.reader.parts_of`.
        """

    def sums(self, sources: Sequence[Source], query: Query) -> dict[Keys, pa.Table]:
        """Return the sums of `query` over the rows of `sources`, by its keys.

        Tables have the columns of the key and then the measures; lines are in the order of the key. Keys are
        as in `tifbpf.recording.schema.SCHEMA` with names as strings; time and step int64, ns since the epoch;
        recording and group int32.

        Raises:
            EngineError: the rows cannot be read, or add up to more than 64 bits hold.
        """

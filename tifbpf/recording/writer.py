"""Writing a recording: segments while it lasts, one file at the end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from tifbpf.errors import OutputUnwritableError
from tifbpf.recording.exits import ExitClasses
from tifbpf.recording.metadata import Metadata, Segment
from tifbpf.recording.place import WHOLE, Place

if TYPE_CHECKING:
    import pyarrow as pa

    from tifbpf.recording.tables import Growing

SUFFIX = ".tif.parquet"

_ROLL_UP = 64
"""So many flushes become one segment: a day at one a second leaves 1,400 files, not 86,400."""


class RecordingWriter:
    """One recording on its way to `output`.

    A flush becomes a segment under a temporary name, which is renamed when all of it is on the disk; so a
    recorder that is killed loses the interval it was in, and what it had flushed can be read as it is.
    """

    def __init__(self, output: Path, *, force: bool) -> None:
        """Reserve `output`.

        Raises:
            OutputExistsError: it is there, or segments of an unfinished recording are, and not `force`.
            OutputUnwritableError: it cannot be written.
        """
        self.output = output
        self._rolled: list[str] = []
        self._singles: list[str] = []
        self._flushes = 0
        try:
            self.place = Place(output, force=force)
        except OSError as error:
            raise _unwritable(output, error) from error
        self.publish: Callable[[], None] = self.place.publish
        """Makes what was put together the recording; `remove_directory` is the last step. Both are somebody
        else's to do where this process may not."""
        self.remove_directory: Callable[[], None] = self.place.remove_directory

    def flush(
        self,
        rows: ExitClasses,
        *,
        start_ns: int,
        interval_ns: int,
        metadata: Metadata,
        recorder: tuple[int, int],
        every: int = 1,
    ) -> None:
        """Write one interval as a segment.

        Args:
            rows: the interval's classes.
            start_ns: its start, since the epoch.
            interval_ns: its length.
            metadata: of the recording so far.
            recorder: pid and start time (clock ticks since boot) of the process that records.
            every: how many times its own length the interval stands for.

        Raises:
            OutputUnwritableError: the segment cannot be written; what was written before stays.
        """
        number = self._flushes
        segment = Segment(first=number, number=number, recorder_pid=recorder[0], recorder_start=recorder[1])
        footer = msgspec.structs.replace(metadata, complete=False, ended="recording", segment=segment)
        table = _tables().table(
            rows, start_ns=start_ns, interval_ns=interval_ns, metadata=metadata, every=every
        )
        name = f"{number:06}{SUFFIX}"
        try:
            self._write([table], footer, name)
            self._flushes += 1
            self._singles.append(name)
            if len(self._singles) == _ROLL_UP:
                whole = msgspec.structs.replace(segment, first=number + 1 - _ROLL_UP)
                self._roll_up(msgspec.structs.replace(footer, segment=whole))
        except OSError as error:
            if not self._flushes:
                raise _unwritable(self.output, error) from error
            if not self.place.has_files():
                raise _removed(self.place.segments) from error
            raise OutputUnwritableError(
                f"{self.place.segments} cannot be written: {error.strerror or error}; what was recorded "
                f"until then is in it: `tifbpf report {self.output}` reads it"
            ) from error

    def _roll_up(self, footer: Metadata) -> None:
        first, *others = self._singles
        self._write(map(self._read, self._singles), footer, first)
        # A reader that meets the others meanwhile sees from the ranges that it has them already.
        self.place.remove(others)
        self._rolled.append(first)
        self._singles = []

    def finish(self, metadata: Metadata) -> None:
        """Merge the segments into the output, atomically, and remove them.

        Raises:
            OutputUnwritableError: the output cannot be written, and the segments stay; or they cannot be
                removed.
        """
        try:
            self._write_as(map(self._read, [*self._rolled, *self._singles]), metadata, WHOLE, self.publish)
        except OSError as error:
            if not self.place.has_files():
                raise _removed(self.place.segments) from error
            raise OutputUnwritableError(
                f"{self.output} cannot be written ({error.strerror or error}); the recording is safe in "
                f"{self.place.segments}, which `tifbpf report` reads"
            ) from error
        try:
            self.place.remove_files()
            self.remove_directory()
        except OSError as error:
            raise OutputUnwritableError(
                f"{self.output} is complete, but {self.place.segments} cannot be removed: "
                f"{error.strerror or error}; remove it"
            ) from error

    @property
    def has_flushed(self) -> bool:
        """Whether there is anything to finish."""
        return self._flushes > 0

    def abandon(self) -> None:
        """Remove the reservation of a recording that never began; keep what has been flushed."""
        if not self._flushes:
            with contextlib.suppress(OSError):
                self.remove_directory()
        self.place.close()

    def _read(self, name: str) -> pa.Table:
        with self.place.open(name) as stream:
            return _tables().read(stream)

    def _write(self, tables: Iterable[pa.Table], metadata: Metadata, name: str) -> None:
        """Write a segment in one step: a temporary name, the disk, the rename."""
        temporary = f".{name}.tmp"
        self._write_as(tables, metadata, temporary, lambda: self.place.rename(temporary, name))

    def _write_as(
        self,
        tables: Iterable[pa.Table],
        metadata: Metadata,
        temporary: str,
        put: Callable[[], None],
    ) -> None:
        try:
            with self.place.create(temporary) as stream:
                _tables().write(stream, tables, metadata)
                stream.flush()
                os.fsync(stream.fileno())
            put()
        except BaseException:
            with contextlib.suppress(OSError):
                self.place.remove([temporary])
            raise


class UnnamedWriter:
    """One recording that nobody keeps, in a file without a name."""

    def __init__(self, stream: BinaryIO) -> None:
        """Write to `stream`, which the caller closes."""
        self._stream = stream
        self._file: Growing | None = None

    def flush(
        self,
        rows: ExitClasses,
        *,
        start_ns: int,
        interval_ns: int,
        metadata: Metadata,
        recorder: tuple[int, int],
        every: int = 1,
    ) -> None:
        """Add one interval; for the arguments see `RecordingWriter.flush`.

        Raises:
            OutputUnwritableError: it cannot be written.
        """
        try:
            tables = _tables()
            if self._file is None:
                self._file = tables.Growing(self._stream, metadata)
            self._file.add(
                tables.table(rows, start_ns=start_ns, interval_ns=interval_ns, metadata=metadata, every=every)
            )
        except OSError as error:
            raise _not_kept(error) from error

    def finish(self, metadata: Metadata) -> None:
        """Make it a whole recording, which it is not before.

        Raises:
            OutputUnwritableError: it cannot be written.
        """
        try:
            (self._file or _tables().Growing(self._stream, metadata)).finish(metadata)
            self._stream.flush()
        except OSError as error:
            raise _not_kept(error) from error

    @property
    def has_flushed(self) -> bool:
        """Whether there is anything to finish: not unless all of it is."""
        return False

    def abandon(self) -> None:
        """Leave nothing, as there is nothing."""


def _not_kept(error: OSError) -> OutputUnwritableError:
    return OutputUnwritableError(
        f"what was counted cannot be kept until the end: {error.strerror or error}; set TMPDIR to where "
        "there is room"
    )


def _unwritable(output: Path, error: OSError) -> OutputUnwritableError:
    return OutputUnwritableError(
        f"{output} cannot be written: {error.strerror or error}; name another place with -o"
    )


def _removed(segments: Path) -> OutputUnwritableError:
    return OutputUnwritableError(
        f"{segments} was removed while it was being written, and what was recorded with it; record again"
    )


def _tables() -> ModuleType:
    # Arrow takes 60 ms to load: whoever records is attached meanwhile.
    from tifbpf.recording import tables

    return tables

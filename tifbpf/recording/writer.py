"""Writing a recording: segments while it lasts, one file at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from tifbpf.errors import OutputExistsError, OutputUnwritableError
from tifbpf.layouts.model import Context
from tifbpf.recording.columns import column
from tifbpf.recording.exits import ExitClass
from tifbpf.recording.metadata import FOOTER_KEY, Metadata, Segment, encode
from tifbpf.recording.paths import ExitPath, classify
from tifbpf.recording.schema import SCHEMA

SUFFIX = ".tif.parquet"
SEGMENTS_SUFFIX = ".segments"

# Arrow's own allocator keeps 4 MB more to itself; a recorder writes little, and lives long.
pa.set_memory_pool(pa.system_memory_pool())

_ROLL_UP = 64
"""So many flushes become one segment: a day at one a second leaves 1,400 files, not 86,400."""


def segments_directory(output: Path) -> Path:
    """Return where the segments of the recording `output` are kept until it is complete."""
    return output.with_name(output.name + SEGMENTS_SUFFIX)


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
        self._directory = segments_directory(output)
        self._rolled: list[Path] = []
        self._singles: list[Path] = []
        self._flushes = 0
        if not force:
            if output.exists():
                raise OutputExistsError(
                    f"{output} exists; name another with -o, or overwrite it with --force"
                )
            # An empty one is what a recorder leaves that was killed before its first flush.
            if self._directory.is_dir() and any(self._directory.iterdir()):
                raise OutputExistsError(
                    f"{self._directory} holds an unfinished recording; read it with `tifbpf report "
                    f"{output}`, or overwrite it with --force"
                )
        try:
            if output.is_dir():
                raise IsADirectoryError(21, "Is a directory")
            if self._directory.exists():
                shutil.rmtree(self._directory)
            self._directory.mkdir()
        except OSError as error:
            raise _unwritable(output, error) from error

    def flush(
        self,
        rows: Iterable[ExitClass],
        *,
        start_ns: int,
        interval_ns: int,
        metadata: Metadata,
        recorder: tuple[int, int],
    ) -> None:
        """Write one interval as a segment.

        Args:
            rows: the interval's classes.
            start_ns: its start, since the epoch.
            interval_ns: its length.
            metadata: of the recording so far.
            recorder: pid and start time (clock ticks since boot) of the process that records.

        Raises:
            OutputUnwritableError: the segment cannot be written; what was written before stays.
        """
        number = self._flushes
        segment = Segment(first=number, number=number, recorder_pid=recorder[0], recorder_start=recorder[1])
        footer = msgspec.structs.replace(metadata, complete=False, ended="recording", segment=segment)
        table = _table(rows, start_ns, interval_ns, metadata)
        path = self._directory / f"{number:06}{SUFFIX}"
        try:
            _write([table], footer, path)
            self._flushes += 1
            self._singles.append(path)
            if len(self._singles) == _ROLL_UP:
                whole = msgspec.structs.replace(segment, first=number + 1 - _ROLL_UP)
                self._roll_up(msgspec.structs.replace(footer, segment=whole))
        except OSError as error:
            if not self._flushes:
                raise _unwritable(self.output, error) from error
            raise OutputUnwritableError(
                f"{self._directory} cannot be written: {error.strerror or error}; what was recorded until "
                f"then is in it: `tifbpf report {self.output}` reads it"
            ) from error

    def _roll_up(self, footer: Metadata) -> None:
        first, *others = self._singles
        _write(map(_read, self._singles), footer, first)
        # A reader that meets the others meanwhile sees from the ranges that it has them already.
        for path in others:
            path.unlink()
        self._rolled.append(first)
        self._singles = []

    def finish(self, metadata: Metadata) -> None:
        """Merge the segments into the output, atomically, and remove them.

        Raises:
            OutputUnwritableError: the output cannot be written; the segments stay.
        """
        try:
            _write(map(_read, [*self._rolled, *self._singles]), metadata, self.output)
            shutil.rmtree(self._directory)
        except OSError as error:
            raise OutputUnwritableError(
                f"{self.output} cannot be written ({error.strerror or error}); the recording is safe in "
                f"{self._directory}, which `tifbpf report` reads"
            ) from error

    def abandon(self) -> None:
        """Remove the reservation of a recording that never began; keep what has been flushed."""
        if not self._flushes:
            with contextlib.suppress(OSError):
                self._directory.rmdir()


def _unwritable(output: Path, error: OSError) -> OutputUnwritableError:
    return OutputUnwritableError(
        f"{output} cannot be written: {error.strerror or error}; name another place with -o"
    )


def _read(path: Path) -> pa.Table:
    # Not pq.read_table(), which brings in pyarrow.dataset: half a recorder's memory again.
    with pq.ParquetFile(path) as file:
        return file.read()


def _table(rows: Iterable[ExitClass], start_ns: int, interval_ns: int, metadata: Metadata) -> pa.Table:
    slow_only = {coverage.context: coverage.slow_only for coverage in metadata.contexts}
    classified: dict[tuple[Context, int | None, int | None], tuple[ExitPath, str | None]] = {}
    columns: dict[str, list[Any]] = {field.name: [] for field in SCHEMA}
    given = [(field, columns[field]) for field in ExitClass.__struct_fields__]
    for row in rows:
        for field, values in given:
            values.append(getattr(row, field))
        words = (row.context, row.word, row.syscall_work)
        if words not in classified:
            classified[words] = classify(metadata.layout, *words, slow_only=slow_only[row.context])
        path, tier = classified[words]
        columns["path"].append(path)
        columns["tier"].append(tier)
    length = len(columns["word"])
    columns["time"] = [start_ns] * length
    columns["interval_ns"] = [interval_ns] * length
    return pa.table([column(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


def _write(tables: Iterable[pa.Table], metadata: Metadata, path: Path) -> None:
    """Write `tables` to `path` in one step: a temporary name, the disk, the rename."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            with pq.ParquetWriter(
                stream, SCHEMA, compression="zstd", write_page_checksum=True, version="2.6"
            ) as writer:
                for table in tables:
                    writer.write_table(table.replace_schema_metadata(None))
                # Not as metadata of the Arrow schema, which the footer holds once more, in base64.
                writer.add_key_value_metadata({FOOTER_KEY: encode(metadata)})
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise

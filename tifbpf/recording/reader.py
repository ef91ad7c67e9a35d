"""Reading recordings: whole files, and the segments of those that are not finished."""

from __future__ import annotations

import dataclasses
import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tifbpf.errors import (
    InputDamagedError,
    InputEmptyError,
    InputForeignError,
    InputMissingError,
    InputNotParquetError,
    InputRepeatedError,
    InputTooNewError,
    InputUnreadableError,
)
from tifbpf.layouts.model import Context
from tifbpf.recording import bounds, checksum, pages
from tifbpf.recording.bounds import Chunk
from tifbpf.recording.metadata import (
    EXACT_SCHEMA,
    FOOTER_KEY,
    MERGED_SCHEMA,
    SCHEMA_VERSION,
    Host,
    Metadata,
    Segment,
    decode,
    numbers,
    schema_of,
    sources,
)
from tifbpf.recording.paths import ExitPath
from tifbpf.recording.place import SEGMENTS_SUFFIX, segments_directory
from tifbpf.recording.process import pid_namespace, start_time
from tifbpf.recording.remote import Location, Url, file_of
from tifbpf.recording.schema import DIMENSIONS, columns_of, upgraded
from tifbpf.recording.weights import looked_at, scaled
from tifbpf.text import printable

_MAGIC = b"PAR1"
_KEYS = frozenset({FOOTER_KEY, b"ARROW:schema"})
_SEGMENT_NAME = re.compile(r"\d{6,}\.tif\.parquet")
_UNREADABLE = (pa.ArrowException, OSError, ValueError)
"""What pyarrow raises of what it cannot read: one of its own, an OSError, or a decoding error of Python's."""
_ATTEMPTS = 20
"""A recorder at work replaces segments and at last removes them; a listing may be out of date by then."""


_ALIKE = ("kernel", "layout", "layout_evidence", "contexts", "dimensions", "observer_effects")
"""What is large in the metadata, and the same in that of many recordings."""


class State(StrEnum):
    """How far a recording came."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    """A signal or an error ended it early; nothing is missing up to there."""
    RECORDING = "recording"
    """Its recorder is at work."""
    KILLED = "killed"
    """Its recorder is gone without having finished it."""
    UNFINISHED = "unfinished"
    """Segments from another host or pid namespace, where the recorder may or may not be at work."""


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file: a whole recording or a segment."""

    path: Location
    metadata: Metadata
    num_rows: int
    chunks: tuple[Chunk, ...] | None
    """Where the pages are; None once somebody has made sure of them."""
    rows_in_file: pa.Table | None
    """The columns as they are in the file; of segments alone, which their recorder may remove at any time."""

    def verify(self) -> None:
        """Make sure that each page of the file is what was written.

        Raises:
            TifbpfError: it is not, or the file cannot be read any more.
        """
        if self.chunks is None or self.rows_in_file is not None:
            return  # as of rows which were read with an eye on that
        try:
            with file_of(self.path).open("rb") as stream:
                pages.verify(stream.fileno(), self.chunks)
        except FileNotFoundError as error:
            raise _missing(self.path) from error
        except _UNREADABLE as error:
            raise damaged(self.path, _first_line(error)) from error

    @property
    def rows(self) -> pa.Table:
        """The rows; see `Recording.rows`."""
        rows = _rows_of(self.path) if self.rows_in_file is None else self.rows_in_file
        return upgraded(rows) if self.metadata.sampling is None else scaled(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One recording as it was found."""

    path: Location
    """The file, or the directory of its segments."""
    metadata: Metadata
    """Of segments: the last one's, whose totals cover all of them."""
    state: State
    parts: tuple[Part, ...]
    duration_ns: int
    """What the rows cover; shorter than the metadata's where segments are missing."""
    gaps: tuple[tuple[int, int], ...] = ()
    """The flushes that are missing between segments, each from first to last."""
    missing: int = 0
    """Exits that were recorded in the gaps."""

    @property
    def estimated(self) -> bool:
        """Whether counts are estimates, not every exit having been looked at."""
        sampling = self.metadata.sampling
        return sampling is not None and not sampling.exact

    @property
    def num_rows(self) -> int:
        """How many rows it has."""
        return sum(part.num_rows for part in self.parts)

    @property
    def rows(self) -> pa.Table:
        """All rows, read anew: sums over many come from an engine (`tifbpf.engines`).

        The columns of `tifbpf.recording.schema.SCHEMA`; where not every exit was looked at, those of
        `tifbpf.recording.weights.scaled`, whose counts are estimates of all exits.

        Raises:
            TifbpfError: the file cannot be read any more.
        """
        return pa.concat_tables(part.rows for part in self.parts).unify_dictionaries()


def load(paths: Iterable[Location]) -> tuple[Recording, ...]:
    """Find recordings, and read what they say about themselves; segments of one recording become one.

    Of the rows nothing is known yet: `tifbpf.engines.loading` looks at them.

    Args:
        paths: files, directories of segments, or the names of files that are still in segments.

    Raises:
        InputMissingError, InputUnreadableError, InputEmptyError, InputNotParquetError, InputForeignError,
        InputTooNewError, InputDamagedError: as their names say.
        InputRepeatedError: two paths are one recording.
    """
    return assembled(part for path in paths for part in parts_of(path))


def assembled(parts: Iterable[Part]) -> tuple[Recording, ...]:
    """Return the recordings that `parts` are, in their order.

    Raises:
        InputRepeatedError, InputDamagedError: as `load`.
    """
    groups: dict[str, list[Part]] = {}
    for part in parts:
        groups.setdefault(part.metadata.id, []).append(part)
    recordings = tuple(_assemble(group) for group in groups.values())
    _check_repeated(recordings)
    return recordings


def interned(parts: Iterable[Part]) -> list[Part]:
    """Return `parts` with one object for what many of them say: a thousand hosts have a few layouts."""
    known: dict[object, Any] = {}
    found = []
    for part in parts:
        shared = {name: getattr(part.metadata, name) for name in _ALIKE}
        shared = {name: known.setdefault(value, value) for name, value in shared.items()}
        found.append(dataclasses.replace(part, metadata=msgspec.structs.replace(part.metadata, **shared)))
    return found


def parts_of(path: Location) -> list[Part]:
    """Read what the files of one recording say about themselves; see `load`."""
    if isinstance(path, Url):
        return [_read_part(path)]
    for _ in range(_ATTEMPTS):
        found = _resolve(path)
        try:
            return _read_segments(_listing(found)) if found.is_dir() else [_read_part(found)]
        except InputMissingError:
            if not found.is_dir() and found == _resolve(path):
                raise
    raise InputUnreadableError(f"{_name(path)} changes faster than it can be read; try again")


def _resolve(path: Path) -> Path:
    """Return the file or the directory of segments that `path` means.

    Where there are both, the recorder was killed between writing the one and removing the other, and the
    file is the recording.
    """
    try:
        finished = Path(str(path).removesuffix(SEGMENTS_SUFFIX))
        if finished.is_file():
            return finished
        if path.exists():
            return path
        directory = segments_directory(path)
        return directory if directory.is_dir() else path
    except OSError as error:
        raise _unreadable(path, error) from error


def _listing(directory: Path) -> list[Path]:
    try:
        entries = sorted(directory.iterdir())
    except FileNotFoundError as error:
        raise _missing(directory) from error
    except OSError as error:
        raise _unreadable(directory, error) from error
    segments = [entry for entry in entries if _SEGMENT_NAME.fullmatch(entry.name)]
    if segments:
        return segments
    if directory.name.endswith(SEGMENTS_SUFFIX):
        raise InputEmptyError(
            f"{_name(directory)} holds no segment yet: its recorder has just begun, or was killed in its "
            "first interval"
        )
    raise InputForeignError(
        f"{_name(directory)} is a directory without segments of a recording; give the files, "
        "e.g. *.tif.parquet"
    )


def _read_segments(files: Sequence[Path]) -> list[Part]:
    """Read segments, whose rows stay in memory: no more of them than files of that size may hold."""
    left = bounds.most_memory(sum(_size(file) for file in files))
    parts = []
    for file in files:
        part = _read_part(file, left)
        left -= bounds.memory(part.chunks or ())
        parts.append(part)
    return parts


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError as error:
        raise _missing(path) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _read_part(path: Location, memory: int | None = None) -> Part:
    """Read a file; a segment, whose rows are kept, may take `memory` bytes, or what one of its size may."""
    try:
        file = file_of(path)
        if file.exists() and not file.is_file():
            raise InputUnreadableError(f"{_name(path)} is no regular file; save the recording to one")
        with file.open("rb") as stream:
            _check_magic(path, stream)
            return _parse(path, stream, memory)
    except FileNotFoundError as error:
        raise _missing(path) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _check_magic(path: Location, stream: BinaryIO) -> None:
    head = stream.read(len(_MAGIC))
    if not head:
        raise InputEmptyError(f"{_name(path)} is empty (0 bytes); record again")
    if head != _MAGIC:
        raise InputNotParquetError(
            f"{_name(path)} is no Parquet file; give one that `tifbpf record` wrote (*.tif.parquet)"
        )
    size = stream.seek(0, 2)
    stream.seek(max(size - len(_MAGIC), 0))
    if size < 3 * len(_MAGIC) or stream.read(len(_MAGIC)) != _MAGIC:
        raise InputDamagedError(
            f"{_name(path)} is cut short: it begins as Parquet and has no footer; copy it again"
        )
    stream.seek(0)


def _parse(path: Location, stream: BinaryIO, memory: int | None) -> Part:
    try:
        known = _KEYS | {checksum.KEY} if checksum.verify(stream) else _KEYS
        chunks = bounds.chunks(stream)
        file = _opened(stream)
        about = file.metadata.metadata or {}
        footer = about.get(FOOTER_KEY)
        if footer is None:
            raise InputForeignError(
                f"{_name(path)} is Parquet, but no recording of tifbpf; give one that `tifbpf record` wrote"
            )
        if unknown := about.keys() - known:
            # The key of the checksum, were one of its bits another, would make it a file that has none.
            raise damaged(path, f"its footer has what no recording has: {printable(str(min(unknown)))}")
        metadata = _metadata(path, footer)
        _check_columns(path, file.schema_arrow, _columns(metadata))
        rows = None
        if metadata.segment is not None:
            if memory is None:
                memory = bounds.most_memory(stream.seek(0, 2))
            if bounds.memory(chunks) > memory:
                raise damaged(path, "it and the segments before claim more than files of their size hold")
            rows = _checked_rows(file, metadata)
        return Part(path, metadata, file.metadata.num_rows, chunks, rows)
    except _UNREADABLE as error:
        raise damaged(path, _first_line(error)) from error


def _opened(stream: BinaryIO) -> pq.ParquetFile:
    return pq.ParquetFile(stream, page_checksum_verification=True)


def _checked_rows(file: pq.ParquetFile, metadata: Metadata) -> pa.Table:
    rows = file.read(columns=_columns(metadata).names)
    rows.validate(full=True)
    return rows.unify_dictionaries()


def _rows_of(path: Location) -> pa.Table:
    try:
        with file_of(path).open("rb") as stream:
            bounds.chunks(stream)
            file = _opened(stream)
            return _checked_rows(file, _metadata(path, (file.metadata.metadata or {}).get(FOOTER_KEY, b"")))
    except FileNotFoundError as error:
        raise _missing(path) from error
    except _UNREADABLE as error:
        raise damaged(path, _first_line(error)) from error


def _columns(metadata: Metadata) -> pa.Schema:
    return columns_of(metadata.schema, sampled=metadata.sampling is not None)


def _metadata(path: Location, footer: bytes) -> Metadata:
    # A later schema may change anything beside its number, so that is looked at first.
    schema = schema_of(footer)
    if schema is not None and schema > SCHEMA_VERSION:
        raise InputTooNewError(
            f"{_name(path)} has schema {schema}, and this tifbpf reads up to {SCHEMA_VERSION}; update tifbpf"
        )
    if schema is None or schema < 1:
        raise damaged(path, "its footer claims no schema that ever was")
    try:
        metadata = decode(footer)
    # ValueError: no JSON, no text, or packed by nobody. RecursionError: lists in lists, and so on.
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"its footer cannot be read: {_first_line(error)}") from error
    if any(not -(1 << 63) <= number < 1 << 63 for number in numbers(metadata)):
        raise damaged(path, "its footer has a number of more than 64 bits")
    if any(number < 0 for number in numbers(metadata.totals)):
        raise damaged(path, "its footer has a total below zero")
    if sorted(coverage.context for coverage in metadata.contexts) != sorted(Context):
        raise damaged(path, "its footer does not say how each of the three contexts was observed")
    if unknown := set(metadata.dimensions) - set(DIMENSIONS):
        raise damaged(path, f"its footer has unknown dimensions: {', '.join(sorted(unknown))}")
    if (metadata.merged is not None) != (metadata.schema == MERGED_SCHEMA):
        raise damaged(
            path, "its schema and its footer do not agree on whether it is several that were merged"
        )
    if metadata.merged is None and (metadata.sampling is not None) != (metadata.schema > EXACT_SCHEMA):
        raise damaged(path, "its schema and its footer do not agree on whether every exit was looked at")
    if metadata.duration_ns < 0 or metadata.interval_ns < 0:
        raise damaged(path, "its footer has a duration below zero")
    return metadata


def _check_columns(path: Location, found: pa.Schema, wanted: pa.Schema) -> None:
    for field in wanted:
        if found.names.count(field.name) != 1:
            raise damaged(path, f"the column {field.name} is missing, or there twice")
        if not found.field(field.name).equals(field):
            # A time zone may be any text.
            given = printable(str(found.field(field.name).type))
            raise damaged(path, f"the column {field.name} is {given}, not {field.type}")


def _assemble(parts: Sequence[Part]) -> Recording:
    """Make one recording of the parts that carry one id."""
    whole = [part for part in parts if part.metadata.segment is None]
    if len(whole) > 1:
        raise InputRepeatedError(
            f"{_name(whole[0].path)} and {_name(whole[1].path)} are one recording; give it once"
        )
    # A recorder that was killed between writing the file and removing the segments leaves both.
    return _whole(whole[0]) if whole else _segmented(parts)


def _check_repeated(recordings: Iterable[Recording]) -> None:
    """Make sure that none is once more in what `tifbpf merge` made of it."""
    holders: dict[str, Recording] = {}
    for recording in recordings:
        for source in sources(recording.metadata):
            other = holders.setdefault(source, recording)
            if other is not recording:
                raise InputRepeatedError(
                    f"{_name(other.path)} and {_name(recording.path)} hold the same exits, of recording "
                    f"{printable(source)}; give one of them"
                )


def _whole(part: Part) -> Recording:
    metadata = part.metadata
    return Recording(
        path=part.path,
        metadata=metadata,
        state=State.COMPLETE if metadata.complete else State.PARTIAL,
        parts=(part,),
        duration_ns=metadata.duration_ns,
    )


def _segmented(parts: Sequence[Part]) -> Recording:
    directory = file_of(parts[0].path).parent
    kept: list[Part] = []
    gaps: list[tuple[int, int]] = []
    duration_ns = 0
    next_flush = 0
    for part, segment in _in_order(parts):
        if segment.number < next_flush:
            continue  # rolled up into one that is kept
        if segment.first < next_flush:
            raise damaged(
                part.path, f"it holds flushes {segment.first}-{segment.number}, others a part of them"
            )
        if segment.first > next_flush:
            gaps.append((next_flush, segment.first - 1))
            duration_ns += _intervals_ns(part.rows)
        else:
            duration_ns += part.metadata.duration_ns - (kept[-1].metadata.duration_ns if kept else 0)
        kept.append(part)
        recorder = segment
        next_flush = segment.number + 1
    last = kept[-1]
    recorded = sum(_recorded(part) for part in kept)
    return Recording(
        path=directory,
        metadata=last.metadata,
        state=_state(last.metadata.host, recorder),
        parts=tuple(kept),
        duration_ns=duration_ns,
        gaps=tuple(gaps),
        missing=last.metadata.totals.recorded - recorded,
    )


def _in_order(parts: Sequence[Part]) -> Iterator[tuple[Part, Segment]]:
    """Yield parts by their first flush, the longest of those with the same first."""
    segments = [(part, part.metadata.segment) for part in parts if part.metadata.segment is not None]
    for part, segment in sorted(segments, key=lambda pair: (pair[1].first, -pair[1].number)):
        if not 0 <= segment.first <= segment.number:
            raise damaged(part.path, f"it claims to hold flushes {segment.first}-{segment.number}")
        yield part, segment


def _intervals_ns(rows: pa.Table) -> int:
    """Return the time that the rows' intervals cover: after a gap there is no earlier total to subtract."""
    intervals = rows.group_by(["time"]).aggregate([("interval_ns", "max")])
    return pc.sum(intervals["interval_ns_max"]).as_py() or 0


def _recorded(part: Part) -> int:
    """Return the exits of a part that were looked at."""
    rows = looked_at(part.rows)
    exits = rows.filter(pc.not_equal(rows["path"].cast(pa.string()), ExitPath.ALL.value))
    return pc.sum(exits["count"]).as_py() or 0


def _state(host: Host, recorder: Segment) -> State:
    if host.name != socket.gethostname() or not Path("/proc/self/stat").exists():
        return State.UNFINISHED
    if host.pid_namespace != pid_namespace():
        return State.UNFINISHED
    alive = start_time(recorder.recorder_pid) == recorder.recorder_start
    return State.RECORDING if alive else State.KILLED


def _name(path: Location) -> str:
    return printable(str(path))


def _first_line(error: Exception) -> str:
    return printable(str(error).strip().split("\n")[0])


def _missing(path: Location) -> InputMissingError:
    return InputMissingError(f"{_name(path)} does not exist; `tifbpf record -o {_name(path)}` would make it")


def _unreadable(path: Location, error: OSError) -> InputUnreadableError:
    return InputUnreadableError(f"{_name(path)} cannot be read: {error.strerror or error}")


def damaged(path: Location, what: str) -> InputDamagedError:
    """Return the error of a recording that is not what was written."""
    return InputDamagedError(f"{_name(path)} is damaged: {what}")

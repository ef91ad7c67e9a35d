"""Reading recordings: whole files, and the segments of those that are not finished."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

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
from tifbpf.recording.buckets import bounds
from tifbpf.recording.metadata import (
    EXACT_SCHEMA,
    FOOTER_KEY,
    MERGED_SCHEMA,
    SCHEMA_VERSION,
    Metadata,
    Sampling,
    Segment,
    decode,
    schema_of,
    sources,
)
from tifbpf.recording.paths import ExitPath, classify
from tifbpf.recording.place import SEGMENTS_SUFFIX, segments_directory
from tifbpf.recording.process import start_time
from tifbpf.recording.schema import DIMENSIONS, WEIGHTS, columns_of, upgraded
from tifbpf.recording.weights import looked_at, scaled
from tifbpf.text import printable

_MAGIC = b"PAR1"
_SEGMENT_NAME = re.compile(r"\d{6,}\.tif\.parquet")
_ATTEMPTS = 5
"""A recorder at work replaces segments and at last removes them; a listing may be out of date by then."""


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
    """Segments from another host, where the recorder may or may not be at work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One recording as it was found."""

    path: Path
    """The file, or the directory of its segments."""
    metadata: Metadata
    """Of segments: the last one's, whose totals cover all of them."""
    state: State
    rows: pa.Table
    """The columns of `tifbpf.recording.schema.SCHEMA`; where not every exit was looked at, those of
    `tifbpf.recording.weights.scaled`, whose counts are estimates of all exits."""
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


@dataclass(frozen=True, slots=True)
class _Part:
    """One Parquet file: a whole recording or a segment."""

    path: Path
    metadata: Metadata
    rows: pa.Table


def load(paths: Iterable[Path]) -> tuple[Recording, ...]:
    """Read recordings; segments of one recording become one.

    Args:
        paths: files, directories of segments, or the names of files that are still in segments.

    Raises:
        InputMissingError, InputUnreadableError, InputEmptyError, InputNotParquetError, InputForeignError,
        InputTooNewError, InputDamagedError: as their names say.
        InputRepeatedError: two paths are one recording.
    """
    parts: dict[str, list[_Part]] = {}
    for path in paths:
        for part in _read(path):
            parts.setdefault(part.metadata.id, []).append(part)
    recordings = tuple(_assemble(group) for group in parts.values())
    _check_repeated(recordings)
    return recordings


def _read(path: Path) -> list[_Part]:
    for _ in range(_ATTEMPTS):
        found = _resolve(path)
        try:
            return [_read_part(file) for file in (_listing(found) if found.is_dir() else [found])]
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


def _read_part(path: Path) -> _Part:
    try:
        if path.exists() and not path.is_file():
            raise InputUnreadableError(f"{_name(path)} is no regular file; save the recording to one")
        with path.open("rb") as stream:
            _check_magic(path, stream)
            return _parse(path, stream)
    except FileNotFoundError as error:
        raise _missing(path) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _check_magic(path: Path, stream: BinaryIO) -> None:
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


def _parse(path: Path, stream: BinaryIO) -> _Part:
    try:
        file = pq.ParquetFile(stream, page_checksum_verification=True)
        footer = (file.metadata.metadata or {}).get(FOOTER_KEY)
        if footer is None:
            raise InputForeignError(
                f"{_name(path)} is Parquet, but no recording of tifbpf; give one that `tifbpf record` wrote"
            )
        metadata = _metadata(path, footer)
        columns = columns_of(metadata.schema, sampled=metadata.sampling is not None)
        _check_columns(path, file.schema_arrow, columns)
        rows = file.read(columns=columns.names)
        rows.validate(full=True)
        rows = rows.unify_dictionaries()
        if metadata.sampling is None:
            rows = upgraded(rows)
    # pyarrow reports what it cannot read as an ArrowException, an OSError or a decoding error of Python's.
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, _first_line(error)) from error
    _check_rows(path, metadata, rows)
    _check_times(path, metadata, looked_at(rows))
    if metadata.sampling is not None:
        _check_weights(path, metadata.sampling, rows)
        rows = scaled(rows)
    return _Part(path, metadata, rows)


def _metadata(path: Path, footer: bytes) -> Metadata:
    # A later schema may change anything beside its number, so that is looked at first.
    schema = schema_of(footer)
    if schema is not None and schema > SCHEMA_VERSION:
        raise InputTooNewError(
            f"{_name(path)} has schema {schema}, and this tifbpf reads up to {SCHEMA_VERSION}; update tifbpf"
        )
    if schema is None or schema < 1:
        raise _damaged(path, "its footer claims no schema that ever was")
    try:
        metadata = decode(footer)
    # ValueError: no JSON, no text, or packed by nobody.
    except ValueError as error:
        raise _damaged(path, f"its footer cannot be read: {_first_line(error)}") from error
    if sorted(coverage.context for coverage in metadata.contexts) != sorted(Context):
        raise _damaged(path, "its footer does not say how each of the three contexts was observed")
    if unknown := set(metadata.dimensions) - set(DIMENSIONS):
        raise _damaged(path, f"its footer has unknown dimensions: {', '.join(sorted(unknown))}")
    if (metadata.merged is not None) != (metadata.schema == MERGED_SCHEMA):
        raise _damaged(
            path, "its schema and its footer do not agree on whether it is several that were merged"
        )
    if metadata.merged is None and (metadata.sampling is not None) != (metadata.schema > EXACT_SCHEMA):
        raise _damaged(path, "its schema and its footer do not agree on whether every exit was looked at")
    if metadata.duration_ns < 0 or metadata.interval_ns < 0:
        raise _damaged(path, "its footer has a duration below zero")
    return metadata


def _check_columns(path: Path, found: pa.Schema, wanted: pa.Schema) -> None:
    for field in wanted:
        if found.names.count(field.name) != 1:
            raise _damaged(path, f"the column {field.name} is missing, or there twice")
        if not found.field(field.name).equals(field):
            raise _damaged(
                path, f"the column {field.name} is {found.field(field.name).type}, not {field.type}"
            )


def _check_rows(path: Path, metadata: Metadata, rows: pa.Table) -> None:
    kinds = rows.group_by(["context", "word", "syscall_work", "path", "tier"]).aggregate([])
    covered = {
        coverage.context.value: coverage for coverage in metadata.contexts if coverage.route is not None
    }
    for kind in kinds.to_pylist():
        coverage = covered.get(kind["context"])
        if coverage is None:
            raise _damaged(path, f"it has rows of a context that it did not cover: {kind['context']}")
        word, syscall_work = kind["word"], kind["syscall_work"]
        wanted, tier = classify(
            metadata.layout, coverage.context, word, syscall_work, slow_only=coverage.slow_only
        )
        if (kind["path"], kind["tier"]) != (wanted, tier):
            words = "without a word" if word is None else f"with word {word:#x}"
            raise _damaged(
                path,
                f"by its own layout a {coverage.context} exit {words} is {tier or wanted}, and a row says "
                f"{kind['tier'] or kind['path']}",
            )
        if wanted is not ExitPath.ALL:
            continue
        if syscall_work is not None:
            raise _damaged(path, "a row that counts all exits has a syscall_work of its own")
        if not coverage.slow_only or coverage.denominator is None:
            raise _damaged(
                path,
                f"it has rows that count all {coverage.context} exits, and by its footer nothing but the "
                "route counted them",
            )


def _check_times(path: Path, metadata: Metadata, rows: pa.Table) -> None:
    """Check what schema 2 says of times: each exit's is in the row's bucket, and only slow exits have one."""
    if metadata.schema < 2:
        return
    timed = pc.is_valid(rows["latency_log2"])
    if not all(pc.is_valid(rows[name]).equals(timed) for name in ("ns", "ns_max")):
        raise _damaged(path, "of latency_log2, ns and ns_max a row has some and not all")
    times = rows.filter(timed).group_by(["path", "latency_log2"])
    sums = times.aggregate([("ns_max", "min"), ("ns_max", "max"), ("ns", "sum"), ("count", "sum")])
    for kind in sums.to_pylist():
        if kind["path"] != ExitPath.SLOW:
            raise _damaged(path, f"it has times of exits that are {kind['path']}")
        bucket, exits = kind["latency_log2"], kind["count_sum"]
        if not 0 <= bucket < 64:
            raise _damaged(path, f"it has times of a bucket {bucket}")
        least, most = bounds(bucket)
        if not (
            least <= kind["ns_max_min"]
            and kind["ns_max_max"] <= most
            and exits * least <= kind["ns_sum"] <= exits * most
        ):
            raise _damaged(path, f"times of the bucket {bucket} are not between {least} and {most} ns")


def _check_weights(path: Path, sampling: Sampling, rows: pa.Table) -> None:
    """Check what an exit stands for: by --sample always the same, by --duty what was asked for or a step."""
    every = {sampling.every, *(step.every for step in sampling.steps)}
    for kind in rows.group_by(WEIGHTS.names).aggregate([]).to_pylist():
        if kind["one_in"] != sampling.one_in or kind["every"] not in every or 0 in kind.values():
            raise _damaged(
                path,
                f"in a row each exit stands for {kind['one_in']} times {kind['every']}, and its footer says "
                "otherwise",
            )


def _assemble(parts: Sequence[_Part]) -> Recording:
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


def _whole(part: _Part) -> Recording:
    metadata = part.metadata
    _check_totals(part.path, metadata, _Counts.of(part.rows), gaps=False)
    return Recording(
        path=part.path,
        metadata=metadata,
        state=State.COMPLETE if metadata.complete else State.PARTIAL,
        rows=part.rows,
        duration_ns=metadata.duration_ns,
    )


def _segmented(parts: Sequence[_Part]) -> Recording:
    directory = parts[0].path.parent
    kept: list[_Part] = []
    gaps: list[tuple[int, int]] = []
    duration_ns = 0
    next_flush = 0
    for part, segment in _in_order(parts):
        if segment.number < next_flush:
            continue  # rolled up into one that is kept
        if segment.first < next_flush:
            raise _damaged(
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
    rows = pa.concat_tables(part.rows for part in kept).unify_dictionaries()
    counts = _Counts.of(rows)
    _check_totals(last.path, last.metadata, counts, gaps=bool(gaps))
    return Recording(
        path=directory,
        metadata=last.metadata,
        state=_state(last.metadata.host.name, recorder),
        rows=rows,
        duration_ns=duration_ns,
        gaps=tuple(gaps),
        missing=last.metadata.totals.recorded - counts.recorded,
    )


def _in_order(parts: Sequence[_Part]) -> Iterator[tuple[_Part, Segment]]:
    """Yield parts by their first flush, the longest of those with the same first."""
    segments = [(part, part.metadata.segment) for part in parts if part.metadata.segment is not None]
    for part, segment in sorted(segments, key=lambda pair: (pair[1].first, -pair[1].number)):
        if not 0 <= segment.first <= segment.number:
            raise _damaged(part.path, f"it claims to hold flushes {segment.first}-{segment.number}")
        yield part, segment


def _intervals_ns(rows: pa.Table) -> int:
    """Return the time that the rows' intervals cover: after a gap there is no earlier total to subtract."""
    intervals = rows.group_by(["time"]).aggregate([("interval_ns", "max")])
    return pc.sum(intervals["interval_ns_max"]).as_py() or 0


@dataclass(frozen=True, slots=True)
class _Counts:
    """What rows add up to."""

    recorded: int
    counted: int

    @classmethod
    def of(cls, rows: pa.Table) -> _Counts:
        counts = dict.fromkeys(ExitPath, 0)
        for line in looked_at(rows).group_by(["path"]).aggregate([("count", "sum")]).to_pylist():
            counts[ExitPath(line["path"])] += line["count_sum"]
        return cls(recorded=counts[ExitPath.FAST] + counts[ExitPath.SLOW], counted=counts[ExitPath.ALL])


def _check_totals(path: Path, metadata: Metadata, counts: _Counts, *, gaps: bool) -> None:
    totals = metadata.totals
    if totals.seen != totals.recorded + totals.losses.total:
        raise _damaged(
            path,
            f"{totals.seen} exits seen are not {totals.recorded} recorded and {totals.losses.total} lost",
        )
    for found, said, what in (
        (counts.recorded, totals.recorded, "exits"),
        (counts.counted, totals.counted, "exits of `all` rows"),
    ):
        if found > said or (found < said and not gaps):
            raise _damaged(path, f"its rows hold {found} {what}, and its footer says {said}")


def _state(host: str, recorder: Segment) -> State:
    if host != socket.gethostname() or not Path("/proc/self/stat").exists():
        return State.UNFINISHED
    alive = start_time(recorder.recorder_pid) == recorder.recorder_start
    return State.RECORDING if alive else State.KILLED


def _name(path: Path) -> str:
    return printable(str(path))


def _first_line(error: Exception) -> str:
    return printable(str(error).strip().split("\n")[0])


def _missing(path: Path) -> InputMissingError:
    return InputMissingError(f"{_name(path)} does not exist; `tifbpf record -o {_name(path)}` would make it")


def _unreadable(path: Path, error: OSError) -> InputUnreadableError:
    return InputUnreadableError(f"{_name(path)} cannot be read: {error.strerror or error}")


def _damaged(path: Path, what: str) -> InputDamagedError:
    return InputDamagedError(f"{_name(path)} is damaged: {what}")

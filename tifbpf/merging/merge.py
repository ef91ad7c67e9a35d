"""`merge`: read, sum, write, look at what was written, and only then remove what it was made of."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tifbpf.engines import local
from tifbpf.engines.loading import load
from tifbpf.errors import InputRepeatedError, OutputExistsError, OutputUnwritableError, TifbpfError
from tifbpf.merging import identity, place, rows, steps
from tifbpf.merging.metadata import Part, merged
from tifbpf.recording.metadata import Metadata, sources
from tifbpf.recording.place import segments_directory
from tifbpf.recording.reader import Recording, State
from tifbpf.recording.remote import file_of
from tifbpf.recording.writer import SUFFIX
from tifbpf.text import listed, printable

_ROWS_AT_ONCE = 1_000_000
"""Rows that are kept for one result before they are summed again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to do."""

    step_ns: int
    """A day is a whole number of them."""
    dropped: tuple[str, ...] = ()
    """Dimensions to sum over, and `identity.SETTERS`."""
    into: Path | None = None
    """The directory that is laid out by host and day; else `output`."""
    output: Path | None = None
    """The one file to write."""
    force: bool = False
    """Overwrite `output`."""
    remove: bool = False
    """Remove what was merged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One merged recording."""

    path: Path
    metadata: Metadata
    rows: int
    steps: int
    """Steps that have rows."""
    classes: int
    """Classes of exits in all of it; a step has no more."""
    size: int
    """Bytes of the file."""
    footer: int
    """Those of them that do not grow with the rows."""
    added: int
    """Recordings that were not in it before."""


@dataclass(frozen=True, slots=True)
class Left:
    """A recording that stays as it is."""

    path: Path
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What `merge` did."""

    results: tuple[Result, ...]
    left: tuple[Left, ...]
    removed: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class _Input:
    """A recording that was given, and what it was like before it was read."""

    path: Path
    state: tuple[tuple[int, ...] | None, ...]


@dataclass(slots=True)
class _Group:
    """Recordings that become one."""

    path: Path
    identity: Metadata
    parts: list[Part] = field(default_factory=list)
    tables: list[pa.Table] = field(default_factory=list)
    """Their rows, downsampled."""
    observed: Counter[int] = field(default_factory=Counter)
    kinds: rows.Kinds = field(default_factory=dict)
    """What they add up to, from the rows as they were read."""
    inputs: list[_Input] = field(default_factory=list)
    before: frozenset[str] = frozenset()
    """The ids of the recordings that were in the result before."""
    again: rows.Kinds = field(default_factory=dict)
    """What those add up to that were given again."""

    def add(self, recording: Recording, options: Options) -> None:
        self.parts.append(
            Part(identity.kept(recording.metadata, options.dropped), recording.state, recording.duration_ns)
        )
        self.tables.append(rows.downsampled(recording.rows, options.step_ns, options.dropped))
        if sum(map(len, self.tables)) > _ROWS_AT_ONCE:
            self.tables = [rows.summed(self.tables)]
        self.observed.update(steps.observed(recording, options.step_ns))
        rows.add(self.kinds, rows.by_kind(recording.rows))


def merge(paths: Iterable[Path], options: Options) -> Outcome:
    """Merge recordings that share host, kernel, layout, coverage, dimensions and the like; others stay apart.

    Whatever happens, an exit is in the inputs or in a result that was brought to the disk, read back and
    found to add up to the same; to do it again changes nothing.

    Args:
        paths: recordings, as `tifbpf.recording.reader.load` takes them; some may be results of `merge`.
        options: what to do.

    Raises:
        TifbpfError: an input cannot be read, is given twice or is in another result already; the result
            cannot be written; or it should be one and the inputs cannot be. Nothing was removed then.
    """
    with place.alone(options.into or _output(options).parent):
        if options.output is not None and options.output.exists() and not options.force:
            raise OutputExistsError(
                f"{_name(options.output)} exists; name another with -o, or overwrite it with --force"
            )
        groups, left = _read(paths, options)
        if options.output is not None and len(groups) > 1:
            differing = identity.differing(group.identity for group in groups)
            raise TifbpfError(
                f"the recordings make {len(groups)}, not one: they differ in {listed(differing)}; give "
                "--into DIR for a file each"
            )
        results = tuple(_write(group, options) for group in groups)
        removed = [path for group in groups for path in _remove(group)] if options.remove else []
    return Outcome(results=results, left=tuple(left), removed=tuple(removed))


def _output(options: Options) -> Path:
    if options.output is None:
        raise TifbpfError("say where to: --into DIR or -o FILE")
    return options.output


def _name(path: Path) -> str:
    return printable(str(path))


def _read(paths: Iterable[Path], options: Options) -> tuple[list[_Group], list[Left]]:
    groups: dict[tuple[Path, str], _Group] = {}
    left: list[Left] = []
    holders: dict[str, Path] = {}
    seen: set[tuple[tuple[int, ...] | None, ...]] = set()
    for path in paths:
        given = _Input(path, _state(path))
        if given.state in seen and any(given.state):
            continue  # one file by two names
        seen.add(given.state)
        for recording in load([path], local.shared()).recordings:
            if why := _why_left(recording):
                left.append(Left(path, why))
                continue
            group = _group(groups, recording, options)
            # A result that is given is in its group already, as what there was before.
            if options.into is None or not _same(group.path, file_of(recording.path)):
                _claim(holders, path, recording)
                _take(group, given, recording, options)
    found = list(groups.values())
    for group in found:
        _check_neighbours(group, options)
    return found, left


def _state(path: Path) -> tuple[tuple[int, ...] | None, ...]:
    """Return what tells a recording from what it may have become since; None for what is not there."""
    found: list[tuple[int, ...] | None] = []
    for each in (path, segments_directory(path)):
        try:
            about = each.stat()
            found.append((about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns))
        except OSError:
            found.append(None)
    return tuple(found)


def _same(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.samefile(other)


def _claim(holders: dict[str, Path], path: Path, recording: Recording) -> None:
    for source in sources(recording.metadata):
        if source in holders:
            raise InputRepeatedError(
                f"{_name(holders[source])} and {_name(path)} hold the same exits, of recording "
                f"{printable(source)}; give one of them"
            )
        holders[source] = path


def _why_left(recording: Recording) -> str:
    if recording.state in (State.RECORDING, State.UNFINISHED):
        return "it is not finished, or its recorder cannot be asked from here"
    if recording.gaps:
        return f"{recording.missing:,} exits are missing in it, with segments that are gone"
    if recording.metadata.sampling is not None:
        return "it did not look at every exit"
    if recording.metadata.schema == 1 and recording.rows["ns"].null_count < len(recording.rows):
        return "it has times of schema 1"
    return ""


def _group(groups: dict[tuple[Path, str], _Group], recording: Recording, options: Options) -> _Group:
    """Return the group that the recording belongs to; what is in its result already is the first of it."""
    kept = identity.kept(recording.metadata, options.dropped)
    alike = identity.identity(kept)
    digest = identity.digest(alike, options.step_ns)
    if options.into is None:
        path = _output(options)
    else:
        dimensions = "-".join(kept.dimensions) or "words"
        name = f"{steps.text(options.step_ns)}-{dimensions}-{digest}{SUFFIX}"
        path = options.into / place.directory(kept.host.name, kept.started_ns) / name
    group = groups.get((path, digest))
    if group is None:
        group = groups[path, digest] = _Group(path, alike)
        if options.into is not None and path.exists():
            (existing,) = load([path], local.shared()).recordings
            if (
                existing.metadata.merged is None
                or existing.metadata.merged.step_ns != options.step_ns
                or identity.identity(existing.metadata) != alike
            ):
                raise OutputExistsError(f"{_name(path)} is in the way: it holds something else; move it away")
            group.before = frozenset(sources(existing.metadata))
            group.add(existing, options)
    return group


def _take(group: _Group, given: _Input, recording: Recording, options: Options) -> None:
    ids = set(sources(recording.metadata))
    if ids <= group.before:
        rows.add(group.again, rows.by_kind(recording.rows))
    elif ids & group.before:
        raise InputRepeatedError(
            f"a part of {_name(given.path)} is in {_name(group.path)} already; merge into another directory"
        )
    else:
        group.add(recording, options)
    if not _same(group.path, file_of(recording.path)):
        group.inputs.append(given)


def _check_neighbours(group: _Group, options: Options) -> None:
    """Make sure that what the group gets is in no other result beside it: reports would count it twice."""
    if options.into is None or not group.path.parent.is_dir():
        return
    going = [given.path for given in group.inputs] if options.remove else []
    ids = {source for part in group.parts for source in sources(part.metadata)}
    for path in sorted(group.path.parent.glob(f"[!.]*{SUFFIX}")):
        if path == group.path or any(_same(path, given) for given in going):
            continue
        (other,) = load([path], local.shared()).recordings
        if ids & set(sources(other.metadata)):
            raise InputRepeatedError(
                f"{_name(path)} holds exits of these recordings already, and would stay beside "
                f"{_name(group.path)}; merge it with --remove, or into another directory"
            )


def _write(group: _Group, options: Options) -> Result:
    table = rows.finished(rows.summed(group.tables), group.observed)
    times = set(table["time"].cast(pa.int64()).unique().to_pylist())
    idle = {start: length for start, length in group.observed.items() if start not in times and length}
    about = merged(group.parts, options.step_ns, idle)
    added = len(set(sources(about)) - group.before)
    if added:
        place.write(group.path, table, about, lambda path: _check(path, group))
    elif not rows.holds(group.kinds, group.again):
        raise OutputUnwritableError(f"{_name(group.path)} says that it holds these recordings, and does not")
    return Result(
        path=group.path,
        metadata=about,
        rows=len(table),
        steps=len(times),
        classes=rows.classes(table),
        size=group.path.stat().st_size,
        footer=pq.read_metadata(group.path).serialized_size,
        added=added,
    )


def _check(path: Path, group: _Group) -> None:
    """Read back what was written to `path`, and compare it with what it was made of.

    Raises:
        OutputUnwritableError: it is not the same.
    """
    (found,) = load([path], local.shared()).recordings
    if rows.by_kind(found.rows) != group.kinds or not rows.holds(group.kinds, group.again):
        raise OutputUnwritableError(
            f"{_name(group.path)} was read back and does not add up to what it was made of; it was not kept, "
            "and nothing was removed: check the disk"
        )


def _remove(group: _Group) -> Iterable[Path]:
    for given in group.inputs:
        if _state(given.path) != given.state:
            continue  # no longer what was merged
        try:
            # Segments first: where both are there, the file is the recording.
            for path in (segments_directory(given.path), given.path):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputUnwritableError(
                f"{_name(given.path)} was merged into {_name(group.path)} and cannot be removed: "
                f"{error.strerror or error}"
            ) from error
        yield given.path

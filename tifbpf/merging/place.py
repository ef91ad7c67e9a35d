"""Where merged recordings are kept: by host and day, in files that are there as a whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote_from_bytes

import pyarrow as pa

from tifbpf.errors import OutputUnwritableError
from tifbpf.recording import parquet
from tifbpf.recording.metadata import Metadata, pack
from tifbpf.recording.weights import schema_for
from tifbpf.text import printable

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PRIVATE = 0o600
_LONGEST = 200
"""Of a host's name in a path, bytes; file systems take 255 in all."""


def directory(host: str, started_ns: int) -> Path:
    """Return `host=NAME/day=YYYY-MM-DD`, as Hive, Spark, DuckDB and Arrow lay out partitions.

    The name is from a recording, which may be anybody's: whatever is not a letter, a digit or one of `_.-~`
    is written as %XX, so that it stays one component of the path.

    >>> str(directory("../etc", 1_780_000_000_000_000_000))
    'host=..%2Fetc/day=2026-05-28'
    """
    data = host.encode("utf-8", "surrogatepass")
    name = quote_from_bytes(data, safe="")
    if len(name) > _LONGEST:
        name = f"{name[:_LONGEST]}.{hashlib.sha256(data).hexdigest()[:12]}"
    return Path(f"host={name}", f"day={datetime.fromtimestamp(started_ns // 10**9, UTC):%Y-%m-%d}")


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Keep another merge from writing into `directory` at the same time.

    Two that put their inputs into one file would each leave out what the other put there.

    Raises:
        OutputUnwritableError: another is at it, or the directory cannot be made or opened.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory, _DIRECTORY)
    except OSError as error:
        raise unwritable(directory, error) from error
    try:
        _lock(directory, descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock(directory: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputUnwritableError(
            f"another `tifbpf merge` is writing to {printable(str(directory))}; try again when it is done"
        ) from error
    except OSError as error:
        raise unwritable(directory, error) from error


def write(path: Path, rows: pa.Table, metadata: Metadata, check: Callable[[Path], None]) -> None:
    """Write a recording in one step: a temporary name, the disk, a look at it, the rename.

    Args:
        path: to write to.
        rows: of the recording.
        metadata: of the recording.
        check: looks at what is on the disk, and raises what it will if that is wrong.

    Raises:
        OutputUnwritableError: it cannot be written; what was there before stays.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        made = [directory for directory in path.parents if not directory.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        # Of a merge that was killed: nobody else writes here.
        temporary.unlink(missing_ok=True)
        try:
            with os.fdopen(os.open(temporary, _NEW, _PRIVATE), "wb") as stream:
                parquet.write(stream, [rows], schema_for(metadata), pack(metadata))
                stream.flush()
                os.fsync(stream.fileno())
                # What is looked at is then what the disk has, and not what memory still had.
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            check(temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        for directory in (path.parent, *(directory.parent for directory in made)):
            _sync(directory)
    except OSError as error:
        raise unwritable(path, error) from error


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, _DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unwritable(path: Path, error: OSError) -> OutputUnwritableError:
    """Return the error's line."""
    return OutputUnwritableError(f"{printable(str(path))} cannot be written: {error.strerror or error}")

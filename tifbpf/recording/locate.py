"""Which recordings a command line means: files, patterns, directories laid out by host and day, URLs."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tifbpf.errors import InputMissingError
from tifbpf.recording import remote
from tifbpf.recording.place import SEGMENTS_SUFFIX
from tifbpf.recording.remote import Location
from tifbpf.recording.writer import SUFFIX
from tifbpf.text import printable


def locate(names: Iterable[str | Path]) -> list[Location]:
    """Return where the recordings are that are meant, each once, in the order of the names.

    Args:
        names: of files, of directories of segments or of recordings (at any depth), patterns (`**` is any
            number of directories), URLs of all these.

    Raises:
        InputMissingError: a pattern means nothing.
        InputUnreadableError, NoExtraError: see `tifbpf.recording.remote.matching`.
    """
    found: dict[Location, None] = {}
    for name in names:
        if isinstance(name, str) and remote.is_url(name):
            found.update(dict.fromkeys(remote.matching(name)))
        else:
            found.update(dict.fromkeys(_local(Path(name))))
    return list(found)


def _local(path: Path) -> list[Path]:
    name = str(path)
    if path.is_dir() and not name.endswith(SEGMENTS_SUFFIX):
        below = _recordings(_glob(f"{glob.escape(name)}/**/*{SUFFIX}"))
        # Where there is none, whoever reads it says what is wrong with it.
        return below or [path]
    # A file may have such a name.
    if os.path.lexists(path) or not glob.has_magic(name):
        return [path]
    if matches := _recordings(_expanded(name)):
        return matches
    raise InputMissingError(f"{printable(name)}: no file has such a name")


def _glob(pattern: str) -> Iterator[str]:
    # Not Path.glob(), which also finds names that begin with a dot: files that are just being written.
    return glob.iglob(pattern, recursive=True)  # noqa: PTH207


def _expanded(pattern: str) -> Iterator[str]:
    for name in _glob(pattern):
        path = Path(name)
        if path.is_file() or name.endswith(SEGMENTS_SUFFIX):
            yield name
        elif "**" not in pattern:
            # What is in the directories that `**` finds, it finds too.
            yield from map(str, _local(path))


def _recordings(names: Iterable[str]) -> list[Path]:
    """Return the recordings that files are, or are segments of."""
    found: dict[Path, None] = {}
    for name in sorted(names):
        path = Path(name)
        if path.name.endswith(SEGMENTS_SUFFIX) or path.parent.name.endswith(SEGMENTS_SUFFIX):
            # The segments of one are read together; where the recording is finished, it is read instead.
            path = path if path.name.endswith(SEGMENTS_SUFFIX) else path.parent
            if Path(str(path).removesuffix(SEGMENTS_SUFFIX)).exists():
                continue
        found[path] = None
    return list(found)

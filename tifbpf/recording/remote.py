"""Recordings that are not on this machine: URLs, read through fsspec.

An object is fetched as a whole, in one request, into a private directory that goes with this process: it is
small, every page of it is looked at, and a store that is asked for ten pieces of it takes ten times as long.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tifbpf.errors import InputMissingError, InputUnreadableError, NoExtraError
from tifbpf.text import printable

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*(::|://)")
_MOST_BYTES = 4 * 2**30
"""What is kept of what was fetched; the oldest goes first, and is fetched again if it is asked for."""


@dataclass(frozen=True, slots=True)
class Url:
    """Where a recording is that is not on this machine."""

    text: str

    def __str__(self) -> str:
        return self.text


Location = Path | Url
"""Where a recording is."""


def file_of(location: Location) -> Path:
    """Return the file that holds it on this machine; see `local`."""
    return local(location) if isinstance(location, Url) else location


def is_url(text: str) -> bool:
    """Whether `text` is no path but a URL, as fsspec takes them."""
    return _SCHEME.match(text) is not None


def matching(pattern: str) -> list[Url]:
    """Return the objects that a pattern or the URL of a directory means; those of a directory are *.parquet.

    Raises:
        InputMissingError: there is none.
        InputUnreadableError: the store does not answer, or refuses.
        NoExtraError: the library for that kind of store is not installed.
    """
    with _asking(pattern):
        system, path = _fsspec().core.url_to_fs(pattern)
        if _is_pattern(path):
            found = system.glob(path)
        elif system.isdir(path):
            found = system.glob(f"{path.rstrip('/')}/**/*.parquet")
        else:
            return [Url(pattern)]
        names = [Url(system.unstrip_protocol(name)) for name in sorted(found)]
    if not names:
        raise InputMissingError(f"{printable(pattern)}: there is no *.parquet there that it means")
    return names


def _is_pattern(path: str) -> bool:
    return re.search(r"[*?\[]", path) is not None


def local(url: Url) -> Path:
    """Return a file that holds what is at `url`; it stays until many others were asked for.

    Raises:
        InputMissingError: there is nothing.
        InputUnreadableError: the store does not answer, or refuses.
        NoExtraError: the library for that kind of store is not installed.
    """
    directory = Path(_kept().name)
    path = directory / hashlib.sha256(url.text.encode("utf-8", "surrogateescape")).hexdigest()
    if not path.exists():
        with _asking(url.text):
            system, name = _fsspec().core.url_to_fs(url.text)
            content = system.cat_file(name)
        _make_room(directory, len(content))
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(content)
        temporary.replace(path)
    return path


@cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="tifbpf-")


def _make_room(directory: Path, size: int) -> None:
    files = sorted((path.stat().st_mtime_ns, path.stat().st_size, path) for path in directory.iterdir())
    kept = sum(length for _, length, _ in files)
    for _, length, path in files:
        if kept + size <= _MOST_BYTES:
            break
        path.unlink(missing_ok=True)
        kept -= length


def _fsspec() -> Any:
    try:
        import fsspec
    except ImportError as error:
        raise NoExtraError(
            "URLs need what `pip install 'tifbpf[fleet]'` brings; copy the files, or install it"
        ) from error
    return fsspec


@contextmanager
def _asking(name: str) -> Iterator[None]:
    """Make one line of whatever a library for a store raises; there are as many as there are stores."""
    shown = printable(name)
    try:
        yield
    except NoExtraError:
        raise
    except FileNotFoundError as error:
        raise InputMissingError(f"{shown} does not exist") from error
    except ImportError as error:
        raise NoExtraError(f"{shown} cannot be read: {_line(error)}") from error
    except Exception as error:
        raise InputUnreadableError(f"{shown} cannot be read: {_line(error)}") from error


def _line(error: Exception) -> str:
    return printable(" ".join(str(error).split()) or type(error).__name__)

"""What is to be recorded."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tifbpf.recorder.filters import Filters

MAX_CLASSES = 16384
"""Classes of exits per interval, unless `Options` says otherwise."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be recorded, and how."""

    dimensions: tuple[str, ...] = ()
    filters: Filters = Filters()
    interval_ns: int = 1_000_000_000
    route: str | None = None
    """The route to force."""
    headers: Path | None = None
    """A headers tree that decides the layout."""
    command: tuple[str, ...] = ()
    """The command line, for the recording."""
    max_classes: int = MAX_CLASSES

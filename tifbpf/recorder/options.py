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
    latency: bool = False
    """Take the time in the slowpath, where it can be seen."""
    count_all: bool = True
    """Count all exits of a context whose route sees slow ones only, where something can."""
    setters: bool = False
    """See who sets the bits, and whose work NOTIFY_RESUME stands for."""
    route: str | None = None
    """The route to force."""
    headers: Path | None = None
    """A headers tree that decides the layout."""
    command: tuple[str, ...] = ()
    """The command line, for the recording."""
    max_classes: int = MAX_CLASSES
    one_in: int = 1
    """Look at one exit in so many, at random."""
    every: int = 1
    """Record one in so many parts of each interval, and be detached for the rest."""
    max_overhead: float | None = None
    """Record a smaller part once that much of the time of all CPUs, in per cent, is exceeded."""

    @property
    def samples(self) -> bool:
        """Whether some exits may not be looked at."""
        return self.one_in > 1 or self.every > 1 or self.max_overhead is not None

    @property
    def pauses(self) -> bool:
        """Whether the hooks may be detached for a while."""
        return self.every > 1 or self.max_overhead is not None

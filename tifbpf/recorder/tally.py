"""The running total of a recording, for the line that shows its progress."""

from __future__ import annotations

import msgspec

from tifbpf.recorder.session import Flush
from tifbpf.recording.exits import Words
from tifbpf.recording.metadata import Losses
from tifbpf.recording.paths import ExitPath, classify


class Tally:
    """Exits so far."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.slow = self.duration_ns = 0
        self._losses = Losses()
        self._all: int | None = 0
        self._sampled = False
        self._paths: dict[Words, ExitPath] = {}

    def add(self, flush: Flush) -> None:
        """Add one interval."""
        metadata = flush.metadata
        self._sampled = metadata.sampling is not None and not metadata.sampling.exact
        stands_for = metadata.sampling.one_in * flush.every if metadata.sampling else 1
        slow_only = {coverage.context for coverage in metadata.contexts if coverage.slow_only}
        for words, count in flush.rows.counts.items():
            context = words[0]
            if words not in self._paths:
                self._paths[words], _ = classify(metadata.layout, *words, slow_only=context in slow_only)
            if self._paths[words] is ExitPath.SLOW:
                self.slow += count * stands_for
            # Of a context whose route sees slow exits only, all exits are in rows of their own.
            if self._all is not None and (self._paths[words] is ExitPath.ALL or context not in slow_only):
                self._all += count * stands_for
        if any(coverage.slow_only and coverage.denominator is None for coverage in metadata.contexts):
            self._all = None
        self._losses = metadata.totals.losses
        self.duration_ns = metadata.duration_ns

    @property
    def lost(self) -> int:
        """Exits that were seen and not recorded."""
        return self._losses.total

    @property
    def causes(self) -> str:
        """Return all causes of losses, e.g. `map full 0, read failed 0, recursion 0, …`."""
        named = msgspec.structs.asdict(self._losses)
        return ", ".join(f"{cause.replace('_', ' ')} {count:,}" for cause, count in named.items())

    def __str__(self) -> str:
        """Return e.g. `10.0 s: 1,234,567 exits, 18,395 slow (1.49 %), 0 lost`; estimates are `about`."""
        seconds = f"{self.duration_ns / 1e9:.1f} s"
        about = "about " if self._sampled else ""
        if self._all is None:
            return f"{seconds}: {about}{self.slow:,} slow exits of an unknown number, {self.lost:,} lost"
        share = f" ({self.slow / self._all:.3%})".replace("%", " %") if self._all else ""
        return f"{seconds}: {about}{self._all:,} exits, {self.slow:,} slow{share}, {self.lost:,} lost"

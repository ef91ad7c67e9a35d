"""The running total of a recording, for the line that shows its progress."""

from __future__ import annotations

from tifbpf.layouts.model import Context
from tifbpf.recorder.session import Flush


class Tally:
    """Exits so far."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.exits = self.slow = self.lost = self.duration_ns = 0
        self._slow_words: dict[tuple[Context, int, int], bool] = {}

    def add(self, flush: Flush) -> None:
        """Add one interval."""
        layout = flush.metadata.layout
        for row in flush.rows:
            words = (row.context, row.word, row.syscall_work or 0)
            if words not in self._slow_words:
                self._slow_words[words] = bool(layout.slow_tiers(*words))
            if self._slow_words[words]:
                self.slow += row.count
        self.exits = flush.metadata.totals.seen
        self.lost = flush.metadata.totals.losses.total
        self.duration_ns = flush.metadata.duration_ns

    def __str__(self) -> str:
        """Return e.g. `10.0 s: 1,234,567 exits, 18,395 slow (1.49 %), 0 lost`."""
        share = f" ({self.slow / self.exits:.3%})".replace("%", " %") if self.exits else ""
        return (
            f"{self.duration_ns / 1e9:.1f} s: {self.exits:,} exits, {self.slow:,} slow{share}, "
            f"{self.lost:,} lost"
        )

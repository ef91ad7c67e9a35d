"""`--fail-on`: conditions that are judged while recording."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tifbpf.conditions.judge import Judge, Outcome, Verdict, Watch
from tifbpf.conditions.model import Condition
from tifbpf.recorder.run import Ending
from tifbpf.recorder.session import Flush
from tifbpf.recording.metadata import Metadata


class Guard:
    """Sees every interval of one recording."""

    def __init__(self, conditions: Sequence[Condition], *, fast: bool) -> None:
        """Guard one recording.

        Args:
            conditions: what must not be there.
            fast: end the recording once one of them is met.
        """
        self._judges = [Judge(condition) for condition in conditions]
        self._fast = fast
        self._watches: list[Watch] = []
        self.verdicts: tuple[Verdict, ...] = ()
        """Of all intervals until now."""

    def begin(self, metadata: Metadata) -> None:
        """Make sure, before anything counts, that the conditions can be judged.

        Raises:
            ConditionUnusableError: one cannot.
        """
        cpus = os.sysconf("SC_NPROCESSORS_CONF")
        self._watches = [judge.watch(metadata, cpus) for judge in self._judges]

    def add(self, flush: Flush) -> Ending | None:
        """Take one interval; return how the recording ends where it shall."""
        for watch in self._watches:
            watch.add(flush.rows)
        metadata = flush.metadata
        self.verdicts = tuple(judge.verdict(metadata, metadata.duration_ns / 1e9) for judge in self._judges)
        met = any(verdict.outcome is Outcome.MET for verdict in self.verdicts)
        return Ending(reason="--fail-on", complete=False, exit_code=0) if met and self._fast else None

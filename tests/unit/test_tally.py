"""The line that a recording ends with."""

from __future__ import annotations

from tests.unit.recordings import metadata
from tifbpf.recorder.session import Flush
from tifbpf.recorder.tally import Tally
from tifbpf.recording.exits import ExitClasses
from tifbpf.recording.metadata import Losses, Totals


def test_every_cause_of_losses_is_told_zero_too() -> None:
    tally = Tally()
    assert tally.causes == "map full 0, read failed 0, recursion 0, kprobe misses 0, unclassified 0"
    losses = Losses(map_full=1_000, recursion=2)
    told = metadata(totals=Totals(seen=1_002, losses=losses))
    tally.add(Flush(rows=ExitClasses.of([]), start_ns=0, interval_ns=1, metadata=told))
    assert tally.lost == 1_002
    assert tally.causes == "map full 1,000, read failed 0, recursion 2, kprobe misses 0, unclassified 0"

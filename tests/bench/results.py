"""What a run of the benches came to."""

from __future__ import annotations

import msgspec

from tests.bench import machine
from tests.bench.harness import Row


class Results(msgspec.Struct, kw_only=True):
    """The JSON."""

    machine: machine.Machine
    command: str
    rounds: int
    titles: dict[str, str]
    """By bench."""
    rows: dict[str, list[Row]] = {}
    """By bench."""

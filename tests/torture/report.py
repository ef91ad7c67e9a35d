"""What a campaign came to: a table for the terminal, and JSON."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec


class Outcome(msgspec.Struct, kw_only=True):
    """One row: what has to hold, and how often it was tried."""

    campaign: str
    what: str
    """What was done to the recorder."""
    runs: int = 0
    faults: int = 0
    """How often something was made to fail, or was killed, or stopped."""
    failures: list[str] = msgspec.field(default_factory=list)
    """What did not hold, one for each run that failed."""
    seconds: float = 0
    figures: dict[str, float | str] = msgspec.field(default_factory=dict)
    """What was measured beside."""

    def attempt(self, case: Callable[[], object], faults: int = 0) -> None:
        """Run one case; whatever it raises is a failure of this one, and the next are run all the same."""
        start = time.monotonic()
        self.runs += 1
        self.faults += faults
        try:
            case()
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            self.failures.append(f"{Path(where.filename).name}:{where.lineno}: {error!r}")
        self.seconds += time.monotonic() - start

    def count(self, name: str) -> None:
        """Add one to a figure."""
        self.figures[name] = float(self.figures.get(name, 0)) + 1

    def most(self, name: str, value: float) -> None:
        """Keep the largest of a figure."""
        self.figures[name] = max(float(self.figures.get(name, value)), value)


def table(outcomes: list[Outcome]) -> str:
    """Return the table."""
    width = max([len(outcome.what) for outcome in outcomes], default=0)
    lines = [
        f"{'campaign':14}{'what':{width}}{'runs':>7}{'faults':>8}{'failures':>10}{'seconds':>9}  figures"
    ]
    for outcome in outcomes:
        figures = ", ".join(f"{name} {_shown(value)}" for name, value in outcome.figures.items())
        lines.append(
            f"{outcome.campaign:14}{outcome.what:{width}}{outcome.runs:7}{outcome.faults:8}"
            f"{len(outcome.failures):10}{outcome.seconds:9.0f}  {figures}"
        )
        lines += [f"    failed: {failure}" for failure in outcome.failures]
    return "\n".join(line.rstrip() for line in lines)


def _shown(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value == int(value) or value >= 1000 else f"{value:.3g}"

"""All values at one time: what the process that reads the maps tells the one that answers."""

from __future__ import annotations

import msgspec

Labels = tuple[str, ...]
"""Label values, in the order of the metric's label names."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Values since the exporter began to count, by metric."""

    created_s: float
    """When it began, seconds since the epoch."""
    values: dict[str, list[tuple[Labels, float]]]
    """Name of the metric as in `catalogue.METRICS`; one that is absent has nothing to say here."""

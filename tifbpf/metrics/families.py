"""From a snapshot to what prometheus_client writes."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from tifbpf.metrics.catalogue import BY_NAME, Kind
from tifbpf.metrics.snapshot import Snapshot


class SnapshotCollector(Collector):
    """Shows prometheus_client one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Show this one."""
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """Yield the families that have values, in the catalogue's order."""
        for name in BY_NAME:
            if name in self._snapshot.values:
                yield self._family(name)

    def _family(self, name: str) -> Metric:
        metric, values = BY_NAME[name], self._snapshot.values[name]
        match metric.kind:
            case Kind.COUNTER:
                created = self._snapshot.created_s if metric.created else None
                counter = CounterMetricFamily(name, metric.help, labels=metric.labels, unit=metric.unit)
                for labels, value in values:
                    counter.add_metric(labels, value, created=created)
                return counter
            case Kind.GAUGE:
                gauge = GaugeMetricFamily(name, metric.help, labels=metric.labels, unit=metric.unit)
                for labels, value in values:
                    gauge.add_metric(labels, value)
                return gauge
            case Kind.INFO:
                info = InfoMetricFamily(name, metric.help)
                for labels, _ in values:
                    info.add_metric((), dict(zip(metric.labels, labels, strict=True)))
                return info

"""The metrics by name: what docs/export.md lists, and Prometheus is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

OTHER = "(other)"
"""The label value of everything beyond `--max-series`. A process of that very name is counted with it."""

DIMENSIONS = ("syscall", "comm", "cgroup", "cpu")
"""What `--by` takes. A pid is no label: every process that ever ran would be a time series."""


class Kind(Enum):
    """What Prometheus makes of the values."""

    COUNTER = "counter"
    GAUGE = "gauge"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Metric:
    """One family; `name` is without the suffix that its kind has (`_total`, `_info`)."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    unit: str = ""
    bounded: int = 0
    """So many of the last labels become `OTHER` beyond `--max-series`."""
    created: bool = False
    """Its creation time is told too: a second time series for each, so only where there are few."""


METRICS = (
    Metric(
        "tifbpf_exits",
        Kind.COUNTER,
        ("context",),
        "Returns to user space, fast and slow; absent where nothing counts all of them.",
        created=True,
    ),
    Metric(
        "tifbpf_slow_exits",
        Kind.COUNTER,
        ("context", "tier"),
        "Returns to user space through the slowpath; tier is which one, several joined by +.",
        created=True,
    ),
    Metric(
        "tifbpf_trigger_exits",
        Kind.COUNTER,
        ("context", "word", "bit"),
        "Slow exits with this bit of a work mask set; one with several bits counts once for each. Absent "
        "where the route cannot tell.",
    ),
    Metric(
        "tifbpf_sole_trigger_exits",
        Kind.COUNTER,
        ("context", "word", "bit"),
        "Slow exits of which this bit was the only trigger.",
    ),
    Metric(
        "tifbpf_word_exits",
        Kind.COUNTER,
        ("context", "tif", "syscall_work"),
        "Slow exits by all bits that were set in both words.",
        bounded=2,
    ),
    *(
        metric
        for dimension in DIMENSIONS
        for metric in (
            Metric(
                f"tifbpf_{dimension}_exits",
                Kind.COUNTER,
                ("context", dimension),
                f"As tifbpf_exits, by {dimension}; with --by {dimension}.",
                bounded=1,
            ),
            Metric(
                f"tifbpf_{dimension}_slow_exits",
                Kind.COUNTER,
                ("context", dimension),
                f"As tifbpf_slow_exits, by {dimension}; with --by {dimension}.",
                bounded=1,
            ),
        )
    ),
    Metric(
        "tifbpf_folded_exits",
        Kind.COUNTER,
        ("metric",),
        f"Exits that this metric counts under {OTHER}, because --max-series label sets came before theirs.",
    ),
    Metric(
        "tifbpf_lost_exits",
        Kind.COUNTER,
        ("cause",),
        "Exits that were seen and are in no other metric.",
        created=True,
    ),
    Metric(
        "tifbpf_uncounted_exits",
        Kind.COUNTER,
        (),
        "Exits missing in tifbpf_exits, because what counts them lost them.",
    ),
    Metric(
        "tifbpf_observed_seconds",
        Kind.COUNTER,
        (),
        "For how long exits have been counted.",
        unit="seconds",
    ),
    Metric(
        "tifbpf_last_read_timestamp_seconds",
        Kind.GAUGE,
        (),
        "When the maps were last read, since the epoch.",
        unit="seconds",
    ),
    Metric(
        "tifbpf_context_covered",
        Kind.GAUGE,
        ("context",),
        "1 where a route covers the context, 0 where nothing is known of it.",
    ),
    Metric(
        "tifbpf_coverage",
        Kind.INFO,
        ("context", "route", "exactness", "all_exits"),
        "How a covered context is observed; all_exits is counted or unknown.",
    ),
    Metric(
        "tifbpf_unseen_bit",
        Kind.INFO,
        ("context", "word", "bit"),
        "Exits that were slow for this bit alone are not seen by the context's route.",
    ),
    Metric(
        "tifbpf_unseen_cpu",
        Kind.INFO,
        ("context", "cpu"),
        "Exits on this CPU are not seen by the context's route: it came online, or was offline, meanwhile.",
    ),
    Metric(
        "tifbpf_observer_effect",
        Kind.INFO,
        ("word", "bit", "ours"),
        "A bit that a tracer sets on every task: ours (true) is taken out of the words, another's counts.",
    ),
    Metric(
        "tifbpf_filter",
        Kind.INFO,
        ("option", "value"),
        "Not the whole host is counted, but what this option keeps.",
    ),
    Metric("tifbpf_build", Kind.INFO, ("version",), "The exporter."),
    Metric(
        "tifbpf_kernel", Kind.INFO, ("release", "layout"), "The kernel, and the layout that names its bits."
    ),
)

BY_NAME = {metric.name: metric for metric in METRICS}

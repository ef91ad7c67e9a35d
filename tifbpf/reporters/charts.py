"""The charts of a report: their data. How they look is in reports/charts/."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tifbpf.reporters import names, numbers, schema
from tifbpf.reporters.vega import Row

_BITS = 20
_PAIRED = 10
_LINES = 6
_WORDS = 10


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart of a report."""

    name: str
    """Of the specification."""
    title: str
    """What it shows and what is most in it: its accessible name."""
    rows: tuple[Row, ...]
    values: dict[str, str]
    """Texts that the specification leaves open."""
    notes: tuple[str, ...] = ()
    widest: int = 10_000
    """The width in pixels beyond which it gains nothing."""


def bits(report: schema.Report) -> Chart | None:
    """Return the bits of the work masks: present, trigger and sole. What is not known has no bar."""
    tested = sorted(
        (line for line in report.bits if line.in_mask or line.trigger),
        key=lambda line: (line.trigger is None, -(line.trigger or 0)),
    )
    rows: list[Row] = [
        {
            "bit": names.bit(line.word, line.bit),
            "present": line.present,
            "trigger": line.trigger,
            "sole": line.sole,
            "label": _of_slow(line),
        }
        for line in tested[:_BITS]
    ]
    if not rows:
        return None
    told = [f"{row['bit']}: {row['label']}" for row in rows if row["trigger"]]
    return Chart(
        name="bits",
        title=f"Bits that triggered. {'; '.join(told) or 'None did'}.",
        rows=tuple(rows),
        values={},
        notes=(f"The first {_BITS} of {len(tested)} bits; all are in the tables.",)
        if len(tested) > _BITS
        else (),
    )


def _of_slow(line: schema.BitLine) -> str:
    if line.trigger is None:
        return numbers.UNKNOWN
    if not line.trigger:
        return "never"
    return f"{numbers.share(line.share_of_slow)} of slow exits"


def pairs(report: schema.Report) -> Chart | None:
    """Return how often two bits triggered together; None where fewer than two bits triggered."""
    found = sorted((line for line in report.bits if line.trigger), key=lambda line: -(line.trigger or 0))
    slow = report.total.slow
    if len(found) < 2 or not slow:
        return None
    shown = found[:_PAIRED]
    together = {
        frozenset({(pair.first_word, pair.first), (pair.second_word, pair.second)}): pair.slow
        for pair in report.pairs
    }
    rows: list[Row] = []
    for place, line in enumerate(shown):
        for other in range(place + 1):
            key = frozenset({(line.word, line.bit), (shown[other].word, shown[other].bit)})
            # Pairs that the report leaves out for length are not known here; one that is in none is zero.
            known = place == other or key in together or len(report.pairs) == report.pairs_total
            count = line.trigger if place == other else together.get(key, 0)
            share = (count or 0) / slow if known else None
            rows.append(
                {
                    "row": f"{names.bit(line.word, line.bit)}  {place + 1}",
                    "column": str(other + 1),
                    "share": share,
                    "label": _percent(share),
                }
            )
    most = max(report.pairs, key=lambda pair: pair.slow, default=None)
    title = "Bits that triggered together, in per cent of slow exits."
    if most is not None:
        title += (
            f" Most: {names.bit(most.first_word, most.first)} and "
            f"{names.bit(most.second_word, most.second)}, {numbers.share(most.share_of_slow)}."
        )
    return Chart(name="pairs", title=title, rows=tuple(rows), values={}, widest=220 + 64 * len(shown))


def _percent(share: float | None) -> str:
    if share is None:
        return "?"
    percent = 100 * share
    if 0 < percent < 1:
        return "<1"
    return f"{percent:.0f}" if percent <= 99 or percent == 100 else ">99"


def timeline(report: schema.Report) -> Chart | None:
    """Return the slow share over time by bit, or the rate where not all exits were counted.

    A line is broken where nothing was recorded, or its share is not known.
    """
    found = report.timeline
    if found is None or not found.bits:
        return None
    counted = all(step.frequency.share is not None for step in found.steps if step.frequency.exits != 0)
    counted = counted and any(step.frequency.exits for step in found.steps)
    rows: list[Row] = []
    lines: list[tuple[str, list[float | None]]] = [
        (
            "any bit",
            [step.frequency.share if counted else step.frequency.slow_per_second for step in found.steps],
        )
    ]
    for bit in found.bits[:_LINES]:
        if counted:
            values = [
                _share(slow, step.frequency.exits)
                for slow, step in zip(bit.slow_counted, found.steps, strict=True)
            ]
        else:
            values = [
                slow / step.seconds if step.seconds else None
                for slow, step in zip(bit.slow, found.steps, strict=True)
            ]
        lines.append((names.bit(bit.word, bit.bit), values))
    starts = [datetime.fromisoformat(step.start) for step in found.steps]
    ends = [
        start + timedelta(seconds=step.length_seconds)
        for start, step in zip(starts, found.steps, strict=True)
    ]
    # A step has a length; what follows its end is a gap, unless the next one begins about there.
    slack = timedelta(seconds=found.step_seconds / 2)
    ending = [*(later - end > slack for end, later in zip(ends, starts[1:], strict=False)), True]
    for name, values in lines:
        for start, end, value, ends_here in zip(starts, ends, values, ending, strict=True):
            rows.append(_point(start, name, value, counted))
            if ends_here:
                rows.append(_point(end, name, value, counted))
                rows.append(_point(end, name, None, counted))
    return Chart(
        name="timeline",
        title=f"Slow exits over time by bit, {len(starts)} steps of {numbers.duration(found.step_seconds)}.",
        rows=tuple(rows),
        values={"unit": "per cent of exits" if counted else "slow exits a second"},
        notes=_timeline_notes(found, counted=counted, broken=sum(ending) > 1),
    )


def _timeline_notes(found: schema.Timeline, *, counted: bool, broken: bool) -> tuple[str, ...]:
    notes = []
    if not counted:
        notes.append("Not all exits were counted, so this is slow exits a second and not their share.")
    if broken:
        notes.append("A line is broken where nothing was recorded.")
    if len(found.bits) > _LINES:
        notes.append(f"The {_LINES} commonest of {len(found.bits)} bits.")
    return tuple(notes)


def _share(slow: int | None, exits: int | None) -> float | None:
    return slow / exits if slow is not None and exits else None


def _point(time: datetime, bit: str, value: float | None, counted: bool) -> Row:
    shown = value if value is None or not counted else 100 * value
    return {"t": int(time.timestamp() * 1000), "bit": bit, "v": shown}


def times(report: schema.Report) -> Chart | None:
    """Return the time in the slowpath by word; None where no time was measured."""
    if report.latency is None or not report.latency.words:
        return None
    rows: list[Row] = [
        {
            "key": str(place),
            "word": f"{line.context}: {names.bits(line.tif, line.syscall_work)}",
            # A logarithm has no zero.
            "p50": max(1, line.times.p50_high),
            "p99": max(1, line.times.p99_high),
            "longest": max(1, line.times.ns_max),
            "label": f"50 % in {numbers.time(line.times.p50_high)}",
        }
        for place, line in enumerate(report.latency.words[:_WORDS])
    ]
    told = "; ".join(f"{row['word']}: {row['label']}" for row in rows[:3])
    return Chart(
        name="times",
        title=f"Time in the slowpath by word. {told}.",
        rows=tuple(rows),
        values={},
        notes=(
            "The dot is the time in which half of these exits were done; the bar ends where 99 % were.",
            "The line ends at the longest. The scale is logarithmic.",
        ),
    )


BESIDE = {"bits": bits, "pairs": pairs, "timeline": timeline, "times-by-word": times}
"""Which chart stands in which section, by the section's key."""

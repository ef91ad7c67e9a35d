"""What a merged recording says about itself."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from tifbpf import __version__
from tifbpf.recording.metadata import (
    MERGED_SCHEMA,
    Attempt,
    Coverage,
    HandlerRuns,
    Losses,
    Merged,
    Metadata,
    SelfTest,
    Setter,
    Totals,
    sources,
)
from tifbpf.recording.reader import State

_NAMESPACE = uuid.UUID("6f0a3a52-0f0b-4b6e-9a9e-3d1f5b1f7c55")
"""Of the ids of merged recordings, which are made from those of their sources."""
_KILLED = "killed"
"""How a recording ended whose recorder did not live to say it."""


class Part(NamedTuple):
    """A recording that becomes a part of another, without its rows."""

    metadata: Metadata
    """As `identity.kept` leaves it."""
    state: State
    duration_ns: int


def merged(parts: Sequence[Part], step_ns: int, idle: Mapping[int, int]) -> Metadata:
    """Return the metadata of recordings that share an identity.

    Args:
        parts: the recordings.
        step_ns: the step.
        idle: the time observed, ns, of each step without a row, by where it begins.
    """
    ordered = sorted(parts, key=lambda part: (part.metadata.started_ns, part.metadata.id))
    every = [part.metadata for part in ordered]
    latest = every[-1]
    ids = tuple(sorted(found for metadata in every for found in sources(metadata)))
    ended = _ended(ordered)
    return msgspec.structs.replace(
        latest,
        schema=MERGED_SCHEMA,
        tifbpf=__version__,
        id=str(uuid.uuid5(_NAMESPACE, "\n".join((*ids, str(step_ns), *latest.dimensions)))),
        layout_evidence=tuple(
            dict.fromkeys(entry for metadata in every for entry in metadata.layout_evidence)
        ),
        contexts=tuple(_coverage(group) for group in _by_context(every)),
        interval_ns=max(step_ns, *(metadata.interval_ns for metadata in every)),
        started_ns=every[0].started_ns,
        duration_ns=sum(part.duration_ns for part in ordered),
        totals=_totals(metadata.totals for metadata in every),
        setters=None if latest.setters is None else _setters(every),
        setters_lost=sum(metadata.setters_lost for metadata in every),
        handlers=None if latest.handlers is None else _handlers(every),
        complete=all(part.state is State.COMPLETE for part in ordered),
        ended=", ".join(f"{number} by {how}" for how, number in ended.items()),
        segment=None,
        merged=Merged(
            sources=ids,
            step_ns=step_ns,
            idle=tuple(sorted(idle.items())),
            ended=ended,
            until_ns=max(map(_until_ns, ordered)),
        ),
    )


def _until_ns(part: Part) -> int:
    if part.metadata.merged is not None:
        return part.metadata.merged.until_ns
    return part.metadata.started_ns + part.duration_ns


def _ended(parts: Iterable[Part]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for metadata, state, _ in parts:
        if metadata.merged is not None:
            found.update(metadata.merged.ended)
        else:
            found[_KILLED if state is State.KILLED else metadata.ended] += 1
    return dict(sorted(found.items()))


def _totals(totals: Iterable[Totals]) -> Totals:
    every = list(totals)
    losses = Losses(
        **{name: sum(getattr(one.losses, name) for one in every) for name in Losses.__struct_fields__}
    )
    numbers = [name for name in Totals.__struct_fields__ if name != "losses"]
    return Totals(**{name: sum(getattr(one, name) for one in every) for name in numbers}, losses=losses)


def _setters(every: Iterable[Metadata]) -> tuple[Setter, ...]:
    counts: Counter[Setter] = Counter()
    for metadata in every:
        for setter in metadata.setters or ():
            counts[msgspec.structs.replace(setter, count=0)] += setter.count
    return tuple(msgspec.structs.replace(setter, count=count) for setter, count in counts.items())


def _handlers(every: Iterable[Metadata]) -> tuple[HandlerRuns, ...]:
    counts: Counter[HandlerRuns] = Counter()
    for metadata in every:
        for runs in metadata.handlers or ():
            counts[msgspec.structs.replace(runs, count=0)] += runs.count
    return tuple(msgspec.structs.replace(runs, count=count) for runs, count in counts.items())


def _by_context(every: Sequence[Metadata]) -> Iterable[list[Coverage]]:
    for context in (coverage.context for coverage in every[-1].contexts):
        yield [
            coverage for metadata in every for coverage in metadata.contexts if coverage.context == context
        ]


def _coverage(group: Sequence[Coverage]) -> Coverage:
    attempts: dict[str, Attempt] = {
        attempt.route: attempt for coverage in group for attempt in coverage.attempts
    }
    return msgspec.structs.replace(
        group[-1],
        self_tests=_weakest(test for coverage in group for test in coverage.self_tests),
        attempts=tuple(attempts.values()),
        blind_cpus=tuple(sorted({cpu for coverage in group for cpu in coverage.blind_cpus})),
    )


def _weakest(tests: Iterable[SelfTest]) -> tuple[SelfTest, ...]:
    """Return of each exercise the test that saw the least of what was expected."""
    found: dict[str, SelfTest] = {}
    for test in tests:
        known = found.setdefault(test.exercise, test)
        if test.seen * known.expected < known.seen * test.expected:
            found[test.exercise] = test
    return tuple(found.values())

"""How each context was observed: the route, how exactly, what the self-tests saw, and what it does not see.

`tifbpf doctor` prints the same before anything is recorded, so this needs no pandas.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tifbpf.recording.metadata import Coverage, SelfTest
from tifbpf.reporters import schema
from tifbpf.reporters.tables import Cell, Column, Kind, Section, Table, fields

_OVERVIEW = (
    Column("context", Kind.FIXED, "context"),
    Column("route", Kind.FIXED, "bit"),
    Column("exactness", Kind.WRAPPED),
    Column("self-tests", Kind.NUMBER, "count"),
    Column("all exits", Kind.FIXED, "share"),
)


_NAMED = 8
"""Recordings that are told one by one; of more it is said how many."""
_WAYS = 4
"""Of observing that are shown, where recordings differ."""


def line(coverage: Coverage, recordings: tuple[int, ...] = (0,)) -> schema.RouteLine:
    """Return what is said of one context.

    Args:
        coverage: how it was observed.
        recordings: the places of the recordings that have it so.
    """
    return schema.RouteLine(
        recordings=recordings,
        context=str(coverage.context),
        route=coverage.route,
        hooks=coverage.hooks,
        exactness=coverage.exactness,
        denominator=coverage.denominator,
        slow_only=coverage.slow_only,
        perturbs=coverage.perturbs,
        why_not=coverage.why_not,
        self_tests=_tests(coverage.self_tests),
        attempts=tuple(
            schema.AttemptLine(route=tried.route, reason=tried.reason, self_tests=_tests(tried.self_tests))
            for tried in coverage.attempts
        ),
        blind=(*coverage.blind, *blind_cpus(coverage)),
        unseen=tuple(schema.UnseenLine(word=str(bit.word), bit=bit.bit) for bit in coverage.unseen),
    )


def blind_cpus(coverage: Coverage) -> Iterator[str]:
    """Say on which CPUs exits of a context were not seen to the end, if there are such."""
    if coverage.blind_cpus:
        cpus = ", ".join(map(str, coverage.blind_cpus))
        yield f"any exit on CPU {cpus} since it went offline or came online"


def _tests(tests: Iterable[SelfTest]) -> tuple[schema.SelfTestLine, ...]:
    return tuple(
        schema.SelfTestLine(exercise=test.exercise, expected=test.expected, seen=test.seen) for test in tests
    )


def of_contexts(contexts: Iterable[Coverage]) -> tuple[Section, ...]:
    """Return the coverage of one host or recording."""
    return sections([line(coverage) for coverage in contexts], recordings=1)


def sections(lines: Sequence[schema.RouteLine], recordings: int) -> tuple[Section, ...]:
    """Return the coverage table, and below it what each line of it means.

    Args:
        lines: one for each context, or more where recordings differ.
        recordings: how many there are.
    """
    ways = sorted(
        dict.fromkeys(entry.recordings for entry in lines), key=lambda places: (-len(places), places)
    )
    shown = [entry for entry in lines if entry.recordings in ways[:_WAYS]]
    overview = Table(_OVERVIEW, tuple(_overview(entry, recordings) for entry in shown))
    details = [pair for entry in shown for pair in _details(entry, recordings)]
    others = ways[_WAYS:]
    notes = (
        (f"{sum(map(len, others)):,} recordings observed in {len(others):,} other ways; --json has them.",)
        if others
        else ()
    )
    return (
        Section(title="Coverage", key="coverage", table=overview, notes=notes),
        Section(title="Routes", key="routes", table=fields(details)),
    )


def _overview(entry: schema.RouteLine, recordings: int) -> tuple[Cell, ...]:
    context = f"{entry.context}{of_recordings(entry.recordings, recordings)}"
    if entry.route is None:
        return context, "not covered", "", "", ""
    expected = sum(test.expected for test in entry.self_tests)
    seen = sum(test.seen for test in entry.self_tests)
    return (
        context,
        entry.route,
        entry.exactness or "not recorded",
        f"{seen:,} of {expected:,}" if entry.self_tests else "none",
        "not counted" if entry.denominator is None else "counted",
    )


def _details(entry: schema.RouteLine, recordings: int) -> Iterator[tuple[str, str]]:
    of = of_recordings(entry.recordings, recordings)
    if entry.route is None:
        yield entry.context, f"not covered{of}: {entry.why_not or 'no reason was recorded'}"
    else:
        only = ", slow exits only" if entry.slow_only else ""
        yield entry.context, f"{entry.route}{of}, {entry.exactness or 'exactness not recorded'}{only}"
        yield "", f"hooks: {', '.join(entry.hooks)}"
        yield "", f"all exits: {entry.denominator or 'share unknown, for nothing counts them'}"
        yield "", f"perturbs: {entry.perturbs or 'nothing'}"
        for text in entry.blind:
            yield "", f"does not see: {text}"
        for bit in entry.unseen:
            yield "", f"does not see alone: {bit.bit} of {bit.word}"
        if entry.why_not:
            yield "", f"no better route: {entry.why_not}"
        for text in _told(entry.self_tests) or ["no self-test was recorded"]:
            yield "", text
    for tried in entry.attempts:
        yield "", f"given up: {tried.route}: {tried.reason}"
        for text in _told(tried.self_tests):
            yield "", f"  {text}"


def _told(tests: Iterable[schema.SelfTestLine]) -> list[str]:
    return [f"self-test {test.exercise}: {test.expected:,} expected, {test.seen:,} seen" for test in tests]


def of_recordings(places: tuple[int, ...], recordings: int) -> str:
    """Say which recordings are meant, where not all of them are."""
    if len(places) == recordings:
        return ""
    if len(places) > _NAMED:
        return f" ({len(places):,} of {recordings:,} recordings)"
    return f" (recording {', '.join(str(number + 1) for number in places)})"

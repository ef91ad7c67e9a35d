"""What must be known before a figure of a report is quoted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tifbpf.analysis.figures import Figures
from tifbpf.analysis.words import UNKNOWN_TIER
from tifbpf.layouts.model import Context
from tifbpf.recording.metadata import Coverage, Metadata
from tifbpf.recording.reader import Recording, State
from tifbpf.reporters import names, numbers
from tifbpf.reporters.coverage import blind_cpus
from tifbpf.reporters.schema import Caveat

_MOST = 6
"""Caveats of one kind; a thousand recordings may have one each."""


def caveats(recordings: Figures) -> tuple[Caveat, ...]:
    """Return what limits the figures of `recordings`, the gravest first, each once."""
    found = [
        *_emptiness(recordings),
        *_few(caveat for recording in recordings.recordings for caveat in _ending(recording)),
        *(caveat for metadata in recordings.metadata for caveat in _sampled(metadata)),
        *_losses(recordings),
        *_few(_denominators(recordings)),
        *_followed(recordings),
        *_without_trigger(recordings),
        *_few(caveat for metadata in recordings.metadata for caveat in _observation(metadata)),
        *_few(_layouts(recordings)),
        *_dimensions(recordings),
    ]
    return tuple(dict.fromkeys(found))


def _few(caveats: Iterable[Caveat]) -> Iterator[Caveat]:
    """Yield caveats, each once, and of a kind that there are many of some and how many more there are."""
    kinds: dict[str, list[Caveat]] = {}
    for caveat in dict.fromkeys(caveats):
        kinds.setdefault(caveat.kind, []).append(caveat)
    for kind, those in kinds.items():
        yield from those if len(those) <= _MOST else those[: _MOST - 1]
        if len(those) > _MOST:
            more = numbers.count(len(those) - _MOST + 1)
            yield Caveat(kind=kind, text=f"The same or the like is to be said {more} times more ({kind}).")


def _emptiness(recordings: Figures) -> Iterator[Caveat]:
    if not any(recording.num_rows for recording in recordings.recordings):
        yield Caveat(kind="empty", text="0 exits were recorded.")


def _ending(recording: Recording) -> Iterator[Caveat]:
    name, metadata = str(recording.path), recording.metadata
    interval = numbers.duration(metadata.interval_ns / 1e9)
    lasted = numbers.duration(metadata.duration_ns / 1e9)
    match recording.state:
        case State.PARTIAL if metadata.merged is not None:
            yield Caveat(
                kind="partial",
                text=f"Some of the recordings in {name} are partial: they were ended {metadata.ended}.",
            )
        case State.PARTIAL:
            yield Caveat(kind="partial", text=f"{name} is partial: {metadata.ended} ended it after {lasted}.")
        case State.RECORDING:
            yield Caveat(
                kind="unfinished", text=f"{name} is still being recorded: these are its first {lasted}."
            )
        case State.KILLED:
            yield Caveat(
                kind="unfinished",
                text=f"The recorder of {name} was killed, or could write no more: all exits after the first "
                f"{lasted} are missing, which it flushed. Unless it was held up, that is at most one "
                f"interval ({interval}), and what came while one was written.",
            )
        case State.UNFINISHED:
            yield Caveat(
                kind="unfinished",
                text=f"{name} is unfinished, and from another host or pid namespace ({metadata.host.name}): "
                f"these are its first {lasted}. If the recorder was killed, at most one interval "
                f"({interval}), and what came while one was written, is missing.",
            )
    if recording.gaps:
        flushes = ", ".join(
            str(first) if first == last else f"{first}-{last}" for first, last in recording.gaps
        )
        yield Caveat(
            kind="gap",
            text=f"{name}: segments are missing, of the flushes {flushes}; with them "
            f"{numbers.count(recording.missing)} exits that were recorded.",
        )


def _sampled(metadata: Metadata) -> Iterator[Caveat]:
    sampling, totals = metadata.sampling, metadata.totals
    if sampling is None or sampling.exact:
        return
    if sampling.one_in > 1:
        yield Caveat(
            kind="sampled",
            text=f"One exit in {numbers.count(sampling.one_in)} was looked at, at random: "
            f"{numbers.count(totals.seen)}, while {numbers.count(totals.not_sampled)} were passed by. "
            "Counts and rates are estimates for all of them; what was never seen may have happened.",
        )
    if sampling.every > 1 or sampling.steps:
        every = [sampling.every, *(step.every for step in sampling.steps)]
        least, most = numbers.part(max(every)), numbers.part(min(every))
        asked = "" if sampling.max_overhead is None else f"--max-overhead {sampling.max_overhead:g}: "
        text = (
            f"{least} of the time was recorded"
            if least == most
            else f"Between {least} and {most} of the time was recorded, as the recorder's own cost allowed "
            f"({asked}{len(sampling.steps)} change"
            f"{'s'[: len(sampling.steps) != 1]})"
        )
        yield Caveat(
            kind="sampled",
            text=f"{text}: {numbers.duration(sampling.recorded_ns / 1e9)} for "
            f"{numbers.duration(metadata.duration_ns / 1e9)}, in windows at random places. Counts and rates "
            "are estimates for all of it; what was never seen may have happened in between.",
        )
    if metadata.setters is not None:
        yield Caveat(
            kind="sampled",
            text="Who set the bits, and what had work, is as it was counted: all of it that happened while "
            "anything was recorded, and no estimate for the rest.",
        )


def _losses(recordings: Figures) -> Iterator[Caveat]:
    totals = recordings.total
    lost, seen = totals["lost"], totals["seen"]
    if lost:
        named = ", ".join(f"{cause} {numbers.count(n)}" for cause, n in recordings.lost.items() if n)
        yield Caveat(
            kind="loss",
            text=f"{numbers.count(lost)} of {numbers.count(seen)} exits seen were lost "
            f"({numbers.share(lost / seen)}) and are in no other figure: {named}.",
        )


def _denominators(recordings: Figures) -> Iterator[Caveat]:
    observed = recordings.observed
    for place, context in observed.pairs():
        if observed.undercounted_in(place, context):
            yield Caveat(
                kind="denominator",
                text=f"What should count all {context} exits counted fewer than were slow: their share of "
                f"all {context} exits is unknown.",
            )
    counted, uncounted = (recordings.total[name] for name in ("counted", "uncounted"))
    if uncounted:
        yield Caveat(
            kind="denominator",
            text=f"What counts all exits lost {numbers.count(uncounted)} of "
            f"{numbers.count(counted + uncounted)}: shares of them are too high.",
        )


def _without_trigger(recordings: Figures) -> Iterator[Caveat]:
    for line in recordings.tier_lines:
        if line["tier"] == UNKNOWN_TIER:
            slow = numbers.count(line["slow"])
            yield Caveat(
                kind="trigger",
                text=f"{slow} {line['context']} exits were slow, and their bits gone when the route looked: "
                "what triggered them is unknown.",
            )


def _followed(recordings: Figures) -> Iterator[Caveat]:
    if missed := sum(metadata.totals.not_followed for metadata in recordings.metadata):
        yield Caveat(
            kind="filter",
            text=f"{numbers.count(missed)} children could not be followed, there being too many at once: "
            "their exits are missing.",
        )


def _observation(metadata: Metadata) -> Iterator[Caveat]:
    for effect in metadata.observer_effects:
        yield Caveat(kind="observer", text=effect.text)
    told = any(effect.ours for effect in metadata.observer_effects)
    for coverage in metadata.contexts:
        if coverage.route is not None:
            yield from _route(coverage, told)
    by_pid = "pid" in metadata.dimensions or "pid" in metadata.filters
    if by_pid and metadata.host.pid_namespace is not None:
        yield Caveat(
            kind="namespace",
            text="Recorded within a pid namespace: pids are as they are called there, and 0 is whatever runs "
            "outside of it.",
        )
    if narrowing := {option: value for option, value in metadata.filters.items() if option != "self"}:
        only = ", ".join(f"{option} {value}" for option, value in narrowing.items())
        yield Caveat(kind="filter", text=f"Not the whole host, only {only}.")


def _route(coverage: Coverage, told: bool) -> Iterator[Caveat]:
    context = coverage.context
    if coverage.perturbs and not told:
        yield Caveat(kind="observer", text=f"The {coverage.route} route perturbs: {coverage.perturbs}")
    if coverage.denominator is None:
        yield Caveat(
            kind="denominator",
            text=f"Only the slow {context} exits were seen: their share of all {context} exits is unknown.",
        )
    if coverage.unseen:
        bits = ", ".join(names.bit(unseen.word, unseen.bit) for unseen in coverage.unseen)
        yield Caveat(
            kind="unseen",
            text=f"The {coverage.route} route does not see {context} exits that are slow for nothing but "
            f"{bits}: they are missing.",
        )
    for text in blind_cpus(coverage):
        yield Caveat(
            kind="unseen",
            text=f"Of {context} exits the {coverage.route} route does not see {text}: they are missing.",
        )
    for test in coverage.self_tests:
        if test.seen < test.expected:
            yield Caveat(
                kind="self-test",
                text=f"The self-test of {context} exits ({test.exercise}) caused "
                f"{numbers.count(test.expected)} and saw {numbers.count(test.seen)}.",
            )


def _layouts(recordings: Figures) -> Iterator[Caveat]:
    layouts = {metadata.layout.name: metadata.layout for metadata in recordings.metadata}
    if len(layouts) > 1:
        yield Caveat(
            kind="layout",
            text=f"The layouts differ ({', '.join(layouts)}): bits are merged by name. One without a name, "
            "such as bit19, may be another bit in each.",
        )
    for metadata in recordings.metadata:
        for evidence in metadata.layout_evidence:
            if evidence.verdict == "contradicts":
                yield Caveat(
                    kind="layout",
                    text=f"{evidence.source} contradicts the layout {metadata.layout.name}: {evidence.fact}.",
                )


def _dimensions(recordings: Figures) -> Iterator[Caveat]:
    everything = len(recordings.recordings)
    for dimension in recordings.dimensions:
        having = len(recordings.having([dimension]))
        if having < everything:
            yield Caveat(
                kind="dimension",
                text=f"Only {having} of {everything} recordings have {dimension}: its table is of these.",
            )
    for context in Context:
        covering = sum(
            coverage.context == context and coverage.route is not None
            for metadata in recordings.metadata
            for coverage in metadata.contexts
        )
        if 0 < covering < everything:
            yield Caveat(
                kind="coverage",
                text=f"Only {covering} of {everything} recordings cover {context} exits; rates are of their "
                "time.",
            )

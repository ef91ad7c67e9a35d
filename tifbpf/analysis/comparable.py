"""Whether two sets of recordings saw the same, so that a difference of figures is one of hosts or kernels."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass

from tifbpf.layouts.model import Context, Word
from tifbpf.recording.metadata import Coverage, Metadata

_PID = "pid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something in which recordings differ."""

    kind: str
    """`coverage`, `exactness`, `slow-only`, `denominator`, `unseen`, `perturbs`, `observer`, `filter`,
    `process`, `sampling`, `layout`, `mask`, `kernel` or `host`."""
    text: str
    forbids: bool
    """Whether a comparison would mean nothing. Kernels and hosts may differ: that may be what is compared."""


def differences(before: Sequence[Metadata], after: Sequence[Metadata]) -> tuple[Difference, ...]:
    """Return in what the recordings differ, what forbids a comparison first.

    Those of one side are compared with each other too: they are added up.
    """
    recordings = _Named(before, after)
    found = [
        *(difference for context in Context for difference in _of_context(recordings, context)),
        *_of_recordings(recordings),
        *_of_layouts(recordings),
    ]
    return tuple(sorted(found, key=lambda difference: not difference.forbids))


class _Named:
    """All recordings, and how to name them in a sentence."""

    def __init__(self, before: Sequence[Metadata], after: Sequence[Metadata]) -> None:
        self.metadata = (*before, *after)
        self._names = [
            side if len(metadata) == 1 else f"{side} {number}"
            for side, metadata in (("before", before), ("after", after))
            for number in range(1, len(metadata) + 1)
        ]

    def differing(self, what: Callable[[Metadata], Hashable], shown: Callable[[Metadata], str]) -> str | None:
        """Return how they differ in `what`, e.g. `a (before), b (after)`; None if they do not."""
        values: dict[Hashable, tuple[str, list[str]]] = {}
        for name, metadata in zip(self._names, self.metadata, strict=True):
            values.setdefault(what(metadata), (shown(metadata), []))[1].append(name)
        if len(values) == 1:
            return None
        return ", ".join(f"{text} ({', '.join(names)})" for text, names in values.values())


def _coverage(metadata: Metadata, context: Context) -> Coverage:
    return next(coverage for coverage in metadata.contexts if coverage.context is context)


def _of_context(recordings: _Named, context: Context) -> Iterator[Difference]:
    """Yield the differences of how one context was observed, of each kind at most one."""

    def differing(shown: Callable[[Coverage], str]) -> str | None:
        def text(metadata: Metadata) -> str:
            return shown(_coverage(metadata, context))

        return recordings.differing(text, text)

    if found := differing(lambda seen: "not covered" if seen.route is None else "covered"):
        yield Difference(kind="coverage", text=f"{context} exits: {found}.", forbids=True)
        return
    for kind, shown in (
        ("exactness", lambda seen: seen.exactness or "exactness not recorded"),
        ("slow-only", lambda seen: "slow exits only" if seen.slow_only else "all exits"),
        ("denominator", lambda seen: "counted" if seen.denominator else "not counted"),
        ("unseen", lambda seen: "does not see " + _bits(seen) if seen.unseen else "sees every bit"),
        ("cpus", lambda seen: f"blind on CPU {_cpus(seen)}" if seen.blind_cpus else "sees all CPUs"),
        ("perturbs", lambda seen: "perturbs" if seen.perturbs else "does not perturb"),
    ):
        if found := differing(shown):
            yield Difference(kind=kind, text=f"{context} exits: {found}.", forbids=True)


def _bits(coverage: Coverage) -> str:
    return " and ".join(sorted(f"{unseen.bit} of {unseen.word}" for unseen in coverage.unseen))


def _cpus(coverage: Coverage) -> str:
    return " and ".join(map(str, coverage.blind_cpus))


def _of_recordings(recordings: _Named) -> Iterator[Difference]:
    def effects(metadata: Metadata) -> str:
        found = {
            f"{effect.bit} by {'us' if effect.ours else 'another'}" for effect in metadata.observer_effects
        }
        return " and ".join(sorted(found)) or "none"

    def filters(metadata: Metadata) -> str:
        # The number of a process means nothing to another recording.
        given = {**metadata.filters, **({_PID: "of some"} if _PID in metadata.filters else {})}
        return ", ".join(f"{option} {value}" for option, value in sorted(given.items())) or "no filter"

    def processes(metadata: Metadata) -> str:
        return f"pid {metadata.filters.get(_PID, 'any')}"

    if found := recordings.differing(effects, effects):
        yield Difference(kind="observer", text=f"Bits set by tracers: {found}.", forbids=True)
    if found := recordings.differing(filters, filters):
        yield Difference(kind="filter", text=f"Filters: {found}.", forbids=True)
    elif found := recordings.differing(processes, processes):
        yield Difference(kind="process", text=f"Processes: {found}.", forbids=False)
    if found := recordings.differing(_looked_at, _looked_at):
        yield Difference(kind="sampling", text=f"Looked at: {found}.", forbids=False)
    if found := recordings.differing(
        lambda metadata: metadata.host, lambda metadata: f"{metadata.host.name}, {metadata.host.cpus} CPUs"
    ):
        yield Difference(kind="host", text=f"Hosts: {found}.", forbids=False)


def _looked_at(metadata: Metadata) -> str:
    sampling = metadata.sampling
    if sampling is None or sampling.exact:
        return "every exit"
    exits = "every exit" if sampling.one_in == 1 else f"one exit in {sampling.one_in:,}"
    if sampling.steps:
        return f"{exits} for a part of the time, as --max-overhead allowed"
    return exits if sampling.every == 1 else f"{exits} for 1/{sampling.every:,} of the time"


def _of_layouts(recordings: _Named) -> Iterator[Difference]:
    """Yield how the kernels differ. One kernel with two layouts is no comparison of kernels but a mistake."""
    kernels = recordings.differing(
        lambda metadata: metadata.kernel,
        lambda metadata: f"{metadata.kernel.release} {metadata.kernel.version}",
    )
    if kernels:
        yield Difference(kind="kernel", text=f"Kernels: {kernels}.", forbids=False)
    if layouts := recordings.differing(
        lambda metadata: metadata.layout.bits, lambda metadata: metadata.layout.name
    ):
        yield Difference(
            kind="layout",
            text=f"Layouts: {layouts}; bits are matched by name. One without a name, such as bit19, may be "
            "another bit in each.",
            forbids=kernels is None,
        )
    for context in Context:
        if masks := _masks(recordings, context):
            yield Difference(
                kind="mask",
                text=f"What makes {context} exits slow differs; in the work masks are also: {masks}.",
                forbids=kernels is None,
            )


def _masks(recordings: _Named, context: Context) -> str | None:
    """Return which bits are not in the masks of all."""

    def mask(metadata: Metadata) -> frozenset[str]:
        return frozenset(
            name if word is Word.TIF else f"work:{name}"
            for word in Word
            for name in metadata.layout.names(word, metadata.layout.work_mask(context, word))
        )

    common = frozenset.intersection(*map(mask, recordings.metadata))

    def others(metadata: Metadata) -> str:
        return ", ".join(sorted(mask(metadata) - common)) or "none of these"

    return recordings.differing(mask, others)

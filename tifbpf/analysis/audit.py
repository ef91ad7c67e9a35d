"""The audit of the masks beside what recordings saw of each of their bits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tifbpf.analysis.classes import BitName, decode
from tifbpf.analysis.figures import Figures
from tifbpf.analysis.observed import Observed
from tifbpf.analysis.rows import Line
from tifbpf.layouts.audit import Audit, AuditedBit, audit
from tifbpf.layouts.model import Context, Layout
from tifbpf.layouts.verdicts import Verdict
from tifbpf.recording.paths import ExitPath


@dataclass(frozen=True, slots=True)
class SeenBit:
    """A bit of the audit, and how often it was seen; counts are None where that is not known."""

    audited: AuditedBit
    masks: tuple[str, ...]
    """The masks of the tiers that it takes; empty where it makes no exit slow."""
    covered: tuple[Context, ...]
    """The exits that it would make slow, of those that were covered."""
    counted: tuple[Context, ...]
    """The exits among which `present` was counted; more than it would make slow where all words were seen."""
    uncounted: tuple[Context, ...]
    """Those that it would make slow and among which it was not."""
    seconds: float
    """For how long the exits of `counted` were."""
    present: int | None
    """Exits that carried it."""
    exits: int | None
    """All exits of `counted`."""
    trigger: int | None
    sole: int | None
    sole_in: Mapping[Context, int]
    """`sole` by context; where it was not is left out."""
    share_of_slow: float | None
    taken_out: bool
    """The recorder's own hook sets it, so it is in no count."""

    @property
    def never(self) -> bool:
        """Whether it is known never to have made an exit slow, and in which exits it was looked for."""
        return self.trigger == 0 and bool(self.exits) and not self.present

    @property
    def was_set(self) -> bool:
        """Whether any exit is known to have carried it."""
        return bool(self.present or self.trigger)


@dataclass(frozen=True, slots=True)
class Joined:
    """Recordings of one layout, and the audit of it."""

    places: tuple[int, ...]
    """Of the recordings."""
    audit: Audit
    covered: tuple[Context, ...]
    seconds: float
    slow: int
    lost: int
    """Exits that were seen and are in no count."""
    estimated: bool
    """Counts are estimates: not every exit was looked at."""
    pt_regs: int
    """Slow exits whose work needed the full pt_regs."""
    no_pt_regs: int
    unknown_pt_regs: int
    """Slow exits of whose work that is not known."""
    reschedule_only: int
    """Those of `no_pt_regs` that did nothing but reschedule."""
    bits: tuple[SeenBit, ...]
    """Those of the exit masks, and others that a verdict was passed on; in the order of the words."""


def join(recordings: Figures) -> tuple[Joined, ...]:
    """Return what `recordings` saw of each mask bit, for each layout that they have."""
    places: dict[Layout, list[int]] = {}
    for place, metadata in enumerate(recordings.metadata):
        places.setdefault(metadata.layout, []).append(place)
    return tuple(_joined(layout, tuple(found), _those(recordings, found)) for layout, found in places.items())


def _those(recordings: Figures, places: list[int]) -> Figures:
    # Nearly always all of them, whose sums are known by now.
    if len(places) == len(recordings.recordings):
        return recordings
    return Figures(recordings.loaded.only(places))


def _joined(layout: Layout, places: tuple[int, ...], recordings: Figures) -> Joined:
    observed = recordings.observed
    alone = _alone(layout, recordings.word_lines)
    covered = tuple(context for context in Context if observed.covered(context))
    # The options of a kernel are not in its recordings.
    audited = audit(layout)
    needs = {line["need"]: line["slow"] for line in recordings.need_lines}
    return Joined(
        places=places,
        audit=audited,
        covered=covered,
        seconds=sum(recording.duration_ns for recording in recordings.recordings) / 1e9,
        slow=sum(needs.values()) - needs["reschedule_only"],
        lost=sum(metadata.totals.losses.total for metadata in recordings.metadata),
        estimated=recordings.estimated,
        pt_regs=needs["pt_regs"],
        no_pt_regs=needs["no_pt_regs"],
        unknown_pt_regs=needs["unknown"],
        reschedule_only=needs["reschedule_only"],
        bits=tuple(_bits(layout, audited, observed, covered, recordings.bit_lines, alone)),
    )


def _alone(layout: Layout, words: Iterable[Line]) -> dict[BitName, Counter[Context]]:
    """Return how many slow exits each bit triggered alone, by context."""
    found: dict[BitName, Counter[Context]] = {}
    for line in words:
        if line["path"] != ExitPath.SLOW:
            continue
        context = Context(line["context"])
        triggers = decode(layout, context, line["tif_value"], line["syscall_work_value"]).triggers
        if len(triggers) == 1:
            found.setdefault(triggers[0], Counter())[context] += line["count"]
    return found


def _bits(
    layout: Layout,
    audited: Audit,
    observed: Observed,
    covered: tuple[Context, ...],
    seen: Iterable[Line],
    alone: Mapping[BitName, Mapping[Context, int]],
) -> Iterator[SeenBit]:
    lines = {(line["word"], line["bit"]): line for line in seen}
    for bit in audited.bits:
        line = lines.get((bit.word.value, bit.name), {})
        tiers = [tier for tier in layout.tiers if tier.word == bit.word and tier.name in bit.tiers]
        if not tiers and not (line and bit.has(Verdict.OUTSIDE)):
            continue
        tested = bit.contexts if tiers else tuple(Context)
        counted = _counted(observed, covered, bit, tested if tiers else ())
        yield SeenBit(
            audited=bit,
            masks=tuple(dict.fromkeys(tier.mask for tier in tiers)),
            covered=tuple(context for context in tested if context in covered),
            counted=counted,
            uncounted=tuple(context for context in tested if context not in counted),
            # Of recordings that covered different contexts, the time for which all of these were counted.
            seconds=min((observed.seconds_counted(context) for context in counted), default=0.0),
            present=line.get("present"),
            exits=line.get("exits"),
            trigger=line.get("trigger"),
            sole=line.get("sole"),
            sole_in=alone.get(BitName(bit.word, bit.name), {}),
            share_of_slow=line.get("share_of_slow"),
            taken_out=line.get("taken_out", False),
        )


def _counted(
    observed: Observed, covered: tuple[Context, ...], bit: AuditedBit, tested: tuple[Context, ...]
) -> tuple[Context, ...]:
    """Return where it can be told of all exits whether they carried the bit, as in `Recordings.bits`."""
    name = BitName(bit.word, bit.name)
    telling = {
        context
        for place, context in observed.pairs()
        if observed.words_seen_in(place, context)
        or (
            observed.counted_in(place, context)
            and context in tested
            and not observed.unseen_in(place, context, name)
        )
    }
    return tuple(context for context in covered if context in telling)

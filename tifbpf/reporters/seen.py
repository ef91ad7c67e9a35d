"""The masks of a kernel beside what its exits showed: what the audit says, from evidence."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator

import msgspec

from tifbpf.analysis.audit import Joined, SeenBit, join
from tifbpf.analysis.figures import Figures
from tifbpf.layouts.model import NOBODY
from tifbpf.layouts.verdicts import Finding, Verdict
from tifbpf.reporters import mask_bits, masks, names, numbers, schema
from tifbpf.reporters.caveats import caveats
from tifbpf.reporters.tables import Section
from tifbpf.text import listed


def build(recordings: Figures) -> tuple[schema.MaskAudit, ...]:
    """Return the masks of each layout that `recordings` have, and what was seen of their bits."""
    return tuple(line(joined) for joined in join(recordings))


def documents(recordings: Figures) -> tuple[masks.Document, ...]:
    """Return the audit of each layout that `recordings` have, with what they saw and conclude."""
    found = []
    limits = tuple(caveat.text for caveat in caveats(recordings))
    for joined in join(recordings):
        metadata = [recordings.metadata[place] for place in joined.places]
        kernels = ", ".join(dict.fromkeys(one.kernel.release for one in metadata))
        evidence = dict.fromkeys(item for one in metadata for item in one.layout_evidence)
        document = masks.build(kernels, metadata[0].layout, evidence=tuple(evidence))
        seen = line(joined)
        replace = msgspec.structs.replace
        found.append(replace(document, seen=seen, caveats=limits, conclusion=seen.conclusion))
    return tuple(found)


def sections(document: masks.Document, recordings: int) -> tuple[Section, ...]:
    """Return everything that is to be said of one of `documents`; the conclusion comes last.

    Args:
        document: the audit.
        recordings: how many recordings there are, of this layout and of others.
    """
    if document.seen is None:
        return masks.sections(document)
    # Its sentences are the document's conclusion.
    told = msgspec.structs.replace(document.seen, conclusion=())
    return masks.sections(document, seen=(mask_bits.section(told, recordings),))


def line(joined: Joined) -> schema.MaskAudit:
    """Return what is said of one layout's masks."""
    return schema.MaskAudit(
        recordings=joined.places,
        layout=joined.audit.layout,
        seconds=joined.seconds,
        contexts=tuple(context.value for context in joined.covered),
        slow=joined.slow,
        bits=tuple(_line(bit) for bit in joined.bits),
        unexpected=tuple(_unexpected(joined)),
        conclusion=tuple(conclusion(joined)),
    )


def _line(bit: SeenBit) -> schema.MaskBitLine:
    return schema.MaskBitLine(
        word=bit.audited.word.value,
        bit=bit.audited.name,
        masks=bit.masks,
        tiers=bit.audited.tiers,
        verdicts=tuple(dict.fromkeys(finding.verdict.value for finding in bit.audited.findings)),
        needs_pt_regs=bit.audited.needs_pt_regs,
        present=bit.present,
        exits=bit.exits,
        trigger=bit.trigger,
        sole=bit.sole,
        share_of_slow=bit.share_of_slow,
        taken_out=bit.taken_out,
    )


def conclusion(joined: Joined) -> Iterator[str]:
    """Yield what follows from masks and counts, as sentences for a mail's last paragraph."""
    yield from _never(joined)
    yield from _idle(joined)
    yield from _dead(joined)
    for part in (_hazards, _wasted, _outside):
        yield from part(joined.bits)
    yield from _two_slowpaths(joined)
    yield from _not_known(joined)


def _unexpected(joined: Joined) -> Iterator[str]:
    for bit in _having(joined.bits, Verdict.DEAD):
        if bit.was_set:
            yield (
                f"{_name(bit)} is dead by the audit, and {_exits(bit.present or bit.trigger)} carried it: "
                "somebody sets it whom the audit does not know, or this layout is not the kernel's."
            )
    for bit in _having(joined.bits, Verdict.HAZARD):
        for finding in _hazard(bit):
            if alone := _alone(bit, finding):
                yield (
                    f"{_name(bit)}, which the audit calls a hazard, was the only trigger of {_exits(alone)}: "
                    f"{finding.text}."
                )


def _never(joined: Joined) -> Iterator[str]:
    def alike(bit: SeenBit) -> Hashable:
        return bit.masks, bit.exits, bit.counted, bit.uncounted, bit.seconds

    for bits in _grouped((bit for bit in joined.bits if bit.masks and bit.never), alike):
        first, several = bits[0], len(bits) > 1
        where = listed([context.value for context in first.counted])
        never = "not seen to be" if joined.estimated else "never"
        text = (
            f"{_names(bits)} {'are' if several else 'is'} in {listed(first.masks)}; in "
            f"{numbers.count(first.exits)} {where} exits over {numbers.duration(first.seconds)} "
            f"{'they were' if several else 'it was'} {never} set"
        )
        half = [context.value for context in first.uncounted if context in first.covered]
        missing = [context.value for context in first.uncounted if context not in first.covered]
        limits = []
        if half:
            limits.append(f"of {listed(half)} exits only the slow ones were seen, and none was for it")
        if missing:
            limits.append(f"no {listed(missing, 'or')} exits were looked at")
        if joined.estimated:
            limits.append("an estimate: only a sample of them was looked at")
        if joined.lost:
            limits.append(f"{_exits(joined.lost)} more were seen and lost")
        yield f"{text} ({'; '.join(limits)})." if limits else f"{text}."


def _idle(joined: Joined) -> Iterator[str]:
    idle = [bit for bit in joined.bits if bit.masks and bit.trigger == 0 and not bit.exits]
    if idle:
        yield f"{_names(idle)} made none of the {numbers.count(joined.slow)} slow exits slow."


def _dead(joined: Joined) -> Iterator[str]:
    dead = [bit for bit in _having(joined.bits, Verdict.DEAD) if bit.never]
    if dead and joined.estimated:
        yield f"Dead by the audit, and not seen in a sample, which alone is no proof: {_names(dead)}."
    elif dead:
        yield f"Dead by the audit and never seen, so it can be discarded: {_names(dead)}."


def _hazards(bits: Iterable[SeenBit]) -> Iterator[str]:
    for bit in _having(bits, Verdict.HAZARD):
        for finding in _hazard(bit):
            if bit.sole is not None and not _alone(bit, finding):
                where = listed([context.value for context in finding.contexts or bit.audited.contexts])
                seen = f"it triggered in {_exits(bit.trigger)}" if bit.trigger else "it never triggered"
                yield f"{_name(bit)} is a hazard alone in {where} exits, and was not alone there: {seen}."


def _hazard(bit: SeenBit) -> list[Finding]:
    return [finding for finding in bit.audited.findings if finding.verdict is Verdict.HAZARD]


def _alone(bit: SeenBit, finding: Finding) -> int:
    """Return how many exits the bit triggered alone, of those that the finding is about."""
    about = finding.contexts or tuple(bit.sole_in)
    return sum(count for context, count in bit.sole_in.items() if context in about)


def _wasted(bits: Iterable[SeenBit]) -> Iterator[str]:
    for bit in _having(bits, Verdict.WASTED):
        if bit.sole and not bit.audited.has(Verdict.HAZARD):
            yield f"{_name(bit)} alone sent {_exits(bit.sole)} down the slowpath, for no work."


def _outside(bits: Iterable[SeenBit]) -> Iterator[str]:
    for bit in _having(bits, Verdict.OUTSIDE):
        if bit.present and bit.audited.handler not in (None, NOBODY):
            yield (
                f"{_name(bit)} is in no exit mask: {_exits(bit.present)} carried it, and none was slow for "
                f"it; {bit.audited.handler}() serves it on the way out."
            )


def _two_slowpaths(joined: Joined) -> Iterator[str]:
    if not joined.slow:
        return
    need = joined.pt_regs / joined.slow
    text = (
        f"{numbers.share(need)} of slow exits ({numbers.count(joined.pt_regs)} of "
        f"{numbers.count(joined.slow)}) needed the full pt_regs"
    )
    if joined.no_pt_regs:
        every = joined.reschedule_only == joined.no_pt_regs
        text += (
            f"; a second slowpath without them would have served {numbers.count(joined.no_pt_regs)}, "
            f"{'all' if every else numbers.count(joined.reschedule_only)} of which did nothing but reschedule"
        )
    if joined.unknown_pt_regs:
        text += f"; of {numbers.count(joined.unknown_pt_regs)} it is not known"
    yield f"{text}."


def _not_known(joined: Joined) -> Iterator[str]:
    tested = [bit for bit in joined.bits if bit.masks and bit.trigger is None]
    if ours := [bit for bit in tested if bit.taken_out]:
        yield f"Not known of {_names(ours)}: our own hook sets it."
    if away := [bit for bit in tested if not bit.taken_out and not bit.covered]:
        yield f"Not known of {_names(away)}: no exits that test it were looked at."
    if blind := [bit for bit in tested if not bit.taken_out and bit.covered]:
        yield f"Not known of {_names(blind)}: the route does not see it."


def _grouped(bits: Iterable[SeenBit], key: Callable[[SeenBit], Hashable]) -> Iterable[list[SeenBit]]:
    groups: dict[Hashable, list[SeenBit]] = {}
    for bit in bits:
        groups.setdefault(key(bit), []).append(bit)
    return groups.values()


def _having(bits: Iterable[SeenBit], verdict: Verdict) -> list[SeenBit]:
    return [bit for bit in bits if bit.audited.has(verdict)]


def _exits(count: int | None) -> str:
    return f"{numbers.count(count)} exit{'' if count == 1 else 's'}"


def _name(bit: SeenBit) -> str:
    return names.bit(bit.audited.word, bit.audited.name)


def _names(bits: Iterable[SeenBit]) -> str:
    return listed([_name(bit) for bit in bits])

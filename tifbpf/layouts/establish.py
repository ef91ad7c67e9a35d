"""The layout of a running kernel, by evidence.

Headers of the very build decide. Without them the era table is narrowed down by what BTF, the configuration,
kallsyms and the machine code say; the release number only ranks what is left, because RT builds and backports
carry the numbers of layouts that they do not have. What makes an exit slow is what the machine code tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from tifbpf.errors import LayoutContradictedError, UnknownKernelError
from tifbpf.layouts import catalogue, confirm, headers, likeness, releases
from tifbpf.layouts.confirm import MaskCheck
from tifbpf.layouts.facts import LayoutFacts, table
from tifbpf.layouts.model import Bit, Evidence, Layout, Word
from tifbpf.layouts.tested import Tested

__all__ = ["CHECKED", "Established", "LayoutFacts", "contradictions", "establish", "observations"]

CHECKED = ("SIGPENDING", "NOTIFY_RESUME", "NOTIFY_SIGNAL")
"""TIF bits that an exercise with a control can set on any kernel, one at a time."""

_PREFIX = "SYSCALL_WORK_BIT_"
_HEADERS_HELP = "install the headers of this build, or give them with --headers DIR"


class Established(msgspec.Struct, frozen=True, kw_only=True):
    """A layout and what it rests on."""

    layout: Layout
    evidence: tuple[Evidence, ...]
    checks: tuple[MaskCheck, ...] = ()
    """The layout's masks beside those of the machine code; () where that was not looked at."""
    tested: Tested | None = None
    """The machine code."""


def establish(facts: LayoutFacts) -> Established:
    """Return the layout of the kernel that `facts` describe.

    Raises:
        UnknownKernelError: no layout fits, or nothing but the release number speaks for one.
        LayoutContradictedError: the headers are not those of the kernel that runs.
    """
    established = _by_headers(facts, facts.headers) if facts.headers else _by_table(facts)
    if facts.tested is None:
        return established
    confirmed = confirm.confirm(established.layout, facts.tested)
    return Established(
        layout=confirmed.layout,
        evidence=(*established.evidence, *confirmed.evidence),
        checks=confirmed.checks,
        tested=facts.tested,
    )


def observations(layout: Layout) -> dict[str, int]:
    """Return, for each checked bit that `layout` has, the number that its exercise must set."""
    return {name: bit.number for name in CHECKED if (bit := layout.named(name, Word.TIF))}


def contradictions(layout: Layout, observed: Mapping[str, int | None]) -> list[str]:
    """Return where `layout` and the running kernel disagree, each as one sentence naming both facts.

    Args:
        layout: what is believed.
        observed: bit name to the number of the TIF bit that the act known to set it was seen to set; None
            where it set none. A kernel without the bit may do the same work by another bit that it has.
    """
    found = []
    for name, number in observed.items():
        bit = layout.named(name, Word.TIF)
        seen = None if number is None else layout.at(Word.TIF, number)
        called = "no bit" if number is None else f"bit {number}"
        if number is not None:
            called += f" ({seen.name if seen else 'unnamed'} there)"
        if bit and bit.number != number:
            found.append(
                f"{layout.name} says that {name} is bit {bit.number}, the act that sets it set {called}"
            )
        elif bit is None and number is not None and seen is None:
            found.append(f"{layout.name} has no {name}, the act that sets it where it exists set {called}")
    return found


def _by_headers(facts: LayoutFacts, directory: Path) -> Established:
    layout = headers.read(directory, facts.config)
    evidence = [
        Evidence(
            fact=f"{len(layout.bits)} bits, {len(layout.masks)} masks, evaluated from {layout.releases[0]}",
            source=f"headers in {directory}",
            verdict="decides",
        )
    ]
    if facts.syscall_work_bits is not None:
        stated, running = _syscall_work(layout), _short(facts.syscall_work_bits)
        if stated != running:
            raise LayoutContradictedError(
                f"the headers in {directory} are not those of the kernel that runs: enum syscall_work_bit is "
                f"{_told(stated)} there and {_told(running)} in BTF; {_HEADERS_HELP}"
            )
        evidence.append(
            Evidence(fact=f"enum syscall_work_bit: {_told(running)}", source="BTF", verdict="confirms")
        )
    handled = likeness.with_handlers(layout, facts.upstream)
    if handled is None:
        evidence.append(
            Evidence(
                fact="no era has these bits and masks, so handlers and pt_regs needs are not known",
                source="era table",
                verdict="absent",
            )
        )
    else:
        layout = handled
        evidence.append(
            Evidence(
                fact=f"the same bits and masks as era {layout.name}, whose handlers are taken",
                source="era table",
                verdict="confirms",
            )
        )
    if not layout.tiers and not (facts.tested and facts.tested.masks):
        raise UnknownKernelError(
            f"the headers in {directory} name no work mask, and no era has their bits; give the whole "
            "kernel source with --headers DIR"
        )
    return Established(layout=layout, evidence=tuple(evidence))


def _by_table(facts: LayoutFacts) -> Established:
    upstream = facts.upstream
    if facts.silent:
        raise UnknownKernelError(
            f"nothing but its release number says which layout {upstream} has: {_HEADERS_HELP}"
        )
    left = _flavoured(facts)
    if not left:
        raise UnknownKernelError(f"no layout for {upstream}: its RT patch was not read; {_HEADERS_HELP}")
    evidence = []
    for fact in table():
        told = fact.excluded(facts)
        if told is None:
            continue
        present, excluded = told
        narrower = left - excluded
        evidence.append(
            Evidence(
                fact=fact.kind.says(fact.name, present),
                source=f"{fact.kind.origin}; {fact.source}",
                verdict="decides" if narrower != left else "confirms",
            )
        )
        left = narrower
    left, said = _by_enum(facts, left)
    evidence += said
    left, said = _by_machine_code(facts, left)
    evidence += said
    ranked = _ranked(facts, left)
    if not ranked:
        raise UnknownKernelError(
            f"no layout fits {upstream}: {'; '.join(item.fact for item in evidence)}; {_HEADERS_HELP}"
        )
    layout = catalogue.load(ranked[0])
    evidence.append(_ranking(facts, ranked))
    layout = _with_running_enum(layout, facts)
    return Established(layout=layout, evidence=tuple(evidence))


def _flavoured(facts: LayoutFacts) -> frozenset[str]:
    """Return the eras that a build of this flavour can have."""
    release = facts.upstream
    rt_only = frozenset(era.name for era in catalogue.eras() if era.rt and not era.releases)
    if not release.rt:
        return frozenset(catalogue.names()) - rt_only
    if release.line >= releases.MAINLINE_RT:
        since = catalogue.names().index("5.19")
        return frozenset(catalogue.names()[since:]) - rt_only
    # The RT patch numbers its bits anew for every series: one series says nothing about another.
    return frozenset(
        era.name
        for era in catalogue.eras()
        if any(releases.parse(text).line == release.line for text in era.rt)
    )


def _by_enum(facts: LayoutFacts, left: frozenset[str]) -> tuple[frozenset[str], list[Evidence]]:
    if facts.syscall_work_bits is None or not left:
        return left, []
    running = _short(facts.syscall_work_bits)
    agree = frozenset(name for name in left if _syscall_work(catalogue.load(name)) == running)
    if agree:
        verdict = "decides" if agree != left else "confirms"
        fact = f"enum syscall_work_bit: {_told(running)}"
        return agree, [Evidence(fact=fact, source="BTF", verdict=verdict)]
    # A backport may add a bit to an era that is known; a release that is not known is not such an era.
    try:
        placed = releases.place(facts.upstream, catalogue.eras()).era
    except UnknownKernelError:
        placed = None
    known = _syscall_work(catalogue.load(placed)) if placed in left else {}
    more = {name: number for name, number in running.items() if name not in known}
    if placed and known and known.items() <= running.items():
        return frozenset({placed}), [
            Evidence(
                fact=f"enum syscall_work_bit has {_told(more)}, which era {placed} has not: the names are "
                "BTF's; whether they are in SYSCALL_WORK_EXIT is not known",
                source="BTF",
                verdict="decides",
            )
        ]
    fact = f"enum syscall_work_bit is {_told(running)}, as in no era"
    return frozenset(), [Evidence(fact=fact, source="BTF", verdict="contradicts")]


def _by_machine_code(facts: LayoutFacts, left: frozenset[str]) -> tuple[frozenset[str], list[Evidence]]:
    if facts.tested is None or not facts.tested.masks:
        return left, []
    agree = frozenset(name for name in left if confirm.agrees(catalogue.load(name), facts.tested))
    # A kernel's masks may be of no era: its names still are, and its own masks are taken.
    if not agree or agree == left:
        return left, []
    known = ", ".join(sorted(agree, key=catalogue.names().index))
    fact = f"the masks, and what their bits guard, are those of {known} and of no other era that is left"
    return agree, [Evidence(fact=fact, source="machine code", verdict="decides")]


def _with_running_enum(layout: Layout, facts: LayoutFacts) -> Layout:
    """Return `layout` with the syscall_work names of BTF where it has more than the era."""
    running = _short(facts.syscall_work_bits or {})
    added = tuple(
        Bit(name=name, number=number, word=Word.SYSCALL_WORK, source="BTF: enum syscall_work_bit")
        for name, number in running.items()
        if layout.named(name, Word.SYSCALL_WORK) is None
    )
    if not added:
        return layout
    note = f"{', '.join(bit.name for bit in added)}: named by BTF alone; not known to be in SYSCALL_WORK_EXIT"
    return msgspec.structs.replace(layout, bits=(*layout.bits, *added), notes=(*layout.notes, note))


def _ranked(facts: LayoutFacts, left: Iterable[str]) -> list[str]:
    """Return the eras that are left, the nearest to the release first."""
    order = catalogue.names()
    release = facts.upstream
    if release.line < releases.parse(order[0]).line:
        return []
    try:
        centre = order.index(releases.place(release, catalogue.eras()).era)
    except UnknownKernelError:
        # Newer than every tree. A known enum in BTF is the least that must speak for the newest eras.
        if facts.syscall_work_bits is None:
            return []
        centre = len(order) - 1
    return sorted(left, key=lambda name: (abs(order.index(name) - centre), -order.index(name)))


def _ranking(facts: LayoutFacts, ranked: list[str]) -> Evidence:
    try:
        placed = releases.place(facts.upstream, catalogue.eras())
        said, verdict = f"release {facts.upstream} is one of era {placed.era}", "confirms"
        if placed.note:
            said += f" ({placed.note})"
        if placed.era != ranked[0]:
            said, verdict = f"{said}, which the evidence excludes", "contradicts"
    except UnknownKernelError:
        said, verdict = f"release {facts.upstream} is newer than every tree that was read", "absent"
    chosen = catalogue.load(ranked[0])
    others = [name for name in ranked[1:] if not _alike(catalogue.load(name), chosen)]
    if others:
        said += f"; not excluded by anything else: {', '.join(others)}"
        verdict = "decides" if verdict == "confirms" else verdict
    return Evidence(fact=f"{said}; taken: {ranked[0]}", source="uname", verdict=verdict)


def _alike(one: Layout, other: Layout) -> bool:
    """Whether they name bits alike and decide alike; masks that decide nothing do not matter."""

    def says(layout: Layout) -> tuple[object, object]:
        tiers = {(tier.word, tier.value, tier.contexts) for tier in layout.tiers}
        return {likeness.key(bit) for bit in layout.bits}, tiers

    return says(one) == says(other)


def _syscall_work(layout: Layout) -> dict[str, int]:
    return {bit.name: bit.number for bit in layout.bits if bit.word == Word.SYSCALL_WORK}


def _short(bits: Mapping[str, int]) -> dict[str, int]:
    return {name.removeprefix(_PREFIX): number for name, number in bits.items()}


def _told(bits: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(bits.items(), key=lambda item: item[1]))

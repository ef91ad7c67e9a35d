"""What the audit of a kernel's masks says to a reader, as headings, tables and sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from tifbpf.layouts import audit as auditing
from tifbpf.layouts import catalogue, claims
from tifbpf.layouts.audit import Audit, AuditedBit, AuditedMask, Use
from tifbpf.layouts.claims import Claim, Mail
from tifbpf.layouts.confirm import MaskCheck
from tifbpf.layouts.model import NOBODY, Evidence, Layout
from tifbpf.layouts.paths import ExitPath
from tifbpf.layouts.tested import Tested
from tifbpf.layouts.verdicts import Verdict
from tifbpf.reporters import names, schema
from tifbpf.reporters.tables import Cell, Column, Kind, Section, Table
from tifbpf.text import listed

VERSION = 1
"""Of the JSON document; a member that is taken away or means something else makes a new one."""

_TEXT = Column("", Kind.WRAPPED)
_NEEDS = {True: "full", False: "no", None: "unknown"}
_ORDER = tuple(Use)


_UNLIKE = "not known: no era has these bits and masks, and headers do not tell"


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What `tifbpf masks --json` writes for one kernel."""

    version: int = VERSION
    kernel: str
    """The kernel as it was asked for: a release, a headers tree, this host."""
    audit: Audit
    evidence: tuple[Evidence, ...] = ()
    """What the layout of a running kernel, or of a kernel's file, rests on."""
    checks: tuple[MaskCheck, ...] = ()
    """Its masks beside those of the machine code."""
    machine_code: Tested | None = None
    """What the machine code tests, where that was looked at."""
    mail: Mail | None = None
    claims: tuple[Claim, ...] = ()
    """What a mail said of these masks, checked; only for the kernel that it speaks of."""
    seen: schema.MaskAudit | None = None
    """What recordings of this kernel saw of its mask bits, where any were given."""
    caveats: tuple[str, ...] = ()
    """What limits what the recordings say."""
    conclusion: tuple[str, ...]


class RecordingsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `tifbpf masks --json FILE…` writes: a document for each layout."""

    version: int = VERSION
    kernels: tuple[Document, ...]


def build(
    kernel: str,
    layout: Layout,
    config: Mapping[str, str] | None = None,
    evidence: tuple[Evidence, ...] = (),
) -> Document:
    """Return the audit of `layout`, and what a mail said of the same masks, where there is one.

    Args:
        kernel: how to call the kernel.
        layout: its bits and masks.
        config: all of its options that are set, without `CONFIG_`; None where they are not known.
        evidence: what the layout rests on.
    """
    found = auditing.audit(layout, config)
    mail = claims.mail()
    spoken_of = layout.source == catalogue.load(mail.era).source
    return Document(
        kernel=kernel,
        audit=found,
        evidence=evidence,
        mail=mail if spoken_of else None,
        claims=claims.checked() if spoken_of else (),
        conclusion=conclusion(found),
    )


def sections(
    document: Document, machine_code: Iterable[Section] = (), seen: Iterable[Section] = ()
) -> tuple[Section, ...]:
    """Return everything that is to be said; the conclusion comes last.

    Args:
        document: the audit.
        machine_code: what is said of the machine code, for the place that it has.
        seen: what exits showed of the bits, in place of what sets and handles them.
    """
    audit = document.audit
    return (
        _masks(document),
        *(tuple(seen) or _bits(audit)),
        *_findings(audit),
        *_pt_regs(audit),
        *_paths(audit),
        *machine_code,
        *_claims(document),
        _sources(document),
        *_caveats(document),
        Section(title="Conclusion", notes=document.conclusion),
    )


def _masks(document: Document) -> Section:
    audit = document.audit
    rows: list[tuple[Cell, ...]] = []
    for mask in sorted(audit.masks, key=lambda mask: _ORDER.index(mask.use)):
        if mask.value:
            rows.append((mask.name, f"{mask.value:#x}", mask.use.value, _by_bits(mask)))
            if mask.terms.masks:
                rows.append(("", "", "", f"= {mask.terms}"))
    residues: dict[tuple[int, ...], list[str]] = {}
    for mask in audit.masks:
        if mask.unnamed:
            residues.setdefault(mask.unnamed, []).append(mask.name)
    notes = [
        f"Bits {listed(map(str, numbers))} ({sum(1 << number for number in numbers):#x}) of "
        f"{listed(masks)} have no name."
        for numbers, masks in residues.items()
    ]
    if empty := [mask.name for mask in audit.masks if not mask.value]:
        notes.append(f"Empty: {', '.join(empty)}.")
    columns = (
        Column("mask", Kind.FIXED, "name"),
        Column("value", Kind.FIXED, "hex"),
        Column("for", Kind.FIXED),
        Column("bits", Kind.WRAPPED, "bit"),
    )
    return Section(
        title="Masks",
        subject=f"Linux {document.kernel}",
        table=Table(columns, tuple(rows)),
        notes=tuple(notes),
    )


def _by_bits(mask: AuditedMask) -> str:
    rest = (f"{mask.residue:#x}",) if mask.residue else ()
    return " | ".join((*mask.bits, *rest))


def _bits(audit: Audit) -> Iterator[Section]:
    rows: list[tuple[Cell, ...]] = [
        (
            str(bit.number),
            names.bit(bit.word, bit.name),
            _verdicts(bit),
            "-" if bit.handler == NOBODY or not bit.named else _NEEDS[bit.needs_pt_regs],
            _told(bit),
        )
        for bit in audit.bits
        if _tested(audit, bit)
    ]
    columns = (
        Column("", Kind.FIXED, "hex"),
        Column("bit", Kind.FIXED, "bit"),
        Column("verdict", Kind.FIXED),
        Column("pt_regs", Kind.FIXED),
        _TEXT,
    )
    if rows:
        yield Section(title="Bits of the exit masks", table=Table(columns, tuple(rows)))


def _tested(audit: Audit, bit: AuditedBit) -> bool:
    exits = {mask.name for mask in audit.masks if mask.use is Use.EXIT}
    return bool(bit.tiers or bit.contexts or exits & set(bit.masks))


def _verdicts(bit: AuditedBit) -> str:
    return ", ".join(dict.fromkeys(finding.verdict.value for finding in bit.findings)) or "-"


def _told(bit: AuditedBit) -> str:
    if bit.set_by is None:
        setter = "set by: not known"
    elif not bit.set_by:
        setter = "set by nobody"
    else:
        setter = f"set by {', '.join(f'{function}()' for function in bit.set_by)}"
        if bit.config:
            setter += f" with {' or '.join(f'CONFIG_{option}' for option in bit.config)}"
    parts = [setter]
    if bit.handler == NOBODY:
        parts.append("handled by nobody")
    elif bit.handler is not None:
        parts.append(f"handled by {bit.handler}()")
        if bit.cleared:
            parts.append(f"cleared: {bit.cleared}")
    elif bit.named:
        parts.append("handled by: not known")
    return "; ".join(parts)


def _findings(audit: Audit) -> Iterator[Section]:
    grouped: dict[tuple[Verdict, str], list[str]] = {}
    for bit in audit.bits:
        for finding in bit.findings:
            name = names.bit(bit.word, bit.name)
            grouped.setdefault((finding.verdict, finding.text), []).append(name)
    order = tuple(Verdict)
    rows: list[tuple[Cell, ...]] = [
        (verdict.value, f"{', '.join(bits)}: {text}")
        for (verdict, text), bits in sorted(grouped.items(), key=lambda item: order.index(item[0][0]))
    ]
    if rows:
        yield Section(title="Findings", table=Table((Column("", Kind.FIXED, "bit"), _TEXT), tuple(rows)))


def _pt_regs(audit: Audit) -> Iterator[Section]:
    rows: list[tuple[Cell, ...]] = []
    for mask in audit.masks:
        told = (
            ("need them", mask.need_pt_regs),
            ("do not", mask.spare_pt_regs),
            ("not known", mask.unknown_pt_regs),
        )
        name = mask.name
        for label, bits in told if mask.use is Use.EXIT else ():
            if bits:
                rows.append((name, label, ", ".join(bits)))
                name = ""
    columns = (Column("mask", Kind.FIXED, "name"), Column("full pt_regs", Kind.FIXED), _TEXT)
    if rows:
        yield Section(title="Who needs the full pt_regs", table=Table(columns, tuple(rows)))


def _paths(audit: Audit) -> Iterator[Section]:
    rows: list[tuple[Cell, ...]] = [
        (path.name, " ".join(path.contexts), text) for path in audit.paths for text in _of_path(path)
    ]
    columns = (Column("way out", Kind.FIXED, "name"), Column("exits from", Kind.FIXED, "context"), _TEXT)
    if rows:
        yield Section(title="Ways out", table=Table(columns, tuple(_once(rows))))


def _of_path(path: ExitPath) -> Iterator[str]:
    yield f"tests {path.mask} ({path.tested:#x})"
    known = [step for step in path.steps if step.function]
    if known:
        calls = "; ".join(f"{step.function}() for {step.called_for:#x}" for step in known)
        yield f"calls {calls}"
    if path.repeats:
        yield f"tests {path.repeats} ({path.repeated:#x}) again before it leaves"
    if path.rest and (path.idle or path.onward):
        yield f"where nothing is called, {path.rest}"


def _once(rows: Iterable[tuple[Cell, ...]]) -> Iterator[tuple[Cell, ...]]:
    """Yield the rows, their first cells only where they differ from the row above."""
    above: tuple[Cell, ...] = ()
    for row in rows:
        head = row[:-1]
        yield row if head != above else (*("" for _ in head), row[-1])
        above = head


def _claims(document: Document) -> Iterator[Section]:
    if document.mail is None:
        return
    mail = document.mail
    rows: list[tuple[Cell, ...]] = []
    for claim in document.claims:
        rows += [(claim.outcome.value, f'"{claim.quote}"'), ("", f"{claim.says}: {claim.found}")]
    yield Section(
        title="Claim by claim",
        subject=f"{mail.author}, {mail.date}, {mail.list}",
        table=Table((Column("", Kind.FIXED, "bit"), _TEXT), tuple(rows)),
    )


def _caveats(document: Document) -> Iterator[Section]:
    if document.caveats:
        yield Section(title="Before you quote these figures", warnings=document.caveats)


def _sources(document: Document) -> Section:
    audit = document.audit
    notes = [
        f"layout {audit.layout}: {audit.source}",
        f"handlers, setters and ways out: {audit.handlers_from or _UNLIKE}",
        *(f"{item.verdict}: {item.fact} [{item.source}]" for item in document.evidence),
        *audit.notes,
    ]
    if not audit.configured:
        notes.append("the kernel's options are not known: a bit that one of them needs is taken to be used")
    return Section(title="Sources", warnings=tuple(notes))


def conclusion(audit: Audit) -> tuple[str, ...]:
    """Return what follows from the audit, as sentences for a mail's last paragraph."""
    return tuple(
        text
        for part in (_dead, _hazards, _wasted, _clean, _outside, _two_slowpaths, _unknown, _unread)
        for text in part(audit)
    )


def _names(bits: Iterable[AuditedBit]) -> str:
    return listed(names.bit(bit.word, bit.name) for bit in bits)


def _dead(audit: Audit) -> Iterator[str]:
    dead = audit.having(Verdict.DEAD)
    if unnamed := [bit for bit in dead if not bit.named]:
        value = sum(1 << bit.number for bit in unnamed)
        exits = [mask.name for mask in audit.masks if mask.use is Use.EXIT and mask.residue]
        numbers = listed(str(bit.number) for bit in unnamed)
        yield (
            f"{value:#x} (bits {numbers}) of {listed(exits)} consists of bits that have no name and that "
            "nobody sets: it can be discarded."
        )
    for bit in dead:
        if bit.named:
            yield f"{names.bit(bit.word, bit.name)} is dead: it is {_text(bit, Verdict.DEAD)}."


def _text(bit: AuditedBit, verdict: Verdict) -> str:
    return next(finding.text for finding in bit.findings if finding.verdict is verdict)


def _hazards(audit: Audit) -> Iterator[str]:
    for bit in audit.having(Verdict.HAZARD):
        yield f"{names.bit(bit.word, bit.name)} is a hazard: {_text(bit, Verdict.HAZARD)}."


def _wasted(audit: Audit) -> Iterator[str]:
    for bit in audit.having(Verdict.WASTED):
        if not bit.has(Verdict.HAZARD):
            exits = [mask.name for mask in audit.masks if mask.use is Use.EXIT and mask.name in bit.masks]
            name = names.bit(bit.word, bit.name)
            yield (
                f"{name} {_text(bit, Verdict.WASTED)}. There is no reason for it to be in {listed(exits)}."
            )


def _clean(audit: Audit) -> Iterator[str]:
    bad = (Verdict.DEAD, Verdict.HAZARD, Verdict.WASTED)
    if any(audit.having(verdict) for verdict in (*bad, Verdict.UNKNOWN)):
        return
    yield (
        "Every bit of the exit masks has somebody who handles it: none is dead, none would loop, none costs "
        "a slowpath for nothing."
    )


def _outside(audit: Audit) -> Iterator[str]:
    handled = [bit for bit in audit.having(Verdict.OUTSIDE) if bit.handler not in (None, NOBODY)]
    if handled:
        verb = "is" if len(handled) == 1 else "are"
        yield (
            f"{_names(handled)} {verb} set, but in no exit mask: an exit is not slow for that, and handles "
            "it on its way."
        )


def _two_slowpaths(audit: Audit) -> Iterator[str]:
    tested = [bit for bit in audit.bits if _tested(audit, bit) and bit.named and not bit.has(Verdict.DEAD)]
    need = [bit for bit in tested if bit.needs_pt_regs]
    spare = [bit for bit in tested if bit.needs_pt_regs is False]
    if need and spare:
        yield (
            f"Of the bits that make exits slow, {len(need)} need the full pt_regs ({_names(need)}); a second "
            f"slowpath without them would serve the other {len(spare)} ({_names(spare)})."
        )


def _unknown(audit: Audit) -> Iterator[str]:
    if unknown := audit.having(Verdict.UNKNOWN):
        grouped: dict[str, list[AuditedBit]] = {}
        for bit in unknown:
            grouped.setdefault(_text(bit, Verdict.UNKNOWN), []).append(bit)
        for text, bits in grouped.items():
            yield f"Not known: {_names(bits)}: {text}."


def _unread(audit: Audit) -> Iterator[str]:
    if audit.handlers_from is None:
        return
    unread = [bit for bit in audit.bits if bit.set_by is None and _tested(audit, bit)]
    if unread:
        yield f"Who sets {_names(unread)} was not read in the sources of this era."

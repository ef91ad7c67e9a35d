"""Whether a hook can be attached on a kernel, and whether it would see what it is for.

What fails loudly may be tried: an unknown there (not listed, not tried) leaves the hook possible, and is
named. What fails silently must be known: a function that is not certainly there under its name, or that
nobody may be calling because every caller inlined it, attaches nowhere or sees nothing, and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from tifbpf.host.facts import Finding, KernelFacts, Way
from tifbpf.layouts.model import Context
from tifbpf.routes.model import Hook, HookKind

_OR = " or "
_NOTRACE_KPROBES = "KPROBE_EVENTS_ON_NOTRACE"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether something holds; None: unknown, with the reason."""

    holds: bool | None
    reason: str = ""
    remedy: str | None = None
    way: str | None = None
    """How it would be attached."""
    absent: bool = False
    """The kernel has no such function at all: nothing that it could be talked into."""


_YES = Verdict(holds=True)


def _all(verdicts: list[Verdict]) -> Verdict:
    """Return the first no, else all unknowns together, else yes."""
    for verdict in verdicts:
        if verdict.holds is False:
            return verdict
    unknown = [verdict for verdict in verdicts if verdict.holds is None]
    if not unknown:
        return _YES
    return Verdict(
        holds=None,
        reason="; ".join(verdict.reason for verdict in unknown),
        remedy=next((verdict.remedy for verdict in unknown if verdict.remedy), None),
    )


def _way(facts: KernelFacts, way: Way) -> Verdict:
    finding: Finding = facts.way(way)
    name = way.replace("_", " ")
    if finding.answer:
        return _YES
    reason = f"{name}: {finding.said}" if finding.said else f"{name} does not work here"
    return Verdict(holds=finding.answer, reason=reason, remedy=finding.remedy)


def name_on(facts: KernelFacts, hook: Hook) -> str:
    """Return which of the hook's names this kernel has, the first if it has none."""
    if hook.kind in (HookKind.RAW_TRACEPOINT, HookKind.EVERY_SYSCALL):
        return hook.symbol
    return next((name for name in hook.symbols if facts.symbol(name).present), hook.symbol)


def present(facts: KernelFacts, hook: Hook) -> Verdict:
    """Whether what it hooks is there; unknown is no."""
    if hook.kind is HookKind.RAW_TRACEPOINT:
        there = facts.events.get(hook.symbol)
        if there:
            return _YES
        if there is False:
            return Verdict(holds=False, reason=f"this kernel has no tracepoint {hook.symbol}")
        why = facts.unseen.get("events", "not looked for")
        return Verdict(holds=None, reason=f"whether there is a tracepoint {hook.symbol} is unknown ({why})")
    known = {name: facts.symbol(name).present for name in hook.symbols}
    if any(known.values()):
        if hook.needs is not None and facts.symbol(hook.needs).present is False:
            return Verdict(
                holds=False,
                reason=f"{hook.symbol} is of another era: this kernel has no function {hook.needs}",
                absent=True,
            )
        return _YES
    if all(there is False for there in known.values()):
        return Verdict(
            holds=False,
            reason=f"this kernel has no function {hook.symbol}: inlined, or of another era",
            absent=True,
        )
    why = facts.unseen.get("kallsyms", "not looked for")
    return Verdict(holds=False, reason=f"whether there is a function {hook.symbol} is unknown ({why})")


def called(facts: KernelFacts, hook: Hook, context: Context) -> Verdict:
    """Whether an exit from `context` comes through the function at all; unknown is no."""
    candidates = hook.callers.get(context)
    if not candidates:
        return _YES
    name = name_on(facts, hook)
    known = facts.symbol(name).called_by
    if known is None:
        why = facts.unseen.get("text", "not looked at")
        return Verdict(
            holds=False,
            reason=f"whether any {context} exit calls {name} is unknown ({why})",
            remedy="run as root: the machine code of its callers tells",
        )
    looked_at = [caller for caller in candidates if caller in known]
    if any(known[caller] for caller in looked_at):
        return _YES
    if looked_at:
        who = " and ".join(looked_at)
        verb = "does" if len(looked_at) == 1 else "do"
        reason = f"{who} {verb} not call {name}, which is inlined there: it would see no {context} exit"
    else:
        reason = f"no known caller of {name} on the way of {context} exits is in this kernel"
    return Verdict(holds=False, reason=reason)


def attachable(facts: KernelFacts, hook: Hook, tried: Mapping[tuple[str, str], str]) -> Verdict:
    """Whether a program can be put there, what it is there for taken aside.

    Args:
        facts: what the kernel offers.
        hook: the place.
        tried: ways and symbols that the kernel was seen to refuse, with what it said.
    """
    verdict = _attachable(facts, hook)
    if verdict.way is None:
        return verdict
    symbol = name_on(facts, hook)
    ways = verdict.way.split(_OR)
    left = [way for way in ways if (way, symbol) not in tried]
    if left or verdict.holds is False:
        return msgspec.structs.replace(verdict, way=_OR.join(left or ways))
    return Verdict(holds=False, reason="; ".join(tried[way, symbol] for way in ways))


def _attachable(facts: KernelFacts, hook: Hook) -> Verdict:
    if hook.kind is HookKind.RAW_TRACEPOINT:
        verdict = _all([present(facts, hook), _way(facts, Way.RAW_TRACEPOINT)])
        return msgspec.structs.replace(verdict, way="raw tracepoint")
    if hook.kind is HookKind.EVERY_SYSCALL:
        # Whether it may have many places at once, the kernel tells when it is asked to.
        return msgspec.structs.replace(_way(facts, Way.KPROBE), way="kprobe multi")
    name = name_on(facts, hook)
    if not (there := present(facts, hook)).holds:
        return there
    if hook.kind is HookKind.BREAKPOINT:
        verdict = _all([_not_blacklisted(facts, name), _way(facts, Way.BREAKPOINT)])
        return msgspec.structs.replace(verdict, way="breakpoint")
    listed = _traceable(facts, name)
    if hook.ftrace_only and listed.holds is False:
        return listed
    by_kprobe = _all([_kprobe_listed(facts, listed), _not_blacklisted(facts, name), _way(facts, Way.KPROBE)])
    if hook.kprobe_only:
        return msgspec.structs.replace(by_kprobe, way="kprobe")
    at_return = hook.kind is HookKind.RETURN
    return _either(
        _all([listed, _in_btf(facts, name), _way(facts, Way.FENTRY)]),
        "fexit" if at_return else "fentry",
        by_kprobe,
        "kretprobe" if at_return else "kprobe",
    )


def _either(first: Verdict, first_way: str, second: Verdict, second_way: str) -> Verdict:
    for verdict, way in ((first, first_way), (second, second_way)):
        if verdict.holds:
            return Verdict(holds=True, way=way)
    open_ways = [
        (verdict, way) for verdict, way in ((first, first_way), (second, second_way)) if verdict.holds is None
    ]
    if open_ways:
        return Verdict(
            holds=None,
            reason=open_ways[0][0].reason,
            remedy=open_ways[0][0].remedy,
            way=_OR.join(way for _, way in open_ways),
        )
    reasons = dict.fromkeys([first.reason, second.reason])
    remedies = dict.fromkeys(remedy for remedy in (first.remedy, second.remedy) if remedy)
    return Verdict(holds=False, reason="; ".join(reasons), remedy=", or ".join(remedies) or None)


def _traceable(facts: KernelFacts, name: str) -> Verdict:
    listed = facts.symbol(name).traceable
    if listed:
        return _YES
    if listed is False:
        return Verdict(
            holds=False,
            reason=f"{name} is not traceable",
            remedy=f"a kernel with CONFIG_{_NOTRACE_KPROBES}=y, where a kprobe may go there",
        )
    why = facts.unseen.get("ftrace", "not looked at")
    return Verdict(holds=None, reason=f"whether {name} is traceable is unknown ({why})")


def _kprobe_listed(facts: KernelFacts, listed: Verdict) -> Verdict:
    """Kprobe events refuse notrace functions unless the kernel was built to allow them."""
    return _YES if (facts.config or {}).get(_NOTRACE_KPROBES) == "y" else listed


def _in_btf(facts: KernelFacts, name: str) -> Verdict:
    there = facts.symbol(name).btf
    if there:
        return _YES
    if there is False:
        return Verdict(holds=False, reason=f"BTF has no function {name}")
    why = facts.unseen.get("btf", "not looked at")
    return Verdict(holds=None, reason=f"whether BTF has {name} is unknown ({why})")


def _not_blacklisted(facts: KernelFacts, name: str) -> Verdict:
    refused = facts.symbol(name).blacklisted
    if refused:
        return Verdict(holds=False, reason=f"{name} is on the kprobe blacklist")
    if refused is False:
        return _YES
    why = facts.unseen.get("blacklist", "not looked at")
    return Verdict(holds=None, reason=f"whether {name} is on the kprobe blacklist is unknown ({why})")

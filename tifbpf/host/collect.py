"""The facts of the running kernel, from every source that will talk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from tifbpf.errors import NoLibbpfError, NoTypesError
from tifbpf.host import config, ftrace, kallsyms, lockdown, privileges, trials
from tifbpf.host.btf import KernelTypes
from tifbpf.host.facts import Interest, KernelFacts, SymbolFacts
from tifbpf.host.kallsyms import Place, Symbols
from tifbpf.host.text import KernelText, called_by, cold

OPTIONS = (
    "BPF_JIT",
    "BPF_SYSCALL",
    "DEBUG_INFO_BTF",
    "DYNAMIC_FTRACE",
    "FUNCTION_TRACER",
    "FTRACE_SYSCALLS",
    "HAVE_SYSCALL_TRACEPOINTS",
    "IKHEADERS",
    "KPROBES",
    "KPROBE_EVENTS_ON_NOTRACE",
    "LIVEPATCH",
    "PREEMPT_LAZY",
    "PREEMPT_RT",
    "RSEQ",
    "UPROBES",
    "USER_RETURN_NOTIFIER",
)
"""The configuration options that bear on routes and on which bits there are."""


def names(interest: Interest) -> frozenset[str]:
    """Return the symbols that `collect` looks for."""
    callers = {part for names in interest.callers.values() for name in names for part in (name, cold(name))}
    return interest.functions.union(callers, {trials.HARMLESS}, _signs(interest.events))


def collect(interest: Interest, symbols: Symbols | None = None) -> KernelFacts:
    """Look at the running kernel; a few hundred milliseconds, and nothing stays behind.

    Never fails for want of a source: what it could not see is None, with the reason in `unseen`.

    Args:
        interest: what to look for.
        symbols: what kallsyms has of `names(interest)`; None: it is read here.
    """
    unseen: dict[str, str] = {}
    symbols = symbols or kallsyms.find(names(interest))
    if symbols.reason:
        unseen["kallsyms"] = symbols.reason
    locked = lockdown.read()
    rights = privileges.read()
    explain = trials.explainer(rights, locked)
    built = config.read()
    if built is None:
        unseen["config"] = "no configuration of this build found in /proc, /boot or /lib/modules"
    host = os.uname()
    return KernelFacts(
        provenance="the running kernel",
        release=host.release,
        version=host.version,
        privileges=rights,
        lockdown=locked,
        symbols=_symbols(interest, symbols, unseen),
        events=_events(interest, symbols, unseen),
        ways=trials.ways(symbols.places or {}, explain),
        config=None
        if built is None
        else {name: built.options[name] for name in OPTIONS if name in built.options},
        config_source=None if built is None else built.source,
        program_types=trials.program_types(explain),
        unseen=unseen,
    )


def _symbols(interest: Interest, symbols: Symbols, unseen: dict[str, str]) -> dict[str, SymbolFacts]:
    if symbols.places is None:
        return {}
    places = symbols.places
    there = interest.functions & places.keys()
    traceable = ftrace.traceable(there)
    blacklisted = ftrace.blacklisted(there)
    for source, listing in (("ftrace", traceable), ("blacklist", blacklisted)):
        if listing.reason:
            unseen[source] = listing.reason
    in_btf = _in_btf(there, unseen)
    called = _called(interest, places, unseen)
    found = {
        name: SymbolFacts(
            present=True,
            traceable=None if traceable.names is None else name in traceable.names,
            blacklisted=None if blacklisted.names is None else name in blacklisted.names,
            btf=None if in_btf is None else name in in_btf,
            called_by=called.get(name),
        )
        for name in sorted(there)
    }
    return found | {name: SymbolFacts(present=False) for name in sorted(interest.functions - there)}


def _in_btf(names: frozenset[str], unseen: dict[str, str]) -> frozenset[str] | None:
    try:
        with KernelTypes() as types:
            return frozenset(name for name in names if types.function_id(name) is not None)
    except (NoTypesError, NoLibbpfError) as error:
        unseen["btf"] = str(error)
        return None


def _called(
    interest: Interest, places: Mapping[str, Place], unseen: dict[str, str]
) -> dict[str, dict[str, bool]]:
    """Return for each function whose callers matter which of them call it; without it, that is not known."""
    asked = {name: callers for name, callers in interest.callers.items() if name in places}
    if not asked:
        return {}
    if any(not places[name].address for name in asked):
        unseen["text"] = unseen.get("kallsyms", "no addresses")
        return {}
    try:
        with KernelText() as text:
            return {
                name: called_by(text, places[name], sorted(callers), places)
                for name, callers in asked.items()
            }
    except (OSError, NoLibbpfError) as error:
        unseen["text"] = f"the kernel's text cannot be read: {getattr(error, 'strerror', None) or error}"
        return {}


def _signs(events: Iterable[str]) -> dict[str, str]:
    """Return symbols that only a kernel with the tracepoint has, each with its event.

    __traceiter_ came with Linux 5.10, __bpf_trace_ is BPF's own; a tracepoint that shares a class has only
    the first.
    """
    return {
        prefix + event.partition(":")[2]: event
        for event in events
        for prefix in ("__traceiter_", "__bpf_trace_")
    }


def _events(interest: Interest, symbols: Symbols, unseen: dict[str, str]) -> dict[str, bool]:
    listing = ftrace.events(interest.events)
    signs = _signs(interest.events)
    declared = {signs[name] for name in signs.keys() & (symbols.places or {}).keys()}
    if listing.names is not None:
        # A bare tracepoint (DECLARE_TRACE) has no directory in tracefs.
        return {name: name in listing.names | declared for name in sorted(interest.events)}
    unseen["events"] = listing.reason or "not readable"
    # Without tracefs, kallsyms can say yes; it cannot say no.
    return dict.fromkeys(sorted(declared), True)

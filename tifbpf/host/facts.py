"""What one kernel offers, as data: written by `collect`, read back from JSON for kernels that are elsewhere.

Three answers everywhere: yes, no, and None for "could not be seen", with the reason.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tifbpf.host.privileges import Privileges


class Way(StrEnum):
    """A way to attach, tried as a whole: whether it works here at all, not at one place."""

    FENTRY = "fentry"
    """BPF trampolines at a traceable function's entry or return."""
    KPROBE = "kprobe"
    BREAKPOINT = "breakpoint"
    """A hardware execution breakpoint in kernel text, by perf_event_open(2)."""
    RAW_TRACEPOINT = "raw_tracepoint"


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The kernel's answer to a trial."""

    answer: bool | None
    """None: it could not be tried."""
    said: str = ""
    """What the kernel said, or why it was not asked."""
    remedy: str | None = None
    """What would change the answer."""


class SymbolFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One function."""

    present: bool | None = None
    """In kallsyms: the compiler emitted it under this very name."""
    traceable: bool | None = None
    """In available_filter_functions."""
    blacklisted: bool | None = None
    """On the kprobe blacklist."""
    btf: bool | None = None
    """BTF has it, which fentry needs."""
    called_by: dict[str, bool] | None = None
    """Function to whether its machine code calls this one. False: it has its own inlined copy, or none."""


class Interest(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for; kernels have too much to write it all down."""

    functions: frozenset[str]
    callers: dict[str, frozenset[str]]
    """Function to the functions that may call it."""
    events: frozenset[str]
    """Trace events, `system:event`."""


class KernelFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one kernel offers. `unseen` says why a source is silent: kallsyms, ftrace, blacklist, btf, ..."""

    provenance: str
    release: str
    version: str = ""
    privileges: Privileges | None = None
    lockdown: Finding | None = None
    """Whether it is on; `said` is the mode."""
    symbols: dict[str, SymbolFacts] = {}
    events: dict[str, bool] = {}
    ways: dict[Way, Finding] = {}
    config: dict[str, str] | None = None
    """Options of interest that are set, without `CONFIG_`; None if no configuration was found."""
    config_source: str | None = None
    program_types: dict[str, Finding] = {}
    unseen: dict[str, str] = {}

    def symbol(self, name: str) -> SymbolFacts:
        """Return what is known of a function; nothing, if it was not looked for."""
        return self.symbols.get(name, SymbolFacts())

    def way(self, way: Way) -> Finding:
        """Return whether a way to attach works."""
        return self.ways.get(way, Finding(answer=None, said="not tried"))

"""What is known of a running kernel, and which eras each fact leaves possible (data/evidence.toml)."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path

import msgspec

from tifbpf.layouts import catalogue, releases
from tifbpf.layouts.releases import Release
from tifbpf.layouts.tested import Tested

_DATA = Path(__file__).with_name("data") / "evidence.toml"
_DEBIAN = re.compile(r"\bDebian (\d+\.\d+\.\d+)")
_RT = re.compile(r"\bPREEMPT[_ ]RT\b")


class LayoutFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the layout of a running kernel is established from. None: it could not be looked at."""

    release: str
    """`uname -r`."""
    version: str = ""
    """`uname -v`."""
    config: Mapping[str, str] | None = None
    """All options that are set, without `CONFIG_`. An option that is missing is off."""
    headers: Path | None = None
    """The headers of this very build, or those that the user says are."""
    syscall_work_bits: Mapping[str, int] | None = None
    """BTF: `enum syscall_work_bit`; None too where BTF has no such enum."""
    thread_info_members: Mapping[str, int] | None = None
    """BTF: the members of `struct thread_info` and their offsets in bytes."""
    task_struct_members: frozenset[str] | None = None
    """BTF: the members of `struct task_struct`."""
    symbols: frozenset[str] | None = None
    """Functions seen in kallsyms; it need not be all of them."""
    trace_flags: frozenset[str] | None = None
    """BTF: the enumerators of `enum trace_flag_type`."""
    tested: Tested | None = None
    """The masks in its machine code."""

    @property
    def upstream(self) -> Release:
        """The release, with the patch level from `uname -v` where `uname -r` has none (Debian)."""
        release = releases.parse(self.release)
        if release.patch is None and (found := _DEBIAN.search(self.version)):
            stated = releases.parse(found.group(1))
            if stated.line == release.line:
                release = msgspec.structs.replace(release, patch=stated.patch)
        return msgspec.structs.replace(release, rt=release.rt or self.preempt_rt)

    @property
    def preempt_rt(self) -> bool:
        """Whether it is built with PREEMPT_RT."""
        return bool(_RT.search(self.version)) or (self.config or {}).get("PREEMPT_RT") == "y"

    @property
    def silent(self) -> bool:
        """Whether there is nothing but the release and the version string."""
        seen = (self.config, self.syscall_work_bits, self.thread_info_members, self.task_struct_members)
        masks = self.tested.masks or None if self.tested else None
        return all(source is None for source in (*seen, self.symbols, self.trace_flags, masks))


class Kind(StrEnum):
    """Where a fact is looked for."""

    CONFIG = "config"
    THREAD_INFO = "thread_info"
    TASK_STRUCT = "task_struct"
    SYMBOL = "symbol"
    TRACE_FLAG = "trace_flag"

    def holds(self, facts: LayoutFacts, name: str) -> bool | None:
        """Whether `facts` have it; None where that cannot be told."""
        seen: Iterable[str] | None
        match self:
            case Kind.CONFIG:
                if facts.config is None:
                    return None
                return facts.config.get(name) in ("y", "m")
            case Kind.THREAD_INFO:
                seen = facts.thread_info_members
            case Kind.TASK_STRUCT:
                seen = facts.task_struct_members
            case Kind.SYMBOL:
                return True if name in (facts.symbols or ()) else None
            case Kind.TRACE_FLAG:
                seen = facts.trace_flags
        return None if seen is None else name in seen

    def says(self, name: str, present: bool) -> str:
        """Return the fact as words."""
        match self:
            case Kind.CONFIG:
                return f"CONFIG_{name} is {'set' if present else 'not set'}"
            case Kind.SYMBOL:
                return f"the kernel has {name}()"
            case Kind.TRACE_FLAG:
                return f"enum trace_flag_type has {'a' if present else 'no'} {name}"
            case _:
                return f"struct {self} has {'a' if present else 'no'} member {name}"

    @property
    def origin(self) -> str:
        """Where it was looked for, as words."""
        return {Kind.CONFIG: "kernel configuration", Kind.SYMBOL: "kallsyms"}.get(self, "BTF")


class Fact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of data/evidence.toml, which says what the fields mean."""

    kind: Kind
    name: str
    source: str
    eras: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    always: tuple[str, ...] = ()
    given: str | None = None

    @property
    def possible(self) -> frozenset[str]:
        """The eras that can have it."""
        if self.eras:
            return frozenset(self.eras)
        names = catalogue.names()
        first = names.index(self.since) if self.since else 0
        last = names.index(self.until) if self.until else len(names) - 1
        return frozenset(names[first : last + 1])

    @property
    def necessary(self) -> frozenset[str]:
        """The eras that cannot be without it."""
        return self.possible if self.always == ("*",) else frozenset(self.always)

    def excluded(self, facts: LayoutFacts) -> tuple[bool, frozenset[str]] | None:
        """Return whether the kernel has it, and the eras that this rules out; None where it tells nothing."""
        present = self.kind.holds(facts, self.name)
        if present is None:
            return None
        if present:
            return True, frozenset(catalogue.names()) - self.possible
        if not self.always or (self.given and not self.kind.holds(facts, self.given)):
            return None
        return False, self.necessary


def symbols() -> frozenset[str]:
    """Return the functions that the table asks for."""
    return frozenset(fact.name for fact in table() if fact.kind is Kind.SYMBOL)


@functools.cache
def table() -> tuple[Fact, ...]:
    """Return the facts that tell eras apart."""

    class _File(msgspec.Struct, forbid_unknown_fields=True):
        facts: tuple[Fact, ...]

    return msgspec.toml.decode(_DATA.read_bytes(), type=_File).facts

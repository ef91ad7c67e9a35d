"""Which code sets a bit in which era (data/set_by.toml)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tifbpf.layouts.spans import Span

_DATA = Path(__file__).with_name("data") / "set_by.toml"


class SetBy(Span, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who sets one bit in some eras."""

    bit: str
    """The kernel's name without its prefix; in whichever word the era has it."""
    functions: tuple[str, ...]
    """The functions that set it; () where nobody does."""
    source: str
    read: tuple[str, ...]
    """The releases in which they were seen."""
    config: tuple[str, ...] = ()
    """Options, without `CONFIG_`, one of which must be on for the code to be built; () for none."""

    def built(self, config: Mapping[str, str] | None) -> bool | None:
        """Whether the code is part of a kernel with these options; None where they are not known."""
        if not self.config:
            return True
        if config is None:
            return None
        return any(config.get(option) in ("y", "m") for option in self.config)

    @property
    def provenance(self) -> str:
        """Where the functions were seen, as words."""
        return f"{self.source}; read in {', '.join(self.read)}"


class _Tree(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    release: str
    origin: str


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    trees: tuple[_Tree, ...]
    set_by: tuple[SetBy, ...]


@functools.cache
def _file() -> _File:
    return msgspec.toml.decode(_DATA.read_bytes(), type=_File)


def entries() -> tuple[SetBy, ...]:
    """Return all entries."""
    return _file().set_by


def trees() -> dict[str, str]:
    """Return the releases that were searched, and where each came from."""
    return {tree.release: tree.origin for tree in _file().trees}


def of(bit: str, era: str) -> SetBy | None:
    """Return who sets `bit` in the era of that name; None where it is not known."""
    return next((entry for entry in entries() if entry.bit == bit and entry.covers(era)), None)

"""Probable causes of slow exits, as data (causes.toml)."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path

import msgspec

_DATA = Path(__file__).with_name("causes.toml")


class Cause(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why exits may have carried a bit; the first whose conditions hold is meant."""

    bit: str
    """By its kernel name, in whichever word it is."""
    handler: str | None = None
    """The function that must have had most of the bit's work."""
    syscalls: frozenset[str] = frozenset()
    """Most of the exits must be from one of these; from any, where it is empty."""
    contexts: frozenset[str] = frozenset()
    text: str
    check: str
    """What to look at on the host."""
    source: str
    """Where it was read, and how it was tried."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cause: tuple[Cause, ...]


@functools.cache
def known() -> tuple[Cause, ...]:
    """Return all causes, in their order."""
    return msgspec.toml.decode(_DATA.read_bytes(), type=_File).cause


def of(bit: str, *, syscall: str | None, context: str | None, handlers: Iterable[str]) -> Cause | None:
    """Return the first cause that fits, None where none is known.

    Args:
        bit: its kernel name.
        syscall: where most of the exits were from; None if they were from several, or it is not known.
        context: likewise.
        handlers: those that had most of the bit's work; empty where it was not recorded.
    """
    working = set(handlers)
    for cause in known():
        if (
            cause.bit == bit
            and (cause.handler is None or cause.handler in working)
            and (not cause.syscalls or syscall in cause.syscalls)
            and (not cause.contexts or context in cause.contexts)
        ):
            return cause
    return None

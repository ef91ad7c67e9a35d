"""The probes that this tifbpf has: for a route, its source in probes/ and what of it goes where."""

from __future__ import annotations

import msgspec

from tifbpf.layouts.model import Context


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """One hook of a probe."""

    context: Context
    tracepoint: str
    record: str
    """The program that counts."""
    check: str
    """The program that shows every exit of one process."""


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """A source file of probes/ and its programs."""

    source: str
    attachments: tuple[Attachment, ...]
    sets_bit: str | None = None
    """A bit that attaching sets in every task, so that it is no exit's own."""


PROBES = {
    "tracepoint": Probe(
        source="tracepoint.c",
        attachments=(
            Attachment(
                context=Context.SYSCALL, tracepoint="sys_exit", record="record_syscall", check="check_syscall"
            ),
        ),
        sets_bit="SYSCALL_TRACEPOINT",
    )
}

PROGRAM_TYPE = "RAW_TRACEPOINT"

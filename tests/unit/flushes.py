"""Intervals as the recorder hands them on, without a recorder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.unit.recordings import SECOND_NS, START_NS, metadata
from tifbpf.layouts.model import Context
from tifbpf.recorder.session import Flush
from tifbpf.recording.exits import ExitClass, ExitClasses

SIGPENDING, NOTIFY_RESUME, NEED_RESCHED = 0x2, 0x1, 0x10
SYSCALL_TRACE = 0x4


def exits(
    word: int | None, count: int, *, syscall_work: int | None = 0, context: str = "syscall", **given: Any
) -> ExitClass:
    """One class; what the words mean is in recordings.layout_618."""
    defaults: dict[str, Any] = {"comm": "make", "pid": 100}
    if context == "syscall":
        defaults |= {"syscall": 39, "abi": "x86-64"}
    work = None if word is None else syscall_work
    return ExitClass(
        context=Context(context), word=word, syscall_work=work, count=count, **{**defaults, **given}
    )


def flush(rows: Iterable[ExitClass], *, seconds: float = 1.0, every: int = 1, **given: Any) -> Flush:
    return Flush(
        rows=ExitClasses.of(rows),
        start_ns=START_NS,
        interval_ns=round(seconds * SECOND_NS),
        every=every,
        metadata=metadata(**{"dimensions": ("syscall", "comm", "pid"), **given}),
    )

"""Bits that a tracer set: ours, which is taken out of the words, and somebody else's, which counts."""

from __future__ import annotations

import os

from tifbpf.host import tracers
from tifbpf.layouts.model import Bit
from tifbpf.recording.metadata import ObserverEffect


def ours(bit: Bit) -> ObserverEffect:
    """Return the effect of our own hook."""
    return ObserverEffect(
        word=bit.word,
        bit=bit.name,
        ours=True,
        text=(
            f"Our own hook sets {bit.name} on every task: while it is attached, every system call takes the "
            "syscall-work slowpath. The bit is taken out of the words and of the slow count."
        ),
    )


def not_only_ours(bit: Bit) -> ObserverEffect:
    """Return the effect of tracers that were there before us, by name where they can be found."""
    found = tracers.find()
    # We are attached by now, and found as well.
    names = sorted({_name(tracer) for tracer in found.found if tracer.pid not in (None, os.getpid())})
    events = sorted({tracer.hook for tracer in found.found if tracer.pid is None})
    who = ", ".join([*names, *(f"trace event {event}" for event in events)]) or "somebody who was not found"
    return ObserverEffect(
        word=bit.word,
        bit=bit.name,
        ours=False,
        text=(
            f"{bit.name} was set before we attached, by {who}: every system call takes the syscall-work "
            "slowpath for it, without us too, so it counts."
        ),
    )


def still_set(bit: Bit) -> ObserverEffect:
    """Return the effect of a tracer that came while we recorded."""
    return ObserverEffect(
        word=bit.word,
        bit=bit.name,
        ours=False,
        text=(
            f"{bit.name} is still set after we detached: somebody else began to trace system calls during "
            "the recording. Its exits cannot be told from ours, and are not in the slow count."
        ),
    )


def _name(tracer: tracers.Tracer) -> str:
    return f"{tracer.comm or '?'} (pid {tracer.pid})"

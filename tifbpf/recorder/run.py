"""The time between attaching and the end: intervals, signals, CMD."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType

import msgspec

from tifbpf.recorder.pace import Pace, Steady
from tifbpf.recorder.session import Flush, Session
from tifbpf.recorder.workload import Workload

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a recording ended."""

    reason: str
    """`duration`, `command`, `--fail-on`, or the signal's name."""
    complete: bool
    """False where a signal or `--fail-fast` cut short what had been asked for."""
    exit_code: int
    """CMD's, 128 + n after signal n, else 0."""


@contextlib.contextmanager
def signals_kept() -> Iterator[None]:
    """Keep the signals that end a recording until `run` asks for them, so that none cuts a write in half."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_ENDING, signal.SIGCHLD})
    try:
        # SIGCHLD is ignored by default, and an ignored signal wakes nobody.
        previous = signal.signal(signal.SIGCHLD, _nothing)
        yield
    finally:
        signal.signal(signal.SIGCHLD, previous)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _nothing(number: int, frame: FrameType | None) -> None:
    pass


def run(
    session: Session,
    *,
    interval_ns: int,
    pace: Callable[[], Pace] | None = None,
    duration_ns: int | None = None,
    workload: Workload | None = None,
    on_begin: Callable[[], None],
    on_flush: Callable[[Flush], Ending | None],
) -> Ending:
    """Record until the time is over, CMD has ended, or a signal comes; call within `signals_kept`.

    Args:
        session: entered, not begun.
        interval_ns: how often to flush.
        pace: makes what says when instead, once `session` has begun.
        duration_ns: how long; None: until CMD ends, or a signal comes.
        workload: CMD, not yet started.
        on_begin: called when exits count, and not before: whoever waits for it may start what it measures.
        on_flush: gets every interval but the last, which `session.finish` returns; ends the recording where
            it returns how.

    Raises:
        CommandNotFoundError, CommandNotExecutableError: CMD cannot be started.
    """
    session.begin()
    steps = Steady(session, interval_ns) if pace is None else pace()
    on_begin()
    if workload is not None:
        workload.start()
    began = time.monotonic_ns()
    end = None if duration_ns is None else began + duration_ns
    while True:
        wake = steps.due_ns if end is None else min(steps.due_ns, end)
        got = signal.sigtimedwait({*_ENDING, signal.SIGCHLD}, max(wake - time.monotonic_ns(), 0) / 1e9)
        if got is not None and got.si_signo in _ENDING:
            number = signal.Signals(got.si_signo)
            # Ctrl-C is how a recording without an end of its own is ended.
            asked_for = number is signal.SIGINT and end is None and workload is None
            return Ending(reason=number.name, complete=asked_for, exit_code=0 if asked_for else 128 + number)
        if workload is not None and (code := workload.exit_code()) is not None:
            return Ending(reason="command", complete=True, exit_code=code)
        now = time.monotonic_ns()
        if end is not None and now >= end:
            return Ending(reason="duration", complete=True, exit_code=0)
        if now >= steps.due_ns:
            flush = steps.act()
            if flush is not None and (ending := on_flush(flush)) is not None:
                return ending

"""The main job: a session, its intervals, and the recording that they become."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from tifbpf.errors import ReadFailedError
from tifbpf.host import bcc, privileges
from tifbpf.recorder import workload
from tifbpf.recorder.guard import Guard
from tifbpf.recorder.options import Options
from tifbpf.recorder.overhead import Bounded
from tifbpf.recorder.pace import Pace, Steady, Windows
from tifbpf.recorder.run import Ending, run, signals_kept
from tifbpf.recorder.session import Flush, Session
from tifbpf.recorder.tally import Tally
from tifbpf.recording.metadata import Metadata
from tifbpf.recording.process import start_time
from tifbpf.recording.writer import RecordingWriter


def record(
    options: Options,
    *,
    output: Path,
    force: bool = False,
    duration_ns: int | None = None,
    command: Sequence[str] = (),
    only_command: bool = False,
    guard: Guard | None = None,
    on_attached: Callable[[Metadata], None] | None = None,
    on_begin: Callable[[], None] = lambda: None,
    on_progress: Callable[[Tally], None] = lambda tally: None,
    on_step: Callable[[str], None] = lambda text: None,
) -> tuple[Ending, Tally]:
    """Record into `output`.

    Args:
        options: what to record.
        output: the recording; its segments are kept beside it until it is complete.
        force: overwrite it.
        duration_ns: how long; None: until CMD ends or a signal comes.
        command: CMD and its arguments, run while recording.
        only_command: record CMD and its children (and `options.filters.pids`), not the host.
        guard: sees every interval, and may end the recording.
        on_attached: called once before that, with what the recording will say about its layout and routes.
        on_begin: called once, when exits begin to count.
        on_progress: called after every interval.
        on_step: told when `--max-overhead` changes how much is recorded, and why.

    Raises:
        TifbpfError: whatever a user or a host can cause. What was recorded until then is kept.
    """
    privileges.require()
    bcc.find()
    if command:
        workload.find(command)
    writer = RecordingWriter(output, force=force)
    tally = Tally()
    with contextlib.ExitStack() as stack:
        stack.callback(writer.abandon)
        child = None
        if command:
            child = workload.Workload(command)
            stack.callback(child.stop)
            if only_command:
                filters = msgspec.structs.replace(options.filters, pids=(*options.filters.pids, child.pid))
                options = msgspec.structs.replace(options, filters=filters)
        session = stack.enter_context(Session(options))
        if on_attached is not None:
            on_attached(session.metadata())
        if guard is not None:
            guard.begin(session.metadata())
        kept = session.metadata()
        identity = (os.getpid(), start_time(os.getpid()) or 0)

        def keep(flush: Flush) -> Ending | None:
            nonlocal kept
            writer.flush(
                flush.rows,
                start_ns=flush.start_ns,
                interval_ns=flush.interval_ns,
                metadata=flush.metadata,
                recorder=identity,
                every=flush.every,
            )
            kept = flush.metadata
            tally.add(flush)
            on_progress(tally)
            return guard.add(flush) if guard is not None else None

        stack.enter_context(signals_kept())
        try:
            ending = run(
                session,
                interval_ns=options.interval_ns,
                pace=lambda: _pace(session, options, on_step),
                duration_ns=duration_ns,
                workload=child,
                on_begin=on_begin,
                on_flush=keep,
            )
            last = session.finish()
        except ReadFailedError as error:
            if writer.has_flushed:
                writer.finish(msgspec.structs.replace(kept, complete=False, ended=f"error: {error}"))
            raise
        keep(last)
        writer.finish(msgspec.structs.replace(last.metadata, complete=ending.complete, ended=ending.reason))
    return ending, tally


def _pace(session: Session, options: Options, tell: Callable[[str], None]) -> Pace:
    if options.max_overhead is not None:
        return Bounded(session, options.interval_ns, options.every, options.max_overhead, tell)
    if options.every > 1:
        return Windows(session, options.interval_ns, options.every)
    return Steady(session, options.interval_ns)

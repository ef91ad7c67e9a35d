"""The main job: a session, its intervals, and the recording that they become."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from tifbpf.errors import ReadFailedError
from tifbpf.host import bcc, privileges, unprivileged
from tifbpf.recorder import arrow, memory, workload
from tifbpf.recorder.bpf import Descriptor, enable_run_times
from tifbpf.recorder.drop import drop
from tifbpf.recorder.guard import Guard
from tifbpf.recorder.keeper import Keeper
from tifbpf.recorder.options import Options
from tifbpf.recorder.overhead import Bounded
from tifbpf.recorder.pace import Pace, Steady, Windows
from tifbpf.recorder.run import Ending, run, signals_kept
from tifbpf.recorder.session import Flush, Session
from tifbpf.recorder.tally import Tally
from tifbpf.recording.metadata import Metadata
from tifbpf.recording.process import start_time
from tifbpf.recording.writer import RecordingWriter, UnnamedWriter


def record(
    options: Options,
    *,
    output: Path | BinaryIO,
    force: bool = False,
    duration_ns: int | None = None,
    command: Sequence[str] = (),
    only_command: bool = False,
    guard: Guard | None = None,
    on_attached: Callable[[Metadata], None] | None = None,
    on_dropped: Callable[[str], None] = lambda standing: None,
    on_begin: Callable[[], None] = lambda: None,
    on_progress: Callable[[Tally], None] = lambda tally: None,
    on_step: Callable[[str], None] = lambda text: None,
) -> tuple[Ending, Tally]:
    """Record into `output`; what this process is allowed, it is not any more afterwards.

    Args:
        options: what to record.
        output: the recording; its segments are kept beside it until it is complete. Or a file that has no
            name, of which nothing can be read before that.
        force: overwrite it.
        duration_ns: how long; None: until CMD ends or a signal comes.
        command: CMD and its arguments, run while recording.
        only_command: record CMD and its children (and `options.filters.pids`), not the host.
        guard: sees every interval, and may end the recording.
        on_attached: called once before that, with what the recording will say about its layout and routes.
        on_dropped: called once after that, with what the recorder may do from then on.
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
    named = RecordingWriter(output, force=force) if isinstance(output, Path) else None
    writer = named or UnnamedWriter(cast("BinaryIO", output))
    tally = Tally()
    with contextlib.ExitStack() as stack:
        keeper = stack.enter_context(Keeper())
        stack.callback(writer.abandon)
        child = None
        if command:
            child = workload.Workload(command)
            stack.callback(child.stop)
            if only_command:
                filters = msgspec.structs.replace(options.filters, pids=(*options.filters.pids, child.pid))
                options = msgspec.structs.replace(options, filters=filters)
        account = unprivileged.whom(os.environ)
        if account != unprivileged.ourselves():
            keeper.begin(
                named.place if named else None,
                command=child.pid if child else None,
                run_times=options.max_overhead is not None,
            )
        session = stack.enter_context(Session(options, meanwhile=arrow.load))
        if on_attached is not None:
            on_attached(session.metadata())
        if guard is not None:
            guard.begin(session.metadata())
        if named is not None:
            named.place.give_to(*account)
        on_dropped(drop(session, account))
        _hand_over(keeper, named, child)
        run_times = keeper.enable_run_times if keeper.process is not None else enable_run_times
        kept = attached = session.metadata()
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
            if kept is attached:
                memory.give_back()
            kept = flush.metadata
            tally.add(flush)
            on_progress(tally)
            return guard.add(flush) if guard is not None else None

        stack.enter_context(signals_kept())
        try:
            ending = run(
                session,
                interval_ns=options.interval_ns,
                pace=lambda: _pace(session, options, on_step, run_times),
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


def _pace(
    session: Session, options: Options, tell: Callable[[str], None], run_times: Callable[[], Descriptor]
) -> Pace:
    if options.max_overhead is not None:
        return Bounded(session, options.interval_ns, options.every, options.max_overhead, tell, run_times)
    if options.every > 1:
        return Windows(session, options.interval_ns, options.every)
    return Steady(session, options.interval_ns)


def _hand_over(keeper: Keeper, writer: RecordingWriter | None, child: workload.Workload | None) -> None:
    """Leave to `keeper` what this process may not do any more; end it if there is nothing."""
    if keeper.process is None:
        return
    needed = child is not None or keeper.takes_run_times
    if child is not None:
        child.terminate = keeper.terminate
    if writer is not None and not writer.place.is_ours():
        writer.publish, writer.remove_directory = keeper.publish, keeper.remove_directory
    elif not needed:
        keeper.close()

"""One recording, from the first look at the host to the last exit."""

from __future__ import annotations

import os
import socket
import time
import uuid
from types import TracebackType
from typing import Self

import msgspec

import tifbpf
from tifbpf.layouts.model import Context, Word
from tifbpf.recorder import check, effects, layout
from tifbpf.recorder.coverage import coverage
from tifbpf.recorder.drain import Interval
from tifbpf.recorder.instrument import Instrument, Words
from tifbpf.recorder.options import Options
from tifbpf.recorder.probes import PROBES
from tifbpf.recorder.rows import RowMaker
from tifbpf.recording.metadata import Host, Kernel, Losses, Metadata, ObserverEffect, Totals
from tifbpf.recording.writer import ExitClass
from tifbpf.routes.choose import choose


class Flush(msgspec.Struct, frozen=True, kw_only=True):
    """One interval, ready for the writer."""

    rows: list[ExitClass]
    start_ns: int
    """Since the epoch."""
    interval_ns: int
    metadata: Metadata
    """Of the recording so far."""


class Session:
    """An attached recorder: a context manager that leaves nothing attached.

    Entering it finds the layout and the route, loads the programs, checks both by known acts, and attaches.
    Exits count from `begin` on.

    Raises (on entering):
        TifbpfError: whatever this host lacks or refuses, or how it contradicts its layout.
    """

    def __init__(self, options: Options) -> None:
        """Take the options; nothing happens before the `with`."""
        self._options = options
        self._id = str(uuid.uuid4())
        self._totals = Totals()
        self._began_ns = self._last_ns = self._epoch_ns = 0

    def __enter__(self) -> Self:
        options = self._options
        facts = layout.host_facts()
        established = layout.establish_running(options.headers, facts)
        self.layout = established.layout
        plan = choose(facts, options.route)
        plan.require()
        # One probe covers all that this tifbpf covers; the plan leaves the other contexts uncovered.
        probe = PROBES[str(plan.covered[0].route)]
        self._tracer_bit = self.layout.named(probe.sets_bit) if probe.sets_bit else None
        own_bit = Words.of(self._tracer_bit) if self._tracer_bit else Words()
        self._instrument = Instrument(
            probe,
            own_bit=own_bit,
            dimensions=options.dimensions,
            filters=options.filters,
            max_classes=options.max_classes,
        )
        try:
            before = self._instrument.own_words()
            self._somebody_elses = bool(before and before[0] & own_bit)
            self._effects = self._observer_effects()
            self._instrument.collector.leave_out(before[1] if before else os.getpid())
            with self._instrument.watching() as window:
                checked = check.check(window, self.layout)
            self._evidence = (*established.evidence, *checked.evidence)
            self._coverage = coverage(plan, {Context.SYSCALL: checked.self_tests})
            self._instrument.attach()
        except BaseException:
            self._instrument.close()
            raise
        self._rows = RowMaker(
            cgroups="cgroup" in options.dimensions,
            syscall_work=any(bit.word is Word.SYSCALL_WORK for bit in self.layout.bits),
            # Somebody else's bit was there before ours, makes exits slow without us, and counts.
            ours=Words() if self._somebody_elses else own_bit,
        )
        return self

    def _observer_effects(self) -> tuple[ObserverEffect, ...]:
        if self._tracer_bit is None:
            return ()
        if self._somebody_elses:
            return (effects.not_only_ours(self._tracer_bit),)
        return (effects.ours(self._tracer_bit),)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._instrument.close()

    def begin(self) -> None:
        """Forget what was seen so far, and start the clock."""
        self._last_ns = self._began_ns = self._instrument.collector.take().flipped_ns
        self._epoch_ns = time.time_ns() - (time.monotonic_ns() - self._began_ns)

    def flush(self) -> Flush:
        """Return everything that was seen since the last call or `begin`."""
        interval = self._instrument.collector.take()
        self._add(interval)
        start_ns = self._epoch_ns + self._last_ns - self._began_ns
        length_ns = interval.flipped_ns - self._last_ns
        self._last_ns = interval.flipped_ns
        return Flush(
            rows=self._rows.rows(interval),
            start_ns=start_ns,
            interval_ns=length_ns,
            metadata=self._metadata(),
        )

    def finish(self) -> Flush:
        """Detach, and return what was seen until then."""
        self._instrument.detach()
        after = self._instrument.own_words()
        if self._tracer_bit and not self._somebody_elses and after and after[0] & Words.of(self._tracer_bit):
            self._effects += (effects.still_set(self._tracer_bit),)
        return self.flush()

    def _add(self, interval: Interval) -> None:
        losses = self._totals.losses
        self._totals = Totals(
            seen=self._totals.seen + interval.seen,
            recorded=self._totals.recorded + interval.recorded,
            filtered=self._totals.filtered + interval.filtered,
            not_followed=self._instrument.not_followed(),
            losses=Losses(
                map_full=losses.map_full + interval.map_full,
                read_failed=losses.read_failed + interval.read_failed,
                recursion=losses.recursion + interval.recursion,
            ),
        )

    def _metadata(self) -> Metadata:
        uname = os.uname()
        return Metadata(
            tifbpf=tifbpf.__version__,
            id=self._id,
            host=Host(name=socket.gethostname(), cpus=os.sysconf("SC_NPROCESSORS_ONLN")),
            kernel=Kernel(release=uname.release, version=uname.version),
            layout=self.layout,
            layout_evidence=self._evidence,
            contexts=self._coverage,
            dimensions=self._options.dimensions,
            filters=self._options.filters.described(),
            observer_effects=self._effects,
            command=self._options.command,
            interval_ns=self._options.interval_ns,
            started_ns=self._epoch_ns,
            duration_ns=self._last_ns - self._began_ns,
            totals=self._totals,
            complete=True,
            ended="",
        )

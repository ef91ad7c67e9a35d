"""One recording, from the first look at the host to the last exit."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import msgspec

import tifbpf
from tifbpf.errors import ReadFailedError, TifbpfError
from tifbpf.host import btf, kallsyms
from tifbpf.layouts.model import Word
from tifbpf.recorder import effects, layout, loader
from tifbpf.recorder.bpf import Program
from tifbpf.recorder.coverage import coverage, with_blind_cpus
from tifbpf.recorder.drain import Interval
from tifbpf.recorder.instrument import Instrument, Words
from tifbpf.recorder.options import Options
from tifbpf.recorder.prove import prove
from tifbpf.recorder.rows import RowMaker
from tifbpf.recording.exits import ExitClasses
from tifbpf.recording.metadata import (
    EXACT_SCHEMA,
    SAMPLED_SCHEMA,
    Host,
    Kernel,
    Losses,
    Metadata,
    ObserverEffect,
    Sampling,
    Step,
    Totals,
)
from tifbpf.recording.process import pid_namespace


class Flush(msgspec.Struct, frozen=True, kw_only=True):
    """One interval, ready for the writer."""

    rows: ExitClasses
    start_ns: int
    """Since the epoch."""
    interval_ns: int
    metadata: Metadata
    """Of the recording so far."""
    every: int = 1
    """How many times its own length the interval stands for."""


class Session:
    """An attached recorder: a context manager that leaves nothing attached.

    Entering it finds the layout and the route, loads the programs, checks both by known acts, and attaches.
    Exits count from `begin` on.

    Raises (on entering):
        TifbpfError: whatever this host lacks or refuses, or how it contradicts its layout.
    """

    def __init__(self, options: Options, *, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Take the options; nothing happens before the `with`.

        Args:
            options: what to record.
            meanwhile: what to do while the programs are compiled.
        """
        self._options = options
        self._meanwhile = meanwhile
        self._id = str(uuid.uuid4())
        self._totals = Totals()
        self._began_ns = self._last_ns = self._epoch_ns = 0
        self._reached_ns = 0
        self._paused = False
        self._every = options.every
        self._sampling = Sampling(
            one_in=options.one_in, every=options.every, max_overhead=options.max_overhead
        )

    def __enter__(self) -> Self:
        with loader.prepared(self._meanwhile), kallsyms.held(), btf.held():
            self._enter()
        return self

    def _enter(self) -> None:
        options = self._options
        facts = layout.host_facts(setters=options.setters)
        established = layout.establish_running(options.headers, facts)
        self.layout = established.layout
        proven = prove(facts, self.layout, options)
        self._instrument = proven.instrument
        if options.pauses and not isinstance(self._instrument, Instrument):
            self._instrument.close()
            raise TifbpfError(
                "this kernel's route cannot be detached for a while: leave out --duty and --max-overhead"
            )
        self._tracer_bit = proven.tracer_bit
        self._somebody_elses = proven.somebody_elses
        self._evidence = (*established.evidence, *proven.checked.evidence)
        self._coverage = coverage(proven.plan, proven.checked, proven.attempts)
        self._effects = self._observer_effects()
        own_bit = Words.of(self._tracer_bit) if self._tracer_bit else Words()
        self._rows = RowMaker(
            cgroups="cgroup" in options.dimensions,
            syscall_work=any(bit.word is Word.SYSCALL_WORK for bit in self.layout.bits),
            # Somebody else's bit was there before ours, makes exits slow without us, and counts.
            ours=Words() if self._somebody_elses else own_bit,
        )

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

    @property
    def pauses(self) -> bool:
        """Whether it detaches and attaches again meanwhile."""
        return self._options.pauses

    @property
    def keeps_the_cpu(self) -> bool:
        """Whether exits of others are missed unless we keep the CPU while we read a map."""
        return self._instrument.keeps_the_cpu

    def touch(self) -> None:
        """Use the kernel as `flush` and `resume` do; before `begin`.

        Raises:
            OSError, BpfRefusedError: it refuses, and may leave nothing attached.
        """
        if self._options.pauses:
            self._pausable().reattach()
        self._instrument.collector.touch()

    def begin(self) -> None:
        """Forget what was seen so far, and start the clock."""
        if self._every > 1:
            self._pausable().pause()
            self._paused = True
        self._last_ns = self._began_ns = self._instrument.collector.take().flipped_ns
        if self._instrument.setters:
            self._instrument.setters.begin()
        self._epoch_ns = time.time_ns() - (time.monotonic_ns() - self._began_ns)

    def flush(self) -> Flush:
        """Return everything that was seen since the last call or `begin`.

        Raises:
            ReadFailedError: the kernel does not give it; nothing of this interval is known.
        """
        interval = self._take()
        return self._flush(interval, interval.flipped_ns - self._last_ns, interval.flipped_ns)

    def _take(self) -> Interval:
        try:
            return self._instrument.collector.take()
        except OSError as error:
            raise ReadFailedError(
                f"what was counted cannot be read from the kernel: {error.strerror or error}; record again"
            ) from error

    def _flush(self, interval: Interval, length_ns: int, end_ns: int) -> Flush:
        self._add(interval)
        self._coverage = with_blind_cpus(self._coverage, self._instrument.blind_cpus())
        start_ns = self._epoch_ns + self._reached_ns
        self._reached_ns += length_ns * self._every
        self._last_ns = end_ns
        recorded_ns = self._sampling.recorded_ns + length_ns
        self._sampling = msgspec.structs.replace(self._sampling, recorded_ns=recorded_ns)
        return Flush(
            rows=self._rows.rows(interval),
            start_ns=start_ns,
            interval_ns=length_ns,
            metadata=self.metadata(),
            every=self._every,
        )

    @property
    def reached_ns(self) -> int:
        """The time since `begin` that was recorded or that what was recorded stands for."""
        return self._reached_ns

    def pause(self) -> Flush:
        """Detach the hooks, and return what was seen until then; the host runs undisturbed."""
        paused_ns = self._pausable().pause()
        self._paused = True
        return self._flush(self._take(), paused_ns - self._last_ns, paused_ns)

    def resume(self) -> None:
        """Attach the hooks again."""
        self._last_ns = self._pausable().resume()
        self._paused = False

    def step(self, every: int, cost: float) -> None:
        """Let what is recorded from now on stand for `every` times its time.

        Args:
            every: how many times.
            cost: why: what it was until now, in per cent of the time of all CPUs.
        """
        self._every = every
        found = Step(at_ns=self._reached_ns, every=every, cost=cost)
        self._sampling = msgspec.structs.replace(self._sampling, steps=(*self._sampling.steps, found))

    def spent(self, cost: float) -> None:
        """Note what the recorder took of the time of all CPUs, in per cent."""
        self._sampling = msgspec.structs.replace(self._sampling, cost=cost)

    @property
    def programs(self) -> Sequence[Program]:
        """What runs at every exit, to ask how long it takes."""
        return self._pausable().programs

    def _pausable(self) -> Instrument:
        assert isinstance(self._instrument, Instrument)  # noqa: S101 (__enter__ made sure)
        return self._instrument

    def finish(self) -> Flush:
        """Detach, and return what was seen until then."""
        last = None
        if self._paused:
            self._instrument.detach()
            last = self._flush(self._take(), 0, self._last_ns)
        elif self._options.pauses:
            last = self.pause()
            self._instrument.detach()
        else:
            self._instrument.detach()
        after = self._instrument.own_words()
        if self._tracer_bit and not self._somebody_elses and after and after[0] & Words.of(self._tracer_bit):
            self._effects += (effects.still_set(self._tracer_bit),)
        return self.flush() if last is None else msgspec.structs.replace(last, metadata=self.metadata())

    def _add(self, interval: Interval) -> None:
        losses = self._totals.losses
        self._totals = Totals(
            seen=self._totals.seen + interval.seen,
            recorded=self._totals.recorded + interval.recorded,
            counted=self._totals.counted + interval.all_recorded,
            uncounted=self._totals.uncounted + interval.all - interval.all_recorded,
            filtered=self._totals.filtered + interval.filtered,
            not_sampled=self._totals.not_sampled + interval.not_sampled,
            not_sampled_of_all=self._totals.not_sampled_of_all + interval.all_not_sampled,
            not_followed=self._instrument.not_followed(),
            losses=Losses(
                map_full=losses.map_full + interval.map_full,
                read_failed=losses.read_failed + interval.read_failed,
                unclassified=losses.unclassified + interval.unclassified,
                recursion=losses.recursion + interval.recursion,
                kprobe_misses=losses.kprobe_misses + interval.kprobe_misses,
            ),
        )

    def metadata(self) -> Metadata:
        """Return what the recording says about itself until now."""
        uname = os.uname()
        seen = self._instrument.setters
        return Metadata(
            schema=SAMPLED_SCHEMA if self._options.samples else EXACT_SCHEMA,
            tifbpf=tifbpf.__version__,
            id=self._id,
            host=Host(
                name=socket.gethostname(),
                cpus=os.sysconf("SC_NPROCESSORS_ONLN"),
                pid_namespace=pid_namespace(),
            ),
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
            duration_ns=self._reached_ns,
            totals=self._totals,
            sampling=self._sampling if self._options.samples else None,
            setters=seen.setters() if seen else None,
            setters_lost=seen.lost() if seen else 0,
            setters_unseen=seen.unseen if seen else (),
            handlers=seen.handlers() if seen else None,
            complete=True,
            ended="",
        )

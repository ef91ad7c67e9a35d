"""`--max-overhead`: what the recorder costs, and how much of the time it may therefore record."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence

from tifbpf.errors import TifbpfError
from tifbpf.recorder.bpf import Descriptor, Program, enable_run_times
from tifbpf.recorder.pace import Windows, anywhere
from tifbpf.recorder.session import Flush, Session

MOST = 64
"""One in so many parts of the time is always recorded."""
MEASURED = 10
"""One in so many parts of a window in which the programs' run time is taken: the kernel then reads the clock
twice for each run, of any program on the host, which costs about as much as one of ours."""
_SHORTEST_NS = 10_000_000
"""But that long at least, if the window is."""
PATIENCE = 10
"""So many intervals in a row must leave room before more is recorded."""
ROOM = 0.8
"""Of the limit, that twice as much recorded is expected to take."""


class Meter:
    """What the programs take while they are attached, and the recorder besides."""

    def __init__(self, programs: Sequence[Program], enable: Callable[[], Descriptor]) -> None:
        """Begin.

        Args:
            programs: what runs at every exit.
            enable: `bpf.enable_run_times`, or how somebody else does it for us.

        Raises:
            TifbpfError: the kernel does not tell.
        """
        self._programs = programs
        self._enable = enable
        self._stats: Descriptor | None = None
        self._spent_ns = time.process_time_ns()
        self._since_ns = self._on_ns = time.monotonic_ns()
        self._run_ns = self._run_before = self._measured_ns = 0
        try:
            enable().close()
        except OSError as error:
            raise TifbpfError(
                "this kernel does not tell how long BPF programs run (Linux 5.8 does): give --duty, not "
                "--max-overhead"
            ) from error

    @property
    def on(self) -> bool:
        """Whether the programs' run time is being taken."""
        return self._stats is not None

    def start(self) -> None:
        """Take the programs' run time from now on."""
        self._stats = self._enable()
        self._run_before = self._run_times()
        self._on_ns = time.monotonic_ns()

    def stop(self) -> None:
        """Take it no longer; harmless when done twice."""
        if self._stats is not None:
            self._run_ns += self._run_times() - self._run_before
            self._measured_ns += time.monotonic_ns() - self._on_ns
            self._stats.close()
            self._stats = None

    def _run_times(self) -> int:
        return sum(program.run_time_ns() for program in self._programs)

    def read(self, every: int) -> float | None:
        """Return the cost since the last call, in per cent of the time of all CPUs; None if not measured.

        Args:
            every: the programs were attached for one in so many parts of the time.
        """
        self.stop()
        now, spent = time.monotonic_ns(), time.process_time_ns()
        if not self._measured_ns:
            return None
        programs = self._run_ns / self._measured_ns / every
        recorder = (spent - self._spent_ns) / max(now - self._since_ns, 1)
        self._since_ns, self._spent_ns = now, spent
        self._run_ns = self._measured_ns = 0
        return 100 * (programs + recorder) / (os.cpu_count() or 1)


def next_every(every: int, cost: float, limit: float, roomy: int) -> int:
    """Return of how many parts of the time to record one from now on.

    Args:
        every: now.
        cost: of that, in per cent.
        limit: what it may be.
        roomy: for how many intervals there has been room for twice as much.
    """
    if cost > limit:
        return min(every << math.ceil(math.log2(cost / limit)), MOST)
    return every // 2 if every > 1 and roomy >= PATIENCE else every


class Bounded:
    """Windows that become rarer where the recorder costs more than it may, and more frequent where it can."""

    def __init__(
        self,
        session: Session,
        interval_ns: int,
        every: int,
        limit: float,
        tell: Callable[[str], None],
        enable: Callable[[], Descriptor] = enable_run_times,
    ) -> None:
        """Begin now.

        Args:
            session: begun.
            interval_ns: in which there is one window.
            every: how many times its length, at most often.
            limit: in per cent of the time of all CPUs.
            tell: is told of each step.
            enable: see `Meter`.

        Raises:
            TifbpfError: the kernel does not tell how long programs run.
        """
        self._session = session
        self._least = every
        self._limit = limit
        self._tell = tell
        self._roomy = 0
        self._at_most = False
        self._meter = Meter(session.programs, enable)
        self._windows = Windows(session, interval_ns, every)
        self._from_ns = self._until_ns = 0
        if self._windows.open:
            self._choose()

    def _choose(self) -> None:
        """Choose when in the window that is open to take the programs' run time."""
        length = self._windows.due_ns - time.monotonic_ns()
        taken = min(max(length // MEASURED, _SHORTEST_NS), length * 9 // 10)
        self._from_ns = time.monotonic_ns() + anywhere(length * 19 // 20 - taken)
        self._until_ns = self._from_ns + taken

    @property
    def due_ns(self) -> int:
        """When there is something to do, by the monotonic clock."""
        coming = [self._windows.due_ns]
        if self._meter.on:
            coming.append(self._until_ns)
        elif self._from_ns:
            coming.append(self._from_ns)
        return min(coming)

    def act(self) -> Flush | None:
        """Do it; return an interval that has ended."""
        if time.monotonic_ns() < self._windows.due_ns:
            if self._meter.on:
                self._meter.stop()
            else:
                self._meter.start()
                self._from_ns = 0
            return None
        if not self._windows.open:
            self._windows.act()
            self._choose()
            return None
        self._from_ns = 0
        every = self._windows.every
        cost = self._meter.read(every)
        wanted = self._judged(every, cost)
        if cost is not None:
            self._session.spent(cost)
        flush = self._windows.act(wanted)
        if wanted != every and cost is not None:
            self._session.step(wanted, cost)
        if self._windows.open:
            self._choose()
        return flush

    def _judged(self, every: int, cost: float | None) -> int:
        if cost is None:
            return every
        self._roomy = self._roomy + 1 if 2 * cost < ROOM * self._limit else 0
        wanted = max(next_every(every, cost, self._limit, self._roomy), self._least)
        if wanted != every:
            self._roomy = 0
            more = "more than" if wanted > every else "well below"
            part = "all of the time" if wanted == 1 else f"1/{wanted} of the time"
            self._tell(
                f"the recorder takes {cost:.2g} % of the CPUs' time, {more} --max-overhead {self._limit:g}: "
                f"recording {part} from now on"
            )
        elif cost > self._limit and not self._at_most:
            self._at_most = True
            self._tell(
                f"the recorder takes {cost:.2g} % of the CPUs' time, more than --max-overhead "
                f"{self._limit:g}, and records no less than 1/{every} of it"
            )
        return wanted

"""Kprobes through tracefs, the way before perf had kprobes of its own (Linux 4.17).

Such an event is a name in tracefs, not a descriptor: it outlives whoever made it. So each carries the process
that made it in its name, and the next recorder takes away what the dead have left (`sweep`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path

from tifbpf.errors import BpfRefusedError
from tifbpf.host import ftrace, perf
from tifbpf.recorder import links
from tifbpf.recorder.bpf import Descriptor, Program
from tifbpf.recording import process

_TYPE_TRACEPOINT = 2
_OURS = re.compile(r"^[pr]\d*:(tifbpf/(\w+)_(\d+)_(\d+))\s", re.MULTILINE)


class KprobeEvent(Descriptor):
    """One event of tracefs and the perf event that runs a program at it; closing takes both away.

    The files of tracefs stay open: by the end this process may not open them any more.
    """

    def __init__(self, held: Descriptor, name: str, root: Path) -> None:
        """Take over the perf event on the event `name` (`group/event`) of the tracefs at `root`.

        Raises:
            OSError: its files cannot be opened.
        """
        with contextlib.ExitStack() as stack:
            self._events = stack.enter_context(Descriptor(_open_events(root)))
            self._profile = (root / "kprobe_profile").open("rb", buffering=0)
            stack.pop_all()
        super().__init__(held.fd)
        held.fd = -1
        self.name = name

    def close(self) -> None:
        """Detach the program and remove the event; harmless when done twice."""
        if self.fd >= 0:
            super().close()
            with self._events, self._profile:
                _remove(self._events.fd, self.name)

    def missed(self) -> int:
        """Return how often the kernel did not run the kprobe, because it was in another one."""
        self._profile.seek(0)
        return misses(self._profile.read().decode(), self.name.rpartition("/")[2])


def attach(symbol: str, program: Program, root: Path | None = None) -> KprobeEvent:
    """Run `program` at the entry of the function `symbol`, for as long as the result is open.

    Args:
        symbol: the function.
        program: of the type KPROBE.
        root: tracefs, by default where it is mounted.

    Raises:
        BpfRefusedError: the kernel refused, or tracefs is not mounted; nothing stays.
    """
    mounted = root or ftrace.tracefs()
    if mounted is None:
        raise BpfRefusedError(
            f"a kprobe on {symbol} needs tracefs: mount -t tracefs nodev /sys/kernel/tracing (before "
            "Linux 4.1: mount -t debugfs nodev /sys/kernel/debug)"
        )
    what = f"a kprobe on {symbol}"
    name = event_name(symbol, os.getpid(), process.start_time(os.getpid()) or 0)
    with contextlib.ExitStack() as stack:
        try:
            events = stack.enter_context(Descriptor(_open_events(mounted)))
            _write(events.fd, f"p:{name} {symbol}")
            stack.callback(_remove, events.fd, name)
            number = int((mounted / "events" / name / "id").read_text())
        except OSError as error:
            raise links.refused(what, error.errno or errno.EINVAL) from error
        event = perf.Event(kind=_TYPE_TRACEPOINT, config=number, sample_period=1)
        held = stack.enter_context(links.attach_event(event, 0, program, what))
        try:
            found = KprobeEvent(held, name, mounted)
        except OSError as error:
            raise links.refused(what, error.errno or errno.EINVAL) from error
        stack.pop_all()
    events.close()
    return found


def event_name(symbol: str, pid: int, start: int) -> str:
    """Return `group/event` for a process; the event alone is unique, as kprobe_profile names no groups."""
    return f"tifbpf/{symbol}_{pid}_{start}"


def sweep(root: Path | None = None) -> list[str]:
    """Remove the events of recorders that are no longer there; return their names.

    Those of a recorder in a pid namespace that we cannot look into stay: what is in use cannot be removed.
    """
    mounted = root or ftrace.tracefs()
    if mounted is None:
        return []
    try:
        listing = (mounted / "kprobe_events").read_text()
    except OSError:
        return []
    removed = []
    for name in left_behind(listing):
        with contextlib.suppress(OSError), Descriptor(_open_events(mounted)) as events:
            _remove(events.fd, name)
            removed.append(name)
    return removed


def left_behind(listing: str) -> Iterable[str]:
    """Yield the events of a kprobe_events file that dead recorders made."""
    for match in _OURS.finditer(listing):
        name, pid, start = match[1], int(match[3]), int(match[4])
        if process.start_time(pid) != start:
            yield name


def misses(profile: str, event: str) -> int:
    """Return the third column of a kprobe_profile file for `event`; 0 for one that is not in it."""
    for line in profile.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[0] == event:
            return int(fields[2])
    return 0


def _open_events(root: Path) -> int:
    # To append: an open that truncates removes everybody's events.
    return os.open(root / "kprobe_events", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)


def _remove(events: int, name: str) -> None:
    _write(events, f"-:{name}")


def _write(events: int, line: str) -> None:
    os.write(events, line.encode() + b"\n")

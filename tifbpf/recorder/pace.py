"""When to read the maps: every interval, or in windows between which nothing is attached."""

from __future__ import annotations

import os
import time
from typing import Protocol

from tifbpf.recorder.session import Flush, Session


class Pace(Protocol):
    """What the time between attaching and the end is cut into."""

    @property
    def due_ns(self) -> int:
        """When there is something to do, by the monotonic clock."""

    def act(self) -> Flush | None:
        """Do it; return an interval that has ended."""


class Steady:
    """Interval after interval, without a gap."""

    def __init__(self, session: Session, interval_ns: int) -> None:
        """Begin now."""
        self._session = session
        self._interval_ns = interval_ns
        self.due_ns = time.monotonic_ns() + interval_ns

    def act(self) -> Flush:
        """Return the interval that has ended."""
        flush = self._session.flush()
        self.due_ns = _following(self.due_ns, self._interval_ns)
        return flush


class Windows:
    """One window in each interval, as long as one of `every` parts of it, at a random place in it.

    At the same place in all intervals, what comes once an interval would be seen always or never.
    """

    def __init__(self, session: Session, interval_ns: int, every: int) -> None:
        """Begin now.

        Args:
            session: begun, and paused unless `every` is 1.
            interval_ns: in which there is one window.
            every: how many times its length; 1: windows without a gap.
        """
        self._session = session
        self._interval_ns = interval_ns
        self._end_ns = time.monotonic_ns()
        self._began_ns = self._end_ns - session.reached_ns
        self.every = every
        """Of the window that is open; a change holds from the next on."""
        self.open = every == 1
        """Whether something is attached."""
        self._plan()

    def _plan(self) -> None:
        begin_ns, self._end_ns = self._end_ns, _following(self._end_ns, self._interval_ns)
        # A window that became longer or shorter than it was to be is made up for by the next.
        owed_ns = self._end_ns - self._began_ns - self._session.reached_ns
        self.length_ns = min(max(owed_ns, 0), 2 * self._interval_ns) // self.every
        if self.open:
            self.due_ns = self._end_ns
        else:
            spare_ns = self._interval_ns - self.length_ns if self.every > 1 else 0
            self.due_ns = begin_ns + anywhere(spare_ns)

    def act(self, every: int | None = None) -> Flush | None:
        """Open the window, or close it and return what was seen in it.

        Args:
            every: of the windows after this one, if that changes.
        """
        if not self.open:
            self._session.resume()
            self.open = True
            self.due_ns = self._end_ns if self.every == 1 else time.monotonic_ns() + self.length_ns
            return None
        gapless = self.every == 1 and every in (1, None)
        flush = self._session.flush() if gapless else self._session.pause()
        self.open = gapless
        self.every = every or self.every
        self._plan()
        return flush


def anywhere(length_ns: int) -> int:
    """Return a random time below `length_ns`, 0 where that is not above 0."""
    # Not by `random`, which would bring OpenSSL into the recorder's memory.
    return int.from_bytes(os.urandom(8)) * max(length_ns, 0) >> 64


def _following(due_ns: int, interval_ns: int) -> int:
    """Return when the next interval ends.

    After a stop (SIGSTOP, a suspended machine) one long interval, not a volley of empty ones.
    """
    return due_ns + max((time.monotonic_ns() - due_ns) // interval_ns + 1, 1) * interval_ns

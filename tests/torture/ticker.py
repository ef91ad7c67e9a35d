"""Sends itself a signal again and again, and writes down when: python -m tests.torture.ticker FILE.

Each is one exit of kill with SIGPENDING between two times that are known, whatever kills the recorder.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

NAME = "ticker"
ROOM = 1 << 21
"""Times in the file."""
_PAUSE = 100
"""So many acts, then a moment for others: the recorder has to get at a CPU."""


def tick(file: Path) -> None:
    """Act until killed; before and after each act, the next time in the file is that (ns since the epoch)."""
    prctl: Callable[..., int] = ctypes.CDLL(None).prctl
    prctl(15, NAME.encode(), 0, 0, 0)
    signal.signal(signal.SIGUSR1, lambda number, frame: None)
    with file.open("r+b") as stream:
        times = memoryview(mmap.mmap(stream.fileno(), ROOM * 8)).cast("Q")
    own = os.getpid()
    for place in range(0, ROOM, 2):
        times[place] = time.time_ns()
        os.kill(own, signal.SIGUSR1)
        times[place + 1] = time.time_ns()
        if place % (2 * _PAUSE) == 0:
            time.sleep(0.001)


def read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the times before and after each act; an act that was cut off has no time after it."""
    times = np.fromfile(file, dtype=np.uint64)
    begun, ended = times[::2], times[1::2]
    return begun[begun > 0], ended[ended > 0]


if __name__ == "__main__":
    tick(Path(sys.argv[1]))

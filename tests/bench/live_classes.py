"""Keeps 10,000 classes of exits alive on every CPU: 100 names of threads times 100 system calls.

Says `ready`, and ends with whoever started it: python -m tests.bench.live_classes.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time

NAMES, CALLS = 100, 100
_FIRST = 1000
"""Numbers of no system call: each returns at once."""
_PAUSE = 0.4
"""Seconds; each class is seen once or twice a second."""
_PR_SET_NAME, _PR_SET_PDEATHSIG = 15, 1


def _keep_alive(libc: ctypes.CDLL, cpu: int) -> None:
    os.sched_setaffinity(0, {cpu})
    while True:
        for name in range(NAMES):
            libc.prctl(_PR_SET_NAME, b"live %d" % name, 0, 0, 0)
            for number in range(_FIRST, _FIRST + CALLS):
                libc.syscall(number)
        time.sleep(_PAUSE)


def main() -> None:
    libc = ctypes.CDLL(None)
    for cpu in os.sched_getaffinity(0):
        if not os.fork():
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            _keep_alive(libc, cpu)
    print("ready", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()

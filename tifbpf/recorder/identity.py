"""Which process records: its pid and when it started, which no other process shares."""

from __future__ import annotations

import os
from pathlib import Path

_STARTTIME = 22
"""Field of /proc/PID/stat, counted from 1 (proc_pid_stat(5))."""


def recorder_identity() -> tuple[int, int]:
    """Return this process's pid, and its start in clock ticks since boot."""
    # The second field, the name in parentheses, may hold spaces and parentheses itself.
    after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return os.getpid(), int(after_name[_STARTTIME - 3])

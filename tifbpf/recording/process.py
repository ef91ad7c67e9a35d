"""Which process records: its pid and when it started, a pair that no other process since boot has."""

from __future__ import annotations

from pathlib import Path

_INITIAL = 0xEFFFFFFC
"""PROC_PID_INIT_INO (include/linux/proc_ns.h): the inode number of the initial pid namespace."""


def pid_namespace() -> int | None:
    """Return the inode number of our pid namespace; None for the initial one, and without /proc."""
    try:
        number = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return None
    return None if number == _INITIAL else number


def start_time(pid: int) -> int | None:
    """Return `starttime` of /proc/PID/stat, clock ticks since boot; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name in parentheses may hold anything; starttime is field 22, the name field 2 (proc(5)).
    return int(stat.rpartition(b")")[2].split()[22 - 3])

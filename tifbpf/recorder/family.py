"""Processes and the children that they have already."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from tifbpf.errors import TifbpfError

_PROC = Path("/proc")


def with_children(pids: Iterable[int]) -> Iterator[int]:
    """Yield these processes, then their children, and theirs.

    Raises:
        TifbpfError: one of `pids` does not exist.
    """
    waiting = list(pids)
    for pid in waiting:
        if not (_PROC / str(pid)).exists():
            raise TifbpfError(f"no process {pid}: look for it with ps, or leave out --pid")
    # A child found on the way may be gone by now, which is nobody's mistake.
    for pid in waiting:
        yield pid
        waiting += _children(pid)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in (_PROC / str(pid) / "task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, task.read_text().split())
    return found

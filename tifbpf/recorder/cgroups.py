"""Paths of cgroups by id: what bpf_get_current_cgroup_id() returns, as a path that one can type."""

from __future__ import annotations

import os
from pathlib import Path


def unified_mount() -> Path | None:
    """Return where the unified hierarchy (cgroup v2) is mounted; None if it is not."""
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where.encode().decode("unicode_escape"))
    return None


class CgroupNames:
    """Names by id. The id of a cgroup is the inode number of its directory (kernfs, since 5.5)."""

    def __init__(self) -> None:
        """Look at the cgroups that exist."""
        self._mount = unified_mount()
        self._names: dict[int, str] = {}
        self._walk()

    def _walk(self) -> None:
        if self._mount is None:
            return
        for directory, _, _ in os.walk(self._mount):
            try:
                number = Path(directory).stat().st_ino
            except OSError:
                continue
            relative = Path(directory).relative_to(self._mount)
            self._names[number] = "/" if relative == Path() else f"/{relative}"

    def names(self, numbers: set[int]) -> dict[int, str]:
        """Return the path of each; `id:1234` for a cgroup that is gone or out of sight."""
        if not numbers <= self._names.keys():
            self._walk()
        for number in numbers - self._names.keys():
            self._names[number] = f"id:{number}"
        return {number: self._names[number] for number in numbers}

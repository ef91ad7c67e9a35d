"""What tracefs and debugfs say about attaching: never mounted from here, only looked for."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import msgspec

_TRACEFS = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
_DEBUGFS = Path("/sys/kernel/debug")
_BLACKLIST = _DEBUGFS / "kprobes" / "blacklist"
_MOUNT = "mount -t tracefs nodev /sys/kernel/tracing"
_MOUNT_DEBUGFS = "mount -t debugfs nodev /sys/kernel/debug"


class Listing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which of the names asked for a list has."""

    names: frozenset[str] | None = None
    """None where the list could not be read."""
    reason: str | None = None
    """Why it could not."""


def tracefs() -> Path | None:
    """Return where tracefs is mounted, None if it is not or may not be looked into."""
    return _find_tracefs()[0]


def _find_tracefs() -> tuple[Path | None, str]:
    """Return where it is, or why that is not known."""
    reason = f"tracefs is not mounted (`{_MOUNT}`)"
    for path in _TRACEFS:
        try:
            if (path / "events").is_dir():
                return path, ""
        except OSError as error:
            reason = f"{path}: {error.strerror}"
    return None, reason


def traceable(names: Collection[str], root: Path | None = None) -> Listing:
    """Return which functions ftrace can attach to, so fentry, fexit and most kprobes can too.

    Args:
        names: what to look for.
        root: tracefs, by default where it is mounted.
    """
    mounted, reason = (root, "") if root else _find_tracefs()
    if mounted is None:
        return Listing(reason=reason)
    return _search(mounted / "available_filter_functions", names, 0)


def blacklisted(names: Collection[str], path: Path = _BLACKLIST) -> Listing:
    """Return which functions the kernel refuses kprobes on."""
    listing = _search(path, names, 1)
    if listing.names is None and path == _BLACKLIST and not os.path.ismount(_DEBUGFS):
        return Listing(reason=f"debugfs is not mounted (`{_MOUNT_DEBUGFS}`)")
    return listing


def _search(path: Path, names: Collection[str], column: int) -> Listing:
    found = set()
    try:
        with path.open() as lines:
            for line in lines:
                fields = line.split()
                if len(fields) > column and fields[column] in names:
                    found.add(fields[column])
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "not text"
        return Listing(reason=f"{path}: {what}")
    return Listing(names=frozenset(found))


def events(names: Collection[str], root: Path | None = None) -> Listing:
    """Return which trace events, as `system:event`, there are."""
    mounted, reason = (root, "") if root else _find_tracefs()
    if mounted is None:
        return Listing(reason=reason)
    try:
        return Listing(
            names=frozenset(
                name for name in names if mounted.joinpath("events", *name.split(":", 1)).is_dir()
            )
        )
    except OSError as error:
        return Listing(reason=f"{mounted}: {error.strerror}")

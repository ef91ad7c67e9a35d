"""Who traces system calls already.

Any user of sys_enter or sys_exit makes every system call of every task take the syscall-work slowpath, so
whoever is at it belongs into the report. This finds the holders of descriptors and what tracefs has switched
on; a pinned BPF link that no process holds is not found.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

import msgspec

from tifbpf.errors import NoLibbpfError
from tifbpf.host import ftrace, libbpf

_PROC = Path("/proc")
_HOOKS = ("sys_enter", "sys_exit")
# What /proc/PID/fd shows for a BPF link (before Linux 5.7, for a raw tracepoint) and for a perf event.
_LINKS = ("anon_inode:bpf_link", "anon_inode:bpf-link", "anon_inode:bpf-raw-tracepoint")
_PERF_EVENT = "anon_inode:[perf_event]"


class _Attached(IntEnum):
    """enum bpf_task_fd_type, as far as it names a tracepoint."""

    RAW_TRACEPOINT = 0
    TRACEPOINT = 1


class Tracer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One user of sys_enter or sys_exit."""

    hook: str
    """The tracepoint, or the trace event that is switched on."""
    how: str
    """`BPF` or `trace event`."""
    pid: int | None = None
    comm: str | None = None
    """Who holds it; None for a trace event, which nobody holds."""


class Tracers(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was found, and what could not be looked at."""

    found: tuple[Tracer, ...] = ()
    unseen: tuple[str, ...] = ()


def find(proc: Path = _PROC, tracefs: Path | None = None) -> Tracers:
    """Look through all processes and through tracefs; costs some ten milliseconds.

    Args:
        proc: where procfs is mounted.
        tracefs: where tracefs is mounted, by default where it is found.
    """
    unseen: list[str] = []
    found = list(_holders(proc, unseen))
    tracefs = tracefs or ftrace.tracefs()
    if tracefs is None:
        unseen.append("trace events: tracefs is not mounted, or only root may look")
    else:
        found += _enabled_events(tracefs, unseen)
    return Tracers(found=tuple(found), unseen=tuple(unseen))


def _holders(proc: Path, unseen: list[str]) -> Iterator[Tracer]:
    hidden = 0
    for directory in proc.glob("[0-9]*"):
        try:
            descriptors = list((directory / "fd").iterdir())
        except PermissionError:
            hidden += 1
            continue
        except OSError:
            continue
        # A tracer has one link for each CPU or program; it is one user all the same.
        hooks = {hook for descriptor in descriptors if (hook := _hook_of(directory, descriptor))}
        for hook in sorted(hooks):
            yield Tracer(hook=hook, how="BPF", pid=int(directory.name), comm=_comm(directory))
    if hidden:
        unseen.append(f"{hidden} processes of other users")


def _hook_of(process: Path, descriptor: Path) -> str | None:
    try:
        target = str(descriptor.readlink())
        if target in _LINKS:
            text = (process / "fdinfo" / descriptor.name).read_text(errors="replace")
            lines = dict(line.partition(":\t")[::2] for line in text.splitlines())
            name = lines.get("tp_name")
            # Before Linux 5.8 a raw tracepoint's fdinfo is empty.
            name = name if name is not None or "link_type" in lines else _ask(process, descriptor)
        elif target == _PERF_EVENT:
            name = _ask(process, descriptor)
        else:
            return None
    except (OSError, ValueError):
        return None
    # sys_exit, and the trace events of single calls, sys_exit_read, which use the same tracepoint.
    return name if name and name.startswith(_HOOKS) else None


def _ask(process: Path, descriptor: Path) -> str | None:
    """Ask the kernel which tracepoint a descriptor's BPF program is attached to."""
    try:
        query = libbpf.library().bpf_task_fd_query
    except (NoLibbpfError, AttributeError):
        return None
    name = ctypes.create_string_buffer(128)
    length, program, kind = ctypes.c_uint32(len(name)), ctypes.c_uint32(), ctypes.c_uint32()
    offset, address = ctypes.c_uint64(), ctypes.c_uint64()
    result = query(
        int(process.name),
        int(descriptor.name),
        0,
        name,
        *(ctypes.byref(value) for value in (length, program, kind, offset, address)),
    )
    if result < 0 or kind.value not in tuple(_Attached):
        return None
    return name.value.decode(errors="replace")


def _comm(process: Path) -> str | None:
    try:
        return (process / "comm").read_text(errors="replace").rstrip("\n")
    except OSError:
        return None


def _enabled_events(tracefs: Path, unseen: list[str]) -> Iterator[Tracer]:
    switches = [tracefs / "events" / "raw_syscalls" / hook / "enable" for hook in _HOOKS]
    # One read for the hundreds of events of single calls: 0 none, 1 all, X some.
    switches.append(tracefs / "events" / "syscalls" / "enable")
    for switch in switches:
        try:
            state = switch.read_text().strip()
        except FileNotFoundError:
            continue
        except OSError as error:
            unseen.append(f"trace events: {switch}: {error.strerror}")
            continue
        if state[:1] in ("1", "X"):
            yield Tracer(
                hook=f"{switch.parent.parent.name}:{switch.parent.name}".removeprefix("events:"),
                how="trace event",
            )

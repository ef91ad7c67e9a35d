"""The pid namespace that the recorder runs in: pids are as they are called there."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from tifbpf.errors import TifbpfError
from tifbpf.host.btf import KernelTypes
from tifbpf.recorder.offsets import members
from tifbpf.recording.process import pid_namespace

_UPID_SIZE = 16


def definitions(types: KernelTypes) -> dict[str, int | str | None]:
    """Return what probes/exits.h needs to call processes as this namespace does; nothing in the initial one.

    Raises:
        NoTypesError: a structure is not as every kernel with BTF has had it.
    """
    if pid_namespace() is None:
        return {}
    task = members(types, "task_struct", "group_leader", "thread_pid")
    pid = members(types, "pid", "level", "numbers")
    upid = members(types, "upid", "nr", "ns")
    return {
        "PID_NAMESPACE": None,
        "TASK_GROUP_LEADER": task["group_leader"],
        "TASK_THREAD_PID": task["thread_pid"],
        "PID_LEVEL": pid["level"],
        "PID_NUMBERS": pid["numbers"],
        "UPID_NR": upid["nr"],
        "UPID_NS": upid["ns"],
        "UPID_SIZE": _UPID_SIZE,
    }


def require_proc() -> None:
    """Make sure that /proc calls processes as we do.

    Raises:
        TifbpfError: it is another namespace's.
    """
    with contextlib.suppress(OSError):
        if str(Path("/proc/self").readlink()) == str(os.getpid()):
            return
    raise TifbpfError(
        "/proc is not of the pid namespace that tifbpf runs in, so that processes cannot be told by pid: "
        "mount its own (mount -t proc proc /proc), or record all processes"
    )


def refuse() -> None:
    """Say that pids cannot be told here.

    Raises:
        TifbpfError: tifbpf runs in a pid namespace of its own.
    """
    if pid_namespace() is not None:
        raise TifbpfError(
            "on this kernel processes cannot be told by pid from within a pid namespace: leave out --by pid, "
            "--pid and --only-command, or record from the host"
        )

"""Who we are to the kernel: the user, and the capabilities that BPF and tracing ask for."""

from __future__ import annotations

import os
from enum import IntEnum
from pathlib import Path

import msgspec

from tifbpf.errors import MissingCapabilityError, NotRootError

_PROC = Path("/proc")


class Capability(IntEnum):
    """The capabilities that matter here (include/uapi/linux/capability.h)."""

    CAP_CHOWN = 0
    CAP_DAC_OVERRIDE = 1
    CAP_DAC_READ_SEARCH = 2
    CAP_FOWNER = 3
    CAP_KILL = 5
    CAP_SETGID = 6
    CAP_SETUID = 7
    CAP_SYS_PTRACE = 19
    CAP_SYS_ADMIN = 21
    CAP_SYS_NICE = 23
    CAP_SYS_RESOURCE = 24
    CAP_SYSLOG = 34
    CAP_PERFMON = 38
    CAP_BPF = 39


class Privileges(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The user and the capabilities of this process."""

    euid: int
    capabilities: tuple[str, ...] | None = None
    """Effective ones of `Capability`; None where /proc does not say."""
    last: int | None = None
    """The highest capability that the kernel knows; before 5.8 that is below CAP_BPF."""

    def may_load(self) -> bool | None:
        """Whether the kernel lets this process load tracing programs; None if that cannot be told.

        CAP_BPF and CAP_PERFMON were split from CAP_SYS_ADMIN, which still does, in Linux 5.8: commits
        a17b53c4a4b5 ("bpf, capability: Introduce CAP_BPF") and 980737282232 ("capabilities: Introduce
        CAP_PERFMON to kernel and user space").
        """
        if self.capabilities is None:
            return None
        return not self.missing()

    def missing(self) -> tuple[str, ...]:
        """Return the capabilities that are wanting for tracing programs, () if none is, or none is known."""
        if self.capabilities is None or Capability.CAP_SYS_ADMIN.name in self.capabilities:
            return ()
        held = self.to_load()
        return tuple(name for name in self._needed() if name not in held)

    def to_load(self) -> tuple[str, ...]:
        """Return those of the capabilities for tracing programs that this process has."""
        return tuple(name for name in self._needed() if name in (self.capabilities or ()))

    def _needed(self) -> tuple[str, ...]:
        if self.last is not None and self.last < Capability.CAP_BPF:
            return (Capability.CAP_SYS_ADMIN.name,)
        return (Capability.CAP_BPF.name, Capability.CAP_PERFMON.name)


def read(proc: Path = _PROC) -> Privileges:
    """Return what this process is allowed; what /proc does not say is None."""
    return Privileges(euid=os.geteuid(), capabilities=_effective(proc), last=_last(proc))


def _effective(proc: Path) -> tuple[str, ...] | None:
    try:
        status = (proc / "self" / "status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("CapEff:"))
        bits = int(line.split()[1], 16)
    except (OSError, StopIteration, ValueError, IndexError):
        return None
    return tuple(capability.name for capability in Capability if bits >> capability & 1)


def _last(proc: Path) -> int | None:
    try:
        return int((proc / "sys" / "kernel" / "cap_last_cap").read_text())
    except (OSError, ValueError):
        return None


_TO_BECOME_ANOTHER = (Capability.CAP_CHOWN, Capability.CAP_SETGID, Capability.CAP_SETUID)
"""What root needs so as not to stay root, and to give the recording away."""


def require(privileges: Privileges | None = None) -> None:
    """Return if this process may load tracing programs, or if that cannot be told.

    Raises:
        NotRootError: it is an ordinary user's.
        MissingCapabilityError: it lacks some of what it needs: root's in a container, or a user's who was
            given capabilities.
    """
    privileges = privileges or read()
    missing = privileges.missing()
    if privileges.euid != 0:
        if privileges.capabilities is None or (missing and not privileges.to_load()):
            raise NotRootError("recording needs root: run it with sudo")
        if missing:
            raise MissingCapabilityError(
                f"user {privileges.euid} lacks {' and '.join(missing)}, which BPF needs: run it with sudo, "
                "or add that to the ambient capabilities"
            )
        return
    if missing:
        raise MissingCapabilityError(
            f"root here lacks {' and '.join(missing)}, which BPF needs: run outside the container, "
            "or give the container these capabilities"
        )
    held = privileges.capabilities
    if held is not None and (stuck := [one.name for one in _TO_BECOME_ANOTHER if one.name not in held]):
        raise MissingCapabilityError(
            f"root here lacks {' and '.join(stuck)}, without which it stays root: give the container these "
            "capabilities, or start as another user with those that BPF needs"
        )

"""From options to conditions in the BPF program: what does not match is left out where it is seen."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tifbpf.errors import TifbpfError
from tifbpf.layouts import syscalls
from tifbpf.recorder.abi import AbiNumber

TASK_COMM_LEN = 16
MAX_FOLLOWED = 65536
"""Processes that `--pid` can follow at a time."""


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What to keep. Several values of one option are alternatives; options restrict each other."""

    pids: tuple[int, ...] = ()
    """Processes (tgid) and, from now on, their children."""
    comms: tuple[str, ...] = ()
    cgroups: tuple[Path, ...] = ()
    """Directories of the unified hierarchy; what is below them counts too."""
    cpus: str | None = None
    """A list as in taskset: `0-3,5`."""
    syscalls: tuple[str, ...] = ()
    include_self: bool = False
    """Keep tifbpf's own exits."""
    helper: int | None = None
    """A second process of tifbpf's own (tgid), left out with this one."""

    def definitions(self) -> dict[str, int | str | None]:
        """Return the -D definitions for probes/exits.h.

        Raises:
            TifbpfError: a value makes no sense.
        """
        found: dict[str, int | str | None] = {}
        if not self.include_self:
            found["LEAVE_OUT_SELF"] = None
            if self.helper is not None:
                found["LEAVE_OUT_HELPER"] = self.helper
        if self.pids:
            found |= {"FILTER_PIDS": None, "MAX_FOLLOWED": MAX_FOLLOWED}
        if self.comms:
            found["FILTER_COMM"] = _any(map(_comm_condition, self.comms))
        if self.cgroups:
            found["NR_CGROUPS"] = len(self.cgroups)
        if self.cpus is not None:
            found["FILTER_CPU"] = _any(
                f"(cpu>={first}&&cpu<={last})" for first, last in _ranges(parse_cpus(self.cpus))
            )
        if self.syscalls:
            found["FILTER_SYSCALL"] = _any(map(_syscall_condition, self.syscalls))
        return found

    def described(self) -> dict[str, str]:
        """Return option and value, for the recording's metadata."""
        found = {} if self.include_self else {"self": "excluded"}
        lists: dict[str, Iterable[object]] = {
            "pid": self.pids,
            "comm": self.comms,
            "cgroup": self.cgroups,
            "cpu": (self.cpus,) if self.cpus is not None else (),
            "syscall": self.syscalls,
        }
        return found | {name: ",".join(map(str, values)) for name, values in lists.items() if values}


def parse_cpus(text: str) -> list[int]:
    """Return the CPUs of a list such as `0-3,5`.

    Raises:
        TifbpfError: it is none.
    """
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not (first.isdecimal() and (last.isdecimal() or not dash)) or (dash and int(last) < int(first)):
            raise TifbpfError(f"no list of CPUs: {text!r}; give one such as 0-3,5")
        if int(last or first) >= (os.sysconf("SC_NPROCESSORS_CONF")):
            raise TifbpfError(
                f"no such CPU: {last or first}; this host has {os.sysconf('SC_NPROCESSORS_CONF')}"
            )
        found.update(range(int(first), int(last or first) + 1))
    return sorted(found)


def _ranges(numbers: list[int]) -> Iterable[tuple[int, int]]:
    for _, run in itertools.groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        members = [number for _, number in run]
        yield members[0], members[-1]


def _any(conditions: Iterable[str]) -> str:
    return "(" + "||".join(conditions) + ")"


def _comm_condition(name: str) -> str:
    # As the kernel keeps it: cut to 15 bytes and padded with zeros.
    raw = name.encode(errors="surrogateescape")[: TASK_COMM_LEN - 1].ljust(TASK_COMM_LEN, b"\0")
    halves = (int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little"))
    return "(" + "&&".join(f"comm.half[{i}]=={half:#x}ULL" for i, half in enumerate(halves)) + ")"


def _syscall_condition(text: str) -> str:
    abi, number = syscalls.number(text)
    return f"(abi=={int(AbiNumber[abi.name])}&&syscall=={number})"

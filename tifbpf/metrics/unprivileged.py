"""Giving up everything that is not needed any more: the user, the groups, the capabilities, for good."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from tifbpf.errors import TifbpfError
from tifbpf.host import privileges
from tifbpf.host.privileges import Capability

_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
"""include/uapi/linux/prctl.h."""
_CAPABILITY_VERSION_3 = 0x20080522
"""include/uapi/linux/capability.h."""
CAP_SYS_NICE = 23
_STATUS = Path("/proc/self/status")
_NOBODY = 65534
_MOST_CAPABILITIES = 64


class Account(NamedTuple):
    """A user and one group."""

    uid: int
    gid: int


def caller(environment: Mapping[str, str]) -> Account:
    """Return who called sudo; nobody where root did it, or no sudo."""
    uid, gid = environment.get("SUDO_UID", ""), environment.get("SUDO_GID", "")
    if uid.isdecimal() and gid.isdecimal() and int(uid):
        return Account(int(uid), int(gid))
    with contextlib.suppress(KeyError):
        entry = pwd.getpwnam("nobody")
        return Account(entry.pw_uid, entry.pw_gid)
    return Account(_NOBODY, _NOBODY)


def owner(directory: Path) -> Account:
    """Return who owns `directory`, and may so replace files in it without a capability.

    Raises:
        OSError: there is none.
    """
    status = directory.stat()
    return Account(status.st_uid, status.st_gid)


def for_maps() -> frozenset[int]:
    """Return the capabilities that reading BPF maps takes.

    One of them only where `kernel.unprivileged_bpf_disabled` is set: a descriptor alone is enough since
    c8644cd0efe7 ("bpf: refine kernel.unprivileged_bpf_disabled behaviour", Linux 5.19), but kernels before it
    are still many. CAP_SYS_NICE is for `tifbpf.recorder.bpf.unpreempted`.
    """
    known = privileges.read().last
    modern = known is None or known >= Capability.CAP_BPF
    wanted = {Capability.CAP_BPF if modern else Capability.CAP_SYS_ADMIN, CAP_SYS_NICE}
    return frozenset(wanted & _permitted())


def become(account: Account, keep: Iterable[int] = ()) -> None:
    """Become `account`, with no group but its own and no capability but `keep`, whatever is executed later.

    Who is no root to begin with stays who they are, and gives up the capabilities.

    Raises:
        TifbpfError: the kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    kept = sum(1 << capability for capability in keep)
    try:
        for number in range(_MOST_CAPABILITIES):
            # Refused to who may not, and past the last capability: both leave nothing to be regained below.
            libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
        if os.geteuid() == 0:
            _check(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
            os.setgroups([])
            os.setresgid(account.gid, account.gid, account.gid)
            os.setresuid(account.uid, account.uid, account.uid)
        header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
        # Effective, permitted and inheritable, of the lower and the upper 32.
        low, high = kept & 0xFFFFFFFF, kept >> 32
        _check(libc.capset(header, struct.pack("<6I", low, low, 0, high, high, 0)))
        _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    except OSError as error:
        raise TifbpfError(
            f"privileges cannot be dropped: {error.strerror}; run as root, outside a restricted container"
        ) from error


def _permitted() -> set[int]:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("CapPrm:"))
    bits = int(line.split()[1], 16)
    return {number for number in range(_MOST_CAPABILITIES) if bits >> number & 1}


def _check(result: int) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))

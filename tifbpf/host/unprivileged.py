"""Giving up everything that is not needed any more: the user, the groups, the capabilities, for good."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tifbpf.errors import BpfRefusedError, PrivilegesKeptError
from tifbpf.host import privileges
from tifbpf.host.privileges import Capability

_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_SET_PDEATHSIG = 1
_PR_GET_PDEATHSIG = 2
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_GET_NO_NEW_PRIVS = 39
"""include/uapi/linux/prctl.h."""
_CAPABILITY_VERSION_3 = 0x20080522
"""include/uapi/linux/capability.h."""
_TASKS = Path("/proc/self/task")
_OWN = Path("/proc/thread-self")
"""Not by our pid, which may be another in the pid namespace that /proc is of."""
_NOBODY = 65534
_LAST_ID = 2**32 - 2
"""2**32 - 1 means to setresuid(2) that the user stays."""
_MOST_CAPABILITIES = 64
_NONE: frozenset[int] = frozenset()


class Account(NamedTuple):
    """A user and one group."""

    uid: int
    gid: int


def caller(environment: Mapping[str, str]) -> Account:
    """Return who called sudo; nobody where root did it, or no sudo."""
    uid, gid = _id(environment.get("SUDO_UID", "")), _id(environment.get("SUDO_GID", ""))
    if uid and gid is not None:
        return Account(uid, gid)
    with contextlib.suppress(KeyError):
        entry = pwd.getpwnam("nobody")
        return Account(entry.pw_uid, entry.pw_gid)
    return Account(_NOBODY, _NOBODY)


def _id(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and int(text) <= _LAST_ID else None


def ourselves() -> Account:
    """Return who we are."""
    return Account(os.geteuid(), os.getegid())


def whom(environment: Mapping[str, str]) -> Account:
    """Return whom to become: root becomes the caller, anybody else stays who they are."""
    return ourselves() if os.geteuid() else caller(environment)


def owner(directory: Path) -> Account:
    """Return who owns `directory`, and may so replace files in it without a capability.

    Raises:
        OSError: there is none.
    """
    status = directory.stat()
    return Account(status.st_uid, status.st_gid)


def for_bpf(*, attaching: bool) -> frozenset[int]:
    """Return the capabilities that bpf(2) takes where a descriptor alone is not enough, such as we have.

    Since c8644cd0efe7 ("bpf: refine kernel.unprivileged_bpf_disabled behaviour", Linux 5.19) it is for maps;
    before, that setting refused every use of bpf(2).

    Args:
        attaching: it is not only for maps, but to attach programs that are loaded.
    """
    known = privileges.read().last
    if known is not None and known < Capability.CAP_BPF:
        return permitted() & {Capability.CAP_SYS_ADMIN}
    wanted = {Capability.CAP_BPF, Capability.CAP_PERFMON} if attaching else {Capability.CAP_BPF}
    return permitted() & wanted


def permitted() -> frozenset[int]:
    """Return the capabilities that we have."""
    return _capabilities("CapPrm", _OWN)


def effective() -> frozenset[int]:
    """Return the capabilities that we can use as we are."""
    return _capabilities("CapEff", _OWN)


def act_as_nobody() -> None:
    """Be user 0 to no look at the effective user, with all the capabilities that we have; it can be undone.

    Raises:
        OSError: we may not, or there is no such user in this namespace.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    have, use = permitted(), effective()
    os.seteuid(_NOBODY)
    # The kernel took them from the effective ones.
    _set_capabilities(libc, effective=use, permitted=have)


def become(
    account: Account,
    *,
    keep: frozenset[int] = _NONE,
    fallback: frozenset[int] = _NONE,
    attempt: Callable[[], None] = lambda: None,
) -> frozenset[int]:
    """Become `account`, with no group but its own, whatever is executed later; return what was kept.

    Who is no root to begin with stays who they are, and gives up the capabilities.

    Args:
        account: whom to become.
        keep: the capabilities to keep.
        fallback: those to keep beside them if, and only if, `attempt` is refused without.
        attempt: does what has to be possible afterwards.

    Raises:
        PrivilegesKeptError: the kernel refused that, or `attempt` even so; or what we are allowed now is more
            than was wanted.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    with_parent = ctypes.c_int(0)
    try:
        # The kernel forgets it as we become somebody else, and whoever started us may count on it.
        _check(libc.prctl(_PR_GET_PDEATHSIG, ctypes.byref(with_parent), 0, 0, 0))
        for number in range(_MOST_CAPABILITIES):
            # Refused to who may not, and past the last capability: both leave nothing to be regained below.
            libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
        if os.geteuid() == 0:
            _check(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
            os.setgroups([])
            os.setresgid(account.gid, account.gid, account.gid)
            os.setresuid(account.uid, account.uid, account.uid)
        _check(libc.prctl(_PR_SET_PDEATHSIG, with_parent.value, 0, 0, 0))
        # Other processes of that user are not to take our descriptors by ptrace(2).
        _check(libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))
        _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _set_capabilities(libc, effective=keep, permitted=keep | fallback)
        try:
            attempt()
        except (PermissionError, BpfRefusedError):
            keep = keep | fallback
            _set_capabilities(libc, effective=keep, permitted=keep)
            attempt()
        _set_capabilities(libc, effective=keep, permitted=keep)
    except OSError as error:
        raise PrivilegesKeptError(
            f"privileges cannot be dropped: {error.strerror}; run as root with CAP_SETUID and CAP_SETGID, or "
            "as another user with the capabilities that recording needs"
        ) from error
    if libc.prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1:
        raise _kept("this kernel has no_new_privs, and did not set it")
    _verify(account, keep)
    return keep


def _set_capabilities(libc: ctypes.CDLL, *, effective: frozenset[int], permitted: frozenset[int]) -> None:
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    halves = []
    for shift in (0, 32):
        halves += [_bits(effective) >> shift & 0xFFFFFFFF, _bits(permitted) >> shift & 0xFFFFFFFF, 0]
    _check(libc.capset(header, struct.pack("<6I", *halves)))


def _bits(capabilities: frozenset[int]) -> int:
    return sum(1 << capability for capability in capabilities)


def _verify(account: Account, kept: frozenset[int]) -> None:
    """Look at every thread: capset(2) and prctl(2) are for the calling one, and libraries start others.

    Raises:
        PrivilegesKeptError: one is somebody else, or may do more.
    """
    for task in _TASKS.iterdir():
        ids = {_line(task, name) for name in ("Uid", "Gid")}
        if (
            ids != {"\t".join([str(account.uid)] * 4), "\t".join([str(account.gid)] * 4)}
            or not _capabilities("CapPrm", task) | _capabilities("CapEff", task) <= kept
            or _capabilities("CapInh", task)
        ):
            raise _kept(f"the thread {(task / 'comm').read_text().strip()} kept its own")


def _kept(why: str) -> PrivilegesKeptError:
    return PrivilegesKeptError(f"privileges were not dropped: {why}; please report this as a bug")


def _line(task: Path, name: str) -> str:
    lines = (task / "status").read_text().splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:"))


def _capabilities(name: str, task: Path) -> frozenset[int]:
    bits = int(_line(task, name), 16)
    return frozenset(number for number in range(_MOST_CAPABILITIES) if bits >> number & 1)


def _check(result: int) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))

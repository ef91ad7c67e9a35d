"""The recorder's own step down: once everything is attached, it is nobody who may do anything."""

from __future__ import annotations

import resource

from tifbpf.host import unprivileged
from tifbpf.host.privileges import Capability
from tifbpf.host.unprivileged import Account
from tifbpf.recorder.session import Session

_LOWEST_REAL_TIME = 1
_REFUSED = "without which bpf(2) is refused here"
_WHY = {
    Capability.CAP_BPF: f"CAP_BPF, {_REFUSED}",
    Capability.CAP_SYS_ADMIN: f"CAP_SYS_ADMIN, {_REFUSED}",
    Capability.CAP_PERFMON: "CAP_PERFMON, to attach again (--duty)",
    Capability.CAP_SYS_NICE: "CAP_SYS_NICE, without which exits would be missed while the maps are read",
}


def drop(session: Session, account: Account) -> str:
    """Become `account` for good, without any capability where this kernel lets us read the maps then.

    Args:
        session: entered; it must be able to go on.
        account: whom to become; see `unprivileged.whom`.

    Returns:
        What we are now, in a line.

    Raises:
        PrivilegesKeptError: it cannot be done.
    """
    kept = unprivileged.become(
        account,
        keep=for_the_cpu() if session.keeps_the_cpu else frozenset(),
        fallback=unprivileged.for_bpf(attaching=session.pauses),
        attempt=session.touch,
    )
    standing = f"runs as user {account.uid}, "
    if not kept:
        return f"{standing}without any capability"
    why = [_WHY[capability] for capability in _WHY if capability in kept]
    return f"{standing}with {' and '.join(why)}"


def for_the_cpu() -> frozenset[int]:
    """Let this process have the priority that `bpf.unpreempted` wants; return the capability that it takes.

    None, where the limit of that priority can be raised now (CAP_SYS_RESOURCE).
    """
    try:
        resource.setrlimit(resource.RLIMIT_RTPRIO, (_LOWEST_REAL_TIME, _LOWEST_REAL_TIME))
    except (OSError, ValueError):
        return frozenset({Capability.CAP_SYS_NICE}) & unprivileged.permitted()
    return frozenset()

"""The kernel's audit by its netlink protocol: whether it is on, its rules, and a rule for a while."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import struct
from collections.abc import Iterator
from enum import IntEnum

from tifbpf.exercises import kernel

# linux/netlink.h
_NETLINK_AUDIT = 9
_HEADER = struct.Struct("=IHHII")
"""`struct nlmsghdr`: length, type, flags, sequence, port."""
_NLM_F_REQUEST, _NLM_F_ACK = 1, 4
_NLMSG_ERROR, _NLMSG_DONE = 2, 3

# linux/audit.h
_STATUS_ENABLED = struct.Struct("=II")
"""The beginning of `struct audit_status`: mask, enabled."""
_AUDIT_FILTER_TASK = 1
_AUDIT_FILTER_PREPEND = 0x10
_AUDIT_NEVER = 0
_AUDIT_PID = 0
_AUDIT_EQUAL = 0x40000000
_MASK_WORDS = _MAX_FIELDS = 64
_FLAGS = struct.Struct("=I")
"""The beginning of `struct audit_rule_data`: which filter the rule belongs to."""
_RULE = struct.Struct(f"=II{_MASK_WORDS}I{_MAX_FIELDS}I{_MAX_FIELDS}I{_MAX_FIELDS}II")
"""The rest of it: action, field_count, mask, fields, values, fieldflags, buflen."""

_TIMEOUT = 5.0
_NEEDED = "it takes root or CAP_AUDIT_CONTROL, no container, and a kernel with CONFIG_AUDITSYSCALL"


class Message(IntEnum):
    """Types of messages, from linux/audit.h."""

    GET = 1000
    SET = 1001
    ADD_RULE = 1011
    DELETE_RULE = 1012
    LIST_RULES = 1013


class Audit:
    """A connection to the kernel's audit."""

    def __init__(self) -> None:
        """Connect.

        Raises:
            ExerciseUnavailableError: the host forbids it.
        """
        with kernel.needed("audit", _NEEDED):
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_AUDIT)
        self._socket.settimeout(_TIMEOUT)
        self._sequence = itertools.count(1)

    def close(self) -> None:
        """Disconnect."""
        self._socket.close()

    def enabled(self) -> bool:
        """Whether it is on."""
        (status,) = self.ask(Message.GET, replies=1)
        return bool(_STATUS_ENABLED.unpack_from(status)[1])

    def has_task_rules(self) -> bool:
        """Whether there are rules for the moment when a process is forked."""
        rules = self.ask(Message.LIST_RULES)
        return any(_FLAGS.unpack_from(rule)[0] == _AUDIT_FILTER_TASK for rule in rules)

    @contextlib.contextmanager
    def never_for_children(self) -> Iterator[None]:
        """Have processes that this one forks not audited.

        At that moment a new process still has its parent's number, which is what the rule names.
        """
        rule = _task_never(os.getpid())
        # That it goes first is said when it is added, and no part of it.
        self.ask(Message.ADD_RULE, _FLAGS.pack(_AUDIT_FILTER_TASK | _AUDIT_FILTER_PREPEND) + rule, replies=0)
        try:
            yield
        finally:
            self.ask(Message.DELETE_RULE, _FLAGS.pack(_AUDIT_FILTER_TASK) + rule, replies=0)

    def ask(self, message: Message, payload: bytes = b"", replies: int | None = None) -> list[bytes]:
        """Send a request and return the payloads of its replies.

        Args:
            message: The request's type, which is its replies' too.
            payload: What follows the header.
            replies: How many there will be; None: as many as come before the one that says that it was all.

        Raises:
            ExerciseUnavailableError: the kernel refuses it.
        """
        sequence = next(self._sequence)
        flags = _NLM_F_REQUEST | _NLM_F_ACK
        header = _HEADER.pack(_HEADER.size + len(payload), message, flags, sequence, 0)
        found: list[bytes] = []
        acknowledged = finished = False
        with kernel.needed("audit", _NEEDED):
            self._socket.send(header + payload)
            while not (acknowledged and (finished or len(found) == replies)):
                reply = self._socket.recv(1 << 16)
                length, type_, _, number, _ = _HEADER.unpack_from(reply)
                if number != sequence:
                    continue
                body = reply[_HEADER.size : length]
                if type_ == _NLMSG_ERROR:
                    error = -int(struct.unpack_from("=i", body)[0])
                    if error:
                        raise OSError(error, os.strerror(error))
                    acknowledged = True
                elif type_ == message:
                    found.append(body)
                finished = finished or type_ == _NLMSG_DONE
        return found


@contextlib.contextmanager
def connected() -> Iterator[Audit]:
    """Connect to the kernel's audit for a while.

    Raises:
        ExerciseUnavailableError: the host forbids it.
    """
    audit = Audit()
    try:
        yield audit
    finally:
        audit.close()


def _task_never(pid: int) -> bytes:
    """Return what follows the flags of the rule that `auditctl -A task,never -F pid=PID` adds."""
    unused = [0] * (_MAX_FIELDS - 1)
    return _RULE.pack(
        _AUDIT_NEVER,
        1,
        *([0] * _MASK_WORDS),
        *(_AUDIT_PID, *unused),
        *(pid, *unused),
        *(_AUDIT_EQUAL, *unused),
        0,
    )

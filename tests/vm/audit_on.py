"""Switches the kernel's audit on, as auditd does; for a guest, since it cannot be taken back."""

from __future__ import annotations

import struct

from tifbpf.exercises.audit_netlink import Message, connected

# struct audit_status in linux/audit.h: mask (AUDIT_STATUS_ENABLED), enabled, eight words that the mask leaves
# out.
_ON = struct.pack("=II32x", 1, 1)

if __name__ == "__main__":
    with connected() as audit:
        audit.ask(Message.SET, _ON, replies=0)
        assert audit.enabled()

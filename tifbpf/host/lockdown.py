"""Whether the kernel is locked down, as far as it says so; trying is the judge."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tifbpf.host.facts import Finding

_PATH = Path("/sys/kernel/security/lockdown")
_MOUNT = "mount -t securityfs nodev /sys/kernel/security"


def read(path: Path = _PATH) -> Finding:
    """Return whether lockdown is on; `said` is the mode: none, integrity or confidentiality."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        if os.path.ismount(path.parent):
            return Finding(answer=False, said="none: the kernel has no lockdown")
        return Finding(answer=None, said="securityfs is not mounted", remedy=_MOUNT)
    except OSError as error:
        return Finding(answer=None, said=f"{path}: {error.strerror}")
    if (mode := re.search(r"\[(\w+)\]", text)) is None:
        return Finding(answer=None, said=f"{path}: {text.strip()!r}")
    return Finding(answer=mode.group(1) != "none", said=mode.group(1))

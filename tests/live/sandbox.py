"""What systemd would do for a unit, as far as it can be done without it: capabilities, limits, system calls.

`python -m tests.live.sandbox UNIT COMMAND…` executes the command so.
"""

from __future__ import annotations

import configparser
import ctypes
import os
import resource
import subprocess
import sys
from pathlib import Path

_CHECKOUT = "CAP_DAC_READ_SEARCH"
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000
"""SCMP_ACT_ALLOW and SCMP_ACT_ERRNO(0) of seccomp.h."""
_EPERM = 1
NOBODY = 65534


def service(unit: Path) -> dict[str, str]:
    """Return the section [Service]."""
    parser = configparser.ConfigParser(interpolation=None, comment_prefixes="#", strict=True)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(unit.read_text())
    return dict(parser["Service"])


def system_calls(allowed: str) -> set[str]:
    """Return the system calls of a SystemCallFilter=, its groups as systemd has them."""
    found: set[str] = set()
    for word in allowed.split():
        if not word.startswith("@"):
            found.add(word)
            continue
        listed = subprocess.run(
            ["systemd-analyze", "syscall-filter", word], check=True, capture_output=True, text=True
        ).stdout
        lines = [line.strip() for line in listed.splitlines()[1:]]
        found |= system_calls(" ".join(line for line in lines if line and not line.startswith("#")))
    return found


def refuse_all_but(names: set[str]) -> None:
    """Let this process, and whatever it executes, make no other system calls.

    Raises:
        OSError: it cannot be done.
    """
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(_REFUSE | _EPERM))
    for name in names:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            library.seccomp_rule_add(context, _ALLOW, number, 0)
    if library.seccomp_load(context):
        raise OSError("seccomp_load")


def main(unit: Path, command: list[str]) -> None:
    """Execute `command` as `unit` would be."""
    asked = service(unit)
    calls = system_calls(asked["SystemCallFilter"])
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (int(asked["LimitCORE"]), hard))
    os.umask(int(asked["UMask"], 8))
    # As systemd does, after what takes root; setpriv(1) is executed inside, and what it does is allowed too.
    refuse_all_but(calls | {"prctl", "capset", "setgroups", "setresuid", "setresgid"})
    # The checkout may be where only root can read, which an installed tifbpf is not.
    capabilities, bounding = (
        ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in [*asked[key].split(), _CHECKOUT])
        for key in ("AmbientCapabilities", "CapabilityBoundingSet")
    )
    os.execvp(  # noqa: S606 (no shell)
        "setpriv",
        [
            *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"),
            *(f"--inh-caps=-all,{capabilities}", f"--ambient-caps=-all,{capabilities}"),
            *(f"--bounding-set=-all,{bounding}", "--", *command),
        ],
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

"""Boots a kernel under emulation on top of the host's file system, and runs one command in it as root.

The guest sees the host's files read-only; what it writes elsewhere is gone when it ends, except below the one
directory that it shares with the host.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.vm import cache

SHARED = "/run/shared"
"""The shared directory, as the guest sees it."""
SCRATCH = "/run/scratch"
"""A directory of the guest's own; other places are read-only in kernels without overlayfs."""
LOG = "console.log"
"""What the guest's console showed: the kernel's messages, and the command's output."""

_BIN = Path(sys.executable).parent
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ROOT = Path(__file__).parents[2]
_ENDED = (124, 137)
"""What timeout(1) returns when the time was up."""


_running: set[subprocess.Popen[bytes]] = set()


class MachineError(Exception):
    """The guest did not do as it was told."""


def missing() -> list[str]:
    """Return the programs that it takes to boot a guest and that are not here."""
    tools = ("qemu-system-x86_64", "busybox", "file", "modprobe", "depmod", "dpkg-deb", "apt-get", "vng")
    return [tool for tool in tools if shutil.which(tool, path=f"{_BIN}:{_PATH}") is None]


def run(
    kernel: cache.Kernel,
    command: Sequence[str],
    shared: Path,
    limit: float,
    *,
    cpus: int = 2,
    emulator: Sequence[str] = (),
) -> None:
    """Boot `kernel`, and run `command` in it from the repository's root.

    Whether the command succeeded it has to say itself, in `shared`: vng's exit code is that of the command
    only on kernels that have virtio-serial built in.

    Args:
        kernel: from `cache.kernel`.
        command: the program and its arguments.
        shared: a directory of the host, at `SHARED` in the guest, and the only place that it can write to.
        limit: seconds after which the guest is ended, emulator and all.
        cpus: how many the guest has.
        emulator: more options for QEMU.

    Raises:
        MachineError: it took too long; with the end of its console.
    """
    home = cache.directory() / "home"
    home.mkdir(parents=True, exist_ok=True)
    inside = ["env", "-i", f"PATH={_PATH}", f"PYTHONPATH={_ROOT}", f"TMPDIR={SCRATCH}", "HOME=/root"]
    with (shared / LOG).open("w") as file:
        guest = subprocess.Popen(
            [
                # Emulator and file server end with us, however we end: timeout passes what it gets to both.
                *("setpriv", "--pdeathsig", "TERM", "timeout", "--kill-after=10", f"{limit:.0f}"),
                *(_BIN / "vng", "--verbose", "--disable-kvm", "--run", kernel.image),
                *("--cpus", str(cpus), "--memory", "2G", f"--rwdir={SHARED}={shared}"),
                *(f"--qemu-opts={option}" for option in emulator),
                *("--", f"mkdir -p {SCRATCH} && {shlex.join([*inside, *command])}"),
            ],
            cwd=_ROOT,
            # vng keeps settings and a cache in its user's home.
            env={"HOME": str(home), "PATH": f"{cache.virtiofsd()}:{_BIN}:{_PATH}", "TERM": "dumb"},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        _running.add(guest)
        try:
            code = guest.wait()
        finally:
            _end(guest)
    if code in _ENDED:
        raise MachineError(f"{kernel.release} was ended after {limit:.0f} s. {last(shared)}")


def end_all() -> None:
    """End all guests that were started here."""
    for guest in tuple(_running):
        _end(guest)


def _end(guest: subprocess.Popen[bytes]) -> None:
    guest.terminate()
    guest.wait()
    # timeout made a process group of its own, and does not wait for all of it.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(guest.pid, signal.SIGKILL)
    _running.discard(guest)


def ran_stale_code(shared: Path) -> bool:
    """Whether the guest died of the emulator's executing code that was no longer there.

    A kernel that patches itself (every static key and call that attaching switches does) puts an int3 in the
    place first, and takes its handler away when all CPUs have seen that the int3 is gone. Emulated with a
    thread per CPU, QEMU 7.2 has been seen to run the int3 after that: the oops shows the no-op in its place.
    """
    return "Oops: int3: 0000" in (shared / LOG).read_text(errors="replace")


def last(shared: Path) -> str:
    """Return what the console showed last."""
    log = shared / LOG
    lines = log.read_text(errors="replace").splitlines()[-40:]
    return f"The end of {log}:\n" + "\n".join(lines)

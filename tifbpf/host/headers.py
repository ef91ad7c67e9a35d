"""The headers of the very build that runs; those of a neighbour would name the wrong bits."""

from __future__ import annotations

import os
import re
from pathlib import Path

KHEADERS = Path("/sys/kernel/kheaders.tar.xz")
"""The kernel's own headers, where it was built with CONFIG_IKHEADERS and the module is loaded."""

# utsrelease.h first: it is what `uname -r` says. Debian 11 and 12 write the upstream version, 6.1.192, into
# kernel.release, and 6.1.0-56-amd64 here.
_RELEASE_FILES = ("include/generated/utsrelease.h", "include/config/kernel.release")


def candidates(release: str) -> tuple[Path, ...]:
    """Return where distributions put the headers of `release` (Debian, Arch; Debian, Ubuntu; Fedora)."""
    return (
        Path(f"/lib/modules/{release}/build"),
        Path(f"/usr/src/linux-headers-{release}"),
        Path(f"/usr/src/kernels/{release}"),
    )


def release_of(directory: Path) -> str | None:
    """Return the release that a configured headers directory says it is of; None if it does not say."""
    for name in _RELEASE_FILES:
        try:
            text = (directory / name).read_text()
        except (OSError, UnicodeDecodeError):
            continue
        found = re.search(r'UTS_RELEASE\s+"([^"]+)"', text) if name.endswith(".h") else None
        release = found.group(1) if found else text.strip()
        if release and "\n" not in release:
            return release
    return None


def find(release: str | None = None) -> Path | None:
    """Return the headers directory of `release`, by default the running kernel's; None if there is none.

    A directory that says to be of another release is none.
    """
    release = release or os.uname().release
    return next((path for path in candidates(release) if release_of(path) == release), None)


def kheaders() -> Path | None:
    """Return the archive of headers that the kernel carries, None if it carries none."""
    return KHEADERS if KHEADERS.is_file() else None

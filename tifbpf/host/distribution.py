"""How the host's distribution calls its packages."""

from __future__ import annotations

import platform
from collections.abc import Mapping

_INSTALL = {
    "debian": "apt install {}",
    "ubuntu": "apt install {}",
    "fedora": "dnf install {}",
    "rhel": "dnf install {}",
    "arch": "pacman -S {}",
}
_NAMES = {"debian": "Debian", "ubuntu": "Ubuntu", "fedora": "Fedora", "rhel": "RHEL", "arch": "Arch"}


def family() -> str | None:
    """Return the first of ID and ID_LIKE in os-release(5) that is known here, None if none is."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return None
    for name in (release.get("ID", ""), *release.get("ID_LIKE", "").split()):
        if name in _INSTALL:
            return name
    return None


def install(packages: Mapping[str, str], host: str | None = None) -> str:
    """Return the command that installs a package, or the commands of all distributions if it is unknown.

    Args:
        packages: from a key such as `debian` to the package's name there.
        host: the distribution, by default this host's.
    """
    host = host or family()
    if host is not None and host in packages:
        return f"`{_INSTALL[host].format(packages[host])}`"
    commands: dict[str, list[str]] = {}
    for key, package in packages.items():
        commands.setdefault(_INSTALL[key].format(package), []).append(_NAMES[key])
    return ", ".join(f"{'/'.join(names)}: `{command}`" for command, names in commands.items())

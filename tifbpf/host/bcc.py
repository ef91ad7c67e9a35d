"""Whether `import bcc` would find the BPF Compiler Collection, told without importing it.

PyPI's package of that name is a lattice library; importing it would prove nothing and might do anything.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import msgspec

from tifbpf.errors import NoBccError, WrongBccError
from tifbpf.host import distribution

_PACKAGES = {
    "debian": "python3-bpfcc",
    "ubuntu": "python3-bpfcc",
    "fedora": "python3-bcc",
    "rhel": "python3-bcc",
    "arch": "python-bcc",
}
# What the distributions' package has had since 0.5 and a namesake would hardly have.
_OWN_FILES = ("libbcc.py", "table.py")


class Bcc(msgspec.Struct, frozen=True, kw_only=True):
    """The BPF Compiler Collection's Python package."""

    directory: str
    version: str | None
    """What its version.py says, None if it does not."""


def _spec_directories() -> list[Path] | None:
    """Return where `import bcc` would look; None if it would fail, [] if it is a single module."""
    try:
        spec = importlib.util.find_spec("bcc")
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    return [Path(place) for place in spec.submodule_search_locations or ()]


def find() -> Bcc:
    """Return the package that `import bcc` would import.

    Raises:
        NoBccError: there is none.
        WrongBccError: it is another project of that name.
    """
    directories = _spec_directories()
    if directories is None:
        raise NoBccError(f"bcc is not installed for {sys.executable}: {_advice()}")
    for directory in directories:
        if all((directory / name).is_file() for name in _OWN_FILES):
            return Bcc(directory=str(directory), version=_version(directory))
    where = f" ({directories[0]})" if directories else ""
    raise WrongBccError(
        f"`import bcc` finds another project of that name{where}: `{sys.executable} -m pip uninstall bcc`, "
        f"then {_advice()}"
    )


def _advice() -> str:
    install = distribution.install(_PACKAGES)
    if sys.prefix == sys.base_prefix:
        return install
    return f"{install}, and make the virtual environment with --system-site-packages"


def _version(directory: Path) -> str | None:
    try:
        text = (directory / "version.py").read_text()
    except (OSError, UnicodeDecodeError):
        return None
    found = re.search(r"""^__version__\s*=\s*['"]([^'"]+)['"]""", text, re.MULTILINE)
    return found.group(1) if found else None

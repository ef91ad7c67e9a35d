"""The lock files: everything that is installed, at one version each, with the hashes of its files."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
RUN, HTML, DEV, TORTURE = (ROOT / f"requirements{name}.txt" for name in ("", "-html", "-dev", "-torture"))
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class Locked(NamedTuple):
    """One line of a lock file."""

    name: str
    version: str
    hashes: tuple[str, ...]
    applies: bool
    """Here: some are for other systems."""


def read(path: Path) -> dict[str, Locked]:
    """Return what a lock file locks, by name."""
    found = {}
    for line in path.read_text().replace("\\\n", " ").splitlines():
        text, *_ = line.split("--hash=", 1)
        requirement = Requirement(text)
        (pin,) = requirement.specifier
        assert pin.operator == "==", line
        name = canonicalize_name(requirement.name)
        applies = requirement.marker is None or requirement.marker.evaluate()
        found[name] = Locked(name, pin.version, tuple(HASH.findall(line)), applies)
    return found


def wanted(*extras: str) -> list[Requirement]:
    """Return what pyproject.toml asks for, with these extras or groups."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    optional = {**project["project"]["optional-dependencies"], **project["dependency-groups"]}
    texts = [*project["project"]["dependencies"], *(text for extra in extras for text in optional[extra])]
    return [Requirement(text) for text in texts]

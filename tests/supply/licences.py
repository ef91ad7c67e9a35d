"""The licences of all that is locked: `python -m tests.supply.licences` lists them, or fails."""

from __future__ import annotations

import contextlib
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from tests.supply import locks

_DATA: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())


class UnknownLicenceError(Exception):
    """Nobody says under which licence something is."""


def of(name: str) -> str:
    """Return the licence of an installed package, as SPDX.

    Raises:
        UnknownLicenceError: its metadata does not say, or in words that are not in licences.toml.
    """
    if name in _DATA["stated"]:
        return str(_DATA["stated"][name])
    try:
        about = metadata(name)
    except PackageNotFoundError as error:
        raise UnknownLicenceError(f"{name} is not installed") from error
    if expression := about.get("License-Expression"):
        return expression
    classifiers = [value for value in about.get_all("Classifier") or () if value.startswith("License ::")]
    said = [*classifiers, *(about.get("License") or "").strip().splitlines()[:1]]
    for text in (value.rpartition(" :: ")[2].strip() for value in reversed(said)):
        if text in _DATA["spelled"]:
            return str(_DATA["spelled"][text])
        with contextlib.suppress(InvalidLicenseExpression):
            return str(canonicalize_license_expression(text))
    raise UnknownLicenceError(f"{name}: {said or 'no licence in its metadata'}")


def is_compatible(expression: str) -> bool:
    """Whether a work under GPL-2.0-or-later can be combined with one under `expression`."""
    return any(
        all(part.strip(" ()") in _DATA["compatible"] for part in choice.split(" AND "))
        for choice in expression.split(" OR ")
    )


def all_locked(path: Path) -> dict[str, str]:
    """Return the licence of all that a lock file installs here, by name.

    Raises:
        UnknownLicenceError: of one it is not known.
    """
    return {name: of(name) for name, locked in locks.read(path).items() if locked.applies}


def refused(licences: dict[str, str]) -> dict[str, str]:
    """Return those that tifbpf cannot be combined with, and is."""
    return {
        name: licence
        for name, licence in licences.items()
        if not is_compatible(licence) and name not in _DATA["apart"]
    }


def main() -> int:
    """List all; return the exit code."""
    try:
        found = all_locked(locks.TORTURE)
    except UnknownLicenceError as error:
        print(f"unknown licence: {error}", file=sys.stderr)
        return 1
    width = max(map(len, found))
    for name, licence in sorted(found.items()):
        print(f"{name:{width}}  {licence}")
    for name, licence in refused(found).items():
        print(f"incompatible with GPL-2.0-or-later: {name}: {licence}", file=sys.stderr)
    return 1 if refused(found) else 0


if __name__ == "__main__":
    sys.exit(main())

"""Which functions the kernel has under their own names, and where."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec

_KALLSYMS = Path("/proc/kallsyms")
# "ffffffff81000000 T _stext": sixteen digits, the type between spaces.
_NAME = 19


class Place(msgspec.Struct, frozen=True):
    """A function's text; 0 and 0 where the kernel hides addresses (kptr_restrict, or not root)."""

    address: int
    size: int
    """Up to the next symbol, in bytes."""


class Symbols(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of kallsyms to a set of names."""

    places: dict[str, Place] | None
    """The names that are there; None where kallsyms cannot be read."""
    reason: str | None = None
    """Why it cannot, or why the addresses are 0."""


def find(names: Collection[str], path: Path = _KALLSYMS) -> Symbols:
    """Look names up; a function that exists only as `name.constprop.0` or the like is not there.

    Of several functions of one name, the first counts.
    """
    wanted = {name.encode(): name for name in names}
    starts: dict[str, int] = {}
    ends: dict[str, int] = {}
    waiting: list[str] = []
    try:
        with path.open("rb") as lines:
            for line in lines:
                if waiting and (address := int(line[:16], 16)) != starts[waiting[0]]:
                    ends.update(dict.fromkeys(waiting, address))
                    waiting.clear()
                if (name := wanted.get(line[_NAME:-1])) is not None and name not in starts:
                    starts[name] = int(line[:16], 16)
                    waiting.append(name)
                    # Aliases share an address; one that came from elsewhere ends by itself.
                    waiting[:] = [other for other in waiting if starts[other] == starts[name]]
    except (OSError, ValueError) as error:
        return Symbols(places=None, reason=f"{path}: {getattr(error, 'strerror', None) or 'not kallsyms'}")
    places = {name: Place(start, max(ends.get(name, start) - start, 0)) for name, start in starts.items()}
    hidden = bool(places) and all(place.address == 0 for place in places.values())
    return Symbols(
        places=places,
        reason="kallsyms hides the addresses (not root, or kernel.kptr_restrict)" if hidden else None,
    )


def names(addresses: Collection[int], path: Path = _KALLSYMS) -> dict[int, str]:
    """Return what begins at `addresses`; of several names, the first counts; {} where it cannot be told."""
    wanted = {b"%016x" % address: address for address in addresses}
    found: dict[int, str] = {}
    try:
        with path.open("rb") as lines:
            for line in lines:
                address = wanted.get(line[:16])
                # A module's name would follow, behind a tab.
                if address is not None and (words := line[_NAME:].split(maxsplit=1)):
                    found.setdefault(address, words[0].decode("ascii", "replace"))
    except OSError:
        return {}
    return found

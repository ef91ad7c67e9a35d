"""Which functions the kernel has under their own names, and where."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

KALLSYMS = Path("/proc/kallsyms")
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


_held: dict[Path, bytes] | None = None


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Read it once for all that is asked within: the kernel takes 40 ms to write its 5 MB."""
    global _held
    before, _held = _held, {}
    try:
        yield
    finally:
        _held = before


def text(path: Path = KALLSYMS) -> bytes:
    """Return all of it.

    Raises:
        OSError: it cannot be read.
    """
    if _held is None:
        return path.read_bytes()
    if path not in _held:
        _held[path] = path.read_bytes()
    return _held[path]


def find(names: Collection[str], path: Path = KALLSYMS) -> Symbols:
    """Look names up; a function that exists only as `name.constprop.0` or the like is not there.

    Of several functions of one name, the first counts.
    """
    wanted = {name.encode(): name for name in names}
    starts: dict[str, int] = {}
    ends: dict[str, int] = {}
    waiting: list[str] = []
    try:
        for line in io.BytesIO(text(path)):
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


def names(addresses: Collection[int], path: Path = KALLSYMS) -> dict[int, str]:
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

"""Addresses of the running kernel that programs compare with, and breakpoints are put at."""

from __future__ import annotations

from collections.abc import Iterable

from tifbpf.errors import BpfRefusedError
from tifbpf.host import kallsyms
from tifbpf.host.kallsyms import Place
from tifbpf.host.text import cold
from tifbpf.layouts.model import Context
from tifbpf.recorder import entry_stubs

_EXITS = ("irqentry_exit", "irqentry_exit_to_user_mode")
"""What runs the work loop of an exception's exit, where that is inlined."""
_ALL_EXITS = (
    *_EXITS,
    "do_syscall_64",
    "exit_to_user_mode_loop",
    "exit_to_user_mode_prepare",
    "syscall_exit_to_user_mode",
    "syscall_exit_to_user_mode_work",
)
"""What calls the handlers of the work, on any kernel with C entry code, from whatever context."""
_RENAMED = ("bpf_probe_read_kernel", "bpf_probe_read_kernel_str")
"""The helpers that bcc calls otherwise where it does not know whether the kernel has them; see
`compiler._without_kallsyms`."""
_NUMBERS = {context: f"CONTEXT_{context.name}" for context in Context}


class Addresses:
    """Where functions are, since this boot."""

    def __init__(self, places: dict[str, Place], stubs: Iterable[entry_stubs.Range]) -> None:
        """Take what kallsyms says."""
        self._places = places
        every = [place for name, place in places.items() if name in _IN_EXIT]
        exits = [place for name, place in places.items() if name in _FROM_EXIT]
        self.text = "\n".join(
            [
                *(f"#undef {name}" for name in _RENAMED if name in places),
                f"#define ENTRY_CONTEXT(a) ({_classes(stubs)})",
                f"#define FROM_EXIT(a) ({_within(exits)})",
                f"#define IN_EXIT(a) ({_within_unbranched(every)})",
            ]
        )
        """Definitions for probes/hooks.h: a context for an address, and whether it is in an exit; and the
        kernel's own helpers, where it has them."""

    def of(self, symbol: str) -> int:
        """Return where a function begins.

        Raises:
            BpfRefusedError: kallsyms does not say.
        """
        place = self._places.get(symbol)
        if place is None or not place.address:
            raise BpfRefusedError(
                f"the address of {symbol} is hidden: run as root, with kernel.kptr_restrict below 2"
            )
        return place.address


_FROM_EXIT = frozenset(part for name in _EXITS for part in (name, cold(name)))
_IN_EXIT = frozenset(part for name in _ALL_EXITS for part in (name, cold(name)))


def find(symbols: Iterable[str]) -> Addresses:
    """Look up `symbols`, the exits and the entry stubs."""
    found = kallsyms.find({*symbols, *_IN_EXIT, *_RENAMED}).places or {}
    return Addresses(found, entry_stubs.find())


def _classes(stubs: Iterable[entry_stubs.Range]) -> str:
    chosen = "".join(
        f"(a) > {stub.start:#x}ULL && (a) <= {stub.end:#x}ULL ? {_NUMBERS[stub.context]} : " for stub in stubs
    )
    return f"{chosen}NO_CONTEXT"


def _within_unbranched(places: Iterable[Place]) -> str:
    """Return what is 1 in one of the places, and 0 elsewhere.

    The verifier follows both ways of every branch: a few places for a few addresses are too many ways for it.
    """
    behind = [f"((a) - {place.address + 1:#x}ULL)" for place in places if place.address]
    sizes = [place.size for place in places if place.address]
    tests = [f"((~{a} & ({a} - {size}ULL)) >> 63)" for a, size in zip(behind, sizes, strict=True)]
    return "|".join(tests) or "0"


def _within(places: Iterable[Place]) -> str:
    # A return address: behind a call, so never the first byte, and perhaps the one past the last.
    tests = [
        f"((a) > {place.address:#x}ULL && (a) <= {place.address + place.size:#x}ULL)"
        for place in places
        if place.address
    ]
    return "||".join(tests) or "0"

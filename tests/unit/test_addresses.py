"""Which addresses the programs take for which context, by evaluating what they are compiled with."""

from __future__ import annotations

import re

import pytest

from tifbpf.errors import BpfRefusedError
from tifbpf.host.kallsyms import Place
from tifbpf.layouts.model import Context
from tifbpf.recorder.addresses import Addresses
from tifbpf.recorder.entry_stubs import Range

SYSCALLS = Range(0xFFFFFFFF81000000, 0xFFFFFFFF81000100, Context.SYSCALL)
INTERRUPTS = Range(0xFFFFFFFF81001000, 0xFFFFFFFF81001020, Context.INTERRUPT)
EXIT = Place(0xFFFFFFFF81ABC000, 0x80)


def definitions(addresses: Addresses) -> dict[str, str]:
    return dict(re.findall(r"^#define (\w+)\(a\) \((.*)\)$", addresses.text, re.MULTILINE))


def within(expression: str, address: int) -> bool:
    """Evaluate what IN_EXIT and FROM_EXIT are made of, in 64 bits without a sign."""
    python = re.sub(r"(0x[0-9a-f]+|\b\d+)ULL", r"\1", expression).replace("||", " or ").replace("&&", " and ")

    class Unsigned(int):
        def __sub__(self, other: int) -> Unsigned:
            return Unsigned(int.__sub__(self, other) % 2**64)

        def __invert__(self) -> Unsigned:
            return Unsigned(2**64 - 1 - int(self))

        def __and__(self, other: int) -> Unsigned:
            return Unsigned(int.__and__(self, other))

    return bool(eval(python, {"a": Unsigned(address)}))  # noqa: S307 (our own text)


def test_a_return_address_lies_behind_a_call() -> None:
    text = Addresses({}, [SYSCALLS, INTERRUPTS]).text.splitlines()[0]
    assert text == (
        "#define ENTRY_CONTEXT(a) "
        "((a) > 0xffffffff81000000ULL && (a) <= 0xffffffff81000100ULL ? CONTEXT_SYSCALL : "
        "(a) > 0xffffffff81001000ULL && (a) <= 0xffffffff81001020ULL ? CONTEXT_INTERRUPT : NO_CONTEXT)"
    )


def test_without_addresses_nothing_is_known() -> None:
    hidden = Addresses({"irqentry_exit": Place(0, 0)}, [])
    assert definitions(hidden) == {"ENTRY_CONTEXT": "NO_CONTEXT", "FROM_EXIT": "0", "IN_EXIT": "0"}


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        (0, False),
        (EXIT.address - 1, False),
        (EXIT.address, False),  # no call ends where the function begins
        (EXIT.address + 1, True),
        (EXIT.address + EXIT.size - 1, True),
        (EXIT.address + EXIT.size, True),  # the call was the function's last instruction
        (EXIT.address + EXIT.size + 1, False),
        (2**64 - 1, False),
    ],
)
@pytest.mark.parametrize("definition", ["FROM_EXIT", "IN_EXIT"])
def test_the_edges_of_an_exit(definition: str, address: int, inside: bool) -> None:
    places = {"irqentry_exit": EXIT, "irqentry_exit_to_user_mode": Place(0xFFFFFFFF81ABD000, 0x40)}
    assert within(definitions(Addresses(places, []))[definition], address) is inside


def test_a_system_calls_exit_is_not_an_exceptions() -> None:
    found = definitions(Addresses({"do_syscall_64": EXIT}, []))
    assert found["FROM_EXIT"] == "0"
    assert within(found["IN_EXIT"], EXIT.address + 8)


def test_a_cold_part_belongs_to_its_function() -> None:
    found = definitions(Addresses({"irqentry_exit.cold": EXIT}, []))
    assert within(found["FROM_EXIT"], EXIT.address + 8)


def test_where_a_function_begins() -> None:
    addresses = Addresses({"exit_to_user_mode_loop": EXIT, "hidden": Place(0, 0)}, [])
    assert addresses.of("exit_to_user_mode_loop") == 0xFFFFFFFF81ABC000
    for symbol in ("hidden", "no_such_function"):
        with pytest.raises(BpfRefusedError, match=f"^the address of {symbol} is hidden: run as root"):
            addresses.of(symbol)

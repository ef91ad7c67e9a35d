"""What a test of a word leads to, where it hits."""

from __future__ import annotations

from typing import NamedTuple

from tifbpf.machine import symbols
from tifbpf.machine.code import Code, Function
from tifbpf.machine.walk import Test, Walk

_PAIR = 2


class Guarded(NamedTuple):
    """What is done where a test hits, and nowhere else on the way to the next question."""

    callees: tuple[int, ...]
    """Addresses that are called, in the order of the way."""
    clears: int
    """Bits of the word that are cleared."""


def guarded(code: Code, walk: Walk, test: Test) -> Guarded:
    """Return what `test` guards: up to where both its ways meet, or to a test of other bits."""
    branch = walk.branches[test]
    search = _Search(code, walk, test)
    function = code.function(branch.function)
    if function is not None:
        search.explore(function, branch.hit, branch.miss)
    return Guarded(tuple(dict.fromkeys(search.callees)), search.clears)


class _Search:
    def __init__(self, code: Code, walk: Walk, test: Test) -> None:
        self._code = code
        self._walk = walk
        self._test = test
        self._tests: dict[int, list[Test]] = {}
        for other in walk.tests:
            self._tests.setdefault(other.address, []).append(other)
        self._entered: dict[str, bool] = {}
        self.callees: list[int] = []
        self.clears = 0

    def explore(self, function: Function, begin: int, end: int | None) -> bool:
        """Add what is reached from `begin` without passing `end`; return whether the function's end is."""
        left, seen, returns = [begin], set(), False
        while left:
            address = left.pop()
            while address != end and address not in seen:
                seen.add(address)
                instruction = function.instructions.get(address)
                if instruction is None or self._asks_else(address):
                    break
                word, bits = self._walk.clears.get(address, (None, 0))
                self.clears |= bits if word is self._test.word else 0
                target = instruction.target
                if target in function.instructions:
                    left.append(target)
                elif target is not None and not self._call(target):
                    break
                returns |= instruction.returns or (target is not None and instruction.mnemonic == "jmp")
                if instruction.ends:
                    break
                address = instruction.after
        return returns

    def _asks_else(self, address: int) -> bool:
        """Whether it tests bits that have nothing to do with these.

        Behind a mask are tests of its parts, and of masks that are much like it. Behind one bit, or two,
        there may be any.
        """
        bits = self._test.bits
        return any(
            other.word is not self._test.word
            or (other.bits & ~bits and (bits.bit_count() <= _PAIR or not other.bits & bits))
            for other in self._tests.get(address, ())
        )

    def _call(self, target: int) -> bool:
        """Add what is called; return whether it comes back without having asked for other bits."""
        name = self._code.called(target)
        if name in symbols.RETURN_THUNKS:
            return True
        if name is None or symbols.base(name) not in symbols.FOLLOWED:
            self.callees.append(target)
            return True
        if name not in self._entered:
            function = self._code.function(name)
            self._entered[name] = True
            if function is not None:
                self._entered[name] = self.explore(function, function.start, None)
        return self._entered[name]

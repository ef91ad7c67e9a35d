"""What a kernel's machine code tests on its way to user space."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from tifbpf.layouts.model import Context, Word


class Role(StrEnum):
    """What a mask decides."""

    ENTRY = "entry"
    """Whether a system call takes the slow way in."""
    SYSCALL_WORK = "syscall work"
    """Whether an exit from a system call does its one-time work: audit, trace, ptrace."""
    WORK = "work"
    """Whether an exit does work such as rescheduling and signals."""
    LOOP = "loop"
    """Whether that work is begun, or done once more, by the word as it was read again."""


class TestedMask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An immediate that decides how slow an exit is."""

    role: Role
    word: Word
    value: int
    contexts: tuple[Context, ...]
    root: str
    """The function that it was found from: one that exits of these contexts pass."""
    function: str
    """The function that has the test."""
    offset: int
    """Of the instruction that tests, from the function's begin."""
    instruction: str

    @property
    def where(self) -> str:
        """The test, and where it is, as words."""
        return f"{self.function}+{self.offset:#x}: {self.instruction}"


class Guard(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Some bits, and what is called where one of them is set."""

    word: Word
    value: int
    callees: tuple[str, ...]
    """What is inlined there, or reached by a pointer or past a static key, is missing."""
    clears: int = 0
    """The bits of the word that are cleared on the way."""
    entry: bool = False
    """Whether it is on the way into a system call."""
    function: str
    offset: int
    """Of the instruction that tests, from the function's begin."""
    instruction: str

    @property
    def where(self) -> str:
        """The test, and where it is, as words."""
        return f"{self.function}+{self.offset:#x}: {self.instruction}"


class Tested(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The masks and the guards of one kernel."""

    source: str
    """Whose machine code it is."""
    masks: tuple[TestedMask, ...] = ()
    guards: tuple[Guard, ...] = ()
    missing: tuple[str, ...] = ()
    """What was looked for and not found, or why nothing could be looked at."""

    def decisive(self, role: Role, context: Context) -> TestedMask | None:
        """Return the mask of that role for exits from `context`.

        It is that of the first root, which is the way of most exits; the 32-bit entries may differ. None
        where none was found, and where tests of that role do not agree.
        """
        found = [mask for mask in self.masks if context in mask.contexts]
        found = [mask for mask in found if mask.root == found[0].root and mask.role is role]
        return found[0] if len({(mask.word, mask.value) for mask in found}) == 1 else None

    def callees(self, word: Word, number: int) -> tuple[str, ...]:
        """Return what bit `number` guards on the way out, by the narrowest tests of it."""
        about = [guard for guard in self.guards if guard.word is word and guard.value >> number & 1]
        about = [guard for guard in about if not guard.entry]
        narrowest = min((guard.value.bit_count() for guard in about), default=0)
        return tuple(
            dict.fromkeys(
                name for guard in about if guard.value.bit_count() == narrowest for name in guard.callees
            )
        )

    def differing(self) -> Iterator[TestedMask]:
        """Yield the masks of further roots that are not those of the first."""
        for mask in self.masks:
            decisive = [self.decisive(mask.role, context) for context in mask.contexts]
            if any(one is not None and one.value != mask.value for one in decisive):
                yield mask

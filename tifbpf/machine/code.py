"""Machine code as instructions, and a function as all that belongs to it."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tifbpf.machine import symbols
from tifbpf.machine.image import Image
from tifbpf.machine.values import REGISTERS, Register

if TYPE_CHECKING:
    import capstone

_LARGEST = 1 << 16
_STUB = 32
# A direct call may be patched to end in the 16 bytes before the function (call depth tracking) or behind its
# endbr64 (IBT).
_BEFORE, _AFTER = 16, 4
_RETURNS = frozenset({"ret", "iretq", "sysretq"})
_FULL = (1 << 64) - 1


class Memory(NamedTuple):
    """An operand in memory."""

    base: str | None
    """The register that it is relative to; None for an address, a segment's or one with an index."""
    displacement: int
    size: int
    """In bytes."""
    per_cpu: bool


Operand = Register | Memory | int
"""A register, memory, or an immediate, sign-extended by the processor and taken modulo 2 ** 64 here."""


class Instruction(NamedTuple):
    """What matters of one instruction."""

    address: int
    after: int
    mnemonic: str
    """Without prefixes."""
    text: str
    operands: tuple[Operand | None, ...]
    """None for one that is none of Operand."""
    writes: frozenset[str]
    """Whole registers, and `rflags`."""
    locked: bool

    @property
    def target(self) -> int | None:
        """Where a direct jump or call goes; None for any other instruction."""
        if self.mnemonic != "call" and not self.mnemonic.startswith("j"):
            return None
        return self.operands[0] if isinstance(self.operands[0], int) else None

    @property
    def ends(self) -> bool:
        """Whether what is behind it is not run next. What is behind `ud2` may be: it is a warning, too."""
        return self.mnemonic in ("jmp", "int3") or self.mnemonic in _RETURNS

    @property
    def returns(self) -> bool:
        """Whether it ends the function."""
        return self.mnemonic in _RETURNS


@functools.cache
def _disassembler() -> capstone.Cs:
    # Imported here: it takes 20 ms.
    import capstone

    disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    disassembler.detail = True
    return disassembler


def disassemble(code: bytes, address: int) -> Iterator[Instruction]:
    """Yield the instructions in `code`, up to the first bytes that are none."""
    for found in _disassembler().disasm(code, address):
        *prefixes, mnemonic = found.mnemonic.split()
        _, written = found.regs_access()
        names = (found.reg_name(register) for register in written)
        yield Instruction(
            address=found.address,
            after=found.address + found.size,
            mnemonic=mnemonic,
            text=f"{found.mnemonic} {found.op_str}".rstrip(),
            operands=tuple(_operand(found, operand) for operand in found.operands),
            writes=frozenset(REGISTERS[name].whole if name in REGISTERS else name for name in names),
            locked="lock" in prefixes,
        )


def _operand(instruction: Any, operand: Any) -> Operand | None:
    from capstone import x86_const as x86

    if operand.type == x86.X86_OP_REG:
        return REGISTERS.get(instruction.reg_name(operand.reg))
    if operand.type == x86.X86_OP_IMM:
        return int(operand.imm) & _FULL
    memory = operand.mem
    base = instruction.reg_name(memory.base) if memory.base else None
    per_cpu = memory.segment == x86.X86_REG_GS
    plain = not memory.segment and not memory.index
    return Memory(
        base=base if plain else None,
        displacement=int(memory.disp),
        size=int(operand.size),
        per_cpu=per_cpu and base in (None, "rip") and not memory.index,
    )


class Function(NamedTuple):
    """A function, with the part of it that was moved out of line."""

    name: str
    start: int
    instructions: dict[int, Instruction]
    joints: frozenset[int]
    """Where jumps in it go."""


class Code:
    """The functions of an image, disassembled when they are asked for."""

    def __init__(self, image: Image) -> None:
        """Take the image."""
        self._image = image
        self._functions: dict[str, Function | None] = {}
        self._starts: dict[int, str] = {}
        wanted = symbols.names()
        for name, place in image.places.items():
            if place.address and (name in wanted or symbols.base(name) in symbols.FOLLOWED):
                self._starts.setdefault(place.address, name)

    def function(self, name: str) -> Function | None:
        """Return the function of that very name; None where the image has none.

        Raises:
            OSError: its text cannot be read.
        """
        if name not in self._functions:
            self._functions[name] = self._disassembled(name)
        return self._functions[name]

    def _disassembled(self, name: str) -> Function | None:
        places = self._image.places
        spans = [places[part] for part in (name, name + symbols.COLD) if part in places]
        # Where a part ends is not known for the last symbol, nor before a hole.
        if name not in places or not all(span.address and 0 < span.size <= _LARGEST for span in spans):
            return None
        instructions = {
            instruction.address: instruction
            for span in spans
            for instruction in disassemble(self._image.read(span.address, span.size), span.address)
        }
        targets = (instruction.target for instruction in instructions.values())
        return Function(
            name=name,
            start=spans[0].address,
            instructions=instructions,
            joints=frozenset(target for target in targets if target in instructions),
        )

    def called(self, target: int) -> str | None:
        """Return the name of what a call to `target` calls, if it is one of those that were looked up."""
        for address in _starts(target):
            if address in self._starts:
                return self._starts[address]
        return None

    def names(self, targets: Collection[int]) -> dict[int, str]:
        """Return the names of what calls to `targets` call, as far as the image knows them."""
        known = {target: name for target in targets if (name := self.called(target))}
        rest = [target for target in targets if target not in known]
        found = self._image.names({start for target in rest for start in _starts(target)}) if rest else {}
        for target in rest:
            for address in _starts(target):
                if address in found:
                    known[target] = found[address]
                    break
        return known

    def back(self, target: int, function: Function) -> Sequence[int]:
        """Return where in `function` code at `target`, outside of it, comes back to.

        An alternative that is not patched yet (.altinstr_aux) tests a feature of the CPU out of line.
        """
        try:
            code = self._image.read(target, _STUB)
        except OSError:
            return ()
        found = []
        for instruction in disassemble(code, target):
            if instruction.target in function.instructions:
                found.append(instruction.target)
            if instruction.ends:
                break
        return found


def _starts(target: int) -> tuple[int, ...]:
    """Return where what is called by a call to `target` may begin, the likeliest first."""
    return (target, target - _AFTER, *range(target + 1, target + _BEFORE + 1))

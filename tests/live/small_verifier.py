"""What the BPF verifier of Linux 4.1 asks of a program, as far as probes/legacy.c could get it wrong.

Written after kernel/bpf/verifier.c of that time: every way through is walked. A pointer is the context, into
the stack, a map or the beginning of a value; arithmetic makes a number of any other. Only the register that
was compared with 0 is known not to be null. What is read of the stack, and what a helper is given there, was
written.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, NoReturn

LOOKUP, UPDATE, DELETE, PROBE_READ = 1, 2, 3, 4
_LDX, _ST, _STX, _ALU, _JMP, _ALU64 = 1, 2, 3, 4, 5, 7
_SIZES = {0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8}
_FRAME = 10


class Map(NamedTuple):
    """Sizes in bytes."""

    key: int
    value: int


class Instruction(NamedTuple):
    """struct bpf_insn."""

    opcode: int
    target: int
    source: int
    offset: int
    immediate: int


class Kind(NamedTuple):
    """What a register holds: `none`, `number`, `constant`, `context`, `stack`, `map`, `value`, `value?`."""

    name: str
    at: int = 0
    """The constant, the place in the stack, the map's descriptor."""


NONE, NUMBER, CONTEXT = Kind("none"), Kind("number"), Kind("context")


class State(NamedTuple):
    """Registers, and the stack: bytes that were written, and 8-byte slots that hold a pointer."""

    registers: tuple[Kind, ...]
    written: frozenset[int]
    spilled: frozenset[tuple[int, Kind]]

    def set(self, register: int, kind: Kind) -> State:
        """Return this state with another content of one register."""
        changed = list(self.registers)
        changed[register] = kind
        return self._replace(registers=tuple(changed))

    def write(self, at: int, size: int, pointer: Kind | None = None) -> State:
        """Return this state after a write to the stack."""
        kept = frozenset((slot, kind) for slot, kind in self.spilled if slot + 8 <= at or at + size <= slot)
        return self._replace(
            written=self.written | frozenset(range(at, at + size)),
            spilled=kept | {(at, pointer)} if pointer else kept,
        )


class RejectedError(Exception):
    """The old verifier would not load it."""


def decode(code: bytes) -> list[Instruction]:
    """Return a program's instructions."""
    return [
        Instruction(opcode, registers & 15, registers >> 4, offset, immediate)
        for opcode, registers, offset, immediate in struct.iter_unpack("<BBhi", code)
    ]


def verify(program: list[Instruction], maps: dict[int, Map]) -> int:
    """Walk every way through; return how many instructions that took.

    Raises:
        RejectedError: where and why it would not be loaded.
    """
    start = State((NONE, CONTEXT, *[NONE] * 8, Kind("stack", 0)), frozenset(), frozenset())
    waiting, seen, steps = [(0, start)], set(), 0
    while waiting:
        index, state = waiting.pop()
        while (index, state) not in seen:
            seen.add((index, state))
            steps += 1
            nexts = _Step(program, maps, index, state).follow()
            if not nexts:
                break
            waiting += nexts[1:]
            index, state = nexts[0]
    return steps


class _Step:
    """One instruction in one state."""

    def __init__(self, program: list[Instruction], maps: dict[int, Map], index: int, state: State) -> None:
        self.instruction = program[index]
        self.maps = maps
        self.index = index
        self.state = state

    def reject(self, why: str) -> NoReturn:
        raise RejectedError(f"{self.index}: {self.instruction}: {why}")

    def read(self, register: int) -> Kind:
        kind = self.state.registers[register]
        if kind is NONE or kind.name == "none":
            self.reject(f"R{register} !read_ok")
        return kind

    def follow(self) -> list[tuple[int, State]]:
        one = self.instruction
        kind = one.opcode & 7
        if one.opcode == 0x18:
            content = Kind("map", one.immediate) if one.source == 1 else NUMBER
            return [(self.index + 2, self.state.set(one.target, content))]
        if kind in (_ALU, _ALU64):
            return [(self.index + 1, self.state.set(one.target, self.compute(kind)))]
        if kind in (_LDX, _ST, _STX):
            return [(self.index + 1, self.memory(kind))]
        if kind != _JMP:
            self.reject("unknown opcode")
        return self.jump()

    def compute(self, width: int) -> Kind:
        one = self.instruction
        operation, by_register = one.opcode & 0xF0, bool(one.opcode & 8)
        if operation == 0x80:
            self.read(one.target)
            return NUMBER
        other = self.read(one.source) if by_register else None
        if operation == 0xB0:
            if other is None:
                return Kind("constant", one.immediate)
            return other if width == _ALU64 else NUMBER
        mine = self.read(one.target)
        if one.target == _FRAME:
            self.reject("frame pointer is read only")
        if operation == 0x00 and width == _ALU64 and mine.name == "stack" and other is None:
            return Kind("stack", mine.at + one.immediate)
        return NUMBER

    def memory(self, kind: int) -> State:
        one = self.instruction
        size = _SIZES[one.opcode & 0x18]
        base = self.read(one.source if kind == _LDX else one.target)
        stored = self.read(one.source) if kind == _STX else None
        at = base.at + one.offset
        if kind == _STX and one.opcode & 0xE0 == 0xC0 and base.name not in ("stack", "value"):
            self.reject(f"atomic on {base.name}")
        if base.name == "context":
            if kind != _LDX or not 0 <= one.offset <= 168 - size or one.offset % size:
                self.reject("invalid bpf_context access")
            return self.state.set(one.target, NUMBER)
        if base.name == "value":
            if not 0 <= one.offset <= self.maps[base.at].value - size:
                self.reject("invalid access to map value")
            return self.state.set(one.target, NUMBER) if kind == _LDX else self.state
        if base.name != "stack":
            self.reject(f"invalid mem access {base.name!r}")
        if not -512 <= at <= -size:
            self.reject("invalid stack access")
        if kind == _LDX:
            spilled = dict(self.state.spilled).get(at) if size == 8 else None
            if spilled is None:
                self.written(at, size)
            return self.state.set(one.target, spilled or NUMBER)
        pointer = stored if stored and stored.name not in ("number", "constant") else None
        if pointer and size != 8:
            self.reject("invalid size of register spill")
        return self.state.write(at, size, pointer)

    def written(self, at: int, size: int) -> None:
        pointers = {byte for slot, _ in self.state.spilled for byte in range(slot, slot + 8)}
        bytes_ = set(range(at, at + size))
        if not bytes_ <= self.state.written or bytes_ & pointers:
            self.reject(f"invalid read from stack off {at} size {size}")

    def jump(self) -> list[tuple[int, State]]:
        one = self.instruction
        operation = one.opcode & 0xF0
        there = self.index + 1 + one.offset
        if operation == 0x80:
            return [(self.index + 1, self.call())]
        if operation == 0x90:
            if self.read(0).name not in ("number", "constant"):
                self.reject("R0 leaks addr as return value")
            return []
        if operation == 0x00:
            return [(there, self.state)]
        if operation >= 0x80:
            self.reject("unknown jump")
        mine = self.read(one.target)
        if one.opcode & 8:
            self.read(one.source)
        null = not_null = self.state
        if mine.name == "value?" and operation in (0x10, 0x50) and not one.opcode & 8 and one.immediate == 0:
            null, not_null = (self.state.set(one.target, kind) for kind in (NUMBER, Kind("value", mine.at)))
        taken, passed = (null, not_null) if operation == 0x10 else (not_null, null)
        return [(self.index + 1, passed), (there, taken)]

    def call(self) -> State:
        one = self.instruction
        state = self.state
        if one.immediate in (LOOKUP, UPDATE, DELETE):
            if self.read(1).name != "map":
                self.reject("R1 is no map")
            map_ = self.maps[self.read(1).at]
            self.given(2, map_.key)
            if one.immediate == UPDATE:
                self.given(3, map_.value)
                self.read(4)
        elif one.immediate == PROBE_READ:
            place, size = self.read(1), self.read(2)
            self.read(3)
            if place.name != "stack" or size.name != "constant" or not -512 <= place.at <= -size.at:
                self.reject("R1, R2 are no place in the stack")
            # ARG_PTR_TO_STACK in 4.1: the bytes have to be written beforehand.
            self.written(place.at, size.at)
            state = state.write(place.at, size.at)
        result = Kind("value?", self.read(1).at) if one.immediate == LOOKUP else NUMBER
        for register in range(1, 6):
            state = state.set(register, NONE)
        return state.set(0, result)

    def given(self, register: int, size: int) -> None:
        kind = self.read(register)
        if kind.name != "stack":
            self.reject(f"R{register} type={kind.name} expected=fp")
        self.written(kind.at, size)

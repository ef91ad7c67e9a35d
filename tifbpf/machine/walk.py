"""A walk through the exit code, which knows at each instruction what registers have of the words.

It is an abstract interpretation: at a joint, what either way may bring is taken together. A function that is
called, if it is one of those that are followed, is walked through with what its arguments are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tifbpf.layouts.model import Word
from tifbpf.machine import symbols
from tifbpf.machine.code import Code, Function, Instruction, Memory
from tifbpf.machine.values import ARGUMENTS, CALLER_SAVED, Known, Part, Register, Value, join

_WORD = 8
"""The size of each word, in bytes; thread_info begins with the TIF word, and syscall_work follows it."""
_WORDS = (Word.TIF, Word.SYSCALL_WORK)
_AX, _CS = 0x50, 0x88
"""Of struct pt_regs: where the result of a system call is put, and where a user's code segment is."""
_USER = 3
"""The bits of a segment selector that are not 0 for user space."""


class Test(NamedTuple):
    """One test of a word: whether any of `bits` is set, or, with `equals`, whether exactly those are."""

    address: int
    """Of the instruction that tests."""
    word: Word
    bits: int
    equals: int = 0


class Branch(NamedTuple):
    """Where a test leads to."""

    function: str
    hit: int
    miss: int


class _Flags(NamedTuple):
    """What the processor's flags tell."""

    test: Test
    sign: int = 0
    """The bit that the sign flag shows."""
    carry: bool = False
    """It is the carry flag that shows the bit."""


class _UserFlags(NamedTuple):
    """The zero flag tells whether the kernel was interrupted."""


class _State(NamedTuple):
    registers: Mapping[str, Value]
    """By the whole register's name; a place in the stack frame has a name like `rsp+8`."""
    flags: _Flags | _UserFlags | None
    exiting: bool
    """Whether the system call is done, on some way to here."""

    def joined(self, other: _State) -> _State:
        """Return what is known where either may be the case."""
        registers = {
            name: value
            for name in self.registers.keys() & other.registers.keys()
            if (value := join(self.registers[name], other.registers[name])) is not None
        }
        flags = self.flags if self.flags == other.flags else None
        return _State(registers, flags, self.exiting or other.exiting)


class Walk:
    """What a walk has found, after `run`."""

    def __init__(self, code: Code, *, quiet: bool) -> None:
        """Take the code; with `quiet` no bit of any word is set, and the walk is that of a fast exit."""
        self._code = code
        self._quiet = quiet
        self._done: dict[object, tuple[Value | None, bool]] = {}
        self.tests: dict[Test, bool] = {}
        """Each with whether the system call is done there."""
        self.branches: dict[Test, Branch] = {}
        self.clears: dict[int, tuple[Word, int]] = {}
        """Bits that an instruction clears in the current task's words, by its address."""
        self.has_status = False
        """Whether what follows the TIF word is `status`, as up to 5.10, and no second word."""

    def run(self, root: symbols.Root) -> bool:
        """Walk from `root` on; False where the image has no such function.

        Raises:
            OSError: its text cannot be read.
        """
        if self._code.function(root.name) is None:
            return False
        registers: dict[str, Value] = {root.regs: Known.REGISTERS} if root.regs else {}
        self._enter(root.name, _State(registers, None, root.exiting))
        return True

    def _enter(self, name: str, state: _State) -> tuple[Value | None, bool]:
        """Walk through a function; return what it returns, and whether the system call is done then."""
        arguments = {name: value for name, value in state.registers.items() if name in ARGUMENTS}
        state = _State(arguments, None, state.exiting or symbols.is_exit(name))
        key = (name, frozenset(state.registers.items()), state.exiting)
        if key in self._done:
            return self._done[key]
        self._done[key] = (None, state.exiting)  # for a function that calls itself
        function = self._code.function(name)
        if function is None:
            return None, state.exiting
        known = {function.start: state}
        left = [function.start]
        returned: list[tuple[Value | None, bool]] = []
        while left:
            address = left.pop()
            for successor, found in self._block(function, address, known[address], returned):
                before = known.get(successor)
                after = found if before is None else before.joined(found)
                if after != before:
                    known[successor] = after
                    left.append(successor)
        self._done[key] = _together(returned, state.exiting)
        return self._done[key]

    def _block(
        self, function: Function, address: int, state: _State, returned: list[tuple[Value | None, bool]]
    ) -> Iterator[tuple[int, _State]]:
        """Walk on from `address` up to a joint; yield where it goes on, and what is known there."""
        begun = address
        while (instruction := function.instructions.get(address)) is not None:
            if address != begun and address in function.joints:
                yield address, state
                return
            if instruction.returns:
                returned.append((state.registers.get("rax"), state.exiting))
                return
            target = instruction.target
            if instruction.mnemonic == "call":
                if target is not None and self._code.called(target) in symbols.NO_RETURN:
                    return
                state = self._call(target, state)
            elif instruction.mnemonic == "jmp":
                yield from self._jump(function, target, state, returned)
                return
            elif target is not None:
                for successor in self._successors(function, instruction, target, state):
                    yield successor, state
                return
            else:
                state = self._step(instruction, state)
            if instruction.ends:
                return
            address = instruction.after

    def _call(self, target: int | None, state: _State) -> _State:
        name = None if target is None else self._code.called(target)
        if name == symbols.FENTRY:
            return state
        value: Value | None = Known.RESULT
        exiting = state.exiting
        if name is not None and symbols.base(name) in symbols.FOLLOWED:
            value, exiting = self._enter(name, state)
            value = value or Known.RESULT
        registers = {name: value for name, value in state.registers.items() if name not in CALLER_SAVED}
        if value is not None:
            registers["rax"] = value
        return _State(registers, None, exiting)

    def _jump(
        self,
        function: Function,
        target: int | None,
        state: _State,
        returned: list[tuple[Value | None, bool]],
    ) -> Iterator[tuple[int, _State]]:
        if target is None:
            return
        if target in function.instructions:
            yield target, state
            return
        name = self._code.called(target)
        if name in symbols.RETURN_THUNKS:
            returned.append((state.registers.get("rax"), state.exiting))
        elif name is not None and symbols.base(name) in symbols.FOLLOWED:
            returned.append(self._enter(name, state))
        elif back := self._code.back(target, function):
            unknown = _State(state.registers, None, state.exiting)
            yield from ((address, unknown) for address in back)
        else:
            returned.append((None, state.exiting))

    def _successors(
        self, function: Function, instruction: Instruction, target: int, state: _State
    ) -> Iterator[int]:
        """Yield where a conditional jump may go."""
        after, flags, condition = instruction.after, state.flags, instruction.mnemonic[1:]
        if isinstance(flags, _UserFlags) and condition in ("e", "ne"):
            yield target if condition == "ne" else after
            return
        decided = _decided(flags, condition) if isinstance(flags, _Flags) else None
        if decided is None:
            yield from (after, target)
            return
        test, on_hit = decided
        branch = Branch(function.name, *((target, after) if on_hit else (after, target)))
        self.tests[test] = self.tests.get(test, False) or state.exiting
        self.branches[test] = branch
        yield branch.miss
        if not self._quiet:
            yield branch.hit

    def _step(self, instruction: Instruction, state: _State) -> _State:
        """Return what is known after an instruction that neither jumps nor calls."""
        registers = {
            name: value
            for name, value in state.registers.items()
            # Where the stack or the frame pointer is moved, its places have other names.
            if name not in instruction.writes and name[: len("rsp")] not in instruction.writes
        }
        flags = None if "rflags" in instruction.writes else state.flags
        exiting = state.exiting
        first, second = (*instruction.operands, None, None)[:2]
        match instruction.mnemonic, first, second:
            case "mov" | "movzx", Register(), Register() | Memory():
                _keep(registers, first, self._value(second, state))
            case "mov", Memory(), Register():
                # regs->ax = x64_sys_call(regs, nr), by whatever name and pointer it is called.
                is_result = state.registers.get(second.whole) is Known.RESULT
                exiting |= is_result and first.displacement == _AX and first.base not in (None, "rsp")
                _spill(registers, first, state.registers.get(second.whole))
            case "and", Register(), int():
                if isinstance(part := self._value(first, state), Part):
                    immediate = second & _all(first)
                    flags = _Flags(Test(instruction.address, part.word, part.tested(immediate)))
                    registers[first.whole] = _masked(state.registers[first.whole], first, immediate)
            case "test", Register() | Memory(), _:
                flags = self._tested(instruction, first, second, state)
            case "bt", Register() | Memory(), int():
                if isinstance(part := self._value(first, state), Part):
                    test = Test(instruction.address, part.word, part.tested(1 << second))
                    flags = _Flags(test, carry=True)
            case "cmp", Register() | Memory(), int():
                if isinstance(part := self._value(first, state), Part):
                    bits = part.tested(_all(first))
                    flags = _Flags(
                        Test(instruction.address, part.word, bits, part.tested(second & _all(first)))
                    )
            case "shr", Register(width=32 | 64), int():
                if isinstance(part := self._value(first, state), Part):
                    registers[first.whole] = part._replace(shift=part.shift + second)
            case "and" | "btr", Memory(), int():
                self._clear(instruction, first, second, state)
        return _State(registers, flags, exiting)

    def _tested(
        self, instruction: Instruction, first: Register | Memory, second: object, state: _State
    ) -> _Flags | _UserFlags | None:
        value = self._value(first, state)
        everything = _all(first)
        if isinstance(second, int):
            immediate = second & everything
        elif second == first:
            immediate = everything
        else:
            return None
        if value is Known.SELECTOR and immediate == _USER:
            return _UserFlags()
        if not isinstance(value, Part):
            return None
        sign = value.tested(immediate & (everything + 1) >> 1)
        return _Flags(Test(instruction.address, value.word, value.tested(immediate)), sign=sign)

    def _clear(self, instruction: Instruction, memory: Memory, immediate: int, state: _State) -> None:
        if not isinstance(part := self._value(memory, state), Part):
            return
        if not instruction.locked:
            # arch_exit_to_user_mode_prepare() clears TS_COMPAT, in a 32-bit `status`.
            self.has_status |= part.word is Word.SYSCALL_WORK and memory.size == _WORD // 2
            return
        cleared = 1 << immediate if instruction.mnemonic == "btr" else ~immediate & _all(memory)
        self.clears[instruction.address] = (part.word, part.tested(cleared))

    def _value(self, operand: Register | Memory, state: _State) -> Value | None:
        """Return what an operand holds, at its own scale."""
        if isinstance(operand, Register):
            value = state.registers.get(operand.whole)
            if isinstance(value, Part):
                everything = _all(operand) << operand.shift
                shift = value.shift + operand.shift
                return value.narrowed(everything)._replace(shift=shift)
            return value if operand.width == 64 or value is Known.SELECTOR else None
        if operand.per_cpu:
            return Known.THREAD if operand.size == _WORD else None
        if (place := _place(operand)) in state.registers:
            return state.registers[place]
        base = state.registers.get(operand.base or "")
        if base is Known.REGISTERS and operand.displacement == _CS:
            return Known.SELECTOR
        index, byte = divmod(operand.displacement, _WORD)
        if base is not Known.THREAD or not 0 <= index < len(_WORDS):
            return None
        return Part(_WORDS[index], _all(operand) << 8 * byte, 8 * byte)


def _decided(flags: _Flags, condition: str) -> tuple[Test, bool] | None:
    """Return the test that a conditional jump depends on, and whether it jumps where it hits."""
    test = flags.test
    if flags.carry:
        return (test, condition == "b") if condition in ("b", "ae") else None
    if condition in ("s", "ns") and flags.sign:
        return test._replace(bits=flags.sign), condition == "s"
    if condition not in ("e", "ne"):
        return None
    return test, (condition == "e") == bool(test.equals)


def _all(operand: Register | Memory) -> int:
    return (1 << (operand.width if isinstance(operand, Register) else 8 * operand.size)) - 1


def _keep(registers: dict[str, Value], register: Register, value: Value | None) -> None:
    # Writing 8 or 16 bits leaves the rest of the register as it was; 32 clear it.
    if value is not None and register.width >= 32:
        registers[register.whole] = value


def _place(memory: Memory) -> str:
    """Return the name of a place in the stack frame; of other memory too, and nothing is kept there."""
    return f"{memory.base}{memory.displacement:+}"


def _spill(registers: dict[str, Value], memory: Memory, value: Value | None) -> None:
    if memory.base not in ("rsp", "rbp"):
        return
    registers.pop(_place(memory), None)
    # rbp is a frame pointer only in some functions; in others it may well be a pointer to a structure.
    if value is not None and memory.size == _WORD and (memory.base == "rsp" or memory.displacement < 0):
        registers[_place(memory)] = value


def _masked(value: Value, register: Register, immediate: int) -> Value:
    """Return what an `and` leaves of a whole register."""
    if not isinstance(value, Part):
        return value
    if register.width >= 32:
        return value.narrowed(immediate)
    lost = ~immediate & _all(register)
    return value._replace(mask=value.mask & ~(lost << register.shift << value.shift))


def _together(returned: list[tuple[Value | None, bool]], exiting: bool) -> tuple[Value | None, bool]:
    if not returned:
        return None, exiting
    value = returned[0][0]
    for other, _ in returned[1:]:
        value = join(value, other)
    return value, any(done for _, done in returned)

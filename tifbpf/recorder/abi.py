"""What the recorder and the BPF programs share, written once: numbers become -D definitions, structs sizes.

The structs mirror probes/exits.h; a live test compares their sizes with what the compiler made.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum, IntEnum
from typing import NamedTuple, Self

import msgspec

from tifbpf.layouts.model import Context
from tifbpf.layouts.syscalls import Abi

TS_COMPAT = 0x0002
"""In `thread_info.status`: the call came through a 32-bit entry (arch/x86/include/asm/thread_info.h)."""
X32_SYSCALL_BIT = 0x40000000
"""`__X32_SYSCALL_BIT` (arch/x86/include/uapi/asm/unistd.h)."""


UNMEASURED = 0xFF
"""`latency_log2` of an exit whose time was not taken."""
NR_BPF = 321
"""`__NR_bpf` (arch/x86/entry/syscalls/syscall_64.tbl), the call in which a program is run here."""
USER_CS = 0x33
"""`__USER_CS` (arch/x86/include/asm/segment.h)."""
GET_CURRENT_TASK = 35
"""`BPF_FUNC_get_current_task` (include/uapi/linux/bpf.h)."""
PT_REGS_SIZE = 168
USER_REGS_PLACES = tuple(size - padding - PT_REGS_SIZE for size in (16384, 32768) for padding in (0, 8, 16))
"""Where on a task's stack its user registers may be: THREAD_SIZE (doubled by KASAN) and
TOP_OF_KERNEL_STACK_PADDING (16 with FRED) depend on the configuration."""
NESTED_INTERRUPT = PT_REGS_SIZE + 16
"""Bytes between the user registers and a hook in an interrupt's handler: fewer, and the interrupt came from
user mode (80 on 6.12 and 6.18, 104 on 7.3); more, and it interrupted the exit of another, so that two return
addresses and the registers that it pushed itself lie in between as well (272, 288 and 344 at the least)."""
PTRACE_EVENTMSG_SYSCALL_EXIT = 2
"""include/uapi/linux/ptrace.h."""


NOBODY = 0xFFFFFFFF
"""A tgid that no process has: while only its exits are shown, nothing is counted."""


class ContextNumber(IntEnum):
    """`Context` as the programs write it."""

    SYSCALL = 0
    INTERRUPT = 1
    EXCEPTION = 2


class AbiNumber(IntEnum):
    """`Abi` as the programs write it."""

    X86_64 = 0
    I386 = 1
    X32 = 2


CONTEXTS = {number: Context[number.name] for number in ContextNumber}
ABIS = {number: Abi[number.name] for number in AbiNumber}


def enum_to_defines(prefix: str, enum: type[IntEnum]) -> dict[str, int]:
    """Return `{PREFIX_MEMBER: value}` for all members."""
    return {f"{prefix}_{member.name}": member.value for member in enum}


def defines(values: Mapping[str, int | str | None]) -> list[str]:
    """Return compiler flags; None defines the name alone. Numbers are unsigned long long."""
    flags = []
    for name, value in values.items():
        if value is None:
            flags.append(f"-D{name}")
        else:
            flags.append(f"-D{name}={value}" if isinstance(value, str) else f"-D{name}={value:#x}")
    return flags


class Dimension(Enum):
    """A dimension that is part of the key: its definition, and its members of struct class_key."""

    CGROUP = ("BY_CGROUP", "Q")
    COMM = ("BY_COMM", "16s")
    PID = ("BY_PID", "I4x")
    SYSCALL = ("BY_SYSCALL", "iI")

    def __init__(self, define: str, members: str) -> None:
        self.define = define
        self.members = members


class ClassKey(NamedTuple):
    """struct class_key, with None for what was not asked for."""

    word: int
    syscall_work: int
    context: int
    all: int = 0
    """1: counted among all exits of its context, its words not looked at."""
    latency_log2: int = UNMEASURED
    cgroup: int | None = None
    comm: bytes | None = None
    pid: int | None = None
    syscall: int | None = None
    abi: int | None = None


class KeyColumns(NamedTuple):
    """Many keys: their members, each as a column; None for what was not asked for."""

    word: Sequence[int]
    syscall_work: Sequence[int]
    context: Sequence[int]
    all: Sequence[int]
    latency_log2: Sequence[int]
    cgroup: Sequence[int] | None = None
    comm: Sequence[bytes] | None = None
    pid: Sequence[int] | None = None
    syscall: Sequence[int] | None = None
    abi: Sequence[int] | None = None

    @classmethod
    def of(cls, keys: Iterable[ClassKey]) -> Self:
        """Return the columns of keys with the same dimensions."""
        columns = list(zip(*keys, strict=True)) or [()] * len(cls._fields)
        return cls._make(None if column[:1] == (None,) else column for column in columns)

    def at(self, rows: Sequence[int]) -> Self:
        """Return these rows, in this order."""
        chosen = (column and tuple(map(column.__getitem__, rows)) for column in self)
        # mypy cannot see that each column stays what it is.
        return type(self)(*chosen)  # type: ignore[arg-type]


class KeyCodec:
    """struct class_key for one choice of dimensions."""

    def __init__(self, dimensions: Iterable[str]) -> None:
        """Take the names that `--by` takes; cpu is no part of the key, the maps are per CPU."""
        asked = {name.upper() for name in dimensions}
        self.dimensions = tuple(dimension for dimension in Dimension if dimension.name in asked)
        members = "".join(dimension.members for dimension in self.dimensions)
        self._struct = struct.Struct(f"<QQ{members}IBB2x")
        fields = ["word", "syscall_work"]
        for dimension in self.dimensions:
            fields += ["syscall", "abi"] if dimension is Dimension.SYSCALL else [dimension.name.lower()]
        fields += ["context", "all", "latency_log2"]
        self._fields = fields
        self._order = [ClassKey._fields.index(field) for field in fields]

    @property
    def size(self) -> int:
        """Bytes."""
        return self._struct.size

    def encode(self, key: ClassKey) -> bytes:
        """Return a key that has a value for each dimension."""
        return self._struct.pack(*(key[index] for index in self._order))

    def columns(self, keys: bytearray) -> KeyColumns:
        """Return a batch of keys, column by column."""
        columns = list(zip(*self._struct.iter_unpack(keys), strict=True)) or [()] * len(self._fields)
        return KeyColumns(**dict(zip(self._fields, columns, strict=True)))

    def decode(self, keys: memoryview) -> Iterator[ClassKey]:
        """Yield the keys of a batch."""
        template: list[int | bytes | None] = [None] * len(ClassKey._fields)
        for values in self._struct.iter_unpack(keys):
            for index, value in zip(self._order, values, strict=True):
                template[index] = value
            yield ClassKey._make(template)


class Counters(msgspec.Struct, frozen=True):
    """struct counters: exits of one set, CPU and context; of legacy.c, all of it."""

    seen: int
    plain: int
    map_full: int
    read_failed: int
    unclassified: int
    filtered: int
    all: int
    all_plain: int
    all_map_full: int

    STRUCT = struct.Struct("<9Q")


class SampledCounters(Counters, frozen=True):
    """The same where programs can sample (exits.h)."""

    not_sampled: int
    all_not_sampled: int
    until_sampled: int
    all_until_sampled: int

    STRUCT = struct.Struct("<13Q")


SETTINGS = struct.Struct("<IIII")
"""active, self_tgid, check_tgid, user_regs."""
CHECK_KEY = struct.Struct("<QQiIII")
"""word, syscall_work, syscall, abi, context, all."""
OWN_WORDS = struct.Struct("<QQQQQ")
"""word, syscall_work, pid_tgid, read_failed, user_regs."""
CLASS_VALUE = struct.Struct("<Q")
TIMED_CLASS_VALUE = struct.Struct("<QQQ")
"""count, ns, ns_max: struct class_value with LATENCY."""


def shared_defines() -> dict[str, int | str | None]:
    """Return the definitions that every program needs, whatever is recorded."""
    return {
        **enum_to_defines("CONTEXT", ContextNumber),
        **enum_to_defines("ABI", AbiNumber),
        "NR_CONTEXTS": len(ContextNumber),
        "TS_COMPAT": TS_COMPAT,
        "X32_SYSCALL_BIT": X32_SYSCALL_BIT,
        "NR_BPF": NR_BPF,
        "GET_CURRENT_TASK": GET_CURRENT_TASK,
        "USER_CS": USER_CS,
        "USER_REGS_PLACES": f"{{{','.join(map(str, USER_REGS_PLACES))}}}",
        "NESTED_INTERRUPT": NESTED_INTERRUPT,
        "PTRACE_EVENTMSG_SYSCALL_EXIT": PTRACE_EVENTMSG_SYSCALL_EXIT,
    }


def thread_name(comm: bytes) -> str:
    """Return what stands in a `char comm[TASK_COMM_LEN]`; bytes that are no UTF-8 as escapes."""
    return comm.partition(b"\0")[0].decode(errors="backslashreplace")

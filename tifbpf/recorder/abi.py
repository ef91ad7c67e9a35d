"""What the recorder and the BPF programs share, written once: numbers become -D definitions, structs sizes.

The structs mirror probes/exits.h; a live test compares their sizes with what the compiler made.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, IntEnum
from typing import NamedTuple

import msgspec

from tifbpf.layouts.model import Context
from tifbpf.layouts.syscalls import Abi

TS_COMPAT = 0x0002
"""In `thread_info.status`: the call came through a 32-bit entry (arch/x86/include/asm/thread_info.h)."""
X32_SYSCALL_BIT = 0x40000000
"""`__X32_SYSCALL_BIT` (arch/x86/include/uapi/asm/unistd.h)."""


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
    cgroup: int | None = None
    comm: bytes | None = None
    pid: int | None = None
    syscall: int | None = None
    abi: int | None = None


class KeyCodec:
    """struct class_key for one choice of dimensions."""

    def __init__(self, dimensions: Iterable[str]) -> None:
        """Take the names that `--by` takes; cpu is no part of the key, the maps are per CPU."""
        asked = {name.upper() for name in dimensions}
        self.dimensions = tuple(dimension for dimension in Dimension if dimension.name in asked)
        members = "".join(dimension.members for dimension in self.dimensions)
        self._struct = struct.Struct(f"<QQ{members}I4x")
        fields = ["word", "syscall_work"]
        for dimension in self.dimensions:
            fields += ["syscall", "abi"] if dimension is Dimension.SYSCALL else [dimension.name.lower()]
        fields.append("context")
        self._order = [ClassKey._fields.index(field) for field in fields]

    @property
    def size(self) -> int:
        """Bytes."""
        return self._struct.size

    def decode(self, keys: memoryview) -> Iterator[ClassKey]:
        """Yield the keys of a batch."""
        template: list[int | bytes | None] = [None] * len(ClassKey._fields)
        for values in self._struct.iter_unpack(keys):
            for index, value in zip(self._order, values, strict=True):
                template[index] = value
            yield ClassKey._make(template)


class Counters(msgspec.Struct, frozen=True):
    """struct counters: exits of one set, CPU and context."""

    seen: int
    plain: int
    map_full: int
    read_failed: int
    filtered: int

    STRUCT = struct.Struct("<5Q")


SETTINGS = struct.Struct("<III4x")
"""active, self_tgid, check_tgid."""
CHECK_KEY = struct.Struct("<QQiII4x")
"""word, syscall_work, syscall, abi, context."""
OWN_WORDS = struct.Struct("<QQQQ")
"""word, syscall_work, pid_tgid, read_failed."""


def shared_defines() -> dict[str, int | str | None]:
    """Return the definitions that every program needs, whatever is recorded."""
    return {
        **enum_to_defines("CONTEXT", ContextNumber),
        **enum_to_defines("ABI", AbiNumber),
        "NR_CONTEXTS": len(ContextNumber),
        "TS_COMPAT": TS_COMPAT,
        "X32_SYSCALL_BIT": X32_SYSCALL_BIT,
    }

"""What the kernel's BTF says: structure members, enumerations, functions.

Reads /sys/kernel/btf/vmlinux through libbpf, which holds about 6 MB while a `KernelTypes` is open.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from enum import IntEnum
from types import TracebackType
from typing import Self

from tifbpf.errors import NoTypesError
from tifbpf.host import libbpf


class _Kind(IntEnum):
    """`BTF_KIND_*` (include/uapi/linux/btf.h)."""

    STRUCT = 4
    UNION = 5
    ENUM = 6
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    FUNC = 12
    ENUM64 = 19


class _Type(ctypes.Structure):
    """struct btf_type; `size` is the type that it points to where the kind has one."""

    _fields_ = (("name", ctypes.c_uint32), ("info", ctypes.c_uint32), ("size", ctypes.c_uint32))


class _Member(ctypes.Structure):
    """struct btf_member."""

    _fields_ = (("name", ctypes.c_uint32), ("type", ctypes.c_uint32), ("offset", ctypes.c_uint32))


class _Parameter(ctypes.Structure):
    """struct btf_param."""

    _fields_ = (("name", ctypes.c_uint32), ("type", ctypes.c_uint32))


class _Enumerator(ctypes.Structure):
    """struct btf_enum."""

    _fields_ = (("name", ctypes.c_uint32), ("value", ctypes.c_int32))


class _Enumerator64(ctypes.Structure):
    """struct btf_enum64."""

    _fields_ = (("name", ctypes.c_uint32), ("low", ctypes.c_uint32), ("high", ctypes.c_uint32))


_held: list[int] | None = None


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Load it once for all that is opened, and closed again, within: it takes some 8 ms."""
    global _held
    before, _held = _held, []
    try:
        yield
    finally:
        for handle in _held:
            libbpf.library().btf__free(handle)
        _held = before


class KernelTypes:
    """The running kernel's BTF, open until `close()` or the end of a `with`."""

    def __init__(self) -> None:
        """Load it.

        Raises:
            NoTypesError: the kernel has no BTF, or it cannot be read.
            NoLibbpfError: libbpf is not installed.
        """
        self._library = libbpf.library()
        self._btf: int | None = _held[0] if _held else self._load()
        if _held == []:
            _held.append(self._btf)

    def _load(self) -> int:
        handle = self._library.btf__load_vmlinux_btf()
        code = ctypes.get_errno()
        # libbpf 0 returns an error pointer, the last page of the address space, instead of null.
        if not handle or handle > 2**64 - 4096:
            reason = os.strerror(2**64 - handle if handle else code)
            raise NoTypesError(
                f"the kernel's BTF cannot be read ({reason}): install the headers of this kernel, "
                "or boot one with CONFIG_DEBUG_INFO_BTF=y"
            )
        return int(handle)

    def close(self) -> None:
        """Free the memory; harmless when done twice."""
        if self._btf is not None and self._btf not in (_held or ()):
            self._library.btf__free(self._btf)
        self._btf = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def struct_members(self, name: str) -> dict[str, int] | None:
        """Return the byte offset of each member of `struct name`; None if there is no such struct.

        Members of anonymous structs and unions inside count as the struct's own, as in C. Bit-fields start
        at the byte that holds their first bit.
        """
        number = self._find(name, _Kind.STRUCT)
        return None if number is None else dict(self._members(number, 0))

    def enum_values(self, name: str) -> dict[str, int] | None:
        """Return name and value of each enumerator of `enum name`; None if there is no such enum."""
        for kind, entry in ((_Kind.ENUM, _Enumerator), (_Kind.ENUM64, _Enumerator64)):
            number = self._find(name, kind)
            if number is None:
                continue
            head, address = self._type(number)
            return {
                self._name(item.name): item.value
                if isinstance(item, _Enumerator)
                else item.high << 32 | item.low
                for item in (entry * (head.info & 0xFFFF)).from_address(address)
            }
        return None

    def function(self, name: str) -> tuple[str, ...] | None:
        """Return the names of the function's arguments; None if BTF has no such function.

        That it is there does not mean that it can be attached to.
        """
        number = self._find(name, _Kind.FUNC)
        if number is None:
            return None
        head, address = self._type(self._type(number)[0].size)
        return tuple(
            self._name(item.name) for item in (_Parameter * (head.info & 0xFFFF)).from_address(address)
        )

    def function_id(self, name: str) -> int | None:
        """Return the number of the function's type, which loading an fentry program takes."""
        return self._find(name, _Kind.FUNC)

    def has_typedef(self, name: str) -> bool:
        """Whether there is `typedef … name`."""
        return self._find(name, _Kind.TYPEDEF) is not None

    def _find(self, name: str, kind: _Kind) -> int | None:
        number = int(self._library.btf__find_by_name_kind(self._open(), name.encode(), kind))
        return number if number > 0 else None

    def _open(self) -> int:
        if self._btf is None:
            raise ValueError("KernelTypes is closed")
        return self._btf

    def _type(self, number: int) -> tuple[_Type, int]:
        """Return a type's head and the address of what follows it."""
        address = self._library.btf__type_by_id(self._open(), number)
        if not address:
            raise NoTypesError(f"the kernel's BTF has no type {number}, which it refers to")
        return _Type.from_address(address), address + ctypes.sizeof(_Type)

    def _name(self, offset: int) -> str:
        name: bytes | None = self._library.btf__name_by_offset(self._open(), offset)
        return (name or b"").decode()

    def _members(self, number: int, base: int) -> Iterator[tuple[str, int]]:
        head, address = self._type(number)
        for member in (_Member * (head.info & 0xFFFF)).from_address(address):
            # With the kind flag (bit 31), the upper byte is the size of a bit-field.
            bits = member.offset & 0xFFFFFF if head.info >> 31 else member.offset
            offset = base + bits // 8
            name = self._name(member.name)
            if name:
                yield name, offset
            elif (inner := self._aggregate(member.type)) is not None:
                yield from self._members(inner, offset)

    def _aggregate(self, number: int) -> int | None:
        """Return the struct or union that a type is, behind qualifiers and names; None if it is neither."""
        while True:
            head, _ = self._type(number)
            kind = head.info >> 24 & 0x1F
            if kind in (_Kind.STRUCT, _Kind.UNION):
                return number
            if kind not in (_Kind.TYPEDEF, _Kind.CONST, _Kind.VOLATILE):
                return None
            number = head.size

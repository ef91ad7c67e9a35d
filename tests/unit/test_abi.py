from __future__ import annotations

import ctypes
from enum import IntEnum

import pytest

from tifbpf.recorder.abi import ABIS, CONTEXTS, UNMEASURED, ClassKey, KeyCodec, defines, enum_to_defines


class Fruit(IntEnum):
    APPLE = 0
    PEAR = 3


def test_enums_become_definitions() -> None:
    assert enum_to_defines("FRUIT", Fruit) == {"FRUIT_APPLE": 0, "FRUIT_PEAR": 3}


def test_definitions_become_flags() -> None:
    assert defines({"BY_PID": None, "SIZE": 16, "FILTER": "(cpu==1)"}) == [
        "-DBY_PID",
        "-DSIZE=0x10",
        "-DFILTER=(cpu==1)",
    ]


def test_every_context_and_abi_has_a_number() -> None:
    assert [str(context) for context in CONTEXTS.values()] == ["syscall", "interrupt", "exception"]
    assert [str(abi) for abi in ABIS.values()] == ["x86-64", "i386", "x32"]


class AllDimensions(ctypes.Structure):
    # struct class_key of probes/exits.h with every BY_*, laid out by C's rules instead of ours.
    _fields_ = (
        ("word", ctypes.c_uint64),
        ("syscall_work", ctypes.c_uint64),
        ("cgroup", ctypes.c_uint64),
        ("comm", ctypes.c_char * 16),
        ("pid", ctypes.c_uint32),
        ("pid_pad", ctypes.c_uint32),
        ("syscall", ctypes.c_int32),
        ("abi", ctypes.c_uint32),
        ("context", ctypes.c_uint32),
        ("all", ctypes.c_uint8),
        ("latency_log2", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 2),
    )


def test_a_key_of_all_dimensions_is_read_as_c_wrote_it() -> None:
    codec = KeyCodec(["syscall", "comm", "pid", "cgroup", "cpu"])
    assert codec.size == ctypes.sizeof(AllDimensions)
    raw = AllDimensions(2, 0x12, 77, b"bash", 4711, 0, -1, 1, 2, 0, UNMEASURED)
    assert (
        list(codec.decode(memoryview(bytes(raw) * 2)))
        == [
            ClassKey(
                word=2,
                syscall_work=0x12,
                context=2,
                cgroup=77,
                comm=b"bash" + bytes(12),
                pid=4711,
                syscall=-1,
                abi=1,
            )
        ]
        * 2
    )


@pytest.mark.parametrize(
    ("dimensions", "size"),
    [([], 24), (["cpu"], 24), (["syscall"], 32), (["comm"], 40), (["pid", "cgroup"], 40)],
)
def test_what_is_not_asked_for_is_not_in_the_key(dimensions: list[str], size: int) -> None:
    assert KeyCodec(dimensions).size == size

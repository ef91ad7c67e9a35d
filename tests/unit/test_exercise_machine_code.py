"""The listings against an assembler, and what they do when they run."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
from pathlib import Path

import pytest

from tifbpf.exercises import machine_code, page_fault, plain, resched_fair, timer, uprobe, watching
from tifbpf.exercises.kernel import SystemCall
from tifbpf.exercises.machine_code import Listing, loaded, repeat

LISTINGS: dict[str, Listing] = {
    "calls": machine_code.CALLS,
    "return": machine_code.RETURN,
    "int80": plain.INT80,
    "touch": page_fault.TOUCH,
    "step over": page_fault.STEP_OVER,
    "spin": timer.SPIN,
    "store interrupted": timer.store_interrupted(0x1122334455667788),
    "watch": watching.WATCH,
    "count": resched_fair.COUNT,
    "probed": uprobe.PROBED,
}


@pytest.mark.requires("binutils")
@pytest.mark.parametrize("name", LISTINGS)
def test_the_bytes_are_what_the_assembly_says(name: str, tmp_path: Path) -> None:
    listing = LISTINGS[name]
    source = ".intel_syntax noprefix\n" + "".join(f"{assembly}\n" for _, assembly in listing)
    (tmp_path / "code.s").write_text(source)
    subprocess.run(["as", "--64", "code.s", "-o", "code.o"], cwd=tmp_path, check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", "code.o", "code"], cwd=tmp_path, check=True)
    assert (tmp_path / "code").read_bytes().hex() == "".join(code for code, _ in listing)


def test_repeat_makes_all_calls_of_all_rounds_in_turn() -> None:
    read_end, write_end = os.pipe()
    a, b = ctypes.create_string_buffer(b"a"), ctypes.create_string_buffer(b"b")
    repeat(
        3,
        (SystemCall.WRITE, write_end, ctypes.addressof(a), 1),
        (SystemCall.WRITE, write_end, ctypes.addressof(b), 1),
    )
    assert os.read(read_end, 100) == b"ababab"
    os.close(read_end)
    os.close(write_end)


def test_repeat_stops_at_the_first_failure() -> None:
    read_end, write_end = os.pipe()
    byte = ctypes.create_string_buffer(b"a")
    with pytest.raises(OSError, match="write") as caught:
        repeat(
            3,
            (SystemCall.WRITE, write_end, ctypes.addressof(byte), 1),
            (SystemCall.CLOSE, 1_000_000),
        )
    assert caught.value.errno == errno.EBADF
    assert os.read(read_end, 100) == b"a"
    os.close(read_end)
    os.close(write_end)


def descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_a_loaded_routine_keeps_no_descriptor_and_gives_its_memory_back() -> None:
    before = descriptors()
    with loaded(machine_code.RETURN):
        assert descriptors() == before
        assert "tifbpf-exercise" in Path("/proc/self/maps").read_text()
    assert "tifbpf-exercise" not in Path("/proc/self/maps").read_text()


def test_no_memory_is_writable_and_executable() -> None:
    with loaded(machine_code.RETURN):
        ours = [
            line for line in Path("/proc/self/maps").read_text().splitlines() if "tifbpf-exercise" in line
        ]
    assert [line.split()[1] for line in ours] == ["r-xp"]

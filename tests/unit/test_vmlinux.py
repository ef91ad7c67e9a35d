"""Kernels in files: packed and bare, with the linker's symbols and with none but kallsyms."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from tests.kallsyms_image import RODATA, TEXT, bzimage, elf, names, table
from tifbpf.errors import (
    InputDamagedError,
    InputForeignError,
    InputMissingError,
    InputUnreadableError,
    TifbpfError,
)
from tifbpf.host import kallsyms_table
from tifbpf.host.kallsyms import Place
from tifbpf.host.vmlinux import Vmlinux

COUNT = 5000
BANNER = b"\0Linux version 6.1.0-56-rt-amd64 (debian (a) b) # SMP Debian 6.1.192-2\0"
BANNER += (
    b"Linux version 6.1.0-56-rt-amd64 (debian (a) b) #1 SMP PREEMPT_RT Debian 6.1.192-2 (2026-11-16)\n\0"
)
CODE = bytes(range(256)) * 8
KERNEL = elf(CODE, table(names(COUNT), "6.4") + BANNER)


def lz4(data: bytes) -> bytes:
    codec = pa.Codec("lz4_raw")
    blocks = [
        codec.compress(data[start : start + (8 << 20)], asbytes=True)
        for start in range(0, len(data), 8 << 20)
    ]
    return b"\x02\x21\x4c\x18" + b"".join(struct.pack("<I", len(block)) + block for block in blocks)


def zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "xz": lzma.compress,
    "lz4": lz4,
    "zstd": zstd,
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "vmlinuz"


def test_a_vmlinux(file: Path) -> None:
    file.write_bytes(KERNEL)
    image = Vmlinux(file)
    assert image.source == str(file)
    assert (image.release, image.version) == (
        "6.1.0-56-rt-amd64",
        "#1 SMP PREEMPT_RT Debian 6.1.192-2 (2026-11-16)",
    )
    assert len(image.places) == COUNT
    assert image.places["function_3_of_a_test"] == Place(TEXT + 48, 16)
    assert image.places["n" * 200] == Place(TEXT + 16 * (COUNT - 1), 0)
    assert image.read(TEXT + 48, 4) == bytes([48, 49, 50, 51])
    assert image.names({TEXT + 16, TEXT + 17}) == {TEXT + 16: "function_1_of_a_test"}
    with pytest.raises(OSError, match="no text at 0xffffffff82000000"):
        image.read(RODATA, 1)


@pytest.mark.parametrize("way", PACKED)
def test_a_vmlinuz(way: str, file: Path) -> None:
    file.write_bytes(bzimage(PACKED[way](KERNEL), len(KERNEL)))
    assert Vmlinux(file).places["function_3_of_a_test"] == Place(TEXT + 48, 16)


def test_lz4_of_more_than_one_block(file: Path) -> None:
    large = KERNEL + b"\xaa" * (9 << 20)
    file.write_bytes(bzimage(lz4(large), len(large)))
    assert len(Vmlinux(file).places) == COUNT


def test_the_linker_s_symbols_are_taken_where_there_are_any(file: Path) -> None:
    file.write_bytes(elf(CODE, b"", [(TEXT, "_text"), (TEXT + 32, "schedule"), (TEXT + 64, "panic")]))
    image = Vmlinux(file)
    assert image.places["schedule"] == Place(TEXT + 32, 32)
    assert (image.release, image.version) == ("", "")


def wrong(data: bytes, file: Path, kind: type[TifbpfError]) -> str:
    file.write_bytes(data)
    with pytest.raises(kind) as error:
        Vmlinux(file)
    said = str(error.value)
    assert "\n" not in said
    return said.replace(str(file), "FILE")


def test_what_is_no_kernel(file: Path, tmp_path: Path) -> None:
    assert wrong(b"", file, InputForeignError) == "FILE: no kernel for x86-64; give a vmlinux or a vmlinuz"
    assert wrong(b"PAR1" * 300, file, InputForeignError).startswith("FILE: no kernel")
    arm = elf(CODE, b"", [(TEXT, "_text")], machine=183)
    assert wrong(arm, file, InputForeignError) == "FILE: no kernel for x86-64; give one that is"
    assert wrong(elf(CODE, b""), file, InputDamagedError).startswith("FILE: there is no kallsyms in it")
    with pytest.raises(InputMissingError):
        Vmlinux(tmp_path / "missing")
    with pytest.raises(InputUnreadableError):
        Vmlinux(tmp_path)


def test_what_is_packed_otherwise(file: Path) -> None:
    said = wrong(bzimage(b"\x89LZO\0\r\n\x1a\n" + KERNEL, len(KERNEL)), file, InputForeignError)
    assert said == (
        "FILE: compressed in a way that is not known here (it begins with 894c5a4f); "
        "unpack it with the kernel's scripts/extract-vmlinux"
    )


@pytest.mark.parametrize("way", PACKED)
def test_what_is_damaged(way: str, file: Path) -> None:
    packed = bytearray(PACKED[way](KERNEL))
    half = bytes(packed[: len(packed) // 2])
    assert "damaged" in wrong(bzimage(half, len(KERNEL)), file, InputDamagedError)
    assert "damaged" in wrong(bzimage(packed[:24] + b"\xff" * 400, len(KERNEL)), file, InputDamagedError)


def test_an_elf_file_that_is_cut_short(file: Path) -> None:
    assert "damaged" in wrong(KERNEL[: len(KERNEL) // 2], file, InputDamagedError)


@pytest.mark.parametrize("layout", ["4.5", "4.15", "5.10", "6.2", "6.4", "6.15", "7.0"])
@pytest.mark.parametrize("count", [4096, 4097, COUNT])
def test_kallsyms_of_every_release(layout: str, count: int) -> None:
    symbols = names(count)
    assert [
        (one.address, one.name) for one in kallsyms_table.decode(table(symbols, layout), RODATA, TEXT)
    ] == symbols


@pytest.mark.parametrize("layout", ["4.5", "5.10", "6.4", "7.0"])
def test_a_table_that_does_not_add_up_is_none(layout: str) -> None:
    whole = table(names(COUNT), layout)
    assert kallsyms_table.decode(whole, RODATA, TEXT + 1) == ()
    digits = whole.index(b"0\x001\x002\x00")
    assert kallsyms_table.decode(whole[:digits] + b"x" + whole[digits + 1 :], RODATA, TEXT) == ()
    middle = digits - 6000
    assert kallsyms_table.decode(whole[:middle] + b"\xff" * 500 + whole[middle + 500 :], RODATA, TEXT) == ()
    assert kallsyms_table.decode(whole[: len(whole) // 2], RODATA, TEXT) == ()
    assert kallsyms_table.decode(b"", RODATA, TEXT) == ()


BOMB = b"\0" * (300 << 20)


@pytest.mark.parametrize("way", ["gzip", "zstd"])
def test_a_megabyte_that_unpacks_to_more_than_any_kernel(way: str, file: Path) -> None:
    file.write_bytes(bzimage(PACKED[way](KERNEL + BOMB), 0xFFFF_FFFF))
    before = pa.total_allocated_bytes()
    assert Vmlinux(file).places
    assert pa.total_allocated_bytes() == before


def test_what_claims_to_unpack_to_more_than_any_kernel(file: Path) -> None:
    assert "bytes unpacked" in wrong(bzimage(lz4(KERNEL), 0xFFFF_FFFF), file, InputDamagedError)


# Where the header of .text is: the second of the table, which is at e_shoff.
SECTION = struct.unpack_from("<Q", KERNEL, 0x28)[0] + 64
ADDRESS, OFFSET, SIZE = SECTION + 16, SECTION + 24, SECTION + 32


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (OFFSET, 1 << 63),
        (SIZE, 1 << 63),
        (SIZE, 1 << 31),
        (SIZE, len(KERNEL)),
        (SECTION + 8, 0x806),  # compressed
        (0x28, 1 << 63),
        (0x28, len(KERNEL) - 1),
    ],
)
def test_sections_that_are_not_in_the_file(place: int, value: int, file: Path) -> None:
    content = bytearray(KERNEL)
    struct.pack_into("<Q", content, place, value)
    assert "damaged" in wrong(bytes(content), file, InputDamagedError)


def test_sections_that_share_their_bytes(file: Path) -> None:
    heading = struct.pack("<IIQQQQIIQQ", 0, 1, 6, TEXT, 0, 1 << 20, 0, 0, 1, 0)
    content = bytearray(elf(CODE, b"\0" * (1 << 20)))
    struct.pack_into("<Q", content, 0x28, len(content))
    struct.pack_into("<HH", content, 0x3C, 5000, 0)
    assert "damaged" in wrong(bytes(content) + heading * 5000, file, InputDamagedError)


def test_a_symbol_table_that_is_one_name(file: Path) -> None:
    content = elf(CODE, b"", [(TEXT, "n" * 5000)])
    assert "damaged" in wrong(content, file, InputDamagedError)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "vmlinuz")
    with pytest.raises(InputUnreadableError, match="no regular file"):
        Vmlinux(tmp_path / "vmlinuz")

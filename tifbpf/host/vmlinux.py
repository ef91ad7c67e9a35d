"""A kernel's image as a file: a vmlinux, or a vmlinuz, which carries one compressed."""

from __future__ import annotations

import bz2
import io
import itertools
import lzma
import re
import struct
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tifbpf.errors import (
    InputDamagedError,
    InputForeignError,
    InputMissingError,
    InputUnreadableError,
    TifbpfError,
)
from tifbpf.host import kallsyms_table
from tifbpf.host.kallsyms import Place
from tifbpf.host.kallsyms_table import Symbol
from tifbpf.text import printable

if TYPE_CHECKING:
    from elftools.elf.sections import Section

_ELF = b"\x7fELF"
# The header of a bzImage: Documentation/arch/x86/boot.rst.
_SETUP_SECTORS_AT, _SECTOR, _SECTORS = 0x1F1, 512, 4
_MAGIC, _MAGIC_AT = b"HdrS", 0x202
_PAYLOAD_AT, _PAYLOAD_ENDS = 0x248, 0x250
_BANNER = re.compile(rb"Linux version (\d\S+) \([^\n\0]*\) (#\d+ [^\n\0]+)\n")
"""linux_banner, in init/version.c."""
_LZ4_BLOCK = 8 << 20
"""What lz4's legacy format compresses at a time."""
_ALLOCATED, _EXECUTABLE, _COMPRESSED = 2, 4, 0x800
"""SHF_ALLOC, SHF_EXECINSTR, SHF_COMPRESSED."""
_MOST_BYTES = 256 << 20
"""What is taken of a kernel, packed or unpacked; distributions' have 60 MB, and a megabyte can claim a
terabyte."""
_MOST_SECTIONS = 1 << 16
_LONGEST_NAME = 4096
"""Bytes of a symbol's name; the kernel's own limit is 512 (KSYM_NAME_LEN)."""
_NO_TYPE, _FUNCTION = 0, 2
"""STT_NOTYPE, which labels in assembly have, and STT_FUNC."""


_UNREADABLE = (
    *(ValueError, LookupError, TypeError, AttributeError, AssertionError, OverflowError, RecursionError),
    *(OSError, EOFError, struct.error),
)
"""How pyelftools ends where a header means nothing, beside its own ELFError."""


class Vmlinux:
    """The text and the symbols of a kernel, from its file.

    The text is the linker's: what a kernel patches in itself (alternatives, jump labels, static calls, return
    thunks) is not patched.
    """

    def __init__(self, path: Path) -> None:
        """Read the file, in about a second.

        Raises:
            InputMissingError: there is no such file.
            InputUnreadableError: it cannot be read.
            InputForeignError: it is no x86-64 kernel, or compressed in a way that is not known here.
            InputDamagedError: it is damaged, or names no functions.
        """
        self.source = str(path)
        self._sections, symbols, banner = _load(path)
        self.release, self.version = banner
        """What `uname -r` and `uname -v` of this kernel say; empty where it does not tell."""
        addresses = sorted({symbol.address for symbol in symbols})
        ends = dict(itertools.pairwise(addresses))
        self.places: dict[str, Place] = {}
        """Every function, by its name. Of several of one name, the first counts."""
        self._names: dict[int, str] = {}
        for symbol in symbols:
            size = ends.get(symbol.address, symbol.address) - symbol.address
            self.places.setdefault(symbol.name, Place(symbol.address, size))
            self._names.setdefault(symbol.address, symbol.name)

    def read(self, address: int, size: int) -> bytes:
        """Return text.

        Raises:
            OSError: there is none.
        """
        for start, data in self._sections:
            if start <= address < start + len(data):
                return data[address - start : address - start + size]
        raise OSError(f"no text at {address:#x}")

    def names(self, addresses: Collection[int]) -> dict[int, str]:
        """Return the functions that begin at `addresses`."""
        return {address: self._names[address] for address in addresses if address in self._names}


def _load(path: Path) -> tuple[list[tuple[int, bytes]], list[Symbol], tuple[str, str]]:
    """Return the sections with text, each with its address, the symbols, and the release with the version."""
    from elftools.common.exceptions import ELFError

    try:
        with _opened(path) as stream:
            loaded = _Loaded(stream)
    except TifbpfError:
        raise
    except (ELFError, *_UNREADABLE) as error:
        raise InputDamagedError(f"{path}: damaged ({printable(str(error))}); copy it once more") from None
    if loaded.foreign:
        raise InputForeignError(f"{path}: no kernel for x86-64; give one that is")
    if not loaded.text or not loaded.symbols:
        raise InputDamagedError(
            f"{path}: there is no {'kallsyms' if loaded.text else 'text'} in it; give the kernel itself, "
            "a vmlinux or a vmlinuz"
        )
    return loaded.text, loaded.symbols, loaded.banner


class _Loaded:
    """What an ELF file has of a kernel."""

    def __init__(self, stream: BinaryIO) -> None:
        from elftools.elf.elffile import ELFFile

        self._stream = stream
        self._elf = ELFFile(stream)
        self._left = _MOST_BYTES
        self.text: list[tuple[int, bytes]] = []
        self.symbols: list[Symbol] = []
        self.banner = ("", "")
        self.foreign = self._elf["e_machine"] != "EM_X86_64"
        if self.foreign:
            return
        if self._elf.num_sections() > _MOST_SECTIONS:
            raise ValueError(f"{self._elf.num_sections()} sections")
        for section in self._elf.iter_sections("SHT_PROGBITS"):
            if section["sh_flags"] & _ALLOCATED:
                self._take(section)
        self.symbols = list(self._symbols())

    def _take(self, section: Section) -> None:
        content = self._content(section)
        if section["sh_flags"] & _EXECUTABLE:
            self.text.append((int(section["sh_addr"]), content))
        if self.banner == ("", "") and (found := _BANNER.search(content)):
            self.banner = (found[1].decode("ascii", "replace"), found[2].decode("ascii", "replace"))

    def _content(self, section: Section) -> bytes:
        """Return what a section holds. Of sections that share their bytes no file has so many."""
        size = int(section["sh_size"])
        self._left -= size
        if self._left < 0 or section["sh_flags"] & _COMPRESSED:
            raise ValueError(f"a section of {size} bytes")
        self._stream.seek(section["sh_offset"])
        content = self._stream.read(size)
        if len(content) != size:
            raise ValueError("a section ends beyond the file")
        return content

    def _symbols(self) -> Iterator[Symbol]:
        """Yield the functions that the linker's symbol table has, or else all symbols of kallsyms."""
        from elftools.elf.sections import SymbolTableSection

        table = self._elf.get_section_by_name(".symtab")
        if isinstance(table, SymbolTableSection) and table.num_symbols() > 1:
            # A generator of pyelftools takes seconds for the 200,000 symbols of a kernel.
            names = self._content(self._elf.get_section(table["sh_link"]))
            for name, info, _, _, value, _ in struct.iter_unpack("<IBBHQQ", self._content(table)):
                if info & 0xF in (_NO_TYPE, _FUNCTION) and value:
                    end = names.index(b"\0", name, name + _LONGEST_NAME)
                    yield Symbol(value, names[name:end].decode("ascii", "replace"))
            return
        text, data = self._elf.get_section_by_name(".text"), self._elf.get_section_by_name(".rodata")
        if text is not None and data is not None:
            yield from kallsyms_table.decode(self._content(data), int(data["sh_addr"]), int(text["sh_addr"]))


def _opened(path: Path) -> BinaryIO:
    """Return the ELF file that `path` is, or that is packed in it."""
    try:
        if path.exists() and not path.is_file():
            raise InputUnreadableError(f"{path}: no regular file; give a vmlinux or a vmlinuz")
        stream = path.open("rb")
        if stream.read(len(_ELF)) == _ELF:
            stream.seek(0)
            return stream
        with stream:
            stream.seek(0)
            data = stream.read(_MOST_BYTES)
    except FileNotFoundError:
        raise InputMissingError(f"{path}: no such file; give a vmlinux or a vmlinuz") from None
    except OSError as error:
        raise InputUnreadableError(f"{path}: {error.strerror}; give one that can be read") from None
    return io.BytesIO(_unpacked(path, data))


def _unpacked(path: Path, data: bytes) -> bytes:
    if data[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] != _MAGIC or len(data) < _PAYLOAD_ENDS:
        raise InputForeignError(f"{path}: no kernel for x86-64; give a vmlinux or a vmlinuz")
    start, size = struct.unpack_from("<II", data, _PAYLOAD_AT)
    start += ((data[_SETUP_SECTORS_AT] or _SECTORS) + 1) * _SECTOR
    # Behind the payload is how long it is unpacked (scripts/Makefile.lib: size_append).
    packed, length = data[start : start + size - 4], data[start + size - 4 : start + size]
    unpack = next((unpack for magic, unpack in _COMPRESSIONS.items() if packed.startswith(magic)), None)
    if unpack is None:
        raise InputForeignError(
            f"{path}: compressed in a way that is not known here (it begins with {packed[:4].hex()}); "
            "unpack it with the kernel's scripts/extract-vmlinux"
        )
    try:
        unpacked = unpack(packed, int.from_bytes(length, "little"))
    except (OSError, ValueError, EOFError, lzma.LZMAError, zlib.error, struct.error) as error:
        raise InputDamagedError(f"{path}: damaged ({error}); copy it once more") from None
    if not unpacked.startswith(_ELF):
        raise InputDamagedError(f"{path}: damaged (what is in it is no ELF file); copy it once more")
    return unpacked


def _gzip(packed: bytes, _: int) -> bytes:
    return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(packed, _MOST_BYTES)


def _lzma(packed: bytes, _: int) -> bytes:
    return lzma.LZMADecompressor(memlimit=_MOST_BYTES).decompress(packed, _MOST_BYTES)


def _bzip2(packed: bytes, _: int) -> bytes:
    return bz2.BZ2Decompressor().decompress(packed, _MOST_BYTES)


def _zstd(packed: bytes, _: int) -> bytes:
    import pyarrow as pa

    with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
        return bytes(stream.read(_MOST_BYTES))


def _lz4(packed: bytes, size: int) -> bytes:
    """Unpack lz4's legacy format, which no library for frames reads: blocks, each behind its length."""
    import pyarrow as pa

    if size > _MOST_BYTES:
        raise ValueError(f"{size} bytes unpacked")
    codec = pa.Codec("lz4_raw")
    blocks, position = [], 4
    for begun in range(0, size, _LZ4_BLOCK):
        (length,) = struct.unpack_from("<I", packed, position)
        block = packed[position + 4 : position + 4 + length]
        blocks.append(codec.decompress(block, min(_LZ4_BLOCK, size - begun), asbytes=True))
        position += 4 + length
    return b"".join(blocks)


_COMPRESSIONS: dict[bytes, Callable[[bytes, int], bytes]] = {
    b"\x1f\x8b": _gzip,
    b"\xfd7zXZ\0": _lzma,
    b"\x5d\0\0": _lzma,
    b"BZh": _bzip2,
    b"\x28\xb5\x2f\xfd": _zstd,
    b"\x02\x21\x4c\x18": _lz4,
}
"""How each begins; the kernel's lzo is in no library that is kept up."""

"""Kernels of nothing but symbols and a little text, as scripts/kallsyms.c and the linker lay them out."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence

TEXT = 0xFFFFFFFF81000000
RODATA = 0xFFFFFFFF82000000
PAGE = 4096


def names(count: int) -> list[tuple[int, str]]:
    """Symbols by address: `_text` first, the others 16 bytes apart, the last with a name of 200 letters."""
    plain = [(TEXT + 16 * number, f"function_{number}_of_a_test") for number in range(1, count)]
    return [(TEXT, "_text"), *plain[:-1], (plain[-1][0], "n" * 200)]


def table(symbols: Sequence[tuple[int, str]], layout: str) -> bytes:
    """Return what .rodata has of them, in the order and the format of that release."""
    old = layout in ("4.5", "4.15", "5.10", "6.2")
    markers_width = 8 if layout in ("4.5", "4.15") else 4
    align = 4 if layout == "7.0" else 8
    # A token for every letter but one, which stands for what many names begin with.
    tokens = [bytes([number]) if 0x20 < number < 0x7F else b"" for number in range(256)]
    tokens[0x80] = b"tfunction_"
    packed, markers, position = [], [], 0
    for index, (_, name) in enumerate(symbols):
        if index % 256 == 0:
            markers.append(position)
        word = b"t" + name.encode()
        word = word.replace(b"tfunction_", b"\x80") if word.startswith(b"tfunction_") else word
        length = len(word)
        head = bytes([length]) if length < 0x80 else bytes([length & 0x7F | 0x80, length >> 7])
        packed.append(head + word)
        position += len(head) + length
    begins = list(itertools.accumulate((len(token) + 1 for token in tokens[:-1]), initial=0))
    count = struct.pack("<I" if align == 4 else "<Q", len(symbols))
    pieces = [count, b"".join(packed), b"".join(value.to_bytes(markers_width, "little") for value in markers)]
    if layout == "6.2":
        pieces.append(b"\1\2\3" * len(symbols))
    pieces += [b"".join(token + b"\0" for token in tokens), struct.pack("<256H", *begins)]
    front = b"\x11" * 64
    if old:
        return front + joined(_addresses(symbols, layout, 0) + pieces, 8)
    before = len(front) + len(joined(pieces, align))
    before += -before % align
    return front + joined([*pieces, *_addresses(symbols, layout, RODATA + before)], align)


def _addresses(symbols: Sequence[tuple[int, str]], layout: str, place: int) -> list[bytes]:
    addresses = [address for address, _ in symbols]
    base = struct.pack("<Q", TEXT)
    match layout:
        case "4.5":
            return [struct.pack(f"<{len(addresses)}Q", *addresses)]
        case "4.15" | "5.10" | "6.2" | "6.4":
            # KALLSYMS_ABSOLUTE_PERCPU
            offsets = [TEXT - 1 - address for address in addresses]
            return [struct.pack(f"<{len(offsets)}i", *offsets), base]
        case "6.15":
            offsets = [address - TEXT for address in addresses]
            return [struct.pack(f"<{len(offsets)}I", *offsets), base]
        case _:
            offsets = [address - (place + 4 * index) for index, address in enumerate(addresses)]
            return [struct.pack(f"<{len(offsets)}i", *offsets)]


def joined(pieces: Sequence[bytes], align: int) -> bytes:
    done = b""
    for piece in pieces:
        done += b"\0" * (-len(done) % align) + piece
    return done


def elf(text: bytes, rodata: bytes, symtab: Sequence[tuple[int, str]] = (), machine: int = 62) -> bytes:
    """Return an ELF file with these sections."""
    strings = b"\0" + b"".join(name.encode() + b"\0" for _, name in symtab)
    entries = b"\0" * 24
    for address, name in symtab:
        entries += struct.pack(
            "<IBBHQQ", strings.index(b"\0" + name.encode() + b"\0") + 1, 2, 0, 1, address, 0
        )
    sections = [
        (".text", 1, 6, TEXT, text, 0, 0),
        (".rodata", 1, 2, RODATA, rodata, 0, 0),
        *([(".symtab", 2, 0, 0, entries, 4, 24), (".strtab", 3, 0, 0, strings, 0, 0)] if symtab else []),
    ]
    headings = b"\0" + b"".join(name.encode() + b"\0" for name, *_ in sections) + b".shstrtab\0"
    sections.append((".shstrtab", 3, 0, 0, headings, 0, 0))
    body, table_ = b"", b"\0" * 64
    for name, kind, flags, address, data, link, size in sections:
        offset = 64 + len(body)
        at = headings.index(b"\0" + name.encode() + b"\0") + 1
        table_ += struct.pack("<IIQQQQIIQQ", at, kind, flags, address, offset, len(data), link, 0, 1, size)
        body += data
    ident = b"\x7fELF\2\1\1" + b"\0" * 9
    count = len(sections) + 1
    header = struct.pack(
        "<HHIQQQIHHHHHH", 2, machine, 1, TEXT, 0, 64 + len(body), 0, 64, 56, 0, 64, count, count - 1
    )
    return ident + header + body + table_


def bzimage(payload: bytes, size: int) -> bytes:
    """Return a bzImage: the header's fields, one sector of setup, the payload and its length unpacked."""
    start = 2 * 512
    head = bytearray(start)
    head[0x1F1] = 1
    head[0x202:0x206] = b"HdrS"
    payload += struct.pack("<I", size)
    head[0x248:0x250] = struct.pack("<II", 0x40, len(payload))
    return bytes(head) + b"\xcc" * 0x40 + payload

"""Words as text and back, by a layout."""

from __future__ import annotations

import re

from tifbpf.errors import TifbpfError
from tifbpf.layouts.model import Layout, Word

_PREFIXES = ("SYSCALL_WORK_BIT_", "SYSCALL_WORK_", "_TIF_", "TIF_")


def decode(layout: Layout, value: int, word: Word = Word.TIF) -> str:
    """Return the names of the bits set in `value`, lowest first, joined by `|`; `0` for no bit.

    The contract of drgn's `decode_flags`, with one difference: a bit without a name keeps its own number,
    where drgn puts all such bits together as one hexadecimal number. Which of them was set is what a report
    counts, and `bit19` can be looked up in a header.

    >>> from tifbpf.layouts import catalogue
    >>> layout = catalogue.for_kernel("6.18")
    >>> decode(layout, 0x12)
    'SIGPENDING|NEED_RESCHED'
    >>> decode(layout, 0x80002 | 1 << 30)
    'SIGPENDING|NEED_FPU_LOAD|bit30'
    >>> decode(layout, 0)
    '0'
    >>> decode(layout, 0x42, Word.SYSCALL_WORK)
    'SYSCALL_TRACEPOINT|SYSCALL_EXIT_TRAP'

    Raises:
        ValueError: `value` is negative.
    """
    if value < 0:
        raise ValueError(f"a word is not negative: {value}")
    return "|".join(layout.names(word, value)) or "0"


def parse(layout: Layout, text: str, word: Word = Word.TIF) -> int:
    """Return the word that `text` gives: a number, or names of bits and masks joined by `|`.

    Numbers are decimal, hexadecimal (0x12), octal (022 or 0o22, as in C and in Python) or binary (0b10010).
    Names may have the kernel's prefix; `bit19` is a bit without a name.

    >>> from tifbpf.layouts import catalogue
    >>> layout = catalogue.for_kernel("6.18")
    >>> hex(parse(layout, "SIGPENDING|NEED_RESCHED")), hex(parse(layout, "_TIF_SIGPENDING|bit30"))
    ('0x12', '0x40000002')
    >>> parse(layout, "022") == parse(layout, "0x12") == parse(layout, "18")
    True

    Raises:
        TifbpfError: neither, more than 64 bits, or a word that the kernel does not have.
    """
    if not any(bit.word == word for bit in layout.bits):
        raise TifbpfError(
            f"no {word} word in layout {layout.name}: it came with 5.11, TIF bits did its work before"
        )
    value = 0
    for part in text.split("|"):
        value |= _part(layout, part.strip(), word)
    if value >> 64:
        raise TifbpfError(f"more than 64 bits: {text!r}; a word has at most 64")
    return value


def _part(layout: Layout, text: str, word: Word) -> int:
    if re.fullmatch(r"0[0-7]+", text, re.ASCII):
        return int(text, 8)
    if re.fullmatch(r"\d\w*", text, re.ASCII):
        try:
            return int(text, 0)
        except ValueError:
            raise TifbpfError(f"no number: {text!r}; give 0x12, 18 or names such as SIGPENDING") from None
    if unnamed := re.fullmatch(r"bit(\d{1,2})", text, re.ASCII):
        return 1 << int(unnamed.group(1))
    if (mask := layout.mask(text)) and mask.word == word:
        return mask.value
    prefix = next((prefix for prefix in _PREFIXES if text.startswith(prefix)), "")
    if bit := layout.named(text.removeprefix(prefix), word):
        return bit.value
    known = ", ".join(bit.name for bit in layout.bits if bit.word == word)
    raise TifbpfError(f"no bit {text!r} in the {word} word of layout {layout.name}: it has {known}")

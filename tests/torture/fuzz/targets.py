"""What is fuzzed: a function of bytes, which raises if something happened that must not, and where it begins.

An input may be refused, in one line; anything else that is raised is a failure, and so are answers that
contradict each other.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests import kallsyms_image
from tests.unit import recordings as build
from tifbpf.conditions.bind import bind
from tifbpf.conditions.facts import Facts
from tifbpf.conditions.parse import parse
from tifbpf.errors import TifbpfError
from tifbpf.host import config, kallsyms
from tifbpf.host.vmlinux import Vmlinux
from tifbpf.layouts import audit, catalogue, decode, exits, headers
from tifbpf.layouts.model import Context, Layout, Word
from tifbpf.machine import read as machine
from tifbpf.recording import reader
from tifbpf.recording.schema import DIMENSIONS

DATA = Path(__file__).parents[2] / "data"
BETWEEN_FILES = b"\n\x1d"
"""In an input that is a tree of headers, before the number of the file whose text follows."""
HEADERS = (
    "arch/x86/include/asm/thread_info.h",
    "include/linux/thread_info.h",
    "include/linux/entry-common.h",
    "include/linux/irq-entry-common.h",
    "include/asm-generic/thread_info_tif.h",
    "arch/x86/include/asm/entry-common.h",
    "arch/x86/entry/common.c",
    ".config",
    "Makefile",
    "include/generated/autoconf.h",
)


class ContradictionError(AssertionError):
    """Two answers to one question."""


@dataclass(frozen=True)
class Target:
    """One reader."""

    name: str
    what: str
    """For the table."""
    run: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]]
    most: int = 4096
    """The largest input, in bytes."""
    words: tuple[str, ...] = ()
    """What inputs are made of, for the mutator."""


def refused(error: TifbpfError) -> None:
    """Look at how an input was refused."""
    if not str(error) or not str(error).isprintable():
        raise ContradictionError(f"no printable line: {str(error)!r}") from error


@cache
def directory() -> Path:
    """Return where this process puts its input; who started it removes it."""
    return Path(tempfile.mkdtemp(prefix="tifbpf-fuzz-"))


def _saved(data: bytes, name: str) -> Path:
    path = directory() / name
    # One file for all: a new one each time is half of the time.
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        file.write(data)
        file.truncate()
    return path


# --fail-on


@cache
def _bound_to() -> tuple[object, ...]:
    about = build.metadata(contexts=build.everything(), dimensions=DIMENSIONS)
    facts = Facts(values={}, triggers=frozenset(), triggers_known=True)
    return about, facts


def condition(data: bytes) -> None:
    """A condition is one, or is refused; one that is can be bound, judged, and read again."""
    text = data.decode(errors="surrogateescape")
    about, facts = _bound_to()
    try:
        found = parse(text)
        if parse(found.text) != found:
            raise ContradictionError("it means something else when it is read again")
        bound = bind(found, about, 8)  # type: ignore[arg-type]
        if bound.test(facts) not in (True, False, None):  # type: ignore[arg-type]
            raise ContradictionError("neither yes nor no nor unknown")
    except TifbpfError as error:
        refused(error)


CONDITIONS = (
    "cpu in 2-7 and bit == NEED_RESCHED",
    "cpu not in (1, 2-3) or pid != 20",
    "not (slow or fast)",
    r'comm == "\x1b[31m\\" and cgroup != /user.slice',
    "syscall in (read, write) and path == slow and context == syscall",
    "word == SIGPENDING|UPROBE and syscall_work != 0x4",
    "rate(slow and bit in (UPROBE, work:SECCOMP)) >= 0.5/s",
    "share(bit == NOTIFY_RESUME) > 5%",
    "count >= 5",
)


# decode


@cache
def _layouts() -> tuple[Layout, ...]:
    return tuple(catalogue.load(name) for name in catalogue.names())


def word(data: bytes) -> None:
    """A word by names is the word by number, on every kernel."""
    if len(data) < 2:
        return
    layout = _layouts()[data[0] % len(_layouts())]
    which = tuple(Word)[data[1] % 2]
    text = data[2:].decode(errors="surrogateescape")
    try:
        value = decode.parse(layout, text, which)
    except TifbpfError as error:
        refused(error)
        return
    names = decode.decode(layout, value, which)
    if not 0 <= value < 1 << 64 or decode.parse(layout, names, which) != value:
        raise ContradictionError(f"{value:#x} is {names}, and that is another word")
    slow = {context for context in Context if layout.slow_tiers(context, *_words(which, value))}
    for context in Context:
        if bool(exits.outcome(layout, value, which, context).hits) != (context in slow):
            raise ContradictionError(f"{value:#x} is slow from {context}, and is not")
    for line in exits.explain(layout, value, which, tuple(Context)):
        if not line.isprintable():
            raise ContradictionError(f"no line: {line!r}")


def _words(which: Word, value: int) -> tuple[int, int]:
    return (value, 0) if which is Word.TIF else (0, value)


WORDS = ("0x80004", "SIGPENDING|NEED_RESCHED", "022", "0b10010|bit19", "_TIF_UPROBE|TIF_SINGLESTEP", "1_0")


def _words_seeds() -> Iterator[bytes]:
    for place, text in enumerate(WORDS):
        yield bytes([3 * place, place % 2]) + text.encode()


# masks --headers

_planted: dict[str, bytes] = {}


def _plant(root: Path, files: dict[str, bytes]) -> None:
    """Make these the files under `root`; writing is slow, so those that were there already stay."""
    for name in _planted.keys() - files.keys():
        (root / name).unlink()
        del _planted[name]
    for name, content in files.items():
        if _planted.get(name) != content:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
            _planted[name] = content


def tree(data: bytes) -> None:
    """Headers are a layout that agrees with itself, or are refused."""
    root = directory() / "tree"
    pieces = data.split(BETWEEN_FILES)
    _plant(root, {HEADERS[piece[0] % len(HEADERS)]: piece[1:] for piece in pieces if piece})
    try:
        layout = headers.read(root)
        for bit in layout.bits:
            if layout.named(bit.name, bit.word) is None:
                raise ContradictionError(f"{bit.name} is there, and is not")
        audit.audit(layout)
    except TifbpfError as error:
        refused(error)


def headers_input(files: dict[str, bytes]) -> bytes:
    """Return the input that is these files."""
    return BETWEEN_FILES.join(bytes([HEADERS.index(name)]) + text for name, text in files.items())


_SMALL = rb"""#define TIF_SYSCALL_TRACE 0
#define TIF_SIGPENDING 2
#define TIF_NEED_RESCHED (TIF_SIGPENDING + 1)
#define _TIF_SIGPENDING (1 << TIF_SIGPENDING)
#define _TIF_NEED_RESCHED BIT(TIF_NEED_RESCHED)
#ifdef CONFIG_UPROBES
#define TIF_UPROBE 12
#define _TIF_UPROBE (1UL << TIF_UPROBE)
#else
#define _TIF_UPROBE 0
#endif
#define _TIF_WORK_MASK (_TIF_SIGPENDING | _TIF_NEED_RESCHED | _TIF_UPROBE)
"""
_ENTRY = rb"""#if IS_ENABLED(CONFIG_PREEMPT_LAZY)
#define EXIT_TO_USER_MODE_WORK (_TIF_SIGPENDING | \
	_TIF_NEED_RESCHED | ARCH_EXIT_TO_USER_MODE_WORK)
#endif
#ifndef ARCH_EXIT_TO_USER_MODE_WORK
# define ARCH_EXIT_TO_USER_MODE_WORK (0)
#endif
"""
_ENUM = rb"""enum syscall_work_bit { SYSCALL_WORK_BIT_SECCOMP, SYSCALL_WORK_BIT_SYSCALL_TRACE = 2, };
#define SYSCALL_WORK_SYSCALL_TRACE BIT(SYSCALL_WORK_BIT_SYSCALL_TRACE)
#define SYSCALL_WORK_EXIT (SYSCALL_WORK_SYSCALL_TRACE)
"""


def _headers_seeds() -> Iterator[bytes]:
    yield headers_input({HEADERS[0]: _SMALL})
    yield headers_input({HEADERS[0]: _SMALL, HEADERS[2]: _ENTRY, HEADERS[1]: _ENUM})
    yield headers_input(
        {HEADERS[0]: _SMALL, ".config": b"CONFIG_UPROBES=y\n", "Makefile": b"VERSION = 6\nPATCHLEVEL = 1\n"}
    )
    yield headers_input({HEADERS[0]: b"#include <linux/entry-common.h>\n#if (1 ? 2 : 3) > 0x1F\n" + _SMALL})


# Recordings


def recording(data: bytes) -> None:
    """A recording's footer, columns and pages are what was written, or it is refused."""
    try:
        for found in reader.load([_saved(data, "input.tif.parquet")]):
            for part in found.parts:
                part.verify()
            _ = (found.estimated, found.num_rows)
    except TifbpfError as error:
        refused(error)


def _recording_seeds() -> Iterator[bytes]:
    from tests.torture.fuzz import mutations

    yield from mutations.small()


# masks --vmlinux and what is read of a kernel


def image(data: bytes) -> None:
    """A kernel's image is read as far as it is one."""
    try:
        found = Vmlinux(_saved(data, "vmlinuz"))
        for place in found.places.values():
            if place.size < 0:
                raise ContradictionError(f"a function of {place.size} bytes")
        machine.read(found)
    except TifbpfError as error:
        refused(error)


def _image_seeds() -> Iterator[bytes]:
    import gzip

    kernel = kallsyms_image.elf(b"\xcc" * 64, kallsyms_image.table(kallsyms_image.names(4200), "6.4"))
    yield kernel[:65536]
    small = kallsyms_image.elf(b"\xf7\xc3\x37\x03\0\0\xc3" * 4, b"\0" * 64)
    yield small
    for packed in (gzip.compress(small), b"\x02\x21\x4c\x18" + struct.pack("<I", 5) + b"\x10A\1\0\0"):
        yield _boot_image(packed, len(small))


def _boot_image(packed: bytes, size: int) -> bytes:
    head = bytearray(5 * 512)
    head[0x1F1] = 4
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", head, 0x248, 0, len(packed) + 4)
    return bytes(head) + packed + struct.pack("<I", size)


def text(data: bytes) -> None:
    """What /proc and /boot have as text."""
    path = _saved(data, "config")
    config.parse(data.decode(errors="replace"))
    config.read([path])
    path.replace(directory() / "config.gz")
    config.read([directory() / "config.gz"])
    path = _saved(data, "kallsyms")
    found = kallsyms.find({"schedule", "do_syscall_64"}, path)
    for place in (found.places or {}).values():
        if place.size < 0 or place.address < 0:
            raise ContradictionError(f"a function at {place}")
    kallsyms.names({0xFFFFFFFF81000000, 0}, path)


TARGETS = {
    target.name: target
    for target in (
        Target(
            "conditions",
            "--fail-on",
            condition,
            lambda: map(str.encode, CONDITIONS),
            most=512,
            words=(
                *("count", "rate", "share", "cpu", "pid", "bit", "cgroup", "comm", "context", "path"),
                *("syscall", "syscall_work", "word", "slow", "fast", "and", "or", "not", "in", "==", "!="),
                *(">=", ">", "/s", "%", "(", ")", ",", "NEED_RESCHED", "work:SECCOMP", "0x", "bit19", "2-7"),
            ),
        ),
        Target(
            "decode",
            "decode WORD",
            word,
            _words_seeds,
            most=256,
            words=(
                "SIGPENDING",
                "NEED_RESCHED",
                "_TIF_",
                "SYSCALL_WORK_BIT_",
                "bit63",
                "|",
                "0x",
                "0b",
                "0o",
            ),
        ),
        Target(
            "headers",
            "masks --headers",
            tree,
            _headers_seeds,
            most=4096,
            words=(
                *("#define ", "#ifdef ", "#if ", "#else\n", "#endif\n", "#elif ", "#undef ", "#include <"),
                *("defined(", "##", "__VA_ARGS__", "TIF_", "_TIF_", "BIT(", "1UL << ", "\\\n", "#error "),
                *("_TIF_WORK_MASK ", "EXIT_TO_USER_MODE_WORK ", "enum syscall_work_bit {", "/*", "*/"),
                *("\n\x1d\x00", "\n\x1d\x02", "__LINE__", "__COUNTER__", "% 0", "/ 0", "? 1 : 2", "'a'"),
            ),
        ),
        Target("recording", "recordings: footer, columns, pages", recording, _recording_seeds, most=1 << 15),
        Target("image", "masks --vmlinux", image, _image_seeds, most=1 << 17),
        Target(
            "text",
            "kallsyms, .config",
            text,
            lambda: (
                b"ffffffff81000000 T schedule\nffffffff81000010 t do_syscall_64\t[module]\n",
                b'CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C="x"\n',
            ),
            most=1024,
        ),
    )
}

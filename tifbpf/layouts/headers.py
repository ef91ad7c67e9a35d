"""A layout out of kernel headers: what the preprocessor makes of them under one configuration.

Reads the arch directory of a headers package (Debian's `linux-headers-X-amd64`, which finds its `-common`
part by itself), a build directory, or a source tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from tifbpf.errors import UnknownKernelError
from tifbpf.layouts import tiers
from tifbpf.layouts.macros import Macros
from tifbpf.layouts.model import WIDTH, Bit, Layout, Mask, Word
from tifbpf.text import printable

_THREAD_INFO = "arch/x86/include/asm/thread_info.h"

_USUAL = dict.fromkeys(
    [
        *("X86_64", "SMP", "IA32_EMULATION", "X86_X32", "X86_X32_ABI", "COMPAT", "X86_IOPL_IOPERM"),
        *("THREAD_INFO_IN_TASK", "GENERIC_ENTRY", "GENERIC_IRQ_ENTRY", "GENERIC_SYSCALL"),
        *("PREEMPT_LAZY", "ARCH_HAS_PREEMPT_LAZY", "LIVEPATCH", "UPROBES", "RSEQ", "CONTEXT_TRACKING"),
        *("KVM_XFER_TO_GUEST_WORK", "VIRT_XFER_TO_GUEST_WORK"),
        *("HAVE_GENERIC_TIF_BITS", "HRTIMER_REARM_DEFERRED"),
    ],
    "y",
)
"""What distributions switch on, for a tree that was not configured."""


def read(directory: Path, config: Mapping[str, str] | None = None) -> Layout:
    """Return the layout that the headers in `directory` define.

    Handlers are not in headers: `handler`, `cleared` and `needs_pt_regs` stay unknown. `tiers` is empty
    where the headers name no work mask (4.3 to 5.8 keep theirs in a .c file).

    Args:
        directory: the tree.
        config: the options that are set, without `CONFIG_`, for a tree that has no configuration of its own.

    Raises:
        UnknownKernelError: no x86 kernel headers, or some that cannot be evaluated.
    """
    roots = _roots(directory)
    label = printable(str(directory))
    if not any(_text(root / _THREAD_INFO) for root in roots):
        if (common := common_part(directory)) is not None:
            raise UnknownKernelError(
                f"half of the kernel headers in {label} is missing: install {printable(common.name)}, or "
                "unpack it beside them"
            )
        raise UnknownKernelError(
            f"no x86 kernel headers in {label}: {_THREAD_INFO} is missing or cannot be read; give the "
            "directory of a headers package or of a kernel tree"
        )
    options, where = _configuration(roots, config)
    macros = Macros(label, roots, options)
    numbers = macros.tif_bits()
    if not numbers:
        raise UnknownKernelError(f"no TIF_ bit in the headers in {label}: {_THREAD_INFO} cannot be read")
    bits = (
        *_bits(Word.TIF, numbers, f"{label}: TIF_*, {where}"),
        *_bits(Word.SYSCALL_WORK, macros.syscall_work_bits(), f"{label}: enum syscall_work_bit"),
    )
    masks = tuple(
        Mask(name=name, word=_word(name), value=macros.value(name), source=f"{label}, {where}")
        for name in macros.masks()
    )
    release = release_of(directory) or "unknown release"
    return Layout(
        name=f"{release} (headers)",
        releases=(release,),
        bits=bits,
        masks=masks,
        tiers=tiers.from_masks(masks, bits),
        source=f"headers in {label}, {where}",
        notes=() if options is not _USUAL else ("the tree is not configured: the usual options were taken",),
    )


def common_part(directory: Path) -> Path | None:
    """Return where the common part of a package in two parts is installed; None for one that is whole.

    Debian: the Makefile of the arch part includes that of the common part, by its path.
    """
    found = re.search(r"^include (\S+)/Makefile$", _text(directory / "Makefile"), re.MULTILINE)
    return (directory / found.group(1)).resolve() if found else None


def configuration(directory: Path) -> Mapping[str, str] | None:
    """Return the options that the tree was configured with, without `CONFIG_`; None if it was not."""
    options, _ = _configuration(_roots(directory), None)
    return None if options is _USUAL else options


def release_of(directory: Path) -> str | None:
    """Return the release that a tree says it is of; None if it does not say."""
    for root in _roots(directory):
        if release := _text(root / "include/config/kernel.release").strip():
            return release
        if found := re.search(r'UTS_RELEASE\s+"([^"]+)"', _text(root / "include/generated/utsrelease.h")):
            return found.group(1)
    for root in _roots(directory):
        numbers = dict(
            re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL) *= *(\d+)$", _text(root / "Makefile"), re.MULTILINE)
        )
        if len(numbers) == 3:
            return f"{numbers['VERSION']}.{numbers['PATCHLEVEL']}.{numbers['SUBLEVEL']}"
    return None


def _roots(directory: Path) -> tuple[Path, ...]:
    """Return `directory`, and the tree that it was built from where the headers are in two parts."""
    parts = [directory]
    if (common := common_part(directory)) is not None:
        parts += [directory.resolve().parent / common.name, common]
    return (*parts, directory / "source")


def _text(path: Path) -> str:
    try:
        # What is no file may have no end.
        return path.read_text(errors="replace") if path.is_file() else ""
    except OSError:
        return ""


def _configuration(roots: Iterable[Path], given: Mapping[str, str] | None) -> tuple[Mapping[str, str], str]:
    """Return the options that are set, and where they were found."""
    for root in roots:
        lines = re.findall(r"^CONFIG_(\w+)=(.*)$", _text(root / ".config"), re.MULTILINE)
        if lines:
            return dict(lines), f"configured by {root / '.config'}"
        generated = root / "include/generated/autoconf.h"
        if lines := re.findall(r"^#define CONFIG_(\w+) (.*)$", _text(generated), re.MULTILINE):
            return dict(_option(name, value) for name, value in lines), f"configured by {generated}"
    if given is not None:
        return given, "configured as the kernel that runs"
    return _USUAL, "configured as usual"


def _option(name: str, value: str) -> tuple[str, str]:
    """Return what .config says for a line of autoconf.h, where a module is `CONFIG_X_MODULE 1`."""
    if name.endswith("_MODULE"):
        return name.removesuffix("_MODULE"), "m"
    return name, "y" if value == "1" else value


def _bits(word: Word, numbers: Mapping[str, int], source: str) -> tuple[Bit, ...]:
    if beyond := [name for name, number in numbers.items() if number >= WIDTH]:
        raise UnknownKernelError(
            f"{source}: {beyond[0]} is bit {numbers[beyond[0]]}, and a word has {WIDTH}; no kernel has these"
        )
    return tuple(
        Bit(name=name, number=number, word=word, source=source)
        for name, number in sorted(numbers.items(), key=lambda item: item[1])
    )


def _word(mask: str) -> Word:
    return Word.SYSCALL_WORK if "SYSCALL_WORK_" in mask else Word.TIF

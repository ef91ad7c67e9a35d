from __future__ import annotations

import itertools
import os
import re
import shutil
from pathlib import Path

import pytest

from tifbpf.errors import UnknownKernelError
from tifbpf.layouts import catalogue, headers
from tifbpf.layouts.model import Context, Layout, Word

# Verbatim excerpts of Debian's headers packages; each file says which lines of what it holds.
HEADERS = Path(__file__).parents[1] / "data" / "headers"

# Values that the packages' own configurations make, each found in the machine code too where one could look.
REAL = {
    "linux-headers-5.10.0-46-rt-amd64": {
        "EXIT_TO_USER_MODE_WORK": 0x8008300E,
        "SYSCALL_EXIT_WORK": 0x10000091,
        "SYSCALL_ENTER_WORK": 0x100001C1,
        "_TIF_NEED_RESCHED_MASK": 0x80000008,
        "_TIF_WORK_CTXSW_BASE": 0x2058420,
        "_TIF_WORK_CTXSW": 0x2058620,
        "_TIF_WORK_CTXSW_PREV": 0x2458E20,
    },
    "linux-headers-6.1.0-56-amd64": {
        "EXIT_TO_USER_MODE_WORK": 0x2300E,
        "SYSCALL_WORK_EXIT": 0x76,
        "SYSCALL_WORK_ENTER": 0x3F,
        "XFER_TO_GUEST_MODE_WORK": 0x2000E,
        "ARCH_EXIT_TO_USER_MODE_WORK": 0,
        "_TIF_WORK_CTXSW": 0x2818220,
        "_TIF_WORK_CTXSW_PREV": 0x2C18A20,
    },
    "linux-headers-6.1.0-56-rt-amd64": {
        "EXIT_TO_USER_MODE_WORK": 0xA300E,
        "SYSCALL_WORK_EXIT": 0x76,
        "SYSCALL_WORK_ENTER": 0x3F,
        "XFER_TO_GUEST_MODE_WORK": 0x2000E,
        "_TIF_NEED_RESCHED_MASK": 0x80008,
    },
    "linux-headers-6.12.117+deb13-rt-amd64": {
        "EXIT_TO_USER_MODE_WORK": 0x2301E,
        "SYSCALL_WORK_EXIT": 0x76,
        "XFER_TO_GUEST_MODE_WORK": 0x2001E,
    },
    "linux-headers-7.3.4+deb13-amd64": {
        "EXIT_TO_USER_MODE_WORK": 0xB37,
        "EXIT_TO_USER_MODE_WORK_SYSCALL": 0xB37,
        "EXIT_TO_USER_MODE_WORK_IRQ": 0x1B37,
        "SYSCALL_WORK_EXIT": 0x76,
        "SYSCALL_WORK_ENTER": 0xBF,
        "_TIF_WORK_CTXSW": 0x4B30000,
        "_TIF_WORK_CTXSW_PREV": 0x4F30080,
    },
}


def facts(layout: Layout) -> tuple[set[tuple[str, str, int]], set[tuple[str, str, int, tuple[Context, ...]]]]:
    return (
        {(bit.word, bit.name, bit.number) for bit in layout.bits},
        {(tier.name, tier.word, tier.value, tier.contexts) for tier in layout.tiers},
    )


@pytest.mark.parametrize("package", REAL)
def test_masks_of_real_headers(package: str) -> None:
    layout = headers.read(HEADERS / package)
    masks = {mask.name: mask.value for mask in layout.masks}
    assert {name: masks.get(name) for name in REAL[package]} == REAL[package]
    assert all(bit.handler is None and bit.needs_pt_regs is None for bit in layout.bits)


@pytest.mark.parametrize(
    ("package", "release", "era"),
    [
        ("linux-headers-5.10.0-46-rt-amd64", "5.10.262-rt157", "5.10-rt"),
        ("linux-headers-6.1.0-56-amd64", "6.1.192", "5.19"),
        ("linux-headers-6.1.0-56-rt-amd64", "6.1.192-rt64", "6.1-rt"),
        ("linux-headers-6.12.117+deb13-rt-amd64", "6.12.117+deb13-rt-amd64", "6.13"),
        ("linux-headers-7.3.4+deb13-amd64", "7.3.4+deb13-amd64", "7.1"),
    ],
)
def test_real_headers_agree_with_their_era(package: str, release: str, era: str) -> None:
    layout = headers.read(HEADERS / package)
    assert layout.releases == (release,)
    assert facts(layout) == facts(catalogue.load(era))
    known = {mask.name: mask.value for mask in catalogue.load(era).masks}
    differing = {mask.name for mask in layout.masks if known.get(mask.name, mask.value) != mask.value}
    assert differing == set()


def copied(package: str, tmp_path: Path) -> Path:
    """Return a copy of the package, its common part beside it."""
    common = re.sub(r"(-rt)?-amd64$", r"-common\1", package)
    for part in (package, common):
        shutil.copytree(HEADERS / part, tmp_path / part)
    return tmp_path / package


def test_the_configuration_decides(tmp_path: Path) -> None:
    tree = copied("linux-headers-7.3.4+deb13-amd64", tmp_path)
    config = tree / ".config"
    text = config.read_text()
    assert "CONFIG_HRTIMER_REARM_DEFERRED=y\n" in text
    config.write_text(text.replace("CONFIG_HRTIMER_REARM_DEFERRED=y\n", "").replace("CONFIG_SMP=y\n", ""))
    layout = headers.read(tree)
    assert layout.work_mask(Context.INTERRUPT, Word.TIF) == 0xB37
    mask = layout.mask("_TIF_WORK_CTXSW")
    assert mask is not None
    assert mask.value == 0x4B10000


def test_autoconf_stands_in_for_the_configuration(tmp_path: Path) -> None:
    tree = copied("linux-headers-6.1.0-56-rt-amd64", tmp_path)
    (tree / ".config").unlink()
    (tree / "include/generated/autoconf.h").write_text(
        "#define CONFIG_SMP 1\n#define CONFIG_GENERIC_ENTRY 1\n#define CONFIG_KVM_MODULE 1\n"
    )
    # Without CONFIG_PREEMPT_LAZY the RT patch's mask is that of 6.1.
    assert headers.read(tree).work_mask(Context.SYSCALL, Word.TIF) == 0x2300E
    with (tree / "include/generated/autoconf.h").open("a") as autoconf:
        autoconf.write("#define CONFIG_PREEMPT_LAZY 1\n")
    assert headers.read(tree).work_mask(Context.SYSCALL, Word.TIF) == 0xA300E


def test_the_hosts_configuration_is_for_trees_without_one(tmp_path: Path) -> None:
    tree = copied("linux-headers-6.1.0-56-rt-amd64", tmp_path)
    assert headers.read(tree, {"GENERIC_ENTRY": "y"}).work_mask(Context.SYSCALL, Word.TIF) == 0xA300E
    (tree / ".config").unlink()
    assert headers.read(tree, {"GENERIC_ENTRY": "y"}).work_mask(Context.SYSCALL, Word.TIF) == 0x2300E


def test_a_tree_that_was_not_configured_says_so() -> None:
    layout = headers.read(HEADERS / "linux-headers-6.1.0-56-common-rt")
    assert layout.work_mask(Context.SYSCALL, Word.TIF) == 0xA300E
    assert layout.notes == ("the tree is not configured: the usual options were taken",)


def tree(directory: Path, thread_info: str, **others: str) -> Path:
    """Write a source tree of one header; `others` are path and text."""
    files = {"arch/x86/include/asm/thread_info.h": thread_info, ".config": "CONFIG_X86_64=y\n", **others}
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


BITS = "".join(
    f"#define TIF_{name} {number}\n#define _TIF_{name} (1 << TIF_{name})\n"
    for name, number in {
        "SYSCALL_TRACE": 0,
        "NOTIFY_RESUME": 1,
        "SIGPENDING": 2,
        "NEED_RESCHED": 3,
        "SINGLESTEP": 4,
        "SYSCALL_EMU": 6,
        "SYSCALL_AUDIT": 7,
        "SECCOMP": 8,
        "NOHZ": 19,
        "SYSCALL_TRACEPOINT": 28,
    }.items()
)


def test_masks_by_complement(tmp_path: Path) -> None:
    """The expressions that Al Viro quoted on 27 January 2014."""
    masks = r"""
/* work to do on interrupt/exception return */
#define _TIF_WORK_MASK \
        (0x0000FFFF & \
         ~(_TIF_SYSCALL_TRACE|_TIF_SYSCALL_AUDIT| \
           _TIF_SINGLESTEP|_TIF_SECCOMP|_TIF_SYSCALL_EMU))

/* work to do on any return to user space */
#define _TIF_ALLWORK_MASK \
        ((0x0000FFFF & ~_TIF_SECCOMP) | _TIF_SYSCALL_TRACEPOINT | \
        _TIF_NOHZ)
"""
    layout = headers.read(tree(tmp_path, BITS + masks))
    assert layout.work_mask(Context.INTERRUPT, Word.TIF) == 0xFE2E
    assert layout.work_mask(Context.SYSCALL, Word.TIF) == 0x1008FEFF
    assert [(tier.name, tier.value) for tier in layout.tiers] == [
        ("loop", 0xFE2E),
        ("syscall_work", 0x100800D1),
    ]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("(1UL << 3) | BIT(2)", 0xC),
        ("((unsigned long)_TIF_SIGPENDING | (u32)(_TIF_NEED_RESCHED))", 0xC),
        ("(_TIF_SIGPENDING \\\n | _TIF_NEED_RESCHED) /* both */", 0xC),
        ("~0U & ~(0xFFFFFFFFU ^ 0xc)", 0xC),
        ("014", 0xC),
        ("(1 << 31) | 1", 0x80000001),
        ("(0x18 >> 1) + 1 - 1", 0xC),
        ("0x0000FFFF & ~0xFFF3", 0xC),
    ],
)
def test_expressions(tmp_path: Path, expression: str, value: int) -> None:
    layout = headers.read(tree(tmp_path, f"{BITS}#define EXIT_TO_USER_MODE_WORK {expression}\n"))
    assert layout.work_mask(Context.SYSCALL, Word.TIF) == value


@pytest.mark.parametrize(
    ("condition", "config", "holds"),
    [
        ("#ifdef CONFIG_A", "CONFIG_A=y", True),
        ("#ifdef CONFIG_A", "CONFIG_A=m", False),
        ("#ifdef CONFIG_A", "# CONFIG_A is not set", False),
        ("#ifndef CONFIG_A", "# CONFIG_A is not set", True),
        ("#if defined(CONFIG_A) && !defined(CONFIG_B)", "CONFIG_A=y", True),
        ("#if defined CONFIG_A || defined CONFIG_B", "CONFIG_B=y", True),
        ("#if IS_ENABLED(CONFIG_A)", "CONFIG_A=y", True),
        ("#if IS_ENABLED(CONFIG_A)", "CONFIG_A=m", True),
        ("#if IS_ENABLED(CONFIG_A)", "CONFIG_B=y", False),
        ("#if CONFIG_N >= 8", "CONFIG_N=16", True),
        ("#if CONFIG_N >= 8", "CONFIG_N=4", False),
        ("#if 0\n#elif defined(CONFIG_A)", "CONFIG_A=y", True),
    ],
)
def test_conditions(tmp_path: Path, condition: str, config: str, holds: bool) -> None:
    define = "# define EXIT_TO_USER_MODE_WORK"
    text = f"{BITS}{condition}\n{define} 4\n#else\n{define} 8\n#endif\n"
    kconfig = {"include/linux/kconfig.h": KCONFIG}
    layout = headers.read(tree(tmp_path, text, **{".config": f"{config}\n"}, **kconfig))
    assert layout.work_mask(Context.SYSCALL, Word.TIF) == (4 if holds else 8)


# The trick of include/linux/kconfig.h: a placeholder that becomes two arguments if the option is 1.
KCONFIG = """
#define __ARG_PLACEHOLDER_1 0,
#define __take_second_arg(__ignored, val, ...) val
#define __or(x, y) ___or(x, y)
#define ___or(x, y) ____or(__ARG_PLACEHOLDER_##x, y)
#define ____or(arg1_or_junk, y) __take_second_arg(arg1_or_junk 1, y)
#define __is_defined(x) ___is_defined(x)
#define ___is_defined(val) ____is_defined(__ARG_PLACEHOLDER_##val)
#define ____is_defined(arg1_or_junk) __take_second_arg(arg1_or_junk 1, 0)
#define IS_BUILTIN(option) __is_defined(option)
#define IS_MODULE(option) __is_defined(option##_MODULE)
#define IS_ENABLED(option) __or(IS_BUILTIN(option), IS_MODULE(option))
"""


def test_enumerators_may_have_values(tmp_path: Path) -> None:
    enum = "enum syscall_work_bit {\n SYSCALL_WORK_BIT_A = 2,\n SYSCALL_WORK_BIT_B,\n};\n"
    mask = "#define SYSCALL_WORK_EXIT (BIT(SYSCALL_WORK_BIT_A) | BIT(SYSCALL_WORK_BIT_B))\n"
    work = "#define EXIT_TO_USER_MODE_WORK _TIF_SIGPENDING\n"
    layout = headers.read(tree(tmp_path, BITS + work, **{"include/linux/thread_info.h": enum + mask}))
    assert layout.work_mask(Context.SYSCALL, Word.SYSCALL_WORK) == 0xC
    assert layout.names(Word.SYSCALL_WORK, 0xC) == ("A", "B")


@pytest.mark.parametrize(
    ("entries", "names"),
    [
        ("A, B, C", {"A": 0, "B": 1, "C": 2}),
        ("A = 1 << 2, B", {"A": 4, "B": 5}),
        ("A = 3, B = SYSCALL_WORK_BIT_A + 2, C", {"A": 3, "B": 5, "C": 6}),
        ("A = TIF_SIGPENDING, B = SYSCALL_WORK_BIT_A", {"A": 2, "B": 2}),
        ("A,\n#ifdef CONFIG_NO\n\tSYSCALL_WORK_BIT_X,\n#endif\n\tB,", {"A": 0, "B": 1}),
    ],
)
def test_enumerators(tmp_path: Path, entries: str, names: dict[str, int]) -> None:
    entries = re.sub(r"\b([ABC])\b", r"SYSCALL_WORK_BIT_\1", entries)
    enum = {"include/linux/thread_info.h": f"enum syscall_work_bit {{\n\t{entries}\n}};\n"}
    layout = headers.read(tree(tmp_path, BITS, **enum))
    assert {bit.name: bit.number for bit in layout.bits if bit.word == Word.SYSCALL_WORK} == names


@pytest.mark.parametrize("entries", ["SYSCALL_WORK_BIT_A = B", "SYSCALL_WORK_BIT_A B", "= 1"])
def test_enumerators_that_are_none(tmp_path: Path, entries: str) -> None:
    enum = {"include/linux/thread_info.h": f"enum syscall_work_bit {{\n\t{entries},\n}};\n"}
    with pytest.raises(UnknownKernelError, match=r"SYSCALL_WORK_BIT_A|do not hold") as error:
        headers.read(tree(tmp_path, BITS, **enum))
    assert "\n" not in str(error.value)


def test_the_generic_header_defines_what_the_architecture_has(tmp_path: Path) -> None:
    package = copied("linux-headers-7.3.4+deb13-amd64", tmp_path)
    layout = headers.read(package)
    # RESTORE_SIGMASK is there for others, HAVE_TIF_RESTORE_SIGMASK is not x86's.
    assert layout.named("RESTORE_SIGMASK") is None
    assert layout.names(Word.TIF, 0x60) == ("NEED_RESCHED_LAZY", "POLLING_NRFLAG")
    header = tmp_path / "linux-headers-7.3.4+deb13-common/arch/x86/include/asm/thread_info.h"
    text = header.read_text()
    assert text.count("#define HAVE_TIF_POLLING_NRFLAG\n") == 1
    header.write_text(text.replace("#define HAVE_TIF_POLLING_NRFLAG\n", ""))
    assert headers.read(package).names(Word.TIF, 0x60) == ("NEED_RESCHED_LAZY", "bit6")


def test_without_the_generic_header_nothing_is_guessed(tmp_path: Path) -> None:
    package = copied("linux-headers-7.3.4+deb13-amd64", tmp_path)
    (tmp_path / "linux-headers-7.3.4+deb13-common/include/asm-generic/thread_info_tif.h").unlink()
    with pytest.raises(UnknownKernelError, match=r"do not hold: .* #error Inconsistent PREEMPT_LAZY$"):
        headers.read(package)
    (package / ".config").write_text("CONFIG_GENERIC_ENTRY=y\n")
    with pytest.raises(UnknownKernelError, match=r"_WORK in the headers in .* is no number: .*_TIF_"):
        headers.read(package)


def test_an_alias_is_no_second_name(tmp_path: Path) -> None:
    # include/linux/thread_info.h of 6.19, for architectures without the bit.
    alias = "#define TIF_RSEQ TIF_NOTIFY_RESUME\n#define _TIF_RSEQ _TIF_NOTIFY_RESUME\n"
    work = "#define EXIT_TO_USER_MODE_WORK (_TIF_SIGPENDING | _TIF_RSEQ)\n"
    layout = headers.read(tree(tmp_path, BITS, **{"include/linux/thread_info.h": alias + work}))
    assert layout.named("RSEQ") is None
    assert layout.names(Word.TIF, 0x2) == ("NOTIFY_RESUME",)
    assert [(tier.name, tier.value) for tier in layout.tiers] == [("loop", 0x6)]


def test_what_is_counted_from_another_bit_is_no_alias(tmp_path: Path) -> None:
    layout = headers.read(tree(tmp_path, f"{BITS}#define TIF_A TIF_NOHZ + 1\n#define TIF_B (TIF_A + 1)\n"))
    assert layout.names(Word.TIF, 0x380000) == ("NOHZ", "A", "B")


def test_a_source_tree_has_the_loops_own_mask(tmp_path: Path) -> None:
    # 6.19: in a headers package the macro is missing, and the RSEQ bit stands for it.
    rseq = "#define TIF_RSEQ 11\n#define _TIF_RSEQ BIT(TIF_RSEQ)\n"
    work = "#define EXIT_TO_USER_MODE_WORK (_TIF_SIGPENDING | _TIF_RSEQ)\n"
    packaged = headers.read(tree(tmp_path / "package", BITS + rseq + work))
    source = "#define EXIT_TO_USER_MODE_WORK_LOOP (EXIT_TO_USER_MODE_WORK & ~_TIF_RSEQ)\n"
    whole = headers.read(tree(tmp_path / "source", BITS + rseq + work, **{"kernel/entry/common.c": source}))
    assert facts(packaged) == facts(whole)
    assert [(tier.name, tier.value) for tier in whole.tiers] == [("loop", 0x4), ("rseq", 0x800)]
    assert whole.tiers[0].mask == "EXIT_TO_USER_MODE_WORK_LOOP"


def test_headers_that_name_no_work_mask_have_no_tier(tmp_path: Path) -> None:
    assert headers.read(tree(tmp_path, BITS)).tiers == ()


def test_a_source_tree_has_the_masks_of_4_4(tmp_path: Path) -> None:
    source = "#define EXIT_TO_USERMODE_LOOP_FLAGS (_TIF_SIGPENDING | _TIF_NEED_RESCHED)\n"
    work = "#define SYSCALL_EXIT_WORK_FLAGS (_TIF_SYSCALL_TRACE | _TIF_SYSCALL_TRACEPOINT)\nint f;\n"
    layout = headers.read(tree(tmp_path, BITS, **{"arch/x86/entry/common.c": source + work}))
    assert layout.work_mask(Context.INTERRUPT, Word.TIF) == 0xC
    assert layout.work_mask(Context.SYSCALL, Word.TIF) == 0x1000000D


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("#define EXIT_TO_USER_MODE_WORK (_TIF_SIGPENDING | _TIF_NO_SUCH)\n", "_TIF_NO_SUCH"),
        ("#define EXIT_TO_USER_MODE_WORK (1 <<\n", "EXIT_TO_USER_MODE_WORK in the headers in"),
        ("#define EXIT_TO_USER_MODE_WORK (1 / 0)\n", "EXIT_TO_USER_MODE_WORK in the headers in"),
        ("#define EXIT_TO_USER_MODE_WORK do { } while (0)\n", "EXIT_TO_USER_MODE_WORK in the headers in"),
        ("#define EXIT_TO_USER_MODE_WORK\n", "EXIT_TO_USER_MODE_WORK in the headers in"),
        ("#error Inconsistent PREEMPT_LAZY\n", "Inconsistent PREEMPT_LAZY"),
        ("#ifdef CONFIG_X\n", "do not hold"),
        ("#ifdef\n#endif\n", "do not hold"),
        ('#include "asm/thread_info.h"\n', "do not hold"),
        ("#define TIF_B 12 BIT(TIF_B)\n", "TIF_B in the headers in"),
    ],
)
def test_what_cannot_be_evaluated_is_no_zero(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UnknownKernelError, match=re.escape(says)) as error:
        headers.read(tree(tmp_path, BITS + text))
    assert "\n" not in str(error.value)


def test_a_directory_without_headers_is_one_line(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "missing\nline", HEADERS / "linux-headers-6.1.0-56-amd64/include"):
        with pytest.raises(UnknownKernelError, match=r"^no x86 kernel headers in ") as error:
            headers.read(directory)
        assert "\n" not in str(error.value)


def test_a_name_that_no_file_can_have(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownKernelError, match=r"^no x86 kernel headers in .* is missing or cannot be read"
    ):
        headers.read(tmp_path / ("a" * 300))


def test_half_of_a_package_says_what_is_missing(tmp_path: Path) -> None:
    package = copied("linux-headers-7.3.4+deb13-amd64", tmp_path)
    shutil.rmtree(tmp_path / "linux-headers-7.3.4+deb13-common")
    with pytest.raises(UnknownKernelError) as error:
        headers.read(package)
    assert str(error.value) == (
        f"half of the kernel headers in {package} is missing: install linux-headers-7.3.4+deb13-common, or "
        "unpack it beside them"
    )


def test_a_file_that_cannot_be_read_is_no_missing_one(tmp_path: Path) -> None:
    # Root reads everything, but not a link to itself. Without the file, there would be no mask.
    directory = tree(tmp_path, BITS)
    path = directory / "include/linux/entry-common.h"
    path.parent.mkdir(parents=True)
    path.symlink_to(path)
    with pytest.raises(UnknownKernelError, match=r"entry-common\.h: Too many levels of symbolic links$"):
        headers.read(directory)


def test_a_build_directory_names_its_source_relatively(tmp_path: Path) -> None:
    # What `make O=build` writes.
    tree(tmp_path, f"{BITS}#define EXIT_TO_USER_MODE_WORK _TIF_SIGPENDING\n")
    (tmp_path / "build").mkdir()
    (tmp_path / "build/Makefile").write_text(
        "# Automatically generated by Makefile: don't edit\ninclude ../Makefile\n"
    )
    assert headers.read(tmp_path / "build").work_mask(Context.SYSCALL, Word.TIF) == 4


def test_a_header_that_defines_no_bit(tmp_path: Path) -> None:
    with pytest.raises(UnknownKernelError, match="no TIF_ bit in the headers"):
        headers.read(tree(tmp_path, "/* M\xfcller */\n"))


def test_comments_in_latin_1(tmp_path: Path) -> None:
    directory = tree(tmp_path, BITS)
    path = directory / "arch/x86/include/asm/thread_info.h"
    path.write_bytes(b"/* M\xfcller */\n" + path.read_bytes())
    assert headers.read(directory).named("SIGPENDING") is not None


LAUGHS = "#define X0 1\n" + "".join(f"#define X{n} X{n - 1} X{n - 1}\n" for n in range(1, 60))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{LAUGHS}#define TIF_B X59\n", "macros expand to more text"),
        (f"#define C(x) x##x\n#define TIF_B {'C(' * 40}a{')' * 40}\n", "TIF_B in the headers in"),
        ("#define TIF_B 'ab'\n", "TIF_B in the headers in"),
        ("#define TIF_B 0x\n", "TIF_B in the headers in"),
        (f"#define TIF_B {'1' * 5000}\n", "TIF_B in the headers in"),
    ],
    ids=["laughs", "pasted", "character", "prefix", "digits"],
)
def test_macros_that_nobody_writes(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownKernelError, match=said) as error:
        headers.read(tree(tmp_path, f"{BITS}{text}"))
    assert str(error.value).isprintable()


def test_files_that_include_one_another(tmp_path: Path) -> None:
    names = ("thread_info", "entry-common", "irq-entry-common", "entry-kvm")
    others = {
        f"include/linux/{name}.h": f"#include <linux/{following}.h>\n" * 40
        for name, following in itertools.pairwise(names)
    }
    with pytest.raises(UnknownKernelError, match=r"files include one another more than 1000 times$"):
        headers.read(tree(tmp_path, BITS, **others, **{"include/linux/entry-kvm.h": "\n"}))


@pytest.mark.parametrize(
    ("shift", "number"), [("99999999999", 0), ("18446744073709551615UL", 0), ("64", 0), ("3", 8)]
)
def test_a_shift_by_more_than_a_word_is_wide(shift: str, number: int, tmp_path: Path) -> None:
    found = headers.read(tree(tmp_path, f"{BITS}#if 1 << {shift}\n#endif\n#define TIF_B (1 << {shift})\n"))
    bit = found.named("B", Word.TIF)
    assert bit is not None
    assert bit.number == number


def test_an_enum_of_more_bits_than_a_word_has(tmp_path: Path) -> None:
    directory = tree(tmp_path, f"{BITS}enum syscall_work_bit {{ {'A, ' * 100_000} }};\n")
    with pytest.raises(UnknownKernelError, match=r"more than 64 members$"):
        headers.read(directory)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    directory = tree(tmp_path, BITS)
    os.mkfifo(directory / "Makefile")
    assert headers.read(directory).bits
    (directory / "include/linux").mkdir(parents=True)
    os.mkfifo(directory / "include/linux/entry-common.h")
    with pytest.raises(UnknownKernelError, match=r"entry-common\.h: no file$"):
        headers.read(directory)


def test_a_bit_that_no_word_has(tmp_path: Path) -> None:
    with pytest.raises(UnknownKernelError, match=r"FAR is bit 4000000000, and a word has 64"):
        headers.read(tree(tmp_path, f"{BITS}#define TIF_FAR 4000000000U\n"))

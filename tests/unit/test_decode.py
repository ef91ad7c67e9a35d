from __future__ import annotations

import doctest
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_layout_catalogue import TREES, era_of
from tifbpf.cli.app import run
from tifbpf.errors import ExitCode, TifbpfError
from tifbpf.layouts import catalogue, decode, exits, releases
from tifbpf.layouts.model import Context, Word

HEADERS = Path(__file__).parents[1] / "data" / "headers"
LAYOUT = catalogue.for_kernel("6.18")
WORDS = st.integers(0, (1 << 64) - 1)


@pytest.mark.parametrize("module", [decode, releases], ids=lambda module: module.__name__)
def test_examples(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert (result.failed, result.attempted > 0) == (0, True)


@pytest.mark.parametrize(
    ("version", "value", "word", "text"),
    [
        ("6.18", 0, Word.TIF, "0"),
        ("6.18", 0, Word.SYSCALL_WORK, "0"),
        ("6.18", 0x12, Word.TIF, "SIGPENDING|NEED_RESCHED"),
        ("6.18", 0x400, Word.TIF, "bit10"),
        ("6.18", 1 << 63, Word.TIF, "bit63"),
        ("6.1", 0x6, Word.TIF, "NOTIFY_RESUME|SIGPENDING"),
        ("6.1", 0x80004, Word.TIF, "SIGPENDING|bit19"),
        ("6.1-rt", 0x80004, Word.TIF, "SIGPENDING|NEED_RESCHED_LAZY"),
        ("5.10.262", 0x80004, Word.TIF, "SIGPENDING|NOTIFY_SIGNAL"),
        ("3.13", 0xE220, Word.TIF, "bit5|bit9|bit13|bit14|bit15"),
        ("6.18", 0x42, Word.SYSCALL_WORK, "SYSCALL_TRACEPOINT|SYSCALL_EXIT_TRAP"),
        ("6.18", 0x80, Word.SYSCALL_WORK, "bit7"),
        ("7.0", 0x80, Word.SYSCALL_WORK, "SYSCALL_RSEQ_SLICE"),
    ],
)
def test_words_by_name(version: str, value: int, word: Word, text: str) -> None:
    assert decode.decode(catalogue.for_kernel(version), value, word) == text


def test_a_negative_word_is_a_bug_of_the_caller() -> None:
    with pytest.raises(ValueError, match="-1"):
        decode.decode(LAYOUT, -1)


@given(WORDS)
def test_no_bit_is_dropped(value: int) -> None:
    text = decode.decode(LAYOUT, value)
    assert len(text.split("|")) == max(1, value.bit_count())
    assert decode.parse(LAYOUT, text) == value


@pytest.mark.parametrize("key", ["3.13.10", "4.19.118", "6.12.117rt", "7.3.4"])
def test_each_bit_of_a_tree_decodes_to_its_name(key: str) -> None:
    layout = era_of(key)
    for name, number in TREES[key]["tif_bits"].items():
        assert decode.decode(layout, 1 << number) == name


@pytest.mark.parametrize("text", ["18", "0x12", "022", "0o22", "0b10010", "0X12", "SIGPENDING|NEED_RESCHED"])
def test_ways_to_write_a_word(text: str) -> None:
    assert decode.parse(LAYOUT, text) == 0x12


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("EXIT_TO_USER_MODE_WORK", 0x337),
        (" _TIF_SIGPENDING | TIF_UPROBE ", 0x102),
        ("bit30|0x1", 0x40000001),
        ("bit63", 1 << 63),
        ("0", 0),
    ],
)
def test_names_of_masks_and_bits(text: str, value: int) -> None:
    assert decode.parse(LAYOUT, text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "|",
        "0xzz",
        "1e3",
        "09",
        "-3",
        "bit64",
        "0x10000000000000000",
        "SIGPENDINGG",
        "SYSCALL_TRACE",
        "a\nb",
    ],
)
def test_what_is_no_word(text: str) -> None:
    with pytest.raises(TifbpfError) as error:
        decode.parse(LAYOUT, text)
    assert "\n" not in str(error.value)


def test_names_belong_to_one_word() -> None:
    assert decode.parse(LAYOUT, "SYSCALL_WORK_BIT_SYSCALL_TRACE|SECCOMP", Word.SYSCALL_WORK) == 0x5
    assert decode.parse(LAYOUT, "SYSCALL_WORK_EXIT", Word.SYSCALL_WORK) == 0x76
    with pytest.raises(TifbpfError, match="no bit 'SIGPENDING' in the syscall_work word"):
        decode.parse(LAYOUT, "SIGPENDING", Word.SYSCALL_WORK)


@pytest.mark.parametrize(
    ("version", "value", "context", "tiers", "triggers", "sole"),
    [
        ("6.18", 0x80042, Context.SYSCALL, ["loop"], 0x2, True),
        ("6.18", 0x6, Context.INTERRUPT, ["loop"], 0x6, False),
        ("6.18", 0x80040, Context.SYSCALL, [], 0, False),
        ("7.3", 0x1800, Context.SYSCALL, ["rseq"], 0x800, True),
        ("7.3", 0x1800, Context.EXCEPTION, ["rseq", "hrtimer_rearm"], 0x1800, False),
        ("7.3", 0x810, Context.SYSCALL, ["loop", "rseq"], 0x810, False),
        # SYSCALL_EMU alone forces the slowpath of 3.13, from a system call only.
        ("3.13", 0x40, Context.SYSCALL, ["syscall_work"], 0x40, True),
        ("3.13", 0x40, Context.INTERRUPT, [], 0, False),
    ],
)
def test_what_a_word_does(
    version: str, value: int, context: Context, tiers: list[str], triggers: int, sole: bool
) -> None:
    layout = catalogue.for_kernel(version)
    result = exits.outcome(layout, value, Word.TIF, context)
    assert [tier.name for tier, _ in result.hits] == tiers
    assert tuple(tiers) == layout.slow_tiers(context, value, 0)
    assert (result.triggers, result.sole) == (triggers, sole)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["decode", "0x6", "--kernel", "6.1", "--context", "syscall"]) == ExitCode.OK
    word, source, syscall, *notes = capsys.readouterr().out.splitlines()
    assert word == "NOTIFY_RESUME|SIGPENDING"
    assert source == "layout 5.19, read from 5.19, 6.1.4, 6.1.192, 6.6.21, 6.8.1, 6.9.0, 6.12.8, 6.12.117"
    assert syscall == "syscall   slow: loop (EXIT_TO_USER_MODE_WORK 0x2300e) by NOTIFY_RESUME|SIGPENDING"
    assert all(note.startswith("note: ") for note in notes)


def test_the_command_turns_names_into_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["decode", "SIGPENDING|NEED_RESCHED", "--kernel", "3.13"]) == ExitCode.OK
    word, _, *contexts = capsys.readouterr().out.splitlines()
    assert word == "0xc"
    assert contexts[1] == "interrupt slow: loop (_TIF_WORK_MASK 0xfe2e) by SIGPENDING|NEED_RESCHED"


def test_the_command_on_the_other_word(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["decode", "0x10", "--kernel", "6.18.5", "--syscall-work"]) == ExitCode.OK
    assert capsys.readouterr().out.splitlines()[0:5:2] == [
        "SYSCALL_AUDIT",
        "syscall   slow: syscall_work (SYSCALL_WORK_EXIT 0x76) by SYSCALL_AUDIT; sole trigger in this word",
        "exception fast: syscall_work is not looked at",
    ]


def test_the_command_with_headers(capsys: pytest.CaptureFixture[str]) -> None:
    tree = HEADERS / "linux-headers-6.1.0-56-rt-amd64"
    assert run(["decode", "0x80000", "--headers", str(tree), "--context", "interrupt"]) == ExitCode.OK
    assert capsys.readouterr().out.splitlines() == [
        "NEED_RESCHED_LAZY",
        "layout 6.1.192-rt64 (headers), read from 6.1.192-rt64",
        "interrupt slow: loop (EXIT_TO_USER_MODE_WORK 0xa300e) by NEED_RESCHED_LAZY; sole trigger",
    ]


def test_headers_without_work_masks_call_nothing_fast(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = tmp_path / "arch/x86/include/asm/thread_info.h"
    header.parent.mkdir(parents=True)
    header.write_text("#define TIF_SIGPENDING 2\n")
    assert run(["decode", "4", "--headers", str(tmp_path), "--context", "syscall"]) == ExitCode.OK
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "SIGPENDING"
    assert out[2] == "syscall   not known: these headers name no work mask"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["decode", "0x1", "--kernel", "9.9"], ExitCode.UNKNOWN_KERNEL),
        (["decode", "0x1", "--kernel", "six"], ExitCode.UNKNOWN_KERNEL),
        (["decode", "0x1", "--headers", "/nonexistent"], ExitCode.UNKNOWN_KERNEL),
        (["decode", "nothing", "--kernel", "6.1"], ExitCode.FAILURE),
        (["decode", "0x1", "--kernel", "5.10", "--syscall-work"], ExitCode.FAILURE),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], code: ExitCode) -> None:
    with pytest.raises(TifbpfError) as error:
        run(arguments)
    assert error.value.exit_code == code
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["decode"],
        ["decode", "1", "--context", "nmi"],
        ["decode", "1", "--kernel", "6.1", "--headers", "/"],
    ],
)
def test_a_wrong_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == ExitCode.USAGE
    assert len(capsys.readouterr().err.splitlines()) == 1

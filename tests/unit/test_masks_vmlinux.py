"""`tifbpf masks --vmlinux`, and what is said of machine code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.excerpts import load
from tests.kallsyms_image import elf, names, table
from tifbpf import machine
from tifbpf.errors import ExitCode
from tifbpf.layouts import catalogue
from tifbpf.layouts import tested as model
from tifbpf.layouts.confirm import confirm
from tifbpf.reporters import machine_code, plain

WIDTH = 100
MASKS_7_3 = """\
Masks in the machine code
                 tested  layout  verdict    mask; test
  loop           0x337   0x337   confirmed  EXIT_TO_USER_MODE_WORK_LOOP;
                                            exit_to_user_mode_loop+0x1b: test ebx, 0x337;
                                            irqentry_exit+0x20e: test r12d, 0x337
  rseq           0x800   0x800   confirmed  EXIT_TO_USER_MODE_WORK & ~EXIT_TO_USER_MODE_WORK_LOOP;
                                            do_syscall_64+0xed: test r13d, 0xb37;
                                            irqentry_exit+0x36: test r12d, 0x1b37
"""
NOTE_7_3 = """\
  __do_fast_syscall_32, on a way of its own, tests 0x1b37 (__do_fast_syscall_32+0x297: test edi,
  0x1b37).
"""
GUARDS_7_3 = """\
  tif           0x1000     HRTIMER_REARM: __hrtimer_rearm_deferred(), clears HRTIMER_REARM; in
                           irqentry_exit
"""


def said(name: str, era: str) -> str:
    layout = catalogue.load(era)
    tested = machine.read(load(name))
    checks = confirm(layout, tested).checks
    return plain.text(tuple(machine_code.sections(layout, tested, checks)), WIDTH)


def test_text() -> None:
    text = said("debian-cloud-7.3", "7.1")
    assert text.startswith(MASKS_7_3)
    assert NOTE_7_3 in text
    assert GUARDS_7_3 in text
    assert max(map(len, text.splitlines())) <= WIDTH


def test_a_layout_of_another_kernel() -> None:
    text = said("debian-cloud-7.3", "6.18")
    assert "  outside_loop  0x800   none    overruled  no macro is known; " in text


def test_text_that_could_not_be_read() -> None:
    layout = catalogue.load("6.18")
    tested = model.Tested(source="the running kernel", missing=("kallsyms hides the addresses",))
    text = plain.text(tuple(machine_code.sections(layout, tested, confirm(layout, tested).checks)), WIDTH)
    assert "  loop          not found  0x337   not found  EXIT_TO_USER_MODE_WORK\n" in text
    assert "Not seen: kallsyms hides the addresses." in text
    assert "Guards" not in text


def masks(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from tifbpf.cli import main; main()", "masks", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, ExitCode.INPUT_MISSING),
        (b"PAR1", ExitCode.INPUT_FOREIGN),
        (elf(b"\xcc" * 64, table(names(5000), "6.4")), ExitCode.UNKNOWN_KERNEL),
    ],
)
def test_files_that_tell_nothing(content: bytes | None, code: ExitCode, tmp_path: Path) -> None:
    file = tmp_path / "vmlinuz"
    if content is not None:
        file.write_bytes(content)
    done = masks("--vmlinux", file)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


def test_a_file_and_a_release_at_once() -> None:
    done = masks("--vmlinux", "vmlinuz", "--kernel", "3.13")
    assert done.returncode == ExitCode.USAGE
    assert "give one of FILE, --kernel, --headers, --vmlinux, --history and --diff" in done.stderr

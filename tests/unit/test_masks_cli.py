from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEADERS = Path(__file__).parents[1] / "data" / "headers"
CONCLUSION_3_13 = """\
Conclusion
  0xe220 (bits 5, 9, 13, 14 and 15) of _TIF_ALLWORK_MASK and _TIF_WORK_MASK consists of bits that
  have no name and that nobody sets: it can be discarded.
  UPROBE is a hazard: alone it would loop at int_with_check for ever: _TIF_WORK_MASK has it, so the
  exit does not end, and none of schedule_user(), syscall_trace_leave() or do_notify_resume() is
  called there for it; hidden because paranoid_userspace calls do_notify_resume() for it.
  SYSCALL_EMU sends an exit to int_with_check for nothing: nothing is called for it, and the exit
  leaves, the bit still set; on the way there, sysret_check goes on to int_with_check, which leaves
  by iret. There is no reason for it to be in _TIF_ALLWORK_MASK.
  Of the bits that make exits slow, 5 need the full pt_regs (SYSCALL_TRACE, SIGPENDING, SINGLESTEP,
  UPROBE and SYSCALL_TRACEPOINT); a second slowpath without them would serve the other 6
  (NOTIFY_RESUME, NEED_RESCHED, SYSCALL_AUDIT, MCE_NOTIFY, USER_RETURN_NOTIFY and NOHZ).
"""
MASKS_3_13 = """\
  _TIF_WORK_MASK           0xfe2e      exit            NOTIFY_RESUME | SIGPENDING | NEED_RESCHED |
                                                       MCE_NOTIFY | USER_RETURN_NOTIFY | UPROBE |
                                                       0xe220
                                                       = _TIF_DO_NOTIFY_MASK | NEED_RESCHED | UPROBE
                                                       | 0xe220
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from tifbpf.cli import main; main()", "masks", *arguments],
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "70"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_text_can_be_pasted_into_a_mail() -> None:
    done = run("--kernel", "3.13")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Masks: Linux 3.13\n")
    assert MASKS_3_13 in done.stdout
    assert done.stdout.endswith(CONCLUSION_3_13)
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert done.stdout.isascii()
    assert all(line == line.rstrip() for line in done.stdout.splitlines())


def test_the_mail_stands_beside_its_kernel_only() -> None:
    claim = '  does not hold            "* hits do_notify_resume() (for no good reason [...])"\n'
    assert claim in run("--kernel", "3.13").stdout
    assert "Claim by claim" not in run("--kernel", "6.18").stdout


def test_json() -> None:
    document = json.loads(run("--kernel", "3.13", "--json").stdout)
    assert document["version"] == 1
    assert document["kernel"] == "3.13"
    assert document["audit"]["layout"] == "3.13"
    (uprobe,) = [bit for bit in document["audit"]["bits"] if bit["name"] == "UPROBE"]
    assert [finding["verdict"] for finding in uprobe["findings"]] == ["hazard", "wasted"]
    assert uprobe["config"] == ["UPROBES"]
    assert {claim["outcome"] for claim in document["claims"]} == {
        "holds",
        "holds with a difference",
        "does not hold",
    }
    assert len(document["conclusion"]) == 4


def test_markdown() -> None:
    text = run("--kernel", "6.18", "--markdown").stdout
    assert text.startswith(
        "## Masks: Linux 6.18\n\n| mask | value | for | bits |\n| --- | --- | --- | --- |\n"
    )
    assert (
        "| EXIT_TO_USER_MODE_WORK | 0x337 | exit | NOTIFY_RESUME \\| SIGPENDING \\| NOTIFY_SIGNAL \\| "
        "NEED_RESCHED \\| NEED_RESCHED_LAZY \\| UPROBE \\| PATCH_PENDING |\n"
    ) in text


def test_headers_say_whose_handlers_they_have() -> None:
    text = run("--headers", str(HEADERS / "linux-headers-6.1.0-56-common")).stdout
    assert "era 5.19: same bits and masks" in " ".join(text.split())


def test_the_running_kernel() -> None:
    done = run("--json")
    # A host that the tables do not know, and that has no headers: an error, never a guess.
    assert done.returncode in (0, 8)
    if done.returncode == 0:
        document = json.loads(done.stdout)
        assert document["kernel"] == os.uname().release
        assert document["evidence"]


def test_history() -> None:
    text = run("--history").stdout
    assert "  NOTIFY_RESUME               1 (3.10 to 6.13); 0 (6.18 to 7.1) [da3f033a9fbf]\n" in text
    document = json.loads(run("--history", "--json").stdout)
    assert document["version"] == 1
    assert document["history"]["offshoots"]["4.4.155"] == "4.4"


def test_diff() -> None:
    text = run("--diff", "6.17", "6.18").stdout
    assert "  NOTIFY_SIGNAL       17 -> 2\n" in text
    assert text.endswith(
        "Conclusion\n"
        "  Between 6.17 and 6.18 (layouts 6.13 and 6.18): 19 bits have other numbers.\n"
        '  Commits known to have done part of it: da3f033a9fbf "x86: Use generic TIF bits".\n'
    )
    difference = json.loads(run("--diff", "6.17", "6.18", "--json").stdout)["difference"]
    assert difference["masks"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--kernel", "3.13", "--history"),
            "give one of FILE, --kernel, --headers, --vmlinux, --history and --diff",
        ),
        (("--kernel", "3.13", "--json", "--markdown"), "give one of --json and --markdown"),
    ],
)
def test_options_that_exclude_each_other(arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_kernel_that_nobody_read() -> None:
    done = run("--kernel", "2.6.32")
    assert (done.returncode, done.stdout) == (8, "")
    assert done.stderr.startswith("tifbpf: no layout for 2.6.32: the trees that were read go from 3.10.4 to ")
    assert done.stderr.count("\n") == 1


def test_a_tree_without_headers(tmp_path: Path) -> None:
    done = run("--headers", str(tmp_path))
    assert (done.returncode, done.stdout) == (8, "")
    assert "arch/x86/include/asm/thread_info.h is missing" in done.stderr

"""`tifbpf top` on a real terminal (a pty), and as text."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.conftest import TIFBPF, exercise, run
from tests.live.screen import Screen

pytestmark = [pytest.mark.live, pytest.mark.requires("raw_tracepoint")]

TOP = [*TIFBPF, "top", "-d", "0.5"]


@pytest.fixture
def top() -> Iterator[Screen]:
    screen = Screen(TOP)
    yield screen
    screen.close()


def total_of(screen: str, bit: str) -> int:
    """Return the column `total` of a bit."""
    (line,) = [line for line in screen.splitlines() if line.startswith(f"{bit} ")]
    return int(re.split(r"\s{1,}", line)[-2 if line[-1] in "█▉▊▋▌▍▎▏#" else -1].replace(",", ""))


def test_known_exits_show_up_and_keys_work(top: Screen) -> None:
    before = total_of(top.wait_for("NOTIFY_RESUME"), "SIGPENDING")
    subprocess.run(exercise("signal", 5_000), check=True, capture_output=True)
    for _ in range(100):
        top.type(" ")
        top.read(0.1)
        if total_of(top.text, "SIGPENDING") >= before + 5_000:
            break
    assert total_of(top.text, "SIGPENDING") >= before + 5_000
    top.type("4t")
    assert "since start" in top.wait_for("system call ")
    top.wait_for("\nkill ")
    top.type("3")
    top.wait_for("mostly for")
    top.type("h")
    top.wait_for("quit, as does Ctrl-C")
    top.type("x")
    top.wait_for("mostly for")
    top.type("d")
    top.wait_for("Interval in seconds")
    top.type("0.7\r")
    top.wait_for("3 Processes")
    top.type("t")
    top.wait_for("every 0.7 s")
    top.type("z")
    top.wait_for("PAUSED")
    shown = top.text
    top.read(1.5)
    assert top.text == shown
    assert not top.restored()
    top.type("q")
    assert top.end() == 0
    assert top.restored()


def test_it_follows_the_size_of_the_terminal(top: Screen) -> None:
    top.wait_for("NOTIFY_RESUME")
    top.resize(40, 12)
    top.wait_for("1 Bits  2 Words  3 Proce  4 Syste  h q")
    top.resize(7, 3)
    top.read(1)
    top.resize(1, 1)
    top.read(1)
    top.resize(120, 40)
    top.wait_for("4 System calls")
    top.type("q")
    assert top.end() == 0


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)],
)
def test_a_signal_leaves_the_terminal_as_it_was(top: Screen, number: signal.Signals, code: int) -> None:
    top.wait_for("NOTIFY_RESUME")
    assert top.alternate
    assert not top.cursor
    os.kill(top.process.pid, number)
    assert top.end() == code
    assert top.restored()
    assert b"Traceback" not in top.raw


def test_ctrl_c_is_an_ordinary_end(top: Screen) -> None:
    top.wait_for("NOTIFY_RESUME")
    top.type("\x03")
    assert top.end() == 0
    assert top.restored()


def test_an_exception_leaves_the_terminal_as_it_was() -> None:
    script = (
        "from tifbpf.live import top\n"
        "def fail(self): raise ArithmeticError('on purpose')\n"
        "top._Top._turn = fail\n"
        "from tifbpf.cli import main; main()"
    )
    screen = Screen([TIFBPF[0], "-c", script, "top"])
    try:
        assert screen.end() == 1
        assert screen.restored()
        # Told on the screen that the user sees again.
        assert screen.raw.rfind(b"on purpose") > screen.raw.rfind(b"\x1b[?1049l")
    finally:
        screen.close()


def test_stopping_gives_the_terminal_back_and_going_on_takes_it_again() -> None:
    # Under a shell with job control, as in life.
    screen = Screen(["sh", "-mc", '"$@"; echo "stopped $?"; read line; fg; echo "ended $?"', "sh", *TOP])
    try:
        screen.wait_for("NOTIFY_RESUME")
        screen.type("\x1a")
        screen.wait_for("stopped 148")
        assert screen.restored()
        # Who is continued in the background does not take what is another's.
        (top,) = subprocess.check_output(["pgrep", "-P", str(screen.process.pid)]).split()
        os.kill(int(top), signal.SIGCONT)
        screen.read(2)
        assert Path(f"/proc/{int(top)}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        assert screen.restored()
        screen.type("\r")
        screen.wait_for("1 Bits")
        assert screen.alternate
        assert not screen.cursor
        screen.type("q")
        screen.wait_for("ended 0")
        assert screen.restored()
    finally:
        screen.close()


def test_no_color_has_no_colour() -> None:
    screen = Screen([*TOP, "-n", "1"], NO_COLOR="1")
    try:
        assert screen.end() == 0
        assert not re.search(rb"\x1b\[[0-9;]*[34][0-7]m", screen.raw)
        assert b"NOTIFY_RESUME" in screen.raw
    finally:
        screen.close()


def test_a_hostile_name_cannot_reach_the_terminal() -> None:
    name = "\x1b[31m\nevil"
    script = (
        f"import ctypes, os\nctypes.CDLL(None).prctl(15, {name.encode()!r}, 0, 0, 0)\nwhile 1: os.getppid()"
    )
    busy = subprocess.Popen([TIFBPF[0], "-c", script])
    screen = Screen([*TOP, "--view", "processes"])
    try:
        screen.wait_for("evil")
        assert r"\x1b[31m\nevil" in screen.text
        assert b"\x1b[31m\n" not in screen.raw
        screen.type("q")
        assert screen.end() == 0
    finally:
        busy.kill()
        busy.wait()
        screen.close()


def test_batches_are_text() -> None:
    done = run("top", "-b", "-n", "3", "-d", "0.3", "--view", "syscalls")
    assert done.stdout.count("system call ") == 3
    assert "\x1b" not in done.stdout
    assert done.stdout.count("not covered") in (0, 3)


def test_a_batch_without_an_end_is_ended_by_ctrl_c() -> None:
    with subprocess.Popen([*TOP, "--batch"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("tifbpf top, ")
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    assert process.returncode == 0


def test_without_a_terminal_it_says_what_to_do() -> None:
    done = run("top", check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "tifbpf: top needs a terminal; for a file or a pipe there is --batch\n",
    )


def test_a_terminal_that_can_do_nothing_is_told_so() -> None:
    screen = Screen(TOP, TERM="dumb")
    try:
        assert screen.end() == 1
        assert "this terminal (TERM) cannot move its cursor; use --batch" in screen.text.replace("\n", "")
    finally:
        screen.close()


def test_whoever_reads_a_batch_may_go_away() -> None:
    with subprocess.Popen(
        [*TOP, "--batch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0
